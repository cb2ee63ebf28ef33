//! Why a record failed.

use bytes::Bytes;

use super::bad_record::original_of;
use crate::coder::Element;
use crate::error::chain;

/// Says why one record could not be processed; made from any error with `?` or `into`.
///
/// ```
/// use pipeline_core::Failure;
/// fn parse(line: &String) -> Result<i64, Failure> {
///     Ok(line.parse::<i64>()?)
/// }
/// assert!(parse(&"x".to_string()).is_err());
/// ```
///
/// Where the element is not the record itself (a message with attributes, say),
/// [`Failure::with_original`] says which bytes to keep.
#[derive(Debug)]
pub struct Failure {
    pub(crate) chain: Vec<String>,
    pub(crate) original: Option<Bytes>,
}

impl Failure {
    /// Makes a failure with a message of its own.
    pub fn new(reason: impl Into<String>) -> Self {
        Failure {
            chain: vec![reason.into()],
            original: None,
        }
    }

    /// Keeps `original` in the dead letter in place of the element.
    #[must_use]
    pub fn with_original(mut self, original: impl Into<Bytes>) -> Self {
        self.original = Some(original.into());
        self
    }

    /// Keeps `record` in the dead letter in place of the element that holds it: the bytes or text of
    /// one that is such, else as JSON. What was said to be kept before stays.
    #[must_use]
    pub fn about<T: Element>(mut self, record: &T) -> Self {
        self.original.get_or_insert_with(|| original_of(record));
        self
    }
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure {
            chain: chain(&error),
            original: None,
        }
    }
}
