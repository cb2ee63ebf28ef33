//! Counts per key and window in a stream with event times, out of order by up to a second.

mod by_hand;
mod events;
mod ours;

use std::time::Duration;

use pipeline_core::prelude::*;

use crate::measure::{Row, Task};

pub const FIXED: [Row; 3] = [
    Row {
        name: "fixed by hand, 1 thread",
        run: by_hand::fixed,
    },
    Row {
        name: "fixed ours, 1 worker",
        run: |task| ours::run(task, 1, FixedWindows::of(WINDOW)),
    },
    Row {
        name: "fixed ours, 2 workers",
        run: |task| ours::run(task, 2, FixedWindows::of(WINDOW)),
    },
];

pub const SESSIONS: [Row; 3] = [
    Row {
        name: "sessions by hand, sorted",
        run: by_hand::sessions,
    },
    Row {
        name: "sessions ours, 1 worker",
        run: |task| ours::run(task, 1, Sessions::with_gap(GAP)),
    },
    Row {
        name: "sessions ours, 2 workers",
        run: |task| ours::run(task, 2, Sessions::with_gap(GAP)),
    },
];

const WINDOW: Duration = Duration::from_secs(60);
const GAP: Duration = Duration::from_secs(10);

/// An element every millisecond.
fn elements(task: &Task<'_>) -> u64 {
    4_000_000 / task.divisor
}

/// A key, the end of a window in milliseconds, and how often the key came in it.
type Count = (u64, i64, u64);
