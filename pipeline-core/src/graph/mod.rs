//! The pipeline as data: nodes and collections that can be validated, drawn and executed.
//!
//! Transforms add [`Node`]s; nothing runs while they do. A node keeps what every runner needs
//! (path, kind, inputs, outputs) and a factory of the operator that serves it, made in the
//! transform's file, where the element types are known. [`operator`] is the contract between
//! such an operator and whatever executes it. The graph knows no threads and no runner.

mod collection;
mod context;
mod draw;
mod kept;
mod node;
pub(crate) mod operator;
pub(crate) mod snapshot;
mod validate;

pub(crate) use collection::{CollectionId, TypeOps, TypeOpsOf, as_raw_bytes, encoded_edge};
pub(crate) use context::{Epochs, Flow, NodeContext, Settings, SharedSlots, WorkerContext};
pub(crate) use kept::{Kept, KeptType, ReadsSample};
pub(crate) use node::{
    Graph, Kind, Node, NodeSpec, OutputSpec, Recovery, SinkHook, SinkTask, SourceHook,
};
pub(crate) use operator::{
    AnyPort, Lowered, Operator, Polled, Port, Progress, Receiver, only_port,
};
pub(crate) use snapshot::{Frame, NodeState, PREPARED, SavedFrames, StateOut};
