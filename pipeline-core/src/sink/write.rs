//! `write`: a collection into a sink, and the operator that drives its writer.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Recovery, Rejected, Sink, WriteBatch, Writer};
use crate::batch::Batch;
use crate::coder::Element;
use crate::dead_letter::BadRecord;
use crate::error::{Error, Result};
use crate::graph::{
    Kind, Lowered, NodeContext, NodeSpec, Operator, OutputSpec, PREPARED, Polled, Port, Progress,
    Receiver, SinkTask, StateOut, WorkerContext, only_port,
};
use crate::metrics::{Counter, DEAD_LETTERS};
use crate::pcollection::PCollection;
use crate::user_code::{describe, panic_message};

/// The number of batches that wait for a writer before its worker takes no new input.
pub(crate) const QUEUED_BATCHES: usize = 4;

/// The number of attempts at a batch, and the pause after the first; each further one is twice
/// as long.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

impl<T: Element> PCollection<T> {
    /// Writes every element into a sink; returns the records that it refused.
    ///
    /// A refused record that nothing consumes ends the job with an error that names it: nothing
    /// is lost silently. See [`Sink`] for an example.
    pub fn write<S: Sink<Item = T>>(&self, name: &str, sink: S) -> Written {
        let (exclusive_path, promise) = (sink.exclusive_path(), sink.promise());
        let sink = Arc::new(sink);
        let output = self.output_like::<BadRecord>().named("refused");
        let hooked = Arc::clone(&sink);
        let path = self.pipeline().graph().path_of(name);
        let mut spec = NodeSpec::new(
            name,
            Kind::Write,
            vec![self.id()],
            vec![output],
            move |context, ports| {
                let write = Write::new(context, Arc::clone(&sink), only_port(ports)?)?;
                Ok(Lowered::driven(write))
            },
        );
        spec.exclusive_path = exclusive_path;
        spec.detail = Some(promise.to_string());
        spec.sink = Some(Arc::new(move |task| {
            let (sink, path) = (Arc::clone(&hooked), path.clone());
            Box::pin(async move {
                let done = |()| 0;
                let (what, ended) = match task {
                    SinkTask::Recover(last) => {
                        ("recover", sink.recover(last.map(Recovery::from)).await)
                    }
                    SinkTask::Commit(epoch, prepared) => {
                        ("commit", sink.commit(epoch, prepared).await.map(done))
                    }
                    SinkTask::Suspend => ("suspend", sink.suspend().await.map(done)),
                    SinkTask::Finish(succeeded) => {
                        ("finish", sink.finish(succeeded).await.map(done))
                    }
                };
                ended.map_err(|error| Error::source_failed(what, &path, error))
            })
        }));
        Written {
            refused: self.add(spec),
        }
    }

    /// Ends the collection in a function of batches.
    pub(crate) fn end<F: FnMut(&Batch<T>) + 'static>(
        &self,
        name: &str,
        kind: Kind,
        detail: String,
        start: impl Fn(&NodeContext<'_>) -> F + Send + Sync + 'static,
    ) {
        struct End<F>(F);
        impl<T, F: FnMut(&Batch<T>)> Receiver<T> for End<F> {
            fn push(&mut self, batch: &mut Batch<T>) -> Result<()> {
                (self.0)(batch);
                batch.clear();
                Ok(())
            }
        }
        let none: Vec<OutputSpec> = vec![];
        let spec = NodeSpec::new(name, kind, vec![self.id()], none, move |context, _| {
            Ok(Lowered::passive::<T>(End(start(context))))
        });
        self.pipeline().add(spec.detail(detail));
    }
}

/// What a sink refused.
pub struct Written {
    /// The records that the sink refused for good, each with its reason.
    pub refused: PCollection<BadRecord>,
}

/// Elements on their way into the sink, with the oldest bundle that they belong to.
struct Waiting<T> {
    bundle: u64,
    batch: Batch<T>,
    /// How far the watermark has come behind these elements, where the sink wants to hear of it.
    watermark: Option<crate::time::Timestamp>,
}

type Done<T, W> = (W, Waiting<T>, Result<Vec<Rejected>>);

type Preparing<W> = Pin<Box<dyn Future<Output = (W, Result<Vec<u8>>)>>>;

enum State<T, W> {
    Ready(W),
    Writing(Pin<Box<dyn Future<Output = Done<T, W>>>>),
    Preparing(Preparing<W>),
    Closing(Pin<Box<dyn Future<Output = Result<()>>>>),
    Closed,
}

struct Write<S: Sink> {
    state: State<S::Item, S::Writer>,
    /// Written batches and the bundle of the one being written.
    sequence: u64,
    writing: Option<(u64, crate::time::Timestamp)>,
    building: Waiting<S::Item>,
    queue: VecDeque<Waiting<S::Item>>,
    max_batch: usize,
    /// The watermark that the writer was last told, if it wants to hear of it.
    told: Option<crate::time::Timestamp>,
    /// What was prepared for the epoch that ends.
    prepared: Option<Vec<u8>>,
    input: Progress,
    uncommitted: Rc<Cell<u64>>,
    refused: Port<BadRecord>,
    refused_is_consumed: bool,
    dead_letters: Counter,
    context: WorkerContext,
    path: Arc<str>,
}

impl<S: Sink> Write<S> {
    fn new(context: &NodeContext<'_>, sink: Arc<S>, refused: Port<BadRecord>) -> Result<Self> {
        let path = context.path();
        let (worker, in_epochs) = (context.worker.index, context.worker.settings.snapshots);
        let opened = catch_unwind(AssertUnwindSafe(|| match in_epochs {
            true => sink.open_in_epochs(worker),
            false => sink.open(worker),
        }));
        let writer = match opened {
            Ok(writer) => writer.map_err(|e| Error::source_failed("open", &path, e))?,
            Err(panic) => return Err(panicked("open", &path, &*panic)),
        };
        let uncommitted = Rc::new(Cell::new(u64::MAX));
        let cells = &context.worker.uncommitted;
        cells.borrow_mut().push(Rc::clone(&uncommitted));
        let max_batch = sink.max_batch().max(1);
        Ok(Write {
            state: State::Ready(writer),
            sequence: 0,
            writing: None,
            building: Waiting::new(),
            queue: VecDeque::new(),
            max_batch,
            told: sink
                .follows_watermark()
                .then_some(crate::time::Timestamp::MIN),
            prepared: None,
            input: Progress::START,
            uncommitted,
            refused,
            refused_is_consumed: context.output_is_consumed(0),
            dead_letters: context.counter(DEAD_LETTERS),
            context: context.worker.clone(),
            path,
        })
    }

    /// Puts what has gathered into the queue.
    fn enqueue(&mut self) {
        if !self.building.batch.is_empty() {
            let waiting = std::mem::replace(&mut self.building, Waiting::new());
            self.queue.push_back(waiting);
        }
    }

    /// Has the writer hear of the watermark, behind all that has gathered.
    fn tell(&mut self, watermark: crate::time::Timestamp) {
        let Some(told) = &mut self.told else { return };
        if watermark <= *told {
            return;
        }
        *told = watermark;
        if self.queue.is_empty() {
            self.queue.push_back(Waiting::new());
        }
        if let Some(last) = self.queue.back_mut() {
            last.watermark = Some(watermark);
        }
    }

    /// Returns the oldest bundle with elements that are not committed.
    fn oldest(&self) -> u64 {
        let waiting = self.queue.iter().chain(std::iter::once(&self.building));
        let bundles = waiting.map(|w| w.bundle);
        let writing = self.writing.map(|(bundle, _)| bundle);
        bundles.chain(writing).min().unwrap_or(u64::MAX)
    }

    /// Returns the earliest timestamp that a refusal may still have.
    fn hold(&self) -> crate::time::Timestamp {
        let waiting = self.queue.iter().filter_map(|w| w.batch.earliest());
        let writing = self.writing.map(|(_, earliest)| earliest);
        waiting
            .chain(writing)
            .min()
            .unwrap_or(crate::time::Timestamp::MAX)
    }

    fn start_write(&mut self, writer: S::Writer, waiting: Waiting<S::Item>) {
        let sequence = self.sequence;
        self.sequence += u64::from(!waiting.batch.is_empty());
        let earliest = waiting.batch.earliest();
        let earliest = earliest.unwrap_or(crate::time::Timestamp::MAX);
        self.writing = Some((waiting.bundle, earliest));
        self.state = State::Writing(Box::pin(write(writer, waiting, sequence)));
    }

    /// Passes on what the sink refused, under the bundle that it came in.
    fn refuse(&mut self, waiting: &Waiting<S::Item>, rejected: Vec<Rejected>) -> Result<()> {
        let now = self.context.clock.now();
        let mut records = Batch::default();
        for Rejected { index, failure } in rejected {
            let Some(value) = waiting.batch.values.get(index) else {
                let message = format!("the sink refused record {index} of a smaller batch");
                return Err(Error::user(&self.path, "write", None, message));
            };
            self.dead_letters.add(1);
            if !self.refused_is_consumed {
                let message = format!(
                    "{} (write `.refused` somewhere to keep such records and go on)",
                    failure.chain.join(": ")
                );
                return Err(Error::user(
                    &self.path,
                    "write",
                    Some(describe(value)),
                    message,
                ));
            }
            let stamp = waiting.batch.stamp(index);
            let record = BadRecord::new(value, failure, &self.path, stamp.timestamp, now);
            records.push(record, stamp);
        }
        if !records.is_empty() {
            self.context.bundle.lower_tag(waiting.bundle);
            self.refused.push(&mut records)?;
        }
        Ok(())
    }
}

impl<T> Waiting<T> {
    fn new() -> Self {
        Waiting {
            bundle: u64::MAX,
            batch: Batch::default(),
            watermark: None,
        }
    }
}

/// Writes a batch, and tells the watermark behind it.
async fn write<T, W: Writer<T>>(mut writer: W, waiting: Waiting<T>, sequence: u64) -> Done<T, W> {
    let batch = &waiting.batch;
    let mut written = match batch.is_empty() {
        true => Ok(Vec::new()),
        false => {
            again(async |attempt| {
                let batch = WriteBatch {
                    records: &batch.values,
                    sequence,
                    attempt,
                    stamps: &batch.stamps,
                };
                writer.write(&batch).await
            })
            .await
        }
    };
    if let (Ok(_), Some(watermark)) = (&written, waiting.watermark)
        && let Err(error) = again(async |_| writer.advance(watermark).await).await
    {
        written = Err(error);
    }
    (writer, waiting, written)
}

/// Calls the writer, again while the error is transient.
async fn again<R>(mut call: impl AsyncFnMut(u32) -> Result<R>) -> Result<R> {
    let mut pause = FIRST_PAUSE;
    let mut attempt = 0;
    loop {
        let done = call(attempt).await;
        attempt += 1;
        match done {
            Err(error) if error.is_transient() && attempt < ATTEMPTS => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(error) if error.is_transient() => {
                let message = format!("{error} (after {attempt} attempts)");
                return Err(Error::connector(message));
            }
            done => return done,
        }
    }
}

impl<S: Sink> Receiver<S::Item> for Write<S> {
    fn push(&mut self, batch: &mut Batch<S::Item>) -> Result<()> {
        let tag = self.context.bundle.tag();
        self.uncommitted.set(self.uncommitted.get().min(tag));
        for (value, stamp) in batch.drain() {
            self.building.bundle = self.building.bundle.min(tag);
            self.building.batch.push(value, stamp);
            if self.building.batch.len() >= self.max_batch {
                self.enqueue();
            }
        }
        Ok(())
    }
}

impl<S: Sink> Operator for Write<S> {
    fn end_bundle(&mut self, input: Progress) -> Result<Progress> {
        self.enqueue();
        self.tell(input.watermark);
        self.input = input;
        self.uncommitted.set(self.oldest());
        let held = input.held_at(self.hold());
        // A writer that closes refuses nothing any more; in a run with snapshots it closes only
        // behind the last of them, which needs all refusals to have gone through.
        let closed = match self.state {
            State::Closed => true,
            _ => self.context.settings.snapshots && input.closed && self.is_quiet(),
        };
        Ok(Progress { closed, ..held })
    }

    fn poll(&mut self, context: &mut Context<'_>, room: bool) -> Result<Polled> {
        let mut polled = Polled::default();
        if room {
            polled.worked = self.go_on(context)?;
        }
        polled.blocked = self.queue.len() >= QUEUED_BATCHES;
        Ok(polled)
    }

    fn is_quiet(&self) -> bool {
        let at_rest = matches!(self.state, State::Ready(_) | State::Closed);
        at_rest && self.queue.is_empty() && self.building.batch.is_empty()
    }

    fn poll_prepare(&mut self, context: &mut Context<'_>, epoch: u64) -> Result<Poll<()>> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Ready(mut writer) if self.prepared.is_none() => {
                self.state = State::Preparing(Box::pin(async move {
                    let prepared = writer.prepare(epoch).await;
                    (writer, prepared)
                }));
                self.poll_prepare(context, epoch)
            }
            State::Preparing(mut preparing) => match poll(&mut preparing, context) {
                Ok(Poll::Pending) => {
                    self.state = State::Preparing(preparing);
                    Ok(Poll::Pending)
                }
                Ok(Poll::Ready((writer, prepared))) => {
                    self.state = State::Ready(writer);
                    let prepared =
                        prepared.map_err(|e| Error::source_failed("prepare", &self.path, e))?;
                    self.prepared = Some(prepared);
                    Ok(Poll::Ready(()))
                }
                Err(panic) => Err(panicked("prepare", &self.path, &*panic)),
            },
            state => {
                self.state = state;
                Ok(Poll::Ready(()))
            }
        }
    }

    fn save(&mut self, out: &mut StateOut<'_>) -> Result<()> {
        match self.prepared.take() {
            Some(prepared) => out.put_bytes(PREPARED, prepared),
            None => Err(Error::internal("a sink was not prepared for a snapshot")),
        }
    }

    fn is_finished(&self) -> bool {
        matches!(self.state, State::Closed)
    }
}

impl<S: Sink> Write<S> {
    fn may_close(&self) -> bool {
        !self.context.settings.snapshots || self.context.epochs.is_last_over.get()
    }

    /// Takes the next step: begins a write, hears of its end, closes.
    fn go_on(&mut self, context: &mut Context<'_>) -> Result<bool> {
        let path = Arc::clone(&self.path);
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Ready(mut writer) => {
                if let Some(waiting) = self.queue.pop_front() {
                    self.start_write(writer, waiting);
                } else if self.input.closed && self.building.batch.is_empty() && self.may_close() {
                    let close = async move { writer.close().await };
                    self.state = State::Closing(Box::pin(close));
                } else {
                    self.state = State::Ready(writer);
                    return Ok(false);
                }
                self.go_on(context)?;
                Ok(true)
            }
            State::Writing(mut writing) => match poll(&mut writing, context) {
                Ok(Poll::Pending) => {
                    self.state = State::Writing(writing);
                    Ok(false)
                }
                Ok(Poll::Ready((writer, waiting, written))) => {
                    self.state = State::Ready(writer);
                    self.writing = None;
                    let rejected = written.map_err(|e| Error::source_failed("write", &path, e))?;
                    self.refuse(&waiting, rejected)?;
                    Ok(true)
                }
                Err(panic) => Err(panicked("write", &path, &*panic)),
            },
            State::Closing(mut closing) => match poll(&mut closing, context) {
                Ok(Poll::Pending) => {
                    self.state = State::Closing(closing);
                    Ok(false)
                }
                Ok(Poll::Ready(closed)) => {
                    closed.map_err(|e| Error::source_failed("close", &path, e))?;
                    Ok(true)
                }
                Err(panic) => Err(panicked("close", &path, &*panic)),
            },
            State::Preparing(preparing) => {
                self.state = State::Preparing(preparing);
                Ok(false)
            }
            State::Closed => Ok(false),
        }
    }
}

fn poll<F: Future + Unpin>(
    future: &mut F,
    context: &mut Context<'_>,
) -> std::thread::Result<Poll<F::Output>> {
    catch_unwind(AssertUnwindSafe(|| Pin::new(future).poll(context)))
}

fn panicked(what: &'static str, path: &str, panic: &(dyn std::any::Any + Send)) -> Error {
    let cause = format!("panic: {}", panic_message(panic));
    Error::user(path, what, None, cause)
}
