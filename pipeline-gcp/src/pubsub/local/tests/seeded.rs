//! Tests seeded redelivery: how often, how far out of order, and that the seed decides.

use std::collections::BTreeMap;

use super::*;

/// Publishes `number` messages and gives all deliveries as (message, attempt), pulled in portions of `most` each time
/// `every` messages are published, and at the end.
async fn deliveries(
    redelivery: Redelivery,
    number: usize,
    every: usize,
    most: usize,
) -> Vec<(usize, u32)> {
    let service = with_topic(LocalPubSub::new().with_redelivery(redelivery)).await;
    let mut seen = Vec::new();
    for published in 1..=number {
        service
            .publish("t", vec![NewMessage::new(published.to_string())])
            .await
            .unwrap();
        // Acknowledging at once does not call off the other deliveries.
        while published % every == 0 && service.counters("s").unwrap().undelivered > 0 {
            let Ok(received) = tokio::time::timeout(Duration::ZERO, pull(&service, most)).await
            else {
                break;
            };
            service.acknowledge("s", &ack_ids(&received)).await.unwrap();
            seen.extend(received);
        }
    }
    service.close("t").unwrap();
    while let Pulled::Messages(received) = service.pull("s", most).await.unwrap() {
        service.acknowledge("s", &ack_ids(&received)).await.unwrap();
        seen.extend(received);
    }
    let counters = service.counters("s").unwrap();
    assert_eq!(
        (counters.delivered, counters.acknowledged),
        (seen.len() as u64, seen.len() as u64)
    );
    assert_eq!(
        (counters.redelivered, counters.backlog_bytes),
        ((seen.len() - number) as u64, 0)
    );
    texts(&seen)
        .iter()
        .zip(&seen)
        .map(|(text, received)| (text.parse().unwrap(), received.delivery_attempt))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn delivers_one_to_three_times_within_the_window() {
    let redelivery = Redelivery {
        window: 10,
        ..Redelivery::seeded(5)
    };
    let seen = deliveries(redelivery, 300, 1, 10).await;
    let mut attempts: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    let mut highest = 0;
    for &(message, attempt) in &seen {
        attempts.entry(message).or_default().push(attempt);
        highest = highest.max(message);
        assert!(highest <= message + 10, "{message} after {highest}");
    }
    assert_eq!(attempts.len(), 300);
    let times = |n: usize| {
        attempts
            .values()
            .filter(|attempts| attempts.len() == n)
            .count()
    };
    // A hundred of each is likely; fifty are sure enough for a fixed seed.
    assert!(
        times(1) > 50 && times(2) > 50 && times(3) > 50 && times(1) + times(2) + times(3) == 300
    );
    assert!(
        attempts
            .values()
            .all(|attempts| attempts.iter().copied().eq(1..=attempts.len() as u32))
    );
    assert!(
        seen.windows(2).any(|pair| pair[0].0 > pair[1].0),
        "it is out of order"
    );
}

#[tokio::test(start_paused = true)]
async fn the_seed_decides_however_it_is_pulled() {
    let first = deliveries(Redelivery::seeded(5), 100, 1, 1).await;
    assert_eq!(deliveries(Redelivery::seeded(5), 100, 7, 30).await, first);
    assert_eq!(
        deliveries(Redelivery::seeded(5), 100, 1_000, 4).await,
        first
    );
    assert_ne!(deliveries(Redelivery::seeded(6), 100, 1, 1).await, first);
}

#[tokio::test(start_paused = true)]
async fn once_without_a_window_is_the_order_of_publishing() {
    for most in [0, 1] {
        let redelivery = Redelivery {
            seed: 1,
            most,
            window: 0,
        };
        let expected: Vec<_> = (1..=50).map(|message| (message, 1)).collect();
        assert_eq!(deliveries(redelivery, 50, 1, 3).await, expected);
    }
}
