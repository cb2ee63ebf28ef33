//! What only the inside can test: a full disk, the durability settings, a failure in the middle of a call.

use std::sync::{Arc, Mutex};

use pollster::block_on;

use super::{JournalEntry, LocalWarehouse};
use crate::bigquery::{BigQuery, BigQueryErrorKind, Column, ColumnType, Row, TableSchema, Value};

fn notes(dir: &std::path::Path) -> LocalWarehouse {
    let warehouse = LocalWarehouse::open(dir).unwrap();
    let schema = TableSchema::new([Column::required("text", ColumnType::String)]);
    block_on(warehouse.create_table_if_needed("notes", &schema)).unwrap();
    warehouse
}

fn count(warehouse: &LocalWarehouse) -> Value {
    block_on(warehouse.query("SELECT COUNT(*) FROM notes"))
        .unwrap()
        .rows[0][0]
        .clone()
}

#[test]
fn a_full_disk_is_a_clear_error_and_nothing_is_half_written() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Mutex::new(Vec::<JournalEntry>::new()));
    let heard = Arc::clone(&journal);
    let warehouse =
        notes(dir.path()).with_journal(Arc::new(move |entry| heard.lock().unwrap().push(entry)));
    // SQLite reports a file at its page limit as it reports a full disk.
    let limit = |pages: i64| {
        let writer = warehouse.writer().unwrap();
        writer
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .unwrap();
    };
    limit(30);
    let rows = || {
        (0..1_000)
            .map(|n| Row::new(vec!["x".repeat(1_000).into()]).with_id(n.to_string()))
            .collect()
    };
    let error = block_on(warehouse.append_rows("notes", rows())).unwrap_err();
    assert!(
        matches!(error.kind(), BigQueryErrorKind::DiskFull { .. }),
        "{error}"
    );
    assert!(!error.is_transient());
    assert_eq!(count(&warehouse), Value::from(0));
    assert_eq!(*journal.lock().unwrap(), []);
    limit(1_000_000);
    let outcome = block_on(warehouse.append_rows("notes", rows())).unwrap();
    assert_eq!((outcome.inserted, outcome.duplicates), (1_000, 0));
    assert_eq!(count(&warehouse), Value::from(1_000));
}

#[test]
fn the_log_is_written_ahead_and_synced_at_every_commit() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = notes(dir.path());
    let writer = warehouse.writer().unwrap();
    let mode: String = writer
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .unwrap();
    let synchronous: i64 = writer
        .pragma_query_value(None, "synchronous", |row| row.get(0))
        .unwrap();
    assert_eq!((mode.as_str(), synchronous), ("wal", 2)); // 2 is FULL
}

#[test]
fn a_foreign_lock_on_the_file_is_transient() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = notes(dir.path());
    warehouse
        .writer()
        .unwrap()
        .busy_timeout(std::time::Duration::ZERO)
        .unwrap();
    let foreign = rusqlite::Connection::open(dir.path().join("warehouse.sqlite")).unwrap();
    foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
    let row = || vec![Row::new(vec!["a".into()])];
    let error = block_on(warehouse.append_rows("notes", row())).unwrap_err();
    assert!(error.is_transient(), "{error}");
    foreign.execute_batch("ROLLBACK").unwrap();
    assert_eq!(
        block_on(warehouse.append_rows("notes", row()))
            .unwrap()
            .inserted,
        1
    );
}

#[test]
fn a_warehouse_that_was_dropped_is_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = notes(dir.path());
    let row = vec![Row::new(vec!["a".into()])];
    block_on(warehouse.append_rows("notes", row)).unwrap();
    assert_eq!(count(&warehouse), Value::from(1));
    drop(warehouse);
    let names = std::fs::read_dir(dir.path()).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["warehouse.lock", "warehouse.sqlite"]);
}
