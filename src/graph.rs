//! The hook graph: which chains run where and in which order, and which chains call which.
//!
//! Nodes are the hooks of every protocol family, what the kernel itself does there, the places between hooks, and all
//! chains; edges are the order of a packet's life and the jumps and gotos with the rules that make them. The order at a
//! hook comes from [`Hooks`]; nothing here decides whether a rule matches. How a graph is drawn is left to the
//! renderers; [`plan`] says what a drawing shows.

pub mod plan;

use std::collections::{HashMap, HashSet};

use petgraph::Direction;
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, EdgeRef, Reversed};

use crate::diagnostic::Diagnostic;
use crate::eval::Pf;
use crate::hooks::{FAMILIES, Hooks, Slot, Tie, Work};
use crate::ruleset::set::Data;
use crate::ruleset::{
    ChainId, Dormancy, Hook, Name, RuleId, Ruleset, Stmt, TableId, Target, Verdict,
};

/// A place between the hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Spot {
    /// A packet comes in by a device.
    Arrives,
    /// It is decided where the packet goes.
    Routing,
    /// The packet is handed to this host.
    Local,
    /// This host sends a packet.
    Sends,
    /// The packet goes out by a device.
    Leaves,
}

/// What the kernel itself does at a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Core {
    Defrag,
    Conntrack,
    /// Runs all nat chains of its hook, in their own order.
    NatDispatcher,
    /// The end of conntrack's work.
    Confirm,
}

/// A node of the graph.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Node {
    Spot {
        pf: Pf,
        spot: Spot,
    },
    /// A hook where something runs.
    Stage {
        pf: Pf,
        hook: Hook,
    },
    Core {
        pf: Pf,
        hook: Hook,
        core: Core,
    },
    Chain(ChainId),
    /// A chain that rules go to and that the listing does not have.
    Missing {
        table: TableId,
        name: Name,
    },
}

/// An edge of the graph.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Edge {
    /// The packet goes on to the next hook or place.
    Next,
    /// A hook runs this at this position, or the nat dispatcher does; position counts from 0.
    Runs { position: usize, priority: i32 },
    /// A rule goes to another chain.
    Calls {
        rule: RuleId,
        goto: bool,
        /// The target stands in a verdict map.
        via_map: bool,
    },
}

/// A hook and what runs there, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    pub pf: Pf,
    pub hook: Hook,
    pub slots: Vec<Slot>,
}

/// A rule that goes to a chain which is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dangling {
    pub rule: RuleId,
    pub table: TableId,
    pub name: Name,
}

/// The hooks, chains and calls of a ruleset.
#[derive(Debug, Clone)]
pub struct HookGraph {
    pub graph: DiGraph<Node, Edge>,
    stages: Vec<Stage>,
    ties: Vec<Tie>,
    nodes: HashMap<Node, NodeIndex>,
    chains: Vec<NodeIndex>,
}

impl HookGraph {
    /// Builds the graph. Base chains of dormant tables are nodes that no hook runs.
    pub fn new(ruleset: &Ruleset, hooks: &Hooks) -> HookGraph {
        let mut graph = HookGraph {
            graph: DiGraph::new(),
            stages: Vec::new(),
            ties: hooks.ties.clone(),
            nodes: HashMap::new(),
            chains: Vec::new(),
        };
        for pf in FAMILIES {
            for hook in Hook::ALL {
                let slots = hooks.stage(pf, hook);
                if !slots.is_empty() {
                    let slots = slots.to_vec();
                    graph.stages.push(Stage { pf, hook, slots });
                }
            }
        }
        for (id, _) in ruleset.chains() {
            let node = graph.node(Node::Chain(id));
            graph.chains.push(node);
        }
        graph.add_stages();
        graph.add_flow();
        for rule in ruleset.rule_ids() {
            graph.add_calls(ruleset, rule);
        }
        graph
    }

    /// The hooks where something runs, by family and in the order of a packet's life.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// What runs at a hook, in order.
    pub fn stage(&self, pf: Pf, hook: Hook) -> Option<&Stage> {
        self.stages
            .iter()
            .find(|stage| stage.pf == pf && stage.hook == hook)
    }

    /// The position of a node in the graph.
    pub fn index_of(&self, node: &Node) -> Option<NodeIndex> {
        self.nodes.get(node).copied()
    }

    /// Base chains of equal priority in different tables: a listing does not say which runs first.
    pub fn ties(&self) -> &[Tie] {
        &self.ties
    }

    /// The calls that leave a chain, in the order of its rules.
    pub fn calls_from(&self, chain: ChainId) -> Vec<(RuleId, &Node, bool, bool)> {
        let mut calls: Vec<_> = self
            .graph
            .edges(self.chains[chain.index()])
            .filter_map(|edge| match edge.weight() {
                Edge::Calls {
                    rule,
                    goto,
                    via_map,
                } => Some((
                    edge.id(),
                    (*rule, &self.graph[edge.target()], *goto, *via_map),
                )),
                Edge::Next | Edge::Runs { .. } => None,
            })
            .collect();
        calls.sort_by_key(|(id, _)| *id);
        calls.into_iter().map(|(_, call)| call).collect()
    }

    /// The chains with a rule that goes to this chain, each once.
    pub fn callers(&self, chain: ChainId) -> Vec<ChainId> {
        let mut callers: Vec<ChainId> = self
            .graph
            .neighbors_directed(self.chains[chain.index()], Direction::Incoming)
            .filter_map(|node| match self.graph[node] {
                Node::Chain(id) => Some(id),
                _ => None,
            })
            .collect();
        callers.sort();
        callers.dedup();
        callers
    }

    /// The next hooks and places after a node, in the order they were added.
    pub fn next(&self, node: NodeIndex) -> Vec<NodeIndex> {
        let mut next: Vec<_> = self
            .graph
            .edges(node)
            .filter(|edge| *edge.weight() == Edge::Next)
            .map(|edge| (edge.id(), edge.target()))
            .collect();
        next.sort();
        next.into_iter().map(|(_, node)| node).collect()
    }

    /// Chains that call themselves, directly or through others: each circle once. The kernel refuses such rules.
    pub fn cycles(&self) -> Vec<Vec<ChainId>> {
        let mut cycles = Vec::new();
        for component in kosaraju_scc(&self.graph) {
            let circle = component.len() > 1
                || component
                    .iter()
                    .any(|&node| self.graph.find_edge(node, node).is_some());
            if circle {
                let mut chains: Vec<ChainId> = component
                    .into_iter()
                    .filter_map(|node| self.chain_at(node))
                    .collect();
                chains.sort();
                cycles.push(chains);
            }
        }
        cycles.sort();
        cycles
    }

    /// The rules that go to a chain which is not there.
    pub fn dangling(&self) -> Vec<Dangling> {
        let mut found: Vec<Dangling> = Vec::new();
        for edge in self.graph.edge_references() {
            if let (Edge::Calls { rule, .. }, Node::Missing { table, name }) =
                (edge.weight(), &self.graph[edge.target()])
            {
                found.push(Dangling {
                    rule: *rule,
                    table: *table,
                    name: name.clone(),
                });
            }
        }
        found
    }

    /// Regular chains that no base chain reaches.
    pub fn unreachable(&self, ruleset: &Ruleset) -> Vec<ChainId> {
        let roots = ruleset
            .chains()
            .filter(|(_, chain)| chain.base.is_some())
            .map(|(id, _)| id);
        let reached = self.reached(roots);
        ruleset
            .chains()
            .filter(|(id, chain)| chain.base.is_none() && !reached.contains(id))
            .map(|(id, _)| id)
            .collect()
    }

    /// These chains and all that they call, directly or through others.
    pub fn reached(&self, from: impl IntoIterator<Item = ChainId>) -> HashSet<ChainId> {
        let mut dfs = Dfs::empty(&self.graph);
        let mut reached = HashSet::new();
        for chain in from {
            dfs.move_to(self.chains[chain.index()]);
            while let Some(node) = dfs.next(&self.graph) {
                reached.extend(self.chain_at(node));
            }
        }
        reached
    }

    /// The hooks from which a chain is reached.
    pub fn reached_from(&self, chain: ChainId) -> Vec<(Pf, Hook)> {
        let mut dfs = Dfs::new(Reversed(&self.graph), self.chains[chain.index()]);
        let mut found = HashSet::new();
        while let Some(node) = dfs.next(Reversed(&self.graph)) {
            // What is before a hook is a hook of its own; only the edges into chains count.
            for edge in self.graph.edges_directed(node, Direction::Incoming) {
                if let (Edge::Runs { .. }, Node::Stage { pf, hook } | Node::Core { pf, hook, .. }) =
                    (edge.weight(), &self.graph[edge.source()])
                    && matches!(self.graph[node], Node::Chain(_))
                {
                    found.insert((*pf, *hook));
                }
            }
        }
        FAMILIES
            .into_iter()
            .flat_map(|pf| Hook::ALL.map(|hook| (pf, hook)))
            .filter(|at| found.contains(at))
            .collect()
    }

    /// Regular chains without a rule: a call of one does nothing.
    pub fn empty(&self, ruleset: &Ruleset) -> Vec<ChainId> {
        ruleset
            .chains()
            .filter(|(_, chain)| chain.base.is_none() && chain.rules.is_empty())
            .map(|(id, _)| id)
            .collect()
    }

    /// Chains of tables with the `dormant` flag, which never run.
    pub fn dormant(&self, ruleset: &Ruleset) -> Vec<ChainId> {
        ruleset
            .chains()
            .filter(|(id, _)| ruleset.table_of(*id).dormancy == Dormancy::Dormant)
            .map(|(id, _)| id)
            .collect()
    }

    /// What is remarkable about the graph.
    pub fn diagnostics(&self, ruleset: &Ruleset) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for cycle in self.cycles() {
            let names = names(ruleset, &cycle);
            let table = table_words(ruleset, ruleset.chain(cycle[0]).table);
            let first = &ruleset.chain(cycle[0]).name;
            found.push(Diagnostic::warning(
                SOURCE,
                match cycle.len() {
                    1 => format!("table {table}: chain `{first}` calls itself; the kernel refuses such a ruleset"),
                    _ => format!("table {table}: chains call each other in a circle: {names}; the kernel refuses such a ruleset"),
                },
            ));
        }
        for dangling in self.dangling() {
            let rule = ruleset.rule(dangling.rule);
            found.push(Diagnostic::warning(
                SOURCE,
                format!(
                    "table {}: rule {} of chain `{}` goes to chain `{}`, which is not in the listing",
                    table_words(ruleset, dangling.table),
                    rule_words(ruleset, dangling.rule),
                    ruleset.chain(rule.chain).name,
                    dangling.name,
                ),
            ));
        }
        for tie in &self.ties {
            // An inet pair ties in both families; once is enough.
            let again = tie.pf == Pf::Ip6
                && self.ties.iter().any(|other| {
                    other.pf == Pf::Ip
                        && (other.hook, other.first, other.second)
                            == (tie.hook, tie.first, tie.second)
                });
            if !again {
                let priority = ruleset
                    .chain(tie.first)
                    .base
                    .as_ref()
                    .map_or(0, |base| base.priority);
                found.push(Diagnostic::note(
                    SOURCE,
                    format!(
                        "{} {}: `{}` and `{}` both have priority {priority}; a listing does not say which runs \
                         first, the one listed later is taken",
                        family_words(tie.pf),
                        tie.hook,
                        chain_words(ruleset, tie.first),
                        chain_words(ruleset, tie.second),
                    ),
                ));
            }
        }
        let unreachable = self.unreachable(ruleset);
        for (index, table) in ruleset.tables.iter().enumerate() {
            let words = table_words(ruleset, TableId(index as u32));
            match table.dormancy {
                Dormancy::Dormant => found.push(Diagnostic::note(
                    SOURCE,
                    format!("table {words} is dormant: none of its chains runs"),
                )),
                Dormancy::Possibly => found.push(Diagnostic::note(
                    SOURCE,
                    format!(
                        "table {words} has flags that this nft does not list reliably; it may be dormant"
                    ),
                )),
                Dormancy::Active => {}
            }
            let chains: Vec<ChainId> = unreachable
                .iter()
                .copied()
                .filter(|&id| ruleset.chain(id).table.index() == index)
                .collect();
            if !chains.is_empty() {
                found.push(Diagnostic::note(
                    SOURCE,
                    format!(
                        "table {words}: no base chain reaches {} {}",
                        if chains.len() == 1 { "chain" } else { "chains" },
                        names(ruleset, &chains),
                    ),
                ));
            }
        }
        found
    }

    fn chain_at(&self, node: NodeIndex) -> Option<ChainId> {
        match self.graph[node] {
            Node::Chain(id) => Some(id),
            _ => None,
        }
    }

    fn node(&mut self, node: Node) -> NodeIndex {
        if let Some(&index) = self.nodes.get(&node) {
            return index;
        }
        let index = self.graph.add_node(node.clone());
        self.nodes.insert(node, index);
        index
    }

    fn add_stages(&mut self) {
        for stage in self.stages.clone() {
            let Stage { pf, hook, slots } = stage;
            let from = self.node(Node::Stage { pf, hook });
            for (position, slot) in slots.iter().enumerate() {
                let core = |core| Node::Core { pf, hook, core };
                let node = match &slot.work {
                    Work::Defrag => core(Core::Defrag),
                    Work::Conntrack => core(Core::Conntrack),
                    Work::Confirm => core(Core::Confirm),
                    Work::Nat(_) => core(Core::NatDispatcher),
                    Work::Chain(id) => Node::Chain(*id),
                };
                let priority = slot.priority;
                let to = self.node(node);
                self.graph
                    .add_edge(from, to, Edge::Runs { position, priority });
                if let Work::Nat(chains) = &slot.work {
                    for (position, &id) in chains.iter().enumerate() {
                        let chain = self.chains[id.index()];
                        self.graph
                            .add_edge(to, chain, Edge::Runs { position, priority });
                    }
                }
            }
        }
    }

    /// The order of a packet's life in every family that has hooks; hooks where nothing runs are stepped over.
    fn add_flow(&mut self) {
        let present: Vec<Pf> = FAMILIES
            .into_iter()
            .filter(|pf| self.stages.iter().any(|stage| stage.pf == *pf))
            .collect();
        for &pf in &present {
            // Beside other families, those stand between ingress and egress.
            let joined = pf == Pf::Netdev && present.len() > 1;
            let flow = if joined { JOINED } else { flow(pf) };
            let mut queue: Vec<At> = flow
                .iter()
                .map(|(from, _)| *from)
                .filter(|at| flow.iter().all(|(_, to)| to != at))
                .filter(|at| match at {
                    At::Spot(_) => !joined || self.stage(pf, Hook::Ingress).is_some(),
                    At::Hook(hook) => self.stage(pf, *hook).is_some(),
                })
                .collect();
            let mut seen = HashSet::new();
            while let Some(at) = queue.pop() {
                if !seen.insert(at) {
                    continue;
                }
                let from = self.place(pf, at);
                for to in self.after(pf, flow, at) {
                    let target = self.place(pf, to);
                    self.graph.update_edge(from, target, Edge::Next);
                    queue.push(to);
                }
            }
        }
        if present.contains(&Pf::Netdev) && present.len() > 1 {
            self.join_netdev(&present);
        }
    }

    /// Devices come before and after the other families.
    fn join_netdev(&mut self, present: &[Pf]) {
        let ingress = self.index_of(&Node::Stage {
            pf: Pf::Netdev,
            hook: Hook::Ingress,
        });
        let egress = self.index_of(&Node::Stage {
            pf: Pf::Netdev,
            hook: Hook::Egress,
        });
        for &pf in present.iter().filter(|&&pf| pf != Pf::Netdev) {
            let spot = |spot| Node::Spot { pf, spot };
            if let (Some(from), Some(to)) = (ingress, self.index_of(&spot(Spot::Arrives))) {
                self.graph.update_edge(from, to, Edge::Next);
            }
            if let (Some(from), Some(to)) = (self.index_of(&spot(Spot::Leaves)), egress) {
                self.graph.update_edge(from, to, Edge::Next);
            }
        }
    }

    fn place(&mut self, pf: Pf, at: At) -> NodeIndex {
        self.node(match at {
            At::Spot(spot) => Node::Spot { pf, spot },
            At::Hook(hook) => Node::Stage { pf, hook },
        })
    }

    /// What follows a place, with hooks where nothing runs stepped over.
    fn after(&self, pf: Pf, flow: &[(At, At)], at: At) -> Vec<At> {
        let mut found = Vec::new();
        for &(from, to) in flow {
            if from != at {
                continue;
            }
            match to {
                At::Hook(hook) if self.stage(pf, hook).is_none() => {
                    found.extend(self.after(pf, flow, to));
                }
                to => found.push(to),
            }
        }
        found
    }

    fn add_calls(&mut self, ruleset: &Ruleset, rule: RuleId) {
        let chain = ruleset.rule(rule).chain;
        let mut seen = HashSet::new();
        for (verdict, via_map) in verdicts(ruleset, rule) {
            let (target, goto) = match verdict {
                Verdict::Jump(target) => (target, false),
                Verdict::Goto(target) => (target, true),
                Verdict::Accept | Verdict::Drop | Verdict::Continue | Verdict::Return => continue,
            };
            let to = match target {
                Target::Chain(id) => self.chains[id.index()],
                Target::Missing(name) => self.node(Node::Missing {
                    table: ruleset.chain(chain).table,
                    name: name.clone(),
                }),
            };
            if seen.insert((to, goto, via_map)) {
                let from = self.chains[chain.index()];
                self.graph.add_edge(
                    from,
                    to,
                    Edge::Calls {
                        rule,
                        goto,
                        via_map,
                    },
                );
            }
        }
    }
}

const SOURCE: &str = "ruleset";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    Spot(Spot),
    Hook(Hook),
}

/// The order of hooks and places in a packet's life (`nf_hook` calls of ip_input.c, ip_forward.c, ip_output.c,
/// br_input.c, br_forward.c, arp.c, and dev.c for netdev).
fn flow(pf: Pf) -> &'static [(At, At)] {
    const fn spot(spot: Spot) -> At {
        At::Spot(spot)
    }
    const fn hook(hook: Hook) -> At {
        At::Hook(hook)
    }
    const STACK: &[(At, At)] = &[
        (spot(Spot::Arrives), hook(Hook::Prerouting)),
        (hook(Hook::Prerouting), spot(Spot::Routing)),
        (spot(Spot::Routing), hook(Hook::Input)),
        (spot(Spot::Routing), hook(Hook::Forward)),
        (hook(Hook::Input), spot(Spot::Local)),
        (spot(Spot::Sends), hook(Hook::Output)),
        (hook(Hook::Forward), hook(Hook::Postrouting)),
        (hook(Hook::Output), hook(Hook::Postrouting)),
        (hook(Hook::Postrouting), spot(Spot::Leaves)),
    ];
    const ARP: &[(At, At)] = &[
        (spot(Spot::Arrives), hook(Hook::Input)),
        (hook(Hook::Input), spot(Spot::Local)),
        (spot(Spot::Sends), hook(Hook::Output)),
        (hook(Hook::Output), spot(Spot::Leaves)),
    ];
    const NETDEV: &[(At, At)] = &[
        (spot(Spot::Arrives), hook(Hook::Ingress)),
        (hook(Hook::Ingress), spot(Spot::Local)),
        (spot(Spot::Local), hook(Hook::Egress)),
        (hook(Hook::Egress), spot(Spot::Leaves)),
    ];
    match pf {
        Pf::Ip | Pf::Ip6 | Pf::Bridge => STACK,
        Pf::Arp => ARP,
        Pf::Netdev => NETDEV,
    }
}

/// netdev beside other families.
const JOINED: &[(At, At)] = &[
    (At::Spot(Spot::Arrives), At::Hook(Hook::Ingress)),
    (At::Hook(Hook::Egress), At::Spot(Spot::Leaves)),
];

/// Every verdict of a rule, with true for those in verdict maps.
fn verdicts(ruleset: &Ruleset, rule: RuleId) -> Vec<(&Verdict, bool)> {
    let mut found = Vec::new();
    for statement in &ruleset.rule(rule).statements {
        match &statement.kind {
            Stmt::Verdict(verdict) => found.push((verdict, false)),
            Stmt::Vmap { map, .. } => {
                for datum in ruleset.set(*map).data() {
                    if let Data::Verdict(verdict) = datum {
                        found.push((verdict, true));
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// A protocol family in words for people.
pub fn family_words(pf: Pf) -> &'static str {
    match pf {
        Pf::Ip => "IPv4",
        Pf::Ip6 => "IPv6",
        Pf::Bridge => "bridge",
        Pf::Arp => "ARP",
        Pf::Netdev => "netdev",
    }
}

/// A table as nft names it: `inet filter`.
pub fn table_words(ruleset: &Ruleset, table: TableId) -> String {
    let table = ruleset.table(table);
    format!("{} {}", table.family, table.name)
}

/// A rule by its handle, or by its position from 1 where the listing has no handles.
pub fn rule_words(ruleset: &Ruleset, rule: RuleId) -> String {
    let rule = ruleset.rule(rule);
    match rule.handle.0 {
        0 => format!("no. {}", rule.index + 1),
        _ => rule.handle.to_string(),
    }
}

fn chain_words(ruleset: &Ruleset, chain: ChainId) -> String {
    let table = table_words(ruleset, ruleset.chain(chain).table);
    format!("{table} {}", ruleset.chain(chain).name)
}

/// Names of chains, shortened after the tenth.
fn names(ruleset: &Ruleset, chains: &[ChainId]) -> String {
    const MOST: usize = 10;
    let mut words: Vec<String> = chains
        .iter()
        .take(MOST)
        .map(|&id| format!("`{}`", ruleset.chain(id).name))
        .collect();
    if chains.len() > MOST {
        words.push(format!("and {} more", chains.len() - MOST));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests;
