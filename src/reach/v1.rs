//! The JSON contract of `nfpath reach` (docs/formats/reach.md): types of its own, so that the answer may change.

use serde::Serialize;

use super::class::{numbers, protocols};
use super::{Reach, Row};

#[derive(Debug, Serialize)]
struct Document {
    schema: &'static str,
    rows: Vec<RowJson>,
    left_out: Vec<String>,
    not_asked: Vec<String>,
    assumed: Vec<String>,
    truncated: bool,
}

#[derive(Debug, Serialize)]
struct RowJson {
    interfaces: Vec<String>,
    proto: String,
    src: Vec<String>,
    dst: Vec<String>,
    dport: Option<String>,
    sport: Option<String>,
    translated_to: Option<String>,
    delivered: &'static str,
    oif: Option<String>,
    by: Vec<String>,
    rests_on: Vec<String>,
    witness: WitnessJson,
}

#[derive(Debug, Serialize)]
struct WitnessJson {
    flow: String,
    iif: String,
    confirmed: bool,
}

/// The answer as JSON, with a newline at its end.
pub fn json(reach: &Reach) -> String {
    let document = Document {
        schema: "nfpath.reach/1",
        rows: reach.rows.iter().map(row).collect(),
        left_out: reach.left_out.clone(),
        not_asked: reach.not_asked.clone(),
        assumed: reach.assumed.clone(),
        truncated: reach.truncated,
    };
    // strings and numbers always serialise
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

fn row(row: &Row) -> RowJson {
    let words = |nets: &[ipnet::IpNet]| nets.iter().map(ToString::to_string).collect();
    RowJson {
        interfaces: row.class.interfaces.clone(),
        proto: protocols(&row.class.protocols),
        src: words(&row.class.sources),
        dst: words(&row.class.destinations),
        dport: numbers(&row.class.ports, 16),
        sport: numbers(&row.class.source_ports, 16),
        translated_to: row.translated.map(|(ip, port)| match port {
            None => ip.to_string(),
            Some(port) => std::net::SocketAddr::new(ip, port).to_string(),
        }),
        delivered: match row.leaves_by {
            None => "local",
            Some(_) => "forwarded",
        },
        oif: row.leaves_by.clone(),
        by: row.by.clone(),
        rests_on: row.rests_on.clone(),
        witness: WitnessJson {
            flow: row.witness.flow.clone(),
            iif: row.witness.iif.clone(),
            confirmed: row.witness.confirmed,
        },
    }
}
