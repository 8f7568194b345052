//! `nfpath reach` as text.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use unicode_width::UnicodeWidthStr;

use crate::logic::{self, Ranges};
use crate::packet::{address, range_of};
use crate::reach::Reach;
use crate::reach::class::{Class, numbers, protocols};
use crate::sets::prefixes;

use super::safe;

/// How many addresses of a row are told.
const ADDRESSES: usize = 4;

/// The rows, two lines each and more where they rest on something.
pub fn text(reach: &Reach, width: usize) -> String {
    let mut out = String::new();
    if reach.rows.is_empty() && reach.given_up.is_none() {
        out += "nothing gets there\n";
    }
    for row in &reach.rows {
        let head = class(&row.class);
        out += &wrapped(&head, "", width);
        let mut then = translated(row.translated);
        then += &match &row.leaves_by {
            None => "reaches this host".to_string(),
            Some(oif) => format!("leaves by {oif}"),
        };
        if !row.by.is_empty() {
            then += &format!(", by {}", row.by.join("; "));
        }
        out += &wrapped(&then, "    ", width);
        if !row.rests_on.is_empty() {
            let rests = format!("rests on: {}", row.rests_on.join("; "));
            out += &wrapped(&rests, "    ", width);
        }
        let said = if row.witness.confirmed {
            "explain agrees"
        } else {
            "explain does not agree"
        };
        let witness = format!(
            "for example {} --iif {}{} ({said})",
            row.witness.flow,
            row.witness.iif,
            icmp_flag(row.witness.icmp)
        );
        out += &wrapped(&witness, "    ", width);
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

/// ` --icmp-type 3/4`
pub(super) fn icmp_flag(icmp: Option<(u8, u8)>) -> String {
    icmp.map_or(String::new(), |(kind, code)| {
        format!(" --icmp-type {kind}/{code}")
    })
}

/// `translated to 172.17.0.2:80, `
pub(super) fn translated(to: Option<(IpAddr, Option<u16>)>) -> String {
    match to {
        Some((ip, None)) => format!("translated to {ip}, "),
        Some((ip, Some(port))) => format!("translated to {}, ", SocketAddr::new(ip, port)),
        None => String::new(),
    }
}

/// ICMP messages: ` type 8, 13`, or with codes ` type/code 3/4`; `None`: all.
fn messages(ranges: &Ranges) -> Option<String> {
    if ranges.as_slice() == [(0, 0xffff)] {
        return None;
    }
    let whole = ranges
        .iter()
        .all(|(lo, hi)| lo % 256 == 0 && hi % 256 == 255);
    let range = |lo: String, hi: String| if lo == hi { lo } else { format!("{lo}-{hi}") };
    let one = |(lo, hi): &(u128, u128)| match whole {
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

/// `eth0: tcp from any to 192.0.2.10 port 22`
pub(super) fn class(class: &Class) -> String {
    let interfaces = match class.interfaces.as_slice() {
        [] => String::new(),
        names => format!("{}: ", names.join(", ")),
    };
    let port = numbers(&class.ports, 16).map_or(String::new(), |port| format!(" port {port}"));
    let is_icmp = matches!(class.protocols.as_slice(), [(1, 1)] | [(58, 58)]);
    let sport = match is_icmp {
        true => messages(&class.source_ports),
        false => numbers(&class.source_ports, 16).map(|port| format!(" from port {port}")),
    };
    let sport = sport.unwrap_or_default();
    let sources = match class.any_source {
        true => "any".into(),
        false => nets(&class.sources),
    };
    format!(
        "{interfaces}{} from {} to {}{port}{sport}",
        protocols(&class.protocols),
        sources,
        nets(&class.destinations),
    )
}

fn nets(nets: &[IpNet]) -> String {
    let width = if is_v6(nets) { 128 } else { 32 };
    let ranges: Vec<(u128, u128)> = nets.iter().map(|net| range_of(*net)).collect();
    let others_of = others(&ranges, width);
    // twice: ranges that touch are one
    let (these, others) = (others(&others_of, width), others_of);
    let size = |ranges: &Ranges| -> u128 { ranges.iter().map(|(lo, hi)| hi - lo).sum() };
    if others.is_empty() {
        "any".into()
    } else if others.len() <= these.len() + 1 && size(&these) > size(&others) {
        format!("any but {}", listed(&others, is_v6(nets)))
    } else {
        listed(&these, is_v6(nets))
    }
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
