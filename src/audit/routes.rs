//! Answers that this host itself does not carry: it has no route for them, or its reverse path filter drops them.

use std::collections::BTreeMap;

use crate::explain::explain;
use crate::packet::proto;
use crate::reach::class::nets;
use crate::ruleset::protocol::Base;
use crate::ruleset::{
    Expr, Field, Hook, Match, MetaKey, Op, Operand, RuleId, Stmt, Target, Verdict,
};
use crate::sets::Set;
use crate::symbolic::{Dropped, End, From, Input as Part};
use crate::walk::step::HostDrop;

use super::order::{MANAGERS, filtering};
use super::tracking::matched;
use super::{Cited, Finding, Input, One, Question, Shows, about, answers, unfiltered};

pub(super) const ALL: &[(&str, One)] =
    &[("no-route-back", no_route), ("reply-rp-filter", filtered)];

/// What a host without a way to the destination says (`fib_lookup`).
pub(super) const UNROUTED: [HostDrop; 4] = [
    HostDrop::NoRoute,
    HostDrop::Blackhole,
    HostDrop::Unreachable,
    HostDrop::Prohibit,
];

/// Whether a rule lets packets on, and was written by an administrator, maybe by way of a program that asks one.
fn admits(input: &Input<'_>, rule: RuleId) -> bool {
    let mut statements = input.ruleset().rule(rule).statements.iter();
    let onward = statements.any(|statement| {
        matches!(
            statement.kind,
            Stmt::Verdict(
                Verdict::Accept | Verdict::Jump(Target::Chain(_)) | Verdict::Goto(Target::Chain(_))
            )
        )
    });
    let owner = input.owners.rule(rule);
    onward && owner.is_none_or(|owner| MANAGERS.contains(&owner.software))
}

/// The sources that a rule names, as it names them.
fn sources(input: &Input<'_>, rule: RuleId, v6: bool) -> Vec<(u128, u128)> {
    let (at, bits) = if v6 { (64, 128) } else { (96, 32) };
    let is_source = |field: &Field| match field {
        Field::Payload { base, offset, len } => *base == Base::Nh && *offset == at && *len == bits,
        _ => false,
    };
    let mut found = Vec::new();
    for statement in &input.ruleset().rule(rule).statements {
        let Stmt::Match(Match {
            left: Expr::Field(field),
            op: Op::Eq,
            right,
            ..
        }) = &statement.kind
        else {
            continue;
        };
        if !is_source(field) {
            continue;
        }
        match right {
            Operand::Value(value) => found.push((*value, *value)),
            Operand::Range(lo, hi) => found.push((*lo, *hi)),
            Operand::Set(set) => {
                let ranges = input.ruleset().set(*set).ranges();
                found.extend(ranges.into_iter().map(|(lo, hi, _)| (lo, hi)));
            }
            Operand::Expr(_) => {}
        }
    }
    found
}

/// Rules that let requests in from sources that they name, when no answer to these has a route.
fn no_route(input: &mut Input<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for at in 0..input.views.len() {
        let view = &mut input.views[at];
        let v6 = view.space.v6;
        let lost = view.back.ended(
            &mut view.space,
            |end| matches!(end, End::Host(Dropped(why)) if UNROUTED.contains(why)),
        );
        let lost = view.usual(lost);
        let asking = view
            .space
            .protos(&[proto::TCP, if v6 { proto::ICMPV6 } else { proto::ICMP }]);
        let asking = view.space.sets.and(asking, view.customary);
        let lost = view.space.sets.and(lost, asking);
        if lost.is_empty() {
            continue;
        }
        let answered = view.usual(view.back.sent);
        let answered = view.space.sets.and(answered, asking);
        for (rule, _, hook) in filtering(input) {
            if !matches!(hook, Hook::Input | Hook::Forward) || !admits(input, rule) {
                continue;
            }
            let view = &mut input.views[at];
            let visit = view.outside.visits.get(&(hook, rule)).copied();
            let own = visit.and_then(|visit| visit.matched).unwrap_or_default();
            let own = view.space.sets.and(own, answered);
            if view.space.sets.and(own, lost).is_empty() {
                continue;
            }
            let (mut named, mut sets) = (Vec::new(), Vec::new());
            for range in sources(input, rule, v6) {
                let view = &mut input.views[at];
                let src = view.space.packets(Part::Src, &[range]);
                let set = view.space.sets.and(own, src);
                if !set.is_empty() && view.space.sets.is_within(set, lost) {
                    named.push(range);
                    sets.push(set);
                }
            }
            let set = input.views[at].space.sets.union(&sets);
            let Some(witness) = input.witness(at, From::Outside, set, Shows::Unrouted) else {
                continue;
            };
            let places: Vec<String> = nets(&named, v6).iter().map(ToString::to_string).collect();
            let words = match places.len() {
                ..=4 => places.join(", "),
                many => format!("{} and {} more", places[..3].join(", "), many - 3),
            };
            let first = places.first().cloned().unwrap_or_default();
            found.push(Finding {
                rules: vec![input.cite(rule, "")],
                places,
                witness: Some(witness),
                ..Finding::new(
                    about::NO_ROUTE_BACK,
                    format!(
                        "requests from {words} pass this rule and arrive, and this host has no route for the answers"
                    ),
                    "the request arrives and nobody hears the answer: a connection that hangs",
                    &format!(
                        "add the route to these sources (`ip route add {first} via GATEWAY`), correct the address, or delete the rule if nobody there is to ask"
                    ),
                )
            });
        }
    }
    found
}

/// Rules that mark what a flow sends.
fn marking(input: &Input<'_>, question: &Question) -> Vec<Cited> {
    let Ok(answer) = explain(input.loaded, input.hooks, input.given, question) else {
        return Vec::new();
    };
    let mut rules = matched(std::iter::once(&answer.explored.primary.request));
    rules.retain(|rule| {
        let mut statements = input.ruleset().rule(*rule).statements.iter();
        statements.any(|statement| match &statement.kind {
            Stmt::Mangle { target, .. } => *target == Field::Meta(MetaKey::Mark),
            _ => false,
        })
    });
    let rules = rules.into_iter();
    rules
        .map(|rule| input.cite(rule, "marks the request"))
        .collect()
}

/// Interfaces whose reverse path filter drops the answers to requests that left by them.
fn filtered(input: &mut Input<'_>) -> Vec<Finding> {
    let drop = End::Host(Dropped(HostDrop::RpFilter));
    let given = unfiltered(input.given);
    let mut found: BTreeMap<u16, Finding> = BTreeMap::new();
    for at in 0..input.views.len() {
        for from in [From::Here, From::Outside] {
            let view = &mut input.views[at];
            let (requests, back) = view.ways(from);
            let many = requests.to_many;
            let lost = back.exits.iter().filter(|exit| exit.end == drop);
            let lost: Vec<Set> = lost.map(|exit| exit.packets).collect();
            let links = back.fields.iif.0.clone();
            let lost = view.space.sets.union(&lost);
            let lost = view.usual(lost);
            let lost = view.space.sets.and(lost, view.customary);
            let lost = view.space.sets.minus(lost, many);
            for (link, packets) in links {
                let Some(link) = link.filter(|link| !found.contains_key(link)) else {
                    continue;
                };
                let own = input.views[at].space.sets.and(lost, packets);
                // the answer would go back to where the request came from
                let heard = |input: &Input<'_>, question: &Question| {
                    explain(input.loaded, input.hooks, &given, question).is_ok_and(|answer| {
                        let walked = &answer.explored.primary;
                        let reply = walked.reply.as_ref();
                        let back =
                            reply.is_some_and(|reply| reply.output.oif == walked.request.input.iif);
                        answers(walked) && (back || question.iif.is_none())
                    })
                };
                let Some(witness) = input.witness_if(at, from, own, Shows::ReplyRpFiltered, heard)
                else {
                    continue;
                };
                let Some(name) = input.host.links.get(usize::from(link)) else {
                    continue;
                };
                let name = name.name.to_string();
                let who = match from {
                    From::Here => "this host sends",
                    From::Outside => "are forwarded",
                };
                let rules = marking(input, &witness.question);
                let finding = Finding {
                    rules,
                    places: vec![name.clone()],
                    witness: Some(witness),
                    ..Finding::new(
                        about::REPLY_RP_FILTER,
                        format!(
                            "the reverse path filter drops the answers to requests that {who} by {name}"
                        ),
                        "requests leave by a table of routes that an answer is not looked up in (a mark, a rule for an interface): its way back would be another interface",
                        &format!(
                            "set `net.ipv4.conf.{name}.rp_filter` and `net.ipv4.conf.all.rp_filter` to 2 (loose), or mark answers from `ct mark` and set `net.ipv4.conf.{name}.src_valid_mark` to 1"
                        ),
                    )
                };
                found.insert(link, finding);
            }
        }
    }
    found.into_values().collect()
}
