//! Sinks: where elements go.
//!
//! Implement [`Sink`] and [`Writer`] for a sink of your own; `write` adds it to a pipeline.
//!
//! What the sinks here promise:
//!
//! | sink | an element is there | if a write is tried again | if the run fails | if the process is killed | with snapshots |
//! |---|---|---|---|---|---|
//! | [`TextSink`]: lines, JSON, CSV, dead letters | when the run ends, exactly once | replaced | nothing is there, the old file stays | the same; a temporary file may stay | [transactional](Promise::Transactional): the next run goes on with the temporary files |
//!
//! Several sinks of a pipeline publish one after the other: when one of them fails to, those before
//! it have published.

mod text;
mod write;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;

/// How records are shown as text: what sinks of files are made of.
pub mod format {
    pub use super::text::{Csv, DeadLetters, Format, Json, Lines};
}

pub use crate::batch::{Stamp, Stamps};
pub use text::{TextSink, TextWriter};
pub use write::Written;

use crate::coder::Element;
use crate::dead_letter::Failure;
use crate::error::Result;
use crate::time::Timestamp;

/// Describes an output.
///
/// Each worker opens a [`Writer`] and hands it batches. When all have closed theirs,
/// [`Sink::finish`] runs once: the place to publish what must appear whole or not at all.
///
/// A transient error ([`Error::is_transient`](crate::Error::is_transient)) of a write is retried
/// with the same batch, five attempts in all, 100 ms after the first and twice as long after each
/// further one; then, as with any other error, the job ends. So a write must be idempotent: a
/// batch that comes again has the same [`WriteBatch::sequence`].
///
/// ```
/// use std::sync::Mutex;
/// use pipeline_core::prelude::*;
///
/// /// Keeps lines in memory.
/// struct Memory(&'static Mutex<Vec<String>>);
///
/// impl Sink for Memory {
///     type Item = String;
///     type Writer = MemoryWriter;
///     fn open(&self, _worker: usize) -> Result<MemoryWriter, Error> {
///         Ok(MemoryWriter(self.0))
///     }
/// }
///
/// struct MemoryWriter(&'static Mutex<Vec<String>>);
///
/// impl Writer<String> for MemoryWriter {
///     async fn write(&mut self, batch: &WriteBatch<'_, String>) -> Result<Vec<Rejected>, Error> {
///         self.0.lock().unwrap().extend_from_slice(batch.records);
///         Ok(Vec::new())
///     }
/// }
///
/// static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// let pipeline = Pipeline::build(|p| {
///     p.create("Lines", vec!["a".to_string()]).write("Keep", Memory(&LINES));
/// })?;
/// DirectRunner::new().run(&pipeline)?;
/// assert_eq!(*LINES.lock().unwrap(), ["a"]);
/// # Ok::<(), Error>(())
/// ```
pub trait Sink: Send + Sync + 'static {
    /// The elements.
    type Item: Element;
    /// Writes batches on one worker.
    type Writer: Writer<Self::Item>;

    /// Opens the writer of the worker with that index.
    fn open(&self, worker: usize) -> Result<Self::Writer>;

    /// Says how often an element is there after a crash, in a run with snapshots; drawings of the
    /// pipeline say it too. Default: [`Promise::AtLeastOnce`].
    fn promise(&self) -> Promise {
        Promise::AtLeastOnce
    }

    /// Opens the writer of a worker in a run with snapshots: what a transactional sink writes stays
    /// invisible until [`Sink::commit`]. Default: as in other runs.
    fn open_in_epochs(&self, worker: usize) -> Result<Self::Writer> {
        self.open(worker)
    }

    /// Makes visible what the writers have [prepared](Writer::prepare) for an epoch. It must be
    /// idempotent: after a crash it is repeated, as a part of [`Sink::recover`]. What would be
    /// refused must be refused by `write`: here it is too late. Default: nothing to do.
    fn commit(
        &self,
        _epoch: u64,
        _prepared: Vec<Vec<u8>>,
    ) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Begins a run with snapshots, before a writer is opened. With `last`, it repeats the commit
    /// of that epoch, and discards what was written behind it. Default: the commit.
    ///
    /// Returns the greatest epoch that it knows to have been committed, 0 if it keeps no such mark.
    /// It can be greater than that of `last`: the newest snapshot was removed, say, or an older
    /// copy of the folder put back. The run numbers its epochs behind those of all its sinks and
    /// of the folder, so that a sink which passes over an epoch that it has committed may take any
    /// number that it knows for one that is repeated. A sink that could not undo, or tell again,
    /// what came behind `last` must refuse.
    fn recover(&self, last: Option<Recovery>) -> impl Future<Output = Result<u64>> + Send {
        async {
            let Some(Recovery {
                epoch, prepared, ..
            }) = last
            else {
                return Ok(0);
            };
            self.commit(epoch, prepared).await?;
            Ok(epoch)
        }
    }

    /// Ends the output of a run that was stopped and will be resumed from its last snapshot.
    /// Default: as at the end.
    fn suspend(&self) -> impl Future<Output = Result<()>> + Send {
        self.finish(true)
    }

    /// Ends the output when all writers have ended: publishes it if the run `succeeded` (or was
    /// stopped in good order), else clears it away as far as it can. Default: nothing to do.
    fn finish(&self, _succeeded: bool) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Returns the file, or the pattern of files, that no other sink may write: a pipeline with two
    /// sinks of the same is refused when it is built. Default: none, the place can be shared.
    fn exclusive_path(&self) -> Option<PathBuf> {
        None
    }

    /// Says whether the writers are to hear of the watermark: [`Writer::advance`]. Default: no, and it
    /// costs nothing.
    fn follows_watermark(&self) -> bool {
        false
    }

    /// Returns the greatest number of records of a batch. Default: 1,000.
    fn max_batch(&self) -> usize {
        1_000
    }
}

/// Says how often an element that was written is there, whatever crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Once: it becomes visible with the epoch that it belongs to.
    Transactional,
    /// Once, since a record that comes again replaces itself or is known by its id.
    Idempotent,
    /// Once or more often: what was written behind the last snapshot is written again.
    AtLeastOnce,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Promise::Transactional => "transactional",
            Promise::Idempotent => "idempotent",
            Promise::AtLeastOnce => "at least once",
        })
    }
}

/// Says where a sink goes on.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// The epoch of the snapshot.
    pub epoch: u64,
    /// What the writers had prepared for it, each its own; there may be more or fewer of them now.
    pub prepared: Vec<Vec<u8>>,
    /// All input had been read with that epoch, and everything written: the output may have been
    /// [finished](Sink::finish), in part or as a whole, and will be again.
    pub drained: bool,
}

impl From<crate::graph::Recovery> for Recovery {
    fn from(recovery: crate::graph::Recovery) -> Self {
        Recovery {
            epoch: recovery.epoch,
            prepared: recovery.prepared,
            drained: recovery.drained,
        }
    }
}

/// Writes the batches of one worker.
pub trait Writer<T>: 'static {
    /// Writes a batch, and commits it: when the future is ready, what was not rejected survives a
    /// crash as far as the sink promises. Returns the records that were refused for good.
    fn write(&mut self, batch: &WriteBatch<'_, T>) -> impl Future<Output = Result<Vec<Rejected>>>;

    /// Hears how far the input's watermark has come on this worker, behind the batches that came
    /// before: no record of a window that ends at or before it follows, but for late ones. It is
    /// called between two writes, with ever greater times, if [`Sink::follows_watermark`]; an error is
    /// treated as one of a write. At the end of the input, but not when the run is stopped, it is
    /// [`Timestamp::MAX`]. A run that resumes begins anew: what the run before was told is not told
    /// again until the watermark moves. Default: nothing.
    fn advance(&mut self, _watermark: Timestamp) -> impl Future<Output = Result<()>> {
        async { Ok(()) }
    }

    /// Ends an epoch, while nothing is being written: what was written and not rejected must from
    /// now on survive a crash, in the bytes returned (which the snapshot keeps) or where the sink
    /// keeps it, and be invisible until [`Sink::commit`]. Default: nothing.
    fn prepare(&mut self, _epoch: u64) -> impl Future<Output = Result<Vec<u8>>> {
        async { Ok(Vec::new()) }
    }

    /// Closes the writer after its last batch. Default: nothing to do.
    fn close(&mut self) -> impl Future<Output = Result<()>> {
        async { Ok(()) }
    }
}

/// Holds the records of one write.
#[derive(Clone, Copy, Debug)]
pub struct WriteBatch<'a, T> {
    /// The records.
    pub records: &'a [T],
    /// Numbers the batches of a writer from 0; a batch that is retried keeps its number.
    pub sequence: u64,
    /// Numbers the attempts at this batch from 0.
    pub attempt: u32,
    /// When and where the records are: [`WriteBatch::stamp`].
    pub stamps: &'a Stamps,
}

impl<'a, T> WriteBatch<'a, T> {
    /// Makes a batch of records without a time, in the global window, at the first attempt: for tests
    /// of a writer.
    pub fn new(records: &'a [T], sequence: u64) -> Self {
        static ROOT: Stamps = Stamps::Same(Stamp::ROOT);
        WriteBatch {
            records,
            sequence,
            attempt: 0,
            stamps: &ROOT,
        }
    }

    /// Returns the event time, the window and the pane of a record.
    ///
    /// # Panics
    /// When there is no such record.
    pub fn stamp(&self, index: usize) -> Stamp {
        self.stamps.get(index)
    }
}

/// Says which record of a batch was refused, and why.
#[derive(Debug)]
pub struct Rejected {
    /// The record's place in the batch.
    pub index: usize,
    /// The reason.
    pub failure: Failure,
}
