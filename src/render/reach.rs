//! `nfpath reach` as text.

use ipnet::IpNet;
use unicode_width::UnicodeWidthStr;

use crate::flow::asked::flags;
use crate::logic::{self, Ranges};
use crate::packet::{address, range_of};
use crate::reach::class::{Class, Target, numbers, protocols};
use crate::reach::{Cited, Reach, State};
use crate::ruleset::datatype::DataType;
use crate::sets::prefixes;

use super::safe;

/// How many addresses of a row are told.
const ADDRESSES: usize = 4;

/// The rows: the packets, where they go, by which rules, what it rests on, and a flow.
pub fn text(reach: &Reach, width: usize) -> String {
    let mut out = String::new();
    let is_answer = reach.state == State::Established;
    if reach.rows.is_empty() && reach.given_up.is_none() {
        out += match is_answer {
            true => "no answer gets through\n",
            false => "nothing gets there\n",
        };
    }
    for row in &reach.rows {
        let from = if row.sent_here {
            "from this host, "
        } else {
            ""
        };
        let head = format!("{from}{}", class(&row.class, row.zone.as_deref()));
        out += &wrapped(&head, "", width);
        let mut then = translated(row.translated);
        then += &match (is_answer, &row.leaves_by) {
            (false, None) => "reaches this host".to_string(),
            (false, Some(oif)) => format!("leaves by {oif}"),
            (true, None) => "its answers reach this host".to_string(),
            (true, Some(oif)) => format!("its answers leave by {oif}"),
        };
        let (rules, policies): (Vec<&Cited>, Vec<&Cited>) =
            row.by.iter().partition(|cited| !cited.text.is_empty());
        // where a rule lets pass, the policies of chains that pass it on tell nothing more
        if let (true, [first, ..]) = (rules.is_empty(), policies.as_slice()) {
            then += &format!(", by {}", first.place);
        }
        out += &wrapped(&then, "    ", width);
        for cited in rules {
            let line = format!("{}  {}", cited.place, cited.text);
            out += &wrapped(&line, "        ", width);
        }
        if !row.rests_on.is_empty() {
            let rests = format!("rests on: {}", row.rests_on.join("; "));
            out += &wrapped(&rests, "    ", width);
        }
        let witness = &row.witness;
        let iif = witness.iif.as_deref();
        let flow = flags(&witness.flow, iif, witness.tcp_flags, witness.icmp);
        let disagrees = if witness.confirmed {
            ""
        } else {
            " (explain does not agree)"
        };
        let example = format!("flow    {flow}{disagrees}");
        out += &wrapped(&example, "    ", width);
    }
    let confirmed = reach.rows.iter().filter(|row| row.witness.confirmed);
    match (reach.rows.len(), confirmed.count()) {
        (0, _) => {}
        (1, 1) => out += "1 row; `nfpath explain` says the same of its flow\n",
        (all, same) if all == same => {
            let words = format!("{all} rows; `nfpath explain` says the same of each flow");
            out += &wrapped(&words, "", width);
        }
        (all, same) => {
            let rows = if all == 1 { "row" } else { "rows" };
            let words = format!("{all} {rows}; `nfpath explain` says the same of {same} flows");
            out += &wrapped(&words, "", width);
        }
    }
    if let Some(why) = &reach.given_up {
        out += &wrapped(&format!("these are not all: {why}"), "", width);
    }
    if reach.truncated {
        out += "there are more rows; ask for less with `--to`, `--from` or `--from-iface`\n";
    }
    for words in &reach.left_out {
        out += &wrapped(&format!("left out: {words}"), "", width);
    }
    for words in &reach.not_asked {
        out += &wrapped(&format!("not asked: {words}"), "", width);
    }
    for words in &reach.assumed {
        out += &wrapped(&format!("taken for usual: {words}"), "", width);
    }
    out
}

/// `translated to 172.17.0.2:80, `
pub(super) fn translated(to: Option<Target>) -> String {
    match to {
        Some(to) if to.is_picked() => format!("translated to one of {to}, "),
        Some(to) => format!("translated to {to}, "),
        None => String::new(),
    }
}

/// ICMP messages: ` type echo-request, 15`, or with codes ` type/code 3/4`; `None`: all.
fn messages(ranges: &Ranges, types: DataType) -> Option<String> {
    if ranges.as_slice() == [(0, 0xffff)] {
        return None;
    }
    let whole = ranges
        .iter()
        .all(|(lo, hi)| lo % 256 == 0 && hi % 256 == 255);
    let range = |lo: String, hi: String| if lo == hi { lo } else { format!("{lo}-{hi}") };
    let one = |(lo, hi): &(u128, u128)| match whole {
        true if lo / 256 == hi / 256 => types.display(lo / 256),
        true => range((lo / 256).to_string(), (hi / 256).to_string()),
        false => range(
            format!("{}/{}", lo / 256, lo % 256),
            format!("{}/{}", hi / 256, hi % 256),
        ),
    };
    let words: Vec<String> = ranges.iter().map(one).collect();
    let what = if whole { "type" } else { "type/code" };
    Some(format!(" {what} {}", words.join(", ")))
}

/// `eth0 (zone public): tcp from any to 192.0.2.10 port 22`
pub(super) fn class(class: &Class, zone: Option<&str>) -> String {
    let zone = zone.map_or(String::new(), |zone| format!(" (zone {zone})"));
    let interfaces = match class.interfaces.as_slice() {
        [] => String::new(),
        names => format!("{}{zone}: ", names.join(", ")),
    };
    let port = numbers(&class.ports, 16).map_or(String::new(), |port| format!(" port {port}"));
    let sport = match class.protocols.as_slice() {
        [(1, 1)] => messages(&class.source_ports, DataType::IcmpType),
        [(58, 58)] => messages(&class.source_ports, DataType::Icmpv6Type),
        _ => numbers(&class.source_ports, 16).map(|port| format!(" from port {port}")),
    };
    let sport = sport.unwrap_or_default();
    let sources = nets(&class.sources, Some(&class.excluded));
    let elsewhere = match (class.v6, class.protocols.as_slice()) {
        (false, [(58, 58)]) => " in IPv4",
        (true, [(1, 1)]) => " in IPv6",
        _ => "",
    };
    format!(
        "{interfaces}{}{elsewhere} from {} to {}{port}{sport}",
        protocols(&class.protocols),
        sources,
        nets(&class.destinations, None),
    )
}

/// Prefixes, or all but those that are not among them; `excluded` of these count, where others do not matter.
fn nets(nets: &[IpNet], excluded: Option<&[IpNet]>) -> String {
    let width = if is_v6(nets) { 128 } else { 32 };
    let ranges_of = |nets: &[IpNet]| -> Ranges { nets.iter().map(|net| range_of(*net)).collect() };
    let missing = others(&ranges_of(nets), width);
    // twice: ranges that touch are one
    let (these, others) = match excluded {
        None => (others(&missing, width), missing),
        Some(excluded) => {
            let some = others(&ranges_of(excluded), width);
            (others(&missing, width), others(&some, width))
        }
    };
    let size = |ranges: &Ranges| -> u128 {
        let sizes = ranges.iter().map(|(lo, hi)| hi - lo);
        sizes.fold(0, u128::saturating_add)
    };
    let v6 = is_v6(nets);
    if others.is_empty() {
        return "any".into();
    }
    if (others.len() <= these.len() + 1 || excluded.is_some()) && size(&these) > size(&others) {
        return format!("any but {}", listed(&others, v6));
    }
    let cover = cover(&these, width);
    let without = logic::subtract(&[cover], &these);
    if !without.is_empty() && without.len() < these.len() && size(&these) > size(&without) {
        let cover = listed(&vec![cover], v6);
        return format!("{cover} but {}", listed(&without, v6));
    }
    listed(&these, v6)
}

/// The smallest prefix that has all of some ranges in it, as a range.
fn cover(ranges: &Ranges, width: u32) -> (u128, u128) {
    let lo = ranges.first().map_or(0, |(lo, _)| *lo);
    let hi = ranges.last().map_or(0, |(_, hi)| *hi);
    let free = (128 - (lo ^ hi).leading_zeros()).min(width);
    let host = if free == 0 { 0 } else { logic::max_of(free) };
    (lo & !host, lo | host)
}

/// All that is not in some ranges.
fn others(ranges: &[(u128, u128)], width: u32) -> Ranges {
    logic::subtract(&[(0, logic::max_of(width))], ranges)
}

fn is_v6(nets: &[IpNet]) -> bool {
    nets.iter().any(|net| net.addr().is_ipv6())
}

/// A few ranges, each as a prefix where it is one.
fn listed(ranges: &Ranges, v6: bool) -> String {
    let width = if v6 { 128 } else { 32 };
    let one = |range: &(u128, u128)| {
        let (lo, hi) = (address(range.0, v6), address(range.1, v6));
        match prefixes(&[*range], width).as_slice() {
            _ if lo == hi => lo.to_string(),
            [(_, len)] => format!("{lo}/{len}"),
            _ => format!("{lo}-{hi}"),
        }
    };
    let shown: Vec<String> = ranges.iter().take(ADDRESSES).map(one).collect();
    let more = match ranges.len().saturating_sub(ADDRESSES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    shown.join(", ") + &more
}

/// A line, wrapped between words; what follows is indented further.
pub(super) fn wrapped(text: &str, indent: &str, width: usize) -> String {
    let text = safe::terminal(text);
    let mut out = String::new();
    let mut line = indent.to_string();
    let mut is_first = true;
    for word in text.split(' ') {
        if !is_first && line.width() + 1 + word.width() > width {
            out += line.trim_end();
            out.push('\n');
            line = format!("{indent}  {word}");
        } else {
            if !is_first {
                line.push(' ');
            }
            line += word;
        }
        is_first = false;
    }
    out += line.trim_end();
    out.push('\n');
    out
}
