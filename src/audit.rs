//! What a ruleset does that nobody will have meant: findings, each with a reason, a remedy and, where one can be given, a flow.
//!
//! Two kinds of sets are asked. [`crate::symbolic::free`] runs one base chain for packets of which nothing is known: what
//! it says cannot happen never does, on whatever host. [`crate::symbolic`] follows all first packets of conversations through
//! this host. A flow is part of a finding only when [`crate::explain`] says of it what the finding says.
//!
//! Every audit is a function of one struct, `Input`; [`about::ALL`] lists them with their pages in docs/audits.

pub mod about;
mod conversations;
mod docker;
mod host;
mod lint;
mod order;
mod routes;
mod rules;
pub mod sarif;
mod tracking;
pub mod v1;

use std::collections::BTreeMap;

use crate::conntrack::Manip;
use crate::eval::World;
use crate::explain::{Question, explain};
use crate::flow::asked::flags;
use crate::hooks::Hooks;
use crate::host::Host;
use crate::load::Loaded;
use crate::logic::{Choice, DRAWN, Source};
use crate::owner::Owners;
use crate::reach::class::{pick, question, unusual_icmp, usual_only};
use crate::reach::imagined;
use crate::report::RuleRef;
use crate::report::build::{Sources, rule_ref, rule_text};
use crate::ruleset::{ChainId, Dormancy, Family, Hook, RuleId, Ruleset, Stmt, Verdict};
use crate::sets::{Mark, Room, Set, Var};
use crate::symbolic::free::{self, Free};
use crate::symbolic::{
    By, End, From, Input as Part, Space, Watch, Ways, replies, requests, requests_watched,
};
use crate::walk::link_values;
use crate::walk::step::{Disposition, HostDrop, Path, RuleOutcome, StepKind, Walked};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Note,
    Warning,
    Error,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// One kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// Never changes; docs/audits/ID.md is its page.
    pub id: &'static str,
    /// The least severity of such a finding.
    pub severity: Severity,
    /// One line.
    pub title: &'static str,
}

/// The kind of this name.
pub fn of_id(id: &str) -> Option<&'static About> {
    about::ALL.iter().copied().find(|about| about.id == id)
}

/// A rule, and its part in a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cited {
    pub rule: RuleRef,
    pub text: String,
    pub comment: Option<String>,
    /// `Docker: published ports`
    pub owner: Option<String>,
    /// `takes its packets`; empty for the rule that the finding is about.
    pub part: &'static str,
}

/// A flow that shows it; `explain` says the same.
#[derive(Debug, Clone)]
pub struct Witness {
    pub question: Question,
    pub shows: Shows,
}

impl Witness {
    /// As on the command line.
    pub fn flags(&self) -> String {
        let question = &self.question;
        flags(
            &question.flow.to_string(),
            question.iif.as_deref(),
            question.tcp_flags,
            unusual_icmp(question),
        )
    }
}

/// What `explain` says of a witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// This rule takes the request.
    Rule(RuleId),
    /// This rule takes the request, and it is refused all the same.
    Refused(RuleId),
    /// A rule or policy refuses the request.
    Stopped,
    /// The request, or its answer, comes to this base chain.
    Comes(ChainId),
    /// The reverse path filter of this host drops the request.
    RpFiltered,
    /// This rule takes the request, and it gets to its end.
    Lets(RuleId),
    /// The request gets through, and the reply does not.
    NoReply,
    /// The request gets through, and this one drops or rejects the reply.
    ReplyRefused(By),
    /// The request gets through, and the reply gets somewhere, but not to who asked, or not from where it asked.
    Astray,
    /// The request gets through, and this host has no route for the reply.
    Unrouted,
    /// The request gets through, and the reverse path filter drops the reply.
    ReplyRpFiltered,
    /// The request gets to its end.
    Passes,
}

/// Whether a packet gets where it is going.
fn gets_there(path: &Path) -> bool {
    matches!(
        path.disposition,
        Disposition::Local | Disposition::Forwarded | Disposition::Transmitted
    )
}

/// Whether a request gets through, and its reply comes back with the addresses that the request was sent to and from.
pub(crate) fn answers(walked: &Walked) -> bool {
    let Some(reply) = &walked.reply else {
        return false;
    };
    let (asked, said) = (&walked.request.input, &reply.output);
    // a socket of this host gets its source on the way
    let sent_here = walked.request.disposition == Disposition::Transmitted;
    gets_there(&walked.request)
        && gets_there(reply)
        && (said.src, said.sport) == (asked.dst, asked.dport)
        && said.dport == asked.sport
        && (sent_here || said.dst == asked.src)
}

/// The host without a reverse path filter.
fn unfiltered(host: &Host) -> Host {
    let mut host = host.clone();
    for (key, value) in &mut host.sysctls {
        if key.ends_with(".rp_filter") {
            *value = "0".into();
        }
    }
    host
}

impl Shows {
    /// Whether a walk does so.
    pub fn holds(self, walked: &Walked) -> bool {
        let replied = |holds: &dyn Fn(&Path) -> bool| {
            gets_there(&walked.request) && walked.reply.as_ref().is_some_and(holds)
        };
        let takes = |id: RuleId| {
            walked.request.steps.iter().any(|step| match &step.kind {
                StepKind::Rule(rule) => {
                    rule.rule == id && matches!(rule.outcome, RuleOutcome::Matched(_))
                }
                _ => false,
            })
        };
        let refused = matches!(
            walked.request.disposition,
            Disposition::Dropped | Disposition::Rejected
        );
        match self {
            Shows::Rule(id) => takes(id),
            Shows::Refused(id) => takes(id) && refused,
            Shows::Stopped => refused,
            Shows::RpFiltered => {
                walked.request.disposition == Disposition::Host(HostDrop::RpFilter)
            }
            Shows::Comes(id) => {
                let paths = std::iter::once(&walked.request).chain(&walked.reply);
                let mut steps = paths.flat_map(|path| &path.steps);
                steps.any(|step| matches!(step.kind, StepKind::Chain(chain) if chain == id))
            }
            Shows::Lets(id) => takes(id) && gets_there(&walked.request),
            Shows::NoReply => replied(&|reply| !gets_there(reply)),
            Shows::ReplyRefused(by) => replied(&|reply| refuser(reply) == Some(by)),
            Shows::Astray => replied(&gets_there) && !answers(walked),
            Shows::Unrouted => replied(&|reply| match reply.disposition {
                Disposition::Host(why) => routes::UNROUTED.contains(&why),
                _ => false,
            }),
            Shows::ReplyRpFiltered => {
                replied(&|reply| reply.disposition == Disposition::Host(HostDrop::RpFilter))
            }
            Shows::Passes => gets_there(&walked.request),
        }
    }
}

/// One finding.
#[derive(Debug, Clone)]
pub struct Finding {
    pub about: &'static About,
    pub severity: Severity,
    /// What it rests on; empty: certain.
    pub rests_on: Vec<String>,
    /// The one that it is about first.
    pub rules: Vec<Cited>,
    /// Chains, sets and interfaces, in words.
    pub places: Vec<String>,
    pub witness: Option<Witness>,
    pub what: String,
    pub why: String,
    pub remedy: String,
}

impl Finding {
    /// A certain one, of the least severity of its kind, about no rule yet.
    fn new(about: &'static About, what: impl Into<String>, why: &str, remedy: &str) -> Finding {
        Finding {
            about,
            severity: about.severity,
            rests_on: Vec::new(),
            rules: Vec::new(),
            places: Vec::new(),
            witness: None,
            what: what.into(),
            why: why.into(),
            remedy: remedy.into(),
        }
    }
}

/// A finding that is not to be told, and who said so.
#[derive(Debug, Clone)]
pub struct Suppressed {
    pub finding: Finding,
    pub reason: String,
    /// True for the comment of a rule, false for a file or flag.
    pub in_ruleset: bool,
}

/// An entry of a configuration file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    pub id: String,
    /// Part of the rule, chain or set, as findings name it; `None`: all findings of the kind.
    pub at: Option<String>,
    pub reason: String,
}

/// What is asked of an audit.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Kinds that are errors.
    pub deny: Vec<String>,
    pub allow: Vec<Allowed>,
    pub room: Room,
}

/// All that was found.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    pub findings: Vec<Finding>,
    pub suppressed: Vec<Suppressed>,
    /// What was not looked at, in words.
    pub left_out: Vec<String>,
    /// Somebody interrupted it.
    pub interrupted: bool,
}

/// A base chain for any packet, in one IP version.
pub(crate) struct Run {
    pub space: Space,
    pub free: Free,
}

/// All first packets on this host, in one IP version.
pub(crate) struct View {
    pub space: Space,
    pub outside: Ways,
    pub back: Ways,
    pub here: Ways,
    pub here_back: Ways,
    /// Answers and what this host sends were followed, too.
    pub whole: bool,
    /// First packets as programs send them ([`conversations::customary`]).
    pub customary: Set,
}

/// What every audit is given.
pub(crate) struct Input<'a> {
    pub loaded: &'a Loaded,
    pub hooks: &'a Hooks,
    /// As it was given.
    pub given: &'a Host,
    /// With what was worked out.
    pub host: &'a Host,
    pub owners: Owners<'a>,
    pub runs: Vec<Run>,
    pub views: Vec<View>,
}

/// How many nodes the sets of one IP version may have: about 400 MB.
const NODES: usize = 16_000_000;

/// Runs all audits.
pub fn audit(loaded: &Loaded, hooks: &Hooks, host: &Host, options: &Options) -> Audit {
    let known = imagined(&loaded.ruleset, host);
    let values = link_values(&known);
    let world = World {
        ruleset: &loaded.ruleset,
        host: &known,
        link_values: &values,
    };
    let unread = loaded.unread().into_iter();
    let mut answer = Audit {
        left_out: unread.map(|what| format!("not read: {what}")).collect(),
        ..Audit::default()
    };
    let mut input = Input {
        loaded,
        hooks,
        given: host,
        host: &known,
        owners: Owners::of(&loaded.ruleset),
        runs: Vec::new(),
        views: Vec::new(),
    };
    for id in base_chains(&loaded.ruleset, &mut answer.left_out) {
        let family = loaded.ruleset.table_of(id).family;
        for v6 in [false, true] {
            if v6 && family == Family::Ip || !v6 && family == Family::Ip6 {
                continue;
            }
            let mut space = Space::new(v6, known.links.len(), room(options, NODES));
            match free::chain(&mut space, world, hooks, id) {
                Ok(free) => input.runs.push(Run { space, free }),
                Err(error) => {
                    let chain = input.chain_words(id);
                    answer.left_out.push(format!("rules of {chain}: {error}"));
                }
            }
        }
    }
    let (mut found, watch) = rules::rules(&mut input, &mut answer.left_out);
    for v6 in [false, true] {
        match view(world, hooks, v6, &watch, options, &mut answer.left_out) {
            Ok(mut view) => {
                let nodes = view.space.sets.nodes();
                view.space.sets.raise(NODES.max(nodes + NODES / 2));
                input.views.push(view);
            }
            Err(error) => answer.left_out.push(format!(
                "conversations of IPv{}: {error}",
                if v6 { 6 } else { 4 }
            )),
        }
    }
    for view in &input.views {
        for exit in view.outside.exits.iter().chain(&view.here.exits) {
            if let End::NotCovered(what) = &exit.end {
                let words = format!("{what} (IPv{})", if view.space.v6 { 6 } else { 4 });
                if !answer.left_out.contains(&words) {
                    answer.left_out.push(words);
                }
            }
        }
    }
    rules::witnesses(&mut input, &mut found);
    let mut findings: Vec<Finding> = found.into_iter().map(|found| found.finding).collect();
    findings.extend(lint::all(&input));
    for (id, one) in conversations::ALL
        .iter()
        .chain(docker::ALL)
        .chain(host::ALL)
        .chain(order::ALL)
        .chain(routes::ALL)
    {
        let found = apart(&mut input, &mut answer.left_out, id, one);
        findings.extend(found.into_iter().map(|finding| input.weighed(finding)));
    }
    answer.interrupted = (options.room.interrupted)();
    for finding in &mut findings {
        if options.deny.iter().any(|id| id == finding.about.id) {
            finding.severity = Severity::Error;
        }
    }
    findings.sort_by_cached_key(|finding| {
        let rules: Vec<String> = finding
            .rules
            .iter()
            .map(|cited| cited.rule.to_string())
            .collect();
        let first = finding.rules.first().map(|cited| {
            let rule = &cited.rule;
            (
                rule.family,
                rule.table.clone(),
                rule.chain.clone(),
                rule.index,
            )
        });
        (
            std::cmp::Reverse(finding.severity),
            finding.about.id,
            first,
            rules,
            finding.places.clone(),
            finding.what.clone(),
        )
    });
    for finding in findings {
        match suppression(&finding, options) {
            Some((reason, in_ruleset)) => answer.suppressed.push(Suppressed {
                finding,
                reason,
                in_ruleset,
            }),
            None => answer.findings.push(finding),
        }
    }
    answer
}

/// An audit of conversations.
pub(crate) type One = fn(&mut Input<'_>) -> Vec<Finding>;

/// What one audit finds. Sets that it makes are forgotten behind it; when they do not fit, nothing that it said counts, and
/// where it asked new questions no later audit has any sets.
fn apart(input: &mut Input<'_>, left_out: &mut Vec<String>, id: &str, one: &One) -> Vec<Finding> {
    let marks: Vec<Mark> = input
        .views
        .iter()
        .map(|view| view.space.sets.mark())
        .collect();
    let questions = |input: &Input<'_>| -> Vec<usize> {
        let views = input.views.iter();
        views.map(|view| view.space.questions().count()).collect()
    };
    let before = questions(input);
    let mut found = one(input);
    // the values that new facts may have are sets that stay
    let asked = before != questions(input);
    let mut full = false;
    for (view, mark) in input.views.iter_mut().zip(marks) {
        if let Err(error) = view.space.check() {
            found.clear();
            left_out.push(format!("{id}: {error}"));
            full = true;
        }
        if !asked {
            view.space.sets.release(mark);
        }
    }
    if asked && full {
        input.views.clear();
    }
    found
}

/// Who says that a finding is meant to be so: a rule's comment `nfpath: allow ID reason`, or the options.
fn suppression(finding: &Finding, options: &Options) -> Option<(String, bool)> {
    let comment = finding.rules.first().and_then(|cited| {
        let said = cited.comment.as_deref()?.split("nfpath: allow ").nth(1)?;
        let (id, reason) = said.split_once(' ')?;
        (id == finding.about.id && !reason.trim().is_empty()).then(|| reason.trim().to_string())
    });
    if let Some(reason) = comment {
        return Some((reason, true));
    }
    let places = || {
        let rules = finding
            .rules
            .iter()
            .take(1)
            .map(|cited| cited.rule.to_string());
        rules.chain(finding.places.iter().cloned())
    };
    options
        .allow
        .iter()
        .find(|allowed| {
            allowed.id == finding.about.id
                && allowed
                    .at
                    .as_ref()
                    .is_none_or(|at| places().any(|place| place.contains(at.as_str())))
        })
        .map(|allowed| (allowed.reason.clone(), false))
}

/// So many nodes, or as many as are allowed.
fn room(options: &Options, nodes: usize) -> Room {
    Room {
        nodes: nodes.min(options.room.nodes),
        ..options.room
    }
}

/// Follows all first packets and their answers. On a host of which little is known answers can grow beyond all bounds; then
/// only what comes from outside is followed, and that is said.
fn view(
    world: World<'_>,
    hooks: &Hooks,
    v6: bool,
    watch: &Watch,
    options: &Options,
    left_out: &mut Vec<String>,
) -> Result<View, crate::sets::GaveUp> {
    match whole(world, hooks, v6, watch, room(options, NODES)) {
        Ok(view) => return Ok(view),
        Err(error) => left_out.push(format!(
            "answers, and what this host sends, of IPv{}: {error}; give the host's facts with a snapshot",
            if v6 { 6 } else { 4 }
        )),
    }
    from_outside(world, hooks, v6, watch, room(options, NODES))
}

/// Follows first packets from outside, and nothing else.
fn from_outside(
    world: World<'_>,
    hooks: &Hooks,
    v6: bool,
    watch: &Watch,
    room: Room,
) -> Result<View, crate::sets::GaveUp> {
    let mut space = Space::new(v6, world.host.links.len(), room);
    let watch = watch.clone();
    let outside = requests_watched(&mut space, world, hooks, From::Outside, Some(0), watch)?;
    Ok(View {
        back: outside.nothing(),
        here: outside.nothing(),
        here_back: outside.nothing(),
        whole: false,
        customary: conversations::customary(&mut space),
        outside,
        space,
    })
}

fn whole(
    world: World<'_>,
    hooks: &Hooks,
    v6: bool,
    watch: &Watch,
    room: Room,
) -> Result<View, crate::sets::GaveUp> {
    let mut view = from_outside(world, hooks, v6, watch, room)?;
    let space = &mut view.space;
    view.back = replies(space, world, hooks, &view.outside, From::Outside)?;
    view.here = requests(space, world, hooks, From::Here, Some(0))?;
    view.here_back = replies(space, world, hooks, &view.here, From::Here)?;
    view.whole = true;
    Ok(view)
}

/// The base chains of IP that run; of others it is said that they are left out.
fn base_chains(ruleset: &Ruleset, left_out: &mut Vec<String>) -> Vec<ChainId> {
    let mut found = Vec::new();
    for (id, chain) in ruleset.chains() {
        let table = ruleset.table(chain.table);
        let Some(base) = &chain.base else { continue };
        if table.dormancy == Dormancy::Dormant {
            continue;
        }
        let ip = matches!(table.family, Family::Ip | Family::Ip6 | Family::Inet);
        if ip && !matches!(base.hook, Hook::Ingress | Hook::Egress) {
            found.push(id);
        } else {
            left_out.push(format!(
                "rules of {} {} {}: no chain of IP",
                table.family, table.name, chain.name
            ));
        }
    }
    found
}

impl Input<'_> {
    pub(crate) fn ruleset(&self) -> &Ruleset {
        &self.loaded.ruleset
    }

    pub(crate) fn chain_words(&self, id: ChainId) -> String {
        let chain = self.ruleset().chain(id);
        let table = self.ruleset().table(chain.table);
        format!("{} {} {}", table.family, table.name, chain.name)
    }

    pub(crate) fn cite(&self, id: RuleId, part: &'static str) -> Cited {
        let rule = self.ruleset().rule(id);
        Cited {
            rule: rule_ref(self.ruleset(), id),
            text: rule_text(Sources::of(self.loaded, self.host), id),
            comment: rule.comment.as_ref().map(ToString::to_string),
            owner: self.owners.rule(id).map(|owner| owner.words()),
            part,
        }
    }

    /// A flow of the set that shows it, if one can be found that `explain` confirms: one as people send it, else any.
    pub(crate) fn witness(
        &mut self,
        at: usize,
        from: From,
        set: Set,
        shows: Shows,
    ) -> Option<Witness> {
        self.witness_if(at, from, set, shows, |_, _| true)
    }

    /// The same, with something else that has to hold.
    pub(crate) fn witness_if(
        &mut self,
        at: usize,
        from: From,
        set: Set,
        shows: Shows,
        holds: impl Fn(&Self, &Question) -> bool,
    ) -> Option<Witness> {
        if set.is_empty() {
            return None;
        }
        let space = &mut self.views[at].space;
        let usual = space.usual();
        let points = [
            Some(pick(space, self.host, set)),
            space.sets.pick(set, &usual),
        ];
        for point in points.into_iter().flatten() {
            let space = &self.views[at].space;
            let question = question(space, &self.host.links, &point, from);
            if self.confirms(&question, shows) && holds(self, &question) {
                return Some(Witness { question, shows });
            }
        }
        None
    }

    pub(crate) fn confirms(&self, question: &Question, shows: Shows) -> bool {
        explain(self.loaded, self.hooks, self.given, question)
            .is_ok_and(|answer| shows.holds(&answer.explored.primary))
    }

    /// A finding with what it rests on: where other answers to questions that nobody can answer make its flow go otherwise it
    /// is but a note.
    fn weighed(&self, mut finding: Finding) -> Finding {
        let Some(witness) = &finding.witness else {
            return finding;
        };
        let Ok(answer) = explain(self.loaded, self.hooks, self.given, &witness.question) else {
            return finding;
        };
        let mut open: Vec<String> = Vec::new();
        for other in &answer.explored.alternatives {
            let unknown = |one: &Choice| one.source == Source::Open && one.because != DRAWN;
            if !other.when.iter().all(unknown) || witness.shows.holds(&other.walked) {
                continue;
            }
            for one in &other.when {
                let words = format!("{} ({})", one.claim.said(!one.holds), one.because);
                if !open.contains(&words) {
                    open.push(words);
                }
            }
        }
        if !open.is_empty() {
            finding.severity = Severity::Note;
            finding.rests_on.extend(open);
        }
        finding
    }

    /// Whether a rule accepts.
    pub(crate) fn accepts(&self, rule: RuleId) -> bool {
        let mut statements = self.ruleset().rule(rule).statements.iter();
        statements.any(|statement| matches!(statement.kind, Stmt::Verdict(Verdict::Accept)))
    }

    /// Whether a rule drops or rejects.
    pub(crate) fn drops(&self, rule: RuleId) -> bool {
        let mut statements = self.ruleset().rule(rule).statements.iter();
        statements.any(|statement| {
            matches!(
                statement.kind,
                Stmt::Verdict(Verdict::Drop) | Stmt::Reject(_)
            )
        })
    }

    /// Whether a rule can match packets, in an IP version in which not all ways were followed.
    pub(crate) fn may_match_unseen(&self, rule: RuleId) -> bool {
        self.views.iter().any(|view| {
            let runs = self.runs.iter().filter(|run| run.space.v6 == view.space.v6);
            let mut alone = runs.filter_map(|run| run.free.alone.get(&rule));
            !view.whole && alone.any(|set| !set.is_empty())
        })
    }

    /// All first packets with these hooks on this host, in place of the real ones. `None`: there are too many sets.
    pub(crate) fn other_ways(
        &mut self,
        at: usize,
        hooks: &Hooks,
        host: &Host,
        from: From,
    ) -> Option<Ways> {
        let space = &mut self.views[at].space;
        in_world(self.loaded, host, |world| {
            requests(space, world, hooks, from, Some(0)).ok()
        })
    }

    /// The answers to such packets.
    pub(crate) fn other_answers(
        &mut self,
        at: usize,
        hooks: &Hooks,
        host: &Host,
        requests: &Ways,
        from: From,
    ) -> Option<Ways> {
        let space = &mut self.views[at].space;
        in_world(self.loaded, host, |world| {
            replies(space, world, hooks, requests, from).ok()
        })
    }
}

/// Asks something about a ruleset on a host.
fn in_world<T>(loaded: &Loaded, host: &Host, ask: impl FnOnce(World<'_>) -> T) -> T {
    let values = link_values(host);
    ask(World {
        ruleset: &loaded.ruleset,
        host,
        link_values: &values,
    })
}

/// Who dropped or rejected a packet.
fn refuser(path: &Path) -> Option<By> {
    if !matches!(
        path.disposition,
        Disposition::Dropped | Disposition::Rejected
    ) {
        return None;
    }
    path.steps.iter().rev().find_map(|step| match &step.kind {
        StepKind::Rule(rule) => match rule.outcome {
            RuleOutcome::Matched(taken) if taken.refuses() => Some(By::Rule(rule.rule)),
            _ => None,
        },
        StepKind::Policy { chain, .. } => Some(By::Policy(*chain)),
        _ => None,
    })
}

/// Packets whose answers leave by the interface that they came by.
fn honest_in(space: &mut Space, answers: &Ways, links: usize) -> Set {
    let mut honest = Vec::new();
    for (link, packets) in &answers.fields.oif.0 {
        let Some(at) = link.filter(|at| usize::from(*at) < links) else {
            continue;
        };
        let at = u128::from(at);
        let iif = space.packets(Part::Iif, &[(at, at)]);
        honest.push(space.sets.and(iif, *packets));
    }
    space.sets.union(&honest)
}

impl View {
    /// Usual first packets of these, whatever is open.
    pub(crate) fn usual(&mut self, set: Set) -> Set {
        usual_only(&mut self.space, set)
    }

    /// Packets that came by the interface that the answer leaves by: nobody has made up their source.
    pub(crate) fn honest(&mut self, links: usize) -> Set {
        honest_in(&mut self.space, &self.back, links)
    }

    /// All first packets of one side, and their answers.
    pub(crate) fn ways(&self, from: From) -> (&Ways, &Ways) {
        match from {
            From::Outside => (&self.outside, &self.back),
            From::Here => (&self.here, &self.here_back),
        }
    }

    /// Usual first packets that a rule translated, by rule.
    pub(crate) fn bound(&mut self, manip: Manip, from: From) -> BTreeMap<RuleId, Set> {
        let mut sets: BTreeMap<RuleId, Vec<Set>> = BTreeMap::new();
        for bound in &self.ways(from).0.bound {
            if bound.manip == manip {
                sets.entry(bound.rule).or_default().push(bound.packets);
            }
        }
        let mut found = BTreeMap::new();
        for (rule, sets) in sets {
            let all = self.space.sets.union(&sets);
            found.insert(rule, self.usual(all));
        }
        found
    }

    /// Usual first packets from outside that are forwarded, by the link that they leave by.
    pub(crate) fn forwarded(&mut self) -> BTreeMap<u16, Set> {
        let mut sets: BTreeMap<u16, Vec<Set>> = BTreeMap::new();
        for exit in &self.outside.exits {
            if let End::Forwarded(oif) = exit.end {
                sets.entry(oif).or_default().push(exit.packets);
            }
        }
        let mut found = BTreeMap::new();
        for (oif, sets) in sets {
            let all = self.space.sets.union(&sets);
            found.insert(oif, self.usual(all));
        }
        found
    }

    /// Those of them that leave by another link than they came by.
    pub(crate) fn across(&mut self) -> Set {
        let mut all = Vec::new();
        for (oif, packets) in self.forwarded() {
            let oif = u128::from(oif);
            let same = self.space.packets(Part::Iif, &[(oif, oif)]);
            all.push(self.space.sets.minus(packets, same));
        }
        self.space.sets.union(&all)
    }

    /// All packets that have a part in common with some of these.
    pub(crate) fn with_part(&mut self, set: Set, part: Part) -> Set {
        let mut vars: Vec<Var> = Vec::new();
        for input in Part::ALL {
            if input != part {
                vars.extend_from_slice(self.space.vars(input));
            }
        }
        vars.extend(self.space.questions().flat_map(|one| one.vars.clone()));
        let cube = self.space.sets.cube(&vars);
        self.space.sets.exists(set, cube)
    }
}
