//! Checks the rules of the sample on generated streams, reading them back as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;

use super::*;
use crate::courier_chat::{ChatEvent, ChatMessage, Sender, parse};

const SAMPLE: &str = include_str!("../data/conversations.json");

/// Gives the keys in order with the kind of their values; lines that are spaced otherwise come apart otherwise.
fn shape(line: &str) -> String {
    let fields = line
        .strip_prefix("{\"")
        .unwrap()
        .strip_suffix('}')
        .unwrap()
        .split(", \"");
    let kinds = fields.map(|field| {
        let (key, value) = field.split_once("\": ").unwrap();
        let kind = match value.as_bytes()[0] {
            b'"' => "text",
            b't' | b'f' => "flag",
            _ => "number",
        };
        format!("{key} {kind}\n")
    });
    kinds.collect()
}

#[test]
fn has_the_shapes_and_words_of_the_sample() {
    let generated: Vec<String> = Generator::new(1, 2_000).collect();
    let shapes = |lines: &mut dyn Iterator<Item = &str>| lines.map(shape).collect::<BTreeSet<_>>();
    assert_eq!(
        shapes(&mut generated.iter().map(|line| &line[..])),
        shapes(&mut SAMPLE.lines())
    );
    let words = |lines: &mut dyn Iterator<Item = &str>| -> BTreeSet<String> {
        let events = lines.map(|line| parse(line.as_bytes()).unwrap());
        events
            .flat_map(|event| match event {
                ChatEvent::Order(order) => vec![order.city_code],
                ChatEvent::Message(message) => vec![message.order_stage, message.sender_app_type],
            })
            .collect()
    };
    assert_eq!(
        words(&mut generated.iter().map(|line| &line[..])),
        words(&mut SAMPLE.lines())
    );
}

#[test]
fn keeps_the_rules_of_a_conversation() {
    for seed in 0..20 {
        let mut orders: BTreeMap<i64, Vec<ChatMessage>> = BTreeMap::new();
        let mut order_events = BTreeSet::new();
        let (mut starts, mut last_time, mut waiting) = (Vec::new(), i64::MIN, None);
        for line in Generator::new(seed, 500) {
            match parse(line.as_bytes()).unwrap() {
                ChatEvent::Order(order) => {
                    assert_eq!(
                        waiting.take(),
                        Some(order.order_id),
                        "follows the first message"
                    );
                    assert!(order_events.insert(order.order_id));
                }
                ChatEvent::Message(message) => {
                    assert_eq!(waiting, None);
                    let time = message.message_sent_time.micros();
                    assert!(time > last_time, "in time order, no ties");
                    last_time = time;
                    let conversation = orders.entry(message.order_id).or_default();
                    if conversation.is_empty() {
                        waiting = Some(message.order_id);
                        starts.push(time);
                    }
                    conversation.push(message);
                }
            }
        }
        assert_eq!((orders.len(), order_events.len()), (500, 500));
        let minute = 1_000_000..=60_000_000;
        assert!(
            starts
                .windows(2)
                .all(|pair| minute.contains(&(pair[1] - pair[0])))
        );
        assert!(minute.contains(&(starts[0] - 1_706_781_600_000_000)));
        for (order, messages) in orders {
            assert!((10_000_000..100_000_000).contains(&order));
            assert!((2..=5).contains(&messages.len()));
            for (place, message) in messages.iter().enumerate() {
                assert_eq!(message.chat_started_by_message, place == 0);
                assert_eq!(
                    (message.courier_id, message.customer_id),
                    (messages[0].courier_id, messages[0].customer_id)
                );
                assert_ne!(message.courier_id, message.customer_id);
                let way = (message.from_id, message.to_id);
                match message.sender() {
                    Sender::Courier => assert_eq!(way, (message.courier_id, message.customer_id)),
                    Sender::Customer => assert_eq!(way, (message.customer_id, message.courier_id)),
                    Sender::Unknown => panic!("{message:?}"),
                }
            }
            for pair in messages.windows(2) {
                assert!(minute.contains(
                    &(pair[1].message_sent_time.micros() - pair[0].message_sent_time.micros())
                ));
                assert_ne!(pair[0].sender(), pair[1].sender());
            }
        }
    }
}

#[test]
fn streams_with_few_open_messages() {
    let mut generator = Generator::new(3, 20_000);
    let mut most = 0;
    while generator.next().is_some() {
        most = most.max(generator.open.len());
    }
    assert!(most <= 60, "{most}");
}

#[test]
fn another_seed_gives_other_bytes_and_no_conversation_none() {
    let lines = |seed| Generator::new(seed, 50).collect::<Vec<_>>();
    assert_eq!(lines(1), lines(1));
    assert_ne!(lines(1), lines(2));
    assert_eq!(Generator::new(1, 0).count(), 0);
    assert_eq!(
        Generator::new(1, 1)
            .filter(|line| line.contains("cityCode"))
            .count(),
        1
    );
}

/// Fails when the bytes of a seed change, as they do not between versions.
#[test]
fn the_bytes_of_a_seed_stay() {
    let mut hash = twox_hash::XxHash64::with_seed(0);
    for line in Generator::new(42, 1_000) {
        hash.write(line.as_bytes());
        hash.write(b"\n");
    }
    assert_eq!(format!("{:016x}", hash.finish()), "fc32d10a263d11ab");
}
