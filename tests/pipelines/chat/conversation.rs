//! Compares summaries, split and merged at random, with a recomputation from all messages at once.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use pipeline_examples::courier_chat::conversation::*;
use pipeline_examples::courier_chat::*;

fn time(micros: i64) -> EventTime {
    EventTime::from_micros(micros).unwrap()
}

fn message(app: &str, started: bool, stage: &str, micros: i64) -> ChatMessage {
    ChatMessage {
        sender_app_type: app.into(),
        courier_id: 1,
        from_id: 1,
        to_id: 2,
        chat_started_by_message: started,
        order_id: 7,
        order_stage: stage.into(),
        customer_id: 2,
        message_sent_time: time(micros),
    }
}

fn summary(messages: &[(ChatMessage, String)]) -> Conversation {
    let mut summary = Conversation::default();
    for (message, id) in messages {
        summary.add(message, id);
    }
    summary
}

/// Recomputes the row by sorting all messages: what the columns say, word for word.
fn recomputed(messages: &[(ChatMessage, String)]) -> Option<ConversationRow> {
    let mut sorted: Vec<_> = messages.iter().collect();
    sorted.sort_by_key(|(message, id)| (message.message_sent_time.micros(), id.clone()));
    let ((first, _), (last, _)) = (sorted.first()?, sorted.last()?);
    let times = |app: &str| -> Vec<EventTime> {
        let side = sorted
            .iter()
            .filter(|(message, _)| message.sender_app_type.starts_with(app));
        side.map(|(message, _)| message.message_sent_time).collect()
    };
    let (courier, customer) = (times("Courier"), times("Customer"));
    let opening = sorted
        .iter()
        .find(|(message, _)| message.chat_started_by_message);
    let first_message_by = match &opening
        .map_or(first, |(message, _)| message)
        .sender_app_type[..]
    {
        "Courier Android" => Sender::Courier,
        "Customer iOS" => Sender::Customer,
        _ => Sender::Unknown,
    };
    Some(ConversationRow {
        order_id: 7,
        city_code: "LON".into(),
        first_courier_message: courier.first().copied(),
        first_customer_message: customer.first().copied(),
        num_messages_courier: courier.len() as i64,
        num_messages_customer: customer.len() as i64,
        first_message_by,
        conversation_started_at: first.message_sent_time,
        first_responsetime_delay_seconds: courier.first().zip(customer.first()).map(|(a, b)| {
            let (early, late) = if a < b { (a, b) } else { (b, a) };
            (late.micros() - early.micros()) / 1_000_000
        }),
        last_message_time: last.message_sent_time,
        last_message_order_stage: last.order_stage.clone(),
        version: messages.len() as i64 + 2,
    })
}

/// Makes messages with many ties of time and distinct ids, whose order is not the order of the list.
fn messages() -> impl Strategy<Value = Vec<(ChatMessage, String)>> {
    let apps = select(vec!["Courier Android", "Customer iOS", "Bot"]);
    let stages = select(vec!["PENDING", "ARRIVED", "DELIVERED"]);
    let one = (apps, any::<bool>(), stages, 0..6_i64, any::<u32>());
    vec(one, 0..10).prop_map(|list| {
        let made = list.into_iter().enumerate();
        made.map(|(place, (app, started, stage, halves, random))| {
            (
                message(app, started, stage, halves * 500_000),
                format!("{random:08x}-{place}"),
            )
        })
        .collect()
    })
}

proptest! {
    #[test]
    fn any_split_merged_in_any_order_equals_the_recomputation(
        messages in messages(),
        parts in vec(any::<Index>(), 10),
        merges in vec(any::<(Index, Index)>(), 4),
    ) {
        let mut split = vec![Vec::new(); 5];
        for (message, part) in messages.iter().zip(&parts) {
            split[part.index(5)].push(message.clone());
        }
        let mut summaries: Vec<_> = split.iter().map(|part| summary(part)).collect();
        for (from, to) in &merges {
            let taken = summaries.swap_remove(from.index(summaries.len()));
            let to = to.index(summaries.len());
            summaries[to].merge(taken);
        }
        let whole = &summaries[0];
        prop_assert_eq!(whole, &summary(&messages));
        prop_assert_eq!(whole.row(7, "LON", 2), recomputed(&messages));
        prop_assert_eq!(whole.messages(), messages.len() as i64);
    }

    #[test]
    fn merging_is_commutative_and_associative(a in messages(), b in messages(), c in messages()) {
        // Ids may repeat between the three; the laws hold nevertheless.
        let [a, b, c] = [a, b, c].map(|part| summary(&part));
        let merged = |left: &Conversation, right: &Conversation| {
            let mut left = left.clone();
            left.merge(right.clone());
            left
        };
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(merged(&a, &Conversation::default()), a);
    }

    #[test]
    fn serialises_and_comes_back_equal(messages in messages()) {
        let summary = summary(&messages);
        let json = serde_json::to_string(&summary).unwrap();
        prop_assert_eq!(serde_json::from_str::<Conversation>(&json).unwrap(), summary);
    }
}

#[test]
fn no_messages_give_no_row() {
    assert_eq!(Conversation::default().row(7, "LON", 1), None);
}

#[test]
fn a_silent_side_and_an_unknown_sender() {
    let mut bot = Conversation::default();
    bot.add(&message("Bot", false, "PENDING", 1_500_000), "b");
    bot.add(
        &message("Courier Android", false, "ARRIVED", 3_000_000),
        "a",
    );
    let row = bot.row(7, "LON", 1).unwrap();
    assert_eq!(row.first_message_by, Sender::Unknown);
    assert_eq!(
        (
            row.num_messages_courier,
            row.num_messages_customer,
            row.version
        ),
        (1, 0, 3)
    );
    assert_eq!(
        (
            row.first_customer_message,
            row.first_responsetime_delay_seconds
        ),
        (None, None)
    );
    assert_eq!(row.conversation_started_at, time(1_500_000));
}

#[test]
fn ties_of_time_are_broken_by_id_as_text() {
    let mut both = Conversation::default();
    both.add(&message("Customer iOS", true, "FIRST", 0), "10");
    both.add(&message("Courier Android", true, "LAST", 0), "9");
    let row = both.row(7, "LON", 1).unwrap();
    assert_eq!(
        (row.first_message_by, &row.last_message_order_stage[..]),
        (Sender::Customer, "LAST")
    );
}
