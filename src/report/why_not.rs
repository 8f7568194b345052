//! Why a rule that somebody has in mind did not decide a flow.
//!
//! Works on the recorded steps alone: whatever is said here happened to the packet.

use crate::ruleset::set::Data;
use crate::ruleset::{
    ChainId, ChainType, Dormancy, Family, Hook, RuleId, Ruleset, Stmt, Target, Verdict as Act,
};

use super::build::{Sources, rule_ref, rule_text};
use super::{FlowReport, NatStep, PathReport, RuleRef, RuleStep, Step, StepKind, Verdict};

/// How deep callers of callers are followed.
const DEEPEST: usize = 8;
/// Callers that are named; the rest is counted.
const CALLERS: usize = 3;

/// What became of one rule in one flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhyNot {
    pub at: RuleRef,
    pub text: String,
    /// Of the request, and of the reply where there is one.
    pub findings: Vec<Finding>,
}

/// What became of a rule on one packet's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `request` or `reply`
    pub of: &'static str,
    /// A stable kebab-case word: `decided`, `matched`, `did-not-match`, `left-before`, `dropped-before`, `not-called`,
    /// `hook-not-passed`, `other-family`, `nat-is-for-the-first-packet`, `translated-before`, `dormant`, `not-hooked`.
    pub code: &'static str,
    pub message: String,
}

/// What became of a rule.
pub fn why_not(sources: Sources<'_>, flow: &FlowReport, rule: RuleId) -> WhyNot {
    let mut findings = Vec::new();
    let reply = flow
        .reply
        .as_ref()
        .filter(|_| flow.request.verdict == Verdict::Accept);
    for (of, path) in [("request", Some(&flow.request)), ("reply", reply)] {
        let Some(path) = path else { continue };
        let asked = Asked { sources, path };
        let (code, message) = asked.rule(rule, 0);
        findings.push(Finding { of, code, message });
    }
    WhyNot {
        at: rule_ref(sources.ruleset, rule),
        text: rule_text(sources, rule),
        findings,
    }
}

type Said = (&'static str, String);

struct Asked<'a> {
    sources: Sources<'a>,
    path: &'a PathReport,
}

impl Asked<'_> {
    fn rules(&self) -> impl DoubleEndedIterator<Item = (usize, &RuleStep)> {
        self.path
            .steps
            .iter()
            .enumerate()
            .filter_map(|(at, step)| match &step.kind {
                StepKind::Rule(rule) => Some((at, rule)),
                _ => None,
            })
    }

    fn rule(&self, id: RuleId, depth: usize) -> Said {
        let wanted = rule_ref(self.sources.ruleset, id);
        let found = self.rules().rfind(|(_, rule)| rule.at == wanted);
        match found {
            Some((at, rule)) if rule.matched => self.matched(at, rule),
            Some((at, rule)) => (
                "did-not-match",
                format!(
                    "it was reached and did not match: {}{}",
                    rule.why.join(", "),
                    self.hint(at, rule)
                ),
            ),
            None => {
                let (code, words) = self.not_reached(id, &wanted, depth);
                let besides = match depth {
                    0 => self.translated_before(id, &wanted),
                    _ => String::new(),
                };
                (code, words + &besides)
            }
        }
    }

    fn matched(&self, at: usize, rule: &RuleStep) -> Said {
        let translation = self.path.steps.iter().find_map(|step| match &step.kind {
            StepKind::Nat(nat) if nat.by.as_ref() == Some(&rule.at) => Some(nat),
            _ => None,
        });
        if let Some(nat) = translation {
            let end = if nat.source { "source" } else { "destination" };
            let words = format!(
                "it did translate: the {end} {} became {}; {} decided",
                nat.from,
                nat.to,
                self.ended_by()
            );
            return ("matched", words);
        }
        if self.path.deciding.contains(&at) {
            let last = self.path.deciding.last() == Some(&at);
            let words = if last || self.path.verdict == Verdict::Accept {
                let ruleset = self.sources.ruleset;
                let chain = ruleset.find_chain(rule.at.family, &rule.at.table, &rule.at.chain);
                let is_base = chain.is_some_and(|chain| ruleset.chain(chain).base.is_some());
                match is_base {
                    true => format!("it did decide: {} in its base chain", rule.verdict),
                    false => format!(
                        "it did decide: {} in chain {}, which ends the base chain that called it",
                        rule.verdict, rule.at.chain
                    ),
                }
            } else {
                format!(
                    "it matched ({}), which is final for its base chain alone; the packet was stopped later by {}",
                    rule.verdict,
                    self.ended_by()
                )
            };
            return ("decided", words);
        }
        let after = match rule.verdict.as_str() {
            "continue" => "it matched, and has no verdict: the next rule was looked at".to_string(),
            "accept" => format!(
                "it matched and accepted, which ends its base chain alone; later {} decided",
                self.ended_by()
            ),
            "return" => "it matched: back to the calling chain, or to the policy of the base chain"
                .to_string(),
            call => format!("it matched: {call}; {} decided", self.ended_by()),
        };
        ("matched", after)
    }

    /// The value that a rule names is the one from before a translation.
    fn hint(&self, at: usize, rule: &RuleStep) -> String {
        let before = self.path.steps.get(..at).unwrap_or_default();
        let translation = before.iter().rev().find_map(|step| match &step.kind {
            StepKind::Nat(nat) if names(&rule.text, &nat.from) => Some(nat),
            _ => None,
        });
        match translation {
            Some(nat) => format!("; {}", translated(nat)),
            None => String::new(),
        }
    }

    /// A rule that was not reached and that names what the packet had before a translation would not match either.
    fn translated_before(&self, id: RuleId, wanted: &RuleRef) -> String {
        let ruleset = self.sources.ruleset;
        let met = self.rules().find(|(_, rule)| same_chain(&rule.at, wanted));
        let base = ruleset.chain(ruleset.rule(id).chain).base.as_ref();
        let is_later = base.is_some_and(|base| comes_before(Hook::Prerouting, base.hook));
        let end = match (met, is_later) {
            (Some((at, _)), _) => at,
            (None, true) => self.path.steps.len(),
            (None, false) => return String::new(),
        };
        let text = rule_text(self.sources, id);
        let before = self.path.steps.get(..end).unwrap_or_default();
        let translation = before.iter().rev().find_map(|step| match &step.kind {
            StepKind::Nat(nat) if !nat.source && names(&text, &nat.from) => Some(nat),
            _ => None,
        });
        match translation {
            Some(nat) => format!("; it would not match either: {}", translated(nat)),
            None => String::new(),
        }
    }

    fn not_reached(&self, id: RuleId, wanted: &RuleRef, depth: usize) -> Said {
        let ruleset = self.sources.ruleset;
        let chain = ruleset.rule(id).chain;
        // the last rule of the same chain that was looked at
        let last = self.rules().rfind(|(_, rule)| same_chain(&rule.at, wanted));
        if let Some((at, rule)) = last {
            if rule.at.index < wanted.index {
                let left = self.left(at, rule);
                return (
                    "left-before",
                    format!("its chain was left before it: {left}"),
                );
            }
            // a chain that is called from several places, entered behind this rule never
            return ("left-before", "its chain was left before it".into());
        }
        if self.entered(wanted) {
            return (
                "left-before",
                "its chain was entered and left before any rule".into(),
            );
        }
        match &ruleset.chain(chain).base {
            Some(base) => self.base_not_entered(chain, base.hook, &base.kind),
            None => self.not_called(chain, depth),
        }
    }

    /// How a chain was left at one of its rules.
    fn left(&self, at: usize, rule: &RuleStep) -> String {
        let verdict = rule.verdict.as_str();
        if !rule.matched || verdict == "continue" {
            return format!("{} was the last of its rules that was looked at", rule.at);
        }
        if verdict.starts_with("jump ") || verdict.starts_with("goto ") {
            let rest = self.path.steps.get(at + 1..).unwrap_or_default();
            let deeper = rest
                .iter()
                .take_while(|step| matches!(step.kind, StepKind::Rule(_)))
                .filter_map(|step| match &step.kind {
                    StepKind::Rule(rule) if rule.matched && is_final(&rule.verdict) => Some(rule),
                    _ => None,
                })
                .last();
            return match deeper {
                Some(last) => format!(
                    "{} ({verdict}) led to {}: {} {}",
                    rule.at,
                    last.at,
                    short(&last.text),
                    done(last)
                ),
                None => format!("{} ({verdict}) did not come back to it", rule.at),
            };
        }
        format!("{}: {} {}", rule.at, short(&rule.text), done(rule))
    }

    fn entered(&self, wanted: &RuleRef) -> bool {
        self.path.steps.iter().any(|step| match &step.kind {
            StepKind::Chain(chain) => {
                chain.family == wanted.family
                    && chain.table == wanted.table
                    && chain.chain == wanted.chain
            }
            StepKind::Rule(rule) => {
                rule.matched
                    && rule.at.family == wanted.family
                    && rule.at.table == wanted.table
                    && called(rule) == Some(wanted.chain.as_str())
            }
            _ => false,
        })
    }

    fn base_not_entered(&self, chain: ChainId, hook: Hook, kind: &ChainType) -> Said {
        let ruleset = self.sources.ruleset;
        let table = ruleset.table(ruleset.chain(chain).table);
        let name = format!(
            "{} {} {}",
            table.family,
            table.name,
            ruleset.chain(chain).name
        );
        if table.dormancy == Dormancy::Dormant {
            return (
                "dormant",
                format!(
                    "table {} {} is dormant: none of its chains sees a packet",
                    table.family, table.name
                ),
            );
        }
        let v6 = self.path.input.dst.text().contains(':');
        let family = if v6 { "IPv6" } else { "IPv4" };
        let other = match table.family {
            Family::Ip => v6,
            Family::Ip6 => !v6,
            Family::Arp => true,
            Family::Inet | Family::Bridge | Family::Netdev => false,
        };
        if other {
            return (
                "other-family",
                format!(
                    "{name} does not see it: table {} is not for {family} packets",
                    table.family
                ),
            );
        }
        let of_layer = |step: &Step| match table.family {
            Family::Bridge => step.layer == "bridge",
            Family::Netdev => step.layer == "netdev",
            _ => step.layer == "ip" || step.layer == "ip6",
        };
        let passed = self.path.steps.iter().any(|step| {
            step.hook == hook && of_layer(step) && matches!(step.kind, StepKind::Chain(_))
        });
        if matches!(kind, ChainType::Nat)
            && (passed || self.passes(hook))
            && let Some(why) = self.not_tracked(hook)
        {
            return (
                "nat-is-for-the-first-packet",
                format!(
                    "{name} does not see it: nat chains see only the first packet of a tracked connection, and {why}"
                ),
            );
        }
        let stopped = matches!(self.path.verdict, Verdict::Drop | Verdict::Reject);
        let last = self.path.steps.last().map(|step| step.hook);
        if matches!(kind, ChainType::Nat) && self.is_reply() {
            return (
                "nat-is-for-the-first-packet",
                format!(
                    "{name} does not see it: nat chains see only the first packet of a connection; conntrack applies the translation to all others"
                ),
            );
        }
        if passed || last == Some(hook) {
            if stopped {
                return (
                    "dropped-before",
                    format!(
                        "the packet did not come to {name}: stopped at the same hook by {}",
                        self.ended_by()
                    ),
                );
            }
            if matches!(kind, ChainType::Nat) {
                let by = self.path.steps.iter().find_map(|step| match &step.kind {
                    StepKind::Nat(nat) if step.hook == hook => nat.by.as_ref(),
                    _ => None,
                });
                let by = by.map_or(String::new(), |at| format!(" by {at}"));
                return (
                    "translated-before",
                    format!("{name} was not asked: the translation of this direction was made{by}"),
                );
            }
            return (
                "hook-not-passed",
                format!(
                    "{name} is at {} of another interface, or of none that the packet passes",
                    hook.name()
                ),
            );
        }
        if stopped && last.is_some_and(|last| comes_before(last, hook)) {
            return (
                "dropped-before",
                format!(
                    "the packet did not come to {}: stopped in {} by {}",
                    hook.name(),
                    last.map_or("", |last| last.name()),
                    self.ended_by()
                ),
            );
        }
        (
            "hook-not-passed",
            format!(
                "{name} is at {}, which the packet does not pass: {}",
                hook_words(table.family, hook),
                self.way()
            ),
        )
    }

    /// Whether the IP packet comes to the end of a hook, also where no chain is there to see it.
    fn passes(&self, hook: Hook) -> bool {
        let decision = self.path.steps.iter().find_map(|step| match &step.kind {
            StepKind::Routing(routing) => Some(routing.decision),
            _ => None,
        });
        let ends_as =
            |wanted: fn(&StepKind) -> bool| self.path.steps.iter().any(|step| wanted(&step.kind));
        match hook {
            Hook::Prerouting => decision.is_some_and(|decision| decision != "output"),
            Hook::Input => ends_as(|kind| matches!(kind, StepKind::Local)),
            Hook::Output => {
                decision == Some("output")
                    && ends_as(|kind| matches!(kind, StepKind::Leaves | StepKind::Loopback))
            }
            Hook::Postrouting => {
                ends_as(|kind| matches!(kind, StepKind::Leaves | StepKind::Loopback))
            }
            Hook::Ingress | Hook::Forward | Hook::Egress => false,
        }
    }

    /// Why the packet belongs to no connection at a hook.
    fn not_tracked(&self, hook: Hook) -> Option<String> {
        let at_hook = self.path.steps.iter().rfind(|step| step.hook == hook);
        // conntrack looks once, where the packet enters; what it found there holds at every later hook
        let packet = match at_hook {
            Some(step) => &step.packet,
            None => &self.path.steps.last()?.packet,
        };
        let looked = self
            .path
            .steps
            .iter()
            .rev()
            .find_map(|step| match &step.kind {
                StepKind::Conntrack(ct) => Some(ct.state),
                _ => None,
            });
        match (packet.ct_state, looked) {
            (None, Some("invalid")) => {
                Some("this one is of no connection (`ct state invalid`)".into())
            }
            (None, _) => Some("no rule here makes the kernel track connections".into()),
            (Some("untracked"), Some("untracked")) => {
                Some("this one is of a kind that is never tracked".into())
            }
            (Some("untracked"), _) => Some(match self.untracked_by() {
                Some(rule) => format!("this one is not tracked: {rule} says so"),
                None => "this one is not tracked".into(),
            }),
            (Some("related"), _) if self.path.input.icmp.is_some() => Some(
                "this one is an error about another packet, which goes the way of its connection"
                    .into(),
            ),
            (Some(_), _) => None,
        }
    }

    /// The rule that took the packet out of conntrack's sight.
    fn untracked_by(&self) -> Option<RuleRef> {
        let ruleset = self.sources.ruleset;
        let untracks = |at: &RuleRef| {
            let chain = ruleset.find_chain(at.family, &at.table, &at.chain)?;
            let id = ruleset.chain(chain).rules.get(at.index as usize)?;
            let statements = &ruleset.rule(*id).statements;
            Some(
                statements
                    .iter()
                    .any(|one| matches!(one.kind, Stmt::Notrack)),
            )
        };
        self.rules()
            .find(|(_, rule)| rule.matched && untracks(&rule.at) == Some(true))
            .map(|(_, rule)| rule.at.clone())
    }

    fn not_called(&self, chain: ChainId, depth: usize) -> Said {
        let ruleset = self.sources.ruleset;
        let name = ruleset.chain(chain).name.to_string();
        let callers = callers(ruleset, chain);
        if callers.is_empty() {
            return (
                "not-hooked",
                format!(
                    "its chain {name} is called by no rule, and is no base chain: no packet comes there"
                ),
            );
        }
        if depth >= DEEPEST {
            return ("not-called", format!("its chain {name} was not called"));
        }
        let mut reasons: Vec<String> = Vec::new();
        for caller in callers.iter().take(CALLERS) {
            let (_, message) = self.rule(*caller, depth + 1);
            reasons.push(format!(
                "{} calls it: {message}",
                rule_ref(ruleset, *caller)
            ));
        }
        if callers.len() > CALLERS {
            reasons.push(format!(
                "and {} more rules call it",
                callers.len() - CALLERS
            ));
        }
        (
            "not-called",
            format!("its chain {name} was not called; {}", reasons.join("; ")),
        )
    }

    fn is_reply(&self) -> bool {
        self.path
            .steps
            .iter()
            .any(|step| matches!(&step.kind, StepKind::Conntrack(ct) if ct.reply || ct.state == "established"))
    }

    /// Who stopped or let through the packet.
    fn ended_by(&self) -> String {
        let last = self.path.deciding.last().copied();
        let last = last.or(self.path.steps.len().checked_sub(1));
        match last
            .and_then(|at| self.path.steps.get(at))
            .map(|step| &step.kind)
        {
            Some(StepKind::Rule(rule)) => format!("{} ({})", rule.at, rule.verdict),
            Some(StepKind::Policy {
                family,
                table,
                chain,
                accept,
            }) => {
                format!(
                    "policy {} of {family} {table} {chain}",
                    if *accept { "accept" } else { "drop" }
                )
            }
            Some(StepKind::Drop { text, .. }) => format!("the host: {text}"),
            _ => self.path.disposition.to_string(),
        }
    }

    /// The way the packet took instead, and why.
    fn way(&self) -> String {
        let mut steps = self.path.steps.iter().rev();
        let routing = steps.find_map(|step| match &step.kind {
            StepKind::Routing(routing) => Some(routing),
            _ => None,
        });
        let mut words = match routing.map(|routing| (routing.decision, &routing.oif)) {
            _ if self.path.disposition == "bridged" => "it stays on its bridge".to_string(),
            Some(("forward", Some(oif))) => format!("it is forwarded to {}", oif.text()),
            Some(("forward", None)) => "it is forwarded".to_string(),
            Some(("output", _)) => "this host sends it".to_string(),
            Some((decision, _)) if decision != "local" => format!("it is {decision}"),
            Some(_) => "it is for this host".to_string(),
            None => format!(
                "it ends before the routing decision ({})",
                self.path.disposition
            ),
        };
        let translation = self.path.steps.iter().find_map(|step| match &step.kind {
            StepKind::Nat(nat) if !nat.source => Some(nat),
            _ => None,
        });
        if let Some(nat) = translation {
            let by = nat
                .by
                .as_ref()
                .map_or("conntrack".to_string(), ToString::to_string);
            words += &format!(
                "; {by} had made its destination {} (before: {})",
                nat.to, nat.from
            );
        }
        words
    }
}

fn translated(nat: &NatStep) -> String {
    let by = match (&nat.by, nat.statement) {
        (Some(by), Some(statement)) => format!("{statement} by {by}"),
        (Some(by), None) => by.to_string(),
        (None, _) => "conntrack".to_string(),
    };
    let end = if nat.source { "source" } else { "destination" };
    let old = if nat.source { "src" } else { "dst" };
    format!(
        "the {end} {} had become {} before ({by}); `ct original proto-{old}` and `ct original ip {}addr` still have the old one",
        nat.from,
        nat.to,
        if nat.source { "s" } else { "d" }
    )
}

/// Whether a rule's text names the address or the port of an end.
fn names(rule: &str, end: &str) -> bool {
    let (address, port) = match end.rsplit_once(':') {
        Some((address, port)) if !address.contains(':') || address.starts_with('[') => {
            (address.trim_matches(['[', ']']), Some(port))
        }
        _ => (end, None),
    };
    let words = || rule.split(|c: char| c.is_whitespace() || ",{}".contains(c));
    words().any(|word| word == address || word.starts_with(&format!("{address}/")))
        || port.is_some_and(|port| words().any(|word| word == port))
}

fn same_chain(a: &RuleRef, b: &RuleRef) -> bool {
    a.family == b.family && a.table == b.table && a.chain == b.chain
}

/// The chain that a matched rule leads to.
fn called(rule: &RuleStep) -> Option<&str> {
    let verdict = rule.verdict.as_str();
    verdict
        .strip_prefix("jump ")
        .or(verdict.strip_prefix("goto "))
}

fn is_final(verdict: &str) -> bool {
    ["accept", "drop", "queue", "stolen", "unknown"].contains(&verdict)
}

/// What a rule did with the packet.
fn done(rule: &RuleStep) -> &'static str {
    match rule.verdict.as_str() {
        "accept" => "took it (accept)",
        "drop" => "took it (drop)",
        "return" => "sent it back (return)",
        "queue" => "took it (queue)",
        "stolen" => "took it",
        _ => "decided",
    }
}

fn short(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("`{}…`", &text[..at]),
        None => format!("`{text}`"),
    }
}

fn hook_words(family: Family, hook: Hook) -> String {
    match family {
        Family::Bridge => format!("bridge {}", hook.name()),
        _ => hook.name().to_string(),
    }
}

/// Whether a packet that was stopped at one hook could have come to the other.
fn comes_before(stopped: Hook, hook: Hook) -> bool {
    match stopped {
        Hook::Ingress => true,
        Hook::Prerouting => !matches!(hook, Hook::Ingress | Hook::Output),
        Hook::Forward | Hook::Output => matches!(hook, Hook::Postrouting | Hook::Egress),
        Hook::Postrouting => hook == Hook::Egress,
        Hook::Input | Hook::Egress => false,
    }
}

/// Rules that lead to a chain, by a verdict or by a verdict map.
fn callers(ruleset: &Ruleset, chain: ChainId) -> Vec<RuleId> {
    let leads = |act: &Act| matches!(act, Act::Jump(Target::Chain(id)) | Act::Goto(Target::Chain(id)) if *id == chain);
    ruleset
        .rule_ids()
        .filter(|id| {
            ruleset
                .rule(*id)
                .statements
                .iter()
                .any(|stmt| match &stmt.kind {
                    Stmt::Verdict(act) => leads(act),
                    Stmt::Vmap { map, .. } => ruleset
                        .set(*map)
                        .data()
                        .iter()
                        .any(|data| matches!(data, Data::Verdict(act) if leads(act))),
                    _ => false,
                })
        })
        .collect()
}
