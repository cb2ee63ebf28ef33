//! Where objects are: `gs://bucket/name` or a path, with wildcards or without.

use std::sync::Arc;

use super::error::{StorageError, StorageErrorKind};
use super::local::LocalStorage;
use super::service::Storage;
#[cfg(feature = "gcp")]
use crate::cloud::Cloud;

/// The beginning of what is in Cloud Storage.
const GS: &str = "gs://";

/// Says where something is.
///
/// ```
/// use pipeline_gcp::storage::Location;
///
/// let bucket = Location::parse("gs://archive/output/*.json")?;
/// assert_eq!(bucket, Location::Bucket { bucket: "archive".into(), name: "output/*.json".into() });
/// assert_eq!(Location::parse("output/x")?, Location::Local("output/x".into()));
/// # Ok::<(), pipeline_gcp::storage::StorageError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// An object, a prefix or a pattern in a bucket of Cloud Storage.
    Bucket {
        /// The bucket.
        bucket: String,
        /// What follows the bucket and a slash.
        name: String,
    },
    /// A path, or a pattern of paths, on this machine.
    Local(String),
}

impl Location {
    /// Reads `gs://bucket/name` or a path.
    ///
    /// # Errors
    /// When there is no bucket behind `gs://`, or another scheme (`s3://`).
    pub fn parse(text: &str) -> Result<Location, StorageError> {
        let invalid = |why: &str| {
            Err(StorageError::new(
                "use",
                text,
                StorageErrorKind::Invalid,
                why,
            ))
        };
        let Some(rest) = text.strip_prefix(GS) else {
            if text.contains("://") {
                return invalid("only gs://bucket/name and paths of this machine are known");
            }
            if text.is_empty() {
                return invalid("it is empty; name gs://bucket/name or a path");
            }
            return Ok(Location::Local(text.to_owned()));
        };
        let (bucket, name) = rest.split_once('/').unwrap_or((rest, ""));
        let is_valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        if bucket.len() < 3 || !bucket.chars().all(is_valid) {
            return invalid(
                "a bucket has a name of 3 letters at least: small ones, digits, `-`, `_` and `.`; \
                 write gs://bucket/name",
            );
        }
        Ok(Location::Bucket {
            bucket: bucket.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// Opens storages by location: one interface for buckets and folders.
///
/// ```
/// use pipeline_gcp::storage::Storages;
///
/// let place = Storages::local().open("/var/data/*.json")?;
/// assert_eq!(place.name, "var/data/*.json");
/// let refused = Storages::local().open("gs://archive/x").unwrap_err().to_string();
/// assert!(refused.contains("gs://archive/x"), "{refused}");
/// # Ok::<(), pipeline_gcp::storage::StorageError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Storages {
    #[cfg(feature = "gcp")]
    cloud: Option<Cloud>,
}

/// A storage, and the name, prefix or pattern in it.
#[derive(Clone, Debug)]
pub struct Place {
    /// The bucket, or this machine.
    pub storage: Arc<dyn Storage>,
    /// The name in it; empty for all of it.
    pub name: String,
}

impl Place {
    /// Returns the place in full, as people write it.
    pub fn full_name(&self) -> String {
        self.storage.full_name(&self.name)
    }
}

impl Storages {
    /// Opens paths of this machine only.
    pub fn local() -> Self {
        Storages::default()
    }

    /// Opens buckets too.
    #[cfg(feature = "gcp")]
    pub fn cloud(cloud: &Cloud) -> Self {
        Storages {
            cloud: Some(cloud.clone()),
        }
    }

    /// Opens a location. Nothing is called yet: a bucket that is not there is an error of the first call.
    ///
    /// # Errors
    /// When it cannot be [read](Location::parse), or is in Cloud Storage, which this build leaves out or
    /// no account was given for.
    pub fn open(&self, location: &str) -> Result<Place, StorageError> {
        match Location::parse(location)? {
            Location::Local(path) => {
                let is_absolute = path.starts_with('/');
                let root = if is_absolute { "/" } else { "." };
                Ok(Place {
                    storage: Arc::new(LocalStorage::new(root)),
                    name: path
                        .trim_start_matches('/')
                        .trim_start_matches("./")
                        .to_owned(),
                })
            }
            Location::Bucket { bucket, name } => self.open_bucket(location, &bucket, name),
        }
    }

    #[cfg(feature = "gcp")]
    fn open_bucket(
        &self,
        location: &str,
        bucket: &str,
        name: String,
    ) -> Result<Place, StorageError> {
        let Some(cloud) = &self.cloud else {
            let why = "no account for Cloud Storage was given; open it with Storages::cloud";
            return Err(StorageError::new(
                "use",
                location,
                StorageErrorKind::Invalid,
                why,
            ));
        };
        Ok(Place {
            storage: Arc::new(super::CloudStorage::new(cloud, bucket)),
            name,
        })
    }

    #[cfg(not(feature = "gcp"))]
    fn open_bucket(&self, location: &str, _: &str, _: String) -> Result<Place, StorageError> {
        let why = "it is in Cloud Storage, which this build leaves out; build it in with `--features gcp` \
                   (`cargo run --features gcp …`), or name a path of this machine";
        Err(StorageError::new(
            "use",
            location,
            StorageErrorKind::NotBuilt,
            why,
        ))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_location_is_refused_with_the_reason() {
        for text in [
            "gs://",
            "gs:///x",
            "gs://ab/x",
            "gs://Bucket/x",
            "s3://bucket/x",
            "",
        ] {
            let error = Location::parse(text).unwrap_err();
            assert_eq!(error.kind(), StorageErrorKind::Invalid, "{error}");
        }
        let whole = Location::parse("gs://bucket").unwrap();
        let (bucket, name) = ("bucket".to_owned(), String::new());
        assert_eq!(whole, Location::Bucket { bucket, name });
    }

    #[cfg(not(feature = "gcp"))]
    #[test]
    fn a_build_without_the_feature_names_the_command() {
        let error = Storages::local().open("gs://bucket/x").unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::NotBuilt);
        assert!(error.to_string().contains("`cargo run --features gcp …`"));
    }
}
