//! `nfpath verify`

use clap::Args;

use crate::kernel::{self, Agreement, side_by_side};

use super::{Answer, Exit, Facts, Failure, Packet, input, output};

/// Send the packet through a real kernel and compare what it does with the model.
///
/// The host is built in network namespaces of its own, the ruleset loaded by the real nft, the packet and a reply sent,
/// and the kernel's trace shown beside the model's steps. The running host is not touched. Needs root or user
/// namespaces, nft and iproute2. Exit status 1 when model and kernel differ, 4 when it cannot be told.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// A file or `-`: nft JSON, a snapshot, iptables-save, or nft syntax.
    #[arg(value_name = "RULESET", required_unless_present = "live")]
    ruleset: Option<String>,
    /// Print also what nft said, line by line.
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    packet: Packet,
    #[command(flatten)]
    facts: Facts,
}

impl Verify {
    pub(super) fn run(&self) -> Answer {
        if self.packet.flow.is_empty() {
            let example = "give one with `--flow 'udp:10.0.0.2->10.0.0.1:53'`";
            return Err(Failure::usage(anyhow::anyhow!(
                "no flow to verify; {example}"
            )));
        }
        let questions = input::questions(&self.packet)?;
        let input = input::read(self.ruleset.as_deref(), &self.facts)?;
        output::diagnostics(&input.loaded.diagnostics);
        let words = kernel::words(&input.loaded, input.own_words.as_deref(), &input.saves)
            .map_err(Failure::undetermined)?;
        kernel::prepare().map_err(Failure::undetermined)?;
        let mut exit = Exit::Yes;
        for (at, question) in questions.iter().enumerate() {
            let verified =
                kernel::in_a_lab(|| kernel::verify(&input.loaded, &words, &input.host, question))
                    .and_then(|verified| verified)
                    .map_err(Failure::undetermined)?;
            let mut text = side_by_side::text(&verified, output::width());
            if at > 0 {
                text.insert(0, '\n');
            }
            if self.verbose {
                for line in &verified.trace {
                    text += &format!("  {}\n", crate::render::safe::terminal(line));
                }
            }
            output::result(&text)?;
            exit = match (&verified.agreement, exit) {
                (Agreement::No, _) | (_, Exit::No) => Exit::No,
                (Agreement::Unknown(_), _) => Exit::Undetermined,
                (Agreement::Yes, exit) => exit,
            };
        }
        Ok(exit)
    }
}
