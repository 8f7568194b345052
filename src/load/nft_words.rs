//! What `nft list ruleset` prints as text for rules of iptables-nft, where its JSON has opaque `xt` statements only.
//!
//! An nft built with libxtables tells many extensions in its own words (`ct state new`, `dnat to …`); what it cannot tell it
//! prints as `xt match NAME` or `xt target NAME`. nft's language is read by nft alone: the text's tables go back through the converter that the
//! caller gives, with a marked counter in the place of each `xt` word, and the JSON that comes back replaces the rules of the listing.
//!
//! Rules are paired by chain and position, and by handle where the text has them (`nft -a`); what both tell natively has to agree.
//! nft's words for some extensions say less than the extension, or something else (`! --ports`, `--ctstate NEW,DNAT`, `--set-tos`): only
//! those are used that were found to say the same, see `says_all`; a rule with others stays as the listing has it.
//! Left out: any decision on what the words mean, and rules that iptables-save explains already.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::diagnostic::Diagnostic;
use crate::iptables::{merge, translate};
use crate::nft::ast::{Document, Expr, MatchOp, Object, ObjectRef, Rule, Stmt, Str, Xt};
use crate::nft::json;

/// Why nft did not take a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// One line, lower case, no final period.
    pub message: String,
    /// The lines it complains of, from 1; empty when it is not about the text.
    pub lines: Vec<usize>,
}

impl From<String> for Refused {
    fn from(message: String) -> Self {
        Refused {
            message,
            lines: Vec::new(),
        }
    }
}

/// Turns nft syntax into the JSON of its listing.
pub type Nft<'a> = &'a dyn Fn(&str) -> Result<String, Refused>;

/// How often lines that nft refuses are left out before the text is given up.
const TRIES: usize = 16;

/// Marks the counter that stands for the `xt` words of a place; the place is added to it. No counter of bytes comes near.
const MARK: u64 = 0x6e66_7061_0000_0000;

/// Family, table and chain.
type ChainKey = (Str, Str, Str);

/// One rule of the text.
#[derive(Debug, Clone, PartialEq)]
struct TextRule {
    handle: Option<u64>,
    /// On one line, without the handle.
    words: String,
}

#[derive(Debug, PartialEq)]
enum Line {
    /// Declarations, with the table they are in.
    Plain((Str, Str), String),
    /// A rule of a chain, by its number there.
    Rule(ChainKey, usize),
}

#[derive(Debug, Default)]
struct Text {
    lines: Vec<Line>,
    chains: HashMap<ChainKey, Vec<TextRule>>,
}

/// Whether a listing has rules with `xt` words.
pub fn has_xt_words(text: &str) -> bool {
    text.lines()
        .any(|line| !xt_words(line.trim_start()).is_empty())
}

/// Replaces rules of `document` that hold an `xt` statement by what the text says of them. Those of `explained` are left as they are.
pub(super) fn complete(
    document: &mut Document,
    explained: &dyn Fn(usize) -> bool,
    source: &str,
    text: &str,
    nft: Nft<'_>,
) -> Vec<Diagnostic> {
    let mut chains: BTreeMap<ChainKey, Vec<usize>> = BTreeMap::new();
    let mut opaque: BTreeSet<ChainKey> = BTreeSet::new();
    for (at, object) in document.objects.iter().enumerate() {
        if let Object::Rule(rule) = object {
            let key = (rule.family.clone(), rule.table.clone(), rule.chain.clone());
            if !explained(at) && rule.expr.iter().flatten().any(hides_something) {
                opaque.insert(key.clone());
            }
            chains.entry(key).or_default().push(at);
        }
    }
    if opaque.is_empty() {
        return Vec::new();
    }
    let tables: BTreeSet<(Str, Str)> = opaque
        .iter()
        .map(|(family, table, _)| (family.clone(), table.clone()))
        .collect();
    let read = read(text);
    let (told, mut diagnostics) = match converted(&read, &tables, source, nft) {
        Ok(told) => told,
        Err(error) => {
            return vec![Diagnostic::warning(
                source,
                format!(
                    "what it says of {} chains with iptables extensions cannot be used: {error}",
                    opaque.len()
                ),
            )];
        }
    };
    for key in &opaque {
        let name = format!("chain {} {} {}", key.0, key.1, key.2);
        let listed = chains.get(key).map(Vec::as_slice).unwrap_or_default();
        let changed = "the firewall changed between the two commands, or they are of different hosts; capture both again";
        let Some(rules) = read.chains.get(key) else {
            diagnostics.push(Diagnostic::warning(source, format!("{name}: not in it")));
            continue;
        };
        if rules.len() != listed.len() {
            let message = format!(
                "{name}: {} rules in the nft listing, {} here: {changed}",
                listed.len(),
                rules.len()
            );
            diagnostics.push(Diagnostic::warning(source, message));
            continue;
        }
        let mut found = Vec::new();
        let mut disagreement = None;
        for (number, (at, rule)) in listed.iter().zip(rules).enumerate() {
            let Some(Object::Rule(known)) = document.objects.get(*at) else {
                continue;
            };
            let told = told.get(&(key.clone(), number));
            let why = match (rule.handle, known.handle) {
                (Some(here), Some(there)) if here != there => Some(format!(
                    "its handle is {there} in the listing and {here} here"
                )),
                _ if told.is_some_and(|told| told.iter().any(is_text)) => None,
                _ => told.and_then(|told| {
                    merge::contradiction(known.expr.as_deref().unwrap_or_default(), told)
                }),
            };
            if let Some(why) = why {
                disagreement = Some(format!(
                    "{name}: rule {} is not `{}`: {why}; {changed}",
                    number + 1,
                    rule.words
                ));
                break;
            }
            if let Some(told) = told
                && !told.iter().any(is_text)
                && !explained(*at)
                && known.expr.iter().flatten().any(hides_something)
                && is_told_in_full(known, told)
            {
                found.push((*at, as_iptables_does(known, told)));
            }
        }
        match disagreement {
            Some(why) => diagnostics.push(Diagnostic::warning(source, why)),
            None => {
                for (at, told) in found {
                    if let Some(Object::Rule(rule)) = document.objects.get_mut(at) {
                        rule.expr = Some(told);
                    }
                }
            }
        }
    }
    diagnostics
}

/// Reads a whole listing of which some rules have `xt` words, as its JSON would tell it.
pub(super) fn document(
    source: &str,
    text: &str,
    nft: Nft<'_>,
) -> Result<(Document, Vec<Diagnostic>), Refused> {
    let read = read(text);
    let (json, _, places, mut diagnostics) = answered(&read, None, source, nft)?;
    let (mut document, notes) =
        json::read(&json).map_err(|error| Refused::from(error.to_string()))?;
    let mut numbers: HashMap<ChainKey, usize> = HashMap::new();
    for object in &mut document.objects {
        let Object::Rule(rule) = object else {
            continue;
        };
        let number = numbers
            .entry((rule.family.clone(), rule.table.clone(), rule.chain.clone()))
            .or_default();
        let key = (rule.family.clone(), rule.table.clone(), rule.chain.clone());
        let known = read.chains.get(&key).and_then(|rules| rules.get(*number));
        rule.handle = known.and_then(|known| known.handle).or(rule.handle);
        *number += 1;
        rule.expr = Some(unmarked(rule, &places));
    }
    let notes = notes.iter();
    diagnostics.extend(notes.map(|note| Diagnostic::note(source, note.to_string())));
    Ok((document, diagnostics))
}

/// Whether a listing has chains that iptables-nft makes: names in capitals at the hooks of `ip` and `ip6`.
pub(super) fn is_of_iptables(document: &Document) -> bool {
    document.objects.iter().any(|object| match object {
        Object::Chain(chain) => {
            let upper = chain.hook.as_ref().map(|hook| hook.to_uppercase());
            matches!(&*chain.family, "ip" | "ip6") && upper.as_deref() == Some(&*chain.name)
        }
        _ => false,
    })
}

/// A statement whose meaning is not in the listing. Of comments nothing is missing.
fn hides_something(stmt: &Stmt) -> bool {
    matches!(stmt, Stmt::Xt(xt) if xt.name.as_deref() != Some("comment"))
}

/// The words with what a target does to a packet that it cannot take: CONNMARK goes on, nft's own statement would not.
fn as_iptables_does(listed: &Rule, told: &[Stmt]) -> Vec<Stmt> {
    let is_connmark =
        |stmt: &Stmt| xt(stmt).is_some_and(|xt| xt.name.as_deref() == Some("CONNMARK"));
    let goes_on = listed.expr.iter().flatten().any(is_connmark);
    told.iter()
        .cloned()
        .map(|stmt| {
            if goes_on {
                translate::or_nothing(stmt)
            } else {
                stmt
            }
        })
        .collect()
}

/// Whether the words for each extension of a rule say all that it means.
fn is_told_in_full(listed: &Rule, told: &[Stmt]) -> bool {
    let stmts = listed.expr.as_deref().unwrap_or_default();
    let count = |stmts: &[Stmt], name: &Option<Str>| {
        stmts
            .iter()
            .filter_map(xt)
            .filter(|xt| xt.name == *name)
            .count()
    };
    stmts.iter().filter_map(xt).all(|xt| {
        let is_left = count(told, &xt.name) == count(stmts, &xt.name);
        is_left || says_all(&listed.family, xt.name.as_deref().unwrap_or_default(), told)
    })
}

/// Stands for a rule that nft refuses to load again.
fn is_text(stmt: &Stmt) -> bool {
    matches!(stmt, Stmt::Text(_))
}

fn xt(stmt: &Stmt) -> Option<&Xt> {
    match stmt {
        Stmt::Xt(xt) => Some(xt),
        _ => None,
    }
}

/// Whether the words of nft for this extension say all that the extension means, judged by the statements of the rule.
///
/// Found by loading each form with iptables-nft 1.8.9 and listing it with nft 1.0.6; what is not named here was not compared.
fn says_all(family: &str, name: &str, told: &[Stmt]) -> bool {
    let tests = || {
        told.iter().filter_map(|stmt| match stmt {
            Stmt::Match(test) => Some(test),
            _ => None,
        })
    };
    match name {
        "comment" | "tcp" | "udp" | "icmp" | "icmp6" | "icmpv6" | "esp" | "iprange" | "length"
        | "limit" | "hashlimit" | "quota" | "statistic" | "mac" | "mark" | "pkttype" | "dscp"
        | "ecn" | "ttl" | "hl" | "cpu" | "devgroup" | "connbytes" => true,
        "DNAT" | "SNAT" | "MASQUERADE" | "REDIRECT" | "REJECT" | "LOG" | "NFLOG" | "NFQUEUE"
        | "AUDIT" | "CT" | "NOTRACK" | "TRACE" | "TCPMSS" | "CLASSIFY" | "MARK" | "DSCP" => true,
        // `--ctstate NEW,DNAT` is told as `ct status dnat`; nft 1.0.6 reads prefixes of addresses back wrongly
        "conntrack" | "state" => tests().all(|test| match &test.left {
            Expr::Ct(ct) => match ct.key.as_str() {
                "state" | "direction" | "protocol" | "l3proto" | "proto-src" | "proto-dst" => true,
                "status" => !mentions(&test.right, &["dnat", "snat"]),
                _ => false,
            },
            _ => true,
        }),
        "connmark" => true,
        // with both of source and destination only the source is told; of IPv6 the extension looks only these types up
        "addrtype" => tests().all(|test| match (&test.left, &test.right) {
            (Expr::Fib(fib), _) if fib.flags.as_slice().iter().any(|flag| flag == "saddr") => false,
            (Expr::Fib(_), Expr::String(of)) => {
                family != "ip6" || matches!(of.as_str(), "local" | "anycast")
            }
            (Expr::Fib(_), _) => family != "ip6",
            _ => true,
        }),
        // `--ports` is told as pairs of which ranges and `!` are lost
        "multiport" => tests().all(|test| !matches!(test.left, Expr::Concat(_))),
        // without the option, the helper or the socket `!` holds in iptables
        "tcpmss" | "helper" | "owner" => {
            tests().all(|test| !matches!(test.op, MatchOp::Ne | MatchOp::Not))
        }
        // masks are told in another order, or without what they keep
        "CONNMARK" => told.iter().all(|stmt| match stmt {
            Stmt::Mangle(set) => !matches!(set.value, Expr::Binary(..)),
            _ => true,
        }),
        _ => false,
    }
}

fn mentions(value: &Expr, words: &[&str]) -> bool {
    match value {
        Expr::String(text) => text.is_empty() || words.contains(&text.as_str()),
        Expr::List(values) => values.is_empty() || values.iter().any(|v| mentions(v, words)),
        Expr::Set(values) => values.as_slice().iter().any(|value| mentions(value, words)),
        // bits by number are not told apart
        _ => true,
    }
}

/// What nft says of the rules of a text: by chain and number.
type Told = HashMap<(ChainKey, usize), Vec<Stmt>>;

fn converted(
    text: &Text,
    tables: &BTreeSet<(Str, Str)>,
    source: &str,
    nft: Nft<'_>,
) -> Result<(Told, Vec<Diagnostic>), String> {
    let (json, rules, places, diagnostics) =
        answered(text, Some(tables), source, nft).map_err(|error| error.message)?;
    told(&json, &rules, &places).map(|told| (told, diagnostics))
}

/// nft's JSON for a text, with what is needed to read it.
type Answer = (
    String,
    Vec<(usize, (ChainKey, usize))>,
    Vec<Stmt>,
    Vec<Diagnostic>,
);

/// Asks nft; a rule that it refuses is marked as a whole, and it is asked again.
fn answered(
    text: &Text,
    tables: Option<&BTreeSet<(Str, Str)>>,
    source: &str,
    nft: Nft<'_>,
) -> Result<Answer, Refused> {
    let mut left_out: BTreeSet<(ChainKey, usize)> = BTreeSet::new();
    let mut diagnostics = Vec::new();
    for _ in 0..TRIES {
        let (script, rules, places) = script(text, tables, &left_out);
        let refused = match nft(&script) {
            Ok(json) => return Ok((json, rules, places, diagnostics)),
            Err(refused) => refused,
        };
        let new: Vec<(ChainKey, usize)> = refused
            .lines
            .iter()
            .filter_map(|line| rules.iter().find(|(at, _)| at == line))
            .map(|(_, rule)| rule.clone())
            .filter(|rule| !left_out.contains(rule))
            .collect();
        if new.is_empty() {
            return Err(refused);
        }
        for (key, number) in &new {
            diagnostics.push(Diagnostic::warning(
                source,
                format!(
                    "chain {} {} {}: what it says of rule {} is not understood: {refused}",
                    key.0,
                    key.1,
                    key.2,
                    number + 1,
                ),
            ));
        }
        left_out.extend(new);
    }
    Err("nft refuses more of it than can be left out"
        .to_string()
        .into())
}

/// A script that loads the text's tables, the rule of each of its lines, and what stands behind each mark: `xt` words, or a whole rule that
/// nft refuses.
type Script = (String, Vec<(usize, (ChainKey, usize))>, Vec<Stmt>);

fn script(
    text: &Text,
    tables: Option<&BTreeSet<(Str, Str)>>,
    left_out: &BTreeSet<(ChainKey, usize)>,
) -> Script {
    let mut out = String::new();
    let mut rules = Vec::new();
    let mut places = Vec::new();
    let mut number = 0;
    for line in &text.lines {
        let wanted = match line {
            Line::Plain(table, _) => tables.is_none_or(|tables| tables.contains(table)),
            Line::Rule(key, _) => {
                tables.is_none_or(|tables| tables.contains(&(key.0.clone(), key.1.clone())))
            }
        };
        if !wanted {
            continue;
        }
        match line {
            Line::Plain(_, words) => out.push_str(words),
            Line::Rule(key, at) => {
                let words = text.chains.get(key).and_then(|rules| rules.get(*at));
                let words = words.map(|rule| rule.words.as_str()).unwrap_or_default();
                if left_out.contains(&(key.clone(), *at)) {
                    out.push_str(&mark(Stmt::Text(words.into()), &mut places));
                } else {
                    out.push_str(&marked(words, &mut places));
                }
                rules.push((number + 1, (key.clone(), *at)));
            }
        }
        out.push('\n');
        number += 1;
    }
    (out, rules, places)
}

fn mark(stmt: Stmt, places: &mut Vec<Stmt>) -> String {
    let bytes = MARK + places.len() as u64;
    places.push(stmt);
    format!("counter packets 0 bytes {bytes}")
}

/// The rule with a counter in the place of each `xt` word.
fn marked(words: &str, places: &mut Vec<Stmt>) -> String {
    let mut out = String::new();
    let mut from = 0;
    for (start, end, xt) in xt_words(words) {
        out.push_str(words.get(from..start).unwrap_or_default());
        out.push_str(&mark(Stmt::Xt(xt), places));
        from = end;
    }
    out.push_str(words.get(from..).unwrap_or_default());
    out
}

/// The statements of a converted rule, with what the marks stand for in their places.
fn unmarked(rule: &Rule, places: &[Stmt]) -> Vec<Stmt> {
    let back = |stmt: &Stmt| {
        let Stmt::Counter(ObjectRef::Inline(fields)) = stmt else {
            return stmt.clone();
        };
        let bytes = fields.get("bytes").and_then(serde_json::Value::as_u64);
        let place = bytes
            .and_then(|bytes| bytes.checked_sub(MARK))
            .and_then(|at| usize::try_from(at).ok())
            .and_then(|at| places.get(at));
        place.unwrap_or(stmt).clone()
    };
    rule.expr.iter().flatten().map(back).collect()
}

fn told(json: &str, rules: &[(usize, (ChainKey, usize))], places: &[Stmt]) -> Result<Told, String> {
    let (document, _) = json::read(json).map_err(|error| error.to_string())?;
    let mut sent: HashMap<&ChainKey, Vec<usize>> = HashMap::new();
    for (_, (key, number)) in rules {
        sent.entry(key).or_default().push(*number);
    }
    let mut next: HashMap<ChainKey, usize> = HashMap::new();
    let mut told = Told::new();
    for object in &document.objects {
        let Object::Rule(rule) = object else {
            continue;
        };
        let key = (rule.family.clone(), rule.table.clone(), rule.chain.clone());
        let at = next.entry(key.clone()).or_default();
        let number = sent.get(&key).and_then(|numbers| numbers.get(*at));
        *at += 1;
        let number = *number.ok_or("nft lists more rules than it was given")?;
        told.insert((key, number), unmarked(rule, places));
    }
    match told.len() == rules.len() {
        true => Ok(told),
        false => Err("nft lists fewer rules than it was given".into()),
    }
}

/// Reads by nft's own indentation and braces.
fn read(text: &str) -> Text {
    let mut out = Text::default();
    let mut table: Option<(Str, Str)> = None;
    let mut chain: Option<ChainKey> = None;
    let mut depth = 0usize;
    let mut begun = String::new();
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (words, handle) = without_handle(line);
        if depth == 0 {
            table = words
                .strip_prefix("table ")
                .and_then(|rest| rest.strip_suffix(" {"))
                .and_then(|head| head.split_once(' '))
                .map(|(family, name)| (family.into(), name.trim_matches('"').into()));
        }
        let Some(place) = table.clone() else {
            continue;
        };
        if depth == 1 && begun.is_empty() {
            chain = words
                .strip_prefix("chain ")
                .and_then(|rest| rest.strip_suffix(" {"))
                .map(|name| {
                    (
                        place.0.clone(),
                        place.1.clone(),
                        name.trim_matches('"').into(),
                    )
                });
            if let Some(chain) = &chain {
                out.chains.entry(chain.clone()).or_default();
            }
        }
        let inside = depth;
        depth = after(depth, words);
        let declares = ["type ", "policy ", "flags "]
            .iter()
            .any(|word| words.starts_with(word))
            || (words.starts_with("comment ") && handle.is_none());
        match &chain {
            Some(key) if inside >= 2 && depth >= 2 && (!declares || !begun.is_empty()) => {
                if !begun.is_empty() {
                    begun.push(' ');
                }
                begun.push_str(words);
                if depth == 2 {
                    let rules = out.chains.entry(key.clone()).or_default();
                    out.lines.push(Line::Rule(key.clone(), rules.len()));
                    rules.push(TextRule {
                        handle,
                        words: std::mem::take(&mut begun),
                    });
                }
            }
            Some(_) | None => out.lines.push(Line::Plain(place, words.to_string())),
        }
    }
    out
}

/// A line without `# handle N`, and N.
fn without_handle(line: &str) -> (&str, Option<u64>) {
    match line.rsplit_once(" # handle ") {
        Some((words, number)) => match number.trim().parse() {
            Ok(number) => (words.trim_end(), Some(number)),
            Err(_) => (line, None),
        },
        None => (line, None),
    }
}

/// How many braces are open behind a line.
fn after(depth: usize, line: &str) -> usize {
    let mut quoted = false;
    line.chars().fold(depth, |depth, c| match c {
        '"' => {
            quoted = !quoted;
            depth
        }
        '{' if !quoted => depth + 1,
        '}' if !quoted => depth.saturating_sub(1),
        _ => depth,
    })
}

/// The places of `xt match NAME` and `xt target NAME` outside of quotation marks.
fn xt_words(line: &str) -> Vec<(usize, usize, Xt)> {
    let mut words: Vec<(usize, &str)> = Vec::new();
    let mut start = 0;
    let mut quoted = false;
    for (at, c) in line.char_indices().chain([(line.len(), ' ')]) {
        match c {
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted || at == line.len() => {
                if let Some(word) = line.get(start..at).filter(|word| !word.is_empty()) {
                    words.push((start, word));
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    for three in words.windows(3) {
        if let [
            (start, "xt"),
            (_, kind @ ("match" | "target" | "watcher")),
            (last, name),
        ] = three
        {
            let xt = Xt {
                kind: Some((*kind).into()),
                name: Some(name.trim_matches('"').into()),
                ..Xt::default()
            };
            found.push((*start, last + name.len(), xt));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Warning: table ip filter is managed by iptables-nft, do not touch!\ntable ip filter { # handle 1\n\tset s { # handle 9\n\t\ttype ipv4_addr\n\t\telements = { 1.2.3.4,\n\t\t\t     1.2.3.5 }\n\t}\n\n\tchain FORWARD { # handle 2\n\t\ttype filter hook forward priority filter; policy accept;\n\t\tct state new counter packets 1 bytes 2 accept comment \"xt match no }\" # handle 4\n\t\tip saddr 1.1.1.1 xt match \"u32\" counter packets 0 bytes 0 xt target MARK # handle 5\n\t\tiifname vmap { \"a\" : drop,\n\t\t\t \"b\" : accept } # handle 6\n\t}\n}\n";

    #[test]
    fn rules_are_told_from_declarations_and_keep_their_handles() {
        let read = read(TEXT);
        let key: ChainKey = ("ip".into(), "filter".into(), "FORWARD".into());
        let rules: Vec<(Option<u64>, &str)> = read.chains[&key]
            .iter()
            .map(|rule| (rule.handle, rule.words.as_str()))
            .collect();
        assert_eq!(
            rules,
            [
                (
                    Some(4),
                    "ct state new counter packets 1 bytes 2 accept comment \"xt match no }\""
                ),
                (
                    Some(5),
                    "ip saddr 1.1.1.1 xt match \"u32\" counter packets 0 bytes 0 xt target MARK"
                ),
                (Some(6), "iifname vmap { \"a\" : drop, \"b\" : accept }"),
            ]
        );
        let (script, rules, places) = script(&read, None, &BTreeSet::new());
        assert!(
            !script.contains("handle") && !script.contains("Warning"),
            "{script}"
        );
        assert_eq!(
            rules.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
            [9, 10, 11]
        );
        let names: Vec<&str> = places
            .iter()
            .filter_map(xt)
            .flat_map(|xt| xt.name.as_deref())
            .collect();
        assert_eq!(names, ["u32", "MARK"]);
    }

    #[test]
    fn xt_words_in_a_comment_are_none() {
        assert!(!has_xt_words("comment \"xt match no\""));
        assert!(has_xt_words("\t\txt match u32 drop"));
        assert!(xt_words("xt match").is_empty());
    }

    const LISTED: &str = r#"{"nftables":[{"table":{"family":"ip","name":"t"}},{"chain":{"family":"ip","table":"t","name":"c"}},
        {"rule":{"family":"ip","table":"t","chain":"c","handle":4,"expr":[{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"a"}},{"xt":{"type":"match","name":"conntrack"}},{"accept":null}]}}]}"#;
    const TOLD: &str = r#"{"nftables":[{"rule":{"family":"ip","table":"t","chain":"c","handle":9,"expr":[{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"a"}},{"match":{"op":"in","left":{"ct":{"key":"state"}},"right":"new"}},{"accept":null}]}}]}"#;

    fn completed(text: &str, told: &str) -> (String, Vec<String>) {
        let (mut document, _) = json::read(LISTED).expect("a listing");
        let nft = |_: &str| Ok(told.to_string());
        let said = complete(&mut document, &|_| false, "t.txt", text, &nft);
        let rule = document.objects.iter().find_map(|object| match object {
            Object::Rule(rule) => Some(crate::nft::print::rule(rule)),
            _ => None,
        });
        let said = said.into_iter().map(|d| d.message).collect();
        (rule.expect("a rule"), said)
    }

    #[test]
    fn a_rule_gets_the_words_that_nft_has_for_it() {
        let text =
            "table ip t {\n\tchain c {\n\t\tiifname \"a\" ct state new accept # handle 4\n\t}\n}\n";
        let (rule, said) = completed(text, TOLD);
        assert_eq!(said, [""; 0]);
        assert_eq!(rule, "iifname \"a\" ct state new accept");
        // without handles the place counts
        let (rule, _) = completed(&text.replace(" # handle 4", ""), TOLD);
        assert_eq!(rule, "iifname \"a\" ct state new accept");
    }

    #[test]
    fn a_text_of_another_time_is_told_and_not_used() {
        let text =
            "table ip t {\n\tchain c {\n\t\tiifname \"a\" ct state new accept # handle 4\n\t}\n}\n";
        let opaque = "iifname \"a\" xt match \"conntrack\" accept";
        let two = text.replace("# handle 4", "# handle 4\n\t\tdrop # handle 5");
        let both = TOLD.replace(
            "]}}]}",
            r#"]}},{"rule":{"family":"ip","table":"t","chain":"c","expr":[{"drop":null}]}}]}"#,
        );
        let cases = [
            (
                text.replace("handle 4", "handle 7"),
                TOLD.to_string(),
                "its handle is 4 in the listing and 7 here",
            ),
            (
                text.to_string(),
                TOLD.replace("\"a\"", "\"b\""),
                "iifname `a` is in the listing only",
            ),
            (two, both, "1 rules in the nft listing, 2 here"),
            (
                text.replace("chain c", "chain d"),
                r#"{"nftables":[{"rule":{"family":"ip","table":"t","chain":"d","expr":[]}}]}"#
                    .into(),
                "chain ip t c: not in it",
            ),
            (
                text.to_string(),
                r#"{"nftables":[]}"#.into(),
                "nft lists fewer rules than it was given",
            ),
        ];
        for (text, told, why) in cases {
            let (rule, said) = completed(&text, &told);
            assert_eq!(rule, opaque);
            assert!(said.len() == 1 && said[0].contains(why), "{why}: {said:?}");
        }
    }

    #[test]
    fn what_the_words_do_not_say_in_full_stays_opaque() {
        let text = "table ip t {\n\tchain c {\n\t\tiifname \"a\" ct status dnat accept # handle 4\n\t}\n}\n";
        let told = TOLD.replace("state", "status").replace("new", "dnat");
        let (rule, said) = completed(text, &told);
        assert_eq!(said, [""; 0]);
        assert_eq!(rule, "iifname \"a\" xt match \"conntrack\" accept");
    }

    #[test]
    fn a_line_that_nft_refuses_is_left_out_and_named() {
        let text =
            "table ip t {\n\tchain c {\n\t\tiifname \"a\" ct state odd accept # handle 4\n\t}\n}\n";
        let (mut document, _) = json::read(LISTED).expect("a listing");
        let nft = |script: &str| match script.contains("odd") {
            true => Err(Refused {
                message: "nft does not load this: line 3: syntax error".into(),
                lines: vec![3],
            }),
            false => Ok(format!(
                r#"{{"nftables":[{{"rule":{{"family":"ip","table":"t","chain":"c","expr":[{{"counter":{{"packets":0,"bytes":{MARK}}}}}]}}}}]}}"#
            )),
        };
        let said = complete(&mut document, &|_| false, "t.txt", text, &nft);
        let said: Vec<String> = said.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "warning: t.txt: chain ip t c: what it says of rule 1 is not understood: nft does not load this: line 3: syntax error"
            ]
        );
    }
}
