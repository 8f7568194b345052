//! The cases of docs/cookbook, as their pages tell them: by the engine, and by a kernel.
//!
//! What is expected is what the case says or what the kernel's trace in testdata shows; each flow is then sent through
//! the running kernel by `nfpath verify`. Without a kernel that part says aloud that it skips; `NFPATH_KERNEL=require`
//! makes a skip a failure.

mod support;

use std::fs;
use std::process::Command;

use serde_json::Value;
use support::{files_below, kernel_or_skip, testdata};

/// A flow and what has to come of it.
struct Flow {
    /// What stands behind `nfpath explain testdata/`.
    args: &'static str,
    flow: &'static str,
    request: Way,
    /// None: no reply, because the request does not get through.
    reply: Option<Way>,
}

/// One direction.
struct Way {
    disposition: &'static str,
    /// Chain and text of a rule that decided; empty text: no rule.
    decided: (&'static str, &'static str),
    /// Source and destination as they left; empty where nothing left.
    out: (&'static str, &'static str),
}

const fn way(
    disposition: &'static str,
    decided: (&'static str, &'static str),
    out: (&'static str, &'static str),
) -> Way {
    Way {
        disposition,
        decided,
        out,
    }
}

const NOWHERE: (&str, &str) = ("", "");
const NO_RULE: (&str, &str) = ("", "");

const C1: &str = "c1/ruleset.json";
const C1_REAL: &str = "c1-captured/snapshot.json";
const APPENDED: &str = "c2/appended/snapshot.json";
const INSERTED: &str = "c2/inserted/snapshot.json";
const C3: &str = "c3/iptables-save.txt --iface eth0=10.0.2.15/24 --route default,dev=eth0,via=10.0.2.2 \
                  --iface docker0=172.17.42.1/16";
const DROP: &str = "c4/with-drop/snapshot.json";
const NO_DROP: &str = "c4/without-drop/snapshot.json";
const TRIED: &str = "c5/tried/snapshot.json";
const TRIED_WITHOUT: &str = "c5/tried/snapshot.json --sysctl net.bridge.bridge-nf-call-iptables=0";
const WORKS: &str = "c5/works/snapshot.json";
const UFW: &str = "ufw/snapshot.json";
const PODMAN: &str = "podman/snapshot.json";
const PODMAN_DROP: &str = "podman/forward-drop.txt --context testdata/podman/snapshot.json";
const FAIL2BAN: &str = "fail2ban/snapshot.json";
const LIBVIRT: &str = "libvirt/snapshot.json";

const FLOWS: &[Flow] = &[
    // C1: one accept by Docker, one by firewalld; the container sees the bridge's address
    Flow {
        args: C1,
        flow: "udp:10.254.10.105:40000->10.254.10.252:1812",
        request: way(
            "forwarded",
            ("filter_FORWARD", "ct status dnat"),
            ("172.20.0.1", "172.20.0.4"),
        ),
        reply: Some(way(
            "forwarded",
            ("filter_FORWARD", "ct state"),
            ("10.254.10.252", "10.254.10.105"),
        )),
    },
    // the real daemons: a newer firewalld does not masquerade towards zone docker
    Flow {
        args: C1_REAL,
        flow: "udp:10.254.10.105:40000->10.254.10.252:1812",
        request: way(
            "forwarded",
            ("filter_FORWARD", "ct status dnat"),
            ("10.254.10.105", "172.20.0.4"),
        ),
        reply: Some(way(
            "forwarded",
            ("filter_FORWARD", "ct state"),
            ("10.254.10.252", "10.254.10.105"),
        )),
    },
    // C2: lost in the second stage of the isolation; through when the accepts stand in front
    Flow {
        args: APPENDED,
        flow: "icmp:172.18.0.2->172.19.0.2",
        request: way(
            "dropped",
            ("DOCKER-ISOLATION-STAGE-2", "br-149d732ffd90"),
            NOWHERE,
        ),
        reply: None,
    },
    Flow {
        args: INSERTED,
        flow: "icmp:172.18.0.2->172.19.0.2",
        request: way(
            "forwarded",
            ("FORWARD", "br-149d732ffd90"),
            ("172.19.0.1", "172.19.0.2"),
        ),
        reply: Some(way(
            "forwarded",
            ("FORWARD", "ESTABLISHED"),
            ("172.19.0.2", "172.18.0.2"),
        )),
    },
    Flow {
        args: INSERTED,
        flow: "icmp:172.19.0.2->172.18.0.2",
        request: way(
            "dropped",
            ("DOCKER-ISOLATION-STAGE-2", "br-4f0537e1b2cd"),
            NOWHERE,
        ),
        reply: None,
    },
    // C3: out and back, in and back
    Flow {
        args: C3,
        flow: "udp:172.17.0.2:40000->8.8.8.8:53",
        request: way(
            "forwarded",
            ("FORWARD", "! -o docker0"),
            ("10.0.2.15", "8.8.8.8"),
        ),
        reply: Some(way(
            "forwarded",
            ("FORWARD", "ESTABLISHED"),
            ("8.8.8.8", "172.17.0.2"),
        )),
    },
    Flow {
        args: C3,
        flow: "tcp:198.51.100.7:40001->10.0.2.15:1002",
        request: way(
            "forwarded",
            ("DOCKER", "-d 172.17.0.3/32"),
            ("198.51.100.7", "172.17.0.3"),
        ),
        reply: Some(way(
            "forwarded",
            ("FORWARD", "! -o docker0"),
            ("10.0.2.15", "198.51.100.7"),
        )),
    },
    Flow {
        args: C3,
        flow: "IN=docker0 OUT=eth0 PHYSIN=veth57a730b SRC=172.17.0.2 DST=10.0.2.3 LEN=55 TOS=0x00 PREC=0x00 TTL=63 \
               ID=34261 DF PROTO=UDP SPT=60692 DPT=53 LEN=35",
        request: way(
            "forwarded",
            ("FORWARD", "! -o docker0"),
            ("10.0.2.15", "10.0.2.3"),
        ),
        reply: Some(way(
            "forwarded",
            ("FORWARD", "ESTABLISHED"),
            ("10.0.2.3", "172.17.0.2"),
        )),
    },
    // C4: who reaches the published ports
    Flow {
        args: DROP,
        flow: "tcp:51.15.223.6:40000->203.0.113.10:443",
        request: way(
            "forwarded",
            ("DOCKER-USER", "51.15.223.6"),
            ("51.15.223.6", "172.17.0.2"),
        ),
        reply: Some(way(
            "forwarded",
            ("DOCKER-USER", "ESTABLISHED"),
            ("203.0.113.10", "51.15.223.6"),
        )),
    },
    Flow {
        args: DROP,
        flow: "tcp:198.51.100.7:40002->203.0.113.10:443",
        request: way("dropped", ("DOCKER-USER", "eth0"), NOWHERE),
        reply: None,
    },
    Flow {
        args: DROP,
        flow: "udp:51.15.223.6:40003->203.0.113.10:1194",
        request: way("dropped", ("DOCKER-USER", "eth0"), NOWHERE),
        reply: None,
    },
    Flow {
        args: DROP,
        flow: "udp:109.190.117.17:40004->203.0.113.10:1194",
        request: way(
            "forwarded",
            ("DOCKER-USER", "109.190.117.17"),
            ("109.190.117.17", "172.17.0.3"),
        ),
        reply: Some(way(
            "forwarded",
            ("DOCKER-USER", "109.190.117.17"),
            ("203.0.113.10", "109.190.117.17"),
        )),
    },
    Flow {
        args: DROP,
        flow: "udp:198.51.100.7:123->203.0.113.10:161",
        request: way(
            "local",
            ("INPUT", "sport 123"),
            ("198.51.100.7", "203.0.113.10"),
        ),
        reply: Some(way(
            "transmitted",
            NO_RULE,
            ("203.0.113.10", "198.51.100.7"),
        )),
    },
    // the reply of a name server is not TCP, and dropped
    Flow {
        args: DROP,
        flow: "udp:172.17.0.2:40007->8.8.8.8:53",
        request: way(
            "forwarded",
            ("FORWARD", "docker0"),
            ("203.0.113.10", "8.8.8.8"),
        ),
        reply: Some(way("dropped", ("DOCKER-USER", "eth0"), NOWHERE)),
    },
    Flow {
        args: NO_DROP,
        flow: "tcp:198.51.100.7:40002->203.0.113.10:443",
        request: way(
            "forwarded",
            ("DOCKER", "443"),
            ("198.51.100.7", "172.17.0.2"),
        ),
        reply: Some(way(
            "forwarded",
            ("DOCKER-USER", "ESTABLISHED"),
            ("203.0.113.10", "198.51.100.7"),
        )),
    },
    // C5: icc=false, with and without br_netfilter
    Flow {
        args: TRIED,
        flow: "udp:172.20.0.2:40000->172.20.0.3:5000",
        request: way("dropped", ("FORWARD", "br-8e3f0d353353"), NOWHERE),
        reply: None,
    },
    Flow {
        args: TRIED_WITHOUT,
        flow: "udp:172.20.0.2:40007->172.20.0.3:5000",
        request: way("bridged", NO_RULE, ("172.20.0.2", "172.20.0.3")),
        reply: Some(way("bridged", NO_RULE, ("172.20.0.3", "172.20.0.2"))),
    },
    // the rule that names the published port in FORWARD, and the ones that work
    Flow {
        args: TRIED,
        flow: "tcp:198.51.100.7:40001->192.0.2.20:30004",
        request: way(
            "forwarded",
            ("DOCKER", "172.18.0.2"),
            ("198.51.100.7", "172.18.0.2"),
        ),
        reply: Some(way(
            "forwarded",
            ("FORWARD", "br-e6bc7d6b75f3"),
            ("192.0.2.20", "198.51.100.7"),
        )),
    },
    Flow {
        args: WORKS,
        flow: "tcp:198.51.100.7:40001->192.0.2.20:30004",
        request: way("dropped", ("DOCKER-USER", "30004"), NOWHERE),
        reply: None,
    },
    Flow {
        args: WORKS,
        flow: "udp:172.20.0.2:40002->8.8.8.8:53",
        request: way("dropped", ("DOCKER-USER", "br-8e3f0d353353"), NOWHERE),
        reply: None,
    },
    Flow {
        args: WORKS,
        flow: "udp:172.18.0.2:40003->8.8.8.8:53",
        request: way(
            "forwarded",
            ("FORWARD", "br-e6bc7d6b75f3"),
            ("192.0.2.20", "8.8.8.8"),
        ),
        reply: Some(way(
            "forwarded",
            ("FORWARD", "ESTABLISHED"),
            ("8.8.8.8", "172.18.0.2"),
        )),
    },
    // ufw denies the port that Docker publishes
    Flow {
        args: UFW,
        flow: "tcp:198.51.100.7:40000->203.0.113.20:8080",
        request: way(
            "forwarded",
            ("DOCKER", "172.17.0.2"),
            ("198.51.100.7", "172.17.0.2"),
        ),
        reply: Some(way(
            "forwarded",
            ("FORWARD", "docker0"),
            ("203.0.113.20", "198.51.100.7"),
        )),
    },
    Flow {
        args: UFW,
        flow: "tcp:198.51.100.7:40002->203.0.113.20:3306",
        request: way("dropped", ("INPUT", ""), NOWHERE),
        reply: None,
    },
    // libvirt's network `default`
    Flow {
        args: LIBVIRT,
        flow: "udp:192.168.122.10:40000->8.8.8.8:53",
        request: way(
            "forwarded",
            ("LIBVIRT_FWO", "192.168.122.0/24"),
            ("203.0.113.30", "8.8.8.8"),
        ),
        reply: Some(way(
            "forwarded",
            ("LIBVIRT_FWI", "ESTABLISHED"),
            ("8.8.8.8", "192.168.122.10"),
        )),
    },
    Flow {
        args: LIBVIRT,
        flow: "tcp:198.51.100.7:40001->192.168.122.10:22",
        request: way("rejected", ("LIBVIRT_FWI", "virbr0"), NOWHERE),
        reply: None,
    },
    // Podman's published port
    Flow {
        args: PODMAN,
        flow: "tcp:198.51.100.7:40000->203.0.113.40:8080",
        request: way("forwarded", NO_RULE, ("198.51.100.7", "10.88.0.2")),
        reply: Some(way(
            "forwarded",
            ("NETAVARK_FORWARD", "10.88.0.0/16"),
            ("203.0.113.40", "198.51.100.7"),
        )),
    },
    Flow {
        args: PODMAN_DROP,
        flow: "tcp:198.51.100.7:40000->203.0.113.40:8080",
        request: way("dropped", ("FORWARD", ""), NOWHERE),
        reply: None,
    },
    // an address that fail2ban has banned, from one port only
    Flow {
        args: FAIL2BAN,
        flow: "tcp:198.51.100.7:40000->203.0.113.50:22",
        request: way("rejected", ("f2b-chain", "addr-set-sshd"), NOWHERE),
        reply: None,
    },
    Flow {
        args: FAIL2BAN,
        flow: "tcp:198.51.100.7:40001->203.0.113.50:80",
        request: way("local", NO_RULE, ("198.51.100.7", "203.0.113.50")),
        reply: Some(way(
            "transmitted",
            NO_RULE,
            ("203.0.113.50", "198.51.100.7"),
        )),
    },
];

fn run(command: &str, flow: &Flow, more: &[&str]) -> (Option<i32>, String, String) {
    let mut args = flow.args.split_whitespace();
    let ruleset = format!("testdata/{}", args.next().unwrap_or_default());
    let output = Command::new(env!("CARGO_BIN_EXE_nfpath"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("COLUMNS", "100")
        .env("NO_COLOR", "1")
        .args([command, &ruleset])
        .args(args)
        .args(["--flow", flow.flow])
        .args(more)
        .output()
        .expect("nfpath runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// What differs between a path of the JSON report and what is expected of it.
fn differs(path: &Value, way: &Way) -> Option<String> {
    let disposition = path["disposition"].as_str().unwrap_or("none");
    if disposition != way.disposition {
        return Some(format!("{disposition}, not {}", way.disposition));
    }
    let out = &path["out"];
    if way.out != NOWHERE && (out["src"] != way.out.0 || out["dst"] != way.out.1) {
        return Some(format!("leaves as {out}, not {:?}", way.out));
    }
    let (chain, words) = way.decided;
    if chain.is_empty() {
        return None;
    }
    let steps = path["steps"].as_array().map_or(&[][..], Vec::as_slice);
    let deciding: Vec<&Value> = path["deciding"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|at| steps.get(at.as_u64()? as usize))
        .collect();
    let says = |step: &&Value| step["chain"] == chain && step.to_string().contains(words);
    match deciding.iter().any(says) {
        true => None,
        false => Some(format!("decided by {deciding:?}, not by {:?}", way.decided)),
    }
}

#[test]
fn the_cases_are_answered_as_their_authors_saw_them() {
    let mut wrong = Vec::new();
    for flow in FLOWS {
        let (_, json, errors) = run("explain", flow, &["--format", "json"]);
        let place = format!("{} {}", flow.args, flow.flow);
        let Ok(report) = serde_json::from_str::<Value>(&json) else {
            wrong.push(format!("{place}\n  no report: {errors}"));
            continue;
        };
        let answer = &report["flows"][0];
        if let Some(what) = differs(&answer["request"], &flow.request) {
            wrong.push(format!("{place}\n  request: {what}"));
        }
        match &flow.reply {
            Some(way) => {
                if let Some(what) = differs(&answer["reply"], way) {
                    wrong.push(format!("{place}\n  reply: {what}"));
                }
            }
            None if answer["reply"].is_null() => {}
            None => wrong.push(format!("{place}\n  there is a reply")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_kernel_does_with_the_cases_what_their_pages_say() {
    if !kernel_or_skip("a_kernel_does_with_the_cases_what_their_pages_say") {
        return;
    }
    let mut wrong = Vec::new();
    for flow in FLOWS {
        let (status, text, errors) = run("verify", flow, &[]);
        if status != Some(0) {
            wrong.push(format!("{} {}\n{text}{errors}", flow.args, flow.flow));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every trace that was captured beside a snapshot, told by `explain-trace`.
#[test]
fn every_line_that_the_real_programs_rules_left_in_a_trace_is_one_of_the_model() {
    let mut told = 0;
    let mut wrong = Vec::new();
    for snapshot in files_below(&testdata(""), "snapshot.json") {
        let folder = snapshot.parent().expect("a file stands in a folder");
        for trace in files_below(&folder.join("traces"), ".txt") {
            let text = fs::read_to_string(&trace).expect("a trace");
            let settings = text
                .lines()
                .find_map(|line| line.strip_prefix("# sysctl: "));
            let output = Command::new(env!("CARGO_BIN_EXE_nfpath"))
                .env("COLUMNS", "200")
                .env("NO_COLOR", "1")
                .arg("explain-trace")
                .args([&trace, &snapshot])
                .args(settings.map(|setting| format!("--sysctl={setting}")))
                .output()
                .expect("nfpath runs");
            let report = String::from_utf8_lossy(&output.stdout);
            told += 1;
            let all =
                |line: &str| line.contains("- all ") && line.contains("are those of the model");
            if !report.lines().any(all) {
                wrong.push(format!("{}\n{report}", trace.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(told > 70, "only {told} traces");
}
