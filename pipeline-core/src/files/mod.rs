//! Reads and writes files: what file sources and sinks are made of.
//!
//! - [`expand`] turns a pattern into [`Input`]s; [`ranges`] splits one among workers; [`open_lines`] opens a range,
//!   decompressed as [`Compression`] says.
//! - [`LineReader`] splits what is read into [`Line`]s without copying; a [`FileRange`] is a worker's share of a file.
//! - [`BackgroundLines`] reads lines on a thread of its own, for standard input and other slow readers.
//! - [`Decompressed`] reads the bytes of an input that may be gzip or zstd.
//! - [`AtomicFile`] writes a file that appears under its name when it is complete.

mod atomic;
mod background;
mod compression;
mod error;
mod input;
mod line;
mod lines;
mod lock;
#[cfg(test)]
pub(crate) mod scratch;
mod zstd;

pub(crate) use atomic::SavedFile;
pub use atomic::{AtomicFile, FilePosition};
pub use background::BackgroundLines;
pub use compression::{Compression, Decompressed, HEAD_BYTES, Packing};
pub use error::FileError;
pub(crate) use input::is_packed;
pub use input::{Input, expand, open_lines, ranges};
pub use line::{Cut, FileRange, Line, LineOptions};
pub use lines::LineReader;
pub use lock::{LockError, lock};
