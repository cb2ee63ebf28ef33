//! Cloud Storage, and folders of this machine through the same interface.
//!
//! - [`Storage`] is one bucket; [`LocalStorage`] a folder as a bucket, `CloudStorage` (feature `gcp`) one of
//!   Cloud Storage. [`Storages`] opens `gs://bucket/name` and paths alike.
//! - [`ObjectSource`] reads the lines of objects, and watches for new ones.
//! - [`FileSink`] writes a collection into files per destination, window and shard.

#[cfg(feature = "gcp")]
mod cloud;
mod error;
mod local;
mod location;
mod service;
mod sink;
mod source;

#[cfg(feature = "gcp")]
pub use self::cloud::CloudStorage;
pub use self::error::{StorageError, StorageErrorKind};
pub use self::local::LocalStorage;
pub use self::location::{Location, Place, Storages};
pub use self::service::{Generation, Metadata, ObjectInfo, ObjectReader, Storage, check_name};
pub use self::sink::{Existing, FileName, FileSink, FileWriter, WriteFiles};
pub use self::source::{ObjectLineReader, ObjectSource, ObjectSplit, Watch};
