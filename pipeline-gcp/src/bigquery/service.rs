//! The service trait: what a sink, a view and a reader ask of BigQuery.

use async_trait::async_trait;

use super::error::BigQueryError;
use super::row::Row;
use super::schema::{ColumnType, TableSchema};
use super::value::Value;

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

/// Holds the result of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryResult {
    /// Name and type of each column.
    pub columns: Vec<ResultColumn>,
    /// The rows, each with one value a column.
    pub rows: Vec<Vec<Value>>,
}

/// Describes a column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultColumn {
    /// Name; `f0_`, `f1_`, … where the query gives none, as BigQuery does.
    pub name: String,
    /// GoogleSQL type; a bare NULL counts as INT64, as in BigQuery.
    pub column_type: ColumnType,
}
