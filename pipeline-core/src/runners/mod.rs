//! Runners: what executes a pipeline.

pub mod direct;
