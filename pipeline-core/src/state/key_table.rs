//! A table from keys to state, with stable slots that are visited in a reproducible order.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// The seed of the hashes inside tables. It differs from [`PARTITION_SEED`]: were they equal, all
/// keys of a worker would share the bits by which they were sent there.
pub(super) const TABLE_SEED: u64 = 0x51_7c_c1_b7_27_22_0a_95;

/// The seed of the hashes by which keys find their worker. Seeds are fixed, or a run could not be
/// repeated.
const PARTITION_SEED: u64 = 0x2d_35_8d_cc_aa_6c_78_a5;

/// Returns the worker, of `workers`, that owns a key.
pub(crate) fn partition<K: Hash>(key: &K, workers: usize) -> usize {
    let hash = FixedState::with_seed(PARTITION_SEED).hash_one(key);
    ((u128::from(hash) * workers as u128) >> 64) as usize
}

/// Names a slot of a [`KeyTable`]; it stays valid until its key is removed.
pub(crate) type SlotId = u32;

/// The part of a key's hash that a table works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KeyHash(u32);

impl KeyHash {
    /// Spreads it over the bits that the index looks at: the lowest for the place, the highest to
    /// tell neighbours apart.
    fn wide(self) -> u64 {
        u64::from(self.0) | u64::from(self.0) << 32
    }
}

struct Slot<K, S> {
    key: K,
    state: S,
}

/// Maps keys to state. Slots are numbered in the order in which keys come, and freed numbers are
/// used again; iteration goes by number, so that no hash order reaches an output.
///
/// The index holds hashes beside the numbers: it grows, and passes over other keys, without a look
/// at the slots. Slots are in chunks, so that they never move when their number grows.
pub(crate) struct KeyTable<K, S> {
    index: HashTable<(KeyHash, SlotId)>,
    chunks: Vec<Chunk<K, S>>,
    /// The number of slots in all chunks.
    used: u32,
    free: Vec<SlotId>,
    hasher: FixedState,
}

type Chunk<K, S> = Vec<Option<Slot<K, S>>>;

impl<K, S> Default for KeyTable<K, S> {
    fn default() -> Self {
        KeyTable {
            index: HashTable::new(),
            chunks: Vec::new(),
            used: 0,
            free: Vec::new(),
            hasher: FixedState::with_seed(TABLE_SEED),
        }
    }
}

impl<K, S> KeyTable<K, S> {
    /// The bits of a slot's number that tell its place in a chunk: about 64 KiB of slots, 16 at
    /// least. The first chunk grows up to there; many tables have a few keys only.
    const BITS: u32 = {
        let size = size_of::<Option<Slot<K, S>>>();
        let slots = (64 << 10) / if size == 0 { 1 } else { size };
        if slots < 16 { 4 } else { slots.ilog2() }
    };

    /// Splits a slot's number into those of its chunk and of its place there.
    const fn place(id: SlotId) -> (usize, usize) {
        let chunk = id >> Self::BITS;
        (chunk as usize, (id - (chunk << Self::BITS)) as usize)
    }

    #[inline]
    fn slot(&self, id: SlotId) -> Option<&Slot<K, S>> {
        let (chunk, place) = Self::place(id);
        self.chunks.get(chunk)?.get(place)?.as_ref()
    }

    #[inline]
    fn slot_mut(&mut self, id: SlotId) -> Option<&mut Option<Slot<K, S>>> {
        let (chunk, place) = Self::place(id);
        self.chunks.get_mut(chunk)?.get_mut(place)
    }

    /// Adds a slot behind all others.
    fn push(&mut self, slot: Slot<K, S>) -> SlotId {
        let (chunk, _) = Self::place(self.used);
        if self.chunks.len() == chunk {
            let capacity = if chunk == 0 { 0 } else { 1 << Self::BITS };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        self.chunks[chunk].push(Some(slot));
        // 2^32 open keys on one worker do not fit its memory.
        self.used += 1;
        self.used - 1
    }
}

impl<K: Hash + Eq, S> KeyTable<K, S> {
    /// Returns the hash by which a key is found.
    #[inline]
    fn hash(&self, key: &K) -> KeyHash {
        KeyHash((self.hasher.hash_one(key) >> 32) as u32)
    }

    /// Returns the slot where a key of that hash is, if there is one: nearly always that of the
    /// key in question.
    #[inline]
    fn candidate(&self, hash: KeyHash) -> Option<SlotId> {
        let found = self.index.find(hash.wide(), |(other, _)| *other == hash);
        found.map(|(_, id)| *id)
    }

    /// Returns the slot of `key`, made by `make` if the key is new.
    #[inline]
    pub(crate) fn entry(&mut self, key: K, make: impl FnOnce() -> S) -> SlotId {
        self.entry_mut(key, make).0
    }

    /// Returns the slot of `key` with its state, made by `make` if the key is new.
    #[inline]
    pub(crate) fn entry_mut(&mut self, key: K, make: impl FnOnce() -> S) -> (SlotId, &mut S) {
        let hash = self.hash(&key);
        let candidate = self.candidate(hash);
        self.entry_at(candidate, hash, key, make)
    }

    /// Does what [`KeyTable::entry_mut`] does, for a key whose hash and candidate are known; the
    /// candidate may be from before other keys were added.
    #[inline]
    fn entry_at(
        &mut self,
        candidate: Option<SlotId>,
        hash: KeyHash,
        key: K,
        make: impl FnOnce() -> S,
    ) -> (SlotId, &mut S) {
        let id = match candidate {
            Some(id) if self.slot(id).is_some_and(|slot| slot.key == key) => id,
            _ => self.find_or_insert(hash, key, make),
        };
        let (chunk, place) = Self::place(id);
        let slot = self.chunks[chunk][place].as_mut();
        (id, &mut slot.expect("the slot was just found").state)
    }

    #[inline(never)]
    fn find_or_insert(&mut self, hash: KeyHash, key: K, make: impl FnOnce() -> S) -> SlotId {
        let is_key = |(other, id): &(KeyHash, SlotId)| {
            *other == hash && self.slot(*id).is_some_and(|slot| slot.key == key)
        };
        if let Some((_, id)) = self.index.find(hash.wide(), is_key) {
            return *id;
        }
        let state = make();
        let slot = Slot { key, state };
        let free = self.free.pop();
        let id = match free.map(|id| (id, self.slot_mut(id))) {
            Some((id, Some(place))) => {
                *place = Some(slot);
                id
            }
            _ => self.push(slot),
        };
        self.index
            .insert_unique(hash.wide(), (hash, id), |(hash, _)| hash.wide());
        id
    }

    /// Returns the slot of a key, if it is there.
    pub(crate) fn find(&self, key: &K) -> Option<SlotId> {
        let hash = self.hash(key);
        let is_key = |(other, id): &(KeyHash, SlotId)| {
            *other == hash && self.slot(*id).is_some_and(|slot| slot.key == *key)
        };
        let found = self.index.find(hash.wide(), is_key);
        found.map(|(_, id)| *id)
    }

    /// Returns the state of a slot.
    pub(crate) fn get(&self, id: SlotId) -> Option<&S> {
        Some(&self.slot(id)?.state)
    }

    /// Returns the key and the state of a slot.
    pub(crate) fn get_mut(&mut self, id: SlotId) -> Option<(&K, &mut S)> {
        let slot = self.slot_mut(id)?.as_mut()?;
        Some((&slot.key, &mut slot.state))
    }

    /// Returns the key of a slot.
    pub(crate) fn key(&self, id: SlotId) -> Option<&K> {
        Some(&self.slot(id)?.key)
    }

    /// Removes a slot, and returns what was in it.
    pub(crate) fn remove(&mut self, id: SlotId) -> Option<(K, S)> {
        let slot = self.slot_mut(id)?.take()?;
        let hash = self.hash(&slot.key);
        if let Ok(entry) = self
            .index
            .find_entry(hash.wide(), |(_, other)| *other == id)
        {
            entry.remove();
        }
        self.free.push(id);
        Some((slot.key, slot.state))
    }

    /// Moves out what is in a slot of a table that is being taken apart: the index is not kept, so
    /// that nothing may be looked up or added afterwards.
    pub(crate) fn take(&mut self, id: SlotId) -> Option<(K, S)> {
        let slot = self.slot_mut(id)?.take()?;
        Some((slot.key, slot.state))
    }

    /// Moves out what is in a slot as [`KeyTable::take`] does, where slots are taken in the order
    /// of their numbers: the memory of a chunk is given back with its last slot.
    pub(crate) fn take_in_order(&mut self, id: SlotId) -> Option<(K, S)> {
        let taken = self.take(id);
        let (chunk, place) = Self::place(id);
        if place + 1 == 1 << Self::BITS && chunk < self.chunks.len() {
            self.chunks[chunk] = Vec::new();
        }
        taken
    }

    /// Returns the number of slots, those included that are free.
    pub(crate) fn slots(&self) -> SlotId {
        self.used
    }

    /// Returns the number of keys.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Visits all slots in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &S)> {
        let slots = self.chunks.iter().flatten().flatten();
        slots.map(|slot| (&slot.key, &slot.state))
    }

    /// Moves all keys out, in the order of their slots; capacity stays.
    pub(crate) fn drain(&mut self) -> Drain<'_, K, S> {
        self.index.clear();
        self.free.clear();
        self.used = 0;
        Drain {
            chunks: self.chunks.iter_mut(),
            chunk: None,
        }
    }
}

/// Moves the keys out of a [`KeyTable`]; what is not taken is dropped.
pub(crate) struct Drain<'a, K, S> {
    chunks: std::slice::IterMut<'a, Chunk<K, S>>,
    chunk: Option<std::vec::Drain<'a, Option<Slot<K, S>>>>,
}

impl<K, S> Iterator for Drain<'_, K, S> {
    type Item = (K, S);

    fn next(&mut self) -> Option<(K, S)> {
        loop {
            if let Some(slot) = self.chunk.iter_mut().flatten().flatten().next() {
                return Some((slot.key, slot.state));
            }
            self.chunk = Some(self.chunks.next()?.drain(..));
        }
    }
}

impl<K, S> Drop for Drain<'_, K, S> {
    fn drop(&mut self) {
        self.chunks.by_ref().for_each(Vec::clear);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_found_again_and_reused() {
        let mut table = KeyTable::default();
        let a = table.entry("a", || 1);
        let b = table.entry("b", || 2);
        assert_eq!(table.entry_mut("a", || 9), (a, &mut 1));
        assert_eq!(table.remove(a), Some(("a", 1)));
        assert_eq!(table.get_mut(a), None);
        assert_eq!(table.entry_mut("c", || 3), (a, &mut 3));
        assert_eq!(table.get_mut(b), Some((&"b", &mut 2)));
        let all: Vec<_> = table.drain().collect();
        assert_eq!(all, [("c", 3), ("b", 2)]);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn keys_are_told_apart_by_more_than_their_hashes() {
        /// All keys have one hash.
        #[derive(Clone, Debug, PartialEq, Eq)]
        struct Same(u32);
        impl Hash for Same {
            fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
        }
        let mut table = KeyTable::default();
        let ids: Vec<_> = (0..100).map(|n| table.entry(Same(n), || n)).collect();
        for n in 0..100 {
            // What was a candidate before may be the slot of another key, or of none.
            let hash = table.hash(&Same(n));
            for candidate in [None, Some(0), Some(7), Some(1000)] {
                let found = table.entry_at(candidate, hash, Same(n), || 1000);
                assert_eq!(found, (ids[n as usize], &mut { n }));
            }
        }
        assert_eq!(table.remove(ids[7]), Some((Same(7), 7)));
        let hash = table.hash(&Same(7));
        assert_eq!(table.entry_at(Some(ids[7]), hash, Same(7), || 70).1, &70);
    }

    #[test]
    fn many_keys_keep_their_order_and_their_slots_are_used_again() {
        let mut table = KeyTable::default();
        for round in 0..2_u64 {
            let ids: Vec<_> = (0..20_000_u64).map(|k| table.entry(k, || round)).collect();
            assert_eq!(ids, (0..20_000).collect::<Vec<_>>());
            assert_eq!(table.key(19_999), Some(&19_999));
            assert!(table.iter().map(|(k, _)| *k).eq(0..20_000));
            // A drain that is given up takes everything with it.
            let taken: Vec<_> = table.drain().take(10_000).collect();
            assert!(taken.into_iter().eq((0..10_000).map(|k| (k, round))));
            assert_eq!((table.len(), table.iter().count()), (0, 0));
        }
    }

    #[test]
    fn a_table_that_is_taken_apart_gives_every_slot_once() {
        let filled = || {
            let mut table = KeyTable::default();
            for key in 0..20_000_u64 {
                table.entry(key, || key + 1);
            }
            table.remove(5);
            assert_eq!(table.slots(), 20_000);
            table
        };
        let expected = |k| (k != 5).then_some((u64::from(k), u64::from(k) + 1));
        let mut table = filled();
        assert!((0..20_000).all(|id| table.take_in_order(id) == expected(id)));
        assert_eq!((table.take(7), table.take(20_000)), (None, None));
        // In any other order.
        let mut table = filled();
        assert!((0..20_000).rev().all(|id| table.take(id) == expected(id)));
        assert_eq!(table.take(7), None);
    }

    #[test]
    fn every_worker_gets_keys() {
        let mut counts = [0; 3];
        for key in 0..3_000_u64 {
            counts[partition(&key, 3)] += 1;
        }
        assert!(counts.iter().all(|c| (900..1100).contains(c)), "{counts:?}");
    }
}
