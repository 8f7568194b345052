//! Sets of packets as classes that people can read: interfaces, protocols, ports and prefixes.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::conntrack::Manip;
use crate::eval::Iface;
use crate::explain::{Answer, Question};
use crate::flow::{Flow, IpFamily};
use crate::host::{Host, Link};
use crate::logic::{Known, Ranges, Source, max_of, subtract};
use crate::packet::{address, number, proto, tcp};
use crate::report::build::protocol_name;
use crate::ruleset::Hook;
use crate::sets::{Point, Set, Var, prefixes};
use crate::symbolic::{
    self, By, Dropped, End, From, Input, Number, Space, Ways, literals, value_of, within,
};
use crate::walk::step::{Disposition, HostDrop, Path, Taken, Walked};

/// The end of packets that the host drops for their source.
pub(crate) const MARTIAN: End = End::Host(Dropped(HostDrop::MartianSource));

/// First packets as they are sent: all combinations of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    pub v6: bool,
    /// Empty for packets that this host sends.
    pub interfaces: Vec<String>,
    /// Ranges of protocol numbers.
    pub protocols: Ranges,
    pub sources: Vec<IpNet>,
    /// All other sources, but for those whose packets do not get past the host's own checks (`MartianSource`).
    pub excluded: Vec<IpNet>,
    pub destinations: Vec<IpNet>,
    /// All for protocols without ports.
    pub ports: Ranges,
    /// Of ICMP type times 256 plus code.
    pub source_ports: Ranges,
}

type Cells = (Vec<Cell>, bool);

/// A class of packets, and all that is in it.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub class: Class,
    pub packets: Set,
    /// It holds for some answers to open questions only, or for some of the header fields that no class names.
    pub is_open: bool,
    /// Parts of which the class says all values, and only some of them are in it: those are too many ranges to name.
    pub patterns: Vec<Input>,
}

impl Cell {
    /// What it rests on, among all packets that there are.
    pub(crate) fn rests_on(&self, space: &mut Space, all: Set) -> Vec<String> {
        let patterns = self.patterns.iter();
        let mut words: Vec<String> = patterns
            .map(|input| {
                format!(
                    "some bits of {}, which no short list of ranges names",
                    input.name()
                )
            })
            .collect();
        if self.is_open {
            words.extend(rests_on(space, self.packets, all));
        }
        words
    }
}

/// The set as it is where what has a usual answer has it.
pub(crate) fn usual_answers(space: &mut Space, set: Set) -> Set {
    let answers = space.usual_answers();
    space.sets.simplify(set, answers)
}

/// The set as it is where what has a usual answer has it, and headers are those of a first packet.
pub fn usual_only(space: &mut Space, set: Set) -> Set {
    let set = usual_headers(space, set);
    let begins = begins(space);
    space.sets.and(set, begins)
}

/// The set as it is where what has a usual answer has it, with the usual type of service and hops left.
pub(crate) fn usual_headers(space: &mut Space, set: Set) -> Set {
    let set = usual_answers(space, set);
    let set = usual_fields(space, set);
    let valid = space.valid();
    space.sets.and(set, valid)
}

/// The set as it is for the usual type of service, with hops left.
pub(crate) fn usual_fields(space: &mut Space, set: Set) -> Set {
    let usual: Vec<_> = literals(space.vars(Input::Tos), 0).collect();
    let usual = space.sets.literals(&usual);
    let set = space.sets.simplify(set, usual);
    let hops = hops(space);
    space.sets.and(set, hops)
}

fn hops(space: &mut Space) -> Set {
    space.packets(Input::Ttl, &[(2, 255)])
}

/// The time to live of a packet as it is first sent, unless something else is said.
pub(crate) const TTL: u128 = 64;

/// Adds the claims that [`usual_answers`] takes for granted, in words.
pub(crate) fn add_assumed(space: &Space, assumed: &mut Vec<String>) {
    for question in space.questions() {
        if question.source != Source::Default || !question.is_claim() {
            continue;
        }
        let words = match question.usual {
            Some(1) => question.words.clone(),
            _ => format!("not: {}", question.words),
        };
        if !assumed.contains(&words) {
            assumed.push(words);
        }
    }
}

/// Headers of packets that begin a conversation: TCP with SYN alone, hops left.
pub(crate) fn begins(space: &mut Space) -> Set {
    let syn = u128::from(tcp::SYN);
    let flags = space.packets(Input::TcpFlags, &[(syn, syn)]);
    let tcp = space.protos(&[proto::TCP]);
    let other = space.sets.or(tcp.not(), flags);
    let hops = hops(space);
    space.sets.and(other, hops)
}

/// The parts of a packet that no class names.
const HIDDEN: [Input; 8] = [
    Input::TcpFlags,
    Input::Ttl,
    Input::Tos,
    Input::Length,
    Input::Mark,
    Input::EtherDst,
    Input::EtherSrc,
    Input::Rest,
];

/// What no class names, and all questions.
fn hidden(space: &mut Space) -> Set {
    let mut vars: Vec<Var> = Vec::new();
    for input in HIDDEN {
        vars.extend_from_slice(space.vars(input));
    }
    vars.extend(space.questions().flat_map(|question| question.vars.clone()));
    space.sets.cube(&vars)
}

/// What of a set is looked at: [`usual_only`], [`usual_headers`] or [`usual_answers`].
pub(crate) type AsSeen = fn(&mut Space, Set) -> Set;

/// How many targets of one rule are told apart; where there are more, all are one range.
const TARGETS: usize = 512;

/// Packets of one label.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub packets: Set,
    pub by: Vec<By>,
    pub translated: Option<Target>,
}

/// Where a destination is translated to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The first and the last of those of which one is taken; the same where there is no choice.
    pub addresses: (IpAddr, IpAddr),
    /// In the same way; `None`: the port stays.
    pub ports: Option<(u16, u16)>,
}

impl Target {
    /// Whether it is one of several: by the kernel's choice, or by what stands in the packet.
    pub fn is_picked(&self) -> bool {
        self.addresses.0 != self.addresses.1 || self.ports.is_some_and(|(lo, hi)| lo != hi)
    }
}

/// `172.17.0.2`, `172.17.0.2:80`, `10.0.0.1-10.0.0.4:8000-8010`, `[fd00::1]:80`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.addresses;
        let addresses = match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        };
        match self.ports {
            None => f.write_str(&addresses),
            Some((lo, hi)) => {
                match first.is_ipv6() {
                    true => write!(f, "[{addresses}]:{lo}")?,
                    false => write!(f, "{addresses}:{lo}")?,
                }
                if lo == hi { Ok(()) } else { write!(f, "-{hi}") }
            }
        }
    }
}

/// Cuts packets up by who translated them, where to, and who let them pass.
pub(crate) fn parts(space: &mut Space, ways: &Ways, packets: Set, as_seen: AsSeen) -> Vec<Part> {
    let mut parts = Vec::new();
    // a conversation is bound once
    let mut all = Vec::new();
    let mut picks = Picks::of(space, ways, as_seen);
    let own_dst = as_seen(space, ways.fields.own_dst);
    for bound in &ways.bound {
        if bound.manip != Manip::Dst {
            continue;
        }
        let bound_here = as_seen(space, bound.packets);
        let mut own = space.sets.and(packets, bound_here);
        if own.is_empty() {
            continue;
        }
        all.push(own);
        let part = |packets, translated| Part {
            packets,
            by: vec![By::Rule(bound.rule)],
            translated,
        };
        let unknown = space.sets.and(own, own_dst);
        own = space.sets.minus(own, unknown);
        parts.push(part(unknown, None));
        let mut rest = own;
        let mut targets = Vec::new();
        while targets.len() <= TARGETS {
            let Some((target, same)) = picks.target(space, rest) else {
                break;
            };
            targets.push(part(same, Some(target)));
            rest = space.sets.minus(rest, same);
        }
        if !rest.is_empty() {
            // too many to tell apart
            targets = vec![part(own, picks.span(space, own))];
        }
        parts.extend(targets);
    }
    let all = space.sets.union(&all);
    parts.push(Part {
        packets: space.sets.minus(packets, all),
        by: Vec::new(),
        translated: None,
    });
    let chains = letting_pass(space, ways, packets, as_seen);
    let mut cut = Vec::new();
    for part in parts {
        if !part.packets.is_empty() {
            cut.extend(by_verdict(space, &chains, part));
        }
    }
    cut
}

/// Destinations at the end, of which some are picked by the kernel.
struct Picks {
    dst: Picked,
    dport: Picked,
    /// All numbers that the input leaves open.
    facts: Set,
    /// The variables of all else.
    given: Vec<Var>,
}

/// A number, of which the bits are put together when they are asked for.
struct Picked {
    number: Number,
    bits: Option<Vec<Set>>,
    as_seen: AsSeen,
}

impl Picked {
    fn of(number: &Number, as_seen: AsSeen) -> Picked {
        Picked {
            number: number.clone(),
            bits: None,
            as_seen,
        }
    }

    /// The number that all these packets have, where it is the same for all; one of them is the point.
    fn common(&self, space: &mut Space, packets: Set, point: &Point) -> Option<u128> {
        let (value, all) = self.number.constant_at(&space.sets, point)?;
        if !all.is_all() {
            let all = (self.as_seen)(space, all);
            if !space.sets.is_within(packets, all) {
                return None;
            }
        }
        Some(value)
    }

    /// The number of these packets bit by bit, as they are seen.
    fn bits(&mut self, space: &mut Space, packets: Set) -> Vec<Set> {
        let all = match self.bits.take() {
            Some(bits) => bits,
            None => {
                let seen = self.number.seen(|set| (self.as_seen)(space, set));
                seen.bits(&mut space.sets)
            }
        };
        // of these packets alone; that is one number for most rules
        let narrow = |bit: &Set| space.sets.simplify(*bit, packets);
        let bits = all.iter().map(narrow).collect();
        self.bits = Some(all);
        bits
    }

    /// The least and the greatest number that one packet can have, and all packets that have these.
    fn range(
        &mut self,
        space: &mut Space,
        packets: Set,
        (point, given): (&Point, &[Var]),
        facts: Set,
    ) -> ((u128, u128), Set) {
        if let Some(value) = self.common(space, packets, point) {
            return ((value, value), packets);
        }
        let bits = self.bits(space, packets);
        let bits = bits.as_slice();
        if let Some(value) = value_of(bits) {
            return ((value, value), packets);
        }
        let literals = given.iter().map(|var| (*var, point.get(*var)));
        let one = space.sets.literals(&literals.collect::<Vec<_>>());
        let one = space.sets.and(packets, one);
        let range = (
            end_of(space, one, bits, false),
            end_of(space, one, bits, true),
        );
        let (lo, hi) = (
            having(space, packets, bits, range.0),
            having(space, packets, bits, range.1),
        );
        if range.0 == range.1 && facts.is_all() {
            return (range, lo);
        }
        let within = within(&mut space.sets, bits, &[range]);
        let outside = space.sets.minus(packets, within);
        let mut same = packets;
        for (set, is_in) in [(lo, true), (hi, true), (outside, false)] {
            let some = space.sets.exists(set, facts);
            same = space.sets.and(same, if is_in { some } else { some.not() });
        }
        (range, same)
    }
}

impl Picks {
    /// As the packets are seen: what has a usual answer has it here, too.
    fn of(space: &mut Space, ways: &Ways, as_seen: AsSeen) -> Picks {
        let is_fact = |question: &&symbolic::Question| !question.is_claim();
        let facts = space.questions().filter(is_fact);
        let facts: Vec<Var> = facts.flat_map(|fact| fact.vars.iter().copied()).collect();
        let mut given: Vec<Var> = Vec::new();
        for input in Input::ALL {
            given.extend_from_slice(space.vars(input));
        }
        let claims = space.questions().filter(|question| question.is_claim());
        given.extend(claims.flat_map(|claim| claim.vars.iter().copied()));
        Picks {
            dst: Picked::of(ways.fields.dst(space), as_seen),
            dport: Picked::of(ways.fields.dport(space), as_seen),
            facts: space.sets.cube(&facts),
            given,
        }
    }

    /// Where one of the packets is translated to, and all that are translated so. `None`: there is no packet.
    fn target(&mut self, space: &mut Space, packets: Set) -> Option<(Target, Set)> {
        let usual = space.usual();
        let point = space.sets.pick(packets, &usual)?;
        let facts = self.facts;
        let given = self.given.as_slice();
        let (addresses, mut same) = self.dst.range(space, packets, (&point, given), facts);
        let mut ports = None;
        let moved = self.moved(space, same);
        if let Some(point) = space.sets.pick(moved, &usual) {
            let given = self.given.as_slice();
            let ((lo, hi), alike) = self.dport.range(space, same, (&point, given), facts);
            let with_ports = space.with_ports();
            same = space.sets.and(alike, with_ports);
            ports = Some((lo as u16, hi as u16));
        }
        let target = Target {
            addresses: (
                address(addresses.0, space.v6),
                address(addresses.1, space.v6),
            ),
            ports,
        };
        Some((target, same))
    }

    /// Those of some packets whose port is another one in the end.
    fn moved(&self, space: &mut Space, packets: Set) -> Set {
        let with_ports = space.with_ports();
        let packets = space.sets.and(packets, with_ports);
        let first = Number::from(space.input(Input::Dport));
        let as_seen = self.dport.as_seen;
        let last = self.dport.number.seen(|set| as_seen(space, set));
        last.differs(&mut space.sets, &first, packets, |_, set| set)
    }

    /// All targets of some packets as one.
    fn span(&mut self, space: &mut Space, packets: Set) -> Option<Target> {
        if packets.is_empty() {
            return None;
        }
        let ends = |space: &mut Space, packets, bits: &[Set]| {
            let lo = end_of(space, packets, bits, false);
            (lo, end_of(space, packets, bits, true))
        };
        let dst = self.dst.bits(space, packets);
        let (lo, hi) = ends(space, packets, &dst);
        let moved = self.moved(space, packets);
        let with_ports = space.with_ports();
        let with_ports = space.sets.and(packets, with_ports);
        let dport = self.dport.bits(space, with_ports);
        let ports = (!moved.is_empty()).then(|| ends(space, with_ports, &dport));
        Some(Target {
            addresses: (address(lo, space.v6), address(hi, space.v6)),
            ports: ports.map(|(lo, hi)| (lo as u16, hi as u16)),
        })
    }
}

/// The least or the greatest number that any of some packets has.
fn end_of(space: &mut Space, packets: Set, bits: &[Set], greatest: bool) -> u128 {
    let (mut left, mut value) = (packets, 0u128);
    for bit in bits {
        let wanted = if greatest { *bit } else { bit.not() };
        let own = space.sets.and(left, wanted);
        let has = own.is_empty() != greatest;
        left = if own.is_empty() { left } else { own };
        value = value << 1 | u128::from(has);
    }
    value
}

/// Those of some packets that have a number: narrowed down bit by bit, which costs as much as the packets are large.
fn having(space: &mut Space, packets: Set, bits: &[Set], value: u128) -> Set {
    let mut found = packets;
    for (at, bit) in bits.iter().rev().enumerate() {
        let yes = value >> at & 1 == 1;
        found = space.sets.and(found, if yes { *bit } else { bit.not() });
    }
    found
}

/// Who lets which of some packets pass, for each chain that drops others.
fn letting_pass(
    space: &mut Space,
    ways: &Ways,
    packets: Set,
    as_seen: AsSeen,
) -> Vec<Vec<(By, Set)>> {
    let filters = |hook: Hook| {
        matches!(
            hook,
            Hook::Prerouting | Hook::Input | Hook::Forward | Hook::Output
        )
    };
    let mut chains = Vec::new();
    for one in &ways.decided {
        let drops = one.taken.refuses();
        if filters(one.hook) && drops && !chains.contains(&(one.hook, one.chain)) {
            chains.push((one.hook, one.chain));
        }
    }
    let mut found = Vec::new();
    for chain in chains {
        let mut passes = Vec::new();
        for one in &ways.decided {
            if (one.hook, one.chain) != chain || one.taken != Taken::Accept {
                continue;
            }
            if space.sets.and(packets, one.packets).is_empty() {
                continue;
            }
            let all = as_seen(space, one.packets);
            passes.push((one.by, space.sets.and(packets, all)));
        }
        found.push(passes);
    }
    found
}

/// Cuts packets up by the rules that let them pass, in chains that drop others.
fn by_verdict(space: &mut Space, chains: &[Vec<(By, Set)>], part: Part) -> Vec<Part> {
    let mut parts = vec![part];
    for passes in chains {
        let mut cut: Vec<Part> = Vec::new();
        for part in parts {
            let mut rest = part.packets;
            for (who, all) in passes {
                let own = space.sets.and(rest, *all);
                if own.is_empty() {
                    continue;
                }
                rest = space.sets.minus(rest, own);
                let mut by = part.by.clone();
                by.push(*who);
                match cut
                    .iter_mut()
                    .find(|known| known.by == by && known.translated == part.translated)
                {
                    Some(known) => known.packets = space.sets.or(known.packets, own),
                    None => cut.push(Part {
                        packets: own,
                        by,
                        translated: part.translated,
                    }),
                }
            }
            if !rest.is_empty() {
                cut.push(Part {
                    packets: rest,
                    ..part
                });
            }
        }
        parts = cut;
    }
    parts
}

/// The parts of a packet that a class names, in the order in which packets are cut.
const NAMED: [Input; 6] = [
    Input::Iif,
    Input::Proto,
    Input::Dport,
    Input::Dst,
    Input::Src,
    Input::Sport,
];

/// What is known of a class while packets are cut: the ranges of the first few of [`NAMED`].
#[derive(Debug, Clone, Default)]
struct Shape {
    ranges: Vec<Ranges>,
    patterns: Vec<Input>,
}

/// The values that a part of some packets has; all where they are too many ranges to name.
pub(crate) fn values(space: &mut Space, packets: Set, input: Input) -> Ranges {
    let mut others: Vec<Var> = Vec::new();
    for other in Input::ALL {
        if other != input {
            others.extend_from_slice(space.vars(other));
        }
    }
    others.extend(space.questions().flat_map(|one| one.vars.clone()));
    let cube = space.sets.cube(&others);
    let alone = space.sets.exists(packets, cube);
    let vars = space.vars(input).to_vec();
    match space.sets.parts(alone, &vars) {
        Some(parts) => parts.into_iter().flat_map(|(ranges, _)| ranges).collect(),
        None => vec![(0, max_of(vars.len() as u32))],
    }
}

/// Against what packets are cut into classes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cutting {
    /// All packets that there are.
    pub all: Set,
    hidden: Set,
    martians: Set,
}

impl Cutting {
    /// `martians`: what the host drops for its source. Asks for all questions, so no walk may follow.
    pub(crate) fn new(space: &mut Space, all: Set, martians: Set) -> Cutting {
        Cutting {
            all,
            hidden: hidden(space),
            martians: usual_answers(space, martians),
        }
    }

    /// The set whatever stands in what no class names.
    pub(crate) fn visible(&self, space: &mut Space, set: Set) -> Set {
        space.sets.exists(set, self.hidden)
    }

    /// The values of what classes name that some packets have: those for which whatever is open they are in the set, and the
    /// others.
    pub(crate) fn sides(&self, space: &mut Space, packets: Set) -> (Set, Set) {
        let possible = self.visible(space, packets);
        let missing = space.sets.minus(self.all, packets);
        let uncertain = self.visible(space, missing);
        let certain = space.sets.minus(possible, uncertain);
        (certain, space.sets.and(possible, uncertain))
    }

    /// Classes of packets: first those that hold whatever is open, then the others. True when there are more than so many.
    pub(crate) fn cells(
        &self,
        space: &mut Space,
        links: &[Link],
        packets: Set,
        room: usize,
    ) -> Cells {
        let (certain, open) = self.sides(space, packets);
        let mut found = Vec::new();
        for (visible, is_open) in [(certain, false), (open, true)] {
            let mut stack = vec![(Shape::default(), visible)];
            while let Some((known, set)) = stack.pop() {
                if set.is_empty() {
                    continue;
                }
                let Some(&input) = NAMED.get(known.ranges.len()) else {
                    if found.len() >= room {
                        return (found, true);
                    }
                    found.push(self.cell(space, links, packets, known, is_open));
                    continue;
                };
                let vars = space.vars(input).to_vec();
                let Some(parts) = space.sets.parts(set, &vars) else {
                    let cube = space.sets.cube(&vars);
                    let rest = space.sets.exists(set, cube);
                    let mut known = known;
                    known.ranges.push(vec![(0, max_of(vars.len() as u32))]);
                    known.patterns.push(input);
                    stack.push((known, rest));
                    continue;
                };
                for (ranges, rest) in parts.into_iter().rev() {
                    let mut known = known.clone();
                    known.ranges.push(ranges);
                    stack.push((known, rest));
                }
            }
        }
        (found, false)
    }

    fn cell(
        &self,
        space: &mut Space,
        links: &[Link],
        packets: Set,
        known: Shape,
        is_open: bool,
    ) -> Cell {
        let v6 = space.v6;
        let of = |input| {
            let all = NAMED.iter().zip(&known.ranges);
            let mut own = all.filter(|(named, _)| **named == input);
            own.next()
                .map(|(_, ranges)| ranges.clone())
                .unwrap_or_default()
        };
        let (iif, src) = (of(Input::Iif), of(Input::Src));
        let interfaces = iif
            .iter()
            .flat_map(|(lo, hi)| *lo..=*hi)
            .filter_map(|at| links.get(at as usize))
            .map(|link| link.name.to_string());
        let (mut inside, mut from_all) = (packets, Set::ALL);
        for (input, ranges) in NAMED.into_iter().zip(&known.ranges) {
            let own = space.packets(input, ranges);
            inside = space.sets.and(inside, own);
            if input != Input::Src {
                from_all = space.sets.and(from_all, own);
            }
        }
        let others = space.packets(Input::Src, &src).not();
        let others = space.sets.and(from_all, others);
        let others = space.sets.and(others, self.all);
        let others = space.sets.minus(others, self.martians);
        Cell {
            class: Class {
                v6,
                interfaces: interfaces.collect(),
                protocols: of(Input::Proto),
                sources: nets(&src, v6),
                excluded: nets(&values(space, others, Input::Src), v6),
                destinations: nets(&of(Input::Dst), v6),
                ports: of(Input::Dport),
                source_ports: of(Input::Sport),
            },
            packets: inside,
            is_open,
            patterns: known.patterns,
        }
    }
}

/// One packet as `explain` is asked about it.
pub(crate) fn question(space: &Space, links: &[Link], point: &Point, from: From) -> Question {
    let get = |input| space.get(point, input);
    let number = get(Input::Proto) as u8;
    let ports = proto::has_ports(number);
    let flow = Flow {
        proto: number,
        family: if space.v6 { IpFamily::V6 } else { IpFamily::V4 },
        src: (from == From::Outside).then(|| address(get(Input::Src), space.v6)),
        sport: ports.then_some(get(Input::Sport) as u16),
        dst: address(get(Input::Dst), space.v6),
        dport: ports.then_some(get(Input::Dport) as u16),
    };
    let icmp = matches!(number, proto::ICMP | proto::ICMPV6);
    let [kind, code] = (get(Input::Sport) as u16).to_be_bytes();
    let iif = links.get(get(Input::Iif) as usize);
    let flags = get(Input::TcpFlags) as u8;
    Question {
        tcp_flags: (number == proto::TCP && flags != tcp::SYN).then_some(flags),
        sent_here: from == From::Here,
        iif: match from {
            From::Outside => iif.map(|link| link.name.to_string()),
            From::Here => None,
        },
        icmp: icmp.then_some((kind, code)),
        assume: headers(space, point),
        ..Question::new(flow)
    }
}

/// Header fields of a packet that a flow does not say, as `--assume` takes them.
fn headers(space: &Space, point: &Point) -> Vec<(String, String)> {
    let (family, hops) = match space.v6 {
        true => ("ip6", "hoplimit"),
        false => ("ip", "ttl"),
    };
    let tos = space.get(point, Input::Tos);
    let fields = [
        (hops, space.get(point, Input::Ttl)),
        ("dscp", tos >> 2),
        ("ecn", tos & 3),
    ];
    let said = |(name, value): (&str, u128)| (format!("{family} {name}"), value.to_string());
    fields.into_iter().map(said).collect()
}

/// Those header fields of a question that `explain` would take to be something else.
pub(crate) fn unusual_headers(question: &Question) -> Vec<(String, String)> {
    let said = question.assume.iter();
    let unusual = said.filter(|(name, value)| {
        let usual = match name.as_str() {
            "ip ttl" | "ip6 hoplimit" => TTL,
            _ => 0,
        };
        *value != usual.to_string()
    });
    unusual.cloned().collect()
}

/// The ICMP type and code of a question, where a flow alone would say another one.
pub(crate) fn unusual_icmp(question: &Question) -> Option<(u8, u8)> {
    let echo = match question.flow.proto {
        proto::ICMPV6 => 128,
        _ => 8,
    };
    question.icmp.filter(|icmp| *icmp != (echo, 0))
}

/// A packet as people send it, if it may be.
pub(crate) fn pick(space: &mut Space, host: &Host, packets: Set) -> Point {
    Customary::of(host, space.v6).pick(space, packets)
}

/// Where packets usually come from and go to.
#[derive(Debug)]
pub(crate) struct Customary {
    /// From the way to the outside, then from neighbours; each with its interface.
    sources: Vec<(Option<usize>, u128)>,
    /// Addresses of the host first.
    destinations: Vec<u128>,
    outside: u128,
    elsewhere: u128,
}

impl Customary {
    pub(crate) fn of(host: &Host, v6: bool) -> Customary {
        let (outside, elsewhere) = match v6 {
            true => (0x2001_0db8 << 96 | 0x77, 0x2001_0db8 << 96 | 0x9_0009),
            false => (0xcb00_7107, 0xc633_6409),
        };
        let link_of = |name: &str| host.links.iter().position(|link| link.name == name);
        let addresses = || {
            host.addresses.iter().filter(|address| {
                let near = match address.ip {
                    IpAddr::V4(v4) => v4.is_link_local(),
                    IpAddr::V6(v6) => v6.is_unicast_link_local(),
                };
                address.ip.is_ipv6() == v6 && !address.ip.is_loopback() && !near
            })
        };
        // from the outside by the default route, then from the subnet of each address, then from outside by whatever interface
        let mut sources: Vec<(Option<usize>, u128)> = host
            .routes
            .iter()
            .filter(|route| route.prefix.prefix_len() == 0 && route.prefix.addr().is_ipv6() == v6)
            .flat_map(|route| &route.nexthops)
            .filter_map(|hop| hop.dev.as_deref())
            .map(|dev| (link_of(dev), outside))
            .filter(|(link, _)| link.is_some())
            .collect();
        for address in addresses() {
            let own = number(address.ip);
            let hosts = match (v6, address.prefix_len) {
                (false, ..=30) | (true, ..=126) => [own ^ 2, own ^ 3],
                _ => continue,
            };
            for neighbour in hosts {
                sources.push((link_of(&address.dev), neighbour));
            }
        }
        sources.push((None, outside));
        let destinations = addresses().map(|address| number(address.ip));
        Customary {
            sources,
            destinations: destinations.chain([elsewhere]).collect(),
            outside,
            elsewhere,
        }
    }

    /// One of the packets, as customary as may be.
    pub(crate) fn pick(&self, space: &mut Space, packets: Set) -> Point {
        let mut packets = packets;
        for (link, src) in &self.sources {
            let own = space.packets(Input::Src, &[(*src, *src)]);
            let mut own = space.sets.and(packets, own);
            if let Some(at) = link {
                let by = space.packets(Input::Iif, &[(*at as u128, *at as u128)]);
                own = space.sets.and(own, by);
            }
            if !own.is_empty() {
                packets = own;
                break;
            }
        }
        for dst in &self.destinations {
            let own = space.packets(Input::Dst, &[(*dst, *dst)]);
            let own = space.sets.and(packets, own);
            if !own.is_empty() {
                packets = own;
                break;
            }
        }
        let mut wish = space.usual();
        space.put(&mut wish, Input::Src, self.outside);
        space.put(&mut wish, Input::Dst, self.elsewhere);
        for (icmp, echo) in [(proto::ICMP, 8u128), (proto::ICMPV6, 128)] {
            let own = space.protos(&[icmp]);
            if space.sets.is_within(packets, own) {
                space.put(&mut wish, Input::Sport, echo << 8);
            }
        }
        space.sets.pick(packets, &wish).unwrap_or(wish)
    }
}

/// Whether `explain` says the same of a packet: every way that it found, or of what holds for some answers to open questions
/// only one of them. Ways on which something unusual happens are those of other packets: sets are looked at where what has a
/// usual answer has it ([`usual_answers`]).
pub(crate) fn agrees(answer: &Answer, is_open: bool, fits: impl Fn(&Walked) -> bool) -> bool {
    let others = answer.explored.alternatives.iter();
    let others = others.filter(|other| other.when.iter().all(|one| one.source == Source::Open));
    let mut ways =
        std::iter::once(&answer.explored.primary).chain(others.map(|other| &other.walked));
    if is_open {
        ways.any(fits)
    } else {
        ways.all(fits)
    }
}

/// How packets on a host end, to be compared with what `explain` says.
pub(crate) struct Ending<'a> {
    pub host: &'a Host,
    pub end: &'a End,
    /// Whom they are for then; `None`: for an address that nobody said.
    pub target: Option<Target>,
}

impl<'a> Ending<'a> {
    /// That of one packet, which is not translated unless something is said about it.
    pub(crate) fn of(
        host: &'a Host,
        end: &'a End,
        translated: Option<Target>,
        untranslated: Option<IpAddr>,
    ) -> Ending<'a> {
        let stays = untranslated.map(|dst| Target {
            addresses: (dst, dst),
            ports: None,
        });
        Ending {
            host,
            end,
            target: translated.or(stays),
        }
    }

    /// Whether a path that `explain` found ends so.
    pub(crate) fn is_of(&self, answer: &Answer, path: &Path) -> bool {
        let leaves_by = |at: u16| match path.output.oif {
            Some(Iface::Link(own)) => {
                answer.host.links[usize::from(own)].name == self.host.links[usize::from(at)].name
            }
            Some(Iface::Fact(_)) | None => true,
        };
        let same = match (self.end, &path.disposition) {
            (End::Local, Disposition::Local)
            | (End::Relayed, Disposition::Relayed)
            | (End::Dropped, Disposition::Dropped)
            | (End::Rejected, Disposition::Rejected)
            | (End::Queued, Disposition::Queued)
            | (End::Stolen, Disposition::Stolen)
            | (End::Unknown(_), Disposition::Unknown { .. }) => true,
            (End::Forwarded(at), Disposition::Forwarded)
            | (End::Transmitted(at), Disposition::Transmitted) => leaves_by(*at),
            (End::Host(drop), Disposition::Host(own)) => drop.0 == *own,
            _ => false,
        };
        let arrives = self.end.passes() == Some(true);
        same && (!arrives || self.target.is_none_or(|target| is_for(target, path)))
    }
}

/// Whether a packet is for a target at its end, as far as it is known whom it is for.
fn is_for(target: Target, path: &Path) -> bool {
    let (first, last) = target.addresses;
    let address = match path.output.dst {
        Known::Value(own) => first <= own && own <= last,
        Known::Fact(_) => true,
    };
    let port = match (target.ports, path.output.dport) {
        (Some((lo, hi)), Some(Known::Value(own))) => lo <= own && own <= hi,
        (Some(_), Some(Known::Fact(_)) | None) | (None, _) => true,
    };
    address && port
}

/// What a set rests on, among all packets that there are: header fields that no class names, and open questions.
pub(crate) fn rests_on(space: &mut Space, set: Set, all: Set) -> Vec<String> {
    let core = space.sets.simplify(set, all);
    let vars = space.sets.support(core);
    let mut words: Vec<String> = Vec::new();
    for input in HIDDEN {
        if space.vars(input).iter().any(|var| vars.contains(var)) {
            words.push(input.name().into());
        }
    }
    for question in space.rests_on(core) {
        words.push(question.words.clone());
    }
    if words.is_empty() {
        words.push("several header fields together".into());
    }
    words
}

/// Ranges of addresses as prefixes.
pub(crate) fn nets(ranges: &Ranges, v6: bool) -> Vec<IpNet> {
    let width = if v6 { 128 } else { 32 };
    let found = prefixes(ranges, width).into_iter();
    found
        .filter_map(|(bits, len)| IpNet::new(address(bits, v6), len as u8).ok())
        .collect()
}

/// Protocols in words: `tcp`, `any`, `6, 17`, `any but icmp`.
pub fn protocols(ranges: &Ranges) -> String {
    let others = subtract(&[(0, 255)], ranges);
    let one = |(lo, hi): &(u128, u128)| {
        if lo == hi {
            protocol_name(*lo as u8)
        } else {
            format!("{lo}-{hi}")
        }
    };
    let all = |ranges: &Ranges| ranges.iter().map(one).collect::<Vec<_>>().join(", ");
    match others.len() {
        0 => "any".into(),
        _ if ranges.contains(&(0, 0)) || ranges.iter().any(|(lo, hi)| hi - lo > 9) => {
            format!("any but {}", all(&others))
        }
        _ => all(ranges),
    }
}

/// Numbers in words: `22, 80-90`; `None` for all of a width.
pub fn numbers(ranges: &Ranges, width: u32) -> Option<String> {
    if ranges.as_slice() == [(0, max_of(width))] {
        return None;
    }
    let one = |(lo, hi): &(u128, u128)| {
        if lo == hi {
            lo.to_string()
        } else {
            format!("{lo}-{hi}")
        }
    };
    Some(ranges.iter().map(one).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use crate::explain::explain;
    use crate::hooks::Hooks;
    use crate::load::load;

    use super::*;

    /// A rule with a limit translates, so `explain` has both endings; only the usual one is that of the packets of a row.
    #[test]
    fn a_wrong_translation_is_not_what_explain_says() {
        let text = r#"{"nftables": [
            {"table": {"family": "ip", "name": "t", "handle": 1}},
            {"chain": {"family": "ip", "table": "t", "name": "pre", "handle": 1, "type": "nat", "hook": "prerouting",
                       "prio": -100, "policy": "accept"}},
            {"rule": {"family": "ip", "table": "t", "chain": "pre", "handle": 2, "expr": [
                {"limit": {"rate": 5, "burst": 5, "per": "second"}},
                {"dnat": {"addr": "10.0.0.5", "port": 8080}}]}}]}"#;
        let loaded = load("listing", text, &[]).expect("a ruleset");
        let hooks = Hooks::new(&loaded.ruleset);
        let flow = "tcp:10.1.0.9:40000->10.1.0.1:80".parse().expect("a flow");
        let answer =
            explain(&loaded, &hooks, &loaded.host, &Question::new(flow)).expect("an answer");
        let target = |address: &str, port| Target {
            addresses: {
                let address = address.parse().expect("an address");
                (address, address)
            },
            ports: Some((port, port)),
        };
        let agrees =
            |is_open, target| agrees(&answer, is_open, |walked| is_for(target, &walked.request));
        for is_open in [false, true] {
            assert!(agrees(is_open, target("10.0.0.5", 8080)), "{is_open}");
            for other in [target("10.1.0.1", 80), target("10.0.0.5", 80)] {
                assert!(!agrees(is_open, other), "{is_open} {other}");
            }
        }
    }
}
