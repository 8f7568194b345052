//! What depends on the host or on what only the engine knows: asked of `eval` and `walk` for one packet of each kind.
//!
//! Packets are cut up by all that the answer can depend on, so that one packet speaks for its part. Choices that the engine
//! makes on the way are questions of the space, and each of their answers is asked for.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use ipnet::IpNet;

use crate::conntrack::{CtInfo, CtRef, Entry, Tuple, Zone};
use crate::eval::{Env, Iface, Loaded as Answer, Pf, Sender, Skb, describe_field};
use crate::host::{
    AddressType, FoundRoute, IpFamily, RouteAnswer, RouteQuery, RouteType, TypeAnswer,
};
use crate::logic::{FactId, Knowledge, Known, Source, max_of};
use crate::packet::{Packet, Spec, number, proto, tcp};
use crate::ruleset::protocol::PacketKind;
use crate::ruleset::{Expr, Field, Op, RuleId};
use crate::sets::{Point, Set};
use crate::walk::Silent;
use crate::walk::decide::Asked;

use super::fields::{self, address};
use super::rule::Loaded;
use super::space::Input;
use super::stack::{At, Walk};
use super::value::{self, Bits, Number, Sym};

/// What an answer may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Dim {
    Iif,
    Oif,
    Sender,
    Proto,
    /// Whether TCP's SYN is set.
    Syn,
    Route,
    Src,
    Dst,
    /// Source and destination as far as the routing decision of a packet that came in asks for them.
    SrcArriving,
    DstArriving,
    /// The same of a packet that this host sends.
    SrcLeaving,
    DstLeaving,
    /// Marks that routing rules ask for.
    Mark,
    /// What routing rules ask for besides.
    Selectors,
    /// Whether there is an entry, and whether it is confirmed.
    Tracked,
    /// Whether the packet is translated (`status::DST_NAT`).
    Translated,
    /// Whether the destination is who sent the request.
    Peer,
}

/// One packet of a part.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub skb: Skb,
    pub asked: Asked,
    roles: Vec<(String, &'static str)>,
}

/// One answer, what was known at its end, and the packets that get it.
pub(super) struct Leaf<T> {
    pub answer: T,
    pub know: Knowledge,
    pub skb: Skb,
    pub packets: Set,
}

/// Classes of addresses that the host does not tell apart.
#[derive(Debug, Default)]
pub(super) struct Classes {
    /// Each with the prefixes directly within it, and an address that is in none of those.
    nets: Vec<(IpNet, Vec<IpNet>, IpAddr)>,
    /// By class, interface and use: a number for what the host says of it.
    kinds: HashMap<(usize, Option<u16>, Dim), usize>,
    known: HashMap<String, usize>,
    covers: HashMap<(Number, Option<u16>, Dim), Rc<Vec<Set>>>,
    /// Where a number is in a class, with the place of the class.
    places: HashMap<Number, Rc<Vec<(usize, Set)>>>,
}

impl Classes {
    pub(super) fn of(host: &crate::host::Host, v6: bool) -> Classes {
        let family = if v6 { IpFamily::V6 } else { IpFamily::V4 };
        let all = host.prefixes(family);
        let mut nets = Vec::new();
        for net in &all {
            let within: Vec<IpNet> = all
                .iter()
                .filter(|inner| *inner != net && net.contains(*inner))
                .copied()
                .collect();
            let direct: Vec<IpNet> = within
                .iter()
                .filter(|inner| {
                    !within
                        .iter()
                        .any(|other| other != *inner && other.contains(*inner))
                })
                .copied()
                .collect();
            if let Some(free) = free_address(net, &direct) {
                nets.push((*net, direct, free));
            }
        }
        Classes {
            nets,
            ..Classes::default()
        }
    }
}

fn bits_of(ip: IpAddr) -> (u128, u32) {
    (number(ip), if ip.is_ipv6() { 128 } else { 32 })
}

/// An address of a prefix that is in none of these, which are disjoint.
fn free_address(net: &IpNet, within: &[IpNet]) -> Option<IpAddr> {
    let mut taken: Vec<(u128, u128)> = within
        .iter()
        .map(|inner| (bits_of(inner.network()).0, bits_of(inner.broadcast()).0))
        .collect();
    taken.sort_unstable();
    let (first, width) = bits_of(net.network());
    let last = bits_of(net.broadcast()).0;
    let all = [(first, last)];
    let free = crate::logic::subtract(&all, &taken);
    free.first().map(|(lo, _)| address(*lo, width == 128))
}

impl Walk<'_, '_> {
    /// Cuts packets up by all that these answers depend on.
    pub(super) fn split(&mut self, packets: Set, dims: &[Dim]) -> Vec<Set> {
        let mut parts = vec![packets];
        for dim in dims {
            let mut cut = Vec::new();
            for part in parts {
                let cover = self.cover(*dim, part);
                if cover.len() == 1 {
                    cut.push(part);
                    continue;
                }
                for own in cover {
                    let own = self.space.sets.and(own, part);
                    if !own.is_empty() {
                        cut.push(own);
                    }
                }
            }
            parts = cut;
        }
        parts.retain(|part| !part.is_empty());
        parts
    }

    fn cover(&mut self, dim: Dim, part: Set) -> Vec<Set> {
        let all = |known: Vec<(_, Set)>| known.into_iter().map(|(_, set): ((), Set)| set).collect();
        match dim {
            Dim::Iif => self.fields.iif.0.iter().map(|(_, set)| *set).collect(),
            Dim::Oif => self.fields.oif.0.iter().map(|(_, set)| *set).collect(),
            Dim::Sender => self.fields.sender.0.iter().map(|(_, set)| *set).collect(),
            Dim::Route => self.fields.route.0.iter().map(|(_, set)| *set).collect(),
            Dim::Proto => {
                let kinds = [
                    proto::TCP,
                    proto::UDP,
                    proto::UDPLITE,
                    proto::SCTP,
                    proto::DCCP,
                    proto::ICMP,
                    proto::ICMPV6,
                    proto::GRE,
                ];
                let mut cover = vec![((), self.space.protos(&kinds).not())];
                for kind in kinds {
                    cover.push(((), self.space.protos(&[kind])));
                }
                all(cover)
            }
            Dim::Syn => {
                let flags = self.fields.header(self.space.v6, fields::Field::TcpFlags);
                let flags = flags.bits(&mut self.space.sets);
                let at = tcp::SYN.leading_zeros() as usize;
                vec![flags[at], flags[at].not()]
            }
            Dim::Src
            | Dim::Dst
            | Dim::SrcArriving
            | Dim::DstArriving
            | Dim::SrcLeaving
            | Dim::DstLeaving => {
                let iif = match dim {
                    Dim::SrcLeaving | Dim::DstLeaving => None,
                    _ => self.common_iif(part),
                };
                let (field, own) = match dim {
                    Dim::Src | Dim::SrcArriving | Dim::SrcLeaving => {
                        (fields::Field::Src, self.fields.own_src)
                    }
                    _ => (fields::Field::Dst, self.fields.own_dst),
                };
                let address = self.fields.header(self.space.v6, field).clone();
                let cover = self.kinds_of(&address, iif, dim);
                if own.is_empty() {
                    return cover.as_ref().clone();
                }
                let mut found = vec![own];
                for set in cover.iter() {
                    found.push(self.space.sets.minus(*set, own));
                }
                found
            }
            Dim::Mark => {
                let tests: Vec<(u32, u32)> = self
                    .host()
                    .rules
                    .iter()
                    .filter_map(|rule| rule.fwmark)
                    .collect();
                let mut cover = vec![Set::ALL];
                if tests.is_empty() {
                    return cover;
                }
                let mark = self.fields.mark.of(&mut self.space.sets, part);
                for (wanted, mask) in tests {
                    let sets = &mut self.space.sets;
                    let asked = |mark: u128| (mark as u32 ^ wanted) & mask == 0;
                    let holds = mark.where_holds(sets, asked, |sets, mark| {
                        let mut holds = Set::ALL;
                        for (at, bit) in mark.iter().enumerate() {
                            let place = 31 - at;
                            if mask >> place & 1 == 1 {
                                let bit = if wanted >> place & 1 == 1 {
                                    *bit
                                } else {
                                    bit.not()
                                };
                                holds = sets.and(holds, bit);
                            }
                        }
                        holds
                    });
                    cover = self.cut(cover, holds);
                }
                cover
            }
            Dim::Selectors => self.selectors(),
            Dim::Tracked => {
                let tracked = self.tracked();
                let confirmed = self.status(crate::conntrack::status::CONFIRMED);
                let cover = vec![tracked, tracked.not()];
                self.cut(cover, confirmed)
            }
            // only where it is asked whose an address is
            Dim::Translated if self.host().complete.addresses => vec![Set::ALL],
            Dim::Translated => {
                let tracked = self.tracked();
                let changed = self.status(crate::conntrack::status::DST_NAT);
                let changed = self.space.sets.and(tracked, changed);
                vec![changed, changed.not()]
            }
            Dim::Peer => {
                // Only where routes are a guess. A request would be a packet to its own sender, which nobody sends; and to
                // compare two addresses that are variables takes more room than there is.
                let family = if self.space.v6 {
                    IpFamily::V6
                } else {
                    IpFamily::V4
                };
                let asked = self.is_reply && !self.host().complete.routes(family);
                let Some(peer) = self.peer.clone().filter(|_| asked) else {
                    return vec![Set::ALL];
                };
                let dst = self.fields.dst(self.space);
                // an address of this host that nobody said is taken for another one than any that is known
                let (drawn, sets) = (self.fields.own_dst, &mut self.space.sets);
                let said = sets.minus(part, drawn);
                let back = dst.compare_with(sets, Op::Eq, &peer.0, said);
                // it goes back by the interface that it came by
                let ways = peer.1.among(sets, back);
                let ways = ways.into_iter().map(|(_, packets)| packets);
                ways.chain([back.not()]).collect()
            }
        }
    }

    fn cut(&mut self, cover: Vec<Set>, by: Set) -> Vec<Set> {
        let mut parts = Vec::with_capacity(cover.len() * 2);
        for part in cover {
            for half in [by, by.not()] {
                let half = self.space.sets.and(part, half);
                if !half.is_empty() {
                    parts.push(half);
                }
            }
        }
        parts
    }

    /// What rules of routing ask for besides addresses, marks and interfaces.
    fn selectors(&mut self) -> Vec<Set> {
        let mut cover = vec![Set::ALL];
        let v6 = self.space.v6;
        let family = if v6 { IpFamily::V6 } else { IpFamily::V4 };
        let rules: Vec<_> = self
            .host()
            .rules
            .iter()
            .filter(|rule| rule.family == family)
            .cloned()
            .collect();
        let route_tos = self.host().routes.iter().any(|route| route.tos != 0);
        let by_tos = route_tos
            || rules
                .iter()
                .any(|rule| rule.tos != 0 || rule.dscp.is_some());
        if by_tos {
            let tos = self.fields.header(v6, fields::Field::Tos);
            let tos = tos.bits(&mut self.space.sets);
            for bit in tos {
                cover = self.cut(cover, bit);
            }
        }
        let ports = self.space.with_ports();
        for rule in rules {
            if let Some(of) = rule.ipproto {
                let of = self.space.protos(&[of]);
                cover = self.cut(cover, of);
            }
            for (range, field) in [
                (rule.sport, fields::Field::Sport),
                (rule.dport, fields::Field::Dport),
            ] {
                if let Some((lo, hi)) = range {
                    let port = self.fields.header(v6, field);
                    let range = [(u128::from(lo), u128::from(hi))];
                    let inside = port.within(&mut self.space.sets, &range);
                    let inside = self.space.sets.and(inside, ports);
                    cover = self.cut(cover, inside);
                }
            }
        }
        cover
    }

    /// The interface that all these packets came in by, when it is one.
    fn common_iif(&mut self, part: Set) -> Option<u16> {
        match self.fields.iif.among(&mut self.space.sets, part).as_slice() {
            [(one, _)] => *one,
            _ => None,
        }
    }

    /// A cover by what the host says of an address.
    fn kinds_of(&mut self, address: &Number, iif: Option<u16>, dim: Dim) -> Rc<Vec<Set>> {
        let key = (address.clone(), iif, dim);
        if let Some(known) = self.classes.covers.get(&key) {
            return Rc::clone(known);
        }
        let mut kinds: Vec<Vec<Set>> = Vec::new();
        let mut places: HashMap<usize, usize> = HashMap::new();
        for (at, class) in self.classes_of(address).iter().copied() {
            let kind = self.kind(at, iif, dim);
            let place = *places.entry(kind).or_insert_with(|| {
                kinds.push(Vec::new());
                kinds.len() - 1
            });
            kinds[place].push(class);
        }
        let cover: Vec<Set> = kinds
            .iter()
            .map(|sets| self.space.sets.union(sets))
            .collect();
        let cover = Rc::new(cover);
        self.classes.covers.insert(key, Rc::clone(&cover));
        cover
    }

    /// Where an address is in each class, but for those that it is never in.
    fn classes_of(&mut self, address: &Number) -> Rc<Vec<(usize, Set)>> {
        if let Some(known) = self.classes.places.get(address) {
            return Rc::clone(known);
        }
        let mut found = Vec::new();
        for at in 0..self.classes.nets.len() {
            let (net, within, _) = self.classes.nets[at].clone();
            let class = self.in_net(address, &net);
            let inner: Vec<Set> = within.iter().map(|net| self.in_net(address, net)).collect();
            let inner = self.space.sets.union(&inner);
            let class = self.space.sets.minus(class, inner);
            if !class.is_empty() {
                found.push((at, class));
            }
        }
        let found = Rc::new(found);
        self.classes
            .places
            .insert(address.clone(), Rc::clone(&found));
        found
    }

    pub(super) fn in_net(&mut self, address: &Number, net: &IpNet) -> Set {
        let (value, _) = bits_of(net.network());
        let len = usize::from(net.prefix_len());
        address.starts_with(&mut self.space.sets, value, len)
    }

    /// A number for what the host says of a class: classes of one number need not be told apart.
    fn kind(&mut self, class: usize, iif: Option<u16>, dim: Dim) -> usize {
        if let Some(known) = self.classes.kinds.get(&(class, iif, dim)) {
            return *known;
        }
        let said = format!("{dim:?} {}", self.said_of(class, iif, dim));
        let next = self.classes.known.len();
        let kind = *self.classes.known.entry(said).or_insert(next);
        self.classes.kinds.insert((class, iif, dim), kind);
        kind
    }

    /// Everything that an answer of one kind can depend on, of an address.
    fn said_of(&self, class: usize, iif: Option<u16>, dim: Dim) -> String {
        let host = self.host();
        let family = if self.space.v6 {
            IpFamily::V6
        } else {
            IpFamily::V4
        };
        let (net, _, ip) = &self.classes.nets[class];
        // otherwise an answer may depend on several fields at once
        let plain =
            !host.has_custom_rules(family) && host.routes.iter().all(|route| route.from.is_none());
        if !plain {
            return net.to_string();
        }
        let dev = iif.map(|at| host.links[usize::from(at)].name.as_str());
        let words = |answer: RouteAnswer| match answer {
            RouteAnswer::Found(FoundRoute {
                kind,
                nexthops,
                prefsrc,
                scope,
                origin,
                prefix,
                ..
            }) => {
                let default = prefix.prefix_len() == 0;
                format!("{kind:?} {nexthops:?} {prefsrc:?} {scope:?} {default} {origin:?}")
            }
            RouteAnswer::NoRoute => "none".into(),
            RouteAnswer::Unknown { .. } => "unknown".into(),
        };
        // whose an address is that the input does not name depends on the networks it is in (`is_own_address`)
        let networks: Vec<bool> = host
            .addresses
            .iter()
            .filter_map(|address| address.subnet())
            .map(|subnet| !host.complete.addresses && subnet.contains(ip))
            .collect();
        let arriving = || {
            host.route(&RouteQuery {
                iif: dev,
                ..RouteQuery::to(*ip)
            })
        };
        let leaving = || host.route(&RouteQuery::to(*ip));
        // whose group it is differs within
        let group = if ip.is_multicast() {
            net.to_string()
        } else {
            String::new()
        };
        let special = match ip {
            IpAddr::V4(v4) => [
                v4.is_multicast(),
                v4.is_broadcast(),
                v4.octets()[0] == 0,
                v4.is_unspecified(),
                v4.is_loopback(),
            ],
            IpAddr::V6(v6) => [
                v6.is_multicast(),
                v6.is_unicast_link_local(),
                v6.is_unspecified(),
                v6.is_loopback(),
                false,
            ],
        };
        match dim {
            Dim::SrcArriving => {
                // fib_validate_source asks for the way back
                let strict = dev.is_none_or(|dev| !matches!(host.rp_filter(dev), Some(0 | 2)));
                let back = match arriving() {
                    _ if ip.is_ipv6() => String::new(),
                    RouteAnswer::Found(route) if route.kind == RouteType::Unicast => {
                        let mut hops = route.nexthops.iter();
                        let direct = hops.any(|hop| hop.dev.as_deref() == dev);
                        format!("unicast {}", strict && direct)
                    }
                    RouteAnswer::Found(route) => format!("{:?}", route.kind),
                    RouteAnswer::NoRoute => "none".into(),
                    RouteAnswer::Unknown { .. } => "unknown".into(),
                };
                format!("{back} {special:?}")
            }
            Dim::DstArriving => {
                let (arriving, leaving) = (words(arriving()), words(leaving()));
                // where a packet would go if this host sent it tells whether the address may be its own
                let leaving = if host.complete.addresses {
                    ""
                } else {
                    leaving.as_str()
                };
                format!("{arriving} {leaving} {networks:?} {special:?} {group}")
            }
            Dim::SrcLeaving => format!("{special:?}"),
            Dim::DstLeaving => format!("{} {networks:?} {special:?} {group}", words(leaving())),
            _ => {
                let kind = match host.address_type(*ip, None) {
                    TypeAnswer::Known(kind, _) => kind,
                    TypeAnswer::Unknown { .. } => AddressType::Unspec,
                };
                // which address a device has
                let own = match kind {
                    AddressType::Local => net.to_string(),
                    _ => group,
                };
                let (arriving, leaving) = (words(arriving()), words(leaving()));
                format!("{arriving} {leaving} {networks:?} {kind:?} {special:?} {own}")
            }
        }
    }

    /// One packet of a part as the engine has it, with a source that is not its own destination where there is one: whose
    /// address the sender's is, is no question.
    pub(super) fn sample(&mut self, part: Set) -> Option<Sample> {
        let valid = self.space.valid();
        let usual = self.space.usual();
        let inside = self.space.sets.and(part, valid);
        // a part that is empty but for what cannot be has no packet to ask for
        let point = self.space.sets.pick(inside, &usual)?;
        let sample = self.sample_at(&point);
        if sample.skb.packet.src() != sample.skb.packet.dst() {
            return Some(sample);
        }
        let src = self.space.get(&point, Input::Src);
        let same = self.space.packets(Input::Src, &[(src, src)]);
        let others = self.space.sets.minus(inside, same);
        let other = self.space.sets.pick(others, &usual);
        Some(other.map_or(sample, |point| self.sample_at(&point)))
    }

    fn known_address(
        &self,
        know: &mut Knowledge,
        point: &Point,
        destination: bool,
    ) -> Known<IpAddr> {
        let (field, own) = match destination {
            true => (fields::Field::Dst, self.fields.own_dst),
            false => (fields::Field::Src, self.fields.own_src),
        };
        if self.space.sets.contains(own, point) {
            return Known::Fact(know.own_address("an interface"));
        }
        let known = self.fields.header(self.space.v6, field);
        Known::Value(address(known.at(&self.space.sets, point), self.space.v6))
    }

    fn sample_at(&mut self, point: &Point) -> Sample {
        let v6 = self.space.v6;
        let mut know = Knowledge::default();
        if self.is_reply {
            know.begin_reply();
        }
        let src = self.known_address(&mut know, point, false);
        let dst = self.known_address(&mut know, point, true);
        let sets = &self.space.sets;
        let number = |number: &Number| number.at(sets, point);
        let header = |field| number(self.fields.header(v6, field));
        let protocol = self.space.get(point, Input::Proto) as u8;
        let icmp = matches!(protocol, proto::ICMP | proto::ICMPV6);
        let first = header(fields::Field::Sport) as u16;
        let [kind, code] = first.to_be_bytes();
        let length = header(fields::Field::Length) as u16;
        let packet = Packet::new(&Spec {
            v6,
            src,
            dst,
            proto: protocol,
            sport: Known::Value(first),
            dport: Known::Value(header(fields::Field::Dport) as u16),
            icmp: icmp.then_some((kind, code)),
            tcp_flags: Some(header(fields::Field::TcpFlags) as u8),
            ttl: Some(header(fields::Field::Ttl) as u8),
            tos: Some(header(fields::Field::Tos) as u8),
            length: Some(length.saturating_add(if v6 { 40 } else { 0 })),
            ether_src: None,
            ether_dst: None,
        });
        let has_link = sets.contains(self.fields.link, point);
        let packet = if has_link {
            packet
        } else {
            packet.without_link_header()
        };
        let link = |at: Option<Option<u16>>| at.flatten().map(Iface::Link);
        let iif = link(self.fields.iif.at(sets, point));
        let oif = link(self.fields.oif.at(sets, point));
        let mark = number(&self.fields.mark) as u32;
        let is = |set: Set| sets.contains(set, point);
        let ct = match () {
            () if is(self.fields.ct.untracked) => CtRef::Untracked,
            () if is(self.fields.ct.template) => CtRef::Template,
            () if is(self.fields.ct.new) => CtRef::Tracked(CtInfo::New),
            () if is(self.fields.ct.reply) => CtRef::Tracked(CtInfo::EstablishedReply),
            () => CtRef::None,
        };
        let status = value::at(sets, &self.fields.entry.status, point) as u32;
        let sender = self.fields.sender.at(sets, point);
        let route = self.fields.route.at(sets, point).flatten();
        let pkttype = number(&self.fields.pkttype) as u8;
        let mut entries = Vec::new();
        if matches!(ct, CtRef::Tracked(_)) {
            // who asks for tuples reads them here; the engine is asked only for the status
            let tuple = Tuple {
                src,
                dst,
                proto: protocol,
                sport: Known::Value(0),
                dport: Known::Value(0),
            };
            let mut entry = Entry::new(tuple, Zone::default());
            entry.status = status;
            entries.push(entry);
        }
        let mut roles: Vec<(String, &'static str)> = Vec::new();
        let (first_src, first_dst) = (number(&self.first.0), number(&self.first.1));
        for (known, bits, role, translated) in [
            (
                dst,
                first_dst,
                "the destination",
                "the translated destination",
            ),
            (src, first_src, "the source", "the translated source"),
        ] {
            if let Known::Value(ip) = known {
                let role = if address(bits, v6) == ip {
                    role
                } else {
                    translated
                };
                roles.push((ip.to_string(), role));
            }
        }
        let mut peer = None;
        if let Some((from, iifs)) = &self.peer {
            let ip = address(number(from), v6);
            roles.push((ip.to_string(), "the sender"));
            peer = iifs
                .at(sets, point)
                .flatten()
                .map(|at| (ip, Iface::Link(at)));
        }
        for (origin, own) in &self.origins {
            let ip = address(number(origin), v6);
            if !ip.is_unspecified() {
                know.settle_own(ip, *own);
            }
        }
        let (in_port, nf_bridge) = match iif {
            Some(Iface::Link(at)) if self.is_bridge(at) => {
                let name = format!("the port of {}", self.host().links[usize::from(at)].name);
                let settle = "say it with `--in-port`";
                let port: FactId = know.named(&name, settle, || vec![(1, max_of(128))]);
                (Some(Iface::Fact(port)), true)
            }
            _ => (None, false),
        };
        Sample {
            skb: Skb {
                packet,
                iif,
                oif,
                in_port,
                out_port: None,
                mark: Known::Value(mark),
                priority: None,
                pkttype,
                ct,
                entry: 0,
                sender: sender.unwrap_or(Sender::Outside),
                nf_bridge,
                route,
                uid: None,
                gid: None,
                zone: Zone::default(),
                // who asks for it reads it from the sets
                socket: false,
            },
            asked: Asked {
                know,
                entries,
                peer,
            },
            roles,
        }
    }

    /// Asks the engine about the packet of a part, once for each answer to the questions that it has.
    pub(super) fn tree<T>(
        &mut self,
        part: Set,
        sample: &Sample,
        mut run: impl FnMut(&mut Skb, Asked) -> (T, Knowledge),
    ) -> Vec<Leaf<T>> {
        let mut leaves = Vec::new();
        let mut scripts: Vec<Vec<bool>> = vec![Vec::new()];
        while let Some(script) = scripts.pop() {
            let mut asked = sample.asked.clone();
            asked.know.prescribe(script.clone());
            let mut skb = sample.skb.clone();
            let (answer, know) = run(&mut skb, asked);
            let mut packets = part;
            for (at, choice) in know.choices.iter().enumerate() {
                let words = general(&choice.claim.said(true), &sample.roles);
                let holds = self.space.ask_choice(choice, &words);
                let holds = if choice.holds { holds } else { holds.not() };
                packets = self.space.sets.and(packets, holds);
                if at >= script.len() {
                    let mut other: Vec<bool> = know.choices[..at]
                        .iter()
                        .map(|choice| choice.holds)
                        .collect();
                    other.push(!choice.holds);
                    scripts.push(other);
                }
            }
            if !packets.is_empty() {
                leaves.push(Leaf {
                    answer,
                    know,
                    skb,
                    packets,
                });
            }
        }
        leaves
    }

    /// A fact of the engine as a vector.
    pub(super) fn fact_bits(&mut self, know: &Knowledge, fact: FactId, sample: &Sample) -> Bits {
        let fact = know.fact(fact);
        let name = general(&fact.name, &sample.roles);
        self.space.fact_of(fact, &name)
    }

    /// Loads a field as the engine does.
    pub(super) fn engine(
        &mut self,
        at: At,
        rule: RuleId,
        field: &Field,
        dims: &[Dim],
        packets: Set,
    ) -> Loaded {
        let (world, pf, hook) = (self.world, at.pf, at.hook);
        let expr = Expr::Field(field.clone());
        let mut cases: Vec<(u128, Set)> = Vec::new();
        let mut vectors: Vec<(Bits, Set)> = Vec::new();
        let (mut absent, mut unknown) = (Vec::new(), Vec::new());
        for part in self.split(packets, dims) {
            let Some(sample) = self.sample(part) else {
                continue;
            };
            let leaves = self.tree(part, &sample, |skb, mut asked| {
                let mut env = Env {
                    world,
                    know: &mut asked.know,
                    skb,
                    entries: &mut asked.entries,
                    hook,
                    pf,
                    rule,
                };
                let loaded = env.load(&expr, &mut Silent);
                (loaded, asked.know)
            });
            for leaf in leaves {
                match leaf.answer {
                    Answer::Value(value) => cases.push((value, leaf.packets)),
                    Answer::Absent => absent.push(leaf.packets),
                    Answer::Unknown => unknown.push(leaf.packets),
                    Answer::Fact(fact) => {
                        let bits = self.fact_bits(&leaf.know, fact, &sample);
                        vectors.push((bits, leaf.packets));
                    }
                }
            }
        }
        let absent = self.space.sets.union(&absent);
        if !unknown.is_empty() && cases.is_empty() && vectors.is_empty() {
            return Loaded {
                sym: Sym::Unknown,
                absent,
            };
        }
        if let Some(unknown) = (!unknown.is_empty()).then(|| self.space.sets.union(&unknown)) {
            let name = describe_field(field, PacketKind::ANY);
            let name = if self.is_reply {
                format!("{name} of the reply")
            } else {
                name
            };
            let settle = "the input does not say it";
            let bits = self.space.fact(
                &name,
                settle,
                &vec![(0, max_of(128))],
                None::<(u128, Source)>,
            );
            vectors.push((bits, unknown));
        }
        let cases = self.merged(cases);
        let mut number = Number::cases(&mut self.space.sets, cases);
        for (bits, packets) in vectors {
            let sets = &mut self.space.sets;
            number = Number::choose(sets, packets, &Number::from(bits), &number);
        }
        Loaded {
            sym: Sym::Number(number),
            absent,
        }
    }

    /// One case for each value.
    fn merged(&mut self, cases: Vec<(u128, Set)>) -> Vec<(u128, Set)> {
        let mut merged: Vec<(u128, Vec<Set>)> = Vec::new();
        for (value, packets) in cases {
            match merged.iter_mut().find(|(known, _)| *known == value) {
                Some((_, sets)) => sets.push(packets),
                None => merged.push((value, vec![packets])),
            }
        }
        merged
            .into_iter()
            .map(|(value, sets)| (value, self.space.sets.union(&sets)))
            .collect()
    }

    pub(super) fn is_bridge(&self, link: u16) -> bool {
        let link = self.host().links.get(usize::from(link));
        link.is_some_and(|link| link.kind == crate::host::LinkKind::Bridge)
    }

    pub(super) fn pf(&self) -> Pf {
        if self.space.v6 { Pf::Ip6 } else { Pf::Ip }
    }
}

/// A question in words that are not of one packet: its addresses by what they are.
fn general(words: &str, roles: &[(String, &'static str)]) -> String {
    let part_of_address = |c: char| c.is_ascii_hexdigit() || c == '.' || c == ':' || c == '/';
    let mut out = String::with_capacity(words.len());
    let mut token = String::new();
    let flush = |token: &mut String, out: &mut String| {
        let role = roles.iter().find(|(text, _)| text == token);
        out.push_str(role.map_or(token.as_str(), |(_, role)| role));
        token.clear();
    };
    for c in words.chars() {
        if part_of_address(c) {
            token.push(c);
        } else {
            flush(&mut token, &mut out);
            out.push(c);
        }
    }
    flush(&mut token, &mut out);
    out
}
