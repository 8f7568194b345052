//! The stack between the hooks for all packets at once (`walk`, `walk::ip`, `walk::track`).

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::conntrack::status;
use crate::eval::{Iface, NextHop, Pf, Sender, World};
use crate::hooks::{Hooks, Work};
use crate::host::{Host, IpFamily, LinkKind};
use crate::logic::{Known, Source};
use crate::packet::{proto, tcp};
use crate::ruleset::{ChainId, ChainType, Family, Hook, RuleId, Ruleset, SetId};
use crate::sets::{Set, Sets};
use crate::walk::decide::{self, Way};
use crate::walk::step::{Disposition, HostDrop};

use super::fields::{self, Field, Fields};
use super::free::Freedom;
use super::leaf::{Classes, Dim};
use super::space::Space;
use super::value::{self, Number, OneOf, Sym};
use super::{By, Dropped, End, Exit, From, Watch, Ways};

/// How many rules are run before a walk gives up.
const BUDGET: u32 = 5_000_000;

/// A hook of a protocol family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    pub pf: Pf,
    pub hook: Hook,
}

/// An element that a rule added or took away.
#[derive(Debug, Clone)]
pub(super) struct Update {
    pub set: SetId,
    pub delete: bool,
    pub key: Vec<Sym>,
    pub packets: Set,
}

/// Who sent the request, and by which interface it came.
type Peer = (Number, OneOf<Option<u16>>);

pub(super) struct Walk<'a, 'w> {
    pub(super) space: &'a mut Space,
    pub(super) world: World<'w>,
    pub(super) hooks: &'w Hooks,
    pub(super) fields: Fields,
    pub(super) ways: Ways,
    pub(super) is_reply: bool,
    /// Source and destination as the packet was first sent.
    pub(super) first: (Number, Number),
    pub(super) peer: Option<Peer>,
    /// Sources of which it is settled whether they are this host's.
    pub(super) origins: Vec<(Number, bool)>,
    pub(super) updates: Vec<Update>,
    pub(super) classes: Classes,
    pub(super) chains: Vec<Rc<[RuleId]>>,
    /// The base chain that runs.
    pub(super) base: ChainId,
    pub(super) budget: u32,
    /// Nothing is known of packets.
    pub(super) free: Option<Freedom>,
    pub(super) watch: Watch,
    /// A socket of this host began the conversation.
    opened: bool,
    /// The devices that the last look-up at output found.
    again: Option<(Set, OneOf<Option<u16>>)>,
}

impl<'a, 'w> Walk<'a, 'w> {
    pub(super) fn request(
        space: &'a mut Space,
        world: World<'w>,
        hooks: &'w Hooks,
        from: From,
        mark: Option<u32>,
    ) -> Walk<'a, 'w> {
        let fields = Fields::first(space, from, mark, world.host.links.len());
        let v6 = space.v6;
        let sent = space.valid();
        let first = (fields.src(space).clone(), fields.dst(space).clone());
        let peer = (from == From::Outside).then(|| (first.0.clone(), fields.iif.clone()));
        let chains = world.ruleset.chains.iter();
        Walk {
            ways: Ways {
                sent,
                exits: Vec::new(),
                visits: BTreeMap::new(),
                decided: Vec::new(),
                bound: Vec::new(),
                fields: fields.clone(),
                to_many: Set::NONE,
                watched: BTreeMap::new(),
            },
            origins: vec![(first.0.clone(), from == From::Here)],
            first,
            peer,
            fields,
            is_reply: false,
            updates: Vec::new(),
            classes: Classes::of(world.host, v6),
            chains: chains.map(|chain| chain.rules.as_slice().into()).collect(),
            base: ChainId(0),
            budget: BUDGET,
            free: None,
            watch: Watch::new(),
            opened: from == From::Here,
            again: None,
            space,
            world,
            hooks,
        }
    }

    /// The answers to delivered requests.
    pub(super) fn reply(
        space: &'a mut Space,
        world: World<'w>,
        hooks: &'w Hooks,
        requests: &Ways,
        from: From,
    ) -> Ways {
        let mut walk = Walk::request(space, world, hooks, from, Some(0));
        walk.is_reply = true;
        walk.answer(requests);
        walk.done()
    }

    pub(super) fn done(mut self) -> Ways {
        self.ways.fields = self.fields;
        self.ways
    }

    pub(super) fn host(&self) -> &'w Host {
        self.world.host
    }

    pub(super) fn ruleset(&self) -> &'w Ruleset {
        self.world.ruleset
    }

    pub(super) fn end(&mut self, end: End, by: By, packets: Set) {
        if packets.is_empty() {
            return;
        }
        let mut exits = self.ways.exits.iter_mut();
        match exits.find(|exit| exit.end == end && exit.by == by) {
            Some(exit) => exit.packets = self.space.sets.or(exit.packets, packets),
            None => self.ways.exits.push(Exit { end, by, packets }),
        }
    }

    /// Packets that belong to an entry.
    pub(super) fn tracked(&mut self) -> Set {
        self.space.sets.or(self.fields.ct.new, self.fields.ct.reply)
    }

    /// Packets that conntrack has seen, or that a rule has spared it.
    pub(super) fn seen_by_conntrack(&mut self) -> Set {
        let ct = &self.fields.ct;
        let all = [ct.untracked, ct.template, ct.new, ct.reply];
        self.space.sets.union(&all)
    }

    fn status_at(&self, bit: u32) -> usize {
        self.fields.entry.status.len() - 1 - bit.trailing_zeros() as usize
    }

    /// Packets whose entry has a bit of `ct status`.
    pub(super) fn status(&self, bit: u32) -> Set {
        self.fields.entry.status[self.status_at(bit)]
    }

    pub(super) fn set_status(&mut self, bit: u32, packets: Set) {
        let at = self.status_at(bit);
        let old = self.fields.entry.status[at];
        self.fields.entry.status[at] = self.space.sets.or(old, packets);
    }

    /// Sends all packets of one side.
    pub(super) fn send(&mut self, from: From) {
        if from == From::Outside {
            // nobody outside sends by the loopback device
            let lo = self.loopback();
            let looped = lo.map_or(Set::NONE, |_| self.fields.iif.is(&lo));
            self.ways.sent = self.space.sets.minus(self.ways.sent, looped);
        }
        let packets = self.untold(self.ways.sent);
        match from {
            From::Outside => self.receive(packets),
            From::Here => self.output(packets),
        }
    }

    /// Tables that the input does not tell, of which nobody can say that they let packets pass.
    fn untold(&mut self, packets: Set) -> Set {
        let mut live = packets;
        let v6 = self.space.v6;
        for tables in self.ruleset().untold.iter().filter(|t| t.concerns(v6)) {
            let (subject, (stops, _), object) = tables.question();
            let words = format!("{subject} {stops} {object}");
            let stops = self
                .space
                .ask(&words, &tables.settle, tables.source(), false);
            let stopped = self.space.sets.and(live, stops);
            self.end(End::Unknown(tables.because.clone()), By::Stack, stopped);
            live = self.space.sets.minus(live, stops);
        }
        live
    }

    /// Runs everything at a hook; gives the packets that go on.
    fn run(&mut self, hook: Hook, packets: Set) -> Set {
        let pf = self.pf();
        let at = At { pf, hook };
        let mut live = packets;
        for slot in self.hooks.stage(pf, hook) {
            if live.is_empty() {
                break;
            }
            match &slot.work {
                Work::Defrag => {}
                Work::Conntrack => self.conntrack(live),
                Work::Confirm => {
                    let new = self.fields.ct.new;
                    let own = self.space.sets.and(live, new);
                    self.set_status(status::CONFIRMED, own);
                }
                Work::Nat(chains) => {
                    let before = self.fields.dst(self.space).clone();
                    live = self.dispatch_nat(at, chains, live);
                    if hook == Hook::Output {
                        let after = self.fields.dst(self.space).clone();
                        let changed = self.changed(&[before], &[after], live);
                        live = self.route_again(live, changed);
                    }
                }
                Work::Chain(id) => {
                    let base = self.ruleset().chain(*id).base.as_ref();
                    let is_route = base.is_some_and(|base| base.kind == ChainType::Route);
                    if !is_route || hook != Hook::Output {
                        live = self.base_chain(at, *id, live);
                        continue;
                    }
                    let before = self.route_key();
                    live = self.base_chain(at, *id, live);
                    let after = self.route_key();
                    let changed = self.changed(&before, &after, live);
                    live = self.route_again(live, changed);
                }
            }
        }
        live
    }

    /// Packets of which a number has changed. One that is not known has changed: whether it is by chance the one that was
    /// there is not asked, and would take more room than there is.
    fn changed(&mut self, before: &[Number], after: &[Number], packets: Set) -> Set {
        let facts = self.space.facts();
        let mut changed = Vec::new();
        for (a, b) in before.iter().zip(after) {
            let see = |sets: &mut Sets, set| sets.exists(set, facts);
            changed.push(a.differs(&mut self.space.sets, b, packets, see));
        }
        self.space.sets.union(&changed)
    }

    /// What a route depends on (`nf_route_table_hook4`).
    fn route_key(&self) -> [Number; 4] {
        let header = |field| self.fields.header(self.space.v6, field).clone();
        let mark = self.fields.mark.clone();
        [
            mark,
            header(Field::Tos),
            header(Field::Src),
            header(Field::Dst),
        ]
    }

    /// Looks conversations up, or begins them (`nf_conntrack_in`).
    fn conntrack(&mut self, packets: Set) {
        let ct = self.fields.ct.clone();
        let sets = &mut self.space.sets;
        let seen = sets.union(&[ct.untracked, ct.new, ct.reply]);
        let fresh = sets.minus(packets, seen);
        self.fields.ct.template = sets.minus(ct.template, fresh);
        let message = self.fields.message_type(self.space);
        // neighbour discovery and multicast listener messages (noct_valid_new)
        let icmp6 = self.space.protos(&[proto::ICMPV6]);
        let sets = &mut self.space.sets;
        let kinds = value::within(sets, &message, &[(130, 137), (143, 143)]);
        let spared = if self.space.v6 {
            sets.and(icmp6, kinds)
        } else {
            Set::NONE
        };
        let spared = sets.and(spared, fresh);
        self.fields.ct.untracked = sets.or(self.fields.ct.untracked, spared);
        let mut fresh = sets.minus(fresh, spared);
        let tuple = self.fields.tuple(self.space);
        if self.is_reply {
            let exists = self.fields.entry.exists;
            let asked = self.space.sets.and(fresh, exists);
            let sets = &mut self.space.sets;
            let expected = &self.fields.entry.zone.reply;
            let zone = value::same(sets, &self.fields.zone.reply, expected, asked);
            // an answer is the inverse of what the request was at its end, which is what its entry expects, unless a rule
            // has written the headers
            let changed = sets.and(asked, self.fields.tampered);
            let mut answers = sets.minus(asked, changed);
            if !changed.is_empty() {
                let now = self.fields.entry.now.tuple(&mut self.space.sets, changed);
                let expected = now.inverse(self.space);
                let sets = &mut self.space.sets;
                let equal = tuple.same(sets, &expected, changed);
                answers = sets.or(answers, equal);
            }
            let sets = &mut self.space.sets;
            answers = sets.and(answers, zone);
            self.fields.ct.reply = sets.or(self.fields.ct.reply, answers);
            self.set_status(status::SEEN_REPLY, answers);
            fresh = self.space.sets.minus(fresh, answers);
        }
        let begins = self.may_begin(fresh);
        let sets = &mut self.space.sets;
        self.fields.ct.new = sets.or(self.fields.ct.new, begins);
        let entry = &mut self.fields.entry;
        // what is said of an entry that does not exist is of no matter
        let existing = sets.or(entry.exists, begins);
        let free = sets.simplify(begins, existing);
        entry.exists = existing;
        entry.original.take(sets, free, &tuple);
        let zero = Number::constant(0, 128);
        entry.now.src.write(sets, free, &tuple.src.number);
        entry.now.dst.write(sets, free, &tuple.dst.number);
        entry.now.sport.write(sets, free, &tuple.sport);
        entry.now.dport.write(sets, free, &tuple.dport);
        entry.now.own_src = sets.ite(free, tuple.src.own, entry.now.own_src);
        entry.now.own_dst = sets.ite(free, tuple.dst.own, entry.now.own_dst);
        for bit in &mut entry.status {
            *bit = sets.minus(*bit, begins);
        }
        entry.mark.write(sets, free, &zero);
        entry.label.write(sets, free, &zero);
        let zone = self.fields.zone.clone();
        entry.zone.take(sets, free, &zone);
    }

    /// Packets that may be the first of a conversation (`nf_conntrack_tcp_packet`, `nf_conntrack_icmp_packet`).
    fn may_begin(&mut self, packets: Set) -> Set {
        let v6 = self.space.v6;
        let flags = self.fields.header(v6, Field::TcpFlags);
        let flags = flags.bits(&mut self.space.sets);
        let flag = |bit: u8| flags[bit.leading_zeros() as usize];
        let (is_tcp, is_icmp, is_icmp6, is_sctp) = (
            self.space.protos(&[proto::TCP]),
            self.space.protos(&[proto::ICMP]),
            self.space.protos(&[proto::ICMPV6]),
            self.space.protos(&[proto::SCTP]),
        );
        let message = self.fields.message_type(self.space);
        let sets = &mut self.space.sets;
        let ends = sets.or(flag(tcp::RST), flag(tcp::FIN));
        // a lone SYN, or (nf_conntrack_tcp_loose) an ACK in the middle of a connection
        let one = sets.xor(flag(tcp::SYN), flag(tcp::ACK));
        let begins = sets.minus(one, ends);
        let kinds = |of| {
            let asking = (0..=255u8).filter(move |kind| crate::conntrack::asks(of, *kind));
            let ranges: Vec<_> = asking
                .map(|kind| (u128::from(kind), u128::from(kind)))
                .collect();
            ranges
        };
        // the ICMP of the other IP version never does
        let (asks, asks6) = match v6 {
            true => (
                Set::NONE,
                value::within(sets, &message, &kinds(proto::ICMPV6)),
            ),
            false => (
                value::within(sets, &message, &kinds(proto::ICMP)),
                Set::NONE,
            ),
        };
        let mut fine = Set::ALL;
        for (of, condition) in [(is_tcp, begins), (is_icmp, asks), (is_icmp6, asks6)] {
            fine = sets.ite(of, condition, fine);
        }
        if self.is_reply {
            // sctp_new: an answer (INIT ACK) begins no association
            fine = sets.minus(fine, is_sctp);
        }
        sets.and(fine, packets)
    }

    /// Whether chains of the bridge family would see a frame at one of these hooks.
    fn bridge_chains(&self, hooks: &[Hook]) -> bool {
        hooks
            .iter()
            .any(|hook| !self.hooks.stage(Pf::Bridge, *hook).is_empty())
    }

    /// Packets that come in by an interface.
    fn receive(&mut self, packets: Set) {
        let (world, hooks) = (self.world, self.hooks);
        let mut live = packets;
        for part in self.split(packets, &[Dim::Iif, Dim::Dst]) {
            let Some(sample) = self.sample(part) else {
                continue;
            };
            let kind = decide::packet_type(world, hooks, &sample.skb, sample.asked.clone());
            let kind = Number::constant(u128::from(kind), fields::BYTE);
            let sets = &mut self.space.sets;
            self.fields.pkttype.write(sets, part, &kind);
        }
        let covered = self.bridge_chains(&[Hook::Prerouting, Hook::Input]);
        let device_chains = !self.hooks.stage(Pf::Netdev, Hook::Ingress).is_empty();
        for (iif, own) in self.fields.iif.among(&mut self.space.sets, packets) {
            let Some(at) = iif else { continue };
            let link = &self.host().links[usize::from(at)];
            let port = link.master.as_deref();
            let is_port = port.is_some_and(|port| {
                let bridge = self.host().link(port);
                bridge.is_some_and(|bridge| bridge.kind == LinkKind::Bridge)
            });
            if is_port {
                // the bridge stands for its ports
                self.end(End::NotCovered("frames of a bridge port"), By::Stack, own);
                live = self.space.sets.minus(live, own);
                continue;
            }
            if !self.is_bridge(at) {
                continue;
            }
            if covered || device_chains {
                let why =
                    "frames that pass chains of the bridge family or of a device before a bridge";
                self.end(End::NotCovered(why), By::Stack, own);
                live = self.space.sets.minus(live, own);
                continue;
            }
            for part in self.split(own, &[Dim::Dst]) {
                let Some(sample) = self.sample(part) else {
                    continue;
                };
                let leaves = self.tree(part, &sample, |skb, asked| {
                    decide::goes_up(world, hooks, skb, Iface::Link(at), asked)
                });
                for leaf in leaves {
                    if !leaf.answer {
                        let why = "frames that stay on their bridge";
                        self.end(End::NotCovered(why), By::Stack, leaf.packets);
                        live = self.space.sets.minus(live, leaf.packets);
                    }
                }
            }
        }
        self.come_in(live);
    }

    /// Packets that a device hands up (`ip_rcv`).
    fn come_in(&mut self, packets: Set) {
        let live = self.device_hook(Hook::Ingress, packets);
        // br_netfilter runs prerouting inside the bridge, before IP gets the packet
        let inside = self.inside_bridges(live);
        let outside = self.space.sets.minus(live, inside);
        let outside = self.checked(outside, Set::NONE);
        let live = self.space.sets.or(inside, outside);
        let live = self.run(Hook::Prerouting, live);
        let inside = self.space.sets.and(live, inside);
        let outside = self.space.sets.minus(live, inside);
        let translated = self.status(status::DST_NAT);
        let inside = self.checked(inside, translated);
        let live = self.space.sets.or(inside, outside);
        self.received(live);
    }

    /// Packets of bridges that hand their frames to the hooks of IP.
    fn inside_bridges(&mut self, packets: Set) -> Set {
        let family = match self.space.v6 {
            true => IpFamily::V6,
            false => IpFamily::V4,
        };
        let mut inside = Vec::new();
        for (iif, own) in self.fields.iif.among(&mut self.space.sets, packets) {
            let Some(at) = iif.filter(|at| self.is_bridge(*at)) else {
                continue;
            };
            let name = &self.host().links[usize::from(at)].name;
            if self.host().bridge_nf_call_on(family, name) == Some(true) {
                inside.push(own);
            }
        }
        self.space.sets.union(&inside)
    }

    /// What is looked at before any chain of IP (`ip6_rcv_core`): addresses that never come in by a wire. Frames are taken to
    /// be for this station. Of `across` it is not known whether they get there or stay on their bridge.
    fn checked(&mut self, packets: Set, across: Set) -> Set {
        if !self.space.v6 {
            return packets;
        }
        let (src, dst) = (
            self.fields.src(self.space).clone(),
            self.fields.dst(self.space).clone(),
        );
        let within = self.fields.iif.is(&self.loopback());
        let sets = &mut self.space.sets;
        let many = |sets: &mut Sets, of: &Number| of.starts_with(sets, 0xff << 120, 8);
        let own = |sets: &mut Sets, of: &Number| {
            let own = of.equals(sets, 1);
            sets.minus(own, within)
        };
        let from_many = many(sets, &src);
        let from_own = own(sets, &src);
        let source = sets.or(from_many, from_own);
        // IPV6_ADDR_MC_SCOPE: 0 is reserved, 1 stays on its interface
        let to_many = many(sets, &dst);
        let reach = dst.part(sets, 12, 4);
        let reserved = reach.equals(sets, 0);
        let kept = reach.equals(sets, 1);
        let kept = sets.minus(kept, within);
        let scope = sets.or(reserved, kept);
        let scope = sets.and(to_many, scope);
        let to_own = own(sets, &dst);
        let destination = sets.or(scope, to_own);
        let destination = sets.minus(destination, source);
        let mut live = packets;
        for (why, bad) in [
            (HostDrop::MartianSource, source),
            (HostDrop::MartianDestination, destination),
        ] {
            let bad = self.space.sets.and(live, bad);
            // an address of this host that nobody knows is none of these
            let fine = self.space.sets.minus(live, bad);
            let fine = self.space.for_some_facts(fine);
            let bad = self.space.sets.minus(bad, fine);
            live = self.space.sets.minus(live, bad);
            let open = self.space.sets.and(bad, across);
            let why_not =
                "frames translated inside a bridge, from or to an address that no wire carries";
            self.end(End::NotCovered(why_not), By::Stack, open);
            let bad = self.space.sets.minus(bad, across);
            self.end(End::Host(Dropped(why)), By::Stack, bad);
        }
        live
    }

    /// Chains of devices (`nf_ingress`, `nf_hook_egress`).
    fn device_hook(&mut self, hook: Hook, packets: Set) -> Set {
        let mut live = packets;
        for slot in self.hooks.stage(Pf::Netdev, hook) {
            let Work::Chain(id) = slot.work else { continue };
            let chain = self.ruleset().chain(id);
            let Some(base) = &chain.base else { continue };
            let devices = match hook {
                Hook::Ingress => self.fields.iif.among(&mut self.space.sets, live),
                _ => self.fields.oif.among(&mut self.space.sets, live),
            };
            let mut attached = Vec::new();
            for (device, own) in devices {
                let name = device.map(|at| &self.host().links[usize::from(at)].name);
                match (&base.devices, name) {
                    (Some(devices), Some(name)) => {
                        if devices.iter().any(|device| device == name) {
                            attached.push(own);
                        }
                    }
                    _ => {
                        let name = name.map_or("the interface", |name| name.as_str());
                        let words = format!("chain {} is attached to {name}", chain.name);
                        let settle = "nft 1.0.6 does not list the device; use a newer nft, or see `nft list chain`";
                        let is = self.space.ask(&words, settle, Source::Open, false);
                        attached.push(self.space.sets.and(own, is));
                    }
                }
            }
            let attached = self.space.sets.union(&attached);
            let attached = self.space.sets.and(attached, live);
            let pf = match self.ruleset().table(chain.table).family {
                Family::Inet => self.pf(),
                _ => Pf::Netdev,
            };
            let passed = self.base_chain(At { pf, hook }, id, attached);
            let rest = self.space.sets.minus(live, attached);
            live = self.space.sets.or(passed, rest);
        }
        live
    }

    /// Packets that have passed prerouting (`ip_rcv_finish`).
    fn received(&mut self, packets: Set) {
        let (world, hooks) = (self.world, self.hooks);
        let mut local = Vec::new();
        let mut forward: Vec<(Option<u16>, NextHop, Vec<Set>)> = Vec::new();
        let dims = [
            Dim::Iif,
            Dim::Translated,
            Dim::Peer,
            Dim::Mark,
            Dim::Selectors,
            Dim::SrcArriving,
            Dim::DstArriving,
        ];
        for part in self.split(packets, &dims) {
            let Some(sample) = self.sample(part) else {
                continue;
            };
            let leaves = self.tree(part, &sample, |skb, asked| {
                decide::received(world, hooks, skb, asked)
            });
            for leaf in leaves {
                match leaf.answer {
                    Way::Local { to_many } => {
                        if to_many {
                            let many = self.ways.to_many;
                            self.ways.to_many = self.space.sets.or(many, leaf.packets);
                        }
                        local.push(leaf.packets);
                    }
                    Way::Forward { oif, next_hop } => {
                        let route = leaf.skb.route.unwrap_or(match next_hop {
                            Some(ip) => NextHop::Via(ip),
                            None => NextHop::Direct,
                        });
                        for (oif, own) in self.links_of(oif, leaf.packets) {
                            let known = forward
                                .iter_mut()
                                .find(|(known, hop, _)| *known == oif && *hop == route);
                            match known {
                                Some((_, _, sets)) => sets.push(own),
                                None => forward.push((oif, route, vec![own])),
                            }
                        }
                    }
                    Way::Ends(Disposition::Host(why)) => {
                        self.end(End::Host(Dropped(why)), By::Stack, leaf.packets);
                    }
                    Way::Ends(other) => {
                        let why = match other {
                            Disposition::Unknown { because, .. } => because,
                            other => format!("{other:?}"),
                        };
                        self.end(End::Unknown(why), By::Stack, leaf.packets);
                    }
                }
            }
        }
        let local = self.space.sets.union(&local);
        self.deliver(local);
        let mut onward = Vec::new();
        for (oif, route, sets) in forward {
            let own = self.space.sets.union(&sets);
            self.fields.oif.write(&mut self.space.sets, own, oif);
            self.fields
                .route
                .write(&mut self.space.sets, own, Some(route));
            onward.push(own);
        }
        let onward = self.space.sets.union(&onward);
        self.forward(onward);
    }

    /// The links that an interface may be: itself, or any that leads out where none is known.
    fn links_of(&mut self, iface: Iface, packets: Set) -> Vec<(Option<u16>, Set)> {
        match iface {
            Iface::Link(at) => vec![(Some(at), packets)],
            Iface::Fact(_) => {
                let candidates: Vec<u16> = (0..self.host().links.len())
                    .filter(|at| {
                        let link = &self.host().links[*at];
                        link.kind != LinkKind::Loopback && link.master.is_none()
                    })
                    .map(|at| at as u16)
                    .collect();
                let Some(last) = candidates.len().checked_sub(1) else {
                    return vec![(None, packets)];
                };
                let name = format!("the interface towards the destination{}", self.whose());
                let settle =
                    "say it with `--route PREFIX,dev=IF`, or give the routes with a snapshot";
                let domain = vec![(0, last as u128)];
                let which = self.space.fact(&name, settle, &domain, None);
                let mut found = Vec::new();
                for (number, at) in candidates.into_iter().enumerate() {
                    let is = value::equals(&mut self.space.sets, &which, number as u128);
                    let own = self.space.sets.and(is, packets);
                    if !own.is_empty() {
                        found.push((Some(at), own));
                    }
                }
                found
            }
        }
    }

    fn loopback(&self) -> Option<u16> {
        let at = self
            .host()
            .links
            .iter()
            .position(|link| link.kind == LinkKind::Loopback);
        at.map(|at| at as u16)
    }

    /// `ip_local_deliver`
    fn deliver(&mut self, packets: Set) {
        if packets.is_empty() {
            return;
        }
        if self.opened {
            self.early_demux(packets);
        }
        let sets = &mut self.space.sets;
        self.fields.oif.write(sets, packets, None);
        self.fields
            .route
            .write(sets, packets, Some(NextHop::Direct));
        let live = self.run(Hook::Input, packets);
        self.end(End::Local, By::Stack, live);
    }

    /// The socket that an answer is for is found with its route (`tcp_v4_early_demux`, `udp_v4_early_demux`).
    fn early_demux(&mut self, packets: Set) {
        let off = |key: &str| self.host().sysctl(key) == Some(0);
        if off("net.ipv4.ip_early_demux") {
            return;
        }
        let found = [
            (proto::TCP, "net.ipv4.tcp_early_demux", true),
            (proto::UDP, "net.ipv4.udp_early_demux", false),
        ];
        let found: Vec<(u8, bool)> = found
            .iter()
            .filter(|(_, key, _)| !off(key))
            .map(|(of, _, sure)| (*of, *sure))
            .collect();
        let lo = self.fields.iif.is(&self.loopback());
        let outside = self.space.sets.minus(packets, lo);
        for (of, sure) in found {
            let own = self.space.protos(&[of]);
            let sets = &mut self.space.sets;
            let own = sets.and(own, outside);
            self.fields
                .sender
                .write(sets, own, Sender::Receiver { sure });
        }
    }

    /// `ip_forward`, `ip6_forward`
    fn forward(&mut self, packets: Set) {
        if packets.is_empty() {
            return;
        }
        let v6 = self.space.v6;
        let mut live = packets;
        // what comes in by a bridge and goes out by it again may be bridged
        for (iif, own) in self.fields.iif.among(&mut self.space.sets, live) {
            let Some(at) = iif.filter(|at| self.is_bridge(*at)) else {
                continue;
            };
            let back = self.fields.oif.is(&Some(at));
            let back = self.space.sets.and(own, back);
            let why = "packets that leave by the bridge they came in by";
            self.end(End::NotCovered(why), By::Stack, back);
            live = self.space.sets.minus(live, back);
        }
        let of_socket = self.space.sets.and(live, self.fields.socket);
        self.end(End::Host(Dropped(HostDrop::OfSocket)), By::Stack, of_socket);
        live = self.space.sets.minus(live, of_socket);
        let hops = self.fields.header(v6, Field::Ttl);
        let hops = hops.of(&mut self.space.sets, live);
        let last = hops.within(&mut self.space.sets, &[(0, 1)]);
        let expired = self.space.sets.and(live, last);
        self.end(
            End::Host(Dropped(HostDrop::TtlExceeded)),
            By::Stack,
            expired,
        );
        live = self.space.sets.minus(live, last);
        if v6 {
            let src = self.fields.src(self.space).clone();
            let link = 0xfe80u128 << 112;
            let near = src.starts_with(&mut self.space.sets, link, 10);
            let none = src.equals(&mut self.space.sets, 0);
            // back by the interface that they came by such packets may go
            let mut back = vec![self.fields.own_src];
            for (iif, own) in self.fields.iif.among(&mut self.space.sets, live) {
                if iif.is_some() {
                    let same = self.fields.oif.is(&iif);
                    back.push(self.space.sets.and(own, same));
                }
            }
            let back = self.space.sets.union(&back);
            for (why, from) in [
                (HostDrop::LinkLocalSource, near),
                (HostDrop::MartianSource, none),
            ] {
                let from = self.space.sets.minus(from, back);
                let kept = self.space.sets.and(live, from);
                self.end(End::Host(Dropped(why)), By::Stack, kept);
                live = self.space.sets.minus(live, from);
            }
        }
        let one_less = |hops: u128| hops.wrapping_sub(1) & 0xff;
        let less = |sets: &mut Sets, bits: &[Set]| value::minus(sets, bits, 1);
        let fewer = hops.map(&mut self.space.sets, one_less, less);
        self.fields.write(self.space, live, Field::Ttl, &fewer);
        if !v6 && self.host().forward_updates_priority() {
            let known = self.fields.priority.0;
            self.fields.priority.0 = self.space.sets.minus(known, live);
        }
        let live = self.run(Hook::Forward, live);
        let live = self.run(Hook::Postrouting, live);
        self.transmit(live, End::Forwarded);
    }

    /// Packets of this host (`ip_queue_xmit`, `ip_local_out`).
    fn output(&mut self, packets: Set) {
        let live = self.route_output(packets, false);
        let mut live = self.run(Hook::Output, live);
        if let Some((packets, oif)) = self.again.take() {
            let sets = &mut self.space.sets;
            self.fields.oif.take(sets, packets, &oif);
        }
        live = self.run(Hook::Postrouting, live);
        self.transmit(live, End::Transmitted);
    }

    /// `ip_route_me_harder`: chains see the first device to the end of the hook.
    fn route_again(&mut self, packets: Set, changed: Set) -> Set {
        let again = self.space.sets.and(packets, changed);
        if again.is_empty() {
            return packets;
        }
        let before = self.fields.oif.clone();
        let found = self.route_output(again, true);
        let after = std::mem::replace(&mut self.fields.oif, before);
        let (mut all, mut oif) = self.again.take().unwrap_or((Set::NONE, after.clone()));
        oif.take(&mut self.space.sets, again, &after);
        all = self.space.sets.or(all, again);
        self.again = Some((all, oif));
        let rest = self.space.sets.minus(packets, again);
        self.space.sets.or(rest, found)
    }

    /// `ip_route_output_flow`, and `ip_route_me_harder` when `again`; gives the packets that have a route.
    fn route_output(&mut self, packets: Set, again: bool) -> Set {
        let (world, hooks) = (self.world, self.hooks);
        let dims = [
            Dim::Peer,
            Dim::Mark,
            Dim::Selectors,
            Dim::SrcLeaving,
            Dim::DstLeaving,
        ];
        let mut found = Vec::new();
        // written at the end: what one part writes is not what another part is asked for
        let mut routes: Vec<(Option<u16>, NextHop, Set)> = Vec::new();
        let mut sources: Vec<(fields::Address, Set)> = Vec::new();
        for part in self.split(packets, &dims) {
            let Some(sample) = self.sample(part) else {
                continue;
            };
            let leaves = self.tree(part, &sample, |skb, asked| {
                if again {
                    skb.oif = None;
                }
                decide::sent(world, hooks, skb, again, asked)
            });
            for leaf in leaves {
                let packets = leaf.packets;
                match leaf.answer {
                    Err(Disposition::Host(why)) => {
                        self.end(End::Host(Dropped(why)), By::Stack, packets);
                    }
                    Err(other) => {
                        let why = match other {
                            Disposition::Unknown { because, .. } => because,
                            other => format!("{other:?}"),
                        };
                        self.end(End::Unknown(why), By::Stack, packets);
                    }
                    Ok(to_many) => {
                        let many = self.ways.to_many;
                        let sets = &mut self.space.sets;
                        self.ways.to_many = if to_many {
                            sets.or(many, packets)
                        } else {
                            sets.minus(many, packets)
                        };
                        let route = leaf.skb.route.unwrap_or(NextHop::Unknown);
                        let oif = leaf.skb.oif;
                        let links = match oif {
                            Some(oif) => self.links_of(oif, packets),
                            None => vec![(None, packets)],
                        };
                        for (oif, own) in links {
                            routes.push((oif, route, own));
                        }
                        if leaf.skb.packet.src() != sample.skb.packet.src() {
                            let source = match leaf.skb.packet.src() {
                                // an own address that is asked for by its owner is the destination itself
                                Known::Value(ip) if Known::Value(ip) == leaf.skb.packet.dst() => {
                                    fields::Address {
                                        number: self.fields.dst(self.space).clone(),
                                        own: Set::NONE,
                                        drawn: Set::NONE,
                                    }
                                }
                                // which of several depends on how much they have in common with the destination
                                Known::Value(_)
                                    if self.space.v6 && self.has_several_addresses(oif) =>
                                {
                                    fields::Address {
                                        number: self.own_address("the address that the host takes"),
                                        own: packets,
                                        drawn: packets,
                                    }
                                }
                                Known::Value(ip) => self.constant(ip),
                                Known::Fact(fact) => fields::Address {
                                    number: self.fact_address(&leaf.know, fact),
                                    own: packets,
                                    drawn: packets,
                                },
                            };
                            sources.push((source, packets));
                        }
                        found.push(packets);
                    }
                }
            }
        }
        for (oif, route, own) in routes {
            self.fields.oif.write(&mut self.space.sets, own, oif);
            self.fields
                .route
                .write(&mut self.space.sets, own, Some(route));
        }
        for (source, own) in sources {
            self.fields
                .write(self.space, own, Field::Src, &source.number);
            let sets = &mut self.space.sets;
            self.fields.own_src = sets.ite(own, source.own, self.fields.own_src);
        }
        self.space.sets.union(&found)
    }

    /// Hands packets to their devices (`dev_queue_xmit`).
    fn transmit(&mut self, packets: Set, how: fn(u16) -> End) {
        if packets.is_empty() {
            return;
        }
        let link = self.fields.link;
        self.fields.link = self.space.sets.or(link, packets);
        let iif = self.fields.iif.clone();
        self.fields.iif.write(&mut self.space.sets, packets, None);
        let live = self.device_hook(Hook::Egress, packets);
        self.fields.iif = iif;
        let lo = self.loopback();
        let covered = self.bridge_chains(&[Hook::Output, Hook::Postrouting]);
        let mut looped = Set::NONE;
        for (oif, own) in self.fields.oif.among(&mut self.space.sets, live) {
            match oif {
                None => self.end(
                    End::Unknown("the outgoing interface is not known".into()),
                    By::Stack,
                    own,
                ),
                Some(at) if Some(at) == lo => looped = own,
                Some(at) if covered && self.is_bridge(at) => {
                    let why = "packets that pass chains of the bridge family";
                    self.end(End::NotCovered(why), By::Stack, own);
                }
                Some(at) => self.end(how(at), By::Stack, own),
            }
        }
        if looped.is_empty() {
            return;
        }
        let sets = &mut self.space.sets;
        self.fields.iif.write(sets, looped, lo);
        self.fields.oif.write(sets, looped, None);
        self.fields.sender.write(sets, looped, Sender::Outside);
        self.come_in(looped);
    }

    /// Turns delivered requests around and follows their answers (`walk::answer`).
    fn answer(&mut self, requests: &Ways) {
        let v6 = self.space.v6;
        let local = requests.ended(self.space, |end| *end == End::Local);
        let left = requests.ended(self.space, |end| match end {
            End::Forwarded(_) | End::Transmitted(_) => true,
            End::Local
            | End::Relayed
            | End::Dropped
            | End::Rejected
            | End::Queued
            | End::Stolen
            | End::Host(_)
            | End::Unknown(_)
            | End::NotCovered(_) => false,
        });
        let request = &requests.fields;
        let dst = request.dst(self.space).clone();
        // who is sent to many does not answer
        let many: &[&str] = match v6 {
            false => &["224.0.0.0/4", "255.255.255.255/32"],
            true => &["ff00::/8"],
        };
        let mut silent = requests.to_many;
        for net in many.iter().filter_map(|net| net.parse().ok()) {
            let to = self.in_net(&dst, &net);
            let to = self.space.sets.minus(to, request.own_dst);
            silent = self.space.sets.or(silent, to);
        }
        let message = request.message_type(self.space);
        let kinds = |kinds: &[u8]| -> Vec<(u128, u128)> {
            let mut ranges: Vec<_> = kinds
                .iter()
                .map(|k| (u128::from(*k), u128::from(*k)))
                .collect();
            ranges.sort_unstable();
            ranges
        };
        let asking = |of| -> Vec<u8> {
            (0..=255u8)
                .filter(|kind| crate::conntrack::asks(of, *kind))
                .collect()
        };
        let (icmp, icmp6) = (
            self.space.protos(&[proto::ICMP]),
            self.space.protos(&[proto::ICMPV6]),
        );
        let echo_kinds: &[u8] = if v6 { &[128] } else { &[8, 13] };
        let sets = &mut self.space.sets;
        let echo = value::within(sets, &message, &kinds(echo_kinds));
        let any_icmp = sets.or(icmp, icmp6);
        for of in [(proto::ICMP, icmp), (proto::ICMPV6, icmp6)] {
            let asks = value::within(sets, &message, &kinds(&asking(of.0)));
            let is_own = (of.0 == proto::ICMPV6) == v6;
            let mute = if is_own { sets.minus(of.1, asks) } else { of.1 };
            silent = sets.or(silent, mute);
        }
        let unheard = sets.minus(any_icmp, echo);
        let local = sets.minus(local, silent);
        let local = sets.minus(local, unheard);
        let left = sets.minus(left, silent);
        self.ways.sent = sets.or(local, left);
        let mut kernel = Set::NONE;
        for (of, kinds_of) in [(icmp, kinds(&[8, 13])), (icmp6, kinds(&[128]))] {
            let echo = value::within(sets, &message, &kinds_of);
            let own = sets.and(of, echo);
            kernel = sets.or(kernel, own);
        }
        let turned = self.turned(request, local, left, kernel);
        self.first = (
            turned.src(self.space).clone(),
            turned.dst(self.space).clone(),
        );
        let src = self.first.0.clone();
        let origins = self.origins.clone();
        if self.peer.is_none() {
            self.peer = Some((src.clone(), turned.iif.clone()));
        }
        self.origins.insert(0, (src.clone(), false));
        // what answers from elsewhere look like is much, and of no matter for those of this host
        self.fields = turned.narrowed(&mut self.space.sets, left);
        let packets = self.untold(left);
        self.receive(packets);
        let here = turned.narrowed(&mut self.space.sets, local);
        let elsewhere = std::mem::replace(&mut self.fields, here);
        self.origins = origins;
        self.origins.insert(0, (src, true));
        if self.opened {
            // a packet to itself came from nobody else
            self.peer = None;
        }
        self.opened = true;
        let packets = self.untold(local);
        self.output(packets);
        self.fields
            .take(&mut self.space.sets, local.not(), &elsewhere);
    }

    /// The answers to packets as they were at their ends.
    fn turned(&mut self, request: &Fields, local: Set, left: Set, kernel: Set) -> Fields {
        let v6 = self.space.v6;
        let mut answer = request.clone();
        let header = |field| request.header(v6, field).clone();
        let (src, dst) = (header(Field::Src), header(Field::Dst));
        let (sport, dport) = (header(Field::Sport), header(Field::Dport));
        let mut flags = header(Field::TcpFlags).bits(&mut self.space.sets);
        flags[tcp::ACK.leading_zeros() as usize] = Set::ALL;
        flags[tcp::RST.leading_zeros() as usize] = Set::NONE;
        let is_tcp = self.space.protos(&[proto::TCP]);
        let ports = self.space.with_ports();
        let icmp = self.space.protos(&[proto::ICMP, proto::ICMPV6]);
        let message = fields::inverse_of_icmp(self.space, &sport);
        let space = &mut *self.space;
        answer.write(space, Set::ALL, Field::Src, &dst);
        answer.write(space, Set::ALL, Field::Dst, &src);
        answer.write(space, ports, Field::Sport, &dport);
        answer.write(space, ports, Field::Dport, &sport);
        answer.write(space, icmp, Field::Sport, &message);
        answer.write(space, is_tcp, Field::TcpFlags, &Number::from(flags));
        answer.write(space, Set::ALL, Field::Ttl, &Number::constant(64, 8));
        answer.write(space, Set::ALL, Field::Tos, &Number::constant(0, 8));
        let bare = if v6 { 0 } else { 20 };
        let long = space.protos(&[proto::SCTP, proto::DCCP]);
        let mut length = Number::constant(bare + 8, 16);
        for (of, bytes) in [(is_tcp, 20), (long, 12)] {
            let bytes = Number::constant(bare + bytes, 16);
            length.write(&mut space.sets, of, &bytes);
        }
        answer.write(space, Set::ALL, Field::Length, &length);
        std::mem::swap(&mut answer.own_src, &mut answer.own_dst);
        let sets = &mut space.sets;
        answer.link = left;
        answer.iif = request.oif.clone();
        answer.iif.write(sets, local, None);
        answer.oif = OneOf::only(None);
        answer.mark = Number::constant(0, 32);
        answer.priority.0 = Set::NONE;
        answer.pkttype = Number::constant(0, fields::BYTE);
        answer.sender = OneOf::only(Sender::Outside);
        answer.sender.write(sets, local, Sender::Program);
        let by_kernel = sets.and(local, kernel);
        answer.sender.write(sets, by_kernel, Sender::Kernel);
        answer.route = OneOf::only(None);
        answer.socket = Set::NONE;
        let first = Fields::first(space, From::Outside, Some(0), 1);
        let sets = &mut space.sets;
        // what had no entry at its end begins one
        let owned = sets.and(request.ct.new, request.entry.exists);
        answer.entry.exists = owned;
        answer.ct = first.ct;
        answer.zone = first.zone;
        answer
    }
}
