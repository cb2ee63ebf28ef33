//! Reads a split of a [`Text`]: one range after the other.

use std::io::{self, Read};
use std::vec::IntoIter;

use super::Text;
use super::plan::{Share, TextSplit};
use crate::error::{Error, Result};
use crate::files::{BackgroundLines, Line, LineReader, open_lines};
use crate::metrics::Counter;
use crate::source::{ReadBatch, ReadContext, ReadStatus, Reader};

/// The lines that a thread which reads standard input hands over at once.
const BACKGROUND_LINES: usize = 1024;

/// The bytes that are read at once.
const BLOCK_BYTES: usize = 256 * 1024;

/// Reads a part of a [`Text`].
pub struct TextReader {
    text: Text,
    shares: IntoIter<Share>,
    open: Option<Open>,
    counters: Counters,
}

/// The range that is being read.
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
    pub(super) fn new(text: Text, split: TextSplit, context: &ReadContext) -> Self {
        TextReader {
            text,
            shares: split.0.into_iter(),
            open: None,
            counters: Counters {
                stripped_crs: context.counter("stripped_crs"),
                boms: context.counter("boms"),
                blank_lines: context.counter("blank_lines"),
            },
        }
    }

    fn open(&self, Share { input, range }: &Share) -> Result<Open> {
        let options = self.text.options.block_bytes(block_bytes(input.length()?));
        let lines = open_lines(input, self.text.compression, *range, options)?;
        if !input.may_block()? {
            return Ok(Open::File(lines));
        }
        let lines = BackgroundLines::spawn(lines, BACKGROUND_LINES);
        let lines = lines.map_err(|e| Error::io(format!("starting to read {input}"), e))?;
        Ok(Open::Blocking(lines, Vec::new().into_iter()))
    }

    /// Counts what was taken off a range, and closes it.
    fn close(&mut self) {
        let (stripped_crs, skipped_bom) = match self.open.take() {
            Some(Open::File(lines)) => (lines.stripped_crs(), lines.skipped_bom()),
            Some(Open::Blocking(lines, _)) => (lines.stripped_crs(), lines.skipped_bom()),
            None => (0, false),
        };
        self.counters.stripped_crs.add(stripped_crs);
        self.counters.boms.add(skipped_bom.into());
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
                let Some(share) = self.shares.next() else {
                    return Ok(ReadStatus::Ended);
                };
                self.open = Some(self.open(&share)?);
                continue;
            };
            let room = batch.room();
            // An empty batch has the stamp of a root, which is that of all lines.
            let lines = &mut batch.batch.values;
            let before = lines.len();
            if before > 0 && matches!(open, Open::Blocking(..)) {
                // What is here must not wait for what may never come.
                break;
            }
            let read = open.next_lines(room, lines).await;
            match read.map_err(Error::connector)? {
                0 => self.close(),
                _ if self.text.skips_blank_lines => self.skip_blank_lines(lines, before),
                _ => {}
            }
        }
        Ok(ReadStatus::More)
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
