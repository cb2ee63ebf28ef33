//! Counts the words of 100 MB of text: runs of ASCII letters, in lower case.

mod by_hand;
mod ours;
mod renoir;
mod text;

use std::borrow::Cow;
use std::error::Error;
use std::path::{Path, PathBuf};

use compact_str::CompactString;

use crate::measure::Row;

pub const ROWS: [Row; 7] = [
    Row {
        name: "words by hand, 1 thread",
        run: |task| by_hand::run(task, 1),
    },
    Row {
        name: "words by hand, 2 threads",
        run: |task| by_hand::run(task, 2),
    },
    Row {
        name: "words by hand, owned, 1 thread",
        run: by_hand::run_owned,
    },
    Row {
        name: "words renoir, 1 worker",
        run: |task| renoir::run(task, 1),
    },
    Row {
        name: "words renoir, 2 workers",
        run: |task| renoir::run(task, 2),
    },
    Row {
        name: "words ours, 1 worker",
        run: |task| ours::run(task, 1),
    },
    Row {
        name: "words ours, 2 workers",
        run: |task| ours::run(task, 2),
    },
];

const BYTES: u64 = 100_000_000;

fn path(folder: &Path) -> PathBuf {
    folder.join("words.txt")
}

/// Writes the text, unless it is there.
pub fn prepare(folder: &Path, divisor: u64) -> Result<(), Box<dyn Error>> {
    let path = path(folder);
    if !path.exists() {
        text::write(&path, BYTES / divisor)?;
    }
    Ok(())
}

/// Finds the words of a text, in the case that they have.
fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words = text.split(|byte| !byte.is_ascii_alphabetic());
    words.filter(|word| !word.is_empty())
}

/// Hands the words of a line over, in lower case. Letters are turned, and UTF-8 checked, for the
/// whole line at once: that is much cheaper than word by word.
fn for_words(line: &[u8], mut take: impl FnMut(&str)) {
    let line = line.to_ascii_lowercase();
    // Far faster than the lossy check, which is for what is no UTF-8.
    let line = match std::str::from_utf8(&line) {
        Ok(line) => Cow::Borrowed(line),
        Err(_) => String::from_utf8_lossy(&line),
    };
    let mut rest = &*line;
    while let Some(start) = rest.bytes().position(|b| b.is_ascii_alphabetic()) {
        let word = &rest[start..];
        let end = word.bytes().position(|b| !b.is_ascii_alphabetic());
        let (word, behind) = word.split_at(end.unwrap_or(word.len()));
        take(word);
        rest = behind;
    }
}

fn owned(letters: &[u8]) -> CompactString {
    CompactString::from_utf8(letters).expect("ASCII letters are UTF-8")
}
