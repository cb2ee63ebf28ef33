//! Stands before a Pub/Sub server that has gRPC only, and answers REST's calls of topics and subscriptions for it.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::Request;
use axum::response::Response;
use axum::routing::put;
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1 as proto;
use proto::publisher_client::PublisherClient;
use proto::subscriber_client::SubscriberClient;
use serde_json::{Value, json};
use tonic::transport::{Channel, Endpoint};

use crate::faults::pubsub::rest_answer;

/// A server on a thread of its own, until it is dropped.
pub struct PubSubFront {
    port: u16,
    _end: tokio::sync::oneshot::Sender<()>,
}

impl PubSubFront {
    /// Starts it before the server at `address`.
    pub fn start(address: &str) -> PubSubFront {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let behind = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let routes = Router::new()
                    .route("/v1/projects/{project}/topics/{topic}", put(create_topic))
                    .route(
                        "/v1/projects/{project}/subscriptions/{subscription}",
                        put(create_subscription).get(get_subscription),
                    )
                    .fallback(pass_on)
                    .with_state(behind.connect_lazy());
                tokio::select! {
                    served = axum::serve(listener, routes) => served.expect("it serves"),
                    _ = ended => {}
                }
            });
            runtime.shutdown_background();
        });
        PubSubFront { port, _end: end }
    }

    /// Returns its address, `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

async fn pass_on(State(mut behind): State<Channel>, request: Request<Body>) -> Response {
    use tonic::codegen::Service;
    let request = request.map(tonic::body::Body::new);
    let ready = std::future::poll_fn(|context| behind.poll_ready(context)).await;
    ready.expect("a channel");
    match behind.call(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => {
            let status = tonic::Status::unavailable(error.to_string());
            status.into_http()
        }
    }
}

async fn create_topic(
    State(behind): State<Channel>,
    Path(path): Path<(String, String)>,
) -> Response {
    let name = format!("projects/{}/topics/{}", path.0, path.1);
    let topic = proto::Topic {
        name: name.clone(),
        ..Default::default()
    };
    let created = PublisherClient::new(behind).create_topic(topic).await;
    rest_answer(created.map(|_| json!({ "name": name })))
}

async fn create_subscription(
    State(behind): State<Channel>,
    Path(path): Path<(String, String)>,
    body: String,
) -> Response {
    let wanted: Value = serde_json::from_str(&body).unwrap_or_default();
    let is = |field: &str| wanted[field].as_bool().unwrap_or_default();
    let seconds = wanted["ackDeadlineSeconds"].as_i64().unwrap_or_default();
    let subscription = proto::Subscription {
        name: format!("projects/{}/subscriptions/{}", path.0, path.1),
        topic: wanted["topic"].as_str().unwrap_or_default().to_owned(),
        ack_deadline_seconds: i32::try_from(seconds).unwrap_or_default(),
        enable_message_ordering: is("enableMessageOrdering"),
        enable_exactly_once_delivery: is("enableExactlyOnceDelivery"),
        ..Default::default()
    };
    let mut behind = SubscriberClient::new(behind);
    let created = behind.create_subscription(subscription);
    rest_answer(created.await.map(|created| shown(created.into_inner())))
}

async fn get_subscription(
    State(behind): State<Channel>,
    Path(path): Path<(String, String)>,
) -> Response {
    let request = proto::GetSubscriptionRequest {
        subscription: format!("projects/{}/subscriptions/{}", path.0, path.1),
    };
    let mut behind = SubscriberClient::new(behind);
    let got = behind.get_subscription(request);
    rest_answer(got.await.map(|got| shown(got.into_inner())))
}

fn shown(subscription: proto::Subscription) -> Value {
    json!({ "name": subscription.name, "topic": subscription.topic })
}
