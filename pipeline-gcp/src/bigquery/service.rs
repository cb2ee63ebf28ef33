//! The service trait: what a sink, a view and a reader ask of BigQuery.

use async_trait::async_trait;

use super::error::{BigQueryError, BigQueryErrorKind};
use super::load::LoadJobs;
use super::result::{Page, PagePosition, QueryResult};
use super::row::Row;
use super::schema::TableSchema;
use super::stream::WriteStreams;
use super::table_options::TableOptions;

/// Stands for BigQuery: implemented by the embedded warehouse and by the cloud client alike.
///
/// Table names are plain (`orders`) or qualified (`dataset.orders`, `project.dataset.orders`). A call that returns an
/// error has changed nothing.
#[async_trait]
pub trait BigQuery: Send + Sync {
    /// Creates a table unless it is there with the same schema.
    ///
    /// # Errors
    /// A table with another schema is refused, naming the first column that differs; so is an invalid schema or name.
    async fn create_table_if_needed(
        &self,
        table: &str,
        schema: &TableSchema,
    ) -> Result<(), BigQueryError>;

    /// Appends rows to an append-only table, all in one commit.
    ///
    /// A row whose `row_id` is already there (or stands earlier in the same call) is not inserted again. A row that
    /// does not fit the schema is reported and the others are written. When the call returns, the rows are durable.
    async fn append_rows(
        &self,
        table: &str,
        rows: Vec<Row>,
    ) -> Result<AppendOutcome, BigQueryError>;

    /// Writes rows to a keyed table, all in one commit: a row replaces the one of its key with smaller or equal version.
    ///
    /// A row of smaller version than the one that is there changes nothing. `row_id` plays no part. A row that does
    /// not fit the schema is reported and the others are written. When the call returns, the rows are durable.
    async fn upsert_rows(
        &self,
        table: &str,
        rows: Vec<Row>,
    ) -> Result<UpsertOutcome, BigQueryError>;

    /// Tells whether [`commit_epoch`](Self::commit_epoch) is there. Default: no.
    fn commits_epochs(&self) -> bool {
        false
    }

    /// Begins to write epochs into a table, under the name of `owner`; returns the number of this life of the owner.
    ///
    /// What another life has not committed by then, it cannot commit any more. The table need not be there.
    async fn begin_epochs(&self, table: &str, _owner: &str) -> Result<u64, BigQueryError> {
        Err(no_epochs(table))
    }

    /// Returns what an owner has committed last; `None` if it has never begun.
    async fn epoch_mark(
        &self,
        table: &str,
        _owner: &str,
    ) -> Result<Option<EpochMark>, BigQueryError> {
        Err(no_epochs(table))
    }

    /// Writes the rows of an epoch and notes the epoch, all in one commit. An epoch that is not greater than the one
    /// noted changes nothing, so that the call can be repeated; it is an error if its rows are not there, where that can be
    /// told (by ids or keys).
    ///
    /// The rows are written as by [`append_rows`](Self::append_rows), or into a keyed table as by
    /// [`upsert_rows`](Self::upsert_rows).
    ///
    /// # Errors
    /// A row that does not fit the schema, an owner that has begun another life since, and an epoch that was committed
    /// with other rows: nothing is written.
    async fn commit_epoch(&self, commit: &EpochCommit) -> Result<(), BigQueryError> {
        Err(no_epochs(&commit.table))
    }

    /// Gets a table ready to be written: creates, checks, empties it or gives it new columns, as the options say.
    ///
    /// # Errors
    /// A table that is not there and must not be created, that has another schema, or that has rows and must not; a
    /// service that does not know an option.
    async fn ready_table(
        &self,
        table: &str,
        schema: &TableSchema,
        options: TableOptions,
    ) -> Result<(), BigQueryError> {
        if options == TableOptions::default() {
            return self.create_table_if_needed(table, schema).await;
        }
        let reason = "this service only creates tables that are not there".to_owned();
        let table = table.to_owned();
        Err(BigQueryErrorKind::WrongTableKind { table, reason }.into())
    }

    /// Returns the columns of a table; `None` if it is not there. Default: the service does not tell.
    async fn table_schema(&self, table: &str) -> Result<Option<TableSchema>, BigQueryError> {
        let reason = "this service does not tell the columns of its tables".to_owned();
        let table = table.to_owned();
        Err(BigQueryErrorKind::WrongTableKind { table, reason }.into())
    }

    /// Appends rows of a known schema, which may have fewer columns than the table. Default: as
    /// [`append_rows`](Self::append_rows).
    async fn insert_rows(
        &self,
        table: &str,
        _schema: &TableSchema,
        rows: &[&Row],
    ) -> Result<AppendOutcome, BigQueryError> {
        let rows = rows.iter().copied().cloned().collect();
        self.append_rows(table, rows).await
    }

    /// Returns the Storage Write API, where the service has it. Default: it has not.
    fn write_streams(&self) -> Option<&dyn WriteStreams> {
        None
    }

    /// Returns the load jobs, where the service has them. Default: it has not.
    fn load_jobs(&self) -> Option<&dyn LoadJobs> {
        None
    }

    /// Reads rows of a query's result from a position on, a page at a time; the first page runs the query.
    ///
    /// Default: one page with all rows, made by running the query again.
    async fn read_page(&self, sql: &str, from: &PagePosition) -> Result<Page, BigQueryError> {
        let mut result = self.query(sql).await?;
        let from = usize::try_from(from.row).unwrap_or(usize::MAX);
        result.rows.drain(..from.min(result.rows.len()));
        Ok(Page {
            result,
            job: String::new(),
            next: None,
        })
    }

    /// Runs a `CREATE [OR REPLACE] VIEW name AS query` in GoogleSQL.
    ///
    /// # Errors
    /// A text that does not stand up to the tables and views it names is refused with line and column.
    async fn create_view(&self, sql: &str) -> Result<(), BigQueryError>;

    /// Runs a GoogleSQL query and returns its typed rows, all of them in memory.
    ///
    /// # Errors
    /// A wrong or unsupported text has line and column; a failure on the data (overflow, division by zero) says so.
    async fn query(&self, sql: &str) -> Result<QueryResult, BigQueryError>;
}

fn no_epochs(table: &str) -> BigQueryError {
    BigQueryErrorKind::Epochs {
        table: table.to_owned(),
        reason: "this service does not commit by epochs; append or upsert rows".to_owned(),
    }
    .into()
}

/// Holds the rows of an epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochCommit {
    /// The table, which must be there.
    pub table: String,
    /// Who writes; one table can have several, each with epochs of its own.
    pub owner: String,
    /// The number that [`BigQuery::begin_epochs`] gave.
    pub life: u64,
    /// The epoch, from 1.
    pub epoch: u64,
    /// The rows, of all workers.
    pub rows: Vec<Row>,
}

/// Says what an owner has committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochMark {
    /// Counts the lives of the owner, from 1.
    pub life: u64,
    /// The last epoch of that life that was committed; 0 for none.
    pub epoch: u64,
    /// The last one that had a row which would be doubled if it came again: one without an id, in a table without a
    /// key; 0 for none.
    pub bare_epoch: u64,
}

/// Counts what an append did; the numbers and `errors` add up to the rows given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppendOutcome {
    /// Rows that are new in the table.
    pub inserted: usize,
    /// Rows whose id was there already.
    pub duplicates: usize,
    /// Rows that do not fit the schema, in order of index; none of them was written.
    pub errors: Vec<RowError>,
}

/// Counts what an upsert did; the numbers and `errors` add up to the rows given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpsertOutcome {
    /// Rows that were inserted or that replaced another.
    pub written: usize,
    /// Rows that changed nothing because a greater version is there.
    pub outdated: usize,
    /// Rows that do not fit the schema, in order of index; none of them was written.
    pub errors: Vec<RowError>,
}

/// Says why one row of a call was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// Position of the row in the call, from 0.
    pub index: usize,
    /// Names the column and what is wrong.
    pub reason: String,
}
