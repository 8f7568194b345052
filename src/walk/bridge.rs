//! Bridges: `br_handle_frame`, `br_forward`, `br_dev_xmit`, and br_netfilter's calls of the IP hooks from inside.

use std::net::IpAddr;

use crate::eval::{Iface, NextHop, Pf, Skb};
use crate::hooks::{Slot, Work};
use crate::host::{IpFamily, Mac, RouteAnswer, RouteQuery, RouteType, mac_text};
use crate::logic::{Claim, Known, Source, max_of};
use crate::packet::Bits;
use crate::ruleset::Hook;
use crate::ruleset::expr::MetaKey;
use crate::ruleset::protocol::Base;

use super::ip::Decision;
use super::step::{BridgeStep, Disposition, HostDrop, StepKind};
use super::{Ended, HOST, OTHERHOST, Record, Walker, is_addressed_to};

/// Where br_netfilter sits among the chains of the bridge family (`NF_BR_PRI_BRNF`).
const BRNF: i32 = 0;

/// The packet type that br_netfilter shows to the IP hooks.
fn seen_by_ip(pkttype: u8) -> u8 {
    if pkttype == OTHERHOST { HOST } else { pkttype }
}

/// How a frame comes out of bridge prerouting.
struct Passed {
    onward: Onward,
    /// The station that a rule addressed it to.
    station: Option<Mac>,
    /// br_netfilter handed it to the IP hooks.
    called: bool,
    /// The route that it got there, because it was translated.
    route: Option<Decision>,
}

/// Where a frame goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Onward {
    /// To this host; true when it is its gateway, not its destination.
    Up {
        gateway: bool,
    },
    Across,
}

impl<R: Record> Walker<'_, R> {
    /// A frame that comes in by a port (`br_handle_frame`).
    pub(super) fn bridge_in(&mut self, skb: &mut Skb, bridge: Iface, port: Iface) -> Ended {
        skb.iif = Some(port);
        skb.in_port = Some(port);
        let pkttype = skb.pkttype;
        if pkttype == HOST && !self.is_for_port(skb, bridge, port) {
            skb.pkttype = OTHERHOST;
        }
        if let Err(ended) = self.ingress(skb, port) {
            return ended;
        }
        skb.pkttype = pkttype;
        self.step(
            skb,
            Pf::Bridge,
            Hook::Prerouting,
            StepKind::Bridge(BridgeStep::Enters { bridge }),
        );
        match self.bridge_prerouting(skb, bridge, port) {
            Err(ended) => ended,
            Ok(Passed {
                onward: Onward::Up { gateway },
                called,
                route,
                ..
            }) => {
                self.step(
                    skb,
                    Pf::Bridge,
                    Hook::Prerouting,
                    StepKind::Bridge(BridgeStep::Up { gateway }),
                );
                self.bridge_up(skb, bridge, called, route)
            }
            Ok(Passed {
                onward: Onward::Across,
                station,
                called,
                ..
            }) => self.bridge_across(skb, bridge, port, station, called),
        }
    }

    /// The lowest priority of the bridge chains that run after br_netfilter's IP hooks. Of equal priority, what was
    /// registered last runs first, and br_netfilter registers with the first bridge.
    fn split(&mut self, hook: Hook, called: bool) -> i32 {
        let tied = |slot: &Slot| slot.priority == BRNF && matches!(slot.work, Work::Chain(_));
        if !called || !self.hooks.stage(Pf::Bridge, hook).iter().any(tied) {
            return BRNF;
        }
        let claim = Claim::new(
            format!("chains of bridge {} at priority 0", hook.name()),
            ("run", "do not run"),
            "before br_netfilter's IP hooks",
        );
        let settle = "they do when they were loaded after the first bridge was made; give them another priority";
        if self.know.ask(claim, settle, Source::Open, true) {
            BRNF + 1
        } else {
            BRNF
        }
    }

    /// Whether a frame is addressed to the port itself, whose Ethernet address its bridge may have taken
    /// (`eth_type_trans`).
    fn is_for_port(&mut self, skb: &mut Skb, bridge: Iface, port: Iface) -> bool {
        let Some(own) = self.mac(port) else {
            return false;
        };
        is_addressed_to(skb, own).unwrap_or_else(|| {
            self.mac(bridge) == self.mac(port) && self.onward(skb, bridge) != Onward::Across
        })
    }

    /// Bridge prerouting, with IP prerouting in its middle when br_netfilter is on.
    fn bridge_prerouting(
        &mut self,
        skb: &mut Skb,
        bridge: Iface,
        port: Iface,
    ) -> Result<Passed, Ended> {
        let mut onward = self.onward(skb, bridge);
        // br_handle_frame: what is addressed to the bridge is for this host, all else for somebody else
        if onward == Onward::Across {
            skb.pkttype = OTHERHOST;
        }
        let called = self.calls_ip(skb, bridge);
        let split = self.split(Hook::Prerouting, called);
        let mut station = None;
        let addressed = self.addressed_by_rules(skb, bridge, i32::MIN, split - 1)?;
        if let Some(addressed) = addressed {
            (onward, station) = addressed;
        }
        let mut pkttype = skb.pkttype;
        let mut route = None;
        if called {
            skb.nf_bridge = true;
            skb.pkttype = seen_by_ip(pkttype);
            let pf = Self::pf(skb);
            let dst = skb.packet.dst();
            skb.iif = Some(bridge);
            self.step(
                skb,
                Pf::Bridge,
                Hook::Prerouting,
                StepKind::Bridge(BridgeStep::CallsIp),
            );
            self.run_all(skb, pf, Hook::Prerouting)?;
            if skb.packet.dst() != dst {
                let decision = self.redirected(skb)?;
                skb.oif = None;
                onward = match decision {
                    Decision::Forward { oif, .. } if oif == bridge => Onward::Across,
                    Decision::Forward { .. } | Decision::Refused(_) => Onward::Up { gateway: true },
                    Decision::Input => Onward::Up { gateway: false },
                };
                let mac = match onward {
                    Onward::Across => self.ethernet_of(bridge, skb.packet.dst().value()),
                    Onward::Up { .. } => {
                        pkttype = HOST;
                        route = Some(decision);
                        self.mac(bridge)
                    }
                };
                skb.packet.set_ether_dst(mac);
                station = None;
            }
            skb.iif = Some(port);
            skb.pkttype = pkttype;
            if route.is_none() {
                // bridge_parent_rtable: until the packet is routed, a route that only stands for the bridge
                skb.route = Some(NextHop::Direct);
            }
        }
        let addressed = self.addressed_by_rules(skb, bridge, split, i32::MAX)?;
        if let Some(addressed) = addressed {
            (onward, station) = addressed;
        }
        Ok(Passed {
            onward,
            station,
            called,
            route,
        })
    }

    /// Runs the bridge prerouting chains between two priorities. Where they wrote another Ethernet destination, that decides
    /// where the frame goes (`br_handle_frame_finish`).
    fn addressed_by_rules(
        &mut self,
        skb: &mut Skb,
        bridge: Iface,
        from: i32,
        to: i32,
    ) -> Result<Option<(Onward, Option<Mac>)>, Ended> {
        let before = skb.packet.load(Base::Ll, 0, 48);
        self.run(skb, Pf::Bridge, Hook::Prerouting, from, to)?;
        let after = skb.packet.load(Base::Ll, 0, 48);
        if before == after {
            return Ok(None);
        }
        let up = Onward::Up { gateway: true };
        let value = match after {
            Bits::Value(value) | Bits::Assumed(value) => value,
            // the bridge's own address is the only one that a rule can write without knowing it
            Bits::Fact(_) | Bits::Unknown | Bits::Absent => return Ok(Some((up, None))),
        };
        let mut mac = [0; 6];
        mac.copy_from_slice(&value.to_be_bytes()[10..]);
        if mac[0] & 1 == 1 {
            return Ok(Some((Onward::Up { gateway: false }, None)));
        }
        let name = self.name(Some(bridge));
        let mut ports = self
            .host()
            .links
            .iter()
            .filter(|link| name.is_some() && link.master.as_deref() == name);
        let is_own = ports.any(|port| port.mac == Some(mac))
            || match self.mac(bridge) {
                Some(own) => own == mac,
                None => {
                    let key = MetaKey::Ibrhwaddr;
                    let name = format!("meta {}", key.name());
                    let read = |text: &str| key.data_type().constant(text);
                    let settle = "give `ip -d link` of the host with `--link FILE`, or a snapshot";
                    let fact = self.know.named_as(&name, settle, (0, max_of(48)), read);
                    let claim =
                        || Claim::new("the bridge", ("has", "does not have"), mac_text(mac));
                    self.know.test(fact, &[(value, value)], claim)
                }
            };
        Ok(Some(if is_own {
            (up, None)
        } else {
            (Onward::Across, Some(mac))
        }))
    }

    /// After a translation inside the bridge the route of the new destination decides (`br_nf_pre_routing_finish`,
    /// `br_nf_pre_routing_finish_ipv6`): IPv4 goes on with a route that drops it, IPv6 does not. That a packet without
    /// forwarding may stay on the bridge, as the comment there says, is not so in 6.18 (docs/semantics/bridges.md).
    fn redirected(&mut self, skb: &mut Skb) -> Result<Decision, Ended> {
        match self.route_input(skb)? {
            Decision::Refused(why) if skb.packet.v6 => {
                Err(self.host_drop(skb, Pf::Ip6, Hook::Prerouting, why))
            }
            decision => Ok(decision),
        }
    }

    /// The Ethernet address behind an IP address on a link.
    fn ethernet_of(&self, link: Iface, ip: Option<IpAddr>) -> Option<Mac> {
        let dev = self.name(Some(link))?;
        let mut neighbours = self.host().neighbours.iter();
        neighbours
            .find(|n| n.dev == dev && Some(n.ip) == ip)
            .and_then(|n| n.mac)
    }

    /// Whether a frame goes up to this host.
    pub(super) fn comes_up(&mut self, skb: &Skb, bridge: Iface) -> bool {
        self.onward(skb, bridge) != Onward::Across
    }

    /// Whose Ethernet address the sender wrote on the frame: it sends to hosts of the bridge's subnet directly, to all
    /// others through its gateway, which is taken to be this host.
    fn onward(&mut self, skb: &Skb, bridge: Iface) -> Onward {
        let Known::Value(dst) = skb.packet.dst() else {
            return Onward::Up { gateway: true };
        };
        let own = self.mac(bridge);
        if let Some(own) = own.and_then(|own| is_addressed_to(skb, own)) {
            return if own {
                Onward::Up { gateway: true }
            } else {
                Onward::Across
            };
        }
        if matches!(dst, IpAddr::V4(v4) if v4.is_broadcast()) || dst.is_multicast() {
            return Onward::Up { gateway: false };
        }
        let dev = self.name(Some(bridge));
        match self.host().route(&RouteQuery {
            src: None,
            ..RouteQuery::to(dst)
        }) {
            RouteAnswer::Found(route) => {
                self.record.origin(route.origin);
                match route.kind {
                    RouteType::Local
                    | RouteType::Broadcast
                    | RouteType::Multicast
                    | RouteType::Anycast => {
                        return Onward::Up { gateway: false };
                    }
                    _ => {}
                }
                let direct = route
                    .nexthops
                    .iter()
                    .any(|hop| dev.is_some() && hop.dev.as_deref() == dev && hop.via.is_none());
                if direct {
                    Onward::Across
                } else {
                    self.gateway(bridge)
                }
            }
            RouteAnswer::NoRoute => self.gateway(bridge),
            RouteAnswer::Unknown { .. } => self.gateway(bridge),
        }
    }

    /// A bridge without an address is nobody's gateway.
    fn gateway(&mut self, bridge: Iface) -> Onward {
        let name = self.name(Some(bridge)).unwrap_or("the bridge");
        let has_address = self.host().addresses.iter().any(|a| a.dev == name);
        let question = Claim::new(
            format!("hosts on {name}"),
            ("use", "do not use"),
            "this host as their gateway",
        );
        let because = "the frame's Ethernet destination is not given; say it with `--ether`";
        if has_address {
            return Onward::Up { gateway: true };
        }
        let usual = !self.host().complete.addresses;
        if self.know.ask(question, because, Source::Default, usual) {
            Onward::Up { gateway: true }
        } else {
            Onward::Across
        }
    }

    /// Whether bridged frames pass the IP hooks (`net.bridge.bridge-nf-call-iptables`).
    fn calls_ip(&mut self, skb: &Skb, bridge: Iface) -> bool {
        let (family, key) = if skb.packet.v6 {
            (IpFamily::V6, "net.bridge.bridge-nf-call-ip6tables")
        } else {
            (IpFamily::V4, "net.bridge.bridge-nf-call-iptables")
        };
        let name = self.name(Some(bridge)).unwrap_or_default();
        self.read_sysctl(key);
        match self.host().bridge_nf_call_on(family, name) {
            Some(on) => on,
            None => {
                let because = format!("say `--sysctl {key}=1` when it is on");
                !self.know.ask(
                    Claim::new(
                        "bridged frames",
                        ("do not pass", "pass"),
                        format!("the IP hooks ({key})"),
                    ),
                    because,
                    Source::Default,
                    true,
                )
            }
        }
    }

    /// `br_pass_frame_up`: the frame becomes a packet of the bridge device.
    fn bridge_up(
        &mut self,
        skb: &mut Skb,
        bridge: Iface,
        called: bool,
        route: Option<Decision>,
    ) -> Ended {
        if let Err(ended) = self.run_all(skb, Pf::Bridge, Hook::Input) {
            return ended;
        }
        if called && route.is_none() {
            skb.route = None;
        }
        skb.iif = Some(bridge);
        if let Err(ended) = self.ingress(skb, bridge) {
            return ended;
        }
        if called {
            let pf = Self::pf(skb);
            if let Err(ended) = self.ip_checked(skb) {
                return ended;
            }
            self.step(
                skb,
                pf,
                Hook::Prerouting,
                StepKind::Bridge(BridgeStep::PreroutingDone),
            );
            // a translated packet has its route already (skb_valid_dst)
            return match route {
                Some(decision) => self.ip_routed(skb, decision),
                None => self.ip_received(skb),
            };
        }
        self.ip_receive(skb)
    }

    /// `br_forward`: out by another port.
    fn bridge_across(
        &mut self,
        skb: &mut Skb,
        bridge: Iface,
        port: Iface,
        station: Option<Mac>,
        called: bool,
    ) -> Ended {
        let out = match station {
            Some(mac) => self.port_of_station(bridge, mac),
            None => self.port_towards(bridge, skb.packet.dst().value()),
        };
        skb.out_port = Some(out);
        if let Some(why) = self.refuses(skb, port, out) {
            return self.host_drop(skb, Pf::Bridge, Hook::Forward, why);
        }
        self.step(
            skb,
            Pf::Bridge,
            Hook::Forward,
            StepKind::Bridge(BridgeStep::Across),
        );
        let passed = self
            .bridge_hooks_across(skb, bridge, port, out, called)
            .and_then(|()| self.egress(skb, out));
        match passed {
            Err(ended) => ended,
            Ok(()) => {
                skb.oif = Some(bridge);
                self.step(skb, Pf::Bridge, Hook::Postrouting, StepKind::Leaves);
                Disposition::Bridged
            }
        }
    }

    fn bridge_hooks_across(
        &mut self,
        skb: &mut Skb,
        bridge: Iface,
        port: Iface,
        out: Iface,
        called: bool,
    ) -> Result<(), Ended> {
        let pf = Self::pf(skb);
        (skb.iif, skb.oif) = (Some(port), Some(out));
        let split = self.split(Hook::Forward, called);
        self.run(skb, Pf::Bridge, Hook::Forward, i32::MIN, split - 1)?;
        if called {
            (skb.iif, skb.oif) = (Some(bridge), Some(bridge));
            let pkttype = skb.pkttype;
            skb.pkttype = seen_by_ip(pkttype);
            self.run_all(skb, pf, Hook::Forward)?;
            skb.pkttype = pkttype;
            (skb.iif, skb.oif) = (Some(port), Some(out));
        }
        self.run(skb, Pf::Bridge, Hook::Forward, split, i32::MAX)?;
        (skb.iif, skb.oif) = (None, Some(out));
        self.run_all(skb, Pf::Bridge, Hook::Postrouting)?;
        if called {
            (skb.iif, skb.oif) = (None, Some(bridge));
            let pkttype = skb.pkttype;
            skb.pkttype = seen_by_ip(pkttype);
            self.next_hop = None;
            self.run_all(skb, pf, Hook::Postrouting)?;
            skb.pkttype = pkttype;
        }
        Ok(())
    }

    /// Ports that do not pass a frame on (`should_deliver`).
    fn refuses(&mut self, skb: &Skb, port: Iface, out: Iface) -> Option<HostDrop> {
        let same = self.is_same_port(skb, port, out);
        let host = self.host();
        let (from, to) = (
            host.link(self.name(Some(port))?)?,
            host.link(self.name(Some(out))?)?,
        );
        let isolated = from.isolated == Some(true) && to.isolated == Some(true);
        let hairpin = same.then(|| {
            from.hairpin.unwrap_or_else(|| {
                let claim = Claim::new(
                    format!("port {}", from.name),
                    ("is", "is not"),
                    "in hairpin mode",
                );
                let settle = "see `bridge -d link` on the host, or give a snapshot";
                self.know.ask(claim, settle, Source::Default, false)
            })
        });
        match hairpin {
            Some(false) => Some(HostDrop::SamePort),
            Some(true) | None => isolated.then_some(HostDrop::IsolatedPort),
        }
    }

    /// Whether a frame would leave by the port that it came in by. Where that is not known, it usually does not.
    fn is_same_port(&mut self, skb: &Skb, port: Iface, out: Iface) -> bool {
        let claim = || {
            let whom = |ip: Known<IpAddr>, whom: &str| match ip {
                Known::Value(ip) => ip.to_string(),
                Known::Fact(_) => whom.to_string(),
            };
            let sender = whom(skb.packet.src(), "the sender");
            let receiver = whom(skb.packet.dst(), "the receiver");
            Claim::new(
                format!("{sender} and {receiver}"),
                ("are", "are not"),
                "behind the same port of the bridge",
            )
        };
        let usual = (false, Source::Default);
        let (known, unknown) = match (self.value_of(port), self.value_of(out)) {
            (Some(from), Some(to)) => return from == to,
            (Some(known), None) => (known, out),
            (None, Some(known)) => (known, port),
            (None, None) if port == out => return true,
            (None, None) => {
                let because = "give `bridge fdb` and neighbours with a snapshot";
                return self.know.ask(claim(), because, usual.1, usual.0);
            }
        };
        match unknown {
            Iface::Fact(fact) => self.know.test_with(fact, &[(known, known)], usual, claim),
            Iface::Link(_) => false,
        }
    }

    /// The name of an interface as nft's 16 bytes, where it is known.
    fn value_of(&self, iface: Iface) -> Option<u128> {
        match iface {
            Iface::Link(at) => self.world.link_values.get(usize::from(at)).copied(),
            Iface::Fact(fact) => self.know.single(fact),
        }
    }

    /// A packet of the IP stack leaves by a bridge (`br_dev_xmit`); no IP hooks inside.
    pub(super) fn bridge_out(&mut self, skb: &mut Skb, bridge: Iface) -> Result<(), Ended> {
        let towards = self.next_hop.or(skb.packet.dst().value());
        let out = self.port_towards(bridge, towards);
        skb.out_port = Some(out);
        let iif = skb.iif;
        (skb.iif, skb.oif) = (None, Some(out));
        let passed = self
            .run_all(skb, Pf::Bridge, Hook::Output)
            .and_then(|()| self.run_all(skb, Pf::Bridge, Hook::Postrouting))
            .and_then(|()| self.egress(skb, out));
        (skb.iif, skb.oif) = (iif, Some(bridge));
        passed
    }
}
