//! What would have to be added for a flow that does not get through, so that it and its reply pass.
//!
//! The search asks the engine alone: it finds where the conversation ends, puts a rule into the syntax tree (or changes
//! a setting of the host), walks again, and goes on until both ways pass or nothing is left to try. Then every addition
//! is taken away once, and what turns out to be needless stays away. What is found is told as commands of the program
//! that owns the chain; nothing is applied.

mod command;
mod death;
mod matching;

use std::borrow::Cow;

use nftables::batch::Batch;
use nftables::schema::{NfCmd, NfListObject, Rule};
use nftables::stmt::Statement;
use nftables::types::NfFamily;
use serde_json::Value;

use crate::explain::{Answer, Question, explain};
use crate::hooks::Hooks;
use crate::host::{Host, IpFamily};
use crate::load::{Insertion, Loaded, bundle};
use crate::nft::print;
use crate::owner::{Owner, Owners, Place};
use crate::report::build::{disposition_name, rule_ref};
use crate::report::remedy::{Addition, Advice, Change, Remedy, RuleChange, Status};
use crate::report::{RuleRef, Verdict};
use crate::ruleset::{ChainId, ChainType, Family, Handle, RuleId, Ruleset, Stmt};
use crate::walk::step::{Disposition, HostDrop, PacketView};

use command::{Loader, Spot, can_say, commands};
use death::{Cause, Death, Direction, Key, Run};
use matching::{Facts, Matching, What};

/// Remedies that are shown.
const MOST: usize = 3;
/// Additions that one remedy may have: two base chains each way, and two settings.
const DEEPEST: usize = 8;
/// The chain of firewalld from which policies are called before the zones' own rules.
const POLICIES: &str = "filter_FORWARD_POLICIES_pre";

/// The flow that a remedy is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub loaded: &'a Loaded,
    /// As it was given, without inferences.
    pub host: &'a Host,
    pub question: &'a Question,
    /// The answer as things are.
    pub answer: &'a Answer,
    /// False when the listing's handles are not those of the host (nft syntax that was loaded to be read).
    pub has_handles: bool,
}

/// What would let a flow and its reply pass, and for each remedy what it changes.
pub fn remedy(asked: Asked<'_>) -> (Advice, Vec<Amendment>) {
    let mut advice = Advice {
        status: Status::NothingToChange,
        remedies: Vec::new(),
        remains: None,
    };
    if asked.answer.report.verdict == Verdict::Accept {
        return (advice, Vec::new());
    }
    let search = Search { asked };
    let (status, ways, remains) = search.ways();
    (advice.status, advice.remains) = (status, remains);
    let mut amendments = Vec::new();
    for steps in &ways {
        if let Some(remedy) = search.told(steps) {
            advice.remedies.push(remedy);
            amendments.push(search.amendment(steps));
        }
    }
    (advice, amendments)
}

/// What a remedy changes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Amendment {
    pub insertions: Vec<Insertion>,
    /// Settings of the kernel, each with its value.
    pub settings: Vec<(String, String)>,
}

impl Amendment {
    /// The ruleset with the rules, and the host with the settings.
    pub fn applied(&self, loaded: &Loaded, host: &Host) -> (Loaded, Host) {
        let mut host = host.clone();
        set(&mut host, &self.settings);
        (loaded.with_rules(&self.insertions), host)
    }
}

struct Search<'a> {
    asked: Asked<'a>,
}

/// Something that may be added.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Rule(Candidate),
    Settings(Vec<(String, String)>),
}

/// A rule and its place, told by the chains and rules as they were loaded.
#[derive(Debug, Clone, PartialEq)]
struct Candidate {
    chain: ChainId,
    /// Position of the rule it stands in front of; `None`: at the end.
    before: Option<usize>,
    matching: Matching,
    place: Option<Place>,
    /// For a policy of firewalld: the interface that has to be put into the zone first.
    bind: Option<String>,
    /// The software that writes the chain anew.
    rewritten: Option<&'static str>,
}

/// A step with what it is for.
#[derive(Debug, Clone, PartialEq)]
struct Taken {
    of: Direction,
    against: String,
    step: Step,
}

/// A ruleset, its host, and the answer under them.
struct World {
    loaded: Loaded,
    host: Host,
    answer: Answer,
}

impl World {
    fn passes(&self) -> bool {
        self.answer.report.verdict == Verdict::Accept
    }
}

/// Where a search ended.
struct Way {
    steps: Vec<Taken>,
    world: Option<World>,
    /// What stands in the way still.
    remains: Option<String>,
}

impl Search<'_> {
    /// The additions of each remedy, best first, and what remains when none is whole.
    fn ways(&self) -> (Status, Vec<Vec<Taken>>, Option<String>) {
        let mut whole: Vec<Vec<Taken>> = Vec::new();
        let mut part: Option<Way> = None;
        for preferred in 0..MOST {
            let way = self.search(preferred);
            if way.remains.is_some() {
                part.get_or_insert(way);
                continue;
            }
            let steps = self.needed(way.steps);
            if !whole.contains(&steps) {
                whole.push(steps);
            }
        }
        let is_rewritten = |taken: &Taken| match &taken.step {
            Step::Rule(rule) => rule.rewritten.is_some(),
            Step::Settings(_) => false,
        };
        whole.sort_by_key(|steps| (steps.iter().any(is_rewritten), steps.len()));
        match (whole.is_empty(), part) {
            (false, _) => (Status::Found, whole, None),
            (true, Some(way)) if !way.steps.is_empty() => {
                (Status::Partial, vec![way.steps], way.remains)
            }
            (true, way) => (Status::None, Vec::new(), way.and_then(|way| way.remains)),
        }
    }

    fn amendment(&self, steps: &[Taken]) -> Amendment {
        let ruleset = &self.asked.loaded.ruleset;
        let mut amendment = Amendment::default();
        for ((rule, index), taken) in self.indices(steps).into_iter().zip(steps) {
            if let Step::Settings(settings) = &taken.step {
                amendment.settings.extend(settings.iter().cloned());
            }
            if let Some(rule) = rule {
                let table = ruleset.table_of(rule.chain);
                amendment.insertions.push(Insertion {
                    family: table.family,
                    table: table.name.clone(),
                    chain: ruleset.chain(rule.chain).name.clone(),
                    index,
                    statements: rule.matching.syntax(),
                });
            }
        }
        amendment
    }

    /// Adds what the n-th place offers, one obstacle after the other.
    fn search(&self, preferred: usize) -> Way {
        let mut way = Way {
            steps: Vec::new(),
            world: None,
            remains: None,
        };
        let mut met: Vec<Key> = Vec::new();
        while way.steps.len() < DEEPEST {
            let (loaded, host, answer) = match &way.world {
                Some(world) => (&world.loaded, &world.host, &world.answer),
                None => (self.asked.loaded, self.asked.host, self.asked.answer),
            };
            if answer.report.verdict == Verdict::Accept {
                return way;
            }
            let Some(death) = Death::of(answer, &loaded.ruleset) else {
                way.remains = Some("open facts decide: see the other endings".into());
                return way;
            };
            met.push(death.key());
            let against = self.against(&death, loaded, &way.steps);
            let places = self.steps(&death, loaded, host, answer, &way.steps);
            let first = preferred.min(places.len().saturating_sub(1));
            let (before, after) = places.split_at(first);
            let found = after.iter().chain(before).flatten().find_map(|step| {
                let mut steps = way.steps.clone();
                steps.push(Taken {
                    of: death.of,
                    against: against.clone(),
                    step: step.clone(),
                });
                let world = self.world(&steps)?;
                let further = world.passes()
                    || Death::of(&world.answer, &world.loaded.ruleset)
                        .is_some_and(|next| !met.contains(&next.key()));
                further.then_some((steps, world))
            });
            let Some((steps, world)) = found else {
                way.remains = Some(remains(&death, &against));
                return way;
            };
            (way.steps, way.world) = (steps, Some(world));
        }
        way.remains = match way.world.as_ref().is_some_and(World::passes) {
            true => None,
            false => Some("more stands in its way than is followed here".into()),
        };
        way
    }

    /// The steps without those that the flow passes without.
    fn needed(&self, mut steps: Vec<Taken>) -> Vec<Taken> {
        let mut at = 0;
        while at < steps.len() {
            let mut fewer = steps.clone();
            fewer.remove(at);
            let passes = self.world(&fewer).is_some_and(|world| world.passes());
            match passes {
                true => steps = fewer,
                false => at += 1,
            }
        }
        steps
    }

    /// Everything with these steps taken.
    fn world(&self, steps: &[Taken]) -> Option<World> {
        let Asked { loaded, host, .. } = self.asked;
        let (loaded, host) = self.amendment(steps).applied(loaded, host);
        let hooks = Hooks::new(&loaded.ruleset);
        let answer = explain(&loaded, &hooks, &host, self.asked.question).ok()?;
        Some(World {
            loaded,
            host,
            answer,
        })
    }

    /// For each step its rule and the position in the chain, with the ones before it in place.
    fn indices<'s>(&self, steps: &'s [Taken]) -> Vec<(Option<&'s Candidate>, usize)> {
        let mut found: Vec<(Option<&Candidate>, usize)> = Vec::new();
        for taken in steps {
            let Step::Rule(rule) = &taken.step else {
                found.push((None, 0));
                continue;
            };
            let earlier = found.iter().filter_map(|(other, _)| *other);
            let earlier = earlier.filter(|other| other.chain == rule.chain);
            let index = match rule.before {
                None => self.asked.loaded.ruleset.chain(rule.chain).rules.len() + earlier.count(),
                Some(before) => {
                    before
                        + earlier
                            .filter(|other| other.before.is_some_and(|at| at < before))
                            .count()
                }
            };
            found.push((Some(rule), index));
        }
        found
    }

    /// The position that a rule had before these steps.
    fn original(&self, steps: &[Taken], chain: ChainId, at: usize) -> usize {
        let rules = self.asked.loaded.ruleset.chain(chain).rules.len();
        let mut order: Vec<bool> = vec![true; rules];
        for (rule, index) in self.indices(steps) {
            if rule.is_some_and(|rule| rule.chain == chain) {
                order.insert(index.min(order.len()), false);
            }
        }
        order.iter().take(at).filter(|own| **own).count()
    }

    /// What may help against an end: by places, best first, and what may be added at each.
    fn steps(
        &self,
        death: &Death<'_>,
        loaded: &Loaded,
        host: &Host,
        answer: &Answer,
        taken: &[Taken],
    ) -> Vec<Vec<Step>> {
        match &death.cause {
            Cause::Open(..) => Vec::new(),
            Cause::Host(drop) => settings(*drop, death, host, answer),
            Cause::Rules(run) => self
                .candidates(run, death, loaded, answer, taken)
                .into_iter()
                .map(|place| place.into_iter().map(Step::Rule).collect())
                .collect(),
        }
    }

    fn candidates(
        &self,
        run: &Run,
        death: &Death<'_>,
        loaded: &Loaded,
        answer: &Answer,
        taken: &[Taken],
    ) -> Vec<Vec<Candidate>> {
        let ruleset = &loaded.ruleset;
        let table = ruleset.table_of(run.base);
        let Some(base) = &ruleset.chain(run.base).base else {
            return Vec::new();
        };
        // accept in a chain of type nat would also end the search for a translation; arp has no flows
        let filters = matches!(base.kind, ChainType::Filter | ChainType::Route);
        if !filters || table.family == Family::Arp {
            return Vec::new();
        }
        let v6 = self.asked.question.flow.dst.is_ipv6();
        let spot = (table.family, base.hook);
        let facts = Facts {
            host: &answer.host,
            know: death.know,
        };
        let matchings = |packet: &PacketView| {
            let is_answer = death.of == Direction::Reply;
            let flow = Matching::packet(packet, v6, spot, facts, is_answer);
            match death.of {
                Direction::Request => vec![flow],
                Direction::Reply => vec![Matching::answers(packet, v6, spot, facts), flow],
            }
        };
        let mut found: Vec<(u8, Vec<Candidate>)> = Vec::new();
        let deciding = run.calls.last();
        let places: Vec<(&death::Entered, Place)> = run
            .entered
            .iter()
            .filter_map(|entered| {
                let chain = ruleset.chain(entered.chain);
                Some((entered, Place::by_name(&table.name, &chain.name)?))
            })
            .collect();
        for (entered, place) in &places {
            let id = &entered.chain;
            // the ordinary rules of a zone or policy go before those of the least priority
            let ordinary = places.iter().any(|(_, other)| match (place, other) {
                (
                    Place::Zone { zone, first: true },
                    Place::Zone {
                        zone: other,
                        first: false,
                    },
                ) => zone == other,
                (
                    Place::Policy {
                        policy,
                        first: true,
                    },
                    Place::Policy {
                        policy: other,
                        first: false,
                    },
                ) => policy == other,
                _ => false,
            });
            if ordinary {
                continue;
            }
            let decides = deciding.filter(|call| call.chain == *id);
            let (rank, chain, before) = match place {
                Place::Chain => {
                    let at = decides.and_then(|call| call.at);
                    (
                        0,
                        *id,
                        Some(at.map_or(0, |at| self.original(taken, *id, at))),
                    )
                }
                Place::Ufw(_) => (0, *id, decides.map(|_| 0)),
                Place::Zone { first, .. } => (0, *id, first.then_some(0)),
                Place::Policy { first, .. } => (1, *id, first.then_some(0)),
                Place::FromZone { .. } => {
                    let policies = ruleset.find_chain(table.family, &table.name, POLICIES);
                    let called = |id: &ChainId| run.entered.iter().any(|e| e.chain == *id);
                    let Some(policies) = policies.filter(called) else {
                        continue;
                    };
                    (2, policies, None)
                }
            };
            // a policy is for zones that interfaces were put into, not for one that takes the rest
            let unbound = matches!(place, Place::FromZone { .. })
                && entered.by.is_some_and(|by| is_for_all(ruleset, by));
            let bind = match unbound {
                true => match matching::name(entered.packet.iif, facts) {
                    Some(dev) => Some(dev),
                    None => continue,
                },
                false => None,
            };
            let mut here = Vec::new();
            for matching in matchings(&entered.packet) {
                let matching = match place {
                    Place::Chain | Place::Ufw(_) => matching,
                    // zones and policies name interfaces themselves
                    Place::Zone { .. } | Place::Policy { .. } | Place::FromZone { .. } => {
                        matching.anywhere()
                    }
                };
                if !can_say(place, &matching) {
                    continue;
                }
                let before = match matching.what {
                    What::Answers => Some(0),
                    What::Flow(_) => before,
                };
                let place = Some(place.clone());
                let rewritten = None;
                here.push(Candidate {
                    chain,
                    before,
                    matching,
                    place,
                    bind: bind.clone(),
                    rewritten,
                });
            }
            found.push((rank, here));
        }
        let owners = Owners::of(ruleset);
        let shared = |call: &&death::Call| owners.chain(call.chain).is_none();
        let plain = run.calls.iter().rev().find(shared).or(deciding);
        if let Some(call) = plain {
            let rewritten = owners.chain(call.chain).map(|owner| owner.software);
            let mut here = Vec::new();
            for matching in matchings(&call.packet) {
                let before = match matching.what {
                    What::Answers => Some(0),
                    What::Flow(_) => call.at.map(|at| self.original(taken, call.chain, at)),
                };
                here.push(Candidate {
                    chain: call.chain,
                    before,
                    matching,
                    place: None,
                    bind: None,
                    rewritten,
                });
            }
            found.push((3, here));
        }
        found.retain(|(_, here)| !here.is_empty());
        found.sort_by_key(|(rank, _)| *rank);
        found.into_iter().map(|(_, here)| here).collect()
    }

    /// Who stops a packet, in words.
    fn against(&self, death: &Death<'_>, loaded: &Loaded, taken: &[Taken]) -> String {
        let ruleset = &loaded.ruleset;
        match &death.cause {
            Cause::Open(because, _) => because.clone(),
            Cause::Host(drop) => disposition_name(&Disposition::Host(*drop)).to_string(),
            Cause::Rules(run) => match run.by {
                Some(rule) => {
                    let at = rule_ref(ruleset, rule);
                    let index = self.original(taken, ruleset.rule(rule).chain, at.index as usize);
                    let index = u32::try_from(index).unwrap_or(at.index);
                    let handle = self.handle(at.handle);
                    let at = RuleRef {
                        index,
                        handle,
                        ..at
                    };
                    at.to_string()
                }
                None => {
                    let table = ruleset.table_of(run.base);
                    let chain = &ruleset.chain(run.base).name;
                    format!("the policy of {} {} {chain}", table.family, table.name)
                }
            },
        }
    }

    fn handle(&self, handle: Handle) -> Handle {
        match self.asked.has_handles {
            true => handle,
            false => Handle(0),
        }
    }

    /// A remedy as it is shown.
    fn told(&self, steps: &[Taken]) -> Option<Remedy> {
        let world = self.world(steps)?;
        let ruleset = &self.asked.loaded.ruleset;
        let owners = Owners::of(ruleset);
        let mut additions = Vec::new();
        let mut remarks: Vec<String> = Vec::new();
        let mut remark = |text: String| {
            if !remarks.contains(&text) {
                remarks.push(text);
            }
        };
        let mut loaders = Vec::new();
        for ((rule, index), taken) in self.indices(steps).into_iter().zip(steps) {
            let (change, tool, lines, effect) = match (&taken.step, rule) {
                (Step::Rule(_), None) => continue,
                (Step::Settings(settings), _) => {
                    remark(
                        "settings last until the next boot; to keep one, write it into a file in /etc/sysctl.d"
                            .into(),
                    );
                    told_settings(settings)
                }
                (Step::Rule(_), Some(rule)) => {
                    let chain = ruleset.chain(rule.chain);
                    let table = ruleset.table(chain.table);
                    let behind = rule.before.and_then(|at| chain.rules.get(at));
                    let behind = behind.map(|id| self.handle(ruleset.rule(*id).handle));
                    let statements = rule.matching.syntax();
                    let words: Vec<String> = statements.iter().map(print::stmt).collect();
                    let text = words.join(" ");
                    let loader = Loader::of(ruleset, rule.chain);
                    loaders.push(loader);
                    let spot = Spot {
                        family: table.family,
                        table: &table.name,
                        chain: &chain.name,
                        index,
                        last: behind.is_none(),
                        behind: behind.unwrap_or_default(),
                    };
                    let made = commands(
                        (rule.place.as_ref(), rule.bind.as_deref()),
                        loader,
                        &spot,
                        (&rule.matching, &text),
                    );
                    if let Some(software) = rule.rewritten {
                        remark(format!(
                            "{software} writes {} itself: the rule is lost when it does so again",
                            chain.name
                        ));
                    }
                    for software in guests(&owners, ruleset, rule) {
                        remark(format!(
                            "{software} puts rules of its own into {}, and may put them in front of this one when it starts again",
                            chain.name
                        ));
                    }
                    if let Some(dev) = &rule.bind {
                        remark(format!(
                            "{dev} is in its zone only because that is the default; once it is put there, firewalld also lets packets of {dev} back out by it"
                        ));
                    }
                    if rule.rewritten.is_none() {
                        remark(format!("{}: {}", made.tool, made.remark));
                    }
                    if table.family == Family::Bridge {
                        remark(format!(
                            "stations find each other by ARP (IPv6: neighbour discovery), which is not walked here: {} has to let that pass, too",
                            chain.name
                        ));
                    }
                    if made.lines.is_empty() {
                        remark(format!(
                            "no command is shown for {}: its name cannot be written safely",
                            chain.name
                        ));
                    }
                    let change = Change::Rule(RuleChange {
                        family: table.family,
                        table: table.name.to_string(),
                        chain: chain.name.to_string(),
                        index,
                        before: behind,
                        text,
                        owner: owner(&owners, rule),
                    });
                    (change, made.tool, made.lines, rule.matching.effect())
                }
            };
            additions.push(Addition {
                of: taken.of.name(),
                against: taken.against.clone(),
                change,
                tool,
                commands: lines,
                effect,
            });
        }
        let reachable = !loaders.is_empty() && !loaders.contains(&Loader::Legacy);
        let walked = &world.answer.report;
        let rules = steps.iter().filter_map(|taken| match &taken.step {
            Step::Rule(rule) => Some(rule.matching.statements()),
            Step::Settings(_) => None,
        });
        let nft = reachable.then(|| nft_form(&additions, rules)).flatten();
        let of_iptables = nft.is_some() && loaders.contains(&Loader::Iptables);
        let nft_remark = of_iptables.then(|| {
            "the form for nft is taken by the kernel, but iptables-save refuses a table of iptables that holds such a rule: use the iptables command there".into()
        });
        Some(Remedy {
            nft,
            nft_remark,
            additions,
            verdict: walked.verdict,
            request: walked.request.disposition,
            reply: walked.reply.as_ref().map(|reply| reply.disposition),
            remarks,
        })
    }
}

/// Whether a rule has no condition.
fn is_for_all(ruleset: &Ruleset, rule: RuleId) -> bool {
    let mut statements = ruleset.rule(rule).statements.iter();
    statements.all(|statement| matches!(statement.kind, Stmt::Verdict(_) | Stmt::NoEffect(_)))
}

/// Software that writes rules of its own into a chain that is nobody's.
fn guests(owners: &Owners<'_>, ruleset: &Ruleset, rule: &Candidate) -> Vec<&'static str> {
    let mut found = Vec::new();
    if owners.chain(rule.chain).is_some() {
        return found;
    }
    for id in &ruleset.chain(rule.chain).rules {
        if let Some(owner) = owners.rule(*id)
            && !found.contains(&owner.software)
        {
            found.push(owner.software);
        }
    }
    found
}

fn owner(owners: &Owners<'_>, rule: &Candidate) -> Option<Owner> {
    match &rule.place {
        Some(Place::FromZone { zone }) => Some(Owner {
            software: "firewalld",
            role: format!("a new policy for what zone {zone} sends on"),
        }),
        _ => owners.chain(rule.chain),
    }
}

/// The additions for `nft -j -f`, with the statements of each rule.
fn nft_form(
    additions: &[Addition],
    mut rules: impl Iterator<Item = Vec<Statement<'static>>>,
) -> Option<Value> {
    let mut batch = Batch::new();
    for addition in additions {
        let Change::Rule(rule) = &addition.change else {
            continue;
        };
        let handle = rule.before.map_or(0, |handle| handle.0);
        let at_front = rule.index == 0;
        let object = NfListObject::Rule(Rule {
            family: match rule.family {
                Family::Ip => NfFamily::IP,
                Family::Ip6 => NfFamily::IP6,
                Family::Inet => NfFamily::INet,
                Family::Arp => NfFamily::ARP,
                Family::Bridge => NfFamily::Bridge,
                Family::Netdev => NfFamily::NetDev,
            },
            table: rule.table.clone().into(),
            chain: rule.chain.clone().into(),
            expr: Cow::Owned(rules.next()?),
            handle: (!at_front && handle != 0).then_some(u32::try_from(handle).ok()?),
            index: (!at_front && handle == 0)
                .then_some(u32::try_from(rule.index).ok()?)
                .filter(|_| rule.before.is_some()),
            comment: None,
        });
        batch.add_cmd(match rule.before.is_some() {
            true => NfCmd::Insert(object),
            false => NfCmd::Add(object),
        });
    }
    serde_json::to_value(batch.to_nftables()).ok()
}

/// The settings of the kernel that stop a packet, changed.
fn settings(drop: HostDrop, death: &Death<'_>, host: &Host, answer: &Answer) -> Vec<Vec<Step>> {
    let packet = death
        .path
        .steps
        .last()
        .map_or(&death.path.input, |s| &s.packet);
    let facts = Facts {
        host: &answer.host,
        know: death.know,
    };
    let v6 = packet.dst.value().is_some_and(|dst| dst.is_ipv6());
    let family = if v6 { IpFamily::V6 } else { IpFamily::V4 };
    let dev = matching::name(packet.iif, facts).map(|dev| dev.replace('.', "/"));
    let one = |key: String, value: &str| (key, value.to_string());
    let of_dev = |key: &str, value: &str| {
        let dev = dev.as_ref()?;
        Some(one(format!("net.ipv4.conf.{dev}.{key}"), value))
    };
    let all = match drop {
        HostDrop::ForwardingOff if v6 => {
            vec![vec![one("net.ipv6.conf.all.forwarding".into(), "1")]]
        }
        HostDrop::ForwardingOff if host.ip_forward(family, None) == Some(true) => {
            of_dev("forwarding", "1")
                .into_iter()
                .map(|s| vec![s])
                .collect()
        }
        HostDrop::ForwardingOff => vec![vec![one("net.ipv4.ip_forward".into(), "1")]],
        HostDrop::RpFilter => {
            let loose = of_dev("rp_filter", "2").map(|s| vec![s]);
            let off = of_dev("rp_filter", "0")
                .map(|s| vec![one("net.ipv4.conf.all.rp_filter".into(), "0"), s]);
            loose.into_iter().chain(off).collect()
        }
        HostDrop::MartianDestination if !v6 => of_dev("route_localnet", "1")
            .into_iter()
            .map(|s| vec![s])
            .collect(),
        HostDrop::NoRoute
        | HostDrop::Blackhole
        | HostDrop::Unreachable
        | HostDrop::Prohibit
        | HostDrop::MartianSource
        | HostDrop::MartianDestination
        | HostDrop::OtherHost
        | HostDrop::OfSocket
        | HostDrop::TtlExceeded
        | HostDrop::NoAddress
        | HostDrop::SamePort
        | HostDrop::IsolatedPort
        | HostDrop::LinkLocalSource
        | HostDrop::NotJoined => Vec::new(),
    };
    all.into_iter()
        .map(|one| vec![Step::Settings(one)])
        .collect()
}

/// Changes settings of a host as the kernel does it: forwarding for all is forwarding for each.
fn set(host: &mut Host, settings: &[(String, String)]) {
    for (key, value) in settings {
        let tree = match key.as_str() {
            "net.ipv4.ip_forward" => Some("net.ipv4.conf."),
            "net.ipv6.conf.all.forwarding" => Some("net.ipv6.conf."),
            _ => None,
        };
        if let Some(tree) = tree {
            let each = host.sysctls.iter_mut();
            for (_, own) in each.filter(|(k, _)| k.starts_with(tree) && k.ends_with(".forwarding"))
            {
                *own = value.as_str().into();
            }
        }
        // a key and a value: never refused
        let _ = bundle::apply_sysctl(host, &format!("{key}={value}"));
    }
}

fn told_settings(settings: &[(String, String)]) -> (Change, &'static str, Vec<String>, String) {
    let lines = settings.iter().filter_map(|(key, value)| {
        Some(format!(
            "sysctl -w {}",
            command::quoted(&format!("{key}={value}"))?
        ))
    });
    let key = settings.last().map_or("", |(key, _)| key.as_str());
    let effect = if key.ends_with("rp_filter") {
        "packets with such a source are taken, forged ones too"
    } else if key.ends_with("route_localnet") {
        "what listens on 127.0.0.0/8 can be reached from outside where no rule stops it"
    } else {
        "this host forwards whatever its forward chains let pass"
    };
    let change = Change::Settings(settings.to_vec());
    (change, "sysctl", lines.collect(), effect.to_string())
}

/// What stands in the way when nothing helps.
fn remains(death: &Death<'_>, against: &str) -> String {
    let of = death.of.name();
    match &death.cause {
        Cause::Open(because, settle) => {
            format!("nothing can be promised: {because}; to settle: {settle}")
        }
        Cause::Host(drop) => {
            let advice = match drop {
                HostDrop::NoRoute => {
                    "a route is missing, and where it leads only you know: `ip route add`"
                }
                HostDrop::Blackhole | HostDrop::Unreachable | HostDrop::Prohibit => {
                    "the routing table says so: see `ip route` and `ip rule`"
                }
                HostDrop::MartianSource => "no rule can let such a source in by this interface",
                HostDrop::TtlExceeded => "the sender has to begin with a higher hop limit",
                HostDrop::NoAddress => {
                    "the interface needs an address that the translation can take"
                }
                HostDrop::SamePort => {
                    "hairpin mode of the bridge port: `bridge link set dev PORT hairpin on`"
                }
                HostDrop::IsolatedPort => {
                    "one of the bridge ports must not be isolated: `bridge link set dev PORT isolated off`"
                }
                HostDrop::OtherHost => "the sender has to write this interface's Ethernet address",
                HostDrop::OfSocket => {
                    "what tproxy takes has to be routed to this host: `ip rule add fwmark MARK lookup TABLE`, `ip route add local default dev lo table TABLE`"
                }
                HostDrop::MartianDestination => "no loopback address can be reached from outside",
                HostDrop::LinkLocalSource => "such packets are never forwarded",
                HostDrop::NotJoined => "a program has to join the group",
                HostDrop::ForwardingOff | HostDrop::RpFilter => "the setting alone does not help",
            };
            format!("the {of} still ends as {against}: {advice}")
        }
        Cause::Rules(_) => {
            format!("the {of} is still stopped by {against}, and no rule in front of it helps")
        }
    }
}
