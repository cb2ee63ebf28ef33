//! Tests of splitting lines, against a splitter that is naive.

use std::io::Cursor;

use proptest::{collection::vec, prelude::*};

use super::*;

/// Gives at most so many bytes a read, and now and then an interruption.
struct Slow<'a> {
    bytes: &'a [u8],
    step: usize,
    reads: usize,
}

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.reads.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = self.step.min(buffer.len()).min(self.bytes.len());
        buffer[..length].copy_from_slice(&self.bytes[..length]);
        self.bytes = &self.bytes[length..];
        Ok(length)
    }
}

/// What a line should be: offset, bytes, full length.
type Expected = (u64, Vec<u8>, u64);

/// Splits as the documentation says, byte by byte.
fn naive(text: &[u8], limit: usize, strip_cr: bool) -> Vec<Expected> {
    let mut lines = Vec::new();
    let mut offset = 0;
    while offset < text.len() {
        let length = text[offset..].iter().position(|b| *b == b'\n');
        let mut line = &text[offset..offset + length.unwrap_or(text.len() - offset)];
        if strip_cr && length.is_some() {
            line = line.strip_suffix(b"\r").unwrap_or(line);
        }
        let mut is_mark = false;
        if offset == 0 && line.starts_with(BYTE_ORDER_MARK) {
            line = &line[3..];
            is_mark = line.is_empty() && length.is_none();
        }
        if !is_mark {
            lines.push((
                offset as u64,
                line[..line.len().min(limit)].to_vec(),
                line.len() as u64,
            ));
        }
        offset += length.unwrap_or(text.len()) + 1;
    }
    lines
}

fn drain<R: Read>(mut reader: LineReader<R>, max_lines: usize) -> Vec<Expected> {
    let mut lines = Vec::new();
    loop {
        let before = lines.len();
        let added = reader.next_batch(max_lines, &mut lines).unwrap();
        assert_eq!(lines.len() - before, added);
        assert!(added <= max_lines);
        if added == 0 {
            break;
        }
    }
    assert_eq!(
        reader.next_batch(max_lines, &mut lines).unwrap(),
        0,
        "the end stays the end"
    );
    lines
        .into_iter()
        .map(|l| (l.offset, l.bytes.to_vec(), l.full_length()))
        .collect()
}

fn texts(text: &[u8], options: LineOptions) -> Vec<String> {
    let lines = drain(LineReader::new(text, options), 100);
    lines
        .into_iter()
        .map(|(_, bytes, _)| String::from_utf8(bytes).unwrap())
        .collect()
}

#[test]
fn ends_of_lines() {
    let options = LineOptions::default();
    assert_eq!(texts(b"", options), [""; 0]);
    assert_eq!(texts(b"\n", options), [""]);
    assert_eq!(texts(b"a", options), ["a"]);
    assert_eq!(texts(b"a\n\nb\n", options), ["a", "", "b"]);
    assert_eq!(
        texts(b"a\r\n\r\nb\rc\nd\r", options),
        ["a", "", "b\rc", "d\r"]
    );
    assert_eq!(texts(b"a\r\n\r\n", options.strip_cr(false)), ["a\r", "\r"]);
    assert_eq!(
        texts(b"\xEF\xBB\xBFa\n\xEF\xBB\xBFb", options),
        ["a", "\u{feff}b"]
    );
    assert_eq!(texts(b"\xEF\xBB\xBF", options), [""; 0]);
    assert_eq!(texts(b"\xEF\xBB\xBF\n", options), [""]);
}

#[test]
fn what_was_taken_off_is_counted() {
    let mut reader = LineReader::new(&b"\xEF\xBB\xBFa\r\nb\nc\r\n"[..], LineOptions::default());
    assert!(!reader.skipped_bom());
    while reader.next_batch(1, &mut Vec::new()).unwrap() > 0 {}
    assert_eq!((reader.stripped_crs(), reader.skipped_bom()), (2, true));
}

#[test]
fn a_line_over_the_limit_is_cut_and_the_next_one_is_whole() {
    let options = LineOptions::default().max_line_bytes(4);
    let lines = drain(
        LineReader::new(&b"1234\n12345\r\n1234\r\nend45"[..], options),
        9,
    );
    let expected: [(u64, &[u8], u64); 4] = [
        (0, b"1234", 4),
        (5, b"1234", 5),
        (12, b"1234", 4),
        (18, b"end4", 5),
    ];
    assert_eq!(lines, expected.map(|(o, b, l)| (o, b.to_vec(), l)));
    let mut out = Vec::new();
    LineReader::new(&b"12345\n1"[..], options)
        .next_batch(9, &mut out)
        .unwrap();
    assert!(out[0].is_cut());
}

#[test]
fn a_mark_and_an_end_do_not_count_towards_the_limit() {
    let options = LineOptions::default().max_line_bytes(4);
    let text = b"\xEF\xBB\xBF1234\r\n5678\r\n";
    let slow = Slow {
        bytes: text,
        step: 1,
        reads: 0,
    };
    let lines = drain(LineReader::new(slow, options), 9);
    assert_eq!(lines, [(0, b"1234".to_vec(), 4), (9, b"5678".to_vec(), 4)]);
}

#[test]
fn an_endless_line_is_not_kept() {
    let limit = 1 << 20;
    let options = LineOptions::default().max_line_bytes(limit);
    let endless = io::repeat(b'x').take(200 << 20).chain(&b"\nlast"[..]);
    let mut reader = LineReader::new(endless, options);
    let mut out = Vec::new();
    let mut largest = 0;
    while reader.cut.is_none() {
        // What `next_batch` does, a step at a time.
        reader.fill().unwrap();
        reader.search();
        largest = largest.max(reader.buffer.len());
    }
    assert!(largest <= limit + 2 * options.block_bytes, "{largest}");
    while reader.next_batch(10, &mut out).unwrap() > 0 {
        assert!(reader.buffer.len() <= 2 * options.block_bytes);
    }
    assert_eq!(
        (out[0].bytes.len(), out[0].full_length()),
        (limit, 200 << 20)
    );
    assert_eq!(
        (&out[1].bytes[..], out[1].offset),
        (&b"last"[..], (200 << 20) + 1)
    );
}

#[test]
fn lines_share_the_block_that_was_read() {
    let mut out = Vec::new();
    let text = b"first\nsecond\n";
    LineReader::new(&text[..], LineOptions::default())
        .next_batch(9, &mut out)
        .unwrap();
    let distance = out[1].bytes.as_ptr() as usize - out[0].bytes.as_ptr() as usize;
    assert_eq!(distance, "first\n".len());
}

#[test]
fn a_batch_does_not_wait_for_a_second_line_and_survives_errors() {
    /// Gives each part by a read of its own.
    struct Parts(Vec<io::Result<&'static [u8]>>);
    impl Read for Parts {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let part = if self.0.is_empty() {
                &b""[..]
            } else {
                self.0.remove(0)?
            };
            buffer[..part.len()].copy_from_slice(part);
            Ok(part.len())
        }
    }
    let error = || Err(io::ErrorKind::WouldBlock.into());
    let parts = vec![
        Ok(&b"one\ntw"[..]),
        error(),
        Ok(b"o\n123"),
        Ok(b"4567890"),
        error(),
        Ok(b"1\nend"),
    ];
    let mut reader = LineReader::new(Parts(parts), LineOptions::default().max_line_bytes(5));
    let mut out = Vec::new();
    assert_eq!(reader.next_batch(9, &mut out).unwrap(), 1);
    assert!(reader.next_batch(9, &mut out).is_err());
    assert_eq!(reader.next_batch(9, &mut out).unwrap(), 1);
    assert!(reader.next_batch(9, &mut out).is_err());
    while reader.next_batch(9, &mut out).unwrap() > 0 {}
    let lines: Vec<(&[u8], u64)> = out
        .iter()
        .map(|l| (&l.bytes[..], l.full_length()))
        .collect();
    assert_eq!(
        lines,
        [(&b"one"[..], 3), (b"two", 3), (b"12345", 11), (b"end", 3)]
    );
}

#[test]
fn ranges_meet_without_gaps() {
    let ranges = FileRange::split(10, 3, 1);
    let bounds: Vec<(u64, u64)> = ranges.iter().map(|r| (r.start, r.end)).collect();
    assert_eq!(bounds, [(0, 3), (3, 6), (6, u64::MAX)]);
    assert_eq!(FileRange::split(10, 3, 6), [FileRange::ALL]);
    assert_eq!(FileRange::split(0, 3, 1), [FileRange::ALL]);
    assert_eq!(FileRange::split(u64::MAX, 2, 1)[1].start, u64::MAX / 2);
}

/// Bytes in which ends of lines, carriage returns and marks are frequent.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"\n".to_vec()),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(BYTE_ORDER_MARK.to_vec()),
        4 => vec(b'a'..b'd', 0..12),
        1 => vec(b'a'..b'd', 30..60),
    ];
    vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn a_stream_gives_the_lines_of_the_naive_splitter(
        text in text(),
        step in 1..40_usize,
        block in 16..64_usize,
        limit in prop_oneof![0..50_usize, Just(1000)],
        strip_cr in any::<bool>(),
        max_lines in 1..5_usize,
    ) {
        let options = LineOptions::default().block_bytes(block).max_line_bytes(limit).strip_cr(strip_cr);
        let slow = Slow { bytes: &text, step, reads: 0 };
        prop_assert_eq!(drain(LineReader::new(slow, options), max_lines), naive(&text, limit, strip_cr));
    }

    #[test]
    fn any_split_into_ranges_gives_each_line_once(
        text in text(),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
        block in 16..64_usize,
        limit in prop_oneof![0..50_usize, Just(1000)],
    ) {
        let mut bounds: Vec<u64> = cuts.iter().map(|cut| cut.index(text.len() + 2) as u64).collect();
        bounds.extend([0, u64::MAX]);
        bounds.sort();
        let options = LineOptions::default().block_bytes(block).max_line_bytes(limit);
        let mut all = Vec::new();
        for bound in bounds.windows(2) {
            let range = FileRange { start: bound[0], end: bound[1] };
            let lines = drain(LineReader::in_range(Cursor::new(&text), range, options).unwrap(), 3);
            prop_assert!(lines.iter().all(|(offset, ..)| range.start <= *offset && *offset < range.end));
            all.extend(lines);
        }
        prop_assert_eq!(all, naive(&text, limit, true));
    }
}
