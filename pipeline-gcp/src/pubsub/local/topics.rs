//! Keeps topics and their subscriptions, and finds them by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::super::error::PubSubErrorKind;
use super::super::message::NewMessage;
use super::super::service::{Pulled, SubscriptionOptions};
use super::subscription::Subscription;
use super::{JournalEntry, Settings};

/// Holds all state of a local service.
pub(super) struct Topics {
    pub(super) settings: Settings,
    topics: BTreeMap<String, Topic>,
    subscriptions: BTreeMap<String, Subscribed>,
    next_message_id: u64,
    next_ack_id: u64,
}

struct Topic {
    name: Arc<str>,
    closed: bool,
    subscriptions: Vec<String>,
}

struct Subscribed {
    topic: String,
    subscription: Subscription,
}

impl Topics {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            topics: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            next_message_id: 1,
            next_ack_id: 1,
        }
    }

    pub(super) fn create_topic(&mut self, topic: &str) {
        self.topics
            .entry(topic.to_owned())
            .or_insert_with(|| Topic {
                name: topic.into(),
                closed: false,
                subscriptions: Vec::new(),
            });
    }

    pub(super) fn create_subscription(
        &mut self,
        name: &str,
        topic: &str,
        options: &SubscriptionOptions,
    ) -> Result<(), PubSubErrorKind> {
        let found = topic_mut(&mut self.topics, topic)?;
        if let Some(Subscribed { topic: actual, .. }) = self.subscriptions.get(name) {
            if actual == topic {
                return Ok(());
            }
            return Err(PubSubErrorKind::OtherTopic {
                subscription: name.to_owned(),
                actual: actual.clone(),
                wanted: topic.to_owned(),
            });
        }
        let number = self.subscriptions.len() as u64;
        let mut settings = self.settings.clone();
        settings.ack_deadline = options.deadline().unwrap_or(settings.ack_deadline);
        let subscription =
            Subscription::new(name, number, settings, found.closed, options.is_ordered());
        found.subscriptions.push(name.to_owned());
        self.subscriptions.insert(
            name.to_owned(),
            Subscribed {
                topic: topic.to_owned(),
                subscription,
            },
        );
        Ok(())
    }

    /// Says that a topic can be published to, or why not.
    pub(super) fn open_topic(&mut self, topic: &str) -> Result<(), PubSubErrorKind> {
        if topic_mut(&mut self.topics, topic)?.closed {
            return Err(PubSubErrorKind::TopicClosed {
                topic: topic.to_owned(),
            });
        }
        Ok(())
    }

    /// Publishes a message and gives its id, or gives it back while a subscription is full.
    pub(super) fn publish(
        &mut self,
        topic: &str,
        message: NewMessage,
        time: DateTime<Utc>,
    ) -> Result<Result<String, NewMessage>, PubSubErrorKind> {
        self.open_topic(topic)?;
        let found = topic_mut(&mut self.topics, topic)?;
        let subscriptions = &mut self.subscriptions;
        if found.subscriptions.iter().any(|name| {
            subscriptions
                .get(name)
                .is_some_and(|s| s.subscription.is_full())
        }) {
            return Ok(Err(message));
        }
        let id = self.next_message_id.to_string();
        self.next_message_id += 1;
        let size = message.size();
        let message = message.published(id.clone(), time);
        self.settings.journal.write(|| JournalEntry::Published {
            topic: Arc::clone(&found.name),
            message: message.clone(),
        });
        for name in &found.subscriptions {
            if let Some(subscribed) = subscriptions.get_mut(name) {
                subscribed.subscription.push(message.clone(), size);
            }
        }
        Ok(Ok(id))
    }

    /// Gives messages, or that the topic is closed, or else when the next deadline passes, if anything is out.
    pub(super) fn pull(
        &mut self,
        subscription: &str,
        most: usize,
        now: Instant,
    ) -> Result<Result<Pulled, Option<Instant>>, PubSubErrorKind> {
        let found = subscription_mut(&mut self.subscriptions, subscription)?;
        let received = found.take(most, &mut self.next_ack_id, now);
        Ok(if !received.is_empty() {
            Ok(Pulled::Messages(received))
        } else if found.is_drained() {
            Ok(Pulled::Closed)
        } else {
            Err(found.next_deadline())
        })
    }

    pub(super) fn close(&mut self, topic: &str) -> Result<(), PubSubErrorKind> {
        let found = topic_mut(&mut self.topics, topic)?;
        found.closed = true;
        for name in &found.subscriptions {
            if let Some(subscribed) = self.subscriptions.get_mut(name) {
                subscribed.subscription.close();
            }
        }
        Ok(())
    }

    pub(super) fn subscription(
        &mut self,
        subscription: &str,
    ) -> Result<&mut Subscription, PubSubErrorKind> {
        subscription_mut(&mut self.subscriptions, subscription)
    }
}

fn topic_mut<'a>(
    topics: &'a mut BTreeMap<String, Topic>,
    topic: &str,
) -> Result<&'a mut Topic, PubSubErrorKind> {
    topics
        .get_mut(topic)
        .ok_or_else(|| PubSubErrorKind::TopicNotFound {
            topic: topic.to_owned(),
        })
}

fn subscription_mut<'a>(
    subscriptions: &'a mut BTreeMap<String, Subscribed>,
    subscription: &str,
) -> Result<&'a mut Subscription, PubSubErrorKind> {
    match subscriptions.get_mut(subscription) {
        Some(subscribed) => Ok(&mut subscribed.subscription),
        None => Err(PubSubErrorKind::SubscriptionNotFound {
            subscription: subscription.to_owned(),
        }),
    }
}
