//! The order of a snapshot: everything rests and the sinks have prepared; the snapshot becomes
//! durable; the sinks commit; the sources may be acknowledged.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::moments::{Disorder, Moment};
use super::rest::Then;
use super::run::{Run, sink_task};
use super::snapshots::{Head, Snapshots, Writing};
use crate::error::Result;
use crate::graph::{Frame, Kind, PREPARED, SinkTask};
use crate::metrics::ELEMENTS_OUT;

/// A snapshot is not begun before so many times as long as the last one held up the work; those
/// that flow control asks for are.
const REST_OF_TIME: u32 = 9;

/// A source that delivers no more when much is unacknowledged may do so long before that, for the
/// sake of one large message, say: when nothing has come of it for so long, a snapshot is taken.
const QUIET: Duration = Duration::from_millis(100);

/// What the snapshots of a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotCounts {
    /// The snapshots taken.
    pub taken: u64,
    /// How long they held up the work, together: from the first worker asked to rest to the commit.
    pub paused: Duration,
    /// The longest of these.
    pub longest_pause: Duration,
    /// The size of the last one, in bytes of state.
    pub last_bytes: u64,
}

/// Takes the snapshots of a run.
pub(super) struct Epochs {
    run: Arc<Run>,
    runtime: tokio::runtime::Handle,
    snapshots: Snapshots,
    interval: Duration,
    /// The number of the epoch that is being filled.
    epoch: u64,
    last: Instant,
    last_pause: Duration,
    /// When sources with a limit had last moved, and how often they had.
    moved: (Instant, usize),
    cut: Option<Cut>,
    /// What is committed later than it should be, by a [`Disorder`].
    late: Option<(u64, Vec<Vec<Vec<u8>>>)>,
    is_over: bool,
    counts: SnapshotCounts,
}

/// A snapshot under way.
struct Cut {
    began: Instant,
    then: Then,
    writing: Option<Writing>,
    /// What the writers of each node have prepared.
    prepared: Vec<Vec<Vec<u8>>>,
    /// The workers that have saved all they have.
    saved: usize,
    bytes: u64,
}

impl Epochs {
    pub(super) fn new(
        run: &Arc<Run>,
        snapshots: &Snapshots,
        runtime: &tokio::runtime::Handle,
    ) -> Self {
        Epochs {
            run: Arc::clone(run),
            runtime: runtime.clone(),
            interval: snapshots.settings().0,
            epoch: snapshots.next_epoch(),
            snapshots: snapshots.clone(),
            last: Instant::now(),
            last_pause: Duration::ZERO,
            moved: (Instant::now(), 0),
            cut: None,
            late: None,
            is_over: false,
            counts: SnapshotCounts::default(),
        }
    }

    /// Returns what a snapshot that should be taken now leads to. `drained`: the workers have
    /// nothing more to do.
    pub(super) fn due(&mut self, drained: bool) -> Option<Then> {
        let flow = &self.run.flow;
        let moves = flow.moves.load(Ordering::Relaxed);
        if self.moved.1 != moves {
            self.moved = (Instant::now(), moves);
        }
        if self.cut.is_some() || self.is_over {
            return None;
        }
        if drained {
            return Some(Then::Finish);
        }
        if self.run.runner.stop.is_stopped() {
            return Some(Then::Suspend);
        }
        if !self.run.changed.load(Ordering::Relaxed) {
            return None;
        }
        if self.run.wanted.load(Ordering::Relaxed) {
            return Some(Then::GoOn);
        }
        let rested = self.last.elapsed();
        // Under a seed the clock has no say.
        let may_stand = !self.run.settings.seeded
            && flow.waiting.load(Ordering::Relaxed) > 0
            && rested.min(self.moved.0.elapsed()) >= QUIET;
        let is_due = rested >= self.interval || may_stand;
        (is_due && rested >= REST_OF_TIME * self.last_pause).then_some(Then::GoOn)
    }

    /// Begins a snapshot; returns its epoch. The caller has everything come to rest.
    pub(super) fn begin(&mut self, then: Then) -> u64 {
        self.cut = Some(Cut {
            began: Instant::now(),
            then,
            writing: None,
            prepared: vec![Vec::new(); self.run.graph.nodes.len()],
            saved: 0,
            bytes: 0,
        });
        self.epoch
    }

    /// Takes a part of a worker's state. Everything rests.
    pub(super) fn frame(&mut self, frame: Frame) -> Result<()> {
        self.open()?;
        let forgotten = match self.run.runner.disorder {
            Some(Disorder::ForgetPositions) => "parts",
            Some(Disorder::PrepareLate) => PREPARED,
            _ => "",
        };
        if let Some(cut) = &mut self.cut
            && let Some(writing) = &mut cut.writing
        {
            if frame.name != forgotten {
                cut.bytes += writing.frame(&frame)?;
            }
            if frame.name == PREPARED {
                cut.prepared[frame.node].push(frame.payload);
            }
        }
        Ok(())
    }

    /// Opens the file, when everything rests.
    fn open(&mut self) -> Result<()> {
        let Some(cut) = &mut self.cut else {
            return Ok(());
        };
        if cut.writing.is_none() {
            self.run.reach(Moment::Prepared)?;
            let head = head(&self.run, &self.snapshots, self.epoch, cut.then)?;
            cut.writing = Some(self.snapshots.begin(&head)?);
        }
        Ok(())
    }

    /// Hears that a worker has saved all it has. After the last one the snapshot is completed:
    /// returns what follows then.
    pub(super) fn saved(&mut self) -> Result<Option<Then>> {
        self.open()?;
        let Some(cut) = &mut self.cut else {
            return Ok(None);
        };
        cut.saved += 1;
        if cut.saved < self.run.workers {
            return Ok(None);
        }
        let Some(mut cut) = self.cut.take() else {
            return Ok(None);
        };
        // Nobody reads while everything rests: all that has come is in this snapshot.
        self.run.changed.store(false, Ordering::Relaxed);
        self.run.wanted.store(false, Ordering::Relaxed);
        let prepared = std::mem::take(&mut cut.prepared);
        let commit_first = self.run.runner.disorder == Some(Disorder::CommitFirst);
        if commit_first {
            self.commit(self.epoch, prepared.clone())?;
        }
        if let Some((epoch, late)) = self.late.take() {
            self.commit(epoch, late)?;
        }
        self.run.reach(Moment::Written)?;
        if let Some(writing) = cut.writing.take() {
            writing.finish()?;
        }
        self.run.reach(Moment::Durable)?;
        let goes_on = cut.then == Then::GoOn;
        match self.run.runner.disorder {
            Some(Disorder::CommitFirst) => {}
            Some(Disorder::CommitLate) if goes_on => self.late = Some((self.epoch, prepared)),
            _ => self.commit(self.epoch, prepared)?,
        }
        self.run.reach(Moment::Committed)?;
        self.epoch += 1;
        self.is_over = !goes_on;
        self.last = Instant::now();
        self.last_pause = cut.began.elapsed();
        self.counts.taken += 1;
        self.counts.paused += self.last_pause;
        self.counts.longest_pause = self.counts.longest_pause.max(self.last_pause);
        self.counts.last_bytes = cut.bytes;
        Ok(Some(cut.then))
    }

    fn commit(&self, epoch: u64, prepared: Vec<Vec<Vec<u8>>>) -> Result<()> {
        for (node, prepared) in self.run.graph.nodes.iter().zip(prepared) {
            if let Some(hook) = &node.sink {
                let task = SinkTask::Commit(epoch, prepared);
                sink_task(&node.path, hook, &self.runtime, task, None)?;
            }
        }
        Ok(())
    }

    /// Tells whether anything has happened that a snapshot should have.
    pub(super) fn has_changed(&self) -> bool {
        self.run.changed.load(Ordering::Relaxed)
    }

    /// Tells whether the last snapshot of the run has been taken.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Returns the last committed epoch, and what the snapshots came to.
    pub(super) fn counts(&self) -> (u64, SnapshotCounts) {
        (self.epoch - 1, self.counts)
    }
}

/// Makes what stands at the head of a snapshot.
fn head(run: &Run, snapshots: &Snapshots, epoch: u64, then: Then) -> Result<Head> {
    let metrics = run.metrics.snapshot();
    let reads = run.graph.nodes.iter().filter(|n| n.kind == Kind::Read);
    let mut beside = Vec::new();
    for (name, saver) in snapshots.besides() {
        beside.push((name.clone(), saver.save()?));
    }
    Ok(Head {
        epoch,
        drained: then == Then::Finish,
        finished: false,
        now: run.clock.now(),
        workers: run.workers,
        paths: run.graph.nodes.iter().map(|n| n.path.to_string()).collect(),
        prints: run.prints.clone(),
        messages: reads.map(|n| metrics.get(&n.path, ELEMENTS_OUT)).sum(),
        beside,
        metrics: metrics
            .iter()
            .map(|(path, name, count)| (path.to_owned(), name.to_owned(), count))
            .collect(),
    })
}

/// Marks the folder: the run has ended, and the next one begins anew.
pub(super) fn mark_finished(run: &Run, snapshots: &Snapshots, epoch: u64) -> Result<()> {
    let mut head = head(run, snapshots, epoch, Then::Finish)?;
    head.finished = true;
    snapshots.begin(&head)?.finish()
}
