//! An estimate of the memory that groups take.

use serde::Serialize;

use crate::coder::encode_to;
use crate::state::spill::Share;

/// One insertion in so many is weighed.
const EVERY: u32 = 64;

/// Adds up what is inserted, from samples, and publishes it.
///
/// What is weighed is the encoding: values own about that much on the heap. Half as much is added
/// for what allocators, growing vectors and hash tables leave empty.
pub(super) struct Account {
    bytes: u64,
    published: u64,
    /// The insertions that the next sample stands for, and those of them still to come.
    every: u32,
    left: u32,
    pub(super) share: Share,
    scratch: Vec<u8>,
}

impl Account {
    pub(super) fn new() -> Self {
        Account {
            bytes: 0,
            published: 0,
            // The first ones are weighed more often: there may be few, and large.
            every: 1,
            left: 1,
            share: Share::default(),
            scratch: Vec::new(),
        }
    }

    /// Counts an insertion, and tells whether it is to be weighed.
    #[inline]
    pub(super) fn is_sample(&mut self) -> bool {
        self.left -= 1;
        self.left == 0
    }

    /// Takes what an insertion that is a sample has added. `effort`: the bytes that were encoded
    /// to find out; the more, the longer it is until the next sample.
    pub(super) fn sampled(&mut self, grown: u64, effort: u64) {
        self.bytes += (grown + grown / 2) * u64::from(self.every);
        let rest = (effort / 32).min(1 << 20) as u32;
        self.every = (2 * self.every).min(EVERY).max(rest);
        self.left = self.every;
    }

    /// Returns the length of a value's encoding.
    pub(super) fn weigh(&mut self, value: &impl Serialize) -> u64 {
        self.scratch.clear();
        // What cannot be encoded is found out elsewhere.
        let _ = encode_to(value, &mut self.scratch);
        let length = self.scratch.len();
        if length > 1 << 20 {
            self.scratch = Vec::new();
        }
        length as u64
    }

    /// Takes in what was read again, of so many bytes.
    pub(super) fn came_back(&mut self, bytes: u64) {
        self.bytes += bytes + bytes / 2;
    }

    /// Takes so many bytes to be all that is held.
    pub(super) fn is_now(&mut self, bytes: u64) {
        self.bytes = bytes + bytes / 2;
    }

    /// Returns the part of `entries` that has to go for half of the share to be free, by their
    /// average.
    pub(super) fn excess(&self, entries: u64) -> u64 {
        let over = self.bytes.saturating_sub(self.share.bytes() / 2);
        let part = u128::from(entries) * u128::from(over) / u128::from(self.bytes.max(1));
        (part as u64 + 1).min(entries)
    }

    /// Says that of `before` entries there are `now` ones left.
    pub(super) fn left(&mut self, before: u64, now: u64) {
        if now < before {
            let bytes = u128::from(self.bytes) * u128::from(now) / u128::from(before);
            self.bytes = bytes as u64;
        }
    }

    /// Tells whether more is held than may be; says how much to whoever asks.
    pub(super) fn is_over(&mut self) -> bool {
        self.share.holds(self.published, self.bytes);
        self.published = self.bytes;
        self.bytes > self.share.bytes()
    }
}
