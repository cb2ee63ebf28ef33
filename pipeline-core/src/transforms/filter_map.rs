//! `filter_map`: one element in, one out or none.

use std::sync::Arc;

use super::flat_map::flat_map;
use crate::coder::Element;
use crate::graph::Kind;
use crate::pcollection::PCollection;

impl<T: Element> PCollection<T> {
    /// Replaces every element by what `f` returns for it, and leaves out those with `None`.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Texts", vec!["1".to_string(), "x".to_string()])
    ///         .filter_map("Numbers", |text| text.parse::<i64>().ok())
    ///         .check("One", |numbers| assert_eq!(numbers, [1]));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn filter_map<U: Element>(
        &self,
        name: &str,
        f: impl Fn(T) -> Option<U> + Send + Sync + 'static,
    ) -> PCollection<U> {
        let f = Arc::new(f);
        self.transform(name, Kind::ParDo, move |context, out| {
            let f = Arc::clone(&f);
            Ok(flat_map(context, "filter_map", out, move |value, out| {
                if let Some(value) = f(value) {
                    out.emit(value);
                }
            }))
        })
    }
}
