//! `nfpath reach`

use std::net::IpAddr;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use ipnet::IpNet;

use crate::hooks::Hooks;
use crate::packet::proto;
use crate::reach::{Query, Reach as Answered, State, reach, v1};
use crate::render;

use super::{Answer, CtState, Exit, Facts, Failure, input, output};

/// Who can reach what: all packets from outside that get through, as rows.
///
/// Rows are exact and disjoint: first packets of conversations, by interface, source, destination as first sent and port, with
/// where they are translated to and the rules that let them pass. Without a question, what reaches this host itself and what
/// it publishes. Exit status 1 when nothing gets through, 4 when all that does rests on something that is not known.
#[derive(Debug, Args)]
pub(super) struct Reach {
    /// A file or `-`: nft JSON, a snapshot, iptables-save, or nft syntax.
    #[arg(value_name = "RULESET", required_unless_present = "live")]
    ruleset: Option<String>,
    /// What is reached, behind all translations.
    #[arg(long, value_name = "ADDR[/LEN][:PORT]")]
    to: Option<String>,
    /// Who reaches it.
    #[arg(long, value_name = "ADDR[/LEN]")]
    from: Option<String>,
    /// Interface that packets enter by.
    #[arg(long, value_name = "IF")]
    from_iface: Option<String>,
    /// Interface that packets leave by.
    #[arg(long, value_name = "IF")]
    to_iface: Option<String>,
    /// Protocol, by name or number.
    #[arg(long, value_name = "PROTO")]
    proto: Option<String>,
    /// What conntrack makes of the packets. `established`: first answers, of conversations that the other options say.
    #[arg(long, value_name = "STATE", default_value = "new")]
    state: CtState,
    /// How to write the answer.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    facts: Facts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Reach {
    pub(super) fn run(&self) -> Answer {
        let query = self.query()?;
        let input = input::read(self.ruleset.as_deref(), &self.facts)?;
        let hooks = Hooks::new(&input.loaded.ruleset);
        let answer = output::waiting("following all packets", || {
            reach(&input.loaded, &hooks, &input.host, &query, output::room())
        })
        .map_err(Failure::usage)?;
        match self.format {
            Format::Json => output::result(&v1::json(&answer))?,
            Format::Text => {
                output::diagnostics(&input.loaded.diagnostics);
                output::result(&render::reach::text(&answer, output::width()))?;
            }
        }
        Ok(exit_of(&answer))
    }

    fn query(&self) -> Result<Query, Failure> {
        let (to, to_port) = match &self.to {
            None => (None, None),
            Some(text) => target(text)
                .map(|(net, port)| (Some(net), port))
                .ok_or_else(|| {
                    Failure::usage(anyhow!(
                        "`--to {text}`: write an address, a prefix, or ADDR:PORT (IPv6 in brackets)"
                    ))
                })?,
        };
        let from = self.from.as_deref().map(|text| {
            net(text).ok_or_else(|| {
                Failure::usage(anyhow!("`--from {text}`: write an address or a prefix"))
            })
        });
        let proto = self.proto.as_deref().map(|text| {
            protocol(text).ok_or_else(|| {
                Failure::usage(anyhow!("`--proto {text}`: no protocol of that name"))
            })
        });
        let state = match self.state {
            CtState::New => State::New,
            CtState::Established => State::Established,
            CtState::Invalid => State::Invalid,
            CtState::Untracked => State::Untracked,
            CtState::Related => {
                return Err(Failure::usage(anyhow!(
                    "`--state related`: what a conversation announces is followed for one flow only: `nfpath explain --flow FLOW --ct-state related`"
                )));
            }
        };
        let (from, proto) = (from.transpose()?, proto.transpose()?);
        let refuse = |error: &str| Err(Failure::usage(anyhow!("{error}")));
        if of_two_versions(from, to) {
            return refuse("`--from` and `--to` are of different IP versions");
        }
        if to_port.is_some() && proto.is_some_and(|number| !proto::has_ports(number)) {
            return refuse("`--to` names a port, and packets of `--proto` have none");
        }
        Ok(Query {
            state,
            to,
            to_port,
            from,
            from_iface: self.from_iface.clone(),
            to_iface: self.to_iface.clone(),
            proto,
        })
    }
}

/// Whether two prefixes are given, one of IPv4 and one of IPv6.
pub(super) fn of_two_versions(one: Option<IpNet>, other: Option<IpNet>) -> bool {
    let versions = one.zip(other);
    versions.is_some_and(|(one, other)| one.addr().is_ipv6() != other.addr().is_ipv6())
}

fn exit_of(answer: &Answered) -> Exit {
    match answer.rows.as_slice() {
        _ if answer.given_up.is_some() => Exit::Undetermined,
        [] if answer.left_out.is_empty() && !answer.truncated => Exit::No,
        [] => Exit::Undetermined,
        rows if rows.iter().all(|row| !row.rests_on.is_empty()) => Exit::Undetermined,
        _ => Exit::Yes,
    }
}

/// `tcp`, or a number.
pub(super) fn protocol(text: &str) -> Option<u8> {
    let named = proto::NAMES.iter().find(|(name, _)| *name == text);
    named
        .map(|(_, number)| *number)
        .or_else(|| text.parse().ok())
}

/// An address, or a prefix.
pub(super) fn net(text: &str) -> Option<IpNet> {
    let address: Option<IpAddr> = text.parse().ok();
    address.map(IpNet::from).or_else(|| text.parse().ok())
}

/// `10.0.0.1`, `10.0.0.0/8`, `10.0.0.1:80`, `[fd00::1]:80`.
fn target(text: &str) -> Option<(IpNet, Option<u16>)> {
    if let Some(found) = net(text) {
        return Some((found, None));
    }
    let (address, port) = text.rsplit_once(':')?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    Some((net(address)?, Some(port.parse().ok()?)))
}
