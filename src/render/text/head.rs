//! The block a person reads first: the flow, the answer, both translated ends, who decided.

use super::Options;
use super::page::{Page, Style, Text};
use super::rule;
use super::words;
use crate::owner::Owner;
use crate::report::{
    ChainStep, Field, FlowReport, NatStep, PathReport, RuleStep, Step, StepKind, Verdict,
};
use crate::ruleset::Hook;

/// Where the values of the header begin.
const COLUMN: usize = 12;
/// Names of chains in one remark; the rest is counted.
const NAMES: usize = 3;

pub(super) fn write(page: &mut Page, flow: &FlowReport, options: &Options) {
    let question = Text::new(words::flow(&flow.flow), Style::Strong);
    let answer = Text::new(words::answer(flow), words::style(flow.verdict));
    if !page.apart(&question, &answer) {
        page.line(0, 2, question);
        row(page, "answer", answer);
    }
    why(page, flow, options);
    let seen_by = match flow.request.disposition {
        "local" => "the local socket sees",
        _ => "the receiver sees",
    };
    row(page, "request", way(&flow.request, seen_by));
    if let Some(reply) = &flow.reply {
        let mut text = way(reply, "the client sees");
        if reply.verdict == Verdict::Accept && reply.output.src != flow.request.input.dst {
            text.push(
                ", not the address it asked: most clients discard that",
                Style::Doubt,
            );
        }
        row(page, "reply", text);
    }
    translations(page, flow);
    decided(page, flow, options);
    let assumed = flow
        .assumptions
        .iter()
        .filter(|assumption| assumption.source != "flag")
        .count();
    if assumed > 0 {
        let text = format!(
            "{} that nobody gave, see the end",
            words::count(assumed, "fact", "facts")
        );
        row(page, "assumed", Text::new(text, Style::Doubt));
    }
    for why in &flow.why_not {
        row(
            page,
            "why not",
            Text::plain(words::rule(&why.at))
                .with(": ", Style::Plain)
                .with(&why.text, Style::Strong),
        );
        for finding in &why.findings {
            let text = format!("{}: {}", finding.of, finding.message);
            row(page, "", Text::plain(text));
        }
    }
    if flow.truncated {
        let text = "too many questions are open: not every other ending was looked at";
        row(page, "limit", Text::new(text, Style::Doubt));
    }
}

fn row(page: &mut Page, label: &str, text: Text) {
    page.labelled(2, COLUMN, label, Style::Label, text);
}

/// For an unknown answer: what decides it.
fn why(page: &mut Page, flow: &FlowReport, options: &Options) {
    if flow.verdict != Verdict::Unknown {
        return;
    }
    let mut said = false;
    for path in std::iter::once(&flow.request).chain(&flow.reply) {
        if let Some((why, settle)) = &path.unknown {
            row(page, "why", Text::plain(why));
            row(page, "settle", Text::plain(settle));
        } else if path.verdict == Verdict::Unknown {
            let mut text = Text::plain(format!("{} by ", path.disposition));
            text.append(ended_by(path, Detail::Reason, options));
            row(page, "why", text);
        }
        said |= path.verdict == Verdict::Unknown;
    }
    if said {
        return;
    }
    let usual = words::conversation(&flow.request, flow.reply.as_ref());
    let open = flow
        .alternatives
        .iter()
        .filter(|alternative| !alternative.unusual && alternative.verdict != usual);
    let mut questions: Vec<(&str, &str)> = Vec::new();
    for alternative in open {
        for (question, settle) in &alternative.questions {
            if !questions.iter().any(|(known, _)| known == question) {
                questions.push((question, settle));
            }
        }
    }
    if questions.is_empty() {
        return;
    }
    let more = questions.len().saturating_sub(FEW_QUESTIONS);
    let mut label = "why";
    for (question, _) in questions.iter().take(FEW_QUESTIONS) {
        let lead = if label == "why" {
            "it depends on whether "
        } else {
            "and on whether "
        };
        let mut text = Text::plain(lead);
        text.push(*question, Style::Plain);
        row(page, label, text);
        label = "";
    }
    if more > 0 {
        let text = format!("… and on {} more, see OTHER ENDINGS", more);
        row(page, "", Text::new(text, Style::Dim));
    }
    let mut label = "settle";
    let mut settled: Vec<&str> = Vec::new();
    for (_, settle) in &questions {
        if !settle.is_empty() && !settled.contains(settle) && settled.len() < FEW_QUESTIONS {
            row(page, label, Text::plain(*settle));
            label = "";
            settled.push(settle);
        }
    }
    let mut text = Text::new(
        words::conversation_words(usual, &flow.request, flow.reply.as_ref()),
        words::style(usual),
    );
    text.push(
        "; what else can be stands under OTHER ENDINGS",
        Style::Plain,
    );
    row(page, "shown", text);
}

/// Open questions that are shown; the rest is counted.
const FEW_QUESTIONS: usize = 3;

/// Where a packet goes in and out, and what whoever gets it sees.
fn way(path: &PathReport, seen_by: &str) -> Text {
    let mut text = Text::plain(match &path.input {
        packet if packet.in_port.is_some() && path.disposition == "bridged" => {
            port(packet.in_port.as_ref())
        }
        packet => match (&packet.iif, &packet.in_port) {
            (Some(name), _) | (None, Some(name)) => entered_by(path, name),
            (None, None) => "this\u{a0}host".to_string(),
        },
    });
    let last = path.steps.last();
    let stopped = |what: &str| match last {
        Some(step) if matches!(step.kind, StepKind::Drop { .. }) => format!(
            ": {what} by the host {} {}",
            if passed(path, step) {
                "after"
            } else {
                "before"
            },
            words::hook(step.layer, step.hook)
        ),
        Some(step) => format!(": {what} in {}", words::hook(step.layer, step.hook)),
        None => format!(": {what}"),
    };
    match path.verdict {
        Verdict::Accept => {}
        Verdict::Drop => {
            text.push(stopped("DROPPED"), Style::Bad);
            return text;
        }
        Verdict::Reject => {
            text.push(stopped("REJECTED"), Style::Bad);
            return text;
        }
        Verdict::Unknown => {
            text.push(stopped("UNKNOWN"), Style::Doubt);
            return text;
        }
    }
    let out = match (&path.output.oif, &path.output.out_port) {
        _ if path.disposition == "local" => "this\u{a0}host".to_string(),
        (_, Some(_)) if path.disposition == "bridged" => port(path.output.out_port.as_ref()),
        (Some(oif), _) => oif.text().to_string(),
        (None, out_port) => port(out_port.as_ref()),
    };
    text.push(format!(" → {out}"), Style::Plain);
    if path.disposition == "bridged"
        && let Some(bridge) = &path.output.oif
    {
        text.push(format!(" inside bridge {}", bridge.text()), Style::Plain);
    }
    if words::same_ends(&path.input, &path.output) {
        text.push(", addresses unchanged", Style::Plain);
    } else {
        text.push(format!(", {seen_by} "), Style::Plain);
        text.push(words::ends(&path.output), Style::Change);
    }
    text
}

/// Whether chains of the hook ran before the stack's check; what comes in has always passed prerouting.
fn passed(path: &PathReport, end: &Step) -> bool {
    end.hook == Hook::Prerouting
        || path.steps.iter().any(|step| {
            step.hook == end.hook
                && step.layer == end.layer
                && matches!(step.kind, StepKind::Chain(_))
        })
}

/// The interface a packet came in by; where its port is not known, the first one on its way that is: the bridge.
fn entered_by(path: &PathReport, name: &Field) -> String {
    let mut seen = path
        .steps
        .iter()
        .filter_map(|step| step.packet.iif.as_ref());
    let first = seen.find_map(Field::known);
    name.known().or(first).unwrap_or(name.text()).to_string()
}

fn port(name: Option<&Field>) -> String {
    name.map_or("?", Field::text).to_string()
}

/// The translations of the request and the rules that made them.
fn translations(page: &mut Page, flow: &FlowReport) {
    let mut label = "nat";
    for step in &flow.request.steps {
        let StepKind::Nat(nat) = &step.kind else {
            continue;
        };
        let mut text = change(nat);
        match &nat.by {
            Some(by) => {
                let statement = nat.statement.unwrap_or("made");
                text.push(format!(", {statement} by "), Style::Plain);
                text.push(words::rule(by), Style::Plain);
            }
            None => {
                text.push(", as conntrack remembers it", Style::Plain);
            }
        }
        row(page, label, text);
        label = "";
    }
}

/// `destination A becomes B`
pub(super) fn change(nat: &NatStep) -> Text {
    let end = if nat.source { "source" } else { "destination" };
    Text::plain(format!("{end} "))
        .with(&nat.from, Style::Plain)
        .with(" becomes ", Style::Plain)
        .with(&nat.to, Style::Change)
}

/// The base chain that a step belongs to.
pub(super) fn base_of(steps: &[Step], at: usize) -> Option<&ChainStep> {
    steps
        .get(..at)?
        .iter()
        .rev()
        .find_map(|step| match &step.kind {
            StepKind::Chain(chain) => Some(chain),
            _ => None,
        })
}

fn decided(page: &mut Page, flow: &FlowReport, options: &Options) {
    let reply = flow
        .reply
        .as_ref()
        .filter(|_| flow.request.verdict == Verdict::Accept);
    if words::conversation(&flow.request, reply) == Verdict::Accept {
        let mut label = "decided";
        let request = accepted(&flow.request);
        let reply = reply.map(accepted);
        let several = request.rules > 1 || reply.as_ref().is_some_and(|reply| reply.rules > 1);
        for (whose, decision) in [
            ("request: ", Some(request)),
            ("reply: ", reply.filter(|reply| !reply.text.is_empty())),
        ] {
            let Some(decision) = decision else { continue };
            let whose = if flow.reply.is_some() { whose } else { "" };
            let mut text = Text::plain(whose);
            text.append(decision.text);
            row(page, label, text);
            label = "";
        }
        if several {
            let text = "accept is not final: all of these chains had to agree";
            row(page, "", Text::new(text, Style::Dim));
        }
        return;
    }
    let path = reply.unwrap_or(&flow.request);
    if path.verdict == Verdict::Unknown {
        return;
    }
    let mut text = ended_by(path, Detail::Reason, options);
    let last = path.deciding.last().and_then(|&at| path.steps.get(at));
    if let Some(StepKind::Policy { .. }) = last.map(|step| &step.kind) {
        text.push(": no rule of it accepts the packet", Style::Plain);
    }
    row(page, "decided", text);
    if let Some(owner) = path.deciding.last().and_then(|&at| owner_of(path, at)) {
        let text = format!("written by {}", owner.words());
        row(page, "", Text::new(text, Style::Dim));
    }
    if let Some(StepKind::Rule(RuleStep {
        comment: Some(comment),
        ..
    })) = last.map(|step| &step.kind)
    {
        row(page, "", comment_text(comment));
    }
}

/// The software behind what a step did.
fn owner_of(path: &PathReport, at: usize) -> Option<&Owner> {
    match &path.steps.get(at)?.kind {
        StepKind::Rule(rule) => rule.owner.as_ref(),
        StepKind::Policy { .. } => base_of(&path.steps, at)?.owner.as_ref(),
        StepKind::Chain(_)
        | StepKind::Conntrack(_)
        | StepKind::Nat(_)
        | StepKind::Routing(_)
        | StepKind::Bridge { .. }
        | StepKind::Ttl { .. }
        | StepKind::Local
        | StepKind::Leaves
        | StepKind::Loopback
        | StepKind::Drop { .. } => None,
    }
}

struct Decision {
    text: Text,
    /// How many rules accepted, each for its base chain.
    rules: usize,
}

/// Who let a packet through: rules that accepted it in filter chains, else policies.
fn accepted(path: &PathReport) -> Decision {
    let mut rules = Vec::new();
    let mut policies = Vec::new();
    for &at in &path.deciding {
        let Some(step) = path.steps.get(at) else {
            continue;
        };
        let translates = base_of(&path.steps, at).is_some_and(|base| base.chain_type == "nat");
        match &step.kind {
            StepKind::Rule(rule) if !translates => rules.push(words::rule(&rule.at)),
            StepKind::Policy {
                family,
                table,
                chain,
                ..
            } if !translates
                && matches!(step.hook, Hook::Input | Hook::Forward | Hook::Output)
                && has_rules(&path.steps, at) =>
            {
                policies.push(words::chain(*family, table, chain));
            }
            _ => {}
        }
    }
    let mut text = Text::default();
    if !rules.is_empty() {
        text.push(rules.join(", then "), Style::Plain);
    } else if policies.is_empty() {
        text.push("no rule; nothing on its way drops it", Style::Plain);
    } else {
        text.push("no rule decides: policy accept of ", Style::Plain);
        text.push(some(&policies), Style::Plain);
    }
    Decision {
        text,
        rules: rules.len(),
    }
}

/// True when a rule was looked at before the policy at this position.
fn has_rules(steps: &[Step], policy: usize) -> bool {
    policy > 0 && matches!(steps[policy - 1].kind, StepKind::Rule(_))
}

/// A few names, and how many more there are.
pub(super) fn some(names: &[String]) -> String {
    match names.len().checked_sub(NAMES) {
        Some(more @ 2..) => format!("{} and {more}\u{a0}more", names[..NAMES].join(", ")),
        _ => names.join(", "),
    }
}

/// How much is said about who ended a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// Its name.
    Name,
    /// A rule's text and a check's reason too.
    Reason,
}

/// Who ended a packet that does not get through, to be read after "by".
pub(super) fn ended_by(path: &PathReport, detail: Detail, options: &Options) -> Text {
    let last = path
        .deciding
        .last()
        .copied()
        .or(path.steps.len().checked_sub(1));
    let Some(step) = last.and_then(|at| path.steps.get(at)) else {
        return Text::plain(path.disposition);
    };
    match &step.kind {
        StepKind::Rule(rule) => {
            let mut text = Text::plain(words::rule(&rule.at));
            if detail == Detail::Reason {
                text.push(": ", Style::Plain);
                text.push(rule::full(&rule.text, options.verbose), Style::Strong);
            }
            text
        }
        StepKind::Policy {
            family,
            table,
            chain,
            accept,
        } => {
            let policy = if *accept { "accept" } else { "drop" };
            let chain = words::chain(*family, table, chain);
            Text::plain(format!("policy {policy} of {chain}"))
        }
        StepKind::Drop { disposition, text } => {
            let mut whole = Text::plain("the host, no rule is to blame");
            if detail == Detail::Reason {
                whole.push(": ", Style::Plain);
                whole.push(text, Style::Strong);
            }
            whole.push(format!(" ({disposition})"), Style::Dim);
            whole
        }
        StepKind::Chain(_)
        | StepKind::Conntrack(_)
        | StepKind::Nat(_)
        | StepKind::Routing(_)
        | StepKind::Bridge { .. }
        | StepKind::Ttl { .. }
        | StepKind::Local
        | StepKind::Leaves
        | StepKind::Loopback => Text::plain(path.disposition),
    }
}

/// A rule's comment as it stands beside it.
pub(super) fn comment_text(comment: &str) -> Text {
    Text::new("“", Style::Dim)
        .with(comment, Style::Dim)
        .with("”", Style::Dim)
}
