//! More than there is memory for: with a limit it goes to disk; without one the job ends, and says
//! what to do, before the system kills it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pipeline_core::prelude::*;

use super::backpressure::peak_memory;
use super::support::Flood;

/// 300 MB.
const RECORDS: u64 = 75_000;
const WIDTH: usize = 4_000;
const KEYS: u64 = 5_000;

/// 180 MB: one record of most keys, and of some another, with which the first comes back.
const KEPT: u64 = 15_000;
const STATES: u64 = 13_500;
const KEPT_WIDTH: usize = 12_000;

const MIB: u64 = 1 << 20;

/// How the records are grouped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Windows {
    /// In one window, a record of each key before the next of any.
    Global,
    /// The same, by a combine that keeps everything, in front of the exchange as well.
    Lifted,
    /// In sessions, a few keys at a time, as visits are.
    Sessions,
}

/// Keeps every value.
#[derive(Clone)]
struct All;

impl CombineFn for All {
    type Input = String;
    type Accumulator = Vec<String>;
    type Output = Vec<String>;

    fn create_accumulator(&self) -> Vec<String> {
        Vec::new()
    }

    fn add_input(&self, all: &mut Vec<String>, value: String) {
        all.push(value);
    }

    fn merge_accumulators(&self, all: &mut Vec<String>, other: Vec<String>) {
        all.extend(other);
    }

    fn extract_output(&self, all: Vec<String>) -> Vec<String> {
        all
    }
}

impl Windows {
    fn key(self, number: u64) -> u64 {
        match self {
            Windows::Global | Windows::Lifted => number % KEYS,
            Windows::Sessions => number / (RECORDS / KEYS),
        }
    }
}

/// Groups the records; returns the number of whole groups, and the sum of all numbers.
fn grouped(runner: &DirectRunner, windows: Windows) -> Result<(u64, u64), Error> {
    let whole = Arc::new(AtomicU64::new(0));
    let sum = Arc::new(AtomicU64::new(0));
    let (counted, summed) = (Arc::clone(&whole), Arc::clone(&sum));
    let pipeline = Pipeline::build(|p| {
        let wide = p
            .read("Read", Flood::new(RECORDS, true))
            .map("Wide", move |n| {
                (windows.key(n), format!("{n} {}", "x".repeat(WIDTH)))
            });
        let windowed = match windows {
            Windows::Global | Windows::Lifted => wide,
            Windows::Sessions => {
                wide.window_into("Visits", Sessions::with_gap(Duration::from_secs(60)))
            }
        };
        let groups = match windows {
            Windows::Lifted => windowed.combine_per_key("Group", All),
            _ => windowed.group_by_key("Group"),
        };
        groups
            .filter("Whole", move |(key, values)| {
                let number = |value: &String| value.split(' ').next().unwrap().parse().unwrap();
                let numbers = values.iter().map(number);
                let of_key = numbers
                    .clone()
                    .filter(|n: &u64| windows.key(*n) == *key)
                    .count() as u64;
                counted.fetch_add(u64::from(of_key == RECORDS / KEYS), Ordering::Relaxed);
                summed.fetch_add(numbers.sum(), Ordering::Relaxed);
                false
            })
            .check("Nothing", |all| assert_eq!(all.len(), 0));
    })?;
    runner.run(&pipeline)?;
    Ok((whole.load(Ordering::Relaxed), sum.load(Ordering::Relaxed)))
}

/// Keeps every value of a key until its input has ended.
#[derive(Clone)]
struct Gather {
    all: BagCell<String>,
    end: EventTimer,
}

impl StatefulDoFn for Gather {
    type Key = u64;
    type Value = String;
    type Outputs = Out<(u64, Vec<String>)>;

    fn process(
        &mut self,
        _: &u64,
        value: String,
        state: &mut StateContext<'_>,
        _: &mut Self::Outputs,
    ) -> Result<(), BoxError> {
        self.all.add(state, value);
        self.end.set(state, Timestamp::END_OF_GLOBAL_WINDOW);
        Ok(())
    }

    fn on_timer(
        &mut self,
        key: &u64,
        _: EventTimer,
        state: &mut StateContext<'_>,
        out: &mut Self::Outputs,
    ) -> Result<(), BoxError> {
        out.emit((*key, self.all.take(state)));
        Ok(())
    }
}

/// Does what [`grouped`] does by a function that keeps state.
fn kept(runner: &DirectRunner) -> Result<(u64, u64), Error> {
    let whole = Arc::new(AtomicU64::new(0));
    let sum = Arc::new(AtomicU64::new(0));
    let (counted, summed) = (Arc::clone(&whole), Arc::clone(&sum));
    let pipeline = Pipeline::build(|p| {
        p.read("Read", Flood::new(KEPT, true))
            .map("Wide", |n| {
                (n % STATES, format!("{n} {}", "x".repeat(KEPT_WIDTH)))
            })
            .par_do_stateful("Gather", |cells| Gather {
                all: cells.bag("all"),
                end: cells.event_timer("end"),
            })
            .filter("Whole", move |(key, values)| {
                let number = |value: &String| value.split(' ').next().unwrap().parse().unwrap();
                let mut numbers: Vec<u64> = values.iter().map(number).collect();
                summed.fetch_add(numbers.iter().sum(), Ordering::Relaxed);
                numbers.sort_unstable();
                let all = (*key..KEPT).step_by(STATES as usize);
                counted.fetch_add(u64::from(all.eq(numbers)), Ordering::Relaxed);
                false
            })
            .check("Nothing", |all| assert_eq!(all.len(), 0));
    })?;
    runner.run(&pipeline)?;
    Ok((whole.load(Ordering::Relaxed), sum.load(Ordering::Relaxed)))
}

#[test]
fn groups_of_300_mb_fit_into_160() {
    fit("groups");
}

#[test]
fn sessions_of_300_mb_fit_into_160() {
    fit("sessions");
}

#[test]
fn accumulators_of_300_mb_fit_into_160() {
    fit("lifted");
}

#[test]
fn states_of_180_mb_fit_into_160() {
    fit("states");
}

fn fit(what: &str) {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "memory::child", "--ignored", "--nocapture"])
        .env("MEMORY_CHILD", what)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    assert!(said.contains("peak "), "the child has not run: {said}");
    println!("{said}");
}

#[test]
#[ignore = "is started by another test, in a process of its own"]
fn child() {
    let Ok(case) = std::env::var("MEMORY_CHILD") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let spill = folder.path().join("spill");
    // What a killed job has left is not there any more.
    std::fs::create_dir_all(&spill).unwrap();
    std::fs::write(spill.join("left"), "by a job that was killed").unwrap();
    let runner = DirectRunner::new().workers(2).memory_limit(160 * MIB);
    let runner = runner.spill_folder(&spill);
    let (came, keys, records) = match case.as_str() {
        "states" => (kept(&runner), STATES, KEPT),
        "sessions" => (grouped(&runner, Windows::Sessions), KEYS, RECORDS),
        "lifted" => (grouped(&runner, Windows::Lifted), KEYS, RECORDS),
        _ => (grouped(&runner, Windows::Global), KEYS, RECORDS),
    };
    assert_eq!(came.unwrap(), (keys, records * (records - 1) / 2));
    let peak = peak_memory();
    println!("peak {} MiB", peak / MIB);
    assert!(peak < 160 * MIB, "{} MiB", peak / MIB);
    assert!(!spill.exists(), "the folder is still there");
}

#[test]
fn without_a_limit_the_job_ends_before_the_system_would_kill_it() {
    type Job = fn(&DirectRunner) -> Result<(u64, u64), Error>;
    let groups: Job = |runner| grouped(runner, Windows::Global);
    for (job, holder) in [(groups, "'Group/Group'"), (kept, "'Gather/Process'")] {
        for runner in [DirectRunner::new().workers(2), DirectRunner::new().seed(7)] {
            let error = job(&runner.machine_memory(30 * MIB)).unwrap_err();
            let error = error.to_string();
            for part in ["out of memory", "of the 30 MiB", holder, "memory_limit"] {
                assert!(error.contains(part), "{part}: {error}");
            }
        }
    }
}
