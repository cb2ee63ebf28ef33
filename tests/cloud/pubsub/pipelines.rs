//! Whole pipelines: from a subscription to a topic, over every service, with crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_gcp::pubsub::dead_letter::{WriteDeadLetters, from_message};
use pipeline_gcp::pubsub::{
    Message, NewMessage, PubSub, PubSubSink, PubSubSource, Pulled, ReadPubSub, SubscriptionOptions,
};
use tonic::Code;

use super::services::{Tested, all, runtime, unique};
use crate::faults::pubsub::{Action, Call, PubSubServer};
use crate::servers::PubSubEmulator;

const QUIET: Duration = Duration::from_millis(1_200);

/// The topics of a test: what comes in, what goes out, and what is refused, each with a subscription.
struct Topics {
    input: String,
    output: String,
    refused: String,
}

fn sub(topic: &str) -> String {
    format!("{topic}-sub")
}

impl Topics {
    fn create(service: &dyn PubSub, options: &SubscriptionOptions) -> Topics {
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

fn publish(service: &dyn PubSub, topic: &str, messages: Vec<NewMessage>) {
    let done = runtime().block_on(service.publish_each(topic, messages));
    assert!(done.iter().all(Result::is_ok), "{done:?}");
}

/// Takes everything that is in a subscription.
fn take(service: &dyn PubSub, subscription: &str) -> Vec<Message> {
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
fn first(service: &dyn PubSub, subscription: &str) -> Option<String> {
    runtime().block_on(async {
        let pulled = service.pull(subscription, 1);
        let pulled = tokio::time::timeout(Duration::from_secs(20), pulled).await;
        match pulled.ok()?.unwrap() {
            Pulled::Messages(received) => Some(text(&received[0].message)),
            Pulled::Closed => None,
        }
    })
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.data()).into_owned()
}

/// From the input to the output; fails when so many messages have gone through.
fn pipeline(
    service: &Arc<dyn PubSub>,
    topics: &Topics,
    streams: usize,
    fails_at: usize,
    quiet: Duration,
) -> pipeline_core::BuiltPipeline {
    let left = AtomicUsize::new(fails_at);
    let source = PubSubSource::new(Arc::clone(service), sub(&topics.input))
        .streams(streams)
        .id_attribute("id")
        .stop_when_idle(quiet);
    let sink = PubSubSink::new(Arc::clone(service), topics.output.as_str()).id_attribute("out_id");
    Pipeline::build(|p| {
        let read = p.read("Read", source).map("Copy", move |message: Message| {
            let before = left.fetch_sub(1, Ordering::SeqCst);
            assert!(before != 1, "boom");
            NewMessage::new(message.data().clone())
        });
        read.write("Publish", sink);
    })
    .unwrap()
}

fn numbered(numbers: std::ops::Range<usize>) -> Vec<NewMessage> {
    let message = |n: usize| NewMessage::new(n.to_string()).attribute("id", n.to_string());
    numbers.map(message).collect()
}

/// Returns the numbers that have not come out.
fn missing(output: &[Message], numbers: usize) -> impl Iterator<Item = usize> {
    let out: BTreeSet<String> = output.iter().map(text).collect();
    (0..numbers).filter(move |n| !out.contains(&n.to_string()))
}

/// Says that each number has come out with one id, however often.
fn check_effects(name: &str, output: &[Message], numbers: usize) {
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for message in output {
        let id = message.attribute("out_id").unwrap().to_owned();
        ids.entry(text(message)).or_default().insert(id);
    }
    let missing: Vec<usize> = missing(output, numbers).collect();
    assert_eq!(missing, [0; 0], "{name}: lost");
    let twice = ids.iter().filter(|(_, ids)| ids.len() != 1);
    let twice: Vec<_> = twice.collect();
    assert!(twice.is_empty(), "{name}: {twice:?}");
    let distinct: BTreeSet<&String> = ids.values().flatten().collect();
    assert_eq!(distinct.len(), numbers, "{name}: an id is of one message");
}

/// Runs from a folder of snapshots until it ends well; returns how often it ran.
fn run_through_crashes(
    service: &Arc<dyn PubSub>,
    topics: &Topics,
    fails_at: &[usize],
    quiet: Duration,
) {
    let folder = tempfile::tempdir().unwrap();
    super::services::silence();
    for fails_at in fails_at.iter().copied().chain([0]) {
        let snapshots = Snapshots::open(folder.path()).unwrap();
        let snapshots = snapshots.interval(Duration::from_millis(20));
        let runner = DirectRunner::new().workers(2).snapshots(&snapshots);
        let ended = runner.run(&pipeline(service, topics, 2, fails_at, quiet));
        match fails_at {
            0 => drop(ended.unwrap()),
            _ => assert!(ended.unwrap_err().to_string().contains("boom")),
        }
    }
}

// #30973, #20053: duplicates.
#[test]
fn each_message_has_its_effect_once_through_crashes() {
    for tested in all().into_iter().filter(|tested| tested.gives_back) {
        let Tested { name, service, .. } = &tested;
        let topics = Topics::create(&**service, &SubscriptionOptions::default());
        publish(&**service, &topics.input, numbered(0..300));
        // The publisher repeats itself.
        publish(&**service, &topics.input, numbered(100..120));
        run_through_crashes(service, &topics, &[50, 170, 1], QUIET);
        let mut output = take(&**service, &sub(&topics.output));
        // The fake brings a few to a stream that is ending: they come again when their lease has passed.
        let until = std::time::Instant::now() + Duration::from_secs(40);
        while missing(&output, 300).next().is_some() && std::time::Instant::now() < until {
            eprintln!(
                "{name}: waits for {:?}",
                missing(&output, 300).collect::<Vec<_>>()
            );
            let again = pipeline(service, &topics, 2, 0, Duration::from_secs(4));
            DirectRunner::new().workers(2).run(&again).unwrap();
            output.extend(take(&**service, &sub(&topics.output)));
        }
        check_effects(name, &output, 300);
        // What was published and not acknowledged when a run crashed may still wait for its lease in the fake.
        let left = take(&**service, &sub(&topics.input));
        assert!(left.is_empty() || *name == "pstest", "{name}: {left:?}");
    }
}

#[test]
fn each_message_has_its_effect_once_though_calls_fail() {
    let server = PubSubServer::start();
    let service: Arc<dyn PubSub> = Arc::new(server.client().lease(Duration::from_secs(10)));
    let topics = Topics::create(&*service, &SubscriptionOptions::default().exactly_once());
    publish(&*service, &topics.input, numbered(0..300));
    server.always(Call::StreamingPull, Action::CutAfter(60, Code::Unavailable));
    server.on(Call::Publish, [1, 4], Action::LoseAnswer);
    server.on(Call::Publish, [2, 3, 6], Action::Fail(Code::Unavailable));
    let lost = Action::FailAcks("PERMANENT_FAILURE_INVALID_ACK_ID");
    server.on(Call::Acknowledge, [1, 3], lost);
    server.on(Call::Acknowledge, [2], Action::Fail(Code::Unavailable));
    // Longer than the lease: what was not acknowledged comes again, and is known.
    run_through_crashes(&service, &topics, &[120], Duration::from_secs(14));
    server.heal();
    check_effects("scripted", &take(&*service, &sub(&topics.output)), 300);
    let input = format!("projects/p/subscriptions/{}", sub(&topics.input));
    let counters = server.local().counters(&input).unwrap();
    assert_eq!(
        (counters.outstanding, counters.undelivered),
        (0, 0),
        "{counters:?}"
    );
}

#[test]
fn what_comes_twice_in_a_stream_is_dropped_and_counted() {
    let server = PubSubServer::start();
    let service: Arc<dyn PubSub> = Arc::new(server.client());
    let topics = Topics::create(&*service, &SubscriptionOptions::default());
    server.always(Call::StreamingPull, Action::Twice);
    publish(&*service, &topics.input, numbered(0..50));
    let result = DirectRunner::new()
        .workers(2)
        .run(&pipeline(&service, &topics, 2, 0, QUIET))
        .unwrap();
    assert_eq!(result.metrics().get("Read", "duplicates"), 50);
    server.heal();
    assert_eq!(take(&*service, &sub(&topics.output)).len(), 50);
}

// #18939, #20306: id and timestamp attributes ignored in local runs. The same test on all services.
#[test]
fn identity_and_time_are_honoured_everywhere() {
    for tested in all() {
        let Tested { name, service, .. } = &tested;
        let topics = Topics::create(&**service, &SubscriptionOptions::default());
        let message = |id: &str, at: &str| {
            let message = NewMessage::new(id.to_owned()).attribute("id", id);
            message.attribute("at", at)
        };
        let messages = vec![
            message("a", "1000"),
            message("b", "1970-01-01T00:00:01.5Z"),
            message("c", "61000"),
            message("b", "61000"),
            message("bad", "noon"),
            NewMessage::new("none")
                .attribute("id", "none")
                .attribute("colour", "red"),
        ];
        publish(&**service, &topics.input, messages);
        let source = PubSubSource::new(Arc::clone(service), sub(&topics.input))
            .timestamp_attribute("at")
            .id_attribute("id")
            .stop_when_idle(QUIET);
        let output = PubSubSink::new(Arc::clone(service), topics.output.as_str());
        let pipeline = Pipeline::build(|p| {
            let read = p.read_pubsub("Chat", source);
            read.ok
                .map("Text", |m: Message| text(&m))
                .window_into("Minutes", FixedWindows::of(Duration::from_secs(60)))
                .count_globally("Count")
                .map("Message", |count| NewMessage::new(count.to_string()))
                .write("Counts", output);
            read.dead_letters.write_to_topic(
                "Refused",
                Arc::clone(service),
                topics.refused.as_str(),
            );
        })
        .unwrap();
        let result = DirectRunner::new().workers(2).run(&pipeline).unwrap();
        assert_eq!(result.metrics().get("Chat/Read", "duplicates"), 1, "{name}");
        let output = take(&**service, &sub(&topics.output));
        let mut counts: Vec<String> = output.iter().map(text).collect();
        counts.sort();
        assert_eq!(counts, ["1", "2"], "{name}");
        let refused = take(&**service, &sub(&topics.refused));
        let mut records: Vec<BadRecord> =
            refused.iter().map(|m| from_message(m).unwrap()).collect();
        records.sort_by(|a, b| a.original.cmp(&b.original));
        let [bad, none] = &records[..] else {
            panic!("{name}: {records:?}")
        };
        assert_eq!(
            (&bad.original[..], &none.original[..]),
            (&b"bad"[..], &b"none"[..])
        );
        assert_eq!(
            none.reason(),
            "the timestamp attribute \"at\" is missing",
            "{name}"
        );
        assert!(
            none.errors[1].contains(r#""colour":"red""#),
            "{name}: {none:?}"
        );
        assert_eq!(none.transform, "Chat/EventTime");
    }
}

// #19518, #31085: the watermark stalls on an idle subscription.
#[test]
fn a_window_ends_though_nothing_comes_any_more() {
    for tested in all() {
        let Tested { name, service, .. } = &tested;
        let topics = Topics::create(&**service, &SubscriptionOptions::default());
        let at = |millis: &str| NewMessage::new("x").attribute("at", millis);
        publish(
            &**service,
            &topics.input,
            vec![at("100"), at("200"), at("900")],
        );
        // Three readers, of which two may never have anything.
        let source = PubSubSource::new(Arc::clone(service), sub(&topics.input))
            .timestamp_attribute("at")
            .max_disorder(Duration::from_secs(1))
            .idle_after(Duration::from_millis(300))
            .streams(3);
        let output = PubSubSink::new(Arc::clone(service), topics.output.as_str());
        let pipeline = Pipeline::build(|p| {
            p.read("Read", source)
                .map("Text", |m: Message| text(&m))
                .window_into("Seconds", FixedWindows::of(Duration::from_secs(1)))
                .count_globally("Count")
                .map("Message", |count| NewMessage::new(count.to_string()))
                .write("Counts", output);
        })
        .unwrap();
        let runner = DirectRunner::new().workers(2);
        let stop = runner.stop_handle();
        let running = std::thread::spawn(move || runner.run(&pipeline).map(|_| ()));
        let seen = first(&**service, &sub(&topics.output));
        stop.stop();
        running.join().unwrap().unwrap();
        assert_eq!(seen.as_deref(), Some("3"), "{name}");
    }
}

#[test]
fn a_run_that_fails_gives_back_what_it_had() {
    super::services::silence();
    for tested in all().into_iter().filter(|tested| tested.gives_back) {
        let Tested { name, service, .. } = &tested;
        let topics = Topics::create(&**service, &SubscriptionOptions::default());
        publish(&**service, &topics.input, numbered(0..100));
        let runner = DirectRunner::new().workers(2).max_bundle(10_000);
        let ended = runner.run(&pipeline(service, &topics, 1, 5, QUIET));
        assert!(ended.is_err(), "{name}");
        // Long before the lease has passed.
        let mut back = BTreeSet::new();
        let begin = std::time::Instant::now();
        while back.len() < 95 && begin.elapsed() < Duration::from_secs(20) {
            back.extend(take(&**service, &sub(&topics.input)).iter().map(text));
        }
        let out: BTreeSet<String> = take(&**service, &sub(&topics.output))
            .iter()
            .map(text)
            .collect();
        let missing = (0..100).map(|n| n.to_string());
        let missing: Vec<String> = missing
            .filter(|n| !back.contains(n) && !out.contains(n))
            .collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");
        assert!(back.len() > 50, "{name}: {}", back.len());
    }
}

#[test]
fn a_subscription_is_created_on_request() {
    for tested in all() {
        let Tested { name, service, .. } = &tested;
        let (topic, output) = (unique("in"), unique("out"));
        runtime().block_on(async {
            service.create_topic(&topic).await.unwrap();
            service.create_topic(&output).await.unwrap();
            service
                .create_subscription(&sub(&output), &output)
                .await
                .unwrap();
        });
        let source = PubSubSource::new(Arc::clone(service), sub(&topic))
            .create_subscription_to(&topic, SubscriptionOptions::default().ordered())
            .stop_when_idle(4 * QUIET);
        let sink = PubSubSink::new(Arc::clone(service), output.as_str());
        let pipeline = Pipeline::build(|p| {
            p.read("Read", source)
                .map("Copy", |m: Message| NewMessage::new(m.data().clone()))
                .write("Publish", sink);
        })
        .unwrap();
        let running =
            std::thread::spawn(move || DirectRunner::new().workers(1).run(&pipeline).map(|_| ()));
        // Nothing is delivered that was published before the subscription was there.
        for number in 0..8 {
            std::thread::sleep(Duration::from_millis(500));
            publish(&**service, &topic, numbered(number..number + 1));
        }
        running.join().unwrap().unwrap();
        let seen = take(&**service, &sub(&output))
            .iter()
            .map(text)
            .collect::<Vec<_>>();
        assert!(seen.contains(&"7".to_owned()), "{name}: {seen:?}");
    }
}

#[test]
fn a_program_says_that_its_subscription_is_gone_with_the_emulator() {
    let Some(mut emulator) = PubSubEmulator::start() else {
        return;
    };
    let service = super::services::client(&emulator.address()).deadline(Duration::from_secs(20));
    let service: Arc<dyn PubSub> = Arc::new(service);
    let topics = Topics::create(&*service, &SubscriptionOptions::default());
    publish(&*service, &topics.input, numbered(0..20));
    let source = PubSubSource::new(Arc::clone(&service), sub(&topics.input));
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let pipeline = Pipeline::build(|p| {
        p.read("Read", source)
            .map("Count", move |_: Message| {
                counted.fetch_add(1, Ordering::SeqCst)
            })
            .filter("None", |_| false)
            .check("Nothing", |none| assert!(none.is_empty()));
    })
    .unwrap();
    let running =
        std::thread::spawn(move || DirectRunner::new().workers(1).run(&pipeline).map(|_| ()));
    let begin = std::time::Instant::now();
    while taken.load(Ordering::SeqCst) < 20 {
        assert!(begin.elapsed() < Duration::from_secs(30), "it reads");
        std::thread::sleep(Duration::from_millis(20));
    }
    emulator.restart();
    let begin = std::time::Instant::now();
    let error = running.join().unwrap().unwrap_err().to_string();
    assert!(
        begin.elapsed() < Duration::from_secs(40),
        "{:?}",
        begin.elapsed()
    );
    let subscription = format!("projects/p/subscriptions/{}", sub(&topics.input));
    let expected = format!(
        "read failed in transform 'Read': subscription {subscription:?} is gone: somebody deleted it, or an emulator"
    );
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn what_a_sink_refuses_is_a_dead_letter_and_the_others_are_published() {
    let server = PubSubServer::start();
    let service: Arc<dyn PubSub> = Arc::new(server.client());
    let topics = Topics::create(&*service, &SubscriptionOptions::default());
    let messages = (0..200).map(|n| {
        let data = match n {
            7 => "!schema".to_owned(),
            n => n.to_string(),
        };
        let message = NewMessage::new(data).attribute("n", n.to_string());
        match n {
            150 => message.attribute("long", "x".repeat(2_000)),
            151 => message.attribute("googclient", "x"),
            _ => message,
        }
    });
    let messages: Vec<NewMessage> = messages.collect();
    let sink = PubSubSink::new(Arc::clone(&service), topics.output.as_str());
    let pipeline = Pipeline::build(|p| {
        let written = p.create("Messages", messages).write("Publish", sink);
        written
            .refused
            .write_to_topic("Refused", Arc::clone(&service), topics.refused.as_str());
    })
    .unwrap();
    let result = DirectRunner::new().workers(2).run(&pipeline).unwrap();
    assert_eq!(result.metrics().get("Publish", "dead_letters"), 3);
    assert_eq!(take(&*service, &sub(&topics.output)).len(), 197);
    let refused = take(&*service, &sub(&topics.refused));
    let mut records: Vec<BadRecord> = refused.iter().map(|m| from_message(m).unwrap()).collect();
    records.sort_by(|a, b| a.original.cmp(&b.original));
    let reasons: Vec<&str> = records.iter().map(BadRecord::reason).collect();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert_eq!(records[0].original, "!schema");
    assert!(
        reasons[0].contains("does not match the schema"),
        "{reasons:?}"
    );
    let long = "its attribute \"long\" has 2000 bytes";
    assert!(reasons[1].contains(long), "{reasons:?}");
    let reserved = "\"googclient\" begins with \"goog\"";
    assert!(reasons[2].contains(reserved), "{reasons:?}");
    assert!(records[2].errors[1].contains(r#""n":"151""#), "{records:?}");
}
