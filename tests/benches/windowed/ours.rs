//! The same as a pipeline.

use std::error::Error;
use std::sync::{Arc, Mutex};

use pipeline_core::prelude::*;

use super::{by_hand::measured, elements, events::Events};
use crate::measure::{Measured, Task, timed};

pub fn run(
    task: &Task<'_>,
    workers: usize,
    windows: impl Into<WindowInto>,
) -> Result<Measured, Box<dyn Error>> {
    let counts = Arc::new(Mutex::new(Vec::new()));
    let found = Arc::clone(&counts);
    let ((), cost) = timed(|| {
        let pipeline = Pipeline::build(|p| {
            p.read("Read", Events(elements(task)))
                .window_into("Windows", windows)
                .count_per_key("Count")
                .check_timed("Take", move |timed| {
                    let counts = timed.into_iter().map(|timed| {
                        let (key, count) = timed.value;
                        (key, timed.window.end().millis(), count)
                    });
                    found.lock().expect("nobody panics with it").extend(counts);
                });
        })?;
        DirectRunner::new().workers(workers).run(&pipeline)?;
        Ok::<_, pipeline_core::Error>(())
    })?;
    let counts = std::mem::take(&mut *counts.lock().expect("nobody panics with it"));
    Ok(measured(counts, cost))
}
