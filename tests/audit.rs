//! `nfpath audit`: each audit with a ruleset that it is about and one that it is not, the cases that nfpath is made for, and
//! all captured hosts.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nfpath::audit::{Audit, Options, about, audit};
use nfpath::explain::explain;
use nfpath::hooks::Hooks;
use nfpath::host::Host;
use nfpath::load::{Loaded, load};
use serde_json::Value;
use support::{captured, files_below, kernel_or_skip, nfpath, shared_or_skip, testdata};

/// What `nfpath audit` finds, as JSON, with facts that stand beside the ruleset.
fn found(ruleset: &Path) -> Vec<Value> {
    let facts = fs::read_to_string(ruleset.with_extension("facts")).unwrap_or_default();
    let mut args = vec!["audit", "--format", "json"];
    let name = ruleset.to_string_lossy();
    args.push(&name);
    args.extend(facts.split_whitespace());
    let output = nfpath(&args);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let json: Value = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!(
            "{name}: {error}: {}",
            String::from_utf8_lossy(&output.stderr)
        )
    });
    json["findings"].as_array().cloned().unwrap_or_default()
}

fn ids(found: &[Value]) -> BTreeSet<String> {
    found
        .iter()
        .filter_map(|one| one["id"].as_str().map(str::to_string))
        .collect()
}

/// The cases of an audit: `testdata/audit/ID.yes*.json`, `ID.no*.json`.
fn cases(id: &str, kind: &str) -> Vec<PathBuf> {
    files_below(&testdata("audit"), ".json")
        .into_iter()
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&format!("{id}.{kind}"))
        })
        .collect()
}

#[test]
fn each_audit_finds_what_it_is_about_and_nothing_else() {
    let mut wrong = Vec::new();
    for about in about::ALL {
        for (kind, expected) in [("yes", true), ("no", false)] {
            let cases = cases(about.id, kind);
            if cases.is_empty() {
                wrong.push(format!("{} has no case `{kind}`", about.id));
            }
            for case in cases {
                let found = found(&case);
                if ids(&found).contains(about.id) != expected {
                    wrong.push(format!("{}: {found:#?}", case.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_audit_has_its_page_and_every_page_an_audit() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/audits");
    let pages: BTreeSet<String> = files_below(&docs, ".md")
        .iter()
        .filter_map(|path| {
            path.file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
        })
        .filter(|stem| stem != "README")
        .collect();
    let known: BTreeSet<String> = about::ALL
        .iter()
        .map(|about| about.id.to_string())
        .collect();
    assert_eq!(pages, known);
    for about in about::ALL {
        let page = fs::read_to_string(docs.join(format!("{}.md", about.id))).expect("a page");
        for part in ["## What", "## Why", "## Example", "## Remedy"] {
            assert!(page.contains(part), "{}: no {part}", about.id);
        }
    }
    assert!(about::ALL.is_sorted_by_key(|about| about.id));
}

fn rules_of(found: &[Value], id: &str) -> Vec<String> {
    found
        .iter()
        .filter(|one| one["id"] == id)
        .map(|one| {
            one["rules"][0]["text"]
                .as_str()
                .unwrap_or_default()
                .to_string()
        })
        .collect()
}

#[test]
fn rules_appended_behind_dockers_isolation_are_found_and_inserted_ones_are_not() {
    let appended = found(&testdata("c2/appended/snapshot.json"));
    assert_eq!(rules_of(&appended, "behind-isolation").len(), 2);
    let blocker = &appended[0]["rules"][1];
    assert_eq!(blocker["chain"], "DOCKER-ISOLATION-STAGE-2");
    assert!(found(&testdata("c2/inserted/snapshot.json")).is_empty());
}

#[test]
fn ports_that_docker_publishes_past_firewalld_are_named() {
    let found = found(&testdata("c1-captured/snapshot.json"));
    let one = found.iter().find(|one| one["id"] == "published-past-zone");
    let message = one.expect("the headline")["message"]
        .as_str()
        .unwrap_or_default();
    assert!(
        message.ends_with("tcp 8080; udp 67, 514, 1812"),
        "{message}"
    );
}

#[test]
fn a_drop_of_the_published_port_after_dnat_is_found() {
    let tried = found(&testdata("c5/tried/snapshot.json"));
    let rules = rules_of(&tried, "docker-user-published-port");
    assert_eq!(rules.len(), 1);
    assert!(rules[0].contains("dport 30004"), "{rules:?}");
    let works = found(&testdata("c5/works/snapshot.json"));
    assert!(rules_of(&works, "docker-user-published-port").is_empty());
}

#[test]
fn docker_user_that_lets_only_tcp_answers_in_is_found() {
    let with = found(&testdata("c4/with-drop/snapshot.json"));
    assert_eq!(rules_of(&with, "reply-dropped").len(), 1);
    let without = found(&testdata("c4/without-drop/snapshot.json"));
    assert!(rules_of(&without, "reply-dropped").is_empty());
}

/// `nft -j` alone does not say what matches of xtables ask for.
#[test]
fn what_rests_on_an_opaque_match_is_a_note_that_says_so() {
    let mut open = 0;
    for host in ["ufw", "c1-captured", "c4/with-drop", "fail2ban"] {
        let ruleset = testdata(host).join("ruleset.json");
        for finding in found(&ruleset) {
            let Some(flow) = finding["witness"]["flow"].as_str() else {
                continue;
            };
            let name = ruleset.to_string_lossy();
            let mut args = vec!["explain", &name, "--flow", flow];
            if let Some(iif) = finding["witness"]["iif"].as_str() {
                args.extend(["--iif", iif]);
            }
            let is_open = finding["confidence"] == "open";
            assert!(!is_open || finding["severity"] == "note", "{finding:#?}");
            assert!(
                is_open || nfpath(&args).status.code() != Some(4),
                "{host}: {finding:#?}"
            );
            open += usize::from(is_open);
        }
    }
    assert!(open > 0, "no finding rests on anything");
}

#[test]
fn the_same_ruleset_gives_the_same_bytes() {
    let args = [
        "audit",
        "--format",
        "sarif",
        "testdata/c5/tried/snapshot.json",
    ];
    assert_eq!(nfpath(&args).stdout, nfpath(&args).stdout);
}

#[test]
fn deny_allow_and_fail_on_decide_about_the_exit_status() {
    let file = "testdata/c5/tried/snapshot.json";
    let id = "docker-user-published-port";
    let status = |args: &[&str]| {
        let mut all = vec!["audit", file];
        all.extend(args);
        nfpath(&all).status.code()
    };
    assert_eq!(status(&[]), Some(1));
    assert_eq!(status(&["--fail-on", "error"]), Some(0));
    assert_eq!(status(&["--fail-on", "error", "--deny", id]), Some(1));
    assert_eq!(status(&["--allow", id]), Some(0));
    assert_eq!(status(&["--allow", "no-such-audit"]), Some(2));
}

#[test]
fn a_comment_or_a_configuration_file_says_why_a_finding_is_meant() {
    let case = testdata("audit/comment.suppressed.json");
    let output = nfpath(&["audit", "--format", "json", &case.to_string_lossy()]);
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["findings"], Value::Array(Vec::new()));
    assert_eq!(json["suppressed"][0]["reason"], "kept for the auditors");
    assert_eq!(json["suppressed"][0]["by"], "comment");
    let dir = tempfile::tempdir().expect("a folder");
    let config = dir.path().join("audit.toml");
    let run = |text: &str| {
        fs::write(&config, text).expect("a file");
        let config = config.to_string_lossy();
        nfpath(&[
            "audit",
            "testdata/c5/tried/snapshot.json",
            "--config",
            &config,
        ])
    };
    let good = "[[allow]]\nid = \"docker-user-published-port\"\nat = \"ip filter FORWARD\"\nreason = \"known\"\n";
    assert_eq!(run(good).status.code(), Some(0));
    let elsewhere = good.replace("FORWARD", "INPUT");
    assert_eq!(run(&elsewhere).status.code(), Some(1));
    for (bad, says) in [
        ("[[allow]]\nid = \"x\"\n", "reason"),
        (
            "[[allow]]\nid = \"nonsense\"\nreason = \"r\"\n",
            "line 2, column 6: no audit is called `nonsense`",
        ),
        (
            "deny = [\"empty-set\",\n  \"emtpy-set\"]\n",
            "line 2, column 3: no audit is called `emtpy-set`: did you mean `empty-set`?",
        ),
        (
            "[[allow]]\nid = \"empty-set\"\nreason = \" \"\n",
            "line 3, column 10: `empty-set` is allowed without a reason",
        ),
    ] {
        let output = run(bad);
        assert_eq!(output.status.code(), Some(3));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn names_from_the_ruleset_do_not_reach_the_terminal_as_they_are() {
    let text = fs::read_to_string(testdata("audit/shadowed-rule.yes.json")).expect("a case");
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("ruleset.json");
    let text = text.replace("\"incoming\"", "\"in\\u001b[2J\"");
    assert!(text.contains("\\u001b"));
    fs::write(&file, text).expect("a file");
    let output = nfpath(&["audit", &file.to_string_lossy()]);
    assert!(output.stdout.windows(8).any(|bytes| bytes == b"\\u{1b}[2"));
    assert!(!output.stdout.contains(&0x1b));
}

/// What SARIF 2.1.0 requires of each object (sections 3.13, 3.14, 3.18, 3.19, 3.27, 3.35).
#[test]
fn sarif_has_what_the_standard_requires() {
    let output = nfpath(&[
        "audit",
        "--format",
        "sarif",
        "testdata/c5/tried/snapshot.json",
    ]);
    let log: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(log["version"], "2.1.0");
    assert!(
        log["$schema"]
            .as_str()
            .is_some_and(|uri| uri.ends_with("sarif-schema-2.1.0.json"))
    );
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "nfpath");
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    assert_eq!(rules.len(), about::ALL.len());
    let results = run["results"].as_array().expect("results");
    assert!(!results.is_empty());
    for result in results {
        let index = result["ruleIndex"].as_u64().expect("an index") as usize;
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(
            result["message"]["text"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
        assert!(
            ["none", "note", "warning", "error"]
                .contains(&result["level"].as_str().expect("a level"))
        );
        let uri = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
        assert_eq!(uri, "testdata/c5/tried/snapshot.json");
        assert!(result["partialFingerprints"].is_object());
    }
}

/// Every witness, asked of `explain` as it stands in the answer.
fn confirm(name: &str, loaded: &Loaded, hooks: &Hooks, host: &Host, answer: &Audit) -> usize {
    let mut witnesses = 0;
    for finding in &answer.findings {
        let Some(witness) = &finding.witness else {
            continue;
        };
        witnesses += 1;
        let said = explain(loaded, hooks, host, &witness.question).expect("an answer");
        assert!(
            witness.shows.holds(&said.explored.primary),
            "{name}: {finding:#?}"
        );
        assert_eq!(
            witness.question.flow.to_string(),
            said.report.flow.text,
            "{name}"
        );
    }
    witnesses
}

#[test]
fn captured_hosts_give_findings_that_explain_confirms() {
    let test = "captured_hosts_give_findings_that_explain_confirms";
    let Some(shared) = shared_or_skip(test) else {
        return;
    };
    let only = std::env::var("NFPATH_ONLY").ok();
    let show = std::env::var_os("NFPATH_SHOW").is_some();
    let files = files_below(&shared.join("corpus"), "ruleset.json");
    let folders: Vec<&Path> = files.iter().filter_map(|file| file.parent()).collect();
    assert!(!folders.is_empty());
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(folder) =
                    folders.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    let name = folder.file_name().unwrap_or_default().to_string_lossy();
                    if only
                        .as_ref()
                        .is_some_and(|only| !name.contains(only.as_str()))
                    {
                        continue;
                    }
                    let Some((loaded, host)) = captured(folder) else {
                        continue;
                    };
                    let hooks = Hooks::new(&loaded.ruleset);
                    let began = Instant::now();
                    let answer = audit(&loaded, &hooks, &host, &Options::default());
                    let took = began.elapsed();
                    let witnesses = confirm(&name, &loaded, &hooks, &host, &answer);
                    eprintln!(
                        "{name}: {} findings, {witnesses} witnesses, {took:?}",
                        answer.findings.len()
                    );
                    if show {
                        eprintln!("## {name}\n{}", nfpath::render::audit::text(&answer, 120));
                    }
                    assert!(took < Duration::from_secs(240), "{name}: {took:?}");
                }
            });
        }
    });
}

#[test]
fn own_test_data_give_findings_that_explain_confirms() {
    let mut witnesses = 0;
    for path in files_below(&testdata(""), "snapshot.json") {
        let text = fs::read_to_string(&path).expect("a snapshot");
        let Ok(loaded) = load("snapshot", &text, &[]) else {
            continue;
        };
        let hooks = Hooks::new(&loaded.ruleset);
        let answer = audit(&loaded, &hooks, &loaded.host, &Options::default());
        witnesses += confirm(
            &path.to_string_lossy(),
            &loaded,
            &hooks,
            &loaded.host,
            &answer,
        );
    }
    assert!(witnesses > 0);
}

/// Witnesses of the cases that a kernel here cannot be asked about, and why.
const NOT_VERIFIED: [(&str, &str); 0] = [];

#[test]
fn witnesses_of_the_cases_do_in_a_kernel_what_the_model_says() {
    if !kernel_or_skip("witnesses_of_the_cases_do_in_a_kernel_what_the_model_says") {
        return;
    }
    let (mut agreed, mut wrong, mut open) = (0, Vec::new(), Vec::new());
    for about in about::ALL {
        for case in cases(about.id, "yes") {
            let name = case.file_stem().unwrap_or_default().to_string_lossy();
            let facts = fs::read_to_string(case.with_extension("facts")).unwrap_or_default();
            for one in found(&case) {
                let witness = &one["witness"];
                let (Some(flow), true) = (witness["flow"].as_str(), one["id"] == about.id) else {
                    continue;
                };
                let path = case.to_string_lossy();
                let mut args = vec!["verify", "--format", "json", "--flow", flow, &path];
                args.extend(
                    witness["iif"]
                        .as_str()
                        .map(|iif| ["--iif", iif])
                        .iter()
                        .flatten(),
                );
                args.extend(facts.split_whitespace());
                let output = nfpath(&args);
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                let json: Value = serde_json::from_str(&text).unwrap_or_default();
                match json["flows"][0]["agreement"].as_str() {
                    Some("yes") => agreed += 1,
                    Some("no") => wrong.push(format!("{name} {flow}: {text}")),
                    _ => {
                        let said = String::from_utf8_lossy(&output.stderr).into_owned();
                        eprintln!("{name} {flow}: {text}{said}");
                        open.push(name.to_string());
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    open.dedup();
    assert_eq!(open, NOT_VERIFIED.map(|(name, _)| name));
    assert!(agreed > 15, "only {agreed} witnesses");
}

#[test]
fn findings_wrap_at_the_terminals_width_and_one_warning_is_no_plural() {
    let output = Command::new(env!("CARGO_BIN_EXE_nfpath"))
        .args(["audit", "testdata/c5/tried/snapshot.json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .env("COLUMNS", "60")
        .output()
        .expect("nfpath runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found: Vec<&str> = text
        .lines()
        .take_while(|line| !line.contains("0 errors"))
        .collect();
    assert!(!found.is_empty());
    assert!(found.iter().all(|line| line.len() <= 60), "{text}");
    assert!(
        text.contains("0 errors, 1 warning, 0 notes, 0 suppressed\n"),
        "{text}"
    );
}

/// One made-up rule: ranges of source, destination and destination port, and its verdict.
struct Made {
    ranges: [(u32, u32); 3],
    accepts: bool,
}

/// Rules of TCP with prefixes and port ranges made up at random: those that never match are those that match none of the
/// packets at the corners, where a range begins or another one has ended.
#[test]
fn made_up_rules_without_effect_are_those_that_no_packet_reaches() {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = move |end: u32| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % u64::from(end)) as u32
    };
    let mut dead = 0;
    for _ in 0..8 {
        let mut prefix = || {
            let len = [0, 1, 2, 3, 8][random(5) as usize];
            let host = u32::MAX.checked_shr(len).unwrap_or(0);
            let first = (random(4) << 30 | random(4) << 20) & !host;
            (first, first | host)
        };
        let nets: Vec<[(u32, u32); 2]> = (0..30).map(|_| [prefix(), prefix()]).collect();
        let rules: Vec<Made> = nets
            .into_iter()
            .map(|[src, dst]| {
                let first = 1 + random(40);
                Made {
                    ranges: [src, dst, (first, first + random(30))],
                    accepts: random(2) == 0,
                }
            })
            .collect();
        let corners = |dimension: usize| -> BTreeSet<u32> {
            let ranges = rules.iter().map(|rule| rule.ranges[dimension]);
            ranges
                .flat_map(|(lo, hi)| [lo, hi.saturating_add(1)])
                .collect()
        };
        let mut alive: BTreeSet<usize> = BTreeSet::new();
        for src in corners(0) {
            for dst in corners(1) {
                for port in corners(2) {
                    let point = [src, dst, port];
                    alive.extend(rules.iter().position(|rule| {
                        let mut parts = rule.ranges.iter().zip(point);
                        parts.all(|((lo, hi), at)| *lo <= at && at <= *hi)
                    }));
                }
            }
        }
        let expected: BTreeSet<u64> = (0..rules.len())
            .filter(|at| !alive.contains(at))
            .map(|at| at as u64 + 1)
            .collect();
        dead += expected.len();
        let text = listing(&rules).to_string();
        let loaded = load("made up", &text, &[]).expect("a ruleset");
        let hooks = Hooks::new(&loaded.ruleset);
        let answer = audit(&loaded, &hooks, &loaded.host, &Options::default());
        let told: BTreeSet<u64> = answer
            .findings
            .iter()
            .filter(|one| ["shadowed-rule", "redundant-rule"].contains(&one.about.id))
            .filter_map(|one| Some(one.rules.first()?.rule.handle.0))
            .collect();
        assert_eq!(told, expected, "{text}");
    }
    assert!(dead > 15, "{dead}");
}

fn listing(rules: &[Made]) -> Value {
    use serde_json::json;
    let mut objects = vec![
        json!({"metainfo": {"json_schema_version": 1}}),
        json!({"table": {"family": "ip", "name": "t", "handle": 1}}),
        json!({"chain": {"family": "ip", "table": "t", "name": "c", "handle": 1000,
            "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}}),
    ];
    for (at, rule) in rules.iter().enumerate() {
        let field = |protocol: &str, field: &str, (lo, hi): (u32, u32)| {
            let shown = |value: u32| match protocol {
                "ip" => json!(std::net::Ipv4Addr::from_bits(value).to_string()),
                _ => json!(value),
            };
            json!({"match": {"op": "==",
                "left": {"payload": {"protocol": protocol, "field": field}},
                "right": {"range": [shown(lo), shown(hi)]}}})
        };
        let verdict = if rule.accepts { "accept" } else { "drop" };
        objects.push(
            json!({"rule": {"family": "ip", "table": "t", "chain": "c", "handle": at + 1,
            "expr": [
                field("ip", "saddr", rule.ranges[0]),
                field("ip", "daddr", rule.ranges[1]),
                field("tcp", "dport", rule.ranges[2]),
                {verdict: null},
            ]}}),
        );
    }
    json!({"nftables": objects})
}

/// Whoever blocks an address means answers, too; whoever drops high ports does not.
#[test]
fn a_blocklist_in_front_of_established_is_a_note() {
    let told = |case: &str| -> Vec<(String, String)> {
        let facts =
            fs::read_to_string(testdata("audit/reply-dropped.blocklist.facts")).expect("facts");
        let case = testdata(case).to_string_lossy().into_owned();
        let mut args = vec!["audit", &case, "--format", "json"];
        args.extend(facts.split_whitespace());
        let json: Value = serde_json::from_slice(&nfpath(&args).stdout).expect("JSON");
        let findings = json["findings"].as_array().cloned().unwrap_or_default();
        let word = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_string();
        let pairs = findings
            .iter()
            .map(|one| (word(one, "id"), word(one, "severity")));
        pairs.filter(|(id, _)| id == "reply-dropped").collect()
    };
    let one = |severity: &str| vec![("reply-dropped".to_string(), severity.to_string())];
    assert_eq!(told("audit/reply-dropped.blocklist.json"), one("note"));
    let text = fs::read_to_string(testdata("audit/reply-dropped.blocklist.json")).expect("a case");
    let high = text.replace(
        r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@blocked"}}"#,
        r#"{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"range": [1024, 65535]}}}"#,
    );
    assert_ne!(high, text);
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("high.json");
    fs::write(&file, high).expect("a file");
    assert_eq!(told(&file.to_string_lossy()), one("warning"));
    // nor does whoever drops all that is left
    let address = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@blocked"}}, "#;
    let all = text.replace(address, "");
    assert_ne!(all, text);
    fs::write(&file, all).expect("a file");
    assert_eq!(told(&file.to_string_lossy()), one("warning"));
}
