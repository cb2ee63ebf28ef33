//! The input as a bounded source, without a topic.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex};

use pipeline_core::prelude::*;
use pipeline_core::source::Resume;
use tokio::sync::mpsc;

use super::input::{LineCounts, LineReader};
use super::position::{Position, SavedPosition};
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
#[derive(Clone)]
pub struct FileSource {
    open: OpenInput,
    counts: Arc<Mutex<LineCounts>>,
    may_wait: bool,
    position: Arc<Position>,
    resumed: Option<Behind>,
}

/// Where a run goes on in its input.
#[derive(Clone)]
pub struct Behind {
    /// What a run before had taken in.
    pub position: SavedPosition,
    /// Its snapshot.
    pub epoch: u64,
    /// Names the input.
    pub input: String,
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
            position: Arc::new(Position::at(SavedPosition::default())),
            resumed: None,
        }
    }

    /// Tells `position` what is taken in, and goes on behind what a run before had taken in.
    #[must_use]
    pub fn following(mut self, position: Arc<Position>, resumed: Option<Behind>) -> Self {
        self.position = position;
        self.resumed = resumed;
        self
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
        let records = if self.may_wait {
            Records::Ahead(read_ahead(open, counts)?)
        } else {
            let mut lines = opened(&open, counts)?;
            if let Some(behind) = &self.resumed {
                let skipped = (behind.position).skip(&mut lines, &behind.input, behind.epoch);
                skipped.map_err(Error::connector)?;
            }
            Records::Here(Box::new(lines))
        };
        Ok(FileReader {
            records,
            position: Arc::clone(&self.position),
        })
    }

    /// The position is kept beside the pipeline, as that of a publisher is.
    fn resume(&self) -> Resume {
        Resume::Position
    }
}

/// Reads lines for a [`FileSource`].
pub struct FileReader {
    records: Records,
    position: Arc<Position>,
}

enum Records {
    Here(Box<Lines>),
    Ahead(mpsc::Receiver<Result<Counted, Error>>),
}

/// A record, with the counts of the lines up to it; at the end of the input, the counts alone.
type Counted = (Option<Record>, LineCounts);

fn opened(open: &OpenInput, counts: Arc<Mutex<LineCounts>>) -> Result<Lines, Error> {
    let input = open().map_err(|error| Error::io("opening the input", error))?;
    Ok(lines(input).telling(counts))
}

fn next(lines: &mut Lines) -> Result<Counted, Error> {
    let line = lines.next_line();
    let line = line.map_err(|error| Error::io("reading the input", error))?;
    let record = line.map(Record::from_line);
    Ok((record, lines.counts()))
}

/// Reads on a thread, which ends when nobody wants its records any more. To open a pipe may take as long as to read it,
/// so the thread does that too.
fn read_ahead(
    open: OpenInput,
    counts: Arc<Mutex<LineCounts>>,
) -> Result<mpsc::Receiver<Result<Counted, Error>>, Error> {
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
        loop {
            let record = next(&mut lines);
            let is_last = !matches!(record, Ok((Some(_), _)));
            if sender.blocking_send(record).is_err() || is_last {
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
        let mut last = None;
        let status = loop {
            if batch.room() == 0 {
                break ReadStatus::More;
            }
            let counted = match &mut self.records {
                Records::Here(lines) => next(lines),
                Records::Ahead(records) if batch.is_empty() => match records.recv().await {
                    Some(counted) => counted,
                    // Its last word was said before.
                    None => return Ok(ReadStatus::Ended),
                },
                Records::Ahead(records) => match records.try_recv() {
                    Ok(counted) => counted,
                    Err(_) => break ReadStatus::More,
                },
            };
            let (record, counts) = counted?;
            let Some(record) = record else {
                self.position.end(counts);
                break ReadStatus::Ended;
            };
            let timestamp = record.event_time().unwrap_or(Timestamp::MIN);
            last = record.id.parse().ok().map(|id| (id, counts));
            batch.push(record, timestamp);
        };
        if let Some((id, counts)) = last {
            // In order, so the last stands for all.
            self.position.hand_out(id, counts);
            self.position.take_in([id]);
        }
        Ok(status)
    }
}
