//! Tests that cross crates; and the README, whose program is run as a test.

/// The README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
