//! Rules of ebtables: basic options, matches, watchers and targets.
//!
//! Each function follows `ebt_basic_match` or one match or target of the kernel (`net/bridge/netfilter/ebt_NAME.c`), as ebtables(8)
//! describes it. What walks here is IP, so a match that only other frames can pass holds for none.

use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use super::build::*;
use super::matches::{ICMP_NAMES, ICMPV6_NAMES, IcmpName, limit, tos_byte};
use super::targets::nflog;
use super::{Untranslatable, Why};
use crate::iptables::save::{Backend, Match, Opt, Target};
use crate::iptables::{IpFamily, ebtables};
use crate::nft::ast::{Expr, Extra, Fields, MapExpr, MatchOp, Stmt, Verdict};

/// Where a rule stands.
pub struct Place<'a> {
    pub table: &'a str,
    pub chain: &'a str,
    pub backend: Option<Backend>,
}

/// The statements of a standard verdict; `None` for anything else after `-j`.
pub fn verdict(place: &Place<'_>, name: &str) -> Option<Why<Vec<Stmt>>> {
    Some(match name {
        "ACCEPT" => Ok(vec![Stmt::Verdict(Verdict::Accept)]),
        // ebt_broute: the verdict DROP sends the frame up as a packet of its port
        "DROP" if place.table == ebtables::BROUTE => Err(Untranslatable::because(
            "the frame is routed instead of bridged",
        )),
        "DROP" => Ok(vec![Stmt::Verdict(Verdict::Drop)]),
        "RETURN" => Ok(vec![Stmt::Verdict(Verdict::Return)]),
        "CONTINUE" => Ok(Vec::new()),
        _ => return None,
    })
}

/// The statements of a basic option, a match or a watcher; empty when it always holds.
pub fn a_match(place: &Place<'_>, m: &Match) -> Why<Vec<Stmt>> {
    let options = m.options.as_slice();
    match m.name.as_str() {
        "-p" | "-s" | "-d" | "-i" | "-o" | "--logical-in" | "--logical-out" => match options {
            [opt] => basic(place, opt),
            _ => Err(Untranslatable::mistaken()),
        },
        "ip" => ip(options, &V4),
        "ip6" => ip(options, &V6),
        "vlan" => vlan(options),
        "arp" => arp(options),
        "among" => among(options),
        "mark_m" => mark_m(options),
        "pkttype" => pkttype(options),
        "limit" => limit(options),
        // ebt_stp_mt: the frame begins with 42 42 03 behind its addresses, which no packet of IP does
        "stp" => Ok(vec![never()]),
        "log" => log(options),
        "nflog" => nflog(options),
        "ulog" => Ok(vec![Stmt::Log(Fields(json!({ "group": 0 })))]),
        "802_3" | "string" => Err(Untranslatable::because("no equivalent in nft")),
        _ => Err(Untranslatable::mistaken()),
    }
}

// ---- basic options

/// Names of `/etc/ethertypes`, as ebtables installs it.
const ETHERTYPES: [(&str, u64); 44] = [
    ("IPv4", 0x0800),
    ("ip", 0x0800),
    ("ip4", 0x0800),
    ("X25", 0x0805),
    ("ARP", 0x0806),
    ("ether-arp", 0x0806),
    ("FR_ARP", 0x0808),
    ("BPQ", 0x08ff),
    ("TRILL", 0x22f3),
    ("L2-IS-IS", 0x22f4),
    ("TEB", 0x6558),
    ("RAW_FR", 0x6559),
    ("RARP", 0x8035),
    ("ATALK", 0x809b),
    ("AARP", 0x80f3),
    ("802_1Q", 0x8100),
    ("8021q", 0x8100),
    ("1q", 0x8100),
    ("802.1q", 0x8100),
    ("dot1q", 0x8100),
    ("IPX", 0x8137),
    ("NetBEUI", 0x8191),
    ("IPv6", 0x86dd),
    ("ip6", 0x86dd),
    ("PPP", 0x880b),
    ("MPLS", 0x8847),
    ("MPLS_MULTI", 0x8848),
    ("ATMMPOA", 0x884c),
    ("PPP_DISC", 0x8863),
    ("PPP_SES", 0x8864),
    ("ATMFATE", 0x8884),
    ("EAPOL", 0x888e),
    ("S-TAG", 0x88a8),
    ("EAP_PREAUTH", 0x88c7),
    ("LLDP", 0x88cc),
    ("MACSEC", 0x88e5),
    ("PBB", 0x88e7),
    ("macinmac", 0x88e7),
    ("MVRP", 0x88f5),
    ("PTP", 0x88f7),
    ("FCOE", 0x8906),
    ("FIP", 0x8914),
    ("ROCE", 0x8915),
    ("LoWPAN", 0xa0ed),
];

/// The number of a protocol of Ethernet, which ebtables reads as hexadecimal with and without `0x`.
fn ethertype(opt: &Opt, text: &str) -> Why<u64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    if let Ok(number) = u16::from_str_radix(digits.unwrap_or(text), 16) {
        return Ok(u64::from(number));
    }
    ETHERTYPES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
        .map(|(_, number)| *number)
        .ok_or_else(|| Untranslatable::unread(opt))
}

/// As nft's JSON writes it.
fn named_type(ethertype: u64) -> Expr {
    match ethertype {
        0x0800 => string("ip"),
        0x0806 => string("arp"),
        0x8100 => string("8021q"),
        0x86dd => string("ip6"),
        other => number(other),
    }
}

/// Below this the field of the frame is a length.
const LEAST_TYPE: u64 = 0x600;

fn basic(place: &Place<'_>, opt: &Opt) -> Why<Vec<Stmt>> {
    let text = one(opt)?;
    let kind = || payload("ether", "type");
    Ok(match opt.name.as_str() {
        "-p" if text.eq_ignore_ascii_case("LENGTH") => {
            let op = if opt.invert { MatchOp::Ge } else { MatchOp::Lt };
            vec![matching(op, kind(), number(LEAST_TYPE))]
        }
        "-p" => {
            let number = ethertype(opt, text)?;
            vec![equal(opt.invert, kind(), named_type(number))]
        }
        "-s" => vec![station(opt, payload("ether", "saddr"))?],
        "-d" => vec![station(opt, payload("ether", "daddr"))?],
        "-i" => device(opt, "iifname", text)?,
        "-o" => device(opt, "oifname", text)?,
        name => {
            let key = if name == "--logical-in" {
                "ibrname"
            } else {
                "obrname"
            };
            let tests = device(opt, key, text)?;
            // ebt_basic_match does not ask where the device is no port; nft's rule ends there
            if place.backend == Some(Backend::NfTables) {
                tests
            } else {
                tests.into_iter().map(or_absent).collect::<Why<_>>()?
            }
        }
    })
}

/// `ebt_dev_check`: `+` at the end stands for any rest; a device that is not there has no name.
fn device(opt: &Opt, key: &str, text: &str) -> Why<Vec<Stmt>> {
    Ok(match text {
        "+" if opt.invert => vec![never()],
        "+" => Vec::new(),
        name => {
            let name = match name.strip_suffix('+') {
                Some(stem) => format!("{stem}*"),
                None => name.to_owned(),
            };
            vec![equal(opt.invert, meta(key), string(name))]
        }
    })
}

/// An Ethernet address, with or without leading zeros, as six bytes.
fn mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() <= 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

fn show(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The bit that tells groups from stations.
const GROUP: [u8; 6] = [1, 0, 0, 0, 0, 0];
const ALL: [u8; 6] = [0xff; 6];

/// `ADDR[/MASK]`, or one of the words for groups of addresses.
fn station(opt: &Opt, field: Expr) -> Why<Stmt> {
    let text = one(opt)?;
    let unread = || Untranslatable::unread(opt);
    let (address, mask) = match text.to_ascii_lowercase().as_str() {
        "unicast" => ([0; 6], GROUP),
        "multicast" => (GROUP, GROUP),
        "broadcast" => (ALL, ALL),
        "bga" => ([0x01, 0x80, 0xc2, 0, 0, 0], ALL),
        text => match text.split_once('/') {
            Some((address, mask)) => (
                mac(address).ok_or_else(unread)?,
                mac(mask).ok_or_else(unread)?,
            ),
            None => (mac(text).ok_or_else(unread)?, ALL),
        },
    };
    let mut masked = address;
    for (byte, mask) in masked.iter_mut().zip(mask) {
        *byte &= mask;
    }
    let left = if mask == ALL {
        field
    } else {
        and(field, string(show(mask)))
    };
    Ok(equal(opt.invert, left, string(show(masked))))
}

// ---- matches

/// A byte in hexadecimal, as ebtables prints it; without `0x` only where it is the same number in decimal.
fn byte(opt: &Opt, text: &str) -> Why<u64> {
    let is_plain = text.len() == 1 || text.starts_with("0x") || text.starts_with("0X");
    if is_plain {
        small(opt, text, 255)
    } else {
        Err(Untranslatable::because(format!(
            "`{text}` may be decimal or hexadecimal"
        )))
    }
}

/// `low[:high]`
fn pair(opt: &Opt, text: &str, max: u64) -> Why<Expr> {
    let (low, high) = text.split_once(':').unwrap_or((text, text));
    let (low, high) = (small(opt, low, max)?, small(opt, high, max)?);
    if low > high {
        return Err(Untranslatable::unread(opt));
    }
    Ok(numbers(low, high))
}

/// The words of one version of IP.
struct OfIp {
    family: IpFamily,
    /// How the names of options begin.
    start: &'static str,
    tos: &'static str,
    icmp: &'static str,
    icmp_names: &'static [IcmpName],
}

const V4: OfIp = OfIp {
    family: IpFamily::Ip,
    start: "--ip-",
    tos: "tos",
    icmp: "icmp",
    icmp_names: &ICMP_NAMES,
};

const V6: OfIp = OfIp {
    family: IpFamily::Ip6,
    start: "--ip6-",
    tos: "tclass",
    icmp: "icmpv6",
    icmp_names: &ICMPV6_NAMES,
};

const IGMP_TYPES: [(&str, u64); 5] = [
    ("membership-query", 0x11),
    ("membership-report-v1", 0x12),
    ("membership-report-v2", 0x16),
    ("leave-group", 0x17),
    ("membership-report-v3", 0x22),
];

/// `ebt_ip_mt`, `ebt_ip6_mt`: the kernel takes them behind `-p IPv4` and `-p IPv6` only.
fn ip(options: &[Opt], of: &OfIp) -> Why<Vec<Stmt>> {
    let header = of.family.as_str();
    let mut tests = Vec::new();
    for opt in options {
        let text = one(opt)?;
        let Some(name) = opt.name.strip_prefix(of.start) else {
            return Err(Untranslatable::unread(opt));
        };
        let address = |field: &str| -> Why<Option<Stmt>> {
            let net = Net::parse(text, of.family).ok_or_else(|| Untranslatable::unread(opt))?;
            Ok(net.test(opt.invert, payload(header, field)))
        };
        let port = |field: &str| -> Why<Stmt> {
            Ok(equal(opt.invert, payload("th", field), ports(opt, text)?))
        };
        match name {
            "src" | "source" => tests.extend(address("saddr")?),
            "dst" | "destination" => tests.extend(address("daddr")?),
            "proto" | "protocol" => {
                let protocol = protocol(text).ok_or_else(|| Untranslatable::unread(opt))?;
                tests.push(equal(opt.invert, meta("l4proto"), protocol));
            }
            "icmp-type" => tests.extend(icmp(opt, text, of)?),
            "sport" | "source-port" => tests.push(port("sport")?),
            "dport" | "destination-port" => tests.push(port("dport")?),
            "igmp-type" if of.family == IpFamily::Ip => {
                let known = IGMP_TYPES.iter().find(|(name, _)| *name == text);
                let kind = match known {
                    Some((_, kind)) => number(*kind),
                    None => pair(opt, text, 255)?,
                };
                tests.push(equal(opt.invert, raw("th", 0, 8), kind));
            }
            name if name == of.tos => {
                tests.push(equal(
                    opt.invert,
                    tos_byte(of.family),
                    number(byte(opt, text)?),
                ));
            }
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    Ok(tests)
}

/// `type[:type][/code[:code]]`, or a name.
fn icmp(opt: &Opt, text: &str, of: &OfIp) -> Why<Vec<Stmt>> {
    if text == "any" {
        return Err(Untranslatable::unread(opt));
    }
    let named = of.icmp_names.iter().find(|(name, ..)| *name == text);
    let (kind, code) = match named {
        Some((_, kind, code)) => (number(*kind), code.map(number)),
        None => match text.split_once('/') {
            Some((kind, code)) => (pair(opt, kind, 255)?, Some(pair(opt, code, 255)?)),
            None => (pair(opt, text, 255)?, None),
        },
    };
    let (left, code_field) = (payload(of.icmp, "type"), payload(of.icmp, "code"));
    Ok(match code {
        None => vec![equal(opt.invert, left, kind)],
        Some(code) if !opt.invert => {
            vec![equal(false, left, kind), equal(false, code_field, code)]
        }
        Some(code) => vec![equal(
            true,
            Expr::Concat(vec![left, code_field]),
            set(vec![Expr::Concat(vec![kind, code])]),
        )],
    })
}

/// `ebt_vlan_mt`: the kernel takes it behind `-p 802_1Q` only.
fn vlan(options: &[Opt]) -> Why<Vec<Stmt>> {
    let test = |opt: &Opt| {
        let text = one(opt)?;
        let (field, value) = match opt.name.as_str() {
            "--vlan-id" => ("id", small(opt, text, 0xfff)?),
            "--vlan-prio" => ("pcp", small(opt, text, 7)?),
            "--vlan-encap" => ("type", ethertype(opt, text)?),
            _ => return Err(Untranslatable::unread(opt)),
        };
        Ok(equal(opt.invert, payload("vlan", field), number(value)))
    };
    options.iter().map(test).collect()
}

const ARP_OPERATIONS: [&str; 9] = [
    "Request",
    "Reply",
    "Request_Reverse",
    "Reply_Reverse",
    "DRARP_Request",
    "DRARP_Reply",
    "DRARP_Error",
    "InARP_Request",
    "ARP_NAK",
];

/// `ebt_arp_mt`: the kernel takes it behind `-p ARP` and `-p RARP` only.
fn arp(options: &[Opt]) -> Why<Vec<Stmt>> {
    let mut tests = Vec::new();
    for opt in options {
        if opt.name == "--arp-gratuitous" {
            return Err(Untranslatable::because(
                "nft cannot compare two fields of a packet",
            ));
        }
        let text = one(opt)?;
        let net = |field: &str| -> Why<Option<Stmt>> {
            let net = Net::parse(text, IpFamily::Ip).ok_or_else(|| Untranslatable::unread(opt))?;
            Ok(net.test(opt.invert, payload("arp", field)))
        };
        let plain =
            |field: &str, value: u64| equal(opt.invert, payload("arp", field), number(value));
        match opt.name.as_str() {
            "--arp-op" | "--arp-opcode" => {
                let named = ARP_OPERATIONS
                    .iter()
                    .zip(1..)
                    .find(|(name, _)| name.eq_ignore_ascii_case(text));
                let operation = match named {
                    Some((_, number)) => number,
                    None => small(opt, text, 0xffff)?,
                };
                tests.push(plain("operation", operation));
            }
            "--arp-htype" => {
                let kind = if text.eq_ignore_ascii_case("Ethernet") {
                    1
                } else {
                    small(opt, text, 0xffff)?
                };
                tests.push(plain("htype", kind));
            }
            "--arp-ptype" => tests.push(plain("ptype", ethertype(opt, text)?)),
            "--arp-ip-src" => tests.extend(net("saddr ip")?),
            "--arp-ip-dst" => tests.extend(net("daddr ip")?),
            "--arp-mac-src" => {
                tests.push(station(opt, payload("arp", "saddr ether"))?);
            }
            "--arp-mac-dst" => {
                tests.push(station(opt, payload("arp", "daddr ether"))?);
            }
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    Ok(tests)
}

/// `ebt_among_mt`: a list of Ethernet addresses, each alone or with an address of IPv4. A frame of another protocol has no such
/// address, so only an address alone is in a list.
fn among(options: &[Opt]) -> Why<Vec<Stmt>> {
    let mut tests = Vec::new();
    for opt in options {
        let (ether, ip) = match opt.name.as_str() {
            "--among-src" => (payload("ether", "saddr"), payload("ip", "saddr")),
            "--among-dst" => (payload("ether", "daddr"), payload("ip", "daddr")),
            _ => return Err(Untranslatable::unread(opt)),
        };
        let (mut stations, mut pairs) = (Vec::new(), Vec::new());
        for entry in one(opt)?.split(',').filter(|entry| !entry.is_empty()) {
            let (address, with) = match entry.split_once('=') {
                Some((address, with)) => (address, Some(with)),
                None => (entry, None),
            };
            let address = string(show(
                mac(address).ok_or_else(|| Untranslatable::unread(opt))?,
            ));
            match with.map(str::parse::<Ipv4Addr>) {
                None => stations.push(address),
                Some(Ok(v4)) => pairs.push(Expr::Concat(vec![address, string(v4.to_string())])),
                Some(Err(_)) => return Err(Untranslatable::unread(opt)),
            }
        }
        match (stations.is_empty(), pairs.is_empty()) {
            (true, true) => return Err(Untranslatable::unread(opt)),
            (false, true) => tests.push(equal(opt.invert, ether, set(stations))),
            (true, false) => {
                let test = equal(opt.invert, Expr::Concat(vec![ether, ip]), set(pairs));
                tests.push(if opt.invert { or_absent(test)? } else { test });
            }
            // in none of two lists
            (false, false) if opt.invert => {
                tests.push(equal(true, ether.clone(), set(stations)));
                let test = equal(true, Expr::Concat(vec![ether, ip]), set(pairs));
                tests.push(or_absent(test)?);
            }
            (false, false) => {
                return Err(Untranslatable::because(
                    "its list has addresses of IP for some entries only",
                ));
            }
        }
    }
    Ok(tests)
}

/// `ebt_mark_mt`: `VALUE[/MASK]`, or `/MASK` for any of its bits.
fn mark_m(options: &[Opt]) -> Why<Vec<Stmt>> {
    let [opt] = options else {
        return Err(Untranslatable::mistaken());
    };
    let word = |text: &str| small(opt, text, u64::from(u32::MAX));
    let mark = || meta("mark");
    Ok(vec![match (opt.name.as_str(), one(opt)?.split_once('/')) {
        ("--mark", None) => equal(opt.invert, mark(), number(word(one(opt)?)?)),
        ("--mark", Some(("", mask))) => {
            equal(!opt.invert, and(mark(), number(word(mask)?)), number(0))
        }
        ("--mark", Some((value, mask))) => equal(
            opt.invert,
            and(mark(), number(word(mask)?)),
            number(word(value)?),
        ),
        _ => return Err(Untranslatable::unread(opt)),
    }])
}

/// `ebt_pkttype_mt`
fn pkttype(options: &[Opt]) -> Why<Vec<Stmt>> {
    let [opt] = options else {
        return Err(Untranslatable::mistaken());
    };
    let kind = match (opt.name.as_str(), one(opt)?) {
        ("--pkttype-type", "host") => 0,
        ("--pkttype-type", "broadcast") => 1,
        ("--pkttype-type", "multicast") => 2,
        ("--pkttype-type", "otherhost") => 3,
        ("--pkttype-type", "outgoing") => 4,
        ("--pkttype-type", "loopback") => 5,
        ("--pkttype-type", "fastroute") => 6,
        ("--pkttype-type", text) => small(opt, text, 255)?,
        _ => return Err(Untranslatable::unread(opt)),
    };
    Ok(vec![equal(opt.invert, meta("pkttype"), number(kind))])
}

// ---- watchers and targets

/// `ebt_log_tg`
fn log(options: &[Opt]) -> Why<Vec<Stmt>> {
    let mut fields = Map::new();
    for opt in options {
        match opt.name.as_str() {
            "--log-prefix" => {
                fields.insert("prefix".to_owned(), json!(one(opt)?));
            }
            "--log-level" => {
                fields.insert("level".to_owned(), json!(one(opt)?));
            }
            "--log" | "--log-ip" | "--log-ip6" | "--log-arp" => {}
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    Ok(vec![Stmt::Log(Fields(if fields.is_empty() {
        Value::Null
    } else {
        Value::Object(fields)
    }))])
}

/// The statements of a target extension.
pub fn target(place: &Place<'_>, target: &Target) -> Why<Vec<Stmt>> {
    let options = target.options.as_slice();
    match target.name.as_str() {
        "mark" => mark(place, options),
        "dnat" => dnat(place, options),
        "snat" => snat(place, options),
        "redirect" => redirect(place, options),
        "arpreply" => Err(Untranslatable::because("answers requests of ARP")),
        _ => Err(Untranslatable::no_target()),
    }
}

/// What a target ends with.
fn then(place: &Place<'_>, opt: &Opt) -> Why<Vec<Stmt>> {
    upright(opt)?;
    verdict(place, one(opt)?).ok_or_else(|| Untranslatable::unread(opt))?
}

fn accept() -> Vec<Stmt> {
    vec![Stmt::Verdict(Verdict::Accept)]
}

/// `ebt_mark_tg`
fn mark(place: &Place<'_>, options: &[Opt]) -> Why<Vec<Stmt>> {
    let (mut value, mut end) = (None, accept());
    for opt in options {
        let bits = || -> Why<Expr> { Ok(number(small(opt, one(opt)?, u64::from(u32::MAX))?)) };
        match opt.name.as_str() {
            "--mark-set" | "--set-mark" => value = Some(bits()?),
            "--mark-or" => value = Some(or(meta("mark"), bits()?)),
            "--mark-and" => value = Some(and(meta("mark"), bits()?)),
            "--mark-xor" => value = Some(xor(meta("mark"), bits()?)),
            "--mark-target" => end = then(place, opt)?,
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    let value = value.ok_or_else(|| Untranslatable::because("without a mark"))?;
    end.insert(0, set_to(meta("mark"), value));
    Ok(end)
}

/// The new address of a translation, and what it ends with.
fn translation(
    place: &Place<'_>,
    options: &[Opt],
    [short, long, end]: [&str; 3],
) -> Why<([u8; 6], Vec<Stmt>)> {
    let (mut address, mut last) = (None, accept());
    for opt in options {
        match opt.name.as_str() {
            name if name == short || name == long => {
                address = Some(mac(one(opt)?).ok_or_else(|| Untranslatable::unread(opt))?);
            }
            name if name == end => last = then(place, opt)?,
            // the sender within a packet of ARP
            "--snat-arp" if end == "--snat-target" => {}
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    let address = address.ok_or_else(|| Untranslatable::because("without an address"))?;
    Ok((address, last))
}

/// `ebt_snat_tg`
fn snat(place: &Place<'_>, options: &[Opt]) -> Why<Vec<Stmt>> {
    let names = ["--to-src", "--to-source", "--snat-target"];
    let (address, mut end) = translation(place, options, names)?;
    end.insert(0, set_to(payload("ether", "saddr"), string(show(address))));
    Ok(end)
}

/// `ebt_dnat_tg`: a frame that comes in is then for this host when the new address is its bridge's, and else for somebody else.
fn dnat(place: &Place<'_>, options: &[Opt]) -> Why<Vec<Stmt>> {
    let names = ["--to-dst", "--to-destination", "--dnat-target"];
    let (address, end) = translation(place, options, names)?;
    let text = || string(show(address));
    let kind = match (place.table, place.chain) {
        _ if address == ALL => Some(string("broadcast")),
        _ if address[0] & 1 == 1 => Some(string("multicast")),
        ("nat", "PREROUTING") => Some(Expr::Map(Box::new(MapExpr {
            key: meta("ibrhwaddr"),
            data: set(vec![
                Expr::Pair(Box::new((text(), string("host")))),
                Expr::Pair(Box::new((string("*"), string("other")))),
            ]),
            extra: Extra::default(),
        }))),
        ("nat", "OUTPUT") => None,
        ("nat", _) => {
            return Err(Untranslatable::because(
                "in a user chain: whom the frame is for depends on the hook",
            ));
        }
        _ => {
            return Err(Untranslatable::because(
                "whom the frame is for depends on the address of its port",
            ));
        }
    };
    let mut stmts = vec![set_to(payload("ether", "daddr"), text())];
    stmts.extend(kind.map(|kind| set_to(meta("pkttype"), kind)));
    stmts.extend(end);
    Ok(stmts)
}

/// `ebt_redirect_tg`: to the bridge itself, in table broute to the port.
fn redirect(place: &Place<'_>, options: &[Opt]) -> Why<Vec<Stmt>> {
    if place.table == ebtables::BROUTE {
        return Err(Untranslatable::because("to the address of the port"));
    }
    let mut end = accept();
    for opt in options {
        match opt.name.as_str() {
            "--redirect-target" => end = then(place, opt)?,
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    let mut stmts = vec![
        set_to(payload("ether", "daddr"), meta("ibrhwaddr")),
        set_to(meta("pkttype"), string("host")),
    ];
    stmts.append(&mut end);
    Ok(stmts)
}
