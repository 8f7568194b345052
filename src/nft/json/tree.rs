//! Which key of the JSON is which part of the tree.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::node::{How, Key, Node, only_key, optional, parse, raw, record, seed, value};
use crate::nft::ast::*;

record!(Metainfo {
    optional version "version",
    optional release_name "release_name",
    optional json_schema_version "json_schema_version",
});

record!(Table {
    required family "family",
    required name "name",
    optional handle "handle",
    optional flags "flags",
    optional comment "comment",
});

record!(Chain {
    required family "family",
    required table "table",
    required name "name",
    optional handle "handle",
    optional comment "comment",
    optional dev "dev",
    optional kind "type",
    optional hook "hook",
    optional prio "prio",
    optional policy "policy",
    optional flags "flags",
});

record!(Rule {
    required family "family",
    required table "table",
    required chain "chain",
    optional handle "handle",
    optional index "index",
    optional comment "comment",
    optional expr "expr",
});

record!(Set {
    required family "family",
    required name "name",
    required table "table",
    optional key_type "type",
    optional handle "handle",
    optional comment "comment",
    optional data_type "map",
    optional policy "policy",
    optional flags "flags",
    optional timeout "timeout",
    optional gc_interval "gc-interval",
    optional size "size",
    optional auto_merge "auto-merge",
    optional elem "elem",
    optional stmt "stmt",
});

record!(Flowtable {
    required family "family",
    required name "name",
    required table "table",
    optional handle "handle",
    optional hook "hook",
    optional prio "prio",
    optional dev "dev",
    optional flags "flags",
});

record!(Match {
    required op "op",
    required left "left",
    required right "right",
});

record!(Mangle {
    required key "key",
    required value "value",
});

record!(Nat {
    optional family "family",
    optional addr "addr",
    optional port "port",
    optional flags "flags",
    optional type_flags "type_flags",
} with { kind: NatKind::Masquerade, null: false } null null);

record!(Reject {
    optional kind "type",
    optional expr "expr",
} with { null: false } null null);

record!(Meter {
    optional name "name",
    required key "key",
    required stmt "stmt",
    optional size "size",
});

record!(Redirection {
    optional family "family",
    optional addr "addr",
    optional dev "dev",
});

record!(Queue {
    optional num "num",
    optional flags "flags",
});

record!(Tproxy {
    optional family "family",
    optional addr "addr",
    optional port "port",
});

record!(Flow {
    required op "op",
    required flowtable "flowtable",
});

record!(Xt {
    optional kind "type",
    optional name "name",
} with { null: false } null null);

record!(Prefix {
    required addr "addr",
    required len "len",
});

record!(CtExpr {
    required key "key",
    optional family "family",
    optional dir "dir",
});

record!(Payload {
    optional protocol "protocol",
    optional field "field",
    optional base "base",
    optional offset "offset",
    optional len "len",
    optional tunnel "tunnel",
});

record!(HeaderOption {
    optional name "name",
    optional field "field",
    optional base "base",
    optional offset "offset",
    optional len "len",
    optional kind "type",
});

record!(Fib {
    required result "result",
    required flags "flags",
});

record!(Rt {
    required key "key",
    optional family "family",
});

record!(Osf {
    required key "key",
    optional ttl "ttl",
});

record!(Ipsec {
    required key "key",
    optional family "family",
    optional dir "dir",
    optional spnum "spnum",
});

record!(Numgen {
    required mode "mode",
    optional modulus "mod",
    optional offset "offset",
});

record!(Hash {
    optional expr "expr",
    optional modulus "mod",
    optional offset "offset",
    optional seed "seed",
});

/// `map` and `vmap` with the elements still as plain arrays.
struct Lookup {
    key: Expr,
    data: Expr,
    extra: Extra,
}

record!(Lookup {
    required key "key",
    required data "data",
});

impl Node for MapExpr {
    fn read<'de, D: Deserializer<'de>>(json: D, how: How) -> Result<Self, D::Error> {
        let Lookup {
            key,
            mut data,
            extra,
        } = Lookup::read(json, how)?;
        if let Expr::Set(elements) = &mut data {
            match &mut **elements {
                OneOrMany::One(element) => pair(element),
                OneOrMany::Many(elements) => elements.iter_mut().for_each(pair),
            }
        }
        Ok(MapExpr { key, data, extra })
    }
}

/// Makes a `[key, data]` array a pair; only the elements of maps are.
fn pair(element: &mut Expr) {
    match element {
        Expr::List(items) if items.len() == 2 => {
            if let (Some(data), Some(key)) = (items.pop(), items.pop()) {
                *element = Expr::Pair(Box::new((key, data)));
            }
        }
        Expr::Elem(elem) => pair(&mut elem.val),
        _ => {}
    }
}

/// `set` and `map` statements, whose last key is their own.
struct Update {
    op: Str,
    elem: Expr,
    data: Option<Expr>,
    set: Option<Str>,
    map: Option<Str>,
    stmt: Option<Vec<Stmt>>,
    extra: Extra,
}

record!(Update {
    required op "op",
    required elem "elem",
    optional data "data",
    optional set "set",
    optional map "map",
    optional stmt "stmt",
});

fn set_update<E: de::Error>(update: Update, is_map: bool) -> Result<Stmt, E> {
    let Update {
        op,
        elem,
        data,
        set,
        map,
        stmt,
        mut extra,
    } = update;
    let (own, other, other_key) = if is_map {
        (map, set, "set")
    } else {
        (set, map, "map")
    };
    if let Some(other) = other {
        extra.push(other_key.into(), Value::String(other.into()));
    }
    let set = own.ok_or_else(|| E::custom("no set"))?;
    Ok(Stmt::SetUpdate(Box::new(SetUpdate {
        is_map,
        op,
        elem,
        data,
        set,
        stmt,
        extra,
    })))
}

impl Node for Fields {
    fn read<'de, D: Deserializer<'de>>(json: D, _: How) -> Result<Self, D::Error> {
        let value: Value = de::Deserialize::deserialize(json)?;
        match value {
            Value::Null | Value::Object(_) => Ok(Fields(value)),
            _ => Err(de::Error::custom("neither null nor an object")),
        }
    }
}

impl Node for MatchOp {
    fn read<'de, D: Deserializer<'de>>(json: D, how: How) -> Result<Self, D::Error> {
        Ok(match Str::read(json, how)?.as_str() {
            "==" => MatchOp::Eq,
            "!=" => MatchOp::Ne,
            "<" => MatchOp::Lt,
            ">" => MatchOp::Gt,
            "<=" => MatchOp::Le,
            ">=" => MatchOp::Ge,
            "in" => MatchOp::In,
            "!" => MatchOp::Not,
            other => MatchOp::Other(other.into()),
        })
    }
}

impl Node for Priority {
    fn read<'de, D: Deserializer<'de>>(json: D, _: How) -> Result<Self, D::Error> {
        struct NumberOrName;

        impl Visitor<'_> for NumberOrName {
            type Value = Priority;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a priority")
            }

            fn visit_i64<E>(self, v: i64) -> Result<Priority, E> {
                Ok(Priority::Number(v))
            }

            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Priority, E> {
                i64::try_from(v).map(Priority::Number).map_err(E::custom)
            }

            fn visit_str<E>(self, v: &str) -> Result<Priority, E> {
                Ok(Priority::Name(v.into()))
            }
        }

        json.deserialize_any(NumberOrName)
    }
}

impl Node for TypeSpec {
    fn read<'de, D: Deserializer<'de>>(json: D, how: How) -> Result<Self, D::Error> {
        struct Spec(How);

        impl<'de> Visitor<'de> for Spec {
            type Value = TypeSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a data type")
            }

            fn visit_str<E>(self, v: &str) -> Result<TypeSpec, E> {
                Ok(TypeSpec::Name(v.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<TypeSpec, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = seq.next_element_seed(seed(self.0))? {
                    parts.push(part);
                }
                Ok(TypeSpec::List(parts))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TypeSpec, A::Error> {
                match map.next_key_seed(Key)?.as_deref() {
                    Some("typeof") => {}
                    _ => return Err(de::Error::custom("not typeof")),
                }
                let expr = map.next_value_seed(seed(self.0))?;
                only_key(&mut map)?;
                Ok(TypeSpec::Typeof(expr))
            }
        }

        json.deserialize_any(Spec(how))
    }
}

impl Node for ObjectRef {
    fn read<'de, D: Deserializer<'de>>(json: D, how: How) -> Result<Self, D::Error> {
        struct Reference(How);

        impl<'de> Visitor<'de> for Reference {
            type Value = ObjectRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("null, parameters, a name or a map")
            }

            fn visit_unit<E>(self) -> Result<ObjectRef, E> {
                Ok(ObjectRef::Inline(Fields(Value::Null)))
            }

            fn visit_str<E>(self, v: &str) -> Result<ObjectRef, E> {
                Ok(ObjectRef::Name(v.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ObjectRef, A::Error> {
                let mut fields = serde_json::Map::new();
                while let Some(key) = map.next_key_seed(Key)? {
                    if key == "map" {
                        let lookup = map.next_value_seed(seed(self.0))?;
                        only_key(&mut map)?;
                        if !fields.is_empty() {
                            return Err(de::Error::custom("a map beside parameters"));
                        }
                        return Ok(ObjectRef::Map(lookup));
                    }
                    fields.insert(key.into_owned(), map.next_value()?);
                }
                Ok(ObjectRef::Inline(Fields(Value::Object(fields))))
            }
        }

        json.deserialize_any(Reference(how))
    }
}

/// An object with exactly one string under `key`.
struct Single {
    text: Str,
}

fn single<'de, A: MapAccess<'de>>(map: &mut A, key: &'static str) -> Result<Str, A::Error> {
    struct One(&'static str);

    impl<'de> de::DeserializeSeed<'de> for One {
        type Value = Single;

        fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Single, D::Error> {
            json.deserialize_map(self)
        }
    }

    impl<'de> Visitor<'de> for One {
        type Value = Single;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object with one string")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Single, A::Error> {
            match map.next_key_seed(Key)? {
                Some(key) if key == self.0 => {}
                _ => return Err(de::Error::custom("another key")),
            }
            let text = map.next_value()?;
            only_key(&mut map)?;
            Ok(Single { text })
        }
    }

    map.next_value_seed(One(key)).map(|single| single.text)
}

/// The verdict under `key`, or `None` when the key is no verdict's; its value is not read then.
fn verdict<'de, A: MapAccess<'de>>(map: &mut A, key: &str) -> Result<Option<Verdict>, A::Error> {
    Ok(Some(match key {
        "accept" => map.next_value::<()>().map(|()| Verdict::Accept)?,
        "drop" => map.next_value::<()>().map(|()| Verdict::Drop)?,
        "continue" => map.next_value::<()>().map(|()| Verdict::Continue)?,
        "return" => map.next_value::<()>().map(|()| Verdict::Return)?,
        "jump" => Verdict::Jump(single(map, "target")?),
        "goto" => Verdict::Goto(single(map, "target")?),
        _ => return Ok(None),
    }))
}

impl Node for MetaKey {
    fn read<'de, D: Deserializer<'de>>(json: D, _: How) -> Result<Self, D::Error> {
        struct LongOrShort;

        impl<'de> Visitor<'de> for LongOrShort {
            type Value = MetaKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a meta key")
            }

            fn visit_str<E>(self, v: &str) -> Result<MetaKey, E> {
                Ok(MetaKey {
                    key: v.into(),
                    short: true,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MetaKey, A::Error> {
                match map.next_key_seed(Key)?.as_deref() {
                    Some("key") => {}
                    _ => return Err(de::Error::custom("no key")),
                }
                let key = map.next_value()?;
                only_key(&mut map)?;
                Ok(MetaKey { key, short: false })
            }
        }

        json.deserialize_any(LongOrShort)
    }
}

/// The statements that an element of a set can carry.
fn is_element_stmt(key: &str) -> bool {
    matches!(key, "counter" | "limit" | "ct count" | "quota" | "last")
}

impl Node for Elem {
    fn read<'de, D: Deserializer<'de>>(json: D, how: How) -> Result<Self, D::Error> {
        struct Options(How);

        impl<'de> Visitor<'de> for Options {
            type Value = Elem;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an element")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Elem, A::Error> {
                let (mut val, mut timeout, mut expires, mut comment) = (None, None, None, None);
                let mut stmts = Vec::new();
                let mut extra = Extra::default();
                while let Some(key) = map.next_key_seed(Key)? {
                    match &*key {
                        "val" => val = Some(map.next_value_seed(seed(self.0))?),
                        "timeout" => timeout = optional(&mut map, self.0, &key, &mut extra)?,
                        "expires" => expires = optional(&mut map, self.0, &key, &mut extra)?,
                        "comment" => comment = optional(&mut map, self.0, &key, &mut extra)?,
                        key if is_element_stmt(key) => stmts.push((key.into(), map.next_value()?)),
                        _ => extra.push(key.into(), map.next_value()?),
                    }
                }
                let val = val.ok_or_else(|| de::Error::missing_field("val"))?;
                Ok(Elem {
                    val,
                    timeout,
                    expires,
                    comment,
                    stmts,
                    extra,
                })
            }
        }

        json.deserialize_map(Options(how))
    }
}

impl Serialize for Elem {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        let mut map = json.serialize_map(None)?;
        map.serialize_entry("val", &self.val)?;
        if let Some(timeout) = &self.timeout {
            map.serialize_entry("timeout", timeout)?;
        }
        if let Some(expires) = &self.expires {
            map.serialize_entry("expires", expires)?;
        }
        if let Some(comment) = &self.comment {
            map.serialize_entry("comment", comment)?;
        }
        for (key, value) in self.stmts.iter().chain(self.extra.iter()) {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Node for Expr {
    fn read<'de, D: Deserializer<'de>>(json: D, how: How) -> Result<Self, D::Error> {
        if how == How::Strict {
            return json.deserialize_any(AnyExpr(how));
        }
        let raw = raw(json)?;
        if let Ok(expr) = parse(raw, How::Strict) {
            return Ok(expr);
        }
        match serde_json::Deserializer::from_str(raw.get()).deserialize_any(AnyExpr(how)) {
            Ok(expr) => Ok(expr),
            Err(_) => Ok(Expr::Unknown(Box::new(value(raw)?))),
        }
    }
}

struct AnyExpr(How);

impl<'de> Visitor<'de> for AnyExpr {
    type Value = Expr;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an expression")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Expr, E> {
        Ok(Expr::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Expr, E> {
        Ok(Expr::Number(v.into()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Expr, E> {
        Ok(Expr::Number(v.into()))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Expr, E> {
        Ok(Expr::Unknown(Box::new(v.into())))
    }

    fn visit_unit<E>(self) -> Result<Expr, E> {
        Ok(Expr::Unknown(Box::new(Value::Null)))
    }

    fn visit_str<E>(self, v: &str) -> Result<Expr, E> {
        Ok(Expr::String(v.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Expr, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(seed(self.0))? {
            items.push(item);
        }
        Ok(Expr::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Expr, A::Error> {
        let Some(key) = map.next_key_seed(Key)? else {
            return Ok(Expr::Unknown(Box::new(Value::Object(
                serde_json::Map::new(),
            ))));
        };
        let how = self.0;
        let expr = match &*key {
            "payload" => Expr::Payload(map.next_value_seed(seed(how))?),
            "meta" => Expr::Meta(map.next_value_seed(seed(how))?),
            "ct" => Expr::Ct(map.next_value_seed(seed(how))?),
            "elem" => Expr::Elem(map.next_value_seed(seed(how))?),
            "prefix" => Expr::Prefix(map.next_value_seed(seed(how))?),
            "range" => Expr::Range(map.next_value_seed(seed(how))?),
            "concat" => Expr::Concat(map.next_value_seed(seed(how))?),
            "set" => Expr::Set(map.next_value_seed(seed(how))?),
            "map" => Expr::Map(map.next_value_seed(seed(how))?),
            "&" => Expr::Binary(BinaryOp::And, map.next_value_seed(seed(how))?),
            "|" => Expr::Binary(BinaryOp::Or, map.next_value_seed(seed(how))?),
            "^" => Expr::Binary(BinaryOp::Xor, map.next_value_seed(seed(how))?),
            "<<" => Expr::Binary(BinaryOp::Shl, map.next_value_seed(seed(how))?),
            ">>" => Expr::Binary(BinaryOp::Shr, map.next_value_seed(seed(how))?),
            "exthdr" => Expr::Exthdr(map.next_value_seed(seed(how))?),
            "tcp option" => Expr::TcpOption(map.next_value_seed(seed(how))?),
            "ip option" => Expr::IpOption(map.next_value_seed(seed(how))?),
            "sctp chunk" => Expr::SctpChunk(map.next_value_seed(seed(how))?),
            "dccp option" => Expr::DccpOption(map.next_value_seed(seed(how))?),
            "fib" => Expr::Fib(map.next_value_seed(seed(how))?),
            "rt" => Expr::Rt(map.next_value_seed(seed(how))?),
            "socket" => Expr::Socket(single(&mut map, "key")?),
            "osf" => Expr::Osf(map.next_value_seed(seed(how))?),
            "ipsec" => Expr::Ipsec(map.next_value_seed(seed(how))?),
            "tunnel" => Expr::TunnelMeta(single(&mut map, "key")?),
            "numgen" => Expr::Numgen(map.next_value_seed(seed(how))?),
            "jhash" => Expr::Jhash(map.next_value_seed(seed(how))?),
            "symhash" => Expr::Symhash(map.next_value_seed(seed(how))?),
            other => match verdict(&mut map, other)? {
                Some(verdict) => Expr::Verdict(verdict),
                None => {
                    let mut raw = serde_json::Map::new();
                    raw.insert(key.into_owned(), map.next_value()?);
                    while let Some((key, value)) = map.next_entry()? {
                        raw.insert(key, value);
                    }
                    return Ok(Expr::Unknown(Box::new(Value::Object(raw))));
                }
            },
        };
        only_key(&mut map)?;
        Ok(expr)
    }
}

/// Splits a raw value into the key and the value of a single-key object; the key is empty for anything else.
fn unknown<E: de::Error>(raw: &RawValue) -> Result<(Str, Value), E> {
    Ok(match value(raw)? {
        Value::Object(map) if map.len() == 1 && !map.contains_key("") => map
            .into_iter()
            .next()
            .map(|(key, value)| (Str::from(key), value))
            .unwrap_or_default(),
        other => (Str::default(), other),
    })
}

impl Node for Stmt {
    fn read<'de, D: Deserializer<'de>>(json: D, how: How) -> Result<Self, D::Error> {
        if how == How::Strict {
            return json.deserialize_any(AnyStmt(how));
        }
        let raw = raw(json)?;
        if let Ok(stmt) = parse(raw, How::Strict) {
            return Ok(stmt);
        }
        match serde_json::Deserializer::from_str(raw.get()).deserialize_any(AnyStmt(how)) {
            Ok(stmt) => Ok(stmt),
            Err(_) => unknown(raw).map(|(key, value)| Stmt::Unknown { key, value }),
        }
    }
}

struct AnyStmt(How);

impl AnyStmt {
    fn nat<'de, A: MapAccess<'de>>(&self, map: &mut A, kind: NatKind) -> Result<Stmt, A::Error> {
        let mut nat: Box<Nat> = map.next_value_seed(seed(self.0))?;
        nat.kind = kind;
        Ok(Stmt::Nat(nat))
    }
}

impl<'de> Visitor<'de> for AnyStmt {
    type Value = Stmt;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a statement")
    }

    fn visit_str<E>(self, v: &str) -> Result<Stmt, E> {
        Ok(Stmt::Text(v.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Stmt, A::Error> {
        let Some(key) = map.next_key_seed(Key)? else {
            return Err(de::Error::custom("no key"));
        };
        let how = self.0;
        let stmt = match &*key {
            "match" => Stmt::Match(map.next_value_seed(seed(how))?),
            "counter" => Stmt::Counter(map.next_value_seed(seed(how))?),
            "vmap" => Stmt::Vmap(map.next_value_seed(seed(how))?),
            "mangle" => Stmt::Mangle(map.next_value_seed(seed(how))?),
            "quota" => Stmt::Quota(map.next_value_seed(seed(how))?),
            "limit" => Stmt::Limit(map.next_value_seed(seed(how))?),
            "ct count" => Stmt::CtCount(map.next_value_seed(seed(how))?),
            "ct helper" => Stmt::CtHelper(map.next_value_seed(seed(how))?),
            "ct timeout" => Stmt::CtTimeout(map.next_value_seed(seed(how))?),
            "ct expectation" => Stmt::CtExpectation(map.next_value_seed(seed(how))?),
            "secmark" => Stmt::Secmark(map.next_value_seed(seed(how))?),
            "synproxy" => Stmt::Synproxy(map.next_value_seed(seed(how))?),
            "tunnel" => Stmt::Tunnel(map.next_value_seed(seed(how))?),
            "last" => Stmt::Last(map.next_value_seed(seed(how))?),
            "log" => Stmt::Log(map.next_value_seed(seed(how))?),
            "snat" => self.nat(&mut map, NatKind::Snat)?,
            "dnat" => self.nat(&mut map, NatKind::Dnat)?,
            "masquerade" => self.nat(&mut map, NatKind::Masquerade)?,
            "redirect" => self.nat(&mut map, NatKind::Redirect)?,
            "reject" => Stmt::Reject(map.next_value_seed(seed(how))?),
            "set" => set_update(map.next_value_seed(seed(how))?, false)?,
            "map" => set_update(map.next_value_seed(seed(how))?, true)?,
            "meter" => Stmt::Meter(map.next_value_seed(seed(how))?),
            "dup" => Stmt::Dup(map.next_value_seed(seed(how))?),
            "fwd" => Stmt::Fwd(map.next_value_seed(seed(how))?),
            "queue" => Stmt::Queue(map.next_value_seed(seed(how))?),
            "tproxy" => Stmt::Tproxy(map.next_value_seed(seed(how))?),
            "flow" => Stmt::Flow(map.next_value_seed(seed(how))?),
            "notrack" => map.next_value::<()>().map(|()| Stmt::Notrack)?,
            "reset" => Stmt::ResetOption(map.next_value_seed(seed(how))?),
            "xt" => Stmt::Xt(map.next_value_seed(seed(how))?),
            "" => return Err(de::Error::custom("no key")),
            other => match verdict(&mut map, other)? {
                Some(verdict) => Stmt::Verdict(verdict),
                None => Stmt::Unknown {
                    key: other.into(),
                    value: map.next_value()?,
                },
            },
        };
        only_key(&mut map)?;
        Ok(stmt)
    }
}

/// The kind of named object under `key`.
pub(super) fn stateful_kind(key: &str) -> Option<StatefulKind> {
    Some(match key {
        "counter" => StatefulKind::Counter,
        "quota" => StatefulKind::Quota,
        "limit" => StatefulKind::Limit,
        "ct helper" => StatefulKind::CtHelper,
        "ct timeout" => StatefulKind::CtTimeout,
        "ct expectation" => StatefulKind::CtExpectation,
        "secmark" => StatefulKind::Secmark,
        "synproxy" => StatefulKind::Synproxy,
        "tunnel" => StatefulKind::Tunnel,
        _ => return None,
    })
}

/// Whether `key` names a kind of object that listings have.
pub(super) fn is_object_kind(key: &str) -> bool {
    matches!(
        key,
        "metainfo" | "table" | "chain" | "rule" | "set" | "map" | "flowtable"
    ) || stateful_kind(key).is_some()
}

impl Node for Stateful {
    fn read<'de, D: Deserializer<'de>>(json: D, how: How) -> Result<Self, D::Error> {
        struct Named(How);

        impl<'de> Visitor<'de> for Named {
            type Value = Stateful;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a named object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Stateful, A::Error> {
                let (mut family, mut name, mut table, mut handle, mut comment) =
                    (None, None, None, None, None);
                let mut odd = Extra::default();
                let mut fields = Vec::new();
                while let Some(key) = map.next_key_seed(Key)? {
                    match &*key {
                        "family" => family = Some(map.next_value()?),
                        "name" => name = Some(map.next_value()?),
                        "table" => table = Some(map.next_value()?),
                        "handle" => handle = optional(&mut map, self.0, &key, &mut odd)?,
                        "comment" => comment = optional(&mut map, self.0, &key, &mut odd)?,
                        _ => fields.push((key.into(), map.next_value()?)),
                    }
                }
                fields.extend(odd.iter().cloned());
                Ok(Stateful {
                    kind: StatefulKind::Counter,
                    family: family.ok_or_else(|| de::Error::missing_field("family"))?,
                    name: name.ok_or_else(|| de::Error::missing_field("name"))?,
                    table: table.ok_or_else(|| de::Error::missing_field("table"))?,
                    handle,
                    comment,
                    fields,
                })
            }
        }

        json.deserialize_map(Named(how))
    }
}

/// One member of the listing; fails only when the text is no JSON value.
pub(super) fn object(raw: &RawValue) -> Result<Object, serde_json::Error> {
    let Member(object) = match parse(raw, How::Strict) {
        Ok(member) => member,
        Err(_) => match parse(raw, How::Tolerant) {
            Ok(member) => member,
            Err(_) => {
                let (key, value) = unknown(raw)?;
                Member(Object::Unknown { key, value })
            }
        },
    };
    Ok(object)
}

/// A member of the listing, also in the form of a command that adds it.
struct Member(Object);

impl Node for Member {
    fn read<'de, D: Deserializer<'de>>(json: D, how: How) -> Result<Self, D::Error> {
        json.deserialize_map(AnyObject::<true>(how)).map(Member)
    }
}

/// What a command adds.
struct Added(Object);

impl Node for Added {
    fn read<'de, D: Deserializer<'de>>(json: D, how: How) -> Result<Self, D::Error> {
        json.deserialize_map(AnyObject::<false>(how)).map(Added)
    }
}

struct AnyObject<const COMMANDS: bool>(How);

impl<'de, const COMMANDS: bool> Visitor<'de> for AnyObject<COMMANDS> {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of a listing")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let Some(key) = map.next_key_seed(Key)? else {
            return Err(de::Error::custom("no key"));
        };
        let how = self.0;
        let object = match &*key {
            "rule" => Object::Rule(map.next_value_seed(seed(how))?),
            "chain" => Object::Chain(map.next_value_seed(seed(how))?),
            "set" => Object::Set(map.next_value_seed(seed(how))?),
            "map" => {
                let mut set: Box<Set> = map.next_value_seed(seed(how))?;
                set.elem.iter_mut().flatten().for_each(pair);
                Object::Map(set)
            }
            "table" => Object::Table(map.next_value_seed(seed(how))?),
            "flowtable" => Object::Flowtable(map.next_value_seed(seed(how))?),
            "metainfo" => Object::Metainfo(map.next_value_seed(seed(how))?),
            "" => return Err(de::Error::custom("no key")),
            command @ ("add" | "create" | "insert") if COMMANDS => {
                let raw: &RawValue = map.next_value()?;
                let added = parse(raw, How::Strict).or_else(|_| parse(raw, How::Tolerant));
                match added {
                    Ok(Added(object)) if !matches!(object, Object::Unknown { .. }) => object,
                    _ => Object::Unknown {
                        key: command.into(),
                        value: value(raw)?,
                    },
                }
            }
            other => match stateful_kind(other) {
                Some(kind) => {
                    let stateful: Stateful = map.next_value_seed(seed(how))?;
                    Object::Stateful(Stateful { kind, ..stateful })
                }
                None => Object::Unknown {
                    key: other.into(),
                    value: map.next_value()?,
                },
            },
        };
        only_key(&mut map)?;
        Ok(object)
    }
}
