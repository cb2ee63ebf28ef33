//! The service trait on BigQuery itself.

use async_trait::async_trait;

use super::client::CloudBigQuery;
use crate::bigquery::error::{BigQueryError, BigQueryErrorKind};
use crate::bigquery::load::LoadJobs;
use crate::bigquery::result::{Page, PagePosition, QueryResult};
use crate::bigquery::row::Row;
use crate::bigquery::schema::TableSchema;
use crate::bigquery::service::{AppendOutcome, BigQuery, UpsertOutcome};
use crate::bigquery::stream::WriteStreams;
use crate::bigquery::table_options::TableOptions;

#[async_trait]
impl BigQuery for CloudBigQuery {
    async fn create_table_if_needed(
        &self,
        table: &str,
        schema: &TableSchema,
    ) -> Result<(), BigQueryError> {
        self.ready(table, schema, TableOptions::default()).await
    }

    /// Inserts rows by `insertAll`. It is BigQuery that knows row ids, for about a minute, and as far as it can.
    async fn append_rows(
        &self,
        table: &str,
        rows: Vec<Row>,
    ) -> Result<AppendOutcome, BigQueryError> {
        let Some(schema) = self.table_schema(table).await? else {
            let table = table.to_owned();
            return Err(BigQueryErrorKind::TableNotFound { table }.into());
        };
        let rows: Vec<&Row> = rows.iter().collect();
        self.insert_all(table, &schema, &rows).await
    }

    async fn upsert_rows(&self, table: &str, _: Vec<Row>) -> Result<UpsertOutcome, BigQueryError> {
        let reason = "BigQuery replaces no rows of a table that rows stream into; append versions, and read the \
                      latest through a view: TableSink::versioned"
            .to_owned();
        let table = table.to_owned();
        Err(BigQueryErrorKind::WrongTableKind { table, reason }.into())
    }

    async fn ready_table(
        &self,
        table: &str,
        schema: &TableSchema,
        options: TableOptions,
    ) -> Result<(), BigQueryError> {
        self.ready(table, schema, options).await
    }

    async fn table_schema(&self, table: &str) -> Result<Option<TableSchema>, BigQueryError> {
        let name = self.table(table)?;
        self.find_table(&name).await
    }

    async fn insert_rows(
        &self,
        table: &str,
        schema: &TableSchema,
        rows: &[&Row],
    ) -> Result<AppendOutcome, BigQueryError> {
        self.insert_all(table, schema, rows).await
    }

    fn write_streams(&self) -> Option<&dyn WriteStreams> {
        Some(self)
    }

    fn load_jobs(&self) -> Option<&dyn LoadJobs> {
        Some(self)
    }

    async fn read_page(&self, sql: &str, from: &PagePosition) -> Result<Page, BigQueryError> {
        self.page(sql, from).await
    }

    async fn create_view(&self, sql: &str) -> Result<(), BigQueryError> {
        self.run(sql).await.map(|_| ())
    }

    async fn query(&self, sql: &str) -> Result<QueryResult, BigQueryError> {
        self.run(sql).await
    }
}
