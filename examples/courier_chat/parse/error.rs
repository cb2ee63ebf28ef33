//! Says why a record is no event.

use super::super::event_time::InvalidTime;
use super::record::{Field, Scalar};

/// Says why a record is no event, naming the field and what was found.
///
/// What was found is quoted up to 64 characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct ParseError(Box<ParseErrorKind>);

/// Names the rule that a record breaks; see the table in the [module](super).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// The record holds nothing but white space.
    #[error("the record is empty")]
    Empty,
    /// The record is not UTF-8.
    #[error("the record is not UTF-8: byte {valid_up_to} (from 0) begins no character")]
    NotUtf8 {
        /// How many bytes are good.
        valid_up_to: usize,
    },
    /// Arrays and objects nest too deep.
    #[error("arrays and objects are nested deeper than {limit}")]
    TooDeep {
        /// The greatest depth allowed.
        limit: usize,
    },
    /// The record is not one JSON object.
    #[error("{}not one JSON object: {message}", at(*field))]
    Json {
        /// The known field whose value is broken, if it is one.
        field: Option<&'static str>,
        /// What the JSON reader met, and where.
        message: String,
    },
    /// A known field is given twice.
    #[error("{field}: given twice")]
    Duplicate {
        /// The field.
        field: &'static str,
    },
    /// The record has the marks of both kinds.
    #[error("has both messageSentTime and cityCode: neither a message nor an order event")]
    BothKinds,
    /// The record has the mark of neither kind.
    #[error("has neither messageSentTime nor cityCode: neither a message nor an order event")]
    NeitherKind,
    /// A field of the kind is not there.
    #[error("{field}: missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field has a value of the wrong type or out of range.
    #[error("{field}: expected {expected}, found {found}")]
    Field {
        /// The field.
        field: &'static str,
        /// What it may hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// A field's text is no time.
    #[error(
        "{field}: expected an RFC 3339 time such as 2024-02-01T10:00:56Z, found {found}: {reason}"
    )]
    Time {
        /// The field.
        field: &'static str,
        /// What it holds.
        found: String,
        /// What is wrong with it.
        reason: InvalidTime,
    },
}

fn at(field: Option<&'static str>) -> String {
    field.map(|field| format!("{field}: ")).unwrap_or_default()
}

impl ParseError {
    /// Names the rule that was broken.
    pub fn kind(&self) -> &ParseErrorKind {
        &self.0
    }

    pub(super) fn field(field: Field, expected: &'static str, found: &Scalar<'_>) -> Self {
        ParseErrorKind::Field {
            field: field.name(),
            expected,
            found: found.to_string(),
        }
        .into()
    }
}

impl From<ParseErrorKind> for ParseError {
    fn from(kind: ParseErrorKind) -> Self {
        Self(Box::new(kind))
    }
}
