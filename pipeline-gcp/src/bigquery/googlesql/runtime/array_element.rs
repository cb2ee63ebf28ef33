//! One element of an ARRAY_AGG: rows arrive in the order of its ORDER BY.

use rusqlite::functions::{Aggregate, Context};
use rusqlite::types::Value;

use super::register::failure;

/// `gs_array_element(x, offset, limit, ignore_nulls, safe)`; a limit of -1 is none.
pub(super) struct ArrayElement;

/// What is known of the array so far.
pub(super) struct Array {
    length: i64,
    element: Option<Value>,
    offset: i64,
    safe: bool,
}

impl Aggregate<Array, Value> for ArrayElement {
    fn init(&self, context: &mut Context<'_>) -> rusqlite::Result<Array> {
        Ok(Array {
            length: 0,
            element: None,
            offset: context.get(1)?,
            safe: context.get(4)?,
        })
    }

    fn step(&self, context: &mut Context<'_>, array: &mut Array) -> rusqlite::Result<()> {
        let (limit, ignore_nulls): (i64, bool) = (context.get(2)?, context.get(3)?);
        let value: Value = context.get(0)?;
        if array.length == limit || (ignore_nulls && value == Value::Null) {
            return Ok(());
        }
        if array.length == array.offset {
            array.element = Some(value);
        }
        array.length += 1;
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, array: Option<Array>) -> rusqlite::Result<Value> {
        match array {
            None => Ok(Value::Null), // no rows: the array is NULL, and so is its element
            Some(Array {
                element: Some(value),
                ..
            }) => Ok(value),
            Some(Array { safe: true, .. }) => Ok(Value::Null),
            Some(Array { length, offset, .. }) => Err(failure(format!(
                "ARRAY_AGG: offset {offset} is outside an array of {length} elements; use SAFE_OFFSET for NULL instead"
            ))),
        }
    }
}
