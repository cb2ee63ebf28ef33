//! `filter`: some elements stay.

use std::sync::Arc;

use crate::batch::Batch;
use crate::coder::Element;
use crate::error::Result;
use crate::graph::{Kind, Lowered, Port, Receiver};
use crate::pcollection::PCollection;
use crate::user_code::{describe, guarded};

impl<T: Element> PCollection<T> {
    /// Keeps the elements for which `keep` holds.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Numbers", vec![1, 2, 3])
    ///         .filter("Even", |n| n % 2 == 0)
    ///         .check("Two", |even| assert_eq!(even, [2]));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn filter(
        &self,
        name: &str,
        keep: impl Fn(&T) -> bool + Send + Sync + 'static,
    ) -> PCollection<T> {
        let keep = Arc::new(keep);
        self.transform(name, Kind::ParDo, move |context, out| {
            Ok(Lowered::passive(Filter {
                keep: Arc::clone(&keep),
                out,
                path: context.path(),
            }))
        })
    }
}

struct Filter<T, F> {
    keep: Arc<F>,
    out: Port<T>,
    path: Arc<str>,
}

impl<T: Element, F: Fn(&T) -> bool> Receiver<T> for Filter<T, F> {
    fn push(&mut self, batch: &mut Batch<T>) -> Result<()> {
        // When `keep` panics, `Vec::retain` leaves the kept elements in front of the others, so
        // that the element in question stands behind them.
        let mut kept = 0;
        let filtered = guarded(|| {
            batch.retain(|value| {
                let keep = (self.keep)(value);
                kept += usize::from(keep);
                keep
            });
            Ok(())
        });
        match filtered {
            Ok(()) => self.out.push(batch),
            Err(failed) => {
                let element = batch.values.get(kept).map(describe);
                Err(failed.at(&self.path, "filter", element))
            }
        }
    }
}
