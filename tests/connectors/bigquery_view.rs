//! The SQL view of courier_chat over the real data, byte for byte; and its rules on small data.

use pipeline_gcp::bigquery::{
    BigQuery, Column, ColumnType, LocalWarehouse, Row, TableSchema, Value, timestamp,
};
use pollster::block_on;
use serde_json::Value as Json;

const VIEW: &str =
    include_str!("../../examples/courier_chat/customer_courier_conversations_view.sql");

fn conversations() -> TableSchema {
    TableSchema::new([
        Column::nullable("senderAppType", ColumnType::String),
        Column::nullable("courierId", ColumnType::Int64),
        Column::nullable("fromId", ColumnType::Int64),
        Column::nullable("toId", ColumnType::Int64),
        Column::nullable("chatStartedByMessage", ColumnType::Bool),
        Column::required("orderId", ColumnType::Int64),
        Column::nullable("orderStage", ColumnType::String),
        Column::nullable("customerId", ColumnType::Int64),
        Column::required("messageSentTime", ColumnType::Timestamp),
        Column::required("message_id", ColumnType::String),
    ])
}

fn orders() -> TableSchema {
    TableSchema::new([
        Column::required("orderId", ColumnType::Int64),
        Column::required("cityCode", ColumnType::String),
        Column::required("message_id", ColumnType::String),
    ])
}

fn warehouse(dir: &std::path::Path) -> LocalWarehouse {
    let warehouse = LocalWarehouse::open(dir).unwrap();
    block_on(warehouse.create_table_if_needed("conversations", &conversations())).unwrap();
    block_on(warehouse.create_table_if_needed("orders", &orders())).unwrap();
    block_on(warehouse.create_view(VIEW)).unwrap();
    warehouse
}

fn csv(warehouse: &LocalWarehouse) -> String {
    let sql = "SELECT * FROM customer_courier_conversations_view ORDER BY order_id";
    let result = block_on(warehouse.query(sql)).unwrap();
    let mut text = result
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect::<Vec<_>>()
        .join(",");
    text.push('\n');
    for row in &result.rows {
        text.push_str(
            &row.iter()
                .map(Value::to_string)
                .collect::<Vec<_>>()
                .join(","),
        );
        text.push('\n');
    }
    text
}

#[test]
fn the_view_over_the_real_data_is_the_expected_file() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = warehouse(dir.path());
    let (mut messages, mut events) = (Vec::new(), Vec::new());
    for (line, text) in include_str!("../../examples/courier_chat/data/conversations.json")
        .lines()
        .enumerate()
    {
        let record: Json = serde_json::from_str(text).unwrap();
        let id = format!("{:012}", line + 1);
        let integer = |name: &str| Value::from(record[name].as_i64());
        let string = |name: &str| Value::from(record[name].as_str().map(str::to_owned));
        if record.get("cityCode").is_some() {
            events.push(
                Row::new(vec![
                    integer("orderId"),
                    string("cityCode"),
                    id.as_str().into(),
                ])
                .with_id(id),
            );
            continue;
        }
        let at = timestamp::parse(record["messageSentTime"].as_str().unwrap()).unwrap();
        let values = vec![
            string("senderAppType"),
            integer("courierId"),
            integer("fromId"),
            integer("toId"),
            record["chatStartedByMessage"].as_bool().into(),
            integer("orderId"),
            string("orderStage"),
            integer("customerId"),
            Value::Timestamp(at),
            id.as_str().into(),
        ];
        messages.push(Row::new(values).with_id(id));
    }
    assert_eq!((messages.len(), events.len()), (1401, 400));
    block_on(warehouse.append_rows("conversations", messages)).unwrap();
    block_on(warehouse.append_rows("orders", events)).unwrap();
    let expected = include_str!("../data/expected_conversations.csv");
    let got = csv(&warehouse);
    for (line, (got, expected)) in got.lines().zip(expected.lines()).enumerate() {
        assert_eq!(got, expected, "line {}", line + 1);
    }
    assert_eq!(got, expected);
}

/// A message `(id, order, sender, started, "HH:MM:SS[.f]", stage)` of 2024-02-01.
type Message = (
    &'static str,
    i64,
    &'static str,
    bool,
    &'static str,
    &'static str,
);

fn small(messages: &[Message], cities: &[(&str, i64, &str)]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = warehouse(dir.path());
    let message = |&(id, order, sender, started, time, stage): &Message| {
        let at = timestamp::parse(&format!("2024-02-01T{time}Z")).unwrap();
        let (none, order) = (Value::Null, Value::from(order));
        let values = [
            sender.into(),
            none.clone(),
            none.clone(),
            none.clone(),
            started.into(),
            order,
        ];
        let values =
            values
                .into_iter()
                .chain([stage.into(), none, Value::Timestamp(at), id.into()]);
        Row::new(values.collect())
    };
    let city = |&(id, order, city): &(&str, i64, &str)| {
        Row::new(vec![order.into(), city.into(), id.into()])
    };
    block_on(warehouse.append_rows("conversations", messages.iter().map(message).collect()))
        .unwrap();
    block_on(warehouse.append_rows("orders", cities.iter().map(city).collect())).unwrap();
    let text = csv(&warehouse);
    text.split_once('\n').unwrap().1.to_owned()
}

#[test]
fn a_message_or_an_order_stored_twice_counts_once() {
    let message: Message = ("1", 7, "Courier iOS", true, "10:00:00", "A");
    let text = small(&[message, message], &[("2", 7, "IST"), ("2", 7, "IST")]);
    assert_eq!(
        text,
        "7,IST,2024-02-01T10:00:00Z,,1,0,Courier,2024-02-01T10:00:00Z,,2024-02-01T10:00:00Z,A\n"
    );
}

#[test]
fn an_order_without_a_city_or_without_a_message_is_not_there() {
    assert_eq!(
        small(
            &[("1", 7, "Courier", true, "10:00:00", "A")],
            &[("2", 8, "IST")]
        ),
        ""
    );
}

#[test]
fn the_smaller_message_id_names_the_city_and_ids_compare_as_text() {
    let text = small(
        &[("1", 7, "Courier", true, "10:00:00", "A")],
        &[("9", 7, "NINE"), ("10", 7, "TEN")],
    );
    assert!(text.starts_with("7,TEN,"), "{text}");
}

#[test]
fn the_starting_message_names_the_sender_and_ties_go_by_message_id() {
    let text = small(
        &[
            ("1", 7, "Bot", false, "10:00:00", "A"),
            ("4", 7, "Courier", true, "10:00:05", "B"),
            ("3", 7, "Customer", true, "10:00:05", "C"),
            ("6", 7, "courier", false, "10:00:09", "D"),
            ("5", 7, "Customer", false, "10:00:09", "E"),
        ],
        &[("2", 7, "IST")],
    );
    let (five, nine) = ("2024-02-01T10:00:05Z", "2024-02-01T10:00:09Z");
    assert_eq!(
        text,
        format!("7,IST,{five},{five},1,2,Customer,2024-02-01T10:00:00Z,0,{nine},D\n")
    );
}

#[test]
fn without_a_starting_message_the_earliest_names_the_sender() {
    let text = small(
        &[
            ("2", 7, "Courier", false, "10:00:01", "B"),
            ("1", 7, "Bot", false, "10:00:00.5", "A"),
        ],
        &[("3", 7, "IST")],
    );
    let one = "2024-02-01T10:00:01Z";
    assert_eq!(
        text,
        format!("7,IST,{one},,1,0,Unknown,2024-02-01T10:00:00.500Z,,{one},B\n")
    );
}

#[test]
fn the_delay_is_absolute_and_drops_the_fraction() {
    let text = small(
        &[
            ("1", 7, "Customer", true, "10:00:00.9", "A"),
            ("2", 7, "Courier", false, "10:00:02.8", "B"),
        ],
        &[("3", 7, "IST")],
    );
    assert!(
        text.contains(",1,1,Customer,2024-02-01T10:00:00.900Z,1,2024-02-01T10:00:02.800Z,"),
        "{text}"
    );
}
