//! The lock that keeps a second writer out.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::bigquery::error::{BigQueryError, BigQueryErrorKind};

/// Takes the lock of a warehouse; the file that holds it has to live as long as the writer.
///
/// It is an operating-system lock on the open file: it is gone when the process is, however that ended.
pub(super) fn acquire(dir: &Path) -> Result<File, BigQueryError> {
    let path = dir.join("warehouse.lock");
    let failed = |error: std::io::Error| -> BigQueryError {
        let action = format!("locking {}", path.display());
        BigQueryErrorKind::Storage {
            action,
            reason: error.to_string(),
        }
        .into()
    };
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
            return Err(BigQueryErrorKind::AlreadyOpen {
                dir: dir.to_owned(),
                holder,
            }
            .into());
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| write!(file, "{}", std::process::id()))
        .map_err(failed)?;
    Ok(file)
}
