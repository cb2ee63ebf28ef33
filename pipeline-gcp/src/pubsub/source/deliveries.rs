//! What is out, and who is to acknowledge it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::time::Instant;

use super::intake::Intake;
use crate::pubsub::service::PubSub;

/// Acknowledges what a pull gave; as long as it is held, the service is asked to wait. What is dropped in place of
/// being acknowledged is given back.
pub struct Deliveries(pub(super) Arc<AckIds>);

/// The ack ids of a pull. Whoever is to acknowledge them holds them.
pub(super) struct AckIds {
    service: Arc<dyn PubSub>,
    subscription: Arc<str>,
    /// `None` when somebody has begun to acknowledge them.
    ids: Mutex<Option<Vec<String>>>,
    released: Arc<OnceLock<Instant>>,
    intake: Arc<Intake>,
}

impl AckIds {
    pub(super) fn new(
        service: &Arc<dyn PubSub>,
        subscription: &Arc<str>,
        ids: Vec<String>,
        intake: &Arc<Intake>,
    ) -> Arc<AckIds> {
        intake.out.fetch_add(1, Ordering::SeqCst);
        Arc::new(AckIds {
            service: Arc::clone(service),
            subscription: Arc::clone(subscription),
            ids: Mutex::new(Some(ids)),
            released: Arc::default(),
            intake: Arc::clone(intake),
        })
    }

    /// Has another delivery of one of the messages acknowledged with them; gives it back if that is too late.
    ///
    /// Acknowledged by itself it would tell the service that the message is done with, while what became of its first
    /// delivery is not safe yet.
    pub(super) fn join(&self, ack_id: String) -> Option<String> {
        match &mut *self.ids() {
            Some(ids) => {
                ids.push(ack_id);
                None
            }
            None => Some(ack_id),
        }
    }

    /// Takes the ids, to acknowledge them.
    pub(super) fn take(&self) -> Vec<String> {
        self.ids().take().unwrap_or_default()
    }

    /// Counts acknowledgements that have failed.
    pub(super) fn count_failed(&self, failed: u64) {
        if let Some(counter) = &self.intake.state().not_acknowledged {
            counter.add(failed);
        }
    }

    /// Returns the ids that are out, after those in `all`.
    pub(super) fn add_to(&self, all: &mut Vec<String>) {
        all.extend(self.ids().iter().flatten().cloned());
    }

    /// Returns where stands when they were released.
    pub(super) fn released(&self) -> Arc<OnceLock<Instant>> {
        Arc::clone(&self.released)
    }

    fn ids(&self) -> MutexGuard<'_, Option<Vec<String>>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AckIds {
    fn drop(&mut self) {
        let ids = self.take();
        // A service whose client holds the leases gives back when the pulling ends: before, it would bring what comes
        // again on the streams that are about to end.
        if !ids.is_empty() && !self.service.extends_leases() {
            self.service.give_back(&self.subscription, &ids);
        }
        let _ = self.released.set(Instant::now());
        self.intake.out.fetch_sub(1, Ordering::SeqCst);
    }
}
