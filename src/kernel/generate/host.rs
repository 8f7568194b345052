//! Hosts, and the pools that addresses, ports and names come from, so that rules and packets meet.

use super::numbers::Numbers;

/// The kinds of host that cases run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// For `ip -batch`-like flags of [`crate::load::bundle`]: interfaces, bridges, routes, sysctls.
    pub ifaces: Vec<String>,
    pub bridges: Vec<String>,
    pub routes: Vec<String>,
    pub sysctls: Vec<String>,
    /// A mark that takes another way out.
    pub marked_route: bool,
}

/// A router with two networks and a bridge with two containers.
pub fn topology(numbers: &mut Numbers) -> Topology {
    let strict = numbers.chance(15);
    let bridged = u8::from(numbers.chance(60));
    let mut sysctls = vec![
        format!("net.ipv4.ip_forward={}", u8::from(numbers.chance(92))),
        "net.ipv6.conf.all.forwarding=1".to_string(),
        format!("net.bridge.bridge-nf-call-iptables={bridged}"),
        format!("net.bridge.bridge-nf-call-ip6tables={bridged}"),
    ];
    if strict {
        sysctls.push("net.ipv4.conf.all.rp_filter=1".into());
    }
    if numbers.chance(15) {
        sysctls.push("net.ipv4.conf.all.route_localnet=1".into());
    }
    let mut routes = vec![
        "0.0.0.0/0,dev=eth0,via=10.0.0.254".to_string(),
        "::/0,dev=eth0,via=fd00::fe".to_string(),
        "10.5.0.0/16,dev=eth1,via=10.1.0.2".to_string(),
    ];
    if numbers.chance(20) {
        routes.push("172.20.9.0/24,dev=br0".into());
    }
    Topology {
        ifaces: vec![
            "eth0=10.0.0.1/24,10.0.0.9/24,fd00::1/64".into(),
            "eth1=10.1.0.1/24,fd01::1/64".into(),
            "br0=172.20.0.1/24,fd02::1/64".into(),
            format!("{DOTTED}=10.7.0.1/24"),
        ],
        bridges: vec!["br0=p1,p2".into()],
        routes,
        sysctls,
        marked_route: numbers.chance(50),
    }
}

/// Who is behind which port of the bridge: address, Ethernet address, port.
pub const CONTAINERS: [(&str, [u8; 6], &str); 4] = [
    ("172.20.0.2", [2, 0x42, 172, 20, 0, 2], "p1"),
    ("172.20.0.3", [2, 0x42, 172, 20, 0, 3], "p2"),
    ("fd02::2", [2, 0x42, 172, 20, 0, 2], "p1"),
    ("fd02::3", [2, 0x42, 172, 20, 0, 3], "p2"),
];

/// A third network, by an interface whose name has a dot.
pub(super) const DOTTED: &str = "eth1.10";

/// Who is next to the host otherwise: interface and address.
pub const NEIGHBOURS: [(&str, &str); 7] = [
    (DOTTED, "10.7.0.2"),
    ("eth0", "10.0.0.2"),
    ("eth0", "10.0.0.254"),
    ("eth0", "fd00::2"),
    ("eth0", "fd00::fe"),
    ("eth1", "10.1.0.2"),
    ("eth1", "fd01::2"),
];

pub(super) const LINKS: [&str; 7] = ["eth0", "eth1", "br0", "lo", "p1", "p2", DOTTED];
pub(super) const OWN4: [&str; 5] = [
    "10.0.0.1",
    "10.0.0.9",
    "10.1.0.1",
    "172.20.0.1",
    "127.0.0.1",
];
pub(super) const OWN6: [&str; 4] = ["fd00::1", "fd01::1", "fd02::1", "::1"];
pub(super) const OUT4: [&str; 8] = [
    "10.0.0.2",
    "10.1.0.2",
    "172.20.0.2",
    "172.20.0.3",
    "192.0.2.7",
    "10.5.1.1",
    "10.0.0.254",
    "10.7.0.2",
];
pub(super) const OUT6: [&str; 5] = ["fd00::2", "fd01::2", "fd02::2", "fd02::3", "2001:db8::7"];
pub(super) const NETS4: [&str; 7] = [
    "10.0.0.0/24",
    "10.0.0.0/8",
    "10.1.0.0/24",
    "172.20.0.0/24",
    "192.0.2.0/28",
    "127.0.0.0/8",
    "10.0.0.2-10.1.0.2",
];
pub(super) const NETS6: [&str; 4] = ["fd00::/64", "fd00::/8", "fd02::/64", "2001:db8::/32"];
pub(super) const PORTS: [&str; 8] = ["22", "53", "80", "443", "5000", "8080", "1812", "40000"];
pub(super) const PORT_RANGES: [&str; 4] = ["1-1023", "1024-65535", "5000-5999", "80-443"];
pub(super) const MARKS: [&str; 4] = ["0x1", "0x2", "0x10", "0xff"];
