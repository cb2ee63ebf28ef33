//! Text: characters are code points, and case matters.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::register::{integer, scalar, text};

pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    scalar(connection, "gs_like", |[value, pattern]| {
        Ok(Value::Integer(
            like(text(value)?, &parse_pattern(text(pattern)?)?).into(),
        ))
    })?;
    scalar(connection, "gs_lower", |[value]| {
        change_case(text(value)?, char::to_lowercase, "LOWER")
    })?;
    scalar(connection, "gs_upper", |[value]| {
        change_case(text(value)?, char::to_uppercase, "UPPER")
    })?;
    scalar(connection, "gs_length", |[value]| {
        count(text(value)?).map(Value::Integer)
    })?;
    scalar(connection, "gs_starts_with", |[value, part]| {
        Ok(Value::Integer(text(value)?.starts_with(text(part)?).into()))
    })?;
    scalar(connection, "gs_ends_with", |[value, part]| {
        Ok(Value::Integer(text(value)?.ends_with(text(part)?).into()))
    })?;
    scalar(connection, "gs_substr", |[value, from]| {
        substr(text(value)?, integer(from)?, i64::MAX)
    })?;
    scalar(connection, "gs_substr", |[value, from, length]| {
        substr(text(value)?, integer(from)?, integer(length)?)
    })
}

/// A piece of a LIKE pattern.
#[derive(Clone, Copy, PartialEq)]
enum Piece {
    Any,
    One,
    Char(char),
}

fn parse_pattern(pattern: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(next) = chars.next() {
        pieces.push(match next {
            '%' => Piece::Any,
            '_' => Piece::One,
            '\\' => Piece::Char(
                chars
                    .next()
                    .ok_or("a LIKE pattern cannot end in a backslash")?,
            ),
            other => Piece::Char(other),
        });
    }
    Ok(pieces)
}

/// Matches with one step back to the last `%`: time is bounded by text times pattern.
fn like(value: &str, pattern: &[Piece]) -> bool {
    let mut rest = value.chars();
    let mut at = 0;
    let mut retry = None;
    loop {
        if pattern.get(at) == Some(&Piece::Any) {
            at += 1;
            retry = Some((at, rest.clone()));
            continue;
        }
        let next = rest.next();
        let matched = match (next, pattern.get(at)) {
            (None, None) => return true,
            (None, Some(_)) => return false,
            (Some(_), Some(Piece::One)) => true,
            (Some(char), Some(Piece::Char(wanted))) => char == *wanted,
            (Some(_), _) => false,
        };
        if matched {
            at += 1;
            continue;
        }
        // Let the last `%` take one character more.
        let Some((resume, from)) = &mut retry else {
            return false;
        };
        from.next();
        at = *resume;
        rest = from.clone();
    }
}

fn count(value: &str) -> Result<i64, String> {
    i64::try_from(value.chars().count()).map_err(|error| error.to_string())
}

/// Changes case letter by letter; a letter whose other case is several letters, or depends on its place, is refused.
fn change_case<I: Iterator<Item = char>>(
    value: &str,
    map: fn(char) -> I,
    name: &str,
) -> Result<Value, String> {
    let mut changed = String::with_capacity(value.len());
    for letter in value.chars() {
        let mut mapped = map(letter);
        match (mapped.next(), mapped.next()) {
            (Some(one), None) if letter != 'Σ' || one == letter => changed.push(one),
            _ => {
                return Err(format!(
                    "{name}: the other case of `{letter}` is not one letter; not supported"
                ));
            }
        }
    }
    Ok(Value::Text(changed))
}

/// Cuts as SUBSTR does: positions from 1, negative ones from the end, a start before the text means its beginning.
fn substr(value: &str, from: i64, length: i64) -> Result<Value, String> {
    if length < 0 {
        return Err(format!("SUBSTR: the length {length} is negative"));
    }
    let total = count(value)?;
    let skip = match from {
        1.. => from - 1,
        0 => 0,
        _ => total.saturating_add(from).max(0),
    };
    let as_size = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    Ok(Value::Text(
        value
            .chars()
            .skip(as_size(skip))
            .take(as_size(length))
            .collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_matches_whole_texts_with_case() {
        for (value, pattern, expected) in [
            ("Courier Android", "Courier%", true),
            ("courier", "Courier%", false),
            ("", "%", true),
            ("", "_", false),
            ("abc", "a_c", true),
            ("abc", "ab", false),
            ("aXbXc", "a%b%c", true),
            ("aab", "%ab", true),
            ("a%b", r"a\%b", true),
            ("axb", r"a\%b", false),
            ("é", "_", true),
            ("mississippi", "%iss%pi", true),
            ("mississippi", "%iss%ipx", false),
        ] {
            assert_eq!(
                parse_pattern(pattern).map(|pieces| like(value, &pieces)),
                Ok(expected),
                "{value} {pattern}"
            );
        }
        assert!(parse_pattern("a\\").is_err());
    }
}
