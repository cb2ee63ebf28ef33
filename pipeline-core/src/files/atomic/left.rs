//! What killed processes leave behind beside a file: rubbish, unless a snapshot still needs it.
//!
//! Every temporary file is locked by who writes it, with the operating system's lock, which dies with the process. One
//! that nobody has locked is rubbish, unless its tag was marked: then a snapshot that has been committed names it, and
//! what it holds may be nowhere else.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use super::{AtomicFile, FileError, short_name, sync_folder, target};

impl AtomicFile {
    /// Removes the temporary files that processes have left behind beside `path` when they were killed. Those stay that
    /// somebody is writing, and those that the snapshot of a run which has not ended may need; the names of the latter
    /// are returned.
    ///
    /// Where the system has no locks of files, nothing is removed.
    ///
    /// # Errors
    /// When no file of that name can be written.
    pub fn remove_left_behind(path: impl AsRef<Path>) -> Result<Vec<String>, FileError> {
        let (target, name) = target(path.as_ref())?;
        let mut by_tag: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let beginning = short_name(&name, "");
        for_each_entry(&target, |found| {
            if let Some(tag) = found.strip_prefix(&beginning).and_then(tag_of) {
                let of_tag = by_tag.entry(tag.to_owned()).or_default();
                of_tag.push(found.to_owned());
            }
        });
        let mut needed = Vec::new();
        for (tag, mut files) in by_tag {
            files.retain(|file| !is_locked(&target.with_file_name(file)));
            if target.with_file_name(mark_of(&name, &tag)).exists() {
                needed.append(&mut files);
            }
            for file in files {
                // What cannot be removed does no harm.
                let _ = fs::remove_file(target.with_file_name(file));
            }
        }
        Ok(needed)
    }

    /// Marks a tag: a snapshot that names its temporary files has been committed.
    ///
    /// # Errors
    /// When the mark cannot be made durable.
    pub(crate) fn mark(path: &Path, tag: &str) -> Result<(), FileError> {
        let (target, name) = target(path)?;
        let mark = target.with_file_name(mark_of(&name, tag));
        let made = File::create(&mark).and_then(|_| sync_folder(&mark));
        made.map_err(|error| FileError::new("write", &mark, error))
    }

    /// Takes the mark of a tag away, when nothing needs its files any more.
    pub(crate) fn unmark(path: &Path, tag: &str) {
        if let Ok((target, name)) = target(path) {
            // One that stays says at worst that files are needed which are gone.
            let _ = fs::remove_file(target.with_file_name(mark_of(&name, tag)));
        }
    }
}

fn mark_of(name: &str, tag: &str) -> String {
    format!("{}.kept", short_name(name, tag))
}

/// Returns the tag of `PROCESS-NUMBER.part` or `PROCESS-NUMBER-PART.part`.
fn tag_of(rest: &str) -> Option<&str> {
    let numbers = rest.strip_suffix(".part")?;
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let count = numbers.split('-').count();
    if !numbers.split('-').all(is_number) || !(2..=3).contains(&count) {
        return None;
    }
    match count {
        3 => numbers.rsplit_once('-').map(|(tag, _)| tag),
        _ => Some(numbers),
    }
}

/// Names what is in the folder of a file. One that cannot be read has nothing that could be found.
pub(super) fn for_each_entry(target: &Path, mut each: impl FnMut(&str)) {
    let folder = target.parent().filter(|f| !f.as_os_str().is_empty());
    let Ok(entries) = fs::read_dir(folder.unwrap_or(Path::new("."))) else {
        return;
    };
    for entry in entries.flatten() {
        if let Some(found) = entry.file_name().to_str() {
            each(found);
        }
    }
}

/// Creates a file that is not there, and locks it.
///
/// # Errors
/// As those of the system; a file that somebody takes for left behind, before it is locked, counts as there.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).open(path)?;
    if lock(&file)? && is_at(&file, path)? {
        return Ok(file);
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Locks a file; tells whether nobody else has.
#[cfg(unix)]
pub(super) fn lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Err(fs::TryLockError::WouldBlock) => Ok(false),
        // A file system that knows no locks: then nothing is taken for left behind either.
        Ok(()) | Err(fs::TryLockError::Error(_)) => Ok(true),
    }
}

/// Elsewhere a lock would keep this very process from reading the file.
#[cfg(not(unix))]
pub(super) fn lock(_file: &File) -> io::Result<bool> {
    Ok(true)
}

/// Tells whether somebody writes a file, or that cannot be told.
#[cfg(unix)]
fn is_locked(path: &Path) -> bool {
    let file = OpenOptions::new().write(true).open(path);
    file.is_ok_and(|file| file.try_lock().is_err())
}

#[cfg(not(unix))]
fn is_locked(_path: &Path) -> bool {
    true
}

/// Tells whether a path still leads to a file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let opened = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (opened.dev(), opened.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> io::Result<bool> {
    Ok(true)
}
