//! The host of a context, built in network namespaces that end with the thread that made them.
//!
//! The host under test lives in one namespace, with its links, addresses, routes, rules and settings under their real
//! names. Every outside link is one end of a veth pair (a wire); the other end lies in a second namespace, where one
//! packet socket plays everybody out there: it answers ARP and ND for any address, sends frames, and sees what comes
//! out. No namespace has a name, no process outlives the program: whatever ends it, the kernel clears up.
//!
//! Left out: the inside of bonds, tunnels and macvlans (they are wires), VLAN filtering of bridges, queues.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::capture::{self, Ran, Run, ThisMachine};
use crate::host::{
    Address, Host, IpFamily, Link, LinkKind, Mac, Route, RouteType, RoutingRule, RuleAction,
    TableId, mac_text,
};
use crate::iptables;
use crate::load::bundle;

use super::{Part, Words};

use super::frame::{self, Content, Frame, Headers};
use super::sys::{self, PacketSocket};
use super::tracing::{self, MARK_DEVICE, MARK_TABLE, TRACE_TABLE};
use crate::trace::{self, Event, EventKind};

/// Why the lab cannot do what it should. One line, lower case, no final period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LabError(pub String);

pub(super) fn fail<T>(text: impl Into<String>) -> Result<T, LabError> {
    Err(LabError(text.into()))
}

/// Family, table, chain and handle of a rule in the lab's kernel.
pub(super) type RuleKey = (String, String, String, u64);

/// How long the kernel may take to tell what it did.
const PATIENCE: Duration = Duration::from_secs(5);

/// The outer end of a link of the host.
#[derive(Debug)]
struct Wire {
    /// The link whose other end it is.
    link: String,
    /// Number of the outer end in its namespace.
    index: i32,
}

/// A host in the lab.
pub struct Lab {
    host: Host,
    outside: File,
    packets: PacketSocket,
    wires: Vec<Wire>,
    marker: i32,
    mark: u16,
    mark_seen: Option<u16>,
    monitor: Option<Monitor>,
    lines: Vec<String>,
    frames: Vec<(String, Frame)>,
    /// The bridge port behind which an address lives, where nothing else says so.
    homes: HashMap<(String, IpAddr), String>,
    /// The ruleset as nft lists it in its own syntax.
    text: String,
    /// What could not be set, for people.
    pub notes: Vec<String>,
}

struct Monitor {
    child: Child,
    stdout: ChildStdout,
    partial: Vec<u8>,
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gets ready to make labs: without root, in a user namespace. To be called while the program has one thread only.
pub fn prepare() -> Result<(), LabError> {
    if sys::is_root() {
        return Ok(());
    }
    sys::new_user_namespace().map_err(|error| {
        LabError(format!(
            "the lab needs root, or user namespaces, which this host does not allow ({error})"
        ))
    })
}

/// Runs `work` in a thread that has namespaces of its own, made by [`Lab::build`].
pub fn in_a_lab<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
    std::thread::scope(|scope| {
        scope
            .spawn(work)
            .join()
            .map_err(|_| LabError("the lab fell over; this is a bug".into()))
    })
}

/// A command of the lab, which does not outlive it.
fn command(program: &str, args: &[&str]) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command
        .args(args)
        .env("LC_ALL", "C")
        .env("PATH", format!("{path}:/usr/sbin:/sbin:/usr/local/sbin"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    sys::dies_with_its_parent(&mut command);
    command
}

fn missing(program: &str, error: &io::Error) -> LabError {
    let package = match program {
        "nft" => " (package nftables)",
        "ip" | "bridge" => " (package iproute2)",
        _ => "",
    };
    match error.kind() {
        io::ErrorKind::NotFound => LabError(format!("`{program}` is not installed here{package}")),
        _ => LabError(format!("`{program}`: {error}")),
    }
}

/// What nft prints; what it complains of is an error.
fn nft(args: &[&str], input: &str) -> Result<String, LabError> {
    let ran = run("nft", args, input)?;
    match ran.success {
        true => Ok(ran.stdout),
        false => fail(format!("nft: {}", first_line(&ran.stderr))),
    }
}

/// Runs a command with an input; what it printed, success or not.
fn run(program: &str, args: &[&str], input: &str) -> Result<Ran, LabError> {
    let mut child = command(program, args)
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| missing(program, &error))?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            if let Some(mut stdin) = stdin {
                // a command that stops reading says why on its own
                let _ = stdin.write_all(input.as_bytes());
            }
        });
        child.wait_with_output()
    })
    .map_err(|error| missing(program, &error))?;
    Ok(Ran {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs the lines of a batch. Gives the lines that failed, with the reason.
fn batch(
    program: &str,
    args: &[&str],
    lines: &[String],
) -> Result<Vec<(String, String)>, LabError> {
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let mut all = args.to_vec();
    all.extend(["-force", "-batch", "-"]);
    let ran = run(program, &all, &(lines.join("\n") + "\n"))?;
    let mut failed = Vec::new();
    let mut why = String::new();
    for line in ran.stderr.lines() {
        match line.strip_prefix("Command failed -:") {
            Some(number) => {
                let at = number.trim().parse::<usize>().ok();
                let what = at.and_then(|at| lines.get(at.wrapping_sub(1)));
                if let Some(what) = what {
                    failed.push((what.clone(), std::mem::take(&mut why)));
                }
            }
            None => {
                why = line
                    .trim_start_matches("RTNETLINK answers: ")
                    .trim_start_matches("Error: ")
                    .trim_end_matches('.')
                    .to_string();
            }
        }
    }
    if !ran.success && failed.is_empty() {
        return fail(format!("`{program}`: {}", ran.stderr.trim()));
    }
    Ok(failed)
}

/// Asks for links, addresses, routes and rules only, and in this thread's namespace.
struct LabMachine;

impl Run for LabMachine {
    fn run(&self, program: &str, args: &[&str]) -> io::Result<Ran> {
        match program {
            "ip" | "bridge" if args != ["-V"] => ThisMachine.run(program, args),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn read(&self, path: &str) -> io::Result<String> {
        ThisMachine.read(path)
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        ThisMachine.list(path)
    }

    fn now(&self) -> String {
        String::new()
    }
}

/// Names that can be given to a link and written in a batch.
fn is_plain(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && name.bytes().all(|b| {
            b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'"' | b'\'' | b'\\' | b'#')
        })
}

impl Lab {
    /// Builds a host. The calling thread moves into its namespace for good.
    pub fn build(host: &Host) -> Result<Lab, LabError> {
        let denied = |what: &str, error: io::Error| {
            LabError(format!(
                "{what}: {error}; the lab needs root or user namespaces"
            ))
        };
        sys::new_network_namespace().map_err(|e| denied("a network namespace", e))?;
        quiet_ipv6();
        let outside = File::open("/proc/thread-self/ns/net")
            .map_err(|error| LabError(format!("/proc/thread-self/ns/net: {error}")))?;
        sys::inherit(&outside).map_err(|e| denied("a network namespace", e))?;
        let packets = PacketSocket::open().map_err(|e| denied("a packet socket", e))?;
        sys::new_network_namespace().map_err(|e| denied("a network namespace", e))?;
        let mut lab = Lab {
            host: host.clone(),
            outside,
            packets,
            wires: Vec::new(),
            marker: 0,
            mark: 0,
            mark_seen: None,
            monitor: None,
            lines: Vec::new(),
            frames: Vec::new(),
            homes: HashMap::new(),
            text: String::new(),
            notes: Vec::new(),
        };
        // a snapshot that was taken in a lab has it
        lab.host.links.retain(|link| link.name != MARK_DEVICE);
        // every namespace has it from the start
        for link in lab.host.links.iter_mut().filter(|link| link.name == "lo") {
            link.kind = LinkKind::Loopback;
        }
        lab.give_ports();
        lab.give_up_vlans()?;
        lab.give_macs();
        lab.make_links()?;
        lab.set_sysctls()?;
        lab.lift_links()?;
        lab.make_addresses()?;
        lab.make_neighbours()?;
        lab.make_routes()?;
        Ok(lab)
    }

    /// Where the kernel has no VLANs each is a wire of its own.
    fn give_up_vlans(&mut self) -> Result<(), LabError> {
        let is_vlan = |link: &&mut Link| matches!(link.kind, LinkKind::Vlan { .. });
        if self.host.links.iter_mut().find(is_vlan).is_none() {
            return Ok(());
        }
        let add = "link add link lo name nfpath-vlan type vlan id 1".to_string();
        let lines = [add, "link del nfpath-vlan".to_string()];
        if batch("ip", &[], &lines)?.is_empty() {
            return Ok(());
        }
        for link in self.host.links.iter_mut().filter(is_vlan) {
            self.notes.push(format!(
                "this kernel makes no VLANs (module 8021q); in the lab {} is an interface of its own",
                link.name
            ));
            link.kind = LinkKind::Veth;
        }
        Ok(())
    }

    /// A bridge whose ports nobody named has two.
    fn give_ports(&mut self) {
        let bridges: Vec<String> = self
            .host
            .links
            .iter()
            .filter(|link| link.kind == LinkKind::Bridge)
            .map(|link| link.name.to_string())
            .filter(|bridge| self.host.ports(bridge).next().is_none())
            .collect();
        if self.host.complete.links {
            return;
        }
        for (at, bridge) in bridges.iter().enumerate() {
            let names = [format!("nfpath{at}a"), format!("nfpath{at}b")];
            self.notes.push(format!(
                "no port of bridge {bridge} is known; in the lab it has {} and {}",
                names[0], names[1]
            ));
            for name in names {
                self.host.links.push(Link {
                    master: Some(bridge.as_str().into()),
                    ..Link::named(name, LinkKind::Veth, Default::default())
                });
            }
        }
    }

    /// Every link has an Ethernet address that is known.
    fn give_macs(&mut self) {
        for (at, link) in self.host.links.iter_mut().enumerate() {
            let usable = link.mac.is_some_and(|mac| mac[0] & 1 == 0 && mac != [0; 6]);
            if !usable && link.kind != LinkKind::Loopback {
                let [high, low] = (at as u16 + 1).to_be_bytes();
                link.mac = Some([0x02, 0x4e, 0x46, 0, high, low]);
            }
        }
        // a VLAN has its parent's unless told otherwise
        let macs: Vec<(String, Option<Mac>)> = self
            .host
            .links
            .iter()
            .map(|link| (link.name.to_string(), link.mac))
            .collect();
        for link in &mut self.host.links {
            if let LinkKind::Vlan {
                parent: Some(parent),
                ..
            } = &link.kind
                && link
                    .mac
                    .is_some_and(|mac| mac[..4] == [0x02, 0x4e, 0x46, 0])
                && let Some((_, mac)) = macs.iter().find(|(name, _)| name == parent.as_str())
            {
                link.mac = *mac;
            }
        }
    }

    /// The device that a VLAN link sits on, when the lab makes it as one.
    fn vlan_of<'a>(&self, link: &'a Link) -> Option<(&'a str, u16)> {
        match &link.kind {
            LinkKind::Vlan {
                parent: Some(parent),
                id,
            } => {
                let below = self.host.link(parent)?;
                let plain = !matches!(
                    below.kind,
                    LinkKind::Vlan { .. } | LinkKind::Vrf { .. } | LinkKind::Loopback
                );
                plain.then_some((parent.as_str(), *id))
            }
            _ => None,
        }
    }

    fn is_wire(&self, link: &Link) -> bool {
        match link.kind {
            LinkKind::Loopback | LinkKind::Bridge | LinkKind::Vrf { .. } => false,
            _ => self.vlan_of(link).is_none(),
        }
    }

    fn make_links(&mut self) -> Result<(), LabError> {
        if let Some(link) = self.host.links.iter().find(|link| !is_plain(&link.name)) {
            return fail(format!(
                "the lab cannot make an interface with the name `{}`",
                link.name
            ));
        }
        let inherited = format!("/proc/self/fd/{}", self.outside.as_raw_fd());
        let mut lines = vec![
            "link set lo up".to_string(),
            format!("link add name {MARK_DEVICE} type veth peer name mark netns {inherited}"),
        ];
        let mut late = Vec::new();
        let mut wires = Vec::new();
        for link in &self.host.links {
            let name = &link.name;
            let mac = link.mac.map(mac_text).unwrap_or_default();
            let mtu = match link.mtu {
                Some(mtu @ 68..=65535) => format!(" mtu {mtu}"),
                _ => String::new(),
            };
            match &link.kind {
                LinkKind::Loopback => {}
                LinkKind::Bridge => lines.push(format!(
                    "link add name {name} address {mac}{mtu} type bridge forward_delay 0 stp_state 0 mcast_snooping 0 nf_call_iptables {} nf_call_ip6tables {}",
                    u8::from(link.nf_call.ip),
                    u8::from(link.nf_call.ip6),
                )),
                LinkKind::Vrf { table } => lines.push(format!(
                    "link add name {name} address {mac} type vrf table {}",
                    table.0
                )),
                _ => match self.vlan_of(link) {
                    Some((parent, id)) => late.push(format!(
                        "link add link {parent} name {name} address {mac} type vlan id {id}"
                    )),
                    None => {
                        let outer = format!("w{}", wires.len());
                        lines.push(format!(
                            "link add name {name} address {mac}{mtu} type veth peer name {outer}{mtu} netns {inherited}"
                        ));
                        wires.push((name.to_string(), outer, link.up && link.carrier));
                    }
                },
            }
        }
        lines.append(&mut late);
        for link in &self.host.links {
            if let Some(group) = &link.group
                && group != "default"
            {
                lines.push(format!("link set dev {} group {group}", link.name));
            }
            let Some(master) = &link.master else {
                continue;
            };
            if matches!(
                self.host.link(master).map(|m| &m.kind),
                Some(LinkKind::Bridge | LinkKind::Vrf { .. })
            ) {
                lines.push(format!("link set dev {} master {master}", link.name));
            }
        }
        // the default group has a name in /etc/iproute2, which may be absent
        let failed = batch("ip", &[], &lines)?;
        self.lenient(failed, "link add")?;
        self.lift_wires(&wires)
    }

    /// Takes failures for notes, unless they are of the kind `vital`.
    fn lenient(&mut self, failed: Vec<(String, String)>, vital: &str) -> Result<(), LabError> {
        for (line, why) in failed {
            if why.contains("File exists") && !line.starts_with("link add") {
                continue;
            }
            if !vital.is_empty() && line.starts_with(vital) {
                let hint = if why.contains("not supported") || why.contains("Unknown device type") {
                    "; a kernel module is missing"
                } else {
                    ""
                };
                return fail(format!(
                    "the lab cannot make its host: `ip {line}`: {why}{hint}"
                ));
            }
            self.notes
                .push(format!("not set in the lab: `{line}`: {why}"));
        }
        Ok(())
    }

    /// Sets the outer ends up, in their namespace.
    fn lift_wires(&mut self, wires: &[(String, String, bool)]) -> Result<(), LabError> {
        let inside = File::open("/proc/thread-self/ns/net")
            .map_err(|error| LabError(format!("/proc/thread-self/ns/net: {error}")))?;
        let lost = |error: io::Error| LabError(format!("a network namespace: {error}"));
        sys::enter_network_namespace(&self.outside).map_err(lost)?;
        let mut lines = vec!["link set mark up".to_string()];
        for (_, outer, up) in wires {
            if *up {
                lines.push(format!("link set dev {outer} up"));
            }
        }
        let failed = batch("ip", &[], &lines);
        let indexes: io::Result<Vec<i32>> = wires
            .iter()
            .map(|(_, outer, _)| sys::index_of(outer))
            .collect();
        let marker = sys::index_of("mark");
        sys::enter_network_namespace(&inside).map_err(lost)?;
        if let Some((line, why)) = failed?.first() {
            return fail(format!("the lab cannot make its wires: `ip {line}`: {why}"));
        }
        let indexes = indexes.map_err(lost)?;
        self.marker = marker.map_err(lost)?;
        self.wires = wires
            .iter()
            .zip(indexes)
            .map(|((link, _, _), index)| Wire {
                link: link.clone(),
                index,
            })
            .collect();
        Ok(())
    }

    fn lift_links(&mut self) -> Result<(), LabError> {
        let mut lines = vec![
            format!("link set {MARK_DEVICE} addrgenmode none"),
            format!("link set {MARK_DEVICE} up"),
        ];
        let mut ports = Vec::new();
        for link in &self.host.links {
            let name = &link.name;
            if link.kind != LinkKind::Loopback {
                lines.push(format!("link set dev {name} addrgenmode none"));
            }
            if link.up {
                lines.push(format!("link set dev {name} up"));
            }
            let on = |flag: Option<bool>, key: &str| match flag {
                Some(true) => format!(" {key} on"),
                Some(false) | None => String::new(),
            };
            let flags = on(link.hairpin, "hairpin") + &on(link.isolated, "isolated");
            if !flags.is_empty() && self.host.bridge_of(name).is_some() {
                ports.push(format!("link set dev {name}{flags}"));
            }
        }
        let mut failed = batch("ip", &[], &lines)?;
        // without IPv6 there is nothing to keep from making addresses
        failed.retain(|(line, _)| !line.ends_with("addrgenmode none"));
        self.lenient(failed, "")?;
        let failed = batch("bridge", &[], &ports)?;
        self.lenient(failed, "")
    }

    fn make_addresses(&mut self) -> Result<(), LabError> {
        let mut lines = Vec::new();
        for address in &self.host.addresses {
            if let Some(line) = self.address_line(address) {
                lines.push(line);
            }
        }
        lines.append(&mut self.link_locals());
        let failed = batch("ip", &[], &lines)?;
        self.lenient(failed, "")
    }

    /// The kernel asks for neighbours from a link-local address, which facts that are not whole may lack.
    fn link_locals(&self) -> Vec<String> {
        if self.host.complete.addresses {
            return Vec::new();
        }
        let local = |ip: IpAddr| matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let mut lines = Vec::new();
        for (at, link) in self.host.links.iter().enumerate() {
            let own = || self.host.addresses.iter().filter(|a| a.dev == link.name);
            let routed = self.host.routes.iter().any(|route| {
                IpFamily::of_net(route.prefix) == IpFamily::V6
                    && route
                        .nexthops
                        .iter()
                        .any(|hop| hop.dev.as_ref() == Some(&link.name))
            });
            let speaks = routed || own().any(|address| address.ip.is_ipv6());
            if link.kind != LinkKind::Loopback && speaks && !own().any(|a| local(a.ip)) {
                lines.push(format!(
                    "addr add fe80::4e46:{:x}/64 dev {} nodad",
                    at + 1,
                    link.name
                ));
            }
        }
        lines
    }

    fn address_line(&self, address: &Address) -> Option<String> {
        let Address {
            ip,
            prefix_len,
            dev,
            scope,
            ..
        } = address;
        self.host.link(dev)?;
        let family = IpFamily::of(*ip);
        if dev == "lo" && ip.is_loopback() {
            return None;
        }
        let mut line = match address.peer {
            Some(peer) => format!("addr add {ip} peer {peer}/{prefix_len} dev {dev}"),
            None => format!("addr add {ip}/{prefix_len} dev {dev}"),
        };
        match family {
            IpFamily::V4 => line += &format!(" scope {}", scope.0),
            IpFamily::V6 => {
                line += " nodad";
                if address.deprecated {
                    line += " preferred_lft 0";
                }
            }
        }
        // where all routes are known they are made one by one
        if self.host.complete.routes(family) || address.noprefixroute {
            line += " noprefixroute";
        }
        Some(line)
    }

    fn make_neighbours(&mut self) -> Result<(), LabError> {
        let mut lines = Vec::new();
        for neighbour in &self.host.neighbours {
            let Some(mac) = neighbour.mac else {
                continue;
            };
            if neighbour.failed || mac[0] & 1 != 0 || neighbour.ip.is_multicast() || mac == [0; 6] {
                continue;
            }
            lines.push(format!(
                "neigh replace {} lladdr {} dev {} nud permanent",
                neighbour.ip,
                mac_text(mac),
                neighbour.dev
            ));
        }
        let failed = batch("ip", &[], &lines)?;
        self.lenient(failed, "")?;
        let mut lines = Vec::new();
        for entry in &self.host.fdb {
            let port = self.host.bridge_of(&entry.dev).is_some();
            if port && !entry.permanent && entry.mac[0] & 1 == 0 && entry.vlan.is_none() {
                lines.push(fdb_line(entry.mac, &entry.dev));
            }
        }
        let failed = batch("bridge", &[], &lines)?;
        self.lenient(failed, "")
    }

    fn make_routes(&mut self) -> Result<(), LabError> {
        let mut lines = Vec::new();
        for route in &self.host.routes {
            lines.extend(self.route_line(route));
        }
        let failed = batch("ip", &[], &lines)?;
        self.lenient(failed, "")?;
        for family in [IpFamily::V4, IpFamily::V6] {
            let lines = self.rule_lines(family);
            let option = match family {
                IpFamily::V4 => "-4",
                IpFamily::V6 => "-6",
            };
            let failed = batch("ip", &[option], &lines)?;
            self.lenient(failed, "")?;
        }
        Ok(())
    }

    fn route_line(&self, route: &Route) -> Option<String> {
        let kind = match route.kind {
            RouteType::Unicast => "unicast",
            RouteType::Local => "local",
            RouteType::Broadcast => "broadcast",
            RouteType::Multicast => "multicast",
            RouteType::Anycast => "anycast",
            RouteType::Blackhole => "blackhole",
            RouteType::Unreachable => "unreachable",
            RouteType::Prohibit => "prohibit",
            RouteType::Throw => "throw",
            RouteType::Nat | RouteType::Other => return None,
        };
        let family = IpFamily::of_net(route.prefix);
        let of_kernel = route.table == TableId::LOCAL
            && (family == IpFamily::V6 || route.kind == RouteType::Broadcast);
        let automatic = route.table == TableId::LOCAL
            && route.kind == RouteType::Local
            && self.host.addresses.iter().any(|address| {
                route.prefix.addr() == address.ip
                    || address.ip.is_loopback() && route.prefix.addr().is_loopback()
            });
        if of_kernel || automatic {
            return None;
        }
        let live: Vec<_> = route.nexthops.iter().filter(|hop| !hop.dead).collect();
        if live.is_empty() && !route.nexthops.is_empty() {
            return None;
        }
        let verb = match family {
            IpFamily::V4 => "append",
            IpFamily::V6 => "add",
        };
        let mut line = format!(
            "route {verb} {kind} {} table {}",
            route.prefix, route.table.0
        );
        if let Some(from) = route.from {
            line += &format!(" from {from}");
        }
        if route.metric != 0 {
            line += &format!(" metric {}", route.metric);
        }
        if let Some(src) = route.prefsrc {
            line += &format!(" src {src}");
        }
        if family == IpFamily::V4 {
            if route.tos != 0 {
                line += &format!(" tos {:#x}", route.tos);
            }
            if route.kind == RouteType::Unicast {
                line += &format!(" scope {}", route.scope.0);
            }
        }
        let several = live.len() > 1;
        for hop in live {
            if several {
                line += " nexthop";
            }
            match hop.via {
                Some(via @ IpAddr::V6(_)) if family == IpFamily::V4 => {
                    line += &format!(" via inet6 {via}");
                }
                Some(via) => line += &format!(" via {via}"),
                None => {}
            }
            if let Some(dev) = &hop.dev {
                line += &format!(" dev {dev}");
            }
            if several {
                line += &format!(" weight {}", hop.weight.clamp(1, 256));
            }
            // the gateway is on its link as the facts say, whether or not a route to it was made already
            if hop.onlink || hop.via.is_some() && hop.dev.is_some() {
                line += " onlink";
            }
        }
        Some(line)
    }

    fn rule_lines(&mut self, family: IpFamily) -> Vec<String> {
        let complete = self.host.complete.rules(family);
        let rules: Vec<RoutingRule> = self
            .host
            .rules
            .iter()
            .filter(|rule| rule.family == family)
            .cloned()
            .collect();
        let mut standard = vec![(0, TableId::LOCAL), (32766, TableId::MAIN)];
        if family == IpFamily::V4 {
            standard.push((32767, TableId::DEFAULT));
        }
        let mut lines = Vec::new();
        let mut there = Vec::new();
        for (priority, table) in standard {
            let rule = RoutingRule::all(
                priority,
                family,
                RuleAction::Table(table),
                Default::default(),
            );
            let same = |known: &&RoutingRule| {
                RoutingRule {
                    origin: rule.origin,
                    ..(*known).clone()
                } == rule
            };
            if rules.iter().any(|known| same(&known)) || !complete {
                there.push(rule);
            } else {
                lines.push(format!("rule del pref {priority}"));
            }
        }
        for rule in &rules {
            let known = there.iter().any(|standard| {
                RoutingRule {
                    origin: standard.origin,
                    ..rule.clone()
                } == *standard
            });
            if known || rule.action == RuleAction::L3mdev && rule.from.is_none() {
                continue;
            }
            match rule_line(rule) {
                Some(line) => lines.push(line),
                None => self.notes.push(format!(
                    "not set in the lab: routing rule {}, which nfpath does not read in full",
                    rule.priority
                )),
            }
        }
        lines
    }

    fn set_sysctls(&mut self) -> Result<(), LabError> {
        let mut wanted: BTreeMap<(u8, String), String> = BTreeMap::new();
        let rank = |key: &str| match key {
            "net.ipv4.ip_forward" => 0,
            key if key.contains(".all.") => 1,
            key if key.contains(".default.") => 2,
            _ => 3,
        };
        // where nobody says, what the model takes for customary
        let mut customary = vec![
            ("net.ipv4.ip_forward", "1"),
            ("net.ipv4.conf.all.rp_filter", "0"),
            ("net.ipv4.conf.default.rp_filter", "0"),
            ("net.ipv6.conf.all.forwarding", "1"),
            // every packet that is refused is answered
            ("net.ipv4.icmp_ratelimit", "0"),
            ("net.ipv6.icmp.ratelimit", "0"),
        ];
        let bridged = std::path::Path::new("/proc/sys/net/bridge").is_dir();
        if bridged {
            customary.push(("net.bridge.bridge-nf-call-iptables", "0"));
            customary.push(("net.bridge.bridge-nf-call-ip6tables", "0"));
        }
        for (key, value) in customary {
            wanted.insert((rank(key), key.into()), value.into());
        }
        for link in &self.host.links {
            let dev = link.name.replace('.', "/");
            let key = format!("net.ipv4.conf.{dev}.rp_filter");
            if !self.host.complete.sysctls {
                wanted.insert((3, key), "0".into());
            }
        }
        for (key, value) in &self.host.sysctls {
            if is_modelled(key) {
                wanted.insert((rank(key), key.to_string()), value.trim().to_string());
            }
        }
        for ((_, key), value) in wanted {
            let Some(path) = sysctl_path(&key) else {
                continue;
            };
            if key.starts_with("net.bridge.") && !bridged {
                if value != "0" && key.contains("bridge-nf-call-ip") {
                    return fail(format!(
                        "the host has {key} = {value}, and br_netfilter is not loaded here; load it with `modprobe br_netfilter`, or say `--sysctl {key}=0`"
                    ));
                }
                continue;
            }
            match std::fs::write(&path, &value) {
                Ok(()) => {}
                // a device or a setting that this host has not
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if key.contains(".conf.") => {
                    self.notes
                        .push(format!("not set in the lab: {key} = {value}: {error}"));
                }
                Err(error) => {
                    return fail(format!(
                        "the lab cannot set {key}: {error}; /proc/sys must be writable"
                    ));
                }
            }
        }
        Ok(())
    }

    /// The facts of the host as they are in the lab now.
    pub fn facts(&self) -> Result<Host, LabError> {
        bundle::read("the lab", &self.snapshot())
            .map(|read| read.host)
            .map_err(|error| LabError(error.to_string()))
    }

    /// The same as a snapshot bundle without a ruleset.
    pub fn snapshot(&self) -> String {
        capture::snapshot(&LabMachine)
    }

    /// Loads a ruleset in place of what is there, and listens to its trace. Gives nft's listing of it.
    pub fn load(&mut self, words: &Words) -> Result<String, LabError> {
        self.put(words)?;
        let listing = nft(&["-j", "list", "ruleset"], "")?;
        self.text = nft(&["list", "ruleset"], "")?;
        let ran = run("nft", &["-j", "-f", "-"], &self.tracing(&listing))?;
        if !ran.success {
            return fail(format!(
                "the kernel does not trace: {}",
                first_line(&ran.stderr)
            ));
        }
        self.listen()?;
        Ok(listing)
    }

    /// Loads a ruleset in place of what is there.
    fn put(&mut self, words: &Words) -> Result<(), LabError> {
        self.monitor = None;
        nft(&["flush", "ruleset"], "")?;
        for part in &words.0 {
            let (program, args, text): (_, &[&str], _) = match part {
                Part::Nft(text) => ("nft", &["-f", "-"], text),
                Part::NftJson(text) => ("nft", &["-j", "-f", "-"], text),
                Part::Iptables(iptables::Family::Ip, save) => ("iptables-nft-restore", &[], save),
                Part::Iptables(iptables::Family::Ip6, save) => ("ip6tables-nft-restore", &[], save),
                Part::Iptables(iptables::Family::Bridge, save) => {
                    ("ebtables-nft-restore", &[], save)
                }
                Part::Ipset(sets) => ("ipset", &["restore"], sets),
            };
            let ran = run(program, args, text)?;
            if !ran.success {
                return fail(format!(
                    "{program} does not load this ruleset: {}",
                    first_line(&ran.stderr)
                ));
            }
        }
        Ok(())
    }

    /// The ruleset that was loaded last in nft's own syntax, which tells what nft 1.0.6 leaves out of its JSON.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The rules, by family, table, chain and handle, of which nft's listing says something else than the kernel has:
    /// loaded again from the listing they are other instructions. Afterwards the ruleset has to be loaded again.
    pub(super) fn listed_otherwise(
        &mut self,
        words: &Words,
    ) -> Result<BTreeSet<RuleKey>, LabError> {
        let in_kernel = || -> Result<Vec<(RuleKey, Vec<String>)>, LabError> {
            let listed = nft(&["--debug=netlink", "list", "ruleset"], "")?;
            Ok(instructions(&listed))
        };
        self.put(words)?;
        let loaded = in_kernel()?;
        let text = nft(&["list", "ruleset"], "")?;
        if self.put(&Words(vec![Part::Nft(text)])).is_err() {
            // nft does not read what it writes
            return Ok(loaded.into_iter().map(|(key, _)| key).collect());
        }
        // tables, chains and rules keep their order
        let again = in_kernel()?;
        let mut again = again.iter().map(|(_, words)| words);
        let otherwise = loaded
            .into_iter()
            .filter(|(_, words)| again.next() != Some(words));
        Ok(otherwise.map(|(key, _)| key).collect())
    }

    /// Takes base chains out again that a program made without being told.
    pub(super) fn remove(&mut self, chains: &[String]) -> Result<(), LabError> {
        let text: String = chains
            .iter()
            .map(|chain| format!("delete chain {chain}\n"))
            .collect();
        nft(&["-f", "-"], &text).map(drop)
    }

    /// Switches tracing on.
    fn tracing(&self, listing: &str) -> String {
        let links = &self.host.links;
        let ingress = listing.contains("\"netdev\"") || listing.contains("\"ingress\"");
        let devices: Vec<&str> = match ingress {
            true => links.iter().map(|link| link.name.as_str()).collect(),
            false => Vec::new(),
        };
        tracing::commands(tracing::Scope {
            bridges: links.iter().any(|link| link.kind == LinkKind::Bridge),
            devices: &devices,
        })
    }

    /// Starts `nft monitor trace` and waits until it hears.
    fn listen(&mut self) -> Result<(), LabError> {
        let mut child = command("nft", &["-a", "-n", "monitor", "trace"])
            .spawn()
            .map_err(|error| missing("nft", &error))?;
        let Some(stdout) = child.stdout.take() else {
            return fail("nft monitor: no output");
        };
        sys::never_wait(&stdout).map_err(|error| LabError(format!("nft monitor: {error}")))?;
        self.monitor = Some(Monitor {
            child,
            stdout,
            partial: Vec::new(),
        });
        self.mark_seen = None;
        let start = Instant::now();
        while self.mark_seen.is_none() {
            self.set_mark()?;
            self.pump(4, &[])?;
            if start.elapsed() > PATIENCE {
                return fail("nft monitor does not tell what the kernel traces");
            }
        }
        self.settle(&[])
    }

    /// Sends a packet of which only the trace matters, as a mark in it.
    fn set_mark(&mut self) -> Result<(), LabError> {
        self.mark = self.mark.wrapping_add(1);
        let headers = Headers {
            src: [0, 0, 0, 0].into(),
            dst: [255, 255, 255, 255].into(),
            proto: crate::packet::proto::UDP,
            sport: self.mark,
            dport: 9,
            icmp: None,
            query: (0, 0),
            tcp_flags: 0,
            seq: 0,
            ack: 0,
            ttl: 1,
            padding: 0,
        };
        let frame = frame::ethernet([0xff; 6], [2, 0, 0, 0, 0, 1], None, &headers.encode());
        self.packets
            .send(self.marker, &frame)
            .map_err(|error| LabError(format!("the lab cannot send: {error}")))
    }

    /// Waits until everything that was sent has been worked off, and answers questions meanwhile.
    pub(super) fn settle(&mut self, sockets: &[Listener]) -> Result<(), LabError> {
        let start = Instant::now();
        let mut quiet = 0;
        while quiet < 2 {
            self.set_mark()?;
            let mut busy = false;
            while self.mark_seen != Some(self.mark) {
                busy |= self.pump(200, sockets)?;
                if start.elapsed() > PATIENCE {
                    return fail(
                        "the kernel's trace does not come to an end; is the machine very busy?",
                    );
                }
            }
            busy |= self.pump(0, sockets)?;
            quiet = if busy { 0 } else { quiet + 1 };
        }
        Ok(())
    }

    /// Reads what has come. True when a frame or a packet came.
    fn pump(&mut self, milliseconds: i32, sockets: &[Listener]) -> Result<bool, LabError> {
        let broken = |error: io::Error| LabError(format!("the lab: {error}"));
        let mut descriptors = vec![self.packets.as_raw_fd()];
        descriptors.extend(self.monitor.iter().map(|m| m.stdout.as_raw_fd()));
        descriptors.extend(sockets.iter().map(|s| s.socket.as_raw_fd()));
        sys::poll(&descriptors, milliseconds).map_err(broken)?;
        let mut busy = false;
        while let Some((device, tag, bytes)) = self.packets.receive().map_err(broken)? {
            let wire = self.wires.iter().position(|wire| wire.index == device);
            if let (Some(wire), Some(frame)) = (wire, frame::decode(&bytes, tag)) {
                busy |= self.take(wire, frame)?;
            }
        }
        for listener in sockets {
            while let Some(received) = listener.socket.receive().map_err(broken)? {
                let headers = match received {
                    sys::Received::Ipv4(bytes) => Headers::decode(&bytes),
                    sys::Received::Ipv6 { src, dst, bytes } => Headers::decode_transport(
                        src.into(),
                        dst.into(),
                        listener.proto,
                        64,
                        &bytes,
                    ),
                };
                if let Some(headers) = headers {
                    listener.received.borrow_mut().push(headers);
                    busy = true;
                }
            }
        }
        self.read_monitor()?;
        Ok(busy)
    }

    fn read_monitor(&mut self) -> Result<(), LabError> {
        let Some(monitor) = &mut self.monitor else {
            return Ok(());
        };
        let mut buffer = [0u8; 16384];
        loop {
            match monitor.stdout.read(&mut buffer) {
                Ok(0) => return fail("nft monitor ended"),
                Ok(length) => monitor.partial.extend(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return fail(format!("nft monitor: {error}")),
            }
        }
        while let Some(end) = monitor.partial.iter().position(|byte| *byte == b'\n') {
            let rest = monitor.partial.split_off(end + 1);
            let line = std::mem::replace(&mut monitor.partial, rest);
            let line = String::from_utf8_lossy(&line)
                .trim_end_matches('\n')
                .to_string();
            if !line.contains(MARK_TABLE) {
                self.lines.push(line);
            } else if let Some(Event {
                kind: EventKind::Packet(seen),
                ..
            }) = trace::parse(&line)
            {
                self.mark_seen = seen.sport;
            }
        }
        Ok(())
    }

    /// A frame that came out of the host: answers questions, keeps packets. True when it meant something.
    fn take(&mut self, wire: usize, frame: Frame) -> Result<bool, LabError> {
        let link = self.wires[wire].link.clone();
        let device = self.device_of(&link, frame.vlan);
        match frame.content {
            Content::WhoHas { asker, target } => {
                if asker.is_unspecified() || self.is_own(target) || asker == target {
                    return Ok(false);
                }
                let mac = match self.host.bridge_of(&device) {
                    Some(bridge) => {
                        let bridge = bridge.to_string();
                        if self.home(&bridge, target) != device {
                            return Ok(false);
                        }
                        self.mac_of(&bridge, target)
                    }
                    None => self.mac_of(&device, target),
                };
                let answer = frame::i_have(target, mac, asker, frame.src, frame.vlan);
                self.packets
                    .send(self.wires[wire].index, &answer)
                    .map_err(|error| LabError(format!("the lab cannot send: {error}")))?;
                Ok(true)
            }
            Content::Ip(_) => {
                self.frames.push((device, frame));
                Ok(true)
            }
            Content::Other => Ok(false),
        }
    }

    /// The link by which the host sees frames of a wire with this tag.
    fn device_of(&self, link: &str, vlan: Option<u16>) -> String {
        let Some(id) = vlan else {
            return link.to_string();
        };
        let above = self.host.links.iter().find(|above| {
            self.vlan_of(above)
                .is_some_and(|(parent, own)| parent == link && own == id)
        });
        above.map_or_else(|| format!("{link}.{id}"), |above| above.name.to_string())
    }

    fn is_own(&self, ip: IpAddr) -> bool {
        self.host.addresses.iter().any(|address| address.ip == ip)
    }

    /// The Ethernet address of somebody behind a device.
    pub(super) fn mac_of(&self, device: &str, ip: IpAddr) -> Mac {
        if let Some(mac) = self.host.mac_of(device, ip)
            && mac[0] & 1 == 0
            && mac != [0; 6]
        {
            return mac;
        }
        match ip {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                [0x02, 0x4e, a, b, c, d]
            }
            IpAddr::V6(v6) => {
                let o = v6.octets();
                [0x06, 0x4e, o[7] ^ o[12], o[13], o[14], o[15]]
            }
        }
    }

    /// Tells the host the Ethernet addresses of those whom it looks for and does not find. True when there were some.
    pub(super) fn introduce(&mut self) -> Result<bool, LabError> {
        let listing = run("ip", &["-j", "neigh", "show"], "")?;
        let mut host = Host::default();
        let read = bundle::add_part(
            &mut host,
            bundle::HostPart::Neighbours,
            "the lab",
            &listing.stdout,
        );
        if read.is_err() {
            return Ok(false);
        }
        let mut lines = Vec::new();
        for neighbour in host.neighbours.iter().filter(|n| n.mac.is_none()) {
            let dev = neighbour.dev.to_string();
            if self.is_own(neighbour.ip) {
                continue;
            }
            let mac = self.mac_of(&dev, neighbour.ip);
            if self
                .host
                .link(&dev)
                .is_some_and(|l| l.kind == LinkKind::Bridge)
            {
                let home = self.home(&dev, neighbour.ip);
                self.teach(mac, &home)?;
            }
            lines.push(format!(
                "neigh replace {} lladdr {} dev {dev} nud permanent",
                neighbour.ip,
                mac_text(mac)
            ));
        }
        let failed = batch("ip", &[], &lines)?;
        Ok(failed.len() < lines.len())
    }

    /// The port of a bridge behind which an address lives: as the facts say, else any, rather not one where somebody
    /// else is known to be.
    pub(super) fn home(&mut self, bridge: &str, ip: IpAddr) -> String {
        if let Some(port) = self.homes.get(&(bridge.to_string(), ip)) {
            return port.clone();
        }
        let known = self.host.port_towards(bridge, Some(ip), None);
        let port = known.map(str::to_string).unwrap_or_else(|| {
            let up = || self.host.ports(bridge).filter(|port| port.up);
            let taken = |port: &&Link| self.homes.values().any(|home| *home == port.name);
            let port = up().find(|port| !taken(port)).or_else(|| up().next());
            port.map_or_else(String::new, |port| port.name.to_string())
        });
        self.homes.insert((bridge.to_string(), ip), port.clone());
        port
    }

    /// Says where an address lives, unless the facts do.
    pub(super) fn move_in(&mut self, bridge: &str, ip: IpAddr, port: &str) {
        self.homes
            .insert((bridge.to_string(), ip), port.to_string());
    }

    /// Tells a bridge behind which port an Ethernet address is, if nothing has told it so far.
    pub(super) fn teach(&mut self, mac: Mac, port: &str) -> Result<(), LabError> {
        let known = self
            .host
            .fdb
            .iter()
            .any(|entry| entry.mac == mac && entry.dev == port);
        if known || port.is_empty() {
            return Ok(());
        }
        let failed = batch("bridge", &[], &[fdb_line(mac, port)])?;
        self.lenient(failed, "")?;
        self.host.fdb.push(crate::host::FdbEntry {
            mac,
            dev: port.into(),
            master: self.host.bridge_of(port).map(Into::into),
            vlan: None,
            permanent: false,
        });
        Ok(())
    }

    /// The host that was asked for, with what the lab has added.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Whether frames can be sent into this link from outside.
    pub(super) fn has_wire(&self, device: &str) -> bool {
        self.wire_of(device).is_some()
    }

    fn wire_of(&self, device: &str) -> Option<(usize, Option<u16>)> {
        let link = self.host.link(device)?;
        let (link, vlan) = match self.vlan_of(link) {
            Some((parent, id)) => (parent, Some(id)),
            None if self.is_wire(link) => (device, None),
            None => return None,
        };
        let wire = self.wires.iter().position(|wire| wire.link == link)?;
        Some((wire, vlan))
    }

    /// Sends a packet into a link from outside.
    pub(super) fn inject(
        &mut self,
        device: &str,
        dst: Mac,
        src: Mac,
        packet: &[u8],
    ) -> Result<(), LabError> {
        let Some((wire, vlan)) = self.wire_of(device) else {
            return fail(format!("nothing can be sent into `{device}` from outside"));
        };
        let frame = frame::ethernet(dst, src, vlan, packet);
        let mut tries = 0;
        loop {
            match self.packets.send(self.wires[wire].index, &frame) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && tries < 100 => {
                    tries += 1;
                    self.pump(10, &[])?;
                }
                // the link is down: the packet is lost, as it would be
                Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => return Ok(()),
                Err(error) => return fail(format!("the lab cannot send: {error}")),
            }
        }
    }

    /// Forgets what was heard so far, and what conntrack knows.
    pub(super) fn forget(&mut self) -> Result<(), LabError> {
        sys::forget_conversations().map_err(|error| {
            LabError(format!(
                "conntrack cannot be cleared ({error}); is the module nf_conntrack_netlink missing?"
            ))
        })?;
        self.lines.clear();
        self.frames.clear();
        Ok(())
    }

    /// The trace lines so far.
    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The packets that came out so far, each with the link by which it did.
    pub(super) fn frames(&self) -> &[(String, Frame)] {
        &self.frames
    }
}

/// Whether a table is the lab's own.
/// The instructions of each rule in what `nft --debug=netlink list ruleset` prints. Anonymous sets are numbered anew at
/// each load, so they lose their numbers.
fn instructions(listed: &str) -> Vec<(RuleKey, Vec<String>)> {
    let mut rules: Vec<(RuleKey, Vec<String>)> = Vec::new();
    let mut in_rule = false;
    for line in listed.lines() {
        if let Some(instruction) = line.strip_prefix("  [") {
            if let Some((_, words)) = rules.last_mut().filter(|_| in_rule) {
                let words_of = instruction.split(' ').map(|word| {
                    let anonymous = word.starts_with("__set") || word.starts_with("__map");
                    word.get(..5).filter(|_| anonymous).unwrap_or(word)
                });
                words.push(words_of.collect::<Vec<_>>().join(" "));
            }
            continue;
        }
        let mut words = line.split(' ');
        let key = (words.next(), words.next(), words.next(), words.next());
        in_rule = false;
        if let (Some(family), Some(table), Some(chain), Some(handle)) = key
            && !line.starts_with(char::is_whitespace)
            && let Ok(handle) = handle.parse()
        {
            in_rule = true;
            rules.push((
                (family.into(), table.into(), chain.into(), handle),
                Vec::new(),
            ));
        }
    }
    rules
}

pub(super) fn is_ours(table: &str) -> bool {
    table == TRACE_TABLE || table == MARK_TABLE
}

/// A raw socket of the host under test, which sees what is delivered to it.
#[derive(Debug)]
pub(super) struct Listener {
    pub socket: sys::Socket,
    pub proto: u8,
    pub received: std::cell::RefCell<Vec<Headers>>,
}

fn fdb_line(mac: Mac, port: &str) -> String {
    format!("fdb replace {} dev {port} master static", mac_text(mac))
}

fn first_line(text: &str) -> &str {
    text.lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("it failed without a word")
        .trim()
}

/// Links get no addresses by themselves, and nobody asks around for routers.
fn quiet_ipv6() {
    // a host without IPv6 has nothing to quieten
    let _ = std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    let _ = std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
}

/// The settings that the model reads.
fn is_modelled(key: &str) -> bool {
    const CONF: [&str; 8] = [
        "accept_local",
        "disable_ipv6",
        "force_forwarding",
        "forwarding",
        "ignore_routes_with_linkdown",
        "route_localnet",
        "rp_filter",
        "src_valid_mark",
    ];
    const OTHER: [&str; 8] = [
        "net.ipv4.ip_forward",
        "net.ipv4.ip_early_demux",
        "net.ipv4.tcp_early_demux",
        "net.ipv4.udp_early_demux",
        "net.ipv4.fwmark_reflect",
        "net.ipv6.fwmark_reflect",
        "net.netfilter.nf_conntrack_tcp_be_liberal",
        "net.netfilter.nf_conntrack_tcp_loose",
    ];
    if OTHER.contains(&key) || key.starts_with("net.bridge.bridge-nf-") {
        return true;
    }
    let conf = key
        .strip_prefix("net.ipv4.conf.")
        .or_else(|| key.strip_prefix("net.ipv6.conf."));
    conf.and_then(|rest| rest.split_once('.'))
        .is_some_and(|(_, last)| CONF.contains(&last))
}

/// Where a setting lives; `None` for what is no setting's name.
fn sysctl_path(key: &str) -> Option<String> {
    let parts: Vec<String> = key.split('.').map(|part| part.replace('/', ".")).collect();
    let bad = |part: &String| part.is_empty() || part.bytes().all(|b| b == b'.');
    (!parts.iter().any(bad)).then(|| format!("/proc/sys/{}", parts.join("/")))
}

fn rule_line(rule: &RoutingRule) -> Option<String> {
    if !rule.unread.is_empty() {
        return None;
    }
    let mut line = format!("rule add pref {}", rule.priority);
    if rule.not {
        line = format!("rule add not pref {}", rule.priority);
    }
    let mut put = |word: &str, value: String| {
        line += &format!(" {word} {value}");
    };
    if let Some(from) = rule.from {
        put("from", from.to_string());
    }
    if let Some(to) = rule.to {
        put("to", to.to_string());
    }
    if let Some(iif) = &rule.iif {
        put("iif", iif.to_string());
    }
    if let Some(oif) = &rule.oif {
        put("oif", oif.to_string());
    }
    if let Some((value, mask)) = rule.fwmark {
        put("fwmark", format!("{value:#x}/{mask:#x}"));
    }
    if rule.tos != 0 {
        put("tos", format!("{:#x}", rule.tos));
    }
    if let Some(dscp) = rule.dscp {
        put("dscp", dscp.to_string());
    }
    if let Some(proto) = rule.ipproto {
        put("ipproto", proto.to_string());
    }
    for (word, range) in [("sport", rule.sport), ("dport", rule.dport)] {
        if let Some((low, high)) = range {
            put(word, format!("{low}-{high}"));
        }
    }
    if let Some((low, high)) = rule.uidrange {
        put("uidrange", format!("{low}-{high}"));
    }
    match rule.action {
        RuleAction::Table(table) => put("lookup", table.0.to_string()),
        RuleAction::Goto(priority) => put("goto", priority.to_string()),
        RuleAction::Blackhole => put("type", "blackhole".into()),
        RuleAction::Unreachable => put("type", "unreachable".into()),
        RuleAction::Prohibit => put("type", "prohibit".into()),
        RuleAction::Nop => put("type", "nop".into()),
        RuleAction::L3mdev => line += " l3mdev",
        RuleAction::Other => return None,
    }
    if let Some(length) = rule.suppress_prefixlength {
        line += &format!(" suppress_prefixlength {length}");
    }
    if let Some(group) = &rule.suppress_ifgroup {
        line += &format!(" suppress_ifgroup {group}");
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stay_within_their_tree() {
        assert_eq!(
            sysctl_path("net.ipv4.conf.eth0/10.rp_filter").as_deref(),
            Some("/proc/sys/net/ipv4/conf/eth0.10/rp_filter")
        );
        assert_eq!(sysctl_path("net.ipv4.conf.//.////.rp_filter"), None);
        assert!(is_modelled("net.ipv4.conf.eth0/10.rp_filter"));
        assert!(!is_modelled("net.ipv4.conf.eth0.proxy_arp"));
        assert!(!is_modelled("kernel.core_pattern"));
    }

    #[test]
    fn names_that_would_break_a_batch_are_refused() {
        assert!(is_plain("br-4f0537e1b2cd"));
        assert!(is_plain("eth0.10"));
        for name in ["", "a b", "a\nlink del lo", "a#", "sixteen-letters-x"] {
            assert!(!is_plain(name), "{name}");
        }
    }
}
