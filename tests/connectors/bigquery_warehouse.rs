//! The embedded warehouse: idempotent appends, upserts by version, one writer, readers beside it, survival of a kill.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use pipeline_gcp::bigquery::{
    BigQuery, BigQueryError, BigQueryErrorKind, Column, ColumnType, JournalEntry, LocalWarehouse,
    Row, RowError, TableSchema, Value,
};
use pollster::block_on;

fn events() -> TableSchema {
    TableSchema::new([
        Column::required("id", ColumnType::Int64),
        Column::nullable("text", ColumnType::String),
    ])
}

fn totals() -> TableSchema {
    TableSchema::new([
        Column::required("order_id", ColumnType::Int64),
        Column::nullable("text", ColumnType::String),
        Column::required("version", ColumnType::Int64),
    ])
    .keyed_by("order_id", "version")
}

fn open(dir: &Path) -> LocalWarehouse {
    let warehouse = LocalWarehouse::open(dir).unwrap();
    block_on(warehouse.create_table_if_needed("events", &events())).unwrap();
    block_on(warehouse.create_table_if_needed("project.set.totals", &totals())).unwrap();
    warehouse
}

fn event(id: i64) -> Row {
    Row::new(vec![id.into(), "t".into()]).with_id(format!("row-{id}"))
}

fn ids(warehouse: &LocalWarehouse) -> Vec<i64> {
    let rows = block_on(warehouse.query("SELECT id FROM events ORDER BY id"))
        .unwrap()
        .rows;
    let id = |row: &Vec<Value>| match row[0] {
        Value::Int64(id) => id,
        _ => panic!("{row:?}"),
    };
    rows.iter().map(id).collect()
}

fn append(warehouse: &LocalWarehouse, rows: Vec<Row>) -> (usize, usize) {
    let outcome = block_on(warehouse.append_rows("events", rows)).unwrap();
    assert_eq!(outcome.errors, []);
    (outcome.inserted, outcome.duplicates)
}

#[test]
fn the_same_ids_change_nothing_within_a_call_across_calls_and_across_runs() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = open(dir.path());
    assert_eq!(
        append(&warehouse, vec![event(1), event(2), event(1)]),
        (2, 1)
    );
    assert_eq!(append(&warehouse, vec![event(2), event(3)]), (1, 1));
    let same_id = Row::new(vec![99.into(), Value::Null]).with_id("row-3");
    assert_eq!(append(&warehouse, vec![same_id]), (0, 1));
    drop(warehouse);
    let warehouse = open(dir.path());
    assert_eq!(append(&warehouse, vec![event(1), event(4)]), (1, 1));
    assert_eq!(ids(&warehouse), [1, 2, 3, 4]);
    // Without an id every row is a row of its own.
    let bare = || vec![Row::new(vec![5.into(), Value::Null])];
    assert_eq!(
        (append(&warehouse, bare()), append(&warehouse, bare())),
        ((1, 0), (1, 0))
    );
}

#[test]
fn a_row_that_does_not_fit_is_reported_and_the_others_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = open(dir.path());
    let rows = vec![
        event(1),
        Row::new(vec![Value::Null, Value::Null]),
        event(2),
        Row::new(vec!["x".into(), Value::Null]),
    ];
    let outcome = block_on(warehouse.append_rows("events", rows)).unwrap();
    let reason = |index, reason: &str| RowError {
        index,
        reason: reason.to_owned(),
    };
    let expected = [
        reason(1, "column `id` is REQUIRED and got NULL"),
        reason(3, "column `id` is INT64 and got a value of type STRING"),
    ];
    assert_eq!(
        (
            outcome.inserted,
            outcome.duplicates,
            outcome.errors.as_slice()
        ),
        (2, 0, expected.as_slice())
    );
    assert_eq!(ids(&warehouse), [1, 2]);
}

#[test]
fn an_upsert_replaces_smaller_and_equal_versions_only() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = open(dir.path());
    let row = |order: i64, text: &str, version: i64| {
        Row::new(vec![order.into(), text.into(), version.into()])
    };
    let upsert = |rows: Vec<Row>| {
        let outcome = block_on(warehouse.upsert_rows("totals", rows)).unwrap();
        (outcome.written, outcome.outdated, outcome.errors.len())
    };
    let text = |order: i64| {
        let sql = format!("SELECT text FROM totals WHERE order_id = {order}");
        block_on(warehouse.query(&sql)).unwrap().rows[0][0].to_string()
    };
    assert_eq!(upsert(vec![row(1, "a", 5), row(2, "b", 1)]), (2, 0, 0));
    assert_eq!(
        (upsert(vec![row(1, "older", 4)]), text(1)),
        ((0, 1, 0), "a".to_owned())
    );
    assert_eq!(
        (upsert(vec![row(1, "equal", 5)]), text(1)),
        ((1, 0, 0), "equal".to_owned())
    );
    assert_eq!(
        (upsert(vec![row(1, "newer", 6)]), text(1)),
        ((1, 0, 0), "newer".to_owned())
    );
    let bad = Row::new(vec![1.into(), "no version".into(), Value::Null]);
    assert_eq!(
        (upsert(vec![row(2, "c", 3), bad, row(2, "d", 2)]), text(2)),
        ((1, 1, 1), "c".to_owned())
    );
    let count = block_on(warehouse.query("SELECT COUNT(*) FROM totals"))
        .unwrap()
        .rows;
    assert_eq!(count, [[Value::from(2)]]);
}

fn kind_name(error: &BigQueryError) -> String {
    format!("{:?}", error.kind())
        .split([' ', '{'])
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn wrong_calls_are_refused_clearly() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = open(dir.path());
    let create = |table: &str, schema: TableSchema| {
        block_on(warehouse.create_table_if_needed(table, &schema))
    };
    create("events", events()).unwrap();
    let mut other = events();
    other.columns[1].column_type = ColumnType::Int64;
    for (error, kind, words) in [
        (
            create("events", other).unwrap_err(),
            "SchemaMismatch",
            "column 2 is `text` STRING NULLABLE in the table",
        ),
        (
            create("Events", events()).unwrap_err(),
            "NameTaken",
            "`events`",
        ),
        (
            create("sqlite_x", events()).unwrap_err(),
            "InvalidSchema",
            "sqlite_",
        ),
        (
            create("a b", events()).unwrap_err(),
            "InvalidSchema",
            "`a b`",
        ),
        (
            create("x", TableSchema::new([])).unwrap_err(),
            "InvalidSchema",
            "at least one column",
        ),
        (
            block_on(warehouse.append_rows("nope", vec![])).unwrap_err(),
            "TableNotFound",
            "`nope`",
        ),
        (
            block_on(warehouse.append_rows("totals", vec![])).unwrap_err(),
            "WrongTableKind",
            "upsert",
        ),
        (
            block_on(warehouse.upsert_rows("events", vec![])).unwrap_err(),
            "WrongTableKind",
            "keyed_by",
        ),
    ] {
        assert_eq!(kind_name(&error), kind, "{error}");
        assert!(
            error.to_string().contains(words) && !error.is_transient(),
            "{error}"
        );
    }
}

#[test]
fn a_journal_hears_of_new_rows_once_they_are_visible_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (listener, folder) = (Arc::clone(&heard), dir.path().to_owned());
    let warehouse = open(dir.path()).with_journal(Arc::new(move |entry: JournalEntry| {
        let seen = ids(&LocalWarehouse::open_read_only(&folder).unwrap());
        listener
            .lock()
            .unwrap()
            .push((entry.table, entry.row_ids, seen));
    }));
    append(&warehouse, vec![event(1), event(2)]);
    append(&warehouse, vec![event(2)]);
    append(&warehouse, vec![event(2), event(3)]);
    let entry = |ids: &[&str], seen: &[i64]| {
        (
            "events".to_owned(),
            ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>(),
            seen.to_vec(),
        )
    };
    assert_eq!(
        *heard.lock().unwrap(),
        [
            entry(&["row-1", "row-2"], &[1, 2]),
            entry(&["row-3"], &[1, 2, 3])
        ]
    );
}

#[test]
fn a_reader_sees_rows_while_the_writer_is_open_and_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        kind_name(&LocalWarehouse::open_read_only(dir.path()).err().unwrap()),
        "NotAWarehouse"
    );
    let warehouse = open(dir.path());
    let reader = LocalWarehouse::open_read_only(dir.path()).unwrap();
    assert!(ids(&reader).is_empty());
    append(&warehouse, vec![event(1)]);
    assert_eq!(ids(&reader), [1]);
    assert_eq!(
        kind_name(&block_on(reader.append_rows("events", vec![event(2)])).unwrap_err()),
        "ReadOnly"
    );
    drop(warehouse);
    assert_eq!(ids(&reader), [1]);
}

#[test]
fn a_file_of_another_kind_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("warehouse.sqlite"),
        "not a database, but long enough to be read as one",
    )
    .unwrap();
    assert_eq!(
        kind_name(&LocalWarehouse::open(dir.path()).err().unwrap()),
        "NotAWarehouse"
    );
}

const CHILD_DIR: &str = "WAREHOUSE_TEST_CHILD_DIR";

/// Not a test by itself: the process that the next test starts, and kills while it appends without end.
#[test]
fn child_appends_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD_DIR) else {
        return;
    };
    let warehouse = open(Path::new(&dir));
    for id in 1.. {
        append(&warehouse, vec![event(2 * id), event(2 * id + 1)]);
        println!("appended {id}");
    }
}

#[test]
fn a_second_process_is_refused_and_what_a_killed_one_appended_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "bigquery_warehouse::child_appends_until_it_is_killed",
            "--nocapture",
        ])
        .env(CHILD_DIR, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let mut numbers = lines.filter_map(|line| {
        line.strip_prefix("appended ")
            .and_then(|id| id.parse::<i64>().ok())
    });
    assert!(numbers.any(|id| id == 20));
    let error = LocalWarehouse::open(dir.path()).err().unwrap();
    assert!(
        matches!(error.kind(), BigQueryErrorKind::AlreadyOpen { .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains(&format!("(pid {})", child.id())),
        "{error}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    let last = numbers.last().unwrap_or(20);
    // The lock died with its holder; every append that returned is there, and none by half.
    let read_only = ids(&LocalWarehouse::open_read_only(dir.path()).unwrap());
    let warehouse = open(dir.path());
    let there = ids(&warehouse);
    assert_eq!(there, read_only);
    assert!(
        there.len() as i64 >= 2 * last,
        "{} rows, {last} appends returned",
        there.len()
    );
    assert_eq!(there, (2..2 + there.len() as i64).collect::<Vec<_>>());
    assert_eq!(there.len() % 2, 0);
    assert!(
        LocalWarehouse::open(dir.path()).is_err(),
        "a second handle in the same process is refused too"
    );
}
