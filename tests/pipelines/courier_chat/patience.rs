//! How long the parts of an order wait for one another, in a stream whose watermark passes.

use std::sync::{Arc, Mutex};

use pipeline_core::prelude::*;
use pipeline_core::testing::TestStream;
use pipeline_examples::courier_chat::event::{ChatMessage, OrderEvent};
use pipeline_examples::courier_chat::join::{CityEvent, Unmatched, join_city};
use pipeline_examples::courier_chat::record::Identified;
use pipeline_examples::courier_chat::{Conversation, EventTime};
use serde::{Deserialize, Serialize};

/// A part of the order of that number.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Part {
    Message(i64),
    City(i64),
}

use Part::{City, Message};

const HOUR: i64 = 3_600_000;

/// So many hours after a beginning.
fn hour(hours: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + hours * HOUR)
}

fn just_after(time: Timestamp) -> Timestamp {
    time.plus_millis(1)
}

fn conversation(order_id: i64) -> Conversation {
    let message = ChatMessage {
        sender_app_type: "Courier Android".to_owned(),
        courier_id: 1,
        from_id: 1,
        to_id: 2,
        chat_started_by_message: false,
        order_id,
        order_stage: "DELIVERED".to_owned(),
        customer_id: 2,
        message_sent_time: EventTime::from_micros(0).unwrap(),
    };
    let mut conversation = Conversation::default();
    conversation.add(&message, "a");
    conversation
}

fn city(order_id: i64) -> CityEvent {
    let value = OrderEvent {
        order_id,
        city_code: "IST".to_owned(),
    };
    let id = "b".to_owned();
    CityEvent {
        event: Identified { id, value },
        original: "{}".into(),
    }
}

/// A row: order, messages, version.
type Row = (i64, i64, i64);
/// What was told to have no partner, and the time of that.
type Lone = (String, Timestamp);

/// Joins what the stream brings; returns the rows, each order's by version, and what had no partner.
fn joined(stream: &TestStream<Part>) -> (Vec<Row>, Vec<Lone>) {
    let mut ways = Vec::new();
    for workers in [1, 3] {
        let rows = Arc::new(Mutex::new(Vec::new()));
        let lone = Arc::new(Mutex::new(Vec::new()));
        let (kept_rows, kept_lone) = (Arc::clone(&rows), Arc::clone(&lone));
        let stream = stream.clone();
        let pipeline = Pipeline::build(|p| {
            let parts = p.read("Stream", stream);
            let conversations = parts.filter_map("Messages", |part| match part {
                Message(order) => Some((order, conversation(order))),
                City(_) => None,
            });
            let cities = parts.filter_map("Cities", |part| match part {
                City(order) => Some(city(order)),
                Message(_) => None,
            });
            let joined = join_city("Join", &conversations, &cities);
            joined.complete.check("Rows", move |found| {
                let row = |row: &pipeline_examples::courier_chat::ConversationRow| {
                    (row.order_id, row.num_messages_courier, row.version)
                };
                *kept_rows.lock().unwrap() = found.iter().map(row).collect();
            });
            joined
                .dead_letters
                .check("Letters", |letters| assert_eq!(letters, []));
            joined.unmatched.check_timed("Lone", move |found| {
                let told = found.iter().map(|found| {
                    let text = match &found.value {
                        Unmatched::Messages { order_id, messages } => {
                            format!("{messages} of {order_id}")
                        }
                        Unmatched::City(city) => format!("city of {}", city.event.value.order_id),
                    };
                    (text, found.timestamp)
                });
                *kept_lone.lock().unwrap() = told.collect();
            });
        });
        let runner = DirectRunner::new().workers(workers).seed(7);
        runner.run(&pipeline.unwrap()).unwrap();
        let mut found = (
            std::mem::take(&mut *rows.lock().unwrap()),
            std::mem::take(&mut *lone.lock().unwrap()),
        );
        found.0.sort();
        found.1.sort();
        ways.push(found);
    }
    assert_eq!(ways[0], ways[1]);
    ways.remove(0)
}

fn lone(text: &str, at: Timestamp) -> Lone {
    (text.to_owned(), at)
}

const END: Timestamp = Timestamp::END_OF_GLOBAL_WINDOW;

#[test]
fn an_order_that_is_silent_for_24_hours_begins_anew() {
    let begun = TestStream::new()
        .element(Message(1), hour(0))
        .element(City(1), Timestamp::MIN);
    let further = |stream: TestStream<Part>| stream.element(Message(1), hour(48));

    // A watermark at a time has not passed it: the message joins those before it.
    let in_time = further(begun.clone().watermark(hour(24)));
    assert_eq!(joined(&in_time), (vec![(1, 1, 2), (1, 2, 3)], vec![]));
    let too_late = further(begun.watermark(just_after(hour(24))));
    let expected = (vec![(1, 1, 2)], vec![lone("1 of 1", hour(72))]);
    assert_eq!(joined(&too_late), expected);
}

#[test]
fn every_part_begins_the_24_hours_again() {
    let mut stream = TestStream::new()
        .element(Message(1), hour(0))
        .element(City(1), Timestamp::MIN);
    for n in 1..5 {
        stream = stream
            .element(Message(1), hour(20 * n))
            .watermark(hour(20 * n));
    }
    let rows = (1..=5).map(|n| (1, n, n + 1)).collect();
    assert_eq!(joined(&stream), (rows, vec![]));

    // An order event does too, though it has no time: it came when the watermark stood at 20 h.
    let stream = TestStream::new()
        .element(City(1), Timestamp::MIN)
        .element(Message(1), hour(0))
        .watermark(hour(20))
        .element(City(1), Timestamp::MIN)
        .watermark(hour(44))
        .element(Message(1), hour(44));
    let rows = vec![(1, 1, 2), (1, 1, 3), (1, 2, 4)];
    assert_eq!(joined(&stream), (rows, vec![]));
}

#[test]
fn what_has_no_partner_is_told_when_its_24_hours_are_over() {
    let stream = TestStream::new()
        .element(Message(1), hour(0))
        .element(Message(1), hour(1))
        .watermark(hour(10))
        .element(City(2), Timestamp::MIN)
        .watermark(hour(40))
        // Both partners come too late.
        .element(City(1), Timestamp::MIN)
        .element(Message(2), hour(40));
    let expected = vec![
        lone("1 of 2", hour(64)),
        lone("2 of 1", hour(25)),
        lone("city of 1", hour(64)),
        lone("city of 2", hour(34)),
    ];
    let (rows, found) = joined(&stream.watermark(hour(100)));
    assert_eq!((rows, found), (vec![], expected));
}

#[test]
fn a_late_message_waits_from_the_watermark() {
    let stream = TestStream::new()
        .element(Message(9), hour(0))
        .watermark(hour(50))
        .element(Message(1), hour(0))
        .watermark(hour(74))
        .element(City(1), Timestamp::MIN)
        .watermark(hour(80));
    let (rows, _) = joined(&stream);
    assert_eq!(rows, [(1, 1, 2)]);
}

#[test]
fn an_order_event_before_any_time_is_known_waits_for_ever() {
    let stream = TestStream::new()
        .element(City(1), Timestamp::MIN)
        .element(City(2), Timestamp::MIN)
        .watermark(hour(100_000))
        .element(Message(1), hour(100_000));
    let expected = (vec![(1, 1, 2)], vec![lone("city of 2", END)]);
    assert_eq!(joined(&stream), expected);
}
