//! Reads the JSON of `nft -j list ruleset` into the syntax tree and writes the tree back.
//!
//! Reading never fails because of one odd rule: what this version does not know is kept raw in the tree and told as
//! a [`ReadNote`]. Only text that is no ruleset at all is a [`ReadError`]. Writing gives the same JSON values that
//! were read. What anything *means* is left out; so is any check that names refer to something.

mod node;
mod notes;
mod tree;
mod write;

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;
use thiserror::Error;

use super::ast::{Document, Expr, Extra, Object, Stmt, Str};
use node::{How, Key, Node};

/// The deepest nesting of arrays and objects that is read; nft's own listings stay below 20.
pub const MAX_DEPTH: usize = 128;

/// Why a text is no ruleset. Lines and columns count from 1, columns in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    #[error(
        "the ruleset is empty: nft printed nothing (nft 1.0.6 crashes and prints nothing when a newer nft made a \
         named set); list it with the newer nft"
    )]
    Empty,
    #[error(
        "the JSON ends in the middle, at line {line} column {column}: was the file cut? save the whole output of \
         `nft -j list ruleset` again"
    )]
    Truncated { line: usize, column: usize },
    #[error(
        "not JSON at line {line} column {column}: {what}; save the output of `nft -j list ruleset`"
    )]
    NotJson {
        line: usize,
        column: usize,
        what: String,
    },
    #[error("this is JSON, but no ruleset: {what}; save the output of `nft -j list ruleset`")]
    OtherJson { what: String },
    #[error(
        "text after the end of the ruleset at line {line} column {column}: is this two files in one? keep one \
         listing in the file"
    )]
    Trailing { line: usize, column: usize },
    #[error(
        "nested deeper than {MAX_DEPTH} levels at line {line} column {column}: nft writes nothing like that; save \
         the output of `nft -j list ruleset`"
    )]
    TooDeep { line: usize, column: usize },
}

/// Something in the listing that this version does not know, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadNote {
    pub place: Place,
    /// What is not known, in words, such as ``unknown statement `frobnicate` ``.
    pub what: String,
}

/// Where in a ruleset something stands; empty for the listing itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    pub family: Option<Str>,
    pub table: Option<Str>,
    /// The chain of a rule, or a chain itself.
    pub chain: Option<Str>,
    /// The name of a set, map, flowtable or other named object.
    pub object: Option<Str>,
    pub handle: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [&self.family, &self.table, &self.chain, &self.object];
        let mut first = true;
        for name in names.into_iter().flatten() {
            if !first {
                f.write_str(" ")?;
            }
            first = false;
            write!(f, "{}", name.escape_debug())?;
        }
        match self.handle {
            Some(handle) if first => write!(f, "handle {handle}"),
            Some(handle) => write!(f, " handle {handle}"),
            None if first => f.write_str("the listing"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ReadNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Reads a listing, or the same in the form of `add` commands.
///
/// The notes come in document order.
pub fn read(text: &str) -> Result<(Document, Vec<ReadNote>), ReadError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(ReadError::Empty);
    }
    check_depth(text)?;
    let mut listing = Listing {
        text,
        found: Found::default(),
    };
    let mut json = serde_json::Deserializer::from_str(text);
    if let Err(error) = (&mut listing).deserialize(&mut json) {
        if let Some(error) = listing.found.error {
            return Err(error);
        }
        return Err(match error.classify() {
            Category::Data => other_json(text),
            _ => syntax(text, &error),
        });
    }
    if let Err(error) = json.end() {
        return Err(ReadError::Trailing {
            line: error.line(),
            column: error.column(),
        });
    }
    let Some(objects) = listing.found.objects else {
        return Err(other_json(text));
    };
    let document = Document {
        objects,
        extra: listing.found.extra,
    };
    let notes = notes::of(&document);
    Ok((document, notes))
}

/// The statement on an element of a set, which the tree keeps by key and raw value.
pub fn element_stmt(key: &str, value: &Value) -> Option<Stmt> {
    let mut object = serde_json::Map::new();
    object.insert(key.to_owned(), value.clone());
    Stmt::read(&Value::Object(object), How::Strict).ok()
}

/// An expression that the tree keeps raw; `None` when it is of no known shape.
pub fn expression(value: &Value) -> Option<Expr> {
    Expr::read(value, How::Strict)
        .ok()
        .filter(|expr| !matches!(expr, Expr::Unknown(_)))
}

/// The top level of the text while it is being read.
struct Listing<'t> {
    text: &'t str,
    found: Found,
}

#[derive(Default)]
struct Found {
    objects: Option<Vec<Object>>,
    extra: Extra,
    /// An error whose position is known better than the JSON reader knows it.
    error: Option<ReadError>,
}

impl<'de> DeserializeSeed<'de> for &mut Listing<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Listing<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the key `nftables`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            if key == "nftables" {
                let members = Members {
                    text: self.text,
                    error: &mut self.found.error,
                };
                self.found.objects = Some(map.next_value_seed(members)?);
            } else {
                self.found.extra.push(Str::from(key), map.next_value()?);
            }
        }
        Ok(())
    }
}

/// The array under `nftables`.
struct Members<'t, 'e> {
    text: &'t str,
    error: &'e mut Option<ReadError>,
}

impl<'de> DeserializeSeed<'de> for Members<'_, '_> {
    type Value = Vec<Object>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Members<'_, '_> {
    type Value = Vec<Object>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the array of the listing")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut objects = Vec::new();
        while let Some(raw) = seq.next_element::<&'de RawValue>()? {
            match tree::object(raw) {
                Ok(object) => objects.push(object),
                Err(error) => {
                    // Well-formed brackets around something that is no JSON value, such as half a surrogate pair.
                    *self.error = Some(syntax_inside(self.text, raw.get(), &error));
                    return Err(serde::de::Error::custom("no JSON value"));
                }
            }
        }
        Ok(objects)
    }
}

/// Refuses nesting that could exhaust the stack of whoever walks the tree, before anything recursive runs.
fn check_depth(text: &str) -> Result<(), ReadError> {
    let bytes = text.as_bytes();
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    let (line, column) = position(text, at);
                    return Err(ReadError::TooDeep { line, column });
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                at += 1;
                while let Some(&inside) = bytes.get(at) {
                    match inside {
                        b'"' => break,
                        b'\\' => at += 2,
                        _ => at += 1,
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// Line and column, from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let column = before
        .iter()
        .rev()
        .take_while(|&&byte| byte != b'\n')
        .count()
        + 1;
    (line, column)
}

fn syntax(text: &str, error: &serde_json::Error) -> ReadError {
    let (line, column) = (error.line(), error.column());
    if error.classify() == Category::Eof {
        return ReadError::Truncated { line, column };
    }
    let start = text.trim_start();
    let what = if start.starts_with("table ")
        || start.starts_with("#!")
        || start.starts_with("flush ruleset")
    {
        "this is nft's text form, list it with -j".to_owned()
    } else if start.starts_with("*filter")
        || start.starts_with("# Generated by")
        || start.starts_with("*nat")
    {
        "this is the output of iptables-save".to_owned()
    } else {
        reason(error)
    };
    ReadError::NotJson { line, column, what }
}

fn syntax_inside(text: &str, part: &str, error: &serde_json::Error) -> ReadError {
    let start = (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    let inside: usize = part
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum();
    let offset = start
        .saturating_add(inside)
        .saturating_add(error.column().saturating_sub(1));
    let (line, column) = position(text, offset);
    ReadError::NotJson {
        line,
        column,
        what: reason(error),
    }
}

/// The JSON reader's message without its own position.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rfind(" at line ") {
        Some(end) => message[..end].to_owned(),
        None => message,
    }
}

/// What a JSON text that has no listing seems to be.
fn other_json(text: &str) -> ReadError {
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => return syntax(text, &error),
    };
    let what = match &value {
        Value::Array(members) => match members.first().and_then(Value::as_object) {
            None => "it is an array without objects".to_owned(),
            Some(first) if first.contains_key("ifname") || first.contains_key("ifindex") => {
                "it is an array of links or addresses, as `ip -j link` prints".to_owned()
            }
            Some(first) if first.contains_key("dst") => {
                "it is an array of routes or neighbours, as `ip -j route` prints".to_owned()
            }
            Some(first) if first.keys().any(|key| tree::is_object_kind(key)) => {
                "it is the array of a listing without the object `nftables` around it".to_owned()
            }
            Some(first) => format!("it is an array of objects with {}", keys(first)),
        },
        Value::Object(map) if map.contains_key("nftables") => {
            "the value of `nftables` is no array".to_owned()
        }
        Value::Object(map) if map.is_empty() => {
            "it is an empty object without the key `nftables`".to_owned()
        }
        Value::Object(map) => format!(
            "it is an object without the key `nftables`, with {}",
            keys(map)
        ),
        Value::String(_) => "it is one string".to_owned(),
        Value::Number(_) | Value::Bool(_) => "it is one number or truth value".to_owned(),
        Value::Null => "it is `null`".to_owned(),
    };
    ReadError::OtherJson { what }
}

fn keys(map: &serde_json::Map<String, Value>) -> String {
    let shown: Vec<String> = map
        .keys()
        .take(3)
        .map(|key| {
            format!(
                "`{}`",
                key.chars().take(24).collect::<String>().escape_debug()
            )
        })
        .collect();
    match shown.len() {
        0 => "no keys".to_owned(),
        1 => format!("the key {}", shown.join(", ")),
        _ => format!("the keys {}", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests;
