//! Delivers messages several times and out of order, as a seed says.

use std::collections::BTreeSet;

use oorandom::Rand64;

/// Asks that every message be delivered several times, in random order, within a window.
///
/// The number of deliveries and the order follow from the seed and the order of publishing alone, whenever and in
/// whatever portions messages are pulled. For that, a delivery is held back until its place has come: until `window`
/// later messages at most are published, or the topic is closed, or the backlog is full, when all held back are let go
/// (the order then follows from the acknowledgements too).
///
/// Every delivery has its own ack id and wants its own acknowledgement; the acknowledgement of one does not call off
/// the others, as the cloud does not promise that either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redelivery {
    /// Chooses numbers and order.
    pub seed: u64,
    /// The most deliveries of a message; each number from 1 to it is as likely. Zero counts as one.
    pub most: u32,
    /// How many later messages may overtake a message. Zero keeps the order.
    pub window: u32,
}

impl Redelivery {
    /// Asks for one to three deliveries within a window of sixteen messages.
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            most: 3,
            window: 16,
        }
    }
}

/// Holds the deliveries whose place has not come.
pub(super) struct Shuffle {
    random: Rand64,
    redelivery: Redelivery,
    /// How many messages were published.
    published: u64,
    /// Ordered by place; a random number parts deliveries of one place.
    held: BTreeSet<(u64, u64, u64)>,
}

impl Shuffle {
    /// Makes the shuffle of the subscription created as number `subscription`.
    pub(super) fn new(redelivery: Redelivery, subscription: u64) -> Self {
        let seed = u128::from(subscription) << 64 | u128::from(redelivery.seed);
        Self {
            random: Rand64::new(seed),
            redelivery,
            published: 0,
            held: BTreeSet::new(),
        }
    }

    /// Takes a message in and gives the number of its deliveries.
    pub(super) fn hold(&mut self, sequence: u64) -> u32 {
        let deliveries = 1 + self
            .random
            .rand_range(0..u64::from(self.redelivery.most.max(1)))
            as u32;
        let mut held = 0;
        while held < deliveries {
            let place = self.published
                + self
                    .random
                    .rand_range(0..u64::from(self.redelivery.window) + 1);
            held += u32::from(self.held.insert((place, self.random.rand_u64(), sequence)));
        }
        self.published += 1;
        deliveries
    }

    /// Gives the next delivery whose place has come, or the next at all.
    pub(super) fn release(&mut self, all: bool) -> Option<u64> {
        // A later message has a place of at least `published`.
        let &(place, _, sequence) = self.held.first()?;
        if !all && place >= self.published {
            return None;
        }
        self.held.pop_first();
        Some(sequence)
    }

    /// Counts the deliveries held back.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }
}
