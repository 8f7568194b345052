//! What rules do to the host's own ways: its management, its zones, its bridges and what it sends.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::conntrack::Manip;
use crate::explain::explain;
use crate::flow::{Flow, IpFamily as Version};
use crate::host::{IpFamily, LinkKind, Scope};
use crate::packet::{number, proto, range_of};
use crate::ruleset::{
    Expr, Hook, Match, Nat, NatKind, NatRange, Op, Operand, RuleId, Stmt, Target, Verdict,
};
use crate::sets::Set;
use crate::symbolic::{By, End, From, Input as Part};
use crate::walk::step::Path;

use super::conversations::refuses;
use super::docker::is_dport;
use super::order::Refusers;
use super::{Finding, Input, One, Question, Severity, Shows, View, Witness, about, refuser};

pub(super) const ALL: &[(&str, One)] = &[
    ("management-closed", closed),
    ("management-open", open),
    ("interface-in-no-zone", no_zone),
    ("local-traffic-hijacked", hijacked),
    ("hairpin-without-masquerade", hairpin),
    ("bridged-dropped", bridged),
];

fn version(v6: bool) -> IpFamily {
    if v6 { IpFamily::V6 } else { IpFamily::V4 }
}

/// Positions of the links that a default route leaves by.
fn uplinks(input: &Input<'_>, v6: bool) -> Vec<u128> {
    let mut found: Vec<u128> = input
        .given
        .routes
        .iter()
        .filter(|route| route.prefix.prefix_len() == 0 && route.prefix.addr().is_ipv6() == v6)
        .flat_map(|route| &route.nexthops)
        .filter_map(|hop| link_at(input, hop.dev.as_deref()?))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn link_at(input: &Input<'_>, name: &str) -> Option<u128> {
    input.host.link_at(name).map(|at| at as u128)
}

/// Addresses of this host that others send to, and the positions of their links.
fn own(input: &Input<'_>, v6: bool) -> Vec<(u128, u128)> {
    let addresses = input.given.addresses.iter();
    addresses
        .filter(|own| own.ip.is_ipv6() == v6 && own.scope == Scope::GLOBAL && !own.ip.is_loopback())
        .filter_map(|own| Some((link_at(input, &own.dev)?, number(own.ip))))
        .collect()
}

fn ranges(values: impl Iterator<Item = u128>) -> Vec<(u128, u128)> {
    let mut ranges: Vec<(u128, u128)> = values.map(|value| (value, value)).collect();
    ranges.sort_unstable();
    ranges.dedup();
    ranges
}

/// Customary requests to port 22 of these addresses.
fn ssh(view: &mut View, to: &[(u128, u128)]) -> Set {
    let customary = view.customary;
    let tcp = view.space.protos(&[proto::TCP]);
    let port = view.space.packets(Part::Dport, &[(22, 22)]);
    let dst = view.space.packets(Part::Dst, to);
    let set = view.space.sets.and(customary, tcp);
    let set = view.space.sets.and(set, port);
    view.space.sets.and(set, dst)
}

/// Whether input is filtered at all.
fn filters(view: &mut View) -> bool {
    let refused = refuses(view, &[Hook::Input]);
    let customary = view.customary;
    let tcp = view.space.protos(&[proto::TCP]);
    let refused = view.space.sets.and(refused, tcp);
    !view.space.sets.and(refused, customary).is_empty()
}

/// Rules of input that accept port 22 and name it: they do not name port 1.
fn accept_ssh(input: &Input<'_>) -> Vec<RuleId> {
    let ruleset = input.ruleset();
    let has = |right: &Operand, port: u128| match right {
        Operand::Value(value) => *value == port,
        Operand::Range(lo, hi) => (*lo..=*hi).contains(&port),
        Operand::Set(set) => ruleset.set(*set).find(&[port]).is_some(),
        Operand::Expr(_) => false,
    };
    let visits = input
        .views
        .iter()
        .flat_map(|view| view.outside.visits.keys());
    let visited = visits.filter(|(hook, _)| *hook == Hook::Input);
    let mut found: Vec<RuleId> = visited
        .map(|(_, rule)| *rule)
        .filter(|rule| {
            let statements = &ruleset.rule(*rule).statements;
            let names = statements.iter().any(|statement| match &statement.kind {
                Stmt::Match(Match {
                    left: Expr::Field(field),
                    op: Op::Eq,
                    right,
                    ..
                }) => is_dport(field) && has(right, 22) && !has(right, 1),
                _ => false,
            });
            names && input.accepts(*rule)
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// SSH to this host that rules drop, from wherever it comes.
fn closed(input: &mut Input<'_>) -> Vec<Finding> {
    let mut refused: Vec<(usize, Set)> = Vec::new();
    let mut by: Vec<By> = Vec::new();
    let loopback: Vec<u128> = (0u128..)
        .zip(&input.host.links)
        .filter(|(_, link)| link.kind == LinkKind::Loopback)
        .map(|(at, _)| at)
        .collect();
    let loopback = ranges(loopback.into_iter());
    for at in 0..input.views.len() {
        let own = own(input, input.views[at].space.v6);
        let view = &mut input.views[at];
        if own.is_empty() {
            continue;
        }
        let ssh = ssh(view, &ranges(own.iter().map(|(_, address)| *address)));
        let lo = view.space.packets(Part::Iif, &loopback);
        let ssh = view.space.sets.minus(ssh, lo);
        let refusals: Vec<(By, Set)> = view
            .outside
            .exits
            .iter()
            .filter(|exit| matches!(exit.end, End::Dropped | End::Rejected))
            .map(|exit| (exit.by, exit.packets))
            .collect();
        let others = view.outside.ended(&mut view.space, |end| {
            !matches!(end, End::Dropped | End::Rejected | End::Host(_))
        });
        let others = view.usual(others);
        if !view.space.sets.and(others, ssh).is_empty() {
            return Vec::new();
        }
        for (who, packets) in refusals {
            let packets = view.usual(packets);
            let packets = view.space.sets.and(packets, ssh);
            if !packets.is_empty() {
                refused.push((at, packets));
                if !by.contains(&who) {
                    by.push(who);
                }
            }
        }
    }
    let mut refused = refused.into_iter();
    let Some(witness) =
        refused.find_map(|(at, set)| input.witness(at, From::Outside, set, Shows::Stopped))
    else {
        return Vec::new();
    };
    let Refusers {
        mut rules,
        places,
        words,
    } = Refusers::of(input, &by, "");
    let meant = accept_ssh(input);
    let (severity, rests_on) = match meant.is_empty() {
        true => (
            Severity::Note,
            vec!["this host is managed by SSH, at port 22".into()],
        ),
        false => (Severity::Warning, Vec::new()),
    };
    let meant = meant.into_iter();
    rules.extend(meant.map(|rule| input.cite(rule, "would accept it")));
    vec![Finding {
        severity,
        rests_on,
        rules,
        places,
        witness: Some(witness),
        ..Finding::new(
            about::MANAGEMENT_CLOSED,
            format!(
                "no request to port 22 of this host's addresses is let in, from wherever it comes: {} drops it",
                words
            ),
            "whoever manages this host by SSH is locked out as soon as the present connection ends",
            "accept tcp port 22 from where the host is managed",
        )
    }]
}

/// SSH that everyone may ask, from the way to the outside.
fn open(input: &mut Input<'_>) -> Vec<Finding> {
    let mut found: BTreeMap<u128, (Witness, Vec<&'static str>)> = BTreeMap::new();
    for at in 0..input.views.len() {
        let v6 = input.views[at].space.v6;
        let (own, uplinks) = (own(input, v6), uplinks(input, v6));
        for uplink in uplinks {
            let own = own.iter().filter(|(link, _)| *link == uplink);
            let own = ranges(own.map(|(_, address)| *address));
            let view = &mut input.views[at];
            if own.is_empty() || !filters(view) {
                continue;
            }
            let ssh = ssh(view, &own);
            let iif = view.space.packets(Part::Iif, &[(uplink, uplink)]);
            let ssh = view.space.sets.and(ssh, iif);
            let host = view
                .outside
                .ended(&mut view.space, |end| matches!(end, End::Host(_)));
            let host = view.usual(host);
            let local = view
                .outside
                .ended(&mut view.space, |end| *end == End::Local);
            let local = view.usual(local);
            let sent = view.usual(Set::ALL);
            let ssh = view.space.sets.and(ssh, sent);
            let ssh = view.space.sets.minus(ssh, host);
            if ssh.is_empty() || !view.space.sets.is_within(ssh, local) {
                continue;
            }
            let Some(witness) = input.witness(at, From::Outside, ssh, Shows::Passes) else {
                continue;
            };
            let of = if v6 { "IPv6" } else { "IPv4" };
            let known = found.entry(uplink).or_insert((witness, Vec::new()));
            known.1.push(of);
        }
    }
    let mut findings = Vec::new();
    for (uplink, (witness, versions)) in found {
        let name = input.host.links[uplink as usize].name.to_string();
        findings.push(Finding {
            places: vec![name.clone()],
            witness: Some(witness),
            ..Finding::new(
                about::MANAGEMENT_OPEN,
                format!(
                    "port 22 of this host is open to every source by {name}, the way to the outside ({})",
                    versions.join(", ")
                ),
                "everyone who reaches the host may try keys and passwords",
                "accept port 22 only from where the host is managed, or say that it is meant (`nfpath: allow management-open REASON`, --allow)",
            )
        });
    }
    findings
}

/// Interfaces whose packets firewalld gives to the default zone because no zone has them.
fn no_zone(input: &mut Input<'_>) -> Vec<Finding> {
    let mut fallbacks: Vec<(RuleId, String)> = Vec::new();
    for rule in input.ruleset().rule_ids() {
        let statements = &input.ruleset().rule(rule).statements;
        let matches_all = !statements
            .iter()
            .any(|statement| !matches!(statement.kind, Stmt::Verdict(_) | Stmt::NoEffect(_)));
        let target = statements
            .iter()
            .find_map(|statement| match &statement.kind {
                Stmt::Verdict(
                    Verdict::Jump(Target::Chain(id)) | Verdict::Goto(Target::Chain(id)),
                ) => Some(*id),
                _ => None,
            });
        let (true, Some(target)) = (matches_all, target) else {
            continue;
        };
        let dispatch = input.owners.chain(input.ruleset().rule(rule).chain);
        let dispatches = dispatch.is_some_and(|owner| {
            owner.software == "firewalld" && owner.role.starts_with("chooses the zone")
        });
        let zone = input.owners.chain(target);
        let zone = zone.and_then(|owner| Some(owner.role.split(',').next()?.to_string()));
        if let (true, Some(zone)) = (dispatches, zone.filter(|zone| zone.starts_with("zone "))) {
            fallbacks.push((rule, zone));
        }
    }
    let mut found: BTreeMap<(RuleId, u128), Finding> = BTreeMap::new();
    for at in 0..input.views.len() {
        for (rule, zone) in &fallbacks {
            let view = &mut input.views[at];
            let visit = view.outside.visits.get(&(Hook::Input, *rule)).copied();
            let matched = visit.and_then(|visit| visit.matched).unwrap_or_default();
            let matched = view.usual(matched);
            for link in 0..input.host.links.len() {
                let known = &input.host.links[link];
                let name = known.name.clone();
                let addressed = input.given.addresses.iter().any(|own| own.dev == name);
                let given = input.given.link(&name).is_some_and(|link| link.up);
                if known.kind == LinkKind::Loopback || name == "lo" || !addressed || !given {
                    continue;
                }
                let link = link as u128;
                let view = &mut input.views[at];
                let iif = view.space.packets(Part::Iif, &[(link, link)]);
                let own = view.space.sets.and(matched, iif);
                if own.is_empty() || found.contains_key(&(*rule, link)) {
                    continue;
                }
                let Some(witness) = input.witness(at, From::Outside, own, Shows::Rule(*rule))
                else {
                    continue;
                };
                let one = Finding {
                    rules: vec![input.cite(*rule, "")],
                    places: vec![name.to_string()],
                    witness: Some(witness),
                    ..Finding::new(
                        about::INTERFACE_IN_NO_ZONE,
                        format!("{name} is in no zone; its packets fall to {zone}, the default"),
                        "a change of the default zone changes what is open on this interface",
                        &format!(
                            "give the interface a zone: `firewall-cmd --permanent --zone=ZONE --add-interface={name}`"
                        ),
                    )
                };
                found.insert((*rule, link), one);
            }
        }
    }
    found.into_values().collect()
}

/// The one address, and the port, that a rule of dnat gives as destination.
fn target(input: &Input<'_>, rule: RuleId) -> Option<(u128, Option<u128>)> {
    let statements = &input.ruleset().rule(rule).statements;
    statements
        .iter()
        .find_map(|statement| match &statement.kind {
            Stmt::Nat(Nat {
                kind: NatKind::Dnat,
                addr: NatRange::One(Expr::Const(addr)),
                port,
                ..
            }) => match port {
                NatRange::One(Expr::Const(port)) => Some((*addr, Some(*port))),
                NatRange::None => Some((*addr, None)),
                NatRange::One(_) | NatRange::Range(..) | NatRange::InAddress => None,
            },
            _ => None,
        })
}

/// What rules translate to another destination, as it is customary.
fn translated(view: &mut View, from: From) -> BTreeMap<RuleId, Set> {
    let customary = view.customary;
    let many = view.ways(from).0.to_many;
    let mut found = BTreeMap::new();
    for (rule, packets) in view.bound(Manip::Dst, from) {
        let packets = view.space.sets.and(packets, customary);
        let packets = view.space.sets.minus(packets, many);
        found.insert(rule, packets);
    }
    found
}

/// Published ports whose rules take packets to every address outside as well, when they come from inside.
fn hijacked(input: &mut Input<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for at in 0..input.views.len() {
        let v6 = input.views[at].space.v6;
        let uplinks = ranges(uplinks(input, v6).into_iter());
        let own = ranges(own(input, v6).into_iter().map(|(_, address)| address));
        if uplinks.is_empty() || own.is_empty() {
            continue;
        }
        let mut near: Vec<(u128, u128)> = input
            .given
            .routes
            .iter()
            .filter(|route| route.prefix.prefix_len() > 0 && route.prefix.addr().is_ipv6() == v6)
            .map(|route| range_of(route.prefix))
            .collect();
        let mut inside: Vec<(u128, (u128, u128))> = Vec::new();
        for address in &input.given.addresses {
            let (Some(link), Some(net)) = (link_at(input, &address.dev), address.subnet()) else {
                continue;
            };
            if address.ip.is_ipv6() == v6 && !address.ip.is_loopback() {
                near.push(range_of(net));
                inside.push((link, range_of(net)));
            }
        }
        near.sort_unstable();
        let view = &mut input.views[at];
        let by_uplink = view.space.packets(Part::Iif, &uplinks);
        let to_own = view.space.packets(Part::Dst, &own);
        let to_near = view.space.packets(Part::Dst, &near);
        let customary = view.customary;
        let far = view.space.sets.minus(customary, to_near);
        let far = view.with_part(far, Part::Dst);
        let outside = translated(view, From::Outside);
        let here = translated(view, From::Here);
        let mut from_inside = Vec::new();
        for (link, net) in inside {
            let iif = view.space.packets(Part::Iif, &[(link, link)]);
            let src = view.space.packets(Part::Src, &[net]);
            from_inside.push(view.space.sets.and(iif, src));
        }
        let from_inside = view.space.sets.union(&from_inside);
        let from_inside = view.space.sets.minus(from_inside, by_uplink);
        let mut published = Vec::new();
        for (rule, set) in &outside {
            let set = view.space.sets.and(*set, by_uplink);
            if !view.space.sets.and(set, to_own).is_empty() {
                published.push(*rule);
            }
        }
        let published: Vec<(u128, Option<u128>)> = published
            .into_iter()
            .filter_map(|rule| target(input, rule))
            .collect();
        let all = outside
            .iter()
            .map(|(rule, set)| (From::Outside, *rule, *set));
        let all: Vec<(From, RuleId, Set)> = all
            .chain(here.iter().map(|(rule, set)| (From::Here, *rule, *set)))
            .collect();
        for (from, rule, set) in all {
            let Some(to) = target(input, rule) else {
                continue;
            };
            if !published.contains(&to) {
                continue;
            }
            let view = &mut input.views[at];
            let set = match from {
                From::Outside => view.space.sets.and(set, from_inside),
                From::Here => set,
            };
            let set = view.space.sets.and(set, far);
            let reaches = view.with_part(set, Part::Dst);
            if set.is_empty() || !view.space.sets.is_within(far, reaches) {
                continue;
            }
            let Some(witness) = input.witness(at, from, set, Shows::Rule(rule)) else {
                continue;
            };
            // the interface that they come by may be a second way to the outside
            let family = if v6 { IpFamily::V6 } else { IpFamily::V4 };
            let by = witness.question.iif.as_ref();
            let by = by.filter(|_| !input.given.complete.routes(family));
            let rests_on: Vec<String> = by
                .map(|iif| format!("{iif} is no way to the outside (give all routes: `--routes FILE`, or a snapshot)"))
                .into_iter()
                .collect();
            let severity = match rests_on.is_empty() {
                true => about::LOCAL_TRAFFIC_HIJACKED.severity,
                false => Severity::Note,
            };
            let who = match from {
                From::Outside => "inside this host's networks",
                From::Here => "this host itself",
            };
            found.push(Finding {
                rules: vec![input.cite(rule, "")],
                severity,
                rests_on,
                witness: Some(witness),
                ..Finding::new(
                    about::LOCAL_TRAFFIC_HIJACKED,
                    format!("the port is published, but requests from {who} to this port of any address elsewhere are translated, too"),
                    "whoever asks another server for this port gets this one",
                    "ask for the destination: `fib daddr type local` (`-m addrtype --dst-type LOCAL`), or the published address",
                )
            });
        }
    }
    found
}

/// Translated ports that a neighbour of the server asks for: the answer goes past this host, from an address that nobody
/// asked.
fn hairpin(input: &mut Input<'_>) -> Vec<Finding> {
    let mut found: BTreeMap<(u16, bool), Finding> = BTreeMap::new();
    for at in 0..input.views.len() {
        let v6 = input.views[at].space.v6;
        let view = &mut input.views[at];
        let outside = translated(view, From::Outside);
        let sources = view.bound(Manip::Src, From::Outside);
        let sources: Vec<Set> = sources.into_values().collect();
        let sources = view.space.sets.union(&sources);
        let exits = view.forwarded();
        for (rule, packets) in outside {
            let Some((server, _)) = target(input, rule) else {
                continue;
            };
            for (oif, gone) in &exits {
                let Some(link) = input.host.links.get(usize::from(*oif)) else {
                    continue;
                };
                let name = link.name.clone();
                // frames that a bridge hands to conntrack come back translated
                let straight = link.kind != LinkKind::Bridge
                    || input.given.bridge_nf_call_on(version(v6), &name) == Some(false);
                let nets: Vec<(u128, u128)> = input
                    .given
                    .addresses
                    .iter()
                    .filter(|own| own.dev == name && own.ip.is_ipv6() == v6)
                    .filter_map(|own| own.subnet().map(range_of))
                    .filter(|(lo, hi)| (*lo..=*hi).contains(&server))
                    .collect();
                if !straight || nets.is_empty() {
                    continue;
                }
                let own = ranges(own(input, v6).into_iter().map(|(_, address)| address));
                let view = &mut input.views[at];
                let oif_at = u128::from(*oif);
                let mut set = *gone;
                let clients = view.space.packets(Part::Src, &nets);
                let own = view.space.packets(Part::Src, &own);
                let clients = view.space.sets.minus(clients, own);
                for part in [
                    packets,
                    clients,
                    view.space.packets(Part::Iif, &[(oif_at, oif_at)]),
                    sources.not(),
                ] {
                    set = view.space.sets.and(set, part);
                }
                if set.is_empty() {
                    continue;
                }
                let Some(witness) = input.witness(at, From::Outside, set, Shows::Lets(rule)) else {
                    continue;
                };
                let cited = input.cite(rule, "");
                if let Some(known) = found.get_mut(&(*oif, v6)) {
                    known.rules.push(cited);
                    continue;
                }
                let one = Finding {
                    rules: vec![cited],
                    places: vec![name.to_string()],
                    witness: Some(witness),
                    ..Finding::new(
                        about::HAIRPIN_WITHOUT_MASQUERADE,
                        format!(
                            "a request from a neighbour of the server that it is translated to goes back out of {name} with the neighbour's own address; the server answers past this host"
                        ),
                        "the client asked this host and hears another address: it refuses the answer",
                        "masquerade what is translated and leaves by the interface that it came in by, or let neighbours ask the server itself",
                    )
                };
                found.insert((*oif, v6), one);
            }
        }
    }
    found.into_values().collect()
}

/// Who refused a packet in a chain of forward.
fn refused_in_forward(input: &Input<'_>, path: &Path) -> Option<By> {
    let by = refuser(path)?;
    let in_forward = match by {
        By::Policy(chain) => {
            let base = input.ruleset().chain(chain).base.as_ref();
            base.is_some_and(|base| base.hook == Hook::Forward)
        }
        By::Rule(_) | By::Stack => true,
    };
    in_forward.then_some(by)
}

/// Two stations behind different ports of a bridge.
fn stations(input: &Input<'_>, bridge: &str, v6: bool) -> Option<(IpAddr, IpAddr)> {
    let host = input.given;
    let known: Vec<(IpAddr, &str)> = host
        .neighbours
        .iter()
        .filter(|one| one.dev == bridge && one.ip.is_ipv6() == v6 && one.mac.is_some())
        .filter(|one| match one.ip {
            IpAddr::V6(ip) => !ip.is_unicast_link_local() && !ip.is_multicast(),
            IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_multicast() && !ip.is_broadcast(),
        })
        .filter_map(|one| Some((one.ip, host.port_towards(bridge, Some(one.ip), None)?)))
        .collect();
    let (first, port) = known.first()?;
    let (second, _) = known.iter().find(|(_, other)| other != port)?;
    Some((*first, *second))
}

/// Frames between two ports of a bridge that chains of IP drop, because br_netfilter shows them to these.
fn bridged(input: &mut Input<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let bridges: Vec<String> = input
        .given
        .links
        .iter()
        .filter(|link| link.kind == LinkKind::Bridge && link.up)
        .map(|link| link.name.to_string())
        .collect();
    for bridge in bridges {
        for v6 in [false, true] {
            if input.given.bridge_nf_call_on(version(v6), &bridge) != Some(true) {
                continue;
            }
            let Some((src, dst)) = stations(input, &bridge, v6) else {
                continue;
            };
            let ask = |proto: u8, dport: Option<u16>| Question {
                iif: Some(bridge.clone()),
                ..Question::new(Flow {
                    proto,
                    family: if v6 { Version::V6 } else { Version::V4 },
                    src: Some(src),
                    sport: dport.map(|_| 40000),
                    dst,
                    dport,
                })
            };
            let ping = if v6 { proto::ICMPV6 } else { proto::ICMP };
            let kind = if v6 { 128 } else { 8 };
            let questions = [
                ask(proto::TCP, Some(80)),
                ask(proto::UDP, Some(53)),
                Question {
                    icmp: Some((kind, 0)),
                    ..ask(ping, None)
                },
            ];
            let mut by: Vec<By> = Vec::new();
            for question in &questions {
                let answer = explain(input.loaded, input.hooks, input.given, question);
                let refused = answer
                    .ok()
                    .and_then(|answer| refused_in_forward(input, &answer.explored.primary.request));
                by.extend(refused);
            }
            // whoever lets one of them through has thought of bridged frames
            let all = by.len() == questions.len();
            by.sort_unstable();
            by.dedup();
            let [who] = by.as_slice() else { continue };
            let (mut rules, mut places) = (Vec::new(), vec![bridge.clone()]);
            match who {
                By::Rule(rule) if input.owners.rule(*rule).is_none() => {
                    rules.push(input.cite(*rule, ""));
                }
                By::Policy(chain) => {
                    places.push(format!("policy of {}", input.chain_words(*chain)))
                }
                By::Rule(_) | By::Stack => continue,
            }
            if !all {
                continue;
            }
            let [question, ..] = questions;
            let (key, of) = match v6 {
                true => ("net.bridge.bridge-nf-call-ip6tables", "IPv6"),
                false => ("net.bridge.bridge-nf-call-iptables", "IPv4"),
            };
            found.push(Finding {
                rules,
                places,
                witness: Some(Witness {
                    question,
                    shows: Shows::Stopped,
                }),
                ..Finding::new(
                    about::BRIDGED_DROPPED,
                    format!("{key} is on, and what passes from one port of {bridge} to another is dropped in forward ({of})"),
                    "machines on one bridge do not reach each other, although nothing is routed",
                    &format!(
                        "accept what stays on the bridge (`iifname \"{bridge}\" oifname \"{bridge}\" accept`), or switch the sysctl off if no program needs it"
                    ),
                )
            });
        }
    }
    found
}
