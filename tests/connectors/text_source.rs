//! Lines of real files through whole pipelines.

use std::fs;

use bytes::Bytes;
use pipeline_core::files::Compression;
use pipeline_core::prelude::*;
use proptest::prelude::*;

use super::text_files::{gzip, keep, pattern, read_lines, runners};

/// What a reader with all of the file in memory would make of it: the lines within the limit, the
/// beginnings and lengths of the others, and the carriage returns taken off.
fn naive(text: &[u8], limit: usize) -> (Vec<Bytes>, Vec<(Bytes, usize)>, u64) {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let (mut ok, mut cut, mut crs) = (Vec::new(), Vec::new(), 0);
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let last = lines.pop().unwrap();
    let ended = lines.into_iter().map(|line| match line {
        [line @ .., b'\r'] => (line, 1),
        line => (line, 0),
    });
    for (line, cr) in ended.chain((!last.is_empty()).then_some((last, 0))) {
        crs += cr;
        if line.len() > limit {
            cut.push((Bytes::copy_from_slice(&line[..limit]), line.len()));
        } else {
            ok.push(Bytes::copy_from_slice(line));
        }
    }
    (ok, cut, crs)
}

fn file() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        5 => Just(b"\n".to_vec()),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\xEF\xBB\xBF".to_vec()),
        1 => Just(b"\xFF\x00\xC3".to_vec()),
        5 => prop::collection::vec(b'a'..b'f', 0..12),
        1 => prop::collection::vec(b'a'..b'f', 20..60),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn every_line_is_read_once_whatever_the_splits(
        files in prop::collection::vec((file(), any::<bool>()), 1..5),
        min_split_bytes in prop_oneof![Just(1), Just(17), Just(1 << 20)],
        workers in 1..4_usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (mut ok, mut cut, mut crs) = (Vec::new(), Vec::new(), 0);
        for (n, (text, packed)) in files.iter().enumerate() {
            let packed = *packed && !text.is_empty();
            let (name, bytes) = if packed { ("gz", gzip(text)) } else { ("txt", text.clone()) };
            fs::write(folder.path().join(format!("{n}.{name}")), bytes).unwrap();
            let expected = naive(text, 20);
            ok.extend(expected.0);
            cut.extend(expected.1);
            crs += expected.2;
        }
        ok.sort();
        let source = Text::lines(pattern(folder.path(), "*")).max_line_bytes(20);
        let source = source.min_split_bytes(min_split_bytes);
        let read = read_lines(&source, &DirectRunner::new().workers(workers)).unwrap();
        prop_assert_eq!(read.ok, ok);
        let mut got: Vec<(Bytes, bool)> = Vec::new();
        for record in &read.dead_letters {
            let length = cut.iter().any(|(beginning, length)| {
                *beginning == record.original
                    && record.reason().contains(&format!("has {length} bytes, the limit is 20"))
            });
            got.push((record.original.clone(), length));
        }
        got.sort();
        let mut expected: Vec<_> = cut.into_iter().map(|(line, _)| (line, true)).collect();
        expected.sort();
        prop_assert_eq!(got, expected);
        prop_assert_eq!(read.result.metrics().get("Lines/Read", "stripped_crs"), crs);
    }
}

#[test]
fn a_file_is_read_alike_in_every_mode() {
    let folder = tempfile::tempdir().unwrap();
    let lines: Vec<String> = (0..3_000).map(|n| format!("line {n:04}")).collect();
    fs::write(folder.path().join("plain"), lines.join("\n")).unwrap();
    let packed = gzip(lines.join("\r\n").as_bytes());
    fs::write(folder.path().join("packed"), packed).unwrap();
    for name in ["plain", "packed"] {
        for (mode, runner) in runners() {
            let source = Text::lines(pattern(folder.path(), name)).min_split_bytes(100);
            let read = read_lines(&source, &runner).unwrap();
            assert!(read.ok == lines, "{name}, {mode}: {} lines", read.ok.len());
            assert!(read.dead_letters.is_empty());
        }
    }
}

#[test]
fn lines_have_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let text = b"\xEF\xBB\xBFone\r\n\ntwo is long\nend";
    fs::write(folder.path().join("a.txt"), text).unwrap();
    let mut kept = None;
    let pipeline = Pipeline::build(|p| {
        let source = Text::lines(pattern(folder.path(), "a.txt")).max_line_bytes(5);
        kept = Some(keep(&p.read("Read", source), "Lines"));
    })
    .unwrap();
    DirectRunner::new().workers(1).run(&pipeline).unwrap();
    let lines = kept.unwrap();
    let lines = lines.lock().unwrap();
    let got: Vec<(u64, &[u8], u64)> = lines
        .iter()
        .map(|line| (line.offset, &line.bytes[..], line.full_length()))
        .collect();
    let expected: [(u64, &[u8], u64); 4] = [
        (0, b"one", 3),
        (8, b"", 0),
        (9, b"two i", 11),
        (21, b"end", 3),
    ];
    assert_eq!(got, expected);
}

#[test]
fn what_is_taken_off_or_skipped_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), b"\xEF\xBB\xBFa\r\n \t\r\n\r\nb").unwrap();
    fs::write(folder.path().join("b"), b"\xEF\xBB\xBF\n\nc\n").unwrap();
    let source = Text::lines(pattern(folder.path(), "*"));
    for (mode, runner) in runners() {
        let all = read_lines(&source, &runner).unwrap();
        assert_eq!(all.ok, ["", "", "", " \t", "a", "b", "c"], "{mode}");
        let read = read_lines(&source.clone().skip_blank_lines(), &runner).unwrap();
        assert_eq!(read.ok, ["a", "b", "c"], "{mode}");
        let count = |name| read.result.metrics().get("Lines/Read", name);
        let counts = ["stripped_crs", "boms", "blank_lines"].map(count);
        assert_eq!(counts, [3, 2, 4], "{mode}");
        assert_eq!(all.result.metrics().get("Lines/Read", "blank_lines"), 0);
    }
}

/// With the limit that nobody has set.
#[test]
fn a_line_of_twelve_megabytes_is_a_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = b"before\n".to_vec();
    text.extend(std::iter::repeat_n(b'x', 12_000_000));
    text.extend_from_slice(b"\nafter\n");
    fs::write(folder.path().join("a"), text).unwrap();
    let source = Text::lines(pattern(folder.path(), "a"));
    let read = read_lines(&source, &DirectRunner::new().workers(2)).unwrap();
    assert_eq!(read.ok, ["after", "before"]);
    let [record] = &read.dead_letters[..] else {
        panic!("{} dead letters", read.dead_letters.len());
    };
    assert_eq!(record.original.len(), 10_000_000);
    assert_eq!(record.transform, "Lines/Whole");
    let reason = format!(
        "the line at byte 7 of {} has 12000000 bytes, the limit is 10000000;",
        folder.path().join("a").display()
    );
    assert!(record.reason().starts_with(&reason), "{}", record.reason());
}

/// Whole, in ranges, packed: whichever way a file is read.
#[test]
fn a_line_that_is_too_long_is_found_in_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let lines = format!("short\n{}\n", "x".repeat(80)).repeat(1_000);
    let mut places = Vec::new();
    for (name, content) in [
        ("plain", lines.clone().into_bytes()),
        ("packed.gz", gzip(lines.as_bytes())),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let place = |n| format!("byte {} of {} has 80", n * 87 + 6, path.display());
        places.extend((0..1_000).map(place));
    }
    places.sort();
    let source = Text::lines(pattern(folder.path(), "*")).max_line_bytes(40);
    for source in [source.clone(), source.min_split_bytes(1)] {
        for (mode, runner) in runners() {
            let read = read_lines(&source, &runner).unwrap();
            let reasons = read.dead_letters.iter().map(|record| record.reason());
            let found = reasons.map(|reason| {
                let place = reason.strip_prefix("the line at ").unwrap();
                place.split_once(" bytes, ").unwrap().0.to_owned()
            });
            let mut found: Vec<String> = found.collect();
            found.sort();
            assert_eq!(found, places, "{mode}");
        }
    }
}

#[test]
fn thousands_of_files_match_one_pattern() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for n in 0..2_000 {
        let inner = folder.path().join(format!("day={:02}", n % 30));
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join(format!("{n}.txt")), format!("{n:05}\n")).unwrap();
        if n < 30 {
            fs::write(inner.join("other.csv"), "no\n").unwrap();
        }
        expected.push(format!("{n:05}"));
    }
    let source = Text::lines(pattern(folder.path(), "**/*.txt"));
    for workers in [1, 3] {
        let read = read_lines(&source, &DirectRunner::new().workers(workers)).unwrap();
        assert!(read.ok == expected, "{} lines", read.ok.len());
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("plain.gz"), "no gzip").unwrap();
    fs::write(
        folder.path().join("short"),
        &gzip(b"some text, and more")[..20],
    )
    .unwrap();
    let cases = [
        ("gone.txt", "No such file"),
        ("*.json", "no file has such a name"),
        ("", "it is a folder"),
        ("plain.gz", "it is no gzip file"),
        ("short", "the gzip data ends too early"),
    ];
    for (name, reason) in cases {
        let source = Text::lines(pattern(folder.path(), name));
        for workers in [1, 3] {
            let runner = DirectRunner::new().workers(workers);
            let error = read_lines(&source, &runner).err().unwrap().to_string();
            let path = folder.path().join(name).display().to_string();
            for part in ["transform 'Lines/Read'", &path, reason] {
                assert!(error.contains(part), "{error}");
            }
        }
    }
    fs::write(folder.path().join("empty"), "").unwrap();
    let empty = Text::lines(pattern(folder.path(), "empty"));
    assert!(
        read_lines(&empty, &DirectRunner::new())
            .unwrap()
            .ok
            .is_empty()
    );
}

#[test]
fn compression_is_as_told() {
    let folder = tempfile::tempdir().unwrap();
    let packed = gzip(b"text\n");
    fs::write(folder.path().join("a"), &packed).unwrap();
    let source = Text::lines(pattern(folder.path(), "a"));
    let runner = DirectRunner::new().workers(1);
    let raw = source.clone().compression(Compression::Uncompressed);
    let mut expected = naive(&packed, 99).0;
    expected.sort();
    assert_eq!(read_lines(&raw, &runner).unwrap().ok, expected);
    let told = source.compression(Compression::Gzip);
    assert_eq!(read_lines(&told, &runner).unwrap().ok, ["text"]);
}
