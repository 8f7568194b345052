//! Tables, chains, sets and named objects of a whole document.

use std::borrow::Cow;

use indexmap::IndexMap;
use serde_json::Value;

use super::Printer;
use super::expr::Kind;
use super::types::Usages;
use crate::nft::ast::*;

/// A priority as nft words it: `filter`, `srcnat + 5`, or the number where no name fits.
///
/// The names hold for up to ten above or below, and some only at one hook; the bridge family has its own.
pub fn priority_words(family: &str, hook: &str, prio: i64) -> String {
    const NAMES: &[(&str, i64)] = &[
        ("raw", -300),
        ("mangle", -150),
        ("dstnat", -100),
        ("filter", 0),
        ("security", 50),
        ("srcnat", 100),
    ];
    const BRIDGE: &[(&str, i64)] = &[
        ("dstnat", -300),
        ("filter", -200),
        ("out", 100),
        ("srcnat", 300),
    ];
    let bridge = family == "bridge";
    let names = if bridge { BRIDGE } else { NAMES };
    let near = names
        .iter()
        .find(|(_, number)| prio.abs_diff(*number) <= 10);
    let Some((name, number)) = near else {
        return prio.to_string();
    };
    let ip = matches!(family, "inet" | "ip" | "ip6");
    let fits = match *name {
        "filter" => bridge || ip || matches!(family, "arp" | "netdev"),
        "dstnat" => (bridge || ip) && hook == "prerouting",
        "srcnat" => (bridge || ip) && hook == "postrouting",
        "out" => hook == "output",
        _ => ip,
    };
    match prio - number {
        _ if !fits => prio.to_string(),
        0 => (*name).to_owned(),
        above @ 1.. => format!("{name} + {above}"),
        below => format!("{name} - {}", -below),
    }
}

/// What belongs to one table, in document order.
#[derive(Default)]
struct Contents<'a> {
    table: Option<&'a Table>,
    objects: Vec<&'a Stateful>,
    sets: Vec<(&'a Set, bool)>,
    flowtables: Vec<&'a Flowtable>,
    chains: IndexMap<&'a str, (Option<&'a Chain>, Vec<&'a Rule>)>,
    unknown: Vec<&'a Object>,
    usages: Usages<'a>,
}

impl Printer {
    pub(super) fn document(&mut self, document: &Document) {
        let mut tables: IndexMap<(&str, &str), Contents<'_>> = IndexMap::new();
        let mut strays = Vec::new();
        for object in &document.objects {
            match object {
                Object::Metainfo(_) => {}
                Object::Table(it) => {
                    tables.entry((&it.family, &it.name)).or_default().table = Some(it)
                }
                Object::Chain(it) => {
                    let contents = tables.entry((&it.family, &it.table)).or_default();
                    contents.chains.entry(&it.name).or_default().0 = Some(it);
                }
                Object::Rule(it) => {
                    let contents = tables.entry((&it.family, &it.table)).or_default();
                    contents.chains.entry(&it.chain).or_default().1.push(it);
                    it.expr
                        .iter()
                        .flatten()
                        .for_each(|stmt| contents.usages.note(stmt));
                }
                Object::Set(it) => tables
                    .entry((&it.family, &it.table))
                    .or_default()
                    .sets
                    .push((it, false)),
                Object::Map(it) => tables
                    .entry((&it.family, &it.table))
                    .or_default()
                    .sets
                    .push((it, true)),
                Object::Flowtable(it) => tables
                    .entry((&it.family, &it.table))
                    .or_default()
                    .flowtables
                    .push(it),
                Object::Stateful(it) => tables
                    .entry((&it.family, &it.table))
                    .or_default()
                    .objects
                    .push(it),
                Object::Unknown { value, .. } => {
                    let name = |key: &str| value.get(key).and_then(Value::as_str);
                    match (name("family"), name("table")) {
                        (Some(family), Some(table)) if tables.contains_key(&(family, table)) => {
                            tables
                                .entry((family, table))
                                .or_default()
                                .unknown
                                .push(object);
                        }
                        _ => strays.push(object),
                    }
                }
            }
        }
        for object in strays {
            self.comment_out(object, "");
        }
        for ((family, name), contents) in &tables {
            if !self.out.is_empty() {
                self.push("\n");
            }
            self.table(family, name, contents);
        }
    }

    /// Something unknown as a comment of one line.
    fn comment_out(&mut self, object: &Object, indent: &str) {
        if let Object::Unknown { key, value } = object {
            let word = |key: &str| value.get(key).and_then(Value::as_str);
            let is_of_text = key == UNREAD || key == UNTOLD;
            match (is_of_text, word("because").or(word("what"))) {
                (true, Some(_)) if value.get("usually").is_some() => return,
                (true, Some(what)) => {
                    self.push(indent);
                    self.push("# not read: ");
                    self.words_in_line(what);
                    self.push("\n");
                    return;
                }
                (true, None) | (false, _) => {}
            }
        }
        let json = serde_json::to_string(object).unwrap_or_default();
        self.put(format_args!(
            "{indent}# not known to this version: {json}\n"
        ));
    }

    fn table(&mut self, family: &str, name: &str, contents: &Contents<'_>) {
        self.push("table ");
        self.word(family);
        self.push(" ");
        self.name(name);
        self.push(" {\n");
        if let Some(table) = contents.table {
            if let Some(comment) = &table.comment {
                self.push("\tcomment ");
                self.quoted(comment);
                self.push("\n");
            }
            // nft 1.0.6 lists flags that are none.
            let known = |flag: &&Str| matches!(flag.as_str(), "dormant" | "owner" | "persist");
            let flags: Vec<&Str> = table
                .flags
                .iter()
                .flat_map(OneOrMany::as_slice)
                .filter(known)
                .collect();
            if !flags.is_empty() {
                self.push("\tflags ");
                self.list(flags, ",", |printer, flag| printer.word(flag));
                self.push("\n");
            }
        }
        for object in &contents.unknown {
            self.comment_out(object, "\t");
        }
        for object in &contents.objects {
            self.stateful(object);
        }
        for (set, is_map) in &contents.sets {
            self.set_block(set, *is_map, &contents.usages);
        }
        for flowtable in &contents.flowtables {
            self.flowtable(flowtable);
        }
        for (name, (chain, rules)) in &contents.chains {
            self.chain(family, name, *chain, rules);
        }
        self.push("}\n");
    }

    fn chain(&mut self, family: &str, name: &str, chain: Option<&Chain>, rules: &[&Rule]) {
        self.push("\tchain ");
        self.name(name);
        self.push(" {\n");
        if let Some(chain) = chain {
            if let Some(comment) = &chain.comment {
                self.push("\t\tcomment ");
                self.quoted(comment);
                self.push("\n");
            }
            if let Some(hook) = &chain.hook {
                self.push("\t\ttype ");
                self.word(chain.kind.as_deref().unwrap_or("filter"));
                self.push(" hook ");
                self.word(hook);
                self.devices(&chain.dev);
                self.push(" priority ");
                self.priority(family, hook, &chain.prio);
                self.push(";");
                if let Some(policy) = &chain.policy {
                    self.push(" policy ");
                    self.word(policy);
                    self.push(";");
                }
                self.push("\n");
            }
            for flag in chain.flags.iter().flat_map(OneOrMany::as_slice) {
                self.push("\t\tflags ");
                self.word(flag);
                self.push(";\n");
            }
        }
        for rule in rules {
            let start = self.out.len();
            self.unknown = false;
            self.push("\t\t");
            self.rule(rule);
            if self.unknown {
                self.out
                    .insert_str(start + 2, "# not known to this version: ");
                self.unknown = false;
            }
            self.push("\n");
        }
        self.push("\t}\n");
    }

    fn devices(&mut self, devices: &Option<OneOrMany<Str>>) {
        match devices.as_ref().map(OneOrMany::as_slice) {
            None | Some([]) => {}
            Some([device]) => {
                self.push(" device ");
                self.quoted(device);
            }
            Some(devices) => {
                self.push(" devices = { ");
                self.list(devices, ", ", |printer, device| printer.quoted(device));
                self.push(" }");
            }
        }
    }

    fn priority(&mut self, family: &str, hook: &str, priority: &Option<Priority>) {
        match priority {
            Some(Priority::Number(number)) => self.push(&priority_words(family, hook, *number)),
            Some(Priority::Name(name))
                if name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || " +-".contains(c)) =>
            {
                self.push(name);
            }
            Some(Priority::Name(name)) => self.quoted(name),
            None => self.push("0"),
        }
    }

    fn set_block(&mut self, set: &Set, is_map: bool, usages: &Usages<'_>) {
        self.push(if is_map { "\tmap " } else { "\tset " });
        self.name(&set.name);
        self.push(" {\n");
        let types = usages.types(set);
        if let Some(types) = &types {
            self.push("\t\t");
            self.types(
                types,
                is_map && set.elem.iter().flatten().any(spans_addresses),
            );
            self.push("\n");
        }
        if let Some(policy) = &set.policy {
            self.push("\t\tpolicy ");
            self.word(policy);
            self.push("\n");
        }
        let mut flags: Vec<&str> = set
            .flags
            .iter()
            .flat_map(OneOrMany::as_slice)
            .map(Str::as_str)
            .collect();
        if (usages.written(&set.name) || must_be_dynamic(set)) && !flags.contains(&"dynamic") {
            flags.push("dynamic");
        }
        if !flags.is_empty() {
            self.push("\t\tflags ");
            self.list(flags, ",", |printer, flag| printer.word(flag));
            self.push("\n");
        }
        if let Some(size) = set.size {
            self.put(format_args!("\t\tsize {size}\n"));
        }
        if let Some(timeout) = set.timeout {
            self.push("\t\ttimeout ");
            self.time(timeout);
            self.push("\n");
        }
        if let Some(interval) = set.gc_interval {
            self.push("\t\tgc-interval ");
            self.time(interval);
            self.push("\n");
        }
        if set.auto_merge == Some(true) {
            self.push("\t\tauto-merge\n");
        }
        if let Some(stmts) = set.stmt.as_ref().filter(|stmts| !stmts.is_empty()) {
            self.push("\t\t");
            self.list(stmts, " ", |printer, stmt| printer.stmt(stmt));
            self.push("\n");
        }
        if let Some(comment) = &set.comment {
            self.push("\t\tcomment ");
            self.quoted(comment);
            self.push("\n");
        }
        for (key, value) in set.extra.iter() {
            let json = serde_json::json!({ key.as_str(): value });
            self.put(format_args!("\t\t# not known to this version: {json}\n"));
        }
        if let Some(elements) = set.elem.as_ref().filter(|elements| !elements.is_empty()) {
            let key = types.as_ref().map_or(Kind::Any, |types| types.key_kind());
            let data = types.as_ref().map_or(Kind::Any, |types| types.data_kind());
            let stmts = set.stmt.as_deref().unwrap_or_default();
            self.push("\t\telements = { ");
            self.list(elements, ",\n\t\t\t     ", |printer, element| {
                printer.element(&with_all_stmts(element, stmts), &key, &data)
            });
            self.push(" }\n");
        }
        self.push("\t}\n");
    }

    fn flowtable(&mut self, flowtable: &Flowtable) {
        self.push("\tflowtable ");
        self.name(&flowtable.name);
        self.push(" {\n");
        if let Some(hook) = &flowtable.hook {
            self.push("\t\thook ");
            self.word(hook);
            self.push(" priority ");
            self.priority(&flowtable.family, hook, &flowtable.prio);
            self.push("\n");
        }
        let devices = flowtable
            .dev
            .as_ref()
            .map(OneOrMany::as_slice)
            .unwrap_or_default();
        if !devices.is_empty() {
            self.push("\t\tdevices = { ");
            self.list(devices, ", ", |printer, device| printer.quoted(device));
            self.push(" }\n");
        }
        for flag in flowtable.flags.iter().flat_map(OneOrMany::as_slice) {
            self.push(if flag == "counter" {
                "\t\t"
            } else {
                "\t\tflags "
            });
            self.word(flag);
            self.push("\n");
        }
        self.push("\t}\n");
    }

    fn stateful(&mut self, object: &Stateful) {
        let fields: serde_json::Map<String, Value> = object
            .fields
            .iter()
            .map(|(key, value)| (key.to_string(), value.clone()))
            .collect();
        let number = |key: &str| fields.get(key).and_then(Value::as_u64);
        let text = |key: &str| fields.get(key).and_then(Value::as_str);
        self.put(format_args!("\t{} ", object.kind.key()));
        self.name(&object.name);
        self.push(" {\n");
        if let Some(comment) = &object.comment {
            self.push("\t\tcomment ");
            self.quoted(comment);
            self.push("\n");
        }
        self.push("\t\t");
        match object.kind {
            StatefulKind::Counter => {
                let [packets, bytes] =
                    ["packets", "bytes"].map(|key| number(key).unwrap_or_default());
                self.put(format_args!("packets {packets} bytes {bytes}"));
            }
            StatefulKind::Quota => {
                let over = fields
                    .get("inv")
                    .and_then(Value::as_bool)
                    .unwrap_or_default();
                self.push(if over { "over " } else { "" });
                self.put(format_args!(
                    "{} bytes",
                    number("bytes").unwrap_or_default()
                ));
                if let Some(used) = number("used").filter(|used| *used > 0) {
                    self.put(format_args!(" used {used} bytes"));
                }
            }
            StatefulKind::Limit => {
                let start = self.out.len();
                self.limit(&Fields(Value::Object(fields.clone())));
                // The statement has a space in front.
                self.out.remove(start);
            }
            StatefulKind::CtHelper => {
                self.push("type ");
                self.quoted(text("type").unwrap_or_default());
                self.push(" protocol ");
                self.word(text("protocol").unwrap_or("tcp"));
                self.line("l3proto", text("l3proto"));
            }
            StatefulKind::CtTimeout => {
                self.push("protocol ");
                self.word(text("protocol").unwrap_or("tcp"));
                self.line("l3proto", text("l3proto"));
                if let Some(policy) = fields.get("policy").and_then(Value::as_object) {
                    self.push("\n\t\tpolicy = { ");
                    self.list(policy, ", ", |printer, (state, seconds)| {
                        printer.word(state);
                        printer.push(" : ");
                        printer.put(format_args!("{}", seconds.as_u64().unwrap_or_default()));
                    });
                    self.push(" }");
                }
            }
            StatefulKind::CtExpectation => {
                self.push("protocol ");
                self.word(text("protocol").unwrap_or("tcp"));
                self.put(format_args!(
                    "\n\t\tdport {}",
                    number("dport").unwrap_or_default()
                ));
                self.push("\n\t\ttimeout ");
                self.milliseconds(number("timeout").unwrap_or_default());
                self.put(format_args!(
                    "\n\t\tsize {}",
                    number("size").unwrap_or_default()
                ));
                self.line("l3proto", text("l3proto"));
            }
            StatefulKind::Secmark => self.quoted(text("context").unwrap_or_default()),
            StatefulKind::Synproxy => {
                let [mss, wscale] = ["mss", "wscale"].map(|key| number(key).unwrap_or_default());
                self.put(format_args!("mss {mss}\n\t\twscale {wscale}\n\t\t"));
                let flags = fields
                    .get("flags")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten();
                self.list(flags.filter_map(Value::as_str), " ", |printer, flag| {
                    printer.word(flag)
                });
            }
            StatefulKind::Tunnel => {
                let names = [
                    ("id", "id"),
                    ("src-ipv4", "ip saddr"),
                    ("dst-ipv4", "ip daddr"),
                    ("src-ipv6", "ip6 saddr"),
                    ("dst-ipv6", "ip6 daddr"),
                    ("sport", "sport"),
                    ("dport", "dport"),
                    ("tos", "tos"),
                    ("ttl", "ttl"),
                ];
                let known = names
                    .iter()
                    .filter_map(|(key, word)| fields.get(*key).map(|value| (word, value)));
                self.list(known, "\n\t\t", |printer, (word, value)| {
                    printer.put(format_args!("{word} "));
                    match value {
                        Value::String(text) => printer.expr(&Expr::String(text.into()), &Kind::Any),
                        other => printer.put(format_args!("{other}")),
                    }
                });
            }
        }
        self.push("\n\t}\n");
    }

    fn line(&mut self, word: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.put(format_args!("\n\t\t{word} "));
            self.word(value);
        }
    }
}

/// Whether the data of a map's element is a range or a prefix of addresses.
fn spans_addresses(element: &Expr) -> bool {
    fn spans(data: &Expr) -> bool {
        match data {
            Expr::Range(_) | Expr::Prefix(_) => true,
            Expr::Concat(parts) => parts.iter().any(spans),
            _ => false,
        }
    }
    match element {
        Expr::Pair(pair) => spans(&pair.1),
        Expr::Elem(elem) => spans_addresses(&elem.val),
        _ => false,
    }
}

/// The element as such, without what stands around it.
fn options(element: &Expr) -> Option<&Elem> {
    match element {
        Expr::Elem(elem) => Some(elem),
        Expr::Pair(pair) => options(&pair.0),
        _ => None,
    }
}

/// Whether only a dynamic set can be like that; nft before 1.0.9 does not list the flag.
fn must_be_dynamic(set: &Set) -> bool {
    match set.stmt.as_deref() {
        Some(stmts) => stmts.iter().any(|stmt| matches!(stmt, Stmt::CtCount(_))),
        None => set
            .elem
            .iter()
            .flatten()
            .filter_map(options)
            .any(|elem| !elem.stmts.is_empty()),
    }
}

/// Adds the statements that nft before 1.1.0 leaves out of an element: it lists only one of them.
fn with_all_stmts<'a>(element: &'a Expr, stmts: &[Stmt]) -> Cow<'a, Expr> {
    let listed = options(element).map_or(0, |elem| elem.stmts.len());
    if listed == 0 || listed >= stmts.len() {
        return Cow::Borrowed(element);
    }
    let mut whole = element.clone();
    let elem = match &mut whole {
        Expr::Elem(elem) => Some(elem),
        Expr::Pair(pair) => match &mut pair.0 {
            Expr::Elem(elem) => Some(elem),
            _ => None,
        },
        _ => None,
    };
    if let Some(elem) = elem {
        let listed = std::mem::take(&mut elem.stmts);
        for stmt in stmts {
            let Ok(Value::Object(map)) = serde_json::to_value(stmt) else {
                continue;
            };
            for (key, value) in map {
                let key = Str::from(key);
                let own = listed.iter().find(|(of, _)| *of == key).cloned();
                elem.stmts.push(own.unwrap_or((key, value)));
            }
        }
    }
    Cow::Owned(whole)
}
