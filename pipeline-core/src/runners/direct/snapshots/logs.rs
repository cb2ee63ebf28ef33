//! The logs beside the snapshots: pieces of state that do not change any more, each written once.
//!
//! `log-000000000012` is begun with snapshot 12 and appended to by those behind it, up to 64 MiB;
//! every process begins one of its own. A snapshot says where its pieces are, with a checksum of
//! each, and is whole only with them: a folder is copied as a whole. A log is durable before the
//! snapshot that names it, and removed when no snapshot that is kept can name it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::format::Unusable;
use crate::error::{Error, Result};
use crate::graph::snapshot::Piece;

/// How the name of a log begins; the epoch that it was begun with follows, in twelve digits.
pub(super) const NAME: &str = "log-";

/// The size at which the next log is begun.
const MOST: u64 = 64 << 20;

/// Where a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) log: u64,
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) checksum: u32,
}

/// What a piece is known by: the path of its node, the name of its frame, what it is of, its number.
pub(super) type Key = (String, String, u64, u64);

/// The logs of a folder.
#[derive(Default)]
pub(super) struct Logs {
    folder: PathBuf,
    files: BTreeSet<u64>,
    /// The pieces of the last snapshot, and of the one that is being written.
    last: HashMap<Key, Place>,
    next: HashMap<Key, Place>,
    open: Option<Open>,
    /// For each snapshot of which it is known, the oldest log that it names.
    oldest: BTreeMap<u64, u64>,
}

/// The log that is appended to.
struct Open {
    number: u64,
    file: File,
    length: u64,
    synced: bool,
}

fn file_of(folder: &Path, log: u64) -> PathBuf {
    folder.join(format!("{NAME}{log:012}"))
}

impl Logs {
    pub(super) fn new(folder: &Path, files: BTreeSet<u64>) -> Logs {
        Logs {
            folder: folder.to_owned(),
            files,
            ..Logs::default()
        }
    }

    /// Takes note of the pieces of a snapshot that a run goes on from.
    pub(super) fn resume(&mut self, epoch: u64, pieces: impl Iterator<Item = (Key, Place)>) {
        self.next = pieces.collect();
        self.end(epoch);
    }

    /// Begins a snapshot.
    pub(super) fn begin(&mut self) {
        self.next.clear();
    }

    /// Takes a piece of the snapshot of that epoch; returns where it is, and the bytes that were
    /// written for it.
    pub(super) fn put(&mut self, epoch: u64, key: Key, piece: &Piece) -> Result<(Place, u64)> {
        let (place, written) = match self.last.get(&key) {
            Some(place) => (*place, 0),
            None => {
                let path = file_of(&self.folder, self.open.as_ref().map_or(epoch, |o| o.number));
                let put = self.append(epoch, &piece.bytes).map_err(|error| {
                    Error::io(format!("writing the log {}", path.display()), error)
                })?;
                (put, piece.bytes.len() as u64)
            }
        };
        self.next.insert(key, place);
        Ok((place, written))
    }

    fn append(&mut self, epoch: u64, bytes: &[u8]) -> io::Result<Place> {
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let mut open = match self.open.take().filter(|open| open.length < MOST) {
            Some(open) => open,
            None => Open {
                number: epoch,
                // One of that number can only be of a snapshot that never was.
                file: File::create(file_of(&self.folder, epoch))?,
                length: 0,
                synced: false,
            },
        };
        self.files.insert(open.number);
        open.file.write_all(bytes)?;
        open.synced = false;
        let place = Place {
            log: open.number,
            offset: open.length,
            length,
            checksum: crc32fast::hash(bytes),
        };
        open.length += u64::from(length);
        self.open = Some(open);
        Ok(place)
    }

    /// Waits until all pieces are on disk. The name of a new log is durable with that of the
    /// snapshot, in the same folder.
    pub(super) fn sync(&mut self) -> Result<()> {
        if let Some(open) = self.open.as_mut().filter(|open| !open.synced) {
            open.file.sync_data().map_err(|error| {
                let path = file_of(&self.folder, open.number);
                Error::io(format!("writing the log {}", path.display()), error)
            })?;
            open.synced = true;
        }
        Ok(())
    }

    /// Says that the snapshot of that epoch is durable.
    pub(super) fn end(&mut self, epoch: u64) {
        self.last = std::mem::take(&mut self.next);
        let logs = self.last.values().map(|place| place.log);
        self.oldest.insert(epoch, logs.min().unwrap_or(u64::MAX));
    }

    /// Removes the logs that none of these snapshots can name.
    pub(super) fn forget(&mut self, kept: &[u64]) {
        self.oldest.retain(|epoch, _| kept.contains(epoch));
        // One that was there before and has not been read may name any.
        let oldest = |epoch| self.oldest.get(epoch).copied().unwrap_or(0);
        let oldest = kept.iter().map(oldest).min().unwrap_or(0);
        self.open = self.open.take().filter(|open| open.number >= oldest);
        while let Some(log) = self.files.first().copied().filter(|log| *log < oldest) {
            // One that cannot be removed does no harm.
            let _ = fs::remove_file(file_of(&self.folder, log));
            self.files.remove(&log);
        }
    }
}

/// Reads pieces; holds the log open that it has read last.
pub(super) struct PieceReader<'a> {
    folder: &'a Path,
    open: Option<(u64, File)>,
}

impl<'a> PieceReader<'a> {
    pub(super) fn new(folder: &'a Path) -> Self {
        PieceReader { folder, open: None }
    }

    /// Reads a piece behind what `bytes` holds, and checks it.
    pub(super) fn read(&mut self, place: Place, bytes: &mut Vec<u8>) -> Result<(), Unusable> {
        let log = place.log;
        let damaged = |why: &str| Unusable::Damaged(format!("{NAME}{log:012} {why}"));
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => damaged("is missing"),
            io::ErrorKind::UnexpectedEof => damaged("ends too early"),
            _ => Unusable::Unreadable(error),
        };
        let mut file = match self.open.take() {
            Some((of, file)) if of == log => file,
            _ => File::open(file_of(self.folder, log)).map_err(failed)?,
        };
        let length = file.metadata().map_err(failed)?.len();
        if place.offset.saturating_add(u64::from(place.length)) > length {
            return Err(damaged("ends too early"));
        }
        let begin = bytes.len();
        bytes.resize(begin + place.length as usize, 0);
        file.seek(SeekFrom::Start(place.offset)).map_err(failed)?;
        file.read_exact(&mut bytes[begin..]).map_err(failed)?;
        if crc32fast::hash(&bytes[begin..]) != place.checksum {
            return Err(damaged("is damaged: a checksum does not hold"));
        }
        self.open = Some((log, file));
        Ok(())
    }
}
