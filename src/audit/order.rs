//! Base chains of several tables at one hook: what one says and a later one takes back.

use std::collections::BTreeMap;

use crate::eval::Pf;
use crate::explain::explain;
use crate::hooks::Hooks;
use crate::reach::class::usual_only;
use crate::ruleset::{ChainId, ChainType, Hook, RuleId};
use crate::sets::Set;
use crate::symbolic::{By, Decided, Dropped, End, From, Space, Ways};
use crate::walk::step::{HostDrop, Outcome, PacketView, Path, Taken};

use super::rules::led_to;
use super::{
    Cited, Finding, Input, One, Question, Shows, View, Witness, about, honest_in, unfiltered,
};

pub(super) const ALL: &[(&str, One)] = &[
    ("accept-dropped-later", accepted_in_vain),
    ("accept-dropped-before, dead-drop", dropped_before),
    ("equal-priority", tied),
    ("rp-filter-drop", rp_filtered),
];

/// What a rule is for at a hook, and who of other tables refuses it there.
#[derive(Default)]
struct Vain {
    packets: Vec<(usize, From, Set)>,
    by: Vec<By>,
    /// Nobody of other tables refuses some of it.
    passes: bool,
}

/// Who refuses packets, in words too.
pub(super) struct Refusers {
    pub rules: Vec<Cited>,
    /// Chains whose policy it is.
    pub places: Vec<String>,
    pub words: String,
}

impl Refusers {
    pub(super) fn of(input: &Input<'_>, by: &[By], part: &'static str) -> Refusers {
        let (mut rules, mut places) = (Vec::new(), Vec::new());
        for by in by {
            match by {
                By::Rule(id) => rules.push(input.cite(*id, part)),
                By::Policy(chain) => {
                    places.push(format!("policy of {}", input.chain_words(*chain)));
                }
                By::Stack => {}
            }
        }
        let words = rules.iter().map(|cited| cited.rule.to_string());
        let words: Vec<String> = words.chain(places.iter().cloned()).collect();
        Refusers {
            rules,
            places,
            words: words.join(", "),
        }
    }

    /// A finding about a rule, with these as the others that have part in it.
    fn told(self, input: &Input<'_>, rule: RuleId, witness: Witness, finding: Finding) -> Finding {
        let mut rules = vec![input.cite(rule, "")];
        rules.extend(self.rules);
        Finding {
            rules,
            places: self.places,
            witness: Some(witness),
            ..finding
        }
    }
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
        let customary = input.views[at].customary;
        for way in 0..4 {
            let (from, decided) = verdicts(&input.views[at])[way];
            let decided = decided.clone();
            let mut refused = Vec::new();
            for one in &decided {
                if one.taken.refuses() {
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
                    vain.packets.push((at, from, left));
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
        if vain.passes || input.may_match_unseen(rule) || !is_meant(input, rule, &vain.by) {
            continue;
        }
        let mut accepted = vain.packets.iter();
        let Some(witness) = accepted
            .find_map(|(at, from, set)| input.witness(*at, *from, *set, Shows::Refused(rule)))
        else {
            continue;
        };
        let refusers = Refusers::of(input, &vain.by, "drops it");
        let finding = Finding::new(
            about::ACCEPT_DROPPED_LATER,
            format!(
                "all that this rule accepts is dropped behind it, by {}",
                refusers.words
            ),
            "accept ends the base chain that it is said in; later base chains of the hook, of whatever table, are asked as well",
            "accept it in the later chain, too, or keep such packets from it",
        );
        found.push(refusers.told(input, rule, witness, finding));
    }
    found
}

/// Programs that an administrator tells what to let through. Others open what they need themselves, and an
/// administrator who limits them means it.
pub(super) const MANAGERS: [&str; 5] = [
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

/// Base chains that refuse packets at a hook, and what of IPv4 and IPv6 they refuse there.
fn refusing(input: &Input<'_>, hook: Hook) -> Vec<ChainId> {
    let mut found = Vec::new();
    for view in &input.views {
        let both = view.outside.decided.iter().chain(&view.here.decided);
        for one in both {
            let refuses = one.taken.refuses();
            if one.hook == hook && refuses && !found.contains(&one.chain) {
                found.push(one.chain);
            }
        }
    }
    found
}

/// Rules of one base chain that filters, each with that chain and its hook.
pub(super) fn filtering(input: &Input<'_>) -> Vec<(RuleId, ChainId, Hook)> {
    let mut bases: BTreeMap<RuleId, Vec<(ChainId, Hook)>> = BTreeMap::new();
    for (id, chain) in input.ruleset().chains() {
        let Some(base) = &chain.base else { continue };
        if base.kind == ChainType::Nat {
            continue;
        }
        for chain in led_to(input, id) {
            for rule in &input.ruleset().chain(chain).rules {
                bases.entry(*rule).or_default().push((id, base.hook));
            }
        }
    }
    let mut found = Vec::new();
    for (rule, bases) in bases {
        if let [(base, hook)] = bases.as_slice() {
            found.push((rule, *base, *hook));
        }
    }
    found
}

/// Whether a rule matches none of the packets that are followed, of those that count.
fn is_idle(
    input: &mut Input<'_>,
    rule: RuleId,
    hook: Hook,
    counts: impl Fn(&mut View, Set) -> Set,
) -> bool {
    idle_in(input, rule, hook, counts).len() == input.views.len()
}

/// In which views a rule matches none of the packets that are followed, of those that count; none where not all were followed.
fn idle_in(
    input: &mut Input<'_>,
    rule: RuleId,
    hook: Hook,
    counts: impl Fn(&mut View, Set) -> Set,
) -> Vec<usize> {
    if input.may_match_unseen(rule) {
        return Vec::new();
    }
    let is_idle = |view: &mut View| {
        let ways = [&view.outside, &view.here, &view.back, &view.here_back];
        let visits = ways.map(|ways| ways.visits.get(&(hook, rule)).copied());
        let matched = visits.map(|visit| visit.and_then(|visit| visit.matched));
        let mut matched = matched.into_iter().flatten();
        matched.all(|set| set.is_empty() || counts(view, set).is_empty())
    };
    let views = input.views.iter_mut().enumerate();
    let idle = views.filter_map(|(at, view)| is_idle(view).then_some(at));
    idle.collect()
}

/// ` of IPv4`, where it is not both.
fn version_words(input: &Input<'_>, versions: &[usize]) -> &'static str {
    match versions {
        [at] if input.views.len() > 1 => match input.views[*at].space.v6 {
            true => " of IPv6",
            false => " of IPv4",
        },
        _ => "",
    }
}

/// Rules that accept only what the reverse path filter drops: they would accept something without it.
fn rp_filtered(input: &mut Input<'_>) -> Vec<Finding> {
    let drop = End::Host(Dropped(HostDrop::RpFilter));
    let Some(at) = input.views.iter().position(|view| !view.space.v6) else {
        return Vec::new();
    };
    let mut links = input.given.links.iter();
    let strict = links.any(|link| input.given.rp_filter(&link.name) == Some(1));
    let view = &input.views[at];
    if !strict || !view.outside.exits.iter().any(|exit| exit.end == drop) {
        return Vec::new();
    }
    let mut rules: Vec<(RuleId, Hook)> = Vec::new();
    for (rule, _, hook) in filtering(input) {
        let usual = |view: &mut View, set: Set| {
            let customary = view.customary;
            let set = view.usual(set);
            view.space.sets.and(set, customary)
        };
        let generated = input.owners.rule(rule).is_some();
        if input.accepts(rule) && !generated && is_idle(input, rule, hook, usual) {
            rules.push((rule, hook));
        }
    }
    if rules.is_empty() {
        return Vec::new();
    }
    let host = unfiltered(input.host);
    let hooks = input.hooks;
    let Some(ways) = input.other_ways(at, hooks, &host, From::Outside) else {
        return Vec::new();
    };
    let customary = input.views[at].customary;
    let mut found = Vec::new();
    for (rule, hook) in rules {
        let visit = ways.visits.get(&(hook, rule)).copied();
        let matched = visit.and_then(|visit| visit.matched).unwrap_or_default();
        let view = &mut input.views[at];
        let matched = view.usual(matched);
        let matched = view.space.sets.and(matched, customary);
        let dropped = view.outside.ended(&mut view.space, |end| *end == drop);
        let dropped = view.usual(dropped);
        if matched.is_empty() || !view.space.sets.is_within(matched, dropped) {
            continue;
        }
        let witness = input.witness(at, From::Outside, matched, Shows::RpFiltered);
        let Some(witness) = witness else { continue };
        let by = witness.question.iif.clone().unwrap_or_else(|| "IF".into());
        found.push(Finding {
            rules: vec![input.cite(rule, "")],
            witness: Some(witness),
            ..Finding::new(
                about::RP_FILTER_DROP,
                "the reverse path filter of this host drops all that this rule would accept",
                "the route back to these sources is by another interface, so the packets are dropped before rules of input or forward see them",
                &format!(
                    "correct the route to the sources, or set `net.ipv4.conf.{by}.rp_filter` and `net.ipv4.conf.all.rp_filter` to 2 (loose)"
                ),
            )
        });
    }
    found
}

/// Rules that decide only about what a chain of another table has dropped before: they would drop, or accept, something
/// without it.
fn dropped_before(input: &mut Input<'_>) -> Vec<Finding> {
    // by the chains that shall be left out
    let mut by_others: BTreeMap<(Hook, Vec<ChainId>, Vec<usize>), Vec<RuleId>> = BTreeMap::new();
    for (rule, base, hook) in filtering(input) {
        let owner = input.owners.rule(rule).map(|owner| owner.software);
        let drops = owner.is_none() && input.drops(rule);
        let accepts = owner.is_none_or(|one| MANAGERS.contains(&one)) && input.accepts(rule);
        if !drops && !accepts {
            continue;
        }
        let versions = idle_in(input, rule, hook, |_, set| set);
        // what is let through in one IP version only is worth a word
        if versions.is_empty() || drops && versions.len() < input.views.len() {
            continue;
        }
        let table = input.ruleset().chain(base).table;
        let mut others = refusing(input, hook);
        others.retain(|other| input.ruleset().chain(*other).table != table);
        if !others.is_empty() {
            by_others
                .entry((hook, others, versions))
                .or_default()
                .push(rule);
        }
    }
    let host = input.host;
    let mut found = Vec::new();
    for ((hook, others, versions), rules) in by_others {
        let mut would: BTreeMap<RuleId, Vain> = BTreeMap::new();
        let hooks = input.hooks.without(&others);
        for &at in &versions {
            let customary = input.views[at].customary;
            for from in [From::Outside, From::Here] {
                let Some(ways) = input.other_ways(at, &hooks, host, from) else {
                    return found;
                };
                for rule in &rules {
                    let visit = ways.visits.get(&(hook, *rule)).copied();
                    let matched = visit.and_then(|visit| visit.matched).unwrap_or_default();
                    let view = &mut input.views[at];
                    let matched = view.usual(matched);
                    let mut left = view.space.sets.and(matched, customary);
                    if left.is_empty() {
                        continue;
                    }
                    let all = left;
                    let decided = match from {
                        From::Outside => view.outside.decided.clone(),
                        From::Here => view.here.decided.clone(),
                    };
                    let known = would.entry(*rule).or_default();
                    for one in decided {
                        let refuses = one.taken.refuses();
                        if one.hook != hook || !refuses || !others.contains(&one.chain) {
                            continue;
                        }
                        let packets = view.usual(one.packets);
                        if !view.space.sets.and(left, packets).is_empty() {
                            left = view.space.sets.minus(left, packets);
                            if !known.by.contains(&one.by) {
                                known.by.push(one.by);
                            }
                        }
                    }
                    known.passes |= !left.is_empty();
                    known.packets.push((at, from, all));
                }
            }
        }
        for (rule, vain) in would {
            if vain.passes {
                continue;
            }
            let witness = vain
                .packets
                .iter()
                .find_map(|(at, from, set)| input.witness(*at, *from, *set, Shows::Stopped));
            let Some(witness) = witness else { continue };
            let refusers = Refusers::of(input, &vain.by, "drops it before");
            if input.accepts(rule) {
                // what a program drops by a rule of its own (Docker's isolation) it means to drop
                let own = |by: &By| match by {
                    By::Rule(id) => input.owners.rule(*id).is_some(),
                    By::Policy(_) | By::Stack => false,
                };
                if !is_meant(input, rule, &vain.by) || vain.by.iter().all(own) {
                    continue;
                }
                let finding = Finding::new(
                    about::ACCEPT_DROPPED_BEFORE,
                    format!(
                        "all{} that this rule would accept is dropped before, by {}",
                        version_words(input, &versions),
                        refusers.words
                    ),
                    "no table can take back what another one has dropped: the rule does nothing, and what it is for does not get through",
                    "accept the same packets in the chain that drops them (with Docker: in DOCKER-USER), or delete the rule",
                );
                found.push(refusers.told(input, rule, witness, finding));
                continue;
            }
            let finding = Finding::new(
                about::DEAD_DROP,
                format!(
                    "all that this rule would drop is dropped before, by {}",
                    refusers.words
                ),
                "the rule does nothing as long as the other table is loaded, and its counter says that nobody tries",
                "delete the rule, or leave it as a second lock and say so in its comment (`nfpath: allow dead-drop REASON`)",
            );
            found.push(refusers.told(input, rule, witness, finding));
        }
    }
    found
}

/// Packets that get to an end, by end.
fn passed(space: &mut Space, ways: &Ways) -> BTreeMap<End, Set> {
    let mut found: BTreeMap<End, Set> = BTreeMap::new();
    for exit in &ways.exits {
        if exit.end.passes() == Some(true) {
            let packets = usual_only(space, exit.packets);
            let known = found.entry(exit.end.clone()).or_default();
            *known = space.sets.or(*known, packets);
        }
    }
    found
}

/// Packets that get through in one order only, to another end, or with other addresses.
fn differing(space: &mut Space, one: &Ways, other: &Ways) -> Set {
    let (before, after) = (passed(space, one), passed(space, other));
    let mut all = Vec::new();
    let mut both = Vec::new();
    for end in before.keys().chain(after.keys()) {
        let a = before.get(end).copied().unwrap_or_default();
        let b = after.get(end).copied().unwrap_or_default();
        all.push(space.sets.xor(a, b));
        both.push(space.sets.and(a, b));
    }
    let both = space.sets.union(&both);
    let moved = one.fields.addressed_otherwise(&other.fields, both, space);
    let moved = usual_only(space, moved);
    all.push(moved);
    space.sets.union(&all)
}

/// Base chains of equal priority where the order, which no listing tells, decides.
fn tied(input: &mut Input<'_>) -> Vec<Finding> {
    let mut found: Vec<(ChainId, ChainId, Finding)> = Vec::new();
    for tie in input.hooks.ties.clone() {
        let known = |one: &(ChainId, ChainId, Finding)| (one.0, one.1) == (tie.first, tie.second);
        if found.iter().any(known) {
            continue;
        }
        let hooks = input.hooks.swapped(tie);
        for at in 0..input.views.len() {
            let view = &input.views[at];
            let pf = if view.space.v6 { Pf::Ip6 } else { Pf::Ip };
            if pf != tie.pf {
                continue;
            }
            let mut witness = None;
            for from in [From::Outside, From::Here] {
                let Some(differs) = reordered(input, at, &hooks, from) else {
                    return Vec::new();
                };
                let swaps = |input: &Input<'_>, question: &Question| {
                    ends(input, input.hooks, question) != ends(input, &hooks, question)
                };
                let shows = Shows::Comes(tie.first);
                witness = input.witness_if(at, from, differs, shows, swaps);
                if witness.is_some() {
                    break;
                }
            }
            let Some(witness) = witness else { continue };
            let (first, second) = (input.chain_words(tie.first), input.chain_words(tie.second));
            let finding = Finding {
                places: vec![first.clone(), second.clone()],
                witness: Some(witness),
                ..Finding::new(
                    about::EQUAL_PRIORITY,
                    format!(
                        "{first} and {second} have the same priority, and which of them comes first decides what becomes of packets"
                    ),
                    "of equal priorities the chain that was registered last comes first; a restart in another order changes the answer, and no listing tells",
                    "give one of them another priority (`filter - 1`, `dstnat + 10`)",
                )
            };
            found.push((tie.first, tie.second, finding));
        }
    }
    found.into_iter().map(|(_, _, finding)| finding).collect()
}

/// Customary packets of one side of which something else becomes with other hooks, or of whose answers. `None`: there are
/// too many sets.
fn reordered(input: &mut Input<'_>, at: usize, hooks: &Hooks, from: From) -> Option<Set> {
    let host = input.host;
    let links = host.links.len();
    let whole = input.views[at].whole;
    if from == From::Here && !whole {
        return Some(Set::NONE);
    }
    let other = input.other_ways(at, hooks, host, from)?;
    let other_back = match whole {
        true => Some(input.other_answers(at, hooks, host, &other, from)?),
        false => None,
    };
    let view = &mut input.views[at];
    let mut honest = view.honest(links);
    if let Some(back) = &other_back {
        let more = honest_in(&mut view.space, back, links);
        honest = view.space.sets.or(honest, more);
    }
    let View {
        space,
        outside,
        back,
        here,
        here_back,
        ..
    } = view;
    let (requests, answers) = match from {
        From::Outside => (&*outside, &*back),
        From::Here => (&*here, &*here_back),
    };
    let mut differs = differing(space, requests, &other);
    if let Some(other_back) = &other_back {
        let mut answered = differing(space, answers, other_back);
        // nobody hears the answer to a made-up source
        if from == From::Outside {
            answered = space.sets.and(answered, honest);
        }
        differs = space.sets.or(differs, answered);
    }
    Some(space.sets.and(differs, view.customary))
}

/// What `explain` says that a request and its answer look like at their ends, where they get there.
fn ends(input: &Input<'_>, hooks: &Hooks, question: &Question) -> Option<[Option<PacketView>; 2]> {
    let answer = explain(input.loaded, hooks, input.given, question).ok()?;
    let end = |path: &Path| (path.disposition.outcome() == Outcome::Accept).then_some(path.output);
    let walked = &answer.explored.primary;
    Some([end(&walked.request), walked.reply.as_ref().and_then(end)])
}
