//! Pulling: streams that stay open, what they have brought, and the handlers that acknowledge it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::join_all;
use google_cloud_pubsub::model::Message as CloudMessage;
use google_cloud_pubsub::subscriber::handler::Handler;
use google_cloud_pubsub::subscriber::{MessageStream, ShutdownToken};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::calls::Fault;
use super::client::lock;
use crate::pubsub::error::PubSubErrorKind;
use crate::pubsub::message::{Message, NewMessage};
use crate::pubsub::service::{NotAcknowledged, ReceivedMessage};

/// The next ack id: several runs of this process may pull from a subscription at once.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// How long the service may take to hear that a stream has ended.
const STREAM_ENDS: Duration = Duration::from_millis(250);

/// One subscription that is pulled from.
pub(super) struct Pulling {
    /// In full.
    pub(super) name: String,
    state: Mutex<State>,
    /// Something has been brought, or the pulling has failed.
    arrived: Notify,
    /// Something has been taken.
    room: Notify,
    /// How much may wait to be taken; the service keeps to it by itself, emulators do not.
    most_waiting: usize,
    tasks: Mutex<Vec<AbortHandle>>,
    streams: Mutex<Vec<ShutdownToken>>,
}

struct State {
    /// What was brought and not taken.
    waiting: VecDeque<(u64, Handler, Message)>,
    /// What was taken and is not acknowledged.
    out: HashMap<u64, Handler>,
    failed: Option<PubSubErrorKind>,
    /// When the service was last heard.
    heard: Instant,
    /// The subscription was seen.
    seen: bool,
}

impl Pulling {
    pub(super) fn new(name: String, seen: bool, most_waiting: usize) -> Self {
        Pulling {
            name,
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                out: HashMap::new(),
                failed: None,
                heard: Instant::now(),
                seen,
            }),
            arrived: Notify::new(),
            room: Notify::new(),
            most_waiting,
            tasks: Mutex::default(),
            streams: Mutex::default(),
        }
    }

    /// Takes note of a task that is to end with the pulling.
    pub(super) fn own(&self, task: AbortHandle) {
        lock(&self.tasks).push(task);
    }

    /// Takes note of a stream.
    pub(super) fn own_stream(&self, stream: &MessageStream) {
        lock(&self.streams).push(stream.shutdown_token());
    }

    /// Reads a stream until it ends. The client opens it again whenever it breaks, and says nothing of it.
    pub(super) async fn read(&self, mut stream: MessageStream) {
        loop {
            match stream.next().await {
                Some(Ok((message, handler))) => self.bring(message, handler).await,
                Some(Err(answer)) => return self.fail(Fault::of(&answer)),
                None => return,
            }
        }
    }

    async fn bring(&self, message: CloudMessage, handler: Handler) {
        let message = from_cloud(message);
        {
            let mut state = self.state();
            state.heard = Instant::now();
            state.seen = true;
            let id = NEXT.fetch_add(1, Ordering::Relaxed);
            state.waiting.push_back((id, handler, message));
        }
        self.arrived.notify_one();
        loop {
            let room = self.room.notified();
            if self.state().waiting.len() < self.most_waiting {
                return;
            }
            room.await;
        }
    }

    /// Ends the pulling with an error.
    pub(super) fn fail(&self, fault: Fault) {
        let subscription = self.name.clone();
        let operation = format!("pull from {subscription:?}");
        let seen = self.state().seen;
        self.give_up(match fault {
            Fault::NotFound if seen => PubSubErrorKind::SubscriptionGone { subscription },
            Fault::NotFound => PubSubErrorKind::SubscriptionNotFound { subscription },
            fault => fault.refuse(&operation),
        });
    }

    /// Ends the pulling with an error; the first one stays.
    pub(super) fn give_up(&self, kind: PubSubErrorKind) {
        self.state().failed.get_or_insert(kind);
        self.arrived.notify_waiters();
        self.arrived.notify_one();
    }

    /// Says for how long nothing was heard.
    pub(super) fn quiet(&self) -> Duration {
        self.state().heard.elapsed()
    }

    /// Takes note that the service has answered.
    pub(super) fn hear(&self, seen: bool) {
        let mut state = self.state();
        state.heard = Instant::now();
        state.seen |= seen;
    }

    /// Waits for messages.
    pub(super) async fn pull(&self, most: usize) -> Result<Vec<ReceivedMessage>, PubSubErrorKind> {
        loop {
            let arrived = self.arrived.notified();
            {
                let mut state = self.state();
                // What has come before a failure is still good.
                if !state.waiting.is_empty() {
                    let received = state.take(most);
                    let more = !state.waiting.is_empty();
                    drop(state);
                    self.room.notify_waiters();
                    if more {
                        self.arrived.notify_one();
                    }
                    return Ok(received);
                }
                if let Some(kind) = &state.failed {
                    let kind = kind.clone();
                    drop(state);
                    // The others are to hear of it too.
                    self.arrived.notify_one();
                    return Err(kind);
                }
            }
            arrived.await;
        }
    }

    /// Takes the handlers of those that are out here, and leaves the others.
    pub(super) fn call_in(&self, ack_ids: &mut Vec<String>) -> Vec<(String, Handler)> {
        let mut handlers = Vec::with_capacity(ack_ids.len());
        let mut state = self.state();
        ack_ids.retain_mut(|ack_id| {
            let handler = ack_id.parse().ok().and_then(|id| state.out.remove(&id));
            let is_out = handler.is_some();
            handlers.extend(handler.map(|handler| (std::mem::take(ack_id), handler)));
            !is_out
        });
        handlers
    }

    /// Ends the streams: gives back what is out, and waits until the client has sent everything that it has to say.
    pub(super) async fn end(&self, deadline: Duration) -> Result<(), PubSubErrorKind> {
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
        // What is given back while the service still takes a stream for open would be brought by that one, and lost
        // to everybody until its lease has passed. (The emulator takes nothing back of a stream that has ended.)
        tokio::time::sleep(STREAM_ENDS).await;
        let held = {
            let mut state = self.state();
            (
                std::mem::take(&mut state.waiting),
                std::mem::take(&mut state.out),
            )
        };
        // A handler that is dropped gives back.
        drop(held);
        let begin = Instant::now();
        let streams: Vec<ShutdownToken> = lock(&self.streams).drain(..).collect();
        let ended = streams.iter().map(ShutdownToken::shutdown);
        let ended = timeout_at(begin + deadline, join_all(ended)).await;
        ended.map(drop).map_err(|_| PubSubErrorKind::GaveUp {
            operation: format!("end the streams of {:?}", self.name),
            attempts: 1,
            elapsed: deadline,
            reason: "acknowledgements may not have gone out".to_owned(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Acknowledges; where the subscription confirms it, waits for that. Returns what is known not to be.
pub(super) async fn acknowledge(
    handlers: Vec<(String, Handler)>,
    deadline: Duration,
) -> Vec<NotAcknowledged> {
    let mut confirming = Vec::new();
    let until = Instant::now() + deadline;
    for (ack_id, handler) in handlers {
        match handler {
            Handler::ExactlyOnce(handler) => confirming.push(async move {
                let reason = match timeout_at(until, handler.confirmed_ack()).await {
                    Ok(Ok(())) => return None,
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => format!("not confirmed within {deadline:?}"),
                };
                Some(NotAcknowledged { ack_id, reason })
            }),
            handler => handler.ack(),
        }
    }
    let failed = join_all(confirming).await;
    failed.into_iter().flatten().collect()
}

impl State {
    fn take(&mut self, most: usize) -> Vec<ReceivedMessage> {
        let number = most.min(self.waiting.len());
        let taken = self.waiting.drain(..number).collect::<Vec<_>>();
        let out = taken.into_iter().map(|(id, handler, message)| {
            let attempt = handler.delivery_attempt().unwrap_or(1);
            self.out.insert(id, handler);
            ReceivedMessage {
                ack_id: id.to_string(),
                delivery_attempt: u32::try_from(attempt).unwrap_or(1),
                message,
            }
        });
        out.collect()
    }
}

fn from_cloud(message: CloudMessage) -> Message {
    let time = message.publish_time.map_or(DateTime::UNIX_EPOCH, |time| {
        let nanos = u32::try_from(time.nanos()).unwrap_or_default();
        DateTime::<Utc>::from_timestamp(time.seconds(), nanos).unwrap_or_default()
    });
    NewMessage::with_attributes(message.data, message.attributes.into_iter().collect())
        .ordering_key(message.ordering_key)
        .published(message.message_id, time)
}
