//! `nfpath batch`

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use clap::{Args, ValueEnum};

use crate::explain::explain;
use crate::hooks::Hooks;
use crate::render::rows;
use crate::report::row::Row;

use super::input::Asked;
use super::{Answer, Exit, Facts, Failure, Packet, input, output};

/// Answer many flows, a line each.
///
/// FLOWS holds flows one a line (`tcp:10.0.0.2->10.0.0.1:22`), kernel log lines, `conntrack -L`, `ss -n` or `tcpdump -n`
/// output, a pcap file, CSV with a heading, or JSON lines. Of packets, the first of each conversation is asked.
#[derive(Debug, Args)]
pub(super) struct Batch {
    /// A file or `-`: nft JSON, a snapshot, iptables-save, nft syntax, or a report of sos.
    #[arg(value_name = "RULESET")]
    ruleset: String,
    /// Files with flows, or `-`.
    #[arg(value_name = "FLOWS", required = true)]
    files: Vec<String>,
    /// How to write the answers.
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
    Csv,
    Ndjson,
}

impl Batch {
    pub(super) fn run(&self) -> Answer {
        if self.ruleset == "-" && self.files.iter().any(|file| file == "-") {
            let error = "standard input cannot be both the ruleset and the flows";
            return Err(Failure::usage(anyhow::anyhow!(error)));
        }
        let input = input::read(Some(&self.ruleset), &self.facts)?;
        output::diagnostics(&input.loaded.diagnostics);
        let mut asked = input::questions(&self.packet)?;
        let mut unread = 0;
        for file in &self.files {
            let (found, bad) = input::asked_in(file, &self.packet)?;
            asked.extend(found);
            unread += bad;
        }
        let hooks = Hooks::new(&input.loaded.ruleset);
        let answer =
            |asked: &Asked| match explain(&input.loaded, &hooks, &input.host, &asked.question) {
                Ok(answer) => Row::of(&asked.at, &answer.report),
                Err(error) => {
                    let flow = asked.question.flow.to_string();
                    Row::failed(&asked.at, &flow, error.to_string())
                }
            };
        let rows = all(&asked, answer);
        let text = match self.format {
            Format::Csv => rows::csv(&rows),
            Format::Ndjson => rows::ndjson(&rows),
            Format::Text => rows::text(&rows, output::width(), output::color()),
        };
        output::result(&text)?;
        let count = |verdict: &str| rows.iter().filter(|row| row.verdict == verdict).count();
        let unreadable = match unread {
            0 => String::new(),
            count => format!("; {count} could not be read"),
        };
        output::note(&format!(
            "{} flows: {} accepted, {} dropped, {} rejected, {} unknown, {} not asked{unreadable}",
            rows.len(),
            count("accept"),
            count("drop"),
            count("reject"),
            count("unknown"),
            count("error")
        ));
        Ok(match () {
            () if count("drop") + count("reject") > 0 => Exit::No,
            () if count("unknown") + count("error") + unread > 0 => Exit::Undetermined,
            () => Exit::Yes,
        })
    }
}

/// Answers all questions on all processors, in the order of the questions.
fn all(asked: &[Asked], answer: impl Fn(&Asked) -> Row + Sync) -> Vec<Row> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicUsize::new(0);
    let mut rows: Vec<Option<Row>> = vec![None; asked.len()];
    let mut progress = output::Progress::new(asked.len() as u64);
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..workers.min(asked.len().max(1)) {
            let tell = tell.clone();
            let (next, answer) = (&next, &answer);
            scope.spawn(move || {
                while let Some((at, asked)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    asked.get(at).map(|asked| (at, asked))
                } {
                    // nobody listens any more: the program ends
                    let _ = tell.send((at, answer(asked)));
                }
            });
        }
        drop(tell);
        for (done, (at, row)) in told.into_iter().enumerate() {
            rows[at] = Some(row);
            let done = done as u64 + 1;
            progress.set(done, &format!("{done} of {} flows", asked.len()));
        }
    });
    progress.clear();
    rows.into_iter().flatten().collect()
}
