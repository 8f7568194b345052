//! Reads the text of iptables-save(8) and ip6tables-save(8), versions 1.4 to 1.8, of either backend, and of ebtables-save: that of
//! ebtables 2.0 and of ebtables-nft 1.8.
//!
//! Also reads what `iptables -S` prints (`-P`, `-N`, `-A` lines without a `*table` line).
//! Left out: what `ebtables -L` prints, where ebtables-nft gives user chains a policy that they do not have. A line that cannot be
//! read gives a diagnostic with its number, and a rule in its place of which nothing is known: it may match any packet and do
//! anything. A rule that is only partly readable keeps its place in its chain, because rules are later identified by their number.
//! What an option means is not known here, only to whom it belongs.

mod rule;
mod text;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Family;
use super::ebtables;
use super::ipset::Sets;
use crate::diagnostic::{Diagnostic, Severity};
use rule::{RuleReader, not_understood, quote, tokenise, unreadable_match};
use text::generator;

pub(super) use rule::option_text;
pub use rule::words;
pub use text::{
    Misplaced, Section, detect_family, holds_save, looks_like_save, misplaced, sections,
};

/// The rules of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Save {
    pub family: Family,
    pub tables: Vec<Table>,
    /// What wrote the text, from the first comment: `iptables-nft-save v1.8.9 (nf_tables)`.
    pub generator: Option<String>,
    /// The ipsets of the same host; [`read`] leaves them empty.
    pub sets: Arc<Sets>,
    /// What could not be read and has no place in a chain, in words.
    pub unread: Vec<String>,
    /// Where the text ends before its program ended it, in words: there may be more tables.
    pub cut: Option<String>,
}

/// Which kernel interface holds the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// x_tables: invisible to nft.
    Legacy,
    /// nf_tables: the rules are also in `nft list ruleset`.
    NfTables,
}

/// One table: `filter`, `nat`, `mangle`, `raw`, `security`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub name: String,
    pub chains: Vec<Chain>,
}

/// A chain; a built-in one when it has a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    pub name: String,
    pub policy: Option<Policy>,
    pub rules: Vec<Rule>,
}

/// The policy of a built-in chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    Accept,
    Drop,
}

/// One `-A` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Line number in the text, from 1.
    pub line: usize,
    /// The line without its counters.
    pub text: String,
    /// Basic options (`-s`, `-i`, `-p`, …) and matches as they were written; of ebtables also watchers.
    pub matches: Vec<Match>,
    pub target: Option<Target>,
    /// True for `-g`.
    pub goto: bool,
    pub counters: Option<Counters>,
}

/// Packets and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    pub packets: u64,
    pub bytes: u64,
}

/// One match: a basic option or an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The extension's name, or the short form of a basic option: `-s`, `-d`, `-i`, `-o`, `-p`, `-f`; of ebtables also
    /// `--logical-in` and `--logical-out`.
    /// [`UNREADABLE`] stands for the unread rest of a damaged line.
    pub name: String,
    /// A basic option has exactly one entry, of its own name.
    pub options: Vec<Opt>,
    /// The text of this match alone: `-m addrtype --dst-type LOCAL`.
    pub text: String,
}

/// The name of the match that stands for text that could not be read.
pub const UNREADABLE: &str = "(unreadable)";

/// The name of the match and of the target of a rule that stands for a line that could not be read.
pub const UNREAD_LINE: &str = "(unread line)";

impl Match {
    /// True for `-s`, `-d`, `-i`, `-o`, `-p`, `-f`, `--logical-in` and `--logical-out`.
    pub fn is_basic(&self) -> bool {
        self.name.starts_with('-')
    }
}

/// What `-j` or `-g` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub name: String,
    pub options: Vec<Opt>,
    /// The text of the target alone: `-j DNAT --to-destination 10.0.0.1`.
    pub text: String,
    /// True when the name is a chain of the table.
    pub is_chain: bool,
}

/// One option of a match or target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opt {
    /// With its dashes, as written: `--dport`.
    pub name: String,
    /// `!` stood before the option or before its value.
    pub invert: bool,
    pub values: Vec<String>,
}

impl Save {
    /// Which kernel interface the rules came from, when the first comment tells.
    ///
    /// Versions before 1.8 know only x_tables; 1.8.0 to 1.8.3 call the other one `xtables-save`, and 1.8.4 to 1.8.7 call both the same.
    pub fn backend(&self) -> Option<Backend> {
        let generator = self.generator.as_deref()?;
        if self.family == Family::Bridge && generator.contains(" v1.8.") {
            // ebtables 2.0 calls its save command v1.0
            return Some(Backend::NfTables);
        }
        if generator.contains("nf_tables")
            || generator.contains("-nft")
            || generator.contains("-compat")
            || generator.starts_with("xtables-")
        {
            return Some(Backend::NfTables);
        }
        let minor = generator.split_once(" v1.8.").map(|(_, minor)| minor);
        let ambiguous = minor.is_some_and(|minor| {
            let digits = minor.split(|c: char| !c.is_ascii_digit()).next();
            matches!(digits, Some("4" | "5" | "6" | "7"))
        });
        (!ambiguous || generator.contains("legacy")).then_some(Backend::Legacy)
    }

    /// The table of this name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }
}

impl Table {
    /// The chain of this name.
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }
}

impl Chain {
    /// The chain without what stands for lines that could not be read.
    pub fn without_unread(&self) -> Chain {
        let mut chain = self.clone();
        let is_unread = |target: &Target| target.name == UNREAD_LINE;
        chain
            .rules
            .retain(|rule| !rule.target.as_ref().is_some_and(is_unread));
        for rule in &mut chain.rules {
            rule.matches.retain(|part| part.name != UNREAD_LINE);
        }
        chain
    }
}

/// Reads a text of one family. Diagnostics name the save command and the line.
pub fn read(text: &str, family: Family) -> (Save, Vec<Diagnostic>) {
    let mut reader = Reader {
        save: Save {
            family,
            tables: Vec::new(),
            generator: None,
            sets: Arc::default(),
            unread: Vec::new(),
            cut: None,
        },
        diagnostics: Vec::new(),
        open: None,
        last: None,
        heading: None,
        ending: false,
        gaps: Vec::new(),
        declares: false,
        places: HashMap::new(),
        endings: HashMap::new(),
    };
    for (index, line) in text.lines().enumerate() {
        reader.line(index + 1, line.trim());
    }
    reader.finish(text.lines().count());
    (reader.save, reader.diagnostics)
}

struct Reader {
    save: Save,
    diagnostics: Vec<Diagnostic>,
    /// Index of the table between `*table` and `COMMIT`.
    open: Option<usize>,
    /// Table and chain of the last rule that was read, up to the end of its table.
    last: Option<(usize, String)>,
    /// The line of a heading whose table has not come yet.
    heading: Option<usize>,
    /// The table that ended last began with a heading, and its end mark has not come yet.
    ending: bool,
    /// Rules of which nothing is known, put in when all others are read.
    gaps: Vec<Gap>,
    /// Chains were declared by `:CHAIN` or `-N` lines.
    declares: bool,
    /// Where each chain is, by table: kube-proxy makes tens of thousands.
    places: HashMap<usize, HashMap<String, usize>>,
    /// How user chains of ebtables end, by table and chain: the line that says so, and the verdict.
    endings: HashMap<(usize, String), (usize, &'static str)>,
}

/// A place where rules were not read.
struct Gap {
    table: usize,
    /// `None`: any chain of the table that packets come to by themselves.
    chain: Option<String>,
    at_end: bool,
    rule: Rule,
}

impl Reader {
    fn warn(&mut self, line: usize, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic {
            severity: Severity::Warning,
            source: format!("{}:{line}", self.save.family.save_command()),
            message: message.into(),
        });
    }

    fn table(&mut self, name: &str) -> usize {
        if let Some(found) = self.save.tables.iter().position(|table| table.name == name) {
            return found;
        }
        self.save.tables.push(Table {
            name: name.to_owned(),
            chains: Vec::new(),
        });
        self.save.tables.len() - 1
    }

    fn chain(&mut self, table: usize, name: &str) -> Option<&mut Chain> {
        let chains = &mut self.save.tables.get_mut(table)?.chains;
        let places = self.places.entry(table).or_default();
        let at = match places.get(name) {
            Some(at) => *at,
            None => {
                chains.push(Chain {
                    name: name.to_owned(),
                    policy: None,
                    rules: Vec::new(),
                });
                places.insert(name.to_owned(), chains.len() - 1);
                chains.len() - 1
            }
        };
        chains.get_mut(at)
    }

    fn line(&mut self, number: usize, line: &str) {
        if line.is_empty() {
        } else if line.starts_with('#') {
            if let Some(by) = generator(line) {
                self.save.generator.get_or_insert_with(|| by.to_owned());
                // the program writes its date; a heading without one was put there by hand, to name the family
                self.heading = line.contains(" on ").then_some(number);
            } else if line.starts_with("# Completed") {
                (self.heading, self.ending) = (None, false);
                if self.save.family == Family::Bridge {
                    // ebtables-nft-save writes no COMMIT
                    self.open = None;
                }
            } else if line.contains("incompatible") {
                // `# Table `filter' contains incompatible base-chains, use 'nft' tool to list them.`
                let said = line.trim_start_matches(['#', ' ']).to_owned();
                self.save.unread.push(format!("line {number}: {said}"));
                self.warn(number, said);
            }
        } else if let Some(name) = line.strip_prefix('*') {
            if let Some(open) = self.open {
                self.cut_off(number, open);
            }
            self.open = Some(self.table(name.trim()));
            self.last = None;
            self.ending = self.heading.take().is_some();
        } else if line == "COMMIT" {
            self.last = None;
            if self.open.take().is_none() {
                self.warn(number, "COMMIT without a table");
            }
        } else if let Some(declaration) = line.strip_prefix(':') {
            self.declaration(number, declaration);
        } else {
            self.rule(number, line);
        }
    }

    /// The line that ends a table; `None` for ebtables 2.0, which writes none.
    fn end_mark(&self) -> Option<&'static str> {
        match self.save.family {
            Family::Ip | Family::Ip6 => Some("COMMIT"),
            Family::Bridge => {
                let by_nft = |by: &String| by.starts_with("ebtables-nft-save");
                let is_by_nft = self.save.generator.as_ref().is_some_and(by_nft);
                is_by_nft.then_some("`# Completed`")
            }
        }
    }

    /// A table without the line that ends it, where the program writes one.
    fn cut_off(&mut self, line: usize, table: usize) {
        let Some(end) = self.end_mark() else {
            return;
        };
        let table = self.save.tables.get(table);
        let name = table.map(|table| table.name.clone()).unwrap_or_default();
        self.warn(
            line,
            format!("table `{name}` ends without {end}: the text may be cut off"),
        );
    }

    /// Whether the text goes on behind its last line, as far as its program's own marks tell.
    fn find_cut(&mut self, lines: usize) {
        let mark = self.end_mark();
        let why = match (self.heading, self.open, mark) {
            (Some(line), _, Some(_)) => format!("the text ends behind the heading of line {line}"),
            (None, Some(_), Some(end)) => format!("the text ends without {end}"),
            (None, None, Some(_)) if self.ending => {
                "the text ends without the line `# Completed`".to_owned()
            }
            (_, _, None) | (None, None, Some(_)) => return,
        };
        if self.open.is_none() {
            self.warn(lines, format!("{why}: it may be cut off"));
        }
        let is_missing = |name: &&&str| self.save.table(name).is_none();
        if self
            .save
            .family
            .tables()
            .iter()
            .any(|name| is_missing(&name))
        {
            self.save.cut = Some(why);
        }
    }

    /// `CHAIN POLICY [packets:bytes]`
    fn declaration(&mut self, number: usize, text: &str) {
        let table = match self.open {
            Some(table) => table,
            None => {
                let message =
                    format!("chain outside of a table, taken for one of filter: `:{text}`");
                self.warn(number, message);
                self.table("filter")
            }
        };
        let mut words = text.split_whitespace();
        let (Some(name), policy) = (words.next(), words.next()) else {
            self.unread_line(number, &format!(":{text}"));
            return;
        };
        self.declares = true;
        self.set_policy(number, table, name, policy);
    }

    fn set_policy(&mut self, number: usize, table: usize, name: &str, word: Option<&str>) {
        let is_bridge = self.save.family == Family::Bridge;
        let policy = match word {
            Some(word) if is_bridge && !ebtables::BUILT_IN.contains(&name) => {
                self.ending(number, table, name, word);
                None
            }
            Some(word @ "DROP") if is_bridge && name == ebtables::BROUTING => {
                // no verdict of a base chain: the frame is routed
                self.ending(number, table, name, word);
                Some(Policy::Accept)
            }
            Some("ACCEPT") => Some(Policy::Accept),
            Some("DROP") => Some(Policy::Drop),
            Some("-") => None,
            other => {
                let message = match other {
                    Some(word) => format!("unknown policy `{word}`"),
                    None => format!("chain without a policy: `{name}`"),
                };
                self.unread_ending(number, table, name, &message);
                Some(Policy::Accept)
            }
        };
        if let Some(chain) = self.chain(table, name) {
            chain.policy = policy;
        }
    }

    /// What becomes of packets at the end of a chain is not known.
    fn unread_ending(&mut self, number: usize, table: usize, name: &str, message: &str) {
        self.warn(number, message.to_owned());
        self.gaps.push(Gap {
            table,
            chain: Some(name.to_owned()),
            at_end: true,
            rule: unread_rule(number, message),
        });
    }

    /// The policy of a user chain of ebtables: what happens at its end.
    fn ending(&mut self, number: usize, table: usize, name: &str, word: &str) {
        let verdict = match word {
            "ACCEPT" => "ACCEPT",
            "DROP" => "DROP",
            "RETURN" => "RETURN",
            other => {
                let message = format!("unknown policy `{other}`");
                return self.unread_ending(number, table, name, &message);
            }
        };
        self.endings
            .insert((table, name.to_owned()), (number, verdict));
    }

    /// A line that may be a rule, a part of one, or nothing.
    fn unread_line(&mut self, number: usize, line: &str) {
        self.warn(number, format!("line not understood: `{line}`"));
        let rule = unread_rule(number, &format!("`{line}`"));
        match (self.last.clone(), self.open) {
            (Some((table, name)), _) => {
                let Some(chain) = self.chain(table, &name) else {
                    return;
                };
                // it may be the rest of the rule before it
                if let Some(before) = chain.rules.last_mut() {
                    before.matches.extend(rule.matches.iter().cloned());
                }
                chain.rules.push(rule);
            }
            (None, Some(table)) => self.gaps.push(Gap {
                table,
                chain: None,
                at_end: false,
                rule,
            }),
            (None, None) => self.save.unread.push(format!("line {number}: `{line}`")),
        }
    }

    /// A command that changes rules which were read before it.
    fn unread_change(
        &mut self,
        number: usize,
        line: &str,
        table: Option<usize>,
        chain: Option<String>,
    ) {
        self.warn(
            number,
            format!("a command that changes other rules is not followed: `{line}`"),
        );
        let table = match table {
            Some(table) => table,
            None => self.table("filter"),
        };
        self.gaps.push(Gap {
            table,
            chain,
            at_end: false,
            rule: unread_rule(number, &format!("`{line}`")),
        });
    }

    /// Puts the rules of which nothing is known into their chains.
    fn fill_gaps(&mut self) {
        // the one that was found first stands first
        for gap in std::mem::take(&mut self.gaps).into_iter().rev() {
            let Some(table) = self.save.tables.get_mut(gap.table) else {
                continue;
            };
            for chain in &mut table.chains {
                let is_meant = match &gap.chain {
                    Some(name) => chain.name == *name,
                    None => chain.policy.is_some(),
                };
                match (is_meant, gap.at_end) {
                    (false, _) => {}
                    (true, true) => chain.rules.push(gap.rule.clone()),
                    (true, false) => chain.rules.insert(0, gap.rule.clone()),
                }
            }
        }
    }

    fn rule(&mut self, number: usize, line: &str) {
        let (counters, text) = match leading_counters(line) {
            Some((counters, rest)) => (Some(counters), rest),
            None => (None, line),
        };
        let (counters, text) = match trailing_counters(text) {
            Some((counters, text)) if self.save.family == Family::Bridge => (Some(counters), text),
            _ => (counters, text),
        };
        let (mut tokens, complete) = tokenise(text);
        // `-t nat -A …`: the table in the rule itself.
        let mut table = self.open;
        if let Some(at) = tokens
            .iter()
            .position(|token| token.is("-t") || token.is("--table"))
            && let Some(name) = tokens.get(at + 1).map(|token| token.text.clone())
        {
            table = Some(self.table(&name));
            tokens.drain(at..at + 2);
        }
        let mut words = tokens.iter().map(|token| token.text.as_str());
        let command = words.next().unwrap_or_default().to_owned();
        let chain = words.next().map(str::to_owned);
        let third = words.next().map(str::to_owned);
        let is_change = matches!(
            command.as_str(),
            "-D" | "--delete"
                | "-R"
                | "--replace"
                | "-F"
                | "--flush"
                | "-X"
                | "--delete-chain"
                | "-E"
                | "--rename-chain"
        );
        // the counters of rules say nothing about packets to come
        if matches!(command.as_str(), "-Z" | "--zero") {
            return;
        }
        if is_change {
            return self.unread_change(number, line, table, chain);
        }
        let known = matches!(
            command.as_str(),
            "-A" | "--append" | "-I" | "--insert" | "-P" | "--policy" | "-N" | "--new-chain"
        );
        let (true, Some(chain)) = (known, chain) else {
            return self.unread_line(number, line);
        };
        let table = match table {
            Some(table) => table,
            None => self.table("filter"),
        };
        match command.as_str() {
            "-P" | "--policy" => {
                self.set_policy(number, table, &chain, third.as_deref());
            }
            "-N" | "--new-chain" => {
                self.declares = true;
                self.chain(table, &chain);
                if self.save.family == Family::Bridge {
                    // ebtables(8): without -P it is ACCEPT
                    let said = third.filter(|word| word == "-P" || word == "--policy");
                    let word = said.and_then(|_| tokens.get(3));
                    let word = word.map_or("ACCEPT", |word| &word.text).to_owned();
                    self.ending(number, table, &chain, &word);
                }
            }
            _ => {
                // iptables(8): `-I CHAIN [RULENUM]`, before the first rule where no number is said
                let is_insert = matches!(command.as_str(), "-I" | "--insert");
                let place = third.and_then(|word| word.parse::<usize>().ok());
                let place = place.filter(|_| is_insert);
                let options = if place.is_some() { 3 } else { 2 };
                let mut rule = RuleReader::new(self.save.family, number, text, counters);
                rule.read(tokens.get(options..).unwrap_or_default());
                if !complete {
                    rule.unreadable(text, "a quotation mark is not closed");
                }
                if rule.other_family() {
                    return;
                }
                for problem in std::mem::take(&mut rule.problems) {
                    self.warn(number, problem);
                }
                self.last = Some((table, chain.clone()));
                if let Some(chain) = self.chain(table, &chain) {
                    let end = chain.rules.len();
                    let at = match is_insert {
                        true => place.unwrap_or(1).saturating_sub(1).min(end),
                        false => end,
                    };
                    chain.rules.insert(at, rule.rule);
                }
            }
        }
    }

    fn finish(&mut self, lines: usize) {
        self.find_cut(lines);
        let open = self.open.take();
        if let (Some(open), Some(end)) = (open, self.end_mark()) {
            self.cut_off(lines, open);
            // what was cut off are rules of the last chain and of those that have none yet
            let last = self.last.take().map(|(_, chain)| chain);
            let rule = unread_rule(lines + 1, &format!("the text ends without {end}"));
            let table = self.save.tables.get(open);
            let chains = table.into_iter().flat_map(|table| &table.chains);
            let cut: Vec<String> = chains
                .filter(|chain| chain.rules.is_empty() || last.as_ref() == Some(&chain.name))
                .map(|chain| chain.name.clone())
                .collect();
            self.gaps.extend(cut.into_iter().map(|chain| Gap {
                table: open,
                chain: Some(chain),
                at_end: true,
                rule: rule.clone(),
            }));
        }
        self.fill_gaps();
        self.add_endings();
        // Which targets are chains is known when all chains are.
        let (declares, family) = (self.declares, self.save.family);
        for table in &mut self.save.tables {
            let names: HashSet<String> = table
                .chains
                .iter()
                .map(|chain| chain.name.clone())
                .collect();
            let targets = table
                .chains
                .iter_mut()
                .flat_map(|chain| &mut chain.rules)
                .filter_map(|rule| rule.target.as_mut());
            for target in targets {
                target.is_chain = names.contains(&target.name)
                    || (!declares
                        && target.options.is_empty()
                        && !super::translate::is_target(family, &target.name));
            }
        }
        self.refuse_options_of_verdicts();
    }

    /// A verdict and a chain have no options: what stands behind them is not understood.
    fn refuse_options_of_verdicts(&mut self) {
        let chains = self
            .save
            .tables
            .iter_mut()
            .flat_map(|table| &mut table.chains);
        let mut problems = Vec::new();
        for rule in chains.flat_map(|chain| &mut chain.rules) {
            let Some(target) = &mut rule.target else {
                continue;
            };
            if !target.is_chain && !super::translate::is_verdict(&target.name) {
                continue;
            }
            if target.options.is_empty() {
                continue;
            }
            let of = if rule.goto { "-g" } else { "-j" };
            target.text = format!("{of} {}", quote(&target.name));
            for opt in std::mem::take(&mut target.options) {
                let text = option_text(&opt);
                problems.push((rule.line, not_understood(&text)));
                rule.matches.push(unreadable_match(&text));
            }
        }
        problems.sort_by_key(|(line, _)| *line);
        for (line, problem) in problems {
            self.warn(line, problem);
        }
    }

    /// The policy of a user chain stands as a rule behind its others, as ebtables-nft keeps it in the kernel
    /// (`ebtables-nft(8)`; `ebt_do_table` does the same). RETURN is what a chain does anyway.
    fn add_endings(&mut self) {
        let mut endings: Vec<_> = std::mem::take(&mut self.endings).into_iter().collect();
        endings.sort();
        for ((table, name), (line, verdict)) in endings {
            if verdict == "RETURN" {
                continue;
            }
            let text = format!("-P {name} {verdict}");
            let rule = Rule {
                line,
                text: text.clone(),
                matches: Vec::new(),
                target: Some(Target {
                    name: verdict.to_owned(),
                    options: Vec::new(),
                    text,
                    is_chain: false,
                }),
                goto: false,
                counters: None,
            };
            if let Some(chain) = self.chain(table, &name) {
                chain.rules.push(rule);
            }
        }
    }
}

/// A rule of which nothing is known: it may match any packet and do anything.
fn unread_rule(line: usize, what: &str) -> Rule {
    let text = format!("line {line}: {what}");
    Rule {
        line,
        text: text.clone(),
        matches: vec![Match {
            name: UNREAD_LINE.to_owned(),
            options: Vec::new(),
            text: text.clone(),
        }],
        target: Some(Target {
            name: UNREAD_LINE.to_owned(),
            options: Vec::new(),
            text,
            is_chain: false,
        }),
        goto: false,
        counters: None,
    }
}

/// `[packets:bytes] rest`
fn leading_counters(line: &str) -> Option<(Counters, &str)> {
    let (inside, rest) = line.strip_prefix('[')?.split_once(']')?;
    let (packets, bytes) = inside.split_once(':')?;
    let counters = Counters {
        packets: packets.parse().ok()?,
        bytes: bytes.parse().ok()?,
    };
    Some((counters, rest.trim_start()))
}

/// `rest , pcnt = packets -- bcnt = bytes`, as ebtables 2.0 lists a rule with its counters.
fn trailing_counters(line: &str) -> Option<(Counters, &str)> {
    let (rest, counted) = line.rsplit_once(", pcnt = ")?;
    let (packets, bytes) = counted.split_once(" -- bcnt = ")?;
    let counters = Counters {
        packets: packets.trim().parse().ok()?,
        bytes: bytes.trim().parse().ok()?,
    };
    Some((counters, rest.trim_end()))
}

#[cfg(test)]
mod tests;
