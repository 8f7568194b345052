//! Hosts whose listings stand in files of their own, named by the commands that made them.

use std::fs;
use std::path::Path;

use nfpath::diagnostic::Diagnostic;
use nfpath::host::Host;
use nfpath::load::bundle::{HostPart, assemble};

const PARTS: [(&str, HostPart); 10] = [
    ("addr.json", HostPart::Addresses),
    ("link.json", HostPart::Links),
    ("route.json", HostPart::Routes),
    ("route6.json", HostPart::Routes),
    ("rule.json", HostPart::Rules),
    ("rule6.json", HostPart::Rules),
    ("neigh.json", HostPart::Neighbours),
    ("bridge-link.json", HostPart::BridgeLinks),
    ("bridge-fdb.json", HostPart::BridgeFdb),
    ("sysctl.txt", HostPart::Sysctls),
];

/// The host of a folder's listings, as many as there are, and what was remarked on them.
pub fn host_of(folder: &Path) -> (Host, Vec<Diagnostic>) {
    let texts: Vec<(HostPart, &str, String)> = PARTS
        .into_iter()
        .filter_map(|(name, part)| Some((part, name, fs::read_to_string(folder.join(name)).ok()?)))
        .collect();
    let inputs: Vec<(HostPart, &str, &str)> = texts
        .iter()
        .map(|(part, name, text)| (*part, *name, text.as_str()))
        .collect();
    assemble(&inputs)
}
