//! Carries messages through Pub/Sub, in the cloud's terms: topics, subscriptions, acknowledgements.
//!
//! [`PubSub`] is the service as a program sees it; [`LocalPubSub`] is a topic within the process that keeps the same
//! rules, for runs without a cloud and for tests. [`PubSubSource`] reads a subscription in a pipeline. Message types, limits and errors are common to both.
//!
//! Rules follow Google's documentation of Pub/Sub: "Subscription overview", "Pull subscriptions" and "Quotas and limits".

#[cfg(feature = "gcp")]
pub mod cloud;
pub mod dead_letter;
pub mod error;
pub mod local;
pub mod message;
pub mod service;
pub mod sink;
pub mod source;

#[cfg(feature = "gcp")]
pub use cloud::CloudPubSub;
pub use error::{PubSubError, PubSubErrorKind};
pub use local::{Counters, JournalEntry, LocalPubSub, Redelivery};
pub use message::{InvalidMessage, Message, NewMessage};
pub use service::{NotAcknowledged, PubSub, Pulled, ReceivedMessage, SubscriptionOptions};
pub use sink::{PubSubSink, PubSubWriter};
pub use source::{Deliveries, PubSubPart, PubSubReader, PubSubSource, ReadPubSub};
