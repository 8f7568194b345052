//! One base chain for packets of which nothing is known: what no packet whatever can do there.
//!
//! What a rule takes is not taken away from those behind it: sets of what is left can be too large to write down. Each rule
//! has what it would take of what comes to it, and whether that leaves anything for a later rule is asked for one at a time.
//!
//! Every field that a rule can look at is a variable of its own, the state of the conversation and what depends on the host
//! among them, so what is found here holds on every host and for later packets of conversations, too. The same field read
//! twice is the same variable, as long as no rule has written anything in between; a mark, a header or a state that rules have
//! written is what they wrote. What a rule takes is taken for certain,
//! what comes to a rule is at most what can come to it.

use std::collections::BTreeMap;

use crate::eval::{Pf, World};
use crate::hooks::Hooks;
use crate::logic::Source;
use crate::ruleset::protocol::Base;
use crate::ruleset::{
    ChainId, ChainType, CtKey, Expr, Family, Field, Hook, MetaKey, Nat, NatRange, RuleId,
    Statement, Stmt,
};
use crate::sets::{GaveUp, Point, Set, Sets};

use super::fields::{Address, Ct, Entry, Fields, NowTuple, Packet, Tuple, Zone};
use super::rule::{Loaded, Place};
use super::space::{Input, LINK, Space, TRANSPORT};
use super::stack::{At, Walk};
use super::value::{self, Bits, Number};
use super::{End, From};

/// What a rule kept from those behind it.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    pub rule: RuleId,
    pub packets: Set,
    /// The run that the packets left, of a `return` or `goto`; `None`: they left the base chain.
    pub left: Option<u32>,
}

/// A time that the run came to a rule.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// What came to the rule's chain, had nothing before been taken.
    pub entered: Set,
    /// The run of the chain and the runs that it is part of.
    pub within: Vec<u32>,
    /// How many entries [`Free::took`] had.
    pub behind: usize,
    /// Packets for which all matches of the rule hold here, with what rules have written before, wherever they come from.
    pub fits: Set,
    /// How many entries [`Free::wrote`] had.
    pub wrote: usize,
}

/// A field that a rule wrote.
#[derive(Debug, Clone)]
pub struct Wrote {
    pub rule: RuleId,
    pub target: Field,
    pub packets: Set,
}

/// What the rules of a base chain can do at all.
#[derive(Debug, Default)]
pub struct Free {
    pub arrivals: BTreeMap<RuleId, Vec<Arrival>>,
    /// Packets for which all matches of a rule hold, wherever they come from, as long as no other rule has written anything.
    pub alone: BTreeMap<RuleId, Set>,
    /// In the order of the run.
    pub took: Vec<Took>,
    /// In the order of the run.
    pub wrote: Vec<Wrote>,
    /// Where something has no meaning here, so nothing can be said of what stands behind it.
    pub is_open: bool,
    /// What each [`BLOCK`] of `took` took together; `None` where that is too large to write down.
    blocks: Vec<Option<Set>>,
}

/// How many entries of [`Free::took`] are passed over at once where none of them took a packet.
const BLOCK: usize = 64;
/// How large the set of a block may be.
const BLOCK_NODES: usize = 20_000;

/// What earlier rules leave of the packets that a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remains {
    /// One of them comes to the rule.
    Some(Point),
    /// None; these entries of [`Free::took`] are enough to take all.
    Nothing(Vec<usize>),
}

impl Free {
    /// What is left of packets that come to a rule's chain. Looks for one that nobody took: of those that are left one is
    /// picked, and whoever took it takes all that it would, until nothing is left or nobody took it.
    pub fn remains(
        &self,
        space: &mut Space,
        arrival: &Arrival,
        packets: Set,
    ) -> Result<Remains, GaveUp> {
        let wish = space.usual();
        let mut rest = packets;
        let mut takers = Vec::new();
        while let Some(point) = space.sets.pick(rest, &wish) {
            space.check()?;
            let Some(taker) = self.taker(&space.sets, arrival, &point) else {
                return Ok(Remains::Some(point));
            };
            rest = space.sets.minus(rest, self.took[taker].packets);
            takers.push(taker);
        }
        space.check()?;
        Ok(Remains::Nothing(takers))
    }

    /// The first rule that took a packet.
    fn taker(&self, sets: &Sets, arrival: &Arrival, point: &Point) -> Option<usize> {
        let before = &self.took[..arrival.behind];
        for (at, block) in before.chunks(BLOCK).enumerate() {
            let together = self.blocks.get(at).copied().flatten();
            if together.is_some_and(|together| !sets.contains(together, point)) {
                continue;
            }
            // who only left another chain comes on
            let takes = |took: &Took| {
                took.left.is_none_or(|left| arrival.within.contains(&left))
                    && sets.contains(took.packets, point)
            };
            if let Some(found) = block.iter().position(takes) {
                return Some(at * BLOCK + found);
            }
        }
        None
    }
}

/// What entries took together, block by block.
fn blocks(sets: &mut Sets, took: &[Took]) -> Vec<Option<Set>> {
    let mut blocks = Vec::new();
    for block in took.chunks(BLOCK) {
        let before = sets.nodes();
        let mut all = Some(Set::NONE);
        for took in block {
            all = all.map(|all| sets.or(all, took.packets));
            if sets.nodes() > before + BLOCK_NODES {
                all = None;
            }
        }
        blocks.push(all);
    }
    blocks
}

/// The state of such a walk.
#[derive(Debug, Default)]
pub(super) struct Freedom {
    pub wrote: Vec<Wrote>,
    pub took: Vec<Took>,
    pub arrivals: BTreeMap<RuleId, Vec<Arrival>>,
    running: Vec<(u32, Set)>,
    runs: u32,
}

/// Runs a base chain of IP for any packet.
pub fn chain(
    space: &mut Space,
    world: World<'_>,
    hooks: &Hooks,
    id: ChainId,
) -> Result<Free, GaveUp> {
    let (hook, is_nat) = match &world.ruleset.chain(id).base {
        Some(base) => (base.hook, base.kind == ChainType::Nat),
        None => (Hook::Input, false),
    };
    let pf = if space.v6 { Pf::Ip6 } else { Pf::Ip };
    let at = At { pf, hook };
    let mut fields = any(space, world);
    if is_nat {
        fields.ct = first_of_conversations(space, &fields.ct);
        fields.entry.exists = Set::ALL;
    }
    let mut walk = Walk::request(space, world, hooks, From::Outside, None);
    walk.fields = fields;
    walk.free = Some(Freedom::default());
    let mut alone = BTreeMap::new();
    for rule in within(world, id) {
        let own = walk.would(Place { rule, at }, Set::ALL);
        alone.insert(rule, own);
    }
    walk.base_chain(at, id, Set::ALL);
    let freedom = walk.free.take().unwrap_or_default();
    let ways = walk.done();
    space.check()?;
    let blocks = blocks(&mut space.sets, &freedom.took);
    space.check()?;
    let unknown = ways
        .exits
        .iter()
        .any(|exit| matches!(exit.end, End::Unknown(_)));
    Ok(Free {
        arrivals: freedom.arrivals,
        alone,
        took: freedom.took,
        wrote: freedom.wrote,
        is_open: unknown,
        blocks,
    })
}

/// The states of what nat chains see (`nf_nat_inet_fn`): packets of conversations that are new, and related ones.
fn first_of_conversations(space: &mut Space, ct: &Ct) -> Ct {
    let reply = space.sets.and(ct.reply, ct.related);
    Ct {
        untracked: Set::NONE,
        template: Set::NONE,
        new: reply.not(),
        reply,
        established: Set::NONE,
        related: ct.related,
    }
}

/// The rules of a chain and of all that it leads to.
fn within(world: World<'_>, id: ChainId) -> Vec<RuleId> {
    let mut chains = vec![id];
    let mut rules = Vec::new();
    let mut next = 0;
    while let Some(chain) = chains.get(next).copied() {
        next += 1;
        for &rule in &world.ruleset.chain(chain).rules {
            rules.push(rule);
            for (target, _) in world.ruleset.transfers(rule) {
                if let crate::ruleset::Target::Chain(target) = target
                    && !chains.contains(&target)
                {
                    chains.push(target);
                }
            }
        }
    }
    rules
}

/// Fields of which nothing is known.
fn any(space: &mut Space, world: World<'_>) -> Fields {
    let links = world.host.links.len();
    let mut fields = Fields::first(space, From::Outside, None, links);
    let v6 = space.v6;
    let header = if v6 { 320 } else { 160 };
    let mut bits = |width: usize| -> Bits {
        let vars = space.sets.variables(width);
        value::of_vars(&mut space.sets, &vars)
    };
    let mut packet = bits(LINK + header + TRANSPORT);
    let zone = Zone {
        id: bits(16),
        original: bits(16),
        reply: bits(16),
    };
    let width = if v6 { 128 } else { 32 };
    let mut tuple = || {
        let mut address = || Address {
            number: Number::from(bits(width)),
            own: Set::NONE,
            drawn: Set::NONE,
        };
        let (src, dst) = (address(), address());
        Tuple {
            src,
            dst,
            sport: Number::from(bits(16)),
            dport: Number::from(bits(16)),
        }
    };
    let (original, now) = (tuple(), tuple());
    let status = bits(16);
    let (mark, ct_mark, label) = (bits(32), bits(32), bits(128));
    let pkttype = Number::from(bits(super::fields::BYTE));
    let state = bits(6);
    let [untracked, tracked, reply, established, related, link] =
        [0, 1, 2, 3, 4, 5].map(|at| state[at]);
    let sets = &mut space.sets;
    let tracked = sets.minus(tracked, untracked);
    fields.ct = Ct {
        untracked,
        template: Set::NONE,
        new: sets.minus(tracked, reply),
        reply: sets.and(tracked, reply),
        established: sets.and(tracked, established),
        related: sets.and(tracked, related),
    };
    // what kind of packet it is stays; an IPv4 header says the same as the transport header behind it
    packet.splice(
        96..112,
        value::constant(if v6 { 0x86dd } else { 0x0800 }, 16),
    );
    packet.splice(LINK..LINK + 4, value::constant(if v6 { 6 } else { 4 }, 4));
    if !v6 {
        packet.splice(LINK + 72..LINK + 80, space.input(Input::Proto));
    }
    fields.packet = Packet::of(v6, &packet);
    fields.link = link;
    fields.mark = Number::from(mark);
    fields.pkttype = pkttype;
    fields.zone = zone.clone();
    fields.entry = Entry {
        exists: tracked,
        original,
        now: NowTuple::of(&now),
        status,
        mark: Number::from(ct_mark),
        label: Number::from(label),
        zone,
    };
    fields
}

/// Whether what is read of a field that is not followed here may be another thing behind a write.
fn may_change(target: &Field, field: &Field) -> bool {
    match field {
        Field::Meta(_) => target == field,
        Field::Ct { .. } => matches!(target, Field::Ct { .. }),
        Field::Payload { .. }
        | Field::Exthdr { .. }
        | Field::Option { .. }
        | Field::Fib { .. }
        | Field::Rt(_)
        | Field::Socket(_)
        | Field::Opaque(_) => match target {
            Field::Meta(key) => *key == MetaKey::Mark,
            Field::Ct { .. } => false,
            Field::Payload { .. }
            | Field::Exthdr { .. }
            | Field::Option { .. }
            | Field::Fib { .. }
            | Field::Rt(_)
            | Field::Socket(_)
            | Field::Opaque(_) => true,
        },
    }
}

impl Walk<'_, '_> {
    pub(super) fn took(&mut self, rule: RuleId, packets: Set) {
        self.kept(rule, packets, None);
    }

    /// Packets that leave the chain that runs, and go on behind the rule that led there.
    pub(super) fn left(&mut self, rule: RuleId, packets: Set) {
        let left = self
            .free
            .as_ref()
            .and_then(|free| free.running.last().map(|(run, _)| *run));
        self.kept(rule, packets, left);
    }

    fn kept(&mut self, rule: RuleId, packets: Set, left: Option<u32>) {
        if let Some(free) = &mut self.free
            && !packets.is_empty()
        {
            free.took.push(Took {
                rule,
                packets,
                left,
            });
        }
    }

    pub(super) fn begins(&mut self, packets: Set) {
        if let Some(free) = &mut self.free {
            free.running.push((free.runs, packets));
            free.runs += 1;
        }
    }

    pub(super) fn ends(&mut self) {
        if let Some(free) = &mut self.free {
            free.running.pop();
        }
    }

    pub(super) fn comes_to(&mut self, place: Place) {
        if self.free.is_none() {
            return;
        }
        let fits = self.would(place, Set::ALL);
        if let Some(free) = &mut self.free
            && let Some((_, entered)) = free.running.last()
        {
            let arrival = Arrival {
                entered: *entered,
                within: free.running.iter().map(|(run, _)| *run).collect(),
                behind: free.took.len(),
                fits,
                wrote: free.wrote.len(),
            };
            free.arrivals.entry(place.rule).or_default().push(arrival);
        }
    }

    /// A field that is a variable where nothing is known; `None` for one that is followed here, too.
    pub(super) fn free_field(
        &mut self,
        place: Place,
        field: &Field,
        packets: Set,
    ) -> Option<Loaded> {
        let free = self.free.as_ref()?;
        let hook = place.at.hook;
        let drawn = match field {
            Field::Meta(key) => match key {
                MetaKey::Iif | MetaKey::Iifname if hook == Hook::Output => {
                    return Some(Loaded::known(0));
                }
                MetaKey::Oif | MetaKey::Oifname
                    if matches!(hook, Hook::Prerouting | Hook::Input) =>
                {
                    return Some(Loaded::known(0));
                }
                MetaKey::Length
                | MetaKey::L4proto
                | MetaKey::Mark
                | MetaKey::Pkttype
                | MetaKey::Protocol
                | MetaKey::Nfproto => return None,
                // each rule reads them anew
                MetaKey::Random | MetaKey::Time | MetaKey::Day | MetaKey::Hour => true,
                MetaKey::Priority
                | MetaKey::Iif
                | MetaKey::Iifname
                | MetaKey::Oif
                | MetaKey::Oifname
                | MetaKey::Skuid
                | MetaKey::Skgid
                | MetaKey::Cgroup
                | MetaKey::Rtclassid
                | MetaKey::Iiftype
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
                | MetaKey::Physout
                | MetaKey::Nftrace
                | MetaKey::Secpath
                | MetaKey::Sdif
                | MetaKey::Sdifname
                | MetaKey::Cpu
                | MetaKey::Secmark
                | MetaKey::Broute => false,
            },
            Field::Ct { key, .. } => match key {
                CtKey::State
                | CtKey::Direction
                | CtKey::Status
                | CtKey::Mark
                | CtKey::Label
                | CtKey::Zone
                | CtKey::L3proto
                | CtKey::Protocol
                | CtKey::Saddr { .. }
                | CtKey::Daddr { .. }
                | CtKey::ProtoSrc
                | CtKey::ProtoDst => return None,
                CtKey::Helper
                | CtKey::Expiration
                | CtKey::Bytes
                | CtKey::Packets
                | CtKey::Avgpkt
                | CtKey::Event
                | CtKey::Id
                | CtKey::Secmark => false,
            },
            Field::Payload { base, .. } => {
                return match base {
                    Base::Ll | Base::Nh => None,
                    // fragments and packets that are cut off have none
                    Base::Th | Base::Ih => {
                        let mut loaded = self.read(field, packets)?;
                        let gone = self
                            .space
                            .ask("no transport header", "", Source::Open, false);
                        loaded.absent = self.space.sets.or(loaded.absent, gone);
                        Some(loaded)
                    }
                };
            }
            Field::Exthdr { .. }
            | Field::Option { .. }
            | Field::Fib { .. }
            | Field::Rt(_)
            | Field::Socket(_)
            | Field::Opaque(_) => false,
        };
        // by name and by index are one question (`MetaKey::Iif`)
        let which = match field {
            Field::Meta(MetaKey::Iif) => format!("{:?}", Field::Meta(MetaKey::Iifname)),
            Field::Meta(MetaKey::Oif) => format!("{:?}", Field::Meta(MetaKey::Oifname)),
            other => format!("{other:?}"),
        };
        let name = match drawn {
            true => format!("{which} of {:?}", place.rule),
            false => {
                let wrote = free.wrote.iter().map(|wrote| &wrote.target);
                format!(
                    "{which} {}",
                    wrote.filter(|to| may_change(to, field)).count()
                )
            }
        };
        let bits = self.space.fact(&name, "", &vec![(0, u128::MAX)], None);
        let absent = format!("{name} is not there");
        let absent = self.space.ask(&absent, "", Source::Open, false);
        let mut loaded = Loaded::bits(bits);
        loaded.absent = match field {
            Field::Meta(MetaKey::Iif | MetaKey::Iifname | MetaKey::Oif | MetaKey::Oifname)
            | Field::Fib { .. } => Set::NONE,
            _ => absent,
        };
        Some(loaded)
    }

    /// Packets that a translation takes for certain.
    pub(super) fn surely_translated(&mut self, place: Place, nat: &Nat, packets: Set) -> Set {
        let family = match place.at.pf {
            Pf::Ip => Family::Ip,
            Pf::Ip6 => Family::Ip6,
            Pf::Bridge | Pf::Arp | Pf::Netdev => return Set::NONE,
        };
        if nat
            .family
            .is_some_and(|of| of != family && of != Family::Inet)
        {
            return Set::NONE;
        }
        let is_known = |range: &NatRange| match range {
            NatRange::None => true,
            NatRange::One(one) => matches!(one, Expr::Const(_)),
            NatRange::Range(lo, hi) => matches!(lo, Expr::Const(_)) && matches!(hi, Expr::Const(_)),
            NatRange::InAddress => false,
        };
        if is_known(&nat.addr) && is_known(&nat.port) {
            return packets;
        }
        let words = format!("{} translates", self.words(place.rule));
        let does = self.space.ask(&words, "", Source::Open, false);
        self.space.sets.and(packets, does)
    }

    /// Packets for which all matches of a rule hold, whatever the rule does.
    pub(super) fn would(&mut self, place: Place, packets: Set) -> Set {
        let ruleset = self.ruleset();
        let mut here = packets;
        let statements = &ruleset.rule(place.rule).statements;
        // what the rule writes and asks for again is forgotten behind it
        let asks = |statement: &Statement| {
            matches!(
                statement.kind,
                Stmt::Match(_) | Stmt::Vmap { .. } | Stmt::ObjectMap { .. }
            )
        };
        let last = statements.iter().rposition(asks);
        let mut before: Option<Fields> = None;
        let wrote = self.free.as_ref().map_or(0, |free| free.wrote.len());
        for (number, statement) in statements.iter().enumerate() {
            let holds = match &statement.kind {
                Stmt::Mangle { .. } | Stmt::Notrack if last.is_none_or(|last| number > last) => {
                    Set::ALL
                }
                Stmt::Mangle {
                    target,
                    value,
                    or_nothing,
                } => {
                    before.get_or_insert_with(|| self.fields.clone());
                    let written = self.mangle(place, target, value, here);
                    if *or_nothing { Set::ALL } else { written }
                }
                Stmt::Notrack => {
                    before.get_or_insert_with(|| self.fields.clone());
                    self.untrack(here);
                    Set::ALL
                }
                Stmt::Match(test) => self.test(place, test, here),
                Stmt::Vmap { key, map } | Stmt::ObjectMap { key, map } => {
                    let hits = self.look_up(place, key, *map, here);
                    let hits: Vec<Set> = hits.hits.iter().map(|(_, own)| *own).collect();
                    self.space.sets.union(&hits)
                }
                Stmt::Verdict(_)
                | Stmt::Nat(_)
                | Stmt::Reject(_)
                | Stmt::Gate(_)
                | Stmt::Queue { .. }
                | Stmt::Tproxy { .. }
                | Stmt::Dup
                | Stmt::Fwd { .. }
                | Stmt::FlowOffload { .. }
                | Stmt::Synproxy
                | Stmt::SetUpdate { .. }
                | Stmt::NoEffect(_)
                | Stmt::Unknown(_) => Set::ALL,
            };
            here = self.space.sets.and(here, holds);
        }
        if let Some(before) = before {
            self.fields = before;
        }
        if let Some(free) = &mut self.free {
            free.wrote.truncate(wrote);
        }
        here
    }
}
