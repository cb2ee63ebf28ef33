//! Sinks of each kind: a table whose rows appear by epoch, one that replaces equal rows, a file that
//! appears when the run has finished.

use pipeline_core::prelude::*;
use pipeline_core::sink::{Promise, Recovery, Rejected};

use crate::world::World;

/// The error of a sink that is broken for a whole life.
pub const BROKEN: &str = "the sink is broken";

/// Where a sink of the world writes.
#[derive(Clone)]
pub struct Place {
    pub world: World,
    pub name: &'static str,
}

impl Place {
    /// Is where a crash can come, and where a broken sink fails.
    fn tick(&self) -> Result<(), Error> {
        if self.world.lock().broken == Some(self.name) {
            return Err(Error::connector(BROKEN));
        }
        self.world.tick()
    }

    /// Takes its time, now and then, and fails for a moment.
    async fn write(&self) -> Result<(), Error> {
        self.tick()?;
        if self.world.one_in(8) {
            let turns = self.world.lock().slow;
            for _ in 0..=turns {
                tokio::task::yield_now().await;
            }
        }
        match self.world.one_in(150) {
            true => Err(Error::transient("the table is busy")),
            false => Ok(()),
        }
    }
}

fn rows_of(prepared: Vec<Vec<u8>>) -> Vec<String> {
    let rows = prepared.iter().flat_map(|rows| {
        let rows: Vec<String> = serde_json::from_slice(rows).unwrap();
        rows
    });
    rows.collect()
}

/// Keeps rows until they are prepared.
pub struct Keeper {
    place: Place,
    rows: Vec<String>,
    last: Option<u64>,
}

impl Keeper {
    fn new(place: &Place) -> Self {
        Keeper {
            place: place.clone(),
            rows: Vec::new(),
            last: None,
        }
    }
}

impl Writer<String> for Keeper {
    async fn write(&mut self, batch: &WriteBatch<'_, String>) -> Result<Vec<Rejected>, Error> {
        self.place.write().await?;
        if self.last != Some(batch.sequence) {
            self.rows.extend_from_slice(batch.records);
            self.last = Some(batch.sequence);
        }
        Ok(Vec::new())
    }

    async fn prepare(&mut self, _: u64) -> Result<Vec<u8>, Error> {
        self.place.tick()?;
        let rows = std::mem::take(&mut self.rows);
        Ok(serde_json::to_vec(&rows).unwrap())
    }
}

/// A table whose rows become visible by epoch.
pub struct Rows(pub Place);

impl Rows {
    fn append(&self, epoch: u64, prepared: Vec<Vec<u8>>) {
        let mut state = self.0.world.lock();
        let knows_rows = state.replays;
        let table = state.tables.entry(self.0.name).or_default();
        if table.mark < epoch {
            table.mark = epoch;
            for row in rows_of(prepared) {
                if !(knows_rows && table.rows.contains(&row)) {
                    table.rows.push(row);
                }
            }
        }
    }
}

impl Sink for Rows {
    type Item = String;
    type Writer = Keeper;

    fn open(&self, _: usize) -> Result<Keeper, Error> {
        Ok(Keeper::new(&self.0))
    }

    fn promise(&self) -> Promise {
        Promise::Transactional
    }

    async fn commit(&self, epoch: u64, prepared: Vec<Vec<u8>>) -> Result<(), Error> {
        // A crash may come before it is done, and after.
        self.0.tick()?;
        self.append(epoch, prepared);
        self.0.tick()
    }

    async fn recover(&self, last: Option<Recovery>) -> Result<u64, Error> {
        self.0.tick()?;
        if let Some(last) = last {
            self.append(last.epoch, last.prepared);
        }
        self.0.tick()?;
        let state = self.0.world.lock();
        Ok(state.tables.get(self.0.name).map_or(0, |t| t.mark))
    }

    fn max_batch(&self) -> usize {
        3
    }
}

/// A table in which a row replaces an equal one, written at once.
pub struct Replacing(pub Place);

impl Sink for Replacing {
    type Item = String;
    type Writer = ReplacingWriter;

    fn open(&self, _: usize) -> Result<ReplacingWriter, Error> {
        Ok(ReplacingWriter(self.0.clone()))
    }

    fn promise(&self) -> Promise {
        Promise::Idempotent
    }
}

pub struct ReplacingWriter(Place);

impl Writer<String> for ReplacingWriter {
    async fn write(&mut self, batch: &WriteBatch<'_, String>) -> Result<Vec<Rejected>, Error> {
        self.0.write().await?;
        let mut state = self.0.world.lock();
        let table = state.tables.entry(self.0.name).or_default();
        for row in batch.records {
            if !table.rows.contains(row) {
                table.rows.push(row.clone());
            }
        }
        Ok(Vec::new())
    }
}

/// A file: what an epoch has committed is kept, and published when the run has finished.
pub struct File(pub Place);

impl Sink for File {
    type Item = String;
    type Writer = Keeper;

    fn open(&self, _: usize) -> Result<Keeper, Error> {
        Ok(Keeper::new(&self.0))
    }

    fn promise(&self) -> Promise {
        Promise::Transactional
    }

    async fn commit(&self, epoch: u64, prepared: Vec<Vec<u8>>) -> Result<(), Error> {
        self.0.tick()?;
        let mut state = self.0.world.lock();
        let file = state.files.entry(self.0.name).or_default();
        file.epochs.insert(epoch, rows_of(prepared));
        drop(state);
        self.0.tick()
    }

    async fn recover(&self, last: Option<Recovery>) -> Result<u64, Error> {
        self.0.tick()?;
        let mut state = self.0.world.lock();
        let file = state.files.entry(self.0.name).or_default();
        // What was written behind the snapshot is written again.
        let of = last.as_ref().map_or(0, |last| last.epoch);
        file.epochs.split_off(&(of + 1));
        match last {
            Some(last) => drop(file.epochs.insert(of, rows_of(last.prepared))),
            None => file.epochs.clear(),
        }
        drop(state);
        self.0.tick()?;
        Ok(0)
    }

    async fn suspend(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn finish(&self, succeeded: bool) -> Result<(), Error> {
        self.0.tick()?;
        let mut state = self.0.world.lock();
        let file = state.files.entry(self.0.name).or_default();
        if succeeded {
            file.published = file.epochs.values().flatten().cloned().collect();
        }
        drop(state);
        self.0.tick()
    }
}
