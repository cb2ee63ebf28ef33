//! Windowed programs as data: made from a seed, given to the oracle, and run.

mod engine;
mod expected;
mod generate;
mod random;

use crate::oracle::Windowing;

pub use engine::run;
pub use expected::expected;
pub use random::Random;

/// A step of a stream under control.
#[derive(Clone, Debug)]
pub enum Step {
    /// (key, value, timestamp)
    Elements(Vec<(u32, i64, i64)>),
    Watermark(i64),
}

#[derive(Clone, Debug)]
pub enum Input {
    /// All elements at once, the watermark from MIN to infinity behind them.
    Bounded(Vec<Step>),
    One(Vec<Step>),
    /// The engine reads one of the two to its end, then the other.
    Two(Vec<Step>, Vec<Step>),
}

/// A grouping of pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    ByKey,
    /// A combine (lifted) that keeps every value.
    Combine,
}

/// What is done with the windowed input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Group(Grouping),
    CountPerElement,
    CountPerKey,
    Sum,
    /// Even values to the left and odd ones to the right, or a stream each.
    CoGroup,
    /// The same two sides in one collection.
    Flatten(Grouping),
    /// Group, then a second grouping, in windows of its own or as they are.
    Twice {
        first: Grouping,
        second: Grouping,
        windowing: Option<Windowing>,
        /// The second key is the first one modulo 2.
        rekey: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Plain,
    EncodeEdges,
    OneElementBundles,
    /// On threads, not interleaved from a seed (bounded input only).
    Threads,
}

#[derive(Clone, Debug)]
pub struct Program {
    pub input: Input,
    pub windowing: Windowing,
    /// Of the right side, where there are two: the greater counts.
    pub right_lateness: i64,
    pub shape: Shape,
    pub workers: usize,
    pub mode: Mode,
    pub scheduler_seed: u64,
}

impl Program {
    /// Returns the program without its step number `at`, counted over both streams.
    pub fn without_step(&self, at: usize) -> Option<Program> {
        let mut less = self.clone();
        let (first, second) = match &mut less.input {
            Input::Bounded(steps) | Input::One(steps) => (steps, None),
            Input::Two(left, right) => (left, Some(right)),
        };
        if at < first.len() {
            first.remove(at);
            return Some(less);
        }
        let at = at - first.len();
        let second = second?;
        (at < second.len()).then(|| second.remove(at))?;
        Some(less)
    }
}
