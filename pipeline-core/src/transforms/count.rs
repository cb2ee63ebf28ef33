//! `count_per_element`, `count_per_key` and `count_globally`.

use std::marker::PhantomData;

use super::combine::CombineFn;
use crate::coder::{Element, Key};
use crate::pcollection::PCollection;

impl<T: Key> PCollection<T> {
    /// Counts how often each element occurs, per window.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Words", vec!["a".to_string(), "b".to_string(), "a".to_string()])
    ///         .count_per_element("Count")
    ///         .check("Counts", |mut counts| {
    ///             counts.sort();
    ///             assert_eq!(counts, [("a".to_string(), 2), ("b".to_string(), 1)]);
    ///         });
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn count_per_element(&self, name: &str) -> PCollection<(T, u64)> {
        self.apply(name, |input: PCollection<T>| {
            input
                .map_own("Occurrence", |element| (element, ()))
                .combine_per_key("Count", Count::<()>::new())
        })
    }
}

impl<K: Key, V: Element> PCollection<(K, V)> {
    /// Counts the values of each key, per window.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Pairs", vec![("a".to_string(), 9), ("a".to_string(), 7)])
    ///         .count_per_key("Count")
    ///         .check("Two", |counts| assert_eq!(counts, [("a".to_string(), 2)]));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn count_per_key(&self, name: &str) -> PCollection<(K, u64)> {
        self.combine_per_key(name, Count::new())
    }
}

impl<T: Element> PCollection<T> {
    /// Counts all elements, per window; 0 for an empty bounded collection in the global window.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Numbers", vec![5, 5, 7])
    ///         .count_globally("Count")
    ///         .check("Three", |counts| assert_eq!(counts, [3]));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn count_globally(&self, name: &str) -> PCollection<u64> {
        self.combine_globally(name, Count::new())
    }
}

/// Counts values: the [`CombineFn`] of `count_per_key`, for where one is asked for.
pub struct Count<T>(PhantomData<fn(T)>);

impl<T> Count<T> {
    /// Makes one; what is counted follows from where it is used.
    pub const fn new() -> Self {
        Count(PhantomData)
    }
}

impl<T> Default for Count<T> {
    fn default() -> Self {
        Count::new()
    }
}

impl<T> Clone for Count<T> {
    fn clone(&self) -> Self {
        Count::new()
    }
}

impl<T: Element> CombineFn for Count<T> {
    type Input = T;
    type Accumulator = u64;
    type Output = u64;

    fn create_accumulator(&self) -> u64 {
        0
    }

    fn add_input(&self, count: &mut u64, _: T) {
        *count += 1;
    }

    fn merge_accumulators(&self, count: &mut u64, other: u64) {
        *count += other;
    }

    fn extract_output(&self, count: u64) -> u64 {
        count
    }

    fn name(&self) -> String {
        "count".to_owned()
    }
}
