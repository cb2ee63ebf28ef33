//! Writes a collection into a table.

use std::marker::PhantomData;
use std::sync::Arc;

use pipeline_core::Result;
use pipeline_core::prelude::*;

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
pub struct TableSink<T> {
    service: Arc<dyn BigQuery>,
    table: String,
    schema: TableSchema,
    to_row: ToRow<T>,
    mode: Mode,
    element: PhantomData<fn(T)>,
}

#[derive(Clone, Copy)]
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
            element: PhantomData,
        }
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
        })
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
}

impl<T: Element> TableWriter<T> {
    /// Creates the table, once.
    async fn create(&mut self) -> Result<()> {
        if let Some(schema) = &self.schema {
            let created = self
                .service
                .create_table_if_needed(&self.table, schema)
                .await;
            created.map_err(engine_error)?;
            self.schema = None;
        }
        Ok(())
    }
}

impl<T: Element> Writer<T> for TableWriter<T> {
    async fn write(&mut self, batch: &WriteBatch<'_, T>) -> Result<Vec<Rejected>> {
        self.create().await?;
        let rows = batch.records.iter().map(|record| (self.to_row)(record));
        let rows = rows.collect();
        let errors = match self.mode {
            Mode::Append => {
                let appended = self.service.append_rows(&self.table, rows).await;
                appended.map_err(engine_error)?.errors
            }
            Mode::Upsert => {
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
