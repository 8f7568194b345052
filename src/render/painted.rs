//! The way of a flow, ready to be painted onto a drawing of the hook graph.
//!
//! Made from the recorded steps of a walk alone; nothing is decided again here.

use std::collections::HashSet;

use crate::eval::Pf;
use crate::graph::{Spot, rule_words};
use crate::report::build::disposition_name;
use crate::ruleset::{ChainId, Hook, RuleId, Ruleset};
use crate::walk::step::{
    Disposition, Outcome, Path, Point, RuleOutcome, RuleStep, StepKind, Taken,
};

/// The ways of a request and its reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Painted {
    pub request: Trail,
    pub reply: Option<Trail>,
}

/// The chains that one packet passed, in order, without empty regular ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trail {
    /// The number of a visit is its position plus one.
    pub visits: Vec<Visit>,
    pub calls: Vec<Passed>,
    /// The hooks it passed, also those without chains.
    pub points: Vec<(Pf, Hook)>,
    pub end: TrailEnd,
}

/// One time in a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    pub pf: Pf,
    pub hook: Hook,
    pub chain: ChainId,
    /// The rule or policy that ended the chain, in words: `#12 accept`.
    pub decided: Option<String>,
}

/// A call that the packet took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    pub from: ChainId,
    pub to: ChainId,
    pub rule: RuleId,
    /// The number of the visit it leads to.
    pub number: usize,
}

/// Where a packet's way ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailEnd {
    pub outcome: Outcome,
    /// `dropped by #14 of FORWARD`
    pub words: String,
    pub at: TrailEndAt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrailEndAt {
    Chain(Pf, Hook, ChainId),
    Spot(Pf, Spot),
    Nowhere,
}

impl Painted {
    /// From the recorded paths of a walk.
    pub fn from_paths(ruleset: &Ruleset, request: &Path, reply: Option<&Path>) -> Painted {
        Painted {
            request: Trail::new(ruleset, request),
            reply: reply.map(|path| Trail::new(ruleset, path)),
        }
    }

    /// Every chain on one of the two ways.
    pub fn chains(&self) -> HashSet<ChainId> {
        self.trails()
            .flat_map(|(_, trail)| trail.visits.iter().map(|visit| visit.chain))
            .collect()
    }

    /// The families of the hooks passed, each once.
    pub fn families(&self) -> Vec<Pf> {
        let mut found: Vec<Pf> = self
            .trails()
            .flat_map(|(_, trail)| trail.points.iter().map(|(pf, _)| *pf))
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// The trails, each with whether it is the reply's.
    pub fn trails(&self) -> impl Iterator<Item = (bool, &Trail)> {
        [(false, Some(&self.request)), (true, self.reply.as_ref())]
            .into_iter()
            .filter_map(|(reply, trail)| Some((reply, trail?)))
    }
}

impl Trail {
    fn new(ruleset: &Ruleset, path: &Path) -> Trail {
        let mut trail = Trail {
            visits: Vec::new(),
            calls: Vec::new(),
            points: Vec::new(),
            end: TrailEnd {
                outcome: path.disposition.outcome(),
                words: disposition_name(&path.disposition).replace('-', " "),
                at: TrailEndAt::Nowhere,
            },
        };
        let mut last = None;
        for step in &path.steps {
            let Point { pf, hook } = step.point;
            if trail.points.last() != Some(&(pf, hook)) {
                trail.points.push((pf, hook));
            }
            match &step.kind {
                StepKind::Chain(chain) => trail.visit(step.point, *chain),
                StepKind::Rule(rule) => {
                    if let Some(ended) = trail.rule(ruleset, step.point, rule) {
                        last = Some(ended);
                    }
                }
                StepKind::Policy { chain, policy } => {
                    let words = format!("policy {}", policy.name());
                    trail.decide(*chain, words.clone());
                    last = Some((*chain, words));
                }
                StepKind::Conntrack(_)
                | StepKind::Nat(_)
                | StepKind::Routing(_)
                | StepKind::Bridge(_)
                | StepKind::Ttl { .. }
                | StepKind::Local
                | StepKind::Leaves
                | StepKind::Loopback
                | StepKind::Drop(_) => {}
            }
        }
        trail.finish(ruleset, path, last);
        trail
    }

    fn visit(&mut self, point: Point, chain: ChainId) {
        self.visits.push(Visit {
            pf: point.pf,
            hook: point.hook,
            chain,
            decided: None,
        });
    }

    /// The chain and the words of a rule that ended something.
    fn rule(
        &mut self,
        ruleset: &Ruleset,
        point: Point,
        step: &RuleStep,
    ) -> Option<(ChainId, String)> {
        let RuleOutcome::Matched(taken) = step.outcome else {
            return None;
        };
        let from = ruleset.rule(step.rule).chain;
        let word = match taken {
            Taken::Continue => return None,
            // An empty chain does nothing and may not even be drawn.
            Taken::Jump(to) | Taken::Goto(to) if ruleset.chain(to).rules.is_empty() => return None,
            Taken::Jump(to) | Taken::Goto(to) => {
                self.visit(point, to);
                let number = self.visits.len();
                self.calls.push(Passed {
                    from,
                    to,
                    rule: step.rule,
                    number,
                });
                return None;
            }
            Taken::Accept => "accept",
            Taken::Drop => "drop",
            Taken::Return => "return",
            Taken::Queue => "queue",
            Taken::Stolen => "takes the packet",
            Taken::Reject => "reject",
            Taken::Nat(kind) => kind.name(),
            Taken::Unknown(_) => "unknown",
            Taken::Missing => "goes to a missing chain",
            Taken::Loop => "jumps in a circle",
        };
        let words = format!("{} {word}", rule_words(ruleset, step.rule));
        self.decide(from, words.clone());
        Some((from, words))
    }

    fn decide(&mut self, chain: ChainId, words: String) {
        if let Some(visit) = self.visits.iter_mut().rev().find(|v| v.chain == chain) {
            visit.decided = Some(words);
        }
    }

    fn finish(&mut self, ruleset: &Ruleset, path: &Path, last: Option<(ChainId, String)>) {
        let Some(&(pf, hook)) = self.points.last() else {
            return;
        };
        match &path.disposition {
            Disposition::Local => self.end.at = TrailEndAt::Spot(pf, Spot::Local),
            Disposition::Forwarded
            | Disposition::Bridged
            | Disposition::Transmitted
            | Disposition::Relayed => {
                self.end.at = TrailEndAt::Spot(pf, Spot::Leaves);
            }
            Disposition::Host(_) => {
                self.end.words = format!("dropped by the kernel: {}", self.end.words);
                self.end.at = TrailEndAt::Spot(
                    pf,
                    match hook {
                        Hook::Output => Spot::Sends,
                        Hook::Postrouting | Hook::Egress => Spot::Leaves,
                        Hook::Ingress | Hook::Prerouting | Hook::Input | Hook::Forward => {
                            Spot::Routing
                        }
                    },
                );
            }
            Disposition::Dropped
            | Disposition::Rejected
            | Disposition::Queued
            | Disposition::Stolen
            | Disposition::Unknown { .. } => {
                let Some((chain, words)) = last else { return };
                let name = &ruleset.chain(chain).name;
                self.end.words = format!("{}: {words} in {name}", self.end.words);
                self.end.at = TrailEndAt::Chain(pf, hook, chain);
            }
        }
    }
}
