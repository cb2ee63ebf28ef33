//! Names a line by its number and what the input held up to it.

use std::fmt;

/// Names a line; written as text it is the attribute `id` of the message that carries the line.
///
/// The text is the number in twelve digits, `-`, and the hash in sixteen hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineId {
    number: u64,
    hash: u64,
}

impl LineId {
    pub(super) fn new(number: u64, hash: u64) -> Self {
        Self { number, hash }
    }

    /// Gives the number of the line in the input, from 1, blank lines counted.
    pub fn number(self) -> u64 {
        self.number
    }
}

impl fmt::Display for LineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}-{:016x}", self.number, self.hash)
    }
}
