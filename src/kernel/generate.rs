//! Rulesets and flows made up from a seed, leaning to what real rulesets contain.
//!
//! The same seed gives the same text. Values come from small pools, so that rules and packets meet; every statement is
//! put only where nft and the kernel take it. Left out: what a ruleset alone does not decide (quotas, random numbers,
//! sets filled by packets), and what needs a program (queue, helpers).

use std::fmt::Write;
use std::net::IpAddr;

use crate::explain::Question;
use crate::flow::{Flow, IpFamily};
use crate::packet::proto;
use crate::ruleset::{Family, Hook};

/// A stream of numbers (splitmix64).
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64, stream: u64) -> Numbers {
        let mut numbers = Numbers(seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        numbers.next();
        numbers
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// True in so many of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn some(&mut self, from: &[&str], most: usize) -> Vec<String> {
        let count = 1 + self.below(most);
        let mut found: Vec<String> = Vec::new();
        for _ in 0..count {
            let one = self.pick(from).to_string();
            if !found.contains(&one) {
                found.push(one);
            }
        }
        found
    }
}

/// The kinds of host that cases run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// For `ip -batch`-like flags of [`crate::load::bundle`]: interfaces, bridges, routes, sysctls.
    pub ifaces: Vec<String>,
    pub bridges: Vec<String>,
    pub routes: Vec<String>,
    pub sysctls: Vec<String>,
    /// A mark that takes another way out.
    pub marked_route: bool,
}

/// A router with two networks and a bridge with two containers.
pub fn topology(numbers: &mut Numbers) -> Topology {
    let strict = numbers.chance(15);
    let bridged = u8::from(numbers.chance(60));
    let mut sysctls = vec![
        format!("net.ipv4.ip_forward={}", u8::from(numbers.chance(92))),
        "net.ipv6.conf.all.forwarding=1".to_string(),
        format!("net.bridge.bridge-nf-call-iptables={bridged}"),
        format!("net.bridge.bridge-nf-call-ip6tables={bridged}"),
    ];
    if strict {
        sysctls.push("net.ipv4.conf.all.rp_filter=1".into());
    }
    if numbers.chance(15) {
        sysctls.push("net.ipv4.conf.all.route_localnet=1".into());
    }
    let mut routes = vec![
        "0.0.0.0/0,dev=eth0,via=10.0.0.254".to_string(),
        "::/0,dev=eth0,via=fd00::fe".to_string(),
        "10.5.0.0/16,dev=eth1,via=10.1.0.2".to_string(),
    ];
    if numbers.chance(20) {
        routes.push("172.20.9.0/24,dev=br0".into());
    }
    Topology {
        ifaces: vec![
            "eth0=10.0.0.1/24,10.0.0.9/24,fd00::1/64".into(),
            "eth1=10.1.0.1/24,fd01::1/64".into(),
            "br0=172.20.0.1/24,fd02::1/64".into(),
            format!("{DOTTED}=10.7.0.1/24"),
        ],
        bridges: vec!["br0=p1,p2".into()],
        routes,
        sysctls,
        marked_route: numbers.chance(50),
    }
}

/// Who is behind which port of the bridge: address, Ethernet address, port.
pub const CONTAINERS: [(&str, [u8; 6], &str); 4] = [
    ("172.20.0.2", [2, 0x42, 172, 20, 0, 2], "p1"),
    ("172.20.0.3", [2, 0x42, 172, 20, 0, 3], "p2"),
    ("fd02::2", [2, 0x42, 172, 20, 0, 2], "p1"),
    ("fd02::3", [2, 0x42, 172, 20, 0, 3], "p2"),
];

/// A third network, by an interface whose name has a dot.
const DOTTED: &str = "eth1.10";

/// Who is next to the host otherwise: interface and address.
pub const NEIGHBOURS: [(&str, &str); 7] = [
    (DOTTED, "10.7.0.2"),
    ("eth0", "10.0.0.2"),
    ("eth0", "10.0.0.254"),
    ("eth0", "fd00::2"),
    ("eth0", "fd00::fe"),
    ("eth1", "10.1.0.2"),
    ("eth1", "fd01::2"),
];

const LINKS: [&str; 7] = ["eth0", "eth1", "br0", "lo", "p1", "p2", DOTTED];
const OWN4: [&str; 5] = [
    "10.0.0.1",
    "10.0.0.9",
    "10.1.0.1",
    "172.20.0.1",
    "127.0.0.1",
];
const OWN6: [&str; 4] = ["fd00::1", "fd01::1", "fd02::1", "::1"];
const OUT4: [&str; 8] = [
    "10.0.0.2",
    "10.1.0.2",
    "172.20.0.2",
    "172.20.0.3",
    "192.0.2.7",
    "10.5.1.1",
    "10.0.0.254",
    "10.7.0.2",
];
const OUT6: [&str; 5] = ["fd00::2", "fd01::2", "fd02::2", "fd02::3", "2001:db8::7"];
const NETS4: [&str; 7] = [
    "10.0.0.0/24",
    "10.0.0.0/8",
    "10.1.0.0/24",
    "172.20.0.0/24",
    "192.0.2.0/28",
    "127.0.0.0/8",
    "10.0.0.2-10.1.0.2",
];
const NETS6: [&str; 4] = ["fd00::/64", "fd00::/8", "fd02::/64", "2001:db8::/32"];
const PORTS: [&str; 8] = ["22", "53", "80", "443", "5000", "8080", "1812", "40000"];
const PORT_RANGES: [&str; 4] = ["1-1023", "1024-65535", "5000-5999", "80-443"];
const MARKS: [&str; 4] = ["0x1", "0x2", "0x10", "0xff"];

/// A chain, and a rule in it, while they are made up.
#[derive(Clone)]
struct Place {
    family: Family,
    hook: Hook,
    nat: bool,
    priority: i32,
    /// Chains that it may jump to.
    below: Vec<String>,
    /// The rule is about IPv6.
    v6: bool,
    /// The transport protocol that the rule is about, if it names one.
    l4: &'static str,
}

/// A ruleset in nft's words.
pub fn ruleset(numbers: &mut Numbers) -> String {
    let mut text = String::new();
    let count = 1 + numbers.below(4);
    for at in 0..count {
        let family = numbers.of(&[
            Family::Ip,
            Family::Ip,
            Family::Ip,
            Family::Inet,
            Family::Inet,
            Family::Inet,
            Family::Ip6,
            Family::Bridge,
        ]);
        table(&mut text, numbers, family, at);
    }
    text
}

fn table(text: &mut String, numbers: &mut Numbers, family: Family, at: usize) {
    let _ = writeln!(text, "table {family} t{at} {{");
    sets(text, numbers, family);
    let mut bodies = String::new();
    for number in 0..1 + numbers.below(4) {
        base_chain(&mut bodies, numbers, family, number);
    }
    text.push_str(&bodies);
    text.push_str("}\n");
}

/// Named sets and maps, the same names in every table.
fn sets(text: &mut String, numbers: &mut Numbers, family: Family) {
    let nets: Vec<String> = if family == Family::Ip6 {
        vec![numbers.pick(&NETS6).to_string()]
    } else {
        vec![numbers.pick(&NETS4[..6]).to_string()]
    };
    let (kind, one) = if family == Family::Ip6 {
        ("ipv6_addr", numbers.some(&OUT6, 3))
    } else {
        ("ipv4_addr", numbers.some(&OUT4, 3))
    };
    let ports = numbers.some(&PORTS, 4).join(", ");
    let _ = writeln!(
        text,
        "  set nets {{ type {kind}; flags interval; elements = {{ {} }}; }}
  set hosts {{ type {kind}; elements = {{ {} }}; }}
  set ports {{ type inet_service; elements = {{ {ports} }}; }}
  set pairs {{ type {kind} . inet_service; elements = {{ {} }}; }}
  set links {{ type ifname; elements = {{ {} }}; }}
  map marks {{ type inet_service : mark; elements = {{ {} : {}, {} : {} }}; }}",
        nets.join(", "),
        one.join(", "),
        one.iter()
            .map(|address| format!("{address} . {}", numbers.pick(&PORTS)))
            .collect::<Vec<_>>()
            .join(", "),
        numbers
            .some(&LINKS, 3)
            .iter()
            .map(|name| format!("\"{name}\""))
            .collect::<Vec<_>>()
            .join(", "),
        PORTS[0],
        numbers.pick(&MARKS),
        numbers.pick(&PORTS[1..]),
        numbers.pick(&MARKS),
    );
}

fn base_chain(text: &mut String, numbers: &mut Numbers, family: Family, number: usize) {
    let nat = family != Family::Bridge && numbers.chance(30);
    let hook = if nat {
        numbers.of(&[
            Hook::Prerouting,
            Hook::Prerouting,
            Hook::Postrouting,
            Hook::Postrouting,
            Hook::Output,
            Hook::Input,
        ])
    } else {
        numbers.of(&[
            Hook::Prerouting,
            Hook::Input,
            Hook::Input,
            Hook::Forward,
            Hook::Forward,
            Hook::Forward,
            Hook::Output,
            Hook::Postrouting,
        ])
    };
    let route = !nat && hook == Hook::Output && family != Family::Bridge && numbers.chance(25);
    let priority = if nat {
        numbers.of(&[-150, -101, -100, -100, -99, -50, 0, 50, 99, 100, 101, 110])
    } else if family == Family::Bridge {
        // at 0 sits br_netfilter, and which of the two registered first is not in the ruleset
        numbers.of(&[-300, -200, -100, -10, 10, 50, 100, 300])
    } else {
        numbers.of(&[
            -300, -250, -200, -150, -101, -100, -50, -10, 0, 0, 0, 0, 10, 50, 100, 110, 200, 300,
        ])
    };
    let policy = if !nat && numbers.chance(15) {
        "drop"
    } else {
        "accept"
    };
    let kind = match (nat, route) {
        (true, _) => "nat",
        (false, true) => "route",
        (false, false) => "filter",
    };
    let name = format!("{}{number}", hook.name());
    let mut below: Vec<String> = Vec::new();
    // chains come before those that jump to them
    for sub in 0..numbers.below(4) {
        let chain = format!("{name}_sub{sub}");
        let _ = writeln!(text, "  chain {chain} {{");
        let place = Place {
            family,
            hook,
            nat,
            priority,
            below: below.clone(),
            v6: false,
            l4: "tcp",
        };
        rules(text, numbers, &place, 4);
        text.push_str("  }\n");
        below.push(chain);
    }
    let _ = writeln!(
        text,
        "  chain {name} {{\n    type {kind} hook {} priority {priority}; policy {policy};",
        hook.name()
    );
    let place = Place {
        family,
        hook,
        nat,
        priority,
        below,
        v6: false,
        l4: "tcp",
    };
    if !nat
        && matches!(hook, Hook::Input | Hook::Forward | Hook::Output)
        && numbers.chance(40)
        && family != Family::Bridge
    {
        text.push_str(numbers.pick(&[
            "    ct state established,related accept\n",
            "    ct state vmap { established : accept, related : accept, invalid : drop }\n",
            "    ct status dnat accept\n",
            "    ct state invalid drop\n",
        ]));
    }
    rules(text, numbers, &place, 6);
    text.push_str("  }\n");
}

fn rules(text: &mut String, numbers: &mut Numbers, place: &Place, most: usize) {
    for _ in 0..numbers.below(most + 1) {
        let _ = writeln!(text, "    {}", rule(numbers, place));
    }
}

fn rule(numbers: &mut Numbers, place: &Place) -> String {
    let v6 = match place.family {
        Family::Ip => false,
        Family::Ip6 => true,
        _ => numbers.chance(25),
    };
    let place = &Place {
        v6,
        l4: numbers.pick(&[
            "tcp",
            "tcp",
            "udp",
            "udp",
            if v6 { "icmpv6" } else { "icmp" },
        ]),
        ..place.clone()
    };
    let mut words: Vec<String> = Vec::new();
    if numbers.chance(6) {
        let other = numbers.pick(&["47", "132", "1", "58"]);
        let negated = not(numbers);
        return format!(
            "meta l4proto {negated}{{ {}, {other} }} {}",
            numbers.pick(&["tcp", "udp"]),
            numbers.pick(&["accept", "counter", "return"])
        );
    }
    if place.nat && numbers.chance(55) {
        return nat_rule(numbers, place);
    }
    for _ in 0..numbers.of(&[0, 1, 1, 1, 2, 2, 3]) {
        words.push(a_match(numbers, place));
    }
    if numbers.chance(30) {
        words.push("counter".into());
    }
    if numbers.chance(15) {
        words.push(effect(numbers, place));
    }
    words.push(verdict(numbers, place));
    let rule = words
        .into_iter()
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    if rule.is_empty() {
        "counter".into()
    } else {
        rule
    }
}

fn not(numbers: &mut Numbers) -> &'static str {
    if numbers.chance(20) { "!= " } else { "" }
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    if names.len() == 1 {
        names[0].clone()
    } else {
        format!("{{ {} }}", names.join(", "))
    }
}

fn braces(values: &[String]) -> String {
    if values.len() == 1 {
        values[0].clone()
    } else {
        format!("{{ {} }}", values.join(", "))
    }
}

fn a_match(numbers: &mut Numbers, place: &Place) -> String {
    let bridge = place.family == Family::Bridge;
    match numbers.below(if bridge { 12 } else { 22 }) {
        0 | 1 => address(numbers, place),
        2 | 3 => port(numbers, place),
        4 => {
            let key = numbers.pick(&["iifname", "iifname", "oifname"]);
            match numbers.below(5) {
                0 => format!("{key} @links"),
                1 => format!("{key} {}\"p*\"", not(numbers)),
                2 => format!("{key} \"eth*\""),
                _ => format!("{key} {}{}", not(numbers), quoted(&numbers.some(&LINKS, 2))),
            }
        }
        5 => format!("meta l4proto {}", place.l4.replace("icmpv6", "ipv6-icmp")),
        6 => port(numbers, place),
        7 if place.l4 == "tcp" => numbers
            .pick(&[
                "tcp flags syn",
                "tcp flags & (syn | ack) == syn",
                "tcp flags & (fin | syn | rst | ack) == syn",
                "tcp flags syn / syn,ack,rst",
                "tcp flags != syn",
                "tcp flags { syn, syn | ack }",
                "tcp flags ack",
                "tcp sport 40000",
            ])
            .to_string(),
        7 => address(numbers, place),
        8 if numbers.chance(20) => "meta mark & 0xf == 0x1".into(),
        8 => format!(
            "meta mark {}{}",
            not(numbers),
            numbers.pick(&["0x1", "0x0", "0x2", "{ 0x1, 0x2 }", "0x10-0x20"])
        ),
        9 => match numbers.below(3) {
            0 => format!("th dport {}{}", not(numbers), numbers.pick(&PORTS)),
            1 => "meta length < 100".into(),
            _ => "limit rate 100000/second burst 10000 packets".into(),
        },
        10 if bridge => {
            format!("ether type {}", if place.v6 { "ip6" } else { "ip" })
        }
        11 if bridge => "meta pkttype host".into(),
        10 | 11 => format!(
            "ct state {}{}",
            not(numbers),
            numbers.pick(&[
                "new",
                "established",
                "established,related",
                "{ established, related }",
                "invalid",
                "new,untracked",
                "{ new, untracked }",
                "untracked",
            ])
        ),
        12 => numbers
            .pick(&[
                "ct status dnat",
                "ct status snat",
                "ct status dnat,snat",
                "ct status & (dnat | snat) != 0",
                "ct status confirmed",
                "ct status seen-reply",
            ])
            .to_string(),
        13 => numbers
            .pick(&[
                "ct direction original",
                "ct direction reply",
                "ct mark 0x1",
                "ct mark != 0x0",
                "ct direction original",
            ])
            .to_string(),
        14 if numbers.chance(50) && !place.l4.starts_with("icmp") => format!(
            "meta l4proto {} ct {}",
            place.l4,
            numbers.pick(&[
                "original proto-dst 80",
                "original proto-dst 5000",
                "original proto-src 40000",
                "reply proto-src 8080",
                "reply proto-dst != 40000",
            ])
        ),
        14 => match place.v6 {
            false => format!("ct original ip daddr {}", numbers.pick(&OWN4)),
            true => format!("ct original ip6 daddr {}", numbers.pick(&OWN6)),
        },
        15 | 16 => fib(numbers, place),
        17 => match place.family {
            Family::Ip => format!("ip ttl {}", numbers.pick(&["64", "63", "> 10", "!= 64"])),
            Family::Ip6 => {
                format!(
                    "ip6 hoplimit {}",
                    numbers.pick(&["64", "63", "> 10", "!= 64"])
                )
            }
            _ => format!("meta nfproto {}", if place.v6 { "ipv6" } else { "ipv4" }),
        },
        18 => {
            let key = if place.v6 {
                "ip6 nexthdr"
            } else {
                "ip protocol"
            };
            format!("{key} {}", place.l4.replace("icmpv6", "ipv6-icmp"))
        }
        19 if !place.l4.starts_with("icmp") => match place.v6 {
            false => format!(
                "ip saddr . {} dport {{ {} . 80, {} . 443 }}",
                place.l4, OUT4[0], OUT4[1]
            ),
            true => format!(
                "ip6 daddr . {} dport {{ fd01::2 . 5000, fd02::2 . 53 }}",
                place.l4
            ),
        },
        20 if !place.l4.starts_with("icmp") && place.v6 == (place.family == Family::Ip6) => {
            let key = if place.v6 { "ip6" } else { "ip" };
            format!("{key} daddr . {} dport @pairs", place.l4)
        }
        19 | 20 => address(numbers, place),
        _ if place.hook == Hook::Output => numbers
            .pick(&["meta skuid 0", "meta skuid != 0", "oif \"lo\""])
            .to_string(),
        _ => numbers
            .pick(&[
                "iif \"lo\"",
                "meta pkttype host",
                "iifname . oifname { \"eth0\" . \"eth1\", \"br0\" . \"eth0\" }",
            ])
            .to_string(),
    }
}

fn address(numbers: &mut Numbers, place: &Place) -> String {
    let v6 = place.v6;
    let key = match (v6, numbers.chance(50)) {
        (false, true) => "ip saddr",
        (false, false) => "ip daddr",
        (true, true) => "ip6 saddr",
        (true, false) => "ip6 daddr",
    };
    let own_kind = v6 == (place.family == Family::Ip6);
    let negated = not(numbers);
    let value = match numbers.below(6) {
        0 if v6 => numbers.pick(&OWN6).to_string(),
        0 => numbers.pick(&OWN4).to_string(),
        1 if own_kind => numbers.pick(&["@nets", "@hosts"]).to_string(),
        2 | 3 if v6 => numbers.pick(&NETS6).to_string(),
        2 | 3 => numbers.pick(&NETS4).to_string(),
        4 if v6 => braces(&numbers.some(&OUT6, 3)),
        4 => braces(&numbers.some(&OUT4, 3)),
        _ if v6 => numbers.pick(&OUT6).to_string(),
        _ => numbers.pick(&OUT4).to_string(),
    };
    format!("{key} {negated}{value}")
}

fn port(numbers: &mut Numbers, place: &Place) -> String {
    if place.l4.starts_with("icmp") {
        let kinds = ["echo-request", "echo-reply", "{ echo-request, echo-reply }"];
        return format!("{} type {}{}", place.l4, not(numbers), numbers.pick(&kinds));
    }
    let proto = place.l4;
    let key = numbers.pick(&["dport", "dport", "dport", "sport"]);
    let negated = not(numbers);
    let value = match numbers.below(5) {
        0 => numbers.pick(&PORT_RANGES).to_string(),
        1 => braces(&numbers.some(&PORTS, 4)),
        2 => "@ports".into(),
        _ => numbers.pick(&PORTS).to_string(),
    };
    format!("{proto} {key} {negated}{value}")
}

fn fib(numbers: &mut Numbers, place: &Place) -> String {
    let reverse = matches!(place.hook, Hook::Prerouting | Hook::Input | Hook::Forward);
    if reverse && !place.nat && numbers.chance(40) {
        return numbers
            .pick(&[
                "fib saddr . iif oif missing",
                "fib saddr . iif oif exists",
                "fib saddr . mark . iif oif exists",
                "fib daddr . iif type local",
            ])
            .to_string();
    }
    numbers
        .pick(&[
            "fib daddr type local",
            "fib daddr type != local",
            "fib saddr type local",
            "fib daddr type { local, unicast }",
            "fib daddr type broadcast",
        ])
        .to_string()
}

fn effect(numbers: &mut Numbers, place: &Place) -> String {
    if place.family == Family::Bridge {
        return format!("meta mark set {}", numbers.pick(&MARKS));
    }
    let raw = place.priority < -200 && matches!(place.hook, Hook::Prerouting | Hook::Output);
    if raw && !place.nat && numbers.chance(40) {
        return "notrack".into();
    }
    match numbers.below(6) {
        0 => "meta mark set ct mark".into(),
        1 => "ct mark set meta mark".into(),
        2 => format!("ct mark set {}", numbers.pick(&MARKS)),
        3 => format!("meta mark set meta mark | {}", numbers.pick(&MARKS)),
        4 if place.l4 == "tcp" => "meta mark set tcp dport map @marks".into(),
        _ => format!("meta mark set {}", numbers.pick(&MARKS)),
    }
}

fn verdict(numbers: &mut Numbers, place: &Place) -> String {
    let rejects = !place.nat
        && place.family != Family::Bridge
        && matches!(place.hook, Hook::Input | Hook::Forward | Hook::Output);
    match numbers.below(16) {
        0..=4 => "accept".into(),
        5 if !place.nat => "drop".into(),
        6 if rejects => match place.family {
            Family::Ip => numbers
                .pick(&["reject", "reject with icmp host-prohibited"])
                .to_string(),
            Family::Ip6 => "reject".into(),
            _ => numbers
                .pick(&["reject", "reject with icmpx admin-prohibited"])
                .to_string(),
        },
        7 => "return".into(),
        8..=10 if !place.below.is_empty() => {
            let target = &place.below[numbers.below(place.below.len())];
            format!(
                "{} {target}",
                numbers.pick(&["jump", "jump", "jump", "goto"])
            )
        }
        11 if !place.below.is_empty() && !place.l4.starts_with("icmp") => {
            let target = &place.below[numbers.below(place.below.len())];
            let proto = place.l4;
            format!(
                "{proto} dport vmap {{ {} : jump {target}, {} : accept, {} : {} }}",
                PORTS[numbers.below(3)],
                PORTS[3 + numbers.below(2)],
                PORTS[5 + numbers.below(3)],
                numbers.pick(&["return", "drop", "continue"]),
            )
        }
        12 => match place.v6 {
            false => format!(
                "ip saddr vmap {{ {} : accept, {} : {} }}",
                OUT4[numbers.below(3)],
                OUT4[3 + numbers.below(4)],
                numbers.pick(&["return", "drop", "continue"])
            ),
            true => "ip6 saddr vmap { fd00::2 : accept, fd00::/64 : return }"
                .replace("fd00::/64", "fd02::2"),
        },
        _ => String::new(),
    }
}

fn nat_rule(numbers: &mut Numbers, place: &Place) -> String {
    let v6 = place.v6;
    let l4 = format!(
        "{} dport {}",
        numbers.pick(&["tcp", "udp"]),
        match numbers.below(3) {
            0 => braces(&numbers.some(&PORTS, 3)),
            1 => numbers.pick(&PORT_RANGES).to_string(),
            _ => numbers.pick(&PORTS).to_string(),
        }
    );
    let more = if numbers.chance(40) {
        match numbers.below(3) {
            0 => fib(numbers, place) + " ",
            1 => {
                let key = if matches!(place.hook, Hook::Postrouting | Hook::Output) {
                    "oifname"
                } else {
                    "iifname"
                };
                format!("{key} {}\"{}\" ", not(numbers), numbers.pick(&LINKS))
            }
            _ => {
                let key = if v6 { "ip6" } else { "ip" };
                let nets: &[&str] = if v6 { &NETS6 } else { &NETS4 };
                let side = numbers.pick(&["saddr", "daddr"]);
                format!("{key} {side} {} ", numbers.pick(nets))
            }
        }
    } else {
        String::new()
    };
    let family = match (place.family, v6) {
        (Family::Inet, false) => "ip ",
        (Family::Inet, true) => "ip6 ",
        _ => "",
    };
    let port = numbers.pick(&["", ":80", ":8080", ":5000", ":1812"]);
    let target = |numbers: &mut Numbers, own: bool| {
        let address = match (v6, own) {
            (false, false) => numbers.pick(&OUT4[..4]),
            (false, true) => numbers.pick(&OWN4[..4]),
            (true, false) => numbers.pick(&OUT6[..4]),
            (true, true) => numbers.pick(&OWN6[..3]),
        };
        match (v6, port) {
            (true, "") => address.to_string(),
            (true, port) => format!("[{address}]{port}"),
            (false, port) => format!("{address}{port}"),
        }
    };
    match place.hook {
        Hook::Prerouting | Hook::Output => {
            if numbers.chance(20) {
                return format!(
                    "{more}{l4} redirect{}",
                    if port.is_empty() {
                        String::new()
                    } else {
                        format!(" to {port}")
                    }
                );
            }
            if !v6 && numbers.chance(10) {
                return format!(
                    "{more}dnat {family}to tcp dport map {{ 80 : {}, 443 : {} }}",
                    OUT4[1], OUT4[2]
                );
            }
            let own = numbers.chance(15);
            let to = target(numbers, own);
            format!("{more}{l4} dnat {family}to {to}")
        }
        Hook::Postrouting => {
            if numbers.chance(60) {
                return format!("{more}masquerade");
            }
            let own = numbers.chance(80);
            let to = target(numbers, own);
            format!("{more}{l4} snat {family}to {to}")
        }
        _ => {
            let to = target(numbers, true);
            format!("{more}{l4} snat {family}to {to}")
        }
    }
}

/// A packet and the interface that it comes in by.
pub fn question(numbers: &mut Numbers) -> Question {
    let v6 = numbers.chance(20);
    let number = match numbers.below(20) {
        0..=7 => proto::TCP,
        8..=14 => proto::UDP,
        15..=18 if v6 => proto::ICMPV6,
        15..=18 => proto::ICMP,
        _ => proto::GRE,
    };
    let (own, out): (&[&str], &[&str]) = if v6 { (&OWN6, &OUT6) } else { (&OWN4, &OUT4) };
    // who sends, and by which interface
    let outside: &[(&str, &str)] = if v6 {
        &[
            ("fd00::2", "eth0"),
            ("2001:db8::7", "eth0"),
            ("fd01::2", "eth1"),
            ("fd02::2", "p1"),
            ("fd02::3", "p2"),
        ]
    } else {
        &[
            ("10.0.0.2", "eth0"),
            ("192.0.2.7", "eth0"),
            ("10.1.0.2", "eth1"),
            ("10.7.0.2", DOTTED),
            ("172.20.0.2", "p1"),
            ("172.20.0.3", "p2"),
        ]
    };
    let local = numbers.chance(20);
    let (src, iif) = if local {
        let of_own = own[numbers.below(own.len())];
        (numbers.chance(60).then_some(of_own), None)
    } else {
        let (src, iif) = outside[numbers.below(outside.len())];
        (Some(src), Some(iif))
    };
    let others: Vec<&str> = out
        .iter()
        .filter(|dst| Some(**dst) != src)
        .copied()
        .collect();
    let dst = if numbers.chance(40) {
        own[numbers.below(own.len() - usize::from(!local))]
    } else {
        others[numbers.below(others.len())]
    };
    // a loopback source goes nowhere else, and no other source goes to loopback
    let (mut src, mut dst) = (src, dst);
    let loop_end = if v6 { "::1" } else { "127.0.0.1" };
    if src == Some(loop_end) || dst == loop_end {
        (src, dst) = (Some(loop_end), loop_end);
    }
    // the kernel fills in the source of a raw IPv4 packet, not of IPv6
    if src.is_none() && v6 && !matches!(number, proto::TCP | proto::UDP) {
        src = Some(own[0]);
    }
    let address = |text: &str| -> IpAddr { text.parse().unwrap_or(IpAddr::from([0, 0, 0, 0])) };
    let number_of = |text: &str| text.parse::<u16>().unwrap_or(1);
    let ports = proto::has_ports(number);
    let flow = Flow {
        proto: number,
        family: if v6 { IpFamily::V6 } else { IpFamily::V4 },
        src: src.map(address),
        // a port for itself, also when it talks to itself
        sport: ports.then(|| numbers.of(&[40000, 33333, if local { 1024 } else { 53 }, 1023])),
        dst: address(dst),
        dport: ports.then(|| number_of(numbers.pick(&PORTS[..7]))),
    };
    let mut question = Question::new(flow);
    question.iif = iif.map(str::to_string);
    match number {
        proto::TCP => {
            let flags = if numbers.chance(6) && !local {
                numbers.of(&[0x10, 0x04, 0x11])
            } else {
                0x02
            };
            question.tcp_flags = Some(flags);
        }
        proto::ICMP => question.icmp = Some((8, 0)),
        proto::ICMPV6 => question.icmp = Some((128, 0)),
        _ => {}
    }
    if local && numbers.chance(20) {
        question.mark = 1;
    }
    question
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_text() {
        for seed in 0..50 {
            let text = ruleset(&mut Numbers::new(seed, 3));
            assert_eq!(text, ruleset(&mut Numbers::new(seed, 3)));
            assert!(text.starts_with("table "));
            let question = |seed| format!("{:?}", question(&mut Numbers::new(seed, 4)));
            assert_eq!(question(seed), question(seed));
        }
    }
}
