//! The timestamps at which a stage holds the watermark.

use std::collections::BTreeMap;

use crate::time::Timestamp;

/// Counts the timestamps that are still to be emitted, where that is needed.
pub(crate) struct Holds {
    counts: Option<BTreeMap<Timestamp, usize>>,
}

impl Holds {
    /// Holds the watermark at the timestamps that it is told.
    pub(crate) fn counting() -> Self {
        Holds {
            counts: Some(BTreeMap::new()),
        }
    }

    /// Never holds the watermark: for outputs that are never before the input watermark.
    pub(crate) fn none() -> Self {
        Holds { counts: None }
    }

    /// Moves a hold from `before` (if it had one) to `after` (if it has one).
    #[inline]
    pub(crate) fn replace(&mut self, before: Option<Timestamp>, after: Option<Timestamp>) {
        let Some(counts) = &mut self.counts else {
            return;
        };
        if before == after {
            return;
        }
        if let Some(count) = before.and_then(|at| counts.get_mut(&at)) {
            *count -= 1;
            if *count == 0 {
                before.and_then(|at| counts.remove(&at));
            }
        }
        if let Some(at) = after {
            *counts.entry(at).or_default() += 1;
        }
    }

    /// Returns the earliest hold.
    pub(crate) fn earliest(&self) -> Timestamp {
        match &self.counts {
            Some(counts) => counts.keys().next().copied().unwrap_or(Timestamp::MAX),
            None => Timestamp::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
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
}
