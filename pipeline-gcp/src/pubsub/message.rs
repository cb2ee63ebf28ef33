//! Describes a message before and after it is published.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};

/// The most bytes that a message's data may have: 10 MB.
pub const MAX_DATA: usize = 10_000_000;
/// The most attributes that a message may have.
pub const MAX_ATTRIBUTES: usize = 100;
/// The most bytes that the name of an attribute may have.
pub const MAX_ATTRIBUTE_KEY: usize = 256;
/// The most bytes that the value of an attribute may have.
pub const MAX_ATTRIBUTE_VALUE: usize = 1_024;

/// The most bytes that an ordering key may have.
pub const MAX_ORDERING_KEY: usize = 1_024;

/// Holds a message that is to be published.
///
/// ```
/// # use pipeline_gcp::pubsub::NewMessage;
/// let message = NewMessage::new("hello").attribute("id", "1");
/// assert_eq!(message.validate(), Ok(()));
/// assert!(NewMessage::new("").validate().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
pub struct NewMessage {
    data: Bytes,
    attributes: BTreeMap<String, String>,
    ordering_key: String,
}

impl NewMessage {
    /// Makes a message of `data` without attributes.
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self {
            data: data.into(),
            attributes: BTreeMap::new(),
            ordering_key: String::new(),
        }
    }

    /// Makes a message of `data` with attributes.
    #[cfg(feature = "gcp")]
    pub(crate) fn with_attributes(
        data: impl Into<Bytes>,
        attributes: BTreeMap<String, String>,
    ) -> Self {
        Self {
            attributes,
            ..Self::new(data)
        }
    }

    /// Sets an attribute; the last value set under a name counts.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// Has the message delivered behind those published before it under the same key, by subscriptions that are
    /// [ordered](super::SubscriptionOptions::ordered). Empty: in no order, which is the default.
    pub fn ordering_key(mut self, key: impl Into<String>) -> Self {
        self.ordering_key = key.into();
        self
    }

    /// Gives the data.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Gives all attributes, by name.
    pub fn attributes(&self) -> &BTreeMap<String, String> {
        &self.attributes
    }

    /// Gives the ordering key; empty if there is none.
    pub fn key(&self) -> &str {
        &self.ordering_key
    }

    /// Checks the message against the limits of Pub/Sub ("Quotas and limits", "Resource limits").
    ///
    /// # Errors
    /// [`InvalidMessage`] for the first limit that it breaks; such a message can never be published.
    pub fn validate(&self) -> Result<(), InvalidMessage> {
        if self.data.is_empty() && self.attributes.is_empty() {
            return Err(InvalidMessage::Empty);
        }
        if self.data.len() > MAX_DATA {
            return Err(InvalidMessage::DataTooLong {
                length: self.data.len(),
            });
        }
        if self.attributes.len() > MAX_ATTRIBUTES {
            return Err(InvalidMessage::TooManyAttributes {
                number: self.attributes.len(),
            });
        }
        for (name, value) in &self.attributes {
            if name.is_empty() {
                return Err(InvalidMessage::AttributeWithoutName);
            }
            if name.starts_with("goog") {
                return Err(InvalidMessage::ReservedAttribute { name: name.clone() });
            }
            if name.len() > MAX_ATTRIBUTE_KEY {
                return Err(InvalidMessage::AttributeNameTooLong { length: name.len() });
            }
            if value.len() > MAX_ATTRIBUTE_VALUE {
                return Err(InvalidMessage::AttributeValueTooLong {
                    name: name.clone(),
                    length: value.len(),
                });
            }
        }
        if self.ordering_key.len() > MAX_ORDERING_KEY {
            return Err(InvalidMessage::OrderingKeyTooLong {
                length: self.ordering_key.len(),
            });
        }
        Ok(())
    }

    /// Counts the bytes of the data and the attributes.
    pub fn size(&self) -> usize {
        size(&self.data, &self.attributes)
    }

    /// Makes the message that subscribers get. Of the time, microseconds are kept.
    pub fn published(self, message_id: String, publish_time: DateTime<Utc>) -> Message {
        let publish_time = publish_time.trunc_subsecs(6);
        Message(Arc::new(Contents {
            data: self.data,
            attributes: self.attributes,
            ordering_key: self.ordering_key,
            message_id,
            publish_time,
        }))
    }
}

fn size(data: &Bytes, attributes: &BTreeMap<String, String>) -> usize {
    let attributes = attributes.iter();
    let lengths = attributes.map(|(name, value)| name.len() + value.len());
    data.len() + lengths.sum::<usize>()
}

/// Says which limit of Pub/Sub a message breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// There is nothing in it.
    #[error("it has neither data nor attributes; a message needs one of them")]
    Empty,
    /// The data is longer than [`MAX_DATA`].
    #[error(
        "its data has {length} bytes, more than {MAX_DATA}; split it, or store it elsewhere and publish its name"
    )]
    DataTooLong {
        /// The bytes of the data.
        length: usize,
    },
    /// There are more than [`MAX_ATTRIBUTES`] attributes.
    #[error("it has {number} attributes, more than {MAX_ATTRIBUTES}; move some into the data")]
    TooManyAttributes {
        /// How many there are.
        number: usize,
    },
    /// An attribute's name is empty.
    #[error("it has an attribute with an empty name")]
    AttributeWithoutName,
    /// An attribute's name begins with `goog`.
    #[error("its attribute {name:?} begins with \"goog\", which Pub/Sub reserves; rename it")]
    ReservedAttribute {
        /// The name.
        name: String,
    },
    /// An attribute's name is longer than [`MAX_ATTRIBUTE_KEY`].
    #[error("the name of an attribute has {length} bytes, more than {MAX_ATTRIBUTE_KEY}")]
    AttributeNameTooLong {
        /// The bytes of the name.
        length: usize,
    },
    /// An attribute's value is longer than [`MAX_ATTRIBUTE_VALUE`].
    #[error(
        "its attribute {name:?} has {length} bytes, more than {MAX_ATTRIBUTE_VALUE}; move it into the data"
    )]
    AttributeValueTooLong {
        /// The name of the attribute.
        name: String,
        /// The bytes of its value.
        length: usize,
    },
    /// The ordering key is longer than [`MAX_ORDERING_KEY`].
    #[error("its ordering key has {length} bytes, more than {MAX_ORDERING_KEY}")]
    OrderingKeyTooLong {
        /// The bytes of the key.
        length: usize,
    },
    /// The service refused it.
    #[error("{0}")]
    Refused(String),
}

/// Holds a message as subscribers get it. A clone is a handle to the same message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Message(Arc<Contents>);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Contents {
    data: Bytes,
    attributes: BTreeMap<String, String>,
    ordering_key: String,
    message_id: String,
    #[serde(with = "chrono::serde::ts_microseconds")]
    publish_time: DateTime<Utc>,
}

impl Message {
    /// Gives the data.
    pub fn data(&self) -> &Bytes {
        &self.0.data
    }

    /// Gives all attributes, by name.
    pub fn attributes(&self) -> &BTreeMap<String, String> {
        &self.0.attributes
    }

    /// Gives one attribute, if it is there.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.0.attributes.get(name).map(String::as_str)
    }

    /// Gives the ordering key; empty if there is none.
    pub fn ordering_key(&self) -> &str {
        &self.0.ordering_key
    }

    /// Counts the bytes of the data and the attributes.
    pub fn size(&self) -> usize {
        size(&self.0.data, &self.0.attributes)
    }

    /// Gives the id that the service has given it, unique within the topic.
    pub fn message_id(&self) -> &str {
        &self.0.message_id
    }

    /// Gives the time when the service took it in, in whole microseconds.
    pub fn publish_time(&self) -> DateTime<Utc> {
        self.0.publish_time
    }
}

#[cfg(test)]
mod tests;
