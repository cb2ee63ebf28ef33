//! What happened in a run, event by event: for tests that replay a run or apply a rule to it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::time::Timestamp;
use crate::window::Window;

/// Something that the engine did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A worker took in a batch from a source or another worker.
    Took {
        /// The worker's index.
        worker: usize,
        /// Path of the source or exchange.
        transform: Arc<str>,
        /// Number of elements.
        elements: usize,
    },
    /// A worker ended a bundle.
    EndedBundle {
        /// The worker's index.
        worker: usize,
    },
    /// A grouping stage was handed elements of one key and window.
    Grouped {
        /// The worker's index.
        worker: usize,
        /// Path of the grouping.
        transform: Arc<str>,
        /// The key, as JSON.
        key: String,
        /// The elements' own window, before any merging.
        window: Window,
        /// Number of elements (several where they were combined before the exchange).
        elements: u64,
        /// The stage's input watermark at that moment.
        watermark: Timestamp,
        /// Whether they were dropped as late.
        dropped: bool,
    },
}

/// Records the events of a run, in order; clones share one record.
#[derive(Clone, Debug, Default)]
pub struct EventLog(Arc<Mutex<Vec<Event>>>);

impl EventLog {
    pub(crate) fn record(&self, event: Event) {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(event);
    }

    /// Takes what was recorded so far.
    pub fn take(&self) -> Vec<Event> {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *events)
    }
}
