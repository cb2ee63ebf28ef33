//! Registration, and the way of arguments and errors between SQLite and plain functions.

use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};

/// The same arguments give the same value, and nothing outside is touched.
const PURE: FunctionFlags = FunctionFlags::SQLITE_UTF8
    .union(FunctionFlags::SQLITE_DETERMINISTIC)
    .union(FunctionFlags::SQLITE_INNOCUOUS);

/// Registers all functions on a connection.
pub(crate) fn register(connection: &Connection) -> rusqlite::Result<()> {
    super::arithmetic::register(connection)?;
    super::string::register(connection)?;
    super::timestamp::register(connection)?;
    super::cast::register(connection)?;
    connection.create_aggregate_function(
        "gs_array_element",
        5,
        PURE,
        super::array_element::ArrayElement,
    )
}

/// Registers a scalar that gives NULL if an argument is NULL.
pub(super) fn scalar<const N: usize>(
    connection: &Connection,
    name: &str,
    run: impl Fn([ValueRef<'_>; N]) -> Result<Value, String> + Send + 'static,
) -> rusqlite::Result<()> {
    let call = move |context: &Context<'_>| {
        let args: [ValueRef<'_>; N] = std::array::from_fn(|position| context.get_raw(position));
        if args.contains(&ValueRef::Null) {
            return Ok(Value::Null);
        }
        run(args).map_err(failure)
    };
    let arity = i32::try_from(N).expect("functions have few arguments");
    connection.create_scalar_function(name, arity, PURE, call)
}

/// Wraps the reason for a query to fail.
pub(super) fn failure(reason: String) -> rusqlite::Error {
    rusqlite::Error::UserFunctionError(reason.into())
}

/// Takes an integer: INT64, BOOL or TIMESTAMP.
pub(super) fn integer(value: ValueRef<'_>) -> Result<i64, String> {
    value.as_i64().map_err(|error| error.to_string())
}

/// Takes a FLOAT64.
pub(super) fn real(value: ValueRef<'_>) -> Result<f64, String> {
    value.as_f64().map_err(|error| error.to_string())
}

/// Takes a STRING.
pub(super) fn text(value: ValueRef<'_>) -> Result<&str, String> {
    value.as_str().map_err(|error| error.to_string())
}
