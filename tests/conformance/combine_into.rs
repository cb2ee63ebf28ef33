//! `combine_into` against counts made without the library, and what it says when user code fails.

use std::collections::BTreeMap;

use pipeline_core::prelude::*;
use pipeline_core::testing::Timed;
use serde::{Deserialize, Serialize};

use crate::support::{at, run};

const LINES: usize = 300;

/// Line `n` has up to six words out of ten; every seventh line has none.
fn line(n: usize) -> String {
    let words = (0..n % 7).map(|at| format!("w{}", n.wrapping_mul(31).wrapping_add(at * at) % 10));
    words.collect::<Vec<_>>().join(" ")
}

/// Minutes of event time, in pairs, so that batches have several stamps.
fn minute(n: usize) -> i64 {
    (n / 2 * 7 % 200) as i64
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(' ').filter(|word| !word.is_empty())
}

fn counted(window: impl WindowFn, runner: &DirectRunner) -> Vec<Timed<(String, u64)>> {
    let (all, _) = run(runner, |p| {
        let lines = (0..LINES).map(|n| (line(n), at(minute(n) * 60_000)));
        p.create_timestamped("Lines", lines.collect())
            .window_into("Window", window)
            .combine_into(
                "Count",
                Count::new(),
                |line: &String, keys: &mut Keyed<'_, String, _>| {
                    words(line).for_each(|word| keys.add(word, ()));
                },
            )
    })
    .unwrap();
    all
}

/// The counts by word and end of window, as the caller says which windows a minute is in.
fn expected(ends: impl Fn(i64) -> Vec<i64>) -> BTreeMap<(String, i64), u64> {
    let mut counts = BTreeMap::new();
    for n in 0..LINES {
        for word in words(&line(n)) {
            for end in ends(minute(n)) {
                *counts.entry((word.to_owned(), end)).or_default() += 1;
            }
        }
    }
    counts
}

fn by_end(all: Vec<Timed<(String, u64)>>) -> BTreeMap<(String, i64), u64> {
    let mut counts = BTreeMap::new();
    for timed in all {
        let end = timed.window.end().millis() / 60_000;
        let before = counts.insert((timed.value.0, end), timed.value.1);
        assert_eq!(before, None, "two results of a word in a window");
    }
    counts
}

fn runners() -> Vec<DirectRunner> {
    let mut runners = Vec::new();
    for workers in [1, 3] {
        let runner = DirectRunner::new().workers(workers);
        runners.push(runner.clone());
        runners.push(runner.clone().encode_edges(true));
        runners.push(runner.clone().max_bundle(1).seed(9));
    }
    runners
}

#[test]
fn it_counts_per_word_and_window() {
    let tens = |minute: i64| vec![minute / 10 * 10 + 10];
    // Windows of 20 minutes every 10: a minute is in the one that ends with its ten, and the next.
    let twenties = |minute: i64| vec![minute / 10 * 10 + 10, minute / 10 * 10 + 20];
    let of_minutes = |n: u64| std::time::Duration::from_secs(60 * n);
    for runner in runners() {
        let fixed = counted(FixedWindows::of(of_minutes(10)), &runner);
        assert_eq!(by_end(fixed), expected(tens));
        let sliding = SlidingWindows::of(of_minutes(20)).every(of_minutes(10));
        assert_eq!(by_end(counted(sliding, &runner)), expected(twenties));
    }
}

#[test]
fn it_counts_per_word_and_session() {
    const GAP: i64 = 9;
    let mut minutes: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for n in 0..LINES {
        for word in words(&line(n)) {
            minutes.entry(word.to_owned()).or_default().push(minute(n));
        }
    }
    let mut sessions = BTreeMap::new();
    for (word, mut minutes) in minutes {
        minutes.sort_unstable();
        // Intervals that only touch do not overlap: a gap of exactly nine minutes parts them.
        for visit in minutes.chunk_by(|a, b| b - a < GAP) {
            let end = visit[visit.len() - 1] + GAP;
            sessions.insert((word.clone(), end), visit.len() as u64);
        }
    }
    for runner in runners() {
        let gap = std::time::Duration::from_secs(60 * GAP as u64);
        assert_eq!(by_end(counted(Sessions::with_gap(gap), &runner)), sessions);
    }
}

/// Adds numbers, and fails at one.
#[derive(Clone)]
struct Fragile;

#[derive(Clone, Serialize, Deserialize)]
struct Total(u64);

impl CombineFn for Fragile {
    type Input = u64;
    type Accumulator = Total;
    type Output = u64;

    fn create_accumulator(&self) -> Total {
        Total(0)
    }

    fn add_input(&self, total: &mut Total, input: u64) {
        assert!(input != 7, "no sevens");
        total.0 += input;
    }

    fn merge_accumulators(&self, total: &mut Total, other: Total) {
        total.0 += other.0;
    }

    fn extract_output(&self, total: Total) -> u64 {
        total.0
    }
}

#[test]
fn a_panic_names_the_element_or_the_key() {
    for (lines, parts) in [
        (["a 1", "b x"], ["Sum/Lift", "combine_into", "b x"]),
        (["a 1", "b 7"], ["Sum/Lift", "add_input", "of key b"]),
    ] {
        for workers in [1, 2] {
            let error = run(&DirectRunner::new().workers(workers), |p| {
                p.create("Lines", lines.map(str::to_owned).to_vec())
                    .combine_into(
                        "Sum",
                        Fragile,
                        |line: &String, keys: &mut Keyed<'_, String, _>| {
                            let (key, number) = line.split_once(' ').unwrap();
                            keys.add(key, number.parse().unwrap());
                        },
                    )
            });
            let error = error.err().unwrap().to_string();
            for part in parts {
                assert!(error.contains(part), "{error}");
            }
        }
    }
}
