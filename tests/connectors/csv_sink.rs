//! Comma-separated values out of whole pipelines.

use std::path::Path;

use pipeline_core::prelude::*;
use serde::{Deserialize, Serialize};

use super::text_files::{names, runners, text};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    id: u32,
    #[serde(rename = "City name")]
    city: String,
    share: Option<f64>,
    open: bool,
}

fn row(id: u32, city: &str, share: Option<f64>) -> Row {
    Row {
        id,
        city: city.into(),
        share,
        open: id.is_multiple_of(2),
    }
}

fn write<T: Element>(runner: &DirectRunner, rows: Vec<T>, sink: TextSink<T>) -> Vec<BadRecord> {
    let mut kept = None;
    let pipeline = Pipeline::build(|p| {
        let written = p.create("Rows", rows).write("Write", sink);
        kept = Some(super::text_files::keep(&written.refused, "Refused"));
    });
    runner.run(&pipeline.unwrap()).unwrap();
    let kept = kept.unwrap();
    std::mem::take(&mut *kept.lock().unwrap())
}

/// The header and the records, by the other half of the crate.
fn read(path: &Path) -> (String, Vec<Row>) {
    let text = text(path);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader
        .headers()
        .unwrap()
        .iter()
        .collect::<Vec<_>>()
        .join("|");
    let mut rows: Vec<Row> = reader.deserialize().map(Result::unwrap).collect();
    rows.sort_by_key(|row| row.id);
    (header, rows)
}

#[test]
fn the_text_is_that_of_the_standard() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let rows = vec![
        row(0, "Izmir", Some(0.5)),
        row(1, "Berlin, \"Mitte\"", None),
        row(2, "two\nlines", Some(-1e9)),
        row(3, "", Some(1.0)),
    ];
    let runner = DirectRunner::new().workers(1);
    let refused = write(&runner, rows, TextSink::csv(&path).without_sharding());
    assert!(refused.is_empty());
    let expected = "id,City name,share,open\n0,Izmir,0.5,true\n1,\"Berlin, \"\"Mitte\"\"\",,false\n\
                    2,\"two\nlines\",-1000000000.0,true\n3,,1.0,false\n";
    assert_eq!(text(&path), expected);
}

#[test]
fn a_file_has_one_header_whoever_wrote_it() {
    let rows: Vec<Row> = (0..3_000)
        .map(|id| {
            row(
                id,
                "a, \"b\"\r\nc",
                (id % 7 > 0).then_some(f64::from(id) / 8.0),
            )
        })
        .collect();
    for (mode, runner) in runners() {
        for name in ["a.csv", "a.csv.gz"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            write(
                &runner,
                rows.clone(),
                TextSink::csv(&path).without_sharding(),
            );
            let (header, back) = read(&path);
            assert_eq!(header, "id|City name|share|open");
            assert!(back == rows, "{mode}, {name}: {} rows", back.len());
        }
    }
}

#[test]
fn every_shard_has_a_header_even_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let runner = DirectRunner::new().workers(3);
    let sink = TextSink::csv(folder.path().join("a")).suffix(".csv");
    write(&runner, vec![row(5, "x", None)], sink);
    let shards = names(folder.path());
    assert_eq!(shards.len(), 3);
    let mut rows = Vec::new();
    for shard in shards {
        let (header, more) = read(&folder.path().join(shard));
        assert_eq!(header, "id|City name|share|open");
        rows.extend(more);
    }
    assert_eq!(rows, [row(5, "x", None)]);
    let empty = folder.path().join("empty");
    write(
        &runner,
        vec![],
        TextSink::<Row>::csv(&empty).without_sharding(),
    );
    assert_eq!(text(&empty), "id,City name,share,open\n");
    let bare = folder.path().join("bare");
    write(
        &runner,
        vec![],
        TextSink::<(u8, u8)>::csv(&bare).without_sharding(),
    );
    assert_eq!(text(&bare), "");
}

#[test]
fn a_record_with_another_number_of_fields_is_refused() {
    let lengths = [2, 3, 2, 1, 2, 3, 0, 2];
    let rows: Vec<Vec<String>> = lengths.map(|n| vec!["f".to_string(); n]).to_vec();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let runner = DirectRunner::new().workers(1);
    let refused = write(&runner, rows, TextSink::csv(&path).without_sharding());
    assert_eq!(text(&path), "f,f\n".repeat(4));
    assert_eq!(refused.len(), 4);
    let reason = refused[0].reason();
    assert!(reason.contains("found record with 3 fields"), "{reason}");
}

#[test]
fn a_record_with_a_map_in_it_is_refused() {
    type Nested = (u8, std::collections::BTreeMap<u8, u8>);
    let rows: Vec<Nested> = vec![(1, [(1, 2)].into())];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let runner = DirectRunner::new().workers(1);
    let refused = write(&runner, rows, TextSink::csv(&path).without_sharding());
    assert_eq!(text(&path), "");
    assert!(
        refused[0].reason().contains("maps"),
        "{}",
        refused[0].reason()
    );
    assert_eq!(refused[0].original, "[1,{\"1\":2}]");
}
