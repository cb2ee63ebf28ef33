//! Servers of ours over Google's protocols, which keep the rules that emulators do not, and fail by script; and a proxy
//! that has a share of the calls to an emulator fail.

pub mod bigquery;
mod proxy;
mod proxy_test;
pub mod pubsub;
pub mod storage;

pub use self::proxy::{Calls, Proxy, Share};
