//! A GroupByKey that does not fit into memory, against one of a quarter of it that does.
//!
//! `cargo bench -p pipeline-tests --bench compare -- --spill` prints a table. Each line is a process of
//! its own. In one window, the values of a key come from one end of the input to the other, so that
//! every key is in every part that goes to disk. Sessions are visits: a thousand keys at a time,
//! each with all of its values; and scattered as above, which is the worst for them, since every
//! value brings its key back from disk. All windows fire at the end.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pipeline_core::prelude::*;

use crate::measure::{self, Measured, Row, Task, timed};

type Failed = Box<dyn Error>;

/// The length of a value, and how many a key has.
const VALUE: u64 = 1_000;
const PER_KEY: u64 = 20;

const GB: u64 = 1_000_000_000;
const LIMIT: u64 = 512 << 20;

/// The keys that are visiting at the same time.
const VISITORS: u64 = 1_000;

/// How the values of keys follow each other, and how they are grouped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Each key once before any comes again, in one window.
    Window,
    /// As before, in sessions.
    Scattered,
    /// Keys that come for a while, in sessions.
    Visits,
}

/// What is measured.
pub const ROWS: [Row; 7] = [
    Row {
        name: "1 GB, in memory",
        run: |task| group(task, GB, Order::Window, None),
    },
    Row {
        name: "1 GB, limit 512 MiB",
        run: |task| group(task, GB, Order::Window, Some(LIMIT)),
    },
    Row {
        name: "4 GB, limit 512 MiB",
        run: |task| group(task, 4 * GB, Order::Window, Some(LIMIT)),
    },
    Row {
        name: "visits, 1 GB, in memory",
        run: |task| group(task, GB, Order::Visits, None),
    },
    Row {
        name: "visits, 1 GB, limit 512 MiB",
        run: |task| group(task, GB, Order::Visits, Some(LIMIT)),
    },
    Row {
        name: "visits, 4 GB, limit 512 MiB",
        run: |task| group(task, 4 * GB, Order::Visits, Some(LIMIT)),
    },
    Row {
        name: "scattered visits, 1 GB, limit 512 MiB",
        run: |task| group(task, GB, Order::Scattered, Some(LIMIT)),
    },
];

/// Gives so many pairs, a millisecond apart.
#[derive(Clone, Copy)]
struct Pairs {
    total: u64,
    order: Order,
}

impl Pairs {
    fn key(self, number: u64) -> u64 {
        match self.order {
            Order::Window | Order::Scattered => number % (self.total / PER_KEY),
            Order::Visits => {
                let at_once = VISITORS.min(self.total / PER_KEY);
                number / (at_once * PER_KEY) * at_once + number % at_once
            }
        }
    }
}

impl Source for Pairs {
    type Item = (u64, String);
    type Split = (u64, u64);
    type Ack = ();
    type Reader = PairsReader;

    fn is_bounded(&self) -> bool {
        true
    }

    fn split(&self, desired: usize) -> Result<Vec<(u64, u64)>, pipeline_core::Error> {
        let desired = desired as u64;
        let part = |n| (self.total * n / desired, self.total * (n + 1) / desired);
        Ok((0..desired).map(part).collect())
    }

    fn open(
        &self,
        (next, end): (u64, u64),
        _: &ReadContext,
    ) -> Result<PairsReader, pipeline_core::Error> {
        let pairs = *self;
        Ok(PairsReader { next, end, pairs })
    }
}

struct PairsReader {
    next: u64,
    end: u64,
    pairs: Pairs,
}

impl Reader<(u64, String), ()> for PairsReader {
    async fn read(
        &mut self,
        batch: &mut ReadBatch<(u64, String), ()>,
    ) -> Result<ReadStatus, pipeline_core::Error> {
        let end = self.end.min(self.next + batch.room() as u64);
        for number in self.next..end {
            let width = VALUE as usize;
            let value = format!("{number:0>width$}");
            let time = Timestamp::from_millis(number as i64);
            batch.push((self.pairs.key(number), value), time);
        }
        self.next = end;
        Ok(match end == self.end {
            true => ReadStatus::Ended,
            false => ReadStatus::More,
        })
    }

    fn watermark(&self) -> Timestamp {
        Timestamp::MIN
    }
}

fn group(
    task: &Task<'_>,
    bytes: u64,
    order: Order,
    limit: Option<u64>,
) -> Result<Measured, Failed> {
    let keys = bytes / task.divisor / VALUE / PER_KEY;
    let total = keys * PER_KEY;
    let groups = Arc::new(AtomicU64::new(0));
    let sum = Arc::new(AtomicU64::new(0));
    let pairs = Pairs { total, order };
    let (counted, summed) = (Arc::clone(&groups), Arc::clone(&sum));
    let pipeline = Pipeline::build(|p| {
        let read = p.read("Pairs", pairs);
        let windowed = match order {
            Order::Window => read,
            _ => read.window_into("Visits", Sessions::with_gap(Duration::from_secs(3600))),
        };
        windowed
            .group_by_key("Group")
            .map("Sum", move |(key, values): (u64, Vec<String>)| {
                let numbers = values.iter().filter_map(|value| value.parse::<u64>().ok());
                let of_key = numbers
                    .clone()
                    .filter(|number| pairs.key(*number) == key)
                    .count() as u64;
                counted.fetch_add(u64::from(of_key == PER_KEY), Ordering::Relaxed);
                summed.fetch_add(numbers.sum(), Ordering::Relaxed);
                key
            })
            .filter("None", |_| false)
            .check("Nothing", |all| assert_eq!(all.len(), 0));
    })?;
    let folder = tempfile::tempdir_in(task.folder)?;
    let mut runner = DirectRunner::new().spill_folder(folder.path().join("spill"));
    if let Some(limit) = limit {
        runner = runner.memory_limit(limit);
    }
    let (_, cost) = timed(|| runner.run(&pipeline))?;
    let (groups, sum) = (groups.load(Ordering::Relaxed), sum.load(Ordering::Relaxed));
    if (groups, sum) != (keys, total * (total - 1) / 2) {
        return Err(format!("{groups} whole groups of {keys}, with the sum {sum}").into());
    }
    Ok(Measured {
        cost,
        elements: total,
        digest: sum,
    })
}

/// Prints the table.
pub fn run(folder: &Path, small: bool) -> Result<(), Failed> {
    println!("values of {VALUE} bytes, {PER_KEY} of a key, grouped");
    println!(
        "{:<38} {:>10} {:>8} {:>8} {:>9} {:>10}",
        "", "pairs", "wall s", "CPU s", "peak MiB", "pairs/s"
    );
    for row in &ROWS {
        let sample = measure::in_child(row, folder, small)?;
        let seconds = |micros: u64| micros as f64 / 1e6;
        println!(
            "{:<38} {:>10} {:>8.1} {:>8.1} {:>9} {:>10.0}",
            row.name,
            sample.elements,
            seconds(sample.wall_micros),
            seconds(sample.cpu_micros),
            sample.peak_kib >> 10,
            sample.elements as f64 / seconds(sample.wall_micros),
        );
    }
    Ok(())
}
