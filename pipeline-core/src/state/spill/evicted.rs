//! State that moves to the store key by key, with the time when it is due.
//!
//! Two areas of the store: a queue of the records by (due, key), so that what is due is read in
//! order, and an index from the key to its due time, by which an element finds its state again.
//! In memory is next to nothing for each key. Whoever has never moved anything pays one branch.
//!
//! What a transform keeps for a key is encoded whole, and whole it comes back: [`Evicted::take`]
//! with a further element of the key, [`Evicted::pop_due`] when the watermark has passed its time.

use crate::error::{Error, Result};
use crate::time::Timestamp;

use super::{Area, Bytes, Form, LONGEST_KEY, Scan, Share};

/// Fewer records than that are written one by one: a run of its own costs some milliseconds.
const RUN: usize = if cfg!(test) { 4 } else { 512 };

/// Nor are more bytes written one by one: the store has them in memory until it gets round to them.
const RUN_BYTES: usize = 256 << 10;

/// When nothing is left, the areas are emptied if so many records were forgotten one by one: else
/// what marks them as gone would be passed over again and again.
const GONE: u64 = if cfg!(test) { 8 } else { 4096 };

/// The length of a time in a record's key.
const TIME: usize = 8;

/// What one operator, on one worker, has moved to the store.
pub(crate) struct Evicted {
    areas: Option<Box<Areas>>,
    len: u64,
    /// Nothing is due before it.
    earliest: Timestamp,
}

struct Areas {
    queue: Area,
    index: Area,
    /// The records of the queue from here on have not been popped, and there is none before.
    from: Vec<u8>,
    /// What is being popped; dropped when the queue changes otherwise.
    coming: Option<Scan>,
    /// The records that were forgotten since the areas were empty.
    gone: u64,
    /// The key of a record.
    scratch: Vec<u8>,
}

/// A record: a key and what is kept for it, as they were encoded.
pub(crate) struct Due {
    pub(crate) due: Timestamp,
    /// The time and the key.
    record: Bytes,
    pub(crate) value: Bytes,
}

impl Due {
    /// Returns the encoded key.
    pub(crate) fn key(&self) -> &[u8] {
        &self.record[TIME..]
    }
}

impl Default for Evicted {
    fn default() -> Self {
        Evicted {
            areas: None,
            len: 0,
            earliest: Timestamp::MAX,
        }
    }
}

impl Evicted {
    /// Tells whether nothing is there.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the number of keys.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Returns a time before which nothing is due: that of the first key, or an earlier one of a
    /// key that was taken. After [`Evicted::pop_due`] found nothing it is that of the first key.
    /// `Timestamp::MAX` if nothing is there.
    #[inline]
    pub(crate) fn earliest_due(&self) -> Timestamp {
        self.earliest
    }

    /// Moves the keys of a batch to the store, none of which may be there. `encode` appends what
    /// is kept for a key; it is called once for each, in the order of their due times. Returns the
    /// bytes of what was kept.
    pub(crate) fn put<T>(
        &mut self,
        share: &Share,
        batch: Batch<T>,
        mut encode: impl FnMut(T, &mut Vec<u8>) -> Result<()>,
    ) -> Result<u64> {
        let Batch { keys, mut entries } = batch;
        if entries.is_empty() {
            return Ok(0);
        }
        let areas = match &mut self.areas {
            Some(areas) => areas,
            none => none.insert(Box::new(Areas::open(share)?)),
        };
        areas.coming = None;
        let count = entries.len();
        entries.sort_unstable_by(|a, b| keys[a.begin..a.end].cmp(&keys[b.begin..b.end]));
        let index = entries.iter().map(|e| (&keys[e.begin..e.end], e.due));
        if count < RUN {
            for (key, due) in index {
                areas.index.insert(key, &in_order(due))?;
            }
        } else {
            areas.index.write(|put| {
                for (key, due) in index {
                    put(key, &in_order(due))?;
                }
                Ok(())
            })?;
        }
        // Of the same time they stay in the order of their keys.
        entries.sort_by_key(|entry| entry.due);
        if let Some(first) = entries.first() {
            self.earliest = self.earliest.min(first.due);
            areas.record(first.due, &keys[first.begin..first.end]);
            if areas.scratch < areas.from {
                areas.from.clone_from(&areas.scratch);
            }
        }
        let mut bytes = 0;
        let mut encoded = entries.into_iter().map(|entry| {
            let mut record = in_order(entry.due).to_vec();
            record.extend_from_slice(&keys[entry.begin..entry.end]);
            let mut value = Vec::new();
            encode(entry.what, &mut value)?;
            bytes += value.len();
            Ok::<_, Error>((record, value))
        });
        let (mut small, mut length) = (Vec::new(), 0);
        while count < RUN && length <= RUN_BYTES {
            let Some(next) = encoded.next() else {
                break;
            };
            let (record, value) = next?;
            length += value.len();
            small.push((record, value));
        }
        if small.len() == count && length <= RUN_BYTES {
            for (record, value) in &small {
                areas.queue.insert(record, value)?;
            }
        } else {
            areas.queue.write(|put| {
                for record in small.into_iter().map(Ok).chain(&mut encoded) {
                    let (record, value) = record?;
                    put(&record, &value)?;
                }
                Ok(())
            })?;
        }
        drop(encoded);
        self.len += count as u64;
        Ok(bytes as u64)
    }

    /// Takes out what is kept for a key, if it is there: a look-up, and two if it is.
    pub(crate) fn take(&mut self, key: &[u8]) -> Result<Option<Bytes>> {
        let Some(areas) = self.areas.as_mut().filter(|_| self.len > 0) else {
            return Ok(None);
        };
        let Some(due) = areas.index.get(key)? else {
            return Ok(None);
        };
        areas.record(time_of(&due)?, key);
        let value = areas.queue.get(&areas.scratch)?;
        let value = value.ok_or_else(|| Error::internal("the state of a key is not in the store"));
        areas.coming = None;
        let record = std::mem::take(&mut areas.scratch);
        areas.forget(&record)?;
        areas.scratch = record;
        self.is_less()?;
        value.map(Some)
    }

    /// Takes out the first key that is due before a time, if there is one.
    pub(crate) fn pop_due(&mut self, before: Timestamp) -> Result<Option<Due>> {
        self.pop_due_if(before, |_| true)
    }

    /// Takes out the first key as [`Evicted::pop_due`] does, if it is one of those asked for.
    pub(crate) fn pop_due_if(
        &mut self,
        before: Timestamp,
        is_asked_for: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Option<Due>> {
        let Some(areas) = self.areas.as_mut().filter(|_| self.earliest < before) else {
            return Ok(None);
        };
        let coming = match &mut areas.coming {
            Some(coming) => coming,
            none => none.insert(areas.queue.scan_from(&areas.from)),
        };
        let Some(next) = coming.next().transpose()? else {
            areas.coming = None;
            self.earliest = Timestamp::MAX;
            return Ok(None);
        };
        let (record, value) = next;
        let due = time_of(&record)?;
        self.earliest = due;
        areas.from.clear();
        areas.from.extend_from_slice(&record);
        if due >= before || !is_asked_for(&record[TIME..]) {
            // It comes again when it is looked for again.
            areas.coming = None;
            return Ok(None);
        }
        areas.forget(&record)?;
        self.is_less()?;
        Ok(Some(Due { due, record, value }))
    }

    /// Visits all keys in the order of their due times; they stay.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Result<Due>> {
        let areas = self.areas.as_ref().filter(|_| self.len > 0);
        let scan = areas.map(|areas| areas.queue.scan_from(&areas.from));
        scan.into_iter().flatten().map(|record| {
            let (record, value) = record?;
            let due = time_of(&record)?;
            Ok(Due { due, record, value })
        })
    }

    /// Forgets everything.
    #[cfg(all(test, feature = "spill"))]
    pub(crate) fn clear(&mut self) -> Result<()> {
        self.len = 0;
        self.earliest = Timestamp::MAX;
        self.areas.as_mut().map_or(Ok(()), |areas| areas.clear())
    }

    /// Says that there is one key less.
    fn is_less(&mut self) -> Result<()> {
        self.len = self.len.saturating_sub(1);
        if self.len > 0 {
            return Ok(());
        }
        self.earliest = Timestamp::MAX;
        match &mut self.areas {
            Some(areas) if areas.gone >= GONE => areas.clear(),
            _ => Ok(()),
        }
    }
}

impl Areas {
    fn open(share: &Share) -> Result<Self> {
        Ok(Areas {
            queue: share.open(Form::Queue)?,
            index: share.open(Form::Index)?,
            from: Vec::new(),
            coming: None,
            gone: 0,
            scratch: Vec::new(),
        })
    }

    /// Makes the key of a record, in `scratch`.
    fn record(&mut self, due: Timestamp, key: &[u8]) {
        self.scratch.clear();
        self.scratch.extend_from_slice(&in_order(due));
        self.scratch.extend_from_slice(key);
    }

    fn forget(&mut self, record: &[u8]) -> Result<()> {
        self.gone += 1;
        self.queue.remove(record)?;
        self.index.remove(&record[TIME..])
    }

    fn clear(&mut self) -> Result<()> {
        self.coming = None;
        self.from.clear();
        self.gone = 0;
        self.queue.clear()?;
        self.index.clear()
    }
}

/// Keys that are to be moved, encoded one behind the other, each with what finds its state.
pub(crate) struct Batch<T> {
    keys: Vec<u8>,
    entries: Vec<Moving<T>>,
}

struct Moving<T> {
    due: Timestamp,
    begin: usize,
    end: usize,
    what: T,
}

impl<T> Batch<T> {
    pub(crate) fn with_capacity(keys: usize) -> Self {
        Batch {
            keys: Vec::new(),
            entries: Vec::with_capacity(keys),
        }
    }

    /// Adds a key, which `encode` appends. Returns whether it was: the store takes no key that is
    /// too long, and its state must stay where it is.
    pub(crate) fn add(
        &mut self,
        due: Timestamp,
        what: T,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<bool> {
        let begin = self.keys.len();
        encode(&mut self.keys)?;
        let end = self.keys.len();
        if end - begin > LONGEST_KEY {
            self.keys.truncate(begin);
            return Ok(false);
        }
        self.entries.push(Moving {
            due,
            begin,
            end,
            what,
        });
        Ok(true)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Returns a time as bytes whose order is that of times.
fn in_order(time: Timestamp) -> [u8; TIME] {
    (time.millis() ^ i64::MIN).to_be_bytes()
}

/// Reads the time that bytes begin with.
fn time_of(bytes: &[u8]) -> Result<Timestamp> {
    let Some((time, _)) = bytes.split_first_chunk::<TIME>() else {
        return Err(Error::internal("the key of evicted state is too short"));
    };
    Ok(Timestamp::from_millis(i64::from_be_bytes(*time) ^ i64::MIN))
}

#[cfg(all(test, feature = "spill"))]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
