//! The operator behind every grouping: [`Groups`] between an input and an output.
//!
//! What a bundle lets fire goes out at its end if it is little, as most is. Else it goes out a
//! batch at a time, when there is room behind, so that a large window does not wait in the
//! queues of its consumers. Until it is all out, what comes in waits here in its order, no input
//! is taken in front, and the watermark stays where it was.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Context;

use crate::batch::{Batch, Stamp};
use crate::coder::{Element, Key};
use crate::error::{Error, Result};
use crate::event_log::{Event, EventLog};
use crate::graph::snapshot::{NodeState, StateOut};
use crate::graph::{NodeContext, Operator, Polled, Port, Progress, Receiver};
use crate::metrics::{Counter, DROPPED_LATE};
use crate::state::key_table::partition;
use crate::state::spill::Share;
use crate::time::Timestamp;
use crate::user_code::{Failed, Fault, describe, guarded};
use crate::window::WindowingStrategy;
use crate::window::groups::{Admission, Aggregate, Arrival, Emit, Groups};

/// An [`Aggregate`] that an operator serves.
pub(super) trait Grouping: Aggregate {
    /// Returns the number of elements that an input stands for.
    fn elements(_input: &Self::Input) -> u64 {
        1
    }

    /// Returns the name of the user's function that is running, for errors.
    fn what(&self) -> &'static str {
        "grouping"
    }
}

/// The names under which it saves what is not in the groups.
const PUT_OUT: &str = "put out";
const DEFAULT: &str = "default";

pub(super) struct GroupOperator<K, A: Aggregate> {
    aggregate: A,
    strategy: WindowingStrategy,
    groups: Groups<K, A>,
    out: Emitter<K, A::Output>,
    /// What came while a firing was under way: the ends of bundles in front of it may bring a
    /// little more.
    waiting: VecDeque<Waiting<K, A::Input>>,
    /// The input's watermark at the last end of a bundle that was taken up.
    input: Timestamp,
    /// The bundle must be ended again, for what waits.
    again: bool,
    /// What is behind has not heard yet how far this has come since a firing began.
    untold: bool,
    /// The elements that fire in one go.
    at_once: usize,
    /// Never goes back, whatever late elements ask for.
    progress: Progress,
    /// Emitted at the end of time if nothing else ever was.
    default: Option<K>,
    dropped: Counter,
    worker: usize,
    workers: usize,
    path: Arc<str>,
    log: Option<EventLog>,
}

enum Waiting<K, I> {
    Element(K, I, Stamp),
    /// The end of a bundle, with the input's watermark.
    End(Timestamp),
}

struct Emitter<K, O> {
    port: Port<(K, O)>,
    batch: Batch<(K, O)>,
}

impl<K: Element, O: Element> Emit<K, O> for Emitter<K, O> {
    #[inline]
    fn emit(&mut self, key: K, output: O, stamp: Stamp) -> Result<(), Fault> {
        self.batch.push((key, output), stamp);
        if self.batch.len() >= Batch::<(K, O)>::LEN {
            self.flush()?;
        }
        Ok(())
    }
}

impl<K: Element, O: Element> Emitter<K, O> {
    fn flush(&mut self) -> Result<()> {
        self.port.push(&mut self.batch)?;
        self.batch.clear();
        self.batch.stamps = crate::batch::Stamps::Same(Stamp::ROOT);
        Ok(())
    }
}

impl<K: Key, A: Grouping> GroupOperator<K, A>
where
    A::Output: Element,
{
    /// The elements that fire at the end of a bundle, before the rest has to wait for room.
    const AT_ONCE: usize = 4 * Batch::<(K, A::Output)>::LEN;

    pub(super) fn new(
        context: &NodeContext<'_>,
        strategy: WindowingStrategy,
        aggregate: A,
        port: Port<(K, A::Output)>,
    ) -> Self {
        let share = Share::new(
            &context.worker.memory,
            context.node.id,
            context.worker.index,
        );
        GroupOperator {
            aggregate,
            groups: Groups::new(strategy.clone()).sharing(share),
            strategy,
            out: Emitter {
                port,
                batch: Batch::default(),
            },
            waiting: VecDeque::new(),
            input: Timestamp::MIN,
            again: false,
            untold: false,
            at_once: context
                .worker
                .settings
                .fire_at_once
                .unwrap_or(Self::AT_ONCE),
            progress: Progress::START,
            default: None,
            dropped: context.counter(DROPPED_LATE),
            worker: context.worker.index,
            workers: context.worker.workers,
            path: context.path(),
            log: context.worker.event_log.clone(),
        }
    }

    /// Emits the output of an empty group for `key` at the end of time, if nothing came for it.
    pub(super) fn with_default(mut self, key: Option<K>) -> Self {
        self.default = key;
        self
    }

    /// Takes a batch; `input` makes the aggregate's input of an element's value.
    pub(super) fn take<V>(
        &mut self,
        batch: &mut Batch<(K, V)>,
        input: impl Fn(V) -> A::Input,
    ) -> Result<()> {
        if !batch.is_empty() {
            self.default = None;
        }
        if self.is_busy() {
            let elements = batch.drain();
            let waiting =
                elements.map(|((key, value), stamp)| Waiting::Element(key, input(value), stamp));
            self.waiting.extend(waiting);
            return Ok(());
        }
        let done = guarded(|| {
            for ((key, value), stamp) in batch.drain() {
                self.add(key, input(value), stamp)?;
            }
            self.groups.relieve()?;
            Ok(())
        });
        done.map_err(|failed| self.name(failed))
    }

    #[inline]
    fn add(&mut self, key: K, input: A::Input, stamp: Stamp) -> Result<(), Fault> {
        let elements = A::elements(&input);
        let key_shown = self.log.as_ref().map(|_| describe(&key));
        let combiner = self.strategy.timestamp_combiner;
        let arrival = Arrival {
            input,
            window: stamp.window,
            output_time: combiner.assign(stamp.window, stamp.timestamp),
        };
        let admission = self.groups.add(&self.aggregate, key, arrival)?;
        let dropped = admission == Admission::DroppedLate;
        if dropped {
            self.dropped.add(elements);
        }
        if let (Some(log), Some(key)) = (&self.log, key_shown) {
            log.record(Event::Grouped {
                worker: self.worker,
                transform: Arc::clone(&self.path),
                key,
                window: stamp.window,
                elements,
                watermark: self.groups.watermark(),
                dropped,
            });
        }
        Ok(())
    }

    fn name(&self, failed: Failed) -> Error {
        let key = self.groups.current_key();
        let key = key.map(|key| format!("of key {}", describe(key)));
        failed.at(&self.path, self.aggregate.what(), key)
    }

    /// Ends a bundle.
    fn advance(&mut self, watermark: Timestamp) -> Result<(), Fault> {
        self.input = watermark;
        let (aggregate, room) = (&self.aggregate, self.at_once);
        self.groups
            .advance(aggregate, watermark, &mut self.out, room)?;
        if watermark > Timestamp::END_OF_GLOBAL_WINDOW
            && let Some(key) = self.default.take()
        {
            let output = self.aggregate.extract(self.aggregate.create());
            let stamp = Stamp::at(Timestamp::END_OF_GLOBAL_WINDOW);
            self.out.emit(key, output, stamp)?;
        }
        Ok(())
    }

    /// Lets out about a batch of a firing.
    fn fire_on(&mut self) -> Result<(), Fault> {
        let room = self.at_once.clamp(1, Batch::<(K, A::Output)>::LEN);
        let (aggregate, out) = (&self.aggregate, &mut self.out);
        self.groups.fire_on(aggregate, out, room)?;
        self.groups.relieve()?;
        Ok(())
    }

    /// Takes up what waits, to the end of a bundle.
    fn take_up(&mut self) -> Result<(), Fault> {
        while let Some(waiting) = self.waiting.pop_front() {
            match waiting {
                Waiting::Element(key, input, stamp) => self.add(key, input, stamp)?,
                Waiting::End(watermark) => return self.advance(watermark),
            }
        }
        Ok(())
    }

    fn is_busy(&self) -> bool {
        self.groups.is_firing() || !self.waiting.is_empty()
    }
}

impl<K: Key, A: Grouping> Operator for GroupOperator<K, A>
where
    A::Output: Element,
{
    fn end_bundle(&mut self, input: Progress) -> Result<Progress> {
        let is_told = match self.waiting.back() {
            Some(Waiting::End(last)) => *last == input.watermark,
            _ => false,
        };
        if !is_told {
            self.waiting.push_back(Waiting::End(input.watermark));
        }
        if !self.groups.is_firing() {
            let done = guarded(|| self.take_up());
            done.map_err(|failed| self.name(failed))?;
            self.out.flush()?;
        }
        // What is behind hears of it all at once, in parts or not, and before anything new comes.
        self.untold = self.groups.is_firing();
        if !self.untold {
            self.again = !self.waiting.is_empty();
            let watermark = self.input.min(self.groups.hold());
            self.progress = Progress {
                watermark: watermark.max(self.progress.watermark),
                closed: input.closed && self.waiting.is_empty(),
            };
        }
        Ok(self.progress)
    }

    fn poll(&mut self, _: &mut Context<'_>, room: bool) -> Result<Polled> {
        let mut worked = std::mem::take(&mut self.again);
        if self.groups.is_firing() && room {
            let done = guarded(|| self.fire_on());
            done.map_err(|failed| self.name(failed))?;
            self.out.flush()?;
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
        self.groups.save(out)?;
        out.put(PUT_OUT, &self.progress.watermark)?;
        out.put(DEFAULT, &self.default.is_some())
    }

    fn load(&mut self, state: &NodeState) -> Result<()> {
        let (worker, workers) = (self.worker, self.workers);
        self.groups.load(&self.aggregate, state, |key| {
            partition(key, workers) == worker
        })?;
        if let Some(watermark) = state.least_watermark(PUT_OUT)? {
            self.progress.watermark = watermark;
        }
        // One worker had it to emit, if something had not come for it: the owner of its key.
        let defaults: Vec<bool> = state.values(DEFAULT)?;
        if !defaults.is_empty() && !defaults.contains(&true) {
            self.default = None;
        }
        Ok(())
    }

    fn open_groups(&self) -> u64 {
        self.groups.open_groups()
    }
}

/// Receives pairs whose values are the aggregate's inputs.
impl<K: Key, A: Grouping> Receiver<(K, A::Input)> for GroupOperator<K, A>
where
    A::Input: Element,
    A::Output: Element,
{
    fn push(&mut self, batch: &mut Batch<(K, A::Input)>) -> Result<()> {
        self.take(batch, |input| input)
    }
}
