//! Event time: milliseconds since the Unix epoch, with the bounds of Beam's model.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};

/// Names an instant of event time in milliseconds since the Unix epoch.
///
/// The bounds are Beam's `BoundedWindow.TIMESTAMP_MIN_VALUE` and `TIMESTAMP_MAX_VALUE`. All
/// arithmetic saturates at them. Finer fractions of a second that occur in the data stay data.
///
/// ```
/// use pipeline_core::Timestamp;
/// use std::time::Duration;
/// let t = Timestamp::from_millis(1_000) + Duration::from_secs(1);
/// assert_eq!(t.millis(), 2_000);
/// assert!(Timestamp::MIN < t && t < Timestamp::END_OF_GLOBAL_WINDOW);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest instant: where every watermark begins.
    pub const MIN: Timestamp = Timestamp(-9_223_372_036_854_775);
    /// The latest instant: the watermark of an input that has ended ("infinity").
    pub const MAX: Timestamp = Timestamp(9_223_372_036_854_775);
    /// The last instant of the global window, one day before [`Timestamp::MAX`].
    pub const END_OF_GLOBAL_WINDOW: Timestamp = Timestamp(9_223_372_036_854_775 - 86_400_000);

    /// Returns the instant `millis` after the epoch, clamped to the bounds.
    pub const fn from_millis(millis: i64) -> Self {
        if millis < Self::MIN.0 {
            Self::MIN
        } else if millis > Self::MAX.0 {
            Self::MAX
        } else {
            Timestamp(millis)
        }
    }

    /// Returns the milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Returns the instant `millis` later (earlier if negative), clamped to the bounds.
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }
}

/// Converts a duration to whole milliseconds; what does not fit saturates.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Timestamp;
    fn add(self, duration: Duration) -> Timestamp {
        self.plus_millis(millis(duration))
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Timestamp;
    fn sub(self, duration: Duration) -> Timestamp {
        self.plus_millis(-millis(duration))
    }
}

/// Prints `MIN`, `MAX`, `END_OF_GLOBAL_WINDOW`, or the instant in RFC 3339 (UTC).
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Timestamp::MIN => return f.write_str("MIN"),
            Timestamp::MAX => return f.write_str("MAX"),
            Timestamp::END_OF_GLOBAL_WINDOW => return f.write_str("END_OF_GLOBAL_WINDOW"),
            _ => {}
        }
        match DateTime::from_timestamp_millis(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => write!(f, "{} ms since the epoch", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc_3339() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (1_706_781_656_000, "2024-02-01T10:00:56Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
        ];
        for (millis, text) in cases {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX + Duration::from_secs(1), Timestamp::MAX);
        assert_eq!(Timestamp::MIN - Duration::MAX, Timestamp::MIN);
    }
}
