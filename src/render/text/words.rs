//! Names of things in the words of an administrator.

use super::page::Style;
use crate::report::{Field, FlowInfo, FlowReport, Packet, PathReport, RuleRef, StepKind, Verdict};
use crate::ruleset::datatype::DataType;
use crate::ruleset::{Family, Hook};

/// `ip filter DOCKER #10`, which is not broken over lines.
pub(super) fn rule(at: &RuleRef) -> String {
    let number = match at.handle.0 {
        0 => format!("rule\u{a0}{}", at.index + 1),
        _ => at.handle.to_string(),
    };
    format!("{}\u{a0}{number}", chain(at.family, &at.table, &at.chain))
}

/// A rule inside its chain: `#10`, or its place where the source has no handles.
pub(super) fn number(at: &RuleRef) -> String {
    match at.handle.0 {
        0 => format!("{}.", at.index + 1),
        _ => at.handle.to_string(),
    }
}

/// `ip filter FORWARD`, which is not broken over lines.
pub(super) fn chain(family: Family, table: &str, chain: &str) -> String {
    format!("{family}\u{a0}{table}\u{a0}{chain}")
}

/// An address with its port where that is known.
pub(super) fn end(addr: &Field, port: Option<&Field>) -> String {
    match (addr, port) {
        (Field::Known(addr), Some(Field::Known(port))) if addr.contains(':') => {
            format!("[{addr}]:{port}")
        }
        (Field::Known(addr), Some(Field::Known(port))) => format!("{addr}:{port}"),
        (Field::Known(addr), _) => addr.clone(),
        (Field::Unknown(words), Some(Field::Known(port))) => format!("({words}):{port}"),
        (Field::Unknown(words), _) => format!("({words})"),
    }
}

/// Source and destination.
pub(super) fn ends(packet: &Packet) -> String {
    format!(
        "{} → {}",
        end(&packet.src, packet.sport.as_ref()),
        end(&packet.dst, packet.dport.as_ref())
    )
}

/// An ICMP or ICMPv6 error by nft's name of its code.
pub(super) fn icmp_error(protocol: u8, kind: u8, code: u8) -> String {
    const ICMPV6: u8 = 58;
    let (family, unreachable, exceeded, codes) = match protocol {
        ICMPV6 => ("icmpv6", 1, 3, DataType::Icmpv6Code),
        _ => ("icmp", 3, 11, DataType::IcmpCode),
    };
    match kind {
        kind if kind == unreachable => {
            format!("{family} {}", codes.display(u128::from(code)))
        }
        kind if kind == exceeded => format!("{family} time-exceeded"),
        kind => format!("{family} type {kind} code {code}"),
    }
}

/// True when both have the same addresses and ports.
pub(super) fn same_ends(a: &Packet, b: &Packet) -> bool {
    a.src == b.src && a.dst == b.dst && a.sport == b.sport && a.dport == b.dport
}

/// The flow as a person would say it.
pub(super) fn flow(flow: &FlowInfo) -> String {
    let known = |addr: std::net::IpAddr, port: Option<u16>| {
        end(
            &Field::Known(addr.to_string()),
            port.map(|port| Field::Known(port.to_string())).as_ref(),
        )
    };
    let src = match flow.src {
        Some(src) => known(src, flow.sport),
        None => "this\u{a0}host".to_string(),
    };
    let mut text = format!(
        "{}\u{a0}{src} → {}",
        flow.proto_name,
        known(flow.dst, flow.dport)
    );
    if flow.mark != 0 {
        text.push_str(&format!(" mark\u{a0}{:#x}", flow.mark));
    }
    text
}

/// `forward`, `bridge forward`
pub(super) fn hook(layer: &str, hook: Hook) -> String {
    match layer {
        "ip" | "ip6" => hook.name().to_string(),
        layer => format!("{layer}\u{a0}{}", hook.name()),
    }
}

pub(super) fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Accept => Style::Good,
        Verdict::Drop | Verdict::Reject => Style::Bad,
        Verdict::Unknown => Style::Doubt,
    }
}

/// Who ended a path: a rule, a policy or the stack.
pub(super) fn by_whom(path: &PathReport) -> &'static str {
    let Some(last) = path.deciding.last().and_then(|&at| path.steps.get(at)) else {
        return "";
    };
    match &last.kind {
        StepKind::Rule(_) => " by a rule",
        StepKind::Policy { .. } => " by a policy",
        StepKind::Drop { .. } => " by the host",
        StepKind::Chain(_)
        | StepKind::Conntrack(_)
        | StepKind::Nat(_)
        | StepKind::Routing(_)
        | StepKind::Bridge { .. }
        | StepKind::Ttl { .. }
        | StepKind::Local
        | StepKind::Leaves
        | StepKind::Loopback => "",
    }
}

/// The answer for one conversation.
pub(super) fn answer(flow: &FlowReport) -> String {
    match flow.verdict {
        Verdict::Unknown => {
            let mut endings = Vec::new();
            let primary = conversation(&flow.request, flow.reply.as_ref());
            let usual = flow
                .alternatives
                .iter()
                .filter(|alternative| !alternative.unusual)
                .map(|alternative| alternative.verdict);
            for verdict in std::iter::once(primary).chain(usual) {
                let word = past(verdict);
                if verdict != Verdict::Unknown && !endings.contains(&word) {
                    endings.push(word);
                }
            }
            match endings.len() {
                0 | 1 => "UNKNOWN".to_string(),
                _ => format!("UNKNOWN: {}", endings.join(" or ")),
            }
        }
        Verdict::Accept => conversation_words(flow.verdict, &flow.request, flow.reply.as_ref()),
        Verdict::Drop | Verdict::Reject => {
            let reply = flow.reply.as_ref();
            format!(
                "{}{}",
                conversation_words(flow.verdict, &flow.request, reply),
                by_whom(last_of(&flow.request, reply))
            )
        }
    }
}

/// The path that ended a conversation.
pub(super) fn last_of<'r>(
    request: &'r PathReport,
    reply: Option<&'r PathReport>,
) -> &'r PathReport {
    match reply {
        Some(reply) if request.verdict == Verdict::Accept => reply,
        _ => request,
    }
}

/// The verdict of a request and its reply together.
pub(super) fn conversation(request: &PathReport, reply: Option<&PathReport>) -> Verdict {
    match (request.verdict, reply) {
        (Verdict::Accept, Some(reply)) => reply.verdict,
        (verdict, _) => verdict,
    }
}

/// How a conversation ends, in words.
pub(super) fn conversation_words(
    verdict: Verdict,
    request: &PathReport,
    reply: Option<&PathReport>,
) -> String {
    let who = match reply {
        Some(_) if request.verdict == Verdict::Accept => "reply",
        _ => "request",
    };
    match verdict {
        Verdict::Accept if reply.is_some() => "ACCEPTED, both ways".to_string(),
        Verdict::Accept => "ACCEPTED, no reply is expected".to_string(),
        Verdict::Drop => format!("the {who} is DROPPED"),
        Verdict::Reject => format!("the {who} is REJECTED"),
        Verdict::Unknown => format!("UNKNOWN what becomes of the {who}"),
    }
}

/// `accepted`, `dropped`, …
pub(super) fn past(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accept => "accepted",
        Verdict::Drop => "dropped",
        Verdict::Reject => "rejected",
        Verdict::Unknown => "unknown",
    }
}

/// `1 fact`, `2 facts`
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        number => format!("{number} {many}"),
    }
}

/// A bridge port, with the word for it where it is only a name.
pub(super) fn port(port: &Field) -> String {
    match port {
        Field::Known(name) => format!("port\u{a0}{name}"),
        Field::Unknown(words) => words.clone(),
    }
}
