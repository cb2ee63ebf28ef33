//! Tests that a publisher waits for slow subscribers, and only for as long as it must.

use tokio::time::timeout;

use super::*;

/// Makes a message that counts 2,000 bytes.
fn message() -> NewMessage {
    NewMessage::new(vec![b'x'; 2_000 - MESSAGE_OVERHEAD])
}

#[tokio::test(start_paused = true)]
async fn a_publisher_waits_at_the_limit_until_acknowledged() {
    let service = with_topic(LocalPubSub::new().with_backlog(6_000)).await;
    service.create_subscription("other", "t").await.unwrap();
    let publisher = tokio::spawn({
        let service = Arc::clone(&service);
        async move {
            service
                .publish("t", vec![message(); 5])
                .await
                .unwrap()
                .len()
        }
    });
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(service.counters("s").unwrap().backlog_bytes, 6_000);
    // Room in one subscription is not enough; neither is delivery.
    let received = pull(&service, 9).await;
    service.acknowledge("s", &ack_ids(&received)).await.unwrap();
    let other = pull_from(&service, "other", 9).await;
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(service.counters("s").unwrap().published, 3);
    service
        .acknowledge("other", &ack_ids(&other))
        .await
        .unwrap();
    assert_eq!(publisher.await.unwrap(), 5);
    assert_eq!(service.counters("s").unwrap().backlog_bytes, 4_000);
    assert_eq!(service.counters("other").unwrap().undelivered, 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_larger_than_the_backlog_gets_through_alone() {
    let service = with_topic(LocalPubSub::new().with_backlog(0)).await;
    service.publish("t", vec![message()]).await.unwrap();
    assert!(
        timeout(seconds(1), service.publish("t", vec![message()]))
            .await
            .is_err()
    );
    let received = pull(&service, 9).await;
    assert_eq!(
        received.len(),
        1,
        "the dropped publisher has published nothing"
    );
    service.acknowledge("s", &ack_ids(&received)).await.unwrap();
    service.publish("t", vec![message()]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn closing_wakes_a_waiting_publisher() {
    let service = with_topic(LocalPubSub::new().with_backlog(1)).await;
    let (published, ()) = tokio::join!(service.publish("t", vec![message(), message()]), async {
        tokio::task::yield_now().await;
        service.close("t").unwrap();
    });
    assert!(matches!(
        published.unwrap_err().kind(),
        PubSubErrorKind::TopicClosed { .. }
    ));
    assert_eq!(service.counters("s").unwrap().published, 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_backlog_lets_go_what_redelivery_holds_back() {
    let redelivery = Redelivery {
        seed: 1,
        most: 3,
        window: 1_000,
    };
    let service = with_topic(
        LocalPubSub::new()
            .with_redelivery(redelivery)
            .with_backlog(6_000),
    )
    .await;
    let consumer = tokio::spawn({
        let service = Arc::clone(&service);
        async move {
            while let Pulled::Messages(received) = service.pull("s", 2).await.unwrap() {
                service.acknowledge("s", &ack_ids(&received)).await.unwrap();
            }
        }
    });
    timeout(seconds(60), service.publish("t", vec![message(); 100]))
        .await
        .expect("it does not get stuck")
        .unwrap();
    service.close("t").unwrap();
    consumer.await.unwrap();
    let counters = service.counters("s").unwrap();
    assert_eq!(
        (
            counters.published,
            counters.backlog_bytes,
            counters.undelivered
        ),
        (100, 0, 0)
    );
    assert_eq!(counters.acknowledged, counters.delivered);
}

#[tokio::test]
async fn many_publishers_and_pullers_lose_nothing() {
    let service = with_topic(LocalPubSub::new().with_backlog(10_000)).await;
    let consumers: Vec<_> = (0..3)
        .map(|most| {
            let service = Arc::clone(&service);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let mut seen = Vec::new();
                    while let Pulled::Messages(received) =
                        service.pull("s", most + 1).await.unwrap()
                    {
                        service.acknowledge("s", &ack_ids(&received)).await.unwrap();
                        seen.extend(
                            received
                                .into_iter()
                                .map(|received| received.message.message_id().to_owned()),
                        );
                    }
                    seen
                })
            })
        })
        .collect();
    let publishers: Vec<_> = (0..3)
        .map(|_| {
            let service = Arc::clone(&service);
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for _ in 0..500 {
                    ids.extend(service.publish("t", vec![message(); 2]).await.unwrap());
                }
                ids
            })
        })
        .collect();
    let mut published = Vec::new();
    for publisher in publishers {
        published.extend(publisher.await.unwrap());
    }
    service.close("t").unwrap();
    let mut seen: Vec<_> = consumers
        .into_iter()
        .flat_map(|consumer| consumer.join().unwrap())
        .collect();
    published.sort();
    seen.sort();
    assert_eq!((seen.len(), seen), (3_000, published));
}
