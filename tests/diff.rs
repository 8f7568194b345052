//! `nfpath diff`: what it says of pairs of rulesets, and that `explain` says the same of made-up packets under both.

mod support;

use std::fs;
use std::net::IpAddr;
use std::process::Output;

use ipnet::IpNet;
use nfpath::diff::{Diff, Kind, Row, Side, diff};
use nfpath::explain::{Question, explain};
use nfpath::flow::Flow;
use nfpath::hooks::Hooks;
use nfpath::host::Host;
use nfpath::load::{Loaded, load};
use nfpath::logic::Known;
use nfpath::sets::Room;
use nfpath::walk::step::{Outcome, Walked};
use serde_json::Value;
use support::{nfpath, testdata};

/// `nfpath diff` of two rulesets of testdata/diff, on their host.
fn told(old: &str, new: &str, more: &[&str]) -> Output {
    let facts = fs::read_to_string(testdata("diff/web.facts")).expect("facts");
    let (old, new) = (
        format!("testdata/diff/{old}"),
        format!("testdata/diff/{new}"),
    );
    let mut args = vec!["diff", &old, &new];
    args.extend(facts.split_whitespace());
    args.extend(more);
    nfpath(&args)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_ruleset_that_is_written_otherwise_gives_no_rows() {
    let output = told("web.old.json", "web.same.json", &[]);
    let text = text(&output);
    assert!(text.starts_with("no change"), "{text}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_translation_to_a_range_of_addresses_fits() {
    let output = told("range.json", "range.json", &[]);
    let text = text(&output);
    assert!(text.starts_with("no change"), "{text}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn every_kind_of_change_is_told_with_the_rules_of_both_sides() {
    let output = told("web.old.json", "web.new.json", &["--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["schema"], "nfpath.diff/1");
    let rows = json["rows"].as_array().expect("rows");
    let by = |fate: &Value| {
        let cited = fate["by"].as_array().expect("rules");
        let words = cited.iter().map(|one| match one["text"].as_str() {
            Some(text) => text.to_string(),
            None => one["place"].as_str().unwrap_or_default().to_string(),
        });
        words.collect::<Vec<_>>().join("; ")
    };
    let find = |kind: &str, port: &str, iif: &str| {
        rows.iter()
            .find(|row| {
                let names = row["interfaces"].as_array().expect("interfaces");
                row["kind"] == kind && row["dport"] == port && names.iter().any(|name| name == iif)
            })
            .unwrap_or_else(|| panic!("no row {kind} {port}: {rows:#?}"))
    };
    let published = find("opened", "8080", "wan0");
    assert_eq!(published["after"]["translated_to"], "10.0.0.6:80");
    assert_eq!(published["after"]["detail"], "lan0");
    assert_eq!(by(&published["before"]), "inet f forward policy drop");
    assert!(by(&published["after"]).ends_with("ct status dnat accept"));
    let https = find("opened", "443", "wan0");
    assert_eq!(https["after"]["end"], "local");
    assert_eq!(
        https["dst"],
        serde_json::json!(["10.0.0.1/32", "192.0.2.10/32"])
    );
    let http = find("closed", "80", "lan0");
    assert_eq!(http["before"]["end"], "local");
    assert_eq!(by(&http["after"]), "inet f input policy drop");
    let outgoing = rows.iter().find(|row| {
        row["kind"] == "changed"
            && by(&row["before"]).ends_with("masquerade")
            && by(&row["after"]).ends_with("snat to 192.0.2.99")
    });
    assert!(outgoing.is_some(), "{rows:#?}");
    for row in rows {
        assert_eq!(row["witness"]["confirmed"], true, "{row:#}");
    }
}

#[test]
fn another_answer_to_what_is_refused_is_a_change() {
    let output = told("refuse.old.json", "refuse.new.json", &["--format", "json"]);
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rows = json["rows"].as_array().expect("rows");
    let outside = |port: &str| {
        let is = |row: &&Value| {
            let v4 = row["dst"][0].as_str().is_some_and(|dst| dst.contains('.'));
            row["dport"] == port && row["sent_here"] == false && row["to_many"] == false && v4
        };
        rows.iter().filter(is).collect::<Vec<_>>()
    };
    let [reset] = outside("80")[..] else {
        panic!("{rows:#?}");
    };
    assert_eq!(reset["kind"], "changed");
    assert_eq!(reset["before"]["detail"], "icmp port-unreachable");
    assert_eq!(reset["after"]["detail"], "tcp reset");
    let [rejected] = outside("81")[..] else {
        panic!("{rows:#?}");
    };
    assert_eq!(rejected["before"]["end"], "dropped");
    assert_eq!(rejected["after"]["end"], "rejected");
    // the same answer in the words of another family
    assert!(outside("82").is_empty(), "{rows:#?}");
    // what the host drops for its source is no change where a rule drops it instead
    let from_loopback = |row: &&Value| {
        let sources = row["src"].as_array().expect("sources");
        sources.iter().any(|src| src == "127.0.0.0/8")
    };
    let martians = rows.iter().filter(|row| row["sent_here"] == false);
    let martians: Vec<_> = martians.filter(from_loopback).collect();
    assert!(martians.is_empty(), "{martians:#?}");
    let left_out = json["left_out"].to_string();
    assert!(left_out.contains("drops for their addresses"), "{left_out}");
}

#[test]
fn a_flow_with_a_type_of_service_is_asked_of_explain() {
    let output = told("refuse.old.json", "refuse.new.json", &["--format", "json"]);
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rows = json["rows"].as_array().expect("rows").iter();
    let marked: Vec<_> = rows.filter(|row| row["dport"] == "5061").collect();
    assert!(!marked.is_empty());
    for row in marked {
        assert_eq!(row["witness"]["assume"], serde_json::json!(["ip dscp=46"]));
        assert_eq!(row["witness"]["confirmed"], true, "{row:#}");
    }
}

#[test]
fn the_exit_status_is_for_what_is_asked() {
    let status =
        |old: &str, new: &str, kind: &str| told(old, new, &["--fail-on", kind]).status.code();
    assert_eq!(status("web.old.json", "web.new.json", "opened"), Some(1));
    assert_eq!(status("web.old.json", "web.new.json", "closed"), Some(1));
    assert_eq!(status("web.old.json", "web.new.json", "none"), Some(0));
    assert_eq!(status("web.old.json", "web.same.json", "any"), Some(0));
    let both = nfpath(&["diff", "-", "-"]);
    assert_eq!(both.status.code(), Some(2));
    assert_eq!(
        nfpath(&["diff", "testdata/diff/web.old.json"])
            .status
            .code(),
        Some(2)
    );
    let none = nfpath(&[
        "diff",
        "testdata/diff/web.old.json",
        "testdata/diff/none.json",
    ]);
    assert_eq!(none.status.code(), Some(3));
}

#[test]
fn a_ruleset_without_a_host_is_taken_to_run_on_that_of_the_snapshot() {
    let snapshot = "testdata/c1-captured/snapshot.json";
    let saved = "testdata/c1-captured/iptables-save.txt";
    let output = nfpath(&[
        "diff",
        snapshot,
        "testdata/c1-captured/ruleset.json",
        "--iptables-save",
        saved,
    ]);
    let text = text(&output);
    assert!(text.starts_with("no change"), "{text}");
}

/// The members of a listing that are rules, by position.
fn rules(listing: &Value) -> Vec<usize> {
    let all = listing["nftables"].as_array().expect("objects");
    (0..all.len())
        .filter(|at| all[*at].get("rule").is_some())
        .collect()
}

/// Both rulesets on one host, compared.
fn compared(old: &Loaded, new: &Loaded, host: &Host) -> Diff {
    let side = |loaded| Side { loaded, host };
    let answer = diff(side(old), side(new), Room::default());
    assert_eq!(answer.given_up, None);
    answer
}

#[test]
fn other_handles_are_no_change() {
    for (name, host) in [
        ("c1/ruleset.json", "c1/host"),
        ("ufw/ruleset.json", "ufw/host"),
    ] {
        let (old, mut listing, host) = case(name, host);
        for at in rules(&listing) {
            let rule = &mut listing["nftables"][at]["rule"];
            let handle = rule["handle"].as_u64().expect("a handle");
            rule["handle"] = (handle + 1000).into();
        }
        let new = load("new", &listing.to_string(), &[]).expect("a ruleset");
        let answer = compared(&old, &new, &host);
        assert!(answer.rows.is_empty(), "{name}: {:#?}", answer.rows);
    }
}

fn case(ruleset: &str, host: &str) -> (Loaded, Value, Host) {
    let text = fs::read_to_string(testdata(ruleset)).expect("a listing");
    let loaded = load(ruleset, &text, &[]).expect("a ruleset");
    let listing = serde_json::from_str(&text).expect("JSON");
    let (host, _) = support::host_listings::host_of(&testdata(host));
    (loaded, listing, host)
}

/// Made-up numbers (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[(self.next() % all.len() as u64) as usize]
    }
}

/// What becomes of a packet, as far as a diff tells it: whether it gets through, where to, and whether answers come back.
fn fate(walked: &Walked) -> (Outcome, Option<IpAddr>, Option<Outcome>) {
    let outcome = walked.request.disposition.outcome();
    let passes = outcome == Outcome::Accept;
    let dst = match walked.request.output.dst {
        Known::Value(dst) if passes => Some(dst),
        _ => None,
    };
    let reply = walked.reply.as_ref().filter(|_| passes);
    (outcome, dst, reply.map(|reply| reply.disposition.outcome()))
}

fn contains(row: &Row, flow: &Flow, iif: &str) -> bool {
    let within = |ranges: &[(u128, u128)], number: u128| {
        ranges.iter().any(|(lo, hi)| *lo <= number && number <= *hi)
    };
    let inside = |nets: &[IpNet], ip: IpAddr| nets.iter().any(|net| net.contains(&ip));
    let class = &row.class;
    !row.sent_here
        && class.interfaces.iter().any(|name| name == iif)
        && within(&class.protocols, flow.proto.into())
        && within(&class.ports, flow.dport.unwrap_or(0).into())
        && within(&class.source_ports, flow.sport.unwrap_or(0).into())
        && flow.src.is_some_and(|src| inside(&class.sources, src))
        && inside(&class.destinations, flow.dst)
}

/// Rulesets with one rule taken out, moved or turned around: each row is right, and each packet whose fate changes is in one.
#[test]
fn made_up_packets_change_their_fate_where_a_row_says_so() {
    let (mut rows, mut changed) = (0, 0);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    // rules of iptables-nft are open without iptables' own text
    let folders = ["c1", "c1", "c2/appended", "libvirt"].map(str::to_string);
    let small = fs::read_dir(testdata("small"))
        .expect("small cases")
        .flatten();
    let mut small: Vec<String> = small
        .map(|entry| format!("small/{}", entry.file_name().to_string_lossy()))
        .filter(|folder| testdata(folder).join("ruleset.json").exists())
        .collect();
    small.sort();
    for folder in folders.into_iter().chain(small) {
        let (name, host) = (format!("{folder}/ruleset.json"), format!("{folder}/host"));
        let (name, host) = (name.as_str(), host.as_str());
        let (old, listing, host) = case(name, host);
        let places = rules(&listing);
        for _ in 0..2 {
            if places.is_empty() {
                continue;
            }
            let at = *random.one_of(&places);
            let mut other = listing.clone();
            let all = other["nftables"].as_array_mut().expect("objects");
            match random.next() % 3 {
                0 => drop(all.remove(at)),
                1 => {
                    let rule = all.remove(at);
                    all.push(rule);
                }
                _ => {
                    let text = all[at].to_string();
                    let turned = match text.contains(r#"{"accept":null}"#) {
                        true => text.replace(r#"{"accept":null}"#, r#"{"drop":null}"#),
                        false => text.replace(r#"{"drop":null}"#, r#"{"accept":null}"#),
                    };
                    all[at] = serde_json::from_str(&turned).expect("JSON");
                }
            }
            let what = format!("{name}: {}", listing["nftables"][at]);
            let new = load("new", &other.to_string(), &[]).expect("a ruleset");
            let answer = compared(&old, &new, &host);
            for row in &answer.rows {
                assert_ne!(row.witness.confirmed, Some(false), "{what}: {row:#?}");
            }
            rows += answer.rows.len();
            changed += same_by_packets(&old, &new, &host, &answer, &mut random, &what);
        }
    }
    assert!(rows > 30 && changed > 10, "{rows} rows, {changed} packets");
}

/// Asks `explain` about made-up packets under both rulesets; how many changed their fate.
fn same_by_packets(
    old: &Loaded,
    new: &Loaded,
    host: &Host,
    answer: &Diff,
    random: &mut Random,
    what: &str,
) -> usize {
    let hooks = [Hooks::new(&old.ruleset), Hooks::new(&new.ruleset)];
    let mut addresses: Vec<IpAddr> = host
        .addresses
        .iter()
        .map(|address| address.ip)
        .filter(|ip| ip.is_ipv4() && !ip.is_loopback())
        .collect();
    let neighbours: Vec<IpAddr> = addresses
        .iter()
        .filter_map(|ip| match ip {
            IpAddr::V4(v4) => Some(IpAddr::V4((v4.to_bits() ^ 3).into())),
            IpAddr::V6(_) => None,
        })
        .collect();
    addresses.extend(neighbours);
    addresses.push("198.51.100.9".parse().expect("an address"));
    // what the rows name, too
    for row in answer.rows.iter().filter(|row| !row.class.v6) {
        addresses.extend(row.class.destinations.iter().take(3).map(|net| net.addr()));
    }
    let mut ports = vec![22, 53, 80, 443, 514, 1812, 8080];
    ports.extend(
        answer
            .rows
            .iter()
            .flat_map(|row| row.class.ports.first())
            .map(|(lo, hi)| (*lo).max(1).min(*hi) as u16),
    );
    let mut changed = 0;
    for _ in 0..150 {
        let proto = *random.one_of(&[6u8, 17]);
        let (src, dst) = (*random.one_of(&addresses), *random.one_of(&addresses));
        if src == dst {
            continue;
        }
        let flow = format!(
            "{}:{src}:40000->{dst}:{}",
            if proto == 6 { "tcp" } else { "udp" },
            random.one_of(&ports)
        );
        let flow: Flow = flow.parse().expect("a flow");
        // nothing comes from outside by lo
        let links: Vec<_> = host.links.iter().filter(|link| link.name != "lo").collect();
        let iif = random.one_of(&links).name.to_string();
        let question = Question {
            iif: Some(iif.clone()),
            ..Question::new(flow)
        };
        let sides = [(old, &hooks[0]), (new, &hooks[1])].map(|(loaded, hooks)| {
            explain(loaded, hooks, host, &question)
                .expect("an answer")
                .explored
        });
        // what is open has rows that rest on it; bridges are left out
        let open = sides.iter().any(|side| {
            !side.alternatives.is_empty()
                || side.primary.request.disposition.outcome() == Outcome::Unknown
        });
        let bridged = sides.iter().any(|side| {
            side.primary.request.disposition == nfpath::walk::step::Disposition::Bridged
        });
        let containing: Vec<&Row> = answer
            .rows
            .iter()
            .filter(|row| contains(row, &flow, &iif))
            .collect();
        if open || bridged || containing.iter().any(|row| !row.rests_on.is_empty()) {
            continue;
        }
        let [before, after] = sides.map(|side| fate(&side.primary));
        let rows: Vec<Kind> = containing.iter().map(|row| row.kind).collect();
        if before == after {
            // another interface, source or port is a change, too
            let hard: Vec<&Kind> = rows.iter().filter(|kind| **kind != Kind::Changed).collect();
            assert!(
                hard.is_empty(),
                "{what}\n{flow} by {iif}: {before:?}, {containing:#?}"
            );
            continue;
        }
        changed += 1;
        let expected = match (before.0, after.0) {
            (Outcome::Accept, Outcome::Accept) => Kind::Changed,
            (Outcome::Accept, _) => Kind::Closed,
            (_, Outcome::Accept) => Kind::Opened,
            _ => Kind::Changed,
        };
        assert_eq!(
            rows,
            [expected],
            "{what}\n{flow} by {iif}: {before:?} {after:?}, {containing:#?}"
        );
    }
    changed
}

/// A ruleset of one chain at input with policy drop and these rules, for facts on the command line.
fn input_chain(rules: &[Value]) -> String {
    use serde_json::json;
    let mut objects = vec![
        json!({"metainfo": {"json_schema_version": 1}}),
        json!({"table": {"family": "ip", "name": "t", "handle": 1}}),
        json!({"chain": {"family": "ip", "table": "t", "name": "c", "handle": 1,
            "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}}),
    ];
    for (at, expr) in rules.iter().enumerate() {
        objects.push(json!({"rule": {"family": "ip", "table": "t", "chain": "c",
            "handle": at + 2, "expr": expr}}));
    }
    json!({"nftables": objects}).to_string()
}

#[test]
fn interfaces_that_only_a_wildcard_names_are_followed() {
    use serde_json::json;
    let iifname = |right: Value| {
        json!([
            {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": right}},
            {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}},
            {"accept": null}
        ])
    };
    let load = |rules: &[Value]| load("made up", &input_chain(rules), &[]).expect("a ruleset");
    let none = load(&[]);
    let host = Host::default();
    for (pattern, shown) in [
        (json!("ppp*"), "ppp*"),
        (json!({"set": ["tun*", "eth0"]}), "tun*"),
    ] {
        let opened = load(&[iifname(pattern)]);
        let answer = compared(&none, &opened, &host);
        let found = answer.rows.iter().any(|row| {
            row.kind == Kind::Opened && row.class.interfaces.iter().any(|name| name == shown)
        });
        assert!(found, "{:#?}", answer.rows);
    }
}

#[test]
fn a_limit_that_is_gone_is_no_proof_of_no_change() {
    let output = told("limit.old.json", "limit.new.json", &["--fail-on", "opened"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(
        said.starts_with("no change as long as all is as usual\n"),
        "{said}"
    );
    let unless = "more packets change unless the rate limit is not exceeded in inet f c rule #3\n";
    assert_eq!(said.matches("more packets change").count(), 1, "{said}");
    assert!(said.contains(unless), "{said}");
    let same = told("limit.old.json", "limit.old.json", &[]);
    assert_eq!(same.status.code(), Some(0));
    assert!(!text(&same).contains("more packets"), "{}", text(&same));
}

#[test]
fn what_could_not_be_read_is_no_proof_of_no_change() {
    let json = fs::read_to_string(testdata("diff/limit.new.json")).expect("a listing");
    let dir = tempfile::tempdir().expect("a folder");
    let compared = |old: &str, new: &str| {
        assert_ne!(json, new, "nothing was replaced");
        let [before, after] = ["old", "new"].map(|name| dir.path().join(name));
        fs::write(&before, old).expect("a file");
        fs::write(&after, new).expect("a file");
        let output = nfpath(&["diff", &before.to_string_lossy(), &after.to_string_lossy()]);
        (output.status.code(), text(&output))
    };
    let drop = r#"{"rule": {"family": "inet", "table": "f", "chain": "c", "handle": 9, "expr": [{"drop": null}]}}"#;
    let with = |rule: &str| json.replacen("{\"rule\":", &format!("{rule}, {{\"rule\":"), 1);
    // its place is not known
    for rule in [
        drop.replace("\"chain\": \"c\", ", ""),
        drop.replace("\"chain\": \"c\"", "\"chain\": \"gone\""),
    ] {
        let (status, said) = compared(&json, &with(&rule));
        assert_eq!(status, Some(4), "{rule}\n{said}");
        assert!(said.starts_with("no change was found\n"), "{said}");
        assert!(
            said.contains("not all of the new ruleset was read: "),
            "{said}"
        );
    }
    // what it does is not known
    let rule = drop.replace(r#"[{"drop": null}]"#, "\"drop\"");
    let (status, said) = compared(&json, &with(&rule));
    assert_eq!(status, Some(1), "{said}");
    assert!(
        said.contains("after   not known: field `expr` of the rule"),
        "{said}"
    );
}

/// `tcp doff` of a first packet is open, as most senders add options.
#[test]
fn a_rule_for_the_length_of_the_tcp_header_is_a_change() {
    use serde_json::json;
    let tcp = |field: &str, op: &str, right: Value| json!({"match": {"op": op, "left": {"payload": {"protocol": "tcp", "field": field}}, "right": right}});
    let accept = json!([tcp("dport", "==", json!(22)), {"accept": null}]);
    let drop = json!([tcp("dport", "==", json!(22)), tcp("doff", ">", json!(8)), {"drop": null}]);
    let load = |rules: &[Value]| load("made up", &input_chain(rules), &[]).expect("a ruleset");
    let rules = [drop, accept];
    let (old, new) = (load(&rules[1..]), load(&rules));
    let host = Host::default();
    let side = |loaded| Side {
        loaded,
        host: &host,
    };
    let answer = diff(side(&old), side(&new), Room::default());
    let mut outside = answer.rows.iter().filter(|row| !row.sent_here).peekable();
    assert!(outside.peek().is_some(), "{:#?}", answer.rows);
    for row in outside {
        assert_eq!(row.kind, Kind::Closed, "{row:#?}");
        let rests = row.rests_on.iter();
        let mut headers = rests.filter(|words| *words == "other fields of the headers");
        assert!(headers.next().is_some(), "{row:#?}");
    }
}
