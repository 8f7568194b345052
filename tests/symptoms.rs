//! What made-up cases (`tests/properties.rs`, `nfpath verify --random`) found, a test for each symptom.

use std::path::Path;

use nfpath::explain::{Answer, Question, explain};
use nfpath::flow;
use nfpath::hooks::Hooks;
use nfpath::host::{Host, Link, LinkKind, Origin};
use nfpath::iptables::Family;
use nfpath::load::bundle::HostPart;
use nfpath::load::{Loaded, SaveText, TextOf, bundle, load};
use nfpath::render::text;
use nfpath::report::{ContextInfo, Field, Report, RulesetInfo};
use nfpath::walk::step::{Disposition, HostDrop};
use serde_json::{Value, json};

/// A listing of one inet table with a chain at each of these hooks.
fn ruleset(chains: &[(&str, &str, i32)], rules: &[(&str, Value)]) -> String {
    let mut objects = vec![json!({"table": {"family": "inet", "name": "t", "handle": 1}})];
    for (kind, hook, prio) in chains {
        objects.push(json!({"chain": {
            "family": "inet", "table": "t", "name": hook, "type": kind, "hook": hook, "prio": prio,
            "policy": "accept"
        }}));
    }
    for (chain, _) in rules.iter().filter(|(chain, _)| chain.len() == 1) {
        objects.push(json!({"chain": {"family": "inet", "table": "t", "name": chain}}));
    }
    for (handle, (chain, expr)) in rules.iter().enumerate() {
        objects.push(json!({"rule": {
            "family": "inet", "table": "t", "chain": chain, "handle": handle + 1, "expr": expr
        }}));
    }
    json!({ "nftables": objects }).to_string()
}

const FILTER: (&str, &str, i32) = ("filter", "prerouting", 0);

fn ask(ruleset: &str, host: &Host, iif: Option<&str>, words: &str) -> Answer {
    let loaded = load("made up", ruleset, &[]).expect("a listing");
    let question = Question {
        iif: iif.map(str::to_string),
        ..Question::new(flow::parse(words).expect("a flow"))
    };
    explain(&loaded, &Hooks::new(&loaded.ruleset), host, &question).expect("an answer")
}

fn host(settings: &[&str], ifaces: &[&str]) -> Host {
    let mut host = Host::default();
    for name in ["eth0", "eth1"] {
        let link = Link::named(name, LinkKind::Physical, Origin::Given);
        host.links.push(link);
    }
    for iface in ifaces {
        bundle::apply_iface(&mut host, iface).expect("an interface");
    }
    for setting in settings {
        bundle::apply_sysctl(&mut host, setting).expect("a setting");
    }
    host
}

const STRICT: [&str; 4] = [
    "net.ipv4.conf.eth2.rp_filter=1",
    "net.ipv4.conf.all.rp_filter=1",
    "net.ipv4.conf.eth0.rp_filter=1",
    "net.ipv4.conf.eth1.rp_filter=1",
];

fn endings(answer: &Answer) -> Vec<Disposition> {
    let explored = &answer.explored;
    let others = explored.alternatives.iter().map(|other| &other.walked);
    std::iter::once(&explored.primary)
        .chain(others)
        .map(|walked| walked.request.disposition.clone())
        .collect()
}

#[test]
fn chains_that_goto_each_other_end_a_walk_soon_and_are_shown() {
    let goto = |name: &str| json!([{"goto": {"target": name}}]);
    let text = ruleset(
        &[FILTER],
        &[
            ("prerouting", goto("a")),
            ("a", goto("b")),
            ("b", goto("a")),
        ],
    );
    let answer = ask(
        &text,
        &host(&[], &[]),
        Some("eth0"),
        "tcp:10.0.0.2->10.0.0.1:22",
    );
    let path = &answer.explored.primary.request;
    assert!(path.steps.len() < 100, "{} steps", path.steps.len());
    let Disposition::Unknown { because, .. } = &path.disposition else {
        panic!("{:?}", path.disposition);
    };
    assert!(because.contains("circle"), "{because}");
    let report = Report {
        ruleset: RulesetInfo::default(),
        context: ContextInfo::default(),
        flows: vec![answer.report],
        diagnostics: Vec::new(),
    };
    let options = text::Options {
        width: 80,
        verbose: true,
        color: false,
        unicode: true,
        hints: true,
    };
    assert!(text::report(&report, &options).contains("circle"));
}

#[test]
fn multicast_by_an_interface_that_nobody_names_is_not_asked_to_be_an_own_address() {
    let answer = ask(
        &ruleset(&[FILTER], &[]),
        &host(&[], &[]),
        None,
        "udp:8.8.8.8->224.0.0.251:5353",
    );
    let ends = endings(&answer);
    assert_eq!(
        ends,
        [Disposition::Local, Disposition::Host(HostDrop::NotJoined)]
    );
}

#[test]
fn a_frame_for_another_station_comes_to_no_chain_of_ip() {
    let mut host = host(&[], &["eth0=10.0.0.1/24"]);
    host.links[0].mac = Some([2, 0, 0, 0, 0, 1]);
    let loaded = load("made up", &ruleset(&[FILTER], &[]), &[]).expect("a listing");
    let ends = |dst| {
        let question = Question {
            iif: Some("eth0".into()),
            ether_dst: Some(dst),
            ..Question::new(flow::parse("udp:10.0.0.2:40000->10.0.0.1:53").expect("a flow"))
        };
        let hooks = Hooks::new(&loaded.ruleset);
        let answer = explain(&loaded, &hooks, &host, &question).expect("an answer");
        let steps = answer.report.request.steps.len();
        (endings(&answer), steps)
    };
    let (other, steps) = ends([2, 0, 0, 0, 0, 9]);
    assert_eq!(other, [Disposition::Host(HostDrop::OtherHost)]);
    assert_eq!(steps, 1);
    assert_eq!(ends([2, 0, 0, 0, 0, 1]).0, [Disposition::Local]);
}

#[test]
fn a_packet_to_its_own_sender_is_not_forwarded_where_forwarding_is_off() {
    let dnat = json!([{"dnat": {"family": "ip", "addr": "10.0.0.2"}}]);
    let text = ruleset(&[("nat", "prerouting", -100)], &[("prerouting", dnat)]);
    let off = host(&["net.ipv4.ip_forward=0"], &[]);
    let answer = ask(&text, &off, Some("eth0"), "tcp:10.0.0.2->10.0.0.1:22");
    assert_eq!(
        endings(&answer),
        [Disposition::Host(HostDrop::ForwardingOff)]
    );
}

#[test]
fn a_strict_reverse_path_filter_drops_a_forged_source_also_where_the_way_on_is_not_known() {
    let strict = host(&STRICT, &["eth0=10.0.0.1/24", "eth1=10.1.0.1/24"]);
    let answer = ask(
        &ruleset(&[FILTER], &[]),
        &strict,
        Some("eth0"),
        "tcp:10.1.0.2->8.8.8.8:22",
    );
    assert!(endings(&answer).contains(&Disposition::Host(HostDrop::RpFilter)));
    assert!(!endings(&answer).contains(&Disposition::Forwarded));
}

#[test]
fn a_strict_reverse_path_filter_is_an_assumption_where_the_way_back_is_not_known() {
    let strict = host(&STRICT, &[]);
    for iif in [Some("eth0"), None] {
        let answer = ask(
            &ruleset(&[FILTER], &[]),
            &strict,
            iif,
            "tcp:10.1.0.2->8.8.8.8:22",
        );
        let ends = endings(&answer);
        assert!(
            ends.contains(&Disposition::Host(HostDrop::RpFilter)),
            "{ends:?}"
        );
        assert!(ends.contains(&Disposition::Forwarded), "{ends:?}");
    }
}

#[test]
fn a_drop_for_the_way_back_says_that_this_way_was_inferred() {
    let named =
        json!([{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth1"}}]);
    let text = ruleset(&[FILTER], &[("prerouting", named)]);
    let mut strict = host(&STRICT, &["eth0=10.0.0.1/24"]);
    strict.links.retain(|link| link.name != "eth1");
    let answer = ask(&text, &strict, Some("eth0"), "tcp:8.8.8.8->10.0.0.1:22");
    assert_eq!(endings(&answer), [Disposition::Host(HostDrop::RpFilter)]);
    let inferred = |a: &nfpath::report::Assumption| a.source == "inferred";
    assert!(
        answer.report.assumptions.iter().any(inferred),
        "{:?}",
        answer.report.assumptions
    );
}

#[test]
fn a_port_of_a_bridge_is_not_inferred_to_be_the_way_to_the_outside() {
    let named =
        json!([{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "p1"}}]);
    let text = ruleset(&[FILTER], &[("prerouting", named)]);
    let mut bridged = host(&[], &["eth0=10.0.0.1/24", "eth1=10.1.0.1/24"]);
    bundle::apply_bridge(&mut bridged, "br0=p1").expect("a bridge");
    let answer = ask(&text, &bridged, Some("eth0"), "tcp:10.0.0.2->8.8.8.8:22");
    assert_eq!(answer.host.routes, []);
}

#[test]
fn a_packet_of_this_host_has_one_of_its_addresses_also_where_the_route_is_not_known() {
    let local = json!([
        {"match": {"op": "==", "left": {"fib": {"result": "type", "flags": ["saddr"]}}, "right": "local"}},
        {"drop": null}
    ]);
    let text = ruleset(&[("filter", "output", 0)], &[("output", local)]);
    let answer = ask(&text, &host(&[], &[]), None, "udp:->8.8.8.8:53");
    let ends = endings(&answer);
    assert!(
        ends.iter().all(|end| *end == Disposition::Dropped),
        "{ends:?}"
    );
}

#[test]
fn multicast_of_this_host_is_answered_once_it_is_redirected() {
    let text = ruleset(
        &[("nat", "output", -100)],
        &[("output", json!([{"redirect": null}]))],
    );
    let mut routed = host(&[], &["eth0=10.0.0.1/24"]);
    bundle::apply_route(&mut routed, "224.0.0.0/4,dev=eth0").expect("a route");
    let answer = ask(&text, &routed, None, "udp:->224.0.0.251:5353");
    assert_eq!(
        answer.explored.primary.request.disposition,
        Disposition::Local
    );
    assert!(answer.explored.primary.reply.is_some());
}

#[test]
fn who_is_behind_a_port_is_answered_through_its_bridge() {
    let mut bridged = host(&[], &[]);
    bundle::apply_bridge(&mut bridged, "br0=p1").expect("a bridge");
    let text = ruleset(&[("filter", "forward", 0)], &[]);
    let answer = ask(&text, &bridged, Some("p1"), "tcp:10.3.0.2->8.8.8.8:22");
    let reply = answer.report.reply.expect("a reply");
    assert_eq!(
        reply.output.oif.as_ref().and_then(|oif| oif.known()),
        Some("br0")
    );
}

#[test]
fn a_translated_packet_from_loopback_leaves_by_no_unknown_interface() {
    let dnat = json!([{"dnat": {"family": "ip", "addr": "172.20.0.2"}}]);
    let text = ruleset(&[("nat", "output", -100)], &[("output", dnat)]);
    let question = "tcp:->127.0.0.1:22";
    let martian = Disposition::Host(HostDrop::MartianSource);
    assert_eq!(
        endings(&ask(&text, &host(&[], &[]), None, question))[0],
        martian
    );
    let localnet = host(&["net.ipv4.conf.all.route_localnet=1"], &[]);
    let ends = endings(&ask(&text, &localnet, None, question));
    assert_eq!(ends[0], Disposition::Transmitted, "{ends:?}");
}

#[test]
fn a_redirect_of_what_was_sent_to_an_address_that_nobody_gave_drops_nothing() {
    let rules = [
        ("prerouting", json!([{"redirect": null}])),
        ("output", json!([{"notrack": null}])),
    ];
    let text = ruleset(
        &[("nat", "prerouting", -100), ("filter", "output", -300)],
        &rules,
    );
    let mut routed = host(&[], &[]);
    bundle::apply_route(&mut routed, "0.0.0.0/0,dev=eth0").expect("a route");
    let answer = ask(&text, &routed, None, "udp:->8.8.8.8:53");
    let reply = answer.report.reply.expect("a reply");
    assert_eq!(reply.disposition, "local");
}

fn text(of: TextOf, text: &str) -> SaveText {
    SaveText {
        source: "text".into(),
        text: text.into(),
        of,
    }
}

/// How a forwarded packet ends under a ruleset with texts beside it.
fn forwarded(ruleset: &str, texts: &[SaveText]) -> (Loaded, Vec<Disposition>) {
    let loaded = load("made up", ruleset, texts).expect("a ruleset");
    let host = host(
        &["net.ipv4.conf.all.forwarding=1", "net.ipv4.ip_forward=1"],
        &["eth0=10.0.0.1/24", "eth1=10.1.0.1/24"],
    );
    let question = Question {
        iif: Some("eth0".into()),
        ..Question::new(flow::parse("tcp:10.0.0.2->10.1.0.2:80").expect("a flow"))
    };
    let answer = explain(&loaded, &Hooks::new(&loaded.ruleset), &host, &question);
    let found = endings(&answer.expect("an answer"));
    (loaded, found)
}

const SAVE: TextOf = TextOf::Iptables(Family::Ip);

#[test]
fn a_drop_in_a_legacy_table_is_not_overlooked_beside_nft() {
    let nft = json!({"nftables": [
        {"table": {"family": "ip", "name": "filter", "handle": 1}},
        {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "handle": 1, "type": "filter", "hook": "forward", "prio": 0, "policy": "accept"}},
    ]})
    .to_string();
    let legacy = "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -p tcp -j DROP\nCOMMIT\n";
    let (_, without) = forwarded(&nft, &[]);
    assert!(
        !without
            .iter()
            .any(|end| matches!(end, Disposition::Dropped)),
        "{without:?}"
    );
    let (loaded, with) = forwarded(&nft, &[text(TextOf::Legacy(Family::Ip), legacy)]);
    assert!(
        matches!(with.as_slice(), [Disposition::Dropped, ..]),
        "{with:?}"
    );
    let said: Vec<String> = loaded.diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "note: text: tables of iptables-legacy exist beside nft, which does not list them: ip filter (legacy); packets pass both"
        ]
    );
    // the same, told by the first comment alone
    let by_comment = format!("# Generated by iptables-save v1.4.7 on a day\n{legacy}");
    let (_, with) = forwarded(&nft, &[text(SAVE, &by_comment)]);
    assert!(
        matches!(with.as_slice(), [Disposition::Dropped, ..]),
        "{with:?}"
    );
    // what does nothing is not told
    let idle = "*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n";
    let (loaded, _) = forwarded(&nft, &[text(TextOf::Legacy(Family::Ip), idle)]);
    assert_eq!(loaded.ruleset.tables.len(), 1);
    assert_eq!(loaded.diagnostics, []);
}

/// A frame from port to port under a ruleset with texts beside it.
fn bridged(ruleset: &str, texts: &[SaveText]) -> (Vec<String>, Vec<Disposition>) {
    let loaded = load("made up", ruleset, texts).expect("a ruleset");
    let mut host = host(
        &["net.bridge.bridge-nf-call-iptables=0"],
        &["br0=172.20.0.1/24"],
    );
    bundle::apply_bridge(&mut host, "br0=p1,p2").expect("a bridge");
    let question = Question {
        iif: Some("p1".into()),
        ..Question::new(flow::parse("tcp:172.20.0.2->172.20.0.3:80").expect("a flow"))
    };
    let answer = explain(&loaded, &Hooks::new(&loaded.ruleset), &host, &question);
    let said = loaded.diagnostics.iter().map(ToString::to_string);
    (said.collect(), endings(&answer.expect("an answer")))
}

#[test]
fn a_drop_of_legacy_ebtables_is_not_overlooked_beside_nft_or_alone() {
    let nft = json!({"nftables": []}).to_string();
    let rules = "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n:web DROP\n-A FORWARD -p IPv4 --ip-proto tcp --ip-dport 80 -j web\n";
    let dropped = |found: &[Disposition]| matches!(found, [Disposition::Dropped, ..]);
    let of = TextOf::Legacy(Family::Bridge);
    let (said, found) = bridged(&nft, &[text(of, rules)]);
    assert!(dropped(&found), "{found:?}");
    assert_eq!(
        said,
        [
            "note: text: tables of ebtables-legacy exist beside nft, which does not list them: bridge filter (legacy); packets pass both"
        ]
    );
    let by_comment = format!("# Generated by ebtables-save v1.0 (legacy) on a day\n{rules}");
    let (_, found) = bridged(&nft, &[text(TextOf::Iptables(Family::Bridge), &by_comment)]);
    assert!(dropped(&found), "{found:?}");
    let (said, found) = bridged(&by_comment, &[]);
    assert!(dropped(&found), "{found:?}");
    assert_eq!(said, [""; 0]);
    // another port
    let (_, found) = bridged(&by_comment.replace("80", "81"), &[]);
    assert!(!found.iter().any(|end| matches!(end, Disposition::Dropped)));
}

#[test]
fn the_bridge_of_a_port_that_is_not_known_is_known() {
    let drops = |rule: &str| {
        let save = format!(
            "# Generated by ebtables-save v1.0 on a day\n*filter\n:FORWARD ACCEPT\n-A FORWARD {rule} -j DROP\n"
        );
        let (_, found) = bridged(&save, &[]);
        let drops = found.iter();
        drops
            .filter(|end| matches!(end, Disposition::Dropped))
            .count()
    };
    // which port it leaves by is not known, nor by which one the answer comes in
    for holds in ["--logical-out br0", "--logical-out br+", "--logical-in br0"] {
        assert!(drops(holds) > 0, "{holds}");
    }
    for fails in [
        "--logical-out ! br0",
        "--logical-out br1",
        "--logical-in ! b+",
    ] {
        assert_eq!(drops(fails), 0, "{fails}");
    }
}

#[test]
fn a_frame_that_leaves_the_bridge_by_broute_is_not_bridged_in_silence() {
    let nft = json!({"nftables": [
        {"table": {"family": "bridge", "name": "b", "handle": 1}},
        {"chain": {"family": "bridge", "table": "b", "name": "c", "handle": 1, "type": "filter", "hook": "prerouting", "prio": -300, "policy": "accept"}},
        {"rule": {"family": "bridge", "table": "b", "chain": "c", "handle": 2, "expr": [{"mangle": {"key": {"meta": {"key": "broute"}}, "value": 1}}]}},
    ]})
    .to_string();
    let legacy = "# Generated by ebtables-save v1.0 (legacy) on a day\n*broute\n:BROUTING ACCEPT\n-A BROUTING -p IPv4 -j DROP\n";
    let policy = legacy.replace("ACCEPT\n-A BROUTING -p IPv4 -j DROP", "DROP");
    for ruleset in [nft.as_str(), legacy, &policy] {
        let (_, found) = bridged(ruleset, &[]);
        assert!(
            matches!(found.as_slice(), [Disposition::Unknown { .. }, ..]),
            "{found:?}"
        );
    }
    // what the rule is not for stays on the bridge
    let (_, found) = bridged(&legacy.replace("IPv4", "IPv6"), &[]);
    assert!(
        matches!(found.as_slice(), [Disposition::Bridged, ..]),
        "{found:?}"
    );
}

/// `ebtables-legacy-save` runs `ebtables`, which may be that of nft: then the rules are those of the listing.
#[test]
fn rules_of_the_listing_are_not_taken_for_legacy_ones_again() {
    let read = |name: &str| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/iptables/ebtables");
        std::fs::read_to_string(root.join(name)).expect("a capture")
    };
    let listing = read("ruleset.json");
    let save = read("ebtables-save.txt");
    let of = TextOf::Legacy(Family::Bridge);
    let loaded = load("captured", &listing, &[text(of, &save)]).expect("a ruleset");
    let alone = load("captured", &listing, &[]).expect("a ruleset");
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(loaded.ruleset.tables.len(), alone.ruleset.tables.len());
    assert!(!loaded.has_opaque_extensions());
    assert!(alone.has_opaque_extensions());
}

#[test]
fn ebtables_save_of_another_host_is_told() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/iptables/ebtables");
    let listing = std::fs::read_to_string(root.join("ruleset.json")).expect("a capture");
    let other = "# Generated by ebtables-nft-save v1.8.9 (nf_tables) on a day\n*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n-A FORWARD -p ARP -j DROP\n# Completed on a day\n";
    let (said, _) = bridged(&listing, &[text(TextOf::Iptables(Family::Bridge), other)]);
    let starts = [
        "warning: text: chain bridge filter FORWARD: 56 rules in the nft listing, 1 in ebtables-save: the firewall changed",
        "warning: text: chain bridge filter INPUT: 3 rules in the nft listing, 0 in ebtables-save",
        "warning: text: chain bridge filter mine: not in ebtables-save; 1 of its rules use",
        "warning: text: chain bridge nat OUTPUT: not in ebtables-save",
        "warning: text: chain bridge nat POSTROUTING: not in ebtables-save",
        "warning: text: chain bridge nat PREROUTING: not in ebtables-save",
    ];
    assert_eq!(said.len(), starts.len(), "{said:#?}");
    for (said, start) in said.iter().zip(starts) {
        assert!(said.starts_with(start), "{said}");
    }
}

#[test]
fn an_ipset_decides_what_a_rule_drops() {
    let save = "# Generated by iptables-save v1.4.7 on a day\n*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m set --match-set bad src -j DROP\nCOMMIT\n# Completed on a day\n";
    let dropped = |found: &[Disposition]| {
        let drops = found
            .iter()
            .filter(|end| matches!(end, Disposition::Dropped));
        (drops.count(), found.len())
    };
    let (_, open) = forwarded(save, &[]);
    assert_eq!(dropped(&open).0, 1, "{open:?}");
    assert!(
        open.len() > 1,
        "without its contents both answers are open: {open:?}"
    );
    let with = |elements: &str| {
        let set =
            format!("create bad hash:net family inet hashsize 1024 maxelem 65536\n{elements}");
        dropped(&forwarded(save, &[text(TextOf::Ipset, &set)]).1)
    };
    assert_eq!(with("add bad 10.0.0.0/8\n"), (1, 1));
    assert_eq!(
        with("add bad 10.0.0.0/8\nadd bad 10.0.0.0/24 nomatch\n").0,
        0
    );
    assert_eq!(with("add bad 192.0.2.0/24\n").0, 0);
}

#[test]
fn tproxy_of_iptables_drops_what_no_socket_takes_and_its_rule_is_told_once() {
    let rule =
        "-p tcp -m tcp --dport 80 -j TPROXY --on-port 5000 --on-ip 10.0.0.1 --tproxy-mark 0x1/0x1";
    let save = format!(
        "# Generated by iptables-save v1.8.9 on a day\n*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING {rule}\nCOMMIT\n"
    );
    let (_, found) = forwarded(&save, &[]);
    let dropped = |end: &Disposition| matches!(end, Disposition::Dropped);
    assert!(found.iter().any(dropped), "{found:?}");
    // ip_forward drops what belongs to a socket, so without a routing rule for the mark nothing gets through
    let of_socket = Disposition::Host(HostDrop::OfSocket);
    assert!(found.contains(&of_socket), "{found:?}");
    assert!(!found.contains(&Disposition::Forwarded), "{found:?}");
    let answer = ask(
        &save,
        &host(&[], &["eth0=10.0.0.1/24"]),
        Some("eth0"),
        "tcp:10.0.0.2->10.0.0.1:80",
    );
    let report = Report {
        ruleset: RulesetInfo::default(),
        context: ContextInfo::default(),
        flows: vec![answer.report],
        diagnostics: Vec::new(),
    };
    let options = text::Options {
        width: 300,
        verbose: true,
        color: false,
        unicode: true,
        hints: true,
    };
    let told = text::report(&report, &options);
    assert!(told.contains(rule), "{told}");
    assert!(!told.contains("0x1/0x1 -j TPROXY"), "{told}");
}

#[test]
fn two_matches_without_meaning_in_one_chain_are_two_questions() {
    let save = "# Generated by iptables-save v1.4.7 on a day\n*filter\n:FORWARD DROP [0:0]\n\
        -A FORWARD -m string --string a --algo bm -j RETURN\n\
        -A FORWARD -m string --string b --algo bm -j ACCEPT\nCOMMIT\n";
    let (_, found) = forwarded(save, &[]);
    let passes = found.iter().any(|end| !matches!(end, Disposition::Dropped));
    assert!(
        passes,
        "the second may hold where the first does not: {found:?}"
    );
}

/// Docker before 1.5 gave its bridge 172.17.42.1, and the first address of the subnet to a container.
#[test]
fn a_container_at_the_first_address_of_its_subnet_is_no_address_of_this_host() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/c3/iptables-save.txt");
    let text = std::fs::read_to_string(path).expect("the rules");
    let (dst, host) = ("10.0.2.15", Host::default());
    for (port, container) in [(1000, "172.17.0.1"), (1002, "172.17.0.3")] {
        let words = format!("tcp:198.51.100.7->{dst}:{port}");
        let answer = ask(&text, &host, None, &words);
        let ends = endings(&answer);
        assert!(
            ends.iter().all(|end| *end == Disposition::Forwarded),
            "{port}: {ends:?}"
        );
        let seen = answer.report.request.output.dst;
        assert_eq!(seen, Field::Known(container.to_string()));
        let reasons: Vec<&str> = answer
            .host
            .inferences
            .iter()
            .map(|i| i.because.as_str())
            .collect();
        assert!(
            reasons.iter().all(|reason| !reason.contains('#')),
            "{reasons:?}"
        );
    }
}

#[test]
fn writing_or_stripping_a_tcp_option_ends_the_rule_for_other_protocols() {
    let option = json!({"tcp option": {"name": "maxseg", "field": "size"}});
    let rules = [
        json!([{"mangle": {"key": option, "value": 1300}}, {"drop": null}]),
        json!([{"reset": {"tcp option": {"name": "timestamp"}}}, {"drop": null}]),
    ];
    for rule in rules {
        let text = ruleset(&[FILTER], &[("prerouting", rule)]);
        let host = host(&[], &["eth0=10.0.0.1/24"]);
        for (flow, end) in [
            ("tcp:10.0.0.2->10.0.0.1:80", Disposition::Dropped),
            ("udp:10.0.0.2->10.0.0.1:80", Disposition::Local),
        ] {
            let answer = ask(&text, &host, Some("eth0"), flow);
            assert_eq!(answer.explored.primary.request.disposition, end, "{flow}");
        }
    }
}

#[test]
fn a_packet_of_another_protocol_lacks_tcp_options() {
    let missing = json!({"match": {
        "op": "==", "left": {"tcp option": {"name": "sack-perm"}}, "right": false
    }});
    let text = ruleset(
        &[FILTER],
        &[("prerouting", json!([missing, {"drop": null}]))],
    );
    let host = host(&[], &["eth0=10.0.0.1/24"]);
    let answer = ask(&text, &host, Some("eth0"), "udp:10.0.0.2->10.0.0.1:80");
    assert_eq!(endings(&answer), [Disposition::Dropped]);
}

#[test]
fn reject_with_tcp_reset_is_about_tcp_alone() {
    let rule = json!([{"reject": {"type": "tcp reset"}}]);
    let text = ruleset(&[("filter", "input", 0)], &[("input", rule)]);
    let host = host(&[], &["eth0=10.0.0.1/24"]);
    for (flow, end) in [
        ("tcp:10.0.0.2->10.0.0.1:80", Disposition::Rejected),
        ("udp:10.0.0.2->10.0.0.1:80", Disposition::Local),
    ] {
        let answer = ask(&text, &host, Some("eth0"), flow);
        assert_eq!(answer.explored.primary.request.disposition, end, "{flow}");
    }
}

#[test]
fn a_map_filled_by_packets_is_filled_by_those_that_have_the_key() {
    // nft 1.0.6 lists the statement as text, and leaves out `meta nfproto ipv4` before it
    let rule = json!(["add @marked { ip saddr : 0x00000001 }", {"drop": null}]);
    let mut text: Value =
        serde_json::from_str(&ruleset(&[FILTER], &[("prerouting", rule)])).expect("JSON");
    let map = json!({"map": {
        "family": "inet", "table": "t", "name": "marked", "type": "ipv4_addr", "map": "mark",
        "flags": ["dynamic"]
    }});
    text["nftables"]
        .as_array_mut()
        .expect("a list")
        .insert(1, map);
    let host = host(&[], &["eth0=10.0.0.1/24", "eth0=fd00::1/64"]);
    for (flow, end) in [
        ("tcp:10.0.0.2->10.0.0.1:80", Disposition::Dropped),
        ("tcp:[fd00::2]->[fd00::1]:80", Disposition::Local),
    ] {
        let answer = ask(&text.to_string(), &host, Some("eth0"), flow);
        assert_eq!(answer.explored.primary.request.disposition, end, "{flow}");
    }
}

/// A router with two ways out, strict about sources, whose listings are whole.
fn two_ways_out(rules: &str, sysctls: &[&str]) -> Host {
    let ifaces = ["eth0=10.0.0.1/24", "eth1=10.1.0.1/24", "eth2=10.2.0.1/24"];
    let mut host = host(&["net.ipv4.ip_forward=1"], &[]);
    for iface in ifaces {
        bundle::apply_iface(&mut host, iface).expect("an interface");
    }
    for setting in sysctls {
        bundle::apply_sysctl(&mut host, setting).expect("a setting");
    }
    let routes = r#"[{"dst":"default","gateway":"10.0.0.252","dev":"eth0"},
        {"dst":"default","gateway":"10.2.0.252","dev":"eth2","table":"102"},
        {"type":"blackhole","dst":"192.168.66.0/24"}]"#;
    let parts = [(HostPart::Routes, routes), (HostPart::Rules, rules)];
    for (part, text) in parts {
        bundle::add_part(&mut host, part, "made up", text).expect("a listing");
    }
    host
}

const USUAL_RULES: &str = r#"[{"priority":0,"src":"all","table":"local"},
    {"priority":32766,"src":"all","table":"main"},{"priority":32767,"src":"all","table":"default"}]"#;

fn rules_with(rule: &str) -> String {
    USUAL_RULES.replacen("},", &format!("}},{rule},"), 1)
}

// compared with `ip route get … iif eth1` and nfpath verify
#[test]
fn a_strict_filter_dropped_what_policy_routing_sends_another_way() {
    let strict = STRICT;
    for rule in [
        r#"{"priority":100,"src":"all","iif":"eth1","table":"102"}"#,
        r#"{"priority":100,"src":"all","ipproto":"udp","dport":53,"table":"102"}"#,
    ] {
        let host = two_ways_out(&rules_with(rule), &strict);
        let answer = ask(
            &ruleset(&[FILTER], &[]),
            &host,
            Some("eth1"),
            "udp:10.1.0.2:40000->8.8.8.8:53",
        );
        assert_eq!(endings(&answer), [Disposition::Forwarded], "{rule}");
        let reply = answer.explored.primary.reply.as_ref().expect("a reply");
        assert_eq!(reply.disposition, Disposition::Forwarded, "{rule}");
    }
    // and without the rule the way back of others is still looked at
    let answer = ask(
        &ruleset(&[FILTER], &[]),
        &two_ways_out(USUAL_RULES, &strict),
        Some("eth1"),
        "udp:10.2.0.7:40000->8.8.8.8:53",
    );
    assert_eq!(endings(&answer), [Disposition::Host(HostDrop::RpFilter)]);
}

#[test]
fn a_source_behind_a_blackhole_was_called_a_martian() {
    let flow = "udp:192.168.66.3:40000->10.1.0.2:67";
    for (filter, end) in [
        ("0", Disposition::Forwarded),
        ("1", Disposition::Host(HostDrop::RpFilter)),
    ] {
        let all = format!("net.ipv4.conf.all.rp_filter={filter}");
        let own = format!("net.ipv4.conf.eth0.rp_filter={filter}");
        let host = two_ways_out(USUAL_RULES, &[&all, &own]);
        let answer = ask(&ruleset(&[FILTER], &[]), &host, Some("eth0"), flow);
        assert_eq!(endings(&answer), [end]);
    }
}

#[test]
fn link_local_packets_could_not_go_back_by_their_link() {
    let mut host = host(
        &["net.ipv6.conf.all.forwarding=1"],
        &["eth0=fd00::1/64", "eth1=fd01::1/64"],
    );
    bundle::apply_route(&mut host, "fe80::/64,dev=eth0").expect("a route");
    let end = |src: &str, dst: &str| {
        let flow = format!("udp:[{src}]:40000->[{dst}]:67");
        endings(&ask(&ruleset(&[FILTER], &[]), &host, Some("eth0"), &flow))[0].clone()
    };
    assert_eq!(end("fe80::2", "fd00::9"), Disposition::Forwarded);
    let kept = Disposition::Host(HostDrop::LinkLocalSource);
    assert_eq!(end("fe80::2", "fd01::9"), kept);
    let nobody = Disposition::Host(HostDrop::MartianSource);
    assert_eq!(end("::", "fd01::9"), nobody);
}

#[test]
fn a_broadcast_of_another_network_was_taken_for_a_broadcast_frame() {
    let host = host(
        &["net.ipv4.ip_forward=1"],
        &["eth0=10.0.0.1/24", "eth1=10.1.0.1/24"],
    );
    let drop = json!([
        {"match": {"op": "==", "left": {"meta": {"key": "pkttype"}}, "right": "broadcast"}},
        {"drop": null}
    ]);
    let text = ruleset(&[FILTER], &[("prerouting", drop)]);
    let end = |flow: &str| endings(&ask(&text, &host, Some("eth0"), flow))[0].clone();
    assert_eq!(end("udp:10.0.0.2->10.1.0.255:137"), Disposition::Local);
    assert_eq!(end("udp:10.0.0.2->10.0.0.255:137"), Disposition::Dropped);
}
