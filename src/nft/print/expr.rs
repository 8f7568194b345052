//! Expressions. A literal's spelling depends on what it is compared with: marks in hex, interface names in quotes.

use std::net::IpAddr;

use super::Printer;
use crate::nft::ast::*;

/// How a literal is spelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bare where nft can read it.
    Any,
    /// Numbers with eight hexadecimal digits.
    Mark,
    /// Numbers in hexadecimal.
    Hex,
    /// Always in quotes.
    Name,
    /// An interface by name in quotes, or by number.
    Index,
    /// Numbers are seconds.
    Time,
    /// One for each part of a concatenation.
    Parts(Vec<Kind>),
}

impl Kind {
    /// How the values of an expression are spelled.
    pub(super) fn of(expr: &Expr) -> Kind {
        match expr {
            Expr::Meta(meta) => match meta.key.as_str() {
                "mark" => Kind::Mark,
                "iifname" | "oifname" | "ibrname" | "obrname" | "sdifname" | "ibridgename"
                | "obridgename" => Kind::Name,
                "iifkind" | "oifkind" | "time" | "hour" | "day" => Kind::Name,
                "iif" | "oif" | "sdif" | "iifgroup" | "oifgroup" => Kind::Index,
                _ => Kind::Any,
            },
            Expr::Ct(ct) => match ct.key.as_str() {
                "mark" | "secmark" => Kind::Mark,
                "helper" => Kind::Name,
                "expiration" => Kind::Time,
                _ => Kind::Any,
            },
            Expr::Socket(key) if key == "mark" => Kind::Mark,
            Expr::Socket(key) if key == "cgroupv2" => Kind::Name,
            Expr::Osf(_) => Kind::Name,
            Expr::Fib(fib) if fib.result == "oifname" => Kind::Name,
            Expr::Fib(fib) if fib.result == "oif" => Kind::Index,
            Expr::Payload(payload) if payload.base.is_some() => Kind::Hex,
            Expr::Binary(_, operands) => operands.first().map_or(Kind::Any, Kind::of),
            Expr::Elem(elem) => Kind::of(&elem.val),
            Expr::Concat(parts) => Kind::Parts(parts.iter().map(Kind::of).collect()),
            _ => Kind::Any,
        }
    }

    /// How the values of a set's data type are spelled.
    pub(super) fn of_type(spec: &TypeSpec) -> Kind {
        match spec {
            TypeSpec::Name(name) if name.contains(" . ") => {
                Kind::Parts(name.split(" . ").map(Kind::of_name).collect())
            }
            TypeSpec::Name(name) => Kind::of_name(name),
            TypeSpec::List(parts) => Kind::Parts(parts.iter().map(Kind::of_type).collect()),
            TypeSpec::Typeof(expr) => Kind::of(expr),
        }
    }

    fn of_name(name: &str) -> Kind {
        match name {
            "mark" => Kind::Mark,
            "ifname" | "ifkind" | "string" | "hour" | "day" | "cgroupsv2" => Kind::Name,
            "counter" | "quota" | "limit" | "synproxy" | "secmark" | "ct helper" | "ct timeout" => {
                Kind::Name
            }
            "ct expectation" => Kind::Name,
            "iface_index" | "devgroup" => Kind::Index,
            "time" => Kind::Time,
            _ => Kind::Any,
        }
    }

    fn part(&self, index: usize) -> &Kind {
        match self {
            Kind::Parts(parts) => parts.get(index).unwrap_or(&Kind::Any),
            other => other,
        }
    }
}

/// Whether the match needs its `==` written: without it a bit mask means "any of these".
fn is_bitmask(left: &Expr) -> bool {
    match left {
        Expr::Binary(..) => true,
        Expr::Ct(ct) => matches!(ct.key.as_str(), "state" | "status" | "label" | "event"),
        Expr::Payload(payload) => {
            payload.protocol.as_deref() == Some("tcp") && payload.field.as_deref() == Some("flags")
        }
        _ => false,
    }
}

impl Printer {
    pub(super) fn match_stmt(&mut self, it: &Match) {
        let kind = Kind::of(&it.left);
        match (&it.left, &it.right) {
            // Whether an option by number is there: its first byte, in the listing.
            (Expr::TcpOption(option), Expr::Bool(_)) if option.name.is_none() => {
                self.put(format_args!(
                    "tcp option {}",
                    option.base.unwrap_or_default()
                ));
            }
            (left, _) => self.expr(left, &Kind::Any),
        }
        self.push(" ");
        let in_place = matches!(it.right, Expr::Set(_) | Expr::Bool(_));
        match &it.op {
            MatchOp::In => {}
            MatchOp::Eq if in_place || !is_bitmask(&it.left) => {}
            op => {
                self.push(op.symbol());
                self.push(" ");
            }
        }
        match (&it.op, &it.right) {
            (_, Expr::Bool(true)) => self.push("exists"),
            (_, Expr::Bool(false)) => self.push("missing"),
            (MatchOp::Eq | MatchOp::Ne, Expr::List(items)) => {
                self.list(items, " | ", |printer, item| printer.expr(item, &kind));
            }
            (_, right) => self.expr(right, &kind),
        }
        self.extra(&it.extra);
    }

    /// Unknown fields of something known.
    pub(super) fn extra(&mut self, extra: &Extra) {
        for (key, value) in extra.iter() {
            self.push(" ");
            self.unknown(&serde_json::json!({ key.as_str(): value }));
        }
    }

    /// `set { … }` in place, of a set, a map or a verdict map.
    fn set(&mut self, elements: &[Expr], key: &Kind, data: &Kind) {
        if elements.is_empty() {
            self.push("{ }");
            return;
        }
        self.push("{ ");
        self.list(elements, ", ", |printer, element| {
            printer.element(element, key, data)
        });
        self.push(" }");
    }

    pub(super) fn element(&mut self, element: &Expr, key: &Kind, data: &Kind) {
        match element {
            Expr::Pair(pair) => {
                self.expr(&pair.0, key);
                self.push(" : ");
                self.expr(&pair.1, data);
            }
            Expr::Elem(elem) => self.elem(elem, key, data),
            other => self.expr(other, key),
        }
    }

    fn elem(&mut self, elem: &Elem, key: &Kind, data: &Kind) {
        let value = match &elem.val {
            Expr::Pair(pair) => {
                self.expr(&pair.0, key);
                Some(&pair.1)
            }
            other => {
                self.expr(other, key);
                None
            }
        };
        for (key, value) in &elem.stmts {
            self.push(" ");
            match crate::nft::json::element_stmt(key, value) {
                Some(stmt) => self.stmt(&stmt),
                None => self.unknown(&serde_json::json!({ key.as_str(): value })),
            }
        }
        if let Some(timeout) = elem.timeout {
            self.push(" timeout ");
            self.time(timeout);
        }
        if let Some(expires) = elem.expires.filter(|_| self.style.state) {
            self.push(" expires ");
            self.time(expires);
        }
        if let Some(comment) = &elem.comment {
            self.push(" comment ");
            self.quoted(comment);
        }
        self.extra(&elem.extra);
        if let Some(value) = value {
            self.push(" : ");
            self.expr(value, data);
        }
    }

    /// `KEY map DATA`, `KEY vmap DATA`.
    pub(super) fn map(&mut self, map: &MapExpr, word: &str, data: &Kind) {
        self.expr(&map.key, &Kind::Any);
        self.push(" ");
        self.push(word);
        self.push(" ");
        match &map.data {
            Expr::Set(elements) => self.set(elements.as_slice(), &Kind::of(&map.key), data),
            other => self.expr(other, &Kind::Any),
        }
        self.extra(&map.extra);
    }

    pub(super) fn expr(&mut self, expr: &Expr, kind: &Kind) {
        match expr {
            Expr::String(text) => self.literal(text, kind),
            Expr::Number(number) => self.number(*number, kind),
            Expr::Bool(true) => self.push("exists"),
            Expr::Bool(false) => self.push("missing"),
            Expr::List(items) => self.list(items, ",", |printer, item| printer.expr(item, kind)),
            Expr::Pair(_) => self.element(expr, kind, &Kind::Any),
            Expr::Elem(elem) => self.elem(elem, kind, &Kind::Any),
            Expr::Set(elements) => self.set(elements.as_slice(), kind, &Kind::Any),
            Expr::Concat(parts) => {
                self.list(parts.iter().enumerate(), " . ", |printer, (index, part)| {
                    printer.expr(part, kind.part(index));
                })
            }
            Expr::Prefix(prefix) => {
                self.expr(&prefix.addr, kind);
                self.put(format_args!("/{}", prefix.len));
                self.extra(&prefix.extra);
            }
            Expr::Range(ends) => {
                let symbol = |end: &Expr| matches!(end, Expr::String(text) if is_word(text));
                self.expr(&ends.0, kind);
                self.push(if symbol(&ends.0) || symbol(&ends.1) {
                    " - "
                } else {
                    "-"
                });
                self.expr(&ends.1, kind);
            }
            Expr::Verdict(verdict) => self.verdict(verdict),
            Expr::Meta(meta) => {
                let bare = ["iif", "oif", "iifname", "oifname", "iifgroup", "oifgroup"];
                if !bare.contains(&meta.key.as_str()) {
                    self.push("meta ");
                }
                self.word(&meta.key);
            }
            Expr::Ct(ct) => {
                self.push("ct ");
                self.optional(&ct.dir);
                self.optional(&ct.family);
                self.word(&ct.key);
                self.extra(&ct.extra);
            }
            Expr::Payload(payload) => self.payload(payload),
            Expr::Exthdr(option) => {
                if option.field.is_none() {
                    self.push("exthdr ");
                }
                self.header("", option);
            }
            Expr::TcpOption(option) => self.header("tcp option ", option),
            Expr::IpOption(option) => self.header("ip option ", option),
            Expr::SctpChunk(option) => self.header("sctp chunk ", option),
            Expr::DccpOption(option) => self.header("dccp option ", option),
            Expr::Fib(fib) => {
                self.push("fib ");
                self.list(fib.flags.as_slice(), " . ", |printer, flag| {
                    printer.word(flag)
                });
                self.push(" ");
                self.word(&fib.result);
                self.extra(&fib.extra);
            }
            Expr::Rt(rt) => {
                self.push("rt ");
                self.optional(&rt.family);
                self.word(&rt.key);
                self.extra(&rt.extra);
            }
            Expr::Socket(key) => {
                self.push("socket ");
                self.word(key);
            }
            Expr::Osf(osf) => {
                self.push("osf ");
                if osf.ttl.is_some() {
                    self.push("ttl ");
                }
                self.optional(&osf.ttl);
                self.word(&osf.key);
                self.extra(&osf.extra);
            }
            Expr::Ipsec(ipsec) => {
                self.push("ipsec ");
                self.optional(&ipsec.dir);
                if let Some(number) = ipsec.spnum.filter(|number| *number > 0) {
                    self.put(format_args!("spnum {number} "));
                }
                self.optional(&ipsec.family);
                self.word(&ipsec.key);
                self.extra(&ipsec.extra);
            }
            Expr::TunnelMeta(key) => {
                self.push("tunnel ");
                self.word(key);
            }
            Expr::Numgen(numgen) => {
                self.push("numgen ");
                self.word(&numgen.mode);
                self.parameter("mod", numgen.modulus);
                self.parameter("offset", numgen.offset.filter(|offset| *offset > 0));
                self.extra(&numgen.extra);
            }
            Expr::Jhash(hash) => self.hash("jhash", hash),
            Expr::Symhash(hash) => self.hash("symhash", hash),
            Expr::Map(map) => self.map(map, "map", kind),
            Expr::Binary(op, operands) => self.binary(*op, operands, kind),
            Expr::Unknown(value) => self.unknown(value),
        }
    }

    fn binary(&mut self, op: BinaryOp, operands: &[Expr], kind: &Kind) {
        let of_first = operands.first().map_or(Kind::Any, Kind::of);
        let kind = if of_first == Kind::Any {
            kind
        } else {
            &of_first
        };
        let shift = matches!(op, BinaryOp::Shl | BinaryOp::Shr);
        let between = format!(" {} ", op.symbol());
        self.list(
            operands.iter().enumerate(),
            &between,
            |printer, (index, operand)| {
                let kind = if shift && index > 0 { &Kind::Any } else { kind };
                match operand {
                    Expr::Binary(..) => {
                        printer.push("(");
                        printer.expr(operand, kind);
                        printer.push(")");
                    }
                    Expr::List(items) => {
                        printer.push("(");
                        printer.list(items, " | ", |printer, item| printer.expr(item, kind));
                        printer.push(")");
                    }
                    other => printer.expr(other, kind),
                }
            },
        );
    }

    fn payload(&mut self, payload: &Payload) {
        if let Some(tunnel) = &payload.tunnel
            && payload.protocol.as_ref() != Some(tunnel)
        {
            self.word(tunnel);
            self.push(" ");
        }
        match (&payload.protocol, &payload.base) {
            (Some(protocol), _) => {
                self.word(protocol);
                if let Some(field) = &payload.field {
                    self.push(" ");
                    self.word(field);
                }
            }
            (None, Some(base)) => {
                let (offset, len) = (
                    payload.offset.unwrap_or_default(),
                    payload.len.unwrap_or_default(),
                );
                self.push("@");
                self.word(base);
                self.put(format_args!(",{offset},{len}"));
            }
            (None, None) => self.unknown(&Expr::Payload(Box::new(payload.clone()))),
        }
        self.extra(&payload.extra);
    }

    fn header(&mut self, what: &str, option: &HeaderOption) {
        self.push(what);
        if let Some(name) = &option.name {
            self.word(name);
            if let Some(field) = &option.field {
                self.push(" ");
                self.word(field);
            }
        } else if let Some(kind) = option
            .kind
            .or(option.base.filter(|_| option.len == Some(0)))
        {
            self.put(format_args!("{kind}"));
        } else {
            let [base, offset, len] =
                [option.base, option.offset, option.len].map(Option::unwrap_or_default);
            self.put(format_args!("@{base},{offset},{len}"));
        }
        self.extra(&option.extra);
    }

    fn hash(&mut self, what: &str, hash: &Hash) {
        self.push(what);
        if let Some(expr) = &hash.expr {
            self.push(" ");
            self.expr(expr, &Kind::Any);
        }
        self.parameter("mod", hash.modulus);
        if let Some(seed) = hash.seed {
            self.put(format_args!(" seed {seed:#x}"));
        }
        self.parameter("offset", hash.offset.filter(|offset| *offset > 0));
        self.extra(&hash.extra);
    }

    fn parameter(&mut self, word: &str, number: Option<u32>) {
        if let Some(number) = number {
            self.put(format_args!(" {word} {number}"));
        }
    }

    fn optional(&mut self, word: &Option<Str>) {
        if let Some(word) = word {
            self.word(word);
            self.push(" ");
        }
    }

    /// A keyword that stands in the listing, such as a protocol or a field.
    pub(super) fn word(&mut self, word: &str) {
        let plain = |c: char| {
            c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | '[' | ']' | '/')
        };
        if !word.is_empty() && word.chars().all(plain) {
            self.push(word);
        } else {
            self.quoted(word);
        }
    }

    fn number(&mut self, number: i128, kind: &Kind) {
        match kind {
            Kind::Mark if number >= 0 => self.put(format_args!("{number:#010x}")),
            Kind::Hex if number >= 0 => self.put(format_args!("{number:#x}")),
            Kind::Time => match u64::try_from(number) {
                Ok(seconds) => self.time(seconds),
                Err(_) => self.put(format_args!("{number}")),
            },
            _ => self.put(format_args!("{number}")),
        }
    }

    fn literal(&mut self, text: &str, kind: &Kind) {
        if let Some(set) = text.strip_prefix('@') {
            self.push("@");
            self.name(set);
        } else if text == "*" {
            self.push("*");
        } else if let Some(number) = text.strip_suffix(" [invalid type]") {
            // nft 1.0.6 lists a value so whose type it lost
            self.push(number);
        } else {
            let bare = match kind {
                Kind::Name => false,
                Kind::Index => text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty(),
                _ => is_word(text) || is_numeric(text),
            };
            if bare {
                self.push(text);
            } else {
                self.quoted(text);
            }
        }
    }
}

/// Whether nft reads the text as one bare word.
fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.contains(':')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/'))
}

/// Whether the text is an address, a number or a class id.
fn is_numeric(text: &str) -> bool {
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.parse::<IpAddr>().is_ok()
        || text.parse::<u64>().is_ok()
        || text.strip_prefix("0x").is_some_and(hex)
        || (text.contains(':') && text.split(':').all(hex))
}
