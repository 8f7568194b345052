//! `nfpath diff`

use anyhow::anyhow;
use clap::{Args, ValueEnum};

use crate::diff::{Diff as Answered, Kind, Side, diff, v1};
use crate::render;

use super::{Answer, Exit, Facts, Failure, input, output};

/// Which packets two rulesets treat otherwise.
///
/// Rows are exact and disjoint: packets that get through under one of them alone, that go another way or are translated
/// otherwise, or whose answers are lost, with the rules on both sides and a flow. No rows: there are no such packets. A
/// snapshot brings its host; a ruleset without one is taken to run on the host of the other. Exit status 1 when there are
/// rows of --fail-on, 4 when it cannot be told.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The ruleset as it is: a file or `-`. With --live the running one, and NEW comes first.
    #[arg(value_name = "OLD")]
    old: String,
    /// The ruleset as it shall be.
    #[arg(value_name = "NEW", required_unless_present = "live")]
    new: Option<String>,
    /// Kinds of rows that give exit status 1.
    #[arg(long, value_name = "KIND", default_value = "any")]
    fail_on: FailOn,
    /// How to write the answer.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    facts: Facts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// More gets through.
    Opened,
    /// Less gets through.
    Closed,
    Any,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Diff {
    pub(super) fn run(&self) -> Answer {
        let (old, new) = match &self.new {
            Some(new) => (Some(self.old.as_str()), new),
            None => (None, &self.old),
        };
        if old == Some("-") && new == "-" {
            return Err(Failure::usage(anyhow!(
                "standard input can be one of the rulesets, not both"
            )));
        }
        let mut old = input::read(old, &self.facts)?;
        let mut new = input::read(Some(new), &self.facts)?;
        // what a snapshot says of its host holds for the ruleset without one
        if old.brings_host != new.brings_host {
            let (from, to) = if old.brings_host {
                (&old, &mut new)
            } else {
                (&new, &mut old)
            };
            to.host = from.host.clone();
        }
        let sides = [&old, &new].map(|input| Side {
            loaded: &input.loaded,
            host: &input.host,
        });
        let answer = output::waiting("comparing all packets", || {
            diff(sides[0], sides[1], output::room())
        });
        match self.format {
            Format::Json => output::result(&v1::json(&answer))?,
            Format::Text => {
                output::diagnostics(&old.loaded.diagnostics);
                output::diagnostics(&new.loaded.diagnostics);
                output::result(&render::diff::text(&answer, output::width()))?;
            }
        }
        Ok(self.exit_of(&answer))
    }

    fn exit_of(&self, answer: &Answered) -> Exit {
        let counts = |kind: Kind| match self.fail_on {
            FailOn::Opened => kind == Kind::Opened,
            FailOn::Closed => kind == Kind::Closed,
            FailOn::Any => true,
            FailOn::None => false,
        };
        let told = |end: &str| end != "unknown" && end != "queued" && end != "stolen";
        if answer.rows.iter().any(|row| counts(row.kind)) {
            Exit::No
        } else if self.fail_on != FailOn::None
            && (answer.truncated
                || !answer.unusual.is_empty()
                || answer.given_up.is_some()
                || answer
                    .rows
                    .iter()
                    .any(|row| !told(row.before.end) || !told(row.after.end)))
        {
            Exit::Undetermined
        } else {
            Exit::Yes
        }
    }
}
