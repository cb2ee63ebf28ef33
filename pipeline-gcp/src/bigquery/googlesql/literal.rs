//! Literals: GoogleSQL's own escapes and numbers (lexical structure document), written for SQLite.

use sqlparser::ast::{TypedString, Value, ValueWithSpan};

use super::error::{Position, SqlError};
use super::typed::{Literal, Typed};
use crate::bigquery::schema::ColumnType;
use crate::bigquery::timestamp as text_of_time;

/// Translates a literal.
pub(super) fn literal(value: &ValueWithSpan, fallback: Position) -> Result<Typed, SqlError> {
    let at = Position::of(value.span, fallback);
    match &value.value {
        Value::Null => Ok(Typed::literal("NULL".into(), None, at, Literal::Other)),
        Value::Boolean(truth) => {
            let sql = if *truth { "1" } else { "0" };
            Ok(Typed::literal(
                sql.into(),
                Some(ColumnType::Bool),
                at,
                Literal::Other,
            ))
        }
        Value::Number(digits, false) => number(digits, false, at),
        other => string(text(other, at)?, at),
    }
}

/// Translates a number, negated or not; `9223372036854775808` is a number only when it is negated.
pub(super) fn number(digits: &str, negative: bool, at: Position) -> Result<Typed, SqlError> {
    let signed = if negative {
        format!("-{digits}")
    } else {
        digits.to_owned()
    };
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let value: i64 = signed
            .parse()
            .map_err(|_| at.error(format!("{signed} is outside INT64")))?;
        let sql = if value < 0 {
            format!("({value})")
        } else {
            value.to_string()
        };
        return Ok(Typed::literal(
            sql,
            Some(ColumnType::Int64),
            at,
            Literal::Int64(value),
        ));
    }
    match signed.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Typed::literal(
            float(value),
            Some(ColumnType::Float64),
            at,
            Literal::Other,
        )),
        _ => Err(at.error(format!("{signed} is not a number that FLOAT64 holds"))),
    }
}

/// Writes a FLOAT64 by its bits, because SQLite's own reading of decimals may differ in the last one.
fn float(value: f64) -> String {
    format!("gs_float({})", value.to_bits().cast_signed())
}

/// Translates `TIMESTAMP '…'`'s text.
pub(super) fn timestamp(text: &str, at: Position) -> Result<Typed, SqlError> {
    let micros = text_of_time::parse(text).map_err(|reason| at.error(reason))?;
    Ok(Typed::literal(
        format!("({micros})"),
        Some(ColumnType::Timestamp),
        at,
        Literal::Other,
    ))
}

/// Translates a literal with a type before it.
pub(super) fn typed_string(value: &TypedString, fallback: Position) -> Result<Typed, SqlError> {
    let at = Position::of(value.value.span, fallback);
    if value.data_type.to_string() != "TIMESTAMP" || value.uses_odbc_syntax {
        return Err(at.error(format!(
            "literals of type {} are not supported; supported: TIMESTAMP",
            value.data_type
        )));
    }
    timestamp(&text(&value.value.value, at)?, at)
}

/// Writes a string for SQLite.
pub(super) fn string(text: String, at: Position) -> Result<Typed, SqlError> {
    if text.contains('\0') {
        return Err(at.error("a string with a NUL character is not supported"));
    }
    let sql = format!("'{}'", text.replace('\'', "''"));
    Ok(Typed::literal(
        sql,
        Some(ColumnType::String),
        at,
        Literal::String(text),
    ))
}

/// Takes the characters that a string literal stands for.
fn text(value: &Value, at: Position) -> Result<String, SqlError> {
    match value {
        Value::SingleQuotedString(raw) => unescape(raw, Some('\''), at),
        Value::DoubleQuotedString(raw) => unescape(raw, Some('"'), at),
        Value::TripleSingleQuotedString(raw) | Value::TripleDoubleQuotedString(raw) => unescape(raw, None, at),
        Value::SingleQuotedRawStringLiteral(raw) | Value::DoubleQuotedRawStringLiteral(raw) if !raw.contains('\\') => {
            Ok(raw.clone())
        }
        other => Err(at.error(format!(
            "the literal {other} is not supported; supported: NULL, TRUE, FALSE, numbers, '…', \"…\" and TIMESTAMP '…'"
        ))),
    }
}

/// Resolves escape sequences; `quote` is the mark that cannot stand in the text bare.
fn unescape(raw: &str, quote: Option<char>, at: Position) -> Result<String, SqlError> {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(next) = rest.next() {
        if Some(next) == quote {
            return Err(at.error(format!(
                "a doubled {next} is not an escape in GoogleSQL; write \\{next}"
            )));
        }
        if next == '\n' && quote.is_some() {
            return Err(
                at.error("a string in single marks cannot span lines; use three marks or \\n")
            );
        }
        if next != '\\' {
            text.push(next);
            continue;
        }
        let escape = rest.next();
        let code = |rest: &mut std::str::Chars<'_>, length: usize, radix: u32, head: &str| {
            let digits: String = head.chars().chain(rest.take(length)).collect();
            let whole = digits.len() == head.len() + length
                && digits.chars().all(|digit| digit.is_digit(radix));
            whole
                .then(|| u32::from_str_radix(&digits, radix).ok())
                .flatten()
                .and_then(char::from_u32)
        };
        let resolved = match escape {
            Some('a') => Some('\x07'),
            Some('b') => Some('\x08'),
            Some('f') => Some('\x0c'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('v') => Some('\x0b'),
            Some(same @ ('\\' | '?' | '"' | '\'' | '`')) => Some(same),
            Some('x' | 'X') => code(&mut rest, 2, 16, ""),
            Some('u') => code(&mut rest, 4, 16, ""),
            Some('U') => code(&mut rest, 8, 16, ""),
            Some(digit @ '0'..='3') => code(&mut rest, 2, 8, &digit.to_string()),
            _ => None,
        };
        let shown = escape.map(String::from).unwrap_or_default();
        text.push(resolved.ok_or_else(|| {
            at.error(format!(
                "`\\{shown}` begins no escape sequence of GoogleSQL"
            ))
        })?);
    }
    Ok(text)
}
