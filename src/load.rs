//! Reading text into the domain: every reader gives the value and the diagnostics, and does no I/O itself.

pub mod bundle;
pub mod ip_json;
mod listing_text;
pub mod lower;
pub mod sysctl;

use std::collections::HashMap;

use crate::diagnostic::Diagnostic;
use crate::host::Host;
use crate::iptables::{self, merge, save, standalone};
use crate::nft::ast::{Document, Object, Stmt};
use crate::nft::json;
use crate::ruleset::Ruleset;

use bundle::Bundle;
use lower::Meanings;

/// The iptables text of statements whose meaning came from iptables-save: by object, then by statement.
pub type Origins = HashMap<usize, Vec<Option<String>>>;

/// What a text is, by content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `nft -j list ruleset`
    Listing,
    Bundle,
    /// `iptables-save` or `ip6tables-save`
    IptablesSave,
    /// nft's own syntax, which only nft itself reads.
    NftText,
}

/// Tells the kinds apart.
pub fn recognise(text: &str) -> Kind {
    let start = text.trim_start_matches('\u{feff}').trim_start();
    if start.starts_with('{') || start.starts_with('[') || start.is_empty() {
        if bundle::is_bundle(text) {
            Kind::Bundle
        } else {
            Kind::Listing
        }
    } else if save::looks_like_save(text) {
        Kind::IptablesSave
    } else if looks_like_nft(start) {
        Kind::NftText
    } else {
        Kind::Listing
    }
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
    #[error("{source_name}: the snapshot has no ruleset: {why}")]
    NoRuleset { source_name: String, why: String },
    #[error(
        "{source_name}: this is nft syntax, which only nft itself reads; load it and give `nft -j list ruleset`, or run nfpath as root where nft is installed"
    )]
    NftText { source_name: String },
    #[error(
        "{source_name}: this is iptables-save text of no family that can be told; give it with `--iptables-save` or `--ip6tables-save`"
    )]
    NoFamily { source_name: String },
}

/// iptables-save text given beside the ruleset.
#[derive(Debug, Clone)]
pub struct SaveText {
    pub source: String,
    pub text: String,
    pub family: iptables::Family,
}

/// A ruleset with everything that was said of it.
#[derive(Debug, Default)]
pub struct Loaded {
    pub document: Document,
    pub ruleset: Ruleset,
    pub origins: Origins,
    /// Empty unless the input was a snapshot.
    pub host: Host,
    pub hostname: Option<String>,
    pub kernel: Option<String>,
    pub taken: Option<String>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a ruleset of any kind that needs no other program.
pub fn load(source: &str, text: &str, saves: &[SaveText]) -> Result<Loaded, LoadError> {
    match recognise(text) {
        Kind::Listing => listing(source, text, saves, Bundle::default()),
        Kind::Bundle => {
            let mut bundle = bundle::read(source, text)?;
            let Some(json) = bundle.ruleset_json.take() else {
                let why =
                    "its part `ruleset` is missing or failed; take it again as root".to_string();
                return Err(LoadError::NoRuleset {
                    source_name: source.into(),
                    why,
                });
            };
            let mut all: Vec<SaveText> = saves.to_vec();
            let parts = [
                (
                    bundle.iptables_save.take(),
                    iptables::Family::Ip,
                    "iptables-save",
                ),
                (
                    bundle.ip6tables_save.take(),
                    iptables::Family::Ip6,
                    "ip6tables-save",
                ),
            ];
            for (text, family, part) in parts {
                if let Some(text) = text
                    && !saves.iter().any(|save| save.family == family)
                {
                    all.push(SaveText {
                        source: format!("{source} ({part})"),
                        text,
                        family,
                    });
                }
            }
            listing(source, json.get(), &all, bundle)
        }
        Kind::IptablesSave => {
            let Some(family) = save::detect_family(text) else {
                return Err(LoadError::NoFamily {
                    source_name: source.into(),
                });
            };
            let own = SaveText {
                source: source.into(),
                text: text.into(),
                family,
            };
            let mut diagnostics = Vec::new();
            let mut read = Vec::new();
            for save in std::iter::once(&own).chain(saves) {
                let (parsed, notes) = save::read(&save.text, save.family);
                diagnostics.extend(named(notes, &save.source));
                read.push(parsed);
            }
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

/// The iptables-save text that an input itself is, or holds.
pub fn saves_within(source: &str, text: &str) -> Vec<SaveText> {
    let save = |text: String, family| SaveText {
        source: source.into(),
        text,
        family,
    };
    match recognise(text) {
        Kind::Listing | Kind::NftText => Vec::new(),
        Kind::IptablesSave => save::detect_family(text)
            .map(|family| save(text.into(), family))
            .into_iter()
            .collect(),
        Kind::Bundle => {
            let Ok(bundle) = bundle::read(source, text) else {
                return Vec::new();
            };
            let v4 = bundle.iptables_save.map(|t| save(t, iptables::Family::Ip));
            let v6 = bundle
                .ip6tables_save
                .map(|t| save(t, iptables::Family::Ip6));
            v4.into_iter().chain(v6).collect()
        }
    }
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
    let bundle = Bundle {
        ruleset_text: Some(text),
        ..Bundle::default()
    };
    listing(source, json, saves, bundle)
}

fn listing(
    source: &str,
    text: &str,
    saves: &[SaveText],
    bundle: Bundle,
) -> Result<Loaded, LoadError> {
    let (mut document, notes) = json::read(text).map_err(|error| LoadError::Json {
        source_name: source.into(),
        error,
    })?;
    if let Some(text) = &bundle.ruleset_text {
        listing_text::complete(&mut document, text);
    }
    let mut diagnostics: Vec<Diagnostic> = notes
        .iter()
        .map(|note| Diagnostic::note(source, note.to_string()))
        .collect();
    let mut meanings = merge::Meanings::default();
    for save in saves {
        let (parsed, notes) = save::read(&save.text, save.family);
        diagnostics.extend(named(notes, &save.source));
        let (found, notes) = merge::merge(&document, &parsed);
        diagnostics.extend(named(notes, &save.source));
        meanings.extend(found);
    }
    Ok(finish(document, meanings.by_rule, diagnostics, bundle))
}

fn finish(
    document: Document,
    meanings: Meanings,
    mut diagnostics: Vec<Diagnostic>,
    bundle: Bundle,
) -> Loaded {
    let (ruleset, notes) = lower::lower(&document, &meanings);
    diagnostics.extend(notes);
    let origins = meanings
        .into_iter()
        .map(|(object, statements)| {
            let texts = statements
                .into_iter()
                .map(|meaning| meaning.map(|(_, text)| text))
                .collect();
            (object, texts)
        })
        .collect();
    diagnostics.extend(bundle.diagnostics);
    Loaded {
        document,
        ruleset,
        origins,
        host: bundle.host,
        hostname: bundle.hostname,
        kernel: bundle.kernel,
        taken: bundle.taken,
        diagnostics,
    }
}

impl Loaded {
    /// Whether the listing has iptables extensions whose meaning is not known.
    pub fn has_opaque_extensions(&self) -> bool {
        self.document
            .objects
            .iter()
            .enumerate()
            .any(|(at, object)| match object {
                Object::Rule(rule) => rule.expr.iter().flatten().enumerate().any(|(n, stmt)| {
                    matches!(stmt, Stmt::Xt(_))
                        && self
                            .origins
                            .get(&at)
                            .and_then(|o| o.get(n))
                            .is_none_or(Option::is_none)
                }),
                _ => false,
            })
    }
}
