//! What nft 1.0.6 leaves out of its JSON and prints as text: the flags of tables, the devices of chains.
//!
//! The text of the same ruleset (`nft list ruleset`) completes the document; nothing else is read from it.

use std::collections::HashMap;

use crate::nft::ast::{Document, Object, OneOrMany, Str};

/// Puts the flags and devices that `text` tells into `document`.
pub(super) fn complete(document: &mut Document, text: &str) {
    let told = read(text);
    for object in &mut document.objects {
        match object {
            Object::Table(table) => {
                if let Some(flags) = told.flags.get(&(table.family.clone(), table.name.clone())) {
                    table.flags = match flags.as_slice() {
                        [] => None,
                        flags => Some(OneOrMany::Many(flags.to_vec())),
                    };
                }
            }
            Object::Chain(chain) if chain.dev.is_none() => {
                let key = (
                    chain.family.clone(),
                    chain.table.clone(),
                    chain.name.clone(),
                );
                if let Some(devices) = told.devices.get(&key) {
                    chain.dev = Some(match devices.as_slice() {
                        [one] => OneOrMany::One(one.clone()),
                        many => OneOrMany::Many(many.to_vec()),
                    });
                }
            }
            _ => {}
        }
    }
}

#[derive(Debug, Default, PartialEq)]
struct Told {
    /// By family and table; a table without flags has none.
    flags: HashMap<(Str, Str), Vec<Str>>,
    /// By family, table and chain.
    devices: HashMap<(Str, Str, Str), Vec<Str>>,
}

/// Reads by nft's own indentation, so that no rule is taken for a declaration.
fn read(text: &str) -> Told {
    let mut told = Told::default();
    let mut table: Option<(Str, Str)> = None;
    let mut chain: Option<Str> = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("table ") {
            let head = rest.split(" {").next().unwrap_or(rest);
            table = head
                .split_once(' ')
                .map(|(family, name)| (family.into(), name.into()));
            if let Some(key) = &table {
                told.flags.entry(key.clone()).or_default();
            }
            chain = None;
        } else if let Some(rest) = line.strip_prefix("\t\t") {
            let (Some((family, name)), Some(chain)) = (&table, &chain) else {
                continue;
            };
            let declares = rest.starts_with("type ") && rest.contains(" hook ");
            let devices = if declares { devices(rest) } else { Vec::new() };
            if !devices.is_empty() {
                let key = (family.clone(), name.clone(), chain.clone());
                told.devices.insert(key, devices);
            }
        } else if let Some(rest) = line.strip_prefix('\t') {
            let head = rest.split(" {").next().unwrap_or(rest);
            chain = head.strip_prefix("chain ").map(Str::from);
            if let (Some(flags), Some(key)) = (rest.strip_prefix("flags "), &table) {
                let flags = flags.split(';').next().unwrap_or(flags);
                let flags = flags.split(',').map(|flag| flag.trim().into()).collect();
                told.flags.insert(key.clone(), flags);
            }
        }
    }
    told
}

/// The devices of `type filter hook ingress device "eth0" priority …` or `… devices = { "a", "b" } priority …`.
fn devices(declaration: &str) -> Vec<Str> {
    let head = declaration.split(" priority ").next().unwrap_or_default();
    let list = match (head.split_once(" device "), head.split_once(" devices = ")) {
        (Some((_, one)), _) => one,
        (None, Some((_, many))) => many,
        (None, None) => return Vec::new(),
    };
    list.trim_matches(['{', '}', ' '])
        .split(',')
        .map(|name| name.trim().trim_matches('"').into())
        .filter(|name: &Str| !name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_devices_are_read_and_rules_are_not() {
        let text = "table ip t { # handle 1\n\tflags dormant\n\n\tchain c { # handle 2\n\t\ttype filter hook forward priority filter; policy drop;\n\t\tcomment \"type x hook y device z\"\n\t}\n}\ntable netdev n {\n\tchain a/b {\n\t\ttype filter hook ingress devices = { \"eth0\", wan.5 } priority -500; policy accept;\n\t}\n\tchain one {\n\t\ttype filter hook ingress device \"lo\" priority filter; policy accept;\n\t}\n}\n";
        let told = read(text);
        let key = |a: &str, b: &str| (Str::from(a), Str::from(b));
        assert_eq!(told.flags[&key("ip", "t")], ["dormant"]);
        assert_eq!(told.flags[&key("netdev", "n")], [""; 0]);
        let chain = |name: &str| (Str::from("netdev"), Str::from("n"), Str::from(name));
        assert_eq!(told.devices[&chain("a/b")], ["eth0", "wan.5"]);
        assert_eq!(told.devices[&chain("one")], ["lo"]);
        assert_eq!(told.devices.len(), 2);
    }
}
