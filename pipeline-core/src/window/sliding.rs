//! Windows of one size that begin at every period.

use std::fmt;
use std::time::Duration;

use super::fixed::floor;
use super::span::Span;
use super::{Window, WindowFn};
use crate::time::{Timestamp, millis};

/// Gives windows of `size` that begin every `period`; an element is in each that holds it.
///
/// With a period below the size an element is in several windows, and becomes one element for
/// each; the period is never above the size, for an element
/// between two windows would be in none.
///
/// ```
/// use std::time::Duration;
/// use pipeline_core::{Timestamp, window::{SlidingWindows, WindowFn}};
/// let mut windows = Vec::new();
/// SlidingWindows::of(Duration::from_secs(60))
///     .every(Duration::from_secs(20))
///     .assign(Timestamp::from_millis(0), &mut windows);
/// assert_eq!(windows.len(), 3);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SlidingWindows {
    size: i64,
    period: i64,
    offset: i64,
}

impl SlidingWindows {
    /// Makes windows of `size`, in whole milliseconds, at least one; the period is the size until
    /// [`SlidingWindows::every`] says otherwise.
    pub fn of(size: Duration) -> Self {
        let size = millis(size).max(1);
        SlidingWindows {
            size,
            period: size,
            offset: 0,
        }
    }

    /// Begins a window every `period`, clamped to 1 ms … the size.
    #[must_use]
    pub fn every(mut self, period: Duration) -> Self {
        self.period = millis(period).clamp(1, self.size);
        self
    }

    /// Shifts the windows by `offset` from the epoch (counted modulo the period). Default: 0.
    #[must_use]
    pub fn offset(mut self, offset: Duration) -> Self {
        self.offset = millis(offset).rem_euclid(self.period);
        self
    }
}

/// As it stands in a drawing of the pipeline: `SlidingWindows of 1h every 5m`.
impl fmt::Debug for SlidingWindows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, period) = (Span(self.size), Span(self.period));
        write!(f, "SlidingWindows of {size} every {period}")?;
        match self.offset {
            0 => Ok(()),
            offset => write!(f, ", offset {}", Span(offset)),
        }
    }
}

impl WindowFn for SlidingWindows {
    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
        let mut start = floor(timestamp, self.period, self.offset);
        while start > timestamp.millis().saturating_sub(self.size) {
            windows.push(Window::interval(
                Timestamp::from_millis(start),
                Timestamp::from_millis(start.saturating_add(self.size)),
            ));
            start -= self.period;
        }
    }
}
