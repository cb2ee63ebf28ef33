//! How all workers come to rest at once, so that a snapshot can be taken.
//!
//! The world rests when every worker has nothing to do, nothing under way, and no exchange message
//! is between two of them. A worker that rests neither sends nor takes anything: before every step
//! it says that it moves. So the last one to rest, which looks under the same lock at the others
//! and at the count of messages, knows that nothing can happen any more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// What all workers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// They work.
    Running,
    /// They read nothing new, and bring to an end what is under way.
    Pausing,
    /// Everything rests: they save what they have, and wait.
    Cut,
}

/// What follows a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The run goes on.
    GoOn,
    /// Everything was read and done: the run ends.
    Finish,
    /// The run was stopped: it ends, to be resumed.
    Suspend,
}

/// The workers' common state of motion.
pub(super) struct Rest {
    state: Mutex<State>,
    /// Exchange messages that were made and not yet taken in.
    messages: Arc<AtomicUsize>,
    wakers: Arc<Vec<Waker>>,
}

struct State {
    phase: Phase,
    epoch: u64,
    then: Then,
    resting: Vec<bool>,
}

impl Rest {
    pub(super) fn new(messages: &Arc<AtomicUsize>, wakers: &Arc<Vec<Waker>>) -> Self {
        Rest {
            state: Mutex::new(State {
                phase: Phase::Running,
                epoch: 0,
                then: Then::GoOn,
                resting: vec![false; wakers.len()],
            }),
            messages: Arc::clone(messages),
            wakers: Arc::clone(wakers),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.wakers.iter().for_each(Waker::wake_by_ref);
    }

    /// Returns the phase, with the epoch that is being ended and what follows it.
    pub(super) fn phase(&self) -> (Phase, u64, Then) {
        let state = self.lock();
        (state.phase, state.epoch, state.then)
    }

    /// Has the workers come to rest for the end of an epoch.
    pub(super) fn pause(&self, epoch: u64, then: Then) {
        let mut state = self.lock();
        state.resting.fill(false);
        (state.phase, state.epoch, state.then) = (Phase::Pausing, epoch, then);
        drop(state);
        self.wake();
    }

    /// Says that a worker takes a step; returns whether it may.
    pub(super) fn moves(&self, worker: usize) -> bool {
        let mut state = self.lock();
        state.resting[worker] = false;
        state.phase != Phase::Cut
    }

    /// Says that a worker has nothing to do and nothing under way.
    pub(super) fn rests(&self, worker: usize) {
        let mut state = self.lock();
        state.resting[worker] = true;
        let at_rest = state.resting.iter().all(|resting| *resting);
        if at_rest && self.messages.load(Ordering::SeqCst) == 0 && state.phase == Phase::Pausing {
            state.phase = Phase::Cut;
            drop(state);
            self.wake();
        }
    }

    /// Has the workers go on.
    pub(super) fn resume(&self) {
        self.lock().phase = Phase::Running;
        self.wake();
    }
}
