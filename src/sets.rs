//! Sets of packets, and what can be asked of them: reduced ordered binary decision diagrams in one arena.
//!
//! A [`Set`] is a handle into its [`Sets`]; equal sets have equal handles, so "is it empty", "are they equal" cost nothing.
//! A set is the same thing as a yes-or-no function of variables; what the variables mean is the caller's business, and
//! variables are ordered by when they were made. Edges may be complemented, so a negation costs nothing either.
//!
//! Nothing is freed before the whole arena is, but for what [`Sets::release`] is asked to forget. An arena has a limit of
//! nodes: behind it every operation gives the empty set at once and [`Sets::check`] says so, so a caller that looks at nothing
//! before it has checked is never lied to.
//!
//! docs/architecture.md says why this is no crate.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::logic::{Ranges, max_of};

/// A set of packets; only of use with the [`Sets`] that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Set(u32);

impl Default for Set {
    fn default() -> Set {
        Set::NONE
    }
}

impl Set {
    /// Every packet.
    pub const ALL: Set = Set(0);
    /// No packet.
    pub const NONE: Set = Set(1);

    pub fn is_empty(self) -> bool {
        self == Set::NONE
    }

    pub fn is_all(self) -> bool {
        self == Set::ALL
    }

    /// What is not in the set.
    #[must_use]
    #[expect(clippy::should_implement_trait)]
    pub fn not(self) -> Set {
        Set(self.0 ^ 1)
    }

    fn node(self) -> usize {
        (self.0 >> 1) as usize
    }

    fn is_complement(self) -> bool {
        self.0 & 1 == 1
    }

    fn complement_if(self, complement: bool) -> Set {
        Set(self.0 ^ u32::from(complement))
    }
}

/// One yes-or-no property; earlier ones stand nearer to the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Var(u32);

impl Var {
    /// How many variables were made before it.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Why there is no answer. One line, lower case, no final period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GaveUp {
    #[error("the sets of packets grow beyond {nodes} nodes")]
    TooLarge { nodes: usize },
    #[error("interrupted")]
    Interrupted,
}

/// How much an arena may hold, and who may stop it.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Nodes; each takes about 25 bytes with its share of the tables.
    pub nodes: usize,
    /// Asked now and then; once it says yes the arena is of no use any more.
    pub interrupted: fn() -> bool,
}

impl Room {
    /// So many nodes, and nobody stops it.
    pub fn of(nodes: usize) -> Room {
        Room {
            nodes,
            interrupted: || false,
        }
    }
}

impl Default for Room {
    fn default() -> Room {
        Room::of(NODES)
    }
}

#[derive(Debug, Clone, Copy)]
struct Node {
    var: u32,
    low: Set,
    /// Never complemented, so that every set has one form.
    high: Set,
}

/// The variable of the two constants: behind all others.
const CONSTANT: u32 = u32::MAX;

/// Kinds of cached operations; they stand in place of a third operand.
const AND: u32 = u32::MAX;
const XOR: u32 = u32::MAX - 1;
const EXISTS: u32 = u32::MAX - 2;
const RESTRICT: u32 = u32::MAX - 3;
const SIMPLIFY: u32 = u32::MAX - 4;

#[derive(Debug, Clone, Copy)]
struct Cached {
    key: (u32, u32, u32),
    result: Set,
}

const NO_KEY: (u32, u32, u32) = (u32::MAX, u32::MAX, u32::MAX);

/// One packet: a value for each variable, no where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Point {
    yes: Vec<bool>,
}

impl Point {
    pub fn get(&self, var: Var) -> bool {
        self.yes.get(var.index()).copied().unwrap_or(false)
    }

    pub fn set(&mut self, var: Var, yes: bool) {
        if self.yes.len() <= var.index() {
            self.yes.resize(var.index() + 1, false);
        }
        self.yes[var.index()] = yes;
    }
}

/// One part of a set by the values of some variables: which values, and what else holds there.
pub type Part = (Ranges, Set);

/// The arena of all sets that may be combined.
#[derive(Debug)]
pub struct Sets {
    nodes: Vec<Node>,
    /// Open addressing: positions in `nodes`, 0 for a free place.
    unique: Vec<u32>,
    cache: Vec<Cached>,
    variables: u32,
    room: Room,
    full: bool,
    interrupted: bool,
    forgotten: usize,
}

/// After how many new nodes it is asked whether to go on.
const PAUSE: usize = 1 << 16;

/// What an arena held at some time.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    nodes: usize,
}

/// How many nodes an arena may have unless said otherwise: about 1.6 GB.
pub const NODES: usize = 64_000_000;

impl Default for Sets {
    fn default() -> Sets {
        Sets::new(Room::default())
    }
}

impl Sets {
    /// An empty arena.
    pub fn new(room: Room) -> Sets {
        Sets {
            nodes: vec![Node {
                var: CONSTANT,
                low: Set::ALL,
                high: Set::ALL,
            }],
            unique: vec![0; 1 << 12],
            cache: vec![
                Cached {
                    key: NO_KEY,
                    result: Set::ALL
                };
                1 << 12
            ],
            variables: 0,
            room: Room {
                nodes: room.nodes.min(1 << 30),
                ..room
            },
            full: false,
            interrupted: false,
            forgotten: 0,
        }
    }

    /// How often sets were forgotten ([`Sets::release`]): a set from before may not be there any more.
    pub fn forgotten(&self) -> usize {
        self.forgotten
    }

    /// Whether everything that was computed so far is what was asked for.
    pub fn check(&self) -> Result<(), GaveUp> {
        if self.interrupted {
            Err(GaveUp::Interrupted)
        } else if self.full {
            Err(GaveUp::TooLarge {
                nodes: self.room.nodes,
            })
        } else {
            Ok(())
        }
    }

    /// Gives room for so many nodes, at least for those that there are.
    pub fn raise(&mut self, limit: usize) {
        self.room.nodes = self.room.nodes.max(limit.min(1 << 30));
    }

    /// What there is now, to come back to.
    pub fn mark(&self) -> Mark {
        Mark {
            nodes: self.nodes.len(),
        }
    }

    /// Forgets all sets made since, which must not be used any more, when they take room that may be needed: more than an
    /// eighth of what there is. An arena that was full since is not any longer.
    pub fn release(&mut self, mark: Mark) {
        let new = self.nodes.len().saturating_sub(mark.nodes);
        if self.interrupted || new <= self.room.nodes / 8 && !self.full {
            return;
        }
        self.nodes.truncate(mark.nodes.max(1));
        self.forgotten += 1;
        self.full = false;
        self.cache.fill(Cached {
            key: NO_KEY,
            result: Set::ALL,
        });
        self.unique = unique(&self.nodes, self.unique.len());
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// A new variable, behind all that there are.
    pub fn variable(&mut self) -> Var {
        self.variables += 1;
        Var(self.variables - 1)
    }

    /// So many new variables, in order.
    pub fn variables(&mut self, count: usize) -> Vec<Var> {
        (0..count).map(|_| self.variable()).collect()
    }

    /// Where a variable is yes.
    pub fn of(&mut self, var: Var) -> Set {
        self.make(var.0, Set::NONE, Set::ALL)
    }

    /// Whether a set is where one variable has one value.
    pub fn is_variable(&self, set: Set) -> bool {
        let node = self.nodes[set.node()];
        node.low.node() == 0 && node.high.node() == 0 && set.node() != 0
    }

    fn var(&self, set: Set) -> u32 {
        self.nodes[set.node()].var
    }

    /// Both cofactors of a set by a variable that is not behind its first one.
    fn cofactors(&self, set: Set, var: u32) -> (Set, Set) {
        let node = self.nodes[set.node()];
        if node.var != var {
            return (set, set);
        }
        let complement = set.is_complement();
        (
            node.low.complement_if(complement),
            node.high.complement_if(complement),
        )
    }

    fn make(&mut self, var: u32, low: Set, high: Set) -> Set {
        if low == high {
            return low;
        }
        if high.is_complement() {
            return self.make_regular(var, low.not(), high.not()).not();
        }
        self.make_regular(var, low, high)
    }

    fn make_regular(&mut self, var: u32, low: Set, high: Set) -> Set {
        let mask = self.unique.len() - 1;
        let mut at = hash(var, low.0, high.0) & mask;
        loop {
            let found = self.unique[at];
            if found == 0 {
                break;
            }
            let node = self.nodes[found as usize];
            if node.var == var && node.low == low && node.high == high {
                return Set(found << 1);
            }
            at = (at + 1) & mask;
        }
        if self.nodes.len() >= self.room.nodes {
            self.full = true;
            return Set::NONE;
        }
        if self.nodes.len().is_multiple_of(PAUSE) && (self.room.interrupted)() {
            self.interrupted = true;
            self.full = true;
            return Set::NONE;
        }
        let new = self.nodes.len() as u32;
        self.nodes.push(Node { var, low, high });
        self.unique[at] = new;
        if self.nodes.len() * 2 > self.unique.len() {
            self.grow();
        }
        Set(new << 1)
    }

    fn grow(&mut self) {
        let size = self.unique.len() * 2;
        self.unique = unique(&self.nodes, size);
        // half as many places as nodes fit; what was cached is computed again when it is asked for again
        if self.cache.len() < size && self.cache.len() < 1 << 22 {
            let mask = size - 1;
            let old = std::mem::take(&mut self.cache);
            self.cache = vec![
                Cached {
                    key: NO_KEY,
                    result: Set::ALL
                };
                size
            ];
            for entry in old {
                if entry.key != NO_KEY {
                    let (a, b, c) = entry.key;
                    self.cache[hash(a, b, c) & mask] = entry;
                }
            }
        }
    }

    fn cached(&self, key: (u32, u32, u32)) -> Option<Set> {
        let entry = &self.cache[hash(key.0, key.1, key.2) & (self.cache.len() - 1)];
        (entry.key == key).then_some(entry.result)
    }

    fn remember(&mut self, key: (u32, u32, u32), result: Set) -> Set {
        let at = hash(key.0, key.1, key.2) & (self.cache.len() - 1);
        self.cache[at] = Cached { key, result };
        result
    }

    /// What is in both.
    pub fn and(&mut self, a: Set, b: Set) -> Set {
        match (a, b) {
            _ if self.full => return Set::NONE,
            (Set::NONE, _) | (_, Set::NONE) => return Set::NONE,
            (Set::ALL, other) | (other, Set::ALL) => return other,
            _ if a == b => return a,
            _ if a == b.not() => return Set::NONE,
            _ => {}
        }
        let (a, b) = if a < b { (a, b) } else { (b, a) };
        let key = (a.0, b.0, AND);
        if let Some(known) = self.cached(key) {
            return known;
        }
        let var = self.var(a).min(self.var(b));
        let ((a0, a1), (b0, b1)) = (self.cofactors(a, var), self.cofactors(b, var));
        let low = self.and(a0, b0);
        let high = self.and(a1, b1);
        let result = self.make(var, low, high);
        self.remember(key, result)
    }

    /// What is in one of them.
    pub fn or(&mut self, a: Set, b: Set) -> Set {
        self.and(a.not(), b.not()).not()
    }

    /// What is in the first and not in the second.
    pub fn minus(&mut self, a: Set, b: Set) -> Set {
        self.and(a, b.not())
    }

    /// A set that is the same among some packets and depends on as little else as can easily be found (`restrict` of
    /// Coudert and Madre, 1990).
    pub fn simplify(&mut self, set: Set, among: Set) -> Set {
        match (set, among) {
            _ if self.full => return Set::NONE,
            (Set::NONE | Set::ALL, _) | (_, Set::ALL | Set::NONE) => return set,
            _ => {}
        }
        let key = (set.0, among.0, SIMPLIFY);
        if let Some(known) = self.cached(key) {
            return known;
        }
        let var = self.var(set);
        let asked = key;
        let mut among = among;
        while self.var(among) < var {
            let (low, high) = self.cofactors(among, self.var(among));
            among = self.or(low, high);
        }
        if among.is_all() {
            return set;
        }
        let key = (set.0, among.0, SIMPLIFY);
        if key != asked
            && let Some(known) = self.cached(key)
        {
            return known;
        }
        let (low, high) = self.cofactors(set, var);
        let (low_among, high_among) = self.cofactors(among, var);
        let result = match (low_among, high_among) {
            (Set::NONE, _) => self.simplify(high, high_among),
            (_, Set::NONE) => self.simplify(low, low_among),
            _ => {
                let low = self.simplify(low, low_among);
                let high = self.simplify(high, high_among);
                self.make(var, low, high)
            }
        };
        self.remember(key, result)
    }

    /// What is in just one of them.
    pub fn xor(&mut self, a: Set, b: Set) -> Set {
        match (a, b) {
            _ if self.full => return Set::NONE,
            (Set::NONE, other) | (other, Set::NONE) => return other,
            (Set::ALL, other) | (other, Set::ALL) => return other.not(),
            _ if a == b => return Set::NONE,
            _ if a == b.not() => return Set::ALL,
            _ => {}
        }
        // a negation of either only turns the result around
        let turned = a.is_complement() != b.is_complement();
        let (a, b) = (Set(a.0 & !1), Set(b.0 & !1));
        let (a, b) = if a < b { (a, b) } else { (b, a) };
        let key = (a.0, b.0, XOR);
        if let Some(known) = self.cached(key) {
            return known.complement_if(turned);
        }
        let var = self.var(a).min(self.var(b));
        let ((a0, a1), (b0, b1)) = (self.cofactors(a, var), self.cofactors(b, var));
        let low = self.xor(a0, b0);
        let high = self.xor(a1, b1);
        let result = self.make(var, low, high);
        self.remember(key, result).complement_if(turned)
    }

    /// Where both agree.
    pub fn same(&mut self, a: Set, b: Set) -> Set {
        self.xor(a, b).not()
    }

    /// `yes` within `test`, and `no` elsewhere.
    pub fn ite(&mut self, test: Set, yes: Set, no: Set) -> Set {
        match (test, yes, no) {
            _ if self.full => return Set::NONE,
            (Set::ALL, ..) => return yes,
            (Set::NONE, ..) => return no,
            _ if yes == no => return yes,
            (_, Set::ALL, _) => return self.or(test, no),
            (_, Set::NONE, _) => return self.and(test.not(), no),
            (_, _, Set::NONE) => return self.and(test, yes),
            (_, _, Set::ALL) => return self.or(test.not(), yes),
            _ if yes == no.not() => return self.same(test, yes),
            _ if test == yes => return self.or(test, no),
            _ if test == yes.not() => return self.and(test.not(), no),
            _ if test == no => return self.and(test, yes),
            _ if test == no.not() => return self.or(test.not(), yes),
            _ => {}
        }
        let (test, yes, no) = match test.is_complement() {
            true => (test.not(), no, yes),
            false => (test, yes, no),
        };
        let turned = yes.is_complement();
        let (yes, no) = (yes.complement_if(turned), no.complement_if(turned));
        let key = (test.0, yes.0, no.0);
        if let Some(known) = self.cached(key) {
            return known.complement_if(turned);
        }
        let var = self.var(test).min(self.var(yes)).min(self.var(no));
        let (t, y, n) = (
            self.cofactors(test, var),
            self.cofactors(yes, var),
            self.cofactors(no, var),
        );
        let low = self.ite(t.0, y.0, n.0);
        let high = self.ite(t.1, y.1, n.1);
        let result = self.make(var, low, high);
        self.remember(key, result).complement_if(turned)
    }

    /// All of many sets together; pairs them up, which keeps what is in between small.
    pub fn union(&mut self, sets: &[Set]) -> Set {
        match sets {
            [] => Set::NONE,
            [one] => *one,
            _ => {
                let (left, right) = sets.split_at(sets.len() / 2);
                let (left, right) = (self.union(left), self.union(right));
                self.or(left, right)
            }
        }
    }

    /// Whether every packet of the first is in the second.
    pub fn is_within(&mut self, inner: Set, outer: Set) -> bool {
        self.minus(inner, outer).is_empty()
    }

    /// Where all these variables are yes, for [`Sets::exists`].
    pub fn cube(&mut self, vars: &[Var]) -> Set {
        let mut sorted: Vec<Var> = vars.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let step = |cube, var: &Var| self.make(var.0, Set::NONE, cube);
        sorted.iter().rev().fold(Set::ALL, step)
    }

    /// Where all these variables have these values.
    pub fn literals(&mut self, of: &[(Var, bool)]) -> Set {
        let mut sorted = of.to_vec();
        sorted.sort_unstable();
        sorted.iter().rev().fold(Set::ALL, |rest, (var, yes)| {
            let (low, high) = if *yes {
                (Set::NONE, rest)
            } else {
                (rest, Set::NONE)
            };
            self.make(var.0, low, high)
        })
    }

    /// What is in the set for some values of the variables of a [`Sets::cube`].
    pub fn exists(&mut self, set: Set, cube: Set) -> Set {
        let mut cube = cube;
        if self.full {
            return Set::NONE;
        }
        let var = self.var(set);
        while self.var(cube) < var {
            cube = self.nodes[cube.node()].high;
        }
        if cube.is_all() || set.is_all() || set.is_empty() {
            return set;
        }
        let key = (set.0, cube.0, EXISTS);
        if let Some(known) = self.cached(key) {
            return known;
        }
        let (low, high) = self.cofactors(set, var);
        let result = if self.var(cube) == var {
            let rest = self.nodes[cube.node()].high;
            let low = self.exists(low, rest);
            if low.is_all() {
                low
            } else {
                let high = self.exists(high, rest);
                self.or(low, high)
            }
        } else {
            let low = self.exists(low, cube);
            let high = self.exists(high, cube);
            self.make(var, low, high)
        };
        self.remember(key, result)
    }

    /// What is in the set whatever the values of the variables of a [`Sets::cube`] are.
    pub fn forall(&mut self, set: Set, cube: Set) -> Set {
        self.exists(set.not(), cube).not()
    }

    /// The set as it is where a variable has this value.
    pub fn restrict(&mut self, set: Set, var: Var, yes: bool) -> Set {
        if self.full {
            return Set::NONE;
        }
        let top = self.var(set);
        if top > var.0 {
            return set;
        }
        let (low, high) = self.cofactors(set, top);
        if top == var.0 {
            return if yes { high } else { low };
        }
        let turned = set.is_complement();
        let regular = set.complement_if(turned);
        let key = (regular.0, var.0 << 1 | u32::from(yes), RESTRICT);
        if let Some(known) = self.cached(key) {
            return known.complement_if(turned);
        }
        let (low, high) = (low.complement_if(turned), high.complement_if(turned));
        let low = self.restrict(low, var, yes);
        let high = self.restrict(high, var, yes);
        let result = self.make(top, low, high);
        self.remember(key, result).complement_if(turned)
    }

    /// Whether a packet is in the set.
    pub fn contains(&self, set: Set, point: &Point) -> bool {
        let mut at = set;
        while at.node() != 0 {
            let node = self.nodes[at.node()];
            let next = if point.get(Var(node.var)) {
                node.high
            } else {
                node.low
            };
            at = next.complement_if(at.is_complement());
        }
        at.is_all()
    }

    /// What is left of a set where the first so many variables are those of a packet.
    pub fn under(&self, set: Set, point: &Point, first: usize) -> Set {
        let mut at = set;
        while at.node() != 0 && (self.var(at) as usize) < first {
            let var = self.var(at);
            let (low, high) = self.cofactors(at, var);
            at = if point.get(Var(var)) { high } else { low };
        }
        at
    }

    /// A packet of the set: as near to `wish` as may be, variables in order. `None` for the empty set.
    pub fn pick(&self, set: Set, wish: &Point) -> Option<Point> {
        if set.is_empty() {
            return None;
        }
        let mut point = wish.clone();
        let mut at = set;
        while at.node() != 0 {
            let node = self.nodes[at.node()];
            let var = Var(node.var);
            let (low, high) = self.cofactors(at, node.var);
            let wished = point.get(var);
            let (first, second) = if wished { (high, low) } else { (low, high) };
            let (yes, next) = if first.is_empty() {
                (!wished, second)
            } else {
                (wished, first)
            };
            point.set(var, yes);
            at = next;
        }
        Some(point)
    }

    /// The variables that the set depends on, in order.
    pub fn support(&self, set: Set) -> Vec<Var> {
        // most sets are small beside all that there is
        let mut seen = HashSet::new();
        let mut vars = vec![false; self.variables as usize];
        let mut stack = vec![set.node()];
        while let Some(at) = stack.pop() {
            if at == 0 || !seen.insert(at) {
                continue;
            }
            let node = self.nodes[at];
            vars[node.var as usize] = true;
            stack.extend([node.low.node(), node.high.node()]);
        }
        let all = vars.iter().enumerate().filter(|(_, used)| **used);
        all.map(|(at, _)| Var(at as u32)).collect()
    }

    /// The share of all packets that is in the set, between 0 and 1.
    pub fn share(&self, set: Set) -> f64 {
        let mut known: HashMap<usize, f64> = HashMap::from([(0, 1.0)]);
        let share = self.share_of(set.node(), &mut known);
        if set.is_complement() {
            1.0 - share
        } else {
            share
        }
    }

    fn share_of(&self, at: usize, known: &mut HashMap<usize, f64>) -> f64 {
        if let Some(share) = known.get(&at) {
            return *share;
        }
        let node = self.nodes[at];
        let high = self.share_of(node.high.node(), known);
        let low = self.share_of(node.low.node(), known);
        let low = if node.low.is_complement() {
            1.0 - low
        } else {
            low
        };
        let share = (low + high) / 2.0;
        known.insert(at, share);
        share
    }

    /// The set as disjoint cubes: the variables that count in each, with their values.
    pub fn cubes(&self, set: Set) -> Cubes<'_> {
        Cubes {
            sets: self,
            stack: vec![(set, Vec::new())],
        }
    }

    /// Cuts a set up by the number that some variables are, the first of them counting most: for each different rest the
    /// values that have it. Parts are in the order of their least values; empty rests are left out. `None`: these are too
    /// many ranges to make ([`RANGES`]), as those of a mask that is no prefix are.
    pub fn parts(&mut self, set: Set, vars: &[Var]) -> Option<Vec<Part>> {
        let mut known = Cut::default();
        let parts = self.parts_of(set, vars, &mut known)?;
        Some(parts.as_ref().clone())
    }

    fn parts_of(&mut self, set: Set, vars: &[Var], known: &mut Cut) -> Option<Rc<Vec<Part>>> {
        if set.is_empty() {
            return Some(Rc::new(Vec::new()));
        }
        let top = max_of(vars.len() as u32);
        let Some((&first, rest)) = vars.split_first() else {
            return Some(Rc::new(vec![(vec![(0, 0)], set)]));
        };
        if set.is_all() {
            return Some(Rc::new(vec![(vec![(0, top)], set)]));
        }
        if let Some(found) = known.parts.get(&(set, vars.len())) {
            return Some(Rc::clone(found));
        }
        let low = self.restrict(set, first, false);
        let high = self.restrict(set, first, true);
        let half = 1u128 << (vars.len() - 1);
        let mut parts: Vec<Part> = self.parts_of(low, rest, known)?.as_ref().clone();
        let upper = self.parts_of(high, rest, known)?;
        let mut places: HashMap<Set, usize> = HashMap::new();
        for (at, (_, rest)) in parts.iter().enumerate() {
            places.insert(*rest, at);
        }
        for (ranges, rest) in upper.iter() {
            let moved = ranges.iter().map(|(lo, hi)| (lo + half, hi + half));
            match places.get(rest) {
                Some(&at) => {
                    let own = &mut parts[at].0;
                    for (lo, hi) in moved {
                        match own.last_mut() {
                            Some(last) if last.1 + 1 == lo => last.1 = hi,
                            _ => own.push((lo, hi)),
                        }
                    }
                }
                None => parts.push((moved.collect(), *rest)),
            }
        }
        known.ranges += parts.iter().map(|(ranges, _)| ranges.len()).sum::<usize>();
        if known.ranges > RANGES || self.full {
            return None;
        }
        let parts = Rc::new(parts);
        known.parts.insert((set, vars.len()), Rc::clone(&parts));
        Some(parts)
    }
}

/// How many ranges are made to cut one set up, with those of all its parts that are made on the way: 100,000 single values
/// take about half of them.
pub const RANGES: usize = 1 << 22;

/// What is known while a set is cut up.
#[derive(Default)]
struct Cut {
    parts: HashMap<(Set, usize), Rc<Vec<Part>>>,
    ranges: usize,
}

/// The disjoint cubes of a set.
pub struct Cubes<'s> {
    sets: &'s Sets,
    stack: Vec<(Set, Vec<(Var, bool)>)>,
}

impl Iterator for Cubes<'_> {
    type Item = Vec<(Var, bool)>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((set, path)) = self.stack.pop() {
            if set.is_all() {
                return Some(path);
            }
            if set.is_empty() {
                continue;
            }
            let var = self.sets.var(set);
            let (low, high) = self.sets.cofactors(set, var);
            let with = |yes| {
                let mut path = path.clone();
                path.push((Var(var), yes));
                path
            };
            self.stack.push((high, with(true)));
            self.stack.push((low, with(false)));
        }
        None
    }
}

/// Ranges of numbers of `width` bits as prefixes: value and length, in order.
pub fn prefixes(ranges: &[(u128, u128)], width: u32) -> Vec<(u128, u32)> {
    let mut found = Vec::new();
    for &(lo, hi) in ranges {
        let mut at = lo;
        loop {
            // the largest block that begins here and does not reach beyond the end
            let mut free = at.trailing_zeros().min(width);
            while free > 0
                && (free >= 128 && (at, hi) != (0, u128::MAX)
                    || free < 128 && hi - at < max_of(free))
            {
                free -= 1;
            }
            found.push((at, width - free));
            let last = at + if free == 0 { 0 } else { max_of(free) };
            if last >= hi {
                break;
            }
            at = last + 1;
        }
    }
    found
}

fn hash(a: u32, b: u32, c: u32) -> usize {
    let first = (u64::from(a) << 32 | u64::from(b)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let second = (first ^ u64::from(c)).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    (second ^ second >> 29) as usize
}

/// The table by which nodes are found, of so many places.
fn unique(nodes: &[Node], size: usize) -> Vec<u32> {
    let mask = size - 1;
    let mut unique = vec![0u32; size];
    for (position, node) in nodes.iter().enumerate().skip(1) {
        let mut at = hash(node.var, node.low.0, node.high.0) & mask;
        while unique[at] != 0 {
            at = (at + 1) & mask;
        }
        unique[at] = position as u32;
    }
    unique
}

#[cfg(test)]
mod tests;
