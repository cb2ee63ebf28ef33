//! The same as a pipeline.

use std::error::Error;
use std::sync::{Arc, Mutex};

use pipeline_core::prelude::*;

use super::{Count, by_hand::measured, elements, events::Events};
use crate::keep::Keep;
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
                .par_do("Show", Show)
                .write("Keep", Keep(found));
        })?;
        DirectRunner::new().workers(workers).run(&pipeline)?;
        Ok::<_, pipeline_core::Error>(())
    })?;
    let counts = std::mem::take(&mut *counts.lock().expect("nobody panics with it"));
    Ok(measured(counts, cost))
}

/// Makes the window a part of the element.
#[derive(Clone)]
struct Show;

impl DoFn for Show {
    type Input = (u64, u64);
    type Outputs = Out<Count>;

    fn process(
        &mut self,
        (key, count): (u64, u64),
        context: &ElementContext,
        out: &mut Out<Count>,
    ) -> Result<(), BoxError> {
        out.emit((key, context.window().end().millis(), count));
        Ok(())
    }
}
