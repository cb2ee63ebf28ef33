//! Every shape that serde knows, with its attributes, and the errors.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    num::NonZeroU64,
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{bytes, round_trip};
use crate::coder::{MAX_DEPTH, decode, encode_to};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Unit;
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Newtype(u32);
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pair(u32, String);
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i32,
    y: Option<i32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum External {
    Unit,
    New(Point),
    NewTuple((u8, u8)),
    Tuple(u8, String),
    Struct { a: u8, b: Option<Unit> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Internal {
    Unit,
    New(Point),
    Map(BTreeMap<String, u8>),
    Struct {
        a: Option<Option<u8>>,
        e: External,
        c: char,
        f: f32,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Unit,
    New(External),
    Tuple(u8, i64),
    Struct { a: u8 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Flag(bool),
    Char(char),
    Number(i64),
    Text(String),
    Pair(u8, String),
    Point { x: i32, y: Option<i32> },
    Enum(External),
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Skipping {
    #[serde(skip_serializing_if = "Option::is_none")]
    first_name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    many: Vec<u8>,
    #[serde(alias = "older")]
    newer: u8,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flat {
    id: u64,
    #[serde(flatten)]
    skipping: Skipping,
    #[serde(flatten)]
    side: Adjacent,
    #[serde(flatten)]
    rest: BTreeMap<String, Untagged>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Node(Box<Tree>, Vec<Tree>),
}

#[test]
fn plain_values() {
    round_trip(());
    round_trip(Unit);
    round_trip(true);
    round_trip('𝄞');
    round_trip("".to_string());
    round_trip("x".repeat(1000));
    round_trip(Bytes::from_static(b"\0\xff"));
    round_trip(serde_bytes::ByteBuf::from(vec![1, 2, 3]));
    round_trip((i8::MIN, i16::MIN, i32::MIN, i64::MIN, i128::MIN));
    round_trip((u8::MAX, u16::MAX, u32::MAX, u64::MAX, u128::MAX));
    round_trip((-9_i64, -8_i64, 23_i64, 24_i64, 63_u64, 64_u64, i64::MAX));
    round_trip((f32::MIN_POSITIVE, f64::NEG_INFINITY));
    let nan = f64::from_bits(0x7ff8_0000_0000_1234);
    let back: f64 = decode(&mut &bytes(&nan)[..]).unwrap();
    assert_eq!(back.to_bits(), nan.to_bits());
    assert_eq!(
        decode::<f64>(&mut &bytes(&-0.0_f64)[..]).unwrap().to_bits(),
        (-0.0_f64).to_bits()
    );
}

#[test]
fn options_keep_their_levels() {
    round_trip(None::<()>);
    round_trip(Some(()));
    round_trip(Some(None::<()>));
    round_trip(Some(Some(())));
    round_trip(None::<Option<Option<u8>>>);
    round_trip(Some(None::<Option<u8>>));
    round_trip(Some(Some(None::<u8>)));
    round_trip(Some(Some(Some(7_u8))));
}

#[test]
fn collections_and_library_types() {
    round_trip(vec![vec![1_u8; 20], vec![]]);
    round_trip([[1_u16; 3]; 2]);
    round_trip(BTreeMap::from([
        ((1, 'a'), vec![Some(1)]),
        ((2, 'b'), vec![None]),
    ]));
    round_trip(BTreeSet::from([Some("a".to_string()), None]));
    round_trip(HashMap::from([(1_u8, Pair(2, "b".into()))]));
    round_trip((
        Duration::from_nanos(1),
        NonZeroU64::MAX,
        Ok::<u8, String>(1),
    ));
    round_trip([
        "127.0.0.1".parse::<IpAddr>().unwrap(),
        "::1".parse().unwrap(),
    ]);
    round_trip(uuid::Uuid::from_u128(7));
    round_trip(chrono::DateTime::from_timestamp(1, 5).unwrap());
    round_trip(serde_json::json!({"a": [null, true, -1, 1.5, u64::MAX, {"b": "c"}]}));
}

#[test]
fn structs_and_enums() {
    round_trip((Newtype(7), Pair(1, "a".into()), Point { x: -1, y: None }));
    let external = [
        External::Unit,
        External::New(Point { x: 1, y: Some(2) }),
        External::NewTuple((1, 2)),
        External::Tuple(1, "b".into()),
        External::Struct {
            a: 1,
            b: Some(Unit),
        },
    ];
    external.into_iter().for_each(round_trip);
    round_trip(Skipping::default());
    round_trip(Skipping {
        first_name: Some("Ada".into()),
        many: vec![1],
        newer: 2,
    });
    round_trip(Tree::Node(
        Box::new(Tree::Leaf),
        vec![Tree::Node(Box::new(Tree::Leaf), vec![]), Tree::Leaf],
    ));
}

#[test]
fn tagged_untagged_and_flattened() {
    round_trip(Internal::Unit);
    round_trip(Internal::New(Point { x: 1, y: None }));
    round_trip(Internal::Map(BTreeMap::from([("a".into(), 1)])));
    for e in [
        External::Unit,
        External::Tuple(1, "x".into()),
        External::Struct { a: 1, b: None },
    ] {
        for a in [None, Some(None), Some(Some(1))] {
            round_trip(Internal::Struct {
                a,
                e: e.clone(),
                c: 'c',
                f: 0.1,
            });
        }
    }
    round_trip(vec![
        Adjacent::Unit,
        Adjacent::New(External::Unit),
        Adjacent::Tuple(1, -2),
        Adjacent::Struct { a: 1 },
    ]);
    let untagged = vec![
        Untagged::Flag(true),
        Untagged::Char('x'),
        Untagged::Number(-5),
        Untagged::Text("55".into()),
        Untagged::Pair(1, "b".into()),
        Untagged::Point { x: 1, y: None },
        Untagged::Enum(External::NewTuple((1, 2))),
        Untagged::Nothing,
    ];
    round_trip(untagged.clone());
    for side in [
        Adjacent::Unit,
        Adjacent::New(External::New(Point { x: 1, y: None })),
        Adjacent::Tuple(1, 2),
    ] {
        let rest = untagged
            .iter()
            .enumerate()
            .map(|(n, u)| (format!("k{n}"), u.clone()))
            .collect();
        round_trip(Flat {
            id: 1,
            skipping: Skipping::default(),
            side,
            rest,
        });
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Wide {
    Big(i128),
}

#[test]
fn serde_itself_refuses_wide_integers_in_a_buffer() {
    // Were this to pass one day, the sentence on it in `decode` could go.
    assert!(decode::<Wide>(&mut &bytes(&Wide::Big(1))[..]).is_err());
}

/// A sequence or map whose length serde is told wrongly, or not at all.
struct Told(Option<usize>, Vec<u32>, bool);

impl Serialize for Told {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        use serde::ser::{SerializeMap, SerializeSeq};
        if self.2 {
            let mut map = s.serialize_map(self.0)?;
            self.1.iter().try_for_each(|n| map.serialize_entry(n, n))?;
            return map.end();
        }
        let mut seq = s.serialize_seq(self.0)?;
        self.1.iter().try_for_each(|n| seq.serialize_element(n))?;
        seq.end()
    }
}

#[test]
fn a_told_length_does_not_change_the_bytes() {
    for items in [vec![], vec![7], (0..40).collect::<Vec<u32>>()] {
        let expected = bytes(&items);
        let map: BTreeMap<u32, u32> = items.iter().map(|n| (*n, *n)).collect();
        for told in [None, Some(0), Some(3), Some(items.len()), Some(1000)] {
            assert_eq!(bytes(&Told(told, items.clone(), false)), expected);
            assert_eq!(bytes(&Told(told, items.clone(), true)), bytes(&map));
        }
    }
}

#[test]
fn borrowed_and_owned_forms_are_one() {
    assert_eq!(bytes("abc"), bytes(&"abc".to_string()));
    assert_eq!(bytes(&Cow::Borrowed("abc")), bytes("abc"));
    assert_eq!(bytes(&[1_u64, 2][..]), bytes(&vec![1_u64, 2]));
    assert_eq!(
        bytes(serde_bytes::Bytes::new(b"ab")),
        bytes(&Bytes::from_static(b"ab"))
    );
}

#[test]
fn the_bytes_are_those_of_the_specification() {
    assert_eq!(bytes(&5_u32), [1, 0x05]);
    assert_eq!(bytes(&300_u64), [1, 0xB0, 0xAC, 0x02]);
    assert_eq!(bytes(&-1_i8), [1, 0x67]);
    assert_eq!(bytes(&-300_i64), [1, 0xB1, 0xD7, 0x04]);
    assert_eq!(bytes("hi"), [1, 0x42, b'h', b'i']);
    assert_eq!(bytes(&Some(None::<u8>)), [1, 0xBD, 0xBC]);
    let point = [
        1, 0x82, 0x9A, 2, b'x', 0x69, 2, b'y', 0xBC, 0x9A, 1, 0x6A, 3, 0xBC,
    ];
    assert_eq!(
        bytes(&[Point { x: 1, y: None }, Point { x: 2, y: None }]),
        point
    );
    let variants = [
        1, 0x82, 0xC1, 8, b'U', b'n', b'i', b't', 0xC2, 10, b'T', b'u', b'p', b'l', b'e', 0x82, 1,
        0x41, b'a',
    ];
    assert_eq!(
        bytes(&[External::Unit, External::Tuple(1, "a".into())]),
        variants
    );
    assert_eq!(
        bytes(&BTreeMap::from([(2_u8, 'b'), (1, 'a')])),
        [1, 0x92, 1, 0xB8, 0x61, 2, 0xB8, 0x62]
    );
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    lines: Vec<Point>,
}

#[test]
fn errors_name_the_type_and_the_place() {
    #[derive(Debug, Serialize)]
    struct Wrong {
        lines: Vec<(&'static str, u8)>,
    }
    let mut input = bytes(&Wrong {
        lines: vec![("x", 1)],
    });
    let error = decode::<Order>(&mut &input[..]).unwrap_err().to_string();
    assert!(error.starts_with("cannot decode "), "{error}");
    assert!(
        error.contains(
            "::Order at .lines[0][0] (byte 12): invalid type: string \"x\", expected i32"
        ),
        "{error}"
    );

    #[derive(Serialize)]
    struct Far {
        x: i64,
        y: Option<i64>,
    }
    let error = decode::<Point>(
        &mut &bytes(&Far {
            x: 1,
            y: Some(1 << 40),
        })[..],
    )
    .unwrap_err()
    .to_string();
    assert!(
        error.contains(".y") && error.contains("1099511627776 does not fit into i32"),
        "{error}"
    );

    input[0] = 9;
    let before = &input[..];
    let mut rest = before;
    let error = decode::<Order>(&mut rest).unwrap_err().to_string();
    assert!(
        error.contains("format version 9, this program reads version 1"),
        "{error}"
    );
    assert_eq!(rest, before);

    #[derive(Serialize)]
    enum Fails {
        Inner { list: Vec<Refuses> },
    }
    struct Refuses;
    impl Serialize for Refuses {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    let mut out = vec![7];
    let error = encode_to(
        &Fails::Inner {
            list: vec![Refuses],
        },
        &mut out,
    )
    .unwrap_err()
    .to_string();
    assert!(error.contains("::Fails at ::Inner.list[0]: no"), "{error}");
    assert_eq!(out, [7]);
}

fn chain(levels: u32) -> Tree {
    (1..levels).fold(Tree::Leaf, |tree, _| Tree::Node(Box::new(tree), vec![]))
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Loose {
    End(u8),
    More(Box<(Loose,)>),
}

#[test]
fn depth_is_limited_alike_in_both_directions() {
    // A node counts two, the variant and its tuple; the innermost list, although empty, counts one; a leaf nothing.
    round_trip(chain(64));
    let error = encode_to(&chain(65), &mut Vec::new())
        .unwrap_err()
        .to_string();
    assert!(error.contains("deeper than 128 levels"), "{error}");

    let mut deep = vec![crate::coder::VERSION];
    deep.extend(std::iter::repeat_n(0x81, 10_000));
    let error = decode::<serde_json::Value>(&mut &deep[..])
        .unwrap_err()
        .to_string();
    assert!(error.contains("deeper than 128 levels"), "{error}");

    let loose = (0..MAX_DEPTH).fold(Loose::End(1), |l, _| Loose::More(Box::new((l,))));
    round_trip(loose);
}
