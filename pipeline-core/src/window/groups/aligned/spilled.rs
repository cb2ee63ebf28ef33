//! Groups beyond the memory of an operator: partial groups in the embedded store.
//!
//! What is spilled is a whole table at a time. Adding never reads: a key that comes again begins
//! another partial group, in memory, and they are merged when the window fires. Records are in the
//! order in which windows fire: end ‖ start ‖ encoded key ‖ number of the run. The encoding of a
//! key says where it ends, so that no key's records are between those of another.
//!
//! Each part of a group holds the watermark by itself: the earliest of them as long as the whole
//! group would. Where that is not so, groups stay whole (`evicted.rs`).

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::evicted::Found;
use super::{Aggregate, Group, Record, Stage, Table};
use crate::coder::{Key, decode_strictly, encode_to};
use crate::error::{Error, Result};
use crate::state::holds::Holds;
use crate::state::key_table::SlotId;
use crate::state::spill::{Area, Form, LONGEST_KEY, Scan, Share};
use crate::time::Timestamp;
use crate::window::Window;

/// The lengths of a window and of the number of a run, in a record's key.
pub(super) const WINDOW: usize = 16;
const RUN: usize = 4;

/// A group without its names.
type Fields<A> = (Option<A>, bool, Timestamp, u32);

/// The partial groups of an operator, on one worker, that are in the store.
#[derive(Default)]
pub(super) struct Spilled {
    area: Option<Area>,
    /// The windows of which there are any, with their number.
    windows: BTreeMap<Window, u64>,
    /// The number of the next run.
    next: u32,
}

impl Spilled {
    /// Returns the number of partial groups of a window.
    pub(super) fn partials(&self, window: Window) -> u64 {
        self.windows.get(&window).copied().unwrap_or(0)
    }

    /// Writes the tables of some windows, in the windows' order, and empties them. What cannot be
    /// written, for its key is too long, stays. Returns the number of groups that were written.
    pub(super) fn write<'a, K: Key + 'a, A: Aggregate>(
        &mut self,
        share: &Share,
        tables: impl Iterator<Item = (Window, &'a mut Table<K, A>)>,
    ) -> Result<u64>
    where
        A::Accumulator: 'a,
    {
        let area = match &mut self.area {
            Some(area) => area,
            none => none.insert(share.open(Form::Runs)?),
        };
        let (run, windows) = (self.next, &mut self.windows);
        self.next += 1;
        let mut written = 0;
        area.write(|put| {
            for (window, table) in tables {
                let mut taken = std::mem::take(table);
                let (keys, order) = sorted(&taken)?;
                let (mut record, mut value) = (prefix(window).to_vec(), Vec::new());
                for (begin, end, slot) in order {
                    let Some((key, group)) = taken.take(slot) else {
                        continue;
                    };
                    if end - begin > LONGEST_KEY {
                        table.entry(key, || group);
                        continue;
                    }
                    record.truncate(WINDOW);
                    record.extend_from_slice(&keys[begin..end]);
                    record.extend_from_slice(&run.to_be_bytes());
                    value.clear();
                    encode_group(&group, &mut value)?;
                    put(&record, &value)?;
                    *windows.entry(window).or_default() += 1;
                    written += 1;
                }
            }
            Ok(())
        })?;
        Ok(written)
    }

    /// Reads the groups of a window, in the order of their encoded keys.
    pub(super) fn scan(&self, window: Window) -> Option<Groups> {
        let area = self.area.as_ref()?;
        Some(Groups {
            records: area.scan(&prefix(window)),
            ahead: None,
        })
    }

    /// Forgets the records of a window.
    pub(super) fn forget(&mut self, window: Window) -> Result<()> {
        let Some(area) = &self.area else {
            return Ok(());
        };
        if self.windows.remove(&window).is_none() {
            return Ok(());
        }
        match self.windows.is_empty() {
            true => area.clear(),
            false => area.forget(&prefix(window), |_| true),
        }
    }

    /// Returns all that is in the store, to be saved, and whether it is the first part of a group.
    pub(super) fn records<K: Key, A: Serialize + DeserializeOwned>(
        &self,
    ) -> impl Iterator<Item = Result<(bool, Record<K, A>)>> {
        let area = self.area.as_ref().filter(|_| !self.windows.is_empty());
        let records = area.map(|area| area.scan(&[]));
        let mut last = Vec::new();
        records.into_iter().flatten().map(move |record| {
            let (key, value) = record?;
            let (window, encoded, _) = parts(&key)?;
            let of_group = &key[..key.len() - RUN];
            let is_first = last != of_group;
            if is_first {
                last = of_group.to_vec();
            }
            Ok((is_first, (decoded(encoded)?, window, group(&value)?)))
        })
    }

    /// Returns the number of groups of a window of which there are parts, without those that are
    /// in a table as well. Parts that cannot be read count for themselves.
    pub(super) fn groups_beside<K: Key, A: Aggregate>(
        &self,
        window: Window,
        table: Option<&Table<K, A>>,
    ) -> u64 {
        let is_first = |last: &mut Vec<u8>, key: &[u8]| {
            let Ok((_, encoded, _)) = parts(key) else {
                return true;
            };
            if last == encoded {
                return false;
            }
            *last = encoded.to_vec();
            let in_table =
                |table: &Table<K, A>| decoded(encoded).is_ok_and(|k| table.find(&k).is_some());
            !table.is_some_and(in_table)
        };
        let records = self.scan(window).filter(|_| self.partials(window) > 0);
        let records = records.into_iter().flat_map(|groups| groups.records);
        let mut last = Vec::new();
        let counted = records.filter(|record| match record {
            Ok((key, _)) => is_first(&mut last, key),
            Err(_) => true,
        });
        counted.count() as u64
    }
}

/// The groups of a window that are in the store.
pub(super) struct Groups {
    records: Scan,
    /// The first record of the next group.
    ahead: Option<<Scan as Iterator>::Item>,
}

impl Groups {
    /// Returns the next group, merged, and takes away the holds of its parts.
    pub(super) fn next<K: Key, A: Aggregate>(
        &mut self,
        stage: &Stage<'_, A>,
        window: Window,
        holds: &mut Holds,
    ) -> Result<Option<Found<K, A::Accumulator>>> {
        let Some(first) = self.ahead.take().or_else(|| self.records.next()) else {
            return Ok(None);
        };
        let (first_key, value) = first?;
        let (_, encoded, _) = parts(&first_key)?;
        let mut found = Found {
            key: decoded(encoded)?,
            group: group(&value)?,
            bytes: value.len(),
        };
        release(&found.group, holds);
        for record in self.records.by_ref() {
            let is_next = match &record {
                Ok((key, _)) => parts(key)?.1 != encoded,
                Err(_) => true,
            };
            if is_next {
                self.ahead = Some(record);
                break;
            }
            let (_, value) = record?;
            let partial = group(&value)?;
            release(&partial, holds);
            found.group.absorb(stage, window, partial);
            found.bytes += value.len();
        }
        Ok(Some(found))
    }
}

fn release<A>(group: &Group<A>, holds: &mut Holds) {
    if group.dirty {
        holds.replace(Some(group.output_time), None);
    }
}

/// The keys of a table, encoded one behind the other, and their places there with their slots, in
/// the order of the encodings.
type Sorted = (Vec<u8>, Vec<(usize, usize, SlotId)>);

fn sorted<K: Key, S>(table: &crate::state::key_table::KeyTable<K, S>) -> Result<Sorted> {
    let (mut keys, mut order) = (Vec::new(), Vec::with_capacity(table.len()));
    for slot in 0..table.slots() {
        if let Some(key) = table.key(slot) {
            let begin = keys.len();
            encode(key, &mut keys)?;
            order.push((begin, keys.len(), slot));
        }
    }
    order.sort_unstable_by(|a, b| keys[a.0..a.1].cmp(&keys[b.0..b.1]));
    Ok((keys, order))
}

pub(in crate::window::groups) fn encode<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
) -> Result<()> {
    encode_to(value, out).map_err(|error| Error::connector(error.to_string()))
}

pub(in crate::window::groups) fn decoded<T: DeserializeOwned>(mut bytes: &[u8]) -> Result<T> {
    decode_strictly(&mut bytes).map_err(|error| Error::connector(error.to_string()))
}

pub(super) fn encode_group<A: Serialize>(group: &Group<A>, out: &mut Vec<u8>) -> Result<()> {
    let Group {
        accumulator,
        dirty,
        output_time,
        panes,
    } = group;
    encode(&(accumulator, dirty, output_time, panes), out)
}

pub(super) fn group<A: DeserializeOwned>(value: &[u8]) -> Result<Group<A>> {
    let (accumulator, dirty, output_time, panes): Fields<A> = decoded(value)?;
    Ok(Group {
        accumulator,
        dirty,
        output_time,
        panes,
    })
}

/// Returns the beginning of the keys of a window: the order of the bytes is that of windows.
pub(super) fn prefix(window: Window) -> [u8; WINDOW] {
    let ordered = |time: Timestamp| (time.millis() ^ i64::MIN).to_be_bytes();
    let mut prefix = [0; WINDOW];
    prefix[..8].copy_from_slice(&ordered(window.end()));
    prefix[8..].copy_from_slice(&ordered(window.start()));
    prefix
}

/// Returns the window that bytes begin with, and the rest.
pub(super) fn window_of(bytes: &[u8]) -> Result<(Window, &[u8])> {
    let (window, rest) = bytes.split_first_chunk::<WINDOW>().ok_or_else(too_short)?;
    let time = |bytes: &[u8]| {
        let bytes = bytes
            .iter()
            .fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
        Timestamp::from_millis(bytes as i64 ^ i64::MIN)
    };
    Ok((
        Window::interval(time(&window[8..]), time(&window[..8])),
        rest,
    ))
}

/// Returns the window, the encoded key and the run of a record's key.
fn parts(key: &[u8]) -> Result<(Window, &[u8], u32)> {
    let (window, rest) = window_of(key)?;
    let (encoded, run) = rest.split_last_chunk::<RUN>().ok_or_else(too_short)?;
    Ok((window, encoded, u32::from_be_bytes(*run)))
}

fn too_short() -> Error {
    Error::internal("the key of a spilled group is too short")
}
