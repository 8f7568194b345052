//! Translation: the dispatcher of each hook (`nf_nat_inet_fn`), the bindings that rules make (`nf_nat_setup_info`), and
//! their application to packets (`nf_nat_packet`).

mod pick;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::conntrack::{CtInfo, CtRef, Manip, Tuple, status};
use crate::eval::{Loaded, Pf, Skb};
use crate::host::IpFamily;
use crate::logic::Known;
use crate::packet::{address, number, proto};
use crate::ruleset::{ChainId, Data, Expr, Family, Hook, Nat, NatKind, NatRange, RuleId, Stmt};

use super::step::{Disposition, HostDrop, NatStep, StepKind};
use super::{Ended, Record, Walker, view};

/// The address and port that a translation asks for.
type Target = (Known<IpAddr>, Option<Known<u16>>);

impl<R: Record> Walker<'_, R> {
    /// Runs the nat chains when the binding of this direction is not made yet, then applies the binding.
    pub(super) fn dispatch_nat(
        &mut self,
        skb: &mut Skb,
        pf: Pf,
        hook: Hook,
        chains: &[ChainId],
    ) -> Result<(), Ended> {
        let CtRef::Tracked(info) = skb.ct else {
            return Ok(());
        };
        let manip = manip_of(hook);
        let at = skb.entry;
        // nf_nat_ipv4_fn: an error goes the way of its connection, and no chain sees it
        let error = matches!(skb.packet.proto, proto::ICMP | proto::ICMPV6)
            && matches!(info, CtInfo::Related | CtInfo::RelatedReply);
        let fresh = !error && matches!(info, CtInfo::New | CtInfo::Related | CtInfo::RelatedReply);
        if fresh && !self.entries.get(at).is_none_or(|entry| entry.bound(manip)) {
            for &chain in chains {
                self.base_chain(skb, pf, hook, chain)?;
                if self.entries.get(at).is_some_and(|entry| entry.bound(manip)) {
                    break;
                }
            }
            if let Some(entry) = self.entries.get_mut(at)
                && !entry.bound(manip)
            {
                let same = entry.reply;
                entry.bind(manip, same);
            }
        }
        self.apply(skb, pf, hook, manip, info);
        Ok(())
    }

    /// Rewrites the packet by its conversation's binding.
    fn apply(&mut self, skb: &mut Skb, pf: Pf, hook: Hook, manip: Manip, info: CtInfo) {
        let Some(entry) = self.entries.get(skb.entry) else {
            return;
        };
        let reply = info.is_reply();
        let bit = match (manip, reply) {
            (Manip::Src, false) | (Manip::Dst, true) => status::SRC_NAT,
            (Manip::Dst, false) | (Manip::Src, true) => status::DST_NAT,
        };
        if entry.status & bit == 0 {
            return;
        }
        let target = invert(if reply { &entry.original } else { &entry.reply });
        let before = view(skb);
        match manip {
            Manip::Src => {
                skb.packet.set_src(target.src);
                skb.packet.set_sport(target.sport);
            }
            Manip::Dst => {
                skb.packet.set_dst(target.dst);
                skb.packet.set_dport(target.dport);
            }
        }
        let after = view(skb);
        let same = before.src == after.src
            && before.dst == after.dst
            && before.sport == after.sport
            && before.dport == after.dport;
        if same {
            return;
        }
        let by = if reply { None } else { self.binder(manip) };
        let kind = by.and_then(|rule| self.nat_of(rule)).map(|nat| nat.kind);
        self.step(
            skb,
            pf,
            hook,
            StepKind::Nat(NatStep {
                manip,
                before,
                by,
                kind,
                reply,
            }),
        );
    }

    fn binder(&self, manip: Manip) -> Option<RuleId> {
        self.binders
            .iter()
            .rev()
            .find(|(m, _)| *m == manip)
            .map(|(_, rule)| *rule)
    }

    fn nat_of(&self, rule: RuleId) -> Option<&Nat> {
        self.world
            .ruleset
            .rule(rule)
            .statements
            .iter()
            .find_map(|s| match &s.kind {
                Stmt::Nat(nat) => Some(nat),
                _ => None,
            })
    }

    /// Makes the binding that a rule asks for. `Ok(None)`: it is for the other IP protocol and does nothing
    /// (`nft_nat_inet_eval`). `Err(None)`: the rule does not match after all.
    pub(super) fn translate(
        &mut self,
        skb: &mut Skb,
        pf: Pf,
        hook: Hook,
        rule: RuleId,
        statement: usize,
    ) -> Result<Option<NatKind>, Option<Ended>> {
        let ruleset = self.world.ruleset;
        let Stmt::Nat(nat) = &ruleset.rule(rule).statements[statement].kind else {
            return Err(None);
        };
        let manip = match nat.kind {
            NatKind::Snat | NatKind::Masquerade => Manip::Src,
            NatKind::Dnat | NatKind::Redirect => Manip::Dst,
        };
        let CtRef::Tracked(_) = skb.ct else {
            return Ok(Some(nat.kind));
        };
        let Some(entry) = self.entries.get(skb.entry) else {
            return Ok(Some(nat.kind));
        };
        let zone = entry.zone.id;
        let now = invert(&entry.reply);
        let old_port = match manip {
            Manip::Src => now.sport,
            Manip::Dst => now.dport,
        };
        let (addr, port) = match nat.kind {
            NatKind::Masquerade => {
                let Some(addr) = self.masquerade_address(skb) else {
                    return Err(Some(Disposition::Host(HostDrop::NoAddress)));
                };
                (addr, self.nat_port(skb, pf, hook, rule, nat, old_port)?)
            }
            NatKind::Redirect => {
                let Some(addr) = self.redirect_address(skb, hook) else {
                    return Err(Some(Disposition::Host(HostDrop::NoAddress)));
                };
                (addr, self.nat_port(skb, pf, hook, rule, nat, old_port)?)
            }
            NatKind::Snat | NatKind::Dnat => {
                let (addr, joined) = self.nat_address(skb, (pf, hook), rule, nat, (now, zone))?;
                let port = match joined {
                    Some(port) => port,
                    None => self.nat_port(skb, pf, hook, rule, nat, old_port)?,
                };
                (addr, port)
            }
        };
        if matches!(
            (nat.family, pf),
            (Some(Family::Ip), Pf::Ip6) | (Some(Family::Ip6), Pf::Ip)
        ) {
            return Ok(None);
        }
        let mut new = now;
        match manip {
            Manip::Src => (new.src, new.sport) = (addr, port),
            Manip::Dst => (new.dst, new.dport) = (addr, port),
        }
        // of ICMP a random translation draws the identifier, which is no part of the tuples here
        let draws = nat.random
            && manip == Manip::Src
            && matches!(skb.packet.proto, proto::ICMP | proto::ICMPV6);
        if let Some(entry) = self.entries.get_mut(skb.entry) {
            entry.bind(manip, invert(&new));
            if draws {
                entry.status |= status::SRC_NAT;
            }
        }
        self.binders.push((manip, rule));
        Ok(Some(nat.kind))
    }

    /// The first address of the outgoing device in the next hop's subnet (`nf_nat_masquerade_ipv4`, `_ipv6`).
    pub(super) fn masquerade_address(&mut self, skb: &Skb) -> Option<Known<IpAddr>> {
        let family = if skb.packet.v6 {
            IpFamily::V6
        } else {
            IpFamily::V4
        };
        let towards = self.next_hop.or(skb.packet.dst().value());
        let found = self.name(skb.oif).and_then(|dev| {
            self.host()
                .source_address(dev, towards, family)
                .map(|found| (dev, found))
        });
        match found {
            Some((_, (ip, origin))) => {
                self.record.origin(origin);
                Some(Known::Value(ip))
            }
            None => {
                let complete = self.host().complete.addresses;
                let dev = self.name(skb.oif);
                if complete && dev.is_some() {
                    return None;
                }
                let of = dev.unwrap_or("the outgoing interface");
                Some(Known::Fact(self.know.own_address(of)))
            }
        }
    }

    pub(super) fn redirect_address(&mut self, skb: &Skb, hook: Hook) -> Option<Known<IpAddr>> {
        if hook == Hook::Output {
            return Some(Known::Value(if skb.packet.v6 {
                IpAddr::V6(Ipv6Addr::LOCALHOST)
            } else {
                IpAddr::V4(Ipv4Addr::LOCALHOST)
            }));
        }
        let dev = self.name(skb.iif);
        let dst = skb.packet.dst().value();
        let found = dev
            .zip(dst)
            .and_then(|(dev, dst)| self.host().redirect_address(dev, dst));
        match found {
            Some((ip, origin)) => {
                self.record.origin(origin);
                Some(Known::Value(ip))
            }
            None if self.host().complete.addresses && dev.is_some() && dst.is_some() => None,
            None => {
                let of = dev.unwrap_or("the incoming interface");
                Some(Known::Fact(self.know.own_address(of)))
            }
        }
    }

    fn datum(
        &mut self,
        skb: &mut Skb,
        pf: Pf,
        hook: Hook,
        rule: RuleId,
        expr: &Expr,
    ) -> Result<Option<Data>, Option<Ended>> {
        let (mut env, record) = self.env(skb, pf, hook);
        env.rule = rule;
        match env.load_data(expr, record) {
            Ok(data) => Ok(Some(data)),
            Err(Loaded::Absent) => Err(None),
            Err(_) => Ok(None),
        }
    }

    /// The address to take, and the port when the datum carries both.
    fn nat_address(
        &mut self,
        skb: &mut Skb,
        (pf, hook): (Pf, Hook),
        rule: RuleId,
        nat: &Nat,
        now: (Tuple, u16),
    ) -> Result<Target, Option<Ended>> {
        let v6 = skb.packet.v6;
        let old = match nat.kind {
            NatKind::Snat | NatKind::Masquerade => now.0.src,
            NatKind::Dnat | NatKind::Redirect => now.0.dst,
        };
        match &nat.addr {
            NatRange::None | NatRange::InAddress => Ok((old, None)),
            NatRange::One(expr) => match self.datum(skb, pf, hook, rule, expr)? {
                Some(Data::Value(values)) => {
                    let addr = values
                        .first()
                        .map_or(old, |v| Known::Value(address(*v, v6)));
                    let port = values.get(1).map(|v| Known::Value(*v as u16));
                    Ok((addr, port))
                }
                Some(Data::Range(ranges)) => {
                    let addr = match ranges.first() {
                        Some(&(lo, hi)) => self.among(skb, rule, (lo, hi), nat, now),
                        None => old,
                    };
                    let port = ranges.get(1).map(|&(lo, hi)| self.port_among(rule, lo, hi));
                    Ok((addr, port))
                }
                _ => {
                    let rule = self.rule_words(rule);
                    let fact = format!("address that rule {rule} translates to");
                    let settle = "it is chosen by chance or by what a dump does not have";
                    Ok((
                        Known::Fact(self.know.named(&fact, settle, || vec![(0, u128::MAX)])),
                        None,
                    ))
                }
            },
            NatRange::Range(Expr::Const(lo), Expr::Const(hi)) => {
                Ok((self.among(skb, rule, (*lo, *hi), nat, now), None))
            }
            NatRange::Range(..) => Ok((old, None)),
        }
    }

    /// One of a range of addresses: the same host part for a prefix (netmap), else one that the kernel's hash picks, see
    /// [`pick`].
    fn among(
        &mut self,
        skb: &Skb,
        rule: RuleId,
        (lo, hi): (u128, u128),
        nat: &Nat,
        (now, zone): (Tuple, u16),
    ) -> Known<IpAddr> {
        let v6 = skb.packet.v6;
        let source = matches!(nat.kind, NatKind::Snat | NatKind::Masquerade);
        let old = if source { now.src } else { now.dst };
        if lo == hi {
            return Known::Value(address(lo, v6));
        }
        if let Known::Value(old) = old {
            let bits = number(old);
            if nat.prefix {
                return Known::Value(address(lo | bits & (hi ^ lo), v6));
            }
            // get_unique_tuple: a source that fits already stays
            let any_port = matches!(nat.port, NatRange::None);
            if source && any_port && !nat.random && (lo..=hi).contains(&bits) {
                return Known::Value(old);
            }
        }
        if let (Known::Value(src), Known::Value(dst)) = (now.src, now.dst) {
            let picked = pick::of_range((src, dst), (lo, hi), nat.persistent, zone);
            return Known::Value(address(picked, v6));
        }
        let rule = self.rule_words(rule);
        let fact = format!("address that rule {rule} translates to");
        let settle = "the kernel picks one of the range by a hash of the addresses";
        Known::Fact(self.know.named(&fact, settle, || vec![(lo, hi)]))
    }

    /// `#5`, or `2 of PREROUTING` where rules have no handles.
    fn rule_words(&self, rule: RuleId) -> String {
        let rule = self.ruleset().rule(rule);
        match rule.handle.0 {
            0 => format!(
                "{} of {}",
                rule.number(),
                self.ruleset().chain(rule.chain).name
            ),
            _ => rule.number(),
        }
    }

    fn port_among(&mut self, rule: RuleId, lo: u128, hi: u128) -> Known<u16> {
        if lo == hi {
            return Known::Value(lo as u16);
        }
        let rule = self.rule_words(rule);
        let fact = format!("port that rule {rule} translates to");
        Known::Fact(
            self.know
                .named(&fact, "the kernel picks a free one of the range", || {
                    vec![(lo, hi)]
                }),
        )
    }

    fn nat_port(
        &mut self,
        skb: &mut Skb,
        pf: Pf,
        hook: Hook,
        rule: RuleId,
        nat: &Nat,
        old: Known<u16>,
    ) -> Result<Known<u16>, Option<Ended>> {
        if !proto::has_ports(skb.packet.proto) {
            return Ok(old);
        }
        let (lo, hi) = match &nat.port {
            NatRange::None | NatRange::InAddress => {
                if nat.random && matches!(nat.kind, NatKind::Snat | NatKind::Masquerade) {
                    // nf_nat_l4proto_unique_tuple: a privileged port becomes one
                    let (lo, hi) = match old {
                        Known::Value(..=511) => (1, 511),
                        Known::Value(..=1023) => (600, 1023),
                        Known::Value(_) => (1024, 65535),
                        Known::Fact(_) => (1024, 65535),
                    };
                    return Ok(self.port_among(rule, lo, hi));
                }
                return Ok(old);
            }
            NatRange::One(expr) => match self.datum(skb, pf, hook, rule, expr)? {
                Some(Data::Value(values)) => (
                    values.first().copied().unwrap_or(0),
                    values.first().copied().unwrap_or(0),
                ),
                Some(Data::Range(ranges)) => ranges.first().copied().unwrap_or((0, 0)),
                _ => (0, 65535),
            },
            NatRange::Range(Expr::Const(lo), Expr::Const(hi)) => (*lo, *hi),
            NatRange::Range(..) => (0, 65535),
        };
        // a source port that already lies in the range is kept when it is free (`nf_nat_l4proto_unique_tuple`)
        if let Known::Value(port) = old
            && !nat.random
            && lo <= u128::from(port)
            && u128::from(port) <= hi
            && lo != hi
        {
            return Ok(old);
        }
        Ok(self.port_among(rule, lo, hi))
    }
}

fn manip_of(hook: Hook) -> Manip {
    match hook {
        Hook::Prerouting | Hook::Output | Hook::Ingress => Manip::Dst,
        Hook::Input | Hook::Postrouting | Hook::Forward | Hook::Egress => Manip::Src,
    }
}

/// `nf_ct_invert_tuple`
fn invert(tuple: &Tuple) -> Tuple {
    tuple.inverse()
}
