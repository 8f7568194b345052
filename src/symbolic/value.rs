//! Values that are functions of the packet as first sent: numbers in pieces, each a constant or a vector of sets, one for each
//! bit, with the set of packets that it holds for.

use std::collections::HashMap;

use crate::eval::{compare, ranges_of};
use crate::logic::max_of;
use crate::ruleset::Op;
use crate::sets::{Point, Set, Sets, Var};

/// A number, the bit that counts most first.
pub type Bits = Vec<Set>;

/// The same number for every packet.
pub fn constant(value: u128, width: usize) -> Bits {
    let bit = |at: usize| match value >> (width - 1 - at) & 1 {
        1 => Set::ALL,
        _ => Set::NONE,
    };
    (0..width).map(bit).collect()
}

/// The number that variables are.
pub fn of_vars(sets: &mut Sets, vars: &[Var]) -> Bits {
    vars.iter().map(|var| sets.of(*var)).collect()
}

/// `yes` within `test`, and `no` elsewhere; both of one width.
pub fn ite(sets: &mut Sets, test: Set, yes: &[Set], no: &[Set]) -> Bits {
    let bits = yes.iter().zip(no);
    bits.map(|(yes, no)| sets.ite(test, *yes, *no)).collect()
}

/// Makes a number what takes less room where it is not one of these packets.
pub fn narrow(sets: &mut Sets, bits: &mut [Set], packets: Set) {
    for bit in bits {
        // one variable takes no room, and to find out that it is settled may take much
        if !sets.is_variable(*bit) {
            *bit = sets.simplify(*bit, packets);
        }
    }
}

/// Where a number lies in ranges (sorted, disjoint).
pub fn within(sets: &mut Sets, bits: &[Set], ranges: &[(u128, u128)]) -> Set {
    within_block(sets, bits, 0, ranges)
}

fn within_block(sets: &mut Sets, bits: &[Set], base: u128, ranges: &[(u128, u128)]) -> Set {
    let last = base + max_of(bits.len() as u32) * u128::from(!bits.is_empty());
    let ranges = {
        let from = ranges.partition_point(|range| range.1 < base);
        let to = ranges.partition_point(|range| range.0 <= last);
        &ranges[from.min(to)..to]
    };
    let Some(first) = ranges.first() else {
        return Set::NONE;
    };
    if first.0 <= base && last <= first.1 {
        return Set::ALL;
    }
    let Some((bit, rest)) = bits.split_first() else {
        return Set::NONE;
    };
    let half = base + (1u128 << rest.len());
    let high = within_block(sets, rest, half, ranges);
    let low = within_block(sets, rest, base, ranges);
    sets.ite(*bit, high, low)
}

/// Where a number is this one.
pub fn equals(sets: &mut Sets, bits: &[Set], value: u128) -> Set {
    within(sets, bits, &[(value, value)])
}

/// Where the first bits of a number are those of a value.
pub fn starts_with(sets: &mut Sets, bits: &[Set], value: u128, len: usize) -> Set {
    let width = bits.len();
    let mut holds = Set::ALL;
    for at in (0..len.min(width)).rev() {
        let bit = bits[at].to_owned();
        let bit = if value >> (width - 1 - at) & 1 == 1 {
            bit
        } else {
            bit.not()
        };
        holds = sets.and(bit, holds);
    }
    holds
}

/// Both numbers in one width.
fn aligned(a: &[Set], b: &[Set]) -> (Bits, Bits) {
    let width = a.len().max(b.len());
    (widened(a, width), widened(b, width))
}

/// The number with zeros in front.
pub fn widened(bits: &[Set], width: usize) -> Bits {
    let mut wide = vec![Set::NONE; width.saturating_sub(bits.len())];
    wide.extend_from_slice(bits);
    wide
}

/// The last `width` bits of a number, with zeros in front where it has fewer.
pub fn fitted(bits: &[Set], width: usize) -> Bits {
    match bits.len().checked_sub(width) {
        Some(more) => bits[more..].to_vec(),
        None => widened(bits, width),
    }
}

/// Where two numbers are equal, among these packets: that two fields are equal takes room without end where both may be
/// anything, so nothing is asked of other packets.
pub fn same(sets: &mut Sets, a: &[Set], b: &[Set], among: Set) -> Set {
    let (a, b) = aligned(a, b);
    let mut holds = among;
    for (a, b) in a.iter().zip(&b).rev() {
        if holds.is_empty() {
            break;
        }
        if a == b {
            continue;
        }
        let (a, b) = (sets.and(*a, holds), sets.and(*b, holds));
        let differs = sets.xor(a, b);
        holds = sets.minus(holds, differs);
    }
    holds
}

/// Where the first number is below the second, among these packets.
fn below(sets: &mut Sets, a: &[Set], b: &[Set], among: Set) -> Set {
    let (a, b) = aligned(a, b);
    let mut holds = Set::NONE;
    for (a, b) in a.iter().zip(&b).rev() {
        // a differing bit decides, else the bits behind it
        let (a, b) = (sets.and(*a, among), sets.and(*b, among));
        let differs = sets.xor(a, b);
        holds = sets.ite(differs, b, holds);
    }
    holds
}

/// Adds a constant, within the width.
pub fn plus(sets: &mut Sets, bits: &[Set], add: u128) -> Bits {
    let mut carry = Set::NONE;
    let mut sum = vec![Set::NONE; bits.len()];
    for at in (0..bits.len()).rev() {
        let place = bits.len() - 1 - at;
        let one = place < 128 && add >> place & 1 == 1;
        let bit = bits[at];
        let half = if one { bit.not() } else { bit };
        sum[at] = sets.xor(half, carry);
        carry = if one {
            sets.or(bit, carry)
        } else {
            sets.and(bit, carry)
        };
    }
    sum
}

/// Takes a constant away, within the width.
pub fn minus(sets: &mut Sets, bits: &[Set], take: u128) -> Bits {
    let width = bits.len() as u32;
    plus(sets, bits, (max_of(width) - take + 1) & max_of(width))
}

/// The number for one packet.
pub fn at(sets: &Sets, bits: &[Set], point: &Point) -> u128 {
    bits.iter().fold(0, |value, bit| {
        value << 1 | u128::from(sets.contains(*bit, point))
    })
}

/// A number in pieces: constants and vectors, each for its own packets.
///
/// The sets of the pieces are disjoint; of packets in none of them nothing is said. What rules write stays apart from what was
/// there before, and constants stay constants: a question is asked of each piece, so a number costs what its pieces cost,
/// where its bits would each be as large as all pieces together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Number {
    width: usize,
    constants: Vec<(u128, Set)>,
    /// All packets that have a constant.
    constant: Set,
    /// None of them constant.
    vectors: Vec<(Bits, Set)>,
}

impl From<Bits> for Number {
    /// The same vector for every packet.
    fn from(bits: Bits) -> Number {
        match value_of(&bits) {
            Some(value) => Number::constant(value, bits.len()),
            None => Number {
                width: bits.len(),
                constants: Vec::new(),
                constant: Set::NONE,
                vectors: vec![(bits, Set::ALL)],
            },
        }
    }
}

/// The value of a vector that is the same for every packet.
pub fn value_of(bits: &[Set]) -> Option<u128> {
    let is_known = bits.len() <= 128 && bits.iter().all(|bit| bit.is_all() || bit.is_empty());
    let number = |value, bit: &Set| value << 1 | u128::from(bit.is_all());
    is_known.then(|| bits.iter().fold(0, number))
}

/// How many bits a value takes.
fn width_of(value: u128) -> usize {
    (128 - value.leading_zeros()) as usize
}

impl Number {
    /// The same value for every packet.
    pub fn constant(value: u128, width: usize) -> Number {
        Number {
            width,
            constants: vec![(value, Set::ALL)],
            constant: Set::ALL,
            vectors: Vec::new(),
        }
    }

    /// Constants, each for its own packets; the sets are disjoint.
    pub fn cases(sets: &mut Sets, cases: Vec<(u128, Set)>) -> Number {
        let all: Vec<Set> = cases.iter().map(|(_, set)| *set).collect();
        let top = cases.iter().map(|(value, _)| *value).max().unwrap_or(0);
        Number {
            width: width_of(top),
            constants: cases,
            constant: sets.union(&all),
            vectors: Vec::new(),
        }
    }

    pub fn width(&self) -> usize {
        self.width
    }

    /// The vector of all packets, where there is just one.
    pub fn vector(&self) -> Option<&[Set]> {
        match (self.constants.as_slice(), self.vectors.as_slice()) {
            ([], [(bits, _)]) => Some(bits),
            _ => None,
        }
    }

    /// The last `width` bits, with zeros in front where there are fewer.
    #[must_use]
    pub fn fitted(mut self, width: usize) -> Number {
        if width < self.width {
            for (value, _) in &mut self.constants {
                *value &= max_of(width as u32);
            }
        }
        if width != self.width {
            for (bits, _) in &mut self.vectors {
                *bits = fitted(bits, width);
            }
        }
        self.width = width;
        self
    }

    /// Adds a piece for packets that are in none yet.
    fn add(&mut self, sets: &mut Sets, packets: Set, bits: Bits) {
        if packets.is_empty() {
            return;
        }
        if let Some(value) = value_of(&bits) {
            self.add_constant(sets, packets, value);
            return;
        }
        match self.vectors.iter_mut().find(|(known, _)| *known == bits) {
            Some((_, set)) => *set = sets.or(*set, packets),
            None => self.vectors.push((bits, packets)),
        }
    }

    fn add_constant(&mut self, sets: &mut Sets, packets: Set, value: u128) {
        if packets.is_empty() {
            return;
        }
        self.constant = sets.or(self.constant, packets);
        match self.constants.iter_mut().find(|(known, _)| *known == value) {
            Some((_, set)) => *set = sets.or(*set, packets),
            None => self.constants.push((value, packets)),
        }
    }

    /// Writes the number of some packets.
    pub fn write(&mut self, sets: &mut Sets, packets: Set, new: &Number) {
        if packets.is_empty() {
            return;
        }
        if packets.is_all() {
            *self = new.clone().fitted(self.width);
            return;
        }
        // a constant that all of them get is the most usual write, and what has it already need not be told apart
        let one = match (new.constants.as_slice(), new.vectors.as_slice()) {
            ([(value, set)], []) if set.is_all() => Some(value & max_of(self.width as u32)),
            _ => None,
        };
        for (_, set) in &mut self.vectors {
            *set = sets.minus(*set, packets);
        }
        self.vectors.retain(|(_, set)| !set.is_empty());
        if !sets.and(self.constant, packets).is_empty() {
            for (value, set) in &mut self.constants {
                if one != Some(*value) {
                    *set = sets.minus(*set, packets);
                }
            }
            self.constants.retain(|(_, set)| !set.is_empty());
            if one.is_none() {
                self.constant = sets.minus(self.constant, packets);
            }
        }
        if let Some(value) = one {
            self.add_constant(sets, packets, value);
            return;
        }
        if !sets.and(packets, new.constant).is_empty() {
            for (value, set) in &new.constants {
                let own = sets.and(packets, *set);
                self.add_constant(sets, own, value & max_of(self.width as u32));
            }
        }
        for (bits, set) in &new.vectors {
            let own = sets.and(packets, *set);
            self.add(sets, own, fitted(bits, self.width));
        }
    }

    /// One number within `test`, and another elsewhere.
    pub fn choose(sets: &mut Sets, test: Set, yes: &Number, no: &Number) -> Number {
        let width = yes.width.max(no.width);
        let mut chosen = no.clone().fitted(width);
        chosen.write(sets, test, yes);
        chosen
    }

    /// The number, right for these packets, whatever it is for others.
    pub fn of(&self, sets: &mut Sets, packets: Set) -> Number {
        if self.is_one() {
            return self.clone();
        }
        let mut own = self.clone();
        for (_, set) in &mut own.vectors {
            *set = sets.and(*set, packets);
        }
        own.vectors.retain(|(_, set)| !set.is_empty());
        if sets.and(own.constant, packets).is_empty() {
            own.constant = Set::NONE;
            own.constants.clear();
        }
        own.alone();
        own
    }

    fn is_one(&self) -> bool {
        self.constants.len() + self.vectors.len() == 1
    }

    /// Where one piece is all that is left it is that of all packets.
    fn alone(&mut self) {
        if self.is_one() {
            for (_, set) in &mut self.vectors {
                *set = Set::ALL;
            }
            for (_, set) in &mut self.constants {
                *set = Set::ALL;
                self.constant = Set::ALL;
            }
        }
    }

    /// Makes it what takes less room for all but these packets.
    pub fn narrow(&mut self, sets: &mut Sets, packets: Set) {
        if !self.is_one() {
            for (_, set) in &mut self.vectors {
                *set = sets.and(*set, packets);
            }
            self.vectors.retain(|(_, set)| !set.is_empty());
            let before = self.constant;
            self.constant = sets.and(before, packets);
            if self.constant != before {
                for (_, set) in &mut self.constants {
                    *set = sets.and(*set, packets);
                }
                self.constants.retain(|(_, set)| !set.is_empty());
            }
            self.alone();
        }
        for (bits, set) in &mut self.vectors {
            let own = if set.is_all() { packets } else { *set };
            narrow(sets, bits, own);
        }
    }

    /// As a vector, right where anything is said.
    pub fn bits(&self, sets: &mut Sets) -> Bits {
        match (self.constants.as_slice(), self.vectors.as_slice()) {
            ([], [(bits, _)]) => return bits.clone(),
            ([(value, _)], []) => return constant(*value, self.width),
            _ => {}
        }
        let mut bits = Vec::with_capacity(self.width);
        for at in 0..self.width {
            let place = self.width - 1 - at;
            let known = self.constants.iter();
            let known = known.filter(|(value, _)| place < 128 && value >> place & 1 == 1);
            let mut own: Vec<Set> = known.map(|(_, set)| *set).collect();
            for (bits, set) in &self.vectors {
                own.push(sets.and(bits[at], *set));
            }
            bits.push(sets.union(&own));
        }
        bits
    }

    /// Some of its bits, counted from the one that counts most.
    pub fn part(&self, sets: &mut Sets, at: usize, len: usize) -> Number {
        if at == 0 && len == self.width {
            return self.clone();
        }
        let behind = (self.width - at - len) as u32;
        let cut = |value: u128| value.checked_shr(behind).unwrap_or(0) & max_of(len as u32);
        let bits = |_: &mut Sets, bits: &[Set]| bits[at..at + len].to_vec();
        self.map(sets, cut, bits).fitted(len)
    }

    /// This number's bits, then those of another.
    pub fn then(&self, sets: &mut Sets, other: &Number) -> Number {
        let joined = |a: &[Set], b: &[Set]| -> Bits { a.iter().chain(b).copied().collect() };
        if self.is_one() || other.is_one() {
            let mut both = Number {
                width: self.width + other.width,
                constants: Vec::new(),
                constant: Set::NONE,
                vectors: Vec::new(),
            };
            for (a, own) in self.pieces() {
                for (b, others) in other.pieces() {
                    let own = sets.and(own, others);
                    both.add(sets, own, joined(&a, &b));
                }
            }
            return both;
        }
        let (a, b) = (self.bits(sets), other.bits(sets));
        Number::from(joined(&a, &b))
    }

    /// All pieces as vectors.
    pub fn pieces(&self) -> impl Iterator<Item = (Bits, Set)> {
        let known = self.constants.iter();
        let known = known.map(|(value, set)| (constant(*value, self.width), *set));
        known.chain(self.vectors.iter().cloned())
    }

    /// The number where each of its sets is what `see` makes of it.
    #[must_use]
    pub fn seen(&self, mut see: impl FnMut(Set) -> Set) -> Number {
        let mut see = |set: &mut Set| {
            if !set.is_all() && !set.is_empty() {
                *set = see(*set);
            }
        };
        let mut seen = self.clone();
        see(&mut seen.constant);
        for (_, set) in &mut seen.constants {
            see(set);
        }
        for (bits, set) in &mut seen.vectors {
            bits.iter_mut().for_each(&mut see);
            see(set);
        }
        seen.constants.retain(|(_, set)| !set.is_empty());
        seen.vectors.retain(|(_, set)| !set.is_empty());
        seen
    }

    /// The constant of one packet, and all packets that have it. `None`: it has none.
    pub fn constant_at(&self, sets: &Sets, point: &Point) -> Option<(u128, Set)> {
        if !sets.contains(self.constant, point) {
            return None;
        }
        let mut constants = self.constants.iter();
        constants
            .find(|(_, set)| sets.contains(*set, point))
            .copied()
    }

    /// The value of a function of it: of each constant, and of each vector.
    pub fn map(
        &self,
        sets: &mut Sets,
        of_constant: impl Fn(u128) -> u128,
        mut of_bits: impl FnMut(&mut Sets, &[Set]) -> Bits,
    ) -> Number {
        let constants = self.constants.iter();
        let constants = constants.map(|(value, set)| (of_constant(*value), *set));
        let mut mapped = Number {
            width: 0,
            constants: constants.collect(),
            constant: self.constant,
            vectors: Vec::new(),
        };
        for (bits, set) in &self.vectors {
            let bits = of_bits(sets, bits);
            mapped.width = mapped.width.max(bits.len());
            mapped.vectors.push((bits, *set));
        }
        let top = mapped.constants.iter().map(|(value, _)| *value).max();
        mapped.width = mapped.width.max(width_of(top.unwrap_or(0)));
        for (bits, set) in std::mem::take(&mut mapped.vectors) {
            let bits = widened(&bits, mapped.width);
            mapped.add(sets, set, bits);
        }
        mapped
    }

    /// Where it lies in ranges (sorted, disjoint).
    pub fn within(&self, sets: &mut Sets, ranges: &[(u128, u128)]) -> Set {
        let inside = |value: u128| {
            let after = ranges.partition_point(|(lo, _)| *lo <= value);
            after > 0 && value <= ranges[after - 1].1
        };
        self.where_holds(sets, inside, |sets, bits| within(sets, bits, ranges))
    }

    /// Where it is this value.
    pub fn equals(&self, sets: &mut Sets, value: u128) -> Set {
        self.within(sets, &[(value, value)])
    }

    /// Where its first bits are those of a value.
    pub fn starts_with(&self, sets: &mut Sets, value: u128, len: usize) -> Set {
        let behind = self.width.saturating_sub(len) as u32;
        let first = |value: u128| value.checked_shr(behind).unwrap_or(0);
        let of_bits = |sets: &mut Sets, bits: &[Set]| starts_with(sets, bits, value, len);
        self.where_holds(sets, |own| first(own) == first(value), of_bits)
    }

    /// Where it satisfies an operator.
    pub fn compare(&self, sets: &mut Sets, op: Op, lo: u128, hi: u128) -> Set {
        let ranges = ranges_of(op, lo, hi);
        let of_bits = |sets: &mut Sets, bits: &[Set]| match &ranges {
            Some(ranges) => within(sets, bits, ranges),
            None => {
                let width = bits.len();
                let asked = bits.iter().enumerate();
                let asked = asked.filter(|(at, _)| {
                    let place = width - 1 - at;
                    place < 128 && lo >> place & 1 == 1
                });
                let asked: Vec<Set> = asked.map(|(_, bit)| *bit).collect();
                let any = sets.union(&asked);
                if op == Op::NoBit { any.not() } else { any }
            }
        };
        self.where_holds(sets, |value| compare(op, value, lo, hi), of_bits)
    }

    pub(super) fn where_holds(
        &self,
        sets: &mut Sets,
        of_constant: impl Fn(u128) -> bool,
        of_bits: impl Fn(&mut Sets, &[Set]) -> Set,
    ) -> Set {
        let hit = self.constants.iter();
        let hit = hit.filter(|(value, _)| of_constant(*value));
        let mut hit: Vec<Set> = hit.map(|(_, set)| *set).collect();
        for (bits, set) in &self.vectors {
            let holds = of_bits(sets, bits);
            hit.push(sets.and(holds, *set));
        }
        sets.union(&hit)
    }

    /// Where an operator holds between two numbers, right for these packets.
    pub fn compare_with(&self, sets: &mut Sets, op: Op, other: &Number, among: Set) -> Set {
        let turned = match op {
            Op::Eq => {
                let differs = self.differs(sets, other, among, |_, set| set);
                return sets.minus(among, differs);
            }
            Op::Ne => return self.differs(sets, other, among, |_, set| set),
            Op::Lt => Op::Gt,
            Op::Gt => Op::Lt,
            Op::Le => Op::Ge,
            Op::Ge => Op::Le,
            Op::AnyBit | Op::NoBit => op,
        };
        let mut found = Vec::new();
        for (value, set) in &self.constants {
            let own = sets.and(*set, among);
            if !own.is_empty() {
                let holds = other.compare(sets, turned, *value, *value);
                found.push(sets.and(own, holds));
            }
        }
        for (bits, set) in &self.vectors {
            let own = sets.and(*set, among);
            let this = Number::from(bits.clone());
            for (value, set) in &other.constants {
                let own = sets.and(own, *set);
                if !own.is_empty() {
                    let holds = this.compare(sets, op, *value, *value);
                    found.push(sets.and(own, holds));
                }
            }
            for (others, set) in &other.vectors {
                let own = sets.and(own, *set);
                if !own.is_empty() {
                    let holds = compare_vectors(sets, op, bits, others, own);
                    found.push(sets.and(own, holds));
                }
            }
        }
        sets.union(&found)
    }

    /// Where two numbers differ among these packets, as `see` sees it; what is seen to differ is not compared any further.
    pub fn differs(
        &self,
        sets: &mut Sets,
        other: &Number,
        among: Set,
        see: impl Fn(&mut Sets, Set) -> Set,
    ) -> Set {
        if self == other {
            return Set::NONE;
        }
        let mut found = Vec::new();
        let both = sets.and(self.constant, other.constant);
        let both = sets.and(both, among);
        if !both.is_empty() {
            let mut known: HashMap<u128, Vec<Set>> = HashMap::new();
            for (value, set) in &other.constants {
                known.entry(*value).or_default().push(*set);
            }
            let mut equal = Vec::new();
            for (value, set) in &self.constants {
                for other in known.get(value).into_iter().flatten() {
                    equal.push(sets.and(*set, *other));
                }
            }
            let equal = sets.union(&equal);
            let differs = sets.minus(both, equal);
            found.push(see(sets, differs));
        }
        for (constants, vectors) in [(self, other), (other, self)] {
            for (bits, set) in &vectors.vectors {
                let own = sets.and(*set, constants.constant);
                let own = sets.and(own, among);
                if own.is_empty() {
                    continue;
                }
                for (value, set) in &constants.constants {
                    let own = sets.and(own, *set);
                    if own.is_empty() {
                        continue;
                    }
                    let equal = equals(sets, bits, *value);
                    let differs = sets.minus(own, equal);
                    found.push(see(sets, differs));
                }
            }
        }
        for (a, set) in &self.vectors {
            for (b, others) in &other.vectors {
                let own = sets.and(*set, *others);
                let mut left = sets.and(own, among);
                if left.is_empty() {
                    continue;
                }
                let (a, b) = aligned(a, b);
                for (a, b) in a.iter().zip(&b).rev() {
                    if a == b {
                        continue;
                    }
                    let (a, b) = (sets.and(*a, left), sets.and(*b, left));
                    let differs = sets.xor(a, b);
                    let differs = see(sets, differs);
                    left = sets.minus(left, differs);
                    found.push(differs);
                }
            }
        }
        sets.union(&found)
    }

    /// The number for one packet.
    pub fn at(&self, sets: &Sets, point: &Point) -> u128 {
        if let Some((value, _)) = self.constant_at(sets, point) {
            return value;
        }
        let mut vectors = self.vectors.iter();
        let found = vectors.find(|(_, set)| sets.contains(*set, point));
        found.map_or(0, |(bits, _)| at(sets, bits, point))
    }
}

/// Where an operator other than equality holds between two vectors, right for these packets.
fn compare_vectors(sets: &mut Sets, op: Op, a: &[Set], b: &[Set], among: Set) -> Set {
    match op {
        Op::Eq => same(sets, a, b, among),
        Op::Ne => same(sets, a, b, among).not(),
        Op::Lt => below(sets, a, b, among),
        Op::Gt => below(sets, b, a, among),
        Op::Le => below(sets, b, a, among).not(),
        Op::Ge => below(sets, a, b, among).not(),
        Op::AnyBit | Op::NoBit => {
            let (a, b) = aligned(a, b);
            let common: Vec<Set> = a.iter().zip(&b).map(|(a, b)| sets.and(*a, *b)).collect();
            let any = sets.union(&common);
            if op == Op::NoBit { any.not() } else { any }
        }
    }
}

/// A value that a rule looks at.
#[derive(Debug, Clone)]
pub enum Sym {
    Number(Number),
    /// Computed from what nobody knows.
    Unknown,
}

impl Sym {
    /// The same value for every packet.
    pub fn known(value: u128) -> Sym {
        Sym::Number(Number::constant(value, width_of(value)))
    }

    /// As a number; `None` for an unknown value.
    pub fn number(&self) -> Option<&Number> {
        match self {
            Sym::Number(number) => Some(number),
            Sym::Unknown => None,
        }
    }

    /// Where the value lies in ranges (sorted, disjoint); `None` for an unknown value.
    pub fn within(&self, sets: &mut Sets, ranges: &[(u128, u128)]) -> Option<Set> {
        self.number().map(|number| number.within(sets, ranges))
    }

    /// Where the value satisfies an operator; `None` for an unknown value.
    pub fn compare(&self, sets: &mut Sets, op: Op, lo: u128, hi: u128) -> Option<Set> {
        self.number().map(|number| number.compare(sets, op, lo, hi))
    }

    /// Where an operator holds between two values, right for these packets; `None` where one is unknown.
    pub fn compare_with(&self, sets: &mut Sets, op: Op, other: &Sym, among: Set) -> Option<Set> {
        let (a, b) = (self.number()?, other.number()?);
        Some(a.compare_with(sets, op, b, among))
    }

    /// The value of a function of it: of each constant, and of each vector.
    pub fn map(
        &self,
        sets: &mut Sets,
        of_constant: impl Fn(u128) -> u128,
        of_bits: impl Fn(&[Set]) -> Bits,
    ) -> Sym {
        match self {
            Sym::Number(number) => {
                Sym::Number(number.map(sets, of_constant, |_, bits| of_bits(bits)))
            }
            Sym::Unknown => Sym::Unknown,
        }
    }
}

/// One of a few things, each for its own packets; every packet has one.
#[derive(Debug, Clone)]
pub struct OneOf<T>(pub Vec<(T, Set)>);

impl<T: PartialEq + Clone> OneOf<T> {
    /// The same for every packet.
    pub fn only(thing: T) -> OneOf<T> {
        OneOf(vec![(thing, Set::ALL)])
    }

    /// Makes it this for some packets.
    pub fn write(&mut self, sets: &mut Sets, packets: Set, thing: T) {
        for (_, set) in &mut self.0 {
            *set = sets.minus(*set, packets);
        }
        match self.0.iter_mut().find(|(known, _)| *known == thing) {
            Some((_, set)) => *set = sets.or(*set, packets),
            None => self.0.push((thing, packets)),
        }
        self.0.retain(|(_, set)| !set.is_empty());
    }

    /// Takes it over from another for some packets.
    pub fn take(&mut self, sets: &mut Sets, packets: Set, other: &OneOf<T>) {
        for (thing, set) in &other.0 {
            let own = sets.and(*set, packets);
            if !own.is_empty() {
                self.write(sets, own, thing.clone());
            }
        }
    }

    /// The packets that have it.
    pub fn is(&self, thing: &T) -> Set {
        let found = self.0.iter().find(|(known, _)| known == thing);
        found.map_or(Set::NONE, |(_, set)| *set)
    }

    /// What one packet has.
    pub fn at(&self, sets: &Sets, point: &Point) -> Option<T> {
        let found = self.0.iter().find(|(_, set)| sets.contains(*set, point));
        found.map(|(thing, _)| thing.clone())
    }

    /// Each with its packets among these.
    pub fn among(&self, sets: &mut Sets, packets: Set) -> Vec<(T, Set)> {
        let mut found = Vec::new();
        for (thing, set) in &self.0 {
            let set = sets.and(*set, packets);
            if !set.is_empty() {
                found.push((thing.clone(), set));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation on two 4-bit variables against the same on numbers.
    #[test]
    fn numbers_compare_and_add_as_numbers_do() {
        let mut sets = Sets::default();
        let (x, y) = (sets.variables(4), sets.variables(4));
        let (a, b) = (of_vars(&mut sets, &x), of_vars(&mut sets, &y));
        let point = |n: u128, m: u128| {
            let mut point = Point::default();
            for at in 0..4 {
                point.set(x[at], n >> (3 - at) & 1 == 1);
                point.set(y[at], m >> (3 - at) & 1 == 1);
            }
            point
        };
        let (left, right) = (Number::from(a.clone()), Number::from(b.clone()));
        let ops = [
            Op::Eq,
            Op::Ne,
            Op::Lt,
            Op::Gt,
            Op::Le,
            Op::Ge,
            Op::AnyBit,
            Op::NoBit,
        ];
        let between: Vec<Set> = ops
            .iter()
            .map(|op| left.compare_with(&mut sets, *op, &right, Set::ALL))
            .collect();
        let fixed: Vec<Set> = ops
            .iter()
            .map(|op| left.compare(&mut sets, *op, 6, 6))
            .collect();
        let (more, less) = (plus(&mut sets, &a, 3), minus(&mut sets, &a, 5));
        let some = within(&mut sets, &a, &[(0, 2), (5, 5), (9, 20)]);
        for n in 0..16 {
            assert_eq!(at(&sets, &more, &point(n, 0)), (n + 3) % 16);
            assert_eq!(at(&sets, &less, &point(n, 0)), (n + 11) % 16);
            let inside = n <= 2 || n == 5 || n >= 9;
            assert_eq!(sets.contains(some, &point(n, 0)), inside, "{n}");
            for (index, op) in ops.iter().enumerate() {
                assert_eq!(
                    sets.contains(fixed[index], &point(n, 0)),
                    compare(*op, n, 6, 6)
                );
                for m in 0..16 {
                    let holds = sets.contains(between[index], &point(n, m));
                    assert_eq!(holds, compare(*op, n, m, m), "{n} {op:?} {m}");
                }
            }
        }
    }

    #[test]
    fn two_addresses_are_compared_among_packets_whose_addresses_are_told() {
        let mut sets = Sets::new(crate::sets::Room::of(100_000));
        let (x, y) = (sets.variables(32), sets.variables(32));
        let (a, b) = (of_vars(&mut sets, &x), of_vars(&mut sets, &y));
        let server = equals(&mut sets, &b, 0xc0a8_0002);
        let both = same(&mut sets, &a, &b, server);
        let client = equals(&mut sets, &a, 0xc0a8_0002);
        assert_eq!(both, sets.and(client, server));
        assert_eq!(sets.check(), Ok(()));
        // of all packets there is no room for it
        same(&mut sets, &a, &b, Set::ALL);
        assert!(sets.check().is_err());
    }

    /// A destination that many rules translate costs what its pieces cost, and is the same number as its bits.
    #[test]
    fn a_number_in_pieces_answers_as_its_bits_do() {
        let mut sets = Sets::default();
        let (x, which) = (sets.variables(4), sets.variables(2));
        let sent = of_vars(&mut sets, &x);
        let picked = of_vars(&mut sets, &which);
        let mut number = Number::from(sent.clone());
        // 3 is written as 9, 4 to 5 as what is picked, 9 as 3
        let three = equals(&mut sets, &sent, 3);
        let some = within(&mut sets, &sent, &[(4, 5)]);
        let nine = equals(&mut sets, &sent, 9);
        number.write(&mut sets, three, &Number::constant(9, 4));
        number.write(&mut sets, some, &Number::from(picked).fitted(4));
        number.write(&mut sets, nine, &Number::constant(3, 4));
        let bits = Number::from(number.bits(&mut sets));
        let (ranges, first) = ([(0, 2), (9, 12)], Number::from(sent));
        let pairs = [
            [
                number.within(&mut sets, &ranges),
                bits.within(&mut sets, &ranges),
            ],
            [
                number.starts_with(&mut sets, 0b1000, 2),
                bits.starts_with(&mut sets, 0b1000, 2),
            ],
            [
                number.differs(&mut sets, &first, Set::ALL, |_, set| set),
                bits.differs(&mut sets, &first, Set::ALL, |_, set| set),
            ],
            [
                number.compare_with(&mut sets, Op::Lt, &first, Set::ALL),
                bits.compare_with(&mut sets, Op::Lt, &first, Set::ALL),
            ],
            [
                number.compare(&mut sets, Op::AnyBit, 6, 6),
                bits.compare(&mut sets, Op::AnyBit, 6, 6),
            ],
        ];
        for [pieces, whole] in pairs {
            assert_eq!(pieces, whole);
        }
        let same = number.differs(&mut sets, &bits, Set::ALL, |_, set| set);
        assert!(same.is_empty());
        let halves = [number.part(&mut sets, 0, 3), number.part(&mut sets, 3, 1)];
        let joined = halves[0].then(&mut sets, &halves[1]);
        let differs = joined.differs(&mut sets, &number, Set::ALL, |_, set| set);
        assert!(differs.is_empty());
        // of some packets
        let own = number.of(&mut sets, three);
        let is = own.equals(&mut sets, 9);
        assert!(sets.is_within(three, is));
    }

    #[test]
    fn what_is_written_later_counts_and_only_for_its_packets() {
        let mut sets = Sets::default();
        let vars = sets.variables(2);
        let (a, b) = (sets.of(vars[0]), sets.of(vars[1]));
        let mut number = Number::constant(1, 4);
        number.write(&mut sets, a, &Number::constant(2, 4));
        number.write(&mut sets, a.not(), &Number::constant(3, 4));
        number.write(&mut sets, b, &Number::constant(4, 4));
        let bits = number.bits(&mut sets);
        for (first, second, expected) in [(true, false, 2), (false, false, 3), (true, true, 4)] {
            let mut point = Point::default();
            point.set(vars[0], first);
            point.set(vars[1], second);
            assert_eq!(at(&sets, &bits, &point), expected);
            assert_eq!(number.at(&sets, &point), expected);
        }
    }
}
