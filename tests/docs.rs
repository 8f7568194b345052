//! What README.md and docs/ show is what the program prints, and what they link to is there.
//!
//! Every line `$ nfpath …` of a `console` block is run by `sh` in the package root with a scrubbed environment; what
//! follows it, up to the next `$` or the end of the block, has to be its standard output. A line `...` stands for any
//! lines. `UPDATE_DOCS=1 cargo test --test docs` writes what the program prints now into the blocks. Commands that need
//! root or programs from elsewhere stand in `sh` blocks, which are not run.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ANY_LINES: &str = "...";

#[test]
fn console_blocks_show_what_the_program_prints() {
    let update = std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1");
    let mut wrong = String::new();
    let mut commands = 0;
    for page in pages() {
        let text = read(&page);
        let mut renewed: Vec<String> = Vec::new();
        for piece in pieces(&text) {
            let (line, command, output) = match piece {
                Piece::Line(text) => {
                    renewed.push(text);
                    continue;
                }
                Piece::Shown {
                    line,
                    command,
                    output,
                } => (line, command, output),
            };
            commands += 1;
            let place = format!("{}:{line}", shown(&page));
            match run(&command) {
                Err(cause) => writeln!(wrong, "{place}: {cause}\n").expect("a string takes it"),
                Ok(printed) if same(&printed, &output) => {}
                Ok(printed) if update => {
                    renewed.push(match printed.as_slice() {
                        [] => EMPTY.to_string(),
                        lines => lines.join("\n"),
                    });
                    continue;
                }
                Ok(printed) => {
                    let difference = difference(&printed, &output);
                    writeln!(wrong, "{place}: `{}`\n{difference}", command.trim())
                        .expect("a string takes it");
                }
            }
            renewed.push(output);
        }
        if update {
            let mut whole = renewed
                .into_iter()
                .filter(|piece| piece != EMPTY)
                .collect::<Vec<_>>()
                .join("\n");
            whole.push('\n');
            if whole != text {
                fs::write(&page, whole).expect("the page can be written");
            }
        }
    }
    assert!(commands > 0, "no console block was found");
    assert!(
        wrong.is_empty(),
        "the documentation shows something else than the program prints\n\n{wrong}\
         `UPDATE_DOCS=1 cargo test --test docs` writes what it prints now"
    );
}

#[test]
fn relative_links_point_to_files() {
    let mut wrong = Vec::new();
    for page in pages() {
        let text = read(&page);
        let folder = page.parent().expect("a page stands in a folder");
        for (line, target) in links(&text) {
            let file = target.split('#').next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            if elsewhere {
                continue;
            }
            let (pointed, content) = if file.is_empty() {
                (page.clone(), text.clone())
            } else {
                let pointed = folder.join(file);
                let content = fs::read_to_string(&pointed).unwrap_or_default();
                (pointed, content)
            };
            if !pointed.exists() {
                wrong.push(format!("{}:{line}: no file for `{target}`", shown(&page)));
            } else if let Some((_, anchor)) = target.split_once('#')
                && !anchors(&content).iter().any(|known| known == anchor)
            {
                wrong.push(format!(
                    "{}:{line}: no heading for `{target}`",
                    shown(&page)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every outcome of the program has its section.
#[test]
fn every_disposition_has_a_section() {
    let build = read(&root().join("src/report/build.rs"));
    let outcomes = read(&root().join("docs/outcomes.md"));
    let names = build
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("Disposition::") || line.starts_with("HostDrop::"))
        .filter_map(|line| line.split("=> \"").nth(1)?.split('"').next())
        .filter(|name| !name.contains(' '));
    let names: Vec<&str> = names.collect();
    for name in &names {
        let known = nfpath::report::build::DISPOSITIONS.contains(name);
        assert!(known, "{name} is not among the dispositions");
    }
    for name in nfpath::report::build::DISPOSITIONS {
        assert!(names.contains(&name), "no path ends as {name}");
    }
    let missing: Vec<&str> = names
        .into_iter()
        .filter(|name| !outcomes.contains(&format!("\n### `{name}`\n")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/outcomes.md has no section for {}",
        missing.join(", ")
    );
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// README.md, CHANGELOG.md and everything below docs/.
fn pages() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", shown(path)))
}

fn shown(path: &Path) -> String {
    let short = path.strip_prefix(root()).unwrap_or(path);
    short.display().to_string()
}

/// Stands for no output at all, where a line would be a blank one.
const EMPTY: &str = "\0";

enum Piece {
    /// A line outside of console blocks, a fence, or a command.
    Line(String),
    /// What a command is said to print, and where the command stands.
    Shown {
        line: usize,
        command: String,
        output: String,
    },
}

/// A page cut at the commands of its console blocks. Joined by line ends the pieces are the page again.
fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    let mut fence: Option<&str> = None;
    while let Some((at, line)) = lines.next() {
        pieces.push(Piece::Line(line.to_string()));
        match fence {
            None if line.starts_with("```") => fence = Some(line.trim_start_matches('`')),
            Some(_) if line == "```" => fence = None,
            Some("console") if line.starts_with("$ ") => {
                let mut command = line[2..].to_string();
                while command.ends_with('\\') {
                    let Some((_, more)) = lines.next() else { break };
                    pieces.push(Piece::Line(more.to_string()));
                    command.push('\n');
                    command.push_str(more);
                }
                let mut output = Vec::new();
                while let Some((_, line)) =
                    lines.next_if(|(_, line)| *line != "```" && !line.starts_with("$ "))
                {
                    output.push(line);
                }
                let output = if output.is_empty() {
                    EMPTY.to_string()
                } else {
                    output.join("\n")
                };
                pieces.push(Piece::Shown {
                    line: at + 1,
                    command,
                    output,
                });
            }
            None | Some(_) => {}
        }
    }
    pieces
}

/// Standard output of a command, as lines.
fn run(command: &str) -> Result<Vec<String>, String> {
    let command = ["cargo run --release -- ", "cargo run -- "]
        .iter()
        .find_map(|cargo| Some(format!("nfpath {}", command.strip_prefix(cargo)?)))
        .unwrap_or_else(|| command.to_string());
    let program = command
        .split_whitespace()
        .find(|word| !word.contains('='))
        .unwrap_or_default();
    if program != "nfpath" {
        return Err(format!(
            "`{command}` does not run nfpath; a block that is not to be run is a `sh` block"
        ));
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_nfpath"));
    let folder = binary.parent().expect("a program stands in a folder");
    let path = match std::env::var("PATH") {
        Ok(path) => format!("{}:{path}", folder.display()),
        Err(_) => folder.display().to_string(),
    };
    let output = Command::new("sh")
        .args(["-c", &command])
        .current_dir(root())
        .env_clear()
        .env("PATH", path)
        .env("HOME", env!("CARGO_TARGET_TMPDIR"))
        .env("LC_ALL", "C.UTF-8")
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100")
        .output()
        .map_err(|error| format!("`{command}`: sh: {error}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    if stdout.is_empty() && !output.stderr.is_empty() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "`{command}` prints only to standard error:\n{stderr}"
        ));
    }
    Ok(stdout
        .lines()
        .map(|line| line.trim_end().to_string())
        .collect())
}

fn lines(shown: &str) -> Vec<&str> {
    if shown == EMPTY {
        return Vec::new();
    }
    shown.lines().map(str::trim_end).collect()
}

/// Whether what is shown fits what was printed. Blank lines at the end count for nothing.
fn same(printed: &[String], shown: &str) -> bool {
    let printed: Vec<&str> = printed.iter().map(String::as_str).collect();
    fits(trimmed(&printed), trimmed(&lines(shown)))
}

fn trimmed<'a, 't>(lines: &'a [&'t str]) -> &'a [&'t str] {
    let end = lines
        .iter()
        .rposition(|line| !line.is_empty())
        .map_or(0, |last| last + 1);
    &lines[..end]
}

fn fits(printed: &[&str], shown: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((&ANY_LINES, rest)) => (0..=printed.len()).any(|from| fits(&printed[from..], rest)),
        Some((line, rest)) => printed
            .split_first()
            .is_some_and(|(first, more)| first == line && fits(more, rest)),
    }
}

/// The first lines that differ, both ways.
fn difference(printed: &[String], shown: &str) -> String {
    let shown = lines(shown);
    let same = printed
        .iter()
        .zip(&shown)
        .take_while(|(one, other)| one.as_str() == **other)
        .count();
    let mut text = format!("  from line {} of the output on\n", same + 1);
    for line in shown.iter().skip(same).take(12) {
        text.push_str(&format!("  - {line}\n"));
    }
    for line in printed.iter().skip(same).take(12) {
        text.push_str(&format!("  + {line}\n"));
    }
    text
}

/// Targets of `[text](target)` outside of code, with their line.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let mut rest = plain.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, more)) = after.split_once(')') else {
                break;
            };
            found.push((at + 1, target.to_string()));
            rest = more;
        }
    }
    found
}

/// The anchors of a page's headings, as forges make them.
fn anchors(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .chars()
                .filter_map(|symbol| match symbol {
                    ' ' => Some('-'),
                    symbol if symbol.is_alphanumeric() || symbol == '-' || symbol == '_' => {
                        Some(symbol.to_ascii_lowercase())
                    }
                    _ => None,
                })
                .collect()
        })
        .collect()
}
