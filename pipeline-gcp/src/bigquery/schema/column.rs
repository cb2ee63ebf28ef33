//! One column: its name, type and mode.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names the type of a column.
///
/// An ARRAY is no type here but a [`Mode`], as in BigQuery's own description of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum ColumnType {
    /// Unicode text.
    String,
    /// Signed 64-bit integer.
    Int64,
    /// 64-bit IEEE number.
    Float64,
    /// Truth value.
    Bool,
    /// Instant with a precision of microseconds, from year 1 to 9999.
    Timestamp,
    /// Bytes.
    Bytes,
    /// Day of the calendar, from year 1 to 9999.
    Date,
    /// Day and time of day without a zone, with a precision of microseconds.
    Datetime,
    /// Decimal number of 29 digits before the point and 9 behind it.
    Numeric,
    /// Any JSON value.
    Json,
    /// Named fields: [`Column::fields`].
    Struct,
}

impl ColumnType {
    /// Returns the type of a name: GoogleSQL's (`INT64`, `STRUCT`) or the interface's (`INTEGER`, `RECORD`).
    ///
    /// # Errors
    /// Names a type that is not supported here, such as `GEOGRAPHY`.
    pub fn parse(name: &str) -> Result<ColumnType, String> {
        Ok(match name.to_ascii_uppercase().as_str() {
            "STRING" => Self::String,
            "INT64" | "INTEGER" | "INT" | "SMALLINT" | "BIGINT" | "TINYINT" | "BYTEINT" => {
                Self::Int64
            }
            "FLOAT64" | "FLOAT" => Self::Float64,
            "BOOL" | "BOOLEAN" => Self::Bool,
            "TIMESTAMP" => Self::Timestamp,
            "BYTES" => Self::Bytes,
            "DATE" => Self::Date,
            "DATETIME" => Self::Datetime,
            "NUMERIC" | "DECIMAL" => Self::Numeric,
            "JSON" => Self::Json,
            "STRUCT" | "RECORD" => Self::Struct,
            other => {
                return Err(format!(
                    "the type {other} is not supported; supported: STRING, INT64, FLOAT64, BOOL, \
                     TIMESTAMP, BYTES, DATE, DATETIME, NUMERIC, JSON, STRUCT, ARRAY; CAST it"
                ));
            }
        })
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "STRING",
            Self::Int64 => "INT64",
            Self::Float64 => "FLOAT64",
            Self::Bool => "BOOL",
            Self::Timestamp => "TIMESTAMP",
            Self::Bytes => "BYTES",
            Self::Date => "DATE",
            Self::Datetime => "DATETIME",
            Self::Numeric => "NUMERIC",
            Self::Json => "JSON",
            Self::Struct => "STRUCT",
        })
    }
}

/// Says whether a column may hold NULL, or several values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    /// Every row has a value.
    Required,
    /// NULL is allowed.
    Nullable,
    /// An ARRAY of values; no value of it is NULL, and an empty one is the same as none.
    Repeated,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Required => "REQUIRED",
            Mode::Nullable => "NULLABLE",
            Mode::Repeated => "REPEATED",
        })
    }
}

/// Describes one column, or one field of a STRUCT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name: a letter or underscore, then letters, digits and underscores, at most 300; case does not distinguish.
    pub name: String,
    /// Type of the values.
    pub column_type: ColumnType,
    /// Whether NULL is allowed, or several values.
    pub mode: Mode,
    /// Words for the reader; not part of the comparison of schemas.
    pub description: Option<String>,
    /// The fields of a STRUCT; else none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Column>,
}

impl Column {
    /// Creates a column that has a value in every row.
    pub fn required(name: impl Into<String>, column_type: ColumnType) -> Self {
        Self {
            name: name.into(),
            column_type,
            mode: Mode::Required,
            description: None,
            fields: Vec::new(),
        }
    }

    /// Creates a column that may be NULL.
    pub fn nullable(name: impl Into<String>, column_type: ColumnType) -> Self {
        Self {
            mode: Mode::Nullable,
            ..Self::required(name, column_type)
        }
    }

    /// Creates a column of arrays.
    pub fn repeated(name: impl Into<String>, column_type: ColumnType) -> Self {
        Self {
            mode: Mode::Repeated,
            ..Self::required(name, column_type)
        }
    }

    /// Gives a STRUCT its fields.
    ///
    /// ```
    /// # use pipeline_gcp::bigquery::{Column, ColumnType};
    /// let place = Column::nullable("place", ColumnType::Struct).fields([
    ///     Column::required("latitude", ColumnType::Float64),
    ///     Column::required("longitude", ColumnType::Float64),
    /// ]);
    /// assert_eq!(place.fields.len(), 2);
    /// ```
    #[must_use]
    pub fn fields(mut self, fields: impl IntoIterator<Item = Column>) -> Self {
        self.fields = fields.into_iter().collect();
        self
    }

    /// Adds words for the reader.
    #[must_use]
    pub fn description(mut self, words: impl Into<String>) -> Self {
        self.description = Some(words.into());
        self
    }

    pub(super) fn signature(&self) -> String {
        format!("`{}` {} {}", self.name, self.column_type, self.mode)
    }
}
