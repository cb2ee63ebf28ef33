//! The end of a source, behind everything else.

use std::sync::Arc;

use crate::error::Error;
use crate::graph::SourceHook;
use crate::source::Source;

/// Makes what closes a source; an error gets the transform's name.
pub(super) fn hook<S: Source>(source: &Arc<S>, path: String) -> SourceHook {
    let source = Arc::clone(source);
    Arc::new(move || {
        let (source, path) = (Arc::clone(&source), path.clone());
        Box::pin(async move {
            let closed = source.close().await;
            closed.map_err(|error| Error::source_failed("close", &path, error))
        })
    })
}
