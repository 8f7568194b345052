//! Lines of `tcpdump -n`, with or without `-e`, `-t` and `-i any`.

use std::net::IpAddr;

use crate::load::ip_json::parse_mac;
use crate::packet::proto;

use super::{LETTERS, Line, Seen, flow_of};

/// `12:00:00.1 eth0  In  IP 10.0.0.2.40000 > 10.0.0.1.22: Flags [S], …`
pub(super) fn line(text: &str) -> Line {
    let Some((before, after)) = text.split_once(" > ") else {
        return Line::Other;
    };
    // with -e the Ethernet addresses come first, with a `>` of their own
    let ether = before.split_whitespace().last().and_then(parse_mac);
    let (head, packet, ether_dst) = match ether {
        Some(_) => {
            let Some((to, rest)) = after.split_once(", ethertype IP") else {
                return Line::Other;
            };
            let Some((_, packet)) = rest.split_once(": ") else {
                return Line::Other;
            };
            (before, packet, parse_mac(to))
        }
        None => {
            let words: Vec<&str> = before.split_whitespace().collect();
            let Some(at) = words.iter().rposition(|word| matches!(*word, "IP" | "IP6")) else {
                return Line::Other;
            };
            let head = before.rsplit_once(words[at]).map_or("", |(head, _)| head);
            let begin = before.len() - before.rsplit_once(words[at]).map_or(0, |(_, s)| s.len());
            (head, &text[begin..], None)
        }
    };
    let Some((ends, rest)) = packet.split_once(": ") else {
        return Line::Other;
    };
    let Some((src, dst)) = ends.split_once(" > ") else {
        return Line::Other;
    };
    let read = || -> Result<Seen, String> {
        let (src, sport) = end(src.trim().rsplit(' ').next().unwrap_or_default())?;
        let (dst, dport) = end(dst.trim())?;
        let proto = protocol(rest, src, dport.is_some() || sport.is_some())?;
        let mut seen = Seen::new(flow_of(proto, Some(src), sport, dst, dport)?);
        (seen.question.ether_src, seen.question.ether_dst) = (ether, ether_dst);
        if let Some(flags) = rest.strip_prefix("Flags [") {
            let letters = flags.split(']').next().unwrap_or_default();
            let bits = LETTERS
                .iter()
                .filter(|(letter, _)| letters.contains(*letter))
                .fold(0, |bits, (_, bit)| bits | bit);
            seen.flags(bits);
        }
        if let (proto::ICMP | proto::ICMPV6, Some(kind)) = (proto, echo(rest, proto)) {
            seen.question.icmp = Some((kind, 0));
        }
        // `-i any` names the interface and the direction
        let words: Vec<&str> = head.split_whitespace().collect();
        if let [.., interface, direction @ ("In" | "Out" | "B" | "M" | "P")] = words.as_slice() {
            match *direction {
                "Out" => seen.remarks.push(format!(
                    "seen as it went out by {interface}: behind the ruleset, and perhaps translated"
                )),
                _ => seen.question.iif = Some((*interface).to_string()),
            }
        }
        Ok(seen)
    };
    match read() {
        Ok(seen) => Line::Packet(Box::new(seen)),
        Err(why) => Line::Bad(why),
    }
}

/// `10.0.0.1.22`, `10.0.0.1`, `fe80::1.546`, `fe80::1`
fn end(text: &str) -> Result<(IpAddr, Option<u16>), String> {
    if let Ok(address) = text.parse() {
        return Ok((address, None));
    }
    let bad = || format!("`{text}` is not an address with a port; run tcpdump with `-n`");
    let (address, port) = text.rsplit_once('.').ok_or_else(bad)?;
    let address = address.parse().map_err(|_| bad())?;
    Ok((address, Some(port.parse().map_err(|_| bad())?)))
}

/// The protocol by how tcpdump describes the packet.
fn protocol(rest: &str, src: IpAddr, ports: bool) -> Result<u8, String> {
    let described = [
        ("Flags [", proto::TCP),
        ("ICMP6", proto::ICMPV6),
        ("ICMP", proto::ICMP),
        ("ESP(", proto::ESP),
        ("AH(", proto::AH),
        ("GRE", proto::GRE),
        ("igmp", proto::IGMP),
        ("sctp", proto::SCTP),
    ];
    if let Some((_, number)) = described.iter().find(|(word, _)| rest.starts_with(word)) {
        return Ok(*number);
    }
    if let Some(number) = rest.trim_start().strip_prefix("ip-proto-") {
        let number = number.split([' ', ',']).next().unwrap_or_default();
        return number
            .parse()
            .map_err(|_| format!("`ip-proto-{number}` is no protocol"));
    }
    match ports {
        true => Ok(proto::UDP),
        false => Err(format!(
            "the packet from {src} is of a protocol that is not told"
        )),
    }
}

fn echo(rest: &str, proto: u8) -> Option<u8> {
    let (request, reply) = if proto == proto::ICMP {
        (8, 0)
    } else {
        (128, 129)
    };
    if rest.contains("echo request") {
        Some(request)
    } else if rest.contains("echo reply") {
        Some(reply)
    } else {
        None
    }
}
