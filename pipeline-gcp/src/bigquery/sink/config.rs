//! What a sink was told.

use std::sync::Arc;

use pipeline_core::Result;
use pipeline_core::prelude::*;
use pipeline_core::sink::Promise;

use super::method::WriteMethod;
use super::streams::StreamRows;
use super::writer::Way;
use super::{engine_error, epochs::EpochRows};
use crate::bigquery::error::BigQueryErrorKind;
use crate::bigquery::row::Row;
use crate::bigquery::schema::TableSchema;
use crate::bigquery::service::BigQuery;
use crate::bigquery::stream::StreamKind;
use crate::bigquery::table_options::TableOptions;

pub(super) type ToRow<T> = Arc<dyn Fn(&T) -> std::result::Result<Row, String> + Send + Sync>;

/// Which table a row goes into.
pub(super) enum Destination<T> {
    One(String),
    Of(Arc<dyn Fn(&T) -> String + Send + Sync>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Append,
    Upsert,
}

pub(super) struct Config<T> {
    pub service: Arc<dyn BigQuery>,
    pub destination: Destination<T>,
    pub schema: TableSchema,
    pub to_row: ToRow<T>,
    pub mode: Mode,
    pub method: WriteMethod,
    pub options: TableOptions,
    pub owner: String,
    pub max_open_tables: usize,
    pub max_batch: Option<usize>,
    /// The view to be made once the table is there.
    pub view: Option<String>,
}

impl<T> Clone for Config<T> {
    fn clone(&self) -> Self {
        Config {
            service: Arc::clone(&self.service),
            destination: match &self.destination {
                Destination::One(table) => Destination::One(table.clone()),
                Destination::Of(table) => Destination::Of(Arc::clone(table)),
            },
            schema: self.schema.clone(),
            to_row: Arc::clone(&self.to_row),
            mode: self.mode,
            method: self.method,
            options: self.options,
            owner: self.owner.clone(),
            max_open_tables: self.max_open_tables,
            max_batch: self.max_batch,
            view: self.view.clone(),
        }
    }
}

impl<T> Config<T> {
    pub fn new(
        service: Arc<dyn BigQuery>,
        table: String,
        schema: TableSchema,
        to_row: ToRow<T>,
        mode: Mode,
    ) -> Self {
        Config {
            service,
            destination: Destination::One(table),
            schema,
            to_row,
            mode,
            method: WriteMethod::default(),
            options: TableOptions::default(),
            owner: String::new(),
            max_open_tables: 50,
            max_batch: None,
            view: None,
        }
    }

    /// Returns the table, where all rows go into one.
    pub fn one_table(&self) -> Option<&str> {
        match &self.destination {
            Destination::One(table) => Some(table),
            Destination::Of(_) => None,
        }
    }

    /// Returns the table of a record.
    pub fn table_of(&self, record: &T) -> String {
        match &self.destination {
            Destination::One(table) => table.clone(),
            Destination::Of(table) => table(record),
        }
    }

    pub fn has_streams(&self) -> bool {
        self.service.write_streams().is_some()
    }

    /// Tells whether rows are kept for load jobs.
    pub fn loads(&self) -> bool {
        self.method == WriteMethod::LoadJob && self.service.load_jobs().is_some()
    }

    /// Chooses how a writer writes.
    pub fn way(&self, in_epochs: bool) -> Result<Way> {
        if !self.has_streams() {
            return Ok(match in_epochs && self.service.commits_epochs() {
                true => Way::Rows(EpochRows::default()),
                false => Way::Direct,
            });
        }
        if self.mode == Mode::Upsert {
            let reason = "BigQuery replaces no rows of a table that rows stream into; write versions: \
                          TableSink::versioned";
            return Err(self.wrong_kind(reason));
        }
        Ok(match (self.method, in_epochs) {
            (WriteMethod::StorageWrite, true) => {
                Way::Streams(StreamRows::new(StreamKind::Buffered, self.max_open_tables))
            }
            (WriteMethod::StorageWrite, false) => {
                Way::Streams(StreamRows::new(StreamKind::Committed, self.max_open_tables))
            }
            (WriteMethod::StorageWriteAtLeastOnce, _) => {
                Way::Streams(StreamRows::new(StreamKind::Default, self.max_open_tables))
            }
            (WriteMethod::StorageWriteAtEnd, false) => Way::Pending,
            (WriteMethod::StorageWriteAtEnd, true) => {
                let reason = "its rows were to be visible at the end, which a run with snapshots does not wait for; \
                              use WriteMethod::StorageWrite";
                return Err(self.wrong_kind(reason));
            }
            (WriteMethod::InsertAll, _) => Way::Direct,
            (WriteMethod::LoadJob, true) => Way::Rows(EpochRows::default()),
            (WriteMethod::LoadJob, false) => Way::Load,
        })
    }

    pub fn promise(&self) -> Promise {
        if !self.has_streams() {
            return match self.service.commits_epochs() {
                true => Promise::Transactional,
                false => Promise::Idempotent,
            };
        }
        match self.method {
            WriteMethod::StorageWrite | WriteMethod::StorageWriteAtEnd | WriteMethod::LoadJob => {
                Promise::Transactional
            }
            WriteMethod::StorageWriteAtLeastOnce | WriteMethod::InsertAll => Promise::AtLeastOnce,
        }
    }

    /// Refuses at once what a commit would: an append into a keyed table, and an upsert into another.
    pub fn check_kind(&self) -> Result<()> {
        match (self.mode, &self.schema.upsert_key) {
            (Mode::Append, Some(_)) => {
                Err(self.wrong_kind("it is keyed; write it with TableSink::upsert"))
            }
            (Mode::Upsert, None) => Err(self.wrong_kind(
                "it has no key; write it with TableSink::append, or key its schema with TableSchema::keyed_by",
            )),
            _ => Ok(()),
        }
    }

    fn wrong_kind(&self, reason: &str) -> Error {
        let table = self.one_table().unwrap_or("of each element").to_owned();
        let reason = reason.to_owned();
        engine_error(BigQueryErrorKind::WrongTableKind { table, reason }.into())
    }
}
