//! Remarks that answer the questions people ask when they see a path.

use crate::ruleset::{Hook, Stmt};

use super::build::{Sources, is_bridge};
use super::{ChainStep, Field, FlowReport, Note, PathReport, RuleRef, Step, StepKind, Verdict};

/// The notes for a flow, in the order of the path.
pub(super) fn notes(report: &FlowReport, sources: Sources<'_>) -> Vec<Note> {
    let mut notes = Vec::new();
    let note = |code, message: String, at: Option<RuleRef>| Note { code, message, at };
    let request = &report.request;
    if let Some(reply) = &report.reply {
        if has_nat_chains(request) && !nat_rules(reply) && is_reply(reply) {
            notes.push(note(
                "reply-passes-no-nat-chain",
                "the reply passes no nat chain: nat chains see only the first packet of a connection; conntrack applies the translation to all others".into(),
                None,
            ));
        }
        if bridge_input_then_forward(reply) || bridge_input_then_forward(request) {
            notes.push(note(
                "bridge-input-is-not-ip-input",
                "bridge input and ip forward both see a packet that comes in by a bridge and is routed on: for the bridge it is addressed to this host (its Ethernet destination is the bridge's own), for IP it is forwarded; the input of `table bridge` is not the input of `table ip`".into(),
                None,
            ));
        }
    }
    if report.verdict == Verdict::Accept {
        let accepting = accepting_chains(request);
        if accepting > 1 {
            notes.push(note(
                "accept-is-not-final",
                format!("accept ends only its own base chain: {accepting} base chains of the request had to let the packet pass"),
                None,
            ));
        }
    }
    let paths = std::iter::once(request).chain(&report.reply);
    for (at, state) in paths
        .clone()
        .flat_map(|path| without_connection(path, sources))
    {
        notes.push(note(
            "no-connection-mark",
            format!(
                "the packet is {state}: it has no connection and so no connection mark; this rule neither reads nor writes one, and leaves the packet as it is"
            ),
            Some(at),
        ));
    }
    for (at, flowtable, devices) in paths.clone().flat_map(|path| offloads(path, sources)) {
        let devices = match devices.as_slice() {
            [] => "the flowtable's devices, which the listing does not say".to_string(),
            devices => devices.join(", "),
        };
        notes.push(note(
            "flow-offload",
            format!(
                "from here on flowtable {flowtable} forwards the packets of this connection that come in by {devices}, in both directions: they pass no chain but ingress until the connection ends, is torn down, or sends a packet with options, a FIN or a RST"
            ),
            Some(at),
        ));
    }
    for (first, second) in paths.flat_map(ties) {
        let message = format!(
            "{first} and {second} have the same priority: the kernel runs the one that was made last first, taken to be the one that the listing has last"
        );
        if !notes.iter().any(|note: &Note| note.message == message) {
            notes.push(note("equal-priorities", message, None));
        }
    }
    if let Some((step, statement)) = translated_destination(request) {
        notes.push(note(
            "rules-see-the-translated-destination",
            format!(
                "after {statement} every later chain sees {}; a rule that names {} there cannot match (`ct original proto-dst` still has the old port)",
                step.1, step.0
            ),
            None,
        ));
    }
    if let Some(Field::Known(oif)) = &request.output.oif
        && masqueraded_into_bridge(request)
        && is_bridge(sources.host, oif)
    {
        notes.push(note(
            "client-address-is-hidden",
            format!(
                "the receiver behind {oif} sees {} and not the client: its logs and access rules know only this host",
                request.output.src.text()
            ),
            masquerade_rule(request),
        ));
    }
    notes
}

/// Base chains of different tables that run one after the other at one priority.
fn ties(path: &PathReport) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut last: Option<(&Step, &ChainStep)> = None;
    for step in &path.steps {
        let StepKind::Chain(chain) = &step.kind else {
            continue;
        };
        if let Some((before, other)) = last
            && before.hook == step.hook
            && before.layer == step.layer
            && other.priority == chain.priority
            && (other.family, &other.table) != (chain.family, &chain.table)
        {
            found.push((chain_words(other), chain_words(chain)));
        }
        last = Some((step, chain));
    }
    found
}

/// The rules of a path that would read or write the mark of a connection that the packet does not have, with its state.
fn without_connection(path: &PathReport, sources: Sources<'_>) -> Vec<(RuleRef, &'static str)> {
    let ruleset = sources.ruleset;
    let mut found = Vec::new();
    for step in &path.steps {
        let StepKind::Rule(rule) = &step.kind else {
            continue;
        };
        let state = match step.packet.ct_state {
            None => "not known to conntrack",
            Some("untracked") => "untracked",
            Some(_) => continue,
        };
        let chain = ruleset.find_chain(rule.at.family, &rule.at.table, &rule.at.chain);
        let id = chain.and_then(|id| ruleset.chain(id).rules.get(rule.at.index as usize));
        let does_nothing = id.is_some_and(|id| {
            ruleset.rule(*id).statements.iter().any(|statement| {
                matches!(
                    statement.kind,
                    Stmt::Mangle {
                        or_nothing: true,
                        ..
                    }
                )
            })
        });
        if rule.matched && does_nothing {
            found.push((rule.at.clone(), state));
        }
    }
    found
}

/// The rules of a path that give its connection to a flowtable, with its name and devices.
fn offloads(path: &PathReport, sources: Sources<'_>) -> Vec<(RuleRef, String, Vec<String>)> {
    let ruleset = sources.ruleset;
    let mut found = Vec::new();
    for step in &path.steps {
        let StepKind::Rule(rule) = &step.kind else {
            continue;
        };
        let at = &rule.at;
        let chain = ruleset.find_chain(at.family, &at.table, &at.chain);
        let id = chain.and_then(|id| ruleset.chain(id).rules.get(at.index as usize));
        let (Some(id), true) = (id, rule.matched) else {
            continue;
        };
        for statement in &ruleset.rule(*id).statements {
            if let Stmt::FlowOffload { flowtable } = &statement.kind {
                let table = ruleset.chain(ruleset.rule(*id).chain).table;
                let devices = ruleset.flowtables.get(&(table, flowtable.clone()));
                let devices = devices.into_iter().flatten().map(ToString::to_string);
                found.push((at.clone(), flowtable.to_string(), devices.collect()));
            }
        }
    }
    found
}

fn chain_words(chain: &ChainStep) -> String {
    format!("{} {} {}", chain.family, chain.table, chain.chain)
}

fn has_nat_chains(path: &PathReport) -> bool {
    path.steps
        .iter()
        .any(|step| matches!(&step.kind, StepKind::Chain(chain) if chain.chain_type == "nat"))
}

fn nat_rules(path: &PathReport) -> bool {
    has_nat_chains(path)
}

fn is_reply(path: &PathReport) -> bool {
    path.steps
        .iter()
        .any(|step| matches!(&step.kind, StepKind::Conntrack(ct) if ct.reply))
}

fn bridge_input_then_forward(path: &PathReport) -> bool {
    let hook = |layer: &str, hook: Hook| {
        path.steps.iter().any(|s: &Step| {
            s.layer == layer && s.hook == hook && matches!(s.kind, StepKind::Chain(_))
        })
    };
    hook("bridge", Hook::Input) && (hook("ip", Hook::Forward) || hook("ip6", Hook::Forward))
}

/// Base chains that accepted by a rule of theirs, nat chains not counted.
fn accepting_chains(path: &PathReport) -> usize {
    let mut count = 0;
    let mut nat = false;
    for step in &path.steps {
        match &step.kind {
            StepKind::Chain(chain) => nat = chain.chain_type == "nat",
            StepKind::Rule(rule) if rule.matched && rule.verdict == "accept" && !nat => count += 1,
            _ => {}
        }
    }
    count
}

fn translated_destination(path: &PathReport) -> Option<((String, String), &'static str)> {
    path.steps.iter().find_map(|step| match &step.kind {
        StepKind::Nat(nat) if !nat.source && !nat.reply => Some((
            (nat.from.clone(), nat.to.clone()),
            nat.statement.unwrap_or("the translation"),
        )),
        _ => None,
    })
}

fn masqueraded_into_bridge(path: &PathReport) -> bool {
    path.steps
        .iter()
        .any(|step| matches!(&step.kind, StepKind::Nat(nat) if nat.source && nat.statement == Some("masquerade")))
}

fn masquerade_rule(path: &PathReport) -> Option<RuleRef> {
    path.steps.iter().find_map(|step| match &step.kind {
        StepKind::Nat(nat) if nat.source && !nat.reply => nat.by.clone(),
        _ => None,
    })
}
