//! Sets of packets as classes that people can read: interfaces, protocols, ports and prefixes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::conntrack::Manip;
use crate::explain::Question;
use crate::flow::{Flow, IpFamily};
use crate::host::{Host, Link};
use crate::logic::{Ranges, Source, max_of};
use crate::packet::{proto, tcp};
use crate::report::build::protocol_name;
use crate::ruleset::Hook;
use crate::sets::{Point, Set, Var, prefixes};
use crate::symbolic::{By, Dropped, End, From, Input, Space, Ways};
use crate::walk::step::{HostDrop, Taken};

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
    let mut fixed: Vec<(Var, bool)> = Vec::new();
    for question in space.questions() {
        if let (Source::Default, Some(usual)) = (question.source, question.usual) {
            fixed.extend(bits_of(&question.vars, usual));
        }
    }
    restricted(space, set, fixed)
}

/// The set as it is where what has a usual answer has it, and headers are those of a first packet.
pub fn usual_only(space: &mut Space, set: Set) -> Set {
    let set = usual_answers(space, set);
    let fixed = bits_of(space.vars(Input::Tos), 0).collect();
    let set = restricted(space, set, fixed);
    let begins = begins(space);
    let valid = space.valid();
    let set = space.sets.and(set, begins);
    space.sets.and(set, valid)
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
    let hops = space.packets(Input::Ttl, &[(2, 255)]);
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
pub(crate) fn hidden(space: &mut Space) -> Set {
    let mut vars: Vec<Var> = Vec::new();
    for input in HIDDEN {
        vars.extend_from_slice(space.vars(input));
    }
    vars.extend(space.questions().flat_map(|question| question.vars.clone()));
    space.sets.cube(&vars)
}

/// What of a set is looked at: [`usual_only`] or [`usual_answers`].
pub(crate) type AsSeen = fn(&mut Space, Set) -> Set;

/// How many targets of one rule are told apart.
const TARGETS: usize = 512;

/// Packets of one label.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub packets: Set,
    pub by: Vec<By>,
    /// Where the destination is translated to.
    pub translated: Option<(IpAddr, Option<u16>)>,
}

/// Cuts packets up by who translated them, where to, and who let them pass.
pub(crate) fn parts(space: &mut Space, ways: &Ways, packets: Set, as_seen: AsSeen) -> Vec<Part> {
    let mut parts = Vec::new();
    // a conversation is bound once
    let mut all = Vec::new();
    let dst = ways.fields.dst(space).to_vec();
    let dport = ways.fields.dport(space).to_vec();
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
        let unknown = space.sets.and(own, ways.fields.own_dst);
        own = space.sets.minus(own, unknown);
        parts.push(part(unknown, None));
        for _ in 0..TARGETS {
            let Some(point) = space.sets.pick(own, &space.usual()) else {
                break;
            };
            let seen = ways.seen(space, &point);
            let mut same = having(space, own, &dst, number(seen.dst));
            let first = space.get(&point, Input::Dport);
            let has_ports = proto::has_ports(space.get(&point, Input::Proto) as u8);
            let port = (has_ports && first != seen.dport.into()).then_some(seen.dport);
            if let Some(port) = port {
                same = having(space, same, &dport, port.into());
            }
            parts.push(part(same, Some((seen.dst, port))));
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
    let mut cut = Vec::new();
    for part in parts {
        if !part.packets.is_empty() {
            cut.extend(by_verdict(space, ways, part, as_seen));
        }
    }
    cut
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

/// Cuts packets up by the rules that let them pass, in chains that drop others.
fn by_verdict(space: &mut Space, ways: &Ways, part: Part, as_seen: AsSeen) -> Vec<Part> {
    let decided = &ways.decided;
    let filters = |hook: Hook| matches!(hook, Hook::Input | Hook::Forward | Hook::Prerouting);
    let mut chains = Vec::new();
    for one in decided {
        let drops = matches!(one.taken, Taken::Drop | Taken::Reject);
        if filters(one.hook) && drops && !chains.contains(&(one.hook, one.chain)) {
            chains.push((one.hook, one.chain));
        }
    }
    let mut parts = vec![part];
    for (hook, chain) in chains {
        let mut cut: Vec<Part> = Vec::new();
        for part in parts {
            let mut rest = part.packets;
            let passes = decided
                .iter()
                .filter(|one| (one.hook, one.chain) == (hook, chain) && one.taken == Taken::Accept);
            for one in passes {
                if space.sets.and(rest, one.packets).is_empty() {
                    continue;
                }
                let all = as_seen(space, one.packets);
                let own = space.sets.and(rest, all);
                rest = space.sets.minus(rest, own);
                let mut by = part.by.clone();
                by.push(one.by);
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

/// Cuts packets, of all that there are, into classes: first those that hold whatever is open, then the others. True when
/// there are more than so many. `martians`: what the host drops for its source.
pub(crate) fn cells(
    space: &mut Space,
    links: &[Link],
    packets: Set,
    all: Set,
    martians: Set,
    room: usize,
) -> Cells {
    let martians = usual_answers(space, martians);
    let cube = hidden(space);
    let possible = space.sets.exists(packets, cube);
    let missing = space.sets.minus(all, packets);
    let uncertain = space.sets.exists(missing, cube);
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
                found.push(cell(space, links, packets, all, whole, martians, is_open));
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

/// The parts of a packet that a class names, in the order in which packets are cut.
const NAMED: [Input; 6] = [
    Input::Iif,
    Input::Proto,
    Input::Dport,
    Input::Dst,
    Input::Src,
    Input::Sport,
];

fn cell(
    space: &mut Space,
    links: &[Link],
    packets: Set,
    all: Set,
    known: &[Ranges; 6],
    martians: Set,
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
    let others = space.sets.and(others, all);
    Cell {
        class: Class {
            v6,
            interfaces: interfaces.collect(),
            protocols: protocols.clone(),
            sources: nets(src, v6),
            any_source: space.sets.is_within(others, martians),
            destinations: nets(dst, v6),
            ports: ports.clone(),
            source_ports: source_ports.clone(),
        },
        packets: inside,
        is_open,
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

/// A packet as people send it, if it may be: from the way to the outside, or from a neighbour; to an address of the host.
pub(crate) fn pick(space: &mut Space, host: &Host, packets: Set) -> Point {
    let v6 = space.v6;
    let outside = if v6 {
        0x2001_0db8 << 96 | 0x77
    } else {
        0xcb00_7107
    };
    let elsewhere = if v6 {
        0x2001_0db8 << 96 | 0x9_0009
    } else {
        0xc633_6409
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
    let mut wish = space.usual();
    let mut packets = packets;
    for (link, src) in sources {
        let own = space.packets(Input::Src, &[(src, src)]);
        let mut own = space.sets.and(packets, own);
        if let Some(at) = link {
            let by = space.packets(Input::Iif, &[(at as u128, at as u128)]);
            own = space.sets.and(own, by);
        }
        if !own.is_empty() {
            packets = own;
            break;
        }
    }
    let destinations = addresses().map(|address| number(address.ip));
    for dst in destinations.chain([elsewhere]) {
        let own = space.packets(Input::Dst, &[(dst, dst)]);
        let own = space.sets.and(packets, own);
        if !own.is_empty() {
            packets = own;
            break;
        }
    }
    space.put(&mut wish, Input::Src, outside);
    space.put(&mut wish, Input::Dst, elsewhere);
    space.sets.pick(packets, &wish).unwrap_or(wish)
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

pub(crate) fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

pub(crate) fn address(bits: u128, v6: bool) -> IpAddr {
    if v6 {
        IpAddr::V6(Ipv6Addr::from_bits(bits))
    } else {
        IpAddr::V4(Ipv4Addr::from_bits(bits as u32))
    }
}

/// Ranges of addresses as prefixes.
pub(crate) fn nets(ranges: &Ranges, v6: bool) -> Vec<IpNet> {
    let width = if v6 { 128 } else { 32 };
    let found = prefixes(ranges, width).into_iter();
    found
        .filter_map(|(bits, len)| IpNet::new(address(bits, v6), len as u8).ok())
        .collect()
}

/// Protocols in words: `tcp`, `any`, `6, 17`.
pub fn protocols(ranges: &Ranges) -> String {
    if ranges.as_slice() == [(0, 255)] {
        return "any".into();
    }
    let one = |(lo, hi): &(u128, u128)| {
        if lo == hi {
            protocol_name(*lo as u8)
        } else {
            format!("{lo}-{hi}")
        }
    };
    ranges.iter().map(one).collect::<Vec<_>>().join(", ")
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

/// The addresses of a prefix.
pub(crate) fn range_of(net: IpNet) -> (u128, u128) {
    (number(net.network()), number(net.broadcast()))
}
