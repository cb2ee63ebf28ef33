//! What the state of a key weighs in memory, as of when it was last looked at.
//!
//! To weigh it is to encode it, which is dear where much is kept. So it is done again when it may
//! have changed by much: after twice as many elements each time it has not grown much meanwhile, and
//! after fewer when it has. A bag that grows by equal values is encoded whole when it has grown by
//! about half, so that each of them is encoded two or three times, however many they become.

/// After so many elements it is weighed again at the latest, as a power of two.
const LONGEST: u32 = 6;

/// What weighs more may wait longer, as long as an element costs no more than so many bytes.
const BYTES_PER_ELEMENT: u32 = 64;

/// The weight of one entry, in the space of a word.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weighed {
    bytes: u32,
    /// The elements that are not weighed before the next one is.
    left: u16,
    /// There were so many the last time, as a power of two.
    wait: u8,
    /// It was used since somebody has last asked.
    used: bool,
}

impl Weighed {
    /// Returns the weight, in bytes.
    pub(crate) fn bytes(self) -> u64 {
        u64::from(self.bytes)
    }

    /// Counts a use; returns whether it is to be weighed.
    #[inline]
    pub(crate) fn is_used(&mut self) -> bool {
        self.used = true;
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_none()
    }

    /// Tells whether it was used since this was last asked.
    pub(crate) fn was_used(&mut self) -> bool {
        std::mem::take(&mut self.used)
    }

    /// Takes the weight of what was away, and is now weighed again only if it stays in use.
    pub(crate) fn came_back(bytes: u64) -> Self {
        let wait = LONGEST as u8 / 2;
        Weighed {
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            left: (1 << wait) - 1,
            wait,
            used: true,
        }
    }

    /// Takes its present weight.
    pub(crate) fn weigh(&mut self, bytes: u64) {
        let before = self.bytes;
        self.bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let grown = self.bytes.saturating_sub(before);
        if grown > before {
            self.wait = self.wait.saturating_sub(1);
        } else if grown <= before / 2 {
            let longest = (self.bytes / BYTES_PER_ELEMENT).max(1).ilog2();
            let longest = longest.clamp(LONGEST, u16::BITS - 1) as u8;
            self.wait = (self.wait + 1).min(longest);
        }
        // Zero is not waited for at all.
        self.left = (1 << self.wait) - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uses an entry whose weight after `n` uses is `weight(n)`; returns what weighing has cost in
    /// bytes, and the greatest factor by which it was underestimated.
    fn used(uses: u64, weight: impl Fn(u64) -> u64) -> (u64, u64) {
        let (mut weighed, mut cost, mut most) = (Weighed::default(), 0, 0);
        for n in 1..=uses {
            if weighed.is_used() {
                weighed.weigh(weight(n));
                cost += weight(n);
            }
            most = most.max(weight(n).div_ceil(weighed.bytes()));
        }
        (cost, most)
    }

    #[test]
    fn what_grows_is_weighed_often_enough_and_not_more() {
        let (cost, most) = used(100_000, |n| 200 + 50 * n);
        assert!(cost < 4 * 50 * 100_000, "{cost}");
        assert!(most <= 3, "{most}");
    }

    #[test]
    fn what_stays_is_weighed_seldom() {
        let (cost, most) = used(100_000, |_| 300);
        assert!(cost < 300 * 100_000 / 50, "{cost}");
        assert_eq!(most, 1);
        // However much it is, an element costs little.
        let (cost, _) = used(1_000_000, |_| 5_000_000);
        assert!(cost < 1_000_000 * 600, "{cost}");
    }

    #[test]
    fn what_was_used_is_told_once() {
        let mut weighed = Weighed::default();
        assert!(!weighed.was_used());
        assert!(weighed.is_used());
        assert!(weighed.was_used() && !weighed.was_used());
        weighed.weigh(u64::MAX);
        assert_eq!(weighed.bytes(), u64::from(u32::MAX));
    }
}
