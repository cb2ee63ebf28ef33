//! How the embedded engine is told to run.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::moments::{Disorder, Moment};
use super::result::RunResult;
use super::run;
use super::snapshots::{Snapshots, compare, prints};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::event_log::EventLog;
use crate::metrics::MetricsSnapshot;
use crate::pipeline::BuiltPipeline;

pub(super) type AtMoments = Arc<dyn Fn(Moment) -> Result<()> + Send + Sync>;

pub(super) type Report = Arc<dyn Fn(&MetricsSnapshot) + Send + Sync>;

/// Runs pipelines in this process, on all its cores.
///
/// ```
/// use pipeline_core::prelude::*;
///
/// let pipeline = Pipeline::build(|p| {
///     p.create("Words", vec!["a".to_string(), "b".to_string(), "a".to_string()])
///         .count_per_element("Count")
///         .check("Counts", |mut counts| {
///             counts.sort();
///             assert_eq!(counts, [("a".to_string(), 2), ("b".to_string(), 1)]);
///         });
/// })?;
/// let result = DirectRunner::new().workers(2).run(&pipeline)?;
/// assert_eq!(result.metrics().get("Words", "out"), 3);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct DirectRunner {
    pub(super) workers: Option<usize>,
    pub(super) max_bundle: Option<usize>,
    pub(super) encode_edges: bool,
    pub(super) acknowledge_early: bool,
    pub(super) fire_at_once: Option<usize>,
    pub(super) memory_limit: Option<u64>,
    pub(super) spill_folder: Option<PathBuf>,
    pub(super) machine_memory: Option<u64>,
    pub(super) seed: Option<u64>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) event_log: Option<EventLog>,
    pub(super) report: Option<(Duration, Report)>,
    pub(super) stop: StopHandle,
    pub(super) snapshots: Option<Snapshots>,
    pub(super) at_moments: Option<AtMoments>,
    pub(super) disorder: Option<Disorder>,
}

impl Default for DirectRunner {
    fn default() -> Self {
        DirectRunner {
            workers: None,
            max_bundle: None,
            encode_edges: false,
            acknowledge_early: false,
            fire_at_once: None,
            memory_limit: None,
            spill_folder: None,
            machine_memory: None,
            seed: None,
            clock: Arc::new(SystemClock::default()),
            event_log: None,
            report: None,
            stop: StopHandle::default(),
            snapshots: None,
            at_moments: None,
            disorder: None,
        }
    }
}

impl DirectRunner {
    /// Makes a runner with a worker for each core.
    pub fn new() -> Self {
        DirectRunner::default()
    }

    /// Uses so many workers (Beam's `direct_num_workers`). Default: as many as there are cores.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Ends a bundle after so many elements at the latest; 1 is a mode for tests in which every
    /// element is a bundle. Default: 10,000 with unbounded input; else when the input pauses.
    pub fn max_bundle(mut self, elements: usize) -> Self {
        self.max_bundle = Some(elements);
        self
    }

    /// Encodes and decodes every element on every edge, as a runner with processes would: a mode
    /// for tests of types whose serde loses data. Default: off.
    ///
    /// The run fails, and names the edge and the type, where
    /// - an element cannot be encoded, or not be decoded from its encoding: a field that is not
    ///   serialized and has no default, a variant that is skipped, `with` functions that disagree;
    /// - a key does not come back as an equal key, or equal keys have different encodings.
    ///
    /// What comes back as another value is no error here, for elements need not be comparable: a
    /// field with `#[serde(skip)]`, a default for what was left out, a rounded number. A second
    /// encoding would not tell either: a skipped field is in neither, and a `HashMap` that lost
    /// nothing may be written in another order. So it shows only as a different result: run a test
    /// in both modes and hold both to the expected values.
    pub fn encode_edges(mut self, encode: bool) -> Self {
        self.encode_edges = encode;
        self
    }

    /// Interleaves all workers on one thread in an order drawn from `seed`: a mode for tests. The
    /// same seed gives the same run, as far as sources and sinks answer at once and the clock is
    /// an argument as well.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Tells wall time by `clock`. Default: the machine's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Records what happens. Default: nothing is recorded.
    pub fn event_log(mut self, log: &EventLog) -> Self {
        self.event_log = Some(log.clone());
        self
    }

    /// Calls `report` with the counts while the pipeline runs, every `interval`.
    pub fn report(
        mut self,
        interval: Duration,
        report: impl Fn(&MetricsSnapshot) + Send + Sync + 'static,
    ) -> Self {
        self.report = Some((interval, Arc::new(report)));
        self
    }

    /// Acknowledges messages before the sinks have committed their effects. It breaks the promise
    /// of [`Source`](crate::source::Source), and exists so that a test of that promise can show
    /// that it would notice.
    #[doc(hidden)]
    pub fn acknowledge_early(mut self, early: bool) -> Self {
        self.acknowledge_early = early;
        self
    }

    /// Keeps the process to about so many bytes of memory: what groupings and stateful functions
    /// hold beyond their share goes to disk, and comes back when its window fires, or with an
    /// element or a timer of its key. It is slower, but alive. It needs the feature `spill`, which
    /// is off by default: its store doubles the time of a first build.
    ///
    /// The shares are those of all groupings, stateful functions and workers in the limit less 128
    /// MiB (or a quarter of the limit, if that is more), by an estimate of what is held. Groups in
    /// windows that do not merge are not read again until their window fires. Of sessions (and other
    /// windows that merge, and with the timestamp combiner `Latest`) and of `par_do_stateful` the
    /// keys go that have not come for the longest; each comes back whole with its next element, or
    /// when it is due, which is slow where most keys come again and again and few fit into memory.
    /// Keys of more than 60 KiB, and what user code, sources and sinks hold, do not go to disk. All
    /// that one key has in one window must fit into memory when it fires, or when an element or a
    /// timer comes for it: a bag that is larger does not.
    ///
    /// Default: no limit. A job is then ended, with an error, when the process has taken 92 % of
    /// the machine's or the control group's memory, or has more than half of it while the machine
    /// has less than 3 % left, where the system tells (Linux).
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// Puts what is beyond [`memory_limit`](DirectRunner::memory_limit) into this folder, which no
    /// other job may use: what is in it is removed when something is first put there and at the end.
    /// Default: a folder of its own under the system's for temporary files (which must not be in
    /// memory itself).
    pub fn spill_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.spill_folder = Some(folder.into());
        self
    }

    /// Takes the machine to have so much memory, so that a test comes to its end.
    #[doc(hidden)]
    pub fn machine_memory(mut self, bytes: u64) -> Self {
        self.machine_memory = Some(bytes);
        self
    }

    /// Has a grouping emit so many elements at the end of a bundle, and let the rest wait for room,
    /// so that a test with few elements comes to what happens then.
    #[doc(hidden)]
    pub fn fire_at_once(mut self, elements: usize) -> Self {
        self.fire_at_once = Some(elements);
        self
    }

    /// Takes snapshots, and resumes from the last one that is there: see [`Snapshots`]. Default:
    /// none are taken, and a run that is killed loses what it had in memory.
    pub fn snapshots(mut self, snapshots: &Snapshots) -> Self {
        self.snapshots = Some(snapshots.clone());
        self
    }

    /// Calls `at_moments` at the moments of a snapshot; an error is a crash there.
    #[doc(hidden)]
    pub fn at_moments(
        mut self,
        at_moments: impl Fn(Moment) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.at_moments = Some(Arc::new(at_moments));
        self
    }

    /// Breaks a rule of snapshots, so that a test of it can show that it would notice.
    #[doc(hidden)]
    pub fn disorder(mut self, disorder: Disorder) -> Self {
        self.disorder = Some(disorder);
        self
    }

    /// Returns a handle that stops a run of this runner (or of a clone).
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// Runs a pipeline to its end.
    ///
    /// # Errors
    /// The first error or panic of user code, a source or a sink, with the transform and the
    /// element where there was one. The job has then ended: what sinks had committed stays; what
    /// was not acknowledged to its source will be delivered again.
    pub fn run(&self, pipeline: &BuiltPipeline) -> Result<RunResult> {
        self.check(pipeline)?;
        run::run(self, pipeline)
    }

    /// Checks what can be checked before a run begins: the options, and whether the pipeline can go
    /// on from the snapshot that there is. Nothing is begun, read or written;
    /// [`run`](DirectRunner::run) begins with it.
    ///
    /// ```
    /// use pipeline_core::prelude::*;
    ///
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("One", vec![1]).check("IsOne", |all| assert_eq!(all, [1]));
    /// })?;
    /// assert!(DirectRunner::new().workers(0).check(&pipeline).is_err());
    /// assert!(DirectRunner::new().check(&pipeline).is_ok());
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// An option that makes no sense, or that needs a feature which is off; a pipeline that differs
    /// from the one of the snapshot, with what has changed and what to do.
    pub fn check(&self, pipeline: &BuiltPipeline) -> Result<()> {
        if self.workers == Some(0) {
            return Err(Error::option("the number of workers must be at least 1"));
        }
        if self.max_bundle == Some(0) {
            return Err(Error::option("a bundle must be allowed 1 element at least"));
        }
        if self.memory_limit.is_some() && !cfg!(feature = "spill") {
            return Err(Error::option(
                "a memory_limit needs the feature `spill` of pipeline-core, which is off: build \
                 with `--features spill`",
            ));
        }
        if self.memory_limit == Some(0) {
            return Err(Error::option("the memory limit must be at least 1 byte"));
        }
        let Some(snapshots) = &self.snapshots else {
            return Ok(());
        };
        match snapshots.unfinished() {
            Some(saved) => {
                let head = saved.head();
                compare(&head.prints, &prints(pipeline.graph()), head.epoch)
            }
            None => Ok(()),
        }
    }
}

/// Ends a run in good order: stops it, or drains it.
#[derive(Clone, Debug, Default)]
pub struct StopHandle(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    stop: AtomicBool,
    drain: AtomicBool,
}

impl StopHandle {
    /// Asks the run to stop: sources stop, what was read goes through, sinks commit, open windows
    /// do not fire. Where snapshots are taken, the run goes on from there when it is started again.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }

    /// Asks the run to end as if its input had ended: sources stop, what was read goes through,
    /// open windows and timers fire, sinks commit. What was not read stays with the source.
    pub fn drain(&self) {
        self.0.drain.store(true, Ordering::SeqCst);
    }

    /// Tells whether the run was asked to drain.
    pub fn is_draining(&self) -> bool {
        self.0.drain.load(Ordering::SeqCst)
    }

    /// Tells whether the run was asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.0.stop.load(Ordering::SeqCst)
    }
}
