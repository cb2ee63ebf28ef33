//! The tables: their columns, and the rows that go into them.

use std::sync::Arc;

use pipeline_gcp::bigquery::{BigQuery, Column, ColumnType, Row, TableSchema, TableSink, Value};

use super::conversation::ConversationRow;
use super::event::{ChatMessage, OrderEvent};
use super::event_time::EventTime;
use super::record::Identified;

/// The base table of messages.
pub const CONVERSATIONS: &str = "conversations";
/// The base table of order events.
pub const ORDERS: &str = "orders";
/// The final table: one row an order, computed by the pipeline.
pub const FINAL: &str = "customer_courier_conversations";
/// The latest version of each of its rows, where the table keeps all of them.
pub const LATEST: &str = "customer_courier_conversations_latest";
/// That view.
pub const LATEST_SQL: &str = include_str!("customer_courier_conversations_latest.sql");
/// The same table as a view over the base tables.
pub const VIEW: &str = "customer_courier_conversations_view";
/// The view, as BigQuery gets it and as the embedded warehouse runs it.
pub const VIEW_SQL: &str = include_str!("customer_courier_conversations_view.sql");

fn text(name: &str, description: &str) -> Column {
    Column::required(name, ColumnType::String).description(description)
}

fn int(name: &str, description: &str) -> Column {
    Column::required(name, ColumnType::Int64).description(description)
}

fn time(name: &str, description: &str) -> Column {
    Column::required(name, ColumnType::Timestamp).description(description)
}

/// Returns the columns of [`CONVERSATIONS`].
pub fn conversations_schema() -> TableSchema {
    TableSchema::new([
        text("senderAppType", "The app that sent the message"),
        int("courierId", "The courier of the order"),
        int("fromId", "Who wrote"),
        int("toId", "Who is to read"),
        Column::required("chatStartedByMessage", ColumnType::Bool)
            .description("Whether the message opened the chat"),
        int("orderId", "The order"),
        text("orderStage", "Where the order stood"),
        int("customerId", "The customer of the order"),
        time("messageSentTime", "When it was sent"),
        text("message_id", "The record's id; as text, ids sort by line"),
    ])
}

/// Makes the row of a message; its id keeps it from being stored twice.
pub fn conversations_row(message: &Identified<ChatMessage>) -> Row {
    let Identified { id, value } = message;
    Row::new(vec![
        value.sender_app_type.as_str().into(),
        value.courier_id.into(),
        value.from_id.into(),
        value.to_id.into(),
        value.chat_started_by_message.into(),
        value.order_id.into(),
        value.order_stage.as_str().into(),
        value.customer_id.into(),
        Value::Timestamp(value.message_sent_time.micros()),
        id.as_str().into(),
    ])
    .with_id(id.as_str())
}

/// Returns the columns of [`ORDERS`].
pub fn orders_schema() -> TableSchema {
    TableSchema::new([
        int("orderId", "The order"),
        text("cityCode", "The city where it is delivered"),
        text("message_id", "The record's id; as text, ids sort by line"),
    ])
}

/// Makes the row of an order event.
pub fn orders_row(order: &Identified<OrderEvent>) -> Row {
    let Identified { id, value } = order;
    Row::new(vec![
        value.order_id.into(),
        value.city_code.as_str().into(),
        id.as_str().into(),
    ])
    .with_id(id.as_str())
}

/// Returns the columns of [`FINAL`]: keyed by order, or with all versions of a row.
pub fn final_schema(keeps_versions: bool) -> TableSchema {
    let nullable = |name, column_type, description| {
        Column::nullable(name, column_type).description(description)
    };
    let schema = TableSchema::new([
        int("order_id", "The order"),
        text("city_code", "The city where it is delivered"),
        nullable(
            "first_courier_message",
            ColumnType::Timestamp,
            "When the courier first wrote; null if never",
        ),
        nullable(
            "first_customer_message",
            ColumnType::Timestamp,
            "When the customer first wrote; null if never",
        ),
        int("num_messages_courier", "How many messages the courier sent"),
        int(
            "num_messages_customer",
            "How many messages the customer sent",
        ),
        text("first_message_by", "Courier, Customer or Unknown"),
        time("conversation_started_at", "When the first message was sent"),
        nullable(
            "first_responsetime_delay_seconds",
            ColumnType::Int64,
            "Seconds between the first messages of the two sides; null if one is silent",
        ),
        time("last_message_time", "When the last message was sent"),
        text(
            "last_message_order_stage",
            "Where the order stood at the last message",
        ),
        int(
            "version",
            "How many messages and order events the row is made of",
        ),
    ]);
    if keeps_versions {
        schema
    } else {
        schema.keyed_by("order_id", "version")
    }
}

/// Makes the sink of [`FINAL`].
pub fn final_sink(service: Arc<dyn BigQuery>, keeps_versions: bool) -> TableSink<ConversationRow> {
    let schema = final_schema(keeps_versions);
    if keeps_versions {
        let row = |row: &ConversationRow| {
            final_row(row).with_id(format!("{}-{}", row.order_id, row.version))
        };
        TableSink::append(service, FINAL, schema, row)
    } else {
        TableSink::upsert(service, FINAL, schema, final_row)
    }
}

/// Creates what is not there: a table of another schema is found out before anything is read.
///
/// # Errors
/// The service refuses a table or a view.
pub async fn prepare(service: &dyn BigQuery, keeps_versions: bool) -> Result<(), String> {
    let tables = [
        (CONVERSATIONS, conversations_schema()),
        (ORDERS, orders_schema()),
        (FINAL, final_schema(keeps_versions)),
    ];
    for (table, schema) in tables {
        let created = service.create_table_if_needed(table, &schema).await;
        created.map_err(|error| error.to_string())?;
    }
    let views = [Some(VIEW_SQL), keeps_versions.then_some(LATEST_SQL)];
    for view in views.into_iter().flatten() {
        let created = service.create_view(view).await;
        created.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Makes the row of a conversation.
pub fn final_row(row: &ConversationRow) -> Row {
    let time = |time: EventTime| Value::Timestamp(time.micros());
    let maybe = |at: Option<EventTime>| at.map_or(Value::Null, time);
    Row::new(vec![
        row.order_id.into(),
        row.city_code.as_str().into(),
        maybe(row.first_courier_message),
        maybe(row.first_customer_message),
        row.num_messages_courier.into(),
        row.num_messages_customer.into(),
        row.first_message_by.as_str().into(),
        time(row.conversation_started_at),
        row.first_responsetime_delay_seconds.into(),
        time(row.last_message_time),
        row.last_message_order_stage.as_str().into(),
        row.version.into(),
    ])
}

/// Names what shows one row an order.
pub fn latest(keeps_versions: bool) -> &'static str {
    if keeps_versions { LATEST } else { FINAL }
}

/// Reads the final table.
///
/// # Errors
/// The warehouse cannot answer, or a row is none that this program has written.
pub async fn final_rows(
    warehouse: &dyn BigQuery,
    keeps_versions: bool,
) -> Result<Vec<ConversationRow>, String> {
    let table = latest(keeps_versions);
    let sql = format!("SELECT * FROM {table} ORDER BY order_id");
    let result = warehouse.query(&sql).await.map_err(|e| e.to_string())?;
    let names: Vec<&str> = result.columns.iter().map(|c| c.name.as_str()).collect();
    let rows = result.rows.iter().map(|values| {
        let fields = names.iter().zip(values);
        let object = fields.map(|(name, value)| ((*name).to_owned(), value.to_json()));
        let object = serde_json::Value::Object(object.collect());
        serde_json::from_value(object).map_err(|error| format!("table {FINAL}: {error}"))
    });
    rows.collect()
}
