//! A typed value of a table or of a query's result.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::schema::ColumnType;
use super::{civil, timestamp};

/// Holds one value of a row: NULL or a value of one of the column types.
///
/// `Display` renders the text of a CSV field, unquoted: NULL is empty, a TIMESTAMP is RFC 3339 in UTC with a
/// fraction only where it is not zero, BYTES are in base64, a STRUCT and an ARRAY are JSON lists of values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// NULL, of any type.
    Null,
    /// STRING.
    String(String),
    /// INT64.
    Int64(i64),
    /// FLOAT64. The embedded warehouse holds finite numbers only.
    Float64(f64),
    /// BOOL.
    Bool(bool),
    /// TIMESTAMP, in microseconds since 1970-01-01T00:00:00Z; see [`timestamp`].
    Timestamp(i64),
    /// BYTES.
    Bytes(Vec<u8>),
    /// DATE, in days since 1970-01-01; see [`civil`].
    Date(i32),
    /// DATETIME, in microseconds since 1970-01-01T00:00:00 by the same clock; see [`civil`].
    Datetime(i64),
    /// NUMERIC, as a decimal number: `-12.345`; see [`normalised`](super::numeric::normalised).
    Numeric(String),
    /// JSON, as text.
    Json(String),
    /// STRUCT: the values of its fields in their order.
    Struct(Vec<Value>),
    /// ARRAY: its values, none of them NULL.
    Array(Vec<Value>),
}

impl Value {
    /// Returns the type of the value, of an ARRAY that of its first value; `None` for NULL and an empty ARRAY.
    pub fn column_type(&self) -> Option<ColumnType> {
        match self {
            Self::Null => None,
            Self::Bytes(_) => Some(ColumnType::Bytes),
            Self::Date(_) => Some(ColumnType::Date),
            Self::Datetime(_) => Some(ColumnType::Datetime),
            Self::Numeric(_) => Some(ColumnType::Numeric),
            Self::Json(_) => Some(ColumnType::Json),
            Self::Struct(_) => Some(ColumnType::Struct),
            Self::Array(values) => values.first()?.column_type(),
            Self::String(_) => Some(ColumnType::String),
            Self::Int64(_) => Some(ColumnType::Int64),
            Self::Float64(_) => Some(ColumnType::Float64),
            Self::Bool(_) => Some(ColumnType::Bool),
            Self::Timestamp(_) => Some(ColumnType::Timestamp),
        }
    }

    /// Renders the value as JSON; a TIMESTAMP becomes an RFC 3339 string, BYTES base64, a NUMERIC a string, a STRUCT
    /// the list of its values (its names stand in the schema: [`ResultColumn::to_json`](super::ResultColumn::to_json)).
    ///
    /// INT64 becomes a JSON number. (BigQuery's REST interface writes it as a string.)
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::String(text) => text.as_str().into(),
            Self::Int64(number) => (*number).into(),
            Self::Float64(number) => (*number).into(),
            Self::Bool(truth) => (*truth).into(),
            Self::Timestamp(micros) => timestamp::format(*micros).into(),
            Self::Bytes(bytes) => STANDARD.encode(bytes).into(),
            Self::Date(days) => civil::format_date(*days).into(),
            Self::Datetime(micros) => civil::format_datetime(*micros).into(),
            Self::Numeric(text) => text.as_str().into(),
            Self::Json(text) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
            Self::Struct(values) | Self::Array(values) => {
                values.iter().map(Value::to_json).collect()
            }
        }
    }

    /// Estimates the bytes that the value takes in a request.
    #[cfg(feature = "gcp")]
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) => 1,
            Self::String(text) | Self::Numeric(text) | Self::Json(text) => text.len() + 4,
            Self::Bytes(bytes) => bytes.len() + 4,
            Self::Struct(values) | Self::Array(values) => {
                values.iter().map(Value::size).sum::<usize>() + 4
            }
            _ => 8,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::String(text) => f.write_str(text),
            Self::Int64(number) => write!(f, "{number}"),
            Self::Float64(number) => write!(f, "{number}"),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Timestamp(micros) => f.write_str(&timestamp::format(*micros)),
            Self::Numeric(text) | Self::Json(text) => f.write_str(text),
            Self::Bytes(bytes) => f.write_str(&STANDARD.encode(bytes)),
            Self::Date(days) => f.write_str(&civil::format_date(*days)),
            Self::Datetime(micros) => f.write_str(&civil::format_datetime(*micros)),
            Self::Struct(_) | Self::Array(_) => write!(f, "{}", self.to_json()),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int64(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float64(number)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_of_every_type() {
        let at = Value::Timestamp(1_706_781_656_000_000);
        let cases = [
            (Value::Null, "", "null"),
            (Value::from("a\"b"), "a\"b", r#""a\"b""#),
            (Value::from(-7), "-7", "-7"),
            (Value::from(1.5), "1.5", "1.5"),
            (Value::from(true), "true", "true"),
            (at, "2024-02-01T10:00:56Z", r#""2024-02-01T10:00:56Z""#),
            (Value::from(None::<i64>), "", "null"),
        ];
        for (value, text, json) in cases {
            assert_eq!(value.to_string(), text);
            assert_eq!(value.to_json().to_string(), json);
        }
    }
}
