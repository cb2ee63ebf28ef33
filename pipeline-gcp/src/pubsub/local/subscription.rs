//! Keeps the messages of one subscription: waiting, out, acknowledged. It knows no waiting and is told the time.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::message::Message;
use super::super::service::{NotAcknowledged, ReceivedMessage};
use super::redelivery::Shuffle;
use super::{Counters, JournalEntry, Settings};

/// What a message counts against the backlog besides its data and attributes, in bytes.
///
/// About what the memory of a small message with one attribute was measured to exceed these by.
pub const MESSAGE_OVERHEAD: usize = 1_024;

/// Holds the messages of one subscription that are not acknowledged.
pub(super) struct Subscription {
    name: Arc<str>,
    settings: Settings,
    shuffle: Option<Shuffle>,
    /// All messages held, by the order of publishing.
    messages: HashMap<u64, Held>,
    next_message: u64,
    /// The deliveries that wait, as messages; one message may wait several times.
    ready: VecDeque<u64>,
    /// The deliveries that are out, by ack id.
    out: HashMap<u64, Out>,
    /// The deadlines of what is out, with the ack id.
    deadlines: BTreeSet<(Instant, u64)>,
    closed: bool,
    /// Ordering keys are kept in order.
    ordered: bool,
    backlog: usize,
    counters: Counters,
}

struct Held {
    message: Message,
    size: usize,
    /// Deliveries made so far.
    attempts: u32,
    /// Acknowledgements still wanted.
    wanted: u32,
}

struct Out {
    message: u64,
    deadline: Instant,
}

impl Subscription {
    /// Makes the subscription created as number `number`.
    pub(super) fn new(
        name: &str,
        number: u64,
        settings: Settings,
        closed: bool,
        ordered: bool,
    ) -> Self {
        Self {
            name: name.into(),
            shuffle: settings
                .redelivery
                .map(|redelivery| Shuffle::new(redelivery, number)),
            settings,
            messages: HashMap::new(),
            next_message: 0,
            ready: VecDeque::new(),
            out: HashMap::new(),
            deadlines: BTreeSet::new(),
            closed,
            ordered,
            backlog: 0,
            counters: Counters::default(),
        }
    }

    /// Tells whether the backlog has reached its limit.
    pub(super) fn is_full(&self) -> bool {
        self.backlog >= self.settings.backlog
    }

    /// Takes a message in, full or not.
    pub(super) fn push(&mut self, message: Message, size: usize) {
        let number = self.next_message;
        self.next_message += 1;
        let in_order = self.ordered && !message.ordering_key().is_empty();
        let wanted = match &mut self.shuffle {
            Some(shuffle) if !in_order => shuffle.hold(number),
            _ => {
                self.ready.push_back(number);
                1
            }
        };
        let size = size + MESSAGE_OVERHEAD;
        self.messages.insert(
            number,
            Held {
                message,
                size,
                attempts: 0,
                wanted,
            },
        );
        self.backlog += size;
        self.counters.published += 1;
        self.release();
    }

    /// Says that nothing more will be pushed.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.release();
    }

    /// Tells whether the topic is closed and nothing waits.
    pub(super) fn is_drained(&self) -> bool {
        self.closed && self.ready.is_empty()
    }

    /// Gives up to `most` deliveries, taking their ack ids from `next_ack`.
    pub(super) fn take(
        &mut self,
        most: usize,
        next_ack: &mut u64,
        now: Instant,
    ) -> Vec<ReceivedMessage> {
        self.expire(now);
        let number = most.min(self.ready.len());
        let mut received = Vec::with_capacity(number);
        for message in self.ready.drain(..number) {
            // A message is held until all its deliveries are acknowledged, and this one is not.
            let Some(held) = self.messages.get_mut(&message) else {
                continue;
            };
            held.attempts = held.attempts.saturating_add(1);
            let ack = *next_ack;
            *next_ack += 1;
            let deadline = now + self.settings.ack_deadline;
            self.out.insert(ack, Out { message, deadline });
            self.deadlines.insert((deadline, ack));
            self.counters.delivered += 1;
            self.counters.redelivered += u64::from(held.attempts > 1);
            self.settings.journal.write(|| JournalEntry::Delivered {
                subscription: Arc::clone(&self.name),
                message: held.message.clone(),
                delivery_attempt: held.attempts,
            });
            received.push(ReceivedMessage {
                ack_id: ack.to_string(),
                delivery_attempt: held.attempts,
                message: held.message.clone(),
            });
        }
        received
    }

    /// Gives the next deadline of what is out.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Acknowledges what is still out; returns what is not.
    pub(super) fn acknowledge(&mut self, ack_ids: &[String], now: Instant) -> Vec<NotAcknowledged> {
        self.expire(now);
        let mut late = Vec::new();
        for ack_id in ack_ids {
            let Some(out) = self.call_in(ack_id) else {
                self.counters.late_acknowledgements += 1;
                late.push(NotAcknowledged {
                    ack_id: ack_id.clone(),
                    reason: "its ack deadline had passed".to_owned(),
                });
                continue;
            };
            let Some(held) = self.messages.get_mut(&out.message) else {
                continue;
            };
            held.wanted -= 1;
            let (message, wanted, size) = (held.message.clone(), held.wanted, held.size);
            if wanted == 0 {
                self.messages.remove(&out.message);
                self.backlog -= size;
            }
            self.counters.acknowledged += 1;
            self.settings.journal.write(|| JournalEntry::Acknowledged {
                subscription: Arc::clone(&self.name),
                message,
            });
        }
        late
    }

    /// Sets the deadline of what is still out; zero lets it wait again.
    pub(super) fn modify_ack_deadline(
        &mut self,
        ack_ids: &[String],
        deadline: Duration,
        now: Instant,
    ) {
        self.expire(now);
        for ack_id in ack_ids {
            let Some(out) = self.call_in(ack_id) else {
                continue;
            };
            if deadline.is_zero() {
                self.wait_again(out.message);
            } else if let Ok(ack) = ack_id.parse() {
                let deadline = now + deadline;
                self.out.insert(ack, Out { deadline, ..out });
                self.deadlines.insert((deadline, ack));
            }
        }
    }

    /// Reads the counters.
    pub(super) fn counters(&mut self, now: Instant) -> Counters {
        self.expire(now);
        let held_back = self.shuffle.as_ref().map_or(0, Shuffle::held);
        Counters {
            outstanding: self.out.len() as u64,
            undelivered: (self.ready.len() + held_back) as u64,
            backlog_bytes: self.backlog as u64,
            ..self.counters
        }
    }

    /// Removes a delivery from what is out, if it is.
    fn call_in(&mut self, ack_id: &str) -> Option<Out> {
        let ack = ack_id.parse().ok()?;
        let out = self.out.remove(&ack)?;
        self.deadlines.remove(&(out.deadline, ack));
        Some(out)
    }

    /// Lets wait again whatever has passed its deadline.
    fn expire(&mut self, now: Instant) {
        while let Some(&(deadline, ack)) = self.deadlines.first()
            && deadline <= now
        {
            self.deadlines.pop_first();
            if let Some(out) = self.out.remove(&ack) {
                self.wait_again(out.message);
            }
        }
    }

    /// Lets a message wait that was out; with it, where order is kept, those of its key that are out behind it.
    fn wait_again(&mut self, message: u64) {
        let Some(key) = self.key_in_order(message) else {
            self.ready.push_back(message);
            return;
        };
        let behind = self
            .out
            .iter()
            .filter(|(_, out)| out.message > message)
            .filter(|(_, out)| self.key_in_order(out.message) == Some(key))
            .map(|(&ack, out)| (ack, out.deadline, out.message));
        let behind: Vec<_> = behind.collect();
        let mut again = vec![message];
        for (ack, deadline, message) in behind {
            self.out.remove(&ack);
            self.deadlines.remove(&(deadline, ack));
            again.push(message);
        }
        // Ahead of those of their key that have not been delivered.
        again.sort_unstable();
        for message in again.into_iter().rev() {
            self.ready.push_front(message);
        }
    }

    fn key_in_order(&self, message: u64) -> Option<&str> {
        let key = self.messages.get(&message)?.message.ordering_key();
        (self.ordered && !key.is_empty()).then_some(key)
    }

    /// Lets wait what was held back and whose place has come.
    fn release(&mut self) {
        let all = self.closed || self.is_full();
        if let Some(shuffle) = &mut self.shuffle {
            self.ready
                .extend(std::iter::from_fn(|| shuffle.release(all)));
        }
    }
}
