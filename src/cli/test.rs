//! `nfpath test`

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::expect::{Expected, Mismatch};
use crate::explain::{Question, explain};
use crate::hooks::Hooks;
use crate::render::checks::{self, Check, Suite};
use crate::report::{FlowReport, Verdict};

use super::input::{self, Input};
use super::{Answer, Exit, Facts, Failure, Packet, output};

/// Check flows against what is expected of them.
///
/// FILE is TOML (docs/formats/test.md): a ruleset, facts about its host, and flows with what each shall do. All files are
/// read before the first flow is asked. Exit status 1 when an expectation fails, 4 when nothing fails but what cannot be
/// told.
#[derive(Debug, Args)]
pub(super) struct Test {
    /// Files of expectations; with --record the ruleset.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,
    /// Ask this ruleset instead of the one that FILE names: the proposed one.
    #[arg(long, value_name = "RULESET", conflicts_with = "record")]
    ruleset: Option<String>,
    /// Write the results as JUnit XML, too.
    #[arg(long, value_name = "FILE")]
    junit: Option<String>,
    /// Print a file of expectations that says what the flows do now.
    #[arg(long, conflicts_with = "junit")]
    record: bool,
    #[command(flatten)]
    packet: Packet,
    #[command(flatten)]
    facts: Facts,
}

/// A file of expectations.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    ruleset: String,
    #[serde(default, skip_serializing_if = "is_default")]
    host: Facts,
    #[serde(default)]
    test: Vec<Spanned>,
}

/// A test and where it begins. Written, it is the test alone.
type Spanned = toml::Spanned<Expectation>;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    flow: Flows,
    #[serde(default, skip_serializing_if = "is_default")]
    packet: Packet,
    expect: Expected,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Flows {
    One(String),
    Many(Vec<String>),
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A file that was read, with the line of each test.
struct Read {
    name: String,
    file: File,
    lines: Vec<usize>,
}

impl Test {
    pub(super) fn run(&self) -> Answer {
        if self.record {
            return self.record();
        }
        if self.packet != Packet::default() || self.facts != Facts::default() {
            return Err(Failure::usage(anyhow!(
                "flows and facts stand in the file of expectations; on the command line they are for --record"
            )));
        }
        let mut files = Vec::new();
        for name in &self.files {
            let mut read = read(name)?;
            if let Some(ruleset) = &self.ruleset {
                read.file.ruleset.clone_from(ruleset);
            }
            files.push(read);
        }
        let mut asked = Vec::new();
        for file in &files {
            asked.push(questions(file)?);
        }
        let mut suites = Vec::new();
        for (file, asked) in files.iter().zip(asked) {
            suites.push(check(file, &asked)?);
        }
        if let Some(junit) = &self.junit {
            let text = checks::junit(&suites);
            std::fs::write(junit, text)
                .map_err(|error| Failure::unreadable(anyhow!("{junit}: {error}")))?;
        }
        output::result(&checks::text(&suites, output::width(), output::color()))?;
        let mut failed = suites
            .iter()
            .flat_map(|suite| &suite.checks)
            .filter(|check| !check.wrong.is_empty())
            .peekable();
        Ok(if failed.peek().is_none() {
            Exit::Yes
        } else if failed.all(|check| check.undecided) {
            Exit::Undetermined
        } else {
            Exit::No
        })
    }

    fn record(&self) -> Answer {
        let [ruleset] = self.files.as_slice() else {
            return Err(Failure::usage(anyhow!(
                "--record takes one FILE: the ruleset"
            )));
        };
        if ruleset == "-" {
            return Err(Failure::usage(anyhow!(
                "--record takes the ruleset from a file: the expectations name it; save standard input into one"
            )));
        }
        let asked = input::questions(&self.packet)?;
        if asked.is_empty() {
            return Err(Failure::usage(anyhow!(
                "no flow to record; give some with `--flow` or `--flows FILE`"
            )));
        }
        let input = input::read(Some(ruleset), &self.facts)?;
        output::diagnostics(&input.loaded.diagnostics);
        let answers = answers(&input, asked.iter().map(|asked| &asked.question))?;
        let tests = asked.iter().zip(&answers).map(|(asked, answer)| {
            let test = Expectation {
                name: (!asked.at.is_empty()).then(|| asked.at.clone()),
                flow: Flows::One(asked.question.flow.to_string()),
                packet: self.packet.with(&asked.question),
                expect: Expected::of(answer),
            };
            toml::Spanned::new(0..0, test)
        });
        let file = File {
            ruleset: ruleset.clone(),
            host: self.facts.clone(),
            test: tests.collect(),
        };
        let text = toml::to_string(&file).map_err(|error| {
            Failure::unreadable(anyhow!("the flows cannot be written: {error}"))
        })?;
        output::result(&format!(
            "# What these flows do now, by `nfpath test --record`. Paths are relative to this file.\n{text}"
        ))?;
        Ok(Exit::Yes)
    }
}

/// Reads a file; what is wrong with it is told with line and column.
fn read(name: &str) -> Result<Read, Failure> {
    let text = input::text(name)?;
    let at = |offset: usize| {
        let before = text.get(..offset).unwrap_or(&text);
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .map_or(0, |line| line.chars().count())
            + 1;
        (line, column)
    };
    let mut file: File = toml::from_str(&text).map_err(|error| {
        let place = error.span().map_or(String::new(), |span| {
            let (line, column) = at(span.start);
            format!("line {line}, column {column}: ")
        });
        Failure::unreadable(anyhow!(
            "{name}: {place}{}; nothing was run",
            error.message().replace('\n', " ")
        ))
    })?;
    let lines: Vec<usize> = file
        .test
        .iter()
        .map(|test| at(test.span().start).0)
        .collect();
    if file.test.is_empty() {
        let error = "has no `[[test]]`; nothing was run";
        return Err(Failure::unreadable(anyhow!("{name}: {error}")));
    }
    for (test, line) in file.test.iter().zip(&lines) {
        if matches!(&test.get_ref().flow, Flows::Many(flows) if flows.is_empty()) {
            let error = "`flow` names no flow; nothing was run";
            return Err(Failure::unreadable(anyhow!("{name}: line {line}: {error}")));
        }
        test.get_ref().expect.check_words().map_err(|error| {
            Failure::unreadable(anyhow!("{name}: line {line}: {error}; nothing was run"))
        })?;
    }
    if name != "-" {
        let folder = Path::new(name).parent().unwrap_or(Path::new(""));
        file.host.below(folder);
        file.ruleset = below(folder, &file.ruleset);
    }
    Ok(Read {
        name: name.to_string(),
        file,
        lines,
    })
}

/// A path of a file of expectations, which is relative to that file.
fn below(folder: &Path, path: &str) -> String {
    let path: PathBuf = folder.join(path);
    path.to_string_lossy().into_owned()
}

impl Packet {
    /// What refines a question, in the words of the flags; what a file of flows says of it as well.
    fn with(&self, question: &Question) -> Packet {
        let said = |said: &Option<String>| said.clone();
        Packet {
            flow: Vec::new(),
            flows: Vec::new(),
            iif: said(&question.iif),
            oif: said(&question.oif),
            in_port: said(&question.in_port),
            mark: (question.mark != 0).then(|| format!("{:#x}", question.mark)),
            tcp_flags: question.tcp_flags.map(|flags| format!("{flags:#x}")),
            icmp_type: question.icmp.map(|(kind, code)| format!("{kind}/{code}")),
            length: question.length,
            uid: question.uid,
            ..self.clone()
        }
    }
}

impl Facts {
    /// Takes the names of files as relative to a folder.
    fn below(&mut self, folder: &Path) {
        let one = [
            &mut self.context,
            &mut self.iptables_save,
            &mut self.ip6tables_save,
            &mut self.iptables_legacy_save,
            &mut self.ip6tables_legacy_save,
            &mut self.ebtables_save,
            &mut self.ebtables_legacy_save,
            &mut self.ipset,
            &mut self.nft_text,
        ];
        let many = [
            &mut self.addr,
            &mut self.link,
            &mut self.routes,
            &mut self.rules,
            &mut self.sysctls,
        ];
        let names = one.into_iter().flatten().chain(many.into_iter().flatten());
        for name in names {
            *name = below(folder, name);
        }
    }
}

/// The questions of each test.
fn questions(read: &Read) -> Result<Vec<Vec<input::Asked>>, Failure> {
    let tests = read.file.test.iter().zip(&read.lines);
    tests
        .map(|(test, line)| {
            let test = test.get_ref();
            let packet = Packet {
                flow: match &test.flow {
                    Flows::One(flow) => vec![flow.clone()],
                    Flows::Many(flows) => flows.clone(),
                },
                ..test.packet.clone()
            };
            input::questions(&packet).map_err(|failure| {
                Failure::unreadable(anyhow!(
                    "{}: line {line}: {:#}; nothing was run",
                    read.name,
                    failure.error
                ))
            })
        })
        .collect()
}

fn answers<'q>(
    input: &Input,
    questions: impl Iterator<Item = &'q Question>,
) -> Result<Vec<FlowReport>, Failure> {
    let hooks = Hooks::new(&input.loaded.ruleset);
    questions
        .map(|question| {
            let answer = explain(&input.loaded, &hooks, &input.host, question);
            Ok(answer.map_err(Failure::usage)?.report)
        })
        .collect()
}

fn check(read: &Read, asked: &[Vec<input::Asked>]) -> Result<Suite, Failure> {
    let input = input::read(Some(&read.file.ruleset), &read.file.host)?;
    output::diagnostics(&input.loaded.diagnostics);
    let mut checks = Vec::new();
    let tests = read.file.test.iter().zip(&read.lines).zip(asked);
    for ((test, line), asked) in tests {
        let test = test.get_ref();
        let answers = answers(&input, asked.iter().map(|asked| &asked.question));
        let answers = answers.map_err(|failure| {
            Failure::usage(anyhow!("{}: line {line}: {:#}", read.name, failure.error))
        })?;
        for answer in answers {
            let wrong: Vec<Mismatch> = test.expect.check(&answer);
            checks.push(Check {
                name: test.name.clone(),
                flow: answer.flow.text.clone(),
                line: *line,
                undecided: answer.verdict == Verdict::Unknown,
                wrong,
            });
        }
    }
    Ok(Suite {
        file: read.name.clone(),
        ruleset: read.file.ruleset.clone(),
        checks,
    })
}
