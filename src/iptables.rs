//! iptables rules, read from `iptables-save` and `ip6tables-save`, told in nft's syntax tree.
//!
//! nft shows a rule of iptables-nft with opaque `{"xt": …}` statements where there is no native expression; what they
//! mean stands in `iptables-save` only. Each iptables match and target is translated into the nft statements that do
//! the same ([`translate`]), so that one lowering decides what both kinds of rules mean. [`merge`] gives the `xt` statements of a
//! listing their meaning; [`standalone`] makes a whole document of `iptables-save` alone.
//!
//! [`ipset`] reads the sets that such rules ask for.
//!
//! Left out: ebtables and arptables, and evaluation itself.
//! What has no exact equivalent in nft stays [`Stmt::Unknown`](crate::nft::ast::Stmt::Unknown) with its arguments; it is never approximated.

pub mod ipset;
pub mod merge;
pub mod save;
pub mod standalone;
pub mod translate;

use std::fmt;

/// The address family of an iptables ruleset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// `iptables`.
    Ip,
    /// `ip6tables`.
    Ip6,
}

impl Family {
    /// The name of the family in nft: `ip` or `ip6`.
    pub fn as_str(self) -> &'static str {
        match self {
            Family::Ip => "ip",
            Family::Ip6 => "ip6",
        }
    }

    /// The command that saves the rules of this family.
    pub fn save_command(self) -> &'static str {
        match self {
            Family::Ip => "iptables-save",
            Family::Ip6 => "ip6tables-save",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
