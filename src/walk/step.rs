//! What a walk records: facts of each step, never re-derived later.

use std::net::IpAddr;

use crate::conntrack::{CtInfo, Manip};
use crate::eval::{Actual, Iface, Pf};
use crate::logic::{Choice, Known};
use crate::ruleset::datatype::DataType;
use crate::ruleset::{ChainId, Hook, NatKind, Policy, RuleId, Ruleset, UnknownId};

/// A packet and its context as they were at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketView {
    pub src: Known<IpAddr>,
    pub dst: Known<IpAddr>,
    pub proto: u8,
    pub sport: Option<Known<u16>>,
    pub dport: Option<Known<u16>>,
    /// Type and code.
    pub icmp: Option<(u8, u8)>,
    pub tcp_flags: Option<u8>,
    pub iif: Option<Iface>,
    pub oif: Option<Iface>,
    pub in_port: Option<Iface>,
    pub out_port: Option<Iface>,
    pub mark: Known<u32>,
    pub ttl: u8,
    /// The word of `ct state`, once conntrack has seen the packet.
    pub ct_state: Option<&'static str>,
}

/// Where in the stack a step happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    pub pf: Pf,
    pub hook: Hook,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub point: Point,
    pub packet: PacketView,
    pub kind: StepKind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    /// A base chain is entered.
    Chain(ChainId),
    Rule(RuleStep),
    /// The end of a base chain.
    Policy {
        chain: ChainId,
        policy: Policy,
    },
    Conntrack(ConntrackStep),
    Nat(NatStep),
    Routing(RoutingStep),
    Bridge(BridgeStep),
    /// One hop is counted off.
    Ttl {
        before: u8,
        after: u8,
    },
    /// The packet reaches a local socket (or the place where one would be).
    Local,
    /// The packet leaves the host through its `oif` or bridge port.
    Leaves,
    /// The packet comes back in through the loopback device.
    Loopback,
    /// The stack itself drops the packet; no rule is to blame.
    Drop(HostDrop),
}

/// A rule that was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleStep {
    pub rule: RuleId,
    pub outcome: RuleOutcome,
    /// Position of a choice in [`Path::choices`] that this rule's outcome rests on.
    pub choices: (usize, usize),
}

#[derive(Debug, Clone, PartialEq)]
pub enum RuleOutcome {
    /// The lowered statement at this position did not hold, and what the packet had.
    NoMatch {
        statement: usize,
        actual: Actual,
    },
    Matched(Taken),
}

/// The verdict of a rule that matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Continue,
    Accept,
    Drop,
    Return,
    Jump(ChainId),
    Goto(ChainId),
    Queue,
    Stolen,
    /// drop, and an answer is sent
    Reject,
    /// accept, and a translation was made
    Nat(NatKind),
    Unknown(UnknownId),
    /// the chain to go to is not in the listing
    Missing,
    /// the chains jump in a circle
    Loop,
}

impl Taken {
    /// Whether the packet ends here, for whatever its sender is told.
    pub fn refuses(self) -> bool {
        matches!(self, Taken::Drop | Taken::Reject)
    }

    /// The verdict as the kernel's trace has it; `unknown` for what no kernel does.
    pub fn words(self, ruleset: &Ruleset) -> String {
        let to = |how: &str, id: ChainId| format!("{how} {}", ruleset.chain(id).name);
        match self {
            Taken::Continue => "continue".into(),
            Taken::Accept | Taken::Nat(_) => "accept".into(),
            Taken::Drop | Taken::Reject => "drop".into(),
            Taken::Return => "return".into(),
            Taken::Jump(id) => to("jump", id),
            Taken::Goto(id) => to("goto", id),
            Taken::Queue => "queue".into(),
            Taken::Stolen => "stolen".into(),
            Taken::Unknown(_) | Taken::Missing | Taken::Loop => "unknown".into(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConntrackStep {
    /// The packet belongs to a conversation.
    Tracked {
        info: CtInfo,
        new_entry: bool,
    },
    Invalid,
    Untracked,
    /// The entry is complete: answers will be recognised.
    Confirmed,
}

/// A translation that was made or applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatStep {
    pub manip: Manip,
    pub before: PacketView,
    /// The rule that made the binding; `None` when conntrack applies an older one.
    pub by: Option<RuleId>,
    pub kind: Option<NatKind>,
    /// True for the inverse translation of an answer.
    pub reply: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingStep {
    pub decision: RoutingDecision,
    /// The route that decided, in words: `172.20.0.0/24 dev docker1 (main)`.
    pub route: Option<String>,
    /// Looked up again because a chain changed what the route depends on.
    pub again: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoutingDecision {
    Local,
    Broadcast,
    Multicast,
    Forward,
    /// A packet of this host goes out.
    Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BridgeStep {
    /// A frame comes in by a port of this bridge.
    Enters { bridge: Iface },
    /// br_netfilter hands the frame to the IP hooks.
    CallsIp,
    /// Its next station is this host: it goes up to the IP stack.
    Up { gateway: bool },
    /// It goes to another port of the same bridge.
    Across,
    /// A packet of the IP stack goes down into the bridge.
    Down { bridge: Iface },
    /// IP prerouting is not run again; it ran inside the bridge.
    PreroutingDone,
}

/// A drop by the stack between the chains; each has its exact condition in docs/outcomes.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HostDrop {
    NoRoute,
    Blackhole,
    Unreachable,
    Prohibit,
    ForwardingOff,
    RpFilter,
    MartianSource,
    MartianDestination,
    TtlExceeded,
    /// masquerade or redirect found no address to take
    NoAddress,
    /// a bridge does not send a frame back through the port it came from
    SamePort,
    /// two isolated ports of a bridge do not talk
    IsolatedPort,
    /// a packet from a link-local address is not forwarded
    LinkLocalSource,
    /// a multicast group that nobody on this host has joined
    NotJoined,
    /// the frame is addressed to another station
    OtherHost,
    /// a packet that belongs to a socket of this host is not forwarded
    OfSocket,
}

/// Where a path ended (one page: docs/outcomes.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Delivered to this host.
    Local,
    Forwarded,
    Bridged,
    /// Sent by this host.
    Transmitted,
    /// A rule or a policy dropped it.
    Dropped,
    Rejected,
    Queued,
    /// A netdev rule handed it to another device (`fwd`).
    Relayed,
    /// Taken over by a rule (`synproxy`).
    Stolen,
    Host(HostDrop),
    Unknown {
        because: String,
        settle: String,
    },
}

/// Whether the packet got through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Accept,
    Drop,
    Reject,
    Unknown,
}

impl Disposition {
    /// Whether the packet got through.
    pub fn outcome(&self) -> Outcome {
        match self {
            Disposition::Local
            | Disposition::Forwarded
            | Disposition::Bridged
            | Disposition::Transmitted
            | Disposition::Relayed => Outcome::Accept,
            Disposition::Dropped | Disposition::Host(_) => Outcome::Drop,
            Disposition::Rejected => Outcome::Reject,
            Disposition::Queued | Disposition::Stolen | Disposition::Unknown { .. } => {
                Outcome::Unknown
            }
        }
    }
}

/// A customary value that decided something, because nobody gave the real one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssumedField {
    pub fact: String,
    pub value: u128,
    pub data_type: DataType,
    pub settle: &'static str,
}

/// The way of one packet.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    pub input: PacketView,
    pub output: PacketView,
    pub steps: Vec<Step>,
    pub disposition: Disposition,
    /// Choices made on this path, as positions in [`Walked::choices`].
    pub choices: (usize, usize),
    /// What this host sends back, because it refuses the packet.
    pub answer: Option<Box<Path>>,
}

/// A request and its reply, walked under one set of choices.
#[derive(Debug, Clone, PartialEq)]
pub struct Walked {
    pub request: Path,
    pub reply: Option<Path>,
    pub choices: Vec<Choice>,
    /// Facts that had the value which the user gave: name and value.
    pub said: Vec<(String, String)>,
    pub assumed: Vec<AssumedField>,
    /// Inferred facts about the host that were used, by position in the host's list.
    pub inferred: Vec<u32>,
}
