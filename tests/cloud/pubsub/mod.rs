//! Pub/Sub, against everything that speaks its protocol.
//!
//! - `contract`: what every service promises, over {stand-in, emulator, fake, server by script}.
//! - `trouble`: what a client says and does when calls fail.
//! - `pipelines`, `crashes`: from a subscription to a topic, in good runs and others.
//! - `throughput`: source and sink beside a loop by hand.

mod contract;
mod crashes;
mod kit;
mod pipelines;
mod services;
mod throughput;
mod trouble;
