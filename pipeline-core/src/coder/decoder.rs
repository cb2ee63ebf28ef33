//! A serde `Deserializer` that reads the format of `format.rs`.
//!
//! It trusts no byte: lengths and counts are checked against what is left before anything is allocated, and nesting is
//! bounded.

mod access;

use serde::{
    Deserializer,
    de::{DeserializeOwned, Visitor, value::BorrowedStrDeserializer},
    forward_to_deserialize_any,
};

use self::access::{Entries, Fields, Parts, Variant};
use super::{
    error::{Cause, CoderError},
    format::*,
    names::Names,
};

type Result<T, E = CoderError> = std::result::Result<T, E>;

/// Reads one value that [`encode_to`](super::encode_to) wrote and moves `input` behind it.
///
/// Bytes that follow stay in `input`. A 128-bit integer within an untagged, internally tagged or flattened part is
/// refused by serde itself, whose buffer for such parts does not know them.
///
/// # Errors
/// When the bytes are not an encoding of a `T`; the message names the type and the place. `input` is then as it was.
/// Malformed bytes never panic, and never make the decoder allocate more than a small multiple of their length.
pub fn decode<T: DeserializeOwned>(input: &mut &[u8]) -> Result<T> {
    decode_as(input, false)
}

/// Reads as [`decode`] does, but refuses fields that the type does not know: what a later program reads may hold more
/// than it has a place for, and that would be lost without a word. Within untagged, internally tagged or flattened parts
/// serde does not tell them apart.
pub(crate) fn decode_strictly<T: DeserializeOwned>(input: &mut &[u8]) -> Result<T> {
    decode_as(input, true)
}

fn decode_as<T: DeserializeOwned>(input: &mut &[u8], strict: bool) -> Result<T> {
    let mut decoder = Decoder {
        rest: input,
        total: input.len(),
        names: Names::new(),
        depth: 0,
        strict,
    };
    match decoder
        .version()
        .and_then(|()| T::deserialize(&mut decoder))
    {
        Ok(value) => {
            *input = decoder.rest;
            Ok(value)
        }
        Err(error) => Err(error.at(decoder.offset()).of::<T>("decode")),
    }
}

struct Decoder<'de> {
    rest: &'de [u8],
    total: usize,
    names: Names<'de>,
    depth: u32,
    strict: bool,
}

/// An integer as it was written.
enum Integer {
    Unsigned(u64),
    Signed(i64),
    Unsigned128(u128),
    Signed128(i128),
}

fn malformed<T>(what: impl Into<String>) -> Result<T> {
    Err(CoderError::new(Cause::Malformed(what.into())))
}

impl<'de> Decoder<'de> {
    fn offset(&self) -> usize {
        self.total - self.rest.len()
    }

    fn version(&mut self) -> Result<()> {
        match self.byte()? {
            VERSION => Ok(()),
            other => Err(CoderError::new(Cause::Version(other))),
        }
    }

    #[inline]
    fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self
            .rest
            .split_first()
            .ok_or_else(|| CoderError::new(Cause::Truncated))?;
        self.rest = rest;
        Ok(*first)
    }

    fn peek(&self) -> Result<u8> {
        self.rest
            .first()
            .copied()
            .ok_or_else(|| CoderError::new(Cause::Truncated))
    }

    #[inline]
    fn take(&mut self, length: u64) -> Result<&'de [u8]> {
        let split = usize::try_from(length)
            .ok()
            .and_then(|length| self.rest.split_at_checked(length));
        let (taken, rest) = split.ok_or_else(|| CoderError::new(Cause::Truncated))?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or_else(|| CoderError::new(Cause::Truncated))?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64> {
        if let [byte @ ..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        malformed("a number has more than 64 bits")
    }

    #[inline]
    fn text(&mut self, length: u64) -> Result<&'de str> {
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).or_else(|_| malformed("a string is not UTF-8"))
    }

    #[inline]
    fn name(&mut self) -> Result<&'de str> {
        let head = self.varint()?;
        if head & 1 == 0 {
            let name = self.text(head >> 1)?;
            self.names.push(name);
            Ok(name)
        } else {
            let known = usize::try_from(head >> 1)
                .ok()
                .and_then(|index| self.names.get(index));
            known.map_or_else(
                || malformed("a field refers to a name that was not written"),
                Ok,
            )
        }
    }

    /// Reads the count after a tag, if the tag is of this kind. Every part takes a byte at least.
    #[inline]
    fn count(&mut self, tag: u8, kind: Counted) -> Result<Option<usize>> {
        let count = if (kind.short..=kind.short + kind.short_max).contains(&tag) {
            u64::from(tag - kind.short)
        } else if tag == kind.long {
            self.varint()?
        } else {
            return Ok(None);
        };
        match usize::try_from(count) {
            Ok(count) if count <= self.rest.len() => Ok(Some(count)),
            _ => Err(CoderError::new(Cause::Truncated)),
        }
    }

    #[inline]
    fn integer(&mut self, tag: u8) -> Result<Option<Integer>> {
        const SHORT_INT_LAST: u8 = SHORT_INT + (SHORT_INT_MAX - SHORT_INT_MIN) as u8;
        Ok(Some(match tag {
            0..=SHORT_UINT_MAX => Integer::Unsigned(tag.into()),
            SHORT_INT..=SHORT_INT_LAST => {
                Integer::Signed(i64::from(tag - SHORT_INT) + SHORT_INT_MIN)
            }
            UINT => Integer::Unsigned(self.varint()?),
            INT => {
                let zigzag = self.varint()?;
                Integer::Signed((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
            }
            U128 => Integer::Unsigned128(u128::from_le_bytes(self.array()?)),
            I128 => Integer::Signed128(i128::from_le_bytes(self.array()?)),
            _ => return Ok(None),
        }))
    }

    /// Reads something nested, within the limit of depth.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(CoderError::new(Cause::Depth));
        }
        let value = read(self).map_err(|error| error.at(self.offset()))?;
        self.depth -= 1;
        Ok(value)
    }

    /// Reads the parts of a sequence, map or struct through `read`, which must use them all up.
    fn parts<T>(
        &mut self,
        count: usize,
        read: impl FnOnce(&mut Parts<'_, 'de>) -> Result<T>,
    ) -> Result<T> {
        self.nested(|decoder| {
            let mut parts = Parts {
                decoder,
                count,
                left: count,
                name: None,
            };
            let value = read(&mut parts)?;
            match parts.left {
                0 => Ok(value),
                left => malformed(format!("{left} of {count} parts were not expected")),
            }
        })
    }
}

/// Reads an integer at the width that the type asks for; anything else as it is.
macro_rules! integers {
    ($($method:ident $visit:ident $type:ty;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            let before = self.rest;
            let tag = self.byte()?;
            let number = match self.integer(tag)? {
                Some(Integer::Unsigned(n)) => <$type>::try_from(n).map_err(|_| n.to_string()),
                Some(Integer::Signed(n)) => <$type>::try_from(n).map_err(|_| n.to_string()),
                Some(Integer::Unsigned128(n)) => <$type>::try_from(n).map_err(|_| n.to_string()),
                Some(Integer::Signed128(n)) => <$type>::try_from(n).map_err(|_| n.to_string()),
                None => {
                    self.rest = before;
                    return self.deserialize_any(visitor);
                }
            };
            match number {
                Ok(number) => visitor.$visit(number),
                Err(number) => malformed(format!("{number} does not fit into {}", stringify!($type))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Decoder<'de> {
    type Error = CoderError;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let tag = self.byte()?;
        if let Some(length) = self.count(tag, STR)? {
            return visitor.visit_borrowed_str(self.text(length as u64)?);
        }
        if let Some(count) = self.count(tag, STRUCT)? {
            return self.parts(count, |parts| visitor.visit_map(Fields(parts)));
        }
        if let Some(count) = self.count(tag, SEQ)? {
            return self.parts(count, |parts| visitor.visit_seq(parts));
        }
        if let Some(count) = self.count(tag, MAP)? {
            return self.parts(count, |parts| visitor.visit_map(Entries(parts)));
        }
        if let Some(integer) = self.integer(tag)? {
            return match integer {
                Integer::Unsigned(n) => visitor.visit_u64(n),
                Integer::Signed(n) => visitor.visit_i64(n),
                Integer::Unsigned128(n) => visitor.visit_u128(n),
                Integer::Signed128(n) => visitor.visit_i128(n),
            };
        }
        match tag {
            F32 => visitor.visit_f32(f32::from_le_bytes(self.array()?)),
            F64 => visitor.visit_f64(f64::from_le_bytes(self.array()?)),
            FALSE => visitor.visit_bool(false),
            TRUE => visitor.visit_bool(true),
            CHAR => match u32::try_from(self.varint()?).ok().and_then(char::from_u32) {
                Some(char) => visitor.visit_char(char),
                None => malformed("a character is not a Unicode scalar value"),
            },
            BYTES => {
                let length = self.varint()?;
                visitor.visit_borrowed_bytes(self.take(length)?)
            }
            UNIT => visitor.visit_unit(),
            NONE => visitor.visit_none(),
            SOME => self.nested(|decoder| visitor.visit_some(decoder)),
            UNIT_VARIANT => visitor.visit_borrowed_str(self.name()?),
            VARIANT => self.parts(1, |parts| visitor.visit_map(Fields(parts))),
            unknown => malformed(format!("{unknown:#04x} is not a tag")),
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_i128 visit_i128 i128;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_u128 visit_u128 u128;
    }

    /// Serde asks for this where a field is not one of the type's.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.strict {
            return Err(CoderError::new(Cause::Unknown));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek()? {
            NONE | SOME | UNIT => self.deserialize_any(visitor),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.peek()? {
            UNIT_VARIANT => {
                self.byte()?;
                let name = self.name()?;
                visitor.visit_enum(BorrowedStrDeserializer::new(name))
            }
            VARIANT => {
                self.byte()?;
                self.nested(|decoder| {
                    let name = decoder.name()?;
                    let located = |error: CoderError| error.within(|| format!("::{name}"));
                    visitor
                        .visit_enum(Variant { decoder, name })
                        .map_err(located)
                })
            }
            // A name that was written as a string, by an own `Serialize`, reads as a variant without data.
            tag => match (self.byte()?, self.count(tag, STR)?) {
                (_, Some(length)) => {
                    let name = self.text(length as u64)?;
                    visitor.visit_enum(BorrowedStrDeserializer::new(name))
                }
                _ => malformed("an enum was expected"),
            },
        }
    }

    forward_to_deserialize_any! {
        bool f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
    }
}
