//! The routing decision, compared with the kernel's own (`ip route get`, nft's `fib … type`) in fresh network namespaces.
//!
//! Needs root and iproute2; without them each test says aloud that it skips. `NFPATH_KERNEL=require` makes a skip a failure.

use std::net::IpAddr;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use nfpath::host::{
    AddressType, FoundRoute, Host, IpFamily, RouteAnswer, RouteQuery, RouteType, TableId,
    TypeAnswer,
};
use nfpath::load::bundle::{HostPart, assemble};
use serde_json::Value;

/// A router and its neighbour, joined by three veth pairs; the third has no carrier.
struct Lab {
    router: String,
    peer: String,
}

const SETUP: &str = "
link set lo up
link add r0 type veth peer name p0
link add r1 type veth peer name p1
link add r2 type veth peer name p2
link add r3 type bridge
link set p0 netns PEER
link set p1 netns PEER
link set p2 netns PEER
link set r0 up
link set r1 up
link set r2 up
link set r3 up
addr add 10.0.0.1/24 dev r0
addr add 10.0.0.2/24 dev r0
addr add 10.0.9.1/24 dev r0
addr add 192.168.7.1 peer 192.168.7.2 dev r0
addr add 169.254.3.1/16 dev r1 scope link
addr add 10.1.0.1/24 dev r1
addr add 10.2.0.1/24 dev r2
addr add 10.99.0.1/32 dev lo
addr add 10.98.0.1/24 dev lo
addr add 203.0.113.1/31 dev r3
addr add 169.254.9.1/24 dev r3 scope link
-6 addr add fd00::1/64 dev r0
-6 addr add 2001:db8::1/64 dev r0
-6 addr add fd01::1/64 dev r1
-6 addr add fd01::2/64 dev r1 preferred_lft 0
-6 addr add fd02::1/64 dev r2
-6 addr add fe80::1234/64 dev r0
";

const PEER_SETUP: &str = "
link set lo up
link set p0 up
link set p1 up
addr add 10.0.0.254/24 dev p0
addr add 10.1.0.254/24 dev p1
-6 addr add fd00::fe/64 dev p0
-6 addr add fd01::fe/64 dev p1
route add default via 10.0.0.1
-6 route add default via fd00::1
";

const ROUTES: &str = "
route add default via 10.0.0.254
route add default via 10.1.0.254 metric 50
route add 10.5.0.0/16 via 10.1.0.254
route add 10.5.0.0/16 via 10.0.0.254 tos 0x10
route add 10.5.0.0/16 via 10.0.9.254 metric 9
route add 10.5.1.0/24 via 10.0.9.254
route add 10.5.1.128/25 via 10.2.0.254
route add blackhole 10.6.0.0/16
route add 10.6.6.0/24 via 10.1.0.254
route add unreachable 10.7.0.0/16 metric 5
route add prohibit 10.8.0.0/16
route add throw 10.9.0.0/16
route add 10.10.0.0/16 nexthop via 10.0.0.254 weight 3 nexthop via 10.1.0.254
route add 10.11.0.0/16 nexthop via 10.2.0.254 nexthop via 10.1.0.254
route add 10.12.0.0/16 dev r1
route add 10.13.0.0/16 dev r1 src 10.99.0.1
route add 10.14.0.0/16 via 10.77.0.1 dev r0 onlink
route add 10.15.0.0/16 via inet6 fd00::fe dev r0
route add 10.18.0.0/16 dev r3
route add local 10.50.0.0/16 dev lo
route add 10.50.7.0/24 via 10.1.0.254
route add 127.5.0.0/16 via 10.1.0.254
route add broadcast 10.60.0.0/24 dev r0 table local
-6 route add default via fd00::fe
-6 route add default via fd01::fe metric 2000
-6 route add fd05::/32 via fd01::fe
-6 route add fd05::/32 via fd00::fe metric 9
-6 route add fd05:0:1::/48 via fd02::fe
-6 route add blackhole fd06::/32
-6 route add fd06:0:6::/48 via fd01::fe
-6 route add unreachable fd07::/32
-6 route add prohibit fd08::/32
-6 route add throw fd09::/32
-6 route add fd10::/32 nexthop via fd00::fe nexthop via fd01::fe
-6 route add fd12::/32 dev r1
-6 route add fd13::/32 dev r1 src fd00::1
-6 route add local fd50::/32 dev lo
-6 route add fd50:0:7::/48 via fd01::fe
-6 route add fd14::/32 via fd01::fe
-6 route add fd14::/32 from fd00::/64 via fd00::fe
-6 route add fd15::/32 from fd00::/64 via fd01::fe
-6 route add fd15::/32 from fd00::/48 via fd02::fe
-6 route add fd15::/16 via fd00::fe dev r0
-6 route add default from 2001:db8::/64 via fd01::fe
";

const RULES: &str = "
route add default via 10.1.0.254 table 100
route add throw 10.5.0.0/16 table 100
route add blackhole 10.16.0.0/16 table 100
route add 10.17.0.0/16 via 10.1.0.254 table 200
route add default via 10.0.9.254 table 300
rule add prio 100 fwmark 0x1/0xff table 100
rule add prio 110 from 10.1.0.0/24 table 300
rule add prio 120 to 10.17.0.0/16 iif r0 table 200
rule add prio 130 not fwmark 0x2/0xf table 200
rule add prio 140 to 10.18.0.0/16 unreachable
rule add prio 141 to 10.19.0.0/16 prohibit
rule add prio 142 to 10.20.0.0/16 blackhole
rule add prio 143 to 10.21.0.0/16 goto 400
rule add prio 144 to 10.5.0.0/16 lookup main suppress_prefixlength 16
rule add prio 145 tos 0x10 table 100
rule add prio 146 to 10.22.0.0/16 goto 9999
rule add prio 150 nop
rule add prio 160 iif lo to 10.23.0.0/16 prohibit
rule add prio 170 ipproto udp dport 53-54 table 300
rule add prio 300 to 10.21.0.0/16 prohibit
rule add prio 400 to 10.21.1.0/24 unreachable
rule add prio 410 oif r1 to 10.24.0.0/16 table 100
-6 route add default via fd01::fe table 100
-6 route add throw fd05::/32 table 100
-6 route add blackhole fd16::/32 table 100
-6 rule add prio 100 fwmark 0x1/0xff table 100
-6 rule add prio 110 from fd01::/64 table 100
-6 rule add prio 140 to fd18::/32 unreachable
-6 rule add prio 141 to fd19::/32 prohibit
-6 rule add prio 142 to fd20::/32 blackhole
-6 rule add prio 144 to fd05::/32 lookup main suppress_prefixlength 32
-6 rule add prio 145 to fd00::/7 fwmark 0x20/0xf0 lookup main suppress_prefixlength 0
-6 rule add prio 146 fwmark 0x20/0xf0 prohibit
";

const V4_TARGETS: &[&str] = &[
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.7",
    "10.0.0.255",
    "10.0.0.0",
    "10.0.9.1",
    "10.0.9.9",
    "192.168.7.1",
    "192.168.7.2",
    "169.254.3.1",
    "169.254.3.9",
    "10.1.0.1",
    "10.1.0.77",
    "10.1.0.255",
    "10.2.0.1",
    "10.2.0.9",
    "10.2.0.255",
    "10.99.0.1",
    "10.99.0.2",
    "10.98.0.1",
    "10.98.0.9",
    "10.98.0.255",
    "203.0.113.0",
    "203.0.113.1",
    "8.8.8.8",
    "10.5.3.4",
    "10.5.1.4",
    "10.5.1.200",
    "10.6.1.1",
    "10.6.6.1",
    "10.7.1.1",
    "10.8.1.1",
    "10.9.1.1",
    "10.10.0.1",
    "10.10.3.77",
    "10.11.0.9",
    "10.12.0.1",
    "10.13.0.1",
    "10.14.0.1",
    "10.15.0.1",
    "10.16.0.1",
    "10.17.0.1",
    "10.18.0.1",
    "10.19.0.1",
    "10.20.0.1",
    "10.21.0.1",
    "10.21.1.1",
    "10.22.0.1",
    "10.23.0.1",
    "10.24.0.1",
    "10.50.1.1",
    "10.50.7.1",
    "127.0.0.1",
    "127.5.0.1",
    "127.6.0.1",
    "10.60.0.5",
    "224.0.0.5",
    "239.1.1.1",
    "255.255.255.255",
];

const V6_TARGETS: &[&str] = &[
    "::1",
    "fd00::1",
    "fd00::7",
    "fd00::",
    "2001:db8::1",
    "2001:db8::9",
    "2001:db8:1::1",
    "fd01::1",
    "fd01::9",
    "fd02::1",
    "fd02::9",
    "fe80::1234",
    "fe80::99",
    "fd05::1",
    "fd05:0:1::1",
    "fd06::1",
    "fd06:0:6::1",
    "fd07::1",
    "fd08::1",
    "fd09::1",
    "fd10::1",
    "fd12::1",
    "fd13::1",
    "fd14::1",
    "fd15::1",
    "fd16::1",
    "fd18::1",
    "fd19::1",
    "fd20::1",
    "fd50::1",
    "fd50:0:7::1",
    "2600::1",
    "ff02::1",
    "ff05::7",
];

static LABS: AtomicU32 = AtomicU32::new(0);

impl Lab {
    /// `None`, after saying why, where it cannot be built.
    fn build(test: &str) -> Option<Self> {
        let reason = if !is_root() {
            "not root"
        } else if Command::new("ip").arg("-V").output().is_err() {
            "no iproute2"
        } else {
            let number = LABS.fetch_add(1, Ordering::Relaxed);
            let name = |role| format!("nfpath-{role}-{}-{number}", std::process::id());
            let lab = Self {
                router: name("r"),
                peer: name("p"),
            };
            if succeeded(&ip(&["netns", "add", &lab.router]))
                && succeeded(&ip(&["netns", "add", &lab.peer]))
            {
                for ns in [&lab.router, &lab.peer] {
                    for conf in ["all", "default"] {
                        lab.shell(
                            ns,
                            &format!("echo 0 > /proc/sys/net/ipv6/conf/{conf}/accept_dad"),
                        );
                        lab.shell(
                            ns,
                            &format!("echo 0 > /proc/sys/net/ipv4/conf/{conf}/rp_filter"),
                        );
                        lab.shell(
                            ns,
                            &format!("echo 1 > /proc/sys/net/ipv6/conf/{conf}/forwarding"),
                        );
                    }
                }
                lab.shell(&lab.router, "echo 1 > /proc/sys/net/ipv4/ip_forward");
                lab.batch(&lab.router, &SETUP.replace("PEER", &lab.peer));
                lab.batch(&lab.peer, PEER_SETUP);
                return Some(lab);
            }
            "no network namespaces"
        };
        assert_ne!(
            std::env::var("NFPATH_KERNEL").as_deref(),
            Ok("require"),
            "{test}: the kernel lab is required: {reason}"
        );
        eprintln!("SKIPPED {test}: {reason}");
        None
    }

    fn batch(&self, ns: &str, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut args = vec!["-n", ns];
            args.extend(line.split_whitespace());
            let output = ip(&args);
            assert!(
                succeeded(&output),
                "ip {line}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }

    fn shell(&self, ns: &str, script: &str) -> String {
        let output = ip(&["netns", "exec", ns, "sh", "-c", script]);
        assert!(
            succeeded(&output),
            "{script}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn list(&self, args: &[&str]) -> String {
        let output = ip(&[&["-n", self.router.as_str(), "-j", "-d"], args].concat());
        assert!(
            succeeded(&output),
            "ip {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn host(&self) -> Host {
        let sysctls = self.shell(&self.router, "cd /proc/sys && for f in net/ipv4/ip_forward net/ipv[46]/conf/*/*; do echo \"$f = $(cat $f 2>/dev/null | head -1)\"; done");
        let (addresses, links) = (self.list(&["addr"]), self.list(&["link"]));
        let (routes, routes6) = (
            self.list(&["route", "show", "table", "all"]),
            self.list(&["-6", "route", "show", "table", "all"]),
        );
        let (rules, rules6) = (self.list(&["rule"]), self.list(&["-6", "rule"]));
        let (host, diagnostics) = assemble(&[
            (HostPart::Links, "links", &links),
            (HostPart::Addresses, "addresses", &addresses),
            (HostPart::Routes, "routes", &routes),
            (HostPart::Routes, "routes6", &routes6),
            (HostPart::Rules, "rules", &rules),
            (HostPart::Rules, "rules6", &rules6),
            (HostPart::Sysctls, "sysctls", &sysctls),
        ]);
        assert_eq!(diagnostics, []);
        assert!(
            host.complete.routes4
                && host.complete.routes6
                && host.complete.rules4
                && host.complete.rules6
        );
        assert!(host.complete.addresses && host.complete.links && host.complete.sysctls);
        host
    }

    /// What the kernel answers: the route, or the errno's text.
    fn kernel(&self, query: &RouteQuery<'_>, fibmatch: bool) -> Result<Value, String> {
        let mut args = vec!["-n".to_owned(), self.router.clone(), "-j".to_owned()];
        if query.dst.is_ipv6() {
            args.push("-6".to_owned());
        }
        args.extend(["route", "get"].map(str::to_owned));
        if fibmatch {
            args.push("fibmatch".to_owned());
        }
        args.push(query.dst.to_string());
        let mut option = |key: &str, value: String| args.extend([key.to_owned(), value]);
        if let Some(src) = query.src {
            option("from", src.to_string());
        }
        if let Some(iif) = query.iif {
            option("iif", iif.to_owned());
        }
        if let Some(oif) = query.oif {
            option("oif", oif.to_owned());
        }
        if query.mark != 0 {
            option("mark", query.mark.to_string());
        }
        if query.tos != 0 {
            option("tos", format!("{:#x}", query.tos));
        }
        if let Some(proto) = query.proto {
            option("ipproto", proto.to_string());
        }
        if let Some(port) = query.dport {
            option("dport", port.to_string());
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = ip(&args);
        if succeeded(&output) {
            let value: Value = serde_json::from_slice(&output.stdout).expect("ip prints JSON");
            Ok(value[0].clone())
        } else {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(text
                .trim()
                .trim_start_matches("RTNETLINK answers: ")
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned())
        }
    }

    /// Asks both and returns how many questions there were and where they differ.
    fn compare(&self, host: &Host, queries: &[RouteQuery<'_>]) -> (usize, Vec<String>) {
        let mut differences = Vec::new();
        for query in queries {
            let ours = host.route(query);
            let kernel = self.kernel(query, false);
            if let Some(difference) = differs(host, query, &ours, &kernel) {
                differences.push(format!(
                    "{query:?}\n    kernel: {kernel:?}\n    ours:   {ours:?}\n    {difference}"
                ));
                continue;
            }
            // Which entry decided; the kernel only tells it for answers that come from the tables.
            if let RouteAnswer::Found(found) = &ours
                && kernel.is_ok()
                && found.table != TableId::UNSPEC
                && let Ok(entry) = self.kernel(query, true)
                && let Some(difference) = differs_in_entry(found, &entry)
            {
                differences.push(format!(
                    "{query:?}\n    kernel: {entry}\n    ours:   {ours:?}\n    {difference}"
                ));
            }
        }
        (queries.len(), differences)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for ns in [&self.router, &self.peer] {
            ip(&["netns", "del", ns]);
        }
    }
}

fn ip(args: &[&str]) -> Output {
    Command::new("ip").args(args).output().expect("ip runs")
}

fn succeeded(output: &Output) -> bool {
    output.status.success()
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .and_then(|line| line.split_whitespace().nth(1))
        == Some("0")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The difference between our answer and `ip route get`, in words.
fn differs(
    host: &Host,
    query: &RouteQuery<'_>,
    ours: &RouteAnswer,
    kernel: &Result<Value, String>,
) -> Option<String> {
    let found = match (ours, kernel) {
        (RouteAnswer::Unknown { missing }, _) => return Some(format!("unknown: {missing}")),
        (RouteAnswer::NoRoute, Err(error)) => {
            return (!error.contains("Network is unreachable")
                && !error.contains("No route to host"))
            .then(|| "another error".to_owned());
        }
        (RouteAnswer::NoRoute, Ok(_)) => return Some("the kernel has a route".to_owned()),
        (RouteAnswer::Found(found), _) => found,
    };
    let kernel = match kernel {
        Err(error) => {
            let fits = match found.kind {
                RouteType::Blackhole => error.contains("Invalid argument"),
                RouteType::Unreachable => {
                    error.contains("No route to host") || error.contains("Network is unreachable")
                }
                RouteType::Prohibit => error.contains("Permission denied"),
                _ => false,
            };
            return (!fits).then(|| "the kernel refuses".to_owned());
        }
        Ok(kernel) => kernel,
    };
    let kind = match kernel["type"].as_str() {
        None | Some("unicast") => RouteType::Unicast,
        Some("local") => RouteType::Local,
        Some("broadcast") => RouteType::Broadcast,
        Some("multicast") => RouteType::Multicast,
        Some("anycast") => RouteType::Anycast,
        Some(other) => return Some(format!("type {other}")),
    };
    if kind != found.kind {
        return Some(format!("type {kind:?}"));
    }
    // `ip route get` names the loopback device for what stays on the host.
    if matches!(kind, RouteType::Local | RouteType::Anycast)
        || (kind != RouteType::Unicast && query.iif.is_some())
    {
        return None;
    }
    let dev = kernel["dev"].as_str();
    let via = kernel["gateway"]
        .as_str()
        .or(kernel["via"]["host"].as_str())
        .map(address);
    if !found
        .nexthops
        .iter()
        .any(|hop| hop.dev.as_deref() == dev && hop.via == via)
    {
        return Some("another next hop".to_owned());
    }
    if query.src.is_none() && kind == RouteType::Unicast && found.table != TableId::UNSPEC {
        let expected = kernel["prefsrc"].as_str().map(address);
        let hop = found
            .nexthops
            .iter()
            .find(|hop| hop.dev.as_deref() == dev && hop.via == via)?;
        let family = IpFamily::of(query.dst);
        let towards = match family {
            IpFamily::V4 => hop.via,
            IpFamily::V6 => Some(query.dst),
        };
        let ours = found.prefsrc.or_else(|| {
            host.source_address_within(hop.dev.as_deref()?, towards, family, found.scope)
                .map(|(ip, _)| ip)
        });
        if ours != expected {
            return Some(format!("source {ours:?}"));
        }
    }
    None
}

/// The difference between our route and the entry of the table (`ip route get fibmatch`).
fn differs_in_entry(found: &FoundRoute, entry: &Value) -> Option<String> {
    let table = match entry["table"].as_str() {
        None | Some("main") => TableId::MAIN,
        Some("local") => TableId::LOCAL,
        Some("default") => TableId::DEFAULT,
        Some(number) => TableId(number.parse().ok()?),
    };
    let dst = entry["dst"].as_str()?;
    let (net, len) = dst
        .split_once('/')
        .unwrap_or((dst, if dst.contains(':') { "128" } else { "32" }));
    let prefix = if dst == "default" {
        found.prefix.prefix_len() == 0
    } else {
        found.prefix.to_string() == format!("{net}/{len}")
    };
    let metric = entry["metric"].as_u64().unwrap_or(0);
    // While local and main are one trie the kernel calls both main.
    let same_table =
        table == found.table || (table == TableId::MAIN && found.table == TableId::LOCAL);
    (!same_table || !prefix || metric != u64::from(found.metric))
        .then(|| "another entry of the table".to_owned())
}

fn local_queries<'a>(targets: &'a [&'a str], sources: &'a [&'a str]) -> Vec<RouteQuery<'a>> {
    let mut queries: Vec<RouteQuery<'_>> = targets
        .iter()
        .map(|dst| RouteQuery::to(address(dst)))
        .collect();
    for dst in targets
        .iter()
        .filter(|dst| !address(dst).is_multicast() && **dst != "255.255.255.255")
    {
        let to = RouteQuery::to(address(dst));
        queries.extend(sources.iter().map(|src| RouteQuery {
            src: Some(address(src)),
            ..to
        }));
        queries.push(RouteQuery { mark: 1, ..to });
        queries.push(RouteQuery { mark: 0x22, ..to });
    }
    queries
}

fn incoming_queries<'a>(targets: &'a [&'a str], src: &'a str, iif: &'a str) -> Vec<RouteQuery<'a>> {
    // The kernel has no answer to `ip route get` for IPv6 multicast that came in.
    targets
        .iter()
        .filter(|dst| !dst.starts_with("ff"))
        .map(|dst| RouteQuery::through(address(dst), address(src), iif))
        .collect()
}

#[track_caller]
fn assert_same(results: &[(usize, Vec<String>)]) {
    let asked: usize = results.iter().map(|(asked, _)| asked).sum();
    let differences: Vec<&String> = results
        .iter()
        .flat_map(|(_, differences)| differences)
        .collect();
    println!("{asked} routing decisions compared");
    let text: Vec<&str> = differences.iter().map(|text| text.as_str()).collect();
    assert!(
        differences.is_empty(),
        "{} of {asked} differ:\n{}",
        differences.len(),
        text.join("\n")
    );
}

#[test]
fn routes_as_the_kernel_does_without_rules() {
    let Some(lab) = Lab::build("routes_as_the_kernel_does_without_rules") else {
        return;
    };
    lab.batch(&lab.router, ROUTES);
    let host = lab.host();
    let tos: Vec<RouteQuery<'_>> = ["10.5.3.4", "8.8.8.8"]
        .iter()
        .flat_map(|dst| {
            [0x10, 0x08, 0x11, 0xb0].map(|tos| RouteQuery {
                tos,
                ..RouteQuery::to(address(dst))
            })
        })
        .collect();
    assert_same(&[
        lab.compare(&host, &local_queries(V4_TARGETS, &["10.0.0.1", "10.1.0.1"])),
        lab.compare(
            &host,
            &local_queries(V6_TARGETS, &["fd00::1", "fd01::1", "2001:db8::1"]),
        ),
        lab.compare(
            &host,
            &incoming_queries(&V4_TARGETS[..52], "10.0.0.254", "r0"),
        ),
        lab.compare(&host, &incoming_queries(V6_TARGETS, "fd00::fe", "r0")),
        lab.compare(&host, &tos),
    ]);
}

#[test]
fn routes_as_the_kernel_does_with_rules() {
    let Some(lab) = Lab::build("routes_as_the_kernel_does_with_rules") else {
        return;
    };
    lab.batch(&lab.router, ROUTES);
    lab.batch(&lab.router, RULES);
    let host = lab.host();
    let selected: Vec<RouteQuery<'_>> = V4_TARGETS[..50]
        .iter()
        .map(|dst| RouteQuery {
            proto: Some(17),
            dport: Some(53),
            ..RouteQuery::to(address(dst))
        })
        .chain(V4_TARGETS[..50].iter().map(|dst| RouteQuery {
            tos: 0x10,
            ..RouteQuery::to(address(dst))
        }))
        .collect();
    assert_same(&[
        lab.compare(&host, &local_queries(V4_TARGETS, &["10.0.0.1", "10.1.0.1"])),
        lab.compare(
            &host,
            &local_queries(V6_TARGETS, &["fd00::1", "fd01::1", "2001:db8::1"]),
        ),
        lab.compare(
            &host,
            &incoming_queries(&V4_TARGETS[..52], "10.0.0.254", "r0"),
        ),
        lab.compare(
            &host,
            &incoming_queries(&V4_TARGETS[..52], "10.1.0.254", "r1"),
        ),
        lab.compare(&host, &incoming_queries(V6_TARGETS, "fd01::fe", "r1")),
        lab.compare(&host, &selected),
    ]);
}

/// What `ip` and `bridge` print for people is read as their JSON is.
#[test]
fn listings_for_people_say_what_their_json_says() {
    let Some(lab) = Lab::build("listings_for_people_say_what_their_json_says") else {
        return;
    };
    lab.batch(&lab.router, ROUTES);
    lab.batch(&lab.router, RULES);
    let more = "link set r2 master r3\nlink add link r1 name r1.7 address 02:00:00:00:07:07 type macvlan\n\
        rule add prio 180 uidrange 1-7 sport 9 suppress_ifgroup 3 table 100\nrule add prio 190 l3mdev\n\
        rule add prio 191 fwmark 0x9 oif gone table 77\n\
        neigh add 10.0.0.9 lladdr 02:00:00:00:00:09 dev r0\nneigh add 10.0.0.8 nud failed dev r0\n-6 neigh add fd00::9 lladdr 02:00:00:00:00:09 dev r0\n";
    // what this kernel lacks is left out
    for line in more.lines().map(str::trim) {
        let mut args = vec!["-n", lab.router.as_str()];
        args.extend(line.split_whitespace());
        ip(&args);
    }
    let parts: [(HostPart, &str); 9] = [
        (HostPart::Links, "ip OPT -s -d link"),
        (HostPart::Addresses, "ip OPT -d address"),
        (HostPart::Routes, "ip OPT route show table all"),
        (HostPart::Routes, "ip OPT -6 route show table all"),
        (HostPart::Rules, "ip OPT -4 rule list"),
        (HostPart::Rules, "ip OPT -6 rule list"),
        (HostPart::Neighbours, "ip OPT -s -s neigh show"),
        (HostPart::BridgeLinks, "bridge OPT -s -s -d link show"),
        (HostPart::BridgeFdb, "bridge OPT -s -s -d fdb show"),
    ];
    let read = |option: &str| {
        let texts = parts.map(|(part, command)| {
            let command = command.replace("OPT", option);
            (part, lab.shell(&lab.router, &command))
        });
        let inputs: Vec<(HostPart, &str, &str)> = texts
            .iter()
            .map(|(part, text)| (*part, "listing", text.as_str()))
            .collect();
        assemble(&inputs)
    };
    // the kernel may still be at work on carriers and neighbours
    let settled = (0..100).find_map(|_| {
        let (before, text, after) = (read("-j"), read(""), read("-j"));
        (before == after).then_some((before, text))
    });
    let ((json, said), (text, said_of_text)) = settled.expect("a host that settles");
    assert_eq!(said, said_of_text);
    assert_eq!(json.links, text.links);
    assert_eq!(json.addresses, text.addresses);
    for (json, text) in json.routes.iter().zip(&text.routes) {
        assert_eq!(json, text);
    }
    assert_eq!(json.routes.len(), text.routes.len());
    assert_eq!(json.rules, text.rules);
    assert_eq!(json.neighbours, text.neighbours);
    assert_eq!(json.fdb, text.fdb);
    assert_eq!(json.complete, text.complete);
    assert!(text.routes.len() > 60 && text.rules.len() > 25, "too few");
    assert!(text.neighbours.len() >= 2 && !text.fdb.is_empty());
}

#[test]
fn a_bound_sender_leaves_through_its_device() {
    let Some(lab) = Lab::build("a_bound_sender_leaves_through_its_device") else {
        return;
    };
    lab.batch(&lab.router, ROUTES);
    let host = lab.host();
    let bound = |targets: &[&str]| -> Vec<RouteQuery<'static>> {
        targets
            .iter()
            .flat_map(|dst| {
                ["r0", "r1"].map(|oif| RouteQuery {
                    oif: Some(oif),
                    ..RouteQuery::to(address(dst))
                })
            })
            .collect()
    };
    assert_same(&[
        lab.compare(&host, &bound(V4_TARGETS)),
        lab.compare(&host, &bound(V6_TARGETS)),
    ]);
}

#[test]
fn the_default_table_is_asked_last() {
    let Some(lab) = Lab::build("the_default_table_is_asked_last") else {
        return;
    };
    lab.batch(&lab.router, ROUTES);
    lab.batch(&lab.router, "route add default via 10.0.9.254 table default\nroute add prohibit 10.7.0.0/16 table default");
    let host = lab.host();
    assert_same(&[lab.compare(&host, &local_queries(V4_TARGETS, &[]))]);
}

#[test]
fn next_hops_without_carrier_are_skipped_on_demand() {
    for conf in ["all", "r2"] {
        let Some(lab) = Lab::build("next_hops_without_carrier_are_skipped_on_demand") else {
            return;
        };
        // The kernel weighs the next hops of a route when it is added.
        lab.shell(&lab.router, &format!("for f in 4 6; do echo 1 > /proc/sys/net/ipv$f/conf/{conf}/ignore_routes_with_linkdown; done"));
        lab.batch(&lab.router, ROUTES);
        let host = lab.host();
        assert_same(&[
            lab.compare(&host, &local_queries(V4_TARGETS, &["10.0.0.1"])),
            lab.compare(&host, &local_queries(V6_TARGETS, &["fd00::1"])),
        ]);
    }
}

#[test]
fn routes_that_follow_from_addresses_are_those_the_kernel_adds() {
    let Some(lab) = Lab::build("routes_that_follow_from_addresses_are_those_the_kernel_adds")
    else {
        return;
    };
    let mut host = lab.host();
    host.routes.clear();
    (host.complete.routes4, host.complete.routes6) = (false, false);
    let answered = |query: &RouteQuery<'_>| match (host.route(query), lab.kernel(query, false)) {
        (RouteAnswer::Unknown { .. }, kernel) => {
            assert!(kernel.is_err(), "{query:?}: {kernel:?}");
            false
        }
        (_, _) => true,
    };
    // Which of several equal devices a link-local destination without one goes to depends on when they came up.
    let equal = ["fe80::99", "ff02::1", "ff05::7"];
    let targets = V4_TARGETS
        .iter()
        .chain(V6_TARGETS)
        .filter(|dst| !equal.contains(dst));
    let queries: Vec<RouteQuery<'_>> = targets
        .map(|dst| RouteQuery::to(address(dst)))
        .chain(equal.iter().map(|dst| RouteQuery {
            oif: Some("r1"),
            ..RouteQuery::to(address(dst))
        }))
        .filter(answered)
        .collect();
    assert!(queries.len() > 30, "only {} answered", queries.len());
    assert_same(&[lab.compare(&host, &queries)]);
}

#[test]
fn a_snapshot_of_this_machine_is_read_again() {
    let Some(_lab) = Lab::build("a_snapshot_of_this_machine_is_read_again") else {
        return;
    };
    let text = nfpath::capture::snapshot(&nfpath::capture::ThisMachine);
    let bundle = nfpath::load::bundle::read("snapshot", &text).expect("its own bundle");
    let complete = bundle.host.complete;
    assert!(
        complete.links
            && complete.addresses
            && complete.routes4
            && complete.rules4
            && complete.sysctls,
        "{complete:?}"
    );
    assert!(bundle.kernel.is_some() && bundle.hostname.is_some());
    println!("{:?}", bundle.diagnostics);
}

#[test]
fn address_types_are_those_of_fib() {
    let Some(lab) = Lab::build("address_types_are_those_of_fib") else {
        return;
    };
    if Command::new("nft").arg("-v").output().is_err() {
        assert_ne!(
            std::env::var("NFPATH_KERNEL").as_deref(),
            Ok("require"),
            "nft is required"
        );
        eprintln!("SKIPPED address_types_are_those_of_fib: no nft");
        return;
    }
    lab.batch(&lab.router, ROUTES);
    let ruleset = "table inet t {
        set a4 { typeof ip daddr . meta iifname . fib daddr type; flags dynamic; size 9999; }
        set d4 { typeof ip daddr . meta iifname . fib daddr type; flags dynamic; size 9999; }
        set a6 { typeof ip6 daddr . meta iifname . fib daddr type; flags dynamic; size 9999; }
        set d6 { typeof ip6 daddr . meta iifname . fib daddr type; flags dynamic; size 9999; }
        chain c { type filter hook prerouting priority -300;
            udp dport 9 add @a4 { ip daddr . meta iifname . fib daddr type }
            udp dport 9 add @d4 { ip daddr . meta iifname . fib daddr . iif type }
            udp dport 9 add @a6 { ip6 daddr . meta iifname . fib daddr type }
            udp dport 9 add @d6 { ip6 daddr . meta iifname . fib daddr . iif type }
        }
        }";
    lab.shell(&lab.router, &format!("nft -f - <<'END'\n{ruleset}\nEND"));
    let host = lab.host();
    let sent: Vec<&str> = V4_TARGETS
        .iter()
        .chain(V6_TARGETS)
        .copied()
        .filter(|dst| !dst.starts_with("127.") && *dst != "::1")
        .collect();
    let send = sent
        .iter()
        .map(|dst| format!("(echo > /dev/udp/{dst}/9) 2>/dev/null"))
        .collect::<Vec<_>>()
        .join("\n");
    ip(&["netns", "exec", &lab.peer, "bash", "-c", &send]);
    let mut compared = 0;
    let mut differences = Vec::new();
    for (set, by_device) in [("a4", false), ("d4", true), ("a6", false), ("d6", true)] {
        let listed: Value =
            serde_json::from_str(&lab.shell(&lab.router, &format!("nft -j list set inet t {set}")))
                .expect("nft prints JSON");
        let elements = listed["nftables"]
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|object| object["set"]["elem"].as_array().cloned());
        for element in elements.unwrap_or_default() {
            let concat = &element["concat"];
            let (Some(dst), Some(iif), Some(kernel)) =
                (concat[0].as_str(), concat[1].as_str(), concat[2].as_str())
            else {
                panic!("{element}")
            };
            let dev = by_device.then_some(iif);
            let ours = match host.address_type(address(dst), dev) {
                TypeAnswer::Known(kind, _) => name_of(kind),
                TypeAnswer::Unknown { .. } => "unknown",
            };
            compared += 1;
            if ours != kernel {
                differences.push(format!("{dst} on {dev:?}: kernel {kernel}, ours {ours}"));
            }
        }
    }
    println!("{compared} address types compared");
    assert!(
        differences.is_empty(),
        "{} of {compared} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
    assert!(compared > 100, "only {compared} packets came through");
}

fn name_of(kind: AddressType) -> &'static str {
    match kind {
        AddressType::Unspec => "unspec",
        AddressType::Unicast => "unicast",
        AddressType::Local => "local",
        AddressType::Broadcast => "broadcast",
        AddressType::Anycast => "anycast",
        AddressType::Multicast => "multicast",
        AddressType::Blackhole => "blackhole",
        AddressType::Unreachable => "unreachable",
        AddressType::Prohibit => "prohibit",
    }
}
