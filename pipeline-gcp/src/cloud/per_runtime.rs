//! Clients belong to the runtime that drives their connections.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Handle, Id};

/// Holds one client for the runtime in which it is used: a service outlives runs, and each run has a runtime of its
/// own, with which the connections of the clients made in it end.
pub(crate) struct PerRuntime<T>(Mutex<Option<(Id, Arc<T>)>>);

impl<T> PerRuntime<T> {
    pub(crate) fn new() -> Self {
        PerRuntime(Mutex::new(None))
    }

    /// Returns the client of the current runtime; makes one if the last was another's.
    ///
    /// Two calls at once may both make one; the later is kept.
    pub(crate) async fn get<E>(
        &self,
        make: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let here = Handle::current().id();
        if let Some((id, client)) = &*self.lock()
            && *id == here
        {
            return Ok(Arc::clone(client));
        }
        let made = Arc::new(make().await?);
        *self.lock() = Some((here, Arc::clone(&made)));
        Ok(made)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Id, Arc<T>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
