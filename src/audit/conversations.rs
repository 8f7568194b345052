//! What becomes of whole conversations: answers that are dropped, and what is not filtered at all.

use crate::conntrack::Manip;
use crate::explain::explain;
use crate::host::IpFamily;
use crate::packet::proto;
use crate::ruleset::{Hook, RuleId};
use crate::sets::Set;
use crate::symbolic::{By, Decided, End, From, Input as Part, Space};
use crate::walk::step::Taken;

use super::tracking::{self, Lost, matched, untracks};
use super::{Cited, Finding, Input, One, Question, Severity, Shows, View, about};

pub(super) const ALL: &[(&str, One)] = &[
    (
        "no-way-back, notrack-one-way, reply-dropped, zone-breaks-reply",
        answers,
    ),
    ("forward-open", forward),
    ("ipv6-open", ipv6),
];

/// `net.ipv4.ip_local_port_range` by default.
const EPHEMERAL: [(u128, u128); 1] = [(32768, 60999)];

/// Conversations as programs hold them: TCP and UDP between unicast addresses, from an unprivileged port, and pings.
pub(super) fn customary(space: &mut Space) -> Set {
    let v6 = space.v6;
    let ports = space.protos(&[proto::TCP, proto::UDP]);
    let high = space.packets(Part::Sport, &EPHEMERAL);
    let low = space.packets(Part::Dport, &[(1, 65535)]);
    let with_ports = space.sets.and(ports, high);
    let with_ports = space.sets.and(with_ports, low);
    let icmp = space.protos(&[if v6 { proto::ICMPV6 } else { proto::ICMP }]);
    let kind = if v6 { 128u128 << 8 } else { 8 << 8 };
    let echo = space.packets(Part::Sport, &[(kind, kind)]);
    let echo = space.sets.and(icmp, echo);
    let asks = space.sets.or(with_ports, echo);
    let unicast: (u128, u128) = match v6 {
        true => (0x2000 << 112, 0xfdff << 112 | ((1 << 112) - 1)),
        false => (0x0100_0000, 0xdfff_ffff),
    };
    let dst = space.packets(Part::Dst, &[unicast]);
    space.sets.and(asks, dst)
}

/// Those of which every one from another customary source port is there, too: a rule about a high port that happens to be
/// a client's is not about answers.
fn any_port(view: &mut View, packets: Set) -> Set {
    let space = &mut view.space;
    let ports = space.with_ports();
    let high = space.packets(Part::Sport, &EPHEMERAL);
    let missing = space.sets.minus(high, packets);
    let vars = space.vars(Part::Sport).to_vec();
    let cube = space.sets.cube(&vars);
    let missing = space.sets.exists(missing, cube);
    let every = space.sets.minus(packets, missing);
    let others = space.sets.minus(packets, ports);
    let every = space.sets.and(every, ports);
    space.sets.or(every, others)
}

/// Answers that a rule or a policy drops, though what they answer was let through.
fn answers(input: &mut Input<'_>) -> Vec<Finding> {
    let mut lost = Lost::new();
    for at in 0..input.views.len() {
        let view = &mut input.views[at];
        let customary = view.customary;
        let many = view.space.sets.or(view.outside.to_many, view.here.to_many);
        let exits: Vec<(From, By, Set)> =
            [(From::Outside, &view.back), (From::Here, &view.here_back)]
                .into_iter()
                .flat_map(|(from, ways)| {
                    let lost = ways
                        .exits
                        .iter()
                        .filter(|exit| matches!(exit.end, End::Dropped | End::Rejected));
                    lost.map(move |exit| (from, exit.by, exit.packets))
                })
                .collect();
        for (from, by, packets) in exits {
            let packets = view.usual(packets);
            let packets = view.space.sets.and(packets, customary);
            let packets = view.space.sets.minus(packets, many);
            let packets = any_port(view, packets);
            if !packets.is_empty() {
                lost.entry(by).or_default().push((at, from, packets));
            }
        }
    }
    let mut found = tracking::findings(input, &mut lost);
    for (by, parts) in lost {
        let witness = parts.iter().find_map(|(at, from, set)| {
            let links = input.host.links.len();
            let view = &mut input.views[*at];
            let set = match from {
                From::Outside => {
                    let honest = view.honest(links);
                    view.space.sets.and(*set, honest)
                }
                From::Here => *set,
            };
            input.witness(*at, *from, set, Shows::ReplyRefused(by))
        });
        // a set that no flow of explain confirms rests on what is open
        let Some(witness) = witness else { continue };
        let untracked = untracking(input, &witness.question);
        let (about, rules, places, what) = match by {
            By::Policy(chain) => {
                let words = input.chain_words(chain);
                let what = format!(
                    "the policy of {words} drops the answers to requests that are let through"
                );
                (about::NO_WAY_BACK, Vec::new(), vec![words], what)
            }
            By::Rule(rule) => (
                about::REPLY_DROPPED,
                vec![input.cite(rule, "")],
                Vec::new(),
                "this rule drops the answers to requests that are let through".to_string(),
            ),
            By::Stack => continue,
        };
        // who is blocked whatever he sends is blocked on purpose
        let blocks = match by {
            By::Rule(rule) => blocks_addresses(input, rule) && refuses_requests(input, by),
            By::Policy(_) | By::Stack => false,
        };
        let (why, remedy) = match untracked.is_empty() {
            true if blocks => (
                "the rule drops requests of the same kind as well, so it may be meant to drop everything; who connects to such an address from here gets no answer and no error",
                "if that is meant, say so in a comment, or reject such requests on their way out, so that they fail at once; else accept `ct state established,related` in front of it",
            ),
            true => (
                "the request arrives and nobody hears the answer: a connection that hangs",
                "accept `ct state established,related` in front of it, or do not let the request through",
            ),
            false => (
                "the connection is not tracked, so its answer is not `established`, whatever later rules accept: a connection that hangs",
                "take both directions out of connection tracking and accept `ct state untracked`, or track the connection",
            ),
        };
        let mut rules: Vec<Cited> = rules;
        let untracked = untracked.into_iter();
        rules.extend(untracked.map(|rule| input.cite(rule, "takes it out of connection tracking")));
        let finding = Finding::new(about, what, why, remedy);
        let severity = match blocks {
            true => Severity::Note,
            false => finding.severity,
        };
        found.push(Finding {
            rules,
            places,
            severity,
            witness: Some(witness),
            ..finding
        });
    }
    found
}

/// Whether it matters to a rule which addresses a packet from outside has, and not which ports, of those that come to it.
fn blocks_addresses(input: &mut Input<'_>, rule: RuleId) -> bool {
    let asks = asked(input, rule);
    let any = |parts: &[Part]| parts.iter().any(|part| asks.contains(part));
    any(&[Part::Src, Part::Dst]) && !any(&[Part::Sport, Part::Dport])
}

/// The parts of packets from outside that matter to a rule, of those that come to it.
fn asked(input: &mut Input<'_>, rule: RuleId) -> Vec<Part> {
    let mut found = Vec::new();
    for view in &mut input.views {
        let visits = view.outside.visits.iter();
        let own = visits.filter(|((_, visited), _)| *visited == rule);
        let own: Vec<_> = own
            .map(|(_, visit)| (visit.reached, visit.matched))
            .collect();
        for (reached, matched) in own {
            let (Some(reached), Some(matched)) = (reached, matched) else {
                continue;
            };
            let core = view.space.sets.simplify(matched, reached);
            let vars = view.space.sets.support(core);
            let asks = |part: &Part| view.space.vars(*part).iter().any(|var| vars.contains(var));
            found.extend(Part::ALL.into_iter().filter(asks));
        }
    }
    found
}

/// Whether somebody who refuses answers refuses first packets from outside, too.
fn refuses_requests(input: &mut Input<'_>, by: By) -> bool {
    input.views.iter_mut().any(|view| {
        let all = decided(view, |one| one.by == by && one.taken.refuses());
        let customary = view.customary;
        !view.space.sets.and(all, customary).is_empty()
    })
}

/// Rules that take the request of a flow, or its answer, out of connection tracking.
fn untracking(input: &Input<'_>, question: &Question) -> Vec<RuleId> {
    let Ok(answer) = explain(input.loaded, input.hooks, input.given, question) else {
        return Vec::new();
    };
    let walked = &answer.explored.primary;
    let mut found = matched(std::iter::once(&walked.request).chain(&walked.reply));
    found.retain(|rule| untracks(input, *rule));
    found
}

/// Usual packets from outside that are refused at these hooks.
pub(super) fn refuses(view: &mut View, hooks: &[Hook]) -> Set {
    decided(view, |one| {
        hooks.contains(&one.hook) && (one.taken.refuses() || one.taken == Taken::Queue)
    })
}

/// Usual packets from outside about which something was decided.
fn decided(view: &mut View, is_meant: impl Fn(&Decided) -> bool) -> Set {
    let decided = view.outside.decided.iter().filter(|one| is_meant(one));
    let sets: Vec<Set> = decided.map(|one| one.packets).collect();
    let all = view.space.sets.union(&sets);
    view.usual(all)
}

/// A host that is known to forward, and drops nothing of it.
fn forward(input: &mut Input<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for at in 0..input.views.len() {
        let v6 = input.views[at].space.v6;
        let family = if v6 { IpFamily::V6 } else { IpFamily::V4 };
        if input.given.ip_forward(family, None) != Some(true) {
            continue;
        }
        let links = input.host.links.len() as u128;
        let view = &mut input.views[at];
        if !refuses(view, &[Hook::Forward, Hook::Prerouting, Hook::Postrouting]).is_empty() {
            continue;
        }
        let across = view.across();
        let across = view.space.sets.and(across, view.customary);
        if across.is_empty() || links < 2 {
            continue;
        }
        // a published port is open on purpose
        let published: Vec<Set> = view
            .bound(Manip::Dst, From::Outside)
            .into_values()
            .collect();
        let published = view.space.sets.union(&published);
        let plain = view.space.sets.minus(across, published);
        let found_one = [plain, across]
            .into_iter()
            .find_map(|set| input.witness(at, From::Outside, set, Shows::Passes));
        let Some(witness) = found_one else {
            continue;
        };
        let (key, version) = match v6 {
            true => ("net.ipv6.conf.all.forwarding", 6),
            false => ("net.ipv4.ip_forward", 4),
        };
        found.push(Finding {
            places: vec![key.into()],
            witness: Some(witness),
            ..Finding::new(
                about::FORWARD_OPEN,
                format!("{key} is on, and no rule or policy drops any forwarded packet of IPv{version}"),
                "whoever sends packets to this host's address on the wire reaches every network behind it",
                "add a forward chain with policy drop and accept what shall pass, or switch forwarding off",
            )
        });
    }
    found
}

/// IPv4 is filtered at input, and no packet of IPv6 is.
fn ipv6(input: &mut Input<'_>) -> Vec<Finding> {
    let hooks = [Hook::Prerouting, Hook::Input];
    let [v4, v6] = input.views.as_mut_slice() else {
        return Vec::new();
    };
    // a port that rules name only when they name all
    let refused = refuses(v4, &[Hook::Input]);
    let unnamed = v4.space.packets(Part::Dport, &[(1, 1)]);
    let tcp = v4.space.protos(&[proto::TCP]);
    let refused = v4.space.sets.and(refused, unnamed);
    let refused = v4.space.sets.and(refused, tcp);
    if !v4.space.v6 && v6.space.v6 && !refused.is_empty() {
        let own = |ip: std::net::IpAddr| match ip {
            std::net::IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
            std::net::IpAddr::V4(_) => false,
        };
        let known = input.given.addresses.iter().any(|address| own(address.ip));
        let off = input.given.sysctl("net.ipv6.conf.all.disable_ipv6") == Some(1);
        let whole = input.given.complete.addresses;
        if off || whole && !known || !refuses(v6, &hooks).is_empty() {
            return Vec::new();
        }
        let customary = v6.customary;
        let local = v6.outside.ended(&mut v6.space, |end| *end == End::Local);
        let local = v6.usual(local);
        let local = v6.space.sets.and(local, customary);
        let ports = v6.space.protos(&[proto::TCP]);
        let ssh = v6.space.packets(Part::Dport, &[(22, 22)]);
        let ssh = v6.space.sets.and(ssh, ports);
        let ssh = v6.space.sets.and(ssh, local);
        let witness = match known {
            true => input.witness(1, From::Outside, ssh, Shows::Passes),
            false => None,
        };
        if known && witness.is_none() {
            return Vec::new();
        }
        return vec![Finding {
            severity: match known {
                true => about::IPV6_OPEN.severity,
                false => Severity::Note,
            },
            rests_on: match known {
                true => Vec::new(),
                false => {
                    vec![
                        "this host has an IPv6 address; say it with `--iface NAME=ADDR/LEN`".into(),
                    ]
                }
            },
            witness,
            ..Finding::new(
                about::IPV6_OPEN,
                "packets of IPv4 for this host are dropped by rules, packets of IPv6 never",
                "every service that the rules of IPv4 protect is open to whoever reaches the host by IPv6",
                "write the same rules for IPv6 (a table of family inet holds both), or switch IPv6 off",
            )
        }];
    }
    Vec::new()
}
