//! Tests the limits at their edges, and the serialised form.

use super::*;

fn with_attributes(number: usize) -> NewMessage {
    (0..number).fold(NewMessage::new(""), |message, n| {
        message.attribute(n.to_string(), "")
    })
}

#[test]
fn takes_messages_up_to_the_limits() {
    for message in [
        NewMessage::new("x"),
        NewMessage::new(vec![0; 10_000_000]),
        with_attributes(1),
        with_attributes(100),
        NewMessage::new("").attribute("n".repeat(256), "v".repeat(1_024)),
    ] {
        assert_eq!(message.validate(), Ok(()));
    }
}

#[test]
fn refuses_messages_over_the_limits() {
    use InvalidMessage::*;
    for (message, reason) in [
        (NewMessage::new(""), Empty),
        (
            NewMessage::new(vec![0; 10_000_001]),
            DataTooLong { length: 10_000_001 },
        ),
        (with_attributes(101), TooManyAttributes { number: 101 }),
        (
            NewMessage::new("x").attribute("", "v"),
            AttributeWithoutName,
        ),
        (
            NewMessage::new("x").attribute("google", "v"),
            ReservedAttribute {
                name: "google".into(),
            },
        ),
        (
            NewMessage::new("x").attribute("n".repeat(257), "v"),
            AttributeNameTooLong { length: 257 },
        ),
        (
            NewMessage::new("x").ordering_key("k".repeat(1_025)),
            OrderingKeyTooLong { length: 1_025 },
        ),
        (
            NewMessage::new("x").attribute("n", "v".repeat(1_025)),
            AttributeValueTooLong {
                name: "n".into(),
                length: 1_025,
            },
        ),
    ] {
        assert_eq!(message.validate(), Err(reason));
    }
}

#[test]
fn serialises_and_comes_back_equal() {
    let time = DateTime::from_timestamp_micros(1_706_781_656_000_001).unwrap();
    let later = time + chrono::TimeDelta::nanoseconds(999);
    let message = NewMessage::new("hi")
        .attribute("id", "1")
        .ordering_key("k")
        .published("7".into(), later);
    let json = serde_json::to_string(&message).unwrap();
    assert_eq!(
        json,
        r#"{"data":[104,105],"attributes":{"id":"1"},"ordering_key":"k","message_id":"7","publish_time":1706781656000001}"#
    );
    let back: Message = serde_json::from_str(&json).unwrap();
    assert_eq!(back, message);
    assert_eq!(
        (back.attribute("id"), back.attribute("x"), back.message_id()),
        (Some("1"), None, "7")
    );
    assert_eq!((back.publish_time(), back.attributes().len()), (time, 1));
}

#[test]
fn a_clone_shares_the_message() {
    let message = NewMessage::new("hi").published("7".into(), DateTime::UNIX_EPOCH);
    assert!(Arc::ptr_eq(&message.0, &message.clone().0));
}

#[test]
fn counts_data_and_attributes() {
    assert_eq!(
        NewMessage::new("four").attribute("id", "12345").size(),
        4 + 2 + 5
    );
}
