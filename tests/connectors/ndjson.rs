//! Newline-delimited JSON in and out, and dead letters as a file.

use std::collections::BTreeMap;
use std::fs;

use pipeline_core::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::text_files::{all_lines, gzip, keep, names, runners, text};

#[derive(Clone, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
struct Reading {
    id: u64,
    name: Option<String>,
    #[serde(default)]
    values: Vec<f64>,
}

fn readings() -> Vec<Reading> {
    let reading = |id| Reading {
        id,
        name: (id % 3 > 0).then(|| format!("line\nbreak \"{id}\" ü")),
        values: vec![id as f64 / 8.0; (id % 4) as usize],
    };
    (0..2_500).map(reading).collect()
}

#[test]
fn records_come_back_as_they_were() {
    for (mode, runner) in runners() {
        for name in ["r.ndjson", "r.ndjson.gz"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            let pipeline = Pipeline::build(|p| {
                let sink = TextSink::json(&path).without_sharding();
                p.create("Readings", readings()).write("Write", sink);
            });
            runner.run(&pipeline.unwrap()).unwrap();
            // By another road: each line is a value, and equal to what serde makes of the record.
            let values = text(&path);
            let values = values
                .lines()
                .map(|l| serde_json::from_str::<Value>(l).unwrap());
            let mut values: Vec<Value> = values.collect();
            values.sort_by_key(|value| value["id"].as_u64());
            assert!(Value::from(values) == json!(readings()));

            let mut kept = None;
            let pipeline = Pipeline::build(|p| {
                let source = Text::lines(path.to_str().unwrap()).min_split_bytes(500);
                let read = p.read_json::<Reading>("Read", source);
                kept = Some(keep(&read.ok, "Ok"));
                read.dead_letters
                    .check("None", |none| assert!(none.is_empty()));
            });
            runner.run(&pipeline.unwrap()).unwrap();
            let kept = kept.unwrap();
            let mut back = std::mem::take(&mut *kept.lock().unwrap());
            back.sort_by_key(|reading| reading.id);
            assert!(back == readings(), "{mode}, {name}");
        }
    }
}

/// Input with every kind of dirt, and the dead letters that it makes, as (original, reason).
fn dirty() -> (Vec<u8>, Vec<(Value, &'static str)>) {
    let mut input = b"\xEF\xBB\xBF{\"id\": 1, \"more\": [{}]}\r\n".to_vec();
    let lines: [(&[u8], Value, &str); 6] = [
        (
            b"{\"id\": \"two\"}",
            json!("{\"id\": \"two\"}"),
            "invalid type: string \"two\"",
        ),
        (b"{\"id\": 3", json!("{\"id\": 3"), "EOF while parsing"),
        (
            b"{\"id\": 4} x",
            json!("{\"id\": 4} x"),
            "trailing characters",
        ),
        (
            b"{\"id\": 5, \"id\": 5}",
            json!("{\"id\": 5, \"id\": 5}"),
            "duplicate field `id`",
        ),
        (b"\xFF{}", json!({ "base64": "/3t9" }), "expected value"),
        (
            &[b'7'; 300],
            json!("7".repeat(100)),
            "has 300 bytes, the limit is 100",
        ),
    ];
    let mut refused = Vec::new();
    for (line, original, reason) in lines {
        input.extend_from_slice(line);
        input.extend_from_slice(b"\n \r\n");
        refused.push((original, reason));
    }
    input.extend_from_slice(b"{\"id\": 8}");
    (input, refused)
}

#[test]
fn what_is_no_record_is_in_the_dead_letter_file() {
    let (input, refused) = dirty();
    for (mode, runner) in runners() {
        for packed in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("in");
            fs::write(&path, if packed { gzip(&input) } else { input.clone() }).unwrap();
            let dead = folder.path().join("dead.ndjson");
            let mut kept = None;
            let pipeline = Pipeline::build(|p| {
                let source = Text::lines(path.to_str().unwrap()).max_line_bytes(100);
                let read = p.read_json::<Reading>("Read", source.min_split_bytes(40));
                kept = Some(keep(&read.ok, "Ok"));
                read.dead_letters
                    .write("DeadLetters", TextSink::dead_letters(&dead));
            });
            let started = chrono::Utc::now();
            let result = runner.run(&pipeline.unwrap()).unwrap();
            let mut ids: Vec<u64> = kept.unwrap().lock().unwrap().iter().map(|r| r.id).collect();
            ids.sort();
            assert_eq!(ids, [1, 8], "{mode}");
            assert_eq!(result.metrics().get("Read/Read", "blank_lines"), 6);

            let mut found = Vec::new();
            for line in text(&dead).lines() {
                let record: Value = serde_json::from_str(line).unwrap();
                let time = record["ingestion_time"].as_str().unwrap();
                let time = chrono::DateTime::parse_from_rfc3339(time).unwrap();
                let since = time.to_utc() - started;
                assert!((-1..60).contains(&since.num_seconds()), "{line}");
                assert_eq!(record["event_time"], Value::Null);
                assert_eq!(record["transform"], "Read/Parse");
                assert_eq!(record["errors"][0], record["reason"]);
                let original = match record.get("original_base64") {
                    Some(base64) => json!({ "base64": base64 }),
                    None => record["original"].clone(),
                };
                found.push((original, record["reason"].as_str().unwrap().to_owned()));
            }
            assert_eq!(found.len(), refused.len(), "{mode}");
            for (original, reason) in &refused {
                let found = found.iter().find(|(o, _)| o == original);
                let found = found.unwrap_or_else(|| panic!("{original} is missing"));
                assert!(found.1.contains(reason), "{} is not {reason}", found.1);
            }
        }
    }
}

#[test]
fn a_dead_letter_has_its_event_time_and_its_causes() {
    let folder = tempfile::tempdir().unwrap();
    let dead = folder.path().join("dead.ndjson");
    let pipeline = Pipeline::build(|p| {
        let time = Timestamp::from_millis(1_706_781_656_500);
        let out = p
            .create_timestamped("Orders", vec![((7_u64, 8_u64), time)])
            .try_map("Refuse", |_| {
                let inner = std::io::Error::other("the disk");
                Err::<u64, _>(Error::io("reading prices", inner).into())
            });
        out.dead_letters
            .write("Write", TextSink::dead_letters(&dead));
    });
    DirectRunner::new()
        .workers(2)
        .run(&pipeline.unwrap())
        .unwrap();
    let mut record: Value = serde_json::from_str(&text(&dead)).unwrap();
    record.as_object_mut().unwrap().remove("ingestion_time");
    let expected = json!({
        "reason": "reading prices: the disk",
        "errors": ["reading prices: the disk", "the disk"],
        "transform": "Refuse",
        "event_time": "2024-02-01T10:00:56.500Z",
        "attempts": 1,
        "original": "[7,8]",
    });
    assert_eq!(record, expected);
    assert_eq!(names(folder.path()), ["dead.ndjson"]);
}

/// JSON has no keys but text: such a record is refused, the others are written.
#[test]
fn a_record_that_json_cannot_show_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("maps");
    let maps: Vec<BTreeMap<(u8, u8), u8>> = vec![
        BTreeMap::new(),
        BTreeMap::from([((1, 2), 3)]),
        BTreeMap::new(),
    ];
    let pipeline = Pipeline::build(|p| {
        let written = p
            .create("Maps", maps.clone())
            .write("Write", TextSink::json(&path));
        written.refused.check("One", |refused| {
            assert_eq!(refused[0].reason(), "key must be a string");
            assert_eq!(refused.len(), 1);
        });
    });
    DirectRunner::new()
        .workers(2)
        .run(&pipeline.unwrap())
        .unwrap();
    assert_eq!(all_lines(folder.path()), ["{}", "{}"]);
}
