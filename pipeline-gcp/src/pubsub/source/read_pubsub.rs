//! `read_pubsub`: a subscription at the root of a pipeline, and the messages that have no event time.

use pipeline_core::prelude::*;

use super::PubSubSource;
use crate::pubsub::message::Message;

/// Reads subscriptions in a pipeline.
pub trait ReadPubSub {
    /// Reads a subscription; a message that has no event time is a dead letter.
    ///
    /// That is one whose [timestamp attribute](PubSubSource::timestamp_attribute) is missing or no time, or to which
    /// [`timestamp_with`](PubSubSource::timestamp_with) gives none. The dead letter has the message's data as its
    /// original; its errors say what is wrong, and, as JSON, the attributes, ids and the publish time. It has the
    /// watermark for its event time, and moves no watermark. It is acknowledged like any other message.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use std::time::Duration;
    /// # use pipeline_core::prelude::*;
    /// use pipeline_gcp::pubsub::{LocalPubSub, NewMessage, PubSub, PubSubSource, ReadPubSub};
    ///
    /// # let service = Arc::new(LocalPubSub::new());
    /// # pollster::block_on(async {
    /// # service.create_topic("chat").await?;
    /// # service.create_subscription("chat-sub", "chat").await?;
    /// let messages = vec![
    ///     NewMessage::new("good").attribute("at", "2024-02-01T10:00:00Z"),
    ///     NewMessage::new("bad").attribute("at", "yesterday"),
    /// ];
    /// service.publish("chat", messages).await
    /// # })?;
    /// let pipeline = Pipeline::build(|p| {
    ///     let source = PubSubSource::new(service, "chat-sub")
    ///         .timestamp_attribute("at")
    ///         .stop_when_idle(Duration::from_millis(100));
    ///     let chat = p.read_pubsub("Chat", source);
    ///     chat.ok.check("Good", |messages| assert_eq!(messages[0].data(), "good"));
    ///     chat.dead_letters.check("Bad", |records| assert_eq!(records[0].original, "bad"));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn read_pubsub(&self, name: &str, source: PubSubSource) -> Outcome<Message>;
}

impl ReadPubSub for Pipeline {
    fn read_pubsub(&self, name: &str, mut source: PubSubSource) -> Outcome<Message> {
        source.checked = true;
        let event_time = source.event_time.clone();
        self.scope(name, || {
            let messages = self.read("Read", source);
            messages.try_map("EventTime", move |message: &Message| {
                match event_time.of(message) {
                    Ok(_) => Ok(message.clone()),
                    Err(error) => Err(Failure::from(*error).with_original(message.data().clone())),
                }
            })
        })
    }
}
