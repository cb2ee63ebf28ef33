//! What reads: a GoogleSQL query from one snapshot, with typed values out.

use rusqlite::types::ValueRef;

use super::failure::{evaluation, storage};
use super::layout;
use super::warehouse::LocalWarehouse;
use crate::bigquery::error::BigQueryError;
use crate::bigquery::googlesql::translate_query;
use crate::bigquery::result::{QueryResult, ResultColumn};
use crate::bigquery::schema::ColumnType;
use crate::bigquery::value::Value;

impl LocalWarehouse {
    pub(super) fn run_query(&self, sql: &str) -> Result<QueryResult, BigQueryError> {
        let mut connection = self.reader();
        // One read transaction: the list of tables and their rows are of the same moment.
        let snapshot = connection
            .transaction()
            .map_err(storage("beginning a query"))?;
        let translated = translate_query(sql, &layout::catalog(&snapshot)?)?;
        let mut statement = snapshot
            .prepare(&translated.sql)
            .map_err(storage("preparing a query"))?;
        let mut rows = statement.query([]).map_err(evaluation)?;
        let mut result = Vec::new();
        while let Some(row) = rows.next().map_err(evaluation)? {
            let mut values = Vec::with_capacity(translated.columns.len());
            for (position, (_, column_type)) in translated.columns.iter().enumerate() {
                values.push(value(
                    row.get_ref(position).map_err(evaluation)?,
                    *column_type,
                ));
            }
            result.push(values);
        }
        let column = |(name, column_type)| ResultColumn::nullable(name, column_type);
        Ok(QueryResult {
            columns: translated.columns.into_iter().map(column).collect(),
            rows: result,
        })
    }
}

/// Gives a stored value its GoogleSQL type, which the translation worked out.
fn value(stored: ValueRef<'_>, column_type: ColumnType) -> Value {
    match (stored, column_type) {
        (ValueRef::Null, _) => Value::Null,
        (ValueRef::Integer(number), ColumnType::Bool) => Value::Bool(number != 0),
        (ValueRef::Integer(number), ColumnType::Timestamp) => Value::Timestamp(number),
        (ValueRef::Integer(number), ColumnType::Datetime) => Value::Datetime(number),
        (ValueRef::Integer(number), ColumnType::Date) => {
            Value::Date(i32::try_from(number).unwrap_or(i32::MAX))
        }
        (ValueRef::Integer(number), _) => Value::Int64(number),
        (ValueRef::Real(number), _) => Value::Float64(number),
        (ValueRef::Text(bytes) | ValueRef::Blob(bytes), ColumnType::Bytes) => {
            Value::Bytes(bytes.to_owned())
        }
        (ValueRef::Text(bytes) | ValueRef::Blob(bytes), _) => {
            let text = String::from_utf8_lossy(bytes).into_owned();
            match column_type {
                ColumnType::Numeric => Value::Numeric(text),
                ColumnType::Json => Value::Json(text),
                _ => Value::String(text),
            }
        }
    }
}
