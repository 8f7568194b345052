//! Basic options and `-m` matches.
//!
//! Each function follows one `match` function of the kernel (`net/netfilter/xt_NAME.c`, `net/ipv[46]/netfilter/`), which its comment names where its
//! behaviour is not what the manual page suggests.

mod u32;

use serde_json::json;

use super::build::*;
use super::{Context, Untranslatable, Why};
use crate::iptables::IpFamily;
use crate::iptables::ipset::{Lookup, Part};
use crate::iptables::save::{Match, Opt};
use crate::nft::ast::{Expr, Extra, Fields, HeaderOption, MatchOp, Numgen, Rt, Stmt, Str};

/// The statements of one match; empty when it always holds.
pub fn translate(context: &Context<'_>, m: &Match) -> Why<Vec<Stmt>> {
    let options = m.options.as_slice();
    match m.name.as_str() {
        "-s" | "-d" | "-i" | "-o" | "-p" | "-f" => match options {
            [opt] => basic(context.family, opt),
            _ => Err(Untranslatable::mistaken()),
        },
        "tcp" => transport("tcp", options),
        "udp" => match context.protocol().as_deref() {
            Some("udplite") => transport("udplite", options),
            _ => transport("udp", options),
        },
        "udplite" => transport("udplite", options),
        "sctp" => transport("sctp", options),
        "dccp" => transport("dccp", options),
        "icmp" => icmp(options, "icmp", "--icmp-type"),
        "icmp6" | "icmpv6" => icmp(options, "icmpv6", "--icmpv6-type"),
        "esp" => spi(options, "esp", "--espspi"),
        // nft's `ah spi` needs AH as the transport protocol, which it never is where IPv6 counts it as an extension header.
        "ah" if context.family == IpFamily::Ip => spi(options, "ah", "--ahspi"),
        "multiport" => multiport(context, options),
        "addrtype" => match context.family {
            IpFamily::Ip => addrtype(options),
            IpFamily::Ip6 => addrtype6(options),
        },
        "conntrack" | "state" => conntrack(context.family, options),
        "mark" => mark(meta("mark"), options),
        "connmark" => mark(ct("mark", None), options),
        "comment" => Ok(Vec::new()),
        "mac" => mac(options),
        "owner" => owner(options),
        "pkttype" => pkttype(options),
        "length" => length(context.family, options),
        "ttl" => hops(payload("ip", "ttl"), options),
        "hl" => hops(payload("ip6", "hoplimit"), options),
        "tos" => tos(context.family, options),
        "dscp" => dscp(context.family, options),
        "ecn" => ecn(context.family, options),
        "iprange" => iprange(context.family, options),
        "limit" => limit(options),
        "connlimit" => connlimit(options),
        "statistic" => statistic(options),
        "rpfilter" => rpfilter(context.family, options),
        "devgroup" => devgroup(options),
        "realm" => realm(options),
        "cpu" => single(options, "--cpu", meta("cpu")),
        "cgroup" => single(options, "--cgroup", meta("cgroup")),
        "helper" => helper(options),
        "connbytes" => connbytes(options),
        "quota" => quota(options),
        "recent" => recent(options),
        "tcpmss" => tcpmss(options),
        "policy" => policy(options),
        "socket" => socket(options),
        "rt" => routing_header(options),
        "frag" => fragment_header(options),
        "hbh" => header_length(options, "hbh", "--hbh-len"),
        "dst" => header_length(options, "dst", "--dst-len"),
        "physdev" => physdev(options),
        "set" => ipset(context, options),
        "time" => time(options),
        "hashlimit" => hashlimit(options),
        "u32" => u32::translate(context.family, options),
        "connlabel" => connlabel(options),
        "ipv6header" => ipv6header(options),
        "eui64" => Err(Untranslatable::because(
            "nft cannot compare two fields of a packet",
        )),
        "ah" | "bpf" | "cluster" | "ipcomp" | "ipvs" | "mh" | "nfacct" | "osf" | "rateest"
        | "srh" | "string" => Err(Untranslatable::because("no equivalent in nft")),
        _ => Err(Untranslatable::mistaken()),
    }
}

fn family_header(family: IpFamily) -> &'static str {
    family.as_str()
}

fn basic(family: IpFamily, opt: &Opt) -> Why<Vec<Stmt>> {
    let header = family_header(family);
    match opt.name.as_str() {
        "-s" | "-d" => {
            let field = if opt.name == "-s" { "saddr" } else { "daddr" };
            let net = Net::parse(one(opt)?, family).ok_or_else(|| Untranslatable::unread(opt))?;
            Ok(net
                .test(opt.invert, payload(header, field))
                .into_iter()
                .collect())
        }
        "-i" | "-o" => {
            // Both compare with an empty name where the hook has no such device, so `! -i eth0` holds for a packet that the host sends.
            let key = if opt.name == "-i" {
                "iifname"
            } else {
                "oifname"
            };
            let name = match one(opt)? {
                "+" if opt.invert => return Ok(vec![never()]),
                "+" => return Ok(Vec::new()),
                name => match name.strip_suffix('+') {
                    Some(stem) => format!("{stem}*"),
                    None => name.to_owned(),
                },
            };
            Ok(vec![equal(opt.invert, meta(key), string(name))])
        }
        "-p" => match one(opt)? {
            "all" | "ip" | "0" if !opt.invert => Ok(Vec::new()),
            "all" | "ip" | "0" => Ok(vec![never()]),
            name => {
                let protocol = protocol(name).ok_or_else(|| Untranslatable::unread(opt))?;
                Ok(vec![equal(opt.invert, meta("l4proto"), protocol)])
            }
        },
        "-f" if family == IpFamily::Ip => {
            bare(opt)?;
            Ok(vec![equal(
                !opt.invert,
                and(payload("ip", "frag-off"), number(0x1fff)),
                number(0),
            )])
        }
        _ => Err(Untranslatable::unread(opt)),
    }
}

/// Holds for every packet that has a transport header, so not for later fragments.
fn has_header(left: Expr, max: u64) -> Stmt {
    equal(false, left, numbers(0, max))
}

/// `xt_tcpudp.c`, `xt_sctp.c`, `xt_dccp.c`: later fragments never match.
fn transport(protocol: &str, options: &[Opt]) -> Why<Vec<Stmt>> {
    let mut stmts = Vec::new();
    let mut reads_header = false;
    for opt in options {
        match (opt.name.as_str(), protocol) {
            ("--sport" | "--source-port", _) => {
                stmts.push(equal(
                    opt.invert,
                    payload(protocol, "sport"),
                    ports(opt, one(opt)?)?,
                ));
                reads_header = true;
            }
            ("--dport" | "--destination-port", _) => {
                stmts.push(equal(
                    opt.invert,
                    payload(protocol, "dport"),
                    ports(opt, one(opt)?)?,
                ));
                reads_header = true;
            }
            ("--syn", "tcp") => {
                bare(opt)?;
                stmts.push(tcp_flags(opt.invert, FIN | SYN | RST | ACK, SYN));
                reads_header = true;
            }
            ("--tcp-flags", "tcp") => {
                let [mask, flags] = opt.values.as_slice() else {
                    return Err(Untranslatable::unread(opt));
                };
                stmts.push(tcp_flags(
                    opt.invert,
                    tcp_flag_bits(opt, mask)?,
                    tcp_flag_bits(opt, flags)?,
                ));
                reads_header = true;
            }
            ("--tcp-option", "tcp") => {
                let kind = small(opt, one(opt)?, 255)?;
                stmts.push(matching(
                    MatchOp::Eq,
                    tcp_option(kind),
                    Expr::Bool(!opt.invert),
                ));
                reads_header |= !opt.invert;
            }
            ("--dccp-types", "dccp") => {
                let names = one(opt)?
                    .split(',')
                    .map(|name| dccp_type(opt, name))
                    .collect::<Why<Vec<_>>>()?;
                stmts.push(equal(opt.invert, payload("dccp", "type"), set(names)));
                reads_header = true;
            }
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    // A bare `-m tcp`, and nft's `tcp option N missing`, would else hold for later fragments too.
    if !reads_header {
        stmts.insert(0, has_header(payload(protocol, "sport"), 65535));
    }
    Ok(stmts)
}

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
const TCP_FLAGS: [(&str, u8); 6] = [
    ("fin", FIN),
    ("syn", SYN),
    ("rst", RST),
    ("psh", 0x08),
    ("ack", ACK),
    ("urg", 0x20),
];

fn tcp_flag_bits(opt: &Opt, text: &str) -> Why<u8> {
    let mut bits = 0;
    for word in text.split(',') {
        bits |= match word.to_ascii_lowercase().as_str() {
            "all" => 0x3f,
            "none" => 0,
            name => match TCP_FLAGS.iter().find(|(flag, _)| *flag == name) {
                Some((_, bit)) => *bit,
                None => return Err(Untranslatable::unread(opt)),
            },
        };
    }
    Ok(bits)
}

fn tcp_flags(invert: bool, mask: u8, flags: u8) -> Stmt {
    let names = |bits: u8| {
        let names: Vec<Expr> = TCP_FLAGS
            .iter()
            .filter(|(_, bit)| bits & bit != 0)
            .map(|(name, _)| string(name))
            .collect();
        if names.is_empty() {
            number(0)
        } else {
            flag_names(names)
        }
    };
    equal(
        invert,
        and(payload("tcp", "flags"), names(mask)),
        names(flags),
    )
}

fn tcp_option(kind: u64) -> Expr {
    let name = match kind {
        0 => "eol",
        1 => "nop",
        2 => "maxseg",
        3 => "window",
        4 => "sack-perm",
        5 => "sack",
        8 => "timestamp",
        _ => {
            let base = u32::try_from(kind).ok();
            return Expr::TcpOption(Box::new(HeaderOption {
                base,
                offset: Some(0),
                len: Some(8),
                ..HeaderOption::default()
            }));
        }
    };
    Expr::TcpOption(header_option(name, None))
}

fn dccp_type(opt: &Opt, name: &str) -> Why<Expr> {
    match name {
        "REQUEST" | "RESPONSE" | "DATA" | "ACK" | "DATAACK" | "CLOSEREQ" | "CLOSE" | "RESET"
        | "SYNC" | "SYNCACK" => Ok(string(name.to_ascii_lowercase())),
        _ => Err(Untranslatable::unread(opt)),
    }
}

/// The types by the names that nft prints; others stay numbers.
const ICMP_TYPES: [(&str, u64); 15] = [
    ("echo-reply", 0),
    ("destination-unreachable", 3),
    ("source-quench", 4),
    ("redirect", 5),
    ("echo-request", 8),
    ("router-advertisement", 9),
    ("router-solicitation", 10),
    ("time-exceeded", 11),
    ("parameter-problem", 12),
    ("timestamp-request", 13),
    ("timestamp-reply", 14),
    ("info-request", 15),
    ("info-reply", 16),
    ("address-mask-request", 17),
    ("address-mask-reply", 18),
];

const ICMPV6_TYPES: [(&str, u64); 18] = [
    ("destination-unreachable", 1),
    ("packet-too-big", 2),
    ("time-exceeded", 3),
    ("parameter-problem", 4),
    ("echo-request", 128),
    ("echo-reply", 129),
    ("mld-listener-query", 130),
    ("mld-listener-report", 131),
    ("mld-listener-done", 132),
    ("nd-router-solicit", 133),
    ("nd-router-advert", 134),
    ("nd-neighbor-solicit", 135),
    ("nd-neighbor-advert", 136),
    ("nd-redirect", 137),
    ("router-renumbering", 138),
    ("ind-neighbor-solicit", 141),
    ("ind-neighbor-advert", 142),
    ("mld2-listener-report", 143),
];

/// A name, its type and, when the name says one, its code.
pub type IcmpName = (&'static str, u64, Option<u64>);

/// Names that iptables takes for an ICMP type, with the code where the name says one (`libipt_icmp.c`).
pub const ICMP_NAMES: [IcmpName; 38] = [
    ("echo-reply", 0, None),
    ("pong", 0, None),
    ("destination-unreachable", 3, None),
    ("network-unreachable", 3, Some(0)),
    ("host-unreachable", 3, Some(1)),
    ("protocol-unreachable", 3, Some(2)),
    ("port-unreachable", 3, Some(3)),
    ("fragmentation-needed", 3, Some(4)),
    ("source-route-failed", 3, Some(5)),
    ("network-unknown", 3, Some(6)),
    ("host-unknown", 3, Some(7)),
    ("network-prohibited", 3, Some(9)),
    ("host-prohibited", 3, Some(10)),
    ("TOS-network-unreachable", 3, Some(11)),
    ("TOS-host-unreachable", 3, Some(12)),
    ("communication-prohibited", 3, Some(13)),
    ("host-precedence-violation", 3, Some(14)),
    ("precedence-cutoff", 3, Some(15)),
    ("source-quench", 4, None),
    ("redirect", 5, None),
    ("network-redirect", 5, Some(0)),
    ("host-redirect", 5, Some(1)),
    ("TOS-network-redirect", 5, Some(2)),
    ("TOS-host-redirect", 5, Some(3)),
    ("echo-request", 8, None),
    ("ping", 8, None),
    ("router-advertisement", 9, None),
    ("router-solicitation", 10, None),
    ("time-exceeded", 11, None),
    ("ttl-exceeded", 11, None),
    ("ttl-zero-during-transit", 11, Some(0)),
    ("ttl-zero-during-reassembly", 11, Some(1)),
    ("parameter-problem", 12, None),
    ("ip-header-bad", 12, Some(0)),
    ("required-option-missing", 12, Some(1)),
    ("timestamp-request", 13, None),
    ("timestamp-reply", 14, None),
    ("address-mask-request", 17, None),
];

/// The same for ICMPv6 (`libip6t_icmp6.c`).
pub const ICMPV6_NAMES: [IcmpName; 29] = [
    ("destination-unreachable", 1, None),
    ("no-route", 1, Some(0)),
    ("communication-prohibited", 1, Some(1)),
    ("beyond-scope", 1, Some(2)),
    ("address-unreachable", 1, Some(3)),
    ("port-unreachable", 1, Some(4)),
    ("failed-policy", 1, Some(5)),
    ("reject-route", 1, Some(6)),
    ("packet-too-big", 2, None),
    ("time-exceeded", 3, None),
    ("ttl-exceeded", 3, None),
    ("ttl-zero-during-transit", 3, Some(0)),
    ("ttl-zero-during-reassembly", 3, Some(1)),
    ("parameter-problem", 4, None),
    ("bad-header", 4, Some(0)),
    ("unknown-header-type", 4, Some(1)),
    ("unknown-option", 4, Some(2)),
    ("echo-request", 128, None),
    ("ping", 128, None),
    ("echo-reply", 129, None),
    ("pong", 129, None),
    ("router-solicitation", 133, None),
    ("router-advertisement", 134, None),
    ("neighbour-solicitation", 135, None),
    ("neighbor-solicitation", 135, None),
    ("neighbour-advertisement", 136, None),
    ("neighbor-advertisement", 136, None),
    ("redirect", 137, None),
    ("address-mask-reply", 18, None),
];

/// Type and code that a name of ICMP or ICMPv6 stands for; code 0 where it names none.
pub fn icmp_name(v4: bool, text: &str) -> Option<(u8, u8)> {
    let names: &[IcmpName] = if v4 { &ICMP_NAMES } else { &ICMPV6_NAMES };
    let (_, kind, code) = names
        .iter()
        .find(|(name, ..)| name.eq_ignore_ascii_case(text))?;
    Some((
        u8::try_from(*kind).ok()?,
        u8::try_from(code.unwrap_or(0)).ok()?,
    ))
}

/// `icmp_match` and `icmp6_match`: later fragments never match; type 255 of ICMP stands for any.
fn icmp(options: &[Opt], protocol: &str, option: &str) -> Why<Vec<Stmt>> {
    let names: &[IcmpName] = if protocol == "icmp" {
        &ICMP_NAMES
    } else {
        &ICMPV6_NAMES
    };
    let shown: &[(&str, u64)] = if protocol == "icmp" {
        &ICMP_TYPES
    } else {
        &ICMPV6_TYPES
    };
    let any = has_header(payload(protocol, "type"), 255);
    let opt = match options {
        [] => return Ok(vec![any]),
        [opt] if opt.name == option => opt,
        [opt, ..] => return Err(Untranslatable::unread(opt)),
    };
    let text = one(opt)?;
    let (kind, code) = if text == "any" && protocol == "icmp" {
        (255, None)
    } else if let Some((_, kind, code)) = names
        .iter()
        .find(|(name, ..)| name.eq_ignore_ascii_case(text))
    {
        (*kind, *code)
    } else {
        match text.split_once('/') {
            Some((kind, code)) => (small(opt, kind, 255)?, Some(small(opt, code, 255)?)),
            None => (small(opt, text, 255)?, None),
        }
    };
    if kind == 255 && protocol == "icmp" && code.is_none() {
        if opt.invert {
            return Ok(vec![never()]);
        }
        return Ok(vec![any]);
    }
    let shown = match shown.iter().find(|(_, n)| *n == kind) {
        Some((name, _)) => string(name),
        None => number(kind),
    };
    let field = payload(protocol, "type");
    Ok(match code {
        None => vec![equal(opt.invert, field, shown)],
        Some(code) if !opt.invert => vec![
            equal(false, field, shown),
            equal(false, payload(protocol, "code"), number(code)),
        ],
        Some(code) => {
            let pair = Expr::Concat(vec![field, payload(protocol, "code")]);
            vec![equal(
                true,
                pair,
                set(vec![Expr::Concat(vec![shown, number(code)])]),
            )]
        }
    })
}

fn spi(options: &[Opt], protocol: &str, option: &str) -> Why<Vec<Stmt>> {
    let field = payload(protocol, "spi");
    match options {
        [] => Ok(vec![has_header(field, u64::from(u32::MAX))]),
        [opt] if opt.name == option => {
            let (low, high) = span(opt, one(opt)?, ':', u64::from(u32::MAX))?;
            Ok(vec![equal(opt.invert, field, numbers(low, high))])
        }
        [opt, ..] => Err(Untranslatable::unread(opt)),
    }
}

/// `xt_multiport.c`: `--ports` holds when either port is in the list.
fn multiport(context: &Context<'_>, options: &[Opt]) -> Why<Vec<Stmt>> {
    let protocol = context.protocol();
    let protocol = match protocol.as_deref() {
        Some(name @ ("tcp" | "udp" | "udplite" | "sctp" | "dccp")) => name,
        _ => {
            return Err(Untranslatable::because(
                "needs `-p` with a protocol that has ports",
            ));
        }
    };
    let [opt] = options else {
        return Err(Untranslatable::mistaken());
    };
    let list = one(opt)?
        .split(',')
        .map(|item| ports(opt, item))
        .collect::<Why<Vec<_>>>()?;
    let field = |name| payload(protocol, name);
    Ok(match opt.name.as_str() {
        "--sports" | "--source-ports" => vec![equal(opt.invert, field("sport"), set(list))],
        "--dports" | "--destination-ports" => vec![equal(opt.invert, field("dport"), set(list))],
        "--ports" if opt.invert => vec![
            equal(true, field("sport"), set(list.clone())),
            equal(true, field("dport"), set(list)),
        ],
        "--ports" => {
            let any = || numbers(0, 65535);
            let pairs = list.into_iter().flat_map(|port| {
                [
                    Expr::Concat(vec![port.clone(), any()]),
                    Expr::Concat(vec![any(), port]),
                ]
            });
            vec![equal(
                false,
                Expr::Concat(vec![field("sport"), field("dport")]),
                set(pairs.collect()),
            )]
        }
        _ => return Err(Untranslatable::unread(opt)),
    })
}

/// Which interface `--limit-iface-in` or `--limit-iface-out` names, as a flag of nft's fib expression.
fn limit_interface(options: &[Opt]) -> Why<Option<&'static str>> {
    let mut limit = None;
    for opt in options {
        match opt.name.as_str() {
            "--limit-iface-in" => limit = Some("iif"),
            "--limit-iface-out" => limit = Some("oif"),
            "--src-type" | "--dst-type" => continue,
            _ => return Err(Untranslatable::unread(opt)),
        }
        bare(opt)?;
        upright(opt)?;
    }
    Ok(limit)
}

fn fib_type(field: &str, limit: Option<&str>) -> Expr {
    let flags: Vec<&str> = std::iter::once(field).chain(limit).collect();
    fib("type", &flags)
}

/// `xt_addrtype.c` for IPv4: the same look-up as nft's fib expression (`inet_dev_addr_type`), in the local table only.
fn addrtype(options: &[Opt]) -> Why<Vec<Stmt>> {
    let limit = limit_interface(options)?;
    let mut stmts = Vec::new();
    for opt in options {
        let field = match opt.name.as_str() {
            "--src-type" => "saddr",
            "--dst-type" => "daddr",
            _ => continue,
        };
        let mut types = Vec::new();
        for name in one(opt)?.split(',') {
            match name {
                "UNSPEC" | "UNICAST" | "LOCAL" | "BROADCAST" | "ANYCAST" | "MULTICAST"
                | "BLACKHOLE" | "UNREACHABLE" | "PROHIBIT" => {
                    types.push(string(name.to_ascii_lowercase()));
                }
                _ => {
                    return Err(Untranslatable::because(format!(
                        "nft has no address type `{name}`"
                    )));
                }
            }
        }
        let right = if types.len() == 1 {
            types.remove(0)
        } else {
            set(types)
        };
        stmts.push(equal(opt.invert, fib_type(field, limit), right));
    }
    Ok(stmts)
}

/// `xt_addrtype.c` for IPv6 (`match_type6`) is another match: MULTICAST, UNICAST and UNSPEC look at the address alone, several types must hold
/// together, and UNICAST holds for the host's own addresses too.
fn addrtype6(options: &[Opt]) -> Why<Vec<Stmt>> {
    let limit = limit_interface(options)?;
    let mut stmts = Vec::new();
    for opt in options {
        let field = match opt.name.as_str() {
            "--src-type" => "saddr",
            "--dst-type" => "daddr",
            _ => continue,
        };
        let types: Vec<&str> = one(opt)?.split(',').collect();
        if opt.invert && types.len() > 1 {
            return Err(Untranslatable::because(
                "several inverted address types of IPv6 have no single test in nft",
            ));
        }
        let mut looked_up = Vec::new();
        for name in types {
            let address = || payload("ip6", field);
            match name {
                "MULTICAST" => stmts.push(equal(opt.invert, address(), prefix("ff00::", 8))),
                "UNICAST" => {
                    let others = set(vec![
                        string("::"),
                        prefix("::ffff:0.0.0.0", 96),
                        prefix("ff00::", 8),
                    ]);
                    stmts.push(equal(!opt.invert, address(), others));
                }
                "UNSPEC" => stmts.push(equal(opt.invert, address(), string("::"))),
                "LOCAL" | "ANYCAST" => looked_up.push(string(name.to_ascii_lowercase())),
                _ => {
                    return Err(Untranslatable::because(format!(
                        "address type `{name}` of IPv6 has no equivalent in nft"
                    )));
                }
            }
        }
        if !looked_up.is_empty() {
            let right = if looked_up.len() == 1 {
                looked_up.remove(0)
            } else {
                set(looked_up)
            };
            stmts.push(equal(opt.invert, fib_type(field, limit), right));
        }
    }
    Ok(stmts)
}

/// The states in the order of their bits, as nft lists them.
const STATES: [&str; 5] = ["invalid", "established", "related", "new", "untracked"];

/// `conntrack_mt` of `xt_conntrack.c`; `-m state` is the same match.
///
/// A packet without conntrack entry is INVALID or UNTRACKED; when that is asked for, all other options are ignored for it, which nft's
/// tests of the entry would not do. SNAT and DNAT are bits of the entry's status beside its state: one is enough.
fn conntrack(family: IpFamily, options: &[Opt]) -> Why<Vec<Stmt>> {
    let mut stmts = Vec::new();
    let mut holds_without_entry = false;
    let header = family_header(family);
    for opt in options {
        let address = |dir: &str, field: &str| {
            let net = Net::parse(one(opt)?, family).ok_or_else(|| Untranslatable::unread(opt))?;
            Ok(net.test(opt.invert, ct(&format!("{header} {field}"), Some(dir))))
        };
        let port = |dir: &str, field: &str| {
            Ok(equal(
                opt.invert,
                ct(field, Some(dir)),
                ports(opt, one(opt)?)?,
            ))
        };
        match opt.name.as_str() {
            "--ctstate" | "--state" => {
                let (stmt, without) = ct_state(opt)?;
                holds_without_entry = without;
                stmts.push(stmt);
            }
            "--ctproto" => {
                let protocol = protocol(one(opt)?).ok_or_else(|| Untranslatable::unread(opt))?;
                stmts.push(equal(
                    opt.invert,
                    ct("protocol", Some("original")),
                    protocol,
                ));
            }
            "--ctorigsrc" => stmts.extend(address("original", "saddr")?),
            "--ctorigdst" => stmts.extend(address("original", "daddr")?),
            "--ctreplsrc" => stmts.extend(address("reply", "saddr")?),
            "--ctrepldst" => stmts.extend(address("reply", "daddr")?),
            "--ctorigsrcport" => stmts.push(port("original", "proto-src")?),
            "--ctorigdstport" => stmts.push(port("original", "proto-dst")?),
            "--ctreplsrcport" => stmts.push(port("reply", "proto-src")?),
            "--ctrepldstport" => stmts.push(port("reply", "proto-dst")?),
            "--ctdir" => {
                let dir = one(opt)?.to_ascii_lowercase();
                if !matches!(dir.as_str(), "original" | "reply") {
                    return Err(Untranslatable::unread(opt));
                }
                stmts.push(equal(opt.invert, ct("direction", None), string(dir)));
            }
            "--ctstatus" => {
                let mut bits = Vec::new();
                for name in one(opt)?.split(',') {
                    bits.push(match name {
                        "EXPECTED" | "ASSURED" | "CONFIRMED" => string(name.to_ascii_lowercase()),
                        "SEEN_REPLY" => string("seen-reply"),
                        // no bit at all
                        "NONE" => continue,
                        _ => return Err(Untranslatable::unread(opt)),
                    });
                }
                if bits.is_empty() {
                    let op = if opt.invert { MatchOp::Ge } else { MatchOp::Lt };
                    stmts.push(matching(op, ct("status", None), number(0)));
                    continue;
                }
                let op = if opt.invert {
                    MatchOp::Not
                } else {
                    MatchOp::In
                };
                stmts.push(matching(op, ct("status", None), flag_names(bits)));
            }
            // Whole seconds here, milliseconds in nft.
            "--ctexpire" => {
                return Err(Untranslatable::because(
                    "the time left of a conntrack entry is not known",
                ));
            }
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    if holds_without_entry {
        // whatever the other options say
        let every = stmts.into_iter().map(|stmt| match is_of_state(&stmt) {
            true => Ok(stmt),
            false => or_absent(stmt),
        });
        return every.collect();
    }
    Ok(stmts)
}

/// Whether a test is of the state alone, or holds without an entry already.
fn is_of_state(stmt: &Stmt) -> bool {
    match stmt {
        Stmt::Match(test) => {
            matches!(&test.left, Expr::Ct(key) if key.key == "state")
                || matches!(test.op, MatchOp::Other(_))
        }
        _ => false,
    }
}

/// Bits of `enum ip_conntrack_info` as `NF_CT_STATE_BIT` and nft have them.
const STATE_BITS: [(&str, i128); 5] = [
    ("invalid", 1),
    ("established", 2),
    ("related", 4),
    ("new", 8),
    ("untracked", 64),
];

/// `IPS_SRC_NAT` and `IPS_DST_NAT`.
const STATUS_BITS: [(&str, i128); 2] = [("snat", 16), ("dnat", 32)];

/// The test of a `--ctstate` list, and whether it holds for a packet that has no conntrack entry.
fn ct_state(opt: &Opt) -> Why<(Stmt, bool)> {
    let names: Vec<String> = one(opt)?.split(',').map(str::to_ascii_lowercase).collect();
    let status: Vec<&str> = ["snat", "dnat"]
        .into_iter()
        .filter(|bit| names.iter().any(|name| name == bit))
        .collect();
    let states: Vec<&str> = STATES
        .into_iter()
        .filter(|state| names.iter().any(|name| name == state))
        .collect();
    if names
        .iter()
        .any(|name| !status.contains(&name.as_str()) && !states.contains(&name.as_str()))
    {
        return Err(Untranslatable::unread(opt));
    }
    let listed: Vec<Expr> = states.iter().map(string).collect();
    let entryless = states
        .iter()
        .filter(|state| matches!(**state, "invalid" | "untracked"))
        .count();
    match (states.is_empty(), status.is_empty(), opt.invert) {
        (false, true, false) => Ok((
            matching(MatchOp::In, ct("state", None), flag_names(listed)),
            entryless > 0,
        )),
        (false, true, true) => {
            let right = if listed.len() == 1 {
                flag_names(listed)
            } else {
                set(listed)
            };
            Ok((equal(true, ct("state", None), right), entryless < 2))
        }
        (true, false, false) => {
            let bits = status.into_iter().map(string).collect();
            Ok((
                matching(MatchOp::In, ct("status", None), flag_names(bits)),
                false,
            ))
        }
        (true, false, true) => {
            let bits = status.into_iter().map(string).collect();
            let test = matching(MatchOp::Not, ct("status", None), flag_names(bits));
            Ok((or_absent(test)?, true))
        }
        (false, false, invert) => {
            // The bits of states and of the status differ, so one test of both together says that either is enough.
            let bits = |names: &[&str], all: &[(&str, i128)]| -> i128 {
                let set = all.iter().filter(|(name, _)| names.contains(name));
                set.map(|(_, bit)| bit).sum()
            };
            let state = and(ct("state", None), number(bits(&states, &STATE_BITS)));
            let status = and(ct("status", None), number(bits(&status, &STATUS_BITS)));
            let test = equal(!invert, or(state, status), number(0));
            // A packet without entry is INVALID or UNTRACKED, and has no status.
            match (entryless, invert) {
                (0, false) | (2, true) => Ok((test, false)),
                (2, false) | (0, true) => Ok((or_absent(test)?, true)),
                _ => Err(Untranslatable::because(
                    "tells INVALID from UNTRACKED and asks for the status too, which nft cannot say in one rule",
                )),
            }
        }
        (true, true, _) => Err(Untranslatable::unread(opt)),
    }
}

fn masked(invert: bool, left: Expr, value: u32, mask: Option<u32>) -> Stmt {
    let left = match mask {
        None | Some(u32::MAX) => left,
        Some(mask) => and(left, number(mask)),
    };
    equal(invert, left, number(value))
}

/// `value[/mask]` of 32 bits, one option.
fn mark(left: Expr, options: &[Opt]) -> Why<Vec<Stmt>> {
    match options {
        [opt] if opt.name == "--mark" => {
            let (value, mask) = marked(opt)?;
            Ok(vec![masked(opt.invert, left, value, mask)])
        }
        _ => Err(Untranslatable::mistaken()),
    }
}

/// `xt_connlabel.c`: without a conntrack entry, only the inverted test holds.
fn connlabel(options: &[Opt]) -> Why<Vec<Stmt>> {
    let (mut bit, mut set) = (None, false);
    for opt in options {
        match opt.name.as_str() {
            "--label" => {
                // The names stand in a file of the host.
                bit = Some((small(opt, one(opt)?, 127)?, opt.invert));
            }
            "--set" => {
                upright(opt)?;
                bare(opt)?;
                set = true;
            }
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    let label = || ct("label", None);
    match (bit, set) {
        (Some((bit, false)), false) => Ok(vec![matching(MatchOp::In, label(), number(bit))]),
        (Some((bit, true)), false) => Ok(vec![or_absent(matching(
            MatchOp::Not,
            label(),
            number(bit),
        ))?]),
        // The bit is set, and then it is there: the test is always answered the same way where there is an entry.
        (Some((bit, false)), true) => Ok(vec![
            set_to(label(), number(bit)),
            matching(MatchOp::In, label(), number(bit)),
        ]),
        (Some((_, true)), true) | (None, _) => Err(Untranslatable::mistaken()),
    }
}

/// `ip6t_ipv6header.c`. With `--soft` the named headers have to be there, or absent; without it no other may be, which asks for AH too.
fn ipv6header(options: &[Opt]) -> Why<Vec<Stmt>> {
    let (mut headers, mut soft) = (None, false);
    for opt in options {
        match opt.name.as_str() {
            "--header" => headers = Some((one(opt)?, opt.invert)),
            "--soft" => {
                upright(opt)?;
                bare(opt)?;
                soft = true;
            }
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    let Some((names, invert)) = headers.filter(|_| soft) else {
        return Err(Untranslatable::because(
            "nft cannot ask for the absence of AH in IPv6",
        ));
    };
    names
        .split(',')
        .map(|name| {
            let header = |name: &str| {
                matching(
                    MatchOp::Eq,
                    Expr::Exthdr(header_option(name, None)),
                    Expr::Bool(!invert),
                )
            };
            let last = |value: Expr| equal(invert, meta("l4proto"), value);
            Ok(match name.to_ascii_lowercase().as_str() {
                "hop" | "hop-by-hop" | "ipv6-opts" | "0" => header("hbh"),
                "route" | "ipv6-route" | "43" => header("rt"),
                "frag" | "ipv6-frag" | "44" => header("frag"),
                "dst" | "60" => header("dst"),
                "esp" | "50" => last(number(50)),
                "none" | "ipv6-nonxt" | "59" => last(number(59)),
                "prot" | "proto" | "255" => {
                    equal(!invert, meta("l4proto"), set(vec![number(50), number(59)]))
                }
                "auth" | "ah" | "51" => {
                    return Err(Untranslatable::because("nft cannot ask for AH in IPv6"));
                }
                _ => return Err(Untranslatable::because(format!("unknown header `{name}`"))),
            })
        })
        .collect()
}

/// `xt_mac.c`: only for packets that came in from an Ethernet device.
fn mac(options: &[Opt]) -> Why<Vec<Stmt>> {
    match options {
        [opt] if opt.name == "--mac-source" => Ok(vec![
            equal(false, meta("iiftype"), string("ether")),
            equal(
                opt.invert,
                payload("ether", "saddr"),
                string(one(opt)?.to_ascii_lowercase()),
            ),
        ]),
        _ => Err(Untranslatable::mistaken()),
    }
}

/// `xt_owner.c`: without a socket, only inverted tests hold.
fn owner(options: &[Opt]) -> Why<Vec<Stmt>> {
    let (mut upright, mut inverted) = (Vec::new(), Vec::new());
    for opt in options {
        let key = match opt.name.as_str() {
            "--uid-owner" => "skuid",
            "--gid-owner" => "skgid",
            "--socket-exists" => {
                bare(opt)?;
                // a socket of the kernel has no owner, and a control group all the same
                let any = equal(opt.invert, meta("cgroup"), numbers(0, u64::from(u32::MAX)));
                if opt.invert {
                    &mut inverted
                } else {
                    &mut upright
                }
                .push(any);
                continue;
            }
            _ => return Err(Untranslatable::unread(opt)),
        };
        let text = one(opt)?;
        let right = if text.starts_with(|c: char| c.is_ascii_digit()) {
            let (low, high) = span(opt, text, '-', u64::from(u32::MAX))?;
            numbers(low, high)
        } else {
            string(text)
        };
        if opt.invert {
            &mut inverted
        } else {
            &mut upright
        }
        .push(equal(opt.invert, meta(key), right));
    }
    // With an upright test a packet without a socket has failed already.
    for test in inverted {
        upright.push(or_absent(test)?);
    }
    Ok(upright)
}

fn pkttype(options: &[Opt]) -> Why<Vec<Stmt>> {
    let [opt] = options else {
        return Err(Untranslatable::mistaken());
    };
    let name = match (opt.name.as_str(), one(opt)?) {
        ("--pkt-type", "unicast" | "host") => "host",
        ("--pkt-type", "broadcast") => "broadcast",
        ("--pkt-type", "multicast") => "multicast",
        ("--pkt-type", "otherhost") => "other",
        _ => return Err(Untranslatable::unread(opt)),
    };
    Ok(vec![equal(opt.invert, meta("pkttype"), string(name))])
}

/// `xt_length.c` reads the length from the header, not from the buffer as nft's `meta length` does; in IPv6 it adds the 40 bytes of the header.
fn length(family: IpFamily, options: &[Opt]) -> Why<Vec<Stmt>> {
    let [opt] = options else {
        return Err(Untranslatable::mistaken());
    };
    if opt.name != "--length" {
        return Err(Untranslatable::unread(opt));
    }
    let (low, high) = span(opt, one(opt)?, ':', 65535)?;
    match family {
        IpFamily::Ip => Ok(vec![equal(
            opt.invert,
            payload("ip", "length"),
            numbers(low, high),
        )]),
        IpFamily::Ip6 if high < 40 => Ok(if opt.invert {
            Vec::new()
        } else {
            vec![never()]
        }),
        IpFamily::Ip6 => {
            // A payload of 65,496 bytes and more makes a packet longer than the option can say.
            Ok(vec![equal(
                opt.invert,
                payload("ip6", "length"),
                numbers(low.saturating_sub(40), high - 40),
            )])
        }
    }
}

/// What a part of a set's key is of a packet, by the direction that the rule gives.
fn set_field(context: &Context<'_>, part: Part, source: bool) -> Vec<Expr> {
    let either = |src: &'static str, dst: &'static str| if source { src } else { dst };
    let address = either("saddr", "daddr");
    let port = || payload("th", either("sport", "dport"));
    match part {
        Part::Address => vec![payload(family_header(context.family), address)],
        Part::Ether => vec![payload("ether", address)],
        Part::ProtocolPort => vec![meta("l4proto"), port()],
        Part::Port => vec![port()],
        Part::Interface => vec![meta(either("iifname", "oifname"))],
        Part::Mark => vec![meta("mark")],
    }
}

/// What tells the elements of a set.
const IPSET_SAVE: &str = "`ipset save` of the same host (`--ipset FILE`, or `nfpath snapshot`)";

/// The key that a rule looks up in a set; `None` where it never fits (`ip_set_test`: too few directions, another family).
pub fn set_key(context: &Context<'_>, opt: &Opt) -> Why<Option<(String, Expr, Lookup)>> {
    let [name, directions] = opt.values.as_slice() else {
        return Err(Untranslatable::unread(opt));
    };
    let lookup = context.sets.lookup(name).map_err(|why| Untranslatable {
        settle: (!context.sets.has(name)).then_some(IPSET_SAVE),
        ..Untranslatable::because(why)
    })?;
    let mut sources = Vec::new();
    for direction in directions.split(',') {
        sources.push(match direction {
            "src" => true,
            "dst" => false,
            _ => return Err(Untranslatable::unread(opt)),
        });
    }
    let other_family = lookup.family.is_some_and(|of| of != context.family);
    if sources.len() < lookup.parts.len() || other_family {
        return Ok(None);
    }
    let mut key = Vec::new();
    for (part, source) in lookup.parts.iter().zip(&sources) {
        if *part == Part::ProtocolPort && lookup.icmp && !source {
            return Err(Untranslatable::because(
                "the set holds types of ICMP, which are no destination port to nft",
            ));
        }
        key.extend(set_field(context, *part, *source));
    }
    let key = match key.len() {
        1 => key.remove(0),
        _ => Expr::Concat(key),
    };
    Ok(Some((format!("@{name}"), key, lookup)))
}

/// `xt_set.c`, revisions 0 to 4.
fn ipset(context: &Context<'_>, options: &[Opt]) -> Why<Vec<Stmt>> {
    let mut found = None;
    for opt in options {
        match opt.name.as_str() {
            "--match-set" | "--set" if found.is_none() => found = Some(opt),
            // they touch the counters of the set, not the answer
            "--update-counters" | "--update-subcounters" => {}
            _ => {
                return Err(Untranslatable::because(
                    "depends on the counters of the ipset's elements, or asks for its `nomatch` elements",
                ));
            }
        }
    }
    let Some(opt) = found else {
        return Err(Untranslatable::mistaken());
    };
    let Some((name, key, lookup)) = set_key(context, opt)? else {
        return Ok(if opt.invert {
            Vec::new()
        } else {
            vec![never()]
        });
    };
    let mut stmts = Vec::new();
    if lookup.parts.contains(&Part::Port) {
        // ip_set_get_ip_port: no other protocol has a port
        if opt.invert {
            return Err(Untranslatable::because(
                "also matches a packet of a protocol without ports",
            ));
        }
        let protocols = set(vec![string("tcp"), string("udp")]);
        stmts.push(equal(false, meta("l4proto"), protocols));
    }
    stmts.push(equal(opt.invert, key, string(&name)));
    Ok(stmts)
}

fn hops(field: Expr, options: &[Opt]) -> Why<Vec<Stmt>> {
    let [opt] = options else {
        return Err(Untranslatable::mistaken());
    };
    let right = number(small(opt, one(opt)?, 255)?);
    match opt.name.as_str() {
        "--ttl-eq" | "--hl-eq" | "--ttl" | "--hl" => Ok(vec![equal(opt.invert, field, right)]),
        "--ttl-lt" | "--hl-lt" if !opt.invert => Ok(vec![matching(MatchOp::Lt, field, right)]),
        "--ttl-gt" | "--hl-gt" if !opt.invert => Ok(vec![matching(MatchOp::Gt, field, right)]),
        _ => Err(Untranslatable::unread(opt)),
    }
}

/// The whole byte that holds DSCP and ECN, as raw bits.
pub fn tos_byte(family: IpFamily) -> Expr {
    match family {
        IpFamily::Ip => raw("nh", 8, 8),
        IpFamily::Ip6 => raw("nh", 4, 8),
    }
}

/// Values of the TOS byte by their old names.
pub fn tos_value(opt: &Opt, text: &str) -> Why<(u64, u64)> {
    let (value, mask) = match text.split_once('/') {
        Some((value, mask)) => (value, Some(mask)),
        None => (text, None),
    };
    let (value, default) = match value.to_ascii_lowercase().as_str() {
        "minimize-delay" => (0x10, 0x3f),
        "maximize-throughput" => (0x08, 0x3f),
        "maximize-reliability" => (0x04, 0x3f),
        "minimize-cost" => (0x02, 0x3f),
        "normal-service" => (0x00, 0x3f),
        value => (small(opt, value, 255)?, 0xff),
    };
    Ok((
        value,
        mask.map_or(Ok(default), |mask| small(opt, mask, 255))?,
    ))
}

/// `xt_dscp.c`, `tos_mt`: nft has no field for the whole byte, but one for each of its halves.
fn tos(family: IpFamily, options: &[Opt]) -> Why<Vec<Stmt>> {
    let [opt] = options else {
        return Err(Untranslatable::mistaken());
    };
    if opt.name != "--tos" {
        return Err(Untranslatable::unread(opt));
    }
    let (value, mask) = tos_value(opt, one(opt)?)?;
    let header = family_header(family);
    let part = |field: &str, value: u64, mask: u64, full: u64| {
        let left = payload(header, field);
        equal(
            opt.invert,
            if mask == full {
                left
            } else {
                and(left, number(mask))
            },
            number(value),
        )
    };
    let (dscp, ecn) = (mask >> 2, mask & 3);
    if value & !mask != 0 {
        // Never matches; the raw test says so too.
        return Ok(vec![equal(
            opt.invert,
            and(tos_byte(family), number(mask)),
            number(value),
        )]);
    }
    Ok(match (dscp, ecn) {
        (0, 0) if opt.invert => return Ok(vec![never()]),
        (0, 0) => Vec::new(),
        (_, 0) => vec![part("dscp", value >> 2, dscp, 0x3f)],
        (0, _) => vec![part("ecn", value & 3, ecn, 3)],
        _ if !opt.invert => vec![
            part("dscp", value >> 2, dscp, 0x3f),
            part("ecn", value & 3, ecn, 3),
        ],
        _ if mask == 0xff => vec![equal(true, tos_byte(family), number(value))],
        _ => vec![equal(
            true,
            and(tos_byte(family), number(mask)),
            number(value),
        )],
    })
}

/// A DSCP by number or class.
pub fn dscp_value(opt: &Opt) -> Why<u64> {
    let text = one(opt)?;
    if !opt.name.ends_with("-class") {
        return small(opt, text, 63);
    }
    let class = text.to_ascii_lowercase();
    let digit = |at: usize| {
        class
            .as_bytes()
            .get(at)
            .filter(|b| b.is_ascii_digit())
            .map(|b| u64::from(b - b'0'))
    };
    match (class.get(..2), class.len()) {
        (Some("ef"), 2) => Some(46),
        (Some("be"), 2) => Some(0),
        (Some("cs"), 3) => digit(2).filter(|n| *n <= 7).map(|n| n * 8),
        (Some("af"), 4) => match (digit(2), digit(3)) {
            (Some(class @ 1..=4), Some(drop @ 1..=3)) => Some(class * 8 + drop * 2),
            _ => None,
        },
        _ => None,
    }
    .ok_or_else(|| Untranslatable::unread(opt))
}

fn dscp(family: IpFamily, options: &[Opt]) -> Why<Vec<Stmt>> {
    match options {
        [opt] if matches!(opt.name.as_str(), "--dscp" | "--dscp-class") => Ok(vec![equal(
            opt.invert,
            payload(family_header(family), "dscp"),
            number(dscp_value(opt)?),
        )]),
        _ => Err(Untranslatable::mistaken()),
    }
}

fn ecn(family: IpFamily, options: &[Opt]) -> Why<Vec<Stmt>> {
    let mut stmts = Vec::new();
    for opt in options {
        let tcp = |flag: &str| {
            equal(
                opt.invert,
                and(payload("tcp", "flags"), string(flag)),
                string(flag),
            )
        };
        match opt.name.as_str() {
            "--ecn-ip-ect" => stmts.push(equal(
                opt.invert,
                payload(family_header(family), "ecn"),
                number(small(opt, one(opt)?, 3)?),
            )),
            "--ecn-tcp-cwr" => stmts.push(tcp("cwr")),
            "--ecn-tcp-ece" => stmts.push(tcp("ecn")),
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    Ok(stmts)
}

fn iprange(family: IpFamily, options: &[Opt]) -> Why<Vec<Stmt>> {
    let mut stmts = Vec::new();
    for opt in options {
        let field = match opt.name.as_str() {
            "--src-range" => "saddr",
            "--dst-range" => "daddr",
            _ => return Err(Untranslatable::unread(opt)),
        };
        stmts.push(equal(
            opt.invert,
            payload(family_header(family), field),
            address_range(opt, one(opt)?, family)?,
        ));
    }
    Ok(stmts)
}

/// `xt_physdev.c`: for a packet that br_netfilter has not had, only inverted tests hold.
fn physdev(options: &[Opt]) -> Why<Vec<Stmt>> {
    let (incoming, outgoing) = (|| meta("physdev-in"), || meta("physdev-out"));
    let mut stmts = Vec::new();
    let (mut leaves, mut not_out) = (false, false);
    for opt in options {
        let name = || -> Why<Expr> {
            let name = one(opt)?;
            Ok(match name.strip_suffix('+') {
                Some(stem) => string(format!("{stem}*")),
                None => string(name),
            })
        };
        stmts.push(match opt.name.as_str() {
            "--physdev-in" => equal(opt.invert, incoming(), name()?),
            "--physdev-out" => {
                not_out |= opt.invert;
                leaves |= !opt.invert;
                equal(opt.invert, outgoing(), name()?)
            }
            "--physdev-is-in" => equal(!opt.invert, incoming(), number(0)),
            // physdev_mt: one is the other
            "--physdev-is-out" | "--physdev-is-bridged" => {
                leaves |= !opt.invert;
                equal(!opt.invert, outgoing(), number(0))
            }
            _ => return Err(Untranslatable::unread(opt)),
        });
    }
    if not_out && !leaves {
        return Err(Untranslatable::because(
            "matches a packet that is not bridged, and does not match a bridged one without an output port",
        ));
    }
    Ok(stmts)
}

const DAY: u64 = 86_400;

/// `HH:MM[:SS]` as seconds.
fn time_of_day(opt: &Opt) -> Why<u64> {
    let mut seconds = 0;
    let mut parts = one(opt)?.split(':');
    for (unit, limit) in [(3600, 24), (60, 60), (1, 60)] {
        let part = parts.next().unwrap_or("0");
        let value: u64 = part.parse().map_err(|_| Untranslatable::unread(opt))?;
        if value >= limit {
            return Err(Untranslatable::unread(opt));
        }
        seconds += value * unit;
    }
    match parts.next() {
        None => Ok(seconds),
        Some(_) => Err(Untranslatable::unread(opt)),
    }
}

/// `YYYY[-MM[-DDThh[:mm[:ss]]]]` as seconds since 1970, UTC.
fn date(opt: &Opt) -> Why<u64> {
    let text = one(opt)?;
    let (day, time) = text.split_once('T').unwrap_or((text, "0"));
    let mut parts = day.split('-').map(str::parse::<u64>);
    let mut next = |default: u64| match parts.next() {
        None => Ok(default),
        Some(Ok(value)) => Ok(value),
        Some(Err(_)) => Err(Untranslatable::unread(opt)),
    };
    let (year, month, day) = (next(1970)?, next(1)?, next(1)?);
    if !(1970..=2038).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return Err(Untranslatable::unread(opt));
    }
    let leap = |year: u64| year.is_multiple_of(4);
    let lengths = [
        31,
        if leap(year) { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
    ];
    let days = (1970..year)
        .map(|year| if leap(year) { 366 } else { 365 })
        .sum::<u64>()
        + lengths
            .iter()
            .zip(1..month)
            .map(|(len, _)| len)
            .sum::<u64>()
        + day
        - 1;
    let time = Opt {
        values: vec![if time.contains(':') {
            time.to_owned()
        } else {
            format!("{time}:00")
        }],
        ..opt.clone()
    };
    Ok(days * DAY + time_of_day(&time)?)
}

/// `xt_time.c`, which reads the clock in UTC unless `--kerneltz` is given.
fn time(options: &[Opt]) -> Why<Vec<Stmt>> {
    let (mut start, mut stop) = (0, DAY - 1);
    let mut contiguous = false;
    let mut stmts = Vec::new();
    let at = |op: MatchOp, seconds: u64, rest: i128| {
        matching(
            op,
            meta("time"),
            number(i128::from(seconds) * 1_000_000_000 + rest),
        )
    };
    for opt in options {
        match opt.name.as_str() {
            "--timestart" => start = time_of_day(opt)?,
            "--timestop" => stop = time_of_day(opt)?,
            "--datestart" => stmts.push(at(MatchOp::Ge, date(opt)?, 0)),
            "--datestop" => stmts.push(at(MatchOp::Le, date(opt)?, 999_999_999)),
            "--weekdays" => {
                let mut days = Vec::new();
                for day in one(opt)?.split(',') {
                    let day = day.to_ascii_lowercase();
                    let names = ["su", "mo", "tu", "we", "th", "fr", "sa"];
                    let at = match day.parse::<usize>() {
                        Ok(number @ 1..=7) => Some(number % 7),
                        _ => names.iter().position(|name| day.starts_with(name)),
                    };
                    let at = at.and_then(|at| u64::try_from(at).ok());
                    days.push(number(at.ok_or_else(|| Untranslatable::unread(opt))?));
                }
                stmts.push(equal(opt.invert, meta("day"), set(days)));
            }
            "--contiguous" => contiguous = true,
            "--utc" => {}
            "--monthdays" => {
                return Err(Untranslatable::because(
                    "nft does not know the day of the month",
                ));
            }
            "--kerneltz" | "--localtz" => {
                return Err(Untranslatable::because(
                    "the kernel's time zone is not known",
                ));
            }
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    if contiguous && start > stop && !stmts.is_empty() {
        return Err(Untranslatable::because(
            "counts the hours behind midnight to the day before, which nft cannot do",
        ));
    }
    if start < stop && (start, stop) != (0, DAY - 1) {
        stmts.push(equal(false, meta("hour"), numbers(start, stop)));
    } else if start > stop + 1 {
        stmts.push(equal(true, meta("hour"), numbers(stop + 1, start - 1)));
    }
    Ok(stmts)
}

/// `N[/unit]`, of packets; or of bytes as `Nb/s`, `Nkb/s`, `Nmb/s`.
fn rate(opt: &Opt) -> Why<(u64, &'static str)> {
    let (n, unit) = one(opt)?.split_once('/').unwrap_or((one(opt)?, "second"));
    let unit = unit.to_ascii_lowercase();
    let per = ["second", "minute", "hour", "day"]
        .into_iter()
        .find(|name| !unit.is_empty() && name.starts_with(&unit))
        .ok_or_else(|| Untranslatable::unread(opt))?;
    let digits = n.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    Ok((num(opt, digits)?, per))
}

/// `xt_hashlimit.c`: a limit for each key. How much was sent before is in no dump, so one limit stands for all.
fn hashlimit(options: &[Opt]) -> Why<Vec<Stmt>> {
    let mut found = None;
    for opt in options {
        let over = match (opt.name.as_str(), opt.invert) {
            ("--hashlimit" | "--hashlimit-upto", invert) => invert,
            ("--hashlimit-above", invert) => !invert,
            (name, false) if name.starts_with("--hashlimit-") => continue,
            _ => return Err(Untranslatable::unread(opt)),
        };
        found = Some((rate(opt)?, over));
    }
    let Some(((rate, per), over)) = found else {
        return Err(Untranslatable::mistaken());
    };
    Ok(vec![Stmt::Limit(inline(
        json!({ "rate": rate, "burst": 5, "per": per, "inv": over }),
    ))])
}

pub fn limit(options: &[Opt]) -> Why<Vec<Stmt>> {
    let (mut count, mut per, mut burst) = (3, "hour", 5);
    for opt in options {
        upright(opt)?;
        match opt.name.as_str() {
            "--limit" => {
                (count, per) = rate(opt)?;
            }
            "--limit-burst" => burst = num(opt, one(opt)?)?,
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    Ok(vec![Stmt::Limit(inline(
        json!({ "rate": count, "burst": burst, "per": per }),
    ))])
}

/// `xt_connlimit.c` counts for each network, nft's `ct count` in a rule for all; how many there are is in no dump.
fn connlimit(options: &[Opt]) -> Why<Vec<Stmt>> {
    let (mut above, mut upto) = (None, None);
    for opt in options {
        match (opt.name.as_str(), opt.invert) {
            ("--connlimit-above", false) | ("--connlimit-upto", true) => {
                above = Some(num(opt, one(opt)?)?)
            }
            ("--connlimit-upto", false) | ("--connlimit-above", true) => {
                upto = Some(num(opt, one(opt)?)?)
            }
            ("--connlimit-mask" | "--connlimit-saddr" | "--connlimit-daddr", false) => {}
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    match (above, upto) {
        // the packet's own connection is counted: there is one at least
        (Some(0), None) => Ok(Vec::new()),
        (None, Some(0)) => Ok(vec![never()]),
        (Some(n), None) => Ok(vec![Stmt::CtCount(Fields(
            json!({ "val": n, "inv": true }),
        ))]),
        (None, Some(n)) => Ok(vec![Stmt::CtCount(Fields(json!({ "val": n })))]),
        _ => Err(Untranslatable::mistaken()),
    }
}

/// `xt_statistic.c`: one random word of 31 bits below the probability, or a counter.
fn statistic(options: &[Opt]) -> Why<Vec<Stmt>> {
    const ONE: f64 = 2_147_483_648.0;
    let (mut mode, mut probability, mut every, mut packet, mut invert) = ("", None, None, 0, false);
    for opt in options {
        match opt.name.as_str() {
            "--mode" => mode = one(opt)?,
            "--probability" => {
                let p: f64 = one(opt)?.parse().map_err(|_| Untranslatable::unread(opt))?;
                if !(0.0..=1.0).contains(&p) {
                    return Err(Untranslatable::unread(opt));
                }
                // At most 2^31: the cast is exact.
                probability = Some((p * ONE).round() as u64);
            }
            "--every" => {
                every = Some(
                    u32::try_from(num(opt, one(opt)?)?).map_err(|_| Untranslatable::unread(opt))?,
                )
            }
            "--packet" => packet = num(opt, one(opt)?)?,
            _ => return Err(Untranslatable::unread(opt)),
        }
        invert |= opt.invert;
    }
    let numgen = |mode: &str, modulus: u32| {
        Expr::Numgen(Box::new(Numgen {
            mode: Str::from(mode),
            modulus: Some(modulus),
            offset: Some(0),
            extra: Extra::default(),
        }))
    };
    match (mode, probability, every) {
        ("random", Some(p), None) => Ok(vec![matching(
            if invert { MatchOp::Ge } else { MatchOp::Lt },
            numgen("random", 1 << 31),
            number(p),
        )]),
        ("nth", None, Some(every)) if every > 0 => {
            Ok(vec![equal(invert, numgen("inc", every), number(packet))])
        }
        _ => Err(Untranslatable::mistaken()),
    }
}

/// `xt_rpfilter.c`, as nft's `fib saddr . iif oif exists`.
///
/// They differ for sources that no host has: the broadcast address of a subnet, which nft finds a path to, and, of IPv6, `::`
/// outside of ICMPv6, to which xtables needs none. For the inverted match the latter can be told apart.
fn rpfilter(family: IpFamily, options: &[Opt]) -> Why<Vec<Stmt>> {
    let (mut loose, mut mark, mut invert) = (false, false, false);
    for opt in options {
        upright(opt)?;
        bare(opt)?;
        match opt.name.as_str() {
            "--loose" => loose = true,
            "--validmark" => mark = true,
            "--invert" => invert = true,
            "--accept-local" => {
                return Err(Untranslatable::because(
                    "nft's reverse path look-up does not accept local sources",
                ));
            }
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    let mut flags = vec!["saddr"];
    if mark {
        flags.push("mark");
    }
    if !loose {
        flags.push("iif");
    }
    let mut stmts = Vec::new();
    if invert && family == IpFamily::Ip6 {
        stmts.push(equal(true, payload("ip6", "saddr"), string("::")));
    }
    stmts.push(matching(
        MatchOp::Eq,
        fib("oif", &flags),
        Expr::Bool(!invert),
    ));
    Ok(stmts)
}

fn devgroup(options: &[Opt]) -> Why<Vec<Stmt>> {
    let mut stmts = Vec::new();
    for opt in options {
        let key = match opt.name.as_str() {
            "--src-group" => "iifgroup",
            "--dst-group" => "oifgroup",
            _ => return Err(Untranslatable::unread(opt)),
        };
        // the other names of groups stand in a file of the host (/etc/iproute2/group)
        let (value, mask) = match one(opt)? {
            "default" => (0, None),
            _ => marked(opt)?,
        };
        stmts.push(masked(opt.invert, meta(key), value, mask));
    }
    Ok(stmts)
}

fn realm(options: &[Opt]) -> Why<Vec<Stmt>> {
    match options {
        [opt] if opt.name == "--realm" => {
            let (value, mask) = marked(opt)?;
            Ok(vec![masked(opt.invert, meta("rtclassid"), value, mask)])
        }
        _ => Err(Untranslatable::mistaken()),
    }
}

/// One option with one number.
fn single(options: &[Opt], name: &str, left: Expr) -> Why<Vec<Stmt>> {
    match options {
        [opt] if opt.name == name => {
            Ok(vec![equal(opt.invert, left, number(num(opt, one(opt)?)?))])
        }
        [opt, ..] => Err(Untranslatable::unread(opt)),
        [] => Err(Untranslatable::mistaken()),
    }
}

/// `xt_helper.c`: inverted, it holds for a packet without helper too, where nft's test does not.
fn helper(options: &[Opt]) -> Why<Vec<Stmt>> {
    match options {
        [opt] if opt.name == "--helper" && !one(opt)?.is_empty() => {
            let test = equal(opt.invert, ct("helper", None), string(one(opt)?));
            Ok(vec![if opt.invert { or_absent(test)? } else { test }])
        }
        _ => Err(Untranslatable::mistaken()),
    }
}

/// `xt_connbytes.c`: never holds where conntrack does not count; nft reads 0 there.
fn connbytes(options: &[Opt]) -> Why<Vec<Stmt>> {
    let (mut bounds, mut dir, mut mode) = (None, None, None);
    for opt in options {
        match (opt.name.as_str(), one(opt)?) {
            ("--connbytes", text) => {
                upright(opt)?;
                let (low, high) = text.split_once(':').unwrap_or((text, ""));
                let low = if low.is_empty() { 0 } else { num(opt, low)? };
                bounds = Some((
                    low,
                    if high.is_empty() {
                        None
                    } else {
                        Some(num(opt, high)?)
                    },
                ));
            }
            ("--connbytes-dir", "both") => dir = Some(None),
            ("--connbytes-dir", "original") => dir = Some(Some("original")),
            ("--connbytes-dir", "reply") => dir = Some(Some("reply")),
            ("--connbytes-mode", "packets") => mode = Some("packets"),
            ("--connbytes-mode", "bytes") => mode = Some("bytes"),
            ("--connbytes-mode", "avgpkt") => mode = Some("avgpkt"),
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    match (bounds, dir, mode) {
        (Some((low @ 1.., high)), Some(dir), Some(mode)) => {
            let left = ct(mode, dir);
            Ok(vec![match high {
                Some(u64::MAX) | None => matching(MatchOp::Ge, left, number(low)),
                Some(high) => equal(false, left, numbers(low, high)),
            }])
        }
        _ => Err(Untranslatable::because(
            "depends on whether conntrack counts",
        )),
    }
}

/// `xt_quota.c` and nft's quota differ by the packet that reaches the limit; how much is used is not known to either dump.
fn quota(options: &[Opt]) -> Why<Vec<Stmt>> {
    match options {
        [opt] if opt.name == "--quota" => {
            let val = num(opt, one(opt)?)?;
            let mut fields = json!({ "val": val, "val_unit": "bytes" });
            if opt.invert
                && let Some(fields) = fields.as_object_mut()
            {
                fields.insert("inv".to_owned(), json!(true));
            }
            Ok(vec![Stmt::Quota(inline(fields))])
        }
        _ => Err(Untranslatable::mistaken()),
    }
}

/// `xt_recent.c`: `--set` alone records the address and always matches. With `--hitcount` it is a limit for each address.
fn recent(options: &[Opt]) -> Why<Vec<Stmt>> {
    let (mut sets, mut inverted, mut hits, mut seconds) = (false, None, None, None);
    for opt in options {
        match opt.name.as_str() {
            "--set" if !opt.invert => sets = true,
            "--rcheck" | "--update" => inverted = Some(opt.invert),
            "--hitcount" => hits = Some(num(opt, one(opt)?)?),
            "--seconds" => seconds = Some(num(opt, one(opt)?)?),
            "--name" | "--mask" | "--rsource" | "--rdest" | "--reap" => {}
            _ => {
                return Err(Untranslatable::because(
                    "depends on which addresses were seen before",
                ));
            }
        }
    }
    match (sets, inverted, hits) {
        (true, None, None) => Ok(Vec::new()),
        (false, Some(invert), Some(hits @ 2..)) => {
            let per = match seconds {
                None => "day",
                Some(0..60) => "second",
                Some(60..3600) => "minute",
                Some(_) => "hour",
            };
            Ok(vec![Stmt::Limit(inline(
                json!({ "rate": hits, "burst": hits, "per": per, "inv": !invert }),
            ))])
        }
        _ => Err(Untranslatable::because(
            "depends on which addresses were seen before",
        )),
    }
}

/// `xt_tcpmss.c`: inverted, it holds for a segment without the option too.
fn tcpmss(options: &[Opt]) -> Why<Vec<Stmt>> {
    match options {
        [opt] if opt.name == "--mss" => {
            let (low, high) = span(opt, one(opt)?, ':', 65535)?;
            let size = Expr::TcpOption(header_option("maxseg", Some("size")));
            let test = equal(opt.invert, size, numbers(low, high));
            Ok(vec![if opt.invert { or_absent(test)? } else { test }])
        }
        _ => Err(Untranslatable::mistaken()),
    }
}

/// `xt_policy.c`: without elements, only whether IPsec was or will be applied.
fn policy(options: &[Opt]) -> Why<Vec<Stmt>> {
    let (mut dir, mut pol) = (None, None);
    for opt in options {
        upright(opt)?;
        match opt.name.as_str() {
            "--dir" => dir = Some(one(opt)?),
            "--pol" => pol = Some(one(opt)?),
            _ => {
                return Err(Untranslatable::because(
                    "the details of an IPsec policy have no equivalent in nft",
                ));
            }
        }
    }
    let applied = match pol {
        Some("ipsec") => true,
        Some("none") => false,
        _ => return Err(Untranslatable::mistaken()),
    };
    let left = match dir {
        Some("in") => meta("ipsec"),
        Some("out") => Expr::Rt(Box::new(Rt {
            key: Str::from("ipsec"),
            ..Rt::default()
        })),
        _ => return Err(Untranslatable::mistaken()),
    };
    Ok(vec![matching(MatchOp::Eq, left, Expr::Bool(applied))])
}

/// `xt_socket.c`: a socket bound to any address does not count, unless `--nowildcard` is given.
fn socket(options: &[Opt]) -> Why<Vec<Stmt>> {
    let (mut transparent, mut wildcards_count) = (false, false);
    for opt in options {
        upright(opt)?;
        bare(opt)?;
        match opt.name.as_str() {
            "--transparent" => transparent = true,
            "--nowildcard" => wildcards_count = true,
            _ => return Err(Untranslatable::because("takes the mark of the socket")),
        }
    }
    let test = |key: &str, value: u8| equal(false, Expr::Socket(Str::from(key)), number(value));
    let mut stmts = Vec::new();
    if !wildcards_count {
        stmts.push(test("wildcard", 0));
    }
    if transparent {
        stmts.push(test("transparent", 1));
    }
    if stmts.is_empty() {
        return Err(Untranslatable::because(
            "nft cannot ask for a socket of any kind",
        ));
    }
    Ok(stmts)
}

/// `ip6t_rt.c`: the routing header.
fn routing_header(options: &[Opt]) -> Why<Vec<Stmt>> {
    let mut stmts = Vec::new();
    for opt in options {
        match opt.name.as_str() {
            "--rt-type" => stmts.push(equal(
                opt.invert,
                exthdr("rt", "type"),
                number(small(opt, one(opt)?, 255)?),
            )),
            "--rt-segsleft" => {
                let (low, high) = span(opt, one(opt)?, ':', 255)?;
                stmts.push(equal(
                    opt.invert,
                    exthdr("rt", "seg-left"),
                    numbers(low, high),
                ));
            }
            "--rt-len" => stmts.push(equal(opt.invert, exthdr("rt", "hdrlength"), eighths(opt)?)),
            _ => {
                return Err(Untranslatable::because(
                    "the addresses of a routing header have no equivalent in nft",
                ));
            }
        }
    }
    if stmts.is_empty() {
        stmts.push(matching(
            MatchOp::Eq,
            Expr::Exthdr(header_option("rt", None)),
            Expr::Bool(true),
        ));
    }
    Ok(stmts)
}

/// A header's length in bytes, as its own field says it: in units of 8, without the first.
fn eighths(opt: &Opt) -> Why<Expr> {
    match num(opt, one(opt)?)? {
        bytes if bytes >= 8 && bytes % 8 == 0 && bytes <= 2048 => Ok(number(bytes / 8 - 1)),
        _ => Err(Untranslatable::because("no header has this length")),
    }
}

/// `ip6t_frag.c`: the fragment header.
fn fragment_header(options: &[Opt]) -> Why<Vec<Stmt>> {
    let mut stmts = Vec::new();
    let zero = |field: &str| equal(false, exthdr("frag", field), number(0));
    for opt in options {
        match opt.name.as_str() {
            "--fragid" => {
                let (low, high) = span(opt, one(opt)?, ':', u64::from(u32::MAX))?;
                stmts.push(equal(opt.invert, exthdr("frag", "id"), numbers(low, high)));
            }
            "--fragfirst" => stmts.push(zero("frag-off")),
            "--fragmore" => stmts.push(equal(false, exthdr("frag", "more-fragments"), number(1))),
            "--fraglast" => stmts.push(zero("more-fragments")),
            "--fragres" => stmts.extend([zero("reserved"), zero("reserved2")]),
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    if stmts.is_empty() {
        stmts.push(matching(
            MatchOp::Eq,
            Expr::Exthdr(header_option("frag", None)),
            Expr::Bool(true),
        ));
    }
    Ok(stmts)
}

/// `ip6t_hbh.c`: hop-by-hop and destination options. The length is in bytes here and in units of 8 in nft, which prints the one for the other.
fn header_length(options: &[Opt], header: &str, option: &str) -> Why<Vec<Stmt>> {
    match options {
        [] => Ok(vec![matching(
            MatchOp::Eq,
            Expr::Exthdr(header_option(header, None)),
            Expr::Bool(true),
        )]),
        [opt] if opt.name == option => Ok(vec![equal(
            opt.invert,
            exthdr(header, "hdrlength"),
            eighths(opt)?,
        )]),
        _ => Err(Untranslatable::because(
            "the options of this header have no equivalent in nft",
        )),
    }
}
