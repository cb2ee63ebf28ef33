//! The view of courier_chat, from the very text that the embedded warehouse runs, on the emulator.

use std::sync::Arc;

use pipeline_core::prelude::*;
use pipeline_examples::courier_chat::tables::{
    CONVERSATIONS, ORDERS, VIEW, VIEW_SQL, conversations_schema, orders_schema,
};
use pipeline_gcp::bigquery::{BigQuery, Row, TableSchema, TableSink};
use serde_json::Value as Json;

use super::emulator;
use super::table_place::Place;

/// Writes records through a sink, in a run without snapshots.
fn write(place: &Place, table: &str, schema: TableSchema, records: &[Json]) {
    let columns = schema.clone();
    let row = move |text: &String| {
        let record: Json = serde_json::from_str(text).expect("JSON");
        Row::from_serialize(&record, &columns).expect("a row")
    };
    let service = Arc::clone(&place.service);
    let sink = TableSink::<String>::append(service, table, schema, row);
    let mut writer = sink.open(0).expect("a writer");
    let records: Vec<String> = records.iter().map(Json::to_string).collect();
    let batch = WriteBatch::new(&records, 0);
    let refused = place.run(writer.write(&batch)).expect("written");
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn the_view_is_created_from_the_same_text_and_gives_the_expected_file() {
    let Some(emulator) = emulator::shared() else {
        return;
    };
    emulator.make_dataset("chat");
    let service = Arc::new(emulator.client().dataset("chat"));
    let place = Place::new(Arc::clone(&service) as Arc<dyn BigQuery>, true, "");
    let (mut messages, mut orders) = (Vec::new(), Vec::new());
    let data = include_str!("../../../examples/courier_chat/data/conversations.json");
    for (line, text) in data.lines().enumerate() {
        let mut record: Json = serde_json::from_str(text).expect("JSON");
        record["message_id"] = format!("{:012}", line + 1).into();
        let is_order = record.get("cityCode").is_some();
        let schema = if is_order {
            orders_schema()
        } else {
            conversations_schema()
        };
        let object = record.as_object_mut().expect("an object");
        object.retain(|name, _| schema.position(name).is_some());
        if is_order { &mut orders } else { &mut messages }.push(record);
    }
    assert_eq!((messages.len(), orders.len()), (1401, 400));
    write(&place, CONVERSATIONS, conversations_schema(), &messages);
    write(&place, ORDERS, orders_schema(), &orders);
    place.run(service.create_view(VIEW_SQL)).expect("the view");
    let sql = format!("SELECT * FROM {VIEW} ORDER BY order_id");
    let result = place.run(service.query(&sql)).expect("its rows");
    let mut text = String::new();
    let names: Vec<&str> = result
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    text.push_str(&names.join(","));
    for row in &result.rows {
        let values: Vec<String> = row.iter().map(ToString::to_string).collect();
        text.push('\n');
        text.push_str(&values.join(","));
    }
    let expected = include_str!("../../data/expected_conversations.csv");
    for (line, (got, expected)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(got, expected, "line {}", line + 1);
    }
    assert_eq!(text.lines().count(), expected.lines().count());
}
