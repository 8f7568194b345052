//! `nfpath reach` as text.

use std::net::{IpAddr, SocketAddr};

use unicode_width::UnicodeWidthStr;

use crate::logic::Ranges;
use crate::reach::Reach;
use crate::reach::class::{Class, numbers, protocols};

use super::safe;

/// How many addresses of a row are told.
const ADDRESSES: usize = 4;

/// The rows, two lines each and more where they rest on something.
pub fn text(reach: &Reach, width: usize) -> String {
    let mut out = String::new();
    if reach.rows.is_empty() {
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
            "for example {} --iif {} ({said})",
            row.witness.flow, row.witness.iif
        );
        out += &wrapped(&witness, "    ", width);
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

fn nets(nets: &[ipnet::IpNet]) -> String {
    if nets.len() == 1 && nets[0].prefix_len() == 0 {
        return "any".into();
    }
    let others = others(nets);
    if others.len() < nets.len() {
        return format!("any but {}", listed(&others));
    }
    listed(nets)
}

/// The prefixes of all other addresses.
fn others(nets: &[ipnet::IpNet]) -> Vec<ipnet::IpNet> {
    let bits = |ip: std::net::IpAddr| match ip {
        std::net::IpAddr::V4(v4) => u128::from(v4.to_bits()),
        std::net::IpAddr::V6(v6) => v6.to_bits(),
    };
    let v6 = nets.iter().any(|net| net.addr().is_ipv6());
    let width = if v6 { 128 } else { 32 };
    let ranges: Vec<(u128, u128)> = nets
        .iter()
        .map(|net| (bits(net.network()), bits(net.broadcast())))
        .collect();
    let rest = crate::logic::subtract(&[(0, crate::logic::max_of(width))], &ranges);
    let found = crate::sets::prefixes(&rest, width).into_iter();
    found
        .filter_map(|(value, len)| {
            let ip = match v6 {
                true => std::net::IpAddr::V6(value.into()),
                false => std::net::IpAddr::V4((value as u32).into()),
            };
            ipnet::IpNet::new(ip, len as u8).ok()
        })
        .collect()
}

fn listed(nets: &[ipnet::IpNet]) -> String {
    let shown: Vec<String> = nets
        .iter()
        .take(ADDRESSES)
        .map(|net| {
            if net.prefix_len() == net.max_prefix_len() {
                net.addr().to_string()
            } else {
                net.to_string()
            }
        })
        .collect();
    let more = nets.len().saturating_sub(ADDRESSES);
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more prefixes"),
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
