//! Reads a query's result, or a table.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::source::{Position, Resume};
use pipeline_core::{Result, Timestamp};
use serde::de::DeserializeOwned;

use super::error::BigQueryError;
use super::result::{PagePosition, ResultColumn, read_row};
use super::service::BigQuery;
use super::value::Value;

type ReadRow<T> =
    Arc<dyn Fn(&[ResultColumn], &[Value]) -> std::result::Result<T, String> + Send + Sync>;
type TimestampOf<T> = Arc<dyn Fn(&T) -> Timestamp + Send + Sync>;

/// Reads the rows of a query or of a table, once, as structs: a bounded source.
///
/// A table is read by a query, too: BigQuery writes the result of a query into a table of its own, which nobody changes
/// any more and which is kept for 24 hours. So a run that is resumed within them goes on in the very rows that the
/// run before read, whatever became of the table; after them it ends with an error that says so. What this costs is
/// one scan of the table. Rows come in pages, by one worker, through REST (some 10 MB a second); for the large
/// tables that take longer than that, export them to Cloud Storage and read the files.
///
/// The embedded warehouse holds no results: a run that is resumed runs the query again and skips the rows that were read,
/// which is right where the query has an ORDER BY and its tables have not changed.
///
/// A row that cannot be read as the struct ends the job, with its number and the column. Event times are
/// [`Timestamp::MIN`] where [`timestamp_with`](Self::timestamp_with) says nothing else.
pub struct TableSource<T> {
    service: Arc<dyn BigQuery>,
    sql: String,
    read_row: ReadRow<T>,
    timestamp: TimestampOf<T>,
}

impl<T: Element> TableSource<T> {
    /// Reads a query in GoogleSQL as structs whose fields are named as the columns; see
    /// [`QueryResult::rows_as`](super::QueryResult::rows_as).
    pub fn query(service: Arc<dyn BigQuery>, sql: impl Into<String>) -> Self
    where
        T: DeserializeOwned,
    {
        Self::with_rows(service, sql, read_row)
    }

    /// Reads a table as structs whose fields are named as the columns.
    pub fn table(service: Arc<dyn BigQuery>, table: &str) -> Self
    where
        T: DeserializeOwned,
    {
        Self::query(service, format!("SELECT * FROM {}", quoted(table)))
    }

    /// Reads a query, each row by a function of columns and values.
    pub fn with_rows(
        service: Arc<dyn BigQuery>,
        sql: impl Into<String>,
        read: impl Fn(&[ResultColumn], &[Value]) -> std::result::Result<T, String>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        TableSource {
            service,
            sql: sql.into(),
            read_row: Arc::new(read),
            timestamp: Arc::new(|_| Timestamp::MIN),
        }
    }

    /// Takes event times from the elements.
    #[must_use]
    pub fn timestamp_with(
        mut self,
        timestamp: impl Fn(&T) -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        self.timestamp = Arc::new(timestamp);
        self
    }
}

/// Writes a name as GoogleSQL wants it.
pub(super) fn quoted(table: &str) -> String {
    format!("`{}`", table.replace('`', ""))
}

impl<T: Element> Source for TableSource<T> {
    type Item = T;
    type Split = ();
    type Ack = ();
    type Reader = TableReader<T>;

    fn is_bounded(&self) -> bool {
        true
    }

    fn split(&self, _desired: usize) -> Result<Vec<()>> {
        Ok(vec![()])
    }

    fn open(&self, (): (), context: &ReadContext) -> Result<TableReader<T>> {
        let position: Option<PagePosition> = context.position()?;
        let position = position.unwrap_or_default();
        Ok(TableReader {
            service: Arc::clone(&self.service),
            sql: self.sql.clone(),
            read_row: Arc::clone(&self.read_row),
            timestamp: Arc::clone(&self.timestamp),
            next: Some(position.clone()),
            position,
            columns: Vec::new(),
            rows: VecDeque::new(),
        })
    }

    fn resume(&self) -> Resume {
        Resume::Position
    }
}

/// Reads the pages of a [`TableSource`].
pub struct TableReader<T> {
    service: Arc<dyn BigQuery>,
    sql: String,
    read_row: ReadRow<T>,
    timestamp: TimestampOf<T>,
    /// The page to be read next; none behind the last.
    next: Option<PagePosition>,
    /// The row that is handed over next.
    position: PagePosition,
    columns: Vec<ResultColumn>,
    rows: VecDeque<Vec<Value>>,
}

/// How often a page is asked for that the service is too busy to give, and the pause between.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

impl<T: Element> TableReader<T> {
    async fn read_page(&mut self, from: &PagePosition) -> Result<()> {
        let mut attempt = 1;
        let page = loop {
            match self.service.read_page(&self.sql, from).await {
                Err(error) if error.is_busy() && attempt < ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                page => break page.map_err(|error: BigQueryError| Error::connector(error))?,
            }
        };
        // A read that is dropped before this changes nothing: the page is read again.
        self.position.job = page.job;
        self.columns = page.result.columns;
        self.rows = page.result.rows.into();
        self.next = page.next;
        Ok(())
    }
}

impl<T: Element> Reader<T, ()> for TableReader<T> {
    async fn read(&mut self, batch: &mut ReadBatch<T, ()>) -> Result<ReadStatus> {
        while self.rows.is_empty() {
            let Some(from) = self.next.clone() else {
                return Ok(ReadStatus::Ended);
            };
            self.read_page(&from).await?;
        }
        while batch.room() > 0
            && let Some(row) = self.rows.pop_front()
        {
            let element = (self.read_row)(&self.columns, &row);
            let element = element.map_err(|reason| {
                let row = self.position.row;
                Error::connector(format!("row {row} of the result: {reason}"))
            })?;
            self.position.row += 1;
            let timestamp = (self.timestamp)(&element);
            batch.push(element, timestamp);
        }
        let ended = self.rows.is_empty() && self.next.is_none();
        Ok(if ended {
            ReadStatus::Ended
        } else {
            ReadStatus::More
        })
    }

    fn position(&mut self) -> Result<Position> {
        Position::of(&self.position)
    }
}
