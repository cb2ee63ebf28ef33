//! A row from any value that serde can write.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::tree::Tree;
use super::{Row, Value};
use crate::bigquery::schema::{Column, ColumnType, Mode, TableSchema, joined};
use crate::bigquery::{civil, numeric, timestamp};

impl Row {
    /// Makes a row of a struct or map: each field goes into the column of its name, whatever the case.
    ///
    /// A text becomes a TIMESTAMP, DATE, DATETIME, NUMERIC, INT64 (digits) or BYTES (base64) where the column is one;
    /// an integer becomes a TIMESTAMP as microseconds since 1970; anything becomes JSON. A field that is missing is
    /// NULL.
    ///
    /// ```
    /// # use pipeline_gcp::bigquery::{Row, TableSchema};
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Order {
    ///     id: i64,
    ///     items: Vec<String>,
    /// }
    ///
    /// let schema = TableSchema::of::<Order>()?;
    /// let row = Row::from_serialize(&Order { id: 7, items: vec!["tea".into()] }, &schema)?;
    /// assert_eq!(row.validate(&schema), Ok(()));
    /// # Ok::<(), String>(())
    /// ```
    ///
    /// # Errors
    /// Names the column, by its path, whose value does not fit, or the field that no column takes.
    pub fn from_serialize<T: Serialize + ?Sized>(
        value: &T,
        schema: &TableSchema,
    ) -> Result<Row, String> {
        match Tree::of(value) {
            Ok(Tree::Map(fields)) => Ok(Row::new(values("", fields, &schema.columns)?)),
            Ok(other) => Err(format!("a row is a struct or map, not {}", other.kind())),
            Err(error) => Err(format!("the record cannot be serialised: {}", error.0)),
        }
    }
}

fn values(
    within: &str,
    fields: Vec<(String, Tree)>,
    columns: &[Column],
) -> Result<Vec<Value>, String> {
    let mut values: Vec<Option<Value>> = vec![None; columns.len()];
    for (position, (name, tree)) in fields.into_iter().enumerate() {
        // As a rule the fields stand in the order of the columns.
        let there = columns.get(position).filter(|c| c.name == name);
        let at = match there {
            Some(_) => Some(position),
            None => columns
                .iter()
                .position(|c| c.name.eq_ignore_ascii_case(&name)),
        };
        let Some(at) = at else {
            let path = joined(within, &name);
            return Err(format!("no column takes the field `{path}`"));
        };
        if values[at].is_some() {
            return Err(format!("column `{}` has two values", joined(within, &name)));
        }
        let column = &columns[at];
        values[at] = Some(value(within, tree, column)?);
    }
    let missing = values.into_iter().zip(columns);
    missing
        .map(|(value, column)| match (value, column.mode) {
            (Some(value), _) => Ok(value),
            (None, Mode::Required) => {
                let path = joined(within, &column.name);
                Err(format!("column `{path}` is REQUIRED and has no value"))
            }
            (None, _) => Ok(Value::Null),
        })
        .collect()
}

fn value(within: &str, tree: Tree, column: &Column) -> Result<Value, String> {
    match (column.mode, tree) {
        (Mode::Repeated, Tree::List(list)) => {
            let list = list.into_iter().map(|tree| one(within, tree, column));
            Ok(Value::Array(list.collect::<Result<_, _>>()?))
        }
        (_, Tree::Null) if column.column_type != ColumnType::Json => Ok(Value::Null),
        (Mode::Nullable, Tree::Null) => Ok(Value::Null),
        (Mode::Repeated, other) => Err(format!(
            "column `{}` is an ARRAY and got {}",
            joined(within, &column.name),
            other.kind()
        )),
        (_, tree) => one(within, tree, column),
    }
}

fn one(within: &str, tree: Tree, column: &Column) -> Result<Value, String> {
    let wrong = |reason: String| {
        let path = joined(within, &column.name);
        format!("column `{path}` is {} and {reason}", column.column_type)
    };
    let kind = tree.kind();
    Ok(match (column.column_type, tree) {
        (ColumnType::Json, tree) => {
            let json = tree
                .into_json()
                .map_err(|reason| wrong(format!("got a value that it cannot hold: {reason}")))?;
            Value::Json(json.to_string())
        }
        (ColumnType::Struct, Tree::Map(fields)) => {
            let path = joined(within, &column.name);
            Value::Struct(values(&path, fields, &column.fields)?)
        }
        (ColumnType::String, Tree::Text(text)) => Value::String(text),
        (ColumnType::Bool, Tree::Bool(truth)) => Value::Bool(truth),
        (ColumnType::Int64, Tree::Int(number)) => Value::Int64(
            i64::try_from(number)
                .map_err(|_| wrong(format!("got {number}, which is outside its range")))?,
        ),
        (ColumnType::Int64, Tree::Text(text)) => {
            let number = text.parse();
            Value::Int64(
                number
                    .map_err(|_| wrong(format!("got the text `{}`", timestamp::shorten(&text))))?,
            )
        }
        (ColumnType::Float64, Tree::Float(number)) => Value::Float64(number),
        (ColumnType::Float64, Tree::Int(number)) => {
            #[allow(clippy::cast_precision_loss)] // checked: it comes back as it was
            let float = number as f64;
            #[allow(clippy::cast_possible_truncation)]
            if float as i128 != number {
                return Err(wrong(format!("got {number}, which it cannot hold exactly")));
            }
            Value::Float64(float)
        }
        (ColumnType::Timestamp, Tree::Text(text)) => Value::Timestamp(
            timestamp::parse(&text)
                .map_err(|reason| wrong(format!("got a wrong text: {reason}")))?,
        ),
        (ColumnType::Timestamp, Tree::Int(micros)) => Value::Timestamp(
            i64::try_from(micros).map_err(|_| wrong(format!("got {micros} microseconds")))?,
        ),
        (ColumnType::Date, Tree::Text(text)) => Value::Date(
            civil::parse_date(&text)
                .map_err(|reason| wrong(format!("got a wrong text: {reason}")))?,
        ),
        (ColumnType::Datetime, Tree::Text(text)) => Value::Datetime(
            civil::parse_datetime(&text)
                .map_err(|reason| wrong(format!("got a wrong text: {reason}")))?,
        ),
        (ColumnType::Numeric, Tree::Text(text)) => Value::Numeric(
            numeric::normalised(&text)
                .map_err(|reason| wrong(format!("got a wrong text: {reason}")))?,
        ),
        (ColumnType::Numeric, Tree::Int(number)) => {
            let text = number.to_string();
            Value::Numeric(
                numeric::normalised(&text)
                    .map_err(|reason| wrong(format!("got a wrong number: {reason}")))?,
            )
        }
        (ColumnType::Bytes, Tree::Bytes(bytes)) => Value::Bytes(bytes),
        (ColumnType::Bytes, Tree::Text(text)) => {
            let bytes = STANDARD.decode(&text);
            Value::Bytes(bytes.map_err(|_| wrong("got a text that is not base64".to_owned()))?)
        }
        (ColumnType::Bytes, Tree::List(list)) => {
            let byte = |tree: &Tree| match tree {
                Tree::Int(number) => u8::try_from(*number).ok(),
                _ => None,
            };
            let bytes: Option<Vec<u8>> = list.iter().map(byte).collect();
            Value::Bytes(
                bytes.ok_or_else(|| wrong("got a list that is not one of bytes".to_owned()))?,
            )
        }
        _ => return Err(wrong(format!("got {kind}"))),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn schema() -> TableSchema {
        TableSchema::from_ddl(
            "CREATE TABLE t (id INT64 NOT NULL, at TIMESTAMP, day DATE, local DATETIME, price NUMERIC, raw BYTES, \
             share FLOAT64, extra JSON, place STRUCT<x INT64 NOT NULL, names ARRAY<STRING>>, \
             stops ARRAY<STRUCT<x INT64 NOT NULL>>)",
        )
        .unwrap()
        .1
    }

    #[test]
    fn every_type_takes_what_serde_writes_for_it() {
        let row = Row::from_serialize(
            &json!({
                "ID": 7, "at": "2024-02-01T10:00:56Z", "day": "2024-02-01", "local": "2024-02-01 10:00:56",
                "price": "012.50", "raw": "AAE=", "share": 1, "extra": {"a": [1, null]},
                "place": {"x": 1, "names": ["a"]}, "stops": [{"x": 2}, {"x": 3}],
            }),
            &schema(),
        )
        .unwrap();
        let at = 1_706_781_656_000_000;
        let expected = vec![
            7.into(),
            Value::Timestamp(at),
            Value::Date(19_754),
            Value::Datetime(at),
            Value::Numeric("12.5".into()),
            Value::Bytes(vec![0, 1]),
            1.0.into(),
            Value::Json(r#"{"a":[1,null]}"#.into()),
            Value::Struct(vec![1.into(), Value::Array(vec!["a".into()])]),
            Value::Array(vec![
                Value::Struct(vec![2.into()]),
                Value::Struct(vec![3.into()]),
            ]),
        ];
        assert_eq!(row.values, expected);
        assert_eq!(row.validate(&schema()), Ok(()));
    }

    #[test]
    fn what_does_not_fit_is_refused_by_the_path_of_its_column() {
        for (value, words) in [
            (json!({"id": null}), "column `id` is REQUIRED"),
            (json!({}), "column `id` is REQUIRED and has no value"),
            (json!({"id": 1, "x": 1}), "no column takes the field `x`"),
            (
                json!({"id": 1, "place": {"x": "a"}}),
                "column `place.x` is INT64 and got the text `a`",
            ),
            (
                json!({"id": 1, "place": {"x": 1, "y": 1}}),
                "no column takes the field `place.y`",
            ),
            (
                json!({"id": 1, "place": {"names": []}}),
                "column `place.x` is REQUIRED",
            ),
            (
                json!({"id": 1, "stops": [{"x": 1}, null]}),
                "column `stops` is STRUCT and got NULL",
            ),
            (
                json!({"id": 1, "stops": {"x": 1}}),
                "column `stops` is an ARRAY and got a struct",
            ),
            (
                json!({"id": 1, "day": "2024-13-01"}),
                "column `day` is DATE and got a wrong text",
            ),
            (
                json!({"id": 1.5}),
                "column `id` is INT64 and got a number with a fraction",
            ),
            (
                json!({"id": u64::MAX}),
                "column `id` is INT64 and got 18446744073709551615",
            ),
            (
                json!({"id": 1, "share": (1_u64 << 53) + 1}),
                "column `share` is FLOAT64 and got",
            ),
            (json!([1]), "a row is a struct or map, not a list"),
        ] {
            let row = Row::from_serialize(&value, &schema());
            let row = row.and_then(|row| row.validate(&schema()));
            let reason = row.expect_err(&value.to_string());
            assert!(reason.contains(words), "{value}: {reason}");
        }
        let nan = BTreeMap::from([("id", 1.0), ("share", f64::NAN)]);
        let error = Row::from_serialize(&nan, &schema()).unwrap_err();
        assert!(error.contains("`id` is INT64"), "{error}");
    }

    #[test]
    fn a_number_that_is_none_is_not_null() {
        #[derive(serde::Serialize)]
        struct Share {
            id: i64,
            share: f64,
        }
        let row = Row::from_serialize(
            &Share {
                id: 1,
                share: f64::NAN,
            },
            &schema(),
        )
        .unwrap();
        assert!(row.validate(&schema()).unwrap_err().contains("only finite"));
    }
}
