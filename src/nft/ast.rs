//! The syntax tree of a ruleset as `nft -j list ruleset` prints it (libnftables-json(5)).
//!
//! The tree is lossless: writing what was read gives the same JSON values back. Whatever this version
//! does not know is kept raw ([`Object::Unknown`], [`Stmt::Unknown`], [`Expr::Unknown`], [`Extra`]) and is
//! evaluated as unknown later. Nothing here says what a rule *means*; that is decided once, in `load::lower`.

use compact_str::CompactString;
use serde_json::Value;

/// The key of an object that stands for a part of a text that could not be read; its member `what` says it in words.
pub const UNREAD: &str = "unread";

/// The key of an object that stands for tables of a family that no text tells.
pub const UNTOLD: &str = "untold";

/// A name or a literal of a ruleset. Untrusted text: sanitise before it reaches a terminal.
pub type Str = CompactString;

/// Fields that this version does not know, in document order. Empty for everything that is understood.
///
/// A statement or expression with unknown fields must be treated as unknown by whoever gives it a meaning.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extra(pub Option<Box<Vec<(Str, Value)>>>);

impl Extra {
    /// True when every field was understood.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Keeps one more unknown field.
    pub fn push(&mut self, key: Str, value: Value) {
        self.0.get_or_insert_default().push((key, value));
    }

    /// The unknown fields in document order.
    pub fn iter(&self) -> impl Iterator<Item = &(Str, Value)> {
        self.0.iter().flat_map(|fields| fields.iter())
    }
}

/// One value or a list of values: nft writes both spellings, depending on version and count.
#[derive(Debug, Clone, PartialEq)]
pub enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The values as a slice, whichever spelling was used.
    pub fn as_slice(&self) -> &[T] {
        match self {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        }
    }
}

/// A whole listing: the array under the key `nftables`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    pub objects: Vec<Object>,
    /// Keys beside `nftables` at the top level (none seen so far).
    pub extra: Extra,
}

/// One member of the listing.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    Metainfo(Metainfo),
    Table(Table),
    Chain(Chain),
    Rule(Rule),
    /// `{"set": …}`
    Set(Box<Set>),
    /// `{"map": …}`: a set whose elements carry data.
    Map(Box<Set>),
    Flowtable(Flowtable),
    /// counter, quota, limit, ct helper, ct timeout, ct expectation, secmark, synproxy, tunnel.
    Stateful(Stateful),
    /// Anything else: the key and the raw value, or a member that is no single-key object (key empty).
    Unknown {
        key: Str,
        value: Value,
    },
}

/// `{"metainfo": …}`: which nft wrote this.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metainfo {
    pub version: Option<Str>,
    pub release_name: Option<Str>,
    pub json_schema_version: Option<i64>,
    pub extra: Extra,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    pub family: Str,
    pub name: Str,
    pub handle: Option<u64>,
    pub flags: Option<OneOrMany<Str>>,
    pub comment: Option<Str>,
    pub extra: Extra,
}

/// A chain; a base chain when `hook` is present.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chain {
    pub family: Str,
    pub table: Str,
    pub name: Str,
    pub handle: Option<u64>,
    /// `filter`, `nat` or `route`.
    pub kind: Option<Str>,
    pub hook: Option<Str>,
    pub prio: Option<Priority>,
    pub dev: Option<OneOrMany<Str>>,
    pub policy: Option<Str>,
    pub flags: Option<OneOrMany<Str>>,
    pub comment: Option<Str>,
    pub extra: Extra,
}

/// A priority: a number in every listing, a name (with offset) in hand-written JSON.
#[derive(Debug, Clone, PartialEq)]
pub enum Priority {
    Number(i64),
    Name(Str),
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rule {
    pub family: Str,
    pub table: Str,
    pub chain: Str,
    pub handle: Option<u64>,
    pub index: Option<u64>,
    pub comment: Option<Str>,
    /// `None` when the key is missing.
    pub expr: Option<Vec<Stmt>>,
    pub extra: Extra,
}

/// A named set or map.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Set {
    pub family: Str,
    pub name: Str,
    pub table: Str,
    pub handle: Option<u64>,
    /// `type`: a data type name, a list of them, or `{"typeof": EXPR}`.
    pub key_type: Option<TypeSpec>,
    /// `map`: the data type of a map's values (`verdict`, `ipv4_addr`, `counter`, …).
    pub data_type: Option<TypeSpec>,
    pub policy: Option<Str>,
    pub flags: Option<OneOrMany<Str>>,
    /// Elements in document order; map elements are [`Expr::Pair`]s.
    pub elem: Option<Vec<Expr>>,
    /// Seconds.
    pub timeout: Option<u64>,
    /// Seconds.
    pub gc_interval: Option<u64>,
    pub size: Option<u64>,
    pub auto_merge: Option<bool>,
    /// Statements that every element carries (`counter`, `limit`, …).
    pub stmt: Option<Vec<Stmt>>,
    pub comment: Option<Str>,
    pub extra: Extra,
}

/// How a set names the type of its keys or data.
#[derive(Debug, Clone, PartialEq)]
pub enum TypeSpec {
    /// One name, or `"a . b"` in one string (maps before nft 1.1.0).
    Name(Str),
    /// A concatenation; each part is a name or `{"typeof": …}`.
    List(Vec<TypeSpec>),
    /// `{"typeof": EXPR}` (nft 1.1.2 and later).
    Typeof(Box<Expr>),
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flowtable {
    pub family: Str,
    pub name: Str,
    pub table: Str,
    pub handle: Option<u64>,
    pub hook: Option<Str>,
    pub prio: Option<Priority>,
    pub dev: Option<OneOrMany<Str>>,
    pub flags: Option<OneOrMany<Str>>,
    pub extra: Extra,
}

/// Which kind of named object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatefulKind {
    Counter,
    Quota,
    Limit,
    CtHelper,
    CtTimeout,
    CtExpectation,
    Secmark,
    Synproxy,
    Tunnel,
}

/// A named object that rules refer to. Its parameters never decide a path by themselves, so they stay raw.
#[derive(Debug, Clone, PartialEq)]
pub struct Stateful {
    pub kind: StatefulKind,
    pub family: Str,
    pub name: Str,
    pub table: Str,
    pub handle: Option<u64>,
    pub comment: Option<Str>,
    /// All other fields in document order (`packets`, `rate`, `protocol`, …).
    pub fields: Vec<(Str, Value)>,
}

/// One statement of a rule.
#[derive(Debug, Clone, PartialEq)]
pub enum Stmt {
    Match(Box<Match>),
    Verdict(Verdict),
    /// `KEY vmap DATA`.
    Vmap(Box<MapExpr>),
    /// `KEY set VALUE`.
    Mangle(Box<Mangle>),
    Counter(ObjectRef),
    Quota(ObjectRef),
    Limit(ObjectRef),
    /// `ct count [over] N`.
    CtCount(Fields),
    CtHelper(ObjectRef),
    CtTimeout(ObjectRef),
    CtExpectation(ObjectRef),
    Secmark(ObjectRef),
    Synproxy(ObjectRef),
    Tunnel(ObjectRef),
    /// `last`: when this rule last matched.
    Last(Fields),
    Log(Fields),
    Nat(Box<Nat>),
    Reject(Reject),
    /// `add|update|delete @set { ELEM }`.
    SetUpdate(Box<SetUpdate>),
    /// Old-style `meter NAME { KEY STMT }`.
    Meter(Box<Meter>),
    Dup(Box<Redirection>),
    Fwd(Box<Redirection>),
    Queue(Box<Queue>),
    Tproxy(Box<Tproxy>),
    /// `flow add @flowtable`.
    Flow(Box<Flow>),
    Notrack,
    /// `reset tcp option NAME` (`optstrip`).
    ResetOption(Fields),
    /// An iptables extension in an nft rule: kind and name only, its arguments are not in the listing.
    Xt(Xt),
    /// A statement that nft could only print as text (an anonymous chain `jump { … }`, cut at 1,023 bytes).
    Text(Str),
    /// A statement this version does not know, or a known one of a shape it does not know.
    Unknown {
        key: Str,
        value: Value,
    },
}

/// A JSON object of parameters that do not decide a path by themselves, or `null`; kept as written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fields(pub Value);

impl Fields {
    /// The value under `key`, when this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }
}

/// A statement's object: given in place, by name, or looked up in a map.
#[derive(Debug, Clone, PartialEq)]
pub enum ObjectRef {
    /// `null` or parameters in place.
    Inline(Fields),
    Name(Str),
    /// `{"map": {"key": …, "data": …}}`: a look-up that misses ends the rule.
    Map(Box<MapExpr>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    pub op: MatchOp,
    pub left: Expr,
    pub right: Expr,
    pub extra: Extra,
}

/// A relational operator as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MatchOp {
    Eq,
    Ne,
    Lt,
    Gt,
    Le,
    Ge,
    /// Bits of the right side are set in the left; also the implicit operator of old versions.
    In,
    /// `!`: none of the bits of the right side are set in the left.
    Not,
    Other(Str),
}

/// A verdict in a rule or as data of a verdict map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    Drop,
    Continue,
    Return,
    Jump(Str),
    Goto(Str),
}

/// `KEY map DATA` or `KEY vmap DATA`.
#[derive(Debug, Clone, PartialEq)]
pub struct MapExpr {
    pub key: Expr,
    /// [`Expr::Set`] in place, or an [`Expr::String`] `@name`.
    pub data: Expr,
    pub extra: Extra,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Mangle {
    pub key: Expr,
    pub value: Expr,
    pub extra: Extra,
}

impl Mangle {
    /// The field and value by which targets of iptables say that a packet that lacks what is read or written goes on as it is.
    /// nft has no word for that, and needs none at the end of a rule, where they stand.
    pub const OR_NOTHING: (&str, &str) = ("else", "nothing");

    /// Whether [`Mangle::OR_NOTHING`] is said, and nothing else.
    pub fn is_or_nothing(&self) -> bool {
        let (field, word) = Mangle::OR_NOTHING;
        let mut said = self.extra.iter();
        let first = said.next();
        first.is_some_and(|(key, value)| key.as_str() == field && value == word)
            && said.next().is_none()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NatKind {
    Snat,
    Dnat,
    Masquerade,
    Redirect,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Nat {
    pub kind: NatKind,
    /// True when the value was `null` (`{"masquerade": null}`), so that it can be written back.
    pub null: bool,
    pub family: Option<Str>,
    pub addr: Option<Expr>,
    pub port: Option<Expr>,
    pub flags: Option<OneOrMany<Str>>,
    /// `interval`, `prefix`, `concat`: how `addr` is to be read.
    pub type_flags: Option<OneOrMany<Str>>,
    pub extra: Extra,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reject {
    /// True when the value was `null`.
    pub null: bool,
    /// `tcp reset`, `icmp`, `icmpv6`, `icmpx`.
    pub kind: Option<Str>,
    /// The code, a name or a number.
    pub expr: Option<Box<Expr>>,
    pub extra: Extra,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SetUpdate {
    /// `set` or `map`: the statement's own key.
    pub is_map: bool,
    /// `add`, `update`, `delete`.
    pub op: Str,
    pub elem: Expr,
    pub data: Option<Expr>,
    /// `@name`.
    pub set: Str,
    pub stmt: Option<Vec<Stmt>>,
    pub extra: Extra,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Meter {
    pub name: Option<Str>,
    pub key: Expr,
    /// One statement; a list in some versions.
    pub stmt: OneOrMany<Stmt>,
    pub size: Option<u64>,
    pub extra: Extra,
}

/// `dup to ADDR device DEV`, `fwd to ADDR device DEV`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Redirection {
    pub family: Option<Str>,
    pub addr: Option<Expr>,
    pub dev: Option<Expr>,
    pub extra: Extra,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Queue {
    pub num: Option<Expr>,
    pub flags: Option<OneOrMany<Str>>,
    pub extra: Extra,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tproxy {
    pub family: Option<Str>,
    pub addr: Option<Expr>,
    pub port: Option<Expr>,
    pub extra: Extra,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Flow {
    pub op: Str,
    /// `@name`.
    pub flowtable: Str,
    pub extra: Extra,
}

/// An iptables match or target. `{"xt": null}` (an nft built without xtables) has neither type nor name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Xt {
    /// True when the value was `null`.
    pub null: bool,
    /// `match`, `target` or `watcher`.
    pub kind: Option<Str>,
    pub name: Option<Str>,
    pub extra: Extra,
}

/// An expression: a literal, a field of the packet or its context, or a computation on them.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A literal by name or address, or `@set` / `*`.
    String(Str),
    /// Counters, marks and lengths need the whole range of i64 and u64.
    Number(i128),
    Bool(bool),
    /// A JSON array where an expression stands: flags (`["syn","ack"]`).
    List(Vec<Expr>),
    /// `[key, data]` inside a map's elements.
    Pair(Box<(Expr, Expr)>),
    /// `{"set": […]}`: an anonymous set, also a map's elements; a single value is kept as such.
    Set(Box<OneOrMany<Expr>>),
    Concat(Vec<Expr>),
    Prefix(Box<Prefix>),
    Range(Box<(Expr, Expr)>),
    /// `{"elem": {"val": …, "timeout": …, "comment": …}}`.
    Elem(Box<Elem>),
    /// A verdict as map data.
    Verdict(Verdict),
    Meta(MetaKey),
    Ct(Box<CtExpr>),
    Payload(Box<Payload>),
    Exthdr(Box<HeaderOption>),
    TcpOption(Box<HeaderOption>),
    IpOption(Box<HeaderOption>),
    SctpChunk(Box<HeaderOption>),
    DccpOption(Box<HeaderOption>),
    Fib(Box<Fib>),
    Rt(Box<Rt>),
    Socket(Str),
    Osf(Box<Osf>),
    Ipsec(Box<Ipsec>),
    /// `{"tunnel": {"key": …}}`.
    TunnelMeta(Str),
    Numgen(Box<Numgen>),
    Jhash(Box<Hash>),
    Symhash(Box<Hash>),
    Map(Box<MapExpr>),
    /// `&`, `|`, `^`, `<<`, `>>`: n-ary from nft 1.1.0, binary before.
    Binary(BinaryOp, Vec<Expr>),
    /// An expression this version does not know, or a known one of a shape it does not know: the raw value.
    Unknown(Box<Value>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    And,
    Or,
    Xor,
    Shl,
    Shr,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Prefix {
    pub addr: Expr,
    pub len: u32,
    pub extra: Extra,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Elem {
    pub val: Expr,
    /// `[key, data]` is sometimes written inside, sometimes outside of `elem`; inside it is a [`Expr::Pair`].
    pub timeout: Option<u64>,
    pub expires: Option<u64>,
    pub comment: Option<Str>,
    /// Statements on the element (`counter`, `limit`, `ct count`, `quota`, `last`), by key, in order.
    pub stmts: Vec<(Str, Value)>,
    pub extra: Extra,
}

/// `{"meta": {"key": "iifname"}}`, or the short form of old versions `{"meta": "iifname"}`.
#[derive(Debug, Clone, PartialEq)]
pub struct MetaKey {
    pub key: Str,
    /// True for the short form.
    pub short: bool,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct CtExpr {
    pub key: Str,
    pub family: Option<Str>,
    /// `original` or `reply`.
    pub dir: Option<Str>,
    pub extra: Extra,
}

/// A header field by name, or raw bits by base, offset and length (both in bits).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Payload {
    pub protocol: Option<Str>,
    pub field: Option<Str>,
    /// `ll`, `nh`, `th`, `ih`.
    pub base: Option<Str>,
    pub offset: Option<u32>,
    pub len: Option<u32>,
    /// `vxlan`, `gre`, `gretap`, `geneve`: the field is of the packet inside.
    pub tunnel: Option<Str>,
    pub extra: Extra,
}

/// exthdr, tcp option, ip option, sctp chunk, dccp option: by name (or number) and field, or raw.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeaderOption {
    pub name: Option<Str>,
    pub field: Option<Str>,
    pub base: Option<u32>,
    pub offset: Option<u32>,
    pub len: Option<u32>,
    /// `{"dccp option": {"type": N}}`.
    pub kind: Option<u32>,
    pub extra: Extra,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Fib {
    /// `type`, `oif`, `oifname`, `check`.
    pub result: Str,
    pub flags: OneOrMany<Str>,
    pub extra: Extra,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rt {
    pub key: Str,
    pub family: Option<Str>,
    pub extra: Extra,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Osf {
    pub key: Str,
    pub ttl: Option<Str>,
    pub extra: Extra,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ipsec {
    pub key: Str,
    pub family: Option<Str>,
    pub dir: Option<Str>,
    pub spnum: Option<u32>,
    pub extra: Extra,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Numgen {
    /// `inc` or `random`.
    pub mode: Str,
    pub modulus: Option<u32>,
    pub offset: Option<u32>,
    pub extra: Extra,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hash {
    /// What is hashed; absent for symhash.
    pub expr: Option<Expr>,
    pub modulus: Option<u32>,
    pub offset: Option<u32>,
    pub seed: Option<u32>,
    pub extra: Extra,
}
