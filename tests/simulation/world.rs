//! What survives the crashes of a job: the messages of a topic, and tables.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use pipeline_core::ManualClock;
use pipeline_core::prelude::*;
use serde::{Deserialize, Serialize};

/// SplitMix64: the same numbers for a seed, for ever.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Event {
    pub id: u64,
    pub key: u8,
    pub second: i64,
}

/// How far behind the greatest time an event may come.
pub const DISORDER: i64 = 30;

#[derive(Default)]
pub struct State {
    /// All events, by id.
    pub events: Vec<Event>,
    /// What waits to be delivered, by part.
    pub queues: [VecDeque<u64>; 2],
    /// Delivered and not acknowledged.
    pub out: BTreeSet<u64>,
    pub acknowledged: BTreeSet<u64>,
    /// Where all rows go that a sink has committed, by its name.
    pub tables: BTreeMap<&'static str, Table>,
    pub files: BTreeMap<&'static str, Staged>,
    /// What must never be, however it ends.
    pub wrong: BTreeSet<&'static str>,
    /// The topic delivers again whatever a position does not have, so that a job can go on from an
    /// older snapshot; tables then know their rows.
    pub replays: bool,
    /// A part that has nothing waits for the other, and the clock goes on meanwhile.
    pub lingers: bool,
    /// The clock of this life, and whether something was delivered since it moved.
    pub clock: Option<Arc<ManualClock>>,
    pub delivered: bool,
    /// The sink that fails whatever it is asked in this life.
    pub broken: Option<&'static str>,
    /// How long a write takes: others take so many turns.
    pub slow: u64,
    /// Draws what this life does by chance; it goes on over all lives.
    pub random: Option<Random>,
    /// So many may be delivered and not acknowledged; the topic then waits.
    pub permits: usize,
    /// After so many further calls from outside the life ends.
    pub fuse: u64,
}

#[derive(Default)]
pub struct Table {
    /// The last epoch that was committed.
    pub mark: u64,
    pub rows: Vec<String>,
}

/// What a file holds: nobody sees it before the run has finished.
#[derive(Default)]
pub struct Staged {
    pub epochs: BTreeMap<u64, Vec<String>>,
    pub published: Vec<String>,
}

#[derive(Clone, Default)]
pub struct World(Arc<Mutex<State>>);

/// The message of a crash.
pub const CRASH: &str = "crash";

impl World {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Fills the topic.
    pub fn publish(&self, count: u64, random: &mut Random) {
        let mut state = self.lock();
        let mut second = 0;
        for id in 0..count {
            second += random.below(20) as i64;
            let behind = random.below(DISORDER as u64) as i64;
            state.events.push(Event {
                id,
                key: random.below(5) as u8,
                second: second - behind,
            });
            state.queues[(id % 2) as usize].push_back(id);
        }
        state.random = Some(random.clone());
    }

    /// Begins another life: what was not acknowledged will be delivered again.
    pub fn redeliver(&self) {
        let mut state = self.lock();
        let out = std::mem::take(&mut state.out);
        for id in out.into_iter().rev() {
            state.queues[(id % 2) as usize].push_front(id);
        }
    }

    /// Ends the life when its time has come.
    pub fn tick(&self) -> Result<(), Error> {
        let mut state = self.lock();
        state.fuse = state.fuse.saturating_sub(1);
        match state.fuse {
            0 => Err(Error::connector(CRASH)),
            _ => Ok(()),
        }
    }

    pub fn is_full(&self) -> bool {
        let state = self.lock();
        state.out.len() >= state.permits
    }

    pub fn one_in(&self, n: u64) -> bool {
        let mut state = self.lock();
        state.random.as_mut().is_none_or(|random| random.one_in(n))
    }
}
