//! Many made-up rulesets and packets: how often do model and kernel agree?
//!
//! Cases come in blocks, each with a host of its own; a block is worked off by one thread in its own lab, and depends on
//! nothing but the seed and its number. Every disagreement is written down as a folder that says how to see it again.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;

use crate::explain::Question;
use crate::hooks::Hooks;
use crate::host::{FdbEntry, Host, Link, LinkKind, Neighbour, Origin, RoutingRule, RuleAction};
use crate::load::bundle;
use crate::load::{Loaded, load_with_text};

use super::coverage::{Coverage, Inventory};
use super::generate::{self, Numbers, Topology};
use super::lab::{Lab, LabError, fail};
use super::talk::converse;
use super::{
    Agreement, Handles, Part, Verified, Words, compare, definite, opening, side_by_side, sys,
};

/// Rulesets to a block.
const RULESETS: u64 = 20;
/// Flows to a ruleset.
const FLOWS: u64 = 5;
/// How many disagreements of a run are made smaller: each takes a second or two.
const REDUCTIONS: u64 = 20;
/// How often the lab is asked for that.
const ATTEMPTS: usize = 40;

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    pub flows: u64,
    pub seed: u64,
    /// Where disagreements are written.
    pub folder: PathBuf,
    /// Only this block.
    pub block: Option<u64>,
}

/// How it went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub flows: u64,
    pub agreed: u64,
    pub panics: u64,
    pub unknown: u64,
    /// Rulesets that nft refused.
    pub refused: u64,
    /// Flows that could not be sent.
    pub not_sent: u64,
    /// Of the flows that agree, those that did so only when they were sent again: the lab lost a packet or a line.
    pub repeated: u64,
    /// Of the flows that agree, those where the kernel settled what the input leaves open: a random port, an order of
    /// chains. The kernel's way was among the model's answers, and not the first.
    pub settled: u64,
    /// Flows that differ first at a rule which nft lists otherwise than the kernel has it. They are not among `flows`.
    pub misread: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // rounded down: 100.00 % says that all agree
        let hundredths = (self.agreed * 10_000).checked_div(self.flows).unwrap_or(0);
        let percent = hundredths as f64 / 100.0;
        write!(
            f,
            "kernel agreement: {}/{} flows ({percent:.2} %), panics {}, unknown {}",
            self.agreed, self.flows, self.panics, self.unknown
        )
    }
}

/// What a run found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    pub tally: Tally,
    pub coverage: Coverage,
    /// The cases that were written down, and what each came to: `no`, `unknown`, `panic`.
    pub cases: Vec<(String, &'static str)>,
    /// Ctrl-C came before all flows were sent.
    pub interrupted: bool,
}

/// One flow's outcome; the name of a case that was written down.
enum Outcome {
    /// With what the kernel settled that the input leaves open, for people.
    Agreed(Option<String>),
    AgreedWhenRepeated,
    /// nft's listing is wrong about the rule; with the words for people.
    Misread(String),
    Unknown(String),
    Differed(String),
    Panicked(String),
    /// What the flows of a ruleset met.
    Covered(Box<Coverage>),
    /// The block has no more.
    Done,
    /// With the reason, for people.
    Refused(String),
    NotSent(String),
}

/// Runs cases on every processor. `seen` is told the tally after each flow, and why one could not be had.
pub fn random(
    options: &Options,
    mut seen: impl FnMut(&Tally, Option<&str>),
) -> Result<Found, LabError> {
    sys::note_interrupts().map_err(|error| LabError(format!("signals: {error}")))?;
    let processors = sys::processors();
    let workers = processors.len().clamp(1, 16);
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let reductions = AtomicU64::new(REDUCTIONS);
    let (sender, outcomes) = channel::<(u64, Outcome)>();
    let mut tally = Tally::default();
    let mut coverage = Coverage::default();
    let mut cases = Vec::new();
    std::thread::scope(|scope| {
        let mut handles = Vec::new();
        for worker in 0..workers {
            let (sender, next, processors) = (sender.clone(), &next, &processors);
            let (stop, reductions) = (&stop, &reductions);
            handles.push(scope.spawn(move || {
                if let Some(number) = processors.get(worker) {
                    sys::stay_on_processor(*number);
                }
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let number = match options.block {
                        Some(_) if number > 0 => break,
                        Some(block) => block,
                        None => number,
                    };
                    let tell = |outcome| sender.send((number, outcome)).is_ok();
                    block(options, number, stop, reductions, &tell)?;
                    tell(Outcome::Done);
                }
                Ok::<(), LabError>(())
            }));
        }
        drop(sender);
        // counted in the order of the blocks, whichever is done first: the same seed counts the same flows
        let mut waiting: BTreeMap<u64, Vec<Outcome>> = BTreeMap::new();
        let mut turn = options.block.unwrap_or(0);
        let mut left_out = Vec::new();
        let in_order = outcomes.into_iter().flat_map(|(number, outcome)| {
            waiting.entry(number).or_default().push(outcome);
            let mut ready = Vec::new();
            while let Some(outcomes) = waiting.get_mut(&turn) {
                let done = outcomes
                    .iter()
                    .any(|outcome| matches!(outcome, Outcome::Done));
                ready.append(outcomes);
                if !done {
                    break;
                }
                turn += 1;
            }
            ready
        });
        // some flow of the ruleset counts, so what its flows met does
        let mut counts = false;
        for outcome in in_order {
            let mut remark = None;
            let full = tally.flows == options.flows;
            match outcome {
                Outcome::Done => {}
                Outcome::Unknown(name) | Outcome::Differed(name) | Outcome::Panicked(name)
                    if full =>
                {
                    left_out.push(name);
                }
                Outcome::Covered(more) if counts => {
                    coverage.add(&more);
                    counts = false;
                }
                _ if full => {}
                Outcome::Refused(why) => {
                    tally.refused += 1;
                    remark = Some(why);
                }
                Outcome::NotSent(why) => {
                    tally.not_sent += 1;
                    remark = Some(why);
                }
                Outcome::Misread(why) => {
                    tally.misread += 1;
                    remark = Some(why);
                }
                // a ruleset of which no flow could be sent
                Outcome::Covered(more) => coverage.add(&more),
                outcome => {
                    counts = true;
                    tally.flows += 1;
                    match outcome {
                        Outcome::Agreed(settled) => {
                            tally.agreed += 1;
                            tally.settled += u64::from(settled.is_some());
                            remark = settled;
                        }
                        Outcome::AgreedWhenRepeated => {
                            tally.agreed += 1;
                            tally.repeated += 1;
                        }
                        Outcome::Unknown(name) => {
                            tally.unknown += 1;
                            cases.push((name, "unknown"));
                        }
                        Outcome::Panicked(name) => {
                            tally.panics += 1;
                            cases.push((name, "panic"));
                        }
                        Outcome::Differed(name) => cases.push((name, "no")),
                        Outcome::Covered(_)
                        | Outcome::Refused(_)
                        | Outcome::NotSent(_)
                        | Outcome::Misread(_)
                        | Outcome::Done => {}
                    }
                }
            }
            if tally.flows == options.flows || sys::interrupted() {
                stop.store(true, Ordering::Relaxed);
            }
            seen(&tally, remark.as_deref());
        }
        for handle in handles {
            match handle.join() {
                Ok(Ok(())) => {}
                // Ctrl-C ends the programs of the lab, too
                Ok(Err(_)) if sys::interrupted() => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => return fail("the lab fell over; this is a bug"),
            }
        }
        for name in left_out {
            // behind the last flow that counts
            let _ = std::fs::remove_dir_all(options.folder.join(name));
        }
        cases.sort_unstable();
        Ok(Found {
            tally,
            coverage,
            cases,
            interrupted: tally.flows < options.flows && sys::interrupted(),
        })
    })
}

/// A host, many rulesets, some flows each.
fn block(
    options: &Options,
    number: u64,
    stop: &AtomicBool,
    reductions: &AtomicU64,
    tell: &dyn Fn(Outcome) -> bool,
) -> Result<(), LabError> {
    let mut numbers = Numbers::new(options.seed, number << 16);
    let host = host_of(&generate::topology(&mut numbers))?;
    let mut lab = Lab::build(&host)?;
    let snapshot = lab.snapshot();
    let facts = lab.facts()?;
    for ruleset in 0..RULESETS {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let stream = number << 16 | (ruleset + 1) << 8;
        let text = generate::ruleset(&mut Numbers::new(options.seed, stream));
        let words = Words(vec![Part::Nft(text.clone())]);
        let listing = match lab.load(&words) {
            Ok(listing) => listing,
            Err(error) => {
                let words = error.0.split("stdin:").nth(1).unwrap_or("");
                let line = words
                    .split(':')
                    .next()
                    .and_then(|n| n.parse::<usize>().ok());
                let line = line.and_then(|line| text.lines().nth(line.wrapping_sub(1)));
                let line = line.unwrap_or("").trim();
                let remark = format!("ruleset {number}-{ruleset}: {error}: {line}");
                tell(Outcome::Refused(remark));
                continue;
            }
        };
        let loaded = load_with_text("the lab", &listing, lab.text().to_string(), &[]);
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                let remark = format!("ruleset {number}-{ruleset}: nft cannot list it: {error}");
                tell(Outcome::Refused(remark));
                continue;
            }
        };
        let handles = Handles::between(&loaded.ruleset, &loaded.ruleset)?;
        let hooks = Hooks::new(&loaded.ruleset);
        let inventory = Inventory::new(&loaded.ruleset);
        let mut coverage = Coverage::default();
        coverage.loaded(&loaded.ruleset, &inventory);
        let mut differing = Vec::new();
        for flow in 0..FLOWS {
            let mut numbers = Numbers::new(options.seed, stream | (flow + 1));
            let question = definite(&generate::question(&mut numbers))?;
            let first = opening(&mut lab, &question, question.iif.as_deref());
            let conversation = first.and_then(|first| {
                let conversation = converse(&mut lab, &first)?;
                Ok((first, conversation))
            });
            let (first, conversation) = match conversation {
                Ok(both) => both,
                Err(error) => {
                    let flow = question.flow;
                    let remark = format!("case {number}-{ruleset}: {flow}: {error}");
                    tell(Outcome::NotSent(remark));
                    continue;
                }
            };
            let verified = catch_unwind(AssertUnwindSafe(|| {
                compare(
                    &loaded,
                    &hooks,
                    &facts,
                    &question,
                    &first,
                    &conversation,
                    |f, t, c, h| handles.of(f, t, c, h),
                )
            }));
            if let Ok(Ok((_, walked))) = &verified {
                coverage.walked(&loaded.ruleset, &inventory, walked);
            }
            let case = Case {
                name: format!("{}-{number}-{ruleset}-{flow}", options.seed),
                text: &text,
                listing: &listing,
                snapshot: &snapshot,
                question: &question,
                loaded: &loaded,
            };
            let outcome = match verified {
                Err(panic) => {
                    case.write(&options.folder, &Err(words_of(panic.as_ref())))?;
                    Outcome::Panicked(case.name)
                }
                Ok(Err(error)) => return Err(error),
                Ok(Ok((verified, _))) => match &verified.agreement {
                    Agreement::Yes => {
                        let settled = (!verified.settled.is_empty()).then(|| {
                            format!("case {}: {}", case.name, verified.settled.join("; "))
                        });
                        Outcome::Agreed(settled)
                    }
                    Agreement::Unknown(_) => {
                        case.write(&options.folder, &Ok(verified))?;
                        Outcome::Unknown(case.name)
                    }
                    Agreement::No => {
                        let name = case.name;
                        differing.push((name, question.clone(), verified));
                        continue;
                    }
                },
            };
            if !tell(outcome) {
                return Ok(());
            }
        }
        for (name, question, verified) in differing {
            // a line of the trace, or a packet, may be lost when the machine has much to do
            let repeated = afresh(&mut lab, &facts, &text, &question);
            let agrees = repeated.is_ok_and(|again| again.agreement == Agreement::Yes);
            let outcome = if agrees {
                Outcome::AgreedWhenRepeated
            } else if let Some(rule) = misread(&mut lab, &words, &verified)? {
                let flow = question.flow;
                Outcome::Misread(format!(
                    "case {number}-{ruleset}: {flow}: nft lists {rule} otherwise than the kernel has it"
                ))
            } else {
                let case = Case {
                    name: name.clone(),
                    text: &text,
                    listing: &listing,
                    snapshot: &snapshot,
                    question: &question,
                    loaded: &loaded,
                };
                case.write(&options.folder, &Ok(verified))?;
                let take = |left: u64| left.checked_sub(1);
                let order = Ordering::Relaxed;
                if reductions.fetch_update(order, order, take).is_ok() {
                    let reduced = reduce(&mut lab, &facts, &text, &question);
                    let file = options.folder.join(&name).join("ruleset.reduced.nft");
                    std::fs::write(&file, reduced)
                        .map_err(|error| LabError(format!("{}: {error}", file.display())))?;
                }
                Outcome::Differed(name)
            };
            if !tell(outcome) {
                return Ok(());
            }
        }
        tell(Outcome::Covered(Box::new(coverage)));
    }
    Ok(())
}

/// The rule at the first difference, if nft's listing is wrong about it: then model and kernel had different rules.
fn misread(lab: &mut Lab, words: &Words, verified: &Verified) -> Result<Option<String>, LabError> {
    let pairs = [
        Some(&verified.request),
        verified.reply.as_ref(),
        verified.answer.as_ref(),
    ];
    let first = pairs
        .into_iter()
        .flatten()
        .find_map(|pair| Some((pair, pair.difference?)));
    let Some((pair, row)) = first else {
        return Ok(None);
    };
    let otherwise = lab.listed_otherwise(words)?;
    let sides = [&pair.model, &pair.kernel];
    let mut lines = sides.into_iter().filter_map(|way| way.lines.get(row));
    let line = lines.find(|line| {
        line.rule.is_some_and(|rule| {
            let key = (&line.family, &line.table, &line.chain);
            let at = |(f, t, c, h): &super::lab::RuleKey| (f, t, c) == key && *h == rule.handle.0;
            otherwise.iter().any(at)
        })
    });
    Ok(line.map(ToString::to_string))
}

/// The ruleset without rules that the disagreement does not need: ever smaller runs of lines are taken out as long as
/// model and kernel differ.
fn reduce(lab: &mut Lab, facts: &Host, text: &str, question: &Question) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let is_rule = |line: &&str| line.starts_with("    ") && !line.trim_start().starts_with("type ");
    let mut attempts = ATTEMPTS;
    let mut size = lines.len();
    while size > 0 {
        let mut at = 0;
        while at < lines.len() {
            let end = (at + size).min(lines.len());
            let mut shorter: Vec<&str> = lines[..at].to_vec();
            shorter.extend(lines[at..end].iter().copied().filter(|line| !is_rule(line)));
            shorter.extend(&lines[end..]);
            if shorter.len() == lines.len() {
                at = end;
                continue;
            }
            if attempts == 0 {
                return lines.join("\n") + "\n";
            }
            attempts -= 1;
            match afresh(lab, facts, &shorter.join("\n"), question) {
                Ok(verified) if verified.agreement == Agreement::No => lines = shorter,
                // a ruleset that is refused, or a packet that cannot be sent, is no smaller case
                Ok(_) | Err(_) => at = end,
            }
        }
        size /= 2;
    }
    lines.join("\n") + "\n"
}

/// One flow through a ruleset that is loaded for it.
fn afresh(
    lab: &mut Lab,
    facts: &Host,
    text: &str,
    question: &Question,
) -> Result<Verified, LabError> {
    let listing = lab.load(&Words(vec![Part::Nft(text.to_string())]))?;
    let loaded = load_with_text("the lab", &listing, lab.text().to_string(), &[])
        .map_err(|error| LabError(error.to_string()))?;
    let handles = Handles::between(&loaded.ruleset, &loaded.ruleset)?;
    let hooks = Hooks::new(&loaded.ruleset);
    let first = opening(lab, question, question.iif.as_deref())?;
    let conversation = converse(lab, &first)?;
    let place_of = |f: &str, t: &str, c: &str, h| handles.of(f, t, c, h);
    let (verified, _) = compare(
        &loaded,
        &hooks,
        facts,
        question,
        &first,
        &conversation,
        place_of,
    )?;
    Ok(verified)
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}

/// The host of a topology.
fn host_of(topology: &Topology) -> Result<Host, LabError> {
    let mut host = Host::default();
    host.links
        .push(Link::named("lo", LinkKind::Loopback, Origin::Given));
    type Apply = fn(&mut Host, &str) -> Result<(), bundle::HostError>;
    let flags: [(&[String], Apply); 4] = [
        (&topology.bridges, bundle::apply_bridge),
        (&topology.ifaces, bundle::apply_iface),
        (&topology.routes, bundle::apply_route),
        (&topology.sysctls, bundle::apply_sysctl),
    ];
    for (values, apply) in flags {
        for value in values {
            apply(&mut host, value).map_err(|error| LabError(error.to_string()))?;
        }
    }
    for (ip, mac, port) in generate::CONTAINERS {
        let Ok(ip) = ip.parse() else { continue };
        host.neighbours.push(Neighbour {
            ip,
            dev: "br0".into(),
            mac: Some(mac),
            failed: false,
        });
        host.fdb.push(FdbEntry {
            mac,
            dev: port.into(),
            master: Some("br0".into()),
            vlan: None,
            permanent: false,
        });
    }
    for (number, (dev, ip)) in generate::NEIGHBOURS.iter().enumerate() {
        let Ok(ip) = ip.parse() else { continue };
        host.neighbours.push(Neighbour {
            ip,
            dev: (*dev).into(),
            mac: Some([2, 0x4e, 0, 0, 0, number as u8]),
            failed: false,
        });
    }
    if topology.marked_route {
        bundle::apply_route(&mut host, "10.9.0.0/16,dev=eth1,via=10.1.0.2")
            .map_err(|error| LabError(error.to_string()))?;
        let table = crate::host::TableId(100);
        if let Some(route) = host.routes.last().cloned() {
            let prefix = "0.0.0.0/0".parse().unwrap_or(route.prefix);
            host.routes.push(crate::host::Route {
                prefix,
                table,
                ..route
            });
        }
        let action = RuleAction::Table(table);
        let family = crate::host::IpFamily::V4;
        host.rules.push(RoutingRule {
            fwmark: Some((1, 0xff)),
            ..RoutingRule::all(1000, family, action, Origin::Given)
        });
    }
    Ok(host)
}

/// What is needed to see a case again.
struct Case<'a> {
    name: String,
    text: &'a str,
    listing: &'a str,
    snapshot: &'a str,
    question: &'a Question,
    loaded: &'a Loaded,
}

impl Case<'_> {
    fn write(&self, folder: &Path, verified: &Result<Verified, String>) -> Result<(), LabError> {
        let folder = folder.join(&self.name);
        let flow = self.flow_words();
        let files: Vec<(&str, String)> = match verified {
            Ok(verified) => {
                let way = |way: &super::compare::Way| {
                    let mut text = String::new();
                    for line in &way.lines {
                        text += &format!("{line}\n");
                    }
                    text + &format!("= {}\n", way.end)
                };
                let both = |side: fn(&super::Pair) -> &super::compare::Way| {
                    let reply = verified.reply.as_ref().map(|pair| way(side(pair)));
                    format!(
                        "# request\n{}# reply\n{}",
                        way(side(&verified.request)),
                        reply.unwrap_or_default()
                    )
                };
                vec![
                    ("model.txt", both(|pair| &pair.model)),
                    ("kernel.txt", both(|pair| &pair.kernel)),
                    ("trace.txt", verified.trace.join("\n") + "\n"),
                    ("comparison.txt", side_by_side::text(verified, 140)),
                ]
            }
            Err(panic) => vec![("panic.txt", format!("{panic}\n"))],
        };
        let write = || -> io::Result<()> {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(folder.join("ruleset.nft"), self.text)?;
            std::fs::write(folder.join("ruleset.json"), self.listing)?;
            std::fs::write(folder.join("host.json"), self.snapshot)?;
            std::fs::write(folder.join("flow"), format!("{flow}\n"))?;
            for (name, text) in &files {
                std::fs::write(folder.join(name), text)?;
            }
            let about = format!(
                "# Case {}\n\nModel and kernel differ, or the model cannot tell ({} rules).\nSee it again, in this folder, as root:\n\n    nfpath verify ruleset.nft --context host.json {flow}\n\n`ruleset.reduced.nft`, where it is there, has the same disagreement with fewer rules.\n",
                self.name,
                self.loaded.ruleset.rules.len()
            );
            std::fs::write(folder.join("README.md"), about)
        };
        write().map_err(|error| LabError(format!("{}: {error}", folder.display())))
    }

    /// The flow as it is written on the command line.
    fn flow_words(&self) -> String {
        let mut flow = self.question.flow;
        if flow.src.is_none() {
            flow.sport = None;
        }
        let mut words = format!("--flow '{flow}'");
        if let Some(iif) = &self.question.iif {
            words += &format!(" --iif {iif}");
        }
        if let Some(flags) = self.question.tcp_flags.filter(|flags| *flags != 2) {
            words += &format!(" --tcp-flags {flags:#x}");
        }
        if let Some((kind, code)) = self
            .question
            .icmp
            .filter(|icmp| !matches!(icmp, (8 | 128, 0)))
        {
            words += &format!(" --icmp-type {kind}/{code}");
        }
        if let Some(length) = self.question.length {
            words += &format!(" --length {length}");
        }
        if let Some(uid) = self.question.uid {
            words += &format!(" --uid {uid}");
        }
        if self.question.mark != 0 {
            words += &format!(" --mark {:#x}", self.question.mark);
        }
        words
    }
}
