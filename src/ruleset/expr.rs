//! Expressions of lowered rules: fields of the packet and its context, and computations on them.
//!
//! Every single value is a `u128`: header fields as big-endian numbers, addresses as numbers, interface names as 16
//! bytes padded with NUL, marks as plain numbers. So a comparison is a comparison of numbers, whatever the byte
//! order of the kernel's register.

use super::datatype::DataType;
use super::protocol::Base;
use super::{SetId, UnknownId};

/// A relational expression.
#[derive(Debug, Clone)]
pub struct Match {
    pub left: Expr,
    pub op: Op,
    pub right: Operand,
    /// How to show values of the left side.
    pub data_type: DataType,
    /// Holds also where the left side has no value; iptables has such tests, nft has none.
    pub or_absent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    Eq,
    Ne,
    Lt,
    Gt,
    Le,
    Ge,
    /// Any bit of the right side is set in the left.
    AnyBit,
    /// No bit of the right side is set in the left.
    NoBit,
}

/// The right side of a relational expression.
#[derive(Debug, Clone)]
pub enum Operand {
    Value(u128),
    /// Inclusive; prefixes and name wildcards are ranges too.
    Range(u128, u128),
    Set(SetId),
    Expr(Box<Expr>),
}

/// Something that has a value for a packet.
#[derive(Debug, Clone)]
pub enum Expr {
    Const(u128),
    Field(Field),
    /// `(of & mask) ^ xor`, as the kernel's bitwise expression has it.
    Bitwise {
        of: Box<Expr>,
        mask: u128,
        xor: u128,
    },
    /// A bitwise operation on two computed values (kernel 6.9 and later).
    Binary {
        op: BitOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// Shift within `width` bits.
    Shift {
        of: Box<Expr>,
        left: bool,
        by: u32,
        width: u32,
    },
    /// A value looked up by key; a miss ends the rule.
    Lookup {
        key: Box<Expr>,
        map: SetId,
    },
    Concat(Box<[Expr]>),
    /// Counts up or draws lots: `offset..offset + modulus`.
    Numgen {
        random: bool,
        modulus: u32,
        offset: u32,
    },
    /// A hash of packet data with an unknown seed: `offset..offset + modulus`.
    Hash {
        modulus: u32,
        offset: u32,
    },
    Unknown(UnknownId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BitOp {
    And,
    Or,
    Xor,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Field {
    Meta(MetaKey),
    Ct {
        key: CtKey,
        dir: Option<CtDir>,
    },
    /// Bits of the packet; offset and length in bits.
    Payload {
        base: Base,
        offset: u32,
        len: u32,
    },
    /// An IPv6 extension header (`exists` when `presence`); offset and length in bits.
    Exthdr {
        header: u8,
        offset: u32,
        len: u32,
        presence: bool,
    },
    /// An option of TCP, IP, SCTP or DCCP.
    Option {
        of: OptionOf,
        kind: u8,
        offset: u32,
        len: u32,
        presence: bool,
    },
    Fib {
        result: FibResult,
        flags: FibFlags,
    },
    Rt(RtKey),
    Socket(SocketKey),
    /// Passive operating system fingerprint, ipsec state, tunnel metadata: nothing a dump can tell.
    Opaque(OpaqueField),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OptionOf {
    Tcp,
    Ip,
    Sctp,
    Dccp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpaqueField {
    Osf,
    Ipsec,
    Tunnel,
    /// A field of an encapsulated packet.
    Inner,
}

/// `meta` keys (nft(8), META EXPRESSIONS).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetaKey {
    Length,
    Protocol,
    Priority,
    Random,
    Mark,
    Iif,
    Iifname,
    Iiftype,
    Oif,
    Oifname,
    Oiftype,
    Skuid,
    Skgid,
    Nftrace,
    Rtclassid,
    Ibrname,
    Obrname,
    Ibrpvid,
    Ibrvproto,
    Ibrhwaddr,
    Sdif,
    Sdifname,
    Pkttype,
    Cpu,
    Iifgroup,
    Oifgroup,
    Cgroup,
    Nfproto,
    L4proto,
    Secpath,
    Iifkind,
    Oifkind,
    Time,
    Day,
    Hour,
    Secmark,
    Broute,
    /// The bridge port that a packet which br_netfilter had came in by (`nf_bridge_get_physindev`); empty for others. Only iptables asks for it.
    Physin,
    /// The bridge port that it will leave by.
    Physout,
}

impl MetaKey {
    /// Every key with nft's name, its data type and width in bits.
    pub const ALL: &'static [(&'static str, MetaKey, DataType, u32)] = &[
        ("length", MetaKey::Length, DataType::Integer, 32),
        ("protocol", MetaKey::Protocol, DataType::EtherType, 16),
        ("priority", MetaKey::Priority, DataType::ClassId, 32),
        ("random", MetaKey::Random, DataType::Integer, 32),
        ("mark", MetaKey::Mark, DataType::Mark, 32),
        ("iif", MetaKey::Iif, DataType::IfIndex, 32),
        ("iifname", MetaKey::Iifname, DataType::Ifname, 128),
        ("iiftype", MetaKey::Iiftype, DataType::IfaceType, 16),
        ("oif", MetaKey::Oif, DataType::IfIndex, 32),
        ("oifname", MetaKey::Oifname, DataType::Ifname, 128),
        ("oiftype", MetaKey::Oiftype, DataType::IfaceType, 16),
        ("skuid", MetaKey::Skuid, DataType::Uid, 32),
        ("skgid", MetaKey::Skgid, DataType::Gid, 32),
        ("nftrace", MetaKey::Nftrace, DataType::Integer, 1),
        ("rtclassid", MetaKey::Rtclassid, DataType::Realm, 32),
        ("ibrname", MetaKey::Ibrname, DataType::Ifname, 128),
        ("ibriport", MetaKey::Ibrname, DataType::Ifname, 128),
        ("ibridgename", MetaKey::Ibrname, DataType::Ifname, 128),
        ("obrname", MetaKey::Obrname, DataType::Ifname, 128),
        ("obriport", MetaKey::Obrname, DataType::Ifname, 128),
        ("obridgename", MetaKey::Obrname, DataType::Ifname, 128),
        ("ibrpvid", MetaKey::Ibrpvid, DataType::Integer, 16),
        ("ibrvproto", MetaKey::Ibrvproto, DataType::EtherType, 16),
        ("ibrhwaddr", MetaKey::Ibrhwaddr, DataType::EtherAddr, 48),
        ("sdif", MetaKey::Sdif, DataType::IfIndex, 32),
        ("sdifname", MetaKey::Sdifname, DataType::Ifname, 128),
        ("pkttype", MetaKey::Pkttype, DataType::PktType, 8),
        ("cpu", MetaKey::Cpu, DataType::Integer, 32),
        ("iifgroup", MetaKey::Iifgroup, DataType::DevGroup, 32),
        ("oifgroup", MetaKey::Oifgroup, DataType::DevGroup, 32),
        ("cgroup", MetaKey::Cgroup, DataType::Integer, 32),
        ("nfproto", MetaKey::Nfproto, DataType::NfProto, 8),
        ("l4proto", MetaKey::L4proto, DataType::InetProto, 8),
        ("ipsec", MetaKey::Secpath, DataType::Boolean, 8),
        ("secpath", MetaKey::Secpath, DataType::Boolean, 8),
        ("iifkind", MetaKey::Iifkind, DataType::Ifname, 128),
        ("oifkind", MetaKey::Oifkind, DataType::Ifname, 128),
        ("time", MetaKey::Time, DataType::Time, 64),
        ("day", MetaKey::Day, DataType::Day, 8),
        ("hour", MetaKey::Hour, DataType::Hour, 32),
        ("secmark", MetaKey::Secmark, DataType::Integer, 32),
        ("broute", MetaKey::Broute, DataType::Integer, 8),
        ("physdev-in", MetaKey::Physin, DataType::Ifname, 128),
        ("physdev-out", MetaKey::Physout, DataType::Ifname, 128),
    ];

    /// The type of its values.
    pub fn data_type(self) -> DataType {
        MetaKey::ALL
            .iter()
            .find(|(_, key, _, _)| *key == self)
            .map_or(DataType::Integer, |(_, _, data_type, _)| *data_type)
    }

    /// nft's name of the key.
    pub fn name(self) -> &'static str {
        MetaKey::ALL
            .iter()
            .find(|(_, key, _, _)| *key == self)
            .map_or("meta", |(name, _, _, _)| name)
    }
}

/// `ct` keys (nft(8), CONNTRACK EXPRESSIONS).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CtKey {
    State,
    Direction,
    Status,
    Mark,
    Expiration,
    Helper,
    Label,
    L3proto,
    /// Address of the entry; `v6` tells its width.
    Saddr {
        v6: bool,
    },
    Daddr {
        v6: bool,
    },
    Protocol,
    ProtoSrc,
    ProtoDst,
    Bytes,
    Packets,
    Avgpkt,
    Zone,
    Event,
    Id,
    Secmark,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CtDir {
    Original,
    Reply,
}

/// What a `fib` look-up returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FibResult {
    Oif,
    Oifname,
    Type,
    /// `exists` / `missing`.
    Present,
}

/// What goes into a `fib` look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FibFlags {
    pub saddr: bool,
    pub daddr: bool,
    pub mark: bool,
    pub iif: bool,
    pub oif: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RtKey {
    ClassId,
    Nexthop4,
    Nexthop6,
    Mtu,
    Ipsec,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SocketKey {
    Transparent,
    Mark,
    Wildcard,
    Cgroupv2,
}

impl RtKey {
    /// nft's name of the key.
    pub fn name(self) -> &'static str {
        match self {
            RtKey::ClassId => "classid",
            RtKey::Nexthop4 => "ip nexthop",
            RtKey::Nexthop6 => "ip6 nexthop",
            RtKey::Mtu => "mtu",
            RtKey::Ipsec => "ipsec",
        }
    }
}

impl SocketKey {
    /// nft's name of the key.
    pub fn name(self) -> &'static str {
        match self {
            SocketKey::Transparent => "transparent",
            SocketKey::Mark => "mark",
            SocketKey::Wildcard => "wildcard",
            SocketKey::Cgroupv2 => "cgroupv2",
        }
    }
}
