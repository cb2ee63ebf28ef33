//! Streaming pull: brings what waits, as much as flow control lets it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::Request;
use axum::response::Response;
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1 as proto;
use http_body_util::BodyExt;
use pipeline_gcp::pubsub::{PubSub, Pulled, ReceivedMessage};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Status;

use super::script::{Action, Call};
use super::{Kept, found, grpc, lock, to_status};

/// The most messages of one response.
const RESPONSE: usize = 100;

/// One open stream.
pub(super) struct Stream {
    to: UnboundedSender<Result<Bytes, Status>>,
    /// What it has brought and nobody has acknowledged or given back.
    out: Mutex<HashSet<String>>,
    most: usize,
    room: Notify,
}

impl Stream {
    pub(super) fn cut(&self, status: Status) {
        let _ = self.to.send(Err(status));
    }

    pub(super) fn remove(&self, ack_ids: &[String]) {
        let mut out = lock(&self.out);
        for ack_id in ack_ids {
            out.remove(ack_id);
        }
        self.room.notify_one();
    }

    /// Waits until it may bring more, and says how much.
    async fn wait_for_room(&self) -> usize {
        loop {
            let room = self.room.notified();
            let out = lock(&self.out).len();
            if out < self.most {
                return (self.most - out).min(RESPONSE);
            }
            room.await;
        }
    }
}

pub(super) async fn streaming_pull(
    State(kept): State<Arc<Kept>>,
    request: Request<Body>,
) -> Response {
    let (to, from) = unbounded_channel();
    match open(&kept, request, &to).await {
        Ok(()) => grpc::stream(rest(from), Status::ok("")),
        Err(status) => grpc::answer::<()>(Err(status)),
    }
}

fn rest(
    from: UnboundedReceiver<Result<Bytes, Status>>,
) -> UnboundedReceiverStream<Result<Bytes, Status>> {
    UnboundedReceiverStream::new(from)
}

async fn open(
    kept: &Arc<Kept>,
    request: Request<Body>,
    to: &UnboundedSender<Result<Bytes, Status>>,
) -> Result<(), Status> {
    let mut body = request.into_body();
    let mut frames = grpc::Frames::default();
    let first: proto::StreamingPullRequest = loop {
        if let Some(first) = frames.next() {
            break first?;
        }
        let Some(Ok(frame)) = body.frame().await else {
            return Err(Status::invalid_argument("no request"));
        };
        if let Some(bytes) = frame.data_ref() {
            frames.take(bytes);
        }
    };
    let name = first.subscription;
    let action = lock(&kept.script).next(Call::StreamingPull, vec![name.clone()]);
    match action {
        Some(Action::Fail(code)) => return Err(Status::new(code, "by script")),
        Some(Action::Delay(time)) => tokio::time::sleep(time).await,
        Some(Action::Silence) => std::future::pending().await,
        _ => {}
    }
    let exactly_once = found(&mut lock(&kept.subscriptions), &name)?.exactly_once;
    let most = usize::try_from(first.max_outstanding_messages).unwrap_or_default();
    let stream = Arc::new(Stream {
        to: to.clone(),
        out: Mutex::default(),
        most: if most == 0 { usize::MAX } else { most },
        room: Notify::new(),
    });
    lock(&kept.streams).push(Arc::clone(&stream));
    let kept = Arc::clone(kept);
    let bring = Bring {
        kept,
        stream,
        name,
        exactly_once,
        action,
    };
    tokio::spawn(async move {
        tokio::select! {
            status = bring.all() => bring.stream.cut(status),
            // The client's side ends when its connection does.
            () = drained(body) => {}
        }
    });
    Ok(())
}

async fn drained(mut body: Body) {
    while let Some(Ok(_)) = body.frame().await {}
}

struct Bring {
    kept: Arc<Kept>,
    stream: Arc<Stream>,
    name: String,
    exactly_once: bool,
    action: Option<Action>,
}

impl Bring {
    /// Brings messages until something ends it.
    async fn all(&self) -> Status {
        let mut left = match self.action {
            Some(Action::CutAfter(number, _)) => number,
            _ => usize::MAX,
        };
        while left > 0 {
            let most = self.stream.wait_for_room().await.min(left);
            match self.kept.local.pull(&self.name, most).await {
                Ok(Pulled::Messages(received)) => {
                    left -= received.len();
                    if self.stream.to.is_closed() {
                        let ids: Vec<String> = received.into_iter().map(|r| r.ack_id).collect();
                        self.kept.local.give_back(&self.name, &ids);
                        return Status::cancelled("nobody hears");
                    }
                    self.bring(received);
                }
                Ok(Pulled::Closed) => std::future::pending().await,
                Err(error) => return to_status(error),
            }
        }
        match self.action {
            Some(Action::CutAfter(_, code)) => Status::new(code, "cut, by script"),
            _ => Status::ok(""),
        }
    }

    fn bring(&self, received: Vec<ReceivedMessage>) {
        lock(&self.stream.out).extend(received.iter().map(|r| r.ack_id.clone()));
        let properties = proto::streaming_pull_response::SubscriptionProperties {
            exactly_once_delivery_enabled: self.exactly_once,
            message_ordering_enabled: false,
        };
        let response = proto::StreamingPullResponse {
            received_messages: received.into_iter().map(to_proto).collect(),
            subscription_properties: Some(properties),
            ..Default::default()
        };
        let frame = grpc::frame(&response);
        if matches!(self.action, Some(Action::Twice)) {
            let _ = self.stream.to.send(Ok(frame.clone()));
        }
        let _ = self.stream.to.send(Ok(frame));
    }
}

fn to_proto(received: ReceivedMessage) -> proto::ReceivedMessage {
    let message = received.message;
    let time = message.publish_time();
    let attributes = message.attributes().clone().into_iter().collect();
    proto::ReceivedMessage {
        ack_id: received.ack_id,
        delivery_attempt: i32::try_from(received.delivery_attempt).unwrap_or(i32::MAX),
        message: Some(proto::PubsubMessage {
            data: message.data().to_vec(),
            attributes,
            message_id: message.message_id().to_owned(),
            publish_time: Some(prost_types::Timestamp {
                seconds: time.timestamp(),
                nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or_default(),
            }),
            ordering_key: message.ordering_key().to_owned(),
        }),
    }
}
