//! The table `testdata/iptables/translations.txt`, read and compared.

use super::*;
use crate::iptables::save;
use crate::nft::ast::{BinaryOp, Expr, Fields, MatchOp, NatKind, ObjectRef, OneOrMany, Str};

/// A statement in nft's language, close enough to be loaded by nft.
fn text(stmt: &Stmt) -> String {
    match stmt {
        Stmt::Match(m) => {
            let op = match &m.op {
                MatchOp::Eq | MatchOp::In => "",
                MatchOp::Ne => "!= ",
                MatchOp::Lt => "< ",
                MatchOp::Gt => "> ",
                MatchOp::Le => "<= ",
                MatchOp::Ge => ">= ",
                MatchOp::Not => "! ",
                MatchOp::Other(other) => &format!("{other} "),
            };
            let op = if op.is_empty() && matches!(m.left, Expr::Binary(..)) {
                "== "
            } else {
                op
            };
            let right = match &m.right {
                Expr::Bool(true) => "exists".to_owned(),
                Expr::Bool(false) => "missing".to_owned(),
                other => expr(other),
            };
            format!("{} {op}{right}", expr(&m.left))
        }
        Stmt::Verdict(verdict) => match verdict {
            Verdict::Accept => "accept".to_owned(),
            Verdict::Drop => "drop".to_owned(),
            Verdict::Continue => "continue".to_owned(),
            Verdict::Return => "return".to_owned(),
            Verdict::Jump(chain) => format!("jump {chain}"),
            Verdict::Goto(chain) => format!("goto {chain}"),
        },
        Stmt::Mangle(m) => format!(
            "{} set {}{}",
            expr(&m.key),
            expr(&m.value),
            if m.is_or_nothing() { " or nothing" } else { "" }
        ),
        Stmt::Limit(ObjectRef::Inline(f)) => format!(
            "limit rate {}{}/{} burst {} packets",
            if f.get("inv") == Some(&json!(true)) {
                "over "
            } else {
                ""
            },
            field(f, "rate"),
            field(f, "per"),
            field(f, "burst")
        ),
        Stmt::CtCount(f) => format!(
            "ct count {}{}",
            if f.get("inv").is_some() { "over " } else { "" },
            field(f, "val")
        ),
        Stmt::Quota(ObjectRef::Inline(f)) => format!(
            "quota {}{} bytes",
            if f.get("inv").is_some() { "over " } else { "" },
            field(f, "val")
        ),
        Stmt::Log(f) => {
            let mut text = "log".to_owned();
            if let Some(prefix) = f.get("prefix") {
                text.push_str(&format!(" prefix {prefix}"));
            }
            for key in ["group", "snaplen", "queue-threshold", "level"] {
                if f.get(key).is_some() {
                    text.push_str(&format!(" {key} {}", field(f, key)));
                }
            }
            let flags = f.get("flags").cloned().unwrap_or_default();
            let flags = flags
                .as_array()
                .cloned()
                .unwrap_or_else(|| if flags.is_null() { vec![] } else { vec![flags] });
            flags.iter().for_each(|flag| {
                text.push_str(&format!(" flags {}", flag.as_str().unwrap_or("?")))
            });
            text
        }
        Stmt::Nat(nat) => {
            let mut text = match nat.kind {
                NatKind::Snat => "snat",
                NatKind::Dnat => "dnat",
                NatKind::Masquerade => "masquerade",
                NatKind::Redirect => "redirect",
            }
            .to_owned();
            if nat.addr.is_some() || nat.port.is_some() {
                text.push_str(" to ");
            }
            if let Some(addr) = &nat.addr {
                let addr = expr(addr);
                let v6 = addr.contains(':') && nat.port.is_some();
                text.push_str(&if v6 {
                    format!("[{}]", addr.replace('-', "]-["))
                } else {
                    addr
                });
            }
            if let Some(port) = &nat.port {
                text.push_str(&format!(":{}", expr(port)));
            }
            text + &flags(&nat.flags)
        }
        Stmt::Reject(reject) => match (reject.kind.as_deref(), &reject.expr) {
            (Some("tcp reset"), _) => "reject with tcp reset".to_owned(),
            (Some(kind), Some(code)) => format!("reject with {kind} type {}", expr(code)),
            _ => "reject".to_owned(),
        },
        Stmt::Tproxy(tproxy) => format!(
            "tproxy to {}:{}{}",
            tproxy.addr.as_ref().map(expr).unwrap_or_default(),
            tproxy.port.as_ref().map(expr).unwrap_or_default(),
            if drops_else(tproxy) { " else drop" } else { "" }
        ),
        Stmt::Notrack => "notrack".to_owned(),
        Stmt::Queue(queue) => format!(
            "queue num {}{}",
            queue.num.as_ref().map(expr).unwrap_or_default(),
            flags(&queue.flags)
        ),
        Stmt::Dup(dup) => match &dup.dev {
            Some(dev) => format!(
                "dup to {} device {}",
                dup.addr.as_ref().map(expr).unwrap_or_default(),
                expr(dev)
            ),
            None => format!("dup to {}", dup.addr.as_ref().map(expr).unwrap_or_default()),
        },
        Stmt::Synproxy(ObjectRef::Inline(f)) => format!(
            "synproxy mss {} wscale {} {}",
            field(f, "mss"),
            field(f, "wscale"),
            field(f, "flags")
        ),
        Stmt::Unknown { value, .. } => {
            let part = |key: &str| {
                value
                    .get(key)
                    .and_then(|v| v.as_str())
                    .unwrap_or_default()
                    .to_owned()
            };
            match value.get("match") {
                Some(_) => format!("xt match {}", part("match")),
                None => format!("xt target {}", part("target")),
            }
        }
        other => format!("{other:?}"),
    }
}

fn field(fields: &Fields, key: &str) -> String {
    match fields.get(key) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "?".to_owned(),
    }
}

fn flags(flags: &Option<OneOrMany<Str>>) -> String {
    match flags {
        None => String::new(),
        Some(flags) => format!(" {}", flags.as_slice().join(",")),
    }
}

fn join(parts: &[Expr], by: &str) -> String {
    parts.iter().map(expr).collect::<Vec<_>>().join(by)
}

fn header(name: &str, option: &crate::nft::ast::HeaderOption) -> String {
    match (&option.name, &option.field) {
        (Some(name_of), Some(field)) => format!("{name}{name_of} {field}"),
        (Some(name_of), None) if name.is_empty() => format!("exthdr {name_of}"),
        (Some(name_of), None) => format!("{name}{name_of}"),
        _ => format!("{name}{}", option.base.unwrap_or_default()),
    }
}

fn expr(e: &Expr) -> String {
    match e {
        Expr::String(text) => text.to_string(),
        Expr::Number(n) => n.to_string(),
        Expr::List(items) => join(items, "|"),
        Expr::Pair(pair) => format!("{} : {}", expr(&pair.0), expr(&pair.1)),
        Expr::Set(items) => format!("{{ {} }}", join(items.as_slice(), ", ")),
        Expr::Concat(parts) => join(parts, " . "),
        Expr::Prefix(prefix) => format!("{}/{}", expr(&prefix.addr), prefix.len),
        Expr::Range(ends) => format!("{}-{}", expr(&ends.0), expr(&ends.1)),
        Expr::Meta(meta) => format!("meta {}", meta.key),
        Expr::Ct(ct) => match &ct.dir {
            Some(dir) => format!("ct {dir} {}", ct.key),
            None => format!("ct {}", ct.key),
        },
        Expr::Payload(p) => match (&p.protocol, &p.field) {
            (Some(protocol), Some(field)) => format!("{protocol} {field}"),
            _ => format!(
                "@{},{},{}",
                p.base.as_deref().unwrap_or("?"),
                p.offset.unwrap_or_default(),
                p.len.unwrap_or_default()
            ),
        },
        Expr::Exthdr(option) => header("", option),
        Expr::TcpOption(option) => header("tcp option ", option),
        Expr::Fib(fib) => format!("fib {} {}", fib.flags.as_slice().join(" . "), fib.result),
        Expr::Rt(rt) => format!("rt {}", rt.key),
        Expr::Socket(key) => format!("socket {key}"),
        Expr::Numgen(n) => format!("numgen {} mod {}", n.mode, n.modulus.unwrap_or_default()),
        Expr::Map(map) => format!("{} map {}", expr(&map.key), expr(&map.data)),
        Expr::Binary(op, terms) => {
            let op = match op {
                BinaryOp::And => " & ",
                BinaryOp::Or => " | ",
                BinaryOp::Xor => " ^ ",
                BinaryOp::Shl => " << ",
                BinaryOp::Shr => " >> ",
            };
            let term = |e: &Expr| {
                if matches!(e, Expr::Binary(..) | Expr::List(_)) {
                    format!("({})", expr(e))
                } else {
                    expr(e)
                }
            };
            terms.iter().map(term).collect::<Vec<_>>().join(op)
        }
        other => format!("{other:?}"),
    }
}

/// The table as it stands in the file: one line `FAMILY TABLE: RULE` and below it `    NFT` for each rule.
const TABLE: &str = include_str!("../../../testdata/iptables/translations.txt");

fn translated(head: &str) -> String {
    let (place, rule_text) = head.split_once(": ").expect("FAMILY TABLE: RULE");
    let (family, table) = place.split_once(' ').expect("FAMILY TABLE");
    let family = match family {
        "ip" => Family::Ip,
        "ip6" => Family::Ip6,
        "bridge" => Family::Bridge,
        other => panic!("family {other}"),
    };
    let user = match family {
        Family::Ip | Family::Ip6 => "-",
        Family::Bridge => "RETURN",
    };
    let source = format!(
        "*{table}\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:USER {user} [0:0]\n{rule_text}\nCOMMIT\n"
    );
    let (save, diagnostics) = save::read(&source, family);
    assert_eq!(diagnostics, [], "{head}");
    let chain = save.tables[0]
        .chains
        .iter()
        .find(|chain| !chain.rules.is_empty())
        .expect("a rule");
    let translated = rule(&chain.rules[0], &save, table, &chain.name);
    translated
        .stmts()
        .map(|(stmt, _)| text(stmt))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn the_table_of_translations_holds() {
    let mut lines = TABLE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .peekable();
    let mut count = 0;
    let mut wrong = String::new();
    while let Some(head) = lines.next() {
        let expected = lines
            .next_if(|line| line.starts_with("    "))
            .unwrap_or_default()
            .trim();
        let got = translated(head);
        if got != expected {
            wrong.push_str(&format!("{head}\n    {got}\nnot {expected}\n"));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 200, "{count} rules");
}

#[test]
fn what_cannot_be_told_keeps_its_words_and_says_why() {
    let (save, _) = save::read(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m recent ! --rcheck --name \"a b\" -j SNPT --src-pfx a\nCOMMIT\n",
        Family::Ip,
    );
    let stmts: Vec<Stmt> = rule(&save.tables[0].chains[0].rules[0], &save, "filter", "INPUT")
        .stmts()
        .map(|(stmt, _)| stmt.clone())
        .collect();
    let values: Vec<serde_json::Value> = stmts
        .into_iter()
        .map(|stmt| match stmt {
            Stmt::Unknown { key, value } if key == "xt" => value,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        values,
        [
            json!({"match": "recent", "args": "! --rcheck --name \"a b\"", "why": "depends on which addresses were seen before"}),
            json!({"target": "SNPT", "args": "--src-pfx a", "why": "translates prefixes without conntrack, which nft cannot do"}),
        ]
    );
}

/// How iptables 1.4 and before wrote what 1.8 writes otherwise: `!` behind the option, `--set` for `--match-set`.
#[test]
fn old_spellings_mean_what_the_new_ones_do() {
    let pairs = [
        ("-p ! tcp", "! -p tcp"),
        ("-s ! 10.0.0.2", "! -s 10.0.0.2"),
        ("-d ! 10.0.0.0/8", "! -d 10.0.0.0/8"),
        ("-i ! eth0", "! -i eth0"),
        ("-o ! eth0", "! -o eth0"),
        ("-p tcp -m tcp --dport ! 80", "-p tcp -m tcp ! --dport 80"),
        (
            "-p tcp -m tcp --sport ! 1:100",
            "-p tcp -m tcp ! --sport 1:100",
        ),
        (
            "-p tcp -m tcp --tcp-flags ! SYN,ACK SYN",
            "-p tcp -m tcp ! --tcp-flags SYN,ACK SYN",
        ),
        (
            "-p icmp -m icmp --icmp-type ! 8",
            "-p icmp -m icmp ! --icmp-type 8",
        ),
        (
            "-p tcp -m multiport --dports ! 22,80",
            "-p tcp -m multiport ! --dports 22,80",
        ),
        ("-m state --state ! NEW", "-m state ! --state NEW"),
        (
            "-m conntrack --ctstate ! NEW",
            "-m conntrack ! --ctstate NEW",
        ),
        (
            "-m conntrack --ctproto ! tcp",
            "-m conntrack ! --ctproto tcp",
        ),
        (
            "-m conntrack --ctorigsrc ! 10.0.0.2",
            "-m conntrack ! --ctorigsrc 10.0.0.2",
        ),
        (
            "-m mac --mac-source ! 02:00:00:00:00:99",
            "-m mac ! --mac-source 02:00:00:00:00:99",
        ),
        ("-m mark --mark ! 0x1", "-m mark ! --mark 0x1"),
        (
            "-m connmark --mark ! 0x1/0xff",
            "-m connmark ! --mark 0x1/0xff",
        ),
        ("-m length --length ! 0:100", "-m length ! --length 0:100"),
        (
            "-m iprange --src-range ! 10.0.0.1-10.0.0.9",
            "-m iprange ! --src-range 10.0.0.1-10.0.0.9",
        ),
        (
            "-m pkttype --pkt-type ! unicast",
            "-m pkttype ! --pkt-type unicast",
        ),
        (
            "-m physdev --physdev-in ! eth0",
            "-m physdev ! --physdev-in eth0",
        ),
        ("-m ttl --ttl ! 64", "-m ttl ! --ttl-eq 64"),
        ("-m dscp --dscp ! 0x0a", "-m dscp ! --dscp 0x0a"),
        (
            "-m addrtype --dst-type ! LOCAL",
            "-m addrtype ! --dst-type LOCAL",
        ),
        ("-m owner --uid-owner ! 0", "-m owner ! --uid-owner 0"),
        ("-m helper --helper ! ftp", "-m helper ! --helper ftp"),
        ("-m set --set hosts src", "-m set --match-set hosts src"),
        ("-m set --set ! hosts src", "-m set ! --match-set hosts src"),
        ("-m set ! --set hosts src", "-m set ! --match-set hosts src"),
    ];
    let (sets, _) = crate::iptables::ipset::read("create hosts hash:ip\nadd hosts 10.0.0.2\n");
    let sets = std::sync::Arc::new(sets);
    let told = |words: &str| {
        let line = format!("*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD {words}\nCOMMIT\n");
        let (mut save, said) = save::read(&line, Family::Ip);
        assert_eq!(said, [], "{words}");
        save.sets = std::sync::Arc::clone(&sets);
        let made = rule(
            &save.tables[0].chains[0].rules[0],
            &save,
            "filter",
            "FORWARD",
        );
        let stmts: Vec<Stmt> = made.stmts().map(|(stmt, _)| stmt.clone()).collect();
        let is_unknown = |stmt: &Stmt| matches!(stmt, Stmt::Unknown { .. });
        assert!(!stmts.iter().any(is_unknown), "{words}: {stmts:?}");
        stmts
    };
    for (old, new) in pairs {
        assert_eq!(told(old), told(new), "{old}");
    }
}
