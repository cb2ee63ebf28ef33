//! Windows of one size, side by side.

use std::fmt;
use std::time::Duration;

use super::span::Span;
use super::{Window, WindowFn};
use crate::time::{Timestamp, millis};

/// Divides event time into windows of one size: `[n · size + offset, (n + 1) · size + offset)`.
///
/// ```
/// use std::time::Duration;
/// use pipeline_core::{Timestamp, window::{FixedWindows, Window, WindowFn}};
/// let mut windows = Vec::new();
/// FixedWindows::of(Duration::from_secs(10)).assign(Timestamp::from_millis(-1), &mut windows);
/// let expected = (Timestamp::from_millis(-10_000), Timestamp::from_millis(0));
/// assert_eq!(windows, [Window::interval(expected.0, expected.1)]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FixedWindows {
    size: i64,
    offset: i64,
}

impl FixedWindows {
    /// Makes windows of `size`, in whole milliseconds, at least one.
    pub fn of(size: Duration) -> Self {
        FixedWindows {
            size: millis(size).max(1),
            offset: 0,
        }
    }

    /// Shifts the windows by `offset` from the epoch (counted modulo the size). Default: 0.
    #[must_use]
    pub fn offset(mut self, offset: Duration) -> Self {
        self.offset = millis(offset).rem_euclid(self.size);
        self
    }
}

/// Returns the last instant at or before `timestamp` that is `offset` modulo `period`: a floor,
/// so that times before the epoch fall into their own window (RG, windows with offset).
pub(super) fn floor(timestamp: Timestamp, period: i64, offset: i64) -> i64 {
    timestamp.millis() - (timestamp.millis() - offset).rem_euclid(period)
}

/// As it stands in a drawing of the pipeline: `FixedWindows of 1h`.
impl fmt::Debug for FixedWindows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FixedWindows of {}", Span(self.size))?;
        match self.offset {
            0 => Ok(()),
            offset => write!(f, ", offset {}", Span(offset)),
        }
    }
}

impl WindowFn for FixedWindows {
    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
        let start = floor(timestamp, self.size, self.offset);
        windows.push(Window::interval(
            Timestamp::from_millis(start),
            Timestamp::from_millis(start.saturating_add(self.size)),
        ));
    }
}
