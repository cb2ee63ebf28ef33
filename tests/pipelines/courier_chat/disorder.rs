//! Records out of order, late, and too late.

use std::collections::HashSet;

use pipeline_core::prelude::*;
use pipeline_core::{DROPPED_LATE, Event, EventLog};
use pipeline_examples::courier_chat::pipeline::Settings;
use pipeline_examples::courier_chat::{ChatEvent, parse};
use pipeline_gcp::pubsub::LocalPubSub;

use super::harness::{EXPECTED, SAMPLE, batch, streaming};
use crate::expected_conversations::oracle;

/// A small generator of numbers, so that orders can be drawn again from their seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // Knuth's MMIX generator; the high bits are good enough to shuffle by.
        let (a, c) = (6_364_136_223_846_793_005, 1_442_695_040_888_963_407);
        self.0 = self.0.wrapping_mul(a).wrapping_add(c);
        (self.0 >> 33) % bound
    }
}

/// Orders the lines of the sample by keys that are drawn for them.
fn ordered(mut key: impl FnMut(usize) -> i64) -> String {
    let mut lines: Vec<_> = SAMPLE.lines().enumerate().collect();
    lines.sort_by_cached_key(|(number, _)| key(*number));
    let lines: Vec<&str> = lines.into_iter().map(|(_, line)| line).collect();
    lines.join("\n")
}

fn shuffled(seed: u64) -> String {
    let mut random = Random(seed);
    ordered(|_| random.below(1 << 30) as i64)
}

/// The event time of each line in ms; an order event has that of the line before.
fn times() -> Vec<i64> {
    let mut latest = 0;
    let lines = SAMPLE.lines().map(|line| {
        if let ChatEvent::Message(message) = parse(line.as_bytes()).unwrap() {
            latest = message.message_sent_time.millis();
        }
        latest
    });
    lines.collect()
}

#[test]
fn batch_takes_any_order() {
    for seed in 0..5 {
        let runner = DirectRunner::new().workers(1 + seed as usize % 3);
        let ran = batch(&shuffled(seed), &runner, &Settings::default());
        assert_eq!(ran.csv(), EXPECTED);
    }
}

#[test]
fn disorder_within_the_declared_bound_loses_nothing_even_without_lateness() {
    let times = times();
    let settings = Settings {
        allowed_lateness: std::time::Duration::ZERO,
        ..Settings::default()
    };
    for seed in 0..5 {
        let mut random = Random(seed);
        let input = ordered(|number| times[number] + random.below(60_000) as i64);
        let runner = DirectRunner::new().workers(1 + seed as usize % 3);
        let ran = streaming(&input, LocalPubSub::new(), &runner, &settings);
        assert_eq!(ran.csv(), EXPECTED);
        assert_eq!(ran.result.metrics().total(DROPPED_LATE), 0);
        let (view, table) = ran.view_and_table();
        assert_eq!(view, table);
    }
}

#[test]
fn any_order_within_the_allowed_lateness_gives_the_same_rows_in_the_end() {
    for seed in 0..5 {
        let runner = DirectRunner::new()
            .workers(1 + seed as usize % 3)
            .max_bundle(64);
        let input = shuffled(seed);
        let ran = streaming(&input, LocalPubSub::new(), &runner, &Settings::default());
        assert_eq!(ran.csv(), EXPECTED);
        let (view, table) = ran.view_and_table();
        assert_eq!(view, table);
    }
}

#[test]
fn without_lateness_exactly_the_late_messages_are_missing() {
    for seed in 0..5 {
        let input = shuffled(100 + seed);
        let settings = Settings {
            allowed_lateness: std::time::Duration::ZERO,
            ..Settings::default()
        };
        let log = EventLog::default();
        let runner = DirectRunner::new().workers(1).seed(seed).max_bundle(64);
        let runner = runner.event_log(&log);
        let ran = streaming(&input, LocalPubSub::new(), &runner, &settings);

        // The rule, applied to the watermark that the grouping stage had: a message is late when
        // the watermark is past the last instant of its own session window.
        let mut late = HashSet::new();
        let mut grouped = 0;
        for event in log.take() {
            if let Event::Grouped {
                transform,
                key,
                window,
                elements,
                watermark,
                ..
            } = event
                && &*transform == "Summarise/Merge"
            {
                grouped += elements;
                let start = window.start().millis();
                let last_instant = start + 30 * 60_000 - 1;
                if watermark.millis() > last_instant {
                    late.insert((key.parse::<i64>().unwrap(), start));
                }
            }
        }
        assert_eq!(grouped, 1_401);
        assert!(!late.is_empty() && late.len() < 1_401);
        let in_time = |line: &&str| match parse(line.as_bytes()).unwrap() {
            ChatEvent::Message(m) => !late.contains(&(m.order_id, m.message_sent_time.millis())),
            ChatEvent::Order(_) => true,
        };
        let kept: Vec<&str> = input.lines().filter(in_time).collect();
        let missing = input.lines().count() - kept.len();
        assert_eq!(ran.csv(), oracle(&kept.join("\n")));
        assert_eq!(ran.result.metrics().total(DROPPED_LATE), missing as u64);
    }
}

/// A message of order 7.
fn message(by: &str, started: bool, time: &str) -> String {
    let (from, to) = if by == "Courier" { (1, 2) } else { (2, 1) };
    format!(
        r#"{{"senderAppType": "{by} Android", "courierId": 1, "fromId": {from}, "toId": {to}, "chatStartedByMessage": {started}, "orderId": 7, "orderStage": "AT {time}", "customerId": 2, "messageSentTime": "2024-02-01T{time}Z"}}"#
    )
}

#[test]
fn a_pause_a_late_message_and_a_second_visit_are_one_row() {
    let lines = [
        message("Customer", true, "10:00:00"),
        r#"{"orderId": 7, "cityCode": "ULM"}"#.to_owned(),
        message("Courier", false, "10:00:20"),
        // A pause of 31 minutes: the first visit is over.
        message("Customer", false, "10:31:20"),
        // Late, and before the first one.
        message("Courier", false, "09:59:30"),
        message("Courier", false, "12:00:00"),
    ];
    let input = lines.join("\n");
    let expected = oracle(&input);
    assert!(expected.contains("\n7,ULM,2024-02-01T09:59:30Z,2024-02-01T10:00:00Z,3,2,Customer,"));
    for workers in [1, 3] {
        let runner = DirectRunner::new().workers(workers).max_bundle(1);
        let ran = streaming(&input, LocalPubSub::new(), &runner, &Settings::default());
        assert_eq!(ran.csv(), expected);
        let (view, table) = ran.view_and_table();
        assert_eq!(view, table);
        assert!(ran.letters.is_empty());
    }
}
