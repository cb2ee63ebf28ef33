//! What a failed call means: try again, give up, or done already.

use google_cloud_gax::error::Error as GaxError;
use google_cloud_gax::error::rpc::{Code, StatusDetails};

/// Says why one attempt at a call failed.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub kind: Kind,
    /// The service's words; nothing secret.
    pub reason: String,
}

/// Says what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It may pass: a quota, an overload, a lost connection, silence.
    Transient,
    NotFound,
    AlreadyExists,
    OutOfRange,
    /// The request is refused as it is.
    Invalid,
    /// A precondition does not hold (412).
    Precondition,
    Permanent,
}

impl Failure {
    pub fn new(kind: Kind, reason: impl Into<String>) -> Failure {
        Failure {
            kind,
            reason: reason.into(),
        }
    }

    /// Reads the answer of a REST call that is no success.
    pub fn of_response(status: u16, body: &[u8]) -> Failure {
        let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
        let error = json.as_ref().and_then(|json| json.get("error"));
        let text = |key: &str| error.and_then(|e| e.get(key)?.as_str());
        let reasons = error
            .and_then(|e| e.get("errors")?.as_array())
            .into_iter()
            .flatten();
        let mut reasons = reasons.filter_map(|e| e.get("reason")?.as_str());
        let reason = reasons.next().unwrap_or_default();
        let said = match text("message") {
            Some(message) => message.to_owned(),
            None => String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned(),
        };
        let named = if reason.is_empty() {
            String::new()
        } else {
            format!(" {reason}")
        };
        Failure::new(
            kind_of_http(status, reason),
            format!("HTTP {status}{named}: {said}"),
        )
    }

    /// Reads an error of Google's client.
    pub fn of_client(error: &GaxError) -> Failure {
        let payload = error.http_payload();
        if let (Some(status), Some(payload)) = (error.http_status_code(), payload)
            && !payload.is_empty()
        {
            return Failure::of_response(status, payload);
        }
        if let Some(status) = error.status() {
            let message = &status.message;
            let Some(http) = error.http_status_code() else {
                let kind = kind_of_code(status.code, message);
                return Failure::new(kind, format!("{}: {message}", status.code));
            };
            let reasons = status.details.iter().filter_map(|detail| match detail {
                StatusDetails::ErrorInfo(info) => Some(info.reason.as_str()),
                _ => None,
            });
            let reason = reasons.collect::<Vec<_>>().join(", ");
            let kind = kind_of_http(http, &reason);
            return Failure::new(kind, format!("HTTP {http} {reason}: {message}"));
        }
        let words = chain(error);
        if error.is_authentication() {
            let transient = error.is_transient_and_before_rpc();
            let kind = if transient {
                Kind::Transient
            } else {
                Kind::Permanent
            };
            return Failure::new(kind, format!("no access token: {words}"));
        }
        let passing = error.is_timeout()
            || error.is_io()
            || error.is_connect()
            || error.is_transport()
            || error.is_exhausted();
        let status = error.http_status_code().map(|s| kind_of_http(s, ""));
        let kind = if passing {
            Kind::Transient
        } else {
            Kind::Permanent
        };
        Failure::new(status.unwrap_or(kind), words)
    }

    pub fn of_reqwest(error: &reqwest::Error) -> Failure {
        let kind = match error.is_builder() {
            true => Kind::Permanent,
            false => Kind::Transient,
        };
        Failure::new(kind, chain(error))
    }
}

fn kind_of_http(status: u16, reason: &str) -> Kind {
    let passing = [
        "rateLimitExceeded",
        "quotaExceeded",
        "jobRateLimitExceeded",
        "backendError",
        "internalError",
        "tableUnavailable",
    ];
    match status {
        _ if passing.iter().any(|word| reason.contains(word)) => Kind::Transient,
        408 | 429 | 500 | 502 | 503 | 504 => Kind::Transient,
        404 => Kind::NotFound,
        409 => Kind::AlreadyExists,
        400 => Kind::Invalid,
        412 => Kind::Precondition,
        _ => Kind::Permanent,
    }
}

fn kind_of_code(code: Code, message: &str) -> Kind {
    match code {
        // What Google's own clients try again.
        Code::Aborted
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Internal
        | Code::ResourceExhausted
        | Code::Unavailable => Kind::Transient,
        // A connection that broke has no code of its own.
        Code::Unknown if message.contains("transport") || message.contains("h2 ") => {
            Kind::Transient
        }
        Code::NotFound => Kind::NotFound,
        Code::AlreadyExists => Kind::AlreadyExists,
        Code::OutOfRange => Kind::OutOfRange,
        Code::InvalidArgument => Kind::Invalid,
        Code::FailedPrecondition => Kind::Precondition,
        _ => Kind::Permanent,
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        next = error.source();
    }
    words
}
