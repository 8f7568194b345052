//! One base chain: its calls as a tree, and which of its rules are worth a line.

use std::collections::HashSet;

use super::Options;
use super::head::{comment_text, some};
use super::page::{Page, Style, Text};
use super::rule;
use super::words;
use crate::owner::Owner;
use crate::report::{ChainStep, PathReport, RuleStep, StepKind};

/// Rules that missed and are shown all the same, when they are the reason why a packet was not accepted.
const MISSES: usize = 10;
/// Calls deeper than this do not move further to the right.
const DEPTH: usize = 6;

/// A base chain that was entered, and all that happened in it.
pub(super) struct Block<'r> {
    pub chain: &'r ChainStep,
    nodes: Vec<Node<'r>>,
    /// `Some(accept)` when the end of the chain was reached.
    policy: Option<bool>,
    /// Rules to show.
    kept: HashSet<usize>,
    /// How many rules that were looked at are not shown.
    pub hidden: usize,
    /// True when rules that missed are the reason of the ending.
    explains: bool,
}

/// A rule that was looked at, and for a call what it led to.
struct Node<'r> {
    at: usize,
    rule: &'r RuleStep,
    children: Vec<Node<'r>>,
}

impl Node<'_> {
    fn is_call(&self) -> bool {
        self.rule.matched && (self.is("jump ") || self.is("goto "))
    }

    fn is(&self, verdict: &str) -> bool {
        self.rule.verdict.starts_with(verdict)
    }
}

impl<'r> Block<'r> {
    /// Reads the base chain that is entered at a position; also tells how many steps it has.
    pub(super) fn read(
        path: &'r PathReport,
        at: usize,
        chain: &'r ChainStep,
        options: &Options,
    ) -> (Block<'r>, usize) {
        let mut policy = None;
        let mut rules = Vec::new();
        let mut len = 1;
        for (offset, step) in path.steps.iter().enumerate().skip(at + 1) {
            match &step.kind {
                StepKind::Rule(rule) => rules.push((offset, rule)),
                StepKind::Policy { accept, .. } => {
                    policy = Some(*accept);
                    len += 1;
                    break;
                }
                _ => break,
            }
            len += 1;
        }
        let nodes = tree(&chain.chain, &rules);
        // nothing accepted the packet: it ends by policy, or by a rule that takes every packet
        let explains = match policy {
            Some(accept) => !accept,
            None => at + len >= path.steps.len() && catch_all(&nodes),
        };
        let mut misses = if explains { MISSES } else { 0 };
        let mut kept = HashSet::new();
        for node in &nodes {
            keep(node, 0, options.verbose, &mut misses, &mut kept);
        }
        let block = Block {
            chain,
            nodes,
            policy,
            hidden: rules.len() - kept.len(),
            kept,
            explains,
        };
        (block, len)
    }

    /// True when there is nothing to tell but that the chain was passed.
    pub(super) fn is_quiet(&self) -> bool {
        self.kept.is_empty() && self.policy == Some(true)
    }

    pub(super) fn write(&self, page: &mut Page, options: &Options) {
        let name = words::chain(self.chain.family, &self.chain.table, &self.chain.chain);
        page.row(
            4,
            6,
            Text::new(name, Style::Strong),
            Text::new(setting(self.chain), Style::Dim),
            owner_text(base_owner(self.chain)),
        );
        let column = self.number_width(&self.nodes).max(3) + 2;
        if let Some(left_out) = self.left_out() {
            page.line(6, 8, Text::new(left_out, Style::Dim));
        }
        for node in &self.nodes {
            self.write_node(page, node, 0, column, options);
        }
        if let Some(accept) = self.policy {
            let (verdict, style) = match accept {
                true => ("policy accept", Style::Good),
                false => ("policy drop", Style::Bad),
            };
            let mut text = Text::new("\u{a0}".repeat(column), Style::Dim);
            text.push("end of the chain", Style::Dim);
            page.row(
                6,
                6 + column,
                text,
                Text::new(verdict, style),
                Text::default(),
            );
        }
    }

    /// The widest number of the rules that are shown.
    fn number_width(&self, nodes: &[Node]) -> usize {
        nodes
            .iter()
            .filter(|node| self.kept.contains(&node.at))
            .map(|node| {
                let own = words::number(&node.rule.at).len();
                own.max(self.number_width(&node.children))
            })
            .max()
            .unwrap_or(0)
    }

    /// Calls that are not shown, and rules that missed where such rules matter, in a line.
    fn left_out(&self) -> Option<String> {
        let mut misses = 0;
        let mut calls = Vec::new();
        self.count(&self.nodes, &mut misses, &mut calls);
        let mut parts = Vec::new();
        if misses > 0 && self.explains {
            let rules = words::count(misses, "more rule does", "more rules do");
            parts.push(format!("{rules} not match"));
        }
        if !calls.is_empty() {
            parts.push(format!("returned without a verdict: {}", some(&calls)));
        }
        (!parts.is_empty()).then(|| format!("… {}", parts.join("; ")))
    }

    fn count(&self, nodes: &[Node], misses: &mut usize, calls: &mut Vec<String>) {
        for node in nodes {
            if self.kept.contains(&node.at) {
                self.count(&node.children, misses, calls);
            } else if !node.rule.matched {
                *misses += 1;
            } else if node.is_call() {
                calls.push(target(node.rule).to_string());
            }
        }
    }

    fn write_node(
        &self,
        page: &mut Page,
        node: &Node,
        depth: usize,
        column: usize,
        options: &Options,
    ) {
        if !self.kept.contains(&node.at) {
            return;
        }
        let indent = column + 2 * depth.min(DEPTH);
        let handle = words::number(&node.rule.at);
        let gap = indent - handle.len().min(indent);
        let mut text = Text::new(handle, Style::Dim);
        text.push("\u{a0}".repeat(gap.max(1)), Style::Plain);
        if !node.rule.matched {
            text.push(rule::full(&node.rule.text, options.verbose), Style::Dim);
            let remark = remark(node.rule, None);
            page.row(6, 6 + indent, text, missed(node.rule), remark);
            return;
        }
        let mut end = node;
        let split = rule::split(&node.rule.text, &node.rule.verdict, options.verbose);
        if node.is_call() && rule::unconditional(&node.rule.text) {
            text.push(&split.verdict, Style::Plain);
            while let (false, Some(next)) = (options.verbose, self.only_call(end)) {
                let number = words::number(&next.rule.at);
                text.push(format!(" › {number}\u{a0}"), Style::Dim);
                text.push(next.rule.verdict.replace(' ', "\u{a0}"), Style::Plain);
                end = next;
            }
            let remark = remark(node.rule, Some(end.rule));
            page.row(6, 6 + indent, text, assumed(node.rule), remark);
        } else {
            if split.condition.is_empty() {
                text.push("every packet", Style::Dim);
            } else {
                text.push(split.condition, Style::Plain);
            }
            let mut verdict = Text::new(&split.verdict, verdict_style(node.rule, &split.verdict));
            verdict.append(assumed(node.rule));
            let remark = remark(node.rule, Some(node.rule));
            page.row(6, 6 + indent, text, verdict, remark);
        }
        for child in &end.children {
            self.write_node(page, child, depth + 1, column, options);
        }
    }

    /// The only child worth a line, when it calls on without a condition and without a comment.
    fn only_call<'n>(&self, node: &'n Node<'r>) -> Option<&'n Node<'r>> {
        let mut kept = node
            .children
            .iter()
            .filter(|child| self.kept.contains(&child.at));
        let only = kept.next()?;
        let plain = only.is_call()
            && rule::unconditional(&only.rule.text)
            && only.rule.comment.is_none()
            && !only.rule.assumed;
        (kept.next().is_none() && plain).then_some(only)
    }
}

/// Hangs the rules of called chains under their calls, as the kernel's stack of jumps goes.
fn tree<'r>(base: &str, rules: &[(usize, &'r RuleStep)]) -> Vec<Node<'r>> {
    // one frame a chain, and the nodes that wait for the end of their call
    let mut frames: Vec<(&str, Vec<Node<'r>>)> = vec![(base, Vec::new())];
    for &(at, rule) in rules {
        while frames.len() > 1
            && frames
                .last()
                .is_some_and(|(chain, _)| *chain != rule.at.chain)
        {
            close(&mut frames);
        }
        let node = Node {
            at,
            rule,
            children: Vec::new(),
        };
        let call = node.is_call();
        if let Some((_, nodes)) = frames.last_mut() {
            nodes.push(node);
        }
        if call {
            frames.push((target(rule), Vec::new()));
        }
    }
    while frames.len() > 1 {
        close(&mut frames);
    }
    frames.pop().map(|(_, nodes)| nodes).unwrap_or_default()
}

fn close<'r>(frames: &mut Vec<(&str, Vec<Node<'r>>)>) {
    let Some((_, children)) = frames.pop() else {
        return;
    };
    if let Some(call) = frames.last_mut().and_then(|(_, nodes)| nodes.last_mut()) {
        call.children = children;
    }
}

/// The chain that a call leads to.
fn target(rule: &RuleStep) -> &str {
    rule.verdict
        .split_once(' ')
        .map_or(rule.verdict.as_str(), |(_, target)| target)
}

/// True when the last rule ends the path, and it and all calls that lead there take every packet.
fn catch_all(nodes: &[Node]) -> bool {
    let Some(last) = nodes.last() else {
        return false;
    };
    if !last.rule.matched || !rule::unconditional(&last.rule.text) {
        return false;
    }
    match last.is_call() {
        true => catch_all(&last.children),
        false => last.is("drop"),
    }
}

/// Marks the rules worth a line; tells whether this one is among them.
fn keep(
    node: &Node,
    depth: usize,
    verbose: bool,
    misses: &mut usize,
    kept: &mut HashSet<usize>,
) -> bool {
    let mut below = false;
    for child in &node.children {
        below |= keep(child, depth + 1, verbose, misses, kept);
    }
    let rule = node.rule;
    let keeps = match () {
        () if verbose => true,
        () if !rule.matched => {
            let near = *misses > 0 && rule::may_accept(&rule.text);
            if near {
                *misses -= 1;
            }
            near || rule.assumed
        }
        () if below => true,
        // a goto in a base chain skips the rest of it, a call that returns changes nothing
        () if node.is_call() => depth == 0 && node.is("goto "),
        () if node.is("return") => depth == 0 || !rule::unconditional(&rule.text),
        () if node.is("continue") => rule.assumed || rule::lasting(&rule.text),
        () => true,
    };
    if keeps {
        kept.insert(node.at);
    }
    keeps
}

/// A rule's comment, and the software behind the chain that the last of its calls leads to.
fn remark(rule: &RuleStep, last: Option<&RuleStep>) -> Text {
    let mut text = match &rule.comment {
        Some(comment) => comment_text(comment),
        None => Text::default(),
    };
    let owner = owner_text(last.and_then(|rule| rule.leads_to.as_ref()));
    if !text.is_empty() && !owner.is_empty() {
        text.push(" ", Style::Dim);
    }
    text.append(owner);
    text
}

/// The software that made a base chain, unless the chain's name says it.
fn base_owner(chain: &ChainStep) -> Option<&Owner> {
    let name = format!("{} {}", chain.table, chain.chain).to_lowercase();
    let owner = chain.owner.as_ref()?;
    (!name.contains(&owner.software.to_lowercase())).then_some(owner)
}

fn owner_text(owner: Option<&Owner>) -> Text {
    match owner {
        Some(owner) => Text::new(format!("({})", owner.words()), Style::Dim),
        None => Text::default(),
    }
}

/// `dstnat -100, policy accept`; a name with an offset stands without its number.
fn setting(chain: &ChainStep) -> String {
    if chain.chain_type.is_empty() {
        // a chain that is known by its name alone
        return String::new();
    }
    let number = chain.priority.to_string();
    let priority = match chain.priority_words.as_str() {
        "" => number,
        words if words == number || words.contains(' ') => words.to_string(),
        words => format!("{words} {number}"),
    };
    let policy = if chain.policy_accept {
        "accept"
    } else {
        "drop"
    };
    format!("{priority}, policy {policy}")
}

/// Why a rule was passed over.
fn missed(rule: &RuleStep) -> Text {
    let mut text = Text::new("no", Style::Dim);
    if !rule.why.is_empty() {
        text.push(format!(": {}", rule.why.join(", ")), Style::Dim);
    }
    text.append(assumed(rule));
    text
}

fn assumed(rule: &RuleStep) -> Text {
    match rule.assumed {
        true => Text::new(" (assumed)", Style::Doubt),
        false => Text::default(),
    }
}

fn verdict_style(rule: &RuleStep, shown: &str) -> Style {
    match rule.verdict.as_str() {
        "accept" if shown == "accept" => Style::Good,
        "accept" => Style::Change,
        "drop" => Style::Bad,
        "queue" | "stolen" | "unknown" => Style::Doubt,
        "continue" => Style::Dim,
        _ => Style::Plain,
    }
}
