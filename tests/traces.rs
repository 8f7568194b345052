//! The model's steps against what a real kernel traced (testdata/*/traces, see testdata/README.md).

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use nfpath::eval::{Iface, World};
use nfpath::explain::{Question, explain};
use nfpath::hooks::Hooks;
use nfpath::host::Host;
use nfpath::iptables::Family;
use nfpath::load::{Loaded, SaveText, TextOf, load};
use nfpath::logic::{Knowledge, Known};
use nfpath::packet::Spec;
use nfpath::render::json;
use nfpath::report::{ContextInfo, Report, RulesetInfo};
use nfpath::ruleset::Ruleset;
use nfpath::walk::step::{Path as Walk, RuleOutcome, StepKind, Walked};
use nfpath::walk::{Entrance, GivenState, Probe, link_values, walk};
use serde_json::Value;

/// One expected line: family, table, chain, handle (0 for a policy), verdict.
type Line = (String, String, String, u64, String);

struct Trace {
    flow: String,
    iif: Option<String>,
    sysctl: Vec<(String, String)>,
    request: Vec<Line>,
    reply: Vec<Line>,
    replied: bool,
    /// Source, destination as the receiver got the request.
    received: Option<(String, String)>,
}

fn read_trace(text: &str) -> Trace {
    let mut trace = Trace {
        flow: String::new(),
        iif: None,
        sysctl: Vec::new(),
        request: Vec::new(),
        reply: Vec::new(),
        replied: false,
        received: None,
    };
    let mut section = "";
    for line in text.lines() {
        if let Some(header) = line.strip_prefix("# ") {
            match header.split_once(": ") {
                Some(("flow", flow)) => trace.flow = flow.trim().into(),
                Some(("iif", "-")) => {}
                Some(("iif", iif)) => trace.iif = Some(iif.trim().into()),
                Some(("received", how)) => {
                    let ends = how.split_once(" as ").and_then(|(_, ends)| {
                        let (src, dst) = ends.split(", ").next()?.split_once(" -> ")?;
                        Some((src.to_owned(), dst.to_owned()))
                    });
                    trace.received = ends;
                }
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
                let verdict = taken.words(ruleset);
                let table = ruleset.table_of(chain);
                lines.push((
                    table.family.to_string(),
                    table.name.to_string(),
                    ruleset.chain(chain).name.to_string(),
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

/// Calls `check` with every trace: its name, the ruleset, its hooks, the host, and what the kernel did.
fn for_each_trace(mut check: impl FnMut(&str, &Loaded, &Hooks, &Host, &Trace)) {
    for case in cases() {
        let text = fs::read_to_string(case.join("ruleset.json")).expect("ruleset.json");
        let saves: Vec<SaveText> = fs::read_to_string(case.join("iptables-save.txt"))
            .map(|text| SaveText {
                source: "iptables-save.txt".into(),
                text,
                of: TextOf::Iptables(Family::Ip),
            })
            .into_iter()
            .collect();
        let loaded = load("ruleset.json", &text, &saves).expect("a listing");
        let hooks = Hooks::new(&loaded.ruleset);
        let base = support::host_listings::host_of(&case.join("host")).0;
        for file in support::files_below(&case.join("traces"), ".txt") {
            let name = file.display().to_string();
            let trace = read_trace(&fs::read_to_string(&file).expect("trace"));
            let mut host = base.clone();
            for (key, value) in &trace.sysctl {
                host.sysctls
                    .insert(key.as_str().into(), value.as_str().into());
            }
            check(&name, &loaded, &hooks, &host, &trace);
        }
    }
}

#[test]
fn every_traced_packet_takes_the_steps_that_the_kernel_took() {
    let mut report = String::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for_each_trace(|name, loaded, hooks, host, trace| {
        let ruleset = &loaded.ruleset;
        let flow = nfpath::flow::parse(&trace.flow).unwrap_or_else(|e| panic!("{name}: {e}"));
        let values = link_values(host);
        let world = World {
            ruleset,
            host,
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
            let (walked, _) = walk(world, hooks, &probe, Knowledge::with_script(script));
            let bad = compare(ruleset, trace, &walked);
            found = bad.is_empty();
            if found {
                break;
            }
            for at in forced..walked.choices.len() {
                let mut script: Vec<bool> = walked.choices[..at].iter().map(|c| c.holds).collect();
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
    });
    println!("{counts:?}");
    assert!(counts["flows"] > 100, "the traces are there");
    assert!(report.is_empty(), "{report}\n{counts:?}");
    assert!(
        counts.get("left open").is_none_or(|n| *n < 8),
        "few flows depend on what the input leaves open"
    );
}

/// The lines of a path of the JSON report, by its contract.
fn lines_of_json(path: &Value) -> Vec<Line> {
    let text = |step: &Value, key: &str| step[key].as_str().unwrap_or_default().to_owned();
    let steps = path["steps"].as_array().map_or(&[][..], Vec::as_slice);
    let counts = |step: &&Value| {
        step["kind"] == "policy" || (step["kind"] == "rule" && step["matched"] == true)
    };
    steps
        .iter()
        .filter(counts)
        .map(|step| {
            (
                text(step, "family"),
                text(step, "table"),
                text(step, "chain"),
                step["handle"].as_u64().unwrap_or_default(),
                text(step, "verdict"),
            )
        })
        .collect()
}

/// Whether `172.20.0.1:40000` is that end of a packet. A port that the report calls unknown may be any.
fn is_end(packet: &Value, address: &str, port: &str, text: &str) -> bool {
    let ip = packet[address].as_str().unwrap_or("?");
    let unknown = packet["unknown"].as_array().is_some_and(|fields| {
        let mut fields = fields.iter().filter_map(Value::as_str);
        fields.any(|field| field.starts_with(port))
    });
    match packet[port].as_u64() {
        Some(port) => text == format!("{ip}:{port}"),
        None if unknown => text.starts_with(&format!("{ip}:")),
        None => text == ip,
    }
}

#[test]
fn the_json_report_says_what_the_kernel_traced() {
    let (mut same, mut open, mut received) = (0, 0, 0);
    for_each_trace(|name, loaded, hooks, host, trace| {
        let mut question = Question::new(nfpath::flow::parse(&trace.flow).expect("a flow"));
        question.iif.clone_from(&trace.iif);
        question.uid = trace.iif.is_none().then_some(0);
        let answer = explain(loaded, hooks, host, &question).expect("an answer");
        let report = Report {
            ruleset: RulesetInfo::default(),
            context: ContextInfo::default(),
            flows: vec![answer.report],
            diagnostics: Vec::new(),
        };
        let json: Value =
            serde_json::from_str(&json::report(&report, false)).expect("the report is JSON");
        let flow = &json["flows"][0];
        let mut bad = difference("request", &trace.request, &lines_of_json(&flow["request"]));
        if trace.replied {
            let reply = lines_of_json(&flow["reply"]);
            bad.push_str(&difference("reply", &trace.reply, &reply));
        }
        // a choice that was open may have fallen the other way in the kernel
        if !bad.is_empty() && !flow["assumptions"].as_array().is_none_or(Vec::is_empty) {
            open += 1;
            return;
        }
        assert!(bad.is_empty(), "{name}\n{bad}");
        same += 1;
        if let Some((src, dst)) = &trace.received {
            let out = &flow["request"]["out"];
            let right = is_end(out, "src", "sport", src) && is_end(out, "dst", "dport", dst);
            assert!(right, "{name}: the receiver saw {src} -> {dst}, not {out}");
            received += 1;
        }
    });
    println!("same {same}, left open {open}, received {received}");
    assert!(same > 110 && open < 8 && received > 50);
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
