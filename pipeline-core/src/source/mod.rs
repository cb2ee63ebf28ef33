//! Sources: where elements come from.
//!
//! Implement [`Source`] and [`Reader`] for a source of your own; `read` adds it to a pipeline.
//!
//! What the sources here promise, for a run that succeeds:
//!
//! | source | verbs | read by | each element | if the run fails |
//! |---|---|---|---|---|
//! | memory | [`create`](crate::Pipeline::create), [`create_timestamped`](crate::Pipeline::create_timestamped) | all workers | exactly once | is there again in the next run |
//! | text files, [`Text`] | [`read_lines`](crate::Pipeline::read_lines), [`read_json`](crate::Pipeline::read_json) | all workers; a compressed file by one | exactly once | is there again in the next run |
//! | standard input and pipes, [`Text`] | the same | one worker, and a thread that waits | exactly once | is gone: a pipe cannot be read again |
//!
//! A run that resumes from a snapshot goes on where it was; only standard input and pipes cannot
//! ([`Resume`]). None of them acknowledges anything. A record that cannot be read as what it should be is a dead
//! letter, never dropped; what is skipped is counted.

mod create;
mod csv;
mod json;
mod policy;
mod position;
mod pulse;
mod read;
mod text;

use std::future::Future;

pub use self::csv::{CsvRecords, CsvSource};
pub use policy::WatermarkPolicy;
pub use position::Position;
pub use text::{LineSource, Text, TextReader, TextSplit};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::clock::Clock;
use crate::coder::{Element, decode_strictly};
use crate::error::{Error, Result};
use crate::metrics::{Counter, Metrics};
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Describes an input, bounded or not, that can be read in parts.
///
/// The engine calls [`Source::split`] once a run, and opens each part on one worker: the parts of
/// a bounded source one after another as workers become free, those of an unbounded one all at
/// once. It polls the readers on its own threads, inside a tokio runtime: `async` code may use
/// tokio's timers and sockets; it should not block for long.
///
/// A source acknowledges: what a [`Reader`] says with [`ReadBatch::acknowledge_with`] comes back
/// to [`Source::acknowledge`] when the bundle that had the batch has ended and the sinks that its
/// elements went to on that worker have committed them. What is not acknowledged when a job ends
/// should be delivered again to the next one.
///
/// ```
/// use pipeline_core::prelude::*;
///
/// /// The numbers below a limit.
/// struct Numbers(u64);
///
/// impl Source for Numbers {
///     type Item = u64;
///     type Split = std::ops::Range<u64>;
///     type Ack = ();
///     type Reader = NumbersReader;
///
///     fn is_bounded(&self) -> bool {
///         true
///     }
///     fn split(&self, desired: usize) -> Result<Vec<Self::Split>, Error> {
///         let step = (self.0 / desired as u64).max(1);
///         let starts = (0..self.0).step_by(step as usize);
///         Ok(starts.map(|start| start..self.0.min(start + step)).collect())
///     }
///     fn open(&self, split: Self::Split, _: &ReadContext) -> Result<NumbersReader, Error> {
///         Ok(NumbersReader(split))
///     }
/// }
///
/// struct NumbersReader(std::ops::Range<u64>);
///
/// impl Reader<u64, ()> for NumbersReader {
///     async fn read(&mut self, batch: &mut ReadBatch<u64, ()>) -> Result<ReadStatus, Error> {
///         for number in self.0.by_ref().take(batch.room()) {
///             batch.push(number, Timestamp::MIN);
///         }
///         Ok(if self.0.is_empty() { ReadStatus::Ended } else { ReadStatus::More })
///     }
/// }
///
/// let pipeline = Pipeline::build(|p| {
///     p.read("Numbers", Numbers(10))
///         .sum_globally("Sum")
///         .check("Is45", |sums| assert_eq!(sums, [45]));
/// })?;
/// DirectRunner::new().run(&pipeline)?;
/// # Ok::<(), Error>(())
/// ```
pub trait Source: Send + Sync + 'static {
    /// The elements.
    type Item: Element;
    /// A part of the input.
    type Split: Send + 'static;
    /// What acknowledges a batch; `()` where there is nothing to say.
    type Ack: Send + 'static;
    /// Reads a part.
    type Reader: Reader<Self::Item, Self::Ack>;

    /// Tells whether the input ends.
    fn is_bounded(&self) -> bool;

    /// Divides the input into parts, about `desired` of them, in an order that does not change.
    fn split(&self, desired: usize) -> Result<Vec<Self::Split>>;

    /// Opens a part.
    fn open(&self, split: Self::Split, context: &ReadContext) -> Result<Self::Reader>;

    /// Takes back what acknowledges batches, in the order in which they were read. Default:
    /// nothing to do.
    fn acknowledge(&self, _acks: Vec<Self::Ack>) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Ends what the source holds outside its readers, once for each run, when all workers have ended,
    /// however they have: connections, acknowledgements on their way. Nothing is read or acknowledged
    /// any more. It may take 5 s; its error is the run's, unless that has one already. Default: nothing
    /// to do.
    fn close(&self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Says how a run with snapshots goes on after a crash. Default: [`Resume::Never`], and such a
    /// run refuses the source.
    fn resume(&self) -> Resume {
        Resume::Never
    }

    /// Returns the bytes of unacknowledged input, of all parts together, at which the source
    /// delivers no more. So that it cannot wait for ever for groups that are open, a run with
    /// snapshots takes one, whatever the interval, at half of that, and when something is
    /// unacknowledged and nothing has come of it for 100 ms. Default: there is no such limit.
    fn most_unacknowledged(&self) -> Option<u64> {
        None
    }

    /// Tells whether a read must wait until everything that the one before caused has come to
    /// rest on all workers; only a run with a seed can tell. Default: no.
    #[doc(hidden)]
    fn reads_at_rest(&self) -> bool {
        false
    }

    /// Says after how long without an element a part counts as idle: it then holds the others
    /// back no longer, and its watermark follows the wall time by what has elapsed since it was
    /// last heard of. Default: never; the watermark stands still.
    fn idle_after(&self) -> Option<Duration> {
        None
    }
}

/// Reads a part of a [`Source`].
pub trait Reader<T, A>: 'static {
    /// Puts the next elements into `batch`, [`ReadBatch::room`] of them at most; waits while
    /// there are none.
    ///
    /// The future is dropped when the job stops: what it had taken and not put into a batch must
    /// not be lost for good. An error ends the job; a reader retries what may pass by itself.
    fn read(&mut self, batch: &mut ReadBatch<T, A>) -> impl Future<Output = Result<ReadStatus>>;

    /// Returns a time before which no further element is expected from this part; one that comes
    /// all the same is late. It never goes back. Default: [`Timestamp::MIN`], which is right for
    /// a bounded source: its watermark moves once, when it ends.
    fn watermark(&self) -> Timestamp {
        Timestamp::MIN
    }

    /// Says where to go on from after a crash; asked when a snapshot is taken, while no read is
    /// under way. All that was put into a batch is in the snapshot. Default: nothing.
    fn position(&mut self) -> Result<Position> {
        Ok(Position::default())
    }
}

/// Says how a source goes on where a snapshot was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// It cannot.
    Never,
    /// A part is opened again at the [`Position`] that its reader gave, however far a later run
    /// had come.
    Position,
    /// What was not acknowledged is delivered again; the position says what needs to be known
    /// then, such as the ids already taken in. What was acknowledged is gone.
    Redelivery,
}

/// Says whether a part goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadStatus {
    /// There may be more.
    More,
    /// Nothing follows.
    Ended,
}

/// Tells a reader where it runs.
pub struct ReadContext {
    pub(crate) path: Arc<str>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) position: Option<Position>,
}

impl ReadContext {
    /// Returns the path of the transform.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the position at which the part is opened, if the run resumes from a snapshot.
    ///
    /// # Errors
    /// When it is no `P`: the program has changed.
    pub fn position<P: DeserializeOwned>(&self) -> Result<Option<P>> {
        let Some(Position { bytes, .. }) = &self.position else {
            return Ok(None);
        };
        if bytes.is_empty() {
            return Ok(None);
        }
        let position = decode_strictly(&mut bytes.as_slice());
        position.map(Some).map_err(|error| {
            Error::option(format!(
                "the position in the snapshot does not fit the program: {error}"
            ))
        })
    }

    /// Returns the pieces of that position, each with its number, in the order in which they were
    /// given; none if the run begins anew.
    pub fn pieces(&self) -> &[(u64, Bytes)] {
        self.position.as_ref().map_or(&[], |p| &p.pieces)
    }

    /// Returns the engine's wall time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns a counter of the transform, for what the reader alone knows: records skipped, say.
    pub fn counter(&self, name: &'static str) -> Counter {
        self.metrics.counter(&self.path, name)
    }
}

/// Takes what a reader reads.
pub struct ReadBatch<T, A> {
    pub(crate) batch: crate::batch::Batch<T>,
    pub(crate) acks: Vec<A>,
    /// The bytes that `acks` stand for.
    pub(crate) ack_bytes: u64,
    pub(crate) room: usize,
}

impl<T, A> ReadBatch<T, A> {
    /// Returns how many elements may still be added.
    pub fn room(&self) -> usize {
        self.room.saturating_sub(self.batch.len())
    }

    /// Tells whether nothing has been added yet.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Adds an element with its event time, in the global window.
    pub fn push(&mut self, value: T, timestamp: Timestamp) {
        self.batch.push(value, crate::batch::Stamp::at(timestamp));
    }

    /// Hands over what acknowledges the elements so far.
    pub fn acknowledge_with(&mut self, ack: A) {
        self.acknowledge_sized(ack, size_of::<A>() as u64);
    }

    /// Hands over what acknowledges the elements so far, of so many bytes: a run with snapshots
    /// takes one when much is not acknowledged.
    pub fn acknowledge_sized(&mut self, ack: A, bytes: u64) {
        self.acks.push(ack);
        self.ack_bytes += bytes;
    }
}
