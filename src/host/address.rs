//! What kind of address an address is for this host.
//!
//! Mirrors `inet_addr_type` and `inet_dev_addr_type` (IPv4) and `nft_fib6_eval_type` (IPv6), which is what `fib … type` asks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::fib::{InTable, is_refusal};
use super::{
    FoundRoute, Host, IpFamily, NextHop, Origin, RouteAnswer, RouteQuery, RouteType, TableId,
};

/// `RTN_*` as an answer of `fib … type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressType {
    Unspec,
    Unicast,
    Local,
    Broadcast,
    Anycast,
    Multicast,
    Blackhole,
    Unreachable,
    Prohibit,
}

/// The answer of [`Host::address_type`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeAnswer {
    Known(AddressType, Origin),
    /// Facts are missing; which, in words.
    Unknown {
        missing: String,
    },
}

impl Host {
    /// The type of an address, seen from one device when `dev` is given: a local address of another device is then `Unicast`.
    ///
    /// IPv4 asks the local table alone, so that an address without a route is `Unicast`; IPv6 makes the whole routing decision and says
    /// `Unreachable` for it.
    pub fn address_type(&self, ip: IpAddr, dev: Option<&str>) -> TypeAnswer {
        match ip {
            IpAddr::V4(v4) => self.address_type_v4(v4, dev),
            IpAddr::V6(v6) => self.address_type_v6(v6, dev),
        }
    }

    /// False for addresses that are certainly no broadcast address, without a look-up.
    pub fn may_be_broadcast(&self, ip: IpAddr) -> bool {
        let IpAddr::V4(v4) = ip else { return false };
        // that of a subnet, which has two bits of its own at least, or 0.0.0.0/8
        v4.to_bits() & 3 == 3
            || v4.octets()[0] == 0
            || self
                .routes
                .iter()
                .any(|route| route.kind == RouteType::Broadcast && route.prefix.contains(&ip))
    }

    /// Whether a destination that this route was found for may all the same be an address of this host: the route leads
    /// to everything else, and the list of addresses is partial.
    pub fn may_be_own(&self, route: &FoundRoute) -> bool {
        let family = match route.prefix {
            IpNet::V4(_) => IpFamily::V4,
            IpNet::V6(_) => IpFamily::V6,
        };
        let guessed = matches!(route.origin, Origin::Inferred(_));
        let none_known = || !self.addresses.iter().any(|a| !a.ip.is_loopback());
        route.kind == RouteType::Unicast
            && route.prefix.prefix_len() == 0
            && !self.knows_all_local(family)
            && (guessed || none_known())
    }

    /// `__inet_dev_addr_type`.
    fn address_type_v4(&self, ip: Ipv4Addr, dev: Option<&str>) -> TypeAnswer {
        if ip.octets()[0] == 0 || ip.is_broadcast() {
            return TypeAnswer::Known(AddressType::Broadcast, Origin::Given);
        }
        if ip.is_multicast() {
            return TypeAnswer::Known(AddressType::Multicast, Origin::Given);
        }
        let query = RouteQuery::to(IpAddr::V4(ip));
        let entries = self.entries_towards(query.dst);
        // While there are no rules of its own, local and main are one trie.
        let merged = !self.has_custom_rules(IpFamily::V4);
        let asked = entries.iter().filter(|entry| {
            entry.table == TableId::LOCAL || (merged && entry.table == TableId::MAIN)
        });
        match self.look_up(&query, asked) {
            InTable::Found(entry, hops) if entry.kind != RouteType::Unicast => {
                let kind = if leads_through(&hops, dev) {
                    of_route(entry.kind)
                } else {
                    AddressType::Unicast
                };
                return TypeAnswer::Known(kind, entry.origin);
            }
            InTable::Found(..) | InTable::Refused(_) | InTable::Next => {}
        }
        if self.knows_all_local(IpFamily::V4) {
            return TypeAnswer::Known(AddressType::Unicast, Origin::Given);
        }
        // A partial list: an address that a known route leads away from the host is taken for what the route says.
        match self.route(&query) {
            RouteAnswer::Found(found)
                if found.kind == RouteType::Unicast && !self.may_be_own(&found) =>
            {
                TypeAnswer::Known(AddressType::Unicast, found.origin)
            }
            RouteAnswer::Found(_) | RouteAnswer::NoRoute | RouteAnswer::Unknown { .. } => {
                unknown(IpAddr::V4(ip))
            }
        }
    }

    /// `nft_fib6_eval_type`, `__nft_fib6_eval_type`.
    fn address_type_v6(&self, ip: Ipv6Addr, dev: Option<&str>) -> TypeAnswer {
        let address = IpAddr::V6(ip);
        if ip.is_unspecified() {
            return TypeAnswer::Known(AddressType::Unspec, Origin::Given);
        }
        if ip.is_multicast() {
            return TypeAnswer::Known(AddressType::Multicast, Origin::Given);
        }
        let on_dev = dev.and_then(|dev| {
            self.addresses
                .iter()
                .find(|known| known.ip == address && known.dev == dev && !known.tentative)
        });
        let oif = dev.filter(|_| ip.is_unicast_link_local());
        let found = match self.route(&RouteQuery {
            oif,
            ..RouteQuery::to(address)
        }) {
            RouteAnswer::Found(found) => found,
            RouteAnswer::NoRoute => {
                return TypeAnswer::Known(AddressType::Unreachable, Origin::Given);
            }
            RouteAnswer::Unknown { .. } => return unknown(address),
        };
        if self.may_be_own(&found) {
            return unknown(address);
        }
        if is_refusal(found.kind) {
            return TypeAnswer::Known(of_route(found.kind), found.origin);
        }
        // The subnet-router anycast address counts even without a route of its own (`ipv6_anycast_destination`).
        let has_gateway = found.nexthops.iter().any(|hop| hop.via.is_some());
        let is_subnet_router =
            found.prefix.prefix_len() < 127 && !has_gateway && found.prefix.network() == address;
        let kind = if found.kind == RouteType::Anycast
            || (is_subnet_router && found.kind != RouteType::Local)
        {
            AddressType::Anycast
        } else if on_dev.is_some() || (dev.is_none() && found.kind == RouteType::Local) {
            AddressType::Local
        } else {
            AddressType::Unicast
        };
        TypeAnswer::Known(kind, found.origin)
    }
}

fn leads_through(hops: &[NextHop], dev: Option<&str>) -> bool {
    dev.is_none_or(|dev| hops.first().and_then(|hop| hop.dev.as_deref()) == Some(dev))
}

fn of_route(kind: RouteType) -> AddressType {
    match kind {
        RouteType::Unicast | RouteType::Nat | RouteType::Other => AddressType::Unicast,
        RouteType::Local => AddressType::Local,
        RouteType::Broadcast => AddressType::Broadcast,
        RouteType::Multicast => AddressType::Multicast,
        RouteType::Anycast => AddressType::Anycast,
        RouteType::Blackhole => AddressType::Blackhole,
        RouteType::Unreachable | RouteType::Throw => AddressType::Unreachable,
        RouteType::Prohibit => AddressType::Prohibit,
    }
}

fn unknown(ip: IpAddr) -> TypeAnswer {
    TypeAnswer::Unknown {
        missing: format!("whether {ip} is an address of this host"),
    }
}
