//! What one would write without a library: a table per thread, merged at the end.

use std::error::Error;
use std::hash::BuildHasher;
use std::io;
use std::path::Path;

use compact_str::CompactString;
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};

use super::{for_words, owned, path, words};
use crate::digest::digest;
use crate::lines::blocks;
use crate::measure::{Cost, Measured, Task, timed};

/// Words with their counts; a word that has come before is counted without making a text of it.
#[derive(Default)]
struct Counts {
    table: HashTable<(CompactString, u64)>,
    hasher: FixedState,
}

impl Counts {
    fn add(&mut self, word: &[u8], count: u64) {
        let hash = |word: &[u8]| self.hasher.hash_one(word);
        let entry = self.table.entry(
            hash(word),
            |(other, _)| other.as_bytes() == word,
            |(other, _)| hash(other.as_bytes()),
        );
        entry.or_insert_with(|| (owned(word), 0)).get_mut().1 += count;
    }
}

/// How a loop goes through its part of the text.
#[derive(Clone, Copy)]
pub enum By {
    /// Line by line, each by the function that the pipelines use.
    Line,
    /// In blocks that are changed in place, as if there were no lines: nobody who has records to
    /// take apart can do so, but nothing is faster.
    Block,
}

fn count(path: &Path, by: By, index: u64, parts: u64) -> io::Result<Counts> {
    let mut counts = Counts::default();
    blocks(path, index, parts, |block| match by {
        By::Line => {
            for line in block.split(|byte| *byte == b'\n') {
                for_words(line, |word| counts.add(word.as_bytes(), 1));
            }
        }
        By::Block => {
            block.make_ascii_lowercase();
            for word in words(block) {
                counts.add(word, 1);
            }
        }
    })?;
    Ok(counts)
}

pub fn run(task: &Task<'_>, by: By, threads: u64) -> Result<Measured, Box<dyn Error>> {
    let path = path(task.folder);
    let (counts, cost) = timed(|| {
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads)
                .map(|index| {
                    scope.spawn({
                        let path = &path;
                        move || count(path, by, index, threads)
                    })
                })
                .collect();
            let mut counts = count(&path, by, 0, threads)?;
            for other in others {
                let other = other.join().map_err(|_| "a thread panicked")??;
                for (word, count) in other.table {
                    counts.add(word.as_bytes(), count);
                }
            }
            Ok::<_, Box<dyn Error>>(counts.table.into_iter().collect::<Vec<_>>())
        })
    })?;
    Ok(measured(counts, cost))
}

/// Line by line on one thread, with every word made a text of its own first, as it must be where
/// words are elements.
pub fn run_owned(task: &Task<'_>) -> Result<Measured, Box<dyn Error>> {
    let path = path(task.folder);
    let (counts, cost) = timed(|| {
        let mut counts: HashMap<CompactString, u64, FixedState> = HashMap::default();
        blocks(&path, 0, 1, |block| {
            for line in block.split(|byte| *byte == b'\n') {
                for_words(line, |word| {
                    *counts.entry(CompactString::new(word)).or_default() += 1;
                });
            }
        })?;
        Ok::<_, io::Error>(counts.into_iter().collect::<Vec<_>>())
    })?;
    Ok(measured(counts, cost))
}

fn measured(counts: Vec<(CompactString, u64)>, cost: Cost) -> Measured {
    let counts = counts.into_iter();
    let counts: Vec<(String, u64)> = counts.map(|(w, c)| (w.into_string(), c)).collect();
    Measured {
        cost,
        elements: counts.iter().map(|(_, count)| count).sum(),
        digest: digest(counts),
    }
}
