//! The contract between an operator and what executes it.
//!
//! Inside an operator the code is monomorphic; between operators there is one dynamic call per
//! batch ([`Receiver::push`]). All operators of a worker live on that worker's thread. A push is
//! depth first: when it returns, everything downstream has seen the batch, up to the next
//! exchange, sink, or buffer of an operator. Buffers are emptied when the worker ends the bundle:
//! it then visits the operators in topological order ([`Operator::end_bundle`]), each with the
//! progress of its inputs, and each answers with its own.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::snapshot::{NodeState, StateOut};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::metrics::Counter;
use crate::time::Timestamp;

/// Takes batches of `T`.
pub(crate) trait Receiver<T> {
    /// Takes all elements of the batch; it is empty afterwards and keeps its capacity if it can.
    fn push(&mut self, batch: &mut Batch<T>) -> Result<()>;
}

/// Leads to the consumers of a collection, and counts what passes.
pub(crate) struct Port<T> {
    receiver: Box<dyn Receiver<T>>,
    passed: Option<Counter>,
}

impl<T: 'static> Port<T> {
    pub(crate) fn new(receiver: impl Receiver<T> + 'static) -> Self {
        Port {
            receiver: Box::new(receiver),
            passed: None,
        }
    }

    pub(crate) fn counting(mut self, passed: Counter) -> Self {
        self.passed = Some(passed);
        self
    }

    pub(crate) fn push(&mut self, batch: &mut Batch<T>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        if let Some(passed) = &self.passed {
            passed.add(batch.len() as u64);
        }
        self.receiver.push(batch)
    }

    pub(crate) fn erase(self) -> AnyPort {
        AnyPort(Box::new(self))
    }
}

impl<T: 'static> Receiver<T> for Port<T> {
    fn push(&mut self, batch: &mut Batch<T>) -> Result<()> {
        Port::push(self, batch)
    }
}

/// An operator that is both pushed into and driven by its worker.
impl<T, R: Receiver<T>> Receiver<T> for Rc<RefCell<R>> {
    fn push(&mut self, batch: &mut Batch<T>) -> Result<()> {
        self.borrow_mut().push(batch)
    }
}

/// A [`Port`] whose element type is forgotten until a factory downcasts it.
pub(crate) struct AnyPort(Box<dyn Any>);

impl AnyPort {
    /// Returns the typed port; a mismatch is a defect of the engine.
    pub(crate) fn typed<T: 'static>(self) -> Result<Port<T>> {
        match self.0.downcast::<Port<T>>() {
            Ok(port) => Ok(*port),
            Err(_) => Err(Error::internal(format!(
                "a port does not take {}",
                std::any::type_name::<T>()
            ))),
        }
    }
}

/// Returns the port of a node's only output.
pub(crate) fn only_port<T: 'static>(ports: Vec<AnyPort>) -> Result<Port<T>> {
    let mut ports = ports.into_iter();
    match (ports.next(), ports.next()) {
        (Some(port), None) => port.typed(),
        _ => Err(Error::internal("a node has not one output")),
    }
}

/// How far a collection has come on one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// No element with an earlier timestamp follows, but for late ones.
    pub(crate) watermark: Timestamp,
    /// No element follows at all; a stopped input closes below the end of time.
    pub(crate) closed: bool,
}

impl Progress {
    pub(crate) const START: Progress = Progress {
        watermark: Timestamp::MIN,
        closed: false,
    };

    pub(crate) const ENDED: Progress = Progress {
        watermark: Timestamp::MAX,
        closed: true,
    };

    /// Returns the progress of several inputs taken together.
    pub(crate) fn meet(self, other: Progress) -> Progress {
        Progress {
            watermark: self.watermark.min(other.watermark),
            closed: self.closed && other.closed,
        }
    }

    /// Returns this progress with the watermark held at `hold`.
    pub(crate) fn held_at(self, hold: Timestamp) -> Progress {
        Progress {
            watermark: self.watermark.min(hold),
            ..self
        }
    }
}

/// What became of an [`Operator::poll`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Polled {
    /// Something came in or went out.
    pub(crate) worked: bool,
    /// The operator waits for room or for an answer; nothing upstream of it may be polled.
    pub(crate) blocked: bool,
}

/// What a worker drives, besides pushing batches.
pub(crate) trait Operator {
    /// Ends the bundle: buffers go downstream, `input` becomes the input's progress, timers and
    /// windows that it lets fire do. Returns the progress of the outputs.
    fn end_bundle(&mut self, input: Progress) -> Result<Progress>;

    /// Takes in at most one batch from outside (a source, another worker, an answer of a sink),
    /// if `room` says that nothing downstream is blocked, and lets out what waits. The waker of
    /// `context` wakes the worker when there is more to do. Default: there is no outside.
    fn poll(&mut self, _context: &mut Context<'_>, _room: bool) -> Result<Polled> {
        Ok(Polled::default())
    }

    /// Reads no more (sources only); what was read goes on. Default: nothing to stop.
    fn stop(&mut self) {}

    /// Reads no more (sources only), as if the input had ended. Default: nothing to end.
    fn drain(&mut self) {}

    /// Tells whether nothing is on its way in here: no read or write under way, no message that
    /// waits. Default: it holds nothing between two bundles.
    fn is_quiet(&self) -> bool {
        true
    }

    /// Has what was written so far prepared for the epoch that ends (sinks only); called again
    /// until it is ready, with everything on all workers at rest.
    fn poll_prepare(&mut self, _context: &mut Context<'_>, _epoch: u64) -> Result<Poll<()>> {
        Ok(Poll::Ready(()))
    }

    /// Writes what must survive; called when everything is prepared.
    fn save(&mut self, _out: &mut StateOut<'_>) -> Result<()> {
        Ok(())
    }

    /// Takes back what is this worker's of what all workers of the run before have saved; called
    /// once, before the first step.
    fn load(&mut self, _state: &NodeState) -> Result<()> {
        Ok(())
    }

    /// Returns the number of groups and keyed states that are open. Default: none.
    fn open_groups(&self) -> u64 {
        0
    }

    /// Tells whether nothing is left to do once the outputs are closed. Default: yes.
    fn is_finished(&self) -> bool {
        true
    }

    /// Lets go of what user code set up, after the last bundle. Default: nothing.
    fn teardown(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What a factory returns: the ports of a node's inputs and the operator to drive, if any.
pub(crate) struct Lowered {
    pub(crate) inputs: Vec<AnyPort>,
    pub(crate) operator: Option<Rc<RefCell<dyn Operator>>>,
}

impl Lowered {
    /// An operator with one input that only passes on what it is pushed.
    pub(crate) fn passive<T: 'static>(receiver: impl Receiver<T> + 'static) -> Self {
        Lowered {
            inputs: vec![Port::new(receiver).erase()],
            operator: None,
        }
    }

    /// An operator with one input that its worker also drives.
    pub(crate) fn driven<T: 'static>(operator: impl Receiver<T> + Operator + 'static) -> Self {
        let operator = Rc::new(RefCell::new(operator));
        Lowered {
            inputs: vec![Port::new(Rc::clone(&operator)).erase()],
            operator: Some(operator),
        }
    }

    /// An operator without inputs.
    pub(crate) fn root(operator: impl Operator + 'static) -> Self {
        Lowered {
            inputs: Vec::new(),
            operator: Some(Rc::new(RefCell::new(operator))),
        }
    }
}
