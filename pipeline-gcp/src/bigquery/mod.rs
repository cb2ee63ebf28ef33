//! BigQuery: table schemas, rows, the service trait and its embedded stand-in.
//!
//! [`BigQuery`] is what a sink or an example talks to. [`LocalWarehouse`] implements it in a folder,
//! without a network or an account: tables live in an SQLite file, appends are atomic and idempotent by
//! row id, and queries and views are written in GoogleSQL, the very text that BigQuery gets. What the
//! embedded warehouse does not understand it refuses with a position; it never guesses (see [`googlesql`]).
//!
//! | file | what stands there |
//! |---|---|
//! | `schema.rs`, `row.rs`, `value.rs`, `timestamp.rs` | columns, rows, typed values, TIMESTAMP text |
//! | `service.rs`, `error.rs` | the trait and its error |
//! | `sink.rs`, `sink/epochs.rs` | a collection into a table; by epochs |
//! | `local/` | the embedded warehouse |
//! | `googlesql/` | GoogleSQL checked, typed and translated |

pub mod civil;
#[cfg(feature = "gcp")]
mod cloud;
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
pub use stream::{AppendStream, StreamKind, WriteStreams};
pub use table_options::{CreateDisposition, TableOptions, WriteDisposition};
pub use value::Value;
