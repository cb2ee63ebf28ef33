//! Pub/Sub, against everything that speaks its protocol.

mod contract;
mod pipelines;
mod services;
mod throughput;
mod trouble;
