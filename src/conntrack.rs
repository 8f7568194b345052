//! The conntrack entry of the flow that is walked.
//!
//! Mirrors `nf_conntrack_in`, `resolve_normal_ct` and `nf_conntrack_alter_reply` for one conversation: a walk starts
//! without an entry, the request makes one, the reply finds it. Timeouts and TCP windows are not modelled.

use std::net::IpAddr;

use crate::logic::Known;
use crate::packet::proto;
use crate::ruleset::Name;

/// Bits of `ct state` as nft has them (`NF_CT_STATE_*`).
pub mod state {
    pub const INVALID: u32 = 1;
    pub const ESTABLISHED: u32 = 2;
    pub const RELATED: u32 = 4;
    pub const NEW: u32 = 8;
    pub const UNTRACKED: u32 = 64;
}

/// Bits of `ct status` (`enum ip_conntrack_status`).
pub mod status {
    pub const SEEN_REPLY: u32 = 1 << 1;
    pub const ASSURED: u32 = 1 << 2;
    pub const CONFIRMED: u32 = 1 << 3;
    pub const SRC_NAT: u32 = 1 << 4;
    pub const DST_NAT: u32 = 1 << 5;
    pub const SRC_NAT_DONE: u32 = 1 << 7;
    pub const DST_NAT_DONE: u32 = 1 << 8;
    pub const OFFLOAD: u32 = 1 << 14;
}

/// One direction of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    pub src: Known<IpAddr>,
    pub dst: Known<IpAddr>,
    pub proto: u8,
    /// Source port; for ICMP the identifier, which is not modelled.
    pub sport: Known<u16>,
    /// Destination port; for ICMP type and code.
    pub dport: Known<u16>,
}

impl Tuple {
    /// The tuple of an untranslated answer (`nf_ct_invert_tuple`).
    pub fn inverse(&self) -> Tuple {
        let turned = Tuple {
            src: self.dst,
            dst: self.src,
            ..*self
        };
        match (self.proto, self.dport) {
            (proto::ICMP | proto::ICMPV6, Known::Value(port)) => {
                let [kind, code] = port.to_be_bytes();
                let kind = inverse_icmp(self.proto, kind).unwrap_or(kind);
                Tuple {
                    dport: Known::Value(u16::from_be_bytes([kind, code])),
                    ..turned
                }
            }
            _ => Tuple {
                sport: self.dport,
                dport: self.sport,
                ..turned
            },
        }
    }
}

/// The ICMP type of the other direction (`invmap` of nf_conntrack_proto_icmp.c and _icmpv6.c).
pub fn inverse_icmp(protocol: u8, kind: u8) -> Option<u8> {
    const PAIRS: [(u8, u8, u8); 6] = [
        (proto::ICMP, 8, 0),
        (proto::ICMP, 13, 14),
        (proto::ICMP, 15, 16),
        (proto::ICMP, 17, 18),
        (proto::ICMPV6, 128, 129),
        (proto::ICMPV6, 139, 140),
    ];
    PAIRS.iter().find_map(|&(of, ask, answer)| match kind {
        _ if of != protocol => None,
        kind if kind == ask => Some(answer),
        kind if kind == answer => Some(ask),
        _ => None,
    })
}

/// Whether an ICMP type asks for an answer, and so may begin a conversation.
pub fn asks(protocol: u8, kind: u8) -> bool {
    match protocol {
        proto::ICMP => matches!(kind, 8 | 13 | 15 | 17),
        proto::ICMPV6 => matches!(kind, 128 | 139),
        _ => false,
    }
}

/// Which translation, by what it writes (`enum nf_nat_manip_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Manip {
    Src,
    Dst,
}

/// A zone, and the directions that it counts for; in the other one the zone is 0 (`struct nf_conntrack_zone`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone {
    pub id: u16,
    pub original: bool,
    pub reply: bool,
}

impl Default for Zone {
    fn default() -> Zone {
        Zone {
            id: 0,
            original: true,
            reply: true,
        }
    }
}

impl Zone {
    /// The zone of a direction (`nf_ct_zone_id`).
    pub fn of(self, reply: bool) -> u16 {
        let counts = if reply { self.reply } else { self.original };
        if counts { self.id } else { 0 }
    }
}

/// A tracked conversation.
#[derive(Debug, Clone)]
pub struct Entry {
    pub original: Tuple,
    /// What an answer looks like when it comes in.
    pub reply: Tuple,
    pub status: u32,
    pub mark: Known<u32>,
    pub label: Known<u128>,
    pub zone: Zone,
    pub helper: Option<Name>,
}

impl Entry {
    /// A new entry for a first packet.
    pub fn new(original: Tuple, zone: Zone) -> Entry {
        Entry {
            original,
            reply: original.inverse(),
            status: 0,
            mark: Known::Value(0),
            label: Known::Value(0),
            zone,
            helper: None,
        }
    }

    /// Whether the binding of this kind is made (`nf_nat_initialized`).
    pub fn bound(&self, manip: Manip) -> bool {
        let bit = match manip {
            Manip::Src => status::SRC_NAT_DONE,
            Manip::Dst => status::DST_NAT_DONE,
        };
        self.status & bit != 0
    }

    /// Makes the binding: answers will look like `reply`. Sets `snat`/`dnat` only when something changed
    /// (`nf_nat_setup_info`).
    pub fn bind(&mut self, manip: Manip, reply: Tuple) {
        let changed = reply != self.reply;
        self.reply = reply;
        let (done, nat) = match manip {
            Manip::Src => (status::SRC_NAT_DONE, status::SRC_NAT),
            Manip::Dst => (status::DST_NAT_DONE, status::DST_NAT),
        };
        self.status |= done;
        if changed {
            self.status |= nat;
        }
    }
}

/// Where a packet stands in its conversation (`enum ip_conntrack_info`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CtInfo {
    New,
    Established,
    EstablishedReply,
    Related,
    RelatedReply,
}

impl CtInfo {
    /// True for packets in the direction of the answer.
    pub fn is_reply(self) -> bool {
        matches!(self, CtInfo::EstablishedReply | CtInfo::RelatedReply)
    }

    /// The bit of `ct state`.
    pub fn state(self) -> u32 {
        match self {
            CtInfo::New => state::NEW,
            CtInfo::Established | CtInfo::EstablishedReply => state::ESTABLISHED,
            CtInfo::Related | CtInfo::RelatedReply => state::RELATED,
        }
    }

    /// The word of `ct state`.
    pub fn name(self) -> &'static str {
        match self {
            CtInfo::New => "new",
            CtInfo::Established | CtInfo::EstablishedReply => "established",
            CtInfo::Related | CtInfo::RelatedReply => "related",
        }
    }
}

/// What conntrack says of a packet (`skb->_nfct`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CtRef {
    /// Conntrack has not seen it, or took it for invalid: `ct state invalid`, every other key ends the rule.
    #[default]
    None,
    Untracked,
    /// `ct zone set` before the look-up: it counts as new, and has no entry yet (`nft_ct_set_zone_eval`).
    Template,
    /// It belongs to the entry of this walk.
    Tracked(CtInfo),
}
