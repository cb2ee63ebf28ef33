//! Pulls messages, knows those that come again, and tells the watermark.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::source::Position;
use pipeline_core::{Counter, Result};
use tokio::time::{Instant, timeout};

use super::deliveries::{AckIds, Deliveries};
use super::event_time::NoEventTime;
use super::ids::{Known, SavedIds};
use super::intake::Intake;
use super::leases::Leases;
use super::{DUPLICATES, FORGOTTEN_IDS, NOT_ACKNOWLEDGED, PubSubPart, PubSubSource};
use crate::pubsub::error::PubSubError;
use crate::pubsub::message::Message;
use crate::pubsub::service::{Pulled, ReceivedMessage};

/// Pulls messages for a [`PubSubSource`].
pub struct PubSubReader {
    source: PubSubSource,
    part: usize,
    intake: Arc<Intake>,
    leases: Arc<Leases>,
    duplicates: Counter,
}

impl PubSubReader {
    pub(super) fn open(
        source: &PubSubSource,
        PubSubPart { number, intake }: PubSubPart,
        context: &ReadContext,
    ) -> Result<PubSubReader> {
        let position = context.position::<(Timestamp, SavedIds)>()?;
        {
            let mut state = intake.state();
            state.ids.count_forgotten(context.counter(FORGOTTEN_IDS));
            state.not_acknowledged = Some(context.counter(NOT_ACKNOWLEDGED));
            if let Some((latest, saved)) = position {
                state.policy.observe(latest);
                state.ids.restore(number, saved, context.pieces());
            }
        }
        intake.open();
        Ok(PubSubReader {
            leases: Leases::start(&source.service, &source.subscription),
            source: source.clone(),
            part: number,
            intake,
            duplicates: context.counter(DUPLICATES),
        })
    }

    /// Waits for messages; `None` when nothing follows.
    async fn receive(&self, most: usize) -> Result<Option<Vec<ReceivedMessage>>> {
        let (service, subscription) = (&self.source.service, &self.source.subscription);
        let pull = async || match retried(|| service.pull(subscription, most)).await? {
            Pulled::Messages(received) => Ok(Some(received)),
            Pulled::Closed => Ok::<_, Error>(None),
        };
        if self.intake.is_single() {
            return pull().await;
        }
        loop {
            let dealt = self.intake.take(self.part, most);
            if !dealt.is_empty() {
                return Ok(Some(dealt));
            }
            let pulled = async {
                let _one = self.intake.pulling.lock().await;
                let pulled = pull().await?;
                // Between here and the pull nothing waits: what was pulled is not lost.
                Ok::<_, Error>(pulled.map(|received| self.intake.deal(self.part, received)))
            };
            let (mut pulled, mut dealt) = (pin!(pulled), pin!(self.intake.dealt(self.part)));
            let first = poll_fn(|context| match dealt.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => pulled.as_mut().poll(context).map(Some),
            });
            match first.await.transpose()? {
                None => {}
                Some(Some(own)) if own.is_empty() => {}
                Some(Some(own)) => return Ok(Some(own)),
                Some(None) => {
                    let dealt = self.intake.take(self.part, most);
                    return Ok((!dealt.is_empty()).then_some(dealt));
                }
            }
        }
    }

    /// The same; `None` as well when nothing has come for so long.
    async fn receive_until_idle(
        &self,
        most: usize,
        quiet: Duration,
    ) -> Result<Option<Vec<ReceivedMessage>>> {
        while let Some(patience) = self.intake.patience(quiet) {
            if let Ok(received) = timeout(patience, self.receive(most)).await {
                return received;
            }
        }
        Ok(None)
    }

    /// Takes messages in: those that are new, and what acknowledges all of them.
    fn take_in(
        &self,
        received: Vec<ReceivedMessage>,
        batch: &mut ReadBatch<Message, Deliveries>,
    ) -> Result<()> {
        let source = &self.source;
        let mut ack_ids = Vec::with_capacity(received.len());
        let mut bytes = 0;
        let mut state = self.intake.state();
        state.arrived = Instant::now();
        state.ids.begin(self.part);
        for ReceivedMessage {
            ack_id, message, ..
        } in received
        {
            bytes += source.service.unacknowledged_size(&message);
            let id = source.identity(&message);
            // Such a service gives other messages the same ids in its next life.
            let lasts = !source.service.replays() || source.is_attribute(&id);
            if let Known::Before(first) = state.ids.take_in(self.part, &id, lasts) {
                self.duplicates.add(1);
                let own = match first {
                    Some(first) => first.join(ack_id),
                    None => Some(ack_id),
                };
                ack_ids.extend(own);
                continue;
            }
            ack_ids.push(ack_id);
            let timestamp = match source.event_time.of(&message) {
                Ok(timestamp) => {
                    state.policy.observe(timestamp);
                    timestamp
                }
                Err(error) if !source.checked && !source.event_time.is_function() => {
                    return Err(self.unread(&message, &error));
                }
                Err(_) => state.policy.watermark(),
            };
            batch.push(message, timestamp);
        }
        let (service, subscription) = (&source.service, &source.subscription);
        let ack_ids = AckIds::new(service, subscription, ack_ids, &self.intake);
        state.ids.until(self.part, &ack_ids);
        drop(state);
        self.leases.add(&ack_ids);
        batch.acknowledge_sized(Deliveries(ack_ids), bytes);
        Ok(())
    }

    fn unread(&self, message: &Message, error: &NoEventTime) -> Error {
        Error::connector(format!(
            "message {} of {:?}: {error} (read with `read_pubsub` to keep such messages as dead letters and go on)",
            message.message_id(),
            self.source.subscription
        ))
    }
}

impl Reader<Message, Deliveries> for PubSubReader {
    async fn read(&mut self, batch: &mut ReadBatch<Message, Deliveries>) -> Result<ReadStatus> {
        self.intake.all_open().await?;
        let ready = || self.source.make_ready();
        self.intake.ready.get_or_try_init(ready).await?;
        let received = match self.source.stop_when_idle {
            Some(quiet) => self.receive_until_idle(batch.room(), quiet).await?,
            None => self.receive(batch.room()).await?,
        };
        match received {
            Some(received) => self.take_in(received, batch).map(|()| ReadStatus::More),
            None => Ok(ReadStatus::Ended),
        }
    }

    fn watermark(&self) -> Timestamp {
        self.intake.state().policy.watermark()
    }

    fn position(&mut self) -> Result<Position> {
        let mut state = self.intake.state();
        let (saved, pieces) = state.ids.saved(self.part);
        Ok(Position::of(&(state.policy.latest(), saved))?.with_pieces(pieces))
    }
}

/// The number of attempts at a call, and the pause after the first.
const ATTEMPTS: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Calls a service, again while its error may pass.
pub(super) async fn retried<T, F: Future<Output = std::result::Result<T, PubSubError>>>(
    mut call: impl FnMut() -> F,
) -> Result<T> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        match call().await {
            Err(error) if error.is_transient() => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            result => return result.map_err(Error::connector),
        }
    }
    let last = call().await;
    last.map_err(|error| Error::connector(format!("{error} (after {ATTEMPTS} attempts)")))
}
