//! From the syntax tree of a listing to the rules that are evaluated.
//!
//! The one place that says what nft's JSON means. Mirrors nft's own `evaluate.c` and `netlink_linearize.c`: types give
//! literals their width, matches that nft leaves out of its listings are put back, flag matches become bit tests.
//! What has no meaning here becomes [`Stmt::Unknown`] and is listed in [`Ruleset::unknowns`]; lowering never fails.

mod expr;
mod set;
mod stmt;

use std::collections::HashMap;

use indexmap::IndexMap;

use self::expr::NoMeaning;
use crate::diagnostic::Diagnostic;
use crate::nft::ast::{self, Document, Object, OneOrMany, Str};
use crate::nft::ast::{UNREAD, UNTOLD};
use crate::ruleset::{
    Base, Chain, ChainId, ChainType, Dormancy, Family, Handle, Hook, Policy, Rule, RuleId, Ruleset,
    Set, SetId, Statement, Stmt, Table, TableId, Unknown, UnknownId, Untold,
};

/// What opaque iptables extensions mean: by position of the rule's object in the document, one entry per statement.
/// `None`: the statement stands for itself. `Some`: these statements in its place, and the iptables text they are from.
pub type Meanings = HashMap<usize, Vec<Meaning>>;

/// What one statement means, with its text in the words of iptables; `None`: it stands for itself.
pub type Meaning = Option<(Vec<ast::Stmt>, String)>;

/// Lowers a whole document.
pub fn lower(document: &Document, meanings: &Meanings) -> (Ruleset, Vec<Diagnostic>) {
    let mut lowering = Lowering::default();
    lowering.declare(document);
    lowering.sets(document);
    for (position, object) in document.objects.iter().enumerate() {
        if let Object::Rule(rule) = object {
            lowering.rule(rule, position, meanings.get(&position).map(Vec::as_slice));
        }
    }
    lowering.mark_volatile();
    lowering.mark_shared_names();
    (lowering.ruleset, lowering.diagnostics)
}

#[derive(Default)]
struct Lowering {
    ruleset: Ruleset,
    diagnostics: Vec<Diagnostic>,
    tables: IndexMap<(Family, Str), TableId>,
    chains: HashMap<(TableId, Str), ChainId>,
    named_sets: HashMap<(TableId, Str), SetId>,
}

/// Where a statement stands.
#[derive(Clone, Copy)]
struct Place {
    family: Family,
    table: TableId,
    rule: RuleId,
}

const SOURCE: &str = "ruleset";

impl Lowering {
    fn warn(&mut self, message: String) {
        self.diagnostics.push(Diagnostic::warning(SOURCE, message));
    }

    fn declare(&mut self, document: &Document) {
        for object in &document.objects {
            match object {
                Object::Metainfo(info) => self.ruleset.nft_version = info.version.clone(),
                Object::Table(table) => {
                    let Some(family) = self.family(&table.family, "table", &table.name) else {
                        continue;
                    };
                    let id = self.table(family, &table.name);
                    let entry = &mut self.ruleset.tables[id.index()];
                    entry.handle = Handle(table.handle.unwrap_or(0));
                    entry.comment = table.comment.clone();
                    entry.dormancy =
                        dormancy(table.flags.as_ref(), self.ruleset.nft_version.as_deref());
                }
                Object::Chain(chain) => self.chain(chain),
                Object::Flowtable(flowtable) => {
                    let Some(family) = self.family(&flowtable.family, "flowtable", &flowtable.name)
                    else {
                        continue;
                    };
                    let table = self.table(family, &flowtable.table);
                    let devices = flowtable
                        .dev
                        .as_ref()
                        .map_or(Vec::new(), |dev| dev.as_slice().to_vec());
                    self.ruleset
                        .flowtables
                        .insert((table, flowtable.name.clone()), devices);
                }
                Object::Rule(_) | Object::Set(_) | Object::Map(_) | Object::Stateful(_) => {}
                Object::Unknown { key, value } if key == UNTOLD => self.untold(value),
                Object::Unknown { key, value } => {
                    let newer = "a newer nfpath, if it knows it";
                    let (what, settle) = match value.get("what").and_then(|what| what.as_str()) {
                        Some(what) if key == UNREAD => (
                            format!("not read, {what}"),
                            "the whole text as the program wrote it",
                        ),
                        _ if key.is_empty() => ("a member that is no object".into(), newer),
                        _ => (format!("object `{key}`"), newer),
                    };
                    self.ruleset.unknowns.push(Unknown {
                        is_match: false,
                        rule: None,
                        what,
                        settle: settle.into(),
                    });
                }
            }
        }
    }

    /// Tables of iptables that no text tells.
    fn untold(&mut self, value: &serde_json::Value) {
        let word = |key: &str| value.get(key).and_then(|word| word.as_str()).unwrap_or("");
        let tables = Untold {
            what: word("what").into(),
            family: Family::from_name(word("family")),
            because: word("because").into(),
            settle: word("settle").into(),
            is_usually_none: value.get("usually").is_some(),
        };
        if !tables.is_usually_none {
            self.ruleset.unknowns.push(Unknown {
                is_match: false,
                rule: None,
                what: tables.because.clone(),
                settle: tables.settle.clone(),
            });
        }
        self.ruleset.untold.push(tables);
    }

    fn family(&mut self, name: &str, kind: &str, of: &str) -> Option<Family> {
        let family = Family::from_name(name);
        if family.is_none() {
            self.warn(format!(
                "{kind} `{of}` is of family `{name}`, which this version does not know"
            ));
            if kind == "table" {
                let table = format!("{name} {of}");
                self.ruleset.unknowns.push(Unknown {
                    is_match: false,
                    rule: None,
                    what: format!("table {table}: unknown family"),
                    settle: "a newer nfpath".into(),
                });
                self.ruleset.untold.push(Untold {
                    because: format!(
                        "table {table} is of a family that this version does not know"
                    ),
                    what: format!("table {table}"),
                    family: None,
                    settle: "a newer nfpath, if it knows its family".into(),
                    is_usually_none: false,
                });
            }
        }
        family
    }

    fn table(&mut self, family: Family, name: &Str) -> TableId {
        if let Some(&id) = self.tables.get(&(family, name.clone())) {
            return id;
        }
        let id = TableId(self.ruleset.tables.len() as u32);
        self.ruleset.tables.push(Table {
            family,
            name: name.clone(),
            handle: Handle(0),
            dormancy: Dormancy::Active,
            comment: None,
            chains: Vec::new(),
        });
        self.tables.insert((family, name.clone()), id);
        id
    }

    fn chain(&mut self, chain: &ast::Chain) {
        let Some(family) = self.family(&chain.family, "chain", &chain.name) else {
            return;
        };
        let table = self.table(family, &chain.table);
        let base = self.base(family, chain);
        let id = self.add_chain(table, &chain.name, base);
        let entry = &mut self.ruleset.chains[id.index()];
        entry.handle = Handle(chain.handle.unwrap_or(0));
        entry.comment = chain.comment.clone();
    }

    fn add_chain(&mut self, table: TableId, name: &Str, base: Option<Base>) -> ChainId {
        if let Some(&id) = self.chains.get(&(table, name.clone())) {
            return id;
        }
        let id = ChainId(self.ruleset.chains.len() as u32);
        self.ruleset.chains.push(Chain {
            table,
            name: name.clone(),
            handle: Handle(0),
            base,
            rules: Vec::new(),
            comment: None,
        });
        self.ruleset.tables[table.index()].chains.push(id);
        self.chains.insert((table, name.clone()), id);
        id
    }

    fn base(&mut self, family: Family, chain: &ast::Chain) -> Option<Base> {
        let name = chain.hook.as_ref()?;
        let Some(hook) = Hook::from_name(name) else {
            self.warn(format!(
                "chain `{}` is at hook `{name}`, which this version does not know: what it does to packets is not in the answer",
                chain.name
            ));
            return None;
        };
        let priority = match &chain.prio {
            None => 0,
            Some(ast::Priority::Number(number)) => i32::try_from(*number).unwrap_or_else(|_| {
                self.warn(format!(
                    "chain `{}` has priority {number}, out of the kernel's range; 0 is taken",
                    chain.name
                ));
                0
            }),
            Some(ast::Priority::Name(words)) => {
                priority_number(family, words).unwrap_or_else(|| {
                    self.warn(format!(
                        "chain `{}` has priority `{words}`, which is no known name; 0 is taken",
                        chain.name
                    ));
                    0
                })
            }
        };
        let policy = match chain.policy.as_deref() {
            None | Some("accept") => Policy::Accept,
            Some("drop") => Policy::Drop,
            Some(other) => {
                self.warn(format!("chain `{}` has policy `{other}`, which this version does not know; drop is taken", chain.name));
                Policy::Drop
            }
        };
        Some(Base {
            kind: match chain.kind.as_deref() {
                None | Some("filter") => ChainType::Filter,
                Some("nat") => ChainType::Nat,
                Some("route") => ChainType::Route,
                Some(other) => ChainType::Other(other.into()),
            },
            hook,
            priority,
            policy,
            devices: chain.dev.as_ref().map(|dev| dev.as_slice().to_vec()),
        })
    }

    fn rule(&mut self, rule: &ast::Rule, position: usize, meaning: Option<&[Meaning]>) {
        let Some(family) = self.family(&rule.family, "rule of chain", &rule.chain) else {
            return;
        };
        let table = self.table(family, &rule.table);
        let chain = match self.chains.get(&(table, rule.chain.clone())) {
            Some(&chain) => chain,
            None => {
                self.warn(format!(
                    "rule in chain `{}` of table {family} {}, but the listing has no such chain; was the file cut?",
                    rule.chain, rule.table
                ));
                self.add_chain(table, &rule.chain, None)
            }
        };
        let id = RuleId(self.ruleset.rules.len() as u32);
        let place = Place {
            family,
            table,
            rule: id,
        };
        self.ruleset.rules.push(Rule {
            chain,
            handle: Handle(rule.handle.unwrap_or(0)),
            index: self.ruleset.chains[chain.index()].rules.len() as u32,
            comment: rule.comment.clone(),
            statements: Box::new([]),
            source: position as u32,
        });
        self.ruleset.chains[chain.index()].rules.push(id);
        let mut body = stmt::Body::new(place);
        for (source, statement) in rule.expr.iter().flatten().enumerate() {
            body.source = source as u16;
            match meaning.and_then(|m| m.get(source)).and_then(Option::as_ref) {
                None => self.statement(statement, &mut body),
                Some((replacement, _)) => {
                    for statement in replacement {
                        self.statement(statement, &mut body);
                    }
                }
            }
        }
        if let Some((field, _)) = rule.extra.iter().next() {
            let what = format!("field `{field}` of the rule");
            // without its statements a rule may do anything
            let no_meaning = match &**field {
                "expr" => NoMeaning::of_action(what),
                _ => NoMeaning::of_match(what),
            };
            let unknown = self.unknown(place, no_meaning);
            body.statements.insert(
                0,
                Statement {
                    kind: Stmt::Unknown(unknown),
                    source: 0,
                    implied: false,
                },
            );
        }
        self.ruleset.rules[id.index()].statements = body.statements.into();
    }

    fn unknown(&mut self, place: Place, no_meaning: NoMeaning) -> UnknownId {
        let NoMeaning {
            what,
            is_match,
            settle,
        } = no_meaning;
        let settle = settle.unwrap_or_else(|| {
            if !what.starts_with("iptables ") {
                return "a version of nfpath that gives it a meaning".into();
            }
            match place.family {
                Family::Ip6 => "`ip6tables-save` of the same host (`--ip6tables-save FILE`, or `nfpath snapshot`)",
                Family::Bridge => "`ebtables-save` of the same host (`--ebtables-save FILE`, or `nfpath snapshot`)",
                _ => "`iptables-save` of the same host (`--iptables-save FILE`, or `nfpath snapshot`)",
            }
            .into()
        });
        let id = UnknownId(self.ruleset.unknowns.len() as u32);
        self.ruleset.unknowns.push(Unknown {
            is_match,
            rule: Some(place.rule),
            what,
            settle,
        });
        id
    }

    /// Rules that add to a set make its contents a moment's picture.
    fn mark_volatile(&mut self) {
        let mut updated: Vec<SetId> = Vec::new();
        for rule in &self.ruleset.rules {
            for statement in &rule.statements {
                if let Stmt::SetUpdate { set, .. } = statement.kind {
                    updated.push(set);
                }
            }
        }
        for set in updated {
            self.ruleset.sets[set.index()].volatile = true;
        }
    }

    /// Sets of one name in several tables have to be told apart by their tables.
    fn mark_shared_names(&mut self) {
        let mut tables: HashMap<&Str, usize> = HashMap::new();
        for (_, name) in self.named_sets.keys() {
            *tables.entry(name).or_default() += 1;
        }
        for ((_, name), id) in &self.named_sets {
            self.ruleset.sets[id.index()].shares_name = tables[name] > 1;
        }
    }

    fn add_set(&mut self, set: Set) -> SetId {
        let id = SetId(self.ruleset.sets.len() as u32);
        self.ruleset.sets.push(set);
        id
    }
}

fn dormancy(flags: Option<&OneOrMany<Str>>, version: Option<&str>) -> Dormancy {
    let Some(flags) = flags else {
        return Dormancy::Active;
    };
    if flags.as_slice().is_empty() {
        return Dormancy::Active;
    }
    // nft 1.0.6 prints bytes of another string for any flag
    let garbled = version.is_some_and(|v| v == "1.0.6");
    let known = |flag: &Str| matches!(flag.as_str(), "dormant" | "owner" | "persist");
    if flags.as_slice().iter().any(|flag| flag == "dormant") {
        Dormancy::Dormant
    } else if garbled || !flags.as_slice().iter().all(known) {
        Dormancy::Possibly
    } else {
        Dormancy::Active
    }
}

/// The number of a priority in words (`filter`, `dstnat - 5`), as hand-written JSON has it (nft(8), CHAINS).
fn priority_number(family: Family, words: &str) -> Option<i32> {
    let words = words.replace(' ', "");
    let split = words.find(['+', '-']).filter(|&at| at > 0);
    let (name, offset) = match split {
        Some(at) => (
            &words[..at],
            words[at..].trim_start_matches('+').parse::<i32>().ok()?,
        ),
        None => (words.as_str(), 0),
    };
    let bridge = family == Family::Bridge;
    let base = match name {
        "raw" if !bridge => -300,
        "mangle" if !bridge => -150,
        "dstnat" => {
            if bridge {
                -300
            } else {
                -100
            }
        }
        "filter" => {
            if bridge {
                -200
            } else {
                0
            }
        }
        "out" if bridge => 100,
        "security" if !bridge => 50,
        "srcnat" => {
            if bridge {
                300
            } else {
                100
            }
        }
        number => number.parse().ok()?,
    };
    Some(base + offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_in_words_follow_the_family() {
        assert_eq!(priority_number(Family::Ip, "dstnat - 5"), Some(-105));
        assert_eq!(priority_number(Family::Bridge, "filter + 10"), Some(-190));
        assert_eq!(priority_number(Family::Inet, "-7"), Some(-7));
        assert_eq!(priority_number(Family::Bridge, "raw"), None);
    }
}
