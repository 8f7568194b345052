//! The text of a document, loaded by the real nft and listed again, gives the same JSON.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use nfpath::nft::ast::{Document, Object, Stmt};
use nfpath::nft::{json, print};
use serde_json::Value;

/// Loads a file of nft text into a fresh network namespace and lists it; nft's complaint when it does not load.
fn load(text: &Path) -> Result<Value, String> {
    // Devices that the captured rulesets name; a ruleset that needs others does not load with its own text either.
    let script = "for d in d0 d1 eth0 eth1 bond0 bond1; do
            ip link add $d type dummy 2>/dev/null || ip link add $d type bridge 2>/dev/null
        done
        nft -f \"$1\" && exec nft -j list ruleset";
    let output = Command::new("unshare")
        .args(["-n", "sh", "-c", script, "sh"])
        .arg(text)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("listing again: {error}"))
}

/// The objects of a listing without handles, counts unless wanted, versions and what time changes, in an order of their own.
///
/// The order of rules within a chain stays part of the comparison.
fn comparable(listing: &Value, counts: bool) -> Vec<String> {
    let mut objects = Vec::new();
    let mut rules = 0;
    for object in listing["nftables"].as_array().into_iter().flatten() {
        if object.get("metainfo").is_some() {
            continue;
        }
        let mut object = object.clone();
        normalise(&mut object, counts);
        let place = match object.get("rule") {
            Some(rule) => {
                rules += 1;
                format!(
                    "{} {} {} {rules:06}",
                    rule["family"], rule["table"], rule["chain"]
                )
            }
            None => String::new(),
        };
        objects.push((place, object.to_string()));
    }
    objects.sort();
    objects.into_iter().map(|(_, object)| object).collect()
}

fn normalise(value: &mut Value, counts: bool) {
    match value {
        Value::Object(map) => {
            map.remove("handle");
            map.remove("expires");
            if !counts {
                map.retain(|key, _| key != "packets" && key != "bytes");
            }
            // nft 1.0.6 lists flags of tables that are none.
            if let Some(table) = map.get_mut("table").and_then(Value::as_object_mut) {
                table.remove("flags");
            }
            map.values_mut().for_each(|value| normalise(value, counts));
            for key in ["set", "elem"] {
                if let Some(Value::Array(elements)) = map.get_mut(key) {
                    elements.sort_by_cached_key(Value::to_string);
                }
            }
            map.sort_keys();
        }
        Value::Array(items) => items.iter_mut().for_each(|value| normalise(value, counts)),
        _ => {}
    }
}

/// Why a listing cannot be written as text that loads, however it is printed.
fn incomplete(document: &Document) -> Option<&'static str> {
    document.objects.iter().find_map(|object| match object {
        Object::Rule(rule) => rule.expr.iter().flatten().find_map(|stmt| match stmt {
            Stmt::Xt(_) => Some("has xt, whose arguments are not listed"),
            Stmt::Text(text) if text.len() >= 1000 => Some("has an anonymous chain cut short"),
            Stmt::Text(text) if text.contains("[invalid type]") => {
                Some("has text that nft itself cannot read")
            }
            _ => None,
        }),
        Object::Chain(chain)
            if chain.hook.as_deref() == Some("ingress")
                || chain.hook.as_deref() == Some("egress") =>
        {
            chain
                .dev
                .is_none()
                .then_some("has a netdev chain without its device")
        }
        _ => None,
    })
}

/// Listings in which nft 1.0.6 says something wrong, so that the text cannot load.
const WRONG: &[(&str, &str)] = &[(
    "typeof_maps_concat_update_0.json",
    "lists one key type for a concatenation that only its text shows",
)];

/// Rules that nft 1.0.6 lists wrongly, so that its own text of them does not mean the same either.
const WRONG_RULES: &[(&str, &str)] = &[
    (
        "@ih,58,6 set 0 @ih,86,6 set 0 @ih,170,22 set 0",
        "the masks are listed inverted",
    ),
    (
        "meta nfproto ipv4 ct original saddr 1.2.3.4",
        "the family is not listed",
    ),
];

struct Case {
    listing: PathBuf,
    /// The same ruleset as nft's own text.
    text: PathBuf,
    /// What nft on this machine is expected to list.
    expected: PathBuf,
}

fn cases(shared: &Path) -> Vec<Case> {
    support::listings(shared)
        .into_iter()
        .map(|listing| {
            if listing.starts_with(shared.join("corpus")) {
                Case {
                    text: listing.with_file_name("ruleset.nft"),
                    expected: listing.with_file_name("ruleset.json"),
                    listing,
                }
            } else {
                Case {
                    text: listing.with_extension("nft"),
                    expected: listing.clone(),
                    listing,
                }
            }
        })
        .collect()
}

enum Outcome {
    Same,
    Skipped(String),
    Failed(String),
}

fn check(case: &Case, scratch: &Path) -> Outcome {
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let document = match json::read(&read(&case.listing)) {
        Ok((document, _)) => document,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let wrong = WRONG
        .iter()
        .find(|(name, _)| case.listing.ends_with(name))
        .map(|(_, reason)| *reason);
    if let Some(reason) = wrong.or_else(|| incomplete(&document)) {
        return Outcome::Skipped(reason.to_owned());
    }
    let text = print::document(&document);
    std::fs::write(scratch, &text).unwrap();
    let again = match load(scratch) {
        Ok(again) => again,
        Err(complaint) => {
            return match load(&case.text) {
                Ok(_) => Outcome::Failed(format!("does not load:\n{complaint}")),
                Err(_) => {
                    Outcome::Skipped("does not load here as nft's own text either".to_owned())
                }
            };
        }
    };
    let expected: Value = serde_json::from_str(&read(&case.expected)).unwrap();
    let counts = case.expected == case.listing;
    let (before, after) = (comparable(&expected, counts), comparable(&again, counts));
    if before == after {
        return Outcome::Same;
    }
    // A set of one element, for example, comes back as that element from nft's own text too.
    if load(&case.text).is_ok_and(|own| comparable(&own, counts) == after) {
        return Outcome::Same;
    }
    let missing: Vec<&String> = before
        .iter()
        .filter(|object| !after.contains(object))
        .take(4)
        .collect();
    let added: Vec<&String> = after
        .iter()
        .filter(|object| !before.contains(object))
        .take(4)
        .collect();
    Outcome::Failed(format!("differs\n  was   {missing:?}\n  is    {added:?}"))
}

#[test]
fn text_loads_again_as_the_same_ruleset() {
    const NAME: &str = "text_loads_again_as_the_same_ruleset";
    let Some(shared) = support::shared_or_skip(NAME) else {
        return;
    };
    if !support::kernel_or_skip(NAME) {
        return;
    }
    let cases = cases(&shared);
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (cases, next, outcomes) = (&cases, &next, &outcomes);
            scope.spawn(move || {
                let scratch = std::env::temp_dir()
                    .join(format!("nfpath-{}-{worker}.nft", std::process::id()));
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = check(case, &scratch);
                    outcomes
                        .lock()
                        .unwrap()
                        .push((case.listing.display().to_string(), outcome));
                }
                let _ = std::fs::remove_file(scratch);
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap();
    outcomes.sort_by(|(a, _), (b, _)| a.cmp(b));
    let (mut same, mut failed) = (0, Vec::new());
    for (name, outcome) in outcomes {
        match outcome {
            Outcome::Same => same += 1,
            Outcome::Skipped(reason) => eprintln!("left out {name}: {reason}"),
            Outcome::Failed(reason) => failed.push(format!("{name}: {reason}")),
        }
    }
    eprintln!("{same} of {} rulesets came back the same", cases.len());
    assert!(
        failed.is_empty(),
        "{} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

/// Rules of one group of samples: what they are and what nft lists for them.
fn samples(group: &Value) -> Vec<(String, Vec<Value>)> {
    let mut by_family: Vec<(String, Vec<Value>)> = Vec::new();
    for sample in group.as_array().into_iter().flatten() {
        let family = sample["family"].as_str().unwrap_or_default();
        // Rules about named sets and objects do not load without these.
        let expr = &sample["expr"];
        let refers = [
            "\"@",
            "\"ct helper\"",
            "\"ct timeout\"",
            "\"ct expectation\"",
            "\"jump\"",
            "\"goto\"",
        ];
        if WRONG_RULES.iter().any(|(rule, _)| sample["rule"] == *rule) {
            continue;
        }
        if refers.iter().any(|word| expr.to_string().contains(word)) {
            continue;
        }
        match by_family.iter_mut().find(|(of, _)| of == family) {
            Some((_, rules)) => rules.push(sample.clone()),
            None => by_family.push((family.to_owned(), vec![sample.clone()])),
        }
    }
    by_family
}

/// Loads rules into one chain, leaving out those that nft complains about; gives the lines listed again.
fn load_rules(family: &str, lines: &[String], scratch: &Path) -> Vec<Option<Value>> {
    let mut kept: Vec<usize> = (0..lines.len()).collect();
    while !kept.is_empty() {
        let mut text = format!("table {family} t {{ chain c {{\n");
        for index in &kept {
            text.push_str(&lines[*index]);
            text.push('\n');
        }
        text.push_str("}\n}\n");
        std::fs::write(scratch, text).unwrap();
        match load(scratch) {
            Ok(listing) => {
                let mut listed = vec![None; lines.len()];
                let rules = listing["nftables"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|object| object.get("rule"));
                for (index, rule) in kept.iter().zip(rules) {
                    let mut expr = rule["expr"].clone();
                    normalise(&mut expr, true);
                    listed[*index] = Some(expr);
                }
                return listed;
            }
            Err(complaint) => {
                let mut wrong: Vec<usize> = complaint
                    .lines()
                    .filter_map(|line| {
                        line.strip_prefix(scratch.to_str()?)?
                            .split(':')
                            .nth(1)?
                            .parse::<usize>()
                            .ok()
                    })
                    .filter_map(|line| line.checked_sub(2))
                    .filter(|line| *line < kept.len())
                    .collect();
                wrong.sort_unstable();
                wrong.dedup();
                assert!(!wrong.is_empty(), "{complaint}");
                for line in wrong.into_iter().rev() {
                    kept.remove(line);
                }
            }
        }
    }
    vec![None; lines.len()]
}

#[test]
fn rule_samples_load_again_as_the_same_rule() {
    const NAME: &str = "rule_samples_load_again_as_the_same_rule";
    let Some(shared) = support::shared_or_skip(NAME) else {
        return;
    };
    if !support::kernel_or_skip(NAME) {
        return;
    }
    let files = support::files_below(&shared.join("nft-corpus/local-nft-1.0.6/py"), ".json");
    let next = AtomicUsize::new(0);
    let results = Mutex::new((0, 0, Vec::new()));
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (files, next, results) = (&files, &next, &results);
            scope.spawn(move || {
                let scratch = std::env::temp_dir()
                    .join(format!("nfpath-rules-{}-{worker}.nft", std::process::id()));
                while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let groups: Value =
                        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
                    for (family, rules) in groups.as_object().unwrap().values().flat_map(samples) {
                        let printed: Vec<String> = rules.iter().map(printed).collect();
                        let own: Vec<String> = rules
                            .iter()
                            .map(|rule| rule["rule"].as_str().unwrap().to_owned())
                            .collect();
                        let ours = load_rules(&family, &printed, &scratch);
                        let theirs = load_rules(&family, &own, &scratch);
                        let mut results = results.lock().unwrap();
                        for (index, rule) in rules.iter().enumerate() {
                            let mut expected = rule["expr"].clone();
                            normalise(&mut expected, true);
                            match (&ours[index], &theirs[index]) {
                                (Some(listed), _) if *listed == expected => results.0 += 1,
                                (None, None) => results.1 += 1,
                                (ours, theirs) if ours == theirs => results.0 += 1,
                                (listed, _) => results.2.push(format!(
                                    "{family}: {}\n  printed {}\n  was {expected}\n  is  {}",
                                    own[index],
                                    printed[index],
                                    listed
                                        .as_ref()
                                        .map_or("not loaded".to_owned(), Value::to_string)
                                )),
                            }
                        }
                    }
                }
                let _ = std::fs::remove_file(scratch);
            });
        }
    });
    let (same, neither, failed) = results.into_inner().unwrap();
    eprintln!("{same} rules came back the same, {neither} do not load here in either text");
    assert!(
        failed.is_empty(),
        "{} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

fn printed(sample: &Value) -> String {
    let rule =
        serde_json::json!({ "family": "ip", "table": "t", "chain": "c", "expr": sample["expr"] });
    let text = serde_json::json!({ "nftables": [{ "rule": rule }] }).to_string();
    match json::read(&text).unwrap().0.objects.as_slice() {
        [Object::Rule(rule)] => print::rule_with(
            rule,
            print::Style {
                state: true,
                comment: true,
            },
        ),
        other => panic!("{other:?}"),
    }
}
