//! The timestamps at which a stage holds the watermark.

use std::collections::BTreeMap;

use crate::time::Timestamp;

/// The ranges that are kept at most: some megabytes.
const MOST: usize = 256 << 10;

/// Counts the timestamps that are still to be emitted, where that is needed.
///
/// What is on disk holds the watermark, too. So that it takes no memory here, timestamps beside
/// each other are counted together when there are very many: the watermark then waits for the last
/// of them, by as much as they are apart, and is never early.
pub(crate) struct Holds {
    ranges: Option<BTreeMap<Timestamp, Range>>,
    /// There are ranges of several timestamps.
    is_coarse: bool,
    most: usize,
}

/// Some timestamps, from the one under which it is found on.
struct Range {
    last: Timestamp,
    count: usize,
}

impl Holds {
    /// Holds the watermark at the timestamps that it is told.
    pub(crate) fn counting() -> Self {
        Holds {
            ranges: Some(BTreeMap::new()),
            is_coarse: false,
            most: MOST,
        }
    }

    /// Never holds the watermark: for outputs that are never before the input watermark.
    pub(crate) fn none() -> Self {
        Holds {
            ranges: None,
            ..Holds::counting()
        }
    }

    /// Moves a hold from `before` (if it had one) to `after` (if it has one).
    #[inline]
    pub(crate) fn replace(&mut self, before: Option<Timestamp>, after: Option<Timestamp>) {
        let Some(ranges) = &mut self.ranges else {
            return;
        };
        if before == after {
            return;
        }
        let is_coarse = self.is_coarse;
        // No two ranges have a timestamp in common, and none ever loses one: what was counted in
        // a range is found there.
        let range_of = |ranges: &BTreeMap<Timestamp, Range>, at: Timestamp| match is_coarse {
            true => ranges
                .range(..=at)
                .next_back()
                .filter(|(_, range)| at <= range.last)
                .map(|(first, _)| *first),
            false => Some(at),
        };
        if let Some(first) = before.and_then(|at| range_of(ranges, at))
            && let Some(range) = ranges.get_mut(&first)
        {
            range.count -= 1;
            if range.count == 0 {
                ranges.remove(&first);
                self.is_coarse &= !ranges.is_empty();
            }
        }
        if let Some(at) = after {
            let first = range_of(ranges, at).unwrap_or(at);
            let range = ranges.entry(first);
            range.or_insert(Range { last: at, count: 0 }).count += 1;
            if ranges.len() > self.most {
                self.join();
            }
        }
    }

    /// Makes one range of every two.
    #[cold]
    fn join(&mut self) {
        let mut single = self.ranges.take().unwrap_or_default().into_iter();
        let mut pairs = BTreeMap::new();
        while let Some((first, mut range)) = single.next() {
            if let Some((_, next)) = single.next() {
                range.last = next.last;
                range.count += next.count;
            }
            pairs.insert(first, range);
        }
        self.ranges = Some(pairs);
        self.is_coarse = true;
    }

    /// Returns the earliest hold, or a time before it where there are very many.
    pub(crate) fn earliest(&self) -> Timestamp {
        let first = self.ranges.as_ref().and_then(BTreeMap::first_key_value);
        first.map_or(Timestamp::MAX, |(first, _)| *first)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_earliest_counts_until_its_last_holder_has_gone() {
        let at = |millis| Some(Timestamp::from_millis(millis));
        let mut holds = Holds::counting();
        assert_eq!(holds.earliest(), Timestamp::MAX);
        holds.replace(None, at(5));
        holds.replace(None, at(5));
        holds.replace(None, at(7));
        holds.replace(at(5), None);
        assert_eq!(Some(holds.earliest()), at(5));
        holds.replace(at(5), at(6));
        assert_eq!(Some(holds.earliest()), at(6));
        holds.replace(at(6), at(6));
        holds.replace(at(6), at(8));
        assert_eq!(Some(holds.earliest()), at(7));
        holds.replace(at(7), None);
        holds.replace(at(8), None);
        assert_eq!(holds.earliest(), Timestamp::MAX);
    }

    #[test]
    fn where_nothing_holds_nothing_is_counted() {
        let mut holds = Holds::none();
        holds.replace(None, Some(Timestamp::MIN));
        assert_eq!(holds.earliest(), Timestamp::MAX);
    }

    proptest! {
        #[test]
        fn very_many_hold_a_little_longer_and_never_less(
            steps in prop::collection::vec((any::<prop::sample::Index>(), -40..40_i64, 0..5_u8), 0..200),
            most in 2..40_usize,
        ) {
            let mut holds = Holds { most, ..Holds::counting() };
            let (mut held, mut joined) = (Vec::new(), false);
            for (index, to, what) in steps {
                let before = match what {
                    0..3 => None,
                    _ if held.is_empty() => None,
                    _ => Some(held.swap_remove(index.index(held.len()))),
                };
                let after = (what < 4).then_some(Timestamp::from_millis(to));
                held.extend(after);
                holds.replace(before, after);
                let ranges = holds.ranges.as_ref().map_or(0, BTreeMap::len);
                prop_assert!(ranges <= most);
                joined |= holds.is_coarse;
                let earliest = held.iter().min().copied().unwrap_or(Timestamp::MAX);
                // The first range begins at or before it, and reaches it.
                let range = holds.ranges.as_ref().and_then(BTreeMap::first_key_value);
                match range {
                    Some((first, range)) => {
                        prop_assert!(*first <= earliest && earliest <= range.last);
                        prop_assert!(joined || *first == earliest);
                    }
                    None => prop_assert_eq!(earliest, Timestamp::MAX),
                }
                let counted = holds.ranges.iter().flat_map(BTreeMap::values).map(|r| r.count);
                prop_assert_eq!(counted.sum::<usize>(), held.len());
            }
        }
    }
}
