//! Asks the service to wait for acknowledgements that take longer than its deadline.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::deliveries::AckIds;
use crate::pubsub::service::PubSub;

/// The most deliveries that are extended by one request.
const REQUEST: usize = 1_000;

/// What is out: it is extended until nobody holds it any more, because it was acknowledged or the run is over.
pub(super) struct Leases {
    out: Mutex<Vec<Lease>>,
    /// Nothing is extended.
    is_idle: bool,
}

struct Lease {
    ids: Weak<AckIds>,
    since: Instant,
}

impl Leases {
    /// Begins to extend, on the runtime that the caller is in; without one, or where the service's client does it,
    /// nothing is.
    pub(super) fn start(service: &Arc<dyn PubSub>, subscription: &str) -> Arc<Leases> {
        let leases = Arc::new(Leases {
            out: Mutex::default(),
            is_idle: service.extends_leases(),
        });
        if let Ok(runtime) = Handle::try_current()
            && !service.extends_leases()
        {
            let (service, subscription) = (Arc::clone(service), subscription.to_owned());
            runtime.spawn(Arc::clone(&leases).extend(service, subscription));
        }
        leases
    }

    /// Takes note of a pull.
    pub(super) fn add(&self, ids: &Arc<AckIds>) {
        if self.is_idle {
            return;
        }
        let lease = Lease {
            ids: Arc::downgrade(ids),
            since: Instant::now(),
        };
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.push(lease);
    }

    /// Runs until the reader is gone and nothing is out. A request that fails is left to the next one: a deadline that
    /// passes meanwhile costs a redelivery, and what is wrong for good the reader hears of by itself.
    async fn extend(self: Arc<Self>, service: Arc<dyn PubSub>, subscription: String) {
        let deadline = service.ack_deadline(&subscription);
        let period = (deadline / 4).max(Duration::from_millis(1));
        while Arc::strong_count(&self) > 1 || self.is_out() {
            tokio::time::sleep(period).await;
            for ids in self.due(deadline / 2).chunks(REQUEST) {
                let extended = service.modify_ack_deadline(&subscription, ids, deadline);
                let _ = extended.await;
            }
        }
    }

    fn is_out(&self) -> bool {
        let out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.iter().any(|lease| lease.ids.strong_count() > 0)
    }

    /// Returns the deliveries that have been out for `age` since they were extended last.
    fn due(&self, age: Duration) -> Vec<String> {
        let now = Instant::now();
        let mut due = Vec::new();
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.retain_mut(|lease| {
            if now.duration_since(lease.since) < age {
                return lease.ids.strong_count() > 0;
            }
            let Some(ids) = lease.ids.upgrade() else {
                return false;
            };
            ids.add_to(&mut due);
            lease.since = now;
            true
        });
        due
    }
}
