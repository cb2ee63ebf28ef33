//! Servers of ours that fail by script, over the real protocols.

mod proxy;
mod proxy_test;

pub use self::proxy::{Calls, Proxy, Share};
