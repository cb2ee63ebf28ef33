//! State beyond the memory of an operator: it goes to the embedded store key by key, with cells and
//! timers, and comes back whole with an element of its key, or when its first timer is due.
//!
//! What goes is what was not used since the last time that something had to go. Holds of the
//! watermark stay in memory, some bytes for each timestamp that is held, so that the watermark is
//! the same wherever state is.

use super::StatefulDoFn;
use super::held::weight;
use super::operator::Stateful;
use crate::coder::{Key, decode_strictly, encode_to};
use crate::error::{Error, Result};
use crate::state::key_table::SlotId;
use crate::state::spill::{Batch, Due, LONGEST_KEY};
use crate::state::{Entry, StateCells, Weighed};
use crate::time::Timestamp;
use crate::user_code::describe;
use crate::window::Window;

/// The keys that go at once: their encodings are in memory until they are written.
const AT_ONCE: usize = 1 << 16;

/// The lists of what is to be done are made anew when they are longer than twice what is kept, and
/// this.
const LONG: usize = 64;

/// When each timer fires, and the timestamp of what is emitted then.
type Timers = Vec<Option<(Timestamp, Timestamp)>>;

impl<F: StatefulDoFn> Stateful<F> {
    /// Moves state to the store, if too much is held, and makes lists anew that have grown.
    pub(super) fn relieve(&mut self) -> Result<()> {
        if !self.held.limited {
            self.held.estimate(&self.cells, &self.entries, self.slot);
        } else if self.held.is_over() {
            self.evict()?;
        }
        let kept = self.entries.len();
        if self.timers.len() > 2 * kept * self.cells.timers.len() + LONG
            || self.expiring.len() > 2 * kept + LONG
        {
            self.list_anew();
        }
        Ok(())
    }

    /// Relieves the memory in the middle of a batch, if that cannot wait.
    #[inline]
    pub(super) fn relieve_early(&mut self) -> Result<()> {
        match self.held.is_far_over() {
            true => self.relieve(),
            false => Ok(()),
        }
    }

    /// Moves about half of what is held.
    fn evict(&mut self) -> Result<()> {
        let most = self.held.share.bytes() / 2;
        let slots = self.entries.slots();
        for spares_used in [true, false] {
            let mut seen = 0;
            while seen < slots && self.held.bytes() > most {
                let mut batch = Batch::with_capacity(0);
                while seen < slots && self.held.bytes() > most && batch.len() < AT_ONCE {
                    self.held.hand = (self.held.hand + 1) % slots;
                    seen += 1;
                    self.choose(self.held.hand, spares_used, &mut batch)?;
                }
                self.put(batch)?;
            }
        }
        // Says what is left.
        self.held.is_over();
        Ok(())
    }

    /// Puts a slot into a batch, if its state is to go.
    fn choose(&mut self, slot: SlotId, spares_used: bool, batch: &mut Batch<SlotId>) -> Result<()> {
        let Some(((key, window), entry)) = self.entries.get_mut(slot) else {
            return Ok(());
        };
        if spares_used && entry.weighed.was_used() {
            return Ok(());
        }
        let expiry = match window.is_global() {
            true => Timestamp::MAX,
            false => self.strategy.expiry(*window),
        };
        let timers = entry.timers.iter().filter_map(|timer| timer.at);
        let due = timers.fold(expiry, |first, (at, _)| first.min(at));
        if batch.add(due, slot, |out| encode_key(key, *window, out))? {
            self.held.changed(entry.weighed.bytes(), 0);
        }
        Ok(())
    }

    fn put(&mut self, batch: Batch<SlotId>) -> Result<()> {
        let (entries, cells) = (&mut self.entries, &self.cells);
        self.evicted.put(&self.held.share, batch, |slot, out| {
            let Some(((key, _), entry)) = entries.remove(slot) else {
                return Err(Error::internal("state that was to go is gone"));
            };
            encode_entry(cells, &entry, out).map_err(|error| {
                let key = describe(&key);
                Error::connector(format!(
                    "the state of key {key} cannot go to disk, as memory_limit asks: {error}"
                ))
            })
        })?;
        Ok(())
    }

    /// Takes back what is in the store for a key that has just got a slot.
    pub(super) fn take_back(&mut self, slot: SlotId) -> Result<()> {
        let Some(((key, window), entry)) = self.entries.get_mut(slot) else {
            return Ok(());
        };
        let mut record = std::mem::take(&mut self.held.scratch);
        record.clear();
        encode_key(key, *window, &mut record)?;
        let found = match record.len() {
            ..=LONGEST_KEY => self.evicted.take(&record)?,
            _ => None,
        };
        let length = record.len();
        self.held.scratch = record;
        if let Some(value) = found {
            *entry = decode_entry(&self.cells, &value)?;
            let weight = weight::<F::Key>((length + value.len()) as u64);
            entry.weighed = Weighed::came_back(weight);
            self.held.changed(0, entry.weighed.bytes());
            for (index, timer) in entry.timers.iter_mut().enumerate() {
                self.timers.schedule(slot, index, timer);
            }
        }
        Ok(())
    }

    /// Takes back what is due: some timer of it fires, or it has expired.
    pub(super) fn come_back(&mut self, due: &Due) -> Result<()> {
        let (key, window) = decode_key(due.key())?;
        let mut entry = decode_entry(&self.cells, &due.value)?;
        if entry.timers.iter().all(|timer| timer.at.is_none()) {
            // Without a timer only its window can have come to its end.
            return Ok(());
        }
        let weight = weight::<F::Key>((due.key().len() + due.value.len()) as u64);
        entry.weighed = Weighed::came_back(weight);
        self.held.changed(0, entry.weighed.bytes());
        self.admit(key, window, entry)
    }

    /// Puts state into the tables, with its timers; its holds are counted.
    pub(super) fn admit(&mut self, key: F::Key, window: Window, entry: Entry) -> Result<()> {
        let kept = self.entries.len();
        let slot = self.entries.entry((key, window), || entry);
        if self.entries.len() == kept {
            return Err(Error::internal("the state of a key is there twice"));
        }
        let expiry = self.strategy.expiry(window);
        self.expiring.add(expiry, slot, window);
        if let Some((_, entry)) = self.entries.get_mut(slot) {
            for (index, timer) in entry.timers.iter_mut().enumerate() {
                self.timers.schedule(slot, index, timer);
            }
        }
        Ok(())
    }

    /// Makes the lists anew: they hold what was overtaken, cleared, or has gone.
    fn list_anew(&mut self) {
        self.timers.clear();
        self.expiring.clear();
        for slot in 0..self.entries.slots() {
            let Some(((_, window), entry)) = self.entries.get_mut(slot) else {
                continue;
            };
            self.expiring
                .add(self.strategy.expiry(*window), slot, *window);
            for (index, timer) in entry.timers.iter_mut().enumerate() {
                self.timers.requeue(slot, index, timer);
            }
        }
    }

    /// Returns what is in the store, to be saved.
    pub(super) fn away(&self) -> impl Iterator<Item = Result<((F::Key, Window), Entry)>> {
        self.evicted.iter().map(|due| {
            let due = due?;
            let entry = decode_entry(&self.cells, &due.value)?;
            Ok((decode_key(due.key())?, entry))
        })
    }
}

/// The length of a window in front of a key.
const WINDOW: usize = 16;

fn encode_key<K: Key>(key: &K, window: Window, out: &mut Vec<u8>) -> Result<()> {
    for time in [window.end(), window.start()] {
        out.extend_from_slice(&(time.millis() ^ i64::MIN).to_be_bytes());
    }
    encode_to(key, out).map_err(|error| Error::connector(error.to_string()))
}

fn decode_key<K: Key>(bytes: &[u8]) -> Result<(K, Window)> {
    let Some((window, mut key)) = bytes.split_first_chunk::<WINDOW>() else {
        return Err(Error::internal(
            "the key of state in the store is too short",
        ));
    };
    let (end, start) = window.split_at(WINDOW / 2);
    let time = |bytes: &[u8]| {
        let bytes = bytes
            .iter()
            .fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
        Timestamp::from_millis(bytes as i64 ^ i64::MIN)
    };
    let window = Window::interval(time(start), time(end));
    let key = decode_strictly(&mut key).map_err(|error| Error::connector(error.to_string()))?;
    Ok((key, window))
}

fn encode_entry(cells: &StateCells, entry: &Entry, out: &mut Vec<u8>) -> Result<()> {
    let timers: Timers = entry.timers.iter().map(|timer| timer.at).collect();
    encode_to(&timers, out).map_err(|error| Error::connector(error.to_string()))?;
    for (spec, cell) in cells.cells.iter().zip(&entry.cells) {
        (spec.encode)(&[cell.as_deref()], out)
            .map_err(|error| Error::connector(format!("cell '{}': {error}", spec.name)))?;
    }
    Ok(())
}

fn decode_entry(cells: &StateCells, mut bytes: &[u8]) -> Result<Entry> {
    let wrong = |name: &str, error: &dyn std::fmt::Display| {
        Error::connector(format!("state that comes back from disk: {name}: {error}"))
    };
    let timers: Timers = decode_strictly(&mut bytes).map_err(|error| wrong("timers", &error))?;
    let mut entry = Entry::new(cells.cells.len(), cells.timers.len());
    for (timer, at) in entry.timers.iter_mut().zip(timers) {
        timer.at = at;
    }
    for (spec, cell) in cells.cells.iter().zip(&mut entry.cells) {
        let column = (spec.decode)(&mut bytes)
            .map_err(|error| wrong(&format!("cell '{}'", spec.name), &error))?;
        *cell = column.into_iter().next().flatten();
    }
    Ok(entry)
}
