//! Real captures of `iptables-save` beside `nft -j list ruleset`: everything is read, and every opaque statement gets its meaning.
//!
//! `testdata/iptables/every-extension` is always there; the other captures are looked for in `../shared/corpus`, or `corpus` in the directory that
//! `NFPATH_SHARED` names, and the test says aloud when they are missing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use nfpath::iptables::save::{Save, read};
use nfpath::iptables::{Family, merge, standalone, translate};
use nfpath::nft::ast::*;
use serde_json::Value;

/// What has no exact equivalent in nft, by the names that iptables gives it.
const NO_EQUIVALENT: [&str; 14] = [
    "match bpf",
    "match connlimit",
    "match eui64",
    "match hashlimit",
    "match ipv6header",
    "match physdev",
    "match policy",
    "match recent",
    "match set",
    "match string",
    "match time",
    "match u32",
    "target TPROXY",
    "target TTL",
];

fn corpus() -> Option<PathBuf> {
    let root = std::env::var_os("NFPATH_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let corpus = root.join("corpus");
    if corpus.is_dir() {
        Some(corpus)
    } else {
        eprintln!(
            "SKIPPED: no captures in {}; set NFPATH_SHARED",
            corpus.display()
        );
        None
    }
}

fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/iptables/every-extension")
}

/// The saves of a capture.
fn saves(folder: &Path) -> Vec<Save> {
    let mut saves = Vec::new();
    for (family, name) in [
        (Family::Ip, "iptables-save.txt"),
        (Family::Ip6, "ip6tables-save.txt"),
    ] {
        let Ok(text) = std::fs::read_to_string(folder.join(name)) else {
            continue;
        };
        let (save, diagnostics) = read(&text, family);
        // The one remark that iptables-save itself makes.
        let own: Vec<_> = diagnostics
            .iter()
            .filter(|d| !d.message.contains("incompatible"))
            .collect();
        assert!(own.is_empty(), "{}/{name}: {own:?}", folder.display());
        saves.push(save);
    }
    saves
}

/// The untranslated parts, by kind and name, with the texts of each.
fn unknown(save: &Save) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for table in &save.tables {
        for chain in &table.chains {
            for rule in &chain.rules {
                for part in translate::rule(rule, save, &table.name, &chain.name).parts {
                    if part
                        .stmts
                        .iter()
                        .any(|stmt| matches!(stmt, Stmt::Unknown { .. }))
                    {
                        let kind = if part.kind == translate::PartKind::Target {
                            "target"
                        } else {
                            "match"
                        };
                        found
                            .entry(format!("{kind} {}", part.name))
                            .or_default()
                            .insert(part.text);
                    }
                }
            }
        }
    }
    found
}

fn folders() -> Vec<PathBuf> {
    let Some(corpus) = corpus() else {
        return Vec::new();
    };
    let mut folders: Vec<PathBuf> = std::fs::read_dir(corpus)
        .expect("corpus")
        .map(|entry| entry.expect("entry").path())
        .collect();
    folders.sort();
    folders
}

#[test]
fn every_save_is_read_and_only_what_has_no_equivalent_stays_unknown() {
    let mut rules = 0;
    for folder in folders() {
        for save in saves(&folder) {
            rules += save
                .tables
                .iter()
                .flat_map(|t| &t.chains)
                .map(|c| c.rules.len())
                .sum::<usize>();
            for (name, texts) in unknown(&save) {
                assert!(
                    NO_EQUIVALENT.contains(&name.as_str()),
                    "{}: {name}: {texts:?}",
                    folder.display()
                );
            }
        }
    }
    eprintln!("{rules} rules read");
}

#[test]
fn every_extension_of_a_capture_gets_its_meaning() {
    let mut captures = vec![(own(), 150)];
    if let Some(corpus) = corpus() {
        captures.extend(
            [
                ("docker20-proxy-on", 29),
                ("docker20-proxy-off-icc-off-ip6", 57),
                ("firewalld-docker-seed", 1),
                ("ufw", 151),
                ("fail2ban", 0),
                ("iptables-compat-zoo", 1),
                ("firewalld-multizone", 0),
                ("nft-example-all-in-one", 0),
                ("nft-example-ipv4-mangle", 0),
            ]
            .map(|(name, least)| (corpus.join(name), least)),
        );
    }
    for (folder, least) in captures {
        let (document, opaque) = document(&folder);
        let mut meanings = merge::Meanings::default();
        for save in saves(&folder) {
            let (found, diagnostics) = merge::merge(&document, &save);
            assert_eq!(diagnostics, [], "{}", folder.display());
            meanings.extend(found);
        }
        // ebtables and arptables are another matter.
        let missing: Vec<_> = meanings
            .missing(&document)
            .into_iter()
            .filter(|(at, _)| matches!(document.objects.get(*at), Some(Object::Rule(rule)) if rule.family == "ip" || rule.family == "ip6"))
            .collect();
        assert_eq!(missing, [], "{}", folder.display());
        assert!(
            opaque >= least,
            "{}: {opaque} xt statements",
            folder.display()
        );
        eprintln!("{}: {opaque} xt statements", folder.display());
    }
}

#[test]
fn a_save_alone_becomes_the_same_chains() {
    let mut folders = folders();
    folders.push(own());
    for folder in folders {
        let saves = saves(&folder);
        let count: usize = saves
            .iter()
            .flat_map(|s| &s.tables)
            .flat_map(|t| &t.chains)
            .map(|c| c.rules.len())
            .sum();
        let (made, meanings, diagnostics) = standalone::document(&saves);
        assert_eq!(diagnostics, [], "{}", folder.display());
        assert_eq!(meanings.by_rule.len(), count);
        // Base chains stand where iptables-nft put them.
        let bases = |document: &Document| -> BTreeSet<String> {
            let chains = document.objects.iter().filter_map(|object| match object {
                Object::Chain(chain)
                    if chain.hook.is_some() && (chain.family == "ip" || chain.family == "ip6") =>
                {
                    Some(format!(
                        "{} {} {} {:?} {:?} {:?} {:?}",
                        chain.family,
                        chain.table,
                        chain.name,
                        chain.kind,
                        chain.hook,
                        chain.prio,
                        chain.policy
                    ))
                }
                _ => None,
            });
            chains.collect()
        };
        if folder.ends_with("nft-example-all-in-one") || count == 0 {
            continue;
        }
        let (listed, _) = document(&folder);
        let (listed, made) = (bases(&listed), bases(&made));
        let tables: BTreeSet<String> = saves
            .iter()
            .flat_map(|s| {
                s.tables
                    .iter()
                    .map(move |t| format!("{} {} ", s.family, t.name))
            })
            .collect();
        for chain in listed
            .iter()
            .filter(|chain| tables.iter().any(|table| chain.starts_with(table)))
        {
            assert!(
                made.contains(chain),
                "{}: {chain} is not among {made:#?}",
                folder.display()
            );
        }
    }
}

#[test]
fn a_capture_of_another_moment_is_refused_chain_by_chain() {
    let folder = own();
    let (document, _) = document(&folder);
    let text = std::fs::read_to_string(folder.join("iptables-save.txt")).expect("capture");
    let changed = text.replacen(
        "-A FORWARD -i eth0 ! -o eth0 -j DROP",
        "-A FORWARD -i eth7 ! -o eth0 -j DROP",
        1,
    );
    assert_ne!(text, changed);
    let (save, _) = read(&changed, Family::Ip);
    let (meanings, diagnostics) = merge::merge(&document, &save);
    assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
    assert!(
        diagnostics[0]
            .message
            .starts_with("chain ip filter FORWARD: rule 1 is not the rule of line "),
        "{diagnostics:?}"
    );
    let opaque: BTreeSet<String> = meanings
        .missing(&document)
        .into_iter()
        .filter_map(|(at, _)| match &document.objects[at] {
            Object::Rule(rule) if rule.family == "ip" => {
                Some(format!("{} {}", rule.table, rule.chain))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        opaque,
        BTreeSet::from(["filter FORWARD".to_owned()]),
        "other chains keep their meaning"
    );
}

// ---- just enough of a reader of nft's JSON

fn document(folder: &Path) -> (Document, usize) {
    let text = std::fs::read_to_string(folder.join("ruleset.json")).expect("ruleset.json");
    let json: Value = serde_json::from_str(&text).expect("json");
    let mut document = Document::default();
    let mut opaque = 0;
    for member in json["nftables"].as_array().expect("array") {
        let text = |value: &Value, key: &str| Str::from(value[key].as_str().unwrap_or_default());
        let maybe = |value: &Value, key: &str| value[key].as_str().map(Str::from);
        document
            .objects
            .push(if let Some(table) = member.get("table") {
                Object::Table(Table {
                    family: text(table, "family"),
                    name: text(table, "name"),
                    ..Table::default()
                })
            } else if let Some(chain) = member.get("chain") {
                Object::Chain(Chain {
                    family: text(chain, "family"),
                    table: text(chain, "table"),
                    name: text(chain, "name"),
                    kind: maybe(chain, "type"),
                    hook: maybe(chain, "hook"),
                    prio: chain["prio"].as_i64().map(Priority::Number),
                    policy: maybe(chain, "policy"),
                    ..Chain::default()
                })
            } else if let Some(rule) = member.get("rule") {
                let expr: Vec<Stmt> = rule["expr"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(stmt)
                    .collect();
                opaque += expr
                    .iter()
                    .filter(|stmt| matches!(stmt, Stmt::Xt(_)))
                    .count();
                Object::Rule(Rule {
                    family: text(rule, "family"),
                    table: text(rule, "table"),
                    chain: text(rule, "chain"),
                    expr: Some(expr),
                    ..Rule::default()
                })
            } else {
                Object::Unknown {
                    key: "other".into(),
                    value: member.clone(),
                }
            });
    }
    (document, opaque)
}

fn stmt(value: &Value) -> Stmt {
    let (key, body) = value
        .as_object()
        .and_then(|o| o.iter().next())
        .expect("statement");
    let chain = || Str::from(body["target"].as_str().unwrap_or_default());
    match key.as_str() {
        "xt" => Stmt::Xt(Xt {
            kind: body["type"].as_str().map(Str::from),
            name: body["name"].as_str().map(Str::from),
            ..Xt::default()
        }),
        "accept" => Stmt::Verdict(Verdict::Accept),
        "drop" => Stmt::Verdict(Verdict::Drop),
        "return" => Stmt::Verdict(Verdict::Return),
        "jump" => Stmt::Verdict(Verdict::Jump(chain())),
        "goto" => Stmt::Verdict(Verdict::Goto(chain())),
        "match" => {
            let op = match body["op"].as_str() {
                Some("==") => MatchOp::Eq,
                Some("!=") => MatchOp::Ne,
                Some("<=") => MatchOp::Le,
                Some("in") => MatchOp::In,
                other => MatchOp::Other(other.unwrap_or_default().into()),
            };
            Stmt::Match(Box::new(Match {
                op,
                left: expr(&body["left"]),
                right: expr(&body["right"]),
                extra: Extra::default(),
            }))
        }
        _ => Stmt::Unknown {
            key: key.as_str().into(),
            value: body.clone(),
        },
    }
}

fn expr(value: &Value) -> Expr {
    let text = |value: &Value| value.as_str().map(Str::from);
    if let Some(text) = text(value) {
        return Expr::String(text);
    }
    if let Some(n) = value.as_i64() {
        return Expr::Number(n.into());
    }
    if let Some(meta) = value.get("meta") {
        return Expr::Meta(MetaKey {
            key: text(&meta["key"]).unwrap_or_default(),
            short: false,
        });
    }
    if let Some(p) = value.get("payload") {
        return Expr::Payload(Box::new(Payload {
            protocol: text(&p["protocol"]),
            field: text(&p["field"]),
            ..Payload::default()
        }));
    }
    if let Some(terms) = value.get("&").and_then(Value::as_array) {
        return Expr::Binary(BinaryOp::And, terms.iter().map(expr).collect());
    }
    if let Some(p) = value.get("prefix") {
        let len = p["len"]
            .as_u64()
            .and_then(|len| u32::try_from(len).ok())
            .unwrap_or_default();
        return Expr::Prefix(Box::new(Prefix {
            addr: expr(&p["addr"]),
            len,
            extra: Extra::default(),
        }));
    }
    if let Some([low, high]) = value
        .get("range")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        return Expr::Range(Box::new((expr(low), expr(high))));
    }
    Expr::Unknown(Box::new(value.clone()))
}
