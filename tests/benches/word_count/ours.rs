//! The same as a pipeline.

use std::error::Error;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use compact_str::CompactString;
use pipeline_core::prelude::*;

use super::{for_words, path};
use crate::digest::digest;
use crate::keep::Keep;
use crate::lines::Lines;
use crate::measure::{Measured, Task, timed};

/// The words as elements.
pub fn flat_map_and_count(lines: PCollection<Bytes>) -> PCollection<(CompactString, u64)> {
    lines
        .flat_map_into("Words", |line: Bytes, out: &mut Out<CompactString>| {
            for_words(&line, |word| out.emit(CompactString::new(word)));
        })
        .count_per_element("Count")
}

/// The words as keys that the lines lend.
pub fn combine_into(lines: PCollection<Bytes>) -> PCollection<(CompactString, u64)> {
    let f = |line: &Bytes, words: &mut Keyed<'_, CompactString, Count<()>>| {
        for_words(line, |word| words.add(word, ()));
    };
    lines.combine_into("Count", Count::new(), f)
}

pub fn run(
    task: &Task<'_>,
    count: fn(PCollection<Bytes>) -> PCollection<(CompactString, u64)>,
    workers: usize,
) -> Result<Measured, Box<dyn Error>> {
    let counts = Arc::new(Mutex::new(Vec::new()));
    let found = Arc::clone(&counts);
    let ((), cost) = timed(|| {
        let pipeline = Pipeline::build(|p| {
            count(p.read("Read", Lines(path(task.folder)))).write("Keep", Keep(found));
        })?;
        DirectRunner::new().workers(workers).run(&pipeline)?;
        Ok::<_, pipeline_core::Error>(())
    })?;
    let counts = std::mem::take(&mut *counts.lock().expect("nobody panics with it"));
    let counts = counts.into_iter();
    let counts: Vec<(String, u64)> = counts.map(|(w, c)| (w.into_string(), c)).collect();
    Ok(Measured {
        cost,
        elements: counts.iter().map(|(_, count)| count).sum(),
        digest: digest(counts),
    })
}
