//! TIMESTAMP functions and EXTRACT (timestamp functions document); everything is in UTC.

use sqlparser::ast::{DateTimeField, Expr, Spanned};

use super::error::{Position, SqlError};
use super::scope::Context;
use super::translator::Translator;
use super::typed::Typed;
use crate::bigquery::schema::ColumnType::{Int64, Timestamp};

/// The functions on timestamps.
pub(super) const TIMESTAMP_FUNCTIONS: &[&str] = &[
    "TIMESTAMP_ADD",
    "TIMESTAMP_DIFF",
    "TIMESTAMP_SUB",
    "TIMESTAMP_TRUNC",
];

/// Units of a fixed length, in microseconds.
const UNITS: &[(&str, i64)] = &[
    ("MICROSECOND", 1),
    ("MILLISECOND", 1_000),
    ("SECOND", 1_000_000),
    ("MINUTE", 60_000_000),
    ("HOUR", 3_600_000_000),
    ("DAY", 86_400_000_000),
];
/// Further units of TIMESTAMP_TRUNC.
const CALENDAR: &[&str] = &["MONTH", "QUARTER", "YEAR"];
/// Parts of EXTRACT.
const PARTS: &[&str] = &[
    "MICROSECOND",
    "MILLISECOND",
    "SECOND",
    "MINUTE",
    "HOUR",
    "DAY",
    "DAYOFWEEK",
    "DAYOFYEAR",
    "MONTH",
    "QUARTER",
    "YEAR",
];

impl Translator<'_> {
    /// Translates one of [`TIMESTAMP_FUNCTIONS`].
    pub fn timestamp_function(
        &mut self,
        name: &str,
        args: &[&Expr],
        context: &Context<'_>,
        at: Position,
    ) -> Result<Typed, SqlError> {
        let what = format!("the argument of {name}");
        match (name, args) {
            ("TIMESTAMP_DIFF", [later, earlier, unit]) => {
                let (_, micros) = fixed_unit(unit, at)?;
                let later = self.expr(later, context, at)?.coerce(Timestamp, &what)?;
                let earlier = self.expr(earlier, context, at)?.coerce(Timestamp, &what)?;
                let sql = format!(
                    "gs_timestamp_diff({}, {}, {micros})",
                    later.sql, earlier.sql
                );
                Ok(Typed::from_parts(sql, Some(Int64), at, [&later, &earlier]))
            }
            ("TIMESTAMP_TRUNC", [value, unit]) => {
                let unit_name = unit_name(unit, at)?;
                if !CALENDAR.contains(&unit_name.as_str()) {
                    fixed_unit(unit, at)?;
                }
                let value = self.expr(value, context, at)?.coerce(Timestamp, &what)?;
                let sql = format!("gs_timestamp_trunc({}, '{unit_name}')", value.sql);
                Ok(Typed::from_parts(sql, Some(Timestamp), at, [&value]))
            }
            ("TIMESTAMP_ADD" | "TIMESTAMP_SUB", [value, Expr::Interval(interval)]) => {
                let simple = interval.leading_precision.is_none()
                    && interval.last_field.is_none()
                    && interval.fractional_seconds_precision.is_none();
                let field = interval.leading_field.as_ref().filter(|_| simple);
                let field =
                    field.ok_or_else(|| at.error(format!("{name} takes INTERVAL number unit")))?;
                let micros = unit_micros(&field.to_string(), at)?;
                let value = self.expr(value, context, at)?.coerce(Timestamp, &what)?;
                let count = self
                    .expr(&interval.value, context, at)?
                    .coerce(Int64, "the number of INTERVAL")?;
                let function = name.to_ascii_lowercase();
                let sql = format!("gs_{function}({}, {}, {micros})", value.sql, count.sql);
                Ok(Typed::from_parts(
                    sql,
                    Some(Timestamp),
                    at,
                    [&value, &count],
                ))
            }
            ("TIMESTAMP_DIFF", _) => Err(at.error("TIMESTAMP_DIFF takes (later, earlier, unit)")),
            ("TIMESTAMP_TRUNC", _) => {
                Err(at
                    .error("TIMESTAMP_TRUNC takes (timestamp, unit); time zones are not supported"))
            }
            _ => Err(at.error(format!("{name} takes (timestamp, INTERVAL number unit)"))),
        }
    }

    /// Translates `EXTRACT(part FROM timestamp)`.
    pub fn extract(
        &mut self,
        field: &DateTimeField,
        expr: &Expr,
        context: &Context<'_>,
        at: Position,
    ) -> Result<Typed, SqlError> {
        let part = field.to_string().to_ascii_uppercase();
        if !PARTS.contains(&part.as_str()) {
            return Err(at.error(format!(
                "EXTRACT({part}) is not supported; supported: {}",
                PARTS.join(", ")
            )));
        }
        let value = self
            .expr(expr, context, at)?
            .coerce(Timestamp, "the argument of EXTRACT")?;
        Ok(Typed::from_parts(
            format!("gs_extract({}, '{part}')", value.sql),
            Some(Int64),
            at,
            [&value],
        ))
    }
}

fn unit_name(unit: &Expr, fallback: Position) -> Result<String, SqlError> {
    match unit {
        Expr::Identifier(ident) if ident.quote_style.is_none() => {
            Ok(ident.value.to_ascii_uppercase())
        }
        _ => {
            Err(Position::of(unit.span(), fallback).error("a unit such as SECOND is expected here"))
        }
    }
}

fn fixed_unit(unit: &Expr, fallback: Position) -> Result<(String, i64), SqlError> {
    let name = unit_name(unit, fallback)?;
    let micros = unit_micros(&name, Position::of(unit.span(), fallback))?;
    Ok((name, micros))
}

fn unit_micros(name: &str, at: Position) -> Result<i64, SqlError> {
    let found = UNITS
        .iter()
        .find(|(unit, _)| unit.eq_ignore_ascii_case(name));
    found.map(|(_, micros)| *micros).ok_or_else(|| {
        let known: Vec<_> = UNITS.iter().map(|(unit, _)| *unit).collect();
        at.error(format!(
            "the unit {name} is not supported here; supported: {}",
            known.join(", ")
        ))
    })
}
