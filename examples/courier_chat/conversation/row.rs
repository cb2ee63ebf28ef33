//! Names the columns of the final table.

use serde::{Deserialize, Serialize};

use super::super::event::Sender;
use super::super::event_time::EventTime;

/// Holds one row of `customer_courier_conversations`; [`Conversation::row`](super::Conversation::row) makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationRow {
    /// The order, the key of the table.
    pub order_id: i64,
    /// The city of the order.
    pub city_code: String,
    /// When the courier first wrote; null if never.
    pub first_courier_message: Option<EventTime>,
    /// When the customer first wrote; null if never.
    pub first_customer_message: Option<EventTime>,
    /// How many messages the courier sent.
    pub num_messages_courier: i64,
    /// How many messages the customer sent.
    pub num_messages_customer: i64,
    /// Who sent the message with `chatStartedByMessage`, the earliest by (time, message id) if several are so marked,
    /// else who sent the earliest message.
    pub first_message_by: Sender,
    /// When the earliest message was sent, whoever sent it.
    pub conversation_started_at: EventTime,
    /// The whole seconds between the first messages of the two sides, never negative; null if one is silent.
    pub first_responsetime_delay_seconds: Option<i64>,
    /// When the latest message was sent.
    pub last_message_time: EventTime,
    /// The stage of the order in the message with the greatest (time, message id).
    pub last_message_order_stage: String,
    /// How many distinct messages and order events the row is made of; a row replaces one of smaller or equal version.
    pub version: i64,
}
