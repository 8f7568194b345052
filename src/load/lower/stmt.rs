//! Statements of a rule.

use crate::iptables::{save, translate};
use crate::nft::ast::{self, Expr as Syntax, MatchOp, ObjectRef, Stmt as SyntaxStmt};
use crate::ruleset::datatype::DataType;
use crate::ruleset::expr::MetaKey;
use crate::ruleset::protocol::{Context, Implied};
use crate::ruleset::set::{Component, DataKind, Element, NO_DATUM};
use crate::ruleset::{
    Effect, Expr, Family, Field, Gate, GateKind, Match, Nat, NatKind, NatRange, Op, Operand,
    Reject, Set, Statement, Stmt,
};

use super::expr::{Meaningless, NoMeaning, implied_match, literal};
use super::{Lowering, Place};

/// The statements of one rule while they are made.
pub(super) struct Body {
    pub place: Place,
    pub source: u16,
    pub statements: Vec<Statement>,
    /// What earlier matches of the rule say of the packet's headers.
    pub context: Context,
    seen: Vec<Implied>,
    /// Implied matches of the statement in work.
    pending: Vec<Implied>,
}

impl Body {
    pub fn new(place: Place) -> Body {
        Body {
            place,
            source: 0,
            statements: Vec::new(),
            context: Context::default(),
            seen: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Notes matches that the statement in work implies.
    pub fn imply(&mut self, implied: Vec<Implied>) {
        self.pending.extend(implied);
    }

    /// Keeps what a match with one value says of the packet's headers.
    fn learn(&mut self, left: &Syntax, value: u128) {
        match left {
            Syntax::Payload(payload) => {
                if let (Some(protocol), Some(field)) = (&payload.protocol, &payload.field) {
                    self.context.record(protocol, field, Some(value));
                }
            }
            Syntax::Meta(meta) => self.context.record_meta(&meta.key, Some(value)),
            _ => {}
        }
    }

    fn push(&mut self, kind: Stmt) {
        self.statements.push(Statement {
            kind,
            source: self.source,
            implied: false,
        });
    }
}

impl Lowering {
    pub(super) fn statement(&mut self, syntax: &SyntaxStmt, body: &mut Body) {
        body.pending.clear();
        let lowered = self.lower_statement(syntax, body);
        let pending = std::mem::take(&mut body.pending);
        for implied in pending {
            if body.seen.contains(&implied) {
                continue;
            }
            if let Implied::OneOf(field, values) = &implied {
                let component = Component {
                    data_type: field.data_type,
                    width: Some(field.len),
                };
                let keys = values
                    .iter()
                    .map(|&value| Element {
                        key: Box::new([(value, value)]),
                        datum: NO_DATUM,
                    })
                    .collect();
                let set = Set::new(
                    body.place.table,
                    None,
                    vec![component],
                    None,
                    keys,
                    Vec::new(),
                );
                let id = self.add_set(set);
                let test = Match {
                    left: Expr::Field(Field::Payload {
                        base: field.base,
                        offset: field.offset,
                        len: field.len,
                    }),
                    op: Op::Eq,
                    right: Operand::Set(id),
                    data_type: field.data_type,
                    or_absent: false,
                };
                body.statements.push(Statement {
                    kind: Stmt::Match(test),
                    source: body.source,
                    implied: true,
                });
            }
            for test in implied_match(&implied) {
                body.statements.push(Statement {
                    kind: Stmt::Match(test),
                    source: body.source,
                    implied: true,
                });
            }
            body.seen.push(implied);
        }
        match lowered {
            Ok(kind) => body.push(kind),
            Err(no_meaning) => {
                let unknown = self.unknown(body.place, no_meaning);
                body.push(Stmt::Unknown(unknown));
            }
        }
    }

    fn lower_statement(&mut self, syntax: &SyntaxStmt, body: &mut Body) -> Result<Stmt, NoMeaning> {
        let matching = NoMeaning::of_match;
        let acting = NoMeaning::of_action;
        Ok(match syntax {
            SyntaxStmt::Match(test) => Stmt::Match(self.relational(test, body).map_err(matching)?),
            SyntaxStmt::Verdict(verdict) => Stmt::Verdict(self.verdict(verdict, body.place.table)),
            SyntaxStmt::Vmap(vmap) => {
                if !vmap.extra.is_empty() {
                    return Err(acting("a field of `vmap`".into()));
                }
                let key = self.expr(&vmap.key, body).map_err(acting)?;
                let (map, _) = self
                    .map_of(&vmap.data, &key, Some(DataKind::Verdict), body)
                    .map_err(acting)?;
                Stmt::Vmap { key: key.expr, map }
            }
            SyntaxStmt::Mangle(mangle) => self.mangle(mangle, body).map_err(acting)?,
            SyntaxStmt::Counter(object) => {
                self.object(object, Effect::Counter, body).map_err(acting)?
            }
            SyntaxStmt::CtHelper(object) => self
                .object(object, Effect::CtHelper, body)
                .map_err(acting)?,
            SyntaxStmt::CtTimeout(object) => self
                .object(object, Effect::CtTimeout, body)
                .map_err(acting)?,
            SyntaxStmt::CtExpectation(object) => self
                .object(object, Effect::CtExpectation, body)
                .map_err(acting)?,
            SyntaxStmt::Secmark(object) => {
                self.object(object, Effect::Secmark, body).map_err(acting)?
            }
            SyntaxStmt::Tunnel(object) => {
                self.object(object, Effect::Tunnel, body).map_err(acting)?
            }
            SyntaxStmt::Synproxy(_) => Stmt::Synproxy,
            SyntaxStmt::Limit(object) => Stmt::Gate(gate(GateKind::Limit, object)),
            SyntaxStmt::Quota(object) => Stmt::Gate(gate(GateKind::Quota, object)),
            SyntaxStmt::CtCount(fields) => Stmt::Gate(Gate {
                kind: GateKind::CtCount,
                over: inverted(fields),
            }),
            SyntaxStmt::Last(_) => Stmt::NoEffect(Effect::Last),
            SyntaxStmt::Log(fields) => {
                if fields.get("level").and_then(|level| level.as_str()) == Some("audit") {
                    Stmt::NoEffect(Effect::Audit)
                } else {
                    Stmt::NoEffect(Effect::Log)
                }
            }
            SyntaxStmt::Nat(nat) => Stmt::Nat(self.nat(nat, body).map_err(acting)?),
            SyntaxStmt::Reject(reject) => Stmt::Reject(lower_reject(reject, body).map_err(acting)?),
            SyntaxStmt::SetUpdate(update) => self.set_update(update, body).map_err(acting)?,
            SyntaxStmt::Meter(meter) => {
                self.expr(&meter.key_expr(), body).map_err(matching)?;
                match meter.stmt.as_slice() {
                    [SyntaxStmt::Limit(object)] => Stmt::Gate(gate(GateKind::Limit, object)),
                    [SyntaxStmt::CtCount(fields)] => Stmt::Gate(Gate {
                        kind: GateKind::CtCount,
                        over: inverted(fields),
                    }),
                    _ => return Err(matching("`meter`".into())),
                }
            }
            SyntaxStmt::Dup(_) => Stmt::Dup,
            SyntaxStmt::Fwd(fwd) => Stmt::Fwd {
                device: match &fwd.dev {
                    Some(ast::Expr::String(name)) => Some(name.as_str().into()),
                    _ => None,
                },
            },
            SyntaxStmt::Queue(queue) => Stmt::Queue {
                bypass: queue
                    .flags
                    .as_ref()
                    .is_some_and(|f| f.as_slice().iter().any(|flag| flag == "bypass")),
            },
            SyntaxStmt::Tproxy(tproxy) => {
                let family = tproxy.family.as_deref().and_then(Family::from_name);
                Stmt::Tproxy {
                    family,
                    addr: None,
                    port: None,
                    or_drop: translate::drops_else(tproxy),
                }
            }
            SyntaxStmt::Flow(flow) => Stmt::FlowOffload {
                flowtable: flow.flowtable.trim_start_matches('@').into(),
            },
            SyntaxStmt::Notrack => Stmt::Notrack,
            SyntaxStmt::ResetOption(_) => Stmt::NoEffect(Effect::ResetOption),
            SyntaxStmt::Xt(xt) => return xt_statement(xt),
            SyntaxStmt::Text(text) => return self.text(text, body),
            SyntaxStmt::Unknown { key, value } if key == "xt" => {
                return Err(translated_unknown(value));
            }
            SyntaxStmt::Unknown { key, .. } => return Err(acting(format!("statement `{key}`"))),
        })
    }

    fn text(&mut self, text: &str, body: &mut Body) -> Result<Stmt, NoMeaning> {
        let first = text.split_whitespace().next().unwrap_or("");
        match first {
            "jump" | "goto" => Err(NoMeaning {
                settle: Some("a name for the chain: nft does not list anonymous ones".into()),
                ..NoMeaning::of_action(format!("anonymous chain of `{first}`"))
            }),
            // `map` statements up to nft 1.0.8: they only fill a map
            "add" | "update" | "delete" if text.contains('@') => {
                let name = text
                    .split('@')
                    .nth(1)
                    .and_then(|rest| rest.split_whitespace().next())
                    .unwrap_or("");
                let Ok(set) = self.named(name, body.place.table) else {
                    return Ok(Stmt::NoEffect(Effect::Comment));
                };
                self.ruleset.sets[set.index()].volatile = true;
                // `add @name { ip saddr . tcp dport : 0x1 }`: the rule ends where the key cannot be loaded
                let key = text.split_once('{').map_or("", |(_, rest)| rest);
                let key = key.split_once(" :").map_or("", |(key, _)| key);
                let parts: Option<Vec<Expr>> = key
                    .split(" . ")
                    .map(|part| {
                        let (protocol, field) = part.trim().split_once(' ')?;
                        let place = body.context.payload_field(protocol, field)?;
                        let family = body.place.family.name();
                        body.imply(body.context.implied(family, protocol, field));
                        body.context.record(protocol, field, None);
                        Some(Expr::Field(Field::Payload {
                            base: place.base,
                            offset: place.offset,
                            len: place.len,
                        }))
                    })
                    .collect();
                Ok(match parts {
                    None => Stmt::NoEffect(Effect::Comment),
                    Some(mut parts) => Stmt::SetUpdate {
                        set,
                        delete: first == "delete",
                        key: match parts.len() {
                            1 => parts.remove(0),
                            _ => Expr::Concat(parts.into_boxed_slice()),
                        },
                    },
                })
            }
            other => Err(NoMeaning::of_action(format!(
                "statement `{other}` listed as text"
            ))),
        }
    }

    fn relational(&mut self, test: &ast::Match, body: &mut Body) -> Result<Match, Meaningless> {
        if let Some((field, _)) = test.extra.iter().next() {
            return Err(format!("field `{field}` of a match"));
        }
        let left = self.expr(&test.left, body)?;
        let component = left.component();
        let bitmask = component.data_type.is_bitmask();
        let flags = matches!(test.right, Syntax::List(_)) || bitmask;
        let (written, or_absent) = translate::without_or_absent(&test.op);
        let op = match &written {
            MatchOp::Eq => Op::Eq,
            MatchOp::Ne => Op::Ne,
            MatchOp::Lt => Op::Lt,
            MatchOp::Gt => Op::Gt,
            MatchOp::Le => Op::Le,
            MatchOp::Ge => Op::Ge,
            MatchOp::In if flags => Op::AnyBit,
            MatchOp::In => Op::Eq,
            MatchOp::Not => Op::NoBit,
            MatchOp::Other(op) => return Err(format!("operator `{op}`")),
        };
        let data_type = component.data_type;
        let named = matches!(&test.right, Syntax::String(text) if text.starts_with('@'));
        let set = named || matches!(test.right, Syntax::Set(_)) || left.parts.len() > 1;
        if set {
            if !matches!(op, Op::Eq | Op::Ne | Op::AnyBit) {
                return Err("a set with an operator that sets do not have".into());
            }
            let id = self.set_of(&test.right, &left, body)?;
            let op = if op == Op::Ne { Op::Ne } else { Op::Eq };
            return Ok(Match {
                left: left.expr,
                op,
                right: Operand::Set(id),
                data_type,
                or_absent,
            });
        }
        if is_computed(&test.right) {
            let right = self.expr(&test.right, body)?;
            return Ok(Match {
                left: left.expr,
                op,
                right: Operand::Expr(Box::new(right.expr)),
                data_type,
                or_absent,
            });
        }
        // `fib … oif missing` asks whether there is a device at all
        let (expr, component) = match (&left.expr, &test.right) {
            (Expr::Field(Field::Fib { flags, .. }), Syntax::Bool(_)) => (
                Expr::Field(Field::Fib {
                    result: crate::ruleset::FibResult::Present,
                    flags: *flags,
                }),
                Component {
                    data_type: DataType::Boolean,
                    width: Some(8),
                },
            ),
            _ => (left.expr, component),
        };
        let (lo, hi) = literal(&test.right, component)?;
        if op == Op::Eq && lo == hi {
            body.learn(&test.left, lo);
        }
        if lo > hi {
            // nft 1.0.6 takes `A < 5 B > 7` for a range of one value and lists it so
            return Err(
                "a range whose end is below its beginning: this nft lists two comparisons so"
                    .into(),
            );
        }
        let right = if lo == hi {
            Operand::Value(lo)
        } else {
            Operand::Range(lo, hi)
        };
        Ok(Match {
            left: expr,
            op,
            right,
            data_type: component.data_type,
            or_absent,
        })
    }

    fn mangle(&mut self, mangle: &ast::Mangle, body: &mut Body) -> Result<Stmt, Meaningless> {
        let or_nothing = mangle.is_or_nothing();
        if !mangle.extra.is_empty() && !or_nothing {
            return Err("a field of a `set` statement".into());
        }
        let target = self.expr(&mangle.key, body)?;
        let component = target.component();
        let Expr::Field(field) = target.expr else {
            return Err("a `set` statement on a computed value".into());
        };
        // the frame leaves the bridge for the stack of its port, which no walk does
        if field == Field::Meta(MetaKey::Broute) {
            return Err("`meta broute set`".into());
        }
        let value = self.value(&mangle.value, component, body)?;
        Ok(Stmt::Mangle {
            target: field,
            value,
            or_nothing,
        })
    }

    /// A value of a known type: a literal, a look-up, or computed.
    fn value(
        &mut self,
        syntax: &Syntax,
        component: Component,
        body: &mut Body,
    ) -> Result<Expr, Meaningless> {
        match syntax {
            Syntax::Map(map) => {
                let key = self.expr(&map.key, body)?;
                let kind = DataKind::Value(vec![component]);
                let (id, _) = self.map_of(&map.data, &key, Some(kind), body)?;
                Ok(Expr::Lookup {
                    key: Box::new(key.expr),
                    map: id,
                })
            }
            computed if is_computed(computed) => Ok(self.expr(computed, body)?.expr),
            plain => {
                let (lo, hi) = literal(plain, component)?;
                if lo != hi {
                    return Err("a range where one value is expected".into());
                }
                Ok(Expr::Const(lo))
            }
        }
    }

    fn object(
        &mut self,
        object: &ObjectRef,
        effect: Effect,
        body: &mut Body,
    ) -> Result<Stmt, Meaningless> {
        match object {
            ObjectRef::Inline(_) | ObjectRef::Name(_) => Ok(Stmt::NoEffect(effect)),
            ObjectRef::Map(map) => {
                let key = self.expr(&map.key, body)?;
                let (id, _) = self.map_of(&map.data, &key, Some(DataKind::Object), body)?;
                Ok(Stmt::ObjectMap {
                    key: key.expr,
                    map: id,
                })
            }
        }
    }

    fn set_update(
        &mut self,
        update: &ast::SetUpdate,
        body: &mut Body,
    ) -> Result<Stmt, Meaningless> {
        let set = self.named(update.set.trim_start_matches('@'), body.place.table)?;
        let syntax = match &update.elem {
            Syntax::Elem(elem) => &elem.val,
            other => other,
        };
        let key = self.expr(syntax, body)?;
        // a limit or count on the element decides whether the rule goes on
        for statement in update.stmt.iter().flatten() {
            let gate = match statement {
                SyntaxStmt::Limit(object) => gate(GateKind::Limit, object),
                SyntaxStmt::Quota(object) => gate(GateKind::Quota, object),
                SyntaxStmt::CtCount(fields) => Gate {
                    kind: GateKind::CtCount,
                    over: inverted(fields),
                },
                _ => continue,
            };
            body.push(Stmt::SetUpdate {
                set,
                delete: update.op == "delete",
                key: key.expr.clone(),
            });
            return Ok(Stmt::Gate(gate));
        }
        Ok(Stmt::SetUpdate {
            set,
            delete: update.op == "delete",
            key: key.expr,
        })
    }

    fn nat(&mut self, nat: &ast::Nat, body: &mut Body) -> Result<Nat, Meaningless> {
        if let Some((field, _)) = nat.extra.iter().next() {
            return Err(format!("field `{field}` of a nat statement"));
        }
        let kind = match nat.kind {
            ast::NatKind::Snat => NatKind::Snat,
            ast::NatKind::Dnat => NatKind::Dnat,
            ast::NatKind::Masquerade => NatKind::Masquerade,
            ast::NatKind::Redirect => NatKind::Redirect,
        };
        let flags = |flags: &Option<ast::OneOrMany<ast::Str>>, name: &str| {
            flags
                .as_ref()
                .is_some_and(|f| f.as_slice().iter().any(|flag| flag == name))
        };
        let family =
            nat.family
                .as_deref()
                .and_then(Family::from_name)
                .or(match body.place.family {
                    family @ (Family::Ip | Family::Ip6) => Some(family),
                    _ => None,
                });
        let v6 = match (family, &nat.addr) {
            (Some(Family::Ip6), _) => true,
            (None, Some(addr)) => mentions_v6(addr),
            _ => false,
        };
        let address = if v6 {
            Component {
                data_type: DataType::Ipv6Addr,
                width: Some(128),
            }
        } else {
            Component {
                data_type: DataType::Ipv4Addr,
                width: Some(32),
            }
        };
        let service = Component {
            data_type: DataType::InetService,
            width: Some(16),
        };
        let concat = flags(&nat.type_flags, "concat");
        let addr = match &nat.addr {
            None => NatRange::None,
            Some(addr) => self.nat_range(addr, address, concat.then_some(service), body)?,
        };
        let in_address = match (&addr, &nat.port) {
            (NatRange::One(Expr::Lookup { map, .. }), None) => matches!(
                &self.ruleset.set(*map).data_kind,
                Some(DataKind::Value(parts)) if parts.len() > 1
            ),
            (NatRange::One(Expr::Concat(_)), None) => true,
            _ => false,
        };
        let port = match &nat.port {
            None if in_address => NatRange::InAddress,
            None => NatRange::None,
            Some(port) => self.nat_range(port, service, None, body)?,
        };
        Ok(Nat {
            kind,
            family,
            addr,
            port,
            random: flags(&nat.flags, "random") || flags(&nat.flags, "fully-random"),
            persistent: flags(&nat.flags, "persistent"),
            // a prefix alone is a range, whatever a listing makes of it (docs/semantics/nat.md)
            prefix: flags(&nat.flags, "netmap") || flags(&nat.type_flags, "prefix"),
        })
    }

    fn nat_range(
        &mut self,
        syntax: &Syntax,
        component: Component,
        second: Option<Component>,
        body: &mut Body,
    ) -> Result<NatRange, Meaningless> {
        match syntax {
            Syntax::Map(map) => {
                let key = self.expr(&map.key, body)?;
                let mut parts = vec![component];
                let concat = matches!(&map.data, Syntax::Set(values)
                    if values.as_slice().iter().any(|e| matches!(e, Syntax::Pair(p) if matches!(p.1, Syntax::Concat(_)))));
                if second.is_some() || concat {
                    parts.push(Component {
                        data_type: DataType::InetService,
                        width: Some(16),
                    });
                }
                let (id, _) = self.map_of(&map.data, &key, Some(DataKind::Value(parts)), body)?;
                Ok(NatRange::One(Expr::Lookup {
                    key: Box::new(key.expr),
                    map: id,
                }))
            }
            Syntax::Range(_) | Syntax::Prefix(_) => {
                let (lo, hi) = literal(syntax, component)?;
                Ok(NatRange::Range(Expr::Const(lo), Expr::Const(hi)))
            }
            Syntax::Concat(parts) => {
                let service = Component {
                    data_type: DataType::InetService,
                    width: Some(16),
                };
                let mut values = Vec::new();
                for (part, component) in parts.iter().zip([component, service]) {
                    values.push(self.value(part, component, body)?);
                }
                Ok(NatRange::One(Expr::Concat(values.into())))
            }
            other => Ok(NatRange::One(self.value(other, component, body)?)),
        }
    }
}

impl ast::Meter {
    fn key_expr(&self) -> Syntax {
        match &self.key {
            Syntax::Elem(elem) => elem.val.clone(),
            other => other.clone(),
        }
    }
}

fn mentions_v6(addr: &Syntax) -> bool {
    match addr {
        Syntax::String(text) => text.contains(':'),
        Syntax::Range(range) => mentions_v6(&range.0),
        Syntax::Prefix(prefix) => mentions_v6(&prefix.addr),
        Syntax::Concat(parts) => parts.iter().any(mentions_v6),
        Syntax::Map(map) => mentions_v6(&map.data),
        Syntax::Set(values) => values.as_slice().iter().any(mentions_v6),
        Syntax::Pair(pair) => mentions_v6(&pair.1),
        _ => false,
    }
}

/// True for expressions that are computed from the packet.
fn is_computed(syntax: &Syntax) -> bool {
    match syntax {
        Syntax::Meta(_)
        | Syntax::Ct(_)
        | Syntax::Payload(_)
        | Syntax::Exthdr(_)
        | Syntax::TcpOption(_)
        | Syntax::IpOption(_)
        | Syntax::SctpChunk(_)
        | Syntax::DccpOption(_)
        | Syntax::Fib(_)
        | Syntax::Rt(_)
        | Syntax::Socket(_)
        | Syntax::Osf(_)
        | Syntax::Ipsec(_)
        | Syntax::TunnelMeta(_)
        | Syntax::Numgen(_)
        | Syntax::Jhash(_)
        | Syntax::Symhash(_)
        | Syntax::Map(_)
        | Syntax::Unknown(_) => true,
        Syntax::Binary(_, operands) => operands.iter().any(is_computed),
        Syntax::Concat(parts) => parts.iter().any(is_computed),
        Syntax::String(_)
        | Syntax::Number(_)
        | Syntax::Bool(_)
        | Syntax::List(_)
        | Syntax::Pair(_)
        | Syntax::Set(_)
        | Syntax::Prefix(_)
        | Syntax::Range(_)
        | Syntax::Elem(_)
        | Syntax::Verdict(_) => false,
    }
}

fn inverted(fields: &ast::Fields) -> bool {
    fields
        .get("inv")
        .and_then(|inv| inv.as_bool())
        .unwrap_or(false)
}

fn gate(kind: GateKind, object: &ObjectRef) -> Gate {
    let over = match object {
        ObjectRef::Inline(fields) => inverted(fields),
        ObjectRef::Name(_) | ObjectRef::Map(_) => false,
    };
    Gate { kind, over }
}

fn lower_reject(reject: &ast::Reject, body: &mut Body) -> Result<Reject, Meaningless> {
    if !reject.extra.is_empty() {
        return Err("a field of `reject`".into());
    }
    body.imply(
        body.context
            .implied_for_reject(body.place.family.name(), reject.kind.as_deref()),
    );
    let code = |data_type: DataType, usual: u8| -> Result<u8, Meaningless> {
        match reject.expr.as_deref() {
            None => Ok(usual),
            Some(syntax) => {
                let (value, _) = literal(
                    syntax,
                    Component {
                        data_type,
                        width: Some(8),
                    },
                )?;
                u8::try_from(value).map_err(|_| format!("reject code {value}"))
            }
        }
    };
    Ok(match reject.kind.as_deref() {
        None if reject.expr.is_none() => match body.place.family {
            Family::Ip => Reject::Icmp(3),
            Family::Ip6 => Reject::Icmpv6(4),
            _ => Reject::Icmpx(1),
        },
        Some("tcp reset") => Reject::TcpReset,
        Some("icmp") => Reject::Icmp(code(DataType::IcmpCode, 3)?),
        Some("icmpv6") => Reject::Icmpv6(code(DataType::Icmpv6Code, 4)?),
        Some("icmpx") => Reject::Icmpx(code(DataType::IcmpxCode, 1)?),
        other => return Err(format!("reject type `{}`", other.unwrap_or("none"))),
    })
}

/// An opaque iptables extension: only its name is known.
fn xt_statement(xt: &ast::Xt) -> Result<Stmt, NoMeaning> {
    let name = xt.name.as_deref().unwrap_or("without a name");
    match (xt.kind.as_deref(), name) {
        (Some("match"), "comment") => Ok(Stmt::NoEffect(Effect::Comment)),
        (Some("match"), _) => Err(NoMeaning::of_match(format!("iptables match {name}"))),
        (Some("target" | "watcher"), "LOG" | "NFLOG" | "ULOG" | "log" | "nflog") => {
            Ok(Stmt::NoEffect(Effect::Log))
        }
        (Some("target"), "AUDIT") => Ok(Stmt::NoEffect(Effect::Audit)),
        (Some("target"), "TCPMSS" | "CHECKSUM" | "TCPOPTSTRIP") => {
            Ok(Stmt::NoEffect(Effect::ResetOption))
        }
        (Some("target" | "watcher"), _) => {
            Err(NoMeaning::of_action(format!("iptables target {name}")))
        }
        _ => Err(NoMeaning::of_action(format!("iptables extension {name}"))),
    }
}

/// An iptables match or target that has no equivalent in nft's language.
fn translated_unknown(value: &serde_json::Value) -> NoMeaning {
    let name = |key: &str| value.get(key).and_then(|name| name.as_str());
    let found = match (name("match"), name("target")) {
        (Some(save::UNREAD_LINE), _) => NoMeaning::of_match(format!(
            "the unread rule ({})",
            name("args").unwrap_or("a line")
        )),
        (None, Some(save::UNREAD_LINE)) => NoMeaning::of_action(format!(
            "what the unread rule ({}) does",
            name("args").unwrap_or("a line")
        )),
        (Some(found), _) if found.starts_with(['-', '(']) => {
            NoMeaning::of_match(format!("match `{}`", name("args").unwrap_or(found)))
        }
        // ebtables has no -m: the options name their match
        (Some(found), _) if name("program").is_some() => {
            NoMeaning::of_match(format!("match `{}`", name("args").unwrap_or(found)))
        }
        (Some(found), _) => {
            let args = name("args").filter(|args| !args.is_empty());
            let args = args.map_or_else(String::new, |args| format!(" {args}"));
            NoMeaning::of_match(format!("match `-m {found}{args}`"))
        }
        (None, Some(found)) => NoMeaning::of_action(format!("target `-j {found}`")),
        (None, None) => NoMeaning::of_action("an iptables extension".into()),
    };
    NoMeaning {
        settle: name("settle").map(ToString::to_string),
        ..found
    }
}
