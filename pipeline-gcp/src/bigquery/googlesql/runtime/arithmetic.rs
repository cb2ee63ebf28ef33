//! Arithmetic that fails instead of wrapping, rounding silently or giving NULL.

use rusqlite::Connection;
use rusqlite::types::{Value, ValueRef};

use super::register::{integer, real, scalar};

pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    scalar(connection, "gs_float", |[bits]| {
        Ok(Value::Real(f64::from_bits(integer(bits)?.cast_unsigned())))
    })?;
    scalar(connection, "gs_finite", |[value]| {
        finite("the sum or average", real(value)?)
    })?;
    scalar(connection, "gs_add", |args| {
        both(args, "+", i64::checked_add, |a, b| a + b)
    })?;
    scalar(connection, "gs_sub", |args| {
        both(args, "-", i64::checked_sub, |a, b| a - b)
    })?;
    scalar(connection, "gs_mul", |args| {
        both(args, "*", i64::checked_mul, |a, b| a * b)
    })?;
    scalar(connection, "gs_div", |[a, b]| match (real(a)?, real(b)?) {
        (a, 0.0) => Err(format!("division by zero: {a} / 0")),
        (a, b) => finite(&format!("{a} / {b}"), a / b),
    })?;
    scalar(connection, "gs_safe_div", |[a, b]| {
        let quotient = real(a)? / real(b)?;
        Ok(if quotient.is_finite() {
            Value::Real(quotient)
        } else {
            Value::Null
        })
    })?;
    scalar(connection, "gs_idiv", |[a, b]| {
        whole(a, b, "DIV", i64::checked_div)
    })?;
    scalar(connection, "gs_mod", |[a, b]| {
        whole(a, b, "MOD", |a, b| Some(a.wrapping_rem(b)))
    })?;
    scalar(connection, "gs_neg", |[value]| {
        one(value, "-", i64::checked_neg, |value| -value)
    })?;
    scalar(connection, "gs_abs", |[value]| {
        one(value, "ABS", i64::checked_abs, f64::abs)
    })?;
    scalar(connection, "gs_round", |[value, digits]| {
        round(real(value)?, integer(digits)?)
    })
}

fn both(
    [a, b]: [ValueRef<'_>; 2],
    operator: &str,
    integers: fn(i64, i64) -> Option<i64>,
    reals: fn(f64, f64) -> f64,
) -> Result<Value, String> {
    match (a, b) {
        (ValueRef::Integer(a), ValueRef::Integer(b)) => integers(a, b)
            .map(Value::Integer)
            .ok_or_else(|| format!("INT64 overflow: {a} {operator} {b}")),
        _ => {
            let (a, b) = (real(a)?, real(b)?);
            finite(&format!("{a} {operator} {b}"), reals(a, b))
        }
    }
}

fn one(
    value: ValueRef<'_>,
    name: &str,
    integers: fn(i64) -> Option<i64>,
    reals: fn(f64) -> f64,
) -> Result<Value, String> {
    match value {
        ValueRef::Integer(value) => integers(value)
            .map(Value::Integer)
            .ok_or_else(|| format!("INT64 overflow: {name}({value})")),
        value => Ok(Value::Real(reals(real(value)?))),
    }
}

fn whole(
    a: ValueRef<'_>,
    b: ValueRef<'_>,
    name: &str,
    run: fn(i64, i64) -> Option<i64>,
) -> Result<Value, String> {
    match (integer(a)?, integer(b)?) {
        (a, 0) => Err(format!("division by zero: {name}({a}, 0)")),
        (a, b) => run(a, b)
            .map(Value::Integer)
            .ok_or_else(|| format!("INT64 overflow: {name}({a}, {b})")),
    }
}

fn finite(what: &str, value: f64) -> Result<Value, String> {
    if value.is_finite() {
        Ok(Value::Real(value))
    } else {
        Err(format!("FLOAT64 overflow: {what}"))
    }
}

/// Rounds half away from zero. Scaling is exact or agrees with the decimal expansion, or else it is refused: then the
/// value lies so close to a tie that the last digit depends on how an engine scales.
fn round(value: f64, digits: i64) -> Result<Value, String> {
    let places = usize::try_from(digits).map_err(|_| "ROUND takes 0 to 15 digits")?;
    let scale = 10_f64.powi(i32::try_from(digits).map_err(|_| "ROUND takes 0 to 15 digits")?);
    let scaled = value * scale;
    if digits == 0 || value.abs() >= 4_503_599_627_370_496.0 {
        return Ok(Value::Real(value.round())); // from 2^52 on every FLOAT64 is whole
    }
    let rounded = scaled.round() / scale;
    let exact = value.mul_add(scale, -scaled) == 0.0;
    if exact || format!("{value:.places$}").parse() == Ok(rounded) {
        return finite("ROUND", rounded);
    }
    Err(format!(
        "ROUND({value}, {digits}) is too close to a tie to be sure of the last digit"
    ))
}
