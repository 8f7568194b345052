//! What Docker and firewalld make of each other's rules, and of the administrator's.

use std::collections::BTreeMap;

use crate::conntrack::Manip;
use crate::host::LinkKind;
use crate::logic::Ranges;
use crate::owner::is_known_bridge;
use crate::packet::proto;
use crate::reach::class::{numbers, values};
use crate::report::build::protocol_name;
use crate::ruleset::datatype::ifname_text;
use crate::ruleset::protocol::Base;
use crate::ruleset::{
    CtKey, Expr, Field, Hook, Match, MetaKey, Nat, NatRange, Op, Operand, RuleId, Stmt,
};
use crate::sets::Set;
use crate::symbolic::{From, Input as Part};

use super::{Finding, Input, One, Shows, View, about};

pub(super) const ALL: &[(&str, One)] = &[
    ("published-past-zone", |input| in_each(input, past_zone)),
    (
        "docker-user-published-port, input-rule-for-container",
        |input| in_each(input, wrong_port),
    ),
    ("hidden-client", |input| in_each(input, hidden_client)),
    ("loopback-port-exposed", |input| {
        in_each(input, loopback_port)
    }),
];

fn in_each(
    input: &mut Input<'_>,
    one: impl Fn(&mut Input<'_>, usize) -> Vec<Finding>,
) -> Vec<Finding> {
    (0..input.views.len())
        .flat_map(|at| one(input, at))
        .collect()
}

/// The number that a rule asks a field to be.
fn asks(input: &Input<'_>, rule: RuleId, wanted: impl Fn(&Field) -> bool) -> Option<(u128, u128)> {
    let statements = &input.ruleset().rule(rule).statements;
    statements
        .iter()
        .find_map(|statement| match &statement.kind {
            Stmt::Match(Match {
                left: Expr::Field(field),
                op: Op::Eq,
                right,
                ..
            }) if wanted(field) => match right {
                Operand::Value(value) => Some((*value, *value)),
                Operand::Range(lo, hi) => Some((*lo, *hi)),
                Operand::Set(_) | Operand::Expr(_) => None,
            },
            _ => None,
        })
}

/// The destination port.
pub(super) fn is_dport(field: &Field) -> bool {
    matches!(
        field,
        Field::Payload {
            base: Base::Th,
            offset: 16,
            len: 16
        }
    )
}

fn l4proto(input: &Input<'_>, rule: RuleId) -> Option<u8> {
    let found = asks(input, rule, |field| {
        matches!(
            field,
            Field::Meta(MetaKey::L4proto)
                | Field::Payload {
                    base: Base::Nh,
                    offset: 72,
                    len: 8
                }
        )
    });
    found.map(|(value, _)| value as u8)
}

/// What came from outside, was translated by a rule and forwarded, by rule.
fn published(view: &mut View) -> Vec<(RuleId, Set)> {
    let across = view.across();
    let mut found = Vec::new();
    for (rule, all) in view.bound(Manip::Dst, From::Outside) {
        let all = view.space.sets.and(all, across);
        if !all.is_empty() {
            found.push((rule, all));
        }
    }
    found
}

/// The ports that packets of a protocol are first sent to.
fn ports(view: &mut View, set: Set, number: u8) -> Ranges {
    let of = view.space.protos(&[number]);
    let set = view.space.sets.and(set, of);
    values(&mut view.space, set, Part::Dport)
}

fn port_words(view: &mut View, set: Set) -> String {
    let mut words = Vec::new();
    for number in [proto::TCP, proto::UDP, proto::SCTP] {
        let ranges = ports(view, set, number);
        let text = match numbers(&ranges, 16) {
            _ if ranges.is_empty() => continue,
            Some(text) => text,
            None => "all ports".into(),
        };
        words.push(format!("{} {text}", protocol_name(number)));
    }
    words.join("; ")
}

/// Whether an expression is `ct status`, or bits of it.
fn asks_status(expr: &Expr) -> bool {
    match expr {
        Expr::Field(Field::Ct { key, .. }) => *key == CtKey::Status,
        Expr::Bitwise { of, .. } => asks_status(of),
        _ => false,
    }
}

/// firewalld's `ct status dnat accept`: every published port passes, in whatever zone.
fn past_zone(input: &mut Input<'_>, at: usize) -> Vec<Finding> {
    let published = published(&mut input.views[at]);
    let mut found = Vec::new();
    for rule in input.ruleset().rule_ids() {
        let statements = &input.ruleset().rule(rule).statements;
        let by_status = statements.iter().any(|statement| match &statement.kind {
            Stmt::Match(test) => asks_status(&test.left),
            _ => false,
        });
        let firewalld = input
            .owners
            .rule(rule)
            .is_some_and(|owner| owner.software == "firewalld");
        if !by_status || !input.accepts(rule) || !firewalld {
            continue;
        }
        let view = &mut input.views[at];
        let (_, matched) = view.outside.visit(&mut view.space, rule);
        let matched = view.usual(matched);
        let mut all = Vec::new();
        let mut by = Vec::new();
        for (dnat, set) in &published {
            // a port forwarding of a zone is what the zone says
            let other = input.owners.rule(*dnat);
            if other.is_some_and(|owner| owner.software == "firewalld") {
                continue;
            }
            let own = view.space.sets.and(*set, matched);
            if !own.is_empty() {
                all.push(own);
                by.push(*dnat);
            }
        }
        let all = view.space.sets.union(&all);
        if all.is_empty() {
            continue;
        }
        let words = port_words(view, all);
        let witness = input.witness(at, From::Outside, all, Shows::Rule(rule));
        let mut rules = vec![input.cite(rule, "")];
        rules.extend(by.iter().map(|dnat| input.cite(*dnat, "translates")));
        found.push(Finding {
            rules,
            witness,
            ..Finding::new(
                about::PUBLISHED_PAST_ZONE,
                format!("firewalld accepts these published ports without asking any zone: {words}"),
                "the services and ports of a zone say nothing about ports that Docker publishes",
                "publish on one address only (`-p ADDR:PORT:PORT`), filter in DOCKER-USER, or set StrictForwardPorts=yes in firewalld.conf",
            )
        });
    }
    found
}

/// Rules that name a published port where packets do not come by, or no longer have it.
fn wrong_port(input: &mut Input<'_>, at: usize) -> Vec<Finding> {
    let published = published(&mut input.views[at]);
    let mut found = Vec::new();
    let visits: Vec<(Hook, RuleId)> = input.views[at].outside.visits.keys().copied().collect();
    for (hook, rule) in visits {
        if !matches!(hook, Hook::Forward | Hook::Input) || !input.drops(rule) {
            continue;
        }
        if input
            .owners
            .rule(rule)
            .is_some_and(|owner| owner.software == "Docker")
            && input
                .owners
                .chain(input.ruleset().rule(rule).chain)
                .is_some_and(|_| {
                    let chain = &input.ruleset().chain(input.ruleset().rule(rule).chain).name;
                    chain != "DOCKER-USER"
                })
        {
            continue;
        }
        let (Some((lo, hi)), Some(number)) = (asks(input, rule, is_dport), l4proto(input, rule))
        else {
            continue;
        };
        let view = &mut input.views[at];
        let named = view.space.packets(Part::Dport, &[(lo, hi)]);
        let of = view.space.protos(&[number]);
        let named = view.space.sets.and(named, of);
        let visit = view.outside.visits.get(&(hook, rule)).copied();
        let matched = visit.and_then(|visit| visit.matched).unwrap_or_default();
        let matched = view.usual(matched);
        let mut meant = Vec::new();
        let mut by = Vec::new();
        for (dnat, set) in &published {
            let own = view.space.sets.and(*set, named);
            if !own.is_empty() {
                meant.push(own);
                by.push(*dnat);
            }
        }
        let meant = view.space.sets.union(&meant);
        let hit = match hook {
            // what it drops otherwise is what it is for
            Hook::Forward => matched,
            // whoever comes by another interface is not translated, and may well be what the rule is for
            _ => {
                let from = view.with_part(meant, Part::Iif);
                let customary = view.customary;
                let many = view.outside.to_many;
                let from = view.space.sets.and(from, customary);
                let from = view.space.sets.minus(from, many);
                let hit = view.space.sets.and(matched, named);
                view.space.sets.and(hit, from)
            }
        };
        if meant.is_empty() || !hit.is_empty() && hook == Hook::Input {
            continue;
        }
        let published_hit: Vec<Set> = published.iter().map(|(_, set)| *set).collect();
        let published_hit = view.space.sets.union(&published_hit);
        if !view.space.sets.and(hit, published_hit).is_empty() {
            continue;
        }
        let witness = input.witness(at, From::Outside, meant, Shows::Passes);
        let Some(witness) = witness else { continue };
        let port = match lo == hi {
            true => lo.to_string(),
            false => format!("{lo}-{hi}"),
        };
        let (about, what, why, remedy) = match hook {
            Hook::Forward => (
                about::DOCKER_USER_PUBLISHED_PORT,
                "the port of this rule is the published one; packets to it have the container's address and port when they get here",
                "dnat runs in prerouting, before every chain of forward; the rule does not drop what it is for",
                format!(
                    "ask for `ct original proto-dst {port}` (`-m conntrack --ctorigdstport {}`), or for the container's port",
                    port.replace('-', ":")
                ),
            ),
            _ => (
                about::INPUT_RULE_FOR_CONTAINER,
                "the port of this rule is published: packets to it are forwarded to the container and never come to input",
                "dnat runs before routing; chains of input see only what is for this host itself",
                format!("put the rule into DOCKER-USER, with `ct original proto-dst {port}`"),
            ),
        };
        let mut rules = vec![input.cite(rule, "")];
        rules.extend(by.iter().map(|dnat| input.cite(*dnat, "translates")));
        found.push(Finding {
            rules,
            witness: Some(witness),
            ..Finding::new(about, what, why, &remedy)
        });
    }
    found
}

/// Published ports whose packets get another source on their way to the container.
fn hidden_client(input: &mut Input<'_>, at: usize) -> Vec<Finding> {
    let published = published(&mut input.views[at]);
    let mut found = Vec::new();
    let sources = input.views[at].bound(Manip::Src, From::Outside);
    let bridges: Vec<u128> = (0u128..)
        .zip(&input.host.links)
        .filter(|(_, link)| link.kind == LinkKind::Bridge)
        .map(|(at, _)| at)
        .collect();
    let links = input.host.links.len();
    let view = &mut input.views[at];
    let mut clients = view.honest(links);
    for at in bridges {
        let bridge = view.space.packets(Part::Iif, &[(at, at)]);
        clients = view.space.sets.minus(clients, bridge);
    }
    for (rule, own) in sources {
        let view = &mut input.views[at];
        let own = view.space.sets.and(own, clients);
        let (mut all, mut by) = (Vec::new(), Vec::new());
        for (dnat, set) in &published {
            let both = view.space.sets.and(*set, own);
            if !both.is_empty() {
                all.push(both);
                by.push(*dnat);
            }
        }
        let all = view.space.sets.union(&all);
        if all.is_empty() {
            continue;
        }
        let words = port_words(view, all);
        let Some(witness) = input.witness(at, From::Outside, all, Shows::Rule(rule)) else {
            continue;
        };
        let mut rules = vec![input.cite(rule, "")];
        rules.extend(
            by.iter()
                .map(|dnat| input.cite(*dnat, "translates the destination")),
        );
        found.push(Finding {
            rules,
            witness: Some(witness),
            ..Finding::new(
                about::HIDDEN_CLIENT,
                format!("packets to published ports leave with another source: {words}"),
                "logs, allow lists and rate limits of the container see an address of this host in place of the client's",
                "translate sources only on the way out (`oifname` of the uplink), not towards the container's bridge",
            )
        });
    }
    found
}

/// Ports that Docker publishes on 127.0.0.1 alone, and whose containers a neighbour reaches by their own address.
fn loopback_port(input: &mut Input<'_>, at: usize) -> Vec<Finding> {
    if input.views[at].space.v6 {
        return Vec::new();
    }
    let mut found = Vec::new();
    for rule in input.ruleset().rule_ids() {
        let daddr = asks(input, rule, |field| {
            matches!(
                field,
                Field::Payload {
                    base: Base::Nh,
                    offset: 128,
                    len: 32
                }
            )
        });
        let target = input
            .ruleset()
            .rule(rule)
            .statements
            .iter()
            .find_map(|statement| match &statement.kind {
                Stmt::Nat(Nat {
                    addr: NatRange::One(Expr::Const(addr)),
                    port: NatRange::One(Expr::Const(port)),
                    ..
                }) => Some((*addr, *port)),
                _ => None,
            });
        let (Some((lo, hi)), Some((addr, port)), Some(of)) = (daddr, target, l4proto(input, rule))
        else {
            continue;
        };
        if lo >> 24 != 127 || hi >> 24 != 127 {
            continue;
        }
        let view = &mut input.views[at];
        let mut set = view.across();
        for part in [
            view.space.packets(Part::Dst, &[(addr, addr)]),
            view.space.packets(Part::Dport, &[(port, port)]),
            view.space.protos(&[of]),
        ] {
            set = view.space.sets.and(set, part);
        }
        if set.is_empty() {
            continue;
        }
        let Some(witness) = input.witness(at, From::Outside, set, Shows::Passes) else {
            continue;
        };
        found.push(Finding {
            rules: vec![input.cite(rule, "")],
            witness: Some(witness),
            ..Finding::new(
                about::LOOPBACK_PORT_EXPOSED,
                "the port is published on 127.0.0.1, but a neighbour that routes to the container's address by this host gets through",
                "the bind address limits the translation, not what is forwarded to the container",
                "update Docker (28 drops such packets in the raw table), or drop packets to the container's network that do not come by its bridge, in DOCKER-USER",
            )
        });
    }
    found
}

/// Rules of Docker or firewalld for bridges that are gone.
pub(super) fn leftovers(input: &Input<'_>) -> Vec<Finding> {
    if !input.given.complete.links {
        return Vec::new();
    }
    let mut gone: BTreeMap<String, Vec<RuleId>> = BTreeMap::new();
    for rule in input.ruleset().rule_ids() {
        let owner = input.owners.rule(rule);
        if !owner.is_some_and(|owner| matches!(owner.software, "Docker" | "firewalld")) {
            continue;
        }
        let name = asks(input, rule, |field| {
            matches!(field, Field::Meta(MetaKey::Iifname | MetaKey::Oifname))
        });
        let Some((lo, hi)) = name else { continue };
        let name = ifname_text(lo);
        if lo == hi && is_known_bridge(&name) && input.given.link(&name).is_none() {
            gone.entry(name.to_string()).or_default().push(rule);
        }
    }
    let found = gone.into_iter().map(|(name, rules)| Finding {
        rules: rules.iter().map(|rule| input.cite(*rule, "")).collect(),
        places: vec![name.clone()],
        ..Finding::new(
            about::LEFTOVERS,
            format!("there are rules for {name}, and there is no such bridge"),
            "they are left from a network or a Docker that is gone; whoever gets a bridge of this name gets its rules",
            "restart Docker or reload firewalld, which write their rules anew, or delete what is left",
        )
    });
    found.collect()
}
