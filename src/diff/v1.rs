//! The JSON contract of `nfpath diff` (docs/formats/diff.md): types of its own, so that the answer may change.

use schemars::JsonSchema;
use serde::Serialize;

use crate::reach::v1::{CitedJson, ClassJson, cited};

use super::{Diff, Fate, Row};

#[derive(Debug, Serialize, JsonSchema)]
struct DiffJson {
    schema: &'static str,
    rows: Vec<RowJson>,
    left_out: Vec<String>,
    assumed: Vec<String>,
    unusual: Vec<String>,
    truncated: bool,
    given_up: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct RowJson {
    kind: &'static str,
    sent_here: bool,
    to_many: bool,
    #[serde(flatten)]
    class: ClassJson,
    before: FateJson,
    after: FateJson,
    rests_on: Vec<String>,
    witness: WitnessJson,
}

#[derive(Debug, Serialize, JsonSchema)]
struct FateJson {
    end: &'static str,
    detail: Option<String>,
    translated_to: Option<String>,
    by: Vec<CitedJson>,
    answers: Option<AnswersJson>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AnswersJson {
    come_back: bool,
    by: Vec<CitedJson>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct WitnessJson {
    flow: String,
    iif: Option<String>,
    tcp_flags: Option<u8>,
    icmp_type: Option<String>,
    assume: Vec<String>,
    confirmed: Option<bool>,
}

/// The answer as JSON, with a newline at its end.
pub fn json(diff: &Diff) -> String {
    let document = DiffJson {
        schema: "nfpath.diff/1",
        rows: diff.rows.iter().map(row).collect(),
        left_out: diff.left_out.clone(),
        assumed: diff.assumed.clone(),
        unusual: diff.unusual.clone(),
        truncated: diff.truncated,
        given_up: diff.given_up.clone(),
    };
    crate::json::pretty(&document)
}

fn row(row: &Row) -> RowJson {
    RowJson {
        kind: row.kind.name(),
        sent_here: row.sent_here,
        to_many: row.to_many,
        class: ClassJson::of(&row.class),
        before: fate(&row.before),
        after: fate(&row.after),
        rests_on: row.rests_on.clone(),
        witness: WitnessJson {
            flow: row.witness.flow.clone(),
            iif: row.witness.iif.clone(),
            tcp_flags: row.witness.tcp_flags,
            icmp_type: row
                .witness
                .icmp
                .map(|(kind, code)| format!("{kind}/{code}")),
            assume: row
                .witness
                .assume
                .iter()
                .map(|(fact, value)| format!("{fact}={value}"))
                .collect(),
            confirmed: row.witness.confirmed,
        },
    }
}

fn fate(fate: &Fate) -> FateJson {
    FateJson {
        end: fate.end,
        detail: fate.detail.clone(),
        translated_to: fate.translated.map(|target| target.to_string()),
        by: cited(&fate.by),
        answers: fate.answers.as_ref().map(|(back, by)| AnswersJson {
            come_back: *back,
            by: cited(by),
        }),
    }
}

/// JSON Schema of the document.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(DiffJson).to_value()
}
