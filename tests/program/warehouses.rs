//! Warehouses that are foreign, in use, or filled before.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Command;

use pipeline_gcp::bigquery::{BigQuery, Column, ColumnType, LocalWarehouse, TableSchema, Value};
use rusqlite::Connection;

use crate::child::{EXPECTED, Place, Running, SAMPLE, fed, one_text};

#[test]
fn a_table_of_another_schema_is_refused_and_kept() {
    let place = Place::new();
    let warehouse = LocalWarehouse::open(place.warehouse()).unwrap();
    let schema = TableSchema::new([Column::required("text", ColumnType::String)]);
    pollster::block_on(async {
        warehouse
            .create_table_if_needed("conversations", &schema)
            .await
            .unwrap();
        let rows = vec![one_text("mine")];
        warehouse.append_rows("conversations", rows).await.unwrap();
    });
    drop(warehouse);
    let says = [
        "table `conversations` exists with another schema",
        "use another one",
    ];
    place.run(&[]).assert_failed(1, &says);
    place.assert_no_results();
    assert_eq!(place.rows("conversations"), 1);
}

#[test]
fn a_folder_that_is_no_warehouse_is_refused() {
    let place = Place::new();
    place.file("warehouse", "a file");
    let path = place.warehouse();
    let path = path.to_str().unwrap();
    place.run(&[]).assert_failed(1, &[path]);

    let place = Place::new();
    std::fs::create_dir(place.warehouse()).unwrap();
    place.file(
        "warehouse/warehouse.sqlite",
        "no database, but long enough to be taken for one".repeat(20),
    );
    place
        .run(&[])
        .assert_failed(1, &["is no warehouse that can be opened"]);
    place.assert_no_results();
}

#[test]
fn a_second_process_is_refused_and_the_first_goes_on() {
    let place = Place::new();
    let (mut first, mut stdin) = fed(&place, &[]);
    let view = "SELECT COUNT(*) FROM customer_courier_conversations_view";
    first.wait_for("the view", || place.try_query(view).is_some());
    let holder = format!("(pid {})", first.id());
    let second = place.run(&[]);
    let says = [
        "is being written by another process",
        &holder,
        "name another folder",
    ];
    second.assert_failed(1, &says);
    // Of what is offered, every thing can be done with the program.
    assert!(!second.stderr.contains("read-only"), "{}", second.stderr);
    stdin.write_all(SAMPLE.as_bytes()).unwrap();
    drop(stdin);
    assert_eq!(first.end().code, Some(0));
    assert_eq!(place.csv(), EXPECTED);
}

/// Whoever copies `warehouse.sqlite` has everything.
#[track_caller]
fn assert_in_one_file(place: &Place) {
    let names = std::fs::read_dir(place.warehouse()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: BTreeSet<String> = names.collect();
    let expected = ["warehouse.lock", "warehouse.sqlite"].map(str::to_owned);
    assert_eq!(names, BTreeSet::from(expected));
    let copy = place.path().join("copy");
    std::fs::copy(place.warehouse().join("warehouse.sqlite"), &copy).unwrap();
    let copy = Connection::open(copy).unwrap();
    let count = "SELECT COUNT(*) FROM conversations";
    let copied: i64 = copy.query_row(count, [], |row| row.get(0)).unwrap();
    assert!(copied > 0);
    assert_eq!(copied, place.rows("conversations"));
}

#[test]
fn a_run_that_has_ended_leaves_the_warehouse_in_one_file() {
    let place = Place::new();
    place.finish(&[]);
    assert_in_one_file(&place);

    let place = Place::new();
    let (mut stopped, mut stdin) = fed(&place, &[]);
    stdin.write_all(SAMPLE.as_bytes()).unwrap();
    stopped.wait_for("500 rows", || place.base_rows() >= 500);
    stopped.interrupt();
    assert_eq!(stopped.end().code, Some(130));
    assert_in_one_file(&place);
    drop(stdin);
}

#[test]
fn the_summary_says_how_to_look_into_the_warehouse() {
    for folder in ["plain", "with 'quotes'"] {
        let place = Place::new();
        let mut command = Command::new(env!("CARGO_BIN_EXE_courier_chat"));
        command
            .current_dir(place.path())
            .args(["--warehouse", folder]);
        let ended = Running::of(&mut command).end();
        let line = ended.stdout.lines();
        let mut line = line.filter_map(|line| line.strip_prefix("  sqlite3 "));
        let line = line.next().expect("no command in the summary");
        // What a shell makes of the line, and SQLite of that.
        let script = format!("printf '%s\\n' {line}");
        let words = Command::new("sh").args(["-c", &script]).output().unwrap();
        let words = String::from_utf8(words.stdout).unwrap();
        let [store, sql] = words.lines().collect::<Vec<_>>()[..] else {
            panic!("{words}")
        };
        let store = Connection::open(place.path().join(store)).unwrap();
        let mut statement = store.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>("city_code"));
        assert_eq!(rows.unwrap().count(), 5);

        // The view is asked as the summary says, and in no other way.
        let view = "customer_courier_conversations_view";
        let says = format!("{view}, in GoogleSQL: LocalWarehouse::query");
        assert!(ended.stdout.contains(&says), "{}", ended.stdout);
        let count = format!("SELECT COUNT(*) FROM {view}");
        assert!(store.prepare(&count).is_err());
        let warehouse = LocalWarehouse::open_read_only(place.path().join(folder)).unwrap();
        let found = pollster::block_on(warehouse.query(&count)).unwrap();
        assert_eq!(found.rows, [[Value::from(400)]]);
    }
}

#[test]
fn a_warehouse_of_another_input_is_told_of() {
    let place = Place::new();
    let first = place.finish(&["--seed", "1", "--conversations", "50"]);
    assert!(!first.stdout.contains("filled by"), "{}", first.stdout);
    let filled = "the warehouse was filled by another input as well";
    // Other orders: table and view agree on both.
    let second = place.finish(&[]);
    second.assert_agrees(450);
    assert!(second.stdout.contains(filled), "{}", second.stdout);

    // The same orders under other ids: the view counts both, the final table the latest.
    let again = place.file("again.json", format!("\n{SAMPLE}"));
    let third = place.finish(&["--input", &again]);
    assert!(
        third.stdout.contains("differs in 800 rows"),
        "{}",
        third.stdout
    );
    assert!(third.stdout.contains(filled), "{}", third.stdout);
    assert!(!third.stdout.contains("silen"), "{}", third.stdout);
}

#[test]
fn a_difference_without_a_known_reason_is_given_none() {
    let place = Place::new();
    place.finish(&[]);
    let foreign = Connection::open(place.warehouse().join("warehouse.sqlite")).unwrap();
    let row = "(SELECT MIN(order_id) FROM customer_courier_conversations)";
    let set = "UPDATE customer_courier_conversations SET city_code = 'XXX', version = 1000";
    let changed = foreign.execute(&format!("{set} WHERE order_id = {row}"), []);
    assert_eq!(changed.unwrap(), 1);
    drop(foreign);
    let ended = place.finish(&[]);
    let says = "differs in 2 rows:\n  - for no reason that this run has counted; ";
    assert!(ended.stdout.contains(says), "{}", ended.stdout);
    assert!(!ended.stdout.contains("silen"), "{}", ended.stdout);
}
