//! `nfpath explain-trace`

use clap::Args;

use crate::explain::{Question, explain};
use crate::flow::{Flow, IpFamily};
use crate::hooks::Hooks;
use crate::packet::proto;
use crate::report::build::Sources;
use crate::report::traced::{self, Line};
use crate::report::{FlowReport, Note, PathReport};
use crate::trace::{self, Glimpse, Traced};

use super::explain::{Hints, Shown};
use super::input::{self, Input};
use super::{Answer, Facts, Failure};

/// Tell what a kernel traced as a report.
///
/// TRACE is what `nft monitor trace` or `xtables-monitor --trace` printed. With the RULESET of the same host the report has
/// what a trace leaves out: the rules that did not match, and what the host did between the chains. Where the model and the
/// trace differ, the trace is shown, and the first difference named.
#[derive(Debug, Args)]
pub(super) struct ExplainTrace {
    /// A file or `-`: output of `nft monitor trace` or `xtables-monitor --trace`.
    #[arg(value_name = "TRACE")]
    trace: String,
    /// A file or `-`: nft JSON, a snapshot, iptables-save, nft syntax, or a report of sos.
    #[arg(value_name = "RULESET")]
    ruleset: Option<String>,
    #[command(flatten)]
    shown: Shown,
    #[command(flatten)]
    facts: Facts,
}

impl ExplainTrace {
    pub(super) fn run(&self) -> Answer {
        if self.trace == "-" && self.ruleset.as_deref() == Some("-") {
            let error = "standard input cannot be both the trace and the ruleset";
            return Err(Failure::usage(anyhow::anyhow!(error)));
        }
        let packets = trace::packets(&input::text(&self.trace)?);
        if packets.is_empty() {
            let error = "no line of a trace in it; run `nft -a monitor trace` or `xtables-monitor --trace` while the packet passes, with `meta nftrace set 1` (or `-j TRACE`) for it";
            return Err(Failure::unreadable(anyhow::anyhow!(
                "{}: {error}",
                self.trace
            )));
        }
        let input = match &self.ruleset {
            None if !self.facts.live => Input::nothing(),
            ruleset => input::read(ruleset.as_deref(), &self.facts)?,
        };
        let hooks = Hooks::new(&input.loaded.ruleset);
        let with_ruleset = self.ruleset.is_some() || self.facts.live;
        let mut flows: Vec<FlowReport> = Vec::new();
        for (request, reply) in conversations(&packets) {
            // what a refused packet was answered with is told with that packet
            let lines = listed(&input, request);
            let is_answer = flows
                .iter()
                .filter_map(|flow| flow.request.answer.as_deref())
                .any(|answer| !lines.is_empty() && traced::lines_of(answer).ends_with(&lines));
            if !is_answer {
                flows.push(told(&input, with_ruleset, &hooks, request, reply));
            }
        }
        self.shown.write(&input, flows, Hints::Left)
    }
}

/// The traced lines of tables that the listing has: chains that were made for the tracing alone may be gone from it.
fn listed(input: &Input, traced: &Traced) -> Vec<Line> {
    let tables = &input.loaded.ruleset.tables;
    let mut lines = traced::lines(traced);
    lines.retain(|(family, table, ..)| {
        let mut tables = tables.iter();
        tables.any(|known| known.family == *family && *known.name == **table)
    });
    lines
}

/// Each packet with its answer, when that was traced as well.
fn conversations(packets: &[Traced]) -> Vec<(&Traced, Option<&Traced>)> {
    let mut found: Vec<(&Traced, Option<&Traced>)> = Vec::new();
    for packet in packets {
        let open = found
            .iter_mut()
            .find(|(request, reply)| reply.is_none() && traced::answers(request, packet));
        match open {
            Some((_, reply)) => *reply = Some(packet),
            None => found.push((packet, None)),
        }
    }
    found
}

/// The model's report where it agrees with the trace, for it says more; else the trace.
fn told(
    input: &Input,
    with_ruleset: bool,
    hooks: &Hooks,
    request: &Traced,
    reply: Option<&Traced>,
) -> FlowReport {
    let sources = with_ruleset.then(|| Sources::of(&input.loaded, &input.host));
    let mut kernel = traced::flow(sources, request, reply);
    if !with_ruleset {
        return kernel;
    }
    let note = |code, message: String| Note {
        code,
        message,
        at: None,
    };
    let question = match request.glimpses().map(|(first, _)| question(first)) {
        Some(Ok(question)) => question,
        Some(Err(why)) => {
            kernel.notes.push(note("trace-without-model", why));
            return kernel;
        }
        None => return kernel,
    };
    let model = match explain(&input.loaded, hooks, &input.host, &question) {
        Ok(answer) => answer.report,
        Err(error) => {
            let why = format!("the model cannot be asked for this packet: {error}");
            kernel.notes.push(note("trace-without-model", why));
            return kernel;
        }
    };
    let candidates = std::iter::once((&model.request, &model.reply)).chain(
        model
            .alternatives
            .iter()
            .map(|other| (&other.request, &other.reply)),
    );
    let fits = |candidate: &PathReport, traced: &Traced| {
        traced::lines_of(candidate).ends_with(&listed(input, traced))
    };
    let agreeing = candidates.into_iter().find(|(way, back)| {
        fits(way, request)
            && match (reply, back) {
                (Some(reply), Some(back)) => fits(back, reply),
                (Some(_), None) => false,
                (None, _) => true,
            }
    });
    let traced_lines =
        listed(input, request).len() + reply.map_or(0, |reply| listed(input, reply).len());
    match agreeing {
        Some((way, back)) => {
            let (way, back) = (way.clone(), back.clone());
            let message = match (reply, &back) {
                (None, Some(_)) => format!(
                    "all {traced_lines} traced lines of the request are those of the model; the reply was not traced, what stands here of it is the model's"
                ),
                _ => format!(
                    "all {traced_lines} traced lines are those of the model; what stands between them is the model's"
                ),
            };
            let mut told = FlowReport {
                verdict: match &back {
                    Some(back) if way.verdict == crate::report::Verdict::Accept => back.verdict,
                    _ => way.verdict,
                },
                request: way,
                reply: back,
                // the trace has settled what was open
                alternatives: Vec::new(),
                ..model
            };
            told.notes.insert(0, note("trace-agrees", message));
            told
        }
        None => {
            let asked = (listed(input, request), traced::lines_of(&model.request));
            let answered = reply.zip(model.reply.as_ref());
            let (whose, (traced, modelled)) = match answered {
                Some((reply, way)) if fits(&model.request, request) => (
                    "the reply's trace",
                    (listed(input, reply), traced::lines_of(way)),
                ),
                _ => ("the trace", asked),
            };
            let message = difference(whose, &traced, &modelled);
            kernel.notes.push(note("trace-differs", message));
            kernel
        }
    }
}

/// Where the model leaves the trace. The trace may begin later than the packet's way.
fn difference(whose: &str, kernel: &[Line], model: &[Line]) -> String {
    let word = |line: Option<&Line>| match line {
        Some((family, table, chain, 0, verdict)) => {
            format!("policy {verdict} of {family} {table} {chain}")
        }
        Some((family, table, chain, handle, verdict)) => {
            format!("{family} {table} {chain} #{handle} ({verdict})")
        }
        None => "the end of its way".to_string(),
    };
    let begin = kernel
        .first()
        .and_then(|first| model.iter().position(|line| line == first))
        .unwrap_or(0);
    let rest = &model[begin..];
    let at = kernel.iter().zip(rest).take_while(|(a, b)| a == b).count();
    format!(
        "this is the kernel's way; the model of this ruleset and these facts takes another: line {} of {whose} is {}, the model has {}; the ruleset or the facts are not those of the moment of the trace, or the model is wrong (`nfpath verify` tells)",
        at + 1,
        word(kernel.get(at)),
        word(rest.get(at)),
    )
}

/// The packet as it was first seen, as a question.
fn question(first: &Glimpse) -> Result<Question, String> {
    let missing = |what: &str| {
        format!("the trace does not show the packet's {what}: the model was not asked")
    };
    let number = match (first.proto, first.dst) {
        (Some(number), _) => number,
        (None, Some(std::net::IpAddr::V6(_))) if first.icmp.is_some() => proto::ICMPV6,
        (None, Some(_)) if first.icmp.is_some() => proto::ICMP,
        (None, _) => return Err(missing("protocol")),
    };
    let dst = first.dst.ok_or_else(|| missing("destination"))?;
    let mut question = Question::new(Flow {
        proto: number,
        family: IpFamily::of(dst),
        src: first.src,
        sport: first.sport,
        dst,
        dport: first.dport,
    });
    question.sent_here = first.iif.is_none();
    question.iif.clone_from(&first.iif);
    question.tcp_flags = first.tcp_flags;
    question.icmp = first.icmp.map(|kind| (kind, 0));
    Ok(question)
}
