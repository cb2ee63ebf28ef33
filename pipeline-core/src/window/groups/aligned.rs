//! Groups in windows that do not merge: the keys of a window fire together.

pub(super) mod evicted;
pub(super) mod firing;
pub(super) mod spilled;

use std::collections::{BTreeMap, BTreeSet};

use super::account::Account;
use super::{Aggregate, Arrival, Emit, Group, Stage, holds};
use crate::coder::Key;
use crate::error::Result;
use crate::graph::snapshot::StateOut;
use crate::state::holds::Holds;
use crate::state::key_table::{KeyTable, SlotId};
use crate::state::spill::{Evicted, Share};
use crate::user_code::Fault;
use crate::window::{PaneTiming, TimestampCombiner, Window, WindowingStrategy};

use firing::{Away, Firing};
use spilled::Spilled;

/// A table of keys per window, in the order in which windows end. The window is the timer: what
/// fires at a watermark is a prefix of the order.
pub(super) struct AlignedGroups<K, A: Aggregate> {
    /// The open window used last, kept out of `open`: neighbours in time share it.
    current: Option<(Window, Table<K, A>)>,
    /// The slot in the current window, or [`LATE_SLOT`].
    current_slot: SlotId,
    /// The late group worked on last.
    current_late: Option<(Window, SlotId)>,
    /// Windows that have not ended.
    open: BTreeMap<Window, Table<K, A>>,
    /// Windows that have ended and still take late elements.
    ended: BTreeMap<Window, Table<K, A>>,
    /// Groups with late elements of this bundle.
    late: BTreeSet<(Window, SlotId)>,
    /// The window that is being fired, neither open nor ended.
    firing: Option<Box<Firing<K, A>>>,
    pub(super) holds: Holds,
    /// The number of (key, window) in all tables.
    pub(super) entries: u64,
    /// What does not fit into memory, in parts.
    spilled: Spilled,
    /// What does not fit into memory and must be whole.
    evicted: Evicted,
    /// The groups there of windows that have not ended.
    evicted_open: u64,
    /// Groups must be whole in windows that have not ended, too.
    by_key: bool,
    /// What has expired there is still to be forgotten.
    is_forgetting: bool,
    /// The groups that came back from the store and stayed since somebody asked, and their bytes.
    pub(super) came_back: (u64, u64),
    scratch: Vec<u8>,
    spare: Vec<Table<K, A>>,
}

/// A group as it is saved.
pub(super) type Record<K, A> = (K, Window, Group<A>);

pub(super) type Table<K, A> = KeyTable<K, Group<<A as Aggregate>::Accumulator>>;

impl<K: Key, A: Aggregate> AlignedGroups<K, A> {
    pub(super) fn new(strategy: &WindowingStrategy) -> Self {
        AlignedGroups {
            current: None,
            current_slot: 0,
            current_late: None,
            open: BTreeMap::new(),
            ended: BTreeMap::new(),
            late: BTreeSet::new(),
            firing: None,
            holds: holds(strategy),
            entries: 0,
            spilled: Spilled::default(),
            evicted: Evicted::default(),
            evicted_open: 0,
            by_key: strategy.timestamp_combiner == TimestampCombiner::Latest,
            is_forgetting: false,
            came_back: (0, 0),
            scratch: Vec::new(),
            spare: Vec::new(),
        }
    }

    #[inline]
    pub(super) fn add(
        &mut self,
        stage: &Stage<'_, A>,
        key: K,
        arrival: Arrival<A::Input>,
    ) -> Result<()> {
        let window = arrival.window;
        if !self.evicted.is_empty() {
            self.bring_back(stage, window, &key)?;
        }
        let late = stage.has_ended(window);
        let table = if late {
            self.ended.entry(window).or_default()
        } else {
            if !matches!(&self.current, Some((current, _)) if *current == window) {
                self.switch(window);
            }
            match &mut self.current {
                Some((_, table)) => table,
                None => return Ok(()),
            }
        };
        let (slot, group) = table.entry_mut(key, Group::new);
        self.current_slot = slot;
        if late {
            // Before user code can panic: the key that is named must be this one.
            self.current_slot = LATE_SLOT;
            self.current_late = Some((window, slot));
            self.late.insert((window, slot));
        }
        self.entries += u64::from(group.is_new());
        let before = group.dirty.then_some(group.output_time);
        group.add(stage, window, arrival.input, arrival.output_time);
        if !late {
            self.holds.replace(before, Some(group.output_time));
        }
        Ok(())
    }

    /// Makes the table of `window` the current one.
    fn switch(&mut self, window: Window) {
        let table = self.open.remove(&window);
        let table = table.or_else(|| self.spare.pop()).unwrap_or_default();
        if let Some((before, table)) = self.current.replace((window, table)) {
            self.open.insert(before, table);
        }
    }

    /// Emits a late pane for each group that took late elements.
    pub(super) fn fire_late(
        &mut self,
        stage: &Stage<'_, A>,
        out: &mut impl Emit<K, A::Output>,
    ) -> Result<(), Fault> {
        for (window, slot) in std::mem::take(&mut self.late) {
            self.current_slot = LATE_SLOT;
            self.current_late = Some((window, slot));
            let Some(table) = self.ended.get_mut(&window) else {
                continue;
            };
            let Some((key, group)) = table.get_mut(slot) else {
                continue;
            };
            if let Some((output, stamp)) = group.fire(stage, window, PaneTiming::Late) {
                out.emit(key.clone(), output, stamp)?;
            }
        }
        Ok(())
    }

    /// Emits the on-time panes of the windows that the watermark has passed, in the order of
    /// their ends, and forgets those that have expired. Returns whether that is done: no more than
    /// `room` elements are emitted, and a window for which there is none is gone on with by the
    /// next call. Nothing may be added meanwhile.
    pub(super) fn fire_ended(
        &mut self,
        stage: &Stage<'_, A>,
        out: &mut impl Emit<K, A::Output>,
        mut room: usize,
    ) -> Result<bool, Fault> {
        self.current_late = None;
        if let Some((window, table)) = self.current.take() {
            self.open.insert(window, table);
        }
        loop {
            if !self.fire_on(stage, out, &mut room)? {
                return Ok(false);
            }
            let Some(entry) = self.open.first_entry() else {
                break;
            };
            let window = *entry.key();
            if !stage.has_ended(window) {
                break;
            }
            let mut table = entry.remove();
            let away = match self.spilled.partials(window) {
                0 if self.by_key && self.evicted.earliest_due() <= window.max_timestamp() => {
                    Some(Away::Whole)
                }
                0 => None,
                _ => self.spilled.scan(window).map(Away::Parts),
            };
            if away.is_none() && stage.has_expired(window) && table.len() <= room {
                // As most windows are: the table is kept for another.
                room -= table.len();
                self.entries -= table.len() as u64;
                for (key, mut group) in table.drain() {
                    self.holds.replace(Some(group.output_time), None);
                    if let Some((output, stamp)) = group.fire(stage, window, PaneTiming::OnTime) {
                        out.emit(key, output, stamp)?;
                    }
                }
                if self.spare.len() < SPARE_TABLES {
                    self.spare.push(table);
                }
            } else {
                self.firing = Some(Box::new(Firing::new(window, table, away)));
            }
        }
        while let Some(entry) = self.ended.first_entry() {
            if !stage.has_expired(*entry.key()) {
                break;
            }
            self.entries -= entry.remove().len() as u64;
        }
        self.forget_expired(stage, &mut room)
    }

    /// Tells whether there is more to fire, or to forget.
    pub(super) fn is_firing(&self) -> bool {
        self.firing.is_some() || self.is_forgetting
    }

    /// Returns the groups in memory, to be saved when a bundle has ended.
    fn records(&self) -> impl Iterator<Item = (&K, Window, &Group<A::Accumulator>)> {
        let current = self.current.iter().map(|(window, table)| (window, table));
        let tables = current.chain(&self.open).chain(&self.ended);
        tables.flat_map(|(window, table)| {
            let groups = table.iter();
            groups.map(|(key, group)| (key, *window, group))
        })
    }

    /// Writes all groups, those in the store as well: a group may come in several parts, the first
    /// of which counts.
    pub(super) fn save(&self, name: &'static str, out: &mut StateOut<'_>) -> Result<()> {
        out.put_keyed(name, self.records())?;
        let mut failed = None;
        let mut read = |record: Result<_>| record.map_err(|error| failed = Some(error)).ok();
        let parts = self.spilled.records::<K, A::Accumulator>();
        let parts = parts.map_while(&mut read).map(|(is_first, record)| {
            let (key, window, _) = &record;
            let in_memory = self.table(*window).is_some_and(|t| t.find(key).is_some());
            (is_first && !in_memory, record)
        });
        out.put_parts(name, parts)?;
        let whole = self.evicted_records();
        out.put_keyed(
            name,
            whole.map_while(|record| record.map_err(|error| failed = Some(error)).ok()),
        )?;
        failed.map_or(Ok(()), Err)
    }

    /// Returns the table of a window between bundles.
    fn table(&self, window: Window) -> Option<&Table<K, A>> {
        match &self.current {
            Some((current, table)) if *current == window => Some(table),
            _ => self.open.get(&window).or_else(|| self.ended.get(&window)),
        }
    }

    /// Takes back a group that was saved at the stage's watermark, or a part of one.
    pub(super) fn restore(
        &mut self,
        stage: &Stage<'_, A>,
        (key, window, group): Record<K, A::Accumulator>,
    ) -> Result<()> {
        let ended = stage.has_ended(window);
        self.bring_back(stage, window, &key)?;
        let tables = if ended {
            &mut self.ended
        } else {
            &mut self.open
        };
        let (_, into) = tables.entry(window).or_default().entry_mut(key, Group::new);
        self.entries += u64::from(into.is_new());
        let before = into.dirty.then_some(into.output_time);
        into.absorb(stage, window, group);
        if !ended {
            self.holds
                .replace(before, into.dirty.then_some(into.output_time));
        }
        Ok(())
    }

    /// Spills some groups.
    pub(super) fn relieve(
        &mut self,
        strategy: &WindowingStrategy,
        account: &mut Account,
    ) -> Result<()> {
        let before = self.entries;
        self.evict(strategy, &account.share)?;
        account.left(before, self.entries);
        Ok(())
    }

    /// Spills about half of the groups, of windows that fire last.
    fn evict(&mut self, strategy: &WindowingStrategy, share: &Share) -> Result<()> {
        if let Some((window, table)) = self.current.take() {
            self.open.insert(window, table);
        }
        let late: BTreeSet<Window> = self.late.iter().map(|(window, _)| *window).collect();
        let ended = self.ended.iter_mut().rev();
        let ended = ended.filter(|(window, _)| !late.contains(window));
        // A window may have ended and not have fired yet.
        let open = self.open.iter_mut().rev().map(|of| (of, true));
        let tables = open.chain(ended.map(|of| (of, false)));
        let (half, mut parts, mut count) = (self.entries / 2, BTreeMap::new(), 0);
        for ((window, table), is_open) in tables {
            if count > half {
                break;
            }
            count += table.len() as u64;
            if is_open && !self.by_key {
                parts.insert(*window, table);
            } else {
                let due = match is_open {
                    true => window.max_timestamp(),
                    false => strategy.expiry(*window),
                };
                let of = (*window, due);
                let gone = evicted::put_away::<K, A>(&mut self.evicted, share, of, table)?;
                self.entries -= gone;
                self.evicted_open += if is_open { gone } else { 0 };
            }
        }
        parts.retain(|_, table| table.len() > 0);
        if !parts.is_empty() {
            self.entries -= self.spilled.write::<K, A>(share, parts.into_iter())?;
        }
        Ok(())
    }

    /// Returns what is gathered in memory for a key.
    pub(super) fn accumulator(&self, key: &K, window: Window) -> Option<&A::Accumulator> {
        let table = self.table(window)?;
        let group = table.get(table.find(key)?)?;
        group.accumulator.as_ref()
    }

    pub(super) fn open_groups(&self) -> u64 {
        let current = self.current.iter().map(|(window, table)| (window, table));
        let open = current.chain(&self.open).map(|(window, table)| {
            table.len() as u64 + self.spilled.groups_beside::<K, A>(*window, Some(table))
        });
        open.sum::<u64>() + self.evicted_open
    }

    pub(super) fn current_key(&self) -> Option<&K> {
        if self.current_slot == LATE_SLOT {
            let (window, slot) = self.current_late?;
            return self.ended.get(&window)?.key(slot);
        }
        let (_, table) = self.current.as_ref()?;
        table.key(self.current_slot)
    }
}

/// Stands for the slot in [`AlignedGroups::current_late`]. No table is that large.
const LATE_SLOT: SlotId = SlotId::MAX;

/// The number of emptied tables that are kept for windows to come.
const SPARE_TABLES: usize = 4;

#[cfg(test)]
impl<K: Key, A: Aggregate> AlignedGroups<K, A> {
    /// Every window is where its time says; returns the earliest time still to be emitted.
    pub(super) fn assert_sound(&self, stage: &Stage<'_, A>) -> Option<crate::time::Timestamp> {
        let current = self.current.iter().map(|(window, table)| (window, table));
        let open: Vec<_> = current.chain(&self.open).collect();
        assert!(open.iter().all(|(window, _)| !stage.has_ended(**window)));
        let mut ended = self.ended.keys();
        assert!(ended.all(|window| stage.has_ended(*window) && !stage.has_expired(*window)));
        let groups = open.iter().flat_map(|(_, table)| table.iter());
        let in_memory = groups.map(|(_, group)| group.output_time);
        let parts = self.spilled.records::<K, A::Accumulator>().flatten();
        let parts = parts.map(|(_, (_, window, group))| (window, group));
        let mut whole = 0;
        let evicted = self.evicted_records().flatten();
        let evicted = evicted.map(|(key, window, group)| {
            let table = self.table(window);
            assert!(table.is_none_or(|table| table.find(&key).is_none()));
            whole += u64::from(!stage.has_ended(window));
            (window, group)
        });
        let away = parts
            .chain(evicted)
            .filter(|(window, _)| !stage.has_ended(*window));
        let away: Vec<_> = away.map(|(_, group)| group.output_time).collect();
        assert_eq!(whole, self.evicted_open);
        in_memory.chain(away).min()
    }

    /// Returns the number of (key, window) that are kept.
    pub(super) fn kept(&self) -> usize {
        let ended: usize = self.ended.values().map(KeyTable::len).sum();
        let evicted = self.evicted.len() - self.evicted_open;
        ended + evicted as usize + self.open_groups() as usize
    }
}
