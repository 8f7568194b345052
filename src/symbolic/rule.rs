//! One rule for all packets at once, and the chains of rules (`eval`, `walk::chain`).

use std::rc::Rc;

use crate::conntrack::{state, status};
use crate::eval::{describe, describe_field};
use crate::logic::{DRAWN, Ranges, Source, max_of};
use crate::packet::{proto, tcp};
use crate::ruleset::expr::{OptionOf, RtKey};
use crate::ruleset::protocol::{Base, PacketKind};
use crate::ruleset::set::NO_DATUM;
use crate::ruleset::{
    BitOp, ChainId, CtDir, CtKey, Data, Dormancy, Effect, Expr, FibResult, Field, GateKind, Hook,
    Match, MetaKey, Op, Operand, Policy, RuleId, SetId, Stmt, Target, Verdict,
};
use crate::sets::{Set, Sets};
use crate::walk::step::Taken;

use super::fields::{self, HEADERS};
use super::free::Wrote;
use super::leaf::Dim;
use super::space::{LINK, TRANSPORT};
use super::stack::{At, Update, Walk};
use super::value::{self, Bits, Number, Sym};
use super::{By, Decided, End};

/// How deep chains may call each other before they are taken for a circle.
const MAX_DEPTH: usize = 64;

/// A value, and the packets that have none (`NFT_BREAK`).
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    pub sym: Sym,
    pub absent: Set,
}

impl Loaded {
    pub(super) fn known(value: u128) -> Loaded {
        Loaded {
            sym: Sym::known(value),
            absent: Set::NONE,
        }
    }

    pub(super) fn bits(bits: Bits) -> Loaded {
        Loaded::of(Number::from(bits))
    }

    pub(super) fn of(number: Number) -> Loaded {
        Loaded {
            sym: Sym::Number(number),
            absent: Set::NONE,
        }
    }

    fn absent() -> Loaded {
        Loaded {
            sym: Sym::known(0),
            absent: Set::ALL,
        }
    }
}

/// What a key hits: packets by the position of the datum; `None` where an element is hit that the listing does not show.
#[derive(Debug, Clone, Default)]
pub(super) struct Hits {
    pub hits: Vec<(Option<u32>, Set)>,
    /// Where the key has no value.
    pub absent: Set,
}

/// Where the packets of a chain go: what was accepted and leaves the base chain.
#[derive(Debug, Default)]
struct Passed {
    accepted: Vec<Set>,
}

impl Walk<'_, '_> {
    /// Runs a base chain; gives the packets that go on.
    pub(super) fn base_chain(&mut self, at: At, id: ChainId, packets: Set) -> Set {
        let table = self.ruleset().table_of(id);
        let mut live = packets;
        let mut skipped = Set::NONE;
        if table.dormancy == Dormancy::Possibly {
            let words = format!("table {} {} is dormant", table.family, table.name);
            let settle = "nft 1.0.6 garbles the flags of tables; see `nft list table`, or list it with a newer nft";
            let dormant = self.space.ask(&words, settle, Source::Open, false);
            skipped = self.space.sets.and(live, dormant);
            live = self.space.sets.minus(live, dormant);
        }
        self.base = id;
        let mut passed = Passed::default();
        let ended = self.rules(at, id, live, 0, &mut passed);
        let policy = self.ruleset().chain(id).base.as_ref();
        let policy = policy.map_or(Policy::Accept, |base| base.policy);
        if !ended.is_empty() {
            let taken = match policy {
                Policy::Accept => Taken::Accept,
                Policy::Drop => Taken::Drop,
            };
            self.decide(at, By::Policy(id), taken, ended);
            match policy {
                Policy::Accept => passed.accepted.push(ended),
                Policy::Drop => self.end(End::Dropped, By::Policy(id), ended),
            }
        }
        if self.free.is_some() {
            // nobody asks, and together they may be too many
            return Set::NONE;
        }
        passed.accepted.push(skipped);
        self.space.sets.union(&passed.accepted)
    }

    pub(super) fn decide(&mut self, at: At, by: By, taken: Taken, packets: Set) {
        if packets.is_empty() {
            return;
        }
        self.ways.decided.push(Decided {
            hook: at.hook,
            pf: at.pf,
            chain: self.base,
            by,
            taken,
            packets,
        });
    }

    /// Runs the rules of a chain; gives the packets that return from it or reach its end.
    fn rules(
        &mut self,
        at: At,
        id: ChainId,
        packets: Set,
        depth: usize,
        passed: &mut Passed,
    ) -> Set {
        let mut live = packets;
        self.begins(packets);
        let mut back = Vec::new();
        let rules: Rc<[RuleId]> = Rc::clone(&self.chains[id.index()]);
        for &rule in rules.iter() {
            let is_over = live.is_empty() && self.free.is_none();
            if is_over || self.space.check().is_err() {
                break;
            }
            if self.budget == 0 {
                let why = "chains call each other more often than is followed here";
                self.end(End::Unknown(why.into()), By::Rule(rule), live);
                return self.space.sets.union(&back);
            }
            self.budget -= 1;
            live = self.rule(at, rule, live, depth, passed, &mut back);
        }
        back.push(live);
        self.ends();
        self.space.sets.union(&back)
    }

    /// Runs a rule; gives the packets that go on to the next one.
    fn rule(
        &mut self,
        at: At,
        id: RuleId,
        packets: Set,
        depth: usize,
        passed: &mut Passed,
        back: &mut Vec<Set>,
    ) -> Set {
        let ruleset = self.ruleset();
        let rule = ruleset.rule(id);
        self.comes_to(Place { rule: id, at });
        let left_before = back.len();
        let mut here = packets;
        // what does not match, and what has come back from a chain
        let mut next: Vec<Set> = Vec::new();
        let mut missed: Vec<Set> = Vec::new();
        for statement in &rule.statements {
            if here.is_empty() {
                break;
            }
            let place = Place { rule: id, at };
            let holds = match &statement.kind {
                Stmt::Match(test) => self.test(place, test, here),
                Stmt::Verdict(verdict) => {
                    self.verdict(place, verdict, here, depth, passed, &mut next, back)
                }
                Stmt::Vmap { key, map } => {
                    let hits = self.look_up(place, key, *map, here);
                    let mut goes_on = Vec::new();
                    let mut hit_at_all = Vec::new();
                    let set = ruleset.set(*map);
                    for (datum, own) in hits.hits {
                        let own = self.space.sets.and(own, here);
                        if own.is_empty() {
                            continue;
                        }
                        hit_at_all.push(own);
                        match datum.and_then(|datum| set.datum(datum)) {
                            Some(Data::Verdict(verdict)) => {
                                let rest = self
                                    .verdict(place, verdict, own, depth, passed, &mut next, back);
                                goes_on.push(rest);
                            }
                            Some(
                                Data::Value(_) | Data::Range(_) | Data::Object(_) | Data::Unknown,
                            ) => {
                                let mut unknowns = ruleset.unknowns.iter();
                                match unknowns.find(|unknown| unknown.rule == Some(id)) {
                                    Some(unknown) => {
                                        let why = format!("{} is not known", unknown.what);
                                        self.end(End::Unknown(why), By::Rule(id), own);
                                    }
                                    None => goes_on.push(own),
                                }
                            }
                            None => match set.unread {
                                Some(unread) => {
                                    let what = &ruleset.unknown(unread).what;
                                    let why = format!("{what} is not known");
                                    self.end(End::Unknown(why), By::Rule(id), own);
                                }
                                None => goes_on.push(own),
                            },
                        }
                    }
                    let hit = self.space.sets.union(&hit_at_all);
                    missed.push(self.space.sets.minus(here, hit));
                    here = self.space.sets.union(&goes_on);
                    continue;
                }
                Stmt::ObjectMap { key, map } => {
                    let hits = self.look_up(place, key, *map, here);
                    let hit: Vec<Set> = hits.hits.iter().map(|(_, own)| *own).collect();
                    self.space.sets.union(&hit)
                }
                Stmt::Mangle {
                    target,
                    value,
                    or_nothing,
                } => {
                    let written = self.mangle(place, target, value, here);
                    if *or_nothing { here } else { written }
                }
                Stmt::Gate(gate) => {
                    let (what, how) = match gate.kind {
                        GateKind::Limit => ("the rate limit", "exceeded"),
                        GateKind::Quota => ("the quota", "used up"),
                        GateKind::CtCount => ("the connection count", "exceeded"),
                    };
                    let words =
                        format!("{what} is not {how} in {}{}", self.words(id), self.whose());
                    let settle = "it depends on earlier traffic; say `--assume limit=over`, `quota=over` or `count=over` for the other case";
                    let under = self.space.ask(&words, settle, Source::Default, true);
                    if gate.over { under.not() } else { under }
                }
                Stmt::Nat(nat) if self.free.is_some() => {
                    let sure = self.surely_translated(place, nat, here);
                    self.took(id, sure);
                    passed.accepted.push(sure);
                    next.push(self.space.sets.minus(here, sure));
                    here = Set::NONE;
                    break;
                }
                Stmt::Nat(nat) => {
                    let done = self.translate(place, nat, here);
                    let rest = self
                        .space
                        .sets
                        .union(&[done.bound, done.other, done.dropped]);
                    missed.push(self.space.sets.minus(here, rest));
                    self.decide(at, By::Rule(id), Taken::Nat(nat.kind), done.bound);
                    self.decide(at, By::Rule(id), Taken::Drop, done.dropped);
                    passed.accepted.push(done.bound);
                    // a translation for the other IP protocol does nothing
                    next.push(done.other);
                    here = Set::NONE;
                    break;
                }
                Stmt::Reject(_) => {
                    self.decide(at, By::Rule(id), Taken::Reject, here);
                    self.end(End::Rejected, By::Rule(id), here);
                    self.took(id, here);
                    here = Set::NONE;
                    break;
                }
                Stmt::Notrack => {
                    self.untrack(here);
                    here
                }
                Stmt::Queue { bypass } => {
                    let words = format!("a program listens to the queue in {}", self.words(id));
                    let settle = "see `/proc/net/netfilter/nfnetlink_queue` on the host";
                    let listens = self.space.ask(&words, settle, Source::Default, true);
                    let queued = self.space.sets.and(here, listens);
                    let alone = self.space.sets.minus(here, listens);
                    self.decide(at, By::Rule(id), Taken::Queue, here);
                    self.took(id, here);
                    self.end(End::Queued, By::Rule(id), queued);
                    if *bypass {
                        passed.accepted.push(alone);
                    } else {
                        self.end(End::Dropped, By::Rule(id), alone);
                    }
                    here = Set::NONE;
                    break;
                }
                Stmt::Fwd { device: Some(_) } => {
                    self.decide(at, By::Rule(id), Taken::Stolen, here);
                    self.end(End::Relayed, By::Rule(id), here);
                    self.took(id, here);
                    here = Set::NONE;
                    break;
                }
                Stmt::Fwd { device: None } | Stmt::Synproxy => {
                    self.decide(at, By::Rule(id), Taken::Stolen, here);
                    self.end(End::Stolen, By::Rule(id), here);
                    self.took(id, here);
                    here = Set::NONE;
                    break;
                }
                Stmt::FlowOffload { .. } => self.offload(here),
                Stmt::Tproxy { or_drop, .. } => {
                    let settle = "sockets are not part of a ruleset; see `ss -lntu` on the host";
                    let words = "a local socket takes the packet by tproxy";
                    let taken = self.space.ask(words, settle, Source::Default, true);
                    if *or_drop {
                        let alone = self.space.sets.minus(here, taken);
                        let drop = &Verdict::Drop;
                        self.verdict(place, drop, alone, depth, passed, &mut next, back);
                        here = self.space.sets.and(here, taken);
                    }
                    let own = self.space.sets.and(here, taken);
                    let before = self.fields.socket;
                    self.fields.socket = self.space.sets.or(before, own);
                    if *or_drop {
                        continue;
                    }
                    taken
                }
                Stmt::SetUpdate { set, delete, key } => {
                    let keys = self.keys(place, key, here);
                    let absent = keys.absent;
                    if let Some(values) = keys.values {
                        self.updates.push(Update {
                            set: *set,
                            delete: *delete,
                            key: values,
                            packets: self.space.sets.minus(here, absent),
                        });
                    }
                    absent.not()
                }
                // nft_exthdr_tcp_strip_eval
                Stmt::NoEffect(Effect::ResetOption) => self.space.protos(&[proto::TCP]),
                // nft_ct_expect_obj_eval
                Stmt::NoEffect(Effect::CtExpectation) => {
                    let confirmed = self.status(status::CONFIRMED);
                    let tracked = self.tracked();
                    self.space.sets.minus(tracked, confirmed)
                }
                Stmt::NoEffect(
                    Effect::Counter
                    | Effect::Log
                    | Effect::Last
                    | Effect::CtHelper
                    | Effect::CtTimeout
                    | Effect::Secmark
                    | Effect::Tunnel
                    | Effect::Comment
                    | Effect::Audit,
                )
                | Stmt::Dup => here,
                Stmt::Unknown(unknown) => {
                    let unknown = ruleset.unknown(*unknown);
                    if unknown.is_match {
                        let words = format!(
                            "{} holds in {}{}",
                            unknown.what,
                            self.words(id),
                            self.whose()
                        );
                        self.space.ask(&words, &unknown.settle, Source::Open, false)
                    } else {
                        let why = format!("{} in {} is not known", unknown.what, self.words(id));
                        self.end(End::Unknown(why), By::Rule(id), here);
                        here = Set::NONE;
                        break;
                    }
                }
            };
            let holds = self.space.sets.and(holds, here);
            if !matches!(statement.kind, Stmt::Verdict(_)) {
                missed.push(self.space.sets.minus(here, holds));
            }
            here = holds;
        }
        let missed = self.space.sets.union(&missed);
        let matched = self.space.sets.minus(packets, missed);
        self.visited(at, id, packets, matched);
        for other in self.watch.get(&id).cloned().unwrap_or_default() {
            let own = self.would(Place { rule: other, at }, matched);
            let known = self.ways.watched.entry((id, other)).or_default();
            *known = self.space.sets.or(*known, own);
        }
        if self.free.is_some() {
            // what a rule takes stays, and is told apart by `Took`
            let left = self.space.sets.union(&back[left_before..]);
            return self.space.sets.minus(packets, left);
        }
        next.push(here);
        next.push(missed);
        self.space.sets.union(&next)
    }

    /// `notrack` (`nft_notrack_eval`).
    pub(super) fn untrack(&mut self, packets: Set) {
        let seen = self.seen_by_conntrack();
        let fresh = self.space.sets.minus(packets, seen);
        let untracked = self.fields.ct.untracked;
        self.fields.ct.untracked = self.space.sets.or(untracked, fresh);
    }

    fn visited(&mut self, at: At, rule: RuleId, reached: Set, matched: Set) {
        let visit = self.ways.visits.entry((at.hook, rule)).or_default();
        let sets = &mut self.space.sets;
        visit.reached = Some(sets.or(visit.reached.unwrap_or_default(), reached));
        visit.matched = Some(sets.or(visit.matched.unwrap_or_default(), matched));
    }

    /// Carries a verdict out; gives the packets for which the rule goes on.
    #[expect(clippy::too_many_arguments)]
    fn verdict(
        &mut self,
        place: Place,
        verdict: &Verdict,
        packets: Set,
        depth: usize,
        passed: &mut Passed,
        next: &mut Vec<Set>,
        back: &mut Vec<Set>,
    ) -> Set {
        let (at, by) = (place.at, By::Rule(place.rule));
        match verdict {
            Verdict::Accept => {
                self.decide(at, by, Taken::Accept, packets);
                self.took(place.rule, packets);
                passed.accepted.push(packets);
            }
            Verdict::Drop => {
                self.decide(at, by, Taken::Drop, packets);
                self.end(End::Dropped, by, packets);
                self.took(place.rule, packets);
            }
            Verdict::Continue => return packets,
            Verdict::Return => {
                self.left(place.rule, packets);
                back.push(packets);
            }
            Verdict::Jump(Target::Missing(name)) | Verdict::Goto(Target::Missing(name)) => {
                let why = format!(
                    "{} leads to chain {name}, which the listing does not have",
                    self.words(place.rule)
                );
                self.end(End::Unknown(why), by, packets);
            }
            Verdict::Jump(Target::Chain(_)) | Verdict::Goto(Target::Chain(_))
                if depth >= MAX_DEPTH =>
            {
                let why = "chains jump in a circle, which the kernel would not load";
                self.end(End::Unknown(why.into()), by, packets);
            }
            Verdict::Jump(Target::Chain(chain)) => {
                let returned = self.rules(at, *chain, packets, depth + 1, passed);
                next.push(returned);
            }
            Verdict::Goto(Target::Chain(chain)) => {
                let returned = self.rules(at, *chain, packets, depth + 1, passed);
                self.left(place.rule, returned);
                back.push(returned);
            }
        }
        Set::NONE
    }

    /// A rule in words that stay when rules are numbered anew: its table, its chain and its place.
    pub(super) fn words(&self, rule: RuleId) -> String {
        self.space.rule_words(self.ruleset(), rule)
    }

    /// What is said behind a question about the packet on its way.
    pub(super) fn whose(&self) -> &'static str {
        if self.is_reply { ", for the reply" } else { "" }
    }

    fn open(&mut self, place: Place, words: &str) -> Set {
        let words = format!("{words} in {}{}", self.words(place.rule), self.whose());
        self.space
            .ask(&words, "the input does not say it", Source::Open, false)
    }

    /// Where a relational expression holds.
    pub(super) fn test(&mut self, place: Place, test: &Match, packets: Set) -> Set {
        if let Operand::Set(set) = test.right {
            return self.member(place, test, set, packets);
        }
        let left = self.load(place, &test.left, packets);
        let mut absent = left.absent;
        let holds = match &test.right {
            Operand::Value(value) => {
                left.sym
                    .compare(&mut self.space.sets, test.op, *value, *value)
            }
            Operand::Range(lo, hi) => left.sym.compare(&mut self.space.sets, test.op, *lo, *hi),
            Operand::Expr(expr) => {
                let right = self.load(place, expr, packets);
                absent = self.space.sets.or(absent, right.absent);
                left.sym
                    .compare_with(&mut self.space.sets, test.op, &right.sym, packets)
            }
            Operand::Set(_) => None,
        };
        let holds = match holds {
            Some(holds) => holds,
            None => {
                let words = format!("{} fits what is asked for", describe(&test.left));
                self.open(place, &words)
            }
        };
        let sets = &mut self.space.sets;
        if test.or_absent {
            sets.ite(absent, Set::ALL, holds)
        } else {
            sets.minus(holds, absent)
        }
    }

    /// Set membership (`nft_lookup_eval`).
    fn member(&mut self, place: Place, test: &Match, id: SetId, packets: Set) -> Set {
        let hits = self.look_up(place, &test.left, id, packets);
        let found: Vec<Set> = hits.hits.iter().map(|(_, own)| *own).collect();
        let found = self.space.sets.union(&found);
        let holds = if test.op == Op::Ne {
            found.not()
        } else {
            found
        };
        if test.or_absent {
            self.space.sets.ite(hits.absent, Set::ALL, holds)
        } else {
            self.space.sets.minus(holds, hits.absent)
        }
    }

    /// The parts of a key.
    fn keys(&mut self, place: Place, expr: &Expr, packets: Set) -> Keys {
        let parts: &[Expr] = match expr {
            Expr::Concat(parts) => parts,
            single => std::slice::from_ref(single),
        };
        let mut absent = Set::NONE;
        let mut values = Some(Vec::with_capacity(parts.len()));
        for part in parts {
            let loaded = self.load(place, part, packets);
            absent = self.space.sets.or(absent, loaded.absent);
            match (loaded.sym, &mut values) {
                (Sym::Unknown, _) => values = None,
                (sym, Some(values)) => values.push(sym),
                (_, None) => {}
            }
        }
        Keys { values, absent }
    }

    /// Looks a key up in a set or map.
    pub(super) fn look_up(&mut self, place: Place, key: &Expr, id: SetId, packets: Set) -> Hits {
        let ruleset = self.ruleset();
        let set = ruleset.set(id);
        let keys = self.keys(place, key, packets);
        let absent = keys.absent;
        let Some(values) = keys.values else {
            // which element an unknown key hits is not known either
            let name = set.name.as_deref().unwrap_or("anonymous set");
            let words = format!("{} is in {name}", describe(key));
            let inside = self.open(place, &words);
            return Hits {
                hits: vec![(None, inside)],
                absent,
            };
        };
        let mut hits = self.listed(&values, id);
        let listed: Vec<Set> = hits.iter().map(|(_, own)| *own).collect();
        let listed = self.space.sets.union(&listed);
        if let Some(datum) = set.catch_all {
            hits.push((Some(datum), listed.not()));
        } else if set.incomplete {
            let name = set.name.as_deref().unwrap_or("anonymous");
            let words = format!(
                "one of the elements of set {name} that could not be read fits {}{}",
                describe(key),
                self.whose()
            );
            let fits = self
                .space
                .ask(&words, "see the list of unknown parts", Source::Open, false);
            hits.push((None, self.space.sets.minus(fits, listed)));
        }
        // who may change it otherwise is not known where nothing is
        if set.volatile || self.free.is_some() && set.name.is_some() {
            let all: Vec<Set> = hits.iter().map(|(_, own)| *own).collect();
            let found = self.space.sets.union(&all);
            let name = set.name.as_deref().unwrap_or("anonymous");
            let table = ruleset.table(set.table);
            let words = format!(
                "@{name} of {} {} is as listed for {}{}",
                table.family,
                table.name,
                describe(key),
                self.whose()
            );
            let settle = "packets or programs change it; the listing is a moment's picture";
            let mut as_listed = self.space.ask(&words, settle, Source::Default, true);
            // what a rule on the way has added or taken away is settled (`nft_dynset_eval`)
            if set.data_kind.is_none() {
                for update in self.updates.clone() {
                    if update.set != id {
                        continue;
                    }
                    let sets = &mut self.space.sets;
                    let mut own = sets.and(update.packets, packets);
                    for (a, b) in update.key.iter().zip(&values) {
                        let equal = a.compare_with(sets, Op::Eq, b, own);
                        own = sets.and(own, equal.unwrap_or(Set::NONE));
                    }
                    let told = if update.delete { found.not() } else { found };
                    as_listed = self.space.sets.ite(own, told, as_listed);
                }
            }
            for (_, own) in &mut hits {
                *own = self.space.sets.and(*own, as_listed);
            }
            let added = self.space.sets.or(found, as_listed).not();
            hits.push((None, added));
        }
        for (_, own) in &mut hits {
            *own = self.space.sets.minus(*own, absent);
        }
        hits.retain(|(_, own)| !own.is_empty());
        Hits { hits, absent }
    }

    /// The elements of a set that a key hits, by their data.
    fn listed(&mut self, values: &[Sym], id: SetId) -> Vec<(Option<u32>, Set)> {
        let set = self.ruleset().set(id);
        if let [one] = values {
            let mut by_datum: Vec<(u32, Ranges)> = Vec::new();
            let mut places = std::collections::HashMap::new();
            let mut taken: Set = Set::NONE;
            let ranges = set.ranges();
            let disjoint = ranges.windows(2).all(|pair| pair[0].1 < pair[1].0);
            let mut hits = Vec::new();
            if disjoint {
                for (lo, hi, datum) in ranges {
                    let place = *places.entry(datum).or_insert_with(|| {
                        by_datum.push((datum, Vec::new()));
                        by_datum.len() - 1
                    });
                    by_datum[place].1.push((lo, hi));
                }
                for (datum, ranges) in by_datum {
                    let inside = one
                        .within(&mut self.space.sets, &ranges)
                        .unwrap_or_default();
                    hits.push((datum_of(datum), inside));
                }
            } else {
                for (lo, hi, datum) in ranges {
                    let inside = one
                        .within(&mut self.space.sets, &[(lo, hi)])
                        .unwrap_or_default();
                    hits.push((datum_of(datum), self.space.sets.minus(inside, taken)));
                    taken = self.space.sets.or(taken, inside);
                }
            }
            return hits;
        }
        let elements = set.elements();
        let mut by_datum: Vec<(u32, Vec<Set>)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        let mut all = Vec::with_capacity(elements.len());
        let overlap = elements
            .iter()
            .any(|element| element.key.iter().any(|(lo, hi)| lo != hi));
        let mut taken = Set::NONE;
        for element in &elements {
            if element.key.len() != values.len() {
                continue;
            }
            let mut inside = Set::ALL;
            // from the last part to the first: what stands deeper in the diagrams goes first
            for (value, range) in values.iter().zip(element.key.iter()).rev() {
                let part = value
                    .within(&mut self.space.sets, &[*range])
                    .unwrap_or_default();
                inside = self.space.sets.and(inside, part);
            }
            if overlap {
                let own = self.space.sets.minus(inside, taken);
                taken = self.space.sets.or(taken, inside);
                inside = own;
            }
            let place = *places.entry(element.datum).or_insert_with(|| {
                by_datum.push((element.datum, Vec::new()));
                by_datum.len() - 1
            });
            by_datum[place].1.push(inside);
            all.push(inside);
        }
        by_datum
            .into_iter()
            .map(|(datum, sets)| (datum_of(datum), self.space.sets.union(&sets)))
            .collect()
    }

    /// Writes a field; gives the packets for which that is possible.
    pub(super) fn mangle(
        &mut self,
        place: Place,
        target: &Field,
        value: &Expr,
        packets: Set,
    ) -> Set {
        let loaded = self.load(place, value, packets);
        let packets = self.space.sets.minus(packets, loaded.absent);
        if let Some(free) = &mut self.free {
            free.wrote.push(Wrote {
                rule: place.rule,
                target: target.clone(),
                packets,
            });
        }
        let number = match loaded.sym {
            Sym::Number(number) => number,
            Sym::Unknown => {
                let name = format!(
                    "the value computed by {}{}",
                    self.words(place.rule),
                    self.whose()
                );
                let width = match target {
                    Field::Payload { len, .. } => *len,
                    _ => 32,
                };
                let settle = "it is computed from what the input does not say";
                let domain = vec![(0, max_of(width))];
                Number::from(self.space.fact(&name, settle, &domain, None))
            }
        };
        self.store(target, &number, packets)
    }

    fn store(&mut self, target: &Field, new: &Number, packets: Set) -> Set {
        match target {
            Field::Meta(MetaKey::Mark) => {
                let sets = &mut self.space.sets;
                self.fields.mark.write(sets, packets, new);
            }
            Field::Meta(MetaKey::Priority) => {
                let sets = &mut self.space.sets;
                let (written, priority) = &mut self.fields.priority;
                priority.write(sets, packets, new);
                *written = sets.or(*written, packets);
            }
            Field::Meta(MetaKey::Pkttype) => {
                let sets = &mut self.space.sets;
                self.fields.pkttype.write(sets, packets, new);
            }
            // what this version does not follow has no effect in `eval` either
            Field::Meta(_) => {}
            Field::Ct { key, dir } => self.store_ct(*key, *dir, new, packets),
            Field::Payload { base, offset, len } => {
                let Some((start, there)) = self.bits_at(*base, *offset, *len) else {
                    return Set::NONE;
                };
                let packets = self.space.sets.and(packets, there);
                let len = *len as usize;
                if fields::in_tuple(self.space.v6, start, len) {
                    let before = self.fields.tampered;
                    self.fields.tampered = self.space.sets.or(before, packets);
                }
                let sets = &mut self.space.sets;
                self.fields.packet.write(sets, packets, (start, len), new);
                return there;
            }
            Field::Option {
                of: OptionOf::Tcp, ..
            } => return self.space.protos(&[proto::TCP]),
            Field::Exthdr { .. }
            | Field::Option { .. }
            | Field::Fib { .. }
            | Field::Rt(_)
            | Field::Socket(_)
            | Field::Opaque(_) => {}
        }
        packets
    }

    fn store_ct(&mut self, key: CtKey, dir: Option<CtDir>, new: &Number, packets: Set) {
        let tracked = self.tracked();
        let sets = &mut self.space.sets;
        let owners = sets.and(packets, tracked);
        match key {
            CtKey::Mark => self.fields.entry.mark.write(sets, owners, new),
            CtKey::Label => {
                let old = self.fields.entry.label.of(sets, owners).bits(sets);
                let new = new.clone().fitted(128).bits(sets);
                let both: Bits = old.iter().zip(&new).map(|(a, b)| sets.or(*a, *b)).collect();
                let label = &mut self.fields.entry.label;
                label.write(sets, owners, &Number::from(both));
            }
            CtKey::Zone => {
                let taken = sets.or(tracked, self.fields.ct.template);
                let packets = sets.minus(packets, taken);
                let new = new.clone().fitted(16).bits(sets);
                let zero = value::constant(0, 16);
                let zone = fields::Zone {
                    original: if dir == Some(CtDir::Reply) {
                        zero.clone()
                    } else {
                        new.clone()
                    },
                    reply: if dir == Some(CtDir::Original) {
                        zero
                    } else {
                        new.clone()
                    },
                    id: new,
                };
                self.fields.zone.take(sets, packets, &zone);
                self.fields.ct.untracked = sets.minus(self.fields.ct.untracked, packets);
                self.fields.ct.template = sets.or(self.fields.ct.template, packets);
            }
            CtKey::State
            | CtKey::Direction
            | CtKey::Status
            | CtKey::Expiration
            | CtKey::Helper
            | CtKey::L3proto
            | CtKey::Saddr { .. }
            | CtKey::Daddr { .. }
            | CtKey::Protocol
            | CtKey::ProtoSrc
            | CtKey::ProtoDst
            | CtKey::Bytes
            | CtKey::Packets
            | CtKey::Avgpkt
            | CtKey::Event
            | CtKey::Id
            | CtKey::Secmark => {}
        }
    }

    /// Gives connections to a flowtable; where that is possible (`nft_flow_offload_eval`).
    fn offload(&mut self, packets: Set) -> Set {
        let v6 = self.space.v6;
        let flags = self.fields.header(v6, fields::Field::TcpFlags);
        let flags = flags.bits(&mut self.space.sets);
        let flag = |bit: u8| flags[bit.leading_zeros() as usize];
        let (is_tcp, is_udp, is_gre) = (
            self.space.protos(&[proto::TCP]),
            self.space.protos(&[proto::UDP]),
            self.space.protos(&[proto::GRE]),
        );
        let [assured, src_nat, dst_nat, confirmed, offloaded] = [
            status::ASSURED,
            status::SRC_NAT,
            status::DST_NAT,
            status::CONFIRMED,
            status::OFFLOAD,
        ]
        .map(|bit| self.status(bit));
        let tracked = self.tracked();
        let sets = &mut self.space.sets;
        let ends = sets.or(flag(tcp::FIN), flag(tcp::RST));
        let running = sets.minus(assured, ends);
        let tcp = sets.and(is_tcp, running);
        let translated = sets.or(src_nat, dst_nat);
        let gre = sets.minus(is_gre, translated);
        let fits = sets.union(&[tcp, is_udp, gre]);
        let fits = sets.and(fits, tracked);
        let fits = sets.and(fits, confirmed);
        let fits = sets.minus(fits, offloaded);
        let given = sets.and(fits, packets);
        self.set_status(status::OFFLOAD, given);
        given
    }

    /// The value of an expression for these packets.
    pub(super) fn load(&mut self, place: Place, expr: &Expr, packets: Set) -> Loaded {
        match expr {
            Expr::Const(value) => Loaded::known(*value),
            Expr::Field(field) => self.field(place, field, packets),
            Expr::Bitwise { of, mask, xor } => {
                let loaded = self.load(place, of, packets);
                let top = (128 - xor.leading_zeros()) as usize;
                let (mask, xor) = (*mask, *xor);
                let bits = |bits: &[Set]| {
                    let width = bits.len().max(top);
                    let wide = value::widened(bits, width);
                    let bit = |(at, bit): (usize, &Set)| {
                        let place = width - 1 - at;
                        let kept = if mask >> place & 1 == 1 {
                            *bit
                        } else {
                            Set::NONE
                        };
                        if xor >> place & 1 == 1 {
                            kept.not()
                        } else {
                            kept
                        }
                    };
                    wide.iter().enumerate().map(bit).collect()
                };
                Loaded {
                    sym: loaded
                        .sym
                        .map(&mut self.space.sets, |value| (value & mask) ^ xor, bits),
                    absent: loaded.absent,
                }
            }
            Expr::Binary { op, left, right } => {
                let left = self.load(place, left, packets);
                let right = self.load(place, right, packets);
                let sets = &mut self.space.sets;
                let absent = sets.or(left.absent, right.absent);
                let sym = match (left.sym.number(), right.sym.number()) {
                    (Some(a), Some(b)) => {
                        let (a, b) = (a.bits(sets), b.bits(sets));
                        let width = a.len().max(b.len());
                        let (a, b) = (value::widened(&a, width), value::widened(&b, width));
                        let bit = |(a, b): (&Set, &Set)| match op {
                            BitOp::And => sets.and(*a, *b),
                            BitOp::Or => sets.or(*a, *b),
                            BitOp::Xor => sets.xor(*a, *b),
                        };
                        let both: Bits = a.iter().zip(&b).map(bit).collect();
                        Sym::Number(Number::from(both))
                    }
                    (None, _) | (_, None) => Sym::Unknown,
                };
                Loaded { sym, absent }
            }
            Expr::Shift {
                of,
                left,
                by,
                width,
            } => {
                let loaded = self.load(place, of, packets);
                let by = (*by).min(127);
                let (left, width) = (*left, *width);
                let cases = |value: u128| {
                    if left {
                        (value << by) & max_of(width)
                    } else {
                        value >> by
                    }
                };
                let bits = |bits: &[Set]| {
                    let mut bits = bits.to_vec();
                    if left {
                        bits.extend(std::iter::repeat_n(Set::NONE, by as usize));
                        value::fitted(&bits, width as usize)
                    } else {
                        bits.truncate(bits.len().saturating_sub(by as usize));
                        bits
                    }
                };
                Loaded {
                    sym: loaded.sym.map(&mut self.space.sets, cases, bits),
                    absent: loaded.absent,
                }
            }
            Expr::Lookup { key, map } => {
                let hits = self.look_up(place, key, *map, packets);
                let set = self.ruleset().set(*map);
                let mut cases = Vec::new();
                let mut opaque = Vec::new();
                for (datum, own) in &hits.hits {
                    match datum.and_then(|datum| set.datum(datum)) {
                        Some(Data::Value(values)) if values.len() == 1 => {
                            cases.push((values[0], *own));
                        }
                        _ => opaque.push(*own),
                    }
                }
                let all: Vec<Set> = hits.hits.iter().map(|(_, own)| *own).collect();
                let sets = &mut self.space.sets;
                let absent = sets.union(&all).not();
                let opaque = sets.union(&opaque);
                let opaque = sets.and(opaque, packets);
                let mut number = Number::cases(sets, cases);
                if !opaque.is_empty() {
                    let name = format!(
                        "the value that {} looks up{}",
                        self.words(place.rule),
                        self.whose()
                    );
                    let settle = "the input does not say it";
                    let unknown = self
                        .space
                        .fact(&name, settle, &vec![(0, max_of(128))], None);
                    let sets = &mut self.space.sets;
                    number = Number::choose(sets, opaque, &Number::from(unknown), &number);
                }
                let sym = Sym::Number(number);
                Loaded { sym, absent }
            }
            Expr::Numgen {
                modulus, offset, ..
            } => self.drawn(place, "numgen", *modulus, *offset),
            Expr::Hash { modulus, offset } => self.drawn(place, "hash", *modulus, *offset),
            Expr::Unknown(_) | Expr::Concat(_) => Loaded {
                sym: Sym::Unknown,
                absent: Set::NONE,
            },
        }
    }

    /// A number that the packet and the listing do not say (`numgen`, `jhash`, `symhash`).
    fn drawn(&mut self, place: Place, what: &str, modulus: u32, offset: u32) -> Loaded {
        let lo = u128::from(offset);
        let hi = lo + u128::from(modulus.max(1)) - 1;
        if lo == hi {
            return Loaded::known(lo);
        }
        let name = format!(
            "{what} in {} at {}{}",
            self.words(place.rule),
            place.at.hook,
            self.whose()
        );
        let bits = self.space.fact(&name, DRAWN, &vec![(lo, hi)], None);
        Loaded::bits(bits)
    }

    /// Where bits of the packet are, and the packets that have them all; `None`: no packet.
    fn bits_at(&mut self, base: Base, offset: u32, len: u32) -> Option<(usize, Set)> {
        let v6 = self.space.v6;
        let start = fields::start(v6, base)? + offset as usize;
        let end = start + len as usize;
        if len == 0 || len > 128 || end > self.fields.packet.len() {
            return None;
        }
        let network = LINK;
        let transport = LINK + if v6 { 320 } else { 160 };
        let mut there = if start < network && base == Base::Ll {
            self.fields.link
        } else {
            Set::ALL
        };
        let mut others: Vec<u8> = Vec::new();
        for (protos, bits) in HEADERS {
            others.extend(protos);
            if end > transport + bits {
                let short = self.space.protos(protos);
                there = self.space.sets.minus(there, short);
            }
        }
        if end > transport + 64 {
            let long = self.space.protos(&others);
            there = self.space.sets.and(there, long);
        }
        Some((start, there))
    }

    /// The value of a field (`eval::field`).
    fn field(&mut self, place: Place, field: &Field, packets: Set) -> Loaded {
        let at = place.at;
        let engine =
            |walk: &mut Self, dims: &[Dim]| walk.engine(at, place.rule, field, dims, packets);
        if let Some(loaded) = self.free_field(place, field, packets) {
            return loaded;
        }
        match field {
            Field::Meta(key) => self.meta(place, field, *key, packets),
            Field::Ct { key, dir } => self.ct(place, field, *key, *dir, packets),
            Field::Payload { base, offset, len } => {
                self.payload(field, *base, *offset, *len, packets)
            }
            Field::Exthdr { .. } => engine(self, &[]),
            Field::Option { .. } => engine(self, &[Dim::Proto]),
            Field::Fib { result, flags } => {
                let mut dims = vec![Dim::Iif];
                if flags.oif {
                    dims.push(Dim::Oif);
                }
                dims.push(if flags.saddr { Dim::Src } else { Dim::Dst });
                if *result != FibResult::Type {
                    // 0.0.0.0/8 is asked for with the destination, and so are rules of routing
                    dims.push(if flags.saddr { Dim::Dst } else { Dim::Src });
                    dims.extend([Dim::Mark, Dim::Selectors]);
                }
                engine(self, &dims)
            }
            Field::Rt(RtKey::Nexthop4 | RtKey::Nexthop6) => self.next_hop(field, packets),
            Field::Rt(RtKey::Mtu) => engine(self, &[Dim::Oif, Dim::Iif, Dim::Route, Dim::Src]),
            Field::Rt(RtKey::ClassId | RtKey::Ipsec) => engine(self, &[Dim::Route]),
            Field::Socket(_) => engine(self, &[Dim::Sender, Dim::Proto]),
            Field::Opaque(_) => engine(self, &[Dim::Proto, Dim::Syn]),
        }
    }

    /// A header field as it is in the packet.
    pub(super) fn read(&mut self, field: &Field, packets: Set) -> Option<Loaded> {
        match field {
            Field::Payload { base, offset, len } => {
                Some(self.payload(field, *base, *offset, *len, packets))
            }
            _ => None,
        }
    }

    fn payload(
        &mut self,
        field: &Field,
        base: Base,
        offset: u32,
        len: u32,
        packets: Set,
    ) -> Loaded {
        let v6 = self.space.v6;
        let found = fields::start(v6, base).map(|start| start + offset as usize);
        let end = LINK + if v6 { 320 } else { 160 } + TRANSPORT;
        match found {
            Some(start) if start + len as usize <= end && len > 0 && len <= 128 => {
                let sets = &mut self.space.sets;
                let packet = &self.fields.packet;
                let number = packet.read(sets, start, len as usize, packets);
                let absent = match base {
                    Base::Ll => self.fields.link.not(),
                    Base::Nh | Base::Th | Base::Ih => Set::NONE,
                };
                Loaded {
                    sym: Sym::Number(number),
                    absent,
                }
            }
            Some(_) | None => {
                let name = format!("{}{}", describe_field(field, PacketKind::ANY), self.whose());
                let settle = "the flow does not say it";
                let domain = vec![(0, max_of(len.min(128)))];
                Loaded::bits(self.space.fact(&name, settle, &domain, None))
            }
        }
    }

    /// The gateway of the route, or the destination itself.
    fn next_hop(&mut self, field: &Field, packets: Set) -> Loaded {
        use crate::eval::NextHop;
        let v6 = self.space.v6;
        let width = if v6 { 128 } else { 32 };
        let Field::Rt(key) = field else {
            return Loaded::absent();
        };
        if (*key == RtKey::Nexthop6) != v6 {
            return Loaded::absent();
        }
        let mut found = Number::constant(0, width);
        let mut absent = Set::NONE;
        for (route, own) in self.fields.route.among(&mut self.space.sets, packets) {
            let hop = match route {
                None => {
                    absent = self.space.sets.or(absent, own);
                    continue;
                }
                Some(NextHop::Direct) => self.fields.dst(self.space).clone(),
                Some(NextHop::Via(ip)) => self.constant(ip).number.fitted(width),
                Some(NextHop::Unknown) => {
                    let name = format!("the next hop{}", self.whose());
                    let settle = "give the routes with a snapshot";
                    let domain = vec![(0, max_of(width as u32))];
                    Number::from(self.space.fact(&name, settle, &domain, None))
                }
            };
            found.write(&mut self.space.sets, own, &hop);
        }
        Loaded {
            sym: Sym::Number(found),
            absent,
        }
    }

    fn iface_name(&self, at: Option<u16>) -> u128 {
        at.map_or(0, |at| self.world.link_values[usize::from(at)])
    }

    fn meta(&mut self, place: Place, field: &Field, key: MetaKey, packets: Set) -> Loaded {
        let at = place.at;
        let engine =
            |walk: &mut Self, dims: &[Dim]| walk.engine(at, place.rule, field, dims, packets);
        let v6 = self.space.v6;
        match key {
            MetaKey::Length => {
                let length = self.fields.header(v6, fields::Field::Length);
                let length = length.of(&mut self.space.sets, packets).fitted(18);
                let header = if at.hook == Hook::Egress { 14 } else { 0 };
                let more = header + if v6 { 40 } else { 0 };
                let longer = |sets: &mut Sets, bits: &[Set]| value::plus(sets, bits, more);
                let sets = &mut self.space.sets;
                Loaded::of(length.map(sets, |value| value + more, longer))
            }
            MetaKey::L4proto => Loaded::bits(self.space.input(super::Input::Proto)),
            MetaKey::Mark => Loaded::of(self.fields.mark.of(&mut self.space.sets, packets)),
            MetaKey::Priority => {
                let loaded = engine(self, &[]);
                let sets = &mut self.space.sets;
                let zero = Number::constant(0, 32);
                let usual = loaded.sym.number().unwrap_or(&zero);
                let (written, priority) = &self.fields.priority;
                Loaded::of(Number::choose(sets, *written, priority, usual))
            }
            MetaKey::Iif | MetaKey::Iifname => Loaded {
                sym: self.names(self.fields.iif.0.clone()),
                absent: Set::NONE,
            },
            MetaKey::Oif | MetaKey::Oifname => Loaded {
                sym: self.names(self.fields.oif.0.clone()),
                absent: Set::NONE,
            },
            MetaKey::Pkttype => Loaded::of(self.fields.pkttype.of(&mut self.space.sets, packets)),
            MetaKey::Skuid | MetaKey::Skgid | MetaKey::Cgroup => engine(self, &[Dim::Sender]),
            MetaKey::Rtclassid => engine(self, &[Dim::Route]),
            MetaKey::Iiftype
            | MetaKey::Oiftype
            | MetaKey::Iifgroup
            | MetaKey::Oifgroup
            | MetaKey::Iifkind
            | MetaKey::Oifkind
            | MetaKey::Ibrname
            | MetaKey::Obrname
            | MetaKey::Ibrpvid
            | MetaKey::Ibrvproto
            | MetaKey::Ibrhwaddr
            | MetaKey::Physin
            | MetaKey::Physout => engine(self, &[Dim::Iif, Dim::Oif]),
            MetaKey::Protocol
            | MetaKey::Nfproto
            | MetaKey::Nftrace
            | MetaKey::Secpath
            | MetaKey::Sdif
            | MetaKey::Sdifname
            | MetaKey::Cpu
            | MetaKey::Random
            | MetaKey::Time
            | MetaKey::Day
            | MetaKey::Hour
            | MetaKey::Secmark
            | MetaKey::Broute => engine(self, &[]),
        }
    }

    fn names(&mut self, ifaces: Vec<(Option<u16>, Set)>) -> Sym {
        let cases = ifaces.into_iter();
        let cases = cases.map(|(at, set)| (self.iface_name(at), set)).collect();
        Sym::Number(Number::cases(&mut self.space.sets, cases))
    }

    fn ct(
        &mut self,
        place: Place,
        field: &Field,
        key: CtKey,
        dir: Option<CtDir>,
        packets: Set,
    ) -> Loaded {
        let tracked = self.tracked();
        if key == CtKey::State {
            let ct = self.fields.ct.clone();
            let sets = &mut self.space.sets;
            let new = sets.or(ct.new, ct.template);
            let seen = sets.union(&[new, ct.reply, ct.untracked]);
            let later = sets.or(ct.established, ct.related);
            let new = sets.minus(new, later);
            let established = sets.or(ct.reply, ct.established);
            let established = sets.minus(established, ct.related);
            let cases = vec![
                (u128::from(state::NEW), new),
                (u128::from(state::ESTABLISHED), established),
                (u128::from(state::RELATED), ct.related),
                (u128::from(state::UNTRACKED), ct.untracked),
                (u128::from(state::INVALID), seen.not()),
            ];
            return Loaded {
                sym: Sym::Number(Number::cases(sets, cases)),
                absent: Set::NONE,
            };
        }
        let absent = tracked.not();
        let owners = self.space.sets.and(tracked, packets);
        if owners.is_empty() {
            return Loaded::absent();
        }
        let of = |number: Number| Loaded {
            sym: Sym::Number(number),
            absent,
        };
        let with = |bits: Bits| of(Number::from(bits));
        match key {
            CtKey::State => Loaded::absent(),
            CtKey::Direction => with(vec![self.fields.ct.reply]),
            CtKey::Status => with(self.fields.entry.status.clone()),
            CtKey::Mark => of(self.fields.entry.mark.of(&mut self.space.sets, packets)),
            CtKey::Label => of(self.fields.entry.label.of(&mut self.space.sets, packets)),
            CtKey::Zone => with(match dir {
                None => self.fields.entry.zone.id.clone(),
                Some(CtDir::Original) => self.fields.entry.zone.original.clone(),
                Some(CtDir::Reply) => self.fields.entry.zone.reply.clone(),
            }),
            CtKey::L3proto => Loaded {
                sym: Sym::known(if self.space.v6 { 10 } else { 2 }),
                absent,
            },
            CtKey::Protocol => with(self.space.input(super::Input::Proto)),
            CtKey::Saddr { v6 } | CtKey::Daddr { v6 } if v6 != self.space.v6 => Loaded::absent(),
            CtKey::Saddr { .. } | CtKey::Daddr { .. } | CtKey::ProtoSrc | CtKey::ProtoDst => {
                let original = self.fields.entry.original.clone();
                let now = self.fields.entry.now.tuple(&mut self.space.sets, packets);
                let reply = now.inverse(self.space);
                let part = |tuple: fields::Tuple| match key {
                    CtKey::Saddr { .. } => tuple.src.number,
                    CtKey::Daddr { .. } => tuple.dst.number,
                    CtKey::ProtoSrc => tuple.sport,
                    _ => tuple.dport,
                };
                let (original, reply) = (part(original), part(reply));
                let sets = &mut self.space.sets;
                let number = match dir {
                    Some(CtDir::Original) => original,
                    Some(CtDir::Reply) => reply,
                    None => Number::choose(sets, self.fields.ct.reply, &reply, &original),
                };
                of(number.of(sets, packets))
            }
            CtKey::Helper
            | CtKey::Expiration
            | CtKey::Id
            | CtKey::Bytes
            | CtKey::Packets
            | CtKey::Avgpkt
            | CtKey::Event
            | CtKey::Secmark => self.engine(place.at, place.rule, field, &[Dim::Tracked], packets),
        }
    }
}

/// Which statement is run, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub rule: RuleId,
    pub at: At,
}

struct Keys {
    /// `None`: a part of it is not known.
    values: Option<Vec<Sym>>,
    absent: Set,
}

fn datum_of(datum: u32) -> Option<u32> {
    (datum != NO_DATUM).then_some(datum)
}
