//! What a flow is expected to do, and whether its answer does it: `nfpath test`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::report::build::{DISPOSITIONS, endpoint};
use crate::report::row::decider;
use crate::report::{Field, FlowReport, Packet, PathReport, Verdict};
use crate::ruleset::Family;

/// What is demanded of an answer. What is not said is not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expected {
    /// Of the whole conversation: `accept`, `drop`, `reject`, `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// How the request ends (docs/outcomes.md): `forwarded`, `local`, `rp-filter`, ….
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The verdict of the reply, or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// Who decided: `ip filter DOCKER`, `ip filter DOCKER #27`, `policy drop of ip filter FORWARD`, `the host`. An accepted
    /// flow has been decided by a rule or policy of each base chain; one of them has to be it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The source as the receiver of the request sees it: `172.20.0.1` or `172.20.0.1:40000`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The destination as the receiver of the request sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// The interface by which the request leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out: Option<String>,
}

/// Something that is not as it is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// What was looked at: `verdict`, `by`, ….
    pub what: &'static str,
    pub expected: String,
    pub is: String,
}

const VERDICTS: [&str; 4] = ["accept", "drop", "reject", "unknown"];

impl Expected {
    /// The field and one line when a word is none that an answer could have; an empty field when nothing is demanded.
    pub fn check_words(&self) -> Result<(), (&'static str, String)> {
        if *self == Expected::default() {
            let error = "nothing is expected of this flow; say at least `verdict = \"accept\"`";
            return Err(("", error.into()));
        }
        let known = |what: &'static str, word: &Option<String>, words: &[&str]| match word {
            Some(word) if !words.contains(&word.as_str()) => {
                let meant = words.join(", ");
                Err((
                    what,
                    format!("`{what} = \"{word}\"`: one of {meant} is meant"),
                ))
            }
            _ => Ok(()),
        };
        known("verdict", &self.verdict, &VERDICTS)?;
        known("request", &self.request, &DISPOSITIONS)?;
        if let Some(by) = &self.by {
            check_by(by).map_err(|error| ("by", error))?;
        }
        known(
            "reply",
            &self.reply,
            &["accept", "drop", "reject", "unknown", "none"],
        )?;
        for (what, end) in [("source", &self.source), ("destination", &self.destination)] {
            if let Some(end) = end
                && split(end).is_none()
            {
                let error = "an address is meant, with or without a port";
                return Err((what, format!("`{what} = \"{end}\"`: {error}")));
            }
        }
        Ok(())
    }

    /// What of the answer is not as expected; nothing when all is.
    pub fn check(&self, answer: &FlowReport) -> Vec<Mismatch> {
        let mut wrong = Vec::new();
        let mut compare = |what, expected: &Option<String>, is: &str| {
            if let Some(expected) = expected.as_deref().filter(|expected| *expected != is) {
                wrong.push(Mismatch {
                    what,
                    expected: expected.to_string(),
                    is: is.to_string(),
                });
            }
        };
        let request = &answer.request;
        compare("verdict", &self.verdict, answer.verdict.name());
        compare("request", &self.request, request.disposition);
        let reply = answer.reply.as_ref();
        compare(
            "reply",
            &self.reply,
            reply.map_or("none", |reply| reply.verdict.name()),
        );
        let out = request.output.oif.as_ref().map_or("none", Field::text);
        compare("out", &self.out, out);
        if let Some(expected) = &self.by {
            let deciders = deciders(answer);
            if !deciders.iter().any(|decider| is_by(decider, expected)) {
                let is = match deciders.as_slice() {
                    [] => "no rule, nothing on its way drops it".to_string(),
                    deciders => deciders.join(", then "),
                };
                wrong.push(Mismatch {
                    what: "by",
                    expected: expected.clone(),
                    is,
                });
            }
        }
        let ends = [
            ("source", &self.source, false),
            ("destination", &self.destination, true),
        ];
        for (what, expected, destination) in ends {
            let Some(expected) = expected else { continue };
            if !is_end(&request.output, destination, expected) {
                wrong.push(Mismatch {
                    what,
                    expected: expected.clone(),
                    is: end(&request.output, destination),
                });
            }
        }
        wrong
    }

    /// What an answer is now, as what shall be expected. Handles and places of rules are left out: they change with every load.
    pub fn of(answer: &FlowReport) -> Expected {
        let request = &answer.request;
        let passes = request.verdict == Verdict::Accept;
        let changed = |destination| {
            let (before, after) = (
                end(&request.input, destination),
                end(&request.output, destination),
            );
            (passes && before != after && split(&after).is_some()).then_some(after)
        };
        let out = request.output.oif.as_ref().and_then(Field::known);
        Expected {
            verdict: Some(answer.verdict.name().to_string()),
            request: Some(request.disposition.to_string()),
            reply: answer
                .reply
                .as_ref()
                .map(|reply| reply.verdict.name().to_string()),
            by: deciders(answer).last().map(|by| chain_of(by).to_string()),
            source: changed(false),
            destination: changed(true),
            out: out.filter(|_| passes).map(str::to_string),
        }
    }
}

/// Who decided, without the handle or the place of the rule.
fn chain_of(by: &str) -> &str {
    if let Some((chain, _)) = by.rsplit_once(" #") {
        return chain;
    }
    match by.rsplit_once(" rule ") {
        Some((chain, place)) if place.bytes().all(|b| b.is_ascii_digit()) => chain,
        _ => by,
    }
}

/// One line when a text names nobody who could have decided.
fn check_by(by: &str) -> Result<(), String> {
    let names_chain = |text: &str| {
        let mut words = text.split_whitespace();
        let family = words.next().and_then(Family::from_name);
        family.is_some() && words.next().is_some() && words.next().is_some()
    };
    let chain = ["policy accept of ", "policy drop of "]
        .iter()
        .find_map(|policy| by.strip_prefix(policy))
        .unwrap_or(by);
    match by == "the host" || by.starts_with("the host ") || names_chain(chain) {
        true => Ok(()),
        false => Err(format!(
            "`by = \"{by}\"`: `FAMILY TABLE CHAIN`, the same with `#HANDLE` or `rule NUMBER`, `policy drop of FAMILY TABLE CHAIN` or `the host` is meant"
        )),
    }
}

/// Who decided about the packet that the verdict is about.
fn deciders(answer: &FlowReport) -> Vec<String> {
    let path = match &answer.reply {
        Some(reply) if answer.request.verdict == Verdict::Accept => match reply.verdict {
            Verdict::Accept => &answer.request,
            Verdict::Drop | Verdict::Reject | Verdict::Unknown => reply,
        },
        Some(_) | None => &answer.request,
    };
    let of = |path: &PathReport| -> Vec<String> {
        let steps = path.deciding.iter().filter_map(|&at| path.steps.get(at));
        steps.map(|step| decider(step).0).collect()
    };
    of(path).into_iter().filter(|by| !by.is_empty()).collect()
}

/// `ip filter DOCKER #27` is by `ip filter DOCKER`, and not by `ip filter DOCK`.
fn is_by(decider: &str, expected: &str) -> bool {
    decider
        .strip_prefix(expected)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

fn ends(packet: &Packet, destination: bool) -> (&Field, Option<&Field>) {
    match destination {
        false => (&packet.src, packet.sport.as_ref()),
        true => (&packet.dst, packet.dport.as_ref()),
    }
}

fn end(packet: &Packet, destination: bool) -> String {
    let (address, port) = ends(packet, destination);
    endpoint(address, port)
}

fn is_end(packet: &Packet, destination: bool, expected: &str) -> bool {
    let (address, port) = ends(packet, destination);
    let Some((ip, number)) = split(expected) else {
        return false;
    };
    let same = address.known().and_then(|known| known.parse().ok()) == Some(ip);
    let of_port = |number: u16| port.and_then(Field::known) == Some(number.to_string().as_str());
    same && number.is_none_or(of_port)
}

/// `10.0.0.1`, `10.0.0.1:53`, `fd00::1`, `[fd00::1]:53`.
fn split(end: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(ip) = end.parse() {
        return Some((ip, None));
    }
    let socket: std::net::SocketAddr = end.parse().ok()?;
    Some((socket.ip(), Some(socket.port())))
}
