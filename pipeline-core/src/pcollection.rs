//! Collections of elements, on which the transforms are methods.

use std::marker::PhantomData;

use crate::coder::Element;
use crate::error::Result;
use crate::graph::{CollectionId, Kept, Kind, Lowered, NodeContext, NodeSpec, OutputSpec, Port};
use crate::pipeline::Pipeline;
use crate::window::WindowingStrategy;

/// Stands for the elements that a transform will produce; bounded or unbounded, never changed.
///
/// Every transform is a method whose file in `transforms/` bears its name. A collection may have
/// any number of consumers. Cloning it is cheap and names the same collection.
#[must_use = "a collection that nothing consumes is computed for nothing"]
pub struct PCollection<T> {
    pipeline: Pipeline,
    id: CollectionId,
    element: PhantomData<fn() -> T>,
}

impl<T> Clone for PCollection<T> {
    fn clone(&self) -> Self {
        PCollection {
            pipeline: self.pipeline.clone(),
            id: self.id,
            element: PhantomData,
        }
    }
}

/// A composite transform: what becomes of a collection (or several) under one name.
///
/// Functions are composites; implement it for a type where a composite has options.
///
/// ```
/// use pipeline_core::prelude::*;
///
/// fn shout(words: PCollection<String>) -> PCollection<String> {
///     words.map("Upper", |w: String| w.to_uppercase()).map("Mark", |w| w + "!")
/// }
///
/// let pipeline = Pipeline::build(|p| {
///     // The transforms are called `Shout/Upper` and `Shout/Mark`.
///     p.create("Words", vec!["hey".to_string()])
///         .apply("Shout", shout)
///         .check("IsLoud", |loud| assert_eq!(loud, ["HEY!"]));
/// })?;
/// let result = DirectRunner::new().run(&pipeline)?;
/// assert_eq!(result.metrics().get("Shout/Mark", "out"), 1);
/// # Ok::<(), Error>(())
/// ```
pub trait PTransform<Input> {
    /// What comes out: a collection, several, or none.
    type Output;

    /// Adds the transforms that it consists of.
    fn expand(self, input: Input) -> Self::Output;
}

impl<Input, Output, F: FnOnce(Input) -> Output> PTransform<Input> for F {
    type Output = Output;

    fn expand(self, input: Input) -> Output {
        self(input)
    }
}

impl<T: Element> PCollection<T> {
    pub(crate) fn new(pipeline: Pipeline, id: CollectionId) -> Self {
        PCollection {
            pipeline,
            id,
            element: PhantomData,
        }
    }

    /// Applies a composite under a name of its own.
    pub fn apply<P: PTransform<PCollection<T>>>(&self, name: &str, composite: P) -> P::Output {
        let input = self.clone();
        self.pipeline.scope(name, || composite.expand(input))
    }

    /// Returns the pipeline that the collection belongs to.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Tells whether the collection ends.
    pub fn is_bounded(&self) -> bool {
        self.pipeline.graph().collections[self.id].bounded
    }

    /// Returns this collection, if it belongs to `pipeline`; else refuses that pipeline and returns
    /// a collection of it that stands in until the refusal is told.
    pub(crate) fn of_the_same_pipeline(&self, pipeline: &Pipeline, name: &str) -> PCollection<T> {
        if self.pipeline.is(pipeline) {
            return self.clone();
        }
        let path = pipeline.graph().path_of(name);
        pipeline.refuse(format!(
            "'{path}' takes a collection of another pipeline: build both in one `Pipeline::build`"
        ));
        pipeline.create(&format!("{name} (of another pipeline)"), Vec::new())
    }

    pub(crate) fn id(&self) -> CollectionId {
        self.id
    }

    pub(crate) fn windowing(&self) -> WindowingStrategy {
        self.pipeline.graph().collections[self.id].windowing.clone()
    }

    /// Describes an output with this collection's windowing and boundedness.
    pub(crate) fn output_like<U: Element>(&self) -> OutputSpec {
        OutputSpec::of::<U>(self.windowing(), self.is_bounded())
    }

    /// Adds a transform from this collection to one with the same windowing.
    pub(crate) fn transform<U: Element>(
        &self,
        name: &str,
        kind: Kind,
        factory: impl Fn(&NodeContext<'_>, Port<U>) -> Result<Lowered> + Send + Sync + 'static,
    ) -> PCollection<U> {
        self.transform_to(name, kind, self.output_like::<U>(), factory)
    }

    /// Adds a transform from this collection to the one that is described.
    pub(crate) fn transform_to<U: Element>(
        &self,
        name: &str,
        kind: Kind,
        output: OutputSpec,
        factory: impl Fn(&NodeContext<'_>, Port<U>) -> Result<Lowered> + Send + Sync + 'static,
    ) -> PCollection<U> {
        self.transform_keeping(name, kind, Kept::default(), output, factory)
    }

    /// Adds a transform that keeps something per key.
    pub(crate) fn transform_keeping<U: Element>(
        &self,
        name: &str,
        kind: Kind,
        kept: Kept,
        output: OutputSpec,
        factory: impl Fn(&NodeContext<'_>, Port<U>) -> Result<Lowered> + Send + Sync + 'static,
    ) -> PCollection<U> {
        let spec = NodeSpec::new(
            name,
            kind,
            vec![self.id],
            vec![output],
            move |context, ports| factory(context, crate::graph::only_port(ports)?),
        );
        self.add(spec.keeping(kept))
    }

    /// Adds a node with one output.
    pub(crate) fn add<U: Element>(&self, spec: NodeSpec) -> PCollection<U> {
        let ids = self.pipeline.add(spec);
        self.pipeline.collection(ids[0])
    }
}
