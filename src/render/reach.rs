//! `nfpath reach` as text.

use unicode_width::UnicodeWidthStr;

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
        let to = row.translated.map(|(ip, port)| match port {
            None => ip.to_string(),
            Some(port) => std::net::SocketAddr::new(ip, port).to_string(),
        });
        let mut then = match to {
            Some(to) => format!("translated to {to}, "),
            None => String::new(),
        };
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

/// `eth0: tcp from any to 192.0.2.10 port 22`
pub(super) fn class(class: &Class) -> String {
    let interfaces = match class.interfaces.as_slice() {
        [] => String::new(),
        names => format!("{}: ", names.join(", ")),
    };
    let port = numbers(&class.ports, 16).map_or(String::new(), |port| format!(" port {port}"));
    let sport = numbers(&class.source_ports, 16);
    let is_icmp = matches!(class.protocols.as_slice(), [(1, 1)] | [(58, 58)]);
    let sport = sport.map_or(String::new(), |port| match is_icmp {
        true => format!(" type/code {port}"),
        false => format!(" from port {port}"),
    });
    format!(
        "{interfaces}{} from {} to {}{port}{sport}",
        protocols(&class.protocols),
        nets(&class.sources),
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
