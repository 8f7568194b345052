//! The real `nft`, run where nothing can be changed by it: a network namespace that ends with the command.

use std::io::Write;
use std::process::{Command, Stdio};

/// Turns nft syntax into the JSON of a listing by loading it in a throw-away network namespace.
///
/// The error is one line, lower case, no final period.
pub fn convert(text: &str) -> Result<String, String> {
    // the namespace is made for this command and gone with it; the running ruleset is not touched
    let script = "nft -f - && exec nft -j list ruleset";
    let asked = ["unshare", "unshare --map-root-user"];
    let mut last = String::new();
    for unshare in asked {
        let mut words = unshare.split(' ');
        let program = words.next().unwrap_or("unshare");
        let mut command = Command::new(program);
        command
            .args(words)
            .args(["--net", "--", "sh", "-c", script]);
        match run(&mut command, text) {
            Ok(json) => return Ok(json),
            Err(error) => last = error,
        }
        if !last.contains("unshare:") {
            break;
        }
    }
    Err(last)
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
