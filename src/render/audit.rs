//! `nfpath audit` as text.

use colored::Colorize;

use crate::audit::{Audit, Severity};

use super::reach::wrapped;

/// How many rules of one part are told.
const RULES: usize = 6;

/// The findings, a paragraph each, in lines of at most so many columns where words allow it.
pub fn text(audit: &Audit, width: usize) -> String {
    let mut out = String::new();
    for finding in &audit.findings {
        let severity = match finding.severity {
            Severity::Note => "note".normal(),
            Severity::Warning => "warning".yellow(),
            Severity::Error => "error".red(),
        };
        let id = finding.about.id;
        let name = finding.severity.name();
        let head = wrapped(&format!("{name} [{id}] {}", finding.what), "", width);
        out += &head.replacen(name, &severity.to_string(), 1);
        for cited in finding.rules.iter().take(RULES) {
            let part = match cited.part {
                "" => String::new(),
                part => format!("{part}: "),
            };
            let owner = cited.owner.as_ref().map(|owner| format!("  ({owner})"));
            let line = format!(
                "{part}{}  {}{}",
                cited.rule,
                cited.text,
                owner.unwrap_or_default()
            );
            out += &wrapped(&line, "    ", width);
        }
        if finding.rules.len() > RULES {
            out += &format!("    and {} more\n", finding.rules.len() - RULES);
        }
        let said = |place: &String| {
            let mut rules = finding.rules.iter();
            finding.what.contains(place.as_str())
                || rules.any(|cited| cited.rule.to_string().contains(place.as_str()))
        };
        let places: Vec<&str> = finding
            .places
            .iter()
            .filter(|place| !said(place))
            .map(String::as_str)
            .collect();
        if !places.is_empty() {
            out += &wrapped(&format!("at: {}", places.join(", ")), "    ", width);
        }
        if let Some(witness) = &finding.witness {
            out += &wrapped(&format!("flow: {}", witness.flags()), "    ", width);
        }
        for open in &finding.rests_on {
            out += &wrapped(&format!("rests on: {open}"), "    ", width);
        }
        out += &wrapped(&format!("why: {}", finding.why), "    ", width);
        out += &wrapped(&format!("do: {}", finding.remedy), "    ", width);
    }
    let count = |severity: Severity| {
        let found = audit.findings.iter().filter(|one| one.severity == severity);
        let count = found.count();
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} {}{plural}", severity.name())
    };
    let summary = format!(
        "{}, {}, {}, {} suppressed",
        count(Severity::Error),
        count(Severity::Warning),
        count(Severity::Note),
        audit.suppressed.len(),
    );
    out += &wrapped(&summary, "", width);
    for words in &audit.left_out {
        out += &wrapped(&format!("not looked at: {words}"), "", width);
    }
    out
}
