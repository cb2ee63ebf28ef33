//! Carries messages through Pub/Sub, in the cloud's terms: topics, subscriptions, acknowledgements.
//!
//! [`PubSub`] is the service as a program sees it. `CloudPubSub` (feature `gcp`) is Google's, or an emulator;
//! [`LocalPubSub`] is a topic within the process that keeps the same rules, for runs without a cloud and for tests.
//! [`PubSubSource`] reads a subscription in a pipeline, [`PubSubSink`] publishes a collection, and [`dead_letter`]
//! makes messages of bad records and takes them back. Message types, limits and errors are common to all.
//!
//! Rules follow Google's documentation of Pub/Sub: "Subscription overview", "Pull subscriptions", "Exactly-once
//! delivery", "Message ordering" and "Quotas and limits".
//!
//! # What is promised
//! | | promise | shown on |
//! |---|---|---|
//! | a message's effect | once, in a run with snapshots: it is acknowledged behind the snapshot that holds its effects, and known by its id when it comes again | stand-in, fake, server by script, through crashes |
//! | publishing | at least once; with an id attribute, what comes twice has the same id | the same |
//! | order | of an ordering key, from the sink to one reader | all |
//! | what cannot be used | is a dead letter with the reason, the others go on | all; what the service refuses: server by script |
//! | a dead or silent endpoint | an error that names the call, within the deadline | server by script; the emulator, killed |
//!
//! # Not seen against Google itself
//! The tests run against the stand-in, Google's emulator, the fake of Google's Go client, and a server of ours that
//! keeps Google's documented rules and fails by script. Only that last one has shown: acknowledgements of exactly-once
//! subscriptions that fail; UNAVAILABLE, RESOURCE_EXHAUSTED, PERMISSION_DENIED; silence; flow control; messages
//! that do not match a schema; leases that end. The emulator takes nothing back of a stream that has ended: what a run
//! gave back comes there when its lease has passed, a part of it after several.
//!
//! # Not noticed
//! Google's client opens a broken stream again, for ever and without a word, and says nothing of acknowledgements
//! that fail in a subscription that is not exactly-once. A subscription from which nothing comes is asked for by
//! another call; a service that answers that one, and never the stream, is not told from one that has nothing to bring.

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
