//! Pub/Sub that fails by script: REST for topics and subscriptions, gRPC for messages, on one port.
//!
//! Messages are kept by [`LocalPubSub`], whose rules are those of Google's documentation; this file adds the protocol,
//! what exactly-once subscriptions say of acknowledgements, flow control, and failures on demand.

mod grpc;
mod rest;
mod script;
mod streaming;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::response::Response;
use axum::routing::post;
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1 as proto;
use pipeline_gcp::cloud::{Cloud, Service};
use pipeline_gcp::pubsub::{
    CloudPubSub, LocalPubSub, NewMessage, PubSub, PubSubErrorKind, SubscriptionOptions,
};
use tonic::{Code, Status};

pub use self::rest::answer as rest_answer;
pub use self::script::{Action, Call};
use self::script::{Said, Script};
use self::streaming::Stream;

/// A server on a thread of its own, until it is dropped.
pub struct PubSubServer {
    port: u16,
    kept: Arc<Kept>,
    _end: tokio::sync::oneshot::Sender<()>,
}

/// What the server keeps.
struct Kept {
    local: LocalPubSub,
    script: Mutex<Script>,
    subscriptions: Mutex<BTreeMap<String, Subscription>>,
    streams: Mutex<Vec<Arc<Stream>>>,
}

struct Subscription {
    topic: String,
    exactly_once: bool,
    /// Ack ids that have been acknowledged: to do it again is no error.
    done: HashSet<String>,
}

impl PubSubServer {
    /// Starts it.
    pub fn start() -> PubSubServer {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        Self::serve(listener)
    }

    fn serve(listener: std::net::TcpListener) -> PubSubServer {
        listener.set_nonblocking(true).expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let kept = Arc::new(Kept {
            local: LocalPubSub::new().with_backlog(1 << 30),
            script: Mutex::default(),
            subscriptions: Mutex::default(),
            streams: Mutex::default(),
        });
        let routes = routes(Arc::clone(&kept));
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let serving = axum::serve(listener, routes);
                tokio::select! {
                    served = serving => served.expect("it serves"),
                    _ = ended => {}
                }
            });
            runtime.shutdown_background();
        });
        PubSubServer {
            port,
            kept,
            _end: end,
        }
    }

    /// Returns its address, `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns a client of it.
    pub fn client(&self) -> CloudPubSub {
        let address = self.address();
        let cloud = Cloud::from_env().and_then(|c| c.endpoint(Service::PubSub, &address));
        CloudPubSub::new(&cloud.expect("an address"), "p")
    }

    /// Has the calls with these numbers, from 1 and from now on, end like that.
    pub fn on(&self, call: Call, numbers: impl IntoIterator<Item = u32>, action: Action) {
        lock(&self.kept.script).add(call, numbers, action);
    }

    /// Has all calls from now on end like that, until [`heal`](Self::heal).
    pub fn always(&self, call: Call, action: Action) {
        lock(&self.kept.script).always(call, action);
    }

    /// Lets everything go well from now on.
    pub fn heal(&self) {
        lock(&self.kept.script).heal();
    }

    /// Returns how often it was called.
    pub fn calls(&self, call: Call) -> usize {
        lock(&self.kept.script).calls(call)
    }

    /// Returns what was said in calls, one entry for each: the data of published messages, or ack ids.
    pub fn journal(&self, call: Call) -> Vec<Vec<String>> {
        lock(&self.kept.script).journal(call)
    }

    /// Returns the service behind it.
    pub fn local(&self) -> &LocalPubSub {
        &self.kept.local
    }

    /// Forgets a subscription, as if somebody had deleted it.
    pub fn forget(&self, subscription: &str) {
        lock(&self.kept.subscriptions).remove(subscription);
        self.cut_streams();
    }

    /// Ends all streams with an error that passes.
    pub fn cut_streams(&self) {
        for stream in lock(&self.kept.streams).drain(..) {
            stream.cut(Status::unavailable("cut"));
        }
    }
}

fn routes(kept: Arc<Kept>) -> Router {
    Router::new()
        .route("/google.pubsub.v1.Publisher/Publish", post(publish))
        .route(
            "/google.pubsub.v1.Subscriber/Acknowledge",
            post(acknowledge),
        )
        .route(
            "/google.pubsub.v1.Subscriber/ModifyAckDeadline",
            post(modify_ack_deadline),
        )
        .route(
            "/google.pubsub.v1.Subscriber/StreamingPull",
            post(streaming::streaming_pull),
        )
        .merge(rest::routes())
        .with_state(kept)
}

/// Does what the script says of a call; `effect` is what the call does.
async fn scripted<T, F: Future<Output = Result<T, Status>>>(
    kept: &Kept,
    call: Call,
    said: Said,
    effect: impl FnOnce() -> F,
) -> Result<T, Status> {
    let action = lock(&kept.script).next(call, said);
    match action {
        None => effect().await,
        Some(Action::Fail(code)) => Err(Status::new(code, "by script")),
        Some(Action::Delay(time)) => {
            tokio::time::sleep(time).await;
            effect().await
        }
        Some(Action::Silence) => std::future::pending().await,
        Some(Action::LoseAnswer) => {
            effect().await?;
            Err(Status::unavailable("the answer was lost, by script"))
        }
        // These are the streams' and the acknowledgements' own.
        Some(Action::FailAcks(_) | Action::CutAfter(..) | Action::Twice) => effect().await,
    }
}

async fn publish(State(kept): State<Arc<Kept>>, request: Request<Body>) -> Response {
    let request: proto::PublishRequest = match grpc::message(request).await {
        Ok(request) => request,
        Err(status) => return grpc::answer::<proto::PublishResponse>(Err(status)),
    };
    let said = request.messages.iter();
    let said = said.map(|m| String::from_utf8_lossy(&m.data).into_owned());
    let answer = scripted(&kept, Call::Publish, said.collect(), || async {
        // The one rule of schemas that tests need: data that begins with `!` is refused, but by topics of what is.
        let has_schema = !request.topic.contains("refused");
        if has_schema
            && request
                .messages
                .iter()
                .any(|m| m.data.first() == Some(&b'!'))
        {
            return Err(Status::invalid_argument("it does not match the schema"));
        }
        let messages = request.messages.into_iter().map(|message| {
            let new = NewMessage::new(message.data).ordering_key(message.ordering_key);
            let attributes = message.attributes.into_iter();
            attributes.fold(new, |new, (name, value)| new.attribute(name, value))
        });
        let messages = messages.collect();
        let ids = kept.local.publish(&request.topic, messages).await;
        Ok(proto::PublishResponse {
            message_ids: ids.map_err(to_status)?,
        })
    });
    grpc::answer(answer.await)
}

async fn acknowledge(State(kept): State<Arc<Kept>>, request: Request<Body>) -> Response {
    let request: proto::AcknowledgeRequest = match grpc::message(request).await {
        Ok(request) => request,
        Err(status) => return grpc::answer::<()>(Err(status)),
    };
    let failing = lock(&kept.script).ack_failure(Call::Acknowledge);
    let ids = request.ack_ids.clone();
    let answer = scripted(&kept, Call::Acknowledge, ids, || async {
        let fails = |id: &String| failing.is_some() && Some(id) == request.ack_ids.first();
        let (failed, good): (Vec<_>, Vec<_>) = request.ack_ids.iter().cloned().partition(fails);
        let mut failed: Vec<(String, &'static str)> = failed
            .into_iter()
            .filter_map(|id| Some((id, failing?)))
            .collect();
        let late = kept.local.acknowledge_each(&request.subscription, &good);
        let late = late.await.map_err(to_status)?;
        kept.no_longer_out(&good);
        let mut subscriptions = lock(&kept.subscriptions);
        let subscription = found(&mut subscriptions, &request.subscription)?;
        let done = &mut subscription.done;
        for late in late {
            if !done.contains(&late.ack_id) {
                failed.push((late.ack_id, "PERMANENT_FAILURE_INVALID_ACK_ID"));
            }
        }
        done.extend(good);
        match failed.is_empty() || !subscription.exactly_once {
            true => Ok(()),
            false => Err(grpc::failed_acks(&failed)),
        }
    });
    grpc::answer(answer.await)
}

async fn modify_ack_deadline(State(kept): State<Arc<Kept>>, request: Request<Body>) -> Response {
    let request: proto::ModifyAckDeadlineRequest = match grpc::message(request).await {
        Ok(request) => request,
        Err(status) => return grpc::answer::<()>(Err(status)),
    };
    let seconds = request.ack_deadline_seconds;
    let call = match seconds {
        0 => Call::Nack,
        _ => Call::Extend,
    };
    let answer = scripted(&kept, call, request.ack_ids.clone(), || async {
        let deadline = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        let (local, name) = (&kept.local, &request.subscription);
        let modified = local.modify_ack_deadline(name, &request.ack_ids, deadline);
        modified.await.map_err(to_status)?;
        if seconds == 0 {
            kept.no_longer_out(&request.ack_ids);
        }
        Ok(())
    });
    grpc::answer(answer.await)
}

impl Kept {
    /// Makes room in the streams that these have been sent on.
    fn no_longer_out(&self, ack_ids: &[String]) {
        for stream in &*lock(&self.streams) {
            stream.remove(ack_ids);
        }
    }

    async fn create_subscription(
        &self,
        name: &str,
        topic: &str,
        options: &SubscriptionOptions,
    ) -> Result<(), Status> {
        if lock(&self.subscriptions).contains_key(name) {
            return Err(Status::already_exists(name));
        }
        let created = self.local.create_subscription_with(name, topic, options);
        created.await.map_err(to_status)?;
        let subscription = Subscription {
            topic: topic.to_owned(),
            exactly_once: options.is_exactly_once(),
            done: HashSet::new(),
        };
        lock(&self.subscriptions).insert(name.to_owned(), subscription);
        Ok(())
    }
}

fn found<'s>(
    subscriptions: &'s mut BTreeMap<String, Subscription>,
    name: &str,
) -> Result<&'s mut Subscription, Status> {
    let found = subscriptions.get_mut(name);
    found.ok_or_else(|| Status::not_found(format!("Resource not found (resource={name}).")))
}

fn to_status(error: pipeline_gcp::pubsub::PubSubError) -> Status {
    let code = match error.kind() {
        PubSubErrorKind::TopicNotFound { .. } | PubSubErrorKind::SubscriptionNotFound { .. } => {
            Code::NotFound
        }
        PubSubErrorKind::InvalidMessage { .. } => Code::InvalidArgument,
        _ => Code::FailedPrecondition,
    };
    Status::new(code, error.to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
