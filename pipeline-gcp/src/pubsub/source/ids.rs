//! The ids that the readers of a run have taken in, as long as they are remembered.
//!
//! Of an id only a digest is kept: the first 16 bytes of its SHA-256. For a new id to be taken for a known one, two
//! digests must be equal by chance: among n of them the odds are n² in 2¹²⁹; and whoever chooses ids cannot find two
//! that are.
//!
//! They are kept in runs, of each reader its own, in the order in which they were taken in. A run is one pull until a
//! snapshot is taken; the pulls up to there become one run, and a piece of the reader's position, which snapshots write
//! once, and which is remembered and forgotten as a whole.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use pipeline_core::Counter;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::deliveries::AckIds;

/// What a snapshot holds besides the pieces: the number of each run and, in milliseconds, for how long it has been
/// acknowledged.
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
    known: HashMap<Id, Pull>,
    parts: Vec<Part>,
    remember: Duration,
    forgotten: Option<Counter>,
}

/// Says with which pull an id was taken in.
#[derive(Clone, Copy)]
struct Pull {
    part: u32,
    number: u64,
}

/// What is known of an id.
pub(super) enum Known {
    /// It was not, and is now.
    New,
    /// It was taken in before; with it, what is to acknowledge that one, unless it has been.
    Before(Option<Arc<AckIds>>),
}

/// The ids of one reader.
#[derive(Default)]
struct Part {
    /// In the order in which they were taken in: first the runs of snapshots, then one for each pull.
    runs: VecDeque<Run>,
    /// So many of them are in the last snapshot, or have nothing for one.
    sealed: usize,
    /// The number of the next piece.
    next: u64,
    /// The number of the last pull.
    pulls: u64,
}

/// Ids that are remembered together.
struct Run {
    /// The number of its last pull.
    last: u64,
    /// What is in snapshots: the number, and the ids one behind the other.
    piece: Option<(u64, Bytes)>,
    /// Those that are to be in the next snapshot.
    new: Vec<Id>,
    /// Those that never are.
    passing: Vec<Id>,
    /// When the last was acknowledged or, if that was in an earlier life, when this one began.
    at: Instant,
    /// How long ago it had been then.
    age: Duration,
    out: Vec<Out>,
}

/// What acknowledges a pull: held as long as it has not, and when that was over.
struct Out {
    ids: Weak<AckIds>,
    released: Arc<OnceLock<Instant>>,
}

impl Run {
    fn new(pull: u64, at: Instant, age: Duration) -> Run {
        Run {
            last: pull,
            piece: None,
            new: Vec::new(),
            passing: Vec::new(),
            at,
            age,
            out: Vec::new(),
        }
    }

    fn is_out(&self) -> bool {
        self.out.iter().any(|out| out.ids.strong_count() > 0)
    }

    /// Says for how long nobody has held any of them.
    fn age(&mut self, now: Instant) -> Duration {
        let at = &mut self.at;
        self.out.retain(|out| {
            let is_out = out.ids.strong_count() > 0;
            if !is_out {
                // Who is letting go at this moment has not said so yet.
                *at = (*at).max(out.released.get().copied().unwrap_or(now));
            }
            is_out
        });
        match self.out.is_empty() {
            true => self.age + now.saturating_duration_since(self.at),
            false => Duration::ZERO,
        }
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
    pub(super) fn new(parts: usize, remember: Duration) -> Self {
        Ids {
            known: HashMap::new(),
            parts: (0..parts).map(|_| Part::default()).collect(),
            remember,
            forgotten: None,
        }
    }

    pub(super) fn count_forgotten(&mut self, counter: Counter) {
        self.forgotten = Some(counter);
    }

    /// Begins a pull of a part; forgets what has been remembered long enough.
    pub(super) fn begin(&mut self, part: usize) {
        let now = Instant::now();
        let part = &mut self.parts[part];
        while let Some(oldest) = part.runs.front_mut()
            && oldest.age(now) > self.remember
        {
            for id in oldest.ids() {
                self.known.remove(&id);
                if let Some(counter) = &self.forgotten {
                    counter.add(1);
                }
            }
            part.runs.pop_front();
            part.sealed = part.sealed.saturating_sub(1);
        }
        part.pulls += 1;
        let run = Run::new(part.pulls, now, Duration::ZERO);
        part.runs.push_back(run);
    }

    /// Takes note of an id of the pull that a part has begun. One that does not last is none in another life.
    pub(super) fn take_in(&mut self, part: usize, id: &str, lasts: bool) -> Known {
        let id = digest(id);
        let known = match self.known.entry(id) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let own = &mut self.parts[part];
                new.insert(Pull {
                    part: part as u32,
                    number: own.pulls,
                });
                if let Some(pull) = own.runs.back_mut() {
                    let ids = match lasts {
                        true => &mut pull.new,
                        false => &mut pull.passing,
                    };
                    ids.push(id);
                }
                return Known::New;
            }
        };
        let runs = &self.parts[known.part as usize].runs;
        let run = runs.get(runs.partition_point(|run| run.last < known.number));
        // The pulls of a run are acknowledged together, with their snapshot.
        Known::Before(run.and_then(|run| run.out.iter().find_map(|out| out.ids.upgrade())))
    }

    /// Ends the pull: its ids are remembered until `out` is dropped, and from then on for the time set.
    pub(super) fn until(&mut self, part: usize, out: &Arc<AckIds>) {
        let runs = &mut self.parts[part].runs;
        if let Some(pull) = runs.back_mut() {
            pull.out.push(Out {
                ids: Arc::downgrade(out),
                released: out.released(),
            });
            if pull.ids().next().is_none() {
                runs.pop_back();
            }
        }
    }

    /// Returns what a snapshot is to hold of a part, and the pieces. What is not acknowledged is as if it had just
    /// come: it will be delivered again, who knows when.
    pub(super) fn saved(&mut self, part: usize) -> (SavedIds, Vec<(u64, Bytes)>) {
        let part = &mut self.parts[part];
        part.seal();
        let now = Instant::now();
        let mut saved = SavedIds::new();
        let mut pieces = Vec::new();
        for run in &mut part.runs {
            let age = millis(run.age(now));
            if let Some((number, bytes)) = &run.piece {
                saved.push((*number, age));
                pieces.push((*number, bytes.clone()));
            }
        }
        (saved, pieces)
    }

    /// Takes back what a snapshot holds of a part.
    pub(super) fn restore(&mut self, part: usize, saved: SavedIds, pieces: &[(u64, Bytes)]) {
        let now = Instant::now();
        let ages: HashMap<u64, u64> = saved.into_iter().collect();
        let own = &mut self.parts[part];
        for (number, bytes) in pieces {
            let age = ages.get(number).copied().unwrap_or_default();
            own.pulls += 1;
            let pull = Pull {
                part: part as u32,
                number: own.pulls,
            };
            self.known.extend(ids_in(bytes).map(|id| (id, pull)));
            own.runs.push_back(Run {
                piece: Some((*number, bytes.clone())),
                ..Run::new(own.pulls, now, Duration::from_millis(age))
            });
            own.next = own.next.max(number + 1);
        }
        own.sealed = own.runs.len();
    }
}

impl Part {
    /// Makes runs of the pulls since the last snapshot: one, in a job, for all of them are out.
    fn seal(&mut self) {
        let mut pulls = self.runs.split_off(self.sealed).into_iter().peekable();
        while let Some(mut run) = pulls.next() {
            let is_out = run.is_out();
            while let Some(pull) = pulls.next_if(|pull| pull.is_out() == is_out) {
                run.last = pull.last;
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
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
