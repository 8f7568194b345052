//! The matches that nft adds to a rule and leaves out of its listing.
//!
//! `tcp dport 22` is `meta l4proto tcp` followed by the port, in every family; with `!=` the added match stays
//! positive. What is added depends on the family and on what the rule has matched before, so a rule is read
//! from left to right with a [`Context`]: take what is implied, then record the match. In a concatenation the
//! implied matches of all parts run first, in the order of the parts, before any part is loaded.
//!
//! Nothing is added for meta, ct, rt, socket, fib, osf, ipsec, numgen and symhash expressions, for `th` and raw
//! fields, TCP options and SCTP chunks, nor for nat, tproxy, dup, fwd, synproxy and queue statements (nat and
//! tproxy to a port demand a transport match that stays visible).
//!
//! What a listing cannot tell, because nft drops a match that was written by hand where it is taken for an
//! added one: `ether type ip ip saddr …` and `meta protocol ip ip saddr …` of a bridge table (they differ for
//! frames with a VLAN tag), `ip6 nexthdr tcp tcp dport …` of an ip6 table (differs behind extension headers),
//! `meta l4proto tcp tcp option … missing` (differs for what is not TCP). The form that nft adds itself is
//! assumed.

use super::{
    Base, DataType, ETHERTYPE_8021AD, ETHERTYPE_8021Q, ETHERTYPE_ARP, ETHERTYPE_IPV4,
    ETHERTYPE_IPV6, PayloadField, payload_field, transport_number,
};

/// `ARPHRD_ETHER`, the hardware type that link layer fields need.
const ARPHRD_ETHER: u128 = 1;
/// `NFPROTO_IPV4` and `NFPROTO_IPV6`.
const NFPROTO_IPV4: u128 = 2;
const NFPROTO_IPV6: u128 = 10;

const ETHER_TYPE: PayloadField = PayloadField {
    base: Base::Ll,
    offset: 96,
    len: 16,
    data_type: DataType::EtherType,
};
const ICMP_TYPE: PayloadField = PayloadField {
    base: Base::Th,
    offset: 0,
    len: 8,
    data_type: DataType::IcmpType,
};
const ICMPV6_TYPE: PayloadField = PayloadField {
    base: Base::Th,
    offset: 0,
    len: 8,
    data_type: DataType::Icmpv6Type,
};

/// One match that is not in the listing: it must hold or the rule ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Implied {
    /// A meta key (`nfproto`, `l4proto`, `protocol`, `iiftype`) has this value.
    Meta(&'static str, u128),
    Payload(PayloadField, u128),
    /// The field has one of these values.
    OneOf(PayloadField, &'static [u128]),
}

/// What the matches of a rule, read so far, say about the packet's protocols.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Context {
    /// VLAN tags known to be there.
    tags: u8,
    /// The ether type of the network header.
    network: Option<u16>,
    transport: Option<u8>,
    /// The ICMP or ICMPv6 type.
    icmp_type: Option<u8>,
}

/// The number of TCP above the network header.
const TCP: u8 = 6;

impl Context {
    /// Keeps what a match on a field says. `value`: the one value of an `==`; `None` for every other operator,
    /// for sets and ranges, and for fields that are only read (map keys, mangle targets).
    pub fn record(&mut self, protocol: &str, field: &str, value: Option<u128>) {
        let value = value.and_then(|value| u16::try_from(value).ok());
        match (protocol, field) {
            ("ether", "type") => self.record_ether_type(value),
            ("vlan", _) => {
                self.tags = self.tags.max(1);
                if field == "type" {
                    self.record_ether_type(value);
                }
            }
            ("arp", _) => self.network = Some(ETHERTYPE_ARP),
            ("ip", _) => self.network = Some(ETHERTYPE_IPV4),
            ("ip6", _) => self.network = Some(ETHERTYPE_IPV6),
            _ => {}
        }
        let byte = value.and_then(|value| u8::try_from(value).ok());
        match (protocol, field) {
            ("ip", "protocol") | ("ip6", "nexthdr") => self.transport = byte.or(self.transport),
            ("icmp" | "icmpv6", "type") => self.icmp_type = byte.or(self.icmp_type),
            _ => {}
        }
        if let Some(number) = transport_number(protocol) {
            self.transport = Some(number);
        }
        match protocol {
            "icmp" | "igmp" => self.network = Some(ETHERTYPE_IPV4),
            "icmpv6" => self.network = Some(ETHERTYPE_IPV6),
            _ => {}
        }
    }

    /// Keeps what a match on a meta key says; `value` as in [`Context::record`].
    pub fn record_meta(&mut self, key: &str, value: Option<u128>) {
        let Some(value) = value else { return };
        match key {
            "protocol" => {
                if let Ok(value) = u16::try_from(value)
                    && matches!(value, ETHERTYPE_IPV4 | ETHERTYPE_ARP | ETHERTYPE_IPV6)
                {
                    self.network = Some(value);
                }
            }
            "nfproto" => match value {
                NFPROTO_IPV4 => self.network = Some(ETHERTYPE_IPV4),
                NFPROTO_IPV6 => self.network = Some(ETHERTYPE_IPV6),
                _ => {}
            },
            "l4proto" => self.transport = u8::try_from(value).ok().or(self.transport),
            _ => {}
        }
    }

    /// Keeps that an IPv6 extension header was looked for.
    pub fn record_exthdr(&mut self) {
        self.network = Some(ETHERTYPE_IPV6);
    }

    /// Keeps that an IPv4 option was looked for.
    pub fn record_ip_option(&mut self) {
        self.network = Some(ETHERTYPE_IPV4);
    }

    /// Where a field lies: a `vlan` field behind `vlan type 8021q` is that of the next tag.
    pub fn payload_field(&self, protocol: &str, field: &str) -> Option<PayloadField> {
        let mut place = payload_field(protocol, field)?;
        if protocol == "vlan" {
            place.offset += 32 * u32::from(self.tags.saturating_sub(1));
        }
        Some(place)
    }

    /// The matches left out before a field, in the order the kernel runs them.
    pub fn implied(&self, family: &str, protocol: &str, field: &str) -> Vec<Implied> {
        let mut implied = Vec::new();
        match protocol {
            "ether" if family != "bridge" && self.tags == 0 => {
                implied.push(Implied::Meta("iiftype", ARPHRD_ETHER));
            }
            "vlan" if self.tags == 0 => {
                if family != "bridge" {
                    implied.push(Implied::Meta("iiftype", ARPHRD_ETHER));
                }
                implied.push(Implied::Payload(ETHER_TYPE, ETHERTYPE_8021Q.into()));
            }
            "ip" => implied.extend(self.network(family, ETHERTYPE_IPV4, Bridge::MetaProtocol)),
            "ip6" => implied.extend(self.network(family, ETHERTYPE_IPV6, Bridge::MetaProtocol)),
            "arp" => implied.extend(self.network(family, ETHERTYPE_ARP, Bridge::EtherType)),
            _ => {}
        }
        let Some(number) = transport_number(protocol) else {
            return implied;
        };
        if self.transport != Some(number) {
            let network = match protocol {
                // In tables of IP nft leaves ICMP of the other version as it is.
                _ if matches!(family, "ip" | "ip6") => None,
                "icmp" | "igmp" => Some(ETHERTYPE_IPV4),
                "icmpv6" => Some(ETHERTYPE_IPV6),
                _ => None,
            };
            implied.extend(
                network.and_then(|network| self.network(family, network, Bridge::EtherType)),
            );
            implied.push(Implied::Meta("l4proto", number.into()));
        }
        implied.extend(self.icmp_type(protocol, field));
        implied
    }

    /// The matches left out before an IPv6 extension header.
    pub fn implied_for_exthdr(&self, family: &str) -> Vec<Implied> {
        // Behind a VLAN tag nft 1.0.6 puts the match elsewhere, where the listing shows it.
        if self.tags > 0 {
            return Vec::new();
        }
        Vec::from_iter(self.network(family, ETHERTYPE_IPV6, Bridge::EtherType))
    }

    /// The matches left out before an IPv4 option.
    pub fn implied_for_ip_option(&self, family: &str) -> Vec<Implied> {
        if self.tags > 0 {
            return Vec::new();
        }
        Vec::from_iter(self.network(family, ETHERTYPE_IPV4, Bridge::EtherType))
    }

    /// The match left out before a `reject`, `kind` being what JSON has as its type: it runs directly before the
    /// statement. (nft puts it first in the rule, and shows it there when statements stand between; the match of
    /// `tcp reset` is always shown.)
    pub fn implied_for_reject(&self, family: &str, kind: Option<&str>) -> Vec<Implied> {
        let network = match kind {
            Some("icmp") => ETHERTYPE_IPV4,
            Some("icmpv6") => ETHERTYPE_IPV6,
            // nft itself wants TCP here, and leaves a match that says so out of every listing
            Some("tcp reset") if self.transport != Some(TCP) => {
                return vec![Implied::Meta("l4proto", TCP.into())];
            }
            _ => return Vec::new(),
        };
        if self.tags > 0 {
            return Vec::new();
        }
        Vec::from_iter(self.network(family, network, Bridge::MetaProtocol))
    }

    fn record_ether_type(&mut self, value: Option<u16>) {
        match value {
            Some(ETHERTYPE_8021Q | ETHERTYPE_8021AD) => self.tags = self.tags.saturating_add(1),
            Some(network) => self.network = Some(network),
            None => {}
        }
    }

    /// The match that makes the network header that of `network`.
    fn network(&self, family: &str, network: u16, bridge: Bridge) -> Option<Implied> {
        let value = u128::from(network);
        if self.network == Some(network) {
            return None;
        }
        match (family, network) {
            ("ip", ETHERTYPE_IPV4) | ("ip6", ETHERTYPE_IPV6) | ("arp", ETHERTYPE_ARP) => None,
            _ if self.tags > 0 => self
                .payload_field("vlan", "type")
                .map(|place| Implied::Payload(place, value)),
            ("inet", ETHERTYPE_IPV4) => Some(Implied::Meta("nfproto", NFPROTO_IPV4)),
            ("inet", ETHERTYPE_IPV6) => Some(Implied::Meta("nfproto", NFPROTO_IPV6)),
            ("bridge", _) if bridge == Bridge::EtherType => {
                Some(Implied::Payload(ETHER_TYPE, value))
            }
            _ => Some(Implied::Meta("protocol", value)),
        }
    }

    fn icmp_type(&self, protocol: &str, field: &str) -> Option<Implied> {
        let known = |types: &[u8]| self.icmp_type.is_some_and(|known| types.contains(&known));
        let one =
            |place, value: u8| (!known(&[value])).then_some(Implied::Payload(place, value.into()));
        match (protocol, field) {
            ("icmp", "id" | "sequence") if known(&[0, 8]) => None,
            ("icmp", "id" | "sequence") => Some(Implied::OneOf(ICMP_TYPE, &[0, 8])),
            ("icmp", "mtu") => one(ICMP_TYPE, 3),
            ("icmp", "gateway") => one(ICMP_TYPE, 5),
            ("icmpv6", "id" | "sequence") if known(&[128, 129]) => None,
            ("icmpv6", "id" | "sequence") => Some(Implied::OneOf(ICMPV6_TYPE, &[128, 129])),
            ("icmpv6", "mtu") => one(ICMPV6_TYPE, 2),
            ("icmpv6", "parameter-problem") => one(ICMPV6_TYPE, 4),
            ("icmpv6", "max-delay") => one(ICMPV6_TYPE, 130),
            // Six types have such an address; alone, nft takes the field for that of a neighbour solicitation.
            ("icmpv6", "taddr") if known(&[130, 131, 132, 135, 136, 137]) => None,
            ("icmpv6", "taddr") => Some(Implied::Payload(ICMPV6_TYPE, 135)),
            ("icmpv6", "daddr") => one(ICMPV6_TYPE, 137),
            _ => None,
        }
    }
}

/// How a bridge table finds the network protocol: nft has both ways.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bridge {
    MetaProtocol,
    EtherType,
}

/// The matches left out before a field that is the first thing a rule looks at.
pub fn implied(family: &str, protocol: &str, field: &str) -> Vec<Implied> {
    Context::default().implied(family, protocol, field)
}

/// The matches left out before an IPv6 extension header that is the first thing a rule looks at.
pub fn implied_for_exthdr(family: &str) -> Vec<Implied> {
    Context::default().implied_for_exthdr(family)
}

/// The matches left out before an IPv4 option that is the first thing a rule looks at.
pub fn implied_for_ip_option(family: &str) -> Vec<Implied> {
    Context::default().implied_for_ip_option(family)
}

/// The matches left out before a TCP option: none, the kernel itself looks for TCP only.
pub fn implied_for_tcp_option(_family: &str) -> Vec<Implied> {
    Vec::new()
}

/// The matches left out before a `reject` that is all a rule has.
pub fn implied_for_reject(family: &str, kind: Option<&str>) -> Vec<Implied> {
    Context::default().implied_for_reject(family, kind)
}

/// The match left out before an expression on the packet inside a tunnel (`vxlan`, `geneve`, `gre`, `gretap`).
/// What is implied inside follows, read from the inner packet.
pub fn implied_for_tunnel(tunnel: &str) -> Vec<Implied> {
    match tunnel {
        "vxlan" | "geneve" | "gre" | "gretap" => transport_number(tunnel)
            .map(|number| Implied::Meta("l4proto", number.into()))
            .into_iter()
            .collect(),
        _ => Vec::new(),
    }
}
