//! Acknowledgements on their way back to a source.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::called;
use crate::error::Result;
use crate::source::Source;

type Acknowledging = Pin<Box<dyn Future<Output = Result<()>>>>;

/// Holds what is not acknowledged, in the order of reading.
pub(super) struct Acks<S: Source> {
    source: Arc<S>,
    path: Arc<str>,
    /// Each with its bundle and the bytes it stands for.
    queue: VecDeque<(u64, u64, S::Ack)>,
    bytes: u64,
    acknowledging: Option<Acknowledging>,
}

impl<S: Source> Acks<S> {
    pub(super) fn new(source: &Arc<S>, path: &Arc<str>) -> Self {
        Acks {
            source: Arc::clone(source),
            path: Arc::clone(path),
            queue: VecDeque::new(),
            bytes: 0,
            acknowledging: None,
        }
    }

    /// Adds what acknowledges elements of a bundle, of so many bytes; returns the bytes that are
    /// not acknowledged.
    pub(super) fn add(
        &mut self,
        bundle: u64,
        acks: impl Iterator<Item = S::Ack>,
        bytes: u64,
    ) -> u64 {
        self.queue.extend(acks.map(|ack| (bundle, 0, ack)));
        if let Some((_, of_last, _)) = self.queue.back_mut() {
            *of_last += bytes;
            self.bytes += bytes;
        }
        self.bytes
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
                    self.bytes -= bytes;
                    acks.push(ack);
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
