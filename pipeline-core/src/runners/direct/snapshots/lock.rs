//! The lock that keeps a second process out of a folder of snapshots.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// Takes the lock of a folder; the file that holds it has to live as long as the folder is used.
///
/// It is the operating system's lock on the open file: it is gone when the process is, however
/// that ended.
pub(super) fn acquire(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let failed = |error| Error::io(format!("locking {}", path.display()), error);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // The holder's number is a help for the reader; without it the refusal stands as well.
            let read = file.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
            let holder = if read {
                format!(" (pid {})", pid.trim())
            } else {
                String::new()
            };
            return Err(Error::option(format!(
                "the folder for snapshots {} is in use by another job{holder}: wait for it to \
                 end, stop it, or give another folder",
                folder.display()
            )));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| write!(file, "{}", std::process::id()))
        .map_err(failed)?;
    Ok(file)
}
