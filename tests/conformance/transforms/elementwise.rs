//! Transforms of single elements, and what they make of one.

use std::fmt::Debug;

use pipeline_core::prelude::*;

use super::do_fns::{Buffered, Later};
use super::{Apply, Pair, text, texts};
use crate::support::at;

/// What becomes of one element: (timestamp, row) of each that comes out.
pub type OfOne = fn(i64, Pair) -> Vec<(i64, String)>;

fn stay<T: Debug>(at: i64, rows: impl IntoIterator<Item = T>) -> Vec<(i64, String)> {
    texts(rows).into_iter().map(|row| (at, row)).collect()
}

fn parsed(pair: &Pair) -> Result<String, Failure> {
    match pair.1 {
        value if value < 0 => Err(Failure::new("negative")),
        value => Ok(format!("{}:{value}", pair.0)),
    }
}

pub const ELEMENTWISE: &[(&str, Apply, OfOne)] = &[
    (
        "map",
        |p| text(p.map("T", |(key, value)| value * 2 - i64::from(key))),
        |at, (key, value)| stay(at, [value + value - i64::from(key)]),
    ),
    (
        "flat_map",
        |p| text(p.flat_map("T", |(_, value)| 0..value)),
        |at, (_, value)| (0..value).map(|n| (at, n.to_string())).collect(),
    ),
    (
        "flat_map_into",
        |p| {
            text(p.flat_map_into("T", |(key, value), out: &mut Out<i64>| {
                for n in 0..value {
                    out.emit(i64::from(key) + n);
                }
            }))
        },
        |at, (key, value)| stay(at, (0..value).map(|n| n + i64::from(key))),
    ),
    (
        "filter",
        |p| text(p.filter("T", |(_, value)| *value > 1)),
        |at, pair| match pair.1 {
            2.. => stay(at, [pair]),
            _ => Vec::new(),
        },
    ),
    (
        "filter_map",
        |p| text(p.filter_map("T", |(_, value)| u8::try_from(value).ok())),
        |at, (_, value)| match value {
            0.. => stay(at, [value]),
            _ => Vec::new(),
        },
    ),
    (
        "key_by",
        |p| text(p.key_by("T", |(_, value)| value.abs())),
        |at, pair| {
            let key = if pair.1 < 0 { -pair.1 } else { pair.1 };
            stay(at, [(key, pair)])
        },
    ),
    (
        "keys",
        |p| text(p.keys("T")),
        |at, (key, _)| stay(at, [key]),
    ),
    (
        "values",
        |p| text(p.values("T")),
        |at, (_, value)| stay(at, [value]),
    ),
    (
        "try_map, good",
        |p| text(p.try_map("T", parsed).drop_dead_letters("another row")),
        |at, (key, value)| match value {
            0.. => stay(at, [format!("{key}:{value}")]),
            _ => Vec::new(),
        },
    ),
    (
        "try_map, refused",
        |p| {
            let refused = p.try_map("T", parsed).dead_letters;
            text(refused.map("Record", |bad| {
                let original = String::from_utf8_lossy(&bad.original).into_owned();
                (original, bad.errors, bad.event_time.millis())
            }))
        },
        |at, (key, value)| match value {
            0.. => Vec::new(),
            _ => stay(at, [(format!("[{key},{value}]"), ["negative"], at)]),
        },
    ),
    (
        "try_flat_map, good",
        |p| {
            let outcome = p.try_flat_map("T", |pair| Ok(vec![parsed(pair)?, "more".to_owned()]));
            text(outcome.drop_dead_letters("another row"))
        },
        |at, (key, value)| match value {
            0.. => stay(at, [format!("{key}:{value}"), "more".to_owned()]),
            _ => Vec::new(),
        },
    ),
    (
        "try_flat_map, refused",
        |p| {
            let outcome = p.try_flat_map("T", |pair| Ok(vec![parsed(pair)?]));
            text(outcome.dead_letters.map("Reason", |bad| bad.errors.len()))
        },
        |at, (_, value)| match value {
            0.. => Vec::new(),
            _ => stay(at, [1]),
        },
    ),
    (
        "flatten",
        |p| {
            let negated = p.map("Negated", |(key, value)| (key, -value));
            text(p.flatten("T", &[negated, p.clone()]))
        },
        |at, (key, value)| stay(at, [(key, value), (key, value), (key, -value)]),
    ),
    (
        "reshuffle",
        |p| text(p.reshuffle("T")),
        |at, pair| stay(at, [pair]),
    ),
    (
        "with_timestamps",
        |p| text(p.with_timestamps("T", |(_, value)| at(1_000 + value))),
        |_, pair| stay(1_000 + pair.1, [pair]),
    ),
    (
        "emit_at",
        |p| text(p.par_do("T", Later)),
        |at, pair| [stay(at, [pair]), stay(at + 25, [pair])].concat(),
    ),
    (
        "emit_in",
        |p| text(p.par_do("T", Buffered::default())),
        |at, pair| stay(at, [pair]),
    ),
];
