//! A row to be written, and its validation against a schema.

use serde::{Deserialize, Serialize};

use super::schema::{ColumnType, Mode, TableSchema};
use super::timestamp;
use super::value::Value;

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
    /// Names the column and what is wrong with it: a value of another type, NULL in a REQUIRED column, a FLOAT64
    /// that is not finite, a TIMESTAMP outside year 1 to 9999; or says that the number of values differs.
    pub fn validate(&self, schema: &TableSchema) -> Result<(), String> {
        if self.values.len() != schema.columns.len() {
            return Err(format!(
                "the row has {} values, the table has {} columns",
                self.values.len(),
                schema.columns.len()
            ));
        }
        for (value, column) in self.values.iter().zip(&schema.columns) {
            let wrong = match (value.column_type(), value) {
                (None, _) if column.mode == Mode::Nullable => continue,
                (None, _) => "is REQUIRED and got NULL".to_owned(),
                (Some(ColumnType::Float64), Value::Float64(number))
                    if column.column_type == ColumnType::Float64 && !number.is_finite() =>
                {
                    format!("got {number}; only finite numbers are held")
                }
                (Some(ColumnType::Timestamp), Value::Timestamp(micros))
                    if column.column_type == ColumnType::Timestamp
                        && timestamp::instant(*micros).is_none() =>
                {
                    format!("got {micros} microseconds, which is outside year 1 to 9999")
                }
                (Some(found), _) if found == column.column_type => continue,
                (Some(found), _) => {
                    format!("is {} and got a value of type {found}", column.column_type)
                }
            };
            return Err(format!("column `{}` {wrong}", column.name));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::Column;
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
