//! The input as a bounded source, without a topic.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex};

use pipeline_core::prelude::*;
use tokio::sync::mpsc;

use super::input::{LineCounts, LineReader};
use super::record::Record;

/// Opens an input: once for each run.
pub type OpenInput = Arc<dyn Fn() -> std::io::Result<Box<dyn Read + Send>> + Send + Sync>;

/// Reads lines from an input of any kind.
pub type Lines = LineReader<Box<dyn BufRead + Send>>;

/// The size of the buffer in front of an input, in bytes.
const BUFFER: usize = 64 * 1024;

/// The number of records that are read ahead from an input that may keep its reader waiting.
const READ_AHEAD: usize = 1_024;

/// Wraps an input into a line reader.
pub fn lines(input: Box<dyn Read + Send>) -> Lines {
    LineReader::new(Box::new(BufReader::with_capacity(BUFFER, input)))
}

/// Reads the lines of an input in their order; one part, since the ids are a running hash.
///
/// A message has the time at which it was sent; an order event and what is no valid record come at
/// [`Timestamp::MIN`], which is the watermark of a bounded source until it ends.
pub struct FileSource {
    open: OpenInput,
    counts: Arc<Mutex<LineCounts>>,
    may_wait: bool,
}

impl FileSource {
    /// Reads what `open` opens, and keeps in `counts` how many lines there were of each kind so far.
    ///
    /// An input that `may_wait` (standard input, say) is read on a thread of its own, so that it holds up no worker.
    pub fn new(open: OpenInput, counts: Arc<Mutex<LineCounts>>, may_wait: bool) -> Self {
        FileSource {
            open,
            counts,
            may_wait,
        }
    }
}

impl Source for FileSource {
    type Item = Record;
    type Split = ();
    type Ack = ();
    type Reader = FileReader;

    fn is_bounded(&self) -> bool {
        true
    }

    fn split(&self, _desired: usize) -> Result<Vec<()>, Error> {
        Ok(vec![()])
    }

    fn open(&self, (): (), _: &ReadContext) -> Result<FileReader, Error> {
        let (open, counts) = (Arc::clone(&self.open), Arc::clone(&self.counts));
        Ok(FileReader(if self.may_wait {
            Records::Ahead(read_ahead(open, counts)?)
        } else {
            Records::Here(Box::new(opened(&open, counts)?))
        }))
    }
}

/// Reads lines for a [`FileSource`].
pub struct FileReader(Records);

enum Records {
    Here(Box<Lines>),
    Ahead(mpsc::Receiver<Result<Record, Error>>),
}

fn opened(open: &OpenInput, counts: Arc<Mutex<LineCounts>>) -> Result<Lines, Error> {
    let input = open().map_err(|error| Error::io("opening the input", error))?;
    Ok(lines(input).telling(counts))
}

fn next(lines: &mut Lines) -> Option<Result<Record, Error>> {
    match lines.next_line() {
        Ok(Some(line)) => Some(Ok(Record::from_line(line))),
        Ok(None) => None,
        Err(error) => Some(Err(Error::io("reading the input", error))),
    }
}

/// Reads on a thread, which ends when nobody wants its records any more. To open a pipe may take as long as to read it,
/// so the thread does that too.
fn read_ahead(
    open: OpenInput,
    counts: Arc<Mutex<LineCounts>>,
) -> Result<mpsc::Receiver<Result<Record, Error>>, Error> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let read = move || {
        let mut lines = match opened(&open, counts) {
            Ok(lines) => lines,
            Err(error) => {
                // Whoever does not listen any more has no use for the reason.
                let _ = sender.blocking_send(Err(error));
                return;
            }
        };
        while let Some(record) = next(&mut lines) {
            let failed = record.is_err();
            if sender.blocking_send(record).is_err() || failed {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("input".into());
    let spawned = thread.spawn(read);
    spawned.map_err(|error| Error::io("starting a thread for the input", error))?;
    Ok(receiver)
}

impl Reader<Record, ()> for FileReader {
    async fn read(&mut self, batch: &mut ReadBatch<Record, ()>) -> Result<ReadStatus, Error> {
        while batch.room() > 0 {
            let record = match &mut self.0 {
                Records::Here(lines) => next(lines),
                Records::Ahead(records) if batch.is_empty() => records.recv().await,
                Records::Ahead(records) => match records.try_recv() {
                    Ok(record) => Some(record),
                    Err(mpsc::error::TryRecvError::Empty) => return Ok(ReadStatus::More),
                    Err(mpsc::error::TryRecvError::Disconnected) => None,
                },
            };
            let Some(record) = record else {
                return Ok(ReadStatus::Ended);
            };
            let record = record?;
            let timestamp = record.event_time().unwrap_or(Timestamp::MIN);
            batch.push(record, timestamp);
        }
        Ok(ReadStatus::More)
    }
}
