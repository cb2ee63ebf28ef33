//! The lock that keeps a second writer out.

use std::fs::File;
use std::path::Path;

use pipeline_core::files::{LockError, lock};

use crate::bigquery::error::{BigQueryError, BigQueryErrorKind};

/// Takes the lock of a warehouse; the file that holds it has to live as long as the writer.
pub(super) fn acquire(dir: &Path) -> Result<File, BigQueryError> {
    let path = dir.join("warehouse.lock");
    lock(&path).map_err(|error| {
        let kind = match error {
            LockError::Held { pid } => BigQueryErrorKind::AlreadyOpen {
                dir: dir.to_owned(),
                holder: pid.map_or(String::new(), |pid| format!(" (pid {pid})")),
            },
            LockError::Io(error) => BigQueryErrorKind::Storage {
                action: format!("locking {}", path.display()),
                reason: error.to_string(),
            },
        };
        kind.into()
    })
}
