//! The report for a terminal.

use crate::report::Report;

/// How to write it.
pub struct Options {
    pub width: usize,
    pub verbose: bool,
    pub color: bool,
    pub unicode: bool,
}

/// The report for a terminal.
pub fn report(report: &Report, _options: &Options) -> String {
    format!("{report:#?}\n")
}
