//! `nfpath audit` as text.

use colored::Colorize;

use crate::audit::{Audit, Severity};

use super::safe;

/// How many rules of one part are told.
const RULES: usize = 6;

/// The findings, a paragraph each.
pub fn text(audit: &Audit) -> String {
    let mut out = String::new();
    for finding in &audit.findings {
        let severity = match finding.severity {
            Severity::Note => "note".normal(),
            Severity::Warning => "warning".yellow(),
            Severity::Error => "error".red(),
        };
        let id = finding.about.id;
        out += &format!("{severity} [{id}] {}\n", safe::terminal(&finding.what));
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
            out += &format!("    {}\n", safe::terminal(&line));
        }
        if finding.rules.len() > RULES {
            out += &format!("    and {} more\n", finding.rules.len() - RULES);
        }
        if let Some(witness) = &finding.witness {
            let iif = witness.iif.as_ref().map(|iif| format!(" --iif {iif}"));
            let line = format!("flow: --flow '{}'{}", witness.flow, iif.unwrap_or_default());
            out += &format!("    {}\n", safe::terminal(&line));
        }
        for open in &finding.rests_on {
            out += &format!("    rests on: {}\n", safe::terminal(open));
        }
        out += &format!(
            "    why: {}\n    do: {}\n",
            safe::terminal(&finding.why),
            safe::terminal(&finding.remedy)
        );
    }
    let count = |severity| {
        let found = audit.findings.iter().filter(|one| one.severity == severity);
        found.count()
    };
    out += &format!(
        "{} errors, {} warnings, {} notes, {} suppressed\n",
        count(Severity::Error),
        count(Severity::Warning),
        count(Severity::Note),
        audit.suppressed.len(),
    );
    for words in &audit.left_out {
        out += &format!("not looked at: {}\n", safe::terminal(words));
    }
    out
}
