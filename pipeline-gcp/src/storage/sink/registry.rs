//! Which names are taken.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pipeline_core::{Error, Result, Timestamp};

use super::naming::FileKey;

/// Counts the parts of each destination, window and shard, for all workers.
#[derive(Default)]
pub(super) struct Registry(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    /// The next part, and the round in which the last was taken.
    parts: BTreeMap<FileKey, (u32, u64)>,
    /// Who has a name: two must not have one.
    names: HashMap<String, FileKey>,
    /// Counts the rounds: what was taken two rounds ago is published.
    round: u64,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether a file was written of it, as far as that is remembered.
    pub(super) fn knows(&self, key: &FileKey) -> bool {
        self.lock().parts.contains_key(key)
    }

    /// Takes the next part.
    pub(super) fn take(&self, key: &FileKey) -> u32 {
        let mut taken = self.lock();
        let now = taken.round;
        let (next, round) = match taken.parts.get_mut(key) {
            Some(next) => next,
            None => taken.parts.entry(key.clone()).or_default(),
        };
        let part = *next;
        (*next, *round) = (part + 1, now);
        part
    }

    /// Takes a name.
    ///
    /// # Errors
    /// When a file of another destination, window or shard has it.
    pub(super) fn take_name(&self, name: &str, key: &FileKey) -> Result<()> {
        let mut taken = self.lock();
        match taken.names.insert(name.to_owned(), key.clone()) {
            Some(other) if other == *key => Err(Error::option(format!(
                "the naming function gives {name:?} for several parts of one shard: let it use \
                 FileName::part or FileName::number"
            ))),
            Some(other) => Err(Error::option(format!(
                "the naming function gives {name:?} for two files: shard {} of {:?} in {} and shard {} of {:?} in \
                 {}; let it use destination, window and shard",
                other.shard,
                other.destination,
                other.window,
                key.shard,
                key.destination,
                key.window
            ))),
            None => Ok(()),
        }
    }

    /// Forgets windows that ended so long before the watermark, but for those that have files which may not be
    /// published yet.
    pub(super) fn forget(&self, watermark: Timestamp, remember: Duration) {
        let mut taken = self.lock();
        let Taken {
            parts,
            names,
            round,
        } = &mut *taken;
        parts
            .retain(|key, (_, last)| key.window.end() + remember > watermark || *last + 2 > *round);
        names.retain(|_, key| parts.contains_key(key));
    }

    /// Begins the next round: all that was taken in the one before the last is published.
    pub(super) fn next_round(&self) {
        self.lock().round += 1;
    }

    /// Returns the parts for a snapshot.
    pub(super) fn parts(&self) -> Vec<(FileKey, u32)> {
        let taken = self.lock();
        taken
            .parts
            .iter()
            .map(|(key, (next, _))| (key.clone(), *next))
            .collect()
    }

    /// Takes parts back from a snapshot.
    pub(super) fn restore(&self, parts: impl IntoIterator<Item = (FileKey, u32)>) {
        let mut taken = self.lock();
        for (key, next) in parts {
            let (known, _) = taken.parts.entry(key).or_default();
            *known = (*known).max(next);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        *self.lock() = Taken::default();
    }
}
