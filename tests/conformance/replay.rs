//! Runs that are repeated from a seed, and the mode that encodes every edge.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use pipeline_core::prelude::*;
use pipeline_core::testing::TestStream;
use pipeline_core::{Event, EventLog};
use serde::{Deserialize, Serialize};

use crate::support::{at, millis, run};

/// Runs a job of two groupings on three workers; returns its log and its sorted results.
fn job(seed: u64) -> (Vec<Event>, Vec<String>) {
    let log = EventLog::default();
    let runner = DirectRunner::new().workers(3).seed(seed).event_log(&log);
    let (all, _) = run(&runner, |p| {
        let mut stream = TestStream::new();
        for step in 0..10 {
            let elements = (0..8_i64).map(|n| (n * 37 % 11, at(step * 10 + n)));
            stream = stream.elements(elements).watermark(at(step * 10 - 15));
        }
        let windows =
            WindowInto::new(Sessions::with_gap(millis(7))).allowed_lateness(millis(1_000));
        p.read("Stream", stream)
            .window_into("Sessions", windows)
            .key_by("Key", |n| n % 5)
            .count_per_key("Count")
            .key_by("Again", |(key, _)| key % 2)
            .group_by_key("Group")
            .map("Sort", |(key, mut counts)| {
                counts.sort();
                (key, counts)
            })
    })
    .unwrap();
    let mut results: Vec<String> = all.iter().map(|timed| format!("{timed:?}")).collect();
    results.sort();
    (log.take(), results)
}

#[test]
fn one_seed_is_one_run() {
    for seed in [0, 1, u64::MAX] {
        let (first, again) = (job(seed), job(seed));
        assert!(!first.0.is_empty());
        assert_eq!(first, again, "seed {seed}");
    }
}

#[test]
fn twenty_seeds_are_several_runs_with_one_result() {
    let runs: Vec<_> = (0..20).map(job).collect();
    let logs: BTreeSet<String> = runs.iter().map(|(log, _)| format!("{log:?}")).collect();
    assert!(logs.len() > 10, "{} interleavings", logs.len());
    let results: BTreeSet<_> = runs.iter().map(|(_, results)| results).collect();
    assert_eq!(results.len(), 1);
}

/// Every way to run that does not encode.
fn plain() -> Vec<DirectRunner> {
    let runner = DirectRunner::new();
    vec![
        runner.clone().workers(1),
        runner.clone().workers(3),
        runner.clone().workers(2).seed(1),
        runner.workers(2).seed(1).max_bundle(1),
    ]
}

/// Every way to run that does.
fn encoding() -> Vec<DirectRunner> {
    plain().into_iter().map(|r| r.encode_edges(true)).collect()
}

/// Loses a field on the way through serde.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Forgetful {
    kept: u32,
    #[serde(skip)]
    lost: u32,
}

fn forgetful(n: u32) -> Forgetful {
    Forgetful { kept: 1, lost: n }
}

#[test]
fn a_type_that_loses_data_shows_where_edges_encode_and_only_there() {
    let construct = |p: &Pipeline| {
        p.create("Numbers", vec![3_u32, 4])
            .map("Wrap", forgetful)
            .map("Unwrap", |f| f.kept * f.lost)
    };
    let values = |runner: &DirectRunner| {
        let (all, _) = run(runner, construct).unwrap();
        let values: BTreeSet<u32> = all.into_iter().map(|timed| timed.value).collect();
        values
    };
    for runner in plain() {
        assert_eq!(values(&runner), BTreeSet::from([3, 4]));
    }
    for runner in encoding() {
        assert_eq!(values(&runner), BTreeSet::from([0]));
    }
}

/// Writes less than it reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct OneWay {
    #[serde(skip_serializing)]
    secret: u32,
}

#[test]
fn a_type_that_cannot_be_read_back_fails_and_the_edge_is_named() {
    let construct = |p: &Pipeline| {
        p.create("Numbers", vec![3_u32])
            .map("Hide", |secret| OneWay { secret })
            .map("Show", |hidden| hidden.secret)
    };
    for runner in plain() {
        assert_eq!(run(&runner, construct).unwrap().0[0].value, 3);
    }
    for runner in encoding() {
        let error = run(&runner, construct).err().map(|e| e.to_string());
        let error = error.unwrap();
        assert!(
            error.contains("'Hide'") && error.contains("OneWay"),
            "{error}"
        );
    }
}

/// Equal modulo 10, which its encoding does not know.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Digit(u32);

impl PartialEq for Digit {
    fn eq(&self, other: &Digit) -> bool {
        self.0 % 10 == other.0 % 10
    }
}

impl Eq for Digit {}

impl Hash for Digit {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0 % 10).hash(state);
    }
}

#[derive(Clone)]
struct Forward;

impl StatefulDoFn for Forward {
    type Key = Digit;
    type Value = u32;
    type Outputs = Out<u32>;

    fn process(
        &mut self,
        _: &Digit,
        value: u32,
        _: &mut StateContext<'_>,
        out: &mut Self::Outputs,
    ) -> Result<(), BoxError> {
        out.emit(value);
        Ok(())
    }
}

/// Groups numbers by `key` in the way that has that name; returns the number of groups.
fn groups<K: pipeline_core::Key>(
    p: &Pipeline,
    how: &str,
    key: impl Fn(&u32) -> K + Send + Sync + 'static,
) -> PCollection<u64> {
    // Between the key and the grouping there are edges of the same type.
    let pairs = p
        .create("Numbers", vec![13_u32, 23, 4])
        .key_by("Key", key)
        .filter("All", |_| true)
        .window_into("Windows", FixedWindows::of(millis(10)));
    match how {
        "Group" => pairs.group_by_key(how).map("One", |_| 1),
        "Sum" => pairs.sum_per_key(how).map("One", |_| 1),
        _ => pairs.co_group_by_key(how, &pairs).map("One", |_| 1),
    }
}

#[test]
fn keys_that_break_their_law_are_found_where_edges_encode_and_only_there() {
    for how in ["Group", "Sum", "Join"] {
        let digits = |p: &Pipeline| groups(p, how, |n| Digit(*n));
        let forgetful = |p: &Pipeline| groups(p, how, |n| forgetful(*n));
        let lawful = |p: &Pipeline| groups(p, how, |n| *n);
        for runner in plain() {
            assert_eq!(run(&runner, digits).unwrap().0.len(), 2);
            assert_eq!(run(&runner, forgetful).unwrap().0.len(), 3);
        }
        for runner in encoding() {
            assert_eq!(run(&runner, lawful).unwrap().0.len(), 3);
            let error = run(&runner, forgetful).err().map(|e| e.to_string());
            let error = error.unwrap();
            assert!(error.contains(&format!("'{how}'")), "{error}");
            assert!(error.contains("does not equal"), "{error}");
        }
        // Equal keys meet on one edge only where one worker has both.
        let runner = DirectRunner::new().workers(1).encode_edges(true);
        let error = run(&runner, digits).err().map(|e| e.to_string()).unwrap();
        assert!(error.contains(&format!("'{how}'")), "{error}");
        assert!(error.contains("encoded differently"), "{error}");
    }
}

#[test]
fn keys_of_state_are_held_to_the_law_too() {
    let construct = |p: &Pipeline| {
        p.create("Numbers", vec![13_u32, 23])
            .key_by("Key", |n| Digit(*n))
            .par_do_stateful("State", |_| Forward)
    };
    let runner = DirectRunner::new().workers(1);
    assert_eq!(run(&runner, construct).unwrap().0.len(), 2);
    let error = run(&runner.encode_edges(true), construct).err();
    let error = error.map(|e| e.to_string()).unwrap();
    assert!(error.contains("'State'"), "{error}");
}
