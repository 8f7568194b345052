//! The JSON contract of `nfpath audit` (docs/formats/audit.md): types of its own, so that findings may change.

use serde::Serialize;

use crate::reach::class::unusual_icmp;

use super::{Audit, Cited, Finding};

#[derive(Debug, Serialize)]
struct Document {
    schema: &'static str,
    findings: Vec<One>,
    suppressed: Vec<Hidden>,
    left_out: Vec<String>,
}

#[derive(Debug, Serialize)]
struct One {
    id: &'static str,
    severity: &'static str,
    /// `certain`, or `open` where it rests on something.
    confidence: &'static str,
    rests_on: Vec<String>,
    message: String,
    why: String,
    remedy: String,
    rules: Vec<Rule>,
    places: Vec<String>,
    witness: Option<Flow>,
}

#[derive(Debug, Serialize)]
struct Rule {
    family: &'static str,
    table: String,
    chain: String,
    handle: u64,
    index: u32,
    text: String,
    owner: Option<String>,
    part: &'static str,
}

#[derive(Debug, Serialize)]
struct Flow {
    flow: String,
    iif: Option<String>,
    tcp_flags: Option<u8>,
    icmp_type: Option<String>,
}

#[derive(Debug, Serialize)]
struct Hidden {
    #[serde(flatten)]
    finding: One,
    reason: String,
    by: &'static str,
}

/// The findings as JSON, with a newline at its end.
pub fn json(audit: &Audit) -> String {
    let document = Document {
        schema: "nfpath.audit/1",
        findings: audit.findings.iter().map(one).collect(),
        suppressed: audit
            .suppressed
            .iter()
            .map(|hidden| Hidden {
                finding: one(&hidden.finding),
                reason: hidden.reason.clone(),
                by: if hidden.in_ruleset {
                    "comment"
                } else {
                    "options"
                },
            })
            .collect(),
        left_out: audit.left_out.clone(),
    };
    crate::json::pretty(&document)
}

fn one(finding: &Finding) -> One {
    One {
        id: finding.about.id,
        severity: finding.severity.name(),
        confidence: if finding.rests_on.is_empty() {
            "certain"
        } else {
            "open"
        },
        rests_on: finding.rests_on.clone(),
        message: finding.what.clone(),
        why: finding.why.clone(),
        remedy: finding.remedy.clone(),
        rules: finding.rules.iter().map(rule).collect(),
        places: finding.places.clone(),
        witness: finding.witness.as_ref().map(|witness| Flow {
            flow: witness.question.flow.to_string(),
            iif: witness.question.iif.clone(),
            tcp_flags: witness.question.tcp_flags,
            icmp_type: unusual_icmp(&witness.question).map(|(kind, code)| format!("{kind}/{code}")),
        }),
    }
}

fn rule(cited: &Cited) -> Rule {
    Rule {
        family: cited.rule.family.name(),
        table: cited.rule.table.clone(),
        chain: cited.rule.chain.clone(),
        handle: cited.rule.handle.0,
        index: cited.rule.index,
        text: cited.text.clone(),
        owner: cited.owner.clone(),
        part: cited.part,
    }
}
