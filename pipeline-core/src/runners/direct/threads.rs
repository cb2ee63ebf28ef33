//! Workers as threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::task::Context;
use std::time::{Duration, Instant};

use super::run::Run;
use crate::error::{Error, Result};
use crate::exec::Step;
use crate::user_code::panic_message;

/// How long an idle worker sleeps before it looks whether it was asked to stop.
const NAP: Duration = Duration::from_millis(20);

/// How long the other workers may take to end when one has failed; then they are left behind.
const GRACE: Duration = Duration::from_secs(5);

/// Runs all workers; returns the number of groups that they left open.
pub(super) fn run(run: &Arc<Run>, runtime: &tokio::runtime::Handle) -> Result<u64> {
    let (sender, ended) = channel();
    for index in 0..run.workers {
        let (shared, sender, runtime) = (Arc::clone(run), sender.clone(), runtime.clone());
        let thread = std::thread::Builder::new().name(format!("pipeline-{index}"));
        let spawned = thread.spawn(move || {
            let _in_runtime = runtime.enter();
            let worked = catch_unwind(AssertUnwindSafe(|| work(&shared, index)));
            let result = worked.unwrap_or_else(|panic| {
                Err(Error::internal(format!(
                    "panic: {}",
                    panic_message(&*panic)
                )))
            });
            if result.is_err() {
                shared.abort();
            }
            // The receiver is gone only when nobody waits any more.
            let _ = sender.send(result);
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
        match ended.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Ok(open)) => {
                open_groups += open;
                running -= 1;
            }
            Ok(Err(error)) => {
                running -= 1;
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
fn work(run: &Run, index: usize) -> Result<u64> {
    let mut worker = run.worker(index)?;
    let parker = &run.parkers[index];
    let waker = parker.waker();
    let mut context = Context::from_waker(&waker);
    let mut stopped = false;
    let result = loop {
        if run.is_aborted() {
            // Another worker tells why.
            break Ok(0);
        }
        if !stopped && run.runner.stop.is_stopped() {
            stopped = true;
            worker.stop();
        }
        match worker.step(&mut context) {
            Ok(Step::Worked) => {}
            Ok(Step::Idle) => parker.park(NAP),
            Ok(Step::Done) => break Ok(worker.open_groups()),
            Err(error) => break Err(error),
        }
    };
    let torn_down = worker.teardown();
    let open_groups = result?;
    torn_down?;
    Ok(open_groups)
}
