//! Large rulesets as nft would list them, and the packet of a question to the engine itself: for benches and for the
//! tests of cost.

#![allow(dead_code)]

#[path = "captured.rs"]
mod captured;

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use nfpath::eval::{Iface, World};
use nfpath::hooks::Hooks;
use nfpath::host::Host;
use nfpath::load::{Loaded, load};
use nfpath::logic::{Knowledge, Known};
use nfpath::packet::Spec;
use nfpath::sets::Room;
use nfpath::symbolic::{From, Space, requests};
use nfpath::walk::step::Disposition;
use nfpath::walk::{Entrance, GivenState, Probe, link_values, verdict};

fn listing(objects: &[String]) -> String {
    format!("{{\"nftables\": [{}]}}", objects.join(",\n"))
}

fn table() -> String {
    r#"{"table": {"family": "ip", "name": "t", "handle": 1}}"#.into()
}

fn chain(name: &str, base: &str) -> String {
    format!(r#"{{"chain": {{"family": "ip", "table": "t", "name": "{name}", "handle": 2{base}}}}}"#)
}

fn rule(chain: &str, expr: &str) -> String {
    format!(
        r#"{{"rule": {{"family": "ip", "table": "t", "chain": "{chain}", "handle": 3, "expr": [{expr}]}}}}"#
    )
}

fn base(kind: &str, hook: &str, prio: i32) -> String {
    format!(r#", "type": "{kind}", "hook": "{hook}", "prio": {prio}, "policy": "accept""#)
}

fn equals(protocol: &str, field: &str, right: &str) -> String {
    format!(
        r#"{{"match": {{"op": "==", "left": {{"payload": {{"protocol": "{protocol}", "field": "{field}"}}}}, "right": {right}}}}}"#
    )
}

/// The address with this number in 10.0.0.0/8.
fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 | number as u32)
}

/// One chain of so many rules, of which no packet of [`through`] fits any.
pub fn rules(number: usize) -> String {
    let mut objects = vec![table(), chain("in", &base("filter", "prerouting", 0))];
    for at in 0..number {
        let source = equals("ip", "saddr", &format!("\"{}\"", address(0x10_0000 + at)));
        let port = equals("tcp", "dport", &(at % 60000 + 1).to_string());
        let expr = format!(
            r#"{source}, {port}, {{"counter": {{"packets": 0, "bytes": 0}}}}, {{"accept": null}}"#
        );
        objects.push(rule("in", &expr));
    }
    listing(&objects)
}

/// One chain of so many rules whose prefixes and port ranges overlap, every third of which drops.
pub fn overlapping(number: usize) -> String {
    let mut objects = vec![table(), chain("in", &base("filter", "prerouting", 0))];
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move |end: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % end
    };
    for at in 0..number {
        let len = 12 + next(17);
        let bits = (next(1 << 20) << 12) as u32;
        let net = Ipv4Addr::from_bits(bits & !(u32::MAX >> len));
        let net = format!(r#"{{"prefix": {{"addr": "{net}", "len": {len}}}}}"#);
        let first = next(60000);
        let ports = format!(r#"{{"range": [{first}, {}]}}"#, first + next(5000));
        let expr = format!(
            r#"{}, {}, {{"{}": null}}"#,
            equals("ip", "saddr", &net),
            equals("tcp", "dport", &ports),
            if at % 3 == 0 { "drop" } else { "accept" }
        );
        objects.push(rule("in", &expr));
    }
    listing(&objects)
}

/// As many chains of a hundred rules as make up the number, one of which the packet of [`through`] passes.
pub fn branches(number: usize) -> String {
    let mut objects = vec![table(), chain("in", &base("filter", "prerouting", 0))];
    for branch in 0..number / 100 {
        let name = format!("branch-{branch}");
        objects.push(chain(&name, ""));
        let net = format!(
            r#"{{"prefix": {{"addr": "10.{}.0.0", "len": 16}}}}"#,
            (254 - branch) % 256
        );
        let jump = format!(
            r#"{}, {{"jump": {{"target": "{name}"}}}}"#,
            equals("ip", "saddr", &net)
        );
        objects.push(rule("in", &jump));
        for at in 1..100 {
            let source = equals("ip", "saddr", &format!("\"{}\"", address(0x10_0000 + at)));
            objects.push(rule(&name, &format!(r#"{source}, {{"accept": null}}"#)));
        }
    }
    listing(&objects)
}

/// A set of so many addresses, every second one of its range, and a rule that drops what is in it.
pub fn set(elements: usize) -> String {
    let mut elem = String::new();
    for at in 0..elements {
        let comma = if at == 0 { "" } else { ", " };
        let _ = write!(elem, "{comma}\"{}\"", address(0x10_0000 + 2 * at));
    }
    let set = format!(
        r#"{{"set": {{"family": "ip", "table": "t", "name": "s", "type": "ipv4_addr", "handle": 4, "elem": [{elem}]}}}}"#
    );
    let expr = format!(r#"{}, {{"drop": null}}"#, equals("ip", "saddr", "\"@s\""));
    let chain = chain("in", &base("filter", "prerouting", 0));
    listing(&[table(), set, chain, rule("in", &expr)])
}

/// Services as kube-proxy writes them: a verdict map from address, protocol and port to a chain for each service, whose
/// endpoints are drawn by lot.
pub fn services(number: usize) -> String {
    let mut objects = vec![table()];
    let key = r#"{"concat": [{"payload": {"protocol": "ip", "field": "daddr"}}, {"meta": {"key": "l4proto"}}, {"payload": {"protocol": "th", "field": "dport"}}]}"#;
    let chains = [
        ("nat-prerouting", base("nat", "prerouting", -100)),
        ("nat-postrouting", base("nat", "postrouting", 100)),
        ("filter-forward", base("filter", "forward", 0)),
        ("services", String::new()),
        ("masquerading", String::new()),
        ("mark-for-masquerade", String::new()),
    ];
    for (name, base) in &chains {
        objects.push(chain(name, base));
    }
    let mut elements = Vec::with_capacity(number);
    for at in 0..number {
        let (service, own) = (format!("service-{at}"), address(0x60_0000 + at));
        let port = 80 + at % 3;
        elements.push(format!(
            r#"[{{"concat": ["{own}", "tcp", {port}]}}, {{"goto": {{"target": "{service}"}}}}]"#
        ));
        objects.push(chain(&service, ""));
        let mut lots = Vec::new();
        for endpoint in 0..3 {
            let name = format!("endpoint-{at}-{endpoint}");
            let ip = address(0x80_0000 + at * 3 + endpoint);
            objects.push(chain(&name, ""));
            let from_itself = equals("ip", "saddr", &format!("\"{ip}\""));
            objects.push(rule(
                &name,
                &format!(r#"{from_itself}, {{"jump": {{"target": "mark-for-masquerade"}}}}"#),
            ));
            let tcp =
                r#"{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}}"#;
            objects.push(rule(
                &name,
                &format!(r#"{tcp}, {{"dnat": {{"addr": "{ip}", "port": 8080}}}}"#),
            ));
            lots.push(format!(
                r#"[{endpoint}, {{"goto": {{"target": "{name}"}}}}]"#
            ));
        }
        let outside = format!(
            r#"{}, {{"match": {{"op": "!=", "left": {{"payload": {{"protocol": "ip", "field": "saddr"}}}}, "right": {{"prefix": {{"addr": "10.128.0.0", "len": 9}}}}}}}}"#,
            equals("ip", "daddr", &format!("\"{own}\""))
        );
        objects.push(rule(
            &service,
            &format!(r#"{outside}, {{"jump": {{"target": "mark-for-masquerade"}}}}"#),
        ));
        let drawn = format!(
            r#"{{"vmap": {{"key": {{"numgen": {{"mode": "random", "mod": 3, "offset": 0}}}}, "data": {{"set": [{}]}}}}}}"#,
            lots.join(", ")
        );
        objects.push(rule(&service, &drawn));
    }
    objects.insert(
        1,
        format!(
            r#"{{"map": {{"family": "ip", "table": "t", "name": "service-ips", "type": ["ipv4_addr", "inet_proto", "inet_service"], "handle": 5, "map": "verdict", "elem": [{}]}}}}"#,
            elements.join(", ")
        ),
    );
    let jump = |target: &str| format!(r#"{{"jump": {{"target": "{target}"}}}}"#);
    let mark = |value: &str| {
        format!(r#"{{"mangle": {{"key": {{"meta": {{"key": "mark"}}}}, "value": {value}}}}}"#)
    };
    let marked = r#"{"match": {"op": "==", "left": {"&": [{"meta": {"key": "mark"}}, 16384]}, "right": 0}}, {"return": null}"#;
    objects.extend([
        rule("nat-prerouting", &jump("services")),
        rule("nat-postrouting", &jump("masquerading")),
        rule("services", &format!(r#"{{"vmap": {{"key": {key}, "data": "@service-ips"}}}}"#)),
        rule("masquerading", marked),
        rule("masquerading", r#"{"masquerade": {"flags": "fully-random"}}"#),
        rule("mark-for-masquerade", &mark(r#"{"|": [{"meta": {"key": "mark"}}, 16384]}"#)),
        rule(
            "filter-forward",
            r#"{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "invalid"}}, {"drop": null}"#,
        ),
    ]);
    listing(&objects)
}

/// A ruleset and a host, loaded.
pub struct Case {
    pub loaded: Loaded,
    pub hooks: Hooks,
    pub host: Host,
    values: Vec<u128>,
    pub probe: Probe,
}

impl Case {
    /// Follows all packets from outside; how many nodes that takes.
    pub fn requests(&self) -> usize {
        let world = World {
            ruleset: &self.loaded.ruleset,
            host: &self.host,
            link_values: &self.values,
        };
        let mut space = Space::new(false, self.host.links.len(), Room::default());
        requests(&mut space, world, &self.hooks, From::Outside, Some(0)).expect("room");
        space.sets.nodes()
    }

    /// A packet `tcp:SRC:40000->DST:80` that comes in by `iif` of the host.
    pub fn new(
        ruleset: &str,
        host: Host,
        iif: &str,
        proto: u8,
        src: &str,
        dst: (&str, u16),
    ) -> Case {
        let loaded = load("large", ruleset, &[]).expect("a listing");
        let link = host.links.iter().position(|link| link.name == iif);
        let ip = |text: &str| Known::Value(text.parse::<IpAddr>().expect("an address"));
        let probe = Probe {
            spec: Spec {
                v6: false,
                src: ip(src),
                dst: ip(dst.0),
                proto,
                sport: Known::Value(40000),
                dport: Known::Value(dst.1),
                icmp: None,
                tcp_flags: None,
                ttl: None,
                tos: None,
                length: None,
                ether_src: None,
                ether_dst: None,
            },
            entrance: Entrance::Iface(Iface::Link(link.expect("the host has it") as u16)),
            in_port: None,
            oif: None,
            mark: 0,
            state: GivenState::New,
            uid: None,
            gid: None,
        };
        Case {
            hooks: Hooks::new(&loaded.ruleset),
            values: link_values(&host),
            loaded,
            host,
            probe,
        }
    }

    /// The verdict alone.
    pub fn verdict(&self) -> (Disposition, Option<Disposition>) {
        let world = World {
            ruleset: &self.loaded.ruleset,
            host: &self.host,
            link_values: &self.values,
        };
        verdict(world, &self.hooks, &self.probe, Knowledge::default())
    }
}

/// The host of testdata/c1.
pub fn c1_host() -> Host {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/c1/host");
    captured::host_of(&folder).0
}

/// A published port of testdata/c1, asked for by the client.
pub fn c1() -> Case {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/c1/ruleset.json");
    let ruleset = std::fs::read_to_string(path).expect("the ruleset");
    Case::new(
        &ruleset,
        c1_host(),
        "ens192",
        17,
        "10.254.10.105",
        ("10.254.10.252", 1812),
    )
}

/// A packet that the host of testdata/c1 forwards, through a large ruleset.
pub fn through(ruleset: &str, dst: (&str, u16)) -> Case {
    Case::new(ruleset, c1_host(), "ens192", 6, "10.254.10.105", dst)
}

/// The address of the last of so many services.
pub fn service(number: usize) -> (String, u16) {
    let at = number - 1;
    (address(0x60_0000 + at).to_string(), (80 + at % 3) as u16)
}
