//! Writes the batches of a sink.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline_core::Result;
use pipeline_core::prelude::*;

use super::config::{Config, Mode};
use super::epochs::EpochRows;
use super::ready::State;
use super::streams::StreamRows;
use super::{engine_error, final_error};
use crate::bigquery::error::{BigQueryError, BigQueryErrorKind};
use crate::bigquery::row::Row;
use crate::bigquery::service::RowError;

/// Writes the batches of a [`TableSink`](super::TableSink).
pub struct TableWriter<T> {
    config: Arc<Config<T>>,
    state: Arc<State>,
    way: Way,
}

/// How a writer writes.
pub(super) enum Way {
    /// By one call a batch and table.
    Direct,
    /// Rows are kept for the commit of their epoch.
    Rows(EpochRows),
    /// Into streams of its own.
    Streams(StreamRows),
    /// Into streams that are committed at the end.
    Pending,
    /// Into files for load jobs.
    Load,
}

/// Rows of a batch for one table, with their places in the batch.
#[derive(Default)]
struct Part {
    indices: Vec<usize>,
    rows: Vec<Row>,
}

/// What became of the rows of a part.
#[derive(Default)]
pub(super) struct Outcome {
    pub duplicates: usize,
    pub errors: Vec<RowError>,
}

impl<T: Element> TableWriter<T> {
    pub(super) fn new(config: Arc<Config<T>>, state: Arc<State>, way: Way) -> Self {
        TableWriter { config, state, way }
    }

    /// Makes rows of records, by table; what is no row is refused.
    fn parts(
        &self,
        records: &[T],
        refused: &mut BTreeMap<usize, String>,
    ) -> BTreeMap<String, Part> {
        let mut parts: BTreeMap<String, Part> = BTreeMap::new();
        let config = &*self.config;
        for (index, record) in records.iter().enumerate() {
            let row = (config.to_row)(record);
            let row = row.and_then(|row| row.validate(&config.schema).map(|()| row));
            match row {
                Ok(row) => {
                    let part = match config.one_table() {
                        Some(table) if parts.contains_key(table) => parts.get_mut(table),
                        _ => Some(parts.entry(config.table_of(record)).or_default()),
                    };
                    if let Some(part) = part {
                        part.indices.push(index);
                        part.rows.push(row);
                    }
                }
                Err(reason) => {
                    let table = config.table_of(record);
                    refused.insert(index, format!("table {table}: {reason}"));
                }
            }
        }
        parts
    }

    fn in_epochs(&self) -> bool {
        match &self.way {
            Way::Rows(_) => true,
            Way::Streams(streams) => streams.in_epochs(),
            _ => false,
        }
    }

    /// Gets a table ready. A table that an element names and that cannot be is that element's failure.
    async fn ready(&self, table: &str) -> Result<Option<String>> {
        let in_epochs = self.in_epochs();
        let ready = self.state.ready(&self.config, table, in_epochs).await;
        match ready {
            Ok(()) => Ok(None),
            Err(error) if self.config.one_table().is_none() && is_about_the_table(&error) => {
                Ok(Some(error.to_string()))
            }
            Err(error) => Err(final_error(error)),
        }
    }

    async fn write_part(&mut self, table: &str, rows: Vec<Row>) -> Result<Outcome> {
        let (config, state) = (&*self.config, &*self.state);
        match &mut self.way {
            Way::Rows(epoch) => {
                state.begin_table(config, table).await?;
                epoch.keep(table, rows);
                Ok(Outcome::default())
            }
            Way::Streams(streams) => streams.append(config, table, &rows).await,
            Way::Pending => state.streams.append(config, table, &rows).await,
            Way::Load => state.loads.keep(config, table, &rows),
            Way::Direct if config.mode == Mode::Upsert => {
                let upserted = config.service.upsert_rows(table, rows).await;
                let upserted = upserted.map_err(engine_error)?;
                Ok(Outcome {
                    duplicates: 0,
                    errors: upserted.errors,
                })
            }
            Way::Direct => {
                let rows: Vec<&Row> = rows.iter().collect();
                let (service, schema) = (&config.service, &config.schema);
                let appended = service.insert_rows(table, schema, &rows).await;
                let appended = appended.map_err(engine_error)?;
                Ok(Outcome {
                    duplicates: appended.duplicates,
                    errors: appended.errors,
                })
            }
        }
    }
}

/// Tells whether a table cannot be written because of what it is, not because of the service.
fn is_about_the_table(error: &BigQueryError) -> bool {
    matches!(
        error.kind(),
        BigQueryErrorKind::TableNotFound { .. }
            | BigQueryErrorKind::NameTaken { .. }
            | BigQueryErrorKind::InvalidSchema { .. }
            | BigQueryErrorKind::SchemaMismatch { .. }
            | BigQueryErrorKind::WrongTableKind { .. }
    )
}

impl<T: Element> Writer<T> for TableWriter<T> {
    async fn write(&mut self, batch: &WriteBatch<'_, T>) -> Result<Vec<Rejected>> {
        let mut refused = BTreeMap::new();
        if let Some(table) = self.config.one_table() {
            self.ready(table).await?;
        }
        let mut duplicates = 0;
        for (table, part) in self.parts(batch.records, &mut refused) {
            if let Some(reason) = self.ready(&table).await? {
                let reason = |index| (index, format!("table {table}: {reason}"));
                refused.extend(part.indices.into_iter().map(reason));
                continue;
            }
            let outcome = self.write_part(&table, part.rows).await?;
            duplicates += outcome.duplicates;
            for RowError { index, reason } in outcome.errors {
                if let Some(index) = part.indices.get(index) {
                    refused.insert(*index, format!("table {table}: {reason}"));
                }
            }
        }
        let others = batch.records.len() - refused.len();
        let counts = &self.state.counts;
        counts.add(others.saturating_sub(duplicates), duplicates, refused.len());
        let rejected = refused.into_iter().map(|(index, reason)| Rejected {
            index,
            failure: Failure::new(reason),
        });
        Ok(rejected.collect())
    }

    async fn prepare(&mut self, _epoch: u64) -> Result<Vec<u8>> {
        if let Some(table) = self.config.one_table() {
            // The commit needs the table, and creates none.
            self.ready(table).await?;
        }
        match &mut self.way {
            Way::Rows(epoch) => epoch.prepare(&self.state.epochs),
            Way::Streams(streams) => streams.prepare(),
            _ => Ok(Vec::new()),
        }
    }

    async fn close(&mut self) -> Result<()> {
        // A run without a row leaves an empty table, not none.
        let config = Arc::clone(&self.config);
        if let Some(table) = config.one_table() {
            self.ready(table).await?;
            if matches!(self.way, Way::Load) {
                self.state.loads.keep(&config, table, &[])?;
            }
        }
        Ok(())
    }
}
