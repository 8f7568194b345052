//! All fields of a packet and its context, as functions of the packet as it was first sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::conntrack::inverse_icmp;
use crate::eval::{NextHop, Sender};
use crate::packet::proto;
use crate::ruleset::protocol::Base;
use crate::sets::{Point, Set, Sets};

use super::space::{Input, LINK, Space, TRANSPORT};
use super::value::{self, Bits, OneOf, Written};
use super::{From, Seen};

/// An address, and which packets have one of this host there that nobody said.
#[derive(Debug, Clone)]
pub struct Address {
    pub bits: Bits,
    pub own: Set,
    /// Packets for which the kernel draws it.
    pub drawn: Set,
}

impl Address {
    /// One of this host's, which the kernel chooses for these packets.
    pub(super) fn drawn(bits: Bits, packets: Set) -> Address {
        Address {
            bits,
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
    pub sport: Bits,
    /// Of ICMP type and code.
    pub dport: Bits,
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
    pub mark: Written,
    pub label: Written,
    pub zone: Zone,
}

/// The tuple that rules translate.
#[derive(Debug, Clone)]
pub struct NowTuple {
    pub src: Written,
    pub dst: Written,
    pub sport: Written,
    pub dport: Written,
    pub own_src: Set,
    pub own_dst: Set,
}

impl NowTuple {
    pub(super) fn of(tuple: &Tuple) -> NowTuple {
        NowTuple {
            src: Written::new(tuple.src.bits.clone()),
            dst: Written::new(tuple.dst.bits.clone()),
            sport: Written::new(tuple.sport.clone()),
            dport: Written::new(tuple.dport.clone()),
            own_src: tuple.src.own,
            own_dst: tuple.dst.own,
        }
    }

    /// The tuple, right for these packets.
    pub(super) fn tuple(&mut self, sets: &mut Sets, packets: Set) -> Tuple {
        Tuple {
            src: Address {
                bits: self.src.of(sets, packets),
                own: self.own_src,
                drawn: Set::NONE,
            },
            dst: Address {
                bits: self.dst.of(sets, packets),
                own: self.own_dst,
                drawn: Set::NONE,
            },
            sport: self.sport.of(sets, packets),
            dport: self.dport.of(sets, packets),
        }
    }
}

impl Tuple {
    pub(super) fn take(&mut self, sets: &mut Sets, packets: Set, other: &Tuple) {
        for (own, new) in [(&mut self.src, &other.src), (&mut self.dst, &other.dst)] {
            own.bits = value::ite(sets, packets, &new.bits, &own.bits);
            own.own = sets.ite(packets, new.own, own.own);
        }
        self.sport = value::ite(sets, packets, &other.sport, &self.sport);
        self.dport = value::ite(sets, packets, &other.dport, &self.dport);
    }

    /// The tuple of an untranslated answer (`nf_ct_invert_tuple`).
    pub(super) fn inverse(&self, space: &mut Space) -> Tuple {
        let icmp = space.protos(&[proto::ICMP, proto::ICMPV6]);
        let turned = inverse_of_icmp(space, &self.dport);
        let sets = &mut space.sets;
        let dport = value::ite(sets, icmp, &turned, &self.sport);
        let sport = value::ite(sets, icmp, &self.sport, &self.dport);
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
            (&self.dst.bits, &other.dst.bits),
            (&self.src.bits, &other.src.bits),
        ] {
            for (a, b) in a.iter().zip(b) {
                let differs = sets.xor(*a, *b);
                equal = sets.minus(equal, differs);
            }
        }
        equal
    }
}

/// Type and code of the answer to an ICMP message; what has none stays.
pub(super) fn inverse_of_icmp(space: &mut Space, message: &[Set]) -> Bits {
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
    answer
}

/// The socket that a packet comes from (`Sender`).
pub type Socket = Sender;

/// A packet with its context (`Skb`), of all packets.
#[derive(Debug, Clone)]
pub struct Fields {
    /// From the Ethernet header on.
    pub packet: Bits,
    /// Packets that have an Ethernet header.
    pub link: Set,
    /// Positions among the links of the host.
    pub iif: OneOf<Option<u16>>,
    pub oif: OneOf<Option<u16>>,
    pub mark: Written,
    /// The priority, and for which packets a rule wrote it.
    pub priority: (Set, Bits),
    pub pkttype: Bits,
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
}

/// `PACKET_*` and other numbers are eight bits wide.
pub(super) const BYTE: usize = 8;

impl Fields {
    /// Packets as they are first sent.
    pub(super) fn first(space: &mut Space, from: From, mark: Option<u32>, links: usize) -> Fields {
        let mut packet = space.packet();
        let v6 = space.v6;
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
            packet.splice(at..at + len, value::constant(0, len));
        }
        let mark = match mark {
            Some(mark) => value::constant(u128::from(mark), 32),
            None => space.input(Input::Mark),
        };
        let (sender, link) = match from {
            From::Outside => (Sender::Outside, Set::ALL),
            From::Here => (Sender::Program, Set::NONE),
        };
        let zero = |width| value::constant(0, width);
        let address = |v6| Address {
            bits: zero(if v6 { 128 } else { 32 }),
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
            mark: Written::new(mark),
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
                status: zero(16),
                mark: Written::new(zero(32)),
                label: Written::new(zero(128)),
                zone: Zone::none(),
            },
            own_src: Set::NONE,
            own_dst: Set::NONE,
            tampered: Set::NONE,
        }
    }

    /// The same for these packets, and whatever takes less room for others.
    pub(super) fn narrowed(&self, sets: &mut Sets, packets: Set) -> Fields {
        let mut narrow = self.clone();
        let entry = &mut narrow.entry;
        entry.exists = sets.simplify(entry.exists, packets);
        let all = [
            &mut narrow.packet,
            &mut narrow.priority.1,
            &mut narrow.pkttype,
            &mut entry.status,
        ];
        let tuple = &mut entry.original;
        let tuple = [
            &mut tuple.src.bits,
            &mut tuple.dst.bits,
            &mut tuple.sport,
            &mut tuple.dport,
        ];
        for bits in all.into_iter().chain(tuple) {
            value::narrow(sets, bits, packets);
        }
        let now = &mut entry.now;
        for written in [
            &mut narrow.mark,
            &mut entry.mark,
            &mut entry.label,
            &mut now.src,
            &mut now.dst,
            &mut now.sport,
            &mut now.dport,
        ] {
            written.narrow(sets, packets);
        }
        narrow
    }

    /// Takes everything but the conntrack entries over from another for some packets; entries are large.
    pub(super) fn take(&mut self, sets: &mut Sets, packets: Set, other: &mut Fields) {
        self.packet = value::ite(sets, packets, &other.packet, &self.packet);
        self.pkttype = value::ite(sets, packets, &other.pkttype, &self.pkttype);
        self.priority.1 = value::ite(sets, packets, &other.priority.1, &self.priority.1);
        self.iif.take(sets, packets, &other.iif);
        self.oif.take(sets, packets, &other.oif);
        self.sender.take(sets, packets, &other.sender);
        self.route.take(sets, packets, &other.route);
        self.mark.take(sets, packets, &mut other.mark);
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
        ] {
            *own = sets.ite(packets, new, *own);
        }
    }

    /// A header field.
    pub(super) fn header(&self, v6: bool, field: Field) -> &[Set] {
        let (at, len) = place(v6, field);
        &self.packet[at..at + len]
    }

    /// Writes a header field of some packets.
    pub(super) fn write(&mut self, space: &mut Space, packets: Set, field: Field, new: &[Set]) {
        let (at, len) = place(space.v6, field);
        let old = &self.packet[at..at + len];
        let new = value::ite(&mut space.sets, packets, new, old);
        self.packet.splice(at..at + len, new);
    }

    /// The packets' own tuple (`nf_ct_get_tuple`).
    pub(super) fn tuple(&self, space: &mut Space) -> Tuple {
        let ports = space.with_ports();
        let icmp = space.protos(&[proto::ICMP, proto::ICMPV6]);
        let v6 = space.v6;
        let zero = value::constant(0, 16);
        let (first, second) = (self.header(v6, Field::Sport), self.header(v6, Field::Dport));
        let sets = &mut space.sets;
        let sport = value::ite(sets, ports, first, &zero);
        let message = value::ite(sets, icmp, first, &zero);
        let dport = value::ite(sets, ports, second, &message);
        Tuple {
            src: Address {
                bits: self.header(v6, Field::Src).to_vec(),
                own: self.own_src,
                drawn: Set::NONE,
            },
            dst: Address {
                bits: self.header(v6, Field::Dst).to_vec(),
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
            let here = self.header(v6, field).iter();
            for (a, b) in here.zip(other.header(v6, field)) {
                if a == b {
                    continue;
                }
                let (a, b) = (sets.and(*a, left), sets.and(*b, left));
                let differs = sets.xor(a, b);
                left = sets.minus(left, differs);
                found.push(differs);
            }
        }
        sets.union(&found)
    }

    /// One packet as it is now.
    pub(super) fn seen(&self, space: &Space, point: &Point) -> Seen {
        let number = |field| value::at(&space.sets, self.header(space.v6, field), point);
        Seen {
            src: address(number(Field::Src), space.v6),
            dst: address(number(Field::Dst), space.v6),
            sport: number(Field::Sport) as u16,
            dport: number(Field::Dport) as u16,
        }
    }

    /// The destination address as it is now.
    pub fn dst<'f>(&'f self, space: &Space) -> &'f [Set] {
        self.header(space.v6, Field::Dst)
    }

    /// The source address as it is now.
    pub fn src<'f>(&'f self, space: &Space) -> &'f [Set] {
        self.header(space.v6, Field::Src)
    }

    /// The destination port as it is now, of packets that have ports.
    pub fn dport<'f>(&'f self, space: &Space) -> &'f [Set] {
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
