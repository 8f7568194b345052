//! The text of a rule for people: where its verdict begins, and which words of it may be left out.
//!
//! Only how a rule is shown depends on what is found here, never what it means.

/// Sets with more elements than this are shortened.
const ELEMENTS: usize = 8;

/// Words that begin a statement which ends a rule, other than the plain verdicts.
const ENDING: [&str; 9] = [
    "reject",
    "dnat",
    "snat",
    "masquerade",
    "redirect",
    "queue",
    "tproxy",
    "synproxy",
    "fwd",
];
/// Words of statements that leave a trace although the rule has no verdict.
const LASTING: [&str; 8] = [
    "log", "set", "notrack", "add", "update", "delete", "dup", "synproxy",
];

/// A rule's text in the two parts that people look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Split {
    /// What the packet must have.
    pub condition: String,
    /// What happens then.
    pub verdict: String,
}

/// The words of a rule; a set or a quoted string is one word.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut quoted, mut depth, mut start) = (false, 0_usize, None);
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c == ' ' && !quoted && depth == 0 {
            if let Some(start) = start.take() {
                words.push(&text[start..at]);
            }
        } else if start.is_none() {
            start = Some(at);
        }
    }
    if let Some(start) = start {
        words.push(&text[start..]);
    }
    words
}

/// Without the word `counter`, which says nothing about the packet. A counter with a name stays.
fn without_counters<'t>(words: &[&'t str]) -> Vec<&'t str> {
    let is_call =
        |at: usize| at > 0 && matches!(words.get(at - 1), Some(&"jump" | &"goto" | &"name"));
    let named = |at: usize| matches!(words.get(at + 1), Some(&"name"));
    (0..words.len())
        .filter(|&at| words[at] != "counter" || is_call(at) || named(at))
        .map(|at| words[at])
        .collect()
}

/// Where the statement begins that gives the rule its verdict.
fn ending(words: &[&str]) -> Option<usize> {
    let last = words.len().checked_sub(1)?;
    if matches!(words[last], "accept" | "drop" | "return" | "continue") {
        return Some(last);
    }
    if last > 0 && matches!(words[last - 1], "jump" | "goto") {
        return Some(last - 1);
    }
    if words.contains(&"vmap") {
        return None;
    }
    // a translation by a map is a condition as well: the map has to have the key
    if words.contains(&"map") {
        return None;
    }
    // `ct status dnat` is no statement
    (0..=last)
        .rev()
        .find(|&at| ENDING.contains(&words[at]) && (at == 0 || words[at - 1] != "status"))
}

fn shortened(words: &[&str], whole: bool) -> String {
    let words: Vec<String> = words
        .iter()
        .map(|word| {
            if whole {
                word.to_string()
            } else {
                shorten(word)
            }
        })
        .collect();
    words.join(" ")
}

/// A rule in one piece; with its counters and with sets in full when `whole`.
pub(super) fn full(text: &str, whole: bool) -> String {
    let words = words(text);
    match whole {
        true => shortened(&words, whole),
        false => shortened(&without_counters(&words), whole),
    }
}

/// A rule that matched, with its verdict apart. `verdict` is the kernel's word for it.
pub(super) fn split(text: &str, verdict: &str, whole: bool) -> Split {
    let words = if whole {
        words(text)
    } else {
        without_counters(&words(text))
    };
    let ends = matches!(verdict, "accept" | "drop" | "return" | "queue" | "stolen")
        || verdict.starts_with("jump ")
        || verdict.starts_with("goto ");
    let at = if ends { ending(&words) } else { None };
    match at {
        Some(at) => Split {
            condition: shortened(&words[..at], whole),
            verdict: shortened(&words[at..], whole),
        },
        None => Split {
            condition: shortened(&words, whole),
            verdict: verdict.to_string(),
        },
    }
}

/// True for a rule that every packet matches.
pub(super) fn unconditional(text: &str) -> bool {
    let words = without_counters(&words(text));
    let condition = &words[..ending(&words).unwrap_or(words.len())];
    match condition {
        [] => !words.is_empty(),
        [first, ..] => *first == "log",
    }
}

/// True for a rule without a verdict that still changes or tells something.
pub(super) fn lasting(text: &str) -> bool {
    words(text).iter().any(|word| LASTING.contains(word))
}

/// True for a rule that could have let the packet through.
pub(super) fn may_accept(text: &str) -> bool {
    let words = without_counters(&words(text));
    match ending(&words).and_then(|at| words.get(at)) {
        Some(word) => !matches!(*word, "drop" | "return" | "continue" | "reject"),
        None => words.contains(&"vmap"),
    }
}

/// A long set in braces by its ends and its size.
fn shorten(word: &str) -> String {
    let Some(inner) = word
        .strip_prefix('{')
        .and_then(|word| word.strip_suffix('}'))
    else {
        return word.to_string();
    };
    let elements = elements(inner);
    match elements.as_slice() {
        [first, second, .., last] if elements.len() > ELEMENTS => {
            format!(
                "{{ {first}, {second}, … ({} elements) …, {last} }}",
                elements.len()
            )
        }
        _ => word.to_string(),
    }
}

fn elements(inner: &str) -> Vec<&str> {
    let mut elements = Vec::new();
    let (mut quoted, mut depth, mut start) = (false, 0_usize, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                elements.push(inner[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    elements.push(inner[start..].trim());
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str, verdict: &str) -> (String, String) {
        let split = split(text, verdict, false);
        (split.condition, split.verdict)
    }

    #[test]
    fn the_verdict_stands_apart() {
        let cases = [
            (
                "udp dport 53 counter accept",
                "accept",
                "udp dport 53",
                "accept",
            ),
            (
                "udp dport 53 counter dnat to 10.0.0.1:53 persistent",
                "accept",
                "udp dport 53",
                "dnat to 10.0.0.1:53 persistent",
            ),
            (
                "ct status dnat accept",
                "accept",
                "ct status dnat",
                "accept",
            ),
            (
                "ct status dnat counter",
                "continue",
                "ct status dnat",
                "continue",
            ),
            ("jump counter", "jump counter", "", "jump counter"),
            (
                "tcp dport vmap { 22 : accept, 23 : drop }",
                "drop",
                "tcp dport vmap { 22 : accept, 23 : drop }",
                "drop",
            ),
            (
                "ct state invalid reject with tcp reset",
                "drop",
                "ct state invalid",
                "reject with tcp reset",
            ),
            (
                "iifname \"a drop\" counter name \"c\" return",
                "return",
                "iifname \"a drop\" counter name \"c\"",
                "return",
            ),
        ];
        for (text, verdict, condition, ending) in cases {
            assert_eq!(
                parts(text, verdict),
                (condition.to_string(), ending.to_string()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_every_packet_matches() {
        assert!(unconditional("counter drop"));
        assert!(unconditional("log prefix \"drop \" drop"));
        assert!(unconditional("jump X"));
        assert!(!unconditional("iifname \"lo\" accept"));
        assert!(!unconditional(""));
        assert!(!unconditional("dnat ip to udp dport map @ports"));
        assert!(lasting("ct state new log prefix \"x\""));
        assert!(!lasting("ether type ip counter"));
        assert!(may_accept("tcp dport 22 accept"));
        assert!(!may_accept("ct state invalid drop"));
    }

    #[test]
    fn long_sets_are_shortened_in_the_middle() {
        let set: Vec<String> = (0..200).map(|n| format!("10.0.0.{n}")).collect();
        let text = format!("ip saddr {{ {} }} drop", set.join(", "));
        assert_eq!(
            full(&text, false),
            "ip saddr { 10.0.0.0, 10.0.0.1, … (200 elements) …, 10.0.0.199 } drop"
        );
        assert_eq!(full(&text, true), text);
    }
}
