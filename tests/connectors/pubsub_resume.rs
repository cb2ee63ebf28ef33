//! A subscription read through lives: what was taken in is known again, and what is out stays out.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pipeline_core::Timestamp;
use pipeline_core::prelude::*;
use pipeline_core::source::{Position, Resume};
use pipeline_core::testing::TestPart;
use pipeline_gcp::pubsub::{
    Deliveries, LocalPubSub, NewMessage, PubSub, PubSubError, PubSubSource, Pulled,
};
use tokio::time::{advance, sleep};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

type Part = TestPart<PubSubSource>;

/// A topic with a subscription, `"sub"`.
async fn topic() -> Arc<LocalPubSub> {
    let service = Arc::new(LocalPubSub::new());
    service.create_topic("topic").await.unwrap();
    service.create_subscription("sub", "topic").await.unwrap();
    service
}

fn source(service: &Arc<LocalPubSub>) -> PubSubSource {
    PubSubSource::new(Arc::clone(service) as Arc<dyn PubSub>, "sub").id_attribute("id")
}

/// Publishes a message for each id; one without an id has no attribute.
async fn publish(service: &dyn PubSub, ids: &[&str]) {
    let message = |id: &&str| match *id {
        "" => NewMessage::new("text"),
        id => NewMessage::new("text").attribute("id", id),
    };
    let messages = ids.iter().map(message).collect();
    service.publish("topic", messages).await.unwrap();
}

/// Reads once; returns the ids of what was new, and what acknowledges all of it.
async fn read(part: &mut Part) -> (Vec<String>, Vec<Deliveries>) {
    let read = part.read(100).await.unwrap();
    let id = |(message, _): &(pipeline_gcp::pubsub::Message, Timestamp)| {
        message.attribute("id").unwrap_or_default().to_owned()
    };
    (read.elements.iter().map(id).collect(), read.acks)
}

fn open(source: &PubSubSource, position: Option<Position>) -> Part {
    let part = source.split(1).unwrap().remove(0);
    TestPart::open(source, part, position).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_in_before_the_snapshot_is_known_after_it() {
    let service = topic().await;
    let source = source(&service)
        .max_disorder(SECOND)
        .timestamp_with(|message| {
            let id = message.attribute("id")?;
            Some(Timestamp::from_millis(1_000 * id.parse::<i64>().ok()?))
        });
    assert_eq!(source.resume(), Resume::Redelivery);
    publish(&*service, &["5", "3", ""]).await;
    let mut part = open(&source, None);
    let (seen, acks) = read(&mut part).await;
    assert_eq!(seen, ["5", "3", ""]);
    let position = part.position().unwrap();
    // A crash before the acknowledgement, and an hour until somebody notices.
    drop((part, acks));
    advance(60 * MINUTE).await;
    publish(&*service, &["4", ""]).await;
    let mut part = open(&source, Some(position));
    assert_eq!(part.watermark(), Timestamp::from_millis(4_000));
    let mut seen = Vec::new();
    while service.counters("sub").unwrap().undelivered > 0 {
        let (new, acks) = read(&mut part).await;
        seen.extend(new);
        source.acknowledge(acks).await.unwrap();
    }
    assert_eq!(seen, ["4", ""]);
    assert_eq!(part.counter("duplicates"), 3);
    let counters = service.counters("sub").unwrap();
    assert_eq!((counters.acknowledged, counters.outstanding), (5, 0));
    assert_eq!(counters.redelivered, 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_out_is_not_delivered_again_while_somebody_holds_it() {
    let service = topic().await;
    let source = source(&service);
    publish(&*service, &["1", "2", "3"]).await;
    let mut part = open(&source, None);
    let (_, acks) = read(&mut part).await;
    publish(&*service, &["4"]).await;
    let (_, fourth) = read(&mut part).await;
    // Longer than the deadline by far; the reader may be gone, as at the end of a drained job.
    sleep(3 * MINUTE).await;
    drop(part);
    sleep(3 * MINUTE).await;
    let counters = || service.counters("sub").unwrap();
    assert_eq!((counters().outstanding, counters().undelivered), (4, 0));
    source.acknowledge(acks).await.unwrap();
    assert_eq!(counters().acknowledged, 3);
    assert_eq!(counters().late_acknowledgements, 0);
    // A run that is over acknowledges no more.
    drop(fourth);
    sleep(11 * SECOND).await;
    assert_eq!((counters().outstanding, counters().undelivered), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_id_is_forgotten_after_its_time_but_not_before_its_acknowledgement() {
    let service = topic().await;
    let source = source(&service).remember_ids(MINUTE);
    let mut part = open(&source, None);
    publish(&*service, &["1"]).await;
    let (_, acks) = read(&mut part).await;
    let again = async |part: &mut Part, expected: &[&str]| {
        publish(&*service, &["1"]).await;
        let (seen, acks) = read(part).await;
        source.acknowledge(acks).await.unwrap();
        assert_eq!(seen, expected);
    };
    sleep(2 * MINUTE).await;
    again(&mut part, &[]).await;
    // The time begins with the acknowledgement: one that is lost on its way shows after the service's deadline only.
    source.acknowledge(acks).await.unwrap();
    for forgotten in 1..=2 {
        sleep(MINUTE - SECOND).await;
        again(&mut part, &[]).await;
        sleep(2 * SECOND).await;
        again(&mut part, &["1"]).await;
        assert_eq!(part.counter("forgotten_ids"), forgotten);
    }
    assert_eq!(part.counter("duplicates"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_is_acknowledged_with_the_first_delivery_and_not_before() {
    let service = topic().await;
    let source = source(&service);
    let mut part = open(&source, None);
    publish(&*service, &["1"]).await;
    let (_, first) = read(&mut part).await;
    publish(&*service, &["1"]).await;
    let (seen, second) = read(&mut part).await;
    assert!(seen.is_empty());
    source.acknowledge(second).await.unwrap();
    let counters = || service.counters("sub").unwrap();
    assert_eq!((counters().acknowledged, counters().outstanding), (0, 2));
    source.acknowledge(first).await.unwrap();
    assert_eq!((counters().acknowledged, counters().outstanding), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_that_comes_too_late_is_counted() {
    let service = topic().await;
    let source = source(&service);
    publish(&*service, &["1", "2"]).await;
    // Nobody extends for this one.
    let Pulled::Messages(_) = service.pull("sub", 1).await.unwrap() else {
        panic!("nothing to pull")
    };
    let mut part = open(&source, None);
    let (_, acks) = read(&mut part).await;
    let zero = Duration::ZERO;
    for ack_id in 1..=2 {
        let ids = [format!("{ack_id}")];
        let given = service.modify_ack_deadline("sub", &ids, zero);
        given.await.unwrap();
    }
    source.acknowledge(acks).await.unwrap();
    assert_eq!(part.counter("not_acknowledged"), 1);
    let (seen, acks) = read(&mut part).await;
    assert_eq!(
        (seen, part.counter("duplicates")),
        (vec!["1".to_owned()], 1)
    );
    source.acknowledge(acks).await.unwrap();
    assert_eq!(service.counters("sub").unwrap().acknowledged, 2);
}

#[tokio::test(start_paused = true)]
async fn an_id_ages_while_the_job_runs_only() {
    let service = topic().await;
    let source = source(&service);
    let mut part = open(&source, None);
    publish(&*service, &["acknowledged"]).await;
    let (_, acks) = read(&mut part).await;
    source.acknowledge(acks).await.unwrap();
    publish(&*service, &["out"]).await;
    let (_, out) = read(&mut part).await;
    sleep(8 * MINUTE).await;
    let position = part.position().unwrap();
    drop((part, out));
    advance(60 * MINUTE).await;

    let mut part = open(&source, Some(position));
    let mut taken_for_new = async |expected: &[&str]| {
        publish(&*service, &["acknowledged", "out"]).await;
        let mut seen = Vec::new();
        while service.counters("sub").unwrap().undelivered > 0 {
            let (new, acks) = read(&mut part).await;
            seen.extend(new);
            source.acknowledge(acks).await.unwrap();
        }
        assert_eq!(seen, expected);
    };
    sleep(MINUTE).await;
    taken_for_new(&[]).await;
    sleep(2 * MINUTE).await;
    taken_for_new(&["acknowledged"]).await;
    sleep(6 * MINUTE).await;
    taken_for_new(&[]).await;
    sleep(2 * MINUTE).await;
    // The other one is eight minutes old again.
    taken_for_new(&["out"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_out_is_measured_as_the_service_measures_it() {
    let service = LocalPubSub::new().with_backlog(5_000);
    service.create_topic("topic").await.unwrap();
    service.create_subscription("sub", "topic").await.unwrap();
    let service = Arc::new(service);
    let source = source(&service);
    assert_eq!(source.most_unacknowledged(), Some(5_000));
    let mut part = open(&source, None);
    let (mut out, mut held) = (0, Vec::new());
    for number in 0..3 {
        publish(&*service, &[&number.to_string()]).await;
        let read = part.read(10).await.unwrap();
        out += read.ack_bytes;
        held.push(read.acks);
        assert_eq!(out, service.counters("sub").unwrap().backlog_bytes);
    }
}

/// A topic that is filled anew in each life.
struct Replayed(Arc<LocalPubSub>);

#[async_trait]
impl PubSub for Replayed {
    async fn create_topic(&self, topic: &str) -> Result<(), PubSubError> {
        self.0.create_topic(topic).await
    }
    async fn create_subscription(&self, name: &str, topic: &str) -> Result<(), PubSubError> {
        self.0.create_subscription(name, topic).await
    }
    async fn publish(
        &self,
        topic: &str,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<String>, PubSubError> {
        self.0.publish(topic, messages).await
    }
    async fn pull(&self, name: &str, most: usize) -> Result<Pulled, PubSubError> {
        self.0.pull(name, most).await
    }
    async fn acknowledge(&self, name: &str, ack_ids: &[String]) -> Result<(), PubSubError> {
        self.0.acknowledge(name, ack_ids).await
    }
    async fn modify_ack_deadline(
        &self,
        name: &str,
        ack_ids: &[String],
        deadline: Duration,
    ) -> Result<(), PubSubError> {
        self.0.modify_ack_deadline(name, ack_ids, deadline).await
    }
    fn replays(&self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn the_message_ids_of_a_topic_that_is_filled_anew_are_not_known_again() {
    let mut position = None;
    // In each life the messages have the same message ids; the attribute tells that one is another.
    for (ids, expected) in [
        (["a", ""], vec!["a", ""]),
        (["a", ""], vec![""]),
        (["b", ""], vec!["b", ""]),
    ] {
        let service: Arc<dyn PubSub> = Arc::new(Replayed(topic().await));
        let source = PubSubSource::new(Arc::clone(&service), "sub").id_attribute("id");
        assert_eq!(source.resume(), Resume::Position);
        publish(&*service, &ids).await;
        let mut part = open(&source, position.take());
        assert_eq!(read(&mut part).await.0, expected);
        position = Some(part.position().unwrap());
    }
}
