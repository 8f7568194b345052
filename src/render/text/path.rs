//! The way of one packet: hook by hook the chains, and what the stack did between them.

use super::Options;
use super::chain::Block;
use super::head::{Detail, change, ended_by};
use super::page::{Page, Style, Text};
use super::words;
use crate::report::{ConntrackStep, Field, Packet, PathReport, RoutingStep, StepKind, Verdict};
use crate::ruleset::Hook;

/// Where the text of a line between the hooks begins.
const COLUMN: usize = 14;

/// What is shown of a path, in its order.
enum Part<'r> {
    Chain(Block<'r>),
    /// Something that happens inside a hook.
    Inside(Text),
    /// Something between the hooks: a label and its text.
    Between(&'static str, Style, Text),
}

/// Parts of one hook.
struct Stage<'r> {
    layer: &'static str,
    hook: Hook,
    parts: Vec<Part<'r>>,
}

/// Writes the section of a packet; tells how many rules that were looked at it does not show.
pub(super) fn write(page: &mut Page, title: &str, path: &PathReport, options: &Options) -> usize {
    page.blank();
    heading(page, title, path);
    let mut hidden = 0;
    for stage in stages(path, options) {
        stage.write(page, options);
        hidden += stage.hidden();
    }
    ending(page, path, options);
    hidden
}

fn heading(page: &mut Page, title: &str, path: &PathReport) {
    let packet = &path.input;
    let mut text = Text::plain(words::ends(packet));
    match (&packet.iif, &packet.in_port) {
        (_, Some(port)) => text.push(format!(" in by {}", words::port(port)), Style::Plain),
        (Some(iif), None) => text.push(format!(" in by {}", iif.text()), Style::Plain),
        (None, None) => text.push(" sent by this host", Style::Plain),
    };
    if let Some(state) = path.steps.iter().find_map(|step| match &step.kind {
        StepKind::Conntrack(ConntrackStep { state, .. }) if *state != "confirmed" => Some(*state),
        _ => None,
    }) {
        text.push(format!(", {}", connection(state)), Style::Plain);
    }
    page.labelled(0, 10, title, Style::Label, text);
}

/// The state of conntrack in words.
fn connection(state: &str) -> String {
    match state {
        "invalid" => "invalid: of no connection that conntrack knows".to_string(),
        "untracked" => "not tracked".to_string(),
        state => format!("{state} connection"),
    }
}

/// Gathers the steps by hook.
fn stages<'r>(path: &'r PathReport, options: &Options) -> Vec<Stage<'r>> {
    let mut stages: Vec<Stage<'r>> = Vec::new();
    let mut seen = &path.input;
    let mut explained = false;
    let mut undone = false;
    let mut first_state = true;
    let mut at = 0;
    while let Some(step) = path.steps.get(at) {
        let mut len = 1;
        let mut parts = Vec::new();
        let nat = matches!(step.kind, StepKind::Nat(_));
        // what a chain changes shows in the packet of its last step
        let mut after = &step.packet;
        match &step.kind {
            StepKind::Chain(chain) => {
                let (block, steps) = Block::read(path, at, chain, options);
                len = steps;
                if let Some(last) = path.steps.get(at + len - 1) {
                    after = &last.packet;
                }
                parts.push(Part::Chain(block));
            }
            StepKind::Conntrack(track) => {
                let repeats = std::mem::take(&mut first_state) && !options.verbose;
                if track.state != "confirmed" && !repeats || options.verbose {
                    let text = match track.state {
                        "confirmed" => "conntrack: the connection is confirmed".to_string(),
                        state => format!("conntrack: {}", connection(state)),
                    };
                    parts.push(Part::Inside(Text::new(text, Style::Dim)));
                }
            }
            StepKind::Nat(nat) => {
                let mut text = Text::new("⇒ ", Style::Change);
                text.append(change(nat));
                if nat.reply && !undone {
                    undone = true;
                    text.push(
                        ", by conntrack: nat chains see only the first packet of a connection",
                        Style::Dim,
                    );
                } else if nat.by.is_none() {
                    text.push(", by conntrack", Style::Dim);
                }
                parts.push(Part::Inside(text));
            }
            StepKind::Routing(routing) => {
                parts.push(Part::Between("routing", Style::Label, route(routing)));
            }
            StepKind::Bridge { text, .. } => {
                parts.push(Part::Between("bridge", Style::Label, Text::plain(text)));
            }
            StepKind::Ttl { before, after } => {
                if options.verbose {
                    let text = Text::plain(format!("{before} → {after}"));
                    parts.push(Part::Between("ttl", Style::Label, text));
                }
            }
            StepKind::Local => {
                let mut text = Text::plain("to this host as ");
                text.push(words::ends(&step.packet), Style::Strong);
                parts.push(Part::Between("delivered", Style::Good, text));
            }
            StepKind::Leaves => {
                parts.push(Part::Between("leaves", Style::Good, leaves(&step.packet)));
            }
            StepKind::Loopback => {
                let text = Text::plain("out by lo and in again");
                parts.push(Part::Between("loopback", Style::Label, text));
            }
            StepKind::Drop { .. } | StepKind::Rule(_) | StepKind::Policy { .. } => {}
        }
        if !nat && !explained {
            parts.extend(changes(seen, after).map(Part::Inside));
        } else if !nat && seen.mark != after.mark {
            parts.extend(marked(after).map(Part::Inside));
        }
        explained = nat;
        seen = after;
        for part in parts {
            match stages.last_mut() {
                Some(stage) if stage.layer == step.layer && stage.hook == step.hook => {
                    stage.parts.push(part);
                }
                _ => stages.push(Stage {
                    layer: step.layer,
                    hook: step.hook,
                    parts: vec![part],
                }),
            }
        }
        at += len;
    }
    stages
}

/// Addresses, ports and marks that changed without a translation.
fn changes(before: &Packet, after: &Packet) -> impl Iterator<Item = Text> + use<> {
    let ends = [
        (
            "source",
            words::end(&before.src, before.sport.as_ref()),
            words::end(&after.src, after.sport.as_ref()),
        ),
        (
            "destination",
            words::end(&before.dst, before.dport.as_ref()),
            words::end(&after.dst, after.dport.as_ref()),
        ),
    ];
    let unchosen = matches!(&before.src, Field::Unknown(_));
    let ends = ends
        .into_iter()
        .filter(|(_, from, to)| from != to)
        .map(move |(end, from, to)| {
            let words = if end == "source" && unchosen {
                "source chosen: ".to_string()
            } else {
                format!("{end} {from} becomes ")
            };
            Text::new("⇒ ", Style::Change)
                .with(words, Style::Plain)
                .with(to, Style::Change)
        });
    let mark = (before.mark != after.mark).then(|| marked(after)).flatten();
    ends.chain(mark)
}

fn marked(after: &Packet) -> Option<Text> {
    let text = Text::new("⇒ ", Style::Change).with("mark becomes ", Style::Plain);
    let mark = after
        .mark
        .map_or("unknown".into(), |mark| format!("{mark:#x}"));
    Some(text.with(mark, Style::Change))
}

fn route(routing: &RoutingStep) -> Text {
    let to = |oif: &Option<Field>| match oif {
        Some(oif) => format!(" to {}", oif.text()),
        None => String::new(),
    };
    let decision = match routing.decision {
        "local" => "to this host".to_string(),
        "broadcast" => "to this host, a broadcast".to_string(),
        "multicast" => "to this host, a multicast".to_string(),
        "forward" => format!("forward{}", to(&routing.oif)),
        "output" => format!("out{}", to(&routing.oif)),
        other => other.to_string(),
    };
    let mut text = Text::plain(decision);
    if routing.again {
        text.push(", looked up again for what a chain changed", Style::Plain);
    }
    if let Some(route) = &routing.route {
        text.push(format!(" (route {route})"), Style::Dim);
    }
    text
}

fn leaves(packet: &Packet) -> Text {
    let mut text = Text::plain(match (&packet.oif, &packet.out_port) {
        (Some(oif), Some(port @ Field::Known(_))) if oif != port => {
            format!("by {} ({}) as ", oif.text(), words::port(port))
        }
        (Some(name), _) | (None, Some(name)) => format!("by {} as ", name.text()),
        (None, None) => "as ".to_string(),
    });
    text.push(words::ends(packet), Style::Strong);
    text
}

/// The last line of a packet that does not get through.
fn ending(page: &mut Page, path: &PathReport, options: &Options) {
    let label = match path.verdict {
        Verdict::Accept => return,
        Verdict::Drop => "DROPPED",
        Verdict::Reject => "REJECTED",
        Verdict::Unknown => "UNKNOWN",
    };
    let style = words::style(path.verdict);
    if let Some((why, settle)) = &path.unknown {
        page.labelled(2, COLUMN, label, style, Text::plain(why));
        page.labelled(2, COLUMN, "to settle", Style::Label, Text::plain(settle));
        return;
    }
    let mut text = Text::plain("by ");
    text.append(ended_by(path, Detail::Name, options));
    page.labelled(2, COLUMN, label, style, text);
    if let Some(answer) = &path.answer {
        page.labelled(2, COLUMN, "answer", Style::Label, told(answer, options));
    }
}

/// What the sender of a refused packet is told, and whether that gets out.
fn told(answer: &PathReport, options: &Options) -> Text {
    let what = match answer.input.icmp {
        Some((kind, code)) => words::icmp_error(answer.input.proto, kind, code),
        None => "tcp reset".into(),
    };
    let mut text = Text::plain(format!("{what} {}", words::ends(&answer.output)));
    match answer.verdict {
        Verdict::Accept if answer.disposition == "local" => {
            text.push(" reaches its sender on this host", Style::Plain);
        }
        Verdict::Accept => {
            let by = answer
                .output
                .out_port
                .as_ref()
                .or(answer.output.oif.as_ref());
            let by = by.map_or("its device", Field::text);
            text.push(format!(" leaves by {by}"), Style::Plain);
        }
        Verdict::Drop | Verdict::Reject => {
            text.push(" is ", Style::Plain);
            text.push("dropped", words::style(answer.verdict));
            text.push(" by ", Style::Plain);
            text.append(ended_by(answer, Detail::Name, options));
        }
        Verdict::Unknown => {
            let why = answer.unknown.as_ref().map_or("", |(why, _)| why);
            text.push(
                format!(": it is not known whether it leaves: {why}"),
                Style::Doubt,
            );
        }
    }
    text
}

impl Stage<'_> {
    fn write(&self, page: &mut Page, options: &Options) {
        let label = words::hook(self.layer, self.hook);
        let mut headed = false;
        let mut at = 0;
        // a hook in which nothing decides is one line
        let plain = self
            .parts
            .iter()
            .all(|part| matches!(part, Part::Between(..)) || quiet(part, options));
        while let Some(part) = self.parts.get(at) {
            at += 1;
            match part {
                Part::Between(label, style, text) => {
                    page.labelled(2, COLUMN, label, *style, text.clone());
                    headed = false;
                    continue;
                }
                Part::Chain(_) if quiet(part, options) => {
                    let mut chains = vec![part];
                    while let Some(next) = self.parts.get(at).filter(|part| quiet(part, options)) {
                        chains.push(next);
                        at += 1;
                    }
                    let text = Text::new(passed(&chains), Style::Dim);
                    if plain {
                        page.labelled(2, COLUMN, &label, Style::Label, text);
                    } else {
                        self.head(page, &label, &mut headed);
                        page.line(4, 6, text);
                    }
                }
                Part::Chain(block) => {
                    self.head(page, &label, &mut headed);
                    block.write(page, options);
                }
                Part::Inside(text) => {
                    self.head(page, &label, &mut headed);
                    page.line(4, 6, text.clone());
                }
            }
        }
    }

    fn hidden(&self) -> usize {
        let hidden = self.parts.iter().map(|part| match part {
            Part::Chain(block) => block.hidden,
            Part::Inside(_) | Part::Between(..) => 0,
        });
        hidden.sum()
    }

    fn head(&self, page: &mut Page, label: &str, headed: &mut bool) {
        if !std::mem::replace(headed, true) {
            page.line(2, 2, Text::new(label, Style::Label));
        }
    }
}

/// A chain that is worth no more than its name.
fn quiet(part: &Part, options: &Options) -> bool {
    matches!(part, Part::Chain(block) if !options.verbose && block.is_quiet())
}

/// Names of chains that were passed; a table is named once.
fn passed(parts: &[&Part]) -> String {
    let mut text = String::new();
    let mut table = None;
    for part in parts {
        let Part::Chain(block) = part else { continue };
        let chain = block.chain;
        let key = (chain.family, chain.table.as_str());
        if !text.is_empty() {
            text.push_str(", ");
        }
        if table == Some(key) {
            text.push_str(&chain.chain);
        } else {
            text.push_str(&words::chain(chain.family, &chain.table, &chain.chain));
        }
        table = Some(key);
    }
    text.push_str(": no verdict, policy\u{a0}accept");
    text
}
