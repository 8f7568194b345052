//! The report as JSON, schema `nfpath.report/1`.
//!
//! Wire types of their own: other programs rely on the names and meanings here (docs/formats/report.md). Additions are
//! allowed, nothing is renamed or removed.

use schemars::JsonSchema;
use serde::Serialize;

use super::remedy::{self, Advice, Change};
use super::{self as model, Field};

/// The `schema` value.
pub const SCHEMA: &str = "nfpath.report/1";

/// The answer to `nfpath explain --format json`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Report {
    /// Always `nfpath.report/1`.
    pub schema: &'static str,
    pub ruleset: Ruleset,
    pub context: Context,
    pub flows: Vec<Flow>,
    pub diagnostics: Vec<Diagnostic>,
}

/// The ruleset that was read.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Ruleset {
    /// File name, `-`, or `live`.
    pub source: String,
    /// Version of the nft that wrote the listing.
    pub nft_version: Option<String>,
    pub tables: usize,
    pub chains: usize,
    pub rules: usize,
    pub sets: usize,
    /// Parts that this version gives no meaning to.
    pub unknown: Vec<UnknownPart>,
}

/// A part of the ruleset without a meaning.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UnknownPart {
    pub at: Option<RuleRef>,
    pub what: String,
    /// What would settle it.
    pub settle: String,
}

/// What was known about the host.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Context {
    /// Files and flags that facts came from; empty when nothing was given.
    pub sources: Vec<String>,
    pub hostname: Option<String>,
    pub kernel: Option<String>,
    /// When the snapshot was taken, RFC 3339.
    pub taken: Option<String>,
}

/// A remark on an input.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Diagnostic {
    /// `note` or `warning`.
    pub severity: &'static str,
    pub source: String,
    pub message: String,
}

/// The answer for one flow.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Flow {
    pub flow: FlowInfo,
    /// Of the whole conversation: `accept` only when the request is delivered and a reply, where one is expected, comes
    /// back; `unknown` when facts that were not given decide it.
    pub verdict: Verdict,
    pub request: Path,
    pub reply: Option<Path>,
    pub assumptions: Vec<Assumption>,
    pub alternatives: Vec<Alternative>,
    /// True when there were more open questions than could be followed.
    pub truncated: bool,
    pub notes: Vec<Note>,
    /// What became of the rules that `--why-not` asks for.
    pub why_not: Vec<WhyNot>,
    /// What would let it pass; null where `--remedy` was not given.
    pub remedies: Option<Remedies>,
}

/// What would have to be added for a flow and its reply to pass. Nothing of it is applied.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Remedies {
    /// `nothing-to-change`, `found`, `partial`, or `none` when nothing can be promised.
    pub status: &'static str,
    /// Remedies, best first.
    pub found: Vec<Remedy>,
    /// What still stands in the way, when status is `partial` or `none`.
    pub remains: Option<String>,
}

/// Additions that belong together.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Remedy {
    /// Of the conversation, walked again with the additions.
    pub verdict: Verdict,
    pub additions: Vec<Addition>,
    /// All its rules as a document for `nft -j -f`; null where it has none or nft does not reach the table.
    pub nft: Option<serde_json::Value>,
    /// How long it lasts, and what else is to be known.
    pub remarks: Vec<String>,
}

/// One change.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Addition {
    /// Whose way it opens: `request` or `reply`.
    pub of: &'static str,
    /// What stops that packet without it.
    pub against: String,
    /// For a rule: where it goes.
    pub place: Option<Place>,
    /// For a rule: its text in nft's words.
    pub rule: Option<String>,
    /// For settings of the kernel: `KEY=VALUE`.
    pub settings: Vec<String>,
    /// The program of the commands: `nft`, `iptables`, `ip6tables`, `ebtables`, `firewall-cmd`, `ufw`, `sysctl`.
    pub tool: &'static str,
    /// For a POSIX shell; empty where none can be written safely.
    pub commands: Vec<String>,
    /// What else it lets pass.
    pub effect: String,
}

/// Where a rule goes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Place {
    pub family: &'static str,
    pub table: String,
    pub chain: String,
    /// Rules that stand before it, those of the additions before this one included.
    pub index: usize,
    /// The handle of the rule behind it, when known.
    pub before: Option<u64>,
    /// Who made the chain, in words.
    pub owner: Option<Owner>,
}

/// The flow as asked for.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FlowInfo {
    /// The canonical spelling.
    pub text: String,
    /// Name (`udp`) or number of the protocol.
    pub proto: String,
    pub src: Option<String>,
    pub sport: Option<u16>,
    pub dst: String,
    pub dport: Option<u16>,
    /// Where it enters; null when this host sends it.
    pub iif: Option<String>,
    /// Where the request leaves; null when it does not.
    pub oif: Option<String>,
    pub mark: u32,
}

/// An outcome.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Accept,
    Drop,
    Reject,
    Unknown,
}

/// The way of one packet.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Path {
    pub verdict: Verdict,
    /// `local`, `forwarded`, `bridged`, `transmitted`, `dropped`, `rejected`, `queued`, `unknown`, or the check of the
    /// stack that dropped it (docs/outcomes.md).
    pub disposition: &'static str,
    /// For disposition `unknown`: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// For disposition `unknown`: what would settle it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settle: Option<String>,
    /// The packet as it enters the host, or is sent by it.
    #[serde(rename = "in")]
    pub input: Packet,
    /// The packet as it leaves the host, or reaches the local socket.
    pub out: Packet,
    /// Positions in `steps` of what decided.
    pub deciding: Vec<usize>,
    pub steps: Vec<Step>,
    /// The way of the reset or ICMP error that this host sends to the packet's sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Box<Path>>,
}

/// A packet's fields. A value that nobody knows is null, and named in `unknown`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Packet {
    pub src: Option<String>,
    pub dst: Option<String>,
    pub sport: Option<u16>,
    pub dport: Option<u16>,
    /// IP protocol number.
    pub proto: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_code: Option<u8>,
    pub iif: Option<String>,
    pub oif: Option<String>,
    /// Bridge port it came in by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_port: Option<String>,
    /// Bridge port it leaves by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_port: Option<String>,
    pub mark: Option<u32>,
    pub ttl: u8,
    /// `new`, `established`, …; null before conntrack has seen it.
    pub ct_state: Option<&'static str>,
    /// Fields whose value nobody knows, with the words for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// A rule by the kernel's own keys.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RuleRef {
    pub family: &'static str,
    pub table: String,
    pub chain: String,
    pub handle: u64,
    /// Position in its chain, from 0.
    pub index: u32,
}

/// One step, in the order in which the kernel performs them.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Step {
    pub hook: &'static str,
    /// Whose hook it is: `ip`, `ip6`, `bridge`, `arp`, `netdev`.
    pub layer: &'static str,
    #[serde(flatten)]
    pub kind: StepKind,
}

/// What a step is.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum StepKind {
    /// A base chain is entered.
    Chain {
        family: &'static str,
        table: String,
        chain: String,
        priority: i32,
        #[serde(rename = "type")]
        chain_type: String,
        policy: &'static str,
        /// The software that made it, told by names; null when none is known.
        owner: Option<Owner>,
        packet: Packet,
    },
    Rule {
        family: &'static str,
        table: String,
        chain: String,
        handle: u64,
        index: u32,
        text: String,
        comment: Option<String>,
        /// The software that wrote it, told by names; null when none is known.
        owner: Option<Owner>,
        matched: bool,
        /// In the kernel's words: `continue`, `accept`, `drop`, `return`, `jump X`, `goto X`, `queue`, `stolen`, `unknown`.
        verdict: String,
        /// For a rule that did not match: the first expression that failed, with the packet's value.
        why: Vec<String>,
        /// True when the rule rests on a fact that nobody gave.
        assumed: bool,
    },
    /// The end of a base chain was reached.
    Policy {
        family: &'static str,
        table: String,
        chain: String,
        verdict: &'static str,
    },
    Conntrack {
        /// `new`, `established`, `related`, `invalid`, `untracked`, `confirmed`.
        state: &'static str,
        direction: &'static str,
    },
    Nat {
        /// `src` or `dst`: which end is rewritten.
        manip: &'static str,
        from: String,
        to: String,
        /// The rule that made the translation; null when conntrack applies an older one.
        by: Option<RuleRef>,
        statement: Option<&'static str>,
        packet: Packet,
    },
    Routing {
        /// `local`, `broadcast`, `multicast`, `forward`, `output`.
        decision: &'static str,
        oif: Option<String>,
        route: Option<String>,
        /// Looked up again because a chain changed what the route depends on.
        again: bool,
    },
    Bridge {
        /// `enters`, `calls-ip`, `up`, `across`, `down`, `prerouting-done`.
        what: &'static str,
        text: String,
    },
    /// One hop is counted off.
    Ttl { before: u8, after: u8 },
    /// Delivered to a local socket.
    Local { packet: Packet },
    /// The packet leaves the host.
    Leaves { packet: Packet },
    /// The packet comes back in by the loopback device.
    Loopback,
    /// The stack itself drops the packet.
    Drop {
        disposition: &'static str,
        text: String,
    },
}

/// The software that wrote a part of the ruleset.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Owner {
    /// `Docker`, `firewalld`, …
    pub software: &'static str,
    /// What the part is for, in that software's words; may be empty.
    pub role: String,
}

/// A fact that was used without being given.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Assumption {
    pub fact: String,
    pub value: String,
    pub because: String,
    /// `inferred`, `default` or `flag`.
    pub source: &'static str,
    /// How to confirm it or say otherwise.
    pub confirm: String,
}

/// Another ending.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Alternative {
    /// The facts that lead there.
    pub when: Vec<String>,
    pub settle: Vec<String>,
    pub verdict: Verdict,
    pub request: Path,
    pub reply: Option<Path>,
}

/// A remark that answers a question people have.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Note {
    pub code: &'static str,
    pub message: String,
    pub at: Option<RuleRef>,
}

/// Why one rule did not decide.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WhyNot {
    pub at: RuleRef,
    pub text: String,
    pub findings: Vec<Finding>,
}

/// What became of a rule on the way of one packet.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Finding {
    /// `request` or `reply`.
    pub of: &'static str,
    /// `decided`, `matched`, `did-not-match`, `left-before`, `dropped-before`, `not-called`, `hook-not-passed`,
    /// `other-family`, `nat-is-for-the-first-packet`, `translated-before`, `dormant`, `not-hooked`.
    pub code: &'static str,
    pub message: String,
}

/// Makes the wire form. `matched_only` leaves out rules that did not match.
pub fn report(report: &model::Report, matched_only: bool) -> Report {
    Report {
        schema: SCHEMA,
        ruleset: Ruleset {
            source: report.ruleset.source.clone(),
            nft_version: report.ruleset.nft_version.clone(),
            tables: report.ruleset.tables,
            chains: report.ruleset.chains,
            rules: report.ruleset.rules,
            sets: report.ruleset.sets,
            unknown: report
                .ruleset
                .unknown
                .iter()
                .map(|part| UnknownPart {
                    at: part.at.as_ref().map(rule_ref),
                    what: part.what.clone(),
                    settle: part.settle.clone(),
                })
                .collect(),
        },
        context: Context {
            sources: report.context.sources.clone(),
            hostname: report.context.hostname.clone(),
            kernel: report.context.kernel.clone(),
            taken: report.context.taken.clone(),
        },
        flows: report
            .flows
            .iter()
            .map(|flow| flow_of(flow, matched_only))
            .collect(),
        diagnostics: report
            .diagnostics
            .iter()
            .map(|d| Diagnostic {
                severity: match d.severity {
                    crate::diagnostic::Severity::Note => "note",
                    crate::diagnostic::Severity::Warning => "warning",
                },
                source: d.source.clone(),
                message: d.message.clone(),
            })
            .collect(),
    }
}

fn flow_of(flow: &model::FlowReport, matched_only: bool) -> Flow {
    Flow {
        flow: FlowInfo {
            text: flow.flow.text.clone(),
            proto: flow.flow.proto_name.clone(),
            src: flow.flow.src.map(|ip| ip.to_string()),
            sport: flow.flow.sport,
            dst: flow.flow.dst.to_string(),
            dport: flow.flow.dport,
            iif: flow.flow.iif.clone(),
            oif: flow
                .request
                .output
                .oif
                .as_ref()
                .and_then(|oif| oif.known().map(str::to_string)),
            mark: flow.flow.mark,
        },
        verdict: verdict(flow.verdict),
        request: path(&flow.request, matched_only),
        reply: flow.reply.as_ref().map(|reply| path(reply, matched_only)),
        assumptions: flow
            .assumptions
            .iter()
            .map(|a| Assumption {
                fact: a.fact.clone(),
                value: a.value.clone(),
                because: a.because.clone(),
                source: a.source,
                confirm: a.confirm.clone(),
            })
            .collect(),
        alternatives: flow
            .alternatives
            .iter()
            .map(|alternative| Alternative {
                when: alternative.when.clone(),
                settle: alternative.settle.clone(),
                verdict: verdict(alternative.verdict),
                request: path(&alternative.request, matched_only),
                reply: alternative
                    .reply
                    .as_ref()
                    .map(|reply| path(reply, matched_only)),
            })
            .collect(),
        truncated: flow.truncated,
        notes: flow
            .notes
            .iter()
            .map(|note| Note {
                code: note.code,
                message: note.message.clone(),
                at: note.at.as_ref().map(rule_ref),
            })
            .collect(),
        why_not: flow
            .why_not
            .iter()
            .map(|why| WhyNot {
                at: rule_ref(&why.at),
                text: why.text.clone(),
                findings: why
                    .findings
                    .iter()
                    .map(|finding| Finding {
                        of: finding.of,
                        code: finding.code,
                        message: finding.message.clone(),
                    })
                    .collect(),
            })
            .collect(),
        remedies: flow.advice.as_ref().map(remedies),
    }
}

fn remedies(advice: &Advice) -> Remedies {
    Remedies {
        status: advice.status.name(),
        found: advice
            .remedies
            .iter()
            .map(|remedy| Remedy {
                verdict: verdict(remedy.verdict),
                additions: remedy.additions.iter().map(addition).collect(),
                nft: remedy.nft.clone(),
                remarks: remedy
                    .remarks
                    .iter()
                    .chain(&remedy.nft_remark)
                    .cloned()
                    .collect(),
            })
            .collect(),
        remains: advice.remains.clone(),
    }
}

fn addition(addition: &remedy::Addition) -> Addition {
    let (rule, settings): (_, &[(String, String)]) = match &addition.change {
        Change::Rule(rule) => (Some(rule), &[]),
        Change::Settings(settings) => (None, settings),
    };
    Addition {
        of: addition.of,
        against: addition.against.clone(),
        place: rule.map(|rule| Place {
            family: rule.family.name(),
            table: rule.table.clone(),
            chain: rule.chain.clone(),
            index: rule.index,
            before: rule
                .before
                .map(|handle| handle.0)
                .filter(|handle| *handle != 0),
            owner: rule.owner.as_ref().map(owner),
        }),
        rule: rule.map(|rule| rule.text.clone()),
        settings: settings
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect(),
        tool: addition.tool,
        commands: addition.commands.clone(),
        effect: addition.effect.clone(),
    }
}

fn verdict(verdict: model::Verdict) -> Verdict {
    match verdict {
        model::Verdict::Accept => Verdict::Accept,
        model::Verdict::Drop => Verdict::Drop,
        model::Verdict::Reject => Verdict::Reject,
        model::Verdict::Unknown => Verdict::Unknown,
    }
}

fn rule_ref(at: &model::RuleRef) -> RuleRef {
    RuleRef {
        family: at.family.name(),
        table: at.table.clone(),
        chain: at.chain.clone(),
        handle: at.handle.0,
        index: at.index,
    }
}

fn path(path: &model::PathReport, matched_only: bool) -> Path {
    let kept: Vec<usize> = (0..path.steps.len())
        .filter(|&at| {
            !matched_only
                || !matches!(&path.steps[at].kind, model::StepKind::Rule(rule) if !rule.matched)
        })
        .collect();
    Path {
        verdict: verdict(path.verdict),
        disposition: path.disposition,
        because: path.unknown.as_ref().map(|(because, _)| because.clone()),
        settle: path.unknown.as_ref().map(|(_, settle)| settle.clone()),
        input: packet(&path.input),
        out: packet(&path.output),
        deciding: path
            .deciding
            .iter()
            .filter_map(|at| kept.iter().position(|k| k == at))
            .collect(),
        steps: kept.iter().map(|&at| step(&path.steps[at])).collect(),
        answer: path
            .answer
            .as_ref()
            .map(|answer| Box::new(self::path(answer, matched_only))),
    }
}

fn packet(packet: &model::Packet) -> Packet {
    let mut unknown = Vec::new();
    if packet.mark.is_none() {
        unknown.push("mark: computed from what is not known".into());
    }
    let mut known = |name: &str, field: &Field| match field {
        Field::Known(text) => Some(text.clone()),
        Field::Unknown(words) => {
            unknown.push(format!("{name}: {words}"));
            None
        }
    };
    let mut name = |name, field: &Option<Field>| field.as_ref().and_then(|f| known(name, f));
    let iif = name("iif", &packet.iif);
    let oif = name("oif", &packet.oif);
    let in_port = name("in_port", &packet.in_port);
    let out_port = name("out_port", &packet.out_port);
    let src = known("src", &packet.src);
    let dst = known("dst", &packet.dst);
    let sport = packet
        .sport
        .as_ref()
        .and_then(|port| known("sport", port))
        .and_then(|port| port.parse().ok());
    let dport = packet
        .dport
        .as_ref()
        .and_then(|port| known("dport", port))
        .and_then(|port| port.parse().ok());
    Packet {
        src,
        dst,
        sport,
        dport,
        proto: packet.proto,
        icmp_type: packet.icmp.map(|(kind, _)| kind),
        icmp_code: packet.icmp.map(|(_, code)| code),
        iif,
        oif,
        in_port,
        out_port,
        mark: packet.mark,
        ttl: packet.ttl,
        ct_state: packet.ct_state,
        unknown,
    }
}

fn owner(owner: &crate::owner::Owner) -> Owner {
    Owner {
        software: owner.software,
        role: owner.role.clone(),
    }
}

fn step(step: &model::Step) -> Step {
    let kind = match &step.kind {
        model::StepKind::Chain(chain) => StepKind::Chain {
            family: chain.family.name(),
            table: chain.table.clone(),
            chain: chain.chain.clone(),
            priority: chain.priority,
            chain_type: chain.chain_type.clone(),
            policy: if chain.policy_accept {
                "accept"
            } else {
                "drop"
            },
            owner: chain.owner.as_ref().map(owner),
            packet: packet(&step.packet),
        },
        model::StepKind::Rule(rule) => StepKind::Rule {
            family: rule.at.family.name(),
            table: rule.at.table.clone(),
            chain: rule.at.chain.clone(),
            handle: rule.at.handle.0,
            index: rule.at.index,
            text: rule.text.clone(),
            comment: rule.comment.clone(),
            owner: rule.owner.as_ref().map(owner),
            matched: rule.matched,
            verdict: rule.verdict.clone(),
            why: rule.why.clone(),
            assumed: rule.assumed,
        },
        model::StepKind::Policy {
            family,
            table,
            chain,
            accept,
        } => StepKind::Policy {
            family: family.name(),
            table: table.clone(),
            chain: chain.clone(),
            verdict: if *accept { "accept" } else { "drop" },
        },
        model::StepKind::Conntrack(conntrack) => StepKind::Conntrack {
            state: conntrack.state,
            direction: if conntrack.reply { "reply" } else { "original" },
        },
        model::StepKind::Nat(nat) => StepKind::Nat {
            manip: if nat.source { "src" } else { "dst" },
            from: nat.from.clone(),
            to: nat.to.clone(),
            by: nat.by.as_ref().map(rule_ref),
            statement: nat.statement,
            packet: packet(&step.packet),
        },
        model::StepKind::Routing(routing) => StepKind::Routing {
            decision: routing.decision,
            oif: routing
                .oif
                .as_ref()
                .and_then(|oif| oif.known().map(str::to_string)),
            route: routing.route.clone(),
            again: routing.again,
        },
        model::StepKind::Bridge { what, text } => StepKind::Bridge {
            what: match what {
                model::BridgeWhat::Enters => "enters",
                model::BridgeWhat::CallsIp => "calls-ip",
                model::BridgeWhat::Up => "up",
                model::BridgeWhat::Across => "across",
                model::BridgeWhat::Down => "down",
                model::BridgeWhat::PreroutingDone => "prerouting-done",
            },
            text: text.clone(),
        },
        model::StepKind::Ttl { before, after } => StepKind::Ttl {
            before: *before,
            after: *after,
        },
        model::StepKind::Local => StepKind::Local {
            packet: packet(&step.packet),
        },
        model::StepKind::Leaves => StepKind::Leaves {
            packet: packet(&step.packet),
        },
        model::StepKind::Loopback => StepKind::Loopback,
        model::StepKind::Drop { disposition, text } => StepKind::Drop {
            disposition,
            text: text.clone(),
        },
    };
    Step {
        hook: step.hook.name(),
        layer: step.layer,
        kind,
    }
}

/// The JSON Schema of the report.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Report).to_value()
}
