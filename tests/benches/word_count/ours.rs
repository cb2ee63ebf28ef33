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

pub fn run(task: &Task<'_>, workers: usize) -> Result<Measured, Box<dyn Error>> {
    let counts = Arc::new(Mutex::new(Vec::new()));
    let found = Arc::clone(&counts);
    let ((), cost) = timed(|| {
        let pipeline = Pipeline::build(|p| {
            p.read("Read", Lines(path(task.folder)))
                .combine_into(
                    "Count",
                    Count::new(),
                    |line: Bytes, words: &mut Keyed<'_, CompactString, _>| {
                        for_words(&line, |word| words.add(word, ()));
                    },
                )
                .write("Keep", Keep(found));
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
