//! What the report looks like, and what must hold for every one.

use unicode_width::UnicodeWidthStr;

use super::{Options, report, samples};
use crate::report::{FlowReport, PathReport, Report, StepKind};

fn options(width: usize) -> Options {
    Options {
        width,
        verbose: false,
        color: false,
        unicode: true,
        hints: false,
    }
}

fn samples() -> Vec<(&'static str, FlowReport)> {
    vec![
        ("published_port", samples::published_port()),
        ("dropped_by_rule", samples::dropped_by_rule()),
        ("dropped_by_policy", samples::dropped_by_policy()),
        ("dropped_by_host", samples::dropped_by_host()),
        ("rejected", samples::rejected()),
        ("unknown", samples::unknown()),
        ("not_understood", samples::not_understood()),
        ("from_this_host", samples::from_this_host()),
        ("bridged", samples::bridged()),
        ("hostile", samples::hostile()),
        ("long_rule", samples::long_rule()),
    ]
}

fn one(flow: FlowReport) -> Report {
    samples::report(vec![flow])
}

#[test]
fn reports_look_like_this() {
    for (name, flow) in samples() {
        let flow = one(flow);
        for width in [80, 140] {
            insta::assert_snapshot!(format!("{name}_{width}"), report(&flow, &options(width)));
        }
    }
}

#[test]
fn verbose_shows_every_rule() {
    let flow = one(samples::published_port());
    let verbose = Options {
        verbose: true,
        ..options(120)
    };
    insta::assert_snapshot!("published_port_verbose", report(&flow, &verbose));
}

#[test]
fn several_flows_end_in_a_summary() {
    let mut flows = samples::report(vec![
        samples::published_port(),
        samples::dropped_by_policy(),
        samples::unknown(),
    ]);
    flows.ruleset.unknown = samples::unknown_parts(7);
    insta::assert_snapshot!("several_flows", report(&flows, &options(80)));
}

#[test]
fn colour_underlines_what_the_words_say() {
    colored::control::set_override(true);
    let colour = Options {
        color: true,
        ..options(80)
    };
    let flow = one(samples::published_port());
    let coloured = report(&flow, &colour);
    insta::assert_snapshot!("published_port_colour", coloured.replace('\u{1b}', "ESC"));
    assert_eq!(plain(&coloured), report(&flow, &options(80)));
}

/// Without the sequences that `colored` writes.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        out.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    out + rest
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for (name, flow) in samples() {
        let flow = one(flow);
        for width in [40, 60, 80, 100, 119, 120, 140, 200] {
            for verbose in [false, true] {
                let options = Options {
                    verbose,
                    ..options(width)
                };
                for line in report(&flow, &options).lines() {
                    assert!(line.width() <= width, "{name} at {width}: {line}");
                    assert_eq!(line.trim_end(), line, "{name} at {width}");
                }
            }
        }
    }
}

#[test]
fn nothing_of_a_ruleset_reaches_the_terminal_as_a_command() {
    for verbose in [false, true] {
        for unicode in [false, true] {
            let options = Options {
                verbose,
                unicode,
                ..options(80)
            };
            let text = report(&one(samples::hostile()), &options);
            let bad = text
                .chars()
                .find(|c| c.is_control() && *c != '\n' || matches!(*c, '\u{202a}'..='\u{202e}'));
            assert_eq!(bad, None, "{text}");
            assert!(
                !text.lines().any(|line| line.starts_with("ACCEPTED")),
                "{text}"
            );
        }
    }
}

#[test]
fn other_locales_get_ascii_only() {
    for (name, flow) in samples() {
        let options = Options {
            unicode: false,
            hints: false,
            ..options(80)
        };
        let text = report(&one(flow), &options);
        assert!(text.is_ascii(), "{name}: {text}");
    }
}

#[test]
fn verbose_holds_every_rule_in_full() {
    let verbose = Options {
        verbose: true,
        ..options(80)
    };
    let text = report(&one(samples::long_rule()), &verbose);
    for n in 0..200 {
        assert!(text.contains(&format!("198.51.100.{n}")), "{n}");
    }
    assert!(report(&one(samples::long_rule()), &options(80)).contains("(200 elements)"));
}

/// Matched rules and policies, as the kernel traces them.
fn traced(path: &PathReport) -> Vec<String> {
    path.steps
        .iter()
        .filter_map(|step| match &step.kind {
            StepKind::Rule(rule) if rule.matched => {
                let at = &rule.at;
                let (family, table, chain) = (at.family, &at.table, &at.chain);
                let handle = at.handle.0;
                Some(format!(
                    "{family} {table} {chain} {handle} {}",
                    rule.verdict
                ))
            }
            StepKind::Policy {
                family,
                table,
                chain,
                accept,
            } => {
                let policy = if *accept { "accept" } else { "drop" };
                Some(format!("{family} {table} {chain} policy {policy}"))
            }
            _ => None,
        })
        .collect()
}

/// The same of a trace that a kernel wrote.
fn of_trace(trace: &str) -> Vec<String> {
    trace
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().skip(3).collect();
            let [family, table, chain, kind, rest @ ..] = words.as_slice() else {
                return None;
            };
            if *table == "nfpath_trace" {
                return None;
            }
            let place = format!("{family} {table} {chain}");
            match *kind {
                "policy" => Some(format!("{place} policy {}", rest[0])),
                "rule" => {
                    let (_, end) = line.rsplit_once("# handle ")?;
                    let (handle, verdict) = end.split_once(" (verdict ")?;
                    Some(format!(
                        "{place} {handle} {}",
                        verdict.trim_end_matches(')')
                    ))
                }
                _ => None,
            }
        })
        .collect()
}

#[test]
fn the_sample_of_a_published_port_is_what_a_kernel_traced() {
    let trace = include_str!("../../../testdata/c1/traces/client-radius.txt");
    let (request, reply) = trace
        .split_once("# request\n")
        .and_then(|(_, both)| both.split_once("# reply\n"))
        .unwrap();
    let sample = samples::published_port();
    assert_eq!(traced(&sample.request), of_trace(request));
    assert_eq!(traced(&sample.reply.unwrap()), of_trace(reply));
}
