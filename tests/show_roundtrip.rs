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
    let script = "for d in d0 d1 eth0 eth1; do ip link add $d type dummy 2>/dev/null; done; \
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
    if let Some(reason) = incomplete(&document) {
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
