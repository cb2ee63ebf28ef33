//! What hurts: quotas, cut connections, lost answers, silence, dead addresses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pipeline_core::prelude::*;
use pipeline_gcp::storage::{
    CloudStorage, FileSink, Metadata, ObjectSource, Place, Storage, StorageErrorKind, Storages,
    WriteFiles,
};

use super::suite::{Bench, read};
use super::{FaultyStorage, bench, cloud};
use crate::faults::storage::{Call, Fault};
use crate::servers::free_port;

/// A bench whose calls have little time.
fn hasty(server: &FaultyStorage, deadline: Duration) -> Bench {
    let storage = CloudStorage::new(&cloud(&server.address()), "bucket").deadline(deadline);
    Bench::new(Arc::new(storage), true)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 31 / 7) as u8).collect()
}

/// What may pass is tried again, on every call; what may not is told at once.
#[test]
fn what_may_pass_is_tried_again() {
    let server = FaultyStorage::start();
    let bench = bench(&server.address());
    let faults = [
        Fault::Status(429, "rateLimitExceeded"),
        Fault::Status(503, "backendError"),
        Fault::Status(403, "userRateLimitExceeded"),
        Fault::CutBefore,
    ];
    for fault in faults {
        for call in [
            Call::Put,
            Call::Stat,
            Call::List,
            Call::Read,
            Call::Copy,
            Call::Delete,
        ] {
            server.fail(call, "", 0, 2, fault.clone());
        }
        bench.put("a", "content");
        bench
            .run(
                bench
                    .storage
                    .copy_if_absent(&bench.name("a"), &bench.name("b")),
            )
            .unwrap();
        assert_eq!(bench.get("b"), b"content");
        bench.run(bench.storage.delete(&bench.name("b"))).unwrap();
        assert_eq!(bench.names(""), ["a"]);
        assert!(server.is_spent(), "{fault:?}");
    }
    for (status, kind) in [
        (401, StorageErrorKind::Denied),
        (403, StorageErrorKind::Denied),
        (404, StorageErrorKind::NotFound),
        (400, StorageErrorKind::Invalid),
    ] {
        let before = server.calls(Call::Stat, "");
        server.fail(Call::Stat, "", 0, 1, Fault::Status(status, "no"));
        let error = bench.run(bench.storage.stat(&bench.name("a"))).unwrap_err();
        assert_eq!(
            (error.kind(), server.calls(Call::Stat, "")),
            (kind, before + 1)
        );
        assert!(
            !error.is_transient() && error.to_string().contains("gs://bucket/"),
            "{error}"
        );
    }
    // It is bounded.
    server.fail(Call::Stat, "", 0, 1000, Fault::Status(503, "backendError"));
    let hasty = hasty(&server, Duration::from_secs(3));
    let error = hasty.run(hasty.storage.stat("x")).unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(
        error.to_string().contains("503") && error.to_string().contains("attempts"),
        "{error}"
    );
}

/// A read goes on where it was cut, within the generation that it began with.
#[test]
fn a_read_goes_on_where_it_was_cut() {
    let server = FaultyStorage::start();
    let bench = bench(&server.address());
    let content = bytes(3_000_000);
    bench.put("big", &content);
    let object = bench.run(bench.storage.stat(&bench.name("big"))).unwrap();
    let before = server.calls(Call::Read, "big");
    for length in [0, 1, 1_000_000, 999_999] {
        server.fail(Call::Read, "big", 0, 1, Fault::CutBody(length));
    }
    let got = bench
        .run(read(&*bench.storage, &object, 7..2_900_000))
        .unwrap();
    assert!(got == content[7..2_900_000]);
    assert_eq!(server.calls(Call::Read, "big") - before, 5);

    // It is replaced while the connection is cut.
    server.fail(Call::Read, "big", 0, 1, Fault::CutBody(500_000));
    let error = bench.run(async {
        let mut reader = bench.storage.read(&object, 0..u64::MAX).await.unwrap();
        let mut length = 0;
        length += reader.next().await.unwrap().unwrap().len();
        let (name, none) = (bench.name("big"), Metadata::new());
        let another = Bytes::from_static(b"x");
        bench.storage.put(&name, another, &none).await.unwrap();
        loop {
            match reader.next().await {
                Ok(Some(bytes)) => length += bytes.len(),
                Ok(None) => panic!("{length} bytes of two generations"),
                Err(error) => break error,
            }
        }
    });
    assert_eq!(error.kind(), StorageErrorKind::Replaced, "{error}");

    // It is cut again and again without a byte.
    bench.put("cut", "abc");
    server.fail(Call::Read, "cut", 0, 1000, Fault::CutBody(0));
    let hasty = hasty(&server, Duration::from_secs(2));
    let error = hasty.run(async {
        let object = hasty.storage.stat(&bench.name("cut")).await.unwrap();
        read(&*hasty.storage, &object, 0..3).await.unwrap_err()
    });
    assert!(error.is_transient(), "{error}");
}

/// An upload in parts goes on where the service says, whatever became of its parts.
#[test]
fn an_upload_goes_on_where_the_service_says() {
    let server = FaultyStorage::start();
    let bench = bench(&server.address());
    let content = bytes(20_000_000);
    let file = bench.folder.path().join("file");
    std::fs::write(&file, &content).unwrap();
    let faults = [
        (Call::BeginUpload, 0, Fault::Status(503, "backendError")),
        (Call::UploadPart, 0, Fault::CutBefore),
        (Call::UploadPart, 1, Fault::CutAfter),
        (Call::UploadPart, 1, Fault::Status(429, "rateLimitExceeded")),
        (Call::UploadPart, 0, Fault::KeepOnly(262_144)),
        (Call::UploadPart, 2, Fault::CutAfter),
        (Call::UploadStatus, 0, Fault::Status(503, "backendError")),
        (Call::UploadPart, 1, Fault::Forget),
    ];
    for (call, skip, fault) in faults {
        let bench = bench.fresh();
        let what = format!("{call:?} {fault:?}");
        if call == Call::UploadStatus {
            server.fail(Call::UploadPart, "", 0, 1, Fault::CutBefore);
        }
        server.fail(call, "", skip, 1, fault);
        let upload = bench.name("up");
        let uploaded = bench.run(bench.storage.upload(&upload, &file, &Metadata::new()));
        uploaded.expect(&what);
        assert!(bench.get("up") == content, "{what}");
        assert!(server.is_spent(), "{what}");
    }
    server.fail(Call::UploadPart, "", 0, 1, Fault::Status(403, "forbidden"));
    let error = bench
        .run(
            bench
                .storage
                .upload(&bench.name("x"), &file, &Metadata::new()),
        )
        .unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Denied);
    assert!(
        !error.to_string().contains("session"),
        "its address is a key: {error}"
    );
}

/// A write that took effect though its answer was lost is not a write of somebody else's.
#[test]
fn answers_are_lost() {
    let server = FaultyStorage::start();
    for lost in [Call::Copy, Call::Put, Call::Delete, Call::Stat] {
        let bench = bench(&server.address());
        for skip in 0..4 {
            server.fail(lost, "", skip, 1, Fault::CutAfter);
        }
        let pipeline = Pipeline::build(|p| {
            let lines = (0..200).map(|n| format!("line {n:03}"));
            let sink = FileSink::lines(bench.place("out"), "job").shards(4);
            p.create("Lines", lines.collect())
                .write_files("Write", sink);
        });
        DirectRunner::new()
            .workers(2)
            .run(&pipeline.unwrap())
            .unwrap();
        let expected: Vec<String> = (0..200).map(|n| format!("line {n:03}")).collect();
        assert_eq!(bench.all_lines(), expected, "{lost:?}");
        assert!(bench.names("out/.pipeline/").is_empty());
    }
}

/// #22808: nothing waits for ever: a server that does not answer, and an address where nobody is.
#[test]
fn no_answer_is_an_error_within_the_deadline() {
    let server = FaultyStorage::start();
    let deadline = Duration::from_secs(3);
    let silent = hasty(&server, deadline);
    for call in [Call::Stat, Call::Put, Call::Read] {
        server.fail(call, "silent", 0, 1000, Fault::Silence);
    }
    silent.put("a", "content");
    let timed = |call: &dyn Fn() -> pipeline_gcp::storage::StorageError| {
        let began = Instant::now();
        let error = call();
        assert_eq!(error.kind(), StorageErrorKind::TimedOut, "{error}");
        assert!(error.to_string().contains("no answer within 1s"), "{error}");
        assert!(began.elapsed() < 2 * deadline, "{:?}", began.elapsed());
    };
    timed(&|| silent.run(silent.storage.stat("silent")).unwrap_err());
    timed(&|| {
        silent
            .run(silent.storage.put("silent", Bytes::new(), &Metadata::new()))
            .unwrap_err()
    });
    // What is slow, and goes on, has its time.
    server.fail(
        Call::Stat,
        "slow",
        0,
        1,
        Fault::Delay(Duration::from_millis(700)),
    );
    silent.put("slow", "x");
    silent
        .run(silent.storage.stat(&silent.name("slow")))
        .unwrap();

    let nobody = format!("http://127.0.0.1:{}", free_port());
    let storage: Arc<dyn Storage> =
        Arc::new(CloudStorage::new(&cloud(&nobody), "bucket").deadline(deadline));
    let began = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let read = Pipeline::build(|p| {
        let place = Place {
            storage: Arc::clone(&storage),
            name: "x/*.txt".to_owned(),
        };
        p.read_lines("Read", ObjectSource::new(place))
            .drop_dead_letters("none")
            .check("None", |_| {});
    });
    let write = Pipeline::build(|p| {
        let place = Place {
            storage: Arc::clone(&storage),
            name: "out".to_owned(),
        };
        let sink = FileSink::lines(place, "job").spool(folder.path());
        p.create("Lines", vec!["a".to_owned()])
            .write_files("Write", sink);
    });
    for (pipeline, transform) in [(read, "'Read/Read'"), (write, "'Write/Write'")] {
        let error = DirectRunner::new()
            .workers(1)
            .run(&pipeline.unwrap())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(transform) && error.contains("gs://bucket/"),
            "{error}"
        );
        assert!(error.contains("no connection"), "{error}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(40),
        "{:?}",
        began.elapsed()
    );
}

/// The account's token is in no message.
#[test]
fn secrets_are_not_told() {
    let server = FaultyStorage::start();
    let storages = Storages::cloud(&cloud(&server.address()));
    let place = storages.open("gs://bucket/x").unwrap();
    assert_eq!(place.full_name(), "gs://bucket/x");
    let shown = format!("{place:?}");
    assert!(
        shown.contains("CloudStorage") && !shown.to_lowercase().contains("token"),
        "{shown}"
    );
}
