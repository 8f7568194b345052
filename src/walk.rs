//! The way of a packet through the stack: hooks, conntrack, nat, routing and bridges in the kernel's order.
//!
//! A walk is deterministic: world, probe and a script of choices go in, steps come out. It cannot fail and does no I/O.
//! [`explore`] repeats it with other choices where the input left something open.
//!
//! Left out on purpose: fragments, timeouts.

mod bridge;
mod chain;
pub mod decide;
pub mod explore;
mod ip;
mod nat;
pub(crate) mod refuse;
pub mod step;
mod track;

use std::net::IpAddr;

use crate::conntrack::{CtRef, Entry, Manip, Zone, asks, inverse_icmp, status};
use crate::eval::{Env, Iface, Observer, Pf, Sender, Skb, World};
use crate::hooks::{Hooks, Slot, Work};
use crate::host::{AddressType, Host, Link, LinkKind, Mac, Origin, TypeAnswer, mac_text};
use crate::logic::{Claim, Knowledge, Known, Ranges, Source, max_of};
use crate::packet::{self, Bits, Packet, proto};
use crate::ruleset::datatype::{DataType, ifname_value};
use crate::ruleset::protocol::Base;
use crate::ruleset::{ChainId, ChainType, Family, Hook, Policy, Ruleset};

use step::{AssumedField, Disposition, Outcome, PacketView, Path, Point, Step, StepKind, Walked};

/// What a path that is over is told by: where it ended.
type Ended = Disposition;

/// Where the packet enters this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance {
    /// From outside, by this interface (a bridge: by one of its ports).
    Iface(Iface),
    /// Made by a program of this host.
    Local,
    /// Made by this host's kernel itself.
    Kernel,
}

/// What conntrack is said to know of the packet already (`--ct-state`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenState {
    New,
    Established,
    Related,
    Invalid,
    Untracked,
}

/// The packet that is walked.
#[derive(Debug, Clone)]
pub struct Probe {
    pub spec: packet::Spec,
    pub entrance: Entrance,
    /// The port of the bridge it enters by, when said.
    pub in_port: Option<Iface>,
    /// For packets of this host: the device it is bound to, when said.
    pub oif: Option<Iface>,
    pub mark: u32,
    pub state: GivenState,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

/// Sees what a walk does.
pub trait Record: Observer {
    /// Whether steps are kept: what only they show need not be made otherwise.
    fn keeps(&self) -> bool;

    /// A step; `make` is called only by recorders that keep steps.
    fn step(&mut self, make: impl FnOnce() -> Step);

    /// A place to come back to with [`Record::cut`].
    fn mark(&self) -> usize;

    /// Forgets the steps since a mark.
    fn cut(&mut self, mark: usize);

    /// Takes the steps so far, to walk another packet.
    fn set_aside(&mut self) -> Vec<Step>;

    /// Goes on behind steps that were set aside.
    fn resume(&mut self, steps: Vec<Step>);
}

/// Keeps nothing: for callers that only want the verdict.
#[derive(Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn origin(&mut self, _: Origin) {}
    fn assumed(&mut self, _: impl FnOnce() -> String, _: u128, _: DataType, _: &'static str) {}
}

impl Record for Silent {
    fn keeps(&self) -> bool {
        false
    }

    fn step(&mut self, _: impl FnOnce() -> Step) {}

    fn mark(&self) -> usize {
        0
    }

    fn cut(&mut self, _: usize) {}

    fn set_aside(&mut self) -> Vec<Step> {
        Vec::new()
    }

    fn resume(&mut self, _: Vec<Step>) {}
}

/// Keeps every step.
#[derive(Debug, Default)]
pub struct Trace {
    steps: Vec<Step>,
    assumed: Vec<AssumedField>,
    inferred: Vec<u32>,
}

impl Observer for Trace {
    fn origin(&mut self, origin: Origin) {
        if let Origin::Inferred(id) = origin
            && !self.inferred.contains(&id.0)
        {
            self.inferred.push(id.0);
        }
    }

    fn assumed(
        &mut self,
        fact: impl FnOnce() -> String,
        value: u128,
        data_type: DataType,
        settle: &'static str,
    ) {
        let fact = fact();
        if !self.assumed.iter().any(|a| a.fact == fact) {
            self.assumed.push(AssumedField {
                fact,
                value,
                data_type,
                settle,
            });
        }
    }
}

impl Record for Trace {
    fn keeps(&self) -> bool {
        true
    }

    fn step(&mut self, make: impl FnOnce() -> Step) {
        self.steps.push(make());
    }

    fn mark(&self) -> usize {
        self.steps.len()
    }

    fn cut(&mut self, mark: usize) {
        self.steps.truncate(mark);
    }

    fn set_aside(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.steps)
    }

    fn resume(&mut self, steps: Vec<Step>) {
        self.steps = steps;
    }
}

/// `PACKET_HOST`
const HOST: u8 = 0;

/// `PACKET_OTHERHOST`
const OTHERHOST: u8 = 3;

/// The names of links as the values that a fact about an interface may have.
pub fn named_values<'l>(links: impl Iterator<Item = &'l Link>) -> Ranges {
    let mut values: Vec<u128> = links.filter_map(|link| ifname_value(&link.name)).collect();
    values.sort_unstable();
    values.into_iter().map(|value| (value, value)).collect()
}

/// The names of a host's links as values, for [`World::link_values`].
pub fn link_values(host: &Host) -> Vec<u128> {
    host.links
        .iter()
        .map(|link| ifname_value(&link.name).unwrap_or(0))
        .collect()
}

/// How many rules a walk looks at before it gives up: each is a step that is kept.
const BUDGET: u32 = 250_000;

pub(crate) struct Walker<'w, R> {
    world: World<'w>,
    hooks: &'w Hooks,
    know: Knowledge,
    entries: Vec<Entry>,
    record: R,
    budget: u32,
    /// Which rules made bindings.
    binders: Vec<(Manip, crate::ruleset::RuleId)>,
    /// The gateway of the route in force, for masquerade.
    next_hop: Option<IpAddr>,
    /// Whom the request came from, and by which interface: the way back when no route says otherwise.
    peer: Option<(IpAddr, Iface)>,
    /// What the user says conntrack makes of the next packet.
    forced: Option<GivenState>,
    /// Stack of chains to resume, kept to save allocations.
    frames: Vec<chain::Frame>,
    /// True when the packet is a broadcast or multicast, which nobody answers.
    to_many: bool,
    /// User and group of the program whose socket began the conversation.
    opened: Option<(Option<u32>, Option<u32>)>,
    /// What the sender of a refused packet is told.
    answer: Option<Box<Path>>,
    /// True while that is on its way.
    telling: bool,
    /// The device that the last look-up at output found, when it was not the first.
    routed_again: Option<Option<Iface>>,
}

impl<'w, R: Record> Walker<'w, R> {
    fn new(world: World<'w>, hooks: &'w Hooks, know: Knowledge, record: R) -> Self {
        Walker {
            world,
            hooks,
            know,
            entries: Vec::new(),
            record,
            budget: BUDGET,
            binders: Vec::new(),
            next_hop: None,
            peer: None,
            forced: None,
            frames: Vec::new(),
            to_many: false,
            opened: None,
            answer: None,
            telling: false,
            routed_again: None,
        }
    }

    fn host(&self) -> &'w Host {
        self.world.host
    }

    fn ruleset(&self) -> &'w Ruleset {
        self.world.ruleset
    }

    /// The name of an interface, when it is known.
    fn name(&self, iface: Option<Iface>) -> Option<&'w str> {
        match iface? {
            Iface::Link(at) => Some(&self.world.host.links[at as usize].name),
            Iface::Fact(fact) => {
                let value = self.know.single(fact)?;
                let at = self.world.link_values.iter().position(|v| *v == value)?;
                Some(&self.world.host.links[at].name)
            }
        }
    }

    /// The interface of a name; one that no list has becomes a fact with that name as its only value.
    fn iface(&mut self, name: &str) -> Iface {
        match self
            .world
            .host
            .links
            .iter()
            .position(|link| link.name == name)
        {
            Some(at) => Iface::Link(at as u16),
            None => {
                let value = ifname_value(name).unwrap_or(0);
                let name = format!("interface {name}");
                Iface::Fact(self.know.named(&name, "", || vec![(value, value)]))
            }
        }
    }

    fn is_bridge(&self, iface: Option<Iface>) -> bool {
        let link = self.name(iface).and_then(|name| self.host().link(name));
        link.is_some_and(|link| link.kind == LinkKind::Bridge)
    }

    fn is_loopback(&self, iface: Option<Iface>) -> bool {
        let link = self.name(iface).and_then(|name| self.host().link(name));
        link.is_some_and(|link| link.kind == LinkKind::Loopback)
    }

    /// An interface that nothing is known of but what the question names.
    fn unknown_iface(&mut self, question: &str, settle: &str) -> Iface {
        Iface::Fact(self.know.named(question, settle, || vec![(1, max_of(128))]))
    }

    fn env<'a>(&'a mut self, skb: &'a mut Skb, pf: Pf, hook: Hook) -> (Env<'a, 'w>, &'a mut R) {
        (
            Env {
                world: self.world,
                know: &mut self.know,
                skb,
                entries: &mut self.entries,
                hook,
                pf,
                rule: crate::ruleset::RuleId(0),
            },
            &mut self.record,
        )
    }

    fn step(&mut self, skb: &Skb, pf: Pf, hook: Hook, kind: StepKind) {
        self.record.step(|| Step {
            point: Point { pf, hook },
            packet: view(skb),
            kind,
        });
    }

    /// Runs what stands at a hook between two priorities (inclusive), as `nf_hook_slow` does.
    fn run(&mut self, skb: &mut Skb, pf: Pf, hook: Hook, from: i32, to: i32) -> Result<(), Ended> {
        let hooks = self.hooks;
        let stage = hooks.stage(pf, hook);
        let swapped;
        let stage = if hooks.has_ties(pf, hook) {
            swapped = self.order(stage);
            &swapped[..]
        } else {
            stage
        };
        for Slot { priority, work } in stage {
            if *priority < from || *priority > to {
                continue;
            }
            match work {
                Work::Defrag => {}
                Work::Conntrack => self.conntrack_in(skb, pf, hook),
                Work::Confirm => self.confirm(skb, pf, hook),
                Work::Nat(chains) => {
                    let dst = skb.packet.dst();
                    self.dispatch_nat(skb, pf, hook, chains)?;
                    if hook == Hook::Output && skb.packet.dst() != dst {
                        self.route_again(skb)?;
                    }
                }
                Work::Chain(id) => {
                    let before = (
                        skb.mark,
                        skb.packet.tos(),
                        skb.packet.src(),
                        skb.packet.dst(),
                    );
                    self.base_chain(skb, pf, hook, *id)?;
                    let after = (
                        skb.mark,
                        skb.packet.tos(),
                        skb.packet.src(),
                        skb.packet.dst(),
                    );
                    let base = self.ruleset().chain(*id).base.as_ref();
                    if before != after && base.is_some_and(|b| b.kind == ChainType::Route) {
                        self.route_again(skb)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The work of a hook where chains of different tables have one priority: a listing does not say which of them was
    /// registered last and so runs first. Usually they were made in the order of the listing.
    fn order(&mut self, stage: &[Slot]) -> Vec<Slot> {
        let mut stage = stage.to_vec();
        for at in 1..stage.len() {
            if let (Work::Chain(first), Work::Chain(second)) =
                (&stage[at - 1].work, &stage[at].work)
                && stage[at - 1].priority == stage[at].priority
                && !self.runs_before(*first, *second)
            {
                stage.swap(at - 1, at);
            }
        }
        for slot in &mut stage {
            let Work::Nat(chains) = &mut slot.work else {
                continue;
            };
            for at in 1..chains.len() {
                let (first, second) = (chains[at - 1], chains[at]);
                let priority = |id| self.ruleset().chain(id).base.as_ref().map(|b| b.priority);
                if priority(first) == priority(second) && !self.runs_before(first, second) {
                    chains.swap(at - 1, at);
                }
            }
        }
        stage
    }

    fn runs_before(&mut self, first: ChainId, second: ChainId) -> bool {
        let ruleset = self.world.ruleset;
        let idle = |id: ChainId| {
            let chain = ruleset.chain(id);
            let accepts = chain
                .base
                .as_ref()
                .is_none_or(|b| b.policy == Policy::Accept);
            chain.rules.is_empty() && accepts
        };
        if ruleset.chain(first).table == ruleset.chain(second).table || idle(first) || idle(second)
        {
            return true;
        }
        let words = |id: ChainId| {
            let table = ruleset.table_of(id);
            format!("{} {} {}", table.family, table.name, ruleset.chain(id).name)
        };
        let claim = Claim::new(
            words(first),
            ("runs", "does not run"),
            format!("before {}", words(second)),
        );
        let settle = "of equal priorities the chain that was made last runs first; give one of them another priority";
        self.know.ask(claim, settle, Source::Default, true)
    }

    fn run_all(&mut self, skb: &mut Skb, pf: Pf, hook: Hook) -> Result<(), Ended> {
        self.run(skb, pf, hook, i32::MIN, i32::MAX)
    }

    /// Tables that the input does not tell, of which nobody can say that they let the packet pass.
    fn untold(&mut self, v6: bool) -> Option<Ended> {
        for tables in &self.world.ruleset.untold {
            if !tables.concerns(v6) {
                continue;
            }
            let (subject, stops, object) = tables.question();
            let claim = Claim::new(subject, stops, object);
            let settle = tables.settle.as_str();
            if self.know.ask(claim, settle, tables.source(), false) {
                return Some(Disposition::Unknown {
                    because: tables.because.clone(),
                    settle: tables.settle.clone(),
                });
            }
        }
        None
    }

    /// The request; for one of an established connection the packet that began it goes before, unseen.
    fn send_request(&mut self, probe: &Probe) -> (Skb, Ended) {
        if probe.state == GivenState::Established {
            let claim = Claim::new(
                "the connection",
                ("was", "was not"),
                "begun under these rules",
            );
            let settle = "see `conntrack -L` for its translation";
            if self.know.ask(claim, settle, Source::Default, true) {
                let first = Probe {
                    state: GivenState::New,
                    ..probe.clone()
                };
                let kept = self.record.mark();
                let (_, ended) = self.send(&first);
                self.record.cut(kept);
                if ended.outcome() == Outcome::Accept {
                    for entry in &mut self.entries {
                        entry.status |= status::SEEN_REPLY;
                        // a datagram's is only after more packets
                        if probe.spec.proto == proto::TCP {
                            entry.status |= status::ASSURED;
                        }
                    }
                    self.opened.get_or_insert((None, None));
                    return self.send(&first);
                }
                self.entries.clear();
                self.binders.clear();
            }
        }
        self.send(probe)
    }

    /// `eth_type_trans`, for a frame whose Ethernet destination nobody said: as the IP destination asks for.
    fn pkttype(&self, packet: &Packet, iface: Iface) -> u8 {
        match packet.dst() {
            Known::Value(dst) if dst.is_multicast() => 2,
            Known::Value(dst) if !self.host().may_be_broadcast(dst) => 0,
            Known::Value(dst) => {
                // the broadcast address of another network comes in a frame for this host, its router
                let dev = self.name(Some(iface));
                let dev = dev.map(|dev| self.host().bridge_of(dev).unwrap_or(dev));
                match self.host().address_type(dst, dev) {
                    TypeAnswer::Known(AddressType::Broadcast, _) => 1,
                    TypeAnswer::Known(..) | TypeAnswer::Unknown { .. } => 0,
                }
            }
            Known::Fact(_) => 0,
        }
    }

    fn skb(&self, probe: &Probe) -> Skb {
        Skb {
            packet: Packet::new(&probe.spec),
            iif: None,
            oif: None,
            in_port: None,
            out_port: None,
            mark: Known::Value(probe.mark),
            priority: None,
            pkttype: 0,
            ct: CtRef::None,
            entry: 0,
            sender: Sender::Outside,
            route: None,
            nf_bridge: false,
            uid: probe.uid,
            gid: probe.gid,
            zone: Zone::default(),
            socket: false,
        }
    }

    /// A packet as it enters the host; runs it to its end.
    fn send(&mut self, probe: &Probe) -> (Skb, Ended) {
        let mut skb = self.skb(probe);
        self.given_state(&mut skb, probe.state);
        if probe.state == GivenState::Established && probe.entrance != Entrance::Local {
            self.opened = Some((None, None));
        }
        if let Some(ended) = self.untold(skb.packet.v6) {
            return (skb, ended);
        }
        if let Known::Value(src) = probe.spec.src
            && !src.is_unspecified()
        {
            // what comes in from outside comes from somebody else: anything else is a martian
            let own = matches!(probe.entrance, Entrance::Local | Entrance::Kernel);
            self.know.settle_own(src, own);
        }
        let ended = match probe.entrance {
            Entrance::Local | Entrance::Kernel => {
                skb.sender = match probe.entrance {
                    Entrance::Kernel => Sender::Kernel,
                    Entrance::Local | Entrance::Iface(_) => {
                        self.opened.get_or_insert((probe.uid, probe.gid));
                        Sender::Program
                    }
                };
                skb.packet = skb.packet.without_link_header();
                skb.oif = probe.oif;
                self.output(&mut skb)
            }
            Entrance::Iface(iface) => {
                skb.pkttype = self.pkttype(&skb.packet, iface);
                if let (None, Known::Value(src)) = (self.peer, probe.spec.src) {
                    // who is behind a port of a bridge is answered through the bridge
                    let port = self.name(Some(iface));
                    let back = match port.and_then(|port| self.host().bridge_of(port)) {
                        Some(bridge) => self.iface(bridge),
                        None => iface,
                    };
                    self.peer = Some((src, back));
                }
                self.receive_from_wire(&mut skb, iface, probe.in_port)
            }
        };
        (skb, ended)
    }

    fn receive_from_wire(&mut self, skb: &mut Skb, iface: Iface, port: Option<Iface>) -> Ended {
        let name = self.name(Some(iface));
        if let Some(bridge) = name.and_then(|name| self.host().bridge_of(name)) {
            let bridge = self.iface(bridge);
            return self.bridge_in(skb, bridge, iface);
        }
        if self.is_bridge(Some(iface)) {
            let port = match port {
                Some(port) => port,
                None => self.port_towards(iface, skb.packet.src().value()),
            };
            return self.bridge_in(skb, iface, port);
        }
        skb.iif = Some(iface);
        if skb.pkttype == HOST && self.is_for_another_station(skb, iface) {
            skb.pkttype = OTHERHOST;
        }
        if let Err(ended) = self.ingress(skb, iface) {
            return ended;
        }
        self.ip_receive(skb)
    }

    /// Whether a frame is addressed to somebody else on the wire (`eth_type_trans`); where it is not said, it is not.
    fn is_for_another_station(&self, skb: &Skb, iface: Iface) -> bool {
        self.mac(iface)
            .and_then(|own| is_addressed_to(skb, own))
            .is_some_and(|own| !own)
    }

    /// The Ethernet address of an interface.
    fn mac(&self, iface: Iface) -> Option<Mac> {
        self.host().link(self.name(Some(iface))?)?.mac
    }

    /// The port of a bridge behind which an address lives, or a fact that stands for it.
    fn port_towards(&mut self, bridge: Iface, ip: Option<IpAddr>) -> Iface {
        let name = self.name(Some(bridge)).unwrap_or("the bridge");
        let found = self.host().port_towards(name, ip, None);
        let whom = || ip.map_or("the packet".to_string(), |ip| ip.to_string());
        self.port_or_fact(name, found, whom)
    }

    /// The same for an Ethernet address.
    fn port_of_station(&mut self, bridge: Iface, mac: Mac) -> Iface {
        let name = self.name(Some(bridge)).unwrap_or("the bridge");
        let found = self.host().port_towards(name, None, Some(mac));
        self.port_or_fact(name, found, || mac_text(mac))
    }

    fn port_or_fact(
        &mut self,
        name: &str,
        found: Option<&str>,
        whom: impl FnOnce() -> String,
    ) -> Iface {
        match found {
            Some(port) => self.iface(port),
            None => {
                let whom = whom();
                let question = format!("the port of {name} towards {whom}");
                let ranges = named_values(self.host().ports(name));
                let settle =
                    "say it with `--in-port`, or give `bridge fdb` and neighbours with a snapshot";
                Iface::Fact(self.know.named(&question, settle, || {
                    if ranges.is_empty() {
                        vec![(1, max_of(128))]
                    } else {
                        ranges
                    }
                }))
            }
        }
    }

    /// Ingress hooks of a device (`nf_ingress`), before anything else sees the packet.
    fn ingress(&mut self, skb: &mut Skb, device: Iface) -> Result<(), Ended> {
        self.device_hook(skb, Hook::Ingress, device)
    }

    /// Egress hooks of a device (`nf_hook_egress`): the packet has an outgoing interface alone.
    fn egress(&mut self, skb: &mut Skb, device: Iface) -> Result<(), Ended> {
        let (iif, oif) = (skb.iif, skb.oif);
        (skb.iif, skb.oif) = (None, Some(device));
        self.device_hook(skb, Hook::Egress, device)?;
        (skb.iif, skb.oif) = (iif, oif);
        Ok(())
    }

    /// Chains of a device. Those of an inet table see the family of the packet (`nft_do_chain_inet_ingress`).
    fn device_hook(&mut self, skb: &mut Skb, hook: Hook, device: Iface) -> Result<(), Ended> {
        let hooks = self.hooks;
        for slot in hooks.stage(Pf::Netdev, hook) {
            let Work::Chain(id) = slot.work else { continue };
            let chain = self.ruleset().chain(id);
            let Some(base) = &chain.base else { continue };
            let name = self.name(Some(device));
            let attached = match (&base.devices, name) {
                (Some(devices), Some(name)) => devices.iter().any(|d| d == name),
                _ => {
                    let question = Claim::new(
                        format!("chain {}", chain.name),
                        ("is", "is not"),
                        format!("attached to {}", name.unwrap_or("the interface")),
                    );
                    let because = "nft 1.0.6 does not list the device; use a newer nft, or see `nft list chain`";
                    self.know.ask(question, because, Source::Open, false)
                }
            };
            if attached {
                let pf = match self.ruleset().table(chain.table).family {
                    Family::Inet => Self::pf(skb),
                    _ => Pf::Netdev,
                };
                self.base_chain(skb, pf, hook, id)?;
            }
        }
        Ok(())
    }

    fn pf(skb: &Skb) -> Pf {
        if skb.packet.v6 { Pf::Ip6 } else { Pf::Ip }
    }
}

/// A packet's fields as they are now.
pub(crate) fn view(skb: &Skb) -> PacketView {
    PacketView {
        src: skb.packet.src(),
        dst: skb.packet.dst(),
        proto: skb.packet.proto,
        sport: skb.packet.sport(),
        dport: skb.packet.dport(),
        icmp: skb.packet.icmp(),
        tcp_flags: skb.packet.tcp_flags(),
        iif: skb.iif,
        oif: skb.oif,
        in_port: skb.in_port,
        out_port: skb.out_port,
        mark: skb.mark,
        ttl: skb.packet.ttl(),
        ct_state: match skb.ct {
            CtRef::None => None,
            CtRef::Untracked => Some("untracked"),
            CtRef::Template => Some("new"),
            CtRef::Tracked(info) => Some(info.name()),
        },
    }
}

/// Walks a request and the reply it makes, keeping every step.
pub fn walk(
    world: World<'_>,
    hooks: &Hooks,
    probe: &Probe,
    know: Knowledge,
) -> (Walked, Knowledge) {
    let mut walker = Walker::new(world, hooks, know, Trace::default());
    let (skb, disposition) = walker.send_request(probe);
    let request = walker.path(probe, &skb, disposition, 0);
    let before = walker.know.choices.len();
    walker.know.begin_reply();
    let to_many = walker.to_many;
    let reply = answer(&skb, &request.disposition, to_many).map(|reply| {
        let (skb, disposition) = walker.send(&reply);
        walker.path(&reply, &skb, disposition, before)
    });
    let walked = Walked {
        request,
        reply,
        choices: walker.know.choices.clone(),
        said: walker.know.said.clone(),
        assumed: std::mem::take(&mut walker.record.assumed),
        inferred: std::mem::take(&mut walker.record.inferred),
    };
    (walked, walker.know)
}

/// Only whether request and reply get through: no step is kept.
pub fn verdict(
    world: World<'_>,
    hooks: &Hooks,
    probe: &Probe,
    know: Knowledge,
) -> (Disposition, Option<Disposition>) {
    let mut walker = Walker::new(world, hooks, know, Silent);
    let (skb, disposition) = walker.send_request(probe);
    walker.know.begin_reply();
    let to_many = walker.to_many;
    let reply = answer(&skb, &disposition, to_many).map(|reply| walker.send(&reply).1);
    (disposition, reply)
}

impl Walker<'_, Trace> {
    /// The way of a packet that has come to its end.
    fn path(&mut self, probe: &Probe, skb: &Skb, disposition: Disposition, from: usize) -> Path {
        let steps = self.record.set_aside();
        Path {
            answer: self.answer.take(),
            ..take_path(steps, &self.know, probe, skb, disposition, from)
        }
    }
}

fn take_path(
    steps: Vec<Step>,
    know: &Knowledge,
    probe: &Probe,
    skb: &Skb,
    disposition: Disposition,
    from: usize,
) -> Path {
    let output = view(skb);
    let input = match steps.first() {
        Some(first) => PacketView {
            src: probe.spec.src,
            dst: probe.spec.dst,
            sport: proto::has_ports(probe.spec.proto).then_some(probe.spec.sport),
            dport: proto::has_ports(probe.spec.proto).then_some(probe.spec.dport),
            mark: Known::Value(probe.mark),
            oif: None,
            out_port: None,
            ct_state: None,
            ..first.packet
        },
        None => output,
    };
    Path {
        input,
        output,
        steps,
        disposition,
        choices: (from, know.choices.len()),
        answer: None,
    }
}

/// Whether a frame's destination is this Ethernet address; `None`: its destination is not known.
fn is_addressed_to(skb: &Skb, own: Mac) -> Option<bool> {
    let own = own
        .iter()
        .fold(0, |value, byte| value << 8 | u128::from(*byte));
    match skb.packet.load(Base::Ll, 0, 48) {
        Bits::Value(mac) => Some(mac == own),
        _ => None,
    }
}

/// Whether the kernel answers a packet itself (`icmp_echo`, `icmp_timestamp`, `icmpv6_echo_reply`).
fn is_echo(packet: &Packet) -> bool {
    matches!(
        (packet.proto, packet.icmp()),
        (proto::ICMP, Some((8 | 13, _))) | (proto::ICMPV6, Some((128, _)))
    )
}

/// The answer that the receiver of a delivered packet sends; `None` when none is to be expected.
fn answer(skb: &Skb, disposition: &Disposition, to_many: bool) -> Option<Probe> {
    if to_many {
        return None;
    }
    let entrance = match disposition {
        Disposition::Local if is_echo(&skb.packet) => Entrance::Kernel,
        Disposition::Local => Entrance::Local,
        Disposition::Forwarded
        | Disposition::Transmitted
        | Disposition::Bridged
        | Disposition::Relayed => Entrance::Iface(skb.oif?),
        Disposition::Dropped
        | Disposition::Rejected
        | Disposition::Queued
        | Disposition::Stolen
        | Disposition::Host(_)
        | Disposition::Unknown { .. } => return None,
    };
    let packet = &skb.packet;
    if let Known::Value(dst) = packet.dst()
        && (dst.is_multicast() || matches!(dst, IpAddr::V4(v4) if v4.is_broadcast()))
    {
        // bridged, and so not routed
        return None;
    }
    // the kernel's own answers: `icmp_echo`, `icmp_timestamp`, and the echo of `icmpv6_rcv`
    let answers = |kind: u8| match packet.v6 {
        false => matches!(kind, 8 | 13),
        true => kind == 128,
    };
    let icmp = match packet.icmp() {
        None => None,
        Some((kind, _)) if *disposition == Disposition::Local && !answers(kind) => return None,
        Some((kind, code)) if asks(packet.proto, kind) => {
            Some((inverse_icmp(packet.proto, kind)?, code))
        }
        Some(_) => return None,
    };
    let in_port = match disposition {
        Disposition::Local => None,
        _ => skb.out_port,
    };
    Some(Probe {
        spec: packet::Spec {
            v6: packet.v6,
            src: packet.dst(),
            dst: packet.src(),
            proto: packet.proto,
            sport: packet.dport().unwrap_or(Known::Value(0)),
            dport: packet.sport().unwrap_or(Known::Value(0)),
            icmp,
            tcp_flags: packet.tcp_flags().map(|flags| {
                let flags = flags | packet::tcp::ACK;
                flags & !packet::tcp::RST
            }),
            ttl: None,
            tos: None,
            length: None,
            ether_src: None,
            ether_dst: None,
        },
        entrance,
        in_port,
        oif: None,
        mark: 0,
        state: GivenState::New,
        uid: None,
        gid: None,
    })
}
