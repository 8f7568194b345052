//! What a ruleset alone tells of its host, when nobody gave the host's facts.
//!
//! Every conclusion is an [`Inference`] with its reason and how to confirm it, and reaches the report when a walk uses it.
//! Facts that were given are never overruled: nothing is concluded about lists that are whole.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::flow::Flow;
use crate::host::{
    Address, Host, Inference, InferenceId, IpFamily, Link, LinkKind, Name, NextHop, Origin, Route,
    RouteType, Scope, TableId,
};
use crate::logic::max_of;
use crate::ruleset::datatype::ifname_text;
use crate::ruleset::protocol::Base;
use crate::ruleset::{
    ChainType, Expr, Family, FibResult, Field, Hook, MetaKey, NatKind, NatRange, Op, Operand, Rule,
    RuleId, Ruleset, Stmt, Target,
};

/// Adds to the host what the ruleset and the flow let one conclude.
pub fn infer(ruleset: &Ruleset, host: &mut Host, flow: &Flow) {
    loopback(host);
    if !host.complete.addresses {
        subnets(ruleset, host);
    }
    if !host.complete.links {
        named_bridges(ruleset, host);
    }
    docker_sysctls(ruleset, host);
    let whole = host.complete.addresses && host.complete.routes(family_of(flow));
    let uplink = if whole { None } else { uplink(ruleset, host) };
    if !host.complete.addresses {
        published(
            ruleset,
            host,
            flow,
            uplink.as_ref().map(|(name, _)| name.as_str()),
        );
    }
    if !host.complete.routes(family_of(flow)) {
        default_route(host, flow, uplink);
    }
}

/// What a log line of a forwarded packet proves: the way to its destination, where no route is known.
pub fn leaves_by(host: &mut Host, flow: &Flow, dev: &str) {
    let prefix = IpNet::from(flow.dst);
    // a default route that was worked out says less than the line
    let known = host.routes.iter().any(|r| {
        let guessed = r.prefix.prefix_len() == 0 && matches!(r.origin, Origin::Inferred(_));
        r.prefix.contains(&flow.dst) && !guessed
    });
    if host.complete.routes(family_of(flow)) || known {
        return;
    }
    let name: Name = dev.into();
    let origin = conclude(
        host,
        format!("{} is reached by {name}", flow.dst),
        "yes".into(),
        "the log line shows the packet on its way out there".into(),
        format!("`--route {prefix},dev={name}`, or a snapshot of the host"),
    );
    if host.link(dev).is_none() && !host.complete.links {
        host.links
            .push(Link::named(name.clone(), LinkKind::Physical, origin));
    }
    host.routes.push(route(prefix, name, Scope::GLOBAL, origin));
}

fn family_of(flow: &Flow) -> IpFamily {
    if flow.dst.is_ipv6() {
        IpFamily::V6
    } else {
        IpFamily::V4
    }
}

fn conclude(
    host: &mut Host,
    fact: String,
    value: String,
    because: String,
    confirm: String,
) -> Origin {
    let known = host
        .inferences
        .iter()
        .position(|i| i.fact == fact && i.value == value);
    let id = known.unwrap_or_else(|| {
        host.inferences.push(Inference {
            fact,
            value,
            because,
            confirm,
        });
        host.inferences.len() - 1
    });
    Origin::Inferred(InferenceId(id as u32))
}

fn loopback(host: &mut Host) {
    if host.link("lo").is_none() && !host.complete.links {
        host.links
            .push(Link::named("lo", LinkKind::Loopback, Origin::Given));
    }
    if !host.complete.addresses && !host.addresses.iter().any(|a| a.dev == "lo") {
        host.addresses.push(Address::of(
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            8,
            "lo",
            Origin::Given,
        ));
        host.addresses.push(Address::of(
            IpAddr::V6(Ipv6Addr::LOCALHOST),
            128,
            "lo",
            Origin::Given,
        ));
    }
}

/// What a rule says of interfaces and addresses, read off its matches.
#[derive(Default)]
struct Shape {
    iif: Vec<(bool, String)>,
    oif: Vec<(bool, String)>,
    saddr: Option<IpNet>,
    daddr: Option<IpNet>,
    dport: Option<(u128, u128)>,
    l4proto: Option<u128>,
    local: bool,
    masquerade: bool,
    dnat: bool,
}

fn shape(ruleset: &Ruleset, rule: &Rule) -> Shape {
    let mut shape = Shape::default();
    for statement in &rule.statements {
        match &statement.kind {
            Stmt::Match(test) => {
                let Expr::Field(field) = &test.left else {
                    continue;
                };
                let range = match test.right {
                    Operand::Value(value) => (value, value),
                    Operand::Range(lo, hi) => (lo, hi),
                    Operand::Set(_) | Operand::Expr(_) => continue,
                };
                let positive = test.op == Op::Eq;
                match field {
                    Field::Meta(MetaKey::Iifname | MetaKey::Iif) if range.0 == range.1 => {
                        shape.iif.push((positive, ifname_text(range.0)));
                    }
                    Field::Meta(MetaKey::Oifname | MetaKey::Oif) if range.0 == range.1 => {
                        shape.oif.push((positive, ifname_text(range.0)));
                    }
                    Field::Meta(MetaKey::L4proto) if positive => shape.l4proto = Some(range.0),
                    Field::Payload {
                        base: Base::Nh,
                        offset: 96,
                        len: 32,
                    } if positive => {
                        shape.saddr = prefix(range, false);
                    }
                    Field::Payload {
                        base: Base::Nh,
                        offset: 128,
                        len: 32,
                    } if positive => {
                        shape.daddr = prefix(range, false);
                    }
                    Field::Payload {
                        base: Base::Nh,
                        offset: 64,
                        len: 128,
                    } if positive => {
                        shape.saddr = prefix(range, true);
                    }
                    Field::Payload {
                        base: Base::Nh,
                        offset: 192,
                        len: 128,
                    } if positive => {
                        shape.daddr = prefix(range, true);
                    }
                    Field::Payload {
                        base: Base::Th,
                        offset: 16,
                        len: 16,
                    } if positive => shape.dport = Some(range),
                    Field::Fib {
                        result: FibResult::Type,
                        flags,
                    } if positive && flags.daddr => {
                        shape.local = range.0 == 2;
                    }
                    _ => {}
                }
            }
            Stmt::Nat(nat) => match nat.kind {
                NatKind::Masquerade => shape.masquerade = true,
                NatKind::Dnat | NatKind::Redirect => shape.dnat = true,
                NatKind::Snat => {}
            },
            Stmt::Unknown(id) => {
                let what = &ruleset.unknown(*id).what;
                shape.masquerade |= what.ends_with("MASQUERADE");
                shape.dnat |= what.ends_with("DNAT");
                shape.local |= what.ends_with("addrtype");
            }
            _ => {}
        }
    }
    shape
}

/// A range that is a prefix shorter than a whole address is also fine; other ranges are not.
fn prefix((lo, hi): (u128, u128), v6: bool) -> Option<IpNet> {
    let width = if v6 { 128 } else { 32 };
    let host_bits = (lo ^ hi)
        .checked_add(1)
        .filter(|n| n.is_power_of_two())
        .map(u128::trailing_zeros)
        .unwrap_or(128);
    if lo & (max_of(host_bits.max(1)) * u128::from(host_bits > 0)) != 0 || host_bits > width {
        return None;
    }
    let len = (width - host_bits) as u8;
    let ip = if v6 {
        IpAddr::V6(Ipv6Addr::from_bits(lo))
    } else {
        IpAddr::V4(Ipv4Addr::from_bits(lo as u32))
    };
    IpNet::new(ip, len).ok()
}

fn where_is(ruleset: &Ruleset, rule: &Rule) -> String {
    let table = ruleset.table_of(rule.chain);
    let chain = &ruleset.chain(rule.chain).name;
    let which = rule.number();
    format!("rule {which} of {} {} {chain}", table.family, table.name)
}

/// Addresses that a `dnat` rule sends packets to: somebody else lives there. (Before 1.5 Docker gave its bridge
/// 172.17.42.1, and the first address of the subnet to a container.)
fn destinations(ruleset: &Ruleset) -> Vec<IpAddr> {
    let address = |stmt: &Stmt, v6: bool| match stmt {
        Stmt::Nat(nat) if nat.kind == NatKind::Dnat => match &nat.addr {
            NatRange::One(Expr::Const(value)) if v6 => Some(Ipv6Addr::from_bits(*value).into()),
            NatRange::One(Expr::Const(value)) => u32::try_from(*value)
                .ok()
                .map(|bits| Ipv4Addr::from_bits(bits).into()),
            _ => None,
        },
        _ => None,
    };
    let found = ruleset.rules.iter().flat_map(|rule| {
        let v6 = ruleset.table_of(rule.chain).family == Family::Ip6;
        rule.statements
            .iter()
            .filter_map(move |statement| address(&statement.kind, v6))
    });
    found.collect()
}

/// `ip saddr NET oifname != BR masquerade`: NET lives behind BR (Docker, Podman, libvirt write it so).
fn subnets(ruleset: &Ruleset, host: &mut Host) {
    let destinations = destinations(ruleset);
    for rule in &ruleset.rules {
        let shape = shape(ruleset, rule);
        let found = match (&shape.saddr, &shape.daddr, shape.oif.as_slice()) {
            (Some(net), _, [(false, name)]) if shape.masquerade => Some((*net, name.clone())),
            (_, Some(net), [(true, name)]) if short(net) => Some((*net, name.clone())),
            _ => None,
        };
        let Some((net, name)) = found else { continue };
        if !short(&net)
            || host
                .addresses
                .iter()
                .any(|a| a.dev == name.as_str() && a.ip.is_ipv4() == net.addr().is_ipv4())
        {
            continue;
        }
        let Some(first) = net.hosts().next() else {
            continue;
        };
        let elsewhere = destinations.contains(&first);
        let own = match elsewhere {
            true => "its address of this host is not known".to_string(),
            false => format!("with {first} as this host's address"),
        };
        let example = match elsewhere {
            true => "ADDR".to_string(),
            false => first.to_string(),
        };
        let origin = conclude(
            host,
            format!("subnet of {name}"),
            format!("{net}, {own}"),
            format!(
                "{} translates what leaves {net} by another interface than {name}, as Docker, Podman and libvirt write it for a bridge of theirs",
                where_is(ruleset, rule)
            ),
            format!(
                "`--iface {name}={example}/{}`, or a snapshot of the host",
                net.prefix_len()
            ),
        );
        add_bridge(host, &name, origin);
        if elsewhere {
            let scope = Scope::LINK;
            host.routes
                .push(route(net, name.as_str().into(), scope, origin));
        } else {
            let address = Address::of(first, net.prefix_len(), name.as_str(), origin);
            host.addresses.push(address);
        }
    }
}

fn short(net: &IpNet) -> bool {
    net.prefix_len() > 0 && net.prefix_len() < net.max_prefix_len()
}

fn add_bridge(host: &mut Host, name: &str, origin: Origin) {
    if host.link(name).is_none() {
        host.links.push(Link::named(name, LinkKind::Bridge, origin));
    }
}

/// Bridges whose names say so.
fn named_bridges(ruleset: &Ruleset, host: &mut Host) {
    for name in interface_names(ruleset) {
        if host.link(&name).is_some() || !looks_like_bridge(&name) {
            continue;
        }
        let origin = conclude(
            host,
            format!("interface {name}"),
            "a bridge".into(),
            "its name is one that container and virtualisation software gives to bridges".into(),
            "`--bridge NAME=PORT,PORT`, or a snapshot of the host".into(),
        );
        host.links.push(Link::named(name, LinkKind::Bridge, origin));
    }
}

fn looks_like_bridge(name: &str) -> bool {
    ["docker", "br-", "virbr", "lxcbr", "lxdbr", "podman", "cni"]
        .iter()
        .any(|stem| name.starts_with(stem))
}

/// Interfaces that belong to containers, tunnels of overlays, or are no way to the outside.
fn inner(name: &str) -> bool {
    // a bridge of Docker's networks has twelve hex digits; `br-lan` is a router's own
    let network = name
        .strip_prefix("br-")
        .is_some_and(|rest| rest.len() == 12 && rest.chars().all(|c| c.is_ascii_hexdigit()));
    network
        || [
            "docker", "virbr", "lxcbr", "lxdbr", "podman", "cni", "veth", "vnet", "tap", "cali",
            "flannel", "cilium", "kube", "lxc",
        ]
        .iter()
        .any(|stem| name.starts_with(stem))
        || name == "lo"
}

/// Every interface name that rules compare with, in order of appearance, wildcards left out.
pub fn interface_names(ruleset: &Ruleset) -> Vec<Name> {
    let mut names: Vec<Name> = Vec::new();
    let mut push = |value: u128| {
        let name = ifname_text(value);
        if !name.is_empty() && !names.iter().any(|n| n == name.as_str()) {
            names.push(name.into());
        }
    };
    let is_name = |expr: &Expr| {
        matches!(
            expr,
            Expr::Field(Field::Meta(
                MetaKey::Iifname | MetaKey::Iif | MetaKey::Oifname | MetaKey::Oif
            ))
        )
    };
    for rule in &ruleset.rules {
        for statement in &rule.statements {
            match &statement.kind {
                Stmt::Match(test) if is_name(&test.left) => match test.right {
                    Operand::Value(value) => push(value),
                    Operand::Set(set) => {
                        ruleset
                            .set(set)
                            .ranges()
                            .iter()
                            .filter(|(lo, hi, _)| lo == hi)
                            .for_each(|(lo, _, _)| push(*lo));
                    }
                    Operand::Range(..) | Operand::Expr(_) => {}
                },
                Stmt::Vmap { key, map } if is_name(key) => {
                    ruleset
                        .set(*map)
                        .ranges()
                        .iter()
                        .filter(|(lo, hi, _)| lo == hi)
                        .for_each(|(lo, _, _)| push(*lo));
                }
                _ => {}
            }
        }
    }
    names
}

/// Every name and wildcard of interfaces that rules compare with, in order of appearance: `eth0`, `ppp*`.
pub fn interface_patterns(ruleset: &Ruleset) -> Vec<Name> {
    let is_name = |expr: &Expr| {
        matches!(
            expr,
            Expr::Field(Field::Meta(
                MetaKey::Iifname | MetaKey::Iif | MetaKey::Oifname | MetaKey::Oif
            ))
        )
    };
    // which parts of a key are interfaces
    let parts = |key: &Expr| -> Vec<usize> {
        match key {
            Expr::Concat(parts) => (0..parts.len()).filter(|at| is_name(&parts[*at])).collect(),
            one if is_name(one) => vec![0],
            _ => Vec::new(),
        }
    };
    let mut names: Vec<Name> = Vec::new();
    let mut push = |(lo, hi): (u128, u128)| {
        let same = (lo ^ hi).leading_zeros() / 8;
        let whole = lo.to_be_bytes();
        let text = ifname_text(lo);
        let name = match lo == hi {
            true => text,
            false => {
                let prefix = &whole[..same as usize];
                let end = prefix
                    .iter()
                    .position(|byte| *byte == 0)
                    .unwrap_or(prefix.len());
                format!("{}*", String::from_utf8_lossy(&prefix[..end]))
            }
        };
        if !matches!(name.as_str(), "" | "*") && !names.iter().any(|known| known == name.as_str()) {
            names.push(name.into());
        }
    };
    for rule in &ruleset.rules {
        for statement in &rule.statements {
            let (key, set) = match &statement.kind {
                Stmt::Match(test) => match test.right {
                    Operand::Value(value) if is_name(&test.left) => {
                        push((value, value));
                        continue;
                    }
                    Operand::Range(lo, hi) if is_name(&test.left) => {
                        push((lo, hi));
                        continue;
                    }
                    Operand::Set(set) => (&test.left, set),
                    Operand::Value(_) | Operand::Range(..) | Operand::Expr(_) => continue,
                },
                Stmt::Vmap { key, map } | Stmt::ObjectMap { key, map } => (key, *map),
                _ => continue,
            };
            let parts = parts(key);
            if parts.is_empty() {
                continue;
            }
            for element in ruleset.set(set).elements() {
                parts
                    .iter()
                    .filter_map(|at| element.key.get(*at))
                    .for_each(|range| push(*range));
            }
        }
    }
    names
}

/// Docker switches forwarding on, loads br_netfilter and switches that on.
fn docker_sysctls(ruleset: &Ruleset, host: &mut Host) {
    let mut names = ruleset.chains.iter().map(|chain| &chain.name);
    if !names.any(|name| name.starts_with("DOCKER")) {
        return;
    }
    let keys = [
        ("net.bridge.bridge-nf-call-iptables", "br_netfilter"),
        ("net.ipv4.ip_forward", "forwarding"),
    ];
    for (key, what) in keys {
        if host.complete.sysctls || host.sysctls.contains_key(key) {
            continue;
        }
        conclude(
            host,
            key.into(),
            "1".into(),
            format!("there are chains of Docker, which switches {what} on"),
            format!("`--sysctl {key}=0` when it is off, or a snapshot of the host"),
        );
        host.sysctls.insert(key.into(), "1".into());
    }
}

/// The interface towards everything that is behind no known subnet, and why it is taken for that.
fn uplink(ruleset: &Ruleset, host: &Host) -> Option<(Name, String)> {
    let with_subnet = |name: &str| host.addresses.iter().any(|a| a.dev == name);
    let mut candidates = interface_names(ruleset)
        .into_iter()
        .filter(|name| !inner(name) && !with_subnet(name) && host.bridge_of(name).is_none());
    let only = candidates.next()?;
    let others = host.links.iter().any(|link| {
        link.kind == LinkKind::Physical
            && link.name != only
            && !inner(&link.name)
            && !with_subnet(&link.name)
    });
    if others || candidates.next().is_some() || host.complete.links && host.link(&only).is_none() {
        return None;
    }
    let reason = format!(
        "{only} is the only interface named in the ruleset that is neither loopback nor a container bridge"
    );
    Some((only, reason))
}

/// A published port: who asks for it asks this host.
fn published(ruleset: &Ruleset, host: &mut Host, flow: &Flow, uplink: Option<&str>) {
    let (Some(port), dst) = (flow.dport, flow.dst) else {
        return;
    };
    // every loopback address is this host's
    if dst.is_loopback() {
        return;
    }
    if host.addresses.iter().any(|a| {
        a.ip == dst || !a.ip.is_loopback() && a.subnet().is_some_and(|net| net.contains(&dst))
    }) {
        return;
    }
    // whoever says the host's addresses and where this one is reached has named its own
    let is_given = |origin: Origin| !matches!(origin, Origin::Inferred(_));
    let says_own = host
        .addresses
        .iter()
        .any(|a| a.ip.is_ipv4() == dst.is_ipv4() && !a.ip.is_loopback() && is_given(a.origin));
    let says_way = host
        .routes
        .iter()
        .any(|r| r.prefix.contains(&dst) && is_given(r.origin));
    if says_own && says_way {
        return;
    }
    let fits = |shape: &Shape| {
        shape.dnat
            && shape
                .dport
                .is_some_and(|(lo, hi)| lo <= u128::from(port) && u128::from(port) <= hi)
            && shape
                .l4proto
                .is_none_or(|proto| proto == u128::from(flow.proto))
            && shape.daddr.is_none_or(|net| net.contains(&dst))
    };
    let mut found = None;
    for id in ruleset.rule_ids() {
        let rule = ruleset.rule(id);
        let own = shape(ruleset, rule);
        if fits(&own) && (own.local || own.daddr.is_some() || called_for_local(ruleset, id)) {
            found = Some(rule);
            break;
        }
    }
    let Some(rule) = found else { return };
    let origin = conclude(
        host,
        format!("{dst} is an address of this host"),
        "yes".into(),
        format!(
            "{} publishes port {port} of this host's own addresses",
            where_is(ruleset, rule)
        ),
        format!("`--local {dst}`, or a snapshot of the host"),
    );
    let dev = uplink.unwrap_or("lo");
    let len = if dst.is_ipv4() { 32 } else { 128 };
    host.addresses.push(Address::of(dst, len, dev, origin));
}

/// Whether the rule's chain is called only after `fib daddr type local` in a nat chain.
fn called_for_local(ruleset: &Ruleset, rule: RuleId) -> bool {
    let chain = ruleset.rule(rule).chain;
    ruleset.rule_ids().any(|id| {
        let caller = ruleset.rule(id);
        let calls = || {
            ruleset
                .transfers(id)
                .iter()
                .any(|(target, _)| matches!(target, Target::Chain(id) if *id == chain))
        };
        let at_prerouting = ruleset
            .chain(caller.chain)
            .base
            .as_ref()
            .is_some_and(|b| b.kind == ChainType::Nat && b.hook == Hook::Prerouting);
        at_prerouting && calls() && shape(ruleset, caller).local
    })
}

/// The way to everything else.
fn default_route(host: &mut Host, flow: &Flow, uplink: Option<(Name, String)>) {
    let Some((name, because)) = uplink else {
        return;
    };
    let any = if flow.dst.is_ipv6() {
        "::/0"
    } else {
        "0.0.0.0/0"
    };
    let Ok(prefix) = any.parse::<IpNet>() else {
        return;
    };
    if host.routes.iter().any(|r| r.prefix == prefix) {
        return;
    }
    let origin = conclude(
        host,
        format!("addresses outside of the known subnets are reached by {name}"),
        "yes".into(),
        because,
        format!("`--route default,dev={name}`, or a snapshot of the host"),
    );
    if host.link(&name).is_none() {
        host.links
            .push(Link::named(name.clone(), LinkKind::Physical, origin));
    }
    host.routes.push(route(prefix, name, Scope::GLOBAL, origin));
}

fn route(prefix: IpNet, dev: Name, scope: Scope, origin: Origin) -> Route {
    Route {
        kind: RouteType::Unicast,
        prefix,
        from: None,
        table: TableId::MAIN,
        nexthops: vec![NextHop::dev(dev)],
        metric: 0,
        prefsrc: None,
        scope,
        tos: 0,
        origin,
    }
}
