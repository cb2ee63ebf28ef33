//! What became of the rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what became of the rows of a [`TableSink`](super::TableSink): each is in exactly one of the three. Clones count
/// the same.
#[derive(Clone, Debug, Default)]
pub struct TableCounts(Arc<[AtomicU64; 3]>);

impl TableCounts {
    /// Returns the number of rows that were written; in a run with snapshots they are visible with their epoch.
    pub fn written(&self) -> u64 {
        self.0[0].load(Ordering::Relaxed)
    }

    /// Returns the number of rows that were there already, by their ids, as far as the service says so.
    pub fn duplicates(&self) -> u64 {
        self.0[1].load(Ordering::Relaxed)
    }

    /// Returns the number of rows that came out as refused.
    pub fn refused(&self) -> u64 {
        self.0[2].load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, written: usize, duplicates: usize, refused: usize) {
        for (count, more) in self.0.iter().zip([written, duplicates, refused]) {
            count.fetch_add(more as u64, Ordering::Relaxed);
        }
    }
}
