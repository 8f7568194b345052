//! `nfpath graph`

use clap::{Args, ValueEnum};

use crate::explain::explain;
use crate::graph::HookGraph;
use crate::graph::plan::Collapse;
use crate::graphviz;
use crate::hooks::Hooks;
use crate::render::painted::Painted;
use crate::render::{dot, mermaid};

use super::{Answer, Exit, Facts, Failure, Packet, input, output};

/// Draw the hooks, chains and jumps of a ruleset.
///
/// Hooks stand from left to right in the order of a packet's life, base chains in them by priority. With `--flow` the
/// way of that flow and of its reply is painted on it.
#[derive(Debug, Args)]
pub(super) struct Graph {
    /// A file or `-`: nft JSON, a snapshot, iptables-save, nft syntax, or a report of sos.
    #[arg(value_name = "RULESET", required_unless_present = "live")]
    ruleset: Option<String>,
    /// How to draw. `svg` needs Graphviz.
    #[arg(long, value_name = "FORMAT", default_value = "dot")]
    format: Format,
    /// Draw every chain, also where there are so many that alike ones are drawn as one.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    packet: Packet,
    #[command(flatten)]
    facts: Facts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Dot,
    Mermaid,
    Svg,
}

impl Graph {
    pub(super) fn run(&self) -> Answer {
        let questions = input::questions(&self.packet)?;
        let question = match questions.as_slice() {
            [] => None,
            [asked] => Some(&asked.question),
            _ => {
                let error = anyhow::anyhow!("a drawing shows one flow: give `--flow` once");
                return Err(Failure::usage(error));
            }
        };
        let input = input::read(self.ruleset.as_deref(), &self.facts)?;
        let ruleset = &input.loaded.ruleset;
        let hooks = Hooks::new(ruleset);
        let graph = HookGraph::new(ruleset, &hooks);
        let mut diagnostics = input.loaded.diagnostics.clone();
        for diagnostic in graph.diagnostics(ruleset) {
            if !diagnostics.contains(&diagnostic) {
                diagnostics.push(diagnostic);
            }
        }
        output::diagnostics(&diagnostics);
        let answer = match question {
            Some(question) => Some(
                explain(&input.loaded, &hooks, &input.host, question).map_err(Failure::usage)?,
            ),
            None => None,
        };
        input::refuse_unused(&self.packet, answer.as_slice())?;
        let painted = answer.as_ref().map(|answer| {
            let walked = &answer.explored.primary;
            Painted::from_paths(ruleset, &walked.request, walked.reply.as_ref())
        });
        let title = answer
            .as_ref()
            .map(|answer| answer.report.flow.text.clone());
        let options = dot::Options {
            painted: painted.as_ref(),
            families: None,
            collapse: if self.all {
                Collapse::Never
            } else {
                Collapse::Auto
            },
            title: title.as_deref(),
        };
        let drawing = match self.format {
            Format::Dot => dot::dot(&graph, ruleset, &options),
            Format::Mermaid => mermaid::mermaid(&graph, ruleset, &options),
            Format::Svg => {
                let dot = dot::dot(&graph, ruleset, &options);
                graphviz::svg(&dot).map_err(Failure::unreadable)?
            }
        };
        output::result(&drawing)?;
        Ok(Exit::Yes)
    }
}
