//! Writes a file that appears under its name when it is complete, never half.

mod kept;

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use crc32fast::Hasher;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

pub(crate) use kept::SavedFile;

use super::{Compression, FileError};

/// How much is collected before it is given to the system.
const BUFFER_BYTES: usize = 64 * 1024;

/// Marks a place in an [`AtomicFile`] that it can be cut back to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FilePosition(u64);

/// Writes to a temporary file in the folder of the final one, and renames it when all is written.
///
/// The temporary name is `.NAME.PROCESS-NUMBER.part`; it is removed when the value is dropped without a commit. Only a
/// process that is killed leaves one behind: such a file is rubbish.
///
/// To write a batch that may have to be tried again, note the [`position`](AtomicFile::position) before it and
/// [`truncate_to`](AtomicFile::truncate_to) it after a failure.
///
/// ```
/// use pipeline_core::files::{AtomicFile, Compression};
///
/// let path = std::env::temp_dir().join(format!("atomic-{}.csv", std::process::id()));
/// let mut file = AtomicFile::create(&path, Compression::Auto)?;
/// file.write(b"city,orders\n")?;
/// let before = file.position()?;
/// file.write(b"half a ro")?;
/// file.truncate_to(before)?;
/// file.write(b"Berlin,3\n")?;
/// assert!(!path.exists());
/// file.commit()?;
/// assert_eq!(std::fs::read(&path)?, b"city,orders\nBerlin,3\n");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct AtomicFile {
    /// The final name, behind symbolic links.
    path: PathBuf,
    /// `None` once it has been renamed.
    temporary: Option<PathBuf>,
    file: File,
    gzip: bool,
    /// The gzip member that is being written; what it puts out moves to the buffer at its end.
    member: Option<GzEncoder<Vec<u8>>>,
    /// What comes behind the first `flushed` bytes of the file.
    buffer: Vec<u8>,
    flushed: u64,
    /// A write has failed: the file may be longer than `flushed`, and stand elsewhere.
    misplaced: bool,
    /// What was saved last; from then on the temporary file outlives its process, and the value.
    saved: Option<FilePosition>,
    /// That of the first `flushed` bytes, in a file that is saved from time to time; `None` where it is not known.
    checksum: Option<Hasher>,
}

impl AtomicFile {
    /// Opens a temporary file beside `path`; `Compression::Auto` writes gzip if the name ends with `.gz`.
    ///
    /// A file that has this name already stays as it is until the commit. If the name is a symbolic link, the file that
    /// it leads to is replaced, not the link.
    ///
    /// # Errors
    /// When the folder is missing or may not be written, or the name is taken by something else than a file (a folder,
    /// a device such as `/dev/null`); when it should be zstd, which is only read.
    pub fn create(path: impl AsRef<Path>, compression: Compression) -> Result<Self, FileError> {
        let path = path.as_ref();
        let failed = |e| FileError::new("write", path, e);
        let gzip = compression.writes_gzip(path)?;
        let (target, name) = target(path)?;
        let (temporary, file) = loop {
            let temporary = target.with_file_name(temporary_name(&name));
            match create_new(&temporary) {
                Ok(file) => break (temporary, file),
                // Left behind by a process that had the same number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
        };
        Ok(AtomicFile::over(target, temporary, file, gzip))
    }

    fn over(path: PathBuf, temporary: PathBuf, file: File, gzip: bool) -> Self {
        AtomicFile {
            path,
            temporary: Some(temporary),
            file,
            gzip,
            member: None,
            buffer: Vec::new(),
            flushed: 0,
            misplaced: false,
            saved: None,
            checksum: None,
        }
    }

    /// Returns the final name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends bytes; they may wait in a buffer of 64 KiB.
    ///
    /// # Errors
    /// When the disk is full or fails. How much was written is then unknown: cut back to a position and write again, or
    /// drop the file.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        if self.gzip {
            let member = self.member.get_or_insert_with(new_member);
            let result = member.write_all(bytes);
            self.buffer.append(member.get_mut());
            result.map_err(|e| self.failed(e))?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Returns the place behind all that was written.
    ///
    /// In a gzip file it ends a member, so that what stands before it can be read whatever follows; a member costs about
    /// 20 bytes and begins with an empty dictionary.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn position(&mut self) -> Result<FilePosition, FileError> {
        self.finish_member()?;
        Ok(FilePosition(self.flushed + self.buffer.len() as u64))
    }

    /// Takes back all that was written behind a position.
    ///
    /// # Errors
    /// When the system cannot cut the file, or the position lies behind the end (it is of another file, or was taken
    /// back itself).
    pub fn truncate_to(&mut self, position: FilePosition) -> Result<(), FileError> {
        self.member = None;
        // What is saved next may be as long, and something else.
        self.saved = self.saved.map(|_| FilePosition(u64::MAX));
        match position.0.checked_sub(self.flushed) {
            Some(kept) if kept <= self.buffer.len() as u64 => self.buffer.truncate(kept as usize),
            Some(_) => {
                let why = "it is not as long as the position to cut it back to";
                return Err(FileError::because(
                    "write",
                    &self.path,
                    io::ErrorKind::InvalidInput,
                    why,
                ));
            }
            None => {
                self.buffer.clear();
                self.flushed = position.0;
                self.misplaced = true;
                self.checksum = None;
            }
        }
        self.restore()
    }

    /// Writes what is buffered, waits until it is on disk, and gives the file its final name.
    ///
    /// # Errors
    /// When any of it fails. The temporary file is then removed, and what had the final name before is as it was; only if
    /// it is the last step that fails (making the new name durable) the new file is there already.
    pub fn commit(mut self) -> Result<(), FileError> {
        self.sync()?;
        if let Some(temporary) = &self.temporary {
            fs::rename(temporary, &self.path).map_err(|e| self.failed(e))?;
        }
        self.temporary = None;
        sync_folder(&self.path).map_err(|e| self.failed(e))
    }

    /// Like [`commit`](AtomicFile::commit), under another name in the same folder.
    ///
    /// # Errors
    /// As those of `create` and `commit`.
    pub(crate) fn commit_as(mut self, path: &Path) -> Result<(), FileError> {
        (self.path, _) = target(path)?;
        self.commit()
    }

    /// Appends what was written to another file behind a position in it.
    ///
    /// # Errors
    /// When either file fails; both are then of no use.
    pub(crate) fn append(
        &mut self,
        other: &mut AtomicFile,
        behind: FilePosition,
    ) -> Result<(), FileError> {
        self.finish_member()?;
        self.flush()?;
        other.finish_member()?;
        other.flush()?;
        let Some(temporary) = &other.temporary else {
            return Ok(());
        };
        let copied = File::open(temporary).and_then(|mut from| {
            from.seek(SeekFrom::Start(behind.0))?;
            io::copy(&mut from, &mut self.file)
        });
        self.checksum = None;
        self.flushed += copied.map_err(|e| {
            self.misplaced = true;
            self.failed(e)
        })?;
        Ok(())
    }

    /// Writes what is buffered and waits until all of it is on disk, still under the temporary name.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub(crate) fn sync(&mut self) -> Result<(), FileError> {
        if self.gzip && self.member.is_none() && self.flushed == 0 && self.buffer.is_empty() {
            // Nothing at all is no gzip file; a member of nothing is.
            self.member = Some(new_member());
        }
        self.finish_member()?;
        self.flush()?;
        self.file.sync_all().map_err(|e| self.failed(e))
    }

    fn finish_member(&mut self) -> Result<(), FileError> {
        if let Some(member) = self.member.take() {
            let mut rest = member.finish().map_err(|e| self.failed(e))?;
            self.buffer.append(&mut rest);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), FileError> {
        self.restore()?;
        if let Err(error) = self.file.write_all(&self.buffer) {
            self.misplaced = true;
            return Err(self.failed(error));
        }
        self.flushed += self.buffer.len() as u64;
        if let Some(checksum) = &mut self.checksum {
            checksum.update(&self.buffer);
        }
        self.buffer.clear();
        Ok(())
    }

    /// Cuts the file to what was flushed and stands behind it, after a failure or a truncation.
    fn restore(&mut self) -> Result<(), FileError> {
        if self.misplaced {
            let cut = self.file.set_len(self.flushed);
            let moved = cut.and_then(|()| self.file.seek(SeekFrom::Start(self.flushed)));
            moved.map_err(|e| self.failed(e))?;
            self.misplaced = false;
        }
        Ok(())
    }

    fn failed(&self, cause: io::Error) -> FileError {
        FileError::new("write", &self.path, cause)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let (Some(temporary), None) = (&self.temporary, self.saved) {
            // Nobody could be told; the name says what the file is.
            let _ = fs::remove_file(temporary);
        }
    }
}

fn new_member() -> GzEncoder<Vec<u8>> {
    GzEncoder::new(Vec::new(), flate2::Compression::default())
}

/// Returns where a file of this name is, behind symbolic links, and the last part of the name.
fn target(path: &Path) -> Result<(PathBuf, String), FileError> {
    let refused =
        |why: &str| FileError::because("write", path, io::ErrorKind::InvalidInput, why.to_owned());
    let mut target = path.to_path_buf();
    if path.is_symlink() {
        target = path
            .canonicalize()
            .map_err(|e| FileError::new("write", path, e))?;
    }
    if target.exists() && !target.is_file() {
        return Err(refused(
            "it is not a regular file; name a file, in a folder that may be written",
        ));
    }
    match target.file_name() {
        Some(name) => {
            let name = name.to_string_lossy().into_owned();
            Ok((target, name))
        }
        None => Err(refused("it has no file name")),
    }
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Returns a name that no other file of this process has.
fn temporary_name(name: &str) -> OsString {
    format!("{}.part", short_name(name, &unique_number())).into()
}

/// Returns the number of the process, and one that it has not given yet.
fn unique_number() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{}-{number}", process::id())
}

/// Returns how a hidden name begins; a long one is cut to leave room within 255 bytes.
fn short_name(name: &str, tag: &str) -> String {
    let short: String = name.chars().take(50).collect();
    format!(".{short}.{tag}")
}

/// Makes the entries of a file's folder durable, where folders can be opened.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let result = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
    match result {
        // A file system that cannot, or a folder that may be written but not read.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
