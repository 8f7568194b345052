//! The hook graph as Graphviz DOT.
//!
//! Hooks stand from left to right in the order of a packet's life; each is a table whose rows are what runs there, in
//! the kernel's order. Regular chains stand to the right of the hook that reaches them, in a box of their table.
//! All ids are made here, so that names from the ruleset occur in labels only, and there escaped.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use petgraph::graph::NodeIndex;

use super::painted::{Painted, Trail, TrailEndAt, Visit};
use super::safe;
use crate::eval::Pf;
use crate::graph::plan::{Collapse, End, Item, ItemKind, Place, Plan, Section, Wanted};
use crate::graph::{HookGraph, Node, Spot, rule_words, table_words};
use crate::hooks::{Slot, Work};
use crate::nft::print::priority_words;
use crate::ruleset::{Base, ChainId, Hook, Policy, RuleId, Ruleset, TableId};
use crate::walk::step::Outcome;

/// How a graph is drawn.
#[derive(Debug, Clone, Default)]
pub struct Options<'a> {
    /// The way of a flow.
    pub painted: Option<&'a Painted>,
    /// Families to show; `None`: all that have chains.
    pub families: Option<Vec<Pf>>,
    pub collapse: Collapse,
    /// A line above the drawing.
    pub title: Option<&'a str>,
}

impl Options<'_> {
    /// The plan that these options ask for.
    pub fn plan(&self, graph: &HookGraph, ruleset: &Ruleset) -> Plan {
        let families = self.painted.map(Painted::families).unwrap_or_default();
        Plan::new(
            graph,
            ruleset,
            &Wanted {
                families: self.families.clone(),
                home: families
                    .into_iter()
                    .find(|pf| matches!(pf, Pf::Ip | Pf::Ip6)),
                collapse: self.collapse,
                keep: self.painted.map(Painted::chains).unwrap_or_default(),
            },
        )
    }
}

const REQUEST: &str = "#1558b0";
const REPLY: &str = "#b3541e";
const PAINTED_FILL: &str = "#e3eefb";
const DROP: &str = "#b00020";
const GREY: &str = "#8a8a8a";

/// The graph as DOT.
pub fn dot(graph: &HookGraph, ruleset: &Ruleset, options: &Options<'_>) -> String {
    let plan = options.plan(graph, ruleset);
    let mut writer = Writer {
        graph,
        ruleset,
        options,
        plan: &plan,
        out: String::new(),
        ties: graph
            .ties()
            .iter()
            .flat_map(|tie| {
                [
                    (tie.pf, tie.hook, tie.first),
                    (tie.pf, tie.hook, tie.second),
                ]
            })
            .collect(),
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
    ties: HashSet<(Pf, Hook, ChainId)>,
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
        put!(self.out, "digraph nfpath {{");
        put!(
            self.out,
            "  graph [rankdir=LR, newrank=true, compound=true, nodesep=0.15, ranksep=0.45, labelloc=t, labeljust=l, \
             fontname=\"Helvetica\", fontsize=11, label={}];",
            self.legend()
        );
        put!(
            self.out,
            "  node [fontname=\"Helvetica\", fontsize=10, shape=box, style=\"rounded,filled\", fillcolor=white, \
             color=\"#555555\", margin=\"0.08,0.04\", height=0.3];"
        );
        put!(
            self.out,
            "  edge [fontname=\"Helvetica\", fontsize=8, color=\"#555555\", arrowsize=0.6];"
        );
        // `dot` fills a column from the bottom, so whatever is to stand above comes later.
        self.tables(Place::Dormant);
        self.tables(Place::Unreachable);
        self.tables(Place::Shared);
        let mut sections: Vec<_> = self.plan.sections.iter().enumerate().rev().collect();
        if sections.len() > 1 && sections[0].1.pf() == Pf::Netdev {
            // Here the edges from ingress to the others decide, and they turn the order round.
            sections.reverse();
        }
        for (index, section) in sections {
            self.section(index, section);
        }
        self.flow();
        self.calls();
        self.trail_ends();
        put!(self.out, "}}");
    }

    fn legend(&self) -> String {
        let mut lines = Vec::new();
        if let Some(title) = self.options.title {
            lines.push(format!("<B>{}</B>", html(title)));
        }
        if self.plan.sections.is_empty() && self.plan.items.is_empty() {
            lines.push("no chains".to_owned());
        } else {
            lines.push(
                "rows of a hook run from top to bottom; solid edge: jump, dashed edge: goto; #n: handle of the rule"
                    .to_owned(),
            );
        }
        if let Some(painted) = self.options.painted {
            lines.push(format!(
                "<FONT COLOR=\"{REQUEST}\"><B>request: steps 1, 2, …</B></FONT>{}",
                match painted.reply {
                    Some(_) =>
                        format!("; <FONT COLOR=\"{REPLY}\"><B>reply: steps r1, r2, …</B></FONT>"),
                    None => String::new(),
                }
            ));
        }
        lines.extend(self.plan.notes.iter().map(|note| html(note)));
        format!(
            "<{}<BR ALIGN=\"LEFT\"/>>",
            lines.join("<BR ALIGN=\"LEFT\"/>")
        )
    }

    fn section(&mut self, index: usize, section: &Section) {
        put!(self.out, "  subgraph cluster_s{index} {{");
        put!(
            self.out,
            "    label=<<B>{}</B>>; color=\"#c8c8c8\"; style=rounded; fontsize=14; margin=12;",
            html(&section.title())
        );
        self.tables(Place::Section(index));
        for &hook in section.hooks.iter().rev() {
            put!(self.out, "    subgraph cluster_s{index}_{hook} {{");
            put!(
                self.out,
                "      label=<<B>{hook}</B>>; color=\"#9aa5b1\"; style=\"rounded,filled\"; fillcolor=\"#f6f7f9\"; \
                 fontsize=12; margin=8;"
            );
            let table = self.hook_table(index, section, hook);
            put!(
                self.out,
                "      {} [shape=plain, style=\"\", label=<{table}>];",
                hook_id(index, hook)
            );
            self.tables(Place::Hook(index, hook));
            put!(self.out, "    }}");
        }
        for node in self.spots(section.pf()) {
            let Node::Spot { pf, spot } = &self.graph.graph[node] else {
                continue;
            };
            let (shape, words) = spot_words(*pf, *spot);
            put!(
                self.out,
                "    {} [shape={shape}, style=filled, fillcolor=\"#eeeeee\", fontsize=9, margin=\"0.05,0.03\", label=\"{words}\"];",
                spot_id(*pf, *spot)
            );
        }
        put!(self.out, "  }}");
    }

    fn spots(&self, pf: Pf) -> Vec<NodeIndex> {
        [
            Spot::Arrives,
            Spot::Sends,
            Spot::Routing,
            Spot::Local,
            Spot::Leaves,
        ]
        .into_iter()
        .filter_map(|spot| self.graph.index_of(&Node::Spot { pf, spot }))
        .collect()
    }

    fn hook_table(&self, index: usize, section: &Section, hook: Hook) -> String {
        let mut rows = String::new();
        let stage = self.graph.stage(section.pf(), hook);
        for slot in stage.map(|stage| &stage.slots[..]).unwrap_or_default() {
            rows.push_str(&self.slot(index, section, hook, slot));
        }
        format!(
            "<TABLE BORDER=\"0\" CELLBORDER=\"1\" CELLSPACING=\"0\" CELLPADDING=\"3\" BGCOLOR=\"white\" \
             COLOR=\"#9aa5b1\">{rows}</TABLE>"
        )
    }

    fn slot(&self, index: usize, section: &Section, hook: Hook, slot: &Slot) -> String {
        let core = |words: &str| {
            let priority = match slot.priority {
                i32::MAX => "last".to_owned(),
                priority => priority.to_string(),
            };
            format!(
                "<TR><TD ALIGN=\"RIGHT\"><FONT POINT-SIZE=\"8\" COLOR=\"#666666\">{priority}</FONT></TD><TD \
                 ALIGN=\"LEFT\" COLSPAN=\"2\"><FONT POINT-SIZE=\"8\" COLOR=\"#666666\"><I>{words}</I></FONT></TD></TR>"
            )
        };
        match &slot.work {
            Work::Defrag => core("defragmentation"),
            Work::Conntrack => core("connection tracking"),
            Work::Confirm => core("connection tracking: confirm"),
            Work::Nat(chains) if chains.is_empty() => core("nat dispatcher, without chains"),
            Work::Nat(chains) => {
                let rows: String = chains
                    .iter()
                    .map(|&id| self.base_row(index, section, hook, id))
                    .collect();
                format!(
                    "<TR><TD COLSPAN=\"3\" CELLPADDING=\"3\" BGCOLOR=\"#fff6d6\" COLOR=\"#a58b2d\"><TABLE BORDER=\"0\" \
                     CELLBORDER=\"1\" CELLSPACING=\"0\" CELLPADDING=\"3\" COLOR=\"#a58b2d\"><TR><TD BORDER=\"0\" \
                     COLSPAN=\"3\" ALIGN=\"LEFT\"><B>{}</B> nat dispatcher: runs the nat chains here</TD></TR>{rows}</TABLE></TD></TR>",
                    slot.priority
                )
            }
            Work::Chain(id) => self.base_row(index, section, hook, *id),
        }
    }

    fn base_row(&self, index: usize, section: &Section, hook: Hook, id: ChainId) -> String {
        let chain = self.ruleset.chain(id);
        let Some(base) = &chain.base else {
            return String::new();
        };
        let steps = self.steps(section, Some(hook), id);
        let fill = if steps.is_empty() {
            String::new()
        } else {
            format!(" BGCOLOR=\"{PAINTED_FILL}\"")
        };
        let mut facts = vec![
            table_words(self.ruleset, chain.table),
            base.kind.name().to_owned(),
            count(chain.rules.len(), "rule"),
        ];
        facts.extend(self.folded_words(id));
        if let Some(devices) = &base.devices {
            facts.push(format!("dev {}", devices.join(", ")));
        }
        if section
            .families
            .iter()
            .any(|&pf| self.ties.contains(&(pf, hook, id)))
        {
            facts.push("tie: order not listed".to_owned());
        }
        if self.plan.home(id).is_some_and(|home| home.0 != index)
            && !self.graph.calls_from(id).is_empty()
            && let Some((home, _)) = self.plan.home(id)
        {
            facts.push(format!("calls: see {}", self.plan.sections[home].title()));
        }
        let policy = match base.policy {
            Policy::Accept => format!(
                "<TD PORT=\"c{}\"{fill}><FONT POINT-SIZE=\"8\">policy<BR/>accept</FONT></TD>",
                id.0
            ),
            Policy::Drop => format!(
                "<TD PORT=\"c{}\" BORDER=\"3\" COLOR=\"{DROP}\"{fill}><FONT POINT-SIZE=\"8\">policy<BR/></FONT><B>DROP</B></TD>",
                id.0
            ),
        };
        format!(
            "<TR><TD ALIGN=\"RIGHT\"{fill}>{}</TD><TD ALIGN=\"LEFT\" BALIGN=\"LEFT\"{fill}><B>{}</B><BR/><FONT \
             POINT-SIZE=\"8\">{}</FONT>{steps}</TD>{policy}</TR>",
            priority_cell(self.ruleset, chain.table, base),
            html(&shorten(&chain.name)),
            html(&facts.join(" · ")),
        )
    }

    fn folded_words(&self, chain: ChainId) -> Option<String> {
        self.plan
            .folded
            .get(&chain)
            .map(|empty| format!("+ {empty} empty"))
    }

    /// The visits of the painted ways to a chain, as lines of a label. Regular chains are drawn once for all hooks.
    fn steps(&self, section: &Section, hook: Option<Hook>, chain: ChainId) -> String {
        let mut lines = String::new();
        for (reply, trail) in self.options.painted.iter().flat_map(|p| p.trails()) {
            for (number, visit) in trail.visits.iter().enumerate() {
                let here = visit.chain == chain
                    && hook.is_none_or(|hook| {
                        visit.hook == hook && section.families.contains(&visit.pf)
                    });
                if here {
                    let _ = write!(
                        lines,
                        "<BR/><FONT POINT-SIZE=\"9\" COLOR=\"{}\"><B>{}</B></FONT>",
                        colour(reply),
                        html(&visit_words(reply, number + 1, visit)),
                    );
                }
            }
        }
        lines
    }

    /// The boxes of all tables with items at a place.
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
        for table in tables.into_iter().rev() {
            let words = html(&shorten(&table_words(self.ruleset, table)));
            let (id, remark) = match place {
                Place::Hook(section, hook) => (format!("s{section}_{hook}"), ""),
                Place::Section(section) => (format!("s{section}"), ": from several hooks"),
                Place::Shared => ("shared".to_owned(), ": from several families"),
                Place::Unreachable => ("unreachable".to_owned(), ": unreachable"),
                Place::Dormant => ("dormant".to_owned(), ": dormant, never run"),
            };
            put!(self.out, "      subgraph cluster_{id}_t{} {{", table.0);
            put!(
                self.out,
                "        label=<table {words}{remark}>; color=\"#b8b8b8\"; style=\"dashed,filled\"; fillcolor=\"#fdfdfd\"; \
                 fontsize=9; margin=6;"
            );
            for (index, item) in self.plan.items.iter().enumerate().rev() {
                if item.place == place && item.table == table {
                    let node = self.item(index, item);
                    put!(self.out, "        {node}");
                }
            }
            put!(self.out, "      }}");
        }
    }

    fn item(&self, index: usize, item: &Item) -> String {
        match &item.kind {
            ItemKind::Missing(name) => format!(
                "i{index} [style=\"dashed,filled\", color=\"{DROP}\", fontcolor=\"{DROP}\", penwidth=2, tooltip={}, \
                 label=<<B>missing: {}</B><BR/><FONT POINT-SIZE=\"8\">not in the listing</FONT>>];",
                quoted(name),
                html(&shorten(name))
            ),
            ItemKind::Group { prefix, chains } => {
                let rules: usize = chains
                    .iter()
                    .map(|&id| self.ruleset.chain(id).rules.len())
                    .sum();
                format!(
                    "i{index} [shape=folder, style=filled, tooltip={}, label=<<B>{}…</B><BR/><FONT POINT-SIZE=\"8\">{}, \
                     {}</FONT>>];",
                    quoted(prefix),
                    html(&shorten(prefix)),
                    count(chains.len(), "chain"),
                    count(rules, "rule")
                )
            }
            ItemKind::Chain(id) => self.chain(index, item.place, *id),
        }
    }

    fn chain(&self, index: usize, place: Place, id: ChainId) -> String {
        let chain = self.ruleset.chain(id);
        let off = matches!(place, Place::Unreachable | Place::Dormant);
        let mut facts = Vec::new();
        if let Some(base) = &chain.base {
            facts.push(format!(
                "type {} hook {} priority {}, policy {}",
                base.kind.name(),
                base.hook,
                base.priority,
                base.policy.name()
            ));
        }
        facts.push(match chain.rules.len() {
            0 => "empty".to_owned(),
            rules => count(rules, "rule"),
        });
        facts.extend(self.folded_words(id));
        match place {
            Place::Unreachable => facts.push("unreachable".to_owned()),
            Place::Dormant => facts.push("dormant".to_owned()),
            Place::Hook(..) | Place::Section(_) | Place::Shared => {}
        }
        let circle = self.circles.contains(&id);
        if circle {
            facts.push("calls in a circle".to_owned());
        }
        let steps = match self.plan.sections.first() {
            Some(section) => self.steps(section, None, id),
            None => String::new(),
        };
        let look = if !steps.is_empty() {
            let requested = self
                .options
                .painted
                .is_some_and(|painted| painted.request.visits.iter().any(|v| v.chain == id));
            let colour = colour(!requested);
            format!(", fillcolor=\"{PAINTED_FILL}\", color=\"{colour}\", penwidth=2")
        } else if off {
            format!(
                ", style=\"rounded,dashed,filled\", fillcolor=\"#eeeeee\", color=\"{GREY}\", fontcolor=\"#6a6a6a\""
            )
        } else if circle {
            format!(", color=\"{DROP}\", penwidth=2")
        } else if chain.rules.is_empty() {
            ", style=\"rounded,dotted,filled\"".to_owned()
        } else {
            String::new()
        };
        format!(
            "i{index} [tooltip={}, label=<<B>{}</B><BR/><FONT POINT-SIZE=\"8\">{}</FONT>{steps}>{look}];",
            quoted(&chain.name),
            html(&shorten(&chain.name)),
            html(&facts.join(" · ")),
        )
    }

    /// The edges between hooks and places.
    fn flow(&mut self) {
        let painted = self.painted_flow();
        let mut done = HashSet::new();
        self.ranks();
        for from in self.graph.graph.node_indices().rev() {
            for to in self.graph.next(from) {
                let (Some((_, out)), Some((into, _))) = (self.ends(from), self.ends(to)) else {
                    continue;
                };
                if !done.insert((out.clone(), into.clone())) {
                    continue;
                }
                let mut look = format!("color=\"{GREY}\", penwidth=2.5, weight=8");
                if let Some(replies) = painted.get(&(from, to)) {
                    look = format!(
                        "color=\"{}\", penwidth=4, weight=8",
                        replies
                            .iter()
                            .map(|reply| colour(*reply))
                            .collect::<Vec<_>>()
                            .join(":")
                    );
                }
                put!(self.out, "  {out} -> {into} [{look}];");
            }
        }
    }

    /// What is sent by this host starts where arriving packets start, and families stand below each other.
    fn ranks(&mut self) {
        let mut above: Option<String> = None;
        for (index, section) in self.plan.sections.iter().enumerate().rev() {
            let pf = section.pf();
            if pf == Pf::Netdev {
                continue;
            }
            let has = |hook: &Hook| section.hooks.contains(hook);
            if has(&Hook::Prerouting) && has(&Hook::Output) {
                put!(
                    self.out,
                    "  {{ rank=same; {}; {}; }}",
                    hook_id(index, Hook::Output),
                    hook_id(index, Hook::Prerouting)
                );
            }
            let spots: Vec<String> = [Spot::Sends, Spot::Arrives]
                .into_iter()
                .filter(|&spot| self.graph.index_of(&Node::Spot { pf, spot }).is_some())
                .map(|spot| spot_id(pf, spot))
                .collect();
            if spots.is_empty() {
                continue;
            }
            let order: Vec<String> = above.iter().chain(&spots).cloned().collect();
            put!(
                self.out,
                "  {{ rank=same; {} [style=invis]; }}",
                order.join(" -> ")
            );
            above = spots.last().cloned();
        }
    }

    /// The ids where edges go into a hook or place and out of it.
    fn ends(&self, node: NodeIndex) -> Option<(String, String)> {
        match &self.graph.graph[node] {
            Node::Spot { pf, spot } => {
                let section = self.plan.section_of(*pf)?;
                (self.plan.sections[section].pf() == *pf)
                    .then(|| (spot_id(*pf, *spot), spot_id(*pf, *spot)))
            }
            Node::Stage { pf, hook } => {
                let section = self.plan.section_of(*pf)?;
                if self.plan.sections[section].pf() != *pf {
                    return None;
                }
                let id = hook_id(section, *hook);
                Some((format!("{id}:w"), id))
            }
            Node::Core { .. } | Node::Chain(_) | Node::Missing { .. } => None,
        }
    }

    /// The edges between hooks and places that the painted ways took, and whether as replies.
    fn painted_flow(&self) -> HashMap<(NodeIndex, NodeIndex), Vec<bool>> {
        let mut found: HashMap<_, Vec<bool>> = HashMap::new();
        for (reply, trail) in self.options.painted.iter().flat_map(|p| p.trails()) {
            for edge in flow_of(self.graph, self.plan, trail) {
                let replies = found.entry(edge).or_default();
                if !replies.contains(&reply) {
                    replies.push(reply);
                }
            }
        }
        found
    }

    fn calls(&mut self) {
        for call in self.plan.calls.iter().rev() {
            let mut look = String::new();
            if call.goto {
                look.push_str(", style=dashed");
            }
            if self.back(call.from, call.to) {
                look.push_str(", constraint=false");
            }
            if self.place(call.from) == self.place(call.to) {
                look.push_str(", weight=4");
            }
            let mut label = rules_words(self.ruleset, &call.rules);
            if call.via_map {
                label.push_str(" vmap");
            }
            if let Some((text, colours)) = self.passed(call.from, call.to, &call.rules) {
                label = format!("{text}\\n{label}");
                let _ = write!(
                    look,
                    ", color=\"{}\", fontcolor=\"{}\", penwidth=2.5",
                    colours.join(":"),
                    colours[0]
                );
            } else if self.off(call.from) {
                let _ = write!(look, ", color=\"{GREY}\", fontcolor=\"{GREY}\"");
            }
            put!(
                self.out,
                "  {} -> {} [label=\"{label}\"{look}];",
                port(call.from),
                entry(call.to)
            );
        }
    }

    /// An edge that must not move what it points at.
    fn back(&self, from: End, to: End) -> bool {
        self.off(from) && !self.off(to) || matches!(to, End::Base(..))
    }

    fn place(&self, end: End) -> Place {
        match end {
            End::Base(section, hook, _) => Place::Hook(section, hook),
            End::Item(item) => self.plan.items[item].place,
        }
    }

    fn off(&self, end: End) -> bool {
        matches!(self.place(end), Place::Unreachable | Place::Dormant)
    }

    /// The step numbers and colours of painted ways over an edge.
    fn passed(&self, from: End, to: End, rules: &[RuleId]) -> Option<(String, Vec<&'static str>)> {
        let mut words = Vec::new();
        let mut colours = Vec::new();
        for (reply, trail) in self.options.painted.iter().flat_map(|p| p.trails()) {
            for passed in &trail.calls {
                if rules.contains(&passed.rule)
                    && self.plan.end_of(passed.from) == Some(from)
                    && self.plan.end_of(passed.to) == Some(to)
                {
                    words.push(step_number(reply, passed.number));
                    if !colours.contains(&colour(reply)) {
                        colours.push(colour(reply));
                    }
                }
            }
        }
        (!words.is_empty()).then(|| (words.join(", "), colours))
    }

    fn trail_ends(&mut self) {
        for (reply, trail) in self.options.painted.iter().flat_map(|p| p.trails()) {
            let Some(from) = end_id(self.plan, trail) else {
                continue;
            };
            let who = if reply { "reply" } else { "request" };
            let (shape, border, mark) = match trail.end.outcome {
                Outcome::Accept => ("box", 2, "✓"),
                Outcome::Drop | Outcome::Reject => ("octagon", 1, "✗"),
                Outcome::Unknown => ("diamond", 1, "?"),
            };
            put!(
                self.out,
                "  end_{who} [shape={shape}, peripheries={border}, style=filled, fillcolor=\"{PAINTED_FILL}\", \
                 color=\"{0}\", fontcolor=\"{0}\", penwidth=2, label=<<B>{mark} {who}</B><BR/>{1}>];",
                colour(reply),
                html(&trail.end.words)
            );
            put!(
                self.out,
                "  {from} -> end_{who} [color=\"{}\", penwidth=2.5];",
                colour(reply)
            );
        }
    }
}

/// The edges between hooks and places on a packet's way.
pub(super) fn flow_of(
    graph: &HookGraph,
    plan: &Plan,
    trail: &Trail,
) -> Vec<(NodeIndex, NodeIndex)> {
    // Two families drawn as one have one set of edges.
    let drawn = |pf: Pf| {
        plan.section_of(pf)
            .map(|section| plan.sections[section].pf())
    };
    let mut edges = Vec::new();
    let mut passed = Vec::new();
    // IP hooks may run in the midst of a bridge's, so each family is followed by itself.
    let mut last: HashMap<Pf, NodeIndex> = HashMap::new();
    let mut before: Option<(Pf, Hook)> = None;
    let mut leave = |pf: Pf, spot: Spot, last: &HashMap<Pf, NodeIndex>| {
        if let (Some(&from), Some(to)) = (last.get(&pf), graph.index_of(&Node::Spot { pf, spot })) {
            edges.extend(shortest(graph, from, to));
        }
    };
    for &(pf, hook) in &trail.points {
        let Some(pf) = drawn(pf) else { continue };
        match before {
            Some((Pf::Bridge, Hook::Input)) if pf != Pf::Bridge => {
                leave(Pf::Bridge, Spot::Local, &last);
            }
            Some((other, Hook::Postrouting)) if other != pf => leave(other, Spot::Leaves, &last),
            _ => {}
        }
        before = Some((pf, hook));
        let Some(stage) = graph.index_of(&Node::Stage { pf, hook }) else {
            continue;
        };
        let begin = match hook {
            Hook::Output | Hook::Postrouting | Hook::Egress => Spot::Sends,
            Hook::Ingress | Hook::Prerouting | Hook::Input | Hook::Forward => Spot::Arrives,
        };
        let mut way = match last.get(&pf) {
            Some(&from) if from == stage => Vec::new(),
            Some(&from) => shortest(graph, from, stage),
            None => Vec::new(),
        };
        if way.is_empty()
            && last.get(&pf) != Some(&stage)
            && let Some(from) = graph.index_of(&Node::Spot { pf, spot: begin })
        {
            way = shortest(graph, from, stage);
        }
        passed.extend(way);
        last.insert(pf, stage);
    }
    if let TrailEndAt::Spot(pf, spot) = trail.end.at
        && let Some(pf) = drawn(pf)
    {
        leave(pf, spot, &last);
    }
    edges.extend(passed);
    edges
}

/// The shortest way between two places along the order of a packet's life; nothing when there is none.
fn shortest(graph: &HookGraph, from: NodeIndex, to: NodeIndex) -> Vec<(NodeIndex, NodeIndex)> {
    let mut before: HashMap<NodeIndex, NodeIndex> = HashMap::new();
    let mut open = std::collections::VecDeque::from([from]);
    while let Some(node) = open.pop_front() {
        if node == to {
            break;
        }
        for next in graph.next(node) {
            if next != from && !before.contains_key(&next) {
                before.insert(next, node);
                open.push_back(next);
            }
        }
    }
    let mut edges = Vec::new();
    let mut at = to;
    while let Some(&previous) = before.get(&at) {
        edges.push((previous, at));
        at = previous;
    }
    edges
}

/// The id of what a packet's way ended at.
fn end_id(plan: &Plan, trail: &Trail) -> Option<String> {
    match trail.end.at {
        TrailEndAt::Nowhere => None,
        TrailEndAt::Spot(pf, spot) => {
            let section = plan.section_of(pf)?;
            Some(spot_id(plan.sections[section].pf(), spot))
        }
        TrailEndAt::Chain(pf, hook, chain) => match plan.end_of(chain)? {
            End::Item(item) => Some(format!("i{item}")),
            End::Base(..) => Some(port(End::Base(plan.section_of(pf)?, hook, chain))),
        },
    }
}

fn hook_id(section: usize, hook: Hook) -> String {
    format!("h{section}_{hook}")
}

fn spot_id(pf: Pf, spot: Spot) -> String {
    format!("p_{pf:?}_{spot:?}").to_lowercase()
}

fn port(end: End) -> String {
    match end {
        End::Base(section, hook, chain) => format!("{}:c{}:e", hook_id(section, hook), chain.0),
        End::Item(item) => format!("i{item}"),
    }
}

fn entry(end: End) -> String {
    match end {
        End::Base(section, hook, chain) => format!("{}:c{}", hook_id(section, hook), chain.0),
        End::Item(item) => format!("i{item}"),
    }
}

fn colour(reply: bool) -> &'static str {
    if reply { REPLY } else { REQUEST }
}

pub(super) fn step_number(reply: bool, number: usize) -> String {
    format!("{}{number}", if reply { "r" } else { "" })
}

/// `r12: #40 accept`
pub(super) fn visit_words(reply: bool, number: usize, visit: &Visit) -> String {
    let number = step_number(reply, number);
    match &visit.decided {
        Some(decided) => format!("{number}: {decided}"),
        None => format!("step {number}"),
    }
}

/// The shape and the words of a place.
pub(super) fn spot_words(pf: Pf, spot: Spot) -> (&'static str, &'static str) {
    match (pf, spot) {
        (Pf::Bridge, Spot::Arrives) => ("ellipse", "frame comes in\\nby a bridge port"),
        (Pf::Netdev, Spot::Arrives) => ("ellipse", "packet comes in\\nby a device"),
        (_, Spot::Arrives) => ("ellipse", "packet comes in"),
        (Pf::Bridge, Spot::Routing) => ("ellipse", "bridge decides:\\nup or across"),
        (_, Spot::Routing) => ("ellipse", "routing decision:\\nlocal or forward"),
        (Pf::Bridge, Spot::Local) => ("ellipse", "up to\\nthe IP stack"),
        (Pf::Netdev, Spot::Local) => ("ellipse", "protocol\\nstacks"),
        (_, Spot::Local) => ("ellipse", "this host\\nreceives"),
        (Pf::Bridge, Spot::Sends) => ("ellipse", "IP stack sends\\ninto the bridge"),
        (_, Spot::Sends) => ("ellipse", "this host\\nsends"),
        (Pf::Bridge, Spot::Leaves) => ("ellipse", "frame leaves\\nby a bridge port"),
        (_, Spot::Leaves) => ("ellipse", "packet leaves"),
    }
}

pub(super) fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// The handles of rules, shortened after the third.
pub(super) fn rules_words(ruleset: &Ruleset, rules: &[RuleId]) -> String {
    const MOST: usize = 3;
    let mut words: Vec<String> = rules
        .iter()
        .take(MOST)
        .map(|&rule| rule_words(ruleset, rule))
        .collect();
    if rules.len() > MOST {
        words.push(format!("+{}", rules.len() - MOST));
    }
    words.join(" ")
}

fn priority_cell(ruleset: &Ruleset, table: TableId, base: &Base) -> String {
    let number = base.priority.to_string();
    let words = priority_words(
        ruleset.table(table).family.name(),
        base.hook.name(),
        i64::from(base.priority),
    );
    if words == number {
        format!("<B>{number}</B>")
    } else {
        format!("<B>{number}</B><BR/><FONT POINT-SIZE=\"8\">{words}</FONT>")
    }
}

/// The longest name that is drawn in full.
const LONGEST: usize = 48;

/// A long name without its middle.
pub(super) fn shorten(name: &str) -> String {
    let length = name.chars().count();
    if length <= LONGEST {
        return name.to_owned();
    }
    let start: String = name.chars().take(LONGEST / 2).collect();
    let end: String = name.chars().skip(length - LONGEST / 2 + 1).collect();
    format!("{start}…{end}")
}

/// Text of a ruleset inside an HTML-like label.
fn html(text: &str) -> String {
    let text = safe::terminal(text);
    if text.trim().is_empty() {
        return "(no name)".to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML knows these two not even as references.
            '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// Text of a ruleset as a quoted DOT string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in html(text).chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
