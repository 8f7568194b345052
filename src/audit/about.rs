//! The kinds of findings by their names; [`ALL`] has them all.

use super::{About, Severity};

pub const ACCEPT_DROPPED_BEFORE: &About = &About {
    id: "accept-dropped-before",
    severity: Severity::Warning,
    title: "What a rule accepts was dropped by another table before",
};
pub const ACCEPT_DROPPED_LATER: &About = &About {
    id: "accept-dropped-later",
    severity: Severity::Warning,
    title: "A later base chain drops all that a rule accepts",
};
pub const BEHIND_ISOLATION: &About = &About {
    id: "behind-isolation",
    severity: Severity::Warning,
    title: "A rule stands behind Docker's isolation, which drops all that it is for",
};
pub const BRIDGED_DROPPED: &About = &About {
    id: "bridged-dropped",
    severity: Severity::Warning,
    title: "Frames between two ports of a bridge are dropped by chains of IP",
};
pub const CONTRADICTORY_RULE: &About = &About {
    id: "contradictory-rule",
    severity: Severity::Warning,
    title: "The matches of a rule exclude each other",
};
pub const DEAD_DROP: &About = &About {
    id: "dead-drop",
    severity: Severity::Note,
    title: "What a rule drops was dropped by another table before",
};
pub const DOCKER_USER_PUBLISHED_PORT: &About = &About {
    id: "docker-user-published-port",
    severity: Severity::Warning,
    title: "A rule names the published port where packets have the container's",
};
pub const EMPTY_SET: &About = &About {
    id: "empty-set",
    severity: Severity::Note,
    title: "A rule asks for a set that has no elements",
};
pub const EQUAL_PRIORITY: &About = &About {
    id: "equal-priority",
    severity: Severity::Warning,
    title: "Which of two tables was loaded first decides about packets",
};
pub const FORWARD_OPEN: &About = &About {
    id: "forward-open",
    severity: Severity::Warning,
    title: "The host forwards, and nothing filters what it forwards",
};
pub const HAIRPIN_WITHOUT_MASQUERADE: &About = &About {
    id: "hairpin-without-masquerade",
    severity: Severity::Warning,
    title: "A neighbour of a published server gets answers from another address",
};
pub const HIDDEN_CLIENT: &About = &About {
    id: "hidden-client",
    severity: Severity::Note,
    title: "A container sees an address of this host in place of the client's",
};
pub const INPUT_RULE_FOR_CONTAINER: &About = &About {
    id: "input-rule-for-container",
    severity: Severity::Warning,
    title: "A rule of INPUT is for a port that is forwarded to a container",
};
pub const INTERFACE_IN_NO_ZONE: &About = &About {
    id: "interface-in-no-zone",
    severity: Severity::Note,
    title: "An interface is in no zone of firewalld",
};
pub const IPV6_OPEN: &About = &About {
    id: "ipv6-open",
    severity: Severity::Warning,
    title: "IPv4 is filtered and IPv6 is not",
};
pub const JUMP_TO_EMPTY_CHAIN: &About = &About {
    id: "jump-to-empty-chain",
    severity: Severity::Note,
    title: "A rule leads to a chain without rules",
};
pub const LATE_NAT_CHAIN: &About = &About {
    id: "late-nat-chain",
    severity: Severity::Note,
    title: "A nat chain runs earlier than its priority says",
};
pub const LEFTOVERS: &About = &About {
    id: "leftovers",
    severity: Severity::Note,
    title: "Rules are left of a bridge that is gone",
};
pub const LEGACY_TABLES: &About = &About {
    id: "legacy-tables",
    severity: Severity::Note,
    title: "Tables of iptables-legacy stand beside those of nft",
};
pub const LOCAL_TRAFFIC_HIJACKED: &About = &About {
    id: "local-traffic-hijacked",
    severity: Severity::Warning,
    title: "The rule of a published port takes requests to other servers, too",
};
pub const LOOPBACK_PORT_EXPOSED: &About = &About {
    id: "loopback-port-exposed",
    severity: Severity::Warning,
    title: "A port bound to 127.0.0.1 is reachable from a neighbour",
};
pub const MANAGEMENT_CLOSED: &About = &About {
    id: "management-closed",
    severity: Severity::Note,
    title: "SSH to this host is dropped, from wherever it comes",
};
pub const MANAGEMENT_OPEN: &About = &About {
    id: "management-open",
    severity: Severity::Note,
    title: "SSH to this host is open to everyone outside",
};
pub const NOTRACK_ONE_WAY: &About = &About {
    id: "notrack-one-way",
    severity: Severity::Warning,
    title: "A rule takes one direction of connections out of connection tracking",
};
pub const NO_ROUTE_BACK: &About = &About {
    id: "no-route-back",
    severity: Severity::Warning,
    title: "A rule lets requests through whose answers have no route",
};
pub const NO_WAY_BACK: &About = &About {
    id: "no-way-back",
    severity: Severity::Warning,
    title: "A policy drops the answers to what is let through",
};
pub const PUBLISHED_PAST_ZONE: &About = &About {
    id: "published-past-zone",
    severity: Severity::Warning,
    title: "firewalld lets published ports through whatever the zone says",
};
pub const REDUNDANT_RULE: &About = &About {
    id: "redundant-rule",
    severity: Severity::Note,
    title: "Earlier rules do the same for all that a rule is for",
};
pub const REPLY_DROPPED: &About = &About {
    id: "reply-dropped",
    severity: Severity::Warning,
    title: "A rule drops the answers to what is let through",
};
pub const REPLY_RP_FILTER: &About = &About {
    id: "reply-rp-filter",
    severity: Severity::Warning,
    title: "The reverse path filter drops the answers to what is let through",
};
pub const RP_FILTER_DROP: &About = &About {
    id: "rp-filter-drop",
    severity: Severity::Warning,
    title: "The reverse path filter drops all that a rule accepts",
};
pub const RULE_AFTER_VERDICT: &About = &About {
    id: "rule-after-verdict",
    severity: Severity::Warning,
    title: "A rule stands behind one that takes every packet",
};
pub const SHADOWED_RULE: &About = &About {
    id: "shadowed-rule",
    severity: Severity::Warning,
    title: "Earlier rules take all that a rule is for, and do something else",
};
pub const UNREACHABLE_RULE: &About = &About {
    id: "unreachable-rule",
    severity: Severity::Warning,
    title: "Nothing that a rule is for is sent to its chain",
};
pub const UNUSED_CHAIN: &About = &About {
    id: "unused-chain",
    severity: Severity::Note,
    title: "No rule leads to a chain",
};
pub const UNUSED_SET: &About = &About {
    id: "unused-set",
    severity: Severity::Note,
    title: "No rule asks for a set",
};
pub const ZONE_BREAKS_REPLY: &About = &About {
    id: "zone-breaks-reply",
    severity: Severity::Warning,
    title: "Requests and their answers are in different conntrack zones",
};

/// In the order of their names.
pub const ALL: &[&About] = &[
    ACCEPT_DROPPED_BEFORE,
    ACCEPT_DROPPED_LATER,
    BEHIND_ISOLATION,
    BRIDGED_DROPPED,
    CONTRADICTORY_RULE,
    DEAD_DROP,
    DOCKER_USER_PUBLISHED_PORT,
    EMPTY_SET,
    EQUAL_PRIORITY,
    FORWARD_OPEN,
    HAIRPIN_WITHOUT_MASQUERADE,
    HIDDEN_CLIENT,
    INPUT_RULE_FOR_CONTAINER,
    INTERFACE_IN_NO_ZONE,
    IPV6_OPEN,
    JUMP_TO_EMPTY_CHAIN,
    LATE_NAT_CHAIN,
    LEFTOVERS,
    LEGACY_TABLES,
    LOCAL_TRAFFIC_HIJACKED,
    LOOPBACK_PORT_EXPOSED,
    MANAGEMENT_CLOSED,
    MANAGEMENT_OPEN,
    NO_ROUTE_BACK,
    NO_WAY_BACK,
    NOTRACK_ONE_WAY,
    PUBLISHED_PAST_ZONE,
    REDUNDANT_RULE,
    REPLY_DROPPED,
    REPLY_RP_FILTER,
    RP_FILTER_DROP,
    RULE_AFTER_VERDICT,
    SHADOWED_RULE,
    UNREACHABLE_RULE,
    UNUSED_CHAIN,
    UNUSED_SET,
    ZONE_BREAKS_REPLY,
];
