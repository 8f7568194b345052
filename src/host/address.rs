//! What kind of address an address is for this host.
//!
//! Mirrors `inet_addr_type` and `inet_dev_addr_type` (IPv4) and `nft_fib6_eval_type` (IPv6), which is what `fib … type` asks.

use std::net::IpAddr;

use super::{Host, Origin};

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
    /// The type of an address, seen from one device when `dev` is given (`inet_dev_addr_type`).
    pub fn address_type(&self, _ip: IpAddr, _dev: Option<&str>) -> TypeAnswer {
        TypeAnswer::Unknown {
            missing: String::new(),
        }
    }
}
