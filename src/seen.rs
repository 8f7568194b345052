//! Flows from where people have them: log lines of the kernel, listings of connections, captures, tables.
//!
//! Each line is recognised by its own words, so one file may mix kinds. What a line says beyond the addresses (interfaces,
//! mark, flags) is kept; what it leaves open stays open, and is remarked on.

mod conntrack;
mod log;
mod pcap;
mod ss;
mod table;
mod tcpdump;

use std::collections::HashSet;
use std::net::IpAddr;

use crate::diagnostic::Diagnostic;
use crate::explain::Question;
use crate::flow::{self, Flow, IpFamily};
use crate::packet::{proto, tcp};

/// A packet that somebody saw, or a connection that somebody listed, as a question.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Where it stands in its file: `line 3`, `packet 12`.
    pub at: String,
    pub question: Question,
    /// What the line leaves open, or what was guessed.
    pub remarks: Vec<String>,
}

impl Seen {
    fn new(flow: Flow) -> Seen {
        Seen {
            at: String::new(),
            question: Question::new(flow),
            remarks: Vec::new(),
        }
    }

    /// TCP flags as seen; those of a packet inside a connection are remarked on.
    fn flags(&mut self, flags: u8) {
        self.question.tcp_flags = Some(flags);
        if flags & tcp::SYN == 0 {
            self.remarks.push(
                "a packet inside a connection: taken for the first one that conntrack sees; `--ct-state established` asks for one of a connection that it knows".into(),
            );
        }
    }
}

/// What a line turned out to be.
enum Line {
    Flow(Box<Seen>),
    /// One of the packets of a conversation, of which the first is asked.
    Packet(Box<Seen>),
    /// A heading, or something that is no flow: the reason, where it is worth one.
    Nothing(Option<String>),
    /// Not of this kind.
    Other,
    /// Of this kind, and not to be used.
    Bad(String),
    /// Of a form that people write for nfpath, and written wrongly: what else would be answered is not what was meant.
    Refused(String),
}

/// Why no flow could be read. One line, lower case, no final period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {message}")]
pub struct SeenError {
    pub file: String,
    pub message: String,
}

/// Reads all flows of a file: the first packet of each conversation where it holds packets.
///
/// # Errors
/// When it holds no flow at all.
pub fn read(source: &str, content: &[u8]) -> Result<(Vec<Seen>, Vec<Diagnostic>), SeenError> {
    let unusable = |message: String| SeenError {
        file: source.to_string(),
        message,
    };
    let (found, diagnostics) = if pcap::is(content) {
        pcap::read(source, content).map_err(unusable)?
    } else {
        // spreadsheets begin a text with it
        let content = content
            .strip_prefix("\u{feff}".as_bytes())
            .unwrap_or(content);
        let text = std::str::from_utf8(content).map_err(|error| {
            unusable(format!(
                "neither text nor a pcap file (byte {} is not UTF-8)",
                error.valid_up_to()
            ))
        })?;
        if table::is(text) {
            table::read(source, text).map_err(unusable)?
        } else {
            lines(source, text).map_err(unusable)?
        }
    };
    if found.is_empty() {
        let first = diagnostics.first().map(|remark| remark.message.clone());
        return Err(unusable(first.unwrap_or_else(|| {
            "no flow in it; it takes flows (`tcp:10.0.0.2->10.0.0.1:22`), kernel log lines, `conntrack -L`, `ss -n`, `tcpdump -n`, pcap, CSV and JSON lines".into()
        })));
    }
    Ok((found, diagnostics))
}

/// Reads one text that stands for a flow: a flow as nfpath writes it, or a line of another program.
///
/// # Errors
/// What is wrong, in one line.
pub fn read_one(text: &str) -> Result<Seen, String> {
    match line(text) {
        Line::Flow(seen) | Line::Packet(seen) => Ok(*seen),
        Line::Bad(why) | Line::Refused(why) | Line::Nothing(Some(why)) => Err(why),
        Line::Nothing(None) => Err("no flow".into()),
        Line::Other => flow::parse(text)
            .map(Seen::new)
            .map_err(|error| error.to_string()),
    }
}

fn line(text: &str) -> Line {
    type Reader = fn(&str) -> Line;
    let readers: [Reader; 5] = [
        table::line,
        log::line,
        conntrack::line,
        tcpdump::line,
        ss::line,
    ];
    readers
        .iter()
        .map(|read| read(text))
        .find(|line| !matches!(line, Line::Other))
        .unwrap_or(Line::Other)
}

fn lines(source: &str, text: &str) -> Result<(Vec<Seen>, Vec<Diagnostic>), String> {
    let mut found = Vec::new();
    let mut diagnostics = Vec::new();
    let mut conversations = Conversations::default();
    for (number, text) in text.lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let at = format!("line {}", number + 1);
        let from = format!("{source}: {at}");
        match line(text) {
            Line::Packet(seen) if !conversations.is_first(&seen.question.flow) => {}
            Line::Flow(mut seen) | Line::Packet(mut seen) => {
                seen.at = at;
                found.push(*seen);
            }
            Line::Nothing(None) => {}
            Line::Nothing(Some(why)) => diagnostics.push(Diagnostic::note(from, why)),
            Line::Bad(why) => diagnostics.push(Diagnostic::warning(from, why)),
            Line::Refused(why) => return Err(format!("{at}: {why}")),
            Line::Other => match flow::parse(text) {
                Ok(flow) => {
                    let mut seen = Seen::new(flow);
                    seen.at = at;
                    found.push(seen);
                }
                Err(error) => diagnostics.push(Diagnostic::warning(from, error.to_string())),
            },
        }
    }
    Ok((found, diagnostics))
}

/// Conversations met so far, whichever side began them.
#[derive(Default)]
struct Conversations(HashSet<(u8, Side, Side)>);

type Side = (IpAddr, u16);

impl Conversations {
    fn is_first(&mut self, flow: &Flow) -> bool {
        let Some(src) = flow.src else { return true };
        let a = (src, flow.sport.unwrap_or(0));
        let b = (flow.dst, flow.dport.unwrap_or(0));
        self.0.insert((flow.proto, a.min(b), a.max(b)))
    }
}

/// A flow from its parts, or why there is none.
fn flow_of(
    proto: u8,
    src: Option<IpAddr>,
    sport: Option<u16>,
    dst: IpAddr,
    dport: Option<u16>,
) -> Result<Flow, String> {
    if let Some(src) = src
        && src.is_ipv4() != dst.is_ipv4()
    {
        return Err(format!("`{src}` and `{dst}` are of different families"));
    }
    let ports = proto::has_ports(proto);
    Ok(Flow {
        proto,
        family: IpFamily::of(dst),
        src,
        sport: sport.filter(|port| ports && *port != 0),
        dst,
        dport: dport.filter(|_| ports),
    })
}

/// Flags of TCP as bits, by the first letters that tcpdump writes.
const LETTERS: [(char, u8); 8] = [
    ('F', tcp::FIN),
    ('S', tcp::SYN),
    ('R', tcp::RST),
    ('P', tcp::PSH),
    ('.', tcp::ACK),
    ('U', tcp::URG),
    ('E', tcp::ECE),
    ('W', tcp::CWR),
];

#[cfg(test)]
mod tests;
