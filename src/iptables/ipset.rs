//! The contents of ipsets, read from `ipset save`, as text or with `-o xml`, told as nft's named sets.
//!
//! A set becomes a set of the table whose rules ask for it; `-m set` becomes a look-up in it and `-j SET` an update of it. The meaning followed is that of
//! the kernel's `net/netfilter/ipset/`. Of nested prefixes the longest decides (`nomatch`), which is worked out here: nft's sets have disjoint ranges.
//! A set that has no such equivalent is kept by name with the reason, and what asks for it stays unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::save::{Chain, Opt};
use super::{Family, IpFamily};
use crate::diagnostic::{Diagnostic, Severity};
use crate::nft::ast::{self, Expr, Object, OneOrMany, Prefix, Str, TypeSpec};

/// All sets of a text, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sets(BTreeMap<String, Set>);

/// One ipset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// `hash:ip,port`.
    kind: String,
    family: Option<IpFamily>,
    options: BTreeMap<String, String>,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    value: String,
    nomatch: bool,
    wildcard: bool,
    timeout: bool,
}

/// What one dimension of a set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Address,
    Ether,
    /// With the protocol, as the hash types have it.
    ProtocolPort,
    /// The port of TCP or UDP alone.
    Port,
    Interface,
    Mark,
}

/// A set that can be looked up.
#[derive(Debug, Clone, PartialEq)]
pub struct Lookup {
    pub parts: Vec<Part>,
    /// `None`: of either family.
    pub family: Option<IpFamily>,
    /// Some element stands for a type and code of ICMP, which is the source port to the kernel, and not the destination port.
    pub icmp: bool,
    timeouts: bool,
    /// One expression for each part of the key.
    elements: Vec<Vec<Expr>>,
}

fn warning(line: usize, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        source: format!("ipset:{line}"),
        message,
    }
}

/// Reads `ipset save` or `ipset save -o xml`. Diagnostics name the line.
pub fn read(text: &str) -> (Sets, Vec<Diagnostic>) {
    let mut sets = Sets::default();
    let mut diagnostics = Vec::new();
    let start = text.trim_start();
    let lines: Vec<(usize, &str, Vec<String>)> =
        match start.starts_with("<ipsets>") || start.starts_with("<?xml") {
            true => of_xml(text, &mut diagnostics),
            false => (1..)
                .zip(text.lines())
                .map(|(number, line)| (number, line, super::save::words(line)))
                .collect(),
        };
    for (number, line, words) in lines {
        let mut warn = |message: String| diagnostics.push(warning(number, message));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            [] => {}
            [comment, ..] if comment.starts_with('#') => {}
            ["create" | "-N" | "--create", name, kind, options @ ..] => {
                sets.0.insert((*name).to_owned(), Set::new(kind, options));
            }
            ["add" | "-A" | "--add", name, value, options @ ..] => match sets.0.get_mut(*name) {
                Some(set) => set.entries.push(Entry {
                    value: (*value).to_owned(),
                    nomatch: options.contains(&"nomatch"),
                    wildcard: options.contains(&"wildcard"),
                    timeout: options
                        .iter()
                        .position(|word| *word == "timeout")
                        .and_then(|at| options.get(at + 1))
                        .is_some_and(|seconds| *seconds != "0"),
                }),
                None => warn(format!("an element of a set that is not created: `{line}`")),
            },
            _ => warn(format!("line not understood: `{line}`")),
        }
    }
    (sets, diagnostics)
}

/// The commands that `ipset save` would print for its `-o xml`.
///
/// ipset writes each set and each element in lines of its own and escapes nothing (`<comment>"a <b>"</comment>`), so its XML is read as those
/// lines, not as XML.
fn of_xml<'a>(
    text: &'a str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<(usize, &'a str, Vec<String>)> {
    let mut found: Vec<(usize, &str, Vec<String>)> = Vec::new();
    let mut name = "";
    let mut kind = "";
    let mut has_members = false;
    let mut ended = false;
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        let mut add = |words: Vec<&str>| {
            let words = words.into_iter().map(str::to_owned).collect();
            found.push((number, line, words));
        };
        if let Some(rest) = line.strip_prefix("<ipset name=\"") {
            name = rest.strip_suffix("\">").unwrap_or(rest);
            (kind, has_members) = ("", false);
        } else if let Some(value) = inside(line, "type") {
            kind = value;
        } else if let Some(rest) = line.strip_prefix("<header>") {
            let mut words = vec!["create", name, kind];
            words.extend(tags(rest));
            add(words);
        } else if line.starts_with("<members>") {
            has_members = true;
        } else if let Some(member) = line.strip_prefix("<member>") {
            match inside(member, "elem") {
                Some(value) => {
                    let rest = member.split_once("</elem>").map_or("", |(_, rest)| rest);
                    let rest = rest.split("<comment>").next().unwrap_or_default();
                    let mut words = vec!["add", name, value];
                    words.extend(tags(rest));
                    add(words);
                }
                None => diagnostics.push(warning(number, format!("line not understood: `{line}`"))),
            }
        } else if line == "</ipset>" {
            if !has_members {
                found.retain(|(_, _, words)| words.get(1).is_none_or(|of| of != name));
                let message =
                    format!("set `{name}` is listed without its members; give `ipset save -o xml`");
                diagnostics.push(warning(number, message));
            }
            name = "";
        } else if line == "</ipsets>" {
            ended = true;
        } else if !is_noise(line) {
            diagnostics.push(warning(number, format!("line not understood: `{line}`")));
        }
    }
    if !ended {
        let lines = text.lines().count();
        // a set that is cut has not all of its elements
        found.retain(|(_, _, words)| name.is_empty() || words.get(1).is_none_or(|of| of != name));
        let set = match name {
            "" => String::new(),
            name => format!("; set `{name}` is left out"),
        };
        diagnostics.push(warning(
            lines,
            format!("the text ends before `</ipsets>`{set}"),
        ));
    }
    found
}

/// Lines of a listing that say nothing of what is in a set.
fn is_noise(line: &str) -> bool {
    let names = ["revision", "memsize", "references", "numentries"];
    line.is_empty()
        || matches!(line, "<ipsets>" | "</header>" | "</members>")
        || line.starts_with("<?xml")
        || names.iter().any(|name| inside(line, name).is_some())
}

/// `VALUE` of `<NAME>VALUE</NAME>` at the beginning.
fn inside<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = text.strip_prefix('<')?.strip_prefix(name)?;
    let (value, _) = rest.strip_prefix('>')?.split_once("</")?;
    Some(value)
}

/// Names and values of `<a>1</a><b/>` as words.
fn tags(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some((tag, after)) = rest.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        rest = after;
        if let Some(flag) = tag.strip_suffix('/') {
            words.push(flag);
        } else if let Some((value, after)) = after.split_once("</") {
            words.extend([tag, value]);
            rest = after.split_once('>').map_or("", |(_, rest)| rest);
        }
    }
    words
}

impl Set {
    fn new(kind: &str, words: &[&str]) -> Set {
        let mut options = BTreeMap::new();
        let mut at = 0;
        while let Some(word) = words.get(at) {
            at += 1;
            // the options without a value
            if matches!(*word, "counters" | "comment" | "skbinfo" | "forceadd") {
                continue;
            }
            if let Some(value) = words.get(at) {
                options.insert((*word).to_owned(), (*value).to_owned());
                at += 1;
            }
        }
        let has_addresses = kind.contains("ip") || kind.contains("net");
        let family = match options.get("family").map(String::as_str) {
            Some("inet6") => Some(IpFamily::Ip6),
            _ if has_addresses => Some(IpFamily::Ip),
            _ => None,
        };
        Set {
            kind: kind.to_owned(),
            family,
            options,
            entries: Vec::new(),
        }
    }

    fn lookup(&self) -> Result<Lookup, String> {
        let Some((method, kinds)) = self.kind.split_once(':') else {
            return Err(format!("type `{}` is not known", self.kind));
        };
        if self.options.contains_key("bitmask") || self.options.contains_key("markmask") {
            return Err("compares through a mask".into());
        }
        let mut parts = Vec::new();
        for kind in kinds.split(',') {
            parts.push(match (method, kind) {
                (_, "ip" | "net") => Part::Address,
                (_, "mac") => Part::Ether,
                ("bitmap", "port") => Part::Port,
                (_, "port") => Part::ProtocolPort,
                (_, "iface") => Part::Interface,
                (_, "mark") => Part::Mark,
                _ => return Err(format!("type `{}` is not known", self.kind)),
            });
        }
        if parts.contains(&Part::Ether) && parts.len() > 1 {
            return Err(format!("type `{}` has no equivalent in nft", self.kind));
        }
        let netmask = match self.options.get("netmask").map(|text| text.parse::<u32>()) {
            None => None,
            Some(Ok(len)) => Some(len),
            Some(Err(_)) => return Err("compares through a mask".into()),
        };
        let mut icmp = false;
        let mut rows = Vec::new();
        for entry in &self.entries {
            let unread = || format!("its element `{}` is not understood", entry.value);
            let mut values = entry.value.split(',');
            let mut row = Vec::new();
            for part in &parts {
                let text = values.next().ok_or_else(unread)?;
                match part {
                    Part::Address => {
                        let (low, high) =
                            addresses(text, self.family, netmask).ok_or_else(unread)?;
                        row.push(Value::Addresses(low, high));
                    }
                    Part::Ether => row.push(Value::Is(vec![word(text.to_ascii_lowercase())])),
                    Part::Port => row.push(Value::Is(vec![port(text).ok_or_else(unread)?])),
                    Part::ProtocolPort => {
                        let (protocol, value) = text.split_once(':').unwrap_or(("tcp", text));
                        let value = match protocol {
                            "tcp" | "udp" | "udplite" | "sctp" => port(value),
                            "icmp" | "icmpv6" | "ipv6-icmp" => {
                                icmp = true;
                                icmp_value(protocol, value)
                            }
                            _ => None,
                        };
                        row.push(Value::Is(vec![word(protocol), value.ok_or_else(unread)?]));
                    }
                    Part::Interface if text.starts_with("physdev:") => {
                        return Err("asks for the port of a bridge".into());
                    }
                    Part::Interface if entry.wildcard => {
                        row.push(Value::Is(vec![word(format!("{text}*"))]))
                    }
                    Part::Interface => row.push(Value::Is(vec![word(text)])),
                    Part::Mark => {
                        let mark = super::translate::parse_number(text).ok_or_else(unread)?;
                        row.push(Value::Is(vec![Expr::Number(mark.into())]));
                    }
                }
            }
            if values.next().is_some() {
                return Err(unread());
            }
            rows.push((row, entry.nomatch));
        }
        let timeouts =
            self.options.contains_key("timeout") || self.entries.iter().any(|e| e.timeout);
        Ok(Lookup {
            parts,
            family: self.family,
            icmp,
            timeouts,
            elements: resolve(rows, self.family)?,
        })
    }
}

/// One part of an element.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Addresses(u128, u128),
    Is(Vec<Expr>),
}

/// The elements as keys that match, with the longest of nested prefixes deciding.
fn resolve(
    rows: Vec<(Vec<Value>, bool)>,
    family: Option<IpFamily>,
) -> Result<Vec<Vec<Expr>>, String> {
    let nets = |row: &[Value]| {
        row.iter()
            .filter(|v| matches!(v, Value::Addresses(..)))
            .count()
    };
    if rows.iter().any(|(row, nomatch)| *nomatch && nets(row) != 1) {
        return Err("has `nomatch` elements of several networks".into());
    }
    let at = rows
        .first()
        .and_then(|(row, _)| row.iter().position(|v| matches!(v, Value::Addresses(..))));
    let write = |row: &[Value]| -> Vec<Expr> {
        row.iter()
            .flat_map(|value| match value {
                Value::Addresses(low, high) => vec![address_expr(*low, *high, family)],
                Value::Is(exprs) => exprs.clone(),
            })
            .collect()
    };
    let Some(at) = at.filter(|_| rows.iter().all(|(row, _)| nets(row) == 1)) else {
        return Ok(rows.iter().map(|(row, _)| write(row)).collect());
    };
    // by what else the key has
    type Range = (u128, u128, bool);
    let mut groups: Vec<(Vec<Value>, Vec<Range>)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (mut row, nomatch) in rows {
        let Value::Addresses(low, high) = row[at] else {
            continue;
        };
        row[at] = Value::Addresses(0, 0);
        let place = *places.entry(format!("{row:?}")).or_insert_with(|| {
            groups.push((row, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push((low, high, nomatch));
    }
    let mut elements = Vec::new();
    for (mut row, ranges) in groups {
        for (low, high) in disjoint(ranges) {
            row[at] = Value::Addresses(low, high);
            elements.push(write(&row));
        }
    }
    Ok(elements)
}

/// The addresses that match, as disjoint ranges in order. Of the ranges around an address the smallest decides; they nest, as prefixes do.
fn disjoint(mut ranges: Vec<(u128, u128, bool)>) -> Vec<(u128, u128)> {
    // outer before inner
    ranges.sort_by_key(|&(low, high, nomatch)| (low, std::cmp::Reverse(high), nomatch));
    let mut found: Vec<(u128, u128)> = Vec::new();
    let mut push = |low: u128, high: u128, matches: bool| {
        if !matches {
            return;
        }
        match found.last_mut() {
            Some(last) if last.1 >= low => last.1 = last.1.max(high),
            Some(last) if last.1.checked_add(1) == Some(low) => last.1 = high,
            _ => found.push((low, high)),
        }
    };
    // the ranges around the place reached, and the first address not yet decided
    let mut around: Vec<(u128, bool)> = Vec::new();
    let mut next = Some(0u128);
    let mut close =
        |around: &mut Vec<(u128, bool)>, next: &mut Option<u128>, before: Option<u128>| {
            while let Some(&(high, matches)) = around.last() {
                if before.is_some_and(|before| high >= before) {
                    break;
                }
                if let Some(low) = next.filter(|low| *low <= high) {
                    push(low, high, matches);
                    *next = high.checked_add(1);
                }
                around.pop();
            }
            if let (Some(before), Some(&(_, matches)), Some(low)) = (before, around.last(), *next)
                && low < before
            {
                push(low, before - 1, matches);
            }
            if before.is_some() {
                *next = before;
            }
        };
    for (low, high, nomatch) in ranges {
        close(&mut around, &mut next, Some(low));
        around.push((high, !nomatch));
    }
    close(&mut around, &mut next, None);
    found
}

fn address_expr(low: u128, high: u128, family: Option<IpFamily>) -> Expr {
    let show = |bits: u128| match family {
        Some(IpFamily::Ip6) => word(Ipv6Addr::from_bits(bits).to_string()),
        _ => word(Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX)).to_string()),
    };
    if low == high {
        return show(low);
    }
    let width = if family == Some(IpFamily::Ip6) {
        128
    } else {
        32
    };
    let size = high - low;
    if size & size.wrapping_add(1) == 0 && low & size == 0 {
        return Expr::Prefix(Box::new(Prefix {
            addr: show(low),
            len: width - size.count_ones(),
            extra: ast::Extra::default(),
        }));
    }
    Expr::Range(Box::new((show(low), show(high))))
}

fn word(text: impl AsRef<str>) -> Expr {
    Expr::String(Str::from(text.as_ref()))
}

/// `A`, `A-B` or `A/LEN` as the first and last address.
fn addresses(text: &str, family: Option<IpFamily>, netmask: Option<u32>) -> Option<(u128, u128)> {
    let bits = |text: &str| match (text.parse::<IpAddr>().ok()?, family) {
        (IpAddr::V4(v4), Some(IpFamily::Ip)) => Some((u128::from(v4.to_bits()), 32u32)),
        (IpAddr::V6(v6), Some(IpFamily::Ip6)) => Some((v6.to_bits(), 128)),
        _ => None,
    };
    if let Some((low, high)) = text.split_once('-') {
        return Some((bits(low)?.0, bits(high)?.0)).filter(|(low, high)| low <= high);
    }
    let (address, len) = match text.split_once('/') {
        Some((address, len)) => (address, Some(len.parse::<u32>().ok()?)),
        None => (text, netmask),
    };
    let (low, width) = bits(address)?;
    let host = match width.checked_sub(len.unwrap_or(width))? {
        128 => u128::MAX,
        free => (1u128 << free) - 1,
    };
    Some((low & !host, low | host))
}

/// A port, or a range of ports.
fn port(text: &str) -> Option<Expr> {
    let number = |text: &str| text.parse::<u16>().ok().map(|n| Expr::Number(n.into()));
    match text.split_once('-') {
        Some((low, high)) => Some(Expr::Range(Box::new((number(low)?, number(high)?)))),
        None => number(text),
    }
}

/// Type and code of ICMP as the kernel compares them: the first two bytes of the header (`ip_set_get_ip4_port`).
fn icmp_value(protocol: &str, text: &str) -> Option<Expr> {
    let (kind, code) = match text.split_once('/') {
        Some((kind, code)) => (kind.parse::<u8>().ok()?, code.parse::<u8>().ok()?),
        None => super::translate::icmp_name(protocol == "icmp", text)?,
    };
    Some(Expr::Number(
        (u16::from(kind) << 8 | u16::from(code)).into(),
    ))
}

impl Sets {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the sets of another text.
    pub fn extend(&mut self, other: Sets) {
        self.0.extend(other.0);
    }

    /// Whether the text has this set, and for a list each of its members.
    pub fn has(&self, name: &str) -> bool {
        let members = |set: &Set| {
            set.kind != "list:set" || set.entries.iter().all(|of| self.0.contains_key(&of.value))
        };
        self.0.get(name).is_some_and(members)
    }

    /// The set of this name as one that can be looked up, or why it cannot be.
    pub fn lookup(&self, name: &str) -> Result<Lookup, String> {
        let Some(set) = self.0.get(name) else {
            return Err(if self.is_empty() {
                format!(
                    "the contents of ipset `{name}` are not given; `ipset save` has them (`--ipset FILE`)"
                )
            } else {
                format!("ipset `{name}` is not in `ipset save`")
            });
        };
        if set.kind != "list:set" {
            return set.lookup().map_err(|why| format!("ipset `{name}`: {why}"));
        }
        // a list matches when any of its members does
        let mut all: Option<Lookup> = None;
        for entry in &set.entries {
            let member = match self.0.get(&entry.value) {
                Some(member) => member
                    .lookup()
                    .map_err(|why| format!("ipset `{}`: {why}", entry.value))?,
                None => return Err(format!("ipset `{}` is not in `ipset save`", entry.value)),
            };
            match &mut all {
                None => all = Some(member),
                Some(found) if found.parts == member.parts && found.family == member.family => {
                    found.icmp |= member.icmp;
                    found.timeouts |= member.timeouts;
                    found.elements.extend(member.elements);
                }
                Some(_) => return Err(format!("ipset `{name}` lists sets of different types")),
            }
        }
        let mut found = all.ok_or_else(|| format!("ipset `{name}` is an empty list"))?;
        found.timeouts |= entries_expire(set);
        Ok(found)
    }

    /// The sets that the rules of a table ask for, as objects of that table.
    pub fn objects(&self, family: Family, table: &str, chains: &[Chain]) -> Vec<Object> {
        let of_ip = match family {
            Family::Ip => IpFamily::Ip,
            Family::Ip6 => IpFamily::Ip6,
            // ebtables asks for none
            Family::Bridge => return Vec::new(),
        };
        let rules = chains.iter().flat_map(|chain| &chain.rules);
        let options = rules.flat_map(|rule| {
            let target = rule.target.iter().filter(|t| t.name == "SET");
            rule.matches
                .iter()
                .filter(|m| m.name == "set")
                .flat_map(|m| &m.options)
                .chain(target.flat_map(|t| &t.options))
        });
        let names: BTreeSet<&str> = options.filter_map(named_by).collect();
        names
            .into_iter()
            .filter_map(|name| {
                let lookup = self.lookup(name).ok()?;
                Some(Object::Set(Box::new(lookup.object(of_ip, table, name))))
            })
            .collect()
    }
}

fn entries_expire(set: &Set) -> bool {
    set.options.contains_key("timeout") || set.entries.iter().any(|entry| entry.timeout)
}

/// The set that an option of `-m set` or `-j SET` names.
pub fn named_by(opt: &Opt) -> Option<&str> {
    matches!(
        opt.name.as_str(),
        "--match-set" | "--set" | "--add-set" | "--del-set" | "--map-set"
    )
    .then(|| opt.values.first().map(String::as_str))
    .flatten()
}

impl Lookup {
    fn object(self, family: IpFamily, table: &str, name: &str) -> ast::Set {
        let v6 = self.family.unwrap_or(family) == IpFamily::Ip6;
        let address = if v6 { "ipv6_addr" } else { "ipv4_addr" };
        let types: Vec<TypeSpec> = self
            .parts
            .iter()
            .flat_map(|part| match part {
                Part::Address => vec![address],
                Part::Ether => vec!["ether_addr"],
                Part::ProtocolPort => vec!["inet_proto", "inet_service"],
                Part::Port => vec!["inet_service"],
                Part::Interface => vec!["ifname"],
                Part::Mark => vec!["mark"],
            })
            .map(|name| TypeSpec::Name(name.into()))
            .collect();
        let mut flags: Vec<Str> = Vec::new();
        let ranged = |expr: &Expr| match expr {
            Expr::Prefix(_) | Expr::Range(_) => true,
            Expr::String(text) => text.ends_with('*'),
            _ => false,
        };
        if self.elements.iter().flatten().any(ranged) {
            flags.push("interval".into());
        }
        if self.timeouts {
            flags.push("timeout".into());
        }
        let one = |mut parts: Vec<Expr>| match parts.len() {
            1 => parts.remove(0),
            _ => Expr::Concat(parts),
        };
        ast::Set {
            family: family.as_str().into(),
            name: name.into(),
            table: table.into(),
            key_type: Some(match <[TypeSpec; 1]>::try_from(types) {
                Ok([one]) => one,
                Err(many) => TypeSpec::List(many),
            }),
            flags: (!flags.is_empty()).then_some(OneOrMany::Many(flags)),
            elem: Some(self.elements.into_iter().map(one).collect()),
            ..ast::Set::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVE: &str = "create bad hash:net family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x83b4c89f\n\
        add bad 10.1.0.0/16 nomatch\nadd bad 10.0.0.0/8\nadd bad 10.1.2.0/24\nadd bad 11.0.0.0/8\n\
        create web hash:ip,port family inet hashsize 1024 maxelem 65536 timeout 100 bucketsize 12 initval 0xe7f366bc\n\
        add web 10.0.0.1,tcp:80 timeout 99\nadd web 10.0.0.1,icmp:echo-request timeout 99\n\
        create ports bitmap:port range 1-100\nadd ports 20\n\
        create coarse hash:ip family inet netmask 24\nadd coarse 10.5.6.0\n\
        create all list:set size 8\nadd all bad\nadd all coarse\n";

    fn elements(name: &str) -> Vec<String> {
        let (sets, said) = read(SAVE);
        assert_eq!(said, []);
        let lookup = sets.lookup(name).expect("a set");
        lookup
            .elements
            .iter()
            .map(|parts| {
                parts
                    .iter()
                    .map(crate::nft::print::expr)
                    .collect::<Vec<_>>()
                    .join(" . ")
            })
            .collect()
    }

    #[test]
    fn the_longest_prefix_decides() {
        assert_eq!(
            elements("bad"),
            ["10.0.0.0/16", "10.1.2.0/24", "10.2.0.0-11.255.255.255"]
        );
    }

    #[test]
    fn ports_masks_and_lists_are_read() {
        assert_eq!(
            elements("web"),
            ["10.0.0.1 . tcp . 80", "10.0.0.1 . icmp . 2048"]
        );
        assert_eq!(elements("ports"), ["20"]);
        assert_eq!(elements("coarse"), ["10.5.6.0/24"]);
        assert_eq!(elements("all").len(), 4);
        let (sets, _) = read(SAVE);
        assert!(sets.lookup("web").is_ok_and(|set| set.timeouts && set.icmp));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let (sets, said) = read("create a hash:new,thing\nadd b 1\nnonsense\n");
        let said: Vec<String> = said.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "warning: ipset:2: an element of a set that is not created: `add b 1`",
                "warning: ipset:3: line not understood: `nonsense`"
            ]
        );
        assert_eq!(
            sets.lookup("a").expect_err("an unknown type"),
            "ipset `a`: type `hash:new,thing` is not known"
        );
        assert_eq!(
            sets.lookup("c").expect_err("no such set"),
            "ipset `c` is not in `ipset save`"
        );
    }

    /// As ipset 7.17 prints the sets of `SAVE` and one more.
    const XML: &str = "<ipsets>\n<ipset name=\"bad\">\n<type>hash:net</type>\n<revision>7</revision>\n<header><family>inet</family><hashsize>1024</hashsize><maxelem>65536</maxelem><counters/><comment/><bucketsize>12</bucketsize><initval>0x83b4c89f</initval>\n<memsize>714</memsize>\n<references>1</references>\n<numentries>4</numentries>\n</header>\n<members>\n\
        <member><elem>10.1.0.0/16</elem><nomatch/><packets>0</packets><bytes>0</bytes><comment>\"a <b></elem> & c\"</comment></member>\n<member><elem>10.0.0.0/8</elem></member>\n<member><elem>10.1.2.0/24</elem></member>\n<member><elem>11.0.0.0/8</elem></member>\n</members>\n</ipset>\n\
        <ipset name=\"web\">\n<type>hash:ip,port</type>\n<revision>7</revision>\n<header><family>inet</family><hashsize>1024</hashsize><maxelem>65536</maxelem><timeout>100</timeout><bucketsize>12</bucketsize><initval>0xe7f366bc</initval>\n<memsize>336</memsize>\n<references>0</references>\n<numentries>2</numentries>\n</header>\n<members>\n<member><elem>10.0.0.1,tcp:80</elem><timeout>99</timeout></member>\n<member><elem>10.0.0.1,icmp:echo-request</elem><timeout>99</timeout></member>\n</members>\n</ipset>\n</ipsets>\n";

    #[test]
    fn xml_says_what_the_text_says() {
        let (text, _) = read(SAVE);
        let (xml, said) = read(XML);
        assert_eq!(said, []);
        for name in ["bad", "web"] {
            assert_eq!(xml.lookup(name), text.lookup(name));
        }
    }

    #[test]
    fn cut_and_terse_xml_is_told() {
        let cut = &XML[..XML.find("<member><elem>10.0.0.1,icmp").unwrap_or_default()];
        let (sets, said) = read(cut);
        let message = &said.first().expect("a warning").message;
        assert_eq!(
            message,
            "the text ends before `</ipsets>`; set `web` is left out"
        );
        assert!(sets.lookup("bad").is_ok() && sets.lookup("web").is_err());
        let terse: String = XML
            .lines()
            .filter(|line| !line.contains("member"))
            .flat_map(|line| [line, "\n"])
            .collect();
        let (sets, said) = read(&terse);
        assert_eq!(said.len(), 2);
        assert!(said[0].message.contains("without its members"), "{said:?}");
        assert!(sets.lookup("bad").is_err());
    }
}
