//! What a text is: of which program and family, which sections it has.

use std::collections::HashSet;

use super::rule::{Token, tokenise};
use crate::iptables::{Family, ebtables};

/// True when the text is of iptables-save, `iptables -S` or ebtables-save, judged by its first line that is no comment.
pub fn looks_like_save(text: &str) -> bool {
    let mut comments = text
        .lines()
        .map(str::trim)
        .take_while(|line| line.is_empty() || line.starts_with('#'));
    if comments.any(|line| generator(line).is_some()) {
        return true;
    }
    let Some(first) = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
    else {
        return false;
    };
    let is_table = first.strip_prefix('*').is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    });
    let is_rule = ["-A ", "-P ", "-N ", "-t "]
        .iter()
        .any(|start| first.starts_with(start));
    let is_counted = first.starts_with('[') && first.contains("] -A ");
    is_table || is_rule || is_counted
}

/// Whether the text has a line of iptables-save somewhere, after lines that are none.
pub fn holds_save(text: &str) -> bool {
    text.lines().map(str::trim).any(|line| {
        generator(line).is_some_and(|by| by.contains("tables"))
            || ["*filter", "*nat", "*mangle", "*raw", "*security"].contains(&line)
            || line.starts_with("-A ")
    })
}

/// A part of a text that is one output of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its first and last line, from 1.
    pub lines: (usize, usize),
    /// The part, behind as many empty lines as make its line numbers those of the whole.
    pub text: String,
}

/// Cuts a text where the output of another command begins: at the comment of another program, or where a table, or the
/// policy of a chain, stands a second time. Each table may have the comment of its program.
pub fn sections(text: &str) -> Vec<Section> {
    let mut starts = vec![0];
    let mut tables: HashSet<&str> = HashSet::new();
    let mut policies: HashSet<(&str, &str)> = HashSet::new();
    let mut comments = 0;
    let mut program = None;
    let mut open = "filter";
    for (index, line) in text.lines().map(str::trim).enumerate() {
        comments = if line.starts_with('#') {
            comments + 1
        } else {
            0
        };
        open = match line {
            "COMMIT" => "filter",
            _ => line.strip_prefix('*').unwrap_or(open),
        };
        let (_, rest) = line.split_once("-t ").unwrap_or(("", open));
        let table = rest.split_whitespace().next().unwrap_or(open);
        let policy = line.split_once("-P ").map(|(_, rest)| (table, rest));
        let policy =
            policy.and_then(|(table, rest)| Some((table, rest.split_whitespace().next()?)));
        let has_content = !tables.is_empty() || !policies.is_empty();
        let begins = match (generator(line), line.strip_prefix('*'), policy) {
            (Some(by), ..) => (has_content && program != Some(by)).then_some(index),
            // the comments before it belong to it
            (None, Some(name), _) => tables.contains(name).then_some(index - comments),
            (None, None, Some(policy)) => policies.contains(&policy).then_some(index),
            (None, None, None) => None,
        };
        if let Some(at) = begins {
            starts.push(at);
            tables.clear();
            policies.clear();
        }
        program = generator(line).or(program);
        tables.extend(line.strip_prefix('*'));
        policies.extend(policy);
    }
    let lines: Vec<&str> = text.lines().collect();
    let ends = starts.iter().skip(1).copied().chain([lines.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| Section {
            lines: (start + 1, end),
            text: "\n".repeat(start) + &lines.get(start..end).unwrap_or_default().join("\n"),
        })
        .collect()
}

/// A built-in chain of another table in a text that does not say the table, as `iptables -t nat -S` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misplaced {
    /// From 1.
    pub line: usize,
    pub chain: String,
}

/// The first chain of a text that cannot be one of table filter, where no table is said.
pub fn misplaced(text: &str) -> Option<Misplaced> {
    let mut open = false;
    for (index, line) in text.lines().map(str::trim).enumerate() {
        if line.starts_with('*') {
            open = true;
        } else if line == "COMMIT" {
            open = false;
        } else if !open && line.contains('-') && !line.starts_with('#') {
            let (tokens, _) = tokenise(line);
            let says_table = tokens
                .iter()
                .any(|token| token.is("-t") || token.is("--table"));
            let is_command = |token: &Token| token.is("-A") || token.is("-P") || token.is("-I");
            let at = tokens.iter().position(is_command);
            let chain = at
                .and_then(|at| tokens.get(at + 1))
                .map(|token| &token.text);
            let is_other =
                |chain: &&String| ["PREROUTING", "POSTROUTING"].contains(&chain.as_str());
            if let (false, Some(chain)) = (says_table, chain.filter(is_other)) {
                return Some(Misplaced {
                    line: index + 1,
                    chain: chain.clone(),
                });
            }
        }
    }
    None
}

/// The family that the text is of: by the command in its first comment, else by addresses and ICMP names.
///
/// `None` when nothing in it belongs to one family only.
pub fn detect_family(text: &str) -> Option<Family> {
    for line in text.lines() {
        if let Some(by) = generator(line.trim()) {
            if by.starts_with("ip6tables") {
                return Some(Family::Ip6);
            }
            if by.starts_with("iptables") {
                return Some(Family::Ip);
            }
            if by.starts_with("ebtables") {
                return Some(Family::Bridge);
            }
        }
    }
    for line in text.lines() {
        let line = line.trim();
        if line.strip_prefix('*') == Some(ebtables::BROUTE) {
            return Some(Family::Bridge);
        }
        let (tokens, _) = tokenise(line);
        for pair in tokens.windows(2) {
            let (name, value) = (pair[0].text.as_str(), pair[1].text.as_str());
            match name {
                "--logical-in" | "--logical-out" => return Some(Family::Bridge),
                name if name.starts_with("--ip-") || name.starts_with("--ip6-") => {
                    return Some(Family::Bridge);
                }
                "-p" if matches!(
                    value,
                    "IPv4" | "IPv6" | "ARP" | "802_1Q" | "LENGTH" | "Length"
                ) =>
                {
                    return Some(Family::Bridge);
                }
                "-s" | "-d" if value.matches(':').count() == 5 && !value.contains("::") => {
                    return Some(Family::Bridge);
                }
                "-s" | "-d" | "--source" | "--destination" | "--to-destination" | "--to-source" => {
                    let value = if value == "!" { continue } else { value };
                    if value.matches(':').count() > 1 {
                        return Some(Family::Ip6);
                    }
                    if value
                        .split(['/', ':', '-'])
                        .next()
                        .is_some_and(|a| a.parse::<std::net::Ipv4Addr>().is_ok())
                    {
                        return Some(Family::Ip);
                    }
                }
                "-p" | "-m" | "--protocol" | "--match" => match value {
                    "icmpv6" | "ipv6-icmp" | "icmp6" | "58" => return Some(Family::Ip6),
                    "icmp" => return Some(Family::Ip),
                    _ => {}
                },
                "--reject-with" if value.starts_with("icmp6-") => return Some(Family::Ip6),
                "--reject-with" if value.starts_with("icmp-") => return Some(Family::Ip),
                _ => {}
            }
        }
    }
    None
}

/// `# Generated by iptables-save v1.8.9 on Sat Nov 21 02:08:27 2026` without its frame.
pub(super) fn generator(line: &str) -> Option<&str> {
    let by = line
        .strip_prefix('#')?
        .trim_start()
        .strip_prefix("Generated by ")?;
    Some(by.split(" on ").next().unwrap_or(by).trim())
}
