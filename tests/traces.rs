//! The model's steps against what a real kernel traced (testdata/*/traces, see testdata/README.md).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use nfpath::eval::{Iface, World};
use nfpath::hooks::Hooks;
use nfpath::host::Host;
use nfpath::iptables::Family;
use nfpath::load::bundle::{HostPart, assemble};
use nfpath::load::{SaveText, load};
use nfpath::logic::{Knowledge, Known};
use nfpath::packet::Spec;
use nfpath::ruleset::Ruleset;
use nfpath::walk::step::{Path as Walk, RuleOutcome, StepKind, Taken, Walked};
use nfpath::walk::{Entrance, GivenState, Probe, link_values, walk};

/// One expected line: family, table, chain, handle (0 for a policy), verdict.
type Line = (String, String, String, u64, String);

struct Trace {
    flow: String,
    iif: Option<String>,
    sysctl: Vec<(String, String)>,
    request: Vec<Line>,
    reply: Vec<Line>,
    replied: bool,
}

fn read_trace(text: &str) -> Trace {
    let mut trace = Trace {
        flow: String::new(),
        iif: None,
        sysctl: Vec::new(),
        request: Vec::new(),
        reply: Vec::new(),
        replied: false,
    };
    let mut section = "";
    for line in text.lines() {
        if let Some(header) = line.strip_prefix("# ") {
            match header.split_once(": ") {
                Some(("flow", flow)) => trace.flow = flow.trim().into(),
                Some(("iif", "-")) => {}
                Some(("iif", iif)) => trace.iif = Some(iif.trim().into()),
                Some(("sysctl", settings)) => {
                    for setting in settings.split_whitespace() {
                        if let Some((key, value)) = setting.split_once('=') {
                            trace.sysctl.push((key.into(), value.into()));
                        }
                    }
                }
                _ => {
                    if ["request", "reply", "answer", "redirect"].contains(&header) {
                        section = match header {
                            "request" => "request",
                            "reply" => "reply",
                            _ => "other",
                        };
                    }
                }
            }
            continue;
        }
        let Some(parsed) = line.strip_prefix("trace id ").and_then(read_line) else {
            continue;
        };
        match section {
            "request" => trace.request.push(parsed),
            "reply" => {
                trace.replied = true;
                trace.reply.push(parsed);
            }
            _ => {}
        }
    }
    trace
}

fn read_line(line: &str) -> Option<Line> {
    let mut words = line.splitn(5, ' ');
    let _id = words.next()?;
    let (family, table, chain) = (words.next()?, words.next()?, words.next()?);
    let rest = words.next()?;
    if table == "nfpath_trace" {
        return None;
    }
    let key = |handle, verdict: &str| {
        (
            family.into(),
            table.into(),
            chain.into(),
            handle,
            verdict.into(),
        )
    };
    if let Some(policy) = rest.strip_prefix("policy ") {
        let verdict = policy.split_whitespace().next()?;
        return Some(key(0, verdict));
    }
    if rest.starts_with("rule ") {
        let at = rest.rfind("# handle ")?;
        let tail = &rest[at + "# handle ".len()..];
        let (handle, verdict) = tail.split_once(" (verdict ")?;
        return Some(key(
            handle.trim().parse().ok()?,
            verdict.trim_end().trim_end_matches(')'),
        ));
    }
    None
}

fn lines_of(ruleset: &Ruleset, path: &Walk) -> Vec<Line> {
    let mut lines = Vec::new();
    for step in &path.steps {
        match &step.kind {
            StepKind::Rule(rule) => {
                let RuleOutcome::Matched(taken) = &rule.outcome else {
                    continue;
                };
                let chain = ruleset.rule(rule.rule).chain;
                let name = |id| ruleset.chain(id).name.to_string();
                let verdict = match taken {
                    Taken::Continue => "continue".to_string(),
                    Taken::Accept | Taken::Nat(_) => "accept".into(),
                    Taken::Drop | Taken::Reject => "drop".into(),
                    Taken::Return => "return".into(),
                    Taken::Jump(id) => format!("jump {}", name(*id)),
                    Taken::Goto(id) => format!("goto {}", name(*id)),
                    other => format!("{other:?}"),
                };
                let table = ruleset.table_of(chain);
                lines.push((
                    table.family.to_string(),
                    table.name.to_string(),
                    name(chain),
                    ruleset.rule(rule.rule).handle.0,
                    verdict,
                ));
            }
            StepKind::Policy { chain, policy } => {
                let table = ruleset.table_of(*chain);
                lines.push((
                    table.family.to_string(),
                    table.name.to_string(),
                    ruleset.chain(*chain).name.to_string(),
                    0,
                    policy.name().into(),
                ));
            }
            _ => {}
        }
    }
    lines
}

fn host_of(folder: &Path) -> Host {
    let parts = [
        ("addr.json", HostPart::Addresses),
        ("link.json", HostPart::Links),
        ("route.json", HostPart::Routes),
        ("route6.json", HostPart::Routes),
        ("rule.json", HostPart::Rules),
        ("rule6.json", HostPart::Rules),
        ("neigh.json", HostPart::Neighbours),
        ("bridge-link.json", HostPart::BridgeLinks),
        ("bridge-fdb.json", HostPart::BridgeFdb),
        ("sysctl.txt", HostPart::Sysctls),
    ];
    let texts: Vec<(HostPart, String, String)> = parts
        .iter()
        .filter_map(|(name, part)| {
            Some((
                *part,
                name.to_string(),
                fs::read_to_string(folder.join(name)).ok()?,
            ))
        })
        .collect();
    let inputs: Vec<(HostPart, &str, &str)> = texts
        .iter()
        .map(|(p, n, t)| (*p, n.as_str(), t.as_str()))
        .collect();
    assemble(&inputs).0
}

fn cases() -> Vec<PathBuf> {
    fn visit(folder: &Path, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(folder) else {
            return;
        };
        let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                if path.join("traces").is_dir() {
                    found.push(path.clone());
                }
                visit(&path, found);
            }
        }
    }
    let mut found = Vec::new();
    visit(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata"),
        &mut found,
    );
    found
}

#[test]
fn every_traced_packet_takes_the_steps_that_the_kernel_took() {
    let mut report = String::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for case in cases() {
        let text = fs::read_to_string(case.join("ruleset.json")).expect("ruleset.json");
        let saves: Vec<SaveText> = fs::read_to_string(case.join("iptables-save.txt"))
            .map(|text| SaveText {
                source: "iptables-save.txt".into(),
                text,
                family: Family::Ip,
            })
            .into_iter()
            .collect();
        let ruleset = load("ruleset.json", &text, &saves)
            .expect("a listing")
            .ruleset;
        let hooks = Hooks::new(&ruleset);
        let base = host_of(&case.join("host"));
        let mut traces: Vec<PathBuf> = fs::read_dir(case.join("traces"))
            .expect("traces")
            .filter_map(|e| Some(e.ok()?.path()))
            .collect();
        traces.sort();
        for file in traces {
            let name = file
                .strip_prefix(env!("CARGO_MANIFEST_DIR"))
                .expect("below")
                .display()
                .to_string();
            let trace = read_trace(&fs::read_to_string(&file).expect("trace"));
            let mut host = base.clone();
            for (key, value) in &trace.sysctl {
                host.sysctls
                    .insert(key.as_str().into(), value.as_str().into());
            }
            let flow = nfpath::flow::parse(&trace.flow).unwrap_or_else(|e| panic!("{name}: {e}"));
            let values = link_values(&host);
            let world = World {
                ruleset: &ruleset,
                host: &host,
                link_values: &values,
            };
            let iface = |name: &str| {
                Iface::Link(
                    host.links
                        .iter()
                        .position(|l| l.name == name)
                        .unwrap_or_else(|| panic!("no {name}")) as u16,
                )
            };
            let probe = Probe {
                spec: Spec {
                    v6: flow.dst.is_ipv6(),
                    src: Known::Value(flow.src.unwrap_or("0.0.0.0".parse().expect("address"))),
                    dst: Known::Value(flow.dst),
                    proto: flow.proto,
                    sport: Known::Value(flow.sport.unwrap_or(40000)),
                    dport: Known::Value(flow.dport.unwrap_or(0)),
                    icmp: None,
                    tcp_flags: None,
                    ttl: None,
                    tos: None,
                    length: None,
                    ether_src: None,
                    ether_dst: None,
                },
                entrance: trace
                    .iif
                    .as_deref()
                    .map_or(Entrance::Local, |iif| Entrance::Iface(iface(iif))),
                in_port: None,
                oif: None,
                mark: 0,
                state: GivenState::New,
                uid: Some(0),
                gid: Some(0),
            };
            *counts.entry("flows").or_default() += 1;
            *counts.entry("replies").or_default() += usize::from(trace.replied);
            // what the input leaves open (the bytes of an ICMP identifier, a flag that nft garbles) has several answers:
            // the kernel's must be among them
            let mut scripts = vec![Vec::new()];
            let mut first = None;
            let mut found = false;
            while let Some(script) = scripts.pop() {
                let forced = script.len();
                let (walked, _) = walk(world, &hooks, &probe, Knowledge::with_script(script));
                let bad = compare(&ruleset, &trace, &walked);
                found = bad.is_empty();
                if found {
                    break;
                }
                for at in forced..walked.choices.len() {
                    let mut script: Vec<bool> =
                        walked.choices[..at].iter().map(|c| c.holds).collect();
                    script.push(!walked.choices[at].holds);
                    scripts.push(script);
                }
                first.get_or_insert((bad, walked));
            }
            if let Some((bad, walked)) = first {
                *counts.entry("left open").or_default() += 1;
                if !found {
                    *counts.entry("different").or_default() += 1;
                    writeln!(
                        report,
                        "{name} {} [{:?}]\n{bad}",
                        trace.flow, walked.request.disposition
                    )
                    .unwrap();
                    for choice in &walked.choices {
                        writeln!(
                            report,
                            "  choice: {} = {}",
                            choice.claim.said(true),
                            choice.holds
                        )
                        .unwrap();
                    }
                }
            }
        }
    }
    println!("{counts:?}");
    assert!(counts["flows"] > 100, "the traces are there");
    assert!(report.is_empty(), "{report}\n{counts:?}");
    assert!(
        counts.get("left open").is_none_or(|n| *n < 8),
        "few flows depend on what the input leaves open"
    );
}

fn compare(ruleset: &Ruleset, trace: &Trace, walked: &Walked) -> String {
    let mut bad = difference(
        "request",
        &trace.request,
        &lines_of(ruleset, &walked.request),
    );
    if trace.replied {
        let reply = walked
            .reply
            .as_ref()
            .map_or(Vec::new(), |reply| lines_of(ruleset, reply));
        bad.push_str(&difference("reply", &trace.reply, &reply));
    }
    bad
}

fn difference(what: &str, expected: &[Line], got: &[Line]) -> String {
    if expected == got {
        return String::new();
    }
    let at = expected
        .iter()
        .zip(got)
        .position(|(a, b)| a != b)
        .unwrap_or(expected.len().min(got.len()));
    let mut text = format!(
        "  {what}: differs at step {at} (kernel {}, model {})\n",
        expected.len(),
        got.len()
    );
    for (who, lines) in [("kernel", expected), ("model ", got)] {
        for line in lines.iter().skip(at.saturating_sub(1)).take(3) {
            let _ = writeln!(
                text,
                "    {who} {} {} {} #{} {}",
                line.0, line.1, line.2, line.3, line.4
            );
        }
    }
    text
}
