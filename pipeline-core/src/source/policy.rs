//! Watermarks out of the timestamps that have been seen.

use std::time::Duration;

use crate::time::Timestamp;

/// Keeps a watermark behind the greatest timestamp seen, by the greatest disorder that is
/// expected: an element that is older than that is late.
///
/// ```
/// use std::time::Duration;
/// use pipeline_core::{Timestamp, source::WatermarkPolicy};
/// let mut policy = WatermarkPolicy::with_disorder(Duration::from_secs(60));
/// policy.observe(Timestamp::from_millis(100_000));
/// assert_eq!(policy.watermark(), Timestamp::from_millis(40_000));
/// ```
#[derive(Clone, Debug)]
pub struct WatermarkPolicy {
    disorder: Duration,
    latest: Timestamp,
}

impl WatermarkPolicy {
    /// Expects elements to be at most `disorder` behind the latest.
    pub fn with_disorder(disorder: Duration) -> Self {
        WatermarkPolicy {
            disorder,
            latest: Timestamp::MIN,
        }
    }

    /// Takes note of an element's event time.
    pub fn observe(&mut self, timestamp: Timestamp) {
        self.latest = self.latest.max(timestamp);
    }

    /// Returns the greatest event time so far; [`observe`](Self::observe) takes it back.
    pub fn latest(&self) -> Timestamp {
        self.latest
    }

    /// Returns the watermark; it never goes back.
    pub fn watermark(&self) -> Timestamp {
        self.latest - self.disorder
    }
}
