//! What a drawing of the hook graph shows: which families and hooks, where each chain stands, what is drawn as one.
//!
//! Every form of drawing follows the same plan, so that they show the same. A base chain of an inet table runs in two
//! families but its calls are drawn once, at its home, the first family shown. Chains that nothing is lost by leaving out
//! are folded into others, and the plan says so in [`Plan::notes`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use indexmap::IndexMap;
use petgraph::graph::NodeIndex;
use petgraph::visit::EdgeRef;

use super::{Edge, HookGraph, Node, family_words};
use crate::eval::Pf;
use crate::hooks::{FAMILIES, Work, belongs};
use crate::ruleset::{ChainId, Dormancy, Hook, Name, RuleId, Ruleset, TableId};

/// Above this many regular chains, empty chains are only counted at their callers.
pub const FOLD_EMPTY_ABOVE: usize = 30;
/// Above this many chains left, those of a common prefix are drawn as one.
pub const GROUP_ABOVE: usize = 160;
/// The fewest chains that are drawn as one.
const GROUP_OF: usize = 8;

/// How many chains are drawn as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Collapse {
    /// As the size of the ruleset asks for.
    #[default]
    Auto,
    /// Every chain is drawn.
    Never,
}

/// What is asked of a plan.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Families to show; `None`: all that have chains.
    pub families: Option<Vec<Pf>>,
    /// The family where calls of inet chains are drawn.
    pub home: Option<Pf>,
    pub collapse: Collapse,
    /// Chains that are never drawn as one with others; empty ones are only counted all the same.
    pub keep: HashSet<ChainId>,
}

/// A family, or two whose hooks run the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Never empty.
    pub families: Vec<Pf>,
    pub hooks: Vec<Hook>,
}

impl Section {
    /// The family that stands for all of this section.
    pub fn pf(&self) -> Pf {
        self.families[0]
    }

    /// `IPv4 and IPv6`.
    pub fn title(&self) -> String {
        let words: Vec<&str> = self.families.iter().map(|&pf| family_words(pf)).collect();
        words.join(" and ")
    }
}

/// Where in a drawing an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Reached from this hook of the section at this position only.
    Hook(usize, Hook),
    /// Reached from several hooks of one section.
    Section(usize),
    /// Reached from several sections.
    Shared,
    /// Reached from no base chain.
    Unreachable,
    /// In a table that is switched off.
    Dormant,
}

/// One thing to draw that is not a base chain at its hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub place: Place,
    pub table: TableId,
    pub kind: ItemKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemKind {
    Chain(ChainId),
    /// Chains whose names begin alike.
    Group {
        prefix: String,
        chains: Vec<ChainId>,
    },
    Missing(Name),
}

/// One end of a drawn call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// A base chain at its hook in the section at this position.
    Base(usize, Hook, ChainId),
    /// The item at this position.
    Item(usize),
}

/// All calls between two things of a drawing, of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub from: End,
    pub to: End,
    pub goto: bool,
    /// Some of the calls are made through a verdict map.
    pub via_map: bool,
    pub rules: Vec<RuleId>,
}

/// What a drawing shows.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub sections: Vec<Section>,
    pub items: Vec<Item>,
    pub calls: Vec<Call>,
    /// How many empty chains are only counted, by caller.
    pub folded: HashMap<ChainId, usize>,
    /// What was left out or drawn as one, a line each.
    pub notes: Vec<String>,
    homes: HashMap<ChainId, (usize, Hook)>,
    items_of: HashMap<ChainId, usize>,
}

impl Plan {
    /// Plans a drawing.
    pub fn new(graph: &HookGraph, ruleset: &Ruleset, wanted: &Wanted) -> Plan {
        let mut plan = Plan {
            sections: sections(graph, wanted),
            ..Plan::default()
        };
        plan.find_homes(graph);
        let (places, missing) = plan.places(graph, ruleset);
        let regular = places.len();
        let folded = plan.fold(graph, ruleset, wanted, &places);
        let left: Vec<(ChainId, Place)> = places
            .into_iter()
            .filter(|(id, _)| !folded.contains(id))
            .collect();
        plan.add_items(ruleset, wanted, left, regular);
        for ((table, name), place) in missing {
            plan.items.push(Item {
                place,
                table,
                kind: ItemKind::Missing(name),
            });
        }
        plan.add_calls(graph, ruleset);
        plan
    }

    /// Where the calls of a base chain are drawn.
    pub fn home(&self, chain: ChainId) -> Option<(usize, Hook)> {
        self.homes.get(&chain).copied()
    }

    /// What stands for a chain.
    pub fn end_of(&self, chain: ChainId) -> Option<End> {
        if let Some((section, hook)) = self.home(chain) {
            return Some(End::Base(section, hook, chain));
        }
        self.items_of.get(&chain).map(|&item| End::Item(item))
    }

    /// The section that shows a family.
    pub fn section_of(&self, pf: Pf) -> Option<usize> {
        self.sections
            .iter()
            .position(|section| section.families.contains(&pf))
    }

    fn find_homes(&mut self, graph: &HookGraph) {
        for (index, section) in self.sections.iter().enumerate() {
            for &hook in &section.hooks {
                let Some(stage) = graph.stage(section.pf(), hook) else {
                    continue;
                };
                for slot in &stage.slots {
                    let chains = match &slot.work {
                        Work::Chain(id) => std::slice::from_ref(id),
                        Work::Nat(chains) => chains,
                        Work::Defrag | Work::Conntrack | Work::Confirm => continue,
                    };
                    for &id in chains {
                        self.homes.entry(id).or_insert((index, hook));
                    }
                }
            }
        }
    }

    /// Where each chain that is no row of a hook stands, and each missing one; those of families that are not shown
    /// are left out.
    #[allow(clippy::type_complexity)]
    fn places(
        &self,
        graph: &HookGraph,
        ruleset: &Ruleset,
    ) -> (Vec<(ChainId, Place)>, BTreeMap<(TableId, Name), Place>) {
        let mut reached: HashMap<NodeIndex, BTreeSet<(usize, Hook)>> = HashMap::new();
        let mut homes: Vec<_> = self.homes.iter().collect();
        homes.sort();
        for (&chain, &at) in homes {
            for node in called_from(graph, chain) {
                reached.entry(node).or_default().insert(at);
            }
        }
        let place = |node: NodeIndex| {
            let at = reached.get(&node)?;
            let &(section, hook) = at.first()?;
            Some(match at.len() {
                1 => Place::Hook(section, hook),
                _ if at.iter().all(|(other, _)| *other == section) => Place::Section(section),
                _ => Place::Shared,
            })
        };
        let unreachable: HashSet<ChainId> = graph.unreachable(ruleset).into_iter().collect();
        let shown = |table: TableId| {
            let family = ruleset.table(table).family;
            self.sections.is_empty()
                || self.sections.iter().any(|section| {
                    section.families.iter().any(|&pf| {
                        belongs(family, Hook::Forward, pf) || belongs(family, Hook::Ingress, pf)
                    })
                })
        };
        let mut chains = Vec::new();
        for (id, chain) in ruleset.chains() {
            if self.homes.contains_key(&id) {
                continue;
            }
            let dormant = ruleset.table(chain.table).dormancy == Dormancy::Dormant;
            if dormant {
                if shown(chain.table) {
                    chains.push((id, Place::Dormant));
                }
            } else if unreachable.contains(&id) {
                if shown(chain.table) {
                    chains.push((id, Place::Unreachable));
                }
            } else if let Some(node) = graph.index_of(&Node::Chain(id))
                && let Some(place) = place(node)
            {
                chains.push((id, place));
            }
        }
        let mut missing = BTreeMap::new();
        let drawn: HashMap<ChainId, Place> = chains.iter().copied().collect();
        for dangling in graph.dangling() {
            let caller = ruleset.rule(dangling.rule).chain;
            let node = graph.index_of(&Node::Missing {
                table: dangling.table,
                name: dangling.name.clone(),
            });
            let place = node.and_then(place).or_else(|| drawn.get(&caller).copied());
            if let Some(place) = place {
                missing.insert((dangling.table, dangling.name), place);
            }
        }
        (chains, missing)
    }

    /// Counts empty chains at their callers.
    fn fold(
        &mut self,
        graph: &HookGraph,
        ruleset: &Ruleset,
        wanted: &Wanted,
        places: &[(ChainId, Place)],
    ) -> HashSet<ChainId> {
        let mut folded = HashSet::new();
        if wanted.collapse == Collapse::Never || places.len() <= FOLD_EMPTY_ABOVE {
            return folded;
        }
        for &(id, _) in places {
            let chain = ruleset.chain(id);
            if chain.base.is_some() || !chain.rules.is_empty() {
                continue;
            }
            let callers = graph.callers(id);
            for &caller in &callers {
                *self.folded.entry(caller).or_default() += 1;
            }
            if !callers.is_empty() {
                folded.insert(id);
            }
        }
        if !folded.is_empty() {
            self.notes.push(format!(
                "empty chains that are not drawn, only counted at their callers (“+ n empty”): {}",
                folded.len()
            ));
        }
        folded
    }

    fn add_items(
        &mut self,
        ruleset: &Ruleset,
        wanted: &Wanted,
        left: Vec<(ChainId, Place)>,
        regular: usize,
    ) {
        let grouping = wanted.collapse == Collapse::Auto && left.len() > GROUP_ABOVE;
        let prefixes = if grouping {
            prefixes(ruleset, wanted, &left)
        } else {
            HashMap::new()
        };
        let mut groups: IndexMap<(Place, TableId, String), usize> = IndexMap::new();
        let mut grouped = 0;
        for (id, place) in left {
            let table = ruleset.chain(id).table;
            let kind = match prefixes.get(&id) {
                None => ItemKind::Chain(id),
                Some(prefix) => {
                    grouped += 1;
                    let key = (place, table, prefix.clone());
                    if let Some(&item) = groups.get(&key) {
                        if let ItemKind::Group { chains, .. } = &mut self.items[item].kind {
                            chains.push(id);
                        }
                        self.items_of.insert(id, item);
                        continue;
                    }
                    groups.insert(key, self.items.len());
                    ItemKind::Group {
                        prefix: prefix.clone(),
                        chains: vec![id],
                    }
                }
            };
            self.items_of.insert(id, self.items.len());
            self.items.push(Item { place, table, kind });
        }
        if grouped > 0 {
            self.notes.push(format!(
                "{grouped} of {regular} chains are drawn as {} groups of a common prefix (“prefix…”)",
                groups.len()
            ));
        }
    }

    fn add_calls(&mut self, graph: &HookGraph, ruleset: &Ruleset) {
        let missing: HashMap<(TableId, &Name), usize> = self
            .items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| match &item.kind {
                ItemKind::Missing(name) => Some(((item.table, name), index)),
                ItemKind::Chain(_) | ItemKind::Group { .. } => None,
            })
            .collect();
        let mut calls: IndexMap<(End, End, bool), Call> = IndexMap::new();
        for (id, _) in ruleset.chains() {
            let Some(from) = self.end_of(id) else {
                continue;
            };
            for (rule, target, goto, via_map) in graph.calls_from(id) {
                let to = match target {
                    Node::Chain(id) => self.end_of(*id),
                    Node::Missing { table, name } => {
                        missing.get(&(*table, name)).map(|&item| End::Item(item))
                    }
                    Node::Spot { .. } | Node::Stage { .. } | Node::Core { .. } => None,
                };
                let Some(to) = to else { continue };
                if from == to
                    && let End::Item(item) = to
                    && matches!(self.items[item].kind, ItemKind::Group { .. })
                {
                    continue;
                }
                let call = calls.entry((from, to, goto)).or_insert_with(|| Call {
                    from,
                    to,
                    goto,
                    via_map: false,
                    rules: Vec::new(),
                });
                call.via_map |= via_map;
                // The calls of one rule stand together.
                if call.rules.last() != Some(&rule) {
                    call.rules.push(rule);
                }
            }
        }
        self.calls = calls.into_values().collect();
    }
}

/// The families to show, the two of IP as one where the same chains run in both.
fn sections(graph: &HookGraph, wanted: &Wanted) -> Vec<Section> {
    let hooks = |pf: Pf| -> Vec<Hook> {
        let stages = graph.stages().iter().filter(|stage| stage.pf == pf);
        stages.map(|stage| stage.hook).collect()
    };
    let runs_chains = |pf: Pf| {
        graph.stages().iter().any(|stage| {
            stage.pf == pf
                && stage.slots.iter().any(|slot| match &slot.work {
                    Work::Chain(_) => true,
                    Work::Nat(chains) => !chains.is_empty(),
                    Work::Defrag | Work::Conntrack | Work::Confirm => false,
                })
        })
    };
    let same = |a: Pf, b: Pf| {
        hooks(a) == hooks(b)
            && hooks(a).into_iter().all(|hook| {
                graph.stage(a, hook).map(|stage| &stage.slots)
                    == graph.stage(b, hook).map(|stage| &stage.slots)
            })
    };
    let mut families: Vec<Pf> = FAMILIES
        .into_iter()
        .filter(|pf| {
            wanted
                .families
                .as_ref()
                .is_none_or(|wanted| wanted.contains(pf))
        })
        .filter(|&pf| runs_chains(pf))
        .collect();
    if let Some(home) = wanted.home {
        families.sort_by_key(|&pf| pf != home);
    }
    let mut sections: Vec<Section> = Vec::new();
    for pf in families {
        let ip = |pf| matches!(pf, Pf::Ip | Pf::Ip6);
        let twin = sections
            .iter_mut()
            .find(|section| ip(pf) && ip(section.pf()) && same(section.pf(), pf));
        match twin {
            Some(section) => section.families.push(pf),
            None => sections.push(Section {
                families: vec![pf],
                hooks: hooks(pf),
            }),
        }
    }
    sections
}

/// The nodes that a chain's calls lead to, itself included.
fn called_from(graph: &HookGraph, chain: ChainId) -> HashSet<NodeIndex> {
    let mut seen = HashSet::new();
    let mut open: Vec<NodeIndex> = graph.index_of(&Node::Chain(chain)).into_iter().collect();
    while let Some(node) = open.pop() {
        if seen.insert(node) {
            let calls = graph
                .graph
                .edges(node)
                .filter(|edge| matches!(edge.weight(), Edge::Calls { .. }));
            open.extend(calls.map(|edge| edge.target()));
        }
    }
    seen
}

/// The prefix under which each chain is drawn together with others of its place and table: the longest that ends at
/// a separator and that enough of them share, or else one before a digit.
fn prefixes(
    ruleset: &Ruleset,
    wanted: &Wanted,
    chains: &[(ChainId, Place)],
) -> HashMap<ChainId, String> {
    let mut found = HashMap::new();
    for cut in [at_separators, before_digits, nowhere] {
        let mut members: BTreeMap<(Place, TableId, &str), Vec<ChainId>> = BTreeMap::new();
        for &(id, place) in chains {
            let chain = ruleset.chain(id);
            if wanted.keep.contains(&id) || chain.base.is_some() || found.contains_key(&id) {
                continue;
            }
            for prefix in cut(&chain.name) {
                let key = (place, chain.table, prefix);
                members.entry(key).or_default().push(id);
            }
        }
        let mut groups: Vec<_> = members.into_iter().collect();
        // The longest first, so that a shorter one only gets what is left.
        groups.sort_by_key(|((_, _, prefix), _)| std::cmp::Reverse(prefix.len()));
        for ((_, _, prefix), mut ids) in groups {
            ids.retain(|id| !found.contains_key(id));
            // Without anything in common only a crowd is drawn as one.
            let enough = if prefix.is_empty() {
                GROUP_ABOVE / 2
            } else {
                GROUP_OF
            };
            if ids.len() >= enough {
                found.extend(ids.into_iter().map(|id| (id, prefix.to_owned())));
            }
        }
    }
    found
}

fn at_separators(name: &str) -> Vec<&str> {
    const SEPARATORS: [char; 5] = ['-', '_', '.', ':', '/'];
    let ends = name
        .match_indices(SEPARATORS)
        .map(|(at, mark)| at + mark.len());
    ends.filter(|&end| end < name.len())
        .map(|end| &name[..end])
        .collect()
}

fn before_digits(name: &str) -> Vec<&str> {
    let digits = name.match_indices(|c: char| c.is_ascii_digit());
    let starts = digits
        .map(|(at, _)| at)
        .filter(|&at| at > 0 && !name.as_bytes()[at - 1].is_ascii_digit());
    starts.map(|at| &name[..at]).collect()
}

fn nowhere(_: &str) -> Vec<&str> {
    vec![""]
}
