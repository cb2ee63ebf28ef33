//! A run that fails leaves no file; an attempt that fails leaves no line.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use pipeline_core::prelude::*;
use pipeline_core::sink::TextWriter;

use super::text_files::{all_lines, names};

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("number {n:05}")).collect()
}

#[test]
fn a_job_that_fails_leaves_the_folder_as_it_was() {
    for workers in [1, 3] {
        for sharded in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("out");
            fs::write(&path, "of yesterday").unwrap();
            let pipeline = Pipeline::build(|p| {
                let sink = TextSink::lines(&path);
                let sink = if sharded {
                    sink
                } else {
                    sink.without_sharding()
                };
                p.create("Numbers", numbers(50_000))
                    .map("Fail", |line| {
                        assert_ne!(line, "number 49000");
                        line
                    })
                    .write("Write", sink);
            })
            .unwrap();
            let runner = DirectRunner::new().workers(workers).max_bundle(2_000);
            let error = runner.run(&pipeline).unwrap_err().to_string();
            assert!(error.contains("'Fail' on element number 49000"), "{error}");
            assert_eq!(names(folder.path()), ["out"], "{workers} workers");
            assert_eq!(fs::read(&path).unwrap(), b"of yesterday");
        }
    }
}

/// Fails the first attempts at some batches when half of the batch is written.
struct Flaky(TextSink<String>);

struct FlakyWriter {
    inner: TextWriter<String>,
    failed: HashSet<(u64, u32)>,
}

impl Sink for Flaky {
    type Item = String;
    type Writer = FlakyWriter;

    fn open(&self, worker: usize) -> Result<FlakyWriter, Error> {
        Ok(FlakyWriter {
            inner: self.0.open(worker)?,
            failed: HashSet::new(),
        })
    }

    async fn finish(&self, succeeded: bool) -> Result<(), Error> {
        self.0.finish(succeeded).await
    }
}

impl Writer<String> for FlakyWriter {
    async fn write(&mut self, batch: &WriteBatch<'_, String>) -> Result<Vec<Rejected>, Error> {
        // Every third batch fails once, every sixth twice.
        let failures = [2, 0, 0, 1, 0, 0][batch.sequence as usize % 6];
        if batch.attempt < failures {
            assert!(self.failed.insert((batch.sequence, batch.attempt)));
            let half = WriteBatch {
                records: &batch.records[..batch.records.len() / 2],
                ..*batch
            };
            self.inner.write(&half).await?;
            return Err(Error::transient("the line was cut"));
        }
        self.inner.write(batch).await
    }

    async fn close(&mut self) -> Result<(), Error> {
        assert!(!self.failed.is_empty(), "nothing has failed");
        self.inner.close().await
    }
}

#[test]
fn a_batch_that_is_tried_again_is_written_once() {
    for workers in [1, 2] {
        for (name, sharded) in [("out", true), ("out.gz", false)] {
            let folder = tempfile::tempdir().unwrap();
            let sink = TextSink::lines(folder.path().join(name));
            let sink = if sharded {
                sink
            } else {
                sink.without_sharding()
            };
            let pipeline = Pipeline::build(|p| {
                p.create("Numbers", numbers(8_000))
                    .reshuffle("Spread")
                    .write("Write", Flaky(sink));
            })
            .unwrap();
            DirectRunner::new().workers(workers).run(&pipeline).unwrap();
            let lines = all_lines(folder.path());
            assert!(lines == numbers(8_000), "{name}: {} lines", lines.len());
        }
    }
}

fn fails(sink: TextSink<String>, workers: usize) -> String {
    let pipeline = Pipeline::build(|p| {
        p.create("Numbers", numbers(100)).write("Write", sink);
    });
    let runner = DirectRunner::new().workers(workers);
    runner.run(&pipeline.unwrap()).unwrap_err().to_string()
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone/out");
    let error = fails(TextSink::lines(&gone), 2);
    for part in ["transform 'Write'", gone.to_str().unwrap(), "No such file"] {
        assert!(error.contains(part), "{error}");
    }
    let error = fails(TextSink::lines(folder.path()), 2);
    assert!(error.contains("it is not a regular file"), "{error}");
}

#[test]
fn shards_appear_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("out-00002-of-00003");
    fs::create_dir(&taken).unwrap();
    let error = fails(TextSink::lines(folder.path().join("out")), 3);
    for part in ["transform 'Write'", taken.to_str().unwrap()] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(names(folder.path()), ["out-00002-of-00003"]);
}

const OUTPUT: &str = "TEXT_SINK_OUTPUT";
const SHARDED: &str = "TEXT_SINK_SHARDED";

/// Runs in a process of its own that may write few bytes.
#[test]
#[ignore = "the test below runs it, with a limit"]
fn writes_more_than_there_is_room() {
    let Some(output) = std::env::var_os(OUTPUT).map(PathBuf::from) else {
        return;
    };
    let sink = TextSink::lines(&output);
    let sharded = std::env::var_os(SHARDED).is_some();
    let sink = if sharded {
        sink
    } else {
        sink.without_sharding()
    };
    let pipeline = Pipeline::build(|p| {
        p.create("Numbers", numbers(100_000)).write("Write", sink);
    });
    let runner = DirectRunner::new().workers(2);
    let error = runner.run(&pipeline.unwrap()).unwrap_err().to_string();
    let start = "failed in transform 'Write': cannot write ";
    let start = format!("{start}{}: ", output.display());
    assert!(error.contains(&start), "{error}");
    assert!(error.contains("`ulimit -f`"), "{error}");
}

/// A full disk without one: the system refuses to let a file grow (the shell's unit is 1,024
/// bytes), as it does when there is no room.
#[cfg(unix)]
#[test]
fn a_file_that_cannot_grow_is_named_and_removed() {
    // Each part is too long, or (of 1.3 MB) what they come to together.
    for (blocks, sharded) in [("500", true), ("500", false), ("1200", false)] {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("out");
        let limited = format!("ulimit -f {blocks} && trap '' XFSZ && exec \"$0\" \"$@\"");
        let mut child = Command::new("bash");
        child
            .args(["-c", &limited])
            .arg(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "text_sink_failures::writes_more_than_there_is_room",
            ])
            .arg("--ignored")
            .env(OUTPUT, &output);
        if sharded {
            child.env(SHARDED, "yes");
        }
        let child = child.output().unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && text.contains("1 passed"),
            "{text}"
        );
        assert!(
            names(folder.path()).is_empty(),
            "{:?}",
            names(folder.path())
        );
    }
}
