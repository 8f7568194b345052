//! Values that are functions of the packet as first sent: numbers as vectors of sets, one for each bit, and choices of a few
//! constants, each with the set of packets that it holds for.

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
        *bit = sets.simplify(*bit, packets);
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

/// A value that a rule looks at.
#[derive(Debug, Clone)]
pub enum Sym {
    /// Constants, each for its own packets; the sets are disjoint.
    Cases(Vec<(u128, Set)>),
    Bits(Bits),
    /// Computed from what nobody knows.
    Unknown,
}

impl Sym {
    /// The same value for every packet.
    pub fn known(value: u128) -> Sym {
        Sym::Cases(vec![(value, Set::ALL)])
    }

    /// As a vector; `None` for an unknown value.
    pub fn bits(&self, sets: &mut Sets) -> Option<Bits> {
        match self {
            Sym::Bits(bits) => Some(bits.clone()),
            Sym::Unknown => None,
            Sym::Cases(cases) => {
                let top = cases.iter().map(|(value, _)| *value).max().unwrap_or(0);
                let width = (128 - top.leading_zeros()) as usize;
                let mut bits = Vec::with_capacity(width);
                for at in (0..width).rev() {
                    let set = cases.iter().filter(|(value, _)| value >> at & 1 == 1);
                    let set: Vec<Set> = set.map(|(_, set)| *set).collect();
                    bits.push(sets.union(&set));
                }
                Some(bits)
            }
        }
    }

    /// Where the value lies in ranges (sorted, disjoint); `None` for an unknown value.
    pub fn within(&self, sets: &mut Sets, ranges: &[(u128, u128)]) -> Option<Set> {
        match self {
            Sym::Bits(bits) => Some(within(sets, bits, ranges)),
            Sym::Unknown => None,
            Sym::Cases(cases) => {
                let inside = |value: u128| {
                    let after = ranges.partition_point(|(lo, _)| *lo <= value);
                    after > 0 && value <= ranges[after - 1].1
                };
                let hit = cases.iter().filter(|(value, _)| inside(*value));
                let hit: Vec<Set> = hit.map(|(_, set)| *set).collect();
                Some(sets.union(&hit))
            }
        }
    }

    /// Where the value satisfies an operator; `None` for an unknown value.
    pub fn compare(&self, sets: &mut Sets, op: Op, lo: u128, hi: u128) -> Option<Set> {
        match (self, ranges_of(op, lo, hi)) {
            (Sym::Unknown, _) => None,
            (Sym::Cases(cases), _) => {
                let hit = cases
                    .iter()
                    .filter(|(value, _)| compare(op, *value, lo, hi));
                let hit: Vec<Set> = hit.map(|(_, set)| *set).collect();
                Some(sets.union(&hit))
            }
            (Sym::Bits(bits), Some(ranges)) => Some(within(sets, bits, &ranges)),
            (Sym::Bits(bits), None) => {
                let width = bits.len();
                let asked = bits.iter().enumerate();
                let asked = asked.filter(|(at, _)| {
                    let place = width - 1 - at;
                    place < 128 && lo >> place & 1 == 1
                });
                let asked: Vec<Set> = asked.map(|(_, bit)| *bit).collect();
                let any = sets.union(&asked);
                Some(if op == Op::NoBit { any.not() } else { any })
            }
        }
    }

    /// Where an operator holds between two values, right for these packets; `None` where one is unknown.
    pub fn compare_with(&self, sets: &mut Sets, op: Op, other: &Sym, among: Set) -> Option<Set> {
        let (a, b) = (self.bits(sets)?, other.bits(sets)?);
        Some(match op {
            Op::Eq => same(sets, &a, &b, among),
            Op::Ne => same(sets, &a, &b, among).not(),
            Op::Lt => below(sets, &a, &b, among),
            Op::Gt => below(sets, &b, &a, among),
            Op::Le => below(sets, &b, &a, among).not(),
            Op::Ge => below(sets, &a, &b, among).not(),
            Op::AnyBit | Op::NoBit => {
                let (a, b) = aligned(&a, &b);
                let common: Vec<Set> = a.iter().zip(&b).map(|(a, b)| sets.and(*a, *b)).collect();
                let any = sets.union(&common);
                if op == Op::NoBit { any.not() } else { any }
            }
        })
    }

    /// The value of a function of it, bit by bit where it is no choice of constants.
    pub fn map(self, cases: impl Fn(u128) -> u128, bits: impl FnOnce(Bits) -> Bits) -> Sym {
        match self {
            Sym::Cases(all) => {
                let mut mapped: Vec<(u128, Set)> = Vec::with_capacity(all.len());
                for (value, set) in all {
                    mapped.push((cases(value), set));
                }
                Sym::Cases(mapped)
            }
            Sym::Bits(all) => Sym::Bits(bits(all)),
            Sym::Unknown => Sym::Unknown,
        }
    }
}

/// A number that is written many times for packets that have nothing in common: what was written is put together when it is
/// read, in pairs, not one by one.
#[derive(Debug, Clone)]
pub struct Written {
    bits: Bits,
    writes: Vec<(Set, Bits)>,
    written: Set,
}

impl Written {
    pub fn new(bits: Bits) -> Written {
        Written {
            bits,
            writes: Vec::new(),
            written: Set::NONE,
        }
    }

    /// Writes the number of some packets.
    pub fn write(&mut self, sets: &mut Sets, packets: Set, value: &[Set]) {
        if packets.is_all() {
            *self = Written::new(fitted(value, self.bits.len()));
            return;
        }
        if !sets.and(packets, self.written).is_empty() {
            self.settle(sets);
        }
        self.written = sets.or(self.written, packets);
        self.writes.push((packets, fitted(value, self.bits.len())));
    }

    /// The number; right for these packets, whatever it is for others.
    pub fn of(&mut self, sets: &mut Sets, packets: Set) -> Bits {
        if sets.and(packets, self.written).is_empty() {
            return self.bits.clone();
        }
        if !sets.is_within(packets, self.written) {
            self.settle(sets);
            return self.bits.clone();
        }
        let writes = &self.writes;
        let bit = |at: usize| {
            let first = writes.first().map_or(Set::NONE, |(_, value)| value[at]);
            if writes.iter().all(|(_, value)| value[at] == first) {
                return first;
            }
            let own = writes.iter();
            let own: Vec<Set> = own.map(|(own, value)| sets.and(*own, value[at])).collect();
            sets.union(&own)
        };
        (0..self.bits.len()).map(bit).collect()
    }

    /// The number of all packets.
    pub fn all(&mut self, sets: &mut Sets) -> Bits {
        self.settle(sets);
        self.bits.clone()
    }

    /// Makes it what takes less room for all but these packets.
    pub fn narrow(&mut self, sets: &mut Sets, packets: Set) {
        narrow(sets, &mut self.bits, packets);
        self.written = sets.and(self.written, packets);
        for (own, value) in &mut self.writes {
            *own = sets.and(*own, packets);
            narrow(sets, value, *own);
        }
        self.writes.retain(|(own, _)| !own.is_empty());
    }

    /// Takes it over from another for some packets.
    pub fn take(&mut self, sets: &mut Sets, packets: Set, other: &mut Written) {
        let (own, new) = (self.all(sets), other.all(sets));
        self.bits = ite(sets, packets, &new, &own);
    }

    fn settle(&mut self, sets: &mut Sets) {
        let writes = std::mem::take(&mut self.writes);
        let written = std::mem::replace(&mut self.written, Set::NONE);
        if writes.is_empty() {
            return;
        }
        for at in 0..self.bits.len() {
            let new: Vec<Set> = writes
                .iter()
                .map(|(packets, value)| sets.and(*packets, value[at]))
                .collect();
            let new = sets.union(&new);
            let kept = sets.minus(self.bits[at], written);
            self.bits[at] = sets.or(new, kept);
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
        let (left, right) = (Sym::Bits(a.clone()), Sym::Bits(b.clone()));
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
            .map(|op| {
                left.compare_with(&mut sets, *op, &right, Set::ALL)
                    .expect("known")
            })
            .collect();
        let fixed: Vec<Set> = ops
            .iter()
            .map(|op| left.compare(&mut sets, *op, 6, 6).expect("known"))
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

    #[test]
    fn what_is_written_later_counts_and_only_for_its_packets() {
        let mut sets = Sets::default();
        let vars = sets.variables(2);
        let (a, b) = (sets.of(vars[0]), sets.of(vars[1]));
        let mut number = Written::new(constant(1, 4));
        number.write(&mut sets, a, &constant(2, 4));
        number.write(&mut sets, a.not(), &constant(3, 4));
        number.write(&mut sets, b, &constant(4, 4));
        let bits = number.all(&mut sets);
        for (first, second, expected) in [(true, false, 2), (false, false, 3), (true, true, 4)] {
            let mut point = Point::default();
            point.set(vars[0], first);
            point.set(vars[1], second);
            assert_eq!(at(&sets, &bits, &point), expected);
        }
    }
}
