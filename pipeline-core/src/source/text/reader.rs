//! Reads a split of a [`Text`]: one range after the other.

use std::io::{self, Read};
use std::vec::IntoIter;

use super::Text;
use super::plan::{Share, TextSplit};
use super::position::{BEFORE, Counted, ShareName, Stamps, TextPosition};
use crate::error::{Error, Result};
use crate::files::{BackgroundLines, FileRange, Line, LineReader, is_packed, open_lines};
use crate::metrics::Counter;
use crate::source::{Position, ReadBatch, ReadContext, ReadStatus, Reader};

/// The lines that a thread which reads standard input hands over at once.
const BACKGROUND_LINES: usize = 1024;

/// The bytes that are read at once.
const BLOCK_BYTES: usize = 256 * 1024;

/// Reads a part of a [`Text`].
pub struct TextReader {
    text: Text,
    split: TextSplit,
    /// The number of the share that is open, or comes next.
    share: usize,
    open: Option<Opened>,
    /// Where the next share begins, if a snapshot says so.
    resumed: Option<TextPosition>,
    counters: Counters,
}

/// The range that is being read.
struct Opened {
    lines: Open,
    /// Lines that begin before this byte were read before.
    skip_to: u64,
    counted: Counted,
    /// It is compressed.
    packed: bool,
}

enum Open {
    File(LineReader<Box<dyn Read + Send>>),
    /// What may block, and the lines of it for which there was no room yet.
    Blocking(BackgroundLines, IntoIter<Line>),
}

struct Counters {
    stripped_crs: Counter,
    boms: Counter,
    blank_lines: Counter,
}

impl TextReader {
    pub(super) fn new(text: Text, split: TextSplit, context: &ReadContext) -> Result<Self> {
        let resumed: Option<TextPosition> = context.position()?;
        if let Some(position) = &resumed {
            position.check(&split)?;
        }
        Ok(TextReader {
            text,
            split,
            share: resumed.as_ref().map_or(0, |position| position.share),
            open: None,
            resumed,
            counters: Counters {
                stripped_crs: context.counter("stripped_crs"),
                boms: context.counter("boms"),
                blank_lines: context.counter("blank_lines"),
            },
        })
    }

    /// Opens a share, behind what was read of it before.
    fn open(&self, Share { input, range, .. }: &Share) -> Result<Opened> {
        let options = self.text.options.block_bytes(block_bytes(input.length()?));
        let compression = self.text.compression;
        let mut range = *range;
        let opened = |range: FileRange, skip_to, counted| {
            let lines = open_lines(input, compression, range, options)?;
            let mut packed = false;
            let lines = if input.may_block()? {
                let lines = BackgroundLines::spawn(lines, BACKGROUND_LINES);
                let lines = lines.map_err(|e| Error::io(format!("starting to read {input}"), e))?;
                Open::Blocking(lines, Vec::new().into_iter())
            } else {
                packed = is_packed(input, compression)?;
                Open::File(lines)
            };
            Ok(Opened {
                lines,
                skip_to,
                counted,
                packed,
            })
        };
        let resumed = self.resumed.as_ref();
        let Some((position, at)) = resumed.and_then(|p| Some((p, p.next_line?))) else {
            return opened(range, 0, Counted::default());
        };
        position.check_before(input)?;
        let counted = position.counted;
        if is_packed(input, compression)? {
            return opened(range, at, counted);
        }
        range.start = at;
        opened(range, 0, Counted::default())
    }

    /// Closes the range that was read.
    fn close(&mut self) {
        self.count();
        self.open = None;
        self.share += 1;
    }

    /// Counts what was taken off the range since it was counted last.
    fn count(&mut self) {
        let Some(open) = &mut self.open else {
            return;
        };
        let (crs, bom) = match &open.lines {
            Open::File(lines) => (lines.stripped_crs(), lines.skipped_bom()),
            Open::Blocking(lines, _) => (lines.stripped_crs(), lines.skipped_bom()),
        };
        let before = std::mem::replace(&mut open.counted, Counted { crs, bom });
        let crs = crs.saturating_sub(before.crs);
        self.counters.stripped_crs.add(crs);
        self.counters.boms.add((bom && !before.bom).into());
    }

    /// Takes blank lines out of those behind the first `before`.
    fn skip_blank_lines(&self, lines: &mut Vec<Line>, before: usize) {
        let all = lines.len();
        let mut kept = before;
        for at in before..all {
            // A line that was cut has more bytes than are here.
            if lines[at].is_cut() || !lines[at].bytes.trim_ascii().is_empty() {
                lines.swap(kept, at);
                kept += 1;
            }
        }
        lines.truncate(kept);
        self.counters.blank_lines.add((all - kept) as u64);
    }
}

/// Returns how much to read at once of a file of this length.
///
/// A line keeps its block alive: that of a small file must not be larger than need be, with room
/// for the read that meets the end. What has no length is a pipe.
fn block_bytes(length: u64) -> usize {
    match usize::try_from(length) {
        Ok(length @ 1..BLOCK_BYTES) => (length + length.clamp(16, 2048)).min(BLOCK_BYTES),
        _ => BLOCK_BYTES,
    }
}

impl Opened {
    /// Takes out the lines that were read before, of those behind the first `before`.
    fn skip(&mut self, lines: &mut Vec<Line>, before: usize) {
        let read = &lines[before..];
        let old = read.partition_point(|line| line.offset < self.skip_to);
        if old < read.len() {
            self.skip_to = 0;
        }
        lines.drain(before..before + old);
    }
}

impl Open {
    /// Appends lines to `out`, `room` at most, and returns their number; 0 is the end.
    async fn next_lines(&mut self, room: usize, out: &mut Vec<Line>) -> io::Result<usize> {
        match self {
            Open::File(lines) => lines.next_batch(room, out),
            Open::Blocking(lines, waiting) => {
                if waiting.len() == 0 {
                    let mut more = Vec::new();
                    lines.next_batch(&mut more).await?;
                    *waiting = more.into_iter();
                }
                let before = out.len();
                out.extend(waiting.by_ref().take(room));
                Ok(out.len() - before)
            }
        }
    }
}

impl Reader<Line, ()> for TextReader {
    async fn read(&mut self, batch: &mut ReadBatch<Line, ()>) -> Result<ReadStatus> {
        while batch.room() > 0 {
            let Some(open) = &mut self.open else {
                let Some(share) = self.split.shares.get(self.share) else {
                    return Ok(ReadStatus::Ended);
                };
                self.open = Some(self.open(share)?);
                self.resumed = None;
                continue;
            };
            let room = batch.room();
            // An empty batch has the stamp of a root, which is that of all lines.
            let lines = &mut batch.batch.values;
            let before = lines.len();
            if before > 0 && matches!(open.lines, Open::Blocking(..)) {
                // What is here must not wait for what may never come.
                break;
            }
            let read = open.lines.next_lines(room, lines).await;
            let read = read.map_err(Error::connector)?;
            if open.skip_to > 0 {
                open.skip(lines, before);
            }
            match read {
                0 => self.close(),
                _ if self.text.skips_blank_lines => self.skip_blank_lines(lines, before),
                _ => {}
            }
        }
        Ok(ReadStatus::More)
    }

    fn position(&mut self) -> Result<Position> {
        self.count();
        if let (None, Some(resumed)) = (&self.open, &self.resumed) {
            // Nothing was read since.
            return Position::of(resumed);
        }
        let share = self.split.shares.get(self.share);
        let (mut next_line, mut before, mut counted) = (None, None, Counted::default());
        if let (Some(open), Some(share)) = (&self.open, share) {
            let Open::File(lines) = &open.lines else {
                return Err(Error::connector(
                    "standard input and pipes have no position to go on from",
                ));
            };
            next_line = lines.next_offset().map(|at| at.max(open.skip_to));
            counted = open.counted;
            if let Some(at) = next_line.filter(|_| !open.packed) {
                before = share.input.checksum_before(at, BEFORE);
            }
        }
        Position::of(&TextPosition {
            share: self.share,
            of: share.map(ShareName::of),
            next_line,
            counted,
            stamps: Some(Stamps::of(&self.split, self.share)),
            before,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_as_large_as_a_small_file() {
        let cases = [
            (1, 17),
            (50, 100),
            (10_000, 12_048),
            (BLOCK_BYTES as u64 - 1, BLOCK_BYTES),
            (u64::MAX, BLOCK_BYTES),
            (0, BLOCK_BYTES),
        ];
        for (length, block) in cases {
            assert_eq!(block_bytes(length), block, "{length}");
        }
    }
}
