//! Reads a subscription in a pipeline.

mod ids;
mod leases;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::source::{Position, Resume, WatermarkPolicy};
use pipeline_core::{Counter, Result};

use self::ids::{Ids, SavedIds};
use self::leases::{AckIds, Leases};

use super::message::Message;
use super::service::{PubSub, PubSubError, Pulled};

/// The default of [`PubSubSource::max_disorder`].
pub const DEFAULT_MAX_DISORDER: Duration = Duration::from_secs(60);

/// The default of [`PubSubSource::remember_ids`].
pub const DEFAULT_REMEMBER_IDS: Duration = Duration::from_secs(600);

/// The counter of ids that are not remembered any more.
pub const FORGOTTEN_IDS: &str = "forgotten_ids";

/// The counter of messages that were dropped because their id had been taken in before.
pub const DUPLICATES: &str = "duplicates";

type TimestampWith = Arc<dyn Fn(&Message) -> Option<Timestamp> + Send + Sync>;

/// Reads the messages of one subscription; unbounded, until the subscription's topic is closed.
///
/// - **Time.** A message's event time is what [`timestamp_with`](Self::timestamp_with) says, or, where
///   that is not set, its publish time. A message that it gives none takes the source's current
///   watermark, and does not move it.
/// - **Watermark.** The greatest event time so far less [`max_disorder`](Self::max_disorder).
/// - **Identity.** A message whose id was taken in before is dropped, ahead of watermark and lateness, and
///   counted (`duplicates`). The id is the [attribute](Self::id_attribute), or the message id where that is
///   not set. It is remembered until the message is acknowledged, and at least [so long](Self::remember_ids)
///   after it was taken in; then it is forgotten, and counted (`forgotten_ids`). What is remembered is 16 bytes
///   of its SHA-256, which take about 50 bytes of memory: among a thousand million ids the odds that a new
///   message is taken for a known one are about one in 10²¹.
/// - **Acknowledgement.** When the bundle that took the message in has ended and the sinks that its
///   effects went to have committed; in a run with snapshots when the sinks have committed its epoch. A
///   duplicate is acknowledged in the same way. Until then the deadline is extended again and again. What is
///   still out when the run ends is delivered again when its deadline passes.
/// - **Snapshots.** A snapshot holds the watermark, and names the ids: each is written once, in a log beside the
///   snapshots. At 100,000 messages a second that makes 1.6 MB a second, and as much on disk for each second that
///   they are remembered. Their age is counted while jobs run.
/// - **Errors.** What may pass is tried again after 100 ms, then after twice as long each time, ten
///   times in a row at most; anything else ends the job.
///
/// One worker reads the subscription; [`reshuffle`](PCollection::reshuffle) behind it spreads the work
/// (and then acknowledges when the other workers have been handed the elements, not when they have
/// committed).
#[derive(Clone)]
pub struct PubSubSource {
    service: Arc<dyn PubSub>,
    subscription: String,
    timestamp_with: TimestampWith,
    id_attribute: Option<String>,
    max_disorder: Duration,
    remember_ids: Duration,
    idle_after: Option<Duration>,
}

impl PubSubSource {
    /// Reads `subscription`, which must exist when the pipeline runs.
    pub fn new(service: Arc<dyn PubSub>, subscription: impl Into<String>) -> Self {
        PubSubSource {
            service,
            subscription: subscription.into(),
            timestamp_with: Arc::new(|message| {
                let millis = message.publish_time().timestamp_millis();
                Some(Timestamp::from_millis(millis))
            }),
            id_attribute: None,
            max_disorder: DEFAULT_MAX_DISORDER,
            remember_ids: DEFAULT_REMEMBER_IDS,
            idle_after: None,
        }
    }

    /// Takes event times from `timestamp`; `None` stands for a message that has none.
    #[must_use]
    pub fn timestamp_with(
        mut self,
        timestamp: impl Fn(&Message) -> Option<Timestamp> + Send + Sync + 'static,
    ) -> Self {
        self.timestamp_with = Arc::new(timestamp);
        self
    }

    /// Takes the identity of a message from the attribute of that name, which a publisher that repeats
    /// itself can set. Default, and where the attribute is missing: the id that the service gave it.
    #[must_use]
    pub fn id_attribute(mut self, name: impl Into<String>) -> Self {
        self.id_attribute = Some(name.into());
        self
    }

    /// Expects a message to be at most `disorder` of event time behind the latest. Default: 60 s.
    #[must_use]
    pub fn max_disorder(mut self, disorder: Duration) -> Self {
        self.max_disorder = disorder;
        self
    }

    /// Remembers the ids of messages for so long after they were taken in, while the job runs; a message that
    /// is delivered again later is taken for a new one. What is not acknowledged is always remembered.
    /// Default: 10 min.
    #[must_use]
    pub fn remember_ids(mut self, time: Duration) -> Self {
        self.remember_ids = time;
        self
    }

    /// Lets the watermark follow the wall time, by what has elapsed since its last value, when no
    /// message has come for `quiet`. Default: it stands still.
    #[must_use]
    pub fn idle_after(mut self, quiet: Duration) -> Self {
        self.idle_after = Some(quiet);
        self
    }
}

impl Source for PubSubSource {
    type Item = Message;
    type Split = ();
    type Ack = Deliveries;
    type Reader = PubSubReader;

    fn is_bounded(&self) -> bool {
        false
    }

    fn split(&self, _desired: usize) -> Result<Vec<()>> {
        Ok(vec![()])
    }

    fn open(&self, (): (), context: &ReadContext) -> Result<PubSubReader> {
        let mut policy = WatermarkPolicy::with_disorder(self.max_disorder);
        let mut ids = Ids::new(self.remember_ids, context.counter(FORGOTTEN_IDS));
        if let Some((latest, saved)) = context.position::<(Timestamp, SavedIds)>()? {
            policy.observe(latest);
            ids.restore(saved, context.pieces());
        }
        Ok(PubSubReader {
            leases: Leases::start(&self.service, &self.subscription),
            source: self.clone(),
            policy,
            ids,
            duplicates: context.counter(DUPLICATES),
        })
    }

    async fn acknowledge(&self, acks: Vec<Deliveries>) -> Result<()> {
        let ack_ids: Vec<String> = acks.into_iter().flat_map(Deliveries::into_ids).collect();
        retried(|| self.service.acknowledge(&self.subscription, &ack_ids)).await
    }

    fn resume(&self) -> Resume {
        if self.service.replays() {
            Resume::Position
        } else {
            Resume::Redelivery
        }
    }

    fn most_unacknowledged(&self) -> Option<u64> {
        self.service.most_unacknowledged(&self.subscription)
    }

    fn idle_after(&self) -> Option<Duration> {
        self.idle_after
    }
}

/// Acknowledges what a pull gave; as long as it is held, the service is asked to wait.
pub struct Deliveries(Arc<AckIds>);

impl Deliveries {
    fn into_ids(self) -> Vec<String> {
        // Somebody who asks for more time may hold it for a moment.
        Arc::try_unwrap(self.0).map_or_else(|held| held.0.clone(), |ids| ids.0)
    }
}

/// Pulls messages for a [`PubSubSource`].
pub struct PubSubReader {
    source: PubSubSource,
    policy: WatermarkPolicy,
    ids: Ids,
    leases: Arc<Leases>,
    duplicates: Counter,
}

impl Reader<Message, Deliveries> for PubSubReader {
    async fn read(&mut self, batch: &mut ReadBatch<Message, Deliveries>) -> Result<ReadStatus> {
        let PubSubSource {
            service,
            subscription,
            ..
        } = &self.source;
        let room = batch.room();
        let received = match retried(|| service.pull(subscription, room)).await? {
            Pulled::Messages(received) => received,
            Pulled::Closed => return Ok(ReadStatus::Ended),
        };
        let mut ack_ids = Vec::with_capacity(received.len());
        let mut bytes = 0;
        self.ids.begin();
        for received in received {
            ack_ids.push(received.ack_id);
            let message = received.message;
            bytes += self.source.service.unacknowledged_size(&message);
            let id = self.source.identity(&message);
            // Such a service gives other messages the same ids in its next life.
            let lasts = !self.source.service.replays() || self.source.is_attribute(&id);
            if !self.ids.take_in(&id, lasts) {
                self.duplicates.add(1);
                continue;
            }
            let timestamp = (self.source.timestamp_with)(&message);
            if let Some(timestamp) = timestamp {
                self.policy.observe(timestamp);
            }
            let timestamp = timestamp.unwrap_or_else(|| self.policy.watermark());
            batch.push(message, timestamp);
        }
        let ack_ids = Arc::new(AckIds(ack_ids));
        self.ids.until(&ack_ids);
        self.leases.add(&ack_ids);
        batch.acknowledge_sized(Deliveries(ack_ids), bytes);
        Ok(ReadStatus::More)
    }

    fn watermark(&self) -> Timestamp {
        self.policy.watermark()
    }

    fn position(&mut self) -> Result<Position> {
        let (saved, pieces) = self.ids.saved();
        Ok(Position::of(&(self.policy.latest(), saved))?.with_pieces(pieces))
    }
}

/// What stands before a message id where the attribute is missing, so that the two cannot meet.
const NO_ATTRIBUTE: char = '\0';

impl PubSubSource {
    /// Returns what tells a message from others.
    fn identity<'m>(&self, message: &'m Message) -> Cow<'m, str> {
        match self.id_attribute.as_deref() {
            None => message.message_id().into(),
            Some(name) => match message.attribute(name) {
                Some(id) => id.into(),
                None => format!("{NO_ATTRIBUTE}{}", message.message_id()).into(),
            },
        }
    }

    /// Tells whether an identity is an attribute.
    fn is_attribute(&self, id: &str) -> bool {
        self.id_attribute.is_some() && !id.starts_with(NO_ATTRIBUTE)
    }
}

/// The number of attempts at a call, and the pause after the first.
const ATTEMPTS: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Calls a service, again while its error may pass.
async fn retried<T, F: Future<Output = std::result::Result<T, PubSubError>>>(
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
