//! A module uses only modules of the layers below its own (docs/architecture.md).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom to the top. Modules of one layer do not use each other.
const LAYERS: &[&[&str]] = &[
    &["logic", "diagnostic", "json", "nft"],
    &["sets"],
    &["ruleset", "iptables", "host"],
    &["packet", "load", "owner"],
    &["conntrack", "flow"],
    &["eval", "infer"],
    &["hooks", "trace"],
    &["walk", "graph"],
    &["symbolic"],
    &["report"],
    &["explain", "expect"],
    &["reach"],
    &["audit", "diff"],
    &["render"],
    &["remedy", "seen"],
    &["capture", "graphviz", "nft_tool"],
    &["kernel"],
    &["cli"],
];

/// Words that belong to the outside world, and the modules that may say them.
const WORLD: &[(&str, &[&str])] = &[
    ("std::fs", &["capture", "cli", "kernel"]),
    (
        "std::process",
        &["capture", "cli", "graphviz", "kernel", "nft_tool"],
    ),
    ("std::env", &["cli", "kernel"]),
    ("unsafe {", &["kernel"]),
    ("std::net::TcpStream", &[]),
    ("println!", &[]),
    ("eprintln!", &[]),
    ("anyhow", &["cli"]),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("src").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The code of each top module, without tests and comments.
fn modules() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut modules: BTreeMap<String, Vec<(PathBuf, String)>> = BTreeMap::new();
    for file in files {
        let inside = file.strip_prefix(&src).expect("below src");
        let top = inside.iter().next().expect("a name");
        let top = top.to_string_lossy().trim_end_matches(".rs").to_owned();
        let is_test =
            |part: &std::ffi::OsStr| part == "tests" || part == "tests.rs" || part == "samples.rs";
        if ["lib", "main"].contains(&top.as_str()) || inside.iter().any(is_test) {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a source");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("");
        let code = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .fold(String::new(), |code, line| code + line + "\n");
        modules.entry(top).or_default().push((file, code));
    }
    modules
}

/// The modules that code names after `crate::`.
fn used(code: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let group = group.split(';').next().unwrap_or("");
            found.extend(group.split(',').map(|part| word(part.trim())));
        } else {
            found.push(word(rest));
        }
    }
    found
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

#[test]
fn modules_use_only_the_layers_below() {
    let mut wrong = Vec::new();
    for (module, files) in modules() {
        let own = layer(&module);
        if own.is_none() {
            wrong.push(format!("{module} has no layer"));
        }
        for (file, code) in files {
            for name in used(&code) {
                if name != module && layer(&name) >= own && layer(&name).is_some() {
                    wrong.push(format!("{} uses {name}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_edges_touch_the_world() {
    let mut wrong = Vec::new();
    for (module, files) in modules() {
        for (file, code) in files {
            for (word, allowed) in WORLD {
                let said = code.contains(word);
                if said && !allowed.contains(&module.as_str()) {
                    wrong.push(format!("{} says `{word}`", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
