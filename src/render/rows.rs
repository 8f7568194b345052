//! Many answers, a line each: text in columns, CSV, one JSON object a line.

use colored::Colorize;
use unicode_width::UnicodeWidthStr;

use crate::json;
use crate::report::row::Row;

use super::safe;

/// CSV with a heading.
pub fn csv(rows: &[Row]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        // writing strings to memory cannot fail
        let _ = writer.serialize(row);
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One JSON object a line.
pub fn ndjson(rows: &[Row]) -> String {
    rows.iter().map(json::line).collect()
}

/// Verdict, flow, and who decided.
pub fn text(rows: &[Row], width: usize, color: bool) -> String {
    let flows: Vec<String> = rows.iter().map(|row| safe::terminal(&row.flow)).collect();
    let column = flows
        .iter()
        .map(|flow| flow.width())
        .max()
        .unwrap_or(0)
        .min(width / 2);
    let mut out = String::new();
    for (row, flow) in rows.iter().zip(&flows) {
        let verdict = format!("{:<8}", row.verdict.to_uppercase());
        let verdict = match (color, row.verdict) {
            (false, _) => verdict,
            (true, "accept") => verdict.green().bold().to_string(),
            (true, "drop" | "reject") => verdict.red().bold().to_string(),
            (true, _) => verdict.yellow().bold().to_string(),
        };
        let mut rest = Vec::new();
        if row.of == "reply" {
            rest.push("the reply:".to_string());
        }
        if !row.by.is_empty() {
            rest.push(safe::terminal(&row.by));
        }
        if !row.owner.is_empty() {
            rest.push(safe::terminal(&format!("({})", row.owner)));
        }
        if row.by == "the host" {
            rest.push(format!("({})", row.disposition));
        }
        if !row.why.is_empty() {
            rest.push(safe::terminal(&row.why));
        }
        let rest = shortened(&rest.join(" "), width.saturating_sub(column + 11));
        let gap = " ".repeat(column.saturating_sub(flow.width()));
        out += format!("{verdict} {flow}{gap}  {rest}").trim_end();
        out.push('\n');
    }
    out
}

/// As much of a text as fits in so many columns.
fn shortened(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_string();
    }
    let mut out = String::new();
    for c in text.chars() {
        if out.width() + 2 > columns {
            break;
        }
        out.push(c);
    }
    out + "…"
}
