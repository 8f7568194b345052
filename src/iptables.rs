//! Rules of iptables, ip6tables and ebtables, read from what their `-save` commands print, told in nft's syntax tree.
//!
//! nft shows a rule of iptables-nft or ebtables-nft with opaque `{"xt": …}` statements where there is no native expression; what they
//! mean stands in `iptables-save` only. Each match and target is translated into the nft statements that do
//! the same ([`translate`]), so that one lowering decides what both kinds of rules mean. [`merge`] gives the `xt` statements of a
//! listing their meaning; [`standalone`] makes a whole document of `iptables-save` alone.
//!
//! [`ipset`] reads the sets that such rules ask for; [`ebtables`] tells to what its options belong.
//!
//! Left out: arptables, and evaluation itself.
//! What has no exact equivalent in nft stays [`Stmt::Unknown`](crate::nft::ast::Stmt::Unknown) with its arguments; it is never approximated.

pub mod ebtables;
pub mod ipset;
pub mod merge;
pub mod save;
pub mod standalone;
pub mod translate;

use std::fmt;

/// The family of a ruleset: which of the programs wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// `iptables`.
    Ip,
    /// `ip6tables`.
    Ip6,
    /// `ebtables`.
    Bridge,
}

impl Family {
    /// The name of the family in nft: `ip`, `ip6` or `bridge`.
    pub fn as_str(self) -> &'static str {
        match self {
            Family::Ip => "ip",
            Family::Ip6 => "ip6",
            Family::Bridge => "bridge",
        }
    }

    /// The program that writes rules of this family.
    pub fn program(self) -> &'static str {
        match self {
            Family::Ip => "iptables",
            Family::Ip6 => "ip6tables",
            Family::Bridge => "ebtables",
        }
    }

    /// What its tables of x_tables are called, which nft does not list.
    pub fn legacy(self) -> &'static str {
        match self {
            Family::Ip | Family::Ip6 => "iptables-legacy",
            Family::Bridge => "ebtables-legacy",
        }
    }

    /// The tables that the kernel has for it.
    pub fn tables(self) -> &'static [&'static str] {
        match self {
            Family::Ip | Family::Ip6 => &["raw", "mangle", "nat", "filter", "security"],
            Family::Bridge => &["filter", "nat", "broute"],
        }
    }

    /// The command that saves the rules of this family.
    pub fn save_command(self) -> &'static str {
        match self {
            Family::Ip => "iptables-save",
            Family::Ip6 => "ip6tables-save",
            Family::Bridge => "ebtables-save",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The version of IP that a rule of iptables is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IpFamily {
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
}

impl IpFamily {
    /// The name of its header in nft: `ip` or `ip6`.
    pub fn as_str(self) -> &'static str {
        match self {
            IpFamily::Ip => "ip",
            IpFamily::Ip6 => "ip6",
        }
    }
}
