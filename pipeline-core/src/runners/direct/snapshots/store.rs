//! The folder of snapshots: which one is used, how one is written, how many are kept.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::format::{Framing, Head, Unusable, VERSION, read_all, state_in};
use super::lock;
use super::logs::{self, Key, Logs, PieceReader, Place};
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
    logs: Mutex<Logs>,
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
        let Listed {
            mut epochs,
            logs,
            rubbish,
        } = list(&path)?;
        for file in rubbish {
            // It was never a snapshot; one that cannot be removed does no harm.
            let _ = fs::remove_file(file);
        }
        epochs.sort_unstable_by(|a, b| b.cmp(a));
        let (saved, damaged) = newest_whole(&path, &epochs)?;
        let mut logs = Logs::new(&path, logs);
        if let Some(saved) = &saved {
            logs.resume(saved.head.epoch, saved.pieces());
        }
        let folder = Folder {
            next: AtomicU64::new(epochs.first().map_or(1, |newest| newest.saturating_add(1))),
            logs: Mutex::new(logs),
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

    /// Removes all but the newest `keep` files, and the logs that they do not name.
    fn forget(&self, keep: usize) -> Result<()> {
        let Listed { mut epochs, .. } = list(&self.path)?;
        epochs.sort_unstable_by(|a, b| b.cmp(a));
        let (kept, gone) = epochs.split_at(keep.min(epochs.len()));
        for epoch in gone {
            // One that cannot be removed now is tried again at the next snapshot.
            let _ = fs::remove_file(file_of(&self.path, *epoch));
        }
        self.logs().forget(kept);
        Ok(())
    }

    fn logs(&self) -> MutexGuard<'_, Logs> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn folder_of(snapshot: &Path) -> &Path {
    snapshot.parent().unwrap_or(Path::new("."))
}

fn file_of(folder: &Path, epoch: u64) -> PathBuf {
    folder.join(format!("{NAME}{epoch:012}"))
}

/// What is in a folder.
#[derive(Default)]
struct Listed {
    /// The epochs of which there is a file.
    epochs: Vec<u64>,
    logs: BTreeSet<u64>,
    /// What broken-off writes have left.
    rubbish: Vec<PathBuf>,
}

fn list(folder: &Path) -> Result<Listed> {
    let failed = |error| Error::io(format!("listing {}", folder.display()), error);
    let mut listed = Listed::default();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            continue;
        };
        let number = |digits: &str| -> Option<u64> {
            let is_number = digits.len() >= 12 && digits.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| digits.parse().ok()).flatten()
        };
        if let Some(digits) = name.strip_prefix(NAME) {
            listed.epochs.extend(number(digits));
        } else if let Some(digits) = name.strip_prefix(logs::NAME) {
            listed.logs.extend(number(digits));
        } else if name.starts_with(&format!(".{NAME}")) && name.ends_with(".part") {
            listed.rubbish.push(entry.path());
        }
    }
    Ok(listed)
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

/// Where a frame is.
enum Found {
    /// In the file of the snapshot: its beginning, and its length.
    Here(u64, usize),
    /// In a log: of what it is a piece, its number, its place.
    Logged(u64, u64, Place),
}

/// A snapshot that was found whole.
pub(in crate::runners::direct) struct Saved {
    path: PathBuf,
    head: Head,
    keys: u64,
    /// Where the frames are, by node and name.
    frames: HashMap<(usize, String), Vec<Found>>,
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
            frames.entry(key).or_default().push(match state.piece {
                Some((of, number, place)) => Found::Logged(of, number, place),
                None => Found::Here(state.offset, state.length),
            });
        })?;
        let mut pieces = PieceReader::new(folder_of(path));
        let mut bytes = Vec::new();
        for found in frames.values().flatten() {
            if let Found::Logged(_, _, place) = found {
                bytes.clear();
                pieces.read(*place, &mut bytes)?;
            }
        }
        let nodes = head.paths.iter().cloned().zip(0..).collect();
        Ok(Saved {
            path: path.to_owned(),
            head,
            keys,
            frames,
            nodes,
        })
    }

    /// Returns where its pieces are.
    fn pieces(&self) -> impl Iterator<Item = (Key, Place)> {
        self.frames.iter().flat_map(|((node, name), frames)| {
            frames.iter().filter_map(|found| match found {
                Found::Here(..) => None,
                Found::Logged(of, number, place) => {
                    let path = self.head.paths[*node].clone();
                    Some(((path, name.clone(), *of, *number), *place))
                }
            })
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
        let mut pieces = PieceReader::new(folder_of(&self.path));
        for found in frames {
            match *found {
                Found::Here(offset, length) => {
                    frame.resize(length, 0);
                    file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
                    file.read_exact(&mut frame).map_err(unreadable)?;
                    each(state_in(&frame).map_err(|why| self.failed(why))?)?;
                }
                Found::Logged(of, number, place) => {
                    frame.clear();
                    frame.extend_from_slice(&of.to_le_bytes());
                    frame.extend_from_slice(&number.to_le_bytes());
                    let read = pieces.read(place, &mut frame);
                    read.map_err(|why| self.failed(why))?;
                    each(&frame)?;
                }
            }
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
    /// The paths of the nodes.
    paths: Vec<String>,
}

impl Writing {
    pub(super) fn begin(folder: Arc<Folder>, keep: usize, head: &Head) -> Result<Self> {
        if head.epoch < folder.next() {
            return Err(Error::internal(format!(
                "the epoch {} has been before",
                head.epoch
            )));
        }
        folder.logs().begin();
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
            paths: head.paths.clone(),
        })
    }

    /// Writes a frame of state; returns the bytes of state that were written for it.
    pub(in crate::runners::direct) fn frame(&mut self, frame: &Frame) -> Result<u64> {
        let (place, written) = match &frame.piece {
            None => (None, frame.payload.len() as u64),
            Some(piece) => {
                let path = self.paths.get(frame.node).cloned().unwrap_or_default();
                let key = (path, frame.name.to_owned(), piece.of, piece.number);
                let (place, written) = self.folder.logs().put(self.epoch, key, piece)?;
                (Some(place), written)
            }
        };
        self.framing.state(&mut self.buffer, frame, place)?;
        self.flush()?;
        Ok(written)
    }

    /// Waits until all of it is on disk, gives it its name, waits until that is on disk, and
    /// removes the snapshots that are not kept.
    pub(in crate::runners::direct) fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.framing.end(&mut self.buffer)?;
        self.file.write(&self.buffer)?;
        self.folder.logs().sync()?;
        self.file.commit()?;
        self.folder.logs().end(self.epoch);
        self.folder.next.store(self.epoch + 1, Ordering::SeqCst);
        self.folder.forget(self.keep)
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}
