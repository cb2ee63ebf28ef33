//! Takes a JSON object apart into the known fields, in one pass and without a tree.
//!
//! Values are kept as they stand, so that a field is judged only once the kind of the record is known.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::error::{ParseError, ParseErrorKind};

/// How many characters of a text an error quotes.
const QUOTED: usize = 64;

/// Names a known field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    SenderAppType,
    CourierId,
    FromId,
    ToId,
    ChatStartedByMessage,
    OrderId,
    OrderStage,
    CustomerId,
    MessageSentTime,
    CityCode,
}

const FIELDS: usize = Field::CityCode as usize + 1;

impl Field {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "senderAppType" => Self::SenderAppType,
            "courierId" => Self::CourierId,
            "fromId" => Self::FromId,
            "toId" => Self::ToId,
            "chatStartedByMessage" => Self::ChatStartedByMessage,
            "orderId" => Self::OrderId,
            "orderStage" => Self::OrderStage,
            "customerId" => Self::CustomerId,
            "messageSentTime" => Self::MessageSentTime,
            "cityCode" => Self::CityCode,
            _ => return None,
        })
    }

    /// Gives the name on the wire.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SenderAppType => "senderAppType",
            Self::CourierId => "courierId",
            Self::FromId => "fromId",
            Self::ToId => "toId",
            Self::ChatStartedByMessage => "chatStartedByMessage",
            Self::OrderId => "orderId",
            Self::OrderStage => "orderStage",
            Self::CustomerId => "customerId",
            Self::MessageSentTime => "messageSentTime",
            Self::CityCode => "cityCode",
        }
    }
}

/// Holds a value, or the kind of one that no field may have.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Array,
    Object,
}

/// Says what was found, as an error quotes it.
impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Unsigned(number) => write!(f, "the number {number}"),
            Self::Negative(number) => write!(f, "the number {number}"),
            Self::Float(number) => write!(f, "the number {number:?}"),
            Self::Text(text) => match text.char_indices().nth(QUOTED) {
                Some((end, _)) => write!(
                    f,
                    "the text {:?} and {} bytes more",
                    &text[..end],
                    text.len() - end
                ),
                None => write!(f, "the text {text:?}"),
            },
            Self::Array => f.write_str("an array"),
            Self::Object => f.write_str("an object"),
        }
    }
}

/// Holds the known fields of one record.
#[derive(Default)]
pub(super) struct Record<'a> {
    values: [Option<Scalar<'a>>; FIELDS],
}

impl<'a> Record<'a> {
    /// Reads one JSON object with nothing after it.
    pub(super) fn read(text: &'a str) -> Result<Self, ParseError> {
        let mut record = Self::default();
        let mut problem = None;
        let mut json = serde_json::Deserializer::from_str(text);
        RecordSeed {
            record: &mut record,
            problem: &mut problem,
        }
        .deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(|error| match problem {
            Some(Problem::Duplicate(field)) => ParseErrorKind::Duplicate {
                field: field.name(),
            },
            Some(Problem::Value(field)) => ParseErrorKind::Json {
                field: Some(field.name()),
                message: error.to_string(),
            },
            None => ParseErrorKind::Json {
                field: None,
                message: error.to_string(),
            },
        })?;
        Ok(record)
    }

    /// Tells whether a field was given, null or not.
    pub(super) fn has(&self, field: Field) -> bool {
        self.values[field as usize].is_some()
    }

    /// Moves a field's value out, or says that it is missing.
    pub(super) fn take(&mut self, field: Field) -> Result<Scalar<'a>, ParseError> {
        self.values[field as usize].take().ok_or_else(|| {
            ParseErrorKind::Missing {
                field: field.name(),
            }
            .into()
        })
    }
}

/// What the JSON reader's error cannot carry.
enum Problem {
    Duplicate(Field),
    Value(Field),
}

struct RecordSeed<'r, 'a> {
    record: &'r mut Record<'a>,
    problem: &'r mut Option<Problem>,
}

impl<'de> DeserializeSeed<'de> for RecordSeed<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RecordSeed<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(KeySeed)? {
            let Some(field) = key else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let slot = &mut self.record.values[field as usize];
            if slot.is_some() {
                *self.problem = Some(Problem::Duplicate(field));
                return Err(A::Error::custom("given twice"));
            }
            match map.next_value_seed(ScalarSeed) {
                Ok(value) => *slot = Some(value),
                Err(error) => {
                    *self.problem = Some(Problem::Value(field));
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Option<Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Option<Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Field::from_name(name))
    }
}

struct ScalarSeed;

impl<'de> DeserializeSeed<'de> for ScalarSeed {
    type Value = Scalar<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ScalarSeed {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Unsigned(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(number).map_or(Scalar::Negative(number), Scalar::Unsigned))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Float(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    // Skipping does not recurse in serde_json, and the depth of the record has been checked.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Object)
    }
}
