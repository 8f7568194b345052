//! `nfpath snapshot`

use std::fs::File;
use std::io::ErrorKind;

use anyhow::anyhow;
use clap::Args;

use crate::capture::{self, ThisMachine};
use crate::kernel;

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
    /// The network namespace of this name (`ip netns`), or of this path.
    #[arg(long, value_name = "NAME", group = "where")]
    netns: Option<String>,
    /// The network namespace of this process.
    #[arg(long, value_name = "PID", group = "where")]
    pid: Option<u32>,
    /// The network namespace of this container of Docker or Podman.
    #[arg(long, value_name = "NAME", group = "where")]
    container: Option<String>,
    /// Print a shell script that does the same on a machine without nfpath: `ssh root@HOST sh < SCRIPT > host.json`.
    #[arg(long, conflicts_with = "where")]
    script: bool,
}

impl Snapshot {
    pub(super) fn run(&self) -> Answer {
        if self.script {
            self.write(&capture::script())?;
            return Ok(Exit::Yes);
        }
        if let Some(path) = self.namespace()? {
            let enter = || kernel::sys::enter_network_namespace(&File::open(&path)?);
            enter().map_err(|error| {
                let hint = match error.kind() {
                    ErrorKind::PermissionDenied => "; run as root",
                    ErrorKind::NotFound => "; `ip netns` lists the names, `ps` the processes",
                    _ => "",
                };
                Failure::unreadable(anyhow!("{path}: {error}{hint}"))
            })?;
        }
        let mut text = capture::snapshot(&ThisMachine);
        if !text.ends_with('\n') {
            text.push('\n');
        }
        self.write(&text)?;
        let read = crate::load::bundle::read("snapshot", &text).map_err(Failure::unreadable)?;
        output::diagnostics(&read.diagnostics);
        Ok(if read.ruleset_json.is_some() {
            Exit::Yes
        } else {
            Exit::No
        })
    }

    /// The file that stands for the namespace to look into.
    fn namespace(&self) -> Result<Option<String>, Failure> {
        let of_process = |pid: u32| format!("/proc/{pid}/ns/net");
        Ok(match (&self.netns, self.pid, &self.container) {
            (Some(name), ..) if name.contains('/') => Some(name.clone()),
            (Some(name), ..) => Some(format!("/run/netns/{name}")),
            (None, Some(pid), _) => Some(of_process(pid)),
            (None, None, Some(name)) => {
                let pid = capture::container_process(&ThisMachine, name)
                    .map_err(|why| Failure::unreadable(anyhow!("`--container {name}`: {why}")))?;
                Some(of_process(pid))
            }
            (None, None, None) => None,
        })
    }

    fn write(&self, text: &str) -> Result<(), Failure> {
        match &self.output {
            None => output::result(text),
            Some(name) => std::fs::write(name, text)
                .map_err(|error| Failure::unreadable(anyhow!("{name}: {error}"))),
        }
    }
}
