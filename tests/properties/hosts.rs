//! A router with two networks and a bridge, told in full or with facts withheld, and the packets it may see.

use nfpath::explain::Question;
use nfpath::flow;
use nfpath::host::Host;
use nfpath::load::bundle::{HostPart, assemble};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::rulesets::{V4, V6};

/// What is not said in the first of two questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Withheld {
    pub sport: bool,
    pub addresses: bool,
    pub routes: bool,
    pub rules: bool,
    pub sysctls: bool,
    pub iif: bool,
    pub uid: bool,
    pub meanings: bool,
    pub assume: bool,
}

pub fn withheld() -> impl Strategy<Value = Withheld> {
    let often = || prop::bool::weighted(0.3);
    (
        prop::bool::weighted(0.6),
        (often(), often(), often(), often()),
        (often(), often(), often(), often()),
    )
        .prop_map(
            |(sport, (addresses, routes, rules, sysctls), (iif, uid, meanings, assume))| Withheld {
                sport,
                addresses,
                routes,
                rules,
                sysctls,
                iif,
                uid,
                meanings,
                assume,
            },
        )
}

/// Settings of the host that cases differ in.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub forwarding: bool,
    pub rp_filter: u8,
    pub bridge_nf_call: bool,
    pub marked_route: bool,
}

impl Setting {
    /// The setting without what an answer takes for usual and does not even say (docs/limitations.md): routing rules
    /// beside the three of every host, and a strict reverse path filter where nothing is known of it nor of the routes.
    pub fn usual_where(self, withheld: &Withheld) -> Setting {
        let silent = withheld.sysctls && (withheld.routes || withheld.addresses);
        Setting {
            marked_route: self.marked_route && !withheld.rules,
            rp_filter: if silent { 0 } else { self.rp_filter },
            ..self
        }
    }
}

pub fn setting() -> impl Strategy<Value = Setting> {
    (
        prop::bool::weighted(0.8),
        select(vec![0, 0, 1, 2]),
        any::<bool>(),
        prop::bool::weighted(0.3),
    )
        .prop_map(
            |(forwarding, rp_filter, bridge_nf_call, marked_route)| Setting {
                forwarding,
                rp_filter,
                bridge_nf_call,
                marked_route,
            },
        )
}

const ADDRESSES: [(&str, &str, u8); 10] = [
    ("lo", "127.0.0.1", 8),
    ("eth0", "10.0.0.1", 24),
    ("eth0", "10.0.0.9", 32),
    ("eth1", "10.1.0.1", 24),
    ("br0", "172.20.0.1", 24),
    ("lo", "::1", 128),
    ("eth0", "fd00::1", 64),
    ("eth0", "fd00::9", 64),
    ("eth1", "fd01::1", 64),
    ("br0", "fd02::1", 64),
];

fn links() -> String {
    let link = |index: u32, name: &str, more: serde_json::Value| {
        let mut link = json!({
            "ifindex": index, "ifname": name, "flags": ["BROADCAST", "UP", "LOWER_UP"], "mtu": 1500,
            "link_type": "ether", "address": format!("02:00:00:00:00:{index:02x}"), "group": "default"
        });
        if let (Some(link), serde_json::Value::Object(more)) = (link.as_object_mut(), more) {
            link.extend(more);
        }
        link
    };
    let port =
        json!({"master": "br0", "linkinfo": {"info_kind": "veth", "info_slave_kind": "bridge"}});
    json!([
        link(
            1,
            "lo",
            json!({"link_type": "loopback", "flags": ["LOOPBACK", "UP", "LOWER_UP"]})
        ),
        link(2, "eth0", json!({})),
        link(3, "eth1", json!({})),
        link(4, "br0", json!({"linkinfo": {"info_kind": "bridge"}})),
        link(5, "p1", port.clone()),
        link(6, "p2", port),
    ])
    .to_string()
}

fn addresses() -> String {
    let listed: Vec<_> = [
        (1, "lo"),
        (2, "eth0"),
        (3, "eth1"),
        (4, "br0"),
        (5, "p1"),
        (6, "p2"),
    ]
    .into_iter()
    .map(|(index, name)| {
        let info: Vec<_> = ADDRESSES
            .iter()
            .filter(|(dev, _, _)| *dev == name)
            .map(|(_, ip, len)| {
                let family = if ip.contains(':') { "inet6" } else { "inet" };
                let scope = if name == "lo" { "host" } else { "global" };
                json!({"family": family, "local": ip, "prefixlen": len, "scope": scope})
            })
            .collect();
        json!({"ifindex": index, "ifname": name, "flags": ["UP", "LOWER_UP"], "addr_info": info})
    })
    .collect();
    json!(listed).to_string()
}

fn routes(v6: bool, setting: &Setting) -> String {
    let mut routes = Vec::new();
    for (dev, ip, len) in ADDRESSES.iter().filter(|(_, ip, _)| ip.contains(':') == v6) {
        let mut own =
            json!({"type": "local", "dst": ip, "dev": dev, "table": "local", "flags": []});
        if !v6 {
            own["prefsrc"] = json!(ip);
        }
        routes.push(own);
        if *dev == "lo" || ip.ends_with('9') {
            continue;
        }
        let net = if v6 {
            format!("{}/{len}", ip.trim_end_matches('1'))
        } else {
            format!("{}.0/{len}", ip.rsplit_once('.').map_or("", |(net, _)| net))
        };
        routes.push(json!({"dst": net, "dev": dev, "protocol": "kernel", "flags": []}));
        if !v6 {
            let (net, _) = ip.rsplit_once('.').expect("an IPv4 address");
            routes.push(json!({
                "type": "broadcast", "dst": format!("{net}.255"), "dev": dev, "table": "local", "flags": []
            }));
        }
    }
    if v6 {
        routes.push(json!({"dst": "default", "gateway": "fd00::fe", "dev": "eth0", "flags": []}));
    } else {
        routes.push(json!({"type": "local", "dst": "127.0.0.0/8", "dev": "lo", "table": "local", "flags": []}));
        routes.push(json!({"dst": "default", "gateway": "10.0.0.254", "dev": "eth0", "flags": []}));
        routes
            .push(json!({"dst": "10.5.0.0/16", "gateway": "10.1.0.2", "dev": "eth1", "flags": []}));
        if setting.marked_route {
            routes.push(json!({"dst": "default", "gateway": "10.1.0.2", "dev": "eth1", "table": "100", "flags": []}));
        }
    }
    json!(routes).to_string()
}

fn rules(v6: bool, setting: &Setting) -> String {
    let mut rules = vec![json!({"priority": 0, "src": "all", "table": "local"})];
    if setting.marked_route && !v6 {
        rules.push(json!({"priority": 1000, "src": "all", "fwmark": "0x1", "table": "100"}));
    }
    rules.push(json!({"priority": 32766, "src": "all", "table": "main"}));
    if !v6 {
        rules.push(json!({"priority": 32767, "src": "all", "table": "default"}));
    }
    json!(rules).to_string()
}

fn sysctls(setting: &Setting) -> String {
    let forwarding = u8::from(setting.forwarding);
    let bridged = u8::from(setting.bridge_nf_call);
    let mut text = format!(
        "net.ipv4.ip_forward = {forwarding}\nnet.ipv6.conf.all.forwarding = {forwarding}\n\
         net.bridge.bridge-nf-call-iptables = {bridged}\nnet.bridge.bridge-nf-call-ip6tables = {bridged}\n"
    );
    for dev in ["all", "default", "lo", "eth0", "eth1", "br0", "p1", "p2"] {
        text += &format!("net.ipv4.conf.{dev}.forwarding = {forwarding}\n");
        text += &format!("net.ipv4.conf.{dev}.rp_filter = {}\n", setting.rp_filter);
        for key in ["route_localnet", "accept_local", "src_valid_mark"] {
            text += &format!("net.ipv4.conf.{dev}.{key} = 0\n");
        }
    }
    text
}

/// The host, without what is withheld.
pub fn host(setting: &Setting, withheld: &Withheld) -> Host {
    let neighbours = json!([
        {"dst": "172.20.0.2", "dev": "br0", "lladdr": "02:42:ac:14:00:02", "state": ["REACHABLE"]},
        {"dst": "172.20.0.3", "dev": "br0", "lladdr": "02:42:ac:14:00:03", "state": ["REACHABLE"]},
        {"dst": "fd02::2", "dev": "br0", "lladdr": "02:42:ac:14:00:02", "state": ["REACHABLE"]},
    ])
    .to_string();
    let fdb = json!([
        {"mac": "02:42:ac:14:00:02", "ifname": "p1", "flags": [], "master": "br0", "state": ""},
        {"mac": "02:42:ac:14:00:03", "ifname": "p2", "flags": [], "master": "br0", "state": ""},
    ])
    .to_string();
    let parts = [
        (true, HostPart::Links, "links", links()),
        (
            !withheld.addresses,
            HostPart::Addresses,
            "addresses",
            addresses(),
        ),
        (
            !withheld.routes,
            HostPart::Routes,
            "routes",
            routes(false, setting),
        ),
        (
            !withheld.routes,
            HostPart::Routes,
            "routes6",
            routes(true, setting),
        ),
        (
            !withheld.rules,
            HostPart::Rules,
            "rules",
            rules(false, setting),
        ),
        (
            !withheld.rules,
            HostPart::Rules,
            "rules6",
            rules(true, setting),
        ),
        (true, HostPart::Neighbours, "neighbours", neighbours),
        (true, HostPart::BridgeFdb, "fdb", fdb),
        (
            !withheld.sysctls,
            HostPart::Sysctls,
            "sysctls",
            sysctls(setting),
        ),
    ];
    let given: Vec<(HostPart, &str, &str)> = parts
        .iter()
        .filter(|(told, _, _, _)| *told)
        .map(|(_, part, name, text)| (*part, *name, text.as_str()))
        .collect();
    let (host, diagnostics) = assemble(&given);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    host
}

/// A packet, with everything said of it.
#[derive(Debug, Clone)]
pub struct Packet {
    pub flow: String,
    pub iif: Option<&'static str>,
    pub mark: u32,
    pub uid: Option<u32>,
    pub over: bool,
}

pub fn packet() -> impl Strategy<Value = Packet> {
    let proto = select(vec![
        "tcp", "tcp", "tcp", "udp", "udp", "icmp", "sctp", "gre",
    ]);
    let source = prop_oneof![
        4 => select(vec![
            ("10.0.0.2", "fd00::2", "eth0"),
            ("8.8.8.8", "fd00::2", "eth0"),
            ("10.1.0.2", "fd01::2", "eth1"),
            ("10.5.0.7", "fd01::2", "eth1"),
            ("172.20.0.2", "fd02::2", "p1"),
            ("172.20.0.3", "fd02::2", "p2"),
            ("10.5.0.7", "fd01::2", "eth0"),
        ])
        .prop_map(Some),
        1 => Just(None),
    ];
    (
        proto,
        source,
        prop::bool::weighted(0.2),
        (0..V4.len(), 0..V6.len()),
        (
            select(vec![1024u16, 2000, 40000]),
            select(vec![22u16, 53, 80, 443, 8080]),
        ),
        (
            select(vec![0u32, 0, 0, 1, 2]),
            select(vec![0u32, 1000]),
            prop::bool::weighted(0.3),
        ),
    )
        .prop_map(
            |(proto, source, v6, dst, (sport, dport), (mark, uid, over))| {
                let dst = match (v6, source) {
                    // no interface but lo has an address of that scope to redirect to
                    (true, Some(_)) if V6[dst.1] == "::1" => "fd02::2",
                    (true, _) => V6[dst.1],
                    (false, _) => V4[dst.0],
                };
                let proto = match proto {
                    "icmp" if v6 => "icmp6",
                    other => other,
                };
                let ports = !matches!(proto, "icmp" | "icmp6" | "gre");
                let end = |ip: &str, port: u16| match ports {
                    true if ip.contains(':') => format!("[{ip}]:{port}"),
                    true => format!("{ip}:{port}"),
                    false => ip.to_string(),
                };
                let src = match source {
                    Some((v4, six, _)) => end(if v6 { six } else { v4 }, sport),
                    None if ports => format!(":{sport}"),
                    None => String::new(),
                };
                Packet {
                    flow: format!("{proto}:{src}->{}", end(dst, dport)),
                    iif: source.map(|(_, _, iif)| iif),
                    mark,
                    uid: source.is_none().then_some(uid),
                    over,
                }
            },
        )
}

impl Packet {
    /// The question about it, without what is withheld.
    pub fn question(&self, withheld: &Withheld) -> Question {
        let mut flow = flow::parse(&self.flow).unwrap_or_else(|e| panic!("{}: {e}", self.flow));
        if withheld.sport {
            flow.sport = None;
        }
        let over = self.over && !withheld.assume;
        Question {
            // a bridge's port is always said: which of a bridge's ports it is cannot be an open question
            iif: self
                .iif
                .filter(|name| !withheld.iif || name.starts_with('p'))
                .map(str::to_string),
            mark: self.mark,
            uid: self.uid.filter(|_| !withheld.uid),
            assume: over
                .then(|| ("the rate limit is exceeded".into(), "yes".into()))
                .into_iter()
                .collect(),
            ..Question::new(flow)
        }
    }
}
