//! `nfpath audit`

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::audit::{Allowed, Options, Severity, about, audit, of_id, sarif, v1};
use crate::hooks::Hooks;
use crate::render;

use super::{Answer, Exit, Facts, Failure, input, output};

/// What the ruleset does that nobody will have meant.
///
/// Every kind of finding has a page in docs/audits. A finding is not told when the rule that it is about has a comment
/// `nfpath: allow ID reason`, or when --config or --allow says so. Exit status 1 when there are findings of at least
/// --fail-on.
#[derive(Debug, Args)]
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
    deny: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    at: Option<String>,
    reason: String,
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
            let text = input::text(name)?;
            let config: Config = input::toml(name, &text).map_err(Failure::unreadable)?;
            let ids = config.allow.iter().map(|entry| &entry.id);
            for id in ids.chain(&config.deny) {
                known(id).map_err(|error| Failure::unreadable(anyhow!("{name}: {error}")))?;
            }
            if let Some(entry) = config.allow.iter().find(|one| one.reason.trim().is_empty()) {
                return Err(Failure::unreadable(anyhow!(
                    "{name}: `{}` is allowed without a reason",
                    entry.id
                )));
            }
            options.deny = config.deny;
            options.allow = config
                .allow
                .into_iter()
                .map(|entry| Allowed {
                    id: entry.id,
                    at: entry.at,
                    reason: entry.reason,
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

fn known(id: &str) -> Result<(), anyhow::Error> {
    if of_id(id).is_some() {
        return Ok(());
    }
    let all: Vec<&str> = about::ALL.iter().map(|about| about.id).collect();
    Err(anyhow!(
        "no audit is called `{id}`; there are {}",
        all.join(", ")
    ))
}
