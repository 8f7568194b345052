//! What would let a flow pass: the additions, each with its place, its commands and what else it lets pass.

use super::Options;
use super::page::{Page, Style, Text};
use super::tail::heading;
use super::words;
use crate::report::remedy::{Addition, Advice, Change, Remedy, RuleChange, Status};
use crate::report::{FlowReport, Verdict};

/// The section of a flow that was asked about; without it, where the answer is a drop, how to ask.
pub(super) fn write(page: &mut Page, flow: &FlowReport, options: &Options) {
    match &flow.advice {
        Some(advice) => section(page, advice, options),
        None if options.hints && matches!(flow.verdict, Verdict::Drop | Verdict::Reject) => {
            page.blank();
            let text = "… --remedy tells what would let it pass";
            page.line(0, 2, Text::new(text, Style::Dim));
        }
        None => {}
    }
}

fn section(page: &mut Page, advice: &Advice, options: &Options) {
    let rest = match advice.status {
        Status::NothingToChange => "",
        Status::Found => ", each walked again; nfpath changes nothing itself",
        Status::Partial => ", as far as it can be said",
        Status::None => "",
    };
    heading(page, "WHAT WOULD LET IT PASS", rest);
    if advice.status == Status::NothingToChange {
        let text = "nothing to change: it passes both ways as it is";
        page.line(2, 4, Text::plain(text));
    }
    for (at, remedy) in advice.remedies.iter().enumerate() {
        one(page, at, remedy, options);
    }
    if let Some(remains) = &advice.remains {
        page.labelled(2, 4, "-", Style::Plain, Text::new(remains, Style::Doubt));
    }
}

fn one(page: &mut Page, at: usize, remedy: &Remedy, options: &Options) {
    if at > 0 {
        page.blank();
    }
    let count = words::count(remedy.additions.len(), "addition", "additions");
    let mut text = Text::plain(count).with(": ", Style::Plain);
    let answer = match (remedy.verdict, remedy.reply) {
        (Verdict::Accept, Some(_)) => "ACCEPTED, both ways".to_string(),
        (Verdict::Accept, None) => "ACCEPTED".to_string(),
        (Verdict::Drop | Verdict::Reject | Verdict::Unknown, None) => {
            format!("the request then ends as {}", remedy.request)
        }
        (Verdict::Drop | Verdict::Reject | Verdict::Unknown, Some(reply)) => {
            format!("the reply then ends as {reply}")
        }
    };
    text.push(answer, words::style(remedy.verdict));
    page.labelled(2, 5, &format!("{})", at + 1), Style::Strong, text);
    for addition in &remedy.additions {
        change(page, addition);
    }
    for remark in &remedy.remarks {
        page.labelled(5, 7, "-", Style::Plain, Text::new(remark, Style::Dim));
    }
    if let (true, Some(nft)) = (options.verbose, &remedy.nft) {
        page.labelled(
            5,
            7,
            "-",
            Style::Plain,
            Text::new("for `nft -j -f`:", Style::Dim),
        );
        page.verbatim(7, &Text::plain(nft.to_string()));
        if let Some(remark) = &remedy.nft_remark {
            page.labelled(5, 7, "-", Style::Plain, Text::new(remark, Style::Dim));
        }
    }
}

fn change(page: &mut Page, addition: &Addition) {
    let mut text = Text::plain(match &addition.change {
        Change::Rule(rule) => place(rule),
        Change::Settings(_) => "a setting of the kernel".to_string(),
    });
    text.push(format!(", against {}", addition.against), Style::Plain);
    page.labelled(5, 14, addition.of, Style::Label, text);
    page.line(14, 14, Text::new(&addition.effect, Style::Dim));
    for command in &addition.commands {
        page.verbatim(7, &Text::new(command, Style::Strong));
    }
    if let (true, Change::Rule(rule)) = (addition.commands.is_empty(), &addition.change) {
        page.line(14, 14, Text::new(&rule.text, Style::Strong));
    }
}

/// Where a rule goes.
fn place(rule: &RuleChange) -> String {
    let RuleChange {
        family,
        table,
        chain,
        index,
        before,
        text: _,
        owner,
    } = rule;
    let at = match (index, before) {
        (0, _) => "at the top of".to_string(),
        (_, None) => "at the end of".to_string(),
        (_, Some(handle)) if handle.0 != 0 => format!("before {handle} of"),
        (index, Some(_)) => format!("as rule {} of", index + 1),
    };
    let whose = owner
        .as_ref()
        .map_or(String::new(), |owner| format!(" ({})", owner.words()));
    format!("{at} {family} {table} {chain}{whose}")
}
