//! `with_timestamps`: event times out of the elements.

use std::sync::Arc;

use super::flat_map::flat_map;
use crate::coder::Element;
use crate::graph::Kind;
use crate::pcollection::PCollection;
use crate::time::Timestamp;

impl<T: Element> PCollection<T> {
    /// Gives every element the timestamp that `f` returns for it (PG 8.4).
    ///
    /// A timestamp earlier than the element had is an error that ends the job, since the
    /// watermark may have passed it. Elements of a bounded source come at [`Timestamp::MIN`], so
    /// that any is allowed; an unbounded source assigns timestamps itself. The window stays: put
    /// [`window_into`](PCollection::window_into) behind it.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Millis", vec![1_000])
    ///         .with_timestamps("Timed", |millis| Timestamp::from_millis(*millis))
    ///         .check_timed("AtItsTime", |timed| {
    ///             assert_eq!(timed[0].timestamp, Timestamp::from_millis(1_000));
    ///         });
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn with_timestamps(
        &self,
        name: &str,
        f: impl Fn(&T) -> Timestamp + Send + Sync + 'static,
    ) -> PCollection<T> {
        let f = Arc::new(f);
        self.transform(name, Kind::ParDo, move |context, out| {
            let f = Arc::clone(&f);
            Ok(flat_map(
                context,
                "with_timestamps",
                out,
                move |value, out| {
                    let timestamp = f(&value);
                    out.emit_at(value, timestamp);
                },
            ))
        })
    }
}
