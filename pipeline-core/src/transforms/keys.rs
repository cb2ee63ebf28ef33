//! `keys` and `values`: parts of pairs.

use crate::coder::{Element, Key};
use crate::pcollection::PCollection;

impl<K: Key, V: Element> PCollection<(K, V)> {
    /// Keeps the key of every pair.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Pairs", vec![("a".to_string(), 1)])
    ///         .keys("Keys")
    ///         .check("A", |keys| assert_eq!(keys, ["a"]));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn keys(&self, name: &str) -> PCollection<K> {
        self.map(name, |(key, _)| key)
    }

    /// Keeps the value of every pair.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Pairs", vec![("a".to_string(), 1)])
    ///         .values("Values")
    ///         .check("One", |values| assert_eq!(values, [1]));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn values(&self, name: &str) -> PCollection<V> {
        self.map(name, |(_, value)| value)
    }
}
