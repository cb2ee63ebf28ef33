//! What a run returns.

use super::epochs::SnapshotCounts;
use crate::metrics::MetricsSnapshot;

/// Says how a run ended, if not by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All input was processed.
    Finished,
    /// The run was stopped ([`StopHandle`](super::StopHandle)): what had been read was processed
    /// and committed; windows and timers that were open did not fire.
    Stopped {
        /// The number of (key, window) whose elements were in memory only and are gone.
        abandoned_groups: u64,
    },
    /// The run was stopped and takes snapshots: a later run over the same folder goes on from the
    /// last one, which holds everything that had been read.
    Suspended {
        /// The epoch of that snapshot.
        epoch: u64,
        /// The number of (key, window) that it holds.
        open_groups: u64,
    },
}

/// Holds the outcome of a run.
#[derive(Clone, Debug)]
pub struct RunResult {
    pub(super) end: End,
    pub(super) metrics: MetricsSnapshot,
    pub(super) snapshots: Option<SnapshotCounts>,
}

impl RunResult {
    /// Returns how the run ended.
    pub fn end(&self) -> End {
        self.end
    }

    /// Returns what the snapshots came to; `None` where none are taken.
    pub fn snapshots(&self) -> Option<SnapshotCounts> {
        self.snapshots
    }

    /// Returns the counts, which print as a table.
    pub fn metrics(&self) -> &MetricsSnapshot {
        &self.metrics
    }
}
