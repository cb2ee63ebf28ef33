//! The ids that a subscription remembers: over lives of a job, each is written once.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline_core::prelude::*;
use pipeline_core::runners::direct::Snapshots;
use pipeline_gcp::pubsub::{LocalPubSub, NewMessage, PubSub, PubSubSource};

/// What a life of the job came to.
#[derive(Debug)]
struct Life {
    /// All that were taken in, in all lives.
    taken_in: u64,
    duplicates: u64,
    /// The bytes that its last snapshot wrote.
    written: u64,
}

/// Publishes messages with these ids, and has a life of the job take all of them in.
fn live(service: &Arc<LocalPubSub>, folder: &Path, ids: std::ops::Range<u64>) -> Life {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let count = ids.end - ids.start;
    let before = service.counters("sub").unwrap().acknowledged;
    let messages = ids.map(|id| NewMessage::new("text").attribute("id", id.to_string()));
    for chunk in messages.collect::<Vec<_>>().chunks(1_000) {
        runtime
            .block_on(service.publish("topic", chunk.to_vec()))
            .unwrap();
    }
    let snapshots = Snapshots::open(folder).unwrap();
    let snapshots = snapshots.interval(Duration::from_millis(10));
    let runner = DirectRunner::new().workers(2).snapshots(&snapshots);
    let source = PubSubSource::new(Arc::clone(service) as Arc<dyn PubSub>, "sub");
    let pipeline = Pipeline::build(|p| {
        p.read("Read", source.id_attribute("id"))
            .check("Taken", |_| {});
    })
    .unwrap();
    let stop = runner.stop_handle();
    let running = std::thread::spawn(move || runner.run(&pipeline).unwrap());
    let began = Instant::now();
    while service.counters("sub").unwrap().acknowledged < before + count {
        assert!(began.elapsed() < Duration::from_secs(60), "it stands still");
        std::thread::sleep(Duration::from_millis(5));
    }
    stop.stop();
    let result = running.join().unwrap();
    Life {
        taken_in: result.metrics().get("Read", "out"),
        duplicates: result.metrics().get("Read", "duplicates"),
        written: result.snapshots().unwrap().last_bytes,
    }
}

#[test]
fn a_snapshot_writes_the_ids_that_are_new() {
    const MANY: u64 = 30_000;
    let folder = tempfile::tempdir().unwrap();
    let service = Arc::new(LocalPubSub::new());
    pollster::block_on(async {
        service.create_topic("topic").await.unwrap();
        service.create_subscription("sub", "topic").await.unwrap();
    });
    let first = live(&service, folder.path(), 0..MANY);
    assert_eq!((first.taken_in, first.duplicates), (MANY, 0), "{first:?}");
    // Another life knows them all, and does not write them again.
    let second = live(&service, folder.path(), MANY - 1_000..MANY + 1_000);
    let counts = (second.taken_in, second.duplicates);
    assert_eq!(counts, (MANY + 1_000, 1_000), "{second:?}");
    let third = live(&service, folder.path(), 0..MANY + 1_001);
    let counts = (third.taken_in, third.duplicates);
    assert_eq!(counts, (MANY + 1_001, 1_000 + MANY + 1_000), "{third:?}");
    assert!(third.written < 5_000, "{third:?}");
    // They are on disk all the same: 16 bytes each.
    let files = std::fs::read_dir(folder.path()).unwrap();
    let logs = files.map(|file| file.unwrap());
    let logs = logs.filter(|file| file.file_name().to_str().unwrap().starts_with("log-"));
    let bytes: u64 = logs.map(|file| file.metadata().unwrap().len()).sum();
    assert_eq!(bytes, 16 * (MANY + 1_001));
}
