//! Which zone an interface is in, for firewalls that choose the chains of a packet by the interface that it enters by.

use std::collections::BTreeSet;

use crate::host::Link;
use crate::owner::Owners;
use crate::ruleset::{Expr, Field, Hook, MetaKey, Rule, Ruleset, Stmt, Target, Verdict};
use crate::sets::Set;
use crate::symbolic::{Input, Space, Ways};

/// The zone of each interface: the only one to whose chain for incoming packets its packets are sent for the interface that
/// they enter by. Zones that are chosen by the source of a packet do not count.
pub(super) fn zones(
    space: &mut Space,
    ruleset: &Ruleset,
    links: &[Link],
    ways: &Ways,
) -> Vec<Option<String>> {
    let owners = Owners::of(ruleset);
    let mut sent: Vec<(String, Set)> = Vec::new();
    for ((hook, rule), visit) in &ways.visits {
        let (Hook::Input, Some(packets)) = (hook, visit.matched) else {
            continue;
        };
        let rule = ruleset.rule(*rule);
        let zone = targets(rule)
            .filter_map(|target| owners.chain(target))
            .find_map(|owner| {
                let (zone, what) = owner.role.strip_prefix("zone ")?.split_once(", ")?;
                (what == "incoming packets").then(|| zone.to_string())
            });
        if let Some(zone) = zone.filter(|_| asks_for_interfaces(rule)) {
            sent.push((zone, packets));
        }
    }
    (0u128..)
        .zip(links)
        .map(|(at, _)| {
            let iif = space.packets(Input::Iif, &[(at, at)]);
            let own: BTreeSet<&String> = sent
                .iter()
                .filter(|(_, packets)| !space.sets.and(*packets, iif).is_empty())
                .map(|(zone, _)| zone)
                .collect();
            match own.into_iter().collect::<Vec<_>>().as_slice() {
                [zone] => Some((*zone).clone()),
                _ => None,
            }
        })
        .collect()
}

/// Whether a rule chooses its packets by their interface alone, or takes all.
fn asks_for_interfaces(rule: &Rule) -> bool {
    rule.statements
        .iter()
        .all(|statement| match &statement.kind {
            Stmt::Match(one) => matches!(
                one.left,
                Expr::Field(Field::Meta(
                    MetaKey::Iif | MetaKey::Iifname | MetaKey::Nfproto
                ))
            ),
            Stmt::Verdict(_) | Stmt::NoEffect(_) => true,
            _ => false,
        })
}

/// The chains that a rule sends packets to.
fn targets(rule: &Rule) -> impl Iterator<Item = crate::ruleset::ChainId> {
    let statements = rule.statements.iter();
    statements.filter_map(|statement| match &statement.kind {
        Stmt::Verdict(Verdict::Jump(Target::Chain(id)) | Verdict::Goto(Target::Chain(id))) => {
            Some(*id)
        }
        _ => None,
    })
}
