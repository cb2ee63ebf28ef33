//! The one window of everything.

use super::{Window, WindowFn};
use crate::time::Timestamp;

/// Puts every element into the global window: the windowing of every source.
///
/// A group over an unbounded collection in the global window would never be emitted, and is
/// refused when the pipeline is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GlobalWindows;

impl WindowFn for GlobalWindows {
    fn assign(&self, _timestamp: Timestamp, windows: &mut Vec<Window>) {
        windows.push(Window::GLOBAL);
    }
}
