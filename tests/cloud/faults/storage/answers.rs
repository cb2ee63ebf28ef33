//! What all answers are made of.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::json;

/// Answers with an error, as the service words it.
pub fn said(status: u16, reason: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    let error = json!({"error": {
        "code": status.as_u16(),
        "message": format!("the script says {reason}"),
        "errors": [{"reason": reason}],
    }});
    (status, axum::Json(error)).into_response()
}

/// Answers with the beginning of a body of that length, and cuts the connection.
pub fn cut(
    status: StatusCode,
    mut headers: HeaderMap,
    beginning: Bytes,
    length: usize,
) -> Response {
    headers.remove("content-length");
    headers.insert("content-length", length.into());
    let cut = std::io::Error::other("the connection is cut");
    let body = Body::from_stream(stream::iter([Ok(beginning), Err(cut)]));
    (status, headers, body).into_response()
}

/// Decodes a part of an address.
pub fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let two = (*first == b'%').then(|| behind.get(..2)).flatten();
        let hex = two.and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match hex {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}
