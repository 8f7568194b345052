//! Reading the JSON of iproute2's `ip` and `bridge`, from 4.19 on; what they print for people becomes the same elements first (`ip_text`).
//!
//! An unknown field is ignored, except where it would change which packets a routing rule selects. An element of the wrong shape is left
//! out with a diagnostic; only a text that is not such a listing at all is an error.
//! Left out: realms, route metrics (mtu, advmss, …), encapsulations, which change nothing about the path.

use std::net::IpAddr;

use compact_str::{CompactString, format_compact};
use ipnet::IpNet;
use serde_json::{Map, Value};

use crate::diagnostic::Diagnostic;
use crate::host::{
    Address, FdbEntry, IpFamily, Link, LinkKind, Mac, Name, Neighbour, NextHop, NfCall, Origin,
    Route, RouteType, RoutingRule, RuleAction, Scope, TableId, TableNames,
};

/// Why a text is not the listing that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListingError {
    #[error(
        "the text is empty; write the output of `{command}` again and look at what it printed on standard error"
    )]
    Empty { command: &'static str },
    #[error("not JSON: {cause}; give the output of `{command}`")]
    NotJson {
        cause: String,
        command: &'static str,
    },
    #[error("not a list; give the output of `{command}`")]
    NotAList { command: &'static str },
    #[error("a list of {found}, not of {wanted}; give the output of `{command}`")]
    OtherListing {
        found: &'static str,
        wanted: &'static str,
        command: &'static str,
    },
}

/// The kinds of listing, told apart by the fields of their elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    Addresses,
    Links,
    Routes,
    Rules,
    Neighbours,
    BridgeLinks,
    BridgeFdb,
}

impl Listing {
    /// The command that prints it.
    pub fn command(self) -> &'static str {
        match self {
            Self::Addresses => "ip -j -d addr",
            Self::Links => "ip -j -d link",
            Self::Routes => "ip -j route show table all",
            Self::Rules => "ip -j rule",
            Self::Neighbours => "ip -j neigh",
            Self::BridgeLinks => "bridge -j -d link",
            Self::BridgeFdb => "bridge -j fdb",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Addresses => "addresses",
            Self::Links => "links",
            Self::Routes => "routes",
            Self::Rules => "routing rules",
            Self::Neighbours => "neighbours",
            Self::BridgeLinks => "bridge ports",
            Self::BridgeFdb => "bridge forwarding entries",
        }
    }

    fn of_element(element: &Map<String, Value>) -> Option<Self> {
        let has = |key: &str| element.contains_key(key);
        if has("addr_info") {
            Some(Self::Addresses)
        } else if has("mac") && has("ifname") {
            Some(Self::BridgeFdb)
        } else if has("ifname") && has("state") {
            Some(Self::BridgeLinks)
        } else if has("ifname")
            && (has("link_type") || has("operstate") || has("linkmode") || has("flags"))
        {
            Some(Self::Links)
        } else if has("priority") && has("src") {
            Some(Self::Rules)
        } else if has("dst") && (has("lladdr") || element.get("state").is_some_and(Value::is_array))
        {
            Some(Self::Neighbours)
        } else if has("dst") {
            Some(Self::Routes)
        } else {
            None
        }
    }
}

/// What a reader returns: the elements that could be read, and remarks on the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Read<T> {
    pub value: T,
    pub diagnostics: Vec<Diagnostic>,
}

/// What `ip -j addr` lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinksAndAddresses {
    pub links: Vec<Link>,
    pub addresses: Vec<Address>,
}

/// `ip -j [-d] addr`
pub fn addresses(source: &str, text: &str) -> Result<Read<LinksAndAddresses>, ListingError> {
    let elements = elements(text, Listing::Addresses)?;
    let mut links = Vec::new();
    let mut addresses = Vec::new();
    let mut diagnostics = Vec::new();
    for (at, element) in elements.iter().enumerate() {
        let Some(link) = keep(read_link(element), source, at, &mut diagnostics) else {
            continue;
        };
        if let Some(list) = element.get("addr_info").and_then(Value::as_array) {
            for info in list {
                match info.as_object() {
                    Some(info) if info.is_empty() => {}
                    Some(info) => addresses.extend(keep(
                        read_address(info, &link.name),
                        source,
                        at,
                        &mut diagnostics,
                    )),
                    None => diagnostics.push(Diagnostic::warning(
                        source,
                        format!(
                            "element {}: an address of {} is not an object",
                            at + 1,
                            link.name
                        ),
                    )),
                }
            }
        }
        links.push(link);
    }
    Ok(Read {
        value: LinksAndAddresses { links, addresses },
        diagnostics,
    })
}

/// `ip -j [-d] link`
pub fn links(source: &str, text: &str) -> Result<Read<Vec<Link>>, ListingError> {
    read_all(source, text, Listing::Links, read_link)
}

/// `bridge -j [-d] link`: the ports, with what only bridges know about them.
pub fn bridge_links(source: &str, text: &str) -> Result<Read<Vec<Link>>, ListingError> {
    read_all(source, text, Listing::BridgeLinks, read_link)
}

/// `ip -j [-4|-6] route show table all`; `ip -j route` lists table main only. Both families may be in one text.
pub fn routes(
    source: &str,
    text: &str,
    tables: &mut TableNames,
) -> Result<Read<Vec<Route>>, ListingError> {
    let mut remarks = Vec::new();
    let mut read = read_all(source, text, Listing::Routes, |element| {
        read_route(element, tables, &mut remarks)
    })?;
    read.value.retain(|route| route.table != CACHE);
    read.diagnostics.extend(
        remarks
            .into_iter()
            .map(|remark| Diagnostic::warning(source, remark)),
    );
    Ok(read)
}

/// `ip -j [-4|-6] rule`. Which family it is follows from the addresses in it, and without any from the default table, which only IPv4 has.
pub fn rules(
    source: &str,
    text: &str,
    family: Option<IpFamily>,
    tables: &mut TableNames,
) -> Result<Read<Vec<RoutingRule>>, ListingError> {
    let elements = elements(text, Listing::Rules)?;
    let family = family.unwrap_or_else(|| family_of_rules(&elements));
    let mut diagnostics = Vec::new();
    let mut rules = Vec::new();
    for (at, element) in elements.iter().enumerate() {
        let Some(rule) = keep(
            read_rule(element, family, tables),
            source,
            at,
            &mut diagnostics,
        ) else {
            continue;
        };
        if !rule.unread.is_empty() {
            let what = rule.unread.join("`, `");
            diagnostics.push(Diagnostic::warning(
                source,
                format!("routing rule {}: `{what}` is not understood", rule.priority),
            ));
        }
        rules.push(rule);
    }
    Ok(Read {
        value: rules,
        diagnostics,
    })
}

/// `ip -j neigh`
pub fn neighbours(source: &str, text: &str) -> Result<Read<Vec<Neighbour>>, ListingError> {
    read_all(source, text, Listing::Neighbours, |element| {
        let ip = ip(element, "dst")?.ok_or("`dst` is missing")?;
        let dev = string(element, "dev").ok_or("`dev` is missing")?.into();
        let mac = string(element, "lladdr").and_then(parse_mac);
        Ok(Neighbour {
            ip,
            dev,
            mac,
            failed: strings(element, "state").any(|state| state == "FAILED"),
        })
    })
}

/// `bridge -j fdb`, without the entries that belong to no bridge.
pub fn bridge_fdb(source: &str, text: &str) -> Result<Read<Vec<FdbEntry>>, ListingError> {
    let read = read_all(source, text, Listing::BridgeFdb, |element| {
        let dev = string(element, "ifname")
            .ok_or("`ifname` is missing")?
            .into();
        let Some(master) = string(element, "master") else {
            return Ok(None);
        };
        let mac = string(element, "mac").ok_or("`mac` is missing")?;
        let mac =
            parse_mac(mac).ok_or_else(|| format!("`mac` is not an Ethernet address: `{mac}`"))?;
        let vlan = number(element, "vlan")?;
        Ok(Some(FdbEntry {
            mac,
            dev,
            master: Some(master.into()),
            vlan,
            permanent: string(element, "state") == Some("permanent"),
        }))
    })?;
    Ok(Read {
        value: read.value.into_iter().flatten().collect(),
        diagnostics: read.diagnostics,
    })
}

/// An Ethernet address in the usual spelling.
pub fn parse_mac(text: &str) -> Option<Mac> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

type Element = Map<String, Value>;
type Shape<T> = Result<T, String>;

fn elements(text: &str, wanted: Listing) -> Result<Vec<Element>, ListingError> {
    let command = wanted.command();
    if text.trim().is_empty() {
        return Err(ListingError::Empty { command });
    }
    let is_json = text.trim_start().starts_with(['[', '{']);
    let printed = (!is_json).then(|| super::ip_text::elements(text, wanted));
    let elements: Vec<Element> = match printed.flatten() {
        Some(elements) => elements,
        None => {
            let value: Value =
                serde_json::from_str(text).map_err(|error| ListingError::NotJson {
                    cause: error.to_string(),
                    command,
                })?;
            let Value::Array(list) = value else {
                return Err(ListingError::NotAList { command });
            };
            // iproute2 prints an empty object for each link that a filter left out.
            let keep = |value| match value {
                Value::Object(element) if element.is_empty() => None,
                Value::Object(element) => Some(element),
                other => Some(Element::from_iter([("".to_owned(), other)])),
            };
            list.into_iter().filter_map(keep).collect()
        }
    };
    match elements.iter().find_map(Listing::of_element) {
        Some(found) if found != wanted => Err(ListingError::OtherListing {
            found: found.noun(),
            wanted: wanted.noun(),
            command,
        }),
        Some(_) | None => Ok(elements),
    }
}

fn read_all<T>(
    source: &str,
    text: &str,
    listing: Listing,
    mut read: impl FnMut(&Element) -> Shape<T>,
) -> Result<Read<Vec<T>>, ListingError> {
    let elements = elements(text, listing)?;
    let mut diagnostics = Vec::new();
    let value = elements
        .iter()
        .enumerate()
        .filter_map(|(at, element)| keep(read(element), source, at, &mut diagnostics))
        .collect();
    Ok(Read { value, diagnostics })
}

fn keep<T>(
    read: Shape<T>,
    source: &str,
    at: usize,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(message) => {
            diagnostics.push(Diagnostic::warning(
                source,
                format!("element {}: {message}; left out", at + 1),
            ));
            None
        }
    }
}

fn string<'a>(element: &'a Element, key: &str) -> Option<&'a str> {
    element.get(key).and_then(Value::as_str)
}

fn strings<'a>(element: &'a Element, key: &str) -> impl Iterator<Item = &'a str> {
    element
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// A number, also one in a string, decimal or 0x….
fn number<T: TryFrom<u64>>(element: &Element, key: &str) -> Shape<Option<T>> {
    let Some(value) = element.get(key) else {
        return Ok(None);
    };
    let number = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => parse_number(text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let number = number.and_then(|number| T::try_from(number).ok());
    number
        .map(Some)
        .ok_or_else(|| format!("`{key}` is not a number in its range: {value}"))
}

fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn ip(element: &Element, key: &str) -> Shape<Option<IpAddr>> {
    let Some(value) = element.get(key) else {
        return Ok(None);
    };
    let ip = value.as_str().and_then(|text| text.parse().ok());
    ip.map(Some)
        .ok_or_else(|| format!("`{key}` is not an IP address: {value}"))
}

fn flag(element: &Element, key: &str) -> Option<bool> {
    element.get(key).and_then(Value::as_bool)
}

/// `1`, `true`, `"1"`, `"on"`
fn is_on(element: Option<&Element>, key: &str) -> bool {
    match element.and_then(|element| element.get(key)) {
        Some(Value::Bool(on)) => *on,
        Some(Value::Number(number)) => number.as_u64() == Some(1),
        Some(Value::String(text)) => text == "1" || text == "on",
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => false,
    }
}

fn read_link(element: &Element) -> Shape<Link> {
    let name = string(element, "ifname").ok_or("`ifname` is missing")?;
    // A veth may be listed as `name@peer`, in the text form and by old versions.
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    let info = element.get("linkinfo").and_then(Value::as_object);
    let data = info
        .and_then(|info| info.get("info_data"))
        .and_then(Value::as_object);
    let port = info
        .and_then(|info| info.get("info_slave_data"))
        .and_then(Value::as_object);
    let port_flag =
        |key: &str| flag(element, key).or_else(|| port.and_then(|port| flag(port, key)));
    let has_flags = element.get("flags").is_some_and(Value::is_array);
    Ok(Link {
        index: number(element, "ifindex")?,
        kind: link_kind(element, info, data),
        master: string(element, "master").map(Name::from),
        mac: string(element, "address").and_then(parse_mac),
        up: !has_flags || strings(element, "flags").any(|flag| flag == "UP"),
        carrier: !has_flags || strings(element, "flags").any(|flag| flag == "LOWER_UP"),
        mtu: number(element, "mtu")?,
        group: string(element, "group").map(CompactString::from),
        hairpin: port_flag("hairpin"),
        isolated: port_flag("isolated"),
        nf_call: NfCall {
            ip: is_on(data, "nf_call_iptables"),
            ip6: is_on(data, "nf_call_ip6tables"),
        },
        ..Link::named(name, LinkKind::Physical, Origin::Given)
    })
}

fn link_kind(element: &Element, info: Option<&Element>, data: Option<&Element>) -> LinkKind {
    let parent = || string(element, "link").map(Name::from);
    let data_number = |key: &str| data.and_then(|data| number::<u32>(data, key).ok().flatten());
    match info.and_then(|info| string(info, "info_kind")) {
        Some("bridge") => LinkKind::Bridge,
        Some("veth") => LinkKind::Veth,
        Some("vlan") => match data_number("id").and_then(|id| u16::try_from(id).ok()) {
            Some(id) => LinkKind::Vlan {
                parent: parent(),
                id,
            },
            None => LinkKind::Other("vlan".to_owned()),
        },
        Some("bond") => LinkKind::Bond,
        Some("tun") => LinkKind::Tun,
        Some("wireguard") => LinkKind::Wireguard,
        Some("dummy") => LinkKind::Dummy,
        Some("vrf") => match data_number("table") {
            Some(table) => LinkKind::Vrf {
                table: TableId(table),
            },
            None => LinkKind::Other("vrf".to_owned()),
        },
        Some("macvlan" | "macvtap") => LinkKind::Macvlan { parent: parent() },
        Some("ipvlan" | "ipvtap") => LinkKind::Ipvlan { parent: parent() },
        Some(other) => LinkKind::Other(other.to_owned()),
        None => match string(element, "link_type") {
            Some("loopback") => LinkKind::Loopback,
            Some("ether") | None => LinkKind::Physical,
            Some(other) => LinkKind::Other(other.to_owned()),
        },
    }
}

fn read_address(info: &Element, dev: &Name) -> Shape<Address> {
    let Some(address) = ip(info, "local")? else {
        return Err(format!("an address of {dev} has no `local`"));
    };
    let prefix_len: u8 = number(info, "prefixlen")?
        .ok_or_else(|| format!("{address} of {dev} has no `prefixlen`"))?;
    IpNet::new(address, prefix_len)
        .map_err(|_| format!("{address} of {dev} has the prefix length {prefix_len}"))?;
    let plain = Address::of(address, prefix_len, dev.clone(), Origin::Given);
    Ok(Address {
        scope: string(info, "scope")
            .and_then(parse_scope)
            .unwrap_or(plain.scope),
        secondary: address.is_ipv4() && flag(info, "secondary") == Some(true),
        peer: ip(info, "address")?,
        deprecated: flag(info, "deprecated") == Some(true),
        // An optimistic address is used before its check has ended.
        tentative: (flag(info, "tentative") == Some(true)
            && flag(info, "optimistic") != Some(true))
            || flag(info, "dadfailed") == Some(true),
        noprefixroute: flag(info, "noprefixroute") == Some(true),
        ..plain
    })
}

fn parse_scope(text: &str) -> Option<Scope> {
    match text {
        "global" | "universe" => Some(Scope::GLOBAL),
        "site" => Some(Scope::SITE),
        "link" => Some(Scope::LINK),
        "host" => Some(Scope::HOST),
        "nowhere" => Some(Scope::NOWHERE),
        number => parse_number(number)
            .and_then(|number| u8::try_from(number).ok())
            .map(Scope),
    }
}

/// Marks an entry of the route cache, which is no route.
const CACHE: TableId = TableId(u32::MAX);

fn read_route(
    element: &Element,
    tables: &mut TableNames,
    remarks: &mut Vec<String>,
) -> Shape<Route> {
    let dst = string(element, "dst").ok_or("`dst` is missing")?;
    let family = family_of_route(element);
    let prefix =
        parse_prefix(dst, family).ok_or_else(|| format!("`dst` is not a prefix: `{dst}`"))?;
    let family = IpFamily::of_net(prefix);
    let from = match string(element, "from") {
        Some(text) => Some(
            parse_prefix(text, Some(family))
                .ok_or_else(|| format!("`from` is not a prefix: `{text}`"))?,
        ),
        None => None,
    };
    let kind = match string(element, "type") {
        None | Some("unicast") => RouteType::Unicast,
        Some("local") => RouteType::Local,
        Some("broadcast") => RouteType::Broadcast,
        Some("multicast") => RouteType::Multicast,
        Some("anycast") => RouteType::Anycast,
        Some("blackhole") => RouteType::Blackhole,
        Some("unreachable") => RouteType::Unreachable,
        Some("prohibit") => RouteType::Prohibit,
        Some("throw") => RouteType::Throw,
        Some("nat") => RouteType::Nat,
        Some(other) => {
            remarks.push(format!(
                "the route to {dst} has the type `{other}`, which is not understood"
            ));
            RouteType::Other
        }
    };
    let is_cached = string(element, "table") == Some("cache")
        || strings(element, "flags").any(|flag| flag == "cache" || flag == "cached");
    let table = match element.get("table") {
        _ if is_cached => CACHE,
        Some(value) => table(value, tables)?,
        None => TableId::MAIN,
    };
    let nexthops = match element.get("nexthops") {
        Some(Value::Array(list)) => {
            let hops = list
                .iter()
                .filter_map(Value::as_object)
                .map(read_hop)
                .collect::<Shape<Vec<NextHop>>>()?;
            if hops.len() != list.len() {
                return Err(format!(
                    "the route to {dst} has a next hop that is not an object"
                ));
            }
            hops
        }
        Some(other) => return Err(format!("`nexthops` is not a list: {other}")),
        None if element.contains_key("dev")
            || element.contains_key("gateway")
            || element.contains_key("via") =>
        {
            vec![read_hop(element)?]
        }
        None => Vec::new(),
    };
    let group = element
        .get("nh_info")
        .and_then(|info| info.get("group"))
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    let leads_somewhere = matches!(
        kind,
        RouteType::Unicast
            | RouteType::Local
            | RouteType::Broadcast
            | RouteType::Multicast
            | RouteType::Anycast
    );
    if let Some(id) = element.get("nhid") {
        if nexthops.is_empty() && leads_somewhere {
            remarks.push(format!("the route to {dst} names next hop object {id} without saying where it leads; left out of every answer"));
        } else if group > nexthops.len() {
            remarks.push(format!("the route to {dst} names next hop group {id} and not all of its members; the rest is left out"));
        }
    } else if nexthops.is_empty() && leads_somewhere {
        return Err(format!(
            "the route to {dst} has neither a device nor a gateway"
        ));
    }
    let default_metric = match family {
        IpFamily::V4 => 0,
        IpFamily::V6 => 1024,
    };
    let tos = match string(element, "tos") {
        Some(text) => {
            parse_tos(text).ok_or_else(|| format!("`tos` is not understood: `{text}`"))?
        }
        None => number(element, "tos")?.unwrap_or(0),
    };
    Ok(Route {
        kind,
        prefix,
        from,
        table,
        nexthops,
        metric: number(element, "metric")?.unwrap_or(default_metric),
        prefsrc: ip(element, "prefsrc")?,
        scope: string(element, "scope")
            .and_then(parse_scope)
            .unwrap_or(Scope::GLOBAL),
        tos,
        origin: Origin::Given,
    })
}

fn read_hop(element: &Element) -> Shape<NextHop> {
    let via = match ip(element, "gateway")? {
        Some(gateway) => Some(gateway),
        None => match element.get("via").and_then(Value::as_object) {
            Some(via) => ip(via, "host")?,
            None => None,
        },
    };
    let has = |wanted: &str| strings(element, "flags").any(|flag| flag == wanted);
    Ok(NextHop {
        dev: string(element, "dev").map(Name::from),
        via,
        weight: number(element, "weight")?.unwrap_or(1),
        onlink: has("onlink"),
        dead: has("dead"),
        linkdown: has("linkdown"),
    })
}

/// The family of a route to `default`: by the addresses in it, or by what only IPv6 routes have.
fn family_of_route(element: &Element) -> Option<IpFamily> {
    let hops = element
        .get("nexthops")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object);
    let gateways = hops.filter_map(|hop| string(hop, "gateway"));
    let texts = ["gateway", "prefsrc", "from"]
        .into_iter()
        .filter_map(|key| string(element, key))
        .chain(gateways);
    let by_address = texts
        .filter_map(|text| text.split('/').next()?.parse().ok())
        .map(IpFamily::of)
        .next();
    by_address.or_else(|| element.contains_key("pref").then_some(IpFamily::V6))
}

/// A prefix as iproute2 prints it: without a length it is one host, and IPv4 zeros at the end may be missing.
pub(super) fn parse_prefix(text: &str, family: Option<IpFamily>) -> Option<IpNet> {
    if text == "default" || text == "all" || text == "any" {
        let all = match family {
            Some(IpFamily::V6) => "::/0",
            Some(IpFamily::V4) | None => "0.0.0.0/0",
        };
        return all.parse().ok();
    }
    let net = match text.split_once('/') {
        Some((ip, len)) => IpNet::new(ip.parse().ok()?, len.parse().ok()?).ok()?,
        None => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    Some(net.trunc())
}

fn table(value: &Value, tables: &mut TableNames) -> Shape<TableId> {
    match value {
        Value::String(name) => Ok(tables.id_of(name)),
        Value::Number(number) => number
            .as_u64()
            .and_then(|number| u32::try_from(number).ok())
            .map(TableId)
            .ok_or_else(|| format!("`table` is out of range: {number}")),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(format!("`table` is not a name: {value}"))
        }
    }
}

/// A TOS byte: a number, or a name of iproute2's rt_dsfield.
fn parse_tos(text: &str) -> Option<u8> {
    let lower = text.to_ascii_lowercase();
    let by_name = match lower.as_str() {
        "default" => Some(0),
        "lowdelay" => Some(0x10),
        "throughput" => Some(0x08),
        "reliability" => Some(0x04),
        "ef" => Some(0xb8),
        name => match (name.strip_prefix("cs"), name.strip_prefix("af")) {
            (Some(class), _) => class
                .parse::<u8>()
                .ok()
                .filter(|class| *class < 8)
                .map(|class| class << 5),
            (None, Some(class)) => {
                let class: u8 = class.parse().ok()?;
                let (high, low) = (class / 10, class % 10);
                ((1..=4).contains(&high) && (1..=3).contains(&low)).then_some(high << 5 | low << 3)
            }
            (None, None) => None,
        },
    };
    by_name.or_else(|| u8::try_from(parse_number(&lower)?).ok())
}

fn family_of_rules(elements: &[Element]) -> IpFamily {
    let by_address = elements
        .iter()
        .flat_map(|element| ["src", "dst"].map(|key| string(element, key)))
        .flatten()
        .find_map(|text| text.split('/').next()?.parse().ok())
        .map(IpFamily::of);
    let has_default = elements
        .iter()
        .any(|element| matches!(string(element, "table"), Some("default" | "253")));
    by_address.unwrap_or(if has_default {
        IpFamily::V4
    } else {
        IpFamily::V6
    })
}

fn read_rule(element: &Element, family: IpFamily, tables: &mut TableNames) -> Shape<RoutingRule> {
    let priority = number(element, "priority")?.ok_or("`priority` is missing")?;
    let name = |key: &str| string(element, key).map(Name::from);
    let mut rule = RoutingRule::all(priority, family, RuleAction::Other, Origin::Given);
    rule.not = element.contains_key("not");
    rule.from = rule_prefix(element, "src", "srclen", family)?;
    rule.to = rule_prefix(element, "dst", "dstlen", family)?;
    rule.iif = name("iif");
    rule.oif = name("oif");
    let mark = number(element, "fwmark")?;
    let mask = number(element, "fwmask")?;
    if mark.is_some() || mask.is_some() {
        rule.fwmark = Some((mark.unwrap_or(0), mask.unwrap_or(u32::MAX)));
    }
    if let (Some(low), Some(high)) = (number(element, "uid_start")?, number(element, "uid_end")?) {
        rule.uidrange = Some((low, high));
    }
    rule.sport = ports(element, "sport", "sport_start", "sport_end")?;
    rule.dport = ports(element, "dport", "dport_start", "dport_end")?;
    rule.suppress_prefixlength = number(element, "suppress_prefixlen")?;
    rule.suppress_ifgroup = element.get("suppress_ifgroup").map(text_of);
    if let Some(text) = element.get("tos").map(text_of) {
        match parse_tos(&text) {
            Some(tos) => rule.tos = tos,
            None => rule.unread.push(format_compact!("tos {text}")),
        }
    }
    if let Some(text) = element.get("dscp").map(text_of) {
        // The names are those of the whole byte; a number is the six bits.
        let bits = parse_number(&text).and_then(|bits| u8::try_from(bits).ok());
        match bits.or_else(|| parse_tos(&text).map(|tos| tos >> 2)) {
            Some(dscp) => rule.dscp = Some(dscp),
            None => rule.unread.push(format_compact!("dscp {text}")),
        }
    }
    if let Some(text) = element.get("ipproto").map(text_of) {
        match parse_protocol(&text) {
            Some(protocol) => rule.ipproto = Some(protocol),
            None => rule.unread.push(format_compact!("ipproto {text}")),
        }
    }
    const KNOWN: [&str; 36] = [
        "priority",
        "not",
        "src",
        "srclen",
        "dst",
        "dstlen",
        "tos",
        "dscp",
        "fwmark",
        "fwmask",
        "iif",
        "iif_detached",
        "oif",
        "oif_detached",
        "l3mdev",
        "uid_start",
        "uid_end",
        "ipproto",
        "sport",
        "sport_start",
        "sport_end",
        "dport",
        "dport_start",
        "dport_end",
        "table",
        "suppress_prefixlen",
        "suppress_ifgroup",
        "flow_from",
        "flow_to",
        "realms",
        "goto",
        "unresolved",
        "nop",
        "action",
        "protocol",
        "nat_gateway",
    ];
    rule.unread.extend(
        element
            .keys()
            .filter(|key| !KNOWN.contains(&key.as_str()))
            .map(CompactString::from),
    );
    rule.action = if element.contains_key("l3mdev") {
        RuleAction::L3mdev
    } else if element.contains_key("goto") {
        RuleAction::Goto(number(element, "goto")?.ok_or("`goto` has no priority")?)
    } else if element.contains_key("nop") {
        RuleAction::Nop
    } else {
        match (string(element, "action"), element.get("table")) {
            (Some("blackhole"), _) => RuleAction::Blackhole,
            (Some("unreachable"), _) => RuleAction::Unreachable,
            (Some("prohibit"), _) => RuleAction::Prohibit,
            (Some("nop"), _) => RuleAction::Nop,
            (None | Some("unicast" | "table" | "lookup" | "to_tbl"), Some(value)) => {
                RuleAction::Table(table(value, tables)?)
            }
            (Some(_) | None, _) => RuleAction::Other,
        }
    };
    Ok(rule)
}

fn rule_prefix(
    element: &Element,
    key: &str,
    len_key: &str,
    family: IpFamily,
) -> Shape<Option<IpNet>> {
    let Some(text) = string(element, key) else {
        return Ok(None);
    };
    let len: Option<u8> = number(element, len_key)?;
    if matches!(text, "all" | "default" | "any") && len.unwrap_or(0) == 0 {
        return Ok(None);
    }
    let prefix = match len {
        Some(len) => text
            .parse()
            .ok()
            .and_then(|ip| IpNet::new(ip, len).ok())
            .map(|net| net.trunc()),
        None => parse_prefix(text, Some(family)),
    };
    match prefix {
        Some(prefix) if IpFamily::of_net(prefix) == family => Ok(Some(prefix)),
        Some(_) | None => Err(format!("`{key}` is not an {family} prefix: `{text}`")),
    }
}

fn ports(element: &Element, key: &str, start: &str, end: &str) -> Shape<Option<(u16, u16)>> {
    if let Some(port) = number(element, key)? {
        return Ok(Some((port, port)));
    }
    Ok(number(element, start)?.zip(number(element, end)?))
}

fn text_of(value: &Value) -> CompactString {
    match value {
        Value::String(text) => text.into(),
        other => format_compact!("{other}"),
    }
}

fn parse_protocol(text: &str) -> Option<u8> {
    match text {
        "icmp" => Some(1),
        "igmp" => Some(2),
        "ipip" | "ipencap" => Some(4),
        "tcp" => Some(6),
        "udp" => Some(17),
        "dccp" => Some(33),
        "ipv6" => Some(41),
        "gre" => Some(47),
        "esp" => Some(50),
        "ah" => Some(51),
        "ipv6-icmp" | "icmpv6" => Some(58),
        "ospf" => Some(89),
        "sctp" => Some(132),
        "udplite" => Some(136),
        other => other.strip_prefix("ipproto-").unwrap_or(other).parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_routes(text: &str) -> (Vec<Route>, Vec<String>) {
        let read = routes("r", text, &mut TableNames::default()).expect("a listing of routes");
        (
            read.value,
            read.diagnostics
                .into_iter()
                .map(|diagnostic| diagnostic.message)
                .collect(),
        )
    }

    fn read_rules(text: &str) -> (Vec<RoutingRule>, Vec<String>) {
        let read = rules("r", text, None, &mut TableNames::default()).expect("a listing of rules");
        (
            read.value,
            read.diagnostics
                .into_iter()
                .map(|diagnostic| diagnostic.message)
                .collect(),
        )
    }

    #[test]
    fn routes_in_all_their_shapes() {
        let (routes, remarks) = read_routes(
            r#"[
            {"dst":"default","gateway":"10.0.0.254","dev":"eth0","flags":["onlink"],"unheard-of":{}},
            {"type":"unicast","dst":"default","table":"main","metric":1024,"pref":"medium","nexthops":[
                {"gateway":"fd00::fe","dev":"eth0","weight":1,"flags":[]},{"gateway":"fd01::fe","dev":"eth1","weight":2,"flags":["linkdown"]}]},
            {"type":"local","dst":"10.0.0.1","dev":"eth0","table":"local","scope":"host","prefsrc":"10.0.0.1","flags":[]},
            {"type":"blackhole","dst":"10.6.0.0/16","table":"100","tos":"0x10","flags":[]},
            {"dst":"10.22.0.0/16","via":{"family":"inet6","host":"fe80::1"},"dev":"eth0","table":200,"flags":[]},
            {"dst":"10.7.0.0/16","dev":"eth0","table":"cache"}
            ]"#,
        );
        assert_eq!(remarks, [""; 0]);
        assert_eq!(routes.len(), 5);
        assert_eq!(routes[0].prefix.to_string(), "0.0.0.0/0");
        assert!(routes[0].nexthops[0].onlink);
        assert_eq!(
            (routes[0].table, routes[0].metric, routes[0].kind),
            (TableId::MAIN, 0, RouteType::Unicast)
        );
        assert_eq!(routes[1].prefix.to_string(), "::/0");
        assert_eq!(
            (routes[1].nexthops[1].weight, routes[1].nexthops[1].linkdown),
            (2, true)
        );
        assert_eq!(
            (routes[2].prefix.to_string().as_str(), routes[2].scope),
            ("10.0.0.1/32", Scope::HOST)
        );
        assert_eq!(
            (routes[3].kind, routes[3].table, routes[3].tos),
            (RouteType::Blackhole, TableId(100), 0x10)
        );
        assert_eq!(
            (routes[4].nexthops[0].via, routes[4].table),
            (Some("fe80::1".parse().expect("ip")), TableId(200))
        );
    }

    #[test]
    fn a_bad_route_is_left_out_and_the_rest_is_kept() {
        let (routes, remarks) = read_routes(
            r#"[{"dst":"10.0.0.0/99","dev":"eth0"},{"dst":"10.1.0.0/16","dev":"eth0"},{"dst":"10.2.0.0/16"},
            {"dst":"10.3.0.0/16","nhid":7,"gateway":"10.0.0.7","dev":"eth0","nh_info":{"id":7,"group":[{"id":5},{"id":6}]}},
            {"dst":"10.4.0.0/16","nhid":9}, 5]"#,
        );
        assert_eq!(routes.len(), 3);
        assert_eq!(
            remarks,
            [
                "element 1: `dst` is not a prefix: `10.0.0.0/99`; left out",
                "element 3: the route to 10.2.0.0/16 has neither a device nor a gateway; left out",
                "element 6: `dst` is missing; left out",
                "the route to 10.3.0.0/16 names next hop group 7 and not all of its members; the rest is left out",
                "the route to 10.4.0.0/16 names next hop object 9 without saying where it leads; left out of every answer",
            ]
        );
    }

    #[test]
    fn rules_in_all_their_shapes() {
        let (rules, remarks) = read_rules(
            r#"[{"priority":0,"src":"all","table":"local"},
            {"priority":100,"src":"10.0.0.0","srclen":24,"dst":"10.9.0.0","dstlen":16,"tos":"0x10","fwmark":"0x1","fwmask":"0xff","iif":"eth0","iif_detached":null,"oif":"eth1","table":"vpn"},
            {"priority":101,"not":null,"src":"10.0.0.5","uid_start":0,"uid_end":100,"ipproto":"tcp","sport_start":10,"sport_end":20,"dport":80,"table":"200"},
            {"priority":102,"src":"all","goto":500},{"priority":106,"src":"all","nop":null},
            {"priority":500,"src":"all","fwmark":"0x9","action":"unreachable"},
            {"priority":501,"src":"all","table":"main","suppress_prefixlen":0},
            {"priority":504,"src":"all","l3mdev":null},{"priority":505,"src":"all","tun_id":5,"table":"4"}]"#,
        );
        assert_eq!(remarks, ["routing rule 505: `tun_id` is not understood"]);
        assert!(rules.iter().all(|rule| rule.family == IpFamily::V4));
        assert_eq!(
            rules[1].from.map(|net| net.to_string()).as_deref(),
            Some("10.0.0.0/24")
        );
        assert_eq!((rules[1].fwmark, rules[1].tos), (Some((1, 0xff)), 0x10));
        assert_eq!(
            (rules[2].not, rules[2].sport, rules[2].dport),
            (true, Some((10, 20)), Some((80, 80)))
        );
        assert_eq!(
            (rules[2].ipproto, rules[2].uidrange),
            (Some(6), Some((0, 100)))
        );
        let actions: Vec<RuleAction> = rules[3..8].iter().map(|rule| rule.action).collect();
        assert_eq!(
            actions,
            [
                RuleAction::Goto(500),
                RuleAction::Nop,
                RuleAction::Unreachable,
                RuleAction::Table(TableId::MAIN),
                RuleAction::L3mdev
            ]
        );
        assert_eq!(
            (rules[5].fwmark, rules[6].suppress_prefixlength),
            (Some((9, u32::MAX)), Some(0))
        );
    }

    #[test]
    fn the_family_of_rules_shows_in_the_default_table() {
        let v6 = r#"[{"priority":0,"src":"all","table":"local"},{"priority":32766,"src":"all","table":"main"}]"#;
        assert!(
            read_rules(v6)
                .0
                .iter()
                .all(|rule| rule.family == IpFamily::V6)
        );
        let v4 = v6.replace(']', r#",{"priority":32767,"src":"all","table":"default"}]"#);
        assert!(
            read_rules(&v4)
                .0
                .iter()
                .all(|rule| rule.family == IpFamily::V4)
        );
    }

    #[test]
    fn links_and_addresses() {
        let read = addresses(
            "a",
            r#"[{},{"ifindex":3,"ifname":"br0","flags":["BROADCAST","UP"],"mtu":1500,"link_type":"ether","address":"02:42:b8:f1:db:fc","group":"default",
                "linkinfo":{"info_kind":"bridge","info_data":{"nf_call_iptables":1}},"addr_info":[
                {"family":"inet","local":"10.0.0.1","prefixlen":24,"scope":"global"},
                {"family":"inet","local":"10.0.0.2","prefixlen":24,"scope":"global","secondary":true},
                {"family":"inet","local":"10.9.0.1","address":"10.9.0.2","prefixlen":32,"scope":"link"},
                {"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link","tentative":true},
                {"family":"inet","local":"10.0.0.3","prefixlen":"x"}]},
              {"ifindex":4,"ifname":"v10","link":"br0","flags":["UP","LOWER_UP"],"linkinfo":{"info_kind":"vlan","info_data":{"id":10}},"addr_info":[]},
              {"ifindex":5,"ifname":"p0","master":"br0","flags":[],"linkinfo":{"info_kind":"veth","info_slave_kind":"bridge","info_slave_data":{"hairpin":true,"isolated":false}},"addr_info":[]}]"#,
        )
        .expect("a listing of addresses");
        let LinksAndAddresses { links, addresses } = read.value;
        assert_eq!(links[0].kind, LinkKind::Bridge);
        assert_eq!(
            (links[0].up, links[0].carrier, links[0].nf_call),
            (
                true,
                false,
                NfCall {
                    ip: true,
                    ip6: false
                }
            )
        );
        assert_eq!(links[0].mac, Some([2, 0x42, 0xb8, 0xf1, 0xdb, 0xfc]));
        assert_eq!(
            links[1].kind,
            LinkKind::Vlan {
                parent: Some("br0".into()),
                id: 10
            }
        );
        assert_eq!(
            (links[2].hairpin, links[2].isolated, links[2].up),
            (Some(true), Some(false), false)
        );
        assert_eq!(addresses.len(), 4);
        assert!(addresses[1].secondary && addresses[3].tentative);
        assert_eq!(
            addresses[2].subnet().map(|net| net.to_string()).as_deref(),
            Some("10.9.0.2/32")
        );
        assert_eq!(read.diagnostics.len(), 1);
    }

    #[test]
    fn neighbours_and_forwarding_entries() {
        let read = neighbours(
            "n",
            r#"[{"dst":"10.0.0.9","dev":"br0","lladdr":"02:00:00:00:00:09","state":["REACHABLE"]},{"dst":"10.0.0.10","dev":"br0","state":["FAILED"]}]"#,
        );
        let read = read.expect("a listing of neighbours").value;
        assert_eq!(
            (read[0].mac, read[0].failed),
            (Some([2, 0, 0, 0, 0, 9]), false)
        );
        assert_eq!((read[1].mac, read[1].failed), (None, true));
        let read = bridge_fdb(
            "f",
            r#"[{"mac":"33:33:00:00:00:01","ifname":"p0","flags":["self"],"state":"permanent"},{"mac":"02:00:00:00:00:09","ifname":"p0","flags":[],"master":"br0","state":""}]"#,
        );
        let read = read.expect("a listing of forwarding entries").value;
        assert_eq!(read.len(), 1);
        assert!(!read[0].permanent);
    }

    #[test]
    fn what_is_no_such_listing_is_an_error_of_one_line() {
        let say = |text: &str| {
            links("l", text)
                .expect_err("not a listing of links")
                .to_string()
        };
        assert_eq!(
            say(" "),
            "the text is empty; write the output of `ip -j -d link` again and look at what it printed on standard error"
        );
        assert_eq!(
            say("Object \"link\" is unknown"),
            "not JSON: expected value at line 1 column 1; give the output of `ip -j -d link`"
        );
        // addresses are not none because another listing was given
        assert_eq!(
            addresses(
                "a",
                "1: lo: <LOOPBACK>\n    link/loopback 00:00:00:00:00:00\n"
            )
            .expect_err("a listing of links")
            .to_string(),
            "a list of links, not of addresses; give the output of `ip -j -d addr`"
        );
        assert_eq!(say("{}"), "not a list; give the output of `ip -j -d link`");
        assert_eq!(
            say(r#"[{"dst":"default","dev":"eth0"}]"#),
            "a list of routes, not of links; give the output of `ip -j -d link`"
        );
    }
}
