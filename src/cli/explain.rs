//! `nfpath explain`

use clap::{Args, ValueEnum};

use crate::explain::explain;
use crate::hooks::Hooks;
use crate::remedy::{Asked, remedy};
use crate::render;
use crate::render::text;
use crate::report::build::Sources;
use crate::report::{
    ContextInfo, FlowReport, Report, RulesetInfo, Verdict, build, named_rule, why_not,
};

use super::input::{self, Input};
use super::{Answer, Exit, Facts, Failure, Packet, output};

/// Explain what happens to a flow and to its reply.
///
/// Tells which rule of which table decided, what was translated, why other rules did not match (with -v), and what the
/// reply does.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// A file or `-`: nft JSON, a snapshot, iptables-save, nft syntax, or a report of sos.
    #[arg(value_name = "RULESET", required_unless_present = "live")]
    ruleset: Option<String>,
    #[command(flatten)]
    shown: Shown,
    /// Why this rule did not decide: `FAMILY TABLE CHAIN #HANDLE`, `FAMILY TABLE CHAIN NUMBER` (from 1), an iptables
    /// rule as it is typed (`-A INPUT -p tcp --dport 22 -j ACCEPT`), or words of its text.
    #[arg(long, value_name = "RULE", allow_hyphen_values = true)]
    why_not: Vec<String>,
    /// For a flow that does not get through: what would let it and its reply pass, as commands. Nothing is changed.
    #[arg(long)]
    remedy: bool,
    #[command(flatten)]
    packet: Packet,
    #[command(flatten)]
    facts: Facts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Explain {
    pub(super) fn run(&self) -> Answer {
        if self.packet.flow.is_empty() && self.packet.flows.is_empty() {
            let example = "give one with `--flow 'udp:10.0.0.2->10.0.0.1:53'`";
            return Err(Failure::usage(anyhow::anyhow!(
                "no flow to explain; {example}"
            )));
        }
        let questions = input::questions(&self.packet)?;
        let input = input::read(self.ruleset.as_deref(), &self.facts)?;
        let hooks = Hooks::new(&input.loaded.ruleset);
        let mut answers = Vec::new();
        for asked in &questions {
            let answer = explain(&input.loaded, &hooks, &input.host, &asked.question);
            answers.push(answer.map_err(Failure::usage)?);
        }
        input::refuse_unused(&self.packet, &answers)?;
        let mut flows: Vec<FlowReport> = Vec::new();
        for (answer, asked) in answers.into_iter().zip(&questions) {
            let advice = self.remedy.then(|| {
                let (advice, _) = remedy(Asked {
                    loaded: &input.loaded,
                    host: &input.host,
                    question: &asked.question,
                    answer: &answer,
                    has_handles: input.own_words.is_none(),
                });
                advice
            });
            let sources = Sources::of(&input.loaded, &answer.host);
            let mut flow = answer.report;
            flow.advice = advice;
            for text in &self.why_not {
                let v6 = asked.question.flow.dst.is_ipv6();
                let rule = named_rule::find(&input.loaded, &answer.host, v6, text)
                    .map_err(|error| Failure::usage(anyhow::anyhow!("`--why-not`: {error}")))?;
                flow.why_not.push(why_not::why_not(sources, &flow, rule));
            }
            flows.push(flow);
        }
        self.shown.write(&input, flows, Hints::Shown)
    }
}

/// Whether the text says which option of `explain` would tell more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hints {
    Shown,
    Left,
}

/// How a report is written.
#[derive(Debug, Args)]
pub(super) struct Shown {
    /// Show also the rules that did not match, each with the reason.
    #[arg(short, long)]
    verbose: bool,
    /// How to write the answer.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// JSON: leave out rules that did not match.
    #[arg(long)]
    matched_only: bool,
}

impl Shown {
    /// Writes the report of these flows; the exit status is that of the worst of them.
    pub(super) fn write(&self, input: &Input, flows: Vec<FlowReport>, hints: Hints) -> Answer {
        let ruleset = &input.loaded.ruleset;
        let report = Report {
            ruleset: RulesetInfo {
                source: input.source.clone(),
                nft_version: ruleset.nft_version.as_ref().map(ToString::to_string),
                tables: ruleset.tables.len(),
                chains: ruleset.chains.len(),
                rules: ruleset.rules.len(),
                sets: ruleset.sets.iter().filter(|set| set.name.is_some()).count(),
                unknown: build::unknown_parts(ruleset),
            },
            context: ContextInfo {
                sources: input.sources.clone(),
                hostname: input.loaded.hostname.clone(),
                kernel: input.loaded.kernel.clone(),
                taken: input.loaded.taken.clone(),
            },
            flows,
            diagnostics: input.loaded.diagnostics.clone(),
        };
        match self.format {
            Format::Json => output::result(&render::json::report(&report, self.matched_only))?,
            Format::Text => {
                output::diagnostics(&report.diagnostics);
                let options = text::Options {
                    width: output::width(),
                    verbose: self.verbose,
                    color: output::color(),
                    unicode: output::unicode(),
                    hints: hints == Hints::Shown,
                };
                output::result(&text::report(&report, &options))?;
            }
        }
        Ok(exit_of(report.flows.iter().map(|flow| flow.verdict)))
    }
}

/// No when one flow is answered no, undetermined when one is, else yes.
fn exit_of(verdicts: impl Iterator<Item = Verdict>) -> Exit {
    let mut exit = Exit::Yes;
    for verdict in verdicts {
        match verdict {
            Verdict::Accept => {}
            Verdict::Unknown if exit == Exit::Yes => exit = Exit::Undetermined,
            Verdict::Unknown => {}
            Verdict::Drop | Verdict::Reject => exit = Exit::No,
        }
    }
    exit
}
