//! Writes one worker's part of the output.

use std::sync::PoisonError;

use super::epochs::{Parts, Saved};
use super::format::Format;
use crate::coder::Element;
use crate::error::{Error, Result};
use crate::files::{AtomicFile, FilePosition, SavedFile};
use crate::sink::{Rejected, WriteBatch, Writer};

/// A file of one worker, not published yet.
pub(super) struct Part {
    pub(super) worker: usize,
    pub(super) file: AtomicFile,
    /// Where the records begin; `None` while there are none, nor a header.
    pub(super) records_at: Option<FilePosition>,
    /// The header of a file without records.
    pub(super) bare_header: Vec<u8>,
}

/// Writes batches of one worker for a [`TextSink`](super::TextSink).
pub struct TextWriter<T> {
    format: Box<dyn Format<T>>,
    /// The header, once there was a record to tell it.
    header: Option<Vec<u8>>,
    /// The latest batch, in the format. It goes into the file when the next one comes: until then
    /// it may be tried again.
    latest: Vec<u8>,
    sequence: u64,
    /// Gone when the writer was closed.
    part: Option<Part>,
    parts: Parts,
    /// Whether it writes in epochs, under names with that tag.
    tag: Option<String>,
}

impl<T> TextWriter<T> {
    pub(super) fn new(
        format: Box<dyn Format<T>>,
        worker: usize,
        file: AtomicFile,
        parts: Parts,
        tag: Option<String>,
    ) -> Self {
        let part = Part {
            worker,
            file,
            records_at: None,
            bare_header: format.bare_header(),
        };
        TextWriter {
            format,
            header: None,
            latest: Vec::new(),
            sequence: 0,
            part: Some(part),
            parts,
            tag,
        }
    }

    /// Goes on with a part of an earlier life.
    pub(super) fn resumed(
        mut format: Box<dyn Format<T>>,
        part: Part,
        saved: Saved,
        parts: Parts,
    ) -> Result<Self> {
        let resumed = format.resume(saved.fields);
        resumed.map_err(|failure| Error::connector(failure.chain.join(": ")))?;
        Ok(TextWriter {
            format,
            // Told by the next record; the file has it already if it has records.
            header: None,
            latest: Vec::new(),
            sequence: 0,
            part: Some(part),
            parts,
            tag: Some(saved.tag),
        })
    }

    /// Appends a record to the latest batch, or nothing if it is refused.
    fn encode(&mut self, record: &T) -> Result<(), crate::Failure> {
        let before = self.latest.len();
        if self.header.is_none() {
            self.header = Some(self.format.header(record)?);
        }
        let encoded = self.format.encode(record, &mut self.latest);
        if encoded.is_err() {
            self.latest.truncate(before);
        }
        encoded
    }

    /// Puts the latest batch into the file: it will not be tried again.
    fn settle(&mut self) -> Result<()> {
        let Some(part) = &mut self.part else {
            return Ok(());
        };
        if !self.latest.is_empty() {
            if part.records_at.is_none() {
                part.file
                    .write(self.header.as_deref().unwrap_or_default())?;
                part.records_at = Some(part.file.position()?);
            }
            part.file.write(&self.latest)?;
            self.latest.clear();
        }
        Ok(())
    }
}

impl<T: Element> Writer<T> for TextWriter<T> {
    async fn write(&mut self, batch: &WriteBatch<'_, T>) -> Result<Vec<Rejected>> {
        if batch.sequence != self.sequence {
            self.settle()?;
            self.sequence = batch.sequence;
        }
        self.latest.clear();
        let mut rejected = Vec::new();
        for (index, record) in batch.records.iter().enumerate() {
            if let Err(failure) = self.encode(record) {
                rejected.push(Rejected { index, failure });
            }
        }
        Ok(rejected)
    }

    async fn prepare(&mut self, _epoch: u64) -> Result<Vec<u8>> {
        let Some(tag) = self.tag.clone() else {
            return Ok(Vec::new());
        };
        self.settle()?;
        let Some(part) = &mut self.part else {
            return Err(Error::connector(
                "a part of a text file was prepared after it was closed",
            ));
        };
        let SavedFile {
            name,
            position,
            checksum,
        } = part.file.save()?;
        let saved = Saved {
            tag,
            name,
            worker: part.worker,
            position,
            checksum,
            records_at: part.records_at,
            fields: self.format.fields(),
        };
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.encode(saved)
    }

    async fn close(&mut self) -> Result<()> {
        self.settle()?;
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.closed.extend(self.part.take());
        Ok(())
    }
}
