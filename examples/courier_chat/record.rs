//! Records on their way in: one line of the input, from a file or a topic.

use bytes::Bytes;
use pipeline_core::prelude::*;
use pipeline_gcp::pubsub::Message;
use serde::{Deserialize, Serialize};

use super::event::ChatEvent;
use super::input::{Line, MAX_RECORD};
use super::parse::parse;
use super::publisher::{ID_ATTRIBUTE, LENGTH_ATTRIBUTE};

/// Holds one line of the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The line's identity, see [`LineId`](super::LineId).
    pub id: String,
    /// The line, or its beginning.
    pub data: Bytes,
    /// The length of a line that is too long, of which `data` is the beginning.
    pub too_long: Option<u64>,
}

/// Pairs a part of an event with the id of the record that it came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identified<T> {
    /// The record's id.
    pub id: String,
    /// What the record holds.
    pub value: T,
}

/// Holds an event with the bytes that it came in, by a cheap handle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParsedRecord {
    /// The record's id.
    pub id: String,
    /// What it holds.
    pub event: ChatEvent,
    /// The record.
    pub original: Bytes,
}

impl Record {
    /// Makes the record of a line.
    pub fn from_line(line: Line<'_>) -> Self {
        match line {
            Line::Record { id, bytes } => Record {
                id: id.to_string(),
                data: Bytes::copy_from_slice(bytes),
                too_long: None,
            },
            Line::TooLong { id, prefix, length } => Record {
                id: id.to_string(),
                data: Bytes::copy_from_slice(prefix),
                too_long: Some(length),
            },
        }
    }

    /// Makes the record of a message; one without the id attribute goes by the id that the service gave it.
    pub fn from_message(message: &Message) -> Self {
        let id = message.attribute(ID_ATTRIBUTE);
        let length = message.attribute(LENGTH_ATTRIBUTE);
        Record {
            id: id.unwrap_or(message.message_id()).to_owned(),
            data: message.data().clone(),
            too_long: length.and_then(|length| length.parse().ok()),
        }
    }

    /// Reads the event.
    ///
    /// # Errors
    /// Why the record is a dead letter, with its bytes.
    pub fn event(&self) -> Result<ParsedRecord, Failure> {
        if let Some(length) = self.too_long {
            let reason = format!(
                "the record has {length} bytes, more than the {MAX_RECORD} of a Pub/Sub message; its beginning is kept"
            );
            return Err(Failure::new(reason).with_original(self.data.clone()));
        }
        match parse(&self.data) {
            Ok(event) => Ok(ParsedRecord {
                id: self.id.clone(),
                event,
                original: self.data.clone(),
            }),
            Err(error) => Err(Failure::from(error).with_original(self.data.clone())),
        }
    }

    /// Returns when the record's message was sent; `None` for an order event and for what is no valid record, neither
    /// of which may move the watermark.
    pub fn event_time(&self) -> Option<Timestamp> {
        match parse(&self.data) {
            Ok(ChatEvent::Message(message)) if self.too_long.is_none() => {
                Some(Timestamp::from_millis(message.message_sent_time.millis()))
            }
            _ => None,
        }
    }
}
