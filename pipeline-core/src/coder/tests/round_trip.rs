//! Random values of a wide family of shapes round-trip; random keys obey the law of keys.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, option, prelude::*};
use serde::{Deserialize, Serialize};

use super::{bytes, round_trip};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Any {
    Unit,
    Bool(bool),
    Char(char),
    Ints(i8, u16, i32, u64),
    Wide {
        signed: i128,
        unsigned: u128,
    },
    Single(f32),
    Float(f64),
    Text(String),
    #[serde(with = "serde_bytes")]
    Raw(Vec<u8>),
    Maybe(Option<Option<Box<Any>>>),
    List(Vec<Any>),
    Map(BTreeMap<String, Any>),
    Entries(Vec<(Any, Any)>),
    Tagged(Tagged),
    Flat(Box<Flat>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Tagged {
    Empty,
    Loose { loose: Loose, none: Option<u8> },
    Inner(Inner),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Loose {
    Number(i64),
    Text(String),
    List(Vec<Loose>),
    Nested { nested: Option<Option<Box<Loose>>> },
    Unit,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Inner {
    #[serde(skip_serializing_if = "Option::is_none")]
    a: Option<i64>,
    #[serde(rename = "bee", skip_serializing_if = "String::is_empty")]
    b: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flat {
    id: u32,
    #[serde(flatten)]
    inner: Inner,
    #[serde(flatten)]
    tagged: Tagged,
    last: Loose,
}

fn float() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("NaN is not equal to itself", |f| !f.is_nan())
}

fn loose() -> impl Strategy<Value = Loose> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Loose::Number),
        ".{0,40}".prop_map(Loose::Text),
        Just(Loose::Unit),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Loose::List),
            option::of(option::of(inner.prop_map(Box::new)))
                .prop_map(|nested| Loose::Nested { nested }),
        ]
    })
}

fn inner() -> impl Strategy<Value = Inner> {
    (any::<Option<i64>>(), "[a-z]{0,3}").prop_map(|(a, b)| Inner { a, b })
}

fn tagged() -> impl Strategy<Value = Tagged> {
    prop_oneof![
        Just(Tagged::Empty),
        (loose(), any::<Option<u8>>()).prop_map(|(loose, none)| Tagged::Loose { loose, none }),
        inner().prop_map(Tagged::Inner),
    ]
}

/// A tagged part that shares no field with the struct that it is flattened into.
fn flat_tagged() -> impl Strategy<Value = Tagged> {
    tagged().prop_filter("`Inner` has the fields of its neighbour", |t| {
        !matches!(t, Tagged::Inner(_))
    })
}

fn any_value() -> impl Strategy<Value = Any> {
    let leaf = prop_oneof![
        Just(Any::Unit),
        any::<bool>().prop_map(Any::Bool),
        any::<char>().prop_map(Any::Char),
        any::<(i8, u16, i32, u64)>().prop_map(|(a, b, c, d)| Any::Ints(a, b, c, d)),
        any::<(i128, u128)>().prop_map(|(signed, unsigned)| Any::Wide { signed, unsigned }),
        float().prop_map(|f| Any::Single(f as f32)),
        float().prop_map(Any::Float),
        ".{0,50}".prop_map(Any::Text),
        vec(any::<u8>(), 0..50).prop_map(Any::Raw),
        tagged().prop_map(Any::Tagged),
        (any::<u32>(), inner(), flat_tagged(), loose()).prop_map(|(id, inner, tagged, last)| {
            Any::Flat(Box::new(Flat {
                id,
                inner,
                tagged,
                last,
            }))
        }),
    ];
    leaf.prop_recursive(4, 40, 6, |any| {
        prop_oneof![
            option::of(option::of(any.clone().prop_map(Box::new))).prop_map(Any::Maybe),
            vec(any.clone(), 0..20).prop_map(Any::List),
            proptest::collection::btree_map("[a-c]{0,2}", any.clone(), 0..9).prop_map(Any::Map),
            vec((any.clone(), any), 0..3).prop_map(Any::Entries),
        ]
    })
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct AKey {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    city: Option<String>,
    parts: Vec<(Side, Option<Option<bool>>)>,
    set: BTreeSet<char>,
    map: BTreeMap<u8, ()>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Side {
    Left,
    Right(i8),
    Both { left: i8, right: String },
}

/// Few different values, so that equal ones are met.
fn key() -> impl Strategy<Value = AKey> {
    let side = prop_oneof![
        Just(Side::Left),
        (-1..1_i8).prop_map(Side::Right),
        (0..2_i8, "[ab]?").prop_map(|(left, right)| Side::Both { left, right }),
    ];
    let part = (side, option::of(option::of(any::<bool>())));
    let set = proptest::collection::btree_set(prop_oneof![Just('a'), Just('b')], 0..2);
    let map = proptest::collection::btree_map(0..2_u8, Just(()), 0..2);
    (option::of("[ab]?"), vec(part, 0..2), set, map).prop_map(|(city, parts, set, map)| AKey {
        city,
        parts,
        set,
        map,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn values_round_trip(value in any_value()) {
        round_trip(value);
    }

    #[test]
    fn values_in_a_row_stay_apart(values in vec(any_value(), 0..4)) {
        let mut all = Vec::new();
        for value in &values {
            crate::coder::encode_to(value, &mut all).unwrap();
        }
        let mut input = &all[..];
        for value in &values {
            prop_assert_eq!(&crate::coder::decode::<Any>(&mut input).unwrap(), value);
        }
        prop_assert!(input.is_empty());
    }

    #[test]
    fn equal_keys_and_only_they_encode_alike(keys in vec(key(), 2..12)) {
        for a in &keys {
            for b in &keys {
                prop_assert_eq!(a == b, bytes(a) == bytes(b), "{:?} {:?}", a, b);
            }
        }
    }
}

#[test]
fn the_key_of_these_tests_is_accepted() {
    crate::coder::check_key::<AKey>().unwrap();
}
