//! Snapshot bundles, and host facts put together from separate files and flags.
//!
//! A bundle is one JSON object: `schema`, `taken`, `hostname`, `kernel`, `tool`, and `parts`, in which each listing has its command, its
//! `status` (`ok`, `failed` with `error`, or `absent`) and either `json` or `text`. Parts that are missing leave their lists incomplete.
//! What the ruleset in it means is not looked at here.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ip_json::{self, ListingError};
use super::sysctl;
use super::{SaveText, TextOf};
use crate::diagnostic::Diagnostic;
use crate::host::{
    Address, Host, IpFamily, Link, LinkKind, NextHop, Origin, Route, RouteType, Scope, TableId,
};
use crate::iptables::Family;

/// The bundle's schema, without its version.
pub const SCHEMA: &str = "nfpath.snapshot";
/// The newest version of the schema that is read in full, and the one that is written.
pub const SCHEMA_VERSION: u32 = 1;

/// Which listing a text is. Address and link listings, and routes and rules of both families, are told apart by content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostPart {
    /// `ip -j -d addr`
    Addresses,
    /// `ip -j -d link`
    Links,
    /// `ip -j [-6] route show table all`
    Routes,
    /// `ip -j [-6] rule`
    Rules,
    /// `ip -j neigh`
    Neighbours,
    /// `bridge -j -d link`
    BridgeLinks,
    /// `bridge -j fdb`
    BridgeFdb,
    /// `sysctl -a`
    Sysctls,
}

/// Why an input could not be used at all. One line, lower case, no final period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{source_name}: {message}")]
pub struct HostError {
    pub source_name: String,
    pub message: String,
}

/// A snapshot bundle, read.
#[derive(Debug, Clone, Default)]
pub struct Bundle {
    /// The value of `nft -j list ruleset`, unparsed.
    pub ruleset_json: Option<Box<RawValue>>,
    /// `nft -a list ruleset`
    pub ruleset_text: Option<String>,
    pub host: Host,
    pub iptables_save: Option<String>,
    pub ip6tables_save: Option<String>,
    pub iptables_legacy_save: Option<String>,
    pub ip6tables_legacy_save: Option<String>,
    pub ebtables_save: Option<String>,
    pub ebtables_legacy_save: Option<String>,
    pub ipset: Option<String>,
    /// When it was taken, RFC 3339.
    pub taken: Option<String>,
    pub hostname: Option<String>,
    pub kernel: Option<String>,
    /// Version of the nfpath that took it.
    pub nfpath: Option<String>,
    pub diagnostics: Vec<Diagnostic>,
}

impl Bundle {
    /// The texts of other programs beside the ruleset.
    pub fn take_texts(&mut self, source: &str) -> Vec<SaveText> {
        let parts = [
            (
                self.iptables_save.take(),
                TextOf::Iptables(Family::Ip),
                "iptables-save",
            ),
            (
                self.ip6tables_save.take(),
                TextOf::Iptables(Family::Ip6),
                "ip6tables-save",
            ),
            (
                self.iptables_legacy_save.take(),
                TextOf::Legacy(Family::Ip),
                "iptables-legacy-save",
            ),
            (
                self.ip6tables_legacy_save.take(),
                TextOf::Legacy(Family::Ip6),
                "ip6tables-legacy-save",
            ),
            (
                self.ebtables_save.take(),
                TextOf::Iptables(Family::Bridge),
                "ebtables-save",
            ),
            (
                self.ebtables_legacy_save.take(),
                TextOf::Legacy(Family::Bridge),
                "ebtables-legacy-save",
            ),
            (self.ipset.take(), TextOf::Ipset, "ipset"),
            (self.ruleset_text.take(), TextOf::Listing, "ruleset-text"),
        ];
        let texts = parts.into_iter().filter_map(|(text, of, part)| {
            Some(SaveText {
                source: format!("{source} ({part})"),
                text: text?,
                of,
            })
        });
        texts.collect()
    }
}

/// Whether a text is a snapshot bundle, by content.
pub fn is_bundle(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow)]
        schema: Cow<'a, str>,
    }
    text.trim_start().starts_with('{')
        && text.contains(SCHEMA)
        && serde_json::from_str::<Head<'_>>(text)
            .is_ok_and(|head| version_of(&head.schema).is_some())
}

/// The version in `nfpath.snapshot/N`.
fn version_of(schema: &str) -> Option<u32> {
    schema.strip_prefix(SCHEMA)?.strip_prefix('/')?.parse().ok()
}

#[derive(Deserialize)]
struct WireBundle<'a> {
    #[serde(borrow)]
    schema: Cow<'a, str>,
    taken: Option<String>,
    hostname: Option<String>,
    kernel: Option<String>,
    tool: Option<WireTool>,
    #[serde(borrow, default)]
    parts: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

#[derive(Deserialize)]
struct WireTool {
    nfpath: Option<String>,
}

#[derive(Deserialize)]
struct WirePart<'a> {
    status: Option<Cow<'a, str>>,
    error: Option<Cow<'a, str>>,
    #[serde(borrow)]
    json: Option<&'a RawValue>,
    text: Option<String>,
}

/// The parts that hold host facts, the family that a part is about, and whether one without it is worth a word.
const HOST_PARTS: [(&str, HostPart, Option<IpFamily>); 10] = [
    ("links", HostPart::Links, None),
    ("addresses", HostPart::Addresses, None),
    ("routes", HostPart::Routes, Some(IpFamily::V4)),
    ("routes6", HostPart::Routes, Some(IpFamily::V6)),
    ("rules", HostPart::Rules, Some(IpFamily::V4)),
    ("rules6", HostPart::Rules, Some(IpFamily::V6)),
    ("neighbours", HostPart::Neighbours, None),
    ("bridge-links", HostPart::BridgeLinks, None),
    ("bridge-fdb", HostPart::BridgeFdb, None),
    ("sysctls", HostPart::Sysctls, None),
];

/// Reads a snapshot bundle. A part that cannot be used is a diagnostic.
pub fn read(source: &str, text: &str) -> Result<Bundle, HostError> {
    let wire: WireBundle<'_> = serde_json::from_str(text)
        .map_err(|error| refuse(source, format!("not a snapshot bundle: {error}")))?;
    let Some(version) = version_of(&wire.schema) else {
        return Err(refuse(
            source,
            format!(
                "not a snapshot bundle: its schema is `{}`, not `{SCHEMA}/{SCHEMA_VERSION}`",
                wire.schema
            ),
        ));
    };
    let mut bundle = Bundle {
        taken: wire.taken,
        hostname: wire.hostname,
        kernel: wire.kernel,
        nfpath: wire.tool.and_then(|tool| tool.nfpath),
        ..Bundle::default()
    };
    if version > SCHEMA_VERSION {
        bundle.diagnostics.push(Diagnostic::warning(
            source,
            format!("schema `{}` is newer than this program, which knows version {SCHEMA_VERSION}; what it adds is not read", wire.schema),
        ));
    }
    let mut parts: BTreeMap<&str, WirePart<'_>> = BTreeMap::new();
    for (name, raw) in &wire.parts {
        let part_source = format!("{source}, part {name}");
        match serde_json::from_str::<WirePart<'_>>(raw.get()) {
            Ok(part) => {
                if part.status.as_deref() == Some("failed") {
                    let cause = part
                        .error
                        .as_deref()
                        .unwrap_or("the snapshot does not say why");
                    bundle.diagnostics.push(Diagnostic::warning(
                        part_source,
                        format!("could not be taken: {cause}"),
                    ));
                }
                parts.insert(name, part);
            }
            Err(error) => bundle.diagnostics.push(Diagnostic::warning(
                part_source,
                format!("not understood: {error}"),
            )),
        }
    }
    for (name, part, family) in HOST_PARTS {
        let Some(wire) = parts.get(name) else {
            continue;
        };
        let Some(text) = wire.json.map(RawValue::get).or(wire.text.as_deref()) else {
            continue;
        };
        let part_source = format!("{source}, part {name}");
        match add(&mut bundle.host, part, family, &part_source, text) {
            Ok(diagnostics) => bundle.diagnostics.extend(diagnostics),
            Err(error) => bundle
                .diagnostics
                .push(Diagnostic::warning(error.source_name, error.message)),
        }
    }
    // a snapshot taken by a shell has JSON as text
    bundle.ruleset_json = parts.get_mut("ruleset").and_then(|part| match part.json {
        Some(json) => Some(json.to_owned()),
        None => RawValue::from_string(part.text.take()?).ok(),
    });
    let mut text_of = |name: &str| {
        parts
            .get_mut(name)
            .and_then(|part| part.text.take())
            .filter(|text| !text.trim().is_empty())
    };
    bundle.ruleset_text = text_of("ruleset-text");
    bundle.iptables_save = text_of("iptables-save");
    bundle.ip6tables_save = text_of("ip6tables-save");
    bundle.iptables_legacy_save = text_of("iptables-legacy-save");
    bundle.ip6tables_legacy_save = text_of("ip6tables-legacy-save");
    bundle.ebtables_save = text_of("ebtables-save");
    bundle.ebtables_legacy_save = text_of("ebtables-legacy-save");
    bundle.ipset = text_of("ipset");
    Ok(bundle)
}

/// Puts a host together from raw listings: which listing, what to call it in messages, its text.
/// An input that cannot be used at all is a diagnostic here, and its list stays incomplete.
pub fn assemble(inputs: &[(HostPart, &str, &str)]) -> (Host, Vec<Diagnostic>) {
    let mut host = Host::default();
    let mut diagnostics = Vec::new();
    for &(part, source, text) in inputs {
        match add_part(&mut host, part, source, text) {
            Ok(more) => diagnostics.extend(more),
            Err(error) => diagnostics.push(Diagnostic::warning(error.source_name, error.message)),
        }
    }
    (host, diagnostics)
}

/// Adds one raw listing to a host.
pub fn add_part(
    host: &mut Host,
    part: HostPart,
    source: &str,
    text: &str,
) -> Result<Vec<Diagnostic>, HostError> {
    add(host, part, None, source, text)
}

/// `family` is given when the listing is known to be the whole list of that family.
fn add(
    host: &mut Host,
    part: HostPart,
    family: Option<IpFamily>,
    source: &str,
    text: &str,
) -> Result<Vec<Diagnostic>, HostError> {
    let refused = |error: ListingError| refuse(source, error.to_string());
    match part {
        HostPart::Addresses => {
            let read = ip_json::addresses(source, text).map_err(refused)?;
            for link in read.value.links {
                merge_link(host, link);
            }
            let listed: HashSet<(IpAddr, &str)> = read
                .value
                .addresses
                .iter()
                .map(|address| (address.ip, address.dev.as_str()))
                .collect();
            host.addresses
                .retain(|known| !listed.contains(&(known.ip, known.dev.as_str())));
            host.addresses.extend(read.value.addresses);
            host.complete.addresses = true;
            host.complete.links = true;
            Ok(read.diagnostics)
        }
        HostPart::Links => {
            let read = ip_json::links(source, text).map_err(refused)?;
            for link in read.value {
                merge_link(host, link);
            }
            host.complete.links = true;
            Ok(read.diagnostics)
        }
        HostPart::BridgeLinks => {
            let read = ip_json::bridge_links(source, text).map_err(refused)?;
            for port in read.value {
                if let Some(master) = port.master.clone() {
                    merge_link(host, Link::named(master, LinkKind::Bridge, Origin::Given));
                }
                merge_link(host, port);
            }
            Ok(read.diagnostics)
        }
        HostPart::Routes => {
            let read = ip_json::routes(source, text, &mut host.tables).map_err(refused)?;
            let mut diagnostics = read.diagnostics;
            let families = add_routes(host, read.value, family);
            if family.is_none() && families.is_empty() {
                diagnostics.push(Diagnostic::warning(
                    source,
                    "lists no local table, so it is taken for a part of the routes; give the output of `ip -j route show table all`",
                ));
            }
            Ok(diagnostics)
        }
        HostPart::Rules => {
            let read = ip_json::rules(source, text, family, &mut host.tables).map_err(refused)?;
            if let Some(family) = family.or(read.value.first().map(|rule| rule.family)) {
                match family {
                    IpFamily::V4 => host.complete.rules4 = true,
                    IpFamily::V6 => host.complete.rules6 = true,
                }
                host.rules.retain(|rule| rule.family != family);
                host.rules.extend(read.value);
                host.rules.sort_by_key(|rule| (rule.family, rule.priority));
            }
            Ok(read.diagnostics)
        }
        HostPart::Neighbours => {
            let read = ip_json::neighbours(source, text).map_err(refused)?;
            host.neighbours.extend(read.value);
            Ok(read.diagnostics)
        }
        HostPart::BridgeFdb => {
            let read = ip_json::bridge_fdb(source, text).map_err(refused)?;
            host.fdb.extend(read.value);
            Ok(read.diagnostics)
        }
        HostPart::Sysctls => {
            if text.trim().is_empty() {
                return Err(refuse(
                    source,
                    "the text is empty; give the output of `sysctl -a`",
                ));
            }
            let (values, diagnostics) = sysctl::read(source, text);
            if values.is_empty() {
                return Err(refuse(
                    source,
                    "no line is of the form `key = value`; give the output of `sysctl -a`",
                ));
            }
            host.sysctls.extend(values);
            // An excerpt would hardly have the loopback device.
            let whole = |key: &str| host.sysctls.contains_key(key);
            if whole("net.ipv4.conf.lo.forwarding") && whole("net.ipv4.conf.all.forwarding") {
                host.complete.sysctls = true;
            }
            Ok(diagnostics)
        }
    }
}

/// Adds routes that are not there yet; returns the families whose list is whole now. `ip route show table all` shows both families, and
/// `ip -6 route show table all` the second again.
fn add_routes(host: &mut Host, routes: Vec<Route>, family: Option<IpFamily>) -> Vec<IpFamily> {
    let has_local_table = |family| {
        routes
            .iter()
            .any(|route| route.table == TableId::LOCAL && IpFamily::of_net(route.prefix) == family)
    };
    let whole: Vec<IpFamily> = [IpFamily::V4, IpFamily::V6]
        .into_iter()
        .filter(|&each| family == Some(each) || has_local_table(each))
        .collect();
    for family in &whole {
        match family {
            IpFamily::V4 => host.complete.routes4 = true,
            IpFamily::V6 => host.complete.routes6 = true,
        }
    }
    let mut seen: HashSet<Route> = host.routes.iter().cloned().collect();
    for route in routes {
        if seen.insert(route.clone()) {
            host.routes.push(route);
        }
    }
    whole
}

/// Adds a link, or what is new about it: listings of links, addresses and bridge ports each know something of their own.
fn merge_link(host: &mut Host, new: Link) {
    let Some(known) = host.links.iter_mut().find(|link| link.name == new.name) else {
        host.links.push(new);
        return;
    };
    known.index = new.index.or(known.index);
    if new.kind != LinkKind::Physical {
        known.kind = new.kind;
    }
    known.master = new.master.or(known.master.take());
    known.mac = new.mac.or(known.mac);
    // Only a listing with an index has looked at the device itself.
    if new.index.is_some() {
        known.up = new.up;
        known.carrier = new.carrier;
        known.origin = new.origin;
    }
    known.mtu = new.mtu.or(known.mtu);
    known.group = new.group.or(known.group.take());
    known.hairpin = new.hairpin.or(known.hairpin);
    known.isolated = new.isolated.or(known.isolated);
    known.nf_call.ip |= new.nf_call.ip;
    known.nf_call.ip6 |= new.nf_call.ip6;
}

fn refuse(source: &str, message: impl Into<String>) -> HostError {
    HostError {
        source_name: source.to_owned(),
        message: message.into(),
    }
}

/// `--local ADDR`: an address of this host. It goes to the device whose subnet it is in, else to the loopback device.
pub fn apply_flag_local(host: &mut Host, value: &str) -> Result<(), HostError> {
    let flag = "--local";
    let text = value.trim();
    let ip: IpAddr = text
        .split('/')
        .next()
        .unwrap_or(text)
        .parse()
        .map_err(|_| refuse(flag, format!("`{value}` is not an IP address")))?;
    if host.addresses.iter().any(|known| known.ip == ip) {
        return Ok(());
    }
    let neighbour = host
        .addresses
        .iter()
        .find(|known| known.subnet().is_some_and(|subnet| subnet.contains(&ip)));
    let dev = neighbour.map_or_else(|| "lo".into(), |known| known.dev.clone());
    let address = Address {
        noprefixroute: true,
        ..Address::of(ip, IpNet::from(ip).prefix_len(), dev, Origin::Flag)
    };
    host.addresses.push(address);
    Ok(())
}

/// `--iface NAME=ADDR/LEN[,ADDR/LEN]`: a device, its addresses and their connected routes.
pub fn apply_iface(host: &mut Host, value: &str) -> Result<(), HostError> {
    let flag = "--iface";
    let (name, addresses) = split_name(flag, value, "NAME=ADDR/LEN[,ADDR/LEN]")?;
    let mut new = Vec::new();
    for text in addresses {
        let (ip, len) = text.split_once('/').ok_or_else(|| {
            refuse(
                flag,
                format!("`{text}` has no prefix length; write it as in `{name}=192.0.2.1/24`"),
            )
        })?;
        let ip: IpAddr = ip
            .parse()
            .map_err(|_| refuse(flag, format!("`{ip}` is not an IP address")))?;
        let len: u8 = len
            .parse()
            .map_err(|_| refuse(flag, format!("`{len}` is not a prefix length")))?;
        IpNet::new(ip, len).map_err(|_| {
            refuse(
                flag,
                format!("`{text}` has a prefix length that is too long"),
            )
        })?;
        new.push(Address::of(ip, len, name, Origin::Flag));
    }
    know_link(host, name);
    for mut address in new {
        if host
            .addresses
            .iter()
            .any(|known| known.ip == address.ip && known.dev == address.dev)
        {
            continue;
        }
        // `__inet_insert_ifa`: an IPv4 address in the subnet of an earlier one is secondary.
        address.secondary = address.ip.is_ipv4()
            && host.addresses.iter().any(|known| {
                known.dev == address.dev && !known.secondary && known.subnet() == address.subnet()
            });
        host.addresses.push(address);
    }
    Ok(())
}

/// `--route PREFIX,dev=IF[,via=ADDR][,table=N][,metric=N][,src=ADDR][,type=TYPE]`; PREFIX may be `default`.
pub fn apply_route(host: &mut Host, value: &str) -> Result<(), HostError> {
    let flag = "--route";
    let form = "PREFIX,dev=IF[,via=ADDR][,table=N][,metric=N]";
    let mut fields = value.split(',').map(str::trim);
    let prefix_text = fields.next().unwrap_or_default();
    let (mut dev, mut via, mut src, mut table, mut metric, mut kind) =
        (None, None, None, TableId::MAIN, None, RouteType::Unicast);
    for field in fields {
        let (key, text) = field.split_once('=').ok_or_else(|| {
            refuse(
                flag,
                format!("`{field}` is not `key=value`; the form is {form}"),
            )
        })?;
        let address = || {
            text.parse::<IpAddr>()
                .map_err(|_| refuse(flag, format!("`{text}` is not an IP address")))
        };
        match key {
            "dev" if !text.is_empty() => dev = Some(text),
            "via" => via = Some(address()?),
            "src" => src = Some(address()?),
            "table" if !text.is_empty() => table = host.tables.id_of(text),
            "metric" => {
                metric = Some(
                    text.parse()
                        .map_err(|_| refuse(flag, format!("`{text}` is not a metric")))?,
                )
            }
            "type" => {
                kind = match text {
                    "unicast" => RouteType::Unicast,
                    "local" => RouteType::Local,
                    "blackhole" => RouteType::Blackhole,
                    "unreachable" => RouteType::Unreachable,
                    "prohibit" => RouteType::Prohibit,
                    "throw" => RouteType::Throw,
                    _ => return Err(refuse(flag, format!("`{text}` is not a route type"))),
                }
            }
            _ => {
                return Err(refuse(
                    flag,
                    format!("`{field}` is not understood; the form is {form}"),
                ));
            }
        }
    }
    let family = via.or(src).map(IpFamily::of);
    let prefix = ip_json::parse_prefix(prefix_text, family).ok_or_else(|| {
        refuse(
            flag,
            format!("`{prefix_text}` is not a prefix; the form is {form}"),
        )
    })?;
    let family = IpFamily::of_net(prefix);
    if via.is_some_and(|via| IpFamily::of(via) != family && family == IpFamily::V6)
        || src.is_some_and(|src| IpFamily::of(src) != family)
    {
        return Err(refuse(flag, format!("`{value}` mixes IPv4 and IPv6")));
    }
    let leads_somewhere = matches!(kind, RouteType::Unicast | RouteType::Local);
    if leads_somewhere && dev.is_none() {
        return Err(refuse(
            flag,
            format!("`{value}` names no device; the form is {form}"),
        ));
    }
    if let Some(dev) = dev {
        know_link(host, dev);
    }
    let nexthops = dev
        .map(|dev| NextHop {
            via,
            ..NextHop::dev(dev)
        })
        .into_iter()
        .collect();
    let scope = match (kind, via) {
        (RouteType::Local, _) => Scope::HOST,
        (RouteType::Unicast, None) => Scope::LINK,
        (_, _) => Scope::GLOBAL,
    };
    let default_metric = match family {
        IpFamily::V4 => 0,
        IpFamily::V6 => 1024,
    };
    host.routes.push(Route {
        kind,
        prefix,
        from: None,
        table,
        nexthops,
        metric: metric.unwrap_or(default_metric),
        prefsrc: src,
        scope,
        tos: 0,
        origin: Origin::Flag,
    });
    Ok(())
}

/// `--bridge NAME=PORT,PORT`: a bridge and its ports.
pub fn apply_bridge(host: &mut Host, value: &str) -> Result<(), HostError> {
    let (name, ports) = split_name("--bridge", value, "NAME=PORT,PORT")?;
    if ports.contains(&name) {
        return Err(refuse(
            "--bridge",
            format!("`{name}` cannot be a port of itself"),
        ));
    }
    know_link(host, name).kind = LinkKind::Bridge;
    for port in ports {
        know_link(host, port).master = Some(name.into());
    }
    Ok(())
}

/// `--sysctl KEY=VALUE`; takes the place of a value that is there already.
pub fn apply_sysctl(host: &mut Host, value: &str) -> Result<(), HostError> {
    let flag = "--sysctl";
    let (key, number) = value
        .split_once('=')
        .filter(|(key, _)| !key.trim().is_empty())
        .ok_or_else(|| refuse(flag, format!("`{value}` is not of the form KEY=VALUE")))?;
    let number = number.trim();
    // a few settings have several numbers
    let mut numbers = number.split_whitespace().peekable();
    let is_none = numbers.peek().is_none();
    if is_none || !numbers.all(|number| number.parse::<i64>().is_ok()) {
        let error = "is no number, as are all settings that matter here";
        return Err(refuse(flag, format!("`{value}`: `{number}` {error}")));
    }
    host.sysctls.insert(sysctl::dotted(key), number.into());
    Ok(())
}

/// `NAME=A,B`: the name and the list, which may be empty.
fn split_name<'a>(
    flag: &str,
    value: &'a str,
    form: &str,
) -> Result<(&'a str, Vec<&'a str>), HostError> {
    match value.split_once('=') {
        Some((name, list)) if !name.trim().is_empty() => Ok((
            name.trim(),
            list.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .collect(),
        )),
        Some(_) | None => Err(refuse(flag, format!("`{value}` is not of the form {form}"))),
    }
}

/// The link of this name, made known when it is not.
fn know_link<'a>(host: &'a mut Host, name: &str) -> &'a mut Link {
    let at = host
        .links
        .iter()
        .position(|link| link.name == name)
        .unwrap_or_else(|| {
            let kind = if name == "lo" {
                LinkKind::Loopback
            } else {
                LinkKind::Physical
            };
            host.links.push(Link::named(name, kind, Origin::Flag));
            host.links.len() - 1
        });
    &mut host.links[at]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{AddressType, RouteAnswer, RouteQuery, TypeAnswer};

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn dev_to(host: &Host, dst: &str) -> String {
        match host.route(&RouteQuery::to(ip(dst))) {
            RouteAnswer::Found(found) => {
                let hop = found.nexthops.first().expect("a next hop");
                format!("{:?} {}", found.kind, hop.dev.as_deref().unwrap_or("-"))
            }
            RouteAnswer::NoRoute => "no route".to_owned(),
            RouteAnswer::Unknown { missing } => format!("unknown: {missing}"),
        }
    }

    #[test]
    fn light_flags_answer_what_they_say_and_nothing_more() {
        let mut host = Host::default();
        assert_eq!(dev_to(&host, "127.0.0.5"), "Local lo");
        assert_eq!(dev_to(&host, "::1"), "Local lo");
        assert_eq!(
            dev_to(&host, "10.0.0.9"),
            "unknown: the IPv4 route to 10.0.0.9"
        );
        apply_iface(&mut host, "eth0=10.0.0.1/24,10.0.0.2/24,fd00::1/64").expect("an interface");
        assert_eq!(dev_to(&host, "10.0.0.1"), "Local eth0");
        assert_eq!(dev_to(&host, "10.0.0.9"), "Unicast eth0");
        assert_eq!(dev_to(&host, "10.0.0.255"), "Broadcast eth0");
        assert_eq!(dev_to(&host, "fd00::9"), "Unicast eth0");
        assert!(host.addresses[1].secondary);
        assert_eq!(
            dev_to(&host, "8.8.8.8"),
            "unknown: the IPv4 route to 8.8.8.8"
        );
        assert_eq!(
            host.address_type(ip("10.0.0.9"), None),
            TypeAnswer::Known(AddressType::Unicast, Origin::Flag)
        );
        assert!(matches!(
            host.address_type(ip("8.8.8.8"), None),
            TypeAnswer::Unknown { .. }
        ));
        apply_route(&mut host, "default,dev=wan0,via=192.0.2.1").expect("a route");
        apply_route(&mut host, "10.7.0.0/16,type=blackhole").expect("a route");
        assert_eq!(dev_to(&host, "8.8.8.8"), "Unicast wan0");
        assert!(host.link("wan0").is_some());
        apply_flag_local(&mut host, "10.0.0.77").expect("an address");
        apply_flag_local(&mut host, "198.51.100.1").expect("an address");
        assert_eq!(dev_to(&host, "10.0.0.77"), "Local eth0");
        assert_eq!(dev_to(&host, "198.51.100.1"), "Local lo");
        assert_eq!(
            host.address_type(ip("198.51.100.1"), None),
            TypeAnswer::Known(AddressType::Local, Origin::Flag)
        );
        assert_eq!(
            host.source_address("eth0", Some(ip("8.8.8.8")), IpFamily::V4),
            Some((ip("10.0.0.1"), Origin::Flag))
        );
        assert_eq!(
            host.source_address("wan0", Some(ip("192.0.2.1")), IpFamily::V4),
            None
        );
    }

    #[test]
    fn bridges_and_sysctls_from_flags() {
        let mut host = Host::default();
        apply_bridge(&mut host, "br0=veth1,veth2").expect("a bridge");
        assert_eq!(
            host.ports("br0")
                .map(|port| port.name.as_str())
                .collect::<Vec<_>>(),
            ["veth1", "veth2"]
        );
        assert_eq!(host.bridge_of("veth2"), Some("br0"));
        assert_eq!(host.port_towards("br0", Some(ip("10.0.0.9")), None), None);
        host.fdb.push(crate::host::FdbEntry {
            mac: [2, 0, 0, 0, 0, 9],
            dev: "veth2".into(),
            master: Some("br0".into()),
            vlan: None,
            permanent: false,
        });
        host.neighbours.push(crate::host::Neighbour {
            ip: ip("10.0.0.9"),
            dev: "br0".into(),
            mac: Some([2, 0, 0, 0, 0, 9]),
            failed: false,
        });
        assert_eq!(
            host.port_towards("br0", Some(ip("10.0.0.9")), None),
            Some("veth2")
        );
        assert_eq!(host.bridge_nf_call(IpFamily::V4), None);
        apply_sysctl(&mut host, "net/bridge/bridge-nf-call-iptables=1").expect("a sysctl");
        assert_eq!(host.bridge_nf_call(IpFamily::V4), Some(true));
        apply_sysctl(&mut host, "net.ipv4.conf.all.rp_filter=1").expect("a sysctl");
        assert_eq!(host.rp_filter("eth0"), None);
        apply_sysctl(&mut host, "net.ipv4.conf.eth0.rp_filter=2").expect("a sysctl");
        assert_eq!(host.rp_filter("eth0"), Some(2));
    }

    #[test]
    fn flags_that_say_nothing_are_refused_in_one_line() {
        let host = &mut Host::default();
        let mut said = vec![
            apply_iface(host, "eth0").expect_err("no addresses"),
            apply_iface(host, "eth0=10.0.0.1").expect_err("no length"),
            apply_iface(host, "eth0=10.0.0.1/33").expect_err("a long length"),
            apply_route(host, "10.0.0.0/8").expect_err("no device"),
            apply_route(host, "10.0.0.0/8,via=x").expect_err("no address"),
            apply_route(host, "fd00::/8,dev=e,via=10.0.0.1").expect_err("two families"),
            apply_bridge(host, "br0").expect_err("no ports"),
            apply_sysctl(host, "x").expect_err("no value"),
            apply_sysctl(host, "net.ipv4.ip_forward=yes").expect_err("no number"),
            apply_flag_local(host, "x").expect_err("no address"),
        ];
        assert_eq!(host, &Host::default());
        let said: Vec<String> = said.drain(..).map(|error| error.to_string()).collect();
        assert_eq!(
            said,
            [
                "--iface: `eth0` is not of the form NAME=ADDR/LEN[,ADDR/LEN]",
                "--iface: `10.0.0.1` has no prefix length; write it as in `eth0=192.0.2.1/24`",
                "--iface: `10.0.0.1/33` has a prefix length that is too long",
                "--route: `10.0.0.0/8` names no device; the form is PREFIX,dev=IF[,via=ADDR][,table=N][,metric=N]",
                "--route: `x` is not an IP address",
                "--route: `fd00::/8,dev=e,via=10.0.0.1` mixes IPv4 and IPv6",
                "--bridge: `br0` is not of the form NAME=PORT,PORT",
                "--sysctl: `x` is not of the form KEY=VALUE",
                "--sysctl: `net.ipv4.ip_forward=yes`: `yes` is no number, as are all settings that matter here",
                "--local: `x` is not an IP address",
            ]
        );
    }

    #[test]
    fn a_listing_of_table_main_alone_is_not_whole() {
        let routes = r#"[{"dst":"default","gateway":"10.0.0.254","dev":"eth0","flags":[]},{"dst":"10.0.0.0/24","dev":"eth0","prefsrc":"10.0.0.1","metric":100,"flags":[]}]"#;
        let addresses = r#"[{"ifindex":2,"ifname":"eth0","flags":["UP","LOWER_UP"],"link_type":"ether","addr_info":[{"family":"inet","local":"10.0.0.1","prefixlen":24,"scope":"global"}]}]"#;
        let (host, diagnostics) = assemble(&[
            (HostPart::Routes, "r.json", routes),
            (HostPart::Addresses, "a.json", addresses),
        ]);
        assert_eq!(
            diagnostics
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            [
                "warning: r.json: lists no local table, so it is taken for a part of the routes; give the output of `ip -j route show table all`"
            ]
        );
        assert!(!host.complete.routes4);
        assert_eq!(dev_to(&host, "10.0.0.1"), "Local eth0");
        assert_eq!(dev_to(&host, "8.8.8.8"), "Unicast eth0");
        match host.route(&RouteQuery::to(ip("10.0.0.9"))) {
            RouteAnswer::Found(found) => assert_eq!(found.metric, 100),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_newer_bundle_is_read_as_far_as_known() {
        let text = r#"{"parts":{"ruleset":{"status":"ok","json":{"nftables":[]},"new":1},"later":{"status":"ok","text":"x"},"links":{"status":"failed","error":"no"},
            "sysctls":{"status":"ok","text":"net.ipv4.ip_forward = 1\n"},"rules":7,"neighbours":{"status":"ok","json":{}}},"schema":"nfpath.snapshot/2"}"#;
        assert!(is_bundle(text));
        let bundle = read("b", text).expect("a bundle");
        assert_eq!(
            bundle.ruleset_json.as_deref().map(RawValue::get),
            Some(r#"{"nftables":[]}"#)
        );
        assert_eq!(
            bundle.host.ip_forward(IpFamily::V4, Some("eth0")),
            Some(true)
        );
        let said: Vec<String> = bundle.diagnostics.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 4, "{said:?}");
        assert!(said[0].contains("`nfpath.snapshot/2` is newer"), "{said:?}");
        assert!(
            said.iter()
                .any(|line| line == "warning: b, part links: could not be taken: no"),
            "{said:?}"
        );
        assert!(!is_bundle(r#"{"nftables":[]}"#));
        assert_eq!(
            read("b", r#"{"schema":"other/1"}"#)
                .expect_err("another schema")
                .to_string(),
            "b: not a snapshot bundle: its schema is `other/1`, not `nfpath.snapshot/1`"
        );
    }
}
