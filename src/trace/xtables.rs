//! Lines of `xtables-monitor --trace` (xtables-monitor(8)).
//!
//! `PACKET: FAMILY ID IN=… SRC=… …` at each built-in chain, then `TRACE: FAMILY ID TABLE:CHAIN:rule:HANDLE:VERDICT  RULE`
//! or `TRACE: FAMILY ID TABLE:CHAIN:policy:VERDICT`.

use crate::flow::logged;
use crate::packet::proto;

use super::{Event, EventKind, Glimpse};

/// What a line is.
pub(super) enum Line {
    /// The packet as it enters the chain of the next line.
    Packet(String, Glimpse),
    Event(Event),
}

/// Reads one line; `None` for anything else.
pub(super) fn parse(line: &str) -> Option<Line> {
    let line = line.trim();
    if let Some(rest) = line.strip_prefix("PACKET: ") {
        let mut words = rest.splitn(3, ' ');
        let (_, id, packet) = (words.next()?, words.next()?, words.next()?);
        return Some(Line::Packet(id.to_string(), glimpse(packet)));
    }
    let rest = line.strip_prefix("TRACE: ")?;
    let mut words = rest.splitn(4, ' ');
    let (family, id, place) = (words.next()?, words.next()?, words.next()?);
    let text = words.next().unwrap_or("").trim();
    let family = match family {
        "2" => "ip",
        "10" => "ip6",
        "7" => "bridge",
        "3" => "arp",
        _ => return None,
    };
    let mut parts = place.split(':');
    let (table, chain, what) = (parts.next()?, parts.next()?, parts.next()?);
    let rest: Vec<&str> = parts.collect();
    let kind = match (what, rest.as_slice()) {
        ("rule", [handle, verdict @ ..]) => EventKind::Rule {
            handle: u64::from_str_radix(handle.strip_prefix("0x")?, 16).ok()?,
            verdict: match verdict {
                [call, target] => format!("{} {target}", call.to_lowercase()),
                [verdict] => verdict.to_lowercase(),
                _ => return None,
            },
            text: match text.split_once(" -A ") {
                // `-4 -t raw -A PREROUTING -p icmp -j TRACE`: the chain is known
                Some((_, rule)) => rule
                    .split_once(' ')
                    .map_or("", |(_, rule)| rule)
                    .to_string(),
                None => text.to_string(),
            },
        },
        ("policy", [verdict, ..]) => EventKind::Policy {
            verdict: verdict.to_lowercase(),
        },
        _ => return None,
    };
    Some(Line::Event(Event {
        id: id.to_string(),
        family: family.to_string(),
        table: table.to_string(),
        chain: chain.to_string(),
        kind,
    }))
}

fn glimpse(text: &str) -> Glimpse {
    let value = |key: &str| logged::value(text, key);
    let proto = value("PROTO").and_then(|name| logged::protocol(name).ok());
    let ports = value("SPORT").or(value("SPT")).is_some();
    let flags = logged::tcp_flags(text);
    let flags = (flags != 0 && ports).then_some(flags);
    // the monitor does not print the protocol: only TCP has flags, and most of the others with ports are UDP
    let told = match (flags, ports) {
        (Some(_), _) => Some(proto::TCP),
        (None, true) => Some(proto::UDP),
        (None, false) => None,
    };
    Glimpse {
        iif: value("IN").map(str::to_string),
        oif: value("OUT").map(str::to_string),
        src: value("SRC").and_then(|text| text.parse().ok()),
        dst: value("DST").and_then(|text| text.parse().ok()),
        proto: proto.or(told),
        sport: value("SPORT")
            .or(value("SPT"))
            .and_then(|text| text.parse().ok()),
        dport: value("DPORT")
            .or(value("DPT"))
            .and_then(|text| text.parse().ok()),
        icmp: value("TYPE").and_then(|text| text.parse().ok()),
        tcp_flags: flags,
    }
}
