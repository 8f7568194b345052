//! The real `nft`, run where nothing can be changed by it: a network namespace that ends with the command.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::load::nft_words::Refused;

/// A ruleset as nft lists it, both ways.
#[derive(Debug)]
pub struct Converted {
    pub json: String,
    pub text: String,
}

/// Turns nft syntax into a listing by loading it in a throw-away network namespace.
///
/// Interfaces that the text may name are there, of a kind that the kernel has, because nft looks up those of `iif` and `oif`.
/// The error is one line, lower case, no final period.
pub fn convert(text: &str) -> Result<Converted, Refused> {
    // the namespace is made for this command and gone with it; the running ruleset is not touched
    let script = format!(
        "for d in {}; do ip link add \"$d\" type dummy || ip link add \"$d\" type bridge || ip link add \"$d\" type veth; done \
         >/dev/null 2>&1; \
         nft -f - && nft -j list ruleset && printf '\\n\\0' && exec nft list ruleset",
        interfaces(text).join(" ")
    );
    let asked = ["unshare", "unshare --map-root-user"];
    let mut last = Refused::from(String::new());
    for unshare in asked {
        let mut words = unshare.split(' ');
        let program = words.next().unwrap_or("unshare");
        let mut command = Command::new(program);
        command
            .args(words)
            .args(["--net", "--", "sh", "-c", &script]);
        match run(&mut command, text) {
            Ok(listed) => {
                let (json, text) = listed.split_once('\0').unwrap_or((&listed, ""));
                return Ok(Converted {
                    json: json.trim_end().into(),
                    text: text.into(),
                });
            }
            Err(error) => last = error,
        }
        if !last.message.contains("unshare:") {
            break;
        }
    }
    Err(last)
}

/// The most dummies that are made.
const MOST: usize = 256;

/// Words of the text that follow `iif`, `oif`, `device`, `fwd to` or `dup to` and can be names of interfaces.
fn interfaces(text: &str) -> Vec<String> {
    const VERDICTS: [&str; 6] = ["accept", "drop", "continue", "return", "queue", "vmap"];
    let mut found: Vec<String> = Vec::new();
    // braces that are open since the word that names follow
    let mut depth = 0usize;
    let mut listens = false;
    let mut before = "";
    for word in words(text) {
        let to = word == "to" && matches!(before, "fwd" | "dup");
        let target = matches!(before, "jump" | "goto");
        before = word;
        match word {
            "{" if listens => depth += 1,
            "}" if depth > 0 => {
                depth -= 1;
                listens = depth > 0;
            }
            "\n" | ";" if depth == 0 => listens = false,
            "iif" | "oif" | "device" | "devices" => listens = true,
            _ if to => listens = true,
            word if listens && !target => {
                let name = word.trim_matches('"');
                let plain =
                    |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
                let fits = (1..16).contains(&name.len())
                    && name.chars().all(plain)
                    && !name.starts_with(['.', '-'])
                    && !VERDICTS.contains(&name)
                    && !matches!(name, "jump" | "goto");
                if fits && name != "lo" && !found.iter().any(|n| n == name) && found.len() < MOST {
                    found.push(name.into());
                }
                // outside of braces one name follows, perhaps behind an operator
                if depth == 0 && fits {
                    listens = false;
                }
            }
            _ => {}
        }
    }
    found
}

/// Words, braces, and ends of statements.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| matches!(c, '{' | '}' | ';' | '\n');
    let apart = |c: char| c == ' ' || c == '\t' || c == '\r' || matches!(c, ',' | '=' | '!' | ':');
    text.split_inclusive(ends)
        .flat_map(move |part| {
            let cut = part.len()
                - part
                    .chars()
                    .next_back()
                    .filter(|c| ends(*c))
                    .map_or(0, char::len_utf8);
            let (inside, end) = part.split_at(cut);
            inside.split(apart).chain([end])
        })
        .filter(|word| !word.is_empty())
}

fn run(command: &mut Command, input: &str) -> Result<String, Refused> {
    let advice = "give the output of `nft -j list ruleset` instead";
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            format!("nft syntax needs `unshare` and `nft` to be read: {error}; {advice}")
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        // nft may stop reading at the first mistake; its message says more than the broken pipe
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child
        .wait_with_output()
        .map_err(|error| format!("nft: {error}"))?;
    if output.status.success() {
        return String::from_utf8(output.stdout)
            .map_err(|_| "nft printed what is no text".to_string().into());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let line = stderr
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("it failed without a word");
    if line.contains("not found") {
        return Err(format!(
            "nft syntax is read by nft itself, which is not installed here; {advice}"
        )
        .into());
    }
    if line.starts_with("unshare:") {
        return Err(format!(
            "nft syntax is read by nft in a network namespace of its own ({line}); run as root, or {advice}"
        )
        .into());
    }
    Err(Refused {
        message: format!("nft does not load this: {}", worded(line)),
        lines: stderr.lines().filter_map(row).collect(),
    })
}

/// The line of the text that a message of nft is about.
fn row(message: &str) -> Option<usize> {
    let place = message.strip_prefix("/dev/stdin:")?;
    place.split(':').next()?.parse().ok()
}

/// `/dev/stdin:3:5-9: Error: syntax error` as `line 3: syntax error`.
fn worded(line: &str) -> String {
    let place = line
        .strip_prefix("/dev/stdin:")
        .and_then(|rest| rest.split_once(": Error: "));
    match place {
        Some((place, error)) => {
            let row = place.split(':').next().unwrap_or(place);
            let missing = "Could not process rule: No such file or directory";
            let hint = match error.trim_end() == missing {
                true => {
                    ": this kernel lacks what the line asks for, or it names a set or object that is not there"
                }
                false => "",
            };
            format!("line {row}: {error}{hint}")
        }
        None => line.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::interfaces;

    #[test]
    fn names_behind_iif_are_found_and_nothing_that_a_shell_reads() {
        let text = "iif { eth0, \"wan.5\" } accept\noif != br-lan drop; iif \"$(reboot)\" drop; device \"x y\"";
        assert_eq!(interfaces(text), ["eth0", "wan.5", "br-lan", "x"]);
        let maps = "oif vmap { eth1 : accept, eth2 : jump eth9 }\niif . oif { a0 . a1,\n a2 . a3 } counter\nfwd to \"f0\"\ndevices = { d0, d1 }; policy drop;";
        assert_eq!(
            interfaces(maps),
            ["eth1", "eth2", "a0", "a1", "a2", "a3", "f0", "d0", "d1"]
        );
    }
}
