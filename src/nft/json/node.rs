//! How one value of the tree is read: strictly, or tolerantly with a raw copy to fall back to.
//!
//! The strict way is one pass and fails on anything odd. Only an object in which it failed is read again tolerantly:
//! there every statement, expression and optional field is looked at raw first, so that the odd part alone stays raw.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::nft::ast::{Extra, OneOrMany, Str};

/// Which of the two ways to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Strict,
    Tolerant,
}

/// A value that can be read in both ways.
pub(super) trait Node: Sized {
    fn read<'de, D: Deserializer<'de>>(json: D, how: How) -> Result<Self, D::Error>;
}

/// Reads a [`Node`] where serde wants a seed.
pub(super) struct Seed<T>(How, PhantomData<fn() -> T>);

pub(super) fn seed<T: Node>(how: How) -> Seed<T> {
    Seed(how, PhantomData)
}

impl<'de, T: Node> DeserializeSeed<'de> for Seed<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<T, D::Error> {
        T::read(json, self.0)
    }
}

/// Reads a value out of its raw text.
pub(super) fn parse<T: Node>(raw: &RawValue, how: How) -> Result<T, serde_json::Error> {
    T::read(&mut serde_json::Deserializer::from_str(raw.get()), how)
}

/// The raw text of the next value.
pub(super) fn raw<'de, D: Deserializer<'de>>(json: D) -> Result<&'de RawValue, D::Error> {
    <&'de RawValue as de::Deserialize<'de>>::deserialize(json)
}

/// A raw text as a plain JSON value.
pub(super) fn value<E: de::Error>(raw: &RawValue) -> Result<Value, E> {
    serde_json::from_str(raw.get()).map_err(E::custom)
}

/// An object's key, borrowed where it has no escapes.
pub(super) struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// Reads an optional field; read tolerantly, one of an odd shape goes among the unknown fields.
pub(super) fn optional<'de, T: Node, A: MapAccess<'de>>(
    map: &mut A,
    how: How,
    key: &str,
    extra: &mut Extra,
) -> Result<Option<T>, A::Error> {
    if how == How::Strict {
        return map.next_value_seed(seed(how)).map(Some);
    }
    let raw: &RawValue = map.next_value()?;
    match parse(raw, how) {
        Ok(field) => Ok(Some(field)),
        Err(_) => {
            extra.push(Str::from(key), value(raw)?);
            Ok(None)
        }
    }
}

/// Fails unless the object ends here.
pub(super) fn only_key<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    match map.next_key_seed(Key)? {
        None => Ok(()),
        Some(_) => Err(de::Error::custom("more than one key")),
    }
}

macro_rules! plain {
    ($($type:ty),*) => {$(
        impl Node for $type {
            fn read<'de, D: Deserializer<'de>>(json: D, _: How) -> Result<Self, D::Error> {
                de::Deserialize::deserialize(json)
            }
        }
    )*};
}

plain!(Str, bool, u32, u64, i64, Value);

impl<T: Node> Node for Box<T> {
    fn read<'de, D: Deserializer<'de>>(json: D, how: How) -> Result<Self, D::Error> {
        T::read(json, how).map(Box::new)
    }
}

impl<T: Node> Node for Vec<T> {
    fn read<'de, D: Deserializer<'de>>(json: D, how: How) -> Result<Self, D::Error> {
        json.deserialize_seq(Items(how, PhantomData))
    }
}

struct Items<T>(How, PhantomData<fn() -> T>);

impl<'de, T: Node> Visitor<'de> for Items<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(seed(self.0))? {
            items.push(item);
        }
        Ok(items)
    }
}

impl<T: Node> Node for (T, T) {
    fn read<'de, D: Deserializer<'de>>(json: D, how: How) -> Result<Self, D::Error> {
        let items = Vec::<T>::read(json, how)?;
        let two: [T; 2] = items
            .try_into()
            .map_err(|_| de::Error::custom("not two values"))?;
        Ok(two.into())
    }
}

impl<T: Node> Node for OneOrMany<T> {
    fn read<'de, D: Deserializer<'de>>(json: D, how: How) -> Result<Self, D::Error> {
        if how == How::Strict {
            return json.deserialize_any(Either(PhantomData));
        }
        let raw = raw(json)?;
        if raw.get().starts_with('[') {
            parse(raw, how)
                .map(OneOrMany::Many)
                .map_err(de::Error::custom)
        } else {
            parse(raw, how)
                .map(OneOrMany::One)
                .map_err(de::Error::custom)
        }
    }
}

struct Either<T>(PhantomData<fn() -> T>);

impl<'de, T: Node> Visitor<'de> for Either<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or an array of values")
    }

    fn visit_bool<E: de::Error>(self, v: bool) -> Result<Self::Value, E> {
        T::read(v.into_deserializer(), How::Strict).map(OneOrMany::One)
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Self::Value, E> {
        T::read(v.into_deserializer(), How::Strict).map(OneOrMany::One)
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Self::Value, E> {
        T::read(v.into_deserializer(), How::Strict).map(OneOrMany::One)
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Self::Value, E> {
        T::read(v.into_deserializer(), How::Strict).map(OneOrMany::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Items(How::Strict, PhantomData)
            .visit_seq(seq)
            .map(OneOrMany::Many)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::read(MapAccessDeserializer::new(map), How::Strict).map(OneOrMany::One)
    }
}

/// Reads and writes a struct whose unknown fields go into `extra`.
///
/// `with` gives the fields that are no keys; `null` says that `null` stands for the struct with `null: true`.
macro_rules! record {
    (@take required $map:ident $how:expr, $key:ident $field:ident $extra:ident) => {
        $field = Some($map.next_value_seed($crate::nft::json::node::seed($how))?)
    };
    (@take optional $map:ident $how:expr, $key:ident $field:ident $extra:ident) => {
        $field = $crate::nft::json::node::optional(&mut $map, $how, &$key, &mut $extra)?
    };
    (@done required $field:ident $key:literal) => {
        $field.ok_or_else(|| serde::de::Error::missing_field($key))?
    };
    (@done optional $field:ident $key:literal) => { $field };
    (@put required $map:ident $self:ident $field:ident $key:literal) => {
        $map.serialize_entry($key, &$self.$field)?
    };
    (@put optional $map:ident $self:ident $field:ident $key:literal) => {
        if let Some(field) = &$self.$field {
            $map.serialize_entry($key, field)?;
        }
    };
    ($name:ident { $($need:ident $field:ident $key:literal),* $(,)? }
     $(with { $($fixed:ident : $value:expr),* $(,)? })? $(null $null:ident)?) => {
        impl $crate::nft::json::node::Node for $name {
            fn read<'de, D: serde::Deserializer<'de>>(
                json: D,
                how: $crate::nft::json::node::How,
            ) -> Result<Self, D::Error> {
                struct Fields($crate::nft::json::node::How);

                impl<'de> serde::de::Visitor<'de> for Fields {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(stringify!($name))
                    }

                    $(fn visit_unit<E: serde::de::Error>(self) -> Result<$name, E> {
                        let nothing = std::iter::empty::<(&str, &str)>();
                        let mut unit = self.visit_map(serde::de::value::MapDeserializer::<_, E>::new(nothing))?;
                        unit.$null = true;
                        Ok(unit)
                    })?

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        $(let mut $field = None;)*
                        let mut extra = $crate::nft::ast::Extra::default();
                        while let Some(key) = map.next_key_seed($crate::nft::json::node::Key)? {
                            match &*key {
                                $($key => record!(@take $need map self.0, key $field extra),)*
                                _ => extra.push(key.into(), map.next_value()?),
                            }
                        }
                        Ok($name {
                            $($field: record!(@done $need $field $key),)*
                            extra,
                            $($($fixed: $value,)*)?
                        })
                    }
                }

                json.deserialize_any(Fields(how))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                $(if self.$null {
                    return json.serialize_unit();
                })?
                let mut map = json.serialize_map(None)?;
                $(record!(@put $need map self $field $key);)*
                for (key, value) in self.extra.iter() {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    };
}

pub(super) use record;
