//! The same by renoir 0.6: its file source, words as elements, its associative count.

use std::error::Error;

use compact_str::CompactString;
use renoir::prelude::*;

use super::{for_words, path};
use crate::digest::digest;
use crate::measure::{Measured, Task, timed};

pub fn run(task: &Task<'_>, workers: u64) -> Result<Measured, Box<dyn Error>> {
    let path = path(task.folder);
    let (counts, cost) = timed(|| {
        let context = StreamContext::new(RuntimeConfig::local(workers)?);
        let counts = context
            .stream_file(path)
            .batch_mode(BatchMode::fixed(1024))
            .flat_map(|line| {
                let mut found = Vec::with_capacity(16);
                for_words(line.as_bytes(), |word| found.push(CompactString::new(word)));
                found
            })
            .group_by_count(|word| word.clone())
            .collect_vec();
        context.execute_blocking();
        let counts = counts.get().ok_or("renoir gave no result")?;
        Ok::<_, Box<dyn Error>>(counts)
    })?;
    let counts = counts.into_iter();
    let counts: Vec<(String, u64)> = counts.map(|(w, c)| (w.into_string(), c as u64)).collect();
    Ok(Measured {
        cost,
        elements: counts.iter().map(|(_, count)| count).sum(),
        digest: digest(counts),
    })
}
