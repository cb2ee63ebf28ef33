//! Google Cloud's services for [`pipeline_core`]: Pub/Sub and BigQuery, each behind one trait, with
//! a stand-in that runs in this process.
//!
//! - [`pubsub`]: messages, the service trait, an in-process topic.
//! - [`bigquery`]: tables and rows, the service trait, an embedded warehouse that runs GoogleSQL.
//! - `cloud`: the account and the addresses of Google's own services; feature `gcp`.

pub mod bigquery;
#[cfg(feature = "gcp")]
pub mod cloud;
pub mod pubsub;
