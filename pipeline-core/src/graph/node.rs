//! Nodes: the transforms of the graph.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use super::collection::{Collection, CollectionId, TypeOps, TypeOpsOf};
use super::context::NodeContext;
use super::kept::Kept;
use super::operator::{AnyPort, Lowered};
use crate::coder::Element;
use crate::error::Result;
use crate::window::WindowingStrategy;

/// Says what a node is, to a reader and to a runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    ParDo,
    StatefulParDo,
    WindowInto,
    /// Sends elements to the worker that owns their key.
    Exchange,
    /// Combines before the exchange.
    CombineLift,
    CombineMerge,
    GroupByKey,
    CoGroupByKey,
    Flatten,
    Write,
}

impl Kind {
    /// Tells whether the node groups, so that its input needs windows that end or a trigger.
    pub(crate) fn groups(self) -> bool {
        matches!(
            self,
            Kind::GroupByKey | Kind::CombineMerge | Kind::CoGroupByKey
        )
    }
}

/// Makes a worker's operator of a node: ports of the outputs in, ports of the inputs out.
pub(crate) type Factory =
    Arc<dyn Fn(&NodeContext<'_>, Vec<AnyPort>) -> Result<Lowered> + Send + Sync>;

/// What a sink is asked to do outside the workers.
#[derive(Clone, Debug)]
pub(crate) enum SinkTask {
    /// Before the first writer of a run with snapshots.
    Recover(Option<Recovery>),
    /// When the snapshot of that epoch is durable.
    Commit(u64, Vec<Vec<u8>>),
    /// When the run stopped, to be resumed.
    Suspend,
    /// When all workers have ended; told whether the run went well.
    Finish(bool),
}

/// Where a sink goes on: see [`crate::sink::Recovery`], which is made of it.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    pub(crate) epoch: u64,
    pub(crate) prepared: Vec<Vec<u8>>,
    pub(crate) drained: bool,
}

/// Runs a task of a sink. Of [`SinkTask::Recover`] it returns the greatest epoch that the sink knows
/// to be committed, of others nothing that matters.
pub(crate) type SinkHook =
    Arc<dyn Fn(SinkTask) -> Pin<Box<dyn Future<Output = Result<u64>> + Send>> + Send + Sync>;

/// A transform of the graph.
pub(crate) struct Node {
    pub(crate) id: usize,
    pub(crate) path: Arc<str>,
    pub(crate) kind: Kind,
    /// What a drawing says below the name.
    pub(crate) detail: Option<String>,
    pub(crate) inputs: Vec<CollectionId>,
    pub(crate) outputs: Vec<CollectionId>,
    pub(crate) factory: Factory,
    pub(crate) sink: Option<SinkHook>,
    pub(crate) kept: Kept,
    /// The file, or the pattern of files, that no other node may write.
    pub(crate) exclusive_path: Option<PathBuf>,
}

/// Describes a collection that a node to be added produces.
pub(crate) struct OutputSpec {
    pub(crate) name: Option<&'static str>,
    pub(crate) types: Arc<dyn TypeOps>,
    pub(crate) windowing: WindowingStrategy,
    pub(crate) bounded: bool,
    pub(crate) must_be_consumed: Option<String>,
}

impl OutputSpec {
    pub(crate) fn of<T: Element>(windowing: WindowingStrategy, bounded: bool) -> Self {
        OutputSpec {
            name: None,
            types: Arc::new(TypeOpsOf::<T>::new()),
            windowing,
            bounded,
            must_be_consumed: None,
        }
    }

    pub(crate) fn named(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }
}

/// Describes a node to be added.
pub(crate) struct NodeSpec {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) detail: Option<String>,
    pub(crate) inputs: Vec<CollectionId>,
    pub(crate) outputs: Vec<OutputSpec>,
    pub(crate) factory: Factory,
    pub(crate) sink: Option<SinkHook>,
    pub(crate) kept: Kept,
    pub(crate) exclusive_path: Option<PathBuf>,
}

impl NodeSpec {
    pub(crate) fn new(
        name: impl Into<String>,
        kind: Kind,
        inputs: Vec<CollectionId>,
        outputs: Vec<OutputSpec>,
        factory: impl Fn(&NodeContext<'_>, Vec<AnyPort>) -> Result<Lowered> + Send + Sync + 'static,
    ) -> Self {
        NodeSpec {
            name: name.into(),
            kind,
            detail: None,
            inputs,
            outputs,
            factory: Arc::new(factory),
            sink: None,
            kept: Kept::default(),
            exclusive_path: None,
        }
    }

    /// Says what it keeps per key.
    pub(crate) fn keeping(mut self, kept: Kept) -> Self {
        self.kept = kept;
        self
    }

    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// A pipeline as data. Nodes come after the producers of their inputs.
#[derive(Default)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) collections: Vec<Collection>,
    /// Names of the composites that are being built, outermost first.
    pub(crate) scope: Vec<String>,
    /// The paths of composites, which must be unique as well.
    pub(crate) scopes: Vec<String>,
    /// What is wrong, found while building.
    pub(crate) refusals: Vec<String>,
}

impl Graph {
    /// Returns the path of `name` in the current scope.
    pub(crate) fn path_of(&self, name: &str) -> String {
        let mut path = self.scope.join("/");
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(name);
        path
    }

    /// Adds a node, and returns its outputs.
    pub(crate) fn add(&mut self, spec: NodeSpec) -> Vec<CollectionId> {
        let path = self.path_of(&spec.name);
        let first = self.collections.len();
        let outputs: Vec<_> = (first..first + spec.outputs.len()).collect();
        for output in spec.outputs {
            self.collections.push(Collection {
                path: match output.name {
                    Some(name) => format!("{path}.{name}"),
                    None => path.clone(),
                },
                types: output.types,
                windowing: output.windowing,
                bounded: output.bounded,
                must_be_consumed: output.must_be_consumed,
            });
        }
        self.nodes.push(Node {
            id: self.nodes.len(),
            path: path.into(),
            kind: spec.kind,
            detail: spec.detail,
            inputs: spec.inputs,
            outputs: outputs.clone(),
            factory: spec.factory,
            sink: spec.sink,
            kept: spec.kept,
            exclusive_path: spec.exclusive_path,
        });
        outputs
    }

    /// Returns, for each collection, the consumers as (node, input number).
    pub(crate) fn consumers(&self) -> Vec<Vec<(usize, usize)>> {
        let mut consumers = vec![Vec::new(); self.collections.len()];
        for node in &self.nodes {
            for (input, &collection) in node.inputs.iter().enumerate() {
                consumers[collection].push((node.id, input));
            }
        }
        consumers
    }
}
