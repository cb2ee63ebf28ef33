//! The folder of snapshots: which one is used, how one is written, how many are kept.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::format::{Framing, Head, Unusable, VERSION, read_all, state_in};
use super::lock;
use crate::error::{Error, Result};
use crate::files::{AtomicFile, Compression};
use crate::graph::snapshot::{Frame, SavedFrames};

/// How the name of a snapshot begins; its epoch follows, in twelve digits.
const NAME: &str = "snapshot-";

/// An open folder.
pub(super) struct Folder {
    path: PathBuf,
    /// Held, not read.
    _lock: File,
    /// The number that the next snapshot gets.
    next: AtomicU64,
    /// The newest file, if it is damaged.
    damaged: Option<u64>,
}

impl Folder {
    /// Makes the folder if it is missing, locks it, and reads the newest whole snapshot.
    pub(super) fn open(path: PathBuf) -> Result<(Folder, Option<Saved>)> {
        fs::create_dir_all(&path).map_err(|error| {
            Error::io(
                format!("making the folder for snapshots {}", path.display()),
                error,
            )
        })?;
        let lock = lock::acquire(&path)?;
        let (mut epochs, rubbish) = list(&path)?;
        for file in rubbish {
            // It was never a snapshot; one that cannot be removed does no harm.
            let _ = fs::remove_file(file);
        }
        epochs.sort_unstable_by(|a, b| b.cmp(a));
        let (saved, damaged) = newest_whole(&path, &epochs)?;
        let folder = Folder {
            next: AtomicU64::new(epochs.first().map_or(1, |newest| newest.saturating_add(1))),
            path,
            _lock: lock,
            damaged,
        };
        Ok((folder, saved))
    }

    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::SeqCst)
    }

    /// Has the numbers go on behind one that a sink has committed.
    pub(super) fn number_behind(&self, committed: u64) -> Result<()> {
        // Who counts in 64 bits with a sign, as databases do, has to be able to follow.
        if committed >= i64::MAX as u64 {
            return Err(Error::connector(format!(
                "it says that epoch {committed} was committed last, behind which there is no number"
            )));
        }
        self.next.fetch_max(committed + 1, Ordering::SeqCst);
        Ok(())
    }

    pub(super) fn damaged(&self) -> Option<u64> {
        self.damaged
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes all but the newest `keep` files.
    fn forget(&self, keep: usize) -> Result<()> {
        let (mut epochs, _) = list(&self.path)?;
        epochs.sort_unstable_by(|a, b| b.cmp(a));
        for epoch in epochs.into_iter().skip(keep) {
            // One that cannot be removed now is tried again at the next snapshot.
            let _ = fs::remove_file(file_of(&self.path, epoch));
        }
        Ok(())
    }
}

fn file_of(folder: &Path, epoch: u64) -> PathBuf {
    folder.join(format!("{NAME}{epoch:012}"))
}

/// Returns the epochs of which there is a file, and what broken-off writes have left.
fn list(folder: &Path) -> Result<(Vec<u64>, Vec<PathBuf>)> {
    let failed = |error| Error::io(format!("listing {}", folder.display()), error);
    let (mut epochs, mut rubbish) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            continue;
        };
        if let Some(digits) = name.strip_prefix(NAME) {
            let is_number = digits.len() >= 12 && digits.bytes().all(|b| b.is_ascii_digit());
            if let (true, Ok(epoch)) = (is_number, digits.parse()) {
                epochs.push(epoch);
            }
        } else if name.starts_with(&format!(".{NAME}")) && name.ends_with(".part") {
            rubbish.push(entry.path());
        }
    }
    Ok((epochs, rubbish))
}

/// Returns the newest snapshot that is whole, and the newest of all if that one is damaged.
/// `epochs` go down.
fn newest_whole(folder: &Path, epochs: &[u64]) -> Result<(Option<Saved>, Option<u64>)> {
    let mut damaged = None;
    let mut reasons = String::new();
    for &epoch in epochs {
        let path = file_of(folder, epoch);
        let shown = path.display();
        let why = match Saved::read(&path) {
            Ok(saved) if saved.head.epoch == epoch => {
                if damaged.is_some() {
                    eprintln!("warning:{reasons}; going on from snapshot {epoch}");
                }
                return Ok((Some(saved), damaged));
            }
            Ok(saved) => format!("it is snapshot {}, under another name", saved.head.epoch),
            Err(Unusable::Damaged(why)) => why,
            Err(Unusable::Newer(version)) => {
                return Err(Error::option(format!(
                    "the snapshot {shown} has format version {version}, and this program reads \
                     version {VERSION}: go on with the program that wrote it, or a later one, or \
                     give another folder for snapshots"
                )));
            }
            Err(Unusable::Foreign(why)) => {
                return Err(Error::option(format!(
                    "the snapshot {shown} is whole, but another program has written it ({why}): \
                     go on with that one, or give another folder for snapshots"
                )));
            }
            Err(Unusable::Unreadable(error)) => {
                return Err(Error::io(format!("reading the snapshot {shown}"), error));
            }
        };
        damaged = damaged.or(Some(epoch));
        reasons.push_str(&format!(" the snapshot {shown} is damaged ({why})"));
    }
    if damaged.is_some() {
        return Err(Error::option(format!(
            "no snapshot in {} is whole:{reasons}; put back a copy of it, or, to begin anew \
             without what it held, give another folder for snapshots",
            folder.display()
        )));
    }
    Ok((None, None))
}

/// A snapshot that was found whole.
pub(in crate::runners::direct) struct Saved {
    path: PathBuf,
    head: Head,
    keys: u64,
    /// Where the frames are, by node and name: the beginning and the length of each.
    frames: HashMap<(usize, String), Vec<(u64, usize)>>,
    nodes: HashMap<String, usize>,
}

impl Saved {
    fn read(path: &Path) -> Result<Saved, Unusable> {
        let file = File::open(path).map_err(Unusable::Unreadable)?;
        let length = file.metadata().map_err(Unusable::Unreadable)?.len();
        let mut input = BufReader::with_capacity(1 << 20, file);
        let mut frames: HashMap<_, Vec<_>> = HashMap::new();
        let mut keys = 0;
        let head = read_all(&mut input, length, |state| {
            keys += state.keys;
            let key = (state.node, state.name.to_owned());
            frames
                .entry(key)
                .or_default()
                .push((state.offset, state.length));
        })?;
        let nodes = head.paths.iter().cloned().zip(0..).collect();
        Ok(Saved {
            path: path.to_owned(),
            head,
            keys,
            frames,
            nodes,
        })
    }

    /// Returns what it says about the run.
    pub(in crate::runners::direct) fn head(&self) -> &Head {
        &self.head
    }

    /// Returns the number of keyed records in it.
    pub(in crate::runners::direct) fn keys(&self) -> u64 {
        self.keys
    }

    fn failed(&self, why: Unusable) -> Error {
        let shown = self.path.display();
        match why {
            Unusable::Unreadable(error) => {
                Error::io(format!("reading the snapshot {shown}"), error)
            }
            _ => Error::connector(format!(
                "the snapshot {shown} was whole at the start, and no longer is"
            )),
        }
    }
}

impl fmt::Debug for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Saved").field(&self.path).finish()
    }
}

impl SavedFrames for Saved {
    fn for_each(
        &self,
        path: &str,
        name: &str,
        each: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let Some(&node) = self.nodes.get(path) else {
            return Ok(());
        };
        let Some(frames) = self.frames.get(&(node, name.to_owned())) else {
            return Ok(());
        };
        // A handle of its own for each reader: workers read at the same time.
        let unreadable = |error| self.failed(Unusable::Unreadable(error));
        let mut file = File::open(&self.path).map_err(unreadable)?;
        let mut frame = Vec::new();
        for &(offset, length) in frames {
            frame.resize(length, 0);
            file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
            file.read_exact(&mut frame).map_err(unreadable)?;
            each(state_in(&frame).map_err(|why| self.failed(why))?)?;
        }
        Ok(())
    }
}

/// A snapshot that is being written, under a temporary name; dropped, it is removed.
pub(in crate::runners::direct) struct Writing {
    folder: Arc<Folder>,
    keep: usize,
    epoch: u64,
    file: AtomicFile,
    framing: Framing,
    buffer: Vec<u8>,
}

impl Writing {
    pub(super) fn begin(folder: Arc<Folder>, keep: usize, head: &Head) -> Result<Self> {
        if head.epoch < folder.next() {
            return Err(Error::internal(format!(
                "the epoch {} has been before",
                head.epoch
            )));
        }
        let mut buffer = Vec::new();
        let framing = Framing::begin(&mut buffer, head)?;
        let path = file_of(&folder.path, head.epoch);
        Ok(Writing {
            file: AtomicFile::create(path, Compression::Uncompressed)?,
            folder,
            keep,
            epoch: head.epoch,
            framing,
            buffer,
        })
    }

    /// Writes a piece of state.
    pub(in crate::runners::direct) fn frame(&mut self, frame: &Frame) -> Result<()> {
        self.framing.state(&mut self.buffer, frame)?;
        self.flush()
    }

    /// Waits until all of it is on disk, gives it its name, waits until that is on disk, and
    /// removes the snapshots that are not kept.
    pub(in crate::runners::direct) fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.framing.end(&mut self.buffer)?;
        self.file.write(&self.buffer)?;
        self.file.commit()?;
        self.folder.next.store(self.epoch + 1, Ordering::SeqCst);
        self.folder.forget(self.keep)
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}
