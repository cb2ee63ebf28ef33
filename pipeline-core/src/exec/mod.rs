//! Execution: one worker's operators, and the order in which it drives them.

mod chain;
mod worker;

pub(crate) use worker::{Step, Worker};
