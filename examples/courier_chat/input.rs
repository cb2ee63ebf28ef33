//! Reads NDJSON line by line and gives every line its id.
//!
//! The id of a line is its number in twelve digits, `-`, and the hash of the input up to and including that line in
//! sixteen hexadecimal digits: `000000000001-9b1c…`. A publisher that is started again on the same input therefore
//! gives the same ids, on another input with equal numbers other ids; and as text the ids of one input sort by line.
//!
//! The hash is XXH64 with seed 0 (the [xxHash specification](https://github.com/Cyan4973/xxHash)), over the raw bytes
//! of the input: BOM, CR, blank lines and the line feeds of the lines before are hashed too. The line's own line feed
//! is not, so that the last line keeps its id when the input grows.

mod buffer;
mod id;

use std::hash::Hasher;
use std::io::{self, BufRead, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};

use memchr::memchr;
use twox_hash::XxHash64;

use super::parse::is_blank;
use buffer::RawLine;
pub use id::LineId;

/// The longest record that is handed on, in bytes: the limit of a Pub/Sub message's data.
pub const MAX_RECORD: usize = 10_000_000;

/// How much of a longer record is kept, in bytes.
pub const PREFIX: usize = 1_024;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Holds one line that is not blank, without line feed, CR before it, and BOM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A record, not empty and at most [`MAX_RECORD`] bytes long.
    Record {
        /// Number and hash of the line.
        id: LineId,
        /// The record.
        bytes: &'a [u8],
    },
    /// A record that is too long; it was read, but not kept.
    TooLong {
        /// Number and hash of the line.
        id: LineId,
        /// The first [`PREFIX`] bytes of the record.
        prefix: &'a [u8],
        /// How many bytes the record has.
        length: u64,
    },
}

/// Counts what a [`LineReader`] has met so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// Lines of any kind.
    pub lines: u64,
    /// Lines handed on as [`Line::Record`].
    pub records: u64,
    /// Lines handed on as [`Line::TooLong`].
    pub too_long: u64,
    /// Lines skipped because they hold nothing but white space.
    pub blank: u64,
    /// Carriage returns stripped from the end of a line.
    pub carriage_returns: u64,
    /// Byte order marks stripped from the start of the input: 0 or 1.
    pub byte_order_marks: u64,
}

/// Reads lines from a buffered reader, holding at most one record of at most [`MAX_RECORD`] bytes.
///
/// A line ends at a line feed or at the end of the input. One carriage return at the end of a line and one UTF-8 byte
/// order mark at the start of the input are stripped, blank lines are skipped, all of it counted. The bytes need not
/// be UTF-8. Lines that lie within the reader's own buffer are not copied: 64 KiB is a good size for it.
///
/// ```
/// # use pipeline_examples::courier_chat::{Line, LineReader};
/// let mut lines = LineReader::new(&b"first\r\n\nlast"[..]);
/// let mut seen = Vec::new();
/// while let Some(line) = lines.next_line()? {
///     if let Line::Record { id, bytes } = line {
///         seen.push((id.number(), bytes.to_vec()));
///     }
/// }
/// assert_eq!(seen, [(1, b"first".to_vec()), (3, b"last".to_vec())]);
/// assert_eq!((lines.counts().blank, lines.counts().carriage_returns), (1, 1));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct LineReader<R> {
    reader: R,
    /// Bytes at the front of the reader's buffer that belong to lines already handed on.
    consumed: usize,
    hash: XxHash64,
    /// Whether a line feed has been read that is not hashed yet.
    line_feed: bool,
    /// Holds a line that does not lie within the reader's buffer.
    long: RawLine,
    counts: LineCounts,
    /// Where the counts are told, if anywhere.
    told: Option<Arc<Mutex<LineCounts>>>,
}

impl<R: BufRead> LineReader<R> {
    /// Reads lines from `reader`; wrap a plain `Read` into a [`BufReader`](std::io::BufReader).
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            consumed: 0,
            hash: XxHash64::with_seed(0),
            line_feed: false,
            long: RawLine::default(),
            counts: LineCounts::default(),
            told: None,
        }
    }

    /// Keeps `counts` up to date, line by line, for somebody who looks at them meanwhile.
    #[must_use]
    pub fn telling(mut self, counts: Arc<Mutex<LineCounts>>) -> Self {
        self.told = Some(counts);
        self
    }

    /// Gives the counts so far.
    pub fn counts(&self) -> LineCounts {
        self.counts
    }

    /// Gives the next line that is not blank, or none at the end of the input.
    ///
    /// # Errors
    /// The error of the reader. Interruptions are retried. After another error the line that was being read is lost.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        let Some(found) = self.find()? else {
            return Ok(None);
        };
        // A line in the reader's buffer is not consumed yet, so this does not read.
        let raw = if found.copied {
            self.long.kept()
        } else {
            self.reader.fill_buf()?
        };
        let bytes = &raw[found.start..found.end];
        Ok(Some(match found.too_long {
            Some(length) => Line::TooLong {
                id: found.id,
                prefix: bytes,
                length,
            },
            None => Line::Record {
                id: found.id,
                bytes,
            },
        }))
    }

    /// Finds the next line that is not blank and counts what is skipped and stripped.
    fn find(&mut self) -> io::Result<Option<Found>> {
        while let Some(place) = self.advance()? {
            self.counts.lines += 1;
            let id = LineId::new(self.counts.lines, self.hash.finish());
            let (raw, length, last, copied) = match place {
                Place::Buffered(length) => {
                    let raw = &self.reader.fill_buf()?[..length];
                    (raw, length as u64, raw.last().copied(), false)
                }
                Place::Copied => (self.long.kept(), self.long.length(), self.long.last(), true),
            };
            let start = if id.number() == 1 && raw.starts_with(BOM) {
                BOM.len()
            } else {
                0
            };
            let carriage_return = u64::from(last == Some(b'\r'));
            self.counts.byte_order_marks += u64::from(start > 0);
            self.counts.carriage_returns += carriage_return;
            let length = length - start as u64 - carriage_return;
            let (end, too_long) = match usize::try_from(length) {
                Ok(length) if length <= MAX_RECORD => (start + length, None),
                _ => (start + PREFIX, Some(length)),
            };
            if too_long.is_some() {
                self.counts.too_long += 1;
            } else if is_blank(&raw[start..end]) {
                self.counts.blank += 1;
                self.tell();
                continue;
            } else {
                self.counts.records += 1;
            }
            self.tell();
            return Ok(Some(Found {
                id,
                copied,
                start,
                end,
                too_long,
            }));
        }
        Ok(None)
    }

    fn tell(&self) {
        if let Some(told) = &self.told {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = self.counts;
        }
    }

    /// Moves to the next raw line and hashes it; none at the end of the input.
    fn advance(&mut self) -> io::Result<Option<Place>> {
        self.reader.consume(std::mem::take(&mut self.consumed));
        if std::mem::take(&mut self.line_feed) {
            self.hash.write(b"\n");
        }
        self.long.clear();
        loop {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let Some(end) = memchr(b'\n', chunk) else {
                if chunk.is_empty() {
                    return Ok((self.long.length() > 0).then_some(Place::Copied));
                }
                self.hash.write(chunk);
                self.long.extend(chunk);
                let length = chunk.len();
                self.reader.consume(length);
                continue;
            };
            self.hash.write(&chunk[..end]);
            self.line_feed = true;
            if self.long.length() == 0 {
                self.consumed = end + 1;
                return Ok(Some(Place::Buffered(end)));
            }
            self.long.extend(&chunk[..end]);
            self.reader.consume(end + 1);
            return Ok(Some(Place::Copied));
        }
    }
}

/// Tells where a raw line lies.
enum Place {
    /// In the first so many bytes of the reader's buffer.
    Buffered(usize),
    /// In [`LineReader::long`].
    Copied,
}

/// Tells what of a raw line is to be handed on.
struct Found {
    id: LineId,
    copied: bool,
    start: usize,
    end: usize,
    /// The length of the record, if it is too long.
    too_long: Option<u64>,
}
