//! `read`: a source at the root of a pipeline, and the operator that drives its readers.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use super::pulse::{Pulse, Pulses};
use super::{ReadBatch, ReadContext, ReadStatus, Reader, Source};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::event_log::Event;
use crate::graph::{
    Kind, Lowered, NodeContext, NodeSpec, Operator, OutputSpec, Polled, Port, Progress,
    WorkerContext, only_port,
};
use crate::pcollection::PCollection;
use crate::pipeline::Pipeline;
use crate::time::Timestamp;
use crate::user_code::panic_message;
use crate::window::WindowingStrategy;

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
        let spec = NodeSpec::new(
            name,
            Kind::Read,
            vec![],
            vec![output],
            move |context, ports| {
                let read = Read::new(context, Arc::clone(&source), only_port(ports)?)?;
                Ok(Lowered::root(read))
            },
        );
        let ids = self.add(spec);
        self.collection(ids[0])
    }
}

/// What the workers share.
struct Shared<S: Source> {
    /// The parts that no worker has taken, with their numbers.
    splits: Mutex<VecDeque<(usize, S::Split)>>,
    /// How far the open parts are, where idle ones are not waited for.
    pulses: Pulses,
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

type Acknowledging = Pin<Box<dyn Future<Output = Result<()>>>>;

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
    /// Acknowledgements in the order of reading, each with its bundle.
    acks: VecDeque<(u64, S::Ack)>,
    acknowledging: Option<Acknowledging>,
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
        let workers = context.worker.workers;
        let shared = context.shared(|| {
            let desired = if bounded {
                workers * SPLITS_PER_WORKER
            } else {
                workers
            };
            let splits = called("split", &context.path(), || source.split(desired))?;
            let numbered: VecDeque<_> = splits.into_iter().enumerate().collect();
            Ok(Shared::<S> {
                splits: Mutex::new(numbered),
                pulses: Pulses::default(),
            })
        })?;
        let mut read = Read {
            idle_after: source.idle_after().map(crate::time::millis),
            source,
            shared,
            parts: Vec::new(),
            next: 0,
            bounded,
            stopped: false,
            ended: false,
            watermark: Timestamp::MIN,
            told: Timestamp::MIN,
            to_be_told: false,
            acks: VecDeque::new(),
            acknowledging: None,
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
    fn take_split(&self) -> Option<(usize, S::Split)> {
        let splits = self.shared.splits.lock();
        let mut splits = splits.unwrap_or_else(PoisonError::into_inner);
        if self.bounded {
            return splits.pop_front();
        }
        let (index, workers) = (self.context.index, self.context.workers);
        let mine = splits.iter().position(|(n, _)| n % workers == index)?;
        splits.remove(mine)
    }

    fn open(&mut self, (number, split): (usize, S::Split)) -> Result<()> {
        let path = &self.read_context.path;
        let reader = called("open", path, || self.source.open(split, &self.read_context))?;
        let pulse = Pulse {
            watermark: reader.watermark(),
            heard_at: self.context.clock.now(),
        };
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
        if let Some(mut reader) = part.reader.take() {
            part.reading = Some(Box::pin(async move {
                let mut batch = ReadBatch {
                    batch: Batch::default(),
                    acks: Vec::new(),
                    ack_bytes: 0,
                    room,
                };
                let status = reader.read(&mut batch).await;
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
        let Some((reader, mut read, status)) = polled else {
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
        self.acks
            .extend(read.acks.drain(..).map(|ack| (bundle, ack)));
        self.out.push(&mut read.batch)
    }

    /// Starts to acknowledge what has been committed, and goes on with it.
    fn poll_acknowledge(&mut self, context: &mut Context<'_>) -> Result<bool> {
        let mut worked = false;
        if self.acknowledging.is_none() && !self.acks.is_empty() {
            let committed = if self.context.settings.acknowledge_early {
                u64::MAX
            } else {
                self.context.oldest_uncommitted()
            };
            let before = committed.min(self.context.bundle.number());
            let ready = self.acks.partition_point(|(bundle, _)| *bundle < before);
            if ready > 0 {
                let acks: Vec<_> = self.acks.drain(..ready).map(|(_, ack)| ack).collect();
                let source = Arc::clone(&self.source);
                self.acknowledging = Some(Box::pin(async move { source.acknowledge(acks).await }));
            }
        }
        if let Some(acknowledging) = &mut self.acknowledging {
            let path = &self.read_context.path;
            let done = called("acknowledge", path, || {
                match acknowledging.as_mut().poll(context) {
                    Poll::Pending => Ok(false),
                    Poll::Ready(done) => done.map(|()| true),
                }
            })?;
            if done {
                self.acknowledging = None;
                worked = true;
            }
        }
        Ok(worked)
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
        if !self.bounded && !self.stopped {
            self.update_watermark();
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
            worked: self.poll_acknowledge(context)?,
            blocked: false,
        };
        if !room || self.stopped || self.ended {
            return Ok(polled);
        }
        if self.source.reads_at_rest() && !self.context.at_rest.replace(false) {
            return Ok(polled);
        }
        if self.bounded && self.parts.is_empty() {
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
        if !self.bounded {
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

    fn is_finished(&self) -> bool {
        self.acks.is_empty() && self.acknowledging.is_none()
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
