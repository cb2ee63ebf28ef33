//! Whole groups in the store, key by key, where partial ones would not do.
//!
//! - Of a window that has ended: a late element fires what its group has held.
//! - With [`TimestampCombiner::Latest`](crate::window::TimestampCombiner::Latest): a further element
//!   lets the watermark go on, by as much as the group held it before. Parts that do not know of
//!   each other would each hold it until the window ends.

use super::spilled::{WINDOW, decoded, encode, encode_group, group, prefix, window_of};
use super::{Aggregate, AlignedGroups, Group, Record, Stage, Table};
use crate::coder::Key;
use crate::error::{Error, Result};
use crate::state::spill::{Batch, Evicted, Share};
use crate::time::Timestamp;
use crate::user_code::Fault;
use crate::window::Window;
use crate::window::groups::ENTRY;

/// Moves the groups of a window to the store, and leaves those in the table whose keys are too
/// long. Returns the number of those that have gone.
pub(super) fn put_away<K: Key, A: Aggregate>(
    evicted: &mut Evicted,
    share: &Share,
    (window, due): (Window, Timestamp),
    table: &mut Table<K, A>,
) -> Result<u64> {
    let mut leaving = Batch::with_capacity(table.len());
    let mut taken = std::mem::take(table);
    for slot in 0..taken.slots() {
        let Some(key) = taken.key(slot) else {
            continue;
        };
        let leaves = leaving.add(due, slot, |out| {
            out.extend_from_slice(&prefix(window));
            encode(key, out)
        })?;
        if !leaves && let Some((key, group)) = taken.take(slot) {
            table.entry(key, || group);
        }
    }
    let count = leaving.len() as u64;
    evicted.put(share, leaving, |slot, out| {
        let gone = || Error::internal("a slot of groups is gone");
        let (_, group) = taken.take(slot).ok_or_else(gone)?;
        encode_group(&group, out)
    })?;
    Ok(count)
}

/// A group that was in the store, to be fired.
pub(super) struct Found<K, A> {
    pub(super) key: K,
    pub(super) group: Group<A>,
    pub(super) bytes: usize,
}

impl<K: Key, A: Aggregate> AlignedGroups<K, A> {
    /// What a group takes besides what is encoded of it.
    const ENTRY: u64 = (size_of::<(K, Group<A::Accumulator>)>() + ENTRY) as u64;

    /// Brings the group of a key back, if it is whole in the store.
    pub(in crate::window::groups) fn bring_back(
        &mut self,
        stage: &Stage<'_, A>,
        window: Window,
        key: &K,
    ) -> Result<()> {
        let late = stage.has_ended(window);
        if self.evicted.is_empty() || !(late || self.by_key) {
            return Ok(());
        }
        let table = match late {
            true => self.ended.entry(window).or_default(),
            false => match &mut self.current {
                Some((current, table)) if *current == window => table,
                _ => self.open.entry(window).or_default(),
            },
        };
        if table.find(key).is_some() {
            return Ok(());
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(&prefix(window));
        encode(key, &mut self.scratch)?;
        if let Some(value) = self.evicted.take(&self.scratch)? {
            let group = group(&value)?;
            table.entry(key.clone(), || group);
            self.entries += 1;
            self.evicted_open -= u64::from(!late);
            self.count_back(value.len());
        }
        Ok(())
    }

    /// Says that a group of so many bytes is in memory again.
    pub(super) fn count_back(&mut self, bytes: usize) {
        self.came_back.0 += 1;
        self.came_back.1 += bytes as u64 + Self::ENTRY;
    }

    /// Takes the next group of a window that has ended out of the store, and its hold.
    pub(super) fn next_evicted(
        &mut self,
        window: Window,
    ) -> Result<Option<Found<K, A::Accumulator>>> {
        let before = window.max_timestamp().plus_millis(1);
        let prefix = prefix(window);
        // What is due there and in an earlier window has expired.
        let is_due = |key: &[u8]| key.get(..WINDOW).is_some_and(|of| of <= &prefix[..]);
        while let Some(found) = self.evicted.pop_due_if(before, is_due)? {
            if found.key().starts_with(&prefix) {
                let group = group(&found.value)?;
                if group.dirty {
                    self.holds.replace(Some(group.output_time), None);
                }
                self.evicted_open -= 1;
                return Ok(Some(Found {
                    key: decoded(&found.key()[WINDOW..])?,
                    group,
                    bytes: found.value.len(),
                }));
            }
        }
        Ok(None)
    }

    /// Forgets the groups that have expired, about `room` of them; returns whether that is all.
    pub(super) fn forget_expired(
        &mut self,
        stage: &Stage<'_, A>,
        room: &mut usize,
    ) -> Result<bool, Fault> {
        self.is_forgetting = false;
        while self.evicted.earliest_due() < stage.watermark {
            if *room == 0 {
                self.is_forgetting = true;
                return Ok(false);
            }
            *room -= 1;
            self.evicted.pop_due(stage.watermark)?;
        }
        Ok(true)
    }

    /// Returns what is whole in the store, to be saved.
    pub(super) fn evicted_records(
        &self,
    ) -> impl Iterator<Item = Result<Record<K, A::Accumulator>>> {
        self.evicted.iter().map(|found| {
            let found = found?;
            let (window, key) = window_of(found.key())?;
            Ok((decoded(key)?, window, group(&found.value)?))
        })
    }
}
