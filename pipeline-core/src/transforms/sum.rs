//! `sum_per_key` and `sum_globally`.

use std::iter::Sum;
use std::marker::PhantomData;

use super::combine::CombineFn;
use crate::coder::{Element, Key};
use crate::pcollection::PCollection;

impl<K: Key, V: Element + Sum<V>> PCollection<(K, V)> {
    /// Adds up the values of each key, per window, by the type's [`Sum`]; an overflow of integers
    /// is what it is elsewhere in Rust (a panic in debug builds).
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Pairs", vec![("a".to_string(), 9), ("a".to_string(), -2)])
    ///         .sum_per_key("Sum")
    ///         .check("Seven", |sums| assert_eq!(sums, [("a".to_string(), 7)]));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn sum_per_key(&self, name: &str) -> PCollection<(K, V)> {
        self.combine_per_key(name, SumOf(PhantomData))
    }
}

impl<T: Element + Sum<T>> PCollection<T> {
    /// Adds up all elements, per window.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Numbers", vec![1, 2])
    ///         .sum_globally("Sum")
    ///         .check("Three", |sums| assert_eq!(sums, [3]));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn sum_globally(&self, name: &str) -> PCollection<T> {
        self.combine_globally(name, SumOf(PhantomData))
    }
}

struct SumOf<T>(PhantomData<fn(T)>);

impl<T> Clone for SumOf<T> {
    fn clone(&self) -> Self {
        SumOf(PhantomData)
    }
}

impl<T: Element + Sum<T>> CombineFn for SumOf<T> {
    type Input = T;
    type Accumulator = Option<T>;
    type Output = T;

    fn create_accumulator(&self) -> Option<T> {
        None
    }

    fn add_input(&self, sum: &mut Option<T>, input: T) {
        *sum = Some(match sum.take() {
            Some(sum) => [sum, input].into_iter().sum(),
            None => input,
        });
    }

    fn merge_accumulators(&self, sum: &mut Option<T>, other: Option<T>) {
        if let Some(other) = other {
            self.add_input(sum, other);
        }
    }

    fn extract_output(&self, sum: Option<T>) -> T {
        sum.unwrap_or_else(|| std::iter::empty().sum())
    }

    fn name(&self) -> String {
        "sum".to_owned()
    }
}
