//! The error of every call to a storage.

use std::fmt;

use pipeline_core::Error;

/// Says which call on which object failed, and why.
///
/// A call that failed with [`Transient`](StorageErrorKind::Transient) or
/// [`TimedOut`](StorageErrorKind::TimedOut) may have taken effect all the same.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StorageError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    call: &'static str,
    object: String,
    kind: StorageErrorKind,
    reason: String,
}

/// Distinguishes why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageErrorKind {
    /// The object, the bucket or the folder is not there.
    NotFound,
    /// An object of that name is there already.
    Exists,
    /// The object is not what it was when it was first looked at.
    Replaced,
    /// The account may not do this, or is none.
    Denied,
    /// The storage could not do it now: a quota, a lost connection, an error of its own; it was tried several times.
    Transient,
    /// The storage did not answer within the deadline.
    TimedOut,
    /// The name or the request is not one that the storage takes.
    Invalid,
    /// The storage is left out of this build.
    NotBuilt,
    /// Anything else.
    Other,
}

impl StorageError {
    /// Makes an error of a call (`read`, `put`, …) on an object that is named in full.
    pub fn new(
        call: &'static str,
        object: impl Into<String>,
        kind: StorageErrorKind,
        reason: impl Into<String>,
    ) -> Self {
        StorageError(Box::new(Inner {
            call,
            object: object.into(),
            kind,
            reason: reason.into(),
        }))
    }

    /// Returns the cause.
    pub fn kind(&self) -> StorageErrorKind {
        self.0.kind
    }

    /// Returns the object in full, as `gs://bucket/name` or a path.
    pub fn object(&self) -> &str {
        &self.0.object
    }

    /// Tells whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.0.kind,
            StorageErrorKind::Transient | StorageErrorKind::TimedOut
        )
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            call,
            object,
            kind,
            reason,
        } = self;
        if *kind == StorageErrorKind::NotBuilt {
            return write!(f, "{object}: {reason}");
        }
        write!(f, "cannot {call} {object}: {reason}")?;
        match kind {
            StorageErrorKind::Denied => f.write_str(
                "; check which account this is, and that it has the role Storage Object User on the bucket",
            ),
            StorageErrorKind::Replaced => f.write_str(
                "; read objects that nobody replaces, or begin anew with another folder for snapshots",
            ),
            _ => Ok(()),
        }
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Error {
        if error.is_transient() {
            Error::transient(error)
        } else {
            Error::connector(error)
        }
    }
}
