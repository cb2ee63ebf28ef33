//! One window.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Names a window: the global one, or an interval `[start, end)` of event time.
///
/// ```
/// use pipeline_core::{Timestamp, window::Window};
/// let window = Window::interval(Timestamp::from_millis(0), Timestamp::from_millis(60_000));
/// assert_eq!(window.max_timestamp(), Timestamp::from_millis(59_999));
/// assert!(Window::GLOBAL.is_global());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    // The order of the fields is not that of `Ord`: windows are ordered by their end.
    start: Timestamp,
    end: Timestamp,
}

impl Window {
    /// The one window that holds all of event time up to the end of the global window.
    pub const GLOBAL: Window = Window {
        start: Timestamp::MIN,
        end: Timestamp::END_OF_GLOBAL_WINDOW.plus_millis(1),
    };

    /// Returns the window `[start, end)`; an `end` at or before `start` becomes `start` + 1 ms,
    /// since a window is never empty, and one behind the end of the global window becomes that
    /// (Java's `FixedWindows`): groups expire then at the latest, and must have ended by then.
    pub fn interval(start: Timestamp, end: Timestamp) -> Window {
        Window {
            start,
            end: end.min(Window::GLOBAL.end).max(start.plus_millis(1)),
        }
    }

    /// Returns the first instant of the window.
    pub const fn start(self) -> Timestamp {
        self.start
    }

    /// Returns the first instant behind the window.
    pub const fn end(self) -> Timestamp {
        self.end
    }

    /// Returns the last instant of the window, its end − 1 ms (RG, "the window's max timestamp").
    pub const fn max_timestamp(self) -> Timestamp {
        self.end.plus_millis(-1)
    }

    /// Tells whether this is the global window.
    pub fn is_global(self) -> bool {
        self == Window::GLOBAL
    }

    /// Tells whether the two windows share an instant.
    pub fn intersects(self, other: Window) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Returns the smallest window that holds both.
    pub fn span(self, other: Window) -> Window {
        Window {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// Orders windows by their end, then by their start: the order in which they fire.
impl Ord for Window {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.end, self.start).cmp(&(other.end, other.start))
    }
}

impl PartialOrd for Window {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_global() {
            f.write_str("global")
        } else {
            write!(f, "[{}, {})", self.start, self.end)
        }
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
