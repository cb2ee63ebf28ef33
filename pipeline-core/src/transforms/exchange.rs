//! The exchange: elements go to the worker that owns their key.
//!
//! Each worker has one bounded mailbox per exchange. What it owns itself does not leave the
//! thread. A message carries elements and the sender's progress behind them, so that progress
//! never overtakes data; the receiver's progress is the minimum over all senders. A full mailbox
//! never blocks a thread: messages wait on the sender's side, and the worker takes no new input
//! upstream of them until they are gone. The deepest exchange drains first, so that a full one
//! always has somebody who empties it.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

use crate::batch::Batch;
use crate::coder::Element;
use crate::error::Result;
use crate::event_log::Event;
use crate::graph::{
    Kind, Lowered, NodeContext, Operator, Polled, Port, Progress, Receiver, WorkerContext,
};
use crate::metrics::{Counter, EXCHANGED};
use crate::pcollection::PCollection;
use crate::state::key_table::partition;

/// The number of messages that a mailbox holds; each has at least 1,024 elements, or ends a
/// bundle.
pub(crate) const MAILBOX_MESSAGES: usize = 16;

/// The least number of elements of a message within a bundle.
const MESSAGE_LEN: usize = 1024;

impl<T: Element> PCollection<T> {
    /// Sends each element to the worker that `route` names, of as many as it is told; `start`
    /// makes the state of the route, per worker.
    pub(super) fn exchange<R: FnMut(&T, usize) -> usize + 'static>(
        &self,
        name: &str,
        start: impl Fn(&WorkerContext) -> R + Send + Sync + 'static,
    ) -> PCollection<T> {
        self.transform(name, Kind::Exchange, move |context, out| {
            exchange_operator(context, out, start(context.worker))
        })
    }
}

impl<K: crate::coder::Key, V: Element> PCollection<(K, V)> {
    /// Brings the elements of each key together on one worker; refuses keys without a stable
    /// encoding.
    pub(super) fn exchange_by_key(&self, name: &str, verb: &str) -> PCollection<(K, V)> {
        let path = self.pipeline().graph().scope.join("/");
        self.hold_keys_to_their_law(&path);
        if let Err(refusal) = crate::coder::check_key::<K>() {
            self.pipeline()
                .refuse(format!("'{path}' ({verb}) cannot use its key: {refusal}"));
        }
        self.exchange(name, |_| {
            |(key, _): &(K, V), workers| partition(key, workers)
        })
    }
}

struct Message<T> {
    from: usize,
    batch: Batch<T>,
    progress: Progress,
}

/// The mailbox of one worker.
struct Mailbox<T>(Mutex<VecDeque<Message<T>>>);

impl<T> Mailbox<T> {
    /// Puts a message in, or returns it when there is no room.
    fn offer(&self, message: Message<T>) -> std::result::Result<(), Message<T>> {
        let mut messages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if messages.len() >= MAILBOX_MESSAGES {
            return Err(message);
        }
        messages.push_back(message);
        Ok(())
    }

    /// Takes the next message, and tells whether the mailbox was full.
    fn take(&self) -> Option<(Message<T>, bool)> {
        let mut messages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = messages.len() >= MAILBOX_MESSAGES;
        Some((messages.pop_front()?, full))
    }
}

struct Exchange<T, R> {
    route: R,
    out: Port<T>,
    worker: usize,
    /// What waits to fill a message, by destination.
    buffers: Vec<Batch<T>>,
    /// Messages that found a full mailbox, by destination, oldest first.
    pending: Vec<VecDeque<Message<T>>>,
    mailboxes: Arc<Vec<Mailbox<T>>>,
    wakers: Arc<Vec<Waker>>,
    /// The progress that each sender has told, this worker included.
    senders: Vec<Progress>,
    told: Progress,
    context: WorkerContext,
    path: Arc<str>,
    exchanged: Counter,
}

fn exchange_operator<T: Element, R: FnMut(&T, usize) -> usize + 'static>(
    context: &NodeContext<'_>,
    out: Port<T>,
    route: R,
) -> Result<Lowered> {
    let workers = context.worker.workers;
    let mailboxes = context.shared(|| {
        let mailboxes = (0..workers).map(|_| Mailbox(Mutex::new(VecDeque::new())));
        Ok(mailboxes.collect::<Vec<Mailbox<T>>>())
    })?;
    Ok(Lowered::driven(Exchange {
        route,
        out,
        worker: context.worker.index,
        buffers: (0..workers).map(|_| Batch::default()).collect(),
        pending: (0..workers).map(|_| VecDeque::new()).collect(),
        mailboxes,
        wakers: Arc::clone(&context.worker.wakers),
        senders: vec![Progress::START; workers],
        told: Progress::START,
        context: context.worker.clone(),
        path: context.path(),
        exchanged: context.counter(EXCHANGED),
    }))
}

impl<T: Element, R> Exchange<T, R> {
    /// Sends the buffer of `to`, with the progress that holds behind it.
    fn send(&mut self, to: usize, progress: Progress) -> Result<()> {
        if to == self.worker {
            return self.out.push(&mut self.buffers[to]);
        }
        let message = Message {
            from: self.worker,
            batch: std::mem::take(&mut self.buffers[to]),
            progress,
        };
        self.context.epochs.messages.fetch_add(1, Ordering::SeqCst);
        self.pending[to].push_back(message);
        self.flush_pending(to);
        Ok(())
    }

    /// Moves waiting messages into the mailbox of `to`, and tells whether any could be.
    fn flush_pending(&mut self, to: usize) -> bool {
        let mut moved = false;
        while let Some(message) = self.pending[to].pop_front() {
            if let Err(message) = self.mailboxes[to].offer(message) {
                self.pending[to].push_front(message);
                break;
            }
            moved = true;
        }
        if moved {
            self.wakers[to].wake_by_ref();
        }
        moved
    }
}

impl<T: Element, R: FnMut(&T, usize) -> usize> Receiver<T> for Exchange<T, R> {
    fn push(&mut self, batch: &mut Batch<T>) -> Result<()> {
        self.exchanged.add(batch.len() as u64);
        let workers = self.buffers.len();
        if workers == 1 {
            return self.out.push(batch);
        }
        for (value, stamp) in batch.drain() {
            let to = (self.route)(&value, workers);
            self.buffers[to].push(value, stamp);
        }
        for to in 0..workers {
            if self.buffers[to].len() >= MESSAGE_LEN {
                self.send(to, self.told)?;
            }
        }
        Ok(())
    }
}

impl<T: Element, R: FnMut(&T, usize) -> usize> Operator for Exchange<T, R> {
    fn end_bundle(&mut self, input: Progress) -> Result<Progress> {
        for to in 0..self.buffers.len() {
            if !self.buffers[to].is_empty() || (to != self.worker && input != self.told) {
                self.send(to, input)?;
            }
        }
        self.told = input;
        self.senders[self.worker] = input;
        Ok(self
            .senders
            .iter()
            .copied()
            .fold(Progress::ENDED, Progress::meet))
    }

    fn poll(&mut self, _: &mut Context<'_>, room: bool) -> Result<Polled> {
        let mut polled = Polled::default();
        for to in 0..self.pending.len() {
            polled.worked |= self.flush_pending(to);
            polled.blocked |= !self.pending[to].is_empty();
        }
        if !room {
            return Ok(polled);
        }
        let Some((mut message, was_full)) = self.mailboxes[self.worker].take() else {
            return Ok(polled);
        };
        if was_full {
            self.wakers.iter().for_each(Waker::wake_by_ref);
        }
        polled.worked = true;
        let elements = message.batch.len();
        if let Some(log) = &self.context.event_log {
            log.record(Event::Took {
                worker: self.worker,
                transform: Arc::clone(&self.path),
                elements,
            });
        }
        self.context.bundle.add_elements(elements);
        self.senders[message.from] = message.progress;
        self.out.push(&mut message.batch)?;
        self.context.epochs.messages.fetch_sub(1, Ordering::SeqCst);
        Ok(polled)
    }

    fn is_quiet(&self) -> bool {
        self.is_finished() && self.buffers.iter().all(Batch::is_empty)
    }

    fn is_finished(&self) -> bool {
        self.pending.iter().all(VecDeque::is_empty)
    }
}
