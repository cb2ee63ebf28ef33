//! The function that puts elements into windows.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use super::Window;
use crate::time::Timestamp;

/// Puts elements into windows, and merges the windows of a key where it is a merging one.
///
/// Implement it for a windowing of your own. Two collections may be flattened or co-grouped when
/// their functions are equal (`PartialEq`). A window is an interval of event time or the global
/// window; which windows an element gets depends on its timestamp alone.
///
/// ```
/// use pipeline_core::Timestamp;
/// use pipeline_core::window::{Window, WindowFn};
///
/// /// Days that begin at 04:00 UTC.
/// #[derive(Clone, Debug, PartialEq)]
/// struct BusinessDays;
///
/// impl WindowFn for BusinessDays {
///     fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
///         let (day, four): (i64, i64) = (86_400_000, 4 * 3_600_000);
///         let start = timestamp.millis() - (timestamp.millis() - four).rem_euclid(day);
///         windows.push(Window::interval(
///             Timestamp::from_millis(start),
///             Timestamp::from_millis(start + day),
///         ));
///     }
/// }
///
/// let (hour, mut windows) = (3_600_000, Vec::new());
/// BusinessDays.assign(Timestamp::from_millis(3 * hour), &mut windows);
/// assert_eq!(windows[0].end(), Timestamp::from_millis(4 * hour));
/// ```
pub trait WindowFn: Clone + Debug + PartialEq + Send + Sync + 'static {
    /// Adds to `windows` (empty when called) each window that an element at `timestamp` is in.
    ///
    /// Every element must get at least one window, and each window must hold or end behind the
    /// timestamp; an element without a window ends the job with an error.
    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>);

    /// Tells whether the windows of a key merge at grouping. Default: no.
    fn is_merging(&self) -> bool {
        false
    }

    /// Merges the windows of one key, given in the order of their starts, without repetition.
    ///
    /// Returns the windows that take their place; each given window must be inside one of the
    /// returned ones, and no two returned ones may both hold it. The default merges windows that
    /// intersect, as sessions do. It is called for merging functions only.
    fn merge(&self, windows: &[Window]) -> Vec<Window> {
        merge_intersecting(windows)
    }
}

/// Merges windows that share an instant; `windows` come in the order of their starts.
pub(crate) fn merge_intersecting(windows: &[Window]) -> Vec<Window> {
    let mut merged: Vec<Window> = Vec::with_capacity(windows.len());
    for &window in windows {
        match merged.last_mut() {
            Some(last) if last.intersects(window) => *last = last.span(window),
            _ => merged.push(window),
        }
    }
    merged
}

/// A [`WindowFn`] whose type is forgotten: what a windowing strategy holds.
pub(crate) trait AnyWindowFn: Debug + Send + Sync + Any {
    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>);
    fn is_merging(&self) -> bool;
    fn merge(&self, windows: &[Window]) -> Vec<Window>;
    fn is_global(&self) -> bool;
    fn equals(&self, other: &dyn AnyWindowFn) -> bool;
    fn as_any(&self) -> &dyn Any;
}

impl<W: WindowFn> AnyWindowFn for W {
    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
        WindowFn::assign(self, timestamp, windows);
    }

    fn is_merging(&self) -> bool {
        WindowFn::is_merging(self)
    }

    fn merge(&self, windows: &[Window]) -> Vec<Window> {
        WindowFn::merge(self, windows)
    }

    fn is_global(&self) -> bool {
        self.as_any().is::<super::GlobalWindows>()
    }

    fn equals(&self, other: &dyn AnyWindowFn) -> bool {
        other.as_any().downcast_ref::<W>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

pub(crate) type SharedWindowFn = Arc<dyn AnyWindowFn>;
