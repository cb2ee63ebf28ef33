//! Summarises the messages of one order, part by part and in any order.
//!
//! [`Conversation`] is the accumulator: an empty one is neutral, [`Conversation::merge`] is commutative and
//! associative, so any split of the messages into parts, merged in any order, gives the same summary. Each message may
//! be added once only: the source drops an id that it has already taken in.

mod row;

use serde::{Deserialize, Serialize};

use super::event::{ChatMessage, Sender};
use super::event_time::EventTime;
pub use row::ConversationRow;

/// Holds what is known of an order's messages so far.
///
/// ```
/// # use pipeline_examples::courier_chat::{ChatEvent, Conversation, parse};
/// # fn summary(line: &str, id: &str) -> Conversation {
/// #     let mut summary = Conversation::default();
/// #     if let Ok(ChatEvent::Message(message)) = parse(line.as_bytes()) { summary.add(&message, id) }
/// #     summary
/// # }
/// let hello = r#"{"senderAppType": "Courier Android", "courierId": 1, "fromId": 1, "toId": 2, "chatStartedByMessage": true,
///     "orderId": 7, "orderStage": "ARRIVED", "customerId": 2, "messageSentTime": "2024-02-01T10:00:00Z"}"#;
/// let coming = r#"{"senderAppType": "Customer iOS", "courierId": 1, "fromId": 2, "toId": 1, "chatStartedByMessage": false,
///     "orderId": 7, "orderStage": "DELIVERED", "customerId": 2, "messageSentTime": "2024-02-01T10:00:09Z"}"#;
/// let mut whole = summary(coming, "000000000002-0");
/// whole.merge(summary(hello, "000000000001-0"));
/// let row = whole.row(7, "LON", 1).expect("there are messages");
/// assert_eq!(row.first_responsetime_delay_seconds, Some(9));
/// assert_eq!(row.last_message_order_stage, "DELIVERED");
/// assert_eq!(row.version, 3);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    courier: Side,
    customer: Side,
    /// Messages of neither side.
    unknown: i64,
    /// The smallest message that opened the chat.
    started_by: Option<First>,
    /// The smallest message.
    first: Option<First>,
    /// The greatest message.
    last: Option<Last>,
}

/// Counts the messages of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Side {
    messages: i64,
    first: Option<EventTime>,
}

/// Compares by time, then id; the sender only makes the order total.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct First {
    time: EventTime,
    message_id: String,
    sender: Sender,
}

/// Compares by time, then id; the stage only makes the order total.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Last {
    time: EventTime,
    message_id: String,
    stage: String,
}

impl Conversation {
    /// Adds one message under its id, which breaks ties of time and compares as text.
    ///
    /// All messages added must be of one order; a message added twice counts twice.
    pub fn add(&mut self, message: &ChatMessage, message_id: &str) {
        let (time, sender) = (message.message_sent_time, message.sender());
        match sender {
            Sender::Courier => self.courier.add(time),
            Sender::Customer => self.customer.add(time),
            Sender::Unknown => self.unknown += 1,
        }
        let precedes = |held: &Option<First>| {
            held.as_ref().is_none_or(|held| {
                (time, message_id, sender) < (held.time, held.message_id.as_str(), held.sender)
            })
        };
        let first = || {
            Some(First {
                time,
                message_id: message_id.to_owned(),
                sender,
            })
        };
        if message.chat_started_by_message && precedes(&self.started_by) {
            self.started_by = first();
        }
        if precedes(&self.first) {
            self.first = first();
        }
        let stage = message.order_stage.as_str();
        if self.last.as_ref().is_none_or(|held| {
            (time, message_id, stage) > (held.time, held.message_id.as_str(), held.stage.as_str())
        }) {
            self.last = Some(Last {
                time,
                message_id: message_id.to_owned(),
                stage: stage.to_owned(),
            });
        }
    }

    /// Adds the messages of another part of the same order.
    pub fn merge(&mut self, other: Self) {
        self.courier.merge(other.courier);
        self.customer.merge(other.customer);
        self.unknown += other.unknown;
        smallest(&mut self.started_by, other.started_by);
        smallest(&mut self.first, other.first);
        // None is smaller than any value.
        self.last = self.last.take().max(other.last);
    }

    /// Counts the messages added.
    pub fn messages(&self) -> i64 {
        self.courier.messages + self.customer.messages + self.unknown
    }

    /// Makes the row of the final table from the messages and `order_events` events of the order; none without messages.
    pub fn row(
        &self,
        order_id: i64,
        city_code: &str,
        order_events: i64,
    ) -> Option<ConversationRow> {
        let (first, last) = (self.first.as_ref()?, self.last.as_ref()?);
        Some(ConversationRow {
            order_id,
            city_code: city_code.to_owned(),
            first_courier_message: self.courier.first,
            first_customer_message: self.customer.first,
            num_messages_courier: self.courier.messages,
            num_messages_customer: self.customer.messages,
            first_message_by: self.started_by.as_ref().unwrap_or(first).sender,
            conversation_started_at: first.time,
            first_responsetime_delay_seconds: match (self.courier.first, self.customer.first) {
                (Some(courier), Some(customer)) => Some(courier.whole_seconds_between(customer)),
                _ => None,
            },
            last_message_time: last.time,
            last_message_order_stage: last.stage.clone(),
            version: self.messages() + order_events,
        })
    }
}

impl Side {
    fn add(&mut self, time: EventTime) {
        self.merge(Self {
            messages: 1,
            first: Some(time),
        });
    }

    fn merge(&mut self, other: Self) {
        self.messages += other.messages;
        smallest(&mut self.first, other.first);
    }
}

/// Keeps the smaller of two values, where there are two.
fn smallest<T: Ord>(held: &mut Option<T>, other: Option<T>) {
    *held = match (held.take(), other) {
        (Some(held), Some(other)) => Some(held.min(other)),
        (held, other) => held.or(other),
    };
}
