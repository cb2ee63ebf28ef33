//! Combining before the exchange: what crosses it is at most one accumulator per key, window and
//! flush, however many values there were.

mod gauge;

use std::borrow::Borrow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;

use serde::Serialize;

use super::combine::CombineFn;
use crate::batch::{Batch, Stamp, Stamps};
use crate::coder::Key;
use crate::error::Result;
use crate::graph::{NodeContext, Operator, Port, Progress, Receiver};
use crate::state::fold_table::{FLUSH_BYTES, FoldHash, FoldId, FoldTable};
use crate::state::key_table::KeyTable;
use crate::state::spill::Share;
use crate::time::Timestamp;
use crate::user_code::{describe, guarded};
use crate::window::{PaneInfo, TimestampCombiner, Window, WindowingStrategy};
use gauge::{Gauge, weigh};

/// An accumulator on its way, with the number of elements that it stands for: what is dropped
/// late is counted in elements. Its timestamp is the fold over them.
pub(super) type Partial<A> = (A, u64);

/// What is known of the elements in an accumulator.
#[derive(Clone, Copy)]
struct Tally {
    elements: u64,
    output_time: Timestamp,
}

impl Tally {
    /// Begins with no element.
    fn new(output_time: Timestamp) -> Tally {
        Tally {
            elements: 0,
            output_time,
        }
    }

    fn add(&mut self, window: Window, combiner: TimestampCombiner, output_time: Timestamp) {
        self.elements += 1;
        self.output_time = combiner.combine(window, self.output_time, output_time);
    }
}

/// The accumulators of a window.
struct Table<K, A> {
    accumulators: FoldTable<K, A>,
    /// One for each accumulator, apart from it: where they are not needed, none is written, and
    /// the accumulators lie closer together.
    tallies: Vec<Tally>,
}

impl<K, A> Default for Table<K, A> {
    fn default() -> Self {
        Table {
            accumulators: FoldTable::default(),
            tallies: Vec::new(),
        }
    }
}

/// The number of keys that are looked up together: what is read for them fits into the first level
/// of a processor's cache.
const BLOCK: usize = 128;

/// Where a key may be found in a table.
type Found = (FoldHash, Option<FoldId>);

/// Combines per key and per window as assigned: windows merge behind the exchange, so that each
/// is judged late by its own.
pub(super) struct Lift<K, F: CombineFn> {
    combine_fn: F,
    combiner: TimestampCombiner,
    windows_merge: bool,
    /// Elements are counted, and their output times folded. In the global window of a bounded
    /// collection nothing is late and, by default, all output times are the end of the window.
    tallied: bool,
    /// What is in windows that merge: hardly any two elements of a key are assigned the same one,
    /// so that a table for each window would hold one entry.
    merging: KeyTable<(K, Window), (F::Accumulator, Tally)>,
    current: (Window, Table<K, F::Accumulator>),
    rest: BTreeMap<Window, Table<K, F::Accumulator>>,
    entries: usize,
    gauge: Gauge,
    /// The number of the accumulator that was worked on last.
    slot: u32,
    found: Vec<Found>,
    what: Cell<&'static str>,
    out: Port<(K, Partial<F::Accumulator>)>,
    batch: Batch<(K, Partial<F::Accumulator>)>,
    path: Arc<str>,
}

impl<K: Key, F: CombineFn> Lift<K, F> {
    pub(super) fn new(
        context: &NodeContext<'_>,
        combine_fn: F,
        strategy: &WindowingStrategy,
        bounded: bool,
        out: Port<(K, Partial<F::Accumulator>)>,
    ) -> Self {
        let worker = context.worker;
        let share = Share::new(&worker.memory, context.node.id, worker.index);
        Lift {
            combine_fn,
            combiner: strategy.timestamp_combiner,
            windows_merge: strategy.merges(),
            tallied: !(bounded
                && strategy.is_global()
                && strategy.timestamp_combiner == TimestampCombiner::EndOfWindow),
            merging: KeyTable::default(),
            current: (Window::GLOBAL, Table::default()),
            rest: BTreeMap::new(),
            entries: 0,
            gauge: Gauge::new(share, Self::ENTRY),
            slot: 0,
            found: Vec::new(),
            what: Cell::new("add_input"),
            out,
            batch: Batch::default(),
            path: context.path(),
        }
    }

    const ENTRY: usize = size_of::<(K, F::Accumulator, Tally)>() + 32;

    const FLUSH_ENTRIES: usize = FLUSH_BYTES / Self::ENTRY;

    /// Takes in that an element comes, of which keys and values are made.
    #[inline]
    pub(super) fn one_comes(&mut self, element: &impl Serialize) {
        self.gauge.one_comes(element);
    }

    /// Has values added to the table of a window from now on, and returns their output time.
    #[inline]
    pub(super) fn begin(&mut self, stamp: Stamp) -> Timestamp {
        if !self.windows_merge {
            self.select(stamp.window);
        }
        self.combiner.assign(stamp.window, stamp.timestamp)
    }

    fn select(&mut self, window: Window) {
        if self.current.0 != window {
            let table = self.rest.remove(&window).unwrap_or_default();
            let before = std::mem::replace(&mut self.current, (window, table));
            if !before.1.accumulators.is_empty() {
                self.rest.insert(before.0, before.1);
            }
        }
    }

    /// Adds to the selected table; `found` may be from before other keys were added.
    #[inline(always)]
    fn add(&mut self, found: Found, key: K, value: F::Input, output_time: Timestamp) {
        let id = match found {
            (_, Some(id)) => id,
            (hash, None) => self.find_or_insert(hash, key, output_time),
        };
        self.add_at(id, value, output_time);
    }

    #[inline(always)]
    fn add_at(&mut self, id: FoldId, value: F::Input, output_time: Timestamp) {
        let (window, table) = &mut self.current;
        self.slot = id;
        self.what.set("add_input");
        if let Some(accumulator) = table.accumulators.state_mut(id) {
            self.combine_fn.add_input(accumulator, value);
        }
        if self.tallied {
            table.tallies[id as usize].add(*window, self.combiner, output_time);
        }
    }

    #[inline(never)]
    fn find_or_insert(&mut self, hash: FoldHash, key: K, output_time: Timestamp) -> FoldId {
        match self.current.1.accumulators.find(hash, &key) {
            Some(id) => id,
            None => self.insert(hash, key, output_time),
        }
    }

    #[inline(never)]
    fn insert(&mut self, hash: FoldHash, key: K, output_time: Timestamp) -> FoldId {
        let table = &mut self.current.1;
        self.what.set("create_accumulator");
        let accumulator = self.combine_fn.create_accumulator();
        if self.tallied {
            table.tallies.push(Tally::new(output_time));
        }
        self.entries += 1;
        table.accumulators.insert(hash, key, accumulator)
    }

    /// Adds elements that share a window, and so a table. A block of keys is looked up together
    /// before the first is added, so that the processor waits for memory once for many.
    fn add_all(&mut self, elements: &mut Vec<(K, F::Input)>, stamp: Stamp) {
        let output_time = self.begin(stamp);
        let mut found = std::mem::take(&mut self.found);
        let table = &self.current.1.accumulators;
        found.extend(elements.iter().map(|(key, _)| (table.hash(key), None)));
        let mut elements = elements.drain(..);
        for block in found.chunks_mut(BLOCK) {
            let table = &self.current.1.accumulators;
            for (hash, candidate) in &mut *block {
                *candidate = table.candidate(*hash);
            }
            let candidates = block.iter().filter_map(|(_, candidate)| *candidate);
            let taken: usize = candidates.map(|id| usize::from(table.is_taken(id))).sum();
            // Only the look at the entries matters.
            std::hint::black_box(taken);
            for ((_, found), (key, _)) in block.iter_mut().zip(elements.as_slice()) {
                *found = found.filter(|id| table.is_at(*id, key));
            }
            for (found, (key, value)) in block.iter().zip(&mut elements) {
                self.add(*found, key, value, output_time);
            }
        }
        found.clear();
        self.found = found;
    }

    /// Adds a value of a key that is borrowed: it is made only if it is not there. The window is
    /// one for which [`Lift::begin`] gave the output time.
    #[inline]
    pub(super) fn add_borrowed<Q>(
        &mut self,
        key: &Q,
        value: F::Input,
        window: Window,
        output_time: Timestamp,
    ) where
        K: Borrow<Q> + for<'q> From<&'q Q>,
        Q: Hash + Eq + ?Sized,
    {
        if self.windows_merge {
            return self.add_merging(K::from(key), value, window, output_time);
        }
        let table = &self.current.1.accumulators;
        let hash = table.hash(key);
        let id = match table.find(hash, key) {
            Some(id) => id,
            None => self.insert(hash, K::from(key), output_time),
        };
        self.add_at(id, value, output_time);
    }

    /// Adds an element of windows that merge.
    fn add_merging(&mut self, key: K, value: F::Input, window: Window, output_time: Timestamp) {
        let (combine_fn, what) = (&self.combine_fn, &self.what);
        let mut new = false;
        let slot = self.merging.entry((key, window), || {
            what.set("create_accumulator");
            new = true;
            (combine_fn.create_accumulator(), Tally::new(output_time))
        });
        self.entries += usize::from(new);
        self.slot = slot;
        what.set("add_input");
        if let Some((_, (accumulator, tally))) = self.merging.get_mut(slot) {
            combine_fn.add_input(accumulator, value);
            tally.add(window, self.combiner, output_time);
        }
    }

    /// Names the method of the `CombineFn` that ran last.
    pub(super) fn what(&self) -> &'static str {
        self.what.get()
    }

    /// Shows the key that was worked on last.
    pub(super) fn describe_key(&self) -> Option<String> {
        let key = if self.windows_merge {
            self.merging.key(self.slot).map(|(key, _)| key)
        } else {
            self.current.1.accumulators.key(self.slot)
        };
        key.map(|key| format!("of key {}", describe(key)))
    }

    pub(super) fn flush_if_full(&mut self) -> Result<()> {
        if self.entries >= Self::FLUSH_ENTRIES || self.gauge.may_be_full() && self.is_heavy() {
            self.flush()?;
        }
        Ok(())
    }

    /// Weighs what is held; returns whether it is too much.
    #[cold]
    fn is_heavy(&mut self) -> bool {
        let mut scratch = Vec::new();
        let tables = std::iter::once(&self.current.1).chain(self.rest.values());
        let tables = tables.flat_map(|table| table.accumulators.iter());
        let merging = self.merging.iter();
        let merging = merging.map(|((key, _), (accumulator, _))| (key, accumulator));
        self.gauge
            .is_full(tables.chain(merging).map(|(key, accumulator)| {
                let key = weigh(key, &mut scratch);
                (key, weigh(accumulator, &mut scratch))
            }))
    }

    /// Sends everything on, window by window, or in the order in which it came where windows merge.
    fn flush(&mut self) -> Result<()> {
        let mut merging = std::mem::take(&mut self.merging);
        for ((key, window), (accumulator, tally)) in merging.drain() {
            self.send(key, accumulator, tally, window)?;
        }
        self.merging = merging;
        let first = std::mem::take(&mut self.current.1);
        let current = self.current.0;
        let rest = std::mem::take(&mut self.rest);
        for (window, mut table) in std::iter::once((current, first)).chain(rest) {
            let mut tallies = table.tallies.drain(..);
            // What is not tallied is never dropped, so that nobody asks for its number.
            let untold = Tally {
                elements: 1,
                output_time: window.max_timestamp(),
            };
            for (key, accumulator) in table.accumulators.drain() {
                let tally = tallies.next().unwrap_or(untold);
                self.send(key, accumulator, tally, window)?;
            }
            drop(tallies);
            if window == current {
                self.current.1 = table;
            }
        }
        self.entries = 0;
        self.gauge.now_holds(0);
        self.push_batch()
    }

    fn send(
        &mut self,
        key: K,
        accumulator: F::Accumulator,
        tally: Tally,
        window: Window,
    ) -> Result<()> {
        let stamp = Stamp {
            timestamp: tally.output_time,
            window,
            pane: PaneInfo::NO_FIRING,
        };
        let partial = (accumulator, tally.elements);
        self.batch.push((key, partial), stamp);
        if self.batch.len() >= Batch::<(K, Partial<F::Accumulator>)>::LEN {
            self.push_batch()?;
        }
        Ok(())
    }

    fn push_batch(&mut self) -> Result<()> {
        self.out.push(&mut self.batch)?;
        self.batch.clear();
        self.batch.stamps = Stamps::Same(Stamp::ROOT);
        Ok(())
    }
}

impl<K: Key, F: CombineFn> Receiver<(K, F::Input)> for Lift<K, F> {
    fn push(&mut self, batch: &mut Batch<(K, F::Input)>) -> Result<()> {
        self.gauge.comes(batch.len(), batch.values.first());
        let done = guarded(|| {
            if self.windows_merge {
                for ((key, value), stamp) in batch.drain() {
                    let output_time = self.begin(stamp);
                    self.add_merging(key, value, stamp.window, output_time);
                }
            } else if let Stamps::Same(stamp) = batch.stamps {
                self.add_all(&mut batch.values, stamp);
            } else if let Stamps::Each(stamps) = &mut batch.stamps {
                let stamps = stamps.drain(..);
                for ((key, value), stamp) in batch.values.drain(..).zip(stamps) {
                    let output_time = self.begin(stamp);
                    let hash = self.current.1.accumulators.hash(&key);
                    let found = self.current.1.accumulators.find(hash, &key);
                    self.add((hash, found), key, value, output_time);
                }
            }
            Ok(())
        });
        done.map_err(|failed| failed.at(&self.path, self.what.get(), self.describe_key()))?;
        self.flush_if_full()
    }
}

impl<K: Key, F: CombineFn> Operator for Lift<K, F> {
    fn end_bundle(&mut self, input: Progress) -> Result<Progress> {
        if self.entries > 0 {
            self.flush()?;
        }
        // What was passed on has no entry.
        self.push_batch()?;
        Ok(input)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::prelude::*;

    #[test]
    fn elements_of_merging_windows_go_on_before_the_bundle_ends() {
        // In pairs, since an element alone in its batch is combined as in other windows.
        let seconds = [0, 5, 30, 31, 100, 140];
        let events = seconds.map(|s| (("key".to_string(), ()), Timestamp::from_millis(s * 1_000)));
        let pipeline = Pipeline::build(|p| {
            p.create_timestamped("Events", events.to_vec())
                .window_into("Visits", Sessions::with_gap(Duration::from_secs(10)))
                .count_per_key("Count")
                .check_timed("PerVisit", |timed| {
                    let visit = |t: &crate::testing::Timed<(String, u64)>| {
                        (t.window.end().millis() / 1_000, t.value.1)
                    };
                    let mut visits: Vec<_> = timed.iter().map(visit).collect();
                    visits.sort_unstable();
                    assert_eq!(visits, [(15, 2), (41, 2), (110, 1), (150, 1)]);
                });
        })
        .unwrap();
        for workers in [1, 2] {
            for max_bundle in [1, 2, 100] {
                let runner = DirectRunner::new().workers(workers).max_bundle(max_bundle);
                runner.run(&pipeline).unwrap();
            }
        }
    }
}
