//! What would have to be added for a flow that does not get through: the model that the renderers show.
//!
//! Found by [`crate::remedy`]; nothing here is applied to a host.

use serde_json::Value;

use crate::owner::Owner;
use crate::ruleset::{Family, Handle};

use super::Verdict;

/// The answer to `--remedy` for one flow.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    pub status: Status,
    /// Best first.
    pub remedies: Vec<Remedy>,
    /// For [`Status::None`] and [`Status::Partial`]: what stands in the way.
    pub remains: Option<String>,
}

/// Whether something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The flow passes both ways as it is.
    NothingToChange,
    /// With each of the remedies both ways pass.
    Found,
    /// What can be said goes part of the way.
    Partial,
    /// Nothing can be promised.
    None,
}

impl Status {
    /// The word of the report contract.
    pub fn name(self) -> &'static str {
        match self {
            Status::NothingToChange => "nothing-to-change",
            Status::Found => "found",
            Status::Partial => "partial",
            Status::None => "none",
        }
    }
}

/// Additions that belong together, and what becomes of the flow with them.
#[derive(Debug, Clone, PartialEq)]
pub struct Remedy {
    pub additions: Vec<Addition>,
    /// Of the conversation, walked again with the additions.
    pub verdict: Verdict,
    pub request: &'static str,
    pub reply: Option<&'static str>,
    /// All rules of it for `nft -j -f`; `None` where nft cannot reach a table.
    pub nft: Option<Value>,
    /// What speaks against that form.
    pub nft_remark: Option<String>,
    /// What holds for the remedy as a whole: how long it lasts, what else it needs.
    pub remarks: Vec<String>,
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub struct Addition {
    /// `request` or `reply`: whose way it opens.
    pub of: &'static str,
    /// What stops that packet without it.
    pub against: String,
    pub change: Change,
    /// The program whose commands these are.
    pub tool: &'static str,
    /// For a POSIX shell, one line each; empty where none can be written.
    pub commands: Vec<String>,
    /// What else it lets pass.
    pub effect: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Rule(RuleChange),
    /// Kernel settings, each with its value.
    Settings(Vec<(String, String)>),
}

/// A rule that is put into a chain.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleChange {
    pub family: Family,
    pub table: String,
    pub chain: String,
    /// Rules that stand before it, with the additions before this one in place.
    pub index: usize,
    /// The rule that it stands in front of; `None` at the end of the chain. A handle of zero is not known.
    pub before: Option<Handle>,
    /// In nft's words.
    pub text: String,
    /// Who made the chain.
    pub owner: Option<Owner>,
}
