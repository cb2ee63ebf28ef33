//! What the service says of objects.

use chrono::DateTime;
use pipeline_core::Timestamp;
use serde::Deserialize;

use super::Call;
use crate::storage::error::{StorageError, StorageErrorKind};
use crate::storage::service::{Generation, Metadata, ObjectInfo};

/// An object; numbers are text in the JSON API.
#[derive(Deserialize)]
pub(super) struct Resource {
    name: String,
    #[serde(default)]
    size: String,
    #[serde(default)]
    generation: String,
    #[serde(default)]
    updated: String,
    #[serde(default)]
    metadata: Metadata,
}

/// A page of a listing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    #[serde(default)]
    pub(super) items: Vec<Resource>,
    pub(super) next_page_token: Option<String>,
}

/// How far a copy has come.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rewrite {
    #[serde(default)]
    pub(super) done: bool,
    pub(super) rewrite_token: Option<String>,
}

impl Resource {
    pub(super) fn info(self, call: &Call) -> Result<ObjectInfo, StorageError> {
        let number = |what: &str, text: &str| {
            text.parse::<u64>().map_err(|_| {
                let why = format!("the answer has {text:?} for the {what} of {:?}", self.name);
                call.error(StorageErrorKind::Other, why)
            })
        };
        let updated = DateTime::parse_from_rfc3339(&self.updated);
        Ok(ObjectInfo {
            size: number("size", &self.size)?,
            generation: Generation(number("generation", &self.generation)?),
            updated: updated.map_or(Timestamp::MIN, |time| {
                Timestamp::from_millis(time.timestamp_millis())
            }),
            metadata: self.metadata,
            name: self.name,
        })
    }

    /// Holds what was written to its length.
    pub(super) fn expect_size(&self, call: &Call, size: u64) -> Result<(), StorageError> {
        if self.size == size.to_string() {
            return Ok(());
        }
        let why = format!(
            "{size} bytes were written, and the service has {}",
            self.size
        );
        Err(call.error(StorageErrorKind::Other, why))
    }
}
