//! All fields of a packet and its context, as functions of the packet as it was first sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::conntrack::{Manip, inverse_icmp};
use crate::eval::{NextHop, Sender};
use crate::packet::proto;
use crate::ruleset::protocol::Base;
use crate::sets::{Point, Set, Sets};

use super::space::{Input, LINK, Space, TRANSPORT};
use super::value::{self, Bits, Number, OneOf};
use super::{From, Seen};

/// An address, and which packets have one of this host there that nobody said.
#[derive(Debug, Clone)]
pub struct Address {
    pub number: Number,
    pub own: Set,
    /// Packets for which the kernel draws it.
    pub drawn: Set,
}

impl Address {
    /// One of this host's, which the kernel chooses for these packets.
    pub(super) fn drawn(number: Number, packets: Set) -> Address {
        Address {
            number,
            own: packets,
            drawn: packets,
        }
    }
}

/// One direction of a conversation (`Tuple`).
#[derive(Debug, Clone)]
pub struct Tuple {
    pub src: Address,
    pub dst: Address,
    pub sport: Number,
    /// Of ICMP type and code.
    pub dport: Number,
}

/// Where packets stand in conntrack (`CtRef`); disjoint, what is in none of them conntrack has not seen.
#[derive(Debug, Clone)]
pub struct Ct {
    pub untracked: Set,
    pub template: Set,
    pub new: Set,
    /// In the direction of the answer.
    pub reply: Set,
    /// Of a conversation that has seen an answer, in either direction; requests and first answers are not among them.
    pub established: Set,
    /// Of a conversation that another one announced.
    pub related: Set,
}

/// A zone (`conntrack::Zone`), and what counts in each direction.
#[derive(Debug, Clone)]
pub struct Zone {
    pub id: Bits,
    pub original: Bits,
    pub reply: Bits,
}

impl Zone {
    fn none() -> Zone {
        let zero = || value::constant(0, 16);
        Zone {
            id: zero(),
            original: zero(),
            reply: zero(),
        }
    }

    pub(super) fn take(&mut self, sets: &mut Sets, packets: Set, other: &Zone) {
        self.id = value::ite(sets, packets, &other.id, &self.id);
        self.original = value::ite(sets, packets, &other.original, &self.original);
        self.reply = value::ite(sets, packets, &other.reply, &self.reply);
    }
}

/// The conntrack entry of each packet's conversation.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Packets whose conversation has one.
    pub exists: Set,
    pub original: Tuple,
    /// What the request looks like behind all translations: the inverse of the reply's tuple.
    pub now: NowTuple,
    /// `ct status`.
    pub status: Bits,
    pub mark: Number,
    pub label: Number,
    pub zone: Zone,
}

/// The tuple that rules translate.
#[derive(Debug, Clone)]
pub struct NowTuple {
    pub src: Number,
    pub dst: Number,
    pub sport: Number,
    pub dport: Number,
    pub own_src: Set,
    pub own_dst: Set,
}

impl NowTuple {
    pub(super) fn of(tuple: &Tuple) -> NowTuple {
        NowTuple {
            src: tuple.src.number.clone(),
            dst: tuple.dst.number.clone(),
            sport: tuple.sport.clone(),
            dport: tuple.dport.clone(),
            own_src: tuple.src.own,
            own_dst: tuple.dst.own,
        }
    }

    /// The tuple, right for these packets.
    pub(super) fn tuple(&self, sets: &mut Sets, packets: Set) -> Tuple {
        let (src, sport) = self.half(sets, Manip::Src, packets);
        let (dst, dport) = self.half(sets, Manip::Dst, packets);
        Tuple {
            src,
            dst,
            sport,
            dport,
        }
    }

    /// The address and port that a translation of this kind changes, right for these packets.
    pub(super) fn half(&self, sets: &mut Sets, manip: Manip, packets: Set) -> (Address, Number) {
        let (address, port, own) = match manip {
            Manip::Src => (&self.src, &self.sport, self.own_src),
            Manip::Dst => (&self.dst, &self.dport, self.own_dst),
        };
        let address = Address {
            number: address.of(sets, packets),
            own,
            drawn: Set::NONE,
        };
        (address, port.of(sets, packets))
    }
}

impl Tuple {
    pub(super) fn take(&mut self, sets: &mut Sets, packets: Set, other: &Tuple) {
        for (own, new) in [(&mut self.src, &other.src), (&mut self.dst, &other.dst)] {
            own.number.write(sets, packets, &new.number);
            own.own = sets.ite(packets, new.own, own.own);
        }
        self.sport.write(sets, packets, &other.sport);
        self.dport.write(sets, packets, &other.dport);
    }

    /// The tuple of an untranslated answer (`nf_ct_invert_tuple`).
    pub(super) fn inverse(&self, space: &mut Space) -> Tuple {
        let icmp = space.protos(&[proto::ICMP, proto::ICMPV6]);
        let turned = inverse_of_icmp(space, &self.dport);
        let sets = &mut space.sets;
        let dport = Number::choose(sets, icmp, &turned, &self.sport);
        let sport = Number::choose(sets, icmp, &self.sport, &self.dport);
        Tuple {
            src: self.dst.clone(),
            dst: self.src.clone(),
            sport,
            dport,
        }
    }

    /// Where both are equal, among these packets.
    pub(super) fn same(&self, sets: &mut Sets, other: &Tuple, packets: Set) -> Set {
        let mut equal = packets;
        for (a, b) in [
            (&self.sport, &other.sport),
            (&self.dport, &other.dport),
            (&self.dst.number, &other.dst.number),
            (&self.src.number, &other.src.number),
        ] {
            let differs = a.differs(sets, b, equal, |_, set| set);
            equal = sets.minus(equal, differs);
        }
        equal
    }
}

/// Type and code of the answer to an ICMP message; what has none stays.
pub(super) fn inverse_of_icmp(space: &mut Space, message: &Number) -> Number {
    let icmp = space.protos(&[proto::ICMP, proto::ICMPV6]);
    let message = message.of(&mut space.sets, icmp).bits(&mut space.sets);
    let kind = message[..8].to_vec();
    let mut answer = kind.clone();
    for of in [proto::ICMP, proto::ICMPV6] {
        let those = space.protos(&[of]);
        for ask in 0..=255u8 {
            let Some(other) = inverse_icmp(of, ask) else {
                continue;
            };
            let is = value::equals(&mut space.sets, &kind, u128::from(ask));
            let is = space.sets.and(is, those);
            let turned = value::constant(u128::from(other), 8);
            answer = value::ite(&mut space.sets, is, &turned, &answer);
        }
    }
    answer.extend_from_slice(&message[8..16]);
    Number::from(answer)
}

/// The socket that a packet comes from (`Sender`).
pub type Socket = Sender;

/// The bits of a packet from the Ethernet header on, cut where the fields begin and end that the stack knows.
#[derive(Debug, Clone)]
pub struct Packet {
    /// Where each part begins, and what it is.
    parts: Vec<(usize, Number)>,
    len: usize,
}

impl Packet {
    pub(super) fn of(v6: bool, bits: &[Set]) -> Packet {
        let fields = [
            Field::Src,
            Field::Dst,
            Field::Sport,
            Field::Dport,
            Field::Ttl,
            Field::Tos,
            Field::Length,
            Field::TcpFlags,
        ];
        let ends = fields.map(|field| {
            let (at, len) = place(v6, field);
            [at, at + len]
        });
        let mut cuts: Vec<usize> = ends.into_iter().flatten().collect();
        cuts.extend([0, LINK, bits.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        let parts = cuts.windows(2);
        let parts = parts.map(|cut| (cut[0], Number::from(bits[cut[0]..cut[1]].to_vec())));
        Packet {
            parts: parts.collect(),
            len: bits.len(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The part that begins here.
    fn part(&self, at: usize) -> &Number {
        let behind = self.parts.partition_point(|(start, _)| *start <= at);
        &self.parts[behind - 1].1
    }

    /// Some bits, right for these packets.
    pub(super) fn read(&self, sets: &mut Sets, at: usize, len: usize, packets: Set) -> Number {
        let mut read: Option<Number> = None;
        for (start, part) in &self.parts {
            let (from, to) = (at.max(*start), (at + len).min(start + part.width()));
            if from >= to {
                continue;
            }
            let own = part.of(sets, packets).part(sets, from - start, to - from);
            read = Some(match read {
                None => own,
                Some(before) => before.then(sets, &own),
            });
        }
        read.unwrap_or_else(|| Number::constant(0, len))
    }

    /// Writes some bits of some packets.
    pub(super) fn write(
        &mut self,
        sets: &mut Sets,
        packets: Set,
        (at, len): (usize, usize),
        new: &Number,
    ) {
        let new = new.clone().fitted(len);
        for (start, part) in &mut self.parts {
            let width = part.width();
            let (from, to) = (at.max(*start), (at + len).min(*start + width));
            if from >= to {
                continue;
            }
            let mut own = new.part(sets, from - at, to - from);
            let old = part.of(sets, packets);
            if from > *start {
                own = old.part(sets, 0, from - *start).then(sets, &own);
            }
            if to < *start + width {
                let kept = old.part(sets, to - *start, *start + width - to);
                own = own.then(sets, &kept);
            }
            part.write(sets, packets, &own);
        }
    }

    fn numbers(&mut self) -> impl Iterator<Item = &mut Number> {
        self.parts.iter_mut().map(|(_, part)| part)
    }
}

/// A packet with its context (`Skb`), of all packets.
#[derive(Debug, Clone)]
pub struct Fields {
    pub packet: Packet,
    /// Packets that have an Ethernet header.
    pub link: Set,
    /// Positions among the links of the host.
    pub iif: OneOf<Option<u16>>,
    pub oif: OneOf<Option<u16>>,
    pub mark: Number,
    /// The priority, and for which packets a rule wrote it.
    pub priority: (Set, Number),
    pub pkttype: Number,
    pub sender: OneOf<Socket>,
    pub route: OneOf<Option<NextHop>>,
    pub ct: Ct,
    pub zone: Zone,
    pub entry: Entry,
    /// Addresses of this host that nobody said.
    pub own_src: Set,
    pub own_dst: Set,
    /// Packets of which a rule has written addresses or ports in the header itself.
    pub tampered: Set,
    /// Packets that `tproxy` has given to a socket.
    pub socket: Set,
}

/// `PACKET_*` and other numbers are eight bits wide.
pub(super) const BYTE: usize = 8;

impl Fields {
    /// Packets as they are first sent.
    pub(super) fn first(space: &mut Space, from: From, mark: Option<u32>, links: usize) -> Fields {
        let packet = space.packet();
        let v6 = space.v6;
        let mut packet = Packet::of(v6, &packet);
        let iif = match from {
            From::Here => OneOf::only(None),
            From::Outside => {
                let index = space.input(Input::Iif);
                let all = (0..links.max(1)).map(|at| {
                    let is = value::equals(&mut space.sets, &index, at as u128);
                    (Some(at as u16), is)
                });
                OneOf(all.collect())
            }
        };
        if from == From::Here {
            let (at, len) = place(v6, Field::Src);
            let none = Number::constant(0, len);
            packet.write(&mut space.sets, Set::ALL, (at, len), &none);
        }
        let mark = match mark {
            Some(mark) => Number::constant(u128::from(mark), 32),
            None => Number::from(space.input(Input::Mark)),
        };
        let (sender, link) = match from {
            From::Outside => (Sender::Outside, Set::ALL),
            From::Here => (Sender::Program, Set::NONE),
        };
        let zero = |width| Number::constant(0, width);
        let address = |v6| Address {
            number: zero(if v6 { 128 } else { 32 }),
            own: Set::NONE,
            drawn: Set::NONE,
        };
        let tuple = Tuple {
            src: address(v6),
            dst: address(v6),
            sport: zero(16),
            dport: zero(16),
        };
        Fields {
            packet,
            link,
            iif,
            oif: OneOf::only(None),
            mark,
            priority: (Set::NONE, zero(32)),
            pkttype: zero(BYTE),
            sender: OneOf::only(sender),
            route: OneOf::only(None),
            ct: Ct {
                untracked: Set::NONE,
                template: Set::NONE,
                new: Set::NONE,
                reply: Set::NONE,
                established: Set::NONE,
                related: Set::NONE,
            },
            zone: Zone::none(),
            entry: Entry {
                exists: Set::NONE,
                now: NowTuple::of(&tuple),
                original: tuple,
                status: value::constant(0, 16),
                mark: zero(32),
                label: zero(128),
                zone: Zone::none(),
            },
            own_src: Set::NONE,
            own_dst: Set::NONE,
            tampered: Set::NONE,
            socket: Set::NONE,
        }
    }

    /// The same for these packets, and whatever takes less room for others.
    pub(super) fn narrowed(&self, sets: &mut Sets, packets: Set) -> Fields {
        let mut narrow = self.clone();
        let entry = &mut narrow.entry;
        entry.exists = sets.simplify(entry.exists, packets);
        value::narrow(sets, &mut entry.status, packets);
        let (original, now) = (&mut entry.original, &mut entry.now);
        let all = [
            &mut narrow.mark,
            &mut narrow.priority.1,
            &mut narrow.pkttype,
            &mut entry.mark,
            &mut entry.label,
            &mut original.src.number,
            &mut original.dst.number,
            &mut original.sport,
            &mut original.dport,
            &mut now.src,
            &mut now.dst,
            &mut now.sport,
            &mut now.dport,
        ];
        for number in narrow.packet.numbers().chain(all) {
            number.narrow(sets, packets);
        }
        narrow
    }

    /// Takes everything but the conntrack entries over from another for some packets; entries are large.
    pub(super) fn take(&mut self, sets: &mut Sets, packets: Set, other: &Fields) {
        let parts = self.packet.numbers().zip(&other.packet.parts);
        for (own, (_, new)) in parts {
            own.write(sets, packets, new);
        }
        self.pkttype.write(sets, packets, &other.pkttype);
        self.priority.1.write(sets, packets, &other.priority.1);
        self.iif.take(sets, packets, &other.iif);
        self.oif.take(sets, packets, &other.oif);
        self.sender.take(sets, packets, &other.sender);
        self.route.take(sets, packets, &other.route);
        self.mark.write(sets, packets, &other.mark);
        self.zone.take(sets, packets, &other.zone);
        for (own, new) in [
            (&mut self.link, other.link),
            (&mut self.priority.0, other.priority.0),
            (&mut self.ct.untracked, other.ct.untracked),
            (&mut self.ct.template, other.ct.template),
            (&mut self.ct.new, other.ct.new),
            (&mut self.ct.reply, other.ct.reply),
            (&mut self.ct.established, other.ct.established),
            (&mut self.ct.related, other.ct.related),
            (&mut self.own_src, other.own_src),
            (&mut self.own_dst, other.own_dst),
            (&mut self.tampered, other.tampered),
            (&mut self.socket, other.socket),
        ] {
            *own = sets.ite(packets, new, *own);
        }
    }

    /// A header field.
    pub(super) fn header(&self, v6: bool, field: Field) -> &Number {
        self.packet.part(place(v6, field).0)
    }

    /// Writes a header field of some packets.
    pub(super) fn write(&mut self, space: &mut Space, packets: Set, field: Field, new: &Number) {
        let place = place(space.v6, field);
        self.packet.write(&mut space.sets, packets, place, new);
    }

    /// The type of ICMP messages.
    pub(super) fn message_type(&self, space: &mut Space) -> Bits {
        let icmp = space.protos(&[proto::ICMP, proto::ICMPV6]);
        let message = self.header(space.v6, Field::Sport);
        let sets = &mut space.sets;
        message.of(sets, icmp).part(sets, 0, 8).bits(sets)
    }

    /// The packets' own tuple (`nf_ct_get_tuple`).
    pub(super) fn tuple(&self, space: &mut Space) -> Tuple {
        let ports = space.with_ports();
        let icmp = space.protos(&[proto::ICMP, proto::ICMPV6]);
        let v6 = space.v6;
        let zero = Number::constant(0, 16);
        let (first, second) = (self.header(v6, Field::Sport), self.header(v6, Field::Dport));
        let sets = &mut space.sets;
        let sport = Number::choose(sets, ports, first, &zero);
        let message = Number::choose(sets, icmp, first, &zero);
        let dport = Number::choose(sets, ports, second, &message);
        Tuple {
            src: Address {
                number: self.header(v6, Field::Src).clone(),
                own: self.own_src,
                drawn: Set::NONE,
            },
            dst: Address {
                number: self.header(v6, Field::Dst).clone(),
                own: self.own_dst,
                drawn: Set::NONE,
            },
            sport,
            dport,
        }
    }

    /// Which of these packets have other addresses or ports than there. An address of the host that nobody said is another
    /// one than any that is known.
    pub fn addressed_otherwise(&self, other: &Fields, packets: Set, space: &mut Space) -> Set {
        let v6 = space.v6;
        let ports = space.with_ports();
        let sets = &mut space.sets;
        let mut found = Vec::new();
        for (field, drawn) in [
            (Field::Src, Some((self.own_src, other.own_src))),
            (Field::Dst, Some((self.own_dst, other.own_dst))),
            (Field::Sport, None),
            (Field::Dport, None),
        ] {
            let mut left = packets;
            if let Some((a, b)) = drawn {
                let either = sets.or(a, b);
                let one = sets.xor(a, b);
                found.push(sets.and(one, packets));
                left = sets.minus(left, either);
            } else {
                left = sets.and(left, ports);
            }
            let (here, there) = (self.header(v6, field), other.header(v6, field));
            found.push(here.differs(sets, there, left, |_, set| set));
        }
        sets.union(&found)
    }

    /// One packet as it is now.
    pub(super) fn seen(&self, space: &Space, point: &Point) -> Seen {
        let number = |field| self.header(space.v6, field).at(&space.sets, point);
        Seen {
            src: address(number(Field::Src), space.v6),
            dst: address(number(Field::Dst), space.v6),
            sport: number(Field::Sport) as u16,
            dport: number(Field::Dport) as u16,
        }
    }

    /// The destination address as it is now.
    pub fn dst(&self, space: &Space) -> &Number {
        self.header(space.v6, Field::Dst)
    }

    /// The source address as it is now.
    pub fn src(&self, space: &Space) -> &Number {
        self.header(space.v6, Field::Src)
    }

    /// The destination port as it is now, of packets that have ports.
    pub fn dport(&self, space: &Space) -> &Number {
        self.header(space.v6, Field::Dport)
    }
}

/// Header fields that the stack itself reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Src,
    Dst,
    Sport,
    Dport,
    Ttl,
    Tos,
    Length,
    TcpFlags,
}

/// Where a header field is in the packet: position and length in bits.
pub(super) fn place(v6: bool, field: Field) -> (usize, usize) {
    let transport = LINK + if v6 { 320 } else { 160 };
    match field {
        Field::Src if v6 => (LINK + 64, 128),
        Field::Dst if v6 => (LINK + 192, 128),
        Field::Src => (LINK + 96, 32),
        Field::Dst => (LINK + 128, 32),
        Field::Sport => (transport, 16),
        Field::Dport => (transport + 16, 16),
        Field::Ttl if v6 => (LINK + 56, 8),
        Field::Ttl => (LINK + 64, 8),
        Field::Tos if v6 => (LINK + 4, 8),
        Field::Tos => (LINK + 8, 8),
        Field::Length if v6 => (LINK + 32, 16),
        Field::Length => (LINK + 16, 16),
        Field::TcpFlags => (transport + 104, 8),
    }
}

/// Whether bits of the packet are part of its tuple.
pub(super) fn in_tuple(v6: bool, at: usize, len: usize) -> bool {
    [Field::Src, Field::Dst, Field::Sport, Field::Dport]
        .into_iter()
        .any(|field| {
            let (start, width) = place(v6, field);
            at < start + width && start < at + len
        })
}

/// Where a header begins, in bits.
pub(super) fn start(v6: bool, base: Base) -> Option<usize> {
    match base {
        Base::Ll => Some(0),
        Base::Nh => Some(LINK),
        Base::Th => Some(LINK + if v6 { 320 } else { 160 }),
        Base::Ih => None,
    }
}

/// How many bits of the transport header are there, by protocol: protocols and bits; the last for all others.
pub(super) const HEADERS: [(&[u8], usize); 2] = [
    (&[proto::TCP], TRANSPORT),
    (&[proto::SCTP, proto::DCCP], 96),
];

/// A number as an address.
pub(super) fn address(bits: u128, v6: bool) -> IpAddr {
    if v6 {
        IpAddr::V6(Ipv6Addr::from_bits(bits))
    } else {
        IpAddr::V4(Ipv4Addr::from_bits(bits as u32))
    }
}
