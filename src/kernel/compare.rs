//! The model's way of a conversation against the kernel's: the same lines in the same order, and the same end.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::eval::Iface;
use crate::host::Host;
use crate::logic::Known;
use crate::packet::proto;
use crate::report::build::host_drop_name;
use crate::ruleset::{Handle, Ruleset};
use crate::walk::step::{Disposition, Path, RuleOutcome, StepKind};

use super::talk::{Ending, Seen};
use crate::trace::EventKind;

/// A rule that matched, or the end of a base chain, by the kernel's own keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub family: String,
    pub table: String,
    pub chain: String,
    /// `None`: the chain's policy.
    pub rule: Option<Place>,
    pub verdict: String,
}

/// Which rule of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// As the user's ruleset has it; zero where that has none.
    pub handle: Handle,
    /// From 0.
    pub index: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.handle {
            Handle(0) => write!(f, "rule {}", self.index + 1),
            handle => write!(f, "{handle}"),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.family, self.table, self.chain)?;
        match self.rule {
            Some(rule) => write!(f, "{rule} {}", self.verdict),
            None => write!(f, "policy {}", self.verdict),
        }
    }
}

/// Source and destination at the end of a way; what is not known is equal to everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ends {
    pub src: Option<IpAddr>,
    pub dst: Option<IpAddr>,
    pub sport: Option<u16>,
    pub dport: Option<u16>,
}

/// Where a way ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Out by a link; `None`: the model does not know which.
    Left {
        device: Option<String>,
        ends: Ends,
    },
    Local {
        ends: Ends,
    },
    /// Dropped, by a rule or between the chains; the model says why.
    Gone {
        why: String,
    },
    /// The model does not say.
    Open {
        why: String,
    },
}

/// The way of one packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    pub lines: Vec<Line>,
    pub end: End,
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |ip: Option<IpAddr>, port: Option<u16>| match (ip, port) {
            (None, _) => "?".to_string(),
            (Some(ip), None) => ip.to_string(),
            (Some(ip), Some(port)) => SocketAddr::new(ip, port).to_string(),
        };
        write!(
            f,
            "{} -> {}",
            end(self.src, self.sport),
            end(self.dst, self.dport)
        )
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Left { device, ends } => {
                write!(f, "leaves by {}: {ends}", device.as_deref().unwrap_or("?"))
            }
            End::Local { ends } => write!(f, "reaches this host: {ends}"),
            End::Gone { why } if why.is_empty() => f.write_str("does not arrive"),
            End::Gone { why } => write!(f, "does not arrive: {why}"),
            End::Open { why } => write!(f, "cannot tell: {why}"),
        }
    }
}

impl End {
    /// Whether both say the same, as far as they know.
    pub fn agrees(&self, other: &End) -> bool {
        match (self, other) {
            (
                End::Left { device, ends },
                End::Left {
                    device: by,
                    ends: others,
                },
            ) => open_or_equal(device, by) && ends.agree(others),
            (End::Local { ends }, End::Local { ends: others }) => ends.agree(others),
            (End::Gone { .. }, End::Gone { .. }) => true,
            _ => false,
        }
    }
}

impl Ends {
    fn agree(&self, other: &Ends) -> bool {
        open_or_equal(&self.src, &other.src)
            && open_or_equal(&self.dst, &other.dst)
            && open_or_equal(&self.sport, &other.sport)
            && open_or_equal(&self.dport, &other.dport)
    }
}

fn open_or_equal<T: PartialEq>(a: &Option<T>, b: &Option<T>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}

/// The row in which two ways differ first: a line, or the end (the number of lines of the longer).
pub fn first_difference(model: &Way, kernel: &Way) -> Option<usize> {
    let rows = model.lines.len().max(kernel.lines.len());
    (0..rows)
        .find(|&at| model.lines.get(at) != kernel.lines.get(at))
        .or_else(|| (!model.end.agrees(&kernel.end)).then_some(rows))
}

/// The model's way, in the kernel's terms.
pub fn of_model(ruleset: &Ruleset, host: &Host, path: &Path) -> Way {
    let mut lines = Vec::new();
    for step in &path.steps {
        match &step.kind {
            StepKind::Rule(rule) => {
                let RuleOutcome::Matched(taken) = &rule.outcome else {
                    continue;
                };
                let verdict = taken.words(ruleset);
                let chain = ruleset.rule(rule.rule).chain;
                let table = ruleset.table_of(chain);
                lines.push(Line {
                    family: table.family.to_string(),
                    table: table.name.to_string(),
                    chain: ruleset.chain(chain).name.to_string(),
                    rule: Some(Place {
                        handle: ruleset.rule(rule.rule).handle,
                        index: ruleset.rule(rule.rule).index,
                    }),
                    verdict,
                });
            }
            StepKind::Policy { chain, policy } => {
                let table = ruleset.table_of(*chain);
                lines.push(Line {
                    family: table.family.to_string(),
                    table: table.name.to_string(),
                    chain: ruleset.chain(*chain).name.to_string(),
                    rule: None,
                    verdict: policy.name().into(),
                });
            }
            StepKind::Chain(_)
            | StepKind::Conntrack(_)
            | StepKind::Nat(_)
            | StepKind::Routing(_)
            | StepKind::Bridge(_)
            | StepKind::Ttl { .. }
            | StepKind::Local
            | StepKind::Leaves
            | StepKind::Loopback
            | StepKind::Drop(_) => {}
        }
    }
    let out = &path.output;
    let ends = Ends {
        src: out.src.value(),
        dst: out.dst.value(),
        sport: out.sport.and_then(Known::value),
        dport: out.dport.and_then(Known::value),
    };
    let name = |iface: Iface| match iface {
        Iface::Link(at) => host.links.get(usize::from(at)).map(|l| l.name.to_string()),
        Iface::Fact(_) => None,
    };
    let end = match &path.disposition {
        Disposition::Local => End::Local { ends },
        Disposition::Forwarded
        | Disposition::Bridged
        | Disposition::Transmitted
        | Disposition::Relayed => End::Left {
            device: out.out_port.or(out.oif).and_then(name),
            ends,
        },
        Disposition::Dropped => End::Gone {
            why: "dropped".into(),
        },
        Disposition::Rejected => End::Gone {
            why: "rejected".into(),
        },
        Disposition::Host(why) => End::Gone {
            why: host_drop_name(*why).into(),
        },
        Disposition::Queued => End::Open {
            why: "it waits for a program (queue)".into(),
        },
        Disposition::Stolen => End::Open {
            why: "a rule took it over".into(),
        },
        Disposition::Unknown { because, .. } => End::Open {
            why: because.clone(),
        },
    };
    Way { lines, end }
}

/// The kernel's way, with the places that rules have in the user's ruleset.
pub fn of_kernel(seen: &Seen, place_of: impl Fn(&str, &str, &str, u64) -> Place) -> Way {
    let lines = seen
        .events
        .iter()
        .filter_map(|event| {
            let (rule, verdict) = match &event.kind {
                EventKind::Packet(_) => return None,
                EventKind::Rule {
                    handle, verdict, ..
                } => {
                    let own = place_of(&event.family, &event.table, &event.chain, *handle);
                    (Some(own), verdict)
                }
                EventKind::Policy { verdict } => (None, verdict),
            };
            Some(Line {
                family: event.family.clone(),
                table: event.table.clone(),
                chain: event.chain.clone(),
                rule,
                verdict: verdict.clone(),
            })
        })
        .collect();
    let ends = |headers: &super::frame::Headers| {
        let port = |port: u16| proto::has_ports(headers.proto).then_some(port);
        Ends {
            src: Some(headers.src),
            dst: Some(headers.dst),
            sport: port(headers.sport),
            dport: port(headers.dport),
        }
    };
    let end = match &seen.end {
        Ending::Left { device, headers } => End::Left {
            device: Some(device.clone()),
            ends: ends(headers),
        },
        Ending::Local(headers) => End::Local {
            ends: ends(headers),
        },
        Ending::Gone => End::Gone { why: String::new() },
    };
    Way { lines, end }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(chain: &str, handle: u64, verdict: &str) -> Line {
        Line {
            family: "ip".into(),
            table: "t".into(),
            chain: chain.into(),
            rule: (handle > 0).then_some(Place {
                handle: Handle(handle),
                index: 0,
            }),
            verdict: verdict.into(),
        }
    }

    fn way(lines: &[Line], device: &str, dst: &str) -> Way {
        Way {
            lines: lines.to_vec(),
            end: End::Left {
                device: Some(device.into()),
                ends: Ends {
                    dst: dst.parse().ok(),
                    ..Ends::default()
                },
            },
        }
    }

    #[test]
    fn the_first_difference_is_found() {
        let lines = [line("c", 3, "continue"), line("c", 0, "accept")];
        let same = way(&lines, "eth1", "10.0.0.1");
        assert_eq!(first_difference(&same, &same), None);
        assert_eq!(
            first_difference(&same, &way(&lines[..1], "eth1", "10.0.0.1")),
            Some(1)
        );
        let other = [line("c", 4, "continue"), line("c", 0, "accept")];
        assert_eq!(
            first_difference(&same, &way(&other, "eth1", "10.0.0.1")),
            Some(0)
        );
        // the same rules, another translation or another link
        assert_eq!(
            first_difference(&same, &way(&lines, "eth1", "10.0.0.2")),
            Some(2)
        );
        assert_eq!(
            first_difference(&same, &way(&lines, "eth2", "10.0.0.1")),
            Some(2)
        );
    }

    #[test]
    fn what_is_not_known_is_no_difference_but_an_open_end_is() {
        let one = way(&[], "eth1", "10.0.0.1");
        let unknown = way(&[], "eth1", "");
        assert_eq!(first_difference(&one, &unknown), None);
        let open = Way {
            lines: Vec::new(),
            end: End::Open {
                why: "queue".into(),
            },
        };
        assert_eq!(first_difference(&open, &one), Some(0));
    }
}
