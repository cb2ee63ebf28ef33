//! What survives the crashes of a job: a topic that redelivers, and tables.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use pipeline_core::prelude::*;
use pipeline_core::sink::{Promise, Recovery};
use pipeline_core::source::{Position, Resume};
use serde::{Deserialize, Serialize};

/// SplitMix64: the same numbers for a seed, for ever.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Event {
    pub id: u64,
    pub key: u8,
    pub second: i64,
}

/// How far behind the greatest time an event may come.
pub const DISORDER: i64 = 30;

#[derive(Default)]
pub struct State {
    /// All events, by id.
    pub events: Vec<Event>,
    /// What waits to be delivered, by part.
    queues: [VecDeque<u64>; 2],
    /// Delivered and not acknowledged.
    out: BTreeSet<u64>,
    pub acknowledged: BTreeSet<u64>,
    /// Where all rows go that a sink has committed, by its name.
    pub tables: BTreeMap<&'static str, Table>,
    /// Draws what this life does by chance; it goes on over all lives.
    pub random: Option<Random>,
    /// So many may be delivered and not acknowledged; the topic then waits.
    pub permits: usize,
    /// After so many further calls from outside the life ends.
    pub fuse: u64,
}

#[derive(Default)]
pub struct Table {
    /// The last epoch that was committed.
    mark: u64,
    pub rows: Vec<String>,
}

#[derive(Clone, Default)]
pub struct World(Arc<Mutex<State>>);

/// The message of a crash.
pub const CRASH: &str = "crash";

impl World {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Fills the topic.
    pub fn publish(&self, count: u64, random: &mut Random) {
        let mut state = self.lock();
        let mut second = 0;
        for id in 0..count {
            second += random.below(20) as i64;
            let behind = random.below(DISORDER as u64) as i64;
            state.events.push(Event {
                id,
                key: random.below(5) as u8,
                second: second - behind,
            });
            state.queues[(id % 2) as usize].push_back(id);
        }
        state.random = Some(random.clone());
    }

    /// Begins another life: what was not acknowledged will be delivered again.
    pub fn redeliver(&self) {
        let mut state = self.lock();
        let out = std::mem::take(&mut state.out);
        for id in out.into_iter().rev() {
            state.queues[(id % 2) as usize].push_front(id);
        }
    }

    /// Ends the life when its time has come.
    pub fn tick(&self) -> Result<(), Error> {
        let mut state = self.lock();
        state.fuse = state.fuse.saturating_sub(1);
        match state.fuse {
            0 => Err(Error::connector(CRASH)),
            _ => Ok(()),
        }
    }

    fn is_full(&self) -> bool {
        let state = self.lock();
        state.out.len() >= state.permits
    }

    fn one_in(&self, n: u64) -> bool {
        let mut state = self.lock();
        state.random.as_mut().is_none_or(|random| random.one_in(n))
    }
}

/// The topic as a source of two parts.
pub struct Topic(pub World);

#[derive(Clone, Default, Serialize, Deserialize)]
struct Taken {
    ids: BTreeSet<u64>,
    latest: i64,
}

impl Source for Topic {
    type Item = Event;
    type Split = usize;
    type Ack = Vec<u64>;
    type Reader = TopicReader;

    fn is_bounded(&self) -> bool {
        false
    }

    fn split(&self, _: usize) -> Result<Vec<usize>, Error> {
        Ok(vec![0, 1])
    }

    fn open(&self, part: usize, context: &ReadContext) -> Result<TopicReader, Error> {
        Ok(TopicReader {
            world: self.0.clone(),
            part,
            taken: context.position()?.unwrap_or_default(),
        })
    }

    async fn acknowledge(&self, acks: Vec<Vec<u64>>) -> Result<(), Error> {
        let mut state = self.0.lock();
        for id in acks.into_iter().flatten() {
            state.out.remove(&id);
            state.acknowledged.insert(id);
        }
        Ok(())
    }

    fn resume(&self) -> Resume {
        Resume::Redelivery
    }
}

pub struct TopicReader {
    world: World,
    part: usize,
    taken: Taken,
}

impl Reader<Event, Vec<u64>> for TopicReader {
    async fn read(&mut self, batch: &mut ReadBatch<Event, Vec<u64>>) -> Result<ReadStatus, Error> {
        self.world.tick()?;
        while self.world.is_full() {
            // Nothing wakes it but the next look at what was acknowledged.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let most = 1 + self.world.lock().random.as_mut().map_or(0, |r| r.below(12));
        let mut delivered = Vec::new();
        for _ in 0..most.min(batch.room() as u64) {
            let again = self.world.one_in(10);
            let mut state = self.world.lock();
            let Some(id) = state.queues[self.part].pop_front() else {
                break;
            };
            if again {
                // Delivered twice, close to each other.
                let at = state.queues[self.part].len().min(5);
                state.queues[self.part].insert(at, id);
            }
            state.out.insert(id);
            delivered.push(id);
            if self.taken.ids.insert(id) {
                let event = state.events[id as usize].clone();
                self.taken.latest = self.taken.latest.max(event.second);
                let time = Timestamp::from_millis(event.second * 1_000);
                batch.push(event, time);
            }
        }
        let nothing = delivered.is_empty();
        batch.acknowledge_with(delivered);
        Ok(if nothing {
            ReadStatus::Ended
        } else {
            ReadStatus::More
        })
    }

    fn watermark(&self) -> Timestamp {
        Timestamp::from_millis((self.taken.latest - DISORDER) * 1_000)
    }

    fn position(&mut self) -> Result<Position, Error> {
        Position::of(&self.taken)
    }
}

/// A table whose rows become visible by epoch.
pub struct Rows {
    pub world: World,
    pub name: &'static str,
}

impl Rows {
    fn append(&self, epoch: u64, prepared: Vec<Vec<u8>>) {
        let mut state = self.world.lock();
        let table = state.tables.entry(self.name).or_default();
        if table.mark < epoch {
            table.mark = epoch;
            for rows in prepared {
                let rows: Vec<String> = serde_json::from_slice(&rows).unwrap();
                table.rows.extend(rows);
            }
        }
    }
}

impl Sink for Rows {
    type Item = String;
    type Writer = RowsWriter;

    fn open(&self, _: usize) -> Result<RowsWriter, Error> {
        Ok(RowsWriter {
            world: self.world.clone(),
            rows: Vec::new(),
            last: None,
        })
    }

    fn promise(&self) -> Promise {
        Promise::Transactional
    }

    async fn commit(&self, epoch: u64, prepared: Vec<Vec<u8>>) -> Result<(), Error> {
        // A crash may come before it is done, and after.
        self.world.tick()?;
        self.append(epoch, prepared);
        self.world.tick()
    }

    async fn recover(&self, last: Option<Recovery>) -> Result<u64, Error> {
        if let Some(last) = last {
            self.append(last.epoch, last.prepared);
        }
        let state = self.world.lock();
        Ok(state.tables.get(self.name).map_or(0, |table| table.mark))
    }

    fn max_batch(&self) -> usize {
        3
    }
}

pub struct RowsWriter {
    world: World,
    rows: Vec<String>,
    last: Option<u64>,
}

impl Writer<String> for RowsWriter {
    async fn write(
        &mut self,
        batch: &WriteBatch<'_, String>,
    ) -> Result<Vec<pipeline_core::sink::Rejected>, Error> {
        self.world.tick()?;
        if self.world.one_in(8) {
            // Slow: others take their turn.
            tokio::task::yield_now().await;
        }
        if self.world.one_in(150) {
            return Err(Error::transient("the table is busy"));
        }
        if self.last != Some(batch.sequence) {
            self.rows.extend_from_slice(batch.records);
            self.last = Some(batch.sequence);
        }
        Ok(Vec::new())
    }

    async fn prepare(&mut self, _: u64) -> Result<Vec<u8>, Error> {
        self.world.tick()?;
        let rows = std::mem::take(&mut self.rows);
        Ok(serde_json::to_vec(&rows).unwrap())
    }
}

/// A table in which a row replaces an equal one, written at once.
pub struct Replacing {
    pub world: World,
    pub name: &'static str,
}

impl Sink for Replacing {
    type Item = String;
    type Writer = ReplacingWriter;

    fn open(&self, _: usize) -> Result<ReplacingWriter, Error> {
        Ok(ReplacingWriter {
            world: self.world.clone(),
            name: self.name,
        })
    }

    fn promise(&self) -> Promise {
        Promise::Idempotent
    }
}

pub struct ReplacingWriter {
    world: World,
    name: &'static str,
}

impl Writer<String> for ReplacingWriter {
    async fn write(
        &mut self,
        batch: &WriteBatch<'_, String>,
    ) -> Result<Vec<pipeline_core::sink::Rejected>, Error> {
        self.world.tick()?;
        let mut state = self.world.lock();
        let table = state.tables.entry(self.name).or_default();
        for row in batch.records {
            if !table.rows.contains(row) {
                table.rows.push(row.clone());
            }
        }
        Ok(Vec::new())
    }
}
