//! The routing decision: rules, tables, routes, next hops.
//!
//! Mirrors `fib_lookup`, `fib_rules_lookup`, `fib4_rule_match`, `fib_table_lookup` and `fib_lookup_good_nhc` for IPv4,
//! `fib6_rule_lookup`, `fib6_table_lookup` and `rt6_select` for IPv6, and the special destinations of
//! `ip_route_output_key_hash_rcu` and `ip_route_input_slow`.
//! Routes that follow from addresses (`fib_add_ifaddr`, `addrconf_add_linklocal`) are derived when no listing has them.
//!
//! Left out: the checks of the input path that are no look-up (martians, reverse path, forwarding), neighbour states as a
//! preference between equal IPv6 routes, and the hash of multipath routes.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    Address, Host, IpFamily, LinkKind, NextHop, Origin, RouteType, RoutingRule, RuleAction, Scope,
    TableId,
};

/// What the routing decision asks about a packet (`struct flowi4`, `struct flowi6`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteQuery<'a> {
    pub dst: IpAddr,
    /// `None` when the host has not chosen one yet. The kernel asks again with the source that the answer led to, which matters
    /// to rules and IPv6 routes that ask for sources (`ip_route_connect`, `ip6_dst_lookup_tail`).
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

/// The bits of the TOS byte that IPv4 routing looks at (`INET_DSCP_LEGACY_TOS_MASK`).
const TOS_MASK_V4: u8 = 0x1c;
/// The bits of the traffic class that a rule's `tos` looks at for IPv6 (`INET_DSCP_MASK`).
const TOS_MASK_V6: u8 = 0xfc;
/// The metric of routes that IPv6 address configuration adds (`IP6_RT_PRIO_ADDRCONF`).
const METRIC_ADDRCONF: u32 = 256;

/// A route as the look-up sees it: listed, or derived from an address.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub kind: RouteType,
    pub prefix: IpNet,
    pub from: Option<IpNet>,
    pub table: TableId,
    pub tos: u8,
    pub metric: u32,
    pub scope: Scope,
    pub prefsrc: Option<IpAddr>,
    pub hops: Hops<'a>,
    pub origin: Origin,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Hops<'a> {
    Listed(&'a [NextHop]),
    Dev(&'a str),
}

/// What one table says about a packet (the `err` of `fib_table_lookup`).
#[derive(Debug)]
pub(super) enum InTable<'e, 'a> {
    Found(&'e Entry<'a>, Vec<NextHop>),
    /// A route that leads nowhere: not 0 and not `EAGAIN`.
    Refused(&'e Entry<'a>),
    /// `EAGAIN`: no route, or `throw`.
    Next,
}

/// What selecting by a rule came to.
enum Selects {
    Yes,
    No,
    /// It depends on selectors that this program does not know.
    Open,
}

impl Host {
    /// The routing decision (`fib_lookup`, `ip6_route_output`/`ip6_route_input`).
    ///
    /// When the lists are partial, a known route that holds the destination still decides; without one the answer is unknown.
    pub fn route(&self, query: &RouteQuery<'_>) -> RouteAnswer {
        match query.dst {
            IpAddr::V4(dst) => self.route_v4(dst, query),
            IpAddr::V6(_) => self.walk_rules(query),
        }
    }

    fn route_v4(&self, dst: Ipv4Addr, query: &RouteQuery<'_>) -> RouteAnswer {
        let special = if dst.is_multicast() {
            Some(RouteType::Multicast)
        } else if dst.is_broadcast() {
            Some(RouteType::Broadcast)
        } else {
            None
        };
        if let (Some(kind), Some(dev)) = (special, query.iif) {
            return RouteAnswer::Found(on_link(kind, query.dst, dev));
        }
        if query.iif.is_some() {
            return self.walk_rules(query);
        }
        if dst.is_unspecified() {
            return RouteAnswer::Found(on_link(RouteType::Local, query.dst, "lo"));
        }
        if let (Some(kind), Some(dev)) = (special, query.oif)
            && (dst.is_broadcast() || dst.octets()[..3] == [224, 0, 0])
        {
            return RouteAnswer::Found(on_link(kind, query.dst, dev));
        }
        match (self.walk_rules(query), query.oif) {
            (RouteAnswer::Found(found), Some(dev)) if is_refusal(found.kind) => RouteAnswer::Found(
                on_link(special.unwrap_or(RouteType::Unicast), query.dst, dev),
            ),
            (RouteAnswer::NoRoute, Some(dev)) => RouteAnswer::Found(on_link(
                special.unwrap_or(RouteType::Unicast),
                query.dst,
                dev,
            )),
            (RouteAnswer::Found(found), _) if !is_refusal(found.kind) => {
                RouteAnswer::Found(match special {
                    // Such a destination is on the link, whatever gateway the route names.
                    Some(kind) => FoundRoute {
                        kind,
                        nexthops: without_gateway(found.nexthops),
                        ..found
                    },
                    None => found,
                })
            }
            (
                answer @ (RouteAnswer::Found(_)
                | RouteAnswer::NoRoute
                | RouteAnswer::Unknown { .. }),
                _,
            ) => answer,
        }
    }

    fn walk_rules(&self, query: &RouteQuery<'_>) -> RouteAnswer {
        let family = IpFamily::of(query.dst);
        let entries = self.entries_towards(query.dst);
        if !self.has_custom_rules(family) {
            return match family {
                IpFamily::V4 => self.without_rules_v4(query, &entries),
                IpFamily::V6 => self.without_rules_v6(query, &entries),
            };
        }
        let rules: Vec<&RoutingRule> = self
            .rules
            .iter()
            .filter(|rule| rule.family == family)
            .collect();
        let mut at = 0;
        while let Some(rule) = rules.get(at) {
            at += 1;
            match self.selects(rule, query) {
                Selects::No => continue,
                Selects::Open => {
                    let what = if rule.unread.is_empty() {
                        "its action".to_owned()
                    } else {
                        rule.unread.join(", ")
                    };
                    return RouteAnswer::Unknown {
                        missing: format!("the meaning of routing rule {} ({what})", rule.priority),
                    };
                }
                Selects::Yes => {}
            }
            let table = match rule.action {
                RuleAction::Table(table) => table,
                RuleAction::Goto(priority) => {
                    // The kernel only jumps forward; a target that does not exist is ignored.
                    if let Some(target) = rules.iter().position(|other| {
                        other.priority == priority && other.priority > rule.priority
                    }) {
                        at = target;
                    }
                    continue;
                }
                RuleAction::Nop => continue,
                RuleAction::Blackhole => {
                    return RouteAnswer::Found(refused_by_rule(RouteType::Blackhole, rule));
                }
                RuleAction::Unreachable => {
                    return RouteAnswer::Found(refused_by_rule(RouteType::Unreachable, rule));
                }
                RuleAction::Prohibit => {
                    return RouteAnswer::Found(refused_by_rule(RouteType::Prohibit, rule));
                }
                RuleAction::L3mdev => match self.vrf_table(query) {
                    Some(table) => table,
                    None => continue,
                },
                RuleAction::Other => {
                    return RouteAnswer::Unknown {
                        missing: format!(
                            "the meaning of routing rule {} (its action)",
                            rule.priority
                        ),
                    };
                }
            };
            match self.look_up(query, entries.iter().filter(|entry| entry.table == table)) {
                InTable::Found(entry, hops) => {
                    if !self.suppresses(rule, entry, &hops) {
                        return RouteAnswer::Found(found(entry, hops, rule.priority));
                    }
                }
                InTable::Refused(entry) => {
                    return RouteAnswer::Found(found(entry, Vec::new(), rule.priority));
                }
                InTable::Next => {
                    let ordinary =
                        matches!(table, TableId::LOCAL | TableId::MAIN | TableId::DEFAULT);
                    if !ordinary
                        && !self.complete.routes(family)
                        && !self.routes.iter().any(|route| route.table == table)
                    {
                        return RouteAnswer::Unknown {
                            missing: format!(
                                "the routes of table {table}, which routing rule {} selects",
                                rule.priority
                            ),
                        };
                    }
                }
            }
        }
        self.nothing_found(query.dst)
    }

    /// `fib_lookup` while `fib_has_custom_rules` is unset: local and main are one trie, in which the longest prefix of both
    /// wins, then the default table.
    fn without_rules_v4(&self, query: &RouteQuery<'_>, entries: &[Entry<'_>]) -> RouteAnswer {
        let merged = |entry: &&Entry<'_>| matches!(entry.table, TableId::LOCAL | TableId::MAIN);
        let last = |entry: &&Entry<'_>| entry.table == TableId::DEFAULT;
        for answer in [
            self.look_up(query, entries.iter().filter(merged)),
            self.look_up(query, entries.iter().filter(last)),
        ] {
            let (entry, hops) = match answer {
                InTable::Found(entry, hops) => (entry, hops),
                InTable::Refused(entry) => (entry, Vec::new()),
                InTable::Next => continue,
            };
            let rule = match entry.table {
                TableId::LOCAL => 0,
                TableId::MAIN => 32766,
                _ => 32767,
            };
            return RouteAnswer::Found(found(entry, hops, rule));
        }
        self.nothing_found(query.dst)
    }

    /// `fib6_rule_lookup` while `fib6_has_custom_rules` is unset: local, then main; there is no default table.
    fn without_rules_v6(&self, query: &RouteQuery<'_>, entries: &[Entry<'_>]) -> RouteAnswer {
        for (table, rule) in [(TableId::LOCAL, 0), (TableId::MAIN, 32766)] {
            match self.look_up(query, entries.iter().filter(|entry| entry.table == table)) {
                InTable::Found(entry, hops) => return RouteAnswer::Found(found(entry, hops, rule)),
                InTable::Refused(entry) => {
                    return RouteAnswer::Found(found(entry, Vec::new(), rule));
                }
                InTable::Next => {}
            }
        }
        self.nothing_found(query.dst)
    }

    fn nothing_found(&self, dst: IpAddr) -> RouteAnswer {
        let family = IpFamily::of(dst);
        if self.complete.routes(family) {
            RouteAnswer::NoRoute
        } else {
            RouteAnswer::Unknown {
                missing: format!("the {family} route to {dst}"),
            }
        }
    }

    /// Whether the rules differ from those that a host starts with (`fib_has_custom_rules`).
    pub fn has_custom_rules(&self, family: IpFamily) -> bool {
        let mut rules = self
            .rules
            .iter()
            .filter(|rule| rule.family == family)
            .peekable();
        if rules.peek().is_none() {
            return false;
        }
        let expected: &[(u32, TableId)] = match family {
            IpFamily::V4 => &[
                (0, TableId::LOCAL),
                (32766, TableId::MAIN),
                (32767, TableId::DEFAULT),
            ],
            IpFamily::V6 => &[(0, TableId::LOCAL), (32766, TableId::MAIN)],
        };
        let mut expected = expected.iter();
        let same = rules.all(|rule| {
            expected.next().is_some_and(|&(priority, table)| {
                rule.priority == priority
                    && rule.action == RuleAction::Table(table)
                    && rule.selects_all()
            })
        });
        !same || expected.next().is_some()
    }

    /// `fib_rule_match` with `fib4_rule_match` or `fib6_rule_match`.
    fn selects(&self, rule: &RoutingRule, query: &RouteQuery<'_>) -> Selects {
        let iif = query.iif.unwrap_or("lo");
        let family = rule.family;
        let tos_mask = match family {
            IpFamily::V4 => TOS_MASK_V4,
            IpFamily::V6 => TOS_MASK_V6,
        };
        let in_net = |net: IpNet, ip: Option<IpAddr>| {
            net.prefix_len() == 0 || ip.is_some_and(|ip| net.contains(&ip))
        };
        let in_range = |(low, high): (u16, u16), port: Option<u16>| {
            port.is_some_and(|port| (low..=high).contains(&port))
        };
        let holds = rule
            .iif
            .as_deref()
            .is_none_or(|dev| dev == iif || self.vrf_of(iif) == Some(dev))
            && rule.oif.as_deref().is_none_or(|dev| {
                query
                    .oif
                    .is_some_and(|oif| oif == dev || self.vrf_of(oif) == Some(dev))
            })
            && rule
                .fwmark
                .is_none_or(|(value, mask)| (value ^ query.mark) & mask == 0)
            && rule
                .uidrange
                .is_none_or(|(low, high)| (low..=high).contains(&query.uid.unwrap_or(0)))
            && rule.from.is_none_or(|net| in_net(net, query.src))
            && rule.to.is_none_or(|net| in_net(net, Some(query.dst)))
            && (rule.tos == 0 || rule.tos == query.tos & tos_mask)
            && rule.dscp.is_none_or(|dscp| dscp == query.tos >> 2)
            && rule.ipproto.is_none_or(|proto| query.proto == Some(proto))
            && rule.sport.is_none_or(|range| in_range(range, query.sport))
            && rule.dport.is_none_or(|range| in_range(range, query.dport));
        match (holds, rule.unread.is_empty()) {
            (true, false) => Selects::Open,
            (true, true) | (false, _) if holds != rule.not => Selects::Yes,
            (true, true) | (false, _) => Selects::No,
        }
    }

    /// `fib4_rule_suppress`, `fib6_rule_suppress`.
    fn suppresses(&self, rule: &RoutingRule, entry: &Entry<'_>, hops: &[NextHop]) -> bool {
        if rule
            .suppress_prefixlength
            .is_some_and(|len| entry.prefix.prefix_len() <= len)
        {
            return true;
        }
        let group = hops
            .first()
            .and_then(|hop| hop.dev.as_deref())
            .and_then(|dev| self.link(dev))
            .and_then(|link| link.group.as_deref());
        rule.suppress_ifgroup
            .as_deref()
            .is_some_and(|suppressed| group == Some(suppressed))
    }

    /// The VRF that a device is a port of.
    fn vrf_of(&self, dev: &str) -> Option<&str> {
        let master = self.link(self.link(dev)?.master.as_deref()?)?;
        matches!(master.kind, LinkKind::Vrf { .. }).then_some(master.name.as_str())
    }

    /// `l3mdev_fib_rule_match`: the table of the VRF that the packet's device is, or is a port of.
    fn vrf_table(&self, query: &RouteQuery<'_>) -> Option<TableId> {
        [query.oif, query.iif]
            .into_iter()
            .flatten()
            .find_map(|dev| {
                let vrf = self.link(self.vrf_of(dev).unwrap_or(dev))?;
                match vrf.kind {
                    LinkKind::Vrf { table } => Some(table),
                    _ => None,
                }
            })
    }

    /// `fib_table_lookup` or `fib6_table_lookup` among entries that hold the destination and are sorted.
    pub(super) fn look_up<'e, 'a: 'e>(
        &self,
        query: &RouteQuery<'_>,
        mut entries: impl Iterator<Item = &'e Entry<'a>> + Clone,
    ) -> InTable<'e, 'a> {
        match query.dst {
            IpAddr::V4(_) => self.look_up_v4(query, &mut entries),
            IpAddr::V6(dst) => self.look_up_v6(dst, query, entries),
        }
    }

    fn look_up_v4<'e, 'a: 'e>(
        &self,
        query: &RouteQuery<'_>,
        entries: &mut impl Iterator<Item = &'e Entry<'a>>,
    ) -> InTable<'e, 'a> {
        // A packet that came in is not bound to a device, and a VRF device stands for its ports.
        let oif = query.oif.filter(|oif| {
            query.iif.is_none()
                && self
                    .link(oif)
                    .is_none_or(|link| !matches!(link.kind, LinkKind::Vrf { .. }))
        });
        for entry in entries {
            if entry.tos != 0 && entry.tos != query.tos & TOS_MASK_V4 {
                continue;
            }
            match entry.kind {
                RouteType::Throw => return InTable::Next,
                RouteType::Blackhole
                | RouteType::Unreachable
                | RouteType::Prohibit
                | RouteType::Nat
                | RouteType::Other => {
                    return InTable::Refused(entry);
                }
                RouteType::Unicast
                | RouteType::Local
                | RouteType::Broadcast
                | RouteType::Multicast
                | RouteType::Anycast => {}
            }
            let hops = self.good_hops(entry, oif);
            if !hops.is_empty() {
                return InTable::Found(entry, hops);
            }
        }
        InTable::Next
    }

    fn look_up_v6<'e, 'a: 'e>(
        &self,
        dst: Ipv6Addr,
        query: &RouteQuery<'_>,
        entries: impl Iterator<Item = &'e Entry<'a>> + Clone,
    ) -> InTable<'e, 'a> {
        let strict = dst.is_multicast() || dst.is_unicast_link_local() || dst.is_loopback();
        // A bound sender gets only routes of its device; the device that a packet came in through is preferred, and
        // demanded only for destinations that mean nothing without one (`rt6_need_strict`).
        let demanded = query.oif.or(query.iif.filter(|_| strict));
        let asks_for = |from: IpNet| query.src.is_some_and(|src| from.contains(&src));
        // `fib6_node_lookup_1` leaves a prefix whose routes ask for other sources without a look at its route for every source;
        // only the default route is found again, because it sits at the root.
        let all = entries.clone();
        let hidden = move |entry: &Entry<'_>| {
            let beside = || {
                all.clone()
                    .filter(|other| other.prefix == entry.prefix)
                    .filter_map(|other| other.from)
            };
            entry.from.is_none()
                && entry.prefix.prefix_len() > 0
                && beside().next().is_some()
                && !beside().any(asks_for)
        };
        let good = entries.filter(|entry| {
            entry.from.is_none_or(asks_for)
                && !hidden(entry)
                && (!self.good_hops(entry, demanded).is_empty()
                    || (is_refusal(entry.kind) && demanded.is_none()))
        });
        let Some(first) = good.clone().next() else {
            return InTable::Next;
        };
        let peers = good.filter(|entry| {
            entry.prefix == first.prefix && entry.from == first.from && entry.metric == first.metric
        });
        let preferred = query.iif.and_then(|iif| {
            peers
                .clone()
                .find(|entry| !self.good_hops(entry, Some(iif)).is_empty())
        });
        let entry = preferred.unwrap_or(first);
        match entry.kind {
            RouteType::Throw => InTable::Next,
            RouteType::Blackhole
            | RouteType::Unreachable
            | RouteType::Prohibit
            | RouteType::Nat
            | RouteType::Other => InTable::Refused(entry),
            RouteType::Unicast
            | RouteType::Local
            | RouteType::Broadcast
            | RouteType::Multicast
            | RouteType::Anycast => {
                let mut hops = self.good_hops(entry, demanded);
                if let Some(at) = query
                    .iif
                    .and_then(|iif| hops.iter().position(|hop| hop.dev.as_deref() == Some(iif)))
                {
                    hops[..=at].rotate_right(1);
                }
                InTable::Found(entry, hops)
            }
        }
    }

    /// The next hops that may be used (`fib_lookup_good_nhc`, `find_match`).
    fn good_hops(&self, entry: &Entry<'_>, oif: Option<&str>) -> Vec<NextHop> {
        let good = |hop: &NextHop| {
            !hop.dead
                && oif.is_none_or(|oif| hop.dev.as_deref() == Some(oif))
                && !(hop.linkdown
                    && hop.dev.as_deref().is_some_and(|dev| {
                        self.ignores_linkdown(IpFamily::of_net(entry.prefix), dev)
                    }))
        };
        match entry.hops {
            Hops::Listed(hops) => hops.iter().filter(|hop| good(hop)).cloned().collect(),
            Hops::Dev(dev) => {
                let linkdown = entry.kind != RouteType::Local
                    && self.link(dev).is_some_and(|link| link.up && !link.carrier);
                Some(NextHop {
                    linkdown,
                    ..NextHop::dev(dev)
                })
                .filter(|hop| good(hop))
                .into_iter()
                .collect()
            }
        }
    }

    /// Every prefix that an answer about an address may depend on: routes, listed and derived, routing rules, subnets, and the
    /// kernel's special ranges. Two addresses that lie in the same of these get the same answers to all questions of this
    /// module and of [`Host::address_type`].
    pub fn prefixes(&self, family: IpFamily) -> Vec<IpNet> {
        let mut found: Vec<IpNet> = Vec::new();
        for route in &self.routes {
            found.extend([Some(route.prefix), route.from].into_iter().flatten());
        }
        for rule in &self.rules {
            found.extend([rule.from, rule.to].into_iter().flatten());
        }
        for address in &self.addresses {
            found.push(IpNet::from(address.ip));
            found.extend(address.peer.map(IpNet::from));
            if let Some(net) = address.subnet() {
                found.extend([
                    net,
                    IpNet::from(net.network()),
                    IpNet::from(net.broadcast()),
                ]);
            }
        }
        self.derive_entries(family, &mut |entry| found.push(entry.prefix));
        // the network itself is the subnet-router anycast address
        let anycast: Vec<IpNet> = found.iter().map(|net| net.network().into()).collect();
        if family == IpFamily::V6 {
            found.extend(anycast);
        }
        let special: &[&str] = match family {
            IpFamily::V4 => &[
                "0.0.0.0/0",
                "0.0.0.0/8",
                "0.0.0.0/32",
                "127.0.0.0/8",
                "224.0.0.0/4",
                "224.0.0.0/24",
                "224.0.0.1/32",
                "255.255.255.255/32",
            ],
            IpFamily::V6 => &[
                "::/0",
                "::/128",
                "::1/128",
                "::/96",
                "::ffff:0:0/96",
                "2000::/3",
                "2001::/32",
                "2001:10::/28",
                "2002::/16",
                "3ffe::/16",
                "fc00::/7",
                "fe80::/10",
                "fe80::/64",
                "fec0::/10",
                "ff00::/8",
                "ff01::/16",
                "ff02::/16",
                "ff05::/16",
                "ff0e::/16",
                "ff01::1/128",
                "ff02::1/128",
            ],
        };
        found.extend(special.iter().filter_map(|text| text.parse::<IpNet>().ok()));
        found.retain(|net| IpFamily::of_net(*net) == family);
        let mut found: Vec<IpNet> = found.iter().map(IpNet::trunc).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The routes, of every table, that hold the destination; best first within a table, and for IPv4 within the trie that
    /// local and main share.
    pub(super) fn entries_towards(&self, dst: IpAddr) -> Vec<Entry<'_>> {
        let family = IpFamily::of(dst);
        let mut entries: Vec<Entry<'_>> = self
            .routes
            .iter()
            .filter(|route| holds(&route.prefix, dst))
            .map(listed)
            .collect();
        self.derive_entries(family, &mut |entry| {
            if holds(&entry.prefix, dst) {
                entries.push(entry);
            }
        });
        entries.sort_by_key(|entry| {
            (
                Reverse(entry.prefix.prefix_len()),
                Reverse(entry.from.map_or(0, |from| from.prefix_len())),
                Reverse(entry.table),
                Reverse(entry.tos),
                entry.metric,
            )
        });
        entries
    }

    /// Whether the local table is known to its end, so that an address it lacks is not one of this host.
    pub(super) fn knows_all_local(&self, family: IpFamily) -> bool {
        self.complete.addresses
            || (self.complete.routes(family) && self.lists_table(TableId::LOCAL, family))
    }

    fn lists_table(&self, table: TableId, family: IpFamily) -> bool {
        self.routes.iter().any(|route| {
            route.table == table
                && route.origin == Origin::Given
                && IpFamily::of_net(route.prefix) == family
        })
    }

    /// The routes that follow from addresses and that no listing has: all of them when routes were not listed, those of the
    /// local table when the listing left that table out, and always those of addresses that are no part of a listing.
    fn derive_entries<'a>(&'a self, family: IpFamily, add: &mut dyn FnMut(Entry<'a>)) {
        let whole = self.complete.routes(family);
        let local_is_listed = whole && self.lists_table(TableId::LOCAL, family);
        let main_is_listed = whole || self.lists_table(TableId::MAIN, family);
        for address in self
            .addresses
            .iter()
            .filter(|address| IpFamily::of(address.ip) == family)
        {
            let own = address.origin != Origin::Given;
            let local = own || !local_is_listed;
            let connected = own || !main_is_listed;
            if local || connected {
                self.derive_from_address(address, &mut |entry| {
                    if if entry.table == TableId::LOCAL {
                        local
                    } else {
                        connected
                    } {
                        add(entry);
                    }
                });
            }
        }
        if local_is_listed {
            return;
        }
        if self.link("lo").is_none_or(|lo| lo.up) {
            let (prefix, prefsrc) = match family {
                IpFamily::V4 => (
                    v4_net(Ipv4Addr::new(127, 0, 0, 0), 8),
                    IpAddr::V4(Ipv4Addr::LOCALHOST),
                ),
                IpFamily::V6 => (
                    host_net(IpAddr::V6(Ipv6Addr::LOCALHOST)),
                    IpAddr::V6(Ipv6Addr::LOCALHOST),
                ),
            };
            add(Entry {
                scope: Scope::HOST,
                ..derived(RouteType::Local, prefix, Some(prefsrc), "lo", Origin::Given)
            });
        }
        if family == IpFamily::V6 {
            let multicast = v6_net(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8);
            for link in self
                .links
                .iter()
                .filter(|link| link.up && link.kind != LinkKind::Loopback && link.master.is_none())
            {
                add(Entry {
                    metric: METRIC_ADDRCONF,
                    ..derived(
                        RouteType::Multicast,
                        multicast,
                        None,
                        &link.name,
                        link.origin,
                    )
                });
            }
        }
    }

    /// `fib_add_ifaddr`, and what addrconf adds for an IPv6 address.
    fn derive_from_address<'a>(&'a self, address: &'a Address, add: &mut dyn FnMut(Entry<'a>)) {
        let Address {
            ip,
            ref dev,
            origin,
            ..
        } = *address;
        let link = self.link(dev);
        let up = link.is_none_or(|link| link.up);
        let loopback = dev == "lo";
        let Some(subnet) = address.subnet() else {
            return;
        };
        match ip {
            IpAddr::V4(_) => {
                let prefsrc = if address.secondary {
                    let primary = self.addresses.iter().find(|other| {
                        other.dev == *dev
                            && !other.secondary
                            && other.prefix_len == address.prefix_len
                            && other.subnet() == Some(subnet)
                    });
                    primary.map_or(ip, |primary| primary.ip)
                } else {
                    ip
                };
                add(Entry {
                    scope: Scope::HOST,
                    ..derived(RouteType::Local, host_net(ip), Some(prefsrc), dev, origin)
                });
                let whole_host = subnet.prefix_len() == 32 && subnet.contains(&ip);
                if !up || address.secondary || whole_host {
                    return;
                }
                if !address.noprefixroute {
                    let kind = if loopback {
                        RouteType::Local
                    } else {
                        RouteType::Unicast
                    };
                    let table = if loopback {
                        TableId::LOCAL
                    } else {
                        TableId::MAIN
                    };
                    let scope = if loopback { Scope::HOST } else { Scope::LINK };
                    add(Entry {
                        table,
                        scope,
                        ..derived(kind, subnet, Some(ip), dev, origin)
                    });
                }
                if subnet.prefix_len() < 31 {
                    let broadcast = host_net(subnet.broadcast());
                    add(Entry {
                        scope: Scope::LINK,
                        ..derived(RouteType::Broadcast, broadcast, Some(ip), dev, origin)
                    });
                }
            }
            IpAddr::V6(_) => {
                if !address.tentative {
                    add(derived(RouteType::Local, host_net(ip), None, dev, origin));
                }
                if up && !loopback && !address.noprefixroute && subnet.prefix_len() < 128 {
                    let entry = derived(RouteType::Unicast, subnet, None, dev, origin);
                    add(Entry {
                        table: TableId::MAIN,
                        metric: METRIC_ADDRCONF,
                        ..entry
                    });
                    if subnet.prefix_len() < 127
                        && self.ip_forward(IpFamily::V6, Some(dev)) == Some(true)
                    {
                        add(derived(
                            RouteType::Anycast,
                            host_net(subnet.network()),
                            None,
                            dev,
                            origin,
                        ));
                    }
                }
            }
        }
    }
}

/// Whether a route of this type leads nowhere (`fib_props[].error`).
pub(super) fn is_refusal(kind: RouteType) -> bool {
    match kind {
        RouteType::Blackhole
        | RouteType::Unreachable
        | RouteType::Prohibit
        | RouteType::Throw
        | RouteType::Nat
        | RouteType::Other => true,
        RouteType::Unicast
        | RouteType::Local
        | RouteType::Broadcast
        | RouteType::Multicast
        | RouteType::Anycast => false,
    }
}

/// Whether a prefix holds an address, of whichever family.
fn holds(prefix: &IpNet, ip: IpAddr) -> bool {
    match (prefix, ip) {
        (IpNet::V4(net), IpAddr::V4(ip)) => {
            let differ = net.addr().to_bits() ^ ip.to_bits();
            differ.leading_zeros() >= u32::from(net.prefix_len())
        }
        (IpNet::V6(net), IpAddr::V6(ip)) => {
            let differ = net.addr().to_bits() ^ ip.to_bits();
            differ.leading_zeros() >= u32::from(net.prefix_len())
        }
        (IpNet::V4(_), IpAddr::V6(_)) | (IpNet::V6(_), IpAddr::V4(_)) => false,
    }
}

fn listed(route: &super::Route) -> Entry<'_> {
    Entry {
        kind: route.kind,
        prefix: route.prefix,
        from: route.from,
        table: route.table,
        tos: route.tos,
        metric: route.metric,
        scope: route.scope,
        prefsrc: route.prefsrc,
        hops: Hops::Listed(&route.nexthops),
        origin: route.origin,
    }
}

/// An entry of the local table.
fn derived(
    kind: RouteType,
    prefix: IpNet,
    prefsrc: Option<IpAddr>,
    dev: &str,
    origin: Origin,
) -> Entry<'_> {
    Entry {
        kind,
        prefix,
        from: None,
        table: TableId::LOCAL,
        tos: 0,
        metric: 0,
        scope: Scope::GLOBAL,
        prefsrc,
        hops: Hops::Dev(dev),
        origin,
    }
}

fn found(entry: &Entry<'_>, nexthops: Vec<NextHop>, rule: u32) -> FoundRoute {
    FoundRoute {
        kind: entry.kind,
        nexthops,
        prefsrc: entry.prefsrc,
        table: entry.table,
        prefix: entry.prefix,
        scope: entry.scope,
        metric: entry.metric,
        rule,
        origin: entry.origin,
    }
}

fn refused_by_rule(kind: RouteType, rule: &RoutingRule) -> FoundRoute {
    let prefix = match rule.family {
        IpFamily::V4 => v4_net(Ipv4Addr::UNSPECIFIED, 0),
        IpFamily::V6 => v6_net(Ipv6Addr::UNSPECIFIED, 0),
    };
    FoundRoute {
        kind,
        nexthops: Vec::new(),
        prefsrc: None,
        table: TableId::UNSPEC,
        prefix,
        scope: Scope::GLOBAL,
        metric: 0,
        rule: rule.priority,
        origin: rule.origin,
    }
}

/// What the kernel makes up when it takes a destination to be on the link without asking the tables.
fn on_link(kind: RouteType, dst: IpAddr, dev: &str) -> FoundRoute {
    FoundRoute {
        kind,
        nexthops: vec![NextHop::dev(dev)],
        prefsrc: None,
        table: TableId::UNSPEC,
        prefix: host_net(dst),
        scope: Scope::LINK,
        metric: 0,
        rule: 0,
        origin: Origin::Given,
    }
}

fn without_gateway(nexthops: Vec<NextHop>) -> Vec<NextHop> {
    nexthops
        .into_iter()
        .map(|hop| NextHop { via: None, ..hop })
        .collect()
}

fn host_net(ip: IpAddr) -> IpNet {
    IpNet::from(ip)
}

fn v4_net(ip: Ipv4Addr, len: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(ip, len))
}

fn v6_net(ip: Ipv6Addr, len: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(ip, len))
}

#[cfg(test)]
mod tests {
    use super::super::{Complete, Link, Route};
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn route(prefix: &str, table: u32, dev: &str) -> Route {
        Route {
            kind: RouteType::Unicast,
            prefix: prefix.parse().expect("a prefix"),
            from: None,
            table: TableId(table),
            nexthops: vec![NextHop::dev(dev)],
            metric: 0,
            prefsrc: None,
            scope: Scope::GLOBAL,
            tos: 0,
            origin: Origin::Given,
        }
    }

    fn whole(routes: Vec<Route>, rules: Vec<RoutingRule>) -> Host {
        let complete = Complete {
            routes4: true,
            routes6: true,
            rules4: true,
            rules6: true,
            ..Complete::default()
        };
        Host {
            routes,
            rules,
            complete,
            ..Host::default()
        }
    }

    fn rule(priority: u32, table: u32) -> RoutingRule {
        RoutingRule::all(
            priority,
            IpFamily::V4,
            RuleAction::Table(TableId(table)),
            Origin::Given,
        )
    }

    /// Table, prefix and first device, or what is missing.
    fn decided(host: &Host, query: &RouteQuery<'_>) -> String {
        match host.route(query) {
            RouteAnswer::Found(found) => {
                let dev = found
                    .nexthops
                    .first()
                    .and_then(|hop| hop.dev.as_deref())
                    .unwrap_or("-");
                format!("{:?} {} {dev}", found.kind, found.prefix)
            }
            RouteAnswer::NoRoute => "no route".to_owned(),
            RouteAnswer::Unknown { missing } => missing,
        }
    }

    #[test]
    fn local_and_main_are_one_trie_until_there_are_rules() {
        let anything = Route {
            kind: RouteType::Local,
            ..route("10.50.0.0/16", 255, "lo")
        };
        let mut host = whole(
            vec![anything, route("10.50.7.0/24", 254, "eth0")],
            Vec::new(),
        );
        let query = RouteQuery::to(ip("10.50.7.1"));
        assert_eq!(decided(&host, &query), "Unicast 10.50.7.0/24 eth0");
        host.rules = vec![rule(0, 255), rule(32766, 254), rule(32767, 253)];
        assert_eq!(decided(&host, &query), "Unicast 10.50.7.0/24 eth0");
        host.rules.insert(1, rule(100, 100));
        assert_eq!(decided(&host, &query), "Local 10.50.0.0/16 lo");
    }

    #[test]
    fn a_rule_that_is_not_understood_leaves_open_what_it_might_select() {
        let mut odd = rule(100, 100);
        odd.to = Some("10.0.0.0/8".parse().expect("a prefix"));
        odd.unread.push("tun_id".into());
        let host = whole(
            vec![route("0.0.0.0/0", 254, "eth0")],
            vec![odd, rule(32766, 254)],
        );
        assert_eq!(
            decided(&host, &RouteQuery::to(ip("10.1.1.1"))),
            "the meaning of routing rule 100 (tun_id)"
        );
        assert_eq!(
            decided(&host, &RouteQuery::to(ip("8.8.8.8"))),
            "Unicast 0.0.0.0/0 eth0"
        );
    }

    #[test]
    fn a_table_that_was_not_listed_is_not_empty() {
        let mut host = whole(
            vec![route("0.0.0.0/0", 254, "eth0")],
            vec![rule(100, 100), rule(32766, 254)],
        );
        let query = RouteQuery::to(ip("8.8.8.8"));
        assert_eq!(decided(&host, &query), "Unicast 0.0.0.0/0 eth0");
        host.complete.routes4 = false;
        assert_eq!(
            decided(&host, &query),
            "the routes of table 100, which routing rule 100 selects"
        );
    }

    #[test]
    fn a_vrf_looks_in_its_own_table() {
        let mut l3mdev = rule(1000, 0);
        l3mdev.action = RuleAction::L3mdev;
        let mut host = whole(
            vec![
                route("0.0.0.0/0", 254, "eth0"),
                route("0.0.0.0/0", 77, "eth1"),
            ],
            vec![l3mdev, rule(0, 255), rule(32766, 254)],
        );
        host.links.push(Link::named(
            "red",
            LinkKind::Vrf { table: TableId(77) },
            Origin::Given,
        ));
        host.links.push(Link {
            master: Some("red".into()),
            ..Link::named("eth1", LinkKind::Physical, Origin::Given)
        });
        let from = ip("192.0.2.1");
        assert_eq!(
            decided(&host, &RouteQuery::through(ip("8.8.8.8"), from, "eth1")),
            "Unicast 0.0.0.0/0 eth1"
        );
        assert_eq!(
            decided(&host, &RouteQuery::through(ip("8.8.8.8"), from, "eth0")),
            "Unicast 0.0.0.0/0 eth0"
        );
        let bound = RouteQuery {
            oif: Some("red"),
            ..RouteQuery::to(ip("8.8.8.8"))
        };
        assert_eq!(decided(&host, &bound), "Unicast 0.0.0.0/0 eth1");
    }

    #[test]
    fn a_dead_or_unwanted_next_hop_is_skipped() {
        let mut both = route("0.0.0.0/0", 254, "eth0");
        both.nexthops = vec![
            NextHop {
                dead: true,
                ..NextHop::dev("eth0")
            },
            NextHop {
                linkdown: true,
                ..NextHop::dev("eth1")
            },
            NextHop::dev("eth2"),
        ];
        let mut host = whole(vec![both], Vec::new());
        let query = RouteQuery::to(ip("8.8.8.8"));
        assert_eq!(decided(&host, &query), "Unicast 0.0.0.0/0 eth1");
        host.sysctls.insert(
            "net.ipv4.conf.eth1.ignore_routes_with_linkdown".into(),
            "1".into(),
        );
        assert_eq!(decided(&host, &query), "Unicast 0.0.0.0/0 eth2");
    }

    #[test]
    fn a_source_specific_route_hides_the_plain_one_beside_it() {
        let asks = Route {
            from: Some("fd00::/64".parse().expect("a prefix")),
            ..route("fd14::/32", 254, "eth0")
        };
        let host = whole(
            vec![
                route("fd14::/32", 254, "eth1"),
                asks,
                route("::/0", 254, "eth2"),
            ],
            Vec::new(),
        );
        let from = |src: &str| RouteQuery {
            src: Some(ip(src)),
            ..RouteQuery::to(ip("fd14::1"))
        };
        assert_eq!(decided(&host, &from("fd00::1")), "Unicast fd14::/32 eth0");
        assert_eq!(decided(&host, &from("fd01::1")), "Unicast ::/0 eth2");
    }

    #[test]
    fn a_whole_list_without_a_route_says_so() {
        let host = whole(vec![route("10.0.0.0/8", 254, "eth0")], Vec::new());
        assert_eq!(decided(&host, &RouteQuery::to(ip("8.8.8.8"))), "no route");
        assert_eq!(
            decided(&host, &RouteQuery::to(ip("2001:db8::1"))),
            "no route"
        );
    }
}
