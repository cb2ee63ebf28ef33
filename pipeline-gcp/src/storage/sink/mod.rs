//! Files in a bucket or a folder, one (or more) for each destination, window and shard: the sink [`FileSink`].

mod epochs;
mod naming;
mod registry;
mod spool;
mod target;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::sink::format::{Csv, DeadLetters, Format, Json, Lines};
use pipeline_core::sink::{Promise, Recovery, Stamp, Written};
use pipeline_core::{Error, Result};
use serde::Serialize;

use self::epochs::Shared;
pub use self::naming::FileName;
use self::spool::SpoolFolder;
pub use self::target::Existing;
use self::target::Target;
pub use self::writer::FileWriter;
use super::location::Place;

type MakeFormat<T> = Arc<dyn Fn() -> Box<dyn Format<T>> + Send + Sync>;
type Destination<T> = Arc<dyn Fn(&T, Stamp) -> Result<String, Failure> + Send + Sync>;

/// Writes files into a bucket or a folder: text, NDJSON or CSV, one for each destination, window and shard.
///
/// [`write_files`](WriteFiles::write_files) writes a collection into it.
///
/// - **When a file is there.** With snapshots: when its window is over (the watermark has passed its end) and
///   the epoch is committed. Without: when its window is over, and what is open at the end, in the global
///   window too, when the run has succeeded; of a run that fails only the windows that were over are there.
///   A file is there whole or not at all, and nothing is ever overwritten ([`existing`](Self::existing)).
/// - **Once.** Records wait in files of the [spool folder](Self::spool) on this machine; a snapshot names
///   them and their lengths. A file that is over is uploaded under a temporary name (in
///   `PLACE/.pipeline/OWNER/`); the commit copies it to its name where nothing is, and deletes the temporary
///   object. A commit that is repeated after a crash finds out by the object's mark (metadata
///   `pipeline-file`), or where none is kept by its bytes, that it was done. A run that goes on removes what
///   the run before has left under the owner's name.
/// - **Late records** go to a further file of the same window, [part](FileName::part) 1, 2, …; nothing is
///   dropped. They are gathered for an epoch, without snapshots for the length of the window. What was
///   written of a window is remembered for [a while](Self::remember); for later records the next free name
///   is looked for.
/// - **Shards** divide the records of a window in turn, whatever the number of workers; each is written by
///   one worker. A shard without a record has no file.
/// - A record that has no destination, or whose file has a name that no storage takes, or that cannot be
///   shown in the format, is refused ([`Written`]), each counted once.
/// - Without snapshots, what a source has acknowledged and the spool folder holds is lost with the process.
///
/// ```
/// use std::time::Duration;
///
/// use pipeline_core::prelude::*;
/// use pipeline_gcp::storage::{FileSink, Storages, WriteFiles};
///
/// let folder = std::env::temp_dir().join(format!("file-sink-{}", std::process::id()));
/// let place = Storages::local().open(&folder.display().to_string())?;
/// let pipeline = Pipeline::build(|p| {
///     let at = |second: i64| Timestamp::from_millis(1_706_781_600_000 + second * 1_000);
///     p.create_timestamped("Events", vec![("login".to_string(), at(1)), ("logout".to_string(), at(61))])
///         .window_into("Minutes", FixedWindows::of(Duration::from_secs(60)))
///         .write_files(
///             "Archive",
///             FileSink::lines(place, "doc")
///                 .named(|file| format!("{}/events_{}.txt", file.time("%H/%M"), file.number())),
///         );
/// })?;
/// DirectRunner::new().run(&pipeline)?;
/// assert_eq!(std::fs::read_to_string(folder.join("10/00/events_0.txt"))?, "login\n");
/// assert_eq!(std::fs::read_to_string(folder.join("10/01/events_0.txt"))?, "logout\n");
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct FileSink<T> {
    target: Arc<Target>,
    format: MakeFormat<T>,
    destination: Option<Destination<T>>,
    spool: Option<PathBuf>,
    max_file_bytes: u64,
    shared: Arc<Shared>,
}

impl<T> Clone for FileSink<T> {
    fn clone(&self) -> Self {
        FileSink {
            target: Arc::clone(&self.target),
            format: Arc::clone(&self.format),
            destination: self.destination.clone(),
            spool: self.spool.clone(),
            max_file_bytes: self.max_file_bytes,
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T: Element + AsRef<[u8]>> FileSink<T> {
    /// Writes elements (text or bytes) as they are, each with `\n` behind it; `.txt`.
    ///
    /// `owner` names the job, as in all constructors: no two that run at one time and write below one place
    /// may have the same. It is of letters, digits, `-`, `_` and `.`.
    pub fn lines(place: Place, owner: impl Into<String>) -> Self {
        FileSink::of(place, owner, ".txt", || Lines)
    }
}

impl<T: Element + Serialize> FileSink<T> {
    /// Writes newline-delimited JSON: each element, by its serde, on a line; `.ndjson`.
    pub fn json(place: Place, owner: impl Into<String>) -> Self {
        FileSink::of(place, owner, ".ndjson", || Json)
    }

    /// Writes comma-separated values, as [`TextSink::csv`]: a header in each file; `.csv`.
    pub fn csv(place: Place, owner: impl Into<String>) -> Self {
        FileSink::of(place, owner, ".csv", Csv::default)
    }
}

impl FileSink<BadRecord> {
    /// Writes dead letters as newline-delimited JSON, as [`TextSink::dead_letters`]; `.ndjson`. The
    /// destination is the path of the transform that refused the record, its names apart by slashes.
    ///
    /// [`read_dead_letters`](Pipeline::read_dead_letters) reads them back.
    pub fn dead_letters(place: Place, owner: impl Into<String>) -> Self {
        FileSink::of(place, owner, ".ndjson", || DeadLetters)
            .destination(|bad: &BadRecord, _| Ok(bad.transform.clone()))
    }
}

impl<T> FileSink<T> {
    fn of<F: Format<T> + 'static>(
        place: Place,
        owner: impl Into<String>,
        extension: &str,
        format: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        let owner = owner.into();
        let root = match place.name.trim_end_matches('/') {
            "" => String::new(),
            root => format!("{root}/"),
        };
        FileSink {
            target: Arc::new(Target {
                temporary: format!("{root}.pipeline/{owner}/"),
                place,
                owner,
                naming: Arc::new(|file: &FileName<'_>| file.default_name()),
                extension: extension.to_owned(),
                gzip: false,
                shards: 1,
                existing: Existing::default(),
                remember: Duration::from_secs(3600),
            }),
            format: Arc::new(move || Box::new(format())),
            destination: None,
            spool: None,
            max_file_bytes: u64::MAX,
            shared: Arc::default(),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Target)) -> Self {
        change(Arc::make_mut(&mut self.target));
        self
    }

    /// Says to which destination each record goes: the beginning of the file's name, by default.
    /// Default: all go to one, without a name.
    pub fn destination(
        mut self,
        destination: impl Fn(&T, Stamp) -> Result<String, Failure> + Send + Sync + 'static,
    ) -> Self {
        self.destination = Some(Arc::new(destination));
        self
    }

    /// Says how files are named, below the place. Two files must never have one name: use
    /// [destination](FileName::destination), window ([time](FileName::time)) and
    /// [number](FileName::number) (or shard and part). Default: [`FileName::default_name`].
    pub fn named(self, naming: impl Fn(&FileName<'_>) -> String + Send + Sync + 'static) -> Self {
        self.with(|target| target.naming = Arc::new(naming))
    }

    /// Ends the names of files ([`FileName::extension`]), before the `.gz` of packed ones. Default: that of
    /// the format.
    pub fn extension(self, extension: impl Into<String>) -> Self {
        self.with(|target| target.extension = extension.into())
    }

    /// Packs the files with gzip, when their window is over.
    pub fn gzip(self) -> Self {
        self.with(|target| target.gzip = true)
    }

    /// Divides each window's records among so many files, 1 at least. Default: 1.
    pub fn shards(self, shards: u32) -> Self {
        self.with(|target| target.shards = shards.max(1))
    }

    /// Ends a file when it has so many bytes, before packing: what follows goes to the next part. Default:
    /// never.
    pub fn max_file_bytes(mut self, bytes: u64) -> Self {
        self.max_file_bytes = bytes.max(1);
        self
    }

    /// Keeps records in a folder below this one, named after owner and place, until their window is over. A run with snapshots needs one:
    /// it goes on with what is there, so it must outlive the machine's restart. Default: a folder for
    /// temporary files.
    pub fn spool(mut self, folder: impl Into<PathBuf>) -> Self {
        self.spool = Some(folder.into());
        self
    }

    /// Keeps uploaded files below this prefix of the same bucket until their epoch is committed. Default:
    /// `PLACE/.pipeline/OWNER/`.
    pub fn temporary(self, prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        self.with(|target| {
            target.temporary = format!("{}/{}/", prefix.trim_end_matches('/'), target.owner);
        })
    }

    /// Says what to do where an object is there that this job has not written. Default:
    /// [`Existing::Refuse`].
    pub fn existing(self, existing: Existing) -> Self {
        self.with(|target| target.existing = existing)
    }

    /// Remembers for so long, in event time behind the end of a window, what was written of it: about 150
    /// bytes a file, in every snapshot. Default: 1 h.
    pub fn remember(self, time: Duration) -> Self {
        self.with(|target| target.remember = time)
    }

    /// Returns the name of the spool folder: the owner may write several places.
    fn folder(&self) -> String {
        let bytes = self.target.temporary.bytes();
        let place = self.target.place.full_name().into_bytes();
        let hash = place
            .into_iter()
            .chain(bytes)
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        format!("{}-{hash:016x}", self.target.owner)
    }

    fn check(&self) -> Result<()> {
        let owner = &self.target.owner;
        let is_valid = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if owner.is_empty() || owner.starts_with('.') || !owner.chars().all(is_valid) {
            return Err(Error::option(format!(
                "{owner:?} cannot be the owner of files: use letters, digits, `-`, `_` and `.`"
            )));
        }
        Ok(())
    }
}

impl<T: Element> Sink for FileSink<T> {
    /// A record with the number of its shard.
    type Item = (u32, T);
    type Writer = FileWriter<T>;

    fn open(&self, worker: usize) -> Result<FileWriter<T>> {
        self.check()?;
        let spool = match &self.spool {
            // Apart from that of a run with snapshots, which may want to go on.
            Some(spool) => spool.join(format!("{}-without-snapshots", self.folder())),
            None => std::env::temp_dir().join(format!("pipeline-spool-{}", epochs::new_run())),
        };
        self.shared.begin_once(spool)?;
        Ok(FileWriter::new(self.clone(), worker, false))
    }

    fn promise(&self) -> Promise {
        Promise::Transactional
    }

    fn open_in_epochs(&self, worker: usize) -> Result<FileWriter<T>> {
        Ok(FileWriter::new(self.clone(), worker, true))
    }

    async fn commit(&self, _epoch: u64, prepared: Vec<Vec<u8>>) -> Result<()> {
        self.commit_epoch(prepared).await
    }

    async fn recover(&self, last: Option<Recovery>) -> Result<u64> {
        self.check()?;
        self.recover_files(last).await?;
        // Objects bear no epoch, so that none is known to be committed.
        Ok(0)
    }

    async fn suspend(&self) -> Result<()> {
        self.shared.end();
        Ok(())
    }

    async fn finish(&self, succeeded: bool) -> Result<()> {
        let in_epochs = self.shared.lock().in_epochs;
        let (closed, spool) = self.shared.end();
        let Some(spool) = spool.filter(|_| !in_epochs) else {
            return Ok(());
        };
        let published = match succeeded {
            true => self.target.publish_all(closed, spool.path()).await,
            false => {
                self.target.forget(&closed).await;
                Ok(())
            }
        };
        clear(&spool, self.spool.is_none());
        published
    }

    fn follows_watermark(&self) -> bool {
        true
    }

    fn exclusive_path(&self) -> Option<PathBuf> {
        let temporary = &self.target.temporary;
        Some(self.target.place.storage.full_name(temporary).into())
    }
}

/// Removes what is left in a spool folder, and one that was made for the run alone. It is rubbish: what cannot be removed
/// does no harm.
fn clear(spool: &SpoolFolder, with_folder: bool) {
    let _ = spool.retain(&[]);
    if with_folder {
        let _ = std::fs::remove_dir_all(spool.path());
    }
}

/// `write_files`: a collection into files.
pub trait WriteFiles<T: Element> {
    /// Writes every element into a file of its destination, window and shard; returns the records that were
    /// refused. See [`FileSink`] for an example.
    fn write_files(&self, name: &str, sink: FileSink<T>) -> Written;
}

impl<T: Element> WriteFiles<T> for PCollection<T> {
    fn write_files(&self, name: &str, sink: FileSink<T>) -> Written {
        let shards = sink.target.shards;
        self.pipeline().scope(name, || {
            let next = AtomicU32::new(0);
            let in_turn = move |_: &T| match shards {
                1 => 0,
                shards => next.fetch_add(1, Ordering::Relaxed) % shards,
            };
            self.key_by("Shard", in_turn)
                .redistribute_by_key("ToShard")
                .write("Write", sink)
        })
    }
}
