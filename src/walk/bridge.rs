//! Bridges: `br_handle_frame`, `br_forward`, `br_dev_xmit`, and br_netfilter's calls of the IP hooks from inside.

use std::net::IpAddr;

use crate::eval::{Iface, Pf, Skb};
use crate::hooks::{Slot, Work};
use crate::host::{IpFamily, RouteAnswer, RouteQuery, RouteType};
use crate::logic::{Claim, Known, Source};
use crate::packet::Bits;
use crate::ruleset::Hook;
use crate::ruleset::protocol::Base;

use super::step::{BridgeStep, Disposition, HostDrop, StepKind};
use super::{Ended, Record, Walker};

/// Where br_netfilter sits among the chains of the bridge family (`NF_BR_PRI_BRNF`).
const BRNF: i32 = 0;

/// `PACKET_OTHERHOST`
const OTHERHOST: u8 = 3;

/// The packet type that br_netfilter shows to the IP hooks.
fn seen_by_ip(pkttype: u8) -> u8 {
    if pkttype == OTHERHOST { 0 } else { pkttype }
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
        if let Err(ended) = self.ingress(skb, port) {
            return ended;
        }
        self.step(
            skb,
            Pf::Bridge,
            Hook::Prerouting,
            StepKind::Bridge(BridgeStep::Enters { bridge }),
        );
        match self.bridge_prerouting(skb, bridge, port) {
            Err(ended) => ended,
            Ok((Onward::Up { gateway }, called)) => {
                self.step(
                    skb,
                    Pf::Bridge,
                    Hook::Prerouting,
                    StepKind::Bridge(BridgeStep::Up { gateway }),
                );
                self.bridge_up(skb, bridge, called)
            }
            Ok((Onward::Across, called)) => self.bridge_across(skb, bridge, port, called),
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

    /// Bridge prerouting, with IP prerouting in its middle when br_netfilter is on. Tells whether it was.
    fn bridge_prerouting(
        &mut self,
        skb: &mut Skb,
        bridge: Iface,
        port: Iface,
    ) -> Result<(Onward, bool), Ended> {
        let mut onward = self.onward(skb, bridge);
        // br_handle_frame: what is addressed to the bridge is for this host, all else for somebody else
        if onward == Onward::Across {
            skb.pkttype = OTHERHOST;
        }
        let called = self.calls_ip(skb, bridge);
        let split = self.split(Hook::Prerouting, called);
        self.run(skb, Pf::Bridge, Hook::Prerouting, i32::MIN, split - 1)?;
        let pkttype = skb.pkttype;
        if called {
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
                onward = self.redirected(skb, bridge)?;
            }
            skb.iif = Some(port);
            skb.pkttype = pkttype;
        }
        self.run(skb, Pf::Bridge, Hook::Prerouting, split, i32::MAX)?;
        Ok((onward, called))
    }

    /// After a translation inside the bridge the route of the new destination decides (`br_nf_pre_routing_finish`).
    fn redirected(&mut self, skb: &mut Skb, bridge: Iface) -> Result<Onward, Ended> {
        let Known::Value(dst) = skb.packet.dst() else {
            return Ok(Onward::Up { gateway: true });
        };
        let dev = self.name(Some(bridge));
        let query = RouteQuery {
            src: skb.packet.src().value(),
            iif: dev,
            mark: self.route_mark(skb),
            ..RouteQuery::to(dst)
        };
        match self.host().route(&query) {
            RouteAnswer::Found(route) if route.kind == RouteType::Unicast => {
                self.record.origin(route.origin);
                let same =
                    dev.is_some() && route.nexthops.iter().any(|hop| hop.dev.as_deref() == dev);
                Ok(if same {
                    Onward::Across
                } else {
                    Onward::Up { gateway: true }
                })
            }
            RouteAnswer::Found(_) => Ok(Onward::Up { gateway: false }),
            RouteAnswer::NoRoute | RouteAnswer::Unknown { .. } => Ok(Onward::Up { gateway: true }),
        }
    }

    /// Whose Ethernet address the sender wrote on the frame: it sends to hosts of the bridge's subnet directly, to all
    /// others through its gateway, which is taken to be this host.
    fn onward(&mut self, skb: &mut Skb, bridge: Iface) -> Onward {
        let Known::Value(dst) = skb.packet.dst() else {
            return Onward::Up { gateway: true };
        };
        let own = self
            .name(Some(bridge))
            .and_then(|name| self.host().link(name))
            .and_then(|link| link.mac);
        if let (Bits::Value(mac), Some(own)) = (skb.packet.load(Base::Ll, 0, 48), own) {
            let own = own
                .iter()
                .fold(0, |value, byte| value << 8 | u128::from(*byte));
            return if mac == own {
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
    fn bridge_up(&mut self, skb: &mut Skb, bridge: Iface, called: bool) -> Ended {
        if let Err(ended) = self.run_all(skb, Pf::Bridge, Hook::Input) {
            return ended;
        }
        skb.iif = Some(bridge);
        if let Err(ended) = self.ingress(skb, bridge) {
            return ended;
        }
        if called {
            let pf = Self::pf(skb);
            self.step(
                skb,
                pf,
                Hook::Prerouting,
                StepKind::Bridge(BridgeStep::PreroutingDone),
            );
            return self.ip_routed(skb);
        }
        self.ip_receive(skb)
    }

    /// `br_forward`: out by another port.
    fn bridge_across(&mut self, skb: &mut Skb, bridge: Iface, port: Iface, called: bool) -> Ended {
        let out = self.port_towards(bridge, skb.packet.dst().value());
        skb.out_port = Some(out);
        if let Some(why) = self.refuses(port, out) {
            return self.host_drop(skb, Pf::Bridge, Hook::Forward, why);
        }
        self.step(
            skb,
            Pf::Bridge,
            Hook::Forward,
            StepKind::Bridge(BridgeStep::Across),
        );
        match self.bridge_hooks_across(skb, bridge, port, out, called) {
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
            skb.pkttype = seen_by_ip(skb.pkttype);
            self.next_hop = None;
            self.run_all(skb, pf, Hook::Postrouting)?;
        }
        Ok(())
    }

    /// Ports that do not pass a frame on (`should_deliver`).
    fn refuses(&self, port: Iface, out: Iface) -> Option<HostDrop> {
        let host = self.host();
        let (from, to) = (
            host.link(self.name(Some(port))?)?,
            host.link(self.name(Some(out))?)?,
        );
        if from.name == to.name && from.hairpin == Some(false) {
            return Some(HostDrop::SamePort);
        }
        (from.isolated == Some(true) && to.isolated == Some(true)).then_some(HostDrop::IsolatedPort)
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
            .and_then(|()| self.run_all(skb, Pf::Bridge, Hook::Postrouting));
        (skb.iif, skb.oif) = (iif, Some(bridge));
        passed
    }
}
