//! What several tests use.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::testing::Timed;

pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What came out of a collection.
pub type Kept<T> = Arc<Mutex<Vec<Timed<T>>>>;

/// Keeps what comes out of a collection, in the order in which one worker wrote it.
pub fn keep<T: Element>(collection: &PCollection<T>, name: &str, kept: &Kept<T>) {
    let kept = Arc::clone(kept);
    collection.check_timed(name, move |all| *kept.lock().unwrap() = all);
}

pub fn take<T>(kept: &Kept<T>) -> Vec<Timed<T>> {
    std::mem::take(&mut *kept.lock().unwrap())
}

/// Runs the pipeline that `construct` makes of one collection; returns what came out.
pub fn run<T: Element>(
    runner: &DirectRunner,
    construct: impl FnOnce(&Pipeline) -> PCollection<T>,
) -> Result<(Vec<Timed<T>>, RunResult), Error> {
    let kept = Kept::default();
    let pipeline = Pipeline::build(|p| keep(&construct(p), "Keep", &kept))?;
    let result = runner.run(&pipeline)?;
    Ok((take(&kept), result))
}

/// Runs it with one worker and a seed.
pub fn run_seeded<T: Element>(
    construct: impl FnOnce(&Pipeline) -> PCollection<T>,
) -> (Vec<Timed<T>>, RunResult) {
    run(&DirectRunner::new().workers(1).seed(1), construct).unwrap()
}

/// Returns the error with which it ends.
pub fn fails<T: Element>(construct: impl FnOnce(&Pipeline) -> PCollection<T>) -> String {
    let runner = DirectRunner::new().workers(2).seed(1);
    match run(&runner, construct) {
        Ok(_) => panic!("the run should have failed"),
        Err(error) => error.to_string(),
    }
}
