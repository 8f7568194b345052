//! The hook graph drawn from real rulesets, and from hostile ones, with Graphviz as the judge.

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use nfpath::eval::{Iface, World};
use nfpath::graph::HookGraph;
use nfpath::graphviz::{GraphvizError, svg};
use nfpath::hooks::Hooks;
use nfpath::load::lower::{Meanings, lower};
use nfpath::logic::{Knowledge, Known};
use nfpath::nft::json::read;
use nfpath::packet::Spec;
use nfpath::render::dot::{Options, dot};
use nfpath::render::mermaid::mermaid;
use nfpath::render::painted::{Painted, Trail, TrailEndAt};
use nfpath::ruleset::Ruleset;
use nfpath::walk::step::{Outcome, Walked};
use nfpath::walk::{Entrance, GivenState, Probe, link_values, walk};

fn ruleset(text: &str) -> Option<Ruleset> {
    let (document, _) = read(text).ok()?;
    Some(lower(&document, &Meanings::new()).0)
}

fn ruleset_of(case: &str) -> Ruleset {
    let text = fs::read_to_string(support::testdata(case).join("ruleset.json")).expect("a listing");
    ruleset(&text).expect("a ruleset")
}

fn draw(ruleset: &Ruleset, options: &Options<'_>) -> String {
    let graph = HookGraph::new(ruleset, &Hooks::new(ruleset));
    dot(&graph, ruleset, options)
}

/// Whether `dot` is there; says aloud that `test` is skipped when it is not.
fn dot_or_skip(test: &str) -> bool {
    match svg("digraph {}") {
        Ok(_) => true,
        Err(GraphvizError::Missing) => {
            eprintln!("SKIPPED {test}: graphviz is not installed");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

/// `dot` takes the text without a word.
fn accepted(name: &str, text: &str) {
    let mut child = Command::new("dot")
        .arg("-Tsvg")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("dot runs");
    // `dot` reads all of its input before it writes.
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(text.as_bytes()).expect("dot reads");
    drop(stdin);
    let output = child.wait_with_output().expect("dot ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{name}: {said}\n{text}"
    );
}

#[test]
fn dot_accepts_the_drawing_of_every_ruleset() {
    if !dot_or_skip("dot_accepts_the_drawing_of_every_ruleset") {
        return;
    }
    let mut listings = support::files_below(&support::testdata(""), "ruleset.json");
    if let Some(shared) = support::shared_or_skip("drawings of captured rulesets") {
        listings.extend(support::files_below(&shared.join("corpus"), "ruleset.json"));
    }
    assert!(listings.len() > 30);
    for path in listings {
        let text = fs::read_to_string(&path).expect("a listing");
        let Some(ruleset) = ruleset(&text) else {
            panic!("{} is no ruleset", path.display())
        };
        accepted(
            &path.display().to_string(),
            &draw(&ruleset, &Options::default()),
        );
    }
}

#[test]
fn hostile_names_are_labels_and_nothing_else() {
    let hostile = [
        "\"]; evil [label=\"",
        "<b>&amp;</b>",
        "</FONT></TABLE>>]; x",
        "a\\",
        "\\N\\G\\l",
        "line\nfeed\ttab\r",
        "\u{1b}[31m\u{0}\u{7f}",
        "\u{202e}rtl\u{fffe}\u{ffff}",
        "",
        " ",
        "--> end subgraph %%{init}%%",
        "`md` **b** #quot;",
        "名前 🚀",
    ];
    let mut objects = Vec::new();
    for (index, name) in hostile.iter().enumerate() {
        let long = "x<\"\\".repeat(40);
        let table = format!("{name}{index}");
        objects
            .push(serde_json::json!({ "table": { "family": "ip", "name": table, "handle": 1 } }));
        let mut chain = |name: &str, base: bool| {
            let mut chain =
                serde_json::json!({ "family": "ip", "table": table, "name": name, "handle": 2 });
            if base {
                chain["type"] = "filter".into();
                chain["hook"] = "input".into();
                chain["prio"] = 0.into();
                chain["policy"] = "drop".into();
                chain["dev"] = (*name).into();
            }
            objects.push(serde_json::json!({ "chain": chain }));
        };
        chain(&format!("base {name}"), true);
        chain(name, false);
        chain(&format!("dead {name}"), false);
        chain(&long, false);
        for (handle, target) in [
            (3, name.to_string()),
            (4, format!("gone {name}")),
            (5, long.clone()),
        ] {
            objects.push(
                serde_json::json!({ "rule": { "family": "ip", "table": table, "handle": handle,
                "chain": format!("base {name}"), "expr": [{ "jump": { "target": target } }] } }),
            );
        }
    }
    let text = serde_json::json!({ "nftables": objects }).to_string();
    let ruleset = ruleset(&text).expect("a ruleset");
    let options = Options {
        title: Some(hostile[0]),
        ..Options::default()
    };
    let drawn = draw(&ruleset, &options);
    assert!(!drawn.contains("evil [label=\""));
    assert!(!drawn.contains('\u{202e}') && !drawn.contains('\u{1b}'));
    let graph = HookGraph::new(&ruleset, &Hooks::new(&ruleset));
    let flowchart = mermaid(&graph, &ruleset, &options);
    for line in flowchart
        .lines()
        .filter(|line| !line.trim().starts_with("%%"))
    {
        assert!(
            line.matches('"').count() % 2 == 0 && line.matches('"').count() <= 2,
            "{line}"
        );
        assert!(!line.contains("**") && !line.contains('`'), "{line}");
    }
    if dot_or_skip("hostile_names_are_labels_and_nothing_else") {
        accepted("hostile names", &drawn);
    }
}

#[test]
fn a_ruleset_without_chains_is_drawn() {
    let empty = ruleset(r#"{"nftables":[]}"#).expect("a ruleset");
    let drawn = draw(&empty, &Options::default());
    assert!(drawn.contains("no chains"), "{drawn}");
    if dot_or_skip("a_ruleset_without_chains_is_drawn") {
        accepted("no chains", &drawn);
    }
}

#[test]
fn drawings_of_small_rulesets() {
    insta::assert_snapshot!(
        "nat-priority-order",
        draw(&ruleset_of("small/nat-priority-order"), &Options::default())
    );
    insta::assert_snapshot!(
        "goto-return-policy",
        draw(&ruleset_of("small/goto-return-policy"), &Options::default())
    );
    let ruleset = ruleset_of("small/goto-return-policy");
    let graph = HookGraph::new(&ruleset, &Hooks::new(&ruleset));
    insta::assert_snapshot!(
        "goto-return-policy-mermaid",
        mermaid(&graph, &ruleset, &Options::default())
    );
}

/// The walk of a UDP packet from 10.254.10.105 into `ens192`.
fn walked(case: &str, ruleset: &Ruleset, dport: u16) -> Walked {
    let folder = support::testdata(case).join("host");
    let host = support::host_listings::host_of(Path::new(&folder)).0;
    let iif = host.links.iter().position(|link| link.name == "ens192");
    let values = link_values(&host);
    let world = World {
        ruleset,
        host: &host,
        link_values: &values,
    };
    let probe = Probe {
        spec: Spec {
            v6: false,
            src: Known::Value("10.254.10.105".parse().expect("an address")),
            dst: Known::Value("10.254.10.252".parse().expect("an address")),
            proto: 17,
            sport: Known::Value(40000),
            dport: Known::Value(dport),
            icmp: None,
            tcp_flags: None,
            ttl: None,
            tos: None,
            length: None,
            ether_src: None,
            ether_dst: None,
        },
        entrance: Entrance::Iface(Iface::Link(iif.expect("ens192") as u16)),
        in_port: None,
        oif: None,
        mark: 0,
        state: GivenState::New,
        uid: None,
        gid: None,
    };
    walk(
        world,
        &Hooks::new(ruleset),
        &probe,
        Knowledge::with_script(Vec::new()),
    )
    .0
}

fn words(ruleset: &Ruleset, trail: &Trail) -> Vec<String> {
    trail
        .visits
        .iter()
        .map(|visit| {
            format!(
                "{} {}{}{}",
                visit.hook,
                ruleset.chain(visit.chain).name,
                if visit.decided.is_some() { ": " } else { "" },
                visit.decided.as_deref().unwrap_or_default()
            )
        })
        .collect()
}

#[test]
fn the_way_of_a_flow_is_painted() {
    let ruleset = ruleset_of("c1");
    let walked = walked("c1", &ruleset, 1812);
    let painted = Painted::from_paths(&ruleset, &walked.request, walked.reply.as_ref());
    let request = words(&ruleset, &painted.request);
    assert!(
        request.contains(&"prerouting DOCKER: #8 dnat".to_owned()),
        "{request:#?}"
    );
    assert!(
        request.contains(&"forward DOCKER: #10 accept".to_owned()),
        "{request:#?}"
    );
    assert_eq!(painted.request.end.outcome, Outcome::Accept);
    let reply = painted.reply.as_ref().expect("a reply");
    assert!(
        !words(&ruleset, reply)
            .iter()
            .any(|visit| visit.contains("nat_")),
        "nat chains see no reply"
    );
    let drawn = draw(
        &ruleset,
        &Options {
            painted: Some(&painted),
            ..Options::default()
        },
    );
    assert!(drawn.contains("end_request") && drawn.contains("end_reply"));
    if dot_or_skip("the_way_of_a_flow_is_painted") {
        accepted("a painted way", &drawn);
    }
}

#[test]
fn a_rejected_flow_ends_at_its_rule() {
    let ruleset = ruleset_of("c1-captured");
    let walked = walked("c1-captured", &ruleset, 9999);
    let painted = Painted::from_paths(&ruleset, &walked.request, walked.reply.as_ref());
    let end = &painted.request.end;
    assert_eq!(end.outcome, Outcome::Reject);
    assert_eq!(end.words, "rejected: #72 reject in filter_IN_public");
    assert!(matches!(end.at, TrailEndAt::Chain(..)));
}
