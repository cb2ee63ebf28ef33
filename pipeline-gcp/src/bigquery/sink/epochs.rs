//! How a [`TableSink`] writes in a run with snapshots: rows wait in their writer, travel in the snapshot, and go into
//! the table in one transaction with the mark of their epoch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pipeline_core::coder::{decode, encode_to};
use pipeline_core::prelude::*;
use pipeline_core::sink::Recovery;
use pipeline_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{Mode, TableSink, engine_error};
use crate::bigquery::error::{BigQueryError, BigQueryErrorKind};
use crate::bigquery::row::Row;
use crate::bigquery::schema::TableSchema;
use crate::bigquery::service::{EpochCommit, RowError};

/// The number of attempts at a commit, and the pause after the first; each further one is twice as long.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// What the sink and its writers know of the table's marks.
#[derive(Clone, Default)]
pub(super) struct Epochs(Arc<Mutex<Known>>);

#[derive(Clone, Copy, Default)]
struct Known {
    /// The life in which the table is written; 0 before it has begun.
    life: u64,
    /// The last epoch that was committed with a row.
    committed: u64,
}

impl Epochs {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one writer has prepared.
#[derive(Serialize, Deserialize)]
struct Prepared {
    life: u64,
    /// The epoch that must be in the table when these rows come.
    behind: u64,
    rows: Vec<Row>,
}

/// The rows of an epoch, of one writer.
pub(super) struct EpochRows {
    schema: TableSchema,
    epochs: Epochs,
    rows: Vec<Row>,
}

impl EpochRows {
    pub(super) fn new(schema: &TableSchema, epochs: &Epochs) -> Self {
        EpochRows {
            schema: schema.clone(),
            epochs: epochs.clone(),
            rows: Vec::new(),
        }
    }

    /// Keeps the rows that fit the schema, which is the table's: a row cannot be refused later.
    pub(super) fn keep(&mut self, rows: Vec<Row>) -> Vec<RowError> {
        let mut errors = Vec::new();
        for (index, row) in rows.into_iter().enumerate() {
            match row.validate(&self.schema) {
                Ok(()) => self.rows.push(row),
                Err(reason) => errors.push(RowError { index, reason }),
            }
        }
        errors
    }

    /// Hands over the rows for the snapshot.
    pub(super) fn prepare(&mut self) -> Result<Vec<u8>> {
        let Known { life, committed } = *self.epochs.lock();
        let prepared = Prepared {
            life,
            behind: committed,
            rows: std::mem::take(&mut self.rows),
        };
        let mut bytes = Vec::new();
        encode_to(&prepared, &mut bytes).map_err(Error::connector)?;
        Ok(bytes)
    }
}

impl<T: Element> TableSink<T> {
    /// Refuses at once what a commit would: an append into a keyed table, and an upsert into another.
    pub(super) fn check_kind(&self) -> Result<()> {
        let reason = match (self.mode, &self.schema.upsert_key) {
            (Mode::Append, Some(_)) => "it is keyed; write it with TableSink::upsert",
            (Mode::Upsert, None) => {
                "it has no key; write it with TableSink::append, or key its schema with TableSchema::keyed_by"
            }
            _ => return Ok(()),
        };
        let (table, reason) = (self.table.clone(), reason.to_owned());
        Err(engine_error(
            BigQueryErrorKind::WrongTableKind { table, reason }.into(),
        ))
    }

    /// Writes the rows of all writers; an epoch without a row costs nothing.
    pub(super) async fn commit_epoch(&self, epoch: u64, prepared: Vec<Vec<u8>>) -> Result<()> {
        let rows = self.decoded(prepared)?.into_iter().flat_map(|p| p.rows);
        self.commit_rows(epoch, rows.collect()).await
    }

    async fn commit_rows(&self, epoch: u64, rows: Vec<Row>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let commit = EpochCommit {
            table: self.table.clone(),
            owner: self.owner.clone(),
            life: self.epochs.lock().life,
            epoch,
            rows,
        };
        retried(|| self.service.commit_epoch(&commit)).await?;
        let mut known = self.epochs.lock();
        known.committed = known.committed.max(epoch);
        Ok(())
    }

    /// Begins a life, or goes on with that of the snapshot if the table is the one that it knows. Returns the epoch of
    /// its mark.
    pub(super) async fn recover_epochs(&self, last: Option<Recovery>) -> Result<u64> {
        if !self.service.commits_epochs() {
            return Ok(0);
        }
        let (service, table, owner) = (&self.service, &self.table, &self.owner);
        let Some((epoch, prepared)) = last.map(|last| (last.epoch, last.prepared)) else {
            return self.begin().await;
        };
        let prepared = self.decoded(prepared)?;
        // A sink that the run before did not have.
        let Some(life) = prepared.first().map(|prepared| prepared.life) else {
            return self.begin().await;
        };
        let behind = prepared.iter().map(|p| p.behind).max().unwrap_or_default();
        let mark = retried(|| service.epoch_mark(table, owner)).await?;
        let Some(mark) = mark.filter(|mark| mark.life == life && mark.epoch >= behind) else {
            return Err(self.refused(format!(
                "it is not as snapshot {epoch} left it: another warehouse, one restored from a backup, or one that \
                 another job with the same owner has written to since; give the warehouse of the snapshot, or begin \
                 anew with another folder for snapshots"
            )));
        };
        if mark.bare_epoch > epoch {
            return Err(self.refused(format!(
                "it has rows of epoch {}, behind snapshot {epoch}, that would be doubled because they have no ids; \
                 begin anew with another folder for snapshots, or give rows ids (Row::with_id)",
                mark.bare_epoch
            )));
        }
        *self.epochs.lock() = Known {
            life,
            committed: mark.epoch,
        };
        let rows = prepared.into_iter().flat_map(|p| p.rows).collect();
        self.commit_rows(epoch, rows).await?;
        Ok(self.epochs.lock().committed)
    }

    async fn begin(&self) -> Result<u64> {
        let life = retried(|| self.service.begin_epochs(&self.table, &self.owner)).await?;
        *self.epochs.lock() = Known { life, committed: 0 };
        Ok(0)
    }

    fn decoded(&self, prepared: Vec<Vec<u8>>) -> Result<Vec<Prepared>> {
        let decoded = prepared
            .iter()
            .filter(|bytes| !bytes.is_empty())
            .map(|bytes| {
                decode(&mut bytes.as_slice()).map_err(|error| {
                    self.refused(format!("what was prepared for it cannot be read: {error}"))
                })
            });
        decoded.collect()
    }

    fn refused(&self, reason: String) -> Error {
        let table = self.table.clone();
        engine_error(BigQueryErrorKind::Epochs { table, reason }.into())
    }
}

/// Calls the service, again while its error may pass.
pub(super) async fn retried<T, F: Future<Output = std::result::Result<T, BigQueryError>>>(
    mut call: impl FnMut() -> F,
) -> Result<T> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        match call().await {
            Err(error) if error.is_transient() => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            result => return result.map_err(engine_error),
        }
    }
    let last = call().await;
    last.map_err(|error| Error::connector(format!("{error} (after {ATTEMPTS} attempts)")))
}
