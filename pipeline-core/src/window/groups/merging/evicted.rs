//! Groups in windows that merge, beyond the memory of an operator: key by key in the embedded
//! store.
//!
//! A further element of a key may merge any of its windows, so all of them come back with it. What
//! does not come again is read once, when the first of its windows fires or expires: the keys that
//! have not been touched for the longest time go first, for they are the most likely never to come
//! again, and hot keys stay, however large. Recency is counted in batches.
//!
//! The holds of evicted groups stay where they are counted, so that the watermark behind is the
//! same whether or not there is a limit. (With the default timestamp combiner there are none.)

use std::cmp::Reverse;

use serde::de::DeserializeOwned;
use serde::ser::{Serialize, Serializer};
use smallvec::SmallVec;

use super::{Aggregate, Emit, Group, MergingGroups, Record, Session, Sessions, Stage};
use super::{next_due, open_in};
use crate::coder::Key;
use crate::error::{Error, Result};
use crate::graph::snapshot::StateOut;
use crate::state::key_table::SlotId;
use crate::state::spill::{Batch, Share};
use crate::time::Timestamp;
use crate::user_code::Fault;
use crate::window::groups::ENTRY;
use crate::window::groups::account::Account;
use crate::window::groups::aligned::firing::ROOM_BYTES;
use crate::window::groups::aligned::spilled::{decoded, encode};
use crate::window::{Window, WindowingStrategy};

/// The keys that go in one run: what they and their order take is in memory meanwhile.
const AT_ONCE: usize = 64 << 10;

/// The windows of a key.
type Windows<A> = SmallVec<[Session<A>; 1]>;

/// A window without the names of its fields.
type Fields<A> = (Window, bool, Option<A>, bool, Timestamp, u32);

/// The windows of a key, as they are in the store.
pub(in crate::window::groups) struct Stored<'a, A>(pub(in crate::window::groups) &'a [Session<A>]);

impl<A: Serialize> Serialize for Stored<'_, A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|session| {
            let group = &session.group;
            let (window, ended) = (session.window, session.ended);
            let (dirty, output_time, panes) = (group.dirty, group.output_time, group.panes);
            (window, ended, &group.accumulator, dirty, output_time, panes)
        }))
    }
}

/// Reads the windows of a key.
fn windows<A: DeserializeOwned>(bytes: &[u8]) -> Result<Windows<A>> {
    let windows: Vec<Fields<A>> = decoded(bytes)?;
    let session = |(window, ended, accumulator, dirty, output_time, panes)| Session {
        window,
        group: Group {
            accumulator,
            dirty,
            output_time,
            panes,
        },
        ended,
    };
    Ok(windows.into_iter().map(session).collect())
}

impl<K: Key, A: Aggregate> MergingGroups<K, A> {
    /// What a key takes besides what is encoded of it.
    pub(in crate::window::groups) const ENTRY: u64 = (size_of::<(K, Sessions<A::Accumulator>)>()
        + size_of::<Reverse<(Timestamp, SlotId)>>()
        + ENTRY) as u64;

    /// Brings the windows of a key back, if they are in the store.
    pub(in crate::window::groups) fn bring_back(
        &mut self,
        stage: &Stage<'_, A>,
        key: &K,
    ) -> Result<()> {
        if self.evicted.is_empty() || self.keys.find(key).is_some() {
            return Ok(());
        }
        self.scratch.clear();
        encode(key, &mut self.scratch)?;
        if let Some(value) = self.evicted.take(&self.scratch)? {
            let open = windows(&value)?;
            let due = next_due(stage.strategy, &open).unwrap_or(Timestamp::MAX);
            let slot = self.put_back(key.clone(), due, open);
            self.timers.push(Reverse((due, slot)));
            self.came_back.0 += 1;
            self.came_back.1 += value.len() as u64 + Self::ENTRY;
        }
        Ok(())
    }

    /// Puts what was in the store back into memory, but not its timer.
    fn put_back(&mut self, key: K, timer: Timestamp, open: Windows<A::Accumulator>) -> SlotId {
        self.evicted_open -= open_in(&open);
        let touched = self.batch;
        self.keys.entry(key, || Sessions {
            open,
            timer,
            touched,
        })
    }

    /// Fires the first key that is in the store and due no later than `in_memory`, the first one
    /// in memory; there may be none.
    pub(super) fn fire_evicted(
        &mut self,
        stage: &Stage<'_, A>,
        in_memory: Timestamp,
        out: &mut impl Emit<K, A::Output>,
        room: &mut usize,
    ) -> Result<(), Fault> {
        let before = stage.watermark.min(in_memory.plus_millis(1));
        let Some(found) = self.evicted.pop_due(before)? else {
            return Ok(());
        };
        let slot = self.put_back(decoded(found.key())?, found.due, windows(&found.value)?);
        let (keys, bytes) = (self.keys.len(), found.value.len());
        *room = room.saturating_sub(bytes / ROOM_BYTES);
        self.fire_key(stage, slot, out, room)?;
        if self.keys.len() == keys {
            self.came_back.0 += 1;
            self.came_back.1 += bytes as u64 + Self::ENTRY;
        }
        Ok(())
    }

    /// Moves keys to the store until no more is held than may be.
    pub(in crate::window::groups) fn relieve(
        &mut self,
        strategy: &WindowingStrategy,
        account: &mut Account,
    ) -> Result<()> {
        loop {
            let before = self.entries();
            let count = account.excess(before);
            self.evict(strategy, &account.share, count as usize)?;
            let left = self.weigh(account);
            account.is_now(left);
            // Those that stay may be few, and large.
            if self.entries() == before || !account.is_over() {
                return Ok(());
            }
        }
    }

    /// Moves so many keys to the store, or as many as can be, those first that were touched least
    /// lately, and of the same batch those that came first.
    pub(in crate::window::groups) fn evict(
        &mut self,
        strategy: &WindowingStrategy,
        share: &Share,
        count: usize,
    ) -> Result<()> {
        let can_go = |slot: &SlotId| !self.late.contains(slot);
        let slots = (0..self.keys.slots()).filter(can_go);
        let mut touched: Vec<u32> = slots
            .filter_map(|slot| Some(self.keys.get(slot)?.touched))
            .collect();
        let Some(last) = touched.len().min(count).checked_sub(1) else {
            return Ok(());
        };
        // All that were touched before that batch go, and the first ones of those touched in it.
        let (before, until, _) = touched.select_nth_unstable(last);
        let until = *until;
        let mut of_it = last + 1 - before.iter().filter(|batch| **batch < until).count();
        drop(touched);
        let mut leaving = Batch::with_capacity(0);
        for slot in 0..self.keys.slots() {
            let (Some(key), Some(sessions)) = (self.keys.key(slot), self.keys.get(slot)) else {
                continue;
            };
            if self.late.contains(&slot) || sessions.touched > until {
                continue;
            }
            if sessions.touched == until {
                if of_it == 0 {
                    continue;
                }
                of_it -= 1;
            }
            // Its timer may be of before its windows have grown.
            let due = next_due(strategy, &sessions.open).unwrap_or(sessions.timer);
            leaving.add(due, slot, |out| encode(key, out))?;
            if leaving.len() == AT_ONCE {
                let full = std::mem::replace(&mut leaving, Batch::with_capacity(AT_ONCE));
                self.put_away(share, full)?;
            }
        }
        self.put_away(share, leaving)?;
        self.current_slot = SlotId::MAX;
        self.timers.clear();
        for slot in 0..self.keys.slots() {
            if let Some(sessions) = self.keys.get(slot) {
                self.timers.push(Reverse((sessions.timer, slot)));
            }
        }
        Ok(())
    }

    fn put_away(&mut self, share: &Share, leaving: Batch<SlotId>) -> Result<()> {
        let (keys, open) = (&mut self.keys, &mut self.evicted_open);
        self.evicted.put(share, leaving, |slot, out| {
            let gone = || Error::internal("a slot of sessions is gone");
            let (_, sessions) = keys.remove(slot).ok_or_else(gone)?;
            *open += open_in(&sessions.open);
            encode(&Stored(&sessions.open), out)
        })?;
        Ok(())
    }

    /// Estimates what is in memory, by the encodings of some keys.
    fn weigh(&self, account: &mut Account) -> u64 {
        let every = self.keys.len() / WEIGHED + 1;
        let some = self.keys.iter().step_by(every);
        let weigh = |(key, sessions): (&K, &Sessions<A::Accumulator>)| {
            let windows = account.weigh(&Stored(&sessions.open));
            account.weigh(key) + windows + Self::ENTRY
        };
        some.map(weigh).sum::<u64>() * every as u64
    }

    /// Writes the windows of all keys, to be saved when a bundle has ended.
    pub(in crate::window::groups) fn save(
        &self,
        name: &'static str,
        out: &mut StateOut<'_>,
    ) -> Result<()> {
        let in_memory = self.keys.iter();
        out.put_keyed(name, in_memory.map(|(key, s)| (key, s.open.as_slice())))?;
        let mut failed = None;
        let evicted = self.evicted.iter().map(|found| {
            let found = found?;
            let key: K = decoded(found.key())?;
            Ok((key, windows::<A::Accumulator>(&found.value)?.into_vec()))
        });
        let evicted = evicted.map_while(|record: Result<Record<_, _>>| {
            record.map_err(|error| failed = Some(error)).ok()
        });
        out.put_keyed(name, evicted)?;
        failed.map_or(Ok(()), Err)
    }
}

/// The keys that are weighed to estimate what all take.
const WEIGHED: usize = 256;

#[cfg(test)]
impl<K: Key, A: Aggregate> MergingGroups<K, A> {
    /// Returns what is in the store.
    pub(super) fn evicted_keys(
        &self,
    ) -> impl Iterator<Item = (K, Timestamp, Windows<A::Accumulator>)> {
        let read = |found: crate::state::spill::Due| {
            Ok((decoded(found.key())?, found.due, windows(&found.value)?))
        };
        self.evicted.iter().map(move |found| {
            let read = found.and_then(read);
            read.expect("what was written can be read")
        })
    }
}
