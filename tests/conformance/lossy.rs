//! Types that serde does not carry whole: what the mode that encodes every edge refuses, and what
//! it can only show, as `DirectRunner::encode_edges` tells. Keys are in `replay`.

use pipeline_core::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::support::run;

/// Sends 7 through `T` and back, between transforms.
fn through<T: Element>(
    runner: DirectRunner,
    to: fn(i64) -> T,
    back: fn(T) -> i64,
) -> Result<i64, Error> {
    let (all, _) = run(&runner, |p| {
        p.create("Seven", vec![7]).map("To", to).map("Back", back)
    })?;
    Ok(all[0].value)
}

/// Asserts that `T` goes through where nothing is encoded, and returns what becomes of it where
/// every edge encodes.
fn encoded<T: Element>(to: fn(i64) -> T, back: fn(T) -> i64) -> Result<i64, String> {
    let [plain, encoded] = [false, true].map(|encode| {
        let runner = DirectRunner::new().workers(1).encode_edges(encode);
        through(runner, to, back).map_err(|error| error.to_string())
    });
    assert_eq!(plain, Ok(7), "{}", std::any::type_name::<T>());
    encoded
}

fn assert_refused<T: Element>(why: &str, to: fn(i64) -> T, back: fn(T) -> i64) {
    let error = encoded(to, back).unwrap_err();
    for part in ["'To'", std::any::type_name::<T>(), why] {
        assert!(error.contains(part), "no {part:?} in {error:?}");
    }
}

/// Is written, but not as what is read.
#[derive(Clone, Serialize, Deserialize)]
struct Disagree {
    #[serde(serialize_with = "as_text")]
    n: i64,
}

fn as_text<S: Serializer>(n: &i64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(n)
}

#[derive(Clone, Serialize, Deserialize)]
struct OneWay {
    #[serde(skip_serializing)]
    n: i64,
}

#[derive(Clone, Serialize, Deserialize)]
enum Unwritten {
    #[serde(skip_serializing)]
    Number(i64),
    Nothing,
}

#[derive(Clone, Serialize, Deserialize)]
enum Unread {
    #[serde(skip_deserializing)]
    Number(i64),
    Nothing,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    #[serde(skip_deserializing)]
    n: i64,
}

/// The first variant that fits is read, and does not hold the number.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Empty {},
    Number { n: i64 },
}

#[test]
fn what_cannot_be_written_or_read_back_is_refused() {
    assert_refused("cannot be decoded again", |n| Disagree { n }, |d| d.n);
    assert_refused("missing field `n`", |n| OneWay { n }, |o| o.n);
    assert_refused("cannot be encoded", Unwritten::Number, |u| match u {
        Unwritten::Number(n) => n,
        Unwritten::Nothing => 0,
    });
    assert_refused("unknown variant `Number`", Unread::Number, |u| match u {
        Unread::Number(n) => n,
        Unread::Nothing => 0,
    });
    assert_refused("unknown field `n`", |n| Strict { n }, |s| s.n);
}

#[derive(Clone, Serialize, Deserialize)]
struct Skipped {
    #[serde(skip)]
    n: i64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Unkept {
    #[serde(skip_deserializing)]
    n: i64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Forgetful {
    #[serde(default, skip_serializing_if = "is_small")]
    n: i64,
}

fn is_small(n: &i64) -> bool {
    *n < 10
}

#[derive(Clone, Serialize, Deserialize)]
struct Optional {
    #[serde(skip_serializing)]
    n: Option<i64>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Rounded {
    #[serde(deserialize_with = "in_tens")]
    n: i64,
}

fn in_tens<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    Ok(i64::deserialize(from)? / 10 * 10)
}

fn assert_changed<T: Element>(to: fn(i64) -> T, back: fn(T) -> i64) {
    let type_name = std::any::type_name::<T>();
    assert_eq!(encoded(to, back), Ok(0), "{type_name}");
}

#[test]
fn what_is_read_back_as_another_value_only_shows() {
    assert_changed(|n| Skipped { n }, |s| s.n);
    assert_changed(|n| Unkept { n }, |u| u.n);
    assert_changed(|n| Forgetful { n }, |f| f.n);
    assert_changed(|n| Optional { n: Some(n) }, |o| o.n.unwrap_or_default());
    assert_changed(|n| Rounded { n }, |r| r.n);
    assert_changed(
        |n| Untagged::Number { n },
        |u| match u {
            Untagged::Number { n } => n,
            Untagged::Empty {} => 0,
        },
    );
}
