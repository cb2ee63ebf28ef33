//! Publishes to the local topic, with tokio's clock paused.

use std::sync::Arc;

use pipeline_examples::courier_chat::publisher::*;
use std::time::Duration;
use tokio::time::Instant;

use pipeline_examples::courier_chat::*;
use pipeline_gcp::pubsub::{LocalPubSub, PubSub, PubSubErrorKind, Pulled};

async fn topic() -> Arc<LocalPubSub> {
    let service = LocalPubSub::new();
    service.create_topic("chat").await.unwrap();
    service
        .create_subscription("chat-sub", "chat")
        .await
        .unwrap();
    Arc::new(service)
}

fn lines(input: &[u8]) -> LineReader<&[u8]> {
    LineReader::new(input)
}

#[tokio::test(start_paused = true)]
async fn publishes_every_record_with_its_id() {
    let service = topic().await;
    let mut long = b"a\n\n".to_vec();
    long.resize(long.len() + 10_000_001, b'x');
    long.extend(b"\nb\r\n");
    let counts = publish_lines(lines(&long), &*service, "chat", Duration::ZERO);
    let counts = counts.await.unwrap();
    assert_eq!((counts.records, counts.too_long, counts.blank), (2, 1, 1));
    let Pulled::Messages(received) = service.pull("chat-sub", 10).await.unwrap() else {
        panic!()
    };
    let data: Vec<_> = received
        .iter()
        .map(|received| received.message.data().clone())
        .collect();
    let beginning = "x".repeat(1_024);
    assert_eq!(data, ["a", &*beginning, "b"]);
    let length = received[1].message.attribute("length");
    assert_eq!(length, Some("10000001"));
    // XXH64 with seed 0 of "a", a vector of the xxHash project.
    assert_eq!(
        received[0].message.attribute("id"),
        Some("000000000001-d24ec4f1a98c6e5b")
    );
    assert!(
        received[2]
            .message
            .attribute("id")
            .unwrap()
            .starts_with("000000000004-")
    );
}

#[tokio::test(start_paused = true)]
async fn keeps_the_interval() {
    let service = topic().await;
    let start = Instant::now();
    let interval = Duration::from_millis(300);
    publish_lines(lines(b"a\nb\nc\n"), &*service, "chat", interval)
        .await
        .unwrap();
    assert_eq!(start.elapsed(), Duration::from_millis(600));
}

#[tokio::test]
async fn says_at_which_line_it_stopped() {
    let service = topic().await;
    service.close("chat").unwrap();
    let error = publish_lines(lines(b"\na\n"), &*service, "chat", Duration::ZERO)
        .await
        .unwrap_err();
    let PublishError::Topic { line: 2, error } = &error else {
        panic!("{error}")
    };
    assert!(matches!(error.kind(), PubSubErrorKind::TopicClosed { .. }));

    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::PermissionDenied.into())
        }
    }
    let reader = LineReader::new(std::io::BufReader::new(Broken));
    let error = publish_lines(reader, &*service, "chat", Duration::ZERO)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the input cannot be read after line 0: "),
        "{error}"
    );
}
