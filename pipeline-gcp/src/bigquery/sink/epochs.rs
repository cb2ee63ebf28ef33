//! How a [`TableSink`] writes in a run with snapshots: what waits for its epoch travels in the snapshot (rows, or how far
//! streams have come), and is made visible when the snapshot is durable.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use pipeline_core::coder::{decode, encode_to};
use pipeline_core::prelude::*;
use pipeline_core::sink::Recovery;
use pipeline_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::config::Config;
use super::loads::{load_epoch, random};
use super::ready::{State, locked};
use super::{TableSink, engine_error, final_error, retried};
use crate::bigquery::error::BigQueryErrorKind;
use crate::bigquery::row::Row;
use crate::bigquery::service::EpochCommit;

/// What the sink and its writers know of the marks of tables.
#[derive(Default)]
pub(super) struct Epochs {
    known: Mutex<HashMap<String, Known>>,
    /// Held while a table's life begins: it begins once, though several workers come at the same time.
    beginning: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Default)]
struct Known {
    /// The life in which the table is written.
    life: u64,
    /// The last epoch that was committed with a row.
    committed: u64,
}

/// What one writer has prepared.
#[derive(Serialize, Deserialize)]
pub(super) struct Prepared {
    pub parts: Vec<PreparedPart>,
}

#[derive(Serialize, Deserialize)]
pub(super) enum PreparedPart {
    /// Rows for a table.
    Rows {
        table: String,
        life: u64,
        /// The epoch that must be in the table when these rows come.
        behind: u64,
        rows: Vec<Row>,
    },
    /// How far a buffered stream has come.
    Stream { stream: String, rows: u64 },
}

impl Prepared {
    pub fn encoded(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        encode_to(self, &mut bytes).map_err(Error::connector)?;
        Ok(bytes)
    }
}

/// The rows of an epoch, of one writer.
#[derive(Default)]
pub(super) struct EpochRows(BTreeMap<String, Vec<Row>>);

impl EpochRows {
    /// Keeps rows, which fit the schema, which is the table's: none can be refused later.
    pub fn keep(&mut self, table: &str, rows: Vec<Row>) {
        match self.0.get_mut(table) {
            Some(kept) => kept.extend(rows),
            None => {
                self.0.insert(table.to_owned(), rows);
            }
        }
    }

    /// Hands over the rows for the snapshot, with the marks of all tables.
    pub fn prepare(&mut self, epochs: &Epochs) -> Result<Vec<u8>> {
        let mut rows = std::mem::take(&mut self.0);
        let known = locked(&epochs.known);
        let parts = known.iter().map(|(table, known)| PreparedPart::Rows {
            table: table.clone(),
            life: known.life,
            behind: known.committed,
            rows: rows.remove(table).unwrap_or_default(),
        });
        Prepared {
            parts: parts.collect(),
        }
        .encoded()
    }
}

/// What a snapshot says of one table.
struct Marked {
    life: u64,
    behind: u64,
    rows: Vec<Row>,
}

impl State {
    /// Begins a life of a table, unless it has begun.
    pub(super) async fn begin_table<T>(&self, config: &Config<T>, table: &str) -> Result<()> {
        let is_known = || locked(&self.epochs.known).contains_key(table);
        if is_known() {
            return Ok(());
        }
        let _beginning = self.epochs.beginning.lock().await;
        if is_known() {
            return Ok(());
        }
        let life = match config.service.commits_epochs() {
            true => {
                let begun = retried(|| config.service.begin_epochs(table, &config.owner));
                begun.await.map_err(final_error)?
            }
            // The names of load jobs tell lives apart.
            false => random(),
        };
        let mut known = locked(&self.epochs.known);
        known
            .entry(table.to_owned())
            .or_insert(Known { life, committed: 0 });
        Ok(())
    }
}

impl<T: Element> TableSink<T> {
    /// Makes visible what all writers have prepared; an epoch without a row costs nothing.
    pub(super) async fn commit_epoch(&self, epoch: u64, prepared: Vec<Vec<u8>>) -> Result<()> {
        let (tables, streams) = self.decoded(prepared)?;
        for (table, marked) in tables {
            self.commit_rows(&table, epoch, marked.rows).await?;
        }
        for (stream, rows) in streams {
            self.flush(&stream, rows).await?;
        }
        Ok(())
    }

    async fn commit_rows(&self, table: &str, epoch: u64, rows: Vec<Row>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let known = locked(&self.state.epochs.known).get(table).copied();
        let life = known.unwrap_or_default().life;
        if self.config.service.commits_epochs() {
            let commit = EpochCommit {
                table: table.to_owned(),
                owner: self.config.owner.clone(),
                life,
                epoch,
                rows,
            };
            let committed = retried(|| self.config.service.commit_epoch(&commit)).await;
            committed.map_err(final_error)?;
        } else {
            load_epoch(&self.config, table, life, epoch, &rows).await?;
        }
        let mut known = locked(&self.state.epochs.known);
        if let Some(known) = known.get_mut(table) {
            known.committed = known.committed.max(epoch);
        }
        Ok(())
    }

    /// Begins a life, or goes on with that of the snapshot if the tables are those that it knows. Returns the greatest
    /// epoch of their marks.
    pub(super) async fn recover_epochs(&self, last: Option<Recovery>) -> Result<u64> {
        let Some((epoch, prepared)) = last.map(|last| (last.epoch, last.prepared)) else {
            return self.begin().await.map(|()| 0);
        };
        let (tables, streams) = self.decoded(prepared)?;
        // A sink that the run before did not have.
        if tables.is_empty() && streams.is_empty() {
            return self.begin().await.map(|()| 0);
        }
        self.state.resumed.store(true, Ordering::Relaxed);
        for (stream, rows) in streams {
            self.flush(&stream, rows).await?;
        }
        for (table, marked) in tables {
            self.resume(&table, epoch, marked).await?;
        }
        let known = locked(&self.state.epochs.known);
        Ok(known
            .values()
            .map(|known| known.committed)
            .max()
            .unwrap_or_default())
    }

    async fn resume(&self, table: &str, epoch: u64, marked: Marked) -> Result<()> {
        let Marked { life, behind, rows } = marked;
        let (service, owner) = (&self.config.service, &self.config.owner);
        let mut committed = behind;
        if service.commits_epochs() {
            let mark = retried(|| service.epoch_mark(table, owner)).await;
            let mark = mark.map_err(final_error)?;
            let Some(mark) = mark.filter(|mark| mark.life == life && mark.epoch >= behind) else {
                return Err(refused(
                    table,
                    format!(
                        "it is not as snapshot {epoch} left it: another warehouse, one restored from a backup, or \
                         one that another job with the same owner has written to since; give the warehouse of the \
                         snapshot, or begin anew with another folder for snapshots"
                    ),
                ));
            };
            if mark.bare_epoch > epoch {
                return Err(refused(
                    table,
                    format!(
                        "it has rows of epoch {}, behind snapshot {epoch}, that would be doubled because they have no \
                         ids; begin anew with another folder for snapshots, or give rows ids (Row::with_id)",
                        mark.bare_epoch
                    ),
                ));
            }
            committed = mark.epoch;
        }
        let known = Known { life, committed };
        locked(&self.state.epochs.known).insert(table.to_owned(), known);
        self.commit_rows(table, epoch, rows).await
    }

    /// Begins the life of the one table; those that elements name begin with their first row.
    async fn begin(&self) -> Result<()> {
        match self.config.one_table() {
            Some(table) if self.config.service.commits_epochs() || self.config.loads() => {
                self.state.begin_table(&self.config, table).await
            }
            _ => Ok(()),
        }
    }

    fn decoded(
        &self,
        prepared: Vec<Vec<u8>>,
    ) -> Result<(BTreeMap<String, Marked>, BTreeMap<String, u64>)> {
        let mut tables: BTreeMap<String, Marked> = BTreeMap::new();
        let mut streams = BTreeMap::new();
        for bytes in prepared.iter().filter(|bytes| !bytes.is_empty()) {
            let prepared: Prepared = decode(&mut bytes.as_slice()).map_err(|error| {
                let table = self.config.one_table().unwrap_or_default();
                refused(
                    table,
                    format!("what was prepared for it cannot be read: {error}"),
                )
            })?;
            for part in prepared.parts {
                match part {
                    PreparedPart::Stream { stream, rows } => {
                        streams.insert(stream, rows);
                    }
                    PreparedPart::Rows {
                        table,
                        life,
                        behind,
                        rows,
                    } => match tables.get_mut(&table) {
                        Some(marked) => {
                            marked.behind = marked.behind.max(behind);
                            marked.rows.extend(rows);
                        }
                        None => {
                            let marked = Marked { life, behind, rows };
                            tables.insert(table, marked);
                        }
                    },
                }
            }
        }
        Ok((tables, streams))
    }

    /// Publishes what waits for the end of the run, or drops it.
    pub(super) async fn publish(&self, succeeded: bool) -> Result<()> {
        if !succeeded {
            self.state.loads.clear();
            return Ok(());
        }
        self.state.streams.commit(&self.config).await?;
        self.state.loads.load(&self.config).await
    }
}

fn refused(table: &str, reason: String) -> Error {
    let table = table.to_owned();
    engine_error(BigQueryErrorKind::Epochs { table, reason }.into())
}
