//! Reading text into the domain: every reader gives the value and the diagnostics, and does no I/O itself.

pub mod bundle;
pub mod ip_json;
mod ip_text;
mod listing_text;
pub mod lower;
pub mod nft_words;
pub mod sysctl;

use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::host::Host;
use crate::iptables::{self, ipset, merge, save, standalone};
use crate::nft::ast::{self, Document, Object, Stmt};
use crate::nft::json;
use crate::ruleset::{Family, Name, Ruleset};

use bundle::Bundle;
use lower::Meanings;
use nft_words::Nft;

/// What a text is, by content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `nft -j list ruleset`
    Listing,
    Bundle,
    /// `iptables-save`, `ip6tables-save` or `ebtables-save`
    IptablesSave,
    /// nft's own syntax, which only nft itself reads.
    NftText,
}

/// Tells the kinds apart.
pub fn recognise(text: &str) -> Kind {
    let start = text.trim_start_matches('\u{feff}').trim_start();
    if looks_like_json(start) || start.is_empty() {
        if bundle::is_bundle(text) {
            Kind::Bundle
        } else {
            Kind::Listing
        }
    } else if save::looks_like_save(text) {
        Kind::IptablesSave
    } else if looks_like_nft(start) {
        Kind::NftText
    } else if save::holds_save(text) {
        // with lines before it that are not of it, which its reader names
        Kind::IptablesSave
    } else {
        Kind::Listing
    }
}

/// An object, or a list of objects; not the prompt `[root@host ~]#`, nor the counters `[0:0]`.
fn looks_like_json(text: &str) -> bool {
    let behind = text.strip_prefix('[').map(str::trim_start);
    text.starts_with('{')
        || behind.is_some_and(|rest| rest.is_empty() || rest.starts_with(['{', '[', ']', '"']))
}

fn looks_like_nft(text: &str) -> bool {
    text.lines().map(str::trim).any(|line| {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("table" | "flush" | "include" | "define" | "destroy" | "delete") => {
                words.next().is_some()
            }
            Some("add" | "create" | "insert") => {
                matches!(
                    words.next(),
                    Some("table" | "chain" | "rule" | "set" | "map" | "element")
                )
            }
            Some(word) => word == "#!/usr/sbin/nft" || word == "#!/sbin/nft",
            None => false,
        }
    })
}

/// Why a text is no ruleset. One line, lower case, no final period.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{source_name}: {error}")]
    Json {
        source_name: String,
        error: json::ReadError,
    },
    #[error("{0}")]
    Bundle(#[from] bundle::HostError),
    #[error("{source_name}: {error}")]
    Refused {
        source_name: String,
        error: nft_words::Refused,
    },
    #[error("{source_name}: the snapshot has no ruleset: {why}")]
    NoRuleset { source_name: String, why: String },
    #[error(
        "{source_name}: this is nft syntax, which only nft itself reads; load it and give `nft -j list ruleset`, or run nfpath as root where nft is installed"
    )]
    NftText { source_name: String },
    #[error(
        "{source_name}: this is iptables-save text of no family that can be told; give it with `--iptables-save`, `--ip6tables-save` or `--ebtables-save`"
    )]
    NoFamily { source_name: String },
    #[error(
        "{source_name}: lines {first} to {last} are a second text of iptables-save, and nothing in them tells whether they are of IPv4 or IPv6; give the texts apart, with `--iptables-save` and `--ip6tables-save`"
    )]
    NoFamilyOf {
        source_name: String,
        first: usize,
        last: usize,
    },
    #[error(
        "{source_name}:{line}: table filter has no chain {chain}: what `iptables -t TABLE -S` prints does not say its table; give `iptables-save`, or put a line `*TABLE` (`*nat`) in front of it and `COMMIT` behind it"
    )]
    NoTable {
        source_name: String,
        line: usize,
        chain: String,
    },
    #[error(
        "{source_name}: this is no ruleset: its first line is `{line}`; expected is the output of `nft -j list ruleset`, `iptables-save`, `nft list ruleset` or `nfpath snapshot`"
    )]
    NotARuleset { source_name: String, line: String },
}

/// What a text given beside the ruleset is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextOf {
    /// `iptables-save`, `ip6tables-save` or `ebtables-save`: of iptables-nft, unless its first comment says otherwise.
    Iptables(iptables::Family),
    /// `iptables-legacy-save` and its like: tables that nft does not list.
    Legacy(iptables::Family),
    /// `ipset save`
    Ipset,
    /// `nft -a list ruleset`, which tells what its JSON leaves out.
    Listing,
}

/// Text of another program given beside the ruleset.
#[derive(Debug, Clone)]
pub struct SaveText {
    pub source: String,
    pub text: String,
    pub of: TextOf,
}

/// A ruleset with everything that was said of it.
#[derive(Debug, Default)]
pub struct Loaded {
    pub document: Document,
    pub ruleset: Ruleset,
    /// What iptables-save text tells of the document's statements.
    pub meanings: Meanings,
    /// Empty unless the input was a snapshot.
    pub host: Host,
    pub hostname: Option<String>,
    pub kernel: Option<String>,
    pub taken: Option<String>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a ruleset of any kind that needs no other program.
pub fn load(source: &str, text: &str, saves: &[SaveText]) -> Result<Loaded, LoadError> {
    load_with(source, text, saves, None)
}

/// Reads a ruleset of any kind but plain nft syntax. `nft` reads what nft tells of iptables extensions as text; without it, that is not used.
pub fn load_with(
    source: &str,
    text: &str,
    saves: &[SaveText],
    nft: Option<Nft<'_>>,
) -> Result<Loaded, LoadError> {
    match recognise(text) {
        Kind::Listing => listing(source, text, saves, Bundle::default(), nft),
        Kind::Bundle => {
            let mut bundle = bundle::read(source, text)?;
            let json = bundle.ruleset_json.take();
            let listed = bundle.ruleset_text.clone();
            let mut all: Vec<SaveText> = saves.to_vec();
            for own in bundle.take_texts(source) {
                if !saves.iter().any(|save| save.of == own.of) {
                    all.push(own);
                }
            }
            match (json, listed, nft) {
                (Some(json), ..) => listing(source, json.get(), &all, bundle, nft),
                (None, Some(text), Some(nft)) => {
                    let (document, notes) = read_text(source, &text, nft)?;
                    Ok(with_texts(document, notes, &all, bundle, None))
                }
                (None, Some(_), None) => Err(LoadError::NftText {
                    source_name: source.into(),
                }),
                (None, None, _) => Err(LoadError::NoRuleset {
                    source_name: source.into(),
                    why: bundle
                        .diagnostics
                        .iter()
                        .find(|said| said.source.contains(", part ruleset"))
                        .map_or_else(
                            || "its part `ruleset` is missing; take it again as root".into(),
                            |said| said.message.clone(),
                        ),
                }),
            }
        }
        Kind::IptablesSave => {
            let own = own_sections(source, text)?;
            let mut diagnostics = Vec::new();
            diagnostics.extend(several(source, &own));
            let all: Vec<SaveText> = own
                .into_iter()
                .map(|(_, text)| text)
                .chain(saves.iter().cloned())
                .collect();
            let read: Vec<save::Save> = saves_of(&all, &mut diagnostics)
                .into_iter()
                .map(|(_, save, _)| save)
                .collect();
            let (document, meanings, notes) = standalone::document(&read);
            diagnostics.extend(named(notes, source));
            Ok(finish(
                document,
                meanings.by_rule,
                diagnostics,
                Bundle::default(),
            ))
        }
        Kind::NftText => Err(LoadError::NftText {
            source_name: source.into(),
        }),
    }
}

/// Refuses a text of iptables that does not say of which table its chains are.
///
/// # Errors
/// Where they cannot be of table filter, which is meant where no table is said.
pub fn check_tables(source: &str, text: &str) -> Result<(), LoadError> {
    match save::misplaced(text) {
        Some(found) => Err(LoadError::NoTable {
            source_name: source.into(),
            line: found.line,
            chain: found.chain,
        }),
        None => Ok(()),
    }
}

/// The texts of an input that is iptables-save text: several where it is the output of several commands.
fn own_sections(source: &str, text: &str) -> Result<Vec<(save::Section, SaveText)>, LoadError> {
    check_tables(source, text)?;
    let sections = save::sections(text);
    let is_one = sections.len() == 1;
    let with_family = |section: save::Section| {
        let Some(family) = save::detect_family(&section.text) else {
            let source_name = source.into();
            let (first, last) = section.lines;
            return Err(match is_one {
                true => LoadError::NoFamily { source_name },
                false => LoadError::NoFamilyOf {
                    source_name,
                    first,
                    last,
                },
            });
        };
        let own = SaveText {
            source: source.into(),
            text: section.text.clone(),
            of: TextOf::Iptables(family),
        };
        Ok((section, own))
    };
    sections.into_iter().map(with_family).collect()
}

/// Says how a text with the output of several commands was taken.
fn several(source: &str, sections: &[(save::Section, SaveText)]) -> Option<Diagnostic> {
    if sections.len() < 2 {
        return None;
    }
    let said: Vec<String> = sections
        .iter()
        .map(|(section, text)| {
            let (first, last) = section.lines;
            let of = match text.of {
                TextOf::Iptables(family) | TextOf::Legacy(family) => family.save_command(),
                TextOf::Ipset | TextOf::Listing => "another command",
            };
            format!("lines {first} to {last} for {of}")
        })
        .collect();
    let message = format!(
        "this is the output of several commands, taken as such: {}",
        said.join(", ")
    );
    Some(Diagnostic::warning(source, message))
}

/// The iptables-save text that an input itself is, or holds.
pub fn saves_within(source: &str, text: &str) -> Vec<SaveText> {
    match recognise(text) {
        Kind::Listing | Kind::NftText => Vec::new(),
        Kind::IptablesSave => own_sections(source, text)
            .unwrap_or_default()
            .into_iter()
            .map(|(_, text)| text)
            .collect(),
        Kind::Bundle => {
            bundle::read(source, text).map_or_else(|_| Vec::new(), |mut b| b.take_texts(source))
        }
    }
}

/// Reads the iptables texts, each with its source and whether it is of x_tables, and gives them the ipsets.
fn saves_of(
    texts: &[SaveText],
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<(String, save::Save, Backend)> {
    let mut sets = ipset::Sets::default();
    for text in texts.iter().filter(|text| text.of == TextOf::Ipset) {
        let (found, notes) = ipset::read(&text.text);
        diagnostics.extend(located(notes, &text.source));
        sets.extend(found);
    }
    let sets = Arc::new(sets);
    let mut saves = Vec::new();
    let parts = texts.iter().flat_map(|text| by_family(text, diagnostics));
    for text in parts.collect::<Vec<SaveText>>() {
        let (family, is_legacy) = match text.of {
            TextOf::Iptables(family) => (family, false),
            TextOf::Legacy(family) => (family, true),
            TextOf::Ipset | TextOf::Listing => continue,
        };
        let (mut save, notes) = save::read(&text.text, family);
        diagnostics.extend(located(notes, &text.source));
        save.sets = Arc::clone(&sets);
        if is_legacy {
            // what the flag says counts more than a comment that several programs write
            save.generator = Some(family.legacy().to_owned());
        }
        let backend = match (is_legacy, save.backend()) {
            // ebtables-legacy-save runs `ebtables`, which may be that of nft
            (true, _) if family == iptables::Family::Bridge => Backend::LegacyByComment,
            (true, _) => Backend::Legacy,
            (false, Some(save::Backend::Legacy)) => Backend::LegacyByComment,
            (false, _) => Backend::Nft,
        };
        saves.push((text.source.clone(), save, backend));
    }
    saves
}

/// The parts of a text that was given for one family, where parts of it say that they are of the other one.
fn by_family(text: &SaveText, diagnostics: &mut Vec<Diagnostic>) -> Vec<SaveText> {
    let (TextOf::Iptables(given) | TextOf::Legacy(given)) = text.of else {
        return vec![text.clone()];
    };
    let sections = save::sections(&text.text);
    if sections.len() < 2 {
        return vec![text.clone()];
    }
    let of = |family| match text.of {
        TextOf::Legacy(_) => TextOf::Legacy(family),
        _ => TextOf::Iptables(family),
    };
    let parts: Vec<(save::Section, SaveText)> = sections
        .into_iter()
        .map(|section| {
            let family = save::detect_family(&section.text).unwrap_or(given);
            let part = SaveText {
                source: text.source.clone(),
                text: section.text.clone(),
                of: of(family),
            };
            (section, part)
        })
        .collect();
    diagnostics.extend(several(&text.source, &parts));
    parts.into_iter().map(|(_, part)| part).collect()
}

/// Which tables a text of iptables tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backend {
    Nft,
    /// The user, or the part of the snapshot, says so.
    Legacy,
    /// The comment of the program that wrote it says so.
    LegacyByComment,
}

/// A diagnostic about a line of an input gets the input's name and keeps the line.
fn located(diagnostics: Vec<Diagnostic>, source: &str) -> impl Iterator<Item = Diagnostic> + '_ {
    diagnostics.into_iter().map(move |mut diagnostic| {
        let line = diagnostic.source.rsplit_once(':').map(|(_, line)| line);
        diagnostic.source = match line {
            Some(line) => format!("{source}:{line}"),
            None => source.to_string(),
        };
        diagnostic
    })
}

/// A diagnostic about a part of an input gets the input's name.
fn named(diagnostics: Vec<Diagnostic>, source: &str) -> impl Iterator<Item = Diagnostic> + '_ {
    diagnostics.into_iter().map(move |mut diagnostic| {
        diagnostic.source = source.to_string();
        diagnostic
    })
}

/// Reads the JSON of a listing together with its text, which has what old versions of nft leave out of the JSON.
pub fn load_with_text(
    source: &str,
    json: &str,
    text: String,
    saves: &[SaveText],
) -> Result<Loaded, LoadError> {
    let own = SaveText {
        source: source.into(),
        text,
        of: TextOf::Listing,
    };
    let all: Vec<SaveText> = std::iter::once(own).chain(saves.iter().cloned()).collect();
    listing(source, json, &all, Bundle::default(), None)
}

/// Reads the text of a listing in which nft could not tell all iptables extensions, and which it therefore does not load again.
pub fn load_listing_text(
    source: &str,
    text: &str,
    saves: &[SaveText],
    nft: Nft<'_>,
) -> Result<Loaded, LoadError> {
    let (document, notes) = read_text(source, text, nft)?;
    Ok(with_texts(document, notes, saves, Bundle::default(), None))
}

fn read_text(
    source: &str,
    text: &str,
    nft: Nft<'_>,
) -> Result<(Document, Vec<Diagnostic>), LoadError> {
    let (mut document, mut notes) =
        nft_words::document(source, text, nft).map_err(|error| LoadError::Refused {
            source_name: source.into(),
            error,
        })?;
    listing_text::complete(&mut document, text);
    if nft_words::is_of_iptables(&document) {
        notes.push(Diagnostic::warning(
            source,
            "tables of iptables-nft as text: nft's words for some iptables extensions say less than they mean; `nft -j list ruleset` with `iptables-save`, or a snapshot, says all",
        ));
    }
    Ok((document, notes))
}

fn listing(
    source: &str,
    text: &str,
    saves: &[SaveText],
    bundle: Bundle,
    nft: Option<Nft<'_>>,
) -> Result<Loaded, LoadError> {
    let start = text.trim_start_matches('\u{feff}').trim_start();
    let first = start.lines().next().unwrap_or("");
    if !first.is_empty() && !looks_like_json(start) {
        return Err(LoadError::NotARuleset {
            source_name: source.into(),
            line: first.chars().take(60).collect(),
        });
    }
    let (document, notes) = json::read(text).map_err(|error| LoadError::Json {
        source_name: source.into(),
        error,
    })?;
    let diagnostics = notes
        .iter()
        .map(|note| Diagnostic::note(source, note.to_string()))
        .collect();
    Ok(with_texts(document, diagnostics, saves, bundle, nft))
}

/// Completes a listing by the texts given beside it.
fn with_texts(
    mut document: Document,
    mut diagnostics: Vec<Diagnostic>,
    saves: &[SaveText],
    bundle: Bundle,
    nft: Option<Nft<'_>>,
) -> Loaded {
    let texts = || saves.iter().filter(|save| save.of == TextOf::Listing);
    for save in texts() {
        listing_text::complete(&mut document, &save.text);
    }
    let mut meanings = merge::Meanings::default();
    let mut legacy = Vec::new();
    for (source, parsed, backend) in saves_of(saves, &mut diagnostics) {
        if backend == Backend::Legacy {
            legacy.push((source, parsed));
            continue;
        }
        let (found, notes) = merge::merge(&document, &parsed);
        // what the listing has rule by rule is the listing's own, whatever wrote the text
        if backend == Backend::LegacyByComment
            && (!notes.is_empty() || !merge::has_rules_of(&document, &parsed))
        {
            legacy.push((source, parsed));
            continue;
        }
        diagnostics.extend(named(notes, &source));
        meanings.extend(found);
        let (listed, not_listed): (Vec<_>, Vec<_>) = parsed
            .tables
            .iter()
            .cloned()
            .partition(|table| merge::is_listed(&document, parsed.family, &table.name));
        for table in &listed {
            let objects = parsed
                .sets
                .objects(parsed.family, &table.name, &table.chains);
            document.objects.extend(objects);
        }
        legacy.push((
            source,
            save::Save {
                tables: not_listed,
                // the listing tells which tables there are
                cut: None,
                ..parsed
            },
        ));
    }
    if let Some(nft) = nft {
        for save in texts() {
            let explained = |at: usize| meanings.by_rule.contains_key(&at);
            let (source, text) = (&save.source, &save.text);
            let notes = nft_words::complete(&mut document, &explained, source, text, nft);
            diagnostics.extend(notes);
        }
    }
    for (source, save) in &legacy {
        let notes = standalone::add_legacy(&mut document, &mut meanings, save);
        diagnostics.extend(named(notes, source));
    }
    finish(document, meanings.by_rule, diagnostics, bundle)
}

fn finish(
    document: Document,
    meanings: Meanings,
    mut diagnostics: Vec<Diagnostic>,
    bundle: Bundle,
) -> Loaded {
    let (ruleset, notes) = lower::lower(&document, &meanings);
    diagnostics.extend(notes);
    diagnostics.extend(bundle.diagnostics);
    Loaded {
        document,
        ruleset,
        meanings,
        host: bundle.host,
        hostname: bundle.hostname,
        kernel: bundle.kernel,
        taken: bundle.taken,
        diagnostics,
    }
}

/// The iptables text that a statement's meaning came from.
pub fn origin(meanings: &Meanings, object: usize, statement: usize) -> Option<&str> {
    let meaning = meanings.get(&object)?.get(statement)?;
    meaning.as_ref().map(|(_, text)| text.as_str())
}

/// A rule that is put into a chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Insertion {
    pub family: Family,
    pub table: Name,
    pub chain: Name,
    /// Rules of the chain that stand before it.
    pub index: usize,
    pub statements: Vec<Stmt>,
}

impl Loaded {
    /// The iptables text of a statement whose meaning came from iptables-save: by object of the document and statement.
    pub fn origin(&self, object: usize, statement: usize) -> Option<&str> {
        origin(&self.meanings, object, statement)
    }

    /// The same with more rules, each put in after the ones before it.
    pub fn with_rules(&self, insertions: &[Insertion]) -> Loaded {
        let mut document = self.document.clone();
        let mut meanings = self.meanings.clone();
        for insertion in insertions {
            let at = insertion.position(&document);
            let rule = ast::Rule {
                family: insertion.family.name().into(),
                table: insertion.table.clone(),
                chain: insertion.chain.clone(),
                expr: Some(insertion.statements.clone()),
                ..ast::Rule::default()
            };
            document.objects.insert(at, Object::Rule(rule));
            let moved = |(object, meaning)| (object + usize::from(object >= at), meaning);
            meanings = meanings.into_iter().map(moved).collect();
        }
        let (ruleset, _) = lower::lower(&document, &meanings);
        Loaded {
            document,
            ruleset,
            meanings,
            host: self.host.clone(),
            hostname: self.hostname.clone(),
            kernel: self.kernel.clone(),
            taken: self.taken.clone(),
            diagnostics: self.diagnostics.clone(),
        }
    }

    /// Whether the listing has iptables extensions whose meaning is not known.
    pub fn has_opaque_extensions(&self) -> bool {
        self.document
            .objects
            .iter()
            .enumerate()
            .any(|(at, object)| match object {
                Object::Rule(rule) => {
                    rule.expr.iter().flatten().enumerate().any(|(n, stmt)| {
                        matches!(stmt, Stmt::Xt(_)) && self.origin(at, n).is_none()
                    })
                }
                _ => false,
            })
    }
}

impl Insertion {
    /// Where the rule stands among the objects of a document.
    fn position(&self, document: &Document) -> usize {
        let is_of_chain = |object: &Object| {
            matches!(object, Object::Rule(rule)
                if rule.family == self.family.name() && rule.table == self.table && rule.chain == self.chain)
        };
        let rules = document.objects.iter().enumerate();
        let mut rules = rules.filter(|(_, object)| is_of_chain(object));
        match rules.nth(self.index) {
            Some((at, _)) => at,
            None => document.objects.len(),
        }
    }
}
