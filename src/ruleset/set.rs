//! Sets, maps and verdict maps with indexed look-up.
//!
//! Mirrors the kernel's set back ends by result, not by structure: hash and rbtree sets hold disjoint keys, so
//! any index gives the same element; pipapo (concatenations with ranges) returns the first inserted element
//! that matches, which is the order of the listing.

use std::collections::HashMap;

use super::datatype::DataType;
use super::{Name, TableId, UnknownId, Verdict};

/// Most components a concatenated key may have (64 bytes of registers, at least 4 bytes each).
pub const MAX_KEY: usize = 16;

/// One part of a key or datum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    pub data_type: DataType,
    /// Bits; `None` when neither the listing nor the use says.
    pub width: Option<u32>,
}

/// What a map's elements carry.
#[derive(Debug, Clone, PartialEq)]
pub enum DataKind {
    Verdict,
    Value(Vec<Component>),
    /// Names of counters, quotas, limits, helpers, …
    Object,
}

/// The datum of one element.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    Verdict(Verdict),
    /// One value or a concatenation.
    Value(Box<[u128]>),
    /// A range of values per component (nat maps with intervals).
    Range(Box<[(u128, u128)]>),
    Object(Name),
    /// A datum this version gives no meaning to.
    Unknown,
}

/// One element: an inclusive range for each component of the key.
#[derive(Debug, Clone, PartialEq)]
pub struct Element {
    pub key: Box<[(u128, u128)]>,
    /// Position in [`Set::data`]; `u32::MAX` for none.
    pub datum: u32,
}

/// No datum.
pub const NO_DATUM: u32 = u32::MAX;

#[derive(Debug, Clone)]
enum Index {
    /// One component: disjoint ranges sorted by their lower end.
    Sorted(Vec<(u128, u128, u32)>),
    /// Several components without ranges.
    Exact(HashMap<Box<[u128]>, u32>),
    /// Several components with ranges: first match in document order.
    List(Vec<Element>),
}

/// A named or anonymous set or map.
#[derive(Debug, Clone)]
pub struct Set {
    pub table: TableId,
    /// `None` for an anonymous set.
    pub name: Option<Name>,
    pub key: Vec<Component>,
    /// `None` for a plain set.
    pub data_kind: Option<DataKind>,
    /// Rules or user space may add elements at any time (`dynamic`, `timeout`, or a rule that updates it).
    pub volatile: bool,
    /// Another table has a set of this name.
    pub shares_name: bool,
    /// Elements that this version could not read: a miss is then unknown.
    pub incomplete: bool,
    /// What is said of them; `None` for a set without a name, whose statement is unknown as a whole.
    pub unread: Option<UnknownId>,
    index: Index,
    data: Vec<Data>,
    /// The datum of a `*` element.
    pub catch_all: Option<u32>,
    len: usize,
}

impl Set {
    /// A key in nft's words: `10.0.0.1 . tcp`.
    pub fn display_key(&self, values: &[u128]) -> String {
        let part = |(at, value): (usize, &u128)| match self.key.get(at) {
            Some(component) => component.data_type.display(*value),
            None => value.to_string(),
        };
        let parts: Vec<String> = values.iter().enumerate().map(part).collect();
        parts.join(" . ")
    }

    /// Builds the index. `elements` in document order.
    pub fn new(
        table: TableId,
        name: Option<Name>,
        key: Vec<Component>,
        data_kind: Option<DataKind>,
        elements: Vec<Element>,
        data: Vec<Data>,
    ) -> Set {
        let len = elements.len();
        let index = if elements.iter().all(|e| e.key.len() == 1) {
            let mut sorted: Vec<(u128, u128, u32)> = elements
                .iter()
                .map(|e| (e.key[0].0, e.key[0].1, e.datum))
                .collect();
            sorted.sort_by_key(|&(lo, hi, _)| (lo, hi));
            if sorted.windows(2).all(|w| w[0].1 < w[1].0) {
                Index::Sorted(sorted)
            } else {
                Index::List(elements)
            }
        } else if elements
            .iter()
            .all(|e| e.key.iter().all(|(lo, hi)| lo == hi))
        {
            let mut exact = HashMap::with_capacity(elements.len());
            for element in elements {
                let key: Box<[u128]> = element.key.iter().map(|&(lo, _)| lo).collect();
                exact.entry(key).or_insert(element.datum);
            }
            Index::Exact(exact)
        } else {
            Index::List(elements)
        };
        Set {
            table,
            name,
            key,
            data_kind,
            volatile: false,
            shares_name: false,
            incomplete: false,
            unread: None,
            index,
            data,
            catch_all: None,
            len,
        }
    }

    /// How many elements the listing has, a catch-all element not counted.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when the listing has no element.
    pub fn is_empty(&self) -> bool {
        self.len == 0 && self.catch_all.is_none()
    }

    /// All data of a map, each at least once.
    pub fn data(&self) -> &[Data] {
        &self.data
    }

    /// The datum at a position that [`Set::find`] returned.
    pub fn datum(&self, position: u32) -> Option<&Data> {
        self.data.get(position as usize)
    }

    /// The element that a key hits: its datum's position ([`NO_DATUM`] in a plain set). Does not allocate.
    pub fn find(&self, key: &[u128]) -> Option<u32> {
        let hit = match &self.index {
            Index::Sorted(sorted) => key.first().and_then(|&value| {
                let after = sorted.partition_point(|&(lo, _, _)| lo <= value);
                let (_, hi, datum) = *sorted.get(after.checked_sub(1)?)?;
                (value <= hi).then_some(datum)
            }),
            Index::Exact(exact) => exact.get(key).copied(),
            Index::List(list) => list
                .iter()
                .find(|element| {
                    element.key.len() == key.len()
                        && element
                            .key
                            .iter()
                            .zip(key)
                            .all(|((lo, hi), v)| lo <= v && v <= hi)
                })
                .map(|element| element.datum),
        };
        hit.or(self.catch_all)
    }

    /// The ranges of a one-component set, in order of value; empty for concatenations.
    pub fn ranges(&self) -> Vec<(u128, u128, u32)> {
        match &self.index {
            Index::Sorted(sorted) => sorted.clone(),
            Index::List(list) => list
                .iter()
                .filter(|e| e.key.len() == 1)
                .map(|e| (e.key[0].0, e.key[0].1, e.datum))
                .collect(),
            Index::Exact(_) => Vec::new(),
        }
    }

    /// All elements, each with a range per component and its datum's position; exact concatenations in unspecified order.
    pub fn elements(&self) -> Vec<Element> {
        match &self.index {
            Index::Sorted(sorted) => sorted
                .iter()
                .map(|&(lo, hi, datum)| Element {
                    key: Box::new([(lo, hi)]),
                    datum,
                })
                .collect(),
            Index::List(list) => list.clone(),
            Index::Exact(exact) => {
                let mut all: Vec<Element> = exact
                    .iter()
                    .map(|(key, &datum)| Element {
                        key: key.iter().map(|&v| (v, v)).collect(),
                        datum,
                    })
                    .collect();
                all.sort_by(|a, b| a.key.cmp(&b.key));
                all
            }
        }
    }
}
