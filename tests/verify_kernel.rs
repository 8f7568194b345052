//! `nfpath verify` with a real kernel.
//!
//! Needs root and nft; without them each test says aloud that it skips. `NFPATH_KERNEL=require` makes a skip a failure.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nfpath::explain::Question;
use nfpath::kernel::{self, Agreement, Part, Words};
use nfpath::load::load;
use support::{kernel_or_skip, testdata};

fn verify(ruleset: &Path, host: Option<&Path>, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nfpath"));
    command
        .env("COLUMNS", "80")
        .env("NO_COLOR", "1")
        .arg("verify")
        .arg(ruleset);
    let parts = [
        ("--addr", "addr.json"),
        ("--link", "link.json"),
        ("--routes", "route.json"),
        ("--routes", "route6.json"),
        ("--rules", "rule.json"),
        ("--rules", "rule6.json"),
        ("--sysctls", "sysctl.txt"),
    ];
    for (flag, file) in parts {
        if let Some(path) = host
            .map(|host| host.join(file))
            .filter(|path| path.exists())
        {
            command.arg(flag).arg(path);
        }
    }
    command.args(more);
    command
}

fn run(command: &mut Command) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("nfpath runs");
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    (status.code(), text)
}

/// A case of testdata and what its flow comes to: exit status and words of the output.
fn check(case: &str, more: &[&str], status: i32, words: &[&str]) {
    let folder = testdata(case);
    let (code, text) = run(&mut verify(
        &folder.join("ruleset.json"),
        Some(&folder.join("host")),
        more,
    ));
    assert_eq!(code, Some(status), "{case} {more:?}\n{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 200));
    for word in words {
        assert!(text.contains(word), "{case} {more:?}: no `{word}`\n{text}");
    }
}

#[test]
fn the_published_port_goes_both_ways_as_the_model_says() {
    if !kernel_or_skip("the_published_port_goes_both_ways_as_the_model_says") {
        return;
    }
    check(
        "c1",
        &["--flow", "udp:10.254.10.105->10.254.10.252:1812"],
        0,
        &[
            "-> 172.20.0.4:1812",
            "leaves by ens192",
            "model and kernel agree: 30 steps of the request, 22 of the reply",
        ],
    );
    // bridged between siblings, and with the IP hooks inside the bridge
    for setting in ["0", "1"] {
        let sysctl = format!("net.bridge.bridge-nf-call-iptables={setting}");
        check(
            "c1",
            &[
                "--sysctl",
                &sysctl,
                "--iif",
                "vethproxy",
                "--flow",
                "udp:172.20.0.2->172.20.0.4:1812",
            ],
            0,
            &["agree"],
        );
    }
}

#[test]
fn small_hosts_do_as_the_model_says() {
    if !kernel_or_skip("small_hosts_do_as_the_model_says") {
        return;
    }
    let client_host = "udp:10.0.0.2->10.0.0.1:5000";
    let client_server = "udp:10.0.0.2->10.1.0.2:5000";
    check(
        "small/nat-priority-order",
        &["--flow", client_host],
        0,
        &["leaves by eth1", "-> 10.1.0.2:5000"],
    );
    check(
        "small/forwarding-off",
        &["--flow", client_server],
        0,
        &["forwarding-off", "no reply"],
    );
    check(
        "small/reject-forward",
        &[
            "--flow",
            "tcp:10.0.0.2->10.1.0.2:80",
            "--flow",
            client_server,
        ],
        0,
        &["rejected", "drop"],
    );
    check(
        "small/redirect-output",
        &["--flow", "udp:->10.1.0.2:53"],
        0,
        &["reaches this host", "127.0.0.1:5353"],
    );
    check(
        "small/loopback",
        &["--flow", "tcp:127.0.0.1->127.0.0.1:80"],
        0,
        &["agree"],
    );
    check(
        "small/accept-is-not-final",
        &["--flow", "tcp:10.0.0.2->10.0.0.1:22"],
        0,
        &["reaches this host", "of the reply"],
    );
    check(
        "small/rp-filter-strict",
        &["--iif", "eth0", "--flow", client_server],
        0,
        &["does not arrive"],
    );
}

#[test]
fn what_cannot_be_verified_is_refused_in_one_line() {
    if !kernel_or_skip("what_cannot_be_verified_is_refused_in_one_line") {
        return;
    }
    let flow = ["--flow", "udp:10.0.0.2->10.0.0.1:5000"];
    let with = |more: &[&'static str]| [&flow[..], more].concat();
    check(
        "small/loopback",
        &with(&["--ct-state", "established"]),
        4,
        &["cannot be verified"],
    );
    check(
        "small/loopback",
        &with(&["--mark", "7"]),
        4,
        &["a wire carries no mark"],
    );
    check("small/loopback", &[], 2, &["no flow to verify"]);
    check(
        "small/netdev-ingress",
        &flow,
        4,
        &[
            "has no device in this listing",
            "as `nft list ruleset` prints it",
        ],
    );
}

#[test]
fn the_comparison_is_written_as_json() {
    if !kernel_or_skip("the_comparison_is_written_as_json") {
        return;
    }
    let folder = testdata("small/loopback");
    let output = verify(
        &folder.join("ruleset.json"),
        Some(&folder.join("host")),
        &[],
    )
    .args(["--flow", "udp:->127.0.0.1:5000", "--format", "json"])
    .output()
    .expect("nfpath runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(value["schema"], "nfpath.verify/1");
    assert_eq!(value["agreement"]["agreed"], 1, "{text}");
    assert_eq!(
        value["flows"][0]["request"]["model"],
        value["flows"][0]["request"]["kernel"]
    );
    let output = Command::new(env!("CARGO_BIN_EXE_nfpath"))
        .args([
            "verify", "--random", "20", "--seed", "1", "--format", "json", "--out",
        ])
        .arg(std::env::temp_dir().join(format!("nfpath-json-{}", std::process::id())))
        .output()
        .expect("nfpath runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (&value["agreement"]["flows"], &value["seed"]),
        (&20.into(), &1.into())
    );
    let kinds = value["coverage"].as_array().expect("kinds");
    assert!(kinds.iter().any(|kind| kind["zero_because"].is_string()));
    assert!(kinds.len() > 200, "{text}");
}

#[test]
fn a_model_that_is_wrong_is_told_where() {
    if !kernel_or_skip("a_model_that_is_wrong_is_told_where") {
        return;
    }
    let folder = testdata("small/accept-is-not-final");
    let text = fs::read_to_string(folder.join("ruleset.json")).expect("ruleset");
    let loaded = load("ruleset.json", &text, &[]).expect("a listing");
    let nft = fs::read_to_string(folder.join("ruleset.nft")).expect("ruleset");
    // the kernel gets another verdict in the second table than the model
    let words = Words(vec![Part::Nft(
        nft.replace("dport 5000 drop", "dport 5000 accept"),
    )]);
    let flow = nfpath::flow::parse("udp:10.0.0.2:40000->10.1.0.2:5000").expect("a flow");
    let mut host = nfpath::host::Host::default();
    for iface in ["eth0=10.0.0.1/24", "eth1=10.1.0.1/24"] {
        nfpath::load::bundle::apply_iface(&mut host, iface).expect("an interface");
    }
    let verified =
        kernel::in_a_lab(|| kernel::verify(&loaded, &words, &host, &Question::new(flow)))
            .and_then(|verified| verified)
            .expect("a comparison");
    assert_eq!(verified.agreement, Agreement::No);
    let row = verified.request.difference.expect("a difference");
    assert_eq!(verified.request.model.lines[row].verdict, "drop");
    assert_eq!(verified.request.kernel.lines[row].verdict, "accept");
}

/// Rulesets of a few words, each for something that model and kernel once saw differently.
#[test]
fn what_once_differed_agrees() {
    if !kernel_or_skip("what_once_differed_agrees") {
        return;
    }
    let folder = std::env::temp_dir().join(format!("nfpath-verify-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("ruleset.nft");
    let host: &[&str] = &[
        "--bridge",
        "br0=p1,p2",
        "--iface",
        "eth0=10.0.0.1/24,fd00::1/64",
        "--iface",
        "eth1=10.1.0.1/24,fd01::1/64",
        "--iface",
        "br0=172.20.0.1/24",
    ];
    let nat = "table inet t { chain c { type nat hook prerouting priority -100; ";
    let cases: [(String, &[&str]); 8] = [
        // a translation for the other IP protocol does nothing, but what it looks up must be there
        (
            format!("{nat} tcp dport 80 dnat ip to 10.1.0.2; ct state new counter; }}; }}"),
            &["--iif", "eth0", "--flow", "tcp:[fd00::2]->[fd01::2]:80"],
        ),
        (
            format!("{nat} dnat ip to tcp dport map {{ 80 : 10.1.0.2 }}; ct state new counter; }}; }}"),
            &["--iif", "eth0", "--flow", "tcp:[fd00::2]->[fd01::2]:81"],
        ),
        // and it asks for the conntrack of its own protocol only
        (
            format!("{nat} tcp dport 80 dnat ip to 10.1.0.2; }}; }}"),
            &["--iif", "eth0", "--flow", "tcp:[fd00::2]->[fd01::2]:80"],
        ),
        // no conversation begins with its end
        (
            format!("{nat} ct state new accept; }}; }}"),
            &["--iif", "eth0", "--tcp-flags", "fin,ack", "--flow", "tcp:10.0.0.2->10.1.0.2:80"],
        ),
        // a bridged frame is for somebody else
        (
            "table bridge t { chain c { type filter hook forward priority -10; meta pkttype host drop; meta pkttype other counter; }; }".into(),
            &["--iif", "p1", "--flow", "udp:172.20.0.2->172.20.0.3:53"],
        ),
        // over loopback the way back is always there
        (
            "table ip t { chain c { type filter hook input priority 0; fib saddr . iif oif missing drop; }; }".into(),
            &["--flow", "udp:10.0.0.1->10.1.0.1:53"],
        ),
        // nothing leaves the host from 127.0.0.0/8
        (
            "table ip t { chain c { type nat hook output priority -100; udp dport 53 dnat to 10.1.0.2; }; }".into(),
            &["--flow", "udp:127.0.0.1->127.0.0.1:53"],
        ),
        // neighbours are found although the ruleset drops what asks for them
        (
            "table ip6 t { chain i { type filter hook input priority 0; policy drop; }; chain o { type filter hook output priority 0; policy drop; }; }".into(),
            &["--iif", "eth0", "--flow", "udp:[fd00::2]->[fd01::2]:53"],
        ),
    ];
    for (text, flow) in cases {
        fs::write(&file, &text).expect("a file");
        let (code, out) = run(&mut verify(&file, None, &[host, flow].concat()));
        assert_eq!(code, Some(0), "{text}\n{out}");
    }
    fs::remove_dir_all(&folder).expect("a folder");
}

#[test]
fn made_up_cases_agree_nearly_always_and_the_others_can_be_seen_again() {
    if !kernel_or_skip("made_up_cases_agree_nearly_always_and_the_others_can_be_seen_again") {
        return;
    }
    let folder = std::env::temp_dir().join(format!("nfpath-random-{}", std::process::id()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_nfpath"));
    command
        .args(["verify", "--random", "300", "--seed", "7", "--out"])
        .arg(&folder);
    let output = command.output().expect("nfpath runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text.lines().last().unwrap_or_default();
    let count = last
        .strip_prefix("kernel agreement: ")
        .and_then(|rest| rest.split_once("/300 flows ("))
        .and_then(|(count, _)| count.parse::<u32>().ok());
    assert!(count.is_some_and(|count| count >= 298), "{text}");
    assert!(last.contains("panics 0"), "{text}");
    assert!(text.starts_with("coverage: "), "{text}");
    assert!(
        text.contains("\nnot reached, nft 1.0.6 cannot write it:\n"),
        "{text}"
    );
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    let differ = fs::read_dir(&folder).map_or(0, Iterator::count) as u32;
    // a worker may have written a case that the run did not wait for
    assert!(count.is_some_and(|count| count + differ >= 300), "{text}");
    let _ = fs::remove_dir_all(&folder);
}

#[test]
fn a_bare_ruleset_gets_a_host_that_fits_it() {
    if !kernel_or_skip("a_bare_ruleset_gets_a_host_that_fits_it") {
        return;
    }
    let (code, text) = run(&mut verify(
        &testdata("c1/ruleset.json"),
        None,
        &["--flow", "udp:10.254.10.105->10.254.10.252:1812"],
    ));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("the lab takes it that"), "{text}");
    assert!(
        text.contains("no port of bridge docker1 is known"),
        "{text}"
    );
}

/// The network namespaces that tasks of a process are in.
fn namespaces_of(process: u32) -> BTreeSet<PathBuf> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else {
        return BTreeSet::new();
    };
    tasks
        .flatten()
        .filter_map(|task| fs::read_link(task.path().join("ns/net")).ok())
        .collect()
}

fn processes() -> Vec<u32> {
    fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

#[test]
fn nothing_is_left_when_it_is_killed() {
    if !kernel_or_skip("nothing_is_left_when_it_is_killed") {
        return;
    }
    let own = namespaces_of(std::process::id());
    let flows: Vec<&str> = std::iter::repeat_n(["--flow", "udp:10.0.0.2->10.0.0.1:5000"], 200)
        .flatten()
        .collect();
    let folder = testdata("small/loopback");
    let mut child = verify(
        &folder.join("ruleset.json"),
        Some(&folder.join("host")),
        &flows,
    )
    .stdout(Stdio::piped())
    .spawn()
    .expect("nfpath runs");
    let stdout = child.stdout.take().expect("output");
    // the first answers have come, and it goes on
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("agree")));
    let mut theirs = BTreeSet::new();
    let start = Instant::now();
    while theirs.is_empty() && start.elapsed() < Duration::from_secs(20) {
        theirs = namespaces_of(child.id())
            .difference(&own)
            .cloned()
            .collect();
    }
    assert!(!theirs.is_empty(), "it works in a namespace of its own");
    child.kill().expect("SIGKILL");
    child.wait().expect("it ends");
    let left = || {
        processes()
            .into_iter()
            .filter(|&process| !namespaces_of(process).is_disjoint(&theirs))
            .collect::<Vec<_>>()
    };
    let start = Instant::now();
    while !left().is_empty() && start.elapsed() < Duration::from_secs(20) {
        std::thread::yield_now();
    }
    assert!(
        left().is_empty(),
        "no process is left in the lab's namespaces"
    );
}

#[test]
fn ctrl_c_leaves_what_was_found() {
    if !kernel_or_skip("ctrl_c_leaves_what_was_found") {
        return;
    }
    let own = namespaces_of(std::process::id());
    let folder = tempfile::tempdir().expect("a folder");
    let child = Command::new(env!("CARGO_BIN_EXE_nfpath"))
        .args(["verify", "--random", "1000000", "--seed", "4", "--out"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nfpath runs");
    // it has a namespace of its own, so it is past its beginning
    let start = Instant::now();
    while namespaces_of(child.id()).is_subset(&own) && start.elapsed() < Duration::from_secs(20) {
        std::thread::yield_now();
    }
    let interrupt = Command::new("sh")
        .args(["-c", &format!("kill -INT {}", child.id())])
        .status()
        .expect("sh");
    assert!(interrupt.success());
    let output = child.wait_with_output().expect("it ends");
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert_eq!(output.status.code(), Some(4), "{stdout}{stderr}");
    assert!(stdout.contains("kernel agreement: "), "{stdout}");
    assert!(stderr.contains("stopped: "), "{stderr}");
}
