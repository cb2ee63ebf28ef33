//! How much memory accumulators take before an exchange, where there is a limit.
//!
//! Their number bounds a table, but not what they own: a list of values grows with each. So what
//! comes in is added up, from samples, and when it might be too much the accumulators themselves
//! are weighed: a sum is as small as before.

use serde::Serialize;

use crate::coder::encode_to;
use crate::state::fold_table::FLUSH_BYTES;
use crate::state::spill::Share;

/// One element in so many is weighed where they come one by one.
const EVERY: u32 = 64;

pub(super) struct Gauge {
    share: Share,
    limited: bool,
    /// The bytes at which a table is flushed.
    most: u64,
    /// What an entry takes besides what it owns.
    entry: u64,
    /// What the accumulators weighed when they were last looked at, and what has come since.
    held: u64,
    coming: u64,
    published: u64,
    /// The weight of the last sample, and the elements until the next.
    each: u64,
    left: u32,
    scratch: Vec<u8>,
}

impl Gauge {
    pub(super) fn new(share: Share, entry: usize) -> Self {
        Gauge {
            limited: share.bytes() < u64::MAX,
            most: share.bytes().min(FLUSH_BYTES as u64),
            share,
            entry: entry as u64,
            held: 0,
            coming: 0,
            published: 0,
            each: 0,
            left: 0,
            scratch: Vec::new(),
        }
    }

    /// Takes in that so many elements come, of which one is shown.
    pub(super) fn comes(&mut self, elements: usize, sample: Option<&impl Serialize>) {
        if let Some(sample) = sample.filter(|_| self.limited) {
            self.each = self.entry + self.weigh(sample);
            self.coming += self.each * elements as u64;
        }
    }

    /// Takes in that an element comes.
    #[inline]
    pub(super) fn one_comes(&mut self, element: &impl Serialize) {
        if !self.limited {
            return;
        }
        if self.left == 0 {
            self.left = EVERY;
            self.each = self.entry + self.weigh(element);
        }
        self.left -= 1;
        self.coming += self.each;
    }

    /// Tells whether what has come might be too much.
    #[inline]
    pub(super) fn may_be_full(&self) -> bool {
        // Without a limit nothing is added up.
        self.coming > 0 && self.held + self.coming > self.most
    }

    /// Weighs all accumulators, with their keys; returns whether it is time to flush them.
    pub(super) fn is_full(&mut self, mut all: impl Iterator<Item = (u64, u64)>) -> bool {
        let mut weight = 0;
        let enough = self.most / 4 * 3;
        while weight <= enough
            && let Some((key, accumulator)) = all.next()
        {
            weight += self.entry + (key + accumulator) * 3 / 2;
        }
        self.now_holds(weight);
        weight > enough
    }

    /// Takes the weight of what is held now.
    pub(super) fn now_holds(&mut self, weight: u64) {
        if self.limited {
            self.share.holds(self.published, weight);
            (self.held, self.coming, self.published) = (weight, 0, weight);
        }
    }

    fn weigh(&mut self, value: &impl Serialize) -> u64 {
        weigh(value, &mut self.scratch)
    }
}

/// Returns the length of an encoding.
pub(super) fn weigh(value: &impl Serialize, scratch: &mut Vec<u8>) -> u64 {
    scratch.clear();
    // What cannot be encoded is found out at the exchange.
    let _ = encode_to(value, scratch);
    let length = scratch.len();
    if length > 1 << 20 {
        *scratch = Vec::new();
    }
    length as u64
}
