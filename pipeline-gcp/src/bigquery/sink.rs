//! Writes a collection into tables.

mod config;
mod counts;
mod epochs;
mod loads;
mod method;
mod ready;
mod streams;
mod versioned;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use pipeline_core::Result;
use pipeline_core::prelude::*;
use pipeline_core::sink::{Promise, Recovery};
use serde::Serialize;

use self::config::{Config, Destination, Mode};
pub use self::counts::TableCounts;
pub use self::method::WriteMethod;
use self::ready::State;
pub use self::versioned::latest_view;
pub use self::writer::TableWriter;
use self::writer::Way;
use super::error::BigQueryError;
use super::row::Row;
use super::schema::TableSchema;
use super::service::BigQuery;
use super::table_options::{CreateDisposition, WriteDisposition};

/// Writes elements as rows of a table, or of the table that each element names; a table that is not there is created.
///
/// - [`append`](Self::append) and [`serialized`](Self::serialized) add rows.
/// - [`versioned`](Self::versioned) adds versions of rows, and reads the latest of each through a view.
/// - [`upsert`](Self::upsert) keeps one row per key, the one of the greatest version, in a table keyed by
///   [`TableSchema::keyed_by`]; the embedded warehouse has such tables, BigQuery has not.
///
/// A row that the table refuses comes out as refused, with the column and the service's reason; the others are written.
/// Before the first row the schema is compared with the table's: another one ends the job.
///
/// | service | a run with snapshots | another run |
/// |---|---|---|
/// | BigQuery, [`WriteMethod::StorageWrite`] | a row is there with its epoch, once | once, as soon as it is written |
/// | BigQuery, the other methods | see [`WriteMethod`] | |
/// | embedded warehouse | with its epoch, once | with its batch; once if it has an id ([`Row::with_id`]) |
///
/// In a run with snapshots a service without marks ([`BigQuery::commits_epochs`]) and without streams is written to at
/// once, and rows without an id can then be there several times after a crash.
pub struct TableSink<T> {
    config: Config<T>,
    state: Arc<State>,
}

impl<T: Element> TableSink<T> {
    /// Adds the rows that `to_row` makes, in the order of the columns of `schema`.
    pub fn append(
        service: Arc<dyn BigQuery>,
        table: impl Into<String>,
        schema: TableSchema,
        to_row: impl Fn(&T) -> Row + Send + Sync + 'static,
    ) -> Self {
        let to_row = move |record: &T| Ok(to_row(record));
        Self::new(
            service,
            table.into(),
            schema,
            Arc::new(to_row),
            Mode::Append,
        )
    }

    /// Adds elements as serde writes them, each field in the column of its name: see [`Row::from_serialize`]. An element
    /// that does not fit is refused, with the path of the column.
    pub fn serialized(
        service: Arc<dyn BigQuery>,
        table: impl Into<String>,
        schema: TableSchema,
    ) -> Self
    where
        T: Serialize,
    {
        let columns = schema.clone();
        let to_row = move |record: &T| Row::from_serialize(record, &columns);
        Self::new(
            service,
            table.into(),
            schema,
            Arc::new(to_row),
            Mode::Append,
        )
    }

    /// Replaces rows of the same key and of a version that is not greater. On BigQuery: [`versioned`](Self::versioned).
    pub fn upsert(
        service: Arc<dyn BigQuery>,
        table: impl Into<String>,
        schema: TableSchema,
        to_row: impl Fn(&T) -> Row + Send + Sync + 'static,
    ) -> Self {
        let to_row = move |record: &T| Ok(to_row(record));
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
        to_row: config::ToRow<T>,
        mode: Mode,
    ) -> Self {
        TableSink {
            config: Config::new(service, table, schema, to_row, mode),
            state: Arc::new(State::default()),
        }
    }

    /// Writes each element into the table that it names, in place of the one of the constructor; all have the same
    /// schema. Tables are got ready when their first row comes; a row whose table cannot be is refused.
    ///
    /// A worker keeps up to [`max_open_tables`](Self::max_open_tables) streams open.
    #[must_use]
    pub fn to(mut self, table: impl Fn(&T) -> String + Send + Sync + 'static) -> Self {
        self.config.destination = Destination::Of(Arc::new(table));
        self
    }

    /// Limits the streams that a worker keeps open at once, where each element names its table. Default: 50.
    #[must_use]
    pub fn max_open_tables(mut self, tables: usize) -> Self {
        self.config.max_open_tables = tables.max(1);
        self
    }

    /// Says how rows get into BigQuery. Default: [`WriteMethod::StorageWrite`]. The embedded warehouse has one way.
    #[must_use]
    pub fn method(mut self, method: WriteMethod) -> Self {
        self.config.method = method;
        self
    }

    /// Says whether a table may be created. Default: if needed.
    #[must_use]
    pub fn create(mut self, create: CreateDisposition) -> Self {
        self.config.options.create = create;
        self
    }

    /// Says what becomes of the rows that a table has when the run begins. Default: they stay.
    #[must_use]
    pub fn existing_rows(mut self, write: WriteDisposition) -> Self {
        self.config.options.write = write;
        self
    }

    /// Adds columns of the schema that the table does not have, as NULLABLE. Default: that ends the job.
    ///
    /// It may take minutes until BigQuery's streams know a new column; rows are refused until then. Add columns before
    /// the run where that matters.
    #[must_use]
    pub fn allow_new_columns(mut self) -> Self {
        self.config.options.new_columns = true;
        self
    }

    /// Limits the rows of a write. Default: 10,000, for the embedded warehouse 1,000.
    #[must_use]
    pub fn max_batch(mut self, rows: usize) -> Self {
        self.config.max_batch = Some(rows.max(1));
        self
    }

    /// Names the writer in the marks of the table and in the names of load jobs, for runs with snapshots: sinks that
    /// write into one table, of one job or of several, need names of their own. Default: the empty name.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.config.owner = owner.into();
        self
    }

    /// Returns what counts the rows: each is written, a duplicate, or refused.
    pub fn counts(&self) -> TableCounts {
        self.state.counts.clone()
    }

    fn writer(&self, way: Way) -> TableWriter<T> {
        TableWriter::new(Arc::new(self.config.clone()), Arc::clone(&self.state), way)
    }
}

impl<T: Element> Sink for TableSink<T> {
    type Item = T;
    type Writer = TableWriter<T>;

    fn open(&self, _worker: usize) -> Result<TableWriter<T>> {
        Ok(self.writer(self.config.way(false)?))
    }

    fn promise(&self) -> Promise {
        self.config.promise()
    }

    fn open_in_epochs(&self, _worker: usize) -> Result<TableWriter<T>> {
        let way = self.config.way(true)?;
        if matches!(way, Way::Rows(_)) {
            self.config.check_kind()?;
        }
        Ok(self.writer(way))
    }

    async fn commit(&self, epoch: u64, prepared: Vec<Vec<u8>>) -> Result<()> {
        self.commit_epoch(epoch, prepared).await
    }

    async fn recover(&self, last: Option<Recovery>) -> Result<u64> {
        self.recover_epochs(last).await
    }

    async fn finish(&self, succeeded: bool) -> Result<()> {
        self.publish(succeeded).await
    }

    fn max_batch(&self) -> usize {
        let streams = self.config.service.write_streams().is_some();
        let default = if streams { 10_000 } else { 1_000 };
        self.config.max_batch.unwrap_or(default)
    }
}

/// The number of attempts at a call that found the service busy, and the pause after the first; each further one is
/// twice as long. A call to BigQuery itself counts its own.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

fn engine_error(error: BigQueryError) -> Error {
    if error.is_busy() {
        Error::transient(error)
    } else {
        Error::connector(error)
    }
}

/// Calls the service, again while it is busy.
async fn retried<T, F: Future<Output = std::result::Result<T, BigQueryError>>>(
    mut call: impl FnMut() -> F,
) -> std::result::Result<T, BigQueryError> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        match call().await {
            Err(error) if error.is_busy() => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            result => return result,
        }
    }
    call().await
}

/// Turns an error that was tried often enough into one that ends the job.
fn final_error(error: BigQueryError) -> Error {
    match error.is_busy() {
        true => Error::connector(format!("{error} (after {ATTEMPTS} attempts)")),
        false => Error::connector(error),
    }
}
