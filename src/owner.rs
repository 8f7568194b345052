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
    ChainId, Expr, Field, Match, MetaKey, NatKind, Operand, Rule, RuleId, Ruleset, Stmt, Target,
    Verdict,
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
            Owner::by_name(&self.ruleset.table(chain.table).name, &chain.name)
        };
        let mut known = self.known.borrow_mut();
        known.entry(id).or_insert_with(look).clone()
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
