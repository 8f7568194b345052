//! Text of rulesets is untrusted: made safe for each medium here.

use crate::json::steers;

/// Text for a terminal: control characters, escape sequences and bidirectional overrides become visible escapes.
pub fn terminal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match steers(c) {
            true => out.push_str(&c.escape_default().to_string()),
            false => out.push(c),
        }
    }
    out
}

/// Text of many lines for a terminal: as [`terminal`], but line ends and tabs stay.
pub fn terminal_text(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| match line.strip_suffix('\n') {
            Some(line) => format!("{}\n", tabs(line)),
            None => tabs(line),
        })
        .collect()
}

fn tabs(line: &str) -> String {
    line.split('\t')
        .map(terminal)
        .collect::<Vec<_>>()
        .join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_sequence_in_a_comment_is_shown_not_obeyed() {
        assert_eq!(terminal("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(terminal("x\u{202e}y"), "x\\u{202e}y");
        assert_eq!(terminal("grün"), "grün");
    }
}
