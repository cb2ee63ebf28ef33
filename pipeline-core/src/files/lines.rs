//! Splits a stream of bytes into lines, without copying them.
//!
//! Blocks are read into one buffer after another. The part up to the last `\n` of what was read is split off and handed
//! out in slices; the beginning of the next line stays in the buffer, and moves (a copy) only into the next buffer.

use std::io::{self, Read, Seek, SeekFrom};

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memchr_iter, memrchr};

use super::line::{Cut, FileRange, Line, LineOptions};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Splits what a reader gives into [`Line`]s.
///
/// A line ends with `\n`, or `\r\n` if the options say so; the last one may lack it. A byte order mark at the beginning
/// of the file is skipped. Lines are bytes: nothing is checked to be UTF-8.
///
/// ```
/// use pipeline_core::files::{LineOptions, LineReader};
///
/// let mut reader = LineReader::new(&b"one\r\ntwo"[..], LineOptions::default());
/// let mut lines = Vec::new();
/// while reader.next_batch(100, &mut lines)? > 0 {}
/// assert_eq!(lines[0].bytes, "one");
/// assert_eq!((&lines[1].bytes[..], lines[1].offset), (&b"two"[..], 5));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct LineReader<R> {
    reader: R,
    /// Where it reads, as lines that are cut tell.
    source: Option<String>,
    options: LineOptions,
    /// Lines begin before this byte.
    end: u64,
    state: State,
    /// Whole lines that were not handed out yet.
    block: Bytes,
    /// Where in the file the block begins, or the buffer if the block is empty.
    offset: u64,
    /// What was read behind the block, then room for more.
    buffer: BytesMut,
    /// How much of the buffer was read.
    filled: usize,
    /// How much of that is known to hold no `\n`.
    searched: usize,
    /// The line over the limit whose end is being looked for, and the byte read last.
    cut: Option<(Line, u8)>,
    stripped_crs: u64,
    skipped_bom: bool,
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The line that began before the range must be skipped.
    Skipping,
    Lines,
    /// The reader has no more; what is in the buffer is the last line.
    Ended,
    Done,
}

impl<R: Read> LineReader<R> {
    /// Splits a stream from its beginning to its end.
    pub fn new(reader: R, options: LineOptions) -> Self {
        LineReader::at(reader, FileRange::ALL, options)
    }

    /// Splits the part that belongs to a range; the reader stands at the byte before the range, or at the
    /// beginning where the range begins there, and should go on a little behind its end: to the end of the
    /// last line that begins in it.
    pub fn at(reader: R, range: FileRange, options: LineOptions) -> Self {
        let state = match range.start {
            start if start >= range.end => State::Done,
            0 => State::Lines,
            _ => State::Skipping,
        };
        LineReader {
            reader,
            source: None,
            options,
            end: range.end,
            state,
            block: Bytes::new(),
            offset: range.first_byte_read(),
            buffer: BytesMut::new(),
            filled: 0,
            searched: 0,
            cut: None,
            stripped_crs: 0,
            skipped_bom: false,
        }
    }

    /// Says where the reader reads: a line that is cut tells it ([`Cut::source`]).
    #[must_use]
    pub fn of(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns the reader; what it had given is not lost, whatever becomes of it.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.reader
    }

    /// Appends the lines at hand to `out`, `max_lines` at most, and returns their number; 0 is the end.
    ///
    /// It reads only when no line is at hand, and then until there is one: it never waits for a second line. Together
    /// the lines are at most a block and one line long.
    ///
    /// # Errors
    /// What the reader says, except for interruptions. The lines before the failure have been handed out, and nothing
    /// is lost: if the reader can go on, so can the lines.
    pub fn next_batch(&mut self, max_lines: usize, out: &mut Vec<Line>) -> io::Result<usize> {
        let before = out.len();
        while max_lines > 0 && out.len() == before && self.state != State::Done {
            if !self.block.is_empty() {
                self.split_block(max_lines, out);
            } else if self.cut.is_some() {
                self.read_cut(out)?;
            } else if self.state == State::Skipping {
                self.skip()?;
            } else if self.offset >= self.end {
                self.state = State::Done;
            } else if self.filled > self.searched {
                self.search();
            } else if self.state == State::Ended {
                self.take_last(out);
            } else {
                self.fill()?;
            }
        }
        Ok(out.len() - before)
    }

    /// Returns where in the (decompressed) file the next line begins; `None` before the beginning of the first line of a
    /// range was found.
    pub(crate) fn next_offset(&self) -> Option<u64> {
        (self.state != State::Skipping).then_some(self.offset)
    }

    /// Returns how many `\r` were taken off so far.
    pub fn stripped_crs(&self) -> u64 {
        self.stripped_crs
    }

    /// Tells whether a byte order mark was skipped.
    pub fn skipped_bom(&self) -> bool {
        self.skipped_bom
    }

    /// Hands out lines of the block.
    fn split_block(&mut self, max_lines: usize, out: &mut Vec<Line>) {
        let block = std::mem::take(&mut self.block);
        let mut start = 0;
        for newline in memchr_iter(b'\n', &block).take(max_lines) {
            let offset = self.offset + start as u64;
            if offset >= self.end {
                self.state = State::Done;
                self.offset = offset;
                return;
            }
            let mut end = newline;
            if self.options.strip_cr && end > start && block[end - 1] == b'\r' {
                end -= 1;
                self.stripped_crs += 1;
            }
            let skip = self.bom(offset, &block[start..end]);
            out.push(self.line(&block, start + skip, end, offset));
            start = newline + 1;
        }
        self.block = block.slice(start..);
        self.offset += start as u64;
    }

    /// Splits whole lines off the buffer, or begins to cut a line that is over the limit.
    fn search(&mut self) {
        let unsearched = &self.buffer[self.searched..self.filled];
        if let Some(last) = memrchr(b'\n', unsearched) {
            let length = self.searched + last + 1;
            self.block = self.buffer.split_to(length).freeze();
            self.filled -= length;
        } else if self.filled > self.longest_whole() {
            let last = self.buffer[self.filled - 1];
            let beginning = self.buffer.split_to(self.filled).freeze();
            let skip = self.bom(self.offset, &beginning);
            let line = self.line(&beginning, skip, beginning.len(), self.offset);
            self.cut = Some((line, last));
            self.offset += self.filled as u64;
            self.filled = 0;
        }
        self.searched = self.filled;
    }

    /// Reads the rest of a line that was cut, and hands out its beginning.
    fn read_cut(&mut self, out: &mut Vec<Line>) -> io::Result<()> {
        if self.filled == 0 && self.state != State::Ended {
            return self.fill();
        }
        let Some((line, last)) = &mut self.cut else {
            return Ok(());
        };
        let read = &self.buffer[..self.filled];
        let newline = memchr(b'\n', read);
        let content = &read[..newline.unwrap_or(read.len())];
        *last = content.last().copied().unwrap_or(*last);
        let ends_with_cr = newline.is_some() && self.options.strip_cr && *last == b'\r';
        if let Some(cut) = &mut line.cut {
            cut.full_length += content.len() as u64;
            cut.full_length -= u64::from(ends_with_cr);
        }
        self.stripped_crs += u64::from(ends_with_cr);
        let length = newline.map_or(content.len(), |at| at + 1);
        self.discard(length);
        if newline.is_some() || self.state == State::Ended {
            out.extend(self.cut.take().map(|(line, _)| line));
        }
        Ok(())
    }

    /// Skips the rest of the line that began before the range.
    fn skip(&mut self) -> io::Result<()> {
        if self.filled == 0 {
            return self.fill();
        }
        let newline = memchr(b'\n', &self.buffer[..self.filled]);
        if newline.is_some() {
            self.state = State::Lines;
        }
        self.discard(newline.map_or(self.filled, |at| at + 1));
        Ok(())
    }

    /// Hands out the line that the end of the stream ends.
    fn take_last(&mut self, out: &mut Vec<Line>) {
        self.state = State::Done;
        let rest = self.buffer.split_to(self.filled).freeze();
        let skip = self.bom(self.offset, &rest);
        if rest.len() > skip {
            out.push(self.line(&rest, skip, rest.len(), self.offset));
        }
        self.offset += rest.len() as u64;
    }

    fn line(&self, block: &Bytes, start: usize, end: usize, offset: u64) -> Line {
        let kept = end.min(start.saturating_add(self.options.max_line_bytes));
        Line {
            bytes: block.slice(start..kept),
            offset,
            cut: (kept < end).then(|| self.cut_of((end - start) as u64)),
        }
    }

    #[cold]
    fn cut_of(&self, full_length: u64) -> Box<Cut> {
        let source = self.source.clone();
        Box::new(Cut {
            full_length,
            source,
        })
    }

    /// Returns the length of the byte order mark before the file's first line.
    fn bom(&mut self, offset: u64, line: &[u8]) -> usize {
        if offset > 0 || !line.starts_with(BYTE_ORDER_MARK) {
            return 0;
        }
        self.skipped_bom = true;
        BYTE_ORDER_MARK.len()
    }

    /// Returns how long an unfinished line can be without being over the limit: a mark and a `\r` do not count.
    fn longest_whole(&self) -> usize {
        self.options
            .max_line_bytes
            .saturating_add(BYTE_ORDER_MARK.len() + 1)
    }

    /// Drops the beginning of the buffer.
    fn discard(&mut self, length: usize) {
        self.buffer.advance(length);
        self.filled -= length;
        self.searched = 0;
        self.offset += length as u64;
    }

    /// Reads once, into room that is made if there is little left.
    fn fill(&mut self) -> io::Result<()> {
        if self.buffer.len() - self.filled < self.options.block_bytes.min(4096) / 2 {
            let doubled = self
                .filled
                .min(self.longest_whole().saturating_sub(self.filled));
            let room = doubled.max(self.options.block_bytes);
            self.buffer.truncate(self.filled);
            // Takes the memory of the block before again if all its lines are gone.
            self.buffer.reserve(room);
            self.buffer.resize(self.filled + room, 0);
        }
        loop {
            match self.reader.read(&mut self.buffer[self.filled..]) {
                Ok(0) => self.state = State::Ended,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            return Ok(());
        }
    }
}

impl<R: Read + Seek> LineReader<R> {
    /// Splits the part of an uncompressed file that belongs to a range.
    ///
    /// # Errors
    /// When the reader cannot be moved to the range.
    pub fn in_range(mut reader: R, range: FileRange, options: LineOptions) -> io::Result<Self> {
        reader.seek(SeekFrom::Start(range.first_byte_read()))?;
        Ok(LineReader::at(reader, range, options))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
