//! The examples of docs/semantics, each run by the engine and by a kernel.
//!
//! docs/semantics/README.md tells how an example is written. The engine runs always, on the listings in
//! docs/semantics/cases; the kernel part needs root and nft, says aloud when it skips, and `NFPATH_KERNEL=require` makes
//! a skip a failure. `UPDATE_SEMANTICS=1` (as root) writes the listings again, and fills blocks that have no lines yet
//! with what the kernel did.

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::panic::{catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use nfpath::explain::{Answer, Question, explain};
use nfpath::flow;
use nfpath::hooks::Hooks;
use nfpath::host::{Host, Link, LinkKind, Origin};
use nfpath::kernel::compare::{End, Ends, Place, Way};
use nfpath::kernel::lab::{Lab, LabError};
use nfpath::kernel::talk::converse;
use nfpath::kernel::{self, Agreement, Part, Verified, Words};
use nfpath::load::bundle::{self, HostPart};
use nfpath::load::{Loaded, load};
use nfpath::nft_tool;
use nfpath::report::build::{Sources, rule_text};
use nfpath::report::{Packet, PathReport, StepKind};
use nfpath::ruleset::{Chain, Handle, RuleId};
use nfpath::walk::GivenState;
use serde_json::Value;
use support::kernel_or_skip;

/// The host of every example that says no other.
const HOST: &str = "--iface eth0=10.0.0.1/24,fd00::1/64 --iface eth1=10.1.0.1/24,fd01::1/64 \
    --route 0.0.0.0/0,dev=eth1,via=10.1.0.254 --route ::/0,dev=eth1,via=fd01::fe \
    --sysctl net.ipv4.ip_forward=1 --sysctl net.ipv6.conf.all.forwarding=1";

/// A router with a bridge, and who is behind which port.
const BRIDGE: &str = "--bridge br0=p1,p2 --iface br0=172.20.0.1/24 \
    --iface eth0=10.0.0.1/24 --iface eth1=10.1.0.1/24 --route 0.0.0.0/0,dev=eth1,via=10.1.0.254 \
    --sysctl net.ipv4.ip_forward=1";
const BEHIND_BRIDGE: &str = r#"[{"dst":"172.20.0.2","dev":"br0","lladdr":"02:42:ac:14:00:02"},
    {"dst":"172.20.0.3","dev":"br0","lladdr":"02:42:ac:14:00:03"}]"#;
const BRIDGE_TABLE: &str = r#"[{"mac":"02:42:ac:14:00:02","ifname":"p1","master":"br0","flags":[]},
    {"mac":"02:42:ac:14:00:03","ifname":"p2","master":"br0","flags":[]}]"#;

/// The heading of what the host sends to the sender of a packet that it refuses.
const ANSWER: &str = "answer:";

/// How a path can end with the packet alive.
const ALIVE: [&str; 5] = ["local", "forwarded", "bridged", "transmitted", "relayed"];

/// A `steps` block: a flow through the ruleset above it.
#[derive(Debug, Clone)]
struct Example {
    page: PathBuf,
    /// Lines of the page that hold its content, from 0.
    from: usize,
    to: usize,
    case: String,
    ruleset: String,
    /// Flags.
    host: String,
    /// What `ip -j rule` and `ip -j route show table all` print.
    rules: Option<String>,
    routes: Option<String>,
    flow: String,
    engine_only: Option<String>,
    differs: Option<String>,
    /// Why the listing is not the one of the nft that is at hand.
    listing_by_hand: Option<String>,
    /// The lines that are demanded; none in a block that waits to be filled.
    expected: Vec<String>,
}

impl Example {
    fn place(&self) -> String {
        format!(
            "{}:{}: {}, flow {}",
            shown(&self.page),
            self.from + 1,
            self.case,
            self.flow
        )
    }

    /// Where it stands among all examples.
    fn order(&self) -> (PathBuf, usize) {
        (self.page.clone(), self.from)
    }

    fn needs_br_netfilter(&self) -> bool {
        self.host.contains("bridge-nf-call-iptables=1")
    }

    fn listing(&self) -> PathBuf {
        let page = self.page.file_stem().unwrap_or_default().to_string_lossy();
        folder()
            .join("cases")
            .join(format!("{page}-{}.json", self.case))
    }

    fn host(&self) -> Result<Host, String> {
        let mut host = Host::default();
        host.links
            .push(Link::named("lo", LinkKind::Loopback, Origin::Given));
        for (flag, value) in flags(&self.host)? {
            let applied = match flag.as_str() {
                "--iface" => bundle::apply_iface(&mut host, &value),
                "--bridge" => bundle::apply_bridge(&mut host, &value),
                "--route" => bundle::apply_route(&mut host, &value),
                "--sysctl" => bundle::apply_sysctl(&mut host, &value),
                "--local" => bundle::apply_flag_local(&mut host, &value),
                _ => return Err(format!("`{flag}` says nothing about a host")),
            };
            applied.map_err(|error| error.to_string())?;
        }
        let bridged = self.host.contains("--bridge");
        let parts = [
            (HostPart::Rules, self.rules.as_deref()),
            (HostPart::Routes, self.routes.as_deref()),
            (HostPart::Neighbours, bridged.then_some(BEHIND_BRIDGE)),
            (HostPart::BridgeFdb, bridged.then_some(BRIDGE_TABLE)),
        ];
        for (part, text) in parts {
            if let Some(text) = text {
                bundle::add_part(&mut host, part, "the page", text)
                    .map_err(|error| error.to_string())?;
            }
        }
        Ok(host)
    }

    fn question(&self) -> Result<Question, String> {
        let (flow, rest) = self.flow.split_once(' ').unwrap_or((&self.flow, ""));
        let flow = flow::parse(flow).map_err(|error| error.to_string())?;
        let mut question = Question::new(flow);
        for (flag, value) in flags(rest)? {
            let text = value.clone();
            let number = || text.parse().map_err(|_| format!("`{text}` is no number"));
            match flag.as_str() {
                "--iif" => question.iif = Some(value),
                "--oif" => question.oif = Some(value),
                "--in-port" => question.in_port = Some(value),
                "--mark" => {
                    question.mark = flow::parse_mark(&value).map_err(|error| error.to_string())?;
                }
                "--tcp-flags" => {
                    let flags = flow::parse_tcp_flags(&value).map_err(|error| error.to_string())?;
                    question.tcp_flags = Some(flags);
                }
                "--icmp-type" => {
                    let message = flow::parse_icmp_type(&value, flow.family)
                        .map_err(|error| error.to_string())?;
                    question.icmp = Some((message.kind, message.code.unwrap_or(0)));
                }
                "--length" => question.length = Some(number()?),
                "--uid" => question.uid = Some(u32::from(number()?)),
                "--ct-state" => {
                    question.state = match value.as_str() {
                        "established" => GivenState::Established,
                        "related" => GivenState::Related,
                        "invalid" => GivenState::Invalid,
                        "untracked" => GivenState::Untracked,
                        _ => return Err(format!("`{value}` is no state of a request")),
                    };
                }
                "--assume" => {
                    let (fact, value) = value.rsplit_once('=').unwrap_or((&value, "yes"));
                    let whole = match (fact, value) {
                        ("limit", "over") => ("the rate limit is exceeded", "yes"),
                        other => other,
                    };
                    let whole = (whole.0.to_string(), whole.1.to_string());
                    question.assume.push(whole);
                }
                _ => return Err(format!("`{flag}` says nothing about a packet")),
            }
        }
        Ok(question)
    }
}

/// Words between blanks; quotes keep blanks together.
fn words_of(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => words.push(String::new()),
            c => words.last_mut().expect("there is one").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn flags(words: &str) -> Result<Vec<(String, String)>, String> {
    let mut words = words_of(words).into_iter();
    let mut found = Vec::new();
    while let Some(flag) = words.next() {
        let value = words
            .next()
            .ok_or_else(|| format!("`{flag}` has no value"))?;
        found.push((flag.to_string(), value.to_string()));
    }
    Ok(found)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/semantics")
}

fn shown(path: &Path) -> String {
    let path = path
        .strip_prefix(env!("CARGO_MANIFEST_DIR"))
        .unwrap_or(path);
    path.display().to_string()
}

fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = fs::read_dir(folder())
        .expect("docs/semantics")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "md"))
        .filter(|path| path.file_name().is_some_and(|name| name != "README.md"))
        .collect();
    pages.sort();
    pages
}

/// All examples of a page; an error names the line that is wrong.
fn examples(page: &Path, text: &str) -> Result<Vec<Example>, String> {
    let mut found: Vec<Example> = Vec::new();
    let mut ruleset: Option<(String, String, bool)> = None;
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let wrong = |what: &str| format!("{}:{}: {what}", shown(page), at + 1);
        let Some(kind) = line.strip_prefix("```").filter(|kind| !kind.is_empty()) else {
            continue;
        };
        let content: Vec<&str> = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| *line != "```")
            .collect();
        match kind {
            "nft" => {
                if let Some((case, _, false)) = &ruleset {
                    return Err(wrong(&format!("case {case} has no `steps` block")));
                }
                let case = content
                    .first()
                    .and_then(|line| line.strip_prefix("# case: "));
                let case = case.ok_or_else(|| wrong("the first line is not `# case: NAME`"))?;
                if found.iter().any(|example| example.case == case) {
                    return Err(wrong(&format!("another case is called {case}")));
                }
                ruleset = Some((case.to_string(), content.join("\n") + "\n", false));
            }
            "steps" => {
                let Some((case, ruleset, used)) = &mut ruleset else {
                    return Err(wrong("no `nft` block stands above it"));
                };
                *used = true;
                let sibling = found.last().filter(|example| example.case == *case);
                let mut example = Example {
                    page: page.to_path_buf(),
                    from: at + 1,
                    to: at + 1 + content.len(),
                    case: case.clone(),
                    ruleset: ruleset.clone(),
                    host: sibling.map_or(HOST.to_string(), |e| e.host.clone()),
                    rules: sibling.and_then(|e| e.rules.clone()),
                    routes: sibling.and_then(|e| e.routes.clone()),
                    flow: String::new(),
                    engine_only: None,
                    differs: None,
                    listing_by_hand: sibling.and_then(|e| e.listing_by_hand.clone()),
                    expected: Vec::new(),
                };
                for line in &content {
                    let (key, value) = match line.strip_suffix(':') {
                        Some("host") => ("host", ""),
                        _ => line.split_once(": ").unwrap_or((line, "")),
                    };
                    let value = value.trim().to_string();
                    match key {
                        "host" => {
                            example.host = value.replace("DEFAULT", HOST).replace("BRIDGE", BRIDGE)
                        }
                        "rules" => example.rules = Some(value),
                        "routes" => example.routes = Some(value),
                        "flow" => example.flow = value,
                        "engine-only" => example.engine_only = Some(value),
                        "listing" => example.listing_by_hand = Some(value),
                        "differs" => example.differs = Some(value),
                        _ => example.expected.push(line.trim_end().to_string()),
                    }
                }
                if example.flow.is_empty() {
                    return Err(wrong("it has no line `flow: …`"));
                }
                found.push(example);
            }
            _ => {}
        }
    }
    Ok(found)
}

fn all_examples() -> Vec<Example> {
    let mut found = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        match examples(&page, &text) {
            Ok(examples) => found.extend(examples),
            Err(wrong) => panic!("{wrong}"),
        }
    }
    found
}

fn update() -> bool {
    std::env::var_os("UPDATE_SEMANTICS").is_some_and(|value| value == "1")
}

fn read_listing(example: &Example) -> Result<Loaded, String> {
    let path = example.listing();
    let text = fs::read_to_string(&path).map_err(|error| {
        format!(
            "{}: {error}; `UPDATE_SEMANTICS=1 cargo test --test semantics` writes it",
            shown(&path)
        )
    })?;
    load(&shown(&path), &text, &[]).map_err(|error| error.to_string())
}

/// What the engine says of an example.
fn by_engine(example: &Example) -> Result<(Loaded, Answer), String> {
    let loaded = read_listing(example)?;
    let hooks = Hooks::new(&loaded.ruleset);
    let answer = explain(&loaded, &hooks, &example.host()?, &example.question()?)
        .map_err(|error| error.to_string())?;
    Ok((loaded, answer))
}

/// The engine's answer in the words of a page.
fn engine_lines(example: &Example, answer: &Answer) -> Vec<String> {
    let report = &answer.report;
    let mut lines = vec!["request:".to_string()];
    path_lines(&mut lines, &report.request);
    if let Some(answer) = &report.request.answer {
        let mut section = Vec::new();
        path_lines(&mut section, answer);
        if section.len() > 1 || example.expected.iter().any(|line| line == ANSWER) {
            lines.push(ANSWER.into());
            lines.extend(section);
        }
    }
    if let Some(reply) = &report.reply {
        lines.push("reply:".into());
        path_lines(&mut lines, reply);
    }
    lines.push(format!("verdict: {}", report.verdict.name()));
    if example.expected.iter().any(|line| is_about_facts(line)) {
        for assumption in &report.assumptions {
            lines.push(format!(
                "assumed: {} ({})",
                assumption.words, assumption.source
            ));
        }
        for other in &report.alternatives {
            let unusual = if other.unusual { "unusual, " } else { "" };
            lines.push(format!(
                "otherwise: {} when {unusual}{}",
                other.verdict.name(),
                other.when.join(", and ")
            ));
        }
    }
    lines
}

fn is_about_facts(line: &str) -> bool {
    ["assumed: ", "otherwise: "]
        .iter()
        .any(|start| line.starts_with(start))
}

fn path_lines(lines: &mut Vec<String>, path: &PathReport) {
    for step in &path.steps {
        match &step.kind {
            StepKind::Rule(rule) if rule.matched => {
                let at = &rule.at;
                let (family, table, chain) = (at.family.name(), &at.table, &at.chain);
                let (text, verdict) = (&rule.text, &rule.verdict);
                lines.push(format!(
                    "{family} {table} {chain} rule {text} (verdict {verdict})"
                ));
            }
            StepKind::Policy {
                family,
                table,
                chain,
                accept,
            } => {
                let family = family.name();
                let policy = if *accept { "accept" } else { "drop" };
                lines.push(format!("{family} {table} {chain} policy {policy}"));
            }
            _ => {}
        }
    }
    let end = path.disposition;
    lines.push(match &path.unknown {
        _ if ALIVE.contains(&end) => {
            let by = (end != "local").then(|| left_by(&path.output));
            format!(
                "{end} {}{}",
                report_ends(&path.output),
                by.unwrap_or_default()
            )
        }
        Some((because, _)) => format!("{end}: {because}"),
        None => end.to_string(),
    });
}

fn left_by(packet: &Packet) -> String {
    let device = packet.out_port.as_ref().or(packet.oif.as_ref());
    format!(" by {}", device.map_or("?", |device| device.text()))
}

fn report_ends(packet: &Packet) -> String {
    let end = |address: &nfpath::report::Field, port: &Option<nfpath::report::Field>| {
        let has_ports = matches!(packet.proto, 6 | 17 | 33 | 132 | 136);
        match port.as_ref().filter(|_| has_ports) {
            None => address.text().to_string(),
            Some(port) if address.text().contains(':') => {
                format!("[{}]:{}", address.text(), port.text())
            }
            Some(port) => format!("{}:{}", address.text(), port.text()),
        }
    };
    format!(
        "{} -> {}",
        end(&packet.src, &packet.sport),
        end(&packet.dst, &packet.dport)
    )
}

/// What the kernel did with an example, and how its nft lists the ruleset.
fn by_kernel(
    lab: &mut Lab,
    facts: &Host,
    example: &Example,
    loaded: &Loaded,
    answer: &Answer,
) -> Result<(Verified, String), String> {
    let said = |error: LabError| error.to_string();
    let words = Words(vec![Part::Nft(example.ruleset.clone())]);
    let listing = lab.load(&words).map_err(said)?;
    let theirs = load("the lab", &listing, &[]).map_err(|error| error.to_string())?;
    let place_of = |family: &str, table: &str, chain: &str, handle: u64| {
        let index = rules_of(&theirs, family, table, chain)
            .iter()
            .position(|rule| theirs.ruleset.rule(*rule).handle.0 == handle);
        let own = rules_of(loaded, family, table, chain);
        let own = index.and_then(|index| own.get(index));
        Place {
            handle: own.map_or(Handle(handle), |own| loaded.ruleset.rule(*own).handle),
            index: index.map_or(u32::MAX, |index| index as u32),
        }
    };
    let mut question = example.question()?;
    match question.flow.proto {
        6 => drop(question.tcp_flags.get_or_insert(2)),
        1 => drop(question.icmp.get_or_insert((8, 0))),
        58 => drop(question.icmp.get_or_insert((128, 0))),
        _ => {}
    }
    let by = question.in_port.clone().or(question.iif.clone());
    let entry = by.or(answer.report.flow.iif.clone());
    let opening = kernel::opening(lab, &question, entry.as_deref()).map_err(said)?;
    let conversation = converse(lab, &opening).map_err(said)?;
    let hooks = Hooks::new(&loaded.ruleset);
    let (verified, _) = kernel::compare(
        loaded,
        &hooks,
        facts,
        &question,
        &opening,
        &conversation,
        place_of,
    )
    .map_err(said)?;
    Ok((verified, listing))
}

fn rules_of<'a>(loaded: &'a Loaded, family: &str, table: &str, chain: &str) -> &'a [RuleId] {
    let ruleset = &loaded.ruleset;
    let is_it = |candidate: &&Chain| {
        let home = ruleset.table(candidate.table);
        home.family.name() == family && home.name == table && candidate.name == chain
    };
    ruleset.chains.iter().find(is_it).map_or(&[], |c| &c.rules)
}

/// A way as lines of a page; `end` is the word for how it ends.
fn way_lines(loaded: &Loaded, host: &Host, way: &Way, end: &str) -> Vec<String> {
    let ruleset = &loaded.ruleset;
    let sources = Sources {
        ruleset,
        document: &loaded.document,
        meanings: &loaded.meanings,
        host,
    };
    let mut lines: Vec<String> = way
        .lines
        .iter()
        .map(|line| {
            let start = format!("{} {} {}", line.family, line.table, line.chain);
            let Some(place) = line.rule else {
                return format!("{start} policy {}", line.verdict);
            };
            let rules = rules_of(loaded, &line.family, &line.table, &line.chain);
            let rule = rules.get(place.index as usize).copied();
            let text = rule.map_or("?".to_string(), |rule| rule_text(sources, rule));
            format!("{start} rule {text} (verdict {})", line.verdict)
        })
        .collect();
    lines.push(match &way.end {
        End::Left { device, ends } => format!(
            "{end} {} by {}",
            ends_text(ends),
            device.as_deref().unwrap_or("?")
        ),
        End::Local { ends } => format!("{end} {}", ends_text(ends)),
        End::Gone { .. } | End::Open { .. } => end.to_string(),
    });
    lines
}

fn ends_text(ends: &Ends) -> String {
    let end = |ip: Option<std::net::IpAddr>, port: Option<u16>| match (ip, port) {
        (Some(ip), Some(port)) => SocketAddr::new(ip, port).to_string(),
        (Some(ip), None) => ip.to_string(),
        (None, _) => "?".into(),
    };
    format!(
        "{} -> {}",
        end(ends.src, ends.sport),
        end(ends.dst, ends.dport)
    )
}

/// The word for how a way of the kernel ends: the wanted one, if it can be that.
fn end_word(way: &Way, wanted: Option<&str>) -> String {
    let wanted = wanted.unwrap_or_default();
    let fits = match &way.end {
        End::Left { .. } => ALIVE.contains(&wanted) && wanted != "local",
        End::Local { .. } => wanted == "local",
        End::Gone { .. } | End::Open { .. } => !ALIVE.contains(&wanted) && !wanted.is_empty(),
    };
    match (&way.end, fits) {
        (_, true) => wanted.to_string(),
        (End::Left { .. }, false) => "sent".into(),
        (End::Local { .. }, false) => "local".into(),
        (End::Gone { .. } | End::Open { .. }, false) => "gone".into(),
    }
}

/// The lines of one packet in what a page demands, and the word of its end.
fn demanded<'a>(expected: &'a [String], heading: &str) -> (&'a [String], Option<&'a str>) {
    let Some(start) = expected.iter().position(|line| line == heading) else {
        return (&[], None);
    };
    let rest = &expected[start + 1..];
    let end = rest
        .iter()
        .position(|line| line == "reply:" || line == ANSWER || line.starts_with("verdict: "))
        .unwrap_or(rest.len());
    let word = rest[..end].last().and_then(|line| line.split(' ').next());
    (&rest[..end], word)
}

/// The kernel's lines of an example, ends in the words of `wanted`; no reply where the lab sent none.
fn kernel_lines(
    loaded: &Loaded,
    host: &Host,
    verified: &Verified,
    wanted: &[String],
) -> Vec<String> {
    let mut lines = Vec::new();
    let pairs = [
        ("request:", Some(&verified.request)),
        (ANSWER, verified.answer.as_ref()),
        ("reply:", verified.reply.as_ref()),
    ];
    for (heading, pair) in pairs {
        let Some(pair) = pair else { continue };
        // an answer that passed no chain is told where a page asks for it
        let demands = wanted.iter().any(|line| line == heading);
        if heading == ANSWER && pair.kernel.lines.is_empty() && !demands {
            continue;
        }
        lines.push(heading.to_string());
        let (_, word) = demanded(wanted, heading);
        let word = end_word(&pair.kernel, word);
        lines.extend(way_lines(loaded, host, &pair.kernel, &word));
    }
    lines
}

/// The first line in which two lists differ, in words.
fn difference(page: &[String], other: &[String], whose: &str) -> Option<String> {
    let rows = page.len().max(other.len());
    let row = (0..rows).find(|&row| page.get(row) != other.get(row))?;
    let line = |lines: &[String]| lines.get(row).map_or("(nothing)".into(), String::clone);
    let before = row
        .checked_sub(1)
        .map(|row| format!("  after    {}\n", page[row]));
    let mut text = before.unwrap_or_default();
    let _ = writeln!(text, "  page     {}", line(page));
    let _ = writeln!(text, "  {whose:<8} {}", line(other));
    Some(text)
}

/// Without what changes from host to host.
fn plain_listing(text: &str) -> Result<Value, String> {
    let mut value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let objects = value["nftables"].as_array_mut().ok_or("no listing")?;
    objects.retain(|object| object.get("metainfo").is_none());
    for object in objects.iter_mut().filter_map(Value::as_object_mut) {
        for (_, body) in object.iter_mut() {
            if let Some(body) = body.as_object_mut() {
                body.remove("handle");
            }
        }
    }
    Ok(value)
}

#[test]
fn the_engine_does_what_the_pages_say() {
    if update() {
        return;
    }
    let mut wrong = String::new();
    let examples = all_examples();
    for example in &examples {
        let found = by_engine(example).map(|(_, answer)| {
            difference(&example.expected, &engine_lines(example, &answer), "engine")
        });
        let problem = match (found, &example.differs) {
            (Err(error), _) => format!("  {error}\n"),
            (Ok(Some(text)), None) => text,
            (Ok(None), Some(_)) => "  it is marked `differs`, and does not differ\n".into(),
            (Ok(None), None) | (Ok(Some(_)), Some(_)) => continue,
        };
        let _ = writeln!(wrong, "{}\n{problem}", example.place());
    }
    assert!(examples.len() > 150, "{} examples found", examples.len());
    assert!(wrong.is_empty(), "pages and engine differ\n\n{wrong}");
}

/// Every listing belongs to a case, and every page is in the list of pages.
#[test]
fn nothing_is_left_over() {
    let examples = all_examples();
    let files = support::files_below(&folder().join("cases"), "");
    let left: Vec<String> = files
        .iter()
        .filter(|file| !examples.iter().any(|example| example.listing() == **file))
        .map(|file| shown(file))
        .collect();
    assert!(left.is_empty(), "no case for {}", left.join(", "));
    let index = fs::read_to_string(folder().join("README.md")).expect("the list of pages");
    for page in pages() {
        let name = page.file_name().unwrap_or_default().to_string_lossy();
        assert!(index.contains(&format!("({name})")), "{name} is not listed");
    }
}

#[test]
fn a_kernel_does_what_the_pages_say() {
    if !kernel_or_skip("a_kernel_does_what_the_pages_say") {
        return;
    }
    if update() {
        let listings = catch_unwind(write_listings);
        fill();
        if let Err(panic) = listings {
            resume_unwind(panic);
        }
        return;
    }
    let mut groups: Vec<(Host, Vec<&Example>)> = Vec::new();
    let examples = all_examples();
    let mut wrong = BTreeMap::new();
    let bridged = br_netfilter_or_skip(&examples);
    for example in examples.iter().filter(|e| e.engine_only.is_none()) {
        if example.needs_br_netfilter() && !bridged {
            continue;
        }
        match by_engine(example) {
            Err(error) => {
                let text = format!("{}\n  {error}\n", example.place());
                wrong.insert(example.order(), text);
            }
            Ok((_, answer)) => match groups.iter_mut().find(|(host, _)| *host == answer.host) {
                Some((_, members)) => members.push(example),
                None => groups.push((answer.host, vec![example])),
            },
        }
    }
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(wrong);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((host, members)) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for (example, problem) in in_one_lab(host, members) {
                        let text = format!("{}\n{problem}", example.place());
                        wrong.lock().expect("a list").insert(example.order(), text);
                    }
                }
            });
        }
    });
    let wrong: Vec<String> = wrong.into_inner().expect("a list").into_values().collect();
    assert!(
        wrong.is_empty(),
        "pages and kernel differ\n\n{}",
        wrong.join("\n")
    );
}

/// Whether bridges can call the IP hooks here; says aloud how many examples are skipped otherwise.
fn br_netfilter_or_skip(examples: &[Example]) -> bool {
    let ready = Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables").exists();
    if !ready {
        let count = examples.iter().filter(|e| e.needs_br_netfilter()).count();
        let missing = format!("{count} examples need the module br_netfilter");
        if std::env::var_os("NFPATH_KERNEL").is_some_and(|value| value == "require") {
            panic!("{missing}, and NFPATH_KERNEL=require");
        }
        eprintln!("SKIPPED {missing}");
    }
    ready
}

/// Runs the examples of one host; what is wrong with which.
fn in_one_lab<'a>(host: &Host, members: &[&'a Example]) -> Vec<(&'a Example, String)> {
    let all = |error: String| {
        let problem = format!("  {error}\n");
        members.iter().map(|e| (*e, problem.clone())).collect()
    };
    let found = kernel::in_a_lab(|| {
        let mut lab = Lab::build(host).map_err(|error| error.to_string())?;
        let facts = lab.facts().map_err(|error| error.to_string())?;
        let check = |example: &&'a Example| {
            let problem = check_by_kernel(&mut lab, &facts, example).err()?;
            Some((*example, problem))
        };
        Ok(members.iter().filter_map(check).collect())
    });
    match found {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => all(error),
        Err(error) => all(error.to_string()),
    }
}

fn check_by_kernel(lab: &mut Lab, facts: &Host, example: &Example) -> Result<(), String> {
    let words = |error: String| format!("  {error}\n");
    let (loaded, answer) = by_engine(example).map_err(words)?;
    let (verified, listing) = by_kernel(lab, facts, example, &loaded, &answer).map_err(words)?;
    let kept = fs::read_to_string(example.listing()).map_err(|e| words(e.to_string()))?;
    let now = plain_listing(&listing).map_err(words)?;
    let kept = plain_listing(&kept).map_err(words)?;
    if now != kept && example.listing_by_hand.is_none() {
        let pretty = |value: &Value| format!("{value:#}").lines().map(String::from).collect();
        let (kept, now): (Vec<String>, Vec<String>) = (pretty(&kept), pretty(&now));
        return Err(format!(
            "  {} is not what nft lists; `UPDATE_SEMANTICS=1 cargo test --test semantics` writes it again\n{}",
            shown(&example.listing()),
            difference(&kept, &now, "nft").unwrap_or_default()
        ));
    }
    let lines = kernel_lines(&loaded, facts, &verified, &example.expected);
    let end = |line: &String| line.starts_with("verdict: ") || is_about_facts(line);
    let mut page: Vec<String> = example
        .expected
        .iter()
        .filter(|l| !end(l))
        .cloned()
        .collect();
    if verified.reply.is_none() && verified.notes.iter().any(|note| note.contains("no answer")) {
        // the lab cannot answer this packet
        let reply = page.iter().position(|line| line == "reply:");
        page.truncate(reply.unwrap_or(page.len()));
    }
    if let Some(text) = difference(&page, &lines, "kernel") {
        return Err(text);
    }
    match (&verified.agreement, &example.differs) {
        (Agreement::Yes, None) | (Agreement::No | Agreement::Unknown(_), Some(_)) => Ok(()),
        (Agreement::Yes, Some(_)) => Err("  it is marked `differs`, and does not differ\n".into()),
        (agreement, None) => Err(format!("  verify says {agreement:?}\n")),
    }
}

fn write_listings() {
    let mut wrong = String::new();
    for example in all_examples() {
        let path = example.listing();
        if example.listing_by_hand.is_some() && path.exists() {
            continue;
        }
        let json = match nft_tool::convert(&example.ruleset) {
            Ok(converted) => converted.json,
            Err(error) => {
                let _ = writeln!(wrong, "{}: {error}", example.place());
                continue;
            }
        };
        let kept = fs::read_to_string(&path).ok();
        let same = kept.is_some_and(|kept| {
            let both = (plain_listing(&kept), plain_listing(&json));
            matches!(both, (Ok(kept), Ok(json)) if kept == json)
        });
        if !same {
            fs::write(&path, json.trim_end().to_string() + "\n").expect("a listing");
        }
    }
    assert!(wrong.is_empty(), "some listings are not written\n\n{wrong}");
}

/// Blocks without lines get what the kernel did (and without a kernel for it, nothing).
fn fill() {
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
        let found = examples(&page, &text).unwrap_or_default();
        for example in found.iter().rev().filter(|e| e.expected.is_empty()) {
            let filled = read_listing(example).and_then(|loaded| {
                let (_, answer) = by_engine(example)?;
                let engine = engine_lines(example, &answer);
                if example.engine_only.is_some() {
                    return Err(format!(
                        "only the engine can, and says\n{}",
                        engine.join("\n")
                    ));
                }
                let (verified, facts) = kernel::in_a_lab(|| {
                    let mut lab = Lab::build(&answer.host).map_err(|e| e.to_string())?;
                    let facts = lab.facts().map_err(|e| e.to_string())?;
                    let (verified, _) = by_kernel(&mut lab, &facts, example, &loaded, &answer)?;
                    Ok::<_, String>((verified, facts))
                })
                .map_err(|error| error.to_string())??;
                let mut lines = kernel_lines(&loaded, &facts, &verified, &engine);
                lines.extend(
                    engine
                        .last()
                        .filter(|l| l.starts_with("verdict: "))
                        .cloned(),
                );
                for note in &verified.notes {
                    eprintln!("{}: {note}", example.place());
                }
                if verified.agreement != Agreement::Yes {
                    eprintln!(
                        "{}: model and kernel: {:?}",
                        example.place(),
                        verified.agreement
                    );
                }
                Ok(lines)
            });
            match filled {
                Ok(new) => drop(lines.splice(example.to..example.to, new)),
                Err(error) => eprintln!("{}: not filled: {error}", example.place()),
            }
        }
        let new = lines.join("\n") + "\n";
        if new != text {
            fs::write(&page, new).expect("a page");
        }
    }
}
