//! Text files: the sink [`TextSink`].

mod csv;
mod epochs;
mod field_names;
mod format;
mod publish;
mod writer;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

pub use self::csv::Csv;
use self::epochs::{Parts, Taken};
pub use self::format::{DeadLetters, Format, Json, Lines};
pub use writer::TextWriter;

use super::{Promise, Recovery, Sink};
use crate::coder::{Element, short_name};
use crate::dead_letter::BadRecord;
use crate::error::Result;
use crate::files::{AtomicFile, Compression};

/// Writes text files: a line an element, as itself, as JSON or as CSV.
///
/// Without further options each worker writes a file of its own, a shard, with the names of Beam's
/// `TextIO`: `counts-00000-of-00002`, `counts-00001-of-00002`. Shards that an earlier run with more
/// workers left behind stay.
///
/// - All or nothing: the files have temporary names until the run has succeeded, or was stopped in
///   good order. A run that fails leaves none, and the files of an earlier run as they were.
///   Only a process that is killed leaves temporary files behind (`.NAME.PROCESS-NUMBER.part`), until
///   the next run that writes the same output.
/// - Exactly once within the run: a batch that is tried again replaces what the attempt before
///   wrote.
/// - A source that acknowledges is told that elements are committed before the files are there:
///   what it had acknowledged is lost if the process is killed. In a run with snapshots nothing is:
///   the temporary files (`.NAME.PROCESS-NUMBER-PART.part`) stay when the process is killed, and the
///   next run goes on with them, whatever the number of its workers; a part that has lost its worker
///   becomes a shard of its own. A run that is stopped publishes copies of what there is by then.
///   If the snapshots are lost, these files stay (beside `.NAME.PROCESS-NUMBER.kept`), and each run
///   that writes the same output names them on standard error: what they hold may be nowhere else.
/// - A file is there even if no element came.
/// - Two sinks of one file are refused when the pipeline is built. Paths are compared as they are
///   written, made absolute: two names of one file through links are not seen.
/// - A record that cannot be shown in the format is refused ([`Written`](super::Written)).
///
/// ```
/// use pipeline_core::prelude::*;
///
/// let folder = std::env::temp_dir().join(format!("text-sink-{}", std::process::id()));
/// std::fs::create_dir_all(&folder)?;
/// let path = folder.join("words");
/// let pipeline = Pipeline::build(|p| {
///     p.create("Words", vec!["to be".to_string(), "or not".to_string()])
///         .write("WriteWords", TextSink::lines(&path).suffix(".txt"));
/// })?;
/// DirectRunner::new().workers(1).run(&pipeline)?;
/// let words = std::fs::read_to_string(folder.join("words-00000-of-00001.txt"))?;
/// assert_eq!(words, "to be\nor not\n");
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct TextSink<T> {
    prefix: PathBuf,
    suffix: String,
    sharded: bool,
    compression: Compression,
    format: Arc<dyn Fn() -> Box<dyn Format<T>> + Send + Sync>,
    /// The name of the format, in snapshots.
    shown_as: String,
    /// What is written in this run.
    parts: Parts,
}

impl<T: Element + AsRef<[u8]>> TextSink<T> {
    /// Writes elements (text or bytes) as they are, each with `\n` behind it.
    ///
    /// A `\n` within an element is written as well: whoever reads the file takes it for two.
    pub fn lines(prefix: impl AsRef<Path>) -> Self {
        TextSink::of(prefix, || Lines)
    }
}

impl<T: Element + Serialize> TextSink<T> {
    /// Writes newline-delimited JSON (NDJSON): each element, by its serde, on a line.
    pub fn json(prefix: impl AsRef<Path>) -> Self {
        TextSink::of(prefix, || Json)
    }

    /// Writes comma-separated values (RFC 4180, with `\n`): each element, by its serde, as a record.
    ///
    /// The names of a struct's fields are the header, of each shard too; a tuple has none. A field
    /// with commas, quotes or line breaks is quoted; `None` is an empty field. An element whose
    /// fields hold structs, lists or maps is refused, and so is one with another number of fields
    /// than the first. The header of a file without records lists the fields by which `T` is
    /// deserialised.
    ///
    /// ```
    /// use pipeline_core::prelude::*;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Clone, Serialize, Deserialize)]
    /// struct City {
    ///     name: String,
    ///     orders: Option<u64>,
    /// }
    ///
    /// let path = std::env::temp_dir().join(format!("cities-{}.csv", std::process::id()));
    /// let pipeline = Pipeline::build(|p| {
    ///     let city = City { name: "Izmir, TR".into(), orders: None };
    ///     p.create("Cities", vec![city])
    ///         .write("WriteCities", TextSink::csv(&path).without_sharding());
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// assert_eq!(std::fs::read_to_string(&path)?, "name,orders\n\"Izmir, TR\",\n");
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn csv(prefix: impl AsRef<Path>) -> Self {
        TextSink::of(prefix, Csv::default)
    }
}

impl TextSink<BadRecord> {
    /// Writes dead letters as newline-delimited JSON into one file.
    ///
    /// A record is an object with `reason`, `errors` (the reason and what caused it), `transform`,
    /// `event_time` and `ingestion_time` (RFC 3339, `null` where there is none), `attempts` and
    /// `original`, or `original_base64` if it is not UTF-8.
    ///
    /// ```
    /// use pipeline_core::prelude::*;
    ///
    /// let path = std::env::temp_dir().join(format!("dead-{}.ndjson", std::process::id()));
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Texts", vec!["x".to_string()])
    ///         .try_map("Parse", |text| Ok(text.parse::<i64>()?))
    ///         .dead_letters
    ///         .write("WriteDeadLetters", TextSink::dead_letters(&path));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// let written = std::fs::read_to_string(&path)?;
    /// assert!(written.starts_with(r#"{"reason":"invalid digit found in string","#));
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dead_letters(path: impl AsRef<Path>) -> Self {
        TextSink::of(path, || DeadLetters).without_sharding()
    }
}

impl<T> TextSink<T> {
    fn of<F: Format<T> + 'static>(
        prefix: impl AsRef<Path>,
        format: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        TextSink {
            prefix: prefix.as_ref().to_path_buf(),
            suffix: String::new(),
            sharded: true,
            compression: Compression::Auto,
            format: Arc::new(move || Box::new(format())),
            shown_as: short_name::<F>(),
            parts: Arc::default(),
        }
    }

    /// Ends the names of the files, behind the number of the shard. Default: nothing.
    pub fn suffix(mut self, suffix: impl Into<String>) -> Self {
        self.suffix = suffix.into();
        self
    }

    /// Writes one file, under the very name (with the suffix). Each worker writes a part, and the
    /// parts are put together at the end; so for a moment they are on disk twice.
    pub fn without_sharding(mut self) -> Self {
        self.sharded = false;
        self
    }

    /// Says how to compress. Default: gzip if the name (with the suffix) ends with `.gz`.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Returns the name of a file, given what stands between prefix and suffix.
    fn path(&self, shard: &str) -> PathBuf {
        let mut path = OsString::from(&self.prefix);
        path.push(shard);
        path.push(&self.suffix);
        path.into()
    }
}

impl<T: Element> Sink for TextSink<T> {
    type Item = T;
    type Writer = TextWriter<T>;

    fn open(&self, worker: usize) -> Result<TextWriter<T>> {
        self.tidy()?;
        let file = AtomicFile::create(self.path(""), self.compression)?;
        let parts = Arc::clone(&self.parts);
        Ok(TextWriter::new((self.format)(), worker, file, parts, None))
    }

    fn promise(&self) -> Promise {
        Promise::Transactional
    }

    fn open_in_epochs(&self, worker: usize) -> Result<TextWriter<T>> {
        self.open_part(worker)
    }

    async fn recover(&self, last: Option<Recovery>) -> Result<u64> {
        self.recover_parts(last)
    }

    async fn commit(&self, _epoch: u64, _prepared: Vec<Vec<u8>>) -> Result<()> {
        self.mark_parts()
    }

    async fn suspend(&self) -> Result<()> {
        Ok(self.publish_copies(self.take_parts().parts)?)
    }

    fn exclusive_path(&self) -> Option<PathBuf> {
        let shard = if self.sharded { "-SSSSS-of-NNNNN" } else { "" };
        let path = self.path(shard);
        // Where it cannot be made absolute, it cannot be opened either: the run will say so.
        Some(std::path::absolute(&path).unwrap_or(path))
    }

    async fn finish(&self, succeeded: bool) -> Result<()> {
        let Taken {
            parts,
            tag,
            published,
        } = self.take_parts();
        match tag {
            Some(tag) if published => self.end_published(parts, &tag),
            tag if succeeded => {
                self.publish(parts)?;
                if let Some(tag) = tag {
                    AtomicFile::unmark(&self.path(""), &tag);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
