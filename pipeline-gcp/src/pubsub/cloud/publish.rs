//! Publishing: requests as large as they may be, and what became of each message.

use std::collections::HashSet;
use std::time::Duration;

use futures::FutureExt;
use google_cloud_pubsub::client::BasePublisher;
use google_cloud_pubsub::error::PublishError;
use google_cloud_pubsub::model::Message as CloudMessage;

use tokio::task::unconstrained;

use super::calls::{Fault, Patience};
use crate::pubsub::error::{PubSubError, PubSubErrorKind};
use crate::pubsub::message::{InvalidMessage, NewMessage};

/// Longer than any call: requests leave when they are full, or when the last message is there.
const NO_DELAY: Duration = Duration::from_secs(3_600);

/// The most that one request may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Requests {
    pub(super) messages: u32,
    pub(super) bytes: u32,
}

/// Publishes to one topic.
pub(super) struct Publish<'a> {
    pub(super) client: &'a BasePublisher,
    pub(super) topic: &'a str,
    pub(super) requests: Requests,
    pub(super) patience: Patience,
}

/// What became of a message.
type Done = Result<String, PubSubErrorKind>;

/// What the client says of a message.
enum Sent {
    Published(String),
    Fault(Fault),
    /// A message before it of the same key was not published.
    Behind,
}

impl Publish<'_> {
    /// Publishes messages that keep the limits; says what became of each.
    pub(super) async fn all(&self, messages: &[NewMessage]) -> Vec<Result<String, PubSubError>> {
        let mut done: Vec<Option<Done>> = messages.iter().map(|_| None).collect();
        let mut left = HashSet::new();
        // A request in which one message is wrong is refused as a whole: it is halved until the wrong one stands
        // alone. The halves are sent one after the other, so that the order of keys is kept.
        let mut stack = vec![(0..messages.len()).collect::<Vec<usize>>()];
        while let Some(part) = stack.pop() {
            let again = self.part(messages, &part, &mut left, &mut done).await;
            if again.is_empty() {
                continue;
            }
            let (first, second) = again.split_at(again.len().div_ceil(2));
            stack.extend([second.to_vec(), first.to_vec()]);
            stack.retain(|part| !part.is_empty());
        }
        let done = done.into_iter().zip(messages);
        done.map(|(done, message)| Ok(done.unwrap_or_else(|| Err(self.behind(message)))?))
            .collect()
    }

    /// Sends messages, and returns those to be sent again in smaller requests.
    async fn part(
        &self,
        messages: &[NewMessage],
        part: &[usize],
        left: &mut HashSet<String>,
        done: &mut [Option<Done>],
    ) -> Vec<usize> {
        let go = |index: &usize| !left.contains(messages[*index].key());
        let (part, behind): (Vec<usize>, Vec<usize>) = part.iter().partition(|index| go(index));
        for index in behind {
            done[index] = Some(Err(self.behind(&messages[index])));
        }
        let mut again = Vec::new();
        let mut wrong = HashSet::new();
        for (&index, sent) in part.iter().zip(self.send(messages, &part).await) {
            let key = messages[index].key();
            done[index] = match sent {
                Sent::Published(id) => Some(Ok(id)),
                Sent::Fault(Fault::Invalid(reason)) if part.len() == 1 => {
                    Some(Err(PubSubErrorKind::InvalidMessage {
                        topic: self.topic.to_owned(),
                        index,
                        number: messages.len(),
                        reason: InvalidMessage::Refused(reason),
                    }))
                }
                Sent::Fault(Fault::Invalid(_)) => {
                    again.push(index);
                    wrong.insert(key);
                    None
                }
                Sent::Behind if wrong.contains(key) => {
                    again.push(index);
                    None
                }
                Sent::Behind => Some(Err(self.behind(&messages[index]))),
                Sent::Fault(fault) => {
                    if !key.is_empty() {
                        left.insert(key.to_owned());
                    }
                    Some(Err(self.failed(fault)))
                }
            };
        }
        again
    }

    /// Sends messages in as many requests as it takes; those of a key one after the other.
    async fn send(&self, messages: &[NewMessage], part: &[usize]) -> Vec<Sent> {
        // One for each call: the client's keeps a task for every ordering key that it has ever seen, and a key that
        // failed is paused in it until somebody resumes it.
        let publisher = self
            .client
            .publisher(self.topic)
            .set_message_count_threshold(self.requests.messages)
            .set_byte_threshold(self.requests.bytes)
            .set_delay_threshold(NO_DELAY)
            .build();
        let sent = part.iter();
        let sent: Vec<_> = sent
            .map(|&index| publisher.publish(to_cloud(&messages[index])))
            .collect();
        // When it is over, every message has its answer, or has waited too long for it.
        let _ = tokio::time::timeout(self.patience.deadline, publisher.flush()).await;
        sent.into_iter()
            // Unconstrained, since tokio has a task yield now and then, by telling it that nothing is ready.
            .map(|sent| match unconstrained(sent).now_or_never() {
                Some(Ok(id)) => Sent::Published(id),
                Some(Err(PublishError::Rpc(answer))) => Sent::Fault(Fault::of(&answer)),
                Some(Err(PublishError::OrderingKeyPaused)) => Sent::Behind,
                Some(Err(error)) => Sent::Fault(Fault::Transient(error.to_string())),
                None => Sent::Fault(Fault::Transient(
                    "no answer; it may have been published".to_owned(),
                )),
            })
            .collect()
    }

    fn behind(&self, message: &NewMessage) -> PubSubErrorKind {
        PubSubErrorKind::BehindFailed {
            topic: self.topic.to_owned(),
            key: message.key().to_owned(),
        }
    }

    fn failed(&self, fault: Fault) -> PubSubErrorKind {
        let operation = format!("publish to {:?}", self.topic);
        match fault {
            Fault::NotFound => PubSubErrorKind::TopicNotFound {
                topic: self.topic.to_owned(),
            },
            // The client has tried until its attempts or its time were used up.
            Fault::Transient(reason) => PubSubErrorKind::GaveUp {
                operation,
                attempts: self.patience.attempts,
                elapsed: self.patience.deadline,
                reason,
            },
            fault => fault.refuse(&operation),
        }
    }
}

fn to_cloud(message: &NewMessage) -> CloudMessage {
    CloudMessage::new()
        .set_data(message.data().clone())
        .set_attributes(message.attributes().clone())
        .set_ordering_key(message.key())
}
