//! How much memory the state of an operator takes.

use crate::coder::Key;
use crate::coder::encode_to;
use crate::state::key_table::{KeyTable, SlotId};
use crate::state::spill::Share;
use crate::state::{Entry, StateCells};
use crate::window::Window;

/// Where there is no limit, what is held is estimated after so many batches, for the message of a
/// job that runs out of memory.
const BATCHES: u32 = 16;

/// The keys that such an estimate looks at.
const LOOKS: u32 = 32;

/// The bytes that may be encoded for an estimate, for each batch until the next.
const EFFORT: u64 = 10 << 10;

/// The bytes beyond the share, and the part of the share, that are too much even in the middle of
/// a batch.
const SLACK: u64 = 1 << 20;
const SLACK_PART: u64 = 4;

/// What a table, a timer's entry in the queue and one in the list of what expires take, about.
const PLACES: u64 = 24 + 24 + 24;

/// The bytes of the state in memory: with a limit as the sum of what each key weighs, and without
/// one as an estimate from a few keys, which costs elements nothing.
pub(super) struct Held {
    pub(super) share: Share,
    /// There is a limit.
    pub(super) limited: bool,
    bytes: u64,
    published: u64,
    /// The batches until the next estimate.
    batches: u32,
    /// The slot that is looked at next, to be estimated or to be moved to disk.
    pub(super) hand: SlotId,
    pub(super) scratch: Vec<u8>,
}

impl Held {
    pub(super) fn new(share: Share) -> Self {
        Held {
            limited: share.bytes() < u64::MAX,
            share,
            bytes: 0,
            published: 0,
            batches: 0,
            hand: 0,
            scratch: Vec::new(),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Says that what weighed `before` weighs `now`.
    pub(super) fn changed(&mut self, before: u64, now: u64) {
        self.bytes = self.bytes.saturating_sub(before).saturating_add(now);
    }

    /// Tells whether more is held than may be; says how much to whoever asks.
    pub(super) fn is_over(&mut self) -> bool {
        self.share.holds(self.published, self.bytes);
        self.published = self.bytes;
        self.bytes > self.share.bytes()
    }

    /// Tells whether so much more is held that it cannot wait for the end of the batch.
    #[inline]
    pub(super) fn is_far_over(&self) -> bool {
        let share = self.share.bytes();
        // Without a limit nothing is summed up, and this never holds.
        self.bytes > SLACK && self.bytes - SLACK > share.saturating_add(share / SLACK_PART)
    }

    /// Returns what the state of a key weighs.
    pub(super) fn weigh<K: Key>(
        &mut self,
        cells: &StateCells,
        (key, window): &(K, Window),
        entry: &Entry,
    ) -> u64 {
        self.scratch.clear();
        // What cannot be encoded is found out when it must be.
        let _ = encode_to(key, &mut self.scratch);
        for (spec, cell) in cells.cells.iter().zip(&entry.cells) {
            if cell.is_some() {
                let _ = (spec.encode)(&[cell.as_deref()], &mut self.scratch);
            }
        }
        let length = self.scratch.len() as u64;
        if length > 1 << 20 {
            self.scratch = Vec::new();
        }
        weight::<K>(length) + if window.is_global() { 0 } else { 24 }
    }

    /// Estimates what is held, now and then, where there is no limit. `slot`: one that was used.
    pub(super) fn estimate<K: Key>(
        &mut self,
        cells: &StateCells,
        entries: &KeyTable<(K, Window), Entry>,
        slot: SlotId,
    ) {
        if self.batches > 0 {
            self.batches -= 1;
            return;
        }
        let (slots, mut effort, mut found) = (entries.slots(), 0, 0);
        for _ in 0..LOOKS.min(slots) {
            // So far apart that a round comes to all parts of the table.
            self.hand = (self.hand + slots / LOOKS + 1) % slots;
            if let (Some(key), Some(entry)) = (entries.key(self.hand), entries.get(self.hand)) {
                effort += self.weigh(cells, key, entry);
                found += 1;
            }
        }
        let estimate = effort * entries.len() as u64 / found.max(1);
        // One key may have nearly all of it.
        let used = match (entries.key(slot), entries.get(slot)) {
            (Some(key), Some(entry)) => self.weigh(cells, key, entry),
            _ => 0,
        };
        let now = if used > estimate {
            estimate + used
        } else {
            estimate
        };
        self.share.holds(self.published, now);
        self.published = now;
        self.batches = BATCHES.max(((effort + used) / EFFORT) as u32);
    }
}

/// Returns what state weighs whose encoding has that length: what it owns on the heap, half as much
/// for what allocators and growing vectors leave empty, and its places in the tables.
pub(super) fn weight<K>(encoded: u64) -> u64 {
    let entry = size_of::<((K, Window), Entry)>() as u64;
    entry + PLACES + encoded + encoded / 2
}
