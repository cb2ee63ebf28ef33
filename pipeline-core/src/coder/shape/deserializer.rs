//! The `Deserializer` that makes input up.

use std::any::type_name;

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, Visitor, value::BorrowedStrDeserializer},
};

use super::{
    candidates::{BYTE_LENGTHS, CHARS, INTEGERS, LENGTHS, STRINGS},
    tracer::{Numbers, Problem, Stop, Tracer},
};

type Result<T, E = Stop> = std::result::Result<T, E>;

/// Maps whose order of iteration follows from equality.
const ORDERED_MAPS: &[&str] = &[
    "BTreeMap",
    "OrdMap",
    "RedBlackTreeMap",
    "LinkedHashMap",
    "VecMap",
];
/// Sequences with such a name whose order follows from equality all the same.
const ORDERED_SETS: &[&str] = &["LinkedHashSet", "LinkedHashMap"];
/// Parts of the names of collections whose order does not follow from equality.
const UNORDERED: &[&str] = &[
    "HashMap",
    "HashSet",
    "HashBag",
    "IndexMap",
    "IndexSet",
    "DashMap",
    "DashSet",
    "BinaryHeap",
    "Unordered",
];

/// Makes one value of input up.
pub(super) struct Shape<'t>(pub(super) &'t mut Tracer);

/// Returns the last part of a type's path, without generic arguments.
fn base_name(type_name: &str) -> &str {
    let path = type_name.split('<').next().unwrap_or(type_name);
    path.rsplit("::").next().unwrap_or(path)
}

impl Shape<'_> {
    /// Chooses a candidate for a leaf, the one first that the type accepted before, and notes whether it accepts it.
    fn leaf<T>(
        self,
        kind: &'static str,
        count: usize,
        visit: impl FnOnce(usize) -> Result<T>,
    ) -> Result<T> {
        self.0.step()?;
        let key = (type_name::<T>(), kind);
        let first = self.0.accepted.get(&key).copied();
        let others = (0..count).filter(|n| Some(*n) != first);
        let options = |_: &mut Tracer| first.into_iter().chain(others).collect();
        let text = matches!(kind, "str" | "char");
        let candidate = self.0.choose(count, text, options)?;
        let value = visit(candidate)?;
        self.0.accepted.insert(key, candidate);
        Ok(value)
    }

    fn string<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.leaf("str", STRINGS.len(), |n| {
            visitor.visit_borrowed_str(STRINGS[n])
        })
    }

    fn bytes<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.leaf("bytes", BYTE_LENGTHS.len(), |n| {
            visitor.visit_byte_buf(vec![b'1'; BYTE_LENGTHS[n]])
        })
    }

    /// Builds something that contains values; a type within itself is kept empty if it may be.
    fn container<T>(self, build: impl FnOnce(&mut Tracer, bool) -> Result<T>) -> Result<T> {
        self.0.step()?;
        let name = type_name::<T>();
        let recursive = self.0.types.contains(&name);
        self.0.types.push(name);
        let value = build(self.0, recursive)?;
        self.0.types.pop();
        Ok(value)
    }

    fn lengths(tracer: &mut Tracer, recursive: bool) -> Result<usize> {
        const EMPTY: usize = 1;
        let all = 0..LENGTHS.len();
        let options = |_: &mut Tracer| {
            if recursive {
                vec![EMPTY]
            } else {
                all.collect()
            }
        };
        tracer
            .choose(LENGTHS.len(), false, options)
            .map(|n| LENGTHS[n])
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            let outermost = match self.0.numbers {
                Numbers::Small => None,
                Numbers::Least => Some(<$type>::MIN),
                Numbers::Greatest => Some(<$type>::MAX),
            };
            let before = usize::from(outermost.is_some());
            self.leaf(stringify!($type), before + INTEGERS.len(), |n| {
                let number = match (outermost, n) {
                    (Some(outermost), 0) => outermost,
                    _ => <$type>::try_from(INTEGERS[n - before]).map_err(|_| Stop::Rejected)?,
                };
                visitor.$visit(number)
            })
        }
    )*};
}

impl<'de> Deserializer<'de> for Shape<'_> {
    type Error = Stop;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value> {
        Err(self
            .0
            .refuse(Problem::SelfDescribing(type_name::<V::Value>())))
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

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.leaf("bool", 2, |n| visitor.visit_bool(n == 0))
    }
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.0.takes_all {
            return self.leaf("f32", 1, |_| visitor.visit_f32(1.0));
        }
        Err(self.0.refuse(Problem::Float("f32")))
    }
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.0.takes_all {
            return self.leaf("f64", 1, |_| visitor.visit_f64(1.0));
        }
        Err(self.0.refuse(Problem::Float("f64")))
    }
    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.leaf("char", CHARS.len(), |n| visitor.visit_char(CHARS[n]))
    }
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.string(visitor)
    }
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.string(visitor)
    }
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.string(visitor)
    }
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.bytes(visitor)
    }
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.bytes(visitor)
    }
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.0.step()?;
        visitor.visit_unit()
    }
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.container(|tracer, recursive| {
            let options = |_: &mut Tracer| if recursive { vec![0] } else { vec![1, 0] };
            match tracer.choose(2, false, options)? {
                0 => visitor.visit_none(),
                _ => visitor.visit_some(Shape(tracer)),
            }
        })
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        self.container(|tracer, _| visitor.visit_newtype_struct(Shape(tracer)))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let name = type_name::<V::Value>();
        let base = base_name(name);
        let ordered = self.0.takes_all || ORDERED_SETS.contains(&base);
        if !ordered && UNORDERED.iter().any(|part| base.contains(part)) {
            return Err(self.0.refuse(Problem::Sequence(name)));
        }
        self.container(|tracer, recursive| {
            let left = Shape::lengths(tracer, recursive)?;
            visitor.visit_seq(Parts {
                tracer,
                left,
                index: None,
            })
        })
    }
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        self.container(|tracer, _| {
            visitor.visit_seq(Parts {
                tracer,
                left: len,
                index: Some(0),
            })
        })
    }
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(len, visitor)
    }
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let name = type_name::<V::Value>();
        if !self.0.takes_all && !ORDERED_MAPS.contains(&base_name(name)) {
            return Err(self.0.refuse(Problem::Map(name)));
        }
        self.container(|tracer, recursive| {
            let left = Shape::lengths(tracer, recursive)?;
            visitor.visit_map(Parts {
                tracer,
                left,
                index: None,
            })
        })
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.container(|tracer, _| visit_fields(tracer, fields, visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.container(|tracer, _| {
            let name = type_name::<V::Value>();
            let options = |t: &mut Tracer| t.knowledge.order(name, variants.len(), &t.variants);
            let index = tracer.choose(variants.len(), false, options)?;
            tracer.knowledge.visit(name, index);
            tracer.variants.push((name, index));
            tracer.path.push(format!("::{}", variants[index]));
            let value = visitor.visit_enum(Variant {
                tracer,
                name: variants[index],
            })?;
            tracer.path.pop();
            tracer.variants.pop();
            tracer.knowledge.complete(name, index);
            Ok(value)
        })
    }
}

/// Builds a struct from its fields; a name that turns out to be an alias is left out from then on.
fn visit_fields<'de, V: Visitor<'de>>(
    tracer: &mut Tracer,
    fields: &'static [&'static str],
    visitor: V,
) -> Result<V::Value> {
    let name = type_name::<V::Value>();
    let mut last = None;
    let access = Fields {
        tracer,
        name,
        fields: fields.iter(),
        last: &mut last,
    };
    visitor
        .visit_map(access)
        .map_err(|stop| match (stop, last) {
            (Stop::Duplicate, Some(field)) => {
                tracer.aliases.insert((name, field));
                Stop::Again
            }
            (stop, _) => stop,
        })
}

/// Makes the parts of a sequence, tuple or map up.
struct Parts<'t> {
    tracer: &'t mut Tracer,
    left: usize,
    /// The position in a tuple; every part of a sequence is alike.
    index: Option<usize>,
}

impl Parts<'_> {
    fn part<'de, S: DeserializeSeed<'de>>(&mut self, seed: S, step: String) -> Result<S::Value> {
        self.tracer.path.push(step);
        let value = seed.deserialize(Shape(self.tracer))?;
        self.tracer.path.pop();
        Ok(value)
    }
}

impl<'de> de::SeqAccess<'de> for Parts<'_> {
    type Error = Stop;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let step = self
            .index
            .map_or("[]".to_string(), |index| format!(".{index}"));
        self.index = self.index.map(|index| index + 1);
        self.part(seed, step).map(Some)
    }
}

impl<'de> de::MapAccess<'de> for Parts<'_> {
    type Error = Stop;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.part(seed, "{key}".to_string()).map(Some)
    }
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        self.part(seed, "{value}".to_string())
    }
}

/// Makes the fields of a struct up.
struct Fields<'t, 'l> {
    tracer: &'t mut Tracer,
    name: &'static str,
    fields: std::slice::Iter<'static, &'static str>,
    last: &'l mut Option<&'static str>,
}

impl<'de> de::MapAccess<'de> for Fields<'_, '_> {
    type Error = Stop;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        let mut names = self.fields.by_ref().copied();
        let Some(field) = names.find(|field| !self.tracer.aliases.contains(&(self.name, *field)))
        else {
            return Ok(None);
        };
        *self.last = Some(field);
        seed.deserialize(BorrowedStrDeserializer::new(field))
            .map(Some)
    }
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        self.tracer
            .path
            .push(format!(".{}", self.last.unwrap_or_default()));
        let value = seed.deserialize(Shape(self.tracer))?;
        self.tracer.path.pop();
        Ok(value)
    }
}

/// Makes the data of a variant up.
struct Variant<'t> {
    tracer: &'t mut Tracer,
    name: &'static str,
}

impl<'de> de::EnumAccess<'de> for Variant<'_> {
    type Error = Stop;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self)> {
        Ok((
            seed.deserialize(BorrowedStrDeserializer::new(self.name))?,
            self,
        ))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_> {
    type Error = Stop;

    fn unit_variant(self) -> Result<()> {
        Ok(())
    }
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value> {
        seed.deserialize(Shape(self.tracer))
    }
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        visitor.visit_seq(Parts {
            tracer: self.tracer,
            left: len,
            index: Some(0),
        })
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visit_fields(self.tracer, fields, visitor)
    }
}
