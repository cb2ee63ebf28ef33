//! The embedded engine: a pipeline on the cores of this process.
//!
//! Each worker is a thread with its own copy of every operator; elements meet by key through
//! exchanges. Two schedulers drive the same workers: threads, and, for tests, one thread that
//! interleaves them in an order drawn from a seed.
//!
//! # What waits between a source and its sinks
//! A worker takes in nothing, from a source or another worker, while something behind it is full.
//! So a source that could give more is read only as far as there is room. With `W` workers and
//! batches of `B` records ([`Sink::max_batch`](crate::sink::Sink::max_batch), 1,000), records that
//! have been read and not written are at most, where each comes out as one record:
//! - in front of each writer `5 B − 1` (three batches that wait, one that gathers, one that is
//!   being written), and what one step brought before the queue of four was found full: a read of
//!   1,024 records, or a message;
//! - at each exchange, per worker, a mailbox of 16 messages, and a buffer or a message to each of
//!   `W` workers; a message has 1,024 + 1,024 records at most.
//!
//! With two workers that is 12,046 records without an exchange and 87,822 with one. A transform
//! that makes many records of one adds what it makes of one step, a grouping a batch, or four at the
//! end of a bundle: windows that hold more are let out as there is room. Readers must keep to
//! [`ReadBatch::room`](crate::source::ReadBatch::room).

mod epochs;
mod memory;
mod moments;
mod parker;
mod rest;
mod result;
mod run;
mod runner;
mod seeded;
mod snapshots;
mod threads;

pub use epochs::SnapshotCounts;
pub use moments::{Disorder, Moment};
pub use result::{End, RunResult};
pub use runner::{DirectRunner, StopHandle};
pub use snapshots::{Beside, Resumed, Snapshots};
