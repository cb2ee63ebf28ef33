//! Reads a subscription in a pipeline.

mod deliveries;
mod event_time;
mod ids;
mod intake;
mod leases;
mod read_pubsub;
mod reader;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use pipeline_core::Result;
use pipeline_core::prelude::*;
use pipeline_core::source::Resume;

pub use self::deliveries::Deliveries;
pub(crate) use self::event_time::Envelope;
use self::event_time::EventTime;
use self::intake::Intake;
pub use self::read_pubsub::ReadPubSub;
pub use self::reader::PubSubReader;
use self::reader::retried;
use super::message::Message;
use super::service::{PubSub, SubscriptionOptions};

/// The default of [`PubSubSource::max_disorder`].
pub const DEFAULT_MAX_DISORDER: Duration = Duration::from_secs(60);

/// The default of [`PubSubSource::remember_ids`].
pub const DEFAULT_REMEMBER_IDS: Duration = Duration::from_secs(600);

/// The counter of ids that are not remembered any more.
pub const FORGOTTEN_IDS: &str = "forgotten_ids";

/// The counter of messages that were dropped because their id had been taken in before.
pub const DUPLICATES: &str = "duplicates";

/// The counter of acknowledgements that the service is known not to have taken: the messages come again, and are known
/// by their ids.
pub const NOT_ACKNOWLEDGED: &str = "not_acknowledged";

/// Reads the messages of one subscription; unbounded, until the subscription's topic is closed or
/// [nothing comes any more](Self::stop_when_idle).
///
/// - **Time.** A message's event time is what its [attribute](Self::timestamp_attribute) or
///   [`timestamp_with`](Self::timestamp_with) says, or, where neither is set, its publish time. A message that has none
///   is a dead letter of [`read_pubsub`](ReadPubSub::read_pubsub). A plain `read` ends with an error where the
///   attribute is missing or bad, and gives a message the source's watermark where the function gives it none. It
///   never moves the watermark.
/// - **Watermark.** The greatest event time so far, of all readers, less [`max_disorder`](Self::max_disorder).
/// - **Identity.** A message whose id was taken in before, by whichever reader, is dropped, ahead of watermark and
///   lateness, and counted (`duplicates`). The id is the [attribute](Self::id_attribute), or the message id where that
///   is not set. It is remembered until the message is acknowledged, and [so long](Self::remember_ids) after that;
///   then it is forgotten, and counted (`forgotten_ids`). What is remembered is 16 bytes of its SHA-256, which take
///   about 60 bytes of memory: among a thousand million ids the odds that a new message is taken for a known one are
///   about one in 10²¹. Another process that reads the same subscription knows nothing of it.
/// - **Acknowledgement.** When the bundle that took the message in has ended and the sinks that its
///   effects went to have committed; in a run with snapshots when the sinks have committed its epoch. A
///   duplicate is acknowledged with the first delivery, if that has not been. Until then the deadline is extended
///   again and again. What is still out when the run ends is given back. An acknowledgement that is known to have
///   failed is counted (`not_acknowledged`), and the message is a duplicate when it comes again.
/// - **Order.** The messages of an ordering key go to one reader, in the order in which the service brings them. A
///   subscription that is [ordered](SubscriptionOptions::ordered) brings them in the order of publishing.
/// - **Snapshots.** A snapshot holds the watermark, and names the ids: each is written once, in a log beside the
///   snapshots. At 100,000 messages a second that makes 1.6 MB a second, and as much on disk for each second that
///   they are remembered. Their age is counted while jobs run.
/// - **Errors.** What may pass is tried again after 100 ms, then after twice as long each time, ten
///   times in a row at most; anything else ends the job.
///
/// One worker reads the subscription, or [several](Self::streams).
#[derive(Clone)]
pub struct PubSubSource {
    service: Arc<dyn PubSub>,
    subscription: Arc<str>,
    create: Option<(String, SubscriptionOptions)>,
    event_time: EventTime,
    id_attribute: Option<String>,
    max_disorder: Duration,
    remember_ids: Duration,
    idle_after: Option<Duration>,
    stop_when_idle: Option<Duration>,
    streams: usize,
    /// What has no event time is sorted out behind the source.
    checked: bool,
}

/// One of the readers of a run.
pub struct PubSubPart {
    number: usize,
    intake: Arc<Intake>,
}

impl PubSubSource {
    /// Reads `subscription`, which must exist when the pipeline runs.
    pub fn new(service: Arc<dyn PubSub>, subscription: impl Into<Arc<str>>) -> Self {
        PubSubSource {
            service,
            subscription: subscription.into(),
            create: None,
            event_time: EventTime::Published,
            id_attribute: None,
            max_disorder: DEFAULT_MAX_DISORDER,
            remember_ids: DEFAULT_REMEMBER_IDS,
            idle_after: None,
            stop_when_idle: None,
            streams: 1,
            checked: false,
        }
    }

    /// Creates the subscription to `topic` when the pipeline runs, unless it is there; it gets what is published from
    /// then on. Default: it must be there.
    #[must_use]
    pub fn create_subscription_to(
        mut self,
        topic: impl Into<String>,
        options: SubscriptionOptions,
    ) -> Self {
        self.create = Some((topic.into(), options));
        self
    }

    /// Takes event times from the attribute of that name: a whole number of milliseconds since the epoch, or a time as
    /// RFC 3339 has it, such as `2015-10-29T23:41:41.123Z`, of which digits beyond milliseconds are passed over.
    ///
    /// The rule is that of Beam's connectors (`timestamp_attribute`).
    #[must_use]
    pub fn timestamp_attribute(mut self, name: impl Into<Arc<str>>) -> Self {
        self.event_time = EventTime::Attribute(name.into());
        self
    }

    /// Takes event times from `timestamp`; `None` stands for a message that has none.
    #[must_use]
    pub fn timestamp_with(
        mut self,
        timestamp: impl Fn(&Message) -> Option<Timestamp> + Send + Sync + 'static,
    ) -> Self {
        self.event_time = EventTime::With(Arc::new(timestamp));
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

    /// Remembers the ids of messages for so long after they were acknowledged, while the job runs; a message that
    /// is delivered again later is taken for a new one. What is not acknowledged is always remembered.
    /// Default: 10 min.
    ///
    /// Set it to more than the time within which publishers repeat themselves, and than the service's lease: an
    /// acknowledgement that was lost shows when that has passed.
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

    /// Ends the source, and so the job in good order, when nothing has come for `quiet` and everything that has is
    /// acknowledged. Default: it waits for ever.
    ///
    /// What the service withholds is not seen: in a run that resumes after a crash, set more than the service's lease,
    /// so that what the crashed run had taken has come again.
    #[must_use]
    pub fn stop_when_idle(mut self, quiet: Duration) -> Self {
        self.stop_when_idle = Some(quiet);
        self
    }

    /// Sets the number of readers, so that as many workers read. Default: 1. A snapshot keeps the number that it was
    /// taken with.
    #[must_use]
    pub fn streams(mut self, streams: usize) -> Self {
        self.streams = streams.max(1);
        self
    }

    /// Creates the subscription, if that was asked for.
    async fn make_ready(&self) -> Result<()> {
        if let Some((topic, options)) = &self.create {
            let (service, name) = (&self.service, &self.subscription);
            retried(|| service.create_subscription_with(name, topic, options)).await?;
        }
        Ok(())
    }
}

impl Source for PubSubSource {
    type Item = Message;
    type Split = PubSubPart;
    type Ack = Deliveries;
    type Reader = PubSubReader;

    fn is_bounded(&self) -> bool {
        false
    }

    fn split(&self, _desired: usize) -> Result<Vec<PubSubPart>> {
        let intake = Intake::new(self.streams, self.max_disorder, self.remember_ids);
        let intake = Arc::new(intake);
        let part = |number| PubSubPart {
            number,
            intake: Arc::clone(&intake),
        };
        Ok((0..self.streams).map(part).collect())
    }

    fn open(&self, part: PubSubPart, context: &ReadContext) -> Result<PubSubReader> {
        PubSubReader::open(self, part, context)
    }

    async fn acknowledge(&self, acks: Vec<Deliveries>) -> Result<()> {
        let ack_ids: Vec<String> = acks.iter().flat_map(|acks| acks.0.take()).collect();
        if ack_ids.is_empty() {
            return Ok(());
        }
        let (service, name) = (&self.service, &self.subscription);
        let failed = retried(|| service.acknowledge_each(name, &ack_ids)).await?;
        if let (false, Some(acks)) = (failed.is_empty(), acks.first()) {
            acks.0.count_failed(failed.len() as u64);
        }
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        let ended = self.service.end_pulling(&self.subscription).await;
        ended.map_err(Error::connector)
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
