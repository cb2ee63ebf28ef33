//! Any serde value as a tree: what JSON would lose (bytes, numbers that are not finite) is kept.

use std::fmt;

use serde::ser::{self, Serialize, Serializer};

/// A serialised value.
pub(super) enum Tree {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

#[derive(Debug)]
pub(super) struct TreeError(pub String);

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TreeError {}

impl ser::Error for TreeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        TreeError(message.to_string())
    }
}

impl Tree {
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Tree, TreeError> {
        value.serialize(Planter)
    }

    /// Names the kind of value for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Tree::Null => "NULL",
            Tree::Bool(_) => "a truth value",
            Tree::Int(_) => "an integer",
            Tree::Float(_) => "a number with a fraction",
            Tree::Text(_) => "a text",
            Tree::Bytes(_) => "bytes",
            Tree::List(_) => "a list",
            Tree::Map(_) => "a struct or map",
        }
    }

    pub fn into_json(self) -> Result<serde_json::Value, String> {
        Ok(match self {
            Tree::Null => serde_json::Value::Null,
            Tree::Bool(truth) => truth.into(),
            Tree::Int(number) => match (i64::try_from(number), u64::try_from(number)) {
                (Ok(number), _) => number.into(),
                (_, Ok(number)) => number.into(),
                _ => return Err(format!("{number} has more than 64 bits")),
            },
            Tree::Float(number) if number.is_finite() => number.into(),
            Tree::Float(number) => return Err(format!("{number} cannot stand in JSON")),
            Tree::Text(text) => text.into(),
            Tree::Bytes(_) => return Err("bytes cannot stand in JSON".to_owned()),
            Tree::List(list) => list
                .into_iter()
                .map(Tree::into_json)
                .collect::<Result<_, _>>()?,
            Tree::Map(map) => {
                let entries = map.into_iter();
                let entries = entries.map(|(key, value)| Ok((key, value.into_json()?)));
                serde_json::Value::Object(entries.collect::<Result<_, String>>()?)
            }
        })
    }
}

/// Builds trees.
struct Planter;

/// Builds the branches of a list or a map, perhaps below the name of a variant.
pub(super) struct Branches {
    variant: Option<&'static str>,
    list: Vec<Tree>,
    map: Vec<(String, Tree)>,
    key: Option<String>,
}

fn branches(variant: Option<&'static str>, length: usize) -> Branches {
    Branches {
        variant,
        list: Vec::with_capacity(length),
        map: Vec::new(),
        key: None,
    }
}

impl Branches {
    fn wrapped(variant: Option<&'static str>, tree: Tree) -> Tree {
        match variant {
            Some(name) => Tree::Map(vec![(name.to_owned(), tree)]),
            None => tree,
        }
    }

    fn into_list(self) -> Tree {
        Self::wrapped(self.variant, Tree::List(self.list))
    }

    fn into_map(self) -> Tree {
        Self::wrapped(self.variant, Tree::Map(self.map))
    }
}

type Planted = Result<Tree, TreeError>;

macro_rules! leaves {
    ($($method:ident $type:ty => $leaf:expr;)*) => {$(
        fn $method(self, value: $type) -> Planted {
            let leaf: fn($type) -> Tree = $leaf;
            Ok(leaf(value))
        }
    )*};
}

impl Serializer for Planter {
    type Ok = Tree;
    type Error = TreeError;
    type SerializeSeq = Branches;
    type SerializeTuple = Branches;
    type SerializeTupleStruct = Branches;
    type SerializeTupleVariant = Branches;
    type SerializeMap = Branches;
    type SerializeStruct = Branches;
    type SerializeStructVariant = Branches;

    leaves! {
        serialize_bool bool => Tree::Bool;
        serialize_i8 i8 => |n| Tree::Int(n.into());
        serialize_i16 i16 => |n| Tree::Int(n.into());
        serialize_i32 i32 => |n| Tree::Int(n.into());
        serialize_i64 i64 => |n| Tree::Int(n.into());
        serialize_i128 i128 => Tree::Int;
        serialize_u8 u8 => |n| Tree::Int(n.into());
        serialize_u16 u16 => |n| Tree::Int(n.into());
        serialize_u32 u32 => |n| Tree::Int(n.into());
        serialize_u64 u64 => |n| Tree::Int(n.into());
        serialize_f32 f32 => |n| Tree::Float(n.into());
        serialize_f64 f64 => Tree::Float;
        serialize_char char => |c| Tree::Text(c.to_string());
        serialize_str &str => |text| Tree::Text(text.to_owned());
        serialize_bytes &[u8] => |bytes| Tree::Bytes(bytes.to_owned());
    }

    fn serialize_none(self) -> Planted {
        Ok(Tree::Null)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Planted {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Planted {
        Ok(Tree::Null)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Planted {
        Ok(Tree::Null)
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Planted {
        Ok(Tree::Text(variant.to_owned()))
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Planted {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Planted {
        Ok(Branches::wrapped(Some(variant), Tree::of(value)?))
    }
    fn serialize_seq(self, length: Option<usize>) -> Result<Branches, TreeError> {
        Ok(branches(None, length.unwrap_or(0).min(1_024)))
    }
    fn serialize_tuple(self, length: usize) -> Result<Branches, TreeError> {
        Ok(branches(None, length))
    }
    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Branches, TreeError> {
        Ok(branches(None, length))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Branches, TreeError> {
        Ok(branches(Some(variant), length))
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Branches, TreeError> {
        Ok(branches(None, 0))
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Branches, TreeError> {
        Ok(branches(None, 0))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Branches, TreeError> {
        Ok(branches(Some(variant), 0))
    }
}

macro_rules! lists {
    ($($trait:ident $method:ident;)*) => {$(
        impl ser::$trait for Branches {
            type Ok = Tree;
            type Error = TreeError;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), TreeError> {
                self.list.push(Tree::of(value)?);
                Ok(())
            }
            fn end(self) -> Planted {
                Ok(self.into_list())
            }
        }
    )*};
}

lists! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

macro_rules! structs {
    ($($trait:ident)*) => {$(
        impl ser::$trait for Branches {
            type Ok = Tree;
            type Error = TreeError;
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), TreeError> {
                self.map.push((name.to_owned(), Tree::of(value)?));
                Ok(())
            }
            fn end(self) -> Planted {
                Ok(self.into_map())
            }
        }
    )*};
}

structs! { SerializeStruct SerializeStructVariant }

impl ser::SerializeMap for Branches {
    type Ok = Tree;
    type Error = TreeError;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), TreeError> {
        self.key = Some(match Tree::of(key)? {
            Tree::Text(text) => text,
            Tree::Int(number) => number.to_string(),
            Tree::Bool(truth) => truth.to_string(),
            other => return Err(TreeError(format!("{} cannot be a key", other.kind()))),
        });
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), TreeError> {
        let key = self.key.take().unwrap_or_default();
        self.map.push((key, Tree::of(value)?));
        Ok(())
    }
    fn end(self) -> Planted {
        Ok(self.into_map())
    }
}
