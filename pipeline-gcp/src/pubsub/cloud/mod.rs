//! Calls Google's Pub/Sub (feature `gcp`).
//!
//! [`CloudPubSub`] is the service behind [`PubSub`]: topics and subscriptions through the REST interface, messages
//! through gRPC, both by Google's own client. An emulator is the same at another address
//! ([`Cloud::endpoint`]).
//!
//! # Acknowledgement
//! The client hands out a handler with each message; it extends the message's lease as long as the handler lives, and
//! gives the message back when it is dropped. The handlers are kept here by ack id until the message is acknowledged
//! or given back, so nobody else need extend a lease ([`PubSub::extends_leases`]).
//!
//! | subscription | [`acknowledge_each`](crate::pubsub::PubSub::acknowledge_each) | what fails |
//! |---|---|---|
//! | at least once | hands it to the client, which sends it within 100 ms | the client does not say: the message comes again |
//! | exactly once | waits until the service has confirmed it; the client tries again what may pass | is returned, with the reason: the message comes again |
//!
//! What comes again is known by its id to [`PubSubSource`](crate::pubsub::PubSubSource). A message that is not
//! acknowledged for [`max_lease`](CloudPubSub::max_lease), one hour at most, is not extended any longer: within another
//! [`lease`](CloudPubSub::lease) it is delivered again, here or to another subscriber, and it is the new delivery whose
//! acknowledgement counts.
//!
//! # Trouble
//! Every call has a [deadline](CloudPubSub::deadline), within which what may pass is tried again. A stream that breaks
//! the client opens again, for ever and without a word; so a subscription from which nothing comes is asked for by
//! another call: when that fails, pulls fail. What is not noticed is a service that answers that call, and not the
//! stream.
//!
//! [`PubSub`]: crate::pubsub::PubSub
//! [`PubSub::extends_leases`]: crate::pubsub::PubSub::extends_leases
//! [`Cloud::endpoint`]: crate::cloud::Cloud::endpoint

mod calls;
mod client;
mod names;
mod publish;
mod pulling;
mod service;

pub use client::{
    CloudPubSub, DEFAULT_ATTEMPTS, DEFAULT_DEADLINE, DEFAULT_LEASE, DEFAULT_OUTSTANDING_BYTES,
    DEFAULT_OUTSTANDING_MESSAGES, MAX_LEASE, MAX_REQUEST_BYTES, MAX_REQUEST_MESSAGES,
};
