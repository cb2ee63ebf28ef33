//! A table got ready: created, compared, emptied, given new columns.

use rusqlite::Transaction;

use super::failure::storage;
use super::layout::{self, Definition, plain_name};
use super::warehouse::LocalWarehouse;
use super::write::{begin, table_schema};
use crate::bigquery::error::{BigQueryError, BigQueryErrorKind};
use crate::bigquery::schema::{Mode, TableSchema};
use crate::bigquery::table_options::{CreateDisposition, TableOptions, WriteDisposition};

impl LocalWarehouse {
    pub(super) fn ready(
        &self,
        table: &str,
        schema: &TableSchema,
        options: TableOptions,
    ) -> Result<(), BigQueryError> {
        let plain = plain_name(table)?;
        let there = self.schema_of(plain)?;
        if there.is_none() && options.create == CreateDisposition::Never {
            let table = plain.to_owned();
            return Err(BigQueryErrorKind::TableNotFound { table }.into());
        }
        if let Some(there) = there.filter(|_| options.new_columns) {
            self.add_columns(plain, &there, schema)?;
        }
        self.create_table(table, schema)?;
        if options.write == WriteDisposition::Append {
            return Ok(());
        }
        let action = format!("emptying table `{plain}`");
        let mut connection = self.writer()?;
        let transaction = begin(&mut connection, &action)?;
        if options.write == WriteDisposition::Truncate {
            let deleted = transaction.execute_batch(&format!("DELETE FROM \"{plain}\""));
            deleted.map_err(storage(action.clone()))?;
            return transaction.commit().map_err(storage(action));
        }
        let sql = format!("SELECT EXISTS (SELECT 1 FROM \"{plain}\")");
        let has_rows: bool = transaction
            .query_row(&sql, [], |row| row.get(0))
            .map_err(storage(action))?;
        match has_rows {
            false => Ok(()),
            true => Err(BigQueryErrorKind::WrongTableKind {
                table: plain.to_owned(),
                reason: "it has rows, and was to be empty; empty it, name another, or append"
                    .to_owned(),
            }
            .into()),
        }
    }

    /// Returns the schema of a table; `None` if it is not there.
    pub(super) fn schema_of(&self, table: &str) -> Result<Option<TableSchema>, BigQueryError> {
        let connection = self.reader();
        match layout::find(&connection, plain_name(table)?)? {
            Some((name, Definition::Table(schema))) if name == table => Ok(Some(schema)),
            _ => Ok(None),
        }
    }

    /// Adds the columns that follow those of the table.
    fn add_columns(
        &self,
        table: &str,
        there: &TableSchema,
        schema: &TableSchema,
    ) -> Result<(), BigQueryError> {
        let have = there.columns.len();
        let first = schema
            .columns
            .get(..have)
            .filter(|f| f.len() < schema.columns.len());
        let begins_alike = first.is_some_and(|first| {
            let first = TableSchema {
                columns: first.to_vec(),
                ..schema.clone()
            };
            there.difference(&first).is_none()
        });
        if !begins_alike {
            // What differs otherwise, `create_table` says.
            return Ok(());
        }
        let new = &schema.columns[have..];
        if let Some(column) = new.iter().find(|column| column.mode == Mode::Required) {
            let reason = format!(
                "table `{table}`: the new column `{}` cannot be REQUIRED, since the rows that are there have no \
                 value for it",
                column.name
            );
            return Err(BigQueryErrorKind::InvalidSchema { reason }.into());
        }
        let action = format!("adding columns to table `{table}`");
        let mut connection = self.writer()?;
        let transaction: Transaction<'_> = begin(&mut connection, &action)?;
        if table_schema(&transaction, table)?.columns.len() == have {
            layout::add_columns(&transaction, table, schema, new)?;
        }
        transaction.commit().map_err(storage(action))
    }
}
