//! `nfpath reach`: what it says of the case that nfpath is made for, and that `explain` says the same of each row.

mod support;

use std::fs;
use std::process::Command;

use ipnet::IpNet;
use nfpath::hooks::Hooks;
use nfpath::load::load;
use nfpath::reach::{Query, Reach, reach};
use nfpath::sets::Room;
use support::{files_below, testdata};

fn asked(path: &str, query: &Query) -> Reach {
    let text = fs::read_to_string(testdata(path)).expect("a snapshot");
    let loaded = load(path, &text, &[]).expect("a ruleset");
    let hooks = Hooks::new(&loaded.ruleset);
    reach(&loaded, &hooks, &loaded.host, query, Room::default()).expect("an answer")
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

#[test]
fn a_published_port_is_reached_from_outside_past_the_zone() {
    let query = Query {
        to: Some(net("172.20.0.4/32")),
        from_iface: Some("ens192".into()),
        proto: Some(17),
        ..Query::default()
    };
    let answer = asked("c1-captured/snapshot.json", &query);
    let published: Vec<_> = answer
        .rows
        .iter()
        .filter(|row| row.translated.is_some())
        .collect();
    assert_eq!(published.len(), 1, "{:#?}", answer.rows);
    let row = published[0];
    let to = row.translated.expect("a target");
    assert_eq!(to.to_string(), "172.20.0.4");
    assert!(row.class.destinations.contains(&net("10.254.10.252/32")));
    assert_eq!(row.class.ports, [(1812, 1812)]);
    assert_eq!(row.leaves_by.as_deref(), Some("docker1"));
    assert!(row.rests_on.is_empty(), "{:?}", row.rests_on);
    assert!(row.by[0].place.starts_with("ip nat DOCKER"), "{:?}", row.by);
    assert!(row.witness.confirmed);
}

#[test]
fn explain_says_the_same_of_every_row() {
    let mut rows = 0;
    for path in files_below(&testdata(""), "ruleset.json") {
        let text = fs::read_to_string(&path).expect("a listing");
        let loaded = load("listing", &text, &[]).expect("a ruleset");
        let hooks = Hooks::new(&loaded.ruleset);
        // the largest of them tell nothing more
        if loaded.ruleset.rules.len() > 10 {
            continue;
        }
        let answer = reach(
            &loaded,
            &hooks,
            &loaded.host,
            &Query::default(),
            Room::default(),
        )
        .expect("an answer");
        for row in &answer.rows {
            assert!(row.witness.confirmed, "{}: {row:#?}", path.display());
        }
        rows += answer.rows.len();
    }
    assert!(rows > 50, "{rows}");
}

#[test]
fn whose_an_address_is_stays_open_where_nothing_is_known_of_the_host() {
    let text = r#"{"nftables": [
        {"table": {"family": "ip", "name": "t", "handle": 1}},
        {"chain": {"family": "ip", "table": "t", "name": "f", "handle": 1, "type": "filter", "hook": "forward",
                   "prio": 0, "policy": "accept"}}]}"#;
    let loaded = load("listing", text, &[]).expect("a ruleset");
    let hooks = Hooks::new(&loaded.ruleset);
    let query = Query {
        to: Some(net("198.51.100.9/32")),
        from: Some(net("203.0.113.7/32")),
        ..Query::default()
    };
    let answer = reach(&loaded, &hooks, &loaded.host, &query, Room::default()).expect("an answer");
    let told: Vec<_> = answer
        .rows
        .iter()
        .map(|row| (row.delivered.name(), row.rests_on.as_slice()))
        .collect();
    let open = ["the destination is an address of this host".to_string()];
    assert_eq!(
        told,
        [("local", &open[..]), ("forwarded", &open[..])],
        "{:#?}",
        answer.rows
    );
}

#[test]
fn rows_are_disjoint() {
    let answer = asked("c1-captured/snapshot.json", &Query::default());
    let rows = &answer.rows;
    assert!(rows.len() > 10);
    let meet = |a: &[(u128, u128)], b: &[(u128, u128)]| !nfpath::logic::intersect(a, b).is_empty();
    let nets = |a: &[IpNet], b: &[IpNet]| {
        a.iter()
            .any(|a| b.iter().any(|b| a.contains(b) || b.contains(a)))
    };
    for (at, a) in rows.iter().enumerate() {
        for b in &rows[at + 1..] {
            let common = a.class.v6 == b.class.v6
                && a.class
                    .interfaces
                    .iter()
                    .any(|name| b.class.interfaces.contains(name))
                && meet(&a.class.protocols, &b.class.protocols)
                && meet(&a.class.ports, &b.class.ports)
                && meet(&a.class.source_ports, &b.class.source_ports)
                && nets(&a.class.sources, &b.class.sources)
                && nets(&a.class.destinations, &b.class.destinations);
            assert!(!common, "{a:#?}\n{b:#?}");
        }
    }
}

fn nfpath(args: &[&str], columns: &str) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_nfpath"))
        .args(args)
        .env_clear()
        .env("COLUMNS", columns)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn the_program_tells_rows_in_80_and_140_columns_and_as_json() {
    let ruleset = "testdata/c1-captured/snapshot.json";
    for columns in [80, 140] {
        let args = [
            "reach",
            ruleset,
            "--to",
            "172.20.0.4",
            "--from-iface",
            "ens192",
        ];
        let (status, text, _) = nfpath(&args, &columns.to_string());
        assert_eq!(status, 0);
        assert!(text.contains("translated to 172.20.0.4"), "{text}");
        let widest = text.lines().map(str::len).max();
        assert!(widest <= Some(columns), "{widest:?}\n{text}");
    }
    let (status, text, _) = nfpath(&["reach", ruleset, "--format", "json"], "80");
    assert_eq!(status, 0);
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["schema"], "nfpath.reach/1");
    assert_eq!(json["rows"][0]["witness"]["confirmed"], true);
}

#[test]
fn a_question_that_makes_no_sense_is_refused() {
    let ruleset = "testdata/c1-captured/snapshot.json";
    for (args, word) in [
        (["--to", "10.0.0"], "--to 10.0.0"),
        (["--from", "x"], "--from x"),
        (["--proto", "tpc"], "--proto tpc"),
        (["--from-iface", "eth7"], "eth7"),
        (["--from=10.0.0.1", "--to=::1"], "different IP versions"),
        (
            ["--proto=icmp", "--to=10.0.0.1:80"],
            "packets of `--proto` have none",
        ),
    ] {
        let (status, out, error) = nfpath(&["reach", ruleset, args[0], args[1]], "80");
        assert_eq!((status, out.as_str()), (2, ""), "{error}");
        assert!(error.contains(word), "{error}");
    }
}

/// The rows of a ruleset of testdata/reach on its host, IPv4 only.
fn rows(ruleset: &str, more: &[&str]) -> Vec<serde_json::Value> {
    let facts = fs::read_to_string(testdata("reach/host.facts")).expect("facts");
    let ruleset = format!("testdata/reach/{ruleset}");
    let mut args = vec!["reach", ruleset.as_str(), "--format", "json"];
    args.extend(facts.split_whitespace());
    args.extend(more);
    let (_, text, error) = nfpath(&args, "80");
    let json: serde_json::Value = serde_json::from_str(&text).expect(&error);
    let rows = json["rows"].as_array().expect("rows").iter();
    let is_v4 = |row: &&serde_json::Value| {
        let dst = row["dst"][0].as_str().expect("a prefix");
        dst.contains('.')
    };
    rows.filter(is_v4).cloned().collect()
}

#[test]
fn answers_get_through_where_a_rule_for_established_conversations_lets_them() {
    // input takes established, output from port 22 and requests to port 123: of what the host is asked and asks itself
    let found = rows("states.json", &["--state", "established"]);
    for row in &found {
        assert_eq!(row["witness"]["confirmed"], true, "{row:#}");
    }
    let of = |port: &str, here: bool| {
        let is = |row: &&serde_json::Value| row["dport"] == port && row["sent_here"] == here;
        found.iter().filter(is).collect::<Vec<_>>()
    };
    let ssh = of("22", false);
    assert!(!ssh.is_empty());
    for row in &ssh {
        assert_eq!(row["delivered"], "transmitted", "{row:#}");
        assert_eq!(row["by"][0]["place"], "inet f output #9");
        let text = "ct state established tcp sport 22 accept";
        assert_eq!(row["by"][0]["text"], text);
    }
    let time = of("123", true);
    assert_eq!(time.len(), 1, "{found:#?}");
    assert_eq!(time[0]["delivered"], "local");
    assert_eq!(time[0]["interfaces"], serde_json::json!([]));
    assert_eq!(time[0]["witness"]["iif"], serde_json::Value::Null);
    // only the source port 123 is let out again of what is asked of port 53
    for row in of("53", false) {
        assert_eq!(row["sport"], "123", "{row:#}");
    }
    // who asks by an interface asks nothing of this host's own conversations
    let outside = rows(
        "states.json",
        &["--state", "established", "--from-iface", "wan0"],
    );
    assert!(outside.iter().all(|row| row["sent_here"] == false));
}

#[test]
fn what_conntrack_does_not_take_is_asked_for_by_state() {
    let ports = |state: &str| {
        let found = rows("states.json", &["--state", state]);
        for row in &found {
            assert_eq!(row["witness"]["confirmed"], true, "{state}: {row:#}");
        }
        let mut ports: Vec<String> = found
            .iter()
            .map(|row| format!("{} {}", row["proto"], row["dport"]).replace('"', ""))
            .collect();
        ports.sort();
        ports.dedup();
        ports
    };
    assert_eq!(ports("new"), ["tcp 22", "udp 53"]);
    assert_eq!(ports("invalid"), ["tcp 113", "tcp 22"]);
    assert_eq!(ports("untracked"), ["udp 53"]);
    let found = rows("states.json", &["--state", "invalid"]);
    assert!(found.iter().all(|row| row["witness"]["tcp_flags"].is_u64()));
    let (status, out, error) = nfpath(
        &["reach", "testdata/reach/states.json", "--state", "related"],
        "80",
    );
    assert_eq!((status, out.as_str()), (2, ""));
    assert!(error.contains("--ct-state related"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_state_without_conntrack_is_not_asked_for() {
    let ruleset = "testdata/reach/wildcard.json";
    let (status, text, error) = nfpath(&["reach", ruleset, "--state", "untracked"], "200");
    assert_eq!(status, 1, "{error}");
    assert!(text.contains("no rule asks for conntrack"), "{text}");
}

#[test]
fn an_address_that_the_kernel_picks_is_one_of_a_range() {
    let found = rows("range.json", &["--from-iface", "wan0", "--proto", "tcp"]);
    let picked: Vec<_> = found
        .iter()
        .filter(|row| !row["translated_to"].is_null())
        .collect();
    assert_eq!(picked.len(), 1, "{found:#?}");
    assert_eq!(picked[0]["translated_to"], "10.0.0.1-10.0.0.4");
    assert_eq!(picked[0]["rests_on"], serde_json::json!([]));
    assert_eq!(picked[0]["witness"]["confirmed"], true);
    // one of them: by a source of which the kernel picks it
    let found = rows("range.json", &["--to", "10.0.0.2", "--from-iface", "wan0"]);
    let one = found.iter().find(|row| row["translated_to"] == "10.0.0.2");
    let one = one.expect("a row");
    assert_eq!(one["witness"]["confirmed"], true, "{one:#}");
    assert_eq!(one["rests_on"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_translation_behind_a_limit_has_no_row_for_packets_beyond_it() {
    let found = rows(
        "dnat-limit.json",
        &["--from-iface", "wan0", "--proto", "tcp"],
    );
    let mut targets: Vec<&str> = found
        .iter()
        .filter_map(|row| row["translated_to"].as_str())
        .collect();
    targets.sort_unstable();
    targets.dedup();
    assert_eq!(targets, ["10.0.0.5", "10.0.0.6"], "{found:#?}");
    for row in &found {
        assert_eq!(row["witness"]["confirmed"], true, "{row:#}");
    }
}

#[test]
fn rows_tell_the_zone_of_their_interfaces() {
    let answer = asked("c1-captured/snapshot.json", &Query::default());
    for row in &answer.rows {
        let zone = match row.class.interfaces[0].as_str() {
            "ens192" => "public",
            _ => "docker",
        };
        assert_eq!(row.zone.as_deref(), Some(zone), "{row:#?}");
    }
    let mut zones: Vec<_> = answer.rows.iter().map(|row| row.zone.clone()).collect();
    zones.dedup();
    let (_, text, _) = nfpath(&["reach", "testdata/c1-captured/snapshot.json"], "140");
    assert!(text.contains("ens192 (zone public): tcp"), "{text}");
}

#[test]
fn a_zone_of_sources_does_not_hide_the_zone_of_an_interface() {
    let found = rows("zones.json", &[]);
    let zone = |iif: &str| {
        let own = found.iter().filter(|row| {
            let names = row["interfaces"].as_array().expect("names");
            names.iter().any(|name| name == iif)
        });
        let mut zones: Vec<_> = own.map(|row| row["zone"].clone()).collect();
        zones.dedup();
        zones
    };
    assert_eq!(zone("wan0"), ["public"]);
    assert_eq!(zone("lan0"), ["internal"]);
}

#[test]
fn a_wildcard_in_a_command_is_quoted_for_the_shell() {
    let ruleset = "testdata/reach/wildcard.json";
    let (status, text, error) = nfpath(&["reach", ruleset], "140");
    // nothing is known of its addresses
    assert_eq!(status, 4, "{error}");
    assert!(text.contains("--iif 'ppp*'"), "{text}");
    assert!(!text.contains("--iif ppp*"), "{text}");
}

/// `nfpath test` of one class of packets on the host of testdata/c4; its exit status and what it prints.
fn tested(class: &str, verdict: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("expected.toml");
    let ruleset = testdata("c4/with-drop/snapshot.json");
    let text = format!(
        "ruleset = {:?}\n[[test]]\nclass = {class}\nexpect.verdict = \"{verdict}\"\n",
        ruleset.to_string_lossy()
    );
    fs::write(&file, text).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_nfpath"))
        .args(["test", &file.to_string_lossy()])
        .env_clear()
        .output()
        .expect("nfpath runs");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn all_packets_of_a_class_do_what_is_expected_or_one_is_shown_that_does_not() {
    // the two clients of the case, and nobody else
    let published = r#"{ iif = "eth0", dst = "203.0.113.10", proto = "tcp", dport = "443" }"#;
    for client in ["51.15.223.6", "109.190.117.17"] {
        let class = published.replace("{ iif", &format!("{{ src = \"{client}\", iif"));
        let (status, text) = tested(&class, "accept");
        assert_eq!(status, Some(0), "{text}");
    }
    let (status, text) = tested(published, "drop");
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("is accepted for --flow 'tcp:"), "{text}");
    let (status, text) = tested(published, "accept");
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("is not accepted for --flow"), "{text}");
    let others = r#"{ iif = "eth0", src = "198.51.100.0/24", dst = "172.17.0.2/31" }"#;
    let (status, text) = tested(others, "drop");
    assert_eq!(status, Some(0), "{text}");
    for (class, said) in [
        (r#"{ iif = "eth9" }"#, "no such interface"),
        (r#"{ proto = "tpc" }"#, "no protocol of that name"),
        (r#"{ dport = "5-1" }"#, "ports are meant"),
        (r#"{ ifi = "eth0" }"#, "line 3, column 11"),
    ] {
        let (status, text) = tested(class, "drop");
        assert!(matches!(status, Some(2 | 3)), "{text}");
        assert!(text.contains(said), "{text}");
    }
    let (status, text) = tested(published, "reject");
    assert_eq!(status, Some(3), "{text}");
}

#[test]
fn a_mask_that_is_no_prefix_does_not_take_all_memory() {
    // ip saddr & 0.0.0.1 == 0.0.0.0: every second address
    let found = rows("wide.json", &["--proto", "tcp", "--to", "192.0.2.10:22"]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["src"], serde_json::json!(["0.0.0.0/0"]));
    let words = "some bits of the source, which no short list of ranges names";
    assert_eq!(found[0]["rests_on"], serde_json::json!([words]));
    assert_eq!(found[0]["witness"]["confirmed"], true);
}

#[test]
fn a_rule_with_more_targets_than_are_told_translates_to_a_range() {
    let more = [
        "--from-iface",
        "wan0",
        "--proto",
        "tcp",
        "--to",
        "10.60.0.0/16",
    ];
    let found = rows("wide.json", &more);
    let translated = |row: &&serde_json::Value| !row["translated_to"].is_null();
    let translated: Vec<_> = found.iter().filter(translated).collect();
    assert_eq!(translated.len(), 1, "{found:#?}");
    assert_eq!(translated[0]["dst"], serde_json::json!(["10.50.0.0/16"]));
    assert_eq!(translated[0]["translated_to"], "10.60.0.0-10.60.255.255");
}

#[test]
fn a_port_that_some_packets_have_already_is_told_as_a_target() {
    let found = rows(
        "wide.json",
        &["--to", "10.0.0.5:80", "--from-iface", "wan0"],
    );
    let translated = |row: &&serde_json::Value| !row["translated_to"].is_null();
    let translated: Vec<_> = found.iter().filter(translated).collect();
    assert_eq!(translated.len(), 1, "{found:#?}");
    assert_eq!(translated[0]["translated_to"], "10.0.0.5:80");
    assert_eq!(translated[0]["dport"], "80, 8080, 8443");
}

/// `nf_conntrack_icmpv6_packet` refuses packets of IPv4, and `nf_conntrack_icmp_packet` those of IPv6.
#[test]
fn icmp_of_the_other_ip_version_begins_no_conversation() {
    let found = rows("wide.json", &[]);
    let proto = |row: &serde_json::Value| row["proto"].as_str().map(str::to_string);
    let protos: Vec<_> = found.iter().filter_map(proto).collect();
    assert!(protos.iter().any(|proto| proto == "icmp"), "{protos:?}");
    assert!(!protos.iter().any(|proto| proto == "icmp6"), "{protos:?}");
}

#[test]
fn what_a_rule_excludes_is_not_hidden_behind_martians() {
    let facts = fs::read_to_string(testdata("reach/host.facts")).expect("facts");
    let mut args = vec!["reach", "testdata/reach/wide.json", "--to", "192.0.2.10:23"];
    args.extend(facts.split_whitespace());
    let (_, text, _) = nfpath(&args, "140");
    let head = "lan0: tcp from any but 198.51.100.0/24, 203.0.113.5 to 192.0.2.10 port 23";
    assert!(text.contains(head), "{text}");
}

/// What senders put into the header nobody says, so a rule for few hops is one for some packets.
#[test]
fn a_rule_for_few_hops_lets_some_packets_pass() {
    let found = rows("wide.json", &["--to", "192.0.2.10:24"]);
    assert_eq!(found.len(), 1, "{found:#?}");
    let rests = serde_json::json!(["the time to live"]);
    assert_eq!(found[0]["rests_on"], rests);
    assert_eq!(found[0]["witness"]["confirmed"], true);
}
