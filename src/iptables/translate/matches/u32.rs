//! `xt_u32.c`: 32 bits of the packet, masked and shifted, in ranges of numbers.
//!
//! `START&MASK>>N=RANGE`: the shifts are carried over to the ranges, so that what is left is nft's `@nh,START,32 & MASK`.
//! Both fail where the packet ends before the fourth byte. A position that is itself read from the packet (`@`) has no word in nft.

use super::super::build::*;
use super::super::{Untranslatable, Why};
use crate::iptables::IpFamily;
use crate::iptables::save::Opt;
use crate::nft::ast::{Expr, MatchOp, Stmt};

pub fn translate(family: IpFamily, options: &[Opt]) -> Why<Vec<Stmt>> {
    let [opt] = options else {
        return Err(Untranslatable::because("not understood"));
    };
    if opt.name != "--u32" {
        return Err(Untranslatable::unread(opt));
    }
    let tests: Vec<&str> = one(opt)?.split("&&").collect();
    if opt.invert && tests.len() > 1 {
        return Err(Untranslatable::because(
            "nft cannot invert several tests at once",
        ));
    }
    let stmts: Why<Vec<Option<Stmt>>> = tests.iter().map(|text| test(family, opt, text)).collect();
    Ok(stmts?.into_iter().flatten().collect())
}

/// One `LOCATION=RANGES`; `None`: it always holds.
fn test(family: IpFamily, opt: &Opt, text: &str) -> Why<Option<Stmt>> {
    let (location, ranges) = text
        .split_once('=')
        .ok_or_else(|| Untranslatable::unread(opt))?;
    let (start, word) = read_location(opt, location)?;
    let mut found = Vec::new();
    for text in ranges.split(',') {
        let (low, high) = span(opt, text.trim(), ':', u64::from(u32::MAX))?;
        found.extend(word.unshifted(low, high));
    }
    let offset = start
        .checked_mul(8)
        .ok_or_else(|| Untranslatable::unread(opt))?;
    let loaded = raw("nh", offset, 32);
    let mut found = joined(found);
    if let [(0, high)] = found[..]
        && high >= u64::from(word.mask)
    {
        // any number will do, where the packet has those bytes at all
        let op = if opt.invert { MatchOp::Lt } else { MatchOp::Ge };
        let end = u64::from(start) + 4;
        return Ok(Some(matching(op, meta("length"), number(end))));
    }
    // In a header that every packet has, the bits alone are asked for: those beside them may be unknown.
    let in_header = u64::from(start) + 4 <= fixed_header(family);
    let (below, above) = (word.mask.trailing_zeros(), word.mask.leading_zeros());
    let is_one_run = word.mask.count_ones() + below + above == 32;
    let left = match word.mask {
        u32::MAX => loaded,
        _ if in_header && is_one_run => {
            found = found
                .into_iter()
                .map(|(low, high)| (low.div_ceil(1 << below), high >> below))
                .filter(|(low, high)| low <= high)
                .collect();
            raw("nh", offset + above, 32 - below - above)
        }
        mask => and(loaded, number(mask)),
    };
    let right = match found.len() {
        // no word becomes such a number
        0 => return Ok((!opt.invert).then(never)),
        1 => {
            let (low, high) = found.remove(0);
            numbers(low, high)
        }
        _ => set(found
            .into_iter()
            .map(|(low, high)| numbers(low, high))
            .collect::<Vec<Expr>>()),
    };
    let test = equal(opt.invert, left, right);
    Ok(Some(if opt.invert { or_absent(test)? } else { test }))
}

/// How long the part of the IP header is that every packet has, in bytes.
fn fixed_header(family: IpFamily) -> u64 {
    match family {
        IpFamily::Ip => 20,
        IpFamily::Ip6 => 40,
    }
}

/// Bits of a loaded word, moved.
struct Word {
    /// Of the word as it was loaded.
    mask: u32,
    /// How far they stand to the right of their old place; negative: to the left.
    shift: i64,
}

impl Word {
    /// The bits of `value` at their old places.
    fn back(&self, value: u32) -> u32 {
        let bits = u64::from(value);
        let moved = match self.shift {
            0.. => u32::try_from(self.shift)
                .ok()
                .and_then(|by| bits.checked_shl(by)),
            _ => u32::try_from(-self.shift)
                .ok()
                .and_then(|by| bits.checked_shr(by)),
        };
        // What is moved out of 32 bits was lost before.
        (moved.unwrap_or(0) & u64::from(u32::MAX)) as u32
    }

    fn and(&mut self, value: u32) {
        self.mask &= self.back(value);
    }

    fn right(&mut self, by: u32) {
        self.shift += i64::from(by);
        self.mask &= self.back(u32::MAX);
    }

    fn left(&mut self, by: u32) {
        self.shift -= i64::from(by);
        self.mask &= self.back(u32::MAX);
    }

    /// The masked words whose moved bits are a number from `low` to `high`.
    fn unshifted(&self, low: u64, high: u64) -> Option<(u64, u64)> {
        let by = self.shift.unsigned_abs();
        let (low, high) = if self.shift >= 0 {
            // the bits below are not in the mask
            (low << by, high << by)
        } else {
            (low.div_ceil(1 << by), high >> by)
        };
        let most = u64::from(self.mask);
        (low <= high && low <= most).then_some((low, high.min(most)))
    }
}

/// `START`, and what is done with the word there.
fn read_location(opt: &Opt, text: &str) -> Why<(u32, Word)> {
    let number_of = |text: &str| {
        let number = num(opt, text.trim())?;
        u32::try_from(number).map_err(|_| Untranslatable::unread(opt))
    };
    let is_operator = |c: char| matches!(c, '&' | '<' | '>' | '@');
    let end = text.find(is_operator).unwrap_or(text.len());
    let (start, mut rest) = text.split_at(end);
    let start = number_of(start)?;
    let mut word = Word {
        mask: u32::MAX,
        shift: 0,
    };
    while !rest.is_empty() {
        let operator = ["&", "<<", ">>", "@"]
            .into_iter()
            .find(|operator| rest.starts_with(operator))
            .ok_or_else(|| Untranslatable::unread(opt))?;
        let after = &rest[operator.len()..];
        let (value, next) = after.split_at(after.find(is_operator).unwrap_or(after.len()));
        let value = number_of(value)?;
        rest = next;
        match operator {
            "&" => word.and(value),
            // The kernel's shift by more than a word has no defined result; a word moved wholly away is zero.
            "<<" | ">>" if value > 31 || word.shift.unsigned_abs() + u64::from(value) > 31 => {
                return Err(Untranslatable::because("shifts a whole word away"));
            }
            "<<" => word.left(value),
            ">>" => word.right(value),
            _ => {
                return Err(Untranslatable::because(
                    "the position is read from the packet",
                ));
            }
        }
    }
    Ok((start, word))
}

/// Ranges in order, with those that touch made one.
fn joined(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (low, high) in ranges {
        match joined.last_mut() {
            Some((_, end)) if low <= end.saturating_add(1) => *end = (*end).max(high),
            _ => joined.push((low, high)),
        }
    }
    joined
}
