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

/// Whether a character is not shown but changes how others are: control characters, directions of text (`Bidi_Control`), and
/// marks without width.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Escapes what steers terminals and stands in strings only; line ends stand between them.
fn escaped(text: String) -> String {
    let steers = |c: char| c != '\n' && steers(c);
    if !text.contains(steers) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            // characters beyond the first plane are two escapes
            for unit in c.encode_utf16(&mut [0; 2]) {
                out += &format!("\\u{unit:04x}");
            }
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
        let name = "a\u{9b}2J\u{202e}b\u{61c}\u{1b}[2J \u{e0041}ä";
        for text in [pretty(&name), line(&name)] {
            assert!(!text.trim_end().contains(steers), "{text}");
            assert!(text.contains('ä'), "{text}");
            assert_eq!(serde_json::from_str::<String>(&text).expect("JSON"), name);
        }
    }
}
