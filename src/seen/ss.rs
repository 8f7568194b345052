//! Sockets as `ss -n` and `netstat -n` list them: the local end stands first.

use std::net::IpAddr;

use crate::flow::parse_protocol;
use crate::packet::proto;

use super::{Line, Seen, flow_of};

/// States of ss(8) and netstat(8).
const STATES: &[&str] = &[
    "ESTAB",
    "ESTABLISHED",
    "SYN-SENT",
    "SYN_SENT",
    "SYN-RECV",
    "SYN_RECV",
    "FIN-WAIT-1",
    "FIN_WAIT1",
    "FIN-WAIT-2",
    "FIN_WAIT2",
    "TIME-WAIT",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE-WAIT",
    "CLOSE_WAIT",
    "LAST-ACK",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "UNCONN",
];

/// `tcp ESTAB 0 0 10.0.0.1:22 10.0.0.5:50000 …`, with or without the first word
pub(super) fn line(text: &str) -> Line {
    let words: Vec<&str> = text.split_whitespace().collect();
    if matches!(
        words.first(),
        Some(&("Netid" | "State" | "Proto" | "Active"))
    ) {
        return Line::Nothing(None);
    }
    let Some(state) = words.iter().position(|word| STATES.contains(word)) else {
        return Line::Other;
    };
    let ends: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| word.contains(':') && !word.starts_with("users:"))
        .take(2)
        .collect();
    let [local, peer] = ends.as_slice() else {
        return Line::Other;
    };
    if matches!(words[state], "LISTEN" | "UNCONN") || peer.ends_with(":*") {
        let what = format!("a socket that waits at {local} is no flow");
        return Line::Nothing(Some(what));
    }
    let named = words
        .first()
        .filter(|_| state != 0)
        .map_or("tcp", |name| name.trim_end_matches('6'));
    let read = || -> Result<Seen, String> {
        let proto = parse_protocol(if named == "udp" { "udp" } else { named })
            .map_err(|error| error.to_string())?;
        let (own, own_port) = end(local)?;
        let (other, other_port) = end(peer)?;
        // nobody lists who began: the side with the lower port answers
        let incoming = own_port < other_port;
        let mut seen = if incoming {
            Seen::new(flow_of(
                proto,
                Some(other),
                Some(other_port),
                own,
                Some(own_port),
            )?)
        } else {
            let mut seen = Seen::new(flow_of(
                proto,
                Some(own),
                Some(own_port),
                other,
                Some(other_port),
            )?);
            seen.question.sent_here = true;
            seen
        };
        let (side, port) = if incoming {
            ("this host", own_port)
        } else {
            ("the peer", other_port)
        };
        seen.remarks.push(format!(
            "a listing of sockets does not say who began: taken to be asked of {side}, whose port {port} is the lower one"
        ));
        Ok(seen)
    };
    match read() {
        Ok(seen) if proto::has_ports(seen.question.flow.proto) => Line::Flow(Box::new(seen)),
        Ok(_) => Line::Other,
        Err(why) => Line::Bad(why),
    }
}

/// `10.0.0.1%eth0:22`, `[::1]:22`, `::1:22`
fn end(text: &str) -> Result<(IpAddr, u16), String> {
    let bad = || format!("`{text}` is not an address with a port; list sockets with `-n`");
    let (address, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let address = address.split('%').next().unwrap_or(address);
    let address: IpAddr = address.parse().map_err(|_| bad())?;
    // a socket for both families shows IPv4 peers so
    let address = match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    Ok((address, port.parse().map_err(|_| bad())?))
}
