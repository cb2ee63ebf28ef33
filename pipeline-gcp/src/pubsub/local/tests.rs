//! Tests the service with tokio's clock paused: time moves only when everybody waits.

mod backlog;
mod delivery;
mod seeded;

use super::*;
use crate::pubsub::ReceivedMessage;

/// Creates topic `t` with subscription `s`.
async fn with_topic(service: LocalPubSub) -> Arc<LocalPubSub> {
    service.create_topic("t").await.unwrap();
    service.create_subscription("s", "t").await.unwrap();
    Arc::new(service)
}

async fn publish(service: &LocalPubSub, texts: &[&'static str]) {
    let messages = texts.iter().map(|text| NewMessage::new(*text)).collect();
    service.publish("t", messages).await.unwrap();
}

async fn pull_from(service: &LocalPubSub, subscription: &str, most: usize) -> Vec<ReceivedMessage> {
    match service.pull(subscription, most).await.unwrap() {
        Pulled::Messages(received) => received,
        Pulled::Closed => panic!("closed"),
    }
}

async fn pull(service: &LocalPubSub, most: usize) -> Vec<ReceivedMessage> {
    pull_from(service, "s", most).await
}

fn texts(received: &[ReceivedMessage]) -> Vec<&str> {
    received
        .iter()
        .map(|received| std::str::from_utf8(received.message.data()).unwrap())
        .collect()
}

fn ack_ids(received: &[ReceivedMessage]) -> Vec<String> {
    received
        .iter()
        .map(|received| received.ack_id.clone())
        .collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
