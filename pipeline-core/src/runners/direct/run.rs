//! One run: what its workers share, and what happens when they have ended.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::task::Waker;

use super::parker::Parker;
use super::result::{End, RunResult};
use super::runner::DirectRunner;
use super::threads::GRACE;
use super::{seeded, threads};
use crate::error::{Error, Result};
use crate::exec::Worker;
use crate::graph::{Graph, Settings, SharedSlots, SinkHook, SinkTask, WorkerContext};
use crate::metrics::Metrics;
use crate::pipeline::BuiltPipeline;
use crate::user_code::at_transform;

/// The elements of a bundle at most, where the input does not end and nothing else was asked.
const STREAMING_BUNDLE: usize = 10_000;

/// What the workers of a run share.
pub(super) struct Run {
    pub(super) runner: DirectRunner,
    pub(super) graph: Arc<Graph>,
    pub(super) workers: usize,
    pub(super) settings: Arc<Settings>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) slots: Arc<SharedSlots>,
    pub(super) parkers: Vec<Arc<Parker>>,
    pub(super) wakers: Arc<Vec<Waker>>,
    /// Some worker has failed: the others drop what they do.
    pub(super) aborted: AtomicBool,
}

impl Run {
    /// Makes the worker with that index; must be called on the thread that will drive it.
    pub(super) fn worker(&self, index: usize) -> Result<Worker> {
        let context = WorkerContext {
            index,
            workers: self.workers,
            settings: Arc::clone(&self.settings),
            clock: Arc::clone(&self.runner.clock),
            metrics: Arc::clone(&self.metrics),
            event_log: self.runner.event_log.clone(),
            slots: Arc::clone(&self.slots),
            wakers: Arc::clone(&self.wakers),
            bundle: Rc::default(),
            at_rest: Rc::default(),
            uncommitted: Rc::default(),
        };
        Worker::new(&self.graph, context)
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::SeqCst)
    }

    pub(super) fn abort(&self) {
        self.aborted.store(true, Ordering::SeqCst);
        self.wakers.iter().for_each(Waker::wake_by_ref);
    }
}

/// Runs a pipeline; see [`DirectRunner::run`].
pub(super) fn run(runner: &DirectRunner, pipeline: &BuiltPipeline) -> Result<RunResult> {
    let graph = pipeline.graph();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = runner.workers.unwrap_or(cores);
    let bounded = graph.collections.iter().all(|c| c.bounded);
    let streaming_bundle = (!bounded).then_some(STREAMING_BUNDLE);
    let parkers: Vec<Arc<Parker>> = (0..workers).map(|_| Arc::default()).collect();
    let wakers = parkers.iter().map(Parker::waker).collect();
    let run = Arc::new(Run {
        runner: runner.clone(),
        workers,
        settings: Arc::new(Settings {
            max_bundle: runner.max_bundle.or(streaming_bundle),
            encode_edges: runner.encode_edges,
            seeded: runner.seed.is_some(),
            acknowledge_early: runner.acknowledge_early,
        }),
        metrics: Arc::new(Metrics::new(graph.nodes.iter().map(|n| &n.path))),
        slots: Arc::default(),
        parkers,
        wakers: Arc::new(wakers),
        aborted: AtomicBool::new(false),
        graph: Arc::clone(graph),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("pipeline-io")
        .enable_all()
        .build()
        .map_err(|error| Error::io("starting the tokio runtime", error))?;
    let abandoned = match runner.seed {
        Some(seed) => seeded::run(&run, seed, runtime.handle()),
        None => threads::run(&run, runtime.handle()),
    };
    let finished = finish(graph, runtime.handle(), abandoned.is_ok());
    // A task that a connector left behind must not hold up the end.
    runtime.shutdown_background();
    let abandoned_groups = abandoned?;
    finished?;
    Ok(RunResult {
        end: if runner.stop.is_stopped() {
            End::Stopped { abandoned_groups }
        } else {
            End::Finished
        },
        metrics: run.metrics.snapshot(),
    })
}

/// Lets every sink publish or clear away what it wrote; returns the first error.
fn finish(graph: &Graph, runtime: &tokio::runtime::Handle, succeeded: bool) -> Result<()> {
    let mut result = Ok(());
    for node in &graph.nodes {
        if let Some(hook) = &node.sink {
            let publish = succeeded && result.is_ok();
            result = result.and(finish_one(&node.path, hook, runtime, publish));
        }
    }
    result
}

/// Finishes one sink on a thread of its own: it is the user's code, which may hang.
fn finish_one(
    path: &str,
    hook: &SinkHook,
    runtime: &tokio::runtime::Handle,
    publish: bool,
) -> Result<()> {
    let (sender, done) = channel();
    let (hook, runtime, owned_path) = (Arc::clone(hook), runtime.clone(), path.to_owned());
    let thread = std::thread::Builder::new().name("pipeline-finish".to_owned());
    let spawned = thread.spawn(move || {
        let finished = at_transform(&owned_path, "finish", || {
            runtime.block_on(hook(SinkTask::Finish(publish)))
        });
        // The receiver is gone only when nobody waits any more.
        let _ = sender.send(finished);
    });
    spawned.map_err(|error| Error::io("starting a thread", error))?;
    // Publishing may take its time; a job that has failed ends all the same.
    let finished = if publish {
        done.recv().ok()
    } else {
        done.recv_timeout(GRACE).ok()
    };
    finished.unwrap_or_else(|| {
        let message = format!("it did not end within {} seconds", GRACE.as_secs());
        Err(Error::user(path, "finish", None, message))
    })
}
