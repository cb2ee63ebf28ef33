//! Tests delivery, deadlines, acknowledgement, closing and the errors.

use std::sync::Mutex;

use tokio::time::{advance, timeout};

use super::*;

#[tokio::test(start_paused = true)]
async fn every_subscription_gets_every_message_from_its_creation_on() {
    let service = with_topic(LocalPubSub::new()).await;
    publish(&service, &["a"]).await;
    service.create_subscription("later", "t").await.unwrap();
    let ids = service
        .publish("t", vec![NewMessage::new("b"), NewMessage::new("c")])
        .await
        .unwrap();
    let received = pull(&service, 2).await;
    assert_eq!(texts(&received), ["a", "b"]);
    assert_eq!(texts(&pull(&service, 2).await), ["c"]);
    let later = pull_from(&service, "later", 9).await;
    assert_eq!(texts(&later), ["b", "c"]);
    assert_eq!(
        later
            .iter()
            .map(|received| received.message.message_id())
            .collect::<Vec<_>>(),
        ids
    );
    // An acknowledgement counts for its own subscription only.
    service
        .acknowledge("later", &ack_ids(&received))
        .await
        .unwrap();
    assert_eq!(service.counters("later").unwrap().outstanding, 2);
    assert_eq!(service.counters("later").unwrap().late_acknowledgements, 2);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_comes_back_at_its_deadline_unless_acknowledged() {
    let service = with_topic(LocalPubSub::new()).await;
    publish(&service, &["a", "b"]).await;
    let first = pull(&service, 2).await;
    advance(seconds(9)).await;
    service
        .acknowledge(
            "s",
            &first[1..]
                .iter()
                .map(|r| r.ack_id.clone())
                .collect::<Vec<_>>(),
        )
        .await
        .unwrap();
    let start = Instant::now();
    let second = pull(&service, 2).await;
    assert_eq!(start.elapsed(), seconds(1), "the pull woke by itself");
    assert_eq!((texts(&second), second[0].delivery_attempt), (vec!["a"], 2));
    assert_ne!(second[0].ack_id, first[0].ack_id);

    service
        .acknowledge("s", &ack_ids(&first[..1]))
        .await
        .unwrap();
    let counters = service.counters("s").unwrap();
    assert_eq!(
        (counters.outstanding, counters.late_acknowledgements),
        (1, 1),
        "the late one has no effect"
    );
    service.acknowledge("s", &ack_ids(&second)).await.unwrap();
    assert_eq!(
        service.counters("s").unwrap(),
        Counters {
            published: 2,
            delivered: 3,
            redelivered: 1,
            acknowledged: 2,
            late_acknowledgements: 1,
            ..Counters::default()
        }
    );
    assert!(
        timeout(seconds(1_000), service.pull("s", 1)).await.is_err(),
        "nothing is left"
    );
}

#[tokio::test(start_paused = true)]
async fn the_deadline_itself_is_too_late() {
    let service = with_topic(LocalPubSub::new().with_ack_deadline(seconds(3))).await;
    publish(&service, &["a"]).await;
    let received = pull(&service, 1).await;
    advance(seconds(3)).await;
    service.acknowledge("s", &ack_ids(&received)).await.unwrap();
    assert_eq!(service.counters("s").unwrap().undelivered, 1);
}

#[tokio::test(start_paused = true)]
async fn deadlines_are_prolonged_cut_and_given_up() {
    let service = with_topic(LocalPubSub::new()).await;
    publish(&service, &["long", "short", "now"]).await;
    let first = pull(&service, 3).await;
    let waiting = tokio::spawn({
        let service = Arc::clone(&service);
        async move { pull(&service, 1).await }
    });
    tokio::task::yield_now().await;
    let start = Instant::now();
    service
        .modify_ack_deadline("s", &ack_ids(&first[..1]), seconds(600))
        .await
        .unwrap();
    service
        .modify_ack_deadline("s", &ack_ids(&first[1..2]), seconds(2))
        .await
        .unwrap();
    service
        .modify_ack_deadline("s", &ack_ids(&first[2..]), Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(texts(&waiting.await.unwrap()), ["now"]);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(texts(&pull(&service, 1).await), ["short"]);
    assert_eq!(start.elapsed(), seconds(2));
    advance(seconds(590)).await;
    service
        .acknowledge("s", &ack_ids(&first[..1]))
        .await
        .unwrap();
    assert_eq!(service.counters("s").unwrap().acknowledged, 1);
    let too_long = service
        .modify_ack_deadline("s", &[], seconds(601))
        .await
        .unwrap_err();
    assert!(matches!(
        too_long.kind(),
        PubSubErrorKind::DeadlineTooLong { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_cut_deadline_wakes_a_pull_that_waits_for_a_later_one() {
    let service = with_topic(LocalPubSub::new().with_ack_deadline(seconds(600))).await;
    publish(&service, &["a"]).await;
    let first = pull(&service, 1).await;
    let start = Instant::now();
    let (received, ()) = tokio::join!(pull(&service, 1), async {
        tokio::time::sleep(seconds(5)).await;
        service
            .modify_ack_deadline("s", &ack_ids(&first), seconds(1))
            .await
            .unwrap();
    });
    assert_eq!((texts(&received), start.elapsed()), (vec!["a"], seconds(6)));
}

#[tokio::test(start_paused = true)]
async fn a_pull_waits_and_a_dropped_one_loses_nothing() {
    let service = with_topic(LocalPubSub::new()).await;
    assert!(timeout(seconds(5), service.pull("s", 1)).await.is_err());
    let waiting = tokio::spawn({
        let service = Arc::clone(&service);
        async move { pull(&service, 1).await }
    });
    tokio::task::yield_now().await;
    publish(&service, &["a", "b"]).await;
    assert_eq!(texts(&waiting.await.unwrap()), ["a"]);
    // Woken, then dropped before it looked.
    {
        let mut dropped = Box::pin(service.pull("s", 1));
        let _ = pull(&service, 1).await;
        assert!(timeout(Duration::ZERO, &mut dropped).await.is_err());
        publish(&service, &["c"]).await;
    }
    assert_eq!(texts(&pull(&service, 1).await), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn a_closed_topic_is_delivered_to_its_end() {
    let service = with_topic(LocalPubSub::new()).await;
    publish(&service, &["a", "b"]).await;
    service.close("t").unwrap();
    service.close("t").unwrap();
    let first = pull(&service, 1).await;
    assert_eq!(texts(&pull(&service, 1).await), ["b"]);
    // Both are out, which does not keep it open.
    assert_eq!(service.pull("s", 1).await.unwrap(), Pulled::Closed);
    // What comes back is delivered again.
    service
        .modify_ack_deadline("s", &ack_ids(&first), Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(texts(&pull(&service, 9).await), ["a"]);
    advance(seconds(10)).await;
    assert_eq!(pull(&service, 9).await.len(), 2);
    assert_eq!(service.pull("s", 1).await.unwrap(), Pulled::Closed);
    service.create_subscription("late", "t").await.unwrap();
    assert_eq!(service.pull("late", 1).await.unwrap(), Pulled::Closed);
}

#[tokio::test(start_paused = true)]
async fn closing_wakes_a_waiting_pull() {
    let service = with_topic(LocalPubSub::new()).await;
    let (pulled, ()) = tokio::join!(service.pull("s", 1), async {
        tokio::task::yield_now().await;
        service.close("t").unwrap();
    });
    assert_eq!(pulled.unwrap(), Pulled::Closed);
}

#[tokio::test(start_paused = true)]
async fn refuses_what_cannot_be() {
    let service = with_topic(LocalPubSub::new()).await;
    service.create_topic("t").await.unwrap();
    service.create_subscription("s", "t").await.unwrap();
    service.create_topic("u").await.unwrap();
    let says = |result: Result<(), PubSubError>| result.unwrap_err().to_string();
    assert_eq!(
        says(service.create_subscription("s", "u").await),
        "subscription \"s\" is to topic \"t\", not to \"u\"; take another name for it"
    );
    assert_eq!(
        says(service.create_subscription("x", "y").await),
        "topic \"y\" does not exist; create it first"
    );
    assert_eq!(
        says(service.close("y")),
        "topic \"y\" does not exist; create it first"
    );
    assert_eq!(
        says(service.publish("y", vec![]).await.map(drop)),
        "topic \"y\" does not exist; create it first"
    );
    let missing = "subscription \"x\" does not exist; create it first";
    assert_eq!(says(service.pull("x", 1).await.map(drop)), missing);
    assert_eq!(says(service.acknowledge("x", &[]).await), missing);
    assert_eq!(
        says(service.modify_ack_deadline("x", &[], seconds(1)).await),
        missing
    );
    assert_eq!(says(service.counters("x").map(drop)), missing);
    assert_eq!(
        says(service.pull("s", 0).await.map(drop)),
        "a pull from \"s\" must ask for at least one message"
    );

    let messages = vec![NewMessage::new("good"), NewMessage::new("")];
    assert_eq!(
        says(service.publish("t", messages).await.map(drop)),
        "message 1 (from 0) of 2 for topic \"t\" cannot be published: it has neither data nor attributes; a message \
         needs one of them"
    );
    assert_eq!(
        service.counters("s").unwrap().published,
        0,
        "none of the request is published"
    );
    service.close("t").unwrap();
    assert_eq!(
        says(service.publish("t", vec![]).await.map(drop)),
        "topic \"t\" is closed; nothing more can be published to it"
    );
}

#[tokio::test(start_paused = true)]
async fn an_ack_id_that_was_never_given_out_is_passed_over() {
    let service = with_topic(LocalPubSub::new()).await;
    publish(&service, &["a"]).await;
    let received = pull(&service, 1).await;
    let mut ids = vec!["".into(), "-1".into(), "999".into(), "x".into()];
    service
        .modify_ack_deadline("s", &ids, Duration::ZERO)
        .await
        .unwrap();
    ids.extend([received[0].ack_id.clone(), received[0].ack_id.clone()]);
    service.acknowledge("s", &ids).await.unwrap();
    let counters = service.counters("s").unwrap();
    assert_eq!(
        (counters.acknowledged, counters.late_acknowledgements),
        (1, 5)
    );
}

#[tokio::test(start_paused = true)]
async fn the_journal_hears_everything_in_order() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&heard);
    let journal = Arc::new(move |entry| {
        let line = match entry {
            JournalEntry::Published { topic, message } => {
                format!("{topic} + {}", message.message_id())
            }
            JournalEntry::Delivered {
                subscription,
                message,
                delivery_attempt,
            } => {
                format!(
                    "{subscription} > {} {delivery_attempt}",
                    message.message_id()
                )
            }
            JournalEntry::Acknowledged {
                subscription,
                message,
            } => {
                format!("{subscription} ! {}", message.message_id())
            }
        };
        hear.lock().unwrap().push(line);
    });
    let service = with_topic(LocalPubSub::new().with_journal(journal)).await;
    publish(&service, &["a", "b"]).await;
    let received = pull(&service, 2).await;
    service
        .acknowledge("s", &ack_ids(&received[1..]))
        .await
        .unwrap();
    pull(&service, 1).await;
    assert_eq!(
        *heard.lock().unwrap(),
        ["t + 1", "t + 2", "s > 1 1", "s > 2 1", "s ! 2", "s > 1 2"]
    );
}

#[tokio::test(start_paused = true)]
async fn publish_times_follow_the_clock() {
    let start = DateTime::from_timestamp(1_706_781_600, 0).unwrap();
    let service = with_topic(LocalPubSub::new().with_start_time(start)).await;
    advance(Duration::from_millis(1_500)).await;
    publish(&service, &["a"]).await;
    let time = pull(&service, 1).await[0].message.publish_time();
    assert_eq!(time.to_rfc3339(), "2024-02-01T10:00:01.500+00:00");
}
