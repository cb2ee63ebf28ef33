//! What every service promises.

use std::time::Duration;

use pipeline_gcp::pubsub::{
    InvalidMessage, NewMessage, PubSub, PubSubErrorKind, Pulled, ReceivedMessage,
    SubscriptionOptions,
};

use super::services::{Tested, each, unique};

/// A topic with a subscription.
async fn topic(service: &dyn PubSub, options: SubscriptionOptions) -> (String, String) {
    let (topic, subscription) = (unique("topic"), unique("sub"));
    service.create_topic(&topic).await.unwrap();
    let created = service.create_subscription_with(&subscription, &topic, &options);
    created.await.unwrap();
    (topic, subscription)
}

fn plain() -> SubscriptionOptions {
    SubscriptionOptions::default()
}

/// Pulls until so many are there.
async fn pull(tested: &Tested, subscription: &str, number: usize) -> Vec<ReceivedMessage> {
    let mut all = Vec::new();
    while all.len() < number {
        let pulled = tested.service.pull(subscription, number - all.len());
        let pulled = tokio::time::timeout(Duration::from_secs(20), pulled).await;
        let Ok(Ok(Pulled::Messages(received))) = pulled else {
            panic!(
                "{}: {} of {number}, then {pulled:?}",
                tested.name,
                all.len()
            );
        };
        assert!(received.len() <= number - all.len(), "{}", tested.name);
        all.extend(received);
    }
    all
}

/// Says that nothing comes for a while.
async fn nothing_comes(tested: &Tested, subscription: &str, time: Duration) {
    let pulled = tokio::time::timeout(time, tested.service.pull(subscription, 10)).await;
    assert!(pulled.is_err(), "{}: {pulled:?}", tested.name);
}

fn ack_ids(received: &[ReceivedMessage]) -> Vec<String> {
    received.iter().map(|r| r.ack_id.clone()).collect()
}

fn data(received: &[ReceivedMessage]) -> Vec<String> {
    let data = received.iter().map(|r| r.message.data());
    data.map(|data| String::from_utf8_lossy(data).into_owned())
        .collect()
}

#[test]
fn what_is_published_comes_with_everything_that_it_had() {
    each(async |tested| {
        let service = &*tested.service;
        let (topic, sub) = topic(service, plain()).await;
        let before = chrono::Utc::now() - chrono::TimeDelta::seconds(60);
        let message = NewMessage::new(vec![0, 255, 10])
            .attribute("id", "1")
            .attribute("ü", "ß")
            .ordering_key("k");
        let ids = service
            .publish(&topic, vec![message.clone()])
            .await
            .unwrap();
        let received = pull(tested, &sub, 1).await;
        let got = &received[0].message;
        assert_eq!(got.data(), message.data(), "{}", tested.name);
        assert_eq!(got.attributes(), message.attributes(), "{}", tested.name);
        assert_eq!(got.ordering_key(), "k", "{}", tested.name);
        assert_eq!(got.message_id(), ids[0], "{}", tested.name);
        assert!(got.publish_time() > before, "{}", tested.name);
        service
            .acknowledge(&sub, &ack_ids(&received))
            .await
            .unwrap();
        service.end_pulling(&sub).await.unwrap();
    });
}

#[test]
fn what_is_acknowledged_does_not_come_again_and_what_is_given_back_does() {
    each(async |tested| {
        let service = &*tested.service;
        let (topic, sub) = topic(service, plain()).await;
        let messages = ["a", "b", "c"].map(NewMessage::new).to_vec();
        assert_eq!(service.publish(&topic, messages).await.unwrap().len(), 3);
        let received = pull(tested, &sub, 3).await;
        let (acknowledged, back) = received.split_at(2);
        let failed = service.acknowledge_each(&sub, &ack_ids(acknowledged)).await;
        assert_eq!(failed.unwrap(), [], "{}", tested.name);
        service.give_back(&sub, &ack_ids(back));
        let again = pull(tested, &sub, 1).await;
        assert_eq!(data(&again), data(back), "{}", tested.name);
        assert_eq!(again[0].message.message_id(), back[0].message.message_id());
        let ids = ack_ids(&again);
        let given = service.modify_ack_deadline(&sub, &ids, Duration::ZERO);
        given.await.unwrap();
        let again = pull(tested, &sub, 1).await;
        assert_eq!(data(&again), data(back), "{}", tested.name);
        service.acknowledge(&sub, &ack_ids(&again)).await.unwrap();
        // Two seconds: the emulators have no shorter deadline than ten, but what was given back would be here.
        nothing_comes(tested, &sub, Duration::from_secs(2)).await;
        service.end_pulling(&sub).await.unwrap();
    });
}

#[test]
fn what_was_out_comes_again_when_the_pulling_ends() {
    each(async |tested| {
        let service = &*tested.service;
        if tested.name == "local" {
            // It waits for the ack deadline; its own tests show that.
            return;
        }
        let (topic, sub) = topic(service, plain()).await;
        let messages = ["a", "b", "c"].map(NewMessage::new).to_vec();
        service.publish(&topic, messages).await.unwrap();
        let received = pull(tested, &sub, 3).await;
        // The acknowledgement is on its way when the pulling ends, and arrives.
        service
            .acknowledge(&sub, &ack_ids(&received[..1]))
            .await
            .unwrap();
        service.end_pulling(&sub).await.unwrap();
        let mut again = data(&pull(tested, &sub, 2).await);
        let mut expected = data(&received[1..]);
        again.sort_unstable();
        expected.sort_unstable();
        assert_eq!(again, expected, "{}", tested.name);
        nothing_comes(tested, &sub, Duration::from_millis(500)).await;
        // What the pulling that ended had given out is unknown now.
        let late = service.acknowledge_each(&sub, &["999999".into()]).await;
        assert_eq!(late.unwrap().len(), 1, "{}", tested.name);
        service.end_pulling(&sub).await.unwrap();
    });
}

#[test]
fn a_key_is_delivered_in_order_even_what_comes_again() {
    each(async |tested| {
        let service = &*tested.service;
        let (topic, sub) = topic(service, plain().ordered()).await;
        let keys = ["x", "y", "z"];
        let message = |n: usize| NewMessage::new(n.to_string()).ordering_key(keys[n % 3]);
        let done = service
            .publish_each(&topic, (0..60).map(message).collect())
            .await;
        assert!(done.iter().all(Result::is_ok), "{}: {done:?}", tested.name);
        let mut of_keys = [const { Vec::new() }; 3];
        while of_keys.iter().map(Vec::len).sum::<usize>() < 60 {
            let received = pull(tested, &sub, 1).await;
            let number: usize = data(&received)[0].parse().unwrap();
            of_keys[number % 3].push(number);
            service
                .acknowledge(&sub, &ack_ids(&received))
                .await
                .unwrap();
        }
        for (key, numbers) in of_keys.iter().enumerate() {
            let expected: Vec<usize> = (0..20).map(|n| 3 * n + key).collect();
            assert_eq!(numbers, &expected, "{}", tested.name);
        }
        service.end_pulling(&sub).await.unwrap();
    });
}

#[test]
fn what_is_not_there_is_named() {
    each(async |tested| {
        let service = &*tested.service;
        let error = service.publish("nobody", vec![NewMessage::new("x")]).await;
        let error = error.unwrap_err();
        assert!(
            matches!(error.kind(), PubSubErrorKind::TopicNotFound { topic } if topic.contains("nobody")),
            "{}: {error}",
            tested.name
        );
        let error = service.pull("nobody", 1).await.unwrap_err();
        assert!(
            matches!(error.kind(), PubSubErrorKind::SubscriptionNotFound { subscription }
                if subscription.contains("nobody")),
            "{}: {error}",
            tested.name
        );
        let error = service.create_subscription("sub-of-nobody", "nobody").await;
        let error = error.unwrap_err();
        assert!(
            matches!(error.kind(), PubSubErrorKind::TopicNotFound { .. }),
            "{}: {error}",
            tested.name
        );
    });
}

#[test]
fn what_is_there_is_not_created_again() {
    each(async |tested| {
        let service = &*tested.service;
        let (topic, sub) = topic(service, plain()).await;
        service.create_topic(&topic).await.unwrap();
        service.create_subscription(&sub, &topic).await.unwrap();
        let other = unique("topic");
        service.create_topic(&other).await.unwrap();
        let error = service.create_subscription(&sub, &other).await.unwrap_err();
        assert!(
            matches!(error.kind(), PubSubErrorKind::OtherTopic { actual, wanted, .. }
                if actual.ends_with(&topic) && wanted.ends_with(&other)),
            "{}: {error}",
            tested.name
        );
    });
}

#[test]
fn a_message_that_breaks_a_limit_does_not_harm_the_others() {
    each(async |tested| {
        let service = &*tested.service;
        let (topic, sub) = topic(service, plain()).await;
        let messages = || {
            vec![
                NewMessage::new("first"),
                NewMessage::new("x").attribute("name", "v".repeat(1_025)),
                NewMessage::new("last"),
            ]
        };
        let error = service.publish(&topic, messages()).await.unwrap_err();
        assert!(error.is_of_message(), "{}: {error}", tested.name);
        let done = service.publish_each(&topic, messages()).await;
        assert!(
            done[0].is_ok() && done[2].is_ok(),
            "{}: {done:?}",
            tested.name
        );
        let error = done[1].as_ref().unwrap_err();
        assert!(
            matches!(
                error.kind(),
                PubSubErrorKind::InvalidMessage {
                    reason: InvalidMessage::AttributeValueTooLong { length: 1_025, .. },
                    ..
                }
            ),
            "{}: {error}",
            tested.name
        );
        let received = pull(tested, &sub, 2).await;
        let mut data = data(&received);
        data.sort_unstable();
        assert_eq!(data, ["first", "last"], "{}", tested.name);
        service.end_pulling(&sub).await.unwrap();
    });
}

#[test]
fn many_messages_arrive_once_each() {
    each(async |tested| {
        // The fake looks through all of them for each that it delivers.
        let many = if tested.name == "pstest" { 500 } else { 5_000 };
        let service = &*tested.service;
        let (topic, sub) = topic(service, plain()).await;
        let messages = (0..many).map(|n| NewMessage::new(n.to_string()));
        let done = service.publish_each(&topic, messages.collect()).await;
        assert!(done.iter().all(Result::is_ok), "{}", tested.name);
        let received = pull(tested, &sub, many).await;
        let mut numbers: Vec<usize> = data(&received)
            .iter()
            .map(|number| number.parse().unwrap())
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..many).collect::<Vec<_>>(), "{}", tested.name);
        let failed = service.acknowledge_each(&sub, &ack_ids(&received)).await;
        assert_eq!(failed.unwrap(), [], "{}", tested.name);
        service.end_pulling(&sub).await.unwrap();
    });
}

#[test]
fn an_exactly_once_subscription_confirms() {
    each(async |tested| {
        let service = &*tested.service;
        let (topic, sub) = topic(service, plain().exactly_once()).await;
        let messages = (0..10).map(|n| NewMessage::new(n.to_string())).collect();
        service.publish(&topic, messages).await.unwrap();
        let received = pull(tested, &sub, 10).await;
        let failed = service.acknowledge_each(&sub, &ack_ids(&received)).await;
        assert_eq!(failed.unwrap(), [], "{}", tested.name);
        nothing_comes(tested, &sub, Duration::from_millis(500)).await;
        service.end_pulling(&sub).await.unwrap();
    });
}
