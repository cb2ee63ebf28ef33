//! What the service does, in the terms of [`PubSub`].

use std::time::Duration;

use async_trait::async_trait;

use super::calls::{Fault, call};
use super::client::CloudPubSub;
use super::names::Kind;
use super::publish::Publish;
use super::pulling::acknowledge;
use crate::pubsub::error::{PubSubError, PubSubErrorKind};
use crate::pubsub::message::{Message, NewMessage};
use crate::pubsub::service::{
    MAX_ACK_DEADLINE, NotAcknowledged, PubSub, Pulled, SubscriptionOptions,
};

#[async_trait]
impl PubSub for CloudPubSub {
    async fn create_topic(&self, topic: &str) -> Result<(), PubSubError> {
        let name = self.name(Kind::Topic, topic)?;
        let clients = self.clients().await?;
        let operation = format!("create topic {name:?}");
        let created = call(self.settings.patience, &operation, || {
            clients.topics.create_topic().set_name(&name).send()
        });
        match created.await? {
            Ok(_) | Err(Fault::AlreadyExists) => Ok(()),
            Err(fault) => Err(fault.refuse(&operation).into()),
        }
    }

    async fn create_subscription(
        &self,
        subscription: &str,
        topic: &str,
    ) -> Result<(), PubSubError> {
        let options = SubscriptionOptions::default();
        self.create_subscription_with(subscription, topic, &options)
            .await
    }

    async fn create_subscription_with(
        &self,
        subscription: &str,
        topic: &str,
        options: &SubscriptionOptions,
    ) -> Result<(), PubSubError> {
        let name = self.name(Kind::Subscription, subscription)?;
        let topic = self.name(Kind::Topic, topic)?;
        let clients = self.clients().await?;
        let operation = format!("create subscription {name:?}");
        let deadline = options.deadline().unwrap_or_default().as_secs();
        let deadline = i32::try_from(deadline).unwrap_or(i32::MAX);
        let created = call(self.settings.patience, &operation, || {
            let create = clients.subscriptions.create_subscription();
            create
                .set_name(&name)
                .set_topic(&topic)
                .set_ack_deadline_seconds(deadline)
                .set_enable_message_ordering(options.is_ordered())
                .set_enable_exactly_once_delivery(options.is_exactly_once())
                .send()
        });
        match created.await? {
            Ok(_) => return Ok(()),
            Err(Fault::AlreadyExists) => {}
            Err(Fault::NotFound) => return Err(PubSubErrorKind::TopicNotFound { topic }.into()),
            Err(fault) => return Err(fault.refuse(&operation).into()),
        }
        let found = self
            .look_up(&clients, &name, self.settings.patience)
            .await?;
        match found.map_err(|fault| fault.refuse(&operation))? {
            found if found.topic == topic => Ok(()),
            found => Err(PubSubErrorKind::OtherTopic {
                subscription: name,
                actual: found.topic,
                wanted: topic,
            }
            .into()),
        }
    }

    async fn publish(
        &self,
        topic: &str,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<String>, PubSubError> {
        let number = messages.len();
        for (index, message) in messages.iter().enumerate() {
            if let Err(reason) = message.validate() {
                let topic = topic.to_owned();
                return Err(PubSubErrorKind::InvalidMessage {
                    topic,
                    index,
                    number,
                    reason,
                }
                .into());
            }
        }
        let done = self.publish_each(topic, messages).await;
        done.into_iter().collect()
    }

    async fn publish_each(
        &self,
        topic: &str,
        messages: Vec<NewMessage>,
    ) -> Vec<Result<String, PubSubError>> {
        let ready = async {
            let topic = self.name(Kind::Topic, topic)?;
            Ok::<_, PubSubErrorKind>((topic, self.clients().await?))
        };
        let (topic, clients) = match ready.await {
            Ok(ready) => ready,
            Err(kind) => {
                let error = PubSubError::from(kind);
                return messages.iter().map(|_| Err(error.clone())).collect();
            }
        };
        let number = messages.len();
        let (mut valid, mut done) = (Vec::with_capacity(number), Vec::with_capacity(number));
        for (index, message) in messages.into_iter().enumerate() {
            done.push(message.validate().map_err(|reason| {
                PubSubError::from(PubSubErrorKind::InvalidMessage {
                    topic: topic.clone(),
                    index,
                    number,
                    reason,
                })
            }));
            if done.last().is_some_and(Result::is_ok) {
                valid.push(message);
            }
        }
        let publish = Publish {
            client: &clients.publisher,
            topic: &topic,
            requests: self.settings.requests,
            patience: self.settings.patience,
        };
        let mut published = publish.all(&valid).await.into_iter();
        let done = done.into_iter().map(|valid| {
            valid?;
            // There is one for each that is valid.
            published.next().unwrap_or_else(|| Ok(String::new()))
        });
        done.collect()
    }

    async fn pull(&self, subscription: &str, max_messages: usize) -> Result<Pulled, PubSubError> {
        if max_messages == 0 {
            let subscription = subscription.to_owned();
            return Err(PubSubErrorKind::NoMessagesAsked { subscription }.into());
        }
        let pulling = self.pulling(subscription).await?;
        Ok(Pulled::Messages(pulling.pull(max_messages).await?))
    }

    async fn acknowledge(&self, subscription: &str, ack_ids: &[String]) -> Result<(), PubSubError> {
        self.acknowledge_each(subscription, ack_ids).await?;
        Ok(())
    }

    async fn acknowledge_each(
        &self,
        subscription: &str,
        ack_ids: &[String],
    ) -> Result<Vec<NotAcknowledged>, PubSubError> {
        self.name(Kind::Subscription, subscription)?;
        let deadline = self.settings.patience.deadline;
        let (mut failed, mut left) = (Vec::new(), ack_ids.to_vec());
        for pulling in self.pulled(subscription) {
            let handlers = pulling.call_in(&mut left);
            failed.extend(acknowledge(handlers, deadline).await);
        }
        failed.extend(left.into_iter().map(|ack_id| NotAcknowledged {
            ack_id,
            reason: "it is not out, or its stream has ended".to_owned(),
        }));
        Ok(failed)
    }

    fn give_back(&self, subscription: &str, ack_ids: &[String]) {
        let mut left = ack_ids.to_vec();
        for pulling in self.pulled(subscription) {
            // A handler that is dropped gives back.
            drop(pulling.call_in(&mut left));
        }
    }

    async fn end_pulling(&self, subscription: &str) -> Result<(), PubSubError> {
        match self.take_pulling(subscription) {
            Some(pulling) => Ok(pulling.end(self.settings.patience.deadline).await?),
            None => Ok(()),
        }
    }

    /// Zero gives back. Any other deadline changes nothing: the client extends by itself.
    async fn modify_ack_deadline(
        &self,
        subscription: &str,
        ack_ids: &[String],
        deadline: Duration,
    ) -> Result<(), PubSubError> {
        if deadline > MAX_ACK_DEADLINE {
            return Err(PubSubErrorKind::DeadlineTooLong { deadline }.into());
        }
        if deadline.is_zero() {
            self.give_back(subscription, ack_ids);
        }
        Ok(())
    }

    fn ack_deadline(&self, _subscription: &str) -> Duration {
        self.settings.lease
    }

    fn extends_leases(&self) -> bool {
        true
    }

    fn most_unacknowledged(&self, _subscription: &str) -> Option<u64> {
        Some(self.settings.bytes.into())
    }

    /// A message counts its bytes, or its part of the number of messages, whichever is more.
    fn unacknowledged_size(&self, message: &Message) -> u64 {
        let part = self.settings.bytes / self.settings.messages;
        (message.size() as u64).max(part.into())
    }
}
