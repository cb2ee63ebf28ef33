//! What a run may hold in memory, and the embedded store that takes what is beyond it.
//!
//! The store is [fjall](https://docs.rs/fjall) (feature `spill`, on by default): a log-structured
//! tree in safe Rust, kept up for years with a release every few weeks, half of whose dependencies
//! are ours already, so that a cold build costs some 20 CPU seconds at most. What is spilled comes
//! as whole sorted runs, which it takes in as they are, without journal or memtable, and is read
//! once, in order. redb's copy-on-write tree rewrites pages for such bulk (cberner/redb#822);
//! rocksdb is minutes of C++; SQLite takes rows one at a time, and is C.
//!
//! Two ways lead there. Groups that need not be read until their window fires go as partial groups,
//! a window at a time (`window/groups/aligned/spilled.rs`). State that a further element of its key needs
//! goes key by key, and comes back with that element or when it is due: [`Evicted`].
//!
//! Nothing here outlives the process: the folder is emptied when the store is opened and removed
//! with it, and nothing waits for the disk to be safe.

#[cfg(not(feature = "spill"))]
mod absent;
mod evicted;
#[cfg(feature = "spill")]
mod fjall;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;

#[cfg(not(feature = "spill"))]
use absent as engine;
#[cfg(feature = "spill")]
use fjall as engine;

pub(crate) use engine::{Area, Bytes, Scan};
pub(crate) use evicted::{Batch, Due, Evicted};

/// The length of a key at most.
pub(crate) const LONGEST_KEY: usize = 60 << 10;

/// How the records of an area are written and read.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// In sorted runs; each record is read once, in order.
    Runs,
    /// Small ones, looked up by a key that may not be there.
    Index,
    /// In order from the first on, which is then forgotten; some are looked up before.
    Queue,
}

impl Form {
    /// Returns the name of the area.
    #[cfg(feature = "spill")]
    fn name(self) -> &'static str {
        match self {
            Form::Runs => "runs",
            Form::Index => "index",
            Form::Queue => "queue",
        }
    }
}

/// Takes the key and the value of a record.
pub(crate) type Put<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;

/// Tells whether there is a store.
pub(crate) const IS_THERE: bool = cfg!(feature = "spill");

/// What the operators of a run may hold, what they do hold, and where the rest goes.
#[derive(Default)]
pub(crate) struct Memory {
    /// The bytes that one grouping may hold on one worker; `None`: whatever comes.
    share: Option<u64>,
    folder: PathBuf,
    store: Mutex<Option<engine::Store>>,
    /// The estimate of what each node holds, by its id, on all workers.
    held: Vec<AtomicU64>,
}

impl Memory {
    /// Makes the memory of a run of so many nodes; beyond `share` goes into `folder`.
    pub(crate) fn new(nodes: usize, share: Option<u64>, folder: PathBuf) -> Self {
        Memory {
            share,
            folder,
            store: Mutex::default(),
            held: (0..nodes).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Returns the estimate of what each node holds, by its id.
    pub(crate) fn held(&self) -> impl Iterator<Item = u64> {
        self.held.iter().map(|held| held.load(Ordering::Relaxed))
    }
}

/// The share of one operator on one worker.
#[derive(Clone, Default)]
pub(crate) struct Share {
    memory: Arc<Memory>,
    node: usize,
    worker: usize,
}

impl Share {
    pub(crate) fn new(memory: &Arc<Memory>, node: usize, worker: usize) -> Self {
        Share {
            memory: Arc::clone(memory),
            node,
            worker,
        }
    }

    /// Returns the bytes that may be held.
    pub(crate) fn bytes(&self) -> u64 {
        self.memory.share.unwrap_or(u64::MAX)
    }

    /// Says that the estimate has gone from `before` to `now`.
    pub(crate) fn holds(&self, before: u64, now: u64) {
        if let Some(held) = self.memory.held.get(self.node)
            && before != now
        {
            held.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// Opens an area of its own in the store, one of each form.
    pub(crate) fn open(&self, form: Form) -> Result<Area> {
        let store = self.memory.store.lock();
        let mut store = store.unwrap_or_else(PoisonError::into_inner);
        let store = match &mut *store {
            Some(store) => store,
            none => none.insert(engine::Store::open(&self.memory.folder)?),
        };
        store.area(self.node, self.worker, form)
    }
}
