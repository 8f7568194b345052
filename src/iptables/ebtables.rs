//! To which match, watcher or target of ebtables each option belongs.
//!
//! ebtables(8) has no `-m`: the name of an option tells. Extensions have the names that the kernel gives them (`ebt_NAME.c`), which
//! are those of nft's `xt` statements too. What an option means is not known here.

/// What an option belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// A match or a watcher of this name.
    Match(&'static str),
    /// The target of the rule.
    Target,
}

/// Chains that the kernel enters by itself.
pub const BUILT_IN: [&str; 6] = [
    "PREROUTING",
    "INPUT",
    "FORWARD",
    "OUTPUT",
    "POSTROUTING",
    BROUTING,
];

/// The one chain of table broute.
pub const BROUTING: &str = "BROUTING";

/// The table whose verdict DROP means that a frame is routed.
pub const BROUTE: &str = "broute";

/// Extensions that note something of a frame and decide nothing.
const WATCHERS: [&str; 3] = ["log", "nflog", "ulog"];

/// The target extensions of ebtables(8), and the standard verdicts.
const TARGETS: [&str; 9] = [
    "ACCEPT", "CONTINUE", "DROP", "RETURN", "arpreply", "dnat", "mark", "redirect", "snat",
];

/// Options by how their names begin; the first that fits counts.
const OPTIONS: [(&str, Extension); 21] = [
    ("--arpreply-", Extension::Target),
    ("--dnat-", Extension::Target),
    ("--mark-", Extension::Target),
    ("--redirect-", Extension::Target),
    ("--snat-", Extension::Target),
    ("--to-", Extension::Target),
    ("--set-mark", Extension::Target),
    ("--802_3-", Extension::Match("802_3")),
    ("--among-", Extension::Match("among")),
    ("--arp-", Extension::Match("arp")),
    ("--ip-", Extension::Match("ip")),
    ("--ip6-", Extension::Match("ip6")),
    ("--limit", Extension::Match("limit")),
    ("--log", Extension::Match("log")),
    ("--mark", Extension::Match("mark_m")),
    ("--nflog", Extension::Match("nflog")),
    ("--pkttype-", Extension::Match("pkttype")),
    ("--string", Extension::Match("string")),
    ("--stp-", Extension::Match("stp")),
    ("--ulog", Extension::Match("ulog")),
    ("--vlan-", Extension::Match("vlan")),
];

/// What an option belongs to; `None` for one that ebtables(8) does not have.
pub fn owner(option: &str) -> Option<Extension> {
    let found = OPTIONS.iter().find(|(start, _)| option.starts_with(start));
    found.map(|(_, owner)| *owner)
}

/// True for an extension that only notes what it sees.
pub fn is_watcher(name: &str) -> bool {
    WATCHERS.contains(&name)
}

/// True for a standard verdict or a known target extension: what else stands after `-j` is a chain.
pub fn is_target(name: &str) -> bool {
    TARGETS.contains(&name)
}
