//! `flatten`: several collections as one.

use std::cell::RefCell;
use std::rc::Rc;

use crate::coder::Element;
use crate::graph::{AnyPort, CollectionId, Kind, Lowered, NodeSpec, OutputSpec, Port, only_port};
use crate::pcollection::PCollection;
use crate::pipeline::Pipeline;
use crate::window::WindowingStrategy;

impl<T: Element> PCollection<T> {
    /// Puts the elements of this collection and of `others` into one (PG 4.2.5).
    ///
    /// All must have equal window functions, or the pipeline is refused; the output takes the
    /// greatest allowed lateness.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     let (a, b) = (p.create("A", vec![1]), p.create("B", vec![2]));
    ///     a.flatten("Both", &[b]).check("OneAndTwo", |mut both| {
    ///         both.sort();
    ///         assert_eq!(both, [1, 2]);
    ///     });
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn flatten(&self, name: &str, others: &[PCollection<T>]) -> PCollection<T> {
        let others = others.iter();
        let others: Vec<_> = others
            .map(|other| other.of_the_same_pipeline(self.pipeline(), name))
            .collect();
        let all = || std::iter::once(self).chain(&others);
        let inputs: Vec<CollectionId> = all().map(PCollection::id).collect();
        let windowing = common_windowing(self.pipeline(), name, &inputs);
        let bounded = all().all(PCollection::is_bounded);
        let count = inputs.len();
        let output = OutputSpec::of::<T>(windowing, bounded);
        let spec = NodeSpec::new(
            name,
            Kind::Flatten,
            inputs,
            vec![output],
            move |_, ports| {
                let out: Port<T> = only_port(ports)?;
                let out = Rc::new(RefCell::new(out));
                let input = |_| -> AnyPort { Port::new(Rc::clone(&out)).erase() };
                Ok(Lowered {
                    inputs: (0..count).map(input).collect(),
                    operator: None,
                })
            },
        );
        self.add(spec)
    }
}

/// Returns the windowing of a transform over several collections, and refuses the pipeline where
/// they do not go together (PG 4.2.5, "merging windowed collections").
pub(super) fn common_windowing(
    pipeline: &Pipeline,
    name: &str,
    inputs: &[CollectionId],
) -> WindowingStrategy {
    let mut refusals = Vec::new();
    let windowing = {
        let graph = pipeline.graph();
        let first = &graph.collections[inputs[0]];
        let mut windowing = first.windowing.clone();
        for &input in &inputs[1..] {
            let other = &graph.collections[input];
            if !windowing.is_compatible(&other.windowing) {
                refusals.push(format!(
                    "'{}' mixes '{}' in windows {:?} with '{}' in windows {:?}: put the same \
                     `window_into` in front of both",
                    graph.path_of(name),
                    first.path,
                    windowing.window_fn,
                    other.path,
                    other.windowing.window_fn,
                ));
            }
            windowing.allowed_lateness = windowing
                .allowed_lateness
                .max(other.windowing.allowed_lateness);
            windowing.merged &= other.windowing.merged;
        }
        windowing
    };
    refusals.into_iter().for_each(|r| pipeline.refuse(r));
    windowing
}
