//! Entries as `conntrack -L`, `conntrack -E` and `/proc/net/nf_conntrack` show them.

use std::net::IpAddr;

use crate::flow::parse_protocol;
use crate::packet::proto;

use super::{Line, Seen, flow_of};

fn cut(missing: &str) -> String {
    format!("a conntrack line without `{missing}`: is it cut off?")
}

/// `tcp 6 431999 ESTABLISHED src=… dst=… sport=… dport=… src=… dst=… … mark=0`
pub(super) fn line(text: &str) -> Line {
    let words: Vec<&str> = text.split_whitespace().collect();
    let first = |key: &str| {
        let mut found = words.iter().filter_map(|word| word.strip_prefix(key));
        found.next()
    };
    let (src, dst) = match (first("src="), first("dst=")) {
        (Some(src), Some(dst)) => (src, dst),
        (Some(_), None) => return Line::Bad(cut("dst=")),
        (None, _) => return Line::Other,
    };
    let read = || -> Result<Seen, String> {
        let named = words
            .iter()
            .take_while(|word| !word.contains('='))
            .filter(|word| !matches!(**word, "ipv4" | "ipv6") && !word.starts_with('['))
            .find(|word| word.bytes().any(|b| b.is_ascii_alphabetic()) || words.len() < 3)
            .ok_or("a conntrack line without a protocol")?;
        let proto = match *named {
            "icmpv6" => proto::ICMPV6,
            // `unknown 47 …`
            "unknown" => {
                let after = words.iter().skip_while(|word| **word != "unknown").nth(1);
                after
                    .and_then(|number| number.parse().ok())
                    .ok_or("a conntrack line of an unknown protocol without its number")?
            }
            name => parse_protocol(name).map_err(|error| error.to_string())?,
        };
        let address = |text: &str| -> Result<IpAddr, String> {
            text.parse()
                .map_err(|_| format!("a conntrack line with `{text}`, which is no address"))
        };
        let port = |key: &str| -> Result<Option<u16>, String> {
            let bad = |text: &str| format!("a conntrack line with `{key}{text}`, which is no port");
            first(key)
                .map(|text| text.parse().map_err(|_| bad(text)))
                .transpose()
        };
        let flow = flow_of(
            proto,
            Some(address(src)?),
            port("sport=")?,
            address(dst)?,
            port("dport=")?,
        )?;
        if proto::has_ports(proto) && first("dport=").is_none() {
            return Err(cut("dport="));
        }
        let mut seen = Seen::new(flow);
        let byte = |key: &str| first(key).and_then(|text| text.parse::<u8>().ok());
        if let (proto::ICMP | proto::ICMPV6, Some(kind)) = (proto, byte("type=")) {
            seen.question.icmp = Some((kind, byte("code=").unwrap_or(0)));
        }
        // the connection's own mark says nothing about the mark of its packets
        Ok(seen)
    };
    match read() {
        Ok(seen) => Line::Flow(Box::new(seen)),
        Err(why) => Line::Bad(why),
    }
}
