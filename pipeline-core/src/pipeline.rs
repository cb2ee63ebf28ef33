//! The pipeline under construction, and built.

use std::cell::{Ref, RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;

use crate::coder::Element;
use crate::error::{ErrorKind, Result};
use crate::graph::{CollectionId, Graph, NodeSpec};
use crate::pcollection::PCollection;

/// Collects transforms while a pipeline is being built.
///
/// Construction is a function that [`Pipeline::build`] calls: it must make the same graph each
/// time it is called with the same arguments, since a worker elsewhere finds its functions by
/// building the graph again. Side effects belong into transforms.
///
/// ```
/// use pipeline_core::prelude::*;
///
/// let pipeline = Pipeline::build(|p| {
///     p.create("Numbers", vec![1, 2, 3])
///         .map("Double", |n: i64| 2 * n)
///         .check("IsDoubled", |numbers| assert_eq!(numbers.iter().sum::<i64>(), 12));
/// })?;
/// DirectRunner::new().run(&pipeline)?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Pipeline {
    graph: Rc<RefCell<Graph>>,
}

impl Pipeline {
    /// Builds a pipeline.
    ///
    /// # Errors
    /// Lists everything that keeps it from running: names used twice, groups that would never
    /// end, keys without a stable encoding, collections that cannot be mixed, dead letters that
    /// nothing consumes, files that two sinks would write.
    pub fn build(construct: impl FnOnce(&Pipeline)) -> Result<BuiltPipeline> {
        let pipeline = Pipeline {
            graph: Rc::default(),
        };
        construct(&pipeline);
        let graph = pipeline.graph.take();
        let reasons = graph.validate();
        if reasons.is_empty() {
            Ok(BuiltPipeline {
                graph: Arc::new(graph),
            })
        } else {
            Err(ErrorKind::Invalid(reasons).into())
        }
    }

    /// Builds a composite: the names of all transforms that `construct` adds begin with `name/`.
    ///
    /// See also [`PCollection::apply`].
    pub fn scope<R>(&self, name: &str, construct: impl FnOnce() -> R) -> R {
        let path = self.graph().path_of(name);
        {
            let mut graph = self.graph_mut();
            graph.scopes.push(path);
            graph.scope.push(name.to_owned());
        }
        let result = construct();
        self.graph_mut().scope.pop();
        result
    }

    pub(crate) fn is(&self, other: &Pipeline) -> bool {
        Rc::ptr_eq(&self.graph, &other.graph)
    }

    pub(crate) fn graph(&self) -> Ref<'_, Graph> {
        self.graph.borrow()
    }

    pub(crate) fn graph_mut(&self) -> RefMut<'_, Graph> {
        self.graph.borrow_mut()
    }

    pub(crate) fn add(&self, spec: NodeSpec) -> Vec<CollectionId> {
        self.graph_mut().add(spec)
    }

    pub(crate) fn refuse(&self, reason: String) {
        self.graph_mut().refusals.push(reason);
    }

    pub(crate) fn collection<T: Element>(&self, id: CollectionId) -> PCollection<T> {
        PCollection::new(self.clone(), id)
    }
}

/// A pipeline that can run: its graph is complete and was found valid.
pub struct BuiltPipeline {
    graph: Arc<Graph>,
}

impl BuiltPipeline {
    /// Draws the pipeline as a Mermaid flow chart, which GitHub and many editors show.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Words", vec!["a".to_string()]).count_per_element("Count");
    /// })?;
    /// assert!(pipeline.to_mermaid().starts_with("flowchart"));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn to_mermaid(&self) -> String {
        self.graph.to_mermaid()
    }

    pub(crate) fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }
}
