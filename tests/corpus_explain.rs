//! Every captured listing is explained and drawn: no panic, an end, the same answer twice.

mod support;

use std::fs;

use nfpath::explain::{Question, explain};
use nfpath::flow;
use nfpath::graph::HookGraph;
use nfpath::hooks::Hooks;
use nfpath::load::load;
use nfpath::remedy::{Asked, remedy};
use nfpath::render::{dot, json, mermaid, text};
use nfpath::report::{ContextInfo, Report, RulesetInfo, build};
use support::{files_below, listings, shared_or_skip, testdata};

const FLOWS: [&str; 8] = [
    "tcp:10.0.0.2->10.0.0.1:22",
    "udp:192.168.1.5->8.8.8.8:53",
    "tcp:[fd00::2]:4000->[fd00::1]:443",
    "icmp:10.0.0.1->10.0.0.2",
    "icmp6:fd00::1->fd00::2",
    "tcp:->1.1.1.1:443",
    "sctp:172.17.0.2->10.0.0.1:5060",
    "47:10.0.0.1->172.17.0.2",
];

/// Those that are also asked what would let them pass, which is many answers each.
const REMEDIED: [&str; 2] = [FLOWS[0], FLOWS[2]];

fn explain_all(name: &str, content: &str) {
    let loaded = load(name, content, &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
    let ruleset = &loaded.ruleset;
    let hooks = Hooks::new(ruleset);
    let graph = HookGraph::new(ruleset, &hooks);
    let options = dot::Options::default();
    assert!(
        dot::dot(&graph, ruleset, &options).ends_with("}\n"),
        "{name}"
    );
    assert!(!mermaid::mermaid(&graph, ruleset, &options).is_empty());
    let once = || {
        let flows = FLOWS.map(|flow| {
            let question = Question::new(flow::parse(flow).expect("a flow"));
            let answer = explain(&loaded, &hooks, &loaded.host, &question)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let mut report = answer.report.clone();
            if !REMEDIED.contains(&flow) {
                return report;
            }
            let (advice, _) = remedy(Asked {
                loaded: &loaded,
                host: &loaded.host,
                question: &question,
                answer: &answer,
                has_handles: true,
            });
            report.advice = Some(advice);
            report
        });
        let report = Report {
            ruleset: RulesetInfo {
                unknown: build::unknown_parts(ruleset),
                ..RulesetInfo::default()
            },
            context: ContextInfo::default(),
            flows: flows.into(),
            diagnostics: loaded.diagnostics.clone(),
        };
        let options = text::Options {
            width: 80,
            verbose: true,
            color: false,
            unicode: true,
            hints: true,
        };
        (
            json::report(&report, false),
            text::report(&report, &options),
        )
    };
    let (json, text) = once();
    assert_eq!((json, text), once(), "{name}");
}

#[test]
fn every_shipped_listing_is_explained() {
    let listings = files_below(&testdata(""), "ruleset.json");
    assert!(listings.len() > 30);
    for path in listings {
        let content = fs::read_to_string(&path).expect("a listing");
        explain_all(&path.display().to_string(), &content);
    }
}

#[test]
fn every_captured_listing_is_explained() {
    let Some(shared) = shared_or_skip("every_captured_listing_is_explained") else {
        return;
    };
    let listings = listings(&shared);
    assert!(listings.len() > 100);
    for path in listings {
        let content = fs::read_to_string(&path).expect("a listing");
        if content.trim().is_empty() {
            continue;
        }
        explain_all(&path.display().to_string(), &content);
    }
}
