//! The publisher beside the pipeline.

use std::sync::Arc;
use std::time::Duration;

use pipeline_examples::courier_chat::feed::{Feed, Publisher, SUBSCRIPTION};
use pipeline_examples::courier_chat::file_source::OpenInput;
use pipeline_gcp::pubsub::PubSub;

#[tokio::test]
async fn a_publisher_that_panics_ends_the_topic_with_an_error() {
    let feed = Feed::create().await.unwrap();
    let open: OpenInput = Arc::new(|| panic!("on purpose"));
    let publisher = Publisher::start(Arc::clone(&feed), open, Duration::ZERO, Arc::default());
    let publisher = publisher.unwrap();
    let pulled = tokio::time::timeout(Duration::from_secs(10), feed.pull(SUBSCRIPTION, 10));
    let pulled = pulled.await.expect("the topic stays open");
    pulled.expect_err("half an input passes for the whole");
    let outcome = publisher.outcome().unwrap_err();
    assert!(outcome.contains("the publisher panicked"), "{outcome}");
}
