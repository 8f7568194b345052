//! What a change of the ruleset changes, for all packets (`nfpath diff`).
//!
//! Both rulesets are followed in one space of sets ([`crate::symbolic`]), so where packets end, what they are translated to
//! and whether their answers come back can be subtracted. What is left is cut into classes of packets that have one fate
//! before and one after. Nothing left is a proof that there is no such packet, under what the answer says was taken for usual.

mod pairs;
pub mod v1;

use std::collections::BTreeMap;

use crate::conntrack::Manip;
use crate::eval::World;
use crate::explain::{Question, explain};
use crate::hooks::Hooks;
use crate::host::Host;
use crate::load::Loaded;
use crate::logic::Source;
use crate::reach::class::{
    Class, Customary, Cutting, Ending, MARTIAN, TTL, Target, add_assumed, agrees, begins, parts,
    question, unusual_headers, unusual_icmp, usual_answers, usual_fields, usual_only,
};
use crate::reach::{Cited, cited, imagined};
use crate::report::build::host_drop_name;
use crate::ruleset::{RuleId, Ruleset, Stmt};
use crate::sets::{GaveUp, Point, Room, Set};
use crate::symbolic::{By, End, From, Input, Space, Ways, replies, requests};
use crate::walk::link_values;
use crate::walk::refuse::Told;
use crate::walk::step::{HostDrop, Outcome, Walked};

/// A ruleset and the host that it runs on.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    pub loaded: &'a Loaded,
    pub host: &'a Host,
}

/// What kind of change it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Packets get through that did not.
    Opened,
    /// Packets do not get through that did.
    Closed,
    /// Another way, other addresses, another refusal, or answers that are lost or come back.
    Changed,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Opened => "opened",
            Kind::Closed => "closed",
            Kind::Changed => "changed",
        }
    }
}

/// Where a packet ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Ended {
    At(End),
    /// A rule refuses it, and tells the sender this.
    Refused(Told),
    /// There is no such interface on this host.
    NoInterface,
}

impl Ended {
    /// `None`: nobody knows.
    fn passes(&self) -> Option<bool> {
        match self {
            Ended::At(end) => end.passes(),
            Ended::Refused(_) | Ended::NoInterface => Some(false),
        }
    }

    /// The host drops it for its addresses.
    fn is_martian(&self) -> bool {
        let why = match self {
            Ended::At(End::Host(why)) => why.0,
            Ended::At(_) | Ended::Refused(_) | Ended::NoInterface => return false,
        };
        matches!(why, HostDrop::MartianSource | HostDrop::MartianDestination)
    }
}

/// What becomes of packets under one ruleset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    /// One of the names of docs/formats/diff.md.
    pub end: &'static str,
    /// The interface that they leave by, why the host or nobody knows.
    pub detail: Option<String>,
    /// Where the destination is translated to.
    pub translated: Option<Target>,
    /// Who translates and lets pass, or who stops them.
    pub by: Vec<Cited>,
    /// Whether answers come back, and who stops them; `None`: it makes no difference here.
    pub answers: Option<(bool, Vec<Cited>)>,
}

/// Packets with one fate before and one after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub kind: Kind,
    /// Packets of this host, not from outside.
    pub sent_here: bool,
    /// Packets to multicast and broadcast addresses.
    pub to_many: bool,
    pub class: Class,
    pub before: Fate,
    pub after: Fate,
    /// What it rests on; empty: the input says it all.
    pub rests_on: Vec<String>,
    pub witness: Witness,
}

/// One flow of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    pub flow: String,
    pub iif: Option<String>,
    /// Where they are not SYN alone.
    pub tcp_flags: Option<u8>,
    /// Type and code, where it is no echo request.
    pub icmp: Option<(u8, u8)>,
    /// What `--assume` says of it: fields and their values.
    pub assume: Vec<(String, String)>,
    /// Whether `explain` says the same of it, under both rulesets; `None`: it cannot be asked about such headers.
    pub confirmed: Option<bool>,
}

/// The answer.
#[derive(Debug, Clone, Default)]
pub struct Diff {
    /// By kind, then by class.
    pub rows: Vec<Row>,
    /// Kinds of packets that are not compared, in words.
    pub left_out: Vec<String>,
    /// What was taken for usual, in words.
    pub assumed: Vec<String>,
    /// What makes the two treat more packets otherwise when it is not as usual, in words.
    pub unusual: Vec<String>,
    /// There are more rows than are told.
    pub truncated: bool,
    /// Why the rows are not all that there are, in words.
    pub given_up: Option<String>,
}

/// How many rows are made at most.
const MOST: usize = 2000;

/// Compares what two rulesets do to all packets.
pub fn diff(old: Side<'_>, new: Side<'_>, room: Room) -> Diff {
    let (old_host, new_host) = together(old, new);
    let absent = |host: &Host, own: &Host| -> Vec<u128> {
        let known = |name: &str| !own.complete.links || own.link(name).is_some();
        let links = (0u128..).zip(&host.links);
        let gone = links.filter(|(_, link)| !known(&link.name));
        gone.map(|(at, _)| at).collect()
    };
    let (old_absent, new_absent) = (absent(&old_host, old.host), absent(&new_host, new.host));
    let names = pairs::names(&old, &new);
    let hooks = [
        Hooks::new(&old.loaded.ruleset),
        Hooks::new(&new.loaded.ruleset),
    ];
    let mut answer = Diff::default();
    let pair = Pair {
        sides: [
            (old.loaded, &old_host, &hooks[0], old_absent.as_slice()),
            (new.loaded, &new_host, &hooks[1], new_absent.as_slice()),
        ],
        names: &names,
    };
    for v6 in [false, true] {
        match pair.of_version(v6, room, &mut answer) {
            Ok(()) => {}
            Err(GaveUp::Interrupted) => {
                answer.given_up = Some("interrupted".into());
                break;
            }
            Err(error) => {
                answer.given_up = Some(format!("IPv{}: {error}", if v6 { 6 } else { 4 }));
            }
        }
    }
    for (which, side) in [("old", old), ("new", new)] {
        if let (None, [first, more @ ..]) = (&answer.given_up, side.loaded.unread().as_slice()) {
            let more = match more.len() {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            answer.given_up = Some(format!(
                "not all of the {which} ruleset was read: {first}{more}"
            ));
        }
    }
    answer.rows.sort_by_cached_key(|row| {
        let class = &row.class;
        (
            row.kind,
            class.v6,
            row.sent_here,
            class.interfaces.clone(),
            class.protocols.clone(),
            class.destinations.clone(),
            class.ports.clone(),
            class.sources.clone(),
            class.source_ports.clone(),
        )
    });
    answer
}

/// Both rulesets: each with its host, its hooks, and links that its host does not have.
struct Pair<'a> {
    sides: [(&'a Loaded, &'a Host, &'a Hooks, &'a [u128]); 2],
    names: &'a BTreeMap<RuleId, String>,
}

impl Pair<'_> {
    /// Adds the rows of one IP version; those that were made before it gives up are right.
    fn of_version(&self, v6: bool, room: Room, answer: &mut Diff) -> Result<(), GaveUp> {
        let [old, new] = self.sides;
        for from in [From::Outside, From::Here] {
            // nothing is asked of both sides together, and each has all the room
            let mut space = Space::new(v6, old.1.links.len(), room);
            space.name_rules(BTreeMap::new());
            let before = Followed::of(&mut space, old, from)?;
            space.name_rules(self.names.clone());
            let after = Followed::of(&mut space, new, from)?;
            let mut compared = Compared {
                before: &before,
                after: &after,
                from,
                answer,
            };
            compared.rows(&mut space)?;
            add_assumed(&space, &mut answer.assumed);
        }
        Ok(())
    }
}

/// Both hosts with what is worked out from the rulesets, and the same links at the same places.
fn together(old: Side<'_>, new: Side<'_>) -> (Host, Host) {
    let mut before = imagined(&old.loaded.ruleset, old.host);
    if old.host == new.host {
        // one host: what either ruleset tells of it holds for both
        let both = imagined(&new.loaded.ruleset, &before);
        return (both.clone(), both);
    }
    let mut after = imagined(&new.loaded.ruleset, new.host);
    let missing: Vec<_> = after
        .links
        .iter()
        .filter(|link| before.link(&link.name).is_none())
        .cloned()
        .collect();
    before.links.extend(missing);
    let all: Vec<_> = before
        .links
        .iter()
        .map(|link| after.link(&link.name).unwrap_or(link).clone())
        .collect();
    after.links = all;
    (before, after)
}

/// All packets of one side under one ruleset.
struct Followed<'a> {
    loaded: &'a Loaded,
    host: &'a Host,
    hooks: &'a Hooks,
    ways: Ways,
    back: Ways,
    exits: Vec<(Ended, By, Set)>,
}

/// What a rule that rejects tells the sender.
fn told(ruleset: &Ruleset, rule: RuleId, v6: bool) -> Option<Told> {
    let statements = &ruleset.rule(rule).statements;
    statements
        .iter()
        .find_map(|statement| match statement.kind {
            Stmt::Reject(reject) => Some(Told::by(reject, v6)),
            _ => None,
        })
}

/// What a fate is made of; equal for packets of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Label {
    end: Ended,
    by: Vec<By>,
    translated: Option<Target>,
    answers: Option<(bool, Vec<By>)>,
}

impl<'a> Followed<'a> {
    fn of(
        space: &mut Space,
        (loaded, host, hooks, absent): (&'a Loaded, &'a Host, &'a Hooks, &[u128]),
        from: From,
    ) -> Result<Followed<'a>, GaveUp> {
        let values = link_values(host);
        let world = World {
            ruleset: &loaded.ruleset,
            host,
            link_values: &values,
        };
        let ways = requests(space, world, hooks, from, Some(0))?;
        let back = replies(space, world, hooks, &ways, from)?;
        let mut nowhere = Vec::new();
        if from == From::Outside {
            for at in absent {
                nowhere.push(space.packets(Input::Iif, &[(*at, *at)]));
            }
        }
        let nowhere = space.sets.union(&nowhere);
        let mut exits = Vec::new();
        for exit in &ways.exits {
            let packets = space.sets.minus(exit.packets, nowhere);
            let refusal = match (&exit.end, exit.by) {
                (End::Rejected, By::Rule(rule)) => told(&loaded.ruleset, rule, space.v6),
                _ => None,
            };
            let end = match refusal {
                Some(told) => Ended::Refused(told),
                None => Ended::At(exit.end.clone()),
            };
            exits.push((end, exit.by, packets));
        }
        let nowhere = space.sets.and(ways.sent, nowhere);
        exits.push((Ended::NoInterface, By::Stack, nowhere));
        Ok(Followed {
            loaded,
            host,
            hooks,
            ways,
            back,
            exits,
        })
    }

    fn by_end(&self, space: &mut Space) -> BTreeMap<Ended, Set> {
        let mut ends: BTreeMap<Ended, Set> = BTreeMap::new();
        for (end, _, packets) in &self.exits {
            let known = ends.entry(end.clone()).or_default();
            *known = space.sets.or(*known, *packets);
        }
        ends
    }

    /// Packets that get through.
    fn passed(&self, space: &mut Space) -> Set {
        let passed = self
            .exits
            .iter()
            .filter(|(end, ..)| end.passes() == Some(true));
        let passed: Vec<Set> = passed.map(|(.., packets)| *packets).collect();
        space.sets.union(&passed)
    }

    /// Packets that nobody follows here, with the words for them.
    fn not_covered(ways: &Ways) -> impl Iterator<Item = (&'static str, Set)> {
        ways.exits.iter().filter_map(|exit| match exit.end {
            End::NotCovered(what) => Some((what, exit.packets)),
            _ => None,
        })
    }

    /// Cuts packets up by what becomes of them, and by what becomes of their answers where that matters.
    fn labels(&self, space: &mut Space, packets: Set, moved: Set, heard: Set) -> Vec<(Label, Set)> {
        let mut labels = Vec::new();
        for (end, by, own) in &self.exits {
            let own = usual_answers(space, *own);
            let own = space.sets.and(own, packets);
            if own.is_empty() {
                continue;
            }
            let label = |by: Vec<By>| Label {
                end: end.clone(),
                by,
                translated: None,
                answers: None,
            };
            if end.passes() != Some(true) {
                labels.push((label(vec![*by]), own));
                continue;
            }
            for part in parts(space, &self.ways, own, usual_answers) {
                let own = Label {
                    translated: part.translated,
                    ..label(part.by)
                };
                for (own, packets) in self.by_source(space, own, part.packets, moved) {
                    let own = match own.by.as_slice() {
                        [] => Label {
                            by: vec![*by],
                            ..own
                        },
                        _ => own,
                    };
                    labels.extend(self.by_answer(space, own, packets, heard));
                }
            }
        }
        labels
    }

    /// Names the rules that translate sources, where addresses differ.
    fn by_source(
        &self,
        space: &mut Space,
        label: Label,
        packets: Set,
        moved: Set,
    ) -> Vec<(Label, Set)> {
        let mut found = Vec::new();
        let mut rest = packets;
        let of_moved = space.sets.and(packets, moved);
        if !of_moved.is_empty() {
            for bound in &self.ways.bound {
                if bound.manip != Manip::Src {
                    continue;
                }
                let own = usual_answers(space, bound.packets);
                let own = space.sets.and(rest, own);
                let own = space.sets.and(own, moved);
                if own.is_empty() {
                    continue;
                }
                rest = space.sets.minus(rest, own);
                let mut by = label.by.clone();
                by.push(By::Rule(bound.rule));
                found.push((
                    Label {
                        by,
                        ..label.clone()
                    },
                    own,
                ));
            }
        }
        if !rest.is_empty() {
            found.push((label, rest));
        }
        found
    }

    fn by_answer(
        &self,
        space: &mut Space,
        label: Label,
        packets: Set,
        heard: Set,
    ) -> Vec<(Label, Set)> {
        let mut found = Vec::new();
        let asked = space.sets.and(packets, heard);
        let mut rest = space.sets.minus(packets, heard);
        if !asked.is_empty() {
            let mut open = asked;
            for exit in &self.back.exits {
                let own = usual_answers(space, exit.packets);
                let own = space.sets.and(open, own);
                if own.is_empty() {
                    continue;
                }
                open = space.sets.minus(open, own);
                let passes = Ended::At(exit.end.clone()).passes() == Some(true);
                let by = if passes { Vec::new() } else { vec![exit.by] };
                let answers = Some((passes, by));
                found.push((
                    Label {
                        answers,
                        ..label.clone()
                    },
                    own,
                ));
            }
            rest = space.sets.or(rest, open);
        }
        if !rest.is_empty() {
            found.push((label, rest));
        }
        found
    }

    fn fate(&self, label: &Label, v6: bool) -> Fate {
        let link = |at: u16| {
            self.host
                .links
                .get(usize::from(at))
                .map(|link| link.name.to_string())
        };
        let (end, detail) = match &label.end {
            Ended::NoInterface => ("no-interface", None),
            Ended::Refused(told) => ("rejected", Some(told.words(v6))),
            Ended::At(end) => match end {
                End::Local => ("local", None),
                End::Forwarded(oif) => ("forwarded", link(*oif)),
                End::Transmitted(oif) => ("transmitted", link(*oif)),
                End::Relayed => ("relayed", None),
                End::Dropped => ("dropped", None),
                End::Rejected => ("rejected", None),
                End::Queued => ("queued", None),
                End::Stolen => ("stolen", None),
                End::Host(drop) => ("host-dropped", Some(host_drop_name(drop.0).to_string())),
                End::Unknown(why) => ("unknown", Some(why.clone())),
                End::NotCovered(what) => ("unknown", Some((*what).to_string())),
            },
        };
        Fate {
            end,
            detail,
            translated: label.translated,
            by: cited(self.loaded, self.host, &label.by),
            answers: label
                .answers
                .as_ref()
                .map(|(back, by)| (*back, cited(self.loaded, self.host, by))),
        }
    }

    /// Whether `explain` says the same of a packet; `None`: it was not asked for some of the headers.
    fn confirms(
        &self,
        space: &Space,
        point: &Point,
        question: &Question,
        is_open: bool,
        label: &Label,
    ) -> Option<bool> {
        let end = match &label.end {
            Ended::At(end) => end,
            Ended::Refused(_) => &End::Rejected,
            Ended::NoInterface => return Some(true),
        };
        let stays = self.ways.destination(space, point);
        let ending = Ending::of(self.host, end, label.translated, stays);
        let Ok(answer) = explain(self.loaded, self.hooks, self.host, question) else {
            return Some(false);
        };
        let fits = |walked: &Walked| {
            let back = walked.reply.as_ref();
            let back = back.map(|reply| reply.disposition.outcome() == Outcome::Accept);
            let answers = match (&label.answers, back) {
                (Some((wanted, _)), Some(back)) => *wanted == back,
                _ => true,
            };
            answers && ending.is_of(&answer, &walked.request)
        };
        match agrees(&answer, is_open, fits) {
            true => Some(true),
            // a rule may ask for a field in other words than those of the assumption
            false => {
                let unusual = unusual_headers(question);
                let unused = answer.unused.iter();
                let mut unused = unused.filter_map(|at| question.assume.get(*at));
                match unused.any(|said| unusual.contains(said)) {
                    true => None,
                    false => Some(false),
                }
            }
        }
    }
}

/// The packets of one side, under both rulesets.
struct Compared<'a> {
    before: &'a Followed<'a>,
    after: &'a Followed<'a>,
    from: From,
    answer: &'a mut Diff,
}

/// Whether it is nobody's question what becomes of packets: the host would drop them for their addresses anyway.
fn no_matter(old: &Label, new: &Label) -> bool {
    let stopped = |label: &Label| label.end.passes() == Some(false);
    stopped(old) && stopped(new) && (old.end.is_martian() || new.end.is_martian())
}

/// Against what the packets of one side are cut.
struct Frame {
    /// First packets as they usually look.
    usual: Cutting,
    /// Packets with any headers.
    every: Cutting,
    /// Packets to many receivers.
    many: Set,
    customary: Customary,
}

impl Compared<'_> {
    fn rows(&mut self, space: &mut Space) -> Result<(), GaveUp> {
        let (changed, moved, heard) = self.changed(space);
        space.check()?;
        let old = self.before.labels(space, changed, moved, heard);
        let new = self.after.labels(space, changed, moved, heard);
        let frame = self.frame(space);
        space.check()?;
        let mut martians = Vec::new();
        for (old, own) in &old {
            for (new, other) in &new {
                let mark = space.sets.mark();
                let right = self.answer.rows.len();
                let packets = space.sets.and(*own, *other);
                if no_matter(old, new) {
                    martians.push(usual_only(space, packets));
                } else if !packets.is_empty() {
                    self.cut(space, &frame, old, new, packets);
                }
                if let Err(error) = space.check() {
                    self.answer.rows.truncate(right);
                    return Err(error);
                }
                if !no_matter(old, new) {
                    space.sets.release(mark);
                }
            }
        }
        if !space.sets.union(&martians).is_empty() {
            let words = format!(
                "packets that get through under none, and that the host drops for their addresses under one (IPv{})",
                if space.v6 { 6 } else { 4 }
            );
            if !self.answer.left_out.contains(&words) {
                self.answer.left_out.push(words);
            }
        }
        space.check()
    }

    /// What does not end, look or get answered as before: all, where addresses differ, and where answers do.
    fn changed(&mut self, space: &mut Space) -> (Set, Set, Set) {
        let (old, new) = (self.before.by_end(space), self.after.by_end(space));
        let mut all = Vec::new();
        let mut ends: Vec<&Ended> = old.keys().chain(new.keys()).collect();
        ends.sort();
        ends.dedup();
        for end in ends {
            let one = old.get(end).copied().unwrap_or_default();
            let other = new.get(end).copied().unwrap_or_default();
            all.push(space.sets.xor(one, other));
        }
        let one = self.before.passed(space);
        let other = self.after.passed(space);
        let both = space.sets.and(one, other);
        let moved =
            self.before
                .ways
                .fields
                .addressed_otherwise(&self.after.ways.fields, both, space);
        all.push(moved);
        let mut unseen = self.unseen(space, &self.before.back, &self.after.back);
        let one = self.before.back.passed(space);
        let other = self.after.back.passed(space);
        let heard = space.sets.xor(one, other);
        let heard = space.sets.and(heard, both);
        let heard = space.sets.minus(heard, unseen);
        // only what begins a conversation has answers
        let begins = begins(space);
        let heard = space.sets.and(heard, begins);
        all.push(heard);
        let changed = space.sets.union(&all);
        unseen = self.unseen(space, &self.before.ways, &self.after.ways);
        let changed = space.sets.minus(changed, unseen);
        let mut cut = |set: Set| {
            let set = space.sets.minus(set, unseen);
            let set = usual_answers(space, set);
            let valid = space.valid();
            space.sets.and(set, valid)
        };
        let usual = cut(changed);
        let rows = (usual, cut(moved), cut(heard));
        self.unusual(space, changed, usual);
        rows
    }

    /// Tells what makes packets change their fate that do not change it as long as all is as usual.
    fn unusual(&mut self, space: &mut Space, changed: Set, usual: Set) {
        if changed.is_empty() {
            return;
        }
        let mark = space.sets.mark();
        let begins = begins(space);
        let valid = space.valid();
        let [all, usual] = [changed, usual].map(|set| {
            let set = usual_fields(space, set);
            let set = space.sets.and(set, begins);
            space.sets.and(set, valid)
        });
        let frame = Cutting::new(space, valid, Set::NONE);
        let told = frame.visible(space, usual);
        let more = space.sets.minus(all, told);
        let asked = space.rests_on(more).into_iter();
        let asked: Vec<_> = asked
            .filter(|one| one.source == Source::Default)
            .cloned()
            .collect();
        let asked: Vec<_> = asked
            .into_iter()
            .map(|question| (question.as_usual(&mut space.sets), question))
            .collect();
        let mut words = Vec::new();
        for (usual, question) in &asked {
            // this one alone is not as usual
            let others = asked.iter();
            let others = others.filter(|(_, other)| other.words != question.words);
            let alone = others.fold(usual.not(), |all, (one, _)| space.sets.and(all, *one));
            if !space.sets.and(more, alone).is_empty() {
                words.push(question.otherwise());
            }
        }
        if words.is_empty() && !more.is_empty() {
            words.push("when several of what is taken for usual is otherwise".into());
        }
        if space.check().is_ok() {
            for words in words {
                if !self.answer.unusual.contains(&words) {
                    self.answer.unusual.push(words);
                }
            }
        }
        space.sets.release(mark);
    }

    /// Packets that one of the walks does not follow; they are said to be left out.
    fn unseen(&mut self, space: &mut Space, old: &Ways, new: &Ways) -> Set {
        let mut all = Vec::new();
        let found: Vec<(&str, Set)> = Followed::not_covered(old)
            .chain(Followed::not_covered(new))
            .collect();
        for (what, packets) in found {
            all.push(packets);
            let words = format!("{what} (IPv{})", if space.v6 { 6 } else { 4 });
            if !usual_only(space, packets).is_empty() && !self.answer.left_out.contains(&words) {
                self.answer.left_out.push(words);
            }
        }
        space.sets.union(&all)
    }

    fn frame(&self, space: &mut Space) -> Frame {
        let all = usual_only(space, Set::ALL);
        let every = usual_answers(space, Set::ALL);
        let valid = space.valid();
        let every = space.sets.and(every, valid);
        let many = space
            .sets
            .or(self.before.ways.to_many, self.after.ways.to_many);
        // what the host drops for its source, or would if no rule did
        let mut martians = Vec::new();
        let mut passed = Vec::new();
        for side in [self.before, self.after] {
            martians.push(side.ways.ended(space, |end| *end == MARTIAN));
            passed.push(side.ways.passed(space));
        }
        let (martians, passed) = (space.sets.union(&martians), space.sets.union(&passed));
        let martians = space.sets.minus(martians, passed);
        Frame {
            usual: Cutting::new(space, all, martians),
            every: Cutting::new(space, every, martians),
            many: usual_answers(space, many),
            customary: Customary::of(self.after.host, space.v6),
        }
    }

    /// Rows for packets of one fate before and one after: those that look as first packets usually do, then classes of
    /// which only others change.
    fn cut(&mut self, space: &mut Space, frame: &Frame, old: &Label, new: &Label, packets: Set) {
        let usual = usual_only(space, packets);
        let told = frame.usual.visible(space, usual);
        let rare = space.sets.minus(packets, told);
        // how the host refuses odd packets that no ruleset lets through is nobody's question
        let stopped = old.end.passes() == Some(false) && new.end.passes() == Some(false);
        let rare = if stopped { Set::NONE } else { rare };
        let kind = match (old.end.passes(), new.end.passes()) {
            (Some(false), Some(true)) => Kind::Opened,
            (Some(true), Some(false)) => Kind::Closed,
            _ => Kind::Changed,
        };
        let v6 = space.v6;
        let (before, after) = (self.before.fate(old, v6), self.after.fate(new, v6));
        let many = frame.many;
        for (packets, cutting, to_many) in [
            (space.sets.minus(usual, many), &frame.usual, false),
            (space.sets.and(usual, many), &frame.usual, true),
            (space.sets.minus(rare, many), &frame.every, false),
            (space.sets.and(rare, many), &frame.every, true),
        ] {
            let room = MOST.saturating_sub(self.answer.rows.len());
            let links = &self.before.host.links;
            let (cells, more) = cutting.cells(space, links, packets, room);
            self.answer.truncated |= more;
            for cell in cells {
                let point = frame.customary.pick(space, cell.packets);
                let question = question(space, links, &point, self.from);
                let confirmed = match space.get(&point, Input::Ttl) {
                    TTL => {
                        let open = cell.is_open;
                        let before = self.before.confirms(space, &point, &question, open, old);
                        let after = self.after.confirms(space, &point, &question, open, new);
                        before.zip(after).map(|(before, after)| before && after)
                    }
                    _ => None,
                };
                let rests_on = cell.rests_on(space, cutting.all);
                let mut class = cell.class;
                if self.from == From::Here {
                    class.interfaces.clear();
                }
                self.answer.rows.push(Row {
                    kind,
                    sent_here: self.from == From::Here,
                    to_many,
                    class,
                    before: before.clone(),
                    after: after.clone(),
                    rests_on,
                    witness: Witness {
                        flow: question.flow.to_string(),
                        icmp: unusual_icmp(&question),
                        assume: unusual_headers(&question),
                        iif: question.iif,
                        tcp_flags: question.tcp_flags,
                        confirmed,
                    },
                });
            }
        }
    }
}
