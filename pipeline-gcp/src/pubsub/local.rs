//! Serves topics within the process.
//!
//! [`LocalPubSub`] keeps the rules of [`PubSub`] and adds what a run without a cloud needs: a topic can be
//! [closed](LocalPubSub::close), memory is bounded, and tests can ask for seeded redelivery, hear a journal and read
//! counters. Time is tokio's, so a test can pause it.

mod counters;
mod journal;
mod redelivery;
mod subscription;
mod topics;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::error::{PubSubError, PubSubErrorKind};
use super::message::{Message, NewMessage};
use super::service::{MAX_ACK_DEADLINE, NotAcknowledged, PubSub, Pulled, SubscriptionOptions};
pub use counters::Counters;
use journal::Journal;
pub use journal::JournalEntry;
pub use redelivery::Redelivery;
pub use subscription::MESSAGE_OVERHEAD;
use topics::Topics;

/// The ack deadline unless set otherwise.
pub const DEFAULT_ACK_DEADLINE: Duration = Duration::from_secs(10);
/// The backlog of a subscription at which publishers wait, in bytes, unless set otherwise: 64 MiB.
pub const DEFAULT_BACKLOG: usize = 64 << 20;

/// Holds topics and subscriptions in memory, until it is dropped. Share it in an [`Arc`].
///
/// - **Delivery.** Messages are delivered in the order of publishing, redelivered ones after those that wait already.
///   A delivery is out until it is acknowledged, given back, or its deadline passes; the deadline itself is too late.
///   A late acknowledgement has no effect (it is counted): the message is delivered again under a new ack id and wants
///   an acknowledgement of that one. A topic without subscriptions takes messages and forgets them.
/// - **Order.** A subscription that is [ordered](SubscriptionOptions::ordered) delivers the messages of an ordering
///   key in the order of publishing: with one that comes again, those of its key that are out behind it come again.
///   [`Redelivery`] does not touch them.
/// - **Close.** Once a topic is [closed](Self::close), a pull that finds nothing to deliver answers
///   [`Pulled::Closed`], even while deliveries are out. What was out and has come back (given back, deadline passed)
///   is something to deliver: a later pull gets it, even if an earlier one was told `Closed`.
/// - **Memory.** A message counts against the backlog of each of its subscriptions, with [`MESSAGE_OVERHEAD`] bytes
///   for itself, until it is acknowledged there. A publisher waits while any backlog of the topic has reached the
///   limit, so a backlog exceeds it by at most one message. A subscription that nobody pulls from stops the topic.
///
/// Needs a tokio runtime with time.
///
/// ```
/// # use std::time::Duration;
/// # use pipeline_gcp::pubsub::{LocalPubSub, NewMessage, PubSub, PubSubError, Pulled};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), PubSubError> {
/// let service = LocalPubSub::new().with_ack_deadline(Duration::from_secs(60));
/// service.create_topic("chat").await?;
/// service.create_subscription("chat-sub", "chat").await?;
/// service.publish("chat", vec![NewMessage::new("hello")]).await?;
/// service.close("chat")?;
/// assert!(matches!(service.pull("chat-sub", 10).await?, Pulled::Messages(_)));
/// assert_eq!(service.pull("chat-sub", 10).await?, Pulled::Closed);
/// assert_eq!(service.counters("chat-sub")?.outstanding, 1);
/// # Ok(()) }
/// ```
pub struct LocalPubSub {
    topics: Mutex<Topics>,
    /// Wakes pulls: there may be something to deliver, or a topic was closed.
    arrived: Notify,
    /// Wakes publishers: there may be room, or a topic was closed.
    room: Notify,
    clock: Clock,
}

/// Tells the time of publishing: a time of day plus what tokio's clock has run since.
struct Clock {
    time: DateTime<Utc>,
    instant: Instant,
}

/// Holds what applies to all subscriptions.
#[derive(Clone)]
struct Settings {
    ack_deadline: Duration,
    backlog: usize,
    redelivery: Option<Redelivery>,
    journal: Journal,
}

impl LocalPubSub {
    /// Makes a service without topics, with the defaults of this module.
    pub fn new() -> Self {
        let settings = Settings {
            ack_deadline: DEFAULT_ACK_DEADLINE,
            backlog: DEFAULT_BACKLOG,
            redelivery: None,
            journal: Journal::default(),
        };
        Self {
            topics: Mutex::new(Topics::new(settings)),
            arrived: Notify::new(),
            room: Notify::new(),
            clock: Clock {
                time: Utc::now(),
                instant: Instant::now(),
            },
        }
    }

    /// Sets the ack deadline of all deliveries; the default is 10 s, more than 600 s count as 600 s.
    #[must_use]
    pub fn with_ack_deadline(self, deadline: Duration) -> Self {
        self.set(|settings| settings.ack_deadline = deadline.min(MAX_ACK_DEADLINE))
    }

    /// Sets the backlog of a subscription, in bytes, at which publishers wait; the default is 64 MiB.
    ///
    /// Even with zero one message at a time gets through.
    #[must_use]
    pub fn with_backlog(self, bytes: usize) -> Self {
        self.set(|settings| settings.backlog = bytes.max(1))
    }

    /// Delivers every message several times and out of order, for tests.
    #[must_use]
    pub fn with_redelivery(self, redelivery: Redelivery) -> Self {
        self.set(|settings| settings.redelivery = Some(redelivery))
    }

    /// Tells `hear` what happens, one entry after the other, in the order in which it happens.
    ///
    /// `hear` is called while the service is locked: it must be quick and must not call the service.
    #[must_use]
    pub fn with_journal(self, hear: Arc<dyn Fn(JournalEntry) + Send + Sync>) -> Self {
        self.set(|settings| settings.journal = Journal::new(hear))
    }

    /// Sets the time of day from which publish times count; the default is the system's time at [`new`](Self::new).
    #[must_use]
    pub fn with_start_time(mut self, time: DateTime<Utc>) -> Self {
        self.clock = Clock {
            time,
            instant: Instant::now(),
        };
        self
    }

    /// Closes a topic for good: nothing more can be published, and pulls end once everything is delivered.
    ///
    /// Closing it again changes nothing.
    ///
    /// # Errors
    /// [`TopicNotFound`](PubSubErrorKind::TopicNotFound).
    pub fn close(&self, topic: &str) -> Result<(), PubSubError> {
        self.lock().close(topic)?;
        self.arrived.notify_waiters();
        self.room.notify_waiters();
        Ok(())
    }

    /// Reads the counters of a subscription.
    ///
    /// # Errors
    /// [`SubscriptionNotFound`](PubSubErrorKind::SubscriptionNotFound).
    pub fn counters(&self, subscription: &str) -> Result<Counters, PubSubError> {
        Ok(self
            .lock()
            .subscription(subscription)?
            .counters(Instant::now()))
    }

    fn set(self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.lock().settings);
        self
    }

    /// Locks the topics. No state is left half-changed by a panic: the only foreign code called under the lock is the
    /// journal's hook, after the change that it hears of.
    fn lock(&self) -> MutexGuard<'_, Topics> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for LocalPubSub {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LocalPubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalPubSub").finish_non_exhaustive()
    }
}

impl Clock {
    fn now(&self) -> DateTime<Utc> {
        let elapsed = chrono::TimeDelta::from_std(self.instant.elapsed()).unwrap_or_default();
        self.time.checked_add_signed(elapsed).unwrap_or(self.time)
    }
}

#[async_trait]
impl PubSub for LocalPubSub {
    async fn create_topic(&self, topic: &str) -> Result<(), PubSubError> {
        self.lock().create_topic(topic);
        Ok(())
    }

    async fn create_subscription(
        &self,
        subscription: &str,
        topic: &str,
    ) -> Result<(), PubSubError> {
        let options = SubscriptionOptions::default();
        self.create_subscription_with(subscription, topic, &options)
            .await
    }

    async fn create_subscription_with(
        &self,
        subscription: &str,
        topic: &str,
        options: &SubscriptionOptions,
    ) -> Result<(), PubSubError> {
        Ok(self
            .lock()
            .create_subscription(subscription, topic, options)?)
    }

    async fn publish(
        &self,
        topic: &str,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<String>, PubSubError> {
        let number = messages.len();
        for (index, message) in messages.iter().enumerate() {
            message.validate().map_err(|reason| {
                let topic = topic.to_owned();
                PubSubErrorKind::InvalidMessage {
                    topic,
                    index,
                    number,
                    reason,
                }
            })?;
        }
        self.lock().open_topic(topic)?;
        let mut ids = Vec::with_capacity(number);
        for mut message in messages {
            ids.push(loop {
                // Made before the look, so that a wake-up between the look and the wait is not lost.
                let room = self.room.notified();
                match self.lock().publish(topic, message, self.clock.now())? {
                    Ok(id) => break id,
                    Err(refused) => message = refused,
                }
                room.await;
            });
            self.arrived.notify_waiters();
        }
        Ok(ids)
    }

    async fn pull(&self, subscription: &str, max_messages: usize) -> Result<Pulled, PubSubError> {
        if max_messages == 0 {
            return Err(PubSubErrorKind::NoMessagesAsked {
                subscription: subscription.to_owned(),
            }
            .into());
        }
        loop {
            let arrived = self.arrived.notified();
            let expiry = match self
                .lock()
                .pull(subscription, max_messages, Instant::now())?
            {
                Ok(pulled) => return Ok(pulled),
                Err(expiry) => expiry,
            };
            match expiry {
                // Whether it was woken or the time has come, it looks again.
                Some(expiry) => drop(timeout_at(expiry, arrived).await),
                None => arrived.await,
            }
        }
    }

    async fn acknowledge(&self, subscription: &str, ack_ids: &[String]) -> Result<(), PubSubError> {
        self.acknowledge_each(subscription, ack_ids).await?;
        Ok(())
    }

    async fn acknowledge_each(
        &self,
        subscription: &str,
        ack_ids: &[String],
    ) -> Result<Vec<NotAcknowledged>, PubSubError> {
        let late = self
            .lock()
            .subscription(subscription)?
            .acknowledge(ack_ids, Instant::now());
        self.room.notify_waiters();
        Ok(late)
    }

    fn give_back(&self, subscription: &str, ack_ids: &[String]) {
        if let Ok(subscription) = self.lock().subscription(subscription) {
            subscription.modify_ack_deadline(ack_ids, Duration::ZERO, Instant::now());
        }
        self.arrived.notify_waiters();
    }

    async fn modify_ack_deadline(
        &self,
        subscription: &str,
        ack_ids: &[String],
        deadline: Duration,
    ) -> Result<(), PubSubError> {
        if deadline > MAX_ACK_DEADLINE {
            return Err(PubSubErrorKind::DeadlineTooLong { deadline }.into());
        }
        self.lock().subscription(subscription)?.modify_ack_deadline(
            ack_ids,
            deadline,
            Instant::now(),
        );
        self.arrived.notify_waiters();
        Ok(())
    }

    fn ack_deadline(&self, _subscription: &str) -> Duration {
        self.lock().settings.ack_deadline
    }

    fn most_unacknowledged(&self, _subscription: &str) -> Option<u64> {
        Some(self.lock().settings.backlog as u64)
    }

    fn unacknowledged_size(&self, message: &Message) -> u64 {
        (message.size() + MESSAGE_OVERHEAD) as u64
    }
}
