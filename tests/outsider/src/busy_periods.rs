//! Windows that merge while they are short.

use std::time::Duration;

use pipeline_core::Timestamp;
use pipeline_core::window::{Window, WindowFn};

/// Gathers what follows one another within a gap, until a period has lasted long enough: sessions
/// with a greatest length.
#[derive(Clone, Debug, PartialEq)]
pub struct BusyPeriods {
    /// The gap that ends a period.
    pub gap: Duration,
    /// The length from which a period takes in no more.
    pub longest: Duration,
}

fn length(window: Window) -> i64 {
    window.end().millis() - window.start().millis()
}

impl WindowFn for BusyPeriods {
    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
        windows.push(Window::interval(timestamp, timestamp + self.gap));
    }

    fn is_merging(&self) -> bool {
        true
    }

    fn merge(&self, windows: &[Window]) -> Vec<Window> {
        let longest = self.longest.as_millis() as i64;
        let mut merged: Vec<Window> = Vec::new();
        for &window in windows {
            match merged.last_mut() {
                Some(last) if last.intersects(window) && length(last.span(window)) <= longest => {
                    *last = last.span(window);
                }
                _ => merged.push(window),
            }
        }
        merged
    }
}
