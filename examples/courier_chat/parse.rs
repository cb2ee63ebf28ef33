//! Reads a record: bytes to [`ChatEvent`], strict by one table.
//!
//! A record is one JSON object (RFC 8259). What it may hold is decided here and nowhere else:
//!
//! | the record | what happens |
//! |---|---|
//! | has `messageSentTime`, no `cityCode` | a message: all nine fields must be there |
//! | has `cityCode`, no `messageSentTime` | an order event: `orderId` and `cityCode` must be there, the other message fields are extra |
//! | has both, even if one is null | refused: it cannot be told what it is |
//! | has neither | refused: it is neither |
//! | extra field, of any name and shape | ignored |
//! | field of the kind missing | refused |
//! | known field given twice, equal or not, even an extra one | refused; an unknown field given twice is ignored |
//! | `orderId`, `courierId`, `customerId`, `fromId`, `toId` | an integer from 0 to 9223372036854775807 |
//! | an id as text, with a fraction or an exponent (`1.0`, `1e3`), negative, over the bound, or null | refused |
//! | `chatStartedByMessage` | `true` or `false`; anything else is refused |
//! | `senderAppType`, `orderStage` | any text, the empty one too; anything else is refused |
//! | sender that begins with neither `Courier` nor `Customer` | accepted: a message of sender Unknown |
//! | `cityCode` | text that is not blank; empty, blank, null or no text is refused |
//! | `messageSentTime` | RFC 3339 text, see [`EventTime::parse`] |
//! | time with a fraction | accepted: microseconds are kept, further digits cut off |
//! | time with an offset | accepted: normalised to UTC |
//! | time that does not exist (30 February, 24:00, second 60) or without offset | refused |
//! | time outside the years 1 to 9999 in UTC | refused |
//! | key or text written with `\u` escapes | the same as without; half a surrogate pair in a known field is refused |
//! | nested deeper than [`MAX_DEPTH`], in any field | refused, before anything is parsed; the stack does not grow |
//! | anything but white space after the object | refused |
//! | not an object, or broken JSON | refused |
//! | not UTF-8 | refused, with the position |
//! | nothing but white space | refused; the line reader skips such lines and counts them |
//! | BOM at the start | refused; the line reader strips it from the first line |
//! | CR at the end | white space, accepted; the line reader strips it |
//!
//! Numbers in ignored fields may be of any size. When several rules are broken, the first in the order UTF-8, depth,
//! JSON and repeated fields, kind, fields of the kind in the order of the struct is told.

mod error;
mod record;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::event::{ChatEvent, ChatMessage, OrderEvent};
use super::event_time::EventTime;
pub use error::{ParseError, ParseErrorKind};
use record::{Field, Record, Scalar};

/// The greatest number of arrays and objects within each other, the record itself included.
pub const MAX_DEPTH: usize = 64;

/// Reads one record, as the table of the module says.
///
/// ```
/// # use pipeline_examples::courier_chat::{ChatEvent, OrderEvent, parse};
/// let event = parse(br#"{"orderId": 82414506, "cityCode": "IST"}"#)?;
/// assert_eq!(event, ChatEvent::Order(OrderEvent { order_id: 82_414_506, city_code: "IST".into() }));
///
/// let error = parse(br#"{"orderId": "82414506", "cityCode": "IST"}"#).unwrap_err();
/// assert_eq!(error.to_string(), r#"orderId: expected an integer from 0 to 9223372036854775807, found the text "82414506""#);
/// # Ok::<(), pipeline_examples::courier_chat::ParseError>(())
/// ```
///
/// # Errors
/// [`ParseError`], naming the field and what was found. The record is then a dead letter: it will not parse later either.
pub fn parse(record: &[u8]) -> Result<ChatEvent, ParseError> {
    let text = std::str::from_utf8(record).map_err(|error| ParseErrorKind::NotUtf8 {
        valid_up_to: error.valid_up_to(),
    })?;
    if is_blank(record) {
        return Err(ParseErrorKind::Empty.into());
    }
    if too_deep(record) {
        return Err(ParseErrorKind::TooDeep { limit: MAX_DEPTH }.into());
    }
    let mut fields = Record::read(text)?;
    match (
        fields.has(Field::MessageSentTime),
        fields.has(Field::CityCode),
    ) {
        (true, false) => message(&mut fields).map(ChatEvent::Message),
        (false, true) => order(&mut fields).map(ChatEvent::Order),
        (true, true) => Err(ParseErrorKind::BothKinds.into()),
        (false, false) => Err(ParseErrorKind::NeitherKind.into()),
    }
}

fn message(fields: &mut Record<'_>) -> Result<ChatMessage, ParseError> {
    Ok(ChatMessage {
        sender_app_type: text(fields, Field::SenderAppType)?.into_owned(),
        courier_id: id(fields, Field::CourierId)?,
        from_id: id(fields, Field::FromId)?,
        to_id: id(fields, Field::ToId)?,
        chat_started_by_message: flag(fields, Field::ChatStartedByMessage)?,
        order_id: id(fields, Field::OrderId)?,
        order_stage: text(fields, Field::OrderStage)?.into_owned(),
        customer_id: id(fields, Field::CustomerId)?,
        message_sent_time: time(fields, Field::MessageSentTime)?,
    })
}

fn order(fields: &mut Record<'_>) -> Result<OrderEvent, ParseError> {
    Ok(OrderEvent {
        order_id: id(fields, Field::OrderId)?,
        city_code: city(fields, Field::CityCode)?.into_owned(),
    })
}

fn id(fields: &mut Record<'_>, field: Field) -> Result<i64, ParseError> {
    let found = fields.take(field)?;
    if let Scalar::Unsigned(number) = found
        && let Ok(id) = i64::try_from(number)
    {
        return Ok(id);
    }
    Err(ParseError::field(
        field,
        "an integer from 0 to 9223372036854775807",
        &found,
    ))
}

fn text<'a>(fields: &mut Record<'a>, field: Field) -> Result<Cow<'a, str>, ParseError> {
    match fields.take(field)? {
        Scalar::Text(text) => Ok(text),
        found => Err(ParseError::field(field, "text", &found)),
    }
}

fn flag(fields: &mut Record<'_>, field: Field) -> Result<bool, ParseError> {
    match fields.take(field)? {
        Scalar::Bool(flag) => Ok(flag),
        found => Err(ParseError::field(field, "true or false", &found)),
    }
}

fn city<'a>(fields: &mut Record<'a>, field: Field) -> Result<Cow<'a, str>, ParseError> {
    match fields.take(field)? {
        Scalar::Text(text) if !text.trim().is_empty() => Ok(text),
        found => Err(ParseError::field(
            field,
            "the code of a city, not blank",
            &found,
        )),
    }
}

fn time(fields: &mut Record<'_>, field: Field) -> Result<EventTime, ParseError> {
    match fields.take(field)? {
        Scalar::Text(text) => EventTime::parse(&text).map_err(|reason| {
            ParseErrorKind::Time {
                field: field.name(),
                found: Scalar::Text(text).to_string(),
                reason,
            }
            .into()
        }),
        found => Err(ParseError::field(field, "RFC 3339 text", &found)),
    }
}

/// Tells whether a record holds nothing but JSON's white space (blank, tab, CR, LF).
pub(super) fn is_blank(record: &[u8]) -> bool {
    record
        .iter()
        .all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

/// Tells whether the brackets outside texts nest deeper than [`MAX_DEPTH`], without recursion.
fn too_deep(record: &[u8]) -> bool {
    // A record without that many opening brackets cannot be; nearly all stop here.
    if memchr::memchr2_iter(b'{', b'[', record)
        .nth(MAX_DEPTH)
        .is_none()
    {
        return false;
    }
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for &byte in record {
        if in_text {
            in_text = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}
