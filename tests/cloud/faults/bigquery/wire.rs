//! gRPC on an HTTP server: messages in frames (a byte for compression, four for the length), a status in trailers.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use http_body_util::BodyExt;
use prost::Message;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

/// Reads the messages of a request as they come.
pub(super) struct Messages {
    body: Body,
    bytes: Vec<u8>,
}

impl Messages {
    pub fn new(body: Body) -> Self {
        let bytes = Vec::new();
        Messages { body, bytes }
    }

    /// Returns the next message; `None` when the client has ended or is gone.
    pub async fn next<M: Message + Default>(&mut self) -> Option<M> {
        loop {
            if let Some(head) = self.bytes.get(1..5) {
                let length = u32::from_be_bytes(head.try_into().expect("four bytes")) as usize;
                if let Some(message) = self.bytes.get(5..5 + length) {
                    let message = M::decode(message).expect("a message");
                    self.bytes.drain(..5 + length);
                    return Some(message);
                }
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.bytes.extend_from_slice(&data);
            }
        }
    }
}

fn framed(message: &impl Message) -> Bytes {
    let length = u32::try_from(message.encoded_len()).expect("a small message");
    let mut bytes = vec![0];
    bytes.extend(length.to_be_bytes());
    bytes.extend(message.encode_to_vec());
    bytes.into()
}

/// Answers with one message or a status.
pub(super) fn one<M: Message + 'static>(answer: Result<M, Status>) -> Response {
    many(tokio_stream::once(answer))
}

/// Answers with messages, until the first error or the end.
pub(super) fn many<M: Message + 'static>(
    answers: impl Stream<Item = Result<M, Status>> + Send + 'static,
) -> Response {
    let end = Arc::new(Mutex::new(Status::ok("")));
    let failed = Arc::clone(&end);
    let frames = answers.map_while(move |answer| match answer {
        Ok(message) => Some(Ok::<_, Infallible>(framed(&message))),
        Err(status) => {
            *failed.lock().unwrap_or_else(PoisonError::into_inner) = status;
            None
        }
    });
    let trailers = async move {
        let end = end.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut headers = HeaderMap::new();
        end.add_header(&mut headers).expect("a status");
        Some(Ok(headers))
    };
    let body = Body::from_stream(frames).with_trailers(trailers);
    let mut response = Response::new(Body::new(body));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, grpc);
    response
}
