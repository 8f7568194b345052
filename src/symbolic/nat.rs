//! Translation of all packets at once: the bindings that rules make, and their application (`walk::nat`).

use std::net::IpAddr;

use crate::conntrack::{Manip, status};
use crate::eval::{NextHop, Pf};
use crate::logic::{Known, Ranges};
use crate::packet::{number, proto};
use crate::ruleset::{ChainId, Data, Expr, Family, Hook, Nat, NatKind, NatRange, RuleId};
use crate::sets::{Set, Sets};
use crate::walk::decide;
use crate::walk::step::HostDrop;

use super::fields::{Address, Field};
use super::leaf::{Dim, Leaf};
use super::rule::Place;
use super::stack::{At, Walk};
use super::value::{Bits, Number};
use super::{Bound, By, Dropped, End};

/// What became of packets at a translation; what is in none of these does not match.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Translated {
    pub bound: Set,
    pub other: Set,
    pub dropped: Set,
}

/// Where some packets are to go.
struct Target {
    packets: Set,
    address: Address,
    /// The port, where the address brings one.
    port: Option<Port>,
}

/// A number, and the packets for which the kernel draws it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Port {
    number: Number,
    drawn: Set,
}

impl Port {
    fn known(number: Number) -> Port {
        Port {
            number,
            drawn: Set::NONE,
        }
    }

    fn constant(port: u128) -> Port {
        Port::known(Number::constant(port, 16))
    }
}

impl Walk<'_, '_> {
    /// Runs the nat chains for those packets whose binding of this direction is not made, then applies the bindings.
    pub(super) fn dispatch_nat(&mut self, at: At, chains: &[ChainId], packets: Set) -> Set {
        let manip = match at.hook {
            Hook::Prerouting | Hook::Output | Hook::Ingress => Manip::Dst,
            Hook::Input | Hook::Postrouting | Hook::Forward | Hook::Egress => Manip::Src,
        };
        let (done, _) = bits_of(manip);
        let bound = self.status(done);
        let new = self.fields.ct.new;
        let sets = &mut self.space.sets;
        let fresh = sets.and(packets, new);
        let fresh = sets.minus(fresh, bound);
        let rest = sets.minus(packets, fresh);
        let mut live = fresh;
        let mut through = Vec::new();
        for &chain in chains {
            if live.is_empty() {
                break;
            }
            let passed = self.base_chain(at, chain, live);
            let bound = self.status(done);
            let sets = &mut self.space.sets;
            through.push(sets.and(passed, bound));
            live = sets.minus(passed, bound);
        }
        self.set_status(done, live);
        through.extend([live, rest]);
        let packets = self.space.sets.union(&through);
        self.apply(manip, packets);
        packets
    }

    /// Rewrites packets by their conversations' bindings.
    fn apply(&mut self, manip: Manip, packets: Set) {
        let tracked = self.tracked();
        let packets = self.space.sets.and(packets, tracked);
        let back = self.fields.ct.reply;
        for reply in [false, true] {
            let bit = match (manip, reply) {
                (Manip::Src, false) | (Manip::Dst, true) => status::SRC_NAT,
                (Manip::Dst, false) | (Manip::Src, true) => status::DST_NAT,
            };
            let changed = self.status(bit);
            let direction = if reply { back } else { back.not() };
            let sets = &mut self.space.sets;
            let own = sets.and(packets, changed);
            let own = sets.and(own, direction);
            if own.is_empty() {
                continue;
            }
            let (address, port) = if reply {
                let original = self.fields.entry.original.clone().inverse(self.space);
                match manip {
                    Manip::Src => (original.src, original.sport),
                    Manip::Dst => (original.dst, original.dport),
                }
            } else {
                self.fields.entry.now.half(&mut self.space.sets, manip, own)
            };
            let ports = self.space.with_ports();
            let with_ports = self.space.sets.and(own, ports);
            let (field, port_field, own_address) = match manip {
                Manip::Src => (Field::Src, Field::Sport, &mut self.fields.own_src),
                Manip::Dst => (Field::Dst, Field::Dport, &mut self.fields.own_dst),
            };
            *own_address = self.space.sets.ite(own, address.own, *own_address);
            self.fields.write(self.space, own, field, &address.number);
            self.fields.write(self.space, with_ports, port_field, &port);
        }
    }

    /// Makes the bindings that a rule asks for.
    pub(super) fn translate(&mut self, place: Place, nat: &Nat, packets: Set) -> Translated {
        let tracked = self.tracked();
        let sets = &mut self.space.sets;
        let mut done = Translated {
            bound: sets.minus(packets, tracked),
            ..Translated::default()
        };
        let packets = sets.and(packets, tracked);
        if packets.is_empty() {
            return done;
        }
        let manip = match nat.kind {
            NatKind::Snat | NatKind::Masquerade => Manip::Src,
            NatKind::Dnat | NatKind::Redirect => Manip::Dst,
        };
        let old = self
            .fields
            .entry
            .now
            .half(&mut self.space.sets, manip, packets);
        let targets = match nat.kind {
            NatKind::Masquerade => self.masquerade(packets, &mut done),
            NatKind::Redirect => self.redirect(place.at, packets, &mut done),
            NatKind::Snat | NatKind::Dnat => self.addresses(place, nat, &old.0, packets),
        };
        if !done.dropped.is_empty() {
            let end = End::Host(Dropped(HostDrop::NoAddress));
            self.end(end, By::Rule(place.rule), done.dropped);
        }
        let other_family = matches!(
            (nat.family, place.at.pf),
            (Some(Family::Ip), Pf::Ip6) | (Some(Family::Ip6), Pf::Ip)
        );
        for target in targets {
            if target.packets.is_empty() {
                continue;
            }
            let port = self.port(place, nat, manip, &old.1, &target);
            if other_family {
                done.other = self.space.sets.or(done.other, target.packets);
                continue;
            }
            self.bind(
                place.rule,
                nat,
                manip,
                &old,
                target.packets,
                target.address,
                port,
            );
            done.bound = self.space.sets.or(done.bound, target.packets);
        }
        done
    }

    #[expect(clippy::too_many_arguments)]
    fn bind(
        &mut self,
        rule: RuleId,
        nat: &Nat,
        manip: Manip,
        (old, old_port): &(Address, Number),
        packets: Set,
        address: Address,
        port: Port,
    ) {
        let sets = &mut self.space.sets;
        // what is not known is not taken for what is there (and to compare two variables takes room)
        let drawn = sets.or(address.drawn, port.drawn);
        let mut same = sets.minus(packets, drawn);
        for (a, b) in [(&address.number, &old.number), (&port.number, old_port)] {
            let differs = a.differs(sets, b, same, |_, set| set);
            same = sets.minus(same, differs);
        }
        let mut changed = sets.minus(packets, same);
        if nat.random && manip == Manip::Src {
            // of ICMP the identifier is drawn
            let icmp = self.space.protos(&[proto::ICMP, proto::ICMPV6]);
            let drawn = self.space.sets.and(icmp, packets);
            changed = self.space.sets.or(changed, drawn);
        }
        let (done, translated) = bits_of(manip);
        self.set_status(done, packets);
        self.set_status(translated, changed);
        let sets = &mut self.space.sets;
        let entry = &mut self.fields.entry.now;
        match manip {
            Manip::Src => {
                entry.src.write(sets, packets, &address.number);
                entry.sport.write(sets, packets, &port.number);
                entry.own_src = sets.ite(packets, address.own, entry.own_src);
            }
            Manip::Dst => {
                entry.dst.write(sets, packets, &address.number);
                entry.dport.write(sets, packets, &port.number);
                entry.own_dst = sets.ite(packets, address.own, entry.own_dst);
            }
        }
        self.ways.bound.push(Bound {
            manip,
            rule,
            packets,
        });
    }

    fn masquerade(&mut self, packets: Set, done: &mut Translated) -> Vec<Target> {
        let (world, hooks) = (self.world, self.hooks);
        let mut targets = Vec::new();
        for part in self.split(packets, &[Dim::Oif, Dim::Route, Dim::Iif, Dim::Dst]) {
            let Some(sample) = self.sample(part) else {
                continue;
            };
            let leaves = self.tree(part, &sample, |skb, asked| {
                let next_hop = match skb.route {
                    Some(NextHop::Via(ip)) => Some(ip),
                    Some(NextHop::Direct | NextHop::Unknown) | None => None,
                };
                decide::masquerade(world, hooks, skb, next_hop, asked)
            });
            let oif = sample.skb.oif;
            for leaf in leaves {
                let several = self.space.v6 && self.has_several_addresses(oif);
                // which of several depends on how much they have in common with the destination
                let taken = (several && matches!(leaf.answer, Some(Known::Value(_)))).then(|| {
                    let taken = self.own_address("the address that masquerade takes");
                    Address::drawn(taken, leaf.packets)
                });
                targets.extend(self.target(leaf, taken, done));
            }
        }
        self.joined(targets)
    }

    pub(super) fn has_several_addresses(&self, oif: Option<crate::eval::Iface>) -> bool {
        let Some(crate::eval::Iface::Link(at)) = oif else {
            return true;
        };
        let name = &self.host().links[usize::from(at)].name;
        let mut own = self
            .host()
            .addresses
            .iter()
            .filter(|address| match address.ip {
                IpAddr::V6(ip) => address.dev == *name && !ip.is_unicast_link_local(),
                IpAddr::V4(_) => false,
            });
        own.next().is_some() && own.next().is_some()
    }

    fn redirect(&mut self, at: At, packets: Set, done: &mut Translated) -> Vec<Target> {
        let (world, hooks) = (self.world, self.hooks);
        let mut targets = Vec::new();
        for part in self.split(packets, &[Dim::Iif, Dim::Dst]) {
            let Some(sample) = self.sample(part) else {
                continue;
            };
            let leaves = self.tree(part, &sample, |skb, asked| {
                decide::redirect(world, hooks, skb, at.hook, asked)
            });
            for leaf in leaves {
                targets.extend(self.target(leaf, None, done));
            }
        }
        self.joined(targets)
    }

    /// Where the packets of an answer about an interface's address go; `taken` stands in its place. Without an address they
    /// are dropped.
    fn target(
        &mut self,
        leaf: Leaf<Option<Known<IpAddr>>>,
        taken: Option<Address>,
        done: &mut Translated,
    ) -> Option<Target> {
        let address = match (leaf.answer, taken) {
            (None, _) => {
                done.dropped = self.space.sets.or(done.dropped, leaf.packets);
                return None;
            }
            (Some(_), Some(taken)) => taken,
            (Some(Known::Value(ip)), None) => self.constant(ip),
            (Some(Known::Fact(fact)), None) => {
                Address::drawn(self.fact_address(&leaf.know, fact), leaf.packets)
            }
        };
        Some(Target {
            packets: leaf.packets,
            address,
            port: None,
        })
    }

    /// One target for each address.
    fn joined(&mut self, targets: Vec<Target>) -> Vec<Target> {
        let mut joined: Vec<Target> = Vec::new();
        for target in targets {
            let known = joined.iter_mut().find(|other| {
                other.address.number == target.address.number && other.port == target.port
            });
            match known {
                Some(other) => {
                    let sets = &mut self.space.sets;
                    other.packets = sets.or(other.packets, target.packets);
                    other.address.own = sets.or(other.address.own, target.address.own);
                    other.address.drawn = sets.or(other.address.drawn, target.address.drawn);
                }
                None => joined.push(target),
            }
        }
        joined
    }

    pub(super) fn constant(&self, ip: IpAddr) -> Address {
        Address {
            number: Number::constant(number(ip), if ip.is_ipv6() { 128 } else { 32 }),
            own: Set::NONE,
            drawn: Set::NONE,
        }
    }

    fn width(&self) -> usize {
        if self.space.v6 { 128 } else { 32 }
    }

    pub(super) fn own_address(&mut self, name: &str) -> Number {
        let width = self.width() as u32;
        let settle = "say it with `--iface NAME=ADDR/LEN`, or give a snapshot";
        let domain = vec![(0, crate::logic::max_of(width))];
        Number::from(self.space.fact(name, settle, &domain, None))
    }

    /// An address of this host that nobody said.
    pub(super) fn fact_address(
        &mut self,
        know: &crate::logic::Knowledge,
        fact: crate::logic::FactId,
    ) -> Number {
        let name = know.fact(fact).name.clone();
        self.own_address(&name)
    }

    /// The addresses that `snat` and `dnat` name, with their packets.
    fn addresses(&mut self, place: Place, nat: &Nat, old: &Address, packets: Set) -> Vec<Target> {
        let old = old.clone();
        let one = |address: Address, port: Option<Port>| {
            vec![Target {
                packets,
                address,
                port,
            }]
        };
        let known = |(number, drawn): (Number, Set)| Address {
            number,
            own: Set::NONE,
            drawn,
        };
        match &nat.addr {
            NatRange::None | NatRange::InAddress => one(old, None),
            NatRange::Range(Expr::Const(lo), Expr::Const(hi)) => {
                let address = self.among(place, nat, &old.number, (*lo, *hi));
                one(known(address), None)
            }
            NatRange::Range(..) => one(old, None),
            NatRange::One(Expr::Lookup { key, map }) => {
                let set = self.ruleset().set(*map);
                let hits = self.look_up(place, key, *map, packets);
                let mut targets = Vec::new();
                for (datum, own) in hits.hits {
                    let packets = self.space.sets.and(own, packets);
                    if packets.is_empty() {
                        continue;
                    }
                    let (address, port) = match datum.and_then(|datum| set.datum(datum)) {
                        Some(Data::Value(values)) => {
                            let width = self.width();
                            let address = values.first().map_or(old.clone(), |value| {
                                known((Number::constant(*value, width), Set::NONE))
                            });
                            let port = values.get(1).map(|value| Port::constant(*value));
                            (address, port)
                        }
                        Some(Data::Range(ranges)) => {
                            let address = match ranges.first() {
                                Some(range) => known(self.among(place, nat, &old.number, *range)),
                                None => old.clone(),
                            };
                            let port = ranges
                                .get(1)
                                .map(|(lo, hi)| self.port_among(place, *lo, *hi));
                            (address, port)
                        }
                        Some(Data::Verdict(_) | Data::Object(_) | Data::Unknown) | None => {
                            let unknown = self.unknown_address(place);
                            (known((unknown, Set::ALL)), None)
                        }
                    };
                    targets.push(Target {
                        packets,
                        address,
                        port,
                    });
                }
                targets
            }
            NatRange::One(expr) => {
                let parts: &[Expr] = match expr {
                    Expr::Concat(parts) => parts,
                    single => std::slice::from_ref(single),
                };
                let mut loaded = Vec::new();
                let mut absent = Set::NONE;
                for part in parts {
                    let value = self.load(place, part, packets);
                    absent = self.space.sets.or(absent, value.absent);
                    loaded.push(value.sym.number().cloned());
                }
                let width = self.width();
                let mut loaded = loaded.into_iter();
                let address = match loaded.next().flatten() {
                    Some(number) => (number.fitted(width), Set::NONE),
                    None => (self.unknown_address(place), Set::ALL),
                };
                let port = loaded.next().flatten();
                let port = port.map(|number| Port::known(number.fitted(16)));
                vec![Target {
                    packets: self.space.sets.minus(packets, absent),
                    address: known(address),
                    port,
                }]
            }
        }
    }

    fn unknown_address(&mut self, place: Place) -> Number {
        let name = format!("address that {} translates to", self.words(place.rule));
        let settle = "it is chosen by chance or by what a dump does not have";
        let domain = vec![(0, crate::logic::max_of(self.width() as u32))];
        Number::from(self.space.fact(&name, settle, &domain, None))
    }

    /// One of a range of addresses, and the packets for which the kernel's hash picks it: that is a question here.
    fn among(
        &mut self,
        place: Place,
        nat: &Nat,
        old: &Number,
        (lo, hi): (u128, u128),
    ) -> (Number, Set) {
        let width = self.width();
        if lo == hi {
            return (Number::constant(lo, width), Set::NONE);
        }
        if nat.prefix {
            let host = hi ^ lo;
            let of_bits = |_: &mut Sets, bits: &[Set]| -> Bits {
                let bit = |(at, bit): (usize, &Set)| {
                    let place = width - 1 - at;
                    match (host >> place & 1, lo >> place & 1) {
                        (_, 1) => Set::ALL,
                        (1, _) => *bit,
                        _ => Set::NONE,
                    }
                };
                bits.iter().enumerate().map(bit).collect()
            };
            let mapped = old.map(&mut self.space.sets, |value| value & host | lo, of_bits);
            return (mapped.fitted(width), Set::NONE);
        }
        let name = format!("address that {} translates to", self.words(place.rule));
        let settle = "the kernel picks one of the range by a hash of the addresses";
        let picked = self.space.fact(&name, settle, &vec![(lo, hi)], None);
        let picked = Number::from(picked).fitted(width);
        let source = matches!(nat.kind, NatKind::Snat | NatKind::Masquerade);
        let any_port = matches!(nat.port, NatRange::None);
        if source && any_port && !nat.random {
            let sets = &mut self.space.sets;
            let fits = old.within(sets, &[(lo, hi)]);
            let address = Number::choose(sets, fits, old, &picked);
            return (address, fits.not());
        }
        (picked, Set::ALL)
    }

    fn port_among(&mut self, place: Place, lo: u128, hi: u128) -> Port {
        if lo == hi {
            return Port::constant(lo);
        }
        let name = format!("port that {} translates to", self.words(place.rule));
        let settle = "the kernel picks a free one of the range";
        let picked = self.space.fact(&name, settle, &vec![(lo, hi)], None);
        Port {
            number: Number::from(picked).fitted(16),
            drawn: Set::ALL,
        }
    }

    fn either(&mut self, test: Set, yes: &Port, no: &Port) -> Port {
        let sets = &mut self.space.sets;
        Port {
            number: Number::choose(sets, test, &yes.number, &no.number),
            drawn: sets.ite(test, yes.drawn, no.drawn),
        }
    }

    /// The port that a target gets.
    fn port(
        &mut self,
        place: Place,
        nat: &Nat,
        manip: Manip,
        old: &Number,
        target: &Target,
    ) -> Port {
        let old = Port::known(old.clone());
        let ports = self.space.with_ports();
        let new = match (&target.port, &nat.port) {
            // an address that brings its port changes it whatever the protocol
            (Some(port), _) => return port.clone(),
            (None, NatRange::None | NatRange::InAddress) => {
                if !nat.random || manip == Manip::Dst {
                    return old;
                }
                let mut new = self.named_port(place, (1024, 65535));
                for range in [(512, 1023), (0, 511)] {
                    let least = if range.0 == 0 { 1 } else { 600 };
                    let picked = self.named_port(place, (least, range.1));
                    let low = old.number.within(&mut self.space.sets, &[range]);
                    new = self.either(low, &picked, &new);
                }
                new
            }
            (None, NatRange::One(Expr::Lookup { key, map })) => {
                let set = self.ruleset().set(*map);
                let hits = self.look_up(place, key, *map, target.packets);
                let mut new = Port::constant(0);
                for (datum, own) in hits.hits {
                    let port = match datum.and_then(|datum| set.datum(datum)) {
                        Some(Data::Value(values)) => {
                            Port::constant(values.first().copied().unwrap_or(0))
                        }
                        Some(Data::Range(ranges)) => {
                            let range = ranges.first().copied().unwrap_or((0, 0));
                            self.in_range(place, nat, &old, range)
                        }
                        Some(Data::Verdict(_) | Data::Object(_) | Data::Unknown) | None => {
                            self.in_range(place, nat, &old, (0, 65535))
                        }
                    };
                    new = self.either(own, &port, &new);
                }
                new
            }
            (None, NatRange::One(expr)) => {
                let loaded = self.load(place, expr, target.packets);
                match loaded.sym.number() {
                    Some(number) => Port::known(number.clone().fitted(16)),
                    None => self.in_range(place, nat, &old, (0, 65535)),
                }
            }
            (None, NatRange::Range(Expr::Const(lo), Expr::Const(hi))) => {
                self.in_range(place, nat, &old, (*lo, *hi))
            }
            (None, NatRange::Range(..)) => self.in_range(place, nat, &old, (0, 65535)),
        };
        self.either(ports, &new, &old)
    }

    /// A port of a range: the one that is there already when it fits (`nf_nat_l4proto_unique_tuple`).
    fn in_range(&mut self, place: Place, nat: &Nat, old: &Port, (lo, hi): (u128, u128)) -> Port {
        let picked = self.port_among(place, lo, hi);
        if nat.random || lo == hi {
            return picked;
        }
        let fits = old.number.within(&mut self.space.sets, &[(lo, hi)]);
        self.either(fits, old, &picked)
    }

    fn named_port(&mut self, place: Place, (lo, hi): (u128, u128)) -> Port {
        let name = format!(
            "port that {} translates to, of {lo}-{hi}",
            self.words(place.rule)
        );
        let settle = "the kernel picks a free one by chance";
        let domain: Ranges = vec![(lo, hi)];
        let picked = self.space.fact(&name, settle, &domain, None);
        Port {
            number: Number::from(picked).fitted(16),
            drawn: Set::ALL,
        }
    }
}

/// The bits of `ct status` for a binding that is made, and for one that changed something.
fn bits_of(manip: Manip) -> (u32, u32) {
    match manip {
        Manip::Src => (status::SRC_NAT_DONE, status::SRC_NAT),
        Manip::Dst => (status::DST_NAT_DONE, status::DST_NAT),
    }
}
