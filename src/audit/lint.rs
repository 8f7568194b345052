//! Parts of a ruleset that nothing uses.

use std::collections::BTreeSet;

use crate::hooks::priority;
use crate::ruleset::{ChainId, ChainType, Expr, Hook, NatRange, Operand, SetId, Stmt, Target};

use super::rules::led_to;
use super::{Finding, Input, about};

pub(super) fn all(input: &Input<'_>) -> Vec<Finding> {
    let mut found = chains(input);
    found.extend(sets(input));
    found.extend(nat_priorities(input));
    found.extend(legacy(input));
    found.extend(super::docker::leftovers(input));
    found
}

/// Chains that nothing leads to, and jumps to empty ones. Chains that a program made are its own business.
fn chains(input: &Input<'_>) -> Vec<Finding> {
    let ruleset = input.ruleset();
    let mut used = BTreeSet::new();
    for (id, chain) in ruleset.chains() {
        if chain.base.is_some() {
            used.extend(led_to(input, id));
        }
    }
    let mut found = Vec::new();
    for (id, _) in ruleset.chains() {
        if used.contains(&id) || input.owners.chain(id).is_some() {
            continue;
        }
        let words = input.chain_words(id);
        let unused = Finding::new(
            about::UNUSED_CHAIN,
            format!("no base chain leads to {words}"),
            "its rules are never asked",
            "jump to the chain, or delete it",
        );
        found.push(Finding {
            places: vec![words],
            ..unused
        });
    }
    for rule in ruleset.rule_ids() {
        let mut empty: Vec<ChainId> = Vec::new();
        for (target, _) in ruleset.transfers(rule) {
            if let Target::Chain(target) = target
                && ruleset.chain(target).rules.is_empty()
                && input.owners.chain(target).is_none()
                && !empty.contains(&target)
            {
                empty.push(target);
            }
        }
        for chain in empty {
            let words = input.chain_words(chain);
            let jump = Finding::new(
                about::JUMP_TO_EMPTY_CHAIN,
                format!("{words} has no rules"),
                "packets come back from it as they went",
                "fill the chain, or delete the jump",
            );
            found.push(Finding {
                rules: vec![input.cite(rule, "")],
                places: vec![words],
                ..jump
            });
        }
    }
    found
}

/// The sets that an expression asks for.
fn asked(expr: &Expr, found: &mut BTreeSet<SetId>) {
    match expr {
        Expr::Const(_)
        | Expr::Field(_)
        | Expr::Numgen { .. }
        | Expr::Hash { .. }
        | Expr::Unknown(_) => {}
        Expr::Bitwise { of, .. } | Expr::Shift { of, .. } => asked(of, found),
        Expr::Binary { left, right, .. } => {
            asked(left, found);
            asked(right, found);
        }
        Expr::Lookup { key, map } => {
            found.insert(*map);
            asked(key, found);
        }
        Expr::Concat(parts) => parts.iter().for_each(|part| asked(part, found)),
    }
}

/// The sets that a statement asks for, and those that it changes.
fn used_by(statement: &Stmt, read: &mut BTreeSet<SetId>, written: &mut BTreeSet<SetId>) {
    match statement {
        Stmt::Match(test) => {
            asked(&test.left, read);
            match &test.right {
                Operand::Set(set) => {
                    read.insert(*set);
                }
                Operand::Expr(expr) => asked(expr, read),
                Operand::Value(_) | Operand::Range(..) => {}
            }
        }
        Stmt::Vmap { key, map } | Stmt::ObjectMap { key, map } => {
            read.insert(*map);
            asked(key, read);
        }
        Stmt::Mangle { value, .. } => asked(value, read),
        Stmt::Nat(nat) => {
            for range in [&nat.addr, &nat.port] {
                match range {
                    NatRange::One(one) => asked(one, read),
                    NatRange::Range(lo, hi) => {
                        asked(lo, read);
                        asked(hi, read);
                    }
                    NatRange::None | NatRange::InAddress => {}
                }
            }
        }
        Stmt::Tproxy { addr, port, .. } => {
            for expr in [addr, port].into_iter().flatten() {
                asked(expr, read);
            }
        }
        Stmt::SetUpdate { set, key, .. } => {
            written.insert(*set);
            asked(key, read);
        }
        Stmt::Verdict(_)
        | Stmt::Reject(_)
        | Stmt::Gate(_)
        | Stmt::Notrack
        | Stmt::Queue { .. }
        | Stmt::Dup
        | Stmt::Fwd { .. }
        | Stmt::FlowOffload { .. }
        | Stmt::Synproxy
        | Stmt::NoEffect(_)
        | Stmt::Unknown(_) => {}
    }
}

fn sets(input: &Input<'_>) -> Vec<Finding> {
    let ruleset = input.ruleset();
    // what has no meaning here may ask for any set
    let foreign = |tables: &crate::ruleset::Untold| tables.family.is_none();
    if !ruleset.unknowns.is_empty() || ruleset.untold.iter().any(foreign) {
        return Vec::new();
    }
    let (mut read, mut written) = (BTreeSet::new(), BTreeSet::new());
    // `dup` and `fwd` may look their target up
    let mut blind = false;
    for rule in &ruleset.rules {
        for statement in &rule.statements {
            blind |= matches!(
                statement.kind,
                Stmt::Dup | Stmt::Fwd { device: None } | Stmt::NoEffect(_)
            ) && !matches!(
                statement.kind,
                Stmt::NoEffect(
                    crate::ruleset::Effect::Counter
                        | crate::ruleset::Effect::Log
                        | crate::ruleset::Effect::Comment
                )
            );
            used_by(&statement.kind, &mut read, &mut written);
        }
    }
    let mut found = Vec::new();
    for (at, set) in ruleset.sets.iter().enumerate() {
        let id = SetId(at as u32);
        let Some(name) = set.name.as_ref().filter(|_| !set.shares_name) else {
            continue;
        };
        let table = ruleset.table(set.table);
        let place = format!("{} {} @{name}", table.family, table.name);
        let unused = !read.contains(&id) && !written.contains(&id) && !blind;
        let mut chains = table.chains.iter();
        let generated = chains.any(|chain| input.owners.chain(*chain).is_some());
        let empty = read.contains(&id)
            && !generated
            && !written.contains(&id)
            && set.is_empty()
            && !set.incomplete
            && !set.volatile;
        let one = match (unused, empty) {
            (true, _) => Finding::new(
                about::UNUSED_SET,
                format!("no rule asks for {place}"),
                "its elements have no effect",
                "use the set, or delete it",
            ),
            (false, true) => Finding::new(
                about::EMPTY_SET,
                format!("{place} has no elements, and no rule adds any"),
                "a look-up in it never finds anything, as long as no program fills it",
                "fill the set, or delete the rules that ask for it",
            ),
            (false, false) => continue,
        };
        found.push(Finding {
            places: vec![place],
            ..one
        });
    }
    found
}

/// nat chains that stand, by their priority, behind a filter chain which in truth runs after them.
fn nat_priorities(input: &Input<'_>) -> Vec<Finding> {
    let ruleset = input.ruleset();
    let mut found = Vec::new();
    for (id, chain) in ruleset.chains() {
        let Some(base) = chain
            .base
            .as_ref()
            .filter(|base| base.kind == ChainType::Nat)
        else {
            continue;
        };
        let runs_at = match base.hook {
            Hook::Prerouting | Hook::Output => priority::NAT_DST,
            Hook::Input | Hook::Postrouting => priority::NAT_SRC,
            Hook::Ingress | Hook::Forward | Hook::Egress => continue,
        };
        let (lo, hi) = (runs_at.min(base.priority), runs_at.max(base.priority));
        let family = ruleset.table(chain.table).family;
        let between = ruleset.chains().find(|(_, other)| {
            let other_family = ruleset.table(other.table).family;
            let shares = family == other_family
                || matches!(family, crate::ruleset::Family::Inet)
                || matches!(other_family, crate::ruleset::Family::Inet);
            other.base.as_ref().is_some_and(|other| {
                shares
                    && other.kind != ChainType::Nat
                    && other.hook == base.hook
                    && lo < other.priority
                    && other.priority < hi
            }) && !other.rules.is_empty()
        });
        let Some((other, _)) = between else { continue };
        let (words, other) = (input.chain_words(id), input.chain_words(other));
        let (said, is) = match base.priority > runs_at {
            true => ("behind", "before"),
            false => ("before", "behind"),
        };
        let late = Finding::new(
            about::LATE_NAT_CHAIN,
            format!(
                "{words} has priority {} and stands {said} {other}, but runs {is} it: all nat chains of {} run at {runs_at}",
                base.priority, base.hook
            ),
            "the other chain sees packets otherwise translated than the priorities say",
            "give the nat chain the customary priority (dstnat, srcnat), and write the other chain for what it sees",
        );
        found.push(Finding {
            places: vec![words, other],
            ..late
        });
    }
    found
}

fn legacy(input: &Input<'_>) -> Vec<Finding> {
    let tables = input.ruleset().tables.iter();
    let names: Vec<String> = tables
        .filter(|table| table.name.ends_with(" (legacy)"))
        .map(|table| format!("{} {}", table.family, table.name))
        .collect();
    if names.is_empty() {
        return Vec::new();
    }
    let one = Finding::new(
        about::LEGACY_TABLES,
        format!(
            "tables of iptables-legacy are in force: {}",
            names.join(", ")
        ),
        "packets pass both; nft and iptables-nft show only one of the two",
        "move the rules to one of them (`iptables-legacy-save | iptables-nft-restore`), then unload the iptable_* modules",
    );
    vec![Finding {
        places: names,
        ..one
    }]
}
