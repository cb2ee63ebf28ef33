//! Files of whole pipelines.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::sink::Stamps;
use pipeline_core::testing::TestStream;
use pipeline_gcp::storage::{Existing, FileSink, ObjectSource, WriteFiles};
use pollster::block_on;
use serde::{Deserialize, Serialize};

use super::Bench;
use super::life::stamp;

pub fn at(second: i64) -> Timestamp {
    stamp(0).timestamp.plus_millis(second * 1000)
}

/// Records of so many seconds, one a second: `kind-second`.
fn events(seconds: i64) -> Vec<(String, Timestamp)> {
    let kinds = ["order", "inventory", "activity"];
    (0..seconds)
        .map(|n| (format!("{}-{n:05}", kinds[n as usize % 3]), at(n)))
        .collect()
}

fn kind(record: &str) -> Result<String, Failure> {
    match record.split_once('-') {
        Some((kind, _)) => Ok(kind.to_owned()),
        None => Err(Failure::new("it has no kind")),
    }
}

pub fn minutes() -> FixedWindows {
    FixedWindows::of(Duration::from_secs(60))
}

fn texts(records: Vec<(String, Timestamp)>) -> Vec<String> {
    let mut texts: Vec<String> = records.into_iter().map(|(text, _)| text).collect();
    texts.sort();
    texts
}

pub fn files_are_divided_by_destination_window_and_shard(bench: &Bench) {
    let mut layouts = BTreeSet::new();
    for workers in [1, 3] {
        let bench = bench.fresh();
        let sink = FileSink::lines(bench.place(""), "job")
            .destination(|record: &String, _| kind(record))
            .shards(2)
            .named(|file| {
                let (kind, minute) = (file.destination(), file.time("%Y%m%d%H%M%S"));
                let folders = file.time("%Y/%m/%d/%H/%M");
                format!(
                    "output/{kind}/{folders}/{kind}_{minute}_{}.json",
                    file.number()
                )
            });
        let pipeline = Pipeline::build(|p| {
            p.create_timestamped("Events", events(600))
                .window_into("Minutes", minutes())
                .write_files("Archive", sink);
        });
        let result = DirectRunner::new()
            .workers(workers)
            .run(&pipeline.unwrap())
            .unwrap();
        assert_eq!(result.metrics().get("Archive/Write", "in"), 600);
        let lines = bench.lines();
        assert_eq!(bench.all_lines(), texts(events(600)));
        for (name, lines) in &lines {
            let second: i64 = lines[0].split_once('-').unwrap().1.parse().unwrap();
            let minute = second / 60;
            let kind = kind(&lines[0]).unwrap();
            let shard = name.chars().rev().nth(5).unwrap();
            let expected = format!(
                "output/{kind}/2024/02/01/10/{minute:02}/{kind}_2024020110{minute:02}00_{shard}.json"
            );
            assert_eq!(*name, expected);
            for line in lines {
                let of: i64 = line.split_once('-').unwrap().1.parse().unwrap();
                assert_eq!(
                    (of / 60, line.starts_with(&kind)),
                    (minute, true),
                    "{line} in {name}"
                );
            }
        }
        // 10 minutes, 3 kinds, 2 shards.
        assert_eq!(lines.len(), 60);
        layouts.insert(lines.into_keys().collect::<Vec<_>>());
        assert!(
            bench
                .names("")
                .iter()
                .all(|name| !name.contains(".pipeline"))
        );
    }
    assert_eq!(layouts.len(), 1, "it must not depend on the workers");
}

pub fn late_records_go_to_a_further_part(bench: &Bench) {
    // What was written is remembered, or has to be looked for.
    for remembered in [3600, 30] {
        let bench = bench.fresh();
        let stream = TestStream::new()
            .elements(vec![("a".to_string(), at(1)), ("b".to_string(), at(61))])
            .watermark(at(60))
            .elements(vec![
                ("late".to_string(), at(2)),
                ("later".to_string(), at(3)),
            ])
            .watermark(at(200))
            .watermark(at(210))
            .elements(vec![("last".to_string(), at(4))]);
        let pipeline = Pipeline::build(|p| {
            let sink = FileSink::lines(bench.place("late"), "job")
                .remember(Duration::from_secs(remembered))
                .named(|file| format!("{}_{}", file.time("%M"), file.number()));
            p.read("Stream", stream)
                .window_into("Minutes", minutes())
                .write_files("Archive", sink);
        });
        DirectRunner::new()
            .workers(1)
            .seed(7)
            .run(&pipeline.unwrap())
            .unwrap();
        let lines = bench.lines();
        let expected = [
            ("late/00_0", vec!["a"]),
            ("late/00_1", vec!["late", "later"]),
            ("late/00_2", vec!["last"]),
            ("late/01_0", vec!["b"]),
        ];
        let lines: Vec<(&str, Vec<&str>)> = lines
            .iter()
            .map(|(name, lines)| (name.as_str(), lines.iter().map(String::as_str).collect()))
            .collect();
        assert_eq!(lines, expected, "{remembered}");
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct City {
    name: String,
    orders: Option<u64>,
}

pub fn tables_have_a_header_in_each_file(bench: &Bench) {
    let city = |name: &str, orders| City {
        name: name.to_owned(),
        orders,
    };
    let cities = vec![
        (city("Izmir, TR", Some(3)), at(0)),
        (city("Bonn", None), at(1)),
        (city("Oslo", Some(1)), at(60)),
    ];
    let pipeline = Pipeline::build(|p| {
        p.create_timestamped("Cities", cities)
            .window_into("Minutes", minutes())
            .write_files("Table", FileSink::csv(bench.place("t"), "job"));
    });
    DirectRunner::new()
        .workers(1)
        .run(&pipeline.unwrap())
        .unwrap();
    let name = |from, to| format!("t/20240201T{from}Z-20240201T{to}Z-00000-of-00001.csv");
    let lines = bench.lines();
    assert_eq!(
        lines[&name("100000", "100100")],
        ["name,orders", "\"Izmir, TR\",3", "Bonn,"]
    );
    assert_eq!(lines[&name("100100", "100200")], ["name,orders", "Oslo,1"]);
    assert_eq!(lines.len(), 2);
}

pub fn packed_files_are_read_back(bench: &Bench) {
    let numbers: Vec<u64> = (0..50_000).collect();
    let pipeline = Pipeline::build(|p| {
        let sink = FileSink::json(bench.place("n"), "job")
            .gzip()
            .max_file_bytes(100_000);
        p.create("Numbers", numbers.clone())
            .write_files("Write", sink);
    });
    DirectRunner::new()
        .workers(2)
        .run(&pipeline.unwrap())
        .unwrap();
    let names = bench.names("n/");
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(names[0], "n/output-00000-of-00001-1.ndjson.gz");
    assert_eq!(names[2], "n/output-00000-of-00001.ndjson.gz");
    let pipeline = Pipeline::build(|p| {
        let read = p.read_json::<u64>("Read", ObjectSource::new(bench.place("n/**/*.gz")));
        read.drop_dead_letters("there are none")
            .check("All", move |mut all| {
                all.sort();
                assert!(all == numbers);
            });
    });
    DirectRunner::new()
        .workers(2)
        .run(&pipeline.unwrap())
        .unwrap();
}

pub fn what_cannot_be_named_is_refused(bench: &Bench) {
    let records = [
        "order-1",
        "nokind",
        "../../etc-1",
        "order-2",
        &format!("{}-1", "x".repeat(300)),
    ];
    let records: Vec<String> = records.map(str::to_owned).to_vec();
    let refused = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&refused);
    let pipeline = Pipeline::build(|p| {
        let sink =
            FileSink::lines(bench.place("x"), "job").destination(|record: &String, _| kind(record));
        let written = p.create("Records", records).write_files("Write", sink);
        written
            .refused
            .check("Refused", move |all| *keep.lock().unwrap() = all);
    });
    let result = DirectRunner::new()
        .workers(2)
        .run(&pipeline.unwrap())
        .unwrap();
    assert_eq!(bench.all_lines(), ["order-1", "order-2"]);
    let mut refused: Vec<(String, String)> = { refused.lock().unwrap() }
        .iter()
        .map(|bad: &BadRecord| {
            (
                String::from_utf8(bad.original.to_vec()).unwrap(),
                bad.reason().to_owned(),
            )
        })
        .collect();
    refused.sort();
    let (records, reasons): (Vec<String>, Vec<String>) = refused.into_iter().unzip();
    assert_eq!(records[..2], ["../../etc-1", "nokind"]);
    assert!(reasons[0].contains("is empty, `.` or `..`"), "{reasons:?}");
    assert_eq!(reasons[1], "it has no kind");
    assert!(reasons[2].contains("more than 255 bytes"), "{reasons:?}");
    assert_eq!(result.metrics().get("Write/Write", "dead_letters"), 3);
}

pub fn what_is_there_already_stays(bench: &Bench) {
    let run = |existing| {
        let pipeline = Pipeline::build(|p| {
            let sink = FileSink::lines(bench.place(""), "job").existing(existing);
            p.create("Lines", vec!["mine".to_owned()])
                .write_files("Write", sink);
        });
        DirectRunner::new()
            .workers(1)
            .run(&pipeline.unwrap())
            .map(|_| ())
    };
    let name = "output-00000-of-00001.txt";
    bench.put(name, "theirs\n");
    let error = run(Existing::Refuse).unwrap_err().to_string();
    assert!(
        error.contains("is there already") && error.contains(name),
        "{error}"
    );
    assert!(error.contains("'Write/Write'"), "{error}");
    assert_eq!(bench.all_lines(), ["theirs"]);
    run(Existing::NextPart).unwrap();
    assert_eq!(bench.all_lines(), ["mine", "theirs"]);
    assert_eq!(
        bench.names(""),
        ["output-00000-of-00001-1.txt", name],
        "nothing temporary is left"
    );
}

pub fn a_run_that_fails_leaves_what_was_over(bench: &Bench) {
    let _entered = bench.runtime.enter();
    for closes in [false, true] {
        let bench = bench.fresh();
        let sink = FileSink::lines(bench.place(""), "job").spool(bench.folder.path());
        let mut writer = sink.open(0).unwrap();
        let record = |text: &str| vec![(0, text.to_owned())];
        for (minute, text) in [(0, "over"), (1, "open")] {
            let (records, stamps) = (record(text), Stamps::Same(stamp(minute)));
            let batch = WriteBatch {
                stamps: &stamps,
                ..WriteBatch::new(&records, minute as u64)
            };
            assert!(block_on(writer.write(&batch)).unwrap().is_empty());
        }
        block_on(writer.advance(at(59))).unwrap();
        assert!(bench.names("").is_empty());
        block_on(writer.advance(at(60))).unwrap();
        assert_eq!(bench.all_lines(), ["over"]);
        if closes {
            block_on(writer.close()).unwrap();
            assert_eq!(
                bench.names("").len(),
                2,
                "it is there under a temporary name"
            );
        }
        drop(writer);
        block_on(sink.finish(false)).unwrap();
        assert_eq!(bench.all_lines(), ["over"]);
        let left = bench.names("");
        assert_eq!(left.len(), 1, "{left:?}");
        let folders = std::fs::read_dir(bench.folder.path()).unwrap();
        let spooled = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
        assert_eq!(spooled.count(), 1, "the lock");
    }
}

pub fn two_files_of_one_name_are_an_error(bench: &Bench) {
    let pipeline = Pipeline::build(|p| {
        let sink = FileSink::lines(bench.place(""), "job")
            .shards(2)
            .named(|_| "same".to_owned());
        p.create("Lines", vec!["a".to_owned(), "b".to_owned()])
            .write_files("Write", sink);
    });
    let error = DirectRunner::new()
        .workers(1)
        .run(&pipeline.unwrap())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("the naming function gives") && error.contains("for two files"),
        "{error}"
    );
    assert!(bench.lines().is_empty());
}

pub fn dead_letters_come_back_to_the_byte(bench: &Bench) {
    let originals: Vec<bytes::Bytes> = [
        &b"x"[..],
        b"\xff\x00\n",
        "ö \"q\"\r\n".as_bytes(),
        b"",
        b"7",
    ]
    .map(bytes::Bytes::from_static)
    .to_vec();
    let parse =
        |bytes: &bytes::Bytes| -> Result<i64, Failure> { Ok(std::str::from_utf8(bytes)?.parse()?) };
    let pipeline = Pipeline::build(|p| {
        let numbers = p.create("Bytes", originals.clone()).try_map("Parse", parse);
        numbers
            .ok
            .check("Seven", |numbers| assert_eq!(numbers, [7]));
        let sink = FileSink::dead_letters(bench.place("errors"), "job");
        numbers.dead_letters.write_files("Keep", sink);
    });
    DirectRunner::new()
        .workers(2)
        .run(&pipeline.unwrap())
        .unwrap();
    let names = bench.names("");
    assert_eq!(names, ["errors/Parse/output-00000-of-00001.ndjson"]);
    let place = bench.place("errors/**/*.ndjson");
    let pipeline = Pipeline::build(|p| {
        let again = p.read_dead_letters("Again", ObjectSource::new(place));
        let again = again.drop_dead_letters("all are ours");
        again.check("AsTheyWere", move |bad| {
            let mut back: Vec<_> = bad.iter().map(|b| b.original.clone()).collect();
            back.sort();
            let mut expected = originals[..4].to_vec();
            expected.sort();
            assert_eq!(back, expected);
            assert!(
                bad.iter()
                    .all(|b| b.attempts == 1 && b.transform == "Parse" && !b.errors.is_empty())
            );
        });
        // They are fed in again after a mend that helps one of them.
        let mended = again.try_map("Mended", move |bad| match &bad.original[..] {
            b"x" => Ok(10),
            _ => parse(&bad.original),
        });
        mended.ok.check("Mend", |numbers| assert_eq!(numbers, [10]));
        mended.dead_letters.check("Twice", |bad| {
            assert_eq!(bad.len(), 3);
            assert!(bad.iter().all(|b| b.attempts == 2));
            assert!(bad.iter().any(|b| &b.original[..] == b"\xff\x00\n"));
        });
    });
    DirectRunner::new()
        .workers(2)
        .run(&pipeline.unwrap())
        .unwrap();
}
