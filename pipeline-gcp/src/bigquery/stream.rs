//! Write streams: what a sink asks of the Storage Write API.
//!
//! | kind | rows are visible | used |
//! |---|---|---|
//! | [`StreamKind::Buffered`] | when they are flushed | in runs with snapshots |
//! | [`StreamKind::Pending`] | all at once, when the stream is committed | in runs that publish at their end |
//! | [`StreamKind::Committed`] | when they are appended, once | in runs without snapshots |
//! | [`StreamKind::Default`] | when they are appended, once or more often | where duplicates do no harm |

use async_trait::async_trait;

use super::error::BigQueryError;
use super::row::Row;
use super::schema::TableSchema;
use super::service::RowError;

/// Names the kinds of write streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// Rows wait until they are flushed up to an offset.
    Buffered,
    /// Rows wait until the stream is committed.
    Pending,
    /// Rows are visible at once; offsets keep each from being there twice.
    Committed,
    /// The stream that every table has; without offsets.
    Default,
}

/// Opens streams, and makes visible what was appended to them.
#[async_trait]
pub trait WriteStreams: Send + Sync {
    /// Opens a stream of a table, to which rows of the schema are appended.
    async fn open(
        &self,
        table: &str,
        kind: StreamKind,
        schema: &TableSchema,
    ) -> Result<Box<dyn AppendStream>, BigQueryError>;

    /// Makes the first `rows` rows of a buffered stream visible. What is visible already stays so: the call can be
    /// repeated.
    async fn flush(&self, stream: &str, rows: u64) -> Result<(), BigQueryError>;

    /// Makes all rows of a pending stream visible and ends it. The call can be repeated.
    async fn commit(&self, stream: &str) -> Result<(), BigQueryError>;
}

/// Appends rows to one stream, in order.
#[async_trait]
pub trait AppendStream: Send {
    /// Returns the name by which the stream is flushed or committed.
    fn name(&self) -> &str;

    /// Returns the number of rows that were appended.
    fn appended(&self) -> u64;

    /// Appends rows; returns those that were refused for good, each with the service's reason. All others are appended.
    ///
    /// # Errors
    /// When rows could be neither appended nor refused. Those before them are appended: the call cannot be repeated.
    async fn append(&mut self, rows: &[&Row]) -> Result<Vec<RowError>, BigQueryError>;
}
