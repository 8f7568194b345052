//! Target extensions.
//!
//! Each function follows one `target` function of the kernel (`net/netfilter/xt_NAME.c`, `net/ipv[46]/netfilter/`). A target that only notes or
//! configures something, without effect on where the packet goes, has no statements at all.

use serde_json::{Map, Value, json};

use super::build::*;
use super::matches::{dscp_value, set_key, tos_byte, tos_value};
use super::{Context, Untranslatable, Why};
use crate::iptables::IpFamily;
use crate::iptables::save::{Opt, Target};
use crate::nft::ast::{
    Expr, Extra, Fields, MapExpr, Nat, NatKind, Queue, Redirection, Reject, Rt, SetUpdate, Stmt,
    Str, Tproxy, Verdict,
};

/// The target extensions of iptables-extensions(8), and the standard verdicts.
const TARGETS: [&str; 46] = [
    "ACCEPT",
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "CLUSTERIP",
    "CONNMARK",
    "CONNSECMARK",
    "CT",
    "DNAT",
    "DNPT",
    "DROP",
    "DSCP",
    "ECN",
    "HL",
    "HMARK",
    "IDLETIMER",
    "LED",
    "LOG",
    "MARK",
    "MASQUERADE",
    "NETMAP",
    "NFLOG",
    "NFQUEUE",
    "NOTRACK",
    "QUEUE",
    "RATEEST",
    "REDIRECT",
    "REJECT",
    "RETURN",
    "SECMARK",
    "SET",
    "SNAT",
    "SNPT",
    "SYNPROXY",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TEE",
    "TOS",
    "TPROXY",
    "TRACE",
    "TTL",
    "ULOG",
    "MIRROR",
    "SAME",
    "TARPIT",
    "FLOWOFFLOAD",
];

/// True for a standard verdict or a known target extension: what else stands after `-j` is a chain.
pub fn is_target(name: &str) -> bool {
    TARGETS.contains(&name)
}

/// The statements of a target; empty when it does nothing to a packet's path.
pub fn translate(context: &Context<'_>, target: &Target) -> Why<Vec<Stmt>> {
    let options = target.options.as_slice();
    match target.name.as_str() {
        "REJECT" => reject(context.family, options),
        "LOG" => log(options),
        "NFLOG" => nflog(options),
        "ULOG" => {
            nothing(options, &["--ulog-"]).map(|_| vec![Stmt::Log(Fields(json!({ "group": 0 })))])
        }
        "TRACE" => nothing(options, &[]).map(|_| vec![set_to(meta("nftrace"), number(1))]),
        "AUDIT" => nothing(options, &["--type"])
            .map(|_| vec![Stmt::Log(Fields(json!({ "level": "audit" })))]),
        "DNAT" => nat(context, NatKind::Dnat, "--to-destination", options),
        "SNAT" => nat(context, NatKind::Snat, "--to-source", options),
        "MASQUERADE" => nat(context, NatKind::Masquerade, "--to-ports", options),
        "REDIRECT" => nat(context, NatKind::Redirect, "--to-ports", options),
        "NETMAP" => netmap(context, options),
        "MARK" => mark(options),
        "CONNMARK" => connmark(options),
        "NOTRACK" => nothing(options, &[]).map(|_| vec![Stmt::Notrack]),
        "CT" => ct_target(options),
        "TCPMSS" => tcpmss(options),
        "TOS" => tos(context.family, options),
        "DSCP" => dscp(context.family, options),
        "TTL" => hops(payload("ip", "ttl"), "--ttl-", options),
        "HL" => hops(payload("ip6", "hoplimit"), "--hl-", options),
        "CLASSIFY" => classify(options),
        "NFQUEUE" => nfqueue(options),
        // The verdict of old kernels for queue 0; without a listener the packet is lost.
        "QUEUE" => Ok(vec![queue(number(0), &[])]),
        "TEE" => tee(context.family, options),
        "SYNPROXY" => synproxy(options),
        "SET" => set_target(context, options),
        // They change a checksum, options of TCP or ECN bits, or note something outside of the packet.
        "CHECKSUM" => nothing(options, &["--checksum-fill"]),
        "CONNSECMARK" => nothing(options, &["--save", "--restore"]),
        "ECN" => nothing(options, &["--ecn-tcp-", "--ecn-ip-"]),
        "IDLETIMER" => nothing(
            options,
            &["--timeout", "--label", "--alarm", "--send_nl_msg"],
        ),
        "LED" => nothing(options, &["--led-"]),
        "RATEEST" => nothing(options, &["--rateest-"]),
        "SECMARK" => nothing(options, &["--selctx"]),
        "TCPOPTSTRIP" => nothing(options, &["--strip-options"]),
        "TPROXY" => tproxy(context.family, options),
        "SNPT" | "DNPT" => Err(Untranslatable::because(
            "translates prefixes without conntrack, which nft cannot do",
        )),
        "HMARK" | "CLUSTERIP" | "MIRROR" | "SAME" | "TARPIT" | "FLOWOFFLOAD" => {
            Err(Untranslatable::because("no equivalent in nft"))
        }
        _ => Err(Untranslatable::no_target()),
    }
}

/// A target without effect on the packet's path. Its options begin with one of these.
fn nothing(options: &[Opt], starts: &[&str]) -> Why<Vec<Stmt>> {
    let is_own = |opt: &&Opt| starts.iter().any(|start| opt.name.starts_with(start));
    match options.iter().find(|opt| !is_own(opt)) {
        Some(other) => Err(Untranslatable::unread(other)),
        None => Ok(Vec::new()),
    }
}

fn reject(family: IpFamily, options: &[Opt]) -> Why<Vec<Stmt>> {
    let mut with = "";
    for opt in options {
        match opt.name.as_str() {
            "--reject-with" => with = one(opt)?,
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    let reject = |kind: &str, code: Option<&str>| {
        vec![Stmt::Reject(Reject {
            kind: Some(Str::from(kind)),
            expr: code.map(|code| Box::new(string(code))),
            ..Reject::default()
        })]
    };
    let code = match (family, with) {
        (_, "tcp-reset" | "tcp-rst") => return Ok(reject("tcp reset", None)),
        (IpFamily::Ip, "" | "icmp-port-unreachable" | "port-unreach") => "port-unreachable",
        (IpFamily::Ip, "icmp-net-unreachable" | "net-unreach") => "net-unreachable",
        (IpFamily::Ip, "icmp-host-unreachable" | "host-unreach") => "host-unreachable",
        (IpFamily::Ip, "icmp-proto-unreachable" | "proto-unreach") => "prot-unreachable",
        (IpFamily::Ip, "icmp-net-prohibited" | "net-prohib") => "net-prohibited",
        (IpFamily::Ip, "icmp-host-prohibited" | "host-prohib") => "host-prohibited",
        (IpFamily::Ip, "icmp-admin-prohibited" | "admin-prohib") => "admin-prohibited",
        (IpFamily::Ip6, "" | "icmp6-port-unreachable" | "port-unreach") => "port-unreachable",
        (IpFamily::Ip6, "icmp6-no-route" | "no-route") => "no-route",
        (IpFamily::Ip6, "icmp6-adm-prohibited" | "adm-prohibited") => "admin-prohibited",
        (IpFamily::Ip6, "icmp6-addr-unreachable" | "icmp6-addr-unreach" | "addr-unreach") => {
            "addr-unreachable"
        }
        (IpFamily::Ip6, "icmp6-policy-fail" | "policy-fail") => "policy-fail",
        (IpFamily::Ip6, "icmp6-reject-route" | "reject-route") => "reject-route",
        _ => return Err(Untranslatable::because(format!("unknown answer `{with}`"))),
    };
    Ok(reject(
        if family == IpFamily::Ip {
            "icmp"
        } else {
            "icmpv6"
        },
        Some(code),
    ))
}

const LOG_LEVELS: [&str; 8] = [
    "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug",
];

fn log(options: &[Opt]) -> Why<Vec<Stmt>> {
    let mut fields = Map::new();
    let mut flags: Vec<Value> = Vec::new();
    for opt in options {
        match opt.name.as_str() {
            "--log-prefix" => {
                fields.insert("prefix".to_owned(), json!(one(opt)?));
            }
            "--log-level" => {
                let text = one(opt)?.to_ascii_lowercase();
                let level = match text.as_str() {
                    "warning" => "warn",
                    "error" => "err",
                    "panic" => "emerg",
                    name => match LOG_LEVELS.iter().find(|level| **level == name) {
                        Some(level) => level,
                        None => usize::try_from(small(opt, name, 7)?)
                            .ok()
                            .and_then(|n| LOG_LEVELS.get(n))
                            .ok_or_else(|| Untranslatable::unread(opt))?,
                    },
                };
                if level != "warn" {
                    fields.insert("level".to_owned(), json!(level));
                }
            }
            "--log-tcp-sequence" => flags.push(json!("tcp sequence")),
            "--log-tcp-options" => flags.push(json!("tcp options")),
            "--log-ip-options" => flags.push(json!("ip options")),
            "--log-uid" => flags.push(json!("skuid")),
            "--log-macdecode" => flags.push(json!("ether")),
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    match flags.len() {
        0 => {}
        1 => {
            fields.insert("flags".to_owned(), flags.remove(0));
        }
        _ => {
            fields.insert("flags".to_owned(), Value::Array(flags));
        }
    }
    Ok(vec![Stmt::Log(Fields(if fields.is_empty() {
        Value::Null
    } else {
        Value::Object(fields)
    }))])
}

pub fn nflog(options: &[Opt]) -> Why<Vec<Stmt>> {
    let mut fields = Map::new();
    let mut group = 0;
    for opt in options {
        match opt.name.as_str() {
            "--nflog-prefix" => {
                fields.insert("prefix".to_owned(), json!(one(opt)?));
            }
            "--nflog-group" => group = small(opt, one(opt)?, 65535)?,
            "--nflog-size" => {
                fields.insert("snaplen".to_owned(), json!(num(opt, one(opt)?)?));
            }
            "--nflog-threshold" => {
                fields.insert("queue-threshold".to_owned(), json!(num(opt, one(opt)?)?));
            }
            // Never had an effect.
            "--nflog-range" => {}
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    fields.insert("group".to_owned(), json!(group));
    Ok(vec![Stmt::Log(Fields(Value::Object(fields)))])
}

/// `ADDR[-ADDR][:PORT[-PORT[/BASE]]]`, or the ports alone.
struct Destination {
    addr: Option<Expr>,
    ports: Option<(u64, u64)>,
    /// The first port maps to the first port of the range, and so on.
    base: Option<u64>,
}

fn destination(opt: &Opt, family: IpFamily, ports_only: bool) -> Why<Destination> {
    let text = one(opt)?;
    let (addr, ports) = if ports_only {
        ("", Some(text))
    } else if family == IpFamily::Ip6 {
        match text.rsplit_once(']') {
            Some((addr, "")) => (addr, None),
            Some((addr, ports)) => (
                addr,
                Some(
                    ports
                        .strip_prefix(':')
                        .ok_or_else(|| Untranslatable::unread(opt))?,
                ),
            ),
            None => match text.strip_prefix(':').filter(|rest| !rest.contains(':')) {
                Some(ports) => ("", Some(ports)),
                None => (text, None),
            },
        }
    } else {
        match text.split_once(':') {
            Some((addr, ports)) => (addr, Some(ports)),
            None => (text, None),
        }
    };
    // `[a-b]:1` and `[a]-[b]:1` are both in use.
    let addr = addr.replace(['[', ']'], "");
    let addr = if addr.is_empty() {
        None
    } else {
        Some(address_range(opt, &addr, family)?)
    };
    let (ports, base) = match ports {
        None => (None, None),
        Some(ports) => match ports.split_once('/') {
            None => (Some(span(opt, ports, '-', 65535)?), None),
            Some((ports, base)) => (
                Some(span(opt, ports, '-', 65535)?),
                Some(small(opt, base, 65535)?),
            ),
        },
    };
    Ok(Destination { addr, ports, base })
}

/// `xt_nat.c`, `xt_MASQUERADE.c`, `xt_REDIRECT.c`: as nft's statements, they accept for the rest of the base chain.
fn nat(context: &Context<'_>, kind: NatKind, option: &str, options: &[Opt]) -> Why<Vec<Stmt>> {
    let ports_only = matches!(kind, NatKind::Masquerade | NatKind::Redirect);
    let mut to = None;
    let mut flags = Vec::new();
    for opt in options {
        upright(opt)?;
        match opt.name.as_str() {
            "--random" => flags.push("random"),
            "--random-fully" => flags.push("fully-random"),
            "--persistent" => flags.push("persistent"),
            name if name == option && to.is_none() => {
                to = Some(destination(opt, context.family, ports_only)?);
                continue;
            }
            name if name == option => {
                return Err(Untranslatable::because("several targets in one rule"));
            }
            _ => return Err(Untranslatable::unread(opt)),
        }
        bare(opt)?;
    }
    let (addr, port) = match to {
        None if !ports_only => return Err(Untranslatable::because("without an address")),
        None => (None, None),
        Some(to) => {
            let port = match (to.ports, to.base) {
                (None, _) => None,
                (Some((low, high)), None) => Some(numbers(low, high)),
                (Some((low, high)), Some(base)) => Some(shifted(context, low, high, base)?),
            };
            (to.addr, port)
        }
    };
    let null = addr.is_none() && port.is_none() && flags.is_empty();
    Ok(vec![Stmt::Nat(Box::new(Nat {
        kind,
        null,
        family: None,
        addr,
        port,
        flags: statement_flags(&flags),
        type_flags: None,
        extra: Extra::default(),
    }))])
}

/// The ports that a rule can see, at most, to be written out one by one.
const MAX_SHIFTED: u64 = 4096;

/// `--to-destination A:4000-4010/3000`: port `base + n` becomes `low + n`, modulo the size of the range (`nf_nat_l4proto_unique_tuple`).
/// nft has no such range, but a map of the ports that the rule itself lets pass says the same.
fn shifted(context: &Context<'_>, low: u64, high: u64, base: u64) -> Why<Expr> {
    let protocol = context
        .protocol()
        .filter(|name| matches!(name.as_str(), "tcp" | "udp" | "sctp" | "dccp" | "udplite"));
    let opt = context
        .rule
        .matches
        .iter()
        .filter(|m| protocol.as_deref() == Some(m.name.as_str()))
        .flat_map(|m| &m.options)
        .find(|opt| matches!(opt.name.as_str(), "--dport" | "--destination-port") && !opt.invert);
    let (Some(protocol), Some(opt)) = (protocol, opt) else {
        return Err(Untranslatable::because(
            "maps a range of ports, and the rule does not say which ports it sees",
        ));
    };
    let (first, last) = span(opt, one(opt)?, ':', 65535)?;
    if last - first >= MAX_SHIFTED {
        return Err(Untranslatable::because(
            "maps more ports than can be written out",
        ));
    }
    let size = high - low + 1;
    let pairs = (first..=last).map(|port| {
        let offset = (port + 65536 - base) % 65536;
        Expr::Pair(Box::new((number(port), number(low + offset % size))))
    });
    Ok(Expr::Map(Box::new(MapExpr {
        key: payload(&protocol, "dport"),
        data: set(pairs.collect()),
        extra: Extra::default(),
    })))
}

/// `xt_NETMAP.c`: the prefix of the destination (prerouting, output) or source (input, postrouting) is replaced, whatever it was.
fn netmap(context: &Context<'_>, options: &[Opt]) -> Why<Vec<Stmt>> {
    let [opt] = options else {
        return Err(Untranslatable::mistaken());
    };
    if opt.name != "--to" {
        return Err(Untranslatable::unread(opt));
    }
    let net = Net::parse(one(opt)?, context.family).ok_or_else(|| Untranslatable::unread(opt))?;
    let (kind, field) = match (context.table, context.chain) {
        ("nat", "PREROUTING" | "OUTPUT") => (NatKind::Dnat, "daddr"),
        ("nat", "POSTROUTING" | "INPUT") => (NatKind::Snat, "saddr"),
        _ => {
            return Err(Untranslatable::because(
                "in a user chain: which address it maps depends on the hook",
            ));
        }
    };
    let addr = if net.is_host() {
        string(net.address())
    } else {
        or(
            and(
                payload(context.family.as_str(), field),
                string(net.wildcard_text()),
            ),
            string(net.address()),
        )
    };
    Ok(vec![Stmt::Nat(Box::new(Nat {
        kind,
        null: false,
        family: None,
        addr: Some(addr),
        port: None,
        flags: None,
        type_flags: None,
        extra: Extra::default(),
    }))])
}

/// `(old & ~mask) ^ value`, in the shortest form.
fn remark(old: Expr, value: u32, mask: u32) -> Expr {
    match (value, mask) {
        (value, u32::MAX) => number(value),
        (0, 0) => old,
        (0, mask) => and(old, number(!mask)),
        (value, 0) => xor(old, number(value)),
        (value, mask) if value == mask => or(old, number(value)),
        (value, mask) => xor(and(old, number(!mask)), number(value)),
    }
}

/// `--set-mark`, `--set-xmark`, `--and-mark`, `--or-mark`, `--xor-mark` as value and mask of `--set-xmark`.
fn xmark(opt: &Opt) -> Why<Option<(u32, u32)>> {
    Ok(Some(match opt.name.as_str() {
        "--set-xmark" => {
            let (value, mask) = marked(opt)?;
            (value, mask.unwrap_or(u32::MAX))
        }
        "--set-mark" => {
            let (value, mask) = marked(opt)?;
            (value, value | mask.unwrap_or(u32::MAX))
        }
        "--and-mark" => (0, !marked(opt)?.0),
        "--or-mark" => {
            let (bits, _) = marked(opt)?;
            (bits, bits)
        }
        "--xor-mark" => (marked(opt)?.0, 0),
        _ => return Ok(None),
    }))
}

fn mark(options: &[Opt]) -> Why<Vec<Stmt>> {
    match options {
        [opt] => match xmark(opt)? {
            Some((value, mask)) => Ok(vec![set_to(
                meta("mark"),
                remark(meta("mark"), value, mask),
            )]),
            None => Err(Untranslatable::unread(opt)),
        },
        _ => Err(Untranslatable::mistaken()),
    }
}

/// `xt_TPROXY.c`: with a socket that takes the packet, the mark is set and the packet accepted; without one it is dropped.
fn tproxy(family: IpFamily, options: &[Opt]) -> Why<Vec<Stmt>> {
    let (mut addr, mut port, mut value, mut mask) = (None, None, 0, 0);
    for opt in options {
        upright(opt)?;
        match opt.name.as_str() {
            "--on-ip" => addr = Some(address_range(opt, one(opt)?, family)?),
            "--on-port" => port = Some(number(small(opt, one(opt)?, 65535)?)),
            "--tproxy-mark" => {
                let (bits, written) = marked(opt)?;
                (value, mask) = (bits, written.unwrap_or(u32::MAX));
            }
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    let Some(port) = port else {
        return Err(Untranslatable::because("without a port"));
    };
    let mut stmts = vec![or_drop(Tproxy {
        port: Some(port),
        addr,
        ..Tproxy::default()
    })];
    if (value, mask) != (0, 0) {
        stmts.push(set_to(meta("mark"), remark(meta("mark"), value, mask)));
    }
    stmts.push(Stmt::Verdict(Verdict::Accept));
    Ok(stmts)
}

/// `(to & ~to_mask) ^ (from & from_mask)`.
fn copied(to: Expr, to_mask: u32, from: Expr, from_mask: u32) -> Stmt {
    let value = if from_mask == u32::MAX {
        from
    } else {
        and(from, number(from_mask))
    };
    let value = match to_mask {
        u32::MAX => value,
        0 => xor(to.clone(), value),
        mask => xor(and(to.clone(), number(!mask)), value),
    };
    set_to(to, value)
}

/// `xt_connmark.c`: a packet without a conntrack entry goes on as it is.
fn connmark(options: &[Opt]) -> Why<Vec<Stmt>> {
    let stmts = written_connmark(options)?;
    Ok(stmts.into_iter().map(or_nothing).collect())
}

fn written_connmark(options: &[Opt]) -> Why<Vec<Stmt>> {
    let (mut save, mut restore, mut nfmask, mut ctmask) = (false, false, u32::MAX, u32::MAX);
    for opt in options {
        match opt.name.as_str() {
            "--save-mark" => save = true,
            "--restore-mark" => restore = true,
            "--nfmask" => nfmask = marked(opt)?.0,
            "--ctmask" => ctmask = marked(opt)?.0,
            "--mask" => {
                nfmask = marked(opt)?.0;
                ctmask = nfmask;
            }
            _ => match (xmark(opt)?, options.len()) {
                (Some((value, mask)), 1) => {
                    return Ok(vec![set_to(
                        ct("mark", None),
                        remark(ct("mark", None), value, mask),
                    )]);
                }
                _ => return Err(Untranslatable::unread(opt)),
            },
        }
    }
    match (save, restore) {
        (true, false) => Ok(vec![copied(ct("mark", None), ctmask, meta("mark"), nfmask)]),
        (false, true) => Ok(vec![copied(meta("mark"), nfmask, ct("mark", None), ctmask)]),
        _ => Err(Untranslatable::mistaken()),
    }
}

/// `xt_CT.c`: helper, timeout and events only prepare the entry, and do nothing to this packet's path.
fn ct_target(options: &[Opt]) -> Why<Vec<Stmt>> {
    let mut stmts = Vec::new();
    for opt in options {
        let dir = match opt.name.as_str() {
            "--notrack" => {
                stmts.push(Stmt::Notrack);
                continue;
            }
            "--zone" => None,
            "--zone-orig" => Some("original"),
            "--zone-reply" => Some("reply"),
            "--helper" | "--ctevents" | "--expevents" | "--timeout" => continue,
            _ => return Err(Untranslatable::unread(opt)),
        };
        let value = match one(opt)? {
            "mark" => meta("mark"),
            text => number(small(opt, text, 65535)?),
        };
        stmts.push(set_to(ct("zone", dir), value));
    }
    Ok(stmts)
}

/// `xt_TCPMSS.c`, which also adds the option where it is missing; that is of no account for the path.
fn tcpmss(options: &[Opt]) -> Why<Vec<Stmt>> {
    let size = Expr::TcpOption(header_option("maxseg", Some("size")));
    match options {
        [opt] if opt.name == "--clamp-mss-to-pmtu" => Ok(vec![set_to(
            size,
            Expr::Rt(Box::new(Rt {
                key: Str::from("mtu"),
                ..Rt::default()
            })),
        )]),
        [opt] if opt.name == "--set-mss" => {
            Ok(vec![set_to(size, number(small(opt, one(opt)?, 65535)?))])
        }
        _ => Err(Untranslatable::mistaken()),
    }
}

fn tos(family: IpFamily, options: &[Opt]) -> Why<Vec<Stmt>> {
    let [opt] = options else {
        return Err(Untranslatable::mistaken());
    };
    let (value, mask) = match opt.name.as_str() {
        "--set-tos" => tos_value(opt, one(opt)?)?,
        "--and-tos" => (0, !small(opt, one(opt)?, 255)? & 0xff),
        "--or-tos" => {
            let bits = small(opt, one(opt)?, 255)?;
            (bits, bits)
        }
        "--xor-tos" => (small(opt, one(opt)?, 255)?, 0),
        _ => return Err(Untranslatable::unread(opt)),
    };
    let byte = || tos_byte(family);
    let keep = !mask & 0xff;
    let value = match (mask, value) {
        (0xff, value) => number(value),
        (0, value) => xor(byte(), number(value)),
        (_, 0) => and(byte(), number(keep)),
        (_, value) => xor(and(byte(), number(keep)), number(value)),
    };
    Ok(vec![set_to(byte(), value)])
}

fn dscp(family: IpFamily, options: &[Opt]) -> Why<Vec<Stmt>> {
    match options {
        [opt] if matches!(opt.name.as_str(), "--set-dscp" | "--set-dscp-class") => {
            Ok(vec![set_to(
                payload(family.as_str(), "dscp"),
                number(dscp_value(opt)?),
            )])
        }
        _ => Err(Untranslatable::mistaken()),
    }
}

/// `xt_HL.c`: what is added or taken away stops at 255 and 0. nft cannot add to a field, but look each value up.
fn hops(field: Expr, options_begin: &str, options: &[Opt]) -> Why<Vec<Stmt>> {
    const MOST: u64 = 255;
    let [opt] = options else {
        return Err(Untranslatable::mistaken());
    };
    let by = small(opt, one(opt)?, MOST)?;
    let becomes: Box<dyn Fn(u64) -> u64> = match opt.name.strip_prefix(options_begin) {
        Some("set") => return Ok(vec![set_to(field, number(by))]),
        Some("inc") => Box::new(move |hops| (hops + by).min(MOST)),
        Some("dec") => Box::new(move |hops| hops.saturating_sub(by)),
        _ => return Err(Untranslatable::unread(opt)),
    };
    let pairs = (0..=MOST).map(|hops| Expr::Pair(Box::new((number(hops), number(becomes(hops))))));
    let value = Expr::Map(Box::new(MapExpr {
        key: field.clone(),
        data: set(pairs.collect()),
        extra: Extra::default(),
    }));
    Ok(vec![set_to(field, value)])
}

/// `MAJOR:MINOR` in hexadecimal, as nft writes it: without leading zeros.
fn classify(options: &[Opt]) -> Why<Vec<Stmt>> {
    let [opt] = options else {
        return Err(Untranslatable::mistaken());
    };
    let (major, minor) = one(opt)?
        .split_once(':')
        .filter(|_| opt.name == "--set-class")
        .ok_or_else(|| Untranslatable::unread(opt))?;
    let hex = |text| u16::from_str_radix(text, 16).map_err(|_| Untranslatable::unread(opt));
    Ok(vec![set_to(
        meta("priority"),
        string(format!("{:x}:{:x}", hex(major)?, hex(minor)?)),
    )])
}

fn queue(num: Expr, flags: &[&str]) -> Stmt {
    Stmt::Queue(Box::new(Queue {
        num: Some(num),
        flags: statement_flags(flags),
        extra: Extra::default(),
    }))
}

fn nfqueue(options: &[Opt]) -> Why<Vec<Stmt>> {
    let mut num = number(0);
    let mut flags = Vec::new();
    for opt in options {
        match opt.name.as_str() {
            "--queue-num" => num = number(small(opt, one(opt)?, 65535)?),
            "--queue-balance" => {
                let (low, high) = span(opt, one(opt)?, ':', 65535)?;
                num = numbers(low, high);
            }
            "--queue-bypass" => flags.push("bypass"),
            "--queue-cpu-fanout" => flags.push("fanout"),
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    Ok(vec![queue(num, &flags)])
}

fn tee(family: IpFamily, options: &[Opt]) -> Why<Vec<Stmt>> {
    let (mut addr, mut dev) = (None, None);
    for opt in options {
        match opt.name.as_str() {
            "--gateway" => addr = Some(address(opt, one(opt)?, family)?),
            "--oif" => dev = Some(string(one(opt)?)),
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    Ok(vec![Stmt::Dup(Box::new(Redirection {
        family: None,
        addr,
        dev,
        extra: Extra::default(),
    }))])
}

fn synproxy(options: &[Opt]) -> Why<Vec<Stmt>> {
    let mut fields = Map::new();
    let mut flags = Vec::new();
    for opt in options {
        match opt.name.as_str() {
            "--mss" => {
                fields.insert("mss".to_owned(), json!(num(opt, one(opt)?)?));
            }
            "--wscale" => {
                fields.insert("wscale".to_owned(), json!(num(opt, one(opt)?)?));
            }
            "--timestamp" => flags.push("timestamp"),
            "--sack-perm" => flags.push("sack-perm"),
            "--ecn" => {}
            _ => return Err(Untranslatable::unread(opt)),
        }
    }
    if !flags.is_empty() {
        fields.insert("flags".to_owned(), json!(flags));
    }
    Ok(vec![Stmt::Synproxy(inline(Value::Object(fields)))])
}

/// `xt_SET.c`: adds what the packet has to an ipset, or deletes it. Taking a mark or priority from one has no equivalent.
fn set_target(context: &Context<'_>, options: &[Opt]) -> Why<Vec<Stmt>> {
    let mut stmts = Vec::new();
    for opt in options {
        let op = match opt.name.as_str() {
            "--add-set" => "update",
            "--del-set" => "delete",
            "--exist" | "--timeout" => continue,
            _ => {
                return Err(Untranslatable::because(
                    "takes values from an ipset, which nft cannot do",
                ));
            }
        };
        // Without its contents nothing asks for the set, so its change has no effect here.
        if let Ok(Some((set, elem, _))) = set_key(context, opt) {
            stmts.push(Stmt::SetUpdate(Box::new(SetUpdate {
                is_map: false,
                op: op.into(),
                elem,
                data: None,
                set: set.into(),
                stmt: None,
                extra: Extra::default(),
            })));
        }
    }
    Ok(stmts)
}
