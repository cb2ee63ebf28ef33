//! `redistribute_by_key`: the elements of a key come together on one worker.

use crate::coder::{Element, Key};
use crate::pcollection::PCollection;

impl<K: Key, V: Element> PCollection<(K, V)> {
    /// Brings the elements of each key together on one worker, one by one (Beam's
    /// `Redistribute.byKey`); timestamps, windows and panes stay. Which worker it is depends on the
    /// key and the number of workers alone.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Pairs", vec![(1, "a".to_string()), (2, "b".to_string())])
    ///         .redistribute_by_key("Together")
    ///         .check("NoneIsLost", |pairs| assert_eq!(pairs.len(), 2));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn redistribute_by_key(&self, name: &str) -> PCollection<(K, V)> {
        self.pipeline().clone().scope(name, || {
            self.exchange_by_key("Exchange", "redistribute_by_key")
        })
    }
}
