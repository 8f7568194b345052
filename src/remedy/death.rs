//! Where a conversation ends that does not get through.

use crate::eval::Pf;
use crate::explain::Answer;
use crate::logic::Knowledge;
use crate::ruleset::{ChainId, Hook, Policy, RuleId, Ruleset};
use crate::walk::step::{
    Disposition, HostDrop, Outcome, PacketView, Path, RuleOutcome, StepKind, Taken, Walked,
};

/// The end of a packet that does not get through.
pub(super) struct Death<'a> {
    pub of: Direction,
    pub path: &'a Path,
    /// What is known of the facts of this walk.
    pub know: &'a Knowledge,
    pub cause: Cause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Request,
    Reply,
}

impl Direction {
    pub(super) fn name(self) -> &'static str {
        match self {
            Direction::Request => "request",
            Direction::Reply => "reply",
        }
    }
}

pub(super) enum Cause {
    Rules(Run),
    Host(HostDrop),
    /// Neither a rule's nor the stack's drop: why, and what would settle it.
    Open(String, String),
}

/// The way through one base chain, up to the verdict.
pub(super) struct Run {
    pub base: ChainId,
    /// Every chain that was entered, the base chain first.
    pub entered: Vec<Entered>,
    /// The calls that lead to the verdict, the base chain first: a rule's position in its chain.
    pub calls: Vec<Call>,
    /// The rule that decided; `None` for the policy.
    pub by: Option<RuleId>,
}

/// A chain that was entered, with the packet as it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entered {
    pub chain: ChainId,
    pub packet: PacketView,
    /// The rule that led there.
    pub by: Option<RuleId>,
}

/// A chain and how far the packet came in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub chain: ChainId,
    /// `None`: its end.
    pub at: Option<usize>,
    pub packet: PacketView,
}

/// Two ends of equal keys are the same obstacle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Rules(Direction, Pf, Hook, ChainId),
    Host(Direction, HostDrop),
    Open(Direction),
}

impl<'a> Death<'a> {
    /// The first end in the way of an answer that is no accept: of the customary walk, else of one that is as likely.
    pub(super) fn of(answer: &'a Answer, ruleset: &Ruleset) -> Option<Death<'a>> {
        let explored = &answer.explored;
        let open = |choice: &crate::logic::Choice| choice.source == crate::logic::Source::Open;
        let others = explored
            .alternatives
            .iter()
            .filter(|a| a.when.iter().all(open));
        let primary = std::iter::once((&explored.primary, &explored.knowledge));
        let mut walks = primary.chain(others.map(|a| (&a.walked, &a.knowledge)));
        let (walked, know) = walks.find(|(walked, _)| walked.outcome() != Outcome::Accept)?;
        let (of, path) = last(walked);
        let cause = cause(path, ruleset);
        Some(Death {
            of,
            path,
            know,
            cause,
        })
    }

    pub(super) fn key(&self) -> Key {
        match &self.cause {
            Cause::Rules(run) => {
                let point = self.path.steps.last().map(|step| step.point);
                let (pf, hook) = point.map_or((Pf::Ip, Hook::Input), |p| (p.pf, p.hook));
                Key::Rules(self.of, pf, hook, run.base)
            }
            Cause::Host(drop) => Key::Host(self.of, *drop),
            Cause::Open(..) => Key::Open(self.of),
        }
    }
}

/// The packet that did not get through.
fn last(walked: &Walked) -> (Direction, &Path) {
    match &walked.reply {
        Some(reply) if walked.request.disposition.outcome() == Outcome::Accept => {
            (Direction::Reply, reply)
        }
        _ => (Direction::Request, &walked.request),
    }
}

fn cause(path: &Path, ruleset: &Ruleset) -> Cause {
    let open = |because: &str| {
        let settle = "`nfpath explain -v` shows the rule".to_string();
        Cause::Open(because.to_string(), settle)
    };
    match &path.disposition {
        Disposition::Dropped | Disposition::Rejected => match run(path, ruleset) {
            Some(run) => Cause::Rules(run),
            None => open("no step tells who dropped the packet"),
        },
        Disposition::Host(drop) => Cause::Host(*drop),
        Disposition::Unknown { because, settle } => Cause::Open(because.clone(), settle.clone()),
        Disposition::Queued => open("a rule hands the packet to a program, which decides"),
        Disposition::Stolen => open("a rule takes the packet over"),
        Disposition::Local
        | Disposition::Forwarded
        | Disposition::Bridged
        | Disposition::Transmitted
        | Disposition::Relayed => open("an ending that other facts decide"),
    }
}

/// The last base chain of a path, with all calls in it.
fn run(path: &Path, ruleset: &Ruleset) -> Option<Run> {
    let enters = |kind: &StepKind| matches!(kind, StepKind::Chain(_));
    let start = path.steps.iter().rposition(|step| enters(&step.kind))?;
    let StepKind::Chain(base) = path.steps[start].kind else {
        return None;
    };
    let first = path.steps[start].packet;
    let call = |chain, packet| Call {
        chain,
        at: None,
        packet,
    };
    let mut run = Run {
        base,
        entered: vec![Entered {
            chain: base,
            packet: first,
            by: None,
        }],
        calls: vec![call(base, first)],
        by: None,
    };
    for step in &path.steps[start + 1..] {
        match &step.kind {
            StepKind::Rule(rule) => {
                let at = ruleset.rule(rule.rule);
                while run.calls.len() > 1
                    && run.calls.last().is_some_and(|call| call.chain != at.chain)
                {
                    run.calls.pop();
                }
                if let Some(call) = run.calls.last_mut() {
                    (call.at, call.packet) = (Some(at.index as usize), step.packet);
                }
                match rule.outcome {
                    RuleOutcome::Matched(Taken::Jump(to) | Taken::Goto(to)) => {
                        run.entered.push(Entered {
                            chain: to,
                            packet: step.packet,
                            by: Some(rule.rule),
                        });
                        run.calls.push(call(to, step.packet));
                    }
                    RuleOutcome::Matched(Taken::Drop | Taken::Reject | Taken::Queue) => {
                        run.by = Some(rule.rule);
                        return Some(run);
                    }
                    RuleOutcome::Matched(_) | RuleOutcome::NoMatch { .. } => {}
                }
            }
            StepKind::Policy {
                policy: Policy::Drop,
                ..
            } => {
                run.calls = vec![call(base, step.packet)];
                return Some(run);
            }
            _ => {}
        }
    }
    None
}
