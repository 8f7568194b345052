//! What the integration tests share: where captured rulesets are, and whether the kernel may be used.

#![allow(dead_code)]

#[path = "captured.rs"]
pub mod host_listings;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nfpath::host::Host;
use nfpath::load::{Loaded, SaveText, TextOf, load, load_with_text};

/// The folder of captured rulesets beside the project, if it is there (`NFPATH_SHARED`, else `../shared`).
pub fn shared_dir() -> Option<PathBuf> {
    let dir = match std::env::var_os("NFPATH_SHARED") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
    };
    dir.is_dir().then_some(dir)
}

/// The folder of captured rulesets; says aloud that `test` is skipped when there is none.
pub fn shared_or_skip(test: &str) -> Option<PathBuf> {
    let dir = shared_dir();
    if dir.is_none() {
        eprintln!("SKIPPED {test}: no folder of captured rulesets (set NFPATH_SHARED)");
    }
    dir
}

/// A file or folder of the project's own test data.
pub fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(path)
}

/// Every file below `dir` whose name ends in `suffix`, sorted.
pub fn files_below(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(suffix) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Every listing of the captured rulesets: real captures in two nft versions, and nft's own test suite.
pub fn listings(shared: &Path) -> Vec<PathBuf> {
    let mut found = files_below(&shared.join("corpus"), "ruleset.json");
    found.extend(files_below(
        &shared.join("corpus"),
        "ruleset.nft-1.1.3.json",
    ));
    found.extend(files_below(
        &shared.join("nft-corpus/local-nft-1.0.6/dumps"),
        ".json",
    ));
    found.sort();
    found
}

/// The program itself, in the project's folder, without an environment.
pub fn nfpath(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nfpath"))
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .output()
        .expect("nfpath runs")
}

/// Whether rulesets can be loaded into fresh network namespaces: root, nft and unshare are there.
///
/// Says aloud that `test` is skipped otherwise, and panics when `NFPATH_KERNEL=require`.
pub fn kernel_or_skip(test: &str) -> bool {
    let ready = Command::new("unshare")
        .args(["-n", "nft", "list", "ruleset"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !ready {
        let missing = "needs root, nft and unshare (util-linux)";
        if std::env::var_os("NFPATH_KERNEL").is_some_and(|value| value == "require") {
            panic!("{test} {missing}, and NFPATH_KERNEL=require");
        }
        eprintln!("SKIPPED {test}: {missing}");
    }
    ready
}

/// A captured host: its ruleset, and what is known of it.
pub fn captured(folder: &Path) -> Option<(Loaded, Host)> {
    let host = host_listings::host_of(folder).0;
    let saves: Vec<SaveText> = [
        ("iptables-save.txt", nfpath::iptables::Family::Ip),
        ("ip6tables-save.txt", nfpath::iptables::Family::Ip6),
    ]
    .into_iter()
    .filter_map(|(name, family)| {
        Some(SaveText {
            source: name.into(),
            text: fs::read_to_string(folder.join(name)).ok()?,
            of: TextOf::Iptables(family),
        })
    })
    .collect();
    let json = fs::read_to_string(folder.join("ruleset.json")).ok()?;
    let loaded = match fs::read_to_string(folder.join("ruleset.nft")) {
        Ok(text) => load_with_text("ruleset", &json, text, &saves),
        Err(_) => load("ruleset", &json, &saves),
    };
    let loaded = loaded.ok()?;
    Some((loaded, host))
}
