//! Whole pipelines with snapshots that fail at one step or another and are run again: each row is there once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::runners::direct::Snapshots;
use pipeline_gcp::bigquery::WriteMethod;
use tonic::Code;

use super::table_place::{Place, numbers_sink};
use crate::faults::bigquery::{Action, BigQueryServer, Call};

const ROWS: i64 = 600;

/// Runs until it goes well; returns how often it failed.
fn run_to_the_end(
    server: &BigQueryServer,
    folder: &std::path::Path,
    method: WriteMethod,
) -> Result<u32, String> {
    let mut failures = 0;
    loop {
        let place = Place::new(Arc::new(server.client()), false, "");
        let sink = Mutex::new(Some(numbers_sink(&place, "t").method(method)));
        let pipeline = Pipeline::build(|p| {
            let sink = sink.lock().expect("a lock").take().expect("built once");
            let numbers: Vec<Option<i64>> = (0..ROWS).map(Some).collect();
            p.create("Numbers", numbers).write("Write", sink);
        });
        let pipeline = pipeline.expect("a pipeline");
        let snapshots = Snapshots::open(folder).map_err(|error| error.to_string())?;
        let snapshots = snapshots.interval(Duration::from_millis(15));
        let runner = DirectRunner::new().workers(2).max_bundle(20);
        match runner.snapshots(&snapshots).run(&pipeline) {
            Ok(_) => return Ok(failures),
            Err(_) if failures < 5 => failures += 1,
            Err(error) => return Err(error.to_string()),
        }
    }
}

#[test]
fn a_run_that_fails_at_any_step_goes_on_and_each_row_is_there_once() {
    let fatal = Action::Fail(Code::PermissionDenied);
    let refused = Action::Http(403, "accessDenied");
    let cases = [
        (Call::Append, 1, fatal),
        (Call::Append, 7, fatal),
        (Call::Append, 20, fatal),
        (Call::Flush, 1, fatal),
        (Call::Flush, 2, fatal),
        (Call::Flush, 3, fatal),
        (Call::CreateStream, 2, fatal),
        (Call::GetTable, 1, refused),
    ];
    let mut failed = 0;
    for (call, number, action) in cases {
        let server = BigQueryServer::start();
        // Slow enough for several epochs, and with answers that are lost on the way.
        server.on(call, [number], action);
        server.on(Call::Append, [3, 11, 17], Action::LoseAnswer);
        server.on(Call::Flush, [4, 6], Action::LoseAnswer);
        server.always(Call::Append, Action::Delay(Duration::from_millis(4)));
        let folder = tempfile::tempdir().unwrap();
        let failures = run_to_the_end(&server, folder.path(), WriteMethod::StorageWrite);
        failed += failures.unwrap_or_else(|error| panic!("{call:?} {number}: {error}"));
        let mut seen: Vec<i64> = server
            .rows("t")
            .iter()
            .map(|row| row["n"].as_i64().expect("n"))
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..ROWS).collect::<Vec<_>>(), "{call:?} {number}");
        assert!(server.calls(Call::Flush) > 2, "one epoch is no test");
    }
    assert!(failed >= 6, "only {failed} runs have failed");
}

#[test]
fn load_jobs_of_epochs_run_once() {
    let server = BigQueryServer::start();
    server.on(Call::Upload, [2], Action::LoseAnswer);
    server.on(Call::BeginUpload, [3], Action::Http(403, "accessDenied"));
    let folder = tempfile::tempdir().unwrap();
    let failures = run_to_the_end(&server, folder.path(), WriteMethod::LoadJob);
    failures.expect("it ends");
    let mut seen: Vec<i64> = server
        .rows("t")
        .iter()
        .map(|row| row["n"].as_i64().expect("n"))
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..ROWS).collect::<Vec<_>>());
}
