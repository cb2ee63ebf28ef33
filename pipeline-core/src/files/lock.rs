//! A lock that keeps a second process out of a folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// Says why a lock was not taken.
#[derive(Debug)]
pub enum LockError {
    /// Somebody has it: another process, or another part of this one.
    Held {
        /// The process that has it, as it says itself.
        pid: Option<String>,
    },
    /// The file could not be used.
    Io(io::Error),
}

/// Takes the lock of a file, which is made if it is missing and then holds the number of this
/// process. The file that is returned has to live as long as the lock is needed.
///
/// It is the operating system's lock on the open file: it is gone when the process is, however
/// that ended.
///
/// ```
/// use pipeline_core::files::{LockError, lock};
///
/// let path = std::env::temp_dir().join(format!("lock-doc-{}", std::process::id()));
/// let held = lock(&path).map_err(|error| format!("{error:?}"))?;
/// let pid = std::process::id().to_string();
/// assert!(matches!(lock(&path), Err(LockError::Held { pid: Some(of) }) if of == pid));
/// drop(held);
/// assert!(lock(&path).is_ok());
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
/// When somebody else has the lock, or the file cannot be opened, locked or written.
pub fn lock(path: &Path) -> Result<File, LockError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(LockError::Io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // The holder's number is a help for the reader; without it the refusal stands as well.
            let read = file.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
            return Err(LockError::Held {
                pid: read.then(|| pid.trim().to_owned()),
            });
        }
        Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| write!(file, "{}", std::process::id()))
        .map_err(LockError::Io)?;
    Ok(file)
}
