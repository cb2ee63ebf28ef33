//! Failures of files, with their path.

use std::{io, path::Path};

/// Tells what could not be done with which file, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {cause}{}", remedy(.cause))]
pub struct FileError {
    action: &'static str,
    path: String,
    #[source]
    cause: io::Error,
}

impl FileError {
    pub(super) fn new(action: &'static str, path: &Path, cause: io::Error) -> Self {
        FileError {
            action,
            path: path.display().to_string(),
            cause,
        }
    }

    /// Makes an error whose cause is a sentence.
    pub(super) fn because(
        action: &'static str,
        path: &Path,
        kind: io::ErrorKind,
        why: impl Into<String>,
    ) -> Self {
        FileError::new(action, path, io::Error::new(kind, why.into()))
    }

    /// Returns the kind of the operating system's answer.
    pub fn kind(&self) -> io::ErrorKind {
        self.cause.kind()
    }
}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        io::Error::new(error.kind(), error)
    }
}

impl From<FileError> for crate::Error {
    fn from(error: FileError) -> Self {
        crate::Error::connector(error)
    }
}

fn remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::NotFound if cause.raw_os_error().is_some() => {
            "; check the spelling and the folder it is in"
        }
        io::ErrorKind::PermissionDenied => "; check its permissions and those of its folder",
        io::ErrorKind::StorageFull => "; free some space or choose another disk",
        io::ErrorKind::FileTooLarge => "; the file system, or `ulimit -f`, allows no longer file",
        _ => "",
    }
}
