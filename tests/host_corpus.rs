//! Host listings captured from real software load without a word.
//!
//! The captures are beside the project, in `../shared/corpus` or below `NFPATH_SHARED`; without them the test says aloud that it skips.

#[path = "support/captured.rs"]
mod captured;

use std::path::{Path, PathBuf};

use nfpath::host::{IpFamily, LinkKind, RouteAnswer, RouteQuery, RouteType};

fn corpus() -> Option<PathBuf> {
    let shared = std::env::var_os("NFPATH_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let corpus = shared.join("corpus");
    if corpus.is_dir() {
        return Some(corpus);
    }
    eprintln!(
        "SKIPPED: no captures in {}; NFPATH_SHARED names another place",
        corpus.display()
    );
    None
}

#[test]
fn every_captured_host_loads_without_a_diagnostic() {
    let Some(corpus) = corpus() else { return };
    let mut hosts = 0;
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&corpus)
        .expect("the corpus can be listed")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("addr.json").is_file())
        .collect();
    folders.sort();
    for folder in folders {
        let (host, diagnostics) = captured::host_of(&folder);
        let name = folder.display();
        assert_eq!(diagnostics, [], "{name}");
        let complete = host.complete;
        assert!(
            complete.links && complete.addresses && complete.routes4 && complete.routes6,
            "{name}: {complete:?}"
        );
        assert!(
            complete.rules4 && complete.rules6 && complete.sysctls,
            "{name}: {complete:?}"
        );
        for address in host.addresses.iter().filter(|address| !address.tentative) {
            match host.route(&RouteQuery::to(address.ip)) {
                RouteAnswer::Found(found) => {
                    assert_eq!(found.kind, RouteType::Local, "{name}: {address:?}")
                }
                other => panic!("{name}: {address:?}: {other:?}"),
            }
        }
        for link in host.links.iter().filter(|link| link.master.is_some()) {
            assert!(host.bridge_of(&link.name).is_some(), "{name}: {link:?}");
        }
        assert!(
            host.links
                .iter()
                .any(|link| link.kind == LinkKind::Loopback),
            "{name}"
        );
        assert!(
            host.ip_forward(IpFamily::V4, Some("lo")).is_some(),
            "{name}"
        );
        hosts += 1;
    }
    println!("{hosts} captured hosts loaded");
    assert!(hosts > 0);
}
