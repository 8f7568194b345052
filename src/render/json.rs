//! The report as JSON text.

use crate::report::{Report, v1};

/// Pretty JSON with a final newline; the same bytes for the same report.
pub fn report(report: &Report, matched_only: bool) -> String {
    let wire = v1::report(report, matched_only);
    // serialising own types of strings and numbers to memory cannot fail
    let mut text = serde_json::to_string_pretty(&wire).unwrap_or_default();
    text.push('\n');
    text
}
