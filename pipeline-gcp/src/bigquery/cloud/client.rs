//! The clients, one set for each runtime, and how every call is made: with a deadline, and again while that may help.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use google_cloud_auth::credentials::{CacheableResource, Credentials};
use google_cloud_bigquery::client::Write;
use google_cloud_bigquery_v2::client::{JobService, TableService};
use google_cloud_gax::client_builder::Error as BuilderError;
use google_cloud_gax::retry_policy::NeverRetry;
use http::{Extensions, HeaderMap};

use super::failure::{Failure, Kind};
use super::name::TableName;
use crate::bigquery::error::{BigQueryError, BigQueryErrorKind};
use crate::cloud::{Cloud, PerRuntime, Service, within};

/// The pause after the first attempt; each further one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Talks to BigQuery, or to an emulator: [`BigQuery`](crate::bigquery::BigQuery) on Google Cloud.
///
/// ```no_run
/// use std::sync::Arc;
/// use pipeline_gcp::bigquery::{BigQuery, CloudBigQuery};
/// use pipeline_gcp::cloud::Cloud;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let cloud = Cloud::from_env()?;
/// let bigquery: Arc<dyn BigQuery> = Arc::new(CloudBigQuery::new(&cloud, "my-project").dataset("shop"));
/// let result = bigquery.query("SELECT COUNT(*) AS n FROM orders").await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct CloudBigQuery {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    cloud: Cloud,
    pub project: String,
    pub dataset: Option<String>,
    pub location: Option<String>,
    deadline: Duration,
    clients: PerRuntime<Clients>,
    pub streams: super::streams::Cache,
}

/// The clients of one runtime.
pub(super) struct Clients {
    pub tables: TableService,
    pub jobs: JobService,
    pub write: Write,
    pub http: reqwest::Client,
    credentials: Credentials,
    base: String,
}

impl CloudBigQuery {
    /// The time that a call may take with all its attempts, where [`deadline`](Self::deadline) says nothing else.
    pub const DEADLINE: Duration = Duration::from_secs(60);

    /// Calls BigQuery for a project. Nothing is called yet.
    pub fn new(cloud: &Cloud, project: impl Into<String>) -> Self {
        Self::built(Inner {
            cloud: cloud.clone(),
            project: project.into(),
            dataset: None,
            location: None,
            deadline: Self::DEADLINE,
            clients: PerRuntime::new(),
            streams: Default::default(),
        })
    }

    fn built(inner: Inner) -> Self {
        CloudBigQuery {
            inner: Arc::new(inner),
        }
    }

    fn with(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Inner {
            cloud: self.inner.cloud.clone(),
            project: self.inner.project.clone(),
            dataset: self.inner.dataset.clone(),
            location: self.inner.location.clone(),
            deadline: self.inner.deadline,
            clients: PerRuntime::new(),
            streams: Default::default(),
        };
        change(&mut inner);
        Self::built(inner)
    }

    /// Gives names of tables without a dataset this one. Default: such names are refused.
    #[must_use]
    pub fn dataset(self, dataset: impl Into<String>) -> Self {
        self.with(|inner| inner.dataset = Some(dataset.into()))
    }

    /// Runs jobs in a location, such as `EU` or `europe-west3`. Default: where BigQuery finds the tables of a query.
    #[must_use]
    pub fn location(self, location: impl Into<String>) -> Self {
        self.with(|inner| inner.location = Some(location.into()))
    }

    /// Limits the time of a call with all its attempts; one attempt gets a third of it. Default: 60 s.
    ///
    /// A query may take longer: it is asked for again and again, and each of these calls has the limit.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        self.with(|inner| inner.deadline = deadline)
    }

    pub(super) fn table(&self, name: &str) -> Result<TableName, BigQueryError> {
        TableName::parse(name, &self.inner.project, self.inner.dataset.as_deref())
    }

    /// Returns the time that one attempt may take.
    pub(super) fn attempt_deadline(&self) -> Duration {
        self.inner.deadline / 3
    }

    pub(super) async fn clients(&self) -> Result<Arc<Clients>, Failure> {
        let inner = &self.inner;
        inner
            .clients
            .get(async || Clients::new(&inner.cloud).await)
            .await
    }

    /// Makes a call, again while its failure may pass and there is time.
    pub(super) async fn call<T, F: Future<Output = Result<T, Failure>> + Send>(
        &self,
        call: &str,
        mut attempt: impl FnMut(Arc<Clients>) -> F + Send,
    ) -> Result<T, Failure> {
        let mut patience = Patience::new(self.inner.deadline);
        loop {
            let deadline = self.attempt_deadline().min(patience.left());
            let made = within(deadline, call, async {
                attempt(self.clients().await?).await
            });
            let failure = match made.await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(failure)) => failure,
                Err(slow) => Failure::new(Kind::Transient, slow),
            };
            if failure.kind != Kind::Transient {
                return Err(failure);
            }
            if !patience.wait().await {
                let said = patience.said();
                return Err(Failure::new(
                    Kind::Transient,
                    format!("{} ({said})", failure.reason),
                ));
            }
        }
    }

    pub(super) fn patience(&self) -> Patience {
        Patience::new(self.inner.deadline)
    }
}

/// Waits between attempts, longer and longer, until there is no time left.
pub(super) struct Patience {
    since: Instant,
    deadline: Duration,
    attempts: u32,
    random: oorandom::Rand32,
}

impl Patience {
    fn new(deadline: Duration) -> Self {
        // Only so that many clients do not come back at once.
        static SEED: AtomicU64 = AtomicU64::new(0);
        let seed = SEED.fetch_add(1, Ordering::Relaxed);
        Patience {
            since: Instant::now(),
            deadline,
            attempts: 1,
            random: oorandom::Rand32::new_inc(std::process::id().into(), seed),
        }
    }

    /// Waits for the next attempt; tells whether there may be one.
    pub async fn wait(&mut self) -> bool {
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.attempts.min(10).saturating_sub(1));
        let pause = doubled.min(LONGEST_PAUSE).min(self.deadline / 4);
        let pause = pause.mul_f32(0.5 + self.random.rand_float() / 2.0);
        if self.since.elapsed() + pause >= self.deadline {
            return false;
        }
        tokio::time::sleep(pause).await;
        self.attempts += 1;
        true
    }

    /// Returns the time that is left, a moment at least.
    pub fn left(&self) -> Duration {
        let left = self.deadline.saturating_sub(self.since.elapsed());
        left.max(Duration::from_millis(100))
    }

    /// Begins anew, after something went well.
    pub fn renew(&mut self) {
        self.since = Instant::now();
        self.attempts = 1;
    }

    pub fn said(&self) -> String {
        let (attempts, elapsed) = (self.attempts, self.since.elapsed());
        format!(
            "{attempts} attempts in {:.1} s, deadline {:?}",
            elapsed.as_secs_f32(),
            self.deadline
        )
    }
}

impl Clients {
    async fn new(cloud: &Cloud) -> Result<Clients, Failure> {
        let refuse =
            |error: &dyn std::fmt::Display| Failure::new(Kind::Permanent, error.to_string());
        let credentials = cloud.credentials(Service::BigQuery);
        let credentials = credentials.map_err(|error| refuse(&error))?;
        let storage = cloud.credentials(Service::BigQueryStorage);
        let storage = storage.map_err(|error| refuse(&error))?;
        let refuse_client = |error: BuilderError| refuse(&error);
        let (mut tables, mut jobs) = (TableService::builder(), JobService::builder());
        let mut write = Write::builder().with_credentials(storage);
        let mut base = "https://bigquery.googleapis.com".to_owned();
        if let Some(endpoint) = cloud.address(Service::BigQuery) {
            base = endpoint.url().to_owned();
            tables = tables.with_endpoint(&base);
            jobs = jobs.with_endpoint(&base);
        }
        if let Some(endpoint) = cloud.address(Service::BigQueryStorage) {
            write = write.with_endpoint(endpoint.url());
        }
        // The attempts are counted here, the same for all kinds of calls.
        let tables = tables
            .with_credentials(credentials.clone())
            .with_retry_policy(NeverRetry);
        let jobs = jobs
            .with_credentials(credentials.clone())
            .with_retry_policy(NeverRetry);
        Ok(Clients {
            tables: tables.build().await.map_err(refuse_client)?,
            jobs: jobs.build().await.map_err(refuse_client)?,
            write: write.build().await.map_err(refuse_client)?,
            http: reqwest::Client::builder()
                .build()
                .map_err(|error| refuse(&error))?,
            credentials,
            base,
        })
    }

    /// Makes a REST call that Google's client does not have.
    pub async fn rest(
        &self,
        method: reqwest::Method,
        path: &str,
        headers: HeaderMap,
        body: impl Into<reqwest::Body>,
    ) -> Result<(u16, HeaderMap, Vec<u8>), Failure> {
        let url = match path.starts_with("http") {
            true => path.to_owned(),
            false => format!("{}{path}", self.base),
        };
        let token = self.credentials.headers(Extensions::new()).await;
        let token = token.map_err(|error| {
            let kind = match error.is_transient() {
                true => Kind::Transient,
                false => Kind::Permanent,
            };
            Failure::new(kind, format!("no access token: {error}"))
        })?;
        let mut request = self.http.request(method, url).headers(headers);
        if let CacheableResource::New { data, .. } = token {
            request = request.headers(data);
        }
        let sent = request.body(body).send().await;
        let response = sent.map_err(|error| Failure::of_reqwest(&error))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await;
        let bytes = bytes.map_err(|error| Failure::of_reqwest(&error))?;
        match status {
            200..=299 | 308 => Ok((status, headers, bytes.to_vec())),
            _ => Err(Failure::of_response(status, &bytes)),
        }
    }
}

/// Says which call failed, and whether it may succeed later.
pub(super) fn failed(call: &str, table: &str, failure: Failure) -> BigQueryError {
    let kind = match failure.kind {
        Kind::NotFound if !table.is_empty() => BigQueryErrorKind::TableNotFound {
            table: format!("{table} ({call}: {})", failure.reason),
        },
        kind => BigQueryErrorKind::Call {
            call: match table {
                "" => call.to_owned(),
                table => format!("{call} of {table}"),
            },
            reason: failure.reason,
            transient: kind == Kind::Transient,
        },
    };
    kind.into()
}
