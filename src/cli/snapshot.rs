//! `nfpath snapshot`

use clap::Args;

use crate::capture::{self, ThisMachine};

use super::{Answer, Exit, Failure, output};

/// Write this host's ruleset, addresses, routes and settings into one file.
///
/// Nothing is changed on the host. What could not be read is recorded in the file with the reason; run it as root to
/// read the ruleset. The file is a RULESET for every other command.
#[derive(Debug, Args)]
pub(super) struct Snapshot {
    /// Where to write. Default: standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<String>,
}

impl Snapshot {
    pub(super) fn run(&self) -> Answer {
        let mut text = capture::snapshot(&ThisMachine);
        if !text.ends_with('\n') {
            text.push('\n');
        }
        match &self.output {
            None => output::result(&text)?,
            Some(name) => std::fs::write(name, &text)
                .map_err(|error| Failure::unreadable(anyhow::anyhow!("{name}: {error}")))?,
        }
        let read = crate::load::bundle::read("snapshot", &text).map_err(Failure::unreadable)?;
        output::diagnostics(&read.diagnostics);
        Ok(if read.ruleset_json.is_some() {
            Exit::Yes
        } else {
            Exit::No
        })
    }
}
