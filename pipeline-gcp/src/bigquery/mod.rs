//! BigQuery: tables, rows, the service trait, a sink, a source; on Google Cloud and in an embedded stand-in.
//!
//! [`BigQuery`] is what a sink, a source or a program talks to. `CloudBigQuery` (feature `gcp`) is BigQuery itself, or an
//! emulator. [`LocalWarehouse`] implements it in a folder, without a network or an account: tables live in an SQLite file,
//! appends are atomic and idempotent by row id, and queries and views are written in GoogleSQL, the very text that
//! BigQuery gets. What the embedded warehouse does not understand it refuses with a position; it never guesses (see
//! [`googlesql`]).
//!
//! # What is promised
//! | of | promised | shown on |
//! |---|---|---|
//! | [`TableSink`] in a run with snapshots | a row is visible with its epoch, once, whatever crashes | warehouse, emulator, server by script |
//! | [`WriteMethod::StorageWrite`] in other runs | once, visible as soon as it is written | emulator, server by script |
//! | [`WriteMethod::StorageWriteAtEnd`] | all rows of a table together, or none | server by script |
//! | [`WriteMethod::LoadJob`] | the rows of a job together, once | server by script |
//! | [`WriteMethod::InsertAll`], [`WriteMethod::StorageWriteAtLeastOnce`] | at least once | server by script |
//! | rows that the service refuses | dead letters with the service's reason; the others are written | server by script |
//! | a schema that does not fit | found before the first row; later, dead letters that name the column | all three |
//! | [`TableSink::versioned`] | a view of the latest version of each key | warehouse, emulator |
//! | every call | a deadline with all its attempts; an error that names it | server by script |
//!
//! # What was not seen against Google itself
//! That an account is accepted, and quotas as they are; how long a buffered stream outlives its last append (a run that is
//! resumed later than that ends with an error that says so); how long BigQuery's streams take to know a new column; that
//! a view whose text names tables without a dataset keeps the dataset of the query that created it.
//!
//! A run must go on from its *last* snapshot: rows that were flushed behind an older one cannot be told from others, and
//! would be there twice. (The embedded warehouse keeps marks, and refuses.)
//!
//! | file | what stands there |
//! |---|---|
//! | `schema/`, `row/`, `value.rs`, `timestamp.rs`, `civil.rs`, `numeric.rs` | columns from serde types, DDL and JSON; rows, typed values and their texts |
//! | `service.rs`, `stream.rs`, `load.rs`, `table_options.rs`, `result.rs`, `error.rs` | the trait, what it is asked, and its error |
//! | `sink/` | a collection into tables: by streams, epochs, load jobs; versions; counts |
//! | `source.rs`, `dead_letters.rs` | a query or a table as a collection; dead letters in a table and back |
//! | `cloud/` | BigQuery itself |
//! | `local/` | the embedded warehouse |
//! | `googlesql/` | GoogleSQL checked, typed and translated |

pub mod civil;
#[cfg(feature = "gcp")]
mod cloud;
mod dead_letters;
mod error;
pub mod googlesql;
mod load;
mod local;
pub mod numeric;
mod result;
mod row;
mod schema;
mod service;
mod sink;
mod source;
mod stream;
mod table_options;
pub mod timestamp;
mod value;

#[cfg(feature = "gcp")]
pub use cloud::CloudBigQuery;
pub use error::{BigQueryError, BigQueryErrorKind};
pub use load::{LoadJob, LoadJobs};
pub use local::{JournalEntry, LocalWarehouse};
pub use result::{Page, PagePosition, QueryResult, ResultColumn};
pub use row::Row;
pub use schema::{Column, ColumnType, Granularity, Mode, Partitioning, TableSchema};
pub use service::{AppendOutcome, BigQuery, EpochCommit, EpochMark, RowError, UpsertOutcome};
pub use sink::{TableCounts, TableSink, TableWriter, WriteMethod, latest_view};
pub use source::{TableReader, TableSource};
pub use stream::{AppendStream, StreamKind, WriteStreams};
pub use table_options::{CreateDisposition, TableOptions, WriteDisposition};
pub use value::Value;
