//! TIMESTAMP text: parsed as GoogleSQL writes it, rendered in RFC 3339.
//!
//! A TIMESTAMP is an `i64` of microseconds since 1970-01-01T00:00:00Z, from year 1 to year 9999, as in
//! BigQuery's data types document (cloud.google.com/bigquery/docs/reference/standard-sql/data-types#timestamp_type).

use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat, Timelike, Utc};

/// First instant of a TIMESTAMP: 0001-01-01T00:00:00Z, in microseconds.
pub const MIN_MICROS: i64 = -62_135_596_800_000_000;
/// Last instant of a TIMESTAMP: 9999-12-31T23:59:59.999999Z, in microseconds.
pub const MAX_MICROS: i64 = 253_402_300_799_999_999;

/// Parses a timestamp: RFC 3339, or GoogleSQL's canonical text.
///
/// The form is `YYYY-[M]M-[D]D[(T| )[H]H:[M]M:[S]S[.F]][zone]` with up to six digits of fraction; `zone` is `Z`,
/// ` UTC`, or `±[H]H[:MM]`; without one it is UTC. Returns microseconds since the epoch.
///
/// # Errors
/// A text of another form, a date that does not exist, a leap second, a finer fraction, and an instant outside
/// year 1 to 9999 are refused with the reason.
pub fn parse(text: &str) -> Result<i64, String> {
    parse_parts(text).map_err(|reason| format!("`{}` is not a TIMESTAMP: {reason}", shorten(text)))
}

/// Renders microseconds as RFC 3339 in UTC: `2024-02-01T10:00:56Z`.
///
/// The fraction is there only when it is not zero, with three or six digits. An instant outside year 1 to 9999,
/// which no table holds, is rendered as its number of microseconds.
///
/// ```
/// # use pipeline_gcp::bigquery::timestamp;
/// let at = timestamp::parse("2024-02-01T11:00:56.5+01:00")?;
/// assert_eq!(timestamp::format(at), "2024-02-01T10:00:56.500Z");
/// # Ok::<(), String>(())
/// ```
pub fn format(micros: i64) -> String {
    match instant(micros) {
        Some(at) => at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        None => micros.to_string(),
    }
}

/// Renders microseconds as `CAST(timestamp AS STRING)` does: `2024-02-01 10:00:56.500+00`.
pub(crate) fn format_googlesql(micros: i64) -> String {
    let mut text = format(micros).replace('T', " ");
    if text.ends_with('Z') {
        text.truncate(text.len() - 1);
        text.push_str("+00");
    }
    text
}

/// Gives the calendar view of an instant; `None` outside year 1 to 9999.
pub(crate) fn instant(micros: i64) -> Option<DateTime<Utc>> {
    (MIN_MICROS..=MAX_MICROS)
        .contains(&micros)
        .then(|| DateTime::from_timestamp_micros(micros))
        .flatten()
}

/// Gives the first instant of a month; `None` outside year 1 to 9999.
pub(crate) fn first_of_month(at: DateTime<Utc>, month: u32) -> Option<i64> {
    let start = NaiveDate::from_ymd_opt(at.year(), month, 1)?.and_hms_opt(0, 0, 0)?;
    Some(start.and_utc().timestamp_micros())
}

/// Gives hour, minute and second of an instant.
pub(crate) fn clock(at: DateTime<Utc>) -> (u32, u32, u32) {
    (at.hour(), at.minute(), at.second())
}

pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn parse_parts(text: &str) -> Result<i64, String> {
    let mut rest = text;
    let year = digits(&mut rest, 4, 4, "a year of four digits")?;
    literal(&mut rest, '-')?;
    let month = digits(&mut rest, 1, 2, "a month")?;
    literal(&mut rest, '-')?;
    let day = digits(&mut rest, 1, 2, "a day")?;
    let date = i32::try_from(year)
        .ok()
        .and_then(|year| NaiveDate::from_ymd_opt(year, month, day))
        .ok_or("there is no such date")?;
    let (mut hour, mut minute, mut second, mut micro) = (0, 0, 0, 0);
    let timed = rest
        .strip_prefix(['T', 't', ' '])
        .filter(|after| after.starts_with(|c: char| c.is_ascii_digit()));
    if let Some(time) = timed {
        rest = time;
        hour = digits(&mut rest, 1, 2, "an hour")?;
        literal(&mut rest, ':')?;
        minute = digits(&mut rest, 1, 2, "a minute")?;
        literal(&mut rest, ':')?;
        second = digits(&mut rest, 1, 2, "a second")?;
        if let Some(fraction) = rest.strip_prefix('.') {
            let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if length == 0 || length > 6 {
                return Err("a fraction has one to six digits".into());
            }
            rest = &fraction[length..];
            micro = format!("{:0<6}", &fraction[..length])
                .parse()
                .map_err(|_| "a fraction has digits only")?;
        }
    }
    let offset = zone_seconds(rest)?;
    let local = date
        .and_hms_micro_opt(hour, minute, second, micro)
        .ok_or("there is no such time of day")?;
    let micros = local.and_utc().timestamp_micros() - offset * 1_000_000;
    if (MIN_MICROS..=MAX_MICROS).contains(&micros) {
        Ok(micros)
    } else {
        Err("the instant is outside year 1 to 9999".into())
    }
}

fn digits(rest: &mut &str, least: usize, most: usize, what: &str) -> Result<u32, String> {
    let length = rest
        .bytes()
        .take(most)
        .take_while(u8::is_ascii_digit)
        .count();
    if length < least {
        return Err(format!("{what} is missing"));
    }
    let (head, tail) = rest.split_at(length);
    *rest = tail;
    head.parse().map_err(|_| format!("{what} is missing"))
}

fn literal(rest: &mut &str, wanted: char) -> Result<(), String> {
    *rest = rest
        .strip_prefix(wanted)
        .ok_or_else(|| format!("`{wanted}` is missing"))?;
    Ok(())
}

fn zone_seconds(zone: &str) -> Result<i64, String> {
    if matches!(zone, "" | "Z" | "z" | " UTC" | "UTC") {
        return Ok(0);
    }
    let (sign, mut rest) = match (zone.strip_prefix('+'), zone.strip_prefix('-')) {
        (Some(rest), _) => (1, rest),
        (_, Some(rest)) => (-1, rest),
        _ => {
            return Err(
                "after the time only Z, UTC or an offset such as +02:00 is understood".into(),
            );
        }
    };
    let hours = digits(&mut rest, 1, 2, "the offset's hour")?;
    let mut minutes = 0;
    if !rest.is_empty() {
        literal(&mut rest, ':')?;
        minutes = digits(&mut rest, 2, 2, "the offset's minute")?;
    }
    if !rest.is_empty() || hours > 14 || minutes > 59 || hours == 14 && minutes > 0 {
        return Err("an offset lies between -14:00 and +14:00".into());
    }
    Ok(sign * (i64::from(hours) * 3600 + i64::from(minutes) * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    // 1706781656 is 2024-02-01T10:00:56Z by `date -u -d @1706781656`.
    const AT: i64 = 1_706_781_656_000_000;

    #[test]
    fn every_spelling_of_one_instant_is_the_same_number() {
        for text in [
            "2024-02-01T10:00:56Z",
            "2024-02-01 10:00:56",
            "2024-02-01 10:00:56 UTC",
            "2024-2-1 10:0:56+00",
            "2024-02-01T11:30:56+01:30",
            "2024-02-01T02:00:56.000000-8:00",
        ] {
            assert_eq!(parse(text), Ok(AT), "{text}");
        }
        assert_eq!(parse("2024-02-01"), Ok(AT - (10 * 3600 + 56) * 1_000_000));
        assert_eq!(parse("1969-12-31T23:59:59.999999Z"), Ok(-1));
    }

    #[test]
    fn rendering_shows_a_fraction_only_where_there_is_one() {
        assert_eq!(format(AT), "2024-02-01T10:00:56Z");
        assert_eq!(format(AT + 120_000), "2024-02-01T10:00:56.120Z");
        assert_eq!(format(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(format(MIN_MICROS), "0001-01-01T00:00:00Z");
        assert_eq!(format(MAX_MICROS), "9999-12-31T23:59:59.999999Z");
        assert_eq!(format_googlesql(AT + 1), "2024-02-01 10:00:56.000001+00");
    }

    #[test]
    fn wrong_texts_are_refused_with_the_reason() {
        for (text, reason) in [
            ("2024-02-30", "no such date"),
            ("2024-02-01T24:00:00Z", "no such time"),
            ("2024-02-01T10:00:60Z", "no such time"),
            ("2024-02-01T10:00:56.1234567Z", "one to six"),
            ("2024-02-01T10:00Z", "`:` is missing"),
            ("2024-02-01T10:00:56 Europe/Berlin", "only Z"),
            ("2024-02-01T10:00:56+15:00", "between"),
            ("0001-01-01T00:00:00+01:00", "outside year"),
            ("24-02-01", "year of four"),
            ("", "year of four"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
