//! What a query gives: typed rows.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::schema::{Column, ColumnType, Mode};
use super::value::Value;

/// Holds the result of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryResult {
    /// Name and type of each column.
    pub columns: Vec<ResultColumn>,
    /// The rows, each with one value a column.
    pub rows: Vec<Vec<Value>>,
}

impl QueryResult {
    /// Reads the rows as structs whose fields are named as the columns.
    ///
    /// BYTES arrive as base64, times as text (RFC 3339; `chrono` reads them), a NUMERIC as text, JSON as what it is.
    ///
    /// # Errors
    /// Names the first row, from 0, that the struct cannot be read from.
    pub fn rows_as<T: DeserializeOwned>(&self) -> Result<Vec<T>, String> {
        let rows = self.rows.iter().enumerate();
        rows.map(|(index, row)| {
            read_row(&self.columns, row).map_err(|reason| format!("row {index}: {reason}"))
        })
        .collect()
    }
}

/// Says where to go on in the result of a query.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PagePosition {
    /// The job that holds the result, as the service names it; empty before the query has run, and where there are no
    /// jobs.
    pub job: String,
    /// The row, from 0.
    pub row: u64,
}

/// Holds some rows of a query's result.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The rows and their columns.
    pub result: QueryResult,
    /// The job that holds the result; see [`PagePosition::job`].
    pub job: String,
    /// Where the next page begins; `None` behind the last.
    pub next: Option<PagePosition>,
}

/// Reads one row as a struct.
pub(crate) fn read_row<T: DeserializeOwned>(
    columns: &[ResultColumn],
    row: &[Value],
) -> Result<T, String> {
    let fields = columns.iter().zip(row);
    let object = fields.map(|(column, value)| (column.name.clone(), column.to_json(value)));
    let object = serde_json::Value::Object(object.collect::<Map<_, _>>());
    serde_json::from_value(object).map_err(|error| error.to_string())
}

/// Describes a column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultColumn {
    /// Name; `f0_`, `f1_`, … where the query gives none, as BigQuery does.
    pub name: String,
    /// GoogleSQL type; a bare NULL counts as INT64, as in BigQuery.
    pub column_type: ColumnType,
    /// Whether it holds ARRAYs; never [`Mode::Required`] in the embedded warehouse, which does not say.
    pub mode: Mode,
    /// The fields of a STRUCT. The embedded warehouse gives a STRUCT and an ARRAY as JSON.
    pub fields: Vec<Column>,
}

impl ResultColumn {
    pub(crate) fn nullable(name: String, column_type: ColumnType) -> Self {
        ResultColumn {
            name,
            column_type,
            mode: Mode::Nullable,
            fields: Vec::new(),
        }
    }

    /// Renders a value of the column as JSON, a STRUCT with the names of its fields.
    pub fn to_json(&self, value: &Value) -> serde_json::Value {
        json(&self.fields, value)
    }
}

impl From<Column> for ResultColumn {
    fn from(column: Column) -> Self {
        ResultColumn {
            name: column.name,
            column_type: column.column_type,
            mode: column.mode,
            fields: column.fields,
        }
    }
}

impl Column {
    /// Renders a value of the column as JSON, a STRUCT with the names of its fields.
    pub(crate) fn json(&self, value: &Value) -> serde_json::Value {
        json(&self.fields, value)
    }
}

fn json(fields: &[Column], value: &Value) -> serde_json::Value {
    match value {
        Value::Array(values) => values.iter().map(|value| json(fields, value)).collect(),
        Value::Struct(values) => {
            let fields = fields.iter().zip(values);
            let fields = fields.map(|(column, value)| (column.name.clone(), column.json(value)));
            serde_json::Value::Object(fields.collect())
        }
        other => other.to_json(),
    }
}
