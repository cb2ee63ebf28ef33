//! The words of reading lines: a line, a range of a file, the options.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Holds a line without its end, and where it began.
///
/// The bytes are a slice of the block that was read: they cost no copy, and keep the block (a few hundred KiB) alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The line without `\n`; only its beginning if it was over the limit.
    pub bytes: Bytes,
    /// Where the line begins, in bytes from the beginning of the (decompressed) file.
    pub offset: u64,
    /// What is known of a line that was over the limit, so that `bytes` are only its beginning.
    pub cut: Option<Box<Cut>>,
}

/// Says what was cut. It stands apart: few lines are cut, and all pay for the size of a [`Line`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The length of the whole line in bytes, without its end.
    pub full_length: u64,
    /// Where the line is from, if the reader was told: a file's path, or "standard input".
    pub source: Option<String>,
}

impl Line {
    /// Tells whether the line was over the limit.
    pub fn is_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// Returns the length of the whole line in bytes, without its end; more than `bytes.len()` if it was cut.
    pub fn full_length(&self) -> u64 {
        let kept = self.bytes.len() as u64;
        self.cut.as_ref().map_or(kept, |cut| cut.full_length)
    }
}

/// Selects a share of a file: the lines that begin at `start` or behind it, and before `end`.
///
/// It is the rule of Beam's text source: a line belongs to the range that its first byte is in, so that ranges which
/// meet without gaps share the lines out, each to exactly one. A byte order mark belongs to the first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRange {
    /// The first byte.
    pub start: u64,
    /// The byte behind the last one; `u64::MAX` for all that follows.
    pub end: u64,
}

impl FileRange {
    /// Selects a whole file, or a stream.
    pub const ALL: FileRange = FileRange {
        start: 0,
        end: u64::MAX,
    };

    /// Returns where reading begins: the byte before `start` tells whether a line begins there.
    pub(super) fn first_byte_read(self) -> u64 {
        self.start.saturating_sub(1)
    }

    /// Splits the bytes of a file into at most `parts` ranges of at least `min_length` bytes each.
    ///
    /// There is at least one range; the last one is open to the right, so that a file that grows is read to its end.
    pub fn split(file_length: u64, parts: u64, min_length: u64) -> Vec<FileRange> {
        let parts = parts.min(file_length / min_length.max(1)).max(1);
        let bound = |n: u64| (u128::from(file_length) * u128::from(n) / u128::from(parts)) as u64;
        (0..parts)
            .map(|n| FileRange {
                start: bound(n),
                end: if n + 1 == parts {
                    u64::MAX
                } else {
                    bound(n + 1)
                },
            })
            .collect()
    }
}

/// Says how a stream is split into lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct LineOptions {
    pub(super) max_line_bytes: usize,
    pub(super) strip_cr: bool,
    pub(super) block_bytes: usize,
}

impl Default for LineOptions {
    /// Lines of at most 10,000,000 bytes (the limit of a Pub/Sub message), `\r\n` is an end too, blocks of 256 KiB.
    fn default() -> Self {
        LineOptions {
            max_line_bytes: 10_000_000,
            strip_cr: true,
            block_bytes: 256 * 1024,
        }
    }
}

impl LineOptions {
    /// Limits the length of a line in bytes; a longer one is cut, and never held in memory beyond the limit and a block.
    pub fn max_line_bytes(mut self, limit: usize) -> Self {
        self.max_line_bytes = limit;
        self
    }

    /// Says whether a `\r` before the `\n` belongs to the end of the line (the default) or to the line.
    ///
    /// A `\r` elsewhere, as at the end of the file, belongs to the line.
    pub fn strip_cr(mut self, strip: bool) -> Self {
        self.strip_cr = strip;
        self
    }

    /// Sets how many bytes are read at once, 16 at least.
    pub fn block_bytes(mut self, bytes: usize) -> Self {
        self.block_bytes = bytes.max(16);
        self
    }
}
