//! Reads what `nft -a -n monitor trace` and `xtables-monitor --trace` print.
//!
//! A line is `trace id ID FAMILY TABLE CHAIN` and one of `packet: …`, `rule … # handle N (verdict V)`,
//! `unknown rule handle N (verdict V)` (nft does not know the rule yet), `policy V`. What else nft prints
//! (`conntrack: …`, warnings) is no event. Nothing here decides which packet of a conversation a line belongs to.

use std::net::IpAddr;

mod xtables;

use etherparse::{LaxNetSlice, LaxSlicedPacket};
use indexmap::IndexMap;

use crate::packet::{proto, tcp};

/// One thing that the kernel told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// nft's number of the packet; it can change on the packet's way.
    pub id: String,
    pub family: String,
    pub table: String,
    pub chain: String,
    pub kind: EventKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// The packet as it enters a base chain.
    Packet(Glimpse),
    /// A rule whose matches all held, or that ended the chain.
    Rule {
        handle: u64,
        verdict: String,
        /// The rule as the monitor prints it; empty when it does not know the rule.
        text: String,
    },
    /// The end of a base chain.
    Policy { verdict: String },
}

/// What a packet line shows of a packet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Glimpse {
    pub iif: Option<String>,
    pub oif: Option<String>,
    pub src: Option<IpAddr>,
    pub dst: Option<IpAddr>,
    pub proto: Option<u8>,
    pub sport: Option<u16>,
    pub dport: Option<u16>,
    pub icmp: Option<u8>,
    pub tcp_flags: Option<u8>,
}

/// Reads one line. A rule that nft breaks over several lines must have been put together (see [`join`]).
pub fn parse(line: &str) -> Option<Event> {
    let mut words = line.trim_end().strip_prefix("trace id ")?.splitn(5, ' ');
    let id = words.next()?;
    let (family, table, chain) = (words.next()?, words.next()?, words.next()?);
    let rest = words.next()?;
    let kind = if let Some(packet) = rest.strip_prefix("packet: ") {
        EventKind::Packet(glimpse(packet))
    } else if let Some(policy) = rest.strip_prefix("policy ") {
        EventKind::Policy {
            verdict: policy.split_whitespace().next()?.to_string(),
        }
    } else if let Some(unknown) = rest.strip_prefix("unknown rule handle ") {
        rule_end(unknown, "")?
    } else if rest.starts_with("rule ") {
        // a comment of the rule may have the same words; the handle is the last
        let at = rest.rfind("# handle ")?;
        let text = rest["rule ".len()..at.max("rule ".len())].trim_end();
        rule_end(&rest[at + "# handle ".len()..], text)?
    } else {
        return None;
    };
    Some(Event {
        id: id.to_string(),
        family: family.to_string(),
        table: table.to_string(),
        chain: chain.to_string(),
        kind,
    })
}

/// `4 (verdict jump known)`
fn rule_end(end: &str, text: &str) -> Option<EventKind> {
    let (handle, verdict) = end.split_once(" (verdict ")?;
    Some(EventKind::Rule {
        handle: handle.trim().parse().ok()?,
        verdict: verdict.trim_end().strip_suffix(')')?.to_string(),
        text: text.to_string(),
    })
}

/// Puts lines together that nft broke inside a rule: every event begins with `trace id `.
pub fn join(lines: &[String]) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    for line in lines {
        match joined.last_mut() {
            Some(last)
                if !line.starts_with("trace id ")
                    && last.contains(" rule ")
                    && !(last.contains(" (verdict ") && last.trim_end().ends_with(')')) =>
            {
                last.push(' ');
                last.push_str(line.trim());
            }
            _ => joined.push(line.clone()),
        }
    }
    joined
}

/// One packet, as far as it was traced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traced {
    pub events: Vec<Event>,
}

impl Traced {
    /// The packet as it was first and last seen.
    pub fn glimpses(&self) -> Option<(&Glimpse, &Glimpse)> {
        let mut all = self.events.iter().filter_map(|event| match &event.kind {
            EventKind::Packet(glimpse) => Some(glimpse),
            EventKind::Rule { .. } | EventKind::Policy { .. } => None,
        });
        let first = all.next()?;
        Some((first, all.next_back().unwrap_or(first)))
    }
}

/// Reads a whole trace: its packets in the order of their first lines. Lines that are no events are left out.
///
/// A packet gets another number where the kernel copies it (loopback, bridges); its parts are put together.
pub fn packets(text: &str) -> Vec<Traced> {
    let lines: Vec<String> = text.lines().map(str::to_string).collect();
    let mut found: IndexMap<String, Traced> = IndexMap::new();
    let mut entered: Option<(String, Glimpse)> = None;
    for line in join(&lines) {
        let event = match (parse(&line), xtables::parse(&line)) {
            (Some(event), _) => event,
            (None, Some(xtables::Line::Packet(id, glimpse))) => {
                entered = Some((id, glimpse));
                continue;
            }
            (None, Some(xtables::Line::Event(event))) => event,
            (None, None) => continue,
        };
        let traced = found.entry(event.id.clone()).or_default();
        if let Some((_, glimpse)) = entered.take().filter(|(id, _)| *id == event.id) {
            traced.events.push(Event {
                kind: EventKind::Packet(glimpse),
                ..event.clone()
            });
        }
        traced.events.push(event);
    }
    let mut packets: Vec<Traced> = Vec::new();
    for (_, traced) in found {
        let back = packets.iter_mut().find(|before| continues(before, &traced));
        match back {
            Some(before) => before.events.extend(traced.events),
            None => packets.push(traced),
        }
    }
    packets
}

/// Whether a packet is an earlier one under another number: it has the same source, the earlier one was not dropped, and
/// it begins in another chain than the earlier one did, which the next packet of the connection does not.
fn continues(before: &Traced, after: &Traced) -> bool {
    let (Some((_, last)), Some((first, _))) = (before.glimpses(), after.glimpses()) else {
        return false;
    };
    // the destination may have been translated where nothing was traced
    let ends = |glimpse: &Glimpse| (glimpse.src, glimpse.sport, glimpse.proto, glimpse.icmp);
    let chain = |event: Option<&Event>| {
        event.map(|event| {
            let Event {
                family,
                table,
                chain,
                ..
            } = event;
            (family.clone(), table.clone(), chain.clone())
        })
    };
    let ended = before.events.last().is_some_and(|event| match &event.kind {
        EventKind::Packet(_) => false,
        EventKind::Rule { verdict, .. } | EventKind::Policy { verdict } => {
            ["drop", "stolen"].contains(&verdict.as_str()) || verdict.starts_with("queue")
        }
    });
    let begins_anew = before
        .events
        .iter()
        .any(|event| chain(Some(event)) == chain(after.events.first()));
    !ended && ends(last) == ends(first) && !begins_anew
}

fn glimpse(text: &str) -> Glimpse {
    let mut seen = Glimpse::default();
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut raw = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let Some(key) = words.get(at + 1) else {
            break;
        };
        let value = || match words.get(at + 2) {
            Some(&"==") => words.get(at + 3).copied(),
            other => other.copied(),
        };
        match (*word, *key) {
            ("iif" | "iifname", name) => seen.iif = interface(name),
            ("oif" | "oifname", name) => seen.oif = interface(name),
            ("ip" | "ip6", "saddr") => seen.src = value().and_then(|v| v.parse().ok()),
            ("ip" | "ip6", "daddr") => seen.dst = value().and_then(|v| v.parse().ok()),
            ("ip", "protocol") | ("ip6", "nexthdr") => seen.proto = value().and_then(protocol),
            ("tcp", "sport") => {
                seen.proto = Some(proto::TCP);
                seen.sport = value().and_then(|v| v.parse().ok());
            }
            ("udp", "sport") => {
                seen.proto = Some(proto::UDP);
                seen.sport = value().and_then(|v| v.parse().ok());
            }
            ("tcp" | "udp" | "sctp" | "dccp" | "udplite" | "th", "dport") => {
                seen.dport = value().and_then(|v| v.parse().ok());
            }
            ("sctp" | "dccp" | "udplite" | "th", "sport") => {
                seen.sport = value().and_then(|v| v.parse().ok());
            }
            ("tcp", "flags") => seen.tcp_flags = tcp_flags(&words[at + 2..]),
            ("icmp", "type") => {
                seen.proto = Some(proto::ICMP);
                seen.icmp = value().and_then(|v| icmp_type(v, false));
            }
            ("icmpv6", "type") => {
                seen.proto = Some(proto::ICMPV6);
                seen.icmp = value().and_then(|v| icmp_type(v, true));
            }
            (payload, hex) if payload.starts_with("@nh,0,") || payload.starts_with("@th,0,") => {
                let bits = payload[6..].parse::<usize>().unwrap_or(0);
                raw.push((payload.starts_with("@nh"), bits / 8, hex));
            }
            _ => {}
        }
    }
    for (network, length, hex) in raw {
        if let Some(bytes) = bytes(hex, length) {
            read_raw(&mut seen, network, &bytes);
        }
    }
    seen
}

/// `"eth0"`; an interface that is gone shows as a number
fn interface(name: &str) -> Option<String> {
    Some(name.trim_matches('"').to_string()).filter(|name| !name.is_empty())
}

/// Headers that nft prints as numbers, as it does for netdev chains.
fn read_raw(seen: &mut Glimpse, network: bool, bytes: &[u8]) {
    if network {
        match LaxSlicedPacket::from_ip(bytes).ok().and_then(|ip| ip.net) {
            Some(LaxNetSlice::Ipv4(ip)) => {
                seen.src = Some(ip.header().source_addr().into());
                seen.dst = Some(ip.header().destination_addr().into());
                seen.proto = Some(ip.header().protocol().0);
            }
            Some(LaxNetSlice::Ipv6(ip)) => {
                seen.src = Some(ip.header().source_addr().into());
                seen.dst = Some(ip.header().destination_addr().into());
                seen.proto = Some(ip.payload().ip_number.0);
            }
            Some(LaxNetSlice::Arp(_)) | None => {}
        }
        return;
    }
    let Some(proto) = seen.proto else {
        return;
    };
    let port = |at: usize| {
        let pair: [u8; 2] = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(u16::from_be_bytes(pair))
    };
    if proto::has_ports(proto) {
        seen.sport = seen.sport.or(port(0));
        seen.dport = seen.dport.or(port(2));
    }
    match proto {
        proto::TCP => seen.tcp_flags = seen.tcp_flags.or(bytes.get(13).copied()),
        proto::ICMP | proto::ICMPV6 => seen.icmp = seen.icmp.or(bytes.first().copied()),
        _ => {}
    }
}

fn bytes(hex: &str, length: usize) -> Option<Vec<u8>> {
    // nft leaves out leading zeros
    let digits = format!("{:0>1$}", hex.strip_prefix("0x")?, (length * 2).min(256));
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect()
}

fn protocol(word: &str) -> Option<u8> {
    Some(match word {
        "icmp" => proto::ICMP,
        "tcp" => proto::TCP,
        "udp" => proto::UDP,
        "ipv6-icmp" | "icmpv6" => proto::ICMPV6,
        "sctp" => proto::SCTP,
        "dccp" => proto::DCCP,
        "udplite" => proto::UDPLITE,
        "gre" => proto::GRE,
        "esp" => proto::ESP,
        "ah" => proto::AH,
        number => return number.parse().ok(),
    })
}

fn icmp_type(word: &str, v6: bool) -> Option<u8> {
    Some(match (word, v6) {
        ("echo-request", false) => 8,
        ("echo-reply", false) => 0,
        ("echo-request", true) => 128,
        ("echo-reply", true) => 129,
        (number, _) => return number.parse().ok(),
    })
}

/// `== 0x2`, `0x12`, `syn`, `syn | ack`, `fin,ack`
fn tcp_flags(words: &[&str]) -> Option<u8> {
    let mut flags = 0;
    for word in words.iter().take_while(|word| **word != "tcp") {
        for name in word.split([',', '|']).filter(|name| !name.is_empty()) {
            flags |= match name {
                "==" => 0,
                "fin" => 0x01,
                "syn" => tcp::SYN,
                "rst" => tcp::RST,
                "psh" => 0x08,
                "ack" => tcp::ACK,
                "urg" => 0x20,
                "ecn" => 0x40,
                "cwr" => 0x80,
                number => u8::from_str_radix(number.strip_prefix("0x")?, 16).ok()?,
            };
        }
    }
    Some(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(line: &str) -> Event {
        parse(line).unwrap_or_else(|| panic!("no event: {line}"))
    }

    fn rule(line: &str) -> (u64, String) {
        match event(line).kind {
            EventKind::Rule {
                handle, verdict, ..
            } => (handle, verdict),
            other => panic!("no rule: {other:?}"),
        }
    }

    fn packet(line: &str) -> Glimpse {
        match event(line).kind {
            EventKind::Packet(seen) => seen,
            other => panic!("no packet: {other:?}"),
        }
    }

    #[test]
    fn rules_of_nft_1_0_6() {
        let line = "trace id 99d9c8ed ip t forward rule udp dport vmap { 5000 : jump known, 5001 : accept } # handle 5 (verdict jump known)";
        assert_eq!(rule(line), (5, "jump known".into()));
        let found = event(line);
        assert_eq!(
            (&*found.family, &*found.table, &*found.chain),
            ("ip", "t", "forward")
        );
        assert_eq!(
            rule("trace id 99d9c8ed inet t2 p unknown rule handle 3 (verdict continue)"),
            (3, "continue".into())
        );
    }

    #[test]
    fn a_comment_cannot_pass_for_a_handle() {
        let line = "trace id 1 ip t c rule accept comment \"# handle 9 (verdict drop)\" # handle 4 (verdict accept)";
        assert_eq!(rule(line), (4, "accept".into()));
    }

    #[test]
    fn a_policy_may_be_followed_by_the_mark() {
        for line in [
            "trace id 908375e0 inet t p policy accept ",
            "trace id 908375e0 inet t p policy accept",
            "trace id 908375e0 inet t p policy accept meta mark 0x00000064 ",
        ] {
            assert_eq!(
                event(line).kind,
                EventKind::Policy {
                    verdict: "accept".into()
                }
            );
        }
    }

    #[test]
    fn packets_in_several_spellings() {
        let udp = packet(
            "trace id 908375e0 inet t p packet: oif \"lo\" ip saddr 127.0.0.1 ip daddr 127.0.0.2 ip dscp 0x00 ip ecn 0x0 ip ttl 64 ip id 7459 ip protocol 17 ip length 29 udp sport 55385 udp dport 53 udp length 9 @th,64,8 0x78",
        );
        assert_eq!(udp.src, "127.0.0.1".parse().ok());
        assert_eq!(udp.dst, "127.0.0.2".parse().ok());
        assert_eq!(
            (udp.proto, udp.sport, udp.dport),
            (Some(17), Some(55385), Some(53))
        );
        let syn = "trace id 1 ip t c packet: iif \"eth0\" ether saddr 02:00:00:00:00:01 ip saddr 10.0.0.1 ip daddr 10.0.0.2 ip protocol tcp tcp sport 1 tcp dport 2 tcp flags == 0x12 tcp window 1";
        assert_eq!(packet(syn).tcp_flags, Some(0x12));
        let named = "trace id 1 ip6 t c packet: ip6 saddr fd00::1 ip6 daddr fd00::2 tcp sport 1 tcp dport 2 tcp flags syn | ack tcp window 1";
        assert_eq!(packet(named).tcp_flags, Some(0x12));
        assert_eq!(packet(named).proto, Some(6));
        let ping = "trace id 1 inet t c packet: ip saddr 1.1.1.1 ip daddr 2.2.2.2 icmp type echo-request icmp code 0";
        assert_eq!(packet(ping).icmp, Some(8));
    }

    #[test]
    fn raw_headers_of_a_netdev_chain() {
        let seen = packet(
            "trace id 95c1df8b netdev s i packet: iif \"lo\" @ll,0,112 0x800 @nh,0,160 0x4500001d1d23400040111fab7f0000017f000001 @th,0,72 0xd85900350009fe1c78",
        );
        assert_eq!(seen.dst, "127.0.0.1".parse().ok());
        assert_eq!(
            (seen.proto, seen.sport, seen.dport),
            (Some(17), Some(55385), Some(53))
        );
        let zeros = packet(
            "trace id 1 netdev s i packet: @nh,0,160 0x4500001d1d23400040111fab7f0000017f000001 @th,0,64 0x3500500009fe1c",
        );
        assert_eq!((zeros.sport, zeros.dport), (Some(53), Some(80)));
    }

    #[test]
    fn what_is_no_event_is_left_out() {
        for line in [
            "",
            "netlink: Error: something",
            "trace id 1 ip t c",
            "trace id 1 inet t c conntrack: ct direction original ct state new ct id 5",
            "trace id 1 ip t c rule accept",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn broken_lines_are_joined() {
        let lines = [
            "trace id 1 ip t c rule tcp dport { 1, 2,".to_string(),
            "\t\t\t3 } accept # handle 4 (verdict accept)".to_string(),
            "trace id 1 ip t d policy drop".to_string(),
        ];
        let joined = join(&lines);
        assert_eq!(joined.len(), 2);
        assert_eq!(rule(&joined[0]), (4, "accept".into()));
    }

    #[test]
    fn a_remark_behind_a_rule_is_not_part_of_it() {
        let text = "trace id 1 ip t c rule accept # handle 4 (verdict accept)\n# the reply\n";
        let found = packets(text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].events.len(), 1);
    }

    /// What `xtables-monitor` 1.8.9 printed for a ping to 127.0.0.9 with a dnat in OUTPUT.
    const XTABLES: &str = "\
PACKET: 2 06c03b60 OUT=lo SRC=127.0.0.1 DST=127.0.0.9 LEN=84 TOS=0x0 TTL=64 ID=28960 DF 
 TRACE: 2 06c03b60 raw:OUTPUT:rule:0x4:CONTINUE  -4 -t raw -A OUTPUT -p icmp -j TRACE
 TRACE: 2 06c03b60 raw:OUTPUT:policy:ACCEPT 
PACKET: 2 06c03b60 OUT=lo SRC=127.0.0.1 DST=127.0.0.9 LEN=84 TOS=0x0 TTL=64 ID=28960 DF 
 TRACE: 2 06c03b60 nat:OUTPUT:rule:0x2:ACCEPT  -4 -t nat -A OUTPUT -d 127.0.0.9/32 -p icmp -j DNAT --to-destination 127.0.0.1
PACKET: 2 cbba201f IN=lo LOOPBACK SRC=127.0.0.1 DST=127.0.0.1 LEN=84 TOS=0x0 TTL=64 ID=28960 DF 
 TRACE: 2 cbba201f raw:PREROUTING:rule:0x2:CONTINUE  -4 -t raw -A PREROUTING -p icmp -j TRACE
 TRACE: 2 cbba201f raw:PREROUTING:policy:ACCEPT 
PACKET: 2 cbba201f IN=lo LOOPBACK SRC=127.0.0.1 DST=127.0.0.1 LEN=84 TOS=0x0 TTL=64 ID=28960 DF 
 TRACE: 2 cbba201f filter:INPUT:rule:0x4:JUMP:mine  -4 -t filter -A INPUT -p icmp -m comment --comment \"x y\" -j mine
 TRACE: 2 cbba201f filter:INPUT:rule:0x5:ACCEPT  -4 -t filter -A INPUT -p icmp -j ACCEPT
";

    #[test]
    fn what_xtables_monitor_prints() {
        let found = packets(XTABLES);
        assert_eq!(found.len(), 1, "out and in by loopback is one packet");
        let (first, last) = found[0].glimpses().expect("a packet");
        assert_eq!(
            (first.oif.as_deref(), first.dst),
            (Some("lo"), "127.0.0.9".parse().ok())
        );
        assert_eq!(
            (last.iif.as_deref(), last.dst),
            (Some("lo"), "127.0.0.1".parse().ok())
        );
        let rules: Vec<(&str, u64, &str)> = found[0]
            .events
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::Rule {
                    handle, verdict, ..
                } => Some((event.table.as_str(), *handle, verdict.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(
            rules,
            [
                ("raw", 4, "continue"),
                ("nat", 2, "accept"),
                ("raw", 2, "continue"),
                ("filter", 4, "jump mine"),
                ("filter", 5, "accept"),
            ]
        );
    }
}
