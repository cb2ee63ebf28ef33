//! What all of Google's services need: an account, addresses, deadlines (feature `gcp`).
//!
//! [`Cloud`] says who calls and where the services are; each service's client is made from it. An
//! emulator is the same client at another address, without an account:
//!
//! | variable | service | form |
//! |---|---|---|
//! | `PUBSUB_EMULATOR_HOST` | Pub/Sub | `host:port` |
//! | `STORAGE_EMULATOR_HOST` | Cloud Storage | `http://host:port` |
//! | `BIGQUERY_EMULATOR_HOST` | BigQuery: tables, queries, `insertAll`, load jobs | `http://host:port` |
//! | `BIGQUERY_STORAGE_EMULATOR_HOST` | BigQuery: the Storage Write API | `host:port` |
//!
//! The scheme may be left out or written in all of them; it is `http` if it is left out. Other services
//! take their account from application default credentials (`GOOGLE_APPLICATION_CREDENTIALS`, the file
//! that `gcloud auth application-default login` writes, or the metadata server), or from a
//! [service account's file](Cloud::service_account_file).

mod account;
mod deadline;
mod endpoint;
mod error;
mod per_runtime;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use google_cloud_auth::credentials::Credentials;

use self::account::Account;
pub(crate) use self::deadline::within;
pub use self::endpoint::Service;
use self::endpoint::{Endpoint, Endpoints};
pub use self::error::CloudError;
pub(crate) use self::per_runtime::PerRuntime;

/// Says who calls Google's services, and where they are.
///
/// Nothing is called, and no file is read but the one named, before a service is used.
///
/// ```
/// use pipeline_gcp::cloud::{Cloud, Service};
///
/// let cloud = Cloud::from_env()?.endpoint(Service::PubSub, "http://127.0.0.1:8085")?;
/// assert!(cloud.is_emulated(Service::PubSub));
/// # Ok::<(), pipeline_gcp::cloud::CloudError>(())
/// ```
#[derive(Clone)]
pub struct Cloud {
    account: Arc<Account>,
    endpoints: Endpoints,
}

impl Cloud {
    /// Takes the addresses of emulators from the environment, and the account from application
    /// default credentials when a service of Google's own is first used.
    ///
    /// # Errors
    /// When an emulator's variable is no address.
    pub fn from_env() -> Result<Cloud, CloudError> {
        Ok(Cloud {
            account: Arc::new(Account::default_credentials()),
            endpoints: Endpoints::from_env(|name| std::env::var(name).ok())?,
        })
    }

    /// Takes the account from the key file of a service account.
    ///
    /// # Errors
    /// When the file cannot be read or holds no such key. No part of it stands in the message.
    pub fn service_account_file(mut self, path: impl AsRef<Path>) -> Result<Cloud, CloudError> {
        self.account = Arc::new(Account::service_account_file(path.as_ref())?);
        Ok(self)
    }

    /// Calls a service at another address, without an account, as emulators want it.
    ///
    /// # Errors
    /// When it is no address of the form `http://host:port`, or `host:port`.
    pub fn endpoint(mut self, service: Service, address: &str) -> Result<Cloud, CloudError> {
        self.endpoints.set(service, address)?;
        Ok(self)
    }

    /// Tells whether a service is called at an address of its own, without an account.
    pub fn is_emulated(&self, service: Service) -> bool {
        self.endpoints.get(service).is_some()
    }

    /// Returns the address of a service, if it is not Google's own.
    pub(crate) fn address(&self, service: Service) -> Option<&Endpoint> {
        self.endpoints.get(service)
    }

    /// Returns what a client of the service authenticates with: nothing for an emulator.
    pub(crate) fn credentials(&self, service: Service) -> Result<Credentials, CloudError> {
        install_tls();
        if self.is_emulated(service) {
            return Ok(google_cloud_auth::credentials::anonymous::Builder::new().build());
        }
        self.account.credentials()
    }
}

/// Shows the addresses, and nothing of the account.
impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud")
            .field("account", &self.account)
            .field("endpoints", &self.endpoints)
            .finish()
    }
}

/// Makes ring the process's TLS, unless the program has chosen another.
fn install_tls() {
    // An error says that there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests;
