//! How visitors get at the parts of sequences, maps, structs and variants.

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, Visitor, value::BorrowedStrDeserializer},
};

use super::{Decoder, Result, malformed};
use crate::coder::error::CoderError;

/// The parts that are left of a sequence, map or struct.
pub(super) struct Parts<'a, 'de> {
    pub(super) decoder: &'a mut Decoder<'de>,
    pub(super) count: usize,
    pub(super) left: usize,
    /// The name of the field whose value comes next.
    pub(super) name: Option<&'de str>,
}

impl<'de> Parts<'_, 'de> {
    fn read<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
        step: impl FnOnce(usize) -> String,
    ) -> Result<S::Value> {
        let index = self.count - self.left;
        let value = seed.deserialize(&mut *self.decoder);
        value.map_err(|error| error.at(self.decoder.offset()).within(|| step(index)))
    }
}

impl<'de> de::SeqAccess<'de> for &mut Parts<'_, 'de> {
    type Error = CoderError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        let value = self.read(seed, |index| format!("[{index}]"))?;
        self.left -= 1;
        Ok(Some(value))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// Reads the entries of a map, whose keys are values.
pub(super) struct Entries<'p, 'a, 'de>(pub(super) &'p mut Parts<'a, 'de>);

impl<'de> de::MapAccess<'de> for Entries<'_, '_, 'de> {
    type Error = CoderError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        match self.0.left {
            0 => Ok(None),
            _ => self
                .0
                .read(seed, |index| format!("{{key {index}}}"))
                .map(Some),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        let value = self.0.read(seed, |index| format!("{{value {index}}}"))?;
        self.0.left -= 1;
        Ok(value)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.left)
    }
}

/// Reads the fields of a struct, or a variant with data as a map of one entry; keys are names.
pub(super) struct Fields<'p, 'a, 'de>(pub(super) &'p mut Parts<'a, 'de>);

impl<'de> de::MapAccess<'de> for Fields<'_, '_, 'de> {
    type Error = CoderError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        if self.0.left == 0 {
            return Ok(None);
        }
        let name = self.0.decoder.name()?;
        self.0.name = Some(name);
        seed.deserialize(BorrowedStrDeserializer::new(name))
            .map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        let name = self.0.name.unwrap_or_default();
        let value = self.0.read(seed, |_| format!(".{name}"))?;
        self.0.left -= 1;
        Ok(value)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.left)
    }
}

/// Reads a variant with data.
pub(super) struct Variant<'a, 'de> {
    pub(super) decoder: &'a mut Decoder<'de>,
    pub(super) name: &'de str,
}

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = CoderError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self)> {
        Ok((
            seed.deserialize(BorrowedStrDeserializer::new(self.name))?,
            self,
        ))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = CoderError;

    fn unit_variant(self) -> Result<()> {
        malformed("a variant without data was expected")
    }
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value> {
        seed.deserialize(self.decoder)
    }
    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value> {
        self.decoder.deserialize_any(visitor)
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.decoder.deserialize_any(visitor)
    }
}
