//! Every captured ruleset with its host, through the engine and through a kernel: a handful of flows each.
//!
//! Flows are made from the host's own addresses and published ports. What a kernel here cannot be asked has to stand in
//! the table of docs/verification.md, and nothing else may stand there. Without captures or kernel it says aloud that
//! it skips; `NFPATH_KERNEL=require` makes a skip for want of a kernel a failure.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use nfpath::explain::{Question, explain};
use nfpath::flow;
use nfpath::hooks::Hooks;
use nfpath::host::{Host, LinkKind, Scope};
use nfpath::iptables::Family;
use nfpath::kernel::{self, Agreement, Verified};
use nfpath::load::{Loaded, SaveText, TextOf, load_with_text};
use nfpath::remedy::{Asked, remedy};
use nfpath::report::Verdict;
use nfpath::report::remedy::Status;
use support::{kernel_or_skip, shared_or_skip};

/// How often a flow is sent that differs: under load the lab may be too slow to see a packet; a wrong model is wrong
/// each time.
const ATTEMPTS: usize = 3;
/// Flows of one kind for each ruleset, at most.
const OF_A_KIND: usize = 2;

fn saves_of(folder: &Path) -> Vec<SaveText> {
    let files = [
        ("iptables-save.txt", Family::Ip),
        ("ip6tables-save.txt", Family::Ip6),
    ];
    files
        .into_iter()
        .filter_map(|(name, family)| {
            Some(SaveText {
                source: name.into(),
                text: fs::read_to_string(folder.join(name)).ok()?,
                of: TextOf::Iptables(family),
            })
        })
        .collect()
}

/// The address that many behind this one, of a neighbour.
fn behind(ip: IpAddr, by: u8) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() + u32::from(by)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() + u128::from(by)).into(),
    }
}

/// Protocol and port of the lines that translate the destination, in either syntax.
fn published(folder: &Path) -> Vec<(&'static str, u16)> {
    let mut found = Vec::new();
    for name in ["ruleset.nft", "iptables-save.txt"] {
        let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
        for line in text.lines() {
            let lower = line.to_lowercase();
            if !lower.contains("dnat") && !lower.contains("redirect") {
                continue;
            }
            let mut words = lower.split_whitespace();
            let port = words
                .by_ref()
                .skip_while(|word| !word.ends_with("dport"))
                .nth(1);
            let Some(port) = port.and_then(|port| port.parse().ok()) else {
                continue;
            };
            let proto = ["tcp", "udp"]
                .into_iter()
                .find(|proto| lower.contains(proto));
            if let Some(proto) = proto
                && !found.contains(&(proto, port))
            {
                found.push((proto, port));
            }
        }
    }
    found.truncate(OF_A_KIND);
    found
}

/// Interface and words of each flow.
fn flows(folder: &Path, host: &Host) -> Vec<(Option<String>, String)> {
    let mut flows = Vec::new();
    let bridge = |dev: &str| {
        host.link(dev)
            .is_some_and(|link| link.kind == LinkKind::Bridge)
    };
    let of = |v4: bool, bridges: bool| {
        host.addresses
            .iter()
            .filter(|a| a.ip.is_ipv4() == v4 && a.scope == Scope::GLOBAL && !a.ip.is_loopback())
            .filter(move |a| bridge(&a.dev) == bridges)
            .collect::<Vec<_>>()
    };
    let (outer, bridges) = (of(true, false), of(true, true));
    let mut add = |iif: Option<&str>, words: String| flows.push((iif.map(str::to_string), words));
    let Some(first) = outer.first() else {
        return flows;
    };
    let (own, dev) = (first.ip, first.dev.as_str());
    let client = behind(own, 7);
    add(Some(dev), format!("tcp:{client}:40000->{own}:22"));
    add(Some(dev), format!("icmp:{client}->{own}"));
    add(None, "tcp:->198.51.100.77:443".to_string());
    for (proto, port) in published(folder) {
        add(Some(dev), format!("{proto}:{client}:40001->{own}:{port}"));
    }
    for other in outer.iter().skip(1).take(OF_A_KIND) {
        let (inside, name) = (behind(other.ip, 5), other.dev.as_str());
        add(Some(dev), format!("tcp:{client}:40002->{inside}:80"));
        add(Some(name), format!("udp:{inside}:40003->{client}:53"));
    }
    // a bridge without a port has no container
    let inhabited = |dev: &str| {
        host.links
            .iter()
            .any(|link| host.bridge_of(&link.name) == Some(dev))
    };
    let bridges: Vec<_> = bridges
        .into_iter()
        .filter(|net| inhabited(&net.dev))
        .collect();
    for net in bridges.iter().take(OF_A_KIND) {
        let (container, name) = (behind(net.ip, 1), net.dev.as_str());
        add(Some(name), format!("udp:{container}:40004->{client}:53"));
        let sibling = behind(net.ip, 2);
        add(Some(name), format!("tcp:{container}:40005->{sibling}:80"));
        if let Some(other) = bridges.iter().find(|other| other.dev != net.dev) {
            let other = behind(other.ip, 1);
            add(Some(name), format!("tcp:{container}:40006->{other}:80"));
        }
    }
    if let Some(first) = of(false, false).first() {
        let (own, dev) = (first.ip, first.dev.as_str());
        let client = behind(own, 7);
        add(Some(dev), format!("tcp:[{client}]:40007->[{own}]:22"));
        add(Some(dev), format!("icmp6:{client}->{own}"));
    }
    flows
}

fn load(folder: &Path, saves: &[SaveText]) -> Loaded {
    let read = |name| fs::read_to_string(folder.join(name));
    let json = read("ruleset.json").expect("a listing");
    let text = read("ruleset-handles.nft").unwrap_or_default();
    load_with_text("ruleset.json", &json, text, saves).expect("a listing")
}

/// The first column of the table in docs/verification.md: rulesets that a kernel here cannot be asked about.
fn listed() -> BTreeMap<String, String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verification.md");
    let page = fs::read_to_string(page).expect("docs/verification.md");
    let section = page
        .split("### Captured rulesets that cannot be verified")
        .nth(1)
        .unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    section
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let name = cells.next()?.trim_end_matches('`').to_string();
            let why = cells.next()?.trim_end_matches(" |").to_string();
            Some((name, why))
        })
        .collect()
}

/// The folders of captured rulesets.
fn rulesets(shared: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<_> = fs::read_dir(shared.join("corpus"))
        .expect("the corpus")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("ruleset.json").exists())
        .collect();
    folders.sort();
    folders
}

#[test]
fn captured_hosts_do_in_a_kernel_what_the_model_says() {
    let test = "captured_hosts_do_in_a_kernel_what_the_model_says";
    let Some(shared) = shared_or_skip(test) else {
        return;
    };
    if !kernel_or_skip(test) {
        return;
    }
    let folders = rulesets(&shared);
    let (mut agreed, mut open, mut wrong) = (0, 0, Vec::new());
    let mut cannot: BTreeMap<String, String> = BTreeMap::new();
    for folder in &folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let saves = saves_of(folder);
        let loaded = load(folder, &saves);
        let host = support::host_listings::host_of(folder).0;
        let words = match kernel::words(&loaded, None, &saves) {
            Ok(words) => words,
            Err(error) => {
                cannot.insert(name.into(), error.to_string());
                continue;
            }
        };
        for (iif, words_of_flow) in flows(folder, &host) {
            let mut question = Question::new(flow::parse(&words_of_flow).expect("a flow"));
            question.iif = iif;
            question.uid = question.iif.is_none().then_some(0);
            let once = || {
                kernel::in_a_lab(|| kernel::verify(&loaded, &words, &host, &question))
                    .and_then(|verified| verified)
            };
            let mut verified = once();
            for _ in 1..ATTEMPTS {
                let differs = |v: &Verified| v.agreement == Agreement::No;
                if !verified.as_ref().is_ok_and(differs) {
                    break;
                }
                eprintln!("again: {name} {words_of_flow}");
                verified = once();
            }
            match verified {
                Err(error) => {
                    cannot.insert(name.to_string(), format!("{words_of_flow}: {error}"));
                    break;
                }
                Ok(verified) => match &verified.agreement {
                    Agreement::Yes => agreed += 1,
                    Agreement::Unknown(why) => {
                        open += 1;
                        eprintln!("open: {name} {words_of_flow}: {why}");
                    }
                    Agreement::No => wrong.push(format!(
                        "{name} {words_of_flow}\n{}",
                        kernel::side_by_side::text(&verified, 160)
                    )),
                },
            }
        }
    }
    println!(
        "{} rulesets, {agreed} flows agree, {open} open, {} differ, {} rulesets cannot be verified: {cannot:#?}",
        folders.len(),
        wrong.len(),
        cannot.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(agreed > 100, "only {agreed} flows agree");
    let listed: Vec<String> = listed().into_keys().collect();
    let cannot_names: Vec<&String> = cannot.keys().collect();
    assert_eq!(
        cannot_names,
        listed.iter().collect::<Vec<_>>(),
        "the table of docs/verification.md lists what cannot be verified\n{cannot:#?}"
    );
}

/// Dropped flows of one ruleset whose remedies are tried, at most.
const DROPS_OF_A_RULESET: usize = 4;

#[test]
fn with_their_remedies_the_dropped_flows_of_captured_hosts_pass_in_a_kernel() {
    let test = "with_their_remedies_the_dropped_flows_of_captured_hosts_pass_in_a_kernel";
    let Some(shared) = shared_or_skip(test) else {
        return;
    };
    if !kernel_or_skip(test) {
        return;
    }
    let folders = rulesets(&shared);
    let (mut passed, mut open, mut wrong) = (0, Vec::new(), Vec::new());
    for folder in &folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let saves = saves_of(folder);
        let loaded = load(folder, &saves);
        let host = support::host_listings::host_of(folder).0;
        // what cannot be loaded is listed by the test above
        let Ok(words) = kernel::words(&loaded, None, &saves) else {
            continue;
        };
        let hooks = Hooks::new(&loaded.ruleset);
        let mut drops = 0;
        for (iif, words_of_flow) in flows(folder, &host) {
            let mut question = Question::new(flow::parse(&words_of_flow).expect("a flow"));
            question.iif = iif;
            question.uid = question.iif.is_none().then_some(0);
            let Ok(answer) = explain(&loaded, &hooks, &host, &question) else {
                continue;
            };
            if answer.report.verdict == Verdict::Accept || drops == DROPS_OF_A_RULESET {
                continue;
            }
            drops += 1;
            let place = format!("{name} {words_of_flow}");
            let (advice, amendments) = remedy(Asked {
                loaded: &loaded,
                host: &host,
                question: &question,
                answer: &answer,
                has_handles: false,
            });
            if advice.status != Status::Found {
                let remains = advice.remains.unwrap_or_default();
                open.push(format!("{place}: {}: {remains}", advice.status.name()));
                continue;
            }
            for (found, amendment) in advice.remedies.iter().zip(&amendments) {
                let (amended, host) = amendment.applied(&loaded, &host);
                let mut words = words.clone();
                words.0.extend(
                    found
                        .nft
                        .iter()
                        .map(|nft| kernel::Part::NftJson(nft.to_string())),
                );
                let once = || {
                    kernel::in_a_lab(|| kernel::verify(&amended, &words, &host, &question))
                        .and_then(|verified| verified)
                };
                let differs = |v: &Verified| v.agreement == Agreement::No;
                let mut verified = once();
                for _ in 1..ATTEMPTS {
                    if verified.as_ref().is_ok_and(differs) {
                        verified = once();
                    }
                }
                match verified {
                    Err(error) => open.push(format!("{place}: {error}")),
                    Ok(verified) => match &verified.agreement {
                        Agreement::Yes => passed += 1,
                        Agreement::Unknown(why) => open.push(format!("{place}: {why}")),
                        Agreement::No => wrong.push(format!(
                            "{place}\n{:#?}\n{}",
                            amendment.insertions,
                            kernel::side_by_side::text(&verified, 160)
                        )),
                    },
                }
            }
        }
    }
    println!("{passed} remedies pass in a kernel, open: {open:#?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let no_rule_can = [
        "ends as no-route",
        "ends as same-port",
        "nothing can be promised",
    ];
    let open: Vec<&String> = open
        .iter()
        .filter(|why| !no_rule_can.iter().any(|known| why.contains(known)))
        .collect();
    assert!(open.is_empty(), "{open:#?}");
    assert!(passed > 80, "only {passed} remedies");
}
