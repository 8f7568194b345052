//! Many flows in CSV with a heading, or one JSON object a line.

use serde_json::Value;

use crate::diagnostic::Diagnostic;
use crate::flow::{self, parse_icmp_type, parse_mark, parse_protocol, parse_tcp_flags};
use crate::load::ip_json::parse_mac;

use super::{Seen, flow_of};

/// The columns that are read; `flow` stands for the first five.
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

/// True for JSON lines, and for CSV whose first line names a `flow` or a `dst`.
pub(super) fn is(text: &str) -> bool {
    let first = text.lines().find(|line| !line.trim().is_empty());
    first.is_some_and(|line| line.trim_start().starts_with('{') || is_heading(line))
}

fn is_heading(line: &str) -> bool {
    let mut names = line.split(',').map(|name| name.trim().trim_matches('"'));
    let known = names
        .clone()
        .all(|name| !name.is_empty() && !name.contains(['-', ':', '>']));
    known && names.any(|name| name == "dst" || name == "flow")
}

type Found = (Vec<Seen>, Vec<Diagnostic>);

pub(super) fn read(source: &str, text: &str) -> Result<Found, String> {
    if text.trim_start().starts_with('{') {
        return Ok(json(source, text));
    }
    csv(source, text)
}

fn json(source: &str, text: &str) -> Found {
    let (mut found, mut diagnostics) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let at = format!("line {}", number + 1);
        let row = serde_json::from_str::<Value>(line)
            .map_err(|error| format!("not a JSON object: {error}"))
            .and_then(|value| {
                row(|key| match value.get(key) {
                    None | Some(Value::Null) => None,
                    Some(Value::String(text)) => Some(text.clone()),
                    Some(other) => Some(other.to_string()),
                })
            });
        keep(row, at, source, &mut found, &mut diagnostics);
    }
    (found, diagnostics)
}

fn csv(source: &str, text: &str) -> Result<Found, String> {
    let (mut found, mut diagnostics) = (Vec::new(), Vec::new());
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let heading = reader.headers().map_err(|error| error.to_string())?.clone();
    let unread: Vec<&str> = heading
        .iter()
        .filter(|name| !COLUMNS.contains(name))
        .collect();
    if !unread.is_empty() {
        let message = format!("columns that are not read: {}", unread.join(", "));
        diagnostics.push(Diagnostic::note(source, message));
    }
    for record in reader.records() {
        let (at, row) = match record {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                let cell = |key: &str| {
                    let at = heading.iter().position(|name| name == key)?;
                    record
                        .get(at)
                        .filter(|cell| !cell.is_empty())
                        .map(str::to_string)
                };
                (line, row(cell))
            }
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                (line, Err(error.to_string()))
            }
        };
        keep(
            row,
            format!("line {at}"),
            source,
            &mut found,
            &mut diagnostics,
        );
    }
    Ok((found, diagnostics))
}

fn keep(
    row: Result<Seen, String>,
    at: String,
    source: &str,
    found: &mut Vec<Seen>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    match row {
        Ok(seen) => found.push(Seen { at, ..seen }),
        Err(why) => diagnostics.push(Diagnostic::warning(format!("{source}: {at}"), why)),
    }
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
    seen.question.uid = number("uid")?.and_then(|uid| u32::try_from(uid).ok());
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
