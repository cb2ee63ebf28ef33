//! The lines of a file, as a source of pipelines and block by block for loops written by hand.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pipeline_core::files::{
    Compression, FileRange, Input, Line, LineOptions, LineReader, open_lines, ranges,
};
use pipeline_core::prelude::*;

/// The lines of a file.
pub struct Lines(pub PathBuf);

impl Source for Lines {
    type Item = Bytes;
    type Split = FileRange;
    type Ack = ();
    type Reader = LinesReader;

    fn is_bounded(&self) -> bool {
        true
    }

    fn split(&self, desired: usize) -> Result<Vec<FileRange>, Error> {
        let input = Input::File(self.0.clone());
        ranges(&input, Compression::Uncompressed, desired as u64, 1 << 16).map_err(Error::connector)
    }

    fn open(&self, range: FileRange, _: &ReadContext) -> Result<LinesReader, Error> {
        let input = Input::File(self.0.clone());
        let reader = open_lines(
            &input,
            Compression::Uncompressed,
            range,
            LineOptions::default(),
        );
        Ok(LinesReader {
            reader: reader.map_err(Error::connector)?,
            lines: Vec::new(),
        })
    }
}

pub struct LinesReader {
    reader: LineReader<Box<dyn Read + Send>>,
    lines: Vec<Line>,
}

impl Reader<Bytes, ()> for LinesReader {
    async fn read(&mut self, batch: &mut ReadBatch<Bytes, ()>) -> Result<ReadStatus, Error> {
        let read = self.reader.next_batch(batch.room(), &mut self.lines);
        if read.map_err(Error::connector)? == 0 {
            return Ok(ReadStatus::Ended);
        }
        for line in self.lines.drain(..) {
            batch.push(line.bytes, Timestamp::MIN);
        }
        Ok(ReadStatus::More)
    }
}

/// The size of the blocks that are read by hand.
const BLOCK: usize = 256 * 1024;

/// Hands the lines that begin in part `index` of `parts` of a file to `take`, in blocks of whole
/// lines that may be changed in place.
pub fn blocks(
    path: &Path,
    index: u64,
    parts: u64,
    mut take: impl FnMut(&mut [u8]),
) -> io::Result<()> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let (start, end) = (length * index / parts, length * (index + 1) / parts);
    // Lines that begin at `start` follow a line feed in front of it.
    let mut position = start.saturating_sub(1);
    let mut skipping = start > 0;
    file.seek(SeekFrom::Start(position))?;
    let mut block = vec![0; BLOCK];
    let mut filled = 0;
    loop {
        if filled == block.len() {
            block.resize(2 * filled, 0);
        }
        let read = file.read(&mut block[filled..])?;
        filled += read;
        let whole = match memchr::memrchr(b'\n', &block[..filled]) {
            _ if read == 0 => filled,
            Some(last) => last + 1,
            None => continue,
        };
        let mut from = 0;
        if skipping && whole > 0 {
            from = memchr::memchr(b'\n', &block[..whole]).map_or(whole, |at| at + 1);
            skipping = false;
        }
        // The line that holds byte `end - 1` is the last one.
        let last = (end - 1).saturating_sub(position) as usize;
        let until = match block[..whole].get(last..) {
            Some(rest) => memchr::memchr(b'\n', rest).map_or(whole, |at| last + at + 1),
            None => whole,
        };
        if from < until {
            take(&mut block[from..until]);
        }
        position += whole as u64;
        if read == 0 || position >= end {
            return Ok(());
        }
        block.copy_within(whole..filled, 0);
        filled -= whole;
    }
}
