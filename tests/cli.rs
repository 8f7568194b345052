//! The program as its users run it: what it prints where, and its exit status.

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::{kernel_or_skip, testdata};

const FLOW: &str = "udp:10.254.10.105->10.254.10.252:1812";

/// The program in the project's folder, with nothing of the caller's environment.
fn nfpath() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nfpath"));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C.UTF-8")
        .env("COLUMNS", "100")
        .stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    nfpath().args(args).output().expect("the program runs")
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}

#[track_caller]
fn succeeds(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    out(&output).to_owned()
}

/// Runs with a ruleset that is a file of its own with this content.
fn explain_text(content: &[u8], more: &[&str]) -> Output {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(content).expect("written");
    let name = file.path().to_str().expect("a plain name");
    nfpath()
        .args(["explain", name, "--flow", "tcp:10.0.0.2->10.0.0.1:22"])
        .args(["--local", "10.0.0.1"])
        .args(more)
        .output()
        .expect("the program runs")
}

/// One line on standard error that has these words, nothing on standard output, this status.
#[track_caller]
fn refused(output: &Output, status: i32, words: &[&str]) {
    let said = err(output);
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert_eq!(out(output), "");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("nfpath: error: "), "{said}");
    for word in words {
        assert!(said.contains(word), "no `{word}` in: {said}");
    }
}

fn listing(objects: &str) -> Vec<u8> {
    let head = r#"{"metainfo":{"version":"1.0.6","json_schema_version":1}}"#;
    format!("{{\"nftables\":[{head},{objects}]}}").into_bytes()
}

const TABLE: &str = r#"{"table":{"family":"ip","name":"t","handle":1}},
    {"chain":{"family":"ip","table":"t","name":"c","handle":1,"type":"filter","hook":"input","prio":0,"policy":"accept"}}"#;

// --- the headline ---

#[test]
fn the_headline_bare() {
    let text = succeeds(&["explain", "testdata/c1/ruleset.json", "--flow", FLOW]);
    insta::assert_snapshot!("headline_bare", text);
}

/// The files of `testdata/c1/host` as flags.
const C1_HOST: [&str; 16] = [
    "--addr",
    "testdata/c1/host/addr.json",
    "--link",
    "testdata/c1/host/link.json",
    "--routes",
    "testdata/c1/host/route.json",
    "--routes",
    "testdata/c1/host/route6.json",
    "--rules",
    "testdata/c1/host/rule.json",
    "--rules",
    "testdata/c1/host/rule6.json",
    "--sysctls",
    "testdata/c1/host/sysctl.txt",
    "--color",
    "never",
];

#[test]
fn the_headline_with_facts() {
    let mut args = vec!["explain", "testdata/c1/ruleset.json", "--flow", FLOW];
    args.extend(C1_HOST);
    insta::assert_snapshot!("headline_with_facts", succeeds(&args));
}

#[test]
fn the_headline_from_a_snapshot_of_the_real_software() {
    let args = [
        "explain",
        "testdata/c1-captured/snapshot.json",
        "--flow",
        FLOW,
    ];
    insta::assert_snapshot!("headline_captured", succeeds(&args));
}

#[test]
fn the_headline_verbose_in_80_columns() {
    let output = nfpath()
        .args(["explain", "testdata/c1/ruleset.json", "--flow", FLOW, "-v"])
        .env("COLUMNS", "80")
        .output()
        .expect("the program runs");
    let text = out(&output);
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    insta::assert_snapshot!("headline_verbose_80", text);
}

/// What would let it pass, as a narrow and as a wide terminal show it; the exit status is that of the answer.
#[test]
fn what_would_let_a_dropped_flow_pass() {
    for columns in ["80", "140"] {
        let output = nfpath()
            .env("COLUMNS", columns)
            .args(["explain", "testdata/c2/appended/snapshot.json", "-v"])
            .args(["--flow", "icmp:172.18.0.2->172.19.0.2", "--remedy"])
            .output()
            .expect("the program runs");
        assert_eq!(output.status.code(), Some(1));
        let text = out(&output);
        let section = text.find("WHAT WOULD LET IT PASS").map(|at| &text[at..]);
        insta::assert_snapshot!(format!("remedy_{columns}"), section.expect("a section"));
    }
    let hint = "--remedy tells what would let it pass";
    let dropped = ["explain", "testdata/c2/appended/snapshot.json"];
    let dropped = run(&[&dropped[..], &["--flow", "icmp:172.18.0.2->172.19.0.2"]].concat());
    assert!(out(&dropped).contains(hint));
    let passes = ["explain", "testdata/c2/inserted/snapshot.json"];
    let passes = [&passes[..], &["--flow", "icmp:172.18.0.2->172.19.0.2"]].concat();
    assert!(!succeeds(&passes).contains(hint));
    let asked = succeeds(&[&passes[..], &["--remedy"]].concat());
    assert!(asked.contains("nothing to change: it passes both ways as it is"));
}

#[test]
fn the_headline_as_json() {
    let args = [
        "explain",
        "testdata/c1/ruleset.json",
        "--flow",
        FLOW,
        "--format",
        "json",
    ];
    let all = succeeds(&args);
    let text = succeeds(&[&args[..], &["--matched-only"]].concat());
    insta::assert_snapshot!("headline_json", text);
    assert!(!text.contains("\"matched\": false"));
    assert!(all.contains("\"matched\": false"));
}

#[test]
fn the_headline_as_a_drawing() {
    let args = ["graph", "testdata/c1/ruleset.json", "--flow", FLOW];
    insta::assert_snapshot!("headline_dot", succeeds(&args));
}

#[test]
fn same_input_same_bytes() {
    for format in ["text", "json"] {
        let args = [
            "explain",
            "testdata/c1/ruleset.json",
            "--flow",
            FLOW,
            "--format",
            format,
            "-v",
        ];
        assert_eq!(succeeds(&args), succeeds(&args));
    }
    let args = ["graph", "testdata/c1/ruleset.json", "--flow", FLOW];
    assert_eq!(succeeds(&args), succeeds(&args));
}

#[test]
fn a_comma_in_a_flow_needs_no_quotes() {
    let comma = "udp:10.254.10.105,10.254.10.252:1812";
    let report = |flow| succeeds(&["explain", "testdata/c1/ruleset.json", "--flow", flow]);
    assert_eq!(report(comma), report(FLOW));
}

// --- the report's schema ---

#[test]
fn reports_are_valid_by_their_schema() {
    let schema: Value = serde_json::from_str(&succeeds(&["schema", "report"])).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let flows = [
        FLOW,
        "icmp:10.254.10.105->10.254.10.252",
        "tcp:10.254.10.105->8.8.8.8:80",
        "udp:->10.0.0.1:53",
        "tcp:[fd00::1]:40000->[fd00::2]:443",
        "47:10.0.0.1->10.254.10.252",
    ];
    for ruleset in [
        "testdata/c1/ruleset.json",
        "testdata/c1-captured/snapshot.json",
    ] {
        for flow in flows {
            let output = run(&["explain", ruleset, "--flow", flow, "--format", "json"]);
            let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            let errors: Vec<String> = validator
                .iter_errors(&report)
                .map(|e| e.to_string())
                .collect();
            assert_eq!(errors, Vec::<String>::new(), "{ruleset} {flow}");
            assert_eq!(report["schema"], "nfpath.report/1");
        }
    }
}

#[test]
fn answers_about_all_packets_are_valid_by_their_schemas() {
    let facts = fs::read_to_string("testdata/diff/web.facts").expect("facts");
    let facts: Vec<&str> = facts.split_whitespace().collect();
    let reach = ["reach", "testdata/diff/web.new.json", "--format", "json"];
    let diff = [
        "diff",
        "testdata/diff/web.old.json",
        "testdata/diff/web.new.json",
        "--format",
        "json",
    ];
    for (format, args) in [("reach", reach.as_slice()), ("diff", diff.as_slice())] {
        let schema: Value = serde_json::from_str(&succeeds(&["schema", format])).expect("JSON");
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let output = run(&[args, facts.as_slice()].concat());
        let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(
            answer["rows"]
                .as_array()
                .is_some_and(|rows| !rows.is_empty())
        );
        let errors: Vec<String> = validator
            .iter_errors(&answer)
            .map(|error| error.to_string())
            .collect();
        assert_eq!(errors, Vec::<String>::new(), "{format}");
    }
}

// --- where things are printed, and how ---

#[test]
fn colour_only_when_asked_for() {
    let args = ["explain", "testdata/c1/ruleset.json", "--flow", FLOW];
    let with = |key: &str, value: &str, args: &[&str]| {
        let output = nfpath().args(args).env(key, value).output().expect("runs");
        out(&output).contains('\u{1b}')
    };
    assert!(!with("TERM", "xterm", &args));
    assert!(with("CLICOLOR_FORCE", "1", &args));
    assert!(!with("NO_COLOR", "1", &args));
    assert!(with(
        "NO_COLOR",
        "1",
        &[&args[..], &["--color", "always"]].concat()
    ));
    assert!(!with(
        "CLICOLOR_FORCE",
        "1",
        &[&args[..], &["--color", "never"]].concat()
    ));
}

#[test]
fn colour_changes_no_word() {
    let args = ["explain", "testdata/c1/ruleset.json", "--flow", FLOW];
    let coloured = succeeds(&[&args[..], &["--color", "always"]].concat());
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').expect("the end of a sequence").1;
    }
    plain.push_str(rest);
    assert_eq!(plain, succeeds(&args));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = nfpath()
        .args(["explain", "testdata/c1/ruleset.json", "--flow", FLOW, "-v"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ends");
    assert_eq!(err(&output), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_ruleset_on_standard_input() {
    let file = fs::File::open(testdata("c1/ruleset.json")).expect("opens");
    let output = nfpath()
        .args(["explain", "-", "--flow", FLOW])
        .stdin(file)
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(0));
    assert!(out(&output).contains("ruleset -:"), "{}", out(&output));
}

#[test]
fn names_of_the_ruleset_cannot_write_to_the_terminal() {
    let objects = r#"{"table":{"family":"ip","name":"t\u001b[31m","handle":1}},
        {"chain":{"family":"ip","table":"t\u001b[31m","name":"c\n\u202e","handle":1,"type":"filter","hook":"input","prio":0,"policy":"drop"}},
        {"rule":{"family":"ip","table":"t\u001b[31m","chain":"c\n\u202e","handle":2,"comment":"\u0007\u009b","expr":[{"drop":null}]}}"#;
    let output = explain_text(&listing(objects), &["-v"]);
    assert_eq!(output.status.code(), Some(1));
    let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!out(&output).contains(bad), "{}", out(&output));
    let output = explain_text(&listing(objects), &["--color", "never"]);
    assert!(!err(&output).contains(bad), "{}", err(&output));
}

// --- exit status ---

#[test]
fn exit_status_of_answers() {
    let bare = "testdata/c1/ruleset.json";
    let status = |args: &[&str]| run(args).status.code();
    assert_eq!(status(&["explain", bare, "--flow", FLOW]), Some(0));
    // the container's port is not published on another address
    let away = "udp:10.254.10.105->172.20.0.9:1812";
    assert_eq!(status(&["explain", bare, "--flow", away]), Some(1));
    let both = ["explain", bare, "--flow", FLOW, "--flow", away];
    assert_eq!(status(&both), Some(1));
    assert_eq!(status(&["explain", bare]), Some(2));
    assert_eq!(
        status(&["explain", "no-such-file", "--flow", FLOW]),
        Some(3)
    );
    let opaque = "testdata/c1-captured/ruleset.json";
    assert_eq!(status(&["explain", opaque, "--flow", FLOW]), Some(4));
}

#[test]
fn opaque_rules_name_the_file_that_settles_them() {
    let opaque = "testdata/c1-captured/ruleset.json";
    let output = run(&["explain", opaque, "--flow", FLOW]);
    assert!(out(&output).contains("UNKNOWN"), "{}", out(&output));
    assert!(out(&output).contains("NOT MODELLED"), "{}", out(&output));
    assert!(out(&output).contains("iptables-save"), "{}", out(&output));
    let save = "testdata/c1-captured/iptables-save.txt";
    let output = run(&["explain", opaque, "--flow", FLOW, "--iptables-save", save]);
    assert_eq!(output.status.code(), Some(0), "{}", out(&output));
    assert!(out(&output).contains("--to-destination 172.20.0.4:1812"));
}

// --- bad input ---

#[test]
fn what_one_file_settles_is_told_once() {
    let xt = r#"{"rule":{"family":"ip","table":"t","chain":"c","handle":HANDLE,"expr":[{"xt":{"type":"match","name":"conntrack"}},{"drop":null}]}}"#;
    let rules: Vec<String> = (10..20)
        .map(|handle| xt.replace("HANDLE", &handle.to_string()))
        .collect();
    let output = explain_text(
        &listing(&format!("{TABLE},{}", rules.join(","))),
        &["--iif", "eth0"],
    );
    let text = out(&output);
    let times = |word: &str| text.matches(word).count();
    // for the header, the endings, the assumptions, the parts that are not modelled
    assert!(times("--iptables-save FILE") <= 4 + 1, "{text}");
    assert!(text.contains("and 5 more like these"), "{text}");
    let verbose = explain_text(
        &listing(&format!("{TABLE},{}", rules.join(","))),
        &["--iif", "eth0", "-v"],
    );
    for handle in 10..20 {
        let claim = format!("iptables match conntrack does not hold in chain c rule #{handle}");
        assert!(out(&verbose).contains(&claim), "{}", out(&verbose));
    }
}

#[test]
fn the_answer_names_the_software_that_wrote_the_rule() {
    let host = |file: &str| format!("testdata/c2/appended/{file}");
    let output = run(&[
        "explain",
        &host("ruleset.json"),
        "--iptables-save",
        &host("iptables-save.txt"),
        "--addr",
        &host("host/addr.json"),
        "--link",
        &host("host/link.json"),
        "--routes",
        &host("host/route.json"),
        "--flow",
        "icmp:172.18.0.2->172.19.0.2",
    ]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let words = "written by Docker: isolation between bridge networks, stage 2";
    assert!(text.contains(words), "{text}");
}

/// Answers flows of a file, with the facts of the headline's host.
fn batch(flows: &str, more: &[&str]) -> Output {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(flows.as_bytes()).expect("written");
    let name = file.path().to_str().expect("a plain name");
    let mut args = vec!["batch", "testdata/c1/ruleset.json", name];
    args.extend(C1_HOST);
    args.extend(more);
    run(&args)
}

#[test]
fn flows_from_where_people_have_them() {
    let flows = "\
udp:10.254.10.105->10.254.10.252:1812
kernel: IN=ens192 OUT= SRC=10.254.10.105 DST=10.254.10.252 LEN=60 PROTO=TCP SPT=51000 DPT=23 SYN
tcp 6 100 SYN_SENT src=10.254.10.105 dst=10.254.10.252 sport=1 dport=23 [UNREPLIED] src=1.1.1.1 dst=2.2.2.2
rubbish
tcp:10.254.10.105->172.20.0.4:80
";
    let output = batch(flows, &["--format", "csv"]);
    assert_eq!(output.status.code(), Some(1));
    let mut rows = csv::Reader::from_reader(out(&output).as_bytes());
    let rows: Vec<csv::StringRecord> = rows.records().map(|row| row.expect("CSV")).collect();
    let columns: Vec<(&str, &str, &str)> =
        rows.iter().map(|row| (&row[0], &row[2], &row[5])).collect();
    // the answers of `explain` for the same flows, which are compared with a kernel's elsewhere
    assert_eq!(
        columns,
        [
            ("line 1", "accept", "inet firewalld filter_FORWARD #55"),
            ("line 2", "reject", "inet firewalld filter_INPUT #52"),
            ("line 3", "reject", "inet firewalld filter_INPUT #52"),
            ("line 5", "drop", "policy drop of ip filter FORWARD"),
        ]
    );
    let said = err(&output);
    assert!(said.contains("line 4: `rubbish`"), "{said}");
    assert!(
        said.contains("4 flows: 1 accepted, 1 dropped, 2 rejected"),
        "{said}"
    );
}

#[test]
fn a_batch_is_the_same_in_every_form_and_every_time() {
    let flows: String = (1..200)
        .map(|port| format!("tcp:10.254.10.105:{}->10.254.10.252:{port}\n", 1024 + port))
        .collect();
    let first = batch(&flows, &["--format", "ndjson"]);
    assert_eq!(first.stdout, batch(&flows, &["--format", "ndjson"]).stdout);
    let rows: Vec<Value> = out(&first)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(rows.len(), 199);
    assert!(
        rows.iter()
            .enumerate()
            .all(|(at, row)| row["at"] == format!("line {}", at + 1))
    );
    let text = batch(&flows, &[]);
    for (line, row) in out(&text).lines().zip(&rows) {
        let verdict = row["verdict"].as_str().expect("a verdict").to_uppercase();
        assert!(line.starts_with(&verdict), "{line}");
    }
}

#[test]
fn a_log_line_is_a_flow() {
    let line = "IN=ens192 OUT= SRC=10.254.10.105 DST=10.254.10.252 LEN=60 PROTO=UDP SPT=51000 DPT=1812 LEN=40";
    let mut args = vec!["explain", "testdata/c1/ruleset.json", "--flow", line];
    args.extend(C1_HOST);
    assert!(succeeds(&args).contains("ACCEPTED, both ways"));
    args[3] = "IN=ens192 OUT= SRC=10.254.10.105 LEN=60 PROTO=UDP SPT=51000 DPT=1812";
    refused(&run(&args), 2, &["`--flow`", "without `DST=`"]);
}

/// The codes of the notes of all flows.
fn notes(output: &Output) -> Vec<String> {
    let report: Value = serde_json::from_str(out(output)).expect("JSON");
    let flows = report["flows"].as_array().expect("flows").clone();
    let notes = flows
        .iter()
        .flat_map(|flow| flow["notes"].as_array().cloned().unwrap_or_default());
    notes
        .filter_map(|note| note["code"].as_str().map(str::to_string))
        .collect()
}

#[test]
fn what_a_kernel_traced_is_told_with_what_the_trace_leaves_out() {
    for file in fs::read_dir(testdata("c1/traces"))
        .expect("traces")
        .flatten()
    {
        let path = file.path();
        let trace = path.to_str().expect("a plain name");
        let mut args = vec![
            "explain-trace",
            trace,
            "testdata/c1/ruleset.json",
            "--format",
            "json",
        ];
        args.extend(C1_HOST);
        if trace.contains(".nf0.") {
            args.extend(["--sysctl", "net.bridge.bridge-nf-call-iptables=0"]);
        }
        let codes = notes(&run(&args));
        assert!(
            codes.contains(&"trace-agrees".to_string()),
            "{trace}: {codes:?}"
        );
        assert!(
            !codes.contains(&"trace-differs".to_string()),
            "{trace}: {codes:?}"
        );
    }
}

#[test]
fn a_trace_without_its_ruleset_is_told_as_far_as_it_goes() {
    let output = run(&["explain-trace", "testdata/c1/traces/client-closed.txt"]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("the request is REJECTED by a rule"), "{text}");
    assert!(
        text.contains("inet firewalld filter_INPUT #52: reject"),
        "{text}"
    );
}

#[test]
fn a_trace_of_another_host_is_shown_as_the_kernel_had_it() {
    let mut args = vec![
        "explain-trace",
        "testdata/c1/traces/client-radius.nf0.txt",
        "testdata/c1/ruleset.json",
    ];
    args.extend(C1_HOST);
    let output = run(&args);
    let text = out(&output);
    assert!(
        text.contains("this is the kernel's way; the model"),
        "{text}"
    );
    let output = run(&["explain-trace", "testdata/c1/ruleset.json"]);
    refused(&output, 3, &["no line of a trace"]);
}

#[test]
fn the_shell_script_takes_the_same_snapshot() {
    if !kernel_or_skip("the_shell_script_takes_the_same_snapshot") {
        return;
    }
    let script = succeeds(&["snapshot", "--script"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    fs::write(file("script"), script).expect("written");
    // what a JSON string has to escape, in a comment of iptables
    let commands = format!(
        "ip link set lo up && ip link add eth0 type veth peer name eth1 && ip addr add 10.9.0.1/24 dev eth0 && ip link set eth0 up
        nft add table inet t && iptables-nft -A INPUT -m comment --comment 'tab\t\"quote\" back\\slash' -j ACCEPT
        sh {} > {} && {} snapshot -o {}",
        file("script"),
        file("by-shell"),
        env!("CARGO_BIN_EXE_nfpath"),
        file("by-program"),
    );
    let output = Command::new("unshare")
        .args(["-n", "sh", "-ec", &commands])
        .output()
        .expect("unshare runs");
    assert!(output.status.success(), "{}", err(&output));
    let read = |name: &str| -> Value {
        let text = fs::read_to_string(file(name)).expect("a snapshot");
        serde_json::from_str(&text).expect("JSON")
    };
    let (shell, program) = (read("by-shell"), read("by-program"));
    assert_eq!(shell["schema"], program["schema"]);
    assert_eq!(shell["hostname"], program["hostname"]);
    let parts = program["parts"].as_object().expect("parts");
    assert_eq!(
        shell["parts"].as_object().expect("parts").len(),
        parts.len()
    );
    for (name, part) in parts {
        let other = &shell["parts"][name];
        assert_eq!(other["status"], part["status"], "{name}: {other}");
        assert_eq!(other["command"], part["command"], "{name}");
        let text = other["text"].as_str().unwrap_or_default();
        match (name.as_str(), part["json"].is_null()) {
            // counters and times of a moment
            (
                "links"
                | "addresses"
                | "sysctls"
                | "iptables-save"
                | "ip6tables-save"
                | "ebtables-save"
                | "ebtables-legacy-save",
                _,
            ) => {}
            (_, false) => {
                let json: Value = serde_json::from_str(text).expect("JSON as text");
                assert_eq!(json, part["json"], "{name}");
            }
            (_, true) => {
                assert_eq!(
                    text.trim_end(),
                    part["text"].as_str().unwrap_or_default().trim_end(),
                    "{name}"
                );
            }
        }
    }
    let saved = shell["parts"]["iptables-save"]["text"]
        .as_str()
        .expect("text");
    assert!(
        saved.contains("tab\t\\\"quote\\\" back\\\\slash"),
        "{saved}"
    );
    let flow = ["--flow", "tcp:10.9.0.2->10.9.0.1:22"];
    let answer = |name: &str| {
        out(&run(&["explain", &file(name), flow[0], flow[1]]))
            .lines()
            .take(4)
            .collect::<String>()
    };
    assert_eq!(answer("by-shell"), answer("by-program"));
}

#[test]
fn a_snapshot_of_another_namespace() {
    if !kernel_or_skip("a_snapshot_of_another_namespace") {
        return;
    }
    let mut inside = Command::new("unshare")
        .args([
            "-n",
            "sh",
            "-c",
            "ip link add blue0 type veth peer name blue1 && echo ready && read line",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare runs");
    let mut ready = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(inside.stdout.take().expect("a pipe")),
        &mut ready,
    )
    .expect("a line");
    let pid = inside.id().to_string();
    let by_pid = succeeds(&["snapshot", "--pid", &pid]);
    let by_path = succeeds(&["snapshot", "--netns", &format!("/proc/{pid}/ns/net")]);
    drop(inside.stdin.take());
    let _ = inside.wait();
    assert!(by_pid.contains("\"blue0\"") && by_path.contains("\"blue0\""));
    assert!(!succeeds(&["snapshot"]).contains("\"blue0\""));
    refused(
        &run(&["snapshot", "--netns", "no-such-name"]),
        3,
        &["/run/netns/no-such-name"],
    );
    refused(
        &run(&["snapshot", "--container", "no-such-container"]),
        3,
        &["`--container no-such-container`"],
    );
}

#[test]
fn texts_of_a_redacted_snapshot_tell_no_name_and_agree_with_its_json() {
    let json = r#"{"nftables":[{"table":{"family":"ip","name":"acme"}},{"chain":{"family":"ip","table":"acme","name":"secretchain"}}]}"#;
    let snapshot = serde_json::json!({
        "schema": "nfpath.snapshot/1",
        "parts": {
            "ruleset": {"status": "ok", "json": serde_json::from_str::<Value>(json).expect("JSON")},
            "ruleset-text": {"status": "ok", "text": "table ip acme { # handle 1\n\tset customers {\n\t\ttype ipv4_addr\n\t\telements = { 8.8.4.4 }\n\t}\n\tchain secretchain { # handle 2\n\t\tiifname \"acmeif0\" ip saddr 8.8.8.8 log prefix \"acme says\" comment \"for acme\" # handle 3\n\t}\n}\n"},
            "addresses": {"status": "ok", "text": "1: lo: <LOOPBACK,UP> mtu 65536\n    link/loopback 00:00:00:00:00:00\n7: acmeif0@acmeif1: <UP> mtu 1500\n    link/ether 52:54:00:12:34:56\n    inet 8.8.8.8/24 scope global acmeif0\n"},
            "ipset": {"status": "ok", "text": "create customers hash:ip family inet\nadd customers 8.8.4.4\n"},
            "ebtables-save": {"status": "ok", "text": "*filter\n:FORWARD ACCEPT\n:secretchain ACCEPT\n-A FORWARD -p IPv4 -s 52:54:00:12:34:56 -i acmeif0 --logical-in acmebr0 --ip-src 8.8.8.8 -j secretchain\n"},
        }
    });
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(snapshot.to_string().as_bytes())
        .expect("written");
    let name = file.path().to_str().expect("a plain name");
    let redacted = succeeds(&["snapshot", "--from", name, "--redact=k"]);
    for own in [
        "acme",
        "secretchain",
        "customers",
        "8.8.8.8",
        "8.8.4.4",
        "12:34:56",
    ] {
        assert!(!redacted.contains(own), "{own}: {redacted}");
    }
    let bundle: Value = serde_json::from_str(&redacted).expect("JSON");
    let part = |name: &str| {
        bundle["parts"][name]["text"]
            .as_str()
            .expect("text")
            .to_owned()
    };
    // the same name is the same everywhere
    let chain = bundle["parts"]["ruleset"]["json"]["nftables"][1]["chain"]["name"]
        .as_str()
        .expect("a name");
    assert!(part("ruleset-text").contains(&format!("chain {chain} {{")));
    assert!(part("ebtables-save").contains(&format!("-j {chain}")));
    let set = part("ipset");
    let set = set.split(' ').nth(1).expect("a name");
    assert!(part("ruleset-text").contains(&format!("set {set} {{")));
    let addresses = part("addresses");
    let address = addresses
        .split("inet ")
        .nth(1)
        .and_then(|rest| rest.split('/').next())
        .expect("an address");
    assert!(part("ruleset-text").contains(&format!("ip saddr {address} ")));
    assert!(part("ebtables-save").contains(&format!("--ip-src {address} ")));
}

#[test]
fn a_redacted_snapshot_gives_the_same_answer_and_tells_no_address() {
    let captured = "testdata/c1-captured/snapshot.json";
    let redacted = succeeds(&["snapshot", "--from", captured, "--redact=a key"]);
    assert_eq!(
        redacted,
        succeeds(&["snapshot", "--from", captured, "--redact=a key"])
    );
    assert_ne!(
        redacted,
        succeeds(&["snapshot", "--from", captured, "--redact"])
    );
    for own in ["10.254.10.", "172.20.0.", "172.17.", "00:50:56:", "02:42:"] {
        let original = fs::read_to_string(captured).expect("the snapshot");
        assert!(original.contains(own), "{own} is not there to be hidden");
        assert!(!redacted.contains(own), "{own}");
    }
    let bundle: Value = serde_json::from_str(&redacted).expect("JSON");
    let own = bundle["parts"]["addresses"]["json"]
        .as_array()
        .expect("addresses")
        .iter()
        .filter(|link| link["ifname"] == "ens192")
        .flat_map(|link| link["addr_info"].as_array().cloned().unwrap_or_default())
        .find(|address| address["family"] == "inet")
        .and_then(|address| address["local"].as_str().map(str::to_owned))
        .expect("an address");
    let (network, _) = own.rsplit_once('.').expect("an IPv4 address");
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), &redacted).expect("written");
    let name = file.path().to_str().expect("a plain name");
    for port in [1812, 9999, 22] {
        let rules = |snapshot: &str, flow: &str| -> Vec<String> {
            let output = run(&[
                "explain",
                snapshot,
                "--flow",
                flow,
                "--format",
                "json",
                "--matched-only",
            ]);
            let report: Value = serde_json::from_str(out(&output)).expect("JSON");
            let flow = &report["flows"][0];
            let steps = ["request", "reply"]
                .map(|way| flow[way]["steps"].as_array().cloned().unwrap_or_default());
            steps
                .iter()
                .flatten()
                .map(|step| {
                    format!(
                        "{} {} {} {}",
                        step["kind"], step["chain"], step["handle"], step["verdict"]
                    )
                })
                .collect()
        };
        assert_eq!(
            rules(name, &format!("udp:{network}.105->{own}:{port}")),
            rules(
                captured,
                &format!("udp:10.254.10.105->10.254.10.252:{port}")
            ),
        );
    }
}

/// The findings about a rule: whose packet, code, and words.
fn why_not(args: &[&str], rule: &str) -> Vec<(String, String, String)> {
    let mut args = args.to_vec();
    args.extend(["--format", "json", "--why-not", rule]);
    let output = run(&args);
    let report: Value =
        serde_json::from_str(out(&output)).unwrap_or_else(|_| panic!("{}", err(&output)));
    let findings = report["flows"][0]["why_not"][0]["findings"]
        .as_array()
        .expect("findings")
        .clone();
    let word = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_string();
    findings
        .iter()
        .map(|finding| {
            (
                word(finding, "of"),
                word(finding, "code"),
                word(finding, "message"),
            )
        })
        .collect()
}

#[test]
fn why_a_rule_did_not_decide() {
    let mut c1 = vec!["explain", "testdata/c1/ruleset.json", "--flow", FLOW];
    c1.extend(C1_HOST);
    for (rule, request, reply) in [
        // the rules that decide, as the kernel's trace of the same packets has them
        (
            "ip filter DOCKER #10",
            ("decided", "accept"),
            ("not-called", "oifname is ens192"),
        ),
        (
            "ip nat DOCKER #8",
            ("matched", "became 172.20.0.4:1812"),
            ("not-called", "only the first packet"),
        ),
        (
            "udp dport 1812 dnat to 172.20.0.4:1812",
            ("matched", "became 172.20.0.4:1812"),
            ("not-called", "only the first packet"),
        ),
        // the administrator's INPUT: the packet is forwarded, because Docker translated it
        (
            "inet firewalld filter_INPUT #52",
            (
                "hook-not-passed",
                "ip nat DOCKER #8 had made its destination 172.20.0.4:1812",
            ),
            ("hook-not-passed", "forwarded to ens192"),
        ),
        (
            "ip nat DOCKER rule 1",
            ("did-not-match", "the packet is udp"),
            ("not-called", ""),
        ),
    ] {
        let found = why_not(&c1, rule);
        for ((of, code, message), (expected, words)) in found.iter().zip([request, reply]) {
            assert_eq!(code, expected, "{rule}, {of}: {message}");
            assert!(message.contains(words), "{rule}, {of}: {message}");
        }
        assert_eq!(found.len(), 2);
    }
    c1.extend(["--why-not", "accept"]);
    refused(&run(&c1), 2, &["`--why-not`", "fits", "#HANDLE"]);
    c1.pop();
    c1.push("no such words");
    refused(&run(&c1), 2, &["no rule has these words"]);
}

#[test]
fn an_accept_behind_the_isolation_of_docker_is_never_seen() {
    let host = |file: &str| format!("testdata/c2/appended/{file}");
    let files = [
        "ruleset.json",
        "iptables-save.txt",
        "host/addr.json",
        "host/link.json",
        "host/route.json",
    ]
    .map(host);
    let args = [
        "explain",
        &files[0],
        "--iptables-save",
        &files[1],
        "--addr",
        &files[2],
        "--link",
        &files[3],
        "--routes",
        &files[4],
        "--flow",
        "icmp:172.18.0.2->172.19.0.2",
    ];
    let found = why_not(
        &args,
        "FORWARD iifname \"br-4f0537e1b2cd\" oifname \"br-149d732ffd90\"",
    );
    let (of, code, message) = &found[0];
    assert_eq!((of.as_str(), code.as_str()), ("request", "left-before"));
    assert!(
        message.contains("ip filter DOCKER-ISOLATION-STAGE-2 #22"),
        "{message}"
    );
    assert_eq!(found.len(), 1, "no reply comes");
}

#[test]
fn a_log_line_shows_the_way_out_where_no_route_is_known() {
    let line = "IN=docker0 OUT=eth0 PHYSIN=veth57a730b SRC=172.17.0.2 DST=10.0.2.3 LEN=60 PROTO=UDP SPT=60692 DPT=53";
    let text = succeeds(&["explain", "testdata/c3/iptables-save.txt", "--flow", line]);
    assert!(text.contains("request   veth57a730b → eth0"), "{text}");
    assert!(
        text.contains("source 172.17.0.2:60692 becomes the address of eth0:60692"),
        "{text}"
    );
    assert!(
        text.contains("10.0.2.3 is reached by eth0, inferred"),
        "{text}"
    );
    // what is known of the host goes before it
    let mut known = vec!["explain", "testdata/c3/iptables-save.txt", "--flow", line];
    known.extend(["--route", "10.0.2.0/24,dev=eth1"]);
    let output = run(&known);
    assert!(
        !out(&output).contains("10.0.2.3 is reached by eth0"),
        "{}",
        out(&output)
    );
}

#[test]
fn truncated_json() {
    let whole = fs::read(testdata("c1/ruleset.json")).expect("reads");
    let output = explain_text(&whole[..20_000], &[]);
    refused(
        &output,
        3,
        &[
            "ends in the middle",
            "line ",
            "was the file cut?",
            "nft -j list ruleset",
        ],
    );
}

#[test]
fn not_json() {
    let output = explain_text(b"<html>404</html>", &[]);
    refused(&output, 3, &["nft -j list ruleset"]);
    let output = explain_text(&[0x7f, b'E', b'L', b'F', 0xff, 0xfe], &[]);
    refused(&output, 3, &["UTF-8"]);
}

#[test]
fn json_of_another_kind() {
    for (content, words) in [
        (&br#"{"addr": []}"#[..], "without the key `nftables`"),
        (b"[1,2]", "no ruleset"),
        (b"\"nftables\"", "no ruleset"),
        (br#"{"nftables": 3}"#, "nftables"),
    ] {
        refused(
            &explain_text(content, &[]),
            3,
            &[words, "nft -j list ruleset"],
        );
    }
}

#[test]
fn an_empty_file() {
    refused(&explain_text(b"", &[]), 3, &["empty"]);
}

#[test]
fn an_empty_ruleset_lets_everything_pass_and_says_why() {
    let empty = br#"{"nftables":[{"metainfo":{"version":"1.0.6","json_schema_version":1}}]}"#;
    let output = explain_text(empty, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(
        out(&output).contains("0 tables, 0 chains, 0 rules"),
        "{}",
        out(&output)
    );
    assert!(out(&output).contains("no rule"), "{}", out(&output));
}

#[test]
fn a_huge_file_is_refused_before_it_is_read() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.as_file().set_len(2 << 30).expect("a sparse file");
    let name = file.path().to_str().expect("a plain name");
    let output = run(&["explain", name, "--flow", FLOW]);
    refused(&output, 3, &["larger than 1 GiB", "nft -j list table"]);
}

#[test]
fn deep_nesting() {
    let deep = format!(
        "{{\"nftables\":{}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    refused(&explain_text(deep.as_bytes(), &[]), 3, &["nested deeper"]);
    let expression = "{\"|\":[".repeat(5_000);
    let deep = format!("{{\"nftables\":[{{\"rule\":{{\"expr\":[{expression}");
    refused(&explain_text(deep.as_bytes(), &[]), 3, &[]);
}

#[test]
fn an_unknown_family_is_never_accepted() {
    let output = explain_text(
        &listing(r#"{"table":{"family":"ipx","name":"t","handle":1}}"#),
        &[],
    );
    assert_eq!(output.status.code(), Some(4), "{}", out(&output));
    assert!(err(&output).contains("family `ipx`"), "{}", err(&output));
}

#[test]
fn a_jump_to_a_missing_chain_is_unknown() {
    let rule = r#"{"rule":{"family":"ip","table":"t","chain":"c","handle":2,"expr":[{"jump":{"target":"nowhere"}}]}}"#;
    let output = explain_text(&listing(&format!("{TABLE},{rule}")), &[]);
    assert_eq!(output.status.code(), Some(4));
    assert!(out(&output).contains("leads to a chain that the listing does not have"));
    assert!(err(&output).contains("`nowhere`"), "{}", err(&output));
}

#[test]
fn a_circle_of_jumps_ends() {
    let rules = r#"{"chain":{"family":"ip","table":"t","name":"a","handle":3}},
        {"chain":{"family":"ip","table":"t","name":"b","handle":4}},
        {"rule":{"family":"ip","table":"t","chain":"c","handle":2,"expr":[{"jump":{"target":"a"}}]}},
        {"rule":{"family":"ip","table":"t","chain":"a","handle":5,"expr":[{"jump":{"target":"b"}}]}},
        {"rule":{"family":"ip","table":"t","chain":"b","handle":6,"expr":[{"goto":{"target":"a"}}]}}"#;
    let output = explain_text(&listing(&format!("{TABLE},{rules}")), &[]);
    assert_eq!(output.status.code(), Some(4));
    assert!(out(&output).contains("circle of jumps"), "{}", out(&output));
}

#[test]
fn an_unknown_statement_is_never_skipped() {
    let rule = r#"{"rule":{"family":"ip","table":"t","chain":"c","handle":2,"expr":[{"teleport":{"to":"mars"}}]}}"#;
    let output = explain_text(&listing(&format!("{TABLE},{rule}")), &[]);
    assert_eq!(output.status.code(), Some(4), "{}", out(&output));
    assert!(out(&output).contains("teleport"), "{}", out(&output));
}

#[test]
fn flows_that_make_no_sense() {
    for (flow, words) in [
        ("udp:10.0.0.1->fd00::1", "different families"),
        ("udp:10.0.0.1->[fd00::1]:53", "different families"),
        ("icmp:10.0.0.1->10.0.0.2:80", "has no ports"),
        ("icmp6:10.0.0.1->10.0.0.2", "icmp"),
        ("udp:example.com->10.0.0.1:53", "getent hosts"),
        ("udp:10.254.10.105-", "the shell took `>`"),
        ("udp:10.254.10.105", "has no `->`"),
        ("ucp:10.0.0.1->10.0.0.2", "did you mean"),
        ("udp:10.0.0.1->10.0.0.2:99999", "1 to 65535"),
        ("udp:10.0.0.1:->10.0.0.2", "no port after `:`"),
        ("udp:10.0.0.1->10.0.0.256:1", "not an IPv4 or IPv6 address"),
        ("", "empty"),
        ("10.0.0.1->10.0.0.2", "protocol"),
        ("300:10.0.0.1->10.0.0.2", "protocol"),
    ] {
        let output = run(&["explain", "testdata/c1/ruleset.json", "--flow", flow]);
        refused(&output, 2, &["`--flow`", words]);
    }
}

#[test]
fn refinements_that_do_not_fit() {
    for (flag, value, words) in [
        ("--iif", "", "interface name"),
        ("--iif", "a name/with", "interface name"),
        ("--icmp-type", "8", "icmp"),
        ("--tcp-flags", "syn", "tcp"),
        ("--mark", "many", "--mark"),
        ("--length", "5", "headers"),
        ("--oif", "ens192", "packets that this host sends"),
        ("--uid", "0", "packets that this host sends"),
        ("--ether", "52:54:zz:00:00:01", "52:54:00:12:34:56"),
        ("--assume", "limit=maybe", "limit"),
        ("--assume", "meta hour=03:00", "it rests on"),
        ("--sysctl", "x", "KEY=VALUE"),
        ("--local", "10.0.0.0.1", "--local"),
        ("--iface", "eth0", "--iface"),
        ("--route", "default", "--route"),
        ("--bridge", "br0", "--bridge"),
    ] {
        let output = run(&[
            "explain",
            "testdata/c1/ruleset.json",
            "--flow",
            FLOW,
            flag,
            value,
        ]);
        refused(&output, 2, &[words]);
    }
}

#[test]
fn a_limit_that_is_assumed_and_not_asked_for_is_said() {
    let args = ["explain", "testdata/c1/ruleset.json", "--flow", FLOW];
    let plain = run(&args);
    let mut assumed = args.to_vec();
    assumed.extend(["--assume", "quota=over"]);
    let assumed = run(&assumed);
    assert_eq!(out(&assumed), out(&plain));
    let words = "`--assume quota=over` changes nothing: no quota is asked for on the way";
    assert!(err(&assumed).contains(words), "{}", err(&assumed));
}

#[test]
fn an_interface_that_the_host_does_not_have() {
    let mut args = vec!["explain", "testdata/c1/ruleset.json", "--flow", FLOW];
    args.extend(C1_HOST);
    args.extend(["--iif", "eth7"]);
    refused(&run(&args), 2, &["no such interface", "ens192"]);
}

#[test]
fn unreadable_files() {
    refused(
        &run(&["explain", "no-such-file", "--flow", FLOW]),
        3,
        &["no-such-file", "no such file"],
    );
    refused(
        &run(&["explain", "testdata", "--flow", FLOW]),
        3,
        &["directory"],
    );
    for flag in [
        "--context",
        "--addr",
        "--link",
        "--routes",
        "--rules",
        "--sysctls",
        "--iptables-save",
    ] {
        let args = [
            "explain",
            "testdata/c1/ruleset.json",
            "--flow",
            FLOW,
            flag,
            "no-such-file",
        ];
        refused(&run(&args), 3, &["no-such-file"]);
    }
    for flag in ["--context", "--addr", "--link", "--routes", "--rules"] {
        let args = [
            "explain",
            "testdata/c1/ruleset.json",
            "--flow",
            FLOW,
            flag,
            "README.md",
        ];
        refused(&run(&args), 3, &["README.md"]);
    }
}

#[test]
fn a_file_without_permission() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o000)).expect("set");
    if fs::File::open(file.path()).is_ok() {
        eprintln!("SKIPPED a_file_without_permission: root may read everything");
        return;
    }
    let name = file.path().to_str().expect("a plain name");
    refused(
        &run(&["explain", name, "--flow", FLOW]),
        3,
        &["permission denied"],
    );
}

#[test]
fn nft_syntax_is_read_by_nft_in_a_namespace_of_its_own() {
    if !kernel_or_skip("nft_syntax_is_read_by_nft_in_a_namespace_of_its_own") {
        return;
    }
    let text = succeeds(&["explain", "testdata/c1/ruleset.nft", "--flow", FLOW]);
    assert!(text.contains("ACCEPTED, both ways"), "{text}");
    let output = explain_text(b"table ip t {\n\tchain c {\n\t\tjump\n\t}\n}\n", &[]);
    refused(&output, 3, &["nft does not load this", "line 3: "]);
}

#[test]
fn nft_syntax_without_nft_is_refused_with_the_way_out() {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(b"table ip t { chain c { accept } }")
        .expect("written");
    let output = nfpath()
        .args([
            "explain",
            file.path().to_str().expect("a plain name"),
            "--flow",
            FLOW,
        ])
        .env("PATH", "/nonexistent")
        .output()
        .expect("runs");
    refused(&output, 3, &["nft", "nft -j list ruleset"]);
}

// --- answers that were wrong once ---

/// The host of `testdata/small`.
const SMALL_HOST: [&str; 6] = [
    "--iface",
    "eth0=10.0.0.1/24",
    "--iface",
    "eth1=10.1.0.1/24",
    "--sysctl",
    "net.ipv4.ip_forward=1",
];

fn small(case: &str, flow: &str, more: &[&str]) -> (Option<i32>, Value) {
    let ruleset = format!("testdata/small/{case}/ruleset.json");
    let mut args = vec!["explain", &ruleset, "--flow", flow, "--format", "json"];
    args.extend(SMALL_HOST);
    args.extend(more);
    let output = run(&args);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    (output.status.code(), report["flows"][0].clone())
}

#[test]
fn a_mark_drawn_at_random_was_taken_for_0_or_1() {
    let set = r#"{"mangle":{"key":{"meta":{"key":"mark"}},"value":{"numgen":{"mode":"random","mod":4,"offset":0}}}}"#;
    let drop = |mark: u32| {
        format!(
            r#"{{"rule":{{"family":"ip","table":"t","chain":"c","handle":3,"expr":[{{"match":{{"op":"==","left":{{"meta":{{"key":"mark"}}}},"right":{mark}}}}},{{"drop":null}}]}}}}"#
        )
    };
    let rules = |mark| {
        let set = format!(
            r#"{{"rule":{{"family":"ip","table":"t","chain":"c","handle":2,"expr":[{set}]}}}}"#
        );
        listing(&format!("{TABLE},{set},{}", drop(mark)))
    };
    assert_eq!(explain_text(&rules(3), &[]).status.code(), Some(4));
    // numgen mod 4 never draws a 4
    assert_eq!(explain_text(&rules(4), &[]).status.code(), Some(0));
}

#[test]
fn the_hosts_own_address_was_taken_for_the_outside_for_want_of_facts() {
    let bare = "testdata/c1/ruleset.json";
    let flow = "tcp:10.254.10.105->10.254.10.252:22";
    assert_eq!(
        run(&["explain", bare, "--flow", flow]).status.code(),
        Some(4)
    );
    let local = ["explain", bare, "--flow", flow, "--local", "10.254.10.252"];
    assert_eq!(run(&local).status.code(), Some(0));
}

#[test]
fn own_addresses_given_by_flags_did_not_count_as_martian_sources() {
    let (status, flow) = small(
        "forwarding-off",
        "udp:10.0.0.1->10.1.0.2:5000",
        &["--iif", "eth0"],
    );
    assert_eq!(status, Some(1));
    assert_eq!(flow["request"]["disposition"], "martian-source");
}

#[test]
fn a_subnet_broadcast_was_answered() {
    let (status, flow) = small("forwarding-off", "udp:10.0.0.2->10.0.0.255:5000", &[]);
    assert_eq!(status, Some(0));
    assert_eq!(flow["request"]["disposition"], "local");
    assert_eq!(flow["reply"], Value::Null);
}

#[test]
fn a_packet_without_a_route_out_seemed_to_die_in_prerouting() {
    let host = testdata("small/routes-that-drop/host/route.json");
    let routes = ["--routes", host.to_str().expect("a plain name")];
    let (_, flow) = small(
        "routes-that-drop",
        "udp:10.0.0.1:40000->10.5.0.1:5000",
        &routes,
    );
    let steps = flow["request"]["steps"].as_array().expect("steps");
    let last = steps.last().expect("a step");
    assert_eq!(last["kind"], "drop");
    assert_eq!(last["hook"], "output", "{flow}");
}

#[test]
fn a_packet_came_in_with_its_way_out_known() {
    let flow = "udp:10.0.0.2:40000->10.1.0.2:5001";
    let (_, flow) = small("accept-is-not-final", flow, &[]);
    assert_eq!(flow["request"]["in"]["oif"], Value::Null);
    assert_eq!(flow["request"]["out"]["oif"], "eth1");
}

#[test]
fn chains_of_equal_priority_are_pointed_out() {
    let flow = "udp:10.0.0.2:40000->10.1.0.2:5000";
    let (_, flow) = small("equal-priority-ip-inet", flow, &[]);
    let notes = flow["notes"].as_array().expect("notes");
    let codes: Vec<&str> = notes.iter().filter_map(|n| n["code"].as_str()).collect();
    assert!(codes.contains(&"equal-priorities"), "{codes:?}");
}

#[test]
fn a_rule_that_only_counts_had_no_text() {
    let rule = r#"{"rule":{"family":"ip","table":"t","chain":"c","handle":2,"expr":[{"counter":{"packets":0,"bytes":0}}]}}"#;
    let output = explain_text(&listing(&format!("{TABLE},{rule}")), &["--format", "json"]);
    assert!(
        out(&output).contains(r#""text": "counter""#),
        "{}",
        out(&output)
    );
}

/// Explains a flow against the rules of one base chain, written as nft's JSON.
fn with_rules(base: &str, rules: &[&str], flow: &str, more: &[&str]) -> (Option<i32>, Value) {
    let mut objects = vec![
        r#"{"table":{"family":"inet","name":"t","handle":1}}"#.to_owned(),
        format!(r#"{{"chain":{{"family":"inet","table":"t","name":"c","handle":1,{base}}}}}"#),
    ];
    for (at, expr) in rules.iter().enumerate() {
        objects.push(format!(
            r#"{{"rule":{{"family":"inet","table":"t","chain":"c","handle":{},"expr":[{expr}]}}}}"#,
            at + 2
        ));
    }
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(&listing(&objects.join(",")))
        .expect("written");
    let name = file.path().to_str().expect("a plain name");
    let mut args = vec!["explain", name, "--flow", flow, "--format", "json"];
    args.extend(SMALL_HOST);
    args.extend(more);
    let output = run(&args);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), report["flows"][0].clone())
}

const INPUT: &str = r#""type":"filter","hook":"input","prio":0,"policy":"accept""#;
const INPUT_DROP: &str = r#""type":"filter","hook":"input","prio":0,"policy":"drop""#;
const DROP: &str = r#"{"drop":null}"#;

fn test_of(left: &str, op: &str, right: &str) -> String {
    format!(r#"{{"match":{{"op":"{op}","left":{left},"right":{right}}}}}"#)
}

#[test]
fn the_interface_a_packet_enters_by_was_taken_for_the_way_to_everything() {
    let oif = test_of(r#"{"meta":{"key":"oifname"}}"#, "==", r#""eth1""#);
    let forward = r#""type":"filter","hook":"forward","prio":0,"policy":"drop""#;
    let rule = format!("{oif},{{\"accept\":null}}");
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    let objects = format!(
        r#"{{"table":{{"family":"inet","name":"t","handle":1}}}},
        {{"chain":{{"family":"inet","table":"t","name":"c","handle":1,{forward}}}}},
        {{"rule":{{"family":"inet","table":"t","chain":"c","handle":2,"expr":[{rule}]}}}}"#
    );
    file.write_all(&listing(&objects)).expect("written");
    let name = file.path().to_str().expect("a plain name");
    let flow = "tcp:198.51.100.7->10.0.0.5:443";
    let output = run(&["explain", name, "--flow", flow, "--iif", "eth0"]);
    assert_eq!(output.status.code(), Some(4), "{}", out(&output));
}

#[test]
fn broadcasts_and_multicasts_were_taken_for_packets_to_this_host_alone() {
    for (kind, dst) in [
        ("broadcast", "10.0.0.255"),
        ("broadcast", "255.255.255.255"),
        ("multicast", "224.0.0.1"),
    ] {
        let test = test_of(
            r#"{"meta":{"key":"pkttype"}}"#,
            "==",
            &format!("\"{kind}\""),
        );
        let rule = format!("{test},{DROP}");
        let flow = format!("udp:10.0.0.2->{dst}:5000");
        let (status, report) = with_rules(INPUT, &[&rule], &flow, &["--iif", "eth0"]);
        assert_eq!(status, Some(1), "{dst} {report}");
    }
}

#[test]
fn an_established_connection_had_forgotten_its_translation() {
    let args = [
        "explain",
        "testdata/c1/ruleset.json",
        "--flow",
        FLOW,
        "--ct-state",
        "established",
    ];
    let output = run(&[&args[..], &["--format", "json"]].concat());
    assert_eq!(output.status.code(), Some(0));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let request = &report["flows"][0]["request"];
    assert_eq!(request["out"]["dst"], "172.20.0.4");
    assert_eq!(request["out"]["src"], "172.20.0.1");
    let steps = request["steps"].as_array().expect("steps");
    assert!(
        !steps
            .iter()
            .any(|step| step["kind"] == "chain" && step["type"] == "nat")
    );
}

#[test]
fn the_order_of_equal_nat_priorities_was_taken_for_certain() {
    let table = |name: &str, to: &str| {
        let base = r#""type":"nat","hook":"prerouting","prio":-100,"policy":"accept""#;
        format!(
            r#"{{"table":{{"family":"ip","name":"{name}","handle":1}}}},
            {{"chain":{{"family":"ip","table":"{name}","name":"c","handle":1,{base}}}}},
            {{"rule":{{"family":"ip","table":"{name}","chain":"c","handle":2,"expr":[{{"dnat":{{"addr":"{to}"}}}}]}}}}"#
        )
    };
    let objects = format!("{},{}", table("a", "10.1.0.2"), table("b", "10.1.0.3"));
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(&listing(&objects)).expect("written");
    let name = file.path().to_str().expect("a plain name");
    let flow = "udp:10.0.0.2:40000->10.0.0.1:7000";
    let mut args = vec!["explain", name, "--flow", flow, "--format", "json"];
    args.extend(SMALL_HOST);
    let output = run(&args);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let report = &report["flows"][0];
    let alternatives = report["alternatives"].as_array().expect("alternatives");
    let first = &report["request"]["out"]["dst"];
    assert!(
        alternatives
            .iter()
            .any(|other| other["request"]["out"]["dst"] != *first),
        "{report}"
    );
}

#[test]
fn the_length_of_a_udp_packet_stopped_at_its_ip_header() {
    let left = r#"{"payload":{"protocol":"udp","field":"length"}}"#;
    let rule = format!("{},{{\"accept\":null}}", test_of(left, "==", "80"));
    let flow = "udp:10.0.0.2->10.0.0.1:5000";
    let (status, report) = with_rules(INPUT_DROP, &[&rule], flow, &["--length", "100"]);
    assert_eq!(
        report["request"]["verdict"], "accept",
        "{status:?} {report}"
    );
}

#[test]
fn link_local_sources_were_forwarded() {
    let more = [
        "--iface",
        "eth0=2001:db8::1/64",
        "--iface",
        "eth1=2001:db8:1::1/64",
    ];
    let sysctl = [
        "--sysctl",
        "net.ipv6.conf.all.forwarding=1",
        "--iif",
        "eth0",
    ];
    let flow = "udp:[fe80::77]:4000->[2001:db8:1::2]:5000";
    let (status, report) = with_rules(INPUT, &[], flow, &[&more[..], &sysctl].concat());
    assert_eq!(status, Some(1));
    assert_eq!(report["request"]["disposition"], "link-local-source");
}

#[test]
fn multicast_of_this_host_wanted_a_route() {
    let flow = "udp:10.0.0.1:5353->224.0.0.251:5353";
    let routes = testdata("small/routes-that-drop/host/route.json");
    let routes = ["--routes", routes.to_str().expect("a plain name")];
    let (_, report) = with_rules(INPUT, &[], flow, &routes);
    assert_eq!(report["request"]["disposition"], "transmitted", "{report}");
    assert_eq!(report["request"]["out"]["oif"], "eth0");
}

#[test]
fn the_ipv6_flow_label_was_taken_to_be_0() {
    let left = r#"{"payload":{"protocol":"ip6","field":"flowlabel"}}"#;
    let rule = format!("{},{DROP}", test_of(left, "==", "0"));
    let more = ["--iface", "eth0=2001:db8::1/64"];
    let flow = "udp:[2001:db8::2]:4000->[2001:db8::1]:5000";
    let (status, report) = with_rules(INPUT, &[&rule], flow, &more);
    assert_eq!(status, Some(4), "{report}");
}

#[test]
fn one_unknown_had_two_answers() {
    let left = r#"{"payload":{"base":"th","offset":16,"len":16}}"#;
    let accept = |op| format!("{},{{\"accept\":null}}", test_of(left, op, "5"));
    let rules = [accept("=="), accept("!=")];
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let (status, report) = with_rules(INPUT_DROP, &rules, "icmp:10.0.0.2->10.0.0.1", &[]);
    assert_eq!(
        report["request"]["verdict"], "accept",
        "{status:?} {report}"
    );
}

#[test]
fn many_jumps_were_called_a_circle() {
    let mut objects = vec![TABLE.to_owned()];
    let chains = 14;
    for chain in 0..chains {
        objects.push(format!(
            r#"{{"chain":{{"family":"ip","table":"t","name":"k{chain}","handle":{}}}}}"#,
            chain + 10
        ));
    }
    for chain in 0..chains {
        let from = if chain == 0 {
            "c".to_owned()
        } else {
            format!("k{}", chain - 1)
        };
        for n in 0..4 {
            objects.push(format!(
                r#"{{"rule":{{"family":"ip","table":"t","chain":"{from}","handle":{},"expr":[{{"jump":{{"target":"k{chain}"}}}}]}}}}"#,
                100 + chain * 4 + n
            ));
        }
    }
    let output = explain_text(&listing(&objects.join(",")), &[]);
    assert_eq!(output.status.code(), Some(4));
    assert!(!out(&output).contains("circle"), "{}", err(&output));
    assert!(out(&output).contains("more rules than are followed"));
}

#[test]
fn lengths_and_hops_that_nobody_gave_were_taken_for_certain() {
    let udp = r#"{"payload":{"protocol":"udp","field":"length"}}"#;
    let ttl = r#"{"payload":{"protocol":"ip","field":"ttl"}}"#;
    let meta = r#"{"meta":{"key":"length"}}"#;
    for (left, op, right) in [(udp, ">", "30"), (ttl, "<", "60"), (meta, ">", "100")] {
        let rule = format!("{},{DROP}", test_of(left, op, right));
        let (status, report) = with_rules(INPUT, &[&rule], "udp:10.0.0.2->10.0.0.1:5000", &[]);
        assert_eq!(status, Some(4), "{left} {report}");
    }
    // no packet is shorter than its headers
    let rule = format!("{},{DROP}", test_of(udp, "<", "8"));
    let (status, _) = with_rules(INPUT, &[&rule], "udp:10.0.0.2->10.0.0.1:5000", &[]);
    assert_eq!(status, Some(0));
}

#[test]
fn the_only_interface_that_rules_name_was_taken_for_the_only_one() {
    let name = test_of(r#"{"meta":{"key":"iifname"}}"#, "==", r#""wan0""#);
    let rule = format!("{name},{DROP}");
    let flow = "tcp:198.51.100.7->10.0.0.1:22";
    let (status, report) = with_rules(INPUT, &[&rule], flow, &[]);
    assert_eq!(status, Some(4), "{report}");
    let (status, _) = with_rules(INPUT, &[&rule], flow, &["--iif", "wan0"]);
    assert_eq!(status, Some(1));
}

#[test]
fn a_reply_left_by_the_inferred_way_out_and_not_where_its_request_came_by() {
    let wan = test_of(r#"{"meta":{"key":"oifname"}}"#, "==", r#""wan""#);
    let rules = [format!("{wan},{DROP}")];
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let base = r#""type":"filter","hook":"output","prio":0,"policy":"accept""#;
    let flow = "tcp:192.168.1.5->192.168.1.1:22";
    let more = ["--iif", "br-lan", "--local", "192.168.1.1"];
    let (status, report) = with_rules(base, &rules, flow, &more);
    assert_eq!(status, Some(0), "{report}");
    assert_eq!(report["reply"]["out"]["oif"], "br-lan");
}

// --- other commands ---

#[test]
fn a_drawing_without_graphviz_says_what_to_install() {
    let output = nfpath()
        .args(["graph", "testdata/c1/ruleset.json", "--format", "svg"])
        .env("PATH", "/nonexistent")
        .output()
        .expect("runs");
    refused(&output, 3, &["graphviz", "--format dot"]);
}

#[test]
fn drawings_take_one_flow() {
    let args = [
        "graph",
        "testdata/c1/ruleset.json",
        "--flow",
        FLOW,
        "--flow",
        FLOW,
    ];
    refused(&run(&args), 2, &["one flow"]);
}

#[test]
fn show_says_what_is_not_modelled() {
    let text = succeeds(&["show", "testdata/c1/ruleset.json"]);
    assert!(
        text.ends_with("# all of this ruleset is modelled\n"),
        "{text}"
    );
    let text = succeeds(&["show", "testdata/c1-captured/ruleset.json"]);
    assert!(text.contains("# not modelled: "), "{text}");
    assert!(text.contains("iptables-save"), "{text}");
}

#[test]
fn the_manual_and_the_completions() {
    insta::assert_snapshot!("man", succeeds(&["man"]));
    insta::assert_snapshot!("help", succeeds(&["--help"]));
    insta::assert_snapshot!("help_explain", succeeds(&["explain", "--help"]));
    for shell in ["bash", "zsh", "fish"] {
        insta::assert_snapshot!(
            format!("completions_{shell}"),
            succeeds(&["completions", shell])
        );
    }
}

#[test]
fn a_snapshot_is_taken_and_read_again() {
    // without root some parts are missing, each with its reason
    let output = run(&["snapshot"]);
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(value["schema"], "nfpath.snapshot/1");
    for part in [
        "ruleset",
        "addresses",
        "links",
        "routes",
        "rules",
        "sysctls",
        "iptables-save",
    ] {
        let status = &value["parts"][part]["status"];
        assert!(status.is_string(), "{part}: {status}");
        if status != "ok" {
            assert!(
                value["parts"][part]["error"].is_string(),
                "{part} does not say why"
            );
        }
    }
    assert!(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("Cargo.toml")
            .is_file()
    );
}

#[test]
fn what_the_sender_of_a_rejected_packet_gets_is_told_in_a_line() {
    let explain = |case: &str, flow: &str| {
        let ruleset = format!("docs/semantics/cases/verdicts-{case}.json");
        let output = run(&[
            "explain",
            &ruleset,
            "--iface",
            "eth0=10.0.0.1/24",
            "--iface",
            "eth1=10.1.0.1/24",
            "--flow",
            flow,
        ]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let text = explain("reject-answer", "tcp:10.0.0.2:40000->10.1.0.2:22");
    let line = "tcp reset 10.1.0.2:22 → 10.0.0.2:40000 leaves by eth0";
    assert!(text.contains(line), "{text}");
    let text = explain("reject-answer-dropped", "udp:10.0.0.2:40000->10.0.0.1:53");
    let line = "icmp admin-prohibited 10.0.0.1 → 10.0.0.2 is dropped by ip t output";
    assert!(text.contains(line), "{text}");
}

/// Runs `nfpath test` on a file of expectations with this text, beside C1's ruleset.
fn expectations(text: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    fs::copy(
        "testdata/c1/ruleset.json",
        folder.path().join("ruleset.json"),
    )
    .expect("a copy");
    let file = folder.path().join("expected.toml");
    fs::write(&file, text).expect("written");
    nfpath()
        .arg("test")
        .arg(&file)
        .args(more)
        .output()
        .expect("the program runs")
}

const EXPECTED: &str = r#"
ruleset = "ruleset.json"
host.iface = ["docker1=172.20.0.1/24"]

[[test]]
name = "radius"
flow = "udp:10.254.10.105->10.254.10.252:1812"
packet.iif = "ens192"
expect.verdict = "accept"
expect.request = "forwarded"
expect.reply = "accept"
expect.by = "inet firewalld filter_FORWARD"
expect.source = "172.20.0.1"
expect.destination = "172.20.0.4:1812"
expect.out = "docker1"
"#;

#[test]
fn expectations_that_hold_and_that_do_not() {
    let good = expectations(EXPECTED, &[]);
    assert_eq!(good.status.code(), Some(0), "{}{}", out(&good), err(&good));
    assert!(out(&good).contains("ok    radius: udp:10.254.10.105->10.254.10.252:1812"));
    for (from, to, words) in [
        (
            "verdict = \"accept\"",
            "verdict = \"drop\"",
            "verdict: expected drop, is accept",
        ),
        (
            "forwarded",
            "local",
            "request: expected local, is forwarded",
        ),
        (
            "172.20.0.4:1812",
            "172.20.0.4:1813",
            "destination: expected 172.20.0.4:1813, is 172.20.0.4:1812",
        ),
        (
            "\"172.20.0.1\"",
            "\"172.20.0.2\"",
            "source: expected 172.20.0.2, is 172.20.0.1",
        ),
        (
            "filter_FORWARD",
            "filter_FORW",
            "by: expected inet firewalld filter_FORW",
        ),
        (
            "out = \"docker1\"",
            "out = \"docker0\"",
            "out: expected docker0, is docker1",
        ),
        (
            "reply = \"accept\"",
            "reply = \"none\"",
            "reply: expected none, is accept",
        ),
    ] {
        let wrong = expectations(&EXPECTED.replace(from, to), &[]);
        assert_eq!(wrong.status.code(), Some(1), "{to}");
        assert!(out(&wrong).contains(words), "{}", out(&wrong));
        assert!(out(&wrong).contains("1 flow: 0 as expected, 1 not"));
    }
}

#[test]
fn expectations_that_are_none_run_nothing() {
    for (from, to, words) in [
        (
            "expect.out",
            "expect.oot",
            "line 15, column 8: unknown field `oot`",
        ),
        ("packet.iif", "packet.iiff", "unknown field `iiff`"),
        ("host.iface", "host.ifaces", "unknown field `ifaces`"),
        ("[[test]]", "[[tests]]", "unknown field `tests`"),
        (
            "\"accept\"",
            "\"allow\"",
            "line 9, column 18: `verdict = \"allow\"`: one of accept, drop",
        ),
        ("172.20.0.4:1812", "box:1812", "an address is meant"),
        (
            "udp:10.254.10.105->",
            "udp:10.254.10.105-",
            "line 7, column 8: `--flow`",
        ),
        ("ruleset.json", "gone.json", "gone.json: no such file"),
        (
            "\"udp:10.254.10.105->10.254.10.252:1812\"",
            "[]",
            "line 7, column 8: `flow` names no flow",
        ),
        ("name = ", "name == ", "line 6"),
        (
            "\"udp:10.254.10.105->10.254.10.252:1812\"",
            "[\"udp:10.254.10.105->10.254.10.252:1812\", \"rubbish\"]",
            "line 7, column 50: `--flow`",
        ),
        (
            "packet.iif = \"ens192\"",
            "packet.mark = \"x\"",
            "line 8, column 15: `--mark`",
        ),
        (
            "172.20.0.4:1812",
            "box:1812",
            "line 14, column 22: `destination",
        ),
    ] {
        let output = expectations(&EXPECTED.replacen(from, to, 1), &[]);
        refused(&output, 3, &[words]);
    }
    let flows = expectations(EXPECTED, &["--flow", "tcp:10.0.0.1->10.0.0.2:22"]);
    refused(&flows, 2, &["--record"]);
}

#[test]
fn recorded_expectations_hold() {
    let recorded = succeeds(&[
        "test",
        "--record",
        "testdata/c4/with-drop/snapshot.json",
        "--flows",
        "testdata/c4/flows.txt",
    ]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("expected.toml");
    let root = std::env::current_dir().expect("a folder");
    let absolute = format!("ruleset = \"{}/testdata", root.display());
    let recorded = recorded.replacen("ruleset = \"testdata", &absolute, 1);
    fs::write(&file, recorded).expect("written");
    let junit = folder.path().join("results.xml");
    let output = nfpath()
        .arg("test")
        .arg(&file)
        .arg("--junit")
        .arg(&junit)
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).ends_with("12 flows: 12 as expected, 0 not\n"));
    let xml = fs::read_to_string(&junit).expect("results");
    assert_eq!(xml.matches("<testcase ").count(), 12);
    assert!(xml.contains("<testsuites tests=\"12\" failures=\"0\">"));
    // the same expectations of a ruleset without the last drop
    let changed = nfpath()
        .arg("test")
        .arg(&file)
        .args(["--ruleset", "testdata/c4/without-drop/snapshot.json"])
        .output()
        .expect("the program runs");
    assert_eq!(changed.status.code(), Some(1));
    assert!(out(&changed).contains("verdict: expected drop, is accept"));
}
