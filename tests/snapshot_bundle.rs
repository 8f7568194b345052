//! The snapshots that are shipped hold what the captured files of the same hosts hold.

mod support;

use std::fs;
use std::io;
use std::path::PathBuf;

use nfpath::capture::{Ran, Run, snapshot};
use support::testdata;

/// A host whose commands print files.
struct Captured {
    folder: PathBuf,
}

impl Captured {
    fn file(command: &str) -> Option<&'static str> {
        Some(match command {
            "nft -j list ruleset" => "ruleset.json",
            "nft -a list ruleset" => "ruleset-handles.nft",
            "ip -j -d addr" => "host/addr.json",
            "ip -j -d link" => "host/link.json",
            "ip -j -4 -d route show table all" => "host/route.json",
            "ip -j -6 -d route show table all" => "host/route6.json",
            "ip -j -4 rule" => "host/rule.json",
            "ip -j -6 rule" => "host/rule6.json",
            "ip -j neigh" => "host/neigh.json",
            "bridge -j -d link" => "host/bridge-link.json",
            "bridge -j fdb" => "host/bridge-fdb.json",
            "iptables-nft-save -c" => "iptables-save.txt",
            "ip6tables-nft-save -c" => "ip6tables-save.txt",
            "sysctl -a -e" => "host/sysctl.txt",
            _ => return None,
        })
    }
}

impl Run for Captured {
    fn run(&self, program: &str, args: &[&str]) -> io::Result<Ran> {
        let command = format!("{program} {}", args.join(" "));
        let stdout = match (Self::file(&command), command.as_str()) {
            (Some(file), _) => fs::read_to_string(self.folder.join(file))?,
            (None, "uname -n") => "host".to_owned(),
            (None, "uname -r") => "6.18".to_owned(),
            (None, "nft --version") => "nftables v1.0.6 (Lester Gooch #5)".to_owned(),
            (None, "ip -V") => "ip utility, iproute2-6.1.0".to_owned(),
            (None, "iptables -V") => "iptables v1.8.9 (nf_tables)".to_owned(),
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Ran {
            success: true,
            stdout,
            stderr: String::new(),
        })
    }

    fn read(&self, _: &str) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn list(&self, _: &str) -> io::Result<Vec<String>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn now(&self) -> String {
        "2026-11-21T00:00:00Z".to_owned()
    }
}

/// Folders of testdata that have a snapshot.
const HOSTS: [&str; 11] = [
    "c1-captured",
    "c2/appended",
    "c2/inserted",
    "c4/with-drop",
    "c4/without-drop",
    "c5/tried",
    "c5/works",
    "ufw",
    "libvirt",
    "podman",
    "fail2ban",
];

#[test]
fn the_shipped_snapshots_are_made_of_the_captured_files() {
    for host in HOSTS {
        let folder = testdata(host);
        let file = folder.join("snapshot.json");
        let bundle = snapshot(&Captured { folder });
        if std::env::var_os("UPDATE_SNAPSHOT").is_some() {
            fs::write(&file, &bundle).expect("written");
        }
        let shipped = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            shipped == bundle,
            "testdata/{host}/snapshot.json differs from the files beside it; UPDATE_SNAPSHOT=1 writes it again"
        );
    }
}
