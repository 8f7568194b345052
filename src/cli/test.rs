//! `nfpath test`

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};

use crate::expect::{Expected, Mismatch};
use crate::explain::{Question, explain};
use crate::flow::asked::flags;
use crate::hooks::Hooks;
use crate::logic::Ranges;
use crate::packet::proto;
use crate::reach::ReachError;
use crate::reach::class::unusual_icmp;
use crate::reach::whole::{Wanted, Whole, whole};
use crate::render::checks::{self, Check, Suite};
use crate::report::{FlowReport, Verdict};

use super::input::{self, Input};
use super::{Answer, Exit, Facts, Failure, Packet, output, reach};

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flow: Option<Flows>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<Class>,
    #[serde(default, skip_serializing_if = "is_default")]
    packet: Packet,
    expect: Expected,
}

/// All first packets from outside that look so.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Class {
    iif: Option<String>,
    src: Option<String>,
    dst: Option<String>,
    proto: Option<String>,
    /// `443`, `1-1023`, `80,443`.
    dport: Option<String>,
}

impl Class {
    fn read(&self) -> Result<Wanted, Wrong> {
        let wrong = |what: &'static str, text: &str, meant: &str| {
            Wrong::at(&["class", what], format!("`{what} = \"{text}\"`: {meant}"))
        };
        let net = |what: &'static str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => match reach::net(text) {
                Some(net) => Ok(Some(net)),
                None => Err(wrong(what, text, "an address or a prefix is meant")),
            },
        };
        let proto = match &self.proto {
            None => None,
            Some(text) => match reach::protocol(text) {
                Some(number) => Some(number),
                None => return Err(wrong("proto", text, "no protocol of that name")),
            },
        };
        let dports = match &self.dport {
            None => None,
            Some(text) => Some(ports(text).ok_or_else(|| {
                let meant = "ports are meant, such as 443, 1-1023 or 80,443";
                wrong("dport", text, meant)
            })?),
        };
        let (src, dst) = (net("src", &self.src)?, net("dst", &self.dst)?);
        if reach::of_two_versions(src, dst) {
            let error = "`src` and `dst` are of different IP versions";
            return Err(Wrong::at(&["class", "dst"], error));
        }
        if let (Some(number), Some(_)) = (proto, &dports)
            && !proto::has_ports(number)
        {
            let error = "packets of this protocol have no ports";
            return Err(Wrong::at(&["class", "dport"], error));
        }
        Ok(Wanted {
            iif: self.iif.clone(),
            src,
            dst,
            proto,
            dports,
        })
    }

    /// `tcp eth0: any -> 203.0.113.10 443`
    fn title(&self) -> String {
        let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "any".into());
        let iif = self.iif.as_ref().map(|iif| format!(" by {iif}"));
        let ports = self.dport.as_ref().map(|ports| format!(" port {ports}"));
        format!(
            "all {} from {} to {}{}{}",
            self.proto.as_deref().unwrap_or("packets"),
            word(&self.src),
            word(&self.dst),
            ports.unwrap_or_default(),
            iif.unwrap_or_default()
        )
    }
}

/// Sorted ranges of ports that do not meet.
fn ports(text: &str) -> Option<Ranges> {
    let one = |part: &str| -> Option<(u128, u128)> {
        let (lo, hi) = part.split_once('-').unwrap_or((part, part));
        let (lo, hi): (u16, u16) = (lo.trim().parse().ok()?, hi.trim().parse().ok()?);
        (lo <= hi).then_some((lo.into(), hi.into()))
    };
    let mut ranges: Ranges = text.split(',').map(one).collect::<Option<_>>()?;
    ranges.sort_unstable();
    Some(ranges)
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
    text: String,
    file: File,
    lines: Vec<usize>,
}

impl Read {
    /// Names the place of something wrong in a test: its value, or the test where it has none.
    fn error(&self, test: usize, wrong: &Wrong) -> Failure {
        let place = match offset(&self.text, test, &wrong.keys) {
            Some(offset) => input::place(&self.text, offset),
            None => (self.lines.get(test).copied().unwrap_or(1), 1),
        };
        self.error_at(place, &wrong.error)
    }

    /// Names the place of the ruleset or the fact about the host that could not be read.
    fn input_error(&self, failure: &Failure) -> Failure {
        let error = format!("{:#}", failure.error);
        match offset_of_input(&self.text, self.folder(), &error) {
            Some(offset) => self.error_at(input::place(&self.text, offset), &error),
            None => Failure::unreadable(anyhow!("{error}; nothing was run")),
        }
    }

    fn error_at(&self, (line, column): (usize, usize), error: &str) -> Failure {
        let name = &self.name;
        Failure::unreadable(anyhow!(
            "{name}: line {line}, column {column}: {error}; nothing was run"
        ))
    }

    /// What paths of the file are relative to.
    fn folder(&self) -> &Path {
        folder_of(&self.name)
    }
}

/// What is wrong with a test, and the keys that lead to the value.
#[derive(Debug)]
struct Wrong {
    keys: Vec<String>,
    error: String,
}

impl Wrong {
    fn at(keys: &[&str], error: impl Into<String>) -> Wrong {
        Wrong {
            keys: keys.iter().map(ToString::to_string).collect(),
            error: error.into(),
        }
    }

    /// What a flag of the command line would say: the value of that name in `packet`, else where the test says what it asks.
    fn of_flag(error: String, otherwise: &[&str]) -> Wrong {
        let flag = error.strip_prefix("`--").and_then(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-')?;
            rest.get(..end).map(str::to_string)
        });
        match flag.as_deref() {
            Some(flag) if flag != "flow" => Wrong::at(&["packet", flag], error),
            _ => Wrong::at(otherwise, error),
        }
    }
}

/// Where the value stands to which some keys of a test lead, or as much of them as there is.
fn offset(text: &str, test: usize, keys: &[String]) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let tests = document.get_ref().iter();
    let (_, tests) = tests
        .into_iter()
        .find(|(key, _)| *key.get_ref() == "test")?;
    let mut value = tests.get_ref().get(test)?;
    for key in keys {
        let of_table = value.get_ref().get(key.as_str());
        let number = || key.parse::<usize>().ok();
        let next = of_table.or_else(|| value.get_ref().get(number()?));
        let Some(next) = next else { break };
        value = next;
    }
    Some(value.span().start)
}

/// Where the ruleset or a fact about the host stands that an error begins with: `FILE: …`, or `--route: …` with a part of the
/// value.
fn offset_of_input(text: &str, folder: &Path, error: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let names = |key: &str, value: &DeValue<'_>| {
        let Some(value) = value.as_str() else {
            return false;
        };
        let flag = error.strip_prefix(&format!("--{key}: `"));
        let part = flag.and_then(|rest| rest.split('`').next());
        let words = || value.split([',', '=']).map(str::trim);
        part.is_some_and(|part| value == part || words().any(|word| word == part))
            || error.starts_with(&format!("{}: ", below(folder, value)))
    };
    for (key, value) in document.get_ref() {
        let within = value.get_ref().as_table();
        let facts = within.filter(|_| *key.get_ref() == "host");
        let facts = facts.into_iter().flatten();
        for (key, value) in facts.chain([(key, value)]) {
            let key = key.get_ref();
            let several = value.get_ref().as_array().into_iter().flatten();
            let mut all = several.chain([value]);
            if let Some(found) = all.find(|value| names(key, value.get_ref())) {
                return Some(found.span().start);
            }
        }
    }
    None
}

/// The folder of a file of expectations; standard input has that where it is read.
fn folder_of(name: &str) -> &Path {
    match name {
        "-" => Path::new(""),
        name => Path::new(name).parent().unwrap_or(Path::new("")),
    }
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
        let mut inputs = Vec::new();
        for file in &files {
            let input = input::read(Some(&file.file.ruleset), &file.file.host);
            inputs.push(input.map_err(|failure| file.input_error(&failure))?);
        }
        let mut suites = Vec::new();
        for ((file, input), asked) in files.iter().zip(&inputs).zip(asked) {
            suites.push(check(file, input, &asked)?);
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
                flow: Some(Flows::One(asked.question.flow.to_string())),
                class: None,
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
    let mut file: File = input::toml(name, &text)
        .map_err(|error| Failure::unreadable(anyhow!("{error}; nothing was run")))?;
    let lines: Vec<usize> = file
        .test
        .iter()
        .map(|test| input::place(&text, test.span().start).0)
        .collect();
    if file.test.is_empty() {
        let error = "has no `[[test]]`; nothing was run";
        return Err(Failure::unreadable(anyhow!("{name}: {error}")));
    }
    file.host.below(folder_of(name));
    file.ruleset = below(folder_of(name), &file.ruleset);
    let read = Read {
        name: name.to_string(),
        text,
        file,
        lines,
    };
    for (at, test) in read.file.test.iter().enumerate() {
        let test = test.get_ref();
        let expected = || {
            let words = test.expect.check_words();
            words.map_err(|(field, error)| Wrong::at(&["expect", field], error))
        };
        what_is_tested(test)
            .and_then(|()| expected())
            .map_err(|wrong| read.error(at, &wrong))?;
    }
    Ok(read)
}

/// A test names flows or a class, and asks of a class only what classes have.
fn what_is_tested(test: &Expectation) -> Result<(), Wrong> {
    match (&test.flow, &test.class) {
        (Some(Flows::Many(flows)), None) if flows.is_empty() => {
            Err(Wrong::at(&["flow"], "`flow` names no flow"))
        }
        (Some(_), None) => Ok(()),
        (None, None) => Err(Wrong::at(
            &[],
            "neither `flow` nor `class` says what is tested",
        )),
        (Some(_), Some(_)) => Err(Wrong::at(&["class"], "`flow` and `class` are two tests")),
        (None, Some(class)) => {
            class.read()?;
            if test.packet != Packet::default() {
                let error = "`packet` refines a flow; of a class say it in `class`";
                return Err(Wrong::at(&["packet"], error));
            }
            let verdict = test.expect.verdict.as_deref();
            let alone = Expected {
                verdict: test.expect.verdict.clone(),
                ..Expected::default()
            };
            match verdict {
                Some("accept" | "drop") if test.expect == alone => Ok(()),
                _ => {
                    let error =
                        "of a class only `verdict = \"accept\"` or `\"drop\"` can be expected";
                    let keys: &[&str] = match test.expect == alone {
                        true => &["expect", "verdict"],
                        false => &["expect"],
                    };
                    Err(Wrong::at(keys, error))
                }
            }
        }
    }
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
    let tests = read.file.test.iter().enumerate();
    tests
        .map(|(at, test)| {
            let test = test.get_ref();
            let flows: Vec<(Vec<String>, &String)> = match &test.flow {
                Some(Flows::One(flow)) => vec![(vec!["flow".into()], flow)],
                Some(Flows::Many(flows)) => {
                    let keys = |at: usize| vec!["flow".to_string(), at.to_string()];
                    let flows = flows.iter().enumerate();
                    flows.map(|(at, flow)| (keys(at), flow)).collect()
                }
                None => Vec::new(),
            };
            let mut asked = Vec::new();
            for (keys, flow) in flows {
                let packet = Packet {
                    flow: vec![flow.clone()],
                    ..test.packet.clone()
                };
                let found = input::questions(&packet).map_err(|failure| {
                    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                    let wrong = Wrong::of_flag(format!("{:#}", failure.error), &keys);
                    read.error(at, &wrong)
                })?;
                asked.extend(found);
            }
            Ok(asked)
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

fn check(read: &Read, input: &Input, asked: &[Vec<input::Asked>]) -> Result<Suite, Failure> {
    output::diagnostics(&input.loaded.diagnostics);
    let mut checks = Vec::new();
    let tests = read.file.test.iter().zip(&read.lines).zip(asked);
    for (at, ((test, line), asked)) in tests.enumerate() {
        let test = test.get_ref();
        if let Some(class) = &test.class {
            let (undecided, wrong) =
                check_class(input, class, &test.expect).map_err(|wrong| read.error(at, &wrong))?;
            checks.push(Check {
                name: test.name.clone(),
                flow: class.title(),
                line: *line,
                undecided,
                wrong,
            });
            continue;
        }
        let answers = answers(input, asked.iter().map(|asked| &asked.question));
        let answers = answers.map_err(|failure| {
            let wrong = Wrong::of_flag(format!("{:#}", failure.error), &["flow"]);
            read.error(at, &wrong)
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

/// Whether all packets of a class do what is expected; true when that cannot be told.
fn check_class(
    input: &Input,
    class: &Class,
    expected: &Expected,
) -> Result<(bool, Vec<Mismatch>), Wrong> {
    let hooks = Hooks::new(&input.loaded.ruleset);
    let wanted = class.read()?;
    let passes = expected.verdict.as_deref() == Some("accept");
    let room = output::room();
    let answer = whole(&input.loaded, &hooks, &input.host, &wanted, passes, room);
    let (undecided, is) = match answer {
        Ok(Whole::Yes) => return Ok((false, Vec::new())),
        Ok(Whole::No(question)) => {
            let verdict = if passes { "not accepted" } else { "accepted" };
            let flow = flags(
                &question.flow.to_string(),
                question.iif.as_deref(),
                question.tcp_flags,
                unusual_icmp(&question),
            );
            (false, format!("{verdict} for {flow}"))
        }
        Ok(Whole::Open(questions)) => (true, format!("open: {}", questions.join("; "))),
        Ok(Whole::Nothing) => (true, "nothing: no packet of the class is followed".into()),
        Err(ReachError::GaveUp(error)) => (true, format!("not told: {error}")),
        Err(error @ ReachError::NoInterface { .. }) => {
            return Err(Wrong::at(&["class", "iif"], error.to_string()));
        }
    };
    let what = if passes {
        "accept, for all"
    } else {
        "drop, for all"
    };
    Ok((
        undecided,
        vec![Mismatch {
            what: "verdict",
            expected: what.into(),
            is,
        }],
    ))
}
