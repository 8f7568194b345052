//! Many flows in CSV with a heading, or one JSON object a line.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::diagnostic::Diagnostic;
use crate::flow::{self, parse_icmp_type, parse_mark, parse_protocol, parse_tcp_flags};
use crate::load::ip_json::parse_mac;

use super::{Line, Seen, flow_of};

/// The columns that are read.
const COLUMNS: &[&str] = &[
    "flow",
    "proto",
    "src",
    "sport",
    "dst",
    "dport",
    "iif",
    "oif",
    "in_port",
    "mark",
    "tcp_flags",
    "icmp_type",
    "length",
    "uid",
    "ether_src",
    "ether_dst",
];

/// The columns that `flow` stands for.
const IN_FLOW: &[&str] = &["proto", "src", "sport", "dst", "dport"];

/// What stands between the cells: spreadsheets write `;` where the comma is the decimal point.
const SEPARATORS: [char; 3] = [',', ';', '\t'];

/// True for CSV whose first line names a `flow` or a `dst`.
pub(super) fn is(text: &str) -> bool {
    heading(text).is_some()
}

/// The separator of the heading that a text begins with.
fn heading(text: &str) -> Option<char> {
    let is_content = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let first = text.lines().find(is_content)?;
    let is_heading = |separator: &char| {
        let mut names = first
            .split(*separator)
            .map(|name| name.trim().trim_matches('"'));
        let known = names
            .clone()
            .all(|name| !name.is_empty() && !name.contains(['-', ':', '>', '{']));
        known
            && names.any(|name| {
                ["dst", "flow"]
                    .iter()
                    .any(|one| name.eq_ignore_ascii_case(one))
            })
    };
    SEPARATORS.into_iter().find(is_heading)
}

type Found = (Vec<Seen>, Vec<Diagnostic>);

/// A line that is one JSON object.
pub(super) fn line(text: &str) -> Line {
    let inner = text.strip_prefix('[').map(str::trim_start);
    if inner.is_some_and(|inner| inner.is_empty() || inner.starts_with('{')) {
        return Line::Refused(
            "a JSON array: write one object a line, as `jq -c '.[]'` does".into(),
        );
    }
    if !text.starts_with('{') {
        return Line::Other;
    }
    let Members(all) = match serde_json::from_str(text) {
        Ok(members) => members,
        Err(_) if text == "{" => {
            return Line::Refused(
                "a JSON object that does not end in its line: write one object a line, as `jq -c .` does".into(),
            );
        }
        Err(error) => return Line::Bad(format!("not a JSON object: {error}")),
    };
    let names = all.iter().map(|(name, _)| name.as_str());
    if let Some(twice) = twice(names) {
        return Line::Refused(format!("member `{twice}` stands there twice"));
    }
    let members: Map<String, Value> = all.into_iter().collect();
    if let Some(unknown) = members.keys().find(|name| !is_column(name)) {
        return Line::Refused(match nearest(unknown) {
            Some(near) => format!("unknown member `{unknown}`; did you mean `{near}`?"),
            None => format!(
                "unknown member `{unknown}`; known are {}",
                COLUMNS.join(", ")
            ),
        });
    }
    let cell = |key: &str| match members.get(key) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    };
    match said_twice(cell) {
        Some(why) => Line::Refused(why),
        None => match row(cell) {
            Ok(seen) => Line::Flow(Box::new(seen)),
            Err(why) => Line::Bad(why),
        },
    }
}

/// The members of an object as they are written, which may be the same twice.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Each)
    }
}

/// The first name that stands there a second time.
fn twice<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut met = HashSet::new();
    names.into_iter().find(|name| !met.insert(*name))
}

fn is_column(name: &str) -> bool {
    COLUMNS.contains(&name)
}

fn nearest(name: &str) -> Option<&'static str> {
    flow::nearest(name, COLUMNS.iter().copied())
}

/// A flow and a part of it beside it: one of them would count for nothing.
fn said_twice(cell: impl Fn(&str) -> Option<String>) -> Option<String> {
    cell("flow")?;
    let twice = IN_FLOW.iter().find(|key| cell(key).is_some())?;
    Some(format!(
        "`flow` and `{twice}` beside it: write `{twice}` into the flow, or leave `flow` out"
    ))
}

pub(super) fn read(source: &str, text: &str) -> Result<Found, String> {
    let separator = heading(text).unwrap_or(',');
    let (mut found, mut diagnostics) = (Vec::new(), Vec::new());
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .comment(Some(b'#'))
        .delimiter(separator as u8)
        .from_reader(text.as_bytes());
    let heading = reader.headers().map_err(|error| error.to_string())?;
    // spreadsheets capitalise
    let heading: Vec<String> = heading
        .iter()
        .map(|name| match name.to_ascii_lowercase() {
            known if is_column(&known) => known,
            _ => name.to_owned(),
        })
        .collect();
    if let Some(twice) = twice(heading.iter().map(String::as_str)) {
        return Err(format!("column `{twice}` stands there twice"));
    }
    let unread: Vec<&str> = heading
        .iter()
        .map(String::as_str)
        .filter(|name| !is_column(name))
        .collect();
    for name in &unread {
        if let Some(near) = nearest(name) {
            return Err(format!("unknown column `{name}`; did you mean `{near}`?"));
        }
    }
    if !unread.is_empty() {
        let message = format!("columns that are not read: {}", unread.join(", "));
        diagnostics.push(Diagnostic::note(source, message));
    }
    for record in reader.records() {
        let (at, row) = match record {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                if record.len() != heading.len() {
                    let cells = match record.len() {
                        1 => "1 cell".to_string(),
                        several => format!("{several} cells"),
                    };
                    return Err(format!(
                        "line {line}: {cells}, where the heading has {}",
                        heading.len()
                    ));
                }
                let cell = |key: &str| {
                    let at = heading.iter().position(|name| name == key)?;
                    record
                        .get(at)
                        .filter(|cell| !cell.is_empty())
                        .map(str::to_string)
                };
                if let Some(why) = said_twice(cell) {
                    return Err(format!("line {line}: {why}"));
                }
                (line, row(cell))
            }
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                (line, Err(error.to_string()))
            }
        };
        let at = format!("line {at}");
        match row {
            Ok(seen) => found.push(Seen { at, ..seen }),
            Err(why) => diagnostics.push(Diagnostic::warning(format!("{source}: {at}"), why)),
        }
    }
    Ok((found, diagnostics))
}

fn row(cell: impl Fn(&str) -> Option<String>) -> Result<Seen, String> {
    let number = |key: &str| -> Result<Option<u64>, String> {
        let parse = |text: String| {
            text.parse()
                .map_err(|_| format!("`{key}` is `{text}`, which is no number"))
        };
        cell(key).map(parse).transpose()
    };
    let small = |key: &str| -> Result<Option<u16>, String> {
        let fits =
            |n: u64| u16::try_from(n).map_err(|_| format!("`{key}` is {n}, which is too large"));
        number(key)?.map(fits).transpose()
    };
    let flow = match cell("flow") {
        Some(text) => flow::parse(&text).map_err(|error| error.to_string())?,
        None => {
            let address = |key: &str| {
                let parse = |text: String| {
                    text.parse()
                        .map_err(|_| format!("`{key}` is `{text}`, which is no address"))
                };
                cell(key).map(parse).transpose()
            };
            let proto = cell("proto").ok_or("a row without `proto`")?;
            let proto = parse_protocol(&proto).map_err(|error| error.to_string())?;
            let dst = address("dst")?.ok_or("a row without `dst`")?;
            flow_of(
                proto,
                address("src")?,
                small("sport")?,
                dst,
                small("dport")?,
            )?
        }
    };
    let mut seen = Seen::new(flow);
    (seen.question.iif, seen.question.oif, seen.question.in_port) =
        (cell("iif"), cell("oif"), cell("in_port"));
    if let Some(mark) = cell("mark") {
        seen.question.mark = parse_mark(&mark).map_err(|error| error.to_string())?;
    }
    if let Some(flags) = cell("tcp_flags") {
        seen.question.tcp_flags = Some(parse_tcp_flags(&flags).map_err(|error| error.to_string())?);
    }
    if let Some(kind) = cell("icmp_type") {
        let message = parse_icmp_type(&kind, flow.family).map_err(|error| error.to_string())?;
        seen.question.icmp = Some((message.kind, message.code.unwrap_or(0)));
    }
    seen.question.length = small("length")?;
    let uid =
        |uid: u64| u32::try_from(uid).map_err(|_| format!("`uid` is {uid}, which is too large"));
    seen.question.uid = number("uid")?.map(uid).transpose()?;
    let ether = |key: &str| {
        let parse = |text: String| {
            parse_mac(&text)
                .ok_or_else(|| format!("`{key}` is `{text}`, which is no Ethernet address"))
        };
        cell(key).map(parse).transpose()
    };
    (seen.question.ether_src, seen.question.ether_dst) = (ether("ether_src")?, ether("ether_dst")?);
    Ok(seen)
}
