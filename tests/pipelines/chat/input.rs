//! Compares the reader with a plain split of the whole input, at every buffer size, and looks at the limits.

use std::io::{self, BufReader, ErrorKind, Read};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use twox_hash::XxHash64;

use pipeline_examples::courier_chat::input::*;

fn read(input: &[u8], buffer: usize) -> (Vec<(String, Vec<u8>)>, LineCounts) {
    let mut reader = LineReader::new(BufReader::with_capacity(buffer, input));
    let mut lines = Vec::new();
    while let Some(line) = reader.next_line().unwrap() {
        let Line::Record { id, bytes } = line else {
            panic!("{line:?}")
        };
        lines.push((id.to_string(), bytes.to_vec()));
    }
    (lines, reader.counts())
}

/// Splits the whole input, and hashes each prefix of it anew.
fn split(input: &[u8]) -> (Vec<(String, Vec<u8>)>, LineCounts) {
    let mut raw: Vec<&[u8]> = input.split(|&byte| byte == b'\n').collect();
    if raw.last() == Some(&&b""[..]) {
        raw.pop();
    }
    let (mut lines, mut counts, mut end) = (Vec::new(), LineCounts::default(), 0);
    for (index, raw) in raw.into_iter().enumerate() {
        end += raw.len();
        let id = format!(
            "{:012}-{:016x}",
            index + 1,
            XxHash64::oneshot(0, &input[..end])
        );
        end += 1;
        counts.lines += 1;
        let mut line = raw;
        if index == 0 && line.starts_with(&[0xEF, 0xBB, 0xBF]) {
            counts.byte_order_marks += 1;
            line = &line[3..];
        }
        if line.last() == Some(&b'\r') {
            counts.carriage_returns += 1;
            line = &line[..line.len() - 1];
        }
        if line.iter().all(|byte| b" \t\r".contains(byte)) {
            counts.blank += 1;
        } else {
            counts.records += 1;
            lines.push((id, line.to_vec()));
        }
    }
    (lines, counts)
}

proptest! {
    #[test]
    fn equals_a_plain_split(
        parts in vec(select(vec!["\n", "\r", "\u{FEFF}", " ", "a", "long text", "é"]), 0..40),
        buffer in 1..30_usize,
    ) {
        let input = parts.concat();
        prop_assert_eq!(read(input.as_bytes(), buffer), split(input.as_bytes()));
        // A slice is its own buffer: the path without copies.
        prop_assert_eq!(read(input.as_bytes(), 1_000), split(input.as_bytes()));
    }
}

#[test]
fn gives_known_ids() {
    // XXH64 with seed 0 of "abc" is a vector of the xxHash project; that of "" is EF46DB3751D8E999.
    assert_eq!(
        read(b"abc", 8).0,
        [("000000000001-44bc2cf5ad770999".to_owned(), b"abc".to_vec())]
    );
    assert_eq!(
        read(b"abc\r\n\n", 8).1,
        LineCounts {
            lines: 2,
            records: 1,
            blank: 1,
            carriage_returns: 1,
            ..LineCounts::default()
        }
    );
    // The line feed of the last line does not change its id, equal lines have different ids.
    let (with, without) = (read(b"x\nx\n", 8).0, read(b"x\nx", 8).0);
    assert_eq!(with, without);
    assert_ne!(with[0].0[13..], with[1].0[13..]);
}

#[test]
fn strips_one_mark_and_one_return() {
    let (lines, counts) = read(b"\xEF\xBB\xBFa\r\r\n\xEF\xBB\xBFb\r", 4);
    let lines: Vec<_> = lines.into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(lines, [b"a\r".to_vec(), b"\xEF\xBB\xBFb".to_vec()]);
    assert_eq!(
        (
            counts.byte_order_marks,
            counts.carriage_returns,
            counts.blank
        ),
        (1, 2, 0)
    );
}

#[test]
fn nothing_is_nothing() {
    assert_eq!(read(b"", 8), (vec![], LineCounts::default()));
    let (lines, counts) = read(b"\xEF\xBB\xBF \r\n", 8);
    assert!(lines.is_empty());
    assert_eq!((counts.lines, counts.blank), (1, 1));
}

/// Reads an input made of a first line of `length` times `x` between `before` and `after`, and a second line.
fn long(before: &[u8], length: u64, after: &'static [u8]) -> (Option<u64>, LineCounts) {
    let input = before
        .chain(std::io::repeat(b'x').take(length))
        .chain(after)
        .chain(&b"\nnext"[..]);
    let mut reader = LineReader::new(BufReader::with_capacity(64 << 10, input));
    let too_long = match reader.next_line().unwrap().unwrap() {
        Line::Record { bytes, .. } => {
            assert!(bytes.len() as u64 == length && bytes.iter().all(|&byte| byte == b'x'));
            None
        }
        Line::TooLong { id, prefix, length } => {
            assert_eq!((id.number(), prefix), (1, &[b'x'; 1_024][..]));
            Some(length)
        }
    };
    assert!(matches!(
        reader.next_line().unwrap(),
        Some(Line::Record { bytes: b"next", .. })
    ));
    assert!(reader.next_line().unwrap().is_none());
    (too_long, reader.counts())
}

#[test]
fn hands_on_ten_million_bytes_and_no_more() {
    const BOM: &[u8] = b"\xEF\xBB\xBF";
    assert_eq!(long(b"", 10_000_000, b"").0, None);
    assert_eq!(long(BOM, 10_000_000, b"\r").0, None);
    assert_eq!(long(b"", 10_000_001, b"").0, Some(10_000_001));
    let (too_long, counts) = long(BOM, 10_000_001, b"\r");
    assert_eq!(too_long, Some(10_000_001));
    assert_eq!(
        (
            counts.too_long,
            counts.records,
            counts.carriage_returns,
            counts.byte_order_marks
        ),
        (1, 1, 1, 1)
    );
    assert_eq!(long(BOM, 30_000_000, b"").0, Some(30_000_000));
}

#[test]
fn a_long_line_within_the_buffer_is_too_long_too() {
    let mut input = vec![b'x'; 10_000_002];
    input[10_000_001] = b'\n';
    let mut reader = LineReader::new(&input[..]);
    let line = reader.next_line().unwrap();
    assert!(
        matches!(line, Some(Line::TooLong { length: 10_000_001, prefix, .. }) if prefix.len() == 1_024)
    );
}

#[test]
fn retries_interruptions_and_hands_on_other_errors() {
    struct Reads(Vec<Result<&'static [u8], ErrorKind>>);
    impl Read for Reads {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.pop() {
                None => Ok(0),
                Some(Err(kind)) => Err(kind.into()),
                Some(Ok(bytes)) => {
                    buffer[..bytes.len()].copy_from_slice(bytes);
                    Ok(bytes.len())
                }
            }
        }
    }
    let reads = vec![
        Err(ErrorKind::BrokenPipe),
        Ok(&b"b\nc"[..]),
        Err(ErrorKind::Interrupted),
        Ok(&b"a"[..]),
    ];
    let mut reader = LineReader::new(BufReader::new(Reads(reads)));
    assert!(matches!(
        reader.next_line().unwrap(),
        Some(Line::Record { bytes: b"ab", .. })
    ));
    assert_eq!(
        reader.next_line().unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
}
