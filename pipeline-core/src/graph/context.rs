//! What an operator is told about where it runs.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use super::node::Node;
use super::snapshot::{NodeState, SavedFrames};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event_log::EventLog;
use crate::metrics::{Counter, Metrics};
use crate::state::spill::Memory;

/// What the runner was told about how to run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// A bundle ends after so many elements at the latest; `None`: when the input pauses.
    pub(crate) max_bundle: Option<usize>,
    /// Every edge encodes and decodes its elements.
    pub(crate) encode_edges: bool,
    /// The order of events is drawn from a seed.
    pub(crate) seeded: bool,
    /// Snapshots are taken: sinks commit, and sources are acknowledged, by epoch.
    pub(crate) snapshots: bool,
    /// The bytes of unacknowledged input of a source at which a snapshot is wanted.
    pub(crate) snapshot_bytes: u64,
    /// The elements that a grouping emits at the end of a bundle, before the rest waits for room;
    /// `None`: some batches.
    pub(crate) fire_at_once: Option<usize>,
    /// Acknowledge when the bundle has ended, whether or not its sinks have committed. It exists
    /// to show that the tests of the rule can fail.
    pub(crate) acknowledge_early: bool,
}

/// The bundle that a worker is in.
#[derive(Debug, Default)]
pub(crate) struct Bundle {
    number: Cell<u64>,
    tag: Cell<u64>,
    elements: Cell<u64>,
}

impl Bundle {
    /// Begins the next bundle.
    pub(crate) fn next(&self) {
        self.number.set(self.number.get() + 1);
        self.tag.set(self.number.get());
        self.elements.set(0);
    }

    /// Returns the number of the bundle; bundles of a worker are numbered from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number.get()
    }

    /// Returns the bundle whose commit what is being written belongs to.
    pub(crate) fn tag(&self) -> u64 {
        self.tag.get()
    }

    /// Says that what follows in this bundle belongs to the commit of an earlier one: records
    /// that a sink has refused go on under the bundle they came in.
    pub(crate) fn lower_tag(&self, tag: u64) {
        self.tag.set(self.tag.get().min(tag));
    }

    /// Counts elements that came in from outside.
    pub(crate) fn add_elements(&self, count: usize) {
        self.elements.set(self.elements.get() + count as u64);
    }

    /// Returns the elements that came in since the bundle began.
    pub(crate) fn elements(&self) -> u64 {
        self.elements.get()
    }
}

/// What the sources of a run do that deliver no more when much is unacknowledged, on all workers.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// What waits for a snapshot to be acknowledged.
    pub(crate) waiting: AtomicUsize,
    /// Goes up when one delivers, and when one is not asked because there is no room behind it.
    pub(crate) moves: AtomicUsize,
}

/// What a worker knows of the snapshots that are taken while it runs.
#[derive(Clone, Default)]
pub(crate) struct Epochs {
    /// Everything must come to rest: nothing new may be read.
    pub(crate) pausing: Rc<Cell<bool>>,
    /// The last snapshot of the run has been taken and committed: writers may close.
    pub(crate) is_last_over: Rc<Cell<bool>>,
    /// Bundles before this one are in a committed snapshot.
    pub(crate) committed_before: Rc<Cell<u64>>,
    /// Exchange messages, on all workers, that were made and not yet taken in.
    pub(crate) messages: Arc<AtomicUsize>,
    /// Something has happened since the last snapshot that another should have.
    pub(crate) changed: Arc<AtomicBool>,
    /// Much is unacknowledged: a snapshot should be taken now.
    pub(crate) wanted: Arc<AtomicBool>,
    pub(crate) flow: Arc<Flow>,
    /// What the run resumes from.
    pub(crate) restored: Option<Arc<dyn SavedFrames>>,
    /// An epoch behind the snapshot that the run resumes from, which is damaged or gone: what it
    /// held may have been acknowledged.
    pub(crate) newer: Option<u64>,
}

/// What the workers of a run share, found by node and made by the first that asks.
#[derive(Default)]
pub(crate) struct SharedSlots(Mutex<HashMap<usize, Arc<dyn Any + Send + Sync>>>);

impl SharedSlots {
    fn get_or_make<S: Send + Sync + 'static>(
        &self,
        node: usize,
        make: impl FnOnce() -> Result<S>,
    ) -> Result<Arc<S>> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match slots.get(&node) {
            Some(slot) => Arc::clone(slot),
            None => {
                let slot: Arc<dyn Any + Send + Sync> = Arc::new(make()?);
                slots.insert(node, Arc::clone(&slot));
                slot
            }
        };
        slot.downcast::<S>()
            .map_err(|_| Error::internal("two kinds of state are shared under one node"))
    }
}

/// What the operators of one worker share.
#[derive(Clone)]
pub(crate) struct WorkerContext {
    pub(crate) index: usize,
    pub(crate) workers: usize,
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) event_log: Option<EventLog>,
    pub(crate) slots: Arc<SharedSlots>,
    /// Wakes each worker, by index.
    pub(crate) wakers: Arc<Vec<Waker>>,
    pub(crate) bundle: Rc<Bundle>,
    /// Everything on all workers has come to rest, and one source may go on.
    pub(crate) at_rest: Rc<Cell<bool>>,
    pub(crate) epochs: Epochs,
    /// What the operators of the run may hold in memory.
    pub(crate) memory: Arc<Memory>,
    /// For each sink, the oldest bundle that it has not committed (`u64::MAX`: none).
    pub(crate) uncommitted: Rc<RefCell<Vec<Rc<Cell<u64>>>>>,
}

impl WorkerContext {
    /// Returns the oldest bundle that some sink of this worker has not committed.
    pub(crate) fn oldest_uncommitted(&self) -> u64 {
        let sinks = self.uncommitted.borrow();
        sinks.iter().map(|s| s.get()).min().unwrap_or(u64::MAX)
    }
}

/// What the factory of a node is told.
pub(crate) struct NodeContext<'a> {
    pub(crate) worker: &'a WorkerContext,
    pub(crate) node: &'a Node,
    /// For each output, whether anything consumes it.
    pub(crate) consumed: Vec<bool>,
}

impl NodeContext<'_> {
    /// Returns the node's path.
    pub(crate) fn path(&self) -> Arc<str> {
        Arc::clone(&self.node.path)
    }

    /// Returns this worker's counter of that name for the node.
    pub(crate) fn counter(&self, name: &'static str) -> Counter {
        self.worker.metrics.counter(&self.node.path, name)
    }

    /// Returns what the run before has saved of the node, if this run resumes it.
    pub(crate) fn restored(&self) -> Option<NodeState> {
        let frames = self.worker.epochs.restored.as_ref()?;
        Some(NodeState {
            frames: Arc::clone(frames),
            path: self.path(),
        })
    }

    /// Tells whether anything consumes an output.
    pub(crate) fn output_is_consumed(&self, output: usize) -> bool {
        self.consumed.get(output).copied().unwrap_or(false)
    }

    /// Returns what the workers share at this node.
    pub(crate) fn shared<S: Send + Sync + 'static>(
        &self,
        make: impl FnOnce() -> Result<S>,
    ) -> Result<Arc<S>> {
        self.worker.slots.get_or_make(self.node.id, make)
    }
}
