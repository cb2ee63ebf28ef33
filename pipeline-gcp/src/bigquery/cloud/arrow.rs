//! Rows as Arrow, which the Storage Write API takes.
//!
//! The types are those that BigQuery's document names (cloud.google.com/bigquery/docs/supported-data-types): a DATETIME
//! is a timestamp without a zone, a TIMESTAMP one in UTC, a NUMERIC a decimal of 38 digits, 9 of them behind the point,
//! JSON a text.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::builder::{
    ArrayBuilder, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder,
    Int64Builder, ListBuilder, StringBuilder, StructBuilder, TimestampMicrosecondBuilder,
    make_builder,
};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, TimeUnit};
use bytes::Bytes;

use crate::bigquery::numeric;
use crate::bigquery::row::Row;
use crate::bigquery::schema::{Column, ColumnType, Mode, TableSchema};
use crate::bigquery::value::Value;

/// Writes batches of one schema.
pub(super) struct Encoder {
    schema: Arc<Schema>,
    columns: Vec<Column>,
    /// The schema as a message.
    pub header: Vec<u8>,
}

type Result<T> = std::result::Result<T, String>;

impl Encoder {
    pub fn new(schema: &TableSchema) -> Result<Encoder> {
        let fields: Fields = schema.columns.iter().map(field).collect();
        let arrow = Arc::new(Schema::new(fields));
        let mut header = Vec::new();
        StreamWriter::try_new(&mut header, &arrow).map_err(said)?;
        Ok(Encoder {
            schema: arrow,
            columns: schema.columns.clone(),
            header,
        })
    }

    /// Writes rows, which fit the schema, as a message.
    pub fn encode<'a>(
        &self,
        rows: impl ExactSizeIterator<Item = &'a Row> + Clone,
    ) -> Result<Bytes> {
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (at, (column, field)) in self.columns.iter().zip(self.schema.fields()).enumerate() {
            let mut builder = make_builder(field.data_type(), rows.len());
            append(
                &mut *builder,
                column,
                rows.clone().map(|row| &row.values[at]),
            )?;
            arrays.push(builder.finish());
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(said)?;
        let mut bytes = Vec::with_capacity(batch.get_array_memory_size() + 1_024);
        // The writer begins with the schema, which has gone ahead.
        let mut writer = StreamWriter::try_new(&mut bytes, &self.schema).map_err(said)?;
        writer.write(&batch).map_err(said)?;
        writer.flush().map_err(said)?;
        drop(writer);
        Ok(Bytes::from(bytes).slice(self.header.len()..))
    }
}

fn said(error: ArrowError) -> String {
    format!("the rows cannot be written as Arrow: {error}")
}

fn field(column: &Column) -> Field {
    let single = match column.column_type {
        ColumnType::String | ColumnType::Json => DataType::Utf8,
        ColumnType::Int64 => DataType::Int64,
        ColumnType::Float64 => DataType::Float64,
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ColumnType::Datetime => DataType::Timestamp(TimeUnit::Microsecond, None),
        ColumnType::Date => DataType::Date32,
        ColumnType::Bytes => DataType::Binary,
        ColumnType::Numeric => DataType::Decimal128(38, 9),
        ColumnType::Struct => DataType::Struct(column.fields.iter().map(field).collect()),
    };
    match column.mode {
        Mode::Repeated => {
            let item = Arc::new(Field::new("item", single, true));
            Field::new(&column.name, DataType::List(item), true)
        }
        // Nullable for all: a REQUIRED field below a STRUCT that is NULL has no value either.
        _ => Field::new(&column.name, single, true),
    }
}

/// Appends the values of a column.
fn append<'a>(
    builder: &mut dyn ArrayBuilder,
    column: &Column,
    values: impl Iterator<Item = &'a Value>,
) -> Result<()> {
    if column.mode != Mode::Repeated {
        return append_single(builder, column, values);
    }
    let list = of::<ListBuilder<Box<dyn ArrayBuilder>>>(builder)?;
    for value in values {
        if let Value::Array(values) = value {
            // A trait object of one type: the function must not be made again for each depth.
            let values: &mut dyn Iterator<Item = &Value> = &mut values.iter();
            append_single(&mut **list.values(), column, values)?;
        }
        // There is no ARRAY that is NULL.
        list.append(true);
    }
    Ok(())
}

/// Appends values that are no ARRAYs; what the builder is, is found out once for all of them.
fn append_single<'a>(
    builder: &mut dyn ArrayBuilder,
    column: &Column,
    values: impl Iterator<Item = &'a Value>,
) -> Result<()> {
    macro_rules! scalars {
        ($builder:ty, $($value:pat => $number:expr),*) => {{
            let builder = of::<$builder>(builder)?;
            for value in values {
                match value {
                    $($value => builder.append_value($number),)*
                    Value::Null => builder.append_null(),
                    _ => return Err(unfit(column, value)),
                }
            }
        }};
    }
    match column.column_type {
        ColumnType::String | ColumnType::Json => {
            scalars!(StringBuilder, Value::String(text) => text, Value::Json(text) => text);
        }
        ColumnType::Int64 => scalars!(Int64Builder, Value::Int64(number) => *number),
        ColumnType::Float64 => scalars!(Float64Builder, Value::Float64(number) => *number),
        ColumnType::Bool => scalars!(BooleanBuilder, Value::Bool(truth) => *truth),
        ColumnType::Timestamp => {
            scalars!(TimestampMicrosecondBuilder, Value::Timestamp(micros) => *micros);
        }
        ColumnType::Datetime => {
            scalars!(TimestampMicrosecondBuilder, Value::Datetime(micros) => *micros);
        }
        ColumnType::Date => scalars!(Date32Builder, Value::Date(days) => *days),
        ColumnType::Bytes => scalars!(BinaryBuilder, Value::Bytes(bytes) => bytes),
        ColumnType::Numeric => {
            scalars!(Decimal128Builder, Value::Numeric(text) => numeric::unscaled(text)?);
        }
        ColumnType::Struct => {
            let builder = of::<StructBuilder>(builder)?;
            for value in values {
                let values = match value {
                    Value::Struct(values) => Some(values),
                    Value::Null => None,
                    _ => return Err(unfit(column, value)),
                };
                let builders = builder.field_builders_mut().iter_mut();
                for (at, (field, builder)) in column.fields.iter().zip(builders).enumerate() {
                    let value = values.and_then(|values| values.get(at));
                    let mut value = std::iter::once(value.unwrap_or(&Value::Null));
                    let value: &mut dyn Iterator<Item = &Value> = &mut value;
                    append(&mut **builder, field, value)?;
                }
                builder.append(values.is_some());
            }
        }
    }
    Ok(())
}

fn of<B: 'static>(builder: &mut dyn ArrayBuilder) -> Result<&mut B> {
    let builder = builder.as_any_mut().downcast_mut::<B>();
    builder.ok_or_else(|| "the rows cannot be written as Arrow: another builder".to_owned())
}

fn unfit(column: &Column, value: &Value) -> String {
    let found = value
        .column_type()
        .map_or("NULL".to_owned(), |t| t.to_string());
    format!(
        "column `{}` is {} and got {found}",
        column.name, column.column_type
    )
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Decimal128Type, Int64Type};
    use arrow_ipc::reader::StreamReader;

    use super::*;

    #[test]
    fn what_is_written_is_read_by_arrow() {
        let schema = TableSchema::from_ddl(
            "CREATE TABLE t (id INT64 NOT NULL, price NUMERIC, at TIMESTAMP, day DATE, raw BYTES, ok BOOL, \
             place STRUCT<x INT64 NOT NULL, names ARRAY<STRING>>, stops ARRAY<STRUCT<x INT64 NOT NULL>>)",
        )
        .unwrap()
        .1;
        let row = |id: i64, place: Value, stops: Value| {
            let price = Value::Numeric("-1.5".into());
            let raw = Value::Bytes(vec![0, 255]);
            let (at, day) = (Value::Timestamp(1), Value::Date(2));
            Row::new(vec![
                id.into(),
                price,
                at,
                day,
                raw,
                true.into(),
                place,
                stops,
            ])
        };
        let rows = [
            row(
                1,
                Value::Struct(vec![7.into(), Value::Array(vec!["a".into(), "b".into()])]),
                Value::Array(vec![
                    Value::Struct(vec![8.into()]),
                    Value::Struct(vec![9.into()]),
                ]),
            ),
            row(2, Value::Null, Value::Null),
        ];
        for row in &rows {
            assert_eq!(row.validate(&schema), Ok(()));
        }
        let encoder = Encoder::new(&schema).unwrap();
        let mut bytes = encoder.header.clone();
        for _ in 0..2 {
            bytes.extend(encoder.encode(rows.iter()).unwrap());
        }
        let batches: Vec<_> = StreamReader::try_new(bytes.as_slice(), None)
            .unwrap()
            .collect::<std::result::Result<_, _>>()
            .unwrap();
        assert_eq!(batches.len(), 2);
        let batch = &batches[1];
        assert_eq!(batch.num_rows(), 2);
        let prices = batch.column(1).as_primitive::<Decimal128Type>();
        assert_eq!(prices.value(0), -1_500_000_000);
        let places = batch.column(6).as_struct();
        assert!(places.is_valid(0) && places.is_null(1));
        assert_eq!(places.column(0).as_primitive::<Int64Type>().value(0), 7);
        let names = places.column(1).as_list::<i32>().value(0);
        assert_eq!(names.as_string::<i32>().value(1), "b");
        let stops = batch.column(7).as_list::<i32>();
        assert_eq!((stops.value_length(0), stops.value_length(1)), (2, 0));
    }
}
