//! The data types of sets. nft before 1.1.2 lists `typeof` sets with types that have no width (`integer`, `string`)
//! and cannot be declared; what the rules look up in such a set says which expression it was declared with.

use std::collections::HashMap;

use super::Printer;
use super::expr::Kind;
use crate::nft::ast::*;

/// What rules of a table do with one set.
#[derive(Default)]
pub(super) struct Usage<'a> {
    key: Option<&'a Expr>,
    data: Option<&'a Expr>,
    /// Rules add or remove elements; old listings do not say that such a set is dynamic.
    written: bool,
}

/// What rules of a table do with its sets, by name.
#[derive(Default)]
pub(super) struct Usages<'a>(HashMap<&'a str, Usage<'a>>);

impl<'a> Usages<'a> {
    fn set(&mut self, name: &'a str) -> &mut Usage<'a> {
        self.0
            .entry(name.strip_prefix('@').unwrap_or(name))
            .or_default()
    }

    fn looked_up(&mut self, map: &'a MapExpr, data: Option<&'a Expr>) {
        if let Expr::String(name) = &map.data {
            let usage = self.set(name);
            usage.key = Some(&map.key);
            usage.data = usage.data.or(data);
        }
    }

    fn value(&mut self, value: &'a Expr, goes_to: Option<&'a Expr>) {
        match value {
            Expr::Map(map) => self.looked_up(map, goes_to),
            Expr::Binary(_, operands) => operands
                .iter()
                .for_each(|operand| self.value(operand, goes_to)),
            _ => {}
        }
    }

    pub(super) fn note(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Match(it) => match &it.right {
                Expr::String(name) if name.starts_with('@') => self.set(name).key = Some(&it.left),
                _ => self.value(&it.left, None),
            },
            Stmt::Vmap(map) => self.looked_up(map, None),
            Stmt::Mangle(it) => self.value(&it.value, Some(&it.key)),
            Stmt::Nat(it) => it
                .addr
                .iter()
                .chain(&it.port)
                .for_each(|value| self.value(value, None)),
            Stmt::Tproxy(it) => it
                .addr
                .iter()
                .chain(&it.port)
                .for_each(|value| self.value(value, None)),
            Stmt::Dup(it) | Stmt::Fwd(it) => it
                .addr
                .iter()
                .chain(&it.dev)
                .for_each(|value| self.value(value, None)),
            Stmt::Queue(it) => it.num.iter().for_each(|value| self.value(value, None)),
            Stmt::Counter(ObjectRef::Map(map))
            | Stmt::Quota(ObjectRef::Map(map))
            | Stmt::Limit(ObjectRef::Map(map))
            | Stmt::CtHelper(ObjectRef::Map(map))
            | Stmt::CtTimeout(ObjectRef::Map(map))
            | Stmt::CtExpectation(ObjectRef::Map(map))
            | Stmt::Secmark(ObjectRef::Map(map))
            | Stmt::Synproxy(ObjectRef::Map(map)) => self.looked_up(map, None),
            Stmt::SetUpdate(update) => {
                let usage = self.set(&update.set);
                usage.written = true;
                usage.key = Some(&update.elem);
                usage.data = usage.data.or(update.data.as_ref());
            }
            Stmt::Text(text) => {
                if let Some(("add" | "update" | "delete", rest)) = text.split_once(" @") {
                    self.set(rest.split(' ').next().unwrap_or_default()).written = true;
                }
            }
            _ => {}
        }
    }

    /// Whether rules write to the set.
    pub(super) fn written(&self, set: &str) -> bool {
        self.0.get(set).is_some_and(|usage| usage.written)
    }

    /// How the keys and the data of a set are declared and spelled.
    pub(super) fn types(&self, set: &'a Set) -> Option<Types<'a>> {
        let key = set.key_type.as_ref()?;
        let data = set.data_type.as_ref();
        let known = data.is_none_or(|data| !has_no_width(data)) && !has_no_width(key);
        let by_typeof = has_typeof(key) || data.is_some_and(has_typeof);
        let usage = self.0.get(set.name.as_str());
        match usage.and_then(|usage| Some((usage.key?, usage.data))) {
            Some((key, value)) if !known && !by_typeof => {
                let key = if let Expr::Elem(elem) = key {
                    &elem.val
                } else {
                    key
                };
                Some(Types {
                    by_typeof: true,
                    key: Type::Expr(key),
                    data: data.map(|data| Type::of_data(data, value)),
                })
            }
            _ => Some(Types {
                by_typeof,
                key: Type::Spec(key),
                data: data.map(Type::Spec),
            }),
        }
    }
}

/// The declaration of a set's types.
pub(super) struct Types<'a> {
    by_typeof: bool,
    key: Type<'a>,
    data: Option<Type<'a>>,
}

enum Type<'a> {
    Spec(&'a TypeSpec),
    Expr(&'a Expr),
    /// Expressions that have the named types.
    Example(String, &'a TypeSpec),
}

impl<'a> Type<'a> {
    fn of_data(spec: &'a TypeSpec, value: Option<&'a Expr>) -> Type<'a> {
        let names: Vec<&str> = match spec {
            TypeSpec::Name(name) => name.split(" . ").collect(),
            TypeSpec::List(parts) => parts
                .iter()
                .filter_map(|part| {
                    if let TypeSpec::Name(name) = part {
                        Some(&**name)
                    } else {
                        None
                    }
                })
                .collect(),
            TypeSpec::Typeof(_) => Vec::new(),
        };
        let examples: Option<Vec<&str>> = names.into_iter().map(example).collect();
        match (value, examples) {
            (Some(value), _) => Type::Expr(value),
            (None, Some(examples)) if !examples.is_empty() => {
                Type::Example(examples.join(" . "), spec)
            }
            _ => Type::Spec(spec),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Type::Spec(spec) | Type::Example(_, spec) => Kind::of_type(spec),
            Type::Expr(expr) => Kind::of(expr),
        }
    }
}

impl Types<'_> {
    pub(super) fn key_kind(&self) -> Kind {
        self.key.kind()
    }

    pub(super) fn data_kind(&self) -> Kind {
        self.data.as_ref().map_or(Kind::Any, Type::kind)
    }
}

impl Printer {
    /// `type KEY : DATA` or `typeof KEY : DATA`; data that spans addresses has to say so.
    pub(super) fn types(&mut self, types: &Types<'_>, interval: bool) {
        self.push(if types.by_typeof { "typeof " } else { "type " });
        self.set_type(&types.key);
        if let Some(data) = &types.data {
            self.push(if interval { " : interval " } else { " : " });
            self.set_type(data);
        }
    }

    fn set_type(&mut self, of: &Type<'_>) {
        match of {
            Type::Spec(spec) => self.type_spec(spec),
            Type::Expr(expr) => self.expr(expr, &Kind::Any),
            Type::Example(text, _) => self.push(text),
        }
    }

    fn type_spec(&mut self, spec: &TypeSpec) {
        match spec {
            TypeSpec::Name(name) => self.word(name),
            TypeSpec::List(parts) => {
                self.list(parts, " . ", |printer, part| printer.type_spec(part))
            }
            TypeSpec::Typeof(expr) => self.expr(expr, &Kind::Any),
        }
    }
}

/// An expression of a data type; `None` for types that need a better one.
fn example(name: &str) -> Option<&str> {
    Some(match name {
        "ipv4_addr" => "ip daddr",
        "ipv6_addr" => "ip6 daddr",
        "ether_addr" => "ether daddr",
        "inet_service" => "th dport",
        "inet_proto" => "meta l4proto",
        "mark" => "meta mark",
        "classid" => "meta priority",
        "realm" => "meta rtclassid",
        "ifname" => "iifname",
        "iface_index" => "iif",
        "dscp" => "ip dscp",
        "verdict" | "counter" | "quota" | "limit" | "secmark" | "synproxy" => name,
        "ct helper" | "ct timeout" | "ct expectation" => name,
        _ => return None,
    })
}

fn has_no_width(spec: &TypeSpec) -> bool {
    match spec {
        TypeSpec::Name(name) => name
            .split(" . ")
            .any(|name| name == "integer" || name == "string"),
        TypeSpec::List(parts) => parts.iter().any(has_no_width),
        TypeSpec::Typeof(_) => false,
    }
}

fn has_typeof(spec: &TypeSpec) -> bool {
    match spec {
        TypeSpec::Name(_) => false,
        TypeSpec::List(parts) => parts.iter().any(has_typeof),
        TypeSpec::Typeof(_) => true,
    }
}
