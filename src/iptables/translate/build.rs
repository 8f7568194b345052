//! Short ways to build nft's syntax tree, and readers of the values that iptables options carry.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use super::{Untranslatable, Why};
use crate::iptables::IpFamily;
use crate::iptables::save::Opt;
use crate::nft::ast::{
    BinaryOp, CtExpr, Expr, Extra, Fib, Fields, HeaderOption, Mangle, Match, MatchOp, MetaKey,
    ObjectRef, OneOrMany, Payload, Prefix, Stmt, Str, Tproxy,
};

pub fn matching(op: MatchOp, left: Expr, right: Expr) -> Stmt {
    Stmt::Match(Box::new(Match {
        op,
        left,
        right,
        extra: Extra::default(),
    }))
}

/// `==`, or `!=` when inverted.
pub fn equal(invert: bool, left: Expr, right: Expr) -> Stmt {
    matching(if invert { MatchOp::Ne } else { MatchOp::Eq }, left, right)
}

/// How nft writes an operator.
pub fn spelled(op: &MatchOp) -> Option<&'static str> {
    Some(match op {
        MatchOp::Eq => "==",
        MatchOp::Ne => "!=",
        MatchOp::In => "in",
        MatchOp::Not => "!",
        MatchOp::Lt | MatchOp::Gt | MatchOp::Le | MatchOp::Ge | MatchOp::Other(_) => return None,
    })
}

/// The same test, which holds also where the left side has no value.
pub fn or_absent(stmt: Stmt) -> Why<Stmt> {
    match stmt {
        Stmt::Match(mut test) => match spelled(&test.op) {
            Some(op) => {
                test.op = MatchOp::Other(format!("{op}{}", super::OR_ABSENT).into());
                Ok(Stmt::Match(test))
            }
            None => Err(Untranslatable::mistaken()),
        },
        _ => Err(Untranslatable::mistaken()),
    }
}

/// `tproxy` that drops what no socket takes.
pub fn or_drop(mut tproxy: Tproxy) -> Stmt {
    tproxy
        .extra
        .push(Str::from(super::ELSE), Value::from("drop"));
    Stmt::Tproxy(Box::new(tproxy))
}

/// A `set` statement that leaves a packet without the field as it is, and goes on.
pub fn or_nothing(stmt: Stmt) -> Stmt {
    match stmt {
        Stmt::Mangle(mut set) => {
            let (field, word) = Mangle::OR_NOTHING;
            set.extra.push(Str::from(field), Value::from(word));
            Stmt::Mangle(set)
        }
        other => other,
    }
}

/// A test that no packet passes.
pub fn never() -> Stmt {
    equal(true, meta("l4proto"), numbers(0, 255))
}

pub fn set_to(key: Expr, value: Expr) -> Stmt {
    Stmt::Mangle(Box::new(Mangle {
        key,
        value,
        extra: Extra::default(),
    }))
}

pub fn meta(key: &str) -> Expr {
    Expr::Meta(MetaKey {
        key: Str::from(key),
        short: false,
    })
}

pub fn ct(key: &str, dir: Option<&str>) -> Expr {
    Expr::Ct(Box::new(CtExpr {
        key: Str::from(key),
        dir: dir.map(Str::from),
        ..CtExpr::default()
    }))
}

pub fn payload(protocol: &str, field: &str) -> Expr {
    Expr::Payload(Box::new(Payload {
        protocol: Some(Str::from(protocol)),
        field: Some(Str::from(field)),
        ..Payload::default()
    }))
}

/// Raw bits: `@nh,8,8`.
pub fn raw(base: &str, offset: u32, len: u32) -> Expr {
    Expr::Payload(Box::new(Payload {
        base: Some(Str::from(base)),
        offset: Some(offset),
        len: Some(len),
        ..Payload::default()
    }))
}

pub fn header_option(name: &str, field: Option<&str>) -> Box<HeaderOption> {
    Box::new(HeaderOption {
        name: Some(Str::from(name)),
        field: field.map(Str::from),
        ..HeaderOption::default()
    })
}

pub fn exthdr(name: &str, field: &str) -> Expr {
    Expr::Exthdr(header_option(name, Some(field)))
}

pub fn fib(result: &str, flags: &[&str]) -> Expr {
    Expr::Fib(Box::new(Fib {
        result: Str::from(result),
        flags: OneOrMany::Many(flags.iter().map(|f| Str::from(*f)).collect()),
        extra: Extra::default(),
    }))
}

pub fn string(text: impl AsRef<str>) -> Expr {
    Expr::String(Str::from(text.as_ref()))
}

pub fn number(n: impl Into<i128>) -> Expr {
    Expr::Number(n.into())
}

pub fn range(low: Expr, high: Expr) -> Expr {
    Expr::Range(Box::new((low, high)))
}

/// A range of numbers; a single number when both ends are equal.
pub fn numbers(low: u64, high: u64) -> Expr {
    if low == high {
        number(low)
    } else {
        range(number(low), number(high))
    }
}

pub fn set(elements: Vec<Expr>) -> Expr {
    Expr::Set(Box::new(OneOrMany::Many(elements)))
}

pub fn and(left: Expr, right: Expr) -> Expr {
    Expr::Binary(BinaryOp::And, vec![left, right])
}

pub fn or(left: Expr, right: Expr) -> Expr {
    Expr::Binary(BinaryOp::Or, vec![left, right])
}

pub fn xor(left: Expr, right: Expr) -> Expr {
    Expr::Binary(BinaryOp::Xor, vec![left, right])
}

pub fn prefix(addr: impl AsRef<str>, len: u32) -> Expr {
    Expr::Prefix(Box::new(Prefix {
        addr: string(addr),
        len,
        extra: Extra::default(),
    }))
}

pub fn inline(value: Value) -> ObjectRef {
    ObjectRef::Inline(Fields(value))
}

/// Flag names as nft's JSON writes them: one bare, several in a list.
pub fn flag_names(mut names: Vec<Expr>) -> Expr {
    if names.len() == 1 {
        names.remove(0)
    } else {
        Expr::List(names)
    }
}

/// Statement flags; `None` when there are none.
pub fn statement_flags(names: &[&str]) -> Option<OneOrMany<Str>> {
    match names {
        [] => None,
        [one] => Some(OneOrMany::One(Str::from(*one))),
        many => Some(OneOrMany::Many(
            many.iter().map(|name| Str::from(*name)).collect(),
        )),
    }
}

// ---- values of options

/// The option's only value.
pub fn one(opt: &Opt) -> Why<&str> {
    match opt.values.as_slice() {
        [value] => Ok(value),
        _ => Err(Untranslatable::unread(opt)),
    }
}

/// Checks that an option carries no value.
pub fn bare(opt: &Opt) -> Why<()> {
    if opt.values.is_empty() {
        Ok(())
    } else {
        Err(Untranslatable::unread(opt))
    }
}

/// Refuses `!` where iptables knows none.
pub fn upright(opt: &Opt) -> Why<()> {
    if opt.invert {
        Err(Untranslatable::unread(opt))
    } else {
        Ok(())
    }
}

/// A number as strtoul(3) with base 0 reads it: decimal, `0x` hexadecimal, or octal with a leading zero.
pub fn parse_number(text: &str) -> Option<u64> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        u64::from_str_radix(hex, 16).ok()
    } else if text.len() > 1 && text.starts_with('0') {
        u64::from_str_radix(text, 8).ok()
    } else if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

pub fn num(opt: &Opt, text: &str) -> Why<u64> {
    parse_number(text).ok_or_else(|| Untranslatable::unread(opt))
}

/// A number of at most `max`.
pub fn small(opt: &Opt, text: &str, max: u64) -> Why<u64> {
    num(opt, text).and_then(|n| {
        if n <= max {
            Ok(n)
        } else {
            Err(Untranslatable::unread(opt))
        }
    })
}

/// `value[/mask]` of 32 bits.
pub fn marked(opt: &Opt) -> Why<(u32, Option<u32>)> {
    let text = one(opt)?;
    let (value, mask) = match text.split_once('/') {
        Some((value, mask)) => (value, Some(mask)),
        None => (text, None),
    };
    let word = |text| {
        num(opt, text).and_then(|n| u32::try_from(n).map_err(|_| Untranslatable::unread(opt)))
    };
    Ok((word(value)?, mask.map(word).transpose()?))
}

/// `low:high`, each end optional, or one number.
pub fn span(opt: &Opt, text: &str, separator: char, max: u64) -> Why<(u64, u64)> {
    let (low, high) = match text.split_once(separator) {
        None => {
            let n = small(opt, text, max)?;
            (n, n)
        }
        Some((low, high)) => {
            let low = if low.is_empty() {
                0
            } else {
                small(opt, low, max)?
            };
            let high = if high.is_empty() {
                max
            } else {
                small(opt, high, max)?
            };
            (low, high)
        }
    };
    if low <= high {
        Ok((low, high))
    } else {
        Err(Untranslatable::unread(opt))
    }
}

/// A port, a range of ports `a:b`, or the name of a service as it is.
pub fn ports(opt: &Opt, text: &str) -> Why<Expr> {
    let is_name = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic());
    if let Some((low, high)) = text.split_once(':')
        && (is_name(low) || is_name(high))
    {
        let end = |text: &str, default: u64| -> Why<Expr> {
            if text.is_empty() {
                Ok(number(default))
            } else if is_name(text) {
                Ok(string(text))
            } else {
                Ok(number(small(opt, text, 65535)?))
            }
        };
        return Ok(range(end(low, 0)?, end(high, 65535)?));
    }
    if is_name(text) {
        return Ok(string(text));
    }
    let (low, high) = span(opt, text, ':', 65535)?;
    Ok(numbers(low, high))
}

/// An address with its mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net {
    /// Left-aligned in 128 bits for both families.
    pub bits: u128,
    pub mask: u128,
    pub family: IpFamily,
}

impl Net {
    /// `ADDR`, `ADDR/LEN` or `ADDR/MASK`. Host names are not read: they have no address without a resolver.
    pub fn parse(text: &str, family: IpFamily) -> Option<Net> {
        let (addr, mask) = match text.split_once('/') {
            Some((addr, mask)) => (addr, Some(mask)),
            None => (text, None),
        };
        let width: u32 = if family == IpFamily::Ip { 32 } else { 128 };
        let bits = address_bits(addr, family)?;
        let mask = match mask {
            None => mask_of(width),
            Some(mask) => match mask.parse::<u32>() {
                Ok(len) if len <= width => mask_of(len),
                Ok(_) => return None,
                Err(_) => address_bits(mask, family)?,
            },
        };
        Some(Net {
            bits: bits & mask,
            mask,
            family,
        })
    }

    pub fn len(&self) -> Option<u32> {
        let len = self.mask.leading_ones();
        (self.mask == mask_of(len)).then_some(len)
    }

    pub fn is_host(&self) -> bool {
        self.len() == Some(if self.family == IpFamily::Ip { 32 } else { 128 })
    }

    pub fn address(&self) -> String {
        show(self.bits, self.family)
    }

    pub fn mask_text(&self) -> String {
        show(self.mask, self.family)
    }

    /// The bits of the mask inverted, within the width of the family.
    pub fn wildcard_text(&self) -> String {
        show(!self.mask, self.family)
    }

    /// `left` lies in this net. `None` when every address does.
    pub fn test(&self, invert: bool, left: Expr) -> Option<Stmt> {
        match self.len() {
            Some(0) if !invert => None,
            Some(_) if self.is_host() => Some(equal(invert, left, string(self.address()))),
            // An inverted /0 never matches; nft's own meaning of it is the same.
            Some(len) => Some(equal(invert, left, prefix(self.address(), len))),
            None => Some(equal(
                invert,
                and(left, string(self.mask_text())),
                string(self.address()),
            )),
        }
    }
}

fn address_bits(text: &str, family: IpFamily) -> Option<u128> {
    match family {
        IpFamily::Ip => text
            .parse::<Ipv4Addr>()
            .ok()
            .map(|a| u128::from(u32::from(a)) << 96),
        IpFamily::Ip6 => text.parse::<Ipv6Addr>().ok().map(u128::from),
    }
}

fn mask_of(len: u32) -> u128 {
    if len == 0 {
        0
    } else {
        u128::MAX << (128 - len.min(128))
    }
}

fn show(bits: u128, family: IpFamily) -> String {
    match family {
        IpFamily::Ip => Ipv4Addr::from(u32::try_from(bits >> 96).unwrap_or(u32::MAX)).to_string(),
        IpFamily::Ip6 => Ipv6Addr::from(bits).to_string(),
    }
}

/// An address alone, in its usual spelling.
pub fn address(opt: &Opt, text: &str, family: IpFamily) -> Why<Expr> {
    match Net::parse(text, family) {
        Some(net) if net.is_host() && !text.contains('/') => Ok(string(net.address())),
        _ => Err(Untranslatable::unread(opt)),
    }
}

/// `a` or `a-b`.
pub fn address_range(opt: &Opt, text: &str, family: IpFamily) -> Why<Expr> {
    match text.split_once('-') {
        None => address(opt, text, family),
        Some((low, high)) if low == high => address(opt, low, family),
        Some((low, high)) => Ok(range(
            address(opt, low, family)?,
            address(opt, high, family)?,
        )),
    }
}

/// A transport protocol by name or number, as nft's JSON writes it.
pub fn protocol(text: &str) -> Option<Expr> {
    let lower = text.to_ascii_lowercase();
    Some(match lower.as_str() {
        "icmpv6" => string("ipv6-icmp"),
        "mh" => string("ipv6-mh"),
        _ if lower.bytes().all(|b| b.is_ascii_digit()) => number(lower.parse::<u8>().ok()?),
        _ => string(lower),
    })
}
