//! Conversations meet the city of their order.

use std::time::Duration;

use bytes::Bytes;
use pipeline_core::PCollection;
use pipeline_core::prelude::*;
use serde::{Deserialize, Serialize};

use super::conversation::{Conversation, ConversationRow};
use super::event::OrderEvent;
use super::record::Identified;

/// How long the parts of an order wait for one another, in event time, before their state is let go.
pub const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// An order event, with the bytes that it came in: they are kept for the case that it loses to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CityEvent {
    /// The event and its record's id.
    pub event: Identified<OrderEvent>,
    /// The record.
    pub original: Bytes,
}

/// One of the two sides that are joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Side {
    Messages(Conversation),
    City(CityEvent),
}

/// An order event that lost to one of a smaller id with another city.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Conflict {
    loser: CityEvent,
    winner: Identified<OrderEvent>,
}

/// What found no partner until its state was let go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unmatched {
    /// Messages of an order whose city never came.
    Messages {
        /// The order.
        order_id: i64,
        /// How many messages there were.
        messages: i64,
    },
    /// A city of an order without messages.
    City(CityEvent),
}

/// What comes out of [`join_city`].
pub struct Joined {
    /// A row whenever both sides are there, and again when a further part comes.
    pub complete: PCollection<ConversationRow>,
    /// What found no partner.
    pub unmatched: PCollection<Unmatched>,
    /// Orders whose state was let go while the stream went on: a part that comes after that begins them anew.
    pub silent: PCollection<i64>,
    /// Order events that named a second city.
    pub dead_letters: PCollection<BadRecord>,
}

/// Joins the conversations of an order, part by part, with its city. Both sides are in the global window.
pub fn join_city(
    name: &str,
    conversations: &PCollection<(i64, Conversation)>,
    cities: &PCollection<CityEvent>,
) -> Joined {
    conversations.pipeline().scope(name, || {
        let messages = conversations.map("Messages", |(order_id, conversation)| {
            (order_id, Side::Messages(conversation))
        });
        let cities = cities.map("Cities", |city| {
            (city.event.value.order_id, Side::City(city))
        });
        let sides = messages.flatten("Sides", &[cities]);
        let (complete, unmatched, conflicts, silent) =
            sides.par_do_stateful("Meet", |cells| Meet {
                conversation: cells.value("conversation"),
                city: cells.value("city"),
                order_events: cells.value("order_events"),
                expiry: cells.event_timer("expiry"),
            });
        let refused = conflicts.try_flat_map("RefuseSecondCity", |conflict| {
            Err::<Vec<()>, _>(conflict.failure())
        });
        Joined {
            complete,
            unmatched,
            silent,
            dead_letters: refused.dead_letters,
        }
    })
}

impl Conflict {
    fn failure(&self) -> Failure {
        let (loser, winner) = (&self.loser.event, &self.winner);
        let reason = format!(
            "order {} has two cities: {} of record {} gives way to {} of record {}",
            loser.value.order_id,
            loser.value.city_code,
            loser.id,
            winner.value.city_code,
            winner.id
        );
        Failure::new(reason).with_original(self.loser.original.clone())
    }
}

/// Keeps both sides of an order until it has been quiet for [`PATIENCE`].
#[derive(Clone)]
struct Meet {
    conversation: ValueCell<Conversation>,
    city: ValueCell<CityEvent>,
    /// How many order events have come, the losing ones included: part of the row's version.
    order_events: ValueCell<i64>,
    expiry: EventTimer,
}

type Outputs = (
    Out<ConversationRow>,
    Out<Unmatched>,
    Out<Conflict>,
    Out<i64>,
);

impl Meet {
    /// Keeps the order event of the smaller id; one that loses with another city is a conflict.
    fn take_city(&self, city: CityEvent, state: &mut StateContext<'_>, out: &mut Out<Conflict>) {
        let events = self.order_events.read(state).copied().unwrap_or(0);
        self.order_events.write(state, events + 1);
        let Some(held) = self.city.take(state) else {
            self.city.write(state, city);
            return;
        };
        let (winner, loser) = if city.event.id < held.event.id {
            (city, held)
        } else {
            (held, city)
        };
        if winner.event.value.city_code != loser.event.value.city_code {
            out.emit(Conflict {
                winner: winner.event.clone(),
                loser,
            });
        }
        self.city.write(state, winner);
    }

    /// Waits from now on: from the later of the element's time and the watermark, so that an order event, which has
    /// no time of its own, waits as long. Before any time is known it waits as long as the messages that are there, or
    /// for messages until the end.
    fn wait(&self, state: &mut StateContext<'_>) {
        let now = state.timestamp().max(state.input_watermark());
        let until = match now {
            Timestamp::MIN if self.conversation.read(state).is_some() => return,
            Timestamp::MIN => Timestamp::END_OF_GLOBAL_WINDOW,
            now => (now + PATIENCE).min(Timestamp::END_OF_GLOBAL_WINDOW),
        };
        self.expiry.set(state, until);
    }
}

impl StatefulDoFn for Meet {
    type Key = i64;
    type Value = Side;
    type Outputs = Outputs;

    fn process(
        &mut self,
        order_id: &i64,
        side: Side,
        state: &mut StateContext<'_>,
        (complete, _, conflicts, _): &mut Outputs,
    ) -> Result<(), BoxError> {
        match side {
            Side::City(city) => self.take_city(city, state, conflicts),
            Side::Messages(part) => {
                let mut conversation = self.conversation.take(state).unwrap_or_default();
                conversation.merge(part);
                self.conversation.write(state, conversation);
            }
        }
        self.wait(state);
        let order_events = self.order_events.read(state).copied().unwrap_or(0);
        let (conversation, city) = (self.conversation.read(state), self.city.read(state));
        if let (Some(conversation), Some(city)) = (conversation, city)
            && let Some(row) =
                conversation.row(*order_id, &city.event.value.city_code, order_events)
        {
            complete.emit(row);
        }
        Ok(())
    }

    fn on_timer(
        &mut self,
        order_id: &i64,
        _: EventTimer,
        state: &mut StateContext<'_>,
        (_, unmatched, _, silent): &mut Outputs,
    ) -> Result<(), BoxError> {
        // At the end of the input every order is let go.
        if state.input_watermark() <= Timestamp::END_OF_GLOBAL_WINDOW {
            silent.emit(*order_id);
        }
        self.order_events.clear(state);
        match (self.conversation.take(state), self.city.take(state)) {
            (Some(conversation), None) => unmatched.emit(Unmatched::Messages {
                order_id: *order_id,
                messages: conversation.messages(),
            }),
            (None, Some(city)) => unmatched.emit(Unmatched::City(city)),
            _ => {}
        }
        Ok(())
    }
}
