//! Asking a running host for its facts and writing them down as a snapshot bundle (read again by `load::bundle`).
//!
//! Each part records the command, the version of its tool, and what went wrong when something did; the rest is taken all the
//! same. Nothing here looks into what the commands print, beyond whether it is JSON.

mod machine;
mod redact;
mod script;
pub mod sosreport;

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::load::bundle::{SCHEMA, SCHEMA_VERSION};

pub use machine::ThisMachine;
pub use redact::{raw_parts, redact};
pub use script::script;

/// What a command left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

/// The machine to be asked; a test gives its own.
pub trait Run {
    /// Runs a command to its end. `NotFound` when it is not installed.
    fn run(&self, program: &str, args: &[&str]) -> io::Result<Ran>;

    /// Reads a file of the machine.
    fn read(&self, path: &str) -> io::Result<String>;

    /// The names in a directory of the machine, sorted.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;

    /// The time, RFC 3339, UTC.
    fn now(&self) -> String;
}

/// What a part holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Text,
}

/// A part that one command prints: its name, the ways to get it (the first that is installed counts), its form, and how to ask for the
/// tool's version.
struct Recipe {
    name: &'static str,
    commands: &'static [&'static [&'static str]],
    form: Form,
    version: &'static [&'static str],
}

const RECIPES: [Recipe; 18] = [
    json(
        "ruleset",
        &[&["nft", "-j", "list", "ruleset"]],
        &["nft", "--version"],
    ),
    text(
        "ruleset-text",
        &[&["nft", "-a", "list", "ruleset"]],
        &["nft", "--version"],
    ),
    json("addresses", &[&["ip", "-j", "-d", "addr"]], &["ip", "-V"]),
    json("links", &[&["ip", "-j", "-d", "link"]], &["ip", "-V"]),
    json(
        "routes",
        &[&["ip", "-j", "-4", "-d", "route", "show", "table", "all"]],
        &["ip", "-V"],
    ),
    json(
        "routes6",
        &[&["ip", "-j", "-6", "-d", "route", "show", "table", "all"]],
        &["ip", "-V"],
    ),
    json("rules", &[&["ip", "-j", "-4", "rule"]], &["ip", "-V"]),
    json("rules6", &[&["ip", "-j", "-6", "rule"]], &["ip", "-V"]),
    json("neighbours", &[&["ip", "-j", "neigh"]], &["ip", "-V"]),
    json(
        "bridge-links",
        &[&["bridge", "-j", "-d", "link"]],
        &["bridge", "-V"],
    ),
    json("bridge-fdb", &[&["bridge", "-j", "fdb"]], &["bridge", "-V"]),
    text(
        "iptables-save",
        &[&["iptables-nft-save", "-c"], &["iptables-save", "-c"]],
        &["iptables", "-V"],
    ),
    text(
        "ip6tables-save",
        &[&["ip6tables-nft-save", "-c"], &["ip6tables-save", "-c"]],
        &["ip6tables", "-V"],
    ),
    text(
        "iptables-legacy-save",
        &[&["iptables-legacy-save", "-c"]],
        &["iptables-legacy", "-V"],
    ),
    text(
        "ip6tables-legacy-save",
        &[&["ip6tables-legacy-save", "-c"]],
        &["ip6tables-legacy", "-V"],
    ),
    text(
        "ebtables-save",
        &[&["ebtables-nft-save"], &["ebtables-save"]],
        &["ebtables", "-V"],
    ),
    text(
        "ebtables-legacy-save",
        &[&["ebtables-legacy-save"]],
        &["ebtables-legacy", "-V"],
    ),
    text("ipset", &[&["ipset", "save"]], &["ipset", "-v"]),
];

const fn json(
    name: &'static str,
    commands: &'static [&'static [&'static str]],
    version: &'static [&'static str],
) -> Recipe {
    Recipe {
        name,
        commands,
        form: Form::Json,
        version,
    }
}

const fn text(
    name: &'static str,
    commands: &'static [&'static [&'static str]],
    version: &'static [&'static str],
) -> Recipe {
    Recipe {
        name,
        commands,
        form: Form::Text,
        version,
    }
}

#[derive(Serialize)]
struct WireBundle {
    schema: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    taken: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<String>,
    tool: WireTool,
    parts: BTreeMap<&'static str, WirePart>,
}

#[derive(Serialize)]
struct WireTool {
    nfpath: &'static str,
}

#[derive(Serialize)]
struct WirePart {
    command: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    json: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl WirePart {
    fn without(command: Vec<String>, status: &'static str, error: String) -> Self {
        Self {
            command,
            version: None,
            status,
            error: Some(error),
            json: None,
            text: None,
        }
    }
}

/// The process of a container by its name or id, as Docker or Podman know it.
///
/// # Errors
/// What each of them said.
pub fn container_process(runner: &dyn Run, name: &str) -> Result<u32, String> {
    let mut said = Vec::new();
    for program in ["docker", "podman"] {
        match runner.run(
            program,
            &["inspect", "--format", "{{.State.Pid}}", "--", name],
        ) {
            Ok(ran) if ran.success => match ran.stdout.trim().parse() {
                Ok(0) => said.push(format!("{program}: the container `{name}` does not run")),
                Ok(pid) => return Ok(pid),
                Err(_) => said.push(format!("{program}: it printed no process id")),
            },
            Ok(ran) => {
                let cause = first_line(&ran.stderr).unwrap_or("it failed and did not say why");
                said.push(format!("{program}: {cause}"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                said.push(format!("{program}: not installed"));
            }
            Err(error) => said.push(format!("{program}: {error}")),
        }
    }
    Err(said.join("; "))
}

/// Asks the machine for everything that a trace can need; the text is a snapshot bundle. Never fails as a whole: a part that could
/// not be had says why.
pub fn snapshot(runner: &dyn Run) -> String {
    let mut parts = BTreeMap::new();
    for recipe in &RECIPES {
        parts.insert(recipe.name, take(runner, recipe));
    }
    parts.insert("sysctls", take_sysctls(runner));
    let bundle = WireBundle {
        schema: format!("{SCHEMA}/{SCHEMA_VERSION}"),
        taken: Some(runner.now()),
        hostname: ask(runner, &["uname", "-n"])
            .or_else(|| read(runner, "/proc/sys/kernel/hostname")),
        kernel: ask(runner, &["uname", "-r"])
            .or_else(|| read(runner, "/proc/sys/kernel/osrelease")),
        tool: WireTool {
            nfpath: env!("CARGO_PKG_VERSION"),
        },
        parts,
    };
    // Strings, lists and JSON that has been checked: there is nothing in it that cannot be written.
    serde_json::to_string_pretty(&bundle)
        .map(|text| text + "\n")
        .unwrap_or_default()
}

fn take(runner: &dyn Run, recipe: &Recipe) -> WirePart {
    let mut absent = None;
    for &command in recipe.commands {
        let [program, args @ ..] = command else {
            continue;
        };
        let words: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
        let ran = match runner.run(program, args) {
            Ok(ran) => ran,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                absent.get_or_insert(WirePart::without(
                    words,
                    "absent",
                    format!("{program} is not installed"),
                ));
                continue;
            }
            Err(error) => return WirePart::without(words, "failed", refusal(&error.to_string())),
        };
        let version = ask(runner, recipe.version);
        if !ran.success {
            let cause = first_line(&ran.stderr).unwrap_or("it failed and did not say why");
            return WirePart {
                version,
                ..WirePart::without(words, "failed", refusal(cause))
            };
        }
        let part = WirePart {
            command: words,
            version,
            status: "ok",
            error: None,
            json: None,
            text: None,
        };
        return match recipe.form {
            Form::Text => WirePart {
                text: Some(ran.stdout),
                ..part
            },
            Form::Json => match as_json(ran.stdout) {
                Ok(json) => WirePart {
                    json: Some(json),
                    ..part
                },
                Err(cause) => WirePart {
                    status: "failed",
                    error: Some(cause),
                    ..part
                },
            },
        };
    }
    absent
        .unwrap_or_else(|| WirePart::without(Vec::new(), "absent", "no command for it".to_owned()))
}

/// The printed JSON. Old versions of `ip` print nothing at all for an empty list.
fn as_json(printed: String) -> Result<Box<RawValue>, String> {
    if printed.trim().is_empty() {
        return Err("it printed nothing".to_owned());
    }
    RawValue::from_string(printed.trim().to_owned())
        .map_err(|error| format!("it printed something that is not JSON: {error}"))
}

/// `sysctl -a` of the network tree; without sysctl(8), the files below /proc/sys.
fn take_sysctls(runner: &dyn Run) -> WirePart {
    let command: Vec<String> = ["sysctl", "-a", "-e"].map(str::to_owned).into();
    match runner.run("sysctl", &["-a", "-e"]) {
        // It fails as a whole when a single key cannot be read.
        Ok(ran) if !ran.stdout.trim().is_empty() => {
            let kept: String = ran
                .stdout
                .lines()
                .filter(|line| line.starts_with("net.") && !is_secret(line))
                .flat_map(|line| [line, "\n"])
                .collect();
            let version = ask(runner, &["sysctl", "--version"]);
            WirePart {
                command,
                version,
                status: "ok",
                error: None,
                json: None,
                text: Some(kept),
            }
        }
        Ok(_) | Err(_) => {
            let mut lines = String::new();
            for tree in ["net/ipv4", "net/ipv6", "net/bridge", "net/netfilter"] {
                read_tree(runner, tree, 0, &mut lines);
            }
            if lines.is_empty() {
                return WirePart::without(
                    command,
                    "failed",
                    "neither sysctl nor /proc/sys can be read".to_owned(),
                );
            }
            let command = vec!["read".to_owned(), "/proc/sys/net".to_owned()];
            WirePart {
                command,
                version: None,
                status: "ok",
                error: None,
                json: None,
                text: Some(lines),
            }
        }
    }
}

/// Words of sysctls that hold a secret; a snapshot is made to be passed on.
const SECRETS: [&str; 2] = ["stable_secret", "tcp_fastopen_key"];

fn is_secret(key: &str) -> bool {
    SECRETS.iter().any(|secret| key.contains(secret))
}

/// How deep the sysctl trees of the network are.
const DEEPEST: usize = 4;

fn read_tree(runner: &dyn Run, path: &str, depth: usize, lines: &mut String) {
    let full = format!("/proc/sys/{path}");
    match runner.list(&full) {
        Ok(names) if depth < DEEPEST => {
            for name in names {
                read_tree(runner, &format!("{path}/{name}"), depth + 1, lines);
            }
        }
        Ok(_) => {}
        Err(_) => {
            if !is_secret(path)
                && let Ok(value) = runner.read(&full)
                && !value.trim().contains('\n')
            {
                lines.push_str(&format!("{path} = {}\n", value.trim()));
            }
        }
    }
}

/// The first line that a command prints, if it works.
fn ask(runner: &dyn Run, command: &[&str]) -> Option<String> {
    let [program, args @ ..] = command else {
        return None;
    };
    let ran = runner.run(program, args).ok().filter(|ran| ran.success)?;
    // Some tools print their version on standard error.
    first_line(&ran.stdout)
        .or_else(|| first_line(&ran.stderr))
        .map(str::to_owned)
}

fn read(runner: &dyn Run, path: &str) -> Option<String> {
    let text = runner.read(path).ok()?;
    first_line(&text).map(str::to_owned)
}

fn first_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).find(|line| !line.is_empty())
}

/// Adds what to do about a refusal.
fn refusal(cause: &str) -> String {
    let lower = cause.to_lowercase();
    if lower.contains("permission denied")
        || lower.contains("not permitted")
        || lower.contains("must be root")
    {
        format!("{cause}; run as root")
    } else {
        cause.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::bundle;

    /// Answers from a table; anything else is not installed.
    #[derive(Default)]
    struct Fake {
        commands: BTreeMap<&'static str, Result<&'static str, &'static str>>,
        files: BTreeMap<&'static str, &'static str>,
    }

    impl Run for Fake {
        fn run(&self, program: &str, args: &[&str]) -> io::Result<Ran> {
            let line = [&[program], args].concat().join(" ");
            match self.commands.get(line.as_str()) {
                Some(Ok(stdout)) => Ok(Ran {
                    success: true,
                    stdout: (*stdout).to_owned(),
                    stderr: String::new(),
                }),
                Some(Err(stderr)) => Ok(Ran {
                    success: false,
                    stdout: String::new(),
                    stderr: (*stderr).to_owned(),
                }),
                None => Err(io::ErrorKind::NotFound.into()),
            }
        }

        fn read(&self, path: &str) -> io::Result<String> {
            self.files
                .get(path)
                .map(|text| (*text).to_owned())
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        }

        fn list(&self, path: &str) -> io::Result<Vec<String>> {
            let below = format!("{path}/");
            let mut names: Vec<String> = self
                .files
                .keys()
                .filter_map(|file| file.strip_prefix(&below)?.split('/').next())
                .map(str::to_owned)
                .collect();
            names.dedup();
            if names.is_empty() {
                Err(io::ErrorKind::NotADirectory.into())
            } else {
                Ok(names)
            }
        }

        fn now(&self) -> String {
            "2026-01-02T03:04:05Z".to_owned()
        }
    }

    #[test]
    fn what_was_taken_is_read_again() {
        let fake = Fake {
            commands: BTreeMap::from([
                (
                    "nft -j list ruleset",
                    Ok(r#"{"nftables": [ {"metainfo": {}} ]}"#),
                ),
                (
                    "nft --version",
                    Ok("nftables v1.1.3 (Commodore Bullmoose #4)\n"),
                ),
                (
                    "ip -j -d addr",
                    Ok(
                        r#"[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP"],"link_type":"loopback","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host"}]}]"#,
                    ),
                ),
                (
                    "ip -j -4 rule",
                    Err("RTNETLINK answers: Operation not permitted\nDump terminated\n"),
                ),
                ("iptables-save -c", Ok("*filter\nCOMMIT\n")),
                (
                    "sysctl -a -e",
                    Ok(
                        "kernel.x = 1\nnet.ipv4.ip_forward = 1\nnet.ipv4.tcp_fastopen_key = c0ffee\n",
                    ),
                ),
                ("uname -r", Ok("6.18.0\n")),
                ("uname -n", Ok("box\n")),
            ]),
            ..Fake::default()
        };
        let text = snapshot(&fake);
        assert!(bundle::is_bundle(&text));
        let read = bundle::read("s.json", &text).expect("its own bundle");
        assert_eq!(read.kernel.as_deref(), Some("6.18.0"));
        assert_eq!(read.hostname.as_deref(), Some("box"));
        assert_eq!(read.taken.as_deref(), Some("2026-01-02T03:04:05Z"));
        assert_eq!(
            read.ruleset_json.map(|raw| raw.get().to_owned()).as_deref(),
            Some(r#"{"nftables": [ {"metainfo": {}} ]}"#)
        );
        assert_eq!(read.iptables_save.as_deref(), Some("*filter\nCOMMIT\n"));
        assert_eq!(read.host.addresses.len(), 1);
        assert_eq!(read.host.sysctl("net.ipv4.ip_forward"), Some(1));
        assert!(
            read.host.complete.addresses
                && !read.host.complete.routes4
                && !read.host.complete.rules4
        );
        let said: Vec<String> = read.diagnostics.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "warning: s.json, part rules: could not be taken: RTNETLINK answers: Operation not permitted; run as root"
            ]
        );
        assert!(text.contains("bridge is not installed"), "{text}");
        assert!(!text.contains("c0ffee"));
    }

    #[test]
    fn sysctls_are_read_from_proc_without_the_tool() {
        let fake = Fake {
            files: BTreeMap::from([
                ("/proc/sys/net/ipv4/ip_forward", "1\n"),
                ("/proc/sys/net/ipv4/conf/eth0.10/rp_filter", "2\n"),
                ("/proc/sys/net/ipv4/conf/all/rp_filter", "0\n"),
                ("/proc/sys/kernel/hostname", "box\n"),
            ]),
            ..Fake::default()
        };
        let read = bundle::read("s", &snapshot(&fake)).expect("its own bundle");
        assert_eq!(read.host.sysctl("net.ipv4.ip_forward"), Some(1));
        assert_eq!(read.host.rp_filter("eth0.10"), Some(2));
        assert_eq!(read.hostname.as_deref(), Some("box"));
    }
}
