//! The JSON contract of `nfpath reach` (docs/formats/reach.md): types of its own, so that the answer may change.

use schemars::JsonSchema;
use serde::Serialize;

use super::class::{Class, numbers, protocols};
use super::{Cited, Reach, Row};

#[derive(Debug, Serialize, JsonSchema)]
struct ReachJson {
    schema: &'static str,
    state: &'static str,
    rows: Vec<RowJson>,
    left_out: Vec<String>,
    not_asked: Vec<String>,
    assumed: Vec<String>,
    truncated: bool,
    given_up: Option<String>,
}

/// The members of a row that say which packets are in it, here and in the contract of `nfpath diff`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ClassJson {
    interfaces: Vec<String>,
    proto: String,
    src: Vec<String>,
    dst: Vec<String>,
    dport: Option<String>,
    sport: Option<String>,
}

impl ClassJson {
    pub(crate) fn of(class: &Class) -> ClassJson {
        let words = |nets: &[ipnet::IpNet]| nets.iter().map(ToString::to_string).collect();
        ClassJson {
            interfaces: class.interfaces.clone(),
            proto: protocols(&class.protocols),
            src: words(&class.sources),
            dst: words(&class.destinations),
            dport: numbers(&class.ports, 16),
            sport: numbers(&class.source_ports, 16),
        }
    }
}

/// A rule or policy, here and in the contract of `nfpath diff`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CitedJson {
    place: String,
    text: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct RowJson {
    #[serde(flatten)]
    class: ClassJson,
    zone: Option<String>,
    sent_here: bool,
    translated_to: Option<String>,
    delivered: &'static str,
    oif: Option<String>,
    by: Vec<CitedJson>,
    rests_on: Vec<String>,
    witness: WitnessJson,
}

#[derive(Debug, Serialize, JsonSchema)]
struct WitnessJson {
    flow: String,
    iif: Option<String>,
    tcp_flags: Option<u8>,
    icmp_type: Option<String>,
    confirmed: bool,
}

/// The answer as JSON, with a newline at its end.
pub fn json(reach: &Reach) -> String {
    let document = ReachJson {
        schema: "nfpath.reach/1",
        state: reach.state.name(),
        rows: reach.rows.iter().map(row).collect(),
        left_out: reach.left_out.clone(),
        not_asked: reach.not_asked.clone(),
        assumed: reach.assumed.clone(),
        truncated: reach.truncated,
        given_up: reach.given_up.clone(),
    };
    crate::json::pretty(&document)
}

fn row(row: &Row) -> RowJson {
    RowJson {
        class: ClassJson::of(&row.class),
        zone: row.zone.clone(),
        sent_here: row.sent_here,
        translated_to: row.translated.map(|target| target.to_string()),
        delivered: row.delivered.name(),
        oif: row.leaves_by.clone(),
        by: cited(&row.by),
        rests_on: row.rests_on.clone(),
        witness: WitnessJson {
            flow: row.witness.flow.clone(),
            iif: row.witness.iif.clone(),
            tcp_flags: row.witness.tcp_flags,
            icmp_type: row
                .witness
                .icmp
                .map(|(kind, code)| format!("{kind}/{code}")),
            confirmed: row.witness.confirmed,
        },
    }
}

pub(crate) fn cited(all: &[Cited]) -> Vec<CitedJson> {
    let cited = all.iter().map(|cited| CitedJson {
        place: cited.place.clone(),
        text: (!cited.text.is_empty()).then(|| cited.text.clone()),
    });
    cited.collect()
}

/// JSON Schema of the document.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(ReachJson).to_value()
}
