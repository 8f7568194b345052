//! `nfpath audit`

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use serde::Deserialize;
use toml::Spanned;

use crate::audit::{Allowed, Options, Severity, about, audit, of_id, sarif, v1};
use crate::flow::{nearest, quoted};
use crate::hooks::Hooks;
use crate::render;

use super::{Answer, Exit, Facts, Failure, input, output};

/// What the ruleset does that nobody will have meant.
///
/// Every kind of finding has a page in docs/audits. A finding is not told when the rule that it is about has a comment
/// `nfpath: allow ID reason`, or when --config or --allow says so. Exit status 1 when there are findings of at least
/// --fail-on.
#[derive(Debug, Args)]
#[command(after_long_help = names())]
pub(super) struct Audit {
    /// A file or `-`: nft JSON, a snapshot, iptables-save, or nft syntax.
    #[arg(value_name = "RULESET", required_unless_present = "live")]
    ruleset: Option<String>,
    /// How to write the findings.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Findings of this kind are errors.
    #[arg(long, value_name = "ID")]
    deny: Vec<String>,
    /// Findings of this kind are not told.
    #[arg(long, value_name = "ID")]
    allow: Vec<String>,
    /// The least severity that gives exit status 1.
    #[arg(long, value_name = "LEVEL", default_value = "warning")]
    fail_on: Level,
    /// What is meant to be so, with reasons (docs/formats/audit.md).
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    #[command(flatten)]
    facts: Facts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Sarif,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    Error,
    Warning,
    Note,
}

/// The configuration file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    allow: Vec<Entry>,
    #[serde(default)]
    deny: Vec<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: Spanned<String>,
    at: Option<String>,
    reason: Spanned<String>,
}

impl Config {
    /// Reads a configuration file; what is wrong with it is told with line and column.
    fn read(name: &str) -> Result<Config, Failure> {
        let text = input::text(name)?;
        let config: Config = input::toml(name, &text).map_err(Failure::unreadable)?;
        let wrong = |at: &Spanned<String>, error: &dyn std::fmt::Display| {
            let (line, column) = input::place(&text, at.span().start);
            Failure::unreadable(anyhow!("{name}: line {line}, column {column}: {error}"))
        };
        let ids = config.allow.iter().map(|entry| &entry.id);
        for id in ids.chain(&config.deny) {
            known(id.get_ref()).map_err(|error| wrong(id, &error))?;
        }
        for Entry { id, reason, .. } in &config.allow {
            if reason.get_ref().trim().is_empty() {
                let error = format!("`{}` is allowed without a reason", id.get_ref());
                return Err(wrong(reason, &error));
            }
        }
        Ok(config)
    }
}

impl Audit {
    pub(super) fn run(&self) -> Answer {
        let options = self.options()?;
        let input = input::read(self.ruleset.as_deref(), &self.facts)?;
        let hooks = Hooks::new(&input.loaded.ruleset);
        let answer = output::waiting("looking at all packets", || {
            audit(&input.loaded, &hooks, &input.host, &options)
        });
        match self.format {
            Format::Json => output::result(&v1::json(&answer))?,
            Format::Sarif => output::result(&sarif::sarif(&answer, &input.source))?,
            Format::Text => {
                output::diagnostics(&input.loaded.diagnostics);
                output::result(&render::audit::text(&answer, output::width()))?;
            }
        }
        let least = match self.fail_on {
            Level::Error => Severity::Error,
            Level::Warning => Severity::Warning,
            Level::Note => Severity::Note,
        };
        let fails = answer.findings.iter().any(|one| one.severity >= least);
        Ok(if fails {
            Exit::No
        } else if answer.interrupted {
            Exit::Undetermined
        } else {
            Exit::Yes
        })
    }

    fn options(&self) -> Result<Options, Failure> {
        let mut options = Options {
            room: output::room(),
            ..Options::default()
        };
        if let Some(name) = &self.config {
            let config = Config::read(name)?;
            options.deny = config.deny.into_iter().map(Spanned::into_inner).collect();
            options.allow = config
                .allow
                .into_iter()
                .map(|entry| Allowed {
                    id: entry.id.into_inner(),
                    at: entry.at,
                    reason: entry.reason.into_inner(),
                })
                .collect();
        }
        for id in self.deny.iter().chain(&self.allow) {
            known(id).map_err(Failure::usage)?;
        }
        options.deny.extend(self.deny.iter().cloned());
        options.allow.extend(self.allow.iter().map(|id| Allowed {
            id: id.clone(),
            at: None,
            reason: "--allow".into(),
        }));
        Ok(options)
    }
}

/// The names of all audits, for `--help`.
fn names() -> String {
    let all: Vec<&str> = about::ALL.iter().map(|about| about.id).collect();
    format!("Audits: {}.", all.join(", "))
}

fn known(id: &str) -> Result<(), anyhow::Error> {
    if of_id(id).is_some() {
        return Ok(());
    }
    let id = quoted(id);
    Err(
        match nearest(&id, about::ALL.iter().map(|about| about.id)) {
            Some(near) => anyhow!("no audit is called `{id}`: did you mean `{near}`?"),
            None => anyhow!("no audit is called `{id}`; `nfpath audit --help` names them all"),
        },
    )
}
