//! The lines of one share of an object.

use std::io::{self, ErrorKind, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::vec::IntoIter;

use bytes::{Buf, Bytes};
use pipeline_core::files::{
    BackgroundLines, Compression, Decompressed, FileRange, HEAD_BYTES, Line, LineOptions,
    LineReader, Packing,
};
use pipeline_core::source::CsvRecords;
use pipeline_core::{Error, Result};
use tokio::sync::mpsc::{Receiver, channel};

use super::plan::Share;
use crate::storage::service::{ObjectReader, Storage};

/// What is asked for at once behind the end of a range: the end of its last line is there.
const BEHIND: u64 = 64 * 1024;

/// The chunks that wait for the thread that decompresses.
const QUEUED_CHUNKS: usize = 16;

/// The lines that it hands over at once.
const BACKGROUND_LINES: usize = 1024;

/// A share that is being read.
pub(super) struct Opened {
    lines: Lines,
    /// Puts lines together to records, where these are read.
    records: Option<CsvRecords>,
    pub(super) share: Share,
    /// Lines that begin before this byte were read before.
    skip_to: u64,
    /// Where the next line may begin: behind the beginning of the last one.
    pub(super) next_line: u64,
}

enum Lines {
    Plain {
        lines: Box<LineReader<Feed>>,
        pump: Pump,
    },
    /// What a thread decompresses, and the lines of it for which there was no room yet.
    Packed(BackgroundLines, IntoIter<Line>),
}

/// Fetches the bytes of a share, and of what follows it.
struct Pump {
    storage: Arc<dyn Storage>,
    share: Share,
    /// Where the next bytes are.
    at: u64,
    reader: Option<Box<dyn ObjectReader>>,
}

impl Pump {
    /// Returns the next bytes; `None` at the end of the object.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(reader) = &mut self.reader {
                if let Some(bytes) = reader.next().await? {
                    self.at += bytes.len() as u64;
                    return Ok(Some(bytes));
                }
                self.reader = None;
            }
            let size = self.share.object.size;
            if self.at >= size {
                return Ok(None);
            }
            let end = self.share.bytes().end.max(self.at).saturating_add(BEHIND);
            let reader = self
                .storage
                .read(&self.share.object, self.at..end.min(size));
            self.reader = Some(reader.await?);
        }
    }
}

/// Hands on bytes that were fetched; where there are none yet it says that it would block.
struct Feed {
    bytes: Bytes,
    ended: bool,
}

impl Read for Feed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() && !self.ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        let length = buffer.len().min(self.bytes.len());
        self.bytes.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// Hands on bytes on the thread that decompresses.
struct Chunks {
    receiver: Receiver<io::Result<Bytes>>,
    bytes: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.bytes.is_empty() {
            match self.receiver.blocking_recv() {
                Some(bytes) => self.bytes = bytes?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.bytes.len());
        self.bytes.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

impl Opened {
    /// Opens a share, behind the lines that begin before `next_line`.
    pub(super) async fn open(
        storage: &Arc<dyn Storage>,
        share: Share,
        compression: Compression,
        options: LineOptions,
        records: Option<CsvRecords>,
        next_line: u64,
    ) -> Result<Opened> {
        let name = storage.full_name(&share.object.name);
        let is_whole = share.range == FileRange::ALL;
        let mut range = share.range;
        let mut pump = Pump {
            storage: Arc::clone(storage),
            at: share.bytes().start,
            share: share.clone(),
            reader: None,
        };
        // A part of an object is plain, or it would not have been divided.
        let mut head = Vec::new();
        let mut packing = Packing::Plain;
        if is_whole {
            let mut length = 0;
            while length < HEAD_BYTES
                && let Some(bytes) = pump.next().await?
            {
                length += bytes.len();
                head.push(bytes);
            }
            let first: Vec<u8> = head.iter().flatten().copied().take(HEAD_BYTES).collect();
            packing = compression.packing(name.as_ref(), &first)?;
        }
        let lines = if packing == Packing::Plain {
            if next_line > range.start && records.is_none() {
                // The byte before tells that a line begins; that of the last line is skipped.
                range.start = next_line;
                pump = Pump {
                    at: next_line - 1,
                    reader: None,
                    ..pump
                };
                head.clear();
            }
            let feed = Feed {
                bytes: head.concat().into(),
                ended: false,
            };
            let lines = LineReader::at(feed, range, options).of(name);
            Lines::Plain {
                lines: Box::new(lines),
                pump,
            }
        } else {
            let lines = unpack(name, head, pump, compression, options)?;
            Lines::Packed(lines, Vec::new().into_iter())
        };
        Ok(Opened {
            skip_to: match &lines {
                Lines::Plain { .. } if records.is_none() => 0,
                _ => next_line,
            },
            lines,
            records,
            share,
            next_line,
        })
    }

    /// Appends lines to `out`, `room` at most, and returns whether there may be more. A future that is dropped
    /// has taken nothing.
    pub(super) async fn next_lines(&mut self, room: usize, out: &mut Vec<Line>) -> Result<bool> {
        let before = out.len();
        let more = self.read_lines(room, out).await?;
        if let Some(records) = &mut self.records {
            let lines: Vec<Line> = out.drain(before..).collect();
            lines.into_iter().for_each(|line| records.push(line, out));
            if !more {
                records.finish(out);
            }
        }
        if out.len() > before {
            let last = out[out.len() - 1].offset;
            self.next_line = self.next_line.max(last + 1);
        }
        if self.skip_to > 0 {
            let old = out[before..].partition_point(|line| line.offset < self.skip_to);
            out.drain(before..before + old);
        }
        Ok(more)
    }

    /// Appends lines as they are read.
    async fn read_lines(&mut self, room: usize, out: &mut Vec<Line>) -> Result<bool> {
        let before = out.len();
        let more = match &mut self.lines {
            Lines::Plain { lines, pump } => loop {
                match lines.next_batch(room, out) {
                    Ok(read) => break read > 0,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        let bytes = pump.next().await?;
                        let feed = lines.get_mut();
                        feed.ended = bytes.is_none();
                        feed.bytes = bytes.unwrap_or_default();
                    }
                    Err(error) => return Err(Error::connector(error)),
                }
            },
            Lines::Packed(lines, waiting) => {
                if waiting.len() == 0 {
                    let mut more = Vec::new();
                    let read = lines.next_batch(&mut more).await;
                    read.map_err(Error::connector)?;
                    *waiting = more.into_iter();
                }
                out.extend(waiting.by_ref().take(room));
                out.len() > before
            }
        };
        Ok(more)
    }
}

/// Decompresses on a thread of its own: it is work, and the decoders wait for what they read.
fn unpack(
    name: String,
    head: Vec<Bytes>,
    mut pump: Pump,
    compression: Compression,
    options: LineOptions,
) -> Result<BackgroundLines> {
    let (sender, receiver) = channel(QUEUED_CHUNKS);
    let chunks = Chunks {
        receiver,
        bytes: head.concat().into(),
    };
    tokio::spawn(async move {
        loop {
            let next = pump.next().await;
            let next = next.map_err(|error| io::Error::other(error.to_string()));
            let Some(next) = next.transpose() else { return };
            let failed = next.is_err();
            if sender.send(next).await.is_err() || failed {
                return;
            }
        }
    });
    let unpacked = Decompressed::new(chunks, &PathBuf::from(&name), compression);
    let lines = LineReader::new(unpacked, options).of(name.clone());
    BackgroundLines::spawn(lines, BACKGROUND_LINES)
        .map_err(|error| Error::io(format!("starting to read {name}"), error))
}
