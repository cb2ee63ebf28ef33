//! The embedded engine: a pipeline on the cores of this process.
//!
//! Each worker is a thread with its own copy of every operator; elements meet by key through
//! exchanges. Two schedulers drive the same workers: threads, and, for tests, one thread that
//! interleaves them in an order drawn from a seed.

mod parker;
mod result;
mod run;
mod runner;
mod seeded;
mod threads;

pub use result::{End, RunResult};
pub use runner::{DirectRunner, StopHandle};
