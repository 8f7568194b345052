//! A ruleset in the form that is evaluated: tables, chains, rules lowered to typed statements, sets indexed.
//!
//! Nothing here knows JSON or nft's spelling; [`crate::load`] makes a `Ruleset` from a listing. One rule is
//! lowered once, and every consumer (walk, graph, audits) reads the same statements: there is one
//! definition of what a rule means.

pub mod datatype;
pub mod expr;
pub mod protocol;
pub mod set;

use std::fmt;

use compact_str::CompactString;
use indexmap::IndexMap;

use crate::logic::Source;

pub use expr::{
    BitOp, CtDir, CtKey, Expr, FibFlags, FibResult, Field, Match, MetaKey, Op, Operand,
};
pub use set::{Component, Data, DataKind, Set};

/// A name from the ruleset: untrusted text.
pub type Name = CompactString;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// The position in the ruleset's list of these.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

id! {
    /// Position of a table in [`Ruleset::tables`], which is the order of the listing.
    TableId,
    /// Position of a chain in [`Ruleset::chains`], which is the order of the listing.
    ChainId,
    /// Position of a rule in [`Ruleset::rules`].
    RuleId,
    /// Position of a set in [`Ruleset::sets`], anonymous sets included.
    SetId,
    /// Position in [`Ruleset::unknowns`].
    UnknownId,
}

/// The kernel's number of a rule, chain or table (`nft -a`). Zero when the source had none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Handle(pub u64);

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Address family of a table (nft(8), ADDRESS FAMILIES).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    Ip,
    Ip6,
    Inet,
    Arp,
    Bridge,
    Netdev,
}

impl Family {
    /// The family by nft's name.
    pub fn from_name(name: &str) -> Option<Family> {
        Some(match name {
            "ip" => Family::Ip,
            "ip6" => Family::Ip6,
            "inet" => Family::Inet,
            "arp" => Family::Arp,
            "bridge" => Family::Bridge,
            "netdev" => Family::Netdev,
            _ => return None,
        })
    }

    /// nft's name of the family.
    pub fn name(self) -> &'static str {
        match self {
            Family::Ip => "ip",
            Family::Ip6 => "ip6",
            Family::Inet => "inet",
            Family::Arp => "arp",
            Family::Bridge => "bridge",
            Family::Netdev => "netdev",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A place in the stack where base chains are run (nft(8), ADDRESS FAMILIES).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    Ingress,
    Prerouting,
    Input,
    Forward,
    Output,
    Postrouting,
    Egress,
}

impl Hook {
    /// All hooks in the order of a packet's life.
    pub const ALL: [Hook; 7] = [
        Hook::Ingress,
        Hook::Prerouting,
        Hook::Input,
        Hook::Forward,
        Hook::Output,
        Hook::Postrouting,
        Hook::Egress,
    ];

    /// The hook by nft's name.
    pub fn from_name(name: &str) -> Option<Hook> {
        Hook::ALL.into_iter().find(|hook| hook.name() == name)
    }

    /// nft's name of the hook.
    pub fn name(self) -> &'static str {
        match self {
            Hook::Ingress => "ingress",
            Hook::Prerouting => "prerouting",
            Hook::Input => "input",
            Hook::Forward => "forward",
            Hook::Output => "output",
            Hook::Postrouting => "postrouting",
            Hook::Egress => "egress",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `type` of a base chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainType {
    Filter,
    Nat,
    Route,
    Other(Name),
}

impl ChainType {
    /// nft's word for it.
    pub fn name(&self) -> &str {
        match self {
            ChainType::Filter => "filter",
            ChainType::Nat => "nat",
            ChainType::Route => "route",
            ChainType::Other(name) => name,
        }
    }
}

/// What happens to a packet that reaches the end of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    Accept,
    Drop,
}

impl Policy {
    /// nft's name of the policy.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Accept => "accept",
            Policy::Drop => "drop",
        }
    }
}

/// Whether a table's hooks are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dormancy {
    Active,
    Dormant,
    /// The listing has flags that cannot be trusted (nft 1.0.6 prints garbage for table flags).
    Possibly,
}

#[derive(Debug, Clone)]
pub struct Table {
    pub family: Family,
    pub name: Name,
    pub handle: Handle,
    pub dormancy: Dormancy,
    pub comment: Option<Name>,
    /// In the order of the listing.
    pub chains: Vec<ChainId>,
}

/// The part of a base chain that ties it to a hook.
#[derive(Debug, Clone)]
pub struct Base {
    pub kind: ChainType,
    pub hook: Hook,
    pub priority: i32,
    pub policy: Policy,
    /// Devices of an ingress or egress chain. `None`: the listing does not say (nft 1.0.6).
    pub devices: Option<Vec<Name>>,
}

#[derive(Debug, Clone)]
pub struct Chain {
    pub table: TableId,
    pub name: Name,
    pub handle: Handle,
    pub base: Option<Base>,
    pub rules: Vec<RuleId>,
    pub comment: Option<Name>,
}

/// One rule, ready to be evaluated.
#[derive(Debug, Clone)]
pub struct Rule {
    pub chain: ChainId,
    pub handle: Handle,
    /// Position in its chain, from 0.
    pub index: u32,
    pub comment: Option<Name>,
    pub statements: Box<[Statement]>,
    /// Position of the rule among the objects of the listing it came from.
    pub source: u32,
}

impl Rule {
    /// Its handle, or its place from 1 where the source has no handles: `#5`, `2`.
    pub fn number(&self) -> String {
        match self.handle.0 {
            0 => (self.index + 1).to_string(),
            _ => self.handle.to_string(),
        }
    }
}

/// One lowered statement and the statement of the listing that it came from.
#[derive(Debug, Clone)]
pub struct Statement {
    pub kind: Stmt,
    /// Position of the statement in the rule as listed.
    pub source: u16,
    /// True for a match that nft leaves out of its listing (`udp dport` implies `meta l4proto udp`).
    pub implied: bool,
}

/// The target of a jump or goto: a chain of the same table, or the name of one that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Chain(ChainId),
    Missing(Name),
}

/// A verdict (nft(8), VERDICT STATEMENTS).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    Drop,
    Continue,
    Return,
    Jump(Target),
    Goto(Target),
}

/// What a rule does, statement by statement, in the kernel's order.
#[derive(Debug, Clone)]
pub enum Stmt {
    Match(Match),
    Verdict(Verdict),
    /// A verdict looked up by key; a miss ends the rule.
    Vmap {
        key: Expr,
        map: SetId,
    },
    /// A look-up whose result only names an object (`ct helper set … map`); a miss ends the rule.
    ObjectMap {
        key: Expr,
        map: SetId,
    },
    /// Writes to the packet or its context.
    Mangle {
        target: Field,
        value: Expr,
        /// A packet that lacks what is read or written is left as it is and goes on (targets of iptables); else the rule ends.
        or_nothing: bool,
    },
    Nat(Nat),
    Reject(Reject),
    /// A test that a dump cannot decide and that has a customary answer.
    Gate(Gate),
    Notrack,
    Queue {
        bypass: bool,
    },
    Tproxy {
        family: Option<Family>,
        addr: Option<Expr>,
        port: Option<Expr>,
        /// A packet that no socket takes is dropped (the target TPROXY of iptables); else the rule ends.
        or_drop: bool,
    },
    /// A copy is sent elsewhere; the packet itself goes on.
    Dup,
    /// netdev: the packet leaves through another device; `None`: one that has to be looked up.
    Fwd {
        device: Option<Name>,
    },
    /// `flow add @table`: later packets take a shortcut.
    FlowOffload {
        flowtable: Name,
    },
    /// Answers TCP handshakes itself.
    Synproxy,
    /// Adds to or removes from a set; a full set or a failing element statement ends the rule.
    SetUpdate {
        set: SetId,
        delete: bool,
        key: Expr,
    },
    /// Nothing that can change the path: counter, log, last, ct helper, secmark, …
    NoEffect(Effect),
    /// Something this version gives no meaning to: from here on the rule is unknown.
    Unknown(UnknownId),
}

/// Statements that never change the path, kept apart for readers of the ruleset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Counter,
    Log,
    Last,
    CtHelper,
    CtTimeout,
    CtExpectation,
    Secmark,
    Tunnel,
    ResetOption,
    Comment,
    Audit,
}

/// A rate, quota or connection count: holds or not by facts that a dump does not have.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    pub kind: GateKind,
    /// True for `over`: the statement holds when the limit is exceeded.
    pub over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GateKind {
    Limit,
    Quota,
    CtCount,
}

impl GateKind {
    /// nft's name of the statement.
    pub fn name(self) -> &'static str {
        match self {
            GateKind::Limit => "limit",
            GateKind::Quota => "quota",
            GateKind::CtCount => "ct count",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NatKind {
    Snat,
    Dnat,
    Masquerade,
    Redirect,
}

impl NatKind {
    /// nft's name of the statement.
    pub fn name(self) -> &'static str {
        match self {
            NatKind::Snat => "snat",
            NatKind::Dnat => "dnat",
            NatKind::Masquerade => "masquerade",
            NatKind::Redirect => "redirect",
        }
    }
}

/// A translation (nft(8), NAT STATEMENTS).
#[derive(Debug, Clone)]
pub struct Nat {
    pub kind: NatKind,
    /// The family of the address when the rule says it (inet tables).
    pub family: Option<Family>,
    pub addr: NatRange,
    pub port: NatRange,
    /// `random`, `fully-random`: the port is chosen by chance.
    pub random: bool,
    pub persistent: bool,
    /// `type_flags prefix`: the network part is replaced, the host part kept (netmap).
    pub prefix: bool,
}

/// Which addresses or ports a translation may choose from.
#[derive(Debug, Clone)]
pub enum NatRange {
    None,
    /// One value, possibly looked up; a map's datum may be address and port in one.
    One(Expr),
    /// Inclusive.
    Range(Expr, Expr),
    /// Address and port (or an interval of them) come as one concatenated datum of `addr`.
    InAddress,
}

/// An answer to the sender (nft(8), REJECT STATEMENT).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reject {
    TcpReset,
    /// ICMP destination unreachable with this code.
    Icmp(u8),
    Icmpv6(u8),
    /// Family-independent code: 0 no-route, 1 port-unreachable, 2 host-unreachable, 3 admin-prohibited.
    Icmpx(u8),
}

/// Something in the ruleset that this version gives no meaning to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// True for something that may hold or not; false for something that acts.
    pub is_match: bool,
    /// The rule it stands in, when it stands in one.
    pub rule: Option<RuleId>,
    /// What it is, in words (`iptables match addrtype`).
    pub what: String,
    /// What would settle it.
    pub settle: String,
}

/// The whole ruleset.
#[derive(Debug, Clone, Default)]
pub struct Ruleset {
    /// Version of the nft that wrote the listing, when it says so.
    pub nft_version: Option<Name>,
    pub tables: Vec<Table>,
    pub chains: Vec<Chain>,
    pub rules: Vec<Rule>,
    pub sets: Vec<Set>,
    /// Flowtables by table and name, with their devices.
    pub flowtables: IndexMap<(TableId, Name), Vec<Name>>,
    pub unknowns: Vec<Unknown>,
    pub untold: Vec<Untold>,
}

/// Tables that the input does not tell, and that may have a say anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untold {
    /// In words: `table qux t`.
    pub what: String,
    /// Whose packets come to them; `None` for any.
    pub family: Option<Family>,
    /// Why they are not known.
    pub because: String,
    pub settle: String,
    /// Usually there are none.
    pub is_usually_none: bool,
}

impl Untold {
    /// Whether packets of IPv6, or those of IPv4, may come to these tables.
    pub fn concerns(&self, v6: bool) -> bool {
        match self.family {
            Some(Family::Ip) => !v6,
            Some(Family::Ip6) => v6,
            Some(Family::Inet | Family::Arp | Family::Bridge | Family::Netdev) | None => true,
        }
    }

    /// What is asked of them.
    pub fn question(&self) -> (&str, (&'static str, &'static str), &'static str) {
        (&self.what, ("stops", "does not stop"), "the packet")
    }

    /// Who answers that when nobody else does.
    pub fn source(&self) -> Source {
        match self.is_usually_none {
            true => Source::Default,
            false => Source::Open,
        }
    }
}

impl Ruleset {
    pub fn table(&self, id: TableId) -> &Table {
        &self.tables[id.index()]
    }

    pub fn chain(&self, id: ChainId) -> &Chain {
        &self.chains[id.index()]
    }

    pub fn rule(&self, id: RuleId) -> &Rule {
        &self.rules[id.index()]
    }

    pub fn set(&self, id: SetId) -> &Set {
        &self.sets[id.index()]
    }

    pub fn unknown(&self, id: UnknownId) -> &Unknown {
        &self.unknowns[id.index()]
    }

    /// The table that a chain belongs to.
    pub fn table_of(&self, chain: ChainId) -> &Table {
        self.table(self.chain(chain).table)
    }

    /// All rules, in the order of the listing.
    pub fn rule_ids(&self) -> impl Iterator<Item = RuleId> + use<> {
        (0..self.rules.len() as u32).map(RuleId)
    }

    /// All chains with their ids.
    pub fn chains(&self) -> impl Iterator<Item = (ChainId, &Chain)> {
        self.chains
            .iter()
            .enumerate()
            .map(|(i, chain)| (ChainId(i as u32), chain))
    }

    /// The chain of this family, table and name.
    pub fn find_chain(&self, family: Family, table: &str, chain: &str) -> Option<ChainId> {
        let table = self
            .tables
            .iter()
            .find(|t| t.family == family && t.name == table)?;
        table
            .chains
            .iter()
            .copied()
            .find(|&id| self.chain(id).name == chain)
    }

    /// Every jump and goto of a rule, verdict maps included, with true for goto.
    pub fn transfers(&self, rule: RuleId) -> Vec<(Target, bool)> {
        let mut found = Vec::new();
        let mut push = |verdict: &Verdict| match verdict {
            Verdict::Jump(target) => found.push((target.clone(), false)),
            Verdict::Goto(target) => found.push((target.clone(), true)),
            Verdict::Accept | Verdict::Drop | Verdict::Continue | Verdict::Return => {}
        };
        for statement in &self.rule(rule).statements {
            match &statement.kind {
                Stmt::Verdict(verdict) => push(verdict),
                Stmt::Vmap { map, .. } => {
                    for datum in self.set(*map).data() {
                        if let Data::Verdict(verdict) = datum {
                            push(verdict);
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }
}
