//! Publishes the batches of one worker, or keeps them for the commit.

use std::sync::Arc;

use pipeline_core::coder::encode_to;
use pipeline_core::prelude::*;
use pipeline_core::{Error, Result};

use super::publish::Publishing;
use crate::pubsub::error::PubSubErrorKind;
use crate::pubsub::message::NewMessage;
use crate::pubsub::source::Envelope;

/// Publishes for a [`PubSubSink`](super::PubSubSink).
pub struct PubSubWriter {
    publishing: Publishing,
    /// The name of the attribute, and what begins all ids of this writer.
    ids: Option<(Arc<str>, u64)>,
    in_epochs: bool,
    /// The messages of the batch, as they are published.
    batch: Vec<NewMessage>,
    /// The place of each in the batch that was handed over.
    places: Vec<usize>,
    /// What waits for its commit.
    epoch: Vec<NewMessage>,
    next_id: u64,
}

impl PubSubWriter {
    pub(super) fn new(
        publishing: Publishing,
        ids: Option<(Arc<str>, u64)>,
        in_epochs: bool,
    ) -> Self {
        PubSubWriter {
            publishing,
            ids,
            in_epochs,
            batch: Vec::new(),
            places: Vec::new(),
            epoch: Vec::new(),
            next_id: 0,
        }
    }

    /// Gives a message an id, unless it has one.
    fn identified(&mut self, message: &NewMessage) -> NewMessage {
        let message = message.clone();
        let Some((name, life)) = &self.ids else {
            return message;
        };
        if message.attributes().contains_key(&**name) {
            return message;
        }
        self.next_id += 1;
        let id = format!("{life:016x}-{}", self.next_id);
        message.attribute(&**name, id)
    }

    /// Takes a batch over: what keeps the limits; returns the rest.
    fn take_over(&mut self, records: &[NewMessage]) -> Vec<Rejected> {
        self.batch.clear();
        self.places.clear();
        self.publishing.begin();
        let mut rejected = Vec::new();
        for (index, record) in records.iter().enumerate() {
            let message = self.identified(record);
            match message.validate() {
                Ok(()) => {
                    self.batch.push(message);
                    self.places.push(index);
                }
                Err(reason) => rejected.push(refusal(index, record, reason.to_string())),
            }
        }
        rejected
    }
}

impl PubSubWriter {
    /// Returns what the service has refused of a batch; `place` says where it stood in what was handed over.
    fn refused(&self, batch: &[NewMessage], place: impl Fn(usize) -> usize) -> Vec<Rejected> {
        let refused = self.publishing.refused().map(|(index, error)| {
            let reason = match error.kind() {
                PubSubErrorKind::InvalidMessage { reason, .. } => reason.to_string(),
                _ => error.to_string(),
            };
            refusal(place(index), &batch[index], reason)
        });
        refused.collect()
    }
}

impl Writer<NewMessage> for PubSubWriter {
    async fn write(&mut self, batch: &WriteBatch<'_, NewMessage>) -> Result<Vec<Rejected>> {
        let plain = self.ids.is_none() && !self.in_epochs;
        if plain && batch.records.iter().all(|m| m.validate().is_ok()) {
            // As they are, without a copy.
            self.publishing.begin();
            self.publishing.all(batch.records).await?;
            return Ok(self.refused(batch.records, |place| place));
        }
        // The engine never hands one over again: what may pass is tried again here, only what was not published.
        let mut rejected = self.take_over(batch.records);
        if self.in_epochs {
            self.epoch.append(&mut self.batch);
            return Ok(rejected);
        }
        self.publishing.all(&self.batch).await?;
        rejected.extend(self.refused(&self.batch, |place| self.places[place]));
        Ok(rejected)
    }

    async fn prepare(&mut self, _epoch: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if !self.epoch.is_empty() {
            encode_to(&self.epoch, &mut bytes).map_err(Error::connector)?;
            self.epoch.clear();
        }
        Ok(bytes)
    }
}

/// Says why a message was refused; the dead letter has its data, and its attributes among the errors.
fn refusal(index: usize, message: &NewMessage, reason: String) -> Rejected {
    let envelope = Envelope::new(message.attributes(), message.key(), None);
    let failure = Failure::from(Refused { reason, envelope });
    Rejected {
        index,
        failure: failure.with_original(message.data().clone()),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
struct Refused {
    reason: String,
    #[source]
    envelope: Envelope,
}
