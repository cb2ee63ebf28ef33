//! One node of a pipeline on some workers, without an engine around it.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use crate::batch::{Batch, Stamp};
use crate::clock::ManualClock;
use crate::coder::{Element, Key};
use crate::error::Result;
use crate::graph::snapshot::{Frame, NodeState, SavedFrames, StateOut};
use crate::graph::{
    Epochs, Graph, Kind, NodeContext, Operator, Port, Progress, Receiver, Settings, WorkerContext,
};
use crate::metrics::{DROPPED_LATE, Metrics};
use crate::pipeline::{BuiltPipeline, Pipeline};
use crate::state::key_table::partition;
use crate::state::spill::Memory;
use crate::time::Timestamp;
use crate::window::Window;

/// What comes out: the value as text, and its stamp.
pub(super) type Emitted = (String, Stamp);

/// A node, of which there is one of its kind.
pub(super) struct Stage {
    pipeline: BuiltPipeline,
    node: usize,
}

impl Stage {
    pub(super) fn new(kind: Kind, build: impl FnOnce(&Pipeline)) -> Self {
        let pipeline = Pipeline::build(build).unwrap();
        let node = pipeline.graph().nodes.iter().find(|n| n.kind == kind);
        let node = node.unwrap().id;
        Stage { pipeline, node }
    }

    fn graph(&self) -> &Graph {
        self.pipeline.graph()
    }

    /// Returns the windows that an element gets in front of the node.
    pub(super) fn windows(&self, at: Timestamp) -> Vec<Window> {
        let input = self.graph().nodes[self.node].inputs[0];
        let mut windows = Vec::new();
        let windowing = &self.graph().collections[input].windowing;
        windowing.window_fn.assign(at, &mut windows);
        windows
    }

    /// Starts the node on some workers; `show` makes text of what comes out.
    pub(super) fn start<K: Key, V: Element, O: Element>(
        &self,
        workers: usize,
        show: fn(O) -> String,
    ) -> Life<K, V> {
        self.start_within(None, workers, show)
    }

    /// Starts it with so many bytes for what it keeps on each worker.
    pub(super) fn start_within<K: Key, V: Element, O: Element>(
        &self,
        share: Option<u64>,
        workers: usize,
        show: fn(O) -> String,
    ) -> Life<K, V> {
        static LIVES: AtomicU64 = AtomicU64::new(0);
        let life = LIVES.fetch_add(1, Ordering::Relaxed);
        let folder = format!("pipeline-stage-{}-{life}", std::process::id());
        // In memory if there is such a place: many are made.
        let shared = Path::new("/dev/shm");
        let folder = match shared.is_dir() {
            true => shared.join(folder),
            false => std::env::temp_dir().join(folder),
        };
        let memory = Arc::new(Memory::new(self.graph().nodes.len(), share, folder));
        let graph = self.graph();
        let node = &graph.nodes[self.node];
        let metrics = Arc::new(Metrics::new(graph.nodes.iter().map(|n| &n.path)));
        let emitted = Rc::default();
        let start = |index| {
            let context = WorkerContext {
                index,
                workers,
                settings: Arc::new(Settings {
                    max_bundle: None,
                    encode_edges: false,
                    seeded: false,
                    acknowledge_early: false,
                    fire_at_once: None,
                    snapshots: false,
                    snapshot_bytes: 0,
                }),
                clock: Arc::new(ManualClock::default()),
                metrics: Arc::clone(&metrics),
                event_log: None,
                slots: Arc::default(),
                wakers: Arc::new(vec![Waker::noop().clone(); workers]),
                bundle: Rc::default(),
                at_rest: Rc::default(),
                epochs: Epochs::default(),
                memory: Arc::clone(&memory),
                uncommitted: Rc::default(),
            };
            let context = NodeContext {
                worker: &context,
                node,
                consumed: vec![true],
            };
            let collect = Collect {
                emitted: Rc::clone(&emitted),
                show,
            };
            let out = Port::<O>::new(collect).erase();
            let lowered = (node.factory)(&context, vec![out]).unwrap();
            let inputs = lowered.inputs.into_iter().map(|p| p.typed().unwrap());
            Started {
                inputs: inputs.collect(),
                operator: lowered.operator.unwrap(),
            }
        };
        Life {
            workers: (0..workers).map(start).collect(),
            emitted: Rc::clone(&emitted),
            metrics,
            node: self.node,
            path: Arc::clone(&node.path),
        }
    }
}

struct Collect<O> {
    emitted: Rc<RefCell<Vec<Emitted>>>,
    show: fn(O) -> String,
}

impl<O> Receiver<O> for Collect<O> {
    fn push(&mut self, batch: &mut Batch<O>) -> Result<()> {
        let shown = batch
            .drain()
            .map(|(value, stamp)| ((self.show)(value), stamp));
        self.emitted.borrow_mut().extend(shown);
        Ok(())
    }
}

struct Started<K, V> {
    inputs: Vec<Port<(K, V)>>,
    operator: Rc<RefCell<dyn Operator>>,
}

/// A node on its workers, from their start to a snapshot or the end.
pub(super) struct Life<K, V> {
    workers: Vec<Started<K, V>>,
    pub(super) emitted: Rc<RefCell<Vec<Emitted>>>,
    metrics: Arc<Metrics>,
    node: usize,
    path: Arc<str>,
}

/// The frames of one node.
pub(super) struct Frames(pub(super) Vec<Frame>, Arc<str>);

impl SavedFrames for Frames {
    fn for_each(
        &self,
        path: &str,
        name: &str,
        each: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        assert_eq!(path, &*self.1);
        let mut frames = self.0.iter().filter(|frame| frame.name == name);
        frames.try_for_each(|frame| each(&frame.payload))
    }
}

impl<K: Key, V: Element> Life<K, V> {
    /// Brings an element to the worker that owns its key.
    pub(super) fn push(&mut self, input: usize, key: K, value: V, stamp: Stamp) {
        let worker = partition(&key, self.workers.len());
        let mut batch = Batch::default();
        batch.push((key, value), stamp);
        let inputs = &mut self.workers[worker].inputs;
        let input = input % inputs.len();
        inputs[input].push(&mut batch).unwrap();
    }

    /// Ends a bundle on all workers; returns the watermark of what each has put out.
    pub(super) fn end_bundle(&mut self, input: Progress) -> Vec<Timestamp> {
        let workers = self.workers.iter();
        workers
            .map(|w| w.operator.borrow_mut().end_bundle(input).unwrap().watermark)
            .collect()
    }

    pub(super) fn save(&self) -> Arc<Frames> {
        let mut frames = Vec::new();
        for (index, worker) in self.workers.iter().enumerate() {
            let mut emit = |frame| {
                frames.push(frame);
                Ok(())
            };
            let mut out = StateOut::new(self.node, index, &mut emit);
            worker.operator.borrow_mut().save(&mut out).unwrap();
        }
        Arc::new(Frames(frames, Arc::clone(&self.path)))
    }

    pub(super) fn load(&self, frames: &Arc<Frames>) -> Result<()> {
        let frames: Arc<Frames> = Arc::clone(frames);
        let state = NodeState {
            frames,
            path: Arc::clone(&self.path),
        };
        let mut workers = self.workers.iter();
        workers.try_for_each(|w| w.operator.borrow_mut().load(&state))
    }

    pub(super) fn open_groups(&self) -> u64 {
        let workers = self.workers.iter();
        workers.map(|w| w.operator.borrow().open_groups()).sum()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.metrics.snapshot().get(&self.path, DROPPED_LATE)
    }
}
