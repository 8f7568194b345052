//! Damaged inputs: one target for each reader, on a stable toolchain.
//!
//! What a reader makes of a damaged text is carried on: lowered, walked by one flow, written as text. A panic, a case of
//! more than two seconds, and one that takes a gigabyte are failures; the input is then in the message's file. Each case
//! is made from its target's name and its number alone. `NFPATH_FUZZ_SECONDS=N` runs each target for N seconds,
//! `NFPATH_FUZZ_CASE=N` runs one case.

#[path = "fuzz/mutate.rs"]
mod mutate;
mod support;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nfpath::explain::{Question, explain};
use nfpath::flow;
use nfpath::graph::HookGraph;
use nfpath::hooks::Hooks;
use nfpath::host::{Host, Link, LinkKind, Origin};
use nfpath::load::bundle::{self, HostPart};
use nfpath::load::{
    Loaded, SaveText, TextOf, load, load_listing_text, load_with, load_with_text, nft_words,
};
use nfpath::nft::print;
use nfpath::render::{dot, json, text};
use nfpath::report::{ContextInfo, Report, RulesetInfo, build};
use nfpath::{iptables, load::sysctl, trace};

use mutate::Numbers;
use support::testdata;

/// How long one case may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// After this the run is ended from outside.
const STUCK: u64 = 60;
/// Memory that one case may take, in bytes.
const MOST: u64 = 1 << 30;

fn seed(path: &str) -> String {
    fs::read_to_string(testdata(path)).expect("a seed")
}

/// Runs a target's cases: so many, or for as long as asked.
fn fuzz(target: &str, cases: u64, case: impl Fn(&mut Numbers) -> String, run: impl Fn(&str)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let seconds = number("NFPATH_FUZZ_SECONDS");
    let only = number("NFPATH_FUZZ_CASE");
    let name = target
        .bytes()
        .fold(0u64, |sum, byte| sum.wrapping_mul(131) + u64::from(byte));
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let running = Arc::new(AtomicU64::new(0));
    let watch = Arc::downgrade(&running);
    let (label, begin) = (target.to_string(), Instant::now());
    std::thread::spawn(move || {
        while let Some(running) = watch.upgrade() {
            let since = running.load(Ordering::Relaxed);
            drop(running);
            if since > 0 && begin.elapsed().as_secs().saturating_sub(since) > STUCK {
                eprintln!("{label}: a case does not end; it is in the folder of the tests");
                std::process::abort();
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    let mut at = only.unwrap_or(0);
    loop {
        let over = match (only, end) {
            (Some(only), _) => at > only,
            (None, Some(end)) => Instant::now() > end,
            (None, None) => at == cases,
        };
        if over {
            break;
        }
        let input = case(&mut Numbers::new(
            name ^ at.wrapping_mul(0xd134_2543_de82_ef95),
        ));
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{target}"));
        let blame = |what: &str| -> ! {
            let _ = fs::write(&file, &input);
            panic!(
                "{target}: case {at} {what}; its input is {}, `NFPATH_FUZZ_CASE={at}` runs it again",
                file.display()
            )
        };
        if only.is_some() || end.is_some() {
            let _ = fs::write(&file, &input);
        }
        running.store(begin.elapsed().as_secs().max(1), Ordering::Relaxed);
        let before = peak();
        let start = Instant::now();
        let ran = catch_unwind(AssertUnwindSafe(|| run(&input)));
        if ran.is_err() {
            blame("panics");
        }
        // a busy machine may have been the reason: once more
        if start.elapsed() > PATIENCE {
            let again = Instant::now();
            run(&input);
            if again.elapsed() > PATIENCE {
                blame(&format!("takes {:?}", again.elapsed()));
            }
        }
        if peak().saturating_sub(before) > MOST {
            blame("takes more than a gigabyte");
        }
        running.store(0, Ordering::Relaxed);
        at += 1;
    }
    eprintln!("{target}: {at} cases in {:?}", begin.elapsed());
}

/// The most memory that this process had, in bytes; 0 where the kernel does not say.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// A host on which the flow below goes through.
fn a_host() -> Host {
    let mut host = Host::default();
    for (name, kind) in [
        ("lo", LinkKind::Loopback),
        ("eth0", LinkKind::Physical),
        ("eth1", LinkKind::Physical),
    ] {
        host.links.push(Link::named(name, kind, Origin::Given));
    }
    for iface in ["eth0=10.0.0.1/24,fd00::1/64", "eth1=10.1.0.1/24"] {
        bundle::apply_iface(&mut host, iface).expect("an interface");
    }
    bundle::apply_sysctl(&mut host, "net.ipv4.ip_forward=1").expect("a setting");
    host
}

/// Uses what was read as `nfpath explain`, `show` and `graph` do.
fn use_it(loaded: &Loaded, host: &Host) {
    let ruleset = &loaded.ruleset;
    let hooks = Hooks::new(ruleset);
    let graph = HookGraph::new(ruleset, &hooks);
    dot::dot(&graph, ruleset, &dot::Options::default());
    print::document(&loaded.document);
    let question = Question::new(flow::parse("tcp:10.0.0.2:40000->10.1.0.2:80").expect("a flow"));
    let Ok(answer) = explain(loaded, &hooks, host, &question) else {
        return;
    };
    let report = Report {
        ruleset: RulesetInfo {
            unknown: build::unknown_parts(ruleset),
            ..RulesetInfo::default()
        },
        context: ContextInfo::default(),
        flows: vec![answer.report],
        diagnostics: loaded.diagnostics.clone(),
    };
    let options = text::Options {
        width: 80,
        verbose: true,
        color: false,
        unicode: true,
        hints: true,
    };
    text::report(&report, &options);
    json::report(&report, false);
}

/// A ruleset to put a damaged host to.
fn a_ruleset() -> Loaded {
    load("seed", &seed("small/dnat-loopback/ruleset.json"), &[]).expect("a listing")
}

#[test]
fn nft_json() {
    let seeds = [
        seed("nft-json/kinds.json"),
        seed("nft-json/unknown.json"),
        seed("small/dnat-loopback/ruleset.json"),
        seed("c2/appended/ruleset.json"),
    ];
    let host = a_host();
    fuzz(
        "nft-json",
        400,
        |numbers| mutate::json(&seeds[numbers.below(seeds.len())], numbers),
        |input| {
            if let Ok(loaded) = load("fuzz", input, &[]) {
                use_it(&loaded, &host);
            }
        },
    );
}

#[test]
fn listing_text() {
    let listing = seed("small/dnat-loopback/ruleset.json");
    let text = seed("small/dnat-loopback/ruleset.nft")
        + "table netdev n {\n\tflags dormant;\n\tchain c {\n\t\ttype filter hook ingress devices = { \"eth0\", lo } priority 0; policy accept;\n\t}\n}\n";
    fuzz(
        "listing-text",
        400,
        |numbers| mutate::text(&text, numbers),
        |input| {
            let loaded = load_with_text("fuzz", &listing, input.to_string(), &[]);
            assert!(loaded.is_ok());
        },
    );
}

#[test]
fn nft_words_for_extensions() {
    let listing = seed("c2/appended/ruleset.json");
    let text = "table ip filter { # handle 1\n\tset s {\n\t\ttype ipv4_addr\n\t}\n\tchain FORWARD { # handle 2\n\t\ttype filter hook forward priority filter; policy accept;\n\t\tct state new xt match \"u32\" counter packets 1 bytes 2 accept # handle 4\n\t\tiifname vmap { \"a\" : drop,\n\t\t\t \"b\" : accept } comment \"xt match x\" # handle 6\n\t}\n}\n";
    let host = a_host();
    fuzz(
        "nft-words",
        200,
        |numbers| mutate::text(text, numbers),
        |input| {
            // a converter that answers with another listing, or refuses lines
            let answers: [nft_words::Nft<'_>; 2] = [&|_| Ok(listing.clone()), &|script: &str| {
                Err(nft_words::Refused {
                    message: "no".into(),
                    lines: vec![script.lines().count(), 1],
                })
            }];
            for nft in answers {
                let beside = SaveText {
                    source: "fuzz".into(),
                    text: input.into(),
                    of: TextOf::Listing,
                };
                let loaded = load_with("seed", &listing, &[beside], Some(nft)).expect("a listing");
                use_it(&loaded, &host);
                if let Ok(loaded) = load_listing_text("fuzz", input, &[], nft) {
                    use_it(&loaded, &host);
                }
            }
        },
    );
}

#[test]
fn iptables_save() {
    let save = seed("c2/appended/iptables-save.txt");
    let translations = seed("iptables/translations.txt");
    let mut whole = String::from("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n");
    let rules = translations
        .lines()
        .filter(|line| line.starts_with("-A "))
        .take(60);
    for rule in rules {
        whole += &format!("{rule}\n");
    }
    whole += "COMMIT\n";
    let listing = seed("c2/appended/ruleset.json");
    let host = a_host();
    fuzz(
        "iptables-save",
        300,
        |numbers| mutate::text(if numbers.below(2) == 0 { &save } else { &whole }, numbers),
        |input| {
            if let Ok(loaded) = load("fuzz", input, &[]) {
                use_it(&loaded, &host);
            }
            let beside = SaveText {
                source: "fuzz".into(),
                text: input.into(),
                of: TextOf::Iptables(iptables::Family::Ip),
            };
            let legacy = SaveText {
                of: TextOf::Legacy(iptables::Family::Ip),
                ..beside.clone()
            };
            for text in [beside, legacy] {
                let loaded = load("seed", &listing, &[text]).expect("a listing");
                use_it(&loaded, &host);
            }
        },
    );
}

#[test]
fn ebtables_save() {
    let whole = seed("iptables/ebtables/ebtables-save.txt");
    let listing = seed("iptables/ebtables/ruleset.json");
    let legacy = whole.replace("ebtables-nft-save v1.8.9 (nf_tables)", "ebtables-save v1.0");
    let host = a_host();
    fuzz(
        "ebtables-save",
        300,
        |numbers| {
            mutate::text(
                if numbers.below(2) == 0 {
                    &whole
                } else {
                    &legacy
                },
                numbers,
            )
        },
        |input| {
            if let Ok(loaded) = load("fuzz", input, &[]) {
                use_it(&loaded, &host);
            }
            let beside = SaveText {
                source: "fuzz".into(),
                text: input.into(),
                of: TextOf::Iptables(iptables::Family::Bridge),
            };
            let legacy = SaveText {
                of: TextOf::Legacy(iptables::Family::Bridge),
                ..beside.clone()
            };
            for text in [beside, legacy] {
                let loaded = load("seed", &listing, &[text]).expect("a listing");
                use_it(&loaded, &host);
            }
        },
    );
}

#[test]
fn snapshot() {
    let mut whole: serde_json::Value =
        serde_json::from_str(&seed("c1-captured/snapshot.json")).expect("a snapshot");
    // small enough that a change of a node hits something
    let ruleset: serde_json::Value =
        serde_json::from_str(&seed("small/dnat-loopback/ruleset.json")).expect("a listing");
    for (name, part) in whole["parts"].as_object_mut().into_iter().flatten() {
        if name == "ruleset" {
            part["json"] = ruleset.clone();
        }
        if part["text"].as_str().is_some_and(|text| text.len() > 3000) {
            part["text"] = "".into();
        }
    }
    let whole = whole.to_string();
    fuzz(
        "snapshot",
        150,
        |numbers| mutate::json(&whole, numbers),
        |input| {
            if let Ok(loaded) = load("fuzz", input, &[]) {
                use_it(&loaded, &loaded.host);
            }
        },
    );
}

#[test]
fn host_listings() {
    let parts = [
        (HostPart::Addresses, "addr.json"),
        (HostPart::Links, "link.json"),
        (HostPart::Routes, "route.json"),
        (HostPart::Routes, "route6.json"),
        (HostPart::Rules, "rule.json"),
        (HostPart::Neighbours, "neigh.json"),
        (HostPart::BridgeLinks, "bridge-link.json"),
        (HostPart::BridgeFdb, "bridge-fdb.json"),
    ];
    listings("host-listings", "c2/appended/host", &parts, mutate::json);
}

/// Gives the listings of one host to the reader, one of them damaged.
fn listings(
    target: &str,
    folder: &str,
    parts: &[(HostPart, &str)],
    damage: fn(&str, &mut Numbers) -> String,
) {
    let files: Vec<(HostPart, String)> = parts
        .iter()
        .map(|(part, name)| (*part, seed(&format!("{folder}/{name}"))))
        .collect();
    let loaded = a_ruleset();
    fuzz(
        target,
        300,
        |numbers| {
            let at = numbers.below(files.len());
            format!("{at}\n{}", damage(&files[at].1, numbers))
        },
        |input| {
            let (at, damaged) = input.split_once('\n').expect("a number");
            let at: usize = at.parse().expect("a number");
            let inputs: Vec<(HostPart, &str, &str)> = files
                .iter()
                .enumerate()
                .map(|(n, (part, text))| {
                    (*part, "fuzz", if n == at { damaged } else { text.as_str() })
                })
                .collect();
            let (host, _) = bundle::assemble(&inputs);
            use_it(&loaded, &host);
        },
    );
}

#[test]
fn ip_text() {
    let parts = [
        (HostPart::Addresses, "ip_-d_address"),
        (HostPart::Links, "ip_-s_-d_link"),
        (HostPart::Routes, "ip_route_show_table_all"),
        (HostPart::Rules, "ip_-4_rule_list"),
        (HostPart::Neighbours, "ip_-s_-s_neigh_show"),
        (HostPart::BridgeLinks, "bridge_-s_-s_-d_link_show"),
        (HostPart::BridgeFdb, "bridge_-s_-s_-d_-t_fdb_show"),
    ];
    listings("ip-text", "ip-text", &parts, mutate::text);
}

#[test]
fn sysctls() {
    let text = seed("c2/appended/host/sysctl.txt");
    let loaded = a_ruleset();
    fuzz(
        "sysctls",
        200,
        |numbers| mutate::text(&text, numbers),
        |input| {
            sysctl::read("fuzz", input);
            let mut host = a_host();
            let _ = bundle::add_part(&mut host, HostPart::Sysctls, "fuzz", input);
            use_it(&loaded, &host);
        },
    );
}

#[test]
fn flows() {
    let seeds = [
        "udp:10.0.0.2->10.0.0.1:53",
        "tcp:[fd00::2]:4000->[fd00::1]:443",
        "icmp:10.0.0.1,10.0.0.2",
        "47:10.0.0.1->172.17.0.2",
        "tcp:->1.1.1.1:443",
    ];
    fuzz(
        "flows",
        20_000,
        |numbers| mutate::text(seeds[numbers.below(seeds.len())], numbers),
        |input| {
            if let Ok(read) = flow::parse(input) {
                // what is printed is read again as the same
                assert_eq!(flow::parse(&read.to_string()), Ok(read));
            }
            let _ = flow::parse_tcp_flags(input);
            let _ = flow::parse_mark(input);
            let _ = flow::parse_icmp_type(input, flow::IpFamily::V4);
            let _ = flow::parse_icmp_type(input, flow::IpFamily::V6);
            let _ = flow::parse_protocol(input);
        },
    );
}

#[test]
fn trace_lines() {
    let seeds = [
        "trace id 4f2 ip t c packet: iif \"eth0\" ether saddr 02:00:00:00:00:01 ip saddr 10.0.0.1 ip daddr 10.0.0.2 ip protocol 6 tcp sport 40000 tcp dport 80 tcp flags == 0x2",
        "trace id a inet t forward rule udp dport 80 reject # handle 4 (verdict jump known)",
        "trace id a inet t forward unknown rule handle 9 (verdict drop)",
        "trace id a netdev t i packet: iif \"eth0\" @nh,0,160 0x45000028 @th,0,160 0x9c40005000",
        "trace id a inet t forward policy accept",
    ];
    fuzz(
        "trace-lines",
        20_000,
        |numbers| mutate::text(seeds[numbers.below(seeds.len())], numbers),
        |input| {
            let lines: Vec<String> = input.lines().map(String::from).collect();
            trace::packets(input);
            for line in trace::join(&lines) {
                trace::parse(&line);
            }
        },
    );
}

#[test]
fn context_flags() {
    type Apply = fn(&mut Host, &str) -> Result<(), bundle::HostError>;
    let seeds: [(Apply, &str); 5] = [
        (bundle::apply_iface, "eth0=10.0.0.1/24,fd00::1/64"),
        (bundle::apply_route, "10.5.0.0/16,dev=eth1,via=10.1.0.2"),
        (bundle::apply_bridge, "br0=p1,p2"),
        (bundle::apply_sysctl, "net.ipv4.conf.all.rp_filter=1"),
        (bundle::apply_flag_local, "10.0.0.0/8"),
    ];
    let loaded = a_ruleset();
    fuzz(
        "context-flags",
        400,
        |numbers| {
            let at = numbers.below(seeds.len());
            format!("{at}\n{}", mutate::text(seeds[at].1, numbers))
        },
        |input| {
            let (at, damaged) = input.split_once('\n').expect("a number");
            let at: usize = at.parse().expect("a number");
            let mut host = a_host();
            if seeds[at].0(&mut host, damaged).is_ok() {
                use_it(&loaded, &host);
            }
        },
    );
}

#[test]
fn ipset_text_never_panics() {
    let sets = "create nets hash:net family inet hashsize 1024 maxelem 65536\nadd nets 10.0.0.0/8\nadd nets 10.0.0.0/16 nomatch\nadd nets ::/0\n\
        create web hash:ip,port family inet6 timeout 100\nadd web fd00::1,tcp:80 timeout 99\nadd web fd00::1,icmpv6:echo-request\n\
        create ports bitmap:port range 1-100\nadd ports 20-40\n\
        create coarse hash:ip family inet netmask 24\nadd coarse 10.5.6.0\nadd coarse 0.0.0.0-255.255.255.255\n\
        create all list:set size 8\nadd all nets\nadd all all\n";
    let xml = "<ipsets>\n<ipset name=\"nets\">\n<type>hash:net</type>\n<revision>7</revision>\n<header><family>inet</family><timeout>100</timeout><counters/><initval>0x1</initval>\n<memsize>7</memsize>\n</header>\n<members>\n\
        <member><elem>10.1.0.0/16</elem><timeout>99</timeout><nomatch/><comment>\"a <b> & c\"</comment></member>\n</members>\n</ipset>\n<ipset name=\"all\">\n<type>list:set</type>\n<header><size>8</size>\n</header>\n<members>\n<member><elem>nets</elem></member>\n</members>\n</ipset>\n</ipsets>\n";
    let rules: String = [
        "nets src",
        "web dst,dst",
        "ports dst",
        "coarse src",
        "all src",
    ]
    .map(|set| format!("-A FORWARD -m set --match-set {set} -j DROP\n"))
    .concat();
    let save = format!(
        "# Generated by iptables-save v1.4.7 on a day\n*filter\n:FORWARD ACCEPT [0:0]\n{rules}COMMIT\n"
    );
    let host = a_host();
    fuzz(
        "ipset",
        300,
        |numbers| mutate::text(if numbers.below(2) == 0 { sets } else { xml }, numbers),
        |input| {
            let beside = SaveText {
                source: "fuzz".into(),
                text: input.into(),
                of: TextOf::Ipset,
            };
            let loaded = load("seed", &save, &[beside]).expect("a save");
            use_it(&loaded, &host);
        },
    );
}
