//! What people really hand in: texts with parts that cannot be read, packets that are not what rules expect, words as
//! they stand in the shell's history. Each test is named for what was answered wrongly.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Files of one test, and the program that reads them.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Desk {
        Desk {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn with(name: &str, content: impl AsRef<[u8]>) -> Desk {
        let desk = Desk::new();
        desk.put(name, content);
        desk
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).expect("written");
        path
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_nfpath"))
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C.UTF-8")
            .env("COLUMNS", "400")
            .stdin(Stdio::null())
            .args(args)
            .output()
            .expect("the program runs")
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--format", "json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", err(&output)))
    }
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}

#[track_caller]
fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no `{word}` in: {text}");
    }
}

/// Code and message of what `--why-not` finds for the request.
fn why_not(desk: &Desk, args: &[&str], rule: &str) -> (String, String) {
    let report = desk.json(&[args, &["--why-not", rule]].concat());
    let finding = &report["flows"][0]["why_not"][0]["findings"][0];
    let word = |key: &str| finding[key].as_str().unwrap_or_default().to_string();
    (word("code"), word("message"))
}

const MARKS: &str = "*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p udp -j NOTRACK
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
-A PREROUTING -j CONNMARK --restore-mark
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -j DOCKER
-A DOCKER -p udp -m udp --dport 53 -j DNAT --to-destination 10.0.0.9
COMMIT
";

// --- why not ---

#[test]
fn why_a_nat_chain_did_not_see_a_packet_without_a_connection() {
    let desk = Desk::with("rules", MARKS);
    for (flow, state, expected) in [
        (
            "udp:10.0.0.1->10.0.0.2:53",
            "new",
            "this one is not tracked: ip raw PREROUTING rule 1 says so",
        ),
        (
            "tcp:10.0.0.1->10.0.0.2:53",
            "invalid",
            "this one is of no connection (`ct state invalid`)",
        ),
        (
            "tcp:10.0.0.1->10.0.0.2:53",
            "untracked",
            "this one is not tracked",
        ),
    ] {
        let args = [
            "explain",
            "rules",
            "--flow",
            flow,
            "--ct-state",
            state,
            "--local",
            "10.0.0.2",
        ];
        for rule in ["ip nat PREROUTING rule 1", "ip nat DOCKER rule 1"] {
            let (_, message) = why_not(&desk, &args, rule);
            let words = "nat chains see only the first packet of a tracked connection, and";
            has(&message, &[words, expected]);
        }
    }
}

#[test]
fn a_connection_mark_that_does_not_exist_is_told_of() {
    // nft_target_eval goes on after XT_CONTINUE, which xt_connmark gives a packet without a connection
    let desk = Desk::with("rules", MARKS);
    let report = desk.json(&["explain", "rules", "--flow", "udp:10.0.0.1->10.0.0.2:53"]);
    let flow = &report["flows"][0];
    let steps = flow["request"]["steps"].as_array().expect("steps");
    let step = steps
        .iter()
        .find(|step| step["text"] == "-j CONNMARK --restore-mark");
    let step = step.unwrap_or_else(|| panic!("{steps:#?}"));
    assert_eq!(step["matched"], true);
    assert_eq!(step["verdict"], "continue");
    let note = &flow["notes"][0];
    assert_eq!(note["code"], "no-connection-mark");
    has(
        note["message"].as_str().expect("words"),
        &["untracked", "no connection mark"],
    );
}
