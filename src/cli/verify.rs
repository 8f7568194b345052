//! `nfpath verify`

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};

use crate::kernel::random::{Options, random};
use crate::kernel::{self, Agreement, side_by_side, v1};

use super::{Answer, Exit, Facts, Failure, Packet, input, output};

/// Send the packet through a real kernel and compare what it does with the model.
///
/// The host is built in network namespaces of its own, the ruleset loaded by the real nft, the packet and a reply sent,
/// and the kernel's trace shown beside the model's steps. The running host is not touched. Needs root or user
/// namespaces, nft and iproute2. Exit status 1 when model and kernel differ, 4 when it cannot be told.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// A file or `-`: nft JSON, a snapshot, iptables-save, nft syntax, or a report of sos.
    #[arg(value_name = "RULESET", required_unless_present_any = ["live", "random"])]
    ruleset: Option<String>,
    /// Print also what nft said, line by line; with --random, which cases could not be had.
    #[arg(short, long)]
    verbose: bool,
    /// Verify so many flows through made-up rulesets.
    #[arg(long, value_name = "FLOWS", conflicts_with_all = ["ruleset", "live", "flow"], value_parser = clap::value_parser!(u64).range(1..))]
    random: Option<u64>,
    /// What the made-up cases are made from. The same number gives the same cases.
    #[arg(long, value_name = "NUMBER", requires = "random")]
    seed: Option<u64>,
    /// Only this block of made-up cases (the second number in the name of a case).
    #[arg(long, value_name = "NUMBER", requires = "random")]
    block: Option<u64>,
    /// Folder for the made-up cases that differ.
    #[arg(
        long,
        value_name = "DIR",
        requires = "random",
        default_value = "nfpath-disagreements"
    )]
    out: std::path::PathBuf,
    /// How to write the answer.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
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

impl Verify {
    pub(super) fn run(&self) -> Answer {
        if let Some(flows) = self.random {
            return self.random(flows);
        }
        if self.packet.flow.is_empty() && self.packet.flows.is_empty() {
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
        let mut all = Vec::new();
        for (at, asked) in questions.iter().enumerate() {
            let verified = kernel::in_a_lab(|| {
                kernel::verify(&input.loaded, &words, &input.host, &asked.question)
            })
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
            if self.format == Format::Text {
                output::result(&text)?;
            }
            exit = match (&verified.agreement, exit) {
                (Agreement::No, _) | (_, Exit::No) => Exit::No,
                (Agreement::Unknown(_), _) => Exit::Undetermined,
                (Agreement::Yes, exit) => exit,
            };
            all.push(verified);
        }
        if self.format == Format::Json {
            output::result(&v1::flows(&all))?;
        }
        Ok(exit)
    }

    fn random(&self, flows: u64) -> Answer {
        let seed = self.seed.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.map_or(0, |now| now.as_nanos() as u64 % 1_000_000)
        });
        output::note(&format!("seed {seed}"));
        kernel::prepare().map_err(Failure::undetermined)?;
        let options = Options {
            flows,
            seed,
            folder: self.out.clone(),
            block: self.block,
        };
        let start = Instant::now();
        let mut progress = output::Progress::new(flows);
        let found = random(&options, |tally, remark| {
            if let Some(remark) = remark.filter(|_| self.verbose) {
                output::note(remark);
            }
            progress.set(tally.flows, &tally.to_string());
        })
        .map_err(Failure::undetermined)?;
        progress.clear();
        let tally = found.tally;
        if found.interrupted {
            output::note(&format!(
                "stopped: {} of {flows} flows were compared",
                tally.flows
            ));
        }
        let seconds = start.elapsed().as_secs_f64();
        output::note(&format!(
            "{:.1} flows a second; {} rulesets refused by nft, {} flows not sent",
            tally.flows as f64 / seconds.max(0.001),
            tally.refused,
            tally.not_sent
        ));
        if tally.repeated > 0 {
            output::note(&format!(
                "{} of the flows that agree were sent twice: the first time the lab lost a packet or a line",
                tally.repeated
            ));
        }
        if tally.settled > 0 {
            output::note(&format!(
                "{} of the flows that agree are so by an answer that is not the first: the kernel settled what the input leaves open (-v tells what)",
                tally.settled
            ));
        }
        if tally.misread > 0 {
            output::note(&format!(
                "{} flows are left out: they differ at a rule that nft lists otherwise than the kernel has it",
                tally.misread
            ));
        }
        let differ = tally.flows - tally.agreed;
        if differ > 0 {
            output::note(&format!("what differs is in {}", self.out.display()));
        }
        output::result(&match self.format {
            Format::Text => format!("{}{tally}\n", found.coverage.text()),
            Format::Json => v1::random(&found, seed),
        })?;
        Ok(if differ > tally.unknown {
            Exit::No
        } else if found.interrupted {
            Exit::Undetermined
        } else {
            Exit::Yes
        })
    }
}
