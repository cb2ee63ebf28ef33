//! What writes: tables, views, appends, upserts; each call is one transaction.

use std::borrow::Cow;

use rusqlite::types::{ToSql, ToSqlOutput, Value as Stored, ValueRef};
use rusqlite::{CachedStatement, Connection, Transaction, TransactionBehavior, params};

use super::failure::storage;
use super::journal::JournalEntry;
use super::layout::{self, Definition, ROW_ID, plain_name};
use super::warehouse::LocalWarehouse;
use crate::bigquery::error::{BigQueryError, BigQueryErrorKind};
use crate::bigquery::googlesql::translate_view;
use crate::bigquery::row::Row;
use crate::bigquery::schema::{Column, ColumnType, Mode, TableSchema, UpsertKey};
use crate::bigquery::service::{AppendOutcome, RowError, UpsertOutcome};
use crate::bigquery::value::Value;

impl LocalWarehouse {
    pub(super) fn create_table(
        &self,
        table: &str,
        schema: &TableSchema,
    ) -> Result<(), BigQueryError> {
        let table = plain_name(table)?;
        schema
            .validate()
            .map_err(|reason| BigQueryErrorKind::InvalidSchema {
                reason: format!("table `{table}`: {reason}"),
            })?;
        let action = format!("creating table `{table}`");
        let mut connection = self.writer()?;
        let transaction = begin(&mut connection, &action)?;
        match layout::find(&transaction, table)? {
            None => layout::create_table(&transaction, table, schema)?,
            Some((name, Definition::Table(there))) if name == table => {
                return match there.difference(schema) {
                    None => Ok(()),
                    Some(difference) => Err(BigQueryErrorKind::SchemaMismatch {
                        table: table.to_owned(),
                        difference,
                    }
                    .into()),
                };
            }
            Some((name, definition)) => return Err(taken(table, &name, &definition)),
        }
        transaction.commit().map_err(storage(action))
    }

    pub(super) fn store_view(&self, sql: &str) -> Result<(), BigQueryError> {
        let mut connection = self.writer()?;
        let transaction = begin(&mut connection, "creating a view")?;
        let view = translate_view(sql, &layout::catalog(&transaction)?)?;
        let name = plain_name(&view.name)?;
        let action = || format!("creating view `{name}`");
        match layout::find(&transaction, name)? {
            None => {}
            Some((there, Definition::View(_))) if there == name && view.or_replace => {}
            Some((there, definition)) => return Err(taken(name, &there, &definition)),
        }
        layout::describe(&transaction, name, "view", sql).map_err(storage(action()))?;
        transaction.commit().map_err(storage(action()))
    }

    pub(super) fn append(&self, table: &str, rows: &[Row]) -> Result<AppendOutcome, BigQueryError> {
        let table = plain_name(table)?;
        let action = || format!("appending to table `{table}`");
        let mut connection = self.writer()?;
        let transaction = begin(&mut connection, &action())?;
        let schema = table_schema(&transaction, table)?;
        if schema.upsert_key.is_some() {
            let reason = "it is keyed, and an append could repeat a key; upsert into it".to_owned();
            return Err(BigQueryErrorKind::WrongTableKind {
                table: table.to_owned(),
                reason,
            }
            .into());
        }
        let (outcome, row_ids) = insert(&transaction, table, &schema, rows)?;
        transaction.commit().map_err(storage(action()))?;
        self.tell_journal(table, &outcome, row_ids);
        Ok(outcome)
    }

    /// Tells the journal of a commit: still under the writer's lock, so that entries come in the order of the commits.
    pub(super) fn tell_journal(&self, table: &str, outcome: &AppendOutcome, row_ids: Vec<String>) {
        if let Some(journal) = self.journal.as_ref().filter(|_| outcome.inserted > 0) {
            journal(JournalEntry {
                table: table.to_owned(),
                row_ids,
            });
        }
    }

    pub(super) fn upsert(&self, table: &str, rows: &[Row]) -> Result<UpsertOutcome, BigQueryError> {
        let table = plain_name(table)?;
        let action = || format!("upserting into table `{table}`");
        let mut connection = self.writer()?;
        let transaction = begin(&mut connection, &action())?;
        let schema = table_schema(&transaction, table)?;
        let Some(key) = &schema.upsert_key else {
            let reason =
                "it has no key; append to it, or create it with TableSchema::keyed_by".to_owned();
            return Err(BigQueryErrorKind::WrongTableKind {
                table: table.to_owned(),
                reason,
            }
            .into());
        };
        let outcome = replace(&transaction, table, &schema, key, rows)?;
        transaction.commit().map_err(storage(action()))?;
        Ok(outcome)
    }
}

/// Adds rows whose ids are not there; returns the ids of those that are new.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    table: &str,
    schema: &TableSchema,
    rows: &[Row],
) -> Result<(AppendOutcome, Vec<String>), BigQueryError> {
    let action = || format!("appending to table `{table}`");
    let mut outcome = AppendOutcome::default();
    let mut row_ids = Vec::new();
    let sql = format!(
        "INSERT INTO \"{table}\" ({}, {ROW_ID}) VALUES ({}, ?) ON CONFLICT ({ROW_ID}) DO NOTHING",
        names(schema, |name| format!("\"{name}\"")),
        names(schema, |_| "?".to_owned()),
    );
    let mut statement = transaction
        .prepare_cached(&sql)
        .map_err(storage(action()))?;
    for (index, row) in rows.iter().enumerate() {
        if let Err(reason) = row.validate(schema) {
            outcome.errors.push(RowError { index, reason });
            continue;
        }
        let id = row.row_id.as_deref();
        let values = stored(&row.values, schema);
        if execute(&mut statement, &values, Some(&id)).map_err(storage(action()))? == 0 {
            outcome.duplicates += 1;
        } else {
            outcome.inserted += 1;
            row_ids.extend(id.map(str::to_owned));
        }
    }
    Ok((outcome, row_ids))
}

/// Writes rows over those of the same key that are not newer.
pub(super) fn replace(
    transaction: &Transaction<'_>,
    table: &str,
    schema: &TableSchema,
    UpsertKey { key, version }: &UpsertKey,
    rows: &[Row],
) -> Result<UpsertOutcome, BigQueryError> {
    let action = || format!("upserting into table `{table}`");
    let mut outcome = UpsertOutcome::default();
    let sql = format!(
        "INSERT INTO \"{table}\" ({}) VALUES ({}) ON CONFLICT (\"{key}\") DO UPDATE SET {} \
         WHERE excluded.\"{version}\" >= \"{table}\".\"{version}\"",
        names(schema, |name| format!("\"{name}\"")),
        names(schema, |_| "?".to_owned()),
        names(schema, |name| format!("\"{name}\" = excluded.\"{name}\"")),
    );
    let mut statement = transaction
        .prepare_cached(&sql)
        .map_err(storage(action()))?;
    for (index, row) in rows.iter().enumerate() {
        if let Err(reason) = row.validate(schema) {
            outcome.errors.push(RowError { index, reason });
            continue;
        }
        let values = stored(&row.values, schema);
        match execute(&mut statement, &values, None).map_err(storage(action()))? {
            0 => outcome.outdated += 1,
            _ => outcome.written += 1,
        }
    }
    Ok(outcome)
}

/// Names the first row whose key the table does not have, in its version or a greater one.
pub(super) fn find_outdated(
    transaction: &Transaction<'_>,
    table: &str,
    schema: &TableSchema,
    UpsertKey { key, version }: &UpsertKey,
    rows: &[Row],
) -> Result<Option<String>, BigQueryError> {
    let action = || format!("looking for rows of table `{table}`");
    let Some(places) = schema.position(key).zip(schema.position(version)) else {
        return Ok(None);
    };
    let sql = format!("SELECT 1 FROM \"{table}\" WHERE \"{key}\" = ?1 AND \"{version}\" >= ?2");
    let mut statement = transaction
        .prepare_cached(&sql)
        .map_err(storage(action()))?;
    for row in rows {
        let Some((key, version)) = row.values.get(places.0).zip(row.values.get(places.1)) else {
            continue;
        };
        let is_there = statement.exists(params![Bound(key), Bound(version)]);
        if !is_there.map_err(storage(action()))? {
            return Ok(Some(format!("of the key `{key}`")));
        }
    }
    Ok(None)
}

/// Begins a transaction that writes; dropped without a commit, it undoes everything.
pub(super) fn begin<'a>(
    connection: &'a mut Connection,
    action: &str,
) -> Result<Transaction<'a>, BigQueryError> {
    connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(storage(action))
}

pub(super) fn table_schema(
    connection: &Connection,
    table: &str,
) -> Result<TableSchema, BigQueryError> {
    match layout::find(connection, table)? {
        Some((name, Definition::Table(schema))) if name == table => Ok(schema),
        Some((name, Definition::View(_))) if name == table => {
            let reason = "it is a view; write to the tables below it".to_owned();
            Err(BigQueryErrorKind::WrongTableKind {
                table: name,
                reason,
            }
            .into())
        }
        _ => Err(BigQueryErrorKind::TableNotFound {
            table: table.to_owned(),
        }
        .into()),
    }
}

fn taken(name: &str, there: &str, definition: &Definition) -> BigQueryError {
    let what = match definition {
        Definition::Table(_) => "table",
        Definition::View(_) => "view",
    };
    let hint = if what == "view" {
        "; CREATE OR REPLACE VIEW replaces a view of the same spelling"
    } else {
        ""
    };
    let reason = format!("there is a {what} `{there}` (case does not distinguish here){hint}");
    BigQueryErrorKind::NameTaken {
        name: name.to_owned(),
        reason,
    }
    .into()
}

fn names(schema: &TableSchema, write: impl Fn(&str) -> String) -> String {
    schema
        .columns
        .iter()
        .map(|column| write(&column.name))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Makes JSON of what is nested.
fn stored<'a>(values: &'a [Value], schema: &TableSchema) -> Cow<'a, [Value]> {
    let is_nested =
        |(value, column): (&Value, &Column)| *value != Value::Null && is_stored_as_json(column);
    if !values.iter().zip(&schema.columns).any(is_nested) {
        return Cow::Borrowed(values);
    }
    let values = values.iter().zip(&schema.columns);
    let values = values.map(|(value, column)| match is_nested((value, column)) {
        true => Value::Json(column.json(value).to_string()),
        false => value.clone(),
    });
    values.collect()
}

fn is_stored_as_json(column: &Column) -> bool {
    column.mode == Mode::Repeated || column.column_type == ColumnType::Struct
}

/// Runs a prepared INSERT and returns the number of rows it changed.
fn execute(
    statement: &mut CachedStatement<'_>,
    values: &[Value],
    last: Option<&dyn ToSql>,
) -> rusqlite::Result<usize> {
    for (position, value) in values.iter().enumerate() {
        statement.raw_bind_parameter(position + 1, Bound(value))?;
    }
    if let Some(last) = last {
        statement.raw_bind_parameter(values.len() + 1, last)?;
    }
    statement.raw_execute()
}

/// A value on its way into SQLite: BOOL and TIMESTAMP are integers there.
struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::String(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Value::Null => ToSqlOutput::Owned(Stored::Null),
            Value::Int64(number) | Value::Timestamp(number) => {
                ToSqlOutput::Owned(Stored::Integer(*number))
            }
            Value::Float64(number) => ToSqlOutput::Owned(Stored::Real(*number)),
            Value::Bool(truth) => ToSqlOutput::Owned(Stored::Integer((*truth).into())),
            Value::Date(days) => ToSqlOutput::Owned(Stored::Integer((*days).into())),
            Value::Datetime(micros) => ToSqlOutput::Owned(Stored::Integer(*micros)),
            Value::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Value::Numeric(text) | Value::Json(text) => {
                ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
            }
            // `stored` has made JSON of them.
            Value::Struct(_) | Value::Array(_) => {
                return Err(rusqlite::Error::ToSqlConversionFailure(
                    "a nested value is stored as JSON".into(),
                ));
            }
        })
    }
}
