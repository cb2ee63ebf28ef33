//! A table from keys to state, with stable slots that are visited in a reproducible order.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// The seed of the hashes inside tables. It differs from [`PARTITION_SEED`]: were they equal, all
/// keys of a worker would share the bits by which they were sent there.
const TABLE_SEED: u64 = 0x51_7c_c1_b7_27_22_0a_95;

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

struct Slot<K, S> {
    hash: u64,
    key: K,
    state: S,
}

/// Maps keys to state. Slots are numbered in the order in which keys come, and freed numbers are
/// used again; iteration goes by number, so that no hash order reaches an output.
pub(crate) struct KeyTable<K, S> {
    index: HashTable<SlotId>,
    slots: Vec<Option<Slot<K, S>>>,
    free: Vec<SlotId>,
    hasher: FixedState,
}

impl<K, S> Default for KeyTable<K, S> {
    fn default() -> Self {
        KeyTable {
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            hasher: FixedState::with_seed(TABLE_SEED),
        }
    }
}

impl<K: Hash + Eq, S> KeyTable<K, S> {
    /// Returns the slot of `key`, made by `make` if the key is new.
    #[inline]
    pub(crate) fn entry(&mut self, key: K, make: impl FnOnce() -> S) -> SlotId {
        let hash = self.hasher.hash_one(&key);
        let slots = &self.slots;
        let is_key = |id: &SlotId| match &slots[*id as usize] {
            Some(slot) => slot.hash == hash && slot.key == key,
            None => false,
        };
        if let Some(id) = self.index.find(hash, is_key) {
            return *id;
        }
        let slot = Some(Slot {
            hash,
            key,
            state: make(),
        });
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                // 2^32 open keys on one worker do not fit its memory.
                (self.slots.len() - 1) as SlotId
            }
        };
        let slots = &self.slots;
        self.index
            .insert_unique(hash, id, |id| match &slots[*id as usize] {
                Some(slot) => slot.hash,
                None => 0,
            });
        id
    }

    /// Returns the key and the state of a slot.
    pub(crate) fn get_mut(&mut self, id: SlotId) -> Option<(&K, &mut S)> {
        let slot = self.slots.get_mut(id as usize)?.as_mut()?;
        Some((&slot.key, &mut slot.state))
    }

    /// Returns the key of a slot.
    pub(crate) fn key(&self, id: SlotId) -> Option<&K> {
        Some(&self.slots.get(id as usize)?.as_ref()?.key)
    }

    /// Removes a slot, and returns what was in it.
    pub(crate) fn remove(&mut self, id: SlotId) -> Option<(K, S)> {
        let slot = self.slots.get_mut(id as usize)?.take()?;
        if let Ok(entry) = self.index.find_entry(slot.hash, |other| *other == id) {
            entry.remove();
        }
        self.free.push(id);
        Some((slot.key, slot.state))
    }

    /// Returns the number of keys.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Tells whether there is no key.
    pub(crate) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Visits all slots in the order of their numbers.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (SlotId, &K, &mut S)> {
        let slots = self.slots.iter_mut().enumerate();
        slots.filter_map(|(id, slot)| {
            let slot = slot.as_mut()?;
            Some((id as SlotId, &slot.key, &mut slot.state))
        })
    }

    /// Visits all slots in the order of their numbers, read only.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &S)> {
        let slots = self.slots.iter().flatten();
        slots.map(|slot| (&slot.key, &slot.state))
    }

    /// Moves all keys out, in the order of their slots; capacity stays.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (K, S)> + '_ {
        self.index.clear();
        self.free.clear();
        self.slots.drain(..).flatten().map(|s| (s.key, s.state))
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
        assert_eq!(table.entry("a", || 9), a);
        assert_eq!(table.remove(a), Some(("a", 1)));
        assert_eq!(table.get_mut(a), None);
        assert_eq!(table.entry("c", || 3), a);
        assert_eq!(table.get_mut(b), Some((&"b", &mut 2)));
        let all: Vec<_> = table.drain().collect();
        assert_eq!(all, [("c", 3), ("b", 2)]);
        assert!(table.is_empty());
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
