//! Which rule of a ruleset somebody has in mind: by its key, by iptables text as it was typed, or by words of its text.
//!
//! Rules of iptables are told apart by what they mean, whatever the order of their options: the text is read as
//! iptables-save would be, put into the chain, and lowered like every other rule.

use std::collections::BTreeSet;

use crate::host::Host;
use crate::iptables::{self, save, translate};
use crate::load::{Insertion, Loaded, origin};
use crate::ruleset::protocol::Base;
use crate::ruleset::{
    Chain, ChainId, Effect, Expr, Field, Match, MetaKey, Operand, RuleId, Ruleset, Set, SetId, Stmt,
};

use super::build::{Sources, rule_ref, rule_text};

/// Where the protocol stands in an IPv4 header, in bits.
const PROTOCOL_AT: u32 = 72;
/// How many rules an error names.
const NAMED: usize = 5;

/// Why no rule could be chosen. One line, lower case, no final period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRule {
    #[error(
        "`{text}`: no rule has these words{near}; `nfpath show RULESET` lists all rules with their handles"
    )]
    None { text: String, near: String },
    #[error("`{text}`: no rule says this{near}")]
    NoneOfIptables { text: String, near: String },
    #[error("`{text}`: the ruleset has no chain {chain}{near}")]
    NoChain {
        text: String,
        chain: String,
        near: String,
    },
    #[error("`{text}`: not a rule that iptables could read: {why}")]
    NotRead { text: String, why: String },
    #[error("`{text}`: chain {chain} has {rules}{by_handle}")]
    NoSuchPlace {
        text: String,
        chain: String,
        rules: String,
        by_handle: String,
    },
    #[error(
        "`{text}` fits {count} rules: {some}; say which with `FAMILY TABLE CHAIN #HANDLE`, or `FAMILY TABLE CHAIN NUMBER` counted from 1"
    )]
    Several {
        text: String,
        count: usize,
        some: String,
    },
}

/// Finds a rule by `FAMILY TABLE CHAIN #HANDLE` or `… handle HANDLE`, by `FAMILY TABLE CHAIN NUMBER` (from 1, as
/// `iptables -L --line-numbers` counts), by iptables text (`-A INPUT -p tcp --dport 22 -j ACCEPT`), or by words of its
/// text or comment. The family and the table may be left out; `v6` says which IP protocol is meant where both would fit.
///
/// # Errors
/// When no rule or several fit.
pub fn find(loaded: &Loaded, host: &Host, v6: bool, text: &str) -> Result<RuleId, NoRule> {
    let finder = Finder {
        loaded,
        sources: Sources::of(loaded, host),
        v6,
        text,
    };
    if let Some(key) = Key::of(text) {
        let chains = finder.chains(&key.chain);
        if !chains.is_empty() {
            return finder.by_key(&key, &chains);
        }
    }
    match Typed::of(text) {
        Some(typed) => finder.by_iptables(&typed),
        None => finder.by_words(),
    }
}

/// `FAMILY TABLE CHAIN` with a handle or a place.
struct Key {
    chain: String,
    number: u64,
    is_handle: bool,
}

impl Key {
    fn of(text: &str) -> Option<Key> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (number, rest) = words.split_last()?;
        let (rest, said) = match rest.split_last() {
            Some((&word @ ("handle" | "rule"), chain)) => (chain, Some(word)),
            _ => (rest, None),
        };
        let marked = number.strip_prefix('#');
        let is_handle = match (said, marked) {
            (Some("rule"), _) => false,
            (Some(_), _) | (None, Some(_)) => true,
            (None, None) => false,
        };
        (!rest.is_empty()).then_some(())?;
        Some(Key {
            chain: rest.join(" "),
            number: marked.unwrap_or(number).parse().ok()?,
            is_handle,
        })
    }
}

/// A rule as somebody typed it for iptables.
struct Typed {
    /// Said by the program's name.
    family: Option<iptables::Family>,
    /// `-D CHAIN NUMBER`, `-R CHAIN NUMBER …`
    place: Option<u64>,
    /// In the words of iptables-save: `-A CHAIN …`; without a chain when the text names none.
    line: String,
    has_chain: bool,
}

impl Typed {
    /// `None` for a text that has no form of iptables.
    fn of(text: &str) -> Option<Typed> {
        let mut family = None;
        let mut rest = text.trim();
        // the counters of `iptables-save -c`
        if let Some((counters, behind)) = rest.strip_prefix('[').and_then(|r| r.split_once(']'))
            && counters.bytes().all(|b| b.is_ascii_digit() || b == b':')
        {
            rest = behind.trim_start();
        }
        loop {
            let (word, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let program = word.rsplit('/').next().unwrap_or(word);
            family = match program {
                "sudo" | "-w" | "--wait" | "-n" => family,
                _ if program.starts_with("ip6tables") => Some(iptables::Family::Ip6),
                _ if program.starts_with("iptables") => Some(iptables::Family::Ip),
                _ if program.starts_with("ebtables") => Some(iptables::Family::Bridge),
                _ => break,
            };
            rest = behind.trim_start();
        }
        if !rest.starts_with('-') && !rest.starts_with("! -") {
            return None;
        }
        let words = save::words(rest);
        let at = words.iter().position(|word| {
            matches!(
                word.as_str(),
                "-A" | "--append"
                    | "-I"
                    | "--insert"
                    | "-D"
                    | "--delete"
                    | "-R"
                    | "--replace"
                    | "-C"
                    | "--check"
            )
        });
        let Some(at) = at else {
            return Some(Typed {
                family,
                place: None,
                line: rest.into(),
                has_chain: false,
            });
        };
        let chain = words.get(at + 1)?;
        let number = words.get(at + 2).and_then(|word| word.parse::<u64>().ok());
        let is_delete = matches!(words[at].as_str(), "-D" | "--delete");
        // the place of an insertion says where a new rule would stand
        let place = number.filter(|_| is_delete);
        let (before, behind) = rest.split_once(words[at].as_str())?;
        let behind = behind.trim_start();
        let behind = behind
            .strip_prefix(chain.as_str())
            .unwrap_or(behind)
            .trim_start();
        let behind = match (number, behind.split_once(char::is_whitespace)) {
            (Some(_), Some((_, behind))) => behind,
            (Some(_), None) => "",
            (None, _) => behind,
        };
        Some(Typed {
            family,
            place,
            line: format!("-A {chain} {} {behind}", before.trim()).replace("  ", " "),
            has_chain: true,
        })
    }

    /// Table, chain and rule, as a text of this family would have them.
    fn read(&self, family: iptables::Family) -> Result<(String, String, save::Rule), String> {
        let line = match self.has_chain {
            true => self.line.clone(),
            false => format!("-A - {}", self.line),
        };
        let (save, notes) = save::read(&line, family);
        if let Some(note) = notes.first() {
            return Err(note.message.clone());
        }
        for table in save.tables {
            for chain in table.chains {
                if let Some(rule) = chain.rules.into_iter().next() {
                    if let Some(target) = &rule.target
                        && let Some(option) = target.options.first()
                        && !translate::is_target(family, &target.name)
                    {
                        return Err(format!("option not understood: `{}`", option.name));
                    }
                    return Ok((table.name, chain.name, rule));
                }
            }
        }
        Err("it is of the other address family".into())
    }
}

struct Finder<'a> {
    loaded: &'a Loaded,
    sources: Sources<'a>,
    v6: bool,
    text: &'a str,
}

/// One part of a rule's meaning, and the iptables text it came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    meaning: String,
    origin: Option<String>,
}

impl Finder<'_> {
    fn all(&self) -> impl Iterator<Item = RuleId> {
        self.sources.ruleset.rule_ids()
    }

    /// The chains of this name, with or without table and family.
    fn chains(&self, name: &str) -> Vec<ChainId> {
        let ruleset = self.sources.ruleset;
        let fits = |id: ChainId, chain: &Chain| {
            let table = ruleset.table_of(id);
            let short = format!("{} {}", table.name, chain.name);
            chain.name == name || short == name || format!("{} {short}", table.family) == name
        };
        ruleset
            .chains()
            .filter(|(id, chain)| fits(*id, chain))
            .map(|(id, _)| id)
            .collect()
    }

    fn by_key(&self, key: &Key, chains: &[ChainId]) -> Result<RuleId, NoRule> {
        let ruleset = self.sources.ruleset;
        let rules_of = |chain: &ChainId| ruleset.chain(*chain).rules.iter().copied();
        let with_handle = |id: &RuleId| {
            let handle = ruleset.rule(*id).handle.0;
            handle != 0 && handle == key.number
        };
        let found: Vec<RuleId> = chains
            .iter()
            .flat_map(|chain| {
                let at = |id: &RuleId| u64::from(ruleset.rule(*id).index) + 1 == key.number;
                rules_of(chain).filter(move |id| {
                    if key.is_handle {
                        with_handle(id)
                    } else {
                        at(id)
                    }
                })
            })
            .collect();
        if let Some(chain) = chains.first()
            && found.is_empty()
        {
            let count = rules_of(chain).count();
            let rules = match (count, key.is_handle) {
                (_, true) => format!("no rule with handle {}", key.number),
                (1, false) => "1 rule".into(),
                (_, false) => format!("{count} rules"),
            };
            let by_handle = match chains.iter().flat_map(rules_of).find(with_handle) {
                Some(_) if !key.is_handle => {
                    format!("; the rule with that handle is `#{}`", key.number)
                }
                _ => String::new(),
            };
            return Err(NoRule::NoSuchPlace {
                text: self.text.into(),
                chain: key.chain.clone(),
                rules,
                by_handle,
            });
        }
        self.one_of(found)
    }

    fn by_words(&self) -> Result<RuleId, NoRule> {
        let ruleset = self.sources.ruleset;
        let wanted = plain(self.text);
        let whole = |id: RuleId| {
            let rule = ruleset.rule(id);
            let comment = rule.comment.as_deref().unwrap_or("");
            let chain = &ruleset.chain(rule.chain).name;
            plain(&format!(
                "{chain} {} {comment}",
                rule_text(self.sources, id)
            ))
        };
        let exact: Vec<RuleId> = self
            .all()
            .filter(|id| plain(&rule_text(self.sources, *id)) == wanted)
            .collect();
        let found = match exact.is_empty() {
            true if wanted.trim().is_empty() => Vec::new(),
            true => self
                .all()
                .filter(|id| whole(*id).contains(&wanted))
                .collect(),
            false => exact,
        };
        if found.is_empty() {
            let asked: BTreeSet<&str> = wanted.split(' ').filter(|word| !word.is_empty()).collect();
            let near = self.nearest(self.all(), asked.len(), |id| {
                let words = whole(id);
                let has: BTreeSet<&str> = words.split(' ').collect();
                asked.intersection(&has).count()
            });
            return Err(NoRule::None {
                text: self.text.into(),
                near,
            });
        }
        self.one_of(found)
    }

    fn by_iptables(&self, typed: &Typed) -> Result<RuleId, NoRule> {
        let text = || self.text.to_string();
        let usual = match self.v6 {
            true => [
                iptables::Family::Ip6,
                iptables::Family::Ip,
                iptables::Family::Bridge,
            ],
            false => [
                iptables::Family::Ip,
                iptables::Family::Ip6,
                iptables::Family::Bridge,
            ],
        };
        let families: Vec<iptables::Family> = usual
            .into_iter()
            .filter(|family| typed.family.is_none_or(|said| said == *family))
            .collect();
        let mut problem = None;
        let mut near = String::new();
        let mut no_chain = None;
        let mut has_chain = false;
        for family in families {
            let (table, chain, rule) = match typed.read(family) {
                Ok(read) => read,
                Err(why) => {
                    problem.get_or_insert(why);
                    continue;
                }
            };
            let chains = self.chains_of(family, &table, typed.has_chain.then_some(&chain));
            if chains.is_empty() {
                no_chain.get_or_insert(format!("{chain} in table {family} {table}"));
                continue;
            }
            has_chain = true;
            if let Some(place) = typed.place {
                let key = Key {
                    chain: format!("{family} {table} {chain}"),
                    number: place,
                    is_handle: false,
                };
                return self.by_key(&key, &chains);
            }
            let mut found = Vec::new();
            let mut some_near = Vec::new();
            for chain in chains {
                let (same, shared) = self.in_chain(chain, family, &rule);
                found.extend(same);
                some_near.extend(shared);
            }
            if !found.is_empty() {
                return self.one_of(self.with_comment(found, &rule));
            }
            if near.is_empty() {
                let count = |id| {
                    let found = some_near.iter().find(|(of, _)| *of == id);
                    found.map_or(0, |(_, count)| *count)
                };
                near = self.nearest(some_near.iter().map(|(id, _)| *id), 1, count);
            }
        }
        Err(match (no_chain, problem) {
            (Some(chain), _) if !has_chain => NoRule::NoChain {
                text: text(),
                chain,
                near: self.like_chain(typed),
            },
            (None, Some(why)) if !has_chain => NoRule::NotRead { text: text(), why },
            _ => NoRule::NoneOfIptables { text: text(), near },
        })
    }

    /// The chains of a table of iptables, of both back ends.
    fn chains_of(
        &self,
        family: iptables::Family,
        table: &str,
        chain: Option<&String>,
    ) -> Vec<ChainId> {
        let ruleset = self.sources.ruleset;
        let fits = |id: ChainId, own: &Chain| {
            let of = ruleset.table_of(id);
            let name = of.name.strip_suffix(" (legacy)").unwrap_or(&of.name);
            of.family.name() == family.as_str()
                // a text without a chain may be of any table
                && chain.is_none_or(|chain| name == table && own.name == *chain)
        };
        ruleset
            .chains()
            .filter(|(id, own)| fits(*id, own))
            .map(|(id, _)| id)
            .collect()
    }

    /// The rules of a chain that mean what the text means, and how much the others have in common with it.
    fn in_chain(
        &self,
        chain: ChainId,
        family: iptables::Family,
        rule: &save::Rule,
    ) -> (Vec<RuleId>, Vec<(RuleId, usize)>) {
        let ruleset = self.sources.ruleset;
        let own = ruleset.chain(chain);
        let table = ruleset.table_of(chain);
        let mut rule = rule.clone();
        if let Some(target) = &mut rule.target {
            let is_chain = |id: &ChainId| ruleset.chain(*id).name == target.name;
            target.is_chain = table.chains.iter().any(is_chain);
        }
        let save = save::Save {
            family,
            tables: Vec::new(),
            generator: None,
            sets: Default::default(),
            unread: Vec::new(),
            cut: None,
        };
        let translated = translate::rule(&rule, &save, &table.name, &own.name);
        let texts: Vec<String> = translated.stmts().map(|(_, text)| text.into()).collect();
        let with_it = self.loaded.with_rules(&[Insertion {
            family: table.family,
            table: table.name.clone(),
            chain: own.name.clone(),
            index: own.rules.len(),
            statements: translated.stmts().map(|(stmt, _)| stmt.clone()).collect(),
        }]);
        let all = &with_it.ruleset;
        let Some((&asked, others)) = all.chain(chain).rules.split_last() else {
            return (Vec::new(), Vec::new());
        };
        let parts = |id: RuleId, texts: Option<&[String]>| -> Vec<Part> {
            let rule = all.rule(id);
            let mut parts: Vec<Part> = rule
                .statements
                .iter()
                .filter_map(|one| {
                    let at = usize::from(one.source);
                    let origin = match texts {
                        Some(texts) => texts.get(at).cloned(),
                        None => origin(&with_it.meanings, rule.source as usize, at)
                            .map(ToString::to_string),
                    };
                    let meaning = meaning(all, &one.kind)?;
                    Some(Part { meaning, origin })
                })
                .collect();
            parts.sort();
            parts.dedup_by(|a, b| a.meaning == b.meaning);
            parts
        };
        let wanted = parts(asked, Some(&texts));
        // what the text says of an ipset is not known without its content, and still the same words
        let alike = |a: &Part, b: &Part| {
            a.meaning == b.meaning || (a.origin.is_some() && a.origin == b.origin)
        };
        let mut same = Vec::new();
        let mut shared = Vec::new();
        for (place, id) in others.iter().enumerate() {
            let has = parts(*id, None);
            let in_both = |some: &[Part], other: &[Part]| {
                let found = |one: &&Part| other.iter().any(|two| alike(one, two));
                some.iter().filter(found).count()
            };
            let Some(own) = own.rules.get(place) else {
                continue;
            };
            let common = in_both(&wanted, &has);
            if common == wanted.len() && in_both(&has, &wanted) == has.len() {
                same.push(*own);
            } else {
                shared.push((*own, common));
            }
        }
        (same, shared)
    }

    /// Of several rules of one meaning those with the comment that the text has.
    fn with_comment(&self, found: Vec<RuleId>, rule: &save::Rule) -> Vec<RuleId> {
        let comment = rule
            .matches
            .iter()
            .filter(|m| m.name == "comment")
            .flat_map(|m| &m.options)
            .find_map(|opt| opt.values.first());
        let ruleset = self.sources.ruleset;
        let commented: Vec<RuleId> = found
            .iter()
            .copied()
            .filter(|id| ruleset.rule(*id).comment.as_deref() == comment.map(String::as_str))
            .collect();
        match commented.is_empty() {
            true => found,
            false => commented,
        }
    }

    /// A chain of that name in another table or family.
    fn like_chain(&self, typed: &Typed) -> String {
        let words = save::words(&typed.line);
        let Some(chain) = words.get(1) else {
            return String::new();
        };
        let ruleset = self.sources.ruleset;
        let same = |id: &ChainId| ruleset.chain(*id).name.eq_ignore_ascii_case(chain);
        let found: Vec<String> = ruleset
            .chains()
            .map(|(id, _)| id)
            .filter(same)
            .take(NAMED)
            .map(|id| {
                let table = ruleset.table_of(id);
                format!("{} {} {}", table.family, table.name, ruleset.chain(id).name)
            })
            .collect();
        match found.is_empty() {
            true => String::new(),
            false => format!("; there is {}", found.join(", ")),
        }
    }

    /// The rules with most in common, best first.
    fn nearest(
        &self,
        rules: impl Iterator<Item = RuleId>,
        least: usize,
        common: impl Fn(RuleId) -> usize,
    ) -> String {
        let mut found: Vec<(usize, RuleId)> = rules
            .map(|id| (common(id), id))
            .filter(|(count, _)| *count > 0 && *count * 2 >= least)
            .collect();
        found.sort_by_key(|(count, id)| (usize::MAX - count, *id));
        let said: Vec<String> = found
            .iter()
            .take(3)
            .map(|(_, id)| {
                let at = rule_ref(self.sources.ruleset, *id);
                format!("{at} (`{}`)", rule_text(self.sources, *id))
            })
            .collect();
        match said.is_empty() {
            true => String::new(),
            false => format!("; near it come {}", said.join(", ")),
        }
    }

    fn one_of(&self, found: Vec<RuleId>) -> Result<RuleId, NoRule> {
        match found.as_slice() {
            [only] => Ok(*only),
            several => Err(NoRule::Several {
                text: self.text.to_string(),
                count: several.len(),
                some: several
                    .iter()
                    .take(NAMED)
                    .map(|id| rule_ref(self.sources.ruleset, *id).to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
        }
    }
}

/// Words with single spaces, without what a listing may or may not have.
fn plain(text: &str) -> String {
    let words: Vec<&str> = text
        .split_whitespace()
        .filter(|word| *word != "counter")
        .collect();
    words.join(" ").replace('"', "")
}

/// What a statement means, equal for statements that mean the same; `None` for those that say nothing about packets.
fn meaning(ruleset: &Ruleset, stmt: &Stmt) -> Option<String> {
    let text = match stmt {
        Stmt::NoEffect(Effect::Counter | Effect::Comment) => return None,
        Stmt::Unknown(id) => {
            let unknown = ruleset.unknown(*id);
            return Some(format!("unknown {}", unknown.what));
        }
        // `ip protocol` and `meta l4proto` are the same test
        Stmt::Match(Match {
            left,
            op,
            right,
            data_type: _,
            or_absent,
        }) => {
            let left = match left {
                Expr::Field(Field::Payload {
                    base: Base::Nh,
                    offset: PROTOCOL_AT,
                    len: 8,
                }) => &Expr::Field(Field::Meta(MetaKey::L4proto)),
                other => other,
            };
            let right = match right {
                Operand::Set(id) => set_content(ruleset, *id),
                Operand::Value(value) => format!("{value}..{value}"),
                Operand::Range(low, high) => format!("{low}..{high}"),
                Operand::Expr(expr) => format!("{expr:?}"),
            };
            return Some(format!("{left:?} {op:?} {right} {or_absent}"));
        }
        other => format!("{other:?}"),
    };
    // anonymous sets have numbers of their own in each rule
    let mut resolved = String::new();
    let mut rest = text.as_str();
    while let Some((before, behind)) = rest.split_once("SetId(") {
        let (number, behind) = behind.split_once(')').unwrap_or((behind, ""));
        resolved.push_str(before);
        match number.parse() {
            Ok(id) => resolved.push_str(&set_content(ruleset, SetId(id))),
            Err(_) => resolved.push_str(number),
        }
        rest = behind;
    }
    Some(resolved + rest)
}

fn set_content(ruleset: &Ruleset, id: SetId) -> String {
    let Some(set) = ruleset.sets.get(id.index()) else {
        return String::new();
    };
    if let Some(name) = &set.name {
        return format!("@{name}");
    }
    let mut elements: Vec<String> = set
        .elements()
        .iter()
        .map(|element| match &*element.key {
            [(low, high)] => format!("{low}..{high}{}", datum(set, element.datum)),
            several => format!("{several:?}{}", datum(set, element.datum)),
        })
        .collect();
    elements.sort();
    elements.join(",")
}

fn datum(set: &Set, at: u32) -> String {
    set.datum(at)
        .map_or_else(String::new, |data| format!("={data:?}"))
}
