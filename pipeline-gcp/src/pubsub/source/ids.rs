//! The ids that a reader has taken in, as long as they are remembered.
//!
//! Of an id only a digest is kept: the first 16 bytes of its SHA-256. For a new id to be taken for a
//! known one, two digests must be equal by chance: among n of them the odds are n² in 2¹²⁹; and
//! whoever chooses ids cannot find two that are.
//!
//! They are kept in runs, in the order in which they were taken in. A run grows until a snapshot is
//! taken; from then on it is a piece of the position, which snapshots write once, and is remembered
//! and forgotten as a whole.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use pipeline_core::Counter;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::leases::AckIds;

/// What a snapshot holds besides the pieces: the number of each run and, in milliseconds, how long
/// ago its last id was taken in.
pub(super) type SavedIds = Vec<(u64, u64)>;

const BYTES: usize = 16;

/// What stands for an id.
type Id = [u8; BYTES];

fn digest(id: &str) -> Id {
    let digest = Sha256::digest(id.as_bytes());
    std::array::from_fn(|at| digest[at])
}

/// Remembers ids for a time in which jobs run: an instant is never saved, only an age.
pub(super) struct Ids {
    known: HashSet<Id>,
    /// In the order in which they were taken in: first the runs of snapshots, then one for each pull.
    runs: VecDeque<Run>,
    /// So many of them are in the last snapshot, or have nothing for one.
    sealed: usize,
    /// The number of the next piece.
    next: u64,
    remember: Duration,
    forgotten: Counter,
}

/// Ids that are remembered together.
struct Run {
    /// What is in snapshots: the number, and the ids one behind the other.
    piece: Option<(u64, Bytes)>,
    /// Those that are to be in the next snapshot.
    new: Vec<Id>,
    /// Those that never are.
    passing: Vec<Id>,
    /// When the last was taken in or, if that was in an earlier life, when this one began.
    at: Instant,
    /// How old it was then.
    age: Duration,
    /// Held as long as they are not acknowledged.
    out: Vec<Weak<AckIds>>,
}

impl Run {
    fn new(at: Instant, age: Duration) -> Run {
        Run {
            piece: None,
            new: Vec::new(),
            passing: Vec::new(),
            at,
            age,
            out: Vec::new(),
        }
    }

    fn is_out(&self) -> bool {
        self.out.iter().any(|out| out.strong_count() > 0)
    }

    fn age(&self, now: Instant) -> Duration {
        self.age + now.duration_since(self.at)
    }

    fn ids(&self) -> impl Iterator<Item = Id> {
        let piece = self.piece.iter().flat_map(|(_, bytes)| ids_in(bytes));
        piece.chain(self.new.iter().chain(&self.passing).copied())
    }
}

fn ids_in(bytes: &[u8]) -> impl Iterator<Item = Id> {
    bytes.as_chunks::<BYTES>().0.iter().copied()
}

impl Ids {
    pub(super) fn new(remember: Duration, forgotten: Counter) -> Self {
        Ids {
            known: HashSet::new(),
            runs: VecDeque::new(),
            sealed: 0,
            next: 0,
            remember,
            forgotten,
        }
    }

    /// Begins a pull; forgets what has been remembered long enough.
    pub(super) fn begin(&mut self) {
        let now = Instant::now();
        while let Some(oldest) = self.runs.front()
            && !oldest.is_out()
            && oldest.age(now) > self.remember
        {
            for id in oldest.ids() {
                self.known.remove(&id);
                self.forgotten.add(1);
            }
            self.runs.pop_front();
            self.sealed = self.sealed.saturating_sub(1);
        }
        self.runs.push_back(Run::new(now, Duration::ZERO));
    }

    /// Takes note of an id, and tells whether it is new. One that does not last is none in another
    /// life.
    pub(super) fn take_in(&mut self, id: &str, lasts: bool) -> bool {
        let id = digest(id);
        let is_new = self.known.insert(id);
        if is_new && let Some(pull) = self.runs.back_mut() {
            let ids = if lasts {
                &mut pull.new
            } else {
                &mut pull.passing
            };
            ids.push(id);
        }
        is_new
    }

    /// Ends the pull: its ids are remembered at least until `out` is dropped.
    pub(super) fn until(&mut self, out: &Arc<AckIds>) {
        if let Some(pull) = self.runs.back_mut() {
            pull.out.push(Arc::downgrade(out));
            if pull.ids().next().is_none() {
                self.runs.pop_back();
            }
        }
    }

    /// Returns what a snapshot is to hold, and the pieces. What is not acknowledged is as if it had
    /// just come: it will be delivered again, who knows when.
    pub(super) fn saved(&mut self) -> (SavedIds, Vec<(u64, Bytes)>) {
        self.seal();
        let now = Instant::now();
        let mut saved = SavedIds::new();
        let mut pieces = Vec::new();
        for run in &mut self.runs {
            run.out.retain(|out| out.strong_count() > 0);
            let age = match run.out.is_empty() {
                true => run.age(now),
                false => Duration::ZERO,
            };
            if let Some((number, bytes)) = &run.piece {
                saved.push((*number, millis(age)));
                pieces.push((*number, bytes.clone()));
            }
        }
        (saved, pieces)
    }

    /// Makes runs of the pulls since the last snapshot: one, in a job, for all of them are out.
    fn seal(&mut self) {
        let mut pulls = self.runs.split_off(self.sealed).into_iter().peekable();
        while let Some(mut run) = pulls.next() {
            let is_out = run.is_out();
            while let Some(pull) = pulls.next_if(|pull| pull.is_out() == is_out) {
                run.new.extend(pull.new);
                run.passing.extend(pull.passing);
                run.out.extend(pull.out);
                run.at = pull.at;
            }
            let ids = std::mem::take(&mut run.new);
            if !ids.is_empty() {
                let bytes: Vec<u8> = ids.into_iter().flatten().collect();
                run.piece = Some((self.next, bytes.into()));
                self.next += 1;
            }
            self.runs.push_back(run);
        }
        self.sealed = self.runs.len();
    }

    /// Takes back what a snapshot holds.
    pub(super) fn restore(&mut self, saved: SavedIds, pieces: &[(u64, Bytes)]) {
        let now = Instant::now();
        let ages: HashMap<u64, u64> = saved.into_iter().collect();
        for (number, bytes) in pieces {
            let (number, age) = (*number, ages.get(number).copied().unwrap_or_default());
            self.known.extend(ids_in(bytes));
            self.runs.push_back(Run {
                piece: Some((number, bytes.clone())),
                ..Run::new(now, Duration::from_millis(age))
            });
            self.next = self.next.max(number + 1);
        }
        self.sealed = self.runs.len();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
