//! From a subscription to a topic, through crashes and failing calls: each message has its effect once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_gcp::pubsub::{
    Message, NewMessage, PubSub, PubSubSink, PubSubSource, SubscriptionOptions,
};
use tonic::Code;

use super::kit::{QUIET, Topics, publish, sub, take, text};
use super::services::{Tested, all};
use crate::faults::pubsub::{Action, Call, PubSubServer};

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

pub fn numbered(numbers: std::ops::Range<usize>) -> Vec<NewMessage> {
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
        // Nearly all of it long before the lease of 10 or 60 s has passed; the fake brings a few to a stream that ends.
        let begin = std::time::Instant::now();
        let mut seen: BTreeSet<String> = take(&**service, &sub(&topics.output))
            .iter()
            .map(text)
            .collect();
        let mut soon = 0;
        while seen.len() < 100 && begin.elapsed() < Duration::from_secs(40) {
            let back = take(&**service, &sub(&topics.input));
            seen.extend(back.iter().map(text));
            if begin.elapsed() < Duration::from_secs(8) {
                soon = seen.len();
            }
        }
        assert_eq!(seen.len(), 100, "{name}");
        assert!(soon > 80, "{name}: {soon}");
    }
}
