//! Base chains of several tables at one hook: what one says and a later one takes back.

use std::collections::BTreeMap;

use crate::ruleset::{ChainType, Hook, RuleId};
use crate::sets::Set;
use crate::symbolic::{By, Decided, From};
use crate::walk::step::Taken;

use super::conversations::customary;
use super::{Finding, Input, One, Shows, View, about};

pub(super) const ALL: &[(&str, One)] = &[("accept-dropped-later", accepted_in_vain)];

/// What a rule accepts at a hook, and who refuses it there.
#[derive(Default)]
struct Vain {
    accepted: Vec<(usize, From, Set)>,
    by: Vec<By>,
    /// Something of it gets past all chains of the hook.
    passes: bool,
}

/// The verdicts of all packets that are followed, answers too.
fn verdicts(view: &View) -> [(From, &Vec<Decided>); 4] {
    [
        (From::Outside, &view.outside.decided),
        (From::Here, &view.here.decided),
        (From::Outside, &view.back.decided),
        (From::Here, &view.here_back.decided),
    ]
}

/// Rules that accept what a later base chain of another table refuses, all of it.
fn accepted_in_vain(input: &mut Input<'_>) -> Vec<Finding> {
    let mut rules: BTreeMap<(Hook, RuleId), Vain> = BTreeMap::new();
    for at in 0..input.views.len() {
        let customary = customary(&mut input.views[at]);
        for way in 0..4 {
            let (from, decided) = verdicts(&input.views[at])[way];
            let decided = decided.clone();
            let mut refused = Vec::new();
            for one in &decided {
                if matches!(one.taken, Taken::Drop | Taken::Reject) {
                    let view = &mut input.views[at];
                    let packets = view.usual(one.packets);
                    let packets = view.space.sets.and(packets, customary);
                    let table = input.ruleset().chain(one.chain).table;
                    refused.push((one.hook, table, one.by, packets));
                }
            }
            for one in &decided {
                let (By::Rule(rule), Taken::Accept) = (one.by, one.taken) else {
                    continue;
                };
                let base = input.ruleset().chain(one.chain).base.as_ref();
                let vain = rules.entry((one.hook, rule)).or_default();
                if vain.passes || base.is_none_or(|base| base.kind == ChainType::Nat) {
                    continue;
                }
                let table = input.ruleset().chain(one.chain).table;
                let view = &mut input.views[at];
                let mut left = view.usual(one.packets);
                left = view.space.sets.and(left, customary);
                if left.is_empty() {
                    continue;
                }
                // an answer has no flow of its own
                if way < 2 {
                    vain.accepted.push((at, from, left));
                }
                // what an earlier chain refuses never comes to this rule
                for (hook, other, by, packets) in &refused {
                    if *hook != one.hook
                        || *other == table
                        || view.space.sets.and(left, *packets).is_empty()
                    {
                        continue;
                    }
                    left = view.space.sets.minus(left, *packets);
                    if !vain.by.contains(by) {
                        vain.by.push(*by);
                    }
                }
                vain.passes = !left.is_empty();
            }
        }
    }
    let mut found = Vec::new();
    for ((_, rule), vain) in rules {
        if vain.passes || !is_meant(input, rule, &vain.by) {
            continue;
        }
        let mut accepted = vain.accepted.iter();
        let Some(witness) = accepted
            .find_map(|(at, from, set)| input.witness(*at, *from, *set, Shows::Refused(rule)))
        else {
            continue;
        };
        let mut rules = vec![input.cite(rule, "")];
        let mut places = Vec::new();
        for by in vain.by {
            match by {
                By::Rule(id) => rules.push(input.cite(id, "drops it")),
                By::Policy(chain) => {
                    places.push(format!("policy of {}", input.chain_words(chain)));
                }
                By::Stack => {}
            }
        }
        let by: Vec<String> = rules[1..]
            .iter()
            .map(|cited| cited.rule.to_string())
            .chain(places.iter().cloned())
            .collect();
        let what = format!(
            "all that this rule accepts is dropped behind it, by {}",
            by.join(", ")
        );
        found.push(Finding {
            rules,
            places,
            witness: Some(witness),
            ..Finding::new(
                about::ACCEPT_DROPPED_LATER,
                what,
                "accept ends the base chain that it is said in; later base chains of the hook, of whatever table, are asked as well",
                "accept it in the later chain, too, or keep such packets from it",
            )
        });
    }
    found
}

/// Programs that an administrator tells what to let through. Others open what they need themselves, and an
/// administrator who limits them means it.
const MANAGERS: [&str; 5] = [
    "firewalld",
    "ufw",
    "OpenWrt",
    "Proxmox VE",
    "NetworkManager",
];

/// Whether the one who accepts may not have known of those who drop: chains of one program were made for each other.
fn is_meant(input: &Input<'_>, rule: RuleId, by: &[By]) -> bool {
    let accepts = input.owners.rule(rule).map(|owner| owner.software);
    let drops = |by: &By| match by {
        By::Rule(id) => input.owners.rule(*id),
        By::Policy(chain) => input.owners.chain(*chain),
        By::Stack => None,
    };
    let apart = |by: &By| match (accepts, drops(by)) {
        (Some(one), Some(other)) => one != other.software,
        (Some(one), None) => MANAGERS.contains(&one),
        (None, _) => true,
    };
    !by.is_empty() && by.iter().all(apart)
}
