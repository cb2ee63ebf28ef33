//! The ids that a reader has taken in, as long as they are remembered.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use pipeline_core::Counter;
use tokio::time::Instant;

use super::leases::AckIds;

/// What a snapshot holds: ids and, in milliseconds, how long ago they were taken in.
pub(super) type SavedIds = Vec<(u64, Vec<Arc<str>>)>;

/// Remembers ids for a time in which jobs run: an instant is never saved, only an age.
pub(super) struct Ids {
    known: HashSet<Arc<str>>,
    /// In the order in which they were taken in.
    pulls: VecDeque<Pull>,
    remember: Duration,
    forgotten: Counter,
}

/// The ids of a pull.
struct Pull {
    ids: Vec<Arc<str>>,
    at: Instant,
    /// How old they were then.
    age: Duration,
    /// Held as long as they are not acknowledged.
    out: Weak<AckIds>,
}

impl Pull {
    fn is_out(&self) -> bool {
        self.out.strong_count() > 0
    }

    fn age(&self, now: Instant) -> Duration {
        self.age + now.duration_since(self.at)
    }
}

impl Ids {
    pub(super) fn new(remember: Duration, forgotten: Counter) -> Self {
        Ids {
            known: HashSet::new(),
            pulls: VecDeque::new(),
            remember,
            forgotten,
        }
    }

    /// Begins a pull; forgets what has been remembered long enough.
    pub(super) fn begin(&mut self) {
        let now = Instant::now();
        while let Some(oldest) = self.pulls.front()
            && !oldest.is_out()
            && oldest.age(now) > self.remember
        {
            for id in self.pulls.pop_front().into_iter().flat_map(|p| p.ids) {
                self.known.remove(&id);
                self.forgotten.add(1);
            }
        }
        self.pulls.push_back(Pull {
            ids: Vec::new(),
            at: now,
            age: Duration::ZERO,
            out: Weak::new(),
        });
    }

    /// Takes note of an id, and tells whether it is new.
    pub(super) fn take_in(&mut self, id: &str) -> bool {
        if self.known.contains(id) {
            return false;
        }
        let id: Arc<str> = id.into();
        self.known.insert(Arc::clone(&id));
        if let Some(pull) = self.pulls.back_mut() {
            pull.ids.push(id);
        }
        true
    }

    /// Ends the pull: its ids are remembered at least until `out` is dropped.
    pub(super) fn until(&mut self, out: &Arc<AckIds>) {
        if self.pulls.back().is_some_and(|pull| pull.ids.is_empty()) {
            self.pulls.pop_back();
        } else if let Some(pull) = self.pulls.back_mut() {
            pull.out = Arc::downgrade(out);
        }
    }

    /// Returns what a snapshot is to hold. What is not acknowledged is as if it had just come: it will be delivered
    /// again, who knows when.
    pub(super) fn saved(&self, keep: impl Fn(&str) -> bool) -> SavedIds {
        let now = Instant::now();
        let pulls = self.pulls.iter().map(|pull| {
            let age = if pull.is_out() {
                Duration::ZERO
            } else {
                pull.age(now)
            };
            let ids = pull.ids.iter().filter(|id| keep(id)).cloned();
            (millis(age), ids.collect())
        });
        pulls.collect()
    }

    /// Takes back what a snapshot holds.
    pub(super) fn restore(&mut self, saved: SavedIds) {
        let now = Instant::now();
        for (age, ids) in saved {
            self.known.extend(ids.iter().cloned());
            self.pulls.push_back(Pull {
                ids,
                at: now,
                age: Duration::from_millis(age),
                out: Weak::new(),
            });
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
