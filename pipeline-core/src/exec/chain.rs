//! A graph lowered to the operators of one worker.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::graph::{AnyPort, Graph, NodeContext, Operator, WorkerContext};
use crate::metrics::{ELEMENTS_IN, ELEMENTS_OUT};
use crate::user_code::at_transform;

/// A node of the graph on one worker.
pub(super) struct Link {
    pub(super) path: Arc<str>,
    pub(super) operator: Option<Rc<RefCell<dyn Operator>>>,
    /// The nodes that produce its inputs.
    pub(super) producers: Vec<usize>,
}

/// Makes the operators of one worker, consumers first: each factory gets the ports of what
/// consumes its outputs, and hands up the ports of its inputs. If one cannot be made, those that
/// were are torn down again.
pub(super) fn lower(graph: &Graph, worker: &WorkerContext) -> Result<Vec<Link>> {
    let mut links: Vec<Option<Link>> = graph.nodes.iter().map(|_| None).collect();
    let lowered = make(graph, worker, &mut links);
    let links: Vec<Link> = links.into_iter().flatten().collect();
    if let Err(error) = lowered {
        // The first error tells why; one of a teardown after it adds nothing.
        let _ = teardown(&links);
        return Err(error);
    }
    Ok(links)
}

/// Lets go of what user code set up; returns the first error after all have been called.
pub(super) fn teardown(links: &[Link]) -> Result<()> {
    let mut result = Ok(());
    for Link { path, operator, .. } in links {
        let Some(operator) = operator else { continue };
        if let Ok(mut operator) = operator.try_borrow_mut() {
            let torn_down = at_transform(path, "teardown", || operator.teardown());
            result = result.and(torn_down);
        }
    }
    result
}

fn make(graph: &Graph, worker: &WorkerContext, links: &mut [Option<Link>]) -> Result<()> {
    let consumers = graph.consumers();
    let mut producer = vec![0; graph.collections.len()];
    for node in &graph.nodes {
        for &output in &node.outputs {
            producer[output] = node.id;
        }
    }
    // The ports of each collection's consumers, in the order of the nodes.
    let mut ports: Vec<Vec<AnyPort>> = consumers.iter().map(|_| Vec::new()).collect();
    for node in graph.nodes.iter().rev() {
        let mut outputs = Vec::with_capacity(node.outputs.len());
        for &output in &node.outputs {
            let collection = &graph.collections[output];
            let passed = worker.metrics.counter(&node.path, ELEMENTS_OUT);
            for &(consumer, _) in &consumers[output] {
                let path = &graph.nodes[consumer].path;
                worker.metrics.share(path, ELEMENTS_IN, &passed);
            }
            let mut waiting = std::mem::take(&mut ports[output]);
            waiting.reverse();
            let mut port = collection.types.join(waiting, passed)?;
            if worker.settings.encode_edges {
                port = collection.types.encoded(port, &collection.path)?;
            }
            outputs.push(port);
        }
        let context = NodeContext {
            worker,
            node,
            consumed: node
                .outputs
                .iter()
                .map(|&o| !consumers[o].is_empty())
                .collect(),
        };
        let lowered = at_transform(&node.path, "starting", || (node.factory)(&context, outputs))?;
        if lowered.inputs.len() != node.inputs.len() {
            let message = format!("'{}' has not a port for each input", node.path);
            return Err(Error::internal(message));
        }
        for (&input, port) in node.inputs.iter().zip(lowered.inputs).rev() {
            ports[input].push(port);
        }
        links[node.id] = Some(Link {
            path: Arc::clone(&node.path),
            operator: lowered.operator,
            producers: node.inputs.iter().map(|&input| producer[input]).collect(),
        });
    }
    Ok(())
}
