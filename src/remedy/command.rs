//! The commands that make an addition, in the words of the program that owns the chain. Shown, never run.

use crate::owner::{Place, UfwRoute};
use crate::render::safe;
use crate::ruleset::{ChainId, Family, Handle, Ruleset};

use super::matching::Matching;

/// The tables that iptables knows.
const IPTABLES_TABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];
/// The tables of ebtables that nft lists.
const EBTABLES_TABLES: [&str; 2] = ["filter", "nat"];
/// What marks a table of iptables-legacy beside nft's.
const LEGACY: &str = " (legacy)";
/// The name of a policy that is made.
const POLICY: &str = "wanted";

/// The program that loads a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loader {
    Nft,
    /// iptables, ip6tables or ebtables, by the family.
    Iptables,
    /// x_tables, which nft does not reach.
    Legacy,
}

impl Loader {
    pub(super) fn of(ruleset: &Ruleset, chain: ChainId) -> Loader {
        let table = ruleset.table_of(chain);
        if table.name.ends_with(LEGACY) {
            return Loader::Legacy;
        }
        let builtin = |id: &ChainId| {
            let chain = ruleset.chain(*id);
            let names = ["INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING"];
            chain.base.is_some() && names.contains(&chain.name.as_str())
        };
        let tables: &[&str] = match table.family {
            Family::Ip | Family::Ip6 => &IPTABLES_TABLES,
            Family::Bridge => &EBTABLES_TABLES,
            Family::Inet | Family::Arp | Family::Netdev => &[],
        };
        let is_iptables = tables.contains(&table.name.as_str()) && table.chains.iter().any(builtin);
        match is_iptables {
            true => Loader::Iptables,
            false => Loader::Nft,
        }
    }
}

/// Where a rule goes, for a command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot<'a> {
    pub family: Family,
    pub table: &'a str,
    pub chain: &'a str,
    /// Rules before it.
    pub index: usize,
    /// True at the end of the chain.
    pub last: bool,
    /// The rule behind it; zero when not known.
    pub behind: Handle,
}

/// Commands, and the program they are of.
pub(super) struct Commands {
    pub tool: &'static str,
    pub lines: Vec<String>,
    pub remark: &'static str,
}

/// The commands for a rule at a place; a policy may need an interface in its zone.
pub(super) fn commands(
    (place, bind): (Option<&Place>, Option<&str>),
    loader: Loader,
    spot: &Spot<'_>,
    rule: (&Matching, &str),
) -> Commands {
    let (matching, text) = rule;
    let commands = match place {
        Some(Place::Ufw(route)) => ufw(*route, matching, spot.index == 0 && !spot.last),
        Some(Place::Zone { zone, first }) => firewalld(("zone", zone), matching, *first),
        Some(Place::Policy { policy, first }) => firewalld(("policy", policy), matching, *first),
        Some(Place::FromZone { zone }) => new_policy(zone, bind, matching),
        Some(Place::Chain) | None => None,
    };
    commands.unwrap_or_else(|| match loader {
        Loader::Nft => nft(spot, text),
        Loader::Iptables => iptables(spot, matching, ""),
        Loader::Legacy => iptables(spot, matching, "-legacy"),
    })
}

/// Whether the program that owns a place has words for a rule.
pub(super) fn can_say(place: &Place, matching: &Matching) -> bool {
    match place {
        Place::Chain => true,
        Place::Ufw(_) => matching.ufw().is_some(),
        Place::Zone { first, .. } | Place::Policy { first, .. } => {
            matching.rich_rule(*first).is_some()
        }
        Place::FromZone { .. } => matching.rich_rule(false).is_some(),
    }
}

fn ufw(route: UfwRoute, matching: &Matching, first: bool) -> Option<Commands> {
    let words = matching.ufw()?;
    let first = if first { "prepend " } else { "" };
    let line = match route {
        UfwRoute::In => format!("ufw {first}allow {words}"),
        UfwRoute::Routed => format!("ufw route {first}allow {words}"),
        UfwRoute::Out => format!("ufw {first}allow out {words}"),
    };
    Some(Commands {
        tool: "ufw",
        lines: vec![line],
        remark: "ufw keeps it over a restart",
    })
}

fn firewalld((kind, name): (&str, &str), matching: &Matching, first: bool) -> Option<Commands> {
    let rule = quoted(&matching.rich_rule(first)?)?;
    let name = quoted(name)?;
    let line = format!("firewall-cmd --{kind}={name} --add-rich-rule={rule}");
    Some(Commands {
        tool: "firewall-cmd",
        lines: vec![line],
        remark: "until the next `firewall-cmd --reload`; with --permanent as a second command it stays",
    })
}

fn new_policy(zone: &str, bind: Option<&str>, matching: &Matching) -> Option<Commands> {
    let rule = quoted(&matching.rich_rule(false)?)?;
    let zone = quoted(zone)?;
    let mut lines: Vec<String> = bind
        .map(|dev| format!("firewall-cmd --permanent --zone={zone} --add-interface={dev}"))
        .into_iter()
        .collect();
    lines.extend([
        format!("firewall-cmd --permanent --new-policy={POLICY}"),
        format!("firewall-cmd --permanent --policy={POLICY} --add-ingress-zone={zone}"),
        format!("firewall-cmd --permanent --policy={POLICY} --add-egress-zone=ANY"),
        format!("firewall-cmd --permanent --policy={POLICY} --add-rich-rule={rule}"),
        "firewall-cmd --reload".to_string(),
    ]);
    Some(Commands {
        tool: "firewall-cmd",
        lines,
        remark: "policies are made permanent and need the reload, which drops what was only set at run time",
    })
}

fn iptables(spot: &Spot<'_>, matching: &Matching, kind: &str) -> Commands {
    let (tool, program) = match (spot.family, kind) {
        (Family::Ip6, "") => ("ip6tables", "ip6tables".to_string()),
        (Family::Ip6, kind) => ("ip6tables", format!("ip6tables{kind}")),
        (Family::Bridge, kind) => ("ebtables", format!("ebtables{kind}")),
        (_, kind) => ("iptables", format!("iptables{kind}")),
    };
    let table = match spot.table.strip_suffix(LEGACY).unwrap_or(spot.table) {
        "filter" => Some(String::new()),
        table => quoted(table).map(|table| format!(" -t {table}")),
    };
    let (words, remark) = match spot.family {
        Family::Bridge => (
            matching.ebtables(),
            "until the next boot; to keep it, save it where your system loads its ebtables rules from (ebtables-save)",
        ),
        _ => (
            Some(matching.iptables()),
            "until the next boot; to keep it, save it where your system loads its iptables rules from (iptables-save)",
        ),
    };
    let said = table.zip(quoted(spot.chain)).zip(words);
    let line = said.map(|((table, chain), words)| {
        let at = match (spot.last, spot.index) {
            (true, _) => format!("-A {chain}"),
            (false, 0) => format!("-I {chain}"),
            (false, index) => format!("-I {chain} {}", index + 1),
        };
        format!("{program}{table} {at} {words}")
    });
    Commands {
        tool,
        lines: line.into_iter().collect(),
        remark,
    }
}

fn nft(spot: &Spot<'_>, text: &str) -> Commands {
    let Spot {
        family,
        table,
        chain,
        index,
        last,
        behind,
    } = spot;
    let plain = |name: &str| {
        let letter = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(letter)
    };
    let line = (plain(table) && plain(chain)).then(|| {
        let at = match (last, index, behind.0) {
            (true, _, _) => format!("add rule {family} {table} {chain}"),
            (false, 0, _) => format!("insert rule {family} {table} {chain}"),
            (false, index, 0) => format!("insert rule {family} {table} {chain} index {index}"),
            (false, _, handle) => format!("insert rule {family} {table} {chain} handle {handle}"),
        };
        format!("nft '{at} {text}'")
    });
    Commands {
        tool: "nft",
        lines: line.into_iter().collect(),
        remark: "until the next boot; to keep it, put it into the file that loads this table (/etc/nftables.conf)",
    }
}

/// A word for a POSIX shell; `None` for one that cannot be shown as it is.
pub(super) fn quoted(word: &str) -> Option<String> {
    if safe::terminal(word) != word {
        return None;
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=+@%".contains(c);
    Some(match !word.is_empty() && word.chars().all(plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    })
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_word_of_a_ruleset_is_one_word_for_the_shell() {
        let is = |word, wanted: Option<&str>| assert_eq!(quoted(word).as_deref(), wanted);
        is("DOCKER-USER", Some("DOCKER-USER"));
        is("a b; reboot", Some("'a b; reboot'"));
        is("$(reboot)", Some("'$(reboot)'"));
        is("it's", Some("'it'\\''s'"));
        is("", Some("''"));
        is("a\nreboot", None);
        is("a\u{1b}[2J", None);
        is("a\u{202e}b", None);
    }
}
