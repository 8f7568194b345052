//! The names that firewall managers give to their tables and chains, one line each.
//!
//! A pattern is literal text with captures in braces; a capture takes as little as possible, and at least one character unless its name ends in `?`.
//! Some captures have a form of their own (`plausible`): hashes have the length and the letters that the program gives them.
//! The first line that fits tells the owner; its words may name the captures.
//! A name that anybody could have given ([`SIGNS`]) counts only with what else the program leaves in the ruleset.

use super::{Owner, Place, UfwRoute};

/// A name and what it means.
struct Line {
    software: &'static str,
    /// The table's name; `*` for every table.
    table: &'static str,
    chain: &'static str,
    role: &'static str,
}

macro_rules! lines {
    ($($software:literal { $($table:literal $chain:literal => $role:literal,)* })*) => {
        &[$($(Line { software: $software, table: $table, chain: $chain, role: $role },)*)*]
    };
}

/// Sources: the programs' own documentation and the rulesets they write.
const LINES: &[Line] = lines! {
    "Docker" {
        "*" "DOCKER-USER" => "the administrator's own rules for containers",
        "*" "DOCKER-ISOLATION-STAGE-1" => "isolation between bridge networks, stage 1",
        "*" "DOCKER-ISOLATION-STAGE-2" => "isolation between bridge networks, stage 2",
        "*" "DOCKER-ISOLATION" => "isolation between bridge networks",
        "*" "DOCKER-FORWARD" => "forwarding of containers",
        "*" "DOCKER-CT" => "packets of established connections",
        "*" "DOCKER-BRIDGE" => "which bridge the packet leaves by",
        "*" "DOCKER-INTERNAL" => "internal networks",
        "*" "DOCKER-INGRESS" => "ingress of swarm services",
        "*" "DOCKER" => "published ports",
        "docker-bridges" "filter-FORWARD" => "forwarding of containers",
        "docker-bridges" "filter-forward-in__{bridge}" => "into bridge network {bridge}",
        "docker-bridges" "filter-forward-out__{bridge}" => "out of bridge network {bridge}",
        "docker-bridges" "nat-postrouting-in__{bridge}" => "source addresses towards bridge network {bridge}",
        "docker-bridges" "nat-postrouting-out__{bridge}" => "masquerade of bridge network {bridge}",
        "docker-bridges" "nat-prerouting-and-output" => "published ports",
        "docker-bridges" "nat-PREROUTING" => "published ports",
        "docker-bridges" "nat-OUTPUT" => "published ports, for this host itself",
        "docker-bridges" "nat-POSTROUTING" => "masquerade of containers",
        "docker-bridges" "raw-PREROUTING" => "direct access to containers",
        "docker-bridges" "{chain}" => "",
    }
    "Podman" {
        "netavark" "NETAVARK-HOSTPORT-DNAT" => "published ports",
        "netavark" "NETAVARK-HOSTPORT-SETMARK" => "marks packets for masquerade",
        "netavark" "NETAVARK-ISOLATION-{number}" => "isolation between networks, stage {number}",
        "netavark" "INPUT" => "to this host",
        "netavark" "FORWARD" => "forwarding of containers",
        "netavark" "PREROUTING" => "published ports",
        "netavark" "OUTPUT" => "published ports, for this host itself",
        "netavark" "POSTROUTING" => "masquerade of containers",
        "netavark" "nv_{network}_dnat" => "published ports of network {network}",
        "netavark" "nv_{network}" => "network {network}",
        "netavark" "{chain}" => "",
        "*" "NETAVARK_FORWARD" => "forwarding of containers",
        "*" "NETAVARK_INPUT" => "to this host",
        "*" "NETAVARK_ISOLATION_{number}" => "isolation between networks, stage {number}",
        "*" "NETAVARK-ISOLATION-{number}" => "isolation between networks, stage {number}",
        "*" "NETAVARK-HOSTPORT-DNAT" => "published ports",
        "*" "NETAVARK-HOSTPORT-SETMARK" => "marks packets for masquerade",
        "*" "NETAVARK-HOSTPORT-MASQ" => "masquerade of marked packets",
        "*" "NETAVARK-DN-{hex13}" => "published ports of network {hex13}",
        "*" "NETAVARK-{hex13}" => "masquerade of network {hex13}",
    }
    "CNI" {
        "*" "CNI-FORWARD" => "forwarding of containers",
        "*" "CNI-ADMIN" => "the administrator's own rules for containers",
        "*" "CNI-ISOLATION-STAGE-{number}" => "isolation between networks, stage {number}",
        "*" "CNI-HOSTPORT-DNAT" => "published ports",
        "*" "CNI-HOSTPORT-SETMARK" => "marks packets for masquerade",
        "*" "CNI-HOSTPORT-MASQ" => "masquerade of marked packets",
        "*" "CNI-DN-{hex21}" => "published ports of container {hex21}",
        "*" "CNI-{hex24}" => "masquerade of container {hex24}",
        "cni_hostport" "{chain}" => "published ports",
        "cni_plugins_masquerade" "{chain}" => "masquerade of containers",
    }
    "firewalld" {
        "firewalld" "filter_INPUT" => "incoming packets",
        "firewalld" "filter_FORWARD" => "forwarded packets",
        "firewalld" "filter_OUTPUT" => "packets of this host",
        "firewalld" "filter_PREROUTING" => "reverse path filter for IPv6",
        "firewalld" "nat_PREROUTING" => "port forwarding",
        "firewalld" "nat_POSTROUTING" => "masquerade",
        "firewalld" "nat_OUTPUT" => "port forwarding, for this host itself",
        "firewalld" "{table}_{hook}_ZONES" => "chooses the zone of a packet",
        "firewalld" "{table}_{hook}_ZONES_SOURCE" => "chooses the zone of a packet by its source",
        "firewalld" "{table}_{hook}_POLICIES_pre" => "policies that run before the zones",
        "firewalld" "{table}_{hook}_POLICIES_post" => "policies that run after the zones",
        "firewalld" "filter_IN_policy_{policy}_pre" => "policy {policy}, incoming packets, rich rules of priority below 0",
        "firewalld" "filter_IN_policy_{policy}_log" => "policy {policy}, incoming packets, log",
        "firewalld" "filter_IN_policy_{policy}_deny" => "policy {policy}, incoming packets, deny",
        "firewalld" "filter_IN_policy_{policy}_allow" => "policy {policy}, incoming packets, allow",
        "firewalld" "filter_IN_policy_{policy}_post" => "policy {policy}, incoming packets, rich rules of priority above 0",
        "firewalld" "filter_IN_policy_{policy}" => "policy {policy}, incoming packets",
        "firewalld" "filter_FWD_policy_{policy}_pre" => "policy {policy}, forwarded packets, rich rules of priority below 0",
        "firewalld" "filter_FWD_policy_{policy}_log" => "policy {policy}, forwarded packets, log",
        "firewalld" "filter_FWD_policy_{policy}_deny" => "policy {policy}, forwarded packets, deny",
        "firewalld" "filter_FWD_policy_{policy}_allow" => "policy {policy}, forwarded packets, allow",
        "firewalld" "filter_FWD_policy_{policy}_post" => "policy {policy}, forwarded packets, rich rules of priority above 0",
        "firewalld" "filter_FWD_policy_{policy}" => "policy {policy}, forwarded packets",
        "firewalld" "filter_OUT_policy_{policy}_pre" => "policy {policy}, packets of this host, rich rules of priority below 0",
        "firewalld" "filter_OUT_policy_{policy}_log" => "policy {policy}, packets of this host, log",
        "firewalld" "filter_OUT_policy_{policy}_deny" => "policy {policy}, packets of this host, deny",
        "firewalld" "filter_OUT_policy_{policy}_allow" => "policy {policy}, packets of this host, allow",
        "firewalld" "filter_OUT_policy_{policy}_post" => "policy {policy}, packets of this host, rich rules of priority above 0",
        "firewalld" "filter_OUT_policy_{policy}" => "policy {policy}, packets of this host",
        "firewalld" "nat_PRE_policy_{policy}_allow" => "policy {policy}, port forwarding",
        "firewalld" "nat_POST_policy_{policy}_allow" => "policy {policy}, masquerade",
        "firewalld" "{table}_{hook}_policy_{policy}_pre" => "policy {policy}, {table}, rich rules of priority below 0",
        "firewalld" "{table}_{hook}_policy_{policy}_log" => "policy {policy}, {table}, log",
        "firewalld" "{table}_{hook}_policy_{policy}_deny" => "policy {policy}, {table}, deny",
        "firewalld" "{table}_{hook}_policy_{policy}_allow" => "policy {policy}, {table}, allow",
        "firewalld" "{table}_{hook}_policy_{policy}_post" => "policy {policy}, {table}, rich rules of priority above 0",
        "firewalld" "{table}_{hook}_policy_{policy}" => "policy {policy}, {table}",
        "firewalld" "filter_IN_{zone}_pre" => "zone {zone}, incoming packets, rich rules of priority below 0",
        "firewalld" "filter_IN_{zone}_log" => "zone {zone}, incoming packets, log",
        "firewalld" "filter_IN_{zone}_deny" => "zone {zone}, incoming packets, deny",
        "firewalld" "filter_IN_{zone}_allow" => "zone {zone}, incoming packets, allow (services and ports)",
        "firewalld" "filter_IN_{zone}_post" => "zone {zone}, incoming packets, rich rules of priority above 0",
        "firewalld" "filter_IN_{zone}" => "zone {zone}, incoming packets",
        "firewalld" "filter_FWDI_{zone}_pre" => "zone {zone}, forwarded into the zone's host, rich rules of priority below 0",
        "firewalld" "filter_FWDI_{zone}_log" => "zone {zone}, forward-in, log",
        "firewalld" "filter_FWDI_{zone}_deny" => "zone {zone}, forward-in, deny",
        "firewalld" "filter_FWDI_{zone}_allow" => "zone {zone}, forward-in, allow",
        "firewalld" "filter_FWDI_{zone}_post" => "zone {zone}, forward-in, rich rules of priority above 0",
        "firewalld" "filter_FWDI_{zone}" => "zone {zone}, forward-in",
        "firewalld" "filter_FWDO_{zone}_pre" => "zone {zone}, forward-out, rich rules of priority below 0",
        "firewalld" "filter_FWDO_{zone}_log" => "zone {zone}, forward-out, log",
        "firewalld" "filter_FWDO_{zone}_deny" => "zone {zone}, forward-out, deny",
        "firewalld" "filter_FWDO_{zone}_allow" => "zone {zone}, forward-out, allow",
        "firewalld" "filter_FWDO_{zone}_post" => "zone {zone}, forward-out, rich rules of priority above 0",
        "firewalld" "filter_FWDO_{zone}" => "zone {zone}, forward-out",
        "firewalld" "filter_FWD_{zone}_pre" => "zone {zone}, forwarded packets, rich rules of priority below 0",
        "firewalld" "filter_FWD_{zone}_log" => "zone {zone}, forwarded packets, log",
        "firewalld" "filter_FWD_{zone}_deny" => "zone {zone}, forwarded packets, deny",
        "firewalld" "filter_FWD_{zone}_allow" => "zone {zone}, forwarded packets, allow",
        "firewalld" "filter_FWD_{zone}_post" => "zone {zone}, forwarded packets, rich rules of priority above 0",
        "firewalld" "filter_FWD_{zone}" => "zone {zone}, forwarded packets",
        "firewalld" "nat_PRE_{zone}_allow" => "zone {zone}, port forwarding",
        "firewalld" "nat_PRE_{zone}_{part}" => "zone {zone}, port forwarding, {part}",
        "firewalld" "nat_PRE_{zone}" => "zone {zone}, port forwarding",
        "firewalld" "nat_POST_{zone}_allow" => "zone {zone}, masquerade",
        "firewalld" "nat_POST_{zone}_{part}" => "zone {zone}, masquerade, {part}",
        "firewalld" "nat_POST_{zone}" => "zone {zone}, masquerade",
        "firewalld" "mangle_PRE_{zone}_{part}" => "zone {zone}, marks, {part}",
        "firewalld" "mangle_PRE_{zone}" => "zone {zone}, marks",
        "firewalld" "{chain}" => "",
        "firewalld_direct" "{chain}" => "direct rules",
        "*" "{hook}_direct" => "direct rules",
        "*" "{hook}_ZONES_SOURCE" => "chooses the zone of a packet by its source",
        "*" "{hook}_ZONES" => "chooses the zone of a packet",
        "*" "IN_{zone}_allow" => "zone {zone}, incoming packets, allow (services and ports)",
        "*" "IN_{zone}_deny" => "zone {zone}, incoming packets, deny",
        "*" "IN_{zone}_log" => "zone {zone}, incoming packets, log",
        "*" "FWDI_{zone}_allow" => "zone {zone}, forward-in, allow",
        "*" "FWDI_{zone}_deny" => "zone {zone}, forward-in, deny",
        "*" "FWDI_{zone}_log" => "zone {zone}, forward-in, log",
        "*" "FWDO_{zone}_allow" => "zone {zone}, forward-out, allow",
        "*" "FWDO_{zone}_deny" => "zone {zone}, forward-out, deny",
        "*" "FWDO_{zone}_log" => "zone {zone}, forward-out, log",
        "*" "FWDI_{zone}" => "zone {zone}, forward-in",
        "*" "FWDO_{zone}" => "zone {zone}, forward-out",
    }
    "ufw" {
        "*" "ufw{v?}-user-input" => "the administrator's rules (`ufw allow`, `ufw deny`), incoming packets",
        "*" "ufw{v?}-user-forward" => "the administrator's rules (`ufw route`), forwarded packets",
        "*" "ufw{v?}-user-output" => "the administrator's rules (`ufw allow out`), packets of this host",
        "*" "ufw{v?}-user-limit" => "`ufw limit`, over the limit",
        "*" "ufw{v?}-user-limit-accept" => "`ufw limit`, within the limit",
        "*" "ufw{v?}-user-logging-{hook}" => "log of the administrator's rules, {hook}",
        "*" "ufw{v?}-before-logging-{hook}" => "log before all rules, {hook}",
        "*" "ufw{v?}-after-logging-{hook}" => "log after all rules, {hook}",
        "*" "ufw{v?}-before-{hook}" => "before.rules, {hook}",
        "*" "ufw{v?}-after-{hook}" => "after.rules, {hook}",
        "*" "ufw{v?}-reject-{hook}" => "default policy reject, {hook}",
        "*" "ufw{v?}-track-{hook}" => "connections that the default policy accepts, {hook}",
        "*" "ufw{v?}-skip-to-policy-{hook}" => "noise that goes to the default policy without a log line, {hook}",
        "*" "ufw{v?}-logging-deny" => "log of what is denied",
        "*" "ufw{v?}-logging-allow" => "log of what is allowed",
        "*" "ufw{v?}-not-local" => "packets that are not for an address of this host",
        "*" "ufw{v?}-caps-test" => "what the kernel can do",
    }
    "ufw-docker" {
        "*" "ufw-docker-logging-deny" => "a script beside ufw: log and drop of what ufw does not route to containers",
    }
    "libvirt" {
        "libvirt_network" "forward" => "forwarding of virtual machines",
        "libvirt_network" "guest_input" => "into virtual networks",
        "libvirt_network" "guest_output" => "out of virtual networks",
        "libvirt_network" "guest_cross" => "between machines of one virtual network",
        "libvirt_network" "guest_nat" => "masquerade of virtual networks",
        "libvirt_network" "postroute_nat" => "masquerade of virtual networks",
        "libvirt_network" "{chain}" => "",
        "*" "LIBVIRT_INP" => "DHCP and DNS of virtual networks, to this host",
        "*" "LIBVIRT_OUT" => "DHCP and DNS of virtual networks, from this host",
        "*" "LIBVIRT_FWI" => "into virtual networks",
        "*" "LIBVIRT_FWO" => "out of virtual networks",
        "*" "LIBVIRT_FWX" => "between machines of one virtual network",
        "*" "LIBVIRT_PRT" => "masquerade of virtual networks",
        "*" "libvirt-{nwfilter}" => "network filter of virtual machines",
    }
    "fail2ban" {
        "f2b-table" "{chain}" => "bans",
        "*" "f2b-{jail}" => "bans of jail {jail}",
        "*" "fail2ban-{jail}" => "bans of jail {jail}",
    }
    "kube-proxy" {
        "kube-proxy" "service-{hash}-{namespace}/{name}/{proto}/{port}" => "service {namespace}/{name}, port {port}",
        "kube-proxy" "external-{hash}-{namespace}/{name}/{proto}/{port}" => "service {namespace}/{name}, port {port}, from outside",
        "kube-proxy" "firewall-{hash}-{namespace}/{name}/{proto}/{port}" => "service {namespace}/{name}, port {port}, allowed sources",
        "kube-proxy" "endpoint-{hash}-{namespace}/{name}/{proto}/{port}__{address}/{target}" => "service {namespace}/{name}, endpoint {address}:{target}",
        "kube-proxy" "services" => "which service is asked for",
        "kube-proxy" "nodeports" => "which node port is asked for",
        "kube-proxy" "nodeport-endpoints-check" => "node ports without endpoints",
        "kube-proxy" "service-endpoints-check" => "services without endpoints",
        "kube-proxy" "cluster-ips-check" => "cluster addresses that belong to no service",
        "kube-proxy" "firewall-check" => "allowed sources of services",
        "kube-proxy" "mark-for-masquerade" => "marks packets for masquerade",
        "kube-proxy" "masquerading" => "masquerade of marked packets",
        "kube-proxy" "reject-chain" => "rejects",
        "kube-proxy" "{chain}" => "",
        "*" "KUBE-SERVICES" => "which service is asked for",
        "*" "KUBE-NODEPORTS" => "which node port is asked for",
        "*" "KUBE-EXTERNAL-SERVICES" => "services asked for from outside",
        "*" "KUBE-SVC-{base16}" => "a service, chooses an endpoint",
        "*" "KUBE-SVL-{base16}" => "a service, chooses an endpoint of this node",
        "*" "KUBE-SEP-{base16}" => "an endpoint of a service",
        "*" "KUBE-EXT-{base16}" => "a service, from outside",
        "*" "KUBE-XLB-{base16}" => "a service, from outside",
        "*" "KUBE-FW-{base16}" => "a service, allowed sources",
        "*" "KUBE-MARK-MASQ" => "marks packets for masquerade",
        "*" "KUBE-MARK-DROP" => "marks packets to be dropped",
        "*" "KUBE-POSTROUTING" => "masquerade of marked packets",
        "*" "KUBE-FORWARD" => "forwarding of services",
        "*" "KUBE-PROXY-FIREWALL" => "allowed sources of services",
        "*" "KUBE-PROXY-CANARY" => "tells whether somebody flushed the rules",
    }
    "kubelet" {
        "*" "KUBE-FIREWALL" => "what must not come from outside to addresses of loopback",
        "*" "KUBE-KUBELET-CANARY" => "tells whether somebody flushed the rules",
    }
    "kube-router" {
        "*" "KUBE-ROUTER-{hook}" => "network policies, {hook}",
        "*" "KUBE-NWPLCY-{base16}" => "a network policy",
        "*" "KUBE-POD-FW-{base16}" => "the network policies of a pod",
    }
    "OpenWrt" {
        "fw4" "input" => "incoming packets",
        "fw4" "forward" => "forwarded packets",
        "fw4" "output" => "packets of this router",
        "fw4" "prerouting" => "connection tracking helpers",
        "fw4" "handle_reject" => "rejects",
        "fw4" "syn_flood" => "SYN flood protection",
        "fw4" "input_{zone}" => "zone {zone}, incoming packets",
        "fw4" "output_{zone}" => "zone {zone}, packets of this router",
        "fw4" "forward_{zone}" => "zone {zone}, forwarded packets",
        "fw4" "helper_{zone}" => "zone {zone}, connection tracking helpers",
        "fw4" "notrack_{zone}" => "zone {zone}, no connection tracking",
        "fw4" "srcnat_{zone}" => "zone {zone}, masquerade",
        "fw4" "dstnat_{zone}" => "zone {zone}, port forwarding",
        "fw4" "srcnat" => "masquerade",
        "fw4" "dstnat" => "port forwarding",
        "fw4" "{verdict}_from_{zone}" => "zone {zone}, {verdict} what comes from it",
        "fw4" "{verdict}_to_{zone}" => "zone {zone}, {verdict} what goes to it",
        "fw4" "{chain}" => "",
    }
    "Tailscale" {
        "*" "ts-input" => "to this host by the tunnel",
        "*" "ts-forward" => "forwarding by the tunnel",
        "*" "ts-postrouting" => "masquerade of the tunnel",
    }
    "Calico" {
        "*" "cali-tw-{endpoint}" => "to workload {endpoint}",
        "*" "cali-fw-{endpoint}" => "from workload {endpoint}",
        "*" "cali-pi-{policy}" => "incoming policy {policy}",
        "*" "cali-po-{policy}" => "outgoing policy {policy}",
        "*" "cali-{chain}" => "",
        "calico" "{chain}" => "",
    }
    "Cilium" {
        "*" "CILIUM_{hook}{table?}" => "",
    }
    "flannel" {
        "*" "FLANNEL-FWD" => "forwarding of pods",
        "*" "FLANNEL-POSTRTG" => "masquerade of pods",
        "flannel-ipv4" "{chain}" => "",
        "flannel-ipv6" "{chain}" => "",
    }
    "Weave" {
        "*" "WEAVE" => "",
        "*" "WEAVE-{weave}{rest?}" => "",
    }
    "LXD" {
        "lxd" "fwd.{bridge}" => "forwarding of bridge {bridge}",
        "lxd" "in.{bridge}" => "to this host by bridge {bridge}",
        "lxd" "out.{bridge}" => "from this host by bridge {bridge}",
        "lxd" "pstrt.{bridge}" => "masquerade of bridge {bridge}",
        "lxd" "{chain}" => "",
    }
    "Incus" {
        "incus" "fwd.{bridge}" => "forwarding of bridge {bridge}",
        "incus" "in.{bridge}" => "to this host by bridge {bridge}",
        "incus" "out.{bridge}" => "from this host by bridge {bridge}",
        "incus" "pstrt.{bridge}" => "masquerade of bridge {bridge}",
        "incus" "{chain}" => "",
    }
    "Proxmox VE" {
        "*" "PVEFW-{chain}" => "",
        "proxmox-firewall" "{chain}" => "",
        "proxmox-firewall-guests" "{chain}" => "guests",
    }
    "NetworkManager" {
        "nm-shared-{interface}" "{chain}" => "shared connection {interface}",
        "*" "nm-sh-in-{interface}" => "shared connection {interface}, to this host",
        "*" "nm-sh-fw-{interface}" => "shared connection {interface}, forwarding",
    }
    "systemd-networkd" {
        "io.systemd.nat" "{chain}" => "masquerade and port forwarding",
    }
    "wg-quick" {
        "wg-quick-{interface}" "{chain}" => "interface {interface}",
    }
    "miniupnpd" {
        "*" "MINIUPNPD" => "ports opened by UPnP",
        "*" "MINIUPNPD-POSTROUTING" => "ports opened by UPnP",
        "*" "MINIUPNPD-PCP-PEER" => "ports opened by PCP",
        "miniupnpd" "{chain}" => "ports opened by UPnP",
    }
    "CrowdSec" {
        "crowdsec{v?}" "{chain}" => "bans",
        "*" "CROWDSEC_CHAIN" => "bans",
    }
    "sshguard" {
        "sshguard" "{chain}" => "bans",
        "*" "sshguard" => "bans",
    }
};

/// What else there is in the ruleset where a program gave a name that anybody could have given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// Rules that refuse single sources, and a return behind them.
    Bans,
    /// The table also has a chain of this name.
    Beside(&'static str),
    /// A rule of the chain has a comment that begins so; or the chain has no rule.
    Signed(&'static str),
}

/// Beginnings of names of `*` tables that anybody could have given, and what tells that the program did.
const SIGNS: &[(&str, &str, Sign)] = &[
    ("fail2ban", "f2b-", Sign::Bans),
    ("fail2ban", "fail2ban-", Sign::Bans),
    ("firewalld", "IN_", Sign::Beside("INPUT_ZONES")),
    ("firewalld", "FWDI_", Sign::Beside("FORWARD_IN_ZONES")),
    ("firewalld", "FWDO_", Sign::Beside("FORWARD_OUT_ZONES")),
    ("Calico", "cali-", Sign::Signed("cali:")),
    ("Proxmox VE", "PVEFW-", Sign::Signed("PVESIG:")),
];

/// What has to be there besides a chain's name.
pub(super) fn sign(software: &str, table: &str, chain: &str) -> Option<Sign> {
    // a table of its own name tells enough
    if table == "f2b-table" || table == software.to_lowercase() {
        return None;
    }
    SIGNS
        .iter()
        .find(|(of, begin, _)| *of == software && chain.starts_with(begin))
        .map(|(_, _, sign)| *sign)
}

/// How a place of the administrator's is made of the captures of its name.
type MakePlace = fn(&str, &str) -> Option<Place>;

/// Chains that a software leaves to the administrator: table, chain, and the place, from the first capture and the part.
const PLACES: &[(&str, &str, MakePlace)] = &[
    ("*", "DOCKER-USER", |_, _| Some(Place::Chain)),
    ("*", "CNI-ADMIN", |_, _| Some(Place::Chain)),
    ("*", "ufw{v?}-user-input", |_, _| {
        Some(Place::Ufw(UfwRoute::In))
    }),
    ("*", "ufw{v?}-user-forward", |_, _| {
        Some(Place::Ufw(UfwRoute::Routed))
    }),
    ("*", "ufw{v?}-user-output", |_, _| {
        Some(Place::Ufw(UfwRoute::Out))
    }),
    // of Docker and of firewalld itself, not the administrator's
    (
        "firewalld",
        "filter_FWD_policy_docker-forwarding{rest?}",
        |_, _| None,
    ),
    (
        "firewalld",
        "filter_IN_policy_allow-host-ipv6{rest?}",
        |_, _| None,
    ),
    ("firewalld", "filter_IN_policy_{policy}_{part}", policy),
    ("firewalld", "filter_FWD_policy_{policy}_{part}", policy),
    ("firewalld", "filter_OUT_policy_{policy}_{part}", policy),
    ("firewalld", "filter_FWD_policy_{policy}", |_, _| None),
    ("firewalld", "filter_IN_policy_{policy}", |_, _| None),
    ("firewalld", "filter_IN_{zone}_{part}", |zone, part| {
        Some(Place::Zone {
            zone: zone.into(),
            first: first(part)?,
        })
    }),
    ("firewalld", "filter_FWD_{zone}_{part}", |_, _| None),
    ("firewalld", "filter_FWD_{zone}", |zone, _| {
        Some(Place::FromZone { zone: zone.into() })
    }),
];

fn policy(policy: &str, part: &str) -> Option<Place> {
    Some(Place::Policy {
        policy: policy.into(),
        first: first(part)?,
    })
}

/// Rich rules that accept stand in `allow`; those of a priority below zero in `pre`, before all others.
fn first(part: &str) -> Option<bool> {
    match part {
        "allow" => Some(false),
        "pre" => Some(true),
        _ => None,
    }
}

/// What the administrator may do with a chain, in the words of the software that made it.
pub(super) fn place(table: &str, chain: &str) -> Option<Place> {
    let fits = |name: &str, value: &str| match name {
        "part" => ["pre", "log", "deny", "allow", "post"].contains(&value),
        "v?" => ["", "6"].contains(&value),
        _ => true,
    };
    PLACES
        .iter()
        .filter(|(of, _, _)| *of == "*" || *of == table)
        .find_map(|(_, pattern, make)| {
            let found = captures(pattern, chain, &fits)?;
            let part = found.iter().find(|(name, _)| *name == "part");
            let first = found.first().map_or("", |(_, value)| value);
            Some(make(first, part.map_or("", |(_, value)| value)))
        })
        .flatten()
}

/// Bridges by the names that only one software gives.
const BRIDGES: &[(&str, &str)] = &[
    ("docker0", "Docker"),
    ("docker_gwbridge", "Docker"),
    ("podman{number}", "Podman"),
    ("cni-podman{number}", "Podman"),
    ("virbr{number}", "libvirt"),
    ("lxdbr{number}", "LXD"),
    ("incusbr{number}", "Incus"),
];

/// The built-in chains of iptables, which all software shares.
pub(super) fn is_iptables_chain(name: &str) -> bool {
    ["INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING"].contains(&name)
}

/// Who gave a chain its name.
pub(super) fn owner(table: &str, chain: &str) -> Option<Owner> {
    LINES.iter().find_map(|line| {
        let fits = |name: &str, value: &str| plausible(line, name, value);
        let mut found = match line.table {
            "*" => Vec::new(),
            pattern => captures(pattern, table, &fits)?,
        };
        found.extend(captures(line.chain, chain, &fits)?);
        Some(Owner {
            software: line.software,
            role: filled(line.role, &found),
        })
    })
}

/// Captures that can only be one of a few words.
fn plausible(line: &Line, name: &str, value: &str) -> bool {
    let hashed = |len: usize, letter: fn(&u8) -> bool| {
        value.len() == len && value.as_bytes().iter().all(letter)
    };
    match (name, line.software) {
        ("hook", "firewalld") if line.table == "*" => is_hook(value),
        ("hook", "ufw") => ["input", "output", "forward"].contains(&value),
        ("hook", "kube-router") => ["INPUT", "FORWARD", "OUTPUT", "SERVICES"].contains(&value),
        ("hook", "Cilium") => ["INPUT", "OUTPUT", "FORWARD", "PRE", "POST"].contains(&value),
        ("table?", "Cilium") => ["", "_nat", "_mangle", "_raw"].contains(&value),
        ("weave", _) => ["NPC", "KUBE-EGRESS", "CANARY", "EXPOSE", "IPSEC"].contains(&value),
        ("rest?", "Weave") => value.is_empty() || value.starts_with('-'),
        // virnwfilter: chains of iptables, and those of an interface in ebtables
        ("nwfilter", _) => {
            ["in", "out", "in-post", "host-in"].contains(&value)
                || ["I-", "O-", "J-", "P-"]
                    .iter()
                    .any(|begin| value.starts_with(begin))
        }
        ("number", _) => value.bytes().all(|b| b.is_ascii_digit()),
        // netavark: SHA-512 of the network in capitals; CNI: of the container, cut so that the name has 28 characters
        ("hex13", _) => hashed(13, |b| b.is_ascii_digit() || (b'A'..=b'F').contains(b)),
        ("hex21", _) => hashed(21, |b| b.is_ascii_digit() || (b'a'..=b'f').contains(b)),
        ("hex24", _) => hashed(24, |b| b.is_ascii_digit() || (b'a'..=b'f').contains(b)),
        // kube-proxy and kube-router: SHA-256 in base 32, cut
        ("base16", _) => hashed(16, |b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(b)),
        ("part", "firewalld") => ["pre", "log", "deny", "allow", "post"].contains(&value),
        ("v?", _) => ["", "6"].contains(&value),
        _ => true,
    }
}

fn is_hook(name: &str) -> bool {
    is_iptables_chain(
        name.strip_suffix("_IN")
            .or(name.strip_suffix("_OUT"))
            .unwrap_or(name),
    )
}

/// Who names a bridge so.
pub(super) fn by_bridge(name: &str) -> Option<Owner> {
    let hex = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let docker = name
        .strip_prefix("br-")
        .is_some_and(hex)
        .then_some("Docker");
    let software = docker.or_else(|| {
        BRIDGES.iter().find_map(|(pattern, software)| {
            let digits = |_: &str, value: &str| value.bytes().all(|b| b.is_ascii_digit());
            captures(pattern, name, &digits)?;
            Some(*software)
        })
    })?;
    Some(Owner {
        software,
        role: format!("by the name of its bridge {name}"),
    })
}

/// Software that signs its rules by their comments.
pub(super) fn by_comment(comment: &str) -> Option<Owner> {
    let fw4 = comment.strip_prefix("!fw4: ");
    let calico = comment.strip_prefix("cali:");
    match (fw4, calico) {
        (Some(rule), _) => Some(Owner {
            software: "OpenWrt",
            role: rule.to_string(),
        }),
        (None, Some(_)) => Some(Owner {
            software: "Calico",
            role: String::new(),
        }),
        (None, None) => None,
    }
}

/// The captures of a pattern in a name, when it fits as a whole and each capture `fits`.
fn captures<'a>(
    pattern: &'a str,
    name: &'a str,
    fits: &dyn Fn(&str, &str) -> bool,
) -> Option<Vec<(&'a str, &'a str)>> {
    let Some(open) = pattern.find('{') else {
        return (pattern == name).then(Vec::new);
    };
    let rest = name.strip_prefix(&pattern[..open])?;
    let (capture, after) = pattern[open + 1..].split_once('}')?;
    let least = usize::from(!capture.ends_with('?'));
    let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    ends.filter(|&at| at >= least).find_map(|at| {
        let value = &rest[..at];
        if !fits(capture, value) {
            return None;
        }
        let mut found = vec![(capture, value)];
        found.extend(captures(after, &rest[at..], fits)?);
        Some(found)
    })
}

/// A text with the captures it names.
fn filled(text: &str, found: &[(&str, &str)]) -> String {
    let mut out = text.to_string();
    for (name, value) in found {
        out = out.replace(&format!("{{{name}}}"), value);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(table: &str, chain: &str, words: &str) {
        let found = owner(table, chain).map(|owner| owner.words());
        assert_eq!(
            found.as_deref(),
            Some(words).filter(|words| !words.is_empty())
        );
    }

    #[test]
    fn docker() {
        is(
            "filter",
            "DOCKER-USER",
            "Docker: the administrator's own rules for containers",
        );
        is(
            "filter",
            "DOCKER-ISOLATION-STAGE-2",
            "Docker: isolation between bridge networks, stage 2",
        );
        is(
            "docker-bridges",
            "filter-forward-in__br-1234",
            "Docker: into bridge network br-1234",
        );
        is("filter", "DOCKER-MINE", "");
    }

    #[test]
    fn firewalld_zones_and_policies() {
        is(
            "firewalld",
            "filter_FWDI_public_allow",
            "firewalld: zone public, forward-in, allow",
        );
        is(
            "firewalld",
            "filter_IN_my_zone_allow",
            "firewalld: zone my_zone, incoming packets, allow (services and ports)",
        );
        is(
            "firewalld",
            "filter_IN_policy_allow-host-ipv6_allow",
            "firewalld: policy allow-host-ipv6, incoming packets, allow",
        );
        is(
            "firewalld",
            "filter_FWD_policy_docker-forwarding",
            "firewalld: policy docker-forwarding, forwarded packets",
        );
        is(
            "firewalld",
            "filter_INPUT_ZONES",
            "firewalld: chooses the zone of a packet",
        );
        is(
            "firewalld",
            "nat_POST_public_allow",
            "firewalld: zone public, masquerade",
        );
        is("filter", "INPUT_direct", "firewalld: direct rules");
        is("filter", "MY_direct", "");
    }

    #[test]
    fn places_of_the_administrator() {
        assert_eq!(place("filter", "DOCKER-USER"), Some(Place::Chain));
        assert_eq!(place("filter", "DOCKER-ISOLATION-STAGE-1"), None);
        assert_eq!(
            place("filter", "ufw6-user-forward"),
            Some(Place::Ufw(UfwRoute::Routed))
        );
        let zone = |zone: &str, first| {
            let zone = zone.to_string();
            Some(Place::Zone { zone, first })
        };
        let is = |chain, wanted| assert_eq!(place("firewalld", chain), wanted, "{chain}");
        is("filter_IN_public_allow", zone("public", false));
        is("filter_IN_my_zone_pre", zone("my_zone", true));
        is("filter_IN_public_deny", None);
        is("filter_IN_public", None);
        is("filter_FWD_policy_docker-forwarding_allow", None);
        is(
            "filter_FWD_policy_int2pub_allow",
            Some(Place::Policy {
                policy: "int2pub".into(),
                first: false,
            }),
        );
        is("filter_FWD_policy_int2pub", None);
        is(
            "filter_FWD_dmz",
            Some(Place::FromZone { zone: "dmz".into() }),
        );
        is("filter_FWD_dmz_allow", None);
    }

    #[test]
    fn others() {
        is(
            "filter",
            "ufw-user-input",
            "ufw: the administrator's rules (`ufw allow`, `ufw deny`), incoming packets",
        );
        is("filter", "ufw6-before-input", "ufw: before.rules, input");
        is("filter", "f2b-sshd", "fail2ban: bans of jail sshd");
        is(
            "kube-proxy",
            "endpoint-TFYR4RQ5-ns0/svc0/tcp/p80__10.180.0.0/8080",
            "kube-proxy: service ns0/svc0, endpoint 10.180.0.0:8080",
        );
        is(
            "fw4",
            "accept_to_wan",
            "OpenWrt: zone wan, accept what goes to it",
        );
        is("filter", "INPUT", "");
        is("mine", "input", "");
    }

    #[test]
    fn names_that_only_look_like_those_of_a_program_are_nobodys() {
        for chain in [
            "NETAVARK-X",
            "NETAVARK-ISOLATION-MINE",
            "NETAVARK-1D8721804F16",
            "CNI-abc",
            "CNI-DN-web",
            "KUBE-SVC-mine",
            "ufw-docker-web",
            "ufw-mine",
            "ufw-before-web",
            "libvirt-mine",
            "CILIUM_MINE",
            "WEAVER",
            "WEAVE-MINE",
        ] {
            is("filter", chain, "");
        }
        is(
            "nat",
            "NETAVARK-1D8721804F16F",
            "Podman: masquerade of network 1D8721804F16F",
        );
        is(
            "nat",
            "CNI-0123456789abcdef01234567",
            "CNI: masquerade of container 0123456789abcdef01234567",
        );
        is(
            "nat",
            "KUBE-SVC-TCOU7JCQXEZGVUNU",
            "kube-proxy: a service, chooses an endpoint",
        );
        is("filter", "WEAVE-NPC-DEFAULT", "Weave");
        is("nat", "CILIUM_POST_nat", "Cilium");
        is(
            "filter",
            "ufw-docker-logging-deny",
            "ufw-docker: a script beside ufw: log and drop of what ufw does not route to containers",
        );
    }

    #[test]
    fn bridges() {
        let by = |name| by_bridge(name).map(|owner| owner.software);
        assert_eq!(by("docker0"), Some("Docker"));
        assert_eq!(by("br-0123456789ab"), Some("Docker"));
        assert_eq!(by("br-lan"), None);
        assert_eq!(by("virbr0"), Some("libvirt"));
        assert_eq!(by("virbr0-nic"), None);
    }
}
