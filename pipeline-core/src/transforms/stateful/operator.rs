//! The operator of `par_do_stateful`.
//!
//! What a bundle lets fire goes out at its end if it is little, as most is. Else it goes out in
//! parts, when there is room behind, as the groups of a window do: until it is all out, what comes
//! in waits here in its order, and the watermark stays where it was.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Context;

use super::StatefulDoFn;
use super::expiring::Expiring;
use super::held::Held;
use crate::batch::{Batch, Stamp};
use crate::do_fn::sealed::Outputs as _;
use crate::error::{BoxError, Error, Result};
use crate::graph::snapshot::{NodeState, StateOut};
use crate::graph::{NodeContext, Operator, Polled, Progress, Receiver};
use crate::metrics::{Counter, DROPPED_LATE};
use crate::state::holds::Holds;
use crate::state::key_table::{KeyTable, SlotId};
use crate::state::spill::{Evicted, Share};
use crate::state::{Entry, StateCells, StateContext, TimerQueue, TimerRequest};
use crate::time::Timestamp;
use crate::transforms::par_do::call;
use crate::user_code::{Current, Failed, Fault, describe, guarded};
use crate::window::{Window, WindowingStrategy};

/// The timers that fire at the end of a bundle, before the rest has to wait for room, and in each
/// part from then on.
const AT_ONCE: usize = 4096;
const IN_PART: usize = 1024;

pub(super) struct Stateful<F: StatefulDoFn> {
    pub(super) do_fn: F,
    pub(super) out: F::Outputs,
    pub(super) strategy: WindowingStrategy,
    pub(super) cells: Arc<StateCells>,
    pub(super) entries: KeyTable<(F::Key, Window), Entry>,
    /// What does not fit into memory.
    pub(super) evicted: Evicted,
    pub(super) held: Held,
    pub(super) timers: TimerQueue,
    /// Those of all timers, also of what was evicted.
    pub(super) holds: Holds,
    pub(super) expiring: Expiring,
    requests: Vec<TimerRequest>,
    /// What came while a firing was under way: the ends of bundles in front of it may bring a
    /// little more.
    waiting: VecDeque<Waiting<F::Key, F::Value>>,
    /// Not all timers have fired that the watermark has passed.
    pub(super) firing: bool,
    /// The bundle must be ended again, for what waits.
    again: bool,
    /// What is behind has not heard yet how far this has come since a firing began.
    untold: bool,
    at_once: usize,
    /// The input's watermark at the last end of a bundle that was taken up.
    input: Timestamp,
    pub(super) watermark: Timestamp,
    pub(super) progress: Progress,
    in_bundle: bool,
    current: Current<F::Value>,
    /// The state that was worked on last.
    pub(super) slot: SlotId,
    /// The user's function that ran last.
    pub(super) what: &'static str,
    dropped: Counter,
    pub(super) worker: usize,
    pub(super) workers: usize,
    path: Arc<str>,
}

enum Waiting<K, V> {
    Element(K, V, Stamp),
    /// The end of a bundle, with the input's watermark.
    End(Timestamp),
}

impl<F: StatefulDoFn> Stateful<F> {
    pub(super) fn new(
        context: &NodeContext<'_>,
        do_fn: F,
        cells: Arc<StateCells>,
        strategy: WindowingStrategy,
        out: F::Outputs,
    ) -> Self {
        let worker = context.worker;
        let share = Share::new(&worker.memory, context.node.id, worker.index);
        Stateful {
            do_fn,
            out,
            strategy,
            cells,
            entries: KeyTable::default(),
            evicted: Evicted::default(),
            held: Held::new(share),
            timers: TimerQueue::default(),
            holds: Holds::counting(),
            expiring: Expiring::default(),
            requests: Vec::new(),
            waiting: VecDeque::new(),
            firing: false,
            again: false,
            untold: false,
            at_once: worker.settings.fire_at_once.unwrap_or(AT_ONCE),
            input: Timestamp::MIN,
            watermark: Timestamp::MIN,
            progress: Progress::START,
            in_bundle: false,
            current: Current::none(),
            slot: 0,
            what: "process",
            dropped: context.counter(DROPPED_LATE),
            worker: worker.index,
            workers: worker.workers,
            path: context.path(),
        }
    }

    pub(super) fn start_bundle(&mut self) -> Result<()> {
        if !self.in_bundle {
            let do_fn = &mut self.do_fn;
            call(&self.path, "start_bundle", || do_fn.start_bundle())?;
            self.in_bundle = true;
        }
        Ok(())
    }

    fn finish_bundle(&mut self) -> Result<()> {
        if self.in_bundle {
            self.in_bundle = false;
            let Stateful { do_fn, out, .. } = self;
            out.begin_element(None);
            call(&self.path, "finish_bundle", || do_fn.finish_bundle(out))?;
            self.out.check()?;
        }
        self.out.flush_all()
    }

    fn process(&mut self, key: F::Key, value: F::Value, stamp: Stamp) -> Result<(), Fault> {
        let window = stamp.window;
        let expiry = self.strategy.expiry(window);
        if self.watermark > expiry {
            self.dropped.add(1);
            return Ok(());
        }
        let mut new = false;
        let slot = self.entries.entry((key, window), || {
            new = true;
            Entry::new(self.cells.cells.len(), self.cells.timers.len())
        });
        self.slot = slot;
        self.current.set(&value);
        if new {
            self.expiring.add(expiry, slot, window);
            if !self.evicted.is_empty() {
                self.take_back(slot)?;
            }
        }
        self.with_state(slot, stamp, |do_fn, key, state, out| {
            do_fn.process(key, value, state, out)
        })
    }

    /// Calls the function with the state in `slot`, then does what it asked of its timers.
    pub(super) fn with_state(
        &mut self,
        slot: SlotId,
        stamp: Stamp,
        f: impl FnOnce(&mut F, &F::Key, &mut StateContext<'_>, &mut F::Outputs) -> Result<(), BoxError>,
    ) -> Result<(), Fault> {
        let Some((of, entry)) = self.entries.get_mut(slot) else {
            return Err(Error::internal("a slot of state is gone").into());
        };
        let (key, window) = of;
        let mut state = StateContext {
            entry,
            requests: &mut self.requests,
            stamp,
            watermark: self.watermark,
            expiry: self.strategy.expiry(*window),
            failed: None,
        };
        self.out.begin_element(Some(stamp));
        f(&mut self.do_fn, key, &mut state, &mut self.out).map_err(Fault::User)?;
        if let Some(failed) = state.failed {
            return Err(Fault::User(Box::new(failed)));
        }
        for TimerRequest { timer, set } in self.requests.drain(..) {
            let state = &mut entry.timers[timer];
            let before = state.hold();
            state.at = set;
            self.holds.replace(before, state.hold());
            self.timers.schedule(slot, timer, state);
        }
        let empty = entry.is_empty();
        self.out.check()?;
        if empty {
            self.forget(slot);
        } else if self.held.limited && entry.weighed.is_used() {
            let before = entry.weighed.bytes();
            let now = self.held.weigh(&self.cells, of, entry);
            entry.weighed.weigh(now);
            self.held.changed(before, entry.weighed.bytes());
        }
        Ok(())
    }

    /// Forgets what is kept in a slot, whose timers hold nothing.
    fn forget(&mut self, slot: SlotId) {
        if let Some((_, entry)) = self.entries.remove(slot) {
            self.held.changed(entry.weighed.bytes(), 0);
        }
    }

    /// Forgets the state of windows that have expired; their timers have fired (RG, "state GC").
    pub(super) fn expire(&mut self) {
        while let Some(slots) = self.expiring.pop(self.watermark) {
            for (slot, window) in slots {
                let Some(((_, of), state)) = self.entries.get_mut(slot) else {
                    continue;
                };
                if *of == window {
                    for timer in &state.timers {
                        self.holds.replace(timer.hold(), None);
                    }
                    self.forget(slot);
                }
            }
        }
    }

    /// Ends a bundle.
    fn advance(&mut self, watermark: Timestamp) -> Result<(), Fault> {
        self.input = watermark;
        self.watermark = self.watermark.max(watermark);
        self.current.clear();
        self.fire_on(self.at_once)
    }

    /// Takes up what waits, to the end of a bundle.
    fn take_up(&mut self) -> Result<(), Fault> {
        while let Some(waiting) = self.waiting.pop_front() {
            match waiting {
                Waiting::Element(key, value, stamp) => {
                    self.start_bundle()?;
                    self.what = "process";
                    self.process(key, value, stamp)?;
                    self.relieve_early()?;
                }
                Waiting::End(watermark) => return self.advance(watermark),
            }
        }
        Ok(())
    }

    fn is_busy(&self) -> bool {
        self.firing || !self.waiting.is_empty()
    }

    fn name(&self, failed: Failed) -> Error {
        let key = self.entries.key(self.slot);
        let key = key.map(|(key, _)| format!("of key {}", describe(key)));
        let element = match (self.current.describe(), key) {
            (Some(value), Some(key)) => Some(format!("{value} {key}")),
            (value, key) => value.or(key),
        };
        failed.at(&self.path, self.what, element)
    }
}

impl<F: StatefulDoFn> Receiver<(F::Key, F::Value)> for Stateful<F> {
    fn push(&mut self, batch: &mut Batch<(F::Key, F::Value)>) -> Result<()> {
        if self.is_busy() {
            let elements = batch.drain();
            let waiting = elements.map(|((key, value), stamp)| Waiting::Element(key, value, stamp));
            self.waiting.extend(waiting);
            return Ok(());
        }
        self.start_bundle()?;
        self.what = "process";
        let done = guarded(|| {
            for ((key, value), stamp) in batch.drain() {
                self.process(key, value, stamp)?;
                self.relieve_early()?;
            }
            self.relieve()?;
            Ok(())
        });
        done.map_err(|failed| self.name(failed))
    }
}

impl<F: StatefulDoFn> Operator for Stateful<F> {
    fn end_bundle(&mut self, input: Progress) -> Result<Progress> {
        let is_told = match self.waiting.back() {
            Some(Waiting::End(last)) => *last == input.watermark,
            _ => false,
        };
        if !is_told {
            self.waiting.push_back(Waiting::End(input.watermark));
        }
        if !self.firing {
            let done = guarded(|| self.take_up());
            done.map_err(|failed| self.name(failed))?;
        }
        self.finish_bundle()?;
        // What is behind hears of it all at once, in parts or not, and before anything new comes.
        self.untold = self.firing;
        if !self.untold {
            self.again = !self.waiting.is_empty();
            let watermark = self.input.min(self.holds.earliest());
            self.progress = Progress {
                watermark: watermark.max(self.progress.watermark),
                closed: input.closed && self.waiting.is_empty(),
            };
        }
        Ok(self.progress)
    }

    fn poll(&mut self, _: &mut Context<'_>, room: bool) -> Result<Polled> {
        let mut worked = std::mem::take(&mut self.again);
        if self.firing && room {
            let part = self.at_once.clamp(1, IN_PART);
            let done = guarded(|| self.fire_on(part));
            done.map_err(|failed| self.name(failed))?;
            self.out.flush_all()?;
            worked = true;
        }
        Ok(Polled {
            worked,
            blocked: worked || self.untold || self.is_busy(),
        })
    }

    fn is_quiet(&self) -> bool {
        !self.is_busy()
    }

    fn save(&mut self, out: &mut StateOut<'_>) -> Result<()> {
        self.save_state(out)
    }

    fn load(&mut self, state: &NodeState) -> Result<()> {
        self.load_state(state)
    }

    fn open_groups(&self) -> u64 {
        self.entries.len() as u64 + self.evicted.len()
    }

    fn teardown(&mut self) -> Result<()> {
        let do_fn = &mut self.do_fn;
        call(&self.path, "teardown", || do_fn.teardown())
    }
}
