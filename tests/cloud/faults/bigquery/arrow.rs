//! Arrow as JSON objects, by Arrow's own reader.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef};
use arrow_ipc::reader::StreamReader;
use arrow_schema::DataType;
use serde_json::{Map, Value as Json, json};

/// Reads a schema and a batch, as they come in a request; returns the columns and the rows.
pub(super) fn rows(header: &[u8], batch: &[u8]) -> (Vec<String>, Vec<Json>) {
    let bytes = [header, batch].concat();
    let reader = StreamReader::try_new(bytes.as_slice(), None).expect("Arrow");
    let schema = reader.schema();
    let names: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.expect("Arrow");
        for row in 0..batch.num_rows() {
            let cells = names.iter().zip(batch.columns());
            let cells = cells.map(|(name, column)| (name.clone(), cell(column, row)));
            rows.push(Json::Object(cells.collect::<Map<_, _>>()));
        }
    }
    (names, rows)
}

/// Counts the rows of a batch.
pub(super) fn count(header: &[u8], batch: &[u8]) -> usize {
    let bytes = [header, batch].concat();
    let reader = StreamReader::try_new(bytes.as_slice(), None).expect("Arrow");
    reader.map(|batch| batch.expect("Arrow").num_rows()).sum()
}

fn cell(array: &ArrayRef, row: usize) -> Json {
    if array.is_null(row) {
        return Json::Null;
    }
    match array.data_type() {
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => json!(array.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::Binary => json!(array.as_binary::<i32>().value(row)),
        DataType::Date32 => json!(array.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(..) => {
            json!(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Decimal128(..) => {
            json!(array.as_primitive::<Decimal128Type>().value_as_string(row))
        }
        DataType::List(_) => {
            let values = array.as_list::<i32>().value(row);
            (0..values.len()).map(|at| cell(&values, at)).collect()
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter().zip(fields);
            let cells = columns.map(|(column, field)| (field.name().clone(), cell(column, row)));
            Json::Object(cells.collect())
        }
        other => panic!("the type {other} is not known here"),
    }
}
