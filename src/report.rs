//! The answer to a question about flows, with every name resolved: what the renderers show.
//!
//! Made once from what the walk recorded (`report::build`); text, JSON and pictures only choose what of it to show.
//! All strings that come from the ruleset are untrusted text here; each renderer makes them safe for its medium.

pub mod build;
pub mod named_rule;
pub mod notes;
pub mod remedy;
pub mod row;
pub mod traced;
pub mod v1;
pub mod why_not;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::owner::Owner;
use crate::ruleset::{Family, Handle, Hook};
use remedy::Advice;
use why_not::WhyNot;

/// The answer to one command.
#[derive(Debug, Clone)]
pub struct Report {
    pub ruleset: RulesetInfo,
    pub context: ContextInfo,
    pub flows: Vec<FlowReport>,
    pub diagnostics: Vec<Diagnostic>,
}

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct RulesetInfo {
    /// File name, `-`, or `live`.
    pub source: String,
    /// The nft that wrote the listing.
    pub nft_version: Option<String>,
    pub tables: usize,
    pub chains: usize,
    pub rules: usize,
    pub sets: usize,
    /// Parts of the ruleset without a meaning here.
    pub unknown: Vec<UnknownPart>,
}

/// A part of the ruleset that this version gives no meaning to.
#[derive(Debug, Clone)]
pub struct UnknownPart {
    pub at: Option<RuleRef>,
    pub what: String,
    /// What would settle it.
    pub settle: String,
}

/// What was known about the host.
#[derive(Debug, Clone, Default)]
pub struct ContextInfo {
    /// Where facts came from: file names and flags; empty when nothing was given.
    pub sources: Vec<String>,
    pub hostname: Option<String>,
    pub kernel: Option<String>,
    pub taken: Option<String>,
}

/// A rule by the kernel's own keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RuleRef {
    pub family: Family,
    pub table: String,
    pub chain: String,
    pub handle: Handle,
    /// Position in its chain, from 0.
    pub index: u32,
}

impl fmt::Display for RuleRef {
    /// `ip filter INPUT #5`, or `ip filter INPUT rule 1` where the source has no handles.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.family, self.table, self.chain)?;
        match self.handle.0 {
            0 => write!(f, "rule {}", self.index + 1),
            _ => write!(f, "{}", self.handle),
        }
    }
}

/// The outcome of a packet or of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    Accept,
    Drop,
    Reject,
    Unknown,
}

impl Verdict {
    /// The word of the report contract.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Accept => "accept",
            Verdict::Drop => "drop",
            Verdict::Reject => "reject",
            Verdict::Unknown => "unknown",
        }
    }
}

/// The answer for one flow.
#[derive(Debug, Clone)]
pub struct FlowReport {
    pub flow: FlowInfo,
    /// Of the whole conversation.
    pub verdict: Verdict,
    pub request: PathReport,
    pub reply: Option<PathReport>,
    /// Facts that were used without being given, in order of use.
    pub assumptions: Vec<Assumption>,
    /// Other endings, when facts that were not given are otherwise.
    pub alternatives: Vec<Alternative>,
    pub notes: Vec<Note>,
    /// What became of rules that were asked for.
    pub why_not: Vec<WhyNot>,
    /// What would let it pass, where that was asked for.
    pub advice: Option<Advice>,
    /// True when not all other endings could be looked at.
    pub truncated: bool,
}

/// The flow as asked for, with what was worked out about it.
#[derive(Debug, Clone)]
pub struct FlowInfo {
    /// The flow in its canonical spelling: `udp:10.254.10.105->10.254.10.252:1812`.
    pub text: String,
    pub proto: u8,
    /// `udp`, or the number.
    pub proto_name: String,
    pub src: Option<IpAddr>,
    pub sport: Option<u16>,
    pub dst: IpAddr,
    pub dport: Option<u16>,
    /// Where it enters; `None` when this host sends it.
    pub iif: Option<String>,
    pub mark: u32,
}

/// The way of one packet.
#[derive(Debug, Clone)]
pub struct PathReport {
    pub verdict: Verdict,
    /// One word, see docs/outcomes.md: `forwarded`, `dropped`, `rp-filter`, …
    pub disposition: &'static str,
    /// For an unknown ending: why, and what would settle it.
    pub unknown: Option<(String, String)>,
    /// The packet as it enters the host, or is sent by it.
    pub input: Packet,
    /// The packet as it leaves the host, or reaches the local socket.
    pub output: Packet,
    pub steps: Vec<Step>,
    /// Positions in `steps` of what decided: the verdicts of base chains (rule or policy) that were not overruled, or the
    /// one that ended it.
    pub deciding: Vec<usize>,
    /// What this host sends back, because it refuses the packet.
    pub answer: Option<Box<PathReport>>,
}

/// A packet's fields at one point. Addresses and ports that nobody knows are words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub src: Field,
    pub dst: Field,
    pub sport: Option<Field>,
    pub dport: Option<Field>,
    pub proto: u8,
    pub icmp: Option<(u8, u8)>,
    pub iif: Option<Field>,
    pub oif: Option<Field>,
    pub in_port: Option<Field>,
    pub out_port: Option<Field>,
    /// `None`: not known.
    pub mark: Option<u32>,
    pub ttl: u8,
    pub ct_state: Option<&'static str>,
}

/// A value, or the name of the fact that stands for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    Known(String),
    /// `address of eth0`, `any unprivileged port`
    Unknown(String),
}

impl Field {
    /// The value or the words for it.
    pub fn text(&self) -> &str {
        match self {
            Field::Known(text) | Field::Unknown(text) => text,
        }
    }

    /// The value, when it is known.
    pub fn known(&self) -> Option<&str> {
        match self {
            Field::Known(text) => Some(text),
            Field::Unknown(_) => None,
        }
    }
}

/// One step, in the order in which the kernel performs them.
#[derive(Debug, Clone)]
pub struct Step {
    pub hook: Hook,
    /// `ip`, `ip6`, `bridge`, `arp`, `netdev`: whose hook it is.
    pub layer: &'static str,
    /// Shared by the steps between which it does not change.
    pub packet: Arc<Packet>,
    pub kind: StepKind,
}

#[derive(Debug, Clone)]
pub enum StepKind {
    /// A base chain is entered.
    Chain(ChainStep),
    Rule(RuleStep),
    /// The end of a base chain was reached.
    Policy {
        family: Family,
        table: String,
        chain: String,
        accept: bool,
    },
    Conntrack(ConntrackStep),
    Nat(NatStep),
    Routing(RoutingStep),
    Bridge {
        what: BridgeWhat,
        text: String,
    },
    Ttl {
        before: u8,
        after: u8,
    },
    Local,
    Leaves,
    Loopback,
    /// The stack drops the packet, no rule is to blame.
    Drop {
        disposition: &'static str,
        text: String,
    },
}

#[derive(Debug, Clone)]
pub struct ChainStep {
    pub family: Family,
    pub table: String,
    pub chain: String,
    pub priority: i32,
    /// `filter + 10`
    pub priority_words: String,
    /// `filter`, `nat`, `route`
    pub chain_type: String,
    /// True when the policy is accept.
    pub policy_accept: bool,
    /// The software that made it.
    pub owner: Option<Owner>,
}

#[derive(Debug, Clone)]
pub struct RuleStep {
    pub at: RuleRef,
    /// The software that wrote it.
    pub owner: Option<Owner>,
    /// For a jump or goto: the software that made the chain it leads to.
    pub leads_to: Option<Owner>,
    /// The rule as nft prints it, without counters' numbers and comment.
    pub text: String,
    pub comment: Option<String>,
    pub matched: bool,
    /// In the kernel's words: `continue`, `accept`, `jump X`, … `continue` for a rule that did not match.
    pub verdict: String,
    /// For a rule that did not match: the first expression that failed with the packet's value.
    pub why: Vec<String>,
    /// How deep in calls it stands: 0 in the base chain itself.
    pub depth: usize,
    /// True when the rule rests on a fact that nobody gave.
    pub assumed: bool,
}

#[derive(Debug, Clone)]
pub struct ConntrackStep {
    /// `new`, `established`, `related`, `invalid`, `untracked`, `confirmed`
    pub state: &'static str,
    /// True for a packet in the direction of the answer.
    pub reply: bool,
}

#[derive(Debug, Clone)]
pub struct NatStep {
    /// True when the source is rewritten, false for the destination.
    pub source: bool,
    pub from: String,
    pub to: String,
    /// The rule that made the translation; `None` when conntrack applies an older one.
    pub by: Option<RuleRef>,
    /// `dnat`, `masquerade`, …; `None` when conntrack applies an older one.
    pub statement: Option<&'static str>,
    /// True for the inverse translation of an answer.
    pub reply: bool,
}

#[derive(Debug, Clone)]
pub struct RoutingStep {
    /// `local`, `broadcast`, `multicast`, `forward`, `output`
    pub decision: &'static str,
    pub oif: Option<Field>,
    pub route: Option<String>,
    pub again: bool,
}

/// What a bridge did with the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BridgeWhat {
    Enters,
    CallsIp,
    Up,
    Across,
    Down,
    PreroutingDone,
}

/// A fact that was used without being given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assumption {
    /// Fact and value as one sentence.
    pub words: String,
    pub fact: String,
    pub value: String,
    pub because: String,
    /// `inferred`, `default` or `flag`
    pub source: &'static str,
    /// How to confirm it or say otherwise.
    pub confirm: String,
}

/// What happens when facts that were not given are otherwise.
#[derive(Debug, Clone)]
pub struct Alternative {
    /// The facts, in words.
    pub when: Vec<String>,
    /// The questions that these facts answer, as claims that may hold or not, each with what would settle it.
    pub questions: Vec<(String, String)>,
    /// What would settle them.
    pub settle: Vec<String>,
    /// True when the usual answer to the open questions is the primary one (a limit, a set's contents).
    pub unusual: bool,
    pub verdict: Verdict,
    pub request: PathReport,
    pub reply: Option<PathReport>,
}

/// A remark that answers a question people have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// A stable kebab-case word.
    pub code: &'static str,
    pub message: String,
    pub at: Option<RuleRef>,
}
