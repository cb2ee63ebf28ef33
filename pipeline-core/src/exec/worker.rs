//! One worker: it polls what brings elements in, ends bundles, and so moves progress along.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::chain::{Link, lower, teardown};
use crate::error::Result;
use crate::event_log::Event;
use crate::graph::{
    Frame, Graph, NodeState, Polled, Progress, SavedFrames, StateOut, WorkerContext,
};
use crate::user_code::at_transform;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something; there may be more at once.
    Worked,
    /// Nothing: the worker may sleep until it is woken.
    Idle,
    /// Everything is closed and committed.
    Done,
}

/// The operators of one worker, in topological order, with the progress of their outputs.
pub(crate) struct Worker {
    links: Vec<Link>,
    progress: Vec<Progress>,
    /// Something has happened since the last end of a bundle.
    in_bundle: bool,
    context: WorkerContext,
}

impl Worker {
    pub(crate) fn new(graph: &Graph, context: WorkerContext) -> Result<Self> {
        let links = lower(graph, &context)?;
        if let Some(frames) = &context.epochs.restored {
            let loaded = load(&links, frames);
            if loaded.is_err() {
                // The first error tells why; one of a teardown after it adds nothing.
                let _ = teardown(&links);
            }
            loaded?;
        }
        context.bundle.next();
        Ok(Worker {
            progress: vec![Progress::START; links.len()],
            links,
            // The first end of a bundle tells everybody of inputs that are empty.
            in_bundle: true,
            context,
        })
    }

    /// Takes in one batch at most, or ends the bundle.
    ///
    /// What is deepest goes first, so that work leaves the pipeline before more comes in; nothing
    /// is polled that could push into an operator that is blocked.
    pub(crate) fn step(&mut self, waker: &mut Context<'_>) -> Result<Step> {
        let full = match self.context.settings.max_bundle {
            Some(most) => self.context.bundle.elements() >= most as u64,
            None => false,
        };
        if full {
            self.end_bundle()?;
            return Ok(Step::Worked);
        }
        let mut room = true;
        for link in self.links.iter().rev() {
            let Some(operator) = &link.operator else {
                continue;
            };
            let poll = || operator.borrow_mut().poll(waker, room);
            let Polled { worked, blocked } = at_transform(&link.path, "taking in or out", poll)?;
            if worked {
                self.in_bundle = true;
                return Ok(Step::Worked);
            }
            room &= !blocked;
        }
        if self.in_bundle {
            self.end_bundle()?;
            return Ok(Step::Worked);
        }
        if self.is_done() {
            return Ok(Step::Done);
        }
        Ok(Step::Idle)
    }

    /// Takes a step, in which a source that waits for rest may read.
    pub(crate) fn step_at_rest(&mut self, waker: &mut Context<'_>) -> Result<Step> {
        self.context.at_rest.set(true);
        let step = self.step(waker);
        self.context.at_rest.set(false);
        step
    }

    /// Ends the bundle: in topological order, each operator is told the progress of its inputs,
    /// emits what it holds back, and tells its own.
    fn end_bundle(&mut self) -> Result<()> {
        for node in 0..self.links.len() {
            let Link {
                path,
                operator,
                producers,
            } = &self.links[node];
            let inputs = producers.iter().map(|&p| self.progress[p]);
            let input = inputs.fold(Progress::ENDED, Progress::meet);
            self.progress[node] = match operator {
                Some(operator) => at_transform(path, "the end of a bundle", || {
                    operator.borrow_mut().end_bundle(input)
                })?,
                None => input,
            };
        }
        if let Some(log) = &self.context.event_log {
            log.record(Event::EndedBundle {
                worker: self.context.index,
            });
        }
        self.context.bundle.next();
        self.in_bundle = false;
        Ok(())
    }

    /// Tells whether nothing more will come of this worker but what writers do when they close.
    pub(crate) fn is_drained(&self) -> bool {
        !self.in_bundle && self.progress.iter().all(|p| p.closed) && self.is_quiet()
    }

    /// Tells whether nothing is on its way on this worker.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut operators = self.links.iter().filter_map(|l| l.operator.as_ref());
        !self.in_bundle && operators.all(|operator| operator.borrow().is_quiet())
    }

    fn is_done(&self) -> bool {
        if self.context.settings.snapshots && !self.context.epochs.is_last_over.get() {
            return false;
        }
        let finished = |link: &Link| match &link.operator {
            Some(operator) => operator.borrow().is_finished(),
            None => true,
        };
        self.progress.iter().all(|p| p.closed) && self.links.iter().all(finished)
    }

    /// Stops the sources; what was read goes on, and no window fires for it.
    pub(crate) fn stop(&mut self) {
        for operator in self.links.iter().filter_map(|l| l.operator.as_ref()) {
            operator.borrow_mut().stop();
        }
        self.in_bundle = true;
    }

    /// Ends the input, as if the sources had ended: windows fire.
    pub(crate) fn drain(&mut self) {
        for operator in self.links.iter().filter_map(|l| l.operator.as_ref()) {
            operator.borrow_mut().drain();
        }
        self.in_bundle = true;
    }

    /// Has nothing new read until [`Worker::resume`].
    pub(crate) fn pause(&self) {
        self.context.epochs.pausing.set(true);
    }

    /// Has the sinks prepare what they wrote in an epoch; called again until it is ready.
    pub(crate) fn poll_prepare(&self, waker: &mut Context<'_>, epoch: u64) -> Result<Poll<()>> {
        let mut all = Poll::Ready(());
        for link in &self.links {
            let Some(operator) = &link.operator else {
                continue;
            };
            let prepare = || operator.borrow_mut().poll_prepare(waker, epoch);
            if at_transform(&link.path, "prepare", prepare)?.is_pending() {
                all = Poll::Pending;
            }
        }
        Ok(all)
    }

    /// Writes what must survive; everything must be at rest and prepared.
    pub(crate) fn save(&self, emit: &mut dyn FnMut(Frame) -> Result<()>) -> Result<()> {
        for (node, link) in self.links.iter().enumerate() {
            let Some(operator) = &link.operator else {
                continue;
            };
            let mut out = StateOut::new(node, self.context.index, emit);
            at_transform(&link.path, "saving", || {
                operator.borrow_mut().save(&mut out)
            })?;
        }
        Ok(())
    }

    /// Goes on behind a snapshot that is committed: what is in it may be acknowledged. After the
    /// `last` one, writers may close.
    pub(crate) fn resume(&mut self, last: bool) {
        let epochs = &self.context.epochs;
        epochs.committed_before.set(self.context.bundle.number());
        epochs.pausing.set(false);
        epochs.is_last_over.set(last);
        self.in_bundle = true;
    }

    /// Returns the number of groups and keyed states that are open.
    pub(crate) fn open_groups(&self) -> u64 {
        let operators = self.links.iter().filter_map(|l| l.operator.as_ref());
        operators.map(|o| o.borrow().open_groups()).sum()
    }

    /// Lets go of what user code set up; returns the first error after all have been called.
    pub(crate) fn teardown(&mut self) -> Result<()> {
        teardown(&self.links)
    }
}

/// Gives every operator what the run before has saved of it.
fn load(links: &[Link], frames: &Arc<dyn SavedFrames>) -> Result<()> {
    for link in links {
        let Some(operator) = &link.operator else {
            continue;
        };
        let state = NodeState {
            frames: Arc::clone(frames),
            path: Arc::clone(&link.path),
        };
        at_transform(&link.path, "resuming", || {
            operator.borrow_mut().load(&state)
        })?;
    }
    Ok(())
}
