//! A serde `Serializer` that writes the format of `format.rs`.

use serde::{Serialize, Serializer, ser};

use super::{
    error::{Cause, CoderError},
    format::*,
    names::Names,
};

type Result<T = (), E = CoderError> = std::result::Result<T, E>;

/// Appends the encoding of a value; equal values give equal bytes.
///
/// Maps are written in the order of their iteration, so a `HashMap` has no one encoding. A borrowed value encodes as
/// its owned form does (`str` as `String`).
///
/// # Errors
/// When the value's `Serialize` fails, or nests deeper than [`MAX_DEPTH`]. `out` is then as it was.
///
/// ```
/// use pipeline_core::coder::{decode, encode_to};
///
/// let mut bytes = Vec::new();
/// encode_to(&("Berlin".to_string(), 42_u64), &mut bytes)?;
/// encode_to(&None::<bool>, &mut bytes)?;
///
/// let mut input = &bytes[..];
/// assert_eq!(decode::<(String, u64)>(&mut input)?, ("Berlin".to_string(), 42));
/// assert_eq!(decode::<Option<bool>>(&mut input)?, None);
/// assert!(input.is_empty());
/// # Ok::<(), pipeline_core::coder::CoderError>(())
/// ```
pub fn encode_to<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result {
    let start = out.len();
    out.push(VERSION);
    let mut encoder = Encoder {
        out,
        names: Names::new(),
        depth: 0,
    };
    value.serialize(&mut encoder).map_err(|error| {
        out.truncate(start);
        error.of::<T>("encode")
    })
}

struct Encoder<'o> {
    out: &'o mut Vec<u8>,
    names: Names<'static>,
    depth: u32,
}

impl Encoder<'_> {
    fn enter(&mut self) -> Result {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            Err(CoderError::new(Cause::Depth))
        } else {
            Ok(())
        }
    }

    fn uint(&mut self, value: u64) -> Result {
        if value <= u64::from(SHORT_UINT_MAX) {
            self.out.push(value as u8);
        } else {
            self.out.push(UINT);
            put_varint(self.out, value);
        }
        Ok(())
    }

    fn int(&mut self, value: i64) -> Result {
        if (SHORT_INT_MIN..=SHORT_INT_MAX).contains(&value) {
            self.out.push(SHORT_INT + (value - SHORT_INT_MIN) as u8);
        } else {
            self.out.push(INT);
            put_varint(self.out, ((value << 1) ^ (value >> 63)) as u64);
        }
        Ok(())
    }

    fn name(&mut self, name: &'static str) {
        match self.names.intern(name) {
            Some(index) => put_varint(self.out, (index as u64) << 1 | 1),
            None => {
                put_varint(self.out, (name.len() as u64) << 1);
                self.out.extend_from_slice(name.as_bytes());
            }
        }
    }
}

impl<'a, 'o> Encoder<'o> {
    fn counted(&'a mut self, kind: Counted, declared: usize) -> Result<CountedEncoder<'a, 'o>> {
        self.enter()?;
        let start = self.out.len();
        put_count(self.out, kind, declared);
        Ok(CountedEncoder {
            start,
            kind,
            declared,
            written: 0,
            variant: None,
            encoder: self,
        })
    }

    fn variant(
        &'a mut self,
        variant: &'static str,
        kind: Counted,
        declared: usize,
    ) -> Result<CountedEncoder<'a, 'o>> {
        self.enter()?;
        self.out.push(VARIANT);
        self.name(variant);
        Ok(CountedEncoder {
            variant: Some(variant),
            ..self.counted(kind, declared)?
        })
    }
}

impl<'a, 'o> Serializer for &'a mut Encoder<'o> {
    type Ok = ();
    type Error = CoderError;
    type SerializeSeq = CountedEncoder<'a, 'o>;
    type SerializeTuple = CountedEncoder<'a, 'o>;
    type SerializeTupleStruct = CountedEncoder<'a, 'o>;
    type SerializeTupleVariant = CountedEncoder<'a, 'o>;
    type SerializeMap = CountedEncoder<'a, 'o>;
    type SerializeStruct = CountedEncoder<'a, 'o>;
    type SerializeStructVariant = CountedEncoder<'a, 'o>;

    fn is_human_readable(&self) -> bool {
        false
    }
    fn serialize_bool(self, v: bool) -> Result {
        self.out.push(if v { TRUE } else { FALSE });
        Ok(())
    }
    fn serialize_i8(self, v: i8) -> Result {
        self.int(v.into())
    }
    fn serialize_i16(self, v: i16) -> Result {
        self.int(v.into())
    }
    fn serialize_i32(self, v: i32) -> Result {
        self.int(v.into())
    }
    fn serialize_i64(self, v: i64) -> Result {
        self.int(v)
    }
    fn serialize_i128(self, v: i128) -> Result {
        self.out.push(I128);
        self.out.extend_from_slice(&v.to_le_bytes());
        Ok(())
    }
    fn serialize_u8(self, v: u8) -> Result {
        self.uint(v.into())
    }
    fn serialize_u16(self, v: u16) -> Result {
        self.uint(v.into())
    }
    fn serialize_u32(self, v: u32) -> Result {
        self.uint(v.into())
    }
    fn serialize_u64(self, v: u64) -> Result {
        self.uint(v)
    }
    fn serialize_u128(self, v: u128) -> Result {
        self.out.push(U128);
        self.out.extend_from_slice(&v.to_le_bytes());
        Ok(())
    }
    fn serialize_f32(self, v: f32) -> Result {
        self.out.push(F32);
        self.out.extend_from_slice(&v.to_le_bytes());
        Ok(())
    }
    fn serialize_f64(self, v: f64) -> Result {
        self.out.push(F64);
        self.out.extend_from_slice(&v.to_le_bytes());
        Ok(())
    }
    fn serialize_char(self, v: char) -> Result {
        self.out.push(CHAR);
        put_varint(self.out, u32::from(v).into());
        Ok(())
    }
    fn serialize_str(self, v: &str) -> Result {
        put_count(self.out, STR, v.len());
        self.out.extend_from_slice(v.as_bytes());
        Ok(())
    }
    fn serialize_bytes(self, v: &[u8]) -> Result {
        self.out.push(BYTES);
        put_varint(self.out, v.len() as u64);
        self.out.extend_from_slice(v);
        Ok(())
    }
    fn serialize_none(self) -> Result {
        self.out.push(NONE);
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result {
        self.enter()?;
        self.out.push(SOME);
        value.serialize(&mut *self)?;
        self.depth -= 1;
        Ok(())
    }
    fn serialize_unit(self) -> Result {
        self.out.push(UNIT);
        Ok(())
    }
    fn serialize_unit_struct(self, _name: &'static str) -> Result {
        self.serialize_unit()
    }
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result {
        self.out.push(UNIT_VARIANT);
        self.name(variant);
        Ok(())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result {
        self.enter()?;
        self.out.push(VARIANT);
        self.name(variant);
        value
            .serialize(&mut *self)
            .map_err(|e| e.within(|| format!("::{variant}")))?;
        self.depth -= 1;
        Ok(())
    }
    fn serialize_seq(self, len: Option<usize>) -> Result<CountedEncoder<'a, 'o>> {
        self.counted(SEQ, len.unwrap_or(0))
    }
    fn serialize_tuple(self, len: usize) -> Result<CountedEncoder<'a, 'o>> {
        self.counted(SEQ, len)
    }
    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        len: usize,
    ) -> Result<CountedEncoder<'a, 'o>> {
        self.counted(SEQ, len)
    }
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<CountedEncoder<'a, 'o>> {
        self.variant(variant, SEQ, len)
    }
    fn serialize_map(self, len: Option<usize>) -> Result<CountedEncoder<'a, 'o>> {
        self.counted(MAP, len.unwrap_or(0))
    }
    fn serialize_struct(self, _name: &'static str, len: usize) -> Result<CountedEncoder<'a, 'o>> {
        self.counted(STRUCT, len)
    }
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<CountedEncoder<'a, 'o>> {
        self.variant(variant, STRUCT, len)
    }
}

/// Writes the parts of a sequence, map or struct, and at its end the count that was really written.
struct CountedEncoder<'a, 'o> {
    encoder: &'a mut Encoder<'o>,
    start: usize,
    kind: Counted,
    declared: usize,
    written: usize,
    variant: Option<&'static str>,
}

impl CountedEncoder<'_, '_> {
    fn part<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        step: impl FnOnce(usize) -> String,
    ) -> Result {
        let (variant, index) = (self.variant, self.written);
        value.serialize(&mut *self.encoder).map_err(|error| {
            let error = error.within(|| step(index));
            match variant {
                Some(variant) => error.within(|| format!("::{variant}")),
                None => error,
            }
        })
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        self.part(value, |index| format!("[{index}]"))?;
        self.written += 1;
        Ok(())
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result {
        self.encoder.name(name);
        self.part(value, |_| format!(".{name}"))?;
        self.written += 1;
        Ok(())
    }

    fn finish(self) -> Result {
        let Encoder { out, depth, .. } = self.encoder;
        *depth -= 1 + u32::from(self.variant.is_some());
        if self.written != self.declared {
            let mut old = Vec::new();
            put_count(&mut old, self.kind, self.declared);
            let mut new = Vec::new();
            put_count(&mut new, self.kind, self.written);
            out.splice(self.start..self.start + old.len(), new);
        }
        Ok(())
    }
}

impl ser::SerializeSeq for CountedEncoder<'_, '_> {
    type Ok = ();
    type Error = CoderError;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        self.item(value)
    }
    fn end(self) -> Result {
        self.finish()
    }
}

impl ser::SerializeTuple for CountedEncoder<'_, '_> {
    type Ok = ();
    type Error = CoderError;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        self.item(value)
    }
    fn end(self) -> Result {
        self.finish()
    }
}

impl ser::SerializeTupleStruct for CountedEncoder<'_, '_> {
    type Ok = ();
    type Error = CoderError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        self.item(value)
    }
    fn end(self) -> Result {
        self.finish()
    }
}

impl ser::SerializeTupleVariant for CountedEncoder<'_, '_> {
    type Ok = ();
    type Error = CoderError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        self.item(value)
    }
    fn end(self) -> Result {
        self.finish()
    }
}

impl ser::SerializeMap for CountedEncoder<'_, '_> {
    type Ok = ();
    type Error = CoderError;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result {
        self.part(key, |index| format!("{{key {index}}}"))
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        self.part(value, |index| format!("{{value {index}}}"))?;
        self.written += 1;
        Ok(())
    }
    fn end(self) -> Result {
        self.finish()
    }
}

impl ser::SerializeStruct for CountedEncoder<'_, '_> {
    type Ok = ();
    type Error = CoderError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result {
        self.field(name, value)
    }
    fn end(self) -> Result {
        self.finish()
    }
}

impl ser::SerializeStructVariant for CountedEncoder<'_, '_> {
    type Ok = ();
    type Error = CoderError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result {
        self.field(name, value)
    }
    fn end(self) -> Result {
        self.finish()
    }
}
