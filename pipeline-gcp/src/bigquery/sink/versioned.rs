//! Versions of rows, and the view of the latest: what BigQuery has in place of upserts.

use std::sync::Arc;

use pipeline_core::prelude::*;

use super::TableSink;
use super::config::Mode;
use crate::bigquery::row::Row;
use crate::bigquery::schema::{TableSchema, UpsertKey};
use crate::bigquery::service::BigQuery;

impl<T: Element> TableSink<T> {
    /// Adds versions of rows to the table `{view}_versions`, and makes the view `view` of the latest version of each
    /// key: on BigQuery and in the embedded warehouse alike. The schema has to be
    /// [keyed](TableSchema::keyed_by).
    ///
    /// Old versions stay; delete them, or let partitions expire, where they are too many. Of two rows of the same key
    /// and version the view shows one.
    pub fn versioned(
        service: Arc<dyn BigQuery>,
        view: impl Into<String>,
        schema: TableSchema,
        to_row: impl Fn(&T) -> Row + Send + Sync + 'static,
    ) -> Self {
        let view = view.into();
        let table = format!("{view}_versions");
        let sql = latest_view(&view, &table, &schema);
        let schema = TableSchema {
            upsert_key: None,
            ..schema
        };
        let to_row = move |record: &T| Ok(to_row(record));
        let mut sink = Self::new(service, table, schema, Arc::new(to_row), Mode::Append);
        sink.config.view = Some(sql);
        sink
    }
}

/// Writes the `CREATE VIEW` of the row of the greatest version of each key, for a [keyed](TableSchema::keyed_by) schema;
/// of a schema without a key, of all rows.
///
/// ```
/// # use pipeline_gcp::bigquery::{Column, ColumnType, TableSchema, latest_view};
/// let schema = TableSchema::new([
///     Column::required("id", ColumnType::Int64),
///     Column::required("version", ColumnType::Int64),
/// ])
/// .keyed_by("id", "version");
/// assert_eq!(
///     latest_view("orders", "orders_versions", &schema),
///     "CREATE OR REPLACE VIEW `orders` AS\nSELECT *\nFROM `orders_versions`\n\
///      QUALIFY ROW_NUMBER() OVER (PARTITION BY `id` ORDER BY `version` DESC) = 1",
/// );
/// ```
pub fn latest_view(view: &str, table: &str, schema: &TableSchema) -> String {
    let latest = match &schema.upsert_key {
        Some(UpsertKey { key, version }) => format!(
            "\nQUALIFY ROW_NUMBER() OVER (PARTITION BY `{key}` ORDER BY `{version}` DESC) = 1"
        ),
        None => String::new(),
    };
    format!("CREATE OR REPLACE VIEW `{view}` AS\nSELECT *\nFROM `{table}`{latest}")
}
