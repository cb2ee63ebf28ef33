//! Publishes the lines of a file onto a topic, one message a line.

use std::io::BufRead;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::input::{Line, LineCounts, LineId, LineReader};
use pipeline_gcp::pubsub::{NewMessage, PubSub, PubSubError};

/// The attribute that holds a message's [`LineId`], its identity.
pub const ID_ATTRIBUTE: &str = "id";

/// The attribute that holds the length of a record of which only the beginning was published.
pub const LENGTH_ATTRIBUTE: &str = "length";

/// Says why publishing stopped; the lines before are published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The input could not be read.
    #[error("the input cannot be read after line {line}: {error}")]
    Input {
        /// The last line that was read.
        line: u64,
        /// What the reader says.
        #[source]
        error: std::io::Error,
    },
    /// The topic refused a line.
    #[error("line {line} cannot be published: {error}")]
    Topic {
        /// The line.
        line: u64,
        /// What the service says.
        #[source]
        error: PubSubError,
    },
}

/// Publishes every record of `lines` with the attribute [`ID_ATTRIBUTE`], one every `interval`, until the input ends.
///
/// The first goes out at once, the n-th no earlier than n − 1 intervals later; zero publishes as fast as the topic
/// takes them. Of a record that is too long for a message, the first [`PREFIX`](super::input::PREFIX) bytes are
/// published, with its length in the attribute [`LENGTH_ATTRIBUTE`]. The topic is left open. Reading the input blocks
/// the thread, so give standard input a thread of its own.
///
/// # Errors
/// [`PublishError`], with the line at which it stopped.
pub async fn publish_lines<R: BufRead>(
    lines: LineReader<R>,
    service: &dyn PubSub,
    topic: &str,
    interval: Duration,
) -> Result<LineCounts, PublishError> {
    publish_and_tell(lines, service, topic, interval, |_, _| {}).await
}

/// Does the same, and tells of each line before it is published, with the counts up to it.
///
/// # Errors
/// The same.
pub async fn publish_and_tell<R: BufRead>(
    mut lines: LineReader<R>,
    service: &dyn PubSub,
    topic: &str,
    interval: Duration,
    tell: impl Fn(LineId, LineCounts),
) -> Result<LineCounts, PublishError> {
    let mut next = Instant::now();
    loop {
        let before = lines.counts().lines;
        let (id, message) = match lines.next_line() {
            Err(error) => {
                return Err(PublishError::Input {
                    line: before,
                    error,
                });
            }
            Ok(None) => return Ok(lines.counts()),
            Ok(Some(line)) => message(&line),
        };
        if !interval.is_zero() {
            tokio::time::sleep_until(next).await;
            next += interval;
        }
        tell(id, lines.counts());
        service
            .publish(topic, vec![message])
            .await
            .map_err(|error| PublishError::Topic {
                line: id.number(),
                error,
            })?;
    }
}

/// Makes the message of a line, with its id.
pub fn message(line: &Line<'_>) -> (LineId, NewMessage) {
    let of = |id: &LineId, bytes: &[u8]| {
        NewMessage::new(Bytes::copy_from_slice(bytes)).attribute(ID_ATTRIBUTE, id.to_string())
    };
    match line {
        Line::Record { id, bytes } => (*id, of(id, bytes)),
        Line::TooLong { id, prefix, length } => (
            *id,
            of(id, prefix).attribute(LENGTH_ATTRIBUTE, length.to_string()),
        ),
    }
}
