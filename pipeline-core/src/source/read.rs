//! `read`: a source at the root of a pipeline, and the operator that drives its readers.

mod acks;
mod closing;
mod saved;

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use super::pulse::{Pulse, Pulses};
use super::{ReadBatch, ReadContext, ReadStatus, Reader, Resume, Source};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::event_log::Event;
use crate::graph::{
    Kind, Lowered, NodeContext, NodeSpec, Operator, OutputSpec, Polled, Port, Progress, StateOut,
    WorkerContext, only_port,
};
use crate::pcollection::PCollection;
use crate::pipeline::Pipeline;
use crate::time::Timestamp;
use crate::user_code::panic_message;
use crate::window::WindowingStrategy;
use acks::Acks;
use saved::{Restored, SavedPart, SavedSplits};

/// The number of parts that a bounded source is asked for, per worker: enough that workers end
/// at about the same time.
const SPLITS_PER_WORKER: usize = 4;

impl Pipeline {
    /// Reads a source: the root of a pipeline. Its elements are in the global window.
    ///
    /// See [`Source`] for an example.
    pub fn read<S: Source>(&self, name: &str, source: S) -> PCollection<S::Item> {
        let bounded = source.is_bounded();
        let source = Arc::new(source);
        let output = OutputSpec::of::<S::Item>(WindowingStrategy::default(), bounded);
        let hook = closing::hook(&source, self.graph().path_of(name));
        let mut spec = NodeSpec::new(
            name,
            Kind::Read,
            vec![],
            vec![output],
            move |context, ports| {
                let read = Read::new(context, Arc::clone(&source), only_port(ports)?)?;
                Ok(Lowered::root(read))
            },
        );
        spec.source = Some(hook);
        self.collection(self.add(spec)[0])
    }
}

/// A part that no worker has taken, with its number and, in a run that resumes, where it goes on.
type Untaken<S> = (usize, <S as Source>::Split, Option<SavedPart>);

/// What the workers share.
struct Shared<S: Source> {
    /// The parts that no worker has taken, with their numbers.
    splits: Mutex<VecDeque<Untaken<S>>>,
    /// The number of parts that the source was asked for, and that it gave.
    desired: usize,
    given: usize,
    /// How far the open parts are, where idle ones are not waited for.
    pulses: Pulses,
    /// The bytes that wait to be acknowledged.
    unacknowledged: Arc<AtomicU64>,
}

type Reading<S> = Pin<
    Box<
        dyn Future<
            Output = (
                <S as Source>::Reader,
                ReadBatch<<S as Source>::Item, <S as Source>::Ack>,
                Result<ReadStatus>,
            ),
        >,
    >,
>;

/// A part that is open.
struct Part<S: Source> {
    number: usize,
    reader: Option<S::Reader>,
    reading: Option<Reading<S>>,
    pulse: Pulse,
}

struct Read<S: Source> {
    source: Arc<S>,
    shared: Arc<Shared<S>>,
    idle_after: Option<i64>,
    parts: Vec<Part<S>>,
    /// The parts that have ended, if what was not acknowledged of them will come again.
    ended_parts: Vec<SavedPart>,
    /// The part to look at first, so that all get their turn.
    next: usize,
    bounded: bool,
    stopped: bool,
    ended: bool,
    watermark: Timestamp,
    /// The watermark as last told downstream.
    told: Timestamp,
    /// The bundle has been kept open for a watermark that is to be told at its end.
    to_be_told: bool,
    acks: Acks<S>,
    out: Port<S::Item>,
    read_context: ReadContext,
    context: WorkerContext,
}

impl<S: Source> Read<S> {
    fn new(context: &NodeContext<'_>, source: Arc<S>, out: Port<S::Item>) -> Result<Self> {
        let bounded = source.is_bounded();
        if source.reads_at_rest() && !context.worker.settings.seeded {
            return Err(Error::option(format!(
                "'{}' reads a TestStream, which needs a run with a seed: use `DirectRunner::seed`",
                context.path()
            )));
        }
        if context.worker.settings.snapshots && source.resume() == Resume::Never {
            return Err(Error::option(format!(
                "'{}' reads a source that cannot go on from a snapshot: run without snapshots, or \
                 implement `Source::resume` and `Reader::position`",
                context.path()
            )));
        }
        if let Some(epoch) = context.worker.epochs.newer
            && source.resume() == Resume::Redelivery
        {
            return Err(Error::option(format!(
                "snapshot {epoch} is damaged or gone, and what it held may have been acknowledged \
                 to the source that '{}' reads, which cannot deliver it again: put back that \
                 snapshot; or go on without what was acknowledged (Snapshots::accept_loss), or \
                 begin anew with another folder for snapshots",
                context.path()
            )));
        }
        let state = context.restored();
        let restored = state.as_ref().map(Restored::of).transpose()?.flatten();
        let workers = context.worker.workers;
        let shared = context.shared(|| {
            let desired = match &restored {
                Some(restored) => restored.splits.desired,
                None if bounded => workers * SPLITS_PER_WORKER,
                None => workers,
            };
            let splits = called("split", &context.path(), || source.split(desired))?;
            let given = splits.len();
            let untaken: Vec<Untaken<S>> = match restored.as_ref().zip(state.as_ref()) {
                Some((restored, state)) => restored
                    .remaining(splits, state)
                    .map_err(|error| error.located("resuming", &context.path(), None))?,
                None => {
                    let numbered = splits.into_iter().enumerate();
                    numbered.map(|(number, s)| (number, s, None)).collect()
                }
            };
            Ok(Shared::<S> {
                splits: Mutex::new(untaken.into()),
                desired,
                given,
                pulses: Pulses::default(),
                unacknowledged: Arc::default(),
            })
        })?;
        let unacknowledged = &shared.unacknowledged;
        let mut read = Read {
            idle_after: source.idle_after().map(crate::time::millis),
            parts: Vec::new(),
            ended_parts: Vec::new(),
            next: 0,
            bounded,
            stopped: false,
            ended: false,
            watermark: restored.map_or(Timestamp::MIN, |restored| restored.watermark),
            told: Timestamp::MIN,
            to_be_told: false,
            acks: Acks::new(&source, &context.path(), unacknowledged, context.worker),
            shared,
            source,
            out,
            read_context: ReadContext {
                path: context.path(),
                metrics: Arc::clone(&context.worker.metrics),
                clock: Arc::clone(&context.worker.clock),
                position: None,
            },
            context: context.worker.clone(),
        };
        if !bounded {
            while let Some(split) = read.take_split() {
                read.open(split)?;
            }
        }
        Ok(read)
    }

    /// Takes a part that nobody reads: the next one of a bounded source, of an unbounded one the
    /// next that is this worker's.
    fn take_split(&self) -> Option<Untaken<S>> {
        let splits = self.shared.splits.lock();
        let mut splits = splits.unwrap_or_else(PoisonError::into_inner);
        if self.bounded {
            return splits.pop_front();
        }
        let (index, workers) = (self.context.index, self.context.workers);
        let mine = splits.iter().position(|(n, ..)| n % workers == index)?;
        splits.remove(mine)
    }

    fn open(&mut self, (number, split, saved): Untaken<S>) -> Result<()> {
        self.read_context.position = saved.as_ref().map(SavedPart::position);
        let path = &self.read_context.path;
        let reader = called("open", path, || self.source.open(split, &self.read_context))?;
        let now = self.context.clock.now();
        let mut pulse = Pulse {
            watermark: reader.watermark(),
            heard_at: now,
        };
        if let Some(saved) = saved {
            pulse.watermark = pulse.watermark.max(saved.watermark);
            pulse.heard_at = now.plus_millis(-saved.quiet);
        }
        if self.idle_after.is_some() {
            self.shared.pulses.set(number, pulse);
        }
        self.parts.push(Part {
            number,
            reader: Some(reader),
            reading: None,
            pulse,
        });
        Ok(())
    }

    /// Polls one part; returns whether it gave something.
    fn poll_part(&mut self, at_part: usize, context: &mut Context<'_>) -> Result<bool> {
        let room = Batch::<S::Item>::LEN.max(1024);
        let room = self
            .context
            .settings
            .max_bundle
            .map_or(room, |m| m.min(room));
        let part = &mut self.parts[at_part];
        let path = &self.read_context.path;
        let is_pausing = self.context.epochs.pausing.get();
        if let Some(mut reader) = part.reader.take_if(|_| !is_pausing) {
            let pausing = Rc::clone(&self.context.epochs.pausing);
            part.reading = Some(Box::pin(async move {
                let mut batch = ReadBatch {
                    batch: Batch::default(),
                    acks: Vec::new(),
                    ack_bytes: 0,
                    room,
                };
                let status = {
                    let mut read = pin!(reader.read(&mut batch));
                    // For a snapshot a read that waits is given up: it gives what it has.
                    poll_fn(|context| match read.as_mut().poll(context) {
                        Poll::Pending if pausing.get() => Poll::Ready(Ok(ReadStatus::More)),
                        polled => polled,
                    })
                    .await
                };
                (reader, batch, status)
            }));
        }
        let Some(reading) = &mut part.reading else {
            return Ok(false);
        };
        let polled = called("read", path, || match reading.as_mut().poll(context) {
            Poll::Pending => Ok(None),
            Poll::Ready((reader, read, status)) => Ok(Some((reader, read, status?))),
        })?;
        let Some((mut reader, mut read, status)) = polled else {
            return Ok(false);
        };
        part.reading = None;
        let watermark = part.pulse.watermark.max(reader.watermark());
        if !read.batch.is_empty() || watermark > part.pulse.watermark {
            part.pulse = Pulse {
                watermark,
                heard_at: self.context.clock.now(),
            };
            if self.idle_after.is_some() {
                self.shared.pulses.set(part.number, part.pulse);
            }
        }
        if status == ReadStatus::More {
            part.reader = Some(reader);
        } else {
            let ended = self.parts.remove(at_part);
            self.shared.pulses.remove(ended.number);
            let settings = &self.context.settings;
            if settings.snapshots && self.source.resume() == Resume::Redelivery {
                let saved = called("position", path, || {
                    SavedPart::of(&mut reader, ended.number, ended.pulse.watermark, 0)
                })?;
                self.ended_parts.push(saved);
            }
        }
        self.deliver(&mut read)?;
        Ok(true)
    }

    fn deliver(&mut self, read: &mut ReadBatch<S::Item, S::Ack>) -> Result<()> {
        let elements = read.batch.len();
        if let Some(log) = &self.context.event_log {
            log.record(Event::Took {
                worker: self.context.index,
                transform: Arc::clone(&self.read_context.path),
                elements,
            });
        }
        self.context.bundle.add_elements(elements);
        let bundle = self.context.bundle.number();
        let acks = read.acks.drain(..);
        let much = self.acks.add(bundle, acks, read.ack_bytes);
        let epochs = &self.context.epochs;
        epochs.changed.store(true, Ordering::Relaxed);
        if much {
            epochs.wanted.store(true, Ordering::Relaxed);
        }
        self.out.push(&mut read.batch)
    }

    /// Returns the first bundle whose effects are not safe.
    fn uncommitted(context: &WorkerContext) -> u64 {
        let committed = if context.settings.acknowledge_early {
            u64::MAX
        } else if context.settings.snapshots {
            context.epochs.committed_before.get()
        } else {
            context.oldest_uncommitted()
        };
        committed.min(context.bundle.number())
    }

    /// Computes the source's watermark on this worker: the minimum over its parts, or, where idle
    /// parts are not waited for, over those of all workers that are not idle.
    fn update_watermark(&mut self) {
        let watermark = match self.idle_after {
            Some(limit) => self
                .shared
                .pulses
                .watermark(self.context.clock.now(), limit),
            None => self.parts.iter().map(|p| p.pulse.watermark).min(),
        };
        if let Some(watermark) = watermark {
            self.watermark = self.watermark.max(watermark);
        }
    }

    fn is_ended(&self) -> bool {
        self.parts.is_empty()
            && (!self.bounded
                || self
                    .shared
                    .splits
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .is_empty())
    }
}

impl<S: Source> Operator for Read<S> {
    fn end_bundle(&mut self, _: Progress) -> Result<Progress> {
        if !self.stopped && self.is_ended() {
            self.ended = true;
            return Ok(Progress::ENDED);
        }
        // While everything comes to rest the watermark stands: were it told on and on, as the
        // clock goes on, nothing would rest.
        if !self.bounded && !self.stopped && !self.context.epochs.pausing.get() {
            self.update_watermark();
        }
        if self.watermark > self.told {
            self.context.epochs.changed.store(true, Ordering::Relaxed);
        }
        self.told = self.watermark;
        self.to_be_told = false;
        Ok(Progress {
            watermark: self.watermark,
            closed: self.stopped,
        })
    }

    fn poll(&mut self, context: &mut Context<'_>, room: bool) -> Result<Polled> {
        let mut polled = Polled {
            worked: self
                .acks
                .poll(context, || Self::uncommitted(&self.context))?,
            blocked: false,
        };
        if !room {
            self.acks.moves();
        }
        if !room || self.stopped || self.ended {
            return Ok(polled);
        }
        if self.source.reads_at_rest() && !self.context.at_rest.replace(false) {
            return Ok(polled);
        }
        let is_pausing = self.context.epochs.pausing.get();
        if self.bounded && self.parts.is_empty() && !is_pausing {
            match self.take_split() {
                Some(split) => self.open(split)?,
                None => {
                    // Nothing is left: the end of this bundle says so.
                    self.ended = true;
                    polled.worked = true;
                    return Ok(polled);
                }
            }
        }
        for _ in 0..self.parts.len() {
            self.next = (self.next + 1) % self.parts.len();
            if self.poll_part(self.next, context)? {
                polled.worked = true;
                return Ok(polled);
            }
        }
        if !self.bounded && !is_pausing {
            self.update_watermark();
            // Once a bundle: were it said again and again, the bundle that tells would not end.
            if self.watermark > self.told && !self.to_be_told {
                self.to_be_told = true;
                polled.worked = true;
            }
        }
        Ok(polled)
    }

    fn stop(&mut self) {
        self.stopped = true;
        self.parts.clear();
    }

    fn drain(&mut self) {
        if !self.stopped {
            let open = self.parts.drain(..);
            open.for_each(|part| self.shared.pulses.remove(part.number));
            let splits = self.shared.splits.lock();
            splits.unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    fn is_quiet(&self) -> bool {
        self.parts.iter().all(|part| part.reading.is_none())
    }

    fn save(&mut self, out: &mut StateOut<'_>) -> Result<()> {
        let now = self.context.clock.now();
        let path = &self.read_context.path;
        let mut parts = self.ended_parts.clone();
        for part in &mut self.parts {
            let Some(reader) = &mut part.reader else {
                return Err(Error::internal("a snapshot was taken during a read"));
            };
            let quiet = now.millis() - part.pulse.heard_at.millis();
            parts.push(called("position", path, || {
                SavedPart::of(reader, part.number, part.pulse.watermark, quiet)
            })?);
        }
        SavedPart::save(&parts, out)?;
        out.put("watermark", &self.watermark)?;
        let splits = self.shared.splits.lock();
        let splits = splits.unwrap_or_else(PoisonError::into_inner);
        let splits = SavedSplits {
            desired: self.shared.desired,
            given: self.shared.given,
            untaken: splits.iter().map(|(number, ..)| *number).collect(),
        };
        out.put("splits", &splits)
    }

    fn is_finished(&self) -> bool {
        self.acks.is_empty()
    }
}

/// Calls a method of the source; an error or a panic gets the transform's name and the method's.
fn called<R>(what: &'static str, path: &str, f: impl FnOnce() -> Result<R>) -> Result<R> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result.map_err(|error| Error::source_failed(what, path, error)),
        Err(panic) => {
            let cause = format!("panic: {}", panic_message(&*panic));
            Err(Error::user(path, what, None, cause))
        }
    }
}
