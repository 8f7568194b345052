//! Makes the report from what the walk recorded.
//!
//! Resolves ids to names and values to text; decides nothing about rules.

use std::net::IpAddr;
use std::sync::Arc;

use crate::eval::{Actual, Iface, Pf, describe};
use crate::host::{Host, LinkKind};
use crate::load::lower::Meanings;
use crate::load::{Loaded, origin};
use crate::logic::{Choice, Knowledge, Known, Source};
use crate::nft::ast::{Document, Object, Stmt as Syntax};
use crate::nft::print;
use crate::owner::Owners;
use crate::packet::proto;
use crate::ruleset::datatype::ifname_text;
use crate::ruleset::{ChainId, Operand, Policy, RuleId, Ruleset, Stmt};
use crate::walk::explore::Explored;
use crate::walk::step::{
    self, BridgeStep, Disposition, HostDrop, Outcome, PacketView, Path, RoutingDecision,
    RuleOutcome, Taken, Walked,
};

use super::{
    Alternative, Assumption, BridgeWhat, ChainStep, ConntrackStep, Field, FlowInfo, FlowReport,
    NatStep, Packet, PathReport, RoutingStep, RuleRef, RuleStep, Step, StepKind, UnknownPart,
    Verdict, notes,
};

/// What names are resolved against.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    pub ruleset: &'a Ruleset,
    pub document: &'a Document,
    pub meanings: &'a Meanings,
    pub host: &'a Host,
}

impl<'a> Sources<'a> {
    /// A ruleset as it was loaded, on a host.
    pub fn of(loaded: &'a Loaded, host: &'a Host) -> Sources<'a> {
        Sources {
            ruleset: &loaded.ruleset,
            document: &loaded.document,
            meanings: &loaded.meanings,
            host,
        }
    }
}

/// The report of one flow.
pub fn flow(
    sources: Sources<'_>,
    flow: FlowInfo,
    explored: &Explored,
    given: &[Assumption],
) -> FlowReport {
    let owners = Owners::of(sources.ruleset);
    let primary = Resolver {
        sources,
        owners: &owners,
        know: &explored.knowledge,
        choices: &explored.primary.choices,
    };
    let request = primary.path(&explored.primary.request);
    let reply = explored
        .primary
        .reply
        .as_ref()
        .map(|path| primary.path(path));
    let mut assumptions: Vec<Assumption> = given.to_vec();
    assumptions.extend(primary.assumptions(&explored.primary));
    let alternatives = explored
        .alternatives
        .iter()
        .map(|alternative| {
            let resolver = Resolver {
                sources,
                owners: &owners,
                know: &alternative.knowledge,
                choices: &alternative.walked.choices,
            };
            let mut settle: Vec<String> = Vec::new();
            for choice in &alternative.when {
                if !choice.because.is_empty() && !settle.contains(&choice.because) {
                    settle.push(choice.because.clone());
                }
            }
            Alternative {
                when: alternative.when.iter().map(word_choice).collect(),
                questions: alternative
                    .when
                    .iter()
                    .map(|choice| (choice.claim.said(true), choice.because.clone()))
                    .collect(),
                settle,
                unusual: alternative
                    .when
                    .iter()
                    .any(|choice| choice.source != Source::Open),
                verdict: verdict_of(alternative.walked.outcome()),
                request: resolver.path(&alternative.walked.request),
                reply: alternative
                    .walked
                    .reply
                    .as_ref()
                    .map(|path| resolver.path(path)),
            }
        })
        .collect();
    let mut report = FlowReport {
        flow,
        verdict: verdict_of(explored.outcome()),
        request,
        reply,
        assumptions,
        alternatives,
        notes: Vec::new(),
        why_not: Vec::new(),
        advice: None,
        truncated: explored.truncated,
    };
    report.notes = notes::notes(&report, sources);
    report
}

/// The parts of a ruleset without a meaning, for the report's head.
pub fn unknown_parts(ruleset: &Ruleset) -> Vec<UnknownPart> {
    ruleset
        .unknowns
        .iter()
        .map(|unknown| UnknownPart {
            at: unknown
                .rule
                .filter(|id| id.0 != u32::MAX)
                .map(|id| rule_ref(ruleset, id)),
            what: unknown.what.clone(),
            settle: unknown.settle.clone(),
        })
        .collect()
}

/// A choice as a statement about the world.
pub fn word_choice(choice: &Choice) -> String {
    choice.claim.said(choice.holds)
}

/// A fact and its value as one sentence.
pub fn word_fact(fact: &str, value: &str) -> String {
    match value {
        "yes" => fact.to_string(),
        value if fact.contains('.') && !fact.contains(' ') => format!("{fact} = {value}"),
        value => format!("{fact}: {value}"),
    }
}

/// The rule by the kernel's own keys.
pub fn rule_ref(ruleset: &Ruleset, id: RuleId) -> RuleRef {
    let rule = ruleset.rule(id);
    let table = ruleset.table_of(rule.chain);
    RuleRef {
        family: table.family,
        table: table.name.to_string(),
        chain: ruleset.chain(rule.chain).name.to_string(),
        handle: rule.handle,
        index: rule.index,
    }
}

/// The text of a rule as listed, statements from iptables in the words of iptables.
pub fn rule_text(sources: Sources<'_>, id: RuleId) -> String {
    let source = sources.ruleset.rule(id).source as usize;
    let Some(Object::Rule(rule)) = sources.document.objects.get(source) else {
        return String::new();
    };
    let mut words = String::new();
    let mut said = None;
    for (at, stmt) in rule.expr.iter().flatten().enumerate() {
        let from = origin(sources.meanings, source, at);
        // several statements in a row may stand for one part of a rule of iptables
        if from.is_some() && from == said {
            continue;
        }
        said = from;
        let text = match from {
            Some(origin) => origin.to_string(),
            None if matches!(stmt, Syntax::Counter(_)) => continue,
            None => print::stmt(stmt),
        };
        if !words.is_empty() && !text.is_empty() {
            words.push(' ');
        }
        words.push_str(&text);
    }
    if words.is_empty() && rule.expr.as_ref().is_some_and(|expr| !expr.is_empty()) {
        return "counter".into();
    }
    words
}

fn statement_text(sources: Sources<'_>, id: RuleId, statement: usize) -> Option<String> {
    let rule = sources.ruleset.rule(id);
    let at = rule.statements.get(statement)?.source as usize;
    let Some(Object::Rule(syntax)) = sources.document.objects.get(rule.source as usize) else {
        return None;
    };
    match origin(sources.meanings, rule.source as usize, at) {
        Some(origin) => Some(origin.to_string()),
        None => Some(print::stmt(syntax.expr.as_ref()?.get(at)?)),
    }
}

fn left_text(sources: Sources<'_>, id: RuleId, statement: usize) -> Option<String> {
    let rule = sources.ruleset.rule(id);
    let at = rule.statements.get(statement)?.source as usize;
    if origin(sources.meanings, rule.source as usize, at).is_some() {
        return None;
    }
    let Some(Object::Rule(syntax)) = sources.document.objects.get(rule.source as usize) else {
        return None;
    };
    match syntax.expr.as_ref()?.get(at)? {
        Syntax::Match(test) => Some(print::expr(&test.left)),
        Syntax::Vmap(vmap) => Some(print::expr(&vmap.key)),
        _ => None,
    }
}

fn verdict_of(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Accept => Verdict::Accept,
        Outcome::Drop => Verdict::Drop,
        Outcome::Reject => Verdict::Reject,
        Outcome::Unknown => Verdict::Unknown,
    }
}

/// Every word that a path can end in; `tests/docs.rs` keeps it whole.
pub const DISPOSITIONS: [&str; 26] = [
    "local",
    "forwarded",
    "bridged",
    "transmitted",
    "relayed",
    "dropped",
    "rejected",
    "queued",
    "stolen",
    "unknown",
    "no-route",
    "blackhole",
    "unreachable",
    "prohibit",
    "forwarding-off",
    "rp-filter",
    "martian-source",
    "martian-destination",
    "ttl-exceeded",
    "no-address",
    "same-port",
    "isolated-port",
    "link-local-source",
    "not-joined",
    "other-host",
    "of-socket",
];

/// The word for where a path ended; docs/outcomes.md has one section for each.
pub fn disposition_name(disposition: &Disposition) -> &'static str {
    match disposition {
        Disposition::Local => "local",
        Disposition::Forwarded => "forwarded",
        Disposition::Bridged => "bridged",
        Disposition::Transmitted => "transmitted",
        Disposition::Relayed => "relayed",
        Disposition::Dropped => "dropped",
        Disposition::Rejected => "rejected",
        Disposition::Queued => "queued",
        Disposition::Stolen => "stolen",
        Disposition::Host(drop) => host_drop_name(*drop),
        Disposition::Unknown { .. } => "unknown",
    }
}

pub(crate) fn host_drop_name(drop: HostDrop) -> &'static str {
    match drop {
        HostDrop::NoRoute => "no-route",
        HostDrop::Blackhole => "blackhole",
        HostDrop::Unreachable => "unreachable",
        HostDrop::Prohibit => "prohibit",
        HostDrop::ForwardingOff => "forwarding-off",
        HostDrop::RpFilter => "rp-filter",
        HostDrop::MartianSource => "martian-source",
        HostDrop::MartianDestination => "martian-destination",
        HostDrop::TtlExceeded => "ttl-exceeded",
        HostDrop::NoAddress => "no-address",
        HostDrop::SamePort => "same-port",
        HostDrop::IsolatedPort => "isolated-port",
        HostDrop::LinkLocalSource => "link-local-source",
        HostDrop::NotJoined => "not-joined",
        HostDrop::OtherHost => "other-host",
        HostDrop::OfSocket => "of-socket",
    }
}

fn host_drop_text(drop: HostDrop, packet: &Packet) -> String {
    let (src, dst) = (packet.src.text(), packet.dst.text());
    let iif = packet.iif.as_ref().map_or("the interface", Field::text);
    let dev = packet.iif.as_ref().and_then(Field::known).unwrap_or("IF");
    match drop {
        HostDrop::NoRoute => format!("no route to {dst}; see `ip route get {dst}`"),
        HostDrop::Blackhole => format!("the route to {dst} is a blackhole"),
        HostDrop::Unreachable => format!("the route to {dst} says unreachable; the sender gets ICMP host unreachable where forwarding is on"),
        HostDrop::Prohibit => format!("the route to {dst} says prohibit; the sender gets ICMP administratively prohibited where forwarding is on"),
        HostDrop::ForwardingOff => {
            format!("{dst} is not an address of this host and forwarding is off for {iif}; see `sysctl net.ipv4.ip_forward` and `net.ipv4.conf.{dev}.forwarding`")
        }
        HostDrop::RpFilter => {
            format!("reverse path filter: the way back to {src} is not by {iif}; see `sysctl net.ipv4.conf.{dev}.rp_filter`")
        }
        HostDrop::MartianSource => format!("martian source: {src} cannot come in by {iif}"),
        HostDrop::MartianDestination if dst.contains(':') => {
            format!("martian destination: {dst} cannot be reached from outside")
        }
        HostDrop::MartianDestination => {
            format!("martian destination: {dst} cannot be reached from outside; see `sysctl net.ipv4.conf.{dev}.route_localnet`")
        }
        HostDrop::TtlExceeded => "the hop limit is used up; the sender gets ICMP time exceeded".into(),
        HostDrop::NoAddress => "the translation finds no address to take on the interface".into(),
        HostDrop::SamePort => {
            "the bridge does not send a frame back through the port it came from; see hairpin mode in `bridge -d link`".into()
        }
        HostDrop::IsolatedPort => "both bridge ports are isolated from each other".into(),
        HostDrop::LinkLocalSource => {
            format!("{src} is a link-local address: its packets stay on their link")
        }
        HostDrop::NotJoined => {
            format!("nobody on this host has joined the group {dst} on {iif}; see `ip maddr show`")
        }
        HostDrop::OtherHost => {
            format!("the frame's Ethernet destination is not that of {iif}: it is for another station")
        }
        HostDrop::OfSocket => {
            format!("tproxy has given the packet to a socket, and the route to {dst} leads on; see `ip rule` for the mark that makes it local")
        }
    }
}

/// The family of a hook, in nft's words.
fn layer(pf: Pf) -> &'static str {
    match pf {
        Pf::Ip => "ip",
        Pf::Ip6 => "ip6",
        Pf::Bridge => "bridge",
        Pf::Arp => "arp",
        Pf::Netdev => "netdev",
    }
}

/// The source of what this host sends before the routing decision has chosen one.
const NOT_CHOSEN: &str = "this host";

struct Resolver<'a> {
    sources: Sources<'a>,
    owners: &'a Owners<'a>,
    know: &'a Knowledge,
    choices: &'a [Choice],
}

impl Resolver<'_> {
    fn iface(&self, iface: Iface) -> Field {
        match iface {
            Iface::Link(at) => Field::Known(self.sources.host.links[at as usize].name.to_string()),
            Iface::Fact(fact) => match self.know.single(fact) {
                Some(value) => Field::Known(ifname_text(value)),
                None => Field::Unknown(self.know.fact(fact).name.clone()),
            },
        }
    }

    fn address(&self, address: Known<IpAddr>) -> Field {
        match address {
            Known::Value(ip) => Field::Known(ip.to_string()),
            Known::Fact(fact) => Field::Unknown(self.know.fact(fact).name.clone()),
        }
    }

    fn port(&self, port: Known<u16>) -> Field {
        match port {
            Known::Value(port) => Field::Known(port.to_string()),
            Known::Fact(fact) => match self.know.single(fact) {
                Some(value) => Field::Known(value.to_string()),
                None => Field::Unknown(self.know.fact(fact).name.clone()),
            },
        }
    }

    fn packet(&self, view: &PacketView) -> Packet {
        let src = match view.src {
            // the routing decision has not chosen one yet
            Known::Value(ip)
                if ip.is_unspecified() && view.iif.is_none() && view.in_port.is_none() =>
            {
                Field::Unknown(NOT_CHOSEN.into())
            }
            src => self.address(src),
        };
        Packet {
            src,
            dst: self.address(view.dst),
            sport: view.sport.map(|port| self.port(port)),
            dport: view.dport.map(|port| self.port(port)),
            proto: view.proto,
            icmp: view.icmp,
            iif: view.iif.map(|iface| self.iface(iface)),
            oif: view.oif.map(|iface| self.iface(iface)),
            in_port: view.in_port.map(|iface| self.iface(iface)),
            out_port: view.out_port.map(|iface| self.iface(iface)),
            mark: match view.mark {
                Known::Value(mark) => Some(mark),
                Known::Fact(fact) => self.know.single(fact).map(|mark| mark as u32),
            },
            ttl: view.ttl,
            ct_state: view.ct_state,
        }
    }

    fn path(&self, path: &Path) -> PathReport {
        let mut depth = Depth::default();
        let mut last: Option<(&PacketView, Arc<Packet>)> = None;
        let mut steps: Vec<Step> = Vec::with_capacity(path.steps.len());
        for step in &path.steps {
            let packet = match &last {
                Some((view, packet)) if **view == step.packet => packet.clone(),
                _ => Arc::new(self.packet(&step.packet)),
            };
            last = Some((&step.packet, packet.clone()));
            steps.push(self.step(step, packet, &mut depth));
        }
        let deciding = deciding(&path.steps, &path.disposition);
        PathReport {
            verdict: verdict_of(path.disposition.outcome()),
            disposition: disposition_name(&path.disposition),
            unknown: match &path.disposition {
                Disposition::Unknown { because, settle } => Some((because.clone(), settle.clone())),
                _ => None,
            },
            input: self.packet(&path.input),
            output: self.packet(&path.output),
            steps,
            deciding,
            answer: path
                .answer
                .as_ref()
                .map(|answer| Box::new(self.path(answer))),
        }
    }

    fn step(&self, step: &step::Step, packet: Arc<Packet>, depth: &mut Depth) -> Step {
        let kind = match &step.kind {
            step::StepKind::Chain(id) => {
                depth.enter(*id);
                self.chain(*id)
            }
            step::StepKind::Rule(rule) => {
                let at = depth.of(self.sources.ruleset, rule);
                StepKind::Rule(self.rule(rule, &step.packet, at))
            }
            step::StepKind::Policy { chain, policy } => {
                let table = self.sources.ruleset.table_of(*chain);
                StepKind::Policy {
                    family: table.family,
                    table: table.name.to_string(),
                    chain: self.sources.ruleset.chain(*chain).name.to_string(),
                    accept: *policy == Policy::Accept,
                }
            }
            step::StepKind::Conntrack(conntrack) => StepKind::Conntrack(match conntrack {
                step::ConntrackStep::Tracked { info, .. } => ConntrackStep {
                    state: info.name(),
                    reply: info.is_reply(),
                },
                step::ConntrackStep::Invalid => ConntrackStep {
                    state: "invalid",
                    reply: false,
                },
                step::ConntrackStep::Untracked => ConntrackStep {
                    state: "untracked",
                    reply: false,
                },
                step::ConntrackStep::Confirmed => ConntrackStep {
                    state: "confirmed",
                    reply: false,
                },
            }),
            step::StepKind::Nat(nat) => {
                let before = self.packet(&nat.before);
                let source = nat.manip == crate::conntrack::Manip::Src;
                let end = |packet: &Packet| {
                    let (address, port) = if source {
                        (&packet.src, &packet.sport)
                    } else {
                        (&packet.dst, &packet.dport)
                    };
                    endpoint(address, port.as_ref())
                };
                StepKind::Nat(NatStep {
                    source,
                    from: end(&before),
                    to: end(&packet),
                    by: nat.by.map(|id| rule_ref(self.sources.ruleset, id)),
                    statement: nat.kind.map(|kind| kind.name()),
                    reply: nat.reply,
                })
            }
            step::StepKind::Routing(routing) => StepKind::Routing(RoutingStep {
                decision: match routing.decision {
                    RoutingDecision::Local => "local",
                    RoutingDecision::Broadcast => "broadcast",
                    RoutingDecision::Multicast => "multicast",
                    RoutingDecision::Forward => "forward",
                    RoutingDecision::Output => "output",
                },
                oif: packet.oif.clone(),
                route: routing.route.clone(),
                again: routing.again,
            }),
            step::StepKind::Bridge(bridge) => self.bridge(*bridge, &packet),
            step::StepKind::Ttl { before, after } => StepKind::Ttl {
                before: *before,
                after: *after,
            },
            step::StepKind::Local => StepKind::Local,
            step::StepKind::Leaves => StepKind::Leaves,
            step::StepKind::Loopback => StepKind::Loopback,
            step::StepKind::Drop(drop) => StepKind::Drop {
                disposition: host_drop_name(*drop),
                text: host_drop_text(*drop, &packet),
            },
        };
        Step {
            hook: step.point.hook,
            layer: layer(step.point.pf),
            packet,
            kind,
        }
    }

    fn chain(&self, id: ChainId) -> StepKind {
        let chain = self.sources.ruleset.chain(id);
        let table = self.sources.ruleset.table(chain.table);
        let (priority, hook, kind, accept) = match &chain.base {
            Some(base) => (
                base.priority,
                base.hook.name(),
                base.kind.name().to_string(),
                base.policy == Policy::Accept,
            ),
            None => (0, "", String::new(), true),
        };
        StepKind::Chain(ChainStep {
            family: table.family,
            table: table.name.to_string(),
            chain: chain.name.to_string(),
            priority,
            priority_words: print::priority_words(table.family.name(), hook, i64::from(priority)),
            chain_type: kind,
            policy_accept: accept,
            owner: self.owners.chain(id),
        })
    }

    fn rule(&self, rule: &step::RuleStep, packet: &PacketView, depth: usize) -> RuleStep {
        let ruleset = self.sources.ruleset;
        let (matched, verdict, why) = match &rule.outcome {
            RuleOutcome::NoMatch { statement, actual } => (
                false,
                "continue".to_string(),
                vec![self.why(rule.rule, *statement, actual, packet)],
            ),
            RuleOutcome::Matched(taken) => (true, taken.words(ruleset), Vec::new()),
        };
        let leads_to = match &rule.outcome {
            RuleOutcome::Matched(Taken::Jump(id) | Taken::Goto(id)) => self.owners.chain(*id),
            RuleOutcome::Matched(_) | RuleOutcome::NoMatch { .. } => None,
        };
        RuleStep {
            at: rule_ref(ruleset, rule.rule),
            owner: self.owners.rule(rule.rule),
            leads_to,
            text: rule_text(self.sources, rule.rule),
            comment: ruleset
                .rule(rule.rule)
                .comment
                .as_ref()
                .map(ToString::to_string),
            matched,
            verdict,
            why,
            depth,
            assumed: rule.choices.0 < rule.choices.1
                && self.choices[rule.choices.0..rule.choices.1.min(self.choices.len())]
                    .iter()
                    .any(|c| c.source != Source::Flag),
        }
    }

    /// Why a statement did not hold, with the packet's value.
    fn why(&self, id: RuleId, statement: usize, actual: &Actual, packet: &PacketView) -> String {
        let lowered = &self.sources.ruleset.rule(id).statements[statement];
        let text = statement_text(self.sources, id, statement).unwrap_or_default();
        let subject = || {
            left_text(self.sources, id, statement).unwrap_or_else(|| match &lowered.kind {
                Stmt::Match(test) => describe(&test.left),
                Stmt::Vmap { key, .. } => describe(key),
                _ => text.clone(),
            })
        };
        if lowered.implied
            && let Stmt::Match(test) = &lowered.kind
        {
            return match actual {
                Actual::Value(value) => format!("the packet is {}", test.data_type.display(*value)),
                _ => format!("the packet is {}", protocol_name(packet.proto)),
            };
        }
        match (actual, &lowered.kind) {
            (Actual::Value(0), Stmt::Match(test)) if is_interface(&test.left) => {
                format!("{}: there is none here", subject())
            }
            (Actual::Value(value), Stmt::Match(test)) => {
                format!("{} is {}", subject(), test.data_type.display(*value))
            }
            (Actual::Value(value), Stmt::Vmap { map, .. } | Stmt::ObjectMap { map, .. }) => {
                let set = self.sources.ruleset.set(*map);
                let shown = set
                    .key
                    .first()
                    .map_or_else(|| value.to_string(), |c| c.data_type.display(*value));
                format!("{} is {shown}, which the map does not have", subject())
            }
            (Actual::Value(value), _) => format!("{text}: the packet has {value}"),
            (Actual::Tuple(values), Stmt::Match(test)) => {
                let shown = match test.right {
                    Operand::Set(set) => self.sources.ruleset.set(set).display_key(values),
                    _ => raw(values),
                };
                format!("{} is {shown}", subject())
            }
            (Actual::Tuple(values), Stmt::Vmap { map, .. } | Stmt::ObjectMap { map, .. }) => {
                let set = self.sources.ruleset.set(*map);
                format!(
                    "{} is {}, which the map does not have",
                    subject(),
                    set.display_key(values)
                )
            }
            (Actual::Tuple(values), _) => {
                format!("{text}: the packet has {}", raw(values))
            }
            (Actual::Absent, _) => format!("{} does not exist for this packet", subject()),
            (Actual::Fact(fact), _) => {
                format!(
                    "{} is not given; taken not to fit",
                    self.know.fact(*fact).name
                )
            }
            (Actual::Chosen, _) => format!("{text}: not known; taken not to hold"),
        }
    }

    fn bridge(&self, bridge: BridgeStep, packet: &Packet) -> StepKind {
        let port = packet.in_port.as_ref().map_or("a port", Field::text);
        let out = packet.out_port.as_ref().map_or("another port", Field::text);
        let (what, text) = match bridge {
            BridgeStep::Enters { bridge } => (
                BridgeWhat::Enters,
                match &packet.in_port {
                    Some(Field::Known(port)) => {
                        format!(
                            "comes in by {port}, a port of bridge {}",
                            self.iface(bridge).text()
                        )
                    }
                    _ => format!("comes in by {port}"),
                },
            ),
            BridgeStep::CallsIp => (
                BridgeWhat::CallsIp,
                "br_netfilter: the IP hooks run inside the bridge".to_string(),
            ),
            BridgeStep::Up { gateway: true } => (
                BridgeWhat::Up,
                "addressed to this host as gateway: bridge input, then the IP stack".into(),
            ),
            BridgeStep::Up { gateway: false } => (
                BridgeWhat::Up,
                "addressed to this host: bridge input, then the IP stack".into(),
            ),
            BridgeStep::Across => (BridgeWhat::Across, format!("bridged from {port} to {out}")),
            BridgeStep::Down { bridge } => (
                BridgeWhat::Down,
                format!("goes out by bridge {}", self.iface(bridge).text()),
            ),
            BridgeStep::PreroutingDone => (
                BridgeWhat::PreroutingDone,
                "IP prerouting ran inside the bridge and is not run again".into(),
            ),
        };
        StepKind::Bridge { what, text }
    }

    fn assumptions(&self, walked: &Walked) -> Vec<Assumption> {
        let mut found: Vec<Assumption> = Vec::new();
        for id in &walked.inferred {
            if let Some(inference) = self.sources.host.inferences.get(*id as usize) {
                found.push(Assumption {
                    words: word_fact(&inference.fact, &inference.value),
                    fact: inference.fact.clone(),
                    value: inference.value.clone(),
                    because: inference.because.clone(),
                    source: "inferred",
                    confirm: inference.confirm.clone(),
                });
            }
        }
        for choice in &walked.choices {
            let source = match choice.source {
                Source::Inferred => "inferred",
                Source::Default | Source::Open => "default",
                Source::Flag => "flag",
            };
            found.push(Assumption {
                words: word_choice(choice),
                fact: choice.claim.said(true),
                value: if choice.holds { "yes" } else { "no" }.into(),
                because: match choice.source {
                    Source::Flag => "said by `--assume`".into(),
                    Source::Open => "nobody said it; where it matters the other answer stands under the other endings".into(),
                    _ => "it is the usual case".into(),
                },
                source,
                confirm: choice.because.clone(),
            });
        }
        for (fact, value) in &walked.said {
            found.push(Assumption {
                words: format!("{fact} is {value}"),
                fact: fact.clone(),
                value: value.clone(),
                because: "said by `--assume`".into(),
                source: "flag",
                confirm: String::new(),
            });
        }
        for assumed in &walked.assumed {
            let value = assumed.data_type.display(assumed.value);
            found.push(Assumption {
                words: word_fact(&assumed.fact, &value),
                fact: assumed.fact.to_string(),
                value,
                because: "a rule looks at it and the flow does not say it".into(),
                source: "default",
                confirm: assumed.settle.to_string(),
            });
        }
        found
    }
}

/// Values of a key whose types are not known.
fn raw(values: &[u128]) -> String {
    let parts: Vec<String> = values.iter().map(u128::to_string).collect();
    parts.join(" . ")
}

fn is_interface(expr: &crate::ruleset::Expr) -> bool {
    use crate::ruleset::{Expr, Field, MetaKey};
    matches!(
        expr,
        Expr::Field(Field::Meta(
            MetaKey::Iif | MetaKey::Iifname | MetaKey::Oif | MetaKey::Oifname
        ))
    )
}

/// `udp`, or the protocol's number.
pub fn protocol_name(number: u8) -> String {
    proto::name(number).map_or_else(|| number.to_string(), str::to_string)
}

/// `10.0.0.1:80`, `[fd00::1]:80`, or the address alone.
pub fn endpoint(address: &Field, port: Option<&Field>) -> String {
    match (address, port) {
        (Field::Known(ip), Some(Field::Known(port))) if ip.contains(':') => {
            format!("[{ip}]:{port}")
        }
        (address, Some(Field::Known(port))) => format!("{}:{port}", address.text()),
        (address, Some(Field::Unknown(_)) | None) => address.text().to_string(),
    }
}

/// How deep in calls each rule stands: chains are pushed by jumps and left when a rule of an outer chain follows.
#[derive(Default)]
struct Depth {
    stack: Vec<(ChainId, usize)>,
    next: Option<(ChainId, bool)>,
}

impl Depth {
    fn enter(&mut self, base: ChainId) {
        self.stack = vec![(base, 0)];
        self.next = None;
    }

    fn of(&mut self, ruleset: &Ruleset, rule: &step::RuleStep) -> usize {
        let chain = ruleset.rule(rule.rule).chain;
        match self.next.take() {
            Some((target, goto)) if target == chain => {
                let depth = self.stack.last().map_or(0, |(_, depth)| *depth);
                if goto {
                    self.stack.pop();
                }
                self.stack.push((chain, depth + 1));
            }
            _ => {
                while self.stack.len() > 1
                    && self.stack.last().is_some_and(|(top, _)| *top != chain)
                {
                    self.stack.pop();
                }
            }
        }
        match &rule.outcome {
            RuleOutcome::Matched(Taken::Jump(target)) => self.next = Some((*target, false)),
            RuleOutcome::Matched(Taken::Goto(target)) => self.next = Some((*target, true)),
            _ => {}
        }
        self.stack.last().map_or(0, |(_, depth)| *depth)
    }
}

/// The steps that decided: for a drop the last verdict or the host's check; for a delivered packet every rule that
/// accepted, translated or rejected by its own verdict.
fn deciding(steps: &[step::Step], disposition: &Disposition) -> Vec<usize> {
    let ends = |kind: &step::StepKind| match kind {
        // a rule that hands the packet on comes after the chain that drops it there
        step::StepKind::Rule(rule)
            if *disposition == Disposition::Dropped
                && rule.outcome == RuleOutcome::Matched(Taken::Stolen) =>
        {
            false
        }
        step::StepKind::Rule(rule) => matches!(
            rule.outcome,
            RuleOutcome::Matched(
                Taken::Drop
                    | Taken::Reject
                    | Taken::Queue
                    | Taken::Stolen
                    | Taken::Unknown(_)
                    | Taken::Missing
                    | Taken::Loop
            )
        ),
        step::StepKind::Policy { policy, .. } => *policy == Policy::Drop,
        step::StepKind::Drop(_) => true,
        _ => false,
    };
    match disposition.outcome() {
        Outcome::Accept => {
            let accepts: Vec<usize> = steps
                .iter()
                .enumerate()
                .filter(|(_, step)| {
                    matches!(
                        &step.kind,
                        step::StepKind::Rule(rule) if matches!(rule.outcome, RuleOutcome::Matched(Taken::Accept))
                    )
                })
                .map(|(at, _)| at)
                .collect();
            accepts
        }
        Outcome::Drop | Outcome::Reject | Outcome::Unknown => steps
            .iter()
            .rposition(|step| ends(&step.kind))
            .into_iter()
            .collect(),
    }
}

/// True for a bridge of this host, for notes.
pub(super) fn is_bridge(host: &Host, name: &str) -> bool {
    host.link(name)
        .is_some_and(|link| link.kind == LinkKind::Bridge)
}
