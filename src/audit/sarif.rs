//! Findings as SARIF 2.1.0 (OASIS), for programs that show the results of static analysis.

use serde::Serialize;

use super::{Audit, Finding, Severity, about};

#[derive(Debug, Serialize)]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: Vec<Run<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Tool,
    results: Vec<SarifResult<'a>>,
    column_kind: &'static str,
}

#[derive(Debug, Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Debug, Serialize)]
struct Driver {
    name: &'static str,
    version: &'static str,
    rules: Vec<Descriptor>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    id: &'static str,
    short_description: Text,
    default_configuration: Configuration,
}

#[derive(Debug, Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Debug, Serialize)]
struct Text {
    text: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifResult<'a> {
    rule_id: &'static str,
    rule_index: usize,
    level: &'static str,
    message: Text,
    locations: Vec<Location<'a>>,
    partial_fingerprints: Fingerprint,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppressions: Vec<Suppression<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    physical_location: Physical<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logical_locations: Vec<Logical>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical<'a> {
    artifact_location: Artifact<'a>,
}

#[derive(Debug, Serialize)]
struct Artifact<'a> {
    uri: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Logical {
    fully_qualified_name: String,
}

#[derive(Debug, Serialize)]
struct Fingerprint {
    #[serde(rename = "nfpath/v1")]
    nfpath: String,
}

#[derive(Debug, Serialize)]
struct Suppression<'a> {
    kind: &'static str,
    justification: &'a str,
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// The findings of one ruleset; `uri` names it.
pub fn sarif(audit: &Audit, uri: &str) -> String {
    let uri: String = uri
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                (byte as char).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect();
    let results = audit
        .findings
        .iter()
        .map(|finding| result(finding, &uri, Vec::new()));
    let hidden = audit.suppressed.iter().map(|hidden| {
        let kind = if hidden.in_ruleset {
            "inSource"
        } else {
            "external"
        };
        let suppression = Suppression {
            kind,
            justification: &hidden.reason,
        };
        result(&hidden.finding, &uri, vec![suppression])
    });
    let log = Log {
        schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        version: "2.1.0",
        runs: vec![Run {
            tool: Tool {
                driver: Driver {
                    name: "nfpath",
                    version: env!("CARGO_PKG_VERSION"),
                    rules: about::ALL
                        .iter()
                        .map(|about| Descriptor {
                            id: about.id,
                            short_description: Text {
                                text: about.title.into(),
                            },
                            default_configuration: Configuration {
                                level: level(about.severity),
                            },
                        })
                        .collect(),
                },
            },
            results: results.chain(hidden).collect(),
            column_kind: "unicodeCodePoints",
        }],
    };
    crate::json::pretty(&log)
}

fn result<'a>(
    finding: &Finding,
    uri: &'a str,
    suppressions: Vec<Suppression<'a>>,
) -> SarifResult<'a> {
    let mut names: Vec<String> = finding
        .rules
        .iter()
        .map(|cited| cited.rule.to_string())
        .collect();
    names.extend(finding.places.iter().cloned());
    let mut text = format!("{}.", finding.what);
    for cited in &finding.rules {
        let part = match cited.part {
            "" => String::new(),
            part => format!(" {part}"),
        };
        text += &format!("\n{}{part}: {}", cited.rule, cited.text);
    }
    if let Some(witness) = &finding.witness {
        text += &format!("\n{}", witness.flags());
    }
    text += &format!("\n{}.\n{}.", finding.why, finding.remedy);
    SarifResult {
        rule_id: finding.about.id,
        rule_index: about::ALL
            .iter()
            .position(|about| about.id == finding.about.id)
            .unwrap_or(0),
        level: level(finding.severity),
        message: Text { text },
        partial_fingerprints: Fingerprint {
            nfpath: format!("{} {}", finding.about.id, names.join(", ")),
        },
        locations: vec![Location {
            physical_location: Physical {
                artifact_location: Artifact { uri },
            },
            logical_locations: names
                .into_iter()
                .map(|fully_qualified_name| Logical {
                    fully_qualified_name,
                })
                .collect(),
        }],
        suppressions,
    }
}
