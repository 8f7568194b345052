//! Rulesets and flows made up from a seed, leaning to what real rulesets contain.
//!
//! The same seed gives the same text. Values come from small pools, so that rules and packets meet; every statement is
//! put only where nft and the kernel take it. Its module `rare` has what real rulesets seldom have, so that every kind is
//! reached; [`super::coverage`] counts it.

mod host;
mod matches;
mod nat;
mod numbers;
mod packets;
mod rare;
mod sets;
mod statements;

use std::fmt::Write;

use crate::ruleset::{Family, Hook};

use host::LINKS;
use matches::a_match;
use nat::nat_rule;
use numbers::not;
use statements::{effect, verdict};

pub use host::{CONTAINERS, NEIGHBOURS, Topology, topology};
pub use numbers::Numbers;
pub use packets::question;

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

impl Place {
    /// A chain of the IP stack, not of a bridge or device.
    fn in_stack(&self) -> bool {
        matches!(self.family, Family::Ip | Family::Ip6 | Family::Inet) && self.hook != Hook::Ingress
    }

    /// The rule is about a protocol with ports.
    fn has_ports(&self) -> bool {
        matches!(self.l4, "tcp" | "udp" | "sctp" | "udplite")
    }
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
            Family::Ip6,
            Family::Bridge,
            Family::Netdev,
        ]);
        table(&mut text, numbers, family, at);
    }
    text
}

fn table(text: &mut String, numbers: &mut Numbers, family: Family, at: usize) {
    let _ = writeln!(text, "table {family} t{at} {{");
    if numbers.chance(2) {
        text.push_str("  flags dormant;\n");
    }
    sets::sets(text, numbers, family);
    let mut bodies = String::new();
    for number in 0..1 + numbers.below(4) {
        base_chain(&mut bodies, numbers, family, number);
    }
    sets::objects(text, numbers, family == Family::Ip6, &bodies);
    text.push_str(&bodies);
    text.push_str("}\n");
}

fn base_chain(text: &mut String, numbers: &mut Numbers, family: Family, number: usize) {
    let nat = matches!(family, Family::Ip | Family::Ip6 | Family::Inet) && numbers.chance(30);
    let hook = if family == Family::Netdev {
        numbers.of(&[Hook::Ingress, Hook::Ingress, Hook::Egress])
    } else if family == Family::Inet && numbers.chance(8) {
        Hook::Ingress
    } else if nat {
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
    let nat = nat && hook != Hook::Ingress;
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
    let devices = match hook {
        Hook::Ingress | Hook::Egress => match numbers.below(3) {
            0 => " devices = { \"eth0\", \"p1\" }".to_string(),
            _ => format!(" device \"{}\"", numbers.pick(&LINKS)),
        },
        _ => String::new(),
    };
    let _ = writeln!(
        text,
        "  chain {name} {{\n    type {kind} hook {}{devices} priority {priority}; policy {policy};",
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
        && matches!(family, Family::Ip | Family::Ip6 | Family::Inet)
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
        l4: match numbers.below(40) {
            0 => "sctp",
            1 => "udplite",
            2 => numbers.pick(&["esp", "ah"]),
            3..=8 => numbers.pick(&[if v6 { "icmpv6" } else { "icmp" }]),
            9..=24 => "tcp",
            _ => "udp",
        },
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
    if numbers.chance(6) {
        return rare::alone(numbers, place);
    }
    if place.nat && numbers.chance(55) {
        return match numbers.chance(30) {
            true => rare::nat(numbers, place),
            false => nat_rule(numbers, place),
        };
    }
    for _ in 0..numbers.of(&[0, 1, 1, 1, 2, 2, 3]) {
        words.push(if numbers.chance(30) {
            rare::a_match(numbers, place)
        } else {
            a_match(numbers, place)
        });
    }
    if numbers.chance(30) {
        words.push("counter".into());
    }
    if numbers.chance(15) {
        words.push(effect(numbers, place));
    }
    if numbers.chance(20) {
        words.push(rare::effect(numbers, place));
    }
    words.push(if numbers.chance(10) {
        rare::end(numbers, place)
    } else {
        verdict(numbers, place)
    });
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
