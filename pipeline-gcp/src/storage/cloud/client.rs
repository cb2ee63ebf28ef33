//! Requests: addresses, the account, attempts and deadlines.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use google_cloud_auth::credentials::{CacheableResource, Credentials};
use http::{Extensions, HeaderMap, StatusCode};
use reqwest::{RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use super::Call;
use crate::cloud::{Cloud, PerRuntime, Service, within};
use crate::storage::error::{StorageError, StorageErrorKind};

const GOOGLE: &str = "https://storage.googleapis.com";

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// What a message shows of an answer.
const SHOWN: usize = 300;

/// How often and how long a call is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    attempts: u32,
    attempt: Duration,
    call: Duration,
    first_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience::within(Duration::from_secs(60))
    }
}

impl Patience {
    pub(super) fn within(deadline: Duration) -> Self {
        Patience {
            attempts: 6,
            attempt: deadline / 3,
            call: deadline,
            first_pause: Duration::from_millis(200).min(deadline / 30),
        }
    }
}

/// Sends requests for all buckets.
pub(super) struct Client {
    cloud: Cloud,
    base: Url,
    patience: Patience,
    http: Arc<PerRuntime<Http>>,
}

struct Http {
    client: reqwest::Client,
    credentials: Credentials,
}

/// Why an attempt failed.
pub(super) struct Fault {
    pub(super) kind: StorageErrorKind,
    pub(super) reason: String,
}

/// A whole answer that says that the call went well, or (308) that an upload goes on.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    pub(super) fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, StorageError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let why = format!(
                "the answer is not understood: {error}: {}",
                shown(&self.body)
            );
            call.error(StorageErrorKind::Other, why)
        })
    }
}

impl Client {
    pub(super) fn new(cloud: &Cloud, patience: Patience) -> Self {
        let address = cloud.address(Service::Storage);
        let address = address.map_or(GOOGLE, |endpoint| endpoint.url());
        Client {
            base: Url::parse(address).expect("an endpoint was parsed before"),
            cloud: cloud.clone(),
            patience,
            http: Arc::new(PerRuntime::new()),
        }
    }

    pub(super) fn with(&self, patience: Patience) -> Self {
        Client::new(&self.cloud, patience)
    }

    /// Returns how long to wait for the next bytes of an answer.
    pub(super) fn chunk_patience(&self) -> Duration {
        self.patience.attempt
    }

    /// Returns the address of something below `/storage/v1`; each part is one, whatever it holds.
    pub(super) fn url(&self, parts: &[&str], query: &[(&str, &str)]) -> Url {
        self.address(&["storage", "v1"], parts, query)
    }

    /// Returns the address of uploads into a bucket.
    pub(super) fn upload_url(&self, bucket: &str, query: &[(&str, &str)]) -> Url {
        let parts = ["b", bucket, "o"];
        self.address(&["upload", "storage", "v1"], &parts, query)
    }

    fn address(&self, root: &[&str], parts: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(root);
            // `extend` drops parts that are "." or ".."; they are no names that are written, and none
            // that could be read.
            path.extend(parts);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Sends a request until it is answered for good, and reads the whole answer.
    pub(super) async fn call(
        &self,
        call: &Call,
        request: impl Fn(&reqwest::Client) -> RequestBuilder + Send + Sync,
    ) -> Result<Answer, StorageError> {
        self.retried(call, || self.attempt(&request)).await
    }

    /// Sends a request once, and reads the whole answer.
    pub(super) async fn attempt(
        &self,
        request: &(impl Fn(&reqwest::Client) -> RequestBuilder + Send + Sync),
    ) -> Result<Answer, Fault> {
        let response = self.send(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.map_err(|error| Fault::of(&error))?;
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    /// Sends a request once; an answer that is none of success is a fault.
    pub(super) async fn send(
        &self,
        request: &(impl Fn(&reqwest::Client) -> RequestBuilder + Send + Sync),
    ) -> Result<Response, Fault> {
        let http = self.http().await?;
        let account = match http.credentials.headers(Extensions::new()).await {
            Ok(CacheableResource::New { data, .. }) => data,
            Ok(CacheableResource::NotModified) => HeaderMap::new(),
            Err(error) => {
                return Err(Fault {
                    kind: match error.is_transient() {
                        true => StorageErrorKind::Transient,
                        false => StorageErrorKind::Denied,
                    },
                    reason: format!("there is no token for the account: {error}"),
                });
            }
        };
        let response = request(&http.client).headers(account).send().await;
        let response = response.map_err(|error| Fault::of(&error))?;
        let status = response.status();
        if status.is_success() || status == StatusCode::PERMANENT_REDIRECT {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        Err(Fault::status(status, &body))
    }

    /// Makes attempts until one is final; there is a pause between two.
    pub(super) async fn retried<R, F>(
        &self,
        call: &Call,
        mut attempt: impl FnMut() -> F + Send,
    ) -> Result<R, StorageError>
    where
        F: Future<Output = Result<R, Fault>> + Send,
    {
        let patience = self.patience;
        let until = Instant::now() + patience.call;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let fault = match self.timely(attempt()).await {
                Ok(done) => return Ok(done),
                Err(fault) => fault,
            };
            if !fault.may_pass() {
                return Err(call.error(fault.kind, fault.reason));
            }
            let wait = self.pause(attempts);
            // The last attempt has its time too.
            let next = Instant::now() + wait + patience.attempt;
            if attempts == patience.attempts || next > until + Duration::from_millis(1) {
                let reason = format!("{} (after {attempts} attempts)", fault.reason);
                return Err(call.error(fault.kind, reason));
            }
            sleep(wait).await;
        }
    }

    /// Gives an attempt its time.
    pub(super) async fn timely<R>(
        &self,
        attempt: impl Future<Output = Result<R, Fault>>,
    ) -> Result<R, Fault> {
        let patience = self.patience.attempt;
        match within(patience, "an attempt", attempt).await {
            Ok(done) => done,
            Err(_) => Err(Fault {
                kind: StorageErrorKind::TimedOut,
                reason: format!("no answer within {patience:?}"),
            }),
        }
    }

    /// Returns how long to wait behind so many failures in a row.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let doubled = 1_u32 << failures.saturating_sub(1).min(6);
        self.patience.first_pause.mul_f64(0.5 + random()) * doubled
    }

    async fn http(&self) -> Result<Arc<Http>, Fault> {
        let make = async || {
            let credentials = self.cloud.credentials(Service::Storage);
            let credentials = credentials.map_err(|error| Fault {
                kind: StorageErrorKind::Denied,
                reason: error.to_string(),
            })?;
            let client = reqwest::Client::builder()
                .connect_timeout(CONNECT)
                // An answer of another host would not be the service's.
                .redirect(reqwest::redirect::Policy::none())
                .build();
            let client = client.map_err(|error| Fault::of(&error))?;
            Ok(Http {
                client,
                credentials,
            })
        };
        self.http.get(make).await
    }
}

impl Fault {
    pub(super) fn may_pass(&self) -> bool {
        matches!(
            self.kind,
            StorageErrorKind::Transient | StorageErrorKind::TimedOut
        )
    }

    /// What the connection came to.
    pub(super) fn of(error: &reqwest::Error) -> Fault {
        Fault {
            kind: match error.is_builder() {
                true => StorageErrorKind::Invalid,
                false => StorageErrorKind::Transient,
            },
            reason: words(error),
        }
    }

    fn status(status: StatusCode, body: &[u8]) -> Fault {
        let said = shown(body);
        let kind = match status.as_u16() {
            403 if said.contains("ateLimitExceeded") => StorageErrorKind::Transient,
            401 | 403 => StorageErrorKind::Denied,
            // 410: an upload that the service has forgotten.
            404 | 410 => StorageErrorKind::NotFound,
            // Every precondition here is that nothing is there yet.
            409 | 412 => StorageErrorKind::Exists,
            408 | 429 | 500 | 502 | 503 | 504 => StorageErrorKind::Transient,
            400..=499 => StorageErrorKind::Invalid,
            _ => StorageErrorKind::Other,
        };
        let reason = match (kind, said.is_empty()) {
            (StorageErrorKind::NotFound, _) => "it is not there".to_owned(),
            (StorageErrorKind::Exists, _) => "an object of that name is there already".to_owned(),
            (_, true) => format!("the service answers {status}"),
            (_, false) => format!("the service answers {status}: {said}"),
        };
        Fault { kind, reason }
    }
}

/// Shows the addresses, and nothing of the account.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("cloud", &self.cloud)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// Returns an error of the connection and its causes, without the address: that of an upload is a key to it.
fn words(error: &reqwest::Error) -> String {
    let mut words = match error {
        e if e.is_connect() => "no connection".to_owned(),
        e if e.is_timeout() => "no answer in time".to_owned(),
        _ => "the connection failed".to_owned(),
    };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    words
}

/// Returns what an answer says, shortened.
fn shown(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Said {
        error: Message,
    }
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
        #[serde(default)]
        errors: Vec<Reason>,
    }
    #[derive(serde::Deserialize)]
    struct Reason {
        #[serde(default)]
        reason: String,
    }
    let said = match serde_json::from_slice::<Said>(body) {
        Ok(Said { error }) => match error.errors.first() {
            Some(Reason { reason }) => format!("{} ({reason})", error.message),
            None => error.message,
        },
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    said.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(SHOWN)
        .collect()
}

/// Returns a number between 0 and 1, another each time: those who failed together should not come again together.
fn random() -> f64 {
    let drawn = RandomState::new().build_hasher().finish();
    (drawn >> 11) as f64 / (1_u64 << 53) as f64
}
