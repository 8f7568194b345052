//! The stream of numbers that everything is made from, and choices by it.

/// A stream of numbers (splitmix64).
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64, stream: u64) -> Numbers {
        let mut numbers = Numbers(seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        numbers.next();
        numbers
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// True in so many of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    pub(super) fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub(super) fn some(&mut self, from: &[&str], most: usize) -> Vec<String> {
        let count = 1 + self.below(most);
        let mut found: Vec<String> = Vec::new();
        for _ in 0..count {
            let one = self.pick(from).to_string();
            if !found.contains(&one) {
                found.push(one);
            }
        }
        found
    }
}

/// `!= ` in some cases.
pub(super) fn not(numbers: &mut Numbers) -> &'static str {
    if numbers.chance(20) { "!= " } else { "" }
}

pub(super) fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    if names.len() == 1 {
        names[0].clone()
    } else {
        format!("{{ {} }}", names.join(", "))
    }
}

pub(super) fn braces(values: &[String]) -> String {
    if values.len() == 1 {
        values[0].clone()
    } else {
        format!("{{ {} }}", values.join(", "))
    }
}
