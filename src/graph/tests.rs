use serde_json::{Value, json};

use super::plan::{Collapse, End, ItemKind, Place, Plan, Wanted};
use super::*;
use crate::load::lower::{Meanings, lower};
use crate::nft::json;
use crate::ruleset::Family;

fn ruleset(objects: Vec<Value>) -> Ruleset {
    let text = json!({ "nftables": objects }).to_string();
    let (document, _) = json::read(&text).expect("a listing");
    lower(&document, &Meanings::new()).0
}

fn table(name: &str, family: &str) -> Value {
    json!({ "table": { "family": family, "name": name, "handle": 1 } })
}

fn base(family: &str, name: &str, kind: &str, hook: &str, prio: i32) -> Value {
    json!({ "chain": { "family": family, "table": "t", "name": name, "handle": 1, "type": kind, "hook": hook,
        "prio": prio, "policy": "accept" } })
}

fn chain(name: &str) -> Value {
    json!({ "chain": { "family": "ip", "table": "t", "name": name, "handle": 1 } })
}

fn rule(chain: &str, handle: u32, expr: Value) -> Value {
    json!({ "rule": { "family": "ip", "table": "t", "chain": chain, "handle": handle, "expr": expr } })
}

fn jump(chain: &str, handle: u32, to: &str) -> Value {
    rule(chain, handle, json!([{ "jump": { "target": to } }]))
}

fn goto(chain: &str, handle: u32, to: &str) -> Value {
    rule(chain, handle, json!([{ "goto": { "target": to } }]))
}

fn graph(ruleset: &Ruleset) -> HookGraph {
    HookGraph::new(ruleset, &Hooks::new(ruleset))
}

fn named(ruleset: &Ruleset, chains: &[ChainId]) -> Vec<String> {
    chains
        .iter()
        .map(|&id| ruleset.chain(id).name.to_string())
        .collect()
}

#[test]
fn circles_and_self_calls_are_found_once_each() {
    let ruleset = ruleset(vec![
        table("t", "ip"),
        base("ip", "in", "filter", "input", 0),
        chain("a"),
        chain("b"),
        chain("c"),
        chain("self"),
        jump("in", 10, "a"),
        jump("a", 11, "b"),
        goto("b", 12, "a"),
        jump("b", 13, "c"),
        jump("in", 14, "self"),
        jump("self", 15, "self"),
    ]);
    let graph = graph(&ruleset);
    let cycles: Vec<_> = graph
        .cycles()
        .iter()
        .map(|cycle| named(&ruleset, cycle))
        .collect();
    assert_eq!(cycles, [vec!["a", "b"], vec!["self"]]);
    let said: Vec<_> = graph
        .diagnostics(&ruleset)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        said,
        [
            "warning: ruleset: table ip t: chains call each other in a circle: `a`, `b`; the kernel refuses such a \
             ruleset",
            "warning: ruleset: table ip t: chain `self` calls itself; the kernel refuses such a ruleset",
        ]
    );
}

#[test]
fn a_call_of_a_chain_that_is_not_there_is_told_with_its_rule() {
    let ruleset = ruleset(vec![
        table("t", "ip"),
        base("ip", "in", "filter", "input", 0),
        jump("in", 10, "gone"),
    ]);
    let graph = graph(&ruleset);
    let dangling = graph.dangling();
    assert_eq!(dangling.len(), 1);
    assert_eq!(dangling[0].name, "gone");
    assert_eq!(
        graph.diagnostics(&ruleset)[0].message,
        "table ip t: rule #10 of chain `in` goes to chain `gone`, which is not in the listing"
    );
    let plan = Plan::new(&graph, &ruleset, &Wanted::default());
    assert_eq!(plan.items[0].kind, ItemKind::Missing("gone".into()));
    assert_eq!(plan.items[0].place, Place::Hook(0, Hook::Input));
}

#[test]
fn chains_that_no_base_chain_reaches_are_unreachable_even_when_others_call_them() {
    let ruleset = ruleset(vec![
        table("t", "ip"),
        base("ip", "in", "filter", "input", 0),
        chain("used"),
        chain("dead"),
        chain("deader"),
        jump("in", 10, "used"),
        jump("dead", 11, "deader"),
        jump("dead", 12, "used"),
    ]);
    let graph = graph(&ruleset);
    assert_eq!(
        named(&ruleset, &graph.unreachable(&ruleset)),
        ["dead", "deader"]
    );
    assert_eq!(named(&ruleset, &graph.empty(&ruleset)), ["used", "deader"]);
    let used = ruleset.find_chain(Family::Ip, "t", "used").expect("used");
    assert_eq!(graph.reached_from(used), [(Pf::Ip, Hook::Input)]);
}

#[test]
fn jump_and_goto_and_verdict_maps_keep_their_rules() {
    let vmap = json!([{ "vmap": {
        "key": { "payload": { "protocol": "tcp", "field": "dport" } },
        "data": { "set": [[22, { "jump": { "target": "a" } }], [23, { "goto": { "target": "b" } }],
            [24, { "drop": null }], [25, { "jump": { "target": "a" } }]] },
    } }]);
    let ruleset = ruleset(vec![
        table("t", "ip"),
        base("ip", "in", "filter", "input", 0),
        chain("a"),
        chain("b"),
        jump("in", 10, "a"),
        goto("in", 11, "b"),
        rule("in", 12, vmap),
    ]);
    let graph = graph(&ruleset);
    let from = ruleset.find_chain(Family::Ip, "t", "in").expect("in");
    let calls: Vec<_> = graph
        .calls_from(from)
        .into_iter()
        .map(|(rule, to, goto, via_map)| {
            let Node::Chain(to) = to else {
                panic!("{to:?} is no chain")
            };
            let name = ruleset.chain(*to).name.to_string();
            (ruleset.rule(rule).handle.0, name, goto, via_map)
        })
        .collect();
    assert_eq!(
        calls,
        [
            (10, "a".to_owned(), false, false),
            (11, "b".to_owned(), true, false),
            (12, "a".to_owned(), false, true),
            (12, "b".to_owned(), true, true),
        ]
    );
    let plan = Plan::new(&graph, &ruleset, &Wanted::default());
    let rules: Vec<usize> = plan.calls.iter().map(|call| call.rules.len()).collect();
    assert_eq!(
        rules,
        [2, 2],
        "calls between the same chains are one edge with both rules"
    );
    assert!(plan.calls.iter().all(|call| call.via_map));
}

#[test]
fn a_nat_chain_runs_at_the_dispatcher_not_at_its_own_priority() {
    let snat = json!([{ "masquerade": null }]);
    let ruleset = ruleset(vec![
        table("t", "ip"),
        base("ip", "nat50", "nat", "prerouting", 50),
        base("ip", "filter-50", "filter", "prerouting", -50),
        base("ip", "post", "nat", "postrouting", 100),
        rule("post", 10, snat),
    ]);
    let graph = graph(&ruleset);
    let stage = graph.index_of(&Node::Stage {
        pf: Pf::Ip,
        hook: Hook::Prerouting,
    });
    let mut runs: Vec<_> = graph
        .graph
        .edges(stage.expect("a hook"))
        .filter_map(|edge| match edge.weight() {
            Edge::Runs { position, priority } => {
                Some((*position, *priority, graph.graph[edge.target()].clone()))
            }
            Edge::Next | Edge::Calls { .. } => None,
        })
        .collect();
    runs.sort_by_key(|run| run.0);
    let core = |core| Node::Core {
        pf: Pf::Ip,
        hook: Hook::Prerouting,
        core,
    };
    let filter = ruleset
        .find_chain(Family::Ip, "t", "filter-50")
        .expect("filter");
    assert_eq!(
        runs,
        [
            (0, -400, core(Core::Defrag)),
            (1, -200, core(Core::Conntrack)),
            (2, -100, core(Core::NatDispatcher)),
            (3, -50, Node::Chain(filter)),
        ]
    );
}

#[test]
fn ties_and_dormant_tables_are_told() {
    let mut objects = vec![
        table("t", "ip"),
        base("ip", "a", "filter", "input", 0),
        table("t", "inet"),
        base("inet", "b", "filter", "input", 0),
    ];
    objects.push(
        json!({ "table": { "family": "ip6", "name": "t", "handle": 3, "flags": ["dormant"] } }),
    );
    objects.push(base("ip6", "asleep", "filter", "input", 0));
    // Only newer listings have flags that can be trusted.
    objects.insert(0, json!({ "metainfo": { "version": "1.1.3" } }));
    let ruleset = ruleset(objects);
    let graph = graph(&ruleset);
    assert_eq!(graph.ties().len(), 1);
    assert_eq!(named(&ruleset, &graph.dormant(&ruleset)), ["asleep"]);
    let said: Vec<_> = graph
        .diagnostics(&ruleset)
        .into_iter()
        .map(|diagnostic| diagnostic.message)
        .collect();
    assert_eq!(
        said,
        [
            "IPv4 input: `inet t b` and `ip t a` both have priority 0; a listing does not say which runs first, the \
             one listed later is taken",
            "table ip6 t is dormant: none of its chains runs",
        ]
    );
    let plan = Plan::new(&graph, &ruleset, &Wanted::default());
    let asleep = ruleset
        .find_chain(Family::Ip6, "t", "asleep")
        .expect("asleep");
    let Some(End::Item(item)) = plan.end_of(asleep) else {
        panic!("it is drawn beside the hooks")
    };
    assert_eq!(plan.items[item].place, Place::Dormant);
}

#[test]
fn hooks_where_nothing_runs_are_stepped_over() {
    let ruleset = ruleset(vec![
        table("t", "ip"),
        base("ip", "fwd", "filter", "forward", 0),
    ]);
    let graph = graph(&ruleset);
    let spot = |spot| Node::Spot { pf: Pf::Ip, spot };
    let after = |node: Node| -> Vec<Node> {
        let index = graph.index_of(&node).expect("a node");
        let next = graph.next(index).into_iter();
        next.map(|index| graph.graph[index].clone()).collect()
    };
    let forward = Node::Stage {
        pf: Pf::Ip,
        hook: Hook::Forward,
    };
    assert_eq!(after(spot(Spot::Arrives)), [spot(Spot::Routing)]);
    assert_eq!(
        after(spot(Spot::Routing)),
        [spot(Spot::Local), forward.clone()]
    );
    assert_eq!(after(forward), [spot(Spot::Leaves)]);
    assert_eq!(after(spot(Spot::Sends)), [spot(Spot::Leaves)]);
}

#[test]
fn many_chains_are_drawn_as_few_and_the_plan_says_so() {
    let mut objects = vec![table("t", "ip"), base("ip", "in", "filter", "input", 0)];
    for n in 0..500_u32 {
        let (service, endpoint) = (format!("SVC-{n:X}Q"), format!("SEP-{n:X}Q"));
        objects.push(chain(&service));
        objects.push(chain(&endpoint));
        objects.push(jump("in", 1000 + n, &service));
        objects.push(jump(&service, 2000 + n, &endpoint));
        objects.push(rule(&endpoint, 3000 + n, json!([{ "accept": null }])));
    }
    let ruleset = ruleset(objects);
    let graph = graph(&ruleset);
    let plan = Plan::new(&graph, &ruleset, &Wanted::default());
    assert!(plan.items.len() < 40, "{} items", plan.items.len());
    assert_eq!(plan.notes.len(), 1, "{:?}", plan.notes);
    let kept = ruleset.find_chain(Family::Ip, "t", "SVC-1Q").expect("kept");
    let wanted = Wanted {
        keep: HashSet::from([kept]),
        ..Wanted::default()
    };
    let plan = Plan::new(&graph, &ruleset, &wanted);
    assert!(
        plan.items
            .iter()
            .any(|item| item.kind == ItemKind::Chain(kept))
    );
    let wanted = Wanted {
        collapse: Collapse::Never,
        ..Wanted::default()
    };
    let plan = Plan::new(&graph, &ruleset, &wanted);
    assert_eq!(plan.items.len(), 1000);
}

#[test]
fn a_call_chain_of_any_length_is_walked() {
    let mut objects = vec![table("t", "ip"), base("ip", "in", "filter", "input", 0)];
    let mut before = "in".to_owned();
    for n in 0..20_000_u32 {
        let name = format!("c{n}");
        objects.push(chain(&name));
        objects.push(jump(&before, n + 10, &name));
        before = name;
    }
    let ruleset = ruleset(objects);
    let graph = graph(&ruleset);
    assert_eq!(graph.cycles(), Vec::<Vec<ChainId>>::new());
    assert_eq!(graph.unreachable(&ruleset), []);
    Plan::new(&graph, &ruleset, &Wanted::default());
}
