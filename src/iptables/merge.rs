//! Gives the `xt` statements of an nft listing their meaning, from `iptables-save` of the same host.
//!
//! Rule n of a chain in the one is rule n of that chain in the other; that both agree is checked on what both say natively (addresses, interfaces,
//! ports, verdicts). The native statements stay as the listing has them. A chain that does not agree is left as it is, with
//! a diagnostic: a wrong meaning would be worse than none.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::Family;
use super::save::{Chain, Rule, Save};
use super::translate::{self, Part, PartKind};
use crate::diagnostic::{Diagnostic, Severity};
use crate::nft::ast::{self, BinaryOp, Document, Expr, MatchOp, Object, Stmt, Verdict, Xt};

/// What the statements of some rules mean, told by iptables.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Meanings {
    /// By the rule's place in [`Document::objects`]: one entry for each statement of the rule, in order.
    pub by_rule: HashMap<usize, Vec<Option<Meaning>>>,
}

/// The statements that stand for one statement, and the iptables text of the match or target that they come from.
/// No statements: it always holds and does nothing to a packet's path. `None` instead of a meaning: the statement stands for itself.
pub type Meaning = (Vec<Stmt>, String);

impl Meanings {
    /// Takes over the meanings of another family or file.
    pub fn extend(&mut self, other: Meanings) {
        self.by_rule.extend(other.by_rule);
    }

    /// The meaning of statement `stmt` of the rule at `object`.
    pub fn get(&self, object: usize, stmt: usize) -> Option<&Meaning> {
        self.by_rule.get(&object)?.get(stmt)?.as_ref()
    }

    /// The `xt` statements of a document that have no meaning here, as places of object and statement.
    pub fn missing(&self, document: &Document) -> Vec<(usize, usize)> {
        rules(document)
            .flat_map(|(object, rule)| {
                rule.expr
                    .iter()
                    .flatten()
                    .enumerate()
                    .map(move |(at, stmt)| (object, at, stmt))
            })
            .filter(|(object, at, stmt)| {
                matches!(stmt, Stmt::Xt(_)) && self.get(*object, *at).is_none()
            })
            .map(|(object, at, _)| (object, at))
            .collect()
    }
}

/// Finds the meaning of every `xt` statement of the document's tables of the save's family.
pub fn merge(document: &Document, save: &Save) -> (Meanings, Vec<Diagnostic>) {
    let family = save.family;
    let mut meanings = Meanings::default();
    let mut diagnostics = Vec::new();
    let mut warn = |message: String| {
        diagnostics.push(Diagnostic {
            severity: Severity::Warning,
            source: family.save_command().to_owned(),
            message,
        });
    };

    // BTreeMap: diagnostics in an order of their own, whatever the listing's.
    let mut chains: BTreeMap<(&str, &str), Vec<(usize, &ast::Rule)>> = BTreeMap::new();
    for (object, rule) in rules(document) {
        if rule.family == family.as_str() {
            chains
                .entry((&rule.table, &rule.chain))
                .or_default()
                .push((object, rule));
        }
    }
    let saved_chains: HashMap<(&str, &str), &Chain> = save
        .tables
        .iter()
        .flat_map(|table| {
            table
                .chains
                .iter()
                .map(|chain| ((table.name.as_str(), chain.name.as_str()), chain))
        })
        .collect();
    for ((table, chain), listed) in &chains {
        let name = format!("chain {family} {table} {chain}");
        let opaque = listed.iter().filter(|(_, rule)| has_xt(rule)).count();
        if opaque == 0 {
            continue;
        }
        let Some(saved) = saved_chains.get(&(*table, *chain)) else {
            warn(format!(
                "{name}: not in {}; {opaque} of its rules use iptables extensions that only {} can explain",
                family.save_command(),
                family.save_command()
            ));
            continue;
        };
        // the listing has every rule: a line of the text that could not be read was none, or the numbers differ
        let readable = saved.without_unread();
        let saved = match readable.rules.len() == listed.len() {
            true => &readable,
            false => *saved,
        };
        if saved.rules.len() != listed.len() {
            warn(format!(
                "{name}: {} rules in the nft listing, {} in {}: the firewall changed between the two commands, or they are of different hosts; capture both again",
                listed.len(),
                saved.rules.len(),
                family.save_command()
            ));
            continue;
        }
        let mut found = Vec::new();
        let mut disagreement = None;
        for (number, ((object, rule), saved)) in listed.iter().zip(&saved.rules).enumerate() {
            match rule_meanings(rule, saved, save) {
                Ok(meaning) => found.push((*object, meaning)),
                Err(why) => {
                    disagreement = Some(format!(
                        "{name}: rule {} is not the rule of line {} of {} (`{}`): {why}; the firewall changed between the two commands, or they are of different hosts; capture both again",
                        number + 1,
                        saved.line,
                        family.save_command(),
                        saved.text
                    ));
                    break;
                }
            }
        }
        match disagreement {
            Some(why) => warn(why),
            None => meanings.by_rule.extend(
                found
                    .into_iter()
                    .filter(|(_, meaning)| meaning.iter().any(Option::is_some)),
            ),
        }
    }
    for table in &save.tables {
        let count: usize = table.chains.iter().map(|chain| chain.rules.len()).sum();
        if count > 0 && !is_listed(document, family, &table.name) {
            diagnostics.push(Diagnostic {
                severity: Severity::Warning,
                source: family.save_command().to_owned(),
                message: format!(
                    "table {family} {}: {count} rules in {}, and no such table in the nft listing: they are of {}, which nft cannot see, and are taken for that, or of a different host",
                    table.name,
                    family.save_command(),
                    family.legacy()
                ),
            });
        }
    }
    (meanings, diagnostics)
}

/// Whether each chain of a text that has rules is in the listing with as many.
pub fn has_rules_of(document: &Document, save: &Save) -> bool {
    let mut some = false;
    let same = save.tables.iter().all(|table| {
        table
            .chains
            .iter()
            .filter(|chain| !chain.rules.is_empty())
            .all(|chain| {
                some = true;
                let listed = rules(document).filter(|(_, rule)| {
                    rule.family == save.family.to_string()
                        && rule.table == table.name
                        && rule.chain == chain.name
                });
                listed.count() == chain.rules.len()
            })
    });
    some && same
}

/// Whether the listing has a table of this name.
pub fn is_listed(document: &Document, family: Family, name: &str) -> bool {
    document.objects.iter().any(|object| {
        matches!(object, Object::Table(t) if t.family == family.as_str() && t.name == name)
    })
}

fn rules(document: &Document) -> impl Iterator<Item = (usize, &ast::Rule)> {
    document
        .objects
        .iter()
        .enumerate()
        .filter_map(|(at, object)| match object {
            Object::Rule(rule) => Some((at, rule)),
            _ => None,
        })
}

fn has_xt(rule: &ast::Rule) -> bool {
    rule.expr
        .iter()
        .flatten()
        .any(|stmt| matches!(stmt, Stmt::Xt(_)))
}

/// The meanings of one rule's statements, or why the two rules are not the same.
fn rule_meanings(
    rule: &ast::Rule,
    saved: &Rule,
    save: &Save,
) -> Result<Vec<Option<Meaning>>, String> {
    let stmts = rule.expr.as_deref().unwrap_or_default();
    let translated = translate::rule(saved, save, &rule.table, &rule.chain);
    let parts = translated.parts;
    let extensions: Vec<&Xt> = stmts
        .iter()
        .filter_map(|stmt| match stmt {
            Stmt::Xt(xt) => Some(xt),
            _ => None,
        })
        .collect();
    let taken = pair(stmts, &extensions, &parts, &mut Vec::new())?;
    let mut parts: Vec<Option<Part>> = parts.into_iter().map(Some).collect();
    let mut taken = taken.into_iter();
    let meanings = stmts.iter().map(|stmt| {
        let Stmt::Xt(_) = stmt else { return None };
        let part = parts.get_mut(taken.next()?)?.take()?;
        Some((part.stmts, part.text))
    });
    Ok(meanings.collect())
}

/// Which part each extension of a listed rule is, so that the rest says what the listing says natively. Matches stand in
/// the same order in both; a target is last. One name may stand twice (`-m tcp --dport 22 -m tcp --tcp-option 2`), and one
/// of both be native: then each is tried.
fn pair(
    stmts: &[Stmt],
    extensions: &[&Xt],
    parts: &[Part],
    taken: &mut Vec<usize>,
) -> Result<Vec<usize>, String> {
    let Some(xt) = extensions.get(taken.len()) else {
        let rest = parts.iter().enumerate();
        let rest = rest.filter(|(at, _)| !taken.contains(at));
        let rest: Vec<&Part> = rest.map(|(_, part)| part).collect();
        let anonymous = extensions.iter().any(|xt| xt.name.is_none());
        if anonymous && rest.iter().any(|part| may_be_xt(part)) {
            return Err(
                "the listing does not name its extensions, and their number differs".to_owned(),
            );
        }
        return agree(stmts, &rest).map(|()| taken.clone());
    };
    let from = taken.last().map_or(0, |last| last + 1);
    let mut first = None;
    for at in from..parts.len() {
        if !is_part_of(xt, &parts[at]) {
            continue;
        }
        taken.push(at);
        let paired = pair(stmts, extensions, parts, taken);
        taken.pop();
        match paired {
            Ok(paired) => return Ok(paired),
            Err(error) => {
                first.get_or_insert(error);
            }
        }
        // what has no name is taken in order
        if xt.name.is_none() {
            break;
        }
    }
    Err(first.unwrap_or_else(|| match &xt.name {
        Some(name) => format!(
            "the listing has {} `{name}`",
            xt.kind.as_deref().unwrap_or("extension")
        ),
        None => "the listing has an extension more".to_owned(),
    }))
}

/// True when this extension of the listing can be that part of the rule.
fn is_part_of(xt: &Xt, part: &Part) -> bool {
    let Some(name) = xt.name.as_deref() else {
        return may_be_xt(part);
    };
    let kind = match part.kind {
        PartKind::Match => "match",
        PartKind::Target => "target",
        PartKind::Watcher => "watcher",
        PartKind::Basic | PartKind::Verdict => return false,
    };
    xt.kind.as_deref().is_none_or(|of| of == kind) && kernel_name(name) == kernel_name(&part.name)
}

/// Names that are aliases of one extension of the kernel.
fn kernel_name(name: &str) -> &str {
    match name {
        "state" => "conntrack",
        "NOTRACK" => "CT",
        "icmpv6" => "icmp6",
        other => other,
    }
}

/// True for a part that iptables-nft does not always write natively: `-m tcp`, `-m limit`, `-m mark`, NFLOG and TRACE it does since 1.8.0 to 1.8.8.
fn may_be_xt(part: &Part) -> bool {
    match part.kind {
        PartKind::Match => !matches!(part.name.as_str(), "limit" | "mark" | "tcp" | "udp"),
        PartKind::Target => !matches!(part.name.as_str(), "NFLOG" | "TRACE"),
        PartKind::Watcher => true,
        PartKind::Basic | PartKind::Verdict => false,
    }
}

/// Compares what both say natively.
fn agree(stmts: &[Stmt], rest: &[&Part]) -> Result<(), String> {
    let listed = facts(stmts.iter());
    let saved = facts(rest.iter().flat_map(|part| &part.stmts));
    for (key, value) in &listed {
        match saved.get(key) {
            Some(other) if other == value => {}
            Some(other) => {
                return Err(format!(
                    "{key} is `{}` in the listing and `{}` there",
                    value.join("`, `"),
                    other.join("`, `")
                ));
            }
            None => {
                return Err(format!(
                    "{key} `{}` is in the listing only",
                    value.join("`, `")
                ));
            }
        }
    }
    match saved.iter().find(|(key, _)| !listed.contains_key(*key)) {
        Some((key, value)) => Err(format!(
            "{key} `{}` is not in the listing",
            value.join("`, `")
        )),
        None => Ok(()),
    }
}

/// What a listing says natively of a rule and what another telling of the same rule does not.
pub fn contradiction(listed: &[Stmt], told: &[Stmt]) -> Option<String> {
    let told = facts(told.iter());
    facts(listed.iter()).into_iter().find_map(|(key, values)| {
        let there = told.get(&key).map(Vec::as_slice).unwrap_or_default();
        let missing = values.into_iter().find(|value| !there.contains(value))?;
        Some(format!("{key} `{missing}` is in the listing only"))
    })
}

/// What a rule says in words that iptables-nft always writes natively, by key.
fn facts<'a>(stmts: impl Iterator<Item = &'a Stmt>) -> BTreeMap<String, Vec<String>> {
    let mut facts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for stmt in stmts {
        let (key, value) = match stmt {
            Stmt::Match(m) => {
                let Some(key) = fact_key(&m.left) else {
                    continue;
                };
                // a list of ebtables is a set, in an order of its own
                if key.starts_with("ether ") && !matches!(m.right, Expr::String(_)) {
                    continue;
                }
                let Some(value) = fact_value(&m.op, &m.right) else {
                    continue;
                };
                (key, value)
            }
            Stmt::Verdict(verdict) => {
                let text = match verdict {
                    Verdict::Accept => "accept".to_owned(),
                    Verdict::Drop => "drop".to_owned(),
                    Verdict::Return => "return".to_owned(),
                    Verdict::Jump(chain) => format!("jump {chain}"),
                    Verdict::Goto(chain) => format!("goto {chain}"),
                    Verdict::Continue => continue,
                };
                ("verdict".to_owned(), text)
            }
            _ => continue,
        };
        facts.entry(key).or_default().push(value);
    }
    for values in facts.values_mut() {
        values.sort();
    }
    facts
}

fn fact_key(left: &Expr) -> Option<String> {
    match left {
        Expr::Meta(meta) if matches!(meta.key.as_str(), "iifname" | "oifname") => {
            Some(meta.key.to_string())
        }
        Expr::Payload(payload) => match (payload.protocol.as_deref(), payload.field.as_deref()) {
            (Some(protocol @ ("ip" | "ip6")), Some(field @ ("saddr" | "daddr"))) => {
                Some(format!("{protocol} {field}"))
            }
            (Some("ether"), Some(field @ ("saddr" | "daddr"))) => Some(format!("ether {field}")),
            (Some(protocol @ ("tcp" | "udp")), Some(field @ ("sport" | "dport"))) => {
                Some(format!("{protocol} {field}"))
            }
            _ => None,
        },
        Expr::Binary(BinaryOp::And, terms) => match terms.as_slice() {
            [left, mask] => fact_key(left)
                .filter(|key| key.starts_with("ip"))
                .map(|key| format!("{key} & {}", spell(mask))),
            _ => None,
        },
        _ => None,
    }
}

/// A comparison in one spelling. The kernel has `<= 1023` for ports 0 to 1023, and `> 1023` for its inverse.
fn fact_value(op: &MatchOp, right: &Expr) -> Option<String> {
    let inverted = matches!(op, MatchOp::Ne | MatchOp::Not);
    let ends = match (op, right) {
        (MatchOp::Le, Expr::Number(n)) => Some((0, *n)),
        (MatchOp::Lt, Expr::Number(n)) => Some((0, n - 1)),
        (MatchOp::Ge, Expr::Number(n)) => Some((*n, 65535)),
        (MatchOp::Gt, Expr::Number(n)) => Some((n + 1, 65535)),
        (MatchOp::Eq | MatchOp::In | MatchOp::Ne | MatchOp::Not, Expr::Range(ends)) => {
            match (&ends.0, &ends.1) {
                (Expr::Number(low), Expr::Number(high)) => Some((*low, *high)),
                _ => None,
            }
        }
        (MatchOp::Eq | MatchOp::In | MatchOp::Ne | MatchOp::Not, _) => None,
        _ => return None,
    };
    Some(match (inverted, ends) {
        (true, Some((0, high))) => format!("{}-65535", high + 1),
        (true, Some((low, 65535))) => format!("0-{}", low - 1),
        (true, Some((low, high))) => format!("!{low}-{high}"),
        (false, Some((low, high))) => format!("{low}-{high}"),
        (true, None) => format!("!{}", spell(right)),
        (false, None) => spell(right),
    })
}

/// A value in one spelling, however a version writes it.
fn spell(value: &Expr) -> String {
    match value {
        Expr::String(text) => match text.parse::<IpAddr>() {
            Ok(address) => address.to_string(),
            Err(_) => text.to_string(),
        },
        Expr::Number(n) => n.to_string(),
        Expr::Prefix(prefix) => format!("{}/{}", spell(&prefix.addr), prefix.len),
        Expr::Range(ends) => format!("{}-{}", spell(&ends.0), spell(&ends.1)),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iptables::{Family, save};

    const SAVE: &str = "*filter\n:FORWARD DROP [0:0]\n:DOCKER - [0:0]\n\
        -A FORWARD -i eth0 -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment x -j ACCEPT\n\
        -A FORWARD -d 10.0.0.1/32 -p tcp -m tcp --dport 80 -m addrtype --dst-type LOCAL -j DOCKER\nCOMMIT\n";

    fn xt(kind: &str, name: &str) -> Stmt {
        Stmt::Xt(Xt {
            kind: Some(kind.into()),
            name: Some(name.into()),
            ..Xt::default()
        })
    }

    /// What the listing says of [`SAVE`]: the translation with its extensions hidden again.
    fn listing(text: &str) -> Document {
        let (save, _) = save::read(text, Family::Ip);
        let mut document = Document::default();
        for table in &save.tables {
            document.objects.push(Object::Table(ast::Table {
                family: "ip".into(),
                name: table.name.as_str().into(),
                ..ast::Table::default()
            }));
            for chain in &table.chains {
                for rule in &chain.rules {
                    let mut expr = Vec::new();
                    for part in translate::rule(rule, &save, &table.name, &chain.name).parts {
                        match part.kind {
                            PartKind::Match if part.name != "tcp" => {
                                expr.push(xt("match", &part.name))
                            }
                            PartKind::Target => expr.push(xt("target", &part.name)),
                            _ => expr.extend(part.stmts),
                        }
                    }
                    document.objects.push(Object::Rule(ast::Rule {
                        family: "ip".into(),
                        table: table.name.as_str().into(),
                        chain: chain.name.as_str().into(),
                        expr: Some(expr),
                        ..ast::Rule::default()
                    }));
                }
            }
        }
        document
    }

    fn merged(document: &Document, text: &str) -> (Meanings, Vec<String>) {
        let (save, _) = save::read(text, Family::Ip);
        let (meanings, diagnostics) = merge(document, &save);
        (
            meanings,
            diagnostics.into_iter().map(|d| d.message).collect(),
        )
    }

    #[test]
    fn every_extension_gets_its_meaning() {
        let document = listing(SAVE);
        let (meanings, diagnostics) = merged(&document, SAVE);
        assert_eq!(diagnostics, Vec::<String>::new());
        assert_eq!(meanings.missing(&document), []);
        let texts: Vec<Option<&str>> = meanings.by_rule[&1]
            .iter()
            .map(|m| m.as_ref().map(|(_, text)| text.as_str()))
            .collect();
        assert_eq!(
            texts,
            [
                None,
                None,
                Some("-m conntrack --ctstate RELATED,ESTABLISHED"),
                Some("-m comment --comment x"),
                None
            ]
        );
        assert_eq!(
            meanings.get(1, 3).map(|(stmts, _)| stmts.len()),
            Some(0),
            "a comment has no statements"
        );
    }

    #[test]
    fn another_number_of_rules_is_told() {
        let document = listing(SAVE);
        let shorter: String = SAVE
            .lines()
            .filter(|line| !line.contains("addrtype"))
            .flat_map(|line| [line, "\n"])
            .collect();
        let (meanings, diagnostics) = merged(&document, &shorter);
        assert_eq!(
            diagnostics,
            [
                "chain ip filter FORWARD: 2 rules in the nft listing, 1 in iptables-save: the firewall changed between the two commands, or they are of different hosts; capture both again"
            ]
        );
        assert_eq!(meanings.missing(&document).len(), 3);
    }

    #[test]
    fn one_match_that_stands_twice_is_paired_with_the_part_that_is_opaque() {
        // what nft 1.0.6 lists of `iptables-nft -p tcp --dport 22 -m tcp --tcp-option 2`
        let text = r#"{"nftables": [
            {"table": {"family": "ip", "name": "filter", "handle": 1}},
            {"chain": {"family": "ip", "table": "filter", "name": "INPUT", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}},
            {"rule": {"family": "ip", "table": "filter", "chain": "INPUT", "handle": 2, "expr": [
                {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}},
                {"xt": {"type": "match", "name": "tcp"}}, {"counter": {"packets": 0, "bytes": 0}}, {"accept": null}]}}]}"#;
        let (document, _) = crate::nft::json::read(text).expect("a listing");
        let save = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -m tcp --tcp-option 2 -j ACCEPT\nCOMMIT\n";
        let (meanings, diagnostics) = merged(&document, save);
        let none: [&str; 0] = [];
        assert_eq!(diagnostics, none);
        assert!(meanings.missing(&document).is_empty());
    }

    #[test]
    fn another_rule_is_told() {
        let document = listing(SAVE);
        for (from, to, why) in [
            (
                "-i eth0",
                "-i eth1",
                "iifname is `eth0` in the listing and `eth1` there",
            ),
            (
                "10.0.0.1/32",
                "10.0.0.0/8",
                "ip daddr is `10.0.0.1` in the listing and `10.0.0.0/8` there",
            ),
            (
                "--dport 80",
                "--dport 81",
                "tcp dport is `80` in the listing and `81` there",
            ),
            (
                "-j ACCEPT",
                "-j DROP",
                "verdict is `accept` in the listing and `drop` there",
            ),
            (
                "-m conntrack --ctstate RELATED,ESTABLISHED",
                "-m mark --mark 1",
                "the listing has match `conntrack`",
            ),
            ("-o docker0", "", "oifname `docker0` is in the listing only"),
            (
                "-p tcp -m tcp",
                "-s 10.9.9.9 -p tcp -m tcp",
                "ip saddr `10.9.9.9` is not in the listing",
            ),
        ] {
            let (meanings, diagnostics) = merged(&document, &SAVE.replace(from, to));
            assert_eq!(diagnostics.len(), 1, "{to}");
            assert!(diagnostics[0].contains(why), "{to}: {}", diagnostics[0]);
            assert!(
                meanings.by_rule.is_empty(),
                "{to}: the whole chain stays opaque"
            );
        }
    }

    #[test]
    fn a_missing_chain_and_a_legacy_table_are_told() {
        let document = listing(SAVE);
        let (_, diagnostics) = merged(
            &document,
            "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n",
        );
        assert_eq!(
            diagnostics,
            [
                "chain ip filter FORWARD: not in iptables-save; 2 of its rules use iptables extensions that only iptables-save can explain",
                "table ip nat: 1 rules in iptables-save, and no such table in the nft listing: they are of iptables-legacy, which nft cannot see, and are taken for that, or of a different host",
            ]
        );
    }

    /// What nft 1.0.6 lists of rules of ebtables-nft 1.8.9, with the policy of a user chain as its last rule.
    #[test]
    fn rules_of_ebtables_get_their_meaning() {
        let read = |name: &str| {
            let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
            std::fs::read_to_string(root.join("testdata/iptables/ebtables").join(name))
                .expect("a capture")
        };
        let (document, _) = crate::nft::json::read(&read("ruleset.json")).expect("a listing");
        let text = read("ebtables-save.txt");
        let merged = |text: &str| {
            let (save, said) = save::read(text, Family::Bridge);
            assert_eq!(said, []);
            let (meanings, diagnostics) = merge(&document, &save);
            let said: Vec<String> = diagnostics.into_iter().map(|d| d.message).collect();
            (meanings, said)
        };
        let (meanings, said) = merged(&text);
        assert_eq!(said, [""; 0]);
        assert_eq!(meanings.missing(&document), []);
        for (from, to, why) in [
            (
                ":mine DROP",
                ":mine RETURN",
                "chain bridge filter mine: 3 rules in the nft listing, 2 in ebtables-save",
            ),
            (
                "-d 00:11:22:33:44:55 -j dnat --to-dst 00:11:22:33:44:66 --dnat-target CONTINUE",
                "-d 00:11:22:33:44:56 -j dnat --to-dst 00:11:22:33:44:66 --dnat-target CONTINUE",
                "ether daddr is `00:11:22:33:44:55` in the listing and `00:11:22:33:44:56` there",
            ),
            (
                "--pkttype-type broadcast",
                "--mark 5",
                "the listing has match `pkttype`",
            ),
            (
                "--log-level notice -j CONTINUE",
                "--nflog-group 2 -j CONTINUE",
                "the listing has watcher `log`",
            ),
        ] {
            assert!(text.contains(from), "{from}");
            let (meanings, said) = merged(&text.replace(from, to));
            let [said] = said.as_slice() else {
                panic!("{to}: {said:?}")
            };
            assert!(said.contains(why), "{to}: {said}");
            assert!(!meanings.missing(&document).is_empty());
        }
    }

    #[test]
    fn extensions_without_names_are_taken_in_order() {
        let mut document = listing(SAVE);
        for object in &mut document.objects {
            if let Object::Rule(rule) = object {
                for stmt in rule.expr.iter_mut().flatten() {
                    if let Stmt::Xt(xt) = stmt {
                        *xt = Xt {
                            null: true,
                            ..Xt::default()
                        };
                    }
                }
            }
        }
        let (meanings, diagnostics) = merged(&document, SAVE);
        assert_eq!(diagnostics, Vec::<String>::new());
        assert_eq!(meanings.missing(&document), []);
    }
}
