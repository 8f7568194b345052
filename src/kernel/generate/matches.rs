//! Matches that real rulesets are full of.

use crate::ruleset::{Family, Hook};

use super::Place;
use super::host::{LINKS, NETS4, NETS6, OUT4, OUT6, OWN4, OWN6, PORT_RANGES, PORTS};
use super::numbers::{Numbers, braces, not, quoted};

pub(super) fn a_match(numbers: &mut Numbers, place: &Place) -> String {
    let bridge = !place.in_stack();
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
        // in other tables nft leaves it out of the listing behind a match on ip
        10 if place.family == Family::Bridge => {
            format!("ether type {}", if place.v6 { "ip6" } else { "ip" })
        }
        10 if bridge => {
            format!("meta protocol {}", if place.v6 { "ip6" } else { "ip" })
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
        14 if numbers.chance(50) && place.has_ports() => format!(
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
        19 if place.has_ports() => match place.v6 {
            false => format!(
                "ip saddr . {} dport {{ {} . 80, {} . 443 }}",
                place.l4, OUT4[0], OUT4[1]
            ),
            true => format!(
                "ip6 daddr . {} dport {{ fd01::2 . 5000, fd02::2 . 53 }}",
                place.l4
            ),
        },
        20 if place.has_ports() && place.v6 == (place.family == Family::Ip6) => {
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
    if !place.has_ports() {
        if !place.l4.starts_with("icmp") {
            return format!("meta l4proto {}{}", not(numbers), place.l4);
        }
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

pub(super) fn fib(numbers: &mut Numbers, place: &Place) -> String {
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
