//! When a message happened.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono::DateTime;
use pipeline_core::Timestamp;

use crate::pubsub::message::Message;

type TimestampWith = Arc<dyn Fn(&Message) -> Option<Timestamp> + Send + Sync>;

/// Where event times come from.
#[derive(Clone)]
pub(super) enum EventTime {
    /// The time of publishing.
    Published,
    Attribute(Arc<str>),
    With(TimestampWith),
}

/// A message without an event time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(super) struct NoEventTime {
    reason: String,
    /// What the message has besides its data, which is the dead letter's original.
    #[source]
    message: Envelope,
}

impl EventTime {
    /// Returns the event time of a message.
    pub(super) fn of(&self, message: &Message) -> Result<Timestamp, Box<NoEventTime>> {
        let found = match self {
            EventTime::Published => {
                let millis = message.publish_time().timestamp_millis();
                Ok(Timestamp::from_millis(millis))
            }
            EventTime::Attribute(name) => match message.attribute(name) {
                Some(text) => parse(text).ok_or_else(|| {
                    format!(
                        "the timestamp attribute {name:?} is {text:?}, neither a number of milliseconds since the \
                         epoch nor a time of RFC 3339 such as 2015-10-29T23:41:41.123Z"
                    )
                }),
                None => Err(format!("the timestamp attribute {name:?} is missing")),
            },
            EventTime::With(timestamp) => {
                timestamp(message).ok_or_else(|| "the message has no event time".to_owned())
            }
        };
        found.map_err(|reason| {
            Box::new(NoEventTime {
                reason,
                message: Envelope::of(message),
            })
        })
    }

    /// Tells whether it is the program's own function.
    pub(super) fn is_function(&self) -> bool {
        matches!(self, EventTime::With(_))
    }
}

/// Reads a timestamp attribute as Beam's Pub/Sub connectors do (`withTimestampAttribute`): a whole number of
/// milliseconds since the epoch, or a time as in RFC 3339, of which digits beyond milliseconds are passed over.
fn parse(text: &str) -> Option<Timestamp> {
    let millis = match text.parse::<i64>() {
        Ok(millis) => millis,
        Err(_) => DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis(),
    };
    let (first, last) = (Timestamp::MIN, Timestamp::END_OF_GLOBAL_WINDOW);
    let possible = (first.millis()..=last.millis()).contains(&millis);
    possible.then(|| Timestamp::from_millis(millis))
}

/// What a message has besides its data: JSON, with the field names of Pub/Sub's REST interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope(String);

impl Envelope {
    pub(crate) fn of(message: &Message) -> Envelope {
        let published = message.publish_time().to_rfc3339();
        let id = Some((message.message_id(), published.as_str()));
        Envelope::new(message.attributes(), message.ordering_key(), id)
    }

    pub(crate) fn new(
        attributes: &BTreeMap<String, String>,
        ordering_key: &str,
        published: Option<(&str, &str)>,
    ) -> Envelope {
        let mut fields = serde_json::Map::new();
        fields.insert("attributes".to_owned(), serde_json::json!(attributes));
        if !ordering_key.is_empty() {
            fields.insert("orderingKey".to_owned(), ordering_key.into());
        }
        if let Some((id, time)) = published {
            fields.insert("messageId".to_owned(), id.into());
            fields.insert("publishTime".to_owned(), time.into());
        }
        Envelope(serde_json::Value::from(fields).to_string())
    }
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Envelope {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_milliseconds_or_rfc_3339() {
        for (text, expected) in [
            ("1446162101123", Some(1_446_162_101_123)),
            ("0", Some(0)),
            ("-5", Some(-5)),
            ("2015-10-29T23:41:41.123Z", Some(1_446_162_101_123)),
            ("2015-10-29T23:41:41Z", Some(1_446_162_101_000)),
            ("2015-10-29T23:41:41.123999Z", Some(1_446_162_101_123)),
            ("2015-10-29T23:41:41.1Z", Some(1_446_162_101_100)),
            ("2015-10-30T01:41:41+02:00", Some(1_446_162_101_000)),
            ("", None),
            ("12.5", None),
            ("2015-10-29", None),
            ("2015-10-29T23:41:41", None),
            ("not-a-timestamp", None),
            ("9223372036854775807", None),
        ] {
            assert_eq!(parse(text).map(Timestamp::millis), expected, "{text:?}");
        }
    }

    #[test]
    fn what_a_message_without_a_time_had_is_said() {
        let message = crate::pubsub::NewMessage::new("x")
            .attribute("b", "2")
            .attribute("a", "\"1\"")
            .ordering_key("k")
            .published("7".into(), DateTime::UNIX_EPOCH);
        let error = EventTime::Attribute("ts".into()).of(&message).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the timestamp attribute \"ts\" is missing"
        );
        assert_eq!(
            error.message.to_string(),
            r#"{"attributes":{"a":"\"1\"","b":"2"},"messageId":"7","orderingKey":"k","publishTime":"1970-01-01T00:00:00+00:00"}"#
        );
    }
}
