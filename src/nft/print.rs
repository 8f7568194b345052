//! Prints the syntax tree as nft's own text, for people and for `nft -f`.
//!
//! The text of a whole document loads again wherever the listing itself is complete; what a listing leaves out
//! (arguments of xt, devices of netdev chains in old versions, …) cannot come back. nft has no way to write a double
//! quote inside a quoted string, so it becomes a single one here. Whether the text is safe for a terminal is left to
//! whoever shows it.

mod expr;
mod object;
mod stmt;
mod types;

use std::fmt::Write;

use super::ast::{Document, Expr, Rule, Stmt};

pub use object::priority_words;

/// How much is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Print the numbers of counters, quotas in use, and what remains of an element's time.
    pub state: bool,
    /// Print `comment "…"` behind a rule.
    pub comment: bool,
}

/// A whole ruleset that `nft -f` loads.
///
/// A rule with an unknown part is a comment, since without that part it would mean something else.
pub fn document(document: &Document) -> String {
    let mut printer = Printer::new(Style {
        state: true,
        comment: true,
    });
    printer.document(document);
    printer.out
}

/// The statements of one rule on one line, without counts and comment.
pub fn rule(rule: &Rule) -> String {
    rule_with(rule, Style::default())
}

/// The statements of one rule on one line.
pub fn rule_with(rule: &Rule, style: Style) -> String {
    let mut printer = Printer::new(style);
    printer.rule(rule);
    printer.out
}

/// One statement, without counts.
pub fn stmt(stmt: &Stmt) -> String {
    let mut printer = Printer::new(Style::default());
    printer.stmt(stmt);
    printer.out
}

/// One expression.
pub fn expr(expr: &Expr) -> String {
    let mut printer = Printer::new(Style::default());
    printer.expr(expr, &expr::Kind::Any);
    printer.out
}

/// An element of a set or map: `10.0.0.0/8 comment "lan"`, `22 : accept`.
pub fn set_element(element: &Expr) -> String {
    expr(element)
}

/// Text as it grows.
struct Printer {
    style: Style,
    out: String,
    /// Whether something was printed that nft cannot read back.
    unknown: bool,
}

impl Printer {
    fn new(style: Style) -> Self {
        Printer {
            style,
            out: String::new(),
            unknown: false,
        }
    }

    fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.out.write_fmt(text);
    }

    fn quoted(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            self.out.push(match c {
                '"' => '\'',
                c if c.is_control() => ' ',
                c => c,
            });
        }
        self.out.push('"');
    }

    /// The name of a table, chain or set: bare where nft can read it, otherwise quoted, which it refuses.
    fn name(&mut self, name: &str) {
        let mut chars = name.chars();
        let bare = chars
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || c == '.')
            && chars
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '\\'));
        if bare {
            self.push(name);
        } else {
            self.quoted(name);
        }
    }

    fn unknown(&mut self, json: &impl serde::Serialize) {
        self.unknown = true;
        let json = serde_json::to_string(json).unwrap_or_default();
        self.put(format_args!("‹unknown: {json}›"));
    }

    /// Prints items with `between` in between.
    fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        between: &str,
        mut print: impl FnMut(&mut Self, T),
    ) {
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.push(between);
            }
            print(self, item);
        }
    }

    /// A time as nft writes it: `1d2h3m4s`.
    fn time(&mut self, seconds: u64) {
        self.milliseconds(seconds.saturating_mul(1000));
    }

    fn milliseconds(&mut self, milliseconds: u64) {
        let seconds = milliseconds / 1000;
        let parts = [
            (seconds / 86_400, "d"),
            (seconds / 3_600 % 24, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
            (milliseconds % 1000, "ms"),
        ];
        if milliseconds == 0 {
            self.push("0s");
        }
        for (count, unit) in parts {
            if count > 0 {
                self.put(format_args!("{count}{unit}"));
            }
        }
    }

    fn rule(&mut self, rule: &Rule) {
        let stmts = rule.expr.as_deref().unwrap_or_default();
        self.list(stmts, " ", |printer, stmt| printer.stmt(stmt));
        for (key, value) in rule.extra.iter() {
            if !self.out.is_empty() && !self.out.ends_with([' ', '\t']) {
                self.push(" ");
            }
            self.unknown(&serde_json::json!({ key.as_str(): value }));
        }
        if self.style.comment
            && let Some(comment) = &rule.comment
        {
            if !stmts.is_empty() {
                self.push(" ");
            }
            self.push("comment ");
            self.quoted(comment);
        }
    }
}

#[cfg(test)]
mod tests;
