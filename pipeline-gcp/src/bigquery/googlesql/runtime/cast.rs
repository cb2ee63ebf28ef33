//! CAST: what cannot be converted fails, or is NULL under SAFE_CAST; what is open fails under both.

use rusqlite::Connection;
use rusqlite::types::{Value, ValueRef};

use super::register::{integer, real, scalar, text};
use crate::bigquery::googlesql::cast::function_name;
use crate::bigquery::schema::ColumnType::{Bool, Float64, Int64, String as Text, Timestamp};
use crate::bigquery::timestamp;

/// Why a value was not converted.
enum Refusal {
    /// GoogleSQL cannot convert it.
    Wrong(String),
    /// GoogleSQL may convert it, in a way that is not settled here.
    Open(String),
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Open(reason)
    }
}

type Convert = fn(ValueRef<'_>) -> Result<Value, Refusal>;

pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let casts: [(_, _, Convert); 12] = [
        (Text, Int64, |value| string_to_int(text(value)?)),
        (Text, Float64, |value| string_to_float(text(value)?)),
        (Text, Bool, |value| string_to_bool(text(value)?)),
        (Text, Timestamp, |value| {
            timestamp::parse(text(value)?)
                .map(Value::Integer)
                .map_err(Refusal::Wrong)
        }),
        (Int64, Text, |value| {
            Ok(Value::Text(integer(value)?.to_string()))
        }),
        (Int64, Float64, |value| {
            Ok(Value::Real(integer(value)? as f64))
        }),
        (Int64, Bool, |value| {
            Ok(Value::Integer((integer(value)? != 0).into()))
        }),
        (Bool, Text, |value| {
            Ok(Value::Text((integer(value)? != 0).to_string()))
        }),
        (Bool, Int64, |value| Ok(Value::Integer(integer(value)?))),
        (Float64, Text, |value| float_to_string(real(value)?)),
        (Float64, Int64, |value| float_to_int(real(value)?)),
        (Timestamp, Text, |value| {
            Ok(Value::Text(timestamp::format_googlesql(integer(value)?)))
        }),
    ];
    for (source, target, convert) in casts {
        scalar(
            connection,
            &function_name(source, target, false),
            move |[value]| {
                convert(value).map_err(|(Refusal::Wrong(reason) | Refusal::Open(reason))| {
                    format!("CAST: {reason}")
                })
            },
        )?;
        scalar(
            connection,
            &function_name(source, target, true),
            move |[value]| match convert(value) {
                Ok(value) => Ok(value),
                Err(Refusal::Wrong(_)) => Ok(Value::Null),
                Err(Refusal::Open(reason)) => Err(format!("SAFE_CAST: {reason}")),
            },
        )?;
    }
    Ok(())
}

/// Refuses spellings whose reading is not settled here: white space around a number, and hexadecimal.
fn plain_number(text: &str) -> Result<(), Refusal> {
    let unsigned = text.trim_start_matches(['+', '-']);
    if text.trim() != text || unsigned.starts_with("0x") || unsigned.starts_with("0X") {
        return Err(Refusal::Open(format!(
            "`{text}`: white space and hexadecimal are not supported in numbers"
        )));
    }
    Ok(())
}

fn string_to_int(text: &str) -> Result<Value, Refusal> {
    plain_number(text)?;
    text.parse()
        .map(Value::Integer)
        .map_err(|_| Refusal::Wrong(format!("`{text}` is not an INT64")))
}

fn string_to_float(text: &str) -> Result<Value, Refusal> {
    plain_number(text)?;
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Value::Real(number)),
        Ok(_) => Err(Refusal::Open(format!(
            "`{text}`: only finite FLOAT64 values are supported"
        ))),
        Err(_) => Err(Refusal::Wrong(format!("`{text}` is not a FLOAT64"))),
    }
}

fn string_to_bool(text: &str) -> Result<Value, Refusal> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(Value::Integer(1)),
        "false" => Ok(Value::Integer(0)),
        _ => Err(Refusal::Wrong(format!("`{text}` is not a BOOL"))),
    }
}

/// Rounds half away from zero, as the conversion rules say.
fn float_to_int(number: f64) -> Result<Value, Refusal> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0; // 2^63
    let rounded = number.round();
    if (-LIMIT..LIMIT).contains(&rounded) {
        return Ok(Value::Integer(rounded as i64));
    }
    Err(Refusal::Wrong(format!("{number} is outside INT64")))
}

/// Writes up to 15 digits as C's `%.15g` does; beyond, engines differ in the last digits.
fn float_to_string(number: f64) -> Result<Value, Refusal> {
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent
        .parse()
        .map_err(|_| Refusal::Open("unexpected exponent".to_owned()))?;
    if mantissa.bytes().filter(u8::is_ascii_digit).count() > 15 {
        return Err(Refusal::Open(format!(
            "{number} needs more than 15 digits as text; ROUND it first"
        )));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    Ok(Value::Text(match exponent {
        _ if number == 0.0 => "0".to_owned(),
        -4..=14 => number.to_string(),
        _ => format!("{mantissa}e{sign}{:02}", exponent.abs()),
    }))
}
