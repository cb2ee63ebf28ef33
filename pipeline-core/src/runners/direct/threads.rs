//! Workers as threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::task::Context;
use std::time::{Duration, Instant};

use super::run::Run;
use crate::error::{Error, Result};
use crate::exec::{Step, Worker};
use crate::user_code::panic_message;

/// How long an idle worker sleeps before it looks whether it was asked to stop.
const NAP: Duration = Duration::from_millis(20);

/// How long workers, and then each sink's clearing away, may take to end when one worker has
/// failed; then they are left behind.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// What a worker tells.
enum Told {
    /// It has failed; it is told at once, since what follows may hang as well.
    Failed(Error),
    /// It has ended, and left so many groups open.
    Ended(u64),
}

/// Runs all workers; returns the number of groups that they left open.
pub(super) fn run(run: &Arc<Run>, runtime: &tokio::runtime::Handle) -> Result<u64> {
    let (sender, told) = channel();
    for index in 0..run.workers {
        let (shared, sender, runtime) = (Arc::clone(run), sender.clone(), runtime.clone());
        let thread = std::thread::Builder::new().name(format!("pipeline-{index}"));
        let spawned = thread.spawn(move || {
            let _in_runtime = runtime.enter();
            let fail = |error| {
                // The receiver is gone only when nobody waits any more.
                let _ = sender.send(Told::Failed(error));
                shared.abort();
            };
            let worked = catch_unwind(AssertUnwindSafe(|| work(&shared, index, &fail)));
            let open_groups = worked.unwrap_or_else(|panic| {
                let message = panic_message(&*panic);
                fail(Error::internal(format!("panic: {message}")));
                0
            });
            let _ = sender.send(Told::Ended(open_groups));
        });
        if let Err(error) = spawned {
            run.abort();
            return Err(Error::io("starting a worker thread", error));
        }
    }
    drop(sender);
    let (interval, report) = match &run.runner.report {
        Some((interval, report)) => (*interval, Some(report)),
        None => (Duration::from_secs(3600), None),
    };
    let mut next_report = Instant::now() + interval;
    let mut failed: Option<(Error, Instant)> = None;
    let mut open_groups = 0;
    let mut running = run.workers;
    while running > 0 {
        let until = match &failed {
            Some((_, at)) => *at + GRACE,
            None => next_report,
        };
        match told.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Told::Ended(open)) => {
                open_groups += open;
                running -= 1;
            }
            Ok(Told::Failed(error)) => {
                // The first error is the cause; what others meet afterwards follows from it.
                failed.get_or_insert((error, Instant::now()));
            }
            Err(RecvTimeoutError::Timeout) if failed.is_some() => break,
            Err(RecvTimeoutError::Timeout) => {
                if let Some(report) = report {
                    report(&run.metrics.snapshot());
                }
                next_report = Instant::now() + interval;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    match failed {
        Some((error, _)) => Err(error),
        None if running > 0 => Err(Error::internal("a worker vanished")),
        None => Ok(open_groups),
    }
}

/// Drives one worker to its end; returns the number of groups that it left open.
fn work(run: &Run, index: usize, fail: &impl Fn(Error)) -> u64 {
    let mut worker = match run.worker(index) {
        Ok(worker) => worker,
        Err(error) => {
            fail(error);
            return 0;
        }
    };
    let open_groups = match drive(run, index, &mut worker) {
        Ok(open_groups) => open_groups,
        Err(error) => {
            fail(error);
            0
        }
    };
    if let Err(error) = worker.teardown() {
        fail(error);
    }
    open_groups
}

fn drive(run: &Run, index: usize, worker: &mut Worker) -> Result<u64> {
    let parker = &run.parkers[index];
    let waker = parker.waker();
    let mut context = Context::from_waker(&waker);
    let mut stopped = false;
    loop {
        if run.is_aborted() {
            // Another worker tells why.
            return Ok(0);
        }
        if !stopped && run.runner.stop.is_stopped() {
            stopped = true;
            worker.stop();
        }
        match worker.step(&mut context)? {
            Step::Worked => {}
            Step::Idle => parker.park(NAP),
            Step::Done => return Ok(worker.open_groups()),
        }
    }
}
