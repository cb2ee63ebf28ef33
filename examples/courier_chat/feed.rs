//! The publisher beside the pipeline, and the topic between the two.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use pipeline_gcp::pubsub::{
    Counters, LocalPubSub, Message as Published, NewMessage, PubSub, PubSubError, PubSubErrorKind,
    Pulled,
};

use super::file_source::{Lines, OpenInput, lines};
use super::input::LineCounts;
use super::position::Position;
use super::program::Message;
use super::publisher::{ID_ATTRIBUTE, publish_and_tell};

/// The topic that lines are published to.
const TOPIC: &str = "topic-conversations-3";
/// The subscription that the pipeline reads.
pub const SUBSCRIPTION: &str = "topic-conversations-3-sub";

/// The topic as the pipeline sees it: when publishing has failed, it ends with an error.
///
/// Otherwise the half that was published would pass for the whole, and results be written of it.
///
/// It follows each line to where it is taken in. The topic is gone with the process, so that is what a snapshot holds
/// of it: a later run publishes again what lies behind.
pub struct Feed {
    service: LocalPubSub,
    failed: AtomicBool,
    position: Arc<Position>,
}

impl Feed {
    /// Makes the topic and its subscription.
    ///
    /// # Errors
    /// The service refuses them.
    pub async fn create(position: Arc<Position>) -> Result<Arc<Self>, PubSubError> {
        let service = LocalPubSub::new();
        service.create_topic(TOPIC).await?;
        service.create_subscription(SUBSCRIPTION, TOPIC).await?;
        Ok(Arc::new(Feed {
            service,
            failed: AtomicBool::new(false),
            position,
        }))
    }

    /// Says that nothing is published any more.
    ///
    /// # Errors
    /// There is no topic: a defect of this program.
    pub fn close(&self) -> Result<(), Message> {
        self.service.close(TOPIC).map_err(|error| error.to_string())
    }

    /// Counts what the subscription has done.
    ///
    /// # Errors
    /// There is no subscription: a defect of this program.
    pub fn counters(&self) -> Result<Counters, Message> {
        let counters = self.service.counters(SUBSCRIPTION);
        counters.map_err(|error| error.to_string())
    }

    async fn publish_all(&self, lines: Lines, interval: Duration) -> Result<(), Message> {
        let tell = |id, counts| self.position.hand_out(id, counts);
        let published = publish_and_tell(lines, &self.service, TOPIC, interval, tell).await;
        self.position
            .end(published.map_err(|error| error.to_string())?);
        Ok(())
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
        if let Pulled::Messages(received) = &pulled {
            let ids = received.iter().filter_map(|received| {
                let id = received.message.attribute(ID_ATTRIBUTE)?;
                id.parse().ok()
            });
            // Nothing is waited for between here and the pipeline: what is pulled is taken in.
            self.position.take_in(ids);
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

    fn ack_deadline(&self, subscription: &str) -> Duration {
        self.service.ack_deadline(subscription)
    }

    fn most_unacknowledged(&self, subscription: &str) -> Option<u64> {
        self.service.most_unacknowledged(subscription)
    }

    fn unacknowledged_size(&self, message: &Published) -> u64 {
        self.service.unacknowledged_size(message)
    }

    fn replays(&self) -> bool {
        true
    }
}

/// The input of a publisher.
pub enum Input {
    /// From its beginning, with where to keep how many lines there were of each kind so far.
    Whole(OpenInput, Arc<Mutex<LineCounts>>),
    /// Behind what a run before had taken in.
    Rest(Lines),
}

impl Input {
    fn lines(self) -> Result<Lines, Message> {
        match self {
            Input::Whole(open, counts) => {
                let input = open();
                let input =
                    input.map_err(|error| format!("the input cannot be opened: {error}"))?;
                Ok(lines(input).telling(counts))
            }
            Input::Rest(lines) => Ok(lines),
        }
    }
}

/// Publishes the input on a thread of its own, since reading it may wait.
pub struct Publisher {
    thread: JoinHandle<Result<(), Message>>,
    ended: Arc<AtomicBool>,
}

impl Publisher {
    /// Begins to publish an input.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(feed: Arc<Feed>, input: Input, interval: Duration) -> Result<Self, Message> {
        let ended = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&ended);
        let publish = move || {
            // A publisher that panics is one that failed: nobody may wait for the rest of its lines.
            let published = AssertUnwindSafe(|| published(&feed, input, interval));
            let published = catch_unwind(published);
            let outcome = published.unwrap_or_else(|_| Err("the publisher panicked".to_owned()));
            feed.failed.store(outcome.is_err(), Ordering::SeqCst);
            done.store(true, Ordering::SeqCst);
            outcome.and(feed.close())
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

fn published(feed: &Feed, input: Input, interval: Duration) -> Result<(), Message> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| format!("the publisher cannot start: {error}"))?;
    // To open a pipe may take as long as to read it.
    runtime.block_on(feed.publish_all(input.lines()?, interval))
}
