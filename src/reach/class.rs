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
pub(crate) use crate::packet::number;
use crate::packet::{address, proto, tcp};
use crate::report::build::protocol_name;
use crate::ruleset::Hook;
use crate::sets::{Point, Set, Var, prefixes};
use crate::symbolic::{self, By, Dropped, End, From, Input, Number, Space, Ways, within};
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
    /// No packet from another source gets past the host's own checks (`MartianSource`).
    pub any_source: bool,
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
    let fixed = bits_of(space.vars(Input::Tos), 0).collect();
    let set = restricted(space, set, fixed);
    let hops = hops(space);
    let valid = space.valid();
    let set = space.sets.and(set, hops);
    space.sets.and(set, valid)
}

fn hops(space: &mut Space) -> Set {
    space.packets(Input::Ttl, &[(2, 255)])
}

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

fn bits_of(vars: &[Var], value: u128) -> impl Iterator<Item = (Var, bool)> {
    let vars = vars.iter().rev().enumerate();
    vars.map(move |(at, var)| (*var, at < 128 && value >> at & 1 == 1))
}

/// The set as it is where variables have these values.
fn restricted(space: &mut Space, set: Set, values: Vec<(Var, bool)>) -> Set {
    let there = space.sets.literals(&values);
    space.sets.simplify(set, there)
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

/// How many targets of one rule are told apart.
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
    /// The first and the last of those of which the kernel picks one; the same where there is no choice.
    pub addresses: (IpAddr, IpAddr),
    /// In the same way; `None`: the port stays.
    pub ports: Option<(u16, u16)>,
}

impl Target {
    /// Whether it is the kernel's choice.
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
        for _ in 0..TARGETS {
            let Some((target, same)) = picks.target(space, own) else {
                break;
            };
            parts.push(part(same, Some(target)));
            own = space.sets.minus(own, same);
        }
        parts.push(part(own, None));
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
        if bits.iter().all(|bit| bit.is_all() || bit.is_empty()) {
            let number = |value, bit: &Set| value << 1 | u128::from(bit.is_all());
            let value = bits.iter().fold(0, number);
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
        let point = space.sets.pick(packets, &space.usual())?;
        let (given, facts) = (self.given.as_slice(), self.facts);
        let (addresses, mut same) = self.dst.range(space, packets, (&point, given), facts);
        let has_ports = proto::has_ports(space.get(&point, Input::Proto) as u8);
        let mut ports = None;
        if has_ports {
            let first = space.get(&point, Input::Dport);
            let ((lo, hi), alike) = self.dport.range(space, same, (&point, given), facts);
            if (lo, hi) != (first, first) {
                ports = Some((lo as u16, hi as u16));
                same = alike;
            }
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
        let drops = matches!(one.taken, Taken::Drop | Taken::Reject);
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

    /// Classes of packets: first those that hold whatever is open, then the others. True when there are more than so many.
    pub(crate) fn cells(
        &self,
        space: &mut Space,
        links: &[Link],
        packets: Set,
        room: usize,
    ) -> Cells {
        let possible = self.visible(space, packets);
        let missing = space.sets.minus(self.all, packets);
        let uncertain = self.visible(space, missing);
        let certain = space.sets.minus(possible, uncertain);
        let open = space.sets.and(possible, uncertain);
        let mut found = Vec::new();
        for (visible, is_open) in [(certain, false), (open, true)] {
            let mut stack: Vec<(Vec<Ranges>, Set)> = vec![(Vec::new(), visible)];
            while let Some((known, set)) = stack.pop() {
                if set.is_empty() {
                    continue;
                }
                if let Ok(whole) = <&[Ranges; 6]>::try_from(known.as_slice()) {
                    if found.len() >= room {
                        return (found, true);
                    }
                    found.push(self.cell(space, links, packets, whole, is_open));
                    continue;
                }
                let vars = space.vars(NAMED[known.len()]).to_vec();
                for (ranges, rest) in space.sets.parts(set, &vars).into_iter().rev() {
                    let mut known = known.clone();
                    known.push(ranges);
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
        known: &[Ranges; 6],
        is_open: bool,
    ) -> Cell {
        let v6 = space.v6;
        let [iif, protocols, ports, dst, src, source_ports] = known;
        let interfaces = iif
            .iter()
            .flat_map(|(lo, hi)| *lo..=*hi)
            .filter_map(|at| links.get(at as usize))
            .map(|link| link.name.to_string());
        let (mut inside, mut from_all) = (packets, Set::ALL);
        for (input, ranges) in NAMED.into_iter().zip(known) {
            let own = space.packets(input, ranges);
            inside = space.sets.and(inside, own);
            if input != Input::Src {
                from_all = space.sets.and(from_all, own);
            }
        }
        let others = space.packets(Input::Src, src).not();
        let others = space.sets.and(from_all, others);
        let others = space.sets.and(others, self.all);
        Cell {
            class: Class {
                v6,
                interfaces: interfaces.collect(),
                protocols: protocols.clone(),
                sources: nets(src, v6),
                any_source: space.sets.is_within(others, self.martians),
                destinations: nets(dst, v6),
                ports: ports.clone(),
                source_ports: source_ports.clone(),
            },
            packets: inside,
            is_open,
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
        ..Question::new(flow)
    }
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

/// Every way that `explain` found of a flow.
pub(crate) fn all_ways(answer: &Answer) -> impl Iterator<Item = &Walked> {
    let others = answer.explored.alternatives.iter();
    std::iter::once(&answer.explored.primary).chain(others.map(|other| &other.walked))
}

/// Whether a path that `explain` found ends as packets on `host` do that end so and are for one of these addresses there.
pub(crate) fn ends_so(
    answer: &Answer,
    path: &Path,
    host: &Host,
    end: &End,
    (first, last): (IpAddr, IpAddr),
) -> bool {
    let leaves_by = |at: u16| match path.output.oif {
        Some(Iface::Link(own)) => {
            answer.host.links[usize::from(own)].name == host.links[usize::from(at)].name
        }
        Some(Iface::Fact(_)) | None => true,
    };
    let same = match (end, &path.disposition) {
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
    same && match path.output.dst {
        Known::Value(own) => end.passes() != Some(true) || first <= own && own <= last,
        Known::Fact(_) => true,
    }
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
