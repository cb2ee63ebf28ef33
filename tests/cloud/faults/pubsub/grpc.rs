//! gRPC by hand, on an HTTP server: a frame is a byte for compression, four for the length, and the message.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Request};
use axum::response::Response;
use futures::Stream;
use http_body_util::BodyExt;
use prost::Message;
use tokio_stream::StreamExt;
use tonic::{Code, Status};

/// Reads the one message of a request.
pub async fn message<M: Message + Default>(request: Request<Body>) -> Result<M, Status> {
    let body = request.into_body().collect().await;
    let body = body.map_err(|error| Status::internal(error.to_string()))?;
    let mut frames = Frames::default();
    frames.take(&body.to_bytes());
    frames
        .next()
        .ok_or_else(|| Status::internal("a request without a message"))?
}

/// Takes requests apart.
#[derive(Default)]
pub struct Frames(Vec<u8>);

impl Frames {
    pub fn take(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub fn next<M: Message + Default>(&mut self) -> Option<Result<M, Status>> {
        let length = u32::from_be_bytes(self.0.get(1..5)?.try_into().ok()?) as usize;
        let message = M::decode(self.0.get(5..5 + length)?);
        self.0.drain(..5 + length);
        Some(message.map_err(|error| Status::internal(error.to_string())))
    }
}

/// Puts a message into a frame.
pub fn frame(message: &impl Message) -> Bytes {
    let mut bytes = vec![0];
    let length = u32::try_from(message.encoded_len()).expect("a small message");
    bytes.extend(length.to_be_bytes());
    message.encode(&mut bytes).expect("a vector grows");
    bytes.into()
}

/// Answers with one message, or with a status.
pub fn answer<M: Message>(answer: Result<M, Status>) -> Response {
    let (message, status) = match answer {
        Ok(message) => (Some(Ok(frame(&message))), Status::ok("")),
        Err(status) => (None, status),
    };
    let messages = futures::stream::iter(message);
    stream(messages, status)
}

/// Answers with a stream of frames; it ends with `end`, or with the first error.
pub fn stream(
    messages: impl Stream<Item = Result<Bytes, Status>> + Send + 'static,
    end: Status,
) -> Response {
    let ended = Arc::new(Mutex::new(end));
    let failed = Arc::clone(&ended);
    let frames = messages.map_while(move |message| match message {
        Ok(bytes) => Some(Ok::<_, Infallible>(bytes)),
        Err(status) => {
            *failed.lock().expect("nobody panics") = status;
            None
        }
    });
    let trailers = async move {
        let mut headers = HeaderMap::new();
        let status = ended.lock().expect("nobody panics").clone();
        status.add_header(&mut headers).expect("a status");
        Some(Ok(headers))
    };
    let body = Body::from_stream(frames).with_trailers(trailers);
    let mut response = Response::new(Body::new(body));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, grpc);
    response
}

/// Says which acknowledgements have failed, as exactly-once subscriptions do: in the metadata of an `ErrorInfo`
/// (field 3, a map) among the details (field 3, `Any`) of a `google.rpc.Status`.
pub fn failed_acks(failed: &[(String, &'static str)]) -> Status {
    let mut info = Vec::new();
    field(&mut info, 1, b"EXACTLY_ONCE_ACKID_FAILURE");
    for (ack_id, reason) in failed {
        let mut entry = Vec::new();
        field(&mut entry, 1, ack_id.as_bytes());
        field(&mut entry, 2, reason.as_bytes());
        field(&mut info, 3, &entry);
    }
    let mut any = Vec::new();
    field(&mut any, 1, b"type.googleapis.com/google.rpc.ErrorInfo");
    field(&mut any, 2, &info);
    let code = Code::FailedPrecondition;
    let mut status = vec![0x08, code as u8];
    field(&mut status, 2, b"some acknowledgements failed");
    field(&mut status, 3, &any);
    Status::with_details(code, "some acknowledgements failed", status.into())
}

/// Appends a field of bytes.
fn field(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, out);
    prost::encoding::encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}
