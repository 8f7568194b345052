//! A packet as bytes with what is known of each byte.
//!
//! Header fields that the flow names are real bytes, so a payload expression is a load of bits at base + offset, as
//! in the kernel (`nft_payload_eval`), whatever name nft gives the field. Bytes that nobody named are either
//! assumed (TTL 64) or stand for a [`FactId`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::logic::{FactId, Known, Source};
use crate::ruleset::protocol::{Base, PacketKind};

/// How many bytes are kept; headers fit, payload is not modelled.
const CAPACITY: usize = 128;

/// IP protocol numbers that the model knows by name.
pub mod proto {
    pub const ICMP: u8 = 1;
    pub const IGMP: u8 = 2;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const DCCP: u8 = 33;
    pub const GRE: u8 = 47;
    pub const ESP: u8 = 50;
    pub const AH: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const SCTP: u8 = 132;
    pub const UDPLITE: u8 = 136;

    /// True when the header begins with source and destination port.
    pub fn has_ports(proto: u8) -> bool {
        matches!(proto, TCP | UDP | DCCP | SCTP | UDPLITE)
    }

    /// Customary names, those that the canonical form of a flow has.
    pub const NAMES: &[(&str, u8)] = &[
        ("tcp", TCP),
        ("udp", UDP),
        ("icmp", ICMP),
        ("icmp6", ICMPV6),
        ("sctp", SCTP),
        ("dccp", DCCP),
        ("udplite", UDPLITE),
        ("esp", ESP),
        ("ah", AH),
        ("gre", GRE),
        ("igmp", IGMP),
    ];

    /// The customary name.
    pub fn name(proto: u8) -> Option<&'static str> {
        let mut names = NAMES.iter();
        names
            .find(|(_, number)| *number == proto)
            .map(|(name, _)| *name)
    }
}

/// TCP flag bits.
pub mod tcp {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
    pub const ECE: u8 = 0x40;
    pub const CWR: u8 = 0x80;
}

/// An address as a number.
pub fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The address that a number is; of IPv4 its last 32 bits.
pub fn address(bits: u128, v6: bool) -> IpAddr {
    if v6 {
        IpAddr::V6(Ipv6Addr::from_bits(bits))
    } else {
        IpAddr::V4(Ipv4Addr::from_bits(bits as u32))
    }
}

/// The first and the last address of a prefix, as numbers.
pub fn range_of(net: IpNet) -> (u128, u128) {
    (number(net.network()), number(net.broadcast()))
}

/// What a packet is made from.
#[derive(Debug, Clone)]
pub struct Spec {
    pub v6: bool,
    pub src: Known<IpAddr>,
    pub dst: Known<IpAddr>,
    pub proto: u8,
    pub sport: Known<u16>,
    pub dport: Known<u16>,
    /// ICMP type and code.
    pub icmp: Option<(u8, u8)>,
    /// `None`: SYN for a first packet (assumed).
    pub tcp_flags: Option<u8>,
    pub ttl: Option<u8>,
    pub tos: Option<u8>,
    /// Length of the IP packet in bytes.
    pub length: Option<u16>,
    pub ether_src: Option<[u8; 6]>,
    pub ether_dst: Option<[u8; 6]>,
}

/// What a load of bits gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bits {
    Value(u128),
    /// The header is not there: the kernel's NFT_BREAK.
    Absent,
    /// Exactly the bits of one fact.
    Fact(FactId),
    /// Bits that nothing is known of.
    Unknown,
    /// A value nobody gave: the customary one. The offset from the network or transport header is in bytes.
    Assumed(u128),
}

/// One packet. Cloning is a copy of 200 bytes.
#[derive(Debug, Clone)]
pub struct Packet {
    bytes: [u8; CAPACITY],
    /// Bytes of a header that exist, from the start of the link-layer header.
    len: usize,
    link: Option<usize>,
    network: usize,
    transport: usize,
    /// Bit n: byte n is not known.
    unknown: u128,
    /// Bit n: byte n is a customary value.
    assumed: u128,
    /// Byte ranges that stand for a fact.
    facts: Vec<(u8, u8, FactId)>,
    /// Runs of bits, by first bit and end, that a rule wrote into bytes which are not known or customary otherwise.
    written: Vec<(u16, u16)>,
    pub v6: bool,
    pub proto: u8,
    length_assumed: bool,
}

const LINK: usize = 14;

impl Packet {
    /// Makes a packet, checksums not set.
    pub fn new(spec: &Spec) -> Packet {
        let network = LINK;
        let transport = network + if spec.v6 { 40 } else { 20 };
        let mut p = Packet {
            bytes: [0; CAPACITY],
            len: 0,
            link: Some(0),
            network,
            transport,
            unknown: 0,
            assumed: 0,
            facts: Vec::new(),
            written: Vec::new(),
            v6: spec.v6,
            proto: spec.proto,
            length_assumed: spec.length.is_none(),
        };
        match spec.ether_dst {
            Some(mac) => p.bytes[0..6].copy_from_slice(&mac),
            None => p.mark_unknown(0, 6),
        }
        match spec.ether_src {
            Some(mac) => p.bytes[6..12].copy_from_slice(&mac),
            None => p.mark_unknown(6, 6),
        }
        let ethertype: u16 = if spec.v6 { 0x86dd } else { 0x0800 };
        p.bytes[12..14].copy_from_slice(&ethertype.to_be_bytes());
        let l4 = match spec.proto {
            proto::TCP => 20,
            proto::SCTP | proto::DCCP => 12,
            _ => 8,
        };
        p.len = transport + l4;
        let header = transport - network;
        let length = spec.length.unwrap_or((header + l4) as u16);
        let ttl = spec.ttl.unwrap_or(64);
        let tos = spec.tos.unwrap_or(0);
        if spec.v6 {
            p.bytes[network] = 0x60 | tos >> 4;
            p.bytes[network + 1] = tos << 4;
            let payload = length.saturating_sub(40);
            p.bytes[network + 4..network + 6].copy_from_slice(&payload.to_be_bytes());
            p.bytes[network + 6] = spec.proto;
            p.bytes[network + 7] = ttl;
            p.assume(network + 1, 1, spec.tos.is_none());
            p.mark_unknown(network + 2, 2);
            p.assume(network + 4, 2, spec.length.is_none());
            p.assume(network + 7, 1, spec.ttl.is_none());
        } else {
            p.bytes[network] = 0x45;
            p.bytes[network + 1] = tos;
            p.bytes[network + 2..network + 4].copy_from_slice(&length.to_be_bytes());
            p.bytes[network + 6] = 0x40;
            p.bytes[network + 8] = ttl;
            p.bytes[network + 9] = spec.proto;
            p.assume(network + 1, 1, spec.tos.is_none());
            p.assume(network + 2, 2, spec.length.is_none());
            p.mark_unknown(network + 4, 2);
            p.assume(network + 6, 2, true);
            p.assume(network + 8, 1, spec.ttl.is_none());
            p.mark_unknown(network + 10, 2);
        }
        p.set_address(false, spec.src);
        p.set_address(true, spec.dst);
        p.fill_transport(spec, length.saturating_sub(header as u16));
        p
    }

    /// `length`: bytes from the transport header on.
    fn fill_transport(&mut self, spec: &Spec, length: u16) {
        let t = self.transport;
        if proto::has_ports(spec.proto) {
            self.set_port(false, spec.sport);
            self.set_port(true, spec.dport);
        }
        match spec.proto {
            proto::TCP => {
                self.mark_unknown(t + 4, 8);
                self.bytes[t + 12] = 0x50;
                self.assume(t + 12, 1, true);
                self.bytes[t + 13] = spec.tcp_flags.unwrap_or(tcp::SYN);
                self.assume(t + 13, 1, spec.tcp_flags.is_none());
                self.mark_unknown(t + 14, 4);
                self.assume(t + 18, 2, true);
            }
            proto::UDP | proto::UDPLITE => {
                self.bytes[t + 4..t + 6].copy_from_slice(&length.to_be_bytes());
                self.assume(t + 4, 2, spec.length.is_none());
                self.mark_unknown(t + 6, 2);
            }
            proto::ICMP | proto::ICMPV6 => {
                let echo = if spec.proto == proto::ICMP { 8 } else { 128 };
                let (kind, code) = spec.icmp.unwrap_or((echo, 0));
                self.bytes[t] = kind;
                self.bytes[t + 1] = code;
                self.assume(t, 2, spec.icmp.is_none());
                self.mark_unknown(t + 2, 6);
            }
            proto::SCTP | proto::DCCP => self.mark_unknown(t + 4, 8),
            _ => self.mark_unknown(t, 8),
        }
    }

    fn mark_unknown(&mut self, at: usize, len: usize) {
        self.unknown |= mask(at, len);
        let (from, to) = (at as u16 * 8, (at + len) as u16 * 8);
        self.written
            .retain(|&(start, end)| end <= from || start >= to);
    }

    /// Whether rules wrote all these bits, so that it does not matter what their bytes were.
    fn is_written(&self, bit: usize, end: usize) -> bool {
        let within = |position: usize| {
            self.written
                .iter()
                .any(|&(start, end)| (usize::from(start)..usize::from(end)).contains(&position))
        };
        !self.written.is_empty() && (bit..end).all(within)
    }

    fn assume(&mut self, at: usize, len: usize, assumed: bool) {
        if assumed {
            self.assumed |= mask(at, len);
        } else {
            self.assumed &= !mask(at, len);
        }
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.unknown &= !mask(at, bytes.len());
        self.assumed &= !mask(at, bytes.len());
        let (from, to) = (at as u8, (at + bytes.len()) as u8);
        self.facts
            .retain(|&(start, len, _)| start + len <= from || start >= to);
    }

    fn write_fact(&mut self, at: usize, len: usize, fact: FactId) {
        self.write(at, &[0u8; 16][..len]);
        self.mark_unknown(at, len);
        self.facts.push((at as u8, len as u8, fact));
    }

    fn address_at(&self, destination: bool) -> (usize, usize) {
        match (self.v6, destination) {
            (false, false) => (self.network + 12, 4),
            (false, true) => (self.network + 16, 4),
            (true, false) => (self.network + 8, 16),
            (true, true) => (self.network + 24, 16),
        }
    }

    fn set_address(&mut self, destination: bool, address: Known<IpAddr>) {
        let (at, len) = self.address_at(destination);
        match address {
            Known::Value(IpAddr::V4(ip)) if len == 4 => self.write(at, &ip.octets()),
            Known::Value(IpAddr::V6(ip)) if len == 16 => self.write(at, &ip.octets()),
            Known::Value(_) => self.mark_unknown(at, len),
            Known::Fact(fact) => self.write_fact(at, len, fact),
        }
    }

    fn set_port(&mut self, destination: bool, port: Known<u16>) {
        let at = self.transport + if destination { 2 } else { 0 };
        match port {
            Known::Value(port) => self.write(at, &port.to_be_bytes()),
            Known::Fact(fact) => self.write_fact(at, 2, fact),
        }
    }

    /// Rewrites the source address.
    pub fn set_src(&mut self, address: Known<IpAddr>) {
        self.set_address(false, address);
    }

    /// Rewrites the destination address.
    pub fn set_dst(&mut self, address: Known<IpAddr>) {
        self.set_address(true, address);
    }

    /// Rewrites the source port, when the protocol has ports.
    pub fn set_sport(&mut self, port: Known<u16>) {
        if proto::has_ports(self.proto) {
            self.set_port(false, port);
        }
    }

    /// Rewrites the destination port, when the protocol has ports.
    pub fn set_dport(&mut self, port: Known<u16>) {
        if proto::has_ports(self.proto) {
            self.set_port(true, port);
        }
    }

    fn address(&self, destination: bool) -> Known<IpAddr> {
        let (at, len) = self.address_at(destination);
        if let Some(fact) = self.fact_at(at, len) {
            return Known::Fact(fact);
        }
        Known::Value(if len == 4 {
            let mut octets = [0; 4];
            octets.copy_from_slice(&self.bytes[at..at + 4]);
            IpAddr::from(octets)
        } else {
            let mut octets = [0; 16];
            octets.copy_from_slice(&self.bytes[at..at + 16]);
            IpAddr::from(octets)
        })
    }

    fn port(&self, destination: bool) -> Option<Known<u16>> {
        if !proto::has_ports(self.proto) {
            return None;
        }
        let at = self.transport + if destination { 2 } else { 0 };
        Some(match self.fact_at(at, 2) {
            Some(fact) => Known::Fact(fact),
            None => Known::Value(u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])),
        })
    }

    fn fact_at(&self, at: usize, len: usize) -> Option<FactId> {
        let hit = |&&(start, l, _): &&(u8, u8, FactId)| start as usize == at && l as usize == len;
        self.facts.iter().find(hit).map(|&(_, _, fact)| fact)
    }

    /// Source address.
    pub fn src(&self) -> Known<IpAddr> {
        self.address(false)
    }

    /// Destination address.
    pub fn dst(&self) -> Known<IpAddr> {
        self.address(true)
    }

    /// Source port, for protocols that have ports.
    pub fn sport(&self) -> Option<Known<u16>> {
        self.port(false)
    }

    /// Destination port, for protocols that have ports.
    pub fn dport(&self) -> Option<Known<u16>> {
        self.port(true)
    }

    /// ICMP type and code.
    pub fn icmp(&self) -> Option<(u8, u8)> {
        matches!(self.proto, proto::ICMP | proto::ICMPV6)
            .then(|| (self.bytes[self.transport], self.bytes[self.transport + 1]))
    }

    /// TCP flags.
    pub fn tcp_flags(&self) -> Option<u8> {
        (self.proto == proto::TCP).then(|| self.bytes[self.transport + 13])
    }

    /// Remaining hops.
    pub fn ttl(&self) -> u8 {
        self.bytes[self.network + if self.v6 { 7 } else { 8 }]
    }

    /// Time to live or hop limit, or the fact that a rule has put there.
    pub fn known_ttl(&self) -> Known<u8> {
        match self.load(Base::Nh, self.ttl_at(), 8) {
            Bits::Fact(fact) => Known::Fact(fact),
            Bits::Value(_) | Bits::Assumed(_) | Bits::Absent | Bits::Unknown => {
                Known::Value(self.ttl())
            }
        }
    }

    /// Makes the time to live a fact.
    pub fn set_unknown_ttl(&mut self, fact: FactId) {
        self.store(Base::Nh, self.ttl_at(), 8, Known::Fact(fact));
    }

    /// Where it stands in the header, in bits.
    fn ttl_at(&self) -> u32 {
        if self.v6 { 56 } else { 64 }
    }

    /// Counts one hop off (`ip_decrease_ttl`).
    pub fn decrease_ttl(&mut self) {
        let at = self.network + if self.v6 { 7 } else { 8 };
        self.bytes[at] = self.bytes[at].saturating_sub(1);
    }

    /// Type of service or traffic class.
    pub fn tos(&self) -> u8 {
        if self.v6 {
            self.bytes[self.network] << 4 | self.bytes[self.network + 1] >> 4
        } else {
            self.bytes[self.network + 1]
        }
    }

    /// Length of the IP packet in bytes, and whether it is assumed.
    pub fn length(&self) -> (u32, bool) {
        let at = self.network + if self.v6 { 4 } else { 2 };
        let value = u32::from(u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]]));
        (value + if self.v6 { 40 } else { 0 }, self.length_assumed)
    }

    /// Drops the link-layer header: a packet that this host makes has none before it leaves.
    pub fn without_link_header(mut self) -> Packet {
        self.link = None;
        self
    }

    /// Rewrites the Ethernet destination; `None`: with one that is not known.
    pub fn set_ether_dst(&mut self, mac: Option<[u8; 6]>) {
        match (self.link, mac) {
            (Some(at), Some(mac)) => self.write(at, &mac),
            (Some(at), None) => self.mark_unknown(at, 6),
            (None, _) => {}
        }
    }

    /// Puts a link-layer header of unknown addresses in front: a packet has one from its device on (`neigh_output`).
    pub fn with_new_link_header(&mut self) {
        self.link = Some(0);
        self.mark_unknown(0, 12);
    }

    /// What tells its headers from others.
    pub fn kind(&self) -> PacketKind {
        PacketKind {
            v6: Some(self.v6),
            proto: self.proto,
        }
    }

    /// True when the packet came with a link-layer header.
    pub fn has_link_header(&self) -> bool {
        self.link.is_some()
    }

    fn base(&self, base: Base) -> Option<usize> {
        match base {
            Base::Ll => self.link,
            Base::Nh => Some(self.network),
            Base::Th => Some(self.transport),
            Base::Ih => None,
        }
    }

    /// Loads `len` bits (at most 128) at `offset` bits from a base (`nft_payload_eval`).
    pub fn load(&self, base: Base, offset: u32, len: u32) -> Bits {
        let Some(start) = self.base(base) else {
            return if base == Base::Ih {
                Bits::Unknown
            } else {
                Bits::Absent
            };
        };
        let bit = start * 8 + offset as usize;
        let end = bit + len as usize;
        if len == 0 || len > 128 {
            return Bits::Unknown;
        }
        if end > self.len * 8 {
            // beyond the headers that are modelled: payload may or may not be there
            return Bits::Unknown;
        }
        let (first, last) = (bit / 8, end.div_ceil(8));
        let touched = match self.is_written(bit, end) {
            true => 0,
            false => mask(first, last - first),
        };
        if self.unknown & touched != 0 {
            return match self.fact_at(first, last - first) {
                Some(fact) if bit.is_multiple_of(8) && end.is_multiple_of(8) => Bits::Fact(fact),
                _ => Bits::Unknown,
            };
        }
        let mut value: u128 = 0;
        if last - first <= 16 {
            for &byte in &self.bytes[first..last] {
                value = value << 8 | u128::from(byte);
            }
            value >>= last * 8 - end;
        } else {
            for position in bit..end {
                let byte = self.bytes[position / 8];
                value = value << 1 | u128::from(byte >> (7 - position % 8) & 1);
            }
        }
        value &= crate::logic::max_of(len);
        if self.assumed & touched != 0 {
            Bits::Assumed(value)
        } else {
            Bits::Value(value)
        }
    }

    /// Writes `len` bits at `offset` bits from a base; false when the header is not there.
    pub fn store(&mut self, base: Base, offset: u32, len: u32, value: Known<u128>) -> bool {
        let Some(start) = self.base(base) else {
            return false;
        };
        let bit = start * 8 + offset as usize;
        if bit + len as usize > self.len * 8 || len > 128 {
            return false;
        }
        let (first, last) = (bit / 8, (bit + len as usize).div_ceil(8));
        let whole = bit.is_multiple_of(8) && len.is_multiple_of(8);
        let value = match value {
            Known::Value(value) => value,
            Known::Fact(fact) if whole => {
                self.write_fact(first, last - first, fact);
                return true;
            }
            Known::Fact(_) => {
                self.mark_unknown(first, last - first);
                return true;
            }
        };
        for i in 0..len as usize {
            let position = bit + i;
            let set = value >> (len as usize - 1 - i) & 1 == 1;
            let flag = 0x80u8 >> (position % 8);
            if set {
                self.bytes[position / 8] |= flag;
            } else {
                self.bytes[position / 8] &= !flag;
            }
        }
        if whole {
            let copy: Vec<u8> = self.bytes[first..last].to_vec();
            self.write(first, &copy);
        } else {
            let (from, to) = (first as u8, last as u8);
            self.facts
                .retain(|&(start, len, _)| start + len <= from || start >= to);
            self.written.push((bit as u16, (bit + len as usize) as u16));
        }
        true
    }
}

/// A field that nobody gave, for a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssumedField {
    pub name: &'static str,
    /// How to say otherwise.
    pub settle: &'static str,
    /// For a field that differs from packet to packet: whether its customary value is more than a guess. `None` for one that
    /// the kind of packet settles.
    pub varies: Option<Source>,
}

/// The field with a customary value at a place of the packet.
pub fn assumed_field(v6: bool, proto_number: u8, base: Base, offset: u32) -> AssumedField {
    let byte = offset / 8;
    let field = |name, settle, varies| AssumedField {
        name,
        settle,
        varies,
    };
    let open = Some(Source::Open);
    match (base, v6, byte) {
        (Base::Nh, false, 1) | (Base::Nh, true, 0..=3) => field(
            "type of service",
            "no flag says it; 0 is usual",
            Some(Source::Default),
        ),
        (Base::Nh, false, 2..=3) | (Base::Nh, true, 4..=5) => {
            field("packet length", "say `--length BYTES`", open)
        }
        (Base::Nh, false, 6..=7) => field("fragmentation", "the packet is taken to be whole", None),
        (Base::Nh, false, 8) | (Base::Nh, true, 7) => field(
            "time to live",
            "no flag says it; most senders begin with 64, and each router on the way takes 1",
            open,
        ),
        (Base::Th, _, 0..=1) if matches!(proto_number, proto::ICMP | proto::ICMPV6) => {
            field("icmp type", "--icmp-type", None)
        }
        (Base::Th, _, 13) if proto_number == proto::TCP => field("tcp flags", "--tcp-flags", None),
        (Base::Th, _, 12) if proto_number == proto::TCP && offset.is_multiple_of(8) => field(
            "tcp doff",
            "5 is a header without options; most first packets have some",
            open,
        ),
        (Base::Th, _, 4..=5) if matches!(proto_number, proto::UDP | proto::UDPLITE) => {
            field("udp length", "say `--length BYTES`", open)
        }
        _ => field("header field", "the usual value is taken", None),
    }
}

fn mask(at: usize, len: usize) -> u128 {
    if len == 0 || at >= CAPACITY {
        return 0;
    }
    let ones = if len >= 128 {
        u128::MAX
    } else {
        (1u128 << len) - 1
    };
    ones << at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn udp() -> Packet {
        Packet::new(&Spec {
            v6: false,
            src: Known::Value("10.0.0.2".parse().unwrap()),
            dst: Known::Value("10.0.0.1".parse().unwrap()),
            proto: proto::UDP,
            sport: Known::Fact(FactId(0)),
            dport: Known::Value(53),
            icmp: None,
            tcp_flags: None,
            ttl: None,
            tos: None,
            length: None,
            ether_src: None,
            ether_dst: None,
        })
    }

    #[test]
    fn loads_are_by_offset_whatever_the_field_is_called() {
        let p = udp();
        assert_eq!(p.load(Base::Nh, 96, 32), Bits::Value(0x0a00_0002));
        assert_eq!(p.load(Base::Th, 16, 16), Bits::Value(53));
        assert_eq!(p.load(Base::Th, 0, 16), Bits::Fact(FactId(0)));
        assert_eq!(p.load(Base::Th, 0, 32), Bits::Unknown);
        assert_eq!(p.load(Base::Nh, 64, 8), Bits::Assumed(64));
        assert_eq!(p.load(Base::Nh, 4, 4), Bits::Value(5));
        assert_eq!(p.load(Base::Ll, 96, 16), Bits::Value(0x0800));
        assert_eq!(p.without_link_header().load(Base::Ll, 96, 16), Bits::Absent);
    }

    #[test]
    fn a_rewritten_port_is_no_longer_a_fact() {
        let mut p = udp();
        p.set_sport(Known::Value(40000));
        assert_eq!(p.load(Base::Th, 0, 16), Bits::Value(40000));
        assert!(p.store(Base::Nh, 8, 6, Known::Value(0x08)));
        assert_eq!(p.tos(), 0x20);
    }

    #[test]
    fn bits_that_a_rule_wrote_are_known_the_others_of_their_byte_are_not() {
        let mut p = udp();
        assert_eq!(p.load(Base::Nh, 8, 6), Bits::Assumed(0));
        assert!(p.store(Base::Nh, 8, 6, Known::Value(0x12)));
        assert_eq!(p.load(Base::Nh, 8, 6), Bits::Value(0x12));
        assert_eq!(p.load(Base::Nh, 14, 2), Bits::Assumed(0));
        assert_eq!(p.load(Base::Nh, 8, 8), Bits::Assumed(0x48));
        assert!(p.store(Base::Th, 4, 4, Known::Value(1)));
        assert_eq!(p.load(Base::Th, 4, 4), Bits::Value(1));
        assert_eq!(p.load(Base::Th, 0, 16), Bits::Unknown);
    }
}
