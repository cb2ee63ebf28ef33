//! Counts the words of 100 MB of text: runs of ASCII letters, in lower case.

mod by_hand;
mod ours;
mod renoir;
mod text;

use std::borrow::Cow;
use std::error::Error;
use std::path::{Path, PathBuf};

use by_hand::By;
use compact_str::CompactString;

use crate::measure::Row;

pub const ROWS: [Row; 11] = [
    Row {
        name: "words by hand, by line, 1 thread",
        run: |task| by_hand::run(task, By::Line, 1),
    },
    Row {
        name: "words by hand, by line, 2 threads",
        run: |task| by_hand::run(task, By::Line, 2),
    },
    Row {
        name: "words by hand, by line, owned, 1 thread",
        run: by_hand::run_owned,
    },
    Row {
        name: "words by hand, by block, 1 thread",
        run: |task| by_hand::run(task, By::Block, 1),
    },
    Row {
        name: "words by hand, by block, 2 threads",
        run: |task| by_hand::run(task, By::Block, 2),
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
        name: "words ours, flat_map and count, 1 worker",
        run: |task| ours::run(task, ours::flat_map_and_count, 1),
    },
    Row {
        name: "words ours, flat_map and count, 2 workers",
        run: |task| ours::run(task, ours::flat_map_and_count, 2),
    },
    Row {
        name: "words ours, combine_into, 1 worker",
        run: |task| ours::run(task, ours::combine_into, 1),
    },
    Row {
        name: "words ours, combine_into, 2 workers",
        run: |task| ours::run(task, ours::combine_into, 2),
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
    let words = line.split(|letter: char| !letter.is_ascii_alphabetic());
    words.filter(|word| !word.is_empty()).for_each(&mut take);
}

fn owned(letters: &[u8]) -> CompactString {
    CompactString::from_utf8(letters).expect("ASCII letters are UTF-8")
}
