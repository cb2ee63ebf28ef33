//! The values of a query's result as the interface writes them: every scalar is a text.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value as Json;

use crate::bigquery::schema::{Column, ColumnType, Mode};
use crate::bigquery::value::Value;
use crate::bigquery::{civil, numeric, timestamp};

/// Reads `{"f": [{"v": …}, …]}`.
pub(super) fn row(json: &Json, columns: &[Column]) -> Result<Vec<Value>, String> {
    let cells = json.get("f").and_then(Json::as_array);
    let cells = cells.ok_or("a row has no \"f\"")?;
    if cells.len() != columns.len() {
        let (found, wanted) = (cells.len(), columns.len());
        return Err(format!("a row has {found} values for {wanted} columns"));
    }
    let cells = cells.iter().zip(columns);
    cells
        .map(|(cell, column)| value(cell.get("v").unwrap_or(&Json::Null), column))
        .collect()
}

fn value(json: &Json, column: &Column) -> Result<Value, String> {
    match (json, column.mode) {
        (Json::Null, Mode::Repeated) => Ok(Value::Array(Vec::new())),
        (Json::Null, _) => Ok(Value::Null),
        (Json::Array(cells), Mode::Repeated) => {
            let cells = cells.iter();
            let values = cells.map(|cell| one(cell.get("v").unwrap_or(&Json::Null), column));
            Ok(Value::Array(values.collect::<Result<_, _>>()?))
        }
        _ => one(json, column),
    }
}

fn one(json: &Json, column: &Column) -> Result<Value, String> {
    let wrong = || {
        let (name, wanted) = (&column.name, column.column_type);
        format!("column `{name}` is {wanted} and came as {json}")
    };
    if column.column_type == ColumnType::Struct {
        return Ok(Value::Struct(row(json, &column.fields)?));
    }
    let text = match json {
        Json::String(text) => text.clone(),
        Json::Bool(truth) => truth.to_string(),
        Json::Number(number) => number.to_string(),
        _ => return Err(wrong()),
    };
    let parsed = match column.column_type {
        ColumnType::String => Some(Value::String(text)),
        ColumnType::Json => Some(Value::Json(text)),
        ColumnType::Int64 => text.parse().ok().map(Value::Int64),
        ColumnType::Float64 => text.parse().ok().map(Value::Float64),
        ColumnType::Bool => text.to_ascii_lowercase().parse().ok().map(Value::Bool),
        ColumnType::Timestamp => micros(&text).map(Value::Timestamp),
        ColumnType::Bytes => STANDARD.decode(&text).ok().map(Value::Bytes),
        ColumnType::Date => civil::parse_date(&text).ok().map(Value::Date),
        ColumnType::Datetime => civil::parse_datetime(&text).ok().map(Value::Datetime),
        ColumnType::Numeric => numeric::normalised(&text).ok().map(Value::Numeric),
        ColumnType::Struct => None,
    };
    parsed.ok_or_else(wrong)
}

/// Reads a TIMESTAMP: an integer of microseconds, as it was asked for; seconds with a fraction, as servers write it
/// that do not know what was asked for; or a text of a time.
fn micros(text: &str) -> Option<i64> {
    if let Ok(micros) = text.parse() {
        return Some(micros);
    }
    let (digits, exponent) = match text.split_once(['E', 'e']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return timestamp::parse(text).ok();
    }
    // Shifted by six places to microseconds; digits behind them are rounding noise of the seconds.
    let shift = exponent + 6 - i32::try_from(fraction.len()).ok()?;
    let Ok(digits) = format!("{whole}{fraction}").parse::<i128>() else {
        return timestamp::parse(text).ok();
    };
    let scaled = match u32::try_from(shift) {
        Ok(shift) => digits.checked_mul(10_i128.checked_pow(shift)?)?,
        Err(_) => {
            let divisor = 10_i128.checked_pow(shift.unsigned_abs())?;
            (digits + digits.signum() * divisor / 2) / divisor
        }
    };
    i64::try_from(scaled).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_spelling_of_a_timestamp_is_one_number() {
        for text in [
            "1706781656123456",
            "1.706781656123456E9",
            "1706781656.123456",
            "2024-02-01T10:00:56.123456Z",
        ] {
            assert_eq!(micros(text), Some(1_706_781_656_123_456), "{text}");
        }
        assert_eq!(micros("0.0"), Some(0));
        assert_eq!(micros("-1.5"), Some(-1_500_000));
        assert_eq!(micros("1.7E9"), Some(1_700_000_000_000_000));
        assert_eq!(micros("x"), None);
    }

    #[test]
    fn nested_cells_become_values() {
        let columns = [
            Column::repeated("tags", ColumnType::String),
            Column::nullable("at", ColumnType::Struct).fields([
                Column::required("x", ColumnType::Int64),
                Column::repeated("y", ColumnType::Bool),
            ]),
            Column::repeated("none", ColumnType::Int64),
        ];
        let json = json!({"f": [
            {"v": [{"v": "a"}, {"v": "b"}]},
            {"v": {"f": [{"v": "7"}, {"v": [{"v": "true"}]}]}},
            {"v": []},
        ]});
        let values = row(&json, &columns).unwrap();
        let expected = [
            Value::Array(vec!["a".into(), "b".into()]),
            Value::Struct(vec![7.into(), Value::Array(vec![true.into()])]),
            Value::Array(vec![]),
        ];
        assert_eq!(values, expected);
        let wrong = row(
            &json!({"f": [{"v": []}, {"v": {"f": [{"v": "x"}, {"v": []}]}}, {"v": []}]}),
            &columns,
        );
        assert!(wrong.unwrap_err().contains("column `x` is INT64"));
    }
}
