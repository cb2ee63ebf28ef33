//! Says why the service did not do what it was asked.

use std::time::Duration;

use super::message::InvalidMessage;
use super::service::MAX_ACK_DEADLINE;

/// Says why the service did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct PubSubError(Box<PubSubErrorKind>);

/// Names what went wrong.
#[derive(Clone, Debug, thiserror::Error)]
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
    /// The subscription was there, and is not any more.
    #[error(
        "subscription {subscription:?} is gone: somebody deleted it, or an emulator that was started again has \
         forgotten it; what it held is lost: create it again, and publish again what was not processed"
    )]
    SubscriptionGone {
        /// The subscription.
        subscription: String,
    },
    /// A name is none that Pub/Sub has.
    #[error(
        "{name:?} is no name of a {what}: {reason}; write projects/PROJECT/{what}s/NAME, or NAME alone"
    )]
    InvalidName {
        /// `topic` or `subscription`.
        what: &'static str,
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The service was asked for what it does not have.
    #[error("this Pub/Sub service cannot {operation}")]
    Unsupported {
        /// What was asked.
        operation: String,
    },
    /// The service refused the request, and will again.
    #[error("Pub/Sub refused to {operation}: {reason}")]
    Refused {
        /// What was asked, for example `publish to "chat"`.
        operation: String,
        /// What the service said.
        reason: String,
    },
    /// The service did not do it within the deadline, however often it was asked.
    #[error("Pub/Sub could not {operation} within {elapsed:.1?} ({attempts} attempts): {reason}")]
    GaveUp {
        /// What was asked, for example `publish to "chat"`.
        operation: String,
        /// How often it was asked.
        attempts: u32,
        /// For how long.
        elapsed: Duration,
        /// What the service or the network said last.
        reason: String,
    },
    /// A message was not published, since one before it of the same ordering key was not.
    #[error(
        "not published to {topic:?}: a message before it of ordering key {key:?} was not published"
    )]
    BehindFailed {
        /// The topic.
        topic: String,
        /// The ordering key.
        key: String,
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

impl PubSubError {
    /// Tells whether a message is at fault, and not the request, the service or the network: it can never be
    /// published, and others can.
    pub fn is_of_message(&self) -> bool {
        matches!(*self.0, PubSubErrorKind::InvalidMessage { .. })
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
