//! Names every part of a document that this version does not know.

use serde_json::Value;

use super::{Place, ReadNote};
use crate::nft::ast::*;

/// The notes of a document, in document order.
pub(super) fn of(document: &Document) -> Vec<ReadNote> {
    let mut notes = Notes {
        place: Place::default(),
        notes: Vec::new(),
    };
    for object in &document.objects {
        notes.place = place(object);
        notes.object(object);
    }
    notes.place = Place::default();
    notes.extra(&document.extra, "the listing");
    notes.notes
}

fn place(object: &Object) -> Place {
    let in_table = |family: &Str, table: &Str, handle: Option<u64>| Place {
        family: Some(family.clone()),
        table: Some(table.clone()),
        handle,
        ..Place::default()
    };
    match object {
        Object::Metainfo(_) => Place::default(),
        Object::Table(it) => in_table(&it.family, &it.name, it.handle),
        Object::Chain(it) => Place {
            chain: Some(it.name.clone()),
            ..in_table(&it.family, &it.table, it.handle)
        },
        Object::Rule(it) => Place {
            chain: Some(it.chain.clone()),
            ..in_table(&it.family, &it.table, it.handle)
        },
        Object::Set(it) | Object::Map(it) => Place {
            object: Some(it.name.clone()),
            ..in_table(&it.family, &it.table, it.handle)
        },
        Object::Flowtable(it) => Place {
            object: Some(it.name.clone()),
            ..in_table(&it.family, &it.table, it.handle)
        },
        Object::Stateful(it) => Place {
            object: Some(it.name.clone()),
            ..in_table(&it.family, &it.table, it.handle)
        },
        Object::Unknown { value, .. } => {
            let name = |key: &str| value.get(key).and_then(Value::as_str).map(Str::from);
            Place {
                family: name("family"),
                table: name("table"),
                chain: name("chain"),
                object: name("name"),
                handle: value.get("handle").and_then(Value::as_u64),
            }
        }
    }
}

struct Notes {
    place: Place,
    notes: Vec<ReadNote>,
}

impl Notes {
    fn note(&mut self, what: String) {
        self.notes.push(ReadNote {
            place: self.place.clone(),
            what,
        });
    }

    fn extra(&mut self, extra: &Extra, of: &str) {
        for (key, _) in extra.iter() {
            self.note(format!("unknown field `{}` in {of}", key.escape_debug()));
        }
    }

    /// Notes the keys of raw parameters that are not among the known ones.
    fn fields(&mut self, fields: &Fields, of: &str, known: &[&str]) {
        for key in fields.0.as_object().into_iter().flat_map(|map| map.keys()) {
            if !known.contains(&key.as_str()) {
                self.note(format!("unknown field `{}` in {of}", key.escape_debug()));
            }
        }
    }

    fn object(&mut self, object: &Object) {
        match object {
            Object::Metainfo(it) => self.extra(&it.extra, "metainfo"),
            Object::Table(it) => self.extra(&it.extra, "the table"),
            Object::Chain(it) => self.extra(&it.extra, "the chain"),
            Object::Rule(it) => {
                self.stmts(it.expr.iter().flatten());
                self.extra(&it.extra, "the rule");
            }
            Object::Set(it) => self.set(it, "the set"),
            Object::Map(it) => self.set(it, "the map"),
            Object::Flowtable(it) => self.extra(&it.extra, "the flowtable"),
            Object::Stateful(_) => {}
            Object::Unknown { key, .. } if key.is_empty() => {
                self.note("a member of the listing that is no object with one key".to_owned());
            }
            Object::Unknown { key, .. } if super::tree::is_object_kind(key) => {
                self.note(format!("object `{key}` of an unknown shape"));
            }
            Object::Unknown { key, .. } => {
                self.note(format!("unknown object `{}`", key.escape_debug()))
            }
        }
    }

    fn set(&mut self, set: &Set, of: &str) {
        for spec in set.key_type.iter().chain(&set.data_type) {
            self.type_spec(spec);
        }
        self.stmts(set.stmt.iter().flatten());
        self.exprs(set.elem.iter().flatten());
        self.extra(&set.extra, of);
    }

    fn type_spec(&mut self, spec: &TypeSpec) {
        match spec {
            TypeSpec::Name(_) => {}
            TypeSpec::List(parts) => parts.iter().for_each(|part| self.type_spec(part)),
            TypeSpec::Typeof(expr) => self.expr(expr),
        }
    }

    fn stmts<'a>(&mut self, stmts: impl IntoIterator<Item = &'a Stmt>) {
        stmts.into_iter().for_each(|stmt| self.stmt(stmt));
    }

    fn exprs<'a>(&mut self, exprs: impl IntoIterator<Item = &'a Expr>) {
        exprs.into_iter().for_each(|expr| self.expr(expr));
    }

    fn reference(&mut self, reference: &ObjectRef, of: &str, known: &[&str]) {
        match reference {
            ObjectRef::Inline(fields) => self.fields(fields, of, known),
            ObjectRef::Name(_) => {}
            ObjectRef::Map(map) => self.map(map),
        }
    }

    fn map(&mut self, map: &MapExpr) {
        self.expr(&map.key);
        self.expr(&map.data);
        self.extra(&map.extra, "a map");
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Match(it) => {
                self.expr(&it.left);
                self.expr(&it.right);
                if let MatchOp::Other(op) = &it.op {
                    self.note(format!("unknown operator `{}`", op.escape_debug()));
                }
                self.extra(&it.extra, "a match");
            }
            Stmt::Verdict(_) | Stmt::Notrack => {}
            Stmt::Vmap(it) => self.map(it),
            Stmt::Mangle(it) => {
                self.expr(&it.key);
                self.expr(&it.value);
                self.extra(&it.extra, "mangle");
            }
            Stmt::Counter(it) => self.reference(it, "counter", &["packets", "bytes"]),
            Stmt::Quota(it) => self.reference(
                it,
                "quota",
                &["val", "val_unit", "used", "used_unit", "inv"],
            ),
            Stmt::Limit(it) => {
                self.reference(
                    it,
                    "limit",
                    &["rate", "rate_unit", "per", "burst", "burst_unit", "inv"],
                );
            }
            Stmt::CtCount(it) => self.fields(it, "ct count", &["val", "inv"]),
            Stmt::CtHelper(it) => self.reference(it, "ct helper", &[]),
            Stmt::CtTimeout(it) => self.reference(it, "ct timeout", &[]),
            Stmt::CtExpectation(it) => self.reference(it, "ct expectation", &[]),
            Stmt::Secmark(it) => self.reference(it, "secmark", &[]),
            Stmt::Synproxy(it) => self.reference(it, "synproxy", &["mss", "wscale", "flags"]),
            Stmt::Tunnel(it) => self.reference(it, "tunnel", &[]),
            Stmt::Last(it) => self.fields(it, "last", &["used"]),
            Stmt::Log(it) => {
                self.fields(
                    it,
                    "log",
                    &[
                        "prefix",
                        "group",
                        "snaplen",
                        "queue-threshold",
                        "level",
                        "flags",
                    ],
                );
            }
            Stmt::Nat(it) => {
                self.exprs(it.addr.iter().chain(&it.port));
                self.extra(&it.extra, it.kind.key());
            }
            Stmt::Reject(it) => {
                self.exprs(it.expr.as_deref());
                self.extra(&it.extra, "reject");
            }
            Stmt::SetUpdate(it) => {
                self.exprs(std::iter::once(&it.elem).chain(&it.data));
                self.stmts(it.stmt.iter().flatten());
                self.extra(&it.extra, "a set statement");
            }
            Stmt::Meter(it) => {
                self.expr(&it.key);
                self.stmts(it.stmt.as_slice());
                self.extra(&it.extra, "meter");
            }
            Stmt::Dup(it) => self.redirection(it, "dup"),
            Stmt::Fwd(it) => self.redirection(it, "fwd"),
            Stmt::Queue(it) => {
                self.exprs(&it.num);
                self.extra(&it.extra, "queue");
            }
            Stmt::Tproxy(it) => {
                self.exprs(it.addr.iter().chain(&it.port));
                self.extra(&it.extra, "tproxy");
            }
            Stmt::Flow(it) => self.extra(&it.extra, "flow"),
            Stmt::ResetOption(it) => self.fields(it, "reset", &["tcp option"]),
            Stmt::Xt(it) => self.extra(&it.extra, "xt"),
            Stmt::Text(text) => {
                let start: String = text.chars().take_while(|c| *c != '\n').take(40).collect();
                self.note(format!(
                    "a statement that nft printed as text only: `{}…`",
                    start.trim().escape_debug()
                ));
            }
            Stmt::Unknown { key, .. } if key.is_empty() => {
                self.note("a statement that is no object with one key".to_owned());
            }
            Stmt::Unknown { key, .. } if is_stmt(key) => {
                self.note(format!("statement `{key}` of an unknown shape"));
            }
            Stmt::Unknown { key, .. } => {
                self.note(format!("unknown statement `{}`", key.escape_debug()))
            }
        }
    }

    fn redirection(&mut self, redirection: &Redirection, of: &str) {
        self.exprs(redirection.addr.iter().chain(&redirection.dev));
        self.extra(&redirection.extra, of);
    }

    fn option(&mut self, option: &HeaderOption, of: &str) {
        self.extra(&option.extra, of);
    }

    fn hash(&mut self, hash: &Hash, of: &str) {
        self.exprs(&hash.expr);
        self.extra(&hash.extra, of);
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::String(_) | Expr::Number(_) | Expr::Bool(_) => {}
            Expr::Verdict(_) | Expr::Meta(_) | Expr::Socket(_) | Expr::TunnelMeta(_) => {}
            Expr::List(items) | Expr::Concat(items) | Expr::Binary(_, items) => self.exprs(items),
            Expr::Pair(two) | Expr::Range(two) => {
                self.expr(&two.0);
                self.expr(&two.1);
            }
            Expr::Set(elements) => self.exprs(elements.as_slice()),
            Expr::Prefix(it) => {
                self.expr(&it.addr);
                self.extra(&it.extra, "prefix");
            }
            Expr::Elem(it) => {
                self.expr(&it.val);
                self.extra(&it.extra, "elem");
            }
            Expr::Ct(it) => self.extra(&it.extra, "ct"),
            Expr::Payload(it) => self.extra(&it.extra, "payload"),
            Expr::Exthdr(it) => self.option(it, "exthdr"),
            Expr::TcpOption(it) => self.option(it, "tcp option"),
            Expr::IpOption(it) => self.option(it, "ip option"),
            Expr::SctpChunk(it) => self.option(it, "sctp chunk"),
            Expr::DccpOption(it) => self.option(it, "dccp option"),
            Expr::Fib(it) => self.extra(&it.extra, "fib"),
            Expr::Rt(it) => self.extra(&it.extra, "rt"),
            Expr::Osf(it) => self.extra(&it.extra, "osf"),
            Expr::Ipsec(it) => self.extra(&it.extra, "ipsec"),
            Expr::Numgen(it) => self.extra(&it.extra, "numgen"),
            Expr::Jhash(it) => self.hash(it, "jhash"),
            Expr::Symhash(it) => self.hash(it, "symhash"),
            Expr::Map(it) => self.map(it),
            Expr::Unknown(value) => {
                let what = match value.as_object().and_then(|map| map.keys().next()) {
                    Some(key) if is_expr(key) => format!("expression `{key}` of an unknown shape"),
                    Some(key) => format!("unknown expression `{}`", key.escape_debug()),
                    None => "a literal of an unknown shape".to_owned(),
                };
                self.note(what);
            }
        }
    }
}

/// Whether `key` names a statement of a listing.
fn is_stmt(key: &str) -> bool {
    const KEYS: &[&str] = &[
        "match",
        "accept",
        "drop",
        "continue",
        "return",
        "jump",
        "goto",
        "vmap",
        "mangle",
        "counter",
        "quota",
        "limit",
        "ct count",
        "ct helper",
        "ct timeout",
        "ct expectation",
        "secmark",
        "synproxy",
        "tunnel",
        "last",
        "log",
        "snat",
        "dnat",
        "masquerade",
        "redirect",
        "reject",
        "set",
        "map",
        "meter",
        "dup",
        "fwd",
        "queue",
        "tproxy",
        "flow",
        "notrack",
        "reset",
        "xt",
    ];
    KEYS.contains(&key)
}

/// Whether `key` names an expression of a listing.
fn is_expr(key: &str) -> bool {
    const KEYS: &[&str] = &[
        "set",
        "concat",
        "prefix",
        "range",
        "elem",
        "accept",
        "drop",
        "continue",
        "return",
        "jump",
        "goto",
        "meta",
        "ct",
        "payload",
        "exthdr",
        "tcp option",
        "ip option",
        "sctp chunk",
        "dccp option",
        "fib",
        "rt",
        "socket",
        "osf",
        "ipsec",
        "tunnel",
        "numgen",
        "jhash",
        "symhash",
        "map",
        "&",
        "|",
        "^",
        "<<",
        ">>",
    ];
    KEYS.contains(&key)
}
