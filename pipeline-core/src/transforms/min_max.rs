//! `min_per_key` and `max_per_key`.

use std::marker::PhantomData;

use super::combine::CombineFn;
use crate::coder::{Element, Key};
use crate::pcollection::PCollection;

impl<K: Key, V: Element + Ord> PCollection<(K, V)> {
    /// Keeps the least value of each key, per window.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Pairs", vec![("a".to_string(), 9), ("a".to_string(), 7)])
    ///         .min_per_key("Least")
    ///         .check("Seven", |least| assert_eq!(least, [("a".to_string(), 7)]));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn min_per_key(&self, name: &str) -> PCollection<(K, V)> {
        self.extreme(name, "min", |new, best| new < best)
    }

    /// Keeps the greatest value of each key, per window.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Pairs", vec![("a".to_string(), 9), ("a".to_string(), 7)])
    ///         .max_per_key("Greatest")
    ///         .check("Nine", |greatest| assert_eq!(greatest, [("a".to_string(), 9)]));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn max_per_key(&self, name: &str) -> PCollection<(K, V)> {
        self.extreme(name, "max", |new, best| new > best)
    }

    fn extreme(
        &self,
        name: &str,
        which: &'static str,
        beats: fn(&V, &V) -> bool,
    ) -> PCollection<(K, V)> {
        let best = Extreme {
            which,
            beats,
            value: PhantomData,
        };
        self.apply(name, |input: PCollection<(K, V)>| {
            input
                .combine_per_key("Best", best)
                .filter_map("Present", |(key, best)| Some((key, best?)))
        })
    }
}

struct Extreme<T> {
    which: &'static str,
    beats: fn(&T, &T) -> bool,
    value: PhantomData<fn(T)>,
}

impl<T> Clone for Extreme<T> {
    fn clone(&self) -> Self {
        Extreme {
            which: self.which,
            beats: self.beats,
            value: PhantomData,
        }
    }
}

impl<T: Element> CombineFn for Extreme<T> {
    type Input = T;
    type Accumulator = Option<T>;
    type Output = Option<T>;

    fn create_accumulator(&self) -> Option<T> {
        None
    }

    fn add_input(&self, best: &mut Option<T>, input: T) {
        if best.as_ref().is_none_or(|best| (self.beats)(&input, best)) {
            *best = Some(input);
        }
    }

    fn merge_accumulators(&self, best: &mut Option<T>, other: Option<T>) {
        if let Some(other) = other {
            self.add_input(best, other);
        }
    }

    fn extract_output(&self, best: Option<T>) -> Option<T> {
        best
    }

    fn name(&self) -> String {
        self.which.to_owned()
    }
}
