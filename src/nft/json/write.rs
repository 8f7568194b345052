//! Writes the tree as JSON: the same values that were read.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

use crate::nft::ast::*;

/// Writes `{"key": value}`.
fn keyed<S: Serializer, T: Serialize + ?Sized>(
    json: S,
    key: &str,
    value: &T,
) -> Result<S::Ok, S::Error> {
    let mut map = json.serialize_map(Some(1))?;
    map.serialize_entry(key, value)?;
    map.end()
}

/// Writes a raw value under its key; without a key the value is the whole.
fn raw<S: Serializer>(json: S, key: &str, value: &Value) -> Result<S::Ok, S::Error> {
    if key.is_empty() {
        value.serialize(json)
    } else {
        keyed(json, key, value)
    }
}

/// `{"KEY": VALUE}` as a value inside another.
struct Keyed<'a, T: ?Sized>(&'a str, &'a T);

impl<T: Serialize + ?Sized> Serialize for Keyed<'_, T> {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        keyed(json, self.0, self.1)
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        let mut map = json.serialize_map(None)?;
        map.serialize_entry("nftables", &self.objects)?;
        for (key, value) in self.extra.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        match self {
            Object::Metainfo(metainfo) => keyed(json, "metainfo", metainfo),
            Object::Table(table) => keyed(json, "table", table),
            Object::Chain(chain) => keyed(json, "chain", chain),
            Object::Rule(rule) => keyed(json, "rule", rule),
            Object::Set(set) => keyed(json, "set", set),
            Object::Map(map) => keyed(json, "map", map),
            Object::Flowtable(flowtable) => keyed(json, "flowtable", flowtable),
            Object::Stateful(stateful) => keyed(json, stateful.kind.key(), stateful),
            Object::Unknown { key, value } => raw(json, key, value),
        }
    }
}

impl StatefulKind {
    /// The JSON key, which is also nft's keyword.
    pub fn key(self) -> &'static str {
        match self {
            StatefulKind::Counter => "counter",
            StatefulKind::Quota => "quota",
            StatefulKind::Limit => "limit",
            StatefulKind::CtHelper => "ct helper",
            StatefulKind::CtTimeout => "ct timeout",
            StatefulKind::CtExpectation => "ct expectation",
            StatefulKind::Secmark => "secmark",
            StatefulKind::Synproxy => "synproxy",
            StatefulKind::Tunnel => "tunnel",
        }
    }
}

impl NatKind {
    /// The JSON key, which is also nft's keyword.
    pub fn key(self) -> &'static str {
        match self {
            NatKind::Snat => "snat",
            NatKind::Dnat => "dnat",
            NatKind::Masquerade => "masquerade",
            NatKind::Redirect => "redirect",
        }
    }
}

impl BinaryOp {
    /// The operator as JSON and text write it.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::And => "&",
            BinaryOp::Or => "|",
            BinaryOp::Xor => "^",
            BinaryOp::Shl => "<<",
            BinaryOp::Shr => ">>",
        }
    }
}

impl MatchOp {
    /// The operator as JSON writes it.
    pub fn symbol(&self) -> &str {
        match self {
            MatchOp::Eq => "==",
            MatchOp::Ne => "!=",
            MatchOp::Lt => "<",
            MatchOp::Gt => ">",
            MatchOp::Le => "<=",
            MatchOp::Ge => ">=",
            MatchOp::In => "in",
            MatchOp::Not => "!",
            MatchOp::Other(other) => other,
        }
    }
}

impl Serialize for MatchOp {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        json.serialize_str(self.symbol())
    }
}

impl Serialize for Stateful {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        let mut map = json.serialize_map(None)?;
        map.serialize_entry("family", &self.family)?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("table", &self.table)?;
        if let Some(handle) = &self.handle {
            map.serialize_entry("handle", handle)?;
        }
        if let Some(comment) = &self.comment {
            map.serialize_entry("comment", comment)?;
        }
        for (key, value) in &self.fields {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<T: Serialize> Serialize for OneOrMany<T> {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        match self {
            OneOrMany::One(one) => one.serialize(json),
            OneOrMany::Many(many) => many.serialize(json),
        }
    }
}

impl Serialize for Priority {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        match self {
            Priority::Number(number) => json.serialize_i64(*number),
            Priority::Name(name) => json.serialize_str(name),
        }
    }
}

impl Serialize for TypeSpec {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        match self {
            TypeSpec::Name(name) => json.serialize_str(name),
            TypeSpec::List(parts) => parts.serialize(json),
            TypeSpec::Typeof(expr) => keyed(json, "typeof", expr),
        }
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(json)
    }
}

impl Serialize for ObjectRef {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        match self {
            ObjectRef::Inline(fields) => fields.serialize(json),
            ObjectRef::Name(name) => json.serialize_str(name),
            ObjectRef::Map(map) => keyed(json, "map", map),
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        match self {
            Verdict::Accept => keyed(json, "accept", &()),
            Verdict::Drop => keyed(json, "drop", &()),
            Verdict::Continue => keyed(json, "continue", &()),
            Verdict::Return => keyed(json, "return", &()),
            Verdict::Jump(target) => keyed(json, "jump", &Keyed("target", target)),
            Verdict::Goto(target) => keyed(json, "goto", &Keyed("target", target)),
        }
    }
}

impl Serialize for MapExpr {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        let mut map = json.serialize_map(None)?;
        map.serialize_entry("key", &self.key)?;
        map.serialize_entry("data", &self.data)?;
        for (key, value) in self.extra.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Serialize for SetUpdate {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        let mut map = json.serialize_map(None)?;
        map.serialize_entry("op", &self.op)?;
        map.serialize_entry("elem", &self.elem)?;
        if let Some(data) = &self.data {
            map.serialize_entry("data", data)?;
        }
        map.serialize_entry(if self.is_map { "map" } else { "set" }, &self.set)?;
        if let Some(stmt) = &self.stmt {
            map.serialize_entry("stmt", stmt)?;
        }
        for (key, value) in self.extra.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Serialize for Stmt {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        match self {
            Stmt::Match(it) => keyed(json, "match", it),
            Stmt::Verdict(it) => it.serialize(json),
            Stmt::Vmap(it) => keyed(json, "vmap", it),
            Stmt::Mangle(it) => keyed(json, "mangle", it),
            Stmt::Counter(it) => keyed(json, "counter", it),
            Stmt::Quota(it) => keyed(json, "quota", it),
            Stmt::Limit(it) => keyed(json, "limit", it),
            Stmt::CtCount(it) => keyed(json, "ct count", it),
            Stmt::CtHelper(it) => keyed(json, "ct helper", it),
            Stmt::CtTimeout(it) => keyed(json, "ct timeout", it),
            Stmt::CtExpectation(it) => keyed(json, "ct expectation", it),
            Stmt::Secmark(it) => keyed(json, "secmark", it),
            Stmt::Synproxy(it) => keyed(json, "synproxy", it),
            Stmt::Tunnel(it) => keyed(json, "tunnel", it),
            Stmt::Last(it) => keyed(json, "last", it),
            Stmt::Log(it) => keyed(json, "log", it),
            Stmt::Nat(it) => keyed(json, it.kind.key(), it),
            Stmt::Reject(it) => keyed(json, "reject", it),
            Stmt::SetUpdate(it) => keyed(json, if it.is_map { "map" } else { "set" }, it),
            Stmt::Meter(it) => keyed(json, "meter", it),
            Stmt::Dup(it) => keyed(json, "dup", it),
            Stmt::Fwd(it) => keyed(json, "fwd", it),
            Stmt::Queue(it) => keyed(json, "queue", it),
            Stmt::Tproxy(it) => keyed(json, "tproxy", it),
            Stmt::Flow(it) => keyed(json, "flow", it),
            Stmt::Notrack => keyed(json, "notrack", &()),
            Stmt::ResetOption(it) => keyed(json, "reset", it),
            Stmt::Xt(it) => keyed(json, "xt", it),
            Stmt::Text(text) => json.serialize_str(text),
            Stmt::Unknown { key, value } => raw(json, key, value),
        }
    }
}

impl Serialize for Expr {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        match self {
            Expr::String(text) => json.serialize_str(text),
            Expr::Number(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(number), _) => json.serialize_i64(number),
                (_, Ok(number)) => json.serialize_u64(number),
                _ => json.serialize_i128(*number),
            },
            Expr::Bool(truth) => json.serialize_bool(*truth),
            Expr::List(items) => items.serialize(json),
            Expr::Pair(pair) => {
                let mut seq = json.serialize_seq(Some(2))?;
                seq.serialize_element(&pair.0)?;
                seq.serialize_element(&pair.1)?;
                seq.end()
            }
            Expr::Set(elements) => keyed(json, "set", elements),
            Expr::Concat(parts) => keyed(json, "concat", parts),
            Expr::Prefix(it) => keyed(json, "prefix", it),
            Expr::Range(ends) => keyed(json, "range", &**ends),
            Expr::Elem(it) => keyed(json, "elem", it),
            Expr::Verdict(it) => it.serialize(json),
            Expr::Meta(meta) if meta.short => keyed(json, "meta", &meta.key),
            Expr::Meta(meta) => keyed(json, "meta", &Keyed("key", &meta.key)),
            Expr::Ct(it) => keyed(json, "ct", it),
            Expr::Payload(it) => keyed(json, "payload", it),
            Expr::Exthdr(it) => keyed(json, "exthdr", it),
            Expr::TcpOption(it) => keyed(json, "tcp option", it),
            Expr::IpOption(it) => keyed(json, "ip option", it),
            Expr::SctpChunk(it) => keyed(json, "sctp chunk", it),
            Expr::DccpOption(it) => keyed(json, "dccp option", it),
            Expr::Fib(it) => keyed(json, "fib", it),
            Expr::Rt(it) => keyed(json, "rt", it),
            Expr::Socket(key) => keyed(json, "socket", &Keyed("key", key)),
            Expr::Osf(it) => keyed(json, "osf", it),
            Expr::Ipsec(it) => keyed(json, "ipsec", it),
            Expr::TunnelMeta(key) => keyed(json, "tunnel", &Keyed("key", key)),
            Expr::Numgen(it) => keyed(json, "numgen", it),
            Expr::Jhash(it) => keyed(json, "jhash", it),
            Expr::Symhash(it) => keyed(json, "symhash", it),
            Expr::Map(it) => keyed(json, "map", it),
            Expr::Binary(op, operands) => keyed(json, op.symbol(), operands),
            Expr::Unknown(value) => value.serialize(json),
        }
    }
}
