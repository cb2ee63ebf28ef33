//! Text files that are read on from where a snapshot was taken.

use std::fs;
use std::path::Path;

use pipeline_core::files::Line;
use pipeline_core::prelude::*;
use pipeline_core::source::{Position, Resume, TextSplit};
use pipeline_core::testing::{TestPart, TestStream};
use pollster::block_on;

use super::text_files::gzip;

const COUNTERS: [&str; 3] = ["stripped_crs", "boms", "blank_lines"];

/// What was read of a part, and what was counted.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    lines: Vec<Line>,
    counts: [u64; 3],
}

/// Reads on from `position` in reads of `room`, so many of them at most.
fn read(
    text: &Text,
    split: TextSplit,
    position: Option<Position>,
    room: usize,
    reads: usize,
    seen: &mut Seen,
) -> Position {
    let mut part = TestPart::open(text, split, position).unwrap();
    for _ in 0..reads {
        let read = block_on(part.read(room)).unwrap();
        seen.lines.extend(read.elements.into_iter().map(|e| e.0));
        if read.status == ReadStatus::Ended {
            break;
        }
    }
    let position = part.position().unwrap();
    for (count, name) in seen.counts.iter_mut().zip(COUNTERS) {
        *count += part.counter(name);
    }
    position
}

/// Breaks off everywhere, and reads on.
fn check(name: &str, text: &Text, desired: usize) {
    let splits = text.split(desired).unwrap().len();
    for number in 0..splits {
        let split = || text.split(desired).unwrap().remove(number);
        let mut whole = Seen::default();
        let _ = read(text, split(), None, 7, usize::MAX, &mut whole);
        for room in [1, 3] {
            for reads in 0..whole.lines.len().div_ceil(room) + 2 {
                let mut seen = Seen::default();
                let position = read(text, split(), None, room, reads, &mut seen);
                // A life without a read, one with one, and one to the end.
                let position = read(text, split(), Some(position), 1, 0, &mut seen);
                let position = read(text, split(), Some(position), 2, 1, &mut seen);
                let _ = read(text, split(), Some(position), 5, usize::MAX, &mut seen);
                assert_eq!(
                    seen, whole,
                    "{name}: part {number}, {reads} reads of {room}"
                );
            }
        }
    }
}

/// Writes the files of a test, each with what lines can have: a mark, both ends, none, blanks, too many bytes.
fn write(folder: &Path) {
    let lines = |n: usize| match n % 6 {
        0 => "short\n".to_owned(),
        1 => "with a return\r\n".to_owned(),
        2 => "\n".to_owned(),
        3 => format!("{}\r\n", "long ".repeat(10)),
        4 => " \t\r\n".to_owned(),
        _ => format!("number {n}\n"),
    };
    let body: String = (0..20).map(lines).collect();
    fs::write(folder.join("a.txt"), format!("\u{feff}{body}last")).unwrap();
    fs::write(folder.join("b.txt"), "").unwrap();
    // Long enough to be shared out.
    let padded = body.replace("number", &"number ".repeat(100));
    fs::write(folder.join("c.txt"), padded.repeat(8)).unwrap();
    fs::write(
        folder.join("d.txt.gz"),
        gzip(format!("\u{feff}{body}last").as_bytes()),
    )
    .unwrap();
}

#[test]
fn every_line_is_read_once_wherever_it_breaks_off() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let text = |name: &str| Text::lines(folder.path().join(name).display().to_string());
    for name in ["a.txt", "b.txt", "c.txt", "d.txt.gz", "*"] {
        check(name, &text(name), 1);
        let shared = text("c.txt").min_split_bytes(50).split(4).unwrap();
        assert!(shared.len() > 2, "{}", shared.len());
        let small = text(name).min_split_bytes(50).max_line_bytes(12);
        check(name, &small.skip_blank_lines(), 4);
    }
}

#[test]
fn other_files_than_the_snapshots_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let text = |name: &str| Text::lines(folder.path().join(name).display().to_string());
    assert_eq!(text("*").resume(), Resume::Position);
    assert_eq!(text("not there").resume(), Resume::Position);
    assert_eq!(Text::lines("-").resume(), Resume::Never);
    assert_eq!(Text::lines("/dev/zero").resume(), Resume::Never);
    let text = text("c.txt").min_split_bytes(1);
    let mut seen = Seen::default();
    let split = |n| text.split(2).unwrap().remove(n);
    let position = read(&text, split(1), None, 1, 3, &mut seen);
    fs::write(folder.path().join("c.txt"), "x\n".repeat(30_000)).unwrap();
    let refused = TestPart::open(&text, split(1), Some(position)).err();
    let error = refused.unwrap().to_string();
    assert!(error.contains("not those of the snapshot"), "{error}");
    let strange = TestPart::open(&text, split(0), Some(Position::of(&"?").unwrap()));
    let error = strange.err().unwrap().to_string();
    assert!(error.contains("does not fit the program"), "{error}");
}

#[test]
fn a_stream_under_control_goes_on_behind_its_step() {
    let at = Timestamp::from_millis;
    let stream = TestStream::new()
        .element(1, at(1))
        .watermark(at(10))
        .elements([(2, at(2)), (3, at(3))])
        .watermark(at(5));
    assert_eq!(stream.resume(), Resume::Position);
    let mut position = None;
    let mut seen = Vec::new();
    for watermark in [Timestamp::MIN, at(10), at(10), at(10)] {
        let mut part = TestPart::open(&stream, (), position.take()).unwrap();
        let read = block_on(part.read(1)).unwrap();
        seen.extend(read.elements.into_iter().map(|e| e.0));
        assert_eq!(
            (part.watermark(), read.status),
            (watermark, ReadStatus::More)
        );
        position = Some(part.position().unwrap());
    }
    assert_eq!(seen, [1, 2, 3]);
    let mut part = TestPart::open(&stream, (), position).unwrap();
    assert_eq!(part.watermark(), at(10));
    assert_eq!(block_on(part.read(1)).unwrap().status, ReadStatus::Ended);
}
