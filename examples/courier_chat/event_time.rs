//! Keeps the time of a message: a point on the UTC time line, in microseconds.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Timelike, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// 0001-01-01T00:00:00Z, the first instant of BigQuery's TIMESTAMP.
const MIN_MICROS: i64 = -62_135_596_800_000_000;
/// 9999-12-31T23:59:59.999999Z, the last instant of BigQuery's TIMESTAMP.
const MAX_MICROS: i64 = 253_402_300_799_999_999;

/// Marks a point in time, in microseconds since 1970-01-01T00:00:00Z.
///
/// The range is that of BigQuery's TIMESTAMP: 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999Z, so that every value
/// can be written as RFC 3339 and stored in the warehouse. In formats made for people (JSON, CSV) it is serialised as
/// RFC 3339 text, in binary formats as its microseconds.
///
/// ```
/// # use pipeline_examples::courier_chat::EventTime;
/// let time = EventTime::parse("2024-02-01T12:00:56.250+02:00")?;
/// assert_eq!(time.to_string(), "2024-02-01T10:00:56.250Z");
/// assert_eq!(time.millis(), 1_706_781_656_250);
/// # Ok::<(), pipeline_examples::courier_chat::InvalidTime>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(i64);

/// Says why a text or number is no [`EventTime`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTime {
    /// The text is not RFC 3339, or names a day or time of day that does not exist.
    #[error("not an RFC 3339 time ({0})")]
    Syntax(chrono::ParseError),
    /// The text names second 60, which neither the warehouse nor a count of microseconds can tell from the next second.
    #[error("a leap second (second 60 has no place on the UTC time line)")]
    LeapSecond,
    /// The time lies outside the years 1 to 9999 in UTC.
    #[error("outside 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999Z")]
    OutOfRange,
}

impl EventTime {
    /// Makes a time from microseconds since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// [`InvalidTime::OutOfRange`] outside the years 1 to 9999.
    pub fn from_micros(micros: i64) -> Result<Self, InvalidTime> {
        if (MIN_MICROS..=MAX_MICROS).contains(&micros) {
            Ok(Self(micros))
        } else {
            Err(InvalidTime::OutOfRange)
        }
    }

    /// Reads an RFC 3339 time with any offset and any number of fraction digits, of which six are kept.
    ///
    /// Digits after the sixth are cut off, not rounded. The date and the time may be parted by `T`, `t` or one blank,
    /// as RFC 3339 section 5.6 allows.
    ///
    /// # Errors
    /// [`InvalidTime`], when the text has another form, or the time does not exist or is out of range.
    pub fn parse(text: &str) -> Result<Self, InvalidTime> {
        let time = DateTime::parse_from_rfc3339(text).map_err(InvalidTime::Syntax)?;
        // chrono keeps second 60 as a nanosecond count of a second or more.
        if time.nanosecond() >= 1_000_000_000 {
            return Err(InvalidTime::LeapSecond);
        }
        Self::from_micros(time.timestamp_micros())
    }

    /// Gives the microseconds since 1970-01-01T00:00:00Z.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// Gives the milliseconds since 1970-01-01T00:00:00Z, rounded towards the past: the event time of the pipeline.
    pub fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Counts the whole seconds between two times, whichever is the earlier.
    ///
    /// A begun second does not count, as in GoogleSQL's `ABS(TIMESTAMP_DIFF(a, b, SECOND))`.
    pub fn whole_seconds_between(self, other: Self) -> i64 {
        // In range: the two bounds are 3.2e17 microseconds apart.
        (self.0 - other.0).abs() / 1_000_000
    }
}

/// Writes RFC 3339 in UTC with `Z`, and a fraction of three or six digits only if it is not zero.
impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time: DateTime<Utc> =
            DateTime::from_timestamp_micros(self.0).expect("years 1 to 9999 are in chrono's range");
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl Serialize for EventTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for EventTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            Self::parse(&text).map_err(de::Error::custom)
        } else {
            Self::from_micros(i64::deserialize(deserializer)?).map_err(de::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Microseconds from `date -u -d … +%s`.
    const TEN_56: i64 = 1_706_781_656_000_000;

    #[test]
    fn reads_offsets_and_fractions() {
        for (text, micros) in [
            ("2024-02-01T10:00:56Z", TEN_56),
            ("2024-02-01t10:00:56z", TEN_56),
            ("2024-02-01 10:00:56Z", TEN_56),
            ("2024-02-01T10:00:56-00:00", TEN_56),
            ("2024-02-01T12:30:56+02:30", TEN_56),
            ("2024-01-31T23:00:56-11:00", TEN_56),
            ("2024-02-01T10:00:56.5Z", TEN_56 + 500_000),
            ("2024-02-01T10:00:56.000001Z", TEN_56 + 1),
            ("2024-02-01T10:00:56.0000019Z", TEN_56 + 1),
            ("1969-12-31T23:59:59.9999999Z", -1),
            ("0001-01-01T00:00:00Z", MIN_MICROS),
            ("9999-12-31T23:59:59.999999Z", MAX_MICROS),
        ] {
            assert_eq!(EventTime::parse(text), Ok(EventTime(micros)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "2024-02-30T10:00:56Z",
            "2023-02-29T10:00:56Z",
            "2024-13-01T10:00:56Z",
            "2024-02-01T24:00:00Z",
            "2024-02-01T10:60:00Z",
            "2024-02-01T10:00:61Z",
            "2024-02-01T10:00:56",
            "2024-02-01",
            "2024-02-01T10:00Z",
            "2024-02-01T10:00:56Z ",
            "2024-02-01T10:00:56.Z",
            "1706781656",
            "",
        ] {
            assert!(
                matches!(EventTime::parse(text), Err(InvalidTime::Syntax(_))),
                "{text}"
            );
        }
        assert_eq!(
            EventTime::parse("2016-12-31T23:59:60Z"),
            Err(InvalidTime::LeapSecond)
        );
        for text in [
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-00:01",
        ] {
            assert_eq!(
                EventTime::parse(text),
                Err(InvalidTime::OutOfRange),
                "{text}"
            );
        }
    }

    #[test]
    fn writes_a_fraction_only_where_there_is_one() {
        for (micros, text) in [
            (TEN_56, "2024-02-01T10:00:56Z"),
            (TEN_56 + 250_000, "2024-02-01T10:00:56.250Z"),
            (TEN_56 + 1, "2024-02-01T10:00:56.000001Z"),
            (MIN_MICROS, "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(EventTime(micros).to_string(), text);
        }
    }

    #[test]
    fn rounds_milliseconds_towards_the_past() {
        assert_eq!(EventTime(1_999).millis(), 1);
        assert_eq!(EventTime(-1).millis(), -1);
        assert_eq!(EventTime(-1_000).millis(), -1);
    }

    #[test]
    fn counts_whole_seconds_only() {
        let (a, b) = (EventTime(900_000), EventTime(2_100_000));
        assert_eq!(
            (a.whole_seconds_between(b), b.whole_seconds_between(a)),
            (1, 1)
        );
        assert_eq!(
            EventTime(-500_000).whole_seconds_between(EventTime(499_999)),
            0
        );
        assert_eq!(
            EventTime(MIN_MICROS).whole_seconds_between(EventTime(MAX_MICROS)),
            315_537_897_599
        );
    }

    #[test]
    fn serialises_as_text_in_json_and_checks_the_range() {
        let time = EventTime(TEN_56 + 1);
        let json = serde_json::to_string(&time).unwrap();
        assert_eq!(json, "\"2024-02-01T10:00:56.000001Z\"");
        assert_eq!(serde_json::from_str::<EventTime>(&json).unwrap(), time);
        assert_eq!(
            EventTime::from_micros(MAX_MICROS + 1),
            Err(InvalidTime::OutOfRange)
        );
        assert_eq!(
            EventTime::from_micros(MIN_MICROS - 1),
            Err(InvalidTime::OutOfRange)
        );
    }
}
