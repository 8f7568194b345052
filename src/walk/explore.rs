//! All ways a flow can go when the input leaves something open.

use crate::eval::World;
use crate::hooks::Hooks;
use crate::logic::{Choice, Knowledge, Source};

use super::step::{Disposition, Outcome, PacketView, Walked};
use super::{Probe, walk};

/// How many walks one question may take.
const MAX_WALKS: usize = 256;
/// How many steps all walks of one question may take: each is kept.
const MAX_STEPS: usize = 1_000_000;

/// The answer for one flow.
#[derive(Debug, Clone)]
pub struct Explored {
    /// The walk under the customary answers.
    pub primary: Walked,
    pub knowledge: Knowledge,
    /// Walks that end otherwise, each with the choices that lead there, fewest first.
    pub alternatives: Vec<Alternative>,
    /// True when there were more open questions than could be followed.
    pub truncated: bool,
}

/// Another ending, and what it takes.
#[derive(Debug, Clone)]
pub struct Alternative {
    pub walked: Walked,
    pub knowledge: Knowledge,
    /// The choices that differ from the primary walk's.
    pub when: Vec<Choice>,
}

/// Walks a flow, and again for every other answer to a question that was open.
///
/// `fixed` holds answers by the wording of the question, given by the user.
pub fn explore(world: World<'_>, hooks: &Hooks, probe: &Probe, know: &Knowledge) -> Explored {
    let first = |script: Vec<bool>| {
        let mut know = know.clone();
        know.prescribe(script);
        walk(world, hooks, probe, know)
    };
    let (primary, knowledge) = first(Vec::new());
    let mut alternatives: Vec<Alternative> = Vec::new();
    let mut seen = vec![ending(&primary)];
    let mut queue: std::collections::VecDeque<Vec<bool>> = branches(&primary.choices, 0).into();
    let mut walks = 1;
    let mut steps = primary.steps();
    let mut truncated = false;
    while let Some(script) = queue.pop_front() {
        if walks >= MAX_WALKS || steps >= MAX_STEPS {
            truncated = true;
            break;
        }
        walks += 1;
        let forced = script.len();
        let (walked, know) = first(script);
        steps += walked.steps();
        queue.extend(branches(&walked.choices, forced));
        let end = ending(&walked);
        if seen.contains(&end) {
            continue;
        }
        seen.push(end);
        let when = differing(&walked.choices, forced);
        alternatives.push(Alternative {
            walked,
            knowledge: know,
            when,
        });
    }
    Explored {
        primary,
        knowledge,
        alternatives,
        truncated,
    }
}

/// The scripts that flip one later choice each.
fn branches(choices: &[Choice], from: usize) -> Vec<Vec<bool>> {
    (from..choices.len())
        .filter(|&at| choices[at].source != Source::Flag)
        .map(|at| {
            let mut script: Vec<bool> = choices[..at].iter().map(|c| c.holds).collect();
            script.push(!choices[at].holds);
            script
        })
        .collect()
}

/// The choices that were prescribed against their usual answer.
fn differing(choices: &[Choice], forced: usize) -> Vec<Choice> {
    choices[..forced.min(choices.len())]
        .iter()
        .filter(|c| c.holds != c.usual)
        .cloned()
        .collect()
}

/// What makes two walks the same answer.
fn ending(walked: &Walked) -> (Disposition, Ends, Option<(Disposition, Ends)>) {
    let ends = |view: &PacketView| (view.src, view.dst, view.sport, view.dport, view.oif);
    (
        walked.request.disposition.clone(),
        ends(&walked.request.output),
        walked
            .reply
            .as_ref()
            .map(|reply| (reply.disposition.clone(), ends(&reply.output))),
    )
}

type Ends = (
    crate::logic::Known<std::net::IpAddr>,
    crate::logic::Known<std::net::IpAddr>,
    Option<crate::logic::Known<u16>>,
    Option<crate::logic::Known<u16>>,
    Option<crate::eval::Iface>,
);

impl Walked {
    /// How many steps request and reply take.
    fn steps(&self) -> usize {
        self.request.steps.len() + self.reply.as_ref().map_or(0, |reply| reply.steps.len())
    }

    /// The outcome of the whole conversation: accept only when the request is delivered and a reply, where one is to be
    /// expected, comes back.
    pub fn outcome(&self) -> Outcome {
        match self.request.disposition.outcome() {
            Outcome::Accept => self
                .reply
                .as_ref()
                .map_or(Outcome::Accept, |reply| reply.disposition.outcome()),
            other => other,
        }
    }
}

impl Explored {
    /// The outcome, unknown when an open fact decides it.
    pub fn outcome(&self) -> Outcome {
        let outcome = self.primary.outcome();
        let differs = self.alternatives.iter().any(|alternative| {
            alternative
                .when
                .iter()
                .all(|choice| choice.source == Source::Open)
                && alternative.walked.outcome() != outcome
        });
        if differs || self.truncated {
            Outcome::Unknown
        } else {
            outcome
        }
    }
}
