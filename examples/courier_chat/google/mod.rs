//! Google's services instead of the stand-ins: what the flags name, made into what the pipeline takes.
//!
//! A build without the feature `gcp` refuses the flags, with the command that follows them.

#[cfg(not(feature = "gcp"))]
mod absent;
#[cfg(feature = "gcp")]
mod cloud;
#[cfg(feature = "gcp")]
mod publish;

use std::sync::Arc;

use pipeline_gcp::bigquery::BigQuery;
use pipeline_gcp::pubsub::PubSub;

#[cfg(not(feature = "gcp"))]
use absent as build;
#[cfg(feature = "gcp")]
use cloud as build;

pub use build::{connect, publish};

/// What is used instead of a stand-in.
#[derive(Clone, Default)]
pub struct Services {
    /// The subscription to read, and what serves it.
    pub subscription: Option<(Arc<dyn PubSub>, String)>,
    /// What has the dataset of the tables.
    pub tables: Option<Arc<dyn BigQuery>>,
}
