//! Clients belong to the runtime that drives their connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::runtime::{Handle, Id};

/// Holds one client for each runtime in which it is used: a service outlives runs, several may run at once, and each
/// run has a runtime of its own, with which the connections of the clients made in it end.
pub(crate) struct PerRuntime<T>(Arc<Clients<T>>);

type Clients<T> = Mutex<HashMap<Id, Arc<T>>>;

impl<T: Send + Sync + 'static> PerRuntime<T> {
    pub(crate) fn new() -> Self {
        PerRuntime(Arc::default())
    }

    /// Returns the client of the current runtime; makes one if there is none.
    ///
    /// Two calls at once may both make one; the first that is made is kept.
    pub(crate) async fn get<E>(
        &self,
        make: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let here = Handle::current().id();
        if let Some(client) = lock(&self.0).get(&here) {
            return Ok(Arc::clone(client));
        }
        let made = Arc::new(make().await?);
        let mut clients = lock(&self.0);
        if let Some(client) = clients.get(&here) {
            return Ok(Arc::clone(client));
        }
        clients.insert(here, Arc::clone(&made));
        drop(clients);
        let ends = Ends {
            clients: Arc::downgrade(&self.0),
            here,
        };
        // A task ends with its runtime, at the latest.
        tokio::spawn(async move {
            let _ends = ends;
            std::future::pending::<()>().await;
        });
        Ok(made)
    }

    /// Returns the client of the current runtime, if there is one.
    pub(crate) fn here(&self) -> Option<Arc<T>> {
        let here = Handle::try_current().ok()?.id();
        lock(&self.0).get(&here).cloned()
    }

    /// Returns the clients of all runtimes.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        lock(&self.0).values().cloned().collect()
    }
}

/// Forgets a client when its runtime ends.
struct Ends<T> {
    clients: Weak<Clients<T>>,
    here: Id,
}

impl<T> Drop for Ends<T> {
    fn drop(&mut self) {
        // Dropped behind the lock: it may be anything.
        let _client = self
            .clients
            .upgrade()
            .and_then(|clients| lock(&clients).remove(&self.here));
    }
}

fn lock<T>(clients: &Clients<T>) -> MutexGuard<'_, HashMap<Id, Arc<T>>> {
    clients.lock().unwrap_or_else(PoisonError::into_inner)
}
