//! Holds the domain code to the expected table, next to an oracle that shares no code with it.

use std::collections::BTreeMap;
use std::io::BufReader;

use pipeline_examples::courier_chat::csv::write_rows;
use pipeline_examples::courier_chat::{
    ChatEvent, Conversation, Generator, Line, LineReader, parse,
};
use proptest::prelude::*;
use serde_json::Value;

const INPUT: &[u8] = include_bytes!("../../examples/courier_chat/data/conversations.json");
const EXPECTED: &str = include_str!("../data/expected_conversations.csv");

/// Recomputes the table from all lines at once: sort the messages of an order, look at the ends.
///
/// Ids are taken as (line number), times are compared and subtracted through `seconds`.
pub(crate) fn oracle(input: &str) -> String {
    let mut cities: BTreeMap<i64, String> = BTreeMap::new();
    let mut orders: BTreeMap<i64, Vec<(String, usize, Value)>> = BTreeMap::new();
    for (number, line) in input.lines().enumerate() {
        let record: Value = serde_json::from_str(line).unwrap();
        let order = record["orderId"].as_i64().unwrap();
        match record["cityCode"].as_str() {
            Some(city) => {
                cities.insert(order, city.to_owned());
            }
            None => {
                let time = record["messageSentTime"].as_str().unwrap().to_owned();
                orders
                    .entry(order)
                    .or_default()
                    .push((time, number, record));
            }
        }
    }
    let mut csv = "order_id,city_code,first_courier_message,first_customer_message,num_messages_courier,num_messages_customer,first_message_by,conversation_started_at,first_responsetime_delay_seconds,last_message_time,last_message_order_stage\n".to_owned();
    for (order, mut messages) in orders {
        // All times have the same form, so that text order is time order.
        messages.sort_by_key(|(time, number, _)| (time.clone(), *number));
        let of = |side: &str| -> Vec<&str> {
            let app = |record: &Value| record["senderAppType"].as_str().unwrap().to_owned();
            messages
                .iter()
                .filter(|(.., record)| app(record).starts_with(side))
                .map(|(time, ..)| &time[..])
                .collect()
        };
        let (courier, customer) = (of("Courier"), of("Customer"));
        let delay = match (courier.first(), customer.first()) {
            (Some(a), Some(b)) => (seconds(a) - seconds(b)).abs().to_string(),
            _ => String::new(),
        };
        let opening = messages
            .iter()
            .find(|(.., record)| record["chatStartedByMessage"] == true);
        let (.., opening) = opening.unwrap_or(&messages[0]);
        let app = opening["senderAppType"].as_str().unwrap();
        let (last_time, _, last) = &messages[messages.len() - 1];
        csv += &format!(
            "{order},{},{},{},{},{},{},{},{delay},{last_time},{}\n",
            cities[&order],
            courier.first().unwrap_or(&""),
            customer.first().unwrap_or(&""),
            courier.len(),
            customer.len(),
            app.split(' ').next().unwrap(),
            messages[0].0,
            last["orderStage"].as_str().unwrap(),
        );
    }
    csv
}

/// Counts the seconds since the start of 2024 of a time in its first months, by hand.
fn seconds(time: &str) -> i64 {
    let number = |at: std::ops::Range<usize>| time[at].parse::<i64>().unwrap();
    assert!(
        time.starts_with("2024-") && time.len() == 20 && time.ends_with('Z'),
        "{time}"
    );
    let days_before = [0, 31, 60, 91, 121, 152][number(5..7) as usize - 1];
    let days = days_before + number(8..10) - 1;
    ((days * 24 + number(11..13)) * 60 + number(14..16)) * 60 + number(17..19)
}

/// Computes the table with the domain code, each message a part of its own, merged in the order of `lines`.
fn by_domain(lines: &[(String, Vec<u8>)]) -> String {
    let mut cities = BTreeMap::new();
    let mut conversations: BTreeMap<i64, Conversation> = BTreeMap::new();
    for (id, bytes) in lines {
        match parse(bytes).unwrap() {
            ChatEvent::Order(order) => {
                cities.insert(order.order_id, order.city_code);
            }
            ChatEvent::Message(message) => {
                let mut part = Conversation::default();
                part.add(&message, id);
                conversations
                    .entry(message.order_id)
                    .or_default()
                    .merge(part);
            }
        }
    }
    let rows = conversations.iter().map(|(&order, conversation)| {
        let row = conversation.row(order, &cities[&order], 1).unwrap();
        assert_eq!(row.version, conversation.messages() + 1);
        row
    });
    let mut file = Vec::new();
    write_rows(&mut file, rows).unwrap();
    String::from_utf8(file).unwrap()
}

fn read(input: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut reader = LineReader::new(BufReader::with_capacity(1_000, input));
    let mut lines = Vec::new();
    while let Some(line) = reader.next_line().unwrap() {
        let Line::Record { id, bytes } = line else {
            panic!("{line:?}")
        };
        lines.push((id.to_string(), bytes.to_vec()));
    }
    lines
}

#[test]
fn the_oracle_gives_the_expected_file() {
    assert_eq!(oracle(std::str::from_utf8(INPUT).unwrap()), EXPECTED);
}

#[test]
fn the_domain_gives_the_expected_file() {
    let lines = read(INPUT);
    assert_eq!(lines.len(), 1_801);
    assert_eq!(by_domain(&lines), EXPECTED);
}

#[test]
fn generated_conversations_come_out_as_the_oracle_says() {
    for seed in 0..5 {
        let input: Vec<String> = Generator::new(seed, 300).collect();
        let input = input.join("\n");
        assert_eq!(
            by_domain(&read(input.as_bytes())),
            oracle(&input),
            "seed {seed}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_order_of_the_lines_does_not_matter(lines in Just(read(INPUT)).prop_shuffle()) {
        prop_assert_eq!(by_domain(&lines), EXPECTED);
    }
}
