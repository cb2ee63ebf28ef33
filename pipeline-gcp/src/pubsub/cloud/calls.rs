//! Calls with a deadline, a bounded number of attempts, and errors that say what was asked.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use google_cloud_gax::error::Error as Answer;
use google_cloud_gax::error::rpc::Code;
use tokio::time::Instant;

use crate::cloud::within;
use crate::pubsub::error::PubSubErrorKind;

/// The pause after the first attempt; each further one is twice as long, up to [`LONGEST_PAUSE`], and all are cut
/// short at random by up to a half.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long a call may take, and how often it is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) deadline: Duration,
    pub(super) attempts: u32,
}

/// What the service answers in place of doing it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    NotFound,
    AlreadyExists,
    /// The caller may not do it.
    Denied(String),
    /// The request is wrong, and another may not be.
    Invalid(String),
    /// It may pass.
    Transient(String),
    Other(String),
}

impl Fault {
    /// Tells what an answer means: <https://cloud.google.com/pubsub/docs/reference/error-codes>.
    pub(super) fn of(answer: &Answer) -> Fault {
        let said = said(answer);
        if let Some(status) = answer.status() {
            return match status.code {
                Code::NotFound => Fault::NotFound,
                Code::AlreadyExists => Fault::AlreadyExists,
                Code::PermissionDenied | Code::Unauthenticated => Fault::Denied(said),
                Code::InvalidArgument | Code::OutOfRange => Fault::Invalid(said),
                Code::Aborted
                | Code::Cancelled
                | Code::DeadlineExceeded
                | Code::Internal
                | Code::ResourceExhausted
                | Code::Unavailable
                | Code::Unknown => Fault::Transient(said),
                _ => Fault::Other(said),
            };
        }
        match answer.http_status_code() {
            Some(404) => return Fault::NotFound,
            Some(409) => return Fault::AlreadyExists,
            Some(401 | 403) => return Fault::Denied(said),
            Some(408 | 429 | 500..=599) => return Fault::Transient(said),
            Some(_) => return Fault::Other(said),
            None => {}
        }
        let passing = answer.is_io()
            || answer.is_timeout()
            || answer.is_connect()
            || answer.is_transport()
            || answer.is_exhausted()
            || answer.is_transient_and_before_rpc();
        if passing {
            Fault::Transient(said)
        } else {
            Fault::Other(said)
        }
    }

    /// Says what could not be done.
    pub(super) fn refuse(self, operation: &str) -> PubSubErrorKind {
        let operation = operation.to_owned();
        let reason = match self {
            Fault::NotFound => "it does not exist".to_owned(),
            Fault::AlreadyExists => "it is there already".to_owned(),
            Fault::Denied(said) => format!("{said}; give the account the permission"),
            Fault::Invalid(said) | Fault::Other(said) => said,
            Fault::Transient(reason) => return PubSubErrorKind::Unavailable { operation, reason },
        };
        PubSubErrorKind::Refused { operation, reason }
    }
}

/// Says what the service, or the network, has said; nothing that was sent to it.
pub(super) fn said(answer: &Answer) -> String {
    if let Some(status) = answer.status() {
        return format!("{:?}: {}", status.code, status.message);
    }
    if let Some(code) = answer.http_status_code() {
        return format!("HTTP status {code}");
    }
    let mut said = answer.to_string();
    let mut next = std::error::Error::source(answer);
    while let Some(error) = next {
        let text = error.to_string();
        if !said.contains(&text) {
            said.push_str(": ");
            said.push_str(&text);
        }
        next = error.source();
    }
    said
}

/// Calls until there is an answer that does not pass, the attempts are used up or the deadline is over.
///
/// `operation` says what is asked: `create topic "chat"`.
pub(super) async fn call<T, F: Future<Output = Result<T, Answer>>>(
    patience: Patience,
    operation: &str,
    ask: impl Fn() -> F,
) -> Result<Result<T, Fault>, PubSubErrorKind> {
    let begin = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut last = String::new();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let remaining = patience.deadline.saturating_sub(begin.elapsed());
        match within(remaining, "Pub/Sub", ask()).await {
            Ok(Ok(answer)) => return Ok(Ok(answer)),
            Ok(Err(answer)) => match Fault::of(&answer) {
                Fault::Transient(said) => last = said,
                fault => return Ok(Err(fault)),
            },
            Err(_) if last.is_empty() => last = "no answer".to_owned(),
            Err(_) => last.push_str(", then no answer"),
        }
        let pausing = jittered(pause);
        if attempts >= patience.attempts || begin.elapsed() + pausing >= patience.deadline {
            return Err(PubSubErrorKind::GaveUp {
                operation: operation.to_owned(),
                attempts,
                elapsed: begin.elapsed(),
                reason: last,
            });
        }
        tokio::time::sleep(pausing).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Cuts a pause short by up to a half, so that many callers do not come again at once.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8) % 1_000;
    pause.mul_f64(0.5 + random as f64 / 2_000.0)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use google_cloud_gax::error::rpc::Status;

    use super::*;

    fn status(code: Code) -> Answer {
        Answer::service(Status::default().set_code(code).set_message("so it is"))
    }

    const PATIENCE: Patience = Patience {
        deadline: Duration::from_secs(60),
        attempts: 4,
    };

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_tried_again_and_not_for_ever() {
        let asked = AtomicU32::new(0);
        let ask = async || match asked.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Err(status(Code::Unavailable)),
            _ => Ok(1),
        };
        assert!(matches!(call(PATIENCE, "x", ask).await, Ok(Ok(1))));
        let ask = async || Err::<(), _>(status(Code::Unavailable));
        let error = call(PATIENCE, "create topic \"t\"", ask)
            .await
            .expect_err("no");
        let said = error.to_string();
        let (begin, end) = (
            "Pub/Sub could not create topic \"t\" within",
            "(4 attempts): Unavailable: so it is",
        );
        assert!(said.starts_with(begin) && said.ends_with(end), "{said}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_at_the_deadline() {
        let begin = Instant::now();
        let ask = std::future::pending::<Result<(), Answer>>;
        let error = call(PATIENCE, "pull", ask).await.expect_err("silence");
        assert_eq!(begin.elapsed(), PATIENCE.deadline);
        assert!(
            error.to_string().ends_with("(1 attempts): no answer"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_does_not_pass_is_said_at_once() {
        for (code, expected) in [
            (Code::NotFound, Fault::NotFound),
            (Code::AlreadyExists, Fault::AlreadyExists),
            (
                Code::PermissionDenied,
                Fault::Denied("PermissionDenied: so it is".into()),
            ),
            (
                Code::InvalidArgument,
                Fault::Invalid("InvalidArgument: so it is".into()),
            ),
            (
                Code::FailedPrecondition,
                Fault::Other("FailedPrecondition: so it is".into()),
            ),
        ] {
            let asked = AtomicU32::new(0);
            let ask = async || {
                asked.fetch_add(1, Ordering::Relaxed);
                Err::<(), _>(status(code))
            };
            assert_eq!(
                call(PATIENCE, "x", ask).await.expect("an answer"),
                Err(expected)
            );
            assert_eq!(asked.into_inner(), 1);
        }
    }
}
