//! The service trait: what a source and a sink ask of a bucket.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::error::StorageError;
use pipeline_core::Timestamp;

/// Stands for one bucket: implemented by a folder ([`LocalStorage`](super::LocalStorage)) and by Cloud
/// Storage (`CloudStorage`, feature `gcp`) alike.
///
/// Names are those of objects in the bucket, with `/` between their parts and none at the beginning.
/// What is written is durable and whole when the call returns; an object is never seen half. A call
/// retries what may pass and has a deadline, so an error is final unless the caller has time to spare.
/// Calls are futures that may be dropped at any time.
#[async_trait]
pub trait Storage: Send + Sync + fmt::Debug {
    /// Returns the full name of an object, as people write it: `gs://bucket/name`, or a path.
    fn full_name(&self, name: &str) -> String;

    /// Lists the objects whose names begin with `prefix`, sorted by name. None is no error.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StorageError>;

    /// Looks at an object.
    async fn stat(&self, name: &str) -> Result<ObjectInfo, StorageError>;

    /// Reads a range of an object, as it was [listed](Self::list) or [looked at](Self::stat): where another
    /// generation has taken its place, the error says so ([`Replaced`](super::StorageErrorKind::Replaced)).
    /// What is behind the end of the object is left out of the range.
    ///
    /// A connection that is cut is opened again where it was.
    async fn read(
        &self,
        object: &ObjectInfo,
        range: Range<u64>,
    ) -> Result<Box<dyn ObjectReader>, StorageError>;

    /// Writes a whole object of moderate size (it is in memory), in the place of what is there.
    async fn put(&self, name: &str, bytes: Bytes, metadata: &Metadata) -> Result<(), StorageError>;

    /// Like [`put`](Self::put), but only where nothing is there
    /// ([`Exists`](super::StorageErrorKind::Exists)).
    ///
    /// Where an attempt whose answer was lost has taken effect, the call may say `Exists` of its own
    /// object: compare what is there.
    async fn put_if_absent(
        &self,
        name: &str,
        bytes: Bytes,
        metadata: &Metadata,
    ) -> Result<(), StorageError>;

    /// Writes a file as an object, in parts if it is big, in the place of what is there.
    async fn upload(
        &self,
        name: &str,
        file: &Path,
        metadata: &Metadata,
    ) -> Result<(), StorageError>;

    /// Copies an object with its metadata to a name where nothing is
    /// ([`Exists`](super::StorageErrorKind::Exists), as of [`put_if_absent`](Self::put_if_absent)).
    async fn copy_if_absent(&self, from: &str, to: &str) -> Result<(), StorageError>;

    /// Deletes an object; it is no error if it is not there.
    async fn delete(&self, name: &str) -> Result<(), StorageError>;
}

/// Gives the bytes of an object, one chunk after the other.
#[async_trait]
pub trait ObjectReader: Send + Sync {
    /// Returns the next bytes, some at least; `None` at the end. A future that is dropped has taken
    /// nothing.
    async fn next(&mut self) -> Result<Option<Bytes>, StorageError>;
}

/// Tells a version of an object from others of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation(pub u64);

/// Names and values that an object carries: letters, digits and `-` in names, ASCII in values. A folder
/// keeps none.
pub type Metadata = BTreeMap<String, String>;

/// Describes an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its name in the bucket.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// Which version it is.
    pub generation: Generation,
    /// When it was written.
    pub updated: Timestamp,
    /// What it carries.
    pub metadata: Metadata,
}

/// Checks a name that is to be written, by the rules of Cloud Storage and of file systems both.
///
/// # Errors
/// The rule that it breaks.
pub fn check_name(name: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("{name:?} cannot be the name of an object: {why}"));
    if name.is_empty() || name.len() > 1024 {
        return wrong("it must have 1 to 1,024 bytes");
    }
    if name.chars().any(char::is_control) {
        return wrong("it has a control character");
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return wrong("a part of it, between slashes, is empty, `.` or `..`");
    }
    if name.split('/').any(|part| part.len() > 255) {
        return wrong("a part of it, between slashes, has more than 255 bytes");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn names_that_some_storage_refuses_are_refused() {
        for name in [
            "a",
            "a/b.json",
            "ö ü/x=1",
            ".hidden",
            &"x/".repeat(511)[..1021],
        ] {
            assert_eq!(check_name(name), Ok(()));
        }
        let long = "x".repeat(256);
        for name in ["", "/a", "a/", "a//b", "a/./b", "..", "a\nb", &long] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
