//! Combines that begin before the exchange: what they save, and what they must not change.

use pipeline_core::prelude::*;
use pipeline_core::testing::{TestStream, Timed};
use pipeline_core::{DROPPED_LATE, EXCHANGED, Event, EventLog};
use serde::{Deserialize, Serialize};

use crate::support::{at, millis, run, run_seeded};

const KEYS: u64 = 7;

/// Returns (elements across the exchange, ended bundles) of a sum over `count` numbers.
fn sum_of(count: u64, runner: DirectRunner) -> (u64, u64) {
    let log = EventLog::default();
    let (all, result) = run(&runner.event_log(&log), |p| {
        let numbers: Vec<u64> = (0..count).collect();
        p.create("Numbers", numbers)
            .key_by("Key", |n| n % KEYS)
            .sum_per_key("Sum")
    })
    .unwrap();
    let sum: u64 = all.iter().map(|timed| timed.value.1).sum();
    assert_eq!((all.len() as u64, sum), (KEYS, count * (count - 1) / 2));
    let events = log.take();
    let bundles = events
        .iter()
        .filter(|event| matches!(event, Event::EndedBundle { .. }));
    let exchanged = result.metrics().get("Sum/Exchange", EXCHANGED);
    (exchanged, bundles.count() as u64)
}

#[test]
fn what_crosses_the_exchange_is_one_accumulator_for_each_key_and_flush() {
    for workers in [1, 2, 3] {
        let runner = DirectRunner::new().workers(workers);
        for runner in [runner.clone(), runner.clone().seed(5)] {
            let (exchanged, bundles) = sum_of(20_000, runner);
            assert!(exchanged <= KEYS * bundles, "{exchanged} in {bundles}");
            // The bound is worth something only where there are few flushes.
            assert!(exchanged <= 20_000 / 20, "{exchanged}");
        }
        // One-element bundles flush at every element: nothing is saved, nothing is lost.
        let (exchanged, _) = sum_of(100, runner.max_bundle(1).seed(5));
        assert!((KEYS..=100).contains(&exchanged), "{exchanged}");
    }
}

#[test]
fn a_grouping_sends_every_element() {
    let (_, result) = run_seeded(|p| {
        let numbers: Vec<u64> = (0..1_000).collect();
        p.create("Numbers", numbers)
            .key_by("Key", |n| n % KEYS)
            .group_by_key("Group")
    });
    assert_eq!(result.metrics().get("Group/Exchange", EXCHANGED), 1_000);
}

/// Counts, with an accumulator of 8 KiB.
#[derive(Clone)]
struct Big;

#[derive(Clone, Serialize, Deserialize)]
struct BigCount {
    count: u64,
    weight: [[u64; 32]; 32],
}

impl CombineFn for Big {
    type Input = u32;
    type Accumulator = BigCount;
    type Output = u64;

    fn create_accumulator(&self) -> BigCount {
        BigCount {
            count: 0,
            weight: [[0; 32]; 32],
        }
    }

    fn add_input(&self, total: &mut BigCount, _: u32) {
        total.count += 1;
    }

    fn merge_accumulators(&self, total: &mut BigCount, other: BigCount) {
        total.count += other.count;
    }

    fn extract_output(&self, total: BigCount) -> u64 {
        total.count
    }
}

#[test]
fn a_table_over_the_memory_bound_is_flushed_within_a_bundle() {
    // 32 MiB hold 4,000 accumulators and some; keys come in the same order twice.
    let keys = 5_000_u32;
    let (all, result) = run_seeded(|p| {
        let twice = (0..keys).chain(0..keys).map(|key| (key, key));
        p.create("Pairs", twice.collect())
            .combine_per_key("Count", Big)
    });
    assert_eq!(all.len(), keys as usize);
    assert!(all.iter().all(|timed| timed.value.1 == 2));
    let exchanged = result.metrics().get("Count/Exchange", EXCHANGED);
    assert!(
        exchanged > u64::from(keys),
        "{exchanged}: nothing was flushed early"
    );
}

/// (window, number of elements) of the panes.
fn counts(all: Vec<Timed<(u32, u64)>>) -> Vec<((i64, i64), u64)> {
    let count = |timed: Timed<(u32, u64)>| {
        let window = (timed.window.start().millis(), timed.window.end().millis());
        (window, timed.value.1)
    };
    let mut counts: Vec<_> = all.into_iter().map(count).collect();
    counts.sort();
    counts
}

#[test]
fn in_sessions_each_element_is_late_by_its_own_window() {
    // Gap 10, lateness 20, watermark 100: [t, t + 10) has expired when t + 9 + 20 < 100, so up to
    // 70. The others make a session that 70 and 60 would join; it has not expired.
    let times = [70, 70, 60, 71, 76, 85, 93, 70];
    for lifted in [true, false] {
        for workers in [1, 2, 3] {
            let runner = DirectRunner::new().workers(workers).seed(2);
            let (all, result) = run(&runner, |p| {
                let late = times.map(|t| ((1_u32, t), at(t)));
                let stream = TestStream::new().watermark(at(100)).elements(late);
                let windows =
                    WindowInto::new(Sessions::with_gap(millis(10))).allowed_lateness(millis(20));
                let pairs = p.read("Stream", stream).window_into("Sessions", windows);
                match lifted {
                    true => pairs.count_per_key("Count"),
                    false => pairs
                        .group_by_key("Group")
                        .map("Count", |(key, values)| (key, values.len() as u64)),
                }
            })
            .unwrap();
            // 93 + 10 > 100: the merged session has not even ended.
            assert_eq!(counts(all), [((71, 103), 4)], "lifted: {lifted}");
            assert_eq!(result.metrics().total(DROPPED_LATE), 4, "lifted: {lifted}");
        }
    }
}

#[test]
fn what_is_dropped_late_is_counted_in_elements() {
    let (all, result) = run_seeded(|p| {
        let late = (0..50).map(|n| ((n % 2, n), at(i64::from(n) % 10)));
        let stream = TestStream::new().watermark(at(1_000)).elements(late);
        p.read("Stream", stream)
            .window_into("Windows", FixedWindows::of(millis(10)))
            .sum_per_key("Sum")
    });
    assert!(all.is_empty());
    let metrics = result.metrics();
    assert_eq!(metrics.get("Sum/Merge", DROPPED_LATE), 50);
    assert_eq!(metrics.get("Sum/Exchange", EXCHANGED), 2);
}

#[test]
fn a_global_combine_of_nothing_gives_the_result_of_nothing() {
    for workers in [1, 2, 3] {
        let runner = DirectRunner::new().workers(workers);
        let (all, _) = run(&runner, |p| {
            p.create("None", Vec::<u64>::new()).count_globally("Count")
        })
        .unwrap();
        assert_eq!(all.len(), 1, "once, not once a worker");
        assert_eq!(all[0].value, 0);
        assert_eq!(all[0].timestamp, Timestamp::END_OF_GLOBAL_WINDOW);
        assert!(all[0].window.is_global());
        // Where all was filtered out on the way, too.
        let (all, _) = run(&runner, |p| {
            p.create("Some", vec![1_u64, 2, 3])
                .filter("None", |_| false)
                .sum_globally("Sum")
        })
        .unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].value, 0);
        // Where there is something it is the only result.
        let (all, _) = run(&runner, |p| {
            p.create("Some", vec![1_u64, 2, 3]).sum_globally("Sum")
        })
        .unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].value, 6);
        // A window without an element is no window.
        let (all, _) = run(&runner, |p| {
            p.create("None", Vec::<u64>::new())
                .window_into("Windows", FixedWindows::of(millis(10)))
                .count_globally("Count")
        })
        .unwrap();
        assert!(all.is_empty());
    }
}
