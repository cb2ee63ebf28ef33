//! `par_do_stateful`: elements through a function that keeps state per key.

mod saved;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::par_do::call;
use crate::batch::{Batch, Stamp};
use crate::coder::{Element, Key};
use crate::do_fn::Outputs;
use crate::do_fn::sealed::Outputs as _;
use crate::error::{BoxError, Error, Result};
use crate::graph::snapshot::{NodeState, StateOut};
use crate::graph::{Kind, Lowered, NodeContext, NodeSpec, Operator, Progress, Receiver};
use crate::metrics::{Counter, DROPPED_LATE};
use crate::pcollection::PCollection;
use crate::state::holds::Holds;
use crate::state::key_table::{KeyTable, SlotId};
use crate::state::{Entry, EventTimer, StateCells, StateContext, TimerQueue, TimerRequest};
use crate::time::Timestamp;
use crate::user_code::{Current, Failed, Fault, describe, guarded};
use crate::window::{PaneInfo, Window, WindowingStrategy};

/// Processes pairs with state and event-time timers per key and window (PG 11).
///
/// All pairs of a key come to one worker, one at a time, in no particular order. State lives until
/// it is cleared or its window expires; an element that comes after that is dropped and counted.
/// Windows that merge are refused when the pipeline is built (Beam does the same). In the global
/// window state does not expire: set a timer that clears it.
///
/// A snapshot holds cells and timers, not the function's own fields: what must survive belongs in
/// a cell, and what is only gathered goes out in `finish_bundle`.
///
/// The life cycle is that of a [`DoFn`](crate::DoFn), with timers among the elements of a bundle.
///
/// ```
/// use std::time::Duration;
/// use pipeline_core::prelude::*;
///
/// /// Counts the visits of a key until it has been quiet for an hour.
/// #[derive(Clone)]
/// struct Visits {
///     count: ValueCell<u64>,
///     quiet: EventTimer,
/// }
///
/// impl StatefulDoFn for Visits {
///     type Key = String;
///     type Value = ();
///     type Outputs = Out<(String, u64)>;
///
///     fn process(
///         &mut self,
///         _key: &String,
///         _visit: (),
///         state: &mut StateContext<'_>,
///         _out: &mut Self::Outputs,
///     ) -> Result<(), BoxError> {
///         let count = self.count.read(state).copied().unwrap_or(0) + 1;
///         self.count.write(state, count);
///         let later = state.timestamp() + Duration::from_secs(3600);
///         self.quiet.set(state, later);
///         Ok(())
///     }
///
///     fn on_timer(
///         &mut self,
///         key: &String,
///         _timer: EventTimer,
///         state: &mut StateContext<'_>,
///         out: &mut Self::Outputs,
///     ) -> Result<(), BoxError> {
///         let count = self.count.take(state).unwrap_or(0);
///         out.emit((key.clone(), count));
///         Ok(())
///     }
/// }
///
/// let pipeline = Pipeline::build(|p| {
///     p.create("Visits", vec![("ann".to_string(), ()), ("ann".to_string(), ())])
///         .par_do_stateful("Count", |cells| Visits {
///             count: cells.value("count"),
///             quiet: cells.event_timer("quiet"),
///         })
///         .check("Twice", |counts| assert_eq!(counts, [("ann".to_string(), 2)]));
/// })?;
/// DirectRunner::new().run(&pipeline)?;
/// # Ok::<(), Error>(())
/// ```
pub trait StatefulDoFn: Clone + Send + Sync + 'static {
    /// The key.
    type Key: Key;
    /// The value that comes with it.
    type Value: Element;
    /// What comes out: [`Out`](crate::Out), or a tuple of up to six.
    type Outputs: Outputs;

    /// Prepares this instance, once, before its first bundle. Default: nothing.
    fn setup(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    /// Begins a bundle of elements and timers. Default: nothing.
    fn start_bundle(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    /// Processes one pair. What it emits takes the element's timestamp, window and pane.
    fn process(
        &mut self,
        key: &Self::Key,
        value: Self::Value,
        state: &mut StateContext<'_>,
        out: &mut Self::Outputs,
    ) -> Result<(), BoxError>;

    /// Handles a timer whose time the input watermark has passed. What it emits takes the timer's
    /// output timestamp and the state's window. Default: nothing.
    fn on_timer(
        &mut self,
        _key: &Self::Key,
        _timer: EventTimer,
        _state: &mut StateContext<'_>,
        _out: &mut Self::Outputs,
    ) -> Result<(), BoxError> {
        Ok(())
    }

    /// Ends a bundle. What it emits needs a timestamp and a window
    /// ([`Out::emit_in`](crate::Out::emit_in)). Default: nothing.
    fn finish_bundle(&mut self, _out: &mut Self::Outputs) -> Result<(), BoxError> {
        Ok(())
    }

    /// Lets go of what `setup` took, after the last bundle or a failure. Default: nothing.
    fn teardown(&mut self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<K: Key, V: Element> PCollection<(K, V)> {
    /// Processes every pair with a function that keeps state per key and window.
    ///
    /// `declare` makes the function from the cells and timers that it declares; it is called once,
    /// when the pipeline is built. See [`StatefulDoFn`] for an example.
    pub fn par_do_stateful<F: StatefulDoFn<Key = K, Value = V>>(
        &self,
        name: &str,
        declare: impl FnOnce(&mut StateCells) -> F,
    ) -> <F::Outputs as crate::do_fn::sealed::Outputs>::Collections {
        let pipeline = self.pipeline().clone();
        pipeline.clone().scope(name, || {
            let mut cells = StateCells::default();
            let do_fn = declare(&mut cells);
            if let Some(repeated) = cells.repeated() {
                let path = pipeline.graph().scope.join("/");
                pipeline.refuse(format!(
                    "'{path}' declares two cells or timers named '{repeated}': rename one"
                ));
            }
            let strategy = self.windowing();
            if strategy.merges() {
                let path = pipeline.graph().scope.join("/");
                pipeline.refuse(format!(
                    "'{path}' keeps state in windows that merge ({:?}), where the state of two \
                     could not become one: put `window_into` with windows that do not merge, or \
                     a grouping, in front of it",
                    strategy.window_fn
                ));
            }
            let outputs = F::Outputs::specs(&strategy, self.is_bounded());
            let exchanged = self.exchange_by_key("Exchange", "par_do_stateful");
            let kept = cells.kept();
            let cells = Arc::new(cells);
            let spec = NodeSpec::new(
                "Process",
                Kind::StatefulParDo,
                vec![exchanged.id()],
                outputs,
                move |context, ports| {
                    let out = F::Outputs::connect(ports)?;
                    let mut do_fn = do_fn.clone();
                    call(&context.node.path, "setup", || do_fn.setup())?;
                    let cells = Arc::clone(&cells);
                    let operator = Stateful::new(context, do_fn, cells, strategy.clone(), out);
                    Ok(Lowered::driven(operator))
                },
            );
            let spec = spec.keeping(kept);
            let ids = pipeline.add(spec);
            F::Outputs::collections(&pipeline, &ids)
        })
    }
}

struct Stateful<F: StatefulDoFn> {
    do_fn: F,
    out: F::Outputs,
    strategy: WindowingStrategy,
    cells: Arc<StateCells>,
    entries: KeyTable<(F::Key, Window), Entry>,
    timers: TimerQueue,
    holds: Holds,
    /// The state of windows that expire, by expiry; the global window's is not listed.
    expiring: BTreeMap<Timestamp, Vec<(SlotId, Window)>>,
    requests: Vec<TimerRequest>,
    watermark: Timestamp,
    progress: Progress,
    in_bundle: bool,
    current: Current<F::Value>,
    slot: SlotId,
    dropped: Counter,
    worker: usize,
    workers: usize,
    path: Arc<str>,
}

impl<F: StatefulDoFn> Stateful<F> {
    fn new(
        context: &NodeContext<'_>,
        do_fn: F,
        cells: Arc<StateCells>,
        strategy: WindowingStrategy,
        out: F::Outputs,
    ) -> Self {
        Stateful {
            do_fn,
            out,
            strategy,
            cells,
            entries: KeyTable::default(),
            timers: TimerQueue::default(),
            holds: Holds::counting(),
            expiring: BTreeMap::new(),
            requests: Vec::new(),
            watermark: Timestamp::MIN,
            progress: Progress::START,
            in_bundle: false,
            current: Current::none(),
            slot: 0,
            dropped: context.counter(DROPPED_LATE),
            worker: context.worker.index,
            workers: context.worker.workers,
            path: context.path(),
        }
    }

    fn start_bundle(&mut self) -> Result<()> {
        if !self.in_bundle {
            let do_fn = &mut self.do_fn;
            call(&self.path, "start_bundle", || do_fn.start_bundle())?;
            self.in_bundle = true;
        }
        Ok(())
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
        if new {
            self.expire_later(slot, window);
        }
        self.slot = slot;
        self.current.set(&value);
        self.with_state(slot, stamp, |do_fn, key, state, out| {
            do_fn.process(key, value, state, out)
        })
    }

    /// Sees to it that new state is forgotten when its window expires.
    fn expire_later(&mut self, slot: SlotId, window: Window) {
        if !window.is_global() {
            let expiry = self.strategy.expiry(window);
            let expiring = self.expiring.entry(expiry).or_default();
            expiring.push((slot, window));
        }
    }

    /// Calls the function with the state in `slot`, then does what it asked of its timers.
    fn with_state(
        &mut self,
        slot: SlotId,
        stamp: Stamp,
        f: impl FnOnce(&mut F, &F::Key, &mut StateContext<'_>, &mut F::Outputs) -> Result<(), BoxError>,
    ) -> Result<(), Fault> {
        let Some(((key, window), entry)) = self.entries.get_mut(slot) else {
            return Err(Error::internal("a slot of state is gone").into());
        };
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
            self.entries.remove(slot);
        }
        Ok(())
    }

    /// Fires the timers that the watermark has passed, in the order of their times.
    fn fire_timers(&mut self) -> Result<(), Fault> {
        while let Some(entry) = self.timers.pop(self.watermark) {
            let (_, slot, index) = entry;
            let Some(((_, window), state)) = self.entries.get_mut(slot) else {
                continue;
            };
            let window = *window;
            let timer = &mut state.timers[index];
            let before = timer.hold();
            let fired = self.timers.fire(entry, timer);
            self.holds.replace(before, timer.hold());
            let Some(timestamp) = fired else {
                continue;
            };
            let stamp = Stamp {
                timestamp,
                window,
                pane: PaneInfo::NO_FIRING,
            };
            self.slot = slot;
            self.start_bundle()?;
            self.with_state(slot, stamp, |do_fn, key, state, out| {
                do_fn.on_timer(key, EventTimer::numbered(index), state, out)
            })?;
        }
        Ok(())
    }

    /// Forgets the state of windows that have expired; their timers have fired (RG, "state GC").
    fn expire(&mut self) {
        while let Some(entry) = self.expiring.first_entry() {
            if self.watermark <= *entry.key() {
                return;
            }
            for (slot, window) in entry.remove() {
                let Some(((_, of), state)) = self.entries.get_mut(slot) else {
                    continue;
                };
                if *of == window {
                    for timer in &state.timers {
                        self.holds.replace(timer.hold(), None);
                    }
                    self.entries.remove(slot);
                }
            }
        }
    }

    fn name(&self, failed: Failed, what: &'static str) -> Error {
        let key = self.entries.key(self.slot);
        let key = key.map(|(key, _)| format!("of key {}", describe(key)));
        let element = match (self.current.describe(), key) {
            (Some(value), Some(key)) => Some(format!("{value} {key}")),
            (value, key) => value.or(key),
        };
        failed.at(&self.path, what, element)
    }
}

impl<F: StatefulDoFn> Receiver<(F::Key, F::Value)> for Stateful<F> {
    fn push(&mut self, batch: &mut Batch<(F::Key, F::Value)>) -> Result<()> {
        self.start_bundle()?;
        let done = guarded(|| {
            for ((key, value), stamp) in batch.drain() {
                self.process(key, value, stamp)?;
            }
            Ok(())
        });
        done.map_err(|failed| self.name(failed, "process"))
    }
}

impl<F: StatefulDoFn> Operator for Stateful<F> {
    fn end_bundle(&mut self, input: Progress) -> Result<Progress> {
        self.watermark = self.watermark.max(input.watermark);
        self.current.clear();
        guarded(|| self.fire_timers()).map_err(|failed| self.name(failed, "on_timer"))?;
        self.expire();
        if self.in_bundle {
            self.in_bundle = false;
            let Stateful { do_fn, out, .. } = self;
            out.begin_element(None);
            call(&self.path, "finish_bundle", || do_fn.finish_bundle(out))?;
            self.out.check()?;
        }
        self.out.flush_all()?;
        let held = input.held_at(self.holds.earliest());
        self.progress = Progress {
            watermark: held.watermark.max(self.progress.watermark),
            closed: held.closed,
        };
        Ok(self.progress)
    }

    fn save(&mut self, out: &mut StateOut<'_>) -> Result<()> {
        self.save_state(out)
    }

    fn load(&mut self, state: &NodeState) -> Result<()> {
        self.load_state(state)
    }

    fn open_groups(&self) -> u64 {
        self.entries.len() as u64
    }

    fn teardown(&mut self) -> Result<()> {
        let do_fn = &mut self.do_fn;
        call(&self.path, "teardown", || do_fn.teardown())
    }
}
