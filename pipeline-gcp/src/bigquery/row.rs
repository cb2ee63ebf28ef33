//! A row to be written, and its validation against a schema.

use serde::{Deserialize, Serialize};

use super::schema::{Column, ColumnType, Mode, TableSchema, joined};
use super::value::Value;
use super::{civil, numeric, timestamp};

mod convert;
mod tree;

/// Holds the values of one row in column order, and the id that makes its insert idempotent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Identity of the row within its table: an id that is already there is not inserted again. `None`: always inserted.
    pub row_id: Option<String>,
    /// The values, one for each column of the schema, in its order.
    pub values: Vec<Value>,
}

impl Row {
    /// Creates a row without an id from values in column order.
    pub fn new(values: Vec<Value>) -> Self {
        Self {
            row_id: None,
            values,
        }
    }

    /// Gives the row the id by which a repeated insert is recognised.
    #[must_use]
    pub fn with_id(mut self, row_id: impl Into<String>) -> Self {
        self.row_id = Some(row_id.into());
        self
    }

    /// Checks the row against a schema.
    ///
    /// # Errors
    /// Names the column, by its path where it is a field of a STRUCT, and what is wrong with it: a value of another
    /// type, NULL in a REQUIRED column or in an ARRAY, a FLOAT64 that is not finite, a time outside year 1 to 9999; or
    /// says that the number of values differs.
    pub fn validate(&self, schema: &TableSchema) -> Result<(), String> {
        if self.values.len() != schema.columns.len() {
            return Err(format!(
                "the row has {} values, the table has {} columns",
                self.values.len(),
                schema.columns.len()
            ));
        }
        check_all("", &self.values, &schema.columns)
    }

    /// Writes the row as an object, as load jobs read it: what is NULL is left out.
    pub(crate) fn to_object(&self, schema: &TableSchema) -> serde_json::Value {
        let fields = schema.columns.iter().zip(&self.values);
        let fields = fields.filter(|(_, value)| **value != Value::Null);
        let fields = fields.map(|(column, value)| (column.name.clone(), column.json(value)));
        serde_json::Value::Object(fields.collect())
    }

    /// Estimates the bytes that the row takes in a request.
    #[cfg(feature = "gcp")]
    pub(crate) fn size(&self) -> usize {
        self.values.iter().map(Value::size).sum()
    }
}

fn check_all(within: &str, values: &[Value], columns: &[Column]) -> Result<(), String> {
    for (value, column) in values.iter().zip(columns) {
        if let Err(wrong) = check(within, value, column) {
            return Err(match wrong {
                Wrong::Here(reason) => {
                    format!("column `{}` {reason}", joined(within, &column.name))
                }
                Wrong::Within(reason) => reason,
            });
        }
    }
    Ok(())
}

enum Wrong {
    Here(String),
    /// Names its column already.
    Within(String),
}

fn check(within: &str, value: &Value, column: &Column) -> Result<(), Wrong> {
    let here = |reason: &str| Err(Wrong::Here(reason.to_owned()));
    match (column.mode, value) {
        (Mode::Repeated, Value::Null) | (Mode::Nullable, Value::Null) => Ok(()),
        (Mode::Repeated, Value::Array(values)) => values
            .iter()
            .try_for_each(|value| one(within, value, column)),
        (Mode::Repeated, _) => here("is an ARRAY and got a single value"),
        (Mode::Required, Value::Null) => here("is REQUIRED and got NULL"),
        (_, Value::Array(_)) => here("is a single value and got an ARRAY"),
        _ => one(within, value, column),
    }
}

/// Checks a value that is neither NULL nor an ARRAY.
fn one(within: &str, value: &Value, column: &Column) -> Result<(), Wrong> {
    let outside = |what: String| {
        Err(Wrong::Here(format!(
            "got {what}, which is outside year 1 to 9999"
        )))
    };
    let wanted = column.column_type;
    match (value, wanted) {
        (Value::Float64(number), ColumnType::Float64) if !number.is_finite() => Err(Wrong::Here(
            format!("got {number}; only finite numbers are held"),
        )),
        (Value::Timestamp(micros), ColumnType::Timestamp)
        | (Value::Datetime(micros), ColumnType::Datetime)
            if timestamp::instant(*micros).is_none() =>
        {
            outside(format!("{micros} microseconds"))
        }
        (Value::Date(days), ColumnType::Date)
            if !(civil::MIN_DAYS..=civil::MAX_DAYS).contains(days) =>
        {
            outside(format!("{days} days"))
        }
        (Value::Numeric(text), ColumnType::Numeric) => numeric::unscaled(text)
            .map(|_| ())
            .map_err(|reason| Wrong::Here(format!("got a wrong value: {reason}"))),
        (Value::Json(text), ColumnType::Json) => {
            let checked = serde_json::from_str::<serde::de::IgnoredAny>(text);
            let checked = checked.map(|_| ());
            checked.map_err(|error| Wrong::Here(format!("got what is no JSON: {error}")))
        }
        (Value::Struct(values), ColumnType::Struct) => {
            if values.len() != column.fields.len() {
                let (found, fields) = (values.len(), column.fields.len());
                return Err(Wrong::Here(format!(
                    "got {found} values for {fields} fields"
                )));
            }
            let path = joined(within, &column.name);
            check_all(&path, values, &column.fields).map_err(Wrong::Within)
        }
        (Value::Null, _) => Err(Wrong::Here("is an ARRAY and got NULL in it".to_owned())),
        _ => match value.column_type() {
            Some(found) if found == wanted && !matches!(value, Value::Array(_)) => Ok(()),
            Some(found) => Err(Wrong::Here(format!(
                "is {wanted} and got a value of type {found}"
            ))),
            None => Err(Wrong::Here(format!("is {wanted} and got an ARRAY"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_refused_with_the_name_of_the_column() {
        let schema = TableSchema::new([
            Column::required("id", ColumnType::Int64),
            Column::nullable("share", ColumnType::Float64),
            Column::nullable("at", ColumnType::Timestamp),
        ]);
        let ok = vec![Value::from(1), Value::from(0.5), Value::Timestamp(0)];
        assert_eq!(Row::new(ok.clone()).validate(&schema), Ok(()));
        assert_eq!(
            Row::new(vec![Value::from(1), Value::Null, Value::Null]).validate(&schema),
            Ok(())
        );
        for (position, value, words) in [
            (0, Value::Null, ["`id`", "REQUIRED"]),
            (0, Value::from("1"), ["`id`", "STRING"]),
            (1, Value::from(1), ["`share`", "INT64"]),
            (1, Value::from(f64::NAN), ["`share`", "finite"]),
            (2, Value::Timestamp(i64::MAX), ["`at`", "9999"]),
        ] {
            let mut values = ok.clone();
            values[position] = value;
            let reason = Row::new(values).validate(&schema).expect_err("refused");
            assert!(words.iter().all(|word| reason.contains(word)), "{reason}");
        }
        assert!(
            Row::new(vec![])
                .validate(&schema)
                .expect_err("refused")
                .contains("0 values")
        );
    }
}
