//! Pub/Sub, against everything that speaks its protocol.

mod contract;
mod services;
mod trouble;
