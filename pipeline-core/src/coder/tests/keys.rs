//! Which types are keys.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    hash::{Hash, Hasher},
    net::{IpAddr, SocketAddr},
    num::{NonZeroI8, NonZeroU64},
    time::Duration,
};

use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::coder::{Key, check_key};

#[track_caller]
fn accepted<K: Key>() {
    check_key::<K>().unwrap();
}

#[track_caller]
fn refused<K: Key>(parts: &[&str]) {
    let message = check_key::<K>().unwrap_err().to_string();
    for part in parts {
        assert!(message.contains(part), "no '{part}' in: {message}");
    }
}

/// Derives what a key needs.
macro_rules! key {
    ($($item:item)*) => {$(
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        $item
    )*};
}

key! {
    struct Unit;
    struct Newtype(u64);
    struct Order { id: Newtype, #[serde(alias = "town", alias = "place")] city: Option<String>, tags: Vec<Color> }
    enum Color { Red, Green, Blue }
    enum Shape { Empty, New(Order), Tuple(u8, Color), Struct { side: u8, more: Box<Option<Shape>> } }
    enum Never {}
    struct List { value: String, next: Option<Box<List>> }
    struct Forest { trees: Vec<Forest>, names: BTreeMap<String, Forest> }
    enum Expression {
        Add(Box<Expression>, Box<Expression>),
        Negate(Box<Expression>),
        Call { name: String, arguments: Vec<Expression> },
        Number(i64),
    }
    #[serde(try_from = "String")]
    struct Sku(String);
    #[serde(try_from = "String")]
    struct Impossible(String);
    struct Holder { first: Impossible, second: u8 }
    #[serde(try_from = "u64")]
    struct Even(u64);
    #[serde(try_from = "Vec<u8>")]
    struct AtLeastTwo(Vec<u8>);
    struct Phantom(std::marker::PhantomData<f64>);
}

impl From<String> for Sku {
    fn from(text: String) -> Self {
        Sku(text)
    }
}
impl TryFrom<String> for Impossible {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if text == "open sesame" {
            Ok(Impossible(text))
        } else {
            Err("no".into())
        }
    }
}
impl TryFrom<u64> for Even {
    type Error = String;
    fn try_from(n: u64) -> Result<Self, String> {
        if n.is_multiple_of(2) {
            Ok(Even(n))
        } else {
            Err("odd".into())
        }
    }
}
impl TryFrom<Vec<u8>> for AtLeastTwo {
    type Error = String;
    fn try_from(v: Vec<u8>) -> Result<Self, String> {
        if v.len() >= 2 {
            Ok(AtLeastTwo(v))
        } else {
            Err("short".into())
        }
    }
}

#[test]
fn ordinary_types_are_keys() {
    accepted::<()>();
    accepted::<(bool, char, String, i8, u128, NonZeroU64, NonZeroI8)>();
    accepted::<bytes::Bytes>();
    accepted::<(Vec<u8>, VecDeque<String>, [u32; 4], Box<str>)>();
    accepted::<Option<Option<(u8, Vec<Option<bool>>)>>>();
    accepted::<(BTreeMap<String, BTreeSet<u8>>, Duration)>();
    accepted::<(Unit, Newtype, Order, Color, Shape)>();
    accepted::<Phantom>();
    accepted::<(uuid::Uuid, DateTime<Utc>, NaiveDate)>();
    accepted::<(IpAddr, SocketAddr, std::ops::Bound<u8>, Result<u8, String>)>();
    accepted::<(std::path::PathBuf, std::cmp::Reverse<u8>)>();
}

#[test]
fn recursive_types_are_keys() {
    accepted::<List>();
    accepted::<Forest>();
    accepted::<Expression>();
    accepted::<Vec<Option<Expression>>>();
}

#[test]
fn validated_leaves_are_passed_or_given_up() {
    accepted::<(Sku, Even, AtLeastTwo)>();
    accepted::<Impossible>();
    accepted::<Holder>();
    accepted::<Option<Never>>();
}

/// A float that is equal to itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Total(f64);
/// A set that can be hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Set(HashSet<u8>);
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Map(HashMap<String, u8>);
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Flat {
    id: u8,
    #[serde(flatten)]
    rest: Newer,
}
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Newer {
    a: u8,
}

impl PartialEq for Total {
    fn eq(&self, other: &Self) -> bool {
        self.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal) == Ordering::Equal
    }
}
impl Eq for Total {}
impl Hash for Total {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
impl Hash for Set {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
impl Hash for Map {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Folded(String);
impl PartialEq for Folded {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for Folded {}
impl Hash for Folded {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

key! {
    #[serde(untagged)]
    enum Untagged { A(u8), B(String) }
    #[serde(tag = "t")]
    enum Tagged { A { a: u8 } }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Late {
    First,
    Deep(Middle),
    Last(Option<Box<Late>>),
}
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Middle {
    One,
    Two(Impossible),
    Three { prices: Vec<(u8, Total)> },
}

#[test]
fn what_hides_in_wrappers_is_refused() {
    refused::<(u8, Total)>(&["Total) cannot be a key", "at .1 ", "f64", "use an integer"]);
    refused::<(Expression, Forest, Total)>(&["at .2 ", "f64"]);
    refused::<Late>(&["at ::Deep::Three.prices[].1 ", "f64"]);
    refused::<Vec<Set>>(&["at [] ", "HashSet<u8", "BTreeSet"]);
    refused::<Option<Map>>(&["HashMap<alloc::string::String, u8", "BTreeMap"]);
    refused::<Flat>(&["Flat, a map", "serde(flatten)"]);
    refused::<(String, serde_json::Value)>(&["at .1 ", "serde_json", "to_string()"]);
    refused::<Untagged>(&["serde(untagged)"]);
    refused::<Tagged>(&["serde(tag)"]);
}

#[test]
fn equal_texts_that_encode_differently_are_refused() {
    refused::<(u8, DateTime<FixedOffset>)>(&[
        "at .1 ",
        "equal but encode differently",
        "DateTime<Utc>",
    ]);
    refused::<BTreeMap<u8, Option<Folded>>>(&["at {value} ", "lower case"]);
}
