//! Every operation against the same one on lists of all points.

use super::*;

const VARS: usize = 6;

/// A made-up set of points as a bit for each of the 64, and the same as a diagram.
struct Both {
    sets: Sets,
    vars: Vec<Var>,
    state: u64,
}

impl Both {
    fn new() -> Both {
        let mut sets = Sets::default();
        let vars = sets.variables(VARS);
        Both {
            sets,
            vars,
            state: 0x2545_f491_4f6c_dd1d,
        }
    }

    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn point(&self, number: u64) -> Point {
        let mut point = Point::default();
        for (at, var) in self.vars.iter().enumerate() {
            point.set(*var, number >> (VARS - 1 - at) & 1 == 1);
        }
        point
    }

    fn set(&mut self, bits: u64) -> Set {
        let mut set = Set::NONE;
        for number in (0..64).filter(|number| bits >> number & 1 == 1) {
            let point = self.point(number);
            let mut one = Set::ALL;
            for var in self.vars.clone() {
                let is = self.sets.of(var);
                let is = if point.get(var) { is } else { is.not() };
                one = self.sets.and(one, is);
            }
            set = self.sets.or(set, one);
        }
        set
    }

    fn bits(&self, set: Set) -> u64 {
        (0..64).fold(0, |bits, number| {
            bits | u64::from(self.sets.contains(set, &self.point(number))) << number
        })
    }
}

#[test]
fn operations_do_to_sets_what_they_do_to_lists() {
    let mut both = Both::new();
    for _ in 0..200 {
        let (a, b, c) = (both.random(), both.random(), both.random() & both.random());
        let (x, y, z) = (both.set(a), both.set(b), both.set(c));
        let results = [
            (both.sets.and(x, y), a & b),
            (both.sets.or(x, y), a | b),
            (both.sets.xor(x, y), a ^ b),
            (both.sets.minus(x, z), a & !c),
            (both.sets.same(x, z), !(a ^ c)),
            (both.sets.ite(z, x, y), c & a | !c & b),
            (both.sets.ite(x, z, y), a & c | !a & b),
            (x.not(), !a),
        ];
        for (set, bits) in results {
            assert_eq!(both.bits(set), bits);
            assert_eq!(both.set(bits), set, "equal sets have one handle");
        }
        assert_eq!(both.sets.is_within(x, y), a & !b == 0);
        let share = f64::from(a.count_ones()) / 64.0;
        assert!((both.sets.share(x) - share).abs() < 1e-9);
    }
}

#[test]
fn quantifiers_and_restriction_look_at_both_values() {
    let mut both = Both::new();
    for at in 0..VARS {
        let bits = both.random() & both.random();
        let set = both.set(bits);
        let var = both.vars[at];
        let flip = 1u64 << (VARS - 1 - at);
        let (mut some, mut all, mut yes) = (0u64, 0u64, 0u64);
        for number in 0..64u64 {
            let (own, other) = (bits >> number & 1, bits >> (number ^ flip) & 1);
            some |= (own | other) << number;
            all |= (own & other) << number;
            yes |= (bits >> (number | flip) & 1) << number;
        }
        let cube = both.sets.cube(&[var]);
        let found = [
            both.sets.exists(set, cube),
            both.sets.forall(set, cube),
            both.sets.restrict(set, var, true),
        ];
        assert_eq!(found.map(|set| both.bits(set)), [some, all, yes]);
    }
    let bits = both.random();
    let set = both.set(bits);
    let cube = both.sets.cube(&both.vars.clone());
    assert_eq!(both.sets.exists(set, cube), Set::ALL);
    assert_eq!(both.sets.forall(set, cube), Set::NONE);
}

#[test]
fn cubes_are_disjoint_and_make_up_the_set() {
    let mut both = Both::new();
    let bits = both.random() & both.random();
    let set = both.set(bits);
    let cubes: Vec<_> = both.sets.cubes(set).collect();
    let (mut together, mut count) = (0u64, 0);
    for cube in cubes {
        let mut one = Set::ALL;
        for (var, yes) in cube {
            let is = both.sets.of(var);
            one = both.sets.and(one, if yes { is } else { is.not() });
        }
        let own = both.bits(one);
        assert_eq!(together & own, 0);
        together |= own;
        count += 1;
    }
    assert_eq!(together, bits);
    assert!(count <= bits.count_ones());
}

#[test]
fn parts_by_a_field_have_disjoint_values_and_different_rests() {
    let mut both = Both::new();
    for field in [[0, 1, 2], [3, 4, 5], [1, 3, 5], [5, 0, 2]] {
        let bits = both.random() & both.random();
        let set = both.set(bits);
        let vars = field.map(|at| both.vars[at]);
        let parts = both.sets.parts(set, &vars).expect("few");
        let mut together = Set::NONE;
        for (ranges, rest) in &parts {
            assert!(!rest.is_empty());
            assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
            for value in ranges.iter().flat_map(|(lo, hi)| *lo..=*hi) {
                let mut own = *rest;
                for (at, var) in vars.iter().enumerate() {
                    let is = both.sets.of(*var);
                    let yes = value >> (2 - at) & 1 == 1;
                    own = both.sets.and(own, if yes { is } else { is.not() });
                }
                assert!(both.sets.and(together, own).is_empty());
                together = both.sets.or(together, own);
            }
        }
        assert_eq!(together, set);
        let rests: std::collections::HashSet<_> = parts.iter().map(|(_, rest)| rest).collect();
        assert_eq!(rests.len(), parts.len());
    }
}

#[test]
fn a_picked_point_is_in_the_set_and_as_wished_where_that_is_possible() {
    let mut both = Both::new();
    let bits = 1 << 9 | 1 << 40 | 1 << 41;
    let set = both.set(bits);
    for (wish, expected) in [(41, 41), (9, 9), (0, 9), (63, 41)] {
        let point = both.sets.pick(set, &both.point(wish)).expect("a point");
        assert_eq!(point, both.point(expected));
    }
    assert_eq!(both.sets.pick(Set::NONE, &Point::default()), None);
    assert_eq!(both.sets.support(set).len(), VARS);
}

#[test]
fn a_full_arena_says_so_and_ends_at_once() {
    let mut sets = Sets::new(Room::of(50));
    let vars = sets.variables(40);
    let mut parity = Set::NONE;
    for var in vars {
        let is = sets.of(var);
        parity = sets.xor(parity, is);
    }
    assert_eq!(sets.check(), Err(GaveUp::TooLarge { nodes: 50 }));
    assert!(sets.nodes() <= 50);
}

#[test]
fn ranges_are_written_as_the_fewest_prefixes() {
    assert_eq!(prefixes(&[(0, 255)], 8), [(0, 0)]);
    assert_eq!(prefixes(&[(1, 6)], 8), [(1, 8), (2, 7), (4, 7), (6, 8)]);
    assert_eq!(prefixes(&[(0, u128::MAX)], 128), [(0, 0)]);
    assert_eq!(prefixes(&[(u128::MAX, u128::MAX)], 128), [(u128::MAX, 128)]);
    assert_eq!(prefixes(&[(1, u128::MAX)], 128).len(), 128);
    let nets = prefixes(
        &[(0x0a00_0000, 0x0aff_ffff), (0x0b00_0001, 0x0b00_0001)],
        32,
    );
    assert_eq!(nets, [(0x0a00_0000, 8), (0x0b00_0001, 32)]);
}

#[test]
fn a_full_arena_is_of_use_again_when_what_filled_it_is_forgotten() {
    let mut sets = Sets::new(Room::of(200));
    let vars = sets.variables(64);
    let first = sets.of(vars[0]);
    let second = sets.of(vars[1]);
    let both = sets.and(first, second);
    let mark = sets.mark();
    let mut odd = Set::NONE;
    for var in &vars {
        let own = sets.of(*var);
        odd = sets.xor(odd, own);
        let other = sets.and(odd, own);
        sets.or(other, both);
    }
    assert!(sets.check().is_err());
    assert!(sets.and(first, second).is_empty());
    sets.release(mark);
    assert!(sets.check().is_ok());
    assert_eq!(sets.and(first, second), both);
    let third = sets.of(vars[2]);
    let all = sets.and(both, third);
    assert!(sets.is_within(all, both) && !sets.is_within(both, all));
}

#[test]
fn what_is_simplified_is_the_same_among_the_packets_that_count() {
    let mut both = Both::new();
    for _ in 0..200 {
        let (bits, counts) = (both.random(), both.random() | 1);
        let (set, among) = (both.set(bits), both.set(counts));
        let simple = both.sets.simplify(set, among);
        assert_eq!(both.bits(simple) & counts, bits & counts);
        let (after, before) = (both.sets.support(simple), both.sets.support(set));
        assert!(after.iter().all(|var| before.contains(var)));
        // a set that only says what counts depends on nothing
        assert!(both.sets.simplify(among, among).is_all());
    }
}

#[test]
fn who_interrupts_gets_no_answer_and_that_stays_so() {
    let mut sets = Sets::new(Room {
        interrupted: || true,
        ..Room::default()
    });
    let vars = sets.variables(40);
    let mark = sets.mark();
    let mut all = Set::NONE;
    for at in 0..20_000u32 {
        let made_up = at.wrapping_mul(0x9e37_79b9);
        let values: Vec<(Var, bool)> = (0..40)
            .map(|bit| (vars[bit], made_up.rotate_left(bit as u32) & 1 == 1))
            .collect();
        let one = sets.literals(&values);
        all = sets.or(all, one);
    }
    assert_eq!(sets.check(), Err(GaveUp::Interrupted));
    sets.release(mark);
    assert_eq!(sets.check(), Err(GaveUp::Interrupted));
}
