//! Bytes that no encoder wrote end in an error: no panic, no allocation without bound.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::bytes;
use crate::coder::{VERSION, decode};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    id: u64,
    names: Vec<String>,
    by_city: BTreeMap<String, Option<i32>>,
    kind: Kind,
    unit: (),
    raw: bytes::Bytes,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    A,
    B(char, f64),
    C { next: Option<Box<Record>> },
}

fn record() -> Record {
    let inner = Record {
        id: 1,
        names: vec![],
        by_city: BTreeMap::new(),
        kind: Kind::B('x', 1.5),
        unit: (),
        raw: bytes::Bytes::from_static(b"raw"),
    };
    Record {
        id: 1 << 40,
        names: vec![
            "Ada".into(),
            "a long name, longer than thirty-one bytes".into(),
        ],
        by_city: BTreeMap::from([("Berlin".into(), Some(-1000)), ("".into(), None)]),
        kind: Kind::C {
            next: Some(Box::new(inner)),
        },
        ..record_base()
    }
}

fn record_base() -> Record {
    Record {
        id: 0,
        names: vec![],
        by_city: BTreeMap::new(),
        kind: Kind::A,
        unit: (),
        raw: bytes::Bytes::new(),
    }
}

/// Decodes as several types; what comes out does not matter.
fn survive(input: &[u8]) {
    fn one<T: DeserializeOwned>(input: &[u8]) {
        let mut rest = input;
        let before = rest.len();
        match decode::<T>(&mut rest) {
            Ok(_) => assert!(rest.len() < before),
            Err(error) => {
                assert_eq!(rest.len(), before);
                assert!(error.to_string().contains("cannot decode"));
            }
        }
    }
    one::<Record>(input);
    one::<serde_json::Value>(input);
    one::<Vec<()>>(input);
    one::<(u8, Option<i128>, String)>(input);
    one::<BTreeMap<Kind2, Vec<u64>>>(input);
    one::<serde::de::IgnoredAny>(input);
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
enum Kind2 {
    Number(u8),
    Text(String),
    More(Vec<Kind2>),
}

#[test]
fn every_cut_is_an_error() {
    let whole = bytes(&record());
    for end in 0..whole.len() {
        assert!(
            decode::<Record>(&mut &whole[..end]).is_err(),
            "cut at {end}"
        );
        survive(&whole[..end]);
    }
    assert_eq!(decode::<Record>(&mut &whole[..]).unwrap(), record());
}

#[test]
fn claims_of_length_are_checked_first() {
    let huge = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
    for tag in [0xB9, 0xBA, 0xBE, 0xBF, 0xC0] {
        let mut input = vec![VERSION, tag];
        input.extend(huge);
        input.extend([0xBB; 40]);
        let error = decode::<serde_json::Value>(&mut &input[..])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("the bytes end within the value"),
            "{tag:#x}: {error}"
        );
        survive(&input);
    }
    let mut too_long = vec![VERSION, 0xB0];
    too_long.extend([0xFF; 9]);
    too_long.push(0x02);
    let error = decode::<u64>(&mut &too_long[..]).unwrap_err().to_string();
    assert!(error.contains("more than 64 bits"), "{error}");
}

/// Believes what it is told about the length of a sequence.
#[derive(Debug)]
struct Trusting;

impl<'de> Deserialize<'de> for Trusting {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Trusting;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a sequence")
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<Trusting, A::Error> {
                assert!(
                    seq.size_hint().is_some_and(|hint| hint <= 40),
                    "{:?}",
                    seq.size_hint()
                );
                while seq.next_element::<()>()?.is_some() {}
                Ok(Trusting)
            }
        }
        deserializer.deserialize_seq(Visitor)
    }
}

#[test]
fn a_told_length_is_never_more_than_the_bytes_can_hold() {
    let mut input = vec![VERSION, 0xBE, 40];
    input.extend([0xBB; 40]);
    decode::<Trusting>(&mut &input[..]).unwrap();
    input[2] = 41;
    assert!(decode::<Trusting>(&mut &input[..]).is_err());
}

#[test]
fn what_the_type_does_not_take_is_an_error() {
    assert!(
        decode::<(u8, u8)>(&mut &bytes(&(1, 2, 3))[..])
            .unwrap_err()
            .to_string()
            .contains("1 of 3 parts")
    );
    assert!(
        decode::<Kind>(&mut &bytes(&5_u8)[..])
            .unwrap_err()
            .to_string()
            .contains("an enum was expected")
    );
    assert!(
        decode::<Kind>(&mut &bytes("D")[..])
            .unwrap_err()
            .to_string()
            .contains("unknown variant `D`")
    );
    assert!(
        decode::<u8>(&mut &[VERSION, 0xFF][..])
            .unwrap_err()
            .to_string()
            .contains("0xff is not a tag")
    );
    assert!(
        decode::<char>(&mut &[VERSION, 0xB8, 0x80, 0xB0, 0x03][..]).is_err(),
        "a surrogate"
    );
    assert!(
        decode::<String>(&mut &[VERSION, 0x41, 0xFF][..])
            .unwrap_err()
            .to_string()
            .contains("not UTF-8")
    );
    assert!(
        decode::<Kind>(&mut &[VERSION, 0xC1, 0x01][..])
            .unwrap_err()
            .to_string()
            .contains("not written")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn random_bytes(mut input in vec(any::<u8>(), 0..200)) {
        survive(&input);
        input.insert(0, VERSION);
        survive(&input);
    }

    #[test]
    fn changed_bytes(changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut input = bytes(&record());
        for (index, value) in changes {
            let index = index.index(input.len());
            input[index] = value;
        }
        survive(&input);
    }
}
