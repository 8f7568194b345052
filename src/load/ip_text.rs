//! Reading what `ip` and `bridge` of iproute2 print for people, as reports for support have it.
//!
//! Each element becomes the one that `-j` prints of it, in the fields that [`super::ip_json`] reads, so that one reader decides what they
//! mean. A line that is not understood becomes an element without fields, which that reader names and leaves out.
//! Left out: `-o`, which has addresses without their links.

use serde_json::{Map, Value, json};

use super::ip_json::Listing;

type Element = Map<String, Value>;

/// The elements of a listing; `None` when no line of the text is of this kind.
pub(super) fn elements(text: &str, listing: Listing) -> Option<Vec<Element>> {
    let elements = match listing {
        Listing::Addresses | Listing::Links | Listing::BridgeLinks => links(text, listing),
        Listing::Routes => routes(text),
        Listing::Rules => lines(text, rule),
        Listing::Neighbours => lines(text, neighbour),
        Listing::BridgeFdb => lines(text, fdb),
    };
    let understood = |element: &Element| !element.contains_key("");
    elements.iter().any(understood).then_some(elements)
}

/// What stands for a line that is not understood.
fn unread(line: &str) -> Element {
    Element::from_iter([(String::new(), Value::from(line))])
}

fn lines(text: &str, read: fn(&str) -> Option<Element>) -> Vec<Element> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| read(line).unwrap_or_else(|| unread(line)))
        .collect()
}

fn put(element: &mut Element, key: &str, value: impl Into<Value>) {
    element.insert(key.to_string(), value.into());
}

/// Takes the values behind some keys, under their names in JSON.
fn take(element: &mut Element, words: &[&str], keys: &[(&str, &str)]) {
    for pair in words.windows(2) {
        if let [word, value] = pair
            && let Some((_, name)) = keys.iter().find(|(key, _)| key == word)
            && !element.contains_key(*name)
        {
            put(element, name, *value);
        }
    }
}

/// `2: br0: <BROADCAST,UP> mtu 1500 … master br1`, with what is indented below it.
fn links(text: &str, listing: Listing) -> Vec<Element> {
    let mut found: Vec<Element> = Vec::new();
    let mut kind_may_follow = false;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if !line.starts_with([' ', '\t']) {
            kind_may_follow = false;
            found.push(head(line, listing).unwrap_or_else(|| unread(line)));
            continue;
        }
        let Some(element) = found.last_mut() else {
            found.push(unread(line));
            continue;
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        let first = words.first().copied().unwrap_or_default();
        if listing == Listing::BridgeLinks {
            switches(element, &words);
        } else if let Some(kind) = first.strip_prefix("link/") {
            put(element, "link_type", kind);
            if let Some(address) = words.get(1) {
                put(element, "address", *address);
            }
            kind_may_follow = true;
        } else if first == "inet" || first == "inet6" {
            kind_may_follow = false;
            let info = address(&words).map_or(Value::Null, Value::Object);
            if listing == Listing::Addresses {
                let list = element.entry("addr_info").or_insert_with(|| json!([]));
                if let Value::Array(list) = list {
                    list.push(info);
                }
            }
        } else if matches!(
            first,
            "RX:" | "TX:" | "RX" | "TX" | "altname" | "alias" | "vf"
        ) {
            kind_may_follow = false;
        } else if first.ends_with("_slave") {
            let mut data = Element::new();
            switches(&mut data, &words);
            let info = element.entry("linkinfo").or_insert_with(|| json!({}));
            if let Value::Object(info) = info {
                put(info, "info_slave_data", data);
            }
        } else if kind_may_follow && first.starts_with(|c: char| c.is_ascii_alphabetic()) {
            kind_may_follow = false;
            let mut data = Element::new();
            let keys = ["nf_call_iptables", "nf_call_ip6tables", "id", "table"];
            take(&mut data, &words, &keys.map(|key| (key, key)));
            let info = element.entry("linkinfo").or_insert_with(|| json!({}));
            if let Value::Object(info) = info {
                put(info, "info_kind", first);
                put(info, "info_data", data);
            }
        }
    }
    // without any it is a listing of links
    if found
        .iter()
        .any(|element| element.contains_key("addr_info"))
    {
        for element in &mut found {
            element.entry("addr_info").or_insert_with(|| json!([]));
        }
    }
    found
}

fn head(line: &str, listing: Listing) -> Option<Element> {
    let (index, rest) = line.split_once(": ")?;
    let index: u32 = index.parse().ok()?;
    let (name, rest) = rest.split_once(": <")?;
    let (flags, rest) = rest.split_once('>')?;
    let (name, peer) = match name.split_once('@') {
        Some((name, peer)) => (name, Some(peer)),
        None => (name, None),
    };
    let mut element = Element::new();
    put(&mut element, "ifindex", index);
    put(&mut element, "ifname", name);
    // `if7` is the number of a link in another namespace
    let elsewhere = |peer: &str| {
        let number = peer.strip_prefix("if");
        peer == "NONE" || number.is_some_and(|n| n.parse::<u32>().is_ok())
    };
    if let Some(peer) = peer.filter(|peer| !elsewhere(peer)) {
        put(&mut element, "link", peer);
    }
    let flags: Vec<&str> = flags.split(',').filter(|flag| !flag.is_empty()).collect();
    put(&mut element, "flags", flags);
    let words: Vec<&str> = rest.split_whitespace().collect();
    let plain = [("mtu", "mtu"), ("master", "master"), ("group", "group")];
    take(&mut element, &words, &plain);
    if listing == Listing::BridgeLinks {
        take(&mut element, &words, &[("state", "state")]);
        switches(&mut element, &words);
    }
    Some(element)
}

/// `hairpin off … isolated on`
fn switches(element: &mut Element, words: &[&str]) {
    for pair in words.windows(2) {
        if let [key @ ("hairpin" | "isolated"), value @ ("on" | "off")] = pair {
            put(element, key, *value == "on");
        }
    }
}

/// `inet 10.0.0.1 peer 10.0.0.2/32 brd 10.0.0.255 scope global secondary eth0`
fn address(words: &[&str]) -> Option<Element> {
    let mut element = Element::new();
    let local = words.get(1)?;
    let peer = words.windows(2).find(|pair| pair[0] == "peer");
    let whole = peer.map_or(*local, |pair| pair[1]);
    let (address, len) = whole.split_once('/')?;
    put(&mut element, "local", local.split('/').next()?);
    if peer.is_some() {
        put(&mut element, "address", address);
    }
    put(&mut element, "prefixlen", len);
    take(&mut element, words, &[("scope", "scope")]);
    let flags = [
        "secondary",
        "deprecated",
        "tentative",
        "optimistic",
        "dadfailed",
        "noprefixroute",
    ];
    for flag in flags {
        if words.contains(&flag) {
            put(&mut element, flag, true);
        }
    }
    Some(element)
}

/// The types that `ip route` prints before a destination.
const ROUTE_TYPES: [&str; 11] = [
    "unicast",
    "local",
    "broadcast",
    "multicast",
    "anycast",
    "blackhole",
    "unreachable",
    "prohibit",
    "throw",
    "nat",
    "xresolve",
];

fn routes(text: &str) -> Vec<Element> {
    let mut found: Vec<Element> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !line.starts_with([' ', '\t']) {
            found.push(route(&words).unwrap_or_else(|| unread(line)));
        } else if words.first() == Some(&"nexthop")
            && let Some(element) = found.last_mut()
        {
            let mut hop = Element::new();
            next_hop(&mut hop, &words);
            let hops = element.entry("nexthops").or_insert_with(|| json!([]));
            if let Value::Array(hops) = hops {
                hops.push(Value::Object(hop));
            }
        }
    }
    found
}

fn route(words: &[&str]) -> Option<Element> {
    let mut element = Element::new();
    let rest = match words.split_first()? {
        (kind, rest) if ROUTE_TYPES.contains(kind) => {
            put(&mut element, "type", *kind);
            rest
        }
        _ => words,
    };
    let (dst, rest) = rest.split_first()?;
    super::ip_json::parse_prefix(dst, None)?;
    put(&mut element, "dst", *dst);
    next_hop(&mut element, rest);
    let keys = [
        ("table", "table"),
        ("scope", "scope"),
        ("metric", "metric"),
        ("src", "prefsrc"),
        ("tos", "tos"),
        ("from", "from"),
        ("nhid", "nhid"),
        ("pref", "pref"),
    ];
    take(&mut element, rest, &keys);
    Some(element)
}

/// `via 10.0.0.3 dev br0 weight 2 onlink`
fn next_hop(element: &mut Element, words: &[&str]) {
    take(element, words, &[("dev", "dev"), ("weight", "weight")]);
    let via = words.iter().position(|word| *word == "via");
    let via = via.and_then(|at| words.get(at + 1..)).unwrap_or_default();
    match via {
        ["inet" | "inet6", host, ..] => put(element, "via", json!({ "host": *host })),
        [host, ..] => put(element, "gateway", *host),
        [] => {}
    }
    let flags: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| matches!(*word, "onlink" | "dead" | "linkdown" | "cache"))
        .collect();
    put(element, "flags", flags);
}

/// `50: not from all fwmark 0x1/0xf iif eth0 lookup 100`
fn rule(line: &str) -> Option<Element> {
    let (priority, rest) = line.split_once(':')?;
    let priority: u32 = priority.trim().parse().ok()?;
    let mut element = Element::new();
    put(&mut element, "priority", priority);
    let mut words = rest.split_whitespace();
    while let Some(word) = words.next() {
        match word {
            "not" | "nop" => put(&mut element, word, Value::Null),
            "from" => put(&mut element, "src", words.next()?),
            "to" => put(&mut element, "dst", words.next()?),
            "fwmark" => {
                let value = words.next()?;
                let (mark, mask) = match value.split_once('/') {
                    Some((mark, mask)) => (mark, Some(mask)),
                    None => (value, None),
                };
                put(&mut element, "fwmark", mark);
                if let Some(mask) = mask {
                    put(&mut element, "fwmask", mask);
                }
            }
            "lookup" | "table" => match words.next()? {
                "[l3mdev-table]" => put(&mut element, "l3mdev", Value::Null),
                table => put(&mut element, "table", table),
            },
            "uidrange" => {
                let (first, last) = words.next()?.split_once('-')?;
                put(&mut element, "uid_start", first);
                put(&mut element, "uid_end", last);
            }
            "sport" | "dport" => {
                let value = words.next()?;
                let (first, last) = value.split_once('-').unwrap_or((value, value));
                put(&mut element, &format!("{word}_start"), first);
                put(&mut element, &format!("{word}_end"), last);
            }
            "suppress_prefixlength" => put(&mut element, "suppress_prefixlen", words.next()?),
            "iif" | "oif" | "tos" | "dscp" | "ipproto" | "suppress_ifgroup" | "goto" | "realms" => {
                put(&mut element, word, words.next()?);
            }
            "proto" => put(&mut element, "protocol", words.next()?),
            "[detached]" | "[unresolved]" => {}
            "blackhole" | "unreachable" | "prohibit" => put(&mut element, "action", word),
            // what a rule asks for and is not known must not be lost
            other => put(&mut element, other, Value::Null),
        }
    }
    element.contains_key("src").then_some(element)
}

/// `10.0.0.9 dev br0 lladdr 02:00:00:00:00:01 used 0/0/0 probes 0 PERMANENT`
fn neighbour(line: &str) -> Option<Element> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut element = Element::new();
    let address: std::net::IpAddr = words.first()?.parse().ok()?;
    put(&mut element, "dst", address.to_string());
    take(
        &mut element,
        &words,
        &[("dev", "dev"), ("lladdr", "lladdr")],
    );
    const STATES: [&str; 8] = [
        "INCOMPLETE",
        "REACHABLE",
        "STALE",
        "DELAY",
        "PROBE",
        "FAILED",
        "NOARP",
        "PERMANENT",
    ];
    let states: Vec<&str> = words
        .into_iter()
        .filter(|word| STATES.contains(word))
        .collect();
    put(&mut element, "state", states);
    Some(element)
}

/// `3a:08:d5:98:b9:4b dev v0 vlan 1 used 0/0 master br0 permanent`
fn fdb(line: &str) -> Option<Element> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut element = Element::new();
    super::ip_json::parse_mac(words.first()?)?;
    put(&mut element, "mac", *words.first()?);
    let keys = [("dev", "ifname"), ("vlan", "vlan"), ("master", "master")];
    take(&mut element, &words, &keys);
    if words.contains(&"permanent") {
        put(&mut element, "state", "permanent");
    }
    Some(element)
}
