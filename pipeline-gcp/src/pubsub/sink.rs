//! Publishes a collection.

mod join;
mod publish;
mod writer;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use pipeline_core::coder::decode;
use pipeline_core::prelude::*;
use pipeline_core::sink::Promise;
use pipeline_core::{Error, Result};

use self::join::all;
use self::publish::Publishing;
pub use self::writer::PubSubWriter;
use super::message::NewMessage;
use super::service::PubSub;

/// The default of [`PubSubSink::batch`].
pub const DEFAULT_BATCH: usize = 5_000;

/// Publishes messages to one topic.
///
/// | run | when a message is published | what comes twice |
/// |---|---|---|
/// | without snapshots, or [at once](Self::at_once) | in the write; the run goes on when the service has taken it | what was published behind the last snapshot, and what was acknowledged on a line that broke |
/// | with snapshots | when the snapshot of its epoch is safe | what was published by a commit that did not come to its end |
///
/// So each message is there at least once. With an [id attribute](Self::id_attribute) a message that comes twice has
/// the same id both times, and a reader that takes its ids from the attribute
/// ([`PubSubSource::id_attribute`](super::PubSubSource::id_attribute), or Beam's `id_label`) drops the second; not
/// [at once](Self::at_once) in a run with snapshots, where what is done again after a crash gets ids of its own.
///
/// - **Refused** is, with the reason, a message that breaks a limit ([`NewMessage::validate`]), and one that the
///   service will not have, because it does not match the topic's schema, say; the others are published. In a run with
///   snapshots the service sees a message at the commit, where it is too late for that: what it refuses then ends the
///   job. Publish [at once](Self::at_once) to a topic that has a schema.
/// - **Order.** The messages of an ordering key are published in the order in which one worker gets them: group by the
///   key ahead of the sink. What follows a message that could not be published is not, before that one is.
/// - **Batches.** A write holds [so many](Self::batch) messages at most, and what is there when a bundle ends; the
///   service's client divides it into requests by number and bytes
///   (`CloudPubSub::publish_requests`). There is no delay to set: a
///   write waits for its answer, and the next batch grows meanwhile.
/// - **Memory.** With snapshots the messages of an epoch wait in memory, and are part of the snapshot.
/// - **Errors.** What may pass is tried again, by the service's client within its deadline, or six times in a row; only
///   what was not published. Then the job ends, and a run with snapshots goes on there.
///
/// ```
/// # use std::sync::Arc;
/// # use pipeline_core::prelude::*;
/// use pipeline_gcp::pubsub::{LocalPubSub, NewMessage, PubSub, PubSubSink};
///
/// let service = Arc::new(LocalPubSub::new());
/// # pollster::block_on(async {
/// service.create_topic("alerts").await?;
/// # service.create_subscription("all", "alerts").await
/// # })?;
/// let pipeline = Pipeline::build(|p| {
///     p.create("Alerts", vec!["fire".to_string(), "flood".to_string()])
///         .map("Message", |text| NewMessage::new(text).ordering_key("house-1"))
///         .write("Publish", PubSubSink::new(service.clone(), "alerts").id_attribute("id"));
/// })?;
/// DirectRunner::new().run(&pipeline)?;
/// assert_eq!(service.counters("all")?.published, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct PubSubSink {
    service: Arc<dyn PubSub>,
    topic: Arc<str>,
    id_attribute: Option<Arc<str>>,
    at_once: bool,
    batch: usize,
}

impl PubSubSink {
    /// Publishes to `topic`, which must exist when the pipeline runs.
    pub fn new(service: Arc<dyn PubSub>, topic: impl Into<Arc<str>>) -> Self {
        PubSubSink {
            service,
            topic: topic.into(),
            id_attribute: None,
            at_once: false,
            batch: DEFAULT_BATCH,
        }
    }

    /// Gives each message an id in the attribute of that name, unless it has one. Default: none.
    #[must_use]
    pub fn id_attribute(mut self, name: impl Into<Arc<str>>) -> Self {
        self.id_attribute = Some(name.into());
        self
    }

    /// Publishes in the write in a run with snapshots, too: sooner, and what the service refuses is a dead letter; but
    /// after a crash everything behind the last snapshot is published again. Default: when the snapshot is safe.
    #[must_use]
    pub fn at_once(mut self) -> Self {
        self.at_once = true;
        self
    }

    /// Sets the most messages of a write. Default: 5,000.
    #[must_use]
    pub fn batch(mut self, messages: usize) -> Self {
        self.batch = messages.max(1);
        self
    }

    fn publishing(&self) -> Publishing {
        Publishing::new(&self.service, &self.topic)
    }

    fn writer(&self, worker: usize, in_epochs: bool) -> PubSubWriter {
        // What tells the ids of one life from those of another.
        let life = RandomState::new().hash_one(worker);
        let ids = self.id_attribute.clone().map(|name| (name, life));
        PubSubWriter::new(self.publishing(), ids, in_epochs)
    }
}

impl Sink for PubSubSink {
    type Item = NewMessage;
    type Writer = PubSubWriter;

    fn open(&self, worker: usize) -> Result<PubSubWriter> {
        Ok(self.writer(worker, false))
    }

    fn open_in_epochs(&self, worker: usize) -> Result<PubSubWriter> {
        Ok(self.writer(worker, !self.at_once))
    }

    fn promise(&self) -> Promise {
        match self.id_attribute.is_some() && !self.at_once {
            true => Promise::Idempotent,
            false => Promise::AtLeastOnce,
        }
    }

    async fn commit(&self, epoch: u64, prepared: Vec<Vec<u8>>) -> Result<()> {
        let mut writers = Vec::new();
        for bytes in &prepared {
            let messages: Vec<NewMessage> = match bytes.is_empty() {
                true => continue,
                false => decode(&mut bytes.as_slice()).map_err(Error::connector)?,
            };
            writers.push(async move {
                let mut publishing = self.publishing();
                publishing.all(&messages).await?;
                match publishing.refused().next() {
                    Some((_, error)) => Err(Error::connector(format!(
                        "{error} (in the commit of epoch {epoch}, where it cannot be a dead letter any more; with \
                         `at_once` it would be)"
                    ))),
                    None => Ok(()),
                }
            });
        }
        all(writers).await
    }

    fn max_batch(&self) -> usize {
        self.batch
    }
}
