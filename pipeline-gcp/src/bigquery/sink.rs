//! Writes a collection into a table.

mod epochs;

use std::marker::PhantomData;
use std::sync::Arc;

use pipeline_core::Result;
use pipeline_core::prelude::*;
use pipeline_core::sink::{Promise, Recovery};

use self::epochs::{EpochRows, Epochs};

use super::error::BigQueryError;
use super::row::Row;
use super::schema::TableSchema;
use super::service::{BigQuery, RowError};

type ToRow<T> = Arc<dyn Fn(&T) -> Row + Send + Sync>;

/// Writes elements as rows of one table, which is created if it is not there.
///
/// - [`append`](Self::append) adds rows. A row with an id that is in the table already is not added
///   again: writing the same elements twice changes nothing (idempotent by row id).
/// - [`upsert`](Self::upsert) keeps one row per key, the one of the greatest version; a table keyed by
///   [`TableSchema::keyed_by`].
///
/// A batch is written by one call, which is atomic; the promise of the write is the service's (the
/// embedded warehouse has the rows on disk). A row that the table refuses (a required column without a
/// value, say) comes out as refused, the others are written. A table of another schema ends the job.
///
/// In a run with snapshots the rows of an epoch are written in one call when the snapshot is durable,
/// with a mark that says so: each is there once, with an id or without. A service that has no such
/// marks ([`BigQuery::commits_epochs`]) is written to at once, and rows without an id can then be
/// there several times after a crash.
pub struct TableSink<T> {
    service: Arc<dyn BigQuery>,
    table: String,
    schema: TableSchema,
    to_row: ToRow<T>,
    mode: Mode,
    owner: String,
    epochs: Epochs,
    element: PhantomData<fn(T)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Append,
    Upsert,
}

impl<T: Element> TableSink<T> {
    /// Adds the rows that `to_row` makes, in the order of the columns of `schema`.
    pub fn append(
        service: Arc<dyn BigQuery>,
        table: impl Into<String>,
        schema: TableSchema,
        to_row: impl Fn(&T) -> Row + Send + Sync + 'static,
    ) -> Self {
        Self::new(
            service,
            table.into(),
            schema,
            Arc::new(to_row),
            Mode::Append,
        )
    }

    /// Replaces rows of the same key and of a version that is not greater.
    pub fn upsert(
        service: Arc<dyn BigQuery>,
        table: impl Into<String>,
        schema: TableSchema,
        to_row: impl Fn(&T) -> Row + Send + Sync + 'static,
    ) -> Self {
        Self::new(
            service,
            table.into(),
            schema,
            Arc::new(to_row),
            Mode::Upsert,
        )
    }

    fn new(
        service: Arc<dyn BigQuery>,
        table: String,
        schema: TableSchema,
        to_row: ToRow<T>,
        mode: Mode,
    ) -> Self {
        TableSink {
            service,
            table,
            schema,
            to_row,
            mode,
            owner: String::new(),
            epochs: Epochs::default(),
            element: PhantomData,
        }
    }

    /// Names the writer in the marks of the table, for runs with snapshots: sinks that write into one
    /// table, of one job or of several, need names of their own. Default: the empty name.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = owner.into();
        self
    }
}

impl<T: Element> Sink for TableSink<T> {
    type Item = T;
    type Writer = TableWriter<T>;

    fn open(&self, _worker: usize) -> Result<TableWriter<T>> {
        Ok(TableWriter {
            service: Arc::clone(&self.service),
            table: self.table.clone(),
            schema: Some(self.schema.clone()),
            to_row: Arc::clone(&self.to_row),
            mode: self.mode,
            epoch: None,
        })
    }

    fn promise(&self) -> Promise {
        if self.service.commits_epochs() {
            Promise::Transactional
        } else {
            Promise::Idempotent
        }
    }

    fn open_in_epochs(&self, worker: usize) -> Result<TableWriter<T>> {
        let mut writer = self.open(worker)?;
        if self.service.commits_epochs() {
            self.check_kind()?;
            writer.epoch = Some(EpochRows::new(&self.schema, &self.epochs));
        }
        Ok(writer)
    }

    async fn commit(&self, epoch: u64, prepared: Vec<Vec<u8>>) -> Result<()> {
        self.commit_epoch(epoch, prepared).await
    }

    async fn recover(&self, last: Option<Recovery>) -> Result<u64> {
        self.recover_epochs(last).await
    }
}

/// Writes the batches of a [`TableSink`].
pub struct TableWriter<T> {
    service: Arc<dyn BigQuery>,
    table: String,
    /// The schema of the table until it has been created.
    schema: Option<TableSchema>,
    to_row: ToRow<T>,
    mode: Mode,
    /// The rows of the epoch, where they are not written at once.
    epoch: Option<EpochRows>,
}

impl<T: Element> TableWriter<T> {
    /// Creates the table, once; again while the error may pass, since the engine repeats only
    /// writes.
    async fn create(&mut self) -> Result<()> {
        if let Some(schema) = &self.schema {
            let (service, table) = (&self.service, &self.table);
            epochs::retried(|| service.create_table_if_needed(table, schema)).await?;
            self.schema = None;
        }
        Ok(())
    }
}

impl<T: Element> Writer<T> for TableWriter<T> {
    async fn write(&mut self, batch: &WriteBatch<'_, T>) -> Result<Vec<Rejected>> {
        self.create().await?;
        let rows = batch.records.iter().map(|record| (self.to_row)(record));
        let rows: Vec<Row> = rows.collect();
        let errors = match (&mut self.epoch, self.mode) {
            (Some(epoch), _) => epoch.keep(rows),
            (None, Mode::Append) => {
                let appended = self.service.append_rows(&self.table, rows).await;
                appended.map_err(engine_error)?.errors
            }
            (None, Mode::Upsert) => {
                let upserted = self.service.upsert_rows(&self.table, rows).await;
                upserted.map_err(engine_error)?.errors
            }
        };
        let rejected = errors
            .into_iter()
            .map(|RowError { index, reason }| Rejected {
                index,
                failure: Failure::new(format!("table {}: {reason}", self.table)),
            });
        Ok(rejected.collect())
    }

    async fn prepare(&mut self, _epoch: u64) -> Result<Vec<u8>> {
        if self.epoch.is_some() {
            // The commit needs the table, and creates none.
            self.create().await?;
        }
        match &mut self.epoch {
            Some(epoch) => epoch.prepare(),
            None => Ok(Vec::new()),
        }
    }

    async fn close(&mut self) -> Result<()> {
        // A run without a row leaves an empty table, not none.
        self.create().await
    }
}

fn engine_error(error: BigQueryError) -> Error {
    if error.is_transient() {
        Error::transient(error)
    } else {
        Error::connector(error)
    }
}
