//! `group_by_key`: the values of each key and window, together.

use super::grouping::{GroupOperator, Grouping};
use crate::coder::{Element, Key, encode_to};
use crate::graph::{Kept, Kind, Lowered, OutputSpec};
use crate::pcollection::PCollection;
use crate::window::groups::Aggregate;

impl<K: Key, V: Element> PCollection<(K, V)> {
    /// Gathers the values of each key, per window (PG 4.2.2).
    ///
    /// A pane's values come in no particular order. Where only a sum of them is needed, use
    /// [`combine_per_key`](PCollection::combine_per_key), which holds and sends less. Unbounded
    /// input in the global window is refused when the pipeline is built.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Pairs", vec![("a".to_string(), 1), ("a".to_string(), 3)])
    ///         .group_by_key("Group")
    ///         .check("OneGroup", |mut groups| {
    ///             groups[0].1.sort();
    ///             assert_eq!(groups, [("a".to_string(), vec![1, 3])]);
    ///         });
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn group_by_key(&self, name: &str) -> PCollection<(K, Vec<V>)> {
        self.apply(name, |input: PCollection<(K, V)>| {
            let strategy = input.windowing();
            let output = strategy.after_grouping();
            let output = OutputSpec::of::<(K, Vec<V>)>(output, input.is_bounded());
            let exchanged = input.exchange_by_key("Exchange", "group_by_key");
            let (kind, kept) = (Kind::GroupByKey, Kept::by_key::<K>().with::<V>("values"));
            exchanged.transform_keeping("Group", kind, kept, output, move |context, out| {
                let aggregate = Gather::<V>::default();
                let operator = GroupOperator::new(context, strategy.clone(), aggregate, out);
                Ok(Lowered::driven::<(K, V)>(operator))
            })
        })
    }
}

/// Gathers values in a vector.
struct Gather<V>(std::marker::PhantomData<V>);

impl<V> Default for Gather<V> {
    fn default() -> Self {
        Gather(std::marker::PhantomData)
    }
}

impl<V: Element> Aggregate for Gather<V> {
    type Input = V;
    type Accumulator = Vec<V>;
    type Output = Vec<V>;

    fn create(&self) -> Vec<V> {
        Vec::new()
    }

    fn add(&self, values: &mut Vec<V>, value: V) {
        values.push(value);
    }

    fn write_input(value: &V, out: &mut Vec<u8>) -> bool {
        // What cannot be encoded is found out elsewhere.
        let _ = encode_to(value, out);
        true
    }

    fn merge(&self, values: &mut Vec<V>, mut other: Vec<V>) {
        values.append(&mut other);
    }

    fn extract(&self, values: Vec<V>) -> Vec<V> {
        values
    }

    fn peek(&self, values: &Vec<V>) -> Vec<V> {
        values.clone()
    }
}

impl<V: Element> Grouping for Gather<V> {}
