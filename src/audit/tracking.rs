//! Answers that conntrack does not take for answers, because rules give the two directions of a conversation different zones
//! or take one of them out of connection tracking.

use std::collections::BTreeMap;

use crate::conntrack::Manip;
use crate::explain::explain;
use crate::load::Loaded;
use crate::ruleset::{CtKey, Field, RuleId, Stmt};
use crate::sets::Set;
use crate::symbolic::{By, From};
use crate::walk::step::{Path, RuleOutcome, StepKind, Walked};

use super::order::Refusers;
use super::{About, Finding, Input, Question, Shows, Witness, about, answers};

/// Answers of one side that a rule or policy drops, and how their requests go.
pub(super) type Lost = BTreeMap<By, Vec<(usize, From, Set)>>;

/// How many causes are looked for among the answers that one rule or policy drops.
const CAUSES: usize = 8;

/// Rules that keep an answer from being taken for one.
struct Cause {
    about: &'static About,
    rules: Vec<RuleId>,
}

/// What is told of one cause.
struct Told {
    witness: Witness,
    droppers: Vec<By>,
    /// Some answers get through with the address of whoever sent them.
    astray: bool,
}

/// What these rules do, found by a flow of each set that is given or worked out here; takes what it tells out of `lost`.
pub(super) fn findings(input: &mut Input<'_>, lost: &mut Lost) -> Vec<Finding> {
    let mut told: BTreeMap<(&'static str, Vec<RuleId>), Told> = BTreeMap::new();
    let mut causes: BTreeMap<&'static str, &'static About> = BTreeMap::new();
    if !input.ruleset().rule_ids().any(|rule| parts(input, rule)) {
        return Vec::new();
    }
    let mut tell = |cause: Cause, witness: Witness, dropper: Option<By>| {
        causes.insert(cause.about.id, cause.about);
        let known = told.entry((cause.about.id, cause.rules)).or_insert(Told {
            witness,
            droppers: Vec::new(),
            astray: false,
        });
        match dropper {
            Some(by) if !known.droppers.contains(&by) => known.droppers.push(by),
            Some(_) => {}
            None => known.astray = true,
        }
    };
    for (by, sets) in lost.iter_mut() {
        for (at, from, set) in sets {
            let taken = input.views[*at].ways(*from).1.fields.ct.reply;
            for _ in 0..CAUSES {
                let strange = input.views[*at].space.sets.minus(*set, taken);
                let Some((cause, witness)) = cause(input, *at, *from, strange, Shows::NoReply)
                else {
                    break;
                };
                let own = under(input, *at, *from, &cause.rules);
                *set = input.views[*at].space.sets.minus(*set, own);
                tell(cause, witness, Some(*by));
            }
        }
    }
    for at in 0..input.views.len() {
        for from in [From::Outside, From::Here] {
            let mut strange = untranslated(input, at, from);
            for _ in 0..CAUSES {
                let Some((cause, witness)) = cause(input, at, from, strange, Shows::Astray) else {
                    break;
                };
                let own = under(input, at, from, &cause.rules);
                strange = input.views[at].space.sets.minus(strange, own);
                tell(cause, witness, None);
            }
        }
    }
    let mut found = Vec::new();
    for ((id, rules), told) in told {
        found.push(finding(input, causes[id], &rules, told));
    }
    found
}

fn finding(input: &Input<'_>, about: &'static About, rules: &[RuleId], told: Told) -> Finding {
    let dropped = Refusers::of(input, &told.droppers, "drops the answer");
    let becomes = match (told.droppers.is_empty(), told.astray) {
        (false, false) => "dropped",
        (true, _) => "not translated back",
        (false, true) => "dropped or not translated back",
    };
    let zone = about == about::ZONE_BREAKS_REPLY;
    let (what, why, remedy) = match zone {
        true => (
            format!(
                "a request and its answer are in different conntrack zones: the answer belongs to no connection, and is {becomes}"
            ),
            "conntrack looks an answer up in the zone of the answer; in another zone it is another connection: whoever asked hears nothing, or an address that it did not ask",
            "set the zone of both directions (of both interfaces), or `ct original zone set ZONE`, which leaves answers in zone 0",
        ),
        false => (
            format!(
                "one direction of a connection is not tracked: its answer is not `established`, and is {becomes}"
            ),
            "conntrack sees half of the connection: whoever asked hears nothing, or an address that it did not ask",
            "take both directions out of connection tracking and accept `ct state untracked`, or track the connection",
        ),
    };
    let mut cited = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        let part = match (number, zone) {
            (0, _) => "",
            (_, true) => "sets a zone, too",
            (_, false) => "takes it out of connection tracking, too",
        };
        cited.push(input.cite(*rule, part));
    }
    cited.extend(dropped.rules);
    Finding {
        rules: cited,
        places: dropped.places,
        witness: Some(told.witness),
        ..Finding::new(about, what, why, remedy)
    }
}

/// Whether a rule has a say in what conntrack takes for one connection.
fn parts(input: &Input<'_>, rule: RuleId) -> bool {
    sets_zone(input, rule) || untracks(input, rule)
}

fn is_zone(statement: &Stmt) -> bool {
    match statement {
        Stmt::Mangle { target, .. } => {
            matches!(target, Field::Ct { key, .. } if *key == CtKey::Zone)
        }
        _ => false,
    }
}

fn sets_zone(input: &Input<'_>, rule: RuleId) -> bool {
    let mut statements = input.ruleset().rule(rule).statements.iter();
    statements.any(|statement| is_zone(&statement.kind))
}

pub(super) fn untracks(input: &Input<'_>, rule: RuleId) -> bool {
    let mut statements = input.ruleset().rule(rule).statements.iter();
    statements.any(|statement| matches!(statement.kind, Stmt::Notrack))
}

/// The rules that a packet matched, each once.
pub(super) fn matched<'p>(paths: impl Iterator<Item = &'p Path>) -> Vec<RuleId> {
    let steps = paths.flat_map(|path| &path.steps);
    let mut found: Vec<RuleId> = steps
        .filter_map(|step| match &step.kind {
            StepKind::Rule(rule) if matches!(rule.outcome, RuleOutcome::Matched(_)) => {
                Some(rule.rule)
            }
            _ => None,
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// First packets that these rules match, or their answers.
fn under(input: &mut Input<'_>, at: usize, from: From, rules: &[RuleId]) -> Set {
    let view = &mut input.views[at];
    let (ways, back) = match from {
        From::Outside => (&view.outside, &view.back),
        From::Here => (&view.here, &view.here_back),
    };
    let mut all = Vec::new();
    for rule in rules {
        all.push(ways.visit(&mut view.space, *rule).1);
        all.push(back.visit(&mut view.space, *rule).1);
    }
    view.space.sets.union(&all)
}

/// Customary requests that rules translate, and whose answers get somewhere without being taken for answers.
fn untranslated(input: &mut Input<'_>, at: usize, from: From) -> Set {
    let view = &mut input.views[at];
    let mut translated = Vec::new();
    for manip in [Manip::Src, Manip::Dst] {
        translated.extend(view.bound(manip, from).into_values());
    }
    let translated = view.space.sets.union(&translated);
    let (requests, back) = view.ways(from);
    let (many, taken) = (requests.to_many, back.fields.ct.reply);
    let passed: Vec<Set> = back
        .exits
        .iter()
        .filter(|exit| exit.end.passes() == Some(true))
        .map(|exit| exit.packets)
        .collect();
    let passed = view.space.sets.union(&passed);
    let passed = view.usual(passed);
    let sets = &mut view.space.sets;
    let mut set = sets.and(translated, passed);
    set = sets.and(set, view.customary);
    set = sets.minus(set, many);
    sets.minus(set, taken)
}

/// A flow of a set whose answer would come back but for zones, or for what is not tracked, and the rules that do it.
fn cause(
    input: &mut Input<'_>,
    at: usize,
    from: From,
    set: Set,
    shows: Shows,
) -> Option<(Cause, Witness)> {
    let links = input.host.links.len();
    let view = &mut input.views[at];
    // nobody can have made up the source of these
    let honest = view.honest(links);
    let honest = view.space.sets.and(set, honest);
    for set in [honest, set] {
        let Some(witness) = input.witness(at, from, set, shows) else {
            continue;
        };
        if let Some(cause) = cause_of(input, &witness.question) {
            return Some((cause, witness));
        }
    }
    None
}

fn cause_of(input: &Input<'_>, question: &Question) -> Option<Cause> {
    let walked = walked(input, input.loaded, question)?;
    let of = |path: Option<&Path>, is: fn(&Input<'_>, RuleId) -> bool| -> Vec<RuleId> {
        let mut rules = matched(path.into_iter());
        rules.retain(|rule| is(input, *rule));
        rules
    };
    let (request, reply) = (Some(&walked.request), walked.reply.as_ref());
    let mut zones = of(request, sets_zone);
    zones.extend(of(reply, sets_zone));
    zones.sort_unstable();
    zones.dedup();
    if !zones.is_empty() && comes_back(input, question, &zones) {
        return Some(Cause {
            about: about::ZONE_BREAKS_REPLY,
            rules: zones,
        });
    }
    let (asking, answering) = (of(request, untracks), of(reply, untracks));
    if asking.is_empty() == answering.is_empty() {
        return None;
    }
    let rules = [asking, answering].concat();
    comes_back(input, question, &rules).then_some(Cause {
        about: about::NOTRACK_ONE_WAY,
        rules,
    })
}

fn walked(input: &Input<'_>, loaded: &Loaded, question: &Question) -> Option<Walked> {
    let answer = explain(loaded, input.hooks, input.given, question).ok()?;
    Some(answer.explored.primary)
}

/// Whether the answer gets back to where the request came from if these rules leave conntrack alone.
fn comes_back(input: &Input<'_>, question: &Question, rules: &[RuleId]) -> bool {
    let mut ruleset = input.ruleset().clone();
    for rule in rules {
        let statements = &mut ruleset.rules[rule.index()].statements;
        let others = statements.iter().filter(|statement| {
            !is_zone(&statement.kind) && !matches!(statement.kind, Stmt::Notrack)
        });
        *statements = others.cloned().collect();
    }
    let other = Loaded {
        ruleset,
        ..Loaded::default()
    };
    walked(input, &other, question).is_some_and(|walked| {
        let reply = walked.reply.as_ref();
        let back = reply.is_some_and(|reply| reply.output.oif == walked.request.input.iif);
        answers(&walked) && (back || question.iif.is_none())
    })
}
