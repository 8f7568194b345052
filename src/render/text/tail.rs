//! What follows the paths: other endings, assumptions, notes, and parts of the ruleset without a meaning.

use std::collections::HashSet;

use indexmap::IndexMap;

use super::Options;
use super::head::{Detail, ended_by};
use super::page::{Page, Style, Text};
use super::words;
use crate::report::{
    Alternative, Assumption, ContextInfo, FlowReport, Note, PathReport, Report, RuleRef,
    RulesetInfo, StepKind, UnknownPart, Verdict,
};

/// Other endings and unknown parts that are shown without being asked for; the rest is counted.
const FEW: usize = 5;

pub(super) fn flow(page: &mut Page, flow: &FlowReport, options: &Options) {
    alternatives(page, flow, options);
    assumptions(page, &flow.assumptions, options);
    notes(page, &flow.notes);
}

pub(super) fn heading(page: &mut Page, title: &str, rest: &str) {
    page.blank();
    page.line(
        0,
        0,
        Text::new(title, Style::Label).with(rest, Style::Plain),
    );
}

/// `[1] text`, numbered and hanging.
fn item(page: &mut Page, mark: &str, text: Text) {
    page.labelled(2, 6.max(3 + mark.len()), mark, Style::Plain, text);
}

fn more(page: &mut Page, shown: usize, all: usize, what: (&str, &str)) {
    if all > shown {
        let text = format!(
            "… {} (-v shows all)",
            words::count(all - shown, what.0, what.1)
        );
        page.line(2, 2, Text::new(text, Style::Dim));
    }
}

fn alternatives(page: &mut Page, flow: &FlowReport, options: &Options) {
    if flow.alternatives.is_empty() {
        return;
    }
    heading(
        page,
        "OTHER ENDINGS",
        ", when facts that nobody gave are otherwise",
    );
    // open questions before unusual circumstances
    let mut ordered: Vec<&Alternative> = flow.alternatives.iter().collect();
    ordered.sort_by_key(|alternative| alternative.unusual);
    let shown = if options.verbose { ordered.len() } else { FEW };
    for (at, alternative) in ordered.iter().take(shown).enumerate() {
        alternative_item(page, at, alternative, options);
    }
    more(page, shown, ordered.len(), ("more ending", "more endings"));
}

fn alternative_item(page: &mut Page, at: usize, alternative: &Alternative, options: &Options) {
    let mut text = Text::plain(if alternative.unusual {
        "unusual: when "
    } else {
        "when "
    });
    match alternative.when.as_slice() {
        [] => text.push("something else is the case", Style::Plain),
        when => text.push(when.join(" and "), Style::Plain),
    };
    text.push(": ", Style::Plain);
    let (request, reply) = (&alternative.request, alternative.reply.as_ref());
    text.append(answered(
        alternative.verdict,
        request,
        reply,
        Detail::Reason,
        options,
    ));
    match alternative.verdict {
        Verdict::Accept => {
            let seen = words::ends(&request.output);
            text.push(format!(", the receiver sees {seen}"), Style::Plain);
        }
        Verdict::Unknown => {
            let path = words::last_of(request, reply);
            if let Some((why, _)) = &path.unknown {
                text.push(format!(": {why}"), Style::Plain);
            }
        }
        Verdict::Drop | Verdict::Reject => {}
    }
    item(page, &letter(at), text);
    if !alternative.settle.is_empty() {
        let text = Text::new("to settle: ", Style::Dim);
        let text = text.with(alternative.settle.join("; "), Style::Dim);
        page.line(6, 8, text);
    }
}

/// How a conversation ends, and by whom.
fn answered(
    verdict: Verdict,
    request: &PathReport,
    reply: Option<&PathReport>,
    detail: Detail,
    options: &Options,
) -> Text {
    let mut text = Text::new(
        words::conversation_words(verdict, request, reply),
        words::style(verdict),
    );
    if matches!(verdict, Verdict::Drop | Verdict::Reject) {
        text.push(" by ", Style::Plain);
        text.append(ended_by(words::last_of(request, reply), detail, options));
    }
    text
}

fn letter(at: usize) -> String {
    match u8::try_from(at) {
        Ok(at @ 0..26) => format!("{})", char::from(b'a' + at)),
        _ => format!("{})", at + 1),
    }
}

fn assumptions(page: &mut Page, assumptions: &[Assumption], options: &Options) {
    if assumptions.is_empty() {
        return;
    }
    heading(page, "ASSUMED", "");
    // those of one kind together: they are settled together
    let kind = |assumption: &Assumption| {
        let Assumption {
            words: _,
            fact: _,
            value: _,
            because,
            source,
            confirm,
        } = assumption;
        (*source, because.clone(), confirm.clone())
    };
    let mut groups: IndexMap<_, Vec<&Assumption>> = IndexMap::new();
    for assumption in assumptions {
        groups.entry(kind(assumption)).or_default().push(assumption);
    }
    let mut at = 0;
    for ((source, because, confirm), group) in &groups {
        let source = match *source {
            "default" => "by default",
            "flag" => "by a flag",
            other => other,
        };
        let last = group.len() - 1;
        let shown = if options.verbose || group.len() <= FEW + 1 {
            group.len()
        } else {
            FEW
        };
        for (within, assumption) in group.iter().enumerate() {
            at += 1;
            if within >= shown {
                continue;
            }
            let mut text = Text::new(&assumption.words, Style::Strong);
            if within == last || within + 1 == shown {
                if shown < group.len() {
                    let rest = format!("; and {} more like these (-v)", group.len() - shown);
                    text.push(rest, Style::Plain);
                }
                let all = if last > 0 { ", all " } else { ", " };
                text.push(format!("{all}{source}"), Style::Plain);
                if !because.is_empty() {
                    text.push(format!(": {because}"), Style::Plain);
                }
            }
            item(page, &format!("[{at}]"), text);
        }
        if !confirm.is_empty() {
            let text = Text::new("confirm: ", Style::Dim);
            page.line(6, 8, text.with(confirm, Style::Dim));
        }
    }
}

fn notes(page: &mut Page, notes: &[Note]) {
    if notes.is_empty() {
        return;
    }
    heading(page, "NOTES", "");
    for note in notes {
        let mut text = Text::plain(&note.message);
        if let Some(at) = &note.at {
            text.push(format!(" ({})", words::rule(at)), Style::Dim);
        }
        page.labelled(2, 4, "-", Style::Plain, text);
    }
}

/// Parts of the ruleset without a meaning: those that a flow met, and how many others there are.
pub(super) fn unknown(page: &mut Page, report: &Report, options: &Options) {
    let met: HashSet<&RuleRef> = report.flows.iter().flat_map(rules_met).collect();
    let is_met = |part: &UnknownPart| part.at.as_ref().is_none_or(|at| met.contains(at));
    let (here, elsewhere): (Vec<&UnknownPart>, Vec<&UnknownPart>) =
        report.ruleset.unknown.iter().partition(|part| is_met(part));
    if here.is_empty() && elsewhere.is_empty() {
        return;
    }
    if here.is_empty() {
        page.blank();
    } else {
        let rest = ", parts of the ruleset that have no meaning here and that were met";
        heading(page, "NOT MODELLED", rest);
    }
    // those that the same file settles together
    let mut groups: IndexMap<&str, Vec<&UnknownPart>> = IndexMap::new();
    for &part in &here {
        groups.entry(&part.settle).or_default().push(part);
    }
    for (settle, parts) in groups {
        let shown = if options.verbose { parts.len() } else { FEW };
        for part in parts.iter().take(shown) {
            let mut text = Text::default();
            if let Some(at) = &part.at {
                text.push(format!("{}: ", words::rule(at)), Style::Plain);
            }
            text.push(&part.what, Style::Plain);
            page.labelled(2, 4, "-", Style::Plain, text);
        }
        more(page, shown, parts.len(), ("more part", "more parts"));
        if !settle.is_empty() {
            let text = Text::new("to settle: ", Style::Dim);
            page.line(4, 6, text.with(settle, Style::Dim));
        }
    }
    if !elsewhere.is_empty() {
        let parts = words::count(elsewhere.len(), "part", "parts");
        let text = format!(
            "… {parts} of the ruleset without a meaning here, not met; `nfpath show` lists them"
        );
        page.line(
            if here.is_empty() { 0 } else { 2 },
            2,
            Text::new(text, Style::Dim),
        );
    }
}

/// Every rule that was looked at for a flow, on any of its ways.
fn rules_met(flow: &FlowReport) -> impl Iterator<Item = &RuleRef> {
    let others = flow
        .alternatives
        .iter()
        .flat_map(|other| std::iter::once(&other.request).chain(&other.reply));
    std::iter::once(&flow.request)
        .chain(&flow.reply)
        .chain(others)
        .flat_map(|path| &path.steps)
        .filter_map(|step| match &step.kind {
            StepKind::Rule(rule) => Some(&rule.at),
            _ => None,
        })
}

/// One line a flow.
pub(super) fn summary(page: &mut Page, report: &Report, options: &Options) {
    heading(page, "SUMMARY", "");
    let questions: Vec<Text> = report
        .flows
        .iter()
        .map(|flow| Text::plain(words::flow(&flow.flow)))
        .collect();
    let column = questions
        .iter()
        .map(|question| page.width_of(question) + 4)
        .max()
        .unwrap_or(0);
    // names where there is room for them
    let named = report.flows.iter().map(|flow| named_answer(flow, options));
    let short = report
        .flows
        .iter()
        .map(|flow| Text::new(words::answer(flow), words::style(flow.verdict)));
    let fit = |answers: &[Text]| answers.iter().all(|answer| page.fits(column, answer));
    let mut answers: Vec<Text> = named.collect();
    if !fit(&answers) {
        answers = short.collect();
    }
    let in_line = fit(&answers);
    for (question, answer) in questions.into_iter().zip(answers) {
        if in_line {
            let gap = column - 2 - page.width_of(&question);
            let text = question.with("\u{a0}".repeat(gap), Style::Plain);
            page.line(2, column, text.and(answer));
        } else {
            page.line(2, 4, question);
            page.line(4, 6, answer);
        }
    }
}

fn named_answer(flow: &FlowReport, options: &Options) -> Text {
    match flow.verdict {
        Verdict::Unknown => Text::new(words::answer(flow), Style::Doubt),
        verdict => answered(
            verdict,
            &flow.request,
            flow.reply.as_ref(),
            Detail::Name,
            options,
        ),
    }
}

/// What the answer was made from.
pub(super) fn origin(page: &mut Page, ruleset: &RulesetInfo, context: &ContextInfo) {
    page.blank();
    let mut text = format!(
        "ruleset {}: {}, {}, {}",
        ruleset.source,
        words::count(ruleset.tables, "table", "tables"),
        words::count(ruleset.chains, "chain", "chains"),
        words::count(ruleset.rules, "rule", "rules"),
    );
    match context.sources.as_slice() {
        [] => text.push_str("; nothing was given about the host"),
        sources => text.push_str(&format!("; about the host: {}", sources.join(", "))),
    }
    if let Some(hostname) = &context.hostname {
        text.push_str(&format!(" ({hostname}"));
        if let Some(kernel) = &context.kernel {
            text.push_str(&format!(", Linux {kernel}"));
        }
        if let Some(taken) = &context.taken {
            text.push_str(&format!(", taken {taken}"));
        }
        text.push(')');
    }
    page.line(0, 2, Text::new(text, Style::Dim));
}
