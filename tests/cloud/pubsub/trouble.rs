//! What a client says and does when calls fail, against the server that fails by script.

use std::time::{Duration, Instant};

use pipeline_gcp::pubsub::{
    CloudPubSub, NewMessage, PubSub, PubSubError, PubSubErrorKind, Pulled, ReceivedMessage,
    SubscriptionOptions,
};
use tonic::Code;

use super::services::client;
use crate::faults::pubsub::{Action, Call, PubSubServer};
use crate::servers::free_port;

const DEADLINE: Duration = Duration::from_secs(2);

/// A server with a topic and a subscription, and a client that is quick to lose patience.
async fn start(options: SubscriptionOptions) -> (PubSubServer, CloudPubSub) {
    let server = PubSubServer::start();
    let service = server.client().deadline(DEADLINE);
    service.create_topic("topic").await.unwrap();
    let created = service.create_subscription_with("sub", "topic", &options);
    created.await.unwrap();
    (server, service)
}

fn plain() -> SubscriptionOptions {
    SubscriptionOptions::default()
}

async fn publish(service: &CloudPubSub, data: impl IntoIterator<Item = usize>) {
    let messages = data.into_iter().map(|n| NewMessage::new(n.to_string()));
    let done = service.publish("topic", messages.collect()).await;
    done.unwrap();
}

/// Pulls until so many are there.
async fn pull(service: &CloudPubSub, number: usize) -> Vec<ReceivedMessage> {
    let mut all = Vec::new();
    while all.len() < number {
        let pulled = service.pull("sub", number - all.len());
        let pulled = tokio::time::timeout(Duration::from_secs(20), pulled).await;
        match pulled.expect("something comes").unwrap() {
            Pulled::Messages(received) => all.extend(received),
            Pulled::Closed => panic!("a topic of the cloud is never closed"),
        }
    }
    all
}

fn ids(received: &[ReceivedMessage]) -> Vec<String> {
    received.iter().map(|r| r.ack_id.clone()).collect()
}

fn numbers(received: &[ReceivedMessage]) -> Vec<usize> {
    let data = received.iter().map(|r| r.message.data());
    let mut numbers: Vec<usize> = data
        .map(|data| String::from_utf8_lossy(data).parse().unwrap())
        .collect();
    numbers.sort_unstable();
    numbers
}

/// Says how long a call took, and its error.
async fn failing<T: std::fmt::Debug>(
    call: impl Future<Output = Result<T, PubSubError>>,
) -> (Duration, PubSubError) {
    let begin = Instant::now();
    let called = tokio::time::timeout(4 * DEADLINE, call).await;
    let error = called.expect("it does not hang").expect_err("it fails");
    (begin.elapsed(), error)
}

// #22808: stuck for days without a word.
#[tokio::test]
async fn nobody_waits_for_ever_for_a_dead_endpoint() {
    let service = client(&format!("127.0.0.1:{}", free_port())).deadline(DEADLINE);
    let checks = [
        ("create topic", failing(service.create_topic("topic")).await),
        (
            "create subscription",
            failing(service.create_subscription("sub", "topic")).await,
        ),
        (
            "look up subscription",
            failing(service.pull("sub", 1)).await,
        ),
        (
            "publish to",
            failing(service.publish("topic", vec![NewMessage::new("x")])).await,
        ),
    ];
    for (call, (elapsed, error)) in checks {
        assert!(elapsed < DEADLINE + DEADLINE / 2, "{call}: {elapsed:?}");
        let said = error.to_string();
        assert!(
            said.starts_with(&format!("Pub/Sub could not {call}")),
            "{said}"
        );
        assert!(said.contains("projects/p/"), "{said}");
        assert!(!error.is_transient(), "{said}");
    }
}

// #22808 again: an endpoint that takes the call and never answers.
#[tokio::test]
async fn nobody_waits_for_ever_for_an_answer() {
    let (server, service) = start(plain()).await;
    for call in [Call::CreateTopic, Call::GetSubscription, Call::Publish] {
        server.always(call, Action::Silence);
    }
    let checks = [
        failing(service.create_topic("topic")).await,
        failing(service.pull("sub", 1)).await,
        failing(service.publish("topic", vec![NewMessage::new("x")])).await,
    ];
    for (elapsed, error) in checks {
        assert!(elapsed < DEADLINE + DEADLINE / 2, "{elapsed:?}: {error}");
        assert!(error.to_string().contains("no answer"), "{error}");
    }
}

#[tokio::test]
async fn a_call_may_take_its_deadline_and_not_more() {
    let (server, service) = start(plain()).await;
    server.always(Call::CreateTopic, Action::Delay(DEADLINE / 2));
    service.create_topic("slow").await.unwrap();
    server.heal();
    server.always(Call::CreateTopic, Action::Delay(DEADLINE * 2));
    let (elapsed, error) = failing(service.create_topic("slower")).await;
    assert!(elapsed >= DEADLINE && elapsed < DEADLINE * 2, "{elapsed:?}");
    assert_eq!(
        error.to_string(),
        "Pub/Sub could not create topic \"projects/p/topics/slower\" within 2.0s (1 attempts): no answer"
    );
}

// #22808 again: it was there, and is not any more.
#[tokio::test]
async fn a_subscription_that_falls_silent_is_asked_for() {
    let (server, service) = start(plain()).await;
    publish(&service, 0..1).await;
    pull(&service, 1).await;
    // Quiet is no error.
    let quiet = tokio::time::timeout(2 * DEADLINE, service.pull("sub", 1)).await;
    assert!(quiet.is_err(), "{quiet:?}");
    server.always(Call::GetSubscription, Action::Silence);
    let (elapsed, error) = failing(service.pull("sub", 1)).await;
    assert!(elapsed < 2 * DEADLINE, "{elapsed:?}");
    let said = error.to_string();
    let expected = "Pub/Sub could not pull from \"projects/p/subscriptions/sub\" within";
    assert!(said.starts_with(expected), "{said}");
}

#[tokio::test]
async fn a_subscription_that_goes_away_is_named() {
    let (server, service) = start(plain()).await;
    publish(&service, 0..1).await;
    pull(&service, 1).await;
    server.forget("projects/p/subscriptions/sub");
    let (_, error) = failing(service.pull("sub", 1)).await;
    assert!(
        matches!(error.kind(), PubSubErrorKind::SubscriptionGone { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let (server, service) = start(plain()).await;
    for code in [Code::Unavailable, Code::ResourceExhausted] {
        server.on(Call::CreateTopic, [1], Action::Fail(code));
        server.on(Call::GetSubscription, [1], Action::Fail(code));
        server.on(Call::Publish, [1, 2], Action::Fail(code));
        server.on(Call::StreamingPull, [1], Action::Fail(code));
        service.create_topic("other").await.unwrap();
        publish(&service, 0..10).await;
        let received = pull(&service, 10).await;
        assert_eq!(numbers(&received), (0..10).collect::<Vec<_>>());
        service.acknowledge("sub", &ids(&received)).await.unwrap();
        service.end_pulling("sub").await.unwrap();
        server.heal();
    }
    assert_eq!(
        server
            .local()
            .counters("projects/p/subscriptions/sub")
            .unwrap()
            .published,
        20
    );
}

#[tokio::test]
async fn what_does_not_pass_is_said_at_once() {
    let (server, service) = start(plain()).await;
    server.always(Call::Publish, Action::Fail(Code::PermissionDenied));
    let (elapsed, error) = failing(service.publish("topic", vec![NewMessage::new("x")])).await;
    assert!(elapsed < DEADLINE / 2, "{elapsed:?}");
    assert_eq!(
        error.to_string(),
        "Pub/Sub refused to publish to \"projects/p/topics/topic\": PermissionDenied: by script; give the account \
         the permission"
    );
    server.always(Call::StreamingPull, Action::Fail(Code::PermissionDenied));
    let (_, error) = failing(service.pull("sub", 1)).await;
    assert!(
        error.to_string().contains("refused to pull from"),
        "{error}"
    );
}

#[tokio::test]
async fn who_may_pull_and_not_look_pulls() {
    let (server, service) = start(plain()).await;
    server.always(Call::GetSubscription, Action::Fail(Code::PermissionDenied));
    publish(&service, 0..3).await;
    assert_eq!(pull(&service, 3).await.len(), 3);
    let quiet = tokio::time::timeout(2 * DEADLINE, service.pull("sub", 1)).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

#[tokio::test]
async fn streams_that_break_lose_nothing() {
    let (server, service) = start(plain()).await;
    for stream in 1..=3 {
        server.on(
            Call::StreamingPull,
            [stream],
            Action::CutAfter(7, Code::Unavailable),
        );
    }
    publish(&service, 0..50).await;
    let received = pull(&service, 50).await;
    assert_eq!(numbers(&received), (0..50).collect::<Vec<_>>());
    assert_eq!(server.calls(Call::StreamingPull), 4);
    server.cut_streams();
    publish(&service, 50..60).await;
    let more = pull(&service, 10).await;
    assert_eq!(numbers(&more), (50..60).collect::<Vec<_>>());
    // What came on a stream that is no more can be acknowledged.
    service.acknowledge("sub", &ids(&received)).await.unwrap();
    service.end_pulling("sub").await.unwrap();
    let counters = server
        .local()
        .counters("projects/p/subscriptions/sub")
        .unwrap();
    assert_eq!((counters.acknowledged, counters.undelivered), (50, 10));
}

#[tokio::test]
async fn no_more_comes_than_may_be_out() {
    let (server, service) = start(plain()).await;
    let service = service.max_outstanding_messages(10);
    publish(&service, 0..50).await;
    let mut seen = Vec::new();
    while seen.len() < 50 {
        let received = pull(&service, 10).await;
        let more = tokio::time::timeout(Duration::from_millis(200), service.pull("sub", 1)).await;
        assert!(more.is_err(), "{more:?}");
        let counters = server
            .local()
            .counters("projects/p/subscriptions/sub")
            .unwrap();
        assert_eq!(counters.outstanding, 10);
        service.acknowledge("sub", &ids(&received)).await.unwrap();
        seen.extend(received);
    }
    assert_eq!(numbers(&seen), (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn several_streams_bring_everything_once() {
    let (server, service) = start(plain()).await;
    let service = service.streams(3).max_outstanding_messages(50);
    publish(&service, 0..150).await;
    let received = pull(&service, 150).await;
    assert_eq!(numbers(&received), (0..150).collect::<Vec<_>>());
    assert_eq!(server.calls(Call::StreamingPull), 3);
}

#[tokio::test]
async fn an_acknowledgement_that_fails_is_tried_again_or_reported() {
    let (server, service) = start(plain().exactly_once()).await;
    publish(&service, 0..3).await;
    let received = pull(&service, 3).await;
    let transient = Action::FailAcks("TRANSIENT_FAILURE_INVALID_ACK_ID");
    server.on(Call::Acknowledge, [1], transient);
    let failed = service.acknowledge_each("sub", &ids(&received)).await;
    assert_eq!(failed.unwrap(), []);
    assert_eq!(server.calls(Call::Acknowledge), 2);
    let retried = &server.journal(Call::Acknowledge)[1];
    assert_eq!(retried.len(), 1, "only the one that failed: {retried:?}");

    publish(&service, 3..6).await;
    let received = pull(&service, 3).await;
    let permanent = Action::FailAcks("PERMANENT_FAILURE_INVALID_ACK_ID");
    server.on(Call::Acknowledge, [1], permanent);
    let failed = service.acknowledge_each("sub", &ids(&received)).await;
    let failed = failed.unwrap();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(
        failed[0].reason.contains("acknowledgements failed"),
        "{failed:?}"
    );
    let counters = server
        .local()
        .counters("projects/p/subscriptions/sub")
        .unwrap();
    assert_eq!((counters.acknowledged, counters.outstanding), (5, 1));
}

#[tokio::test]
async fn what_is_not_confirmed_in_time_is_reported() {
    let (server, service) = start(plain().exactly_once()).await;
    publish(&service, 0..1).await;
    let received = pull(&service, 1).await;
    server.always(Call::Acknowledge, Action::Silence);
    let failed = service.acknowledge_each("sub", &ids(&received)).await;
    assert_eq!(failed.unwrap()[0].reason, "not confirmed within 2s");
}

// #21247: one bad record fails the others.
#[tokio::test]
async fn a_message_that_the_service_refuses_does_not_harm_the_others() {
    let (server, service) = start(plain().ordered()).await;
    let message = |n: usize| {
        let data = match n {
            13 | 40 | 41 => format!("!{n}"),
            n => n.to_string(),
        };
        NewMessage::new(data).ordering_key(["", "a", "b"][n % 3])
    };
    let done = service
        .publish_each("topic", (0..60).map(message).collect())
        .await;
    for (number, done) in done.iter().enumerate() {
        match (number, done) {
            (13 | 40 | 41, Err(error)) => {
                assert!(error.is_of_message(), "{error}");
                let said = error.to_string();
                assert!(said.contains("does not match the schema"), "{said}");
            }
            (_, done) => assert!(done.is_ok(), "{number}: {done:?}"),
        }
    }
    let received = pull(&service, 57).await;
    for key in ["a", "b"] {
        let of_key = received.iter().filter(|r| r.message.ordering_key() == key);
        let order: Vec<usize> = of_key
            .map(|r| String::from_utf8_lossy(r.message.data()).parse().unwrap())
            .collect();
        assert!(order.is_sorted() && order.len() > 15, "{key}: {order:?}");
    }
    assert_eq!(
        server
            .local()
            .counters("projects/p/subscriptions/sub")
            .unwrap()
            .published,
        57
    );
}

#[tokio::test]
async fn what_follows_a_message_of_its_key_that_failed_is_not_published() {
    let (server, service) = start(plain().ordered()).await;
    let service = service.publish_requests(1, 1_000);
    let keyed = |n: usize| NewMessage::new(n.to_string()).ordering_key("k");
    server.on(Call::Publish, [3], Action::Fail(Code::PermissionDenied));
    let done = service
        .publish_each("topic", (0..6).map(keyed).collect())
        .await;
    assert!(done[0].is_ok() && done[1].is_ok(), "{done:?}");
    let kind = |n: usize| done[n].as_ref().unwrap_err().kind();
    assert!(
        matches!(kind(2), PubSubErrorKind::Refused { .. }),
        "{done:?}"
    );
    for behind in 3..6 {
        let kind = kind(behind);
        assert!(
            matches!(kind, PubSubErrorKind::BehindFailed { key, .. } if key == "k"),
            "{kind}"
        );
    }
    assert_eq!(server.calls(Call::Publish), 3);
    // The key is not closed for good: the caller goes on where it failed.
    let done = service
        .publish_each("topic", (2..6).map(keyed).collect())
        .await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let said: Vec<String> = server.journal(Call::Publish).concat();
    assert_eq!(said, ["0", "1", "2", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn what_is_held_longer_than_the_longest_lease_comes_again() {
    let (server, service) = start(plain()).await;
    let service = service
        .max_lease(Duration::ZERO)
        .lease(Duration::from_secs(10));
    publish(&service, 0..1).await;
    let first = pull(&service, 1).await;
    let begin = Instant::now();
    let again = pull(&service, 1).await;
    assert!(
        begin.elapsed() < Duration::from_secs(15),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(again[0].message.message_id(), first[0].message.message_id());
    // Of a subscription that is not exactly-once the client does not say that this was too late.
    service.acknowledge("sub", &ids(&first)).await.unwrap();
    service.acknowledge("sub", &ids(&again)).await.unwrap();
    service.end_pulling("sub").await.unwrap();
    let counters = server
        .local()
        .counters("projects/p/subscriptions/sub")
        .unwrap();
    assert_eq!(
        (counters.acknowledged, counters.late_acknowledgements),
        (1, 1)
    );
}

#[tokio::test]
async fn what_is_held_is_extended() {
    let (server, service) = start(plain()).await;
    let service = service.lease(Duration::from_secs(10));
    publish(&service, 0..5).await;
    let received = pull(&service, 5).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    service.acknowledge("sub", &ids(&received)).await.unwrap();
    service.end_pulling("sub").await.unwrap();
    let counters = server
        .local()
        .counters("projects/p/subscriptions/sub")
        .unwrap();
    assert_eq!((counters.acknowledged, counters.delivered), (5, 5));
    assert!(server.calls(Call::Extend) > 0);
}
