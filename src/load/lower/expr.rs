//! Expressions and literals: types give a literal its value.

use crate::logic::max_of;
use crate::nft::ast::{self, BinaryOp, Expr as Syntax};
use crate::ruleset::datatype::{DataType, ifname_value};
use crate::ruleset::expr::{OpaqueField, OptionOf, RtKey, SocketKey};
use crate::ruleset::protocol::{self, Implied, OptionField};
use crate::ruleset::set::Component;
use crate::ruleset::{BitOp, CtDir, CtKey, Expr, Family, FibFlags, FibResult, Field, MetaKey};

use super::Lowering;
use super::stmt::Body;

/// A lowered expression with the type of each of its components.
pub(super) struct Typed {
    pub expr: Expr,
    pub parts: Vec<Component>,
}

impl Typed {
    fn field(field: Field, data_type: DataType, width: Option<u32>) -> Typed {
        Typed {
            expr: Expr::Field(field),
            parts: vec![Component {
                data_type,
                width: width.or(data_type.width()),
            }],
        }
    }

    /// The type of a single value; an untyped number for concatenations.
    pub fn component(&self) -> Component {
        match self.parts.as_slice() {
            [one] => *one,
            _ => Component {
                data_type: DataType::Integer,
                width: None,
            },
        }
    }
}

/// Why something has no meaning here: what it is, in words.
pub(super) type Meaningless = String;

/// A statement without a meaning here.
#[derive(Debug)]
pub(super) struct NoMeaning {
    pub(super) what: Meaningless,
    /// True for something that may hold or not; false for something that acts.
    pub(super) is_match: bool,
    /// What would settle it, where that is not plain from the words.
    pub(super) settle: Option<String>,
}

impl NoMeaning {
    pub(super) fn of_match(what: Meaningless) -> NoMeaning {
        NoMeaning {
            what,
            is_match: true,
            settle: None,
        }
    }

    pub(super) fn of_action(what: Meaningless) -> NoMeaning {
        NoMeaning {
            is_match: false,
            ..NoMeaning::of_match(what)
        }
    }
}

impl Lowering {
    /// Lowers an expression that has a value for a packet, and notes the matches it implies in `body`.
    pub(super) fn expr(&mut self, syntax: &Syntax, body: &mut Body) -> Result<Typed, Meaningless> {
        match syntax {
            Syntax::Meta(key) => meta(&key.key),
            Syntax::Ct(ct) if ct.extra.is_empty() => conntrack(ct, body.place.family),
            Syntax::Payload(payload) if payload.extra.is_empty() => payload_field(payload, body),
            Syntax::Exthdr(option) if option.extra.is_empty() => exthdr(option, body),
            Syntax::TcpOption(option) if option.extra.is_empty() => tcp_option(option),
            Syntax::IpOption(option) if option.extra.is_empty() => ip_option(option, body),
            Syntax::SctpChunk(option) if option.extra.is_empty() => sctp_chunk(option),
            Syntax::DccpOption(option) if option.extra.is_empty() => dccp_option(option),
            Syntax::Fib(fib) if fib.extra.is_empty() => fib_lookup(fib),
            Syntax::Rt(rt) if rt.extra.is_empty() => Ok(match rt.key.as_str() {
                "classid" => Typed::field(Field::Rt(RtKey::ClassId), DataType::Realm, None),
                "nexthop"
                    if rt.family.as_deref() == Some("ip6") || body.place.family == Family::Ip6 =>
                {
                    Typed::field(Field::Rt(RtKey::Nexthop6), DataType::Ipv6Addr, None)
                }
                "nexthop" => Typed::field(Field::Rt(RtKey::Nexthop4), DataType::Ipv4Addr, None),
                "mtu" => Typed::field(Field::Rt(RtKey::Mtu), DataType::Integer, Some(16)),
                "ipsec" => Typed::field(Field::Rt(RtKey::Ipsec), DataType::Boolean, None),
                other => return Err(format!("`rt {other}`")),
            }),
            Syntax::Socket(key) => Ok(match key.as_str() {
                "transparent" => Typed::field(
                    Field::Socket(SocketKey::Transparent),
                    DataType::Boolean,
                    None,
                ),
                "mark" => Typed::field(Field::Socket(SocketKey::Mark), DataType::Mark, None),
                "wildcard" => {
                    Typed::field(Field::Socket(SocketKey::Wildcard), DataType::Boolean, None)
                }
                "cgroupv2" => {
                    Typed::field(Field::Socket(SocketKey::Cgroupv2), DataType::CgroupV2, None)
                }
                other => return Err(format!("`socket {other}`")),
            }),
            Syntax::Osf(_) => Ok(Typed::field(
                Field::Opaque(OpaqueField::Osf),
                DataType::String,
                Some(128),
            )),
            Syntax::Ipsec(ipsec) => {
                let data_type = match (ipsec.key.as_str(), ipsec.family.as_deref()) {
                    ("saddr" | "daddr", Some("ip6")) => DataType::Ipv6Addr,
                    ("saddr" | "daddr", _) => DataType::Ipv4Addr,
                    _ => DataType::Integer,
                };
                Ok(Typed::field(
                    Field::Opaque(OpaqueField::Ipsec),
                    data_type,
                    Some(32),
                ))
            }
            Syntax::TunnelMeta(_) => Ok(Typed::field(
                Field::Opaque(OpaqueField::Tunnel),
                DataType::Integer,
                Some(32),
            )),
            Syntax::Numgen(numgen) if numgen.extra.is_empty() => Ok(Typed {
                expr: Expr::Numgen {
                    random: numgen.mode == "random",
                    modulus: numgen.modulus.unwrap_or(0),
                    offset: numgen.offset.unwrap_or(0),
                },
                parts: vec![Component {
                    data_type: DataType::Integer,
                    width: Some(32),
                }],
            }),
            Syntax::Jhash(hash) | Syntax::Symhash(hash) if hash.extra.is_empty() => {
                if let Some(of) = &hash.expr {
                    self.expr(of, body)?;
                }
                Ok(Typed {
                    expr: Expr::Hash {
                        modulus: hash.modulus.unwrap_or(0),
                        offset: hash.offset.unwrap_or(0),
                    },
                    parts: vec![Component {
                        data_type: DataType::Integer,
                        width: Some(32),
                    }],
                })
            }
            Syntax::Map(map) if map.extra.is_empty() => {
                let key = self.expr(&map.key, body)?;
                let (id, parts) = self.map_of(&map.data, &key, None, body)?;
                Ok(Typed {
                    expr: Expr::Lookup {
                        key: Box::new(key.expr),
                        map: id,
                    },
                    parts,
                })
            }
            Syntax::Concat(parts) => {
                let mut exprs = Vec::with_capacity(parts.len());
                let mut components = Vec::with_capacity(parts.len());
                for part in parts {
                    let typed = self.expr(part, body)?;
                    components.push(typed.component());
                    exprs.push(typed.expr);
                }
                Ok(Typed {
                    expr: Expr::Concat(exprs.into()),
                    parts: components,
                })
            }
            Syntax::Binary(op, operands) => self.binary(*op, operands, body),
            Syntax::Unknown(value) => {
                let key = value.as_object().and_then(|o| o.keys().next()).cloned();
                Err(format!(
                    "expression `{}`",
                    key.unwrap_or_else(|| "without a name".into())
                ))
            }
            Syntax::Number(number) => {
                let value = u128::try_from(*number).map_err(|_| format!("the number {number}"))?;
                let parts = vec![Component {
                    data_type: DataType::Integer,
                    width: None,
                }];
                Ok(Typed {
                    expr: Expr::Const(value),
                    parts,
                })
            }
            other => Err(format!(
                "`{}` where a field of the packet is expected",
                crate::nft::print::expr(other)
            )),
        }
    }

    fn binary(
        &mut self,
        op: BinaryOp,
        operands: &[Syntax],
        body: &mut Body,
    ) -> Result<Typed, Meaningless> {
        let mut operands = operands.iter();
        let first = operands.next().ok_or("an operation without operands")?;
        let mut left = self.expr(first, body)?;
        let component = left.component();
        let width = component.width.unwrap_or(128);
        let all = max_of(width);
        for operand in operands {
            let constant = literal(operand, component)
                .ok()
                .filter(|(lo, hi)| lo == hi)
                .map(|(lo, _)| lo);
            let expr = left.expr;
            left.expr = match (op, constant) {
                (BinaryOp::And, Some(value)) => Expr::Bitwise {
                    of: Box::new(expr),
                    mask: value,
                    xor: 0,
                },
                (BinaryOp::Or, Some(value)) => Expr::Bitwise {
                    of: Box::new(expr),
                    mask: all & !value,
                    xor: value,
                },
                (BinaryOp::Xor, Some(value)) => Expr::Bitwise {
                    of: Box::new(expr),
                    mask: all,
                    xor: value,
                },
                (BinaryOp::Shl | BinaryOp::Shr, Some(by)) => Expr::Shift {
                    of: Box::new(expr),
                    left: op == BinaryOp::Shl,
                    by: u32::try_from(by).unwrap_or(128),
                    width,
                },
                (BinaryOp::Shl | BinaryOp::Shr, None) => {
                    return Err("a shift by a computed value".into());
                }
                (BinaryOp::And | BinaryOp::Or | BinaryOp::Xor, None) => {
                    let right = self.expr(operand, body)?;
                    let op = match op {
                        BinaryOp::And => BitOp::And,
                        BinaryOp::Or => BitOp::Or,
                        _ => BitOp::Xor,
                    };
                    Expr::Binary {
                        op,
                        left: Box::new(expr),
                        right: Box::new(right.expr),
                    }
                }
            };
        }
        Ok(left)
    }
}

fn meta(name: &str) -> Result<Typed, Meaningless> {
    let known = MetaKey::ALL.iter().find(|(known, ..)| *known == name);
    let (_, key, data_type, width) = known.ok_or_else(|| format!("`meta {name}`"))?;
    Ok(Typed::field(Field::Meta(*key), *data_type, Some(*width)))
}

fn conntrack(ct: &ast::CtExpr, family: Family) -> Result<Typed, Meaningless> {
    let dir = match ct.dir.as_deref() {
        None => None,
        Some("original") => Some(CtDir::Original),
        Some("reply") => Some(CtDir::Reply),
        Some(other) => return Err(format!("`ct {other} {}`", ct.key)),
    };
    let v6 =
        ct.key.starts_with("ip6 ") || ct.family.as_deref() == Some("ip6") || family == Family::Ip6;
    let address = if v6 {
        DataType::Ipv6Addr
    } else {
        DataType::Ipv4Addr
    };
    let name = ct
        .key
        .strip_prefix("ip6 ")
        .or(ct.key.strip_prefix("ip "))
        .unwrap_or(&ct.key);
    let (key, data_type, width) = match name {
        "state" => (CtKey::State, DataType::CtState, 32),
        "direction" => (CtKey::Direction, DataType::CtDir, 8),
        "status" => (CtKey::Status, DataType::CtStatus, 32),
        "mark" => (CtKey::Mark, DataType::Mark, 32),
        "expiration" => (CtKey::Expiration, DataType::Integer, 32),
        "helper" => (CtKey::Helper, DataType::String, 128),
        "label" => (CtKey::Label, DataType::CtLabel, 128),
        "l3proto" => (CtKey::L3proto, DataType::NfProto, 8),
        "protocol" => (CtKey::Protocol, DataType::InetProto, 8),
        "saddr" => (CtKey::Saddr { v6 }, address, if v6 { 128 } else { 32 }),
        "daddr" => (CtKey::Daddr { v6 }, address, if v6 { 128 } else { 32 }),
        "proto-src" => (CtKey::ProtoSrc, DataType::InetService, 16),
        "proto-dst" => (CtKey::ProtoDst, DataType::InetService, 16),
        "bytes" => (CtKey::Bytes, DataType::Integer, 64),
        "packets" => (CtKey::Packets, DataType::Integer, 64),
        "avgpkt" => (CtKey::Avgpkt, DataType::Integer, 64),
        "zone" => (CtKey::Zone, DataType::Integer, 16),
        "event" => (CtKey::Event, DataType::CtEvent, 32),
        "id" => (CtKey::Id, DataType::Integer, 32),
        "secmark" => (CtKey::Secmark, DataType::Integer, 32),
        other => return Err(format!("`ct {other}`")),
    };
    Ok(Typed::field(Field::Ct { key, dir }, data_type, Some(width)))
}

fn payload_field(payload: &ast::Payload, body: &mut Body) -> Result<Typed, Meaningless> {
    if payload.tunnel.is_some() {
        let data_type = match (payload.protocol.as_deref(), payload.field.as_deref()) {
            (Some(protocol), Some(field)) => {
                protocol::payload_field(protocol, field).map_or(DataType::Integer, |f| f.data_type)
            }
            _ => DataType::Integer,
        };
        return Ok(Typed::field(
            Field::Opaque(OpaqueField::Inner),
            data_type,
            payload.len,
        ));
    }
    if let (Some(protocol), Some(field)) = (&payload.protocol, &payload.field) {
        let found = body
            .context
            .payload_field(protocol, field)
            .ok_or_else(|| format!("`{protocol} {field}`"))?;
        body.imply(
            body.context
                .implied(body.place.family.name(), protocol, field),
        );
        body.context.record(protocol, field, None);
        return Ok(Typed::field(
            Field::Payload {
                base: found.base,
                offset: found.offset,
                len: found.len,
            },
            found.data_type,
            Some(found.len),
        ));
    }
    let (Some(base), Some(offset), Some(len)) =
        (payload.base.as_deref(), payload.offset, payload.len)
    else {
        return Err("a payload expression without field or offset".into());
    };
    let base = match base {
        "ll" => protocol::Base::Ll,
        "nh" => protocol::Base::Nh,
        "th" => protocol::Base::Th,
        "ih" => protocol::Base::Ih,
        other => return Err(format!("`@{other},{offset},{len}`")),
    };
    Ok(Typed::field(
        Field::Payload { base, offset, len },
        DataType::Integer,
        Some(len),
    ))
}

fn exthdr(option: &ast::HeaderOption, body: &mut Body) -> Result<Typed, Meaningless> {
    let name = option.name.as_deref().unwrap_or("?");
    body.imply(body.context.implied_for_exthdr(body.place.family.name()));
    body.context.record_exthdr();
    let place = place(
        name,
        option.field.as_deref(),
        protocol::exthdr_kind,
        protocol::exthdr_field,
    );
    let place = place.ok_or_else(|| format!("`exthdr {name}`"))?;
    Ok(Typed::field(
        Field::Exthdr {
            header: place.kind,
            offset: place.offset,
            len: place.len,
            presence: option.field.is_none(),
        },
        place.data_type,
        Some(place.len),
    ))
}

fn tcp_option(option: &ast::HeaderOption) -> Result<Typed, Meaningless> {
    if let (Some(base), Some(offset), Some(len)) = (option.base, option.offset, option.len) {
        let field = Field::Option {
            of: OptionOf::Tcp,
            kind: base as u8,
            offset,
            len,
            presence: false,
        };
        return Ok(Typed::field(field, DataType::Integer, Some(len)));
    }
    let name = option.name.as_deref().unwrap_or("?");
    let place = place(
        name,
        option.field.as_deref(),
        protocol::tcp_option_kind,
        protocol::tcp_option_field,
    );
    let place = place.ok_or_else(|| format!("`tcp option {name}`"))?;
    Ok(option_field(OptionOf::Tcp, place, option.field.is_none()))
}

fn ip_option(option: &ast::HeaderOption, body: &mut Body) -> Result<Typed, Meaningless> {
    let name = option.name.as_deref().unwrap_or("?");
    body.imply(body.context.implied_for_ip_option(body.place.family.name()));
    body.context.record_ip_option();
    let place = place(
        name,
        option.field.as_deref(),
        protocol::ip_option_kind,
        protocol::ip_option_field,
    );
    let place = place.ok_or_else(|| format!("`ip option {name}`"))?;
    Ok(option_field(OptionOf::Ip, place, option.field.is_none()))
}

fn sctp_chunk(option: &ast::HeaderOption) -> Result<Typed, Meaningless> {
    let name = option.name.as_deref().unwrap_or("?");
    let place = place(
        name,
        option.field.as_deref(),
        protocol::sctp_chunk_kind,
        protocol::sctp_chunk_field,
    );
    let place = place.ok_or_else(|| format!("`sctp chunk {name}`"))?;
    Ok(option_field(OptionOf::Sctp, place, option.field.is_none()))
}

fn dccp_option(option: &ast::HeaderOption) -> Result<Typed, Meaningless> {
    let kind = option
        .kind
        .and_then(|kind| u8::try_from(kind).ok())
        .ok_or("a dccp option without type")?;
    Ok(option_field(OptionOf::Dccp, presence_of(kind), true))
}

fn option_field(of: OptionOf, place: OptionField, presence: bool) -> Typed {
    let field = Field::Option {
        of,
        kind: place.kind,
        offset: place.offset,
        len: place.len,
        presence,
    };
    Typed::field(field, place.data_type, Some(place.len))
}

/// The test whether an option or header is there at all.
fn presence_of(kind: u8) -> OptionField {
    OptionField {
        kind,
        offset: 0,
        len: 8,
        data_type: DataType::Boolean,
    }
}

/// Where a header's or option's field lies; without a field it is the test whether it is there.
fn place(
    name: &str,
    field: Option<&str>,
    kind_of: impl Fn(&str) -> Option<u8>,
    field_of: impl Fn(&str, &str) -> Option<OptionField>,
) -> Option<OptionField> {
    match field {
        Some(field) => field_of(name, field),
        None => kind_of(name).map(presence_of),
    }
}

fn fib_lookup(fib: &ast::Fib) -> Result<Typed, Meaningless> {
    let mut flags = FibFlags::default();
    for flag in fib.flags.as_slice() {
        match flag.as_str() {
            "saddr" => flags.saddr = true,
            "daddr" => flags.daddr = true,
            "mark" => flags.mark = true,
            "iif" => flags.iif = true,
            "oif" => flags.oif = true,
            other => return Err(format!("`fib` with `{other}`")),
        }
    }
    let (result, data_type) = match fib.result.as_str() {
        "type" => (FibResult::Type, DataType::FibAddrType),
        "oif" => (FibResult::Oif, DataType::IfIndex),
        "oifname" => (FibResult::Oifname, DataType::Ifname),
        "check" | "present" => (FibResult::Present, DataType::Boolean),
        other => return Err(format!("`fib … {other}`")),
    };
    Ok(Typed::field(Field::Fib { result, flags }, data_type, None))
}

/// The value or inclusive range that a literal stands for.
pub(super) fn literal(syntax: &Syntax, component: Component) -> Result<(u128, u128), Meaningless> {
    let one = |value: u128| Ok((value, value));
    match syntax {
        Syntax::String(text) => text_literal(text, component),
        Syntax::Number(number) => component
            .data_type
            .number(*number)
            .or_else(|| negative(*number, component))
            .map_or_else(|| Err(format!("the number {number}")), one),
        Syntax::Bool(value) => one(u128::from(*value)),
        Syntax::Prefix(prefix) => {
            let (address, _) = literal(&prefix.addr, component)?;
            let width = component.width.ok_or("a prefix of a value without width")?;
            if prefix.len > width {
                return Err(format!("a prefix of length {}", prefix.len));
            }
            let host = max_of(width - prefix.len);
            let host = if width == prefix.len { 0 } else { host };
            Ok((address & !host, address | host))
        }
        Syntax::Range(range) => Ok((
            literal(&range.0, component)?.0,
            literal(&range.1, component)?.1,
        )),
        Syntax::List(flags) | Syntax::Binary(BinaryOp::Or, flags) => {
            let mut bits = 0;
            for flag in flags {
                bits |= literal(flag, component)?.0;
            }
            one(bits)
        }
        Syntax::Binary(op, operands) => {
            let mut values = Vec::new();
            for operand in operands {
                values.push(literal(operand, component)?.0);
            }
            let all = max_of(component.width.unwrap_or(128));
            let folded = values.into_iter().reduce(|a, b| match op {
                BinaryOp::And => a & b,
                BinaryOp::Or => a | b,
                BinaryOp::Xor => a ^ b,
                BinaryOp::Shl => a.checked_shl(b as u32).unwrap_or(0) & all,
                BinaryOp::Shr => a.checked_shr(b as u32).unwrap_or(0),
            });
            folded.map_or_else(|| Err("an operation without operands".into()), one)
        }
        Syntax::Elem(elem) => literal(&elem.val, component),
        Syntax::Set(values) => match values.as_slice() {
            [only] => literal(only, component),
            _ => Err("a set where one value is expected".into()),
        },
        other => Err(format!("`{}` as a value", crate::nft::print::expr(other))),
    }
}

fn negative(number: i128, component: Component) -> Option<u128> {
    let width = component.width.filter(|&w| w < 127)?;
    (number < 0 && number >= -(1i128 << (width - 1))).then(|| (number as u128) & max_of(width))
}

/// `0x7534 [invalid type]`, as nft 1.0.6 lists a value in a set whose type it lost.
fn invalid_type(text: &str) -> Option<u128> {
    let digits = text.strip_suffix(" [invalid type]")?.strip_prefix("0x")?;
    u128::from_str_radix(digits, 16).ok()
}

fn text_literal(text: &str, component: Component) -> Result<(u128, u128), Meaningless> {
    let one = |value: u128| Ok((value, value));
    if let Some(value) = invalid_type(text) {
        return one(value);
    }
    match component.data_type {
        // A device by index is listed by the name it has now; names of devices are the model's only key for them.
        DataType::Ifname | DataType::IfIndex | DataType::String => {
            if let Some(stem) = text.strip_suffix("\\*") {
                return ifname_value(&format!("{stem}*"))
                    .map_or_else(|| Err(format!("the name `{text}`")), one);
            }
            if let Some(stem) = text.strip_suffix('*') {
                let low = if stem.is_empty() {
                    Some(0)
                } else {
                    ifname_value(stem)
                };
                let low = low.ok_or_else(|| format!("the name `{text}`"))?;
                let free = 128 - 8 * stem.len() as u32;
                return Ok((low, low | max_of(free)));
            }
            if component.data_type == DataType::IfIndex
                && let Ok(index) = text.parse::<u32>()
            {
                return one(u128::from(index));
            }
            ifname_value(text).map_or_else(|| Err(format!("the name `{text}`")), one)
        }
        data_type => data_type
            .constant(text)
            .or_else(|| guess(text))
            .map_or_else(
                || Err(format!("the value `{text}` of type {}", data_type.name())),
                one,
            ),
    }
}

/// An address or number as the value of an untyped field.
fn guess(text: &str) -> Option<u128> {
    if let Some(hex) = text.strip_prefix("0x") {
        return u128::from_str_radix(hex, 16).ok();
    }
    DataType::Ipv4Addr
        .constant(text)
        .filter(|_| text.contains('.'))
}

/// The matches that an implied statement stands for.
pub(super) fn implied_match(implied: &Implied) -> Vec<crate::ruleset::Match> {
    use crate::ruleset::{Match, Op, Operand};
    match implied {
        Implied::Meta(key, value) => MetaKey::ALL
            .iter()
            .find(|(name, ..)| name == key)
            .map(|(_, key, data_type, _)| Match {
                left: Expr::Field(Field::Meta(*key)),
                op: Op::Eq,
                right: Operand::Value(*value),
                data_type: *data_type,
                or_absent: false,
            })
            .into_iter()
            .collect(),
        Implied::Payload(field, value) => vec![Match {
            left: Expr::Field(Field::Payload {
                base: field.base,
                offset: field.offset,
                len: field.len,
            }),
            op: Op::Eq,
            right: Operand::Value(*value),
            data_type: field.data_type,
            or_absent: false,
        }],
        Implied::OneOf(..) => Vec::new(),
    }
}
