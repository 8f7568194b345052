//! The report for a terminal.
//!
//! What stands first is what a person needs first: the answer, both translated ends, who decided; then the way of the
//! request and of the reply, hook by hook. The default view leaves out what did not matter and counts it: rules that
//! did not match, calls that returned without a verdict, chains that nothing in them decided. When a packet is dropped
//! because nothing accepted it, the rules that could have are shown with the reason why they did not match.
//! `verbose` shows every step. Nothing is told by colour alone, and no text of a rule is cut without saying so.

mod advice;
mod chain;
mod head;
mod page;
mod path;
mod rule;
mod tail;
mod words;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use crate::report::{FlowReport, Report, Verdict};
use page::{Page, Style, Text};

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Columns of the terminal; less than 40 is taken for 40.
    pub width: usize,
    /// Show all steps, rules that did not match and sets in full.
    pub verbose: bool,
    /// Colour, as far as `colored::control` agrees; false is never coloured.
    pub color: bool,
    /// False for locales without UTF-8: ASCII only.
    pub unicode: bool,
    /// Say which option would tell more.
    pub hints: bool,
}

/// The report as lines, each with a line break at its end.
pub fn report(report: &Report, options: &Options) -> String {
    let mut page = Page::new(options);
    for (at, flow) in report.flows.iter().enumerate() {
        if at > 0 {
            page.rule();
        }
        write_flow(&mut page, flow, options);
    }
    if report.flows.len() > 1 {
        page.rule();
        tail::summary(&mut page, report, options);
    }
    tail::unknown(&mut page, report, options);
    tail::origin(&mut page, &report.ruleset, &report.context);
    page.finish()
}

fn write_flow(page: &mut Page, flow: &FlowReport, options: &Options) {
    head::write(page, flow, options);
    let mut hidden = path::write(page, "REQUEST", &flow.request, options);
    if let Some(reply) = flow
        .reply
        .as_ref()
        .filter(|_| flow.request.verdict == Verdict::Accept)
    {
        hidden += path::write(page, "REPLY", reply, options);
    }
    if hidden > 0 {
        let rules = words::count(hidden, "rule that", "rules that");
        let text = format!("… {rules} did not decide anything: -v shows all");
        page.blank();
        page.line(0, 2, Text::new(text, Style::Dim));
    }
    tail::flow(page, flow, options);
    advice::write(page, flow, options);
}
