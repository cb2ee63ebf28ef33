//! What a listener hears of committed appends.

use std::sync::Arc;

/// Reports rows that an append has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// Name of the table.
    pub table: String,
    /// Ids of the rows that are new in the table, in order; rows without an id are not listed.
    pub row_ids: Vec<String>,
}

/// A listener; it is called after the commit and before the append returns.
pub(super) type Journal = Arc<dyn Fn(JournalEntry) + Send + Sync>;
