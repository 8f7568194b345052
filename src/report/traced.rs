//! A report from what a kernel traced, with the ruleset where there is one.
//!
//! A trace tells the rules that matched and the policies, not what the stack did between the chains: the ending is told
//! as far as the last chain says it.

use std::sync::Arc;

use crate::conntrack::inverse_icmp;
use crate::nft::print;
use crate::owner::Owner;
use crate::ruleset::{ChainId, Family, Handle, Hook, Policy, Ruleset};
use crate::trace::{Event, EventKind, Glimpse, Traced};

use super::build::{Sources, protocol_name, rule_text};
use super::{
    ChainStep, Field, FlowInfo, FlowReport, NatStep, Packet, PathReport, RuleRef, RuleStep, Step,
    StepKind, Verdict,
};

/// A traced rule or policy by the kernel's own keys, and its verdict.
pub type Line = (Family, String, String, u64, String);

/// The lines of a trace.
pub fn lines(traced: &Traced) -> Vec<Line> {
    let line = |event: &Event| {
        let family = Family::from_name(&event.family)?;
        let (handle, verdict) = match &event.kind {
            EventKind::Packet(_) => return None,
            EventKind::Rule {
                handle, verdict, ..
            } => (*handle, verdict.clone()),
            EventKind::Policy { verdict } => (0, verdict.clone()),
        };
        Some((
            family,
            event.table.clone(),
            event.chain.clone(),
            handle,
            verdict,
        ))
    };
    traced.events.iter().filter_map(line).collect()
}

/// The lines that a kernel would trace for a path.
pub fn lines_of(path: &PathReport) -> Vec<Line> {
    let line = |step: &Step| match &step.kind {
        StepKind::Rule(rule) if rule.matched => Some((
            rule.at.family,
            rule.at.table.clone(),
            rule.at.chain.clone(),
            rule.at.handle.0,
            rule.verdict.clone(),
        )),
        StepKind::Policy {
            family,
            table,
            chain,
            accept,
        } => {
            let verdict = if *accept { "accept" } else { "drop" };
            Some((
                *family,
                table.clone(),
                chain.clone(),
                0,
                verdict.to_string(),
            ))
        }
        _ => None,
    };
    path.steps.iter().filter_map(line).collect()
}

/// Whether the second packet is the answer to the first.
pub fn answers(request: &Traced, reply: &Traced) -> bool {
    let (Some((_, sent)), Some((back, _))) = (request.glimpses(), reply.glimpses()) else {
        return false;
    };
    let icmp = match (sent.icmp, back.icmp) {
        (Some(asked), Some(answer)) => inverse_icmp(sent.proto.unwrap_or(0), asked) == Some(answer),
        (None, None) => true,
        _ => false,
    };
    icmp && sent.proto == back.proto
        && sent.dst.is_some()
        && sent.dst == back.src
        && sent.dport == back.sport
        && (sent.src == back.dst && sent.sport == back.dport
            || back.dport.is_some() && sent.src != back.dst)
}

/// The report of one traced packet and its answer.
pub fn flow(sources: Option<Sources<'_>>, request: &Traced, reply: Option<&Traced>) -> FlowReport {
    let first = request.glimpses().map(|(first, _)| first);
    let known = first.cloned().unwrap_or_default();
    let request = path(sources, request);
    let reply = reply.map(|reply| path(sources, reply));
    let verdict = match &reply {
        Some(reply) if request.verdict == Verdict::Accept => reply.verdict,
        Some(_) | None => request.verdict,
    };
    let number = known.proto.unwrap_or(0);
    let name = protocol_name(number);
    let end = |address: Option<std::net::IpAddr>, port: Option<u16>| match (address, port) {
        (None, _) => "?".to_string(),
        (Some(std::net::IpAddr::V6(ip)), Some(port)) => format!("[{ip}]:{port}"),
        (Some(ip), Some(port)) => format!("{ip}:{port}"),
        (Some(ip), None) => ip.to_string(),
    };
    FlowReport {
        flow: FlowInfo {
            text: format!(
                "{name}:{}->{}",
                end(known.src, known.sport),
                end(known.dst, known.dport)
            ),
            proto: number,
            proto_name: name,
            src: known.src,
            sport: known.sport,
            dst: known.dst.unwrap_or(std::net::IpAddr::from([0u8; 4])),
            dport: known.dport,
            iif: known.iif.clone(),
            mark: 0,
        },
        verdict,
        request,
        reply,
        assumptions: Vec::new(),
        alternatives: Vec::new(),
        notes: Vec::new(),
        why_not: Vec::new(),
        advice: None,
        truncated: false,
    }
}

/// The way of one packet, as traced.
pub fn path(sources: Option<Sources<'_>>, traced: &Traced) -> PathReport {
    let mut teller = Teller {
        sources,
        steps: Vec::new(),
        base: None,
        hook: Hook::Prerouting,
        layer: "ip",
        packet: Arc::new(packet(&Glimpse::default())),
        seen: None,
        translated_by: None,
        began: None,
    };
    for event in &traced.events {
        teller.event(event);
    }
    teller.finish()
}

struct Teller<'a> {
    sources: Option<Sources<'a>>,
    steps: Vec<Step>,
    base: Option<(String, String, String)>,
    hook: Hook,
    layer: &'static str,
    packet: Arc<Packet>,
    seen: Option<Glimpse>,
    translated_by: Option<(RuleRef, Option<&'static str>)>,
    began: Option<Packet>,
}

impl Teller<'_> {
    fn ruleset(&self) -> Option<&Ruleset> {
        self.sources.map(|sources| sources.ruleset)
    }

    fn chain_of(&self, event: &Event) -> Option<ChainId> {
        let ruleset = self.ruleset()?;
        let family = Family::from_name(&event.family)?;
        let table = ruleset
            .tables
            .iter()
            .find(|table| table.family == family && *table.name == *event.table)?;
        let mut chains = table.chains.iter();
        chains
            .find(|id| *ruleset.chain(**id).name == *event.chain)
            .copied()
    }

    fn push(&mut self, kind: StepKind) {
        self.steps.push(Step {
            hook: self.hook,
            layer: self.layer,
            packet: self.packet.clone(),
            kind,
        });
    }

    fn event(&mut self, event: &Event) {
        let family = Family::from_name(&event.family).unwrap_or(Family::Inet);
        match &event.kind {
            EventKind::Packet(glimpse) => {
                self.seen(glimpse);
                self.enter(event, family, true);
            }
            EventKind::Rule {
                handle,
                verdict,
                text,
            } => {
                self.enter(event, family, false);
                self.rule(event, family, *handle, verdict, text);
            }
            EventKind::Policy { verdict } => {
                self.enter(event, family, false);
                self.push(StepKind::Policy {
                    family,
                    table: event.table.clone(),
                    chain: event.chain.clone(),
                    accept: verdict == "accept",
                });
                self.base = None;
            }
        }
    }

    /// The packet as it is now; what was translated since it was seen before.
    fn seen(&mut self, glimpse: &Glimpse) {
        let now = packet(glimpse);
        if let Some(before) = self.seen.take() {
            let ends = |glimpse: &Glimpse, source: bool| match source {
                true => (glimpse.src, glimpse.sport),
                false => (glimpse.dst, glimpse.dport),
            };
            for source in [false, true] {
                if ends(&before, source) == ends(glimpse, source) || glimpse.dst.is_none() {
                    continue;
                }
                let by = self.translated_by.take();
                let words = |glimpse: &Glimpse| {
                    let (address, port) = ends(glimpse, source);
                    match (address, port) {
                        (Some(address), Some(port)) => {
                            std::net::SocketAddr::new(address, port).to_string()
                        }
                        (Some(address), None) => address.to_string(),
                        (None, _) => "?".to_string(),
                    }
                };
                let (from, to) = (words(&before), words(glimpse));
                let (by, statement) = by.map_or((None, None), |(at, what)| (Some(at), what));
                self.push(StepKind::Nat(NatStep {
                    source,
                    from,
                    to,
                    reply: by.is_none(),
                    by,
                    statement,
                }));
            }
        }
        self.began.get_or_insert_with(|| now.clone());
        self.packet = Arc::new(now);
        self.seen = Some(glimpse.clone());
    }

    /// Enters a base chain, when the event is in another one than before.
    fn enter(&mut self, event: &Event, family: Family, certainly: bool) {
        let key = (
            event.family.clone(),
            event.table.clone(),
            event.chain.clone(),
        );
        let id = self.chain_of(event);
        let ruleset = self.sources.map(|sources| sources.ruleset);
        let base = id.and_then(|id| ruleset.and_then(|r| r.chain(id).base.clone()));
        let same = self.base.as_ref() == Some(&key);
        let new = !same && (certainly || base.is_some() || self.base.is_none());
        if !new {
            return;
        }
        self.base = Some(key);
        self.hook = match &base {
            Some(base) => base.hook,
            None => guessed(&event.chain, self.seen.as_ref()),
        };
        let v6 = self
            .seen
            .as_ref()
            .and_then(|glimpse| glimpse.src)
            .is_some_and(|src| src.is_ipv6());
        self.layer = match family {
            Family::Ip6 => "ip6",
            Family::Bridge => "bridge",
            Family::Arp => "arp",
            Family::Netdev => "netdev",
            Family::Inet if v6 => "ip6",
            Family::Ip | Family::Inet => "ip",
        };
        let (priority, kind, accept) = match &base {
            Some(base) => (
                base.priority,
                base.kind.name().to_string(),
                base.policy == Policy::Accept,
            ),
            None => (0, String::new(), true),
        };
        let words = print::priority_words(family.name(), self.hook.name(), i64::from(priority));
        self.push(StepKind::Chain(ChainStep {
            family,
            table: event.table.clone(),
            chain: event.chain.clone(),
            priority,
            priority_words: words,
            chain_type: kind,
            policy_accept: accept,
            owner: Owner::by_name(&event.table, &event.chain),
        }));
    }

    fn rule(&mut self, event: &Event, family: Family, handle: u64, verdict: &str, text: &str) {
        let listed = self.chain_of(event).and_then(|chain| {
            let ruleset = self.ruleset()?;
            let mut rules = ruleset.chain(chain).rules.iter();
            rules
                .find(|id| ruleset.rule(**id).handle == Handle(handle))
                .copied()
        });
        let at = RuleRef {
            family,
            table: event.table.clone(),
            chain: event.chain.clone(),
            handle: Handle(handle),
            index: listed.map_or(0, |id| self.ruleset().map_or(0, |r| r.rule(id).index)),
        };
        let (text, comment) = match (self.sources, listed) {
            (Some(sources), Some(id)) => (
                rule_text(sources, id),
                sources
                    .ruleset
                    .rule(id)
                    .comment
                    .as_ref()
                    .map(ToString::to_string),
            ),
            _ => (text.to_string(), None),
        };
        let statement = [
            "dnat",
            "snat",
            "masquerade",
            "redirect",
            "DNAT",
            "SNAT",
            "MASQUERADE",
            "REDIRECT",
        ]
        .into_iter()
        .find(|name| text.split_whitespace().any(|word| word == *name));
        if statement.is_some() && verdict == "accept" {
            self.translated_by = Some((at.clone(), statement));
        }
        let target = verdict
            .strip_prefix("jump ")
            .or(verdict.strip_prefix("goto "));
        self.push(StepKind::Rule(RuleStep {
            owner: Owner::by_name(&event.table, &event.chain)
                .or_else(|| Owner::by_name(&event.table, target?)),
            leads_to: target.and_then(|target| Owner::by_name(&event.table, target)),
            at,
            text,
            comment,
            matched: true,
            verdict: verdict.to_string(),
            why: Vec::new(),
            depth: 0,
            assumed: false,
        }));
    }

    fn finish(self) -> PathReport {
        let last = self.steps.last();
        let came = self.began.as_ref().is_some_and(|began| began.iif.is_some());
        let (verdict, disposition, unknown) = match last.map(|step| &step.kind) {
            Some(StepKind::Rule(rule)) if rule.verdict == "drop" => {
                match rule
                    .text
                    .split_whitespace()
                    .any(|word| word.eq_ignore_ascii_case("reject"))
                {
                    true => (Verdict::Reject, "rejected", None),
                    false => (Verdict::Drop, "dropped", None),
                }
            }
            Some(StepKind::Rule(rule)) if rule.verdict.starts_with("queue") => {
                (Verdict::Unknown, "queued", None)
            }
            Some(StepKind::Rule(rule)) if rule.verdict == "stolen" => {
                (Verdict::Unknown, "stolen", None)
            }
            Some(StepKind::Policy { accept: false, .. }) => (Verdict::Drop, "dropped", None),
            Some(_) => match last.map(|step| (step.hook, step.layer)) {
                Some((Hook::Postrouting, "bridge")) => (Verdict::Accept, "bridged", None),
                Some((Hook::Postrouting | Hook::Egress, _)) if came => {
                    (Verdict::Accept, "forwarded", None)
                }
                Some((Hook::Postrouting | Hook::Egress, _)) => {
                    (Verdict::Accept, "transmitted", None)
                }
                Some((Hook::Input, layer)) if layer != "bridge" => (Verdict::Accept, "local", None),
                Some((hook, _)) => {
                    let why = format!(
                        "the trace ends after {}: what the host did with the packet is not traced",
                        hook.name()
                    );
                    let settle = "give the ruleset and a snapshot of the host: the model tells what comes after";
                    (Verdict::Unknown, "unknown", Some((why, settle.to_string())))
                }
                None => (Verdict::Unknown, "unknown", None),
            },
            None => (
                Verdict::Unknown,
                "unknown",
                Some(("nothing of it was traced".into(), String::new())),
            ),
        };
        let deciding = deciding(&self.steps);
        PathReport {
            verdict,
            disposition,
            unknown,
            input: self.began.unwrap_or_else(|| packet(&Glimpse::default())),
            output: (*self.packet).clone(),
            steps: self.steps,
            deciding,
            answer: None,
        }
    }
}

/// The verdict of each base chain.
fn deciding(steps: &[Step]) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        match &step.kind {
            StepKind::Policy { .. } => found.push(at),
            StepKind::Rule(rule)
                if ["accept", "drop", "queue", "stolen"].contains(&rule.verdict.as_str()) =>
            {
                found.push(at);
            }
            _ => {}
        }
    }
    found
}

/// The hook of a chain that no listing tells, by its name, else by the interfaces.
fn guessed(chain: &str, seen: Option<&Glimpse>) -> Hook {
    let name = chain.to_lowercase();
    let by_name = Hook::ALL
        .into_iter()
        .find(|hook| name.contains(hook.name()));
    let short = [
        ("pre", Hook::Prerouting),
        ("post", Hook::Postrouting),
        ("fwd", Hook::Forward),
    ];
    let by_short = || {
        short
            .into_iter()
            .find(|(word, _)| name.starts_with(word))
            .map(|(_, hook)| hook)
    };
    by_name.or_else(by_short).unwrap_or_else(|| {
        let (iif, oif) = seen.map_or((false, false), |g| (g.iif.is_some(), g.oif.is_some()));
        match (iif, oif) {
            (true, true) => Hook::Forward,
            (false, true) => Hook::Output,
            (_, false) => Hook::Prerouting,
        }
    })
}

fn packet(glimpse: &Glimpse) -> Packet {
    let address = |address: Option<std::net::IpAddr>| match address {
        Some(address) => Field::Known(address.to_string()),
        None => Field::Unknown("not traced".into()),
    };
    let port = |port: Option<u16>| port.map(|port| Field::Known(port.to_string()));
    Packet {
        src: address(glimpse.src),
        dst: address(glimpse.dst),
        sport: port(glimpse.sport),
        dport: port(glimpse.dport),
        proto: glimpse.proto.unwrap_or(0),
        icmp: glimpse.icmp.map(|kind| (kind, 0)),
        iif: glimpse.iif.clone().map(Field::Known),
        oif: glimpse.oif.clone().map(Field::Known),
        in_port: None,
        out_port: None,
        mark: None,
        ttl: 64,
        ct_state: None,
    }
}
