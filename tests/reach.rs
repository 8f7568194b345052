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
    assert_eq!(to.0.to_string(), "172.20.0.4");
    assert!(row.class.destinations.contains(&net("10.254.10.252/32")));
    assert_eq!(row.class.ports, [(1812, 1812)]);
    assert_eq!(row.leaves_by.as_deref(), Some("docker1"));
    assert!(row.rests_on.is_empty(), "{:?}", row.rests_on);
    assert!(row.by[0].starts_with("ip nat DOCKER"), "{:?}", row.by);
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
    ] {
        let (status, out, error) = nfpath(&["reach", ruleset, args[0], args[1]], "80");
        assert_eq!((status, out.as_str()), (2, ""), "{error}");
        assert!(error.contains(word), "{error}");
    }
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
