//! Snapshots: a run that is killed at any moment goes on from the last one.
//!
//! A folder holds them, one file an epoch; [`Snapshots`] opens it and is handed to the runner. A
//! file is written beside, made durable and renamed, so that one with its name is whole, or was:
//! checksums tell. The newest whole one is used. What is large and only grows is in logs beside
//! them, of which each snapshot writes what is new: a folder is copied with all its files.

mod fingerprint;
mod format;
mod lock;
mod logs;
mod store;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(in crate::runners::direct) use fingerprint::{NodePrint, compare, prints};
pub(in crate::runners::direct) use format::Head;
pub(in crate::runners::direct) use store::{Saved, Writing};

use crate::error::{Error, Result};
use store::Folder;

/// Opens a folder of snapshots for a run.
///
/// A snapshot holds where sources stand, what groups and cells hold, timers and watermarks, and
/// what sinks have yet to make visible. A run that is handed the folder of one that did not end
/// goes on where the newest snapshot was taken; with a new folder, or one of a run that ended, it
/// begins anew.
///
/// ```
/// use std::time::Duration;
/// use pipeline_core::runners::direct::Snapshots;
///
/// # let folder = std::env::temp_dir().join(format!("snapshots-doc-{}", std::process::id()));
/// let snapshots = Snapshots::open(&folder)?
///     .interval(Duration::from_secs(10))
///     .keep(2);
/// assert!(snapshots.resumed().is_none());
/// # std::fs::remove_dir_all(&folder).ok();
/// # Ok::<(), pipeline_core::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Snapshots {
    folder: Arc<Folder>,
    saved: Option<Arc<Saved>>,
    interval: Duration,
    bytes: u64,
    keep: usize,
    accepts_loss: bool,
    besides: Vec<(String, Arc<dyn Beside>)>,
    /// A run has begun with them.
    used: Arc<AtomicBool>,
}

/// Stands outside the graph, and has state that belongs to the snapshots of a run: what publishes
/// to a topic within the process, for example.
pub trait Beside: Send + Sync {
    /// Returns the state, while everything in the run is at rest; see [`Resumed::beside`].
    ///
    /// # Errors
    /// An error ends the job; its last snapshot stands.
    fn save(&self) -> Result<Vec<u8>>;
}

/// Says from which snapshot a run goes on.
#[derive(Clone, Debug)]
pub struct Resumed {
    /// The number of the snapshot.
    pub epoch: u64,
    /// The keys, in all groupings and stateful transforms, whose state it holds.
    pub keys: u64,
    /// The elements that sources had taken in, in all runs since the beginning.
    pub messages: u64,
    saved: Arc<Saved>,
}

impl Resumed {
    /// Returns what was saved under that name beside the graph.
    pub fn beside(&self, name: &str) -> Option<&[u8]> {
        let mut besides = self.saved.head().beside.iter();
        let (_, bytes) = besides.find(|(of, _)| of == name)?;
        Some(bytes)
    }
}

impl Snapshots {
    /// Opens a folder, which is made if it is missing, and reads its newest whole snapshot. The
    /// folder is locked until the last clone is dropped or the process ends, however it does.
    ///
    /// If the newest snapshot is damaged, the one before is used, and a line on standard error
    /// says so.
    ///
    /// # Errors
    /// When another process has the folder, when a snapshot is there and none is whole, when a
    /// later version of this library has written the newest, or when the folder cannot be used.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Snapshots> {
        let (folder, saved) = Folder::open(folder.into())?;
        Ok(Snapshots {
            folder: Arc::new(folder),
            saved: saved.map(Arc::new),
            interval: Duration::from_secs(1),
            bytes: 16 << 20,
            keep: 3,
            accepts_loss: false,
            besides: Vec::new(),
            used: Arc::default(),
        })
    }

    /// Takes a snapshot when so long has passed since the one before, if anything has happened;
    /// later if the one before held up the work for more than a tenth of it. A source that delivers
    /// no more when much is unacknowledged gets one sooner when it has gone quiet
    /// ([`most_unacknowledged`](crate::source::Source::most_unacknowledged)). Default: one second.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Takes a snapshot at once when so many bytes of a source have not been acknowledged, on all
    /// workers together. Default: 16 MiB.
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// Keeps so many snapshots, at least one. Default: three.
    pub fn keep(mut self, keep: usize) -> Self {
        self.keep = keep.max(1);
        self
    }

    /// Goes on from an older snapshot, where the newest is damaged or gone, even if a source cannot
    /// deliver again what it has acknowledged since: those elements are lost to groups, state and
    /// files. Default: such a run is refused. For the run at hand; not to be set for good.
    pub fn accept_loss(mut self) -> Self {
        self.accepts_loss = true;
        self
    }

    /// Saves the state of something outside the graph under a name.
    pub fn beside(mut self, name: &str, beside: Arc<dyn Beside>) -> Self {
        self.besides.push((name.to_owned(), beside));
        self
    }

    /// Returns from which snapshot the run goes on; `None` if it begins anew.
    pub fn resumed(&self) -> Option<Resumed> {
        let saved = self.unfinished()?;
        let head = saved.head();
        Some(Resumed {
            epoch: head.epoch,
            keys: saved.keys(),
            messages: head.messages,
            saved,
        })
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Says that a run begins: the snapshot that was found is that of the run before, once.
    pub(in crate::runners::direct) fn use_once(&self) -> Result<()> {
        if self.used.swap(true, Ordering::SeqCst) {
            return Err(Error::option(
                "these snapshots have served a run: open the folder again for the next one",
            ));
        }
        Ok(())
    }

    /// Returns the newest whole snapshot, if its run had not ended.
    pub(in crate::runners::direct) fn unfinished(&self) -> Option<Arc<Saved>> {
        let saved = self.saved.as_ref()?;
        (!saved.head().finished).then(|| Arc::clone(saved))
    }

    /// Returns the number of the next snapshot: numbers only go up, whatever is damaged or gone.
    pub(in crate::runners::direct) fn next_epoch(&self) -> u64 {
        self.folder.next()
    }

    /// Returns the number of the newest snapshot, if it was damaged and an older one is used: its
    /// epoch may have been committed and acknowledged.
    pub(in crate::runners::direct) fn damaged(&self) -> Option<u64> {
        self.folder.damaged()
    }

    /// Has the numbers go on behind that of an epoch that a sink has committed.
    ///
    /// # Errors
    /// When there are none behind it.
    pub(in crate::runners::direct) fn number_behind(&self, committed: u64) -> Result<()> {
        self.folder.number_behind(committed)
    }

    /// Tells whether elements may be lost that an acknowledged epoch held which is gone.
    pub(in crate::runners::direct) fn accepts_loss(&self) -> bool {
        self.accepts_loss
    }

    /// Begins to write a snapshot, under a temporary name.
    pub(in crate::runners::direct) fn begin(&self, head: &Head) -> Result<Writing> {
        Writing::begin(Arc::clone(&self.folder), self.keep, head)
    }

    /// Returns the interval, the bytes, and how many are kept.
    pub(in crate::runners::direct) fn settings(&self) -> (Duration, u64, usize) {
        (self.interval, self.bytes, self.keep)
    }

    /// Returns what stands beside the graph.
    pub(in crate::runners::direct) fn besides(&self) -> &[(String, Arc<dyn Beside>)] {
        &self.besides
    }
}

impl fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshots")
            .field("folder", &self.folder.path())
            .field("interval", &self.interval)
            .field("bytes", &self.bytes)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
