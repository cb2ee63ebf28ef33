//! What goes wrong on Google's side, and what becomes of the rows. The server by script journals and refuses; numbers
//! are those of threads about Beam's connectors.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline_core::prelude::*;
use pipeline_gcp::bigquery::{
    Column, ColumnType, Row, TableSchema, TableSink, Value, WriteDisposition, WriteMethod,
};
use serde_json::json;
use tonic::Code;

use super::table_place::{Life, Place, numbers_schema, numbers_sink, some};
use crate::faults::bigquery::{Action, BigQueryServer, Call, client};

/// The places of the records that were refused, with the reasons.
type Written = Result<Vec<(usize, String)>, Error>;

struct Site {
    server: BigQueryServer,
    place: Place,
}

fn site() -> Site {
    let server = BigQueryServer::start();
    let place = Place::new(Arc::new(server.client()), false, "");
    Site { server, place }
}

impl Site {
    /// Returns the numbers that can be seen, in order.
    fn seen(&self, table: &str) -> Vec<i64> {
        let rows = self.server.rows(table);
        let mut seen: Vec<i64> = rows
            .iter()
            .map(|row| row["n"].as_i64().expect("n"))
            .collect();
        seen.sort_unstable();
        seen
    }

    /// Writes numbers in one batch, in a run without snapshots; returns the sink for its end.
    fn write(
        &self,
        sink: TableSink<Option<i64>>,
        numbers: &[i64],
    ) -> (Written, TableSink<Option<i64>>) {
        let place = &self.place;
        let mut writer = sink.open(0).expect("a writer");
        let records = some(numbers);
        let batch = WriteBatch::new(&records, 0);
        let written = place.run(writer.write(&batch)).map(|rejected| {
            let reason = |r: Rejected| (r.index, format!("{:?}", r.failure));
            rejected.into_iter().map(reason).collect()
        });
        if written.is_ok() {
            place.run(writer.close()).expect("it closes");
        }
        (written, sink)
    }
}

fn with_ids(place: &Place, table: &str) -> TableSink<Option<i64>> {
    let row = |n: &Option<i64>| {
        let n = n.unwrap_or_default();
        Row::new(vec![n.into()]).with_id(n.to_string())
    };
    let service = Arc::clone(&place.service);
    TableSink::append(service, table, numbers_schema(), row)
}

/// #21247: one bad row fails the whole pipeline. #25233: rows are dropped without a word. #31193: bad rows are tried for
/// ever and block others.
#[test]
fn a_row_that_is_refused_is_a_dead_letter_and_the_others_are_written() {
    for method in [
        WriteMethod::StorageWrite,
        WriteMethod::StorageWriteAtLeastOnce,
        WriteMethod::InsertAll,
    ] {
        let site = site();
        site.server
            .refuse(|row| (row["n"].as_i64()? % 10 == 3).then(|| "n is unlucky".to_owned()));
        let numbers: Vec<i64> = (0..100).collect();
        let sink = with_ids(&site.place, "t").method(method);
        let (refused, sink) = site.write(sink, &numbers);
        let refused = refused.expect("written");
        assert_eq!(refused.len(), 10, "{method:?}");
        assert!(
            refused
                .iter()
                .all(|(at, why)| at % 10 == 3 && why.contains("n is unlucky"))
        );
        let expected: Vec<i64> = numbers.into_iter().filter(|n| n % 10 != 3).collect();
        assert_eq!(site.seen("t"), expected, "{method:?}");
        let counts = sink.counts();
        assert_eq!((counts.written(), counts.refused()), (90, 10), "{method:?}");
        let calls = site.server.calls(Call::Append) + site.server.calls(Call::InsertAll);
        assert!(calls <= 2, "{calls} calls for {method:?}");
    }
}

/// #30973, #20053: duplicate rows.
#[test]
fn an_answer_that_is_lost_doubles_nothing() {
    for (lost, fail) in [(1, 2), (2, 1), (3, 5)] {
        let site = site();
        site.server.on(Call::Append, [lost], Action::LoseAnswer);
        site.server
            .on(Call::Append, [fail], Action::Fail(Code::Unavailable));
        site.server.on(Call::Flush, [1], Action::LoseAnswer);
        let mut life = Life::new(&site.place, numbers_sink(&site.place, "t"), 1);
        let mut expected = Vec::new();
        for epoch in 1..=4 {
            let numbers: Vec<i64> = (0..50).map(|n| i64::from(epoch) * 100 + n).collect();
            life.write(0, &some(&numbers)).expect("written");
            let prepared = life.prepare(epoch as u64);
            assert_eq!(site.seen("t"), expected, "before the commit");
            life.commit(epoch as u64, &prepared).expect("committed");
            expected.extend(numbers);
            assert_eq!(site.seen("t"), expected);
        }
        assert_eq!(site.server.streams(), 1);
    }
}

#[test]
fn many_requests_on_the_way_keep_their_order_whatever_fails() {
    let failures = [
        Action::Fail(Code::Unavailable),
        Action::Answer(Code::Aborted),
        Action::Answer(Code::Internal),
        Action::Answer(Code::ResourceExhausted),
        Action::LoseAnswer,
    ];
    for action in failures {
        let site = site();
        site.server.on(Call::Append, [2, 6, 9], action);
        // Rows of some 100 kB: ten to a request.
        let schema = TableSchema::new([
            Column::required("n", ColumnType::Int64),
            Column::required("text", ColumnType::String),
        ]);
        let row = |n: &i64| Row::new(vec![(*n).into(), "x".repeat(100_000).into()]);
        let service = Arc::clone(&site.place.service);
        let sink = TableSink::append(service, "t", schema, row);
        let mut life = Life::new(&site.place, sink, 1);
        let numbers: Vec<i64> = (0..80).collect();
        assert_eq!(life.write(0, &numbers).expect("written"), []);
        let prepared = life.prepare(1);
        life.commit(1, &prepared).expect("committed");
        let rows = site.server.rows("t");
        let seen: Vec<_> = rows
            .iter()
            .map(|row| row["n"].as_i64().expect("n"))
            .collect();
        assert_eq!(seen, numbers, "{action:?}");
        assert!(
            site.server.calls(Call::Append) > 8,
            "one request is no test"
        );
    }
}

#[test]
fn quotas_and_overloads_are_waited_out() {
    let site = site();
    let server = &site.server;
    server.on(Call::GetTable, [1], Action::Http(503, "backendError"));
    server.on(
        Call::InsertTable,
        [1],
        Action::Http(403, "rateLimitExceeded"),
    );
    server.on(
        Call::CreateStream,
        [1],
        Action::Fail(Code::ResourceExhausted),
    );
    server.on(Call::Append, [1], Action::Answer(Code::ResourceExhausted));
    let (written, _) = site.write(numbers_sink(&site.place, "t"), &[1, 2]);
    assert_eq!(written.expect("written"), []);
    server.on(Call::InsertAll, [1], Action::Http(429, "rateLimitExceeded"));
    server.on(Call::InsertAll, [2], Action::Http(403, "quotaExceeded"));
    let sink = with_ids(&site.place, "t").method(WriteMethod::InsertAll);
    assert_eq!(site.write(sink, &[3]).0.expect("written"), []);
    assert_eq!(site.seen("t"), [1, 2, 3]);
    // What no attempt mends is not tried again.
    server.on(Call::GetTable, [1], Action::Http(403, "accessDenied"));
    let before = server.calls(Call::GetTable);
    let error = site
        .write(numbers_sink(&site.place, "t"), &[4])
        .0
        .expect_err("refused");
    let error = error.to_string();
    assert!(
        error.contains("tables.get of p.d.t") && error.contains("accessDenied"),
        "{error}"
    );
    assert_eq!(server.calls(Call::GetTable), before + 1);
}

#[test]
fn insert_all_drops_what_comes_again_with_its_id() {
    let site = site();
    site.server.on(Call::InsertAll, [1], Action::LoseAnswer);
    let sink = with_ids(&site.place, "t").method(WriteMethod::InsertAll);
    assert_eq!(site.write(sink, &[1, 2, 3]).0.expect("written"), []);
    assert_eq!(site.seen("t"), [1, 2, 3]);
    assert_eq!(site.server.calls(Call::InsertAll), 2);
}

#[test]
fn pending_rows_are_visible_together_or_not_at_all() {
    let site = site();
    let sink = || numbers_sink(&site.place, "t").method(WriteMethod::StorageWriteAtEnd);
    let (written, failed) = site.write(sink(), &[1, 2]);
    written.expect("written");
    site.place.run(failed.finish(false)).expect("cleared away");
    assert!(site.seen("t").is_empty());

    site.server.on(Call::Commit, [1], Action::LoseAnswer);
    site.server
        .on(Call::Finalize, [1], Action::Fail(Code::Unavailable));
    let sink = sink();
    for numbers in [[1, 2], [3, 4]] {
        let mut writer = sink.open(0).expect("a writer");
        let records = some(&numbers);
        let batch = WriteBatch::new(&records, 0);
        assert!(
            site.place
                .run(writer.write(&batch))
                .expect("written")
                .is_empty()
        );
    }
    assert!(site.seen("t").is_empty());
    site.place.run(sink.finish(true)).expect("committed");
    assert_eq!(site.seen("t"), [1, 2, 3, 4]);
    let error = sink.open_in_epochs(0).err().expect("refused").to_string();
    assert!(error.contains("WriteMethod::StorageWrite"), "{error}");
}

#[test]
fn a_load_job_runs_once() {
    let site = site();
    let sink = || numbers_sink(&site.place, "t").method(WriteMethod::LoadJob);
    site.server.on(Call::Upload, [1], Action::LoseAnswer);
    let (written, sink_a) = site.write(sink(), &[1, 2]);
    written.expect("kept");
    assert!(site.seen("t").is_empty());
    site.place.run(sink_a.finish(true)).expect("loaded");
    assert_eq!(site.seen("t"), [1, 2]);
    let (written, emptied) = site.write(sink().existing_rows(WriteDisposition::Truncate), &[3]);
    written.expect("kept");
    site.place.run(emptied.finish(true)).expect("loaded");
    assert_eq!(site.seen("t"), [3]);
    let (written, refused) = site.write(sink().existing_rows(WriteDisposition::Empty), &[4]);
    written.expect("kept");
    let error = site
        .place
        .run(refused.finish(true))
        .expect_err("rows")
        .to_string();
    assert!(error.contains("nothing of it was written"), "{error}");

    // In a run with snapshots: an epoch's job, however often it is repeated.
    let mut life = Life::new(&site.place, sink(), 1);
    life.write(0, &some(&[5])).expect("kept");
    let first = life.prepare(1);
    for _ in 0..2 {
        life.commit(1, &first).expect("loaded");
    }
    life.write(0, &some(&[6])).expect("kept");
    let second = life.prepare(2);
    drop(life);
    for _ in 0..2 {
        Life::resume(&site.place, sink(), 1, 2, &second).expect("resumed");
        assert_eq!(site.seen("t"), [3, 5, 6]);
    }
}

/// #22279: a schema that changes later is not reported.
#[test]
fn a_table_that_has_changed_makes_dead_letters_that_name_the_column() {
    let site = site();
    let schema = TableSchema::new([
        Column::required("n", ColumnType::Int64),
        Column::nullable("city", ColumnType::String),
    ]);
    let row = |n: &i64| Row::new(vec![(*n).into(), Value::Null]);
    let service = Arc::clone(&site.place.service);
    let mut life = Life::new(&site.place, TableSink::append(service, "t", schema, row), 1);
    assert_eq!(life.write(0, &[1]).expect("written"), []);
    site.server.change("t", |table| {
        table["schema"]["fields"] = json!([{"name": "n", "type": "INTEGER", "mode": "REQUIRED"}])
    });
    let refused = life.write(0, &[2, 3]).expect("dead letters");
    assert_eq!(refused.len(), 2);
    assert!(
        refused[0].1.contains("column `city`") && refused[0].1.contains("extra fields"),
        "{refused:?}"
    );
    site.server.change("t", |table| table["schema"]["fields"] = json!([
        {"name": "n", "type": "INTEGER", "mode": "REQUIRED"}, {"name": "city", "type": "STRING", "mode": "NULLABLE"},
    ]));
    assert_eq!(life.write(0, &[4]).expect("written"), []);
    let prepared = life.prepare(1);
    life.commit(1, &prepared).expect("committed");
    assert_eq!(site.seen("t"), [1, 4]);
}

#[test]
fn a_request_refused_as_a_whole_is_taken_apart() {
    let site = site();
    site.server
        .on(Call::Append, [1, 2], Action::Answer(Code::InvalidArgument));
    let (written, _) = site.write(numbers_sink(&site.place, "t"), &(0..8).collect::<Vec<_>>());
    assert_eq!(written.expect("written"), []);
    assert_eq!(site.seen("t"), (0..8).collect::<Vec<_>>());
    // Down to the single row; the third is what was on the way behind the second.
    site.server.on(
        Call::Append,
        [1, 2, 4],
        Action::Answer(Code::InvalidArgument),
    );
    let (written, _) = site.write(numbers_sink(&site.place, "u"), &[1, 2, 3, 4]);
    let refused = written.expect("written");
    assert!(
        refused.len() == 1 && refused[0].1.contains("as the script says"),
        "{refused:?}"
    );
    assert_eq!(site.seen("u"), [2, 3, 4]);
}

#[test]
fn a_stream_that_is_not_where_it_was_ends_the_job() {
    let site = site();
    site.server
        .on(Call::Append, [1], Action::Answer(Code::OutOfRange));
    let error = site
        .write(numbers_sink(&site.place, "t"), &[1])
        .0
        .expect_err("lost rows");
    assert!(
        error.to_string().contains("not where this run left it"),
        "{error}"
    );
    // Somebody ends the stream: no row is at fault.
    let mut life = Life::new(&site.place, numbers_sink(&site.place, "t"), 1);
    life.write(0, &some(&[1])).expect("written");
    site.server.finalize_streams();
    let error = life
        .write(0, &some(&[2]))
        .expect_err("a stream that has ended");
    assert!(error.to_string().contains("finalized"), "{error}");
}

/// #22808: stuck for days without a word.
#[test]
fn silence_is_an_error_that_names_transform_and_call() {
    for call in [Call::GetTable, Call::CreateStream, Call::Append] {
        let site = site();
        site.server.always(call, Action::Silence);
        let sink = std::sync::Mutex::new(Some(numbers_sink(&site.place, "t")));
        let pipeline = Pipeline::build(|p| {
            let sink = sink.lock().expect("a lock").take().expect("built once");
            p.create("Numbers", some(&[1])).write("WriteNumbers", sink);
        });
        let since = Instant::now();
        let error = DirectRunner::new()
            .run(&pipeline.expect("a pipeline"))
            .expect_err("silence");
        let error = error.to_string();
        let name = match call {
            Call::GetTable => "tables.get",
            Call::CreateStream => "CreateWriteStream",
            _ => "AppendRows",
        };
        assert!(
            error.contains("WriteNumbers") && error.contains(name),
            "{error}"
        );
        assert!(
            error.contains("no answer within") && error.contains("attempts"),
            "{error}"
        );
        assert!(
            since.elapsed() < Duration::from_secs(8),
            "{:?}",
            since.elapsed()
        );
    }
}

/// The emulator's streams take no STRUCT: what comes in here was read by Arrow's own reader.
#[test]
fn nested_rows_come_in_whole() {
    let site = site();
    let ddl = "CREATE TABLE t (n INT64 NOT NULL, place STRUCT<x FLOAT64, names ARRAY<STRING>>, \
               stops ARRAY<STRUCT<at TIMESTAMP NOT NULL, price NUMERIC>>, day DATE, raw BYTES, extra JSON)";
    let (_, schema) = TableSchema::from_ddl(ddl).expect("a schema");
    let sink = |schema: &TableSchema| {
        let columns = schema.clone();
        let row = move |text: &String| {
            let record: serde_json::Value = serde_json::from_str(text).expect("JSON");
            Row::from_serialize(&record, &columns).expect("a row")
        };
        let service = Arc::clone(&site.place.service);
        TableSink::append(service, "t", schema.clone(), row)
    };
    let whole = json!({
        "n": 1, "place": {"x": 0.5, "names": ["a", "b"]}, "day": "1970-01-03", "raw": "AAE=", "extra": {"k": [1]},
        "stops": [{"at": "1970-01-01T00:00:01Z", "price": "1.50"}, {"at": "1970-01-01T00:00:02Z"}],
    });
    let mut life = Life::new(&site.place, sink(&schema), 1);
    let records = [whole.to_string(), json!({"n": 2}).to_string()];
    assert_eq!(life.write(0, &records).expect("written"), []);
    let prepared = life.prepare(1);
    life.commit(1, &prepared).expect("committed");
    let expected = [
        json!({
            "n": 1, "place": {"x": 0.5, "names": ["a", "b"]}, "day": 2, "raw": [0, 1], "extra": "{\"k\":[1]}",
            "stops": [{"at": 1_000_000, "price": "1.500000000"}, {"at": 2_000_000, "price": null}],
        }),
        json!({"n": 2, "place": null, "stops": [], "day": null, "raw": null, "extra": null}),
    ];
    assert_eq!(site.server.rows("t"), expected);
}

#[test]
fn a_query_runs_once_though_answers_are_lost() {
    let site = site();
    assert_eq!(
        site.write(numbers_sink(&site.place, "t"), &[1])
            .0
            .expect("written"),
        []
    );
    site.server.on(Call::Query, [1], Action::LoseAnswer);
    site.server
        .on(Call::QueryResults, [1], Action::Http(503, "backendError"));
    assert_eq!(site.place.numbers("t"), [1]);
    assert_eq!(site.server.calls(Call::Query), 2);
    let error = site
        .place
        .run(site.place.service.query("SELECT * FROM nobody"));
    let error = error.expect_err("no such table").to_string();
    assert!(error.contains("nobody"), "{error}");
}

#[test]
fn a_dead_endpoint_is_a_clear_error_within_the_deadline() {
    let port = crate::servers::free_port();
    let service = client(&format!("127.0.0.1:{port}")).deadline(Duration::from_secs(1));
    let place = Place::new(Arc::new(service), false, "");
    let since = Instant::now();
    let error = Life::new(&place, numbers_sink(&place, "t"), 1).write(0, &some(&[1]));
    let error = error.expect_err("nobody is there").to_string();
    assert!(error.contains("tables.get of p.d.t"), "{error}");
    let error = place
        .run(place.service.query("SELECT 1"))
        .expect_err("nobody")
        .to_string();
    assert!(error.contains("jobs.insert of `SELECT 1`"), "{error}");
    assert!(
        since.elapsed() < Duration::from_secs(4),
        "{:?}",
        since.elapsed()
    );
}
