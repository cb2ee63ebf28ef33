//! Workers interleaved on one thread, in an order drawn from a seed.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use super::run::Run;
use crate::error::Result;
use crate::exec::{Step, Worker};

/// How long to sleep when no worker can go on.
const NAP: Duration = Duration::from_millis(20);

/// Runs all workers; returns the number of groups that they left open.
pub(super) fn run(run: &Arc<Run>, seed: u64, runtime: &tokio::runtime::Handle) -> Result<u64> {
    let _in_runtime = runtime.enter();
    let mut workers = Vec::with_capacity(run.workers);
    let started = (0..run.workers).try_for_each(|index| {
        workers.push(run.worker(index)?);
        Ok(())
    });
    let driven = started.and_then(|()| drive(run, &mut workers, SplitMix(seed)));
    let teardowns = workers.iter_mut().map(Worker::teardown);
    let torn_down = teardowns.fold(Ok(()), Result::and);
    driven.and(torn_down)?;
    Ok(workers.iter().map(Worker::open_groups).sum())
}

fn drive(run: &Run, workers: &mut [Worker], mut random: SplitMix) -> Result<()> {
    let waker = run.parkers[0].waker();
    let mut context = Context::from_waker(&waker);
    let mut stopped = false;
    // Workers that could not go on when last tried.
    let mut resting: Vec<bool> = vec![false; workers.len()];
    loop {
        if !stopped && run.runner.stop.is_stopped() {
            stopped = true;
            workers.iter_mut().for_each(Worker::stop);
            resting.fill(false);
        }
        let awake: Vec<usize> = (0..workers.len()).filter(|&w| !resting[w]).collect();
        if awake.is_empty() {
            let mut worked = false;
            for worker in workers.iter_mut() {
                worked = worked || worker.step_at_rest(&mut context)? == Step::Worked;
            }
            if !worked {
                run.parkers[0].park(NAP);
            }
            resting.fill(false);
            continue;
        }
        let chosen = awake[random.below(awake.len())];
        match workers[chosen].step(&mut context)? {
            // What one does may give others something to do.
            Step::Worked => resting.fill(false),
            Step::Idle => resting[chosen] = true,
            Step::Done => {
                resting[chosen] = true;
                let mut done = 0;
                for worker in workers.iter_mut() {
                    done += usize::from(worker.step(&mut context)? == Step::Done);
                }
                if done == workers.len() {
                    return Ok(());
                }
                resting.fill(false);
                resting[chosen] = true;
            }
        }
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
