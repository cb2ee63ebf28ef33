//! REST: topics and subscriptions.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::put;
use pipeline_gcp::pubsub::{PubSub, SubscriptionOptions};
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::script::Call;
use super::{Kept, found, lock, scripted, to_status};

pub(super) fn routes() -> Router<Arc<Kept>> {
    Router::new()
        .route("/v1/projects/{project}/topics/{topic}", put(create_topic))
        .route(
            "/v1/projects/{project}/subscriptions/{subscription}",
            put(create_subscription).get(get_subscription),
        )
}

async fn create_topic(
    State(kept): State<Arc<Kept>>,
    Path(path): Path<(String, String)>,
) -> Response {
    let name = format!("projects/{}/topics/{}", path.0, path.1);
    let created = scripted(&kept, Call::CreateTopic, vec![name.clone()], || async {
        kept.local.create_topic(&name).await.map_err(to_status)?;
        Ok(json!({ "name": name }))
    });
    answer(created.await)
}

async fn create_subscription(
    State(kept): State<Arc<Kept>>,
    Path(path): Path<(String, String)>,
    body: String,
) -> Response {
    let name = format!("projects/{}/subscriptions/{}", path.0, path.1);
    let wanted: Value = serde_json::from_str(&body).unwrap_or_default();
    let is = |field: &str| wanted[field].as_bool().unwrap_or_default();
    let mut options = SubscriptionOptions::default();
    if is("enableMessageOrdering") {
        options = options.ordered();
    }
    if is("enableExactlyOnceDelivery") {
        options = options.exactly_once();
    }
    if let Some(seconds) = wanted["ackDeadlineSeconds"].as_u64().filter(|s| *s > 0) {
        options = options.ack_deadline(Duration::from_secs(seconds));
    }
    let topic = wanted["topic"].as_str().unwrap_or_default().to_owned();
    let said = vec![name.clone()];
    let created = scripted(&kept, Call::CreateSubscription, said, || async {
        kept.create_subscription(&name, &topic, &options).await?;
        Ok(json!({ "name": name, "topic": topic }))
    });
    answer(created.await)
}

async fn get_subscription(
    State(kept): State<Arc<Kept>>,
    Path(path): Path<(String, String)>,
) -> Response {
    let name = format!("projects/{}/subscriptions/{}", path.0, path.1);
    let got = scripted(&kept, Call::GetSubscription, vec![name.clone()], || async {
        let mut subscriptions = lock(&kept.subscriptions);
        let found = found(&mut subscriptions, &name)?;
        Ok(json!({ "name": name, "topic": found.topic }))
    });
    answer(got.await)
}

/// Answers as Google's REST interfaces do.
pub fn answer(answer: Result<Value, Status>) -> Response {
    let status = match answer {
        Ok(answer) => return axum::Json(answer).into_response(),
        Err(status) => status,
    };
    let (code, name) = match status.code() {
        Code::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND"),
        Code::AlreadyExists => (StatusCode::CONFLICT, "ALREADY_EXISTS"),
        Code::PermissionDenied => (StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
        Code::InvalidArgument => (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT"),
        Code::ResourceExhausted => (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED"),
        Code::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
    };
    let error = json!({ "code": code.as_u16(), "message": status.message(), "status": name });
    (code, axum::Json(json!({ "error": error }))).into_response()
}
