//! `reshuffle`: elements spread over all workers.

use crate::coder::Element;
use crate::pcollection::PCollection;

impl<T: Element> PCollection<T> {
    /// Spreads the elements over all workers in turn; timestamps, windows and panes stay.
    ///
    /// It ends a fused stage: put it behind a step that makes many elements of few, or a source
    /// that one worker reads, to have all cores work on what follows (RG, "Reshuffle").
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Seeds", vec![1, 2, 3])
    ///         .reshuffle("Spread")
    ///         .sum_globally("Sum")
    ///         .check("NoneIsLost", |sums| assert_eq!(sums, [6]));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn reshuffle(&self, name: &str) -> PCollection<T> {
        self.exchange(name, |worker| {
            let mut next = worker.index;
            move |_: &T, workers| {
                next = (next + 1) % workers;
                next
            }
        })
    }
}
