//! `nfpath snapshot`

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;

use anyhow::anyhow;
use clap::Args;

use crate::capture::{self, ThisMachine};
use crate::kernel;
use crate::load::bundle;

use super::{Answer, Exit, Failure, input, output};

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
    /// Replace addresses, Ethernet addresses, names and comments, each by the same other one everywhere. The same KEY gives the
    /// same replacements; without it they differ each time.
    #[arg(long, value_name = "KEY", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    redact: Option<String>,
    /// With --redact: a snapshot that was taken before, instead of this host.
    #[arg(long, value_name = "FILE", requires = "redact", conflicts_with_all = ["where", "script"])]
    from: Option<String>,
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
        let mut text = match &self.from {
            Some(file) => {
                let text = input::text_or_report(file)?;
                if !bundle::is_bundle(&text) {
                    let error = "not a snapshot; take one with `nfpath snapshot`";
                    return Err(Failure::unreadable(anyhow!("{file}: {error}")));
                }
                text
            }
            None => capture::snapshot(&ThisMachine),
        };
        if let Some(key) = &self.redact {
            let key = match key.as_str() {
                "" => format!("{:x}", RandomState::new().hash_one(0)),
                key => key.to_string(),
            };
            text = capture::redact(&text, &key)
                .map_err(|error| Failure::unreadable(anyhow!("the snapshot: {error}")))?;
            let raw = capture::raw_parts(&text);
            if !raw.is_empty() {
                output::note(&format!(
                    "comparisons of {} stay as they are; they may hold an address, and then decide otherwise",
                    raw.join(", ")
                ));
            }
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        self.write(&text)?;
        let read = bundle::read("snapshot", &text).map_err(Failure::unreadable)?;
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
