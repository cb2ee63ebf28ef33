//! What tests of whole pipelines need: topics, what goes in, what has come out.

use std::time::Duration;

use pipeline_gcp::pubsub::{Message, NewMessage, PubSub, Pulled, SubscriptionOptions};

use super::services::{runtime, unique};

pub const QUIET: Duration = Duration::from_millis(1_200);

/// The topics of a test: what comes in, what goes out, and what is refused, each with a subscription.
pub struct Topics {
    pub input: String,
    pub output: String,
    pub refused: String,
}

pub fn sub(topic: &str) -> String {
    format!("{topic}-sub")
}

impl Topics {
    pub fn create(service: &dyn PubSub, options: &SubscriptionOptions) -> Topics {
        let topics = Topics {
            input: unique("in"),
            output: unique("out"),
            refused: unique("refused"),
        };
        runtime().block_on(async {
            for topic in [&topics.input, &topics.output, &topics.refused] {
                service.create_topic(topic).await.unwrap();
                let name = sub(topic);
                let created = service.create_subscription_with(&name, topic, options);
                created.await.unwrap();
            }
        });
        topics
    }
}

pub fn publish(service: &dyn PubSub, topic: &str, messages: Vec<NewMessage>) {
    let done = runtime().block_on(service.publish_each(topic, messages));
    assert!(done.iter().all(Result::is_ok), "{done:?}");
}

/// Takes everything that is in a subscription.
pub fn take(service: &dyn PubSub, subscription: &str) -> Vec<Message> {
    runtime().block_on(async {
        let mut all = Vec::new();
        loop {
            let pulled = service.pull(subscription, 1_000);
            let Ok(pulled) = tokio::time::timeout(QUIET, pulled).await else {
                break;
            };
            let Pulled::Messages(received) = pulled.unwrap() else {
                break;
            };
            let ids: Vec<String> = received.iter().map(|r| r.ack_id.clone()).collect();
            service.acknowledge(subscription, &ids).await.unwrap();
            all.extend(received.into_iter().map(|r| r.message));
        }
        service.end_pulling(subscription).await.unwrap();
        all
    })
}

/// Waits for the first message of a subscription.
pub fn first(service: &dyn PubSub, subscription: &str) -> Option<String> {
    runtime().block_on(async {
        let pulled = service.pull(subscription, 1);
        let pulled = tokio::time::timeout(Duration::from_secs(20), pulled).await;
        match pulled.ok()?.unwrap() {
            Pulled::Messages(received) => Some(text(&received[0].message)),
            Pulled::Closed => None,
        }
    })
}

pub fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.data()).into_owned()
}
