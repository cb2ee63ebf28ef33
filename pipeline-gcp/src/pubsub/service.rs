//! Describes the service: what a program asks of Pub/Sub, in the cloud or in the process.

use std::time::Duration;

use async_trait::async_trait;

use super::message::{InvalidMessage, Message, NewMessage};

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

/// Says why the service did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PubSubError(Box<PubSubErrorKind>);

/// Names what went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PubSubErrorKind {
    /// There is no such topic.
    #[error("topic {topic:?} does not exist; create it first")]
    TopicNotFound {
        /// The topic.
        topic: String,
    },
    /// There is no such subscription.
    #[error("subscription {subscription:?} does not exist; create it first")]
    SubscriptionNotFound {
        /// The subscription.
        subscription: String,
    },
    /// The subscription is there, but to another topic.
    #[error(
        "subscription {subscription:?} is to topic {actual:?}, not to {wanted:?}; take another name for it"
    )]
    OtherTopic {
        /// The subscription.
        subscription: String,
        /// The topic that it is to.
        actual: String,
        /// The topic that was asked for.
        wanted: String,
    },
    /// The topic was closed.
    #[error("topic {topic:?} is closed; nothing more can be published to it")]
    TopicClosed {
        /// The topic.
        topic: String,
    },
    /// A message breaks a limit; none of its request is published.
    #[error(
        "message {index} (from 0) of {number} for topic {topic:?} cannot be published: {reason}"
    )]
    InvalidMessage {
        /// The topic.
        topic: String,
        /// The place of the message in the request.
        index: usize,
        /// How many messages the request has.
        number: usize,
        /// The limit.
        reason: InvalidMessage,
    },
    /// A pull asked for no message.
    #[error("a pull from {subscription:?} must ask for at least one message")]
    NoMessagesAsked {
        /// The subscription.
        subscription: String,
    },
    /// An ack deadline is over [`MAX_ACK_DEADLINE`].
    #[error(
        "an ack deadline of {deadline:?} is longer than the {MAX_ACK_DEADLINE:?} that Pub/Sub allows"
    )]
    DeadlineTooLong {
        /// The deadline asked for.
        deadline: Duration,
    },
    /// The service cannot be reached or is overloaded; the same request may succeed later.
    #[error("Pub/Sub could not {operation}: {reason}; it may succeed when tried again")]
    Unavailable {
        /// What was asked, for example `publish to "chat"`.
        operation: String,
        /// What the service or the network said.
        reason: String,
    },
}

impl PubSubError {
    /// Names what went wrong.
    pub fn kind(&self) -> &PubSubErrorKind {
        &self.0
    }

    /// Tells whether the same request may succeed when tried again.
    pub fn is_transient(&self) -> bool {
        matches!(*self.0, PubSubErrorKind::Unavailable { .. })
    }
}

impl From<PubSubErrorKind> for PubSubError {
    fn from(kind: PubSubErrorKind) -> Self {
        Self(Box::new(kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_transient() {
        let busy = PubSubErrorKind::Unavailable {
            operation: "pull from \"s\"".into(),
            reason: "503".into(),
        };
        let error = PubSubError::from(busy);
        assert!(error.is_transient());
        assert_eq!(
            error.to_string(),
            "Pub/Sub could not pull from \"s\": 503; it may succeed when tried again"
        );
        let error = PubSubError::from(PubSubErrorKind::TopicClosed { topic: "t".into() });
        assert!(!error.is_transient());
        assert!(matches!(error.kind(), PubSubErrorKind::TopicClosed { topic } if topic == "t"));
    }
}
