//! The report as JSON text.

use crate::json;
use crate::report::{Report, v1};

/// Pretty JSON with a final newline; the same bytes for the same report.
pub fn report(report: &Report, matched_only: bool) -> String {
    json::pretty(&v1::report(report, matched_only))
}
