//! One flow's answer in one line, for many flows at once (docs/formats/batch.md).

use schemars::JsonSchema;
use serde::Serialize;

use super::build::endpoint;
use super::{ChainStep, FlowReport, Packet, PathReport, Step, StepKind, Verdict};

/// A row. Its members are the columns of the CSV form, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Row {
    /// Where the flow stands in its file: `line 3`, `packet 12`.
    pub at: String,
    /// The flow in its canonical spelling; empty for one that could not be asked.
    pub flow: String,
    /// `accept`, `drop`, `reject`, `unknown`, or `error`.
    pub verdict: &'static str,
    /// Which packet the verdict is about: `request` or `reply`; `both` when both pass.
    pub of: &'static str,
    /// How that packet ended (docs/outcomes.md).
    pub disposition: &'static str,
    /// Who ended it: `ip filter INPUT #5`, `policy drop of ip filter INPUT`, `the host`; for an accepted flow the last rule that
    /// accepted the request, if one did.
    pub by: String,
    /// The text of that rule.
    pub rule: String,
    /// The software that wrote it.
    pub owner: String,
    /// Addresses and ports as the receiver of the request sees them.
    pub seen: String,
    /// How many facts were used that nobody gave.
    pub assumed: usize,
    /// For `unknown` and `error`: why.
    pub why: String,
}

impl Row {
    /// The row of a flow that could not be asked.
    pub fn failed(at: &str, flow: &str, why: String) -> Row {
        Row {
            at: at.to_string(),
            flow: flow.to_string(),
            verdict: "error",
            why,
            ..Row::default()
        }
    }

    /// The row of an answer.
    pub fn of(at: &str, flow: &FlowReport) -> Row {
        let (of, path) = match &flow.reply {
            Some(reply) if flow.request.verdict == Verdict::Accept => {
                let both = reply.verdict == Verdict::Accept;
                (if both { "both" } else { "reply" }, reply)
            }
            Some(_) | None => ("request", &flow.request),
        };
        let accepted = flow.verdict == Verdict::Accept;
        let decided = decided(if accepted { &flow.request } else { path });
        let why = match (&path.unknown, flow.verdict) {
            (Some((why, _)), _) => why.clone(),
            (None, Verdict::Unknown) => open_questions(flow),
            (None, _) => String::new(),
        };
        Row {
            at: at.to_string(),
            flow: flow.flow.text.clone(),
            verdict: flow.verdict.name(),
            of,
            disposition: path.disposition,
            by: decided.by,
            rule: decided.rule,
            owner: decided.owner,
            seen: match flow.request.verdict {
                Verdict::Accept => ends(&flow.request.output),
                Verdict::Drop | Verdict::Reject | Verdict::Unknown => String::new(),
            },
            assumed: flow
                .assumptions
                .iter()
                .filter(|assumption| assumption.source != "flag")
                .count(),
            why,
        }
    }
}

#[derive(Default)]
struct Decided {
    by: String,
    rule: String,
    owner: String,
}

fn decided(path: &PathReport) -> Decided {
    let Some(step) = path.deciding.last().and_then(|&at| path.steps.get(at)) else {
        return Decided::default();
    };
    let (by, rule) = decider(step);
    let owner = match &step.kind {
        StepKind::Rule(rule) => rule.owner.as_ref(),
        StepKind::Policy { chain, .. } => {
            base(&path.steps, chain).and_then(|base| base.owner.as_ref())
        }
        _ => None,
    };
    Decided {
        by,
        rule,
        owner: owner.map(|owner| owner.words()).unwrap_or_default(),
    }
}

/// Who decided with a step, `ip filter INPUT #5`, and the text of the rule. Empty for a step that decides nothing.
pub fn decider(step: &Step) -> (String, String) {
    match &step.kind {
        StepKind::Rule(rule) => (rule.at.to_string(), rule.text.clone()),
        StepKind::Policy {
            family,
            table,
            chain,
            accept,
        } => {
            let policy = if *accept { "accept" } else { "drop" };
            (
                format!("policy {policy} of {family} {table} {chain}"),
                String::new(),
            )
        }
        StepKind::Drop { text, .. } => ("the host".into(), text.clone()),
        _ => Default::default(),
    }
}

fn base<'r>(steps: &'r [Step], name: &str) -> Option<&'r ChainStep> {
    steps.iter().find_map(|step| match &step.kind {
        StepKind::Chain(chain) if chain.chain == name => Some(chain),
        _ => None,
    })
}

/// What the answer depends on.
fn open_questions(flow: &FlowReport) -> String {
    let mut questions: Vec<&str> = Vec::new();
    for alternative in flow.alternatives.iter().filter(|other| !other.unusual) {
        for (question, _) in &alternative.questions {
            if !questions.contains(&question.as_str()) {
                questions.push(question);
            }
        }
    }
    match questions.is_empty() {
        true => String::new(),
        false => format!("depends on whether {}", questions.join(", and whether ")),
    }
}

fn ends(packet: &Packet) -> String {
    format!(
        "{} -> {}",
        endpoint(&packet.src, packet.sport.as_ref()),
        endpoint(&packet.dst, packet.dport.as_ref())
    )
}
