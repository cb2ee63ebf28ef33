//! Makes conversations like those of the sample data, any number of them, from a seed.
//!
//! The rules, read off the sample: an order has one conversation, of one courier and one customer who write in turn;
//! either may begin, and only the first message has `chatStartedByMessage`; two to five messages, 1 to 60 s apart; the
//! order event follows the first message as the next record; conversations begin 1 to 60 s after each other, the first
//! after 2024-02-01T10:00:00Z; records are in time order. Unlike in the sample no two messages of the whole stream have
//! the same time, so that its order has one reading.
//!
//! Same seed and number, same bytes: the generator is PCG64 of `oorandom` 11, which keeps its sequence within a major
//! version, and a test holds the bytes of one seed.

mod plan;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use plan::{Planned, Planner};

/// Yields the records of a stream of conversations, one JSON object each, without line feed.
///
/// Holds only the conversations that are open, some thirty messages: any number can be streamed. Key order and spacing are
/// those of the sample data.
///
/// ```
/// # use pipeline_examples::courier_chat::{ChatEvent, Generator, parse};
/// let lines: Vec<String> = Generator::new(7, 100).collect();
/// let orders = lines.iter().filter(|line| matches!(parse(line.as_bytes()), Ok(ChatEvent::Order(_)))).count();
/// assert_eq!(orders, 100);
/// assert_eq!(lines, Generator::new(7, 100).collect::<Vec<_>>());
/// ```
pub struct Generator {
    planner: Planner,
    /// The messages planned but not yet given out, the earliest on top.
    open: BinaryHeap<Reverse<Planned>>,
    /// The order event that follows the first message.
    ready: Option<String>,
}

impl Generator {
    /// Makes a stream of `conversations` conversations from `seed`.
    ///
    /// Even 4 billion conversations, the most, last some 4,000 years; a stream that ran on to the year 10000 would end.
    pub fn new(seed: u64, conversations: u32) -> Self {
        Self {
            planner: Planner::new(seed, conversations),
            open: BinaryHeap::new(),
            ready: None,
        }
    }

    /// Plans conversations until none that is yet unplanned can begin before the earliest open message.
    fn fill(&mut self) {
        while self
            .open
            .peek()
            .is_none_or(|Reverse(next)| self.planner.last_start() < next.time)
        {
            match self.planner.plan() {
                Some(conversation) => self.open.extend(conversation.into_iter().map(Reverse)),
                None => return,
            }
        }
    }
}

impl Iterator for Generator {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if let Some(order_event) = self.ready.take() {
            return Some(order_event);
        }
        self.fill();
        let Reverse(message) = self.open.pop()?;
        if message.first {
            self.ready = Some(message.order_event());
        }
        Some(message.record())
    }
}
