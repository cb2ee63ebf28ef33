//! The ids that a run has taken in, as long as they are remembered.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use pipeline_core::Counter;
use tokio::time::Instant;

use super::deliveries::AckIds;

/// What a snapshot holds: ids and, in milliseconds, how long ago they were released.
pub(super) type SavedIds = Vec<(u64, Vec<Arc<str>>)>;

/// Remembers ids for a time in which jobs run: an instant is never saved, only an age.
pub(super) struct Ids {
    /// Each with the number of its pull.
    known: HashMap<Arc<str>, u64>,
    /// In the order in which they were taken in.
    pulls: VecDeque<Pull>,
    /// The number of the first of them.
    first: u64,
    remember: Duration,
    forgotten: Option<Counter>,
}

/// The ids of a pull.
struct Pull {
    /// The part that pulled them.
    part: usize,
    ids: Vec<Arc<str>>,
    /// Held as long as they are not acknowledged.
    out: Weak<AckIds>,
    /// When that was over.
    released: Arc<OnceLock<Instant>>,
    /// How old they were then.
    age: Duration,
}

/// What is known of an id.
pub(super) enum Known {
    /// It was not, and is now.
    New,
    /// It was taken in before; with it, what is to acknowledge that one, unless it has been.
    Before(Option<Arc<AckIds>>),
}

impl Pull {
    fn is_out(&self) -> bool {
        self.out.strong_count() > 0
    }

    /// Says for how long nobody has held them.
    fn age(&self) -> Duration {
        match self.released.get() {
            Some(released) if !self.is_out() => self.age + released.elapsed(),
            _ => Duration::ZERO,
        }
    }
}

impl Ids {
    pub(super) fn new(remember: Duration) -> Self {
        Ids {
            known: HashMap::new(),
            pulls: VecDeque::new(),
            first: 0,
            remember,
            forgotten: None,
        }
    }

    pub(super) fn count_forgotten(&mut self, counter: Counter) {
        self.forgotten = Some(counter);
    }

    /// Begins a pull of a part; forgets what has been remembered long enough.
    pub(super) fn begin(&mut self, part: usize) {
        while let Some(oldest) = self.pulls.front()
            && oldest.age() > self.remember
        {
            for id in self.pulls.pop_front().into_iter().flat_map(|p| p.ids) {
                self.known.remove(&id);
                if let Some(counter) = &self.forgotten {
                    counter.add(1);
                }
            }
            self.first += 1;
        }
        self.pulls.push_back(Pull {
            part,
            ids: Vec::new(),
            out: Weak::new(),
            released: Arc::default(),
            age: Duration::ZERO,
        });
    }

    /// Takes note of an id of the pull.
    pub(super) fn take_in(&mut self, id: &str) -> Known {
        if let Some(number) = self.known.get(id) {
            let pull = usize::try_from(number - self.first).ok();
            let pull = pull.and_then(|index| self.pulls.get(index));
            return Known::Before(pull.and_then(|pull| pull.out.upgrade()));
        }
        let id: Arc<str> = id.into();
        if let Some(pull) = self.pulls.back_mut() {
            pull.ids.push(Arc::clone(&id));
            let number = self.first + self.pulls.len() as u64 - 1;
            self.known.insert(id, number);
        }
        Known::New
    }

    /// Ends the pull: its ids are remembered until `out` is dropped, and from then on for the time set.
    pub(super) fn until(&mut self, out: &Arc<AckIds>) {
        if self.pulls.back().is_some_and(|pull| pull.ids.is_empty()) {
            self.pulls.pop_back();
        } else if let Some(pull) = self.pulls.back_mut() {
            pull.out = Arc::downgrade(out);
            pull.released = out.released();
        }
    }

    /// Returns what a snapshot is to hold of a part. What is not acknowledged is as if it had just come: it will be
    /// delivered again, who knows when.
    pub(super) fn saved(&self, part: usize, keep: impl Fn(&str) -> bool) -> SavedIds {
        let pulls = self.pulls.iter().filter(|pull| pull.part == part);
        let pulls = pulls.map(|pull| {
            let ids = pull.ids.iter().filter(|id| keep(id)).cloned();
            (millis(pull.age()), ids.collect())
        });
        pulls.collect()
    }

    /// Takes back what a snapshot holds of a part.
    pub(super) fn restore(&mut self, part: usize, saved: SavedIds) {
        let now = Instant::now();
        for (age, ids) in saved {
            let number = self.first + self.pulls.len() as u64;
            let known = ids.iter().map(|id| (Arc::clone(id), number));
            self.known.extend(known);
            self.pulls.push_back(Pull {
                part,
                ids,
                out: Weak::new(),
                released: Arc::new(now.into()),
                age: Duration::from_millis(age),
            });
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
