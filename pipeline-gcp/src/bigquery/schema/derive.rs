//! Columns from a serde type, without a value of it: its `Deserialize` is driven with made-up input.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};

use super::{Column, ColumnType, MAX_NESTING, Mode, TableSchema, joined};

/// Texts of which a type takes the first that it can: what it is made of tells the column's type. A plain text takes
/// the empty one; a UUID or an address takes one of the last.
const TEXTS: [(&str, ColumnType); 9] = [
    ("", ColumnType::String),
    ("2024-02-01T10:00:56Z", ColumnType::Timestamp),
    ("2024-02-01T10:00:56", ColumnType::Datetime),
    ("2024-02-01", ColumnType::Date),
    ("0", ColumnType::String),
    ("a", ColumnType::String),
    ("67e55044-10b1-426f-9247-bb680e5fe0c8", ColumnType::String),
    ("127.0.0.1", ColumnType::String),
    ("https://example.com/", ColumnType::String),
];

impl TableSchema {
    /// Derives the columns from a struct: its serde names, in its order.
    ///
    /// | field | column |
    /// |---|---|
    /// | integers up to 64 bits, `bool`, `f32` and `f64`, text, `char`, an enum of bare variants | INT64, BOOL, FLOAT64, STRING |
    /// | what reads RFC 3339 (`chrono::DateTime<Utc>`), a date, a date with a time | TIMESTAMP, DATE, DATETIME |
    /// | what asks for bytes (`bytes::Bytes`, `serde_bytes`) | BYTES |
    /// | a map, `serde_json::Value` | JSON |
    /// | a struct | STRUCT |
    /// | `Option`; `Vec` | NULLABLE; REPEATED |
    ///
    /// All others are REQUIRED. Where another type is wanted (an `i64` of microseconds as a TIMESTAMP, a text as a
    /// NUMERIC), say so with [`column_as`](Self::column_as).
    ///
    /// ```
    /// # use pipeline_gcp::bigquery::{ColumnType, Mode, TableSchema};
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Order {
    ///     id: i64,
    ///     city: Option<String>,
    ///     items: Vec<String>,
    /// }
    ///
    /// let schema = TableSchema::of::<Order>()?;
    /// assert_eq!(schema.columns[0].column_type, ColumnType::Int64);
    /// assert_eq!(schema.columns[1].mode, Mode::Nullable);
    /// assert_eq!(schema.columns[2].mode, Mode::Repeated);
    /// # Ok::<(), String>(())
    /// ```
    ///
    /// # Errors
    /// Names the field that no column can hold: a list of lists or of options, a tuple, a 128-bit integer, a type that
    /// contains itself; and a struct with `#[serde(flatten)]`, which hides its fields.
    pub fn of<T: DeserializeOwned>() -> Result<TableSchema, String> {
        let mut choices = Vec::new();
        loop {
            let trace = RefCell::new(Trace {
                choices: std::mem::take(&mut choices),
                ..Trace::default()
            });
            let result = T::deserialize(Tracer::top(&trace));
            let mut trace = trace.into_inner();
            if let Some(problem) = trace.problem {
                return Err(problem);
            }
            match result {
                Ok(_) => return finished(trace.root),
                Err(error) => {
                    // The last text was not one that the type reads: the next one is tried.
                    let Some(last) = trace.leaves.checked_sub(1) else {
                        return Err(format!("no columns can be derived: {error}"));
                    };
                    trace.choices.resize(trace.leaves, 0);
                    trace.choices[last] += 1;
                    if trace.choices[last] == TEXTS.len() {
                        return Err(format!(
                            "column `{}`: no text that its type reads is known ({error}); write the column by hand",
                            trace.last_path
                        ));
                    }
                    choices = trace.choices;
                }
            }
        }
    }
}

fn finished(root: Option<Found>) -> Result<TableSchema, String> {
    let Some(Found::Struct(columns)) = root else {
        return Err("a row is a struct with named fields (#[serde(flatten)] hides them)".into());
    };
    let schema = TableSchema::new(columns);
    schema.validate()?;
    Ok(schema)
}

#[derive(Default)]
struct Trace {
    /// Which text each text leaf gets, in order.
    choices: Vec<usize>,
    leaves: usize,
    last_path: String,
    problem: Option<String>,
    root: Option<Found>,
}

/// What was found at one place.
enum Found {
    Scalar(ColumnType),
    Struct(Vec<Column>),
    Nullable(Box<Found>),
    List(Box<Found>),
}

/// Stands for the input at one place.
struct Tracer<'a> {
    trace: &'a RefCell<Trace>,
    path: String,
    depth: usize,
    found: Option<&'a RefCell<Option<Found>>>,
}

#[derive(Debug)]
struct Stop(String);

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Stop(message.to_string())
    }
}

impl<'a> Tracer<'a> {
    fn top(trace: &'a RefCell<Trace>) -> Self {
        Tracer {
            trace,
            path: String::new(),
            depth: 0,
            found: None,
        }
    }

    fn note(&self, found: Found) {
        match self.found {
            Some(cell) => *cell.borrow_mut() = Some(found),
            None => self.trace.borrow_mut().root = Some(found),
        }
    }

    fn refuse<T>(&self, what: &str) -> Result<T, Stop> {
        let problem = match self.path.as_str() {
            "" => format!("a row cannot be {what}; it is a struct with named fields"),
            path => format!("column `{path}`: no column holds {what}"),
        };
        self.trace.borrow_mut().problem.get_or_insert(problem);
        Err(Stop("refused".into()))
    }

    fn text(&self) -> &'static str {
        let mut trace = self.trace.borrow_mut();
        let choice = trace.choices.get(trace.leaves).copied().unwrap_or(0);
        trace.leaves += 1;
        trace.last_path = self.path.clone();
        drop(trace);
        let (text, column_type) = TEXTS[choice];
        self.note(Found::Scalar(column_type));
        text
    }
}

macro_rules! scalars {
    ($($method:ident $visit:ident $value:expr, $column:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
            self.note(Found::Scalar(ColumnType::$column));
            visitor.$visit($value)
        }
    )*};
}

macro_rules! refused {
    ($($method:ident($($argument:ty),*) $what:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, $(_: $argument,)* _: V) -> Result<V::Value, Stop> {
            self.refuse($what)
        }
    )*};
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Stop;

    scalars! {
        deserialize_bool visit_bool false, Bool;
        deserialize_i8 visit_i8 1, Int64;
        deserialize_i16 visit_i16 1, Int64;
        deserialize_i32 visit_i32 1, Int64;
        deserialize_i64 visit_i64 1, Int64;
        deserialize_u8 visit_u8 1, Int64;
        deserialize_u16 visit_u16 1, Int64;
        deserialize_u32 visit_u32 1, Int64;
        deserialize_u64 visit_u64 1, Int64;
        deserialize_f32 visit_f32 1.0, Float64;
        deserialize_f64 visit_f64 1.0, Float64;
        deserialize_char visit_char 'a', String;
        deserialize_bytes visit_bytes b"", Bytes;
        deserialize_byte_buf visit_byte_buf Vec::new(), Bytes;
    }

    refused! {
        deserialize_i128() "an integer of 128 bits";
        deserialize_u128() "an integer of 128 bits";
        deserialize_unit() "nothing";
        deserialize_unit_struct(&'static str) "nothing";
        deserialize_tuple(usize) "a tuple; name its fields";
        deserialize_tuple_struct(&'static str, usize) "a tuple; name its fields";
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.note(Found::Scalar(ColumnType::Json));
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_unit()
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_borrowed_str(self.text())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_borrowed_str(self.text())
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_borrowed_str(self.text())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let inner = RefCell::new(None);
        let value = visitor.visit_some(Tracer {
            trace: self.trace,
            path: self.path.clone(),
            depth: self.depth,
            found: Some(&inner),
        })?;
        if let Some(found) = inner.into_inner() {
            self.note(match found {
                Found::Nullable(_) | Found::List(_) => found,
                found => Found::Nullable(Box::new(found)),
            });
        }
        Ok(value)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let inner = RefCell::new(None);
        let value = visitor.visit_seq(One {
            tracer: Some(Tracer {
                trace: self.trace,
                path: self.path.clone(),
                depth: self.depth,
                found: Some(&inner),
            }),
        })?;
        match inner.into_inner() {
            Some(Found::List(_)) => self.refuse("a list of lists; put a struct between them"),
            Some(Found::Nullable(_)) => self.refuse("a list of options"),
            Some(found) => {
                self.note(Found::List(Box::new(found)));
                Ok(value)
            }
            None => Ok(value),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.note(Found::Scalar(ColumnType::Json));
        let none: [(&str, &str); 0] = [];
        visitor.visit_map(de::value::MapDeserializer::new(none.into_iter()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        if self.depth == MAX_NESTING {
            return self.refuse("a type that contains itself, or one nested deeper than 15 levels");
        }
        let columns = RefCell::new(Vec::new());
        let value = visitor.visit_map(Fields {
            tracer: &self,
            names: fields.iter(),
            next: None,
            columns: &columns,
        })?;
        self.note(Found::Struct(columns.into_inner()));
        Ok(value)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.note(Found::Scalar(ColumnType::String));
        let first = variants.first().copied().unwrap_or_default();
        let value = visitor.visit_enum(IntoDeserializer::<Stop>::into_deserializer(first));
        value.or_else(|_| {
            self.refuse(&format!(
                "the enum {name}, whose variant {first} has data; map it to a struct"
            ))
        })
    }
}

struct One<'a> {
    tracer: Option<Tracer<'a>>,
}

impl<'de> de::SeqAccess<'de> for One<'_> {
    type Error = Stop;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        match self.tracer.take() {
            Some(tracer) => seed.deserialize(tracer).map(Some),
            None => Ok(None),
        }
    }
}

struct Fields<'a, 'b> {
    tracer: &'b Tracer<'a>,
    names: std::slice::Iter<'static, &'static str>,
    next: Option<&'static str>,
    columns: &'b RefCell<Vec<Column>>,
}

impl<'de> de::MapAccess<'de> for Fields<'_, '_> {
    type Error = Stop;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        self.next = self.names.next().copied();
        match self.next {
            Some(name) => {
                let name: de::value::StrDeserializer<'_, Stop> = name.into_deserializer();
                seed.deserialize(name).map(Some)
            }
            None => Ok(None),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stop> {
        let name = self.next.unwrap_or_default();
        let found = RefCell::new(None);
        let value = seed.deserialize(Tracer {
            trace: self.tracer.trace,
            path: joined(&self.tracer.path, name),
            depth: self.tracer.depth + 1,
            found: Some(&found),
        })?;
        if let Some(found) = found.into_inner() {
            self.columns.borrow_mut().push(column(name, found));
        }
        Ok(value)
    }
}

fn column(name: &str, found: Found) -> Column {
    match found {
        // NULL in a JSON column is a value like others, and what serde_json takes for none.
        Found::Scalar(ColumnType::Json) => Column::nullable(name, ColumnType::Json),
        Found::Scalar(column_type) => Column::required(name, column_type),
        Found::Struct(fields) => Column::required(name, ColumnType::Struct).fields(fields),
        Found::Nullable(found) => Column {
            mode: Mode::Nullable,
            ..column(name, *found)
        },
        Found::List(found) => Column {
            mode: Mode::Repeated,
            ..column(name, *found)
        },
    }
}

#[cfg(test)]
mod tests;
