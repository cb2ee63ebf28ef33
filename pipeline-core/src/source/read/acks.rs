//! Acknowledgements on their way back to a source.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use super::called;
use crate::error::Result;
use crate::graph::{Flow, WorkerContext};
use crate::source::Source;

type Acknowledging = Pin<Box<dyn Future<Output = Result<()>>>>;

/// Holds what is not acknowledged, in the order of reading.
pub(super) struct Acks<S: Source> {
    source: Arc<S>,
    path: Arc<str>,
    /// Each with its bundle and the bytes it stands for.
    queue: VecDeque<(u64, u64, S::Ack)>,
    /// The bytes in the queues of all workers: what limits a source is what it has given to all.
    bytes: Arc<AtomicU64>,
    /// The bytes at which a snapshot is wanted.
    most: u64,
    /// What is told of a source that has a limit of its own.
    flow: Option<Arc<Flow>>,
    acknowledging: Option<Acknowledging>,
}

impl<S: Source> Acks<S> {
    pub(super) fn new(
        source: &Arc<S>,
        path: &Arc<str>,
        bytes: &Arc<AtomicU64>,
        context: &WorkerContext,
    ) -> Self {
        let limit = source.most_unacknowledged();
        let half = limit.map_or(u64::MAX, |limit| limit / 2);
        Acks {
            bytes: Arc::clone(bytes),
            most: half.min(context.settings.snapshot_bytes),
            flow: limit.map(|_| Arc::clone(&context.epochs.flow)),
            source: Arc::clone(source),
            path: Arc::clone(path),
            queue: VecDeque::new(),
            acknowledging: None,
        }
    }

    /// Adds what acknowledges elements of a bundle, of so many bytes; tells whether so much is not
    /// acknowledged, on all workers, that a snapshot is wanted.
    pub(super) fn add(
        &mut self,
        bundle: u64,
        acks: impl Iterator<Item = S::Ack>,
        bytes: u64,
    ) -> bool {
        let before = self.queue.len();
        self.queue.extend(acks.map(|ack| (bundle, 0, ack)));
        if let Some(flow) = &self.flow {
            let more = self.queue.len() - before;
            flow.waiting.fetch_add(more, Ordering::Relaxed);
        }
        self.moves();
        match self.queue.back_mut() {
            Some((_, of_last, _)) => {
                *of_last += bytes;
                self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes >= self.most
            }
            None => false,
        }
    }

    /// Says that the source delivers, or could not be asked to.
    pub(super) fn moves(&self) {
        if let Some(flow) = &self.flow {
            flow.moves.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Starts to acknowledge what is of bundles before that one, and goes on with it; returns
    /// whether something was acknowledged. `before` is asked only if there is something.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        before: impl FnOnce() -> u64,
    ) -> Result<bool> {
        if self.acknowledging.is_none() && !self.queue.is_empty() {
            let before = before();
            let ready = self.queue.partition_point(|(bundle, ..)| *bundle < before);
            if ready > 0 {
                let mut acks = Vec::with_capacity(ready);
                for (_, bytes, ack) in self.queue.drain(..ready) {
                    self.bytes.fetch_sub(bytes, Ordering::Relaxed);
                    acks.push(ack);
                }
                if let Some(flow) = &self.flow {
                    flow.waiting.fetch_sub(ready, Ordering::Relaxed);
                }
                let source = Arc::clone(&self.source);
                self.acknowledging = Some(Box::pin(async move { source.acknowledge(acks).await }));
            }
        }
        let Some(acknowledging) = &mut self.acknowledging else {
            return Ok(false);
        };
        let done = called("acknowledge", &self.path, || {
            match acknowledging.as_mut().poll(context) {
                Poll::Pending => Ok(false),
                Poll::Ready(done) => done.map(|()| true),
            }
        })?;
        if done {
            self.acknowledging = None;
        }
        Ok(done)
    }

    /// Tells whether everything is acknowledged.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.acknowledging.is_none()
    }
}
