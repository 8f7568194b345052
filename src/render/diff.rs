//! `nfpath diff` as text.

use colored::Colorize;

use crate::diff::{Diff, Fate, Kind, Row};
use crate::flow::asked::flags;
use crate::reach::Cited;

use super::reach::{class, translated, wrapped};

/// The rows, what they rest on, and what was compared.
pub fn text(diff: &Diff, width: usize) -> String {
    let mut out = String::new();
    let mut told: Vec<Kind> = Vec::new();
    for row in &diff.rows {
        let same = |other: &&Row| {
            other.to_many != row.to_many
                && other.kind == row.kind
                && other.sent_here == row.sent_here
                && other.before == row.before
                && other.after == row.after
        };
        let twin = diff.rows.iter().find(same);
        if row.to_many && twin.is_some() {
            continue;
        }
        told.push(row.kind);
        let from = if row.sent_here {
            "from this host, "
        } else {
            ""
        };
        let head = format!("{:<8} {from}{}", row.kind.name(), class(&row.class, None));
        let head = wrapped(&head, "", width);
        out += &match row.kind {
            Kind::Opened => head.replacen("opened", &"opened".red().to_string(), 1),
            Kind::Closed => head.replacen("closed", &"closed".yellow().to_string(), 1),
            Kind::Changed => head,
        };
        for (name, fate) in [("before", &row.before), ("after", &row.after)] {
            out += &wrapped(&format!("{name:<7} {}", words(fate)), "    ", width);
            for cited in fate.by.iter().filter(|cited| !cited.text.is_empty()) {
                let line = format!("{}  {}", cited.place, cited.text);
                out += &wrapped(&line, "            ", width);
            }
        }
        if !row.rests_on.is_empty() {
            let rests = format!("rests on: {}", row.rests_on.join("; "));
            out += &wrapped(&rests, "    ", width);
        }
        let agrees = match row.witness.confirmed {
            Some(true) => "",
            Some(false) => " (explain does not agree)",
            None => " (with other headers than explain can be asked about)",
        };
        if twin.is_some() {
            out += "    also to multicast or broadcast addresses\n";
        }
        let witness = &row.witness;
        let iif = witness.iif.as_deref();
        let mut flow = flags(&witness.flow, iif, witness.tcp_flags, witness.icmp);
        for (fact, value) in &witness.assume {
            flow += &format!(" --assume '{fact}={value}'");
        }
        let witness = format!("flow    {flow}{agrees}");
        out += &wrapped(&witness, "    ", width);
    }
    let count = |kind| told.iter().filter(|own| **own == kind).count();
    out += &match diff.rows.is_empty() {
        true if diff.given_up.is_some() => "no change was found\n".to_string(),
        true if !diff.unusual.is_empty() => "no change as long as all is as usual\n".to_string(),
        true => {
            "no change: every packet that is compared has the same fate under both\n".to_string()
        }
        false => format!(
            "{} opened, {} closed, {} changed\n",
            count(Kind::Opened),
            count(Kind::Closed),
            count(Kind::Changed)
        ),
    };
    let all = diff.rows.len();
    let same = diff.rows.iter();
    match same
        .filter(|row| row.witness.confirmed == Some(true))
        .count()
    {
        _ if all == 0 => {}
        same if same == all => {
            out += "`nfpath explain` says the same of each flow under both rulesets\n";
        }
        same => {
            let words =
                format!("`nfpath explain` says the same of {same} of {all} flows under both");
            out += &wrapped(&words, "", width);
        }
    }
    if let Some(why) = &diff.given_up {
        out += &wrapped(&format!("not all was compared: {why}"), "", width);
    }
    if diff.truncated {
        out += "there are more rows than are told\n";
    }
    out += &wrapped(
        "compared: first packets of all conversations, from outside and of this host, and the first answers; not later packets, marks, logs and rates of limits",
        "",
        width,
    );
    for words in &diff.unusual {
        out += &wrapped(&format!("more packets change {words}"), "", width);
    }
    for words in &diff.left_out {
        out += &wrapped(&format!("left out: {words}"), "", width);
    }
    for words in &diff.assumed {
        out += &wrapped(&format!("taken for usual: {words}"), "", width);
    }
    out
}

/// `translated to 172.17.0.2:80, leaves by docker0; its answers are lost`
fn words(fate: &Fate) -> String {
    let detail = fate.detail.as_deref().unwrap_or("unknown");
    let end = match fate.end {
        "local" => "reaches this host".into(),
        "forwarded" => format!("leaves by {detail}"),
        "transmitted" => format!("sent by {detail}"),
        "relayed" => "handed to another device".into(),
        "queued" => "a program decides (queue)".into(),
        "stolen" => "taken by synproxy or fwd".into(),
        "host-dropped" => format!("dropped by the host ({detail})"),
        "no-interface" => "there is no such interface".into(),
        "unknown" => format!("not known: {detail}"),
        "rejected" => match &fate.detail {
            Some(told) => format!("rejected with {told}"),
            None => "rejected".into(),
        },
        refused => refused.to_string(),
    };
    let places = |by: &[Cited]| {
        by.iter()
            .map(|cited| cited.place.as_str())
            .collect::<Vec<_>>()
            .join("; ")
    };
    // rules stand below with their texts
    let policies: Vec<Cited> = fate
        .by
        .iter()
        .filter(|cited| cited.text.is_empty())
        .cloned()
        .collect();
    let by = match policies.as_slice() {
        [] => String::new(),
        policies => format!(", by {}", places(policies)),
    };
    let answers = match &fate.answers {
        None => String::new(),
        Some((true, _)) => "; answers come back".into(),
        Some((false, by)) => format!("; answers are stopped by {}", places(by)),
    };
    format!("{}{end}{by}{answers}", translated(fate.translated))
}
