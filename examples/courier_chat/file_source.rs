//! The input as a bounded source, without a topic.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

use pipeline_core::prelude::*;

use super::input::{LineCounts, LineReader};
use super::record::Record;

/// Opens an input: once for each run.
pub type OpenInput = Arc<dyn Fn() -> std::io::Result<Box<dyn Read + Send>> + Send + Sync>;

/// The size of the buffer in front of an input, in bytes.
pub(super) const BUFFER: usize = 64 * 1024;

/// Wraps an input into a line reader.
pub fn lines(input: Box<dyn Read + Send>) -> LineReader<Box<dyn BufRead + Send>> {
    LineReader::new(Box::new(BufReader::with_capacity(BUFFER, input)))
}

/// Reads the lines of an input in their order; one part, since the ids are a running hash.
///
/// A message has the time at which it was sent; an order event and what is no valid record come at
/// [`Timestamp::MIN`], which is the watermark of a bounded source until it ends.
pub struct FileSource {
    open: OpenInput,
    counts: Arc<Mutex<LineCounts>>,
}

impl FileSource {
    /// Reads what `open` opens, and leaves in `counts` how many lines there were of each kind.
    pub fn new(open: OpenInput, counts: Arc<Mutex<LineCounts>>) -> Self {
        FileSource { open, counts }
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
        let input = (self.open)().map_err(|error| Error::io("opening the input", error))?;
        Ok(FileReader {
            lines: lines(input),
            counts: Arc::clone(&self.counts),
        })
    }
}

/// Reads lines for a [`FileSource`].
pub struct FileReader {
    lines: LineReader<Box<dyn BufRead + Send>>,
    counts: Arc<Mutex<LineCounts>>,
}

impl Reader<Record, ()> for FileReader {
    async fn read(&mut self, batch: &mut ReadBatch<Record, ()>) -> Result<ReadStatus, Error> {
        while batch.room() > 0 {
            let line = self.lines.next_line();
            let line = line.map_err(|error| Error::io("reading the input", error))?;
            let Some(line) = line else {
                let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
                *counts = self.lines.counts();
                return Ok(ReadStatus::Ended);
            };
            let record = Record::from_line(line);
            let timestamp = record.event_time().unwrap_or(Timestamp::MIN);
            batch.push(record, timestamp);
        }
        Ok(ReadStatus::More)
    }
}
