//! `nfpath explain --remedy`: what it proposes, that the real nft and iptables take it, that a kernel then lets the flow
//! pass, and that firewalld and ufw make of their commands what was simulated.
//!
//! What needs a kernel says aloud that it skips; `NFPATH_KERNEL=require` makes a skip a failure.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use nfpath::explain::{Question, explain};
use nfpath::flow;
use nfpath::hooks::Hooks;
use nfpath::kernel::{self, Agreement, Part};
use nfpath::load::{load, saves_within};
use nfpath::remedy::{Asked, remedy};
use nfpath::report::Verdict;
use nfpath::report::remedy::Status;
use serde_json::Value;
use support::{kernel_or_skip, testdata};

/// The answer to `--remedy` for the first flow.
fn remedies(args: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_nfpath"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("NO_COLOR", "1")
        .args(["explain", "--remedy", "--format", "json"])
        .args(args)
        .output()
        .expect("nfpath runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{args:?}: no report: {error}\n{errors}"));
    report["flows"][0]["remedies"].clone()
}

/// The commands of a remedy, in order.
fn commands(remedy: &Value) -> Vec<String> {
    let additions = remedy["additions"].as_array();
    additions
        .into_iter()
        .flatten()
        .flat_map(|addition| addition["commands"].as_array().cloned().unwrap_or_default())
        .map(|command| command.as_str().unwrap_or_default().to_string())
        .collect()
}

/// What is proposed first.
#[track_caller]
fn first(args: &[&str], wanted: &[&str]) {
    let found = remedies(args);
    assert_eq!(found["status"], "found", "{found:#}");
    for alternative in found["found"].as_array().into_iter().flatten() {
        assert_eq!(alternative["verdict"], "accept", "{alternative:#}");
    }
    assert_eq!(commands(&found["found"][0]), wanted);
}

const FIREWALLD: [&str; 15] = [
    "testdata/remedy/firewalld/ruleset.json",
    "--addr",
    "testdata/remedy/firewalld/host/addr.json",
    "--link",
    "testdata/remedy/firewalld/host/link.json",
    "--routes",
    "testdata/remedy/firewalld/host/route.json",
    "--routes",
    "testdata/remedy/firewalld/host/route6.json",
    "--rules",
    "testdata/remedy/firewalld/host/rule.json",
    "--rules",
    "testdata/remedy/firewalld/host/rule6.json",
    "--sysctls",
    "testdata/remedy/firewalld/host/sysctl.txt",
];

const UFW: [&str; 17] = [
    "testdata/remedy/ufw/ruleset.json",
    "--iptables-save",
    "testdata/remedy/ufw/iptables-save.txt",
    "--ip6tables-save",
    "testdata/remedy/ufw/ip6tables-save.txt",
    "--addr",
    "testdata/remedy/ufw/host/addr.json",
    "--link",
    "testdata/remedy/ufw/host/link.json",
    "--routes",
    "testdata/remedy/ufw/host/route.json",
    "--rules",
    "testdata/remedy/ufw/host/rule.json",
    "--rules",
    "testdata/remedy/ufw/host/rule6.json",
    "--sysctls",
    "testdata/remedy/ufw/host/sysctl.txt",
];

fn with<'a>(args: &[&'a str], flow: &'a str) -> Vec<&'a str> {
    let mut all = args.to_vec();
    all.extend(["--flow", flow]);
    all
}

#[test]
fn two_docker_networks_talk_by_two_rules_in_docker_user() {
    let args = ["testdata/c2/appended/snapshot.json"];
    first(
        &with(&args, "icmp:172.18.0.2->172.19.0.2"),
        &[
            "iptables -I DOCKER-USER -i br-4f0537e1b2cd -o br-149d732ffd90 -s 172.18.0.2 -d 172.19.0.2 -p icmp --icmp-type 8 -j ACCEPT",
            "iptables -I DOCKER-USER -i br-149d732ffd90 -o br-4f0537e1b2cd -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        ],
    );
}

#[test]
fn a_published_port_is_opened_for_the_containers_own_address() {
    let args = ["testdata/c4/with-drop/snapshot.json"];
    first(
        &with(&args, "tcp:198.51.100.7:40002->203.0.113.10:443"),
        &[
            "iptables -I DOCKER-USER 4 -i eth0 -o docker0 -s 198.51.100.7 -d 172.17.0.2 -p tcp --dport 443 -j ACCEPT",
        ],
    );
}

#[test]
fn containers_without_icc_talk_by_a_rule_before_the_drop() {
    let args = ["testdata/c5/tried/snapshot.json"];
    first(
        &with(&args, "udp:172.20.0.2:40000->172.20.0.3:5000"),
        &[
            "iptables -I FORWARD 20 -i br-8e3f0d353353 -o br-8e3f0d353353 -s 172.20.0.2 -d 172.20.0.3 -p udp --dport 5000 -j ACCEPT",
        ],
    );
}

#[test]
fn what_passes_needs_no_change() {
    let args = ["testdata/c2/inserted/snapshot.json"];
    let found = remedies(&with(&args, "icmp:172.18.0.2->172.19.0.2"));
    assert_eq!(found["status"], "nothing-to-change");
    assert_eq!(found["found"], Value::Array(Vec::new()));
}

fn in_file(content: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(content.as_bytes()).expect("written");
    file
}

/// iptables-save text alone, on a router with two interfaces.
fn of_save(save: &str, more: &[&str], flow: &str) -> Value {
    let file = in_file(&format!("# Generated by iptables-save v1.8.9\n{save}"));
    let path = file.path().to_string_lossy().into_owned();
    let mut args = vec![path.as_str()];
    args.extend([
        "--iface",
        "eth0=192.0.2.1/24",
        "--iface",
        "eth1=10.0.0.1/24",
    ]);
    args.extend(more);
    remedies(&with(&args, flow))
}

const FORWARDS: [&str; 2] = ["--sysctl", "net.ipv4.ip_forward=1"];

#[test]
fn iptables_text_alone_is_answered_with_positions_in_place_of_handles() {
    let save = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n\
                -A FORWARD -i lo -j ACCEPT\n-A FORWARD -p udp -j DROP\nCOMMIT\n";
    let found = of_save(save, &FORWARDS, "udp:192.0.2.9:5000->10.0.0.7:53");
    // the request by a rule, the answer by another: both are udp
    assert_eq!(found["status"], "found", "{found:#}");
    assert_eq!(
        commands(&found["found"][0]),
        [
            "iptables -I FORWARD 2 -i eth0 -o eth1 -s 192.0.2.9 -d 10.0.0.7 -p udp --dport 53 -j ACCEPT",
            "iptables -I FORWARD -i eth1 -o eth0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        ]
    );
    let against: Vec<&str> = found["found"][0]["additions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|addition| addition["against"].as_str())
        .collect();
    assert_eq!(against, ["ip filter FORWARD rule 2"; 2]);
}

/// A bridge whose user chain drops what comes to its end.
const BRIDGE: &str = "# Generated by ebtables-nft-save v1.8.9 (nf_tables) on a day\n*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n:mine DROP\n-A FORWARD -j mine\n-A mine -p ARP -j ACCEPT\n# Completed on a day\n";
const PORTS: [&str; 6] = [
    "--bridge",
    "br0=p1,p2",
    "--iface",
    "br0=172.20.0.1/24,fd00::1/64",
    "--iif",
    "p1",
];

fn over_ports(save: &str, flow: &str) -> Value {
    let file = in_file(save);
    let mut args = vec![file.path().to_str().expect("a name")];
    args.extend(PORTS);
    remedies(&with(&args, flow))
}

#[test]
fn a_bridge_is_opened_in_the_words_of_ebtables() {
    let udp = over_ports(BRIDGE, "udp:172.20.0.2:40000->172.20.0.3:53");
    let rule = "-p IPv4 --ip-src 172.20.0";
    assert_eq!(
        commands(&udp["found"][0]),
        [
            format!(
                "ebtables -I mine 2 {rule}.2 --ip-dst 172.20.0.3 --ip-proto 17 --ip-dport 53 -j ACCEPT"
            ),
            format!(
                "ebtables -I mine 2 {rule}.3 --ip-dst 172.20.0.2 --ip-proto 17 --ip-sport 53 -j ACCEPT"
            ),
        ]
    );
    let legacy = BRIDGE.replace("ebtables-nft-save v1.8.9 (nf_tables)", "ebtables-save v1.0");
    let beside = in_file(&legacy);
    let name = beside.path().to_str().expect("a name");
    let ruleset = in_file("{\"nftables\": []}");
    let ruleset = ruleset.path().to_str().expect("a name");
    let mut args = vec![ruleset, "--ebtables-legacy-save", name];
    args.extend(PORTS);
    args.extend(["--flow", "icmpv6:fd00::2->fd00::3"]);
    let found = remedies(&args);
    let said = commands(&found["found"][0]);
    assert!(
        said[0].starts_with("ebtables-legacy -I mine 2 -p IPv6 --ip6-src fd00::2 --ip6-dst fd00::3 --ip6-proto 58 --ip6-icmp-type 128"),
        "{said:?}"
    );
}

/// With the commands taken by the real ebtables-nft, what it saves lets the flow pass.
#[test]
fn ebtables_takes_the_commands_that_are_proposed() {
    if !kernel_or_skip("ebtables_takes_the_commands_that_are_proposed") {
        return;
    }
    for flow in [
        "udp:172.20.0.2:40000->172.20.0.3:53",
        "icmp:172.20.0.2->172.20.0.3",
        "icmpv6:fd00::2->fd00::3",
        "sctp:172.20.0.2:40000->172.20.0.3:53",
    ] {
        let found = over_ports(BRIDGE, flow);
        let lines: Vec<String> = commands(&found["found"][0])
            .iter()
            .map(|line| line.replacen("ebtables", "ebtables-nft", 1))
            .collect();
        assert_eq!(lines.len(), 2, "{flow}: {found:#}");
        let script = format!(
            "set -e\nebtables-nft-restore <\"$0\"\n{}\nebtables-nft-save",
            lines.join("\n")
        );
        let before = in_file(BRIDGE);
        let output = Command::new("unshare")
            .args(["-n", "sh", "-c", &script])
            .arg(before.path())
            .output()
            .expect("unshare runs");
        let saved = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{flow}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let after = over_ports(&saved, flow);
        assert_ne!(after["status"], "found", "{flow}: still dropped\n{saved}");
    }
}

#[test]
fn an_answer_that_conntrack_does_not_know_is_let_pass_by_its_ends() {
    let save = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -j CT --notrack\nCOMMIT\n\
                *filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";
    let found = of_save(save, &FORWARDS, "udp:192.0.2.9:5000->10.0.0.7:53");
    assert_eq!(found["status"], "found", "{found:#}");
    assert_eq!(
        commands(&found["found"][0]),
        [
            "iptables -A FORWARD -i eth0 -o eth1 -s 192.0.2.9 -d 10.0.0.7 -p udp --dport 53 -j ACCEPT",
            "iptables -A FORWARD -i eth1 -o eth0 -s 10.0.0.7 -d 192.0.2.9 -p udp --sport 53 -j ACCEPT",
        ]
    );
}

#[test]
fn rules_of_nft_are_placed_by_their_handles_and_at_the_end_of_a_chain() {
    let chain = |name: &str, hook: &str| {
        format!(
            r#"{{"chain":{{"family":"inet","table":"f","name":"{name}","handle":1,"type":"filter","hook":"{hook}","prio":0,"policy":"drop"}}}}"#
        )
    };
    let lo = r#"{"rule":{"family":"inet","table":"f","chain":"in","handle":7,"expr":[{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"lo"}},{"accept":null}]}}"#;
    let tcp = r#"{"rule":{"family":"inet","table":"f","chain":"in","handle":9,"expr":[{"match":{"op":"==","left":{"meta":{"key":"l4proto"}},"right":"tcp"}},{"drop":null}]}}"#;
    let listing = format!(
        r#"{{"nftables":[{{"metainfo":{{"version":"1.0.6","json_schema_version":1}}}},{{"table":{{"family":"inet","name":"f","handle":1}}}},{},{},{lo},{tcp}]}}"#,
        chain("in", "input"),
        chain("out", "output"),
    );
    let file = in_file(&listing);
    let path = file.path().to_string_lossy().into_owned();
    let host = [&path, "--iface", "eth0=192.0.2.1/24,2001:db8::1/64"];
    first(
        &with(&host, "tcp:192.0.2.9:5000->192.0.2.1:22"),
        &[
            "nft 'insert rule inet f in handle 9 ip saddr 192.0.2.9 ip daddr 192.0.2.1 tcp dport 22 accept'",
            "nft 'add rule inet f out ct state established,related accept'",
        ],
    );
    first(
        &with(&host, "icmp6:2001:db8::9->2001:db8::1"),
        &[
            "nft 'add rule inet f in ip6 saddr 2001:db8::9 ip6 daddr 2001:db8::1 icmpv6 type echo-request accept'",
            "nft 'add rule inet f out ct state established,related accept'",
        ],
    );
    let found = remedies(&with(&host, "tcp:192.0.2.9:5000->192.0.2.1:22"));
    let nft = &found["found"][0]["nft"]["nftables"];
    assert_eq!(nft[0]["insert"]["rule"]["handle"], 9);
    assert_eq!(nft[1]["add"]["rule"]["handle"], Value::Null);
}

#[test]
fn a_chain_of_a_dangerous_name_is_one_word_for_the_shell() {
    let save = |chain: &str| {
        format!(
            "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:{chain} - [0:0]\n\
             -A FORWARD -j {chain}\n-A {chain} -p udp -j DROP\nCOMMIT\n"
        )
    };
    let found = of_save(
        &save("a;$(reboot)"),
        &FORWARDS,
        "udp:192.0.2.9:5000->10.0.0.7:53",
    );
    let first = commands(&found["found"][0]);
    assert!(
        first[0].starts_with("iptables -I 'a;$(reboot)' -i eth0"),
        "{first:?}"
    );
    let found = of_save(
        &save("a\u{1b}[2J"),
        &FORWARDS,
        "udp:192.0.2.9:5000->10.0.0.7:53",
    );
    assert_eq!(commands(&found["found"][0]), [""; 0]);
}

#[test]
fn settings_of_the_host_are_changed_and_walked_again() {
    let save =
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";
    let off = ["--sysctl", "net.ipv4.ip_forward=0"];
    let found = of_save(save, &off, "udp:192.0.2.9:5000->10.0.0.7:53");
    assert_eq!(found["status"], "found", "{found:#}");
    assert_eq!(
        commands(&found["found"][0]),
        ["sysctl -w net.ipv4.ip_forward=1"]
    );
    assert_eq!(found["found"][0]["nft"], Value::Null);
    let strict = [
        "--sysctl",
        "net.ipv4.ip_forward=1",
        "--sysctl",
        "net.ipv4.conf.all.rp_filter=0",
        "--sysctl",
        "net.ipv4.conf.eth1.rp_filter=1",
        "--iif",
        "eth1",
    ];
    let found = of_save(save, &strict, "udp:192.0.2.9:5000->10.0.0.7:53");
    assert_eq!(
        commands(&found["found"][0]),
        ["sysctl -w net.ipv4.conf.eth1.rp_filter=2"],
        "{found:#}"
    );
}

#[test]
fn nothing_is_promised_where_something_is_unknown_or_no_rule_can_help() {
    let save = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
                -A FORWARD -j MYSTERY --of the-sea\nCOMMIT\n";
    let found = of_save(save, &FORWARDS, "udp:192.0.2.9:5000->10.0.0.7:53");
    assert_eq!(found["status"], "none", "{found:#}");
    let remains = found["remains"].as_str().unwrap_or_default();
    assert!(remains.starts_with("nothing can be promised"), "{remains}");
    let empty =
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";
    let blackhole = ["--sysctl", "net.ipv4.ip_forward=1", "--iif", "eth0"];
    let found = of_save(empty, &blackhole, "udp:192.0.2.9:5000->127.0.0.1:53");
    assert_ne!(found["status"], "nothing-to-change");
}

/// What a record of a real program says: each command with the lines that it added.
fn record(file: &str) -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(testdata("remedy").join(file)).expect("a record");
    text.split("\n\n")
        .filter_map(|part| {
            let mut lines = part.trim().lines();
            let command = lines.next()?.strip_prefix("$ ")?.to_string();
            Some((command, lines.map(str::to_string).collect()))
        })
        .collect()
}

/// The words of a rule without their order: firewalld writes the destination first.
fn sorted(rule: &str) -> Vec<String> {
    let mut words: Vec<String> = rule.split_whitespace().map(str::to_string).collect();
    words.sort();
    words
}

/// The commands proposed first are those that were recorded, and the real program put the simulated rule into the
/// simulated chain.
#[track_caller]
fn as_recorded(args: &[&str], file: &str, of_program: fn(&str) -> (String, String)) {
    let found = remedies(args);
    let alternative = &found["found"][0];
    let proposed = commands(alternative);
    let recorded = record(file);
    let mut added = Vec::new();
    for command in proposed.iter().filter(|c| *c != "firewall-cmd --reload") {
        let permanent =
            command.replacen("firewall-cmd --zone", "firewall-cmd --permanent --zone", 1);
        let (_, lines) = recorded
            .iter()
            .find(|(c, _)| c == command || *c == permanent)
            .unwrap_or_else(|| panic!("not recorded: {command}"));
        added = lines.clone();
    }
    let simulated = &alternative["additions"][0];
    let [line] = added.as_slice() else {
        panic!("the last command adds one rule: {added:?}");
    };
    let (chain, rule) = of_program(line);
    let place = simulated["place"]["chain"].as_str().unwrap_or_default();
    if place == "filter_FORWARD_POLICIES_pre" {
        // the policy's own chain is called from there, and decides alone
        assert_eq!(chain, "filter_FWD_policy_wanted_allow");
        let called = "filter_FORWARD_POLICIES_pre: iifname \"eth0\" jump filter_FWD_policy_wanted";
        let all: Vec<&String> = recorded.iter().flat_map(|(_, lines)| lines).collect();
        assert!(all.iter().any(|line| *line == called), "{all:?}");
    } else {
        assert_eq!(chain, place);
    }
    assert_eq!(
        sorted(&rule),
        sorted(simulated["rule"].as_str().unwrap_or_default())
    );
}

#[test]
fn firewalld_makes_of_the_commands_what_was_simulated() {
    let of = |line: &str| {
        let (chain, rule) = line.split_once(": ").expect("a chain");
        (chain.to_string(), rule.to_string())
    };
    let flows = [
        "tcp:198.51.100.7:40000->203.0.113.20:3306",
        "tcp:198.51.100.7:40000->192.168.7.2:80",
    ];
    for flow in flows {
        as_recorded(&with(&FIREWALLD, flow), "firewalld.txt", of);
    }
}

#[test]
fn ufw_makes_of_the_commands_what_was_simulated() {
    // by this program's own reader of iptables' words, which tests/iptables_kernel.rs holds against nft's
    let of = |line: &str| {
        let chain = line.split_whitespace().nth(1).expect("a chain").to_string();
        let save = format!("*filter\n:{chain} - [0:0]\n{line}\nCOMMIT\n");
        let loaded = load("x", &save, &[]).expect("a table");
        let rule = loaded
            .document
            .objects
            .iter()
            .find_map(|object| match object {
                nfpath::nft::ast::Object::Rule(rule) => Some(nfpath::nft::print::rule(rule)),
                _ => None,
            });
        let rule = rule.expect("a rule").replace("/32", "");
        // which the port implies
        (chain, rule.replace("meta l4proto tcp ", ""))
    };
    let flows = [
        "tcp:198.51.100.7:40000->203.0.113.20:3306",
        "tcp:198.51.100.7:40000->203.0.113.20:8080",
        "tcp:198.51.100.7:40000->192.168.7.2:80",
    ];
    for flow in flows {
        as_recorded(&with(&UFW, flow), "ufw.txt", of);
    }
}

/// Snapshots and dropped flows.
const DROPPED: &[(&str, &str)] = &[
    ("c2/appended/snapshot.json", "icmp:172.18.0.2->172.19.0.2"),
    ("c2/inserted/snapshot.json", "icmp:172.19.0.2->172.18.0.2"),
    (
        "c4/with-drop/snapshot.json",
        "tcp:198.51.100.7:40002->203.0.113.10:443",
    ),
    (
        "c4/with-drop/snapshot.json",
        "udp:172.17.0.2:40007->8.8.8.8:53",
    ),
    (
        "c5/tried/snapshot.json",
        "udp:172.20.0.2:40000->172.20.0.3:5000",
    ),
    (
        "ufw/snapshot.json",
        "tcp:198.51.100.7:40002->203.0.113.20:3306",
    ),
    (
        "fail2ban/snapshot.json",
        "tcp:203.0.113.66:40000->203.0.113.50:22",
    ),
];

#[test]
fn with_every_remedy_a_kernel_lets_the_flow_pass() {
    if !kernel_or_skip("with_every_remedy_a_kernel_lets_the_flow_pass") {
        return;
    }
    let mut checked = 0;
    for (snapshot, words_of_flow) in DROPPED {
        let place = format!("{snapshot} {words_of_flow}");
        let text = fs::read_to_string(testdata(snapshot)).expect("a snapshot");
        let loaded = load(snapshot, &text, &[]).expect("a ruleset");
        let host = loaded.host.clone();
        let saves = saves_within(snapshot, &text);
        let question = Question::new(flow::parse(words_of_flow).expect("a flow"));
        let hooks = Hooks::new(&loaded.ruleset);
        let answer = explain(&loaded, &hooks, &host, &question).expect("an answer");
        if answer.report.verdict == Verdict::Accept {
            continue;
        }
        let (advice, amendments) = remedy(Asked {
            loaded: &loaded,
            host: &host,
            question: &question,
            answer: &answer,
            has_handles: false,
        });
        assert_eq!(advice.status, Status::Found, "{place}");
        for (found, amendment) in advice.remedies.iter().zip(&amendments) {
            let (amended, host) = amendment.applied(&loaded, &host);
            let mut words = kernel::words(&loaded, None, &saves).expect("words");
            let nft = found.nft.as_ref().expect("a form for nft");
            words.0.push(Part::NftJson(nft.to_string()));
            let verified = kernel::in_a_lab(|| kernel::verify(&amended, &words, &host, &question))
                .and_then(|verified| verified)
                .unwrap_or_else(|error| panic!("{place}: {error}"));
            let side_by_side = kernel::side_by_side::text(&verified, 160);
            assert_eq!(
                verified.agreement,
                Agreement::Yes,
                "{place}\n{side_by_side}"
            );
            assert!(verified.reply.is_some(), "{place}\n{side_by_side}");
            checked += 1;
        }
    }
    assert!(checked >= 8, "only {checked} remedies");
}

/// A shell in a network namespace of its own.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn new() -> Shell {
        let mut child = Command::new("unshare")
            .args(["-n", "sh"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let input = child.stdin.take().expect("its input");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        Shell {
            child,
            input,
            output,
        }
    }

    /// Runs a line; its output.
    #[track_caller]
    fn run(&mut self, line: &str) -> String {
        writeln!(self.input, "{{ {line}\n}} 2>&1; echo; echo \"done $?\"").expect("a line");
        let mut printed = String::new();
        loop {
            let mut line_of = String::new();
            let read = self.output.read_line(&mut line_of).expect("an answer");
            assert!(read > 0, "the shell ended: {line}\n{printed}");
            match line_of.strip_prefix("done ") {
                Some("0\n") => return printed,
                Some(status) => panic!("{line}: status {status}{printed}"),
                None => printed += &line_of,
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The ruleset is loaded, listed again with the kernel's own handles, and what is proposed for it is given to the real
/// programs: first the whole as `nft -c -j -f`, then command by command; the flow passes under what is listed then.
#[test]
fn the_real_programs_take_what_is_proposed() {
    if !kernel_or_skip("the_real_programs_take_what_is_proposed") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (json, save, save6, form) = (at("r.json"), at("save"), at("save6"), at("form.json"));
    for (snapshot, words_of_flow) in DROPPED {
        let path = testdata(snapshot).to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("a snapshot");
        let loaded = load(snapshot, &text, &[]).expect("a ruleset");
        let saves = saves_within(snapshot, &text);
        let words = kernel::words(&loaded, None, &saves).expect("words");
        let begin = |shell: &mut Shell| {
            for (number, part) in words.0.iter().enumerate() {
                let (program, text) = match part {
                    Part::Nft(text) => ("nft -f", text),
                    Part::NftJson(text) => ("nft -j -f", text),
                    Part::Iptables(family, text) => match family {
                        nfpath::iptables::Family::Ip => ("iptables-nft-restore -n", text),
                        nfpath::iptables::Family::Ip6 => ("ip6tables-nft-restore -n", text),
                        nfpath::iptables::Family::Bridge => {
                            ("ebtables-nft-restore --noflush", text)
                        }
                    },
                    Part::Ipset(text) => ("ipset restore -f", text),
                };
                let file = at(&format!("part{number}"));
                fs::write(&file, text).expect("a part");
                shell.run(&format!("{program} {file}"));
            }
        };
        let list = |shell: &mut Shell| {
            shell.run(&format!(
                "nft -j list ruleset >{json}; iptables-nft-save >{save}; ip6tables-nft-save >{save6}"
            ));
        };
        let args = [
            json.as_str(),
            "--iptables-save",
            &save,
            "--ip6tables-save",
            &save6,
            "--context",
            &path,
        ];
        let mut shell = Shell::new();
        begin(&mut shell);
        list(&mut shell);
        let found = remedies(&with(&args, words_of_flow));
        if found["status"] == "nothing-to-change" {
            continue;
        }
        assert_eq!(found["status"], "found", "{snapshot}: {found:#}");
        for alternative in found["found"].as_array().into_iter().flatten() {
            fs::write(&form, alternative["nft"].to_string()).expect("a form");
            shell.run(&format!("nft -c -j -f {form}"));
            let proposed = commands(alternative);
            let ours = |c: &String| {
                ["nft ", "iptables ", "ip6tables "]
                    .iter()
                    .any(|p| c.starts_with(p))
            };
            let mut ways = vec![vec![format!("nft -j -f {form}")]];
            if proposed.iter().all(ours) {
                ways.push(proposed);
            }
            for way in ways {
                let mut shell = Shell::new();
                begin(&mut shell);
                for command in &way {
                    shell.run(command);
                }
                list(&mut shell);
                assert!(fs::metadata(&json).is_ok_and(|file| file.len() > 100));
                let after = remedies(&with(&args, words_of_flow));
                assert_eq!(
                    after["status"], "nothing-to-change",
                    "{snapshot}: {way:#?}\n{after:#}"
                );
            }
        }
    }
}
