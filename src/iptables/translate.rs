//! One rule of iptables or ebtables told in nft's statements.
//!
//! The meaning followed is that of the kernel's `ip_tables`/`ip6_tables` and `net/netfilter/xt_*.c`, as iptables(8) and
//! iptables-extensions(8) describe it. A match or target is translated only when nft statements exist that hold for exactly the same packets
//! and do the same to them; where they differ only for packets that no host sends (a truncated transport header makes xtables drop the packet, and
//! nft skip the rule; the same for a TCP fragment at offset 1), the difference is accepted. Everything else stays
//! [`Stmt::Unknown`] with the key `xt`, the name, the arguments and, where it is not plain, why.
//!
//! A rule's basic options come first, then its matches as they were written, then its target; that is the order in which x_tables evaluates them.

mod bridge;
mod build;
mod matches;
mod targets;

use serde_json::json;

use super::ebtables;
use super::ipset::Sets;
use super::save::{Match, Opt, Rule, Save, Target, UNREAD_LINE, UNREADABLE};
use super::{Family, IpFamily};
use crate::nft::ast::{MatchOp, Stmt, Tproxy, Verdict};

pub use build::{or_nothing, parse_number};
pub use matches::icmp_name;

/// True for a standard verdict or a known target extension: what else stands after `-j` is a chain.
pub fn is_target(family: Family, name: &str) -> bool {
    match family {
        Family::Ip | Family::Ip6 => targets::is_target(name),
        Family::Bridge => ebtables::is_target(name),
    }
}

/// True for a standard verdict of iptables(8) or ebtables(8), which has no options.
pub fn is_verdict(name: &str) -> bool {
    matches!(name, "ACCEPT" | "CONTINUE" | "DROP" | "QUEUE" | "RETURN")
}

/// A rule in nft's statements.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Translated {
    /// The parts of the rule in the order of evaluation.
    pub parts: Vec<Part>,
}

impl Translated {
    /// All statements with the iptables text that each comes from.
    pub fn stmts(&self) -> impl Iterator<Item = (&Stmt, &str)> {
        self.parts
            .iter()
            .flat_map(|part| part.stmts.iter().map(|stmt| (stmt, part.text.as_str())))
    }
}

/// One basic option, match or target.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub kind: PartKind,
    /// The extension's name (`conntrack`, `DNAT`), `-s` and the like for a basic option, the chain for a jump.
    pub name: String,
    /// As iptables writes it: `-m addrtype --dst-type LOCAL`.
    pub text: String,
    /// Empty when it always matches and does nothing to a packet's path.
    pub stmts: Vec<Stmt>,
}

/// What a part of a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartKind {
    /// `-s`, `-d`, `-i`, `-o`, `-p`, `-f`.
    Basic,
    /// `-m`, and the matches of ebtables.
    Match,
    /// What ebtables notes of a frame.
    Watcher,
    /// A target extension.
    Target,
    /// A verdict or a chain.
    Verdict,
}

/// Why something has no exact equivalent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Untranslatable {
    why: String,
    /// What would tell, where something that was not given would.
    settle: Option<&'static str>,
}

impl Untranslatable {
    fn because(why: impl Into<String>) -> Self {
        Untranslatable {
            why: why.into(),
            settle: None,
        }
    }

    /// Something that the program itself would refuse, as far as is known here.
    fn mistaken() -> Self {
        Untranslatable {
            why: "not understood".into(),
            settle: Some(
                "check the name and the value: the program refuses what it does not know; if it takes the rule, a version of nfpath that gives it a meaning",
            ),
        }
    }

    /// A target that is none.
    fn no_target() -> Self {
        Untranslatable {
            why: "neither a chain nor a known target".into(),
            settle: Some(
                "check the name: the text has no such chain, and the program refuses a target that it does not know",
            ),
        }
    }

    /// An option or value that is not known.
    fn unread(opt: &Opt) -> Self {
        Untranslatable {
            why: format!("`{}` is not understood", super::save::option_text(opt)),
            ..Untranslatable::mistaken()
        }
    }
}

type Why<T> = Result<T, Untranslatable>;

/// What a match or target may need to know of its rule.
struct Context<'a> {
    family: IpFamily,
    table: &'a str,
    chain: &'a str,
    rule: &'a Rule,
    sets: &'a Sets,
}

impl Context<'_> {
    /// The value of an upright `-p`.
    fn protocol(&self) -> Option<String> {
        let opt = self
            .rule
            .matches
            .iter()
            .find(|m| m.name == "-p")?
            .options
            .first()?;
        let value = opt.values.first().filter(|_| !opt.invert)?;
        Some(match value.to_ascii_lowercase().as_str() {
            "6" => "tcp".to_owned(),
            "17" => "udp".to_owned(),
            "33" => "dccp".to_owned(),
            "132" => "sctp".to_owned(),
            "136" => "udplite".to_owned(),
            other => other.to_owned(),
        })
    }
}

/// Ends the operator of a test that holds also where the left side has no value.
const OR_ABSENT: &str = " or absent";

/// A test's operator, and whether it holds also where the left side has no value.
pub fn without_or_absent(op: &MatchOp) -> (MatchOp, bool) {
    let MatchOp::Other(text) = op else {
        return (op.clone(), false);
    };
    let known = [MatchOp::Eq, MatchOp::Ne, MatchOp::In, MatchOp::Not];
    let plain = text.strip_suffix(OR_ABSENT);
    let found = known
        .into_iter()
        .find(|op| plain.is_some_and(|plain| build::spelled(op) == Some(plain)));
    match found {
        Some(op) => (op, true),
        None => (op.clone(), false),
    }
}

/// A field of `tproxy`: what becomes of a packet that no socket takes, where the rule does not just end.
const ELSE: &str = "else";

/// Whether `tproxy` drops a packet that no socket takes, as the target TPROXY does.
pub fn drops_else(tproxy: &Tproxy) -> bool {
    tproxy
        .extra
        .iter()
        .any(|(key, value)| key.as_str() == ELSE && value == "drop")
}

/// Translates a rule. The chain's name tells the hook where a target depends on it.
pub fn rule(rule: &Rule, save: &Save, table: &str, chain: &str) -> Translated {
    let of_ip = |family| Context {
        family,
        table,
        chain,
        rule,
        sets: &save.sets,
    };
    let words = match save.family {
        Family::Ip => Words::Iptables(of_ip(IpFamily::Ip)),
        Family::Ip6 => Words::Iptables(of_ip(IpFamily::Ip6)),
        Family::Bridge => Words::Ebtables(bridge::Place {
            table,
            chain,
            backend: save.backend(),
        }),
    };
    let (basic, extensions): (Vec<&Match>, Vec<&Match>) =
        rule.matches.iter().partition(|m| m.is_basic());
    // a watcher does nothing to a packet's path, so it may stand where it was written, as in the listing of ebtables-nft
    let mut parts: Vec<Part> = basic
        .into_iter()
        .chain(extensions)
        .map(|m| {
            let (kind, named) = match (m.is_basic(), words.is_watcher(m)) {
                (true, _) => (PartKind::Basic, "match"),
                (false, true) => (PartKind::Watcher, "target"),
                (false, false) => (PartKind::Match, "match"),
            };
            let stmts = words
                .a_match(m)
                .unwrap_or_else(|why| vec![words.unknown(named, &m.name, &m.text, &why)]);
            Part {
                kind,
                name: m.name.clone(),
                text: m.text.clone(),
                stmts,
            }
        })
        .collect();
    if let Some(target) = &rule.target {
        let verdict = if target.is_chain {
            let chain = target.name.as_str().into();
            let call = if rule.goto {
                Verdict::Goto
            } else {
                Verdict::Jump
            };
            Some(Ok(vec![Stmt::Verdict(call(chain))]))
        } else {
            words.verdict(&target.name)
        };
        let (kind, stmts) = match verdict {
            Some(stmts) => (PartKind::Verdict, stmts),
            None => (PartKind::Target, words.target(target)),
        };
        let stmts = stmts
            .unwrap_or_else(|why| vec![words.unknown("target", &target.name, &target.text, &why)]);
        parts.push(Part {
            kind,
            name: target.name.clone(),
            text: target.text.clone(),
            stmts,
        });
    }
    Translated { parts }
}

/// Whose language a rule is written in, with what its words may need to know of the rule.
enum Words<'a> {
    Iptables(Context<'a>),
    Ebtables(bridge::Place<'a>),
}

impl Words<'_> {
    fn is_watcher(&self, m: &Match) -> bool {
        match self {
            Words::Iptables(_) => false,
            Words::Ebtables(_) => ebtables::is_watcher(&m.name),
        }
    }

    fn a_match(&self, m: &Match) -> Why<Vec<Stmt>> {
        match self {
            Words::Iptables(context) => matches::translate(context, m),
            Words::Ebtables(place) => bridge::a_match(place, m),
        }
    }

    /// The statements of a standard verdict; `None` for anything else after `-j`.
    fn verdict(&self, name: &str) -> Option<Why<Vec<Stmt>>> {
        match (self, name) {
            (Words::Iptables(_), "ACCEPT") => Some(Ok(vec![Stmt::Verdict(Verdict::Accept)])),
            (Words::Iptables(_), "DROP") => Some(Ok(vec![Stmt::Verdict(Verdict::Drop)])),
            (Words::Iptables(_), "RETURN") => Some(Ok(vec![Stmt::Verdict(Verdict::Return)])),
            (Words::Iptables(_), _) => None,
            (Words::Ebtables(place), name) => bridge::verdict(place, name),
        }
    }

    fn target(&self, target: &Target) -> Why<Vec<Stmt>> {
        match self {
            Words::Iptables(context) => targets::translate(context, target),
            Words::Ebtables(place) => bridge::target(place, target),
        }
    }

    /// The statement for what cannot be told in nft's words.
    fn unknown(&self, kind: &str, name: &str, text: &str, why: &Untranslatable) -> Stmt {
        let args = match name {
            UNREADABLE | UNREAD_LINE => text,
            _ => ["-m ", "-j ", "-g "]
                .iter()
                .find_map(|flag| text.strip_prefix(flag))
                .and_then(|rest| rest.strip_prefix(name))
                .map_or(text, str::trim_start),
        };
        let mut value = json!({ kind: name, "args": args, "why": why.why });
        if name == UNREAD_LINE || name == UNREADABLE {
            value["settle"] = "the whole text as the program wrote it".into();
        } else if let Some(settle) = why.settle {
            value["settle"] = settle.into();
        }
        if let (Words::Ebtables(_), Some(fields)) = (self, value.as_object_mut()) {
            fields.insert("program".into(), json!(Family::Bridge.program()));
        }
        Stmt::Unknown {
            key: "xt".into(),
            value,
        }
    }
}

#[cfg(test)]
mod tests;
