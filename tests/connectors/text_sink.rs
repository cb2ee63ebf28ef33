//! Text out of whole pipelines: names, shards, one file, gzip.

use std::fs;

use pipeline_core::files::Compression;
use pipeline_core::prelude::*;

use super::text_files::{all_lines, names, pattern, read_lines, runners, text};

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("number {n:05}")).collect()
}

/// Writes so many lines; each worker has some.
fn write(runner: &DirectRunner, count: usize, sink: TextSink<String>) -> Result<RunResult, Error> {
    let pipeline = Pipeline::build(|p| {
        p.create("Numbers", numbers(count)).write("Write", sink);
    })?;
    runner.run(&pipeline)
}

#[test]
fn every_worker_writes_a_shard() {
    for workers in [1, 2, 5] {
        for suffix in ["", ".txt", ".txt.gz"] {
            let folder = tempfile::tempdir().unwrap();
            let sink = TextSink::lines(folder.path().join("n")).suffix(suffix);
            write(&DirectRunner::new().workers(workers), 3_000, sink).unwrap();
            let shard = |n| format!("n-{n:05}-of-{workers:05}{suffix}");
            assert_eq!(
                names(folder.path()),
                (0..workers).map(shard).collect::<Vec<_>>()
            );
            assert!(all_lines(folder.path()) == numbers(3_000));
        }
    }
}

#[test]
fn without_sharding_there_is_one_file() {
    for (mode, runner) in runners() {
        for name in ["n.txt", "n.gz"] {
            let folder = tempfile::tempdir().unwrap();
            let sink = TextSink::lines(folder.path().join(name)).without_sharding();
            write(&runner, 3_000, sink).unwrap();
            assert_eq!(names(folder.path()), [name], "{mode}");
            assert!(all_lines(folder.path()) == numbers(3_000), "{mode}");
        }
    }
}

#[test]
fn what_was_written_can_be_read() {
    for (mode, runner) in runners() {
        let folder = tempfile::tempdir().unwrap();
        let first = folder.path().join("first.txt");
        fs::write(&first, numbers(2_000).join("\r\n")).unwrap();
        let pipeline = Pipeline::build(|p| {
            let source = Text::lines(first.to_str().unwrap()).min_split_bytes(1_000);
            p.read_lines("Lines", source)
                .drop_dead_letters("no line is that long")
                .write(
                    "Copy",
                    TextSink::lines(folder.path().join("copy")).suffix(".gz"),
                );
        });
        runner.run(&pipeline.unwrap()).unwrap();
        let copies = Text::lines(pattern(folder.path(), "copy-*-of-*.gz"));
        let copied = read_lines(&copies, &runner).unwrap();
        assert!(copied.ok == numbers(2_000), "{mode}");
    }
}

#[test]
fn a_file_is_there_even_when_it_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let runner = DirectRunner::new().workers(2);
    let path = |name| folder.path().join(name);
    write(
        &runner,
        0,
        TextSink::lines(path("a.txt")).without_sharding(),
    )
    .unwrap();
    write(&runner, 0, TextSink::lines(path("b.gz")).without_sharding()).unwrap();
    write(&runner, 0, TextSink::json(path("c"))).unwrap();
    let expected = ["a.txt", "b.gz", "c-00000-of-00002", "c-00001-of-00002"];
    assert_eq!(names(folder.path()), expected);
    assert!(expected.iter().all(|name| text(&path(name)).is_empty()));
    assert!(
        fs::metadata(path("b.gz")).unwrap().len() > 0,
        "an empty member"
    );
}

#[test]
fn compression_is_as_told_and_a_second_run_replaces_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.gz");
    let pipeline = Pipeline::build(|p| {
        let sink = TextSink::lines(&path).without_sharding();
        p.create("Numbers", numbers(500))
            .write("Write", sink.compression(Compression::Uncompressed));
    })
    .unwrap();
    for workers in [3, 1] {
        DirectRunner::new().workers(workers).run(&pipeline).unwrap();
        let written = fs::read_to_string(&path).unwrap();
        let mut lines: Vec<&str> = written.lines().collect();
        lines.sort();
        assert!(lines == numbers(500));
    }
}

#[test]
fn a_run_that_is_stopped_publishes_what_it_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let runner = DirectRunner::new().workers(2);
    runner.stop_handle().stop();
    let sink = TextSink::lines(folder.path().join("n")).without_sharding();
    let result = write(&runner, 3_000, sink).unwrap();
    assert!(matches!(result.end(), End::Stopped { .. }));
    let written = result.metrics().get("Write", "in") as usize;
    assert_eq!(all_lines(folder.path()).len(), written);
    assert_eq!(names(folder.path()), ["n"]);
}

#[test]
fn two_sinks_of_one_file_are_refused() {
    let built = |first: TextSink<String>, second: TextSink<u64>| {
        let built = Pipeline::build(|p| {
            let lines = p.create("Lines", numbers(3));
            p.scope("First", || lines.write("Write", first));
            lines
                .map("Length", |line| line.len() as u64)
                .write("Second", second);
        });
        built.map(drop).map_err(|error| error.to_string())
    };
    let refused = [
        (
            TextSink::lines("a").without_sharding(),
            TextSink::csv("a").without_sharding(),
        ),
        (
            TextSink::lines("./b/a").without_sharding(),
            TextSink::csv(std::env::current_dir().unwrap().join("b/a")).without_sharding(),
        ),
        // What the name is put together from does not matter.
        (
            TextSink::lines("a.txt").without_sharding(),
            TextSink::csv("a").suffix(".txt").without_sharding(),
        ),
        (TextSink::lines("a"), TextSink::csv("a")),
    ];
    for (first, second) in refused {
        let error = built(first, second).unwrap_err();
        assert!(
            error.contains("'First/Write' and 'Second' both write /"),
            "{error}"
        );
        assert!(error.contains("a path of its own"), "{error}");
    }
    let taken = [
        (TextSink::lines("a"), TextSink::csv("b")),
        (TextSink::lines("a"), TextSink::csv("a").suffix(".csv")),
        (TextSink::lines("a"), TextSink::csv("a").without_sharding()),
        (TextSink::lines("a"), TextSink::csv("b/a")),
    ];
    for (first, second) in taken {
        assert_eq!(built(first, second), Ok(()));
    }
}
