//! A snapshot without the addresses and names of its host: each is replaced by another one, the same everywhere in the file.
//!
//! Addresses keep what a trace depends on: equal prefixes stay equal, the last 8 bits of IPv4 and the last 64 of IPv6 stay,
//! and so does every special range (private, loopback, link-local, multicast). Names of interfaces keep their numbers; names
//! that software gives (docker0, DOCKER-USER, filter_IN_public) stay, for they tell nothing of the host.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value};

use crate::host::Mac;
use crate::load::ip_json::parse_mac;
use crate::owner::{self, Owner};
use crate::ruleset::datatype::DataType;

/// Special ranges of IPv4 (RFC 6890): bits and length. Addresses stay inside or outside of them.
const SPECIAL4: [(u32, u8); 14] = [
    (0x0000_0000, 8),
    (0x0a00_0000, 8),
    (0x6440_0000, 10),
    (0x7f00_0000, 8),
    (0xa9fe_0000, 16),
    (0xac10_0000, 12),
    (0xc000_0000, 24),
    (0xc000_0200, 24),
    (0xc0a8_0000, 16),
    (0xc612_0000, 15),
    (0xc633_6400, 24),
    (0xcb00_7100, 24),
    (0xe000_0000, 4),
    (0xf000_0000, 4),
];

/// The same of IPv6, the top 64 bits.
const SPECIAL6: [(u64, u8); 6] = [
    (0x0000_0000_0000_0000, 8),
    (0x2001_0db8_0000_0000, 32),
    (0xfc00_0000_0000_0000, 8),
    (0xfd00_0000_0000_0000, 8),
    (0xfe80_0000_0000_0000, 10),
    (0xff00_0000_0000_0000, 8),
];

/// Stems of interface names that tell nothing of the host.
const STEMS: &[&str] = &[
    "lo",
    "eth",
    "en",
    "ens",
    "enp",
    "eno",
    "enx",
    "wlan",
    "wl",
    "wlp",
    "docker",
    "br",
    "br-",
    "veth",
    "virbr",
    "vnet",
    "tap",
    "tun",
    "wg",
    "bond",
    "team",
    "vlan",
    "ppp",
    "dummy",
    "cni",
    "flannel.",
    "cali",
    "lxc",
    "lxdbr",
    "incusbr",
    "sit",
    "gre",
    "ip6tnl",
    "tunl",
    "macvlan",
    "ipvlan",
    "podman",
    "cni-podman",
    "tailscale",
    "vmbr",
    "fwbr",
    "fwpr",
    "fwln",
    "wan",
    "lan",
    "any",
    "docker_gwbridge",
];

/// Words of iptables and nft whose value is a name or a text that somebody made up, and what it is called instead. `meter` is
/// nft's word for a hashlimit. Of nft's own words the value is in quotation marks.
const MADE_UP: &[(&str, &str)] = &[
    ("--name", "name"),
    ("--hashlimit-name", "name"),
    ("--rateest-name", "name"),
    ("--nfacct-name", "name"),
    ("--label", "name"),
    ("--string", "name"),
    ("--hex-string", "name"),
    ("--led-trigger-id", "name"),
    ("meter", "name"),
    ("--comment", "comment"),
    ("--log-prefix", "comment"),
    ("--nflog-prefix", "comment"),
    ("--ulog-prefix", "comment"),
    ("comment", "comment"),
    ("prefix", "comment"),
    ("alias", "comment"),
];

/// Conntrack helpers of the kernel; a port may follow (`ftp-2121`).
const HELPERS: &[&str] = &[
    "amanda",
    "ftp",
    "H.245",
    "irc",
    "netbios-ns",
    "pptp",
    "Q.931",
    "RAS",
    "sane",
    "sip",
    "snmp",
    "tftp",
];

/// Replaces addresses and names in a snapshot's text. The same key gives the same replacements.
///
/// # Errors
/// When the text is not JSON.
pub fn redact(bundle: &str, key: &str) -> Result<String, serde_json::Error> {
    let mut bundle: Value = serde_json::from_str(bundle)?;
    let mut names = Names::new(key);
    names.collect(&bundle);
    if let Some(hostname) = bundle.get_mut("hostname") {
        *hostname = Value::String("host".into());
    }
    if let Some(parts) = bundle.get_mut("parts").and_then(Value::as_object_mut) {
        for (name, part) in parts {
            let Some(part) = part.as_object_mut() else {
                continue;
            };
            if let Some(json) = part.get_mut("json") {
                names.value(json);
            }
            let text = part.get("text").and_then(Value::as_str).map(|text| {
                // a snapshot by a shell has JSON as text
                match serde_json::from_str::<Value>(text) {
                    Ok(mut json) if json.is_array() || json.is_object() => {
                        names.value(&mut json);
                        json.to_string()
                    }
                    _ if name == "sysctls" => names.sysctls(text),
                    _ if name.ends_with("-save") => names.save(text),
                    _ => names.text(&names.made_up(text)),
                }
            });
            if let Some(text) = text {
                part.insert("text".into(), Value::String(text));
            }
            if let Some(error) = part.get("error").and_then(Value::as_str) {
                let error = names.text(error);
                part.insert("error".into(), Value::String(error));
            }
        }
    }
    serde_json::to_string_pretty(&bundle).map(|text| text + "\n")
}

struct Names {
    key: String,
    known: HashMap<String, String>,
    counts: HashMap<&'static str, usize>,
    interfaces: Vec<(String, String)>,
    /// Values of options, which are replaced behind those options alone.
    made_up: HashMap<String, String>,
}

impl Names {
    fn new(key: &str) -> Names {
        Names {
            key: key.to_string(),
            known: HashMap::new(),
            counts: HashMap::new(),
            interfaces: Vec::new(),
            made_up: HashMap::new(),
        }
    }

    /// A new name of a kind, for a name that was not met before.
    fn add(&mut self, kind: &'static str, name: &str) {
        if name.is_empty() || self.known.contains_key(name) {
            return;
        }
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        self.known
            .insert(name.to_string(), format!("{kind}-{count}"));
    }

    /// An interface's stem gets a new one, and its number stays, so that `acme*` still names `acme0`.
    fn interface(&mut self, name: &str) {
        let stem = stem(name);
        if STEMS.contains(&stem) || stem.is_empty() || owner::is_known_bridge(name) {
            return;
        }
        let new = match self.known.get(stem) {
            Some(new) => new.clone(),
            None => {
                let count = self.counts.entry("interface").or_default();
                *count += 1;
                let new = format!("if{}n", letters(*count));
                self.known.insert(stem.to_string(), new.clone());
                new
            }
        };
        let whole = format!("{new}{}", &name[stem.len()..]);
        self.interfaces.push((name.to_string(), whole.clone()));
        self.known.insert(name.to_string(), whole);
        self.known.insert(format!("{stem}*"), format!("{new}*"));
        self.known.insert(format!("{stem}+"), format!("{new}+"));
    }

    fn collect(&mut self, bundle: &Value) {
        if let Some(hostname) = bundle.get("hostname").and_then(Value::as_str) {
            self.known.insert(hostname.to_string(), "host".into());
        }
        let Some(parts) = bundle.get("parts").and_then(Value::as_object) else {
            return;
        };
        for (name, part) in parts {
            let text = part.get("text").and_then(Value::as_str);
            let parsed = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
            match (part.get("json").or(parsed.as_ref()), text) {
                (Some(json), _) => self.collect_json(json),
                (None, Some(text)) if name.ends_with("-save") => self.collect_save(text),
                (None, Some(text)) => self.collect_text(text),
                (None, None) => {}
            }
        }
    }

    fn collect_json(&mut self, value: &Value) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.collect_json(value)),
            Value::Object(object) => {
                let word = |key: &str| object.get(key).and_then(Value::as_str);
                for key in ["ifname", "dev", "master", "link"] {
                    if let Some(name) = word(key) {
                        self.interface(name);
                    }
                }
                for key in ["comment", "ifalias", "prefix"] {
                    if let Some(text) = word(key) {
                        self.make_up("comment", text);
                    }
                }
                if let Some(Value::Array(names)) = object.get("altnames") {
                    for name in names.iter().filter_map(Value::as_str) {
                        self.interface(name);
                    }
                }
                if let Some(label) = word("label").filter(|label| label.contains(':')) {
                    self.add("label", label);
                }
                let of_helper = object.get("left").and_then(|left| left.pointer("/ct/key"));
                if of_helper.and_then(Value::as_str) == Some("helper")
                    && let Some(right) = object.get("right")
                {
                    self.helpers(right);
                }
                for (kind, key) in [
                    ("table", "table"),
                    ("chain", "chain"),
                    ("set", "set"),
                    ("map", "map"),
                    ("flowtable", "flowtable"),
                    ("counter", "counter"),
                    ("quota", "quota"),
                    ("limit", "limit"),
                    ("helper", "ct helper"),
                    ("timeout", "ct timeout"),
                    ("expectation", "ct expectation"),
                    ("synproxy", "synproxy"),
                    ("secmark", "secmark"),
                ] {
                    let Some(inner) = object.get(key).and_then(Value::as_object) else {
                        continue;
                    };
                    let named = |key: &str| inner.get(key).and_then(Value::as_str);
                    if let Some(name) = named("name")
                        && !is_software(named("table").unwrap_or(name), name)
                    {
                        self.add(kind, name);
                    }
                }
                object.values().for_each(|value| self.collect_json(value));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Names of helpers that are not the kernel's.
    fn helpers(&mut self, value: &Value) {
        match value {
            Value::String(name) => self.helper(name),
            Value::Array(values) => values.iter().for_each(|value| self.helpers(value)),
            Value::Object(object) => object.values().for_each(|value| self.helpers(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn helper(&mut self, name: &str) {
        let port = name
            .rsplit_once('-')
            .filter(|(_, port)| port.parse::<u16>().is_ok());
        let stem = port.map_or(name, |(stem, _)| stem);
        if !HELPERS.contains(&stem) {
            self.add("helper", name);
        }
    }

    /// A text that somebody made up gets another one.
    fn make_up(&mut self, kind: &'static str, value: &str) {
        // what `recent` takes where no name is said
        if value == "DEFAULT" || value.is_empty() || self.made_up.contains_key(value) {
            return;
        }
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        self.made_up
            .insert(value.to_string(), format!("{kind}-{count}"));
    }

    fn make_up_of(&mut self, line: &str) {
        for found in made_up_values(line) {
            self.make_up(found.kind, &found.value);
        }
    }

    /// Names in what `nft`, `ip` and `ipset` print for people.
    fn collect_text(&mut self, text: &str) {
        let mut table = "";
        for line in text.lines() {
            self.make_up_of(line);
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["table", _, name, "{", ..] => {
                    table = name;
                    if !is_software(name, name) {
                        self.add("table", name);
                    }
                }
                ["chain", name, "{", ..] if !is_software(table, name) => self.add("chain", name),
                ["set" | "map", name, "{", ..] if !is_software(table, name) => {
                    self.add("set", name);
                }
                ["flowtable", name, "{", ..] if !is_software(table, name) => {
                    self.add("flowtable", name);
                }
                ["counter", name, "{", ..] => self.add("counter", name),
                ["quota", name, "{", ..] => self.add("quota", name),
                ["limit", name, "{", ..] => self.add("limit", name),
                ["synproxy", name, "{", ..] => self.add("synproxy", name),
                ["secmark", name, "{", ..] => self.add("secmark", name),
                ["ct", "helper", name, "{", ..] => self.add("helper", name),
                ["ct", "timeout", name, "{", ..] => self.add("timeout", name),
                ["ct", "expectation", name, "{", ..] => self.add("expectation", name),
                // `ip addr`
                ["altname", name] => self.interface(name),
                ["inet" | "inet6", .., label] if label.contains(':') && !label.contains('/') => {
                    self.add("label", label);
                }
                // `ipset save`
                ["create", name, ..] if !is_software("", name) => self.add("set", name),
                // `ip link`
                [number, name, flags, ..]
                    if number
                        .strip_suffix(':')
                        .is_some_and(|n| n.parse::<u32>().is_ok())
                        && flags.starts_with('<') =>
                {
                    for name in name.trim_end_matches(':').split('@') {
                        self.interface(name);
                    }
                }
                _ => {}
            }
            for three in words.windows(3) {
                if let ["ct", "helper", name] = three
                    && let Some(name) = name.strip_prefix('"')
                {
                    self.helper(name.trim_end_matches('"'));
                }
            }
            for pair in words.windows(2) {
                if let ["iifname" | "oifname" | "iif" | "oif" | "dev", name] = pair
                    && !name.starts_with(['{', '@', '!'])
                {
                    self.interface(name.trim_matches(['"', '*', ',']));
                }
            }
        }
    }

    fn collect_save(&mut self, text: &str) {
        let mut table = "";
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = name;
            }
            let chain = line
                .strip_prefix(':')
                .and_then(|rest| rest.split(' ').next());
            if let Some(chain) = chain
                && !is_software(table, chain)
            {
                self.add("chain", chain);
            }
            self.make_up_of(line);
            let words: Vec<&str> = line.split(' ').collect();
            for pair in words.windows(2) {
                if let [
                    "-i" | "-o" | "--physdev-in" | "--physdev-out" | "--logical-in"
                    | "--logical-out",
                    name,
                ] = pair
                {
                    self.interface(name.trim_end_matches('+'));
                }
                if let ["--helper", name] = pair {
                    self.helper(name.trim_matches('"'));
                }
            }
        }
    }

    /// A text of iptables-save, without the remarks that somebody wrote into it.
    fn save(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let by_program = ["# Generated by ", "# Completed on ", "# Table "];
            let is_remark = line.trim_start().starts_with('#')
                && !by_program.iter().any(|begin| line.starts_with(begin));
            match is_remark {
                // an empty one, so that lines keep their numbers
                true => out += "#\n",
                false => out += &self.made_up(line),
            }
        }
        self.text(&out)
    }

    /// The values of options that hold made-up names.
    fn made_up(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let mut from = 0;
            for found in made_up_values(line) {
                let new = self.made_up.get(&found.value);
                if let Some(new) = new.filter(|_| found.from >= from) {
                    out += &line[from..found.from];
                    out += new;
                    from = found.to;
                }
            }
            out += &line[from..];
        }
        out
    }

    /// Every string of a JSON value.
    fn value(&self, value: &mut Value) {
        match value {
            Value::Array(values) => values.iter_mut().for_each(|value| self.value(value)),
            Value::Object(object) => {
                self.prefix(object);
                for key in ["comment", "ifalias", "prefix"] {
                    if let Some(Value::String(text)) = object.get_mut(key)
                        && let Some(new) = self.made_up.get(text.as_str())
                    {
                        *text = format!("{DONE}{new}");
                    }
                }
                object.values_mut().for_each(|value| self.value(value));
            }
            Value::String(text) => {
                let set = text.strip_prefix('@').and_then(|name| self.known.get(name));
                *text = match (self.known.get(text.as_str()), set) {
                    (Some(new), _) => new.clone(),
                    (None, Some(new)) => format!("@{new}"),
                    (None, None) => self.text(text),
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// nft's `{"addr": …, "len": …}`: the bits behind the length stay 0. Marked done by the mapped address being final.
    fn prefix(&self, object: &mut Map<String, Value>) {
        let (Some(address), Some(len)) = (
            object.get("addr").and_then(Value::as_str),
            object.get("len").and_then(Value::as_u64),
        ) else {
            return;
        };
        if let Ok(address) = address.parse::<IpAddr>() {
            // written so that the walk over the members does not map it again
            let mapped = masked(self.address(address), len as u8);
            object.insert("addr".into(), Value::String(format!("{DONE}{mapped}")));
        }
    }

    /// Addresses and known names inside a text.
    fn text(&self, text: &str) -> String {
        if let Some(done) = text.strip_prefix(DONE) {
            return done.to_string();
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let end = rest
                .find(|c: char| !is_word(c))
                .filter(|end| *end > 0)
                .unwrap_or(if is_word(c) { rest.len() } else { c.len_utf8() });
            let (word, after) = rest.split_at(end);
            let (new, used) = self.word(word, after);
            out += &new;
            rest = &after[used..];
        }
        out
    }

    /// A word's replacement, and how much of what follows it was taken with it (a prefix length).
    fn word(&self, word: &str, after: &str) -> (String, usize) {
        if let Some(new) = self.known.get(word) {
            return (new.clone(), 0);
        }
        // a chain of iptables-save
        if let Some(new) = word.strip_prefix(':').and_then(|name| self.known.get(name)) {
            return (format!(":{new}"), 0);
        }
        // `ip link` ends names with a colon
        if let Some(new) = word.strip_suffix(':').and_then(|name| self.known.get(name)) {
            return (format!("{new}:"), 0);
        }
        // a range of addresses, or a name with dashes that is nobody's
        if let Some((first, rest)) = word.split_once('-')
            && !first.is_empty()
        {
            let (first, _) = self.word(first, "");
            let (rest, used) = self.word(rest, after);
            return (format!("{first}-{rest}"), used);
        }
        if let Some(mac) = ethernet(word) {
            return (self.ethernet(mac), 0);
        }
        let found = address_at(word).or_else(|| {
            // `10.0.0.1:80` of iptables
            let (address, port) = word.rsplit_once(':')?;
            address_at(address).map(|(ip, len)| (ip, len.min(word.len() - port.len() - 1)))
        });
        let Some((address, length)) = found else {
            return (word.to_string(), 0);
        };
        let tail = &word[length..];
        let mapped = self.address(address);
        let digits: String = after
            .strip_prefix('/')
            .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect())
            .unwrap_or_default();
        match digits.parse::<u8>() {
            Ok(len) if tail.is_empty() && masked(address, len) == address => {
                (format!("{}/{len}", masked(mapped, len)), digits.len() + 1)
            }
            _ => (format!("{mapped}{tail}"), 0),
        }
    }

    /// `net.ipv4.conf.NAME.key`, dots of the name written as slashes.
    fn sysctls(&self, text: &str) -> String {
        let mut out = text.to_string();
        for (name, new) in &self.interfaces {
            for (dot, slash) in [('.', '/'), ('/', '.')] {
                let written = |name: &str| match dot {
                    '.' => format!(".{}.", name.replace('.', &slash.to_string())),
                    _ => format!("/{name}/"),
                };
                out = out.replace(&written(name), &written(new));
            }
        }
        out
    }

    fn hash(&self, what: impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.key.hash(&mut hasher);
        what.hash(&mut hasher);
        hasher.finish()
    }

    /// Another address: each of the leading bits is turned or not by the bits before it, so equal prefixes stay equal.
    fn address(&self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(v4) => {
                let bits = v4.to_bits();
                let turned = (0..24).fold(bits, |turned, at| {
                    let before = bits.checked_shr(32 - at).unwrap_or(0);
                    let special = SPECIAL4.iter().any(|(range, len)| {
                        at < u32::from(*len) && range.checked_shr(32 - at).unwrap_or(0) == before
                    });
                    let keeps = special || holds_all(bits);
                    let turn = !keeps && self.hash((4, at, before)) & 1 == 1;
                    turned ^ (u32::from(turn) << (31 - at))
                });
                IpAddr::V4(Ipv4Addr::from_bits(turned))
            }
            IpAddr::V6(v6) => {
                if let Some(v4) = v6.to_ipv4_mapped() {
                    let IpAddr::V4(v4) = self.address(v4.into()) else {
                        return address;
                    };
                    return IpAddr::V6(v4.to_ipv6_mapped());
                }
                let (top, low) = ((v6.to_bits() >> 64) as u64, v6.to_bits() as u64);
                let keeps_all = top == 0 || top >> 56 == 0xff || top >> 54 == 0xfe80 >> 6;
                let turned = (0..64).fold(top, |turned, at| {
                    let before = top.checked_shr(64 - at).unwrap_or(0);
                    let special = SPECIAL6.iter().any(|(range, len)| {
                        at < u32::from(*len) && range.checked_shr(64 - at).unwrap_or(0) == before
                    });
                    let turn = !special && !keeps_all && self.hash((6, at, before)) & 1 == 1;
                    turned ^ (u64::from(turn) << (63 - at))
                });
                let low = self.interface_id(low);
                IpAddr::V6(Ipv6Addr::from_bits(
                    (u128::from(turned) << 64) | u128::from(low),
                ))
            }
        }
    }

    /// An interface identifier made from an Ethernet address tells that address.
    fn interface_id(&self, low: u64) -> u64 {
        let bytes = low.to_be_bytes();
        if bytes[3..5] != [0xff, 0xfe] {
            return low;
        }
        let mac = [
            bytes[0] ^ 2,
            bytes[1],
            bytes[2],
            bytes[5],
            bytes[6],
            bytes[7],
        ];
        let new = self.mac(mac);
        u64::from_be_bytes([
            new[0] ^ 2,
            new[1],
            new[2],
            0xff,
            0xfe,
            new[3],
            new[4],
            new[5],
        ])
    }

    fn mac(&self, mac: [u8; 6]) -> [u8; 6] {
        let special = mac[0] & 1 == 1 || mac == [0; 6];
        if special {
            return mac;
        }
        let hash = self.hash((48, mac)).to_be_bytes();
        // a locally administered address
        [2, hash[1], hash[2], hash[3], hash[4], hash[5]]
    }

    fn ethernet(&self, mac: [u8; 6]) -> String {
        let words: Vec<String> = self
            .mac(mac)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        words.join(":")
    }
}

/// Marks a string as replaced already; no text of a host begins so.
const DONE: &str = "\u{1}";

/// The ranges that say nothing of a host and stay as they are.
fn holds_all(bits: u32) -> bool {
    [0x00, 0x7f].contains(&(bits >> 24)) || bits >> 28 >= 0xe || bits >> 16 == 0xa9fe
}

fn masked(address: IpAddr, len: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX
                .checked_shl(32u32.saturating_sub(len.into()))
                .unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX
                .checked_shl(128u32.saturating_sub(len.into()))
                .unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

/// Whether a name is one that software or nft itself gives.
fn is_software(table: &str, name: &str) -> bool {
    const PLAIN: &[&str] = &[
        "filter",
        "nat",
        "mangle",
        "raw",
        "security",
        "input",
        "output",
        "forward",
        "prerouting",
        "postrouting",
        "ingress",
        "egress",
        "input_direct",
        "t",
        "c",
    ];
    let lower = name.to_lowercase();
    // words of nft's language, which stand in rules with their own meaning
    let words = [
        DataType::InetProto,
        DataType::InetService,
        DataType::EtherType,
        DataType::CtState,
        DataType::FibAddrType,
        DataType::PktType,
    ];
    PLAIN.contains(&lower.as_str())
        || words.iter().any(|kind| kind.constant(&lower).is_some())
        || [
            "accept", "drop", "return", "reject", "jump", "goto", "continue", "log", "limit",
            "counter", "ip", "ip6", "inet", "bridge", "arp", "netdev", "meta", "ct", "mark", "set",
            "map", "table", "chain", "rule", "host",
        ]
        .contains(&lower.as_str())
        || Owner::by_name(table, name).is_some()
        || Owner::by_name(name, "x").is_some()
}

/// A value behind a word of [`MADE_UP`].
struct MadeUp {
    kind: &'static str,
    /// Without quotation marks and escapes.
    value: String,
    /// Where it stands in the line, with what is escaped and without its quotation marks.
    from: usize,
    to: usize,
}

/// The values behind the words of [`MADE_UP`] in a line, in order.
fn made_up_values(line: &str) -> Vec<MadeUp> {
    let mut found: Vec<MadeUp> = Vec::new();
    for (option, kind) in MADE_UP {
        for (at, _) in line.match_indices(option) {
            let alone = line[..at]
                .chars()
                .next_back()
                .is_none_or(char::is_whitespace);
            let behind = &line[at + option.len()..];
            let Some(rest) = behind.strip_prefix(' ').filter(|_| alone) else {
                continue;
            };
            let start = at + option.len() + 1;
            let (from, to) = match (rest.strip_prefix('"'), *option) {
                (Some(quoted), _) => (start + 1, start + 1 + quoted_len(quoted)),
                // `ip link` prints it on a line of its own
                (None, "alias") if line[..at].trim().is_empty() => (start, line.trim_end().len()),
                (None, "comment" | "prefix" | "alias") => continue,
                (None, _) => {
                    let len = rest.find(char::is_whitespace).unwrap_or(rest.len());
                    (start, start + len)
                }
            };
            if from < to {
                found.push(MadeUp {
                    kind,
                    value: unescaped(&line[from..to]),
                    from,
                    to,
                });
            }
        }
    }
    found.sort_by_key(|found| (found.from, std::cmp::Reverse(found.to)));
    found
}

/// How long a text is up to the quotation mark that ends it; iptables-save escapes those within.
fn quoted_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return at,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.trim_end().len()
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => chars.next().unwrap_or(c),
            c => c,
        });
    }
    out
}

/// Comparisons that are left as they are although they may hold an address, in words.
pub fn raw_parts(redacted: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    if redacted.contains("--u32 ") {
        found.push("`u32`");
    }
    let raw = ["@nh,", "@th,", "@ll,", "@ih,"];
    if raw.iter().any(|base| redacted.contains(base)) || redacted.contains(r#""base": ""#) {
        found.push("raw payload (`@nh,96,32`)");
    }
    if redacted.contains("--bytecode ") {
        found.push("`bpf`");
    }
    found
}

/// The part of an interface name before its number.
fn stem(name: &str) -> &str {
    let end = name
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(name.len());
    &name[..end]
}

/// a, b, … z, aa, …
fn letters(number: usize) -> String {
    let mut out = String::new();
    let mut rest = number;
    while rest > 0 {
        out.insert(0, char::from(b'a' + ((rest - 1) % 26) as u8));
        rest = (rest - 1) / 26;
    }
    out
}

/// Characters of names and addresses.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '*' | '+')
}

/// An address at the beginning of a word, and its length: the whole word, or up to a closing `.` or `:`.
fn address_at(word: &str) -> Option<(IpAddr, usize)> {
    let ends = [word.len(), word.trim_end_matches(['.', ':']).len()];
    ends.into_iter()
        .filter_map(|end| Some((word.get(..end)?.parse::<IpAddr>().ok()?, end)))
        .find(|(address, end)| address.is_ipv4() || word[..*end].contains(':'))
}

/// An Ethernet address; ebtables writes it without leading zeros too.
fn ethernet(word: &str) -> Option<Mac> {
    let mut parts = word.split(':');
    let is_byte = |part: &str| {
        matches!(part.len(), 1 | 2) && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    parse_mac(word).filter(|_| parts.all(is_byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new("a key")
    }

    #[test]
    fn equal_prefixes_stay_equal_and_special_ranges_stay_special() {
        let names = names();
        let map = |text: &str| names.address(text.parse().expect("an address"));
        let v4 = |text: &str| match map(text) {
            IpAddr::V4(ip) => ip.to_bits(),
            IpAddr::V6(_) => panic!("another family"),
        };
        for (a, b, len) in [
            ("203.0.114.5", "203.0.114.77", 24),
            ("10.1.2.3", "10.1.200.3", 16),
            ("192.168.7.1", "192.168.9.1", 16),
        ] {
            let common = (v4(a) ^ v4(b)).leading_zeros();
            let before = (a.parse::<Ipv4Addr>().expect("a").to_bits()
                ^ b.parse::<Ipv4Addr>().expect("b").to_bits())
            .leading_zeros();
            assert_eq!(common, before, "{a} {b}");
            assert!(common >= len);
        }
        assert_eq!(v4("10.200.3.4") >> 24, 10);
        assert_eq!(v4("172.20.3.4") >> 20, 0xac1);
        assert_eq!(v4("192.168.3.4") >> 16, 0xc0a8);
        assert_eq!(v4("8.8.8.8") & 0xff, 8);
        for same in [
            "127.0.0.53",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.251",
            "169.254.1.1",
            "::",
            "::1",
            "ff02::fb",
        ] {
            assert_eq!(map(same).to_string(), same);
        }
        assert_ne!(
            map("8.8.8.8"),
            "8.8.8.8".parse::<IpAddr>().expect("an address")
        );
        let IpAddr::V6(v6) = map("2003:db:1:2::7") else {
            panic!("another family")
        };
        assert_eq!(v6.segments()[4..], [0, 0, 0, 7]);
        assert_ne!(v6.to_string(), "2003:db:1:2::7");
    }

    #[test]
    fn addresses_in_texts() {
        let names = names();
        let map = |text: &str| names.address(text.parse().expect("an address")).to_string();
        let (a, b) = (map("8.8.8.8"), map("9.9.9.9"));
        assert_eq!(
            names.text("-s 8.8.8.8/32 -d 9.9.9.9"),
            format!("-s {a}/32 -d {b}")
        );
        assert_eq!(
            names.text("--to-destination 8.8.8.8:80"),
            format!("--to-destination {a}:80")
        );
        assert_eq!(names.text("8.8.8.8-9.9.9.9"), format!("{a}-{b}"));
        assert_eq!(
            names.text("v1.0.6 and 10:20, 1.2.3"),
            "v1.0.6 and 10:20, 1.2.3"
        );
        let net = names.text("9.9.0.0/16");
        assert!(net.ends_with(".0.0/16"), "{net}");
        let mac = names.text("52:54:00:12:34:56");
        assert!(mac.starts_with("02:") && mac.len() == 17, "{mac}");
        assert_eq!(names.text("ff:ff:ff:ff:ff:ff"), "ff:ff:ff:ff:ff:ff");
        let (long, short) = (
            names.text("--among-src 52:54:00:02:34:06=8.8.8.8,52:54:00:02:34:07"),
            names.text("--among-src 52:54:0:2:34:6=8.8.8.8,52:54:0:2:34:7"),
        );
        assert_eq!(short, long);
        assert!(!long.contains("52:54") && long.contains(&a), "{long}");
    }

    #[test]
    fn lists_of_iptables_and_remarks_tell_nothing() {
        let text = "# Generated by iptables-save v1.8.9 on a day\n# the rules of Acme Corp\n*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m recent --set --name acme-bad --mask 255.255.255.255 --rsource\n-A INPUT -m recent --update --name recent --rsource\n-A INPUT -m recent --set --name DEFAULT --rsource\n-A INPUT -m hashlimit --hashlimit-upto 1/sec --hashlimit-name acme-limit\n-A INPUT -m string --string \"acme secret\" --algo bm\nCOMMIT\n";
        let mut names = names();
        names.collect_save(text);
        let out = names.save(text);
        assert!(!out.to_lowercase().contains("acme"), "{out}");
        assert!(
            out.starts_with("# Generated by iptables-save v1.8.9"),
            "{out}"
        );
        assert_eq!(out.lines().count(), text.lines().count());
        assert!(
            out.contains("-m recent --set --name name-1 --mask"),
            "{out}"
        );
        assert!(out.contains("-m recent --update --name name-2 "), "{out}");
        assert!(out.contains("--name DEFAULT"), "{out}");
        assert!(out.contains("--string \"name-"), "{out}");
        assert_eq!(
            names.made_up("\t\tmeter acme-limit { ip saddr limit rate 1/second } accept"),
            "\t\tmeter name-3 { ip saddr limit rate 1/second } accept"
        );
    }

    #[test]
    fn remarks_with_addresses_and_quotation_marks_are_replaced_whole() {
        let bundle = serde_json::json!({"hostname": "web7", "parts": {
            "ruleset": {"json": {"nftables": [
                {"ct helper": {"family": "ip", "name": "acmehelper", "table": "filter", "type": "ftp"}},
                {"rule": {"comment": "Jane Doe laptop 10.77.88.5", "expr": [
                    {"match": {"op": "==", "left": {"ct": {"key": "helper"}}, "right": "acmeftp"}},
                    {"match": {"op": "==", "left": {"ct": {"key": "helper"}}, "right": "ftp-2121"}},
                    {"log": {"prefix": "Jane 10.77.88.5 "}}]}},
            ]}},
            "ruleset-text": {"text": "table ip filter {\n\tct helper acmehelper {\n\t}\n\tcounter acmecounter {\n\t}\n\tchain INPUT {\n\t\tct helper \"acmeftp\" counter name \"acmecounter\" log prefix \"Jane 10.77.88.5 \" comment \"Jane Doe laptop 10.77.88.5\"\n\t}\n}\n"},
            "iptables-save": {"text": "*filter\n-A INPUT -m comment --comment \"Jane Doe laptop 10.77.88.5\" -m helper --helper acmeftp -j LOG --log-prefix \"Jane 10.77.88.5 \"\n-A INPUT -m comment --comment \"it's a \\\"Jane\\\" thing\" -j DROP\nCOMMIT\n"},
            "addr": {"json": [{"ifname": "acmevpn", "altnames": ["acmealt0"], "addr_info": [{"label": "acmevpn:corp", "local": "10.77.88.5"}]}]},
            "link": {"text": "2: acmevpn: <UP> mtu 1500\n    alias Acme Corp HQ uplink\n    altname acmealt0\n    inet 10.77.88.5/24 scope global acmevpn:corp\n"},
        }});
        let out = redact(&bundle.to_string(), "a key").expect("JSON");
        let lower = out.to_lowercase();
        for leak in ["jane", "doe", "acme", "10.77.88.5", "thing", "web7", "corp"] {
            assert!(!lower.contains(leak), "{leak}: {out}");
        }
        assert!(out.contains("ftp-2121"), "{out}");
        // the same remark has the same name in each part
        let json: Value = serde_json::from_str(&out).expect("JSON");
        let parts = &json["parts"];
        let comment = parts["ruleset"]["json"]["nftables"][1]["rule"]["comment"]
            .as_str()
            .expect("a comment");
        for part in ["ruleset-text", "iptables-save"] {
            let text = parts[part]["text"].as_str().expect("a text");
            assert!(
                text.contains(&format!("\"{comment}\"")),
                "{comment}: {text}"
            );
        }
    }

    #[test]
    fn interfaces_keep_their_numbers_and_wildcards() {
        let mut names = names();
        for name in [
            "acme0",
            "acme1",
            "eth0",
            "br-0123456789ab",
            "docker0",
            "wg0",
        ] {
            names.interface(name);
        }
        assert_eq!(
            names.text("acme0 acme1 acme* eth0 br-0123456789ab docker0 wg0"),
            "ifan0 ifan1 ifan* eth0 br-0123456789ab docker0 wg0"
        );
        let sysctls = "net.ipv4.conf.acme0.rp_filter = 1\nnet/ipv4/conf/acme1/rp_filter = 1\n";
        assert_eq!(
            names.sysctls(sysctls),
            "net.ipv4.conf.ifan0.rp_filter = 1\nnet/ipv4/conf/ifan1/rp_filter = 1\n"
        );
    }
}
