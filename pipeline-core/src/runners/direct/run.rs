//! One run: what its workers share, and what happens when they have ended.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use super::epochs::{SnapshotCounts, mark_finished};
use super::memory::{Guard, memory};
use super::moments::{Disorder, Moment};
use super::parker::Parker;
use super::rest::Rest;
use super::result::{End, RunResult};
use super::runner::DirectRunner;
use super::snapshots::{NodePrint, Saved, Snapshots, prints};
use super::threads::GRACE;
use super::{seeded, threads};
use crate::clock::{Clock, ResumedClock};
use crate::error::{Error, Result};
use crate::exec::Worker;
use crate::graph::{
    Epochs, Flow, Graph, NodeState, PREPARED, Recovery, SavedFrames, Settings, SharedSlots,
    SinkHook, SinkTask, WorkerContext,
};
use crate::metrics::Metrics;
use crate::pipeline::BuiltPipeline;
use crate::state::spill::Memory;
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
    /// Where snapshots are taken: how all workers come to rest.
    pub(super) rest: Option<Rest>,
    pub(super) messages: Arc<AtomicUsize>,
    pub(super) changed: Arc<AtomicBool>,
    pub(super) wanted: Arc<AtomicBool>,
    pub(super) flow: Arc<Flow>,
    pub(super) memory: Arc<Memory>,
    /// Why the run has been given up, if no worker has told yet.
    given_up: Mutex<Option<Error>>,
    restored: Option<Resuming>,
    /// What snapshots say of the graph, where they are taken.
    pub(super) prints: Vec<NodePrint>,
    pub(super) clock: Arc<dyn Clock>,
}

/// What the workers of a run came to.
#[derive(Default)]
pub(super) struct Ended {
    /// The groups that were left open.
    pub(super) open_groups: u64,
    /// The last epoch, and the counts, where snapshots are taken.
    pub(super) snapshots: Option<(u64, SnapshotCounts)>,
    /// The run was stopped behind its last snapshot, and can be resumed.
    pub(super) suspended: bool,
}

impl Run {
    /// Makes the worker with that index; must be called on the thread that will drive it.
    pub(super) fn worker(&self, index: usize) -> Result<Worker> {
        let context = WorkerContext {
            index,
            workers: self.workers,
            settings: Arc::clone(&self.settings),
            clock: Arc::clone(&self.clock),
            metrics: Arc::clone(&self.metrics),
            event_log: self.runner.event_log.clone(),
            slots: Arc::clone(&self.slots),
            wakers: Arc::clone(&self.wakers),
            bundle: Rc::default(),
            at_rest: Rc::default(),
            epochs: Epochs {
                messages: Arc::clone(&self.messages),
                changed: Arc::clone(&self.changed),
                wanted: Arc::clone(&self.wanted),
                flow: Arc::clone(&self.flow),
                restored: self
                    .restored
                    .as_ref()
                    .map(|resuming| Arc::clone(&resuming.saved) as Arc<dyn SavedFrames>),
                newer: self.restored.as_ref().and_then(|resuming| resuming.newer),
                ..Epochs::default()
            },
            memory: Arc::clone(&self.memory),
            uncommitted: Rc::default(),
        };
        Worker::new(&self.graph, context)
    }

    /// Lets a test crash the run at a moment.
    pub(super) fn reach(&self, moment: Moment) -> Result<()> {
        match &self.runner.at_moments {
            Some(at_moments) => at_moments(moment),
            None => Ok(()),
        }
    }

    /// Has the workers end, and one of them tell why.
    pub(super) fn give_up(&self, error: Error) {
        let mut given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        given_up.get_or_insert(error);
        drop(given_up);
        self.abort();
    }

    /// Returns why the run was given up, once.
    pub(super) fn why_given_up(&self) -> Result<()> {
        let mut given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        given_up.take().map_or(Ok(()), Err)
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
    let snapshots = runner.snapshots.as_ref();
    if let Some(snapshots) = snapshots {
        snapshots.use_once()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("pipeline-io")
        .enable_all()
        .build()
        .map_err(|error| Error::io("starting the tokio runtime", error))?;
    let restored = match snapshots {
        Some(snapshots) => resume(runner, snapshots, graph, runtime.handle())?,
        None => None,
    };
    let head = restored.as_ref().map(|resuming| resuming.saved.head());
    let clock: Arc<dyn Clock> = match head {
        Some(head) => Arc::new(ResumedClock::new(Arc::clone(&runner.clock), head.now)),
        None => Arc::clone(&runner.clock),
    };
    let earlier = head.map(|head| head.metrics.clone());
    let metrics = Metrics::new(graph.nodes.iter().map(|n| &n.path));
    let wakers: Arc<Vec<Waker>> = Arc::new(wakers);
    let messages = Arc::default();
    let run = Arc::new(Run {
        runner: runner.clone(),
        workers,
        settings: Arc::new(Settings {
            max_bundle: runner.max_bundle.or(streaming_bundle),
            encode_edges: runner.encode_edges,
            seeded: runner.seed.is_some(),
            fire_at_once: runner.fire_at_once,
            acknowledge_early: runner.acknowledge_early
                || runner.disorder == Some(Disorder::AcknowledgeFirst),
            snapshots: snapshots.is_some(),
            snapshot_bytes: snapshots.map_or(u64::MAX, |s| s.settings().1),
        }),
        metrics: Arc::new(metrics.resume(earlier.unwrap_or_default())),
        slots: Arc::default(),
        parkers,
        rest: snapshots.map(|_| {
            let messages = match runner.disorder {
                // A count that is always zero.
                Some(Disorder::LeaveMessages) => &Arc::default(),
                _ => &messages,
            };
            Rest::new(messages, &wakers)
        }),
        wakers,
        messages,
        changed: Arc::default(),
        wanted: Arc::default(),
        flow: Arc::default(),
        memory: Arc::new(memory(runner, graph, workers)?),
        given_up: Mutex::default(),
        restored,
        prints: snapshots.map_or(Vec::new(), |_| prints(graph)),
        clock,
        aborted: AtomicBool::new(false),
        graph: Arc::clone(graph),
    });
    let guard = Guard::start(&run)?;
    let ended = match runner.seed {
        Some(seed) => seeded::run(&run, seed, runtime.handle()),
        None => threads::run(&run, runtime.handle()),
    };
    drop(guard);
    let ended = run.why_given_up().and(ended);
    let mark = || match (&ended, snapshots) {
        (
            Ok(Ended {
                snapshots: Some((epoch, _)),
                suspended: false,
                ..
            }),
            Some(folder),
        ) => mark_finished(&run, folder, epoch + 1),
        _ => Ok(()),
    };
    let mark_first = runner.disorder == Some(Disorder::MarkFirst);
    if mark_first {
        mark()?;
    }
    let finished = match &ended {
        Ok(ended) if ended.suspended => finish(&run, runtime.handle(), SinkTask::Suspend),
        // The next run goes on from the last snapshot, and needs what the sinks have prepared.
        Err(_) if snapshots.is_some() => Ok(()),
        ended => finish(&run, runtime.handle(), SinkTask::Finish(ended.is_ok())),
    };
    let closed = close_sources(graph, runtime.handle());
    // A task that a connector left behind must not hold up the end.
    runtime.shutdown_background();
    let marked = match &finished {
        Ok(()) if !mark_first => run.reach(Moment::Finished).and_then(|()| mark()),
        _ => Ok(()),
    };
    let Ended {
        open_groups,
        snapshots,
        suspended,
    } = ended?;
    finished.and(marked).and(closed)?;
    run.reach(Moment::Marked)?;
    let end = match snapshots {
        Some((epoch, _)) if suspended => End::Suspended { epoch, open_groups },
        None if runner.stop.is_stopped() => End::Stopped {
            abandoned_groups: open_groups,
        },
        _ => End::Finished,
    };
    Ok(RunResult {
        end,
        metrics: run.metrics.snapshot(),
        snapshots: snapshots.map(|(_, counts)| counts),
    })
}

/// What a run goes on from.
struct Resuming {
    saved: Arc<Saved>,
    /// An epoch behind the snapshot that may have been committed, and acknowledged.
    newer: Option<u64>,
}

/// Has the sinks go on where the last snapshot in the folder was taken; returns it, if the run
/// that took it had not finished. The epochs of this run come behind all that are in the folder
/// and all that a sink has committed: what bears an older number is taken for a repetition.
fn resume(
    runner: &DirectRunner,
    snapshots: &Snapshots,
    graph: &Graph,
    runtime: &tokio::runtime::Handle,
) -> Result<Option<Resuming>> {
    let saved = snapshots.unfinished();
    let mut newer = snapshots.damaged();
    for node in &graph.nodes {
        let Some(hook) = &node.sink else { continue };
        let last = match &saved {
            Some(saved) => {
                let frames: Arc<dyn SavedFrames> = Arc::clone(saved) as Arc<dyn SavedFrames>;
                let path = Arc::clone(&node.path);
                let mut prepared = NodeState { frames, path }.bytes(PREPARED)?;
                if runner.disorder == Some(Disorder::ForgetCommit) {
                    prepared.clear();
                }
                Some(Recovery {
                    epoch: saved.head().epoch,
                    prepared,
                    drained: saved.head().drained,
                })
            }
            None => None,
        };
        if let Some(at_moments) = &runner.at_moments {
            at_moments(Moment::Recovering)?;
        }
        let task = SinkTask::Recover(last);
        let committed = sink_task(&node.path, hook, runtime, task, None)?;
        snapshots.number_behind(committed).map_err(|error| {
            let path = &node.path;
            Error::source_failed("recover", path, error)
        })?;
        newer = newer.max(Some(committed));
    }
    let Some(saved) = saved else {
        return Ok(None);
    };
    let newer = newer.filter(|newer| *newer > saved.head().epoch && !snapshots.accepts_loss());
    Ok(Some(Resuming { saved, newer }))
}

/// Lets every sink end its output, all in the same way unless one fails; returns the first error.
fn finish(run: &Run, runtime: &tokio::runtime::Handle, task: SinkTask) -> Result<()> {
    let mut result = Ok(());
    for node in &run.graph.nodes {
        let Some(hook) = &node.sink else { continue };
        result = result.and_then(|()| run.reach(Moment::Finishing));
        let task = match &result {
            Ok(()) => task.clone(),
            Err(_) => SinkTask::Finish(false),
        };
        // Publishing may take its time; a job that has failed ends all the same.
        let patience = matches!(task, SinkTask::Finish(false)).then_some(GRACE);
        let ended = sink_task(&node.path, hook, runtime, task, patience);
        result = result.and(ended.map(|_| ()));
    }
    result
}

/// Has a sink do something outside the workers; with `patience` it is not waited for longer than
/// that. Returns what the hook does.
pub(super) fn sink_task(
    path: &str,
    hook: &SinkHook,
    runtime: &tokio::runtime::Handle,
    task: SinkTask,
    patience: Option<Duration>,
) -> Result<u64> {
    let what = match &task {
        SinkTask::Recover(_) => "recover",
        SinkTask::Commit(..) => "commit",
        SinkTask::Suspend => "suspend",
        SinkTask::Finish(_) => "finish",
    };
    let (hook, runtime) = (Arc::clone(hook), runtime.clone());
    aside(path, what, patience, move || runtime.block_on(hook(task)))
}

/// Lets every source end what it holds outside the workers; returns the first error.
fn close_sources(graph: &Graph, runtime: &tokio::runtime::Handle) -> Result<()> {
    let mut result = Ok(());
    for node in &graph.nodes {
        let Some(hook) = &node.source else { continue };
        let (hook, runtime) = (Arc::clone(hook), runtime.clone());
        let closed = aside(&node.path, "close", Some(GRACE), move || {
            runtime.block_on(hook())
        });
        result = result.and(closed);
    }
    result
}

/// Runs a connector's code on a thread of its own: it may hang. With `patience` it is not waited
/// for longer than that.
fn aside<T: Send + 'static>(
    path: &str,
    what: &'static str,
    patience: Option<Duration>,
    run: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, done) = channel();
    let owned_path = path.to_owned();
    let thread = std::thread::Builder::new().name("pipeline-aside".to_owned());
    let spawned = thread.spawn(move || {
        let finished = at_transform(&owned_path, what, run);
        // The receiver is gone only when nobody waits any more.
        let _ = sender.send(finished);
    });
    spawned.map_err(|error| Error::io("starting a thread", error))?;
    let finished = match patience {
        None => done.recv().ok(),
        Some(patience) => done.recv_timeout(patience).ok(),
    };
    finished.unwrap_or_else(|| {
        let message = format!("it did not end within {} seconds", GRACE.as_secs());
        Err(Error::user(path, what, None, message))
    })
}
