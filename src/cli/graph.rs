//! `nfpath graph`

use clap::{Args, ValueEnum};

use super::{Answer, Exit, Facts, Packet, input, output};

/// Draw the hooks, chains and jumps of a ruleset.
#[derive(Debug, Args)]
pub(super) struct Graph {
    /// A file or `-`: nft JSON, a snapshot, iptables-save, or nft syntax.
    #[arg(value_name = "RULESET", required_unless_present = "live")]
    ruleset: Option<String>,
    /// How to draw.
    #[arg(long, value_name = "FORMAT", default_value = "dot")]
    format: Format,
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
        let input = input::read(self.ruleset.as_deref(), &self.facts)?;
        let _ = (input, self.format, &self.packet);
        output::result("")?;
        Ok(Exit::Yes)
    }
}
