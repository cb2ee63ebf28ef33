//! A typed value of a table or of a query's result.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::schema::ColumnType;
use super::timestamp;

/// Holds one value of a row: NULL or a value of one of the five column types.
///
/// `Display` renders the text of a CSV field, unquoted: NULL is empty, a TIMESTAMP is RFC 3339 in UTC with a
/// fraction only where it is not zero.
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
}

impl Value {
    /// Returns the type of the value; `None` for NULL.
    pub fn column_type(&self) -> Option<ColumnType> {
        match self {
            Self::Null => None,
            Self::String(_) => Some(ColumnType::String),
            Self::Int64(_) => Some(ColumnType::Int64),
            Self::Float64(_) => Some(ColumnType::Float64),
            Self::Bool(_) => Some(ColumnType::Bool),
            Self::Timestamp(_) => Some(ColumnType::Timestamp),
        }
    }

    /// Renders the value as JSON; a TIMESTAMP becomes an RFC 3339 string.
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
