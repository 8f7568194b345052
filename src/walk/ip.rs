//! The IP stack between the hooks: `ip_rcv`, `ip_route_input`, `ip_forward`, `ip_local_deliver`, `ip_local_out`,
//! `ip_output`, and the IPv6 pairs.

use std::net::{IpAddr, Ipv6Addr};

use crate::conntrack::{CtRef, status};
use crate::eval::{Iface, NextHop, Pf, Sender, Skb, own_address_claim};
use crate::host::{FoundRoute, IpFamily, RouteAnswer, RouteQuery, RouteType};
use crate::logic::{Claim, FactId, Known, Source};
use crate::packet::proto;
use crate::ruleset::Hook;

use super::step::{BridgeStep, Disposition, HostDrop, RoutingDecision, RoutingStep, StepKind};
use super::{Ended, OTHERHOST, Record, Walker};

/// What the routing decision of a received packet is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Decision {
    Input,
    Forward {
        oif: Iface,
        next_hop: Option<IpAddr>,
    },
    /// The packet has a route that drops it (`ip_error`, `ip6_pkt_drop`): it goes on until the IP stack hands it there.
    Refused(HostDrop),
}

impl<R: Record> Walker<'_, R> {
    /// A packet that the link layer hands up (`ip_rcv`).
    pub(super) fn ip_receive(&mut self, skb: &mut Skb) -> Ended {
        let pf = Self::pf(skb);
        let passed = self
            .ip_checked(skb)
            .and_then(|()| self.run_all(skb, pf, Hook::Prerouting));
        match passed {
            Err(ended) => ended,
            Ok(()) => self.ip_received(skb),
        }
    }

    /// What is looked at before any chain of IP (`ip_rcv_core`, `ip6_rcv_core`): whether the frame was for this station,
    /// and for IPv6 addresses that never come in by a wire.
    pub(super) fn ip_checked(&mut self, skb: &Skb) -> Result<(), Ended> {
        let pf = Self::pf(skb);
        let within = self.is_loopback(skb.iif);
        let mut drop = |why| Err(self.host_drop(skb, pf, Hook::Prerouting, why));
        if skb.pkttype == OTHERHOST {
            return drop(HostDrop::OtherHost);
        }
        let v6 = |ip: Known<IpAddr>| match ip {
            Known::Value(IpAddr::V6(v6)) => Some(v6),
            Known::Value(IpAddr::V4(_)) | Known::Fact(_) => None,
        };
        let (src, dst) = (v6(skb.packet.src()), v6(skb.packet.dst()));
        // IPV6_ADDR_MC_SCOPE: 0 is reserved, 1 stays on its interface
        let scope = |dst: Ipv6Addr| dst.is_multicast().then(|| dst.octets()[1] & 0xf);
        if src.is_some_and(|src| src.is_multicast() || src.is_loopback() && !within) {
            return drop(HostDrop::MartianSource);
        }
        if dst.is_some_and(|dst| {
            scope(dst) == Some(0) || !within && (dst.is_loopback() || scope(dst) == Some(1))
        }) {
            return drop(HostDrop::MartianDestination);
        }
        Ok(())
    }

    /// A packet that has passed prerouting (`ip_rcv_finish`).
    pub(super) fn ip_received(&mut self, skb: &mut Skb) -> Ended {
        let decision = match self.route_input(skb) {
            Err(ended) => return ended,
            Ok(decision) => decision,
        };
        if matches!(decision, Decision::Input) && !self.is_loopback(skb.iif) {
            self.early_demux(skb);
        }
        self.ip_routed(skb, decision)
    }

    /// The socket that an answer is for is looked up with its route (`tcp_v4_early_demux`, `udp_v4_early_demux`).
    fn early_demux(&self, skb: &mut Skb) {
        let off = |key: &str| self.host().sysctl(key) == Some(0);
        let Some((uid, gid)) = self.opened.filter(|_| !off("net.ipv4.ip_early_demux")) else {
            return;
        };
        let sure = match skb.packet.proto {
            proto::TCP if !off("net.ipv4.tcp_early_demux") => true,
            proto::UDP if !off("net.ipv4.udp_early_demux") => false,
            _ => return,
        };
        skb.sender = Sender::Receiver { sure };
        (skb.uid, skb.gid) = (uid, gid);
    }

    /// A packet that has passed prerouting and has its route (`dst_input`).
    pub(super) fn ip_routed(&mut self, skb: &mut Skb, decision: Decision) -> Ended {
        match decision {
            Decision::Input => self.deliver(skb),
            Decision::Forward { oif, next_hop } => self.forward(skb, oif, next_hop),
            Decision::Refused(why) => {
                let pf = Self::pf(skb);
                self.complain(skb, why);
                self.host_drop(skb, pf, Hook::Prerouting, why)
            }
        }
    }

    /// Where a packet goes whose destination is not known.
    fn unrouted(&self, fact: FactId) -> Ended {
        let fact = self.know.fact(fact);
        Disposition::Unknown {
            because: format!(
                "the destination is {}, so its route is not known",
                fact.name
            ),
            settle: fact.settle.clone(),
        }
    }

    /// `ip_route_input_slow`, `ip6_route_input`
    pub(super) fn route_input(&mut self, skb: &mut Skb) -> Result<Decision, Ended> {
        let pf = Self::pf(skb);
        let dst = match skb.packet.dst() {
            Known::Value(dst) => dst,
            Known::Fact(fact) if self.know.fact(fact).own_address => {
                if !self.is_loopback(skb.iif) {
                    let src = skb.packet.src().value();
                    self.validate_source(skb, src, None, None)?;
                }
                self.routed(skb, RoutingDecision::Local, None, false);
                return Ok(Decision::Input);
            }
            Known::Fact(fact) => return Err(self.unrouted(fact)),
        };
        let src = skb.packet.src().value();
        if self.is_loopback(skb.iif) {
            // skb_valid_dst: a packet that loops back keeps its route
            self.routed(
                skb,
                RoutingDecision::Local,
                Some("local, by the loopback device".into()),
                false,
            );
            return Ok(Decision::Input);
        }
        let dev = self.name(skb.iif);
        let host = self.host();
        let localnet = || {
            dev.and_then(|dev| host.route_localnet(dev))
                .unwrap_or(false)
        };
        if let Some(IpAddr::V4(src)) = src {
            let bad = src.is_multicast() || src.is_broadcast() || src.is_loopback() && !localnet();
            if bad {
                return Err(self.host_drop(skb, pf, Hook::Prerouting, HostDrop::MartianSource));
            }
        }
        if dst.is_ipv4() && dst.is_loopback() && !localnet() {
            return Err(self.host_drop(skb, pf, Hook::Prerouting, HostDrop::MartianDestination));
        }
        if dst.is_ipv6() && dst.is_loopback() {
            // rt6_need_strict: only a route of the interface that it came by would do
            return Ok(Decision::Refused(HostDrop::NoRoute));
        }
        if let IpAddr::V4(v4) = dst
            && v4.is_broadcast()
        {
            // ip_route_input_slow: a host that has no address yet may ask for one
            let zeronet = |src: &IpAddr| matches!(src, IpAddr::V4(v4) if v4.octets()[0] == 0);
            let src = src.filter(|src| !zeronet(src));
            self.validate_source(skb, src, None, None)?;
            self.routed(skb, RoutingDecision::Broadcast, None, false);
            return Ok(Decision::Input);
        }
        if src.is_some_and(|src| src.is_ipv4() && src.is_unspecified()) && !dst.is_multicast() {
            return Err(self.host_drop(skb, pf, Hook::Prerouting, HostDrop::MartianSource));
        }
        if dst.is_ipv4() && dst.is_unspecified() {
            return Err(self.host_drop(skb, pf, Hook::Prerouting, HostDrop::MartianDestination));
        }
        if dst.is_ipv4() && dst.is_multicast() && dev.is_none() {
            // ip_route_input_rcu: whatever interface it is, and whatever routes there are
            return self.multicast_in(skb, dst, None);
        }
        let query = RouteQuery {
            src,
            iif: dev,
            mark: self.route_mark(skb),
            tos: skb.packet.tos(),
            proto: Some(skb.packet.proto),
            sport: skb.packet.sport().and_then(Known::value),
            dport: skb.packet.dport().and_then(Known::value),
            ..RouteQuery::to(dst)
        };
        let route = match self.host().route(&query) {
            RouteAnswer::Found(route) => route,
            RouteAnswer::NoRoute => {
                let why = if skb.packet.v6 || self.forwarding(skb) {
                    HostDrop::NoRoute
                } else {
                    HostDrop::ForwardingOff
                };
                return Ok(Decision::Refused(why));
            }
            RouteAnswer::Unknown { .. } => return self.route_unknown(skb, dst),
        };
        if self.is_peer(dst) && self.is_guess(&route) {
            return self.route_unknown(skb, dst);
        }
        if self.host().may_be_own(&route) && !self.is_peer(dst) && self.is_own(skb, dst) {
            self.validate_source(skb, src, Some(dst), None)?;
            self.routed(skb, RoutingDecision::Local, None, false);
            return Ok(Decision::Input);
        }
        self.record.origin(route.origin);
        let words = self.record.keeps().then(|| route_words(&route));
        match route.kind {
            RouteType::Local | RouteType::Anycast => {
                self.validate_source(skb, src, Some(dst), None)?;
                self.routed(skb, RoutingDecision::Local, words, false);
                return Ok(Decision::Input);
            }
            RouteType::Broadcast => {
                self.validate_source(skb, src, None, None)?;
                self.routed(skb, RoutingDecision::Broadcast, words, false);
                return Ok(Decision::Input);
            }
            RouteType::Multicast => return self.multicast_in(skb, dst, words),
            RouteType::Blackhole => return Ok(Decision::Refused(HostDrop::Blackhole)),
            RouteType::Unreachable => return Ok(Decision::Refused(HostDrop::Unreachable)),
            RouteType::Prohibit => return Ok(Decision::Refused(HostDrop::Prohibit)),
            RouteType::Unicast | RouteType::Throw | RouteType::Nat | RouteType::Other => {}
        }
        if !skb.packet.v6 && !self.forwarding(skb) {
            return Ok(Decision::Refused(HostDrop::ForwardingOff));
        }
        let (oif, next_hop) = self.out_of(&route, dst);
        self.validate_source(skb, src, Some(dst), Some(oif))?;
        skb.oif = Some(oif);
        skb.route = Some(next_hop.map_or(NextHop::Direct, NextHop::Via));
        self.routed(skb, RoutingDecision::Forward, words, false);
        Ok(Decision::Forward { oif, next_hop })
    }

    /// A received packet to a multicast group.
    fn multicast_in(
        &mut self,
        skb: &mut Skb,
        group: IpAddr,
        route: Option<String>,
    ) -> Result<Decision, Ended> {
        self.routed(skb, RoutingDecision::Multicast, route, false);
        if self.joined(skb, group) {
            Ok(Decision::Input)
        } else {
            let pf = Self::pf(skb);
            Err(self.host_drop(skb, pf, Hook::Prerouting, HostDrop::NotJoined))
        }
    }

    /// Whether an address is one of this host, where the input does not say it.
    fn is_own(&mut self, skb: &Skb, address: IpAddr) -> bool {
        let translated = matches!(skb.ct, CtRef::Tracked(_))
            && self
                .entries
                .get(skb.entry)
                .is_some_and(|entry| entry.status & status::DST_NAT != 0);
        if translated {
            let settle = "say this host's addresses (`--local ADDR`); a translation to this host is usually a redirect";
            return match self.know.settled_own(address) {
                Some(own) => own,
                None => {
                    let claim = own_address_claim(address);
                    self.know.ask(claim, settle, Source::Default, false)
                }
            };
        }
        crate::eval::is_own_address(self.world.host, &mut self.know, address, skb.iif)
    }

    /// True for a way to everything else that nobody gave.
    fn is_guess(&self, route: &FoundRoute) -> bool {
        route.prefix.prefix_len() == 0 && matches!(route.origin, crate::host::Origin::Inferred(_))
    }

    /// True for the sender of the request, who is answered now.
    fn is_peer(&self, address: IpAddr) -> bool {
        self.peer.is_some_and(|(peer, _)| peer == address)
    }

    /// The route cannot be known: is the destination this host's, or somebody else's?
    fn route_unknown(&mut self, skb: &mut Skb, dst: IpAddr) -> Result<Decision, Ended> {
        if dst.is_multicast() {
            return self.multicast_in(skb, dst, None);
        }
        let peer = self.peer.filter(|(peer, _)| *peer == dst);
        let src = skb.packet.src().value();
        if peer.is_none() && self.is_own(skb, dst) {
            self.validate_source(skb, src, Some(dst), None)?;
            self.routed(skb, RoutingDecision::Local, None, false);
            return Ok(Decision::Input);
        }
        if !skb.packet.v6 && !self.forwarding(skb) {
            return Ok(Decision::Refused(HostDrop::ForwardingOff));
        }
        let (oif, words) = match peer {
            Some((_, oif)) => (
                oif,
                Some("back by the interface that the request came by".into()),
            ),
            None => (self.unknown_out(dst), None),
        };
        self.validate_source(skb, src, Some(dst), Some(oif))?;
        skb.oif = Some(oif);
        skb.route = Some(NextHop::Unknown);
        self.routed(skb, RoutingDecision::Forward, words, false);
        Ok(Decision::Forward {
            oif,
            next_hop: None,
        })
    }

    fn unknown_out(&mut self, dst: IpAddr) -> Iface {
        let question = format!("the interface towards {dst}");
        self.unknown_iface(
            &question,
            "say it with `--route PREFIX,dev=IF`, or give the routes with a snapshot",
        )
    }

    /// Device and gateway of a route; of several next hops the first.
    fn out_of(&mut self, route: &FoundRoute, dst: IpAddr) -> (Iface, Option<IpAddr>) {
        if route.nexthops.len() > 1 {
            let question = Claim::new(
                format!(
                    "of {} next hops towards {dst} the first",
                    route.nexthops.len()
                ),
                ("is", "is not"),
                "taken",
            );
            let because = "the kernel picks one by a hash of addresses and ports";
            self.know.ask(question, because, Source::Default, true);
        }
        let hop = route.nexthops.first();
        match hop.and_then(|hop| hop.dev.clone()) {
            Some(dev) => (self.iface(&dev), hop.and_then(|hop| hop.via)),
            None => (self.unknown_out(dst), None),
        }
    }

    /// Records that a setting was used, where it was worked out from the ruleset.
    pub(super) fn read_sysctl(&mut self, key: &str) {
        let inferences = &self.host().inferences;
        if let Some(id) = inferences.iter().position(|i| i.fact == key) {
            self.record
                .origin(crate::host::Origin::Inferred(crate::host::InferenceId(
                    id as u32,
                )));
        }
    }

    pub(super) fn forwarding(&mut self, skb: &Skb) -> bool {
        let family = if skb.packet.v6 {
            IpFamily::V6
        } else {
            IpFamily::V4
        };
        let key = match family {
            IpFamily::V6 => "net.ipv6.conf.all.forwarding",
            IpFamily::V4 => "net.ipv4.ip_forward",
        };
        self.read_sysctl(key);
        let dev = self.name(skb.iif);
        match self.host().ip_forward(family, dev) {
            Some(on) => on,
            None => {
                let because = format!("say `--sysctl {key}=0` when it is off");
                self.know.ask(
                    Claim::new(
                        "this host",
                        ("forwards", "does not forward"),
                        format!("packets ({key})"),
                    ),
                    because,
                    Source::Default,
                    true,
                )
            }
        }
    }

    /// Reverse path filter (`fib_validate_source`). IPv6 has none outside of rules.
    fn validate_source(
        &mut self,
        skb: &Skb,
        src: Option<IpAddr>,
        dst: Option<IpAddr>,
        oif: Option<Iface>,
    ) -> Result<(), Ended> {
        let Some(src @ IpAddr::V4(_)) = src else {
            return Ok(());
        };
        let Some(dev) = self.name(skb.iif) else {
            let strict = self.host().sysctl("net.ipv4.conf.all.rp_filter") == Some(1);
            return if strict {
                self.ask_way_back(skb, src, "the incoming interface")
            } else {
                Ok(())
            };
        };
        let host = self.host();
        let accept_local = || host.accept_local(dev).unwrap_or(false);
        let counts = |key: &str| {
            let key = format!("net.ipv4.conf.{key}.src_valid_mark");
            host.sysctl(&key) == Some(1)
        };
        let mark = match skb.mark {
            Known::Value(0) => 0,
            _ if counts(dev) || counts("all") => self.route_mark(skb),
            _ => 0,
        };
        // the packet that would answer: it comes in by where this one goes out, from port to port
        let iif = match oif {
            Some(oif) => self.name(Some(oif)),
            None => Some("lo"),
        };
        let host = self.host();
        let query = RouteQuery {
            src: dst,
            iif,
            mark,
            tos: skb.packet.tos(),
            proto: Some(skb.packet.proto),
            sport: skb.packet.dport().and_then(Known::value),
            dport: skb.packet.sport().and_then(Known::value),
            ..RouteQuery::to(src)
        };
        let answer = host.route(&query);
        let leads_back = |route: &FoundRoute| {
            let mut hops = route.nexthops.iter();
            hops.any(|hop| hop.dev.as_deref() == Some(dev))
        };
        if let RouteAnswer::Found(route) = &answer
            && route.kind == RouteType::Unicast
            && leads_back(route)
        {
            // whatever the settings are
            return Ok(());
        }
        let strictness = host.rp_filter(dev);
        // fib_validate_source: without a filter only this host's own addresses are looked for
        let turns_back = iif == Some(dev) && host.send_redirects(dev);
        let quick = strictness == Some(0) && !turns_back && !host.has_custom_rules(IpFamily::V4);
        let is_fine = |kind: RouteType| match kind {
            RouteType::Unicast => true,
            RouteType::Local => accept_local(),
            _ => quick,
        };
        let last_resort = |walker: &mut Self| match strictness {
            Some(1 | 2) => Err(walker.host_drop(skb, Pf::Ip, Hook::Prerouting, HostDrop::RpFilter)),
            _ => Ok(()),
        };
        let route = match answer {
            RouteAnswer::Unknown { .. } if strictness == Some(1) => {
                return self.ask_way_back(skb, src, dev);
            }
            RouteAnswer::Unknown { .. } => return Ok(()),
            RouteAnswer::NoRoute => return last_resort(self),
            RouteAnswer::Found(route) => route,
        };
        match route.kind {
            RouteType::Blackhole | RouteType::Unreachable | RouteType::Prohibit => {
                self.record.origin(route.origin);
                return last_resort(self);
            }
            kind if !is_fine(kind) => {
                self.record.origin(route.origin);
                return Err(self.host_drop(skb, Pf::Ip, Hook::Prerouting, HostDrop::MartianSource));
            }
            _ if quick => return Ok(()),
            _ => {}
        }
        if leads_back(&route) || route.kind == RouteType::Local && dev == "lo" {
            return Ok(());
        }
        self.record.origin(route.origin);
        let has_address = host
            .addresses
            .iter()
            .any(|a| a.dev == dev && a.ip.is_ipv4());
        if !has_address && host.complete.addresses {
            return last_resort(self);
        }
        match strictness {
            Some(1) => Err(self.host_drop(skb, Pf::Ip, Hook::Prerouting, HostDrop::RpFilter)),
            Some(_) => Ok(()),
            None => {
                let question = Claim::new(
                    format!("the reverse path filter of {dev}"),
                    ("is not", "is"),
                    "strict",
                );
                let because = format!(
                    "the way back to {src} is not by {dev}; say `--sysctl net.ipv4.conf.all.rp_filter=N` and `--sysctl net.ipv4.conf.{dev}.rp_filter=N`: the larger counts, and 1 is strict"
                );
                if self.know.ask(question, because, Source::Default, true) {
                    return Ok(());
                }
                Err(self.host_drop(skb, Pf::Ip, Hook::Prerouting, HostDrop::RpFilter))
            }
        }
    }

    /// A strict reverse path filter where the route back is not known.
    fn ask_way_back(&mut self, skb: &Skb, src: IpAddr, dev: &str) -> Result<(), Ended> {
        let claim = Claim::new(
            format!("the way back to {src}"),
            ("is", "is not"),
            format!("by {dev}, whose reverse path filter is strict"),
        );
        let settle = "give the routes with `--route` or a snapshot";
        if self.know.ask(claim, settle, Source::Default, true) {
            Ok(())
        } else {
            Err(self.host_drop(skb, Pf::Ip, Hook::Prerouting, HostDrop::RpFilter))
        }
    }

    /// The mark for a route look-up.
    pub(super) fn route_mark(&mut self, skb: &Skb) -> u32 {
        crate::eval::mark_for_routing(self.world.host, &mut self.know, skb.mark)
    }

    /// The stack drops the packet, behind the chains of `hook`.
    pub(super) fn host_drop(&mut self, skb: &Skb, pf: Pf, hook: Hook, why: HostDrop) -> Ended {
        self.step(skb, pf, hook, StepKind::Drop(why));
        Disposition::Host(why)
    }

    fn routed(&mut self, skb: &Skb, decision: RoutingDecision, route: Option<String>, again: bool) {
        if matches!(
            decision,
            RoutingDecision::Broadcast | RoutingDecision::Multicast
        ) {
            self.to_many = true;
        }
        let pf = Self::pf(skb);
        let hook = match skb.sender {
            Sender::Program | Sender::Kernel | Sender::Nobody => Hook::Output,
            Sender::Outside | Sender::Receiver { .. } => Hook::Prerouting,
        };
        self.step(
            skb,
            pf,
            hook,
            StepKind::Routing(RoutingStep {
                decision,
                route,
                again,
            }),
        );
    }

    /// `ip_local_deliver`
    fn deliver(&mut self, skb: &mut Skb) -> Ended {
        let pf = Self::pf(skb);
        skb.oif = None;
        skb.route = Some(NextHop::Direct);
        if let Err(ended) = self.run_all(skb, pf, Hook::Input) {
            return ended;
        }
        self.step(skb, pf, Hook::Input, StepKind::Local);
        Disposition::Local
    }

    /// Whether a packet leaves by the interface that it came by.
    fn turns_back(&mut self, skb: &Skb, oif: Iface) -> bool {
        if skb.iif == Some(oif) {
            return true;
        }
        match (self.name(skb.iif), self.name(Some(oif))) {
            (Some(iif), Some(oif)) => iif == oif,
            (None, _) | (_, None) => {
                let claim = Claim::new(
                    "the packet",
                    ("does not leave", "leaves"),
                    "by the interface that it came by",
                );
                let settle = "say `--iif NAME`, and give the routes with a snapshot";
                !self
                    .know
                    .ask_of_packet(claim, settle, Source::Default, true)
            }
        }
    }

    /// `ip_forward`, `ip6_forward`. IPv6 asks only here whether this host forwards at all.
    fn forward(&mut self, skb: &mut Skb, oif: Iface, next_hop: Option<IpAddr>) -> Ended {
        let pf = Self::pf(skb);
        if skb.packet.v6 && !self.forwarding(skb) {
            return self.host_drop(skb, pf, Hook::Prerouting, HostDrop::ForwardingOff);
        }
        if skb.socket {
            return self.host_drop(skb, pf, Hook::Forward, HostDrop::OfSocket);
        }
        let before = skb.packet.known_ttl();
        let is_used_up = match before {
            Known::Value(before) => before <= 1,
            Known::Fact(fact) => {
                let claim = || Claim::new("the hop limit", ("is above", "is not above"), "1");
                let usual = (true, Source::Default);
                !self.know.test_with(fact, &[(2, 255)], usual, claim)
            }
        };
        if is_used_up {
            self.complain(skb, HostDrop::TtlExceeded);
            return self.host_drop(skb, pf, Hook::Forward, HostDrop::TtlExceeded);
        }
        if let Known::Value(IpAddr::V6(src)) = skb.packet.src()
            && (src.is_unicast_link_local() || src.is_unspecified())
            && !self.turns_back(skb, oif)
        {
            if src.is_unspecified() {
                return self.host_drop(skb, pf, Hook::Forward, HostDrop::MartianSource);
            }
            self.complain(skb, HostDrop::LinkLocalSource);
            return self.host_drop(skb, pf, Hook::Forward, HostDrop::LinkLocalSource);
        }
        match before {
            Known::Value(_) => skb.packet.decrease_ttl(),
            Known::Fact(_) => {
                let settle = "it is computed from what the input does not say";
                let name = "the hop limit behind this router";
                let fact = self.know.add(name, settle, vec![(1, 254)]);
                skb.packet.set_unknown_ttl(fact);
            }
        }
        if !skb.packet.v6 && self.host().forward_updates_priority() {
            // by the type of service, which is usually 0
            skb.priority = None;
        }
        if let Known::Value(before) = before {
            let after = before - 1;
            self.step(skb, pf, Hook::Forward, StepKind::Ttl { before, after });
        }
        skb.oif = Some(oif);
        self.next_hop = next_hop;
        if let Err(ended) = self.run_all(skb, pf, Hook::Forward) {
            return ended;
        }
        if let Err(ended) = self.run_all(skb, pf, Hook::Postrouting) {
            return ended;
        }
        self.transmit(skb, Disposition::Forwarded)
    }

    /// A packet of this host (`ip_queue_xmit`, `ip_local_out`).
    pub(super) fn output(&mut self, skb: &mut Skb) -> Ended {
        let pf = Self::pf(skb);
        if let Err(ended) = self.route_output(skb, false) {
            return ended;
        }
        if let Err(ended) = self.output_hooks(skb, pf) {
            return ended;
        }
        if let Err(ended) = self.run_all(skb, pf, Hook::Postrouting) {
            return ended;
        }
        self.transmit(skb, Disposition::Transmitted)
    }

    /// The output hook. Its chains see the device of the first route to the end of it, whatever was looked up again.
    fn output_hooks(&mut self, skb: &mut Skb, pf: Pf) -> Result<(), Ended> {
        self.run_all(skb, pf, Hook::Output)?;
        if let Some(oif) = self.routed_again.take() {
            skb.oif = oif;
        }
        Ok(())
    }

    /// `ip_route_me_harder`: nat changed the destination (`nf_nat_ipv4_local_fn`), or a chain of type route what a route
    /// depends on (`nf_route_table_hook4`). What other chains change has no part in it (docs/semantics/routing.md).
    pub(super) fn route_again(&mut self, skb: &mut Skb) -> Result<(), Ended> {
        let first = skb.oif;
        let found = self.route_output(skb, true);
        self.routed_again = Some(std::mem::replace(&mut skb.oif, first));
        found
    }

    /// `ip_route_output_flow`, and `ip_route_me_harder` when `again`.
    pub(super) fn route_output(&mut self, skb: &mut Skb, again: bool) -> Result<(), Ended> {
        let pf = Self::pf(skb);
        skb.route = Some(NextHop::Unknown);
        let dst = match skb.packet.dst() {
            Known::Value(dst) => dst,
            Known::Fact(fact) if self.know.fact(fact).own_address => {
                let lo = self.iface("lo");
                skb.oif = Some(lo);
                self.next_hop = None;
                self.routed(skb, RoutingDecision::Output, None, again);
                return Ok(());
            }
            Known::Fact(fact) => return Err(self.unrouted(fact)),
        };
        // a translated packet goes to whom it goes now
        self.to_many = dst.is_multicast();
        let bound = if again { None } else { self.name(skb.oif) };
        let src = skb.packet.src().value().filter(|ip| !ip.is_unspecified());
        let query = RouteQuery {
            src,
            oif: bound,
            mark: self.route_mark(skb),
            tos: skb.packet.tos(),
            proto: Some(skb.packet.proto),
            sport: skb.packet.sport().and_then(Known::value),
            dport: skb.packet.dport().and_then(Known::value),
            uid: skb.uid,
            ..RouteQuery::to(dst)
        };
        let answer = self.host().route(&query);
        match answer {
            RouteAnswer::NoRoute => {
                if let Some(oif) = self.without_route(src, dst) {
                    skb.oif = Some(oif);
                    self.to_many = true;
                    let words = Some("by the device of the source address".to_string());
                    self.routed(skb, RoutingDecision::Output, words, again);
                    return Ok(());
                }
                Err(self.host_drop(skb, pf, Hook::Output, HostDrop::NoRoute))
            }
            RouteAnswer::Unknown { .. } => {
                if let Some((_, oif)) = self.peer.filter(|(peer, _)| *peer == dst) {
                    skb.oif = Some(oif);
                    let words = Some("back by the interface that the request came by".to_string());
                    self.routed(skb, RoutingDecision::Output, words, again);
                    return Ok(());
                }
                let own = !dst.is_multicast() && self.is_own(skb, dst);
                let oif = match own {
                    true => self.iface("lo"),
                    false => self.unknown_out(dst),
                };
                skb.oif = Some(oif);
                if !own && matches!(src, Some(IpAddr::V4(src)) if src.is_loopback()) {
                    self.leave_from_loopback(skb, pf)?;
                }
                if src.is_none() && !again {
                    let source = match own {
                        true => Known::Value(dst),
                        false => Known::Fact(self.know.own_address("the outgoing interface")),
                    };
                    skb.packet.set_src(source);
                }
                self.routed(skb, RoutingDecision::Output, None, again);
                Ok(())
            }
            RouteAnswer::Found(route) if self.is_peer(dst) && self.is_guess(&route) => {
                skb.oif = self.peer.map(|(_, oif)| oif);
                let words = Some("back by the interface that the request came by".to_string());
                self.routed(skb, RoutingDecision::Output, words, again);
                Ok(())
            }
            RouteAnswer::Found(route)
                if self.host().may_be_own(&route)
                    && !self.is_peer(dst)
                    && self.is_own(skb, dst) =>
            {
                let lo = self.iface("lo");
                skb.oif = Some(lo);
                self.next_hop = None;
                if src.is_none() && !again {
                    skb.packet.set_src(Known::Value(dst));
                }
                self.routed(skb, RoutingDecision::Output, None, again);
                Ok(())
            }
            RouteAnswer::Found(route) => {
                self.record.origin(route.origin);
                let words = self.record.keeps().then(|| route_words(&route));
                match route.kind {
                    RouteType::Blackhole => {
                        return Err(self.host_drop(skb, pf, Hook::Output, HostDrop::Blackhole));
                    }
                    RouteType::Unreachable => {
                        return Err(self.host_drop(skb, pf, Hook::Output, HostDrop::Unreachable));
                    }
                    RouteType::Prohibit => {
                        return Err(self.host_drop(skb, pf, Hook::Output, HostDrop::Prohibit));
                    }
                    RouteType::Local | RouteType::Anycast => {
                        let lo = self.iface("lo");
                        skb.oif = Some(lo);
                        self.next_hop = None;
                    }
                    kind => {
                        self.to_many |= matches!(kind, RouteType::Broadcast | RouteType::Multicast);
                        let (oif, next_hop) = self.out_of(&route, dst);
                        skb.oif = Some(oif);
                        self.next_hop = next_hop;
                        // __mkroute_output: nothing leaves from 127.0.0.0/8
                        let dev = self.name(Some(oif));
                        if matches!(src, Some(IpAddr::V4(src)) if src.is_loopback())
                            && dev.is_some_and(|dev| self.host().route_localnet(dev) != Some(true))
                        {
                            return Err(self.host_drop(
                                skb,
                                pf,
                                Hook::Output,
                                HostDrop::MartianSource,
                            ));
                        }
                    }
                }
                skb.route = Some(self.next_hop.map_or(NextHop::Direct, NextHop::Via));
                if src.is_none() && !again {
                    self.choose_source(skb, &route, dst);
                }
                self.routed(skb, RoutingDecision::Output, words, again);
                Ok(())
            }
        }
    }

    /// `__mkroute_output`: nothing leaves from 127.0.0.0/8, unless the device that it leaves by, which is not known,
    /// has `route_localnet`.
    fn leave_from_loopback(&mut self, skb: &Skb, pf: Pf) -> Result<(), Ended> {
        let set = |(key, value): (&compact_str::CompactString, &compact_str::CompactString)| {
            key.ends_with(".route_localnet") && value.trim() == "1"
        };
        let claim = Claim::new(
            "the outgoing interface",
            ("has", "has not"),
            "route_localnet",
        );
        let settle = "give the routes with `--route` or a snapshot";
        if self.host().sysctls.iter().any(set) && self.know.ask(claim, settle, Source::Open, true) {
            return Ok(());
        }
        Err(self.host_drop(skb, pf, Hook::Output, HostDrop::MartianSource))
    }

    /// Multicast and limited broadcast of IPv4 leave by the device of their source where no route leads
    /// (`ip_route_output_key_hash_rcu`).
    fn without_route(&mut self, src: Option<IpAddr>, dst: IpAddr) -> Option<Iface> {
        let IpAddr::V4(v4) = dst else { return None };
        if !v4.is_multicast() && !v4.is_broadcast() {
            return None;
        }
        let dev = self.host().addresses.iter().find(|a| Some(a.ip) == src)?;
        let dev = dev.dev.clone();
        Some(self.iface(&dev))
    }

    /// Whether a program or the kernel of this host listens to a group (`ip_check_mc_rcu`, `ipv6_chk_mcast_addr`). Every
    /// host is in the groups of all hosts.
    fn joined(&mut self, skb: &Skb, group: IpAddr) -> bool {
        let all_hosts = match group {
            IpAddr::V4(v4) => v4.octets() == [224, 0, 0, 1],
            IpAddr::V6(v6) => matches!(v6.segments(), [0xff01 | 0xff02, 0, 0, 0, 0, 0, 0, 1]),
        };
        if all_hosts {
            return true;
        }
        let dev = self.name(skb.iif).unwrap_or("the incoming interface");
        let claim = Claim::new(
            "this host",
            ("has joined", "has not joined"),
            format!("the group {group} on {dev}"),
        );
        self.know
            .ask(claim, "see `ip maddr show` on the host", Source::Open, true)
    }

    /// The source address of a packet whose sender chose none.
    fn choose_source(&mut self, skb: &mut Skb, route: &FoundRoute, dst: IpAddr) {
        let family = if skb.packet.v6 {
            IpFamily::V6
        } else {
            IpFamily::V4
        };
        if route.kind == RouteType::Local {
            skb.packet
                .set_src(Known::Value(route.prefsrc.unwrap_or(dst)));
            return;
        }
        if let Some(src) = route.prefsrc {
            skb.packet.set_src(Known::Value(src));
            return;
        }
        let towards = self.next_hop.unwrap_or(dst);
        let dev = self.name(skb.oif);
        match dev.and_then(|dev| self.host().source_address(dev, Some(towards), family)) {
            Some((ip, origin)) => {
                self.record.origin(origin);
                skb.packet.set_src(Known::Value(ip));
            }
            None => {
                let fact = self
                    .know
                    .own_address(dev.unwrap_or("the outgoing interface"));
                skb.packet.set_src(Known::Fact(fact));
            }
        }
    }

    /// Hands the packet to its device (`dev_queue_xmit`).
    fn transmit(&mut self, skb: &mut Skb, disposition: Disposition) -> Ended {
        let pf = Self::pf(skb);
        let Some(oif) = skb.oif else {
            return disposition;
        };
        skb.packet.with_new_link_header();
        if let Err(ended) = self.egress(skb, oif) {
            return ended;
        }
        if self.is_loopback(Some(oif)) {
            self.step(skb, pf, Hook::Postrouting, StepKind::Loopback);
            skb.iif = Some(oif);
            skb.oif = None;
            skb.sender = Sender::Outside;
            if let Err(ended) = self.ingress(skb, oif) {
                return ended;
            }
            return self.ip_receive(skb);
        }
        if self.is_bridge(Some(oif)) {
            self.step(
                skb,
                pf,
                Hook::Postrouting,
                StepKind::Bridge(BridgeStep::Down { bridge: oif }),
            );
            if let Err(ended) = self.bridge_out(skb, oif) {
                return ended;
            }
        }
        self.step(skb, pf, Hook::Postrouting, StepKind::Leaves);
        disposition
    }
}

/// A route in a few words.
fn route_words(route: &FoundRoute) -> String {
    let prefix = match route.prefix {
        net if net.prefix_len() == 0 => "default".to_string(),
        net => net.to_string(),
    };
    let mut words = match route.kind {
        RouteType::Local => format!("local {prefix}"),
        RouteType::Broadcast => format!("broadcast {prefix}"),
        RouteType::Multicast => format!("multicast {prefix}"),
        _ => prefix,
    };
    if let Some(hop) = route.nexthops.first() {
        if let Some(via) = hop.via {
            words.push_str(&format!(" via {via}"));
        }
        if let Some(dev) = &hop.dev {
            words.push_str(&format!(" dev {dev}"));
        }
    }
    if !matches!(
        route.table,
        crate::host::TableId::MAIN | crate::host::TableId::LOCAL | crate::host::TableId::UNSPEC
    ) {
        words.push_str(&format!(" table {}", route.table));
    }
    words
}
