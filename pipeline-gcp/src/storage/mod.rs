//! Cloud Storage, and folders of this machine through the same interface.
//!
//! - [`Storage`] is one bucket; [`LocalStorage`] a folder as a bucket, `CloudStorage` (feature `gcp`) one of
//!   Cloud Storage. [`Storages`] opens `gs://bucket/name` and paths alike.
//! - [`ObjectSource`] reads the lines and tables of objects, and watches for new ones.
//! - [`FileSink`] writes a collection into files per destination, window and shard; dead letters too.
//!
//! # What is promised
//!
//! | | promise | shown on |
//! |---|---|---|
//! | reading | each line of each generation once; an object that is replaced meanwhile is an error that says so | folder, emulator, scripted server |
//! | reading | a connection that is cut goes on at its byte, within the generation | scripted server |
//! | watching | each (name, generation) once, through crashes | folder, emulator, scripted server |
//! | writing | a file is whole, under its name when its epoch is committed, and never overwrites another | folder, emulator, scripted server |
//! | writing | each record in one file, whatever call or moment of a snapshot a crash comes at | folder, emulator, scripted server |
//! | writing | a late record is in a further file of its window; nothing is dropped | folder, emulator, scripted server |
//! | uploads | of more than 8 MiB go on where the service says, also when it forgot the upload | scripted server |
//! | calls | 408, 429, 5xx, rates and lost connections are tried again; 401, 403, 404, 412 are told at once | scripted server |
//! | calls | no answer, or nobody there, is an error within the deadline that names call and object | scripted server, dead address |
//! | dead letters | come back to the byte | folder, emulator, scripted server |
//!
//! # Not seen against Google itself
//!
//! - Tokens: their renewal while a run goes on, 401 for one that is out of date.
//! - Quotas: one object can be written about once a second, so several tries at one name may take seconds; the
//!   growth of the rate of a new prefix.
//! - Copies between storage classes and locations, which take several calls (shown on the scripted server only).
//! - Retention policies, holds, object versioning (a generation that was replaced can then still be read),
//!   soft delete, requester pays, customer-supplied keys, `Content-Encoding: gzip` (read as it is stored).
//! - Listings are consistent on Google's side; a watch relies on it.
//!
//! # Limits
//!
//! A listing is held in memory, about 200 bytes an object. Two jobs with one owner's name below one place
//! delete each other's temporary objects; on one machine the spool folder's lock tells. A file system without
//! hard links can be read, not written. Checksums of what is uploaded are not compared, lengths are.

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
pub use self::source::{CsvObjects, ObjectLineReader, ObjectSource, ObjectSplit, Watch};
