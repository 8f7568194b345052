//! Rules that never take effect: exact for every packet, host and conversation (`symbolic::free`).

use std::collections::{BTreeMap, BTreeSet};

use crate::owner::Place;
use crate::ruleset::{
    ChainId, ChainType, Dormancy, Expr, Family, Field, Hook, Operand, RuleId, Stmt, Target, Verdict,
};
use crate::sets::{GaveUp, Mark, Set};
use crate::symbolic::free::Remains;
use crate::symbolic::{From, Watch};

use super::{Finding, Input, Run, Severity, Shows, about};

/// A finding, and pairs of rules of which the first may take the packet of its witness although the other would match it.
pub(super) struct Found {
    pub finding: Finding,
    watch: Vec<(RuleId, RuleId)>,
}

/// How many blockers are looked through for a smallest set of them.
const BLOCKERS: usize = 64;

/// Every rule that never matches, with what keeps packets from it.
pub(super) fn rules(input: &mut Input<'_>, left_out: &mut Vec<String>) -> (Vec<Found>, Watch) {
    let mut found = Vec::new();
    let mut watch = Watch::new();
    let elsewhere = elsewhere(input);
    let mut runs_of: BTreeMap<RuleId, Vec<usize>> = BTreeMap::new();
    for (at, run) in input.runs.iter().enumerate() {
        for rule in run.free.arrivals.keys() {
            runs_of.entry(*rule).or_default().push(at);
        }
    }
    for (rule, runs) in runs_of {
        let chain = input.ruleset().rule(rule).chain;
        if elsewhere.contains(&chain) {
            continue;
        }
        let is_open = runs.iter().any(|at| input.runs[*at].free.is_open);
        // what a program writes for itself is its own business; where it leaves a chain to the administrator it is not
        let table = input.ruleset().table_of(chain);
        let name = &input.ruleset().chain(chain).name;
        let generated =
            input.owners.chain(chain).is_some() && Place::by_name(&table.name, name).is_none();
        if is_open || generated {
            continue;
        }
        let marks: Vec<Mark> = runs
            .iter()
            .map(|at| input.runs[*at].space.sets.mark())
            .collect();
        match blockers(input, rule, &runs) {
            Ok(Some(blocked)) => {
                let one = never(input, rule, blocked);
                for &(blocker, rule) in &one.watch {
                    watch.entry(blocker).or_default().push(rule);
                }
                found.push(one);
            }
            Ok(None) => {}
            Err(error) => left_out.push(format!(
                "whether {} ever matches: {error}",
                input.cite(rule, "").rule
            )),
        }
        for (at, mark) in runs.into_iter().zip(marks) {
            input.runs[at].space.sets.release(mark);
        }
    }
    (found, watch)
}

/// Chains that some base chain leads to which is not looked at here.
fn elsewhere(input: &Input<'_>) -> BTreeSet<ChainId> {
    let ruleset = input.ruleset();
    let mut found = BTreeSet::new();
    for (id, chain) in ruleset.chains() {
        let Some(base) = &chain.base else { continue };
        let table = ruleset.table(chain.table);
        let ip = matches!(table.family, Family::Ip | Family::Ip6 | Family::Inet);
        let skipped = !ip || matches!(base.hook, Hook::Ingress | Hook::Egress);
        let active = table.dormancy != Dormancy::Dormant;
        let examined = input.runs.iter().any(|run| {
            let rules = &chain.rules;
            rules.is_empty() || rules.iter().any(|rule| run.free.alone.contains_key(rule))
        });
        if active && (skipped || !examined) {
            found.extend(led_to(input, id));
        }
    }
    found
}

/// Whether nothing but base chains of type nat leads to a chain.
fn only_nat(input: &Input<'_>, chain: ChainId) -> bool {
    let bases = input.ruleset().chains();
    let mut kinds = bases.filter_map(|(id, one)| {
        let kind = &one.base.as_ref()?.kind;
        led_to(input, id).contains(&chain).then_some(kind)
    });
    kinds.all(|kind| *kind == ChainType::Nat)
}

/// A chain and all that it leads to.
pub(super) fn led_to(input: &Input<'_>, from: ChainId) -> BTreeSet<ChainId> {
    let ruleset = input.ruleset();
    let mut found = BTreeSet::from([from]);
    let mut next = vec![from];
    while let Some(chain) = next.pop() {
        for rule in &ruleset.chain(chain).rules {
            for (target, _) in ruleset.transfers(*rule) {
                if let Target::Chain(target) = target
                    && found.insert(target)
                {
                    next.push(target);
                }
            }
        }
    }
    found
}

/// What a rule does with packets that it matches; equal for rules that do the same.
fn action(input: &Input<'_>, rule: RuleId) -> Option<String> {
    let statements = &input.ruleset().rule(rule).statements;
    let mut does = Vec::new();
    for statement in statements {
        match &statement.kind {
            Stmt::Match(_) | Stmt::NoEffect(_) | Stmt::Gate(_) => {}
            Stmt::Verdict(verdict) => does.push(format!("{verdict:?}")),
            Stmt::Nat(nat) => does.push(format!("{nat:?}")),
            Stmt::Reject(reject) => does.push(format!("{reject:?}")),
            Stmt::Vmap { .. }
            | Stmt::ObjectMap { .. }
            | Stmt::Mangle { .. }
            | Stmt::Notrack
            | Stmt::Queue { .. }
            | Stmt::Tproxy { .. }
            | Stmt::Dup
            | Stmt::Fwd { .. }
            | Stmt::FlowOffload { .. }
            | Stmt::Synproxy
            | Stmt::SetUpdate { .. }
            | Stmt::Unknown(_) => return None,
        }
    }
    (!does.is_empty()).then(|| does.join(" "))
}

/// Whether a rule has nothing that a packet could fail.
fn takes_all(input: &Input<'_>, rule: RuleId) -> bool {
    let statements = &input.ruleset().rule(rule).statements;
    statements.iter().all(|statement| {
        matches!(
            statement.kind,
            Stmt::Verdict(Verdict::Accept | Verdict::Drop | Verdict::Return)
                | Stmt::Reject(_)
                | Stmt::NoEffect(_)
        )
    })
}

/// Why a rule never matches.
struct Blocked {
    /// No packet fits all its matches.
    contradictory: bool,
    /// Rules that wrote what it asks for, where packets would fit otherwise.
    writers: Vec<RuleId>,
    /// What it is for comes to its chain, and earlier rules take all of it.
    covered: bool,
    /// As few rules as are enough to take what it is for.
    least: Vec<RuleId>,
}

/// What keeps packets from a rule that these runs come to; `None` when one gets there.
fn blockers(
    input: &mut Input<'_>,
    rule: RuleId,
    runs: &[usize],
) -> Result<Option<Blocked>, GaveUp> {
    let mut blocked = Blocked {
        contradictory: true,
        writers: Vec::new(),
        covered: true,
        least: Vec::new(),
    };
    let statements = &input.loaded.ruleset.rule(rule).statements;
    for &at in runs {
        let Run { space, free } = &mut input.runs[at];
        let mut wrote_it: Vec<(RuleId, &Field)> = Vec::new();
        for arrival in free.arrivals.get(&rule).into_iter().flatten() {
            let alone = space.sets.and(arrival.fits, space.valid());
            if alone.is_empty() {
                let otherwise = free.alone.get(&rule).copied().unwrap_or_default();
                let otherwise = space.sets.and(otherwise, space.valid());
                for wrote in &free.wrote[..arrival.wrote] {
                    if !space.sets.and(wrote.packets, otherwise).is_empty() {
                        wrote_it.push((wrote.rule, &wrote.target));
                    }
                }
                continue;
            }
            blocked.contradictory = false;
            let entered = space.sets.and(alone, arrival.entered);
            // what does not even come to the chain may have been taken on its way there
            let is_sent = !entered.is_empty();
            let wanted = if is_sent { entered } else { alone };
            let took = match (free.remains(space, arrival, wanted)?, is_sent) {
                (Remains::Some(_), true) => return Ok(None),
                (Remains::Some(_), false) => {
                    blocked.covered = false;
                    continue;
                }
                (Remains::Nothing(took), _) => took,
            };
            let mut first: Vec<(RuleId, Set)> = Vec::new();
            for took in took.into_iter().map(|at| &free.took[at]) {
                let whole = space.sets.and(wanted, took.packets);
                match first.iter_mut().find(|(known, _)| *known == took.rule) {
                    Some((_, set)) => *set = space.sets.or(*set, whole),
                    None => first.push((took.rule, whole)),
                }
            }
            let mut kept = first.clone();
            if kept.len() <= BLOCKERS {
                for (rule, _) in first.iter().rev() {
                    let others: Vec<Set> = kept
                        .iter()
                        .filter(|(other, _)| other != rule)
                        .map(|(_, set)| *set)
                        .collect();
                    let others = space.sets.union(&others);
                    if space.sets.is_within(wanted, others) {
                        kept.retain(|(other, _)| other != rule);
                    }
                }
            }
            blocked.least.extend(kept.iter().map(|(rule, _)| *rule));
            space.check()?;
        }
        let asked = wrote_it.into_iter().filter(|(_, target)| {
            let mut statements = statements.iter();
            statements.any(|statement| asks_for(&statement.kind, target))
        });
        blocked.writers.extend(asked.map(|(rule, _)| rule));
    }
    for rules in [&mut blocked.least, &mut blocked.writers] {
        rules.sort_unstable();
        rules.dedup();
    }
    Ok(Some(blocked))
}

/// Whether a statement asks for a field.
fn asks_for(statement: &Stmt, field: &Field) -> bool {
    match statement {
        Stmt::Match(test) => {
            let right = match &test.right {
                Operand::Expr(expr) => reads(expr, field),
                Operand::Value(_) | Operand::Range(..) | Operand::Set(_) => false,
            };
            right || reads(&test.left, field)
        }
        Stmt::Vmap { key, .. } | Stmt::ObjectMap { key, .. } => reads(key, field),
        Stmt::Verdict(_)
        | Stmt::Mangle { .. }
        | Stmt::Nat(_)
        | Stmt::Reject(_)
        | Stmt::Gate(_)
        | Stmt::Notrack
        | Stmt::Queue { .. }
        | Stmt::Tproxy { .. }
        | Stmt::Dup
        | Stmt::Fwd { .. }
        | Stmt::FlowOffload { .. }
        | Stmt::Synproxy
        | Stmt::SetUpdate { .. }
        | Stmt::NoEffect(_)
        | Stmt::Unknown(_) => false,
    }
}

fn reads(expr: &Expr, field: &Field) -> bool {
    match expr {
        Expr::Field(known) => known == field,
        Expr::Const(_) | Expr::Numgen { .. } | Expr::Hash { .. } | Expr::Unknown(_) => false,
        Expr::Bitwise { of, .. } | Expr::Shift { of, .. } => reads(of, field),
        Expr::Binary { left, right, .. } => reads(left, field) || reads(right, field),
        Expr::Lookup { key, .. } => reads(key, field),
        Expr::Concat(parts) => parts.iter().any(|part| reads(part, field)),
    }
}

/// Tells why a rule never matches.
fn never(input: &Input<'_>, rule: RuleId, blocked: Blocked) -> Found {
    let chain = input.ruleset().rule(rule).chain;
    let Blocked {
        contradictory,
        writers,
        covered,
        least,
    } = blocked;
    let own = action(input, rule);
    let differs = |other: &RuleId| own.is_none() || action(input, *other) != own;
    // who takes a part of it first, and does something else, changes nothing about rules that are enough to take all
    let same = !least.is_empty() && !least.iter().any(differs);
    let mut severity = Severity::Warning;
    let words = input.chain_words(chain);
    let isolation = least.iter().any(|blocker| {
        let chain = &input
            .ruleset()
            .chain(input.ruleset().rule(*blocker).chain)
            .name;
        chain.starts_with("DOCKER-ISOLATION")
    });
    let (about, what, why, remedy) = if contradictory && !writers.is_empty() {
        (
            about::CONTRADICTORY_RULE,
            "no packet can fit this rule: earlier rules write something else than it asks for"
                .to_string(),
            "what the rule is for is not done, and nothing says so",
            "move the rule in front of those that write, correct the value, or delete the rule",
        )
    } else if contradictory && only_nat(input, chain) {
        (
            about::CONTRADICTORY_RULE,
            "no packet that comes to a nat chain can fit this rule".to_string(),
            "nat chains see the first packet of a conversation alone, never established, invalid or untracked ones; conntrack translates all others",
            "leave the state out of the rule: what it does to the first packet holds for all",
        )
    } else if contradictory {
        (
            about::CONTRADICTORY_RULE,
            "no packet can fit all matches of this rule".to_string(),
            "what the rule is for is not done, and nothing says so",
            "correct the matches, or delete the rule",
        )
    } else if !covered {
        (
            about::UNREACHABLE_RULE,
            format!("nothing that this rule is for is sent to {words}"),
            "the rules that lead to the chain ask for other packets than the rule does",
            "move the rule to a chain that gets the packets, or delete it",
        )
    } else if let [one] = least.as_slice()
        && input.ruleset().rule(*one).chain == chain
        && takes_all(input, *one)
    {
        (
            about::RULE_AFTER_VERDICT,
            "an earlier rule of the chain takes every packet".to_string(),
            "the rule is never asked",
            "move the rule in front of the other one, or delete it",
        )
    } else if same {
        severity = Severity::Note;
        (
            about::REDUNDANT_RULE,
            "earlier rules do the same for every packet that this rule is for".to_string(),
            "the rule can be deleted and nothing changes",
            "delete the rule",
        )
    } else if isolation {
        (
            about::BEHIND_ISOLATION,
            "Docker's isolation drops every packet that this rule is for before it gets here"
                .to_string(),
            "rules appended to FORWARD stand behind Docker's; what they accept is dropped already",
            "put the rule into DOCKER-USER, or insert it (-I) in front of the jump to the isolation chain",
        )
    } else {
        (
            about::SHADOWED_RULE,
            "earlier rules take every packet that this rule is for, and do something else with it"
                .to_string(),
            "the rule has no effect: what it says is not what happens",
            "move the rule in front of the others, or delete it",
        )
    };
    let mut blockers = if contradictory || !covered {
        Vec::new()
    } else {
        least
    };
    blockers.sort_by_key(|blocker| (!differs(blocker), *blocker));
    let mut cited = vec![input.cite(rule, "")];
    for blocker in &blockers {
        cited.push(input.cite(*blocker, "takes its packets"));
    }
    let written = writers.iter().filter(|_| contradictory);
    cited.extend(written.map(|writer| input.cite(*writer, "writes what it asks for")));
    let watch = blockers.iter().map(|blocker| (*blocker, rule)).collect();
    Found {
        finding: Finding {
            severity,
            rules: cited,
            places: vec![words],
            ..Finding::new(about, what, why, remedy)
        },
        watch,
    }
}

/// Adds to each finding a packet that the rule would match and who takes it.
pub(super) fn witnesses(input: &mut Input<'_>, found: &mut [Found]) {
    for one in found {
        let marks: Vec<Mark> = input
            .views
            .iter()
            .map(|view| view.space.sets.mark())
            .collect();
        'pairs: for pair in &one.watch {
            for at in 0..input.views.len() {
                let view = &mut input.views[at];
                let Some(set) = view.outside.watched.get(pair).copied() else {
                    continue;
                };
                let set = view.usual(set);
                let customary = view.space.sets.and(set, view.customary);
                for set in [customary, set] {
                    let witness = input.witness(at, From::Outside, set, Shows::Rule(pair.0));
                    if witness.is_some() {
                        one.finding.witness = witness;
                        break 'pairs;
                    }
                }
            }
        }
        for (view, mark) in input.views.iter_mut().zip(marks) {
            view.space.sets.release(mark);
        }
    }
}
