//! Lets a test hear what happens, in the order in which it happens.

use std::sync::Arc;

use super::super::message::Message;

/// Tells of one event at the service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalEntry {
    /// A topic took a message in.
    Published {
        /// The topic.
        topic: Arc<str>,
        /// The message.
        message: Message,
    },
    /// A message was handed to a pull.
    Delivered {
        /// The subscription.
        subscription: Arc<str>,
        /// The message.
        message: Message,
        /// Which delivery of the message this is, from 1.
        delivery_attempt: u32,
    },
    /// A delivery was acknowledged in time.
    Acknowledged {
        /// The subscription.
        subscription: Arc<str>,
        /// The message.
        message: Message,
    },
}

/// Holds the hook, if there is one.
#[derive(Clone, Default)]
pub(super) struct Journal(Option<Arc<dyn Fn(JournalEntry) + Send + Sync>>);

impl Journal {
    pub(super) fn new(hear: Arc<dyn Fn(JournalEntry) + Send + Sync>) -> Self {
        Self(Some(hear))
    }

    /// Tells the hook; the entry is made only if somebody hears it.
    pub(super) fn write(&self, entry: impl FnOnce() -> JournalEntry) {
        if let Some(hear) = &self.0 {
            hear(entry());
        }
    }
}
