//! A report of sos(8), as a directory or an archive, written as a snapshot bundle.
//!
//! Files are named as the plugins firewall_tables, networking and kernel of sos 3 and 4 name the output of their commands. What stands in
//! them is read by `load::bundle` as in any snapshot; text of `ip` and `nft` is understood there.
//! A report comes from strangers: nothing is written to disk, names are only compared, links are not followed out of the
//! directory, and there are limits for a file, for an archive and for how far it is unpacked.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::load::bundle::{SCHEMA, SCHEMA_VERSION};

use super::{WireBundle, WirePart, WireTool, as_json, is_secret};

/// The largest listing that is read of a report, in bytes.
const LARGEST_FILE: u64 = 256 << 20;
/// How far an archive is unpacked, in bytes: reports of large hosts have some gigabytes.
const LARGEST_ARCHIVE: u64 = 16 << 30;

/// What a part of a snapshot is in a report: the files that may have it, the best first, and whether its want is worth a word.
struct Place {
    part: &'static str,
    files: &'static [&'static str],
    is_wanted: bool,
}

const PLACES: [Place; 14] = [
    optional("ruleset", &["firewall_tables/nft_-j_list_ruleset"]),
    wanted(
        "ruleset-text",
        &[
            "firewall_tables/nft_-a_list_ruleset",
            "firewall_tables/nft_list_ruleset",
            "firewalld/nft_list_ruleset",
        ],
    ),
    wanted(
        "addresses",
        &[
            "networking/ip_-j_-d_address",
            "networking/ip_-d_address",
            "networking/ip_address",
        ],
    ),
    optional(
        "links",
        &["networking/ip_-s_-d_link", "networking/ip_-d_link"],
    ),
    wanted("routes", &["networking/ip_route_show_table_all"]),
    optional("routes6", &["networking/ip_-6_route_show_table_all"]),
    wanted(
        "rules",
        &["networking/ip_-4_rule_list", "networking/ip_rule_list"],
    ),
    optional("rules6", &["networking/ip_-6_rule_list"]),
    optional(
        "neighbours",
        &["networking/ip_-s_-s_neigh_show", "networking/ip_neigh_show"],
    ),
    optional(
        "bridge-links",
        &[
            "networking/bridge_-s_-s_-d_link_show",
            "networking/bridge_-d_link_show",
        ],
    ),
    optional(
        "bridge-fdb",
        &[
            "networking/bridge_-s_-s_-d_-t_fdb_show",
            "networking/bridge_fdb_show",
        ],
    ),
    optional(
        "iptables-save",
        &["firewall_tables/iptables-save", "networking/iptables-save"],
    ),
    optional(
        "ip6tables-save",
        &[
            "firewall_tables/ip6tables-save",
            "networking/ip6tables-save",
        ],
    ),
    wanted("sysctls", &["kernel/sysctl_-a"]),
];

const HOSTNAME: &str = "host/hostname";
const UNAME: &str = "kernel/uname_-a";

const fn wanted(part: &'static str, files: &'static [&'static str]) -> Place {
    Place {
        part,
        files,
        is_wanted: true,
    }
}

const fn optional(part: &'static str, files: &'static [&'static str]) -> Place {
    Place {
        part,
        files,
        is_wanted: false,
    }
}

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archive {
    Plain,
    Gzip,
    Xz,
}

/// Tells an archive by its first bytes, at least 512 of them if the file has as many.
pub fn is_archive(start: &[u8]) -> Option<Archive> {
    if start.starts_with(&[0x1f, 0x8b]) {
        Some(Archive::Gzip)
    } else if start.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        Some(Archive::Xz)
    } else if start.get(257..262) == Some(b"ustar") {
        Some(Archive::Plain)
    } else {
        None
    }
}

/// Reads a report that is a directory. The error is one line.
pub fn of_directory(root: &Path) -> Result<String, String> {
    let root = root.canonicalize().map_err(|error| error.to_string())?;
    let mut files = HashMap::new();
    for name in names() {
        let path = root.join("sos_commands").join(name);
        // a link may lead anywhere
        let Some(path) = path
            .canonicalize()
            .ok()
            .filter(|path| path.starts_with(&root) && path.is_file())
        else {
            continue;
        };
        let file = File::open(&path).map_err(|error| format!("{name}: {error}"));
        files.insert(name, file.and_then(|file| text_of(name, file)));
    }
    bundle(files)
}

/// Reads a report that is an archive. The error is one line.
pub fn of_archive(file: File, kind: Archive) -> Result<String, String> {
    let program = match kind {
        Archive::Plain => return entries(file).and_then(bundle),
        Archive::Gzip => "gzip",
        Archive::Xz => "xz",
    };
    let mut child = Unpacking(
        Command::new(program)
            .args(["-d", "-c"])
            .stdin(file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("it is unpacked by `{program}`: {error}"))?,
    );
    let unpacked = child.0.stdout.take().ok_or("it cannot be unpacked")?;
    let mut found = entries(unpacked)?;
    // it fails when nobody reads the rest, too; then all parts were found
    let whole = child.0.wait().is_ok_and(|status| status.success());
    if !whole {
        missing(&mut found, "the archive is damaged or cut off");
    }
    bundle(found)
}

/// Says of each file that was not found why that may be.
fn missing(found: &mut Found, why: &str) {
    if !found.is_empty() {
        for name in names() {
            found
                .entry(name)
                .or_insert_with(|| Err(format!("not found; {why}")));
        }
    }
}

/// A program that unpacks, and ends when nobody reads any more.
struct Unpacking(Child);

impl Drop for Unpacking {
    fn drop(&mut self) {
        // it may have ended already
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    let files = PLACES.iter().flat_map(|place| place.files.iter().copied());
    files.chain([HOSTNAME, UNAME])
}

/// What was found, by name below `sos_commands`: its text, or why it cannot be used.
type Found = HashMap<&'static str, Result<String, String>>;

fn entries(archive: impl Read) -> Result<Found, String> {
    let mut archive = tar::Archive::new(archive.take(LARGEST_ARCHIVE));
    let cut = |error: io::Error| format!("the archive cannot be read to its end: {error}");
    let mut found = Found::new();
    for entry in archive.entries().map_err(cut)? {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if found.is_empty() => return Err(cut(error)),
            // what came before the damage is of use
            Err(error) => {
                missing(&mut found, &cut(error));
                break;
            }
        };
        let path = entry.path_bytes().into_owned();
        let path = String::from_utf8_lossy(&path).into_owned();
        let below = path
            .strip_prefix("sos_commands/")
            .or_else(|| path.split_once("/sos_commands/").map(|(_, below)| below));
        let name = names().find(|name| below == Some(name));
        if let Some(name) = name
            && entry.header().entry_type().is_file()
        {
            let size = entry.size();
            let text = text_of(name, entry).and_then(|text| match text.len() as u64 == size {
                true => Ok(text),
                false => Err(format!("sos_commands/{name}: the archive ends within it")),
            });
            found.insert(name, text);
        }
    }
    Ok(found)
}

fn text_of(name: &str, file: impl Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("sos_commands/{name}: {error}"))?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(format!("sos_commands/{name} is larger than 256 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| format!("sos_commands/{name} is not text"))
}

fn bundle(mut found: Found) -> Result<String, String> {
    if found.is_empty() {
        return Err(
            "no report of sos: none of the files that are read of one is in it (sos_commands/networking/…, sos_commands/firewall_tables/…)".into(),
        );
    }
    let mut line = |name: &str| {
        let text = found.remove(name)?.ok()?;
        text.lines().next().map(|line| line.trim().to_string())
    };
    let hostname = line(HOSTNAME);
    let kernel = line(UNAME)
        .as_deref()
        .and_then(|line| line.split_whitespace().nth(2))
        .map(str::to_string);
    let mut parts = BTreeMap::new();
    for place in &PLACES {
        let file = place
            .files
            .iter()
            .find_map(|file| Some((*file, found.remove(file)?)));
        let read = |file: &str| vec!["read".to_owned(), format!("sos_commands/{file}")];
        let part = match file {
            Some((file, Ok(text))) => present(place.part, read(file), text),
            Some((file, Err(why))) if place.is_wanted || !why.starts_with("not found") => {
                WirePart::without(read(file), "failed", why)
            }
            Some((file, Err(why))) => WirePart::without(read(file), "absent", why),
            None => {
                let command = read(place.files.first().copied().unwrap_or_default());
                let status = if place.is_wanted { "failed" } else { "absent" };
                let why = format!("the report has no {}", place.files.join(", no "));
                WirePart::without(command, status, why)
            }
        };
        parts.insert(place.part, part);
    }
    let bundle = WireBundle {
        schema: format!("{SCHEMA}/{SCHEMA_VERSION}"),
        taken: None,
        hostname,
        kernel,
        tool: WireTool {
            nfpath: env!("CARGO_PKG_VERSION"),
        },
        parts,
    };
    serde_json::to_string(&bundle).map_err(|error| error.to_string())
}

fn present(part: &str, command: Vec<String>, text: String) -> WirePart {
    let plain = WirePart {
        command,
        version: None,
        status: "ok",
        error: None,
        json: None,
        text: None,
    };
    match part {
        "ruleset" => match as_json(text) {
            Ok(json) => WirePart {
                json: Some(json),
                ..plain
            },
            Err(why) => WirePart {
                status: "failed",
                error: Some(why),
                ..plain
            },
        },
        "sysctls" => {
            let kept = text
                .lines()
                .filter(|line| line.starts_with("net.") && !is_secret(line))
                .flat_map(|line| [line, "\n"])
                .collect();
            WirePart {
                text: Some(kept),
                ..plain
            }
        }
        _ => WirePart {
            text: Some(text),
            ..plain
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_told_by_their_first_bytes() {
        assert_eq!(is_archive(&[0x1f, 0x8b, 8]), Some(Archive::Gzip));
        assert_eq!(is_archive(b"\xfd7zXZ\0..."), Some(Archive::Xz));
        assert_eq!(is_archive(b"{\"nftables\": []}"), None);
        assert_eq!(is_archive(b""), None);
    }
}
