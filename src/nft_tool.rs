//! The real `nft`, run where nothing can be changed by it: a network namespace that ends with the command.

use std::io::Write;
use std::process::{Command, Stdio};

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
pub fn convert(text: &str) -> Result<Converted, String> {
    // the namespace is made for this command and gone with it; the running ruleset is not touched
    let script = format!(
        "for d in {}; do ip link add \"$d\" type dummy || ip link add \"$d\" type bridge || ip link add \"$d\" type veth; done \
         >/dev/null 2>&1; \
         nft -f - && nft -j list ruleset && printf '\\n\\0' && exec nft list ruleset",
        interfaces(text).join(" ")
    );
    let asked = ["unshare", "unshare --map-root-user"];
    let mut last = String::new();
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
        if !last.contains("unshare:") {
            break;
        }
    }
    Err(last)
}

/// The most dummies that are made.
const MOST: usize = 256;

/// Words of the text that follow `iif`, `oif`, `device`, `fwd to` or `dup to` and can be names of interfaces.
fn interfaces(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut listens = false;
    let mut before = "";
    let separators = |c: char| c.is_whitespace() || matches!(c, '{' | '}' | ',' | ';' | '=' | '!');
    for word in text.split(separators).filter(|word| !word.is_empty()) {
        let name = word.trim_matches('"');
        let to = word == "to" && matches!(before, "fwd" | "dup");
        before = word;
        if to || matches!(word, "iif" | "oif" | "device" | "devices") {
            listens = true;
            continue;
        }
        let plain = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@'));
        let fits = plain && (1..16).contains(&name.len()) && !name.starts_with(['.', '-']);
        // a list of names goes on as long as names follow
        listens =
            listens && fits && !matches!(word, "priority" | "accept" | "drop" | "jump" | "goto");
        if listens && name != "lo" && !found.iter().any(|n| n == name) && found.len() < MOST {
            found.push(name.into());
        }
    }
    found
}

fn run(command: &mut Command, input: &str) -> Result<String, String> {
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
            .map_err(|_| "nft printed what is no text".to_string());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let line = stderr
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("it failed without a word");
    if line.contains("not found") {
        return Err(format!(
            "nft syntax is read by nft itself, which is not installed here; {advice}"
        ));
    }
    if line.starts_with("unshare:") {
        return Err(format!(
            "nft syntax is read by nft in a network namespace of its own ({line}); run as root, or {advice}"
        ));
    }
    Err(format!("nft does not load this: {}", worded(line)))
}

/// `/dev/stdin:3:5-9: Error: syntax error` as `line 3: syntax error`.
fn worded(line: &str) -> String {
    let place = line
        .strip_prefix("/dev/stdin:")
        .and_then(|rest| rest.split_once(": Error: "));
    match place {
        Some((place, error)) => {
            let row = place.split(':').next().unwrap_or(place);
            format!("line {row}: {error}")
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
        assert_eq!(interfaces(text), ["eth0", "wan.5", "br-lan", "x", "y"]);
    }
}
