//! The clients of a service, one set for each runtime, and what is pulled through them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use google_cloud_gax::exponential_backoff::ExponentialBackoffBuilder;
use google_cloud_gax::options::RequestOptionsBuilder as _;
use google_cloud_gax::retry_policy::{NeverRetry, RetryPolicyExt as _};
use google_cloud_pubsub::client::{BasePublisher, Subscriber, SubscriptionAdmin, TopicAdmin};
use google_cloud_pubsub::model::Subscription;
use google_cloud_pubsub::retry_policy::RetryableErrors;

use super::calls::{FIRST_PAUSE, Fault, LONGEST_PAUSE, Patience, call};
use super::names::{Kind, full};
use super::publish::Requests;
use super::pulling::Pulling;
use crate::cloud::{Cloud, PerRuntime, Service};
use crate::pubsub::error::PubSubErrorKind;
use crate::pubsub::service::{MAX_ACK_DEADLINE, MIN_ACK_DEADLINE};

/// The default of [`CloudPubSub::deadline`].
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(60);
/// The default of [`CloudPubSub::attempts`].
pub const DEFAULT_ATTEMPTS: u32 = 10;
/// The default of [`CloudPubSub::lease`].
pub const DEFAULT_LEASE: Duration = Duration::from_secs(60);
/// The default and the most of [`CloudPubSub::max_lease`].
pub const MAX_LEASE: Duration = Duration::from_secs(3_600);
/// The default of [`CloudPubSub::max_outstanding_messages`].
pub const DEFAULT_OUTSTANDING_MESSAGES: u32 = 100_000;
/// The default of [`CloudPubSub::max_outstanding_bytes`]: 100 MiB.
pub const DEFAULT_OUTSTANDING_BYTES: u32 = 100 << 20;
/// The most messages of one publish request.
pub const MAX_REQUEST_MESSAGES: u32 = 1_000;
/// The most bytes of one publish request: 10 MB, with room for what surrounds the messages.
pub const MAX_REQUEST_BYTES: u32 = 9_500_000;

/// Is Google's Pub/Sub, or an emulator.
///
/// Topics and subscriptions are named in full (`projects/P/subscriptions/S`), or short, in the project. Each runtime
/// that uses it has connections of its own, which end with it.
///
/// ```
/// use pipeline_gcp::cloud::Cloud;
/// use pipeline_gcp::pubsub::CloudPubSub;
///
/// let service = CloudPubSub::new(&Cloud::from_env()?, "my-project").streams(4);
/// # Ok::<(), pipeline_gcp::cloud::CloudError>(())
/// ```
pub struct CloudPubSub {
    cloud: Cloud,
    project: String,
    pub(super) settings: Settings,
    clients: PerRuntime<Clients>,
    /// One at a time makes clients.
    making: tokio::sync::Mutex<()>,
    /// One at a time begins to pull.
    beginning: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) patience: Patience,
    streams: usize,
    pub(super) lease: Duration,
    max_lease: Duration,
    pub(super) messages: u32,
    pub(super) bytes: u32,
    pub(super) requests: Requests,
}

/// The clients of one runtime.
pub(super) struct Clients {
    pub(super) topics: TopicAdmin,
    pub(super) subscriptions: SubscriptionAdmin,
    pub(super) publisher: BasePublisher,
    subscriber: Subscriber,
    pub(super) pulling: Mutex<HashMap<String, Arc<Pulling>>>,
}

impl CloudPubSub {
    /// Calls as `cloud` says; short names are of `project`. Nothing is called yet.
    pub fn new(cloud: &Cloud, project: impl Into<String>) -> Self {
        CloudPubSub {
            cloud: cloud.clone(),
            project: project.into(),
            settings: Settings {
                patience: Patience {
                    deadline: DEFAULT_DEADLINE,
                    attempts: DEFAULT_ATTEMPTS,
                },
                streams: 1,
                lease: DEFAULT_LEASE,
                max_lease: MAX_LEASE,
                messages: DEFAULT_OUTSTANDING_MESSAGES,
                bytes: DEFAULT_OUTSTANDING_BYTES,
                requests: Requests {
                    messages: MAX_REQUEST_MESSAGES,
                    bytes: MAX_REQUEST_BYTES,
                },
            },
            clients: PerRuntime::new(),
            making: tokio::sync::Mutex::new(()),
            beginning: tokio::sync::Mutex::new(()),
        }
    }

    /// Sets how long a call may take, with all its attempts. Default: 60 s. A subscription from which nothing has come
    /// for half of it is asked for, with the other half as the deadline.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.settings.patience.deadline = deadline;
        self
    }

    /// Sets how often a call is tried while its error may pass; 100 ms after the first, then after twice as long each
    /// time, up to 10 s, less a random part. Default: 10.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.settings.patience.attempts = attempts.max(1);
        self
    }

    /// Sets the number of streams that a subscription is pulled through; one carries up to 10 MB a second ("Quotas
    /// and limits"). Default: 1.
    #[must_use]
    pub fn streams(mut self, streams: usize) -> Self {
        self.settings.streams = streams.max(1);
        self
    }

    /// Sets for how long a message is leased, again and again: after a crash it is delivered again so long after the
    /// last time. 10 to 600 s. Default: 60 s.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease.clamp(MIN_ACK_DEADLINE, MAX_ACK_DEADLINE);
        self
    }

    /// Sets for how long a message is leased in all; after that it is delivered again, acknowledged or not. At most
    /// one hour, which is the default.
    #[must_use]
    pub fn max_lease(mut self, lease: Duration) -> Self {
        self.settings.max_lease = lease.min(MAX_LEASE);
        self
    }

    /// Sets how many messages of a stream may be unacknowledged before it brings no more. Default: 100,000.
    ///
    /// A run with snapshots acknowledges behind each: what comes in between must fit in.
    #[must_use]
    pub fn max_outstanding_messages(mut self, messages: u32) -> Self {
        self.settings.messages = messages.max(1);
        self
    }

    /// Sets how many bytes of a stream may be unacknowledged before it brings no more. Default: 100 MiB.
    #[must_use]
    pub fn max_outstanding_bytes(mut self, bytes: u32) -> Self {
        self.settings.bytes = bytes.max(1);
        self
    }

    /// Sets the most that one publish request holds. Default, and at most: 1,000 messages and 9.5 MB.
    #[must_use]
    pub fn publish_requests(mut self, messages: u32, bytes: u32) -> Self {
        self.settings.requests = Requests {
            messages: messages.clamp(1, MAX_REQUEST_MESSAGES),
            bytes: bytes.clamp(1, MAX_REQUEST_BYTES),
        };
        self
    }

    pub(super) fn name(&self, kind: Kind, name: &str) -> Result<String, PubSubErrorKind> {
        full(kind, &self.project, name)
    }

    /// Returns the clients of the current runtime.
    pub(super) async fn clients(&self) -> Result<Arc<Clients>, PubSubErrorKind> {
        let _one = self.making.lock().await;
        self.clients.get(async || self.make().await).await
    }

    async fn make(&self) -> Result<Clients, PubSubErrorKind> {
        let refused = |reason: String| PubSubErrorKind::Refused {
            operation: "be called".to_owned(),
            reason,
        };
        let credentials = self.cloud.credentials(Service::PubSub);
        let credentials = credentials.map_err(|error| refused(error.to_string()))?;
        let address = self.cloud.address(Service::PubSub);
        // What each client's builder offers under the same names, without a trait.
        macro_rules! build {
            ($builder:expr) => {{
                let mut builder = $builder.with_credentials(credentials.clone());
                if let Some(address) = address {
                    builder = builder.with_endpoint(address.url());
                }
                builder
                    .build()
                    .await
                    .map_err(|error| refused(error.to_string()))?
            }};
        }
        let Patience { deadline, attempts } = self.settings.patience;
        let retried = RetryableErrors
            .with_attempt_limit(attempts)
            .with_time_limit(deadline);
        let pauses = ExponentialBackoffBuilder::new()
            .with_initial_delay(FIRST_PAUSE)
            .with_maximum_delay(LONGEST_PAUSE)
            .clamp();
        Ok(Clients {
            topics: build!(TopicAdmin::builder().with_retry_policy(NeverRetry)),
            subscriptions: build!(SubscriptionAdmin::builder().with_retry_policy(NeverRetry)),
            publisher: build!(
                BasePublisher::builder()
                    .with_retry_policy(retried)
                    .with_backoff_policy(pauses)
            ),
            subscriber: build!(
                Subscriber::builder().with_grpc_subchannel_count(self.settings.streams.div_ceil(4))
            ),
            pulling: Mutex::default(),
        })
    }

    /// Returns the subscription as it is, in full name.
    pub(super) async fn look_up(
        &self,
        clients: &Clients,
        name: &str,
        patience: Patience,
    ) -> Result<Result<Subscription, Fault>, PubSubErrorKind> {
        call(patience, &format!("look up subscription {name:?}"), || {
            let ask = clients.subscriptions.get_subscription();
            ask.set_subscription(name).with_idempotency(true).send()
        })
        .await
    }

    /// Returns what pulls from a subscription; begins if nothing does.
    pub(super) async fn pulling(
        &self,
        subscription: &str,
    ) -> Result<Arc<Pulling>, PubSubErrorKind> {
        let name = self.name(Kind::Subscription, subscription)?;
        let clients = self.clients().await?;
        if let Some(pulling) = lock(&clients.pulling).get(&name) {
            return Ok(Arc::clone(pulling));
        }
        let _one = self.beginning.lock().await;
        if let Some(pulling) = lock(&clients.pulling).get(&name) {
            return Ok(Arc::clone(pulling));
        }
        let seen = match self
            .look_up(&clients, &name, self.settings.patience)
            .await?
        {
            Ok(_) => true,
            Err(Fault::NotFound) => {
                return Err(PubSubErrorKind::SubscriptionNotFound { subscription: name });
            }
            // Who may pull may not always look: the stream will tell.
            Err(Fault::Denied(_)) => false,
            Err(fault) => return Err(fault.refuse(&format!("look up subscription {name:?}"))),
        };
        let Settings {
            streams, messages, ..
        } = self.settings;
        let pulling = Arc::new(Pulling::new(
            name.clone(),
            seen,
            messages as usize * streams,
        ));
        for _ in 0..streams {
            let stream = clients
                .subscriber
                .subscribe(&name)
                .set_max_outstanding_messages(self.settings.messages)
                .set_max_outstanding_bytes(self.settings.bytes)
                .set_max_lease(self.settings.max_lease)
                .set_max_lease_extension(self.settings.lease)
                .build();
            pulling.own_stream(&stream);
            let reading = Arc::clone(&pulling);
            let task = tokio::spawn(async move { reading.read(stream).await });
            pulling.own(task.abort_handle());
        }
        let watching = self.watch(&clients, &pulling);
        pulling.own(tokio::spawn(watching).abort_handle());
        lock(&clients.pulling).insert(name, Arc::clone(&pulling));
        Ok(pulling)
    }

    /// Asks for the subscription whenever nothing has come for a while: the streams do not tell that nobody is there.
    fn watch(
        &self,
        clients: &Arc<Clients>,
        pulling: &Arc<Pulling>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let subscriptions = clients.subscriptions.clone();
        let (pulling, patience) = (Arc::clone(pulling), self.settings.patience);
        let half = patience.deadline / 2;
        async move {
            let operation = format!("pull from {:?}", pulling.name);
            let patience = Patience {
                deadline: half,
                ..patience
            };
            loop {
                tokio::time::sleep(half.saturating_sub(pulling.quiet())).await;
                if pulling.quiet() < half {
                    continue;
                }
                let looked = call(patience, &operation, || {
                    let ask = subscriptions.get_subscription();
                    ask.set_subscription(&pulling.name)
                        .with_idempotency(true)
                        .send()
                });
                match looked.await {
                    Ok(Ok(_)) => pulling.hear(true),
                    Ok(Err(Fault::Denied(_))) => pulling.hear(false),
                    Ok(Err(fault)) => return pulling.fail(fault),
                    Err(kind) => return pulling.give_up(kind),
                }
            }
        }
    }

    /// Returns what pulls from a subscription, in all runtimes.
    pub(super) fn pulled(&self, subscription: &str) -> Vec<Arc<Pulling>> {
        let Ok(name) = self.name(Kind::Subscription, subscription) else {
            return Vec::new();
        };
        let clients = self.clients.all().into_iter();
        clients
            .filter_map(|clients| lock(&clients.pulling).get(&name).cloned())
            .collect()
    }

    /// Takes away what pulls from a subscription in the current runtime.
    pub(super) fn take_pulling(&self, subscription: &str) -> Option<Arc<Pulling>> {
        let name = self.name(Kind::Subscription, subscription).ok()?;
        lock(&self.clients.here()?.pulling).remove(&name)
    }
}

/// Shows where it is and what was set; nothing of the account.
impl fmt::Debug for CloudPubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudPubSub")
            .field("cloud", &self.cloud)
            .field("project", &self.project)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
