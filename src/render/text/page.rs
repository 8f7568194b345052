//! Lines on a terminal: display width, wrapping with a hanging indentation, columns, colour.
//!
//! Every string passes [`Text::push`], which makes it safe, so no caller can forget to.

use colored::Colorize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::Options;
use crate::render::safe;

/// Prose and headings stay within this many columns on wide terminals.
const MEASURE: usize = 100;
/// From here on comments stand at the right edge.
const WIDE: usize = 120;
/// A terminal that says it is narrower is written to as if it had this width.
const NARROWEST: usize = 40;

/// What a piece of text is, which says how it is coloured. The words say it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Strong,
    Dim,
    /// accept
    Good,
    /// drop, reject
    Bad,
    /// unknown, assumed
    Doubt,
    /// A packet's addresses change.
    Change,
    /// Headings and labels.
    Label,
}

/// Styled text without line breaks; a no-break space (U+00A0) keeps words together.
#[derive(Debug, Clone, Default)]
pub(super) struct Text(Vec<(String, Style)>);

impl Text {
    pub(super) fn new(text: impl AsRef<str>, style: Style) -> Text {
        let mut new = Text::default();
        new.push(text, style);
        new
    }

    pub(super) fn plain(text: impl AsRef<str>) -> Text {
        Text::new(text, Style::Plain)
    }

    /// Appends untrusted text, made safe.
    pub(super) fn push(&mut self, text: impl AsRef<str>, style: Style) -> &mut Text {
        self.0.push((safe::terminal(text.as_ref()), style));
        self
    }

    pub(super) fn with(mut self, text: impl AsRef<str>, style: Style) -> Text {
        self.push(text, style);
        self
    }

    pub(super) fn and(mut self, other: Text) -> Text {
        self.append(other);
        self
    }

    pub(super) fn append(&mut self, other: Text) -> &mut Text {
        self.0.extend(other.0);
        self
    }

    /// Appends text that is safe already, to the piece before where that has the same style.
    fn extend(&mut self, text: &str, style: Style) {
        match self.0.last_mut() {
            Some((last, before)) if *before == style => last.push_str(text),
            _ => self.0.push((text.to_string(), style)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|(text, _)| text.is_empty())
    }

    fn width(&self) -> usize {
        self.0.iter().map(|(text, _)| text.width()).sum()
    }

    fn ascii(self) -> Text {
        Text(
            self.0
                .into_iter()
                .map(|(text, style)| (ascii(&text), style))
                .collect(),
        )
    }
}

/// The characters of this report in ASCII, all others as escapes.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '→' => out.push_str("->"),
            '⇒' => out.push_str("=>"),
            '…' => out.push_str("..."),
            '›' => out.push('>'),
            '─' | '–' | '—' => out.push('-'),
            '“' | '”' => out.push('"'),
            '\u{a0}' => out.push(c),
            c if c.is_ascii() => out.push(c),
            c => out.extend(c.escape_unicode()),
        }
    }
    out
}

/// The report as far as it is written.
pub(super) struct Page {
    out: String,
    width: usize,
    color: bool,
    unicode: bool,
}

impl Page {
    pub(super) fn new(options: &Options) -> Page {
        Page {
            out: String::new(),
            width: options.width.max(NARROWEST),
            color: options.color,
            unicode: options.unicode,
        }
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    pub(super) fn blank(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    /// A line across the page.
    pub(super) fn rule(&mut self) {
        self.blank();
        let rule = "─".repeat(self.measure());
        self.line(0, 0, Text::new(rule, Style::Dim));
        self.blank();
    }

    fn measure(&self) -> usize {
        self.width.min(MEASURE)
    }

    /// Where the verdicts of rules stand.
    fn column(&self) -> usize {
        self.width.saturating_sub(26).min(72)
    }

    fn encode(&self, text: Text) -> Text {
        if self.unicode { text } else { text.ascii() }
    }

    /// Prose at an indentation; the lines after the first have one of their own.
    pub(super) fn line(&mut self, indent: usize, hanging: usize, text: Text) {
        let text = self.encode(text);
        let measure = self.measure();
        for (at, line) in wrap(
            &text,
            measure.saturating_sub(indent),
            measure.saturating_sub(hanging),
        )
        .iter()
        .enumerate()
        {
            self.emit(if at == 0 { indent } else { hanging }, line, None);
        }
    }

    /// A line that is to be copied: never broken.
    pub(super) fn verbatim(&mut self, indent: usize, text: &Text) {
        let text = self.encode(text.clone());
        self.emit(indent, &text, None);
    }

    /// A label and what it stands for, in two columns.
    pub(super) fn labelled(
        &mut self,
        indent: usize,
        column: usize,
        label: &str,
        style: Style,
        text: Text,
    ) {
        let gap = (column - indent)
            .checked_sub(label.width())
            .filter(|gap| *gap > 0)
            .unwrap_or(2);
        let mut whole = Text::new(label, style).with("\u{a0}".repeat(gap), Style::Plain);
        whole.append(text);
        self.line(indent, column, whole);
    }

    /// Columns that a text takes in one line.
    pub(super) fn width_of(&self, text: &Text) -> usize {
        self.encode(text.clone()).width()
    }

    /// True when a text fits in one line behind an indentation.
    pub(super) fn fits(&self, indent: usize, text: &Text) -> bool {
        indent + self.width_of(text) <= self.measure()
    }

    /// Two texts, the second at the right edge; false, and nothing written, when they do not fit in one line.
    pub(super) fn apart(&mut self, left: &Text, right: &Text) -> bool {
        let (left, right) = (self.encode(left.clone()), self.encode(right.clone()));
        let at = self.measure().saturating_sub(right.width());
        let fits = left.width() + 2 <= at;
        if fits {
            self.emit(0, &left, Some((at, &right)));
        }
        fits
    }

    /// A row of a table: text that wraps, a verdict in its column, and a remark at the right edge or below.
    pub(super) fn row(
        &mut self,
        indent: usize,
        hanging: usize,
        text: Text,
        verdict: Text,
        remark: Text,
    ) {
        let (text, verdict, remark) =
            (self.encode(text), self.encode(verdict), self.encode(remark));
        let column = self.column();
        // never so deep that no room is left
        let hanging = hanging.min(self.width.saturating_sub(24));
        let lines = wrap(
            &text,
            self.width.saturating_sub(indent),
            self.width.saturating_sub(hanging),
        );
        let mut end = 0;
        let last = lines.len().saturating_sub(1);
        for (at, line) in lines.iter().enumerate() {
            let indent = if at == 0 { indent } else { hanging };
            end = indent + line.width();
            if at < last {
                self.emit(indent, line, None);
            } else if verdict.is_empty() {
                end = self.emit_with_remark(indent, line, None, &remark);
            } else {
                let room = verdict.width() + 2 <= self.width.saturating_sub(end);
                let place = if end + 2 <= column && column + verdict.width() <= self.width {
                    Some(column)
                } else if room {
                    Some((end + 2).max(self.width.saturating_sub(verdict.width()).min(column)))
                } else {
                    None
                };
                match place {
                    Some(place) => {
                        end = self.emit_with_remark(indent, line, Some((place, &verdict)), &remark);
                    }
                    None => {
                        self.emit(indent, line, None);
                        for (at, line) in wrap(
                            &verdict,
                            self.width.saturating_sub(hanging),
                            self.width.saturating_sub(hanging),
                        )
                        .iter()
                        .enumerate()
                        {
                            let place = if at == 0 && column + line.width() <= self.width {
                                column
                            } else {
                                hanging
                            };
                            self.emit(place, line, None);
                            end = place + line.width();
                        }
                    }
                }
            }
        }
        if !remark.is_empty() && end != usize::MAX {
            let limit = self.width.saturating_sub(hanging);
            for line in wrap(&remark, limit, limit) {
                self.emit(hanging, &line, None);
            }
        }
    }

    /// Writes a line, with the remark at the right edge when there is room. `usize::MAX`: it was written.
    fn emit_with_remark(
        &mut self,
        indent: usize,
        line: &Text,
        verdict: Option<(usize, &Text)>,
        remark: &Text,
    ) -> usize {
        let mut whole = line.clone();
        let mut end = indent + line.width();
        if let Some((place, verdict)) = verdict {
            whole.push(" ".repeat(place - end), Style::Plain);
            whole.append(verdict.clone());
            end = place + verdict.width();
        }
        let side = (self.column() + 28).max(end + 2);
        if !remark.is_empty() && self.width >= WIDE && side + remark.width() <= self.width {
            self.emit(indent, &whole, Some((side, remark)));
            return usize::MAX;
        }
        self.emit(indent, &whole, None);
        end
    }

    fn emit(&mut self, indent: usize, line: &Text, right: Option<(usize, &Text)>) {
        let mut pieces = vec![(" ".repeat(indent), Style::Plain)];
        pieces.extend(line.0.iter().cloned());
        if let Some((at, right)) = right {
            let end = indent + line.width();
            pieces.push((" ".repeat(at.saturating_sub(end)), Style::Plain));
            pieces.extend(right.0.iter().cloned());
        }
        while let Some((text, _)) = pieces.last_mut() {
            text.truncate(text.trim_end_matches([' ', '\u{a0}']).len());
            if !text.is_empty() {
                break;
            }
            pieces.pop();
        }
        for (text, style) in pieces {
            let text = text.replace('\u{a0}', " ");
            self.out.push_str(&self.paint(&text, style));
        }
        self.out.push('\n');
    }

    fn paint(&self, text: &str, style: Style) -> String {
        if !self.color || text.is_empty() {
            return text.to_string();
        }
        match style {
            Style::Plain => text.to_string(),
            Style::Strong => text.bold().to_string(),
            Style::Dim => text.dimmed().to_string(),
            Style::Good => text.green().bold().to_string(),
            Style::Bad => text.red().bold().to_string(),
            Style::Doubt => text.yellow().bold().to_string(),
            Style::Change => text.magenta().to_string(),
            Style::Label => text.bold().to_string(),
        }
    }
}

/// Breaks text at spaces, and words that are longer than a line anywhere. At least one line.
fn wrap(text: &Text, first: usize, rest: usize) -> Vec<Text> {
    let mut lines = Vec::new();
    let mut line = Text::default();
    let mut used = 0;
    let mut limit = first.max(1);
    let mut spaces = 0;
    for atom in atoms(text) {
        let Atom::Word(pieces) = atom else {
            spaces += 1;
            continue;
        };
        let width: usize = pieces.iter().map(|(text, _)| text.width()).sum();
        if used > 0 && used + spaces + width > limit {
            lines.push(std::mem::take(&mut line));
            (used, limit) = (0, rest.max(1));
        } else if spaces > 0 && (used > 0 || lines.is_empty()) {
            let style = match (line.0.last(), pieces.first()) {
                (Some((_, before)), Some((_, after))) if before == after => *after,
                _ => Style::Plain,
            };
            line.extend(&" ".repeat(spaces), style);
            used += spaces;
        }
        spaces = 0;
        for (text, style) in pieces {
            let mut part = String::new();
            for c in text.chars() {
                let width = c.width().unwrap_or(0);
                if used + width > limit && used > 0 {
                    line.extend(&std::mem::take(&mut part), style);
                    lines.push(std::mem::take(&mut line));
                    (used, limit) = (0, rest.max(1));
                }
                part.push(c);
                used += width;
            }
            line.extend(&part, style);
        }
    }
    lines.push(line);
    lines
}

enum Atom {
    Space,
    Word(Vec<(String, Style)>),
}

fn atoms(text: &Text) -> Vec<Atom> {
    let mut atoms: Vec<Atom> = Vec::new();
    for (text, style) in &text.0 {
        for (at, part) in text.split(' ').enumerate() {
            if at > 0 {
                atoms.push(Atom::Space);
            }
            if part.is_empty() {
                continue;
            }
            let piece = (part.to_string(), *style);
            match atoms.last_mut() {
                Some(Atom::Word(pieces)) => pieces.push(piece),
                _ => atoms.push(Atom::Word(vec![piece])),
            }
        }
    }
    atoms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str, first: usize, rest: usize) -> Vec<String> {
        wrap(&Text::plain(text), first, rest)
            .into_iter()
            .map(|line| line.0.into_iter().map(|(text, _)| text).collect())
            .collect()
    }

    #[test]
    fn lines_break_at_spaces_and_nothing_is_lost() {
        assert_eq!(wrapped("one two three", 7, 5), ["one two", "three"]);
        assert_eq!(wrapped("abcdefgh ij", 3, 4), ["abc", "defg", "h ij"]);
        assert_eq!(wrapped("keep\u{a0}this x", 9, 9), ["keep\u{a0}this", "x"]);
        assert_eq!(wrapped("", 9, 9), [""]);
    }

    #[test]
    fn wide_characters_count_as_two_columns() {
        assert_eq!(wrapped("防火墙 规则", 6, 6), ["防火墙", "规则"]);
        assert_eq!(wrapped("防火墙规则", 5, 4), ["防火", "墙规", "则"]);
    }

    #[test]
    fn text_for_other_locales_is_ascii() {
        assert_eq!(ascii("a → b … grün"), "a -> b ... gr\\u{fc}n");
    }
}
