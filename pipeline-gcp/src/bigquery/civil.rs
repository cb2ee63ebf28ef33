//! DATE and DATETIME text: days and times of day without a zone.
//!
//! A DATE is an `i32` of days since 1970-01-01, a DATETIME an `i64` of microseconds since 1970-01-01T00:00:00 by the
//! same clock, both from year 1 to 9999 (cloud.google.com/bigquery/docs/reference/standard-sql/data-types).

use chrono::{DateTime, NaiveDate, SecondsFormat};

use super::timestamp;

/// First DATE: 0001-01-01, in days.
pub const MIN_DAYS: i32 = -719_162;
/// Last DATE: 9999-12-31, in days.
pub const MAX_DAYS: i32 = 2_932_896;

/// Parses a DATE: `YYYY-[M]M-[D]D`. Returns days since 1970-01-01.
///
/// # Errors
/// A text of another form, and a date that does not exist.
pub fn parse_date(text: &str) -> Result<i32, String> {
    let wrong = || format!("`{}` is not a DATE (YYYY-MM-DD)", timestamp::shorten(text));
    if text.len() > 10 {
        return Err(wrong());
    }
    let micros = timestamp::parse(text).map_err(|_| wrong())?;
    i32::try_from(micros.div_euclid(86_400_000_000)).map_err(|_| wrong())
}

/// Renders days since 1970-01-01 as `YYYY-MM-DD`; outside year 1 to 9999 their number.
///
/// ```
/// # use pipeline_gcp::bigquery::civil;
/// assert_eq!(civil::format_date(civil::parse_date("2024-02-29")?), "2024-02-29");
/// # Ok::<(), String>(())
/// ```
pub fn format_date(days: i32) -> String {
    let date = (MIN_DAYS..=MAX_DAYS)
        .contains(&days)
        .then(|| NaiveDate::from_epoch_days(days))
        .flatten();
    date.map_or_else(|| days.to_string(), |date| date.to_string())
}

/// Parses a DATETIME: `YYYY-[M]M-[D]D[(T| )[H]H:[M]M:[S]S[.F]]`, without a zone.
///
/// # Errors
/// A text of another form, or with a zone.
pub fn parse_datetime(text: &str) -> Result<i64, String> {
    let wrong = |reason: &str| {
        let text = timestamp::shorten(text);
        Err(format!("`{text}` is not a DATETIME: {reason}"))
    };
    if text
        .get(10..)
        .is_some_and(|rest| rest.contains(['Z', 'z', '+', '-', 'U']))
    {
        return wrong("it has a zone, as a TIMESTAMP has");
    }
    match timestamp::parse(text) {
        Ok(micros) => Ok(micros),
        Err(_) => wrong("it has to be like 2024-02-01T10:00:56.123456"),
    }
}

/// Renders a DATETIME: `2024-02-01T10:00:56`, with three or six digits of fraction where it is not zero.
pub fn format_datetime(micros: i64) -> String {
    let at = timestamp::instant(micros);
    at.map_or_else(
        || micros.to_string(),
        |at: DateTime<_>| {
            let text = at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
            text.trim_end_matches('Z').to_owned()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_of_day_have_no_zone() {
        assert_eq!(parse_date("1970-01-02"), Ok(1));
        assert_eq!(parse_date("1969-12-31"), Ok(-1));
        assert_eq!(parse_date("0001-01-01"), Ok(MIN_DAYS));
        assert_eq!(parse_date("9999-12-31"), Ok(MAX_DAYS));
        assert_eq!(format_date(MAX_DAYS), "9999-12-31");
        assert_eq!(format_date(MIN_DAYS), "0001-01-01");
        assert!(parse_date("2023-02-29").is_err());
        assert!(parse_date("2023-02-20T00:00:00Z").is_err());
        let at = parse_datetime("2024-02-01 10:00:56.5").unwrap();
        assert_eq!(format_datetime(at), "2024-02-01T10:00:56.500");
        for zoned in [
            "2024-02-01T10:00:56Z",
            "2024-02-01 10:00:56+02",
            "2024-02-01 10:00:56 UTC",
        ] {
            assert!(
                parse_datetime(zoned).unwrap_err().contains("zone"),
                "{zoned}"
            );
        }
    }
}
