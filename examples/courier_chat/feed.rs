//! The publisher beside the pipeline, and the topic between the two.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use pipeline_gcp::pubsub::{LocalPubSub, NewMessage, PubSub, PubSubError, PubSubErrorKind, Pulled};

use super::file_source::{OpenInput, lines};
use super::input::LineCounts;
use super::program::Message;
use super::publisher::publish_lines;

/// The topic that lines are published to.
const TOPIC: &str = "topic-conversations-3";
/// The subscription that the pipeline reads.
pub const SUBSCRIPTION: &str = "topic-conversations-3-sub";

/// The topic as the pipeline sees it: when publishing has failed, it ends with an error.
///
/// Otherwise the half that was published would pass for the whole, and results be written of it.
pub struct Feed {
    service: LocalPubSub,
    failed: AtomicBool,
}

impl Feed {
    /// Makes the topic and its subscription.
    ///
    /// # Errors
    /// The service refuses them.
    pub async fn create() -> Result<Arc<Self>, PubSubError> {
        let service = LocalPubSub::new();
        service.create_topic(TOPIC).await?;
        service.create_subscription(SUBSCRIPTION, TOPIC).await?;
        Ok(Arc::new(Feed {
            service,
            failed: AtomicBool::new(false),
        }))
    }

    async fn publish_all(
        &self,
        open: &OpenInput,
        interval: Duration,
        counts: Arc<Mutex<LineCounts>>,
    ) -> Result<(), Message> {
        let input = open().map_err(|error| format!("the input cannot be opened: {error}"))?;
        let lines = lines(input).telling(counts);
        let published = publish_lines(lines, &self.service, TOPIC, interval).await;
        published.map(|_| ()).map_err(|error| error.to_string())
    }
}

#[async_trait]
impl PubSub for Feed {
    async fn create_topic(&self, topic: &str) -> Result<(), PubSubError> {
        self.service.create_topic(topic).await
    }

    async fn create_subscription(
        &self,
        subscription: &str,
        topic: &str,
    ) -> Result<(), PubSubError> {
        self.service.create_subscription(subscription, topic).await
    }

    async fn publish(
        &self,
        topic: &str,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<String>, PubSubError> {
        self.service.publish(topic, messages).await
    }

    async fn pull(&self, subscription: &str, max_messages: usize) -> Result<Pulled, PubSubError> {
        let pulled = self.service.pull(subscription, max_messages).await?;
        if pulled == Pulled::Closed && self.failed.load(Ordering::SeqCst) {
            let topic = TOPIC.to_owned();
            return Err(PubSubErrorKind::TopicClosed { topic }.into());
        }
        Ok(pulled)
    }

    async fn acknowledge(&self, subscription: &str, ack_ids: &[String]) -> Result<(), PubSubError> {
        self.service.acknowledge(subscription, ack_ids).await
    }

    async fn modify_ack_deadline(
        &self,
        subscription: &str,
        ack_ids: &[String],
        deadline: Duration,
    ) -> Result<(), PubSubError> {
        let service = &self.service;
        service
            .modify_ack_deadline(subscription, ack_ids, deadline)
            .await
    }
}

/// Publishes the input on a thread of its own, since reading it may wait.
pub struct Publisher {
    thread: JoinHandle<Result<(), Message>>,
    ended: Arc<AtomicBool>,
}

impl Publisher {
    /// Begins to publish what `open` opens, and keeps in `counts` how many lines there were of each kind so far.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(
        feed: Arc<Feed>,
        open: OpenInput,
        interval: Duration,
        counts: Arc<Mutex<LineCounts>>,
    ) -> Result<Self, Message> {
        let ended = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&ended);
        let publish = move || {
            // A publisher that panics is one that failed: nobody may wait for the rest of its lines.
            let published = AssertUnwindSafe(|| published(&feed, &open, interval, counts));
            let published = catch_unwind(published);
            let outcome = published.unwrap_or_else(|_| Err("the publisher panicked".to_owned()));
            feed.failed.store(outcome.is_err(), Ordering::SeqCst);
            done.store(true, Ordering::SeqCst);
            let closed = feed.service.close(TOPIC);
            outcome.and(closed.map_err(|error| error.to_string()))
        };
        let thread = std::thread::Builder::new().name("publisher".into());
        let thread = thread.spawn(publish);
        let thread = thread.map_err(|error| format!("the publisher cannot start: {error}"))?;
        Ok(Publisher { thread, ended })
    }

    /// Returns what became of publishing; of a publisher that still waits for its input, nothing.
    ///
    /// # Errors
    /// Publishing failed.
    pub fn outcome(self) -> Result<(), Message> {
        if !self.ended.load(Ordering::SeqCst) {
            return Ok(());
        }
        let ended = self.thread.join();
        ended.unwrap_or_else(|_| Err("the publisher panicked".to_owned()))
    }
}

fn published(
    feed: &Feed,
    open: &OpenInput,
    interval: Duration,
    counts: Arc<Mutex<LineCounts>>,
) -> Result<(), Message> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| format!("the publisher cannot start: {error}"))?;
    runtime.block_on(feed.publish_all(open, interval, counts))
}
