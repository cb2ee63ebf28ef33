//! The lock that keeps a second process out of a folder of snapshots.

use std::fs::File;
use std::path::Path;

use crate::error::{Error, Result};
use crate::files::{LockError, lock};

/// Takes the lock of a folder; the file that holds it has to live as long as the folder is used.
pub(super) fn acquire(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    lock(&path).map_err(|error| match error {
        LockError::Held { pid } => {
            let holder = pid.map_or(String::new(), |pid| format!(" (pid {pid})"));
            Error::option(format!(
                "the folder for snapshots {} is in use by another job{holder}: wait for it to \
                 end, stop it, or give another folder",
                folder.display()
            ))
        }
        LockError::Io(error) => Error::io(format!("locking {}", path.display()), error),
    })
}
