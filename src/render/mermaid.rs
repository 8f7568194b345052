//! The hook graph as a Mermaid flowchart, for pages that draw Mermaid themselves.
//!
//! Shows what the DOT drawing shows, by the same plan. Mermaid refuses more than 500 edges unless its page allows more,
//! so large rulesets are better drawn with Graphviz.

use std::collections::HashSet;
use std::fmt::Write;

use petgraph::graph::NodeIndex;

use super::dot::{
    Options, count, flow_of, rules_words, shorten, spot_words, step_number, visit_words,
};
use super::painted::TrailEndAt;
use super::safe;
use crate::eval::Pf;
use crate::graph::plan::{End, ItemKind, Place, Plan, Section};
use crate::graph::{HookGraph, Node, Spot, table_words};
use crate::hooks::{Slot, Work};
use crate::nft::print::priority_words;
use crate::ruleset::{ChainId, Hook, Policy, Ruleset, TableId};
use crate::walk::step::Outcome;

/// The graph as a Mermaid flowchart.
pub fn mermaid(graph: &HookGraph, ruleset: &Ruleset, options: &Options<'_>) -> String {
    let plan = options.plan(graph, ruleset);
    let mut writer = Writer {
        graph,
        ruleset,
        options,
        plan: &plan,
        out: String::new(),
        edges: 0,
        styles: Vec::new(),
        circles: graph.cycles().into_iter().flatten().collect(),
    };
    writer.document();
    writer.out
}

struct Writer<'a> {
    graph: &'a HookGraph,
    ruleset: &'a Ruleset,
    options: &'a Options<'a>,
    plan: &'a Plan,
    out: String,
    /// How many edges were written; styles name edges by their number.
    edges: usize,
    styles: Vec<(usize, bool)>,
    circles: HashSet<ChainId>,
}

/// Writing to a string cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {
        let _ = writeln!($out, $($arg)*);
    };
}

impl Writer<'_> {
    fn document(&mut self) {
        put!(self.out, "flowchart LR");
        let title = self.options.title.map(str::to_owned);
        for line in title.iter().chain(&self.plan.notes) {
            put!(self.out, "  %% {}", comment(line));
        }
        for (index, section) in self.plan.sections.iter().enumerate() {
            self.section(index, section);
        }
        for place in [Place::Shared, Place::Unreachable, Place::Dormant] {
            self.tables(place);
        }
        self.flow();
        self.calls();
        self.trail_ends();
        put!(
            self.out,
            "  classDef core fill:#f0f0f0,stroke:#aaa,color:#555"
        );
        put!(self.out, "  classDef nat fill:#fff6d6,stroke:#a58b2d");
        put!(self.out, "  classDef drop stroke:#b00020,stroke-width:4px");
        put!(
            self.out,
            "  classDef off fill:#eee,stroke:#8a8a8a,color:#6a6a6a,stroke-dasharray:4"
        );
        put!(
            self.out,
            "  classDef missing stroke:#b00020,color:#b00020,stroke-dasharray:4"
        );
        put!(self.out, "  classDef passed fill:#e3eefb");
        for (edge, reply) in &self.styles {
            let colour = if *reply { "#b3541e" } else { "#1558b0" };
            put!(
                self.out,
                "  linkStyle {edge} stroke:{colour},stroke-width:3px"
            );
        }
    }

    fn section(&mut self, index: usize, section: &Section) {
        put!(
            self.out,
            "  subgraph s{index}[\"{}\"]",
            text(&section.title())
        );
        for &hook in &section.hooks {
            put!(
                self.out,
                "    subgraph {}[\"{hook}\"]",
                hook_id(index, hook)
            );
            put!(self.out, "      direction TB");
            let stage = self.graph.stage(section.pf(), hook);
            let mut before: Option<String> = None;
            for slot in stage.map(|stage| &stage.slots[..]).unwrap_or_default() {
                let id = self.slot(index, section, hook, slot);
                if let Some(before) = before {
                    self.edge(&format!("{before} ~~~ {id}"), &[]);
                }
                before = Some(id);
            }
            self.tables(Place::Hook(index, hook));
            put!(self.out, "    end");
        }
        self.tables(Place::Section(index));
        let pf = section.pf();
        for spot in SPOTS {
            if self.graph.index_of(&Node::Spot { pf, spot }).is_some() {
                let (_, words) = spot_words(pf, spot);
                let words = words.replace("\\n", " ");
                put!(
                    self.out,
                    "    {}([\"{}\"])",
                    spot_id(pf, spot),
                    text(&words)
                );
            }
        }
        put!(self.out, "  end");
    }

    /// Writes what runs at one place of a hook and returns its id.
    fn slot(&mut self, index: usize, section: &Section, hook: Hook, slot: &Slot) -> String {
        let (name, words) = match &slot.work {
            Work::Defrag => ("defrag", "defragmentation"),
            Work::Conntrack => ("conntrack", "connection tracking"),
            Work::Confirm => ("confirm", "connection tracking: confirm"),
            Work::Nat(chains) if chains.is_empty() => ("nat", "nat dispatcher, without chains"),
            Work::Nat(chains) => {
                let id = format!("{}_nat", hook_id(index, hook));
                put!(
                    self.out,
                    "      subgraph {id}[\"{} nat dispatcher: runs the nat chains here\"]",
                    slot.priority
                );
                put!(self.out, "        direction TB");
                let mut before: Option<String> = None;
                for &chain in chains {
                    let row = self.base(index, section, hook, chain);
                    if let Some(before) = before {
                        self.edge(&format!("{before} ~~~ {row}"), &[]);
                    }
                    before = Some(row);
                }
                put!(self.out, "      end");
                put!(self.out, "      class {id} nat");
                return id;
            }
            Work::Chain(chain) => return self.base(index, section, hook, *chain),
        };
        let id = format!("{}_{name}", hook_id(index, hook));
        let priority = match slot.priority {
            i32::MAX => "last".to_owned(),
            priority => priority.to_string(),
        };
        put!(self.out, "      {id}[\"{priority}: {words}\"]:::core");
        id
    }

    fn base(&mut self, index: usize, section: &Section, hook: Hook, id: ChainId) -> String {
        let node = base_id(index, hook, id);
        let chain = self.ruleset.chain(id);
        let Some(base) = &chain.base else { return node };
        let number = base.priority.to_string();
        let family = self.ruleset.table(chain.table).family.name();
        let words = priority_words(family, hook.name(), i64::from(base.priority));
        let priority = if words == number {
            number
        } else {
            format!("{number} ({words})")
        };
        let policy = match base.policy {
            Policy::Accept => "policy accept",
            Policy::Drop => "policy DROP",
        };
        let mut lines = vec![
            format!("{priority}: {}", shorten(&chain.name)),
            format!(
                "{}, {}, {}{}",
                table_words(self.ruleset, chain.table),
                base.kind.name(),
                count(chain.rules.len(), "rule"),
                self.folded(id)
            ),
            policy.to_owned(),
        ];
        let tied = self.graph.ties().iter().any(|tie| {
            section.families.contains(&tie.pf)
                && tie.hook == hook
                && (tie.first == id || tie.second == id)
        });
        if tied {
            lines.push("tie: order not listed".to_owned());
        }
        if let Some(devices) = &base.devices {
            lines.push(format!("dev {}", devices.join(", ")));
        }
        if let Some((home, _)) = self.plan.home(id)
            && home != index
            && !self.graph.calls_from(id).is_empty()
        {
            lines.push(format!("calls: see {}", self.plan.sections[home].title()));
        }
        let steps = self.steps(id, |pf, at| at == hook && section.families.contains(&pf));
        let passed = !steps.is_empty();
        lines.extend(steps);
        put!(self.out, "      {node}[\"{}\"]", label(&lines));
        if base.policy == Policy::Drop {
            put!(self.out, "      class {node} drop");
        }
        if passed {
            put!(self.out, "      class {node} passed");
        }
        node
    }

    fn folded(&self, chain: ChainId) -> String {
        match self.plan.folded.get(&chain) {
            Some(empty) => format!(" + {empty} empty"),
            None => String::new(),
        }
    }

    fn steps(&self, chain: ChainId, here: impl Fn(Pf, Hook) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        for (reply, trail) in self.options.painted.iter().flat_map(|p| p.trails()) {
            for (number, visit) in trail.visits.iter().enumerate() {
                if visit.chain == chain && here(visit.pf, visit.hook) {
                    lines.push(visit_words(reply, number + 1, visit));
                }
            }
        }
        lines
    }

    fn tables(&mut self, place: Place) {
        let mut tables: Vec<TableId> = self
            .plan
            .items
            .iter()
            .filter(|item| item.place == place)
            .map(|item| item.table)
            .collect();
        tables.sort();
        tables.dedup();
        for table in tables {
            let (id, remark) = match place {
                Place::Hook(section, hook) => (hook_id(section, hook), ""),
                Place::Section(section) => (format!("s{section}"), ": from several hooks"),
                Place::Shared => ("shared".to_owned(), ": from several families"),
                Place::Unreachable => ("unreachable".to_owned(), ": unreachable"),
                Place::Dormant => ("dormant".to_owned(), ": dormant, never run"),
            };
            let words = shorten(&table_words(self.ruleset, table));
            put!(
                self.out,
                "      subgraph {id}_t{}[\"table {}{remark}\"]",
                table.0,
                text(&words)
            );
            for (index, item) in self.plan.items.iter().enumerate() {
                if item.place == place && item.table == table {
                    self.item(index, place, &item.kind);
                }
            }
            put!(self.out, "      end");
        }
    }

    fn item(&mut self, index: usize, place: Place, kind: &ItemKind) {
        let (lines, class) = match kind {
            ItemKind::Missing(name) => (
                vec![
                    format!("missing: {}", shorten(name)),
                    "not in the listing".to_owned(),
                ],
                Some("missing"),
            ),
            ItemKind::Group { prefix, chains } => {
                let rules = chains
                    .iter()
                    .map(|&id| self.ruleset.chain(id).rules.len())
                    .sum();
                (
                    vec![
                        format!("{}…", shorten(prefix)),
                        format!("{}, {}", count(chains.len(), "chain"), count(rules, "rule")),
                    ],
                    None,
                )
            }
            ItemKind::Chain(id) => {
                let chain = self.ruleset.chain(*id);
                let size = match chain.rules.len() {
                    0 => "empty".to_owned(),
                    rules => count(rules, "rule"),
                };
                let mut lines = vec![shorten(&chain.name), format!("{size}{}", self.folded(*id))];
                let steps = self.steps(*id, |_, _| true);
                let mut class = (!steps.is_empty()).then_some("passed");
                lines.extend(steps);
                if self.circles.contains(id) {
                    lines.push("calls in a circle".to_owned());
                    class = Some("missing");
                }
                let off = match place {
                    Place::Unreachable => Some("unreachable"),
                    Place::Dormant => Some("dormant"),
                    Place::Hook(..) | Place::Section(_) | Place::Shared => None,
                };
                if let Some(word) = off {
                    lines.push(word.to_owned());
                    class = Some("off");
                }
                (lines, class)
            }
        };
        let class = class.map_or(String::new(), |class| format!(":::{class}"));
        put!(self.out, "        i{index}[\"{}\"]{class}", label(&lines));
    }

    fn flow(&mut self) {
        let mut painted: Vec<((NodeIndex, NodeIndex), bool)> = Vec::new();
        for (reply, trail) in self.options.painted.iter().flat_map(|p| p.trails()) {
            let edges = flow_of(self.graph, self.plan, trail);
            painted.extend(edges.into_iter().map(|edge| (edge, reply)));
        }
        let mut done = HashSet::new();
        for from in self.graph.graph.node_indices() {
            for to in self.graph.next(from) {
                if let (Some(out), Some(into)) = (self.id_of(from), self.id_of(to))
                    && done.insert((out.clone(), into.clone()))
                {
                    let replies: Vec<bool> = painted
                        .iter()
                        .filter(|(edge, _)| *edge == (from, to))
                        .map(|(_, reply)| *reply)
                        .collect();
                    self.edge(&format!("{out} ==> {into}"), &replies);
                }
            }
        }
    }

    fn id_of(&self, node: NodeIndex) -> Option<String> {
        let pf = match &self.graph.graph[node] {
            Node::Spot { pf, .. } | Node::Stage { pf, .. } => *pf,
            Node::Core { .. } | Node::Chain(_) | Node::Missing { .. } => return None,
        };
        let section = self.plan.section_of(pf)?;
        if self.plan.sections[section].pf() != pf {
            return None;
        }
        match &self.graph.graph[node] {
            Node::Spot { spot, .. } => Some(spot_id(pf, *spot)),
            Node::Stage { hook, .. } => Some(hook_id(section, *hook)),
            Node::Core { .. } | Node::Chain(_) | Node::Missing { .. } => None,
        }
    }

    fn calls(&mut self) {
        for call in &self.plan.calls {
            let mut words = rules_words(self.ruleset, &call.rules);
            if call.via_map {
                words.push_str(" vmap");
            }
            let mut replies = Vec::new();
            for (reply, trail) in self.options.painted.iter().flat_map(|p| p.trails()) {
                for passed in &trail.calls {
                    if call.rules.contains(&passed.rule)
                        && self.plan.end_of(passed.from) == Some(call.from)
                        && self.plan.end_of(passed.to) == Some(call.to)
                    {
                        words = format!("{}: {words}", step_number(reply, passed.number));
                        replies.push(reply);
                    }
                }
            }
            let arrow = if call.goto { "-.->" } else { "-->" };
            let (from, to) = (end_id(call.from), end_id(call.to));
            self.edge(
                &format!("{from} {arrow}|\"{}\"| {to}", text(&words)),
                &replies,
            );
        }
    }

    fn trail_ends(&mut self) {
        for (reply, trail) in self.options.painted.iter().flat_map(|p| p.trails()) {
            let from = match trail.end.at {
                TrailEndAt::Nowhere => None,
                TrailEndAt::Spot(pf, spot) => self
                    .plan
                    .section_of(pf)
                    .map(|section| spot_id(self.plan.sections[section].pf(), spot)),
                TrailEndAt::Chain(pf, hook, chain) => match self.plan.end_of(chain) {
                    Some(End::Base(..)) => self
                        .plan
                        .section_of(pf)
                        .map(|section| base_id(section, hook, chain)),
                    Some(End::Item(item)) => Some(format!("i{item}")),
                    None => None,
                },
            };
            let Some(from) = from else { continue };
            let who = if reply { "reply" } else { "request" };
            let mark = match trail.end.outcome {
                Outcome::Accept => "✓",
                Outcome::Drop | Outcome::Reject => "✗",
                Outcome::Unknown => "?",
            };
            let words = label(&[format!("{mark} {who}"), trail.end.words.clone()]);
            put!(self.out, "  z_{who}{{{{\"{words}\"}}}}");
            self.edge(&format!("{from} --> z_{who}"), &[reply]);
        }
    }

    fn edge(&mut self, edge: &str, replies: &[bool]) {
        put!(self.out, "  {edge}");
        if let Some(&reply) = replies.first() {
            self.styles.push((self.edges, reply));
        }
        self.edges += 1;
    }
}

const SPOTS: [Spot; 5] = [
    Spot::Arrives,
    Spot::Sends,
    Spot::Routing,
    Spot::Local,
    Spot::Leaves,
];

fn hook_id(section: usize, hook: Hook) -> String {
    format!("h{section}_{hook}")
}

fn base_id(section: usize, hook: Hook, chain: ChainId) -> String {
    format!("{}_c{}", hook_id(section, hook), chain.0)
}

fn spot_id(pf: Pf, spot: Spot) -> String {
    format!("p_{pf:?}_{spot:?}").to_lowercase()
}

fn end_id(end: End) -> String {
    match end {
        End::Base(section, hook, chain) => base_id(section, hook, chain),
        End::Item(item) => format!("i{item}"),
    }
}

fn label(lines: &[String]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| text(line)).collect();
    lines.join("<br/>")
}

/// Text of a ruleset inside a quoted label: whatever could mean something to Mermaid or HTML becomes a number.
fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in safe::terminal(text).chars() {
        match c {
            'a'..='z'
            | 'A'..='Z'
            | '0'..='9'
            | ' '
            | ','
            | ':'
            | '.'
            | '-'
            | '_'
            | '+'
            | '('
            | ')'
            | '/' => {
                out.push(c);
            }
            c if c.is_alphabetic() || "…✓✗".contains(c) => out.push(c),
            c => {
                let _ = write!(out, "#{};", c as u32);
            }
        }
    }
    if out.trim().is_empty() {
        "(no name)".to_owned()
    } else {
        out
    }
}

/// Text behind `%%`, where braces would begin a directive.
fn comment(text: &str) -> String {
    safe::terminal(text).replace(['{', '}'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_label() {
        assert_eq!(text("a\"]; x"), "a#34;#93;#59; x");
        assert_eq!(text("<b>`\n"), "#60;b#62;#96;#92;n");
        assert_eq!(text(" "), "(no name)");
    }
}
