//! Describes the service: what a program asks of Pub/Sub, in the cloud or in the process.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;

use super::error::{PubSubError, PubSubErrorKind};
use super::message::{Message, NewMessage};

/// The shortest ack deadline that a subscription may have ("Lease management").
pub const MIN_ACK_DEADLINE: Duration = Duration::from_secs(10);
/// The longest ack deadline that may be asked for ("Lease management").
pub const MAX_ACK_DEADLINE: Duration = Duration::from_secs(600);

/// Publishes to topics and pulls from subscriptions, delivering every message at least once.
///
/// A message goes to every subscription of its topic, in any order. What is delivered is out for the ack deadline; if
/// it is not acknowledged by then it is delivered again, under a new ack id.
///
/// ```
/// # use std::time::Duration;
/// # use pipeline_gcp::pubsub::{LocalPubSub, NewMessage, PubSub, PubSubError, Pulled};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), PubSubError> {
/// let local = LocalPubSub::new();
/// let service: &dyn PubSub = &local;
/// service.create_topic("chat").await?;
/// service.create_subscription("chat-sub", "chat").await?;
/// service.publish("chat", vec![NewMessage::new("hello")]).await?;
///
/// let Pulled::Messages(received) = service.pull("chat-sub", 10).await? else { unreachable!() };
/// assert_eq!(received[0].message.data(), "hello");
/// service.acknowledge("chat-sub", &[received[0].ack_id.clone()]).await?;
/// # Ok(()) }
/// ```
#[async_trait]
pub trait PubSub: Send + Sync {
    /// Creates a topic, unless it is there.
    async fn create_topic(&self, topic: &str) -> Result<(), PubSubError>;

    /// Creates a subscription to a topic, unless it is there. It gets what is published from then on.
    ///
    /// # Errors
    /// [`TopicNotFound`](PubSubErrorKind::TopicNotFound);
    /// [`OtherTopic`](PubSubErrorKind::OtherTopic) if the subscription is there, but to another topic.
    async fn create_subscription(&self, subscription: &str, topic: &str)
    -> Result<(), PubSubError>;

    /// Creates a subscription to a topic with options of its own, unless it is there; one that is there keeps its own.
    ///
    /// # Errors
    /// As [`create_subscription`](PubSub::create_subscription); [`Unsupported`](PubSubErrorKind::Unsupported) where
    /// the service has no such options, which is the default.
    async fn create_subscription_with(
        &self,
        subscription: &str,
        topic: &str,
        options: &SubscriptionOptions,
    ) -> Result<(), PubSubError> {
        if *options != SubscriptionOptions::default() {
            let operation = format!("create subscription {subscription:?} with {options:?}");
            return Err(PubSubErrorKind::Unsupported { operation }.into());
        }
        self.create_subscription(subscription, topic).await
    }

    /// Publishes messages and gives their ids, in the same order.
    ///
    /// Waits while the service takes no more. If the future is dropped, or fails otherwise than with
    /// [`InvalidMessage`](PubSubErrorKind::InvalidMessage), the first messages may have been published and the rest not.
    ///
    /// # Errors
    /// [`InvalidMessage`](PubSubErrorKind::InvalidMessage), before any is published;
    /// [`TopicNotFound`](PubSubErrorKind::TopicNotFound); [`TopicClosed`](PubSubErrorKind::TopicClosed).
    async fn publish(
        &self,
        topic: &str,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<String>, PubSubError>;

    /// Publishes messages, each of which may fail by itself, and says what became of each, in the same order. What
    /// follows a message that failed, of the same ordering key, is not published either
    /// ([`BehindFailed`](PubSubErrorKind::BehindFailed)), unless that one was
    /// [refused for good](PubSubError::is_of_message). Default: [`publish`](PubSub::publish), one after the other.
    async fn publish_each(
        &self,
        topic: &str,
        messages: Vec<NewMessage>,
    ) -> Vec<Result<String, PubSubError>> {
        let mut done = Vec::with_capacity(messages.len());
        let mut failed = HashSet::new();
        for message in messages {
            let key = message.key().to_owned();
            if failed.contains(&key) {
                let topic = topic.to_owned();
                done.push(Err(PubSubErrorKind::BehindFailed { topic, key }.into()));
                continue;
            }
            let published = self.publish(topic, vec![message]).await;
            if let Err(error) = &published
                && !key.is_empty()
                && !error.is_of_message()
            {
                failed.insert(key);
            }
            done.push(published.map(|ids| ids.into_iter().next().unwrap_or_default()));
        }
        done
    }

    /// Waits for messages and gives one to `max_messages` of them.
    ///
    /// A dropped future loses nothing: what it would have given is given to another pull, at the latest after the ack
    /// deadline.
    ///
    /// # Errors
    /// [`SubscriptionNotFound`](PubSubErrorKind::SubscriptionNotFound);
    /// [`NoMessagesAsked`](PubSubErrorKind::NoMessagesAsked) if `max_messages` is zero.
    async fn pull(&self, subscription: &str, max_messages: usize) -> Result<Pulled, PubSubError>;

    /// Acknowledges deliveries, so that they are not repeated. An ack id that is unknown, or whose deadline has
    /// passed, is passed over: its message will be, or has been, delivered under another.
    ///
    /// # Errors
    /// [`SubscriptionNotFound`](PubSubErrorKind::SubscriptionNotFound).
    async fn acknowledge(&self, subscription: &str, ack_ids: &[String]) -> Result<(), PubSubError>;

    /// Acknowledges deliveries, and says which of them are known not to have been: they are delivered again. Default:
    /// [`acknowledge`](PubSub::acknowledge), of which nothing is known.
    ///
    /// # Errors
    /// As [`acknowledge`](PubSub::acknowledge).
    async fn acknowledge_each(
        &self,
        subscription: &str,
        ack_ids: &[String],
    ) -> Result<Vec<NotAcknowledged>, PubSubError> {
        self.acknowledge(subscription, ack_ids).await?;
        Ok(Vec::new())
    }

    /// Hears that nobody is going to acknowledge these deliveries, so that they may be delivered again at once. It
    /// does not wait. Default: nothing, they come again when their deadline has passed.
    fn give_back(&self, _subscription: &str, _ack_ids: &[String]) {}

    /// Ends the pulling from a subscription: gives back what was pulled and not acknowledged, and waits until
    /// acknowledgements have gone out. A later pull begins again. Default: nothing to do.
    async fn end_pulling(&self, _subscription: &str) -> Result<(), PubSubError> {
        Ok(())
    }

    /// Sets the ack deadline of deliveries to `deadline` from now; zero gives them back to be delivered again at once.
    /// Passes over the same ack ids as [`acknowledge`](PubSub::acknowledge).
    ///
    /// # Errors
    /// [`SubscriptionNotFound`](PubSubErrorKind::SubscriptionNotFound);
    /// [`DeadlineTooLong`](PubSubErrorKind::DeadlineTooLong) over [`MAX_ACK_DEADLINE`].
    async fn modify_ack_deadline(
        &self,
        subscription: &str,
        ack_ids: &[String],
        deadline: Duration,
    ) -> Result<(), PubSubError>;

    /// Returns the ack deadline that deliveries of a subscription have at first. Default: 10 s, the shortest that
    /// Pub/Sub has.
    fn ack_deadline(&self, _subscription: &str) -> Duration {
        MIN_ACK_DEADLINE
    }

    /// Tells whether what is out is extended by the service's own client, so that nobody else need do it. Default: no.
    fn extends_leases(&self) -> bool {
        false
    }

    /// Returns how much may be unacknowledged before a subscription gets no more, by the measure of
    /// [`unacknowledged_size`](PubSub::unacknowledged_size). Default: there is no limit.
    fn most_unacknowledged(&self, _subscription: &str) -> Option<u64> {
        None
    }

    /// Returns what a message counts until it is acknowledged. Default: the bytes of its data and attributes.
    fn unacknowledged_size(&self, message: &Message) -> u64 {
        message.size() as u64
    }

    /// Tells whether the service is part of what is saved in a snapshot, so that it delivers again what was
    /// acknowledged behind the snapshot that a run resumes from. Its message ids are new then. Default: no.
    fn replays(&self) -> bool {
        false
    }
}

/// Says how a subscription is to be created.
///
/// ```
/// # use pipeline_gcp::pubsub::SubscriptionOptions;
/// let options = SubscriptionOptions::default().ordered();
/// assert!(options.is_ordered() && !options.is_exactly_once());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct SubscriptionOptions {
    ordered: bool,
    exactly_once: bool,
    ack_deadline: Option<Duration>,
}

impl SubscriptionOptions {
    /// Has the messages of an ordering key delivered in the order in which they were published. Default: not.
    pub fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// Has acknowledgements confirmed, and what is out not delivered again. Default: not.
    pub fn exactly_once(mut self) -> Self {
        self.exactly_once = true;
        self
    }

    /// Sets the ack deadline, 10 to 600 s. Default: the service's, 10 s.
    pub fn ack_deadline(mut self, deadline: Duration) -> Self {
        self.ack_deadline = Some(deadline);
        self
    }

    /// Tells whether ordering keys are kept in order.
    pub fn is_ordered(&self) -> bool {
        self.ordered
    }

    /// Tells whether acknowledgements are confirmed.
    pub fn is_exactly_once(&self) -> bool {
        self.exactly_once
    }

    /// Returns the ack deadline, if one was set.
    pub fn deadline(&self) -> Option<Duration> {
        self.ack_deadline
    }
}

/// Says that a delivery was not acknowledged, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAcknowledged {
    /// The delivery.
    pub ack_id: String,
    /// What the service said.
    pub reason: String,
}

/// Holds what a pull gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// At least one message.
    Messages(Vec<ReceivedMessage>),
    /// The topic is closed and nothing is left to deliver. Only a local topic is ever closed.
    Closed,
}

/// Holds one delivery of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// Names this delivery, to acknowledge it.
    pub ack_id: String,
    /// Counts the deliveries of this message to this subscription, from 1.
    pub delivery_attempt: u32,
    /// The message.
    pub message: Message,
}
