//! Google Cloud's services for [`pipeline_core`]: Pub/Sub, Cloud Storage and BigQuery, each behind one
//! trait, with a stand-in that runs in this process.
//!
//! - [`pubsub`]: messages, the service trait, an in-process topic.
//! - [`storage`]: objects in buckets and folders: the service trait, sources and sinks of files.
//! - [`bigquery`]: tables and rows, the service trait, an embedded warehouse that runs GoogleSQL.
//! - `cloud`: the account and the addresses of Google's own services; feature `gcp`.

pub mod bigquery;
#[cfg(feature = "gcp")]
pub mod cloud;
pub mod pubsub;
pub mod storage;
