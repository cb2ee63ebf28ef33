//! The sample data gives the expected table, however it is read.

use std::io::Write;

use flate2::write::GzEncoder;

use crate::child::{EXPECTED, Ended, Place, SAMPLE, fed};

#[track_caller]
fn assert_expected(place: &Place, ended: &Ended) {
    assert_eq!(place.csv(), EXPECTED);
    assert_eq!(place.letters(), [] as [serde_json::Value; 0]);
    ended.assert_agrees(400);
    let counts = [
        ("records taken in", 1801),
        ("messages", 1401),
        ("order events", 400),
        ("dead letters", 0),
        ("duplicates dropped", 0),
        ("dropped as late", 0),
        ("orders without a partner", 0),
        ("conversations in the final table", 400),
    ];
    for (name, number) in counts {
        assert_eq!(ended.count(name), number, "{name}");
    }
    assert!(ended.stdout.contains("… and 392 more conversations"));
    assert!(ended.stdout.contains(place.output().to_str().unwrap()));
}

#[test]
fn streaming_and_batch_and_any_number_of_workers_give_the_expected_file() {
    let ways: [&[&str]; 7] = [
        &[],
        // As in Beam: one a core.
        &["--direct_num_workers", "0"],
        &["--direct_num_workers", "1"],
        &["--direct-num-workers", "3"],
        &["--streaming", "false"],
        &["--streaming=false", "--direct_num_workers=1"],
        &["--streaming=false", "--direct_num_workers=3"],
    ];
    for flags in ways {
        let place = Place::new();
        let ended = place.finish(flags);
        assert_expected(&place, &ended);
        assert_eq!(place.base_rows(), 1801);
    }
}

#[test]
fn result_files_stand_in_the_warehouse_by_default() {
    let place = Place::new();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_courier_chat"));
    // The folder is made, with the one above it.
    command
        .current_dir(place.path())
        .args(["--warehouse", "a/b"]);
    let ended = crate::child::Running::of(&mut command).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let read = |name| std::fs::read_to_string(place.path().join("a/b").join(name)).unwrap();
    assert_eq!(read("customer_courier_conversations.csv"), EXPECTED);
    assert_eq!(read("dead_letters.ndjson"), "");
}

#[test]
fn result_files_are_compressed_if_their_names_say_so() {
    let place = Place::new();
    let (output, letters) = (
        place.path().join("f.csv.gz"),
        place.path().join("d.ndjson.gz"),
    );
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_courier_chat"));
    command
        .arg("--warehouse")
        .arg(place.warehouse())
        .arg("--output")
        .arg(&output);
    command.arg("--dead_letter_output").arg(&letters);
    let ended = crate::child::Running::of(&mut command).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for (path, content) in [(output, EXPECTED), (letters, "")] {
        let file = std::fs::File::open(path).unwrap();
        let text = std::io::read_to_string(flate2::read::MultiGzDecoder::new(file)).unwrap();
        assert_eq!(text, content);
    }
}

#[test]
fn a_second_run_changes_nothing() {
    let place = Place::new();
    place.finish(&[]);
    let tables = place.tables();
    assert_eq!(tables.each_ref().map(Vec::len), [1401, 400, 400]);
    for flags in [&[][..], &["--streaming", "false"]] {
        let ended = place.finish(flags);
        assert_expected(&place, &ended);
        assert!(!ended.stdout.contains("filled by"), "{}", ended.stdout);
        assert!(place.tables() == tables, "{flags:?} changed the tables");
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn an_input_in_gzip_is_read_like_the_one_in_it() {
    let plain = Place::new();
    plain.finish(&[]);
    for way in ["--streaming=true", "--streaming=false"] {
        for name in ["in.json.gz", "in.json"] {
            let place = Place::new();
            let input = place.file(name, gzip(SAMPLE));
            assert_expected(&place, &place.finish(&["--input", &input, way]));
            assert!(place.tables() == plain.tables(), "{name}, {way}");
        }
        let place = Place::new();
        let (running, mut stdin) = fed(&place, &[way]);
        stdin.write_all(&gzip(SAMPLE)).unwrap();
        drop(stdin);
        assert_expected(&place, &running.end());
    }
}

#[test]
fn an_input_in_damaged_gzip_leaves_no_results() {
    let whole = gzip(SAMPLE);
    for (bytes, says) in [
        (&whole[..whole.len() / 2], "the gzip data ends too early"),
        (SAMPLE.as_bytes(), "it is no gzip file"),
    ] {
        for way in ["--streaming=true", "--streaming=false"] {
            let place = Place::new();
            let input = place.file("in.json.gz", bytes);
            let ended = place.run(&["--input", &input, way]);
            ended.assert_failed(1, &[&input, says]);
            place.assert_no_results();
        }
    }
}
