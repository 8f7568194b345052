//! Where nft's header fields lie, and the matches that a listing leaves out.
//!
//! Offsets count bits in network order from the start of a header: the way raw expressions (`@nh,64,8`) count,
//! and what the kernel loads (`nft_payload_eval`, `nft_exthdr_eval`). Whether a packet has such a header is not
//! decided here: the kernel ends the rule when a load is not possible (no transport header found, a fragment
//! that is not the first, a packet too short).

mod implied;
mod option;

pub use implied::{
    Context, Implied, implied, implied_for_exthdr, implied_for_ip_option, implied_for_reject,
    implied_for_tcp_option, implied_for_tunnel,
};
pub use option::{
    OptionField, exthdr_field, exthdr_kind, exthdr_name, ip_option_field, ip_option_kind,
    option_name, sctp_chunk_field, sctp_chunk_kind, tcp_option_field, tcp_option_kind,
};

use super::datatype::DataType;

/// Where an offset counts from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Base {
    /// The link layer header.
    Ll,
    /// The network header.
    Nh,
    /// The transport header.
    Th,
    /// The data behind the transport header.
    Ih,
}

impl Base {
    /// The base that a raw expression calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "ll" => Some(Self::Ll),
            "nh" => Some(Self::Nh),
            "th" => Some(Self::Th),
            "ih" => Some(Self::Ih),
            _ => None,
        }
    }
}

/// Bits of a packet and what they mean.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PayloadField {
    pub base: Base,
    /// In bits.
    pub offset: u32,
    /// In bits.
    pub len: u32,
    pub data_type: DataType,
}

/// What must hold before a field means anything.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Requirement {
    EtherType(u16),
    /// One of these protocols above the network header.
    L4Proto(&'static [u8]),
    /// One of these ICMP types.
    IcmpType(&'static [u8]),
    /// One of these ICMPv6 types.
    Icmpv6Type(&'static [u8]),
}

pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(crate) const ETHERTYPE_ARP: u16 = 0x0806;
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86dd;
pub(crate) const ETHERTYPE_8021Q: u16 = 0x8100;
pub(crate) const ETHERTYPE_8021AD: u16 = 0x88a8;

/// Protocol, where its fields count from, and the fields: name, offset, length, type.
type Header = (
    &'static str,
    Base,
    &'static [(&'static str, u32, u32, DataType)],
);

const HEADERS: &[Header] = &[
    (
        "ether",
        Base::Ll,
        &[
            ("daddr", 0, 48, DataType::EtherAddr),
            ("saddr", 48, 48, DataType::EtherAddr),
            ("type", 96, 16, DataType::EtherType),
        ],
    ),
    (
        "vlan",
        Base::Ll,
        &[
            ("pcp", 112, 3, DataType::Integer),
            ("dei", 115, 1, DataType::Integer),
            ("cfi", 115, 1, DataType::Integer),
            ("id", 116, 12, DataType::Integer),
            ("type", 128, 16, DataType::EtherType),
        ],
    ),
    (
        "arp",
        Base::Nh,
        &[
            ("htype", 0, 16, DataType::Integer),
            ("ptype", 16, 16, DataType::EtherType),
            ("hlen", 32, 8, DataType::Integer),
            ("plen", 40, 8, DataType::Integer),
            ("operation", 48, 16, DataType::ArpOp),
            ("saddr ether", 64, 48, DataType::EtherAddr),
            ("saddr ip", 112, 32, DataType::Ipv4Addr),
            ("daddr ether", 144, 48, DataType::EtherAddr),
            ("daddr ip", 192, 32, DataType::Ipv4Addr),
        ],
    ),
    (
        "ip",
        Base::Nh,
        &[
            ("version", 0, 4, DataType::Integer),
            ("hdrlength", 4, 4, DataType::Integer),
            ("dscp", 8, 6, DataType::Dscp),
            ("ecn", 14, 2, DataType::Ecn),
            ("length", 16, 16, DataType::Integer),
            ("id", 32, 16, DataType::Integer),
            ("frag-off", 48, 16, DataType::Integer),
            ("ttl", 64, 8, DataType::Integer),
            ("protocol", 72, 8, DataType::InetProto),
            ("checksum", 80, 16, DataType::Integer),
            ("saddr", 96, 32, DataType::Ipv4Addr),
            ("daddr", 128, 32, DataType::Ipv4Addr),
        ],
    ),
    (
        "ip6",
        Base::Nh,
        &[
            ("version", 0, 4, DataType::Integer),
            ("dscp", 4, 6, DataType::Dscp),
            ("ecn", 10, 2, DataType::Ecn),
            ("flowlabel", 12, 20, DataType::Integer),
            ("length", 32, 16, DataType::Integer),
            ("nexthdr", 48, 8, DataType::InetProto),
            ("hoplimit", 56, 8, DataType::Integer),
            ("saddr", 64, 128, DataType::Ipv6Addr),
            ("daddr", 192, 128, DataType::Ipv6Addr),
        ],
    ),
    (
        "icmp",
        Base::Th,
        &[
            ("type", 0, 8, DataType::IcmpType),
            ("code", 8, 8, DataType::IcmpCode),
            ("checksum", 16, 16, DataType::Integer),
            ("id", 32, 16, DataType::Integer),
            ("sequence", 48, 16, DataType::Integer),
            ("gateway", 32, 32, DataType::Integer),
            ("mtu", 48, 16, DataType::Integer),
        ],
    ),
    (
        "igmp",
        Base::Th,
        &[
            ("type", 0, 8, DataType::IgmpType),
            ("mrt", 8, 8, DataType::Integer),
            ("checksum", 16, 16, DataType::Integer),
            ("group", 32, 32, DataType::Integer),
        ],
    ),
    (
        "icmpv6",
        Base::Th,
        &[
            ("type", 0, 8, DataType::Icmpv6Type),
            ("code", 8, 8, DataType::Icmpv6Code),
            ("checksum", 16, 16, DataType::Integer),
            ("parameter-problem", 32, 32, DataType::Integer),
            ("mtu", 32, 32, DataType::Integer),
            ("id", 32, 16, DataType::Integer),
            ("sequence", 48, 16, DataType::Integer),
            ("max-delay", 32, 16, DataType::Integer),
            ("taddr", 64, 128, DataType::Ipv6Addr),
            ("daddr", 192, 128, DataType::Ipv6Addr),
        ],
    ),
    (
        "tcp",
        Base::Th,
        &[
            ("sport", 0, 16, DataType::InetService),
            ("dport", 16, 16, DataType::InetService),
            ("sequence", 32, 32, DataType::Integer),
            ("ackseq", 64, 32, DataType::Integer),
            ("doff", 96, 4, DataType::Integer),
            ("reserved", 100, 4, DataType::Integer),
            ("flags", 104, 8, DataType::TcpFlag),
            ("window", 112, 16, DataType::Integer),
            ("checksum", 128, 16, DataType::Integer),
            ("urgptr", 144, 16, DataType::Integer),
        ],
    ),
    (
        "udp",
        Base::Th,
        &[
            ("sport", 0, 16, DataType::InetService),
            ("dport", 16, 16, DataType::InetService),
            ("length", 32, 16, DataType::Integer),
            ("checksum", 48, 16, DataType::Integer),
        ],
    ),
    (
        "udplite",
        Base::Th,
        &[
            ("sport", 0, 16, DataType::InetService),
            ("dport", 16, 16, DataType::InetService),
            ("csumcov", 32, 16, DataType::Integer),
            ("checksum", 48, 16, DataType::Integer),
        ],
    ),
    (
        "sctp",
        Base::Th,
        &[
            ("sport", 0, 16, DataType::InetService),
            ("dport", 16, 16, DataType::InetService),
            ("vtag", 32, 32, DataType::Integer),
            ("checksum", 64, 32, DataType::Integer),
        ],
    ),
    (
        "dccp",
        Base::Th,
        &[
            ("sport", 0, 16, DataType::InetService),
            ("dport", 16, 16, DataType::InetService),
            ("type", 67, 4, DataType::DccpPktType),
        ],
    ),
    (
        "ah",
        Base::Th,
        &[
            ("nexthdr", 0, 8, DataType::InetProto),
            ("hdrlength", 8, 8, DataType::Integer),
            ("reserved", 16, 16, DataType::Integer),
            ("spi", 32, 32, DataType::Integer),
            ("sequence", 64, 32, DataType::Integer),
        ],
    ),
    (
        "esp",
        Base::Th,
        &[
            ("spi", 0, 32, DataType::Integer),
            ("sequence", 32, 32, DataType::Integer),
        ],
    ),
    (
        "comp",
        Base::Th,
        &[
            ("nexthdr", 0, 8, DataType::InetProto),
            ("flags", 8, 8, DataType::Bitmask),
            ("cpi", 16, 16, DataType::Integer),
        ],
    ),
    (
        "th",
        Base::Th,
        &[
            ("sport", 0, 16, DataType::InetService),
            ("dport", 16, 16, DataType::InetService),
        ],
    ),
    (
        "gre",
        Base::Th,
        &[
            ("flags", 0, 5, DataType::Integer),
            ("version", 13, 3, DataType::Integer),
            ("protocol", 16, 16, DataType::EtherType),
        ],
    ),
    (
        "vxlan",
        Base::Ih,
        &[
            ("flags", 0, 8, DataType::Bitmask),
            ("vni", 32, 24, DataType::Integer),
        ],
    ),
    (
        "geneve",
        Base::Ih,
        &[
            ("type", 16, 16, DataType::EtherType),
            ("vni", 32, 24, DataType::Integer),
        ],
    ),
];

/// Where `field` of `protocol` lies, in a frame with at most one VLAN tag; [`Context::payload_field`] knows
/// more tags. `None` for names this version does not know.
///
/// The fields of gre, vxlan and geneve are those of the tunnel header itself.
pub fn payload_field(protocol: &str, field: &str) -> Option<PayloadField> {
    let (_, base, fields) = HEADERS.iter().find(|(name, ..)| *name == protocol)?;
    let &(_, offset, len, data_type) = fields.iter().find(|(name, ..)| *name == field)?;
    Some(PayloadField {
        base: *base,
        offset,
        len,
        data_type,
    })
}

/// Every field that nft names: protocol, field, place in a frame without a VLAN tag.
pub fn header_fields() -> impl Iterator<Item = (&'static str, &'static str, PayloadField)> {
    HEADERS.iter().flat_map(|(protocol, base, fields)| {
        fields.iter().map(|&(name, offset, len, data_type)| {
            let place = PayloadField {
                base: *base,
                offset,
                len,
                data_type,
            };
            (*protocol, name, place)
        })
    })
}

/// What tells headers at the same place apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PacketKind {
    /// `None`: not known.
    pub v6: Option<bool>,
    /// The protocol above IP; 0 when it is not known.
    pub proto: u8,
}

impl PacketKind {
    /// Nothing is known of the packet.
    pub const ANY: PacketKind = PacketKind { v6: None, proto: 0 };
}

/// nft's name of bits of a packet (`udp length`), or `@base,offset,length`, and the type of their values. Headers share
/// places, and the kind of packet tells them apart.
pub fn payload_name(base: Base, offset: u32, len: u32, of: PacketKind) -> (String, DataType) {
    let fits = |name: &str| match (name, of.v6) {
        // a packet of IP is none of ARP
        ("arp", _) => false,
        ("ip", Some(v6)) => !v6,
        ("ip6", Some(v6)) => v6,
        _ => transport_number(name).is_none_or(|number| number == of.proto),
    };
    let named = HEADERS.iter().find_map(|(name, at, fields)| {
        let here = *at == base && fits(name);
        let field = fields
            .iter()
            .find(|f| here && f.1 == offset && f.2 == len)?;
        Some((format!("{name} {}", field.0), field.3))
    });
    named.unwrap_or_else(|| {
        let base = match base {
            Base::Ll => "ll",
            Base::Nh => "nh",
            Base::Th => "th",
            Base::Ih => "ih",
        };
        (format!("@{base},{offset},{len}"), DataType::Integer)
    })
}

/// The number above the network header of a transport protocol that nft has fields of.
pub(crate) fn transport_number(protocol: &str) -> Option<u8> {
    Some(match protocol {
        "icmp" => 1,
        "igmp" => 2,
        "tcp" => 6,
        "udp" | "vxlan" | "geneve" => 17,
        "dccp" => 33,
        "gre" | "gretap" => 47,
        "esp" => 50,
        "ah" => 51,
        "icmpv6" => 58,
        "comp" => 108,
        "sctp" => 132,
        "udplite" => 136,
        _ => return None,
    })
}

/// What must hold before a field of this protocol means anything: what nft adds to a rule in a family that
/// says nothing about it, see [`implied`] for what it adds in a given family. Empty for unknown names.
pub fn requirements(protocol: &str, field: &str) -> &'static [Requirement] {
    use Requirement::{EtherType, IcmpType, Icmpv6Type, L4Proto};
    const IPV4: Requirement = EtherType(ETHERTYPE_IPV4);
    const IPV6: Requirement = EtherType(ETHERTYPE_IPV6);
    const ICMP: Requirement = L4Proto(&[1]);
    const ICMPV6: Requirement = L4Proto(&[58]);
    match (protocol, field) {
        ("vlan", _) => &[EtherType(ETHERTYPE_8021Q)],
        ("arp", _) => &[EtherType(ETHERTYPE_ARP)],
        ("ip", _) => &[IPV4],
        ("ip6", _) => &[IPV6],
        ("icmp", "id" | "sequence") => &[IPV4, ICMP, IcmpType(&[0, 8])],
        ("icmp", "mtu") => &[IPV4, ICMP, IcmpType(&[3])],
        ("icmp", "gateway") => &[IPV4, ICMP, IcmpType(&[5])],
        ("icmp", _) => &[IPV4, ICMP],
        ("igmp", _) => &[IPV4, L4Proto(&[2])],
        ("icmpv6", "id" | "sequence") => &[IPV6, ICMPV6, Icmpv6Type(&[128, 129])],
        ("icmpv6", "mtu") => &[IPV6, ICMPV6, Icmpv6Type(&[2])],
        ("icmpv6", "parameter-problem") => &[IPV6, ICMPV6, Icmpv6Type(&[4])],
        ("icmpv6", "max-delay") => &[IPV6, ICMPV6, Icmpv6Type(&[130])],
        ("icmpv6", "taddr") => &[IPV6, ICMPV6, Icmpv6Type(&[130, 131, 132, 135, 136, 137])],
        ("icmpv6", "daddr") => &[IPV6, ICMPV6, Icmpv6Type(&[137])],
        ("icmpv6", _) => &[IPV6, ICMPV6],
        ("tcp", _) => &[L4Proto(&[6])],
        ("udp" | "vxlan" | "geneve", _) => &[L4Proto(&[17])],
        ("dccp", _) => &[L4Proto(&[33])],
        ("gre" | "gretap", _) => &[L4Proto(&[47])],
        ("esp", _) => &[L4Proto(&[50])],
        ("ah", _) => &[L4Proto(&[51])],
        ("comp", _) => &[L4Proto(&[108])],
        ("sctp", _) => &[L4Proto(&[132])],
        ("udplite", _) => &[L4Proto(&[136])],
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
