//! TIMESTAMP arithmetic and calendar parts, in microseconds and in UTC.

use chrono::Datelike;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::register::{integer, scalar, text};
use crate::bigquery::timestamp::{clock, first_of_month, format, instant};

pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    scalar(connection, "gs_timestamp_diff", |[later, earlier, unit]| {
        let micros = integer(later)?
            .checked_sub(integer(earlier)?)
            .ok_or("INT64 overflow: TIMESTAMP_DIFF")?;
        Ok(Value::Integer(micros / integer(unit)?)) // toward zero
    })?;
    scalar(connection, "gs_timestamp_add", |[at, count, unit]| {
        add(integer(at)?, integer(count)?, integer(unit)?, 1)
    })?;
    scalar(connection, "gs_timestamp_sub", |[at, count, unit]| {
        add(integer(at)?, integer(count)?, integer(unit)?, -1)
    })?;
    scalar(connection, "gs_timestamp_trunc", |[at, unit]| {
        truncate(integer(at)?, text(unit)?)
    })?;
    scalar(connection, "gs_extract", |[at, part]| {
        extract(integer(at)?, text(part)?)
    })
}

fn add(at: i64, count: i64, unit: i64, sign: i64) -> Result<Value, String> {
    let sum = count
        .checked_mul(unit)
        .and_then(|micros| micros.checked_mul(sign))
        .and_then(|micros| at.checked_add(micros));
    match sum.filter(|&micros| instant(micros).is_some()) {
        Some(micros) => Ok(Value::Integer(micros)),
        None => Err(format!(
            "TIMESTAMP overflow: {count} units added to or taken from {}",
            format(at)
        )),
    }
}

fn truncate(micros: i64, unit: &str) -> Result<Value, String> {
    let at = instant(micros).ok_or("TIMESTAMP_TRUNC: outside year 1 to 9999")?;
    let unit_micros = match unit {
        "MICROSECOND" => 1,
        "MILLISECOND" => 1_000,
        "SECOND" => 1_000_000,
        "MINUTE" => 60_000_000,
        "HOUR" => 3_600_000_000,
        "DAY" => 86_400_000_000,
        _ => {
            let month = match unit {
                "MONTH" => at.month(),
                "QUARTER" => at.month0() / 3 * 3 + 1,
                _ => 1,
            };
            return first_of_month(at, month)
                .map(Value::Integer)
                .ok_or_else(|| "TIMESTAMP_TRUNC: no such date".into());
        }
    };
    Ok(Value::Integer(micros - micros.rem_euclid(unit_micros)))
}

fn extract(micros: i64, part: &str) -> Result<Value, String> {
    let at = instant(micros).ok_or("EXTRACT: outside year 1 to 9999")?;
    let (hour, minute, second) = clock(at);
    let fraction = micros.rem_euclid(1_000_000);
    let number = match part {
        "MICROSECOND" => fraction,
        "MILLISECOND" => fraction / 1_000,
        "SECOND" => second.into(),
        "MINUTE" => minute.into(),
        "HOUR" => hour.into(),
        "DAY" => at.day().into(),
        "DAYOFWEEK" => i64::from(at.weekday().num_days_from_sunday()) + 1,
        "DAYOFYEAR" => at.ordinal().into(),
        "MONTH" => at.month().into(),
        "QUARTER" => i64::from(at.month0() / 3) + 1,
        "YEAR" => at.year().into(),
        other => return Err(format!("EXTRACT({other}) is not supported")),
    };
    Ok(Value::Integer(number))
}
