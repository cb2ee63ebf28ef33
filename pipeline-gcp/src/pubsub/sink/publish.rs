//! Publishes the messages of a batch, those that are left when it is tried again.

use std::sync::Arc;
use std::time::Duration;

use pipeline_core::{Error, Result};

use crate::pubsub::error::{PubSubError, PubSubErrorKind};
use crate::pubsub::message::NewMessage;
use crate::pubsub::service::PubSub;

/// The number of attempts while a service says that its error may pass, and the pause after the first; each further
/// one is twice as long.
const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// What became of the messages of a batch.
pub(super) struct Publishing {
    service: Arc<dyn PubSub>,
    topic: Arc<str>,
    states: Vec<State>,
}

enum State {
    Waits,
    Published,
    Refused(PubSubError),
}

impl Publishing {
    pub(super) fn new(service: &Arc<dyn PubSub>, topic: &Arc<str>) -> Publishing {
        Publishing {
            service: Arc::clone(service),
            topic: Arc::clone(topic),
            states: Vec::new(),
        }
    }

    /// Begins a batch.
    pub(super) fn begin(&mut self) {
        self.states.clear();
    }

    /// Publishes the messages of a batch; called again for the same, those that are left. When it is well, each is
    /// published or refused.
    pub(super) async fn all(&mut self, messages: &[NewMessage]) -> Result<()> {
        self.states.resize_with(messages.len(), || State::Waits);
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let Some(error) = self.once(messages).await else {
                break;
            };
            if !error.is_transient() {
                return Err(Error::connector(error));
            }
            if attempt == ATTEMPTS {
                return Err(Error::connector(format!(
                    "{error} (after {attempt} attempts)"
                )));
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(())
    }

    /// Returns why some were not published, if so.
    async fn once(&mut self, messages: &[NewMessage]) -> Option<PubSubError> {
        let waits = |(_, state): &(usize, &State)| matches!(state, State::Waits);
        let waiting = self.states.iter().enumerate().filter(waits);
        let waiting: Vec<usize> = waiting.map(|(index, _)| index).collect();
        if waiting.is_empty() {
            return None;
        }
        let sent = waiting.iter().map(|&index| messages[index].clone());
        let done = self.service.publish_each(&self.topic, sent.collect()).await;
        let mut why = None;
        for (index, done) in waiting.into_iter().zip(done) {
            match done {
                Ok(_) => self.states[index] = State::Published,
                Err(error) if error.is_of_message() => self.states[index] = State::Refused(error),
                // The one that it is behind says more.
                Err(error) if matches!(error.kind(), PubSubErrorKind::BehindFailed { .. }) => {
                    why.get_or_insert(error);
                }
                Err(error) => match &why {
                    Some(first)
                        if !matches!(first.kind(), PubSubErrorKind::BehindFailed { .. }) => {}
                    _ => why = Some(error),
                },
            }
        }
        why
    }

    /// Returns those that were refused, with their places.
    pub(super) fn refused(&self) -> impl Iterator<Item = (usize, &PubSubError)> {
        let states = self.states.iter().enumerate();
        states.filter_map(|(index, state)| match state {
            State::Refused(error) => Some((index, error)),
            _ => None,
        })
    }
}
