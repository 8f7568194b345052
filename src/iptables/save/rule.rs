//! One line: its words, and the rule that they say.

use super::{Counters, Match, Opt, Rule, Target, UNREADABLE};
use crate::iptables::Family;
use crate::iptables::ebtables::{self, Extension};

/// Why an option is left unread.
const NOT_UNDERSTOOD: &str = "option not understood";

pub(super) fn not_understood(option: &str) -> String {
    format!("{NOT_UNDERSTOOD}: `{option}`")
}

/// What stands for a part of a rule that could not be read.
pub(super) fn unreadable_match(text: &str) -> Match {
    Match {
        name: UNREADABLE.to_owned(),
        options: Vec::new(),
        text: text.to_owned(),
    }
}

/// One argument of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    /// Any part of it was quoted: it is no option, whatever it looks like.
    pub(super) quoted: bool,
}

impl Token {
    pub(super) fn is(&self, text: &str) -> bool {
        !self.quoted && self.text == text
    }

    /// `-x` or `--xyz`; not `-1` and not `-`.
    pub(super) fn is_option(&self) -> bool {
        let mut chars = self.text.chars();
        !self.quoted
            && chars.next() == Some('-')
            && chars
                .next()
                .is_some_and(|c| c == '-' || c.is_ascii_alphabetic())
    }
}

/// Splits as iptables-restore(8) does: blanks separate, double and single quotes hold together, a backslash inside double quotes
/// escapes. False when a quote is not closed.
pub(super) fn tokenise(line: &str) -> (Vec<Token>, bool) {
    let mut tokens = Vec::new();
    let mut current: Option<Token> = None;
    let mut quote: Option<char> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match quote {
            Some(q) if c == q => quote = None,
            Some(q) => {
                let c = if c == '\\' && q == '"' {
                    chars.next().unwrap_or(c)
                } else {
                    c
                };
                if let Some(token) = &mut current {
                    token.text.push(c);
                }
            }
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                current
                    .get_or_insert(Token {
                        text: String::new(),
                        quoted: true,
                    })
                    .quoted = true;
            }
            None if c.is_whitespace() => tokens.extend(current.take()),
            None => current
                .get_or_insert(Token {
                    text: String::new(),
                    quoted: false,
                })
                .text
                .push(c),
        }
    }
    tokens.extend(current.take());
    (tokens, quote.is_none())
}

/// The words of a line, without their quotes.
pub fn words(line: &str) -> Vec<String> {
    let (tokens, _) = tokenise(line);
    tokens.into_iter().map(|token| token.text).collect()
}

/// Writes an argument as iptables-save would, quoted when it has to be.
pub(super) fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.,:/=+@%[]!&*^~#$".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// Options whose one value is free text, printed without quotes even when it begins with a dash.
const FREE_TEXT: [&str; 7] = [
    "--comment",
    "--log-prefix",
    "--nflog-prefix",
    "--ulog-prefix",
    "--string",
    "--hex-string",
    "--string-hex",
];

/// Options of the protocol matches, which may stand without `-m` after `-p` in hand-written rules.
const PROTOCOL_OPTIONS: [&str; 10] = [
    "--sport",
    "--source-port",
    "--dport",
    "--destination-port",
    "--syn",
    "--tcp-flags",
    "--tcp-option",
    "--icmp-type",
    "--icmpv6-type",
    "--chunk-types",
];

/// Matches that own such options.
const PROTOCOL_MATCHES: [&str; 7] = ["tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmp6"];

/// Where the next option belongs.
#[derive(Clone, Copy)]
enum Owner {
    Nobody,
    Match(usize),
    Target,
}

pub(super) struct RuleReader {
    family: Family,
    pub(super) rule: Rule,
    owner: Owner,
    pub(super) problems: Vec<String>,
    only: Option<Family>,
}

impl RuleReader {
    pub(super) fn new(family: Family, line: usize, text: &str, counters: Option<Counters>) -> Self {
        RuleReader {
            family,
            rule: Rule {
                line,
                text: text.to_owned(),
                matches: Vec::new(),
                target: None,
                goto: false,
                counters,
            },
            owner: Owner::Nobody,
            problems: Vec::new(),
            only: None,
        }
    }

    /// `-4` and `-6` restrict a line of a text for both families.
    pub(super) fn other_family(&self) -> bool {
        self.only.is_some_and(|only| only != self.family)
    }

    pub(super) fn unreadable(&mut self, text: &str, why: &str) {
        self.problems.push(format!("{why}: `{text}`"));
        self.rule.matches.push(unreadable_match(text));
    }

    pub(super) fn read(&mut self, tokens: &[Token]) {
        let mut at = 0;
        let mut invert = false;
        while let Some(token) = tokens.get(at) {
            at += 1;
            if token.is("!") {
                invert = true;
                continue;
            }
            if !token.is_option() {
                self.unreadable(&token.text, "argument without an option");
                continue;
            }
            let name = token.text.as_str();
            let mut inverted = std::mem::take(&mut invert);
            // `--dport ! 22` and `-s ! 10.0.0.0/8`, as versions before 1.4.3 wrote it.
            if tokens.get(at).is_some_and(|next| next.is("!"))
                && tokens
                    .get(at + 1)
                    .is_some_and(|next| !next.is_option() && !next.is("!"))
            {
                inverted = true;
                at += 1;
            }
            let mut values = Vec::new();
            if FREE_TEXT.contains(&name) {
                values.extend(tokens.get(at).map(|value| value.text.clone()));
                at += 1;
            } else {
                while let Some(value) = tokens
                    .get(at)
                    .filter(|value| !value.is_option() && !value.is("!"))
                {
                    values.push(value.text.clone());
                    at += 1;
                }
            }
            self.option(name, inverted, values);
        }
    }

    fn option(&mut self, name: &str, invert: bool, values: Vec<String>) {
        // `--proto` of the policy match is no abbreviation of `--protocol`.
        let in_policy = matches!(self.owner, Owner::Match(at) if self.rule.matches.get(at).is_some_and(|m| m.name == "policy"));
        let basic = match name {
            "-s" | "--source" | "--src" => Some("-s"),
            "-d" | "--destination" | "--dst" => Some("-d"),
            "-i" | "--in-interface" => Some("-i"),
            "-o" | "--out-interface" => Some("-o"),
            "-p" | "--protocol" => Some("-p"),
            "--proto" if !in_policy => Some("-p"),
            "-f" | "--fragment" => Some("-f"),
            _ if self.family == Family::Bridge => match name {
                "--in-if" => Some("-i"),
                "--out-if" => Some("-o"),
                "--logical-in" => Some("--logical-in"),
                "--logical-out" => Some("--logical-out"),
                _ => None,
            },
            _ => None,
        };
        if let Some(basic) = basic {
            let opt = Opt {
                name: basic.to_owned(),
                invert,
                values,
            };
            let text = option_text(&opt);
            self.rule.matches.push(Match {
                name: basic.to_owned(),
                options: vec![opt],
                text,
            });
            return;
        }
        match (name, values.as_slice()) {
            ("-m" | "--match", [extension]) => {
                let text = format!("-m {}", quote(extension));
                self.rule.matches.push(Match {
                    name: extension.clone(),
                    options: Vec::new(),
                    text,
                });
                self.owner = Owner::Match(self.rule.matches.len() - 1);
            }
            ("-j" | "--jump" | "-g" | "--goto", [target]) if self.rule.target.is_none() => {
                self.rule.goto = matches!(name, "-g" | "--goto");
                let text = format!(
                    "{} {}",
                    if self.rule.goto { "-g" } else { "-j" },
                    quote(target)
                );
                self.rule.target = Some(Target {
                    name: target.clone(),
                    options: Vec::new(),
                    text,
                    is_chain: false,
                });
                self.owner = Owner::Target;
            }
            ("-c" | "--set-counters", [packets, bytes]) => {
                if let (Ok(packets), Ok(bytes)) = (packets.parse(), bytes.parse()) {
                    self.rule.counters = Some(Counters { packets, bytes });
                }
            }
            ("-4" | "--ipv4", []) => self.only = Some(Family::Ip),
            ("-6" | "--ipv6", []) => self.only = Some(Family::Ip6),
            _ => self.extension_option(Opt {
                name: name.to_owned(),
                invert,
                values,
            }),
        }
    }

    /// Makes the extension of ebtables that an option belongs to the owner of the next option. False when there is none.
    fn named_extension(&mut self, option: &str) -> bool {
        match ebtables::owner(option) {
            Some(Extension::Match(name)) => {
                self.own(name, String::new());
                true
            }
            Some(Extension::Target) if self.rule.target.is_some() => {
                self.owner = Owner::Target;
                true
            }
            Some(Extension::Target) | None => false,
        }
    }

    /// Makes a match the owner of the next option; it is added when the rule does not have it.
    fn own(&mut self, name: &str, text: String) {
        let at = match self.rule.matches.iter().position(|m| m.name == name) {
            Some(at) => at,
            None => {
                self.rule.matches.push(Match {
                    name: name.to_owned(),
                    options: Vec::new(),
                    text,
                });
                self.rule.matches.len() - 1
            }
        };
        self.owner = Owner::Match(at);
    }

    fn extension_option(&mut self, opt: Opt) {
        if self.family == Family::Bridge && !self.named_extension(&opt.name) {
            self.unreadable(&option_text(&opt), NOT_UNDERSTOOD);
            return;
        }
        if PROTOCOL_OPTIONS.contains(&opt.name.as_str()) {
            let owned = matches!(self.owner, Owner::Match(at)
                if self.rule.matches.get(at).is_some_and(|m| PROTOCOL_MATCHES.contains(&m.name.as_str())));
            if !owned && !self.implicit_match() {
                self.unreadable(&option_text(&opt), "option without its protocol");
                return;
            }
        }
        let text = option_text(&opt);
        let owner = match self.owner {
            Owner::Match(at) => self
                .rule
                .matches
                .get_mut(at)
                .map(|m| (&mut m.options, &mut m.text)),
            Owner::Target => self
                .rule
                .target
                .as_mut()
                .map(|t| (&mut t.options, &mut t.text)),
            Owner::Nobody => None,
        };
        match owner {
            Some((options, whole)) => {
                options.push(opt);
                if !whole.is_empty() {
                    whole.push(' ');
                }
                whole.push_str(&text);
            }
            None => self.unreadable(&text, "option that belongs to no match"),
        }
    }

    /// Makes the match that `-p` implies the owner of the next option. False when there is none.
    fn implicit_match(&mut self) -> bool {
        let protocol = self
            .rule
            .matches
            .iter()
            .find(|m| m.name == "-p")
            .and_then(|m| m.options.first());
        let name = match protocol
            .and_then(|opt| opt.values.first())
            .map(String::as_str)
        {
            Some("6") => "tcp",
            Some("17") => "udp",
            Some("ipv6-icmp" | "icmpv6" | "58") => "icmp6",
            Some("1") => "icmp",
            Some(name) if PROTOCOL_MATCHES.contains(&name) => name,
            _ => return false,
        }
        .to_owned();
        let text = format!("-m {name}");
        self.own(&name, text);
        true
    }
}

/// An option as it is written: `! --dport 22`.
pub(in crate::iptables) fn option_text(opt: &Opt) -> String {
    let mut text = String::new();
    if opt.invert {
        text.push_str("! ");
    }
    text.push_str(&opt.name);
    for value in &opt.values {
        text.push(' ');
        text.push_str(&quote(value));
    }
    text
}
