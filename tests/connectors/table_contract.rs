//! What a table sink and its service promise, wherever the tables are: the same cases for the embedded warehouse, an
//! emulator and a server that fails by script.

use std::sync::{Arc, Mutex};

use pipeline_core::prelude::*;
use pipeline_core::testing::TestPart;
use pipeline_core::{BadRecord, Timestamp};
use pipeline_gcp::bigquery::{
    Column, ColumnType, CreateDisposition, Row, TableSchema, TableSink, TableSource, Value,
    WriteDisposition,
};
use serde::{Deserialize, Serialize};

use super::table_place::{Life, Place, numbers_sink, some};

/// Runs every case.
pub fn all(place: &Place) {
    tables_are_got_ready(place);
    rows_of_every_type_come_back(place);
    rows_are_there_with_their_epoch_and_once(place);
    a_crash_at_any_step_loses_and_doubles_nothing(place);
    each_element_names_its_table(place);
    pipelines_count_every_row(place);
    tables_are_read(place);
    if place.knows_sql {
        dead_letters_come_back(place);
        the_latest_version_is_seen(place);
    }
}

fn tables_are_got_ready(place: &Place) {
    let schema = TableSchema::new([
        Column::required("n", ColumnType::Int64).description("A number"),
        Column::nullable("text", ColumnType::String),
    ]);
    let (service, table) = (&place.service, place.named("ready"));
    let missing = place.run(service.table_schema(&table)).expect("an answer");
    assert_eq!(missing, None);
    for _ in 0..2 {
        place
            .run(service.create_table_if_needed(&table, &schema))
            .expect("created");
    }
    let there = place
        .run(service.table_schema(&table))
        .expect("an answer")
        .expect("a table");
    assert_eq!(there.columns, schema.columns);
    // #22279: another schema is found before the first row, and the column is named.
    let other = schema.clone().column_as("text", ColumnType::Bool);
    let error = place
        .run(service.create_table_if_needed(&table, &other))
        .expect_err("another");
    let error = error.to_string();
    assert!(
        error.contains("`text`") && error.contains("BOOL"),
        "{error}"
    );

    let sink = |schema: &TableSchema| {
        let service = Arc::clone(service);
        let width = schema.columns.len();
        let row = move |n: &i64| {
            let mut values = vec![Value::Null; width];
            values[0] = (*n).into();
            Row::new(values)
        };
        TableSink::append(service, table.clone(), schema.clone(), row)
    };
    let run = |sink: TableSink<i64>, n: i64| {
        let mut life = Life::new(place, sink, 1);
        life.write(0, &[n])?;
        let prepared = life.prepare(1);
        life.commit(1, &prepared)
    };
    run(sink(&schema), 1).expect("written");
    let mut wider = schema.clone();
    wider
        .columns
        .push(Column::repeated("more", ColumnType::Int64));
    let error = run(sink(&wider), 2)
        .expect_err("another schema")
        .to_string();
    assert!(error.contains("`more`"), "{error}");
    if place.adds_columns {
        run(sink(&wider).allow_new_columns(), 2).expect("a new column");
        let there = place.run(service.table_schema(&table));
        let there = there.expect("an answer").expect("a table");
        assert_eq!(there.columns.len(), 3);
        assert_eq!(place.numbers("ready"), [1, 2]);
    } else {
        wider = schema;
    }

    let error = run(sink(&wider).existing_rows(WriteDisposition::Empty), 3).expect_err("rows");
    assert!(error.to_string().contains("has rows"), "{error}");
    run(sink(&wider).existing_rows(WriteDisposition::Truncate), 3).expect("emptied");
    assert_eq!(place.numbers("ready"), [3]);
    let never = numbers_sink(place, "never").create(CreateDisposition::Never);
    let error = Life::new(place, never, 1)
        .write(0, &some(&[1]))
        .expect_err("no table");
    assert!(error.to_string().contains("does not exist"), "{error}");
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Stop {
    place: String,
    seconds: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Trip {
    n: i64,
    share: f64,
    paid: bool,
    at: chrono::DateTime<chrono::Utc>,
    day: chrono::NaiveDate,
    local: chrono::NaiveDateTime,
    price: Option<String>,
    first: Option<Stop>,
    stops: Vec<Stop>,
    tags: Vec<String>,
}

fn trip(n: i64) -> Trip {
    let stop = |seconds| Stop {
        place: "Ankara \"ü\"\n".into(),
        seconds,
    };
    Trip {
        n,
        share: 0.1,
        paid: n % 2 == 0,
        at: "2024-02-01T10:00:56.123456Z".parse().expect("a time"),
        day: "2024-02-29".parse().expect("a day"),
        local: "0001-01-01T00:00:00".parse().expect("a time"),
        price: (n > 0).then(|| "-12.345".into()),
        first: (n > 1).then(|| stop(None)),
        stops: (0..n).map(|i| stop(Some(i))).collect(),
        tags: vec!["x".into(); usize::try_from(n).expect("small")],
    }
}

fn rows_of_every_type_come_back(place: &Place) {
    if !place.knows_sql {
        // The server by script gives no nested cells.
        return;
    }
    let schema = TableSchema::of::<Trip>().expect("a schema");
    let schema = schema.column_as("price", ColumnType::Numeric);
    let service = Arc::clone(&place.service);
    let sink = TableSink::serialized(service, place.named("trips"), schema).method(place.nested);
    let mut life = Life::new(place, sink, 2);
    let trips: Vec<Trip> = (0..4).map(trip).collect();
    life.write(0, &trips[..3]).expect("written");
    life.write(1, &trips[3..]).expect("written");
    let prepared = life.prepare(1);
    life.commit(1, &prepared).expect("committed");
    let sql = format!("SELECT * FROM {} ORDER BY n", place.named("trips"));
    let result = place.run(place.service.query(&sql)).expect("a query");
    assert_eq!(result.rows_as::<Trip>().expect("trips"), trips);
}

fn rows_are_there_with_their_epoch_and_once(place: &Place) {
    let mut life = Life::new(place, numbers_sink(place, "once"), 2);
    let refused = life.write(0, &[Some(1), None, Some(1)]).expect("written");
    assert_eq!(refused.len(), 1);
    assert!(
        refused[0].0 == 1 && refused[0].1.contains("`n`"),
        "{refused:?}"
    );
    life.write(1, &some(&[2])).expect("written");
    let prepared = life.prepare(1);
    assert!(place.rows("once").is_empty());
    life.write(0, &some(&[3])).expect("written");
    for _ in 0..2 {
        life.commit(1, &prepared).expect("committed");
        assert_eq!(place.numbers("once"), [1, 1, 2]);
    }
    let second = life.prepare(2);
    life.commit(2, &second).expect("committed");
    let third = life.prepare(3);
    life.commit(3, &third).expect("committed");
    assert_eq!(place.numbers("once"), [1, 1, 2, 3]);
    let counts = life.sink.counts();
    assert_eq!(
        (counts.written(), counts.duplicates(), counts.refused()),
        (4, 0, 1)
    );
    let sink = life.close();
    place.run(sink.finish(true)).expect("finished");
    assert_eq!(place.numbers("once"), [1, 1, 2, 3]);
}

fn a_crash_at_any_step_loses_and_doubles_nothing(place: &Place) {
    // What was committed of epoch 2 before the crash, and how many workers go on.
    for (committed, workers) in [(false, 1), (true, 2), (false, 3)] {
        let table = format!("crash_{committed}_{workers}");
        let sink = || numbers_sink(place, &table);
        let mut life = Life::new(place, sink(), 2);
        life.write(0, &some(&[1])).expect("written");
        let first = life.prepare(1);
        life.commit(1, &first).expect("committed");
        life.write(0, &some(&[2])).expect("written");
        life.write(1, &some(&[2])).expect("written");
        let prepared = life.prepare(2);
        if committed {
            life.commit(2, &prepared).expect("committed");
        }
        // Behind the snapshot: it comes again.
        life.write(1, &some(&[3])).expect("written");
        drop(life);

        let mut life = Life::resume(place, sink(), workers, 2, &prepared).expect("resumed");
        assert_eq!(place.numbers(&table), [1, 2, 2], "{table}");
        life.write(workers - 1, &some(&[3])).expect("written");
        let third = life.prepare(3);
        drop(life);
        // It crashes as often as it likes.
        for _ in 0..2 {
            Life::resume(place, sink(), 1, 3, &third).expect("resumed");
            assert_eq!(place.numbers(&table), [1, 2, 2, 3], "{table}");
        }
        // What the table had before is kept though it was to be emptied when the run began.
        let emptied = sink().existing_rows(WriteDisposition::Truncate);
        let mut life = Life::resume(place, emptied, 1, 3, &third).expect("resumed");
        life.write(0, &some(&[4])).expect("written");
        let fourth = life.prepare(4);
        life.commit(4, &fourth).expect("committed");
        assert_eq!(place.numbers(&table), [1, 2, 2, 3, 4], "{table}");
    }
}

fn each_element_names_its_table(place: &Place) {
    let sink = || {
        let prefix = place.prefix.clone();
        let to = move |n: &Option<i64>| match n.unwrap_or_default() {
            9 => "no/table".to_owned(),
            n => format!("{prefix}part_{}", n % 3),
        };
        numbers_sink(place, "unused").to(to).max_open_tables(2)
    };
    let mut life = Life::new(place, sink(), 2);
    let refused = life.write(0, &some(&[0, 1, 2, 3, 9, 4])).expect("written");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(
        refused[0].0 == 4 && refused[0].1.contains("no/table"),
        "{refused:?}"
    );
    life.write(1, &some(&[5, 6])).expect("written");
    let prepared = life.prepare(1);
    drop(life);
    let mut life = Life::resume(place, sink(), 1, 1, &prepared).expect("resumed");
    life.write(0, &some(&[7, 8])).expect("written");
    let second = life.prepare(2);
    for _ in 0..2 {
        life.commit(2, &second).expect("committed");
    }
    assert_eq!(place.numbers("part_0"), [0, 3, 6]);
    assert_eq!(place.numbers("part_1"), [1, 4, 7]);
    assert_eq!(place.numbers("part_2"), [2, 5, 8]);
}

/// #25233: every row is written or a dead letter, and counted as one of the two.
fn pipelines_count_every_row(place: &Place) {
    let sink = numbers_sink(place, "counted");
    let counts = sink.counts();
    let numbers: Vec<Option<i64>> = (0..500).map(|n| (n % 10 != 0).then_some(n)).collect();
    let sink = Mutex::new(Some(sink));
    let pipeline = Pipeline::build(|p| {
        let sink = sink.lock().expect("a lock").take().expect("built once");
        p.create("Numbers", numbers.clone())
            .write("Write", sink)
            .refused
            .check("Refused", |refused| assert_eq!(refused.len(), 50));
    });
    let pipeline = pipeline.expect("a pipeline");
    DirectRunner::new().run(&pipeline).expect("a run");
    let expected: Vec<i64> = (0..500).filter(|n| n % 10 != 0).collect();
    assert_eq!(place.numbers("counted"), expected);
    assert_eq!(
        (counts.written(), counts.duplicates(), counts.refused()),
        (450, 0, 50)
    );
}

fn read<T: Element>(source: TableSource<T>) -> Vec<T> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let (kept, source) = (Arc::clone(&found), Mutex::new(Some(source)));
    let pipeline = Pipeline::build(|p| {
        let source = source.lock().expect("a lock").take().expect("built once");
        let kept = Arc::clone(&kept);
        p.read("Read", source).check("Keep", move |read: Vec<T>| {
            kept.lock().expect("a lock").extend(read);
        });
    });
    let pipeline = pipeline.expect("a pipeline");
    DirectRunner::new().run(&pipeline).expect("a run");
    drop(pipeline);
    std::mem::take(&mut *found.lock().expect("a lock"))
}

/// More rows than a page of the server by script has.
fn tables_are_read(place: &Place) {
    #[derive(Clone, Serialize, Deserialize)]
    struct Number {
        n: i64,
    }
    let service = || Arc::clone(&place.service);
    let table = place.named("counted");
    let mut numbers: Vec<i64> = read(TableSource::<Number>::table(service(), &table))
        .iter()
        .map(|row| row.n)
        .collect();
    numbers.sort_unstable();
    let expected: Vec<i64> = (0..500).filter(|n| n % 10 != 0).collect();
    assert_eq!(numbers, expected);

    // A reader that is resumed anywhere goes on with the very next row.
    let source = TableSource::<Number>::table(service(), &table);
    let mut all = Vec::new();
    let mut position = None;
    loop {
        let mut part = TestPart::open(&source, (), position.take()).expect("opened");
        let read = place.run(part.read(70)).expect("a batch");
        all.extend(read.elements.iter().map(|(row, _)| row.n));
        if read.elements.is_empty() {
            break;
        }
        position = Some(part.position().expect("a position"));
    }
    all.sort_unstable();
    assert_eq!(all, expected);
}

fn dead_letters_come_back(place: &Place) {
    let record = |n: i64, original: &'static [u8], event_time| BadRecord {
        original: original.into(),
        errors: vec![format!("no number \"{n}\""), "invalid digit".into()],
        transform: "Read/Parse".into(),
        event_time,
        ingestion_time: Timestamp::from_millis(1_706_781_656_120 + n),
        attempts: 1 + n as u32,
    };
    let records = [
        record(0, b"\xff\x00", Timestamp::from_millis(1_706_781_656_123)),
        record(1, "ü".as_bytes(), Timestamp::MIN),
        record(2, b"", Timestamp::MAX),
    ];
    let table = place.named("dead");
    let sink = TableSink::dead_letters(Arc::clone(&place.service), &table);
    let mut life = Life::new(place, sink, 1);
    assert_eq!(life.write(0, &records).expect("written"), []);
    let prepared = life.prepare(1);
    life.commit(1, &prepared).expect("committed");
    let mut back = read(TableSource::dead_letters(
        Arc::clone(&place.service),
        &table,
    ));
    back.sort_by_key(|record| record.ingestion_time);
    assert_eq!(back, records);
    let rows = place.rows("dead");
    let texts: Vec<_> = rows
        .iter()
        .map(|row| row["original_text"].as_str())
        .collect();
    assert!(
        texts.contains(&Some("ü")) && texts.contains(&None),
        "{texts:?}"
    );
}

fn the_latest_version_is_seen(place: &Place) {
    let schema = TableSchema::new([
        Column::required("n", ColumnType::Int64),
        Column::required("version", ColumnType::Int64),
        Column::nullable("text", ColumnType::String),
    ])
    .keyed_by("n", "version");
    let sink = || {
        let row = |(n, version): &(i64, i64)| {
            Row::new(vec![
                (*n).into(),
                (*version).into(),
                format!("v{version}").into(),
            ])
        };
        let service = Arc::clone(&place.service);
        TableSink::versioned(service, place.named("latest"), schema.clone(), row)
    };
    let mut life = Life::new(place, sink(), 1);
    life.write(0, &[(1, 1), (2, 5), (1, 3)]).expect("written");
    let prepared = life.prepare(1);
    life.commit(1, &prepared).expect("committed");
    let mut life = Life::resume(place, sink(), 1, 1, &prepared).expect("resumed");
    life.write(0, &[(2, 4), (1, 2), (3, 1)]).expect("written");
    let prepared = life.prepare(2);
    life.commit(2, &prepared).expect("committed");
    let texts: Vec<String> = place
        .rows("latest")
        .iter()
        .map(|row| format!("{}{}", row["n"], row["text"].as_str().expect("a text")))
        .collect();
    assert_eq!(texts, ["1v3", "2v5", "3v1"]);
    assert_eq!(place.rows("latest_versions").len(), 6);
}
