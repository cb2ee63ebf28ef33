//! Dead letters as messages: to a topic, and back.
//!
//! The data is the record's original bytes; the rest are attributes:
//!
//! | attribute | what it holds |
//! |---|---|
//! | `reason` | the outermost error |
//! | `error_1`, `error_2`, … | the errors below it, sixteen at most |
//! | `transform` | the path of the transform that refused the record |
//! | `event_time`, `ingestion_time` | milliseconds since the epoch |
//! | `attempts` | how often the record has been processed, from 1 |
//!
//! Pub/Sub takes 1,024 bytes in an attribute: longer text is cut, and ends with `…`. A record whose original is longer
//! than [`MAX_DATA`](super::message::MAX_DATA) is refused by the sink.

use std::sync::Arc;

use pipeline_core::prelude::*;
use pipeline_core::sink::Written;

use super::message::{MAX_ATTRIBUTE_VALUE, Message, NewMessage};
use super::service::PubSub;
use super::sink::PubSubSink;

/// The attribute of the outermost error.
pub const REASON: &str = "reason";
/// The attribute of the transform's path.
pub const TRANSFORM: &str = "transform";
/// The attribute of the event time.
pub const EVENT_TIME: &str = "event_time";
/// The attribute of the time at which the record was refused.
pub const INGESTION_TIME: &str = "ingestion_time";
/// The attribute of the number of attempts.
pub const ATTEMPTS: &str = "attempts";

/// The most errors below the outermost that are kept.
const MOST_ERRORS: usize = 16;

/// Says why a message is no dead letter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message {message_id} is no dead letter: its attribute {attribute:?} {wrong}")]
pub struct NoDeadLetter {
    /// The message's id.
    pub message_id: String,
    /// The attribute that is missing or wrong.
    pub attribute: &'static str,
    /// What is wrong with it.
    pub wrong: &'static str,
}

/// Makes a message of a dead letter that was processed once.
///
/// ```
/// # use pipeline_core::prelude::*;
/// use pipeline_gcp::pubsub::dead_letter::{from_message, to_message};
///
/// let record = BadRecord {
///     original: "x1".into(),
///     errors: vec!["no number".into(), "invalid digit".into()],
///     transform: "Read/Parse".into(),
///     event_time: Timestamp::from_millis(5),
///     ingestion_time: Timestamp::from_millis(7),
///     attempts: 1,
/// };
/// let message = to_message(&record).published("1".into(), Default::default());
/// assert_eq!(from_message(&message), Ok(record));
/// ```
pub fn to_message(record: &BadRecord) -> NewMessage {
    let message = NewMessage::new(record.original.clone())
        .attribute(REASON, cut(record.reason()))
        .attribute(TRANSFORM, cut(&record.transform))
        .attribute(EVENT_TIME, record.event_time.millis().to_string())
        .attribute(INGESTION_TIME, record.ingestion_time.millis().to_string())
        .attribute(ATTEMPTS, record.attempts.to_string());
    let below = record.errors.iter().enumerate().skip(1).take(MOST_ERRORS);
    below.fold(message, |message, (number, error)| {
        message.attribute(format!("error_{number}"), cut(error))
    })
}

/// Makes a dead letter of a message again.
///
/// # Errors
/// [`NoDeadLetter`] when an attribute is missing, or a time is no number.
pub fn from_message(message: &Message) -> Result<BadRecord, NoDeadLetter> {
    let wrong = |attribute, wrong| NoDeadLetter {
        message_id: message.message_id().to_owned(),
        attribute,
        wrong,
    };
    let text = |name| {
        let text = message.attribute(name);
        text.ok_or_else(|| wrong(name, "is missing"))
    };
    let time = |name| {
        let millis = text(name)?.parse();
        let millis = millis.map_err(|_| wrong(name, "is no number of milliseconds"))?;
        Ok(Timestamp::from_millis(millis))
    };
    let mut errors = vec![text(REASON)?.to_owned()];
    let below = (1..).map_while(|n| message.attribute(&format!("error_{n}")));
    errors.extend(below.map(str::to_owned));
    Ok(BadRecord {
        original: message.data().clone(),
        errors,
        transform: text(TRANSFORM)?.to_owned(),
        event_time: time(EVENT_TIME)?,
        ingestion_time: time(INGESTION_TIME)?,
        // Who else publishes such messages may not count.
        attempts: message
            .attribute(ATTEMPTS)
            .and_then(|text| text.parse().ok())
            .unwrap_or(1),
    })
}

/// Cuts text so that it fits into an attribute.
fn cut(text: &str) -> String {
    const MARK: &str = "…";
    if text.len() <= MAX_ATTRIBUTE_VALUE {
        return text.to_owned();
    }
    let most = MAX_ATTRIBUTE_VALUE - MARK.len();
    let ends = text.char_indices().map(|(end, _)| end);
    let end = ends.take_while(|end| *end <= most).last().unwrap_or(0);
    format!("{}{MARK}", &text[..end])
}

/// Writes dead letters to topics.
pub trait WriteDeadLetters {
    /// Publishes every dead letter to a topic, as the [module](self) says.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use pipeline_core::prelude::*;
    /// use pipeline_gcp::pubsub::dead_letter::WriteDeadLetters;
    /// use pipeline_gcp::pubsub::{LocalPubSub, PubSub};
    ///
    /// let service = Arc::new(LocalPubSub::new());
    /// # pollster::block_on(async {
    /// service.create_topic("dead-letters").await?;
    /// # service.create_subscription("all", "dead-letters").await
    /// # })?;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Texts", vec!["1".to_string(), "x".to_string()])
    ///         .try_map("Parse", |text| Ok(text.parse::<i64>()?))
    ///         .dead_letters
    ///         .write_to_topic("DeadLetters", service.clone(), "dead-letters");
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// assert_eq!(service.counters("all")?.published, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn write_to_topic(
        &self,
        name: &str,
        service: Arc<dyn PubSub>,
        topic: impl Into<Arc<str>>,
    ) -> Written;
}

impl WriteDeadLetters for PCollection<BadRecord> {
    fn write_to_topic(
        &self,
        name: &str,
        service: Arc<dyn PubSub>,
        topic: impl Into<Arc<str>>,
    ) -> Written {
        let topic = topic.into();
        self.apply(name, |records: PCollection<BadRecord>| {
            let messages = records.map("Message", |record: BadRecord| to_message(&record));
            messages.write("Publish", PubSubSink::new(service, topic))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> BadRecord {
        BadRecord {
            original: vec![0, 255].into(),
            errors: vec!["a".into(), "b".into(), "c".into()],
            transform: "Read/Parse".into(),
            event_time: Timestamp::MIN,
            ingestion_time: Timestamp::from_millis(1_706_781_656_120),
            attempts: 3,
        }
    }

    fn published(record: &BadRecord) -> Message {
        let message = to_message(record);
        assert_eq!(message.validate(), Ok(()));
        message.published("7".into(), Default::default())
    }

    #[test]
    fn a_dead_letter_comes_back_as_it_was() {
        for original in [vec![0, 255], vec![]] {
            let record = BadRecord {
                original: original.into(),
                ..record()
            };
            assert_eq!(from_message(&published(&record)), Ok(record));
        }
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let long = "ä".repeat(600);
        let record = BadRecord {
            errors: vec![long.clone(); 40],
            transform: "t".repeat(1_024),
            ..record()
        };
        let back = from_message(&published(&record)).unwrap();
        assert_eq!(back.errors.len(), 17);
        assert!(
            back.errors.iter().all(|error| error.ends_with("ä…")),
            "{back:?}"
        );
        assert!(back.errors.iter().all(|error| error.len() <= 1_024));
        assert_eq!(back.transform, record.transform);
    }

    #[test]
    fn what_is_no_dead_letter_is_said() {
        let message = NewMessage::new("x")
            .attribute(REASON, "r")
            .attribute(TRANSFORM, "t");
        let error = from_message(&message.clone().published("7".into(), Default::default()));
        assert_eq!(
            error.unwrap_err().to_string(),
            "message 7 is no dead letter: its attribute \"event_time\" is missing"
        );
        let message = message.attribute(EVENT_TIME, "today");
        let error = from_message(&message.published("7".into(), Default::default()));
        assert_eq!(error.unwrap_err().wrong, "is no number of milliseconds");
    }
}
