//! Answers as JSON text. What rulesets name is untrusted, and JSON is read on terminals, too: what may steer a terminal stands
//! there as an escape, which is the same string to whoever reads JSON (RFC 8259, section 7).

use serde::Serialize;

/// Many lines, with a newline at the end. For own types of strings and numbers, of which there is nothing that cannot be
/// written.
pub fn pretty(document: &impl Serialize) -> String {
    escaped(serde_json::to_string_pretty(document).unwrap_or_default()) + "\n"
}

/// The same in one line.
pub fn line(document: &impl Serialize) -> String {
    escaped(serde_json::to_string(document).unwrap_or_default()) + "\n"
}

/// Escapes what steers terminals and stands in strings only: C1 control characters, directions of text, marks without width.
fn escaped(text: String) -> String {
    let steers = |c: char| {
        matches!(
            c,
            '\u{7f}'..='\u{9f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
        )
    };
    if !text.contains(steers) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            out += &format!("\\u{:04x}", c as u32);
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_steers_terminals_is_escaped_and_stays_the_same_string() {
        let name = "a\u{9b}2J\u{202e}b\u{1b}[2J ä";
        for text in [pretty(&name), line(&name)] {
            assert!(
                !text.trim_end().contains(['\u{9b}', '\u{202e}', '\u{1b}']),
                "{text}"
            );
            assert!(text.contains('ä'), "{text}");
            assert_eq!(serde_json::from_str::<String>(&text).expect("JSON"), name);
        }
    }
}
