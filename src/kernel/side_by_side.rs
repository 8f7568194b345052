//! Model and kernel side by side, for people.

use unicode_width::UnicodeWidthChar;

use crate::render::safe;

use super::compare::Way;
use super::{Agreement, Pair, Verified};

/// A verified flow as text.
pub fn text(verified: &Verified, width: usize) -> String {
    let mut out = format!("{}\n", safe::terminal(&verified.sent));
    table(&mut out, "request", &verified.request, width);
    if let Some(answer) = &verified.answer {
        table(&mut out, "answer", answer, width);
    }
    if let Some(reply) = &verified.reply {
        table(&mut out, "reply", reply, width);
    }
    for settled in &verified.settled {
        let settled = safe::terminal(settled);
        out += &format!("left open by the input, settled by the kernel: {settled}\n");
    }
    for note in &verified.notes {
        out += &format!("note: {}\n", safe::terminal(note));
    }
    out += &format!("{}\n", last_line(verified));
    out
}

/// The answer in one line.
pub fn last_line(verified: &Verified) -> String {
    let steps = |pair: &Pair| pair.kernel.lines.len();
    match &verified.agreement {
        Agreement::Yes => match &verified.reply {
            Some(reply) => format!(
                "model and kernel agree: {} steps of the request, {} of the reply",
                steps(&verified.request),
                steps(reply)
            ),
            None => format!(
                "model and kernel agree: {} steps of the request, no reply",
                steps(&verified.request)
            ),
        },
        Agreement::No => {
            let of = |pair: &Option<Pair>| pair.as_ref().and_then(|pair| pair.difference);
            let places = [
                ("request", verified.request.difference),
                ("answer", of(&verified.answer)),
                ("reply", of(&verified.reply)),
            ];
            let mut places = places.into_iter();
            let place = places.find_map(|(which, row)| row.map(|row| (which, row)));
            let (which, row) = place.unwrap_or(("reply", 0));
            format!(
                "model and kernel differ: first in step {} of the {which}",
                row + 1
            )
        }
        Agreement::Unknown(why) => format!("cannot tell: {}", safe::terminal(why)),
    }
}

fn table(out: &mut String, title: &str, pair: &Pair, width: usize) {
    let cell = (width.max(40) - 5) / 2;
    let rows = pair.model.lines.len().max(pair.kernel.lines.len());
    *out += &format!("\n  {:<cell$} | kernel\n", format!("{title}: model"));
    *out += &format!("  {}-+-{}\n", "-".repeat(cell), "-".repeat(cell));
    let line = |way: &Way, row: usize| match row {
        row if row < way.lines.len() => {
            let line = &way.lines[row];
            let place = format!("{} {} {}", line.family, line.table, line.chain);
            let what = match line.rule {
                Some(rule) => format!("{rule} {}", line.verdict),
                None => format!("policy {}", line.verdict),
            };
            wrap(&[&place, &what], cell)
        }
        row if row == rows => {
            let end = format!("= {}", way.end);
            let (what, rest) = end.split_once(": ").unwrap_or((&end, ""));
            let (from, to) = match rest.find(" -> ") {
                Some(at) => (&rest[..at], &rest[at + 1..]),
                None => (rest, ""),
            };
            wrap(&[what, from, to], cell)
        }
        _ => Vec::new(),
    };
    for row in 0..=rows {
        let (model, kernel) = (line(&pair.model, row), line(&pair.kernel, row));
        let mark = if pair.difference == Some(row) {
            '>'
        } else {
            ' '
        };
        for at in 0..model.len().max(kernel.len()) {
            let left = model.get(at).map_or("", String::as_str);
            let right = kernel.get(at).map_or("", String::as_str);
            let gap = " ".repeat(cell.saturating_sub(wide(left)));
            *out += format!("{mark} {left}{gap} | {right}").trim_end();
            out.push('\n');
        }
        if pair.difference == Some(row) {
            *out += "> ^ first difference\n";
        }
    }
}

fn wide(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Groups of words, as many to a line as fit, later lines indented.
fn wrap(groups: &[&str], cell: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for group in groups.iter().filter(|group| !group.is_empty()) {
        let group = safe::terminal(group);
        match lines.last_mut() {
            Some(last) if wide(last) + 1 + wide(&group) <= cell => {
                last.push(' ');
                last.push_str(&group);
            }
            Some(_) => lines.push(cut(&format!("    {group}"), cell)),
            None => lines.push(cut(&group, cell)),
        }
    }
    lines
}

/// Text that fits, with `~` where it was cut.
fn cut(text: &str, cell: usize) -> String {
    if wide(text) <= cell {
        return text.to_string();
    }
    let mut room = cell.saturating_sub(1);
    let mut out = String::new();
    for c in text.chars() {
        let width = c.width().unwrap_or(0);
        if width > room {
            break;
        }
        room -= width;
        out.push(c);
    }
    out.push('~');
    out
}

#[cfg(test)]
mod tests {
    use super::super::compare::{End, Ends, Line, Place};
    use super::*;
    use crate::ruleset::Handle;

    fn way(verdict: &str) -> Way {
        let line = |chain: &str, verdict: &str| Line {
            family: "inet".into(),
            table: "firewalld".into(),
            chain: chain.into(),
            rule: Some(Place {
                handle: Handle(12),
                index: 0,
            }),
            verdict: verdict.into(),
        };
        Way {
            lines: vec![
                line("raw_PREROUTING", "continue"),
                line("filter_FWDI_public_with_a_long_name", verdict),
            ],
            end: End::Local {
                ends: Ends::default(),
            },
        }
    }

    #[test]
    fn fits_80_columns_and_marks_the_first_difference() {
        let verified = Verified {
            sent: "udp:10.0.0.1:40000->10.0.0.2:53, in by eth0".into(),
            request: Pair::new(way("accept"), way("drop")),
            reply: None,
            answer: None,
            agreement: Agreement::No,
            settled: Vec::new(),
            notes: Vec::new(),
            trace: Vec::new(),
        };
        let text = text(&verified, 80);
        assert!(text.lines().all(|line| wide(line) <= 80), "{text}");
        assert_eq!(
            text,
            "\
udp:10.0.0.1:40000->10.0.0.2:53, in by eth0

  request: model                        | kernel
  --------------------------------------+--------------------------------------
  inet firewalld raw_PREROUTING         | inet firewalld raw_PREROUTING
      #12 continue                      |     #12 continue
> inet firewalld filter_FWDI_public_wi~ | inet firewalld filter_FWDI_public_wi~
>     #12 accept                        |     #12 drop
> ^ first difference
  = reaches this host ? -> ?            | = reaches this host ? -> ?
model and kernel differ: first in step 2 of the request
"
        );
    }
}
