//! Strategies for rulesets, as nft would list them, with the statements that real rulesets have and some that none has.
//!
//! Values come from small pools, so that rules and packets meet. A document is made of parts that shrink one by one:
//! tables, chains, rules, statements.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

pub const V4: [&str; 12] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.9",
    "10.1.0.1",
    "10.1.0.2",
    "10.5.0.7",
    "172.20.0.1",
    "172.20.0.2",
    "172.20.0.3",
    "8.8.8.8",
    "127.0.0.1",
    "224.0.0.251",
];
pub const V6: [&str; 6] = ["fd00::1", "fd00::2", "fd01::1", "fd01::2", "fd02::2", "::1"];
const NAMES: [&str; 6] = ["lo", "eth0", "eth1", "br0", "p1", "eth*"];
const PORTS: [u16; 6] = [22, 53, 80, 443, 1024, 40000];
const REGULAR: [&str; 4] = ["c0", "c1", "c2", "c3"];

/// What generated rulesets may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taste {
    /// What the kernel takes.
    Loadable,
    /// Also circles of jumps, chains and sets that are not there, and statements in odd places.
    Anything,
}

/// A whole listing.
#[derive(Clone)]
pub struct Ruleset(pub Vec<Value>);

impl std::fmt::Debug for Ruleset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.json())
    }
}

impl Ruleset {
    /// The text of `nft -j list ruleset`.
    pub fn json(&self) -> String {
        json!({ "nftables": self.0 }).to_string()
    }

    /// The same with every opaque iptables match turned into something that decides, as its meaning would.
    pub fn with_meanings(&self) -> Ruleset {
        let replaced = |value: &Value| match value.get("xt").and_then(|xt| xt.get("name")) {
            Some(name) if name == "addrtype" => Some(fib_local()),
            Some(name) if name == "tcp" => {
                Some(equals(json!({"meta": {"key": "l4proto"}}), json!("tcp")))
            }
            Some(_) => Some(equals(json!({"meta": {"key": "mark"}}), json!(1))),
            None => None,
        };
        let mut objects = self.0.clone();
        for object in &mut objects {
            if let Some(Value::Array(statements)) = object.pointer_mut("/rule/expr") {
                for statement in statements {
                    if let Some(meaning) = replaced(statement) {
                        *statement = meaning;
                    }
                }
            }
        }
        Ruleset(objects)
    }
}

fn compare(op: &str, left: Value, right: Value) -> Value {
    json!({"match": {"op": op, "left": left, "right": right}})
}

fn equals(left: Value, right: Value) -> Value {
    compare("==", left, right)
}

fn payload(protocol: &str, field: &str) -> Value {
    json!({"payload": {"protocol": protocol, "field": field}})
}

fn meta(key: &str) -> Value {
    json!({"meta": {"key": key}})
}

fn fib_local() -> Value {
    equals(
        json!({"fib": {"result": "type", "flags": ["daddr"]}}),
        json!("local"),
    )
}

fn op() -> impl Strategy<Value = &'static str> {
    select(vec!["==", "==", "==", "!="])
}

/// An address, a prefix, a range or a set of them.
fn addresses(pool: &'static [&'static str]) -> BoxedStrategy<Value> {
    let v6 = pool[0].contains(':');
    prop_oneof![
        4 => select(pool).prop_map(|ip| json!(ip)),
        2 => select(if v6 {
            vec![("fd00::", 64), ("fd01::", 64), ("::", 1)]
        } else {
            vec![("10.0.0.0", 24), ("10.0.0.0", 8), ("172.20.0.0", 16), ("0.0.0.0", 1)]
        })
        .prop_map(|(addr, len)| json!({"prefix": {"addr": addr, "len": len}})),
        1 => Just(if v6 {
            json!({"range": ["fd00::1", "fd00::9"]})
        } else {
            json!({"range": ["10.0.0.2", "10.0.0.20"]})
        }),
        2 => subsequence(pool.to_vec(), 1..4).prop_map(|ips| json!({"set": ips})),
    ]
    .boxed()
}

fn ports() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => select(&PORTS[..]).prop_map(|port| json!(port)),
        2 => Just(json!({"range": [1024, 65535]})),
        1 => Just(json!({"range": [0, 1023]})),
        2 => subsequence(PORTS.to_vec(), 1..4).prop_map(|ports| json!({"set": ports})),
    ]
}

fn port_field() -> impl Strategy<Value = Value> {
    (
        select(vec!["tcp", "udp", "th", "sctp"]),
        select(vec!["dport", "dport", "sport"]),
    )
        .prop_map(|(protocol, field)| payload(protocol, field))
}

fn matches() -> BoxedStrategy<Value> {
    let ip = (op(), select(vec!["saddr", "daddr"]), addresses(&V4))
        .prop_map(|(op, field, right)| compare(op, payload("ip", field), right));
    let ip6 = (op(), select(vec!["saddr", "daddr"]), addresses(&V6))
        .prop_map(|(op, field, right)| compare(op, payload("ip6", field), right));
    let port = (op(), port_field(), ports()).prop_map(|(op, left, right)| compare(op, left, right));
    let below = (
        select(vec!["<", ">", "<=", ">="]),
        port_field(),
        select(&PORTS[..]),
    )
        .prop_map(|(op, left, right)| compare(op, left, json!(right)));
    let name = (
        op(),
        select(vec!["iifname", "oifname"]),
        prop_oneof![
            3 => select(&NAMES[..]).prop_map(|name| json!(name)),
            1 => Just(json!({"set": ["eth0", "br0"]})),
        ],
    )
        .prop_map(|(op, key, right)| compare(op, meta(key), right));
    let mark = prop_oneof![
        (op(), 0..4u32).prop_map(|(op, mark)| compare(op, meta("mark"), json!(mark))),
        (op(), 0..4u32).prop_map(|(op, mark)| compare(
            op,
            json!({"ct": {"key": "mark"}}),
            json!(mark)
        )),
        Just(equals(json!({"&": [meta("mark"), 1]}), json!(1))),
    ];
    let state = prop_oneof![
        3 => subsequence(
            vec!["new", "established", "related", "invalid", "untracked"],
            1..3
        )
        .prop_map(|states| compare("in", json!({"ct": {"key": "state"}}), json!(states))),
        1 => select(vec!["dnat", "snat", "seen-reply", "confirmed"])
            .prop_map(|status| compare("in", json!({"ct": {"key": "status"}}), json!(status))),
        1 => select(vec!["original", "reply"])
            .prop_map(|dir| equals(json!({"ct": {"key": "direction"}}), json!(dir))),
        1 => addresses(&V4).prop_map(|ip| equals(
            json!({"ct": {"key": "ip daddr", "dir": "original"}}),
            ip
        )),
    ];
    let other = prop_oneof![
        select(vec!["tcp", "udp", "icmp", "ipv6-icmp"])
            .prop_map(|proto| equals(meta("l4proto"), json!(proto))),
        select(vec!["ipv4", "ipv6"]).prop_map(|family| equals(meta("nfproto"), json!(family))),
        Just(equals(meta("skuid"), json!(1000))),
        Just(compare("<", meta("length"), json!(100))),
        Just(equals(meta("pkttype"), json!("host"))),
        Just(equals(payload("ip", "ttl"), json!(64))),
        Just(equals(payload("ip", "id"), json!(7))),
        Just(compare(
            "==",
            json!({"&": [payload("tcp", "flags"), ["syn", "ack", "rst", "fin"]]}),
            json!("syn")
        )),
        Just(equals(payload("icmp", "type"), json!("echo-request"))),
        Just(equals(meta("hour"), json!("10:00"))),
    ];
    let fib = prop_oneof![
        Just(fib_local()),
        Just(equals(
            json!({"fib": {"result": "type", "flags": ["saddr"]}}),
            json!("local")
        )),
        Just(equals(
            json!({"fib": {"result": "oif", "flags": ["saddr", "iif"]}}),
            json!(false)
        )),
    ];
    let sets = prop_oneof![
        (op(), select(vec!["saddr", "daddr"])).prop_map(|(op, field)| compare(
            op,
            payload("ip", field),
            json!("@hosts")
        )),
        (op(), port_field()).prop_map(|(op, left)| compare(op, left, json!("@ports"))),
        op().prop_map(|op| compare(
            op,
            json!({"concat": [payload("ip", "saddr"), payload("tcp", "dport")]}),
            json!("@pairs")
        )),
        Just(equals(payload("ip", "saddr"), json!("@seen"))),
    ];
    let opaque = prop_oneof![
        3 => select(vec!["addrtype", "tcp", "recent"])
            .prop_map(|name| json!({"xt": {"type": "match", "name": name}})),
        1 => Just(equals(json!({"frobnicate": {"key": "wombat"}}), json!(7))),
        1 => Just(json!({"frobnicate": null})),
    ];
    prop_oneof![
        6 => ip,
        2 => ip6,
        6 => port,
        1 => below,
        4 => name,
        3 => mark,
        4 => state,
        4 => other,
        2 => fib,
        3 => sets,
        1 => opaque,
    ]
    .boxed()
}

fn verdict() -> BoxedStrategy<Value> {
    prop_oneof![
        4 => Just(json!({"accept": null})),
        3 => Just(json!({"drop": null})),
        1 => Just(json!({"continue": null})),
        2 => Just(json!({"return": null})),
        4 => select(&REGULAR[..]).prop_map(|name| json!({"jump": {"target": name}})),
        2 => select(&REGULAR[..]).prop_map(|name| json!({"goto": {"target": name}})),
    ]
    .boxed()
}

fn vmap() -> BoxedStrategy<Value> {
    let of = |key: Value, values: Vec<Value>| {
        prop::collection::vec(verdict(), values.len()).prop_map(move |verdicts| {
            let pairs: Vec<Value> = values
                .iter()
                .zip(verdicts)
                .map(|(value, verdict)| json!([value, verdict]))
                .collect();
            json!({"vmap": {"key": key, "data": {"set": pairs}}})
        })
    };
    prop_oneof![
        of(
            meta("l4proto"),
            vec![json!("tcp"), json!("udp"), json!("icmp")]
        ),
        of(meta("iifname"), vec![json!("eth0"), json!("br0")]),
        of(
            payload("th", "dport"),
            vec![json!(22), json!(80), json!({"range": [100, 2000]})]
        ),
        of(
            payload("tcp", "sport"),
            vec![json!({"range": [1024, 30000]}), json!(40000)]
        ),
        of(
            json!({"numgen": {"mode": "random", "mod": 2, "offset": 0}}),
            vec![json!(0), json!(1)]
        ),
        of(
            json!({"ct": {"key": "state"}}),
            vec![json!("established"), json!("new")]
        ),
    ]
    .boxed()
}

/// Statements that end nothing.
fn effect() -> BoxedStrategy<Value> {
    let set = |key: Value, value: Value| json!({"mangle": {"key": key, "value": value}});
    prop_oneof![
        2 => Just(json!({"counter": {"packets": 1, "bytes": 2}})),
        1 => Just(json!({"log": {"prefix": "x "}})),
        2 => (0..4u32).prop_map(move |mark| set(meta("mark"), json!(mark))),
        1 => (0..4u32).prop_map(move |mark| set(json!({"ct": {"key": "mark"}}), json!(mark))),
        1 => Just(set(meta("mark"), json!({"ct": {"key": "mark"}}))),
        1 => Just(set(meta("mark"), json!({"|": [meta("mark"), 2]}))),
        1 => Just(json!({"limit": {"rate": 5, "burst": 5, "per": "second"}})),
        1 => Just(json!({"limit": {"rate": 5, "burst": 5, "per": "second", "inv": true}})),
        1 => Just(json!({"quota": {"val": 25, "val_unit": "mbytes"}})),
        1 => Just(json!({"ct count": {"val": 10, "inv": true}})),
        1 => Just(json!({"set": {"op": "add", "elem": payload("ip", "saddr"), "set": "@seen"}})),
    ]
    .boxed()
}

fn reject() -> BoxedStrategy<Value> {
    prop_oneof![
        Just(json!({"reject": null})),
        Just(json!({"reject": {"type": "tcp reset"}})),
        Just(json!({"reject": {"type": "icmpx", "expr": "admin-prohibited"}})),
    ]
    .boxed()
}

/// The ends of a rule that only some hooks have; `nat` tells destination (true) from source translation.
fn nat(destination: bool) -> BoxedStrategy<Value> {
    let family = prop_oneof![Just("ip"), Just("ip"), Just("ip6")];
    if destination {
        prop_oneof![
            4 => (family, any::<bool>(), select(vec![80u16, 8080])).prop_map(|(family, port, number)| {
                let addr = if family == "ip" { "172.20.0.2" } else { "fd02::2" };
                let mut nat = json!({"family": family, "addr": addr});
                if port {
                    nat["port"] = json!(number);
                }
                json!({"dnat": nat})
            }),
            1 => Just(json!({"dnat": {"family": "ip", "addr": {"map": {
                "key": payload("tcp", "dport"),
                "data": {"set": [[80, "172.20.0.2"], [443, "172.20.0.3"]]}
            }}}})),
            1 => Just(json!({"dnat": {"family": "ip", "addr": {"range": ["172.20.0.2", "172.20.0.3"]}}})),
            1 => Just(json!({"redirect": null})),
            1 => Just(json!({"redirect": {"port": 80}})),
        ]
        .boxed()
    } else {
        prop_oneof![
            3 => Just(json!({"masquerade": null})),
            1 => Just(json!({"masquerade": {"flags": "fully-random"}})),
            2 => Just(json!({"snat": {"family": "ip", "addr": "10.0.0.9"}})),
            1 => Just(json!({"snat": {"family": "ip", "addr": "10.0.0.9", "port": {"range": [2000, 3000]}}})),
            1 => Just(json!({"snat": {"family": "ip6", "addr": "fd00::9"}})),
        ]
        .boxed()
    }
}

type Rule = Vec<Value>;

/// A rule: some tests, perhaps effects, an end.
fn rule(end: BoxedStrategy<Value>) -> BoxedStrategy<Rule> {
    (
        prop::collection::vec(matches(), 0..3),
        prop::option::weighted(0.3, effect()),
        prop::option::weighted(0.9, end),
    )
        .prop_map(|(mut statements, effect, end)| {
            statements.extend(effect);
            statements.extend(end);
            statements
        })
        .boxed()
}

fn rules(end: BoxedStrategy<Value>, most: usize) -> BoxedStrategy<Vec<Rule>> {
    prop::collection::vec(rule(end), 0..most).boxed()
}

/// A base chain: its type, hook, priority, policy, and rules.
type Base = (&'static str, &'static str, i32, &'static str, Vec<Rule>);

fn base(taste: Taste) -> BoxedStrategy<Base> {
    let filter_end = prop_oneof![
        6 => verdict(),
        2 => vmap(),
        1 => reject(),
        1 => Just(json!({"queue": {"num": 0}})),
        u32::from(taste == Taste::Anything) => nat(true),
    ]
    .boxed();
    let policy = || select(vec!["accept", "accept", "accept", "drop"]);
    let filter = (
        select(vec![
            "prerouting",
            "input",
            "forward",
            "output",
            "postrouting",
        ]),
        select(vec![-150, -5, 0, 10]),
        policy(),
        rules(filter_end, 5),
    )
        .prop_map(|(hook, priority, policy, rules)| ("filter", hook, priority, policy, rules));
    let raw_end = prop_oneof![Just(json!({"notrack": null})), verdict()].boxed();
    let raw = (select(vec!["prerouting", "output"]), rules(raw_end, 3))
        .prop_map(|(hook, rules)| ("filter", hook, -300, "accept", rules));
    let route = rules(verdict(), 3).prop_map(|rules| ("route", "output", -150, "accept", rules));
    let destination = (
        select(vec!["prerouting", "prerouting", "output"]),
        rules(prop_oneof![3 => nat(true), 1 => verdict()].boxed(), 4),
    )
        .prop_map(|(hook, rules)| ("nat", hook, -100, "accept", rules));
    let source = (
        select(vec!["postrouting", "postrouting", "input"]),
        rules(prop_oneof![3 => nat(false), 1 => verdict()].boxed(), 4),
    )
        .prop_map(|(hook, rules)| ("nat", hook, 100, "accept", rules));
    prop_oneof![5 => filter, 1 => raw, 1 => route, 3 => destination, 2 => source].boxed()
}

/// A table: its family, base chains, regular chains.
type Table = (&'static str, Vec<Base>, Vec<Vec<Rule>>);

fn table(taste: Taste) -> BoxedStrategy<Table> {
    let end = prop_oneof![5 => verdict(), 1 => vmap(), 1 => reject()].boxed();
    let regular = prop::collection::vec(rules(end, 4), REGULAR.len());
    let family = match taste {
        Taste::Loadable => vec!["inet", "inet", "ip", "ip6"],
        Taste::Anything => vec!["inet", "ip", "ip6", "bridge", "netdev", "arp", "frob"],
    };
    (
        select(family),
        prop::collection::vec(base(taste), 1..5),
        regular,
    )
        .boxed()
}

/// Rulesets of a taste.
pub fn ruleset(taste: Taste) -> BoxedStrategy<Ruleset> {
    prop::collection::vec(table(taste), 1..3)
        .prop_map(move |tables| document(tables, taste))
        .boxed()
}

fn document(tables: Vec<Table>, taste: Taste) -> Ruleset {
    let mut objects = vec![json!({"metainfo": {"version": "1.1.3", "json_schema_version": 1}})];
    let mut handle = 0;
    let mut next = || {
        handle += 1;
        handle
    };
    for (number, (family, bases, regular)) in tables.into_iter().enumerate() {
        let table = format!("t{number}");
        objects.push(json!({"table": {"family": family, "name": table, "handle": next()}}));
        let set = |name: &str, kind: Value, flags: Value, elem: Value| {
            let mut set =
                json!({"family": family, "name": name, "table": table, "type": kind, "handle": 1});
            if !flags.is_null() {
                set["flags"] = flags;
            }
            if !elem.is_null() {
                set["elem"] = elem;
            }
            json!({ "set": set })
        };
        objects.extend([
            set(
                "hosts",
                json!("ipv4_addr"),
                json!(["interval"]),
                json!(["10.0.0.2", {"prefix": {"addr": "172.20.0.0", "len": 24}}]),
            ),
            set(
                "ports",
                json!("inet_service"),
                Value::Null,
                json!([22, 80, 40000]),
            ),
            set(
                "pairs",
                json!(["ipv4_addr", "inet_service"]),
                Value::Null,
                json!([{"concat": ["10.0.0.2", 80]}, {"concat": ["10.1.0.2", 22]}]),
            ),
            set(
                "seen",
                json!("ipv4_addr"),
                json!(["dynamic", "timeout"]),
                json!([{"elem": {"val": "10.0.0.2", "timeout": 60, "expires": 3}}]),
            ),
        ]);
        for name in REGULAR {
            let chain = json!({"family": family, "table": table, "name": name, "handle": next()});
            objects.push(json!({ "chain": chain }));
        }
        let mut chains: Vec<(String, Option<usize>, Vec<Rule>)> = Vec::new();
        for (at, (kind, hook, priority, policy, rules)) in bases.into_iter().enumerate() {
            let name = format!("b{at}");
            // no two chains of one priority: their order would be open
            let priority = priority + (number * 5 + at) as i32;
            objects.push(json!({"chain": {
                "family": family, "table": table, "name": name, "handle": next(), "type": kind, "hook": hook,
                "prio": priority, "policy": policy
            }}));
            chains.push((name, None, rules));
        }
        for (at, rules) in regular.into_iter().enumerate() {
            chains.push((REGULAR[at].into(), Some(at), rules));
        }
        for (chain, at, rules) in chains {
            for mut expr in rules {
                match taste {
                    Taste::Loadable => expr.iter_mut().for_each(|e| downwards(e, at)),
                    Taste::Anything => expr.iter_mut().for_each(|e| astray(e, at)),
                }
                objects.push(json!({"rule": {
                    "family": family, "table": table, "chain": chain, "handle": next(), "expr": expr
                }}));
            }
        }
    }
    without_unused(objects)
}

/// Leaves out sets that no rule names, and chains without rules that none leads to: the smaller, the clearer.
fn without_unused(objects: Vec<Value>) -> Ruleset {
    let rules: Vec<&Value> = objects.iter().filter(|o| o.get("rule").is_some()).collect();
    let text = json!(rules).to_string();
    let used = |object: &Value| match (object.get("set"), object.get("chain")) {
        (Some(set), _) => text.contains(&format!("\"@{}\"", set["name"].as_str().unwrap_or(""))),
        (_, Some(chain)) => {
            chain.get("hook").is_some() || text.contains(&chain["name"].to_string())
        }
        _ => true,
    };
    let kept = objects
        .iter()
        .filter(|object| used(object))
        .cloned()
        .collect();
    Ruleset(kept)
}

/// Lets chains lead to later ones only, so that there is no circle.
fn downwards(value: &mut Value, chain: Option<usize>) {
    let Some(chain) = chain else { return };
    let leads_up = |value: &Value| {
        ["jump", "goto"].iter().any(|verb| {
            value
                .pointer(&format!("/{verb}/target"))
                .and_then(Value::as_str)
                .and_then(|name| REGULAR.iter().position(|r| *r == name))
                .is_some_and(|target| target <= chain)
        })
    };
    if leads_up(value) {
        *value = json!({"accept": null});
        return;
    }
    match value {
        Value::Array(values) => values.iter_mut().for_each(|v| downwards(v, Some(chain))),
        Value::Object(map) => map.values_mut().for_each(|v| downwards(v, Some(chain))),
        _ => {}
    }
}

/// Lets some chains lead nowhere.
fn astray(value: &mut Value, chain: Option<usize>) {
    match value {
        Value::String(name) if name == "c3" && chain == Some(1) => *name = "nowhere".into(),
        Value::Array(values) => values.iter_mut().for_each(|v| astray(v, chain)),
        Value::Object(map) => map.values_mut().for_each(|v| astray(v, chain)),
        _ => {}
    }
}
