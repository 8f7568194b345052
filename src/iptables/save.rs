//! Reads the text of iptables-save(8) and ip6tables-save(8), versions 1.4 to 1.8, of either backend, and of ebtables-save: that of
//! ebtables 2.0 and of ebtables-nft 1.8.
//!
//! Also reads what `iptables -S` prints (`-P`, `-N`, `-A` lines without a `*table` line).
//! Left out: what `ebtables -L` prints, where ebtables-nft gives user chains a policy that they do not have. A line that cannot be
//! read gives a diagnostic with its number, and a rule in its place of which nothing is known: it may match any packet and do
//! anything. A rule that is only partly readable keeps its place in its chain, because rules are later identified by their number.
//! What an option means is not known here, only to whom it belongs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Family;
use super::ebtables::{self, Extension};
use super::ipset::Sets;
use crate::diagnostic::{Diagnostic, Severity};

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

/// True when the text is of iptables-save, `iptables -S` or ebtables-save, judged by its first line that is no comment.
pub fn looks_like_save(text: &str) -> bool {
    let mut comments = text
        .lines()
        .map(str::trim)
        .take_while(|line| line.is_empty() || line.starts_with('#'));
    if comments.any(|line| generator(line).is_some()) {
        return true;
    }
    let Some(first) = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
    else {
        return false;
    };
    let is_table = first.strip_prefix('*').is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    });
    let is_rule = ["-A ", "-P ", "-N ", "-t "]
        .iter()
        .any(|start| first.starts_with(start));
    let is_counted = first.starts_with('[') && first.contains("] -A ");
    is_table || is_rule || is_counted
}

/// Whether the text has a line of iptables-save somewhere, after lines that are none.
pub fn holds_save(text: &str) -> bool {
    text.lines().map(str::trim).any(|line| {
        generator(line).is_some_and(|by| by.contains("tables"))
            || ["*filter", "*nat", "*mangle", "*raw", "*security"].contains(&line)
            || line.starts_with("-A ")
    })
}

/// A part of a text that is one output of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its first and last line, from 1.
    pub lines: (usize, usize),
    /// The part, behind as many empty lines as make its line numbers those of the whole.
    pub text: String,
}

/// Cuts a text where the output of another command begins: at the comment of another program, or where a table, or the
/// policy of a chain, stands a second time. Each table may have the comment of its program.
pub fn sections(text: &str) -> Vec<Section> {
    let mut starts = vec![0];
    let mut tables: HashSet<&str> = HashSet::new();
    let mut policies: HashSet<(&str, &str)> = HashSet::new();
    let mut comments = 0;
    let mut program = None;
    let mut open = "filter";
    for (index, line) in text.lines().map(str::trim).enumerate() {
        comments = if line.starts_with('#') {
            comments + 1
        } else {
            0
        };
        open = match line {
            "COMMIT" => "filter",
            _ => line.strip_prefix('*').unwrap_or(open),
        };
        let (_, rest) = line.split_once("-t ").unwrap_or(("", open));
        let table = rest.split_whitespace().next().unwrap_or(open);
        let policy = line.split_once("-P ").map(|(_, rest)| (table, rest));
        let policy =
            policy.and_then(|(table, rest)| Some((table, rest.split_whitespace().next()?)));
        let has_content = !tables.is_empty() || !policies.is_empty();
        let begins = match (generator(line), line.strip_prefix('*'), policy) {
            (Some(by), ..) => (has_content && program != Some(by)).then_some(index),
            // the comments before it belong to it
            (None, Some(name), _) => tables.contains(name).then_some(index - comments),
            (None, None, Some(policy)) => policies.contains(&policy).then_some(index),
            (None, None, None) => None,
        };
        if let Some(at) = begins {
            starts.push(at);
            tables.clear();
            policies.clear();
        }
        program = generator(line).or(program);
        tables.extend(line.strip_prefix('*'));
        policies.extend(policy);
    }
    let lines: Vec<&str> = text.lines().collect();
    let ends = starts.iter().skip(1).copied().chain([lines.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| Section {
            lines: (start + 1, end),
            text: "\n".repeat(start) + &lines.get(start..end).unwrap_or_default().join("\n"),
        })
        .collect()
}

/// A built-in chain of another table in a text that does not say the table, as `iptables -t nat -S` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misplaced {
    /// From 1.
    pub line: usize,
    pub chain: String,
}

/// The first chain of a text that cannot be one of table filter, where no table is said.
pub fn misplaced(text: &str) -> Option<Misplaced> {
    let mut open = false;
    for (index, line) in text.lines().map(str::trim).enumerate() {
        if line.starts_with('*') {
            open = true;
        } else if line == "COMMIT" {
            open = false;
        } else if !open && line.contains('-') && !line.starts_with('#') {
            let (tokens, _) = tokenise(line);
            let says_table = tokens
                .iter()
                .any(|token| token.is("-t") || token.is("--table"));
            let is_command = |token: &Token| token.is("-A") || token.is("-P") || token.is("-I");
            let at = tokens.iter().position(is_command);
            let chain = at
                .and_then(|at| tokens.get(at + 1))
                .map(|token| &token.text);
            let is_other =
                |chain: &&String| ["PREROUTING", "POSTROUTING"].contains(&chain.as_str());
            if let (false, Some(chain)) = (says_table, chain.filter(is_other)) {
                return Some(Misplaced {
                    line: index + 1,
                    chain: chain.clone(),
                });
            }
        }
    }
    None
}

/// The family that the text is of: by the command in its first comment, else by addresses and ICMP names.
///
/// `None` when nothing in it belongs to one family only.
pub fn detect_family(text: &str) -> Option<Family> {
    for line in text.lines() {
        if let Some(by) = generator(line.trim()) {
            if by.starts_with("ip6tables") {
                return Some(Family::Ip6);
            }
            if by.starts_with("iptables") {
                return Some(Family::Ip);
            }
            if by.starts_with("ebtables") {
                return Some(Family::Bridge);
            }
        }
    }
    for line in text.lines() {
        let line = line.trim();
        if line.strip_prefix('*') == Some(ebtables::BROUTE) {
            return Some(Family::Bridge);
        }
        let (tokens, _) = tokenise(line);
        for pair in tokens.windows(2) {
            let (name, value) = (pair[0].text.as_str(), pair[1].text.as_str());
            match name {
                "--logical-in" | "--logical-out" => return Some(Family::Bridge),
                name if name.starts_with("--ip-") || name.starts_with("--ip6-") => {
                    return Some(Family::Bridge);
                }
                "-p" if matches!(
                    value,
                    "IPv4" | "IPv6" | "ARP" | "802_1Q" | "LENGTH" | "Length"
                ) =>
                {
                    return Some(Family::Bridge);
                }
                "-s" | "-d" if value.matches(':').count() == 5 && !value.contains("::") => {
                    return Some(Family::Bridge);
                }
                "-s" | "-d" | "--source" | "--destination" | "--to-destination" | "--to-source" => {
                    let value = if value == "!" { continue } else { value };
                    if value.matches(':').count() > 1 {
                        return Some(Family::Ip6);
                    }
                    if value
                        .split(['/', ':', '-'])
                        .next()
                        .is_some_and(|a| a.parse::<std::net::Ipv4Addr>().is_ok())
                    {
                        return Some(Family::Ip);
                    }
                }
                "-p" | "-m" | "--protocol" | "--match" => match value {
                    "icmpv6" | "ipv6-icmp" | "icmp6" | "58" => return Some(Family::Ip6),
                    "icmp" => return Some(Family::Ip),
                    _ => {}
                },
                "--reject-with" if value.starts_with("icmp6-") => return Some(Family::Ip6),
                "--reject-with" if value.starts_with("icmp-") => return Some(Family::Ip),
                _ => {}
            }
        }
    }
    None
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

/// Why an option is left unread.
const NOT_UNDERSTOOD: &str = "option not understood";

fn not_understood(option: &str) -> String {
    format!("{NOT_UNDERSTOOD}: `{option}`")
}

/// What stands for a part of a rule that could not be read.
fn unreadable_match(text: &str) -> Match {
    Match {
        name: UNREADABLE.to_owned(),
        options: Vec::new(),
        text: text.to_owned(),
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

/// `# Generated by iptables-save v1.8.9 on Sat Nov 21 02:08:27 2026` without its frame.
fn generator(line: &str) -> Option<&str> {
    let by = line
        .strip_prefix('#')?
        .trim_start()
        .strip_prefix("Generated by ")?;
    Some(by.split(" on ").next().unwrap_or(by).trim())
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

/// One argument of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    text: String,
    /// Any part of it was quoted: it is no option, whatever it looks like.
    quoted: bool,
}

impl Token {
    fn is(&self, text: &str) -> bool {
        !self.quoted && self.text == text
    }

    /// `-x` or `--xyz`; not `-1` and not `-`.
    fn is_option(&self) -> bool {
        let mut chars = self.text.chars();
        !self.quoted
            && chars.next() == Some('-')
            && chars
                .next()
                .is_some_and(|c| c == '-' || c.is_ascii_alphabetic())
    }
}

/// Splits as iptables-restore(8) does: blanks separate, double and single quotes hold together, a backslash inside double quotes
/// escapes. False when a quote is not closed.
fn tokenise(line: &str) -> (Vec<Token>, bool) {
    let mut tokens = Vec::new();
    let mut current: Option<Token> = None;
    let mut quote: Option<char> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match quote {
            Some(q) if c == q => quote = None,
            Some(q) => {
                let c = if c == '\\' && q == '"' {
                    chars.next().unwrap_or(c)
                } else {
                    c
                };
                if let Some(token) = &mut current {
                    token.text.push(c);
                }
            }
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                current
                    .get_or_insert(Token {
                        text: String::new(),
                        quoted: true,
                    })
                    .quoted = true;
            }
            None if c.is_whitespace() => tokens.extend(current.take()),
            None => current
                .get_or_insert(Token {
                    text: String::new(),
                    quoted: false,
                })
                .text
                .push(c),
        }
    }
    tokens.extend(current.take());
    (tokens, quote.is_none())
}

/// The words of a line, without their quotes.
pub fn words(line: &str) -> Vec<String> {
    let (tokens, _) = tokenise(line);
    tokens.into_iter().map(|token| token.text).collect()
}

/// Writes an argument as iptables-save would, quoted when it has to be.
fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.,:/=+@%[]!&*^~#$".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// Options whose one value is free text, printed without quotes even when it begins with a dash.
const FREE_TEXT: [&str; 7] = [
    "--comment",
    "--log-prefix",
    "--nflog-prefix",
    "--ulog-prefix",
    "--string",
    "--hex-string",
    "--string-hex",
];

/// Options of the protocol matches, which may stand without `-m` after `-p` in hand-written rules.
const PROTOCOL_OPTIONS: [&str; 10] = [
    "--sport",
    "--source-port",
    "--dport",
    "--destination-port",
    "--syn",
    "--tcp-flags",
    "--tcp-option",
    "--icmp-type",
    "--icmpv6-type",
    "--chunk-types",
];

/// Matches that own such options.
const PROTOCOL_MATCHES: [&str; 7] = ["tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmp6"];

/// Where the next option belongs.
#[derive(Clone, Copy)]
enum Owner {
    Nobody,
    Match(usize),
    Target,
}

struct RuleReader {
    family: Family,
    rule: Rule,
    owner: Owner,
    problems: Vec<String>,
    only: Option<Family>,
}

impl RuleReader {
    fn new(family: Family, line: usize, text: &str, counters: Option<Counters>) -> Self {
        RuleReader {
            family,
            rule: Rule {
                line,
                text: text.to_owned(),
                matches: Vec::new(),
                target: None,
                goto: false,
                counters,
            },
            owner: Owner::Nobody,
            problems: Vec::new(),
            only: None,
        }
    }

    /// `-4` and `-6` restrict a line of a text for both families.
    fn other_family(&self) -> bool {
        self.only.is_some_and(|only| only != self.family)
    }

    fn unreadable(&mut self, text: &str, why: &str) {
        self.problems.push(format!("{why}: `{text}`"));
        self.rule.matches.push(unreadable_match(text));
    }

    fn read(&mut self, tokens: &[Token]) {
        let mut at = 0;
        let mut invert = false;
        while let Some(token) = tokens.get(at) {
            at += 1;
            if token.is("!") {
                invert = true;
                continue;
            }
            if !token.is_option() {
                self.unreadable(&token.text, "argument without an option");
                continue;
            }
            let name = token.text.as_str();
            let mut inverted = std::mem::take(&mut invert);
            // `--dport ! 22` and `-s ! 10.0.0.0/8`, as versions before 1.4.3 wrote it.
            if tokens.get(at).is_some_and(|next| next.is("!"))
                && tokens
                    .get(at + 1)
                    .is_some_and(|next| !next.is_option() && !next.is("!"))
            {
                inverted = true;
                at += 1;
            }
            let mut values = Vec::new();
            if FREE_TEXT.contains(&name) {
                values.extend(tokens.get(at).map(|value| value.text.clone()));
                at += 1;
            } else {
                while let Some(value) = tokens
                    .get(at)
                    .filter(|value| !value.is_option() && !value.is("!"))
                {
                    values.push(value.text.clone());
                    at += 1;
                }
            }
            self.option(name, inverted, values);
        }
    }

    fn option(&mut self, name: &str, invert: bool, values: Vec<String>) {
        // `--proto` of the policy match is no abbreviation of `--protocol`.
        let in_policy = matches!(self.owner, Owner::Match(at) if self.rule.matches.get(at).is_some_and(|m| m.name == "policy"));
        let basic = match name {
            "-s" | "--source" | "--src" => Some("-s"),
            "-d" | "--destination" | "--dst" => Some("-d"),
            "-i" | "--in-interface" => Some("-i"),
            "-o" | "--out-interface" => Some("-o"),
            "-p" | "--protocol" => Some("-p"),
            "--proto" if !in_policy => Some("-p"),
            "-f" | "--fragment" => Some("-f"),
            _ if self.family == Family::Bridge => match name {
                "--in-if" => Some("-i"),
                "--out-if" => Some("-o"),
                "--logical-in" => Some("--logical-in"),
                "--logical-out" => Some("--logical-out"),
                _ => None,
            },
            _ => None,
        };
        if let Some(basic) = basic {
            let opt = Opt {
                name: basic.to_owned(),
                invert,
                values,
            };
            let text = option_text(&opt);
            self.rule.matches.push(Match {
                name: basic.to_owned(),
                options: vec![opt],
                text,
            });
            return;
        }
        match (name, values.as_slice()) {
            ("-m" | "--match", [extension]) => {
                let text = format!("-m {}", quote(extension));
                self.rule.matches.push(Match {
                    name: extension.clone(),
                    options: Vec::new(),
                    text,
                });
                self.owner = Owner::Match(self.rule.matches.len() - 1);
            }
            ("-j" | "--jump" | "-g" | "--goto", [target]) if self.rule.target.is_none() => {
                self.rule.goto = matches!(name, "-g" | "--goto");
                let text = format!(
                    "{} {}",
                    if self.rule.goto { "-g" } else { "-j" },
                    quote(target)
                );
                self.rule.target = Some(Target {
                    name: target.clone(),
                    options: Vec::new(),
                    text,
                    is_chain: false,
                });
                self.owner = Owner::Target;
            }
            ("-c" | "--set-counters", [packets, bytes]) => {
                if let (Ok(packets), Ok(bytes)) = (packets.parse(), bytes.parse()) {
                    self.rule.counters = Some(Counters { packets, bytes });
                }
            }
            ("-4" | "--ipv4", []) => self.only = Some(Family::Ip),
            ("-6" | "--ipv6", []) => self.only = Some(Family::Ip6),
            _ => self.extension_option(Opt {
                name: name.to_owned(),
                invert,
                values,
            }),
        }
    }

    /// Makes the extension of ebtables that an option belongs to the owner of the next option. False when there is none.
    fn named_extension(&mut self, option: &str) -> bool {
        match ebtables::owner(option) {
            Some(Extension::Match(name)) => {
                self.own(name, String::new());
                true
            }
            Some(Extension::Target) if self.rule.target.is_some() => {
                self.owner = Owner::Target;
                true
            }
            Some(Extension::Target) | None => false,
        }
    }

    /// Makes a match the owner of the next option; it is added when the rule does not have it.
    fn own(&mut self, name: &str, text: String) {
        let at = match self.rule.matches.iter().position(|m| m.name == name) {
            Some(at) => at,
            None => {
                self.rule.matches.push(Match {
                    name: name.to_owned(),
                    options: Vec::new(),
                    text,
                });
                self.rule.matches.len() - 1
            }
        };
        self.owner = Owner::Match(at);
    }

    fn extension_option(&mut self, opt: Opt) {
        if self.family == Family::Bridge && !self.named_extension(&opt.name) {
            self.unreadable(&option_text(&opt), NOT_UNDERSTOOD);
            return;
        }
        if PROTOCOL_OPTIONS.contains(&opt.name.as_str()) {
            let owned = matches!(self.owner, Owner::Match(at)
                if self.rule.matches.get(at).is_some_and(|m| PROTOCOL_MATCHES.contains(&m.name.as_str())));
            if !owned && !self.implicit_match() {
                self.unreadable(&option_text(&opt), "option without its protocol");
                return;
            }
        }
        let text = option_text(&opt);
        let owner = match self.owner {
            Owner::Match(at) => self
                .rule
                .matches
                .get_mut(at)
                .map(|m| (&mut m.options, &mut m.text)),
            Owner::Target => self
                .rule
                .target
                .as_mut()
                .map(|t| (&mut t.options, &mut t.text)),
            Owner::Nobody => None,
        };
        match owner {
            Some((options, whole)) => {
                options.push(opt);
                if !whole.is_empty() {
                    whole.push(' ');
                }
                whole.push_str(&text);
            }
            None => self.unreadable(&text, "option that belongs to no match"),
        }
    }

    /// Makes the match that `-p` implies the owner of the next option. False when there is none.
    fn implicit_match(&mut self) -> bool {
        let protocol = self
            .rule
            .matches
            .iter()
            .find(|m| m.name == "-p")
            .and_then(|m| m.options.first());
        let name = match protocol
            .and_then(|opt| opt.values.first())
            .map(String::as_str)
        {
            Some("6") => "tcp",
            Some("17") => "udp",
            Some("ipv6-icmp" | "icmpv6" | "58") => "icmp6",
            Some("1") => "icmp",
            Some(name) if PROTOCOL_MATCHES.contains(&name) => name,
            _ => return false,
        }
        .to_owned();
        let text = format!("-m {name}");
        self.own(&name, text);
        true
    }
}

/// An option as it is written: `! --dport 22`.
pub(super) fn option_text(opt: &Opt) -> String {
    let mut text = String::new();
    if opt.invert {
        text.push_str("! ");
    }
    text.push_str(&opt.name);
    for value in &opt.values {
        text.push(' ');
        text.push_str(&quote(value));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only_rule(text: &str) -> Rule {
        let (save, diagnostics) = read(
            &format!("*filter\n:INPUT ACCEPT [0:0]\n:X - [0:0]\n{text}\nCOMMIT\n"),
            Family::Ip,
        );
        assert_eq!(diagnostics, [], "{text}");
        let mut rules: Vec<Rule> = save.tables[0]
            .chains
            .iter()
            .flat_map(|chain| chain.rules.clone())
            .collect();
        assert_eq!(rules.len(), 1, "{text}");
        rules.remove(0)
    }

    fn parts(text: &str) -> Vec<String> {
        let rule = only_rule(text);
        rule.matches
            .iter()
            .map(|m| m.text.clone())
            .chain(rule.target.map(|t| t.text))
            .collect()
    }

    #[test]
    fn options_belong_to_the_match_before_them() {
        assert_eq!(
            parts(
                "[3:180] -A INPUT ! -s 10.0.0.0/8 -p tcp -m tcp ! --dport 22 -m conntrack --ctstate NEW -j LOG --log-prefix \"a \\\"b\\\" \" --log-uid"
            ),
            [
                "! -s 10.0.0.0/8",
                "-p tcp",
                "-m tcp ! --dport 22",
                "-m conntrack --ctstate NEW",
                "-j LOG --log-prefix \"a \\\"b\\\" \" --log-uid"
            ]
        );
        let rule = only_rule("[3:180] -A INPUT -j X");
        assert_eq!(
            rule.counters,
            Some(Counters {
                packets: 3,
                bytes: 180
            })
        );
        assert_eq!(rule.text, "-A INPUT -j X");
        assert_eq!(rule.line, 4);
        assert!(rule.target.is_some_and(|target| target.is_chain));
    }

    #[test]
    fn old_inversion_stands_after_the_option() {
        assert_eq!(
            parts("-A INPUT -s ! 10.0.0.0/8 -p tcp -m tcp --dport ! 22 -j ACCEPT"),
            [
                "! -s 10.0.0.0/8",
                "-p tcp",
                "-m tcp ! --dport 22",
                "-j ACCEPT"
            ]
        );
        assert_eq!(
            parts("-A INPUT -m addrtype --limit-iface-in ! --src-type LOCAL"),
            ["-m addrtype --limit-iface-in ! --src-type LOCAL"]
        );
    }

    #[test]
    fn protocol_options_find_their_match() {
        assert_eq!(
            parts("-A INPUT -m state --state NEW -p tcp --syn --dport 22 -j ACCEPT"),
            [
                "-m state --state NEW",
                "-p tcp",
                "-m tcp --syn --dport 22",
                "-j ACCEPT"
            ]
        );
    }

    #[test]
    fn free_text_may_begin_with_a_dash() {
        let rule = only_rule("-A INPUT -m comment --comment --evil -j ACCEPT");
        assert_eq!(rule.matches[0].options[0].values, ["--evil"]);
    }

    #[test]
    fn policy_proto_is_not_the_protocol() {
        assert_eq!(
            parts("-A INPUT -m policy --dir in --pol ipsec --proto esp -j ACCEPT"),
            ["-m policy --dir in --pol ipsec --proto esp", "-j ACCEPT"]
        );
    }

    #[test]
    fn damaged_lines_are_named_and_the_rest_is_used() {
        let text =
            "*filter\n:INPUT DROP\nfoo\n-A INPUT -m comment --comment \"open\n-A INPUT -j ACCEPT\n";
        let (save, diagnostics) = read(text, Family::Ip);
        let said: Vec<String> = diagnostics
            .iter()
            .map(|d| format!("{} {}", d.source, d.message))
            .collect();
        assert_eq!(
            said,
            [
                "iptables-save:3 line not understood: `foo`",
                "iptables-save:4 a quotation mark is not closed: `-A INPUT -m comment --comment \"open`",
                "iptables-save:5 table `filter` ends without COMMIT: the text may be cut off",
            ]
        );
        assert_eq!(save.tables[0].chains[0].policy, Some(Policy::Drop));
        let lines: Vec<usize> = save.tables[0].chains[0]
            .rules
            .iter()
            .map(|rule| rule.line)
            .collect();
        assert_eq!(
            lines,
            [3, 4, 5, 6],
            "a damaged rule keeps its place, and what was not read has one"
        );
    }

    #[test]
    fn the_listing_of_iptables_s_is_read_too() {
        let (save, diagnostics) = read(
            "-P INPUT DROP\n-N LOGGING\n-A INPUT -j LOGGING\n-t nat -A POSTROUTING -j MASQUERADE\n",
            Family::Ip,
        );
        assert_eq!(diagnostics, []);
        let names: Vec<&str> = save
            .tables
            .iter()
            .map(|table| table.name.as_str())
            .collect();
        assert_eq!(names, ["filter", "nat"]);
        let jump = save
            .table("filter")
            .and_then(|t| t.chain("INPUT"))
            .and_then(|c| c.rules[0].target.clone());
        assert!(jump.is_some_and(|target| target.is_chain));
        let masquerade = save
            .table("nat")
            .and_then(|t| t.chain("POSTROUTING"))
            .and_then(|c| c.rules[0].target.clone());
        assert!(masquerade.is_some_and(|target| !target.is_chain));
    }

    #[test]
    fn the_generator_tells_backend_and_family() {
        for (line, backend, family) in [
            (
                "# Generated by iptables-nft-save v1.8.9 (nf_tables) on Sat Nov 21 02:08:27 2026",
                Some(Backend::NfTables),
                Family::Ip,
            ),
            (
                "# Generated by ip6tables-save v1.8.7 on Sat Nov 21 02:08:27 2026",
                None,
                Family::Ip6,
            ),
            (
                "# Generated by iptables-save v1.4.7 on Sat Nov 21 02:08:27 2026",
                Some(Backend::Legacy),
                Family::Ip,
            ),
        ] {
            let (save, _) = read(line, Family::Ip);
            assert_eq!(save.backend(), backend, "{line}");
            assert_eq!(detect_family(line), Some(family), "{line}");
            assert!(looks_like_save(line));
        }
        assert!(!looks_like_save("table ip filter {\n"));
        assert!(!looks_like_save("{\"nftables\": []}"));
        assert!(looks_like_save("*filter\n:INPUT ACCEPT [0:0]\n"));
    }

    /// What ebtables-save of ebtables 2.0.11 prints, and ebtables-nft-save of iptables 1.8.9 of the same rules.
    const LEGACY: &str = "# Generated by ebtables-save v1.0 (legacy) on Sat Nov 21 15:24:37 2026\n*filter\n:INPUT ACCEPT\n:FORWARD DROP\n:mine DROP\n:ret RETURN\n-A FORWARD -p IPv4 -i ! eth0 --ip-src 1.2.3.4 -j mine -c 3 180\n-A FORWARD --log-level notice --log-prefix \"a b\" -j CONTINUE , pcnt = 0 -- bcnt = 0\n-A mine -s 0:11:22:33:44:55 -j ret\n\n*nat\n:PREROUTING ACCEPT\n-A PREROUTING -j dnat --to-dst 0:11:22:33:44:66 --dnat-target ACCEPT\n\n";
    const BY_NFT: &str = "# Generated by ebtables-nft-save v1.8.9 (nf_tables) on Sat Nov 21 15:24:37 2026\n*filter\n:INPUT ACCEPT\n:FORWARD DROP\n:mine DROP\n:ret RETURN\n[3:180] -A FORWARD -p IPv4 -i ! eth0 --ip-src 1.2.3.4 -j mine\n[0:0] -A FORWARD --log-level notice --log-prefix \"a b\" -j CONTINUE\n-A mine -s 00:11:22:33:44:55 -j ret\n# Completed on Sat Nov 21 15:24:37 2026\n# Generated by ebtables-nft-save v1.8.9 (nf_tables) on Sat Nov 21 15:24:37 2026\n*nat\n:PREROUTING ACCEPT\n-A PREROUTING -j dnat --to-dst 00:11:22:33:44:66 --dnat-target ACCEPT\n# Completed on Sat Nov 21 15:24:37 2026\n";

    #[test]
    fn ebtables_save_of_both_backends_is_read() {
        for (text, backend) in [(LEGACY, Backend::Legacy), (BY_NFT, Backend::NfTables)] {
            assert_eq!(detect_family(text), Some(Family::Bridge));
            assert!(looks_like_save(text));
            let (save, diagnostics) = read(text, Family::Bridge);
            assert_eq!(diagnostics, []);
            assert_eq!(save.backend(), Some(backend));
            let filter = save.table("filter").expect("a table");
            let forward = filter.chain("FORWARD").expect("a chain");
            assert_eq!(forward.policy, Some(Policy::Drop));
            let [first, second] = forward.rules.as_slice() else {
                panic!("{:?}", forward.rules)
            };
            let texts = |rule: &Rule| -> Vec<String> {
                let target = rule.target.iter().map(|target| target.text.clone());
                let matches = rule.matches.iter().map(|m| m.text.clone());
                matches.chain(target).collect()
            };
            assert_eq!(
                texts(first),
                ["-p IPv4", "! -i eth0", "--ip-src 1.2.3.4", "-j mine"]
            );
            assert!(first.target.as_ref().is_some_and(|target| target.is_chain));
            let counted = Counters {
                packets: 3,
                bytes: 180,
            };
            assert_eq!(first.counters, Some(counted));
            assert_eq!(
                texts(second),
                ["--log-level notice --log-prefix \"a b\"", "-j CONTINUE"]
            );
            assert_eq!(second.matches[0].name, "log");
            let dnat = &save.table("nat").expect("nat").chains[0].rules[0];
            let dnat = dnat.target.as_ref().expect("a target");
            assert!(!dnat.is_chain && dnat.options.len() == 2, "{dnat:?}");
        }
    }

    #[test]
    fn the_policy_of_a_user_chain_of_ebtables_is_its_last_rule() {
        let (save, _) = read(BY_NFT, Family::Bridge);
        let filter = save.table("filter").expect("a table");
        let (mine, ret) = (filter.chain("mine"), filter.chain("ret"));
        let (mine, ret) = (mine.expect("a chain"), ret.expect("a chain"));
        assert_eq!((mine.policy, ret.policy), (None, None));
        let texts: Vec<&str> = mine.rules.iter().map(|rule| rule.text.as_str()).collect();
        assert_eq!(
            texts,
            ["-A mine -s 00:11:22:33:44:55 -j ret", "-P mine DROP"]
        );
        assert_eq!(ret.rules, []);
        // commands: without -P it is ACCEPT
        let (save, _) = read("-N a\n-N b -P DROP\n-N c\n-P c RETURN\n", Family::Bridge);
        let ends = save.tables[0].chains.iter().map(|chain| {
            let last = chain.rules.last().and_then(|rule| rule.target.as_ref());
            last.map(|target| target.name.as_str())
        });
        assert_eq!(
            ends.collect::<Vec<_>>(),
            [Some("ACCEPT"), Some("DROP"), None]
        );
    }

    #[test]
    fn damaged_lines_of_ebtables_are_named() {
        let said = |text: &str| -> Vec<String> {
            let (_, diagnostics) = read(text, Family::Bridge);
            let said = diagnostics.iter();
            said.map(|d| format!("{} {}", d.source, d.message))
                .collect()
        };
        let cut = &BY_NFT[..BY_NFT.find("# Completed").expect("an end")];
        assert_eq!(
            said(cut),
            ["ebtables-save:9 table `filter` ends without `# Completed`: the text may be cut off"]
        );
        let cut = cut.rsplit_once("-j ret").expect("a rule").0;
        assert_eq!(
            said(&format!("{cut}-j"))[0],
            "ebtables-save:9 option not understood: `-j`"
        );
        assert_eq!(
            said(
                "*filter\n:INPUT MAYBE\n:mine -\n-A INPUT -m tcp --dport 5 -j DROP\n-A INPUT --to-dst 0:1:2:3:4:5\nfoo\n"
            ),
            [
                "ebtables-save:2 unknown policy `MAYBE`",
                "ebtables-save:3 unknown policy `-`",
                "ebtables-save:4 option not understood: `--dport 5`",
                "ebtables-save:5 option not understood: `--to-dst 0:1:2:3:4:5`",
                "ebtables-save:6 line not understood: `foo`",
            ]
        );
    }

    #[test]
    fn content_tells_the_family() {
        assert_eq!(
            detect_family("-A INPUT -s 10.0.0.0/8 -j DROP"),
            Some(Family::Ip)
        );
        assert_eq!(
            detect_family("-A INPUT -s fe80::/10 -j DROP"),
            Some(Family::Ip6)
        );
        assert_eq!(
            detect_family("-A INPUT -p ipv6-icmp -j ACCEPT"),
            Some(Family::Ip6)
        );
        assert_eq!(
            detect_family("-A INPUT -j REJECT --reject-with icmp-port-unreachable"),
            Some(Family::Ip)
        );
        assert_eq!(
            detect_family("-A DOCKER -p tcp -j DNAT --to-destination 172.17.0.2:80"),
            Some(Family::Ip)
        );
        for of_bridge in [
            "-A INPUT -s 0:11:22:33:44:55 -j DROP",
            "-A INPUT -p IPv6 -j DROP",
            "-A INPUT --logical-in br0 -j DROP",
            "*broute",
        ] {
            assert_eq!(
                detect_family(of_bridge),
                Some(Family::Bridge),
                "{of_bridge}"
            );
        }
        assert_eq!(detect_family("-A INPUT -j ACCEPT"), None);
    }
}
