//! Reads a subscription in a pipeline.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::source::WatermarkPolicy;
use pipeline_core::{Counter, Result};

use super::message::Message;
use super::service::{PubSub, PubSubError, Pulled};

/// The default of [`PubSubSource::max_disorder`].
pub const DEFAULT_MAX_DISORDER: Duration = Duration::from_secs(60);

/// The counter of messages that were dropped because their id had been taken in before.
pub const DUPLICATES: &str = "duplicates";

type TimestampWith = Arc<dyn Fn(&Message) -> Option<Timestamp> + Send + Sync>;

/// Reads the messages of one subscription; unbounded, until the subscription's topic is closed.
///
/// - **Time.** A message's event time is what [`timestamp_with`](Self::timestamp_with) says, or, where
///   that is not set, its publish time. A message that it gives none takes the source's current
///   watermark, and does not move it.
/// - **Watermark.** The greatest event time so far less [`max_disorder`](Self::max_disorder).
/// - **Identity.** With [`id_attribute`](Self::id_attribute), a message whose id was taken in before is
///   dropped, ahead of watermark and lateness, and counted (`duplicates`). Ids are remembered as long
///   as the run lasts, about 100 bytes each. A message without the attribute is never dropped.
/// - **Acknowledgement.** When the bundle that took the message in has ended and the sinks that its
///   effects went to have committed. A duplicate is acknowledged in the same way. What is still out when
///   the run ends is delivered again when its deadline passes.
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

    /// Takes the identity of a message from the attribute of that name. Default: every delivery is a
    /// message of its own.
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
    type Ack = Vec<String>;
    type Reader = PubSubReader;

    fn is_bounded(&self) -> bool {
        false
    }

    fn split(&self, _desired: usize) -> Result<Vec<()>> {
        Ok(vec![()])
    }

    fn open(&self, (): (), context: &ReadContext) -> Result<PubSubReader> {
        Ok(PubSubReader {
            source: self.clone(),
            policy: WatermarkPolicy::with_disorder(self.max_disorder),
            taken_in: HashSet::new(),
            duplicates: context.counter(DUPLICATES),
        })
    }

    async fn acknowledge(&self, acks: Vec<Vec<String>>) -> Result<()> {
        let ack_ids: Vec<String> = acks.into_iter().flatten().collect();
        retried(|| self.service.acknowledge(&self.subscription, &ack_ids)).await
    }

    fn idle_after(&self) -> Option<Duration> {
        self.idle_after
    }
}

/// Pulls messages for a [`PubSubSource`].
pub struct PubSubReader {
    source: PubSubSource,
    policy: WatermarkPolicy,
    /// The ids of all messages so far.
    taken_in: HashSet<Box<str>>,
    duplicates: Counter,
}

impl Reader<Message, Vec<String>> for PubSubReader {
    async fn read(&mut self, batch: &mut ReadBatch<Message, Vec<String>>) -> Result<ReadStatus> {
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
        for received in received {
            ack_ids.push(received.ack_id);
            let message = received.message;
            if self.is_duplicate(&message) {
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
        batch.acknowledge_with(ack_ids);
        Ok(ReadStatus::More)
    }

    fn watermark(&self) -> Timestamp {
        self.policy.watermark()
    }
}

impl PubSubReader {
    /// Takes note of a message's id, and tells whether it was there.
    fn is_duplicate(&mut self, message: &Message) -> bool {
        let name = self.source.id_attribute.as_deref();
        let Some(id) = name.and_then(|name| message.attribute(name)) else {
            return false;
        };
        if self.taken_in.contains(id) {
            return true;
        }
        self.taken_in.insert(id.into());
        false
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
