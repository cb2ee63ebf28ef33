//! What the readers of one run share: ids, watermark, and the order of keys.

use std::collections::VecDeque;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pipeline_core::source::WatermarkPolicy;
use pipeline_core::{Counter, Error, Result};
use tokio::sync::{Notify, OnceCell};
use tokio::time::{Instant, timeout};

use super::ids::Ids;
use crate::pubsub::service::ReceivedMessage;

/// How long the readers wait for one another to be opened.
const OPENING: Duration = Duration::from_secs(60);

/// How often it is looked whether everything is acknowledged, when nothing comes any more.
const LOOK: Duration = Duration::from_millis(50);

/// Shared by the readers of one run.
pub(super) struct Intake {
    parts: usize,
    pub(super) state: Mutex<State>,
    /// Counts the pulls that are not acknowledged.
    pub(super) out: AtomicUsize,
    /// The subscription is there.
    pub(super) ready: OnceCell<()>,
    /// One reader at a time pulls, where several do: what it pulls it deals out.
    pub(super) pulling: tokio::sync::Mutex<()>,
    lanes: Vec<Lane>,
    opened: Notify,
}

pub(super) struct State {
    pub(super) ids: Ids,
    pub(super) policy: WatermarkPolicy,
    pub(super) not_acknowledged: Option<Counter>,
    /// When something was pulled last.
    pub(super) arrived: Instant,
    opened: usize,
}

/// What waits for one reader.
#[derive(Default)]
struct Lane {
    waiting: Mutex<VecDeque<ReceivedMessage>>,
    arrived: Notify,
}

impl Intake {
    pub(super) fn new(parts: usize, disorder: Duration, remember: Duration) -> Intake {
        Intake {
            parts,
            state: Mutex::new(State {
                ids: Ids::new(parts, remember),
                policy: WatermarkPolicy::with_disorder(disorder),
                not_acknowledged: None,
                arrived: Instant::now(),
                opened: 0,
            }),
            out: AtomicUsize::new(0),
            ready: OnceCell::new(),
            pulling: tokio::sync::Mutex::new(()),
            lanes: (0..parts).map(|_| Lane::default()).collect(),
            opened: Notify::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Tells whether one reader reads everything.
    pub(super) fn is_single(&self) -> bool {
        self.parts == 1
    }

    /// Takes note of a reader that has been opened, and restored.
    pub(super) fn open(&self) {
        self.state().opened += 1;
        self.opened.notify_waiters();
    }

    /// Waits until all readers are open: before, the ids that another has restored are not known.
    pub(super) async fn all_open(&self) -> Result<()> {
        let all = async {
            loop {
                let opened = self.opened.notified();
                if self.state().opened >= self.parts {
                    return;
                }
                opened.await;
            }
        };
        timeout(OPENING, all).await.map_err(|_| {
            Error::connector(format!(
                "not all {} readers of the subscription were opened within {OPENING:?}",
                self.parts
            ))
        })
    }

    /// Takes what waits for a reader.
    pub(super) fn take(&self, part: usize, most: usize) -> Vec<ReceivedMessage> {
        let mut waiting = lock(&self.lanes[part].waiting);
        let number = most.min(waiting.len());
        waiting.drain(..number).collect()
    }

    /// Waits until something is dealt to a reader.
    pub(super) async fn dealt(&self, part: usize) {
        self.lanes[part].arrived.notified().await;
    }

    /// Deals out what one reader has pulled: a message with an ordering key to the reader of that key, so that its
    /// order is kept. Returns what is that reader's own, the others and those without a key.
    pub(super) fn deal(&self, part: usize, received: Vec<ReceivedMessage>) -> Vec<ReceivedMessage> {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let mut own = Vec::with_capacity(received.len());
        for received in received {
            let key = received.message.ordering_key();
            let to = match key {
                "" => part,
                key => (hasher.hash_one(key) % self.parts as u64) as usize,
            };
            // What is the reader's own by its key goes behind what waits for it already.
            if key.is_empty() {
                own.push(received);
            } else {
                lock(&self.lanes[to].waiting).push_back(received);
                self.lanes[to].arrived.notify_one();
            }
        }
        own
    }

    /// Says how long to wait for something to come, where the source ends when nothing has for `quiet`; `None` when it
    /// ends now.
    pub(super) fn patience(&self, quiet: Duration) -> Option<Duration> {
        let left = quiet.saturating_sub(self.state().arrived.elapsed());
        if !left.is_zero() {
            return Some(left);
        }
        let waits = |lane: &Lane| !lock(&lane.waiting).is_empty();
        let busy = self.out.load(Ordering::SeqCst) > 0 || self.lanes.iter().any(waits);
        busy.then_some(LOOK)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
