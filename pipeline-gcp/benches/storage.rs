//! Reading and writing objects, beside loops by hand over `object_store`, against a server on this machine:
//! `STORAGE_EMULATOR_HOST=http://127.0.0.1:4444 cargo bench -p pipeline-gcp --features gcp --bench storage -- BUCKET [LINES]`.

#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::{
    ClientOptions, ObjectStore, ObjectStoreExt, StaticCredentialProvider, WriteMultipart,
};
use pipeline_core::prelude::*;
use pipeline_gcp::cloud::{Cloud, Service};
use pipeline_gcp::storage::{FileSink, ObjectSource, Storages, WriteFiles};

const FILES: usize = 4;
const LINES: usize = 1_000_000;
const ROUNDS: usize = 5;

fn line(n: usize) -> String {
    format!("{{\"id\":{n:010},\"text\":\"{:0>76}\"}}", n * 7)
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|a| !a.starts_with('-'));
    let bucket = &arguments.next();
    let count = arguments
        .next()
        .map_or(LINES, |lines| lines.parse().unwrap());
    // What our client does by itself.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cloud = Cloud::from_env().unwrap();
    let (Some(bucket), true) = (bucket, cloud.is_emulated(Service::Storage)) else {
        println!("SKIPPED: name a bucket, and a server in STORAGE_EMULATOR_HOST");
        return;
    };
    let address = std::env::var("STORAGE_EMULATOR_HOST").unwrap();
    let lines: Vec<String> = (0..count).map(line).collect();
    let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
    println!("{count} lines, {} MB, {FILES} objects", bytes / 1_000_000);
    let rate = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for round in 0..ROUNDS {
        // A store belongs to its run, as ours does.
        let hand_write =
            timed(|| runtime.block_on(write_by_hand(&store(&address, bucket), &lines, round)));
        let our_write = timed(|| write(&cloud, bucket, &lines, round));
        let hand_read =
            timed(|| runtime.block_on(read_by_hand(store(&address, bucket), round, count)));
        let our_read = timed(|| read(&cloud, bucket, round, count));
        println!(
            "write: by hand {:.0} MB/s, ours {:.0} MB/s ({:.0} %); read: by hand {:.0} MB/s, ours {:.0} MB/s ({:.0} %)",
            rate(hand_write),
            rate(our_write),
            100.0 * hand_write.as_secs_f64() / our_write.as_secs_f64(),
            rate(hand_read),
            rate(our_read),
            100.0 * hand_read.as_secs_f64() / our_read.as_secs_f64(),
        );
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn store(address: &str, bucket: &str) -> impl ObjectStore + Clone {
    let anonymous = GcpCredential {
        bearer: "anonymous".to_owned(),
    };
    GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_base_url(address)
        .with_credentials(Arc::new(StaticCredentialProvider::new(anonymous)))
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .build()
        .unwrap()
}

/// Writes each object in parts, all at once.
async fn write_by_hand(store: &impl ObjectStore, lines: &[String], round: usize) {
    let writes = (0..FILES).map(|file| async move {
        let path = format!("hand/{round}/{file}.ndjson").into();
        let mut upload = WriteMultipart::new(store.put_multipart(&path).await.unwrap());
        for line in lines.iter().skip(file).step_by(FILES) {
            upload.write(line.as_bytes());
            upload.write(b"\n");
        }
        upload.finish().await.unwrap();
    });
    futures::future::join_all(writes).await;
}

fn write(cloud: &Cloud, bucket: &str, lines: &[String], round: usize) {
    let place = Storages::cloud(cloud)
        .open(&format!("gs://{bucket}/ours/{round}"))
        .unwrap();
    let lines = lines.to_vec();
    let pipeline = Pipeline::build(|p| {
        let sink = FileSink::lines(place, "bench").shards(FILES as u32);
        p.create("Lines", lines).write_files("Write", sink);
    });
    DirectRunner::new().run(&pipeline.unwrap()).unwrap();
}

/// Counts the lines of all objects, all at once.
async fn read_by_hand(store: impl ObjectStore + Clone, round: usize, expected: usize) {
    let counts = (0..FILES).map(|file| {
        let store = store.clone();
        tokio::spawn(async move {
            let path = format!("hand/{round}/{file}.ndjson").into();
            let mut stream = store.get(&path).await.unwrap().into_stream();
            let mut rest = Vec::new();
            let mut lines = 0_u64;
            while let Some(chunk) = stream.next().await {
                let chunk = chunk.unwrap();
                let mut parts = chunk.split_inclusive(|byte| *byte == b'\n');
                for part in &mut parts {
                    if part.ends_with(b"\n") {
                        lines += u64::from(rest.len() + part.len() > 1);
                        rest.clear();
                    } else {
                        rest.extend_from_slice(part);
                    }
                }
            }
            lines
        })
    });
    let counts = futures::future::join_all(counts).await;
    let lines: u64 = counts.into_iter().map(|count| count.unwrap()).sum();
    assert_eq!(lines, expected as u64);
}

fn read(cloud: &Cloud, bucket: &str, round: usize, expected: usize) {
    let place = Storages::cloud(cloud)
        .open(&format!("gs://{bucket}/hand/{round}/*.ndjson"))
        .unwrap();
    let counted = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&counted);
    let pipeline = Pipeline::build(|p| {
        p.read_lines("Read", ObjectSource::new(place))
            .drop_dead_letters("no line is that long")
            .filter("Count", move |line| {
                count.fetch_add(u64::from(!line.is_empty()), Ordering::Relaxed);
                false
            })
            .check("None", |_| {});
    });
    DirectRunner::new().run(&pipeline.unwrap()).unwrap();
    assert_eq!(counted.load(Ordering::Relaxed), expected as u64);
}
