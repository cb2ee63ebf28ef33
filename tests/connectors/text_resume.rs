//! Text files that are read on from where a snapshot was taken.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

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

/// Writes a file as if it had been there all the time.
fn put(path: &Path, content: &str, at: SystemTime) {
    fs::write(path, content).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(at).unwrap();
}

#[test]
fn a_file_that_has_changed_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one.txt", "two.txt"].map(|name| folder.path().join(name));
    let begun = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let [first, second] = ["a", "b"].map(|of| {
        let lines = (0..20_000).map(|n| format!("{of} {n:06}\n"));
        lines.collect::<String>()
    });
    let reset = || {
        put(&one, &first, begun);
        put(&two, &second, begun);
    };
    let text = Text::lines(folder.path().join("*.txt").display().to_string());
    let text = text.min_split_bytes(1 << 30);
    let split = || text.split(1).unwrap().remove(0);
    // In the middle of the first file, and of the second.
    for reads in [100, 250] {
        reset();
        let mut seen = Seen::default();
        let position = read(&text, split(), None, 100, reads, &mut seen);
        let go_on = || -> Result<Seen, String> {
            let part = TestPart::open(&text, split(), Some(position.clone()));
            let mut part = part.map_err(|error| error.to_string())?;
            let mut rest = Seen::default();
            loop {
                let read = block_on(part.read(1_000)).map_err(|error| error.to_string())?;
                rest.lines.extend(read.elements.into_iter().map(|e| e.0));
                if read.status == ReadStatus::Ended {
                    return Ok(rest);
                }
            }
        };
        assert_eq!(go_on().unwrap().lines.len(), 40_000 - 100 * reads);
        let (open, content) = if reads == 100 {
            (&one, &first)
        } else {
            (&two, &second)
        };
        let refused = |why: &str| {
            let error = go_on().err().unwrap_or_else(|| panic!("{reads}: {why}"));
            let file = open.display().to_string();
            assert!(error.contains(&file) && error.contains("is not that of the snapshot"));
            error
        };
        // Of the same length and time: what was read is something else.
        put(open, &content.replace('0', "1"), begun);
        assert!(refused("same size").contains("what was read of it last"));
        // Of the same length.
        put(open, content, begun + Duration::from_nanos(1_000));
        assert!(refused("same size, later").contains("at another time"));
        put(open, &content[..content.len() / 2], begun);
        assert!(refused("cut").contains("another length"));
        reset();
        assert!(go_on().is_ok());
    }
    // In the first file, and the two change places; or the second, which nobody has opened, is another.
    reset();
    let position = read(&text, split(), None, 100, 100, &mut Seen::default());
    put(&one, &second, begun);
    put(&two, &first, begun);
    let mut part = TestPart::open(&text, split(), Some(position.clone())).unwrap();
    let error = block_on(part.read(10)).err().unwrap().to_string();
    assert!(error.contains(one.to_str().unwrap()), "{error}");
    reset();
    put(&two, &second[1..], begun);
    let error = TestPart::open(&text, split(), Some(position))
        .err()
        .unwrap();
    assert!(error.to_string().contains(two.to_str().unwrap()), "{error}");
}

#[test]
fn a_file_of_another_part_that_has_changed_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["one.txt", "two.txt"] {
        fs::write(folder.path().join(name), "line\n".repeat(20_000)).unwrap();
    }
    let text = Text::lines(folder.path().join("*.txt").display().to_string());
    let text = text.min_split_bytes(1);
    let split = || text.split(2).unwrap().remove(0);
    let position = read(&text, split(), None, 10, 10, &mut Seen::default());
    assert!(TestPart::open(&text, split(), Some(position.clone())).is_ok());
    fs::write(folder.path().join("two.txt"), "LINE\n".repeat(20_000)).unwrap();
    let error = TestPart::open(&text, split(), Some(position))
        .err()
        .unwrap();
    assert!(error.to_string().contains("in another part"), "{error}");
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
