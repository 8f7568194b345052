//! Lines that the kernel writes for `log` and `-j LOG` (`nf_log_dump_packet`, net/netfilter/nf_log_syslog.c).

use std::net::IpAddr;

use crate::flow::logged;
use crate::load::ip_json::parse_mac;
use crate::packet::proto;

use super::{Line, Seen, flow_of};

/// `IN=eth0 OUT= MAC=… SRC=… DST=… LEN=60 … PROTO=TCP SPT=1 DPT=2 … SYN`
pub(super) fn line(text: &str) -> Line {
    let begin =
        |(at, _): (usize, &str)| at == 0 || !text.as_bytes()[at - 1].is_ascii_alphanumeric();
    let Some(at) = text
        .match_indices("IN=")
        .find(|found| begin(*found) && text[found.0..].contains(" OUT="))
        .map(|(at, _)| at)
    else {
        return Line::Other;
    };
    // an ICMP error repeats the headers of the packet it is about in brackets
    let own = text[at..].split(" [SRC=").next().unwrap_or_default();
    match read(own) {
        Ok(seen) => Line::Flow(Box::new(seen)),
        Err(why) => Line::Bad(why),
    }
}

fn read(text: &str) -> Result<Seen, String> {
    let value = |key: &str| logged::value(text, key);
    let need = |key: &str| value(key).ok_or_else(|| format!("a log line without `{key}=`"));
    let address = |key: &str| -> Result<IpAddr, String> {
        let text = need(key)?;
        let bad = || format!("a log line with `{key}={text}`, which is no address");
        text.parse().map_err(|_| bad())
    };
    let number = |key: &str| -> Result<Option<u32>, String> {
        let bad = |text: &str| format!("a log line with `{key}={text}`, which is no number");
        let parse = |text: &str| match text.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).map_err(|_| bad(text)),
            None => text.parse().map_err(|_| bad(text)),
        };
        value(key).map(parse).transpose()
    };
    let short = |key: &str| -> Result<Option<u16>, String> {
        let fits = |n: u32| u16::try_from(n).map_err(|_| format!("`{key}={n}` is too large"));
        number(key)?.map(fits).transpose()
    };
    let proto = logged::protocol(need("PROTO")?).map_err(|error| error.to_string())?;
    let (src, dst) = (address("SRC")?, address("DST")?);
    let flow = flow_of(proto, Some(src), short("SPT")?, dst, short("DPT")?)?;
    let mut seen = Seen::new(flow);
    let (came, goes) = (value("IN"), value("OUT"));
    seen.question.sent_here = came.is_none() && goes.is_some();
    seen.question.iif = came.map(str::to_string);
    seen.question.oif = goes.filter(|_| seen.question.sent_here).map(str::to_string);
    seen.question.in_port = value("PHYSIN").map(str::to_string);
    if came.is_some() && goes.is_some() {
        seen.question.leaves_by = goes.map(str::to_string);
        seen.remarks.push("written in forward or postrouting: DST and DPT are those after a dnat, if there was one; ask with the address that was sent to first".into());
    }
    // of IPv4 FRAG is written for later fragments alone, of IPv6 with an offset of 0 too
    let offset = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix("FRAG:"));
    if offset.is_some_and(|offset| offset != "0") {
        seen.remarks.push("a later fragment of a packet, which has no ports: taken for a packet whose ports are not known".into());
    } else if offset.is_some() || text.split_whitespace().any(|word| word == "MF") {
        seen.remarks
            .push("the first fragment of a packet: taken for a whole one".into());
    }
    if let Some(ether) = value("MAC") {
        let at = |from: usize| ether.get(from..from + 17).and_then(parse_mac);
        (seen.question.ether_dst, seen.question.ether_src) = (at(0), at(18));
    }
    seen.question.mark = number("MARK")?.unwrap_or(0);
    seen.question.uid = number("UID")?.filter(|_| seen.question.sent_here);
    seen.question.length = match short("LEN")? {
        // of IPv6 too, LEN counts the header
        Some(length) if length >= 20 => Some(length),
        _ => None,
    };
    if matches!(proto, proto::ICMP | proto::ICMPV6)
        && let (Some(kind), code) = (short("TYPE")?, short("CODE")?)
    {
        let byte = |n: u16| u8::try_from(n).map_err(|_| format!("ICMP type {n} is too large"));
        seen.question.icmp = Some((byte(kind)?, byte(code.unwrap_or(0))?));
    }
    if proto == proto::TCP {
        seen.flags(logged::tcp_flags(text));
    }
    Ok(seen)
}
