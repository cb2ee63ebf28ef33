//! A call that does not come back is an error, not a silence.

use std::time::Duration;

/// Waits for a call, so long at most; `Err` holds what to say when it took longer.
///
/// What the call would have done may still happen.
pub(crate) async fn within<T>(
    deadline: Duration,
    call: &str,
    future: impl Future<Output = T>,
) -> Result<T, String> {
    tokio::time::timeout(deadline, future)
        .await
        .map_err(|_| format!("{call}: no answer within {deadline:?}"))
}
