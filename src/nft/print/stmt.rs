//! Statements.

use std::net::{IpAddr, Ipv6Addr};

use serde_json::Value;

use super::Printer;
use super::expr::Kind;
use crate::nft::ast::*;

impl Printer {
    pub(super) fn verdict(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Accept => self.push("accept"),
            Verdict::Drop => self.push("drop"),
            Verdict::Continue => self.push("continue"),
            Verdict::Return => self.push("return"),
            Verdict::Jump(chain) => {
                self.push("jump ");
                self.name(chain);
            }
            Verdict::Goto(chain) => {
                self.push("goto ");
                self.name(chain);
            }
        }
    }

    pub(super) fn stmt(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Match(it) => self.match_stmt(it),
            Stmt::Verdict(it) => self.verdict(it),
            Stmt::Vmap(it) => self.map(it, "vmap", &Kind::Any),
            Stmt::Mangle(it) => {
                self.expr(&it.key, &Kind::Any);
                self.push(" set ");
                match &it.value {
                    // Keywords of nft's grammar that it takes as a value to match, but not to set.
                    Expr::String(word) if is_protocol(word) => self.quoted(word),
                    value => self.expr(value, &Kind::of(&it.key)),
                }
                if !it.is_or_nothing() {
                    self.extra(&it.extra);
                }
            }
            Stmt::Counter(it) => {
                self.reference("counter", "counter name ", it, |printer, fields| {
                    if printer.style.state && !fields.0.is_null() {
                        let count =
                            |key| fields.get(key).and_then(Value::as_u64).unwrap_or_default();
                        printer.put(format_args!(
                            " packets {} bytes {}",
                            count("packets"),
                            count("bytes")
                        ));
                    }
                })
            }
            Stmt::Quota(it) => self.reference("quota", "quota name ", it, Printer::quota),
            Stmt::Limit(it) => self.reference("limit", "limit name ", it, Printer::limit),
            Stmt::CtCount(it) => {
                self.push("ct count ");
                if is_true(it, "inv") {
                    self.push("over ");
                }
                self.raw(it.get("val"));
            }
            Stmt::CtHelper(it) => self.reference("ct helper", "ct helper set ", it, |_, _| ()),
            Stmt::CtTimeout(it) => self.reference("ct timeout", "ct timeout set ", it, |_, _| ()),
            Stmt::CtExpectation(it) => {
                self.reference("ct expectation", "ct expectation set ", it, |_, _| ())
            }
            Stmt::Secmark(it) => self.reference("meta secmark", "meta secmark set ", it, |_, _| ()),
            Stmt::Synproxy(it) => {
                self.reference("synproxy", "synproxy name ", it, Printer::synproxy)
            }
            Stmt::Tunnel(it) => self.reference("tunnel", "tunnel name ", it, |_, _| ()),
            Stmt::Last(it) => {
                self.push("last");
                if let Some(milliseconds) = it
                    .get("used")
                    .and_then(Value::as_u64)
                    .filter(|_| self.style.state)
                {
                    self.push(" used ");
                    self.milliseconds(milliseconds);
                }
            }
            Stmt::Log(it) => self.log(it),
            Stmt::Nat(it) => self.nat(it),
            Stmt::Reject(it) => {
                self.push("reject");
                if let Some(kind) = &it.kind {
                    self.push(" with ");
                    self.word(kind);
                }
                if let Some(code) = &it.expr {
                    self.push(" ");
                    self.expr(code, &Kind::Any);
                }
                self.extra(&it.extra);
            }
            Stmt::SetUpdate(it) => self.set_update(it),
            Stmt::Meter(it) => {
                self.push("meter");
                if let Some(name) = &it.name {
                    self.push(" ");
                    self.name(name);
                }
                if let Some(size) = it.size {
                    self.put(format_args!(" size {size}"));
                }
                self.push(" { ");
                self.expr(&it.key, &Kind::Any);
                for stmt in it.stmt.as_slice() {
                    self.push(" ");
                    self.stmt(stmt);
                }
                self.push(" }");
                self.extra(&it.extra);
            }
            Stmt::Dup(it) => self.redirection("dup", it),
            Stmt::Fwd(it) => self.redirection("fwd", it),
            Stmt::Queue(it) => {
                self.push("queue");
                self.flags(" flags ", &it.flags);
                if let Some(num) = &it.num {
                    self.push(" to ");
                    self.expr(num, &Kind::Any);
                }
                self.extra(&it.extra);
            }
            Stmt::Tproxy(it) => {
                self.push("tproxy");
                self.target(&it.family, None, &it.addr, &it.port);
                self.extra(&it.extra);
            }
            Stmt::Flow(it) => {
                self.push("flow ");
                self.word(&it.op);
                self.push(" ");
                self.set_name(&it.flowtable);
                self.extra(&it.extra);
            }
            Stmt::Notrack => self.push("notrack"),
            Stmt::ResetOption(it) => match crate::nft::json::expression(&it.0) {
                Some(option) => {
                    self.push("reset ");
                    self.expr(&option, &Kind::Any);
                }
                None => self.unknown(stmt),
            },
            Stmt::Xt(xt) => match (&xt.kind, &xt.name) {
                (Some(kind), Some(name)) => {
                    self.push("xt ");
                    self.word(kind);
                    self.push(" ");
                    self.quoted(name);
                    self.extra(&xt.extra);
                }
                _ => self.unknown(stmt),
            },
            Stmt::Text(text) => self.text(text),
            Stmt::Unknown { key, value } if key == "xt" => self.of_iptables(stmt, value),
            Stmt::Unknown { .. } => self.unknown(stmt),
        }
    }

    /// What stands for a part of a rule of iptables that has no meaning here: its words.
    fn of_iptables(&mut self, stmt: &Stmt, value: &serde_json::Value) {
        let word = |key: &str| value.get(key).and_then(serde_json::Value::as_str);
        let Some(args) = word("args") else {
            return self.unknown(stmt);
        };
        self.unknown = true;
        self.push("‹unknown:");
        let (flag, name) = match (word("match"), word("target")) {
            (Some(name), _) => ("-m", name),
            (None, name) => ("-j", name.unwrap_or_default()),
        };
        // the words of a basic option, and of what was not read, are whole
        if !name.starts_with(['-', '(']) && word("program").is_none() {
            self.put(format_args!(" {flag} "));
            self.words_in_line(name);
        }
        if !args.is_empty() {
            self.push(" ");
            self.words_in_line(args);
        }
        self.push("›");
    }

    /// Text that could end its line does not.
    pub(super) fn words_in_line(&mut self, text: &str) {
        self.out.extend(text.chars().filter(|c| !c.is_control()));
    }

    /// nft's own text on one line: a line break between two statements becomes a semicolon.
    fn text(&mut self, text: &str) {
        let mut before = "";
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if before.ends_with(['{', ',']) {
                self.push(" ");
            } else if !before.is_empty() {
                self.push("; ");
            }
            self.out.extend(line.chars().filter(|c| !c.is_control()));
            before = line;
        }
    }

    /// A statement with parameters in place, or one that refers to a named object.
    fn reference(
        &mut self,
        word: &str,
        to_name: &str,
        reference: &ObjectRef,
        parameters: impl FnOnce(&mut Self, &Fields),
    ) {
        match reference {
            ObjectRef::Inline(fields) => {
                self.push(word);
                parameters(self, fields);
            }
            ObjectRef::Name(name) => {
                self.push(to_name);
                self.quoted(name);
            }
            ObjectRef::Map(map) => {
                self.push(to_name);
                self.map(map, "map", &Kind::Name);
            }
        }
    }

    /// A raw parameter: a number or a word.
    fn raw(&mut self, value: Option<&Value>) {
        match value {
            Some(Value::String(text)) => self.word(text),
            Some(Value::Number(number)) => self.put(format_args!("{number}")),
            Some(other) => self.unknown(other),
            None => self.push("0"),
        }
    }

    fn quota(&mut self, fields: &Fields) {
        if is_true(fields, "inv") {
            self.push(" over");
        }
        self.push(" ");
        self.raw(fields.get("val"));
        self.push(" ");
        self.raw(fields.get("val_unit").or(Some(&Value::from("bytes"))));
        if let Some(used) = fields.get("used").filter(|_| self.style.state) {
            self.push(" used ");
            self.raw(Some(used));
            self.push(" ");
            self.raw(fields.get("used_unit").or(Some(&Value::from("bytes"))));
        }
    }

    /// The parameters of a limit, in place or of a named one.
    pub(super) fn limit(&mut self, fields: &Fields) {
        self.push(" rate ");
        if is_true(fields, "inv") {
            self.push("over ");
        }
        self.raw(fields.get("rate"));
        let unit = fields
            .get("rate_unit")
            .and_then(Value::as_str)
            .filter(|unit| *unit != "packets");
        if let Some(unit) = unit {
            self.push(" ");
            self.word(unit);
        }
        self.push("/");
        self.raw(fields.get("per").or(Some(&Value::from("second"))));
        let burst = fields.get("burst").and_then(Value::as_u64);
        match (unit, burst) {
            (None, Some(burst)) if burst != 5 => self.put(format_args!(" burst {burst} packets")),
            (Some(_), Some(burst)) if burst > 0 => {
                self.put(format_args!(" burst {burst} "));
                self.raw(fields.get("burst_unit").or(Some(&Value::from("bytes"))));
            }
            _ => {}
        }
    }

    fn synproxy(&mut self, fields: &Fields) {
        for key in ["mss", "wscale"] {
            if let Some(number) = fields.get(key) {
                self.put(format_args!(" {key} "));
                self.raw(Some(number));
            }
        }
        for flag in words(fields.get("flags")) {
            self.push(" ");
            self.word(flag);
        }
    }

    fn log(&mut self, fields: &Fields) {
        self.push("log");
        if let Some(prefix) = fields.get("prefix").and_then(Value::as_str) {
            self.push(" prefix ");
            self.quoted(prefix);
        }
        for key in ["level", "group", "snaplen", "queue-threshold"] {
            if let Some(value) = fields.get(key) {
                self.put(format_args!(" {key} "));
                self.raw(Some(value));
            }
        }
        let flags = words(fields.get("flags"));
        let tcp: Vec<&str> = flags
            .iter()
            .filter_map(|flag| flag.strip_prefix("tcp "))
            .collect();
        if !tcp.is_empty() {
            self.push(" flags tcp ");
            self.list(tcp, ",", |printer, flag| printer.word(flag));
        }
        for flag in flags.iter().filter(|flag| !flag.starts_with("tcp ")) {
            self.push(" flags ");
            self.word(flag);
        }
    }

    fn flags(&mut self, before: &str, flags: &Option<OneOrMany<Str>>) {
        if let Some(flags) = flags.as_ref().filter(|flags| !flags.as_slice().is_empty()) {
            self.push(before);
            self.list(flags.as_slice(), ",", |printer, flag| printer.word(flag));
        }
    }

    fn nat(&mut self, nat: &Nat) {
        self.push(nat.kind.key());
        self.target(&nat.family, nat.type_flags.as_ref(), &nat.addr, &nat.port);
        // `netmap` follows from the prefix and has no word of its own.
        let flags = nat
            .flags
            .iter()
            .flat_map(OneOrMany::as_slice)
            .filter(|flag| *flag != "netmap");
        let flags: Vec<&Str> = flags.collect();
        if !flags.is_empty() {
            self.push(" ");
            self.list(flags, ",", |printer, flag| printer.word(flag));
        }
        self.extra(&nat.extra);
    }

    /// `ip prefix to ADDR:PORT` of NAT and tproxy.
    fn target(
        &mut self,
        family: &Option<Str>,
        how: Option<&OneOrMany<Str>>,
        addr: &Option<Expr>,
        port: &Option<Expr>,
    ) {
        if addr.is_none() && port.is_none() {
            return;
        }
        if let Some(family) = family {
            self.push(" ");
            self.word(family);
        }
        for how in how.into_iter().flat_map(OneOrMany::as_slice) {
            self.push(if how == "concat" { " addr . port" } else { " " });
            if how != "concat" {
                self.word(how);
            }
        }
        self.push(" to ");
        if let Some(addr) = addr {
            match addr {
                Expr::Range(ends) => {
                    self.address(&ends.0, port.is_some());
                    self.push("-");
                    self.address(&ends.1, port.is_some());
                }
                other => self.address(other, port.is_some()),
            }
        }
        if let Some(port) = port {
            let computed =
                matches!(addr, Some(addr) if !matches!(addr, Expr::String(_) | Expr::Range(_)));
            self.push(if computed { " : " } else { ":" });
            self.expr(port, &Kind::Any);
        }
    }

    /// An address; one of IPv6 is in brackets before a port.
    fn address(&mut self, addr: &Expr, port: bool) {
        let six = matches!(addr, Expr::String(text) if text.parse::<Ipv6Addr>().is_ok());
        if six && port {
            self.push("[");
            self.expr(addr, &Kind::Any);
            self.push("]");
        } else {
            self.expr(addr, &Kind::Any);
        }
    }

    fn set_name(&mut self, name: &str) {
        self.push("@");
        self.name(name.strip_prefix('@').unwrap_or(name));
    }

    fn set_update(&mut self, update: &SetUpdate) {
        self.word(&update.op);
        self.push(" ");
        self.set_name(&update.set);
        self.push(" { ");
        self.expr(&update.elem, &Kind::Any);
        for stmt in update.stmt.iter().flatten() {
            self.push(" ");
            self.stmt(stmt);
        }
        if let Some(data) = &update.data {
            self.push(" : ");
            self.expr(data, &Kind::Any);
        }
        self.push(" }");
        self.extra(&update.extra);
    }

    fn redirection(&mut self, word: &str, it: &Redirection) {
        self.push(word);
        if let Some(family) = &it.family {
            self.push(" ");
            self.word(family);
        }
        if let Some(addr) = &it.addr {
            // In the netdev family the address of `dup` is a device.
            let device = matches!(addr, Expr::String(text) if text.parse::<IpAddr>().is_err());
            self.push(" to ");
            self.expr(addr, if device { &Kind::Index } else { &Kind::Any });
        }
        if let Some(dev) = &it.dev {
            self.push(if it.addr.is_some() {
                " device "
            } else {
                " to "
            });
            self.expr(dev, &Kind::Index);
        }
        self.extra(&it.extra);
    }
}

fn is_protocol(word: &str) -> bool {
    const WORDS: &[&str] = &[
        "tcp", "udp", "udplite", "esp", "ah", "icmp", "icmpv6", "igmp", "gre", "comp", "dccp",
        "sctp", "redirect",
    ];
    WORDS.contains(&word)
}

fn is_true(fields: &Fields, key: &str) -> bool {
    fields.get(key).and_then(Value::as_bool).unwrap_or_default()
}

/// The words of one string or a list of strings.
fn words(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(word)) => vec![word],
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}
