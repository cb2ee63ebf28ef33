//! Workers interleaved on one thread, in an order drawn from a seed.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use super::epochs::Epochs;
use super::rest::{Phase, Then};
use super::run::{Ended, Run};
use crate::error::{Error, Result};
use crate::exec::{Step, Worker};

/// How long to sleep when no worker can go on.
const NAP: Duration = Duration::from_millis(20);

/// Once in so many steps a snapshot is taken, on average.
const STEPS_PER_SNAPSHOT: usize = 50;

/// Runs all workers.
pub(super) fn run(run: &Arc<Run>, seed: u64, runtime: &tokio::runtime::Handle) -> Result<Ended> {
    let _in_runtime = runtime.enter();
    let mut workers = Vec::with_capacity(run.workers);
    let started = (0..run.workers).try_for_each(|index| {
        workers.push(run.worker(index)?);
        Ok::<(), Error>(())
    });
    let snapshots = run.runner.snapshots.as_ref();
    let epochs = snapshots.map(|snapshots| Epochs::new(run, snapshots, runtime));
    let driven = started.and_then(|()| {
        let mut driver = Driver {
            run,
            resting: vec![false; workers.len()],
            workers: &mut workers,
            random: SplitMix(seed),
            epochs,
            suspended: false,
        };
        driver.drive()?;
        let counts = driver.epochs.map(|epochs| epochs.counts());
        Ok((counts, driver.suspended))
    });
    let teardowns = workers.iter_mut().map(Worker::teardown);
    let torn_down = teardowns.fold(Ok(()), Result::and);
    let (snapshots, suspended) = driven?;
    torn_down?;
    Ok(Ended {
        open_groups: workers.iter().map(Worker::open_groups).sum(),
        snapshots,
        suspended,
    })
}

struct Driver<'a> {
    run: &'a Run,
    workers: &'a mut [Worker],
    random: SplitMix,
    /// Workers that could not go on when last tried.
    resting: Vec<bool>,
    epochs: Option<Epochs>,
    suspended: bool,
}

impl Driver<'_> {
    fn drive(&mut self) -> Result<()> {
        let waker = self.run.parkers[0].waker();
        let mut context = Context::from_waker(&waker);
        let (mut stopped, mut draining) = (false, false);
        loop {
            self.run.why_given_up()?;
            let stop = &self.run.runner.stop;
            if !stopped && stop.is_stopped() && self.epochs.is_none() {
                stopped = true;
                self.workers.iter_mut().for_each(Worker::stop);
                self.resting.fill(false);
            }
            if !draining && stop.is_draining() {
                draining = true;
                self.workers.iter_mut().for_each(Worker::drain);
                self.resting.fill(false);
            }
            self.take_snapshot(&mut context)?;
            let awake = self.awake();
            if awake.is_empty() {
                let mut worked = false;
                for worker in self.workers.iter_mut() {
                    worked = worked || worker.step_at_rest(&mut context)? == Step::Worked;
                }
                if !worked {
                    self.run.parkers[0].park(NAP);
                }
                self.resting.fill(false);
                continue;
            }
            let chosen = awake[self.random.below(awake.len())];
            match self.workers[chosen].step(&mut context)? {
                // What one does may give others something to do.
                Step::Worked => self.resting.fill(false),
                Step::Idle => self.resting[chosen] = true,
                Step::Done => {
                    self.resting[chosen] = true;
                    let mut done = 0;
                    for worker in self.workers.iter_mut() {
                        done += usize::from(worker.step(&mut context)? == Step::Done);
                    }
                    if done == self.workers.len() {
                        return Ok(());
                    }
                    self.resting.fill(false);
                    self.resting[chosen] = true;
                }
            }
        }
    }

    fn awake(&self) -> Vec<usize> {
        let workers = 0..self.workers.len();
        workers.filter(|&w| !self.resting[w]).collect()
    }

    /// Takes a snapshot if the seed says so, or the run ends.
    fn take_snapshot(&mut self, context: &mut Context<'_>) -> Result<()> {
        let (Some(epochs), Some(rest)) = (&mut self.epochs, &self.run.rest) else {
            return Ok(());
        };
        let drained = self.workers.iter().all(Worker::is_drained);
        // Where nothing goes on, time does: flow control may wait for what a snapshot lets go.
        let idle = self.resting.iter().all(|resting| *resting) && epochs.has_changed();
        let later = !idle && self.random.below(STEPS_PER_SNAPSHOT) > 0;
        let then = match epochs.due(drained) {
            Some(Then::GoOn) | None if later => return Ok(()),
            // The clock has no say: it would not be the same run again.
            None if epochs.is_over() => return Ok(()),
            then => then.unwrap_or(Then::GoOn),
        };
        let epoch = epochs.begin(then);
        rest.pause(epoch, then);
        self.workers.iter().for_each(Worker::pause);
        self.resting.fill(false);
        while rest.phase().0 == Phase::Pausing {
            let chosen = self.random.below(self.workers.len());
            // Now and then one is much faster than the others.
            let in_haste = self.random.below(2) == 0;
            rest.moves(chosen);
            let worker = &mut self.workers[chosen];
            let mut step = worker.step(context)?;
            while in_haste && step == Step::Worked {
                step = worker.step(context)?;
            }
            if step != Step::Worked {
                if worker.is_quiet() {
                    rest.rests(chosen);
                } else {
                    self.run.parkers[0].park(Duration::from_millis(1));
                }
            }
        }
        for worker in self.workers.iter() {
            while worker.poll_prepare(context, epoch)?.is_pending() {
                self.run.parkers[0].park(NAP);
            }
        }
        if let Some(epochs) = &mut self.epochs {
            for worker in self.workers.iter() {
                worker.save(&mut |frame| epochs.frame(frame))?;
                epochs.saved()?;
            }
        }
        self.suspended = then == Then::Suspend;
        for worker in self.workers.iter_mut() {
            if self.suspended {
                worker.stop();
            }
            worker.resume(then != Then::GoOn);
        }
        rest.resume();
        Ok(())
    }
}

/// SplitMix64 (Steele, Lea, Flood, 2014): the same numbers for a seed, in every version.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}
