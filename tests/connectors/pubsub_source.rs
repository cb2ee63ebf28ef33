//! A subscription read by several readers, with event times from attributes, to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::testing::TestPart;
use pipeline_gcp::pubsub::{
    Deliveries, LocalPubSub, Message, NewMessage, PubSub, PubSubSource, ReadPubSub,
    SubscriptionOptions,
};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

async fn topic(options: SubscriptionOptions) -> Arc<LocalPubSub> {
    let service = Arc::new(LocalPubSub::new());
    service.create_topic("topic").await.unwrap();
    let created = service.create_subscription_with("sub", "topic", &options);
    created.await.unwrap();
    service
}

fn source(service: &Arc<LocalPubSub>) -> PubSubSource {
    PubSubSource::new(Arc::clone(service) as Arc<dyn PubSub>, "sub")
}

/// Opens all readers.
fn open(source: &PubSubSource) -> Vec<TestPart<PubSubSource>> {
    let parts = source.split(1).unwrap().into_iter();
    parts
        .map(|part| TestPart::open(source, part, None).unwrap())
        .collect()
}

async fn publish(service: &LocalPubSub, messages: impl IntoIterator<Item = NewMessage>) {
    let messages = messages.into_iter().collect();
    service.publish("topic", messages).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn several_readers_keep_the_order_of_keys_and_know_each_others_ids() {
    let service = topic(SubscriptionOptions::default().ordered()).await;
    let source = source(&service).streams(3).id_attribute("id");
    let mut parts = open(&source);
    let message = |n: usize| {
        let key = ["a", "b", "c", "d", "e", ""][n % 6];
        let message = NewMessage::new(n.to_string()).ordering_key(key);
        message.attribute("id", (n % 500).to_string())
    };
    publish(&service, (0..1_000).map(message)).await;
    let mut seen: BTreeMap<String, Vec<(usize, usize)>> = BTreeMap::new();
    let mut out: Vec<Vec<Deliveries>> = vec![Vec::new(), Vec::new(), Vec::new()];
    let mut turn = 0;
    while service.counters("sub").unwrap().delivered < 1_000 || turn % 3 != 0 {
        let reader = turn % 3;
        turn += 1;
        let read = tokio::time::timeout(SECOND, parts[reader].read(7)).await;
        let Ok(read) = read else { continue };
        let read = read.unwrap();
        out[reader].extend(read.acks);
        for (message, _) in read.elements {
            let number = String::from_utf8_lossy(message.data()).parse().unwrap();
            let key = message.ordering_key().to_owned();
            seen.entry(key).or_default().push((reader, number));
        }
    }
    // What was dealt to a reader and not read yet.
    for (reader, part) in parts.iter_mut().enumerate() {
        while let Ok(read) = tokio::time::timeout(SECOND, part.read(100)).await {
            let read = read.unwrap();
            out[reader].extend(read.acks);
            for (message, _) in read.elements {
                let number = String::from_utf8_lossy(message.data()).parse().unwrap();
                let key = message.ordering_key().to_owned();
                seen.entry(key).or_default().push((reader, number));
            }
        }
    }
    let mut all: Vec<usize> = seen.values().flatten().map(|(_, number)| *number).collect();
    all.sort_unstable();
    let unique: std::collections::BTreeSet<usize> = all.iter().map(|n| n % 500).collect();
    assert_eq!((all.len(), unique.len()), (500, 500));
    let duplicates: u64 = parts.iter().map(|part| part.counter("duplicates")).sum();
    assert_eq!(duplicates, 500);
    for (key, numbers) in seen.iter().filter(|(key, _)| !key.is_empty()) {
        assert!(numbers.is_sorted_by_key(|(_, number)| *number), "{key}");
        let reader = numbers[0].0;
        assert!(numbers.iter().all(|(other, _)| *other == reader), "{key}");
    }
    let readers: std::collections::BTreeSet<usize> =
        seen.values().flatten().map(|(reader, _)| *reader).collect();
    assert_eq!(readers.len(), 3, "all of them read");
    for acks in out {
        source.acknowledge(acks).await.unwrap();
    }
    let counters = service.counters("sub").unwrap();
    assert_eq!((counters.acknowledged, counters.outstanding), (1_000, 0));
}

#[tokio::test(start_paused = true)]
async fn the_ids_of_a_reader_are_known_to_the_others_in_the_next_life() {
    let service = topic(SubscriptionOptions::default()).await;
    let source = source(&service).streams(2);
    let mut parts = open(&source);
    publish(&service, (0..10).map(|n| NewMessage::new(n.to_string()))).await;
    let first = parts[0].read(5).await.unwrap();
    let second = parts[1].read(5).await.unwrap();
    assert_eq!((first.elements.len(), second.elements.len()), (5, 5));
    let positions: Vec<_> = parts.iter_mut().map(|p| p.position().unwrap()).collect();
    // A crash: everything comes again, all of it to one reader.
    drop((parts, first.acks, second.acks));
    let splits = source.split(1).unwrap().into_iter();
    let mut parts: Vec<_> = splits
        .zip(positions)
        .map(|(split, position)| TestPart::open(&source, split, Some(position)).unwrap())
        .collect();
    let read = parts[1].read(100).await.unwrap();
    assert_eq!(read.elements.len(), 0);
    assert_eq!(parts[1].counter("duplicates"), 10);
    source.acknowledge(read.acks).await.unwrap();
    assert_eq!(service.counters("sub").unwrap().acknowledged, 10);
}

#[tokio::test(start_paused = true)]
async fn the_source_ends_when_nothing_comes_and_nothing_is_out() {
    let service = topic(SubscriptionOptions::default()).await;
    let source = source(&service).stop_when_idle(5 * SECOND);
    let mut part = open(&source).remove(0);
    let begin = Instant::now();
    sleep(3 * SECOND).await;
    publish(&service, [NewMessage::new("x")]).await;
    let read = part.read(10).await.unwrap();
    assert_eq!(read.status, ReadStatus::More);
    let acknowledge = async {
        sleep(20 * SECOND).await;
        source.acknowledge(read.acks).await.unwrap();
    };
    let (read, ()) = tokio::join!(part.read(10), acknowledge);
    assert_eq!(read.unwrap().status, ReadStatus::Ended);
    let elapsed = begin.elapsed();
    assert!(
        elapsed >= 23 * SECOND && elapsed < 24 * SECOND,
        "{elapsed:?}"
    );
}

/// Messages with and without a time; the reader and what it makes of them.
async fn timed(
    source: impl Fn(PubSubSource) -> PubSubSource,
) -> (TestPart<PubSubSource>, PubSubSource) {
    let service = topic(SubscriptionOptions::default()).await;
    let at = |text: &'static str| NewMessage::new(text).attribute("at", text);
    let messages = [
        at("1970-01-01T00:01:40.5Z"),
        at("90000"),
        NewMessage::new("none"),
        at("soon"),
    ];
    publish(&service, messages).await;
    let source = source(self::source(&service).max_disorder(SECOND));
    let part = open(&source).remove(0);
    (part, source)
}

#[tokio::test(start_paused = true)]
async fn a_plain_read_ends_with_an_error_that_names_the_message_without_a_time() {
    let (mut part, _) = timed(|source| source.timestamp_attribute("at")).await;
    let read = part.read(10).await.map(|read| read.elements);
    let error = read.unwrap_err().to_string();
    assert_eq!(
        error,
        "message 3 of \"sub\": the timestamp attribute \"at\" is missing (read with `read_pubsub` to keep such \
         messages as dead letters and go on)"
    );
}

#[test]
fn a_message_without_a_time_is_a_dead_letter_and_moves_no_watermark() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let service = runtime.block_on(topic(SubscriptionOptions::default()));
    let at = |data: &'static str, at: &str| NewMessage::new(data).attribute("at", at);
    runtime.block_on(async {
        publish(
            &service,
            [at("a", "100000"), at("b", "1970-01-01T00:01:30Z")],
        )
        .await;
        let far = at("far", "9999999999999999999").ordering_key("k");
        publish(&service, [NewMessage::new("none"), far]).await;
        publish(&service, [at("c", "101000")]).await;
    });
    let source = source(&service)
        .timestamp_attribute("at")
        .max_disorder(SECOND)
        .stop_when_idle(Duration::from_millis(300));
    let pipeline = Pipeline::build(|p| {
        let read = p.read_pubsub("Chat", source);
        read.ok
            .map("Data", |m: Message| {
                String::from_utf8_lossy(m.data()).into_owned()
            })
            .check("Good", |data| {
                let mut data = data.to_vec();
                data.sort();
                assert_eq!(data, ["a", "b", "c"]);
            });
        read.dead_letters.check("Bad", |records| {
            let mut records = records.to_vec();
            records.sort_by(|a, b| b.original.cmp(&a.original));
            let [none, far] = &records[..] else {
                panic!("{records:?}")
            };
            assert_eq!(none.original, "none");
            assert_eq!(none.reason(), "the timestamp attribute \"at\" is missing");
            assert_eq!(none.transform, "Chat/EventTime");
            // The watermark of the source.
            assert_eq!(none.event_time, Timestamp::from_millis(99_000));
            assert_eq!(far.original, "far");
            assert!(far.reason().contains("\"9999999999999999999\""), "{far:?}");
            let kept =
                r#"{"attributes":{"at":"9999999999999999999"},"messageId":"4","orderingKey":"k""#;
            assert!(far.errors[1].starts_with(kept), "{far:?}");
        });
    })
    .unwrap();
    let result = DirectRunner::new().workers(1).run(&pipeline).unwrap();
    let metrics = result.metrics();
    assert_eq!(metrics.get("Chat/EventTime", "dead_letters"), 2);
    let counters = service.counters("sub").unwrap();
    assert_eq!((counters.acknowledged, counters.outstanding), (5, 0));
}
