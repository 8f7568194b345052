//! Which software wrote a chain or a rule, and what it is for, in that software's words.
//!
//! Told by names: firewall managers name their tables and chains by rules of their own (`names`). Rules in chains that
//! several programs share (iptables' FORWARD) are told by where they jump to and by the bridges they name. Decides
//! nothing about packets.

mod names;

use std::cell::RefCell;
use std::collections::HashMap;

use crate::ruleset::datatype::ifname_text;
use crate::ruleset::{
    ChainId, Expr, Field, Match, MetaKey, NatKind, Operand, Rule, RuleId, Ruleset, Statement, Stmt,
    Target, Verdict,
};

/// Who wrote a part of the ruleset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// `Docker`, `firewalld`, …
    pub software: &'static str,
    /// What the part is for: `zone public, incoming packets, allow`.
    pub role: String,
}

/// A chain, or what it stands for, that a software leaves to the administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The chain itself, by whatever program loads its table.
    Chain,
    /// `ufw allow`, `ufw route allow`, `ufw allow out`
    Ufw(UfwRoute),
    /// Rich rules of a zone of firewalld; `first`: those of the least priority, which run before all others.
    Zone { zone: String, first: bool },
    /// Rich rules of a policy of firewalld.
    Policy { policy: String, first: bool },
    /// Forwarded packets from this zone, for which a policy of firewalld can be made.
    FromZone { zone: String },
}

/// Which packets a rule of ufw is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UfwRoute {
    In,
    Routed,
    Out,
}

impl Place {
    /// What the administrator may do with a chain of this name.
    pub fn by_name(table: &str, chain: &str) -> Option<Place> {
        names::place(table, chain)
    }
}

/// Whether a bridge has a name that only one software gives.
pub fn is_known_bridge(name: &str) -> bool {
    names::by_bridge(name).is_some()
}

impl Owner {
    /// Who gives a chain such a name.
    pub fn by_name(table: &str, chain: &str) -> Option<Owner> {
        names::owner(table, chain)
    }

    /// `firewalld: zone public, incoming packets, allow`
    pub fn words(&self) -> String {
        match self.role.as_str() {
            "" => self.software.to_string(),
            role => format!("{}: {role}", self.software),
        }
    }
}

/// The owners of a ruleset's chains, each looked up when it is first asked for.
#[derive(Debug)]
pub struct Owners<'r> {
    ruleset: &'r Ruleset,
    known: RefCell<HashMap<ChainId, Option<Owner>>>,
}

impl<'r> Owners<'r> {
    pub fn of(ruleset: &'r Ruleset) -> Owners<'r> {
        Owners {
            ruleset,
            known: RefCell::default(),
        }
    }

    /// Who made a chain.
    pub fn chain(&self, id: ChainId) -> Option<Owner> {
        let look = || {
            let chain = self.ruleset.chain(id);
            let table = &self.ruleset.table(chain.table).name;
            let owner = Owner::by_name(table, &chain.name)?;
            let sign = names::sign(owner.software, table, &chain.name);
            sign.is_none_or(|sign| self.has(id, sign)).then_some(owner)
        };
        let mut known = self.known.borrow_mut();
        known.entry(id).or_insert_with(look).clone()
    }

    /// Whether there is what else the program leaves beside a name that anybody could have given.
    fn has(&self, id: ChainId, sign: names::Sign) -> bool {
        let ruleset = self.ruleset;
        let chain = ruleset.chain(id);
        let rules = || chain.rules.iter().map(|id| ruleset.rule(*id));
        match sign {
            names::Sign::Beside(name) => ruleset
                .table(chain.table)
                .chains
                .iter()
                .any(|id| ruleset.chain(*id).name == name),
            names::Sign::Signed(begin) => {
                let is_signed = |rule: &Rule| {
                    rule.comment
                        .as_deref()
                        .is_some_and(|said| said.starts_with(begin))
                };
                chain.rules.is_empty() || rules().any(is_signed)
            }
            names::Sign::Bans => {
                let returns = |rule: &Rule| {
                    let ends = |one: &Statement| {
                        matches!(one.kind, Stmt::Verdict(Verdict::Return) | Stmt::NoEffect(_))
                    };
                    rule.statements.iter().all(ends)
                };
                rules().next_back().is_some_and(returns)
                    && rules().all(|rule| returns(rule) || is_ban(rule))
            }
        }
    }

    /// Who wrote a rule: the one who signed it, else who made its chain, else what the rule itself tells.
    pub fn rule(&self, id: RuleId) -> Option<Owner> {
        let rule = self.ruleset.rule(id);
        let signed = rule.comment.as_deref().and_then(names::by_comment);
        signed
            .or_else(|| self.chain(rule.chain))
            .or_else(|| self.by_target(rule))
            .or_else(|| self.by_bridge(rule))
            .or_else(|| self.hairpin(rule))
    }

    /// A rule that only leads into chains of one software was written by it.
    fn by_target(&self, rule: &Rule) -> Option<Owner> {
        let target = rule.statements.iter().find_map(|stmt| match &stmt.kind {
            Stmt::Verdict(Verdict::Jump(Target::Chain(id)) | Verdict::Goto(Target::Chain(id))) => {
                Some(*id)
            }
            _ => None,
        })?;
        self.chain(target)
    }

    /// A rule of a shared chain that names a bridge which only one software names so.
    fn by_bridge(&self, rule: &Rule) -> Option<Owner> {
        let chain = self.ruleset.chain(rule.chain);
        if !names::is_iptables_chain(&chain.name) {
            return None;
        }
        rule.statements.iter().find_map(|stmt| match &stmt.kind {
            Stmt::Match(Match {
                left: Expr::Field(Field::Meta(MetaKey::Iifname | MetaKey::Oifname)),
                right: Operand::Value(name),
                ..
            }) => names::by_bridge(&ifname_text(*name)),
            _ => None,
        })
    }

    /// Docker's masquerade of a container that asks for its own published port: `-s ADDR -d ADDR … MASQUERADE`.
    fn hairpin(&self, rule: &Rule) -> Option<Owner> {
        let ruleset = self.ruleset;
        let table = ruleset.chain(rule.chain).table;
        let mut chains = ruleset.table(table).chains.iter();
        let docker = chains.any(|id| &*ruleset.chain(*id).name == "DOCKER");
        let masquerades = rule
            .statements
            .iter()
            .any(|stmt| matches!(&stmt.kind, Stmt::Nat(nat) if nat.kind == NatKind::Masquerade));
        let values: Vec<u128> = rule
            .statements
            .iter()
            .filter_map(|stmt| match &stmt.kind {
                Stmt::Match(Match {
                    left: Expr::Field(Field::Payload { len: 32 | 128, .. }),
                    right: Operand::Value(value),
                    ..
                }) => Some(*value),
                _ => None,
            })
            .collect();
        let same = matches!(values.as_slice(), [source, destination] if source == destination);
        (docker && masquerades && same).then(|| Owner {
            software: "Docker",
            role: "a container that asks for its own published port".into(),
        })
    }
}

/// A rule that refuses sources, and nothing else.
fn is_ban(rule: &Rule) -> bool {
    let is_part = |one: &Statement| match &one.kind {
        Stmt::Match(_) | Stmt::NoEffect(_) | Stmt::Verdict(Verdict::Drop) | Stmt::Reject(_) => true,
        // the target that a jail is told to use
        Stmt::Verdict(Verdict::Jump(_)) | Stmt::Unknown(_) => true,
        _ => false,
    };
    let matches = rule
        .statements
        .iter()
        .any(|one| matches!(one.kind, Stmt::Match(_) | Stmt::Unknown(_)));
    matches && rule.statements.iter().all(is_part)
}
