//! Which base chains, and which parts of the kernel between them, run at a hook, in order.
//!
//! Mirrors `nf_hook_entries_grow` (order by priority, the last registered first among equals), `nf_nat_register_fn` (all
//! nat chains of a hook run from one place) and the priorities of `enum nf_ip_hook_priorities`.

use crate::eval::Pf;
use crate::ruleset::expr::Expr;
use crate::ruleset::{
    ChainId, ChainType, Dormancy, Family, Field, GateKind, Hook, Operand, Ruleset, Stmt,
};

/// Where conntrack, defragmentation and the nat dispatcher sit (`enum nf_ip_hook_priorities`).
pub mod priority {
    pub const DEFRAG: i32 = -400;
    pub const CONNTRACK: i32 = -200;
    pub const NAT_DST: i32 = -100;
    pub const NAT_SRC: i32 = 100;
    pub const CONFIRM: i32 = i32::MAX;
}

/// One thing that runs at a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    Defrag,
    Conntrack,
    /// All nat chains of the hook, in their own order.
    Nat(Vec<ChainId>),
    Chain(ChainId),
    /// The end of conntrack's work: the entry becomes visible to others.
    Confirm,
}

/// A piece of work at its priority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    pub priority: i32,
    pub work: Work,
}

/// Two base chains of equal priority in different tables, whose order a listing does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tie {
    pub pf: Pf,
    pub hook: Hook,
    pub first: ChainId,
    pub second: ChainId,
}

/// The order of work at every hook of every protocol family.
#[derive(Debug, Clone, Default)]
pub struct Hooks {
    stages: Vec<(Pf, Hook, Vec<Slot>)>,
    pub ties: Vec<Tie>,
    conntrack: Vec<Pf>,
}

/// The protocol families with hooks of their own.
pub const FAMILIES: [Pf; 5] = [Pf::Ip, Pf::Ip6, Pf::Bridge, Pf::Arp, Pf::Netdev];

impl Hooks {
    /// Sorts the base chains of a ruleset. Chains of dormant tables are left out.
    pub fn new(ruleset: &Ruleset) -> Hooks {
        let mut hooks = Hooks::default();
        for pf in FAMILIES {
            let tracked = conntrack_since(ruleset, pf);
            if tracked.is_some() {
                hooks.conntrack.push(pf);
            }
            for hook in Hook::ALL {
                let slots = hooks.stage_of(ruleset, pf, hook, tracked);
                if !slots.is_empty() {
                    hooks.stages.push((pf, hook, slots));
                }
            }
        }
        hooks
    }

    /// The same without some base chains.
    pub fn without(&self, chains: &[ChainId]) -> Hooks {
        let mut hooks = self.clone();
        for (_, _, slots) in &mut hooks.stages {
            slots
                .retain(|slot| !matches!(&slot.work, Work::Chain(chain) if chains.contains(chain)));
        }
        hooks
    }

    /// The same with the two chains of a tie in the other order.
    pub fn swapped(&self, tie: Tie) -> Hooks {
        let mut hooks = self.clone();
        let at_tie =
            |(pf, hook, _): &&mut (Pf, Hook, Vec<Slot>)| *pf == tie.pf && *hook == tie.hook;
        let other = |chain: ChainId| match chain {
            _ if chain == tie.first => tie.second,
            _ if chain == tie.second => tie.first,
            _ => chain,
        };
        for (_, _, slots) in hooks.stages.iter_mut().filter(at_tie) {
            for slot in slots {
                match &mut slot.work {
                    Work::Chain(chain) => *chain = other(*chain),
                    Work::Nat(chains) => chains.iter_mut().for_each(|chain| *chain = other(*chain)),
                    Work::Defrag | Work::Conntrack | Work::Confirm => {}
                }
            }
        }
        hooks
    }

    /// What runs at a hook, in order.
    pub fn stage(&self, pf: Pf, hook: Hook) -> &[Slot] {
        self.stages
            .iter()
            .find(|(p, h, _)| *p == pf && *h == hook)
            .map_or(&[][..], |(_, _, slots)| slots)
    }

    /// Whether packets of this family are tracked at all.
    pub fn tracks(&self, pf: Pf) -> bool {
        self.conntrack.contains(&pf)
    }

    fn stage_of(
        &mut self,
        ruleset: &Ruleset,
        pf: Pf,
        hook: Hook,
        tracked: Option<u64>,
    ) -> Vec<Slot> {
        // (priority, registration, work); the last registered of equal priority runs first
        let mut entries: Vec<(i32, u64, Work)> = Vec::new();
        let mut nat: Vec<(i32, u64, ChainId)> = Vec::new();
        for (id, chain) in ruleset.chains() {
            let Some(base) = &chain.base else { continue };
            let table = ruleset.table(chain.table);
            if base.hook != hook
                || table.dormancy == Dormancy::Dormant
                || !belongs(table.family, hook, pf)
            {
                continue;
            }
            let registered = registration(id);
            if base.kind == ChainType::Nat {
                nat.push((base.priority, registered, id));
            } else {
                entries.push((base.priority, registered, Work::Chain(id)));
            }
        }
        let destination = matches!(hook, Hook::Prerouting | Hook::Output);
        let ip = matches!(pf, Pf::Ip | Pf::Ip6);
        if ip && let Some(tracked) = tracked {
            if destination {
                entries.push((priority::DEFRAG, tracked, Work::Defrag));
                entries.push((priority::CONNTRACK, tracked, Work::Conntrack));
            } else if matches!(hook, Hook::Input | Hook::Postrouting) {
                entries.push((priority::CONFIRM, tracked, Work::Confirm));
            }
        }
        if ip
            && hook != Hook::Forward
            && tracked.is_some()
            && let Some(registered) = nat_since(ruleset, pf)
        {
            nat.sort_by_key(|&(priority, registered, _)| (priority, std::cmp::Reverse(registered)));
            self.note_ties(ruleset, pf, hook, nat.iter().map(|(p, _, id)| (*p, *id)));
            let at = if destination {
                priority::NAT_DST
            } else {
                priority::NAT_SRC
            };
            let chains = nat.into_iter().map(|(_, _, id)| id).collect();
            if !matches!(hook, Hook::Ingress | Hook::Egress) {
                entries.push((at, registered, Work::Nat(chains)));
            }
        }
        entries
            .sort_by_key(|(priority, registered, _)| (*priority, std::cmp::Reverse(*registered)));
        self.note_ties(
            ruleset,
            pf,
            hook,
            entries.iter().filter_map(|(p, _, work)| match work {
                Work::Chain(id) => Some((*p, *id)),
                _ => None,
            }),
        );
        entries
            .into_iter()
            .map(|(priority, _, work)| Slot { priority, work })
            .collect()
    }

    /// Whether the order of a hook's chains is not certain.
    pub fn has_ties(&self, pf: Pf, hook: Hook) -> bool {
        self.ties.iter().any(|tie| tie.pf == pf && tie.hook == hook)
    }

    fn note_ties(
        &mut self,
        ruleset: &Ruleset,
        pf: Pf,
        hook: Hook,
        order: impl Iterator<Item = (i32, ChainId)>,
    ) {
        let order: Vec<_> = order.collect();
        for pair in order.windows(2) {
            let ((p1, first), (p2, second)) = (pair[0], pair[1]);
            if p1 == p2 && ruleset.chain(first).table != ruleset.chain(second).table {
                self.ties.push(Tie {
                    pf,
                    hook,
                    first,
                    second,
                });
            }
        }
    }
}

/// Later in the listing, later registered: the best that a dump can say.
fn registration(chain: ChainId) -> u64 {
    u64::from(chain.0) * 2 + 1
}

/// Whether chains of a table at a hook see packets of a protocol family.
pub fn belongs(family: Family, hook: Hook, pf: Pf) -> bool {
    match family {
        Family::Ip => pf == Pf::Ip,
        Family::Ip6 => pf == Pf::Ip6,
        Family::Inet if matches!(hook, Hook::Ingress | Hook::Egress) => pf == Pf::Netdev,
        Family::Inet => matches!(pf, Pf::Ip | Pf::Ip6),
        Family::Arp => pf == Pf::Arp,
        Family::Bridge => pf == Pf::Bridge,
        Family::Netdev => pf == Pf::Netdev,
    }
}

/// When the nat dispatcher of a family registers: just before the first nat chain.
fn nat_since(ruleset: &Ruleset, pf: Pf) -> Option<u64> {
    ruleset
        .chains()
        .find(|(_, chain)| {
            let table = ruleset.table(chain.table);
            table.dormancy != Dormancy::Dormant
                && chain.base.as_ref().is_some_and(|base| {
                    base.kind == ChainType::Nat && belongs(table.family, base.hook, pf)
                })
        })
        .map(|(id, _)| registration(id) - 1)
}

/// When conntrack registers for a family: after the chains of the first table with a rule that needs it
/// (`nf_ct_netns_get`). A nat chain alone does not need it, and without conntrack no nat chain is run.
fn conntrack_since(ruleset: &Ruleset, pf: Pf) -> Option<u64> {
    ruleset
        .rules
        .iter()
        .filter(|rule| {
            let family = ruleset.table_of(rule.chain).family;
            belongs(family, Hook::Forward, pf)
                && rule
                    .statements
                    .iter()
                    .any(|s| needs_conntrack(ruleset, &s.kind, pf))
        })
        .filter_map(|rule| ruleset.table_of(rule.chain).chains.last())
        .map(|&chain| registration(chain) + 1)
        .min()
}

fn needs_conntrack(ruleset: &Ruleset, stmt: &Stmt, pf: Pf) -> bool {
    match stmt {
        Stmt::Match(test) => {
            mentions_ct(&test.left)
                || matches!(&test.right, Operand::Expr(expr) if mentions_ct(expr))
        }
        Stmt::Vmap { key, .. } | Stmt::ObjectMap { key, .. } | Stmt::SetUpdate { key, .. } => {
            mentions_ct(key)
        }
        Stmt::Mangle { target, value, .. } => {
            matches!(target, Field::Ct { .. }) || mentions_ct(value)
        }
        // nft_nat_init: `dnat ip to` in an inet table asks for the conntrack of IPv4 alone
        Stmt::Nat(nat) => !matches!(
            (nat.family, pf),
            (Some(Family::Ip), Pf::Ip6) | (Some(Family::Ip6), Pf::Ip)
        ),
        Stmt::Synproxy | Stmt::FlowOffload { .. } => true,
        Stmt::Gate(gate) => gate.kind == GateKind::CtCount,
        Stmt::NoEffect(effect) => matches!(
            effect,
            crate::ruleset::Effect::CtHelper
                | crate::ruleset::Effect::CtTimeout
                | crate::ruleset::Effect::CtExpectation
        ),
        Stmt::Unknown(id) => {
            let what = &ruleset.unknown(*id).what;
            [
                "conntrack",
                "state",
                "connmark",
                "connlimit",
                "connbytes",
                "NAT",
                "MASQUERADE",
                "REDIRECT",
                "NETMAP",
                "CONNMARK",
                " CT",
            ]
            .iter()
            .any(|name| what.ends_with(name))
        }
        Stmt::Verdict(_)
        | Stmt::Reject(_)
        | Stmt::Notrack
        | Stmt::Queue { .. }
        | Stmt::Tproxy { .. }
        | Stmt::Dup
        | Stmt::Fwd { .. } => false,
    }
}

fn mentions_ct(expr: &Expr) -> bool {
    match expr {
        Expr::Field(Field::Ct { .. }) => true,
        Expr::Field(_)
        | Expr::Const(_)
        | Expr::Numgen { .. }
        | Expr::Hash { .. }
        | Expr::Unknown(_) => false,
        Expr::Bitwise { of, .. } | Expr::Shift { of, .. } => mentions_ct(of),
        Expr::Binary { left, right, .. } => mentions_ct(left) || mentions_ct(right),
        Expr::Lookup { key, .. } => mentions_ct(key),
        Expr::Concat(parts) => parts.iter().any(mentions_ct),
    }
}
