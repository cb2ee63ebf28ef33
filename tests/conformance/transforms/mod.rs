//! The value of every transform that the other modules do not hold to an oracle: tables of a
//! transform and what plain loops make of the same input.
//!
//! Inputs are random pairs with few keys and small values of either sign, so that ties are common;
//! one is empty, in one all elements share a timestamp. Each row runs with 1 and 3 workers, whole
//! and one-element bundles, with and without encoded edges, in the global and in fixed windows.

mod do_fns;
mod elementwise;
mod grouped;

use std::collections::BTreeMap;
use std::fmt::Debug;

use oorandom::Rand64;
use pipeline_core::prelude::*;
use pipeline_core::testing::Timed;

use self::do_fns::Sizes;
use self::elementwise::ELEMENTWISE;
use self::grouped::GROUPED;
use crate::support::{at, millis, run};

type Pair = (u8, i64);

/// Rows are compared as text, so that transforms of every type fit in one table.
type Apply = fn(PCollection<Pair>) -> PCollection<String>;

/// Where a row came out (the last millisecond of its window, its timestamp, its pane), and the row.
type Row = (i64, i64, String, String);

const WIDTH: i64 = 10;

fn text<T: Element + Debug>(rows: PCollection<T>) -> PCollection<String> {
    rows.map("Text", |row| format!("{row:?}"))
}

fn texts<T: Debug>(rows: impl IntoIterator<Item = T>) -> Vec<String> {
    rows.into_iter().map(|row| format!("{row:?}")).collect()
}

/// (number of elements, greatest distance of their timestamps from 0)
const INPUTS: &[(usize, i64)] = &[(0, 0), (1, 30), (40, 0), (90, 30)];

fn random_events(count: usize, spread: i64, seed: u128) -> Vec<(Pair, i64)> {
    let mut random = Rand64::new(seed);
    let mut below = |limit: i64| random.rand_range(0..limit as u64) as i64;
    (0..count)
        .map(|_| {
            let pair = (below(4) as u8, below(11) - 5);
            (pair, below(2 * spread + 1) - spread)
        })
        .collect()
}

fn runners() -> Vec<(String, DirectRunner)> {
    let mut runners = Vec::new();
    for workers in [1, 3] {
        for encode in [false, true] {
            let runner = DirectRunner::new().workers(workers).encode_edges(encode);
            let name = format!("{workers} workers, encoded edges: {encode}");
            runners.push((name.clone(), runner.clone()));
            runners.push((name + ", one-element bundles", runner.max_bundle(1)));
        }
    }
    runners
}

fn row(timed: Timed<String>) -> Row {
    let window = timed.window.max_timestamp().millis();
    let pane = format!("{:?}", timed.pane);
    (window, timed.timestamp.millis(), pane, timed.value)
}

/// The last millisecond of the window of an element.
fn window_of(at: i64, fixed: bool) -> i64 {
    match fixed {
        true => at.div_euclid(WIDTH) * WIDTH + WIDTH - 1,
        false => Timestamp::END_OF_GLOBAL_WINDOW.millis(),
    }
}

/// Runs a transform in every way over every input and compares the rows with the expected ones.
fn assert_values(what: &str, apply: Apply, expected: impl Fn(&[(Pair, i64)], bool) -> Vec<Row>) {
    for (seed, (count, spread)) in INPUTS.iter().enumerate() {
        let events = random_events(*count, *spread, seed as u128);
        for fixed in [false, true] {
            let mut expected = expected(&events, fixed);
            expected.sort();
            for (how, runner) in runners() {
                let case = format!("{what}, {count} elements, fixed windows: {fixed}, {how}");
                let (all, _) = run(&runner, |p| {
                    let timed = events.iter().map(|(pair, millis)| (*pair, at(*millis)));
                    let pairs = p.create_timestamped("Pairs", timed.collect());
                    apply(match fixed {
                        true => {
                            let width = millis(WIDTH.unsigned_abs());
                            pairs.window_into("Windows", FixedWindows::of(width))
                        }
                        false => pairs,
                    })
                })
                .unwrap_or_else(|error| panic!("{case}: {error}"));
                let mut rows: Vec<Row> = all.into_iter().map(row).collect();
                rows.sort();
                assert_eq!(rows, expected, "{case}");
            }
        }
    }
}

#[test]
fn elementwise_transforms() {
    for (what, apply, of_one) in ELEMENTWISE {
        assert_values(what, *apply, |events, fixed| {
            let mut rows = Vec::new();
            for (pair, at) in events {
                let out = of_one(*at, *pair).into_iter();
                let window = window_of(*at, fixed);
                rows.extend(out.map(|(at, row)| (window, at, "no firing".to_owned(), row)));
            }
            rows
        });
    }
}

#[test]
fn grouping_transforms() {
    for (what, apply, of_all) in GROUPED {
        assert_values(what, *apply, |events, fixed| {
            let mut windows = BTreeMap::<i64, Vec<Pair>>::new();
            if !fixed {
                // The global window is there without an element too.
                windows.insert(window_of(0, false), Vec::new());
            }
            for (pair, at) in events {
                let window = windows.entry(window_of(*at, fixed)).or_default();
                window.push(*pair);
            }
            let mut rows = Vec::new();
            for (window, pairs) in windows {
                // The result of nothing comes from no group.
                let pane = match pairs.as_slice() {
                    [] => "no firing",
                    _ => "OnTime 0 last",
                };
                let out = of_all(&pairs).into_iter();
                rows.extend(out.map(|row| (window, window, pane.to_owned(), row)));
            }
            rows
        });
    }
}

#[test]
fn what_finish_bundle_emits_comes_once_a_bundle() {
    let (count, spread) = (50, 20);
    for (how, runner) in runners() {
        let (sizes, _) = run(&runner, |p| {
            let events = random_events(count, spread, 7).into_iter();
            let timed = events.map(|(pair, millis)| (pair, at(millis))).collect();
            p.create_timestamped("Pairs", timed)
                .par_do("Sizes", Sizes::default())
        })
        .unwrap();
        let sizes: Vec<usize> = sizes.into_iter().map(|timed| timed.value).collect();
        assert_eq!(sizes.iter().sum::<usize>(), count, "{how}");
        if how.contains("one-element") {
            assert_eq!(sizes, vec![1; count], "{how}");
        }
    }
}
