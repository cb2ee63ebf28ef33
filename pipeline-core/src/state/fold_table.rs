//! A table from keys to state that only grows, until all keys are taken out at once.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::key_table::TABLE_SEED;

/// The size of a table, in bytes of its entries, at which it should be emptied.
pub(crate) const FLUSH_BYTES: usize = 32 << 20;

/// The part of a key's hash that a table works with.
pub(crate) type FoldHash = u32;

/// The number of a key in a table: keys are numbered as they come.
pub(crate) type FoldId = u32;

/// Maps keys to state, in the order in which keys came: no hash order reaches an output.
///
/// It is made for tables that are larger than a processor's near caches, where every line of
/// memory that is touched counts. The index holds only numbers, and the tags that hashbrown keeps
/// beside them: it stays in a near cache when the entries no longer do.
pub(crate) struct FoldTable<K, S> {
    index: HashTable<FoldId>,
    /// All are taken; the `Option` is there to be looked at: see [`FoldTable::is_taken`].
    entries: Vec<Option<(K, S)>>,
    /// The hash of each entry, for when the index grows.
    hashes: Vec<FoldHash>,
    hasher: FixedState,
}

impl<K, S> Default for FoldTable<K, S> {
    fn default() -> Self {
        FoldTable {
            index: HashTable::new(),
            entries: Vec::new(),
            hashes: Vec::new(),
            hasher: FixedState::with_seed(TABLE_SEED),
        }
    }
}

/// Spreads a hash over the bits that the index looks at: the lowest for the place, the highest to
/// tell neighbours apart.
#[inline]
fn wide(hash: FoldHash) -> u64 {
    u64::from(hash) | u64::from(hash) << 32
}

impl<K: Hash + Eq, S> FoldTable<K, S> {
    /// Returns the hash by which a key is found.
    #[inline]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> FoldHash
    where
        K: Borrow<Q>,
    {
        (self.hasher.hash_one(key) >> 32) as u32
    }

    /// Returns a key that may be the one of that hash, if there is one: mostly the key in
    /// question. It looks at the index only. A loop over many keys that first asks this for all of
    /// them does not wait for memory key by key.
    #[inline]
    pub(crate) fn candidate(&self, hash: FoldHash) -> Option<FoldId> {
        self.index.find(wide(hash), |_| true).copied()
    }

    /// Tells whether a key has that number, whichever. It brings the key into the processor's
    /// cache, with so few instructions that it can wait for many at once.
    #[inline]
    pub(crate) fn is_taken(&self, id: FoldId) -> bool {
        self.entries.get(id as usize).is_some_and(Option::is_some)
    }

    /// Tells whether it is this key that has that number.
    #[inline]
    pub(crate) fn is_at<Q: Eq + ?Sized>(&self, id: FoldId, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.key(id).is_some_and(|other| *key == *other.borrow())
    }

    /// Returns the number of a key, if it is there.
    #[inline]
    pub(crate) fn find<Q: Eq + ?Sized>(&self, hash: FoldHash, key: &Q) -> Option<FoldId>
    where
        K: Borrow<Q>,
    {
        let found = self.index.find(wide(hash), |id| self.is_at(*id, key));
        found.copied()
    }

    /// Adds a key that is not there, and returns its number.
    pub(crate) fn insert(&mut self, hash: FoldHash, key: K, state: S) -> FoldId {
        let id = self.entries.len() as FoldId;
        self.entries.push(Some((key, state)));
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.index
            .insert_unique(wide(hash), id, |id| wide(hashes[*id as usize]));
        id
    }

    /// Returns the state of a key by its number.
    #[inline]
    pub(crate) fn state_mut(&mut self, id: FoldId) -> Option<&mut S> {
        let entry = self.entries.get_mut(id as usize)?.as_mut()?;
        Some(&mut entry.1)
    }

    /// Returns the key of a number.
    pub(crate) fn key(&self, id: FoldId) -> Option<&K> {
        Some(&self.entries.get(id as usize)?.as_ref()?.0)
    }

    /// Visits all keys in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &S)> {
        let entries = self.entries.iter().flatten();
        entries.map(|(key, state)| (key, state))
    }

    /// Tells whether there is no key.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Moves all keys out, in the order of their numbers; capacity stays, unless it is far more
    /// than was needed.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (K, S)> {
        if self.index.capacity() / 32 > self.entries.len() {
            // To clear it again and again would cost more than the few keys are worth.
            self.index = HashTable::new();
        } else {
            self.index.clear();
        }
        self.hashes.clear();
        self.entries.drain(..).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds one to the count of a key, as those who use the table do.
    fn count<K: Hash + Eq>(table: &mut FoldTable<K, u64>, key: K) -> FoldId {
        let hash = table.hash(&key);
        let id = match table.find(hash, &key) {
            Some(id) => id,
            None => table.insert(hash, key, 0),
        };
        *table.state_mut(id).unwrap() += 1;
        id
    }

    #[test]
    fn keys_keep_the_order_in_which_they_came() {
        let mut table = FoldTable::default();
        // Many keys, then few: the second drain finds an index that is too large.
        for keys in [20_000_u64, 10, 10, 20_000] {
            for _ in 0..3 {
                for key in 0..keys {
                    assert_eq!(count(&mut table, key * 7), key as FoldId);
                }
            }
            let hash = table.hash(&1);
            assert_eq!(table.find(hash, &1), None);
            assert_eq!(table.key(9), Some(&63));
            let all: Vec<_> = table.drain().collect();
            assert!(all.into_iter().eq((0..keys).map(|key| (key * 7, 3))));
            assert!(table.is_empty());
            let hash = table.hash(&7);
            assert_eq!(table.candidate(hash), None);
        }
    }

    #[test]
    fn keys_are_told_apart_by_more_than_their_hashes() {
        /// All keys have one hash.
        #[derive(Debug, PartialEq, Eq)]
        struct Same(u32);
        impl Hash for Same {
            fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
        }
        let mut table = FoldTable::default();
        for _ in 0..2 {
            for n in 0..100 {
                assert_eq!(count(&mut table, Same(n)), n);
            }
        }
        let hash = table.hash(&Same(0));
        assert!(table.candidate(hash).is_some());
        assert!(table.is_taken(99) && !table.is_taken(100));
        assert!(
            table.is_at(0, &Same(0)) && !table.is_at(0, &Same(1)) && !table.is_at(100, &Same(0))
        );
        assert!(table.drain().eq((0..100).map(|n| (Same(n), 2))));
    }
}
