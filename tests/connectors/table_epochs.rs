//! A table written by epochs: rows are there with their epoch, each once, whatever crashes in between.

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pipeline_core::Result;
use pipeline_core::prelude::*;
use pipeline_core::sink::Promise;
use pipeline_gcp::bigquery::{
    AppendOutcome, BigQuery, BigQueryError, Column, ColumnType, EpochCommit, JournalEntry,
    LocalWarehouse, QueryResult, Row, TableSchema, TableSink, UpsertOutcome, Value,
};
use pollster::block_on;

use super::epochs::{Life, recovery};

type Number = Option<i64>;

fn notes() -> TableSchema {
    TableSchema::new([Column::required("n", ColumnType::Int64)])
}

/// Rows without ids, which nothing else than the marks keeps from being doubled.
fn sink(warehouse: &Arc<LocalWarehouse>) -> TableSink<Number> {
    let row = |n: &Number| Row::new(vec![n.map_or(Value::Null, Value::from)]);
    TableSink::append(
        Arc::clone(warehouse) as Arc<dyn BigQuery>,
        "notes",
        notes(),
        row,
    )
}

/// The same with ids.
fn sink_with_ids(warehouse: &Arc<LocalWarehouse>) -> TableSink<Number> {
    let row = |n: &Number| {
        let n = n.unwrap_or_default();
        Row::new(vec![n.into()]).with_id(n.to_string())
    };
    TableSink::append(
        Arc::clone(warehouse) as Arc<dyn BigQuery>,
        "notes",
        notes(),
        row,
    )
}

fn open(dir: &Path) -> Arc<LocalWarehouse> {
    Arc::new(LocalWarehouse::open(dir).unwrap())
}

fn rows(service: &dyn BigQuery) -> Vec<i64> {
    let result = block_on(service.query("SELECT n FROM notes ORDER BY n")).unwrap();
    let n = |row: &Vec<Value>| match row[0] {
        Value::Int64(n) => n,
        _ => panic!("{row:?}"),
    };
    result.rows.iter().map(n).collect()
}

fn some(numbers: &[i64]) -> Vec<Number> {
    numbers.iter().copied().map(Some).collect()
}

#[test]
fn rows_are_there_with_their_epoch_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = open(dir.path());
    assert_eq!(sink(&warehouse).promise(), Promise::Transactional);
    let mut life = Life::new(sink(&warehouse), 2);
    life.write(0, &some(&[1, 1])).unwrap();
    life.write(1, &some(&[2])).unwrap();
    let prepared = life.prepare(1);
    assert!(rows(&*warehouse).is_empty());
    life.write(0, &some(&[3])).unwrap();
    life.commit(1, &prepared);
    assert_eq!(rows(&*warehouse), [1, 1, 2]);
    life.commit(1, &prepared);
    assert_eq!(rows(&*warehouse), [1, 1, 2], "a repeated commit");
    // An epoch without rows, then one with the row that was written behind the first.
    let second = life.epoch(2);
    assert_eq!(rows(&*warehouse), [1, 1, 2, 3]);
    life.epoch(3);
    life.commit(2, &second);
    assert_eq!(rows(&*warehouse), [1, 1, 2, 3]);
    life.close();
    assert_eq!(rows(&*warehouse), [1, 1, 2, 3]);
}

#[test]
fn a_crash_at_any_place_loses_and_doubles_nothing() {
    // What was committed of epoch 2 before the crash, and how many workers go on.
    for committed in [false, true] {
        for workers in [1, 2, 5] {
            let dir = tempfile::tempdir().unwrap();
            let warehouse = open(dir.path());
            let mut life = Life::new(sink(&warehouse), 2);
            life.write(0, &some(&[1])).unwrap();
            life.epoch(1);
            life.write(0, &some(&[2])).unwrap();
            life.write(1, &some(&[2])).unwrap();
            let prepared = life.prepare(2);
            if committed {
                life.commit(2, &prepared);
            }
            // Behind the snapshot: it comes again.
            life.write(1, &some(&[3])).unwrap();
            drop((life, warehouse));

            let warehouse = open(dir.path());
            let mut life = Life::resume(sink(&warehouse), workers, 2, &prepared).unwrap();
            assert_eq!(rows(&*warehouse), [1, 2, 2], "{committed} {workers}");
            life.write(workers - 1, &some(&[3])).unwrap();
            let prepared = life.epoch(3);
            assert_eq!(rows(&*warehouse), [1, 2, 2, 3]);
            drop(life);
            // It crashes as often as it likes.
            for _ in 0..2 {
                Life::resume(sink(&warehouse), 1, 3, &prepared).unwrap();
                assert_eq!(rows(&*warehouse), [1, 2, 2, 3]);
            }
            let finished = recovery(3, &prepared, true);
            block_on(sink(&warehouse).recover(Some(finished))).unwrap();
            assert_eq!(rows(&*warehouse), [1, 2, 2, 3]);
        }
    }
}

#[test]
fn an_upsert_keeps_the_newest_of_all_epochs() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = open(dir.path());
    let schema = TableSchema::new([
        Column::required("k", ColumnType::Int64),
        Column::required("n", ColumnType::Int64),
    ])
    .keyed_by("k", "n");
    let sink = || {
        let row = |n: &Number| Row::new(vec![0.into(), n.unwrap_or_default().into()]);
        let service = Arc::clone(&warehouse) as Arc<dyn BigQuery>;
        TableSink::upsert(service, "notes", schema.clone(), row)
    };
    let mut life = Life::new(sink(), 1);
    life.write(0, &some(&[5])).unwrap();
    let prepared = life.prepare(1);
    drop(life);
    let mut life = Life::resume(sink(), 1, 1, &prepared).unwrap();
    assert_eq!(rows(&*warehouse), [5]);
    life.write(0, &some(&[7, 6])).unwrap();
    life.epoch(2);
    life.write(0, &some(&[2])).unwrap();
    life.epoch(3);
    assert_eq!(rows(&*warehouse), [7]);
}

#[test]
fn what_does_not_fit_is_refused_by_the_write() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = open(dir.path());
    let mut life = Life::new(sink(&warehouse), 1);
    let refused = life.write(0, &[Some(1), None, Some(2), None]).unwrap();
    assert_eq!(refused, [1, 3]);
    life.epoch(1);
    assert_eq!(rows(&*warehouse), [1, 2]);
    // The table is there even without a row, and with another schema nothing begins.
    let other = TableSchema::new([Column::required("n", ColumnType::String)]);
    let service = Arc::clone(&warehouse) as Arc<dyn BigQuery>;
    let row = |_: &Number| Row::new(vec!["x".into()]);
    let mut life = Life::new(TableSink::append(service, "notes", other, row), 1);
    let error = life.write(0, &some(&[1])).unwrap_err().to_string();
    assert!(error.contains("another schema"), "{error}");
    let service = Arc::clone(&warehouse) as Arc<dyn BigQuery>;
    let keyed = TableSchema::new([
        Column::required("k", ColumnType::Int64),
        Column::required("v", ColumnType::Int64),
    ])
    .keyed_by("k", "v");
    let sink = TableSink::append(service, "keyed", keyed, row);
    let error = sink.open_in_epochs(0).err().unwrap().to_string();
    assert!(error.contains("TableSink::upsert"), "{error}");
}

#[test]
fn a_table_that_is_not_the_snapshots_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let backup = tempfile::tempdir().unwrap();
    let warehouse = open(dir.path());
    let mut life = Life::new(sink(&warehouse), 1);
    life.write(0, &some(&[1])).unwrap();
    let first = life.epoch(1);
    drop((life, warehouse));
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), backup.path().join(entry.file_name())).unwrap();
    }
    assert_eq!(
        rows(&LocalWarehouse::open_read_only(backup.path()).unwrap()),
        [1]
    );
    let warehouse = open(dir.path());
    let mut life = Life::resume(sink(&warehouse), 1, 1, &first).unwrap();
    life.write(0, &some(&[2])).unwrap();
    life.epoch(2);
    life.write(0, &some(&[3])).unwrap();
    let prepared = life.prepare(3);
    drop(life);
    let refusal = |warehouse: &Arc<LocalWarehouse>| {
        let refused = Life::resume(sink(warehouse), 1, 3, &prepared).err();
        refused.unwrap().to_string()
    };
    // One of an earlier day, and an empty one.
    for other in [open(backup.path()), open(&dir.path().join("new"))] {
        assert!(refusal(&other).contains("not as snapshot 3 left it"));
    }
    // Another job has begun under the same owner.
    Life::resume(sink(&warehouse), 1, 3, &prepared).unwrap();
    let stranger = Life::new(sink(&warehouse), 1);
    assert!(refusal(&warehouse).contains("not as snapshot 3 left it"));
    drop(stranger);
    assert_eq!(rows(&*warehouse), [1, 2, 3]);
}

#[test]
fn two_sinks_of_a_table_need_owners() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = open(dir.path());
    let mut one = Life::new(sink(&warehouse), 1);
    let mut two = Life::new(sink(&warehouse), 1);
    one.write(0, &some(&[1])).unwrap();
    two.write(0, &some(&[2])).unwrap();
    let prepared = one.prepare(1);
    let error = block_on(one.sink.commit(1, prepared)).unwrap_err();
    assert!(
        error.to_string().contains("give one of them another owner"),
        "{error}"
    );
    two.epoch(1);
    let mut one = Life::new(sink(&warehouse).owner("one"), 1);
    one.write(0, &some(&[1])).unwrap();
    one.epoch(1);
    two.write(0, &some(&[3])).unwrap();
    two.epoch(2);
    assert_eq!(rows(&*warehouse), [1, 2, 3]);
}

#[test]
fn an_older_snapshot_goes_on_only_where_ids_tell_rows_apart() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = open(dir.path());
    let mut life = Life::new(sink_with_ids(&warehouse), 1);
    life.write(0, &some(&[1])).unwrap();
    let first = life.epoch(1);
    life.write(0, &some(&[2])).unwrap();
    life.epoch(2);
    drop(life);
    // Snapshot 2 is damaged: its rows come again in epoch 3.
    let mut life = Life::resume(sink_with_ids(&warehouse), 1, 1, &first).unwrap();
    life.write(0, &some(&[2, 4])).unwrap();
    life.epoch(3);
    assert_eq!(rows(&*warehouse), [1, 2, 4]);

    let mut life = Life::new(sink(&warehouse), 1);
    life.write(0, &some(&[5])).unwrap();
    let first = life.epoch(1);
    life.write(0, &some(&[6])).unwrap();
    life.epoch(2);
    let error = Life::resume(sink(&warehouse), 1, 1, &first).err().unwrap();
    assert!(error.to_string().contains("doubled"), "{error}");
}

#[test]
fn an_epoch_that_was_committed_with_other_rows_is_refused() {
    let keyed = || {
        TableSchema::new([
            Column::required("k", ColumnType::Int64),
            Column::required("n", ColumnType::Int64),
        ])
        .keyed_by("k", "n")
    };
    let of_key = |n: &Number| Row::new(vec![0.into(), n.unwrap_or_default().into()]);
    let upsert = |warehouse: &Arc<LocalWarehouse>| {
        let service = Arc::clone(warehouse) as Arc<dyn BigQuery>;
        TableSink::upsert(service, "notes", keyed(), of_key)
    };
    type Make<'a> = &'a dyn Fn(&Arc<LocalWarehouse>) -> TableSink<Number>;
    let cases: [(Make<'_>, &str); 3] = [
        (&sink_with_ids, "the id `3`"),
        (&upsert, "the key `0`"),
        (&sink, "without an id"),
    ];
    for (make, says) in cases {
        let dir = tempfile::tempdir().unwrap();
        let warehouse = open(dir.path());
        let mut life = Life::new(make(&warehouse), 1);
        assert_eq!(life.committed, 0);
        life.write(0, &some(&[1])).unwrap();
        let first = life.epoch(1);
        life.write(0, &some(&[3])).unwrap();
        let second = life.prepare(2);
        drop(life);
        // A copy of snapshot 1 goes on, and its second epoch has other rows, or none.
        let mut copy = Life::resume(make(&warehouse), 1, 1, &first).unwrap();
        assert_eq!(copy.committed, 1);
        if says != "without an id" {
            copy.write(0, &some(&[2])).unwrap();
        }
        copy.epoch(2);
        // What it takes to find epoch 3 committed, of a row that can be told by its id.
        let with_id = EpochCommit {
            table: "notes".into(),
            owner: String::new(),
            life: 1,
            epoch: 3,
            rows: vec![match says {
                "the key `0`" => of_key(&Some(2)),
                _ => Row::new(vec![9.into()]).with_id("9"),
            }],
        };
        block_on(warehouse.commit_epoch(&with_id)).unwrap();
        drop(copy);
        let before = rows(&*warehouse);
        let refused = Life::resume(make(&warehouse), 1, 2, &second).err();
        let refused = refused.unwrap().to_string();
        assert!(refused.contains(says), "{refused}");
        assert!(refused.contains("its epoch 2 was committed"), "{refused}");
        assert_eq!(rows(&*warehouse), before);
        // Behind what was committed there are numbers of which nothing is dropped.
        let mut copy = Life::resume(make(&warehouse), 1, 1, &first).unwrap();
        assert_eq!(copy.committed, 3);
        copy.write(0, &some(&[7])).unwrap();
        copy.epoch(4);
        assert!(rows(&*warehouse).contains(&7));
    }
}

#[test]
fn a_row_that_fits_no_more_leaves_the_table_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = open(dir.path());
    block_on(warehouse.create_table_if_needed("notes", &notes())).unwrap();
    let life = block_on(warehouse.begin_epochs("notes", "")).unwrap();
    let commit = |epoch, values: Vec<Value>| EpochCommit {
        table: "notes".into(),
        owner: String::new(),
        life,
        epoch,
        rows: values.into_iter().map(|v| Row::new(vec![v])).collect(),
    };
    let wrong = block_on(warehouse.commit_epoch(&commit(1, vec![1.into(), Value::Null])));
    assert!(wrong.unwrap_err().to_string().contains("row 1 of epoch 1"));
    assert!(rows(&*warehouse).is_empty());
    block_on(warehouse.commit_epoch(&commit(1, vec![1.into()]))).unwrap();
    block_on(warehouse.commit_epoch(&commit(1, vec![2.into()]))).unwrap();
    assert_eq!(rows(&*warehouse), [1]);
}

#[test]
fn the_journal_hears_of_an_epoch_when_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&heard);
    let warehouse = LocalWarehouse::open(dir.path())
        .unwrap()
        .with_journal(Arc::new(move |entry: JournalEntry| {
            listener.lock().unwrap().extend(entry.row_ids)
        }));
    let warehouse = Arc::new(warehouse);
    let mut life = Life::new(sink_with_ids(&warehouse), 2);
    life.write(0, &some(&[1])).unwrap();
    life.write(1, &some(&[2])).unwrap();
    let prepared = life.prepare(1);
    assert!(heard.lock().unwrap().is_empty());
    life.commit(1, &prepared);
    life.commit(1, &prepared);
    assert_eq!(*heard.lock().unwrap(), ["1", "2"]);
}

/// A service without epochs.
struct Plain(LocalWarehouse);

#[async_trait]
impl BigQuery for Plain {
    async fn create_table_if_needed(
        &self,
        table: &str,
        schema: &TableSchema,
    ) -> Result<(), BigQueryError> {
        self.0.create_table_if_needed(table, schema).await
    }
    async fn append_rows(
        &self,
        table: &str,
        rows: Vec<Row>,
    ) -> Result<AppendOutcome, BigQueryError> {
        self.0.append_rows(table, rows).await
    }
    async fn upsert_rows(
        &self,
        table: &str,
        rows: Vec<Row>,
    ) -> Result<UpsertOutcome, BigQueryError> {
        self.0.upsert_rows(table, rows).await
    }
    async fn create_view(&self, sql: &str) -> Result<(), BigQueryError> {
        self.0.create_view(sql).await
    }
    async fn query(&self, sql: &str) -> Result<QueryResult, BigQueryError> {
        self.0.query(sql).await
    }
}

#[test]
fn a_service_without_epochs_is_written_to_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let service = Arc::new(Plain(LocalWarehouse::open(dir.path()).unwrap()));
    let sink = || {
        let row = |n: &Number| Row::new(vec![(*n).unwrap().into()]).with_id(n.unwrap().to_string());
        TableSink::append(
            Arc::clone(&service) as Arc<dyn BigQuery>,
            "notes",
            notes(),
            row,
        )
    };
    assert_eq!(sink().promise(), Promise::Idempotent);
    let mut life = Life::new(sink(), 1);
    life.write(0, &some(&[1, 2])).unwrap();
    assert_eq!(rows(&*service), [1, 2]);
    let prepared = life.epoch(1);
    let mut life = Life::resume(sink(), 1, 1, &prepared).unwrap();
    life.write(0, &some(&[2, 3])).unwrap();
    assert_eq!(rows(&*service), [1, 2, 3]);
    let error = block_on(service.begin_epochs("notes", "")).unwrap_err();
    assert!(error.to_string().contains("does not commit by epochs"));
}

#[test]
fn a_warehouse_of_the_first_layout_is_upgraded_when_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("warehouse.sqlite");
    // As the version before wrote it, to the letter.
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(
        r#"PRAGMA journal_mode = WAL;
        BEGIN;
        CREATE TABLE "warehouse meta" (name TEXT NOT NULL COLLATE NOCASE PRIMARY KEY, kind TEXT NOT NULL, definition TEXT NOT NULL) STRICT;
        CREATE TABLE "notes" ("n" INTEGER NOT NULL, "row id" TEXT UNIQUE) STRICT;
        INSERT INTO "warehouse meta" VALUES ('notes', 'table',
            '{"columns":[{"name":"n","column_type":"INT64","mode":"REQUIRED","description":null}],"upsert_key":null}');
        INSERT INTO "notes" VALUES (7, '7');
        PRAGMA application_id = 0x42517768;
        PRAGMA user_version = 1;
        COMMIT;"#,
    )
    .unwrap();
    drop(old);
    let reader = LocalWarehouse::open_read_only(dir.path()).unwrap();
    assert_eq!(rows(&reader), [7]);
    for _ in 0..2 {
        let warehouse = open(dir.path());
        let mut life = Life::new(sink_with_ids(&warehouse), 1);
        life.write(0, &some(&[7, 8])).unwrap();
        life.epoch(1);
        assert_eq!(rows(&*warehouse), [7, 8]);
    }
    assert_eq!(rows(&reader), [7, 8]);
    // A later one is refused.
    let later = rusqlite::Connection::open(&path).unwrap();
    later.execute_batch("PRAGMA user_version = 3").unwrap();
    let error = LocalWarehouse::open(dir.path()).err().unwrap().to_string();
    assert!(error.contains("its layout is version 3"), "{error}");
}
