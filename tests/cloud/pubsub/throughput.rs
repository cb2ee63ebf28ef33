//! How fast source and sink are, beside a loop by hand over the same protocol, in the same run.
//!
//! The loop is as bare as it can be: one stream, no leases, requests that nobody waits for before the end. The server is the one of
//! ours, in this process, and costs both sides the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use googleapis_tonic_google_pubsub_v1::google::pubsub::v1 as proto;
use pipeline_core::prelude::*;
use pipeline_gcp::pubsub::{
    Message, NewMessage, PubSub, PubSubSink, PubSubSource, SubscriptionOptions,
};
use proto::publisher_client::PublisherClient;
use proto::subscriber_client::SubscriberClient;
use tonic::transport::Endpoint;

use super::services::runtime;
use crate::faults::pubsub::PubSubServer;

const MESSAGES: usize = 30_000;
const REQUEST: usize = 1_000;
const DATA: [u8; 200] = [7; 200];

/// The least part of the loop's speed that is well. The figures that were seen are in the report of the work; on a
/// machine that does other things at the same time, a test needs room.
const LEAST: f64 = 0.4;

fn start() -> (PubSubServer, Arc<dyn PubSub>) {
    let server = PubSubServer::start();
    let service: Arc<dyn PubSub> = Arc::new(server.client());
    runtime().block_on(async {
        service.create_topic("topic").await.unwrap();
        let options = SubscriptionOptions::default();
        for name in ["by-hand", "ours"] {
            let created = service.create_subscription_with(name, "topic", &options);
            created.await.unwrap();
        }
    });
    (server, service)
}

/// Returns messages a second.
fn speed(elapsed: Duration) -> f64 {
    MESSAGES as f64 / elapsed.as_secs_f64()
}

fn publish_by_hand(server: &PubSubServer) -> Duration {
    runtime().block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://{}", server.address())).unwrap();
        let client = PublisherClient::new(endpoint.connect().await.unwrap());
        let mut sending = tokio::task::JoinSet::new();
        let begin = Instant::now();
        for _ in 0..MESSAGES / REQUEST {
            let message = proto::PubsubMessage {
                data: DATA.to_vec(),
                ..Default::default()
            };
            let request = proto::PublishRequest {
                topic: "projects/p/topics/topic".to_owned(),
                messages: vec![message; REQUEST],
            };
            let mut client = client.clone();
            sending.spawn(async move { client.publish(request).await.unwrap() });
        }
        sending.join_all().await;
        begin.elapsed()
    })
}

/// Hands everything to Google's client at once.
fn publish_with_client(service: &Arc<dyn PubSub>) -> Duration {
    let messages = vec![NewMessage::new(DATA.to_vec()); MESSAGES];
    let begin = Instant::now();
    let done = runtime().block_on(service.publish_each("topic", messages));
    assert!(done.iter().all(Result::is_ok));
    begin.elapsed()
}

fn publish_with_sink(service: &Arc<dyn PubSub>) -> Duration {
    let sink = PubSubSink::new(Arc::clone(service), "topic");
    let pipeline = Pipeline::build(|p| {
        let messages = vec![NewMessage::new(DATA.to_vec()); MESSAGES];
        p.create("Messages", messages).write("Publish", sink);
    })
    .unwrap();
    let begin = Instant::now();
    DirectRunner::new().workers(1).run(&pipeline).unwrap();
    begin.elapsed()
}

fn read_by_hand(server: &PubSubServer) -> Duration {
    runtime().block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://{}", server.address())).unwrap();
        let mut client = SubscriberClient::new(endpoint.connect().await.unwrap());
        let mut sending = tokio::task::JoinSet::new();
        let begin = Instant::now();
        let first = proto::StreamingPullRequest {
            subscription: "projects/p/subscriptions/by-hand".to_owned(),
            stream_ack_deadline_seconds: 60,
            ..Default::default()
        };
        let requests = futures::StreamExt::chain(
            futures::stream::once(async { first }),
            futures::stream::pending(),
        );
        let mut stream = client.streaming_pull(requests).await.unwrap().into_inner();
        let mut read = 0;
        while read < MESSAGES {
            let received = stream.message().await.unwrap().unwrap().received_messages;
            read += received.len();
            let request = proto::AcknowledgeRequest {
                subscription: "projects/p/subscriptions/by-hand".to_owned(),
                ack_ids: received.into_iter().map(|r| r.ack_id).collect(),
            };
            let mut client = client.clone();
            sending.spawn(async move { client.acknowledge(request).await.unwrap() });
        }
        sending.join_all().await;
        begin.elapsed()
    })
}

fn read_with_source(service: &Arc<dyn PubSub>) -> Duration {
    let source = PubSubSource::new(Arc::clone(service), "ours");
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let pipeline = Pipeline::build(|p| {
        p.read("Read", source)
            .map("Count", move |_: Message| {
                counted.fetch_add(1, Ordering::Relaxed);
            })
            .filter("None", |()| false)
            .check("Nothing", |none| assert!(none.is_empty()));
    })
    .unwrap();
    let runner = DirectRunner::new().workers(1);
    let stop = runner.stop_handle();
    let begin = Instant::now();
    let running = std::thread::spawn(move || runner.run(&pipeline).map(|_| ()));
    while seen.load(Ordering::Relaxed) < MESSAGES && begin.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let elapsed = begin.elapsed();
    stop.stop();
    running.join().unwrap().unwrap();
    assert_eq!(seen.load(Ordering::Relaxed), MESSAGES);
    elapsed
}

#[test]
fn source_and_sink_are_not_much_slower_than_a_loop_by_hand() {
    let (server, service) = start();
    let hand = speed(publish_by_hand(&server));
    let read_hand = speed(read_by_hand(&server));
    let read_ours = speed(read_with_source(&service));
    let (_server, service) = start();
    let client = speed(publish_with_client(&service));
    let (_server, service) = start();
    let ours = speed(publish_with_sink(&service));
    println!(
        "publish: {hand:.0}/s by bare requests, {client:.0}/s by Google's client, {ours:.0}/s by \
         the sink: {:.2} of the client",
        ours / client
    );
    println!(
        "read: {read_hand:.0}/s by hand, {read_ours:.0}/s by the source: {:.2}",
        read_ours / read_hand
    );
    assert!(ours / client > LEAST && read_ours / read_hand > LEAST);
}
