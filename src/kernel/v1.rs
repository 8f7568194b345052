//! What `nfpath verify --format json` writes: `nfpath.verify/1`, told in docs/formats/verify.md.

use serde::Serialize;

use super::compare::{self, End};
use super::coverage::Coverage;
use super::random::{Found, Tally};
use super::{Agreement, Verified};

/// The name of the format, with its version.
pub const SCHEMA: &str = "nfpath.verify/1";

/// The document.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    agreement: Totals,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    /// Of `--flow`, each; of `--random`, none.
    flows: Vec<Flow<'a>>,
    /// Of `--random`: the folders of the cases that differ, cannot be told, or panicked.
    cases: Vec<Case<'a>>,
    /// Of `--random`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    coverage: Vec<Kind>,
}

#[derive(Debug, Default, Serialize)]
struct Totals {
    flows: u64,
    agreed: u64,
    differed: u64,
    unknown: u64,
    panics: u64,
    refused_rulesets: u64,
    flows_not_sent: u64,
    flows_repeated: u64,
    flows_settled: u64,
    flows_misread: u64,
}

#[derive(Debug, Serialize)]
struct Flow<'a> {
    sent: &'a str,
    agreement: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'a str>,
    request: Pair<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<Pair<'a>>,
    /// What the sender of a refused packet gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Pair<'a>>,
    settled: &'a [String],
    notes: &'a [String],
}

#[derive(Debug, Serialize)]
struct Pair<'a> {
    /// The row of the first difference, from 0; the end is the row behind the longer list of steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<usize>,
    model: Way<'a>,
    kernel: Way<'a>,
}

#[derive(Debug, Serialize)]
struct Way<'a> {
    steps: Vec<Step<'a>>,
    end: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    text: String,
}

#[derive(Debug, Serialize)]
struct Step<'a> {
    family: &'a str,
    table: &'a str,
    chain: &'a str,
    /// `null`: the chain's policy.
    handle: Option<u64>,
    verdict: &'a str,
}

#[derive(Debug, Serialize)]
struct Case<'a> {
    folder: &'a str,
    agreement: &'static str,
}

#[derive(Debug, Serialize)]
struct Kind {
    group: &'static str,
    kind: String,
    rules: u64,
    reached: u64,
    matched: u64,
    /// Why it may be at zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    zero_because: Option<&'static str>,
}

fn word(agreement: &Agreement) -> &'static str {
    match agreement {
        Agreement::Yes => "yes",
        Agreement::No => "no",
        Agreement::Unknown(_) => "unknown",
    }
}

fn way(way: &compare::Way) -> Way<'_> {
    let (end, device) = match &way.end {
        End::Left { device, .. } => ("left", device.as_deref()),
        End::Local { .. } => ("local", None),
        End::Gone { .. } => ("gone", None),
        End::Open { .. } => ("open", None),
    };
    let steps = way.lines.iter().map(|line| Step {
        family: &line.family,
        table: &line.table,
        chain: &line.chain,
        handle: line.rule.map(|place| place.handle.0),
        verdict: &line.verdict,
    });
    Way {
        steps: steps.collect(),
        end,
        device,
        text: way.end.to_string(),
    }
}

fn pair(pair: &super::Pair) -> Pair<'_> {
    Pair {
        difference: pair.difference,
        model: way(&pair.model),
        kernel: way(&pair.kernel),
    }
}

fn text(document: &Document<'_>) -> String {
    crate::json::pretty(document)
}

/// Flows that were named.
pub fn flows(verified: &[Verified]) -> String {
    let count = |which: &str| {
        let those = verified.iter().filter(|v| word(&v.agreement) == which);
        those.count() as u64
    };
    text(&Document {
        schema: SCHEMA,
        agreement: Totals {
            flows: verified.len() as u64,
            agreed: count("yes"),
            differed: count("no"),
            unknown: count("unknown"),
            ..Totals::default()
        },
        seed: None,
        flows: verified
            .iter()
            .map(|verified| Flow {
                sent: &verified.sent,
                agreement: word(&verified.agreement),
                because: match &verified.agreement {
                    Agreement::Unknown(why) => Some(why),
                    Agreement::Yes | Agreement::No => None,
                },
                request: pair(&verified.request),
                reply: verified.reply.as_ref().map(pair),
                answer: verified.answer.as_ref().map(pair),
                settled: &verified.settled,
                notes: &verified.notes,
            })
            .collect(),
        cases: Vec::new(),
        coverage: Vec::new(),
    })
}

/// A run of made-up cases.
pub fn random(found: &Found, seed: u64) -> String {
    let Tally {
        flows,
        agreed,
        panics,
        unknown,
        refused,
        not_sent,
        repeated,
        settled,
        misread,
    } = found.tally;
    text(&Document {
        schema: SCHEMA,
        agreement: Totals {
            flows,
            agreed,
            differed: flows - agreed - unknown - panics,
            unknown,
            panics,
            refused_rulesets: refused,
            flows_not_sent: not_sent,
            flows_repeated: repeated,
            flows_settled: settled,
            flows_misread: misread,
        },
        seed: Some(seed),
        flows: Vec::new(),
        cases: found
            .cases
            .iter()
            .map(|(folder, agreement)| Case { folder, agreement })
            .collect(),
        coverage: kinds(&found.coverage),
    })
}

fn kinds(coverage: &Coverage) -> Vec<Kind> {
    let rows = coverage.rows().into_iter();
    rows.map(|row| Kind {
        group: row.group,
        kind: row.kind,
        rules: row.count.rules,
        reached: row.count.reached,
        matched: row.count.matched,
        zero_because: row.why,
    })
    .collect()
}
