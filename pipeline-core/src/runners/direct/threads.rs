//! Workers as threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::task::Context;
use std::time::{Duration, Instant};

use super::epochs::Epochs;
use super::rest::{Phase, Then};
use super::run::{Ended, Run};
use crate::error::{Error, Result};
use crate::exec::{Step, Worker};
use crate::graph::Frame;
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
    /// It has nothing more to do but to close (where snapshots are taken).
    Drained,
    /// A part of its state.
    Saved(Frame),
    /// It has told all of its state.
    SavedAll,
    /// It has ended, and left so many groups open.
    Ended(u64),
}

/// What is told and not heard yet, at most: a worker that saves its state does not run ahead of
/// the disk.
const TOLD: usize = 64;

/// How often the time for a snapshot is looked at.
const TICK: Duration = Duration::from_millis(5);

/// Runs all workers.
pub(super) fn run(run: &Arc<Run>, runtime: &tokio::runtime::Handle) -> Result<Ended> {
    let (sender, told) = sync_channel(TOLD);
    let mut threads = Vec::with_capacity(run.workers);
    for index in 0..run.workers {
        let (shared, sender, runtime) = (Arc::clone(run), sender.clone(), runtime.clone());
        let thread = std::thread::Builder::new().name(format!("pipeline-{index}"));
        let spawned = thread.spawn(move || {
            let _in_runtime = runtime.enter();
            let tell = |told| {
                // The receiver is gone only when nobody waits any more.
                let _ = sender.send(told);
            };
            let fail = |error| {
                tell(Told::Failed(error));
                shared.abort();
            };
            let worked = catch_unwind(AssertUnwindSafe(|| work(&shared, index, &tell, &fail)));
            let open_groups = worked.unwrap_or_else(|panic| {
                let message = panic_message(&*panic);
                fail(Error::internal(format!("panic: {message}")));
                0
            });
            tell(Told::Ended(open_groups));
        });
        match spawned {
            Ok(spawned) => threads.push(spawned),
            Err(error) => {
                run.abort();
                return Err(Error::io("starting a worker thread", error));
            }
        }
    }
    drop(sender);
    let (ended, all_ended) = Conductor::new(run, runtime).hear(&told);
    if all_ended {
        // What they hold (files, locks) is free when the run has ended.
        for thread in threads {
            // A panic was caught in the thread, and told.
            let _ = thread.join();
        }
    }
    ended
}

/// Hears what the workers tell, and has snapshots taken.
struct Conductor<'a> {
    run: &'a Run,
    epochs: Option<Epochs>,
    failed: Option<(Error, Instant)>,
    running: usize,
    drained: usize,
    ended: Ended,
    next_report: Instant,
}

impl<'a> Conductor<'a> {
    fn new(run: &'a Arc<Run>, runtime: &tokio::runtime::Handle) -> Self {
        let snapshots = run.runner.snapshots.as_ref();
        Conductor {
            run,
            epochs: snapshots.map(|snapshots| Epochs::new(run, snapshots, runtime)),
            failed: None,
            running: run.workers,
            drained: 0,
            ended: Ended::default(),
            next_report: Instant::now(),
        }
    }

    /// Returns how the run ended, and whether all workers have.
    fn hear(mut self, told: &Receiver<Told>) -> (Result<Ended>, bool) {
        let (interval, report) = match &self.run.runner.report {
            Some((interval, report)) => (*interval, Some(report)),
            None => (Duration::from_secs(3600), None),
        };
        self.next_report += interval;
        while self.running > 0 {
            let mut until = match &self.failed {
                Some((_, at)) => *at + GRACE,
                None => self.next_report,
            };
            if self.epochs.is_some() && self.failed.is_none() {
                until = until.min(Instant::now() + TICK);
            }
            match told.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(told) => {
                    if let Err(error) = self.take(told) {
                        self.fail(error);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    if self
                        .failed
                        .as_ref()
                        .is_some_and(|(_, at)| at.elapsed() >= GRACE)
                    {
                        break;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.failed.is_none() {
                self.look();
                if Instant::now() >= self.next_report {
                    if let Some(report) = report {
                        report(&self.run.metrics.snapshot());
                    }
                    self.next_report = Instant::now() + interval;
                }
            }
        }
        self.ended.snapshots = self.epochs.map(|epochs| epochs.counts());
        let ended = match self.failed {
            Some((error, _)) => Err(error),
            None if self.running > 0 => Err(Error::internal("a worker vanished")),
            None => Ok(self.ended),
        };
        (ended, self.running == 0)
    }

    fn take(&mut self, told: Told) -> Result<()> {
        match (told, &mut self.epochs) {
            // The first error is the cause; what others meet afterwards follows from it.
            (Told::Failed(error), _) => {
                self.failed.get_or_insert((error, Instant::now()));
            }
            (Told::Ended(open), _) => {
                self.ended.open_groups += open;
                self.running -= 1;
            }
            (Told::Drained, _) => self.drained += 1,
            (Told::Saved(frame), Some(epochs)) if self.failed.is_none() => epochs.frame(frame)?,
            (Told::SavedAll, Some(epochs)) if self.failed.is_none() => {
                if let Some(then) = epochs.saved()? {
                    self.ended.suspended = then == Then::Suspend;
                    if let Some(rest) = &self.run.rest {
                        rest.resume();
                    }
                }
            }
            (Told::Saved(_) | Told::SavedAll, _) => {}
        }
        Ok(())
    }

    /// Has a snapshot taken if it is time.
    fn look(&mut self) {
        let (Some(epochs), Some(rest)) = (&mut self.epochs, &self.run.rest) else {
            return;
        };
        if let Some(then) = epochs.due(self.drained == self.run.workers) {
            let epoch = epochs.begin(then);
            rest.pause(epoch, then);
        }
    }

    fn fail(&mut self, error: Error) {
        self.failed.get_or_insert((error, Instant::now()));
        self.run.abort();
    }
}

/// Drives one worker to its end; returns the number of groups that it left open.
fn work(run: &Run, index: usize, tell: &impl Fn(Told), fail: &impl Fn(Error)) -> u64 {
    let mut worker = match run.worker(index) {
        Ok(worker) => worker,
        Err(error) => {
            fail(error);
            return 0;
        }
    };
    let open_groups = match drive(run, index, &mut worker, tell) {
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

fn drive(run: &Run, index: usize, worker: &mut Worker, tell: &impl Fn(Told)) -> Result<u64> {
    let parker = &run.parkers[index];
    let waker = parker.waker();
    let mut context = Context::from_waker(&waker);
    let (mut stopped, mut draining, mut drained) = (false, false, false);
    loop {
        if run.is_aborted() {
            // Another worker tells why, or the first that gets here.
            return run.why_given_up().map(|()| 0);
        }
        let mut pausing = false;
        if let Some(rest) = &run.rest {
            match rest.phase() {
                (Phase::Running, ..) => {}
                (Phase::Pausing, ..) => {
                    worker.pause();
                    pausing = rest.moves(index);
                    if !pausing {
                        continue;
                    }
                }
                (Phase::Cut, epoch, then) => {
                    if !save(run, index, worker, epoch, tell)? {
                        return run.why_given_up().map(|()| 0);
                    }
                    if then == Then::Suspend {
                        worker.stop();
                    }
                    worker.resume(then != Then::GoOn);
                    continue;
                }
            }
        } else if !stopped && run.runner.stop.is_stopped() {
            stopped = true;
            worker.stop();
        }
        if !draining && run.runner.stop.is_draining() {
            draining = true;
            worker.drain();
        }
        match worker.step(&mut context)? {
            Step::Worked => continue,
            Step::Done => return Ok(worker.open_groups()),
            Step::Idle => {}
        }
        if let Some(rest) = &run.rest {
            if pausing && worker.is_quiet() {
                rest.rests(index);
            } else if !drained && worker.is_drained() {
                drained = true;
                tell(Told::Drained);
            }
        }
        parker.park(NAP);
    }
}

/// Tells what must survive, and waits until it is committed; returns whether it was.
fn save(
    run: &Run,
    index: usize,
    worker: &Worker,
    epoch: u64,
    tell: &impl Fn(Told),
) -> Result<bool> {
    let parker = &run.parkers[index];
    let waker = parker.waker();
    let mut context = Context::from_waker(&waker);
    while worker.poll_prepare(&mut context, epoch)?.is_pending() {
        if run.is_aborted() {
            return Ok(false);
        }
        parker.park(NAP);
    }
    worker.save(&mut |frame| {
        tell(Told::Saved(frame));
        Ok(())
    })?;
    tell(Told::SavedAll);
    loop {
        match &run.rest {
            _ if run.is_aborted() => return Ok(false),
            Some(rest) if rest.phase().0 == Phase::Cut => parker.park(NAP),
            _ => return Ok(true),
        }
    }
}
