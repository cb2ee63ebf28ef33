//! Names the two kinds of event that a record can hold.
//!
//! [`parse`](super::parse::parse) reads them from bytes; its module holds the table of what is accepted. The serde
//! form of the two structs has the names of the wire, which are those of the base tables too.

use serde::{Deserialize, Serialize};

use super::event_time::EventTime;

/// Holds one chat message between a courier and a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatMessage {
    /// The app that sent it, for example `Courier Android`; [`ChatMessage::sender`] reads the side from it.
    pub sender_app_type: String,
    /// The courier of the order.
    pub courier_id: i64,
    /// Who wrote it: the courier or the customer.
    pub from_id: i64,
    /// Who is to read it.
    pub to_id: i64,
    /// Whether the chat was opened by this message.
    pub chat_started_by_message: bool,
    /// The order that the chat is about.
    pub order_id: i64,
    /// Where the order stood when the message was sent, for example `IN_PROGRESS`.
    pub order_stage: String,
    /// The customer of the order.
    pub customer_id: i64,
    /// When it was sent.
    pub message_sent_time: EventTime,
}

/// Tells in which city an order is delivered. It carries no time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderEvent {
    /// The order.
    pub order_id: i64,
    /// The city, for example `LON`; never blank.
    pub city_code: String,
}

/// Holds what one record says: a message or an order event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChatEvent {
    /// A chat message.
    Message(ChatMessage),
    /// An order event.
    Order(OrderEvent),
}

/// Names the side that sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Sender {
    /// The app's name begins with `Courier`.
    Courier,
    /// The app's name begins with `Customer`.
    Customer,
    /// Any other app, the empty name included.
    Unknown,
}

impl Sender {
    /// Gives the name used in tables: `Courier`, `Customer` or `Unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Courier => "Courier",
            Self::Customer => "Customer",
            Self::Unknown => "Unknown",
        }
    }
}

impl ChatMessage {
    /// Reads the side from the name of the app, case-sensitively.
    pub fn sender(&self) -> Sender {
        if self.sender_app_type.starts_with("Courier") {
            Sender::Courier
        } else if self.sender_app_type.starts_with("Customer") {
            Sender::Customer
        } else {
            Sender::Unknown
        }
    }
}
