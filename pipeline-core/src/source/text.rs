//! Lines of text files: the source [`Text`], and `read_lines`.

mod plan;
mod position;
mod reader;

use bytes::Bytes;

pub use plan::TextSplit;
pub use reader::TextReader;

use super::{ReadContext, Resume, Source};
use crate::dead_letter::{Failure, Outcome};
use crate::error::Result;
use crate::files::{Compression, Line, LineOptions, expand};
use crate::pipeline::Pipeline;

/// Names text files, to be read line by line.
///
/// [`read_lines`](Pipeline::read_lines) and [`read_json`](Pipeline::read_json) read them; as a
/// [`Source`] it gives each [`Line`] with its place, cut where it is over the limit.
///
/// A line ends with `\n` or `\r\n`; the last one may lack it. A byte order mark at the beginning
/// of a file is skipped. Nothing is checked to be UTF-8. All lines have the timestamp
/// [`Timestamp::MIN`](crate::Timestamp::MIN), in no particular order.
///
/// - It is bounded. Files of at least [`min_split_bytes`](Text::min_split_bytes) are read by several
///   workers at once, each its ranges of bytes; what is compressed, and standard input, by one.
/// - A run reads every line exactly once; the next run reads all of them again. One that resumes from
///   a snapshot goes on behind the last line of it; for that the files must be what they were: they are
///   known by their names, lengths and times, and by the 64 KiB that were read last. What is
///   compressed is read from its beginning again. Standard input and pipes cannot be resumed.
/// - Transform counters: `stripped_crs`, `boms`, `blank_lines` (if they are skipped).
#[derive(Clone, Debug)]
#[must_use]
pub struct Text {
    pattern: String,
    compression: Compression,
    options: LineOptions,
    skips_blank_lines: bool,
    min_split_bytes: u64,
}

impl Text {
    /// Names the files that match `pattern`, or standard input with `-`.
    ///
    /// `*`, `?`, `[…]` and `**` stand for parts of names, as the crate `glob` reads them; a file
    /// that exists under the very name is itself. When the pipeline runs, it is an error if there
    /// is no such file.
    pub fn lines(pattern: impl Into<String>) -> Self {
        Text {
            pattern: pattern.into(),
            compression: Compression::Auto,
            options: LineOptions::default(),
            skips_blank_lines: false,
            min_split_bytes: 1024 * 1024,
        }
    }

    /// Says how the files are compressed. Default: gzip, and zstd with
    /// the feature `zstd`, where the first bytes say so.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Limits the length of a line in bytes, without its end. A longer one is cut, and never held
    /// in memory beyond the limit. Default: 10,000,000.
    pub fn max_line_bytes(mut self, limit: usize) -> Self {
        self.options = self.options.max_line_bytes(limit);
        self
    }

    /// Skips lines that are empty or have nothing but white space (ASCII), and counts them.
    /// Default: they are lines as any other.
    pub fn skip_blank_lines(mut self) -> Self {
        self.skips_blank_lines = true;
        self
    }

    /// Sets the size below which a file is not split. Default: 1 MiB.
    pub fn min_split_bytes(mut self, bytes: u64) -> Self {
        self.min_split_bytes = bytes;
        self
    }
}

impl Source for Text {
    type Item = Line;
    type Split = TextSplit;
    type Ack = ();
    type Reader = TextReader;

    fn is_bounded(&self) -> bool {
        true
    }

    fn split(&self, desired: usize) -> Result<Vec<TextSplit>> {
        let inputs = expand(&self.pattern)?;
        plan::plan(inputs, self.compression, desired, self.min_split_bytes)
    }

    fn open(&self, split: TextSplit, context: &ReadContext) -> Result<TextReader> {
        TextReader::new(self.clone(), split, context)
    }

    fn resume(&self) -> Resume {
        // What cannot be found is an error when the run splits it.
        let inputs = expand(&self.pattern).unwrap_or_default();
        match inputs
            .iter()
            .any(|input| input.may_block().unwrap_or(false))
        {
            true => Resume::Never,
            false => Resume::Position,
        }
    }
}

impl LineSource for Text {
    fn skip_blank_lines(self) -> Self {
        Text::skip_blank_lines(self)
    }
}

/// A source of lines: what [`read_lines`](Pipeline::read_lines), [`read_json`](Pipeline::read_json) and
/// [`read_dead_letters`](Pipeline::read_dead_letters) read.
pub trait LineSource: Source<Item = Line> {
    /// Skips lines that are empty or have nothing but white space (ASCII), and counts them
    /// (`blank_lines`).
    #[must_use]
    fn skip_blank_lines(self) -> Self;
}

impl Pipeline {
    /// Reads the lines of text files, without their ends.
    ///
    /// They are those of a [`Text`], or of another source of lines. A line is a slice of the block that
    /// was read: nothing is copied. A line over the limit of [`Text::max_line_bytes`] is a dead letter
    /// that keeps the beginning.
    ///
    /// ```
    /// use pipeline_core::prelude::*;
    ///
    /// let path = std::env::temp_dir().join(format!("read-lines-{}.txt", std::process::id()));
    /// std::fs::write(&path, "to be\nor not\n")?;
    /// let pattern = path.display().to_string();
    /// let pipeline = Pipeline::build(|p| {
    ///     p.read_lines("Lines", Text::lines(pattern.as_str()))
    ///         .drop_dead_letters("no line is that long")
    ///         .map("Length", |line| line.len())
    ///         .check("Lengths", |mut lengths| {
    ///             lengths.sort();
    ///             assert_eq!(lengths, [5, 6]);
    ///         });
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_lines(&self, name: &str, text: impl LineSource) -> Outcome<Bytes> {
        self.scope(name, || {
            let lines = self.read("Read", text);
            lines.try_map("Whole", |line| whole(line).cloned())
        })
    }
}

/// Returns the bytes of a line that was not cut.
pub(super) fn whole(line: &Line) -> Result<&Bytes, Failure> {
    if line.is_cut() {
        return Err(too_long(line));
    }
    Ok(&line.bytes)
}

#[cold]
fn too_long(line: &Line) -> Failure {
    let source = line.cut.as_ref().and_then(|cut| cut.source.as_deref());
    let source = source.unwrap_or("its file");
    Failure::new(format!(
        "the line at byte {} of {source} has {} bytes, the limit is {}; its beginning was kept. \
         Set Text::max_line_bytes to read longer lines",
        line.offset,
        line.full_length(),
        line.bytes.len()
    ))
    .with_original(line.bytes.clone())
}
