//! Reading and writing listings: own fixtures always, captured rulesets when they are there.

mod support;

use std::path::Path;

use nfpath::nft::ast::{Document, Object, Stmt};
use nfpath::nft::json::{self, ReadNote};
use serde_json::{Value, json};

/// Reads a listing and checks that writing it gives the same values.
fn read_same(name: &str, text: &str) -> (Document, Vec<ReadNote>) {
    let (document, notes) = json::read(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let before: Value = serde_json::from_str(text).unwrap();
    let after = serde_json::to_value(&document).unwrap();
    assert!(
        before == after,
        "{name}: written differently\n{before}\n{after}"
    );
    (document, notes)
}

fn read_file(path: &Path) -> (Document, Vec<ReadNote>) {
    let text = std::fs::read_to_string(path).unwrap();
    read_same(&path.display().to_string(), &text)
}

/// Notes about what nft itself could only print as text say nothing about this reader.
fn unexpected(notes: &[ReadNote]) -> Vec<String> {
    notes
        .iter()
        .map(ToString::to_string)
        .filter(|note| !note.contains("printed as text only"))
        .collect()
}

#[test]
fn own_fixtures_are_read_and_written_the_same() {
    let files = support::files_below(&support::testdata("nft-json"), ".json");
    assert!(!files.is_empty());
    for path in files {
        let (document, notes) = read_file(&path);
        assert!(!document.objects.is_empty());
        let strange = path.file_name().is_some_and(|name| name == "unknown.json");
        assert_eq!(notes.is_empty(), !strange, "{}: {notes:?}", path.display());
    }
}

#[test]
fn all_captured_listings_are_known() {
    let Some(shared) = support::shared_or_skip("all_captured_listings_are_known") else {
        return;
    };
    let files = support::listings(&shared);
    assert!(files.len() > 300, "only {} listings", files.len());
    let mut rules = 0;
    for path in &files {
        let (document, notes) = read_file(path);
        rules += document
            .objects
            .iter()
            .filter(|object| matches!(object, Object::Rule(_)))
            .count();
        assert_eq!(
            unexpected(&notes),
            Vec::<String>::new(),
            "{}",
            path.display()
        );
    }
    eprintln!("{} listings with {rules} rules", files.len());
}

#[test]
fn all_rule_samples_are_known() {
    let Some(shared) = support::shared_or_skip("all_rule_samples_are_known") else {
        return;
    };
    let mut samples = 0;
    for path in support::files_below(&shared.join("nft-corpus/local-nft-1.0.6/py"), ".json") {
        let groups: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for sample in groups
            .as_object()
            .unwrap()
            .values()
            .flat_map(|group| group.as_array().unwrap())
        {
            let rule = json!({ "family": sample["family"], "table": "t", "chain": "c", "expr": sample["expr"] });
            let text = json!({ "nftables": [{ "rule": rule }] }).to_string();
            let (document, notes) = read_same(&path.display().to_string(), &text);
            assert_eq!(unexpected(&notes), Vec::<String>::new(), "{text}");
            let [Object::Rule(rule)] = document.objects.as_slice() else {
                panic!("{text}");
            };
            assert!(
                !rule
                    .expr
                    .iter()
                    .flatten()
                    .any(|stmt| matches!(stmt, Stmt::Unknown { .. }))
            );
            samples += 1;
        }
    }
    eprintln!("{samples} rule samples");
    assert!(samples > 4000);
}

#[test]
fn all_probes_are_known() {
    let Some(shared) = support::shared_or_skip("all_probes_are_known") else {
        return;
    };
    let probes = shared.join("nft-corpus/probes");
    let read = |name: &str| -> Value {
        serde_json::from_str(&std::fs::read_to_string(probes.join(name)).unwrap()).unwrap()
    };
    for probe in read("probes.json").as_array().unwrap() {
        if probe["json"].is_object() {
            let (_, notes) = read_same(probe["name"].as_str().unwrap(), &probe["json"].to_string());
            assert_eq!(unexpected(&notes), Vec::<String>::new(), "{probe}");
        }
    }
    for probe in read("extra.json").as_array().unwrap() {
        let text = json!({ "nftables": probe["objs"] }).to_string();
        let name = probe["name"].as_str().unwrap();
        let (_, notes) = read_same(name, &text);
        let strange = name.starts_with("unknown future") || name.starts_with("destroy");
        assert_eq!(notes.len(), usize::from(strange), "{name}: {notes:?}");
    }
    read_same("xt.json", &read("xt.json").to_string());
}
