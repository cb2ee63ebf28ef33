//! Lines of objects in a bucket or a folder: the source [`ObjectSource`].

mod opened;
mod plan;
mod reader;

use std::sync::Arc;
use std::time::Duration;

use pipeline_core::files::{Compression, Line, LineOptions};
use pipeline_core::prelude::*;
use pipeline_core::source::{CsvSource, LineSource, Resume};
use pipeline_core::{Error, Result, Timestamp};

use self::plan::Share;
pub use self::reader::ObjectLineReader;
use super::location::Place;

type TimestampWith = Arc<dyn Fn(&Line) -> Option<Timestamp> + Send + Sync>;

/// Names objects, to be read line by line: all that are there, or new ones too as they come
/// ([`watch`](Self::watch)).
///
/// [`read_lines`](Pipeline::read_lines), [`read_json`](Pipeline::read_json) and
/// [`read_dead_letters`](Pipeline::read_dead_letters) read them, and [`read_csv`](Pipeline::read_csv) their
/// [`csv`](Self::csv); as a [`Source`] it gives each [`Line`] with
/// its place in its object. Lines are those of a [`Text`].
///
/// - **Pattern.** `gs://bucket/logs/2024/*.json`: see [`NamePattern`](pipeline_core::files::NamePattern). Parts
///   that begin with a dot must be named with it: what others have not published yet is not read.
/// - **Compression.** gzip and zstd (with the feature `gcp`) by their first bytes, on a thread for each
///   object that is open.
/// - **Sharing.** An object of several times [`min_split_bytes`](Self::min_split_bytes) that is not
///   compressed is read by several workers, each its ranges of bytes; what is compressed by one.
/// - **Each generation once.** An object is read as it was listed; one that is replaced, or written to, while
///   it is read ends the job with an error that says so. A connection that is cut is opened again where it
///   was.
/// - **Snapshots.** A run that resumes goes on behind the last line of the snapshot; the objects must be what
///   they were. What is compressed is read from its beginning again, up to there.
/// - Transform counters: `objects` (read to their end), `blank_lines` (if they are skipped).
///
/// ```
/// use pipeline_core::prelude::*;
/// use pipeline_gcp::storage::{ObjectSource, Storages};
///
/// let folder = std::env::temp_dir().join(format!("object-source-{}", std::process::id()));
/// std::fs::create_dir_all(&folder)?;
/// std::fs::write(folder.join("a.txt"), "to be\nor not\n")?;
/// let place = Storages::local().open(&format!("{}/*.txt", folder.display()))?;
/// let pipeline = Pipeline::build(|p| {
///     p.read_lines("Lines", ObjectSource::new(place))
///         .drop_dead_letters("no line is that long")
///         .check("Two", |lines| assert_eq!(lines.len(), 2));
/// })?;
/// DirectRunner::new().run(&pipeline)?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct ObjectSource {
    place: Place,
    compression: Compression,
    options: LineOptions,
    max_line_bytes: usize,
    skips_blank_lines: bool,
    min_split_bytes: u64,
    watch: Option<Watch>,
    timestamp_with: Option<TimestampWith>,
    max_disorder: Duration,
    idle_after: Option<Duration>,
    /// Records of tables are read, not lines.
    csv: bool,
}

/// Says how new objects are looked for.
///
/// Every generation of every object is read once; what was read is remembered in snapshots, about 100 bytes
/// an object. Each worker looks for those that are its own, by their names.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Watch {
    every: Duration,
    stop_when_idle: Option<Duration>,
    forget_after: Option<i64>,
}

impl Watch {
    /// Looks for new objects so often; a listing of all that match is asked for each time, by each worker.
    pub fn every(time: Duration) -> Self {
        Watch {
            every: time.max(Duration::from_millis(1)),
            stop_when_idle: None,
            forget_after: None,
        }
    }

    /// Ends the input when no object has come, and none was being read, for so long. Default: never.
    pub fn stop_when_idle(mut self, time: Duration) -> Self {
        self.stop_when_idle = Some(time);
        self
    }

    /// Forgets objects that were written so long before the newest that was read. One that appears later,
    /// with an older time, is not read. Default: nothing is forgotten.
    pub fn forget_after(mut self, time: Duration) -> Self {
        self.forget_after = Some(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        self
    }
}

impl ObjectSource {
    /// Names the objects of a place that match its name, or that have it. When the pipeline runs, it is an
    /// error if there is none, unless they are watched for.
    pub fn new(place: Place) -> Self {
        ObjectSource {
            place,
            compression: Compression::Auto,
            options: LineOptions::default(),
            max_line_bytes: 10_000_000,
            skips_blank_lines: false,
            min_split_bytes: 16 * 1024 * 1024,
            watch: None,
            timestamp_with: None,
            max_disorder: reader::MAX_DISORDER,
            idle_after: None,
            csv: false,
        }
    }

    /// Reads records of CSV files, for [`read_csv`](Pipeline::read_csv): each object has a header, and is read
    /// by one worker.
    pub fn csv(mut self) -> CsvObjects {
        self.csv = true;
        self.min_split_bytes = u64::MAX;
        self.options = self.options.strip_cr(false);
        CsvObjects(self)
    }

    /// Says how the objects are compressed. Default: gzip or zstd where the first bytes say so.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Limits the length of a line in bytes, as [`Text::max_line_bytes`]. Default: 10,000,000.
    pub fn max_line_bytes(mut self, limit: usize) -> Self {
        self.options = self.options.max_line_bytes(limit);
        self.max_line_bytes = limit;
        self
    }

    /// Sets the size below which an object is not split. Default: 16 MiB.
    pub fn min_split_bytes(mut self, bytes: u64) -> Self {
        self.min_split_bytes = bytes.max(1);
        self
    }

    /// Reads what is there, then what is new, without end: an unbounded source.
    pub fn watch(mut self, watch: Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Takes event times from `timestamp`; a line that it gives none takes the watermark's, and does not move
    /// it. Default: the time at which the object was written, where objects are watched for; else the
    /// earliest.
    pub fn timestamp_with(
        mut self,
        timestamp: impl Fn(&Line) -> Option<Timestamp> + Send + Sync + 'static,
    ) -> Self {
        self.timestamp_with = Some(Arc::new(timestamp));
        self
    }

    /// Expects a line to be at most `disorder` of event time behind the latest of the same worker, where
    /// objects are watched for. Default: 60 s.
    pub fn max_disorder(mut self, disorder: Duration) -> Self {
        self.max_disorder = disorder;
        self
    }

    /// Lets the watermark follow the wall time, by what has elapsed since its last value, when nothing new
    /// has come for `quiet`, where objects are watched for. Default: it stands still.
    pub fn idle_after(mut self, quiet: Duration) -> Self {
        self.idle_after = Some(quiet);
        self
    }
}

/// A part of an [`ObjectSource`].
#[derive(Debug)]
pub struct ObjectSplit(Split);

#[derive(Debug)]
enum Split {
    Shares(Vec<Share>),
    Watched { number: u64, of: u64 },
}

impl Source for ObjectSource {
    type Item = Line;
    type Split = ObjectSplit;
    type Ack = ();
    type Reader = ObjectLineReader;

    fn is_bounded(&self) -> bool {
        self.watch.is_none()
    }

    fn split(&self, desired: usize) -> Result<Vec<ObjectSplit>> {
        if self.watch.is_some() {
            let of = desired.max(1) as u64;
            let parts = (0..of).map(|number| ObjectSplit(Split::Watched { number, of }));
            return Ok(parts.collect());
        }
        let shares = wait_for(async {
            let objects = plan::find(&self.place).await?;
            if objects.is_empty() {
                return Err(plan::none_found(&self.place));
            }
            let (compression, min_bytes) = (self.compression, self.min_split_bytes);
            plan::plan(&self.place, objects, compression, desired, min_bytes).await
        })??;
        let parts = shares.into_iter().map(|s| ObjectSplit(Split::Shares(s)));
        Ok(parts.collect())
    }

    fn open(&self, split: ObjectSplit, context: &ReadContext) -> Result<ObjectLineReader> {
        ObjectLineReader::new(self.clone(), split, context)
    }

    fn resume(&self) -> Resume {
        Resume::Position
    }

    fn idle_after(&self) -> Option<Duration> {
        self.idle_after.filter(|_| self.watch.is_some())
    }
}

/// Names objects that are CSV files: see [`ObjectSource::csv`].
#[derive(Clone)]
#[must_use]
pub struct CsvObjects(ObjectSource);

impl Source for CsvObjects {
    type Item = Line;
    type Split = ObjectSplit;
    type Ack = ();
    type Reader = ObjectLineReader;

    fn is_bounded(&self) -> bool {
        self.0.is_bounded()
    }

    fn split(&self, desired: usize) -> Result<Vec<ObjectSplit>> {
        self.0.split(desired)
    }

    fn open(&self, split: ObjectSplit, context: &ReadContext) -> Result<ObjectLineReader> {
        self.0.open(split, context)
    }

    fn resume(&self) -> Resume {
        self.0.resume()
    }

    fn idle_after(&self) -> Option<Duration> {
        Source::idle_after(&self.0)
    }
}

impl CsvSource for CsvObjects {}

impl LineSource for ObjectSource {
    fn skip_blank_lines(mut self) -> Self {
        self.skips_blank_lines = true;
        self
    }
}

/// Waits for a call where the engine asks at once, on a thread of its own: that of the engine may not.
fn wait_for<R: Send>(call: impl Future<Output = R> + Send) -> Result<R> {
    let runtime = tokio::runtime::Handle::try_current();
    let runtime = runtime.map_err(|error| Error::connector(format!("listing objects: {error}")))?;
    std::thread::scope(|scope| {
        let called = scope.spawn(|| runtime.block_on(call)).join();
        called.map_err(|_| Error::connector("listing objects panicked"))
    })
}
