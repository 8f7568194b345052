//! Which kinds of statements and expressions a run of made-up cases had, and how often packets met them.
//!
//! The list of kinds is made from the domain types by the same `match` that names them: a kind that is new in
//! [`crate::ruleset`] breaks the build here. A kind that no run can have carries the reason. Counted are the statements
//! of the model's way that was compared with the kernel's, not those of other ways.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::ruleset::expr::{OpaqueField, OptionOf, RtKey, SocketKey};
use crate::ruleset::protocol::{self, Base};
use crate::ruleset::{
    BitOp, CtDir, CtKey, DataKind, Effect, Expr, Family, FibResult, Field, GateKind, Hook, MetaKey,
    NatKind, NatRange, Op, Operand, Reject, Rule, Ruleset, SetId, Stmt, Verdict,
};
use crate::walk::step::{RuleOutcome, StepKind, Walked};

/// Why a kind may be at zero.
const NO_NFT: &str = "nft 1.0.6 cannot write it";
const TWO_PACKETS: &str = "the comparison takes the copy for the packet";
const NO_KERNEL: &str = "not in the kernel that this was written with";
const NO_FAMILY: &str = "the lab sends no packets of this family";
const NO_PACKET: &str = "the lab sends no such packets";
const NO_SYSTEM: &str = "needs a security module";
const NOT_LISTED: &str = "nft gives no such rule; only iptables text does";
const BROKEN: &str = "a ruleset that nft loads has none";

/// A kind: its group, and its name.
pub type Kind = (&'static str, &'static str);

/// How often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Rules of this kind that were loaded; for hooks, base chains.
    pub rules: u64,
    /// Packets that came to such a statement.
    pub reached: u64,
    /// Packets for which it held.
    pub matched: u64,
}

macro_rules! reason {
    () => {
        None
    };
    ($why:expr) => {
        Some($why)
    };
}

/// One `match` that names the variants of a type, and the list of these names with the reasons for zeros.
macro_rules! kinds {
    ($name:ident, $list:ident, $group:literal, $type:ty, {
        $($pattern:pat => $word:literal $([$why:expr])?,)*
    }) => {
        fn $name(value: &$type) -> Kind {
            match value { $($pattern => ($group, $word),)* }
        }
        const $list: &[(Kind, Option<&str>)] = &[$((($group, $word), reason!($($why)?)),)*];
    };
}

kinds!(statement, STATEMENTS, "statement", Stmt, {
    Stmt::Match(_) => "match",
    Stmt::Verdict(_) => "verdict",
    Stmt::Vmap { .. } => "vmap",
    Stmt::ObjectMap { .. } => "object map",
    Stmt::Mangle { .. } => "set",
    Stmt::Nat(_) => "nat",
    Stmt::Reject(_) => "reject",
    Stmt::Gate(_) => "gate",
    Stmt::Notrack => "notrack",
    Stmt::Queue { .. } => "queue" [NO_KERNEL],
    Stmt::Tproxy { .. } => "tproxy",
    Stmt::Dup => "dup" [TWO_PACKETS],
    Stmt::Fwd { .. } => "fwd",
    Stmt::FlowOffload { .. } => "flow add" [NO_KERNEL],
    Stmt::Synproxy => "synproxy",
    Stmt::SetUpdate { .. } => "set update",
    Stmt::NoEffect(_) => "without effect",
    Stmt::Unknown(_) => "unknown",
});

kinds!(effect, EFFECTS, "without effect", Effect, {
    Effect::Counter => "counter",
    Effect::Log => "log",
    Effect::Last => "last" [NO_NFT],
    Effect::CtHelper => "ct helper",
    Effect::CtTimeout => "ct timeout",
    Effect::CtExpectation => "ct expectation",
    Effect::Secmark => "secmark" [NO_SYSTEM],
    Effect::Tunnel => "tunnel" [NO_NFT],
    Effect::ResetOption => "reset option",
    Effect::Comment => "comment" [NOT_LISTED],
    Effect::Audit => "audit" [NOT_LISTED],
});

kinds!(verdict, VERDICTS, "verdict", Verdict, {
    Verdict::Accept => "accept",
    Verdict::Drop => "drop",
    Verdict::Continue => "continue",
    Verdict::Return => "return",
    Verdict::Jump(_) => "jump",
    Verdict::Goto(_) => "goto",
});

kinds!(gate, GATES, "gate", GateKind, {
    GateKind::Limit => "limit",
    GateKind::Quota => "quota",
    GateKind::CtCount => "ct count",
});

kinds!(nat, NATS, "nat", NatKind, {
    NatKind::Snat => "snat",
    NatKind::Dnat => "dnat",
    NatKind::Masquerade => "masquerade",
    NatKind::Redirect => "redirect",
});

kinds!(nat_address, NAT_ADDRESSES, "nat address", NatRange, {
    NatRange::None => "none",
    NatRange::One(Expr::Const(_)) => "one",
    NatRange::One(_) => "by map",
    NatRange::Range(..) => "range",
    NatRange::InAddress => "in the address" [BROKEN],
});

kinds!(nat_port, NAT_PORTS, "nat port", NatRange, {
    NatRange::None => "none",
    NatRange::One(Expr::Const(_)) => "one",
    NatRange::One(_) => "by map",
    NatRange::Range(..) => "range",
    NatRange::InAddress => "in the address",
});

kinds!(reject, REJECTS, "reject", Reject, {
    Reject::TcpReset => "tcp reset",
    Reject::Icmp(_) => "icmp",
    Reject::Icmpv6(_) => "icmpv6",
    Reject::Icmpx(_) => "icmpx",
});

kinds!(op, OPS, "comparison", Op, {
    Op::Eq => "==",
    Op::Ne => "!=",
    Op::Lt => "<",
    Op::Gt => ">",
    Op::Le => "<=",
    Op::Ge => ">=",
    Op::AnyBit => "any bit",
    Op::NoBit => "no bit",
});

kinds!(operand, OPERANDS, "compared with", Operand, {
    Operand::Value(_) => "value",
    Operand::Range(..) => "range, prefix",
    Operand::Set(_) => "set",
    Operand::Expr(_) => "expression" [NO_NFT],
});

kinds!(expression, EXPRESSIONS, "expression", Expr, {
    Expr::Const(_) => "constant",
    Expr::Field(_) => "field",
    Expr::Bitwise { .. } => "bitwise",
    Expr::Binary { op: BitOp::And, .. } => "a & b" [NO_NFT],
    Expr::Binary { op: BitOp::Or, .. } => "a | b" [NO_NFT],
    Expr::Binary { op: BitOp::Xor, .. } => "a ^ b" [NO_NFT],
    Expr::Shift { left: true, .. } => "lshift",
    Expr::Shift { left: false, .. } => "rshift",
    Expr::Lookup { .. } => "map",
    Expr::Concat(_) => "concatenation",
    Expr::Numgen { random: true, .. } => "numgen random",
    Expr::Numgen { random: false, .. } => "numgen inc",
    Expr::Hash { .. } => "hash",
    Expr::Unknown(_) => "unknown",
});

kinds!(field, FIELDS, "field", Field, {
    Field::Meta(_) => "meta",
    Field::Ct { dir: None, .. } => "ct",
    Field::Ct { dir: Some(CtDir::Original), .. } => "ct original",
    Field::Ct { dir: Some(CtDir::Reply), .. } => "ct reply",
    Field::Payload { base: Base::Ll, .. } => "payload @ll",
    Field::Payload { base: Base::Nh, .. } => "payload @nh",
    Field::Payload { base: Base::Th, .. } => "payload @th",
    Field::Payload { base: Base::Ih, .. } => "payload @ih",
    Field::Exthdr { presence: false, .. } => "exthdr",
    Field::Exthdr { presence: true, .. } => "exthdr exists",
    Field::Option { of: OptionOf::Tcp, presence: false, .. } => "tcp option",
    Field::Option { of: OptionOf::Tcp, presence: true, .. } => "tcp option exists",
    Field::Option { of: OptionOf::Ip, presence: false, .. } => "ip option",
    Field::Option { of: OptionOf::Ip, presence: true, .. } => "ip option exists",
    Field::Option { of: OptionOf::Sctp, presence: false, .. } => "sctp chunk",
    Field::Option { of: OptionOf::Sctp, presence: true, .. } => "sctp chunk exists",
    Field::Option { of: OptionOf::Dccp, .. } => "dccp option" [NO_NFT],
    Field::Fib { result: FibResult::Oif, .. } => "fib oif",
    Field::Fib { result: FibResult::Oifname, .. } => "fib oifname",
    Field::Fib { result: FibResult::Type, .. } => "fib type",
    Field::Fib { result: FibResult::Present, .. } => "fib exists",
    Field::Rt(RtKey::ClassId) => "rt classid",
    Field::Rt(RtKey::Nexthop4) => "rt ip nexthop",
    Field::Rt(RtKey::Nexthop6) => "rt ip6 nexthop",
    Field::Rt(RtKey::Mtu) => "rt mtu",
    Field::Rt(RtKey::Ipsec) => "rt ipsec",
    Field::Socket(SocketKey::Transparent) => "socket transparent",
    Field::Socket(SocketKey::Mark) => "socket mark",
    Field::Socket(SocketKey::Wildcard) => "socket wildcard",
    Field::Socket(SocketKey::Cgroupv2) => "socket cgroupv2" ["needs a cgroup of the host"],
    Field::Opaque(OpaqueField::Osf) => "osf",
    Field::Opaque(OpaqueField::Ipsec) => "ipsec",
    Field::Opaque(OpaqueField::Tunnel) => "tunnel" [NO_NFT],
    Field::Opaque(OpaqueField::Inner) => "inner header" [NO_NFT],
});

kinds!(meta, METAS, "meta", MetaKey, {
    MetaKey::Length => "length",
    MetaKey::Protocol => "protocol",
    MetaKey::Priority => "priority",
    MetaKey::Random => "random",
    MetaKey::Mark => "mark",
    MetaKey::Iif => "iif",
    MetaKey::Iifname => "iifname",
    MetaKey::Iiftype => "iiftype",
    MetaKey::Oif => "oif",
    MetaKey::Oifname => "oifname",
    MetaKey::Oiftype => "oiftype",
    MetaKey::Skuid => "skuid",
    MetaKey::Skgid => "skgid",
    MetaKey::Nftrace => "nftrace",
    MetaKey::Rtclassid => "rtclassid",
    MetaKey::Ibrname => "ibrname" [NO_KERNEL],
    MetaKey::Obrname => "obrname" [NO_KERNEL],
    MetaKey::Ibrpvid => "ibrpvid" [NO_KERNEL],
    MetaKey::Ibrvproto => "ibrvproto" [NO_KERNEL],
    MetaKey::Ibrhwaddr => "ibrhwaddr" [NO_NFT],
    MetaKey::Sdif => "sdif",
    MetaKey::Sdifname => "sdifname",
    MetaKey::Pkttype => "pkttype",
    MetaKey::Cpu => "cpu",
    MetaKey::Iifgroup => "iifgroup",
    MetaKey::Oifgroup => "oifgroup",
    MetaKey::Cgroup => "cgroup",
    MetaKey::Nfproto => "nfproto",
    MetaKey::L4proto => "l4proto",
    MetaKey::Secpath => "secpath",
    MetaKey::Iifkind => "iifkind",
    MetaKey::Oifkind => "oifkind",
    MetaKey::Time => "time",
    MetaKey::Day => "day",
    MetaKey::Hour => "hour",
    MetaKey::Secmark => "secmark" [NO_SYSTEM],
    MetaKey::Broute => "broute" [NO_NFT],
    MetaKey::Physin => "physdev-in" ["only iptables asks for it"],
    MetaKey::Physout => "physdev-out" ["only iptables asks for it"],
});

kinds!(ct, CTS, "ct", CtKey, {
    CtKey::State => "state",
    CtKey::Direction => "direction",
    CtKey::Status => "status",
    CtKey::Mark => "mark",
    CtKey::Expiration => "expiration",
    CtKey::Helper => "helper",
    CtKey::Label => "label",
    CtKey::L3proto => "l3proto" ["nft 1.0.6 leaves it out of its listings"],
    CtKey::Saddr { v6: false } => "ip saddr",
    CtKey::Saddr { v6: true } => "ip6 saddr",
    CtKey::Daddr { v6: false } => "ip daddr",
    CtKey::Daddr { v6: true } => "ip6 daddr",
    CtKey::Protocol => "protocol",
    CtKey::ProtoSrc => "proto-src",
    CtKey::ProtoDst => "proto-dst",
    CtKey::Bytes => "bytes",
    CtKey::Packets => "packets",
    CtKey::Avgpkt => "avgpkt",
    CtKey::Zone => "zone",
    CtKey::Event => "event",
    CtKey::Id => "id",
    CtKey::Secmark => "secmark" [NO_SYSTEM],
});

kinds!(map, MAPS, "map", DataKind, {
    DataKind::Verdict => "to verdict",
    DataKind::Value(_) => "to value",
    DataKind::Object => "to object",
});

/// Marks of rules that no single type tells.
const TRAITS: &[(Kind, Option<&str>)] = &[
    (("set", "named"), None),
    (("set", "anonymous"), None),
    (("set", "concatenation"), None),
    (("set", "with ranges"), None),
    (("set", "concatenation with ranges"), None),
    (("set", "with catch-all"), None),
    (("set", "changing"), None),
    (("set", "delete"), None),
    (("nat flag", "random"), None),
    (("nat flag", "persistent"), None),
    (("nat flag", "prefix"), None),
    (("limit kind", "over"), None),
    (("limit kind", "up to"), None),
    (("queue flag", "bypass"), Some(NO_KERNEL)),
    (("written", "meta"), None),
    (("written", "ct"), None),
    (("written", "payload"), None),
    (("written", "tcp option"), None),
];

/// All lists.
const LISTS: &[&[(Kind, Option<&str>)]] = &[
    STATEMENTS,
    VERDICTS,
    EFFECTS,
    GATES,
    NATS,
    NAT_ADDRESSES,
    NAT_PORTS,
    REJECTS,
    OPS,
    OPERANDS,
    EXPRESSIONS,
    FIELDS,
    METAS,
    CTS,
    MAPS,
    TRAITS,
];

/// The group of header fields.
const HEADER: &str = "header";

/// Why a header field may be at zero.
fn header_reason(protocol: &str, field: &str) -> Option<&'static str> {
    match (protocol, field) {
        ("vxlan" | "geneve" | "gre", _) => Some(NO_NFT),
        ("icmpv6", "taddr" | "daddr" | "parameter-problem") => Some(NO_NFT),
        ("igmp", "group") | ("comp", "nexthdr") => Some("nft 1.0.6 fails on it"),
        ("arp", _) => Some(NO_FAMILY),
        ("vlan", _) => Some("the lab sends no frames with a tag to rules"),
        ("dccp" | "igmp" | "comp" | "udplite", _) => Some(NO_PACKET),
        ("icmp", "gateway" | "mtu") | ("icmpv6", "mtu" | "max-delay") => Some(NO_PACKET),
        _ => None,
    }
}

/// The families and hooks that exist, and why one may be at zero.
fn places() -> impl Iterator<Item = ((Family, Hook), Option<&'static str>)> {
    let families = [
        Family::Ip,
        Family::Ip6,
        Family::Inet,
        Family::Bridge,
        Family::Arp,
        Family::Netdev,
    ];
    families.into_iter().flat_map(|family| {
        Hook::ALL.into_iter().filter_map(move |hook| {
            let edge = matches!(hook, Hook::Ingress | Hook::Egress);
            let here = match family {
                Family::Ip | Family::Ip6 | Family::Bridge => !edge,
                Family::Inet => hook != Hook::Egress,
                Family::Arp => matches!(hook, Hook::Input | Hook::Output),
                Family::Netdev => edge,
            };
            let why = (family == Family::Arp).then_some(NO_FAMILY);
            here.then_some(((family, hook), why))
        })
    })
}

/// What a run had.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    kinds: BTreeMap<Kind, Count>,
    headers: BTreeMap<String, Count>,
    hooks: BTreeMap<(Family, Hook), Count>,
}

/// The kinds of each statement of a ruleset, worked out once.
#[derive(Debug)]
pub struct Inventory {
    /// By rule, then by statement.
    rules: Vec<Vec<Vec<Kind>>>,
    headers: Vec<Vec<Vec<String>>>,
}

impl Inventory {
    pub fn new(ruleset: &Ruleset) -> Inventory {
        let found: Vec<_> = ruleset
            .rules
            .iter()
            .map(|rule| of_rule(ruleset, rule))
            .collect();
        let (rules, headers) = found.into_iter().unzip();
        Inventory { rules, headers }
    }
}

/// Kinds and header fields of each statement.
fn of_rule(ruleset: &Ruleset, rule: &Rule) -> (Vec<Vec<Kind>>, Vec<Vec<String>>) {
    let mut about = About {
        v6: ruleset.table_of(rule.chain).family == Family::Ip6,
        proto: 0,
    };
    rule.statements
        .iter()
        .map(|statement| {
            let mut seen = Seen {
                ruleset,
                about,
                kinds: Vec::new(),
                headers: Vec::new(),
            };
            seen.statement(&statement.kind);
            about.learn(&statement.kind);
            seen.kinds.sort_unstable();
            seen.kinds.dedup();
            seen.headers.sort_unstable();
            seen.headers.dedup();
            (seen.kinds, seen.headers)
        })
        .unzip()
}

/// What the matches before say of the packet: header fields share places.
#[derive(Debug, Clone, Copy)]
struct About {
    v6: bool,
    proto: u8,
}

impl About {
    fn learn(&mut self, stmt: &Stmt) {
        let Stmt::Match(test) = stmt else { return };
        let (Expr::Field(field), Op::Eq, Operand::Value(value)) =
            (&test.left, test.op, &test.right)
        else {
            return;
        };
        match field {
            Field::Meta(MetaKey::L4proto) => self.proto = *value as u8,
            Field::Meta(MetaKey::Nfproto) => self.v6 = *value == 10,
            Field::Meta(MetaKey::Protocol) => self.v6 = *value == 0x86dd,
            Field::Payload {
                base: Base::Ll,
                offset: 96,
                len: 16,
            } => self.v6 = *value == 0x86dd,
            Field::Payload {
                base: Base::Nh,
                offset: 72,
                len: 8,
            } if !self.v6 => {
                self.proto = *value as u8;
            }
            _ => {}
        }
    }
}

struct Seen<'a> {
    ruleset: &'a Ruleset,
    about: About,
    kinds: Vec<Kind>,
    headers: Vec<String>,
}

impl Seen<'_> {
    fn statement(&mut self, stmt: &Stmt) {
        self.kinds.push(statement(stmt));
        match stmt {
            Stmt::Match(test) => {
                self.kinds.extend([op(&test.op), operand(&test.right)]);
                self.expression(&test.left);
                match &test.right {
                    Operand::Set(set) => self.set(*set),
                    Operand::Expr(expr) => self.expression(expr),
                    Operand::Value(_) | Operand::Range(..) => {}
                }
            }
            Stmt::Verdict(one) => self.kinds.push(verdict(one)),
            Stmt::Vmap { key, map } | Stmt::ObjectMap { key, map } => {
                self.expression(key);
                self.set(*map);
            }
            Stmt::Mangle { target, value, .. } => {
                self.kinds.push(match target {
                    Field::Meta(_) => ("written", "meta"),
                    Field::Ct { .. } => ("written", "ct"),
                    Field::Payload { .. } => ("written", "payload"),
                    Field::Exthdr { .. }
                    | Field::Option { .. }
                    | Field::Fib { .. }
                    | Field::Rt(_)
                    | Field::Socket(_)
                    | Field::Opaque(_) => ("written", "tcp option"),
                });
                self.field(target);
                self.expression(value);
            }
            Stmt::Nat(translation) => {
                self.kinds.push(nat(&translation.kind));
                self.kinds.push(nat_address(&translation.addr));
                self.kinds.push(nat_port(&translation.port));
                let flags = [
                    (translation.random, "random"),
                    (translation.persistent, "persistent"),
                    (translation.prefix, "prefix"),
                ];
                let flags = flags.iter().filter(|(set, _)| *set);
                self.kinds
                    .extend(flags.map(|(_, name)| ("nat flag", *name)));
                for range in [&translation.addr, &translation.port] {
                    match range {
                        NatRange::One(expr) => self.expression(expr),
                        NatRange::Range(from, to) => {
                            self.expression(from);
                            self.expression(to);
                        }
                        NatRange::None | NatRange::InAddress => {}
                    }
                }
            }
            Stmt::Reject(answer) => self.kinds.push(reject(answer)),
            Stmt::Gate(one) => {
                self.kinds.push(gate(&one.kind));
                self.kinds
                    .push(("limit kind", if one.over { "over" } else { "up to" }));
            }
            Stmt::Queue { bypass } => {
                if *bypass {
                    self.kinds.push(("queue flag", "bypass"));
                }
            }
            Stmt::Tproxy { addr, port, .. } => {
                for expr in [addr, port].into_iter().flatten() {
                    self.expression(expr);
                }
            }
            Stmt::SetUpdate { set, delete, key } => {
                self.expression(key);
                self.set(*set);
                if *delete {
                    self.kinds.push(("set", "delete"));
                }
            }
            Stmt::NoEffect(one) => self.kinds.push(effect(one)),
            Stmt::Notrack
            | Stmt::Dup
            | Stmt::Fwd { .. }
            | Stmt::FlowOffload { .. }
            | Stmt::Synproxy
            | Stmt::Unknown(_) => {}
        }
    }

    fn expression(&mut self, expr: &Expr) {
        self.kinds.push(expression(expr));
        match expr {
            Expr::Field(field) => self.field(field),
            Expr::Bitwise { of, .. } | Expr::Shift { of, .. } => self.expression(of),
            Expr::Binary { left, right, .. } => {
                self.expression(left);
                self.expression(right);
            }
            Expr::Lookup { key, map } => {
                self.expression(key);
                self.set(*map);
            }
            Expr::Concat(parts) => {
                for part in parts {
                    self.expression(part);
                }
            }
            Expr::Const(_) | Expr::Numgen { .. } | Expr::Hash { .. } | Expr::Unknown(_) => {}
        }
    }

    fn field(&mut self, one: &Field) {
        self.kinds.push(field(one));
        match one {
            Field::Meta(key) => self.kinds.push(meta(key)),
            Field::Ct { key, .. } => self.kinds.push(ct(key)),
            Field::Payload { base, offset, len } => {
                let About { v6, proto } = self.about;
                let name = protocol::header_fields().find(|(protocol, _, place)| {
                    place.base == *base
                        && place.offset == *offset
                        && place.len == *len
                        && match *base {
                            Base::Nh => *protocol == if v6 { "ip6" } else { "ip" },
                            Base::Th | Base::Ih if proto == 0 => *protocol == "th",
                            Base::Th | Base::Ih => {
                                protocol::transport_number(protocol) == Some(proto)
                            }
                            Base::Ll => true,
                        }
                });
                if let Some((protocol, name, _)) = name {
                    self.headers.push(format!("{protocol} {name}"));
                }
            }
            Field::Exthdr { .. }
            | Field::Option { .. }
            | Field::Fib { .. }
            | Field::Rt(_)
            | Field::Socket(_)
            | Field::Opaque(_) => {}
        }
    }

    fn set(&mut self, id: SetId) {
        let set = self.ruleset.set(id);
        let concatenation = set.key.len() > 1;
        let ranges = set
            .elements()
            .iter()
            .any(|e| e.key.iter().any(|(from, to)| from != to));
        let traits = [
            (set.name.is_some(), "named"),
            (set.name.is_none(), "anonymous"),
            (concatenation, "concatenation"),
            (ranges, "with ranges"),
            (concatenation && ranges, "concatenation with ranges"),
            (set.catch_all.is_some(), "with catch-all"),
            (set.volatile, "changing"),
        ];
        let traits = traits.iter().filter(|(has, _)| *has);
        self.kinds.extend(traits.map(|(_, name)| ("set", *name)));
        self.kinds.extend(set.data_kind.iter().map(map));
    }
}

impl Coverage {
    /// Counts a ruleset that was loaded.
    pub fn loaded(&mut self, ruleset: &Ruleset, inventory: &Inventory) {
        for (kinds, headers) in inventory.rules.iter().zip(&inventory.headers) {
            let mut kinds: Vec<Kind> = kinds.iter().flatten().copied().collect();
            kinds.sort_unstable();
            kinds.dedup();
            for kind in kinds {
                self.kinds.entry(kind).or_default().rules += 1;
            }
            let mut headers: Vec<&String> = headers.iter().flatten().collect();
            headers.sort_unstable();
            headers.dedup();
            for header in headers {
                self.headers.entry(header.clone()).or_default().rules += 1;
            }
        }
        for (_, chain) in ruleset.chains() {
            if let Some(base) = &chain.base {
                let place = (ruleset.table(chain.table).family, base.hook);
                self.hooks.entry(place).or_default().rules += 1;
            }
        }
    }

    /// Counts a conversation.
    pub fn walked(&mut self, ruleset: &Ruleset, inventory: &Inventory, walked: &Walked) {
        for path in std::iter::once(&walked.request).chain(&walked.reply) {
            for step in &path.steps {
                match &step.kind {
                    StepKind::Chain(id) => {
                        let chain = ruleset.chain(*id);
                        if let Some(base) = &chain.base {
                            let place = (ruleset.table(chain.table).family, base.hook);
                            let count = self.hooks.entry(place).or_default();
                            count.reached += 1;
                        }
                    }
                    StepKind::Policy { chain, .. } => {
                        let chain = ruleset.chain(*chain);
                        if let Some(base) = &chain.base {
                            let place = (ruleset.table(chain.table).family, base.hook);
                            self.hooks.entry(place).or_default().matched += 1;
                        }
                    }
                    StepKind::Rule(rule) => {
                        let at = rule.rule.index();
                        let (kinds, headers) = (&inventory.rules[at], &inventory.headers[at]);
                        let held = match &rule.outcome {
                            RuleOutcome::NoMatch { statement, .. } => *statement,
                            RuleOutcome::Matched(_) => kinds.len(),
                        };
                        self.count(kinds, headers, held);
                    }
                    StepKind::Conntrack(_)
                    | StepKind::Nat(_)
                    | StepKind::Routing(_)
                    | StepKind::Bridge(_)
                    | StepKind::Ttl { .. }
                    | StepKind::Local
                    | StepKind::Leaves
                    | StepKind::Loopback
                    | StepKind::Drop(_) => {}
                }
            }
        }
    }

    /// The statements of a rule up to the one that did not hold.
    fn count(&mut self, kinds: &[Vec<Kind>], headers: &[Vec<String>], held: usize) {
        for (at, (kinds, headers)) in kinds.iter().zip(headers).enumerate().take(held + 1) {
            let matched = u64::from(at < held);
            for kind in kinds {
                let count = self.kinds.entry(*kind).or_default();
                count.reached += 1;
                count.matched += matched;
            }
            for header in headers {
                let count = self.headers.entry(header.clone()).or_default();
                count.reached += 1;
                count.matched += matched;
            }
        }
    }

    /// Adds what another run had.
    pub fn add(&mut self, other: &Coverage) {
        let sum = |into: &mut Count, more: &Count| {
            into.rules += more.rules;
            into.reached += more.reached;
            into.matched += more.matched;
        };
        for (key, more) in &other.kinds {
            sum(self.kinds.entry(*key).or_default(), more);
        }
        for (key, more) in &other.headers {
            sum(self.headers.entry(key.clone()).or_default(), more);
        }
        for (key, more) in &other.hooks {
            sum(self.hooks.entry(*key).or_default(), more);
        }
    }

    /// All kinds there are, with their counts and the reason for a zero.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for ((family, hook), why) in places() {
            rows.push(Row {
                group: "hook",
                kind: format!("{family} {hook}"),
                count: self.hooks.get(&(family, hook)).copied().unwrap_or_default(),
                why,
            });
        }
        for (kind, why) in LISTS.iter().copied().flatten() {
            rows.push(Row {
                group: kind.0,
                kind: kind.1.into(),
                count: self.kinds.get(kind).copied().unwrap_or_default(),
                why: *why,
            });
        }
        for (protocol, field, _) in protocol::header_fields() {
            let kind = format!("{protocol} {field}");
            rows.push(Row {
                group: HEADER,
                count: self.headers.get(&kind).copied().unwrap_or_default(),
                why: header_reason(protocol, field),
                kind,
            });
        }
        rows
    }

    /// The table, at most 80 columns wide.
    pub fn text(&self) -> String {
        let rows = self.rows();
        let mut out = String::from(
            "coverage: rules loaded, statements reached by a packet, statements that held\n",
        );
        let mut group = "";
        let mut column = 0;
        for row in rows.iter().filter(|row| row.count.reached > 0) {
            if row.group != group {
                if column > 0 {
                    out.push('\n');
                }
                group = row.group;
                column = 0;
                let _ = writeln!(out, "{group}");
            }
            let Count {
                rules,
                reached,
                matched,
            } = row.count;
            // the column with its two spaces before: 39 of 80
            let cell = format!(
                "  {:<17}{rules:>5} {reached:>7} {matched:>6}",
                cut(&row.kind)
            );
            out.push_str(&cell);
            column = 1 - column;
            if column == 0 {
                out.push('\n');
            } else {
                out.push_str("  ");
            }
        }
        if column > 0 {
            out.truncate(out.trim_end().len());
            out.push('\n');
        }
        let mut zeros: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.count.reached == 0) {
            let why = match row.why {
                Some(why) => why,
                None if row.count.rules > 0 => "in rules that no packet came to",
                None => "in no rule of this run",
            };
            let name = match row.group {
                HEADER | "hook" => row.kind.clone(),
                group => format!("{group} `{}`", row.kind),
            };
            zeros.entry(why).or_default().push(name);
        }
        for (why, names) in zeros {
            let _ = writeln!(out, "not reached, {why}:");
            let mut line = String::from(" ");
            for (at, name) in names.iter().enumerate() {
                let comma = if at + 1 < names.len() { "," } else { "" };
                if line.len() + name.len() + 2 > 79 {
                    let _ = writeln!(out, "{line}");
                    line = String::from(" ");
                }
                let _ = write!(line, " {name}{comma}");
            }
            let _ = writeln!(out, "{line}");
        }
        out
    }
}

fn cut(name: &str) -> &str {
    name.get(..17).unwrap_or(name)
}

/// A kind with its counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub group: &'static str,
    pub kind: String,
    pub count: Count,
    /// Why it may be at zero.
    pub why: Option<&'static str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_listed_once() {
        let rows = Coverage::default().rows();
        let mut seen = std::collections::BTreeSet::new();
        for row in &rows {
            assert!(seen.insert((row.group, row.kind.clone())), "{row:?}");
        }
        for (_, key, _, _) in MetaKey::ALL {
            assert!(METAS.iter().any(|(kind, _)| *kind == meta(key)));
        }
    }

    #[test]
    fn the_table_fits_80_columns_and_leaves_no_kind_out() {
        let mut coverage = Coverage::default();
        let count = Count {
            rules: 12345,
            reached: 1_234_567,
            matched: 123_456,
        };
        let empty = coverage.text();
        assert!(empty.lines().all(|line| line.len() <= 80), "{empty}");
        for (kind, _) in LISTS.iter().copied().flatten() {
            assert!(empty.contains(kind.1), "{kind:?}");
            coverage.kinds.insert(*kind, count);
        }
        let text = coverage.text();
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }
}
