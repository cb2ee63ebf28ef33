//! How the groups of a collection are windowed and emitted.

use std::sync::Arc;
use std::time::Duration;

use super::window_fn::SharedWindowFn;
use super::{AnyWindowFn, GlobalWindows, Window, WindowFn};
use crate::time::{Timestamp, millis};

/// Says which timestamp the output of a group gets, from those of its pane's elements (RG,
/// `OutputTime`). The watermark behind the grouping is held at that time until the group is
/// emitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampCombiner {
    /// The window's last instant: holds the watermark least. The default.
    #[default]
    EndOfWindow,
    /// The earliest of the elements' timestamps.
    Earliest,
    /// The latest of the elements' timestamps.
    Latest,
}

impl TimestampCombiner {
    /// Returns the output time of a group whose only element is at `timestamp`.
    pub(crate) fn assign(self, window: Window, timestamp: Timestamp) -> Timestamp {
        match self {
            TimestampCombiner::EndOfWindow => window.max_timestamp(),
            _ => timestamp,
        }
    }

    /// Folds two output times; `window` is that of the merged group.
    pub(crate) fn combine(self, window: Window, a: Timestamp, b: Timestamp) -> Timestamp {
        match self {
            TimestampCombiner::EndOfWindow => window.max_timestamp(),
            TimestampCombiner::Earliest => a.min(b),
            TimestampCombiner::Latest => a.max(b),
        }
    }
}

/// Says what a later pane of a window holds (PG 9.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccumulationMode {
    /// Only what came since the pane before: each element is in exactly one pane. The default.
    #[default]
    Discarding,
    /// All that the window has held so far.
    Accumulating,
}

/// Describes the windowing of a collection.
#[derive(Clone, Debug)]
pub struct WindowingStrategy {
    pub(crate) window_fn: SharedWindowFn,
    pub(crate) allowed_lateness: i64,
    pub(crate) timestamp_combiner: TimestampCombiner,
    pub(crate) accumulation: AccumulationMode,
    /// A grouping has merged the windows; the next one takes them as they are (RG, "merging").
    pub(crate) merged: bool,
}

impl Default for WindowingStrategy {
    fn default() -> Self {
        WindowInto::from(GlobalWindows).strategy
    }
}

impl WindowingStrategy {
    /// Returns when a window's groups are dropped: the end of the window plus the allowed
    /// lateness, at most the end of the global window. An element is late for good when the
    /// watermark is past it (RG, "window expiry").
    pub(crate) fn expiry(&self, window: Window) -> Timestamp {
        window
            .max_timestamp()
            .plus_millis(self.allowed_lateness)
            .min(Timestamp::END_OF_GLOBAL_WINDOW)
    }

    /// Tells whether windows merge at the next grouping.
    pub(crate) fn merges(&self) -> bool {
        self.window_fn.is_merging() && !self.merged
    }

    /// Returns the strategy of what a grouping puts out.
    pub(crate) fn after_grouping(&self) -> WindowingStrategy {
        WindowingStrategy {
            merged: true,
            ..self.clone()
        }
    }

    /// Tells whether elements of the two can be mixed: their functions are equal.
    pub(crate) fn is_compatible(&self, other: &WindowingStrategy) -> bool {
        self.window_fn.equals(&*other.window_fn)
    }

    /// Tells whether every element is in the global window.
    pub(crate) fn is_global(&self) -> bool {
        self.window_fn.is_global()
    }
}

/// Collects what `window_into` takes; any [`WindowFn`] converts into it.
///
/// ```
/// use std::time::Duration;
/// use pipeline_core::window::{AccumulationMode, FixedWindows, WindowInto};
/// let per_minute = WindowInto::new(FixedWindows::of(Duration::from_secs(60)))
///     .allowed_lateness(Duration::from_secs(3600))
///     .accumulation(AccumulationMode::Accumulating);
/// # let _ = per_minute;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct WindowInto {
    pub(crate) strategy: WindowingStrategy,
}

impl WindowInto {
    /// Windows by `window_fn`: no allowed lateness, end of window, discarding panes.
    pub fn new(window_fn: impl WindowFn) -> Self {
        let window_fn: Arc<dyn AnyWindowFn> = Arc::new(window_fn);
        WindowInto {
            strategy: WindowingStrategy {
                window_fn,
                allowed_lateness: 0,
                timestamp_combiner: TimestampCombiner::default(),
                accumulation: AccumulationMode::default(),
                merged: false,
            },
        }
    }

    /// Keeps a window's groups for `lateness` after the watermark has passed its end: elements
    /// that come by then make late panes, those that come later are dropped and counted.
    /// Default: zero.
    pub fn allowed_lateness(mut self, lateness: Duration) -> Self {
        self.strategy.allowed_lateness = millis(lateness);
        self
    }

    /// Chooses the timestamp of a group's output. Default: the end of its window.
    pub fn timestamp_combiner(mut self, combiner: TimestampCombiner) -> Self {
        self.strategy.timestamp_combiner = combiner;
        self
    }

    /// Chooses what later panes of a window hold. Default: discarding.
    pub fn accumulation(mut self, mode: AccumulationMode) -> Self {
        self.strategy.accumulation = mode;
        self
    }
}

impl<W: WindowFn> From<W> for WindowInto {
    fn from(window_fn: W) -> Self {
        WindowInto::new(window_fn)
    }
}
