//! How tables stand in SQLite, and the table that describes them.

use rusqlite::{Connection, OptionalExtension};

use super::failure::storage;
use crate::bigquery::error::{BigQueryError, BigQueryErrorKind};
use crate::bigquery::googlesql::{Catalog, Object};
use crate::bigquery::schema::{Column, ColumnType, Mode, TableSchema, check_name};

/// Marks the file as a warehouse ("BQwh").
pub(super) const APPLICATION_ID: i32 = 0x4251_7768;
/// Version of the layout. A warehouse of version 1 is upgraded when it is opened for writing; one of a later version is refused.
pub(super) const LAYOUT_VERSION: i32 = 2;

/// The table of tables and views. No name of a user's table has a space, so none meets it.
const META: &str = "\"warehouse meta\"";
/// The table of the epochs that writers have committed, since version 2 of the layout.
pub(super) const EPOCHS: &str = "\"warehouse epochs\"";
/// The column of row ids, kept apart from the user's columns in the same way.
pub(super) const ROW_ID: &str = "\"row id\"";

/// A table or view by its definition.
pub(super) enum Definition {
    Table(TableSchema),
    View(String),
}

/// Creates the table of tables.
pub(super) fn initialise(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "CREATE TABLE {META} (name TEXT NOT NULL COLLATE NOCASE PRIMARY KEY, kind TEXT NOT NULL, definition TEXT NOT NULL) STRICT;"
    ))?;
    upgrade(connection)
}

/// Adds what version 1 of the layout lacks.
pub(super) fn upgrade(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "CREATE TABLE {EPOCHS} (name TEXT NOT NULL COLLATE NOCASE, owner TEXT NOT NULL, life INTEGER NOT NULL, \
         epoch INTEGER NOT NULL, bare INTEGER NOT NULL, PRIMARY KEY (name, owner)) STRICT;"
    ))
}

/// Takes the table's own name from `project.dataset.table`, and checks it.
pub(super) fn plain_name(name: &str) -> Result<&str, BigQueryError> {
    let plain = name.rsplit('.').next().unwrap_or(name);
    let reserved = plain.len() >= 7 && plain.as_bytes()[..7].eq_ignore_ascii_case(b"sqlite_");
    let checked = match reserved {
        true => Err(format!("table name `{plain}` cannot begin with sqlite_")),
        false => check_name("table", plain, 1024),
    };
    checked.map_err(|reason| BigQueryErrorKind::InvalidSchema { reason })?;
    Ok(plain)
}

/// Finds a table or view in any spelling; returns the spelling that is there.
pub(super) fn find(
    connection: &Connection,
    name: &str,
) -> Result<Option<(String, Definition)>, BigQueryError> {
    let found = connection
        .prepare_cached(&format!(
            "SELECT name, kind, definition FROM {META} WHERE name = ?1"
        ))
        .and_then(|mut statement| {
            let row = |row: &rusqlite::Row<'_>| {
                Ok((
                    row.get(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, String>(2)?,
                ))
            };
            statement.query_row([name], row).optional()
        })
        .map_err(storage("reading the list of tables"))?;
    found
        .map(|(name, kind, definition)| Ok((name, decode(&kind, definition)?)))
        .transpose()
}

/// Reads what queries can name.
pub(super) fn catalog(connection: &Connection) -> Result<Catalog, BigQueryError> {
    let mut catalog = Catalog::default();
    let read = |connection: &Connection| -> rusqlite::Result<Vec<(String, String, String)>> {
        let mut statement =
            connection.prepare_cached(&format!("SELECT name, kind, definition FROM {META}"))?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect()
    };
    for (name, kind, definition) in
        read(connection).map_err(storage("reading the list of tables"))?
    {
        let object = match decode(&kind, definition)? {
            Definition::View(sql) => Object::View { sql },
            Definition::Table(schema) => {
                let columns = schema
                    .columns
                    .into_iter()
                    .map(|column| {
                        let stored = stored_type(&column);
                        (column.name, stored)
                    })
                    .collect();
                Object::Table { columns }
            }
        };
        catalog.insert(name, object);
    }
    Ok(catalog)
}

fn decode(kind: &str, definition: String) -> Result<Definition, BigQueryError> {
    if kind == "view" {
        return Ok(Definition::View(definition));
    }
    serde_json::from_str(&definition)
        .map(Definition::Table)
        .map_err(|error| {
            let action = "reading the schema of a table".to_owned();
            BigQueryErrorKind::Storage {
                action,
                reason: error.to_string(),
            }
            .into()
        })
}

/// Gives the type that a column has here: STRUCT and ARRAY are kept as JSON.
pub(super) fn stored_type(column: &Column) -> ColumnType {
    match (column.mode, column.column_type) {
        (Mode::Repeated, _) | (_, ColumnType::Struct) => ColumnType::Json,
        (_, column_type) => column_type,
    }
}

/// Creates a table and describes it. Runs within the caller's transaction.
pub(super) fn create_table(
    connection: &Connection,
    name: &str,
    schema: &TableSchema,
) -> Result<(), BigQueryError> {
    let mut columns: Vec<String> = schema.columns.iter().map(written).collect();
    columns.push(match &schema.upsert_key {
        Some(upsert) => format!("UNIQUE (\"{}\")", upsert.key),
        None => format!("{ROW_ID} TEXT UNIQUE"),
    });
    let action = || format!("creating table `{name}`");
    connection
        .execute_batch(&format!(
            "CREATE TABLE \"{name}\" ({}) STRICT;",
            columns.join(", ")
        ))
        .map_err(storage(action()))?;
    define(connection, name, schema)
}

/// Adds columns to a table and describes it as it then is. Runs within the caller's transaction.
pub(super) fn add_columns(
    connection: &Connection,
    name: &str,
    schema: &TableSchema,
    new: &[Column],
) -> Result<(), BigQueryError> {
    for column in new {
        let sql = format!("ALTER TABLE \"{name}\" ADD COLUMN {}", written(column));
        let added = connection.execute_batch(&sql);
        added.map_err(storage(format!("adding a column to table `{name}`")))?;
    }
    define(connection, name, schema)
}

fn define(connection: &Connection, name: &str, schema: &TableSchema) -> Result<(), BigQueryError> {
    let action = || format!("describing table `{name}`");
    let definition = serde_json::to_string(schema).map_err(|error| BigQueryErrorKind::Storage {
        action: action(),
        reason: error.to_string(),
    })?;
    describe(connection, name, "table", &definition).map_err(storage(action()))
}

/// Writes a column for SQLite.
fn written(column: &Column) -> String {
    let stored = match stored_type(column) {
        ColumnType::String | ColumnType::Numeric | ColumnType::Json | ColumnType::Struct => "TEXT",
        ColumnType::Float64 => "REAL",
        ColumnType::Bytes => "BLOB",
        ColumnType::Int64
        | ColumnType::Bool
        | ColumnType::Timestamp
        | ColumnType::Date
        | ColumnType::Datetime => "INTEGER",
    };
    let required = if column.mode == Mode::Required {
        " NOT NULL"
    } else {
        ""
    };
    format!("\"{}\" {stored}{required}", column.name)
}

/// Stores the definition of a table or view in place of an earlier one.
pub(super) fn describe(
    connection: &Connection,
    name: &str,
    kind: &str,
    definition: &str,
) -> rusqlite::Result<()> {
    let sql = format!("INSERT OR REPLACE INTO {META} (name, kind, definition) VALUES (?1, ?2, ?3)");
    connection
        .execute(&sql, [name, kind, definition])
        .map(|_| ())
}
