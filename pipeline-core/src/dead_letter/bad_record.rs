//! One dead letter.

use std::any::Any;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Failure;
use crate::coder::Element;
use crate::graph::as_raw_bytes;
use crate::time::Timestamp;

/// Keeps a record that could not be processed, and why.
///
/// Its event time is also its timestamp in the collection of dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadRecord {
    /// The record as it came in: the bytes or text of an element that is one, what
    /// [`Failure::with_original`] said, else the element as JSON.
    pub original: Bytes,
    /// The error and its sources, outermost first; never empty.
    pub errors: Vec<String>,
    /// Path of the transform that refused the record.
    pub transform: String,
    /// The element's event time.
    pub event_time: Timestamp,
    /// The wall time at which it was refused.
    pub ingestion_time: Timestamp,
    /// How often it was tried: 1, and one more each time that it was refused as a `BadRecord` itself,
    /// as dead letters are that were [read](crate::Pipeline::read_dead_letters) to be tried again.
    pub attempts: u32,
}

impl BadRecord {
    /// Returns the outermost error.
    pub fn reason(&self) -> &str {
        self.errors.first().map_or("", String::as_str)
    }

    pub(crate) fn new<T: Element>(
        value: &T,
        failure: Failure,
        transform: &str,
        event_time: Timestamp,
        ingestion_time: Timestamp,
    ) -> Self {
        let original = failure.original.unwrap_or_else(|| original_of(value));
        // A record that was refused twice is kept as it first came in.
        let (original, attempts) = match (value as &dyn Any).downcast_ref::<BadRecord>() {
            Some(earlier) => (earlier.original.clone(), earlier.attempts.saturating_add(1)),
            None => (original, 1),
        };
        BadRecord {
            original,
            errors: failure.chain,
            transform: transform.to_owned(),
            event_time,
            ingestion_time,
            attempts,
        }
    }
}

/// Returns a record as it came in.
pub(super) fn original_of<T: Element>(value: &T) -> Bytes {
    if let Some(earlier) = (value as &dyn Any).downcast_ref::<BadRecord>() {
        return earlier.original.clone();
    }
    as_raw_bytes(value).unwrap_or_else(|| match serde_json::to_vec(value) {
        Ok(json) => json.into(),
        Err(error) => format!("(cannot be shown as JSON: {error})").into(),
    })
}
