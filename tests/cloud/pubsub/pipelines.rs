//! Whole pipelines, over every service.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_gcp::pubsub::dead_letter::{WriteDeadLetters, from_message};
use pipeline_gcp::pubsub::{
    Message, NewMessage, PubSub, PubSubSink, PubSubSource, ReadPubSub, SubscriptionOptions,
};

use super::crashes::numbered;
use super::kit::{QUIET, Topics, first, publish, sub, take, text};
use super::services::{Tested, all, runtime, unique};
use crate::faults::pubsub::PubSubServer;
use crate::servers::PubSubEmulator;

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
