//! User code that does not come back once another part has failed: `run` returns all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pipeline_core::prelude::*;

use super::support::{Flood, Slow, wait_until};

/// Waits until the test is over, as code that hangs would for ever.
fn hang(release: &AtomicBool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !release.load(Ordering::SeqCst) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn assert_ends(pipeline: &pipeline_core::BuiltPipeline, release: &AtomicBool, cause: &str) {
    let started = Instant::now();
    let error = DirectRunner::new().workers(2).run(pipeline).unwrap_err();
    let took = started.elapsed();
    release.store(true, Ordering::SeqCst);
    assert!(error.to_string().contains(cause), "{error}");
    // Five seconds of grace, and some for a machine that is busy.
    assert!(took < Duration::from_secs(9), "{took:?}");
}

#[test]
fn a_worker_stuck_in_process() {
    let release = Arc::new(AtomicBool::new(false));
    let stuck = Arc::new(AtomicU64::new(0));
    let flag = Arc::clone(&release);
    let pipeline = Pipeline::build(|p| {
        let _none = p.read("Read", Flood::new(2, false)).map("Stick", move |n| {
            if n == 0 {
                stuck.store(1, Ordering::SeqCst);
                hang(&flag);
            } else {
                wait_until("the other worker hangs", || {
                    stuck.load(Ordering::SeqCst) == 1
                });
                panic!("boom");
            }
            n
        });
    })
    .unwrap();
    assert_ends(
        &pipeline,
        &release,
        "map failed in transform 'Stick' on element 1: panic: boom",
    );
}

/// A DoFn that fails, and then hangs in its teardown.
#[derive(Clone)]
struct Clinging(Arc<AtomicBool>);

impl DoFn for Clinging {
    type Input = u64;
    type Outputs = Out<u64>;

    fn process(&mut self, n: u64, _: &ElementContext, _: &mut Out<u64>) -> Result<(), BoxError> {
        Err(format!("no {n}").into())
    }

    fn teardown(&mut self) -> Result<(), BoxError> {
        hang(&self.0);
        Ok(())
    }
}

#[test]
fn a_teardown_that_hangs() {
    let release = Arc::new(AtomicBool::new(false));
    let do_fn = Clinging(Arc::clone(&release));
    let pipeline = Pipeline::build(|p| {
        let _none = p.create("Create", vec![7]).par_do("Cling", do_fn);
    })
    .unwrap();
    assert_ends(
        &pipeline,
        &release,
        "process failed in transform 'Cling' on element 7: no 7",
    );
}

/// A sink that hangs when it should clear away.
struct Sticky(Arc<AtomicBool>);

impl Sink for Sticky {
    type Item = u64;
    type Writer = Slow<u64>;

    fn open(&self, _: usize) -> Result<Slow<u64>, Error> {
        Ok(Slow::new(Duration::ZERO))
    }

    async fn finish(&self, _: bool) -> Result<(), Error> {
        hang(&self.0);
        Ok(())
    }
}

#[test]
fn a_finish_that_hangs() {
    let release = Arc::new(AtomicBool::new(false));
    let sink = Sticky(Arc::clone(&release));
    let pipeline = Pipeline::build(|p| {
        let numbers = p.create("Create", vec![7]);
        numbers
            .map("Fail", |n: u64| -> u64 { panic!("no {n}") })
            .write("Write", sink);
    })
    .unwrap();
    assert_ends(
        &pipeline,
        &release,
        "map failed in transform 'Fail' on element 7: panic: no 7",
    );
}
