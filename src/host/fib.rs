//! The routing decision.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Host, NextHop, Origin, RouteType, Scope, TableId};

/// What the routing decision asks about a packet (`struct flowi4`, `struct flowi6`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteQuery<'a> {
    pub dst: IpAddr,
    /// `None` when the host has not chosen one yet.
    pub src: Option<IpAddr>,
    /// The device that the packet came in through; `None` for packets of this host, which a rule with `iif lo` selects.
    pub iif: Option<&'a str>,
    /// The device that the sender is bound to.
    pub oif: Option<&'a str>,
    pub mark: u32,
    /// The whole TOS or traffic class byte.
    pub tos: u8,
    pub proto: Option<u8>,
    /// `None` when the packet has no ports; a rule that names ports does not select it.
    pub sport: Option<u16>,
    pub dport: Option<u16>,
    /// The sender's user; `None` is root, which the kernel takes for packets without a socket.
    pub uid: Option<u32>,
}

impl<'a> RouteQuery<'a> {
    /// The question of a local sender that asks for nothing special.
    pub fn to(dst: IpAddr) -> Self {
        Self {
            dst,
            src: None,
            iif: None,
            oif: None,
            mark: 0,
            tos: 0,
            proto: None,
            sport: None,
            dport: None,
            uid: None,
        }
    }

    /// The same for a packet that came in.
    pub fn through(dst: IpAddr, src: IpAddr, iif: &'a str) -> Self {
        Self {
            src: Some(src),
            iif: Some(iif),
            ..Self::to(dst)
        }
    }
}

/// The answer of [`Host::route`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteAnswer {
    /// A route decides. It may be one that leads nowhere: look at its `kind`.
    Found(FoundRoute),
    /// The lists are whole and no route fits (`ENETUNREACH`).
    NoRoute,
    /// Facts are missing; which, in words.
    Unknown { missing: String },
}

/// The route that decides (`struct fib_result`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRoute {
    /// Never `Throw`. `Blackhole`, `Unreachable` and `Prohibit` come from a route or from a rule.
    pub kind: RouteType,
    /// The usable next hops; of several the kernel picks one by a hash, so each is possible. The first is the default.
    pub nexthops: Vec<NextHop>,
    /// The source address that the route asks for.
    pub prefsrc: Option<IpAddr>,
    /// `TableId::UNSPEC` when a rule, not a route, decided.
    pub table: TableId,
    pub prefix: IpNet,
    pub scope: Scope,
    pub metric: u32,
    /// Priority of the rule that led here.
    pub rule: u32,
    pub origin: Origin,
}

impl Host {
    /// The routing decision.
    pub fn route(&self, _query: &RouteQuery<'_>) -> RouteAnswer {
        RouteAnswer::Unknown {
            missing: String::new(),
        }
    }
}
