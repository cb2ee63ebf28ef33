//! Windows that grow with activity.

use std::fmt;
use std::time::Duration;

use super::span::Span;
use super::{Window, WindowFn};
use crate::time::{Timestamp, millis};

/// Gathers the elements of a key that follow one another within a gap (PG 8.1.3).
///
/// An element at `t` is put into `[t, t + gap)`; at grouping, windows of a key that intersect
/// become one. Two elements exactly `gap` apart are in different sessions.
///
/// ```
/// use std::time::Duration;
/// use pipeline_core::{Timestamp, window::{Sessions, Window, WindowFn}};
/// let sessions = Sessions::with_gap(Duration::from_millis(10));
/// let mut windows = Vec::new();
/// for millis in [0, 9, 19] {
///     sessions.assign(Timestamp::from_millis(millis), &mut windows);
/// }
/// assert_eq!(sessions.merge(&windows).len(), 2);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sessions {
    gap: i64,
}

impl Sessions {
    /// Makes sessions that end after `gap` without an element; whole milliseconds, at least one.
    pub fn with_gap(gap: Duration) -> Self {
        Sessions {
            gap: millis(gap).max(1),
        }
    }
}

/// As it stands in a drawing of the pipeline: `Sessions of 30m`.
impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sessions of {}", Span(self.gap))
    }
}

impl WindowFn for Sessions {
    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
        windows.push(Window::interval(timestamp, timestamp.plus_millis(self.gap)));
    }

    fn is_merging(&self) -> bool {
        true
    }
}
