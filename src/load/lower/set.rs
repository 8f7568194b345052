//! Named and anonymous sets and maps.

use crate::nft::ast::{self, Document, Expr as Syntax, Object, TypeSpec};
use crate::ruleset::datatype::DataType;
use crate::ruleset::set::{Component, Data, DataKind, Element, NO_DATUM, Set};
use crate::ruleset::{Name, RuleId, SetId, TableId, Target, Unknown, UnknownId, Verdict};

use super::expr::{Meaningless, Typed, literal};
use super::stmt::Body;
use super::{Lowering, Place};

const UNTYPED: Component = Component {
    data_type: DataType::Integer,
    width: None,
};

impl Lowering {
    pub(super) fn sets(&mut self, document: &Document) {
        for object in &document.objects {
            match object {
                Object::Set(set) => self.named_set(set, false),
                Object::Map(set) => self.named_set(set, true),
                _ => {}
            }
        }
    }

    fn named_set(&mut self, set: &ast::Set, is_map: bool) {
        let Some(family) = self.family(&set.family, "set", &set.name) else {
            return;
        };
        let table = self.table(family, &set.table);
        let place = Place {
            family,
            table,
            rule: RuleId(u32::MAX),
        };
        let key = self.type_spec(set.key_type.as_ref(), place);
        let data_kind = is_map.then(|| match &set.data_type {
            Some(TypeSpec::Name(name)) if name == "verdict" => DataKind::Verdict,
            Some(TypeSpec::Name(name)) if is_object(name) => DataKind::Object,
            spec => DataKind::Value(self.type_spec(spec.as_ref(), place)),
        });
        let flags = set.flags.as_ref().map_or(&[][..], |flags| flags.as_slice());
        let elements: &[Syntax] = set.elem.as_deref().unwrap_or(&[]);
        let mut lowered = self.build(table, Some(set.name.clone()), key, data_kind, elements);
        lowered.volatile = flags
            .iter()
            .any(|flag| flag == "dynamic" || flag == "timeout" || flag == "eval")
            || set.timeout.is_some();
        lowered.incomplete |= !set.extra.is_empty();
        if lowered.incomplete {
            let of = self.ruleset.table(table);
            let what = format!(
                "an element of set {} of {} {} that could not be read",
                set.name, of.family, of.name
            );
            lowered.unread = Some(UnknownId(self.ruleset.unknowns.len() as u32));
            self.ruleset.unknowns.push(Unknown {
                is_match: true,
                rule: None,
                what,
                settle: "a version of nfpath that gives it a meaning".into(),
            });
        }
        let id = self.add_set(lowered);
        self.named_sets.insert((table, set.name.clone()), id);
    }

    fn type_spec(&mut self, spec: Option<&TypeSpec>, place: Place) -> Vec<Component> {
        match spec {
            None => vec![UNTYPED],
            Some(TypeSpec::Name(names)) => names
                .split(" . ")
                .map(|name| {
                    let data_type = DataType::from_name(name).unwrap_or(DataType::Other);
                    Component {
                        data_type,
                        width: data_type.width(),
                    }
                })
                .collect(),
            Some(TypeSpec::List(parts)) => parts
                .iter()
                .flat_map(|part| self.type_spec(Some(part), place))
                .collect(),
            Some(TypeSpec::Typeof(expr)) => {
                let mut body = Body::new(place);
                self.expr(expr, &mut body)
                    .map_or_else(|_| vec![UNTYPED], |typed| typed.parts)
            }
        }
    }

    /// The set behind the right side of a match: `@name` or elements in place.
    pub(super) fn set_of(
        &mut self,
        syntax: &Syntax,
        key: &Typed,
        body: &mut Body,
    ) -> Result<SetId, Meaningless> {
        match syntax {
            Syntax::String(name) if name.starts_with('@') => {
                self.named(&name[1..], body.place.table)
            }
            Syntax::Set(values) => {
                let set = self.build(
                    body.place.table,
                    None,
                    key.parts.clone(),
                    None,
                    values.as_slice(),
                );
                if set.incomplete {
                    return Err("an element of a set".into());
                }
                Ok(self.add_set(set))
            }
            single => {
                let set = self.build(
                    body.place.table,
                    None,
                    key.parts.clone(),
                    None,
                    std::slice::from_ref(single),
                );
                if set.incomplete {
                    return Err(format!("`{}` as a value", crate::nft::print::expr(single)));
                }
                Ok(self.add_set(set))
            }
        }
    }

    /// The map behind `KEY map DATA`, with the type of its data. `wanted`: the type that the data must have.
    pub(super) fn map_of(
        &mut self,
        syntax: &Syntax,
        key: &Typed,
        wanted: Option<DataKind>,
        body: &mut Body,
    ) -> Result<(SetId, Vec<Component>), Meaningless> {
        let id = match syntax {
            Syntax::String(name) if name.starts_with('@') => {
                self.named(&name[1..], body.place.table)?
            }
            Syntax::Set(values) => {
                let kind = wanted.unwrap_or(DataKind::Value(vec![UNTYPED]));
                let set = self.build(
                    body.place.table,
                    None,
                    key.parts.clone(),
                    Some(kind),
                    values.as_slice(),
                );
                if set.incomplete {
                    return Err("an element of a map".into());
                }
                self.add_set(set)
            }
            other => return Err(format!("`{}` as a map", crate::nft::print::expr(other))),
        };
        let parts = match &self.ruleset.set(id).data_kind {
            Some(DataKind::Value(parts)) => parts.clone(),
            Some(DataKind::Verdict | DataKind::Object) | None => vec![UNTYPED],
        };
        Ok((id, parts))
    }

    pub(super) fn named(&mut self, name: &str, table: TableId) -> Result<SetId, Meaningless> {
        let found = self.named_sets.get(&(table, name.into())).copied();
        found.ok_or_else(|| format!("set `@{name}`, which the listing does not have"))
    }

    fn build(
        &mut self,
        table: TableId,
        name: Option<Name>,
        key: Vec<Component>,
        data_kind: Option<DataKind>,
        elements: &[Syntax],
    ) -> Set {
        let mut lowered = Vec::with_capacity(elements.len());
        let mut data = Vec::new();
        let mut catch_all = None;
        let mut incomplete = false;
        for element in elements {
            let (syntax, datum) = split(element);
            let datum = match (datum, &data_kind) {
                (None, _) | (Some(_), None) => NO_DATUM,
                (Some(syntax), Some(kind)) => {
                    let datum = self.datum(syntax, kind, table);
                    data.push(datum);
                    data.len() as u32 - 1
                }
            };
            if matches!(unwrap(syntax), Syntax::String(text) if text == "*") {
                catch_all = Some(datum);
                continue;
            }
            match element_key(syntax, &key) {
                Ok(key) => lowered.push(Element { key, datum }),
                Err(_) => incomplete = true,
            }
        }
        let mut set = Set::new(table, name, key, data_kind, lowered, data);
        set.catch_all = catch_all;
        set.incomplete = incomplete;
        set
    }

    fn datum(&mut self, syntax: &Syntax, kind: &DataKind, table: TableId) -> Data {
        match kind {
            DataKind::Verdict => match syntax {
                Syntax::Verdict(verdict) => Data::Verdict(self.verdict(verdict, table)),
                _ => Data::Unknown,
            },
            DataKind::Object => match syntax {
                Syntax::String(name) => Data::Object(name.clone()),
                _ => Data::Unknown,
            },
            DataKind::Value(parts) => match element_key(syntax, parts) {
                Ok(ranges) if ranges.iter().all(|(lo, hi)| lo == hi) => {
                    Data::Value(ranges.iter().map(|(lo, _)| *lo).collect())
                }
                Ok(ranges) => Data::Range(ranges),
                Err(_) => Data::Unknown,
            },
        }
    }

    pub(super) fn verdict(&mut self, verdict: &ast::Verdict, table: TableId) -> Verdict {
        let mut target = |name: &ast::Str| match self.chains.get(&(table, name.clone())) {
            Some(&chain) => Target::Chain(chain),
            None => {
                let text =
                    format!("a rule leads to chain `{name}`, which the listing does not have");
                if !self.diagnostics.iter().any(|d| d.message == text) {
                    self.diagnostics
                        .push(crate::diagnostic::Diagnostic::warning(super::SOURCE, text));
                }
                Target::Missing(name.clone())
            }
        };
        match verdict {
            ast::Verdict::Accept => Verdict::Accept,
            ast::Verdict::Drop => Verdict::Drop,
            ast::Verdict::Continue => Verdict::Continue,
            ast::Verdict::Return => Verdict::Return,
            ast::Verdict::Jump(name) => Verdict::Jump(target(name)),
            ast::Verdict::Goto(name) => Verdict::Goto(target(name)),
        }
    }
}

/// Key and datum of an element, whichever of the two nestings of `elem` and pair is used.
fn split(element: &Syntax) -> (&Syntax, Option<&Syntax>) {
    match element {
        Syntax::Pair(pair) => (&pair.0, Some(&pair.1)),
        Syntax::Elem(elem) => match &elem.val {
            Syntax::Pair(pair) => (&pair.0, Some(&pair.1)),
            _ => (element, None),
        },
        // a two-element array whose second part is a datum
        Syntax::List(parts) if parts.len() == 2 && matches!(parts[1], Syntax::Verdict(_)) => {
            (&parts[0], Some(&parts[1]))
        }
        other => (other, None),
    }
}

fn unwrap(syntax: &Syntax) -> &Syntax {
    match syntax {
        Syntax::Elem(elem) => unwrap(&elem.val),
        other => other,
    }
}

/// One inclusive range per component.
fn element_key(syntax: &Syntax, key: &[Component]) -> Result<Box<[(u128, u128)]>, Meaningless> {
    match unwrap(syntax) {
        Syntax::Concat(parts) => {
            if parts.len() != key.len() {
                return Err("a concatenation of another length".into());
            }
            parts
                .iter()
                .zip(key)
                .map(|(part, component)| literal(part, *component))
                .collect()
        }
        // the two ends of an interval of concatenations
        Syntax::Range(range) if key.len() > 1 => {
            let low = element_key(&range.0, key)?;
            let high = element_key(&range.1, key)?;
            Ok(low
                .iter()
                .zip(high.iter())
                .map(|(low, high)| (low.0, high.1))
                .collect())
        }
        single => {
            let component = key.first().copied().unwrap_or(UNTYPED);
            Ok(Box::new([literal(single, component)?]))
        }
    }
}

fn is_object(name: &str) -> bool {
    matches!(
        name,
        "counter"
            | "quota"
            | "limit"
            | "ct helper"
            | "ct timeout"
            | "ct expectation"
            | "secmark"
            | "synproxy"
            | "tunnel"
    )
}
